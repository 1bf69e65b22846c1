/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "binds.h"

#include "base/str.h"

#include <string.h>

struct scan {
	const char *at, *end;
};

static bool scan_is(const struct scan *s, char c)
{
	return s->at < s->end && *s->at == c;
}

static void scan_line_end(struct scan *s)
{
	while (s->at < s->end && *s->at != '\n')
		s->at++;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* white space and comments; with @lines, line ends too */
static void scan_space(struct scan *s, bool lines)
{
	while (s->at < s->end) {
		if (*s->at == '#')
			scan_line_end(s);
		else if (is_blank(*s->at) || (lines && *s->at == '\n'))
			s->at++;
		else
			return;
	}
}

static bool scan_word_is(struct scan *s, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		return false;
	s->at += len;
	return true;
}

/* one word of a list into @to; false if a quote does not end, or it is too long */
static bool scan_value(struct scan *s, char *to, size_t size)
{
	const char *from = s->at, *stop;

	if (scan_is(s, '\'') || scan_is(s, '"')) {
		char quote = *s->at;

		from++;
		stop = memchr(from, quote, (size_t)(s->end - from));
		if (!stop)
			return false;
		s->at = stop + 1;
	} else {
		while (s->at < s->end && !is_blank(*s->at) && *s->at != '\n' && *s->at != ')')
			s->at++;
		stop = s->at;
	}
	return str_copy(to, size, from, (size_t)(stop - from)) == 0;
}

/* absolute, no "." or ".." or empty part, nothing a shell would have expanded; "/" itself is no
 * bind */
static bool path_is_plain(const char *path)
{
	if (path[0] != '/' || path[1] == '\0' || strpbrk(path, "$`\\*?[\n"))
		return false;
	for (const char *part = path; *part == '/';) {
		size_t len = strcspn(++part, "/");

		if (len == 0 || (len <= 2 && strspn(part, ".") >= len))
			return false;
		part += len;
	}
	return true;
}

static void binds_add(struct binds *b, char *path)
{
	size_t len = strlen(path);

	if (len > 1 && path[len - 1] == '/')
		path[len - 1] = '\0';
	for (unsigned i = 0; i < b->n; i++)
		if (str_eq(b->paths[i], path))
			return;
	if (!path_is_plain(path) || b->n == BINDS_MAX) {
		b->n_passed_over++;
		return;
	}
	if (str_copy(b->paths[b->n], sizeof(b->paths[0]), path, strlen(path)) == 0)
		b->n++;
}

/* what stands behind "binds": an operator and a list; false if it is something else */
static bool scan_list(struct scan *s, struct binds *b)
{
	bool add = scan_is(s, '+');
	char path[BIND_PATH_MAX + 1];

	if (add)
		s->at++;
	if (!scan_word_is(s, "=("))
		return false;
	/* a list that does not end changes nothing */
	struct scan ahead = *s;
	for (;;) {
		scan_space(&ahead, true);
		if (ahead.at == ahead.end)
			return false;
		if (scan_is(&ahead, ')'))
			break;
		if (!scan_value(&ahead, path, sizeof(path)))
			return false;
	}
	if (!add)
		b->n = 0;
	for (;;) {
		scan_space(s, true);
		if (scan_is(s, ')'))
			break;
		if (scan_value(s, path, sizeof(path)))
			binds_add(b, path);
	}
	s->at++;
	return true;
}

void binds_parse(struct binds *binds, const char *text, size_t len)
{
	struct scan s = {.at = text, .end = text + len};

	for (;;) {
		scan_space(&s, true);
		if (s.at == s.end)
			return;
		if (!scan_word_is(&s, "binds") || !scan_list(&s, binds)) {
			binds->n_passed_over++;
			scan_line_end(&s);
			continue;
		}
		scan_space(&s, false);
		if (scan_is(&s, ';'))
			s.at++;
	}
}
