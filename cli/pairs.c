/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pairs.h"

#include "base/str.h"
#include "grid.h"

#include <stdio.h>
#include <string.h>

/* the next line of *@at: its length, the key's, and its begin; false at the end */
static bool next(const char **at, const char **line, size_t *len, size_t *key)
{
	*line = *at;
	*len = strcspn(*at, "\n");
	*key = strcspn(*at, "=\n");
	*at += *len + ((*at)[*len] == '\n');
	return **line != '\0';
}

/* a value in @to, "" if it has no room */
static void value_of(const char *line, size_t len, size_t key, char *to, size_t size)
{
	if (key >= len || str_copy(to, size, line + key + 1, len - key - 1) < 0)
		to[0] = '\0';
}

const char *pairs_get(const char *lines, const char *wanted, char *to, size_t size)
{
	const char *line;
	size_t len, key;

	to[0] = '\0';
	while (next(&lines, &line, &len, &key)) {
		if (key == strlen(wanted) && strncmp(line, wanted, key) == 0)
			value_of(line, len, key, to, size);
	}
	return to;
}

void pairs_put(const char *lines, bool json)
{
	const char *at = lines, *line, *between = "{";
	size_t width = 0, len, key;
	char value[4096];

	while (next(&at, &line, &len, &key))
		width = key > width ? key : width;
	for (at = lines; next(&at, &line, &len, &key);) {
		value_of(line, len, key, value, sizeof(value));
		if (json) {
			(void)printf("%s\n \"%.*s\": ", between, (int)key, line);
			json_put(value);
		} else {
			(void)printf("%-*.*s%s%s\n", value[0] == '\0' ? 0 : (int)width, (int)key,
				     line, value[0] == '\0' ? "" : "  ", value);
		}
		between = ",";
	}
	if (json)
		(void)printf("%s\n}\n", between[0] == '{' ? "{" : "");
}
