/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qubes-policy grant: a rule for a time, as a file of the runtime folder (ruleset/grant.h) */
#include "qubes-policy.h"

#include "base/io.h"
#include "base/str.h"
#include "proto/decision.h"
#include "ruleset/grant.h"
#include "ui.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define PREFIX      "20-grant-"
#define SUFFIX      ".policy"
#define ID_MAX      999
#define SECONDS_MAX (INT64_C(30) * 86400)
#define EFFECT_MS   3000
#define FILE_MAX    4096

enum { FOR = OPTION_OWN, USER, LIST, REVOKE };

static int file_name(unsigned id, char *to, size_t size)
{
	return str_format(to, size, PREFIX "%u" SUFFIX, id);
}

/* the id in the name of such a file; 0: it is none */
static unsigned id_of(const char *name)
{
	size_t len = strlen(name), fixed = strlen(PREFIX) + strlen(SUFFIX);
	char digits[8];
	uint64_t id;

	if (!str_starts(name, PREFIX) || len <= fixed ||
	    !str_eq(name + len - strlen(SUFFIX), SUFFIX) ||
	    str_copy(digits, sizeof(digits), name + strlen(PREFIX), len - fixed) < 0 ||
	    str_u64(digits, ID_MAX, &id) < 0)
		return 0;
	return (unsigned)id;
}

/* how long something lasts, to the minute, or to the second at its end */
static const char *span(int64_t s, char *to, size_t size)
{
	if (s < 120)
		(void)snprintf(to, size, "%" PRId64 " s", s);
	else if (s < 7200)
		(void)snprintf(to, size, "%" PRId64 " min", s / 60);
	else
		(void)snprintf(to, size, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
	return to;
}

/* ---- listing and revoking */

/* the rule of a grant that holds, and how long; false: it is none, or over */
static bool read_grant(const char *dir, const char *name, const struct grant_now *now, char *rule,
		       size_t size, int64_t *ret_left)
{
	AUTO_FREE char *text = NULL;
	char path[PATH_MAX];
	int64_t until;
	size_t len;
	const char *line;

	if (str_format(path, sizeof(path), "%s/%s", dir, name) < 0 ||
	    io_read_file(AT_FDCWD, path, FILE_MAX, &text, &len) < 0 ||
	    grant_state(text, len, now, &until) != GRANT_HOLDS)
		return false;
	line = strchr(text, '\n') + 1;
	*ret_left = until - now->seconds;
	return str_copy(rule, size, line, strcspn(line, "\n")) == 0;
}

/* show all, or remove @id (0 = all); how many there were */
static int each(const struct args *a, const char *dir, bool revoke, unsigned id, unsigned *ret_n)
{
	struct grant_now now;
	struct dirent *e;
	DIR *d = opendir(dir);
	int result = 0;

	if (!d || grant_now(&now) < 0) {
		result = ui_fail_errno(a, dir, -errno);
		if (d)
			(void)closedir(d);
		return result;
	}
	while (result == 0 && (e = readdir(d))) {
		unsigned own = id_of(e->d_name);
		char rule[1024], text[64];
		int64_t left = 0;
		bool holds;

		if (own == 0 || (id != 0 && id != own))
			continue;
		holds = read_grant(dir, e->d_name, &now, rule, sizeof(rule), &left);
		if (revoke && unlinkat(dirfd(d), e->d_name, 0) < 0)
			result = ui_fail_errno(a, e->d_name, -errno);
		if (!holds)
			continue;
		++*ret_n;
		if (!revoke)
			(void)printf("%u\t%s\t%s\n", own, span(left, text, sizeof(text)), rule);
		else if (a->verbose >= 0)
			(void)printf("revoked: %s\n", rule);
	}
	(void)closedir(d);
	return result;
}

static int take_back(const struct args *a, const char *dir, const char *which)
{
	unsigned n = 0;
	uint64_t id = 0;
	int r;

	if (!str_eq(which, "all") && (str_u64(which, ID_MAX, &id) < 0 || id == 0)) {
		(void)ui_usage(a, "--revoke wants a number of --list, or all");
		return 2;
	}
	r = each(a, dir, true, (unsigned)id, &n);
	if (r == 0 && n == 0 && id != 0)
		return ui_fail(a, "there is no grant %" PRIu64, id);
	return r;
}

/* ---- granting */

/* "SERVICE ARGUMENT SOURCE TARGET allow", with the line that ends it in time */
static int make_file(const struct args *a, const struct grant_now *now, int64_t seconds, char *to,
		     size_t size)
{
	const char *service = a->words[2], *plus = strchrnul(service, '+'),
		   *user = args_value(a, USER);

	grant_line(now, seconds, to);
	return str_format(to + strlen(to), size - strlen(to), "%.*s %s %s %s allow%s%s\n",
			  (int)(plus - service), service, *plus == '+' ? plus : "*", a->words[0],
			  a->words[1], user ? " user=" : "", user ? user : "");
}

/* one rule and no more: no word may hold white space, or begin a comment or directive */
static bool words_are_words(const struct args *a)
{
	const char *user = args_value(a, USER);

	for (unsigned i = 0; i < 3; i++)
		if (!bytes_are_alnum_or(a->words[i], strlen(a->words[i]), "_.-+@:") ||
		    a->words[i][0] == '\0')
			return false;
	return !user || (user[0] != '\0' && bytes_are_alnum_or(user, strlen(user), "_.-"));
}

/* into place under a number that is free, in one step */
static int install(const struct args *a, const char *dir, const char *text, char *ret_name,
		   size_t size)
{
	char new[PATH_MAX], path[PATH_MAX];
	int r = str_format(new, sizeof(new), "%s.grant-%d", dir, getpid());

	r = r < 0 ? r : io_write_file(AT_FDCWD, new, text, strlen(text), 0600);
	for (unsigned id = 1; r == 0 && id <= ID_MAX; id++) {
		if (file_name(id, ret_name, size) < 0 ||
		    str_format(path, sizeof(path), "%s/%s", dir, ret_name) < 0)
			break;
		if (renameat2(AT_FDCWD, new, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			r = -errno;
	}
	(void)unlink(new);
	return r < 0 ? ui_fail_errno(a, dir, r) : ui_fail(a, "there are %u grants already", ID_MAX);
}

/* it holds for calls once policyd has read it; an earlier rule may decide otherwise for ever */
static bool takes_effect(const struct args *a)
{
	const struct decision_request q = {.source = a->words[0],
					   .target = a->words[1],
					   .service = a->words[2],
					   .just_evaluate = true};
	uint64_t end = io_now_ms() + EFFECT_MS;

	do {
		AUTO_FREE char *text = NULL;
		struct decision_answer answer;
		size_t len;

		if (policyd_ask(&q, &text, &len) < 0)
			return false;
		if (decision_answer_decode(text, len, &answer) == 0 && answer.allow)
			return true;
		(void)usleep(20000);
	} while (io_now_ms() < end);
	return false;
}

static int grant(const struct args *a, const char *dir, int64_t seconds)
{
	char text[1024], name[64], left[64];
	struct lint_file file = {.name = PREFIX "0" SUFFIX, .text = text};
	struct grant_now now;
	unsigned n_rules;
	int r = grant_now(&now);

	if (r < 0)
		return ui_fail_errno(a, NULL, r);
	if (!words_are_words(a) || make_file(a, &now, seconds, text, sizeof(text)) < 0) {
		(void)ui_usage(a, "source, target, service and user are words of a rule");
		return 2;
	}
	file.len = strlen(text);
	r = lint(a, NULL, NULL, &file, 1, &n_rules);
	if (r == 0)
		r = install(a, dir, text, name, sizeof(name));
	if (r != 0)
		return r;
	if (!takes_effect(a))
		ui_note(a, "an earlier rule decides, or nobody does: see qubes-policy explain");
	if (a->verbose >= 0)
		(void)printf("granted for %s; to take it back: qubes-policy grant --revoke %u\n",
			     span(seconds, left, sizeof(left)), id_of(name));
	return 0;
}

static int run(const struct args *a)
{
	const char *how_long = args_value(a, FOR), *which = args_value(a, REVOKE);
	struct instance_folders folders;
	bool listing = args_has(a, LIST);
	int64_t seconds = 0;
	unsigned n = 0;

	if ((how_long != NULL) + listing + (which != NULL) != 1 ||
	    a->n_words != (how_long ? 3u : 0u)) {
		(void)ui_usage(
			a, "--for with a source, a target and a service; or --list; or --revoke");
		return 2;
	}
	if (how_long &&
	    (duration_parse(how_long, &seconds) < 0 || seconds < 1 || seconds > SECONDS_MAX)) {
		(void)ui_usage(a, "--for wants a time like 30m, at most 30d");
		return 2;
	}
	if (instance_folders(&folders) < 0)
		return ui_fail(a, "no instance runs here");
	if (how_long)
		return grant(a, folders.runtime, seconds);
	return listing ? each(a, folders.runtime, false, 0, &n)
		       : take_back(a, folders.runtime, which);
}

static const struct option options[] = {
	{FOR, 0, "for", "TIME", "how long the rule holds: 90s, 30m, 12h, 7d"},
	{USER, 0, "user", "USER", "the user in the target"},
	{LIST, 0, "list", NULL, "show what holds: number, how long still, rule"},
	{REVOKE, 0, "revoke", "N", "end this one now; \"all\" ends all"},
	{0},
};

const struct command policy_grant = {
	.name = "grant",
	.summary = "allow calls for a time",
	.synopses = {"--for TIME [--user USER] SOURCE TARGET SERVICE[+ARGUMENT]", "--list",
		     "--revoke N"},
	.text = "Makes a rule that ends by itself:\n"
		"\n"
		"\tqubes-policy grant --for 30m work vault qubes.Filecopy\n"
		"\n"
		"Without an argument it is for all of the service's. The rule is a file " PREFIX
		"N" SUFFIX " in the\n"
		"instance's runtime folder, so it stands above 30-user.policy, and it ends with the "
		"machine's uptime at the\n"
		"latest. When its time is over it is passed over whether or not the file is still "
		"there; setting the clock\n"
		"changes nothing about it. qubes-policy log shows when it began and ended to hold.",
	.options = options,
	.words = {WORDS_ANY_QUBE, WORDS_ANY_QUBE, WORDS_NONE},
	.run = run,
};
