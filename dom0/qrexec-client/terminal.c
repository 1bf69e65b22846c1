/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal of who runs something in a qube, as the place where the person is asked about calls that this qube makes
 * meanwhile (doc/protocol/prompt.md), if there is no display to ask on (doc/decisions/0034).
 *
 * The relay is a child of ours and is stopped before a question is shown: the qube can write nothing between it and the
 * answer, nor read the answer. What was typed before is thrown away. The answer has a number in it that the qube can neither
 * know nor see, so that nothing the person meant for the qube answers anything.
 *
 * The words of the question are decoded and shown by a process per question, which can only read and write what it has
 * open. What is held here is the terminal, and the child that is stopped.
 */
#include "qrexec-client.h"

#include "base/log.h"
#include "base/str.h"
#include "proto/prompt.h"
#include "qrexec/words.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>

/** QUESTION_MS - how long a question may take to come whole */
#define QUESTION_MS 10000
/** LOCK_MS - how often it is looked whether the terminal is free */
#define LOCK_MS 200
/** REFUSALS_MAX - then this terminal is left alone */
#define REFUSALS_MAX 3
/** SHOWN_MAX - targets that are shown; others may be typed too */
#define SHOWN_MAX 24
/** ANSWER_SIZE - of a line that is typed: no name with a number is longer */
#define ANSWER_SIZE 128

/* enum asked - how the process of a question ends */
enum asked { ASKED_ALLOWED, ASKED_REFUSED, ASKED_GONE };

/* ---- the process of a question ------------------------------------------------------------- */

struct asker {
	int tty_fd, fd;
	enum prompt_result why; /* it is refused without being shown; 0: it is shown */
	unsigned number;        /* that the answer must have */
	uint64_t until_ms;
	struct prompt_question q;
};

static void PRINTF_LIKE(2, 3) show(const struct asker *a, const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n > 0)
		(void)!io_write_full(a->tty_fd, line,
				     (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static NORETURN void answer(const struct asker *a, enum prompt_result result, uint32_t target,
			    enum asked how)
{
	const struct prompt_answer m = {result, target};
	uint8_t bytes[PROMPT_ANSWER_LEN];

	prompt_answer_encode(&m, bytes);
	/* the first bytes there: they fit, or nobody hears them */
	(void)send(a->fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
	_exit((int)how);
}

/* exactly @len bytes, in time */
static bool take(const struct asker *a, uint8_t *to, size_t len)
{
	while (len > 0) {
		struct pollfd p = {.fd = a->fd, .events = POLLIN};
		const uint64_t now = io_now_ms();
		ssize_t n;

		if (now >= a->until_ms || poll(&p, 1, (int)(a->until_ms - now)) <= 0)
			return false;
		n = recv(a->fd, to, len, MSG_DONTWAIT);
		if (n <= 0)
			return false;
		to += n;
		len -= (size_t)n;
	}
	return true;
}

static void question_take(struct asker *a)
{
	static uint8_t bytes[PROMPT_MAX];
	size_t len;

	a->until_ms = io_now_ms() + QUESTION_MS;
	if (!take(a, bytes, 4))
		_exit(ASKED_GONE);
	if (prompt_question_len(bytes, 4, &len) != 0 || len < 4 || len > sizeof(bytes) ||
	    !take(a, bytes + 4, len - 4) || prompt_question_decode(bytes, len, &a->q) != 0)
		answer(a, PROMPT_NOT_SHOWN, 0, ASKED_GONE);
	a->until_ms = io_now_ms() + a->q.timeout_ms;
}

static const char *prefix_of(const struct prompt_qube *target)
{
	return target->kind == PROMPT_NEW_DISPOSABLE ? "@dispvm:" : "";
}

static void targets_show(const struct asker *a)
{
	struct prompt_qube t;
	size_t at = 0;

	for (uint32_t i = 0; prompt_target_next(&a->q, &at, &t); i++) {
		if (i < SHOWN_MAX || i == a->q.preselected)
			show(a, "    %s%s (%s)%s\r\n", prefix_of(&t), t.name, t.label,
			     i == a->q.preselected ? ", which the policy suggests" : "");
	}
	if (a->q.n_targets > SHOWN_MAX)
		show(a, "    ... %u in all\r\n", a->q.n_targets);
}

static void question_show(const struct asker *a)
{
	const char *words = words_of_service(a->q.service);
	char shown[WORDS_BUF];

	/* what a qube's colour was ends here */
	show(a, "\033[0m\r\n\r\n=== dom0 asks you ===\r\n");
	show(a, "The qube %s (%s) wants to %s another qube%s%s.\r\n", a->q.source.name,
	     a->q.source.label, words ? words : "call a service of",
	     a->q.remote[0] != '\0' ? ", for the remote qube " : "", a->q.remote);
	show(a, "  service: %s\r\n", words_shown(a->q.service, strlen(a->q.service), shown));
	show(a, "  it asked for: %s\r\n", words_shown(a->q.asked, strlen(a->q.asked), shown));
	show(a, "  it may be given:\r\n");
	targets_show(a);
	show(a,
	     "To allow it type one of these names and, behind a blank, %04u. Anything else refuses it,\r\n"
	     "as do %u seconds without an answer: ",
	     a->number, a->q.timeout_ms / 1000);
}

/* a line from the terminal; false: there is none */
static bool line_take(const struct asker *a, char line[ANSWER_SIZE])
{
	struct pollfd p[2] = {{.fd = a->tty_fd, .events = POLLIN}, {.fd = a->fd, .events = POLLIN}};
	uint64_t now;
	ssize_t n;

	while ((now = io_now_ms()) < a->until_ms) {
		n = poll(p, ARRAY_LEN(p), (int)(a->until_ms - now));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || p[1].revents) {
			/* it counts: who asks and takes back for ever would have the terminal for ever */
			show(a, "\r\ntaken back by who asked\r\n");
			_exit(ASKED_REFUSED);
		}
		if (n == 0)
			break;
		n = read(a->tty_fd, line, ANSWER_SIZE - 1);
		if (n < 0 && errno == EINTR)
			continue;
		line[n > 0 ? n : 0] = '\0';
		return true;
	}
	return false;
}

/* "NAME NUMBER" of a line that is ended; PROMPT_NONE: nothing that allows */
static uint32_t target_find(const struct asker *a, const char *line)
{
	char want[ANSWER_SIZE];
	struct prompt_qube t;
	size_t at = 0;

	for (uint32_t i = 0; prompt_target_next(&a->q, &at, &t); i++)
		if (str_format(want, sizeof(want), "%s%s %04u\n", prefix_of(&t), t.name,
			       a->number) == 0 &&
		    str_eq(line, want))
			return i;
	return PROMPT_NONE;
}

static NORETURN void ask(struct asker *a)
{
	/* its streams are open; nothing else is needed */
	char line[ANSWER_SIZE];
	uint32_t target;

	if (sandbox_calls_only(NULL, 0) < 0)
		_exit(ASKED_GONE);
	question_take(a);
	if (a->why != 0)
		answer(a, a->why, 0, ASKED_GONE);
	question_show(a);
	if (!line_take(a, line)) {
		show(a, "\r\nrefused: no answer\r\n");
		answer(a, PROMPT_TIMED_OUT, 0, ASKED_REFUSED);
	}
	target = target_find(a, line);
	show(a, target == PROMPT_NONE ? "refused\r\n" : "allowed\r\n");
	if (target == PROMPT_NONE)
		answer(a, PROMPT_DENIED, 0, ASKED_REFUSED);
	answer(a, PROMPT_ALLOWED, target, ASKED_ALLOWED);
}

/* ---- whether there is a terminal ----------------------------------------------------------- */

static bool tty_is(int tty_fd, int fd)
{
	unsigned own, its;

	return ioctl(tty_fd, TIOCGDEV, &own) == 0 && ioctl(fd, TIOCGDEV, &its) == 0 && own == its;
}

/* what the qube says there cannot come to the terminal behind our back, nor command it; of standard input: who writes to it
 * does not read what is typed */
static bool is_harmless(int tty_fd, int fd, bool filtered)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return true;
	if (S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
		return true;
	return filtered && tty_is(tty_fd, fd);
}

/* 0: one listens on it */
static int listen_on(struct terminal *t, const struct options *o, const char *run_dir)
{
	char dir[UNIX_PATH_MAX + 1], lock[UNIX_PATH_MAX + 1];
	int r = str_format(dir, sizeof(dir), "%s/" PROMPT_TERMINALS, run_dir);

	if (r == 0)
		r = str_format(lock, sizeof(lock), "%s/lock", dir);
	if (r == 0)
		r = str_format(t->path, sizeof(t->path), "%s/%s.%d", dir, o->qube, (int)getpid());
	if (r < 0)
		return r;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fail_errno();
	t->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return t->lock_fd < 0 ? fail_errno()
			      : io_unix_listen(t->path, SOCK_STREAM, 0600, &t->listen_fd);
}

bool terminal_open(struct terminal *t, const struct options *o, const char *run_dir)
{
	*t = (struct terminal){.tty_fd = NO_FD,
			       .listen_fd = NO_FD,
			       .lock_fd = NO_FD,
			       .asker_fd = NO_FD,
			       .colour = o->colour};
	if (o->just_exec || o->local || o->stdin_socket ||
	    !str_is_qube_name(o->qube, strlen(o->qube)))
		return false;
	t->tty_fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (t->tty_fd >= 0 && is_harmless(t->tty_fd, STDIN_FILENO, true) &&
	    is_harmless(t->tty_fd, STDOUT_FILENO, o->filter_out) &&
	    is_harmless(t->tty_fd, STDERR_FILENO, o->filter_err) && listen_on(t, o, run_dir) == 0)
		return true;
	terminal_leave(t);
	return false;
}

void terminal_leave(struct terminal *t)
{
	close_fd(&t->tty_fd);
	close_fd(&t->listen_fd);
	close_fd(&t->lock_fd);
	close_fd(&t->asker_fd);
}

void terminal_close(struct terminal *t)
{
	if (t->listen_fd >= 0)
		(void)unlink(t->path);
	terminal_leave(t);
}

/* ---- asking -------------------------------------------------------------------------------- */

/* false: it has ended */
static bool relay_stop(pid_t relay)
{
	siginfo_t info = {0};

	if (kill(relay, SIGSTOP) < 0)
		return false;
	while (waitid(P_PID, (id_t)relay, &info, WSTOPPED | WEXITED | WNOWAIT) < 0)
		if (errno != EINTR)
			return false;
	return info.si_code == CLD_STOPPED;
}

/* a line at a time, as it is typed, and stopping only by the keys that end it all */
static int tty_plain(int fd, struct termios *ret_saved)
{
	struct termios plain;

	if (tcgetattr(fd, ret_saved) < 0)
		return fail_errno();
	plain = *ret_saved;
	plain.c_iflag |= ICRNL;
	plain.c_iflag &= ~(tcflag_t)(INLCR | IGNCR);
	plain.c_oflag |= OPOST;
	plain.c_lflag |= ICANON | ECHO | ECHOE | ISIG;
	plain.c_cc[VSUSP] = _POSIX_VDISABLE;
	/* what was typed so far was not for us */
	return tcsetattr(fd, TCSAFLUSH, &plain) < 0 ? fail_errno() : 0;
}

static enum asked asker_wait(pid_t pid, int signal_fd)
{
	struct pollfd p[2] = {{.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN},
			      {.fd = signal_fd, .events = POLLIN}};
	int status = 0;

	while (p[0].fd >= 0 && poll(p, ARRAY_LEN(p), -1) < 0 && errno == EINTR)
		;
	if (p[0].fd < 0 || !p[0].revents)
		(void)kill(pid, SIGKILL); /* we are told to end */
	close_fd(&p[0].fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? (enum asked)WEXITSTATUS(status) : ASKED_REFUSED;
}

static enum asked asker_run(struct terminal *t, struct asker *a, int signal_fd)
{
	pid_t pid;

	a->tty_fd = t->tty_fd;
	a->fd = t->asker_fd;
	pid = fork();
	if (pid == 0) {
		/* the keys that end the call, which is stopped, end the question as well */
		(void)signal(SIGINT, SIG_DFL);  // NOLINT(cert-err33-c)
		(void)signal(SIGQUIT, SIG_DFL); // NOLINT(cert-err33-c)
		ask(a);
	}
	close_fd(&t->asker_fd);
	return pid < 0 ? ASKED_GONE : asker_wait(pid, signal_fd);
}

/* who asks is answered when all of the question has been read: before that it would not hear us */
static void refuse(struct terminal *t, enum prompt_result why, int signal_fd)
{
	struct asker a = {.why = why};

	(void)asker_run(t, &a, signal_fd);
}

static void question(struct terminal *t, pid_t relay, int signal_fd)
{
	struct asker a = {0};
	struct termios saved;

	if (getrandom(&a.number, sizeof(a.number), 0) != (ssize_t)sizeof(a.number) ||
	    !relay_stop(relay)) {
		refuse(t, PROMPT_NOT_SHOWN, signal_fd);
		return;
	}
	a.number %= 10000;
	if (tty_plain(t->tty_fd, &saved) < 0) {
		refuse(t, PROMPT_NOT_SHOWN, signal_fd);
	} else {
		if (asker_run(t, &a, signal_fd) == ASKED_REFUSED)
			t->n_refused++;
		(void)tcsetattr(t->tty_fd, TCSAFLUSH, &saved);
		if (t->colour)
			(void)dprintf(t->tty_fd, "\033[0;%sm", t->colour);
	}
	(void)kill(relay, SIGCONT);
}

static bool is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

struct pollfd terminal_poll(const struct terminal *t)
{
	if (t->asker_fd >= 0)
		return (struct pollfd){.fd = t->asker_fd};
	return (struct pollfd){.fd = t->listen_fd, .events = POLLIN};
}

int terminal_timeout_ms(const struct terminal *t)
{
	return t->asker_fd >= 0 ? LOCK_MS : -1;
}

void terminal_turn(struct terminal *t, short revents, pid_t relay, int signal_fd)
{
	if (t->asker_fd < 0 && revents) {
		t->asker_fd = accept4(t->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (t->asker_fd >= 0 && !is_ours(t->asker_fd))
			close_fd(&t->asker_fd);
	} else if (t->asker_fd >= 0 && revents) {
		close_fd(&t->asker_fd); /* taken back while another one was asked here */
	}
	if (t->asker_fd < 0)
		return;
	if (t->n_refused >= REFUSALS_MAX) {
		refuse(t, PROMPT_BUSY, signal_fd);
		return;
	}
	/* one in the background may not read what is typed */
	if (tcgetpgrp(t->tty_fd) != getpgrp()) {
		refuse(t, PROMPT_NOT_SHOWN, signal_fd);
		return;
	}
	if (flock(t->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return;
	question(t, relay, signal_fd);
	(void)flock(t->lock_fd, LOCK_UN);
}
