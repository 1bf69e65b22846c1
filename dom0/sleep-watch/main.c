/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sleep-watch: tells qubesd that the machine is about to sleep, and that it is awake again.
 *
 * Runs as	qubesd's user, its child; ends with it.
 * Holds	a connection to the system bus, and logind's delay: a descriptor that keeps the machine awake for a moment.
 * Trusts	the system bus, and who owns the name org.freedesktop.login1 on it: root.
 * Needs	to connect to qubesd's internal socket, once for each sleep; a new delay after each.
 *
 * logind says PrepareForSleep (org.freedesktop.login1(5)): with true the machine sleeps as soon as all delays are given back, or after
 * InhibitDelayMaxSec in any case. So qubesd is asked for internal.SuspendPre, and the delay is given back when it has answered. With
 * false it is awake: a new delay, and internal.SuspendPost, whose answer is not waited for: the next sleep may come meanwhile. Where
 * there is no system bus or no logind there is nothing to do.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/admin.h"
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <systemd/sd-bus.h>

/** PATIENCE_S - qubesd has a limit of its own for each step; this is for one that does not answer at all */
#define PATIENCE_S 120

#define LOGIND_NAME      "org.freedesktop.login1"
#define LOGIND_PATH      "/org/freedesktop/login1"
#define LOGIND_INTERFACE LOGIND_NAME ".Manager"

struct watch {
	const char *socket;
	sd_bus *bus;
	int delay_fd; /* NO_FD: none is held */
	int asked_fd; /* to qubesd, which was told last on it; NO_FD */
};

/* @method of qubesd's; its answer comes on @ret_fd */
static int ask(const char *socket, const char *method, int *ret_fd)
{
	struct admin_request q = {.payload = (const uint8_t *)""};
	AUTO_CLOSE int fd = NO_FD;
	char buf[4096];
	size_t len;
	int r = str_format(q.method, sizeof(q.method), "%s", method);

	if (r == 0)
		r = str_format(q.source, sizeof(q.source), "dom0");
	if (r == 0)
		r = str_format(q.dest, sizeof(q.dest), "dom0");
	if (r == 0)
		r = fault(admin_request_encode(&q, buf, sizeof(buf), &len));
	if (r == 0)
		r = io_unix_connect(socket, SOCK_STREAM, &fd);
	if (r == 0)
		r = io_write_full(fd, buf, len);
	if (r < 0)
		return r;
	if (shutdown(fd, SHUT_WR) < 0)
		return fail_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

/* what goes wrong is qubesd's to log */
static int await_answer(int fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	char buf[4096];
	ssize_t n;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return fail_errno();
	do
		n = read(fd, buf, sizeof(buf));
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? fail_errno() : 0;
}

static void tell(struct watch *w, const char *method, bool wait)
{
	int r;

	close_fd(&w->asked_fd);
	r = ask(w->socket, method, &w->asked_fd);
	if (r == 0 && wait)
		r = await_answer(w->asked_fd);
	if (r < 0)
		log_warn(NULL, "%s: qubesd does not answer (%s); the machine's sleep goes on",
			 method, log_errno_str(r));
}

/* 0; -errno: there is no logind, or it gives none */
static int take_delay(struct watch *w)
{
	AUTO(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	int r, fd;

	close_fd(&w->delay_fd);
	r = sd_bus_call_method(w->bus, LOGIND_NAME, LOGIND_PATH, LOGIND_INTERFACE, "Inhibit",
			       &error, &reply, "ssss", "sleep", "Bulkhead",
			       "Qubes are told of the sleep", "delay");
	if (r >= 0)
		r = sd_bus_message_read(reply, "h", &fd);
	if (r >= 0) {
		/* the message's own is closed with it */
		w->delay_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		r = w->delay_fd < 0 ? fail_errno() : 0;
	}
	sd_bus_message_unref(reply);
	return r;
}

static void take_delay_again(struct watch *w)
{
	int r = take_delay(w);

	if (r < 0)
		log_warn(NULL, "no delay of sleep to be had (%s): qubes may hear of it too late",
			 log_errno_str(r));
}

static int on_sleep(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct watch *w = data;
	int begins, r = sd_bus_message_read(m, "b", &begins);

	(void)error;
	if (r < 0) {
		log_warn(NULL, "logind says something else than was expected: %s",
			 log_errno_str(r));
		return 0;
	}
	if (begins) {
		tell(w, "internal.SuspendPre", true);
		close_fd(&w->delay_fd);
	} else {
		take_delay_again(w);
		tell(w, "internal.SuspendPost", false);
	}
	return 0;
}

/* logind came back, and knows nothing of the delays that it had given */
static int on_owner(sd_bus_message *m, void *data, sd_bus_error *error)
{
	const char *name, *old, *new;

	(void)error;
	if (sd_bus_message_read(m, "sss", &name, &old, &new) >= 0 && new[0] != '\0')
		take_delay_again(data);
	return 0;
}

/* 0; 1: there is no such thing here; -errno */
static int acquire(struct watch *w)
{
	int r = sd_bus_open_system(&w->bus);

	if (r < 0) {
		log_debug(NULL, "no system bus (%s): nothing tells of the machine's sleep",
			  log_errno_str(r));
		return 1;
	}
	r = sd_bus_match_signal(w->bus, NULL, LOGIND_NAME, LOGIND_PATH, LOGIND_INTERFACE,
				"PrepareForSleep", on_sleep, w);
	if (r >= 0)
		r = sd_bus_add_match(w->bus, NULL,
				     "type='signal',sender='org.freedesktop.DBus',"
				     "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
				     "arg0='" LOGIND_NAME "'",
				     on_owner, w);
	if (r < 0)
		return r;
	r = take_delay(w);
	if (r < 0) {
		log_debug(NULL, "no logind (%s): nothing tells of the machine's sleep",
			  log_errno_str(r));
		return 1;
	}
	return 0;
}

static int serve(struct watch *w)
{
	int r = 0;

	while (r >= 0) {
		r = sd_bus_process(w->bus, NULL);
		if (r == 0)
			r = sd_bus_wait(w->bus, UINT64_MAX);
		if (r == -EINTR)
			r = 0;
	}
	return r;
}

int main(int argc, char **argv)
{
	struct watch w = {.delay_fd = NO_FD, .asked_fd = NO_FD};
	int r;

	log_open("sleep-watch");
	if (argc != 2) {
		(void)fputs("usage: sleep-watch SOCKET (qubesd starts it)\n", stderr);
		return 2;
	}
	w.socket = argv[1];
	r = acquire(&w);
	if (r == 0)
		r = sandbox_give_up();
	if (r == 0)
		r = serve(&w);
	close_fd(&w.delay_fd);
	close_fd(&w.asked_fd);
	sd_bus_unref(w.bus);
	if (r < 0)
		log_warn(NULL, "ends, and nothing tells of the machine's sleep any more: %s",
			 log_errno_str(r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
