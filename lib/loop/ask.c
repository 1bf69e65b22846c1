/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loop/ask.h"

#include "base/io.h"
#include "base/paths.h"
#include "base/str.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int ask_call(int fd, const struct ask *q, int *ret_fd)
{
	uint8_t bytes[ASK_QUESTION_LEN], answer[ASK_ANSWER_LEN + 1];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	AUTO_CLOSE int got = NO_FD;
	size_t len, n_fds = 0;
	int r, result;

	if (ask_encode(q, bytes) != 0)
		return -EINVAL;
	r = io_send_msg(fd, bytes, sizeof(bytes), NULL, 0);
	if (r < 0)
		return r == -ECONNRESET ? -EPIPE : r;
	for (;;) {
		r = io_recv_msg(fd, answer, sizeof(answer), &len, &got, 1, &n_fds);
		if (r != -EAGAIN)
			break;
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return fail_errno();
	}
	if (r < 0)
		return r == -ECONNRESET ? -EPIPE : r;
	if (len == 0)
		return -EPIPE;
	if (ask_answer_decode(answer, len, &result) != 0)
		return -EPROTO;
	if (result == 0 && ret_fd) {
		if (got < 0)
			return -EPROTO;
		*ret_fd = take_fd(&got);
	}
	return result;
}

static bool matches(uint32_t rule, uint32_t value)
{
	return rule == ASK_ANY || rule == value;
}

static bool may_ask(const struct ask_rules *rules, const struct ask *q)
{
	if (!(rules->kinds & 1u << q->kind))
		return false;
	if (q->kind == ASK_VCHAN_BIND || q->kind == ASK_VCHAN_UNLINK)
		return matches(rules->bind_server, q->a) && matches(rules->bind_client, q->b) &&
		       matches(rules->bind_port, q->c);
	if (q->kind == ASK_VCHAN_CONNECT)
		return matches(rules->connect_server, q->a) &&
		       matches(rules->connect_client, q->b) && matches(rules->connect_port, q->c);
	return true;
}

static int answer_vchan(const struct ask_rules *rules, const struct ask *q, int *ret_fd)
{
	char path[UNIX_PATH_MAX + 1];
	int r = paths_vchan_socket(rules->vchan_dir, q->a, q->b, q->c, path, sizeof(path));

	if (r < 0)
		return r;
	if (q->kind == ASK_VCHAN_BIND)
		return io_unix_listen(path, SOCK_STREAM, 0600, ret_fd);
	if (q->kind == ASK_VCHAN_CONNECT)
		return io_unix_connect_now(path, SOCK_STREAM, ret_fd);
	if (unlink(path) < 0 && errno != ENOENT)
		return fail_errno();
	return 0;
}

/* The socket of a qube's qrexec daemon and the links to it. */
struct qrexec_names {
	char target[32]; /* what the links hold: "qrexec.DOMID" */
	char socket[UNIX_PATH_MAX + 1];
	char link[2][UNIX_PATH_MAX + 1];
	unsigned n_links;
};

static int qrexec_names(const struct ask_rules *rules, struct qrexec_names *ret)
{
	const char *dir = rules->qrexec_dir;
	int r;

	r = str_format(ret->target, sizeof(ret->target), "qrexec.%u", rules->domid);
	if (r == 0)
		r = str_format(ret->socket, sizeof(ret->socket), "%s/%s", dir, ret->target);
	if (r == 0)
		r = str_format(ret->link[0], sizeof(ret->link[0]), "%s/qrexec.%s", dir,
			       rules->name);
	ret->n_links = 1;
	if (r != 0 || !rules->uuid)
		return r;
	ret->n_links = 2;
	return str_format(ret->link[1], sizeof(ret->link[1]), "%s/qrexec.uuid:%s", dir,
			  rules->uuid);
}

/* Made beside and renamed, under a name that no qube can have: theirs begin with a letter, and to
 * one called NAME.new the link PATH.new belongs. */
static int replace_link(const char *dir, const char *target, const char *path)
{
	char beside[UNIX_PATH_MAX + 1];
	int r = str_format(beside, sizeof(beside), "%s/.%s", dir, target);

	if (r < 0)
		return r;
	if (unlink(beside) < 0 && errno != ENOENT)
		return fail_errno();
	if (symlink(target, beside) < 0)
		return fail_errno();
	if (rename(beside, path) < 0) {
		r = fail_errno();
		(void)unlink(beside);
		return r;
	}
	return 0;
}

/* A link that leads elsewhere by now belongs to a later start of the same qube: it stays. */
static void remove_link(const char *target, const char *path)
{
	char at[32];
	ssize_t n = readlink(path, at, sizeof(at));

	if (n > 0 && (size_t)n == strlen(target) && memcmp(at, target, (size_t)n) == 0)
		(void)unlink(path);
}

static void qrexec_unlink(const struct qrexec_names *names)
{
	for (unsigned i = 0; i < names->n_links; i++)
		remove_link(names->target, names->link[i]);
	(void)unlink(names->socket);
}

static int answer_qrexec(const struct ask_rules *rules, const struct ask *q, int *ret_fd)
{
	AUTO_CLOSE int fd = NO_FD;
	struct qrexec_names names;
	int r = qrexec_names(rules, &names);

	if (r < 0)
		return r;
	if (q->kind == ASK_QREXEC_UNLINK) {
		qrexec_unlink(&names);
		return 0;
	}
	r = io_unix_listen(names.socket, SOCK_STREAM, 0600, &fd);
	for (unsigned i = 0; r == 0 && i < names.n_links; i++)
		r = replace_link(rules->qrexec_dir, names.target, names.link[i]);
	if (r < 0) {
		qrexec_unlink(&names);
		return r;
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

static int answer_one(const struct ask_rules *rules, const struct ask *q, int *ret_fd)
{
	if (!may_ask(rules, q))
		return -EPERM;
	switch (q->kind) {
	case ASK_VCHAN_BIND:
	case ASK_VCHAN_UNLINK:
	case ASK_VCHAN_CONNECT:
		return answer_vchan(rules, q, ret_fd);
	case ASK_QREXEC_BIND:
	case ASK_QREXEC_UNLINK:
		return answer_qrexec(rules, q, ret_fd);
	case ASK_AGENT_STATE:
		if (!rules->agent_state)
			return -EPERM;
		rules->agent_state(rules->data, q->a == 1);
		return 0;
	case ASK_BROKER:
		return rules->broker ? rules->broker(rules->data, ret_fd) : -EPERM;
	default:
		return -EPERM;
	}
}

/* recvmsg() with MSG_DONTWAIT: whether our end blocks is its maker's choice. */
static int read_question(int fd, struct ask *ret)
{
	uint8_t bytes[ASK_QUESTION_LEN + 1];
	ssize_t n;

	/* without room for control messages the kernel drops any descriptor that was sent */
	do
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail_errno();
	if (n == 0)
		return -ECONNRESET;
	return ask_decode(bytes, (size_t)n, ret) == 0 ? 0 : -EPROTO;
}

int ask_answer(int fd, const struct ask_rules *rules)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};
	AUTO_CLOSE int found = NO_FD;
	uint8_t bytes[ASK_ANSWER_LEN];
	struct ask q;
	int r = read_question(fd, &q);

	if (r < 0)
		return r;
	if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
		return -EPROTO;
	ask_answer_encode(answer_one(rules, &q, &found), bytes);
	r = io_send_msg(fd, bytes, sizeof(bytes), &found, found >= 0 ? 1 : 0);
	if (r == -EPIPE)
		return -ECONNRESET;
	return r == -EAGAIN ? -EPROTO : r;
}

void ask_clean(const struct ask_rules *rules)
{
	struct qrexec_names names;
	AUTO_CLOSE int fd = NO_FD;

	if (!(rules->kinds & 1u << ASK_QREXEC_BIND) || qrexec_names(rules, &names) < 0)
		return;
	/* one that answers is a later child's */
	if (io_unix_connect_now(names.socket, SOCK_STREAM, &fd) == -ECONNREFUSED)
		qrexec_unlink(&names);
}
