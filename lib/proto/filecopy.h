/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * qubes.Filecopy: files, folders and links from one qube to another. Bytes, order and meaning are in
 * doc/protocol/filecopy.md.
 */
#include "base/attr.h"

/** FILECOPY_HEADER_LEN - bytes before each name, FILECOPY_ANSWER_LEN of the answer's fixed part */
#define FILECOPY_HEADER_LEN 32
#define FILECOPY_ANSWER_LEN 16
/** FILECOPY_NAME_MAX - bytes of a name with its NUL; of a link's target, which has none */
#define FILECOPY_NAME_MAX 16383

/** enum filecopy_kind - what a header announces */
enum filecopy_kind {
	FILECOPY_END, /* nothing more comes */
	FILECOPY_FILE,
	FILECOPY_FOLDER,
	FILECOPY_LINK,
};

/** struct filecopy_time - as in struct timespec; @ns below a thousand million */
struct filecopy_time {
	uint32_t s, ns;
};

/**
 * struct filecopy_entry - a header; all zero but for @kind at the end
 * @name_len:	bytes of the name with its NUL, at least 2
 * @mode:	what owner, group and others may do, 0777 at most
 * @size:	bytes of content behind the name: of a file at most INT64_MAX, of a link its target,
 * of a folder none
 */
struct filecopy_entry {
	enum filecopy_kind kind;
	uint32_t name_len;
	uint32_t mode;
	uint64_t size;
	struct filecopy_time atime, mtime;
};

/** enum filecopy_outcome - what is wrong with bytes; each is an error of the answer */
enum filecopy_outcome {
	FILECOPY_E_FORMAT = 1, /* no such header, name or answer */
	FILECOPY_E_TOO_LONG,   /* a name or target */
	FILECOPY_E_SIZE,       /* no file is that large */
	FILECOPY_E_NAME,       /* a name that leads elsewhere or cannot be shown */
	FILECOPY_E_LINK,       /* a link that leads out of where it stands */
};

/** enum filecopy_allow - what a receiver takes beyond the usual, a bit set */
enum filecopy_allow {
	FILECOPY_ALL_NAMES = 1 << 0, /* any bytes in names and targets */
	FILECOPY_ALL_LINKS = 1 << 1, /* links that lead anywhere, also at the top */
};

/** filecopy_errno() - how the answer names an outcome: an errno of Linux */
uint32_t filecopy_errno(int outcome);

/**
 * filecopy_header_decode() - FILECOPY_HEADER_LEN bytes
 *
 * Return: 0; FILECOPY_E_FORMAT, FILECOPY_E_TOO_LONG, FILECOPY_E_SIZE.
 */
MUST_CHECK int filecopy_header_decode(const void *bytes, size_t len, struct filecopy_entry *ret);
/** filecopy_header_encode() - write FILECOPY_HEADER_LEN bytes at @to; FILECOPY_E_FORMAT: @e has
 * something that no header can say */
MUST_CHECK int filecopy_header_encode(const struct filecopy_entry *e, uint8_t *to);

/**
 * filecopy_name_check() - a name as it was sent, its NUL included
 * @allow:	enum filecopy_allow
 * @ret_depth:	how many parts it has between its slashes
 *
 * Return: 0; FILECOPY_E_FORMAT: not one NUL at the end; FILECOPY_E_NAME: absolute, or with a part
 * that is empty, "." or "..", or with characters that cannot be shown.
 */
MUST_CHECK int filecopy_name_check(const char *name, size_t len, unsigned allow,
				   unsigned *ret_depth);

/**
 * filecopy_link_check() - the @len bytes of a target, of a link whose name has @depth parts
 *
 * Return: 0; FILECOPY_E_FORMAT: it is empty or has a NUL; FILECOPY_E_NAME: characters that cannot be
 * shown; FILECOPY_E_LINK: it is absolute, or leads out of the first folder of the link's name (which
 * one at the top has not), or has ".." behind another part.
 */
MUST_CHECK int filecopy_link_check(unsigned depth, const char *target, size_t len, unsigned allow);

/** struct filecopy_answer - @error: 0, or an errno of Linux; @crc: of all bytes received */
struct filecopy_answer {
	uint32_t error, crc;
};

/** filecopy_answer_decode() - FILECOPY_ANSWER_LEN bytes. Return: 0; FILECOPY_E_FORMAT */
MUST_CHECK int filecopy_answer_decode(const void *bytes, size_t len, struct filecopy_answer *ret);
/** filecopy_answer_encode() - write FILECOPY_ANSWER_LEN bytes at @to */
void filecopy_answer_encode(const struct filecopy_answer *a, uint8_t *to);

/** FILECOPY_LAST_LEN - bytes between the answer and the last name, its length */
#define FILECOPY_LAST_LEN 4
/** filecopy_last_decode() - how many bytes of a name follow. Return: 0; FILECOPY_E_TOO_LONG */
MUST_CHECK int filecopy_last_decode(const uint8_t *bytes, uint32_t *ret);
/** filecopy_last_encode() - write FILECOPY_LAST_LEN bytes at @to for a name of @len bytes, without
 * NUL */
void filecopy_last_encode(uint32_t len, uint8_t *to);
