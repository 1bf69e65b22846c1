/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead-prompt: shows the questions of qrexec-policyd to the person, one after the other.
 *
 * Runs as	the session's user, in the session, from `bulkhead start` on
 * Holds	the listening socket in the run directory, its lock, at most CONNECTIONS_MAX questions
 * Trusts	who connects as its own user or root; of a question not what the caller wrote in it
 * Needs	to execute prompt-window, which needs the display
 *
 * Each question is shown by a process of its own, prompt-window, which gets it in a sealed file and
 * says one answer: what GTK does, or the display's end, ends that question and nothing else.
 * Without a question there is no GTK in memory. queue.h says whose turn it is.
 *
 * A display that is gone does not come back to this process: it ends, and policyd refuses until
 * `bulkhead start` begins another one in a session with a display.
 */
#include "queue.h"
#include "window.h"

#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/program.h"
#include "loop/spawn.h"
#include "proto/prompt.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX (QUEUE_MAX + 16)
#define QUESTION_MS     10000 /* how long one may take to come whole */
#define LATE_MS         1000  /* a window that has not ended so long after its time is ended */

enum state { READING, WAITING, SHOWN, GONE };

/* struct asker - one connection; @q points into @in */
struct asker {
	struct asker *next;
	int fd;
	enum state state;
	uint8_t *in;
	size_t in_len, whole; /* @whole 0: its length has not come */
	uint8_t head[4];
	struct prompt_question q;
	struct queue_entry turn;
	uint64_t until_ms;
};

struct prompt {
	int listen_fd;
	struct asker *askers;
	unsigned n_askers;
	struct queue queue;
	/* the window that is open */
	struct asker *shown; /* NULL: none */
	int window_fd, window_pidfd;
	char window_program[PATH_MAX];
	struct log_limit noise;
	bool no_display;
};

static void asker_free(struct asker *a)
{
	close_fd(&a->fd);
	free(a->in);
	free(a);
}

/* ---- answering */

static const char *result_text(enum prompt_result r)
{
	switch (r) {
	case PROMPT_ALLOWED:
		return "allowed";
	case PROMPT_DENIED:
		return "denied by the person";
	case PROMPT_TIMED_OUT:
		return "denied: nobody answered";
	case PROMPT_BUSY:
		return "denied: too many questions";
	case PROMPT_NOT_SHOWN:
		return "denied: it could not be shown";
	}
	return "?";
}

static void answer(struct prompt *p, struct asker *a, const struct prompt_answer *answer)
{
	uint8_t bytes[PROMPT_ANSWER_LEN];

	prompt_answer_encode(answer, bytes);
	/* the first bytes on this socket: they fit, or nobody is there */
	(void)send(a->fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
	if (a->turn.caller)
		queue_remove(&p->queue, &a->turn);
	a->state = GONE;
}

static void refuse(struct prompt *p, struct asker *a, enum prompt_result why)
{
	answer(p, a, &(struct prompt_answer){why, 0});
}

/* ---- the window */

static void window_close(struct prompt *p)
{
	struct child_end end;

	close_fd(&p->window_fd);
	spawn_signal(p->window_pidfd, SIGKILL);
	(void)!spawn_wait(p->window_pidfd, -1, &end);
	close_fd(&p->window_pidfd);
	p->shown = NULL;
}

/* the question as it came, in a file that nobody can change */
static int question_file(const struct asker *a, int *ret_fd)
{
	AUTO_CLOSE int fd = memfd_create("question", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return fail_errno();
	r = io_write_full(fd, a->in, a->whole);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
		return fail_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

static int window_open(struct prompt *p, struct asker *a, uint64_t now_ms)
{
	char *argv[] = {p->window_program, NULL};
	AUTO_CLOSE int question = NO_FD, ours = NO_FD, theirs = NO_FD;
	int ends[2], r;

	r = question_file(a, &question);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return fail_errno();
	ours = ends[0];
	theirs = ends[1];
	r = spawn(
		&(struct spawn){
			.path = p->window_program,
			.argv = argv,
			.fds = (const struct spawn_fd[]){{question, WINDOW_QUESTION_FD},
							 {theirs, WINDOW_ANSWER_FD}},
			.n_fds = 2,
			.death_signal = SIGKILL,
			.no_new_privs = true,
		},
		NULL, &p->window_pidfd);
	if (r < 0)
		return r;
	p->window_fd = take_fd(&ours);
	p->shown = a;
	a->state = SHOWN;
	a->until_ms = now_ms + a->q.timeout_ms;
	return 0;
}

/* the next question, if none is shown */
static void show_next(struct prompt *p, uint64_t now_ms)
{
	while (!p->shown && !p->no_display) {
		struct queue_entry *e = queue_show(&p->queue);
		struct asker *a = p->askers;
		int r;

		if (!e)
			return;
		while (&a->turn != e)
			a = a->next;
		r = window_open(p, a, now_ms);
		if (r == 0)
			return;
		log_err(a->q.source.name, "its question cannot be shown: %s", log_errno_str(r));
		refuse(p, a, PROMPT_NOT_SHOWN);
	}
}

/* it was shown in vain; too often, and its caller is not heard for a while */
static void in_vain(struct prompt *p, const struct asker *shown, uint64_t now_ms)
{
	if (!queue_refused(&p->queue, &shown->turn, now_ms))
		return;
	log_warn(shown->q.source.name, "refused %u times: it may not ask for %u s", QUEUE_REFUSALS,
		 QUEUE_QUIET_MS / 1000);
	for (struct asker *a = p->askers; a; a = a->next)
		if (a->state == WAITING && a->turn.caller == shown->turn.caller)
			refuse(p, a, PROMPT_BUSY);
}

static void decided(struct prompt *p, struct asker *a, const struct prompt_answer *given,
		    uint64_t now_ms)
{
	log_info(a->q.source.name, "%s", result_text(given->result));
	if (given->result != PROMPT_ALLOWED)
		in_vain(p, a, now_ms);
	answer(p, a, given);
	window_close(p);
}

/* it has ended without an answer */
static void window_failed(struct prompt *p, struct asker *a)
{
	struct child_end end = {0};
	char text[64];

	if (spawn_wait(p->window_pidfd, LATE_MS, &end) < 0)
		end.signal = SIGKILL;
	if (end.code == WINDOW_NO_DISPLAY) {
		log_err(NULL, "the display is gone: no more questions are shown");
		p->no_display = true;
	} else {
		log_err(a->q.source.name, "its window ended without an answer (%s)",
			child_end_str(&end, text, sizeof(text)));
	}
	close_fd(&p->window_fd);
	refuse(p, a, PROMPT_NOT_SHOWN);
	window_close(p);
}

static void window_turn(struct prompt *p, uint64_t now_ms)
{
	uint8_t bytes[PROMPT_ANSWER_LEN + 1];
	struct prompt_answer given;
	ssize_t n = recv(p->window_fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && prompt_answer_decode(bytes, (size_t)n, &given) == 0)
		decided(p, p->shown, &given, now_ms);
	else
		window_failed(p, p->shown);
}

/* ---- questions */

static const char *queue_text(int outcome)
{
	switch (outcome) {
	case QUEUE_E_FULL:
		return "too many questions wait";
	case QUEUE_E_CALLER:
		return "it has too many questions waiting";
	default:
		return "it was refused too often";
	}
}

static void question(struct prompt *p, struct asker *a, uint64_t now_ms)
{
	int r;

	if (prompt_question_decode(a->in, a->whole, &a->q) != 0) {
		log_warn(NULL, "a question that is none is refused");
		refuse(p, a, PROMPT_NOT_SHOWN);
		return;
	}
	r = queue_add(&p->queue, &a->turn, a->q.source.name, now_ms);
	if (r != 0) {
		if (log_allowed(&p->noise, NULL))
			log_warn(a->q.source.name, "denied without being shown: %s", queue_text(r));
		refuse(p, a, PROMPT_BUSY);
		return;
	}
	a->state = WAITING;
	a->until_ms = now_ms + PROMPT_WAIT_MS;
}

/* the length, then what it says and not a byte more: none follows */
static void receive(struct prompt *p, struct asker *a, uint64_t now_ms)
{
	size_t want = a->whole > 0 ? a->whole : sizeof(a->head);
	uint8_t *to = a->whole > 0 ? a->in : a->head;
	ssize_t n = recv(a->fd, to + a->in_len, want - a->in_len, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		a->state = GONE;
		return;
	}
	a->in_len += (size_t)n;
	if (a->in_len < want)
		return;
	if (a->whole > 0) {
		question(p, a, now_ms);
		return;
	}
	if (prompt_question_len(a->head, sizeof(a->head), &a->whole) == 0 && a->whole > 0)
		a->in = malloc(a->whole);
	if (!a->in) {
		refuse(p, a, PROMPT_NOT_SHOWN);
		return;
	}
	memcpy(a->in, a->head, sizeof(a->head));
	if (a->whole == a->in_len)
		question(p, a, now_ms);
}

/* taken back, or a second word, which is none */
static void asker_left(struct prompt *p, struct asker *a, uint64_t now_ms)
{
	if (a->state == SHOWN) {
		/* else a caller could have windows come and go, each with the focus, as long as it likes */
		in_vain(p, a, now_ms);
		window_close(p);
	}
	if (a->turn.caller)
		queue_remove(&p->queue, &a->turn);
	a->state = GONE;
}

static bool is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

static int accept_one(struct prompt *p, uint64_t now_ms)
{
	AUTO_CLOSE int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct asker *a;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0
										  : fail_errno();
	if (!is_ours(fd)) {
		if (log_allowed(&p->noise, NULL))
			log_warn(NULL, "another user's connection is closed");
		return 0;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->fd = take_fd(&fd);
	a->until_ms = now_ms + QUESTION_MS;
	a->next = p->askers;
	p->askers = a;
	p->n_askers++;
	return 0;
}

static void overdue(struct prompt *p, struct asker *a, uint64_t now_ms)
{
	const struct prompt_answer late = {PROMPT_TIMED_OUT, 0};

	switch (a->state) {
	case READING:
		a->state = GONE;
		break;
	case WAITING:
		log_info(a->q.source.name, "denied: it was not its turn in time");
		refuse(p, a, PROMPT_TIMED_OUT);
		break;
	case SHOWN: /* the window itself says so, and is given a moment */
		if (now_ms >= a->until_ms + LATE_MS)
			decided(p, a, &late, now_ms);
		break;
	case GONE:
		break;
	}
}

static void sweep(struct prompt *p)
{
	for (struct asker **at = &p->askers; *at;) {
		struct asker *a = *at;

		if (a->state != GONE) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		asker_free(a);
		p->n_askers--;
	}
}

/* ---- the loop */

static int timeout_ms(const struct prompt *p, uint64_t now_ms)
{
	uint64_t first = UINT64_MAX;

	for (const struct asker *a = p->askers; a; a = a->next) {
		uint64_t until = a->state == SHOWN ? a->until_ms + LATE_MS : a->until_ms;

		if (until < first)
			first = until;
	}
	if (first == UINT64_MAX)
		return -1;
	return first > now_ms ? (int)(first - now_ms) : 0;
}

static int turn(struct prompt *p)
{
	struct pollfd fds[CONNECTIONS_MAX + 2];
	struct asker *a = p->askers;
	unsigned n = 2;
	uint64_t now_ms;
	int r = 0;

	fds[0] = (struct pollfd){p->n_askers < CONNECTIONS_MAX ? p->listen_fd : NO_FD, POLLIN, 0};
	fds[1] = (struct pollfd){p->window_fd, POLLIN, 0};
	for (; a; a = a->next)
		fds[n++] = (struct pollfd){a->fd, POLLIN, 0};
	if (poll(fds, n, timeout_ms(p, io_now_ms())) < 0)
		return errno == EINTR ? 0 : fail_errno();
	now_ms = io_now_ms();
	if (p->shown && fds[1].revents != 0)
		window_turn(p, now_ms);
	n = 2;
	for (a = p->askers; a; a = a->next, n++) {
		if (a->state == READING && fds[n].revents != 0)
			receive(p, a, now_ms);
		else if (fds[n].revents != 0)
			asker_left(p, a, now_ms);
		if (now_ms >= a->until_ms)
			overdue(p, a, now_ms);
	}
	if (fds[0].revents != 0)
		r = accept_one(p, now_ms);
	show_next(p, now_ms);
	for (a = p->askers; p->no_display && a; a = a->next)
		if (a->state == WAITING)
			refuse(p, a, PROMPT_NOT_SHOWN);
	sweep(p);
	return r;
}

/* 0; 1: another one listens already; -errno */
static int acquire(struct prompt *p)
{
	struct paths paths;
	char path[PATH_MAX];
	int fd, r;

	*p = (struct prompt){.listen_fd = NO_FD, .window_fd = NO_FD, .window_pidfd = NO_FD};
	p->noise = (struct log_limit){.interval_s = 10, .burst = 10};
	r = program_find("prompt-window", p->window_program, sizeof(p->window_program));
	if (r < 0) {
		log_err(NULL, "the program prompt-window is not there: %s", log_errno_str(r));
		return r;
	}
	r = paths_init(&paths, false);
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/prompt.lock", paths.run);
	if (r == 0) {
		/* held until the end */
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		r = fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ? fail_errno() : 0;
	}
	if (r == -EWOULDBLOCK)
		return 1;
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/" PROMPT_SOCKET, paths.run);
	if (r == 0)
		r = io_unix_listen(path, SOCK_STREAM, 0600, &p->listen_fd);
	paths_done(&paths);
	if (r < 0)
		log_err(NULL, "cannot listen for questions: %s", log_errno_str(r));
	return r;
}

int main(int argc, char **argv)
{
	static struct prompt p;
	int r;

	log_open("bulkhead-prompt");
	if (argc > 1) {
		bool help = argc == 2 && strcmp(argv[1], "--help") == 0;

		(void)fputs("usage: bulkhead-prompt\n\nShows questions about qrexec calls; "
			    "`bulkhead start` starts it.\n",
			    help ? stdout : stderr);
		return help ? 0 : 2;
	}
	r = acquire(&p);
	if (r != 0)
		return r > 0 ? 0 : 1;
	while (r == 0 && !p.no_display)
		r = turn(&p);
	if (r < 0)
		log_err(NULL, "cannot go on: %s", log_errno_str(r));
	return 1;
}
