/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policyd writes the keys of a line as fields of their own; here they become that line again. */
#include "loop/journal.h"

#include "base/log.h"
#include "base/str.h"
#include "proto/audit.h"

#include <stdio.h>
#include <string.h>
#include <systemd/sd-journal.h>

#define FIELD "BULKHEAD_"

/* what is matched is all of one field */
static int match_instance(sd_journal *j, const char *instance)
{
	char quoted[AUDIT_INSTANCE_MAX], field[sizeof(AUDIT_INSTANCE "=") + sizeof(quoted)];

	(void)snprintf(field, sizeof(field), AUDIT_INSTANCE "=%s",
		       log_quote(quoted, sizeof(quoted), instance, strlen(instance)));
	return sd_journal_add_match(j, field, 0);
}

int journal_open(const char *instance, struct sd_journal **ret)
{
	sd_journal *j;
	int r = sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY);

	if (r < 0)
		return r;
	r = sd_journal_add_match(j, "SYSLOG_IDENTIFIER=qrexec-policyd", 0);
	if (r >= 0 && instance)
		r = match_instance(j, instance);
	if (r >= 0)
		r = sd_journal_seek_head(j);
	if (r < 0) {
		sd_journal_close(j);
		return r;
	}
	*ret = j;
	return 0;
}

void journal_close(struct sd_journal **j)
{
	if (*j)
		sd_journal_close(*j);
	*j = NULL;
}

static void field_of(const char *key, char *to, size_t size)
{
	size_t n = strlen(FIELD);

	memcpy(to, FIELD, n);
	for (; *key != '\0' && n + 1 < size; key++)
		to[n++] = (char)(*key - 'a' + 'A');
	to[n] = '\0';
}

/* the entry's line with its newline at @to, of AUDIT_MAX bytes; 0: it is no decision */
static size_t make_line(sd_journal *j, char *to)
{
	const char *key;
	size_t n = 0;

	for (unsigned i = 0; (key = audit_key(i)); i++) {
		const char *data, *value;
		const void *bytes;
		char field[32];
		size_t len;

		field_of(key, field, sizeof(field));
		if (sd_journal_get_data(j, field, &bytes, &len) < 0)
			continue;
		data = bytes;
		value = memchr(data, '=', len);
		if (!value)
			return 0;
		len -= (size_t)(value - data);
		/* @value begins with the "="; a newline is still to come */
		if (str_format(to + n, AUDIT_MAX - n, "%s%s", n > 0 ? "\t" : "", key) < 0)
			return 0;
		n += strlen(to + n);
		if (len >= AUDIT_MAX - n)
			return 0;
		memcpy(to + n, value, len);
		n += len;
	}
	if (n > 0)
		to[n++] = '\n';
	return n;
}

/* the newer half stays, from the beginning of a line on */
static size_t drop_old(char *text, size_t len)
{
	const char *end = memchr(text + len / 2, '\n', len - len / 2);
	size_t kept = end ? len - (size_t)(end + 1 - text) : 0;

	memmove(text, text + len - kept, kept);
	return kept;
}

int journal_read(struct sd_journal *j, size_t max, char **ret, size_t *ret_len)
{
	size_t len = 0, room = AUDIT_MAX;
	AUTO_FREE char *text = malloc(room);
	int r = text ? 1 : -ENOMEM;

	/* files that have come or gone meanwhile */
	if (text)
		(void)sd_journal_wait(j, 0);
	while (r > 0 && (r = sd_journal_next(j)) > 0) {
		if (room - len < AUDIT_MAX && 2 * room <= max) {
			char *more = realloc(text, 2 * room);

			if (!more)
				return -ENOMEM;
			text = more;
			room *= 2;
		}
		while (room - len < AUDIT_MAX)
			len = drop_old(text, len);
		len += make_line(j, text + len);
	}
	if (r < 0)
		return r;
	*ret = take_ptr(&text);
	*ret_len = len;
	return 0;
}
