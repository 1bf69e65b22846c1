/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What a terminal may be shown of a qube's output. */
#include "base/attr.h"

/**
 * escape_filter() - replace in place what could command a terminal by '_'
 *
 * Printable ASCII, newline, carriage return, tab, backspace and bell stay. One byte stays one byte,
 * so a stream can be filtered piece by piece.
 */
void escape_filter(uint8_t *bytes, size_t len);
