/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/menu.h"

#include "base/bytes.h"
#include "base/str.h"

#include <string.h>

#define SUFFIX ".desktop"

/* what a text may hold besides letters and digits: nothing that a menu or a desktop entry gives a meaning to */
#define TEXT_OTHERS  " /.,:&()_+-"
#define CLASS_OTHERS "/_.-"

const char *menu_key_name(enum menu_key key)
{
	static const char *const names[MENU_KEYS] = {
		[MENU_TITLE] = "Name",           [MENU_GENERIC] = "GenericName",
		[MENU_COMMENT] = "Comment",      [MENU_CATEGORIES] = "Categories",
		[MENU_CLASS] = "StartupWMClass",
	};

	return names[key];
}

bool menu_is_name(const char *name, size_t len)
{
	const size_t suffix_len = strlen(SUFFIX);

	return len > 0 && len <= MENU_NAME_MAX && bytes_are_alnum_or(name, len, "_.-") &&
	       name[0] != '.' && name[0] != '-' &&
	       !(len >= suffix_len && memcmp(name + len - suffix_len, SUFFIX, suffix_len) == 0);
}

static bool word_is(const char *word, size_t len, const char *text)
{
	return strlen(text) == len && memcmp(word, text, len) == 0;
}

/* one that says what an application is about, not to which desktop or which part of it it belongs */
static bool is_category(const char *word, size_t len)
{
	static const char *const reserved[] = {"Applet", "Screensaver", "Shell", "TrayIcon"};

	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (word_is(word, len, reserved[i]))
			return false;
	return len > 0 && bytes_are_alnum_or(word, len, "");
}

/* is all of it categories, each ended by a ';'? */
static bool are_categories(const char *value, size_t len)
{
	const char *end = value + len;

	while (value < end) {
		const char *semicolon = memchr(value, ';', (size_t)(end - value));

		if (!semicolon || !is_category(value, (size_t)(semicolon - value)))
			return false;
		value = semicolon + 1;
	}
	return true;
}

static bool is_value(enum menu_key key, const char *value, size_t len)
{
	if (len == 0 || len > MENU_VALUE_MAX)
		return false;
	switch (key) {
	case MENU_TITLE:
	case MENU_GENERIC:
	case MENU_COMMENT:
		return value[0] != ' ' && value[len - 1] != ' ' &&
		       bytes_are_alnum_or(value, len, TEXT_OTHERS);
	case MENU_CATEGORIES:
		return are_categories(value, len);
	case MENU_CLASS:
		return bytes_are_alnum_or(value, len, CLASS_OTHERS);
	}
	return false;
}

/* ---- what a qube says */

static void trim(const char **at, size_t *len)
{
	while (*len > 0 && (**at == ' ' || **at == '\t')) {
		(*at)++;
		(*len)--;
	}
	while (*len > 0 &&
	       ((*at)[*len - 1] == ' ' || (*at)[*len - 1] == '\t' || (*at)[*len - 1] == '\r'))
		(*len)--;
}

/* those of the list that are categories; the length, at most MENU_VALUE_MAX */
static size_t categories_pick(const char *list, size_t len, char *to)
{
	const char *end = list + len;
	size_t n = 0;

	while (list < end) {
		const char *semicolon = memchr(list, ';', (size_t)(end - list));
		const char *word_end = semicolon ? semicolon : end;
		size_t word_len = (size_t)(word_end - list);

		if (is_category(list, word_len) && word_len < MENU_VALUE_MAX - n) {
			memcpy(to + n, list, word_len);
			n += word_len;
			to[n++] = ';';
		}
		list = semicolon ? semicolon + 1 : end;
	}
	return n;
}

static void say(struct menu_entry *e, const char *key, size_t key_len, const char *value,
		size_t len)
{
	char picked[MENU_VALUE_MAX + 1];

	if (word_is(key, key_len, "Type") && !word_is(value, len, "Application"))
		e->shown = false;
	if ((word_is(key, key_len, "NoDisplay") || word_is(key, key_len, "Hidden")) &&
	    word_is(value, len, "true"))
		e->shown = false;
	for (unsigned i = 0; i < MENU_KEYS; i++) {
		if (!word_is(key, key_len, menu_key_name((enum menu_key)i)) ||
		    e->values[i][0] != '\0')
			continue;
		if (i == MENU_CATEGORIES) {
			len = categories_pick(value, len, picked);
			value = picked;
		}
		if (!is_value((enum menu_key)i, value, len))
			continue;
		memcpy(e->values[i], value, len);
		e->values[i][len] = '\0';
	}
}

/* the entry of that name, new if there is none; NULL: no room */
static struct menu_entry *entry_get(struct menu *m, const char *name, size_t len)
{
	struct menu_entry *e;

	/* its lines follow each other */
	for (unsigned i = m->n; i > 0; i--)
		if (word_is(name, len, m->entries[i - 1].name))
			return &m->entries[i - 1];
	if (m->n == MENU_ENTRIES_MAX)
		return NULL;
	e = &m->entries[m->n++];
	*e = (struct menu_entry){.shown = true};
	memcpy(e->name, name, len);
	e->name[len] = '\0';
	return e;
}

int menu_hear(struct menu *m, const char *line, size_t len)
{
	static const char mark[] = SUFFIX ":";
	const char *end = line + len, *at = memmem(line, len, mark, strlen(mark)), *name, *equals;
	size_t name_len, key_len, value_len;
	struct menu_entry *e;

	if (len > MENU_LINE_MAX || !at)
		return 0;
	name = at;
	while (name > line && name[-1] != '/')
		name--;
	name_len = (size_t)(at - name);
	at += strlen(mark);
	equals = memchr(at, '=', (size_t)(end - at));
	if (!equals || !menu_is_name(name, name_len))
		return 0;
	key_len = (size_t)(equals - at);
	trim(&at, &key_len);
	if (key_len == 0 || !bytes_are_alnum_or(at, key_len, "-"))
		return 0;
	e = entry_get(m, name, name_len);
	if (!e)
		return MENU_E_MANY;
	name = equals + 1;
	value_len = (size_t)(end - name);
	trim(&name, &value_len);
	say(e, at, key_len, name, value_len);
	return 0;
}

/* qsort() allocates, and asks the kernel how much it may */
static void sort(struct menu_entry *entries, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned least = i;
		struct menu_entry e;

		for (unsigned k = i + 1; k < n; k++)
			if (strcmp(entries[k].name, entries[least].name) < 0)
				least = k;
		if (least == i)
			continue;
		e = entries[i];
		entries[i] = entries[least];
		entries[least] = e;
	}
}

void menu_settle(struct menu *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->n; i++) {
		struct menu_entry *e = &m->entries[i];

		if (!e->shown)
			continue;
		/* one whose title is in another script has at least a name */
		if (e->values[MENU_TITLE][0] == '\0')
			memcpy(e->values[MENU_TITLE], e->name, sizeof(e->name));
		if (n < i)
			m->entries[n] = *e;
		n++;
	}
	m->n = n;
	sort(m->entries, m->n);
}

/* ---- the one form */

int menu_encode(const struct menu *m, void *buf, size_t *ret_len)
{
	struct wr w = wr_of(buf, MENU_LEN_MAX);
	size_t len;

	for (unsigned i = 0; i < m->n; i++) {
		const struct menu_entry *e = &m->entries[i];

		wr_u8(&w, '[');
		wr_bytes(&w, e->name, strlen(e->name));
		wr_bytes(&w, "]\n", 2);
		for (unsigned k = 0; k < MENU_KEYS; k++) {
			const char *key = menu_key_name((enum menu_key)k);

			if (e->values[k][0] == '\0')
				continue;
			wr_bytes(&w, key, strlen(key));
			wr_u8(&w, '=');
			wr_bytes(&w, e->values[k], strlen(e->values[k]));
			wr_u8(&w, '\n');
		}
	}
	len = wr_done(&w);
	if (len == 0 && m->n > 0)
		return MENU_E_LONG;
	*ret_len = len;
	return 0;
}

/* a line after the one that begins the entry: the next key that it may have, 0 at an error */
static unsigned value_take(struct menu_entry *e, unsigned key, const char *line, size_t len)
{
	const char *equals = memchr(line, '=', len);
	const size_t key_len = equals ? (size_t)(equals - line) : 0;

	for (; equals && key < MENU_KEYS; key++) {
		const char *value = equals + 1;
		const size_t value_len = len - key_len - 1;

		if (!word_is(line, key_len, menu_key_name((enum menu_key)key)))
			continue;
		if (!is_value((enum menu_key)key, value, value_len))
			return 0;
		memcpy(e->values[key], value, value_len);
		e->values[key][value_len] = '\0';
		return key + 1;
	}
	return 0;
}

/* "[NAME]" */
static int entry_begin(struct menu *m, const char *line, size_t len)
{
	struct menu_entry *e = &m->entries[m->n];

	if (len < 2 || line[len - 1] != ']' || !menu_is_name(line + 1, len - 2))
		return MENU_E_FORMAT;
	if (m->n == MENU_ENTRIES_MAX)
		return MENU_E_MANY;
	*e = (struct menu_entry){.shown = true};
	memcpy(e->name, line + 1, len - 2);
	m->n++;
	return m->n == 1 || strcmp((e - 1)->name, e->name) < 0 ? 0 : MENU_E_FORMAT;
}

int menu_decode(const void *bytes, size_t len, struct menu *ret)
{
	const char *at = bytes, *end = at + len;
	unsigned key = 0;

	ret->n = 0;
	if (len > MENU_LEN_MAX)
		return MENU_E_FORMAT;
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t line_len = line_end ? (size_t)(line_end - at) : 0;

		if (line_len == 0)
			return MENU_E_FORMAT;
		if (at[0] == '[') {
			int r = entry_begin(ret, at, line_len);

			if (r != 0)
				return r;
			key = 0;
		} else {
			/* the title is always there, and the first */
			key = ret->n > 0 ? value_take(&ret->entries[ret->n - 1], key, at, line_len)
					 : 0;
			if (key == 0 || ret->entries[ret->n - 1].values[MENU_TITLE][0] == '\0')
				return MENU_E_FORMAT;
		}
		at = line_end + 1;
	}
	for (unsigned i = 0; i < ret->n; i++)
		if (ret->entries[i].values[MENU_TITLE][0] == '\0')
			return MENU_E_FORMAT;
	return 0;
}

const struct menu_entry *menu_find(const struct menu *m, const char *name)
{
	for (unsigned i = 0; i < m->n; i++)
		if (str_eq(m->entries[i].name, name))
			return &m->entries[i];
	return NULL;
}

const char *menu_outcome_str(int outcome)
{
	static const char *const texts[] = {
		[0] = "well",
		[MENU_E_MANY] = "more applications than a menu has room for",
		[MENU_E_LONG] = "more is said of its applications than a menu has room for",
		[MENU_E_FORMAT] = "not what a menu looks like",
		[MENU_E_CUT] = "it was cut off in the middle of a line",
	};

	return outcome >= 0 && (size_t)outcome < ARRAY_LEN(texts) ? texts[outcome] : "unknown";
}
