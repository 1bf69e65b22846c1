/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storage.h: finds the driver, and does what is the same for all of them. */
#include "storage.h"

#include "content.h"
#include "driver.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/qcow2.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct storage_driver *const drivers[] = {&storage_qcow2, &storage_reflink};

static const struct storage_driver *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++)
		if (str_eq(drivers[i]->name, name))
			return drivers[i];
	return NULL;
}

const struct storage_driver *storage_driver(const char *name)
{
	const struct storage_driver *d = find(name);

	assert(d);
	return d;
}

const char *storage_driver_name(unsigned n, const char **ret_options)
{
	if (n >= ARRAY_LEN(drivers))
		return NULL;
	*ret_options = drivers[n]->options;
	return drivers[n]->name;
}

bool storage_has_driver(const char *name)
{
	return find(name) != NULL;
}

/* --- sentences --- */

int say(const struct say *to, int r, const char *format, ...)
{
	va_list ap;

	if (to->text && to->size > 0) {
		va_start(ap, format);
		(void)vsnprintf(to->text, to->size, format, ap);
		va_end(ap);
	}
	return r;
}

bool said(const struct say *to)
{
	return to->text && to->size > 0 && to->text[0] != '\0';
}

int say_result(const struct say *to, int r, const char *what, const char *dir, const char *name)
{
	const char *slash = dir ? "/" : "";

	if (!dir)
		dir = "";
	if (r > 0)
		return say(to, STORAGE_E_DAMAGED, "%s%s%s %s", dir, slash, name, qcow2_why(r));
	if (r == -ENOSPC || r == -EDQUOT)
		return say(to, STORAGE_E_FULL,
			   "%s %s%s%s: the disk is full; free some space and try again", what, dir,
			   slash, name);
	if (r == -EIO)
		return say(to, STORAGE_E_DAMAGED, "%s %s%s%s: the disk reports an error", what, dir,
			   slash, name);
	return say(to, r, "%s %s%s%s: %s", what, dir, slash, name, log_errno_str(r));
}

static struct say say_begin(char *error, size_t error_size)
{
	if (error && error_size > 0)
		error[0] = '\0';
	return (struct say){.text = error, .size = error ? error_size : 0};
}

/* --- sizes --- */

static int check_size(uint64_t size, const struct say *to)
{
	if (size % 512 != 0)
		return say(to, STORAGE_E_SIZE, "%llu bytes are no whole number of 512-byte sectors",
			   (unsigned long long)size);
	if (size > STORAGE_MAX_SIZE)
		return say(to, STORAGE_E_SIZE,
			   "%llu bytes are too many: a volume has at most 64 TiB",
			   (unsigned long long)size);
	return 0;
}

#define KEEPS_PART UINT64_C(20)
#define KEEPS_MOST (UINT64_C(2) << 30)
/* a guest that starts writes at once: with less it would soon stop again */
#define START_LEAST (UINT64_C(16) << 20)

uint64_t storage_keeps_free(uint64_t size)
{
	return size / KEEPS_PART < KEEPS_MOST ? size / KEEPS_PART : KEEPS_MOST;
}

/* for something new; a pool that cannot be looked at the driver has something to say about */
static int check_room(const struct storage_volume *v, uint64_t least, const struct say *to)
{
	struct storage_room room;
	uint64_t keep;

	if (storage_driver(v->driver)->pool_usage(v->pool_dir, &room) < 0)
		return 0;
	keep = storage_keeps_free(room.size);
	keep = keep > least ? keep : least;
	if (room.size - room.used >= keep)
		return 0;
	return say(
		to, STORAGE_E_FULL,
		"the disk is nearly full: %s has %llu MiB left, and nothing is started or made there with less "
		"than %llu MiB, which are kept for what runs; free some space and try again",
		v->pool_dir, (unsigned long long)(room.size - room.used) >> 20,
		(unsigned long long)(keep + (1 << 20) - 1) >> 20);
}

void storage_chain_done(struct storage_chain *c)
{
	for (unsigned i = 0; i < c->n; i++)
		(void)close(c->fds[i]);
	if (c->encrypted)
		(void)close(c->key_fd);
	*c = (struct storage_chain){0};
}

/* --- the functions of the header --- */

int storage_probe(const char *driver, const char *pool_dir, char *error, size_t error_size)
{
	const struct say to = say_begin(error, error_size);

	return storage_driver(driver)->probe(pool_dir, &to);
}

int storage_create(const struct storage_volume *v, char *error, size_t error_size)
{
	const struct say to = say_begin(error, error_size);
	int r = check_size(v->size, &to);

	r = r != 0 ? r : check_room(v, 0, &to);
	return r != 0 ? r : storage_driver(v->driver)->create(v, NULL, &to);
}

int storage_remove(const struct storage_volume *v, char *error, size_t error_size)
{
	const struct say to = say_begin(error, error_size);

	return storage_driver(v->driver)->remove(v, &to);
}

int storage_start(const struct storage_volume *v, struct storage_chain *ret, char *error,
		  size_t error_size)
{
	const struct say to = say_begin(error, error_size);
	AUTO(storage_chain_done) struct storage_chain c = {0};
	int r = check_size(v->size, &to);

	if (r == 0 && v->rw)
		r = check_room(v, START_LEAST, &to);
	if (r == 0)
		r = storage_driver(v->driver)->start(v, &c, &to);
	if (r != 0)
		return r;
	*ret = c;
	c = (struct storage_chain){0};
	return 0;
}

int storage_open_source(const struct storage_volume *v, struct storage_chain *ret, char *error,
			size_t error_size)
{
	const struct say to = say_begin(error, error_size);
	AUTO(storage_chain_done) struct storage_chain c = {.size = v->size};
	int r = storage_driver(v->driver)->open_source(v, &c, &to);

	if (r != 0)
		return r;
	*ret = c;
	c = (struct storage_chain){0};
	return 0;
}

int storage_stop(const struct storage_volume *v, bool clean, char *error, size_t error_size)
{
	const struct say to = say_begin(error, error_size);

	return storage_driver(v->driver)->stop(v, clean, &to);
}

static int import(const struct storage_volume *v, struct content *from, const struct say *to)
{
	uint64_t disk = v->size > 0 ? v->size : (from->size + 511) / 512 * 512;
	int r;

	if (!v->save_on_stop)
		return say(to, -EINVAL, "volume %s keeps nothing: it cannot be imported to",
			   v->vid);
	r = check_size(disk, to);
	if (r == 0 && from->size > disk)
		r = say(to, STORAGE_E_SIZE,
			"the image has %llu bytes, volume %s only %llu; resize it",
			(unsigned long long)from->size, v->vid, (unsigned long long)disk);
	return r != 0 ? r : storage_driver(v->driver)->import(v, from, disk, to);
}

int storage_import(const struct storage_volume *v, int fd, uint64_t size, bool whole,
		   void (*progress)(void *, uint64_t), void *data, char *error, size_t error_size)
{
	const struct say to = say_begin(error, error_size);
	struct content AUTO(content_done) from = {0};
	int r = content_of_fd(&from, fd, size, whole, &to);

	r = r != 0 ? r : check_room(v, 0, &to);
	if (r != 0)
		return r;
	from.progress = progress;
	from.progress_data = data;
	return import(v, &from, &to);
}

/* @v's newest committed content; the chain is open as long as that is read */
static int open_content(const struct storage_volume *v, struct storage_chain *chain,
			struct content *ret, const struct say *to)
{
	const struct storage_driver *d = storage_driver(v->driver);
	int r = d->open_committed(v, chain, to);

	if (r != 0)
		return r;
	r = d->read(chain, ret);
	return r == 0 ? 0 : say_result(to, r, "cannot read", NULL, v->vid);
}

/* what is sent in order, zeros and all */
struct out {
	int fd;
	uint64_t at;
};

static int put_zeros(struct out *o, uint64_t to)
{
	static const uint8_t zeros[CONTENT_BLOCK];
	int r = 0;

	while (r == 0 && o->at < to) {
		size_t n = to - o->at < sizeof(zeros) ? (size_t)(to - o->at) : sizeof(zeros);

		r = io_write_full(o->fd, zeros, n);
		o->at += n;
	}
	return r;
}

static int put_stream(void *data, uint64_t at, const void *block, size_t len)
{
	struct out *o = data;
	int r = put_zeros(o, at);

	r = r < 0 ? r : io_write_full(o->fd, block, len);
	o->at = at + len;
	return r;
}

int storage_export(const struct storage_volume *v, int fd, void (*progress)(void *, uint64_t),
		   void *data, char *error, size_t error_size)
{
	const struct say to = say_begin(error, error_size);
	struct storage_chain AUTO(storage_chain_done) chain = {0};
	struct content AUTO(content_done) from = {0};
	struct out out = {.fd = fd};
	struct stat st;
	int r = open_content(v, &chain, &from, &to);

	if (r != 0)
		return r;
	from.progress = progress;
	from.progress_data = data;
	if (fstat(fd, &st) < 0)
		return say_result(&to, fail_errno(), "cannot write", NULL, "the image");
	if (S_ISREG(st.st_mode)) {
		r = ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)from.size) < 0 ? fail_errno() : 0;
		r = r < 0 ? r : content_copy(&from, content_put_fd, &fd, &to);
	} else {
		r = content_copy(&from, put_stream, &out, &to);
		r = r != 0 ? r : put_zeros(&out, from.size);
	}
	if (r == 0 || said(&to))
		return r;
	return say_result(&to, r, "cannot write", NULL, "the image");
}

/* from another driver */
static int clone_over(const struct storage_volume *v, const struct storage_volume *from,
		      const struct say *to)
{
	const struct storage_driver *d = storage_driver(v->driver);
	struct storage_chain AUTO(storage_chain_done) chain = {0};
	struct content AUTO(content_done) content = {0};
	struct storage_volume whole = *v;
	int r = 0;

	if (v->save_on_stop)
		r = open_content(from, &chain, &content, to);
	if (r != 0)
		return r;
	if (whole.size < content.size)
		whole.size = content.size;
	r = check_size(whole.size, to);
	return r != 0 ? r : d->create(&whole, v->save_on_stop ? &content : NULL, to);
}

int storage_clone(const struct storage_volume *v, const struct storage_volume *from, char *error,
		  size_t error_size)
{
	const struct say to = say_begin(error, error_size);
	int r = check_room(v, 0, &to);

	if (r != 0)
		return r;
	if (storage_driver(v->driver) != storage_driver(from->driver))
		return clone_over(v, from, &to);
	return storage_driver(v->driver)->clone(v, from, &to);
}

int storage_resize(const struct storage_volume *v, uint64_t size, char *error, size_t error_size)
{
	const struct say to = say_begin(error, error_size);
	int r = check_size(size, &to);

	return r != 0 || !v->save_on_stop ? r : storage_driver(v->driver)->resize(v, size, &to);
}

int storage_revert(const struct storage_volume *v, const char *revision, char *error,
		   size_t error_size)
{
	const struct say to = say_begin(error, error_size);

	return storage_driver(v->driver)->revert(v, revision, &to);
}

int storage_revisions(const struct storage_volume *v, struct storage_revision *ret, unsigned *ret_n)
{
	*ret_n = 0;
	return v->save_on_stop ? storage_driver(v->driver)->revisions(v, ret, ret_n) : 0;
}

int storage_usage(const struct storage_volume *v, uint64_t *ret)
{
	return storage_driver(v->driver)->usage(v, ret);
}

int storage_is_outdated(const struct storage_volume *v, bool *ret)
{
	*ret = false;
	if (!v->snap_on_start || !v->source_vid)
		return 0;
	return storage_driver(v->driver)->is_outdated(v, ret);
}

int storage_pool_usage(const char *driver, const char *pool_dir, struct storage_room *ret)
{
	return storage_driver(driver)->pool_usage(pool_dir, ret);
}

int storage_check(const struct storage_volume *v, bool mend, storage_check_fn fn, void *data,
		  uint64_t *ret_size, char *error, size_t error_size)
{
	const struct say to = say_begin(error, error_size);

	*ret_size = 0;
	return storage_driver(v->driver)->check(v, mend, fn, data, ret_size, &to);
}
