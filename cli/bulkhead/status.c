/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bulkhead status: does it run, where is it, how many qubes, has the policy a fault */
#include "bulkhead.h"

#include "base/log.h"
#include "base/paths.h"
#include "base/str.h"
#include "pairs.h"
#include "qubesd.h"
#include "ruleset/ruleset.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

enum { JSON = OPTION_OWN };

/* what policyd makes of the policy's files: how many rules, or why every call is refused */
static bool check_policy(const struct paths *paths, char *to, size_t size)
{
	struct ruleset AUTO(ruleset_done) rules = {0};
	char runtime[PATH_MAX], config[PATH_MAX];
	const char *folders[] = {runtime, config, NULL};
	AUTO_FREE struct policy *p = NULL;
	AUTO_FREE char *path = NULL;
	struct policy_error e = {0};
	int r = str_format(runtime, sizeof(runtime), "%s/policy.d", paths->run);

	if (r == 0)
		r = str_format(config, sizeof(config), "%s/policy.d", paths->config);
	if (r == 0)
		r = ruleset_read(folders, RULESET_LEGACY_DIR, &rules, &path);
	if (r == 0)
		r = ruleset_compile(&rules, &p, &e);
	if (r == 0)
		(void)snprintf(to, size, "%u rule%s", policy_n_rules(p),
			       policy_n_rules(p) == 1 ? "" : "s");
	else if (r < 0)
		(void)snprintf(to, size, "%s%s%s", path ? path : "", path ? ": " : "",
			       log_errno_str(r));
	else if (e.line > 0)
		(void)snprintf(to, size, "%s:%u: %s", e.file, e.line, e.reason);
	else
		(void)snprintf(to, size, "%s", e.reason);
	return r == 0;
}

void print_json_text(const char *text, int len)
{
	for (int i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];

		if (c < 0x20)
			(void)printf("\\u%04x", c);
		else
			(void)printf("%s%c", strchr("\"\\", c) ? "\\" : "", c);
	}
}

/* a number as one, anything else as text */
static void put_json_value(const char *value, int len)
{
	if (len > 0 && strspn(value, "0123456789") == (size_t)len) {
		(void)printf("%.*s", len, value);
		return;
	}
	(void)putchar('"');
	print_json_text(value, len);
	(void)putchar('"');
}

/* "key=value" lines as a JSON object; @fault NULL: the policy has none */
static void print_json(const char *lines, const char *fault)
{
	(void)fputs("{\"running\": true", stdout);
	for (const char *at = lines; *at != '\0';) {
		int len = (int)strcspn(at, "\n"), key = (int)strcspn(at, "=");

		if (key < len) {
			(void)printf(", \"%.*s\": ", key, at);
			put_json_value(at + key + 1, len - key - 1);
		}
		at += len + (at[len] == '\n');
	}
	if (fault) {
		(void)fputs(", \"policy_fault\": \"", stdout);
		print_json_text(fault, (int)strlen(fault));
		(void)putchar('"');
	}
	(void)puts("}");
}

/* the value of @key, printed */
static void put_value(const char *lines, const char *before, const char *key, const char *after)
{
	size_t key_len = strlen(key);

	(void)fputs(before, stdout);
	for (const char *at = lines; *at != '\0';) {
		size_t len = strcspn(at, "\n");

		if (len > key_len && strncmp(at, key, key_len) == 0 && at[key_len] == '=')
			(void)printf("%.*s", (int)(len - key_len - 1), at + key_len + 1);
		at += len + (at[len] == '\n');
	}
	(void)fputs(after, stdout);
}

/* the fullest pool, and who waits for room */
static void put_room(const char *lines)
{
	char pool[128], n_full[24];

	if (pairs_get(lines, "fullest_pool", pool, sizeof(pool))[0] == '\0')
		return;
	(void)printf("room       pool %s", pool);
	put_value(lines, " is ", "fullest_percent", " % full");
	if (!str_eq(pairs_get(lines, "n_full", n_full, sizeof(n_full)), "0"))
		(void)printf("; qubes that stand still until there is room: %s", n_full);
	(void)putchar('\n');
}

static int run(const struct args *a)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	char policy[600];
	struct paths paths;
	bool policy_good;
	int r;

	if (a->n_words > 0) {
		(void)ui_usage(a, "it takes no arguments, but got '%s'", a->words[0]);
		return 2;
	}
	r = client_call(NULL, "bulkhead.Status", "dom0", NULL, NULL, 0, NO_FD, &answer);
	if (r == -ENOENT || r == -ECONNREFUSED) {
		(void)puts(args_has(a, JSON) ? "{\"running\": false}"
					     : "not running; start it with: bulkhead start");
		return 1;
	}
	if (r != 0)
		return qubesd_failed(a, NULL, r, &answer);
	r = paths_init(&paths, false);
	if (r < 0)
		return ui_fail_errno(a, "the instance's folders", r);
	policy_good = check_policy(&paths, policy, sizeof(policy));
	if (args_has(a, JSON)) {
		print_json(answer.data, policy_good ? NULL : policy);
		paths_done(&paths);
		return 0;
	}
	put_value(answer.data, "running    qubesd ", "version", "");
	put_value(answer.data, ", process ", "pid", "\n");
	put_value(answer.data, "qubes      ", "n_qubes", "");
	put_value(answer.data, ", ", "n_running", " running\n");
	put_room(answer.data);
	(void)printf("policy     %s%s\n", policy_good ? "" : "every call is refused: ", policy);
	(void)printf(
		"prompt     %s\n",
		prompt_listens(&paths)
			? "asks on the display"
			: "none: what the policy asks about is asked on the terminal of qvm-run, or denied; where there is a "
			  "display, `bulkhead start` starts it");
	(void)printf("state      %s\nlog        %s/log/qubesd.log\nsockets    %s\n", paths.state,
		     paths.state, paths.run);
	paths_done(&paths);
	return 0;
}

static const struct option options[] = {
	{JSON, 0, "json", NULL, "for programs"},
	{0},
};

const struct command bulkhead_status = {
	.name = "status",
	.summary = "say whether the instance runs and where it is",
	.synopses = {"[--json]"},
	.text = "Exit status 0 if it runs, 1 if not.",
	.options = options,
	.run = run,
};
