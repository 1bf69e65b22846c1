/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/io.h"

#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

static int io_wait(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return fail_errno();
	return 0;
}

int io_read_full(int fd, void *buf, size_t len)
{
	uint8_t *at = buf;

	while (len > 0) {
		ssize_t n = read(fd, at, len);
		int r;

		if (n == 0)
			return -ENODATA;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return fail_errno();
		r = io_wait(fd, POLLIN);
		if (r < 0)
			return r;
	}
	return 0;
}

int io_write_full(int fd, const void *buf, size_t len)
{
	const uint8_t *at = buf;

	while (len > 0) {
		ssize_t n = write(fd, at, len);
		int r;

		if (n >= 0) {
			at += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return fail_errno();
		r = io_wait(fd, POLLOUT);
		if (r < 0)
			return r;
	}
	return 0;
}

int io_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return fail_errno();
	if (fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
		return fail_errno();
	return 0;
}

int io_read_all(int fd, size_t max, char **ret, size_t *ret_len)
{
	AUTO_FREE char *buf = NULL;
	size_t len = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (len + 1 >= room) {
			char *more;

			room = room == 0 ? 4096 : room * 2;
			more = realloc(buf, room);
			if (!more)
				return -ENOMEM;
			buf = more;
		}
		n = read(fd, buf + len, room - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	buf[len] = '\0';
	*ret = take_ptr(&buf);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int io_read_file(int at, const char *path, size_t max, char **ret, size_t *ret_len)
{
	AUTO_CLOSE int fd = openat(at, path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? fail_errno() : io_read_all(fd, max, ret, ret_len);
}

static int io_sync_parent(int at, const char *path)
{
	AUTO_FREE char *parent = strdup(path);
	AUTO_CLOSE int fd = NO_FD;
	char *slash;

	if (!parent)
		return -ENOMEM;
	slash = strrchr(parent, '/');
	if (slash == parent)
		slash[1] = '\0';
	else if (slash)
		*slash = '\0';
	fd = openat(at, slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return fail_errno();
	return 0;
}

int io_write_file(int at, const char *path, const void *bytes, size_t len, mode_t mode)
{
	AUTO_FREE char *beside = NULL;
	AUTO_CLOSE int fd = NO_FD;
	int r;

	if (asprintf(&beside, "%s.new", path) < 0) {
		beside = NULL;
		return -ENOMEM;
	}
	fd = openat(at, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return fail_errno();
	r = io_write_full(fd, bytes, len);
	if (r == 0 && fsync(fd) < 0)
		r = fail_errno();
	if (r == 0 && renameat(at, beside, at, path) < 0)
		r = fail_errno();
	if (r < 0) {
		(void)unlinkat(at, beside, 0);
		return r;
	}
	return io_sync_parent(at, path);
}

int io_mkdirs(const char *path, mode_t mode)
{
	AUTO_FREE char *copy = strdup(path);
	struct stat st;

	if (!copy)
		return -ENOMEM;
	for (char *p = copy + 1; copy[0] != '\0'; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return fail_errno();
		*p = was;
		if (was == '\0')
			break;
	}
	if (stat(path, &st) < 0)
		return fail_errno();
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int io_remove_below(int dir_fd)
{
	DIR *dir = fdopendir(dir_fd);
	int r = 0;

	if (!dir) {
		r = fail_errno();
		(void)close(dir_fd);
		return r;
	}
	for (;;) {
		struct dirent *e;

		errno = 0;
		e = readdir(dir);
		if (!e) {
			r = r < 0 ? r : -errno;
			break;
		}
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (r == 0)
			r = io_remove_tree(dirfd(dir), e->d_name);
	}
	(void)closedir(dir);
	return r;
}

int io_remove_tree(int at, const char *path)
{
	int fd, r;

	if (unlinkat(at, path, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return fail_errno();
	fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_errno();
	r = io_remove_below(fd);
	if (r < 0)
		return r;
	if (unlinkat(at, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return fail_errno();
	return 0;
}

static int io_unix_address(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	return str_copy(addr->sun_path, sizeof(addr->sun_path), path, strlen(path));
}

/* A name for a file to be renamed to @path: in its folder, and no longer than it. */
static int name_beside(char *to, size_t size, const char *path)
{
	const char *slash = strrchr(path, '/');
	int dir_len = slash ? (int)(slash - path) + 1 : 0;

	return str_format(to, size, "%.*s.%x", dir_len, path, (unsigned)getpid());
}

int io_unix_listen(const char *path, int type, mode_t mode, int *ret_fd)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char beside[UNIX_PATH_MAX + 1];
	struct sockaddr_un addr;
	int r;

	if (fd < 0)
		return fail_errno();
	r = io_unix_address(&addr, path);
	if (r == 0)
		r = name_beside(beside, sizeof(beside), path);
	if (r == 0)
		r = io_unix_address(&addr, beside);
	if (r < 0)
		return r;
	/* the mode of the socket itself decides the mode of its file: no moment with another one */
	if (fchmod(fd, mode) < 0)
		return fail_errno();
	while (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		if (errno != EADDRINUSE || unlink(beside) < 0)
			return fail_errno(); /* what a process of our number left is not in the way */
	if (chmod(beside, mode) < 0 || listen(fd, SOMAXCONN) < 0 || rename(beside, path) < 0) {
		r = fail_errno();
		(void)unlink(beside);
		return r;
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

static int io_connect(const char *path, int type, int *ret_fd)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr;
	int r;

	if (fd < 0)
		return fail_errno();
	r = io_unix_address(&addr, path);
	if (r < 0)
		return r;
	while (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		if (errno != EINTR)
			return fail_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

int io_unix_connect(const char *path, int type, int *ret_fd)
{
	return io_connect(path, type, ret_fd);
}

int io_unix_connect_now(const char *path, int type, int *ret_fd)
{
	return io_connect(path, type | SOCK_NONBLOCK, ret_fd);
}

union io_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(IO_MAX_FDS * sizeof(int))];
};

int io_send_msg(int sock, const void *bytes, size_t len, const int *fds, size_t n_fds)
{
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	union io_control control = {0};
	ssize_t n;

	if (n_fds > IO_MAX_FDS)
		return -EMSGSIZE;
	if (n_fds > 0) {
		struct cmsghdr *c = &control.align;

		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail_errno();
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

int io_recv_msg(int sock, void *buf, size_t size, size_t *ret_len, int *fds, size_t max_fds,
		size_t *ret_n_fds)
{
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	union io_control control = {0};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.bytes,
			   .msg_controllen = sizeof(control.bytes)};
	size_t n_fds = 0;
	bool too_many = false;
	ssize_t n;

	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail_errno();
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		size_t here;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < here; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n_fds < max_fds) {
				fds[n_fds++] = fd;
				continue;
			}
			too_many = true;
			(void)close(fd);
		}
	}
	if (too_many || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		for (size_t i = 0; i < n_fds; i++)
			close_fd(&fds[i]);
		return -EMSGSIZE;
	}
	*ret_len = (size_t)n;
	if (ret_n_fds)
		*ret_n_fds = n_fds;
	return 0;
}

uint64_t io_now_ms(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
