/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* qubes.OpenInVM: a file to be opened in another qube. doc/protocol/open.md has the bytes. */
#include "base/attr.h"

/** OPEN_HEADER_LEN - bytes before the content */
#define OPEN_HEADER_LEN 256
/** OPEN_NAME_MAX - bytes of a name without its NUL; what is viewed only has 10 less */
#define OPEN_NAME_MAX 255

/** struct open_header - @name: of a file, without folders, with NUL; @view_only: changes do not count */
struct open_header {
	bool view_only;
	char name[OPEN_NAME_MAX + 1];
};

/** enum open_outcome */
enum open_outcome {
	OPEN_E_FORMAT = 1, /* no such header */
	OPEN_E_NAME,       /* a name that leads elsewhere or cannot be shown */
};

/** open_header_decode() - Return: 0; OPEN_E_FORMAT, OPEN_E_NAME */
MUST_CHECK int open_header_decode(const void *bytes, size_t len, struct open_header *ret);
/** open_header_encode() - write OPEN_HEADER_LEN bytes at @to. Return: 0; OPEN_E_NAME: nobody takes it */
MUST_CHECK int open_header_encode(const struct open_header *h, uint8_t *to);

/**
 * open_header_name() - the name to send for a file that is called @name
 *
 * What cannot be shown becomes '_', and of too many bytes the last ones are left, for they say which
 * kind of file it is.
 */
void open_header_name(struct open_header *h, const char *name);
