/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver "qcow2": volumes are folders of qcow2 files that rest on each other, on any file system. */
#include "../content.h"
#include "../files/files.h"
#include "../files/kind.h"
#include "image.h"

#include <unistd.h>

/* L2 tables of at most this much disk are all looked at before a start: 8 MiB of them */
#define QUICK_CHECK_MAX (128 * QCOW2_L2_SPAN)

_Static_assert(CONTENT_BLOCK == QCOW2_CLUSTER, "a block is a cluster");
_Static_assert(STORAGE_MAX_SIZE == QCOW2_MAX_SIZE, "every volume fits into an image");

static int check(int fd, bool whole)
{
	AUTO(image_done) struct image img = {.fd = NO_FD};
	int r = image_open(&img, fd);

	/* revisions and work files rest on our images; what rests on another driver's (live.qcow2) is not looked at */
	if (r == 0 && img.backing_is_raw)
		r = QCOW2_E_FEATURE;
	if (r == 0 && (whole || img.size <= QUICK_CHECK_MAX))
		r = image_check(&img);
	return r;
}

static int create(int fd, uint64_t size, const struct file_below *below)
{
	return image_create(fd, size, below ? below->name : NULL, false);
}

static int grow(int fd, uint64_t size)
{
	AUTO(image_done) struct image img = {.fd = NO_FD};
	int r = image_open(&img, fd);

	return r == 0 ? image_grow(&img, size) : r;
}

static int is_untouched(int fd, int below_fd, bool *ret)
{
	AUTO(image_done) struct image img = {.fd = NO_FD};
	int r = image_open(&img, fd);

	(void)below_fd; /* what is the same as there is not in this one */
	if (r == 0)
		*ret = image_is_empty(&img);
	return r;
}

static int put(void *data, uint64_t at, const void *block, size_t len)
{
	(void)len;
	return writer_put(data, at / QCOW2_CLUSTER, block);
}

static int fill(int fd, struct content *from, uint64_t size, const struct say *to)
{
	AUTO(writer_done) struct writer w = {.fd = NO_FD};
	int r = writer_init(&w, fd, size);

	if (r == 0)
		r = content_copy(from, put, &w, to);
	return r == 0 ? writer_finish(&w) : r;
}

static int merge(int base_fd, int top_fd, bool *ret_top_damaged)
{
	AUTO(image_done) struct image base = {.fd = NO_FD}, top = {.fd = NO_FD};
	int r = image_open(&top, top_fd);

	*ret_top_damaged = r != 0;
	if (r == 0)
		r = image_open(&base, base_fd);
	return r == 0 ? image_merge(&base, &top) : r;
}

/* --- a chain as one disk --- */

struct images {
	struct image list[STORAGE_MAX_CHAIN];
	unsigned n;
};

static int images_open(struct images *images, const struct storage_chain *c)
{
	int r = 0;

	for (; r == 0 && images->n < c->n; images->n++)
		r = image_open(&images->list[images->n], c->fds[images->n]);
	return r;
}

static void images_done(struct images *images)
{
	while (images->n > 0)
		image_done(&images->list[--images->n]);
}

static int flatten(const struct storage_chain *c, int fd)
{
	AUTO(images_done) struct images images = {0};
	AUTO(writer_done) struct writer w = {.fd = NO_FD};
	int r = images_open(&images, c);

	if (r == 0)
		r = writer_init(&w, fd, images.list[0].size);
	if (r == 0)
		r = images_flatten(images.list, images.n, &w);
	return r == 0 ? writer_finish(&w) : r;
}

static int chain_read(struct content *c, void *to, size_t len)
{
	struct images *images = c->own;

	return images_read(images->list, images->n, c->at, to, len);
}

static void chain_done(struct content *c)
{
	images_done(c->own);
	free(c->own);
}

static int read_chain(const struct storage_chain *c, struct content *ret)
{
	AUTO_FREE struct images *images = calloc(1, sizeof(*images));
	int r = images ? images_open(images, c) : -ENOMEM;

	if (r != 0) {
		if (images)
			images_done(images);
		return r;
	}
	*ret = (struct content){.size = images->list[0].size,
				.plain_fd = NO_FD,
				.fd = NO_FD,
				.read = chain_read,
				.done = chain_done};
	ret->own = take_ptr(&images);
	return 0;
}

static const struct file_kind kind = {
	.suffix = ".qcow2",
	.what = "qcow2 image",
	.format = STORAGE_QCOW2,
	.layered = true,
	.head = image_head,
	.check = check,
	.create = create,
	.grow = grow,
	.is_untouched = is_untouched,
	.fill = fill,
	.merge = merge,
	.flatten = flatten,
};

/* any file system has what it takes */
static int probe(const char *pool_dir, const struct say *to)
{
	(void)pool_dir, (void)to;
	return 0;
}

const struct storage_driver storage_qcow2 = {
	FILES_DRIVER,
	.name = "qcow2",
	.options = "dir_path revisions_to_keep ephemeral_volatile",
	.kind = &kind,
	.read = read_chain,
	.probe = probe,
};
