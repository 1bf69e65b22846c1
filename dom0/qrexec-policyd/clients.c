/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions: each connection brings one and gets one answer, or one after another that are only about what would be decided.
 *
 * Most are whole when they are accepted, and are answered in that turn. One that the policy asks
 * about waits for the person; when its caller leaves, the question is taken back. One whose target
 * has to be started waits for qubesd; a caller that leaves meanwhile is forgotten, the start goes on.
 * What a client costs is its question (at most DECISION_MAX), that to the person and its answer.
 */
#include "policyd.h"

#include "base/io.h"
#include "base/str.h"
#include "proto/decision.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define ACCEPTS_MAX     64  /* in one turn */
#define ACCEPT_AGAIN_MS 100 /* when there was no descriptor for one more */
#define POLL_NONE       UINT_MAX
/* of CLIENTS_MAX and PROMPTS_MAX, for one caller: else one that calls what takes a while to start, or nobody answers,
 * would keep all others from being decided. Nor may all together that wait for a start */
#define CALLER_STARTS_MAX  64
#define STARTS_MAX         (CLIENTS_MAX / 2)
#define CALLER_PROMPTS_MAX 8
/* of CLIENTS_MAX, for those that stay: of one caller, and of all. One that shows the desktop has some ten for its widgets, and
 * lists besides, many of them at once when it begins
 */
#define CALLER_KEPT_MAX 32
#define KEPT_MAX        (CLIENTS_MAX / 4)
/* what is read on of something that is no question, so that who still writes it hears the answer:
 * closing a socket with unread bytes takes the answer away
 */
#define DRAIN_MAX ((size_t)1 << 20)
#define DRAIN_MS  2000

/* enum state - in this order */
enum state {
	ASKING,    /* its question is to come */
	PROMPTING, /* for the person's answer to @prompting */
	WAITING,   /* for what qubesd says about @wish */
	ANSWERING, /* its answer did not fit the socket */
	DRAINING,  /* it has its answer and may be writing still */
	GONE,      /* to be freed */
};

/* struct verdict - what was decided, to be written down once it is answered */
struct verdict {
	bool allow;
	char rule[POLICY_PATH_MAX + 16], to[128], reason[256];
};

struct client {
	struct client *next;
	int fd;
	enum state state;
	char *in;      /* the question; @q and @call point into it once it is whole */
	char *service; /* what @call has of it without its argument */
	size_t in_len, in_room;
	size_t drained;
	bool rejected; /* it was no question, and its end may not have come */
	char *out;
	size_t out_len;
	struct decision_request q;
	struct policy_request call;
	struct verdict verdict;
	bool agreed; /* the person has, or is assumed to: POLICY_ASK is as good as POLICY_ALLOW */
	uint32_t wish;
	struct prompting prompting;
	unsigned poll_at, prompt_poll_at; /* in the array of this turn; POLL_NONE */
	uint64_t began_us, until_ms;
	char *kept_for; /* NULL, or whose questions come on this connection for good */
};

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void client_free(struct client *c)
{
	close_fd(&c->fd);
	free(c->in);
	free(c->service);
	free(c->out);
	free(c->kept_for);
	free(c);
}

/* the person is not asked any more */
static void prompt_end(struct policyd *d, struct client *c)
{
	if (!c->prompting.bytes)
		return;
	prompting_end(&c->prompting);
	d->n_prompting--;
}

static void sweep(struct policyd *d)
{
	for (struct client **p = &d->clients; *p;) {
		struct client *c = *p;

		if (c->state != GONE) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		prompt_end(d, c);
		client_free(c);
		d->n_clients--;
	}
	d->clients_last = &d->clients;
	while (*d->clients_last)
		d->clients_last = &(*d->clients_last)->next;
}

/* ---- connections that stay */

static bool may_keep(const struct policyd *d, const struct client *c)
{
	unsigned n = 0, n_caller = 0;

	for (const struct client *o = d->clients; o; o = o->next) {
		n += o->kept_for != NULL;
		n_caller += str_eq(o->kept_for, c->q.source);
	}
	return n < KEPT_MAX && n_caller < CALLER_KEPT_MAX;
}

/* its answer is said, and it goes on */
static void next_question(struct client *c)
{
	free(take_ptr(&c->in));
	free(take_ptr(&c->service));
	free(take_ptr(&c->out));
	c->in_len = c->in_room = c->out_len = 0;
	c->q = (struct decision_request){0};
	c->verdict = (struct verdict){0};
	c->agreed = false;
	c->state = ASKING;
	c->until_ms = UINT64_MAX;
}

/* what ends an answer where no end of the connection does */
static void answer_end(struct client *c)
{
	char *ended = c->out ? realloc(c->out, c->out_len + 1) : NULL;

	if (!ended) {
		free(take_ptr(&c->out));
		return;
	}
	ended[c->out_len++] = '\n';
	c->out = ended;
}

/* ---- answering */

static void flush(struct client *c)
{
	ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		n = 0;
	if (n >= 0 && (size_t)n == c->out_len && c->rejected && shutdown(c->fd, SHUT_WR) == 0) {
		c->state = DRAINING;
		c->until_ms = io_now_ms() + DRAIN_MS;
		return;
	}
	if (n >= 0 && (size_t)n == c->out_len && c->kept_for) {
		next_question(c);
		return;
	}
	if (n < 0 || (size_t)n == c->out_len) {
		c->state = GONE;
		return;
	}
	memmove(c->out, c->out + n, c->out_len - (size_t)n);
	c->out_len -= (size_t)n;
	c->state = ANSWERING;
	c->until_ms = io_now_ms() + QUESTION_MS;
}

static void write_down(struct policyd *d, const struct client *c)
{
	const struct verdict *v = &c->verdict;
	struct audit_entry e = {
		.verdict = v->allow ? AUDIT_ALLOW : AUDIT_DENY,
		.caller = c->q.source,
		.remote = c->q.requested_source ? c->q.requested_source : "",
		.service = c->q.service,
		.target = c->q.target,
		.to = v->to,
		.rule = v->rule,
		.reason = v->reason,
		.took_us = now_us() - c->began_us,
	};

	audit_call(d, qubes_find(&d->qubes, c->q.source), &e);
}

/* @c->out holds an allow's lines; a refusal needs none */
static void answer(struct policyd *d, struct client *c)
{
	static const char refusal[] = "result=deny\n";
	/* that it is allowed still is no other call. Looked at first: one that stays forgets its question */
	const bool silent = c->q.just_evaluate || (c->q.decided_target && c->verdict.allow);

	if (!c->verdict.allow) {
		free(c->out);
		c->out = strdup(refusal);
		c->out_len = strlen(refusal);
	}
	if (c->kept_for)
		answer_end(c);
	if (c->out)
		flush(c);
	else
		c->state = GONE;
	if (!silent)
		write_down(d, c);
}

static void PRINTF_LIKE(3, 4) refuse(struct policyd *d, struct client *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(c->verdict.reason, sizeof(c->verdict.reason), format, args);
	va_end(args);
	c->verdict.allow = false;
	c->verdict.to[0] = '\0';
	answer(d, c);
}

/* ---- deciding */

static void note_rule(const struct policyd *d, struct client *c, uint32_t rule)
{
	struct policy_rule r;

	if (rule == POLICY_NONE)
		return;
	policy_rule_get(d->table.policy, rule, &r);
	(void)snprintf(c->verdict.rule, sizeof(c->verdict.rule), "%s:%u", r.file, r.line);
}

/* what the person would have agreed to: what was asked for, if it is offered, or what is preselected
 */
static bool agreed(const struct policyd *d, const struct client *c, const struct policy_answer *a,
		   struct policy_target *ret)
{
	const struct qube *asked_for = qubes_find(&d->qubes, c->q.target);
	uint32_t at = 0;

	while (policy_target_next(a, &at, ret)) {
		char text[128];

		if (asked_for && ret->prefix[0] == '\0' && ret->qube < d->qubes.n &&
		    d->qubes.sorted[ret->qube] == asked_for)
			return true;
		if (str_format(text, sizeof(text), "%s%s", ret->prefix, ret->name) == 0 &&
		    str_eq(text, c->q.target))
			return true;
	}
	*ret = a->default_target;
	return ret->name != NULL;
}

/* the lines of an allow */
static int make_reply(struct policyd *d, struct client *c, const struct policy_target *t,
		      const char *user, bool autostart)
{
	static char reply[DECISION_MAX];
	int r = policy_reply(d->view, &c->call, t, user, autostart, reply, sizeof(reply));

	if (r < 0)
		return r;
	free(c->out);
	c->out = strdup(reply);
	c->out_len = c->out ? strlen(reply) : 0;
	(void)snprintf(c->verdict.to, sizeof(c->verdict.to), "%s%s", t->prefix, t->name);
	return c->out ? 0 : -ENOMEM;
}

/* the qube that must run before the service can be called there; NULL: none */
static const struct qube *to_start(const struct policyd *d, const struct policy_target *t)
{
	const struct qube *q = d->qubes.sorted[t->qube];

	if (str_eq(q->is.type, "RemoteVM"))
		q = qubes_find(&d->qubes, q->is.relayvm);
	return q && q->qid != 0 && !q->is.running ? q : NULL;
}

/* how many calls of this one's caller are in that state: of what there is for all, one caller has a part */
static unsigned n_of_caller(const struct policyd *d, const struct client *c, enum state state)
{
	unsigned n = 0;

	for (const struct client *o = d->clients; o; o = o->next)
		n += o->state == state && str_eq(o->q.source, c->q.source);
	return n;
}

static unsigned n_starts(const struct policyd *d)
{
	unsigned n = 0;

	for (const struct client *o = d->clients; o; o = o->next)
		n += o->state == WAITING;
	return n;
}

static void wish(struct policyd *d, struct client *c, unsigned qid)
{
	const struct picture_wish w = {d->next_wish + 1, qid, c->q.source};
	int r;

	if (n_of_caller(d, c, WAITING) >= CALLER_STARTS_MAX) {
		refuse(d, c, "too many of its calls wait for a start");
		return;
	}
	if (n_starts(d) >= STARTS_MAX) {
		refuse(d, c, "too many calls wait for a start");
		return;
	}
	d->next_wish++;
	r = qubes_wish(d, &w);
	if (r < 0) {
		refuse(d, c, "qubesd cannot be asked to start it: %s", log_errno_str(r));
		return;
	}
	c->state = WAITING;
	c->wish = w.id;
}

static void allow(struct policyd *d, struct client *c, const struct policy_target *t,
		  const char *user, bool autostart)
{
	const struct qube *start;
	int r = make_reply(d, c, t, user, autostart);

	if (r < 0) {
		refuse(d, c, "the answer cannot be said: %s", log_errno_str(r));
		return;
	}
	c->verdict.allow = true;
	/* a disposable is made by who carries the call out, and lives as long as the call does */
	start = c->q.just_evaluate || t->prefix[0] != '\0' ? NULL : to_start(d, t);
	if (start)
		wish(d, c, start->qid);
	else
		answer(d, c);
}

/* ---- asking the person */

static void prompt_failed(struct policyd *d, struct client *c, int r)
{
	prompt_end(d, c);
	if (r == PROMPTING_E_SOURCE)
		refuse(d, c, "the person cannot be asked: nothing is known of the caller");
	else if (r > 0)
		refuse(d, c, "the person cannot be asked: the question cannot be shown");
	else
		refuse(d, c, "the person cannot be asked: %s", log_errno_str(r));
}

static void ask_person(struct policyd *d, struct client *c, const struct policy_answer *a)
{
	int r;

	if (c->q.just_evaluate) {
		refuse(d, c, "the person would be asked");
		return;
	}
	if (d->n_prompting == PROMPTS_MAX || n_of_caller(d, c, PROMPTING) >= CALLER_PROMPTS_MAX) {
		refuse(d, c, "too many questions wait for the person");
		return;
	}
	r = prompting_begin(d, &c->call, a, &c->prompting);
	if (c->prompting.bytes)
		d->n_prompting++;
	if (r != 0) {
		prompt_failed(d, c, r);
		return;
	}
	c->state = PROMPTING;
	c->prompt_poll_at = POLL_NONE;
	c->until_ms = io_now_ms() + PROMPT_WAIT_MS + PROMPT_ASK_MS + PROMPT_LATE_MS;
}

void clients_prompt(struct policyd *d, uint32_t wish, int *fd, const char *why)
{
	struct client *c = d->clients;

	while (c && !(c->state == PROMPTING && c->prompting.wish == wish))
		c = c->next;
	if (!c) {
		close_fd(fd); /* its caller has left */
	} else if (*fd >= 0) {
		c->prompting.fd = take_fd(fd);
	} else {
		prompt_end(d, c);
		refuse(d, c, "the person cannot be asked: %s", why);
	}
}

/* the target that was chosen, if the policy offers it now */
static bool is_offered(const struct policyd *d, const struct policy_answer *a,
		       const struct prompt_qube *chosen, struct policy_target *ret)
{
	uint32_t at = 0;

	while (policy_target_next(a, &at, ret))
		if (ret->qube < d->qubes.n &&
		    (chosen->kind == PROMPT_NEW_DISPOSABLE) == (ret->prefix[0] != '\0') &&
		    str_eq(d->qubes.sorted[ret->qube]->is.name, chosen->name))
			return true;
	return false;
}

/* policy and qubes may not be those any more by which the question was made */
static void person_allowed(struct policyd *d, struct client *c, const struct prompt_qube *chosen)
{
	struct policy_answer a = {.verdict = POLICY_DENY};
	struct policy_target t;

	if (d->view)
		policy_decide(d->view, &c->call, &a);
	if (a.verdict != POLICY_ASK || !is_offered(d, &a, chosen, &t)) {
		prompt_end(d, c);
		refuse(d, c, "what the person chose is not offered any more");
		return;
	}
	prompt_end(d, c);
	c->agreed = true;
	(void)snprintf(c->verdict.reason, sizeof(c->verdict.reason), "the person chose it");
	allow(d, c, &t, a.user, a.autostart);
}

static void prompt_turn(struct policyd *d, struct client *c)
{
	static const char *const reasons[] = {
		[PROMPT_DENIED] = "the person refused it",
		[PROMPT_TIMED_OUT] = "the person did not answer",
		[PROMPT_BUSY] = "the person was not asked: too many questions",
		[PROMPT_NOT_SHOWN] = "the person was not asked: it could not be shown",
	};
	struct prompt_qube chosen;
	enum prompt_result result;
	int r = prompting_turn(&c->prompting, &result, &chosen);

	if (r == -EAGAIN)
		return;
	if (r < 0) {
		prompt_failed(d, c, r);
	} else if (result == PROMPT_ALLOWED) {
		person_allowed(d, c, &chosen);
	} else {
		prompt_end(d, c);
		refuse(d, c, "%s", reasons[result]);
	}
}

/* ---- what was decided once */

/* @c->out is the whole of @was; or, with that NULL, goes to @target */
static bool is_same(const struct client *c, const char *was, const char *target)
{
	const char *line = was ? NULL : strstr(c->out, "\ntarget=");
	const size_t len = strlen(target);

	if (was)
		return str_eq(c->out, was);
	line += strlen("\ntarget=");
	return strncmp(line, target, len) == 0 && line[len] == '\n';
}

/* of an ask what the person agreed to is among the targets; @c->out is the reply then */
static bool is_said_still(struct policyd *d, struct client *c, const struct policy_answer *a,
			  const char *was, const char *target)
{
	struct policy_target t;
	uint32_t at = 0;

	if (a->verdict == POLICY_ALLOW)
		return make_reply(d, c, &a->target, a->user, a->autostart) == 0 &&
		       is_same(c, was, target);
	while (a->verdict == POLICY_ASK && c->agreed && policy_target_next(a, &at, &t))
		if (t.qube < d->qubes.n && make_reply(d, c, &t, a->user, a->autostart) == 0 &&
		    is_same(c, was, target))
			return true;
	return false;
}

/* policy and qubes may have changed while it started: only what would be said again now is said */
static bool holds_still(struct policyd *d, struct client *c)
{
	AUTO_FREE char *was = take_ptr(&c->out);
	struct policy_answer a;

	if (!d->view)
		return false;
	policy_decide(d->view, &c->call, &a);
	return is_said_still(d, c, &a, was, "");
}

/* nobody is asked again, and nothing started: who carries it out has made the target */
static void decide_again(struct policyd *d, struct client *c, const struct policy_answer *a)
{
	c->agreed = true;
	c->verdict.allow = is_said_still(d, c, a, NULL, c->q.decided_target);
	if (c->verdict.allow)
		answer(d, c);
	else
		refuse(d, c, "what was decided does not hold any more, now that it has started");
}

/* the question stands in @c->q */
static void decide(struct policyd *d, struct client *c)
{
	struct policy_answer a;
	struct policy_target t;
	const char *plus;

	if (!d->view) {
		if (d->table.heard && !d->table.policy)
			refuse(d, c, "the policy has a fault: %.200s", d->table.fault);
		else
			refuse(d, c, "there is no policy, or nothing is known of the qubes yet");
		return;
	}
	plus = strchrnul(c->q.service, '+');
	c->service = strndup(c->q.service, (size_t)(plus - c->q.service));
	if (!c->service) {
		refuse(d, c, "out of memory");
		return;
	}
	c->call = (struct policy_request){.source = c->q.source,
					  .requested_source = c->q.requested_source,
					  .target = c->q.target,
					  .service = c->service,
					  .argument = *plus == '+' ? plus + 1 : plus};
	policy_decide(d->view, &c->call, &a);
	note_rule(d, c, a.rule);
	if (c->q.decided_target)
		decide_again(d, c, &a);
	else if (a.verdict == POLICY_ALLOW)
		allow(d, c, &a.target, a.user, a.autostart);
	else if (a.verdict == POLICY_ASK && c->q.assume_yes && agreed(d, c, &a, &t)) {
		c->agreed = true;
		allow(d, c, &t, a.user, a.autostart);
	} else if (a.verdict == POLICY_ASK)
		ask_person(d, c, &a);
	else
		refuse(d, c, "%s", policy_reason_text(a.reason));
}

/* ---- what became of a wish */

void clients_done(struct policyd *d, const struct picture_done *done)
{
	struct client *c = d->clients;

	while (c && !(c->state == WAITING && c->wish == done->id))
		c = c->next;
	if (!c)
		return; /* its caller has left */
	if (!done->ok) {
		refuse(d, c, "it was not started: %s", done->text);
		return;
	}
	if (!holds_still(d, c)) {
		refuse(d, c, "what was decided does not hold any more, now that it has started");
		return;
	}
	answer(d, c);
}

/* ---- connections */

/* something else than a question: there is nobody to write down */
static void reject(struct policyd *d, struct client *c)
{
	if (log_allowed(&d->audit.noise, NULL))
		log_warn(NULL, "a question that is none is refused");
	c->q.just_evaluate = true;
	c->rejected = true;
	free(take_ptr(&c->kept_for));
	refuse(d, c, "malformed");
}

static void drain(struct client *c)
{
	static char bytes[65536];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		c->drained += (size_t)n;
	if (n <= 0 || c->drained >= DRAIN_MAX)
		c->state = GONE;
}

static void question(struct policyd *d, struct client *c, size_t len)
{
	if (decision_request_decode(c->in, len, &c->q) != 0) {
		c->q = (struct decision_request){0};
		reject(d, c);
		return;
	}
	if (c->kept_for ? !c->q.keep || !str_eq(c->kept_for, c->q.source)
			: c->q.keep && !may_keep(d, c)) {
		free(take_ptr(&c->kept_for));
		refuse(d, c, "its connection cannot be kept");
		return;
	}
	if (c->q.keep && !c->kept_for) {
		c->kept_for = strdup(c->q.source);
		if (!c->kept_for) {
			refuse(d, c, "out of memory");
			return;
		}
	}
	decide(d, c);
}

static void receive(struct policyd *d, struct client *c)
{
	size_t len;
	ssize_t n;

	if (c->in_len == c->in_room) {
		size_t room = c->in_room > 0 ? 4 * c->in_room : 1024;
		char *more = c->in_room < DECISION_MAX ? realloc(c->in, room) : NULL;

		if (!more) {
			reject(d, c);
			return;
		}
		c->in = more;
		c->in_room = room;
	}
	n = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		c->state = GONE;
		return;
	}
	if (n == 0 && c->kept_for && c->in_len == 0) {
		c->state = GONE; /* it has asked all it had to */
		return;
	}
	if (n == 0) {
		reject(d, c);
		return;
	}
	if (c->in_len == 0) {
		c->began_us = now_us();
		c->until_ms = io_now_ms() + QUESTION_MS;
	}
	c->in_len += (size_t)n;
	len = decision_request_len(c->in, c->in_len);
	if (len == 0 && c->in_len < DECISION_MAX)
		return; /* more is to come */
	/* bytes behind it make it none */
	question(d, c, c->in_len);
}

/* 0; -EAGAIN: nobody is there; -errno */
static int accept_one(struct policyd *d)
{
	AUTO_CLOSE int fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	if (fd < 0)
		return errno == ECONNABORTED || errno == EINTR ? 0 : fail_errno();
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fd = take_fd(&fd);
	c->prompting.fd = NO_FD;
	c->poll_at = c->prompt_poll_at = POLL_NONE;
	c->until_ms = io_now_ms() + QUESTION_MS;
	c->began_us = now_us();
	*d->clients_last = c;
	d->clients_last = &c->next;
	d->n_clients++;
	receive(d, c);
	return 0;
}

int clients_accept(struct policyd *d)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < ACCEPTS_MAX && d->n_clients < CLIENTS_MAX; i++)
		r = accept_one(d);
	sweep(d);
	/* those that are there are answered all the same, and leave their descriptors to who waits */
	if (r == -EMFILE || r == -ENFILE)
		d->accept_ms = io_now_ms() + ACCEPT_AGAIN_MS;
	else if (r < 0 && r != -EAGAIN)
		return r;
	return 0;
}

unsigned clients_poll(struct policyd *d, struct pollfd *p)
{
	unsigned n = 0;

	for (struct client *c = d->clients; c; c = c->next) {
		short events = 0;

		if (c->state == ASKING || c->state == DRAINING)
			events = POLLIN;
		else if (c->state == ANSWERING)
			events = POLLOUT;
		c->poll_at = n;
		p[n++] = (struct pollfd){c->fd, events, 0};
		c->prompt_poll_at = POLL_NONE;
		if (c->prompting.fd < 0)
			continue;
		c->prompt_poll_at = n;
		p[n++] = (struct pollfd){c->prompting.fd, prompting_events(&c->prompting), 0};
	}
	return n;
}

void clients_turn(struct policyd *d, const struct pollfd *p, unsigned n)
{
	uint64_t now_ms = io_now_ms();

	for (struct client *c = d->clients; c; c = c->next) {
		short own = 0, prompt = 0;

		if (c->poll_at < n)
			own = p[c->poll_at].revents;
		if (c->prompt_poll_at < n)
			prompt = p[c->prompt_poll_at].revents;

		if (c->state == ASKING && own != 0)
			receive(d, c);
		else if (c->state == ANSWERING && own != 0)
			flush(c);
		else if (c->state == DRAINING && own != 0)
			drain(c);
		else if ((c->state == WAITING || c->state == PROMPTING) &&
			 own & (POLLHUP | POLLERR))
			c->state = GONE;
		else if (c->state == PROMPTING && prompt != 0)
			prompt_turn(d, c);
		if ((c->state == ASKING || c->state == ANSWERING || c->state == DRAINING) &&
		    c->until_ms <= now_ms)
			c->state = GONE;
		else if (c->state == PROMPTING && c->until_ms <= now_ms)
			prompt_failed(d, c, -ETIMEDOUT);
	}
	sweep(d);
}

int clients_timeout_ms(const struct policyd *d)
{
	uint64_t now_ms = io_now_ms(), first = UINT64_MAX;

	for (const struct client *c = d->clients; c; c = c->next)
		if (c->state != WAITING && c->until_ms < first)
			first = c->until_ms;
	if (first == UINT64_MAX)
		return -1;
	return first > now_ms ? (int)(first - now_ms) : 0;
}
