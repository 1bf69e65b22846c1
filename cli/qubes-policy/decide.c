/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qubes-policy decide, qrexec-policy-exec: one question, as a daemon asks it */
#include "qubes-policy.h"

#include "base/io.h"
#include "base/str.h"
#include "proto/decision.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SYSTEM_SOCKET "/run/qubes/" DECISION_SOCKET

enum { YES = OPTION_OWN, EVALUATE, REQUESTED_SOURCE };

static const char refusal[] = "result=deny\n";

/* of this instance, or of a dom0 that is a system of its own */
static int connect_policyd(int *ret_fd)
{
	char path[PATHS_RUN_MAX + sizeof("/" DECISION_SOCKET)];
	struct paths paths;
	int r = paths_init(&paths, false);

	if (r == 0) {
		r = str_format(path, sizeof(path), "%s/%s", paths.run, DECISION_SOCKET);
		paths_done(&paths);
		if (r == 0)
			r = io_unix_connect(path, SOCK_STREAM, ret_fd);
	}
	return r == 0 ? 0 : io_unix_connect(SYSTEM_SOCKET, SOCK_STREAM, ret_fd);
}

int policyd_ask(const struct decision_request *q, char **ret_text, size_t *ret_len)
{
	AUTO_FREE char *question = malloc(DECISION_MAX);
	AUTO_CLOSE int fd = NO_FD;
	size_t len;
	int r;

	if (!question)
		return -ENOMEM;
	len = decision_request_encode(q, question, DECISION_MAX);
	if (len == 0)
		return -EINVAL;
	r = connect_policyd(&fd);
	if (r == 0)
		r = io_write_full(fd, question, len);
	return r < 0 ? r : io_read_all(fd, DECISION_MAX, ret_text, ret_len);
}

/* nobody is there to start it */
static bool is_up(const struct system *s, const struct policy_target *t)
{
	return t->prefix[0] == '\0' && t->qube < s->n_qubes &&
	       (s->qubes[t->qube].running || str_eq(s->qubes[t->qube].type, "AdminVM"));
}

/* what policyd would say, in @text of DECISION_MAX bytes */
static int evaluate(const struct args *a, const struct decision_request *q, char *text)
{
	struct system AUTO(system_done) system = {0};
	AUTO_FREE struct policy *p = NULL;
	AUTO_FREE struct policy_view *v = NULL;
	AUTO_FREE char *service = strdup(q->service);
	struct policy_request call = {.source = q->source,
				      .requested_source = q->requested_source,
				      .target = q->target,
				      .argument = ""};
	struct policy_answer answer;
	char *plus;

	if (!service || policy_load(a, NULL, NULL, &p) != 0 || system_load(a, NULL, &system) != 0 ||
	    view_new(p, &system, &v) != 0)
		return 1;
	plus = strchr(service, '+');
	if (plus) {
		*plus = '\0';
		call.argument = plus + 1;
	}
	call.service = service;
	policy_decide(v, &call, &answer);
	if (answer.verdict != POLICY_ALLOW ||
	    (!q->just_evaluate && !is_up(&system, &answer.target)))
		return 1;
	return policy_reply(v, &call, &answer.target, answer.user, answer.autostart, text,
			    DECISION_MAX) < 0;
}

static int run(const struct args *a)
{
	AUTO_FREE char *text = NULL, *copy = NULL;
	struct decision_request q = {
		.requested_source = args_value(a, REQUESTED_SOURCE),
		.just_evaluate = args_has(a, EVALUATE),
		.assume_yes = args_has(a, YES),
	};
	struct decision_answer answer = {0};
	size_t len = 0;
	int r;

	if (a->n_words != 3) {
		(void)ui_usage(a, "it takes a source, a target and a service");
		return 2;
	}
	q.source = a->words[0];
	q.target = a->words[1];
	q.service = a->words[2];
	r = policyd_ask(&q, &text, &len);
	if (r == -ENOENT || r == -ECONNREFUSED) {
		text = malloc(DECISION_MAX);
		if (!text)
			return ui_fail_errno(a, NULL, -ENOMEM);
		r = evaluate(a, &q, text);
		len = r == 0 ? strlen(text) : 0;
	} else if (r < 0) {
		(void)ui_fail_errno(a, "the question", r);
	}
	copy = r == 0 && len > 0 ? strndup(text, len) : NULL;
	if (!copy || decision_answer_decode(copy, len, &answer) != 0 || !answer.allow) {
		(void)fputs(refusal, stdout);
		return 1;
	}
	(void)fwrite(text, 1, len, stdout);
	return 0;
}

static const struct option options[] = {
	{EVALUATE, 0, "just-evaluate", NULL, "nobody is asked and nothing is started or logged"},
	{YES, 0, "assume-yes-for-ask", NULL, "as if the person had agreed"},
	{REQUESTED_SOURCE, 0, "requested-source", "QUBE", "the remote qube that SOURCE speaks for"},
	{0},
};

const struct command policy_decide_command = {
	.name = "decide",
	.summary = "ask for one decision as a daemon does",
	.synopses = {"[OPTION]... [--] SOURCE TARGET SERVICE[+ARGUMENT]"},
	.text = "Asks qrexec-policyd and shows its answer, a line KEY=VALUE each; \"result=deny\" "
		"alone is a refusal.\n"
		"Without a policyd it reads policy and qubes itself; then nobody starts a target that "
		"does not run, so\n"
		"calls to those are refused. The program qrexec-policy-exec is this command.",
	.sections = {{"EXIT STATUS", "0 allowed; 1 refused; 2 called wrongly."}},
	.options = options,
	.words = {WORDS_ANY_QUBE, WORDS_ANY_QUBE, WORDS_NONE},
	.run = run,
};
