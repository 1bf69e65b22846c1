/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qube's applications: whatever lines are heard, what is left is within its bounds and has a form that decodes to itself;
 * and what decodes encodes to its own bytes.
 */
#include "fuzz.h"

#include "proto/menu.h"

#include <string.h>

static void check_round_trip(const struct menu *m)
{
	static struct menu again;
	static uint8_t bytes[MENU_LEN_MAX];
	size_t len = 0;

	if (menu_encode(m, bytes, &len) != 0)
		return;
	FUZZ_CHECK(menu_decode(bytes, len, &again) == 0 && again.n == m->n);
	for (unsigned i = 0; i < m->n; i++) {
		const struct menu_entry *e = &m->entries[i];

		FUZZ_CHECK(menu_is_name(e->name, strlen(e->name)));
		FUZZ_CHECK(e->values[MENU_TITLE][0] != '\0');
		FUZZ_CHECK(menu_find(m, e->name) == e);
		for (unsigned k = 0; k < MENU_KEYS; k++) {
			FUZZ_CHECK(strcmp(e->values[k], again.entries[i].values[k]) == 0);
			FUZZ_CHECK(!strpbrk(e->values[k], "\n\\%\"'`$<>"));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct menu m;
	static uint8_t bytes[MENU_LEN_MAX];
	const char *at = (const char *)data, *end = at + size;
	size_t len = 0;
	int r = 0;

	if (menu_decode(data, size, &m) == 0) {
		FUZZ_CHECK(menu_encode(&m, bytes, &len) == 0);
		FUZZ_CHECK(len == size && memcmp(bytes, data, size) == 0);
	}
	m.n = 0;
	while (at < end && r == 0) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *line_end = newline ? newline : end;

		r = menu_hear(&m, at, (size_t)(line_end - at));
		at = newline ? newline + 1 : end;
	}
	menu_settle(&m);
	FUZZ_CHECK(m.n <= MENU_ENTRIES_MAX);
	check_round_trip(&m);
	return 0;
}
