/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of a call: asked of policyd (doc/protocol/decision.md) or, where its socket is not, of the policy program,
 * which writes the same answer to its standard output. No answer, and any that is not as it must be, is a refusal.
 */
#include "broker.h"

#include "base/str.h"
#include "loop/spawn.h"
#include "proto/decision.h"
#include "qrexec/call.h"
#include "qrexec/login.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* PROGRAM [--requested-source=REMOTE] -- SOURCE TARGET SERVICE; one that knows no remote qubes fails, which refuses */
static int program_start(struct broker *b, struct call *c)
{
	char requested[sizeof("--requested-source=") + sizeof(c->source)], *argv[7];
	AUTO_CLOSE int own = NO_FD, its = NO_FD, pidfd = NO_FD;
	struct spawn_fd fds[1];
	int pair[2], n = 0, r;

	(void)snprintf(requested, sizeof(requested), "--requested-source=%s", c->source);
	argv[n++] = (char *)b->policy_program;
	if (c->source[0] != '\0')
		argv[n++] = requested;
	argv[n++] = (char *)"--";
	argv[n++] = (char *)b->name;
	argv[n++] = c->target;
	argv[n++] = c->service;
	argv[n] = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno();
	own = pair[0];
	its = pair[1];
	fds[0] = (struct spawn_fd){.from = its, .to = STDOUT_FILENO};
	r = spawn(&(struct spawn){.path = b->policy_program, .argv = argv, .fds = fds, .n_fds = 1},
		  &c->pid, &pidfd);
	if (r == 0)
		r = io_set_nonblock(own, true);
	if (r < 0)
		return r;
	c->fd = take_fd(&own);
	c->asked = true;
	return 0;
}

static int question_write(struct broker *b, struct call *c)
{
	const struct decision_request q = {.source = b->name,
					   .requested_source =
						   c->source[0] != '\0' ? c->source : NULL,
					   .target = c->target,
					   .service = c->service,
					   .decided_target = c->decided_target};
	const size_t size = 512 + strlen(c->service);

	c->text = malloc(size);
	if (!c->text)
		return -ENOMEM;
	c->len = decision_request_encode(&q, c->text, size);
	return c->len == 0 ? -EINVAL : 0;
}

static int question_send(struct call *c)
{
	while (c->at < c->len) {
		ssize_t n = send(c->fd, c->text + c->at, c->len - c->at, MSG_NOSIGNAL);

		if (n < 0)
			return fail_errno();
		c->at += (size_t)n;
	}
	c->asked = true;
	c->len = 0;
	return 0;
}

/* a new socket has room for it, as a rule */
static int question_ask(struct broker *b, struct call *c)
{
	int r = question_write(b, c);

	if (r == 0)
		r = question_send(c);
	return r == -EAGAIN ? 0 : r;
}

void decide_start(struct broker *b, struct call *c)
{
	int r;

	c->state = CALL_DECIDING;
	r = io_unix_connect_now(b->policy_socket, SOCK_STREAM, &c->fd);
	if (r == -EAGAIN) {
		call_retry(c);
		return;
	}
	/* only the second question has a limit, however long the first one waited to be asked */
	if (!c->decided)
		c->until_ms = 0;
	if (r == 0)
		r = question_ask(b, c);
	else if ((r == -ENOENT || r == -ECONNREFUSED) && b->policy_program && !c->decided)
		r = program_start(b, c);
	if (r < 0)
		call_refuse(b, c, "the policy cannot be asked (%s): %s",
			    c->fd < 0 && b->policy_program ? b->policy_program : b->policy_socket,
			    log_errno_str(r));
}

void decide_again(struct broker *b, struct call *c)
{
	c->at = c->len = 0;
	c->until_ms = io_now_ms() + ANSWER_MS;
	decide_start(b, c);
}

/* what stands in a command, between blanks */
static bool is_word(const char *s)
{
	return s[0] != '\0' && bytes_are_alnum_or(s, strlen(s), "_.-+@:$");
}

/* "@..." is a keyword, all else a name */
static bool is_keyword(const char *target)
{
	return target[0] == '@';
}

/* what the callee is to run */
static int command_make(const struct broker *b, struct call *c, const struct decision_answer *a)
{
	const char *service = a->service ? a->service : c->service;
	const char *plus = strchr(service, '+') ? "" : "+";
	const char *source = a->policy_source ? a->policy_source : b->name;
	const bool keyword = is_keyword(a->requested_target);
	int n;

	if (!is_word(service) || !is_word(source) || !is_word(a->user) || strpbrk(a->user, "+@:") ||
	    !is_word(a->requested_target))
		return -EPROTO;
	if (c->to_dom0)
		n = asprintf(&c->command, "%s:QUBESRPC %s%s %s %s %s", a->user, service, plus,
			     source, keyword ? "keyword" : "name",
			     a->requested_target + (keyword ? 1 : 0));
	else
		n = asprintf(&c->command, "%s:QUBESRPC %s%s %s", a->user, service, plus, source);
	if (n < 0) {
		c->command = NULL;
		return -ENOMEM;
	}
	return (size_t)n < QREXEC_COMMAND_MAX ? 0 : -E2BIG;
}

/* a service of dom0 runs as who we are, or as whom we can become; NULL, or why not */
static const char *user_refused(const char *user)
{
	struct login l;
	int r = str_eq(user, CALL_USER_DEFAULT) ? 0 : login_find(user, &l);

	if (r == 0 && !str_eq(user, CALL_USER_DEFAULT))
		login_done(&l);
	return r == 0 ? NULL : login_outcome_str(r);
}

/* an answer in one form, to be compared; NULL: no memory */
static char *answer_text(const struct decision_answer *a)
{
	char *text = malloc(DECISION_MAX + 1), *fits;
	size_t len = text ? decision_answer_encode(a, text, DECISION_MAX) : 0;

	if (len == 0) {
		free(text);
		return NULL;
	}
	text[len] = '\0';
	fits = realloc(text, len + 1);
	return fits ? fits : text;
}

/* the second answer, about a call whose disposable is there */
static void answer_compare(struct broker *b, struct call *c, const struct decision_answer *a)
{
	AUTO_FREE char *text = answer_text(a);

	if (!text || !str_eq(text, c->decided)) {
		call_refuse(b, c, "the policy has changed since its disposable was made");
		return;
	}
	free(take_ptr(&c->text));
	callee_start(b, c);
}

/* the first one goes to a disposable: it is remembered, and what it is made from */
static int answer_remember(struct call *c, const struct decision_answer *a)
{
	c->decided = answer_text(a);
	c->decided_target = strdup(a->target);
	return c->decided && c->decided_target ? 0 : -ENOMEM;
}

static void answer_take(struct broker *b, struct call *c)
{
	static const char disposable[] = "@dispvm:";
	struct decision_answer a;
	const char *why;
	bool made;
	int r;

	if (decision_answer_decode(c->text, c->len, &a) != 0) {
		call_refuse(b, c, "the policy's answer is malformed, or there is none");
		return;
	}
	if (!a.allow) {
		call_refuse(b, c, "denied by the policy");
		return;
	}
	if (c->decided) {
		answer_compare(b, c, &a);
		return;
	}
	c->to_dom0 = str_eq(a.target, "dom0") || str_eq(a.target, "@adminvm");
	why = c->to_dom0 ? user_refused(a.user) : NULL;
	if (why) {
		call_refuse(b, c, "in dom0 it cannot run as the policy's user=%.64s: %s", a.user,
			    why);
		return;
	}
	c->autostart = a.autostart;
	made = str_starts(a.target, disposable);
	r = made ? answer_remember(c, &a) : 0;
	if (made) {
		a.target += strlen(disposable);
		if (a.target_uuid && str_starts(a.target_uuid, disposable))
			a.target_uuid += strlen(disposable);
	}
	if (r == 0)
		r = command_make(b, c, &a);
	if (r == 0 && !c->to_dom0)
		r = str_copy(c->callee_name, sizeof(c->callee_name), a.target, strlen(a.target));
	if (r == 0 && !c->to_dom0 && a.target_uuid && !str_eq(a.target_uuid, "uuid:"))
		r = str_copy(c->callee_uuid, sizeof(c->callee_uuid), a.target_uuid,
			     strlen(a.target_uuid));
	if (r == 0 && !c->to_dom0 && (!is_word(c->callee_name) || is_keyword(c->callee_name)))
		r = -EPROTO;
	free(c->text);
	c->text = NULL;
	if (r < 0)
		call_refuse(b, c, "the policy's answer cannot be carried out: %s",
			    log_errno_str(r));
	else if (c->to_dom0)
		call_connect_caller(b, c);
	else if (made)
		callee_make(b, c);
	else
		callee_start(b, c);
}

/* 0: the end; -EAGAIN; -errno */
static int answer_read(struct call *c)
{
	for (;;) {
		char more[1024], *text;
		ssize_t n = read(c->fd, more, sizeof(more));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? 0 : fail_errno();
		if (c->len + (size_t)n > DECISION_MAX)
			return -EMSGSIZE;
		text = realloc(c->text, c->len + (size_t)n);
		if (!text)
			return -ENOMEM;
		memcpy(text + c->len, more, (size_t)n);
		c->text = text;
		c->len += (size_t)n;
	}
}

void decide_turn(struct broker *b, struct call *c, short revents)
{
	int r = 0;

	if (c->fd >= 0 && revents) {
		if (!c->asked)
			r = question_send(c);
		if (r == 0)
			r = answer_read(c);
		if (r == -EAGAIN)
			return;
		close_fd(&c->fd);
		if (r < 0) {
			call_refuse(b, c, "the policy cannot be asked: %s", log_errno_str(r));
			return;
		}
	}
	/* or it could not be asked yet */
	if (c->fd >= 0 || c->pid != 0 || c->again_ms > 0)
		return;
	c->asked = false;
	if (c->status != 0)
		call_refuse(b, c, "denied by %s", b->policy_program);
	else
		answer_take(b, c);
}
