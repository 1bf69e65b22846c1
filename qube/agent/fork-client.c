/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session's fork server starts commands inside the session, with its environment. The agent asks it when one answers
 * on its user's socket, and only if it is that user who answers: else anybody could take another's commands.
 */
#include "agent.h"

#include "base/io.h"
#include "base/str.h"
#include "fork-server.h"
#include "qrexec/command.h"
#include "qrexec/service.h"

#include <pwd.h>
#include <string.h>
#include <sys/socket.h>

static bool is_of(int fd, const char *user)
{
	const struct passwd *pw = getpwnam(user);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return pw && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       peer.uid == pw->pw_uid;
}

/* the pattern's one %s is the user */
static int path_make(const char *pattern, const char *user, char *to, size_t size)
{
	const char *at = strstr(pattern, "%s");

	if (!at)
		return str_format(to, size, "%s", pattern);
	return str_format(to, size, "%.*s%s%s", (int)(at - pattern), pattern, user, at + 2);
}

int fork_server_give(const struct agent *a, const struct qrexec_msg *m, int *ret_fd)
{
	AUTO(qrexec_command_done) struct qrexec_command c = {0};
	struct fork_order order = {
		.type = (int32_t)m->type, .domid = (int32_t)m->domid, .port = (int32_t)m->port};
	char path[UNIX_PATH_MAX + 1];
	AUTO_CLOSE int fd = NO_FD;
	struct service_config config = {0};
	const char *command, *user;
	struct iovec parts[2];
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

	if (!a->fork_server || qrexec_command_parse(m->command, &c) != 0 || c.nogui)
		return -ENOENT;
	/* what cannot be run at all is refused without a session */
	if (c.service && service_config_load(&c, &config) != 0)
		return -ENOENT;
	user = config.force_user[0] != '\0' ? config.force_user : c.user;
	command = m->command + strlen(c.user) + 1;
	order.len = (uint32_t)(m->command_len - strlen(c.user));
	if (path_make(a->fork_server, user, path, sizeof(path)) < 0 ||
	    io_unix_connect_now(path, SOCK_STREAM, &fd) < 0 || !is_of(fd, user))
		return -ENOENT;
	parts[0] = (struct iovec){.iov_base = &order, .iov_len = sizeof(order)};
	parts[1] = (struct iovec){.iov_base = (char *)command, .iov_len = order.len};
	/* nothing was sent before: all of it fits, or it is none of ours to wait for */
	if (sendmsg(fd, &message, MSG_NOSIGNAL) != (ssize_t)(sizeof(order) + order.len))
		return -ENOENT;
	*ret_fd = take_fd(&fd);
	return 0;
}
