/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/open.h"

#include "base/bytes.h"
#include "base/shown.h"

#include <string.h>

static const char prefix[] = "view-only-";
#define PREFIX_LEN (sizeof(prefix) - 1)

static bool has_prefix(const char *name)
{
	return strncmp(name, prefix, PREFIX_LEN) == 0;
}

static bool name_is_taken(const char *name)
{
	return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
	       !strchr(name, '/') && shown_is(name, strlen(name));
}

int open_header_decode(const void *bytes, size_t len, struct open_header *ret)
{
	struct rd r = rd_of(bytes, len);
	struct open_header h;
	const char *name;
	size_t name_len;

	rd_copy(&r, h.name, sizeof(h.name));
	if (!rd_done(&r) || h.name[OPEN_NAME_MAX] != '\0')
		return OPEN_E_FORMAT;
	name_len = strlen(h.name);
	for (size_t i = name_len; i < sizeof(h.name); i++)
		if (h.name[i] != '\0')
			return OPEN_E_FORMAT;
	h.view_only = has_prefix(h.name);
	name = h.name + (h.view_only ? PREFIX_LEN : 0);
	memmove(h.name, name, strlen(name) + 1);
	memset(h.name + strlen(h.name), 0, sizeof(h.name) - strlen(h.name));
	if (!name_is_taken(h.name))
		return OPEN_E_NAME;
	*ret = h;
	return 0;
}

int open_header_encode(const struct open_header *h, uint8_t *to)
{
	struct wr w = wr_of(to, OPEN_HEADER_LEN);
	const size_t len = strnlen(h->name, sizeof(h->name));

	/* such a name would be taken for a wish */
	if (len > OPEN_NAME_MAX - (h->view_only ? PREFIX_LEN : 0) || !name_is_taken(h->name) ||
	    (!h->view_only && has_prefix(h->name)))
		return OPEN_E_NAME;
	if (h->view_only)
		wr_bytes(&w, prefix, PREFIX_LEN);
	wr_bytes(&w, h->name, len);
	wr_zeros(&w, OPEN_HEADER_LEN - w.len);
	return 0;
}

/* bytes of one character at @p, as far as it can be shown; 0 if it cannot */
static size_t shown_len(const char *p, size_t len)
{
	for (size_t n = 1; n <= 4 && n <= len; n++)
		if (shown_is(p, n))
			return n;
	return 0;
}

void open_header_name(struct open_header *h, const char *name)
{
	const size_t room = OPEN_NAME_MAX - (h->view_only ? PREFIX_LEN : 0);
	size_t len = strlen(name), n, at = 0;
	char *to = h->name;

	if (len > room)
		at = len - room;
	memset(h->name, 0, sizeof(h->name));
	while (at < len) {
		n = name[at] == '/' ? 0 : shown_len(name + at, len - at);
		memcpy(to, n > 0 ? name + at : "_", n > 0 ? n : 1);
		to += n > 0 ? n : 1;
		at += n > 0 ? n : 1;
	}
	if (!name_is_taken(h->name) || (!h->view_only && has_prefix(h->name)))
		h->name[0] = '_'; /* "", ".", "..", and a name like a wish */
}
