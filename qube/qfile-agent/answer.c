/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "answer.h"

#include "base/io.h"
#include "base/log.h"
#include "proto/filecopy.h"

#include <stdio.h>
#include <string.h>

/* what the errors of doc/protocol/filecopy.md mean to whoever copies */
static const char *error_str(uint32_t error)
{
	switch (error) {
	case EEXIST:
		return "is there already";
	case EILSEQ:
		return "the receiver does not take such names";
	case ENOLINK:
		return "the receiver does not take links that lead elsewhere";
	case EINVAL:
		return "arrived damaged";
	case EREMOTEIO:
		return "the transfer was cut";
	default:
		return error < 4096 ? log_errno_str((int)error) : "the transfer was cut";
	}
}

/* the last name, which an old receiver does not send; quoted into @to */
static const char *last_read(int fd, char *to, size_t size)
{
	static char untrusted_name[FILECOPY_NAME_MAX];
	uint8_t bytes[FILECOPY_LAST_LEN];
	uint32_t len = 0;

	if (io_read_full(fd, bytes, sizeof(bytes)) < 0 || filecopy_last_decode(bytes, &len) != 0 ||
	    io_read_full(fd, untrusted_name, len) < 0)
		len = 0;
	return log_quote(to, size, untrusted_name, len);
}

bool answer_read(int fd, uint32_t crc, bool early)
{
	uint8_t bytes[FILECOPY_ANSWER_LEN];
	struct filecopy_answer a;
	char last[1024];

	if (io_read_full(fd, bytes, sizeof(bytes)) < 0) {
		(void)fputs("qfile-agent: the receiver ended without an answer\n", stderr);
		return false;
	}
	if (filecopy_answer_decode(bytes, sizeof(bytes), &a) != 0) {
		(void)fputs("qfile-agent: the receiver's answer is none\n", stderr);
		return false;
	}
	if (a.error != 0) {
		(void)last_read(fd, last, sizeof(last));
		(void)fprintf(stderr, "qfile-agent: %s%s%s\n", last, last[0] ? ": " : "",
			      error_str(a.error));
		return false;
	}
	if (early || a.crc != crc) {
		(void)fputs("qfile-agent: what arrived is not what was sent\n", stderr);
		return false;
	}
	return true;
}
