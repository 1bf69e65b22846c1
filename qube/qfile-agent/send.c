/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "send.h"

#include "sink.h"

#include <fcntl.h>

/* the wire's seconds begin in 1970 and end in 2106: times beyond become its first or last */
static struct filecopy_time time_of(const struct timespec *t)
{
	if (t->tv_sec < 0)
		return (struct filecopy_time){0};
	if (t->tv_sec > UINT32_MAX)
		return (struct filecopy_time){.s = UINT32_MAX};
	return (struct filecopy_time){.s = (uint32_t)t->tv_sec, .ns = (uint32_t)t->tv_nsec};
}

static int header_send(struct walk *w, enum filecopy_kind kind, const struct stat *st,
		       uint64_t size)
{
	const struct filecopy_entry e = {.kind = kind,
					 .name_len = (uint32_t)w->name_len + 1,
					 .mode = st->st_mode & 0777,
					 .size = size,
					 .atime = time_of(&st->st_atim),
					 .mtime = time_of(&st->st_mtim)};
	uint8_t bytes[FILECOPY_HEADER_LEN];
	int r = fault(filecopy_header_encode(&e, bytes));

	if (r == 0)
		r = sink_add(w->context, bytes, sizeof(bytes));
	return r == 0 ? sink_add(w->context, w->name, w->name_len + 1) : r;
}

/* the header has promised @size bytes: more are left out, fewer end the transfer */
static int content_send(struct sink *s, int fd, uint64_t size)
{
	while (size > 0) {
		uint8_t *room;
		size_t n_room;
		ssize_t n;
		int r = sink_room(s, &room, &n_room);

		if (r != 0)
			return r;
		n = read(fd, room, n_room < size ? n_room : (size_t)size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		if (n == 0)
			return -ESTALE;
		sink_grew(s, (size_t)n);
		size -= (uint64_t)n;
	}
	return 0;
}

static int file_send(struct walk *w, int at, const char *leaf)
{
	/* O_NONBLOCK: it may have become something that opens only when somebody comes */
	AUTO_CLOSE int fd = openat(at, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno();
	if (!S_ISREG(st.st_mode))
		return -ESTALE;
	r = header_send(w, FILECOPY_FILE, &st, (uint64_t)st.st_size);
	return r == 0 ? content_send(w->context, fd, (uint64_t)st.st_size) : r;
}

static int link_send(struct walk *w, int at, const char *leaf)
{
	char target[FILECOPY_NAME_MAX + 1];
	struct stat st;
	ssize_t n;
	int r;

	if (fstatat(at, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno();
	n = readlinkat(at, leaf, target, sizeof(target));
	if (n < 0)
		return fail_errno();
	if (n > FILECOPY_NAME_MAX)
		return -ENAMETOOLONG;
	r = header_send(w, FILECOPY_LINK, &st, (uint64_t)n);
	return r == 0 ? sink_add(w->context, target, (size_t)n) : r;
}

static int folder_send(struct walk *w, const struct stat *st)
{
	return header_send(w, FILECOPY_FOLDER, st, 0);
}

const struct walk_visitor send_visitor = {
	.file = file_send,
	.link = link_send,
	.folder = folder_send,
};

int send_end(struct sink *s)
{
	const struct filecopy_entry end = {.kind = FILECOPY_END};
	uint8_t bytes[FILECOPY_HEADER_LEN];
	int r = fault(filecopy_header_encode(&end, bytes));

	if (r == 0)
		r = sink_add(s, bytes, sizeof(bytes));
	return r == 0 ? sink_flush(s) : r;
}
