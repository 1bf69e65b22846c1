/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The compiled policy as it lies in memory; private to lib/policy.
 *
 * One piece: the header, then arrays at offsets that the header names. Strings, tokens and rules
 * are numbered; POLICY_NONE is no string or token. Strings and tokens occur once each, so that equal
 * numbers are equal texts, and are found by hash.
 */
#include "policy/policy.h"

/** enum token_kind - in the order of token_prefixes[] */
enum token_kind {
	TOKEN_NAME, /* a qube's name, or uuid:... */
	TOKEN_ALL,  /* "*" */
	TOKEN_ADMINVM,
	TOKEN_ANYVM,
	TOKEN_DEFAULT,
	TOKEN_DISPVM,
	TOKEN_TYPE,
	TOKEN_TAG,
	TOKEN_DISPVM_OF,  /* @dispvm:NAME */
	TOKEN_DISPVM_TAG, /* @dispvm:@tag:TAG */
	N_TOKEN_KINDS,
};
extern const char *const token_prefixes[N_TOKEN_KINDS];

/* where a token stands decides which kinds it may be */
enum token_place { PLACE_SOURCE, PLACE_TARGET, PLACE_REDIRECT, PLACE_REQUEST };

struct text {
	const char *at; /* NULL: none */
	size_t len;
};

enum token_outcome { TOKEN_E_EMPTY = 1, TOKEN_E_INVALID };
/** token_parse() - 0, with the value "" for kinds without; an outcome */
MUST_CHECK int token_parse(struct text text, enum token_place place, enum token_kind *ret_kind,
			   struct text *ret_value);

struct entry { /* a string: NUL-terminated at offset @at of the bytes */
	uint32_t at, len;
};
struct token {
	uint32_t kind, text;
};
struct rule {
	uint32_t service, argument;        /* strings; POLICY_NONE: any */
	uint32_t source, target;           /* tokens */
	uint32_t redirect, default_target; /* tokens or POLICY_NONE */
	uint32_t user;                     /* string or POLICY_NONE */
	uint32_t file, line;
	uint8_t action, notify, autostart, unused;
};
struct span { /* of the array order[] of rules */
	uint32_t first, n;
};

#define POLICY_MAGIC 0x31796c70u

struct policy {
	uint32_t magic, len;
	uint32_t n_strings, n_tokens, n_rules, n_string_slots, n_token_slots, n_bytes;
	uint32_t strings; /* struct entry */
	uint32_t spans;   /* struct span of each string: the rules of that service */
	uint32_t tokens;  /* struct token */
	uint32_t rules;   /* struct rule, in the order of the files */
	uint32_t order;   /* uint32_t: rules by service, each service's in order, then those of * */
	uint32_t string_slots; /* uint32_t: open addressing, POLICY_NONE is free */
	uint32_t token_slots;
	uint32_t bytes;
	struct span any; /* the rules of every service */
};

static inline const void *policy_at(const struct policy *p, uint32_t offset)
{
	return (const char *)p + offset;
}

static inline const struct entry *policy_strings(const struct policy *p)
{
	return policy_at(p, p->strings);
}

static inline const struct span *policy_spans(const struct policy *p)
{
	return policy_at(p, p->spans);
}

static inline const struct token *policy_tokens(const struct policy *p)
{
	return policy_at(p, p->tokens);
}

static inline const struct rule *policy_rules(const struct policy *p)
{
	return policy_at(p, p->rules);
}

static inline const uint32_t *policy_order(const struct policy *p)
{
	return policy_at(p, p->order);
}

/** policy_text() - of a string that is one; NUL-terminated */
static inline const char *policy_text(const struct policy *p, uint32_t string)
{
	return (const char *)policy_at(p, p->bytes) + policy_strings(p)[string].at;
}

/** policy_string() - as policy_text(), NULL for POLICY_NONE */
static inline const char *policy_string(const struct policy *p, uint32_t string)
{
	return string == POLICY_NONE ? NULL : policy_text(p, string);
}

/** text_hash() - of @len bytes, going on from @seed */
uint32_t text_hash(uint32_t seed, const char *bytes, size_t len);
#define HASH_SEED 2166136261u

/** policy_find() - the string's number or POLICY_NONE */
uint32_t policy_find(const struct policy *p, const char *bytes, size_t len);
/** policy_find_token() - the token's number or POLICY_NONE */
uint32_t policy_find_token(const struct policy *p, enum token_kind kind, uint32_t text);
