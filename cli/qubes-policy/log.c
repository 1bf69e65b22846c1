/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes-policy log: what was decided, from the two files that policyd writes in turn; where there are
 * none, from the journal.
 */
#include "loop/journal.h"
#include "qubes-policy.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/audit.h"
#include "ui.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define N_FILES   2 /* the sources behind them are the journal */
#define JOURNAL   2
#define N_SOURCES 3
#define FILE_MAX  (16 << 20)
#define FOLLOW_US 200000
#define COUNT_MAX 1000000

enum {
	CALLER = OPTION_OWN,
	SERVICE,
	TARGET,
	VERDICT,
	SINCE,
	UNTIL,
	COUNT,
	FOLLOW,
	RAW,
	JSON,
	FROM_JOURNAL
};

/* what is shown, and how */
struct filter {
	const char *caller, *service, *target, *verdict;
	int64_t since_us, until_us;
	bool raw, json;
};

/* a file or the journal: what was not there the last time */
struct source {
	char path[PATH_MAX];
	struct sd_journal *journal;
	off_t at;
	char *text;
	size_t len;
};

/* "a.B" is a.B with any argument too */
static bool is_service(const char *wanted, const char *service)
{
	size_t len = strlen(wanted);

	return str_starts(service, wanted) && (service[len] == '\0' || service[len] == '+');
}

static bool passes(const struct filter *f, const struct audit_entry *e)
{
	if (f->caller && !str_eq(f->caller, e->caller) && !str_eq(f->caller, e->remote))
		return false;
	if (f->service && !is_service(f->service, e->service))
		return false;
	if (f->target && !str_eq(f->target, e->target) && !str_eq(f->target, e->to))
		return false;
	if (f->verdict && !str_eq(f->verdict, audit_verdict_name(e->verdict)))
		return false;
	return e->time_us >= f->since_us && e->time_us <= f->until_us;
}

static void put_time(int64_t time_us)
{
	time_t seconds = (time_t)(time_us / 1000000);
	char text[32] = "?";
	struct tm t;

	if (localtime_r(&seconds, &t))
		(void)strftime(text, sizeof(text), "%F %T", &t);
	(void)fputs(text, stdout);
}

/* a qube may have written it */
static void put_quoted(const char *before, const char *text)
{
	char safe[4 * AUDIT_VALUE_MAX];

	if (text[0] != '\0')
		(void)printf("%s%s", before, log_quote(safe, sizeof(safe), text, strlen(text)));
}

static void put_entry(const struct audit_entry *e)
{
	put_time(e->time_us);
	(void)printf("  %-6s", audit_verdict_name(e->verdict));
	if (e->verdict == AUDIT_POLICY || e->verdict == AUDIT_FAULT) {
		put_quoted("  ", e->reason);
		(void)putchar('\n');
		return;
	}
	put_quoted("  ", e->caller);
	put_quoted(" for ", e->remote);
	put_quoted(" -> ", e->target[0] != '\0' ? e->target : "@default");
	if (!str_eq(e->to, e->target))
		put_quoted(" = ", e->to);
	put_quoted("  ", e->service);
	put_quoted("  ", e->rule);
	put_quoted("  ", e->reason);
	(void)printf("  %" PRIu64 " us", e->took_us);
	if (e->n_dropped > 0)
		(void)printf("  (%" PRIu64 " more before it)", e->n_dropped);
	(void)putchar('\n');
}

/* quoted as in the log, so that it is text whatever a qube wrote; left out if it is empty */
static void set_text(json_t *object, const char *key, const char *text)
{
	char safe[4 * AUDIT_VALUE_MAX];

	if (text[0] != '\0')
		(void)json_object_set_new(
			object, key,
			json_string(log_quote(safe, sizeof(safe), text, strlen(text))));
}

/* an object on a line, with the keys of doc/protocol/audit.md */
static void put_json(const struct audit_entry *e)
{
	json_t *object = json_object();

	(void)json_object_set_new(object, "time", json_real((double)e->time_us / 1e6));
	set_text(object, "verdict", audit_verdict_name(e->verdict));
	set_text(object, "caller", e->caller);
	set_text(object, "remote", e->remote);
	set_text(object, "service", e->service);
	set_text(object, "target", e->target);
	set_text(object, "to", e->to);
	set_text(object, "rule", e->rule);
	set_text(object, "reason", e->reason);
	(void)json_object_set_new(object, "us", json_integer((json_int_t)e->took_us));
	if (e->n_dropped > 0)
		(void)json_object_set_new(object, "dropped",
					  json_integer((json_int_t)e->n_dropped));
	(void)json_dumpf(object, stdout, JSON_REAL_PRECISION(16));
	(void)putchar('\n');
	json_decref(object);
}

/* decode a line in a copy; false: it is none, or nobody wants to see it */
static bool read_line(const struct filter *f, const char *line, size_t len, char *copy,
		      struct audit_entry *ret)
{
	if (len > AUDIT_MAX)
		return false;
	memcpy(copy, line, len);
	return audit_decode(copy, len, ret) == 0 && passes(f, ret);
}

/* what has come since the last time; a file that is shorter than it was has been begun anew */
static int read_new(struct source *s)
{
	struct stat st;
	AUTO_CLOSE int fd = s->journal ? NO_FD : open(s->path, O_RDONLY | O_CLOEXEC);

	free(take_ptr(&s->text));
	s->len = 0;
	if (s->journal)
		return journal_read(s->journal, FILE_MAX, &s->text, &s->len);
	if (fd < 0)
		return errno == ENOENT ? 0 : fail_errno();
	if (fstat(fd, &st) < 0)
		return fail_errno();
	if (st.st_size < s->at)
		s->at = 0;
	if (lseek(fd, s->at, SEEK_SET) < 0)
		return fail_errno();
	int r = io_read_all(fd, FILE_MAX, &s->text, &s->len);
	if (r < 0)
		return r;
	/* a line whose end has not come is for the next time */
	while (s->len > 0 && s->text[s->len - 1] != '\n')
		s->len--;
	s->at += (off_t)s->len;
	return 0;
}

/* of the lines of @s those that pass, but the first @skip; how many there were */
static unsigned put_lines(const struct filter *f, const struct source *s, unsigned skip, bool show)
{
	unsigned n = 0;

	for (size_t at = 0; at < s->len;) {
		const char *line = s->text + at, *end = memchr(line, '\n', s->len - at);
		size_t len = (size_t)(end + 1 - line);
		char copy[AUDIT_MAX];
		struct audit_entry e;

		at += len;
		if (!read_line(f, line, len, copy, &e) || n++ < skip || !show)
			continue;
		if (f->raw)
			(void)fwrite(line, 1, len, stdout);
		else if (f->json)
			put_json(&e);
		else
			put_entry(&e);
	}
	return n;
}

static int64_t first_time(const struct source *s)
{
	const char *end = s->len > 0 ? memchr(s->text, '\n', s->len) : NULL;
	const struct filter all = {.until_us = INT64_MAX};
	char copy[AUDIT_MAX];
	struct audit_entry e;

	if (!end || !read_line(&all, s->text, (size_t)(end + 1 - s->text), copy, &e))
		return 0;
	return e.time_us;
}

/* of all sources the last @count entries, the older file first */
static int put_all(const struct args *a, const struct filter *f, struct source *s, unsigned count)
{
	unsigned n[N_SOURCES], first, skip = 0;

	for (unsigned i = 0; i < N_SOURCES; i++) {
		int r = read_new(&s[i]);

		if (r < 0)
			return ui_fail_errno(a, s[i].path, r);
		n[i] = put_lines(f, &s[i], 0, false);
		skip += n[i];
	}
	skip = skip > count ? skip - count : 0;
	first = s[1].len > 0 && first_time(&s[1]) < first_time(&s[0]);
	(void)put_lines(f, &s[first], skip, true);
	(void)put_lines(f, &s[!first], skip > n[first] ? skip - n[first] : 0, true);
	(void)put_lines(f, &s[JOURNAL], skip, true); /* alone, if it is read at all */
	return fflush(stdout) == 0 ? 0 : 1;
}

/* "90s", "30m", "12h", "7d" before now; or "2026-01-31", with "12:00" or "12:00:00" behind it */
static int parse_time(const char *text, int64_t *ret_us)
{
	static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"};
	int64_t ago_s = 0;

	if (duration_parse(text, &ago_s) == 0) {
		*ret_us = ((int64_t)time(NULL) - ago_s) * 1000000;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct tm t = {.tm_isdst = -1};
		const char *end = strptime(text, formats[i], &t);
		time_t seconds = end && *end == '\0' ? mktime(&t) : -1;

		if (seconds >= 0) {
			*ret_us = (int64_t)seconds * 1000000;
			return 0;
		}
	}
	return -EINVAL;
}

/* the instance's files; if there are none, or if @wanted, the journal: of this instance, or where none is of all; 0; -errno */
static int sources_open(struct source *s, bool wanted)
{
	AUTO(paths_done) struct paths paths = {0};
	bool any = false;
	int r = paths_init(&paths, false);

	if (r < 0)
		return wanted ? journal_open(NULL, &s[JOURNAL].journal) : r;
	for (int i = 0; r == 0 && i < N_FILES; i++) {
		r = str_format(s[i].path, sizeof(s[i].path), "%s/log/policy-%d.log", paths.state,
			       i);
		any = any || (r == 0 && access(s[i].path, F_OK) == 0);
	}
	if (any && !wanted)
		return r;
	memset(s, 0, N_FILES * sizeof(*s));
	return journal_open(paths.state, &s[JOURNAL].journal);
}

static void sources_done(struct source *s)
{
	for (unsigned i = 0; i < N_SOURCES; i++) {
		free(take_ptr(&s[i].text));
		journal_close(&s[i].journal);
	}
}

void log_each(void (*fn)(void *data, const struct audit_entry *e), void *data)
{
	const struct filter all = {.until_us = INT64_MAX};
	struct source sources[N_SOURCES] = {0};
	int r = sources_open(sources, false);

	for (unsigned i = 0; r == 0 && i < N_SOURCES; i++) {
		struct source *s = &sources[i];

		r = read_new(s);
		for (size_t at = 0; r == 0 && at < s->len;) {
			const char *line = s->text + at, *end = memchr(line, '\n', s->len - at);
			char copy[AUDIT_MAX];
			struct audit_entry e;

			at += (size_t)(end + 1 - line);
			if (read_line(&all, line, (size_t)(end + 1 - line), copy, &e))
				fn(data, &e);
		}
	}
	sources_done(sources);
}

/* 0; 2, and said what is wrong */
static int parse(const struct args *a, struct filter *f, unsigned *ret_count)
{
	const char *since = args_value(a, SINCE), *until = args_value(a, UNTIL);
	const char *count_text = args_value(a, COUNT);
	enum audit_verdict verdict;
	uint64_t count = COUNT_MAX;

	*f = (struct filter){
		.caller = args_value(a, CALLER),
		.service = args_value(a, SERVICE),
		.target = args_value(a, TARGET),
		.verdict = args_value(a, VERDICT),
		.until_us = INT64_MAX,
		.raw = args_has(a, RAW),
		.json = args_has(a, JSON),
	};
	if (a->n_words > 0)
		(void)ui_usage(a, "it takes no words, but got '%s'", a->words[0]);
	else if ((since && parse_time(since, &f->since_us) < 0) ||
		 (until && parse_time(until, &f->until_us) < 0))
		(void)ui_usage(a, "--since and --until want a time ago like 30m, or one like "
				  "'2026-01-31 12:00'");
	else if (count_text && str_u64(count_text, COUNT_MAX, &count) < 0)
		(void)ui_usage(a, "--lines wants a number");
	else if (f->verdict && audit_verdict_find(f->verdict, &verdict) != 0)
		(void)ui_usage(a, "--verdict wants allow, deny, policy or fault");
	else if (f->raw && f->json)
		(void)ui_usage(a, "--raw or --json, not both");
	else {
		*ret_count = (unsigned)count;
		return 0;
	}
	return 2;
}

static int run(const struct args *a)
{
	struct source sources[N_SOURCES] = {0};
	struct filter f;
	unsigned count;
	int result = parse(a, &f, &count), r;

	if (result != 0)
		return result;
	r = sources_open(sources, args_has(a, FROM_JOURNAL));
	if (r < 0)
		result = ui_fail(a, "no instance is here (%s); --journal reads the journal",
				 log_errno_str(r));
	else
		result = put_all(a, &f, sources, count);
	while (result == 0 && args_has(a, FOLLOW)) {
		(void)usleep(FOLLOW_US);
		result = put_all(a, &f, sources, COUNT_MAX);
	}
	sources_done(sources);
	return result;
}

static const struct option options[] = {
	{CALLER, 'c', "caller", "QUBE",
	 "only calls of this qube, or of the remote one it spoke for", .words = WORDS_ANY_QUBE},
	{SERVICE, 's', "service", "SERVICE", "only calls of this service, with any argument"},
	{TARGET, 't', "target", "QUBE", "only calls to this target", .words = WORDS_ANY_QUBE},
	{VERDICT, 0, "verdict", "VERDICT", "only allow, deny, policy or fault"},
	{SINCE, 0, "since", "TIME",
	 "not what is longer ago: 90s, 30m, 12h, 7d; or before \"2026-01-31 12:00\""},
	{UNTIL, 0, "until", "TIME", "not what is later"},
	{COUNT, 'n', "lines", "N", "the last N only"},
	{FOLLOW, 'f', "follow", NULL, "go on with what comes"},
	{JSON, 0, "json", NULL, "a JSON object for each, for programs"},
	{RAW, 0, "raw", NULL, "the lines as they stand in the log"},
	{FROM_JOURNAL, 0, "journal", NULL,
	 "from the journal, where the instance's own files would be read"},
	{0},
};

const struct command policy_log = {
	.name = "log",
	.summary = "show what was decided",
	.synopses = {"[OPTION]..."},
	.text = "A line for each call that was allowed or refused: when, who called what where, the "
		"rule that decided,\n"
		"why it was refused beside that, and how long it took. Where another policy began to "
		"hold, or one with a\n"
		"fault, there is a line too.\n"
		"\n"
		"\tqubes-policy log --caller work --verdict deny --since 1h\n"
		"\n"
		"It reads the instance's own files, and where there are none the journal, which can be "
		"asked by itself, of all\n"
		"instances: journalctl -t qrexec-policyd BULKHEAD_CALLER=work\n"
		"\n"
		"A qube that calls without end has 100 lines in 10 seconds; its next line says how many "
		"more there were.",
	.options = options,
	.run = run,
};
