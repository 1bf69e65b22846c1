/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a user notes about a qube: text that may stand in a window or a terminal of dom0, whoever
 * wrote it. doc/protocol/notes.md has the rows.
 */
#include "base/attr.h"

/** NOTES_MAX - bytes of notes */
#define NOTES_MAX 256000

/** enum notes_outcome */
enum notes_outcome {
	NOTES_E_FORMAT = 1, /* not UTF-8 in its one shortest form */
	NOTES_E_LONG,
};

/**
 * notes_decode() - what is not safe to be shown becomes '_'
 * @ret:	room for @len bytes; @ret_len of them are written, without a NUL
 *
 * What came out stays as it is when it goes in again. Return: 0; an outcome.
 */
MUST_CHECK int notes_decode(const void *bytes, size_t len, char *ret, size_t *ret_len);
