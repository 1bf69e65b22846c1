/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader: all bytes that QEMU says, read where they can do no harm.
 *
 * Runs as	the qube's own id, in empty namespaces, with a short list of system calls.
 * Holds	the reading side of QMP, console and standard error; the console's log; a socket on
 *		which it tells qube-monitor decoded, fixed-size notes.
 * Trusts	nobody. A QEMU that breaks the rules of doc/protocol/qmp.md is cut off.
 *
 * What QEMU can make us hold is fixed: one QMP line, one block of console. The console's log is a
 * file of at most LOG_MAX bytes: when it is full its older half goes. What could command the
 * terminal on which somebody reads it is replaced. A flood is slowed down to CONSOLE_RATE, which QEMU and so the guest feel, and nobody else. Units are bytes.
 */
#include "qube-monitor.h"

#include "base/escape.h"
#include "base/log.h"
#include "sandbox/sandbox.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LOG_MAX       ((size_t)1024 * 1024)
#define CONSOLE_RATE  ((size_t)256 * 1024) /* per second */
#define QMP_WINDOW_MS 10000
#define QMP_MAX_BYTES ((size_t)1024 * 1024)
#define QMP_MAX_LINES 5000u
#define WORDS_MAX     4096u /* of standard error, in all */

struct reader {
	int qmp_fd, console_fd, stderr_fd, log_fd, notes_fd;
	char line[QMP_LINE_MAX + 2];
	size_t line_len;
	uint64_t qmp_window_ms, console_window_ms;
	size_t qmp_bytes, qmp_lines, console_bytes, words_bytes;
	off_t log_len;
};

static struct reader reader; /* static: large, and one a process */
static char console_block[LOG_MAX / 2 < 65536 ? LOG_MAX / 2 : 65536];

static int tell(const struct reader_note *note)
{
	return io_send_msg(reader.notes_fd, note, sizeof(*note), NULL, 0);
}

static NORETURN void cut(const char *what)
{
	struct reader_note note = {.kind = READER_CUT};

	(void)snprintf(note.words, sizeof(note.words), "%s", what);
	_exit(tell(&note) < 0 ? 1 : 0);
}

static void qmp_line(const char *line, size_t len)
{
	struct reader_note note = {.kind = READER_QMP};
	int r = qmp_decode(line, len, &note.qmp);

	if (r == QMP_E_LENGTH)
		cut("a QMP line that is too long");
	if (r > 0)
		cut("a QMP line that is none");
	if (note.qmp.kind == QMP_EVENT && note.qmp.event == QMP_EVENT_OTHER)
		return;
	if (tell(&note) < 0)
		_exit(1);
}

static void qmp_split(void)
{
	size_t at = 0;

	for (;;) {
		const char *end = memchr(reader.line + at, '\n', reader.line_len - at);

		if (!end)
			break;
		if (++reader.qmp_lines > QMP_MAX_LINES)
			cut("a flood of QMP lines");
		qmp_line(reader.line + at, (size_t)(end - reader.line) - at);
		at = (size_t)(end - reader.line) + 1;
	}
	memmove(reader.line, reader.line + at, reader.line_len - at);
	reader.line_len -= at;
	if (reader.line_len > QMP_LINE_MAX)
		cut("a QMP line that is too long");
}

/* Return: the other side is open */
static bool qmp_read(uint64_t now)
{
	ssize_t n = read(reader.qmp_fd, reader.line + reader.line_len,
			 sizeof(reader.line) - reader.line_len);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	if (now - reader.qmp_window_ms >= QMP_WINDOW_MS) {
		reader.qmp_window_ms = now;
		reader.qmp_bytes = 0;
		reader.qmp_lines = 0;
	}
	reader.qmp_bytes += (size_t)n;
	if (reader.qmp_bytes > QMP_MAX_BYTES)
		cut("a flood of QMP");
	reader.line_len += (size_t)n;
	qmp_split();
	return true;
}

/* the newer half moves to the front, from its first whole line on */
static void log_shorten(void)
{
	off_t from = reader.log_len - (off_t)(LOG_MAX / 2), to = 0;

	while (from < reader.log_len) {
		ssize_t n = pread(reader.log_fd, console_block, sizeof(console_block), from);

		if (n <= 0 || pwrite(reader.log_fd, console_block, (size_t)n, to) != n)
			break;
		from += n;
		to += n;
	}
	(void)!ftruncate(reader.log_fd, to);
	reader.log_len = to;
}

/* a log that cannot be written (disk full) loses its bytes; the guest goes on */
static void log_append(const char *bytes, size_t len)
{
	ssize_t n;

	if (reader.log_len + (off_t)len > (off_t)LOG_MAX)
		log_shorten();
	n = pwrite(reader.log_fd, bytes, len, reader.log_len);
	if (n > 0)
		reader.log_len += n;
}

static bool console_read(uint64_t now)
{
	static char bytes[8192];
	ssize_t n = read(reader.console_fd, bytes, sizeof(bytes));

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	if (now - reader.console_window_ms >= 1000) {
		reader.console_window_ms = now;
		reader.console_bytes = 0;
	}
	reader.console_bytes += (size_t)n;
	escape_filter((uint8_t *)bytes, (size_t)n);
	log_append(bytes, (size_t)n);
	return true;
}

static bool words_read(void)
{
	struct reader_note note = {.kind = READER_WORDS};
	char bytes[160];
	ssize_t n = read(reader.stderr_fd, bytes, sizeof(bytes));

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	reader.words_bytes += (size_t)n;
	if (reader.words_bytes > WORDS_MAX)
		return true; /* read on, so that QEMU does not hang; nobody needs more of it */
	memcpy(note.words, bytes, (size_t)n);
	if (tell(&note) < 0)
		_exit(1);
	return true;
}

static void serve(void)
{
	struct pollfd p[] = {
		{.fd = reader.qmp_fd, .events = POLLIN},
		{.fd = reader.console_fd, .events = POLLIN},
		{.fd = reader.stderr_fd, .events = POLLIN},
	};
	const struct reader_note end = {.kind = READER_END};

	while (p[0].fd >= 0 || p[1].fd >= 0 || p[2].fd >= 0) {
		uint64_t now = io_now_ms();
		bool slow = reader.console_bytes >= CONSOLE_RATE &&
			    now - reader.console_window_ms < 1000;

		p[1].events = slow ? 0 : POLLIN;
		if (poll(p, ARRAY_LEN(p),
			 slow ? (int)(1000 - (now - reader.console_window_ms)) : -1) < 0 &&
		    errno != EINTR)
			_exit(1);
		now = io_now_ms();
		if (p[2].fd >= 0 && p[2].revents && !words_read())
			p[2].fd = NO_FD;
		if (p[0].fd >= 0 && p[0].revents && !qmp_read(now))
			p[0].fd = NO_FD;
		if (p[1].fd >= 0 && p[1].revents && !console_read(now))
			p[1].fd = NO_FD;
	}
	(void)tell(&end);
}

/* everything else that was open goes; ours keep their numbers */
static int close_others(void)
{
	int keep[] = {reader.qmp_fd, reader.console_fd, reader.stderr_fd, reader.log_fd,
		      reader.notes_fd};
	unsigned from = 3;

	for (;;) {
		int next = -1;

		for (size_t i = 0; i < ARRAY_LEN(keep); i++)
			if (keep[i] >= (int)from && (next < 0 || keep[i] < next))
				next = keep[i];
		if (next < 0)
			return close_range(from, ~0U, 0) < 0 ? fail_errno() : 0;
		if (next > (int)from && close_range(from, (unsigned)next - 1, 0) < 0)
			return fail_errno();
		from = (unsigned)next + 1;
	}
}

static NORETURN void run(const char *name, pid_t parent, uid_t uid)
{
	/* on the console's log only: standard error is a log too, and not the qube's to shorten */
	const struct sandbox_call calls[] = {
		{"pwrite64", 0, UINT32_MAX, (uint32_t)reader.log_fd},
		{"pread64", 0, UINT32_MAX, (uint32_t)reader.log_fd},   /* its newer half is moved */
		{"ftruncate", 0, UINT32_MAX, (uint32_t)reader.log_fd}, /* and the rest cut */
	};
	const struct sandbox walls = {
		.calls = calls,
		.n_calls = ARRAY_LEN(calls),
		.uid = geteuid() == 0 ? uid : 0,
		.gid = geteuid() == 0 ? (gid_t)uid : 0,
		.max_fds = 64,
	};
	unsigned missing = 0;
	struct stat st;
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	if (fstat(reader.log_fd, &st) == 0)
		reader.log_len = st.st_size;
	r = close_others();
	r = r < 0 ? r : sandbox_enter(&walls, &missing);
	if (r < 0) {
		log_err(name, "the reader of QEMU's bytes cannot confine itself: %s",
			log_errno_str(r));
		_exit(1);
	}
	serve();
	_exit(0);
}

int reader_start(const char *name, uid_t uid, int qmp_fd, int console_fd, int stderr_fd, int log_fd,
		 int *ret_pidfd, int *ret_notes_fd)
{
	pid_t parent = getpid(), pid;
	AUTO_CLOSE int ours = NO_FD;
	int pair[2], pidfd;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno();
	ours = pair[0];
	pid = fork();
	if (pid == 0) {
		reader.qmp_fd = qmp_fd;
		reader.console_fd = console_fd;
		reader.stderr_fd = stderr_fd;
		reader.log_fd = log_fd;
		reader.notes_fd = pair[1];
		run(name, parent, uid);
	}
	(void)close(pair[1]);
	if (pid < 0)
		return -EAGAIN;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		int r = fail_errno();

		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	*ret_pidfd = pidfd;
	*ret_notes_fd = take_fd(&ours);
	return 0;
}

/* The reader may have been taken over in turn: its notes are looked at as well. */
int reader_take(int notes_fd, struct reader_note *ret)
{
	ssize_t n = recv(notes_fd, ret, sizeof(*ret), MSG_DONTWAIT | MSG_TRUNC);

	if (n == 0)
		return -ENODATA;
	if (n < 0)
		return fail_errno();
	if ((size_t)n != sizeof(*ret) || (unsigned)ret->kind > READER_END ||
	    (unsigned)ret->qmp.kind > QMP_EVENT || (unsigned)ret->qmp.event > QMP_EVENT_MEMORY_SIZE)
		return -EPROTO;
	ret->words[sizeof(ret->words) - 1] = '\0';
	for (char *at = ret->words; *at; at++)
		if (*at != '\n' && (*at < 0x20 || *at >= 0x7f))
			*at = '?';
	ret->qmp.reason[sizeof(ret->qmp.reason) - 1] = '\0';
	ret->qmp.device[sizeof(ret->qmp.device) - 1] = '\0';
	ret->qmp.node[sizeof(ret->qmp.node) - 1] = '\0';
	ret->qmp.status[sizeof(ret->qmp.status) - 1] = '\0';
	ret->qmp.error_class[sizeof(ret->qmp.error_class) - 1] = '\0';
	ret->qmp.error_desc[sizeof(ret->qmp.error_desc) - 1] = '\0';
	return 0;
}
