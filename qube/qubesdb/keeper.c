/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "keeper.h"

#include "base/io.h"
#include "base/log.h"
#include "proto/qubesdb.h"
#include "vchan/vchan.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define TRY_MS 60000 /* one wait for dom0's socket to appear; then the next */

void keeper_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	AUTO_CLOSE int fd = NO_FD;

	if (len == 0 || len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (addr.sun_path[0] == '@') /* an abstract name */
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warn(NULL, "cannot notify %s: %s", path, log_errno_str(errno));
}

static int connect_dom0(int sock)
{
	struct vchan *v;
	int fd, r;

	do
		r = vchan_client_new(NULL, vchan_own_domid(), 0, QDB_PORT, TRY_MS, &v);
	while (r == -ETIMEDOUT);
	if (r < 0)
		return r;
	fd = vchan_fd(v);
	r = io_send_msg(sock, "c", 1, &fd, 1);
	vchan_free(v);
	return r;
}

static int tell_ready(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	keeper_notify("READY=1\nSTATUS=The database is complete");
	return fd < 0 ? fail_errno() : 0;
}

/* the daemon is gone: so are we, whatever we wait for */
static void on_child(int signal_nr)
{
	int status;

	(void)signal_nr;
	if (wait(&status) > 0)
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int keeper_run(int sock, pid_t child, const char *ready_path)
{
	const struct sigaction on_chld = {.sa_handler = on_child};
	sigset_t chld;
	int r = 0;

	(void)child;
	(void)sigemptyset(&chld);
	(void)sigaddset(&chld, SIGCHLD);
	/* it was blocked since before the fork: a daemon that died at once is noticed here */
	if (sigaction(SIGCHLD, &on_chld, NULL) < 0 || sigprocmask(SIG_UNBLOCK, &chld, NULL) < 0)
		return 1;
	while (r == 0) {
		char ask;
		size_t len;

		r = io_recv_msg(sock, &ask, 1, &len, NULL, 0, NULL);
		if (r < 0 || len == 0)
			break;
		if (ask == KEEPER_CONNECT)
			r = connect_dom0(sock);
		else if (ask == KEEPER_READY)
			r = tell_ready(ready_path);
	}
	if (r < 0)
		log_err(NULL, "cannot go on: %s", log_errno_str(r));
	return 1;
}
