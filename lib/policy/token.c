/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens: which there are, and which of them may stand where. */
#include "policy/table.h"

#include <string.h>

const char *const token_prefixes[N_TOKEN_KINDS] = {
	[TOKEN_NAME] = "",
	[TOKEN_ALL] = "*",
	[TOKEN_ADMINVM] = "@adminvm",
	[TOKEN_ANYVM] = "@anyvm",
	[TOKEN_DEFAULT] = "@default",
	[TOKEN_DISPVM] = "@dispvm",
	[TOKEN_TYPE] = "@type:",
	[TOKEN_TAG] = "@tag:",
	[TOKEN_DISPVM_OF] = "@dispvm:",
	[TOKEN_DISPVM_TAG] = "@dispvm:@tag:",
};

#define BIT(kind) (1u << (kind))

static const unsigned places[] = {
	[PLACE_SOURCE] = BIT(TOKEN_NAME) | BIT(TOKEN_ALL) | BIT(TOKEN_ADMINVM) | BIT(TOKEN_ANYVM) |
			 BIT(TOKEN_TYPE) | BIT(TOKEN_TAG) | BIT(TOKEN_DISPVM_OF) |
			 BIT(TOKEN_DISPVM_TAG),
	[PLACE_TARGET] = BIT(N_TOKEN_KINDS) - 1,
	[PLACE_REDIRECT] =
		BIT(TOKEN_NAME) | BIT(TOKEN_ADMINVM) | BIT(TOKEN_DISPVM) | BIT(TOKEN_DISPVM_OF),
	[PLACE_REQUEST] = BIT(TOKEN_NAME) | BIT(TOKEN_ADMINVM) | BIT(TOKEN_DEFAULT) |
			  BIT(TOKEN_DISPVM) | BIT(TOKEN_DISPVM_OF),
};

static bool is(struct text t, const char *s)
{
	return t.len == strlen(s) && memcmp(t.at, s, t.len) == 0;
}

int token_parse(struct text t, enum token_place place, enum token_kind *ret_kind,
		struct text *ret_value)
{
	if (t.len == 0)
		return TOKEN_E_EMPTY;
	if (t.at[0] != '@' && !is(t, "*")) {
		*ret_kind = is(t, "dom0") ? TOKEN_ADMINVM : TOKEN_NAME;
		*ret_value = *ret_kind == TOKEN_NAME ? t : (struct text){"", 0};
		return 0;
	}
	for (unsigned kind = TOKEN_ALL; kind < N_TOKEN_KINDS; kind++) {
		const char *prefix = token_prefixes[kind];
		size_t len = strlen(prefix);

		if (!(places[place] & BIT(kind)) || t.len < len || memcmp(t.at, prefix, len) != 0)
			continue;
		if (kind < TOKEN_TYPE) {
			if (t.len != len)
				continue;
		} else if (t.len == len) {
			return TOKEN_E_EMPTY;
		} else if (t.at[len] == '@') {
			continue; /* a longer prefix, or none */
		}
		*ret_kind = (enum token_kind)kind;
		*ret_value = (struct text){t.at + len, t.len - len};
		return 0;
	}
	return TOKEN_E_INVALID;
}
