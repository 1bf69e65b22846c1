/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policyd.h"

#include "api/call.h"
#include "base/io.h"
#include "base/log.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/child.h"
#include "power/power.h"
#include "proto/decision.h"
#include "proto/picture.h"
#include "proto/prompt.h"
#include "qubesd.h"
#include "store/property.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

/* its own id, below those of the qubes (power/describe.c) */
#define POLICYD_UID 0x6fffffffu
/* how long it may take to say that it knows */
#define KNOWN_S 10
/* one that ended sooner than this after its start is started again only later */
#define EARLY_MS UINT64_C(5000)
#define AGAIN_S  1
#define N_LOGS   2

enum { FEED_FD = 3, LISTEN_FD, LOG_FD };

struct policyd {
	struct qubesd *d;
	int listen_fd;
	struct child *child; /* NULL: none runs */
	int fd;              /* connected to it; NO_FD: it is being ended */
	sd_event_source *source, *timer, *patience, *post;
	struct text in, out;
	uint64_t started_ms;
	unsigned generation;                   /* counts those that were started */
	uint32_t sent, known;                  /* serials */
	uint8_t told[PICTURE_QID_MAX / 8 + 1]; /* qubes that this one knows of, by qid */
	struct call *waiting, **last;          /* for it to know, oldest first */
};

static bool is_told(const struct policyd *p, unsigned qid)
{
	return p->told[qid / 8] >> qid % 8 & 1;
}

static void note_told(struct policyd *p, unsigned qid, bool told)
{
	uint8_t bit = (uint8_t)(1u << qid % 8);

	p->told[qid / 8] = told ? p->told[qid / 8] | bit : p->told[qid / 8] & (uint8_t)~bit;
}

/* ---- calls that wait */

/* those that wait for a serial that is known by now, or, without a policyd, all */
static void release(struct policyd *p, bool all)
{
	while (p->waiting && (all || p->waiting->serial <= p->known)) {
		struct call *c = p->waiting;

		p->waiting = c->next;
		if (!p->waiting)
			p->last = &p->waiting;
		call_finish(c, c->result);
	}
}

/* ---- its end */

static int start(struct policyd *p);

/* it is not heard any more; on_child() goes on from here */
static void cut(struct policyd *p, const char *why)
{
	if (p->fd < 0)
		return;
	if (why)
		log_err(NULL, "qrexec-policyd is ended: %s", why);
	p->source = sd_event_source_disable_unref(p->source);
	p->patience = sd_event_source_disable_unref(p->patience);
	close_fd(&p->fd);
	spawn_signal(child_get_pidfd(p->child), SIGKILL);
}

static int on_again(sd_event_source *s, uint64_t usec, void *data)
{
	struct policyd *p = data;

	(void)s, (void)usec;
	p->timer = sd_event_source_disable_unref(p->timer);
	return start(p);
}

static void start_later(struct policyd *p, unsigned seconds)
{
	if (sd_event_add_time_relative(p->d->event, &p->timer, CLOCK_MONOTONIC,
				       (uint64_t)seconds * 1000000, 1000, on_again, p) < 0)
		log_err(NULL, "no timer for qrexec-policyd: every call is refused");
}

static void on_child(void *data, const struct child_end *end)
{
	struct policyd *p = data;
	char text[64];

	log_warn(NULL, "qrexec-policyd ended (%s) and is started again",
		 child_end_str(end, text, sizeof(text)));
	cut(p, NULL);
	child_free(p->child);
	p->child = NULL;
	/* nothing is decided by what was before: nobody decides */
	release(p, true);
	start_later(p, io_now_ms() - p->started_ms < EARLY_MS ? AGAIN_S : 0);
}

/* ---- telling */

static void watch(struct policyd *p)
{
	(void)sd_event_source_set_io_events(p->source,
					    EPOLLIN | (p->out.len > 0 ? (uint32_t)EPOLLOUT : 0));
}

static void flush(struct policyd *p)
{
	while (p->fd >= 0 && p->out.len > 0) {
		ssize_t n = send(p->fd, p->out.at, p->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			cut(p, NULL);
			return;
		}
		text_drop(&p->out, (size_t)n);
	}
	if (p->fd >= 0)
		watch(p);
}

static void put(struct policyd *p, const struct picture_msg *m)
{
	static uint8_t frame[PICTURE_MAX];
	size_t len = picture_encode(m, frame, sizeof(frame));

	if (len > 0)
		text_bytes(&p->out, frame, len);
	/* an incomplete picture might allow what a tag forbids */
	if (len == 0 || p->out.failed)
		cut(p, "it cannot be told what the qubes are");
}

static void put_qube(struct policyd *p, const struct qube *q)
{
	const struct model *m = p->d->model;
	const struct pair *internal = pair_find(q->features, "internal");
	const bool remote = q->klass == KLASS_REMOTE;
	char label[PROPERTY_BUF], dispvm[PROPERTY_BUF], relay[PROPERTY_BUF], rpc[PROPERTY_BUF];
	struct text AUTO(text_done) tags = {0};
	struct picture_msg msg = {
		PICTURE_QUBE,
		.qube = {
			.qid = q->qid,
			.name = q->name,
			.uuid = q->uuid,
			.type = klass_name(q->klass),
			.label = property_text(m, q, PROP_label, label),
			.colour = m->labels[model_label(m, label)].color,
			.default_dispvm =
				remote ? "" : property_text(m, q, PROP_default_dispvm, dispvm),
			.relayvm = remote ? property_text(m, q, PROP_relayvm, relay) : "",
			.transport_rpc = remote ? property_text(m, q, PROP_transport_rpc, rpc) : "",
			.template_for_dispvms = property_bool(m, q, PROP_template_for_dispvms),
			.internal = internal && internal->value[0] != '\0',
			.running = str_eq(power_state_name(q), "Running"),
			.tags = "",
		}};

	for (const struct pair *t = q->tags; t; t = t->next) {
		text_bytes(&tags, t->key, strlen(t->key) + 1);
		msg.qube.n_tags++;
	}
	if (tags.failed)
		p->out.failed = true;
	if (tags.len > 0)
		msg.qube.tags = tags.at;
	put(p, &msg);
	note_told(p, q->qid, true);
}

static int on_patience(sd_event_source *s, uint64_t usec, void *data)
{
	(void)s, (void)usec;
	cut(data, "it has not taken in what it was told");
	return 0;
}

/* while something was told that it has not said to know: its time begins now */
static void be_patient(struct policyd *p)
{
	p->patience = sd_event_source_disable_unref(p->patience);
	if (p->known != p->sent &&
	    sd_event_add_time_relative(p->d->event, &p->patience, CLOCK_MONOTONIC,
				       KNOWN_S * UINT64_C(1000000), 0, on_patience, p) < 0)
		cut(p, "its answer cannot be waited for");
}

/* all that has changed since it was told last */
static void tell(struct policyd *p)
{
	struct model *m = p->d->model;

	if (p->fd < 0 || !m->untold)
		return;
	m->untold = false;
	for (unsigned qid = 0; qid <= PICTURE_QID_MAX; qid++) {
		const struct qube *q = is_told(p, qid) ? model_get(m, qid) : NULL;

		if (!is_told(p, qid) || (q && !q->hidden))
			continue;
		put(p, &(struct picture_msg){PICTURE_GONE, .gone = qid});
		note_told(p, qid, false);
	}
	for (size_t i = 0; p->fd >= 0 && i < m->n_qubes; i++) {
		struct qube *q = m->by_name[i];

		if (!q->hidden && (q->untold || !is_told(p, q->qid)))
			put_qube(p, q);
		q->untold = false;
	}
	if (p->fd < 0)
		return;
	put(p, &(struct picture_msg){PICTURE_SETTLED, .serial = ++p->sent});
	if (!p->patience)
		be_patient(p);
	flush(p);
}

/* what changed without a call, as a qube that ended by itself */
static int on_turn(sd_event_source *s, void *data)
{
	(void)s;
	tell(data);
	return 0;
}

void policyd_tell(struct qubesd *d)
{
	if (d->policyd)
		tell(d->policyd);
}

bool policyd_holds(struct qubesd *d, struct call *c, int r)
{
	struct policyd *p = d->policyd;

	if (!p)
		return false;
	tell(p);
	if (p->fd < 0 || p->known == p->sent)
		return false;
	c->serial = p->sent;
	c->result = r;
	c->next = NULL;
	*p->last = c;
	p->last = &c->next;
	return true;
}

/* ---- wishes */

struct wish {
	struct policyd *p;
	unsigned generation, qid;
	uint32_t id;
};

static void grant(struct wish *w, bool ok, const char *text)
{
	struct policyd *p = w->p;

	if (p->fd >= 0 && p->generation == w->generation) {
		/* it hears that the qube runs before it hears that its wish is done */
		tell(p);
		put(p, &(struct picture_msg){PICTURE_DONE, .done = {w->id, ok, text}});
		flush(p);
	}
	free(w);
}

static void wish_ended(void *data, const struct refusal *why)
{
	struct wish *w = data;
	const struct qube *q = model_get(w->p->d->model, w->qid);

	if (why)
		grant(w, false, why->text);
	else if (!q)
		grant(w, false, "it is gone");
	else
		grant(w, true, q->name);
}

static void take_wish(struct policyd *p, const struct picture_msg *m)
{
	const struct admin_request none = {.payload = (const uint8_t *)""};
	const struct qube *source = model_find(p->d->model, m->wish.source);
	struct qube *q = model_get(p->d->model, m->wish.qid);
	struct wish *w = calloc(1, sizeof(*w));
	int fd = NO_FD, r = -ENOMEM;
	struct call *c = NULL;

	if (w)
		r = call_new(p->d, NULL, &none, &fd, &c);
	if (r < 0) {
		free(w);
		cut(p, "there is no memory for what it wishes");
		return;
	}
	*w = (struct wish){p, p->generation, m->wish.qid, m->wish.id};
	c->source_qid = source ? source->qid : 0;
	c->ended = wish_ended;
	c->ended_data = w;
	if (!q || q->hidden)
		r = refuse(&c->why, "QubesVMNotFoundError", "there is no such qube");
	else
		r = power_call_start(c, q);
	if (q && r != 0)
		log_info(q->name, "wanted for a call of %s%s%s", m->wish.source,
			 r == CALL_LATER ? ": it is started" : ": ",
			 r == CALL_LATER ? "" : c->why.text);
	if (r != CALL_LATER)
		call_end(c, r);
}

/* ---- hearing */

static void take_msg(struct policyd *p, const struct picture_msg *m)
{
	switch (m->type) {
	case PICTURE_KNOWN:
		if (m->serial > p->sent || m->serial < p->known)
			break;
		p->known = m->serial;
		be_patient(p);
		release(p, false);
		return;
	case PICTURE_START:
		take_wish(p, m);
		return;
	case PICTURE_QUBE:
	case PICTURE_GONE:
	case PICTURE_SETTLED:
	case PICTURE_DONE:
		break;
	}
	cut(p, "it says what is not its to say");
}

static void take_frames(struct policyd *p)
{
	while (p->fd >= 0) {
		struct picture_msg m;
		size_t len = 0;
		int r = picture_frame(p->in.at, p->in.len, &len);

		if (r == PICTURE_E_SHORT)
			return;
		if (r == 0)
			r = picture_decode(p->in.at, len, &m);
		if (r != 0) {
			cut(p, "it says what nobody understands");
			return;
		}
		take_msg(p, &m);
		if (p->in.len >= len)
			text_drop(&p->in, len);
	}
}

static int on_feed(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct policyd *p = data;
	char buf[4096];
	ssize_t n;

	(void)s;
	if (events & EPOLLOUT)
		flush(p);
	if (p->fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return 0;
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		cut(p, NULL); /* it has ended, and its end is told */
		return 0;
	}
	text_bytes(&p->in, buf, (size_t)n);
	if (p->in.failed)
		cut(p, "there is no memory for what it says");
	else
		take_frames(p);
	return 0;
}

/* ---- its start */

static int open_logs(const struct qubesd *d, int *fds)
{
	for (int i = 0; i < N_LOGS; i++) {
		char path[PATH_MAX];
		int r = str_format(path, sizeof(path), "%s/log/policy-%d.log", d->paths.state, i);

		if (r < 0)
			return r;
		fds[i] = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (fds[i] < 0)
			return fail_errno();
	}
	return 0;
}

static int spawn_it(struct policyd *p, int feed_fd, const int *log_fds, int *ret_pidfd)
{
	static char uid[] = "4294967295";
	char program[PATH_MAX], run_dir[PATH_MAX], config_dir[PATH_MAX], prompt[UNIX_PATH_MAX + 1];
	char *argv[] = {program,
			"--feed-fd",
			"3",
			"--listen-fd",
			"4",
			"--log-fd",
			"5",
			"--log-fd",
			"6",
			"--policy-dir",
			run_dir,
			"--policy-dir",
			config_dir,
			"--uid",
			uid,
			"--prompt-socket",
			prompt,
			"--instance",
			p->d->paths.state,
			NULL};
	const struct spawn_fd fds[] = {{feed_fd, FEED_FD},
				       {p->listen_fd, LISTEN_FD},
				       {log_fds[0], LOG_FD},
				       {log_fds[1], LOG_FD + 1}};
	const struct spawn s = {
		.path = program,
		.argv = argv,
		.fds = fds,
		.n_fds = ARRAY_LEN(fds),
		.death_signal = SIGKILL,
		.no_new_privs = true,
	};
	int r = program_find("qrexec-policyd", program, sizeof(program));

	if (r == 0)
		r = str_format(run_dir, sizeof(run_dir), "%s/policy.d", p->d->paths.run);
	if (r == 0)
		r = str_format(config_dir, sizeof(config_dir), "%s/policy.d", p->d->paths.config);
	if (r == 0)
		r = str_format(prompt, sizeof(prompt), "%s/" PROMPT_SOCKET, p->d->paths.run);
	if (r == 0)
		r = str_format(uid, sizeof(uid), "%u", geteuid() == 0 ? POLICYD_UID : 0);
	return r < 0 ? r : spawn(&s, NULL, ret_pidfd);
}

/* a new one, which is told everything */
static int try_start(struct policyd *p)
{
	AUTO_CLOSE int ours = NO_FD, theirs = NO_FD, pidfd = NO_FD;
	int log_fds[N_LOGS] = {NO_FD, NO_FD}, ends[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return fail_errno();
	ours = ends[0];
	theirs = ends[1];
	r = open_logs(p->d, log_fds);
	if (r == 0)
		r = spawn_it(p, theirs, log_fds, &pidfd);
	for (unsigned i = 0; i < N_LOGS; i++)
		close_fd(&log_fds[i]);
	if (r < 0)
		return r;
	r = child_new(p->d->event, pidfd, on_child, p, &p->child);
	if (r < 0)
		return r; /* it ends when its connection does */
	(void)take_fd(&pidfd);
	text_done(&p->in);
	text_done(&p->out);
	p->fd = take_fd(&ours);
	p->started_ms = io_now_ms();
	p->generation++;
	p->sent = p->known = 0;
	memset(p->told, 0, sizeof(p->told));
	p->d->model->untold = true;
	r = sd_event_add_io(p->d->event, &p->source, p->fd, EPOLLIN, on_feed, p);
	if (r < 0)
		cut(p, "it cannot be heard");
	else
		tell(p);
	return 0;
}

static int start(struct policyd *p)
{
	int r = try_start(p);

	if (r < 0) {
		log_err(NULL, "qrexec-policyd cannot be started, every call is refused: %s",
			log_errno_str(r));
		start_later(p, AGAIN_S);
	}
	return 0;
}

static int socket_path(const struct qubesd *d, char to[UNIX_PATH_MAX + 1])
{
	return str_format(to, UNIX_PATH_MAX + 1, "%s/" DECISION_SOCKET, d->paths.run);
}

int policyd_begin(struct qubesd *d)
{
	struct policyd *p = calloc(1, sizeof(*p));
	char path[UNIX_PATH_MAX + 1];
	int r;

	if (!p)
		return -ENOMEM;
	p->d = d;
	p->fd = NO_FD;
	p->listen_fd = NO_FD;
	p->last = &p->waiting;
	d->policyd = p;
	r = socket_path(d, path);
	if (r == 0)
		r = io_unix_listen(path, SOCK_STREAM, geteuid() == 0 ? 0660 : 0600, &p->listen_fd);
	if (r == 0)
		r = sd_event_add_post(d->event, &p->post, on_turn, p);
	return r < 0 ? r : start(p);
}

void policyd_end(struct qubesd *d)
{
	struct policyd *p = take_ptr(&d->policyd);
	char path[UNIX_PATH_MAX + 1];
	struct call *next;

	if (!p)
		return;
	if (p->listen_fd >= 0 && socket_path(d, path) == 0)
		(void)unlink(path);
	cut(p, NULL);
	child_free(p->child);
	(void)sd_event_source_disable_unref(p->timer);
	(void)sd_event_source_disable_unref(p->post);
	for (struct call *c = p->waiting; c; c = next) {
		next = c->next;
		call_drop(c);
	}
	close_fd(&p->listen_fd);
	text_done(&p->in);
	text_done(&p->out);
	free(p);
}
