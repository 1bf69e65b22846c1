/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What a caller asks for, in words that a person may be shown. */
#include "base/attr.h"

/** WORDS_SHOWN_MAX - of a caller's own words: characters before they are cut */
#define WORDS_SHOWN_MAX 120
/** WORDS_BUF - room for them, what is cut told behind */
#define WORDS_BUF (WORDS_SHOWN_MAX + 64)

/**
 * words_of_service() - "copy files to" for "qubes.Filecopy+x": stands between caller and target
 *
 * NULL if the service is not one of those that are known.
 */
const char *words_of_service(const char *service);

/**
 * words_shown() - a caller's words as plain ASCII
 * @to:		WORDS_BUF bytes
 *
 * What is not printable ASCII becomes \xNN and a backslash is doubled, so that nothing in it can
 * look like something else; long ones are cut, which is said. Return: @to.
 */
const char *words_shown(const char *untrusted_text, size_t len, char *to);
