/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Text that can be shown to a person as what it is: names that a qube chose, before they stand in a
 * prompt, a terminal or a folder.
 */
#include "base/attr.h"

/**
 * shown_is() - the @len bytes are UTF-8 in its one shortest form, all of it characters of
 * shown-table.h
 *
 * No control characters, no direction other than left to right, nothing invisible, nothing that
 * combines, no private or unassigned characters. tools/shown-table says which scripts.
 */
bool shown_is(const char *text, size_t len);
