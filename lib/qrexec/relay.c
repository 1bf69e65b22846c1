/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One turn of the loop: look at what may move, poll for exactly that, move it. A descriptor that
 * could not make progress is not polled, so a full pipe on one side never makes the loop spin; a
 * descriptor that only says it hung up is taken out of the set once that is known.
 */
#include "qrexec/relay.h"

#include "base/escape.h"
#include "base/io.h"
#include "proto/qrexec.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* SMALL - what a descriptor that may block takes for sure once poll() says it is writable */
#define SMALL PIPE_BUF

struct stream {
	int fd;
	enum qrexec_type type;
	bool socket; /* non-blocking by flag of each call */
	bool blocks; /* may block: move at most SMALL */
	bool filter;
	bool ended;  /* its end has been sent, or received and passed on */
	bool broken; /* nobody takes it any more: what comes is dropped */
	pid_t pump;  /* reads the pipe for us; 0 = none */
};

struct relay {
	struct relay_options o;
	struct stream in[2], out[2];
	unsigned n_in, n_out, next_in;

	/* towards the channel: one message of data, or short ones that say an end; tx[tx_at..tx_end] still to be
	 * written */
	uint8_t *tx;
	size_t tx_at, tx_end;
	bool tx_dead; /* the other side reads no more; what it had written may still come */

	/* from the channel: rx[rx_at..rx_end] not yet looked at; of a data message body bytes to
	 * come */
	uint8_t *rx;
	size_t rx_at, rx_end;
	uint32_t body;
	struct stream *body_to;
	bool out_ready; /* poll() has just said so of the stream that is stuck */
	bool rx_ended;  /* the channel is at its end */
	bool hung_up;

	bool two_way; /* the command's stdin carries its output too */
	bool exited, code_known, code_sent;
	unsigned code;
	uint64_t quiet_since_ms; /* service: when the command had ended and bytes last came */
};

/** ENDS_LEN - room for what is said at the end: both streams are over, the exit code */
#define ENDS_LEN (3u * QREXEC_HEADER_LEN + 4)

enum { P_VCHAN, P_BELL, P_SIGNAL, P_IN, P_OUT = P_IN + 2, N_POLL };

/* ---- descriptors --------------------------------------------------------------------------- */

/* a file, or /dev/null */
static bool never_blocks(const struct stat *st)
{
	return S_ISREG(st->st_mode) || (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3));
}

int relay_fd_own(int fd)
{
	AUTO_CLOSE int again = NO_FD;
	char path[32];
	struct stat st;
	int flags;

	if (fstat(fd, &st) < 0)
		return fail_errno();
	if ((!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode)) || never_blocks(&st))
		return 0;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return fail_errno();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (again < 0)
		return 0;
	/* no close-on-exec where there was none: what we start inherits our standard descriptors */
	if (dup3(again, fd, fd > STDERR_FILENO ? O_CLOEXEC : 0) < 0)
		return fail_errno();
	return 0;
}

static void stream_init(struct stream *s, int fd, enum qrexec_type type)
{
	struct stat st;
	const int flags = fd < 0 ? 0 : fcntl(fd, F_GETFL);

	s->fd = fd;
	s->type = type;
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	s->socket = S_ISSOCK(st.st_mode);
	s->blocks = !s->socket && flags >= 0 && (flags & O_NONBLOCK) == 0 && !never_blocks(&st);
}

static ssize_t stream_read(const struct stream *s, void *to, size_t size)
{
	ssize_t n;

	do
		n = s->socket ? recv(s->fd, to, size, MSG_DONTWAIT) : read(s->fd, to, size);
	while (n < 0 && errno == EINTR);
	return n;
}

static ssize_t stream_write(const struct stream *s, const void *from, size_t len)
{
	ssize_t n;

	if (s->blocks && len > SMALL)
		len = SMALL;
	do
		n = s->socket ? send(s->fd, from, len, MSG_DONTWAIT | MSG_NOSIGNAL)
			      : write(s->fd, from, len);
	while (n < 0 && errno == EINTR);
	return n;
}

/*
 * Reading a command's pipe can take any time, O_NONBLOCK or not: a command that splices from its
 * stdin (a socket) to its stdout (a pipe), as busybox's cat does, holds the pipe's lock while it
 * waits for input, and read() waits for that lock. If we did, the input would never come. So as
 * long as the command may wait for input, a pump does the reading: a process with nothing but the
 * pipe and a socket to us.
 */
static NORETURN void pump_main(pid_t parent, int from, int to, uint8_t *buf, size_t size)
{
	/* whatever else we hold would keep channel and streams open */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
	    dup2(from, STDIN_FILENO) < 0 || dup2(to, STDOUT_FILENO) < 0 ||
	    close_range(STDERR_FILENO, ~0U, 0) < 0 || io_set_nonblock(STDIN_FILENO, false) < 0)
		_exit(EXIT_FAILURE);
	for (;;) {
		const ssize_t n = read(STDIN_FILENO, buf, size);

		if (n == 0)
			_exit(EXIT_SUCCESS);
		if ((n < 0 && errno != EINTR) ||
		    (n > 0 && io_write_full(STDOUT_FILENO, buf, (size_t)n) < 0))
			_exit(EXIT_FAILURE);
	}
}

static int pump_start(struct stream *s, uint8_t *buf, size_t size)
{
	const pid_t self = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno();
	s->pump = fork();
	if (s->pump == 0) {
		/* away from the numbers it will have */
		int from = fcntl(s->fd, F_DUPFD, STDERR_FILENO),
		    to = fcntl(pair[1], F_DUPFD, STDERR_FILENO);

		pump_main(self, from, to, buf, size);
	}
	(void)close(pair[1]);
	if (s->pump < 0) {
		s->pump = 0;
		(void)close(pair[0]);
		return fail_errno();
	}
	(void)close(s->fd);
	s->fd = pair[0];
	s->socket = true;
	s->blocks = false;
	return 0;
}

static void stream_close(struct stream *s)
{
	close_fd(&s->fd);
	/* not reaped, so the number is still its own */
	if (s->pump > 0)
		(void)kill(s->pump, SIGKILL);
	s->pump = 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

int relay_new(const struct relay_options *o, struct relay **ret)
{
	const size_t size = QREXEC_HEADER_LEN + qrexec_chunk_max(o->version);
	struct relay *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->o = *o;
	r->tx = malloc(ENDS_LEN + size);
	r->rx = malloc(size);
	if (!r->tx || !r->rx) {
		relay_free(r);
		return -ENOMEM;
	}
	if (o->role == RELAY_CALLER) {
		r->n_in = 1;
		r->n_out = 2;
		stream_init(&r->in[0], o->in[0], QREXEC_DATA_STDIN);
		stream_init(&r->out[0], o->out[0], QREXEC_DATA_STDOUT);
		stream_init(&r->out[1], o->out[1], QREXEC_DATA_STDERR);
	} else {
		r->n_in = 2;
		r->n_out = 1;
		stream_init(&r->in[0], o->in[0], QREXEC_DATA_STDOUT);
		stream_init(&r->in[1], o->in[1], QREXEC_DATA_STDERR);
		stream_init(&r->out[0], o->out[0], QREXEC_DATA_STDIN);
	}
	for (unsigned i = 0; i < r->n_in; i++)
		r->in[i].ended = o->code_only;
	r->two_way = o->socket;
	r->out[0].filter = o->filter[0];
	r->out[1].filter = o->filter[1];
	*ret = r;
	return 0;
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	free(r->tx);
	free(r->rx);
	free(r);
}

static size_t chunk_max(const struct relay *r)
{
	return qrexec_chunk_max(r->o.version);
}

/* ---- towards the channel ------------------------------------------------------------------- */

static int tx_flush(struct relay *r)
{
	while (r->tx_at < r->tx_end) {
		size_t n;
		int e;

		if (r->tx_dead) {
			r->tx_at = r->tx_end;
			break;
		}
		e = vchan_write(r->o.vchan, r->tx + r->tx_at, r->tx_end - r->tx_at, &n);
		if (e == -EAGAIN)
			return 0;
		if (e == -EPIPE || e == -ECONNRESET) {
			r->tx_dead = true;
			continue;
		}
		if (e < 0)
			return e;
		r->tx_at += n;
	}
	return 0;
}

static bool tx_idle(const struct relay *r)
{
	return r->tx_at == r->tx_end;
}

/* there is room for a message; behind others only as long as these are nothing but ends */
static bool tx_ready(const struct relay *r)
{
	return tx_idle(r) || r->tx_end + QREXEC_HEADER_LEN + 4 <= ENDS_LEN;
}

/* where the payload of the next message goes; tx_ready() */
static uint8_t *tx_payload(struct relay *r)
{
	if (tx_idle(r))
		r->tx_at = r->tx_end = 0;
	return r->tx + r->tx_end + QREXEC_HEADER_LEN;
}

/* A message whose @len bytes are at tx_payload(). It leaves at the next tx_flush(): who reads it wakes up once for what
 * comes at once. */
static void tx_put(struct relay *r, enum qrexec_type type, size_t len)
{
	uint8_t *at = tx_payload(r) - QREXEC_HEADER_LEN;

	qrexec_header_encode(type, len, at);
	r->tx_end += QREXEC_HEADER_LEN + len;
}

static void in_end(struct relay *r, struct stream *s)
{
	/* with stdin in both directions the descriptor is the other stream's too */
	if (!(r->two_way && s == &r->in[0]))
		stream_close(s);
	s->fd = NO_FD;
	s->ended = true;
	tx_put(r, s->type, 0);
}

static int in_move(struct relay *r, struct stream *s)
{
	ssize_t n;

	if (r->o.role == RELAY_SERVICE && !s->socket && !r->exited && !r->out[0].ended)
		return pump_start(s, tx_payload(r), chunk_max(r));
	n = stream_read(s, tx_payload(r), chunk_max(r));
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0) {
		in_end(r, s); /* an error of the descriptor is its end */
		return 0;
	}
	if (r->exited)
		r->quiet_since_ms = io_now_ms();
	tx_put(r, s->type, (size_t)n);
	return tx_flush(r);
}

static int prefix_move(struct relay *r)
{
	const size_t n = r->o.prefix_len < chunk_max(r) ? r->o.prefix_len : chunk_max(r);

	memcpy(tx_payload(r), r->o.prefix, n);
	r->o.prefix = (const uint8_t *)r->o.prefix + n;
	r->o.prefix_len -= n;
	tx_put(r, r->in[0].type, n);
	return tx_flush(r);
}

/* what can be sent without waiting for a descriptor */
static int tx_next(struct relay *r)
{
	int e = 0;

	while (e == 0 && tx_idle(r) && r->o.prefix_len > 0)
		e = prefix_move(r);
	for (unsigned i = 0; i < r->n_in && tx_ready(r) && r->o.prefix_len == 0; i++)
		if (r->in[i].fd < 0 && !r->in[i].ended)
			in_end(r, &r->in[i]);
	return e;
}

static bool in_all_ended(const struct relay *r)
{
	for (unsigned i = 0; i < r->n_in; i++)
		if (!r->in[i].ended)
			return false;
	return true;
}

/* ---- from the channel ---------------------------------------------------------------------- */

/* The command's stdin stays open until the end of the call, only no more is written: it may yet be
 * made bidirectional. */
static void out_end(struct relay *r, struct stream *s)
{
	s->ended = true;
	if (s->fd >= 0 && s->socket &&
	    (r->o.role == RELAY_SERVICE || (r->o.shut_down && s == &r->out[0])))
		(void)shutdown(s->fd, SHUT_WR);
	else
		close_fd(&s->fd);
}

static int out_break(struct relay *r, struct stream *s)
{
	if (r->o.role == RELAY_CALLER && !r->o.keep_going)
		return RELAY_E_LOCAL;
	s->broken = true;
	return 0;
}

static struct stream *out_get(struct relay *r, uint32_t type)
{
	for (unsigned i = 0; i < r->n_out; i++)
		if (r->out[i].type == type)
			return &r->out[i];
	return NULL;
}

/* pass on what is in the buffer of the current message; 0 also if the receiver is full */
static int body_move(struct relay *r, bool *ret_stuck)
{
	struct stream *s = r->body_to;
	size_t have = r->rx_end - r->rx_at;
	ssize_t n;
	int e;

	if (have > r->body)
		have = r->body;
	*ret_stuck = false;
	if (s->fd < 0 || s->broken) {
		n = (ssize_t)have;
	} else if (s->blocks && !r->out_ready) {
		*ret_stuck = true; /* poll() must have said that SMALL bytes find room */
		return 0;
	} else {
		r->out_ready = false;
		if (s->filter)
			escape_filter(r->rx + r->rx_at, have);
		n = stream_write(s, r->rx + r->rx_at, have);
		if (n < 0 && errno == EAGAIN) {
			*ret_stuck = true;
			return 0;
		}
		if (n < 0) {
			e = out_break(r, s);
			if (e != 0)
				return e;
			n = (ssize_t)have;
		}
	}
	r->rx_at += (size_t)n;
	r->body -= (uint32_t)n;
	return 0;
}

static int code_take(struct relay *r, const struct qrexec_header *h)
{
	struct qrexec_msg m;
	int e = qrexec_payload_decode(QREXEC_SERVICE_TO_CALLER, r->o.version, h,
				      r->rx + r->rx_at + QREXEC_HEADER_LEN, &m);

	if (e != 0)
		return RELAY_E_PROTOCOL;
	r->code_known = true;
	/* what does not fit into an exit status must not come out as another one */
	r->code = m.exit_code <= 255 ? m.exit_code : 255;
	return 0;
}

/* the next header, if it is there; *@ret_more: something was consumed */
static int head_take(struct relay *r, bool *ret_more)
{
	const enum qrexec_way way =
		r->o.role == RELAY_CALLER ? QREXEC_SERVICE_TO_CALLER : QREXEC_CALLER_TO_SERVICE;
	const size_t have = r->rx_end - r->rx_at;
	struct qrexec_header h;

	*ret_more = false;
	if (have < QREXEC_HEADER_LEN)
		return 0;
	if (qrexec_header_decode(way, r->o.version, r->rx + r->rx_at, &h) != 0)
		return RELAY_E_PROTOCOL;
	if (h.type == QREXEC_DATA_EXIT_CODE) {
		if (have < QREXEC_HEADER_LEN + h.len)
			return 0;
		return code_take(r, &h);
	}
	r->body_to = out_get(r, h.type);
	if (!r->body_to || r->body_to->ended)
		return RELAY_E_PROTOCOL;
	r->rx_at += QREXEC_HEADER_LEN;
	r->body = h.len;
	if (h.len == 0)
		out_end(r, r->body_to);
	*ret_more = true;
	return 0;
}

/* take apart what the buffer holds, until it is empty, incomplete, stuck, or the caller has the code: a service that
 * has it goes on to drop what comes */
static int rx_parse(struct relay *r, bool *ret_stuck)
{
	bool more = true;

	*ret_stuck = false;
	while (more && !*ret_stuck && (r->o.role == RELAY_SERVICE || !r->code_known)) {
		int e;

		if (r->body > 0) {
			if (r->rx_at == r->rx_end)
				break;
			e = body_move(r, ret_stuck);
		} else {
			e = head_take(r, &more);
		}
		if (e != 0)
			return e;
	}
	return 0;
}

static int rx_fill(struct relay *r)
{
	const size_t size = QREXEC_HEADER_LEN + chunk_max(r);
	size_t n;
	int e;

	if (r->rx_at > 0) {
		memmove(r->rx, r->rx + r->rx_at, r->rx_end - r->rx_at);
		r->rx_end -= r->rx_at;
		r->rx_at = 0;
	}
	if (r->rx_end == size)
		return 0;
	e = vchan_read(r->o.vchan, r->rx + r->rx_end, size - r->rx_end, &n);
	if (e == -EAGAIN)
		return 0;
	if (e == -ECONNRESET || e == -EPIPE || (e == 0 && n == 0)) {
		r->rx_ended = true;
		return 0;
	}
	if (e < 0)
		return e;
	r->rx_end += n;
	return 0;
}

/* ---- the command --------------------------------------------------------------------------- */

static void command_look(struct relay *r)
{
	const bool stdin_ended = r->out[0].ended;
	siginfo_t info = {0};

	if (r->exited || r->o.pid == 0)
		return;
	if (waitid(P_PID, (id_t)r->o.pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	    info.si_pid == 0)
		return;
	r->exited = true;
	r->code_known = true;
	r->code = info.si_code == CLD_EXITED ? (unsigned)info.si_status
					     : QREXEC_EXIT_SIGNAL + (unsigned)info.si_status;
	r->quiet_since_ms = io_now_ms();
	out_end(r, &r->out[0]); /* who it left behind shall not wait for more */
	r->out[0].ended = stdin_ended;
	r->out[0].broken = true;
}

/* the command asked for its stdin to carry its output as well */
static void two_way_start(struct relay *r)
{
	const enum qrexec_type type = r->in[0].type;

	if (r->two_way || r->out[0].fd < 0 || !r->out[0].socket || r->in[0].ended)
		return;
	r->two_way = true;
	stream_close(&r->in[0]);
	r->in[0] = r->out[0];
	r->in[0].type = type;
	r->in[0].ended = false;
}

static void signals_take(struct relay *r)
{
	struct signalfd_siginfo info;

	while (read(r->o.signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGUSR1)
			two_way_start(r);
	command_look(r);
}

/* the command is gone and its streams have been quiet for long: somebody it left behind has them */
static void linger_end(struct relay *r)
{
	for (unsigned i = 0; i < r->n_in; i++) {
		if (!(r->two_way && i == 0))
			stream_close(&r->in[i]);
		r->in[i].fd = NO_FD;
	}
}

/* a service without a command has its exit code when its streams are over */
static void socket_look(struct relay *r)
{
	/* what it would still say is not waited for */
	if (r->o.until_client_eof && r->out[0].ended && !r->in[0].ended && tx_ready(r))
		in_end(r, &r->in[0]);
	if (r->in[0].ended && (r->out[0].ended || r->o.until_service_eof))
		r->code_known = true;
}

static void service_finish(struct relay *r)
{
	uint8_t *p;

	if (r->o.socket)
		socket_look(r);
	if (r->code_sent || !r->code_known || !in_all_ended(r) || !tx_ready(r))
		return;
	p = tx_payload(r);
	p[0] = (uint8_t)r->code;
	p[1] = p[2] = p[3] = 0;
	tx_put(r, QREXEC_DATA_EXIT_CODE, 4);
	r->code_sent = true;
}

/* ---- the loop ------------------------------------------------------------------------------ */

static int timeout_get(const struct relay *r)
{
	uint64_t quiet;

	if (!r->exited || in_all_ended(r) || !tx_idle(r))
		return -1;
	quiet = io_now_ms() - r->quiet_since_ms;
	return quiet >= RELAY_LINGER_MS ? 0 : (int)(RELAY_LINGER_MS - quiet);
}

/* Returns whether the channel has something now. */
static bool poll_prepare(struct relay *r, struct pollfd p[N_POLL], bool stuck)
{
	bool ready = false;

	for (unsigned i = 0; i < N_POLL; i++)
		p[i] = (struct pollfd){.fd = NO_FD};
	if (!r->rx_ended && !(stuck && r->hung_up))
		ready = vchan_poll(r->o.vchan, !stuck, !tx_idle(r), &p[P_VCHAN]);
	p[P_SIGNAL].fd = r->o.signal_fd;
	p[P_SIGNAL].events = POLLIN;
	if (tx_idle(r) && !r->tx_dead)
		for (unsigned i = 0; i < r->n_in; i++) {
			p[P_IN + i].fd = r->in[i].fd;
			p[P_IN + i].events = POLLIN;
		}
	if (stuck) {
		p[P_OUT].fd = r->body_to->fd;
		p[P_OUT].events = POLLOUT;
	}
	return ready;
}

static int inputs_move(struct relay *r, const struct pollfd p[N_POLL])
{
	const unsigned first = r->next_in;

	for (unsigned i = 0; i < r->n_in && tx_ready(r); i++) {
		const unsigned k = (first + i) % r->n_in;
		int e;

		if (!p[P_IN + k].revents || r->in[k].fd != p[P_IN + k].fd)
			continue;
		r->next_in = (k + 1) % r->n_in;
		e = in_move(r, &r->in[k]);
		if (e < 0)
			return e;
	}
	return 0;
}

/* Nothing has come from the command's streams for long, nor does now; the caller may send on. */
static bool is_over_quiet(const struct relay *r, const struct pollfd p[N_POLL])
{
	bool quiet = timeout_get(r) == 0;

	for (unsigned i = 0; i < r->n_in; i++)
		quiet &= p[P_IN + i].revents == 0;
	return quiet;
}

/* The exit code is there. Who reads what we send may wait for its end as well; one that is gone does not. */
static int caller_finish(struct relay *r, bool *ret_over)
{
	*ret_over = true;
	if (!r->in[0].ended && tx_ready(r))
		in_end(r, &r->in[0]);
	return tx_flush(r);
}

/* one turn; *@ret_over: the call is over */
static int turn(struct relay *r, bool *ret_over)
{
	const bool service = r->o.role == RELAY_SERVICE;
	struct pollfd p[N_POLL];
	bool stuck, ready;
	int e, n;

	e = tx_next(r);
	if (e == 0)
		e = rx_parse(r, &stuck);
	if (e == 0 && service)
		service_finish(r);
	if (e == 0)
		e = tx_flush(r);
	*ret_over = r->code_sent && tx_idle(r);
	if (e != 0 || *ret_over)
		return e;
	if (!service && r->code_known)
		return caller_finish(r, ret_over);
	if (r->rx_ended && !stuck)
		return RELAY_E_DROPPED;
	if (service && (r->tx_dead || r->hung_up))
		return RELAY_E_DROPPED;
	/* what comes from a descriptor comes behind all of the prefix */
	if (tx_idle(r) && r->o.prefix_len > 0)
		return 0;

	ready = poll_prepare(r, p, stuck);
	n = poll(p, N_POLL, ready ? 0 : timeout_get(r));
	if (n < 0)
		return errno == EINTR ? 0 : fail_errno();
	if (is_over_quiet(r, p)) {
		linger_end(r);
		return 0;
	}
	r->out_ready = p[P_OUT].revents != 0;
	if (p[P_SIGNAL].revents)
		signals_take(r);
	if (p[P_VCHAN].revents & (POLLHUP | POLLERR | POLLRDHUP))
		r->hung_up = true;
	if (!stuck && (ready || p[P_VCHAN].revents & ~POLLOUT || p[P_BELL].revents))
		e = rx_fill(r);
	return e == 0 ? inputs_move(r, p) : e;
}

int relay_run(struct relay *r, unsigned *ret_code)
{
	bool over = false;
	int e = 0;

	command_look(r); /* it may have ended before its signal was waited for */
	while (e == 0 && !over)
		e = turn(r, &over);
	if (e == 0)
		*ret_code = r->code;
	for (unsigned i = 0; i < r->n_in; i++)
		if (!(r->two_way && i == 0))
			stream_close(&r->in[i]);
	for (unsigned i = 0; i < r->n_out; i++)
		close_fd(&r->out[i].fd);
	return e;
}

int relay_code_send(struct vchan *v, bool streams, unsigned code)
{
	uint8_t bytes[3 * QREXEC_HEADER_LEN + 4], *at = bytes;
	const struct qrexec_msg m = {.type = QREXEC_DATA_EXIT_CODE, .exit_code = code};

	if (streams) {
		qrexec_header_encode(QREXEC_DATA_STDOUT, 0, at);
		qrexec_header_encode(QREXEC_DATA_STDERR, 0, at + QREXEC_HEADER_LEN);
		at += 2 * (ptrdiff_t)QREXEC_HEADER_LEN;
	}
	at += qrexec_msg_encode(&m, at, QREXEC_HEADER_LEN + 4);
	return vchan_write_full(v, bytes, (size_t)(at - bytes));
}
