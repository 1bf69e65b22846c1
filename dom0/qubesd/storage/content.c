/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "content.h"

#include "driver.h"

#include "base/io.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRESS_STEP (UINT64_C(16) << 20)

static bool is_zero(const uint8_t *block)
{
	/* the first bytes are zero, and each byte equals the one 16 before it */
	for (unsigned i = 0; i < 16; i++)
		if (block[i] != 0)
			return false;
	return memcmp(block, block + 16, CONTENT_BLOCK - 16) == 0;
}

/* --- of a descriptor --- */

static int fd_skip(struct content *c)
{
	off_t next;
	uint64_t at;

	if (!c->seeks)
		return 0;
	next = lseek(c->fd, (off_t)(c->start + c->at), SEEK_DATA);
	if (next < 0 && errno == ENXIO) {
		c->at = c->size;
	} else if (next < 0 && errno != EINVAL) {
		return fail_errno();
	} else if (next >= 0) {
		at = (uint64_t)next - c->start;
		at -= at % CONTENT_BLOCK;
		if (at > c->at)
			c->at = at < c->size ? at : c->size;
	}
	return lseek(c->fd, (off_t)(c->start + c->at), SEEK_SET) < 0 ? fail_errno() : 0;
}

static int fd_read(struct content *c, void *to, size_t len)
{
	return io_read_full(c->fd, to, len);
}

/* behind the last byte that is wanted is the end, if it must be */
static int fd_finish(struct content *c, const struct say *to)
{
	ssize_t n = 0;
	char more;

	if (!c->whole)
		return 0;
	if (c->seeks)
		n = pread(c->fd, &more, 1, (off_t)(c->start + c->size));
	else
		do
			n = read(c->fd, &more, 1);
		while (n < 0 && errno == EINTR);
	if (n < 0)
		return say_result(to, fail_errno(), "cannot read", NULL, "the source");
	return n == 0 ? 0
		      : say(to, STORAGE_E_SIZE, "the source has more than %llu bytes",
			    (unsigned long long)c->size);
}

int content_of_fd(struct content *c, int fd, uint64_t size, bool whole, const struct say *to)
{
	uint64_t have = 0;
	struct stat st;
	off_t start;

	if (fstat(fd, &st) < 0)
		return say_result(to, fail_errno(), "cannot read", NULL, "the source");
	*c = (struct content){.size = size,
			      .plain_fd = NO_FD,
			      .skip = fd_skip,
			      .read = fd_read,
			      .finish = fd_finish,
			      .fd = fd,
			      .whole = whole,
			      .seeks = S_ISREG(st.st_mode)};
	if (!c->seeks)
		return size > 0 ? 0
				: say(to, -EINVAL,
				      "the size of what comes through a pipe must be given");
	start = lseek(fd, 0, SEEK_CUR);
	if (start < 0)
		return say_result(to, fail_errno(), "cannot read", NULL, "the source");
	have = st.st_size > start ? (uint64_t)(st.st_size - start) : 0;
	c->start = (uint64_t)start;
	if (size == 0)
		c->size = have;
	if (c->size > have)
		return say(to, -ENODATA, "the source has fewer than %llu bytes",
			   (unsigned long long)c->size);
	if (start == 0)
		c->plain_fd = fd;
	return 0;
}

void content_done(struct content *c)
{
	if (c->done)
		c->done(c);
	*c = (struct content){.plain_fd = NO_FD, .fd = NO_FD};
}

/* --- copying --- */

static void tell(struct content *c)
{
	if (!c->progress || (c->at < c->size && c->at - c->told < PROGRESS_STEP))
		return;
	c->progress(c->progress_data, c->at);
	c->told = c->at;
}

int content_end(struct content *c, const struct say *to)
{
	c->at = c->size;
	tell(c);
	return c->finish ? c->finish(c, to) : 0;
}

int content_copy(struct content *c,
		 int (*put)(void *data, uint64_t at, const void *block, size_t len), void *data,
		 const struct say *to)
{
	AUTO_FREE uint8_t *block = malloc(CONTENT_BLOCK);
	bool maybe_hole = true;

	if (!block)
		return -ENOMEM;
	while (c->at < c->size) {
		int r = maybe_hole && c->skip ? c->skip(c) : 0;
		size_t n;

		if (r < 0)
			return say_result(to, r, "cannot read", NULL, "the source");
		if (c->at >= c->size)
			break;
		n = c->size - c->at < CONTENT_BLOCK ? (size_t)(c->size - c->at) : CONTENT_BLOCK;
		memset(block + n, 0, CONTENT_BLOCK - n);
		r = c->read(c, block, n);
		if (r == -ENODATA)
			return say(to, r, "the source ended before its %llu bytes were read",
				   (unsigned long long)c->size);
		if (r != 0)
			return say_result(to, r, "cannot read", NULL, "the source");
		maybe_hole = is_zero(block);
		r = maybe_hole ? 0 : put(data, c->at, block, n);
		if (r != 0)
			return r;
		c->at += n;
		tell(c);
	}
	return content_end(c, to);
}

int content_put_fd(void *data, uint64_t at, const void *block, size_t len)
{
	const int *fd = data;
	const uint8_t *p = block;

	while (len > 0) {
		ssize_t n = pwrite(*fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}
