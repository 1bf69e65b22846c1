/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qdb.h"

#include "base/io.h"
#include "base/str.h"

#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>

/* something happened in the folder; what, the caller looks at itself */
static int folder_wait(int inotify_fd)
{
	char event[4096];

	while (read(inotify_fd, event, sizeof(event)) < 0)
		if (errno != EINTR)
			return fail_errno();
	return 0;
}

int qdb_wait(const char *path, int *ret_fd)
{
	const char *slash = strrchr(path, '/');
	char folder[UNIX_PATH_MAX + 1];
	int r;

	if (!slash)
		return -EINVAL;
	r = str_copy(folder, sizeof(folder), path, (size_t)(slash - path));
	if (r < 0)
		return r;
	r = io_mkdirs(folder, 0755);
	if (r < 0)
		return r;
	AUTO_CLOSE int inotify_fd = inotify_init1(IN_CLOEXEC);
	if (inotify_fd < 0 ||
	    inotify_add_watch(inotify_fd, folder, IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0)
		return fail_errno();
	for (;;) {
		r = io_unix_connect(path, SOCK_STREAM, ret_fd);
		/* refused: an old file, or one that does not listen yet */
		if (r != -ENOENT && r != -ECONNREFUSED)
			return r;
		r = folder_wait(inotify_fd);
		if (r < 0)
			return r;
	}
}

/* send a request without a value and get the answer's header */
static int ask(int fd, enum qdb_type type, const char *key, struct qdb_head *ret)
{
	uint8_t bytes[QDB_HEADER];
	int r = fault(qdb_head_encode(bytes, type, key, strlen(key), 0));

	if (r < 0)
		return r;
	r = io_write_full(fd, bytes, sizeof(bytes));
	if (r < 0)
		return r;
	r = io_read_full(fd, bytes, sizeof(bytes));
	if (r < 0)
		return r;
	return qdb_head_decode(bytes, ret) == 0 ? 0 : -EPROTO;
}

int qdb_read(int fd, const char *key, char *to, size_t *ret_len)
{
	struct qdb_head h;
	int r = ask(fd, QDB_READ, key, &h);

	if (r < 0)
		return r;
	if (h.type == QDB_ENOENT)
		return -ENOENT;
	if (h.type != QDB_READ_IS)
		return -EPROTO;
	r = io_read_full(fd, to, h.value_len);
	if (r < 0)
		return r;
	to[h.value_len] = '\0';
	*ret_len = h.value_len;
	return 0;
}

int qdb_remove(int fd, const char *key)
{
	struct qdb_head h;
	int r = ask(fd, QDB_RM, key, &h);

	if (r < 0)
		return r;
	if (h.type == QDB_ENOENT)
		return -ENOENT;
	return h.type == QDB_OK ? 0 : -EPROTO;
}
