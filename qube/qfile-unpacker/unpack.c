/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unpack.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/** WRITE_BEHIND - bytes of a file after which the disk begins with them, so that little is left to
 * wait for before the answer */
#define WRITE_BEHIND (8u << 20)

/* @ret_left: bytes with which the disk was not made to begin */
static int content_take(struct unpack *u, uint64_t size, int fd, uint64_t *ret_left)
{
	uint64_t done = 0, begun = 0;

	while (size > 0) {
		const uint8_t *some;
		size_t n;
		int r = stream_some(&u->in, size, &some, &n);

		r = r == 0 ? io_write_full(fd, some, n) : r;
		if (r != 0)
			return r;
		size -= n;
		done += n;
		if (done - begun >= WRITE_BEHIND) {
			(void)sync_file_range(fd, (off_t)begun, (off_t)(done - begun),
					      SYNC_FILE_RANGE_WRITE);
			begun = done;
		}
	}
	*ret_left = done - begun;
	return 0;
}

static int file_take(struct unpack *u, const struct filecopy_entry *e)
{
	AUTO_CLOSE int fd = NO_FD;
	uint64_t left;
	int r = 0;

	if (u->waits)
		r = tree_wait(&u->tree, e->size + u->spare);
	if (r == 0)
		r = tree_file_open(&u->tree, u->last, e, &fd);
	if (r == 0)
		r = content_take(u, e->size, fd, &left);
	if (r == 0)
		r = tree_file_link(&u->tree, u->last, e, fd);
	if (r == 0)
		syncer_add(&u->syncer, left);
	return r;
}

static int link_take(struct unpack *u, const struct filecopy_entry *e, unsigned depth)
{
	int r = stream_read(&u->in, u->target, (size_t)e->size);

	if (r != 0)
		return r;
	u->target[e->size] = '\0';
	r = filecopy_link_check(depth, u->target, (size_t)e->size, u->allow);
	return r == 0 ? tree_link(&u->tree, u->last, e, u->target) : r;
}

static void entry_tell(const struct unpack *u, const struct filecopy_entry *e)
{
	char quoted[1024];

	if (u->verbose && e->kind != FILECOPY_FOLDER)
		(void)fprintf(stderr, "%s\n",
			      log_quote(quoted, sizeof(quoted), u->last, u->last_len));
}

static int entry_take(struct unpack *u, const struct filecopy_entry *e)
{
	unsigned depth = 0;
	int r;

	/* for an answer about a name that is none: the bytes of it up to a NUL */
	u->last_len = 0;
	r = stream_read(&u->in, u->last, e->name_len);
	if (r != 0)
		return r;
	u->last_len = strnlen(u->last, e->name_len);
	r = filecopy_name_check(u->last, e->name_len, u->allow, &depth);
	if (r != 0)
		return r;
	switch (e->kind) {
	case FILECOPY_FILE:
		r = file_take(u, e);
		break;
	case FILECOPY_FOLDER:
		r = tree_folder(&u->tree, u->last, e);
		break;
	case FILECOPY_LINK:
		r = link_take(u, e, depth);
		break;
	case FILECOPY_END:
	default:
		return FILECOPY_E_FORMAT;
	}
	if (r == 0)
		entry_tell(u, e);
	return r;
}

static int entries_take(struct unpack *u)
{
	for (;;) {
		uint8_t header[FILECOPY_HEADER_LEN];
		struct filecopy_entry e;
		int r = stream_read(&u->in, header, sizeof(header));

		if (r == 0)
			r = filecopy_header_decode(header, sizeof(header), &e);
		if (r == 0 && e.kind == FILECOPY_END)
			return tree_sync(&u->tree);
		if (r == 0)
			r = entry_take(u, &e);
		if (r != 0)
			return r;
	}
}

static uint32_t error_of(int r)
{
	if (r == STREAM_E_ENDED)
		return EREMOTEIO;
	return r > 0 ? filecopy_errno(r) : (uint32_t)-r;
}

int unpack_run(struct unpack *u, int answer_fd)
{
	struct filecopy_answer a = {.error = error_of(entries_take(u))};
	uint8_t bytes[FILECOPY_ANSWER_LEN + FILECOPY_LAST_LEN + FILECOPY_NAME_MAX];
	int r;

	a.crc = stream_crc(&u->in);
	/* whoever still sends shall hear of it */
	close_fd(&u->in.fd);
	filecopy_answer_encode(&a, bytes);
	filecopy_last_encode((uint32_t)u->last_len, bytes + FILECOPY_ANSWER_LEN);
	memcpy(bytes + FILECOPY_ANSWER_LEN + FILECOPY_LAST_LEN, u->last, u->last_len);
	r = io_write_full(answer_fd, bytes, FILECOPY_ANSWER_LEN + FILECOPY_LAST_LEN + u->last_len);
	return r == 0 && a.error != 0 ? 1 : r;
}
