/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bulkhead status: does it run, where is it, how many qubes */
#include "bulkhead.h"

#include "base/paths.h"
#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

enum { JSON = OPTION_OWN };

/* a number as one, anything else as text */
static void put_json_value(const char *value, int len)
{
	if (len > 0 && strspn(value, "0123456789") == (size_t)len) {
		(void)printf("%.*s", len, value);
		return;
	}
	(void)putchar('"');
	for (int i = 0; i < len; i++)
		(void)printf("%s%c", strchr("\"\\", value[i]) ? "\\" : "", value[i]);
	(void)putchar('"');
}

/* "key=value" lines as a JSON object */
static void print_json(const char *lines)
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

static int run(const struct args *a)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	struct paths paths;
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
	if (args_has(a, JSON)) {
		print_json(answer.data);
		return 0;
	}
	put_value(answer.data, "running    qubesd ", "version", "");
	put_value(answer.data, ", process ", "pid", "\n");
	put_value(answer.data, "qubes      ", "n_qubes", "");
	put_value(answer.data, ", ", "n_running", " running\n");
	r = paths_init(&paths, false);
	if (r < 0)
		return ui_fail_errno(a, "the instance's folders", r);
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
