/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What says that there were qubes, where the store does not: their volumes, their consoles' logs, and changes that a store
 * had not yet taken into its file. A store is never begun beside them unasked: to a new one they would be nobody's.
 */
#include "base/attr.h"

/**
 * traces_find() - look in the state folder @state, at the pools that are below it and at the logs of qubes' consoles
 * @ret:	a sentence's part: "there are volumes of 3 qubes below ..."
 *
 * Return: something was found.
 */
bool traces_find(const char *state, char *ret, size_t size);
