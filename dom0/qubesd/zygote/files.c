/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The folder of a zygote. meta is text: a line "bulkhead-zygote 1", lines "name value", an empty line, the key; the
 * last line is "crc " and eight digits, of all before.
 */
#include "base/crc32.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "zygote/zygote.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define META_MAX ((size_t)256 << 10)
#define FIRST    "bulkhead-zygote 1\n"
#define CRC_LINE 13 /* "crc 12345678\n" */
#define BLOCK    ((size_t)1 << 20)
#define PAGE     ((size_t)4096)
#define SEALS    (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

void zygote_key_done(struct zygote_key *k)
{
	text_done(&k->text);
}

void zygote_done(struct zygote *z)
{
	close_fd(&z->memory_fd);
	close_fd(&z->device_fd);
	close_fd(&z->root_fd);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* what of a block is not zero, page by page; the file has its size already */
static int put_block(int to, const uint8_t *block, size_t len, uint64_t at)
{
	for (size_t from = 0; from < len;) {
		size_t end = from;

		while (end < len && !is_zero(block + end, len - end < PAGE ? len - end : PAGE))
			end += PAGE;
		end = end < len ? end : len;
		if (end == from) {
			from += PAGE;
			continue;
		}
		if (pwrite(to, block + from, end - from, (off_t)(at + from)) !=
		    (ssize_t)(end - from))
			return errno == 0 ? -ENOSPC : fail_errno();
		from = end;
	}
	return 0;
}

/* The checksum of a file's blocks that are not zero, with their places; and a copy in @to unless that is NO_FD. */
static int file_sum(int fd, uint64_t len, int to, uint32_t *ret)
{
	AUTO_FREE uint8_t *block = malloc(BLOCK);
	uint32_t crc = 0;

	if (!block)
		return -ENOMEM;
	for (uint64_t at = 0; at < len;) {
		off_t data = lseek(fd, (off_t)at, SEEK_DATA);
		size_t n;

		if (data < 0 && errno == ENXIO)
			break; /* nothing but zeros */
		if (data > 0)
			at = (uint64_t)data / BLOCK * BLOCK;
		if (at >= len)
			break;
		n = len - at < BLOCK ? (size_t)(len - at) : BLOCK;
		ssize_t got = pread(fd, block, n, (off_t)at);

		if (got != (ssize_t)n)
			return got < 0 ? fail_errno() : -ENODATA;
		if (!is_zero(block, n)) {
			int r;

			crc = crc32_add(crc, &at, sizeof(at));
			crc = crc32_add(crc, block, n);
			r = to >= 0 ? put_block(to, block, n, at) : 0;
			if (r < 0)
				return r;
		}
		at += n;
	}
	*ret = crc;
	return 0;
}

static int sum_of(int fd, struct zygote_file *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_errno();
	ret->len = (uint64_t)st.st_size;
	return file_sum(fd, ret->len, NO_FD, &ret->crc);
}

static bool sum_is(int fd, const struct zygote_file *want)
{
	struct zygote_file is;

	return sum_of(fd, &is) == 0 && is.len == want->len && is.crc == want->crc;
}

static bool len_is(int fd, const struct zygote_file *want)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (uint64_t)st.st_size == want->len;
}

static int meta_write(int dir, const struct zygote_meta *m, const struct zygote_key *k)
{
	AUTO(text_done) struct text t = {0};
	AUTO_CLOSE int fd = NO_FD;

	text_add(&t,
		 FIRST "from %s\nsource %s\nmemory %u\nvcpus %u\nmade %" PRIu64
		       "\nfile memory %" PRIu64 " %08x\nfile device %" PRIu64
		       " %08x\nfile root %" PRIu64 " %08x\n\n",
		 m->from, m->source, m->memory_mib, m->vcpus, m->made_s, m->memory.len,
		 m->memory.crc, m->device.len, m->device.crc, m->root.len, m->root.crc);
	text_bytes(&t, k->text.at, k->text.len);
	text_add(&t, "crc %08x\n", crc32_add(0, t.at, t.len));
	if (t.failed)
		return -ENOMEM;
	fd = openat(dir, "meta", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? fail_errno() : io_write_full(fd, t.at, t.len);
}

/* a line that begins with @key; its value is cut out of the text */
static const char *line(const char *text, const char *key, char *to, size_t size)
{
	char begins[40];
	const char *at;

	(void)snprintf(begins, sizeof(begins), "\n%s ", key);
	at = strstr(text, begins);
	if (!at)
		return NULL;
	at += strlen(begins);
	return str_copy(to, size, at, strcspn(at, "\n")) < 0 ? NULL : to;
}

static bool line_number(const char *text, const char *key, uint64_t *ret)
{
	char value[32];

	return line(text, key, value, sizeof(value)) && str_u64(value, UINT64_MAX, ret) == 0;
}

static bool line_file(const char *text, const char *key, struct zygote_file *ret)
{
	char value[64], *sum = value;

	if (!line(text, key, value, sizeof(value)) || !strsep(&sum, " ") || !sum ||
	    strlen(sum) != 8 || strspn(sum, "0123456789abcdef") != 8)
		return false;
	ret->crc = (uint32_t)strtoul(sum, NULL, 16);
	return str_u64(value, UINT64_MAX, &ret->len) == 0;
}

/* 0; ZYGOTE_E_ABSENT; ZYGOTE_E_DAMAGED; -errno. @ret_key: the key, in @ret_text */
static int meta_read(int dir, struct zygote_meta *ret, char **ret_text, const char **ret_key)
{
	AUTO_FREE char *text = NULL;
	struct zygote_meta m = {0};
	uint64_t memory, vcpus;
	char want[CRC_LINE + 1], *end;
	size_t len;
	int r = io_read_file(dir, "meta", META_MAX, &text, &len);

	if (r == -ENOENT)
		return ZYGOTE_E_ABSENT;
	if (r < 0)
		return r == -EFBIG ? (int)ZYGOTE_E_DAMAGED : r;
	if (len < strlen(FIRST) + CRC_LINE || !str_starts(text, FIRST))
		return ZYGOTE_E_DAMAGED;
	len -= CRC_LINE;
	(void)snprintf(want, sizeof(want), "crc %08x\n", crc32_add(0, text, len));
	if (memcmp(text + len, want, CRC_LINE) != 0)
		return ZYGOTE_E_DAMAGED;
	text[len] = '\0';
	end = strstr(text, "\n\n");
	if (!end)
		return ZYGOTE_E_DAMAGED;
	end[1] = '\0';
	if (!line(text, "from", m.from, sizeof(m.from)) ||
	    !line(text, "source", m.source, sizeof(m.source)) ||
	    !line_number(text, "memory", &memory) || !line_number(text, "vcpus", &vcpus) ||
	    !line_number(text, "made", &m.made_s) || !line_file(text, "file memory", &m.memory) ||
	    !line_file(text, "file device", &m.device) || !line_file(text, "file root", &m.root))
		return ZYGOTE_E_DAMAGED;
	m.memory_mib = (unsigned)memory;
	m.vcpus = (unsigned)vcpus;
	*ret = m;
	*ret_key = end + 2;
	*ret_text = take_ptr(&text);
	return 0;
}

static int open_in(int dir, const char *name, int *ret)
{
	*ret = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *ret < 0 ? fail_errno() : 0;
}

static int open_dir(const char *dir, const char *name, int *ret)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", dir, name);

	if (r < 0)
		return r;
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? fail_errno() : 0;
}

static int damaged(const char *dir, const char *name)
{
	log_warn(NULL, "zygote %s is damaged: removed; qubes boot until there is another", name);
	zygote_remove(dir, name);
	return ZYGOTE_E_DAMAGED;
}

static struct zygote take(struct zygote *z)
{
	struct zygote was = *z;

	*z = ZYGOTE_NONE;
	return was;
}

int zygote_open(const char *dir, const struct zygote_key *k, struct zygote *ret)
{
	AUTO(zygote_done) struct zygote z = ZYGOTE_NONE;
	AUTO_CLOSE int at = NO_FD;
	AUTO_FREE char *text = NULL;
	const char *key;
	int r = open_dir(dir, k->name, &at);

	if (r < 0)
		return r == -ENOENT ? (int)ZYGOTE_E_ABSENT : r;
	r = meta_read(at, &z.meta, &text, &key);
	if (r == 0 && strcmp(key, k->text.at) != 0)
		r = ZYGOTE_E_DAMAGED; /* not what its name says */
	if (r == 0 &&
	    (open_in(at, "memory", &z.memory_fd) < 0 || open_in(at, "device", &z.device_fd) < 0 ||
	     open_in(at, "root.qcow2", &z.root_fd) < 0 || !len_is(z.memory_fd, &z.meta.memory) ||
	     !len_is(z.root_fd, &z.meta.root) || !sum_is(z.device_fd, &z.meta.device)))
		r = ZYGOTE_E_DAMAGED;
	if (r == ZYGOTE_E_DAMAGED || r == ZYGOTE_E_ABSENT)
		return damaged(dir, k->name);
	if (r < 0)
		return r;
	/* used now: for zygotes_tidy() */
	(void)futimens(at, NULL);
	if (lseek(z.device_fd, 0, SEEK_SET) < 0)
		return fail_errno();
	*ret = take(&z);
	return 0;
}

void zygote_remove(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", dir, name);

	r = r < 0 ? r : io_remove_tree(AT_FDCWD, path);
	if (r < 0)
		log_warn(NULL, "zygote %s cannot be removed: %s", name, log_errno_str(r));
}

/* the key behind the memory */
static int trailer_is(int memfd, uint64_t at, const struct zygote_key *k)
{
	AUTO_FREE char *text = malloc(ZYGOTE_TRAILER);
	struct stat st;

	if (!text)
		return -ENOMEM;
	if (fstat(memfd, &st) < 0)
		return fail_errno();
	if ((uint64_t)st.st_size != at + ZYGOTE_TRAILER ||
	    pread(memfd, text, ZYGOTE_TRAILER, (off_t)at) != (ssize_t)ZYGOTE_TRAILER)
		return ZYGOTE_E_OTHER;
	text[ZYGOTE_TRAILER - 1] = '\0';
	return strcmp(text, k->text.at) == 0 ? 0 : ZYGOTE_E_OTHER;
}

static int fill(const struct zygote *z, const struct zygote_key *k, int memfd)
{
	const uint64_t len = z->meta.memory.len;
	uint32_t crc;
	int r;

	if (k->text.len >= ZYGOTE_TRAILER)
		return -E2BIG;
	/* one who was killed may have begun */
	if (ftruncate(memfd, 0) < 0 || ftruncate(memfd, (off_t)(len + ZYGOTE_TRAILER)) < 0)
		return fail_errno();
	r = file_sum(z->memory_fd, len, memfd, &crc);
	if (r < 0)
		return r == -ENODATA ? (int)ZYGOTE_E_DAMAGED : r;
	if (crc != z->meta.memory.crc || !sum_is(z->root_fd, &z->meta.root))
		return ZYGOTE_E_DAMAGED;
	if (pwrite(memfd, k->text.at, k->text.len, (off_t)len) != (ssize_t)k->text.len)
		return fail_errno();
	return fcntl(memfd, F_ADD_SEALS, SEALS) < 0 ? fail_errno() : 0;
}

bool zygote_is_copied(int memfd)
{
	int seals = fcntl(memfd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS;
}

int zygote_copy(const struct zygote *z, const struct zygote_key *k, int memfd)
{
	/* owned by a process, not by an open file: all who share the descriptor exclude each other */
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int r;

	/* Without the lock: QEMUs have the file from here on, and one that was taken over could hold a lock of its own for
	 * ever. Before it is sealed none has it, and seals never go. */
	if (zygote_is_copied(memfd))
		return trailer_is(memfd, z->meta.memory.len, k);
	while (fcntl(memfd, F_SETLKW, &lock) < 0)
		if (errno != EINTR)
			return fail_errno();
	r = zygote_is_copied(memfd) ? trailer_is(memfd, z->meta.memory.len, k) : fill(z, k, memfd);
	lock.l_type = F_UNLCK;
	(void)fcntl(memfd, F_SETLK, &lock);
	return r;
}

int zygote_new(const char *dir, char *path)
{
	int r = io_mkdirs(dir, 0700);

	r = r < 0 ? r : str_format(path, PATH_MAX, "%s/.new-%d", dir, getpid());
	r = r < 0 ? r : io_remove_tree(AT_FDCWD, path);
	if (r < 0)
		return r;
	return mkdir(path, 0700) < 0 ? fail_errno() : 0;
}

static int memory_write(int at, int memory_fd, struct zygote_file *ret)
{
	AUTO_CLOSE int to = openat(at, "memory", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat st;

	if (to < 0 || fstat(memory_fd, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return fail_errno();
	ret->len = (uint64_t)st.st_size;
	return file_sum(memory_fd, ret->len, to, &ret->crc);
}

/* of two keys the part behind the lines of the root */
static const char *behind_root(const char *key)
{
	while (key && str_starts(key, "root ")) {
		key = strchr(key, '\n');
		key = key ? key + 1 : NULL;
	}
	return key;
}

static void remove_older(const char *dir, const struct zygote_key *k,
			 const struct zygote_meta *meta)
{
	struct dirent *e;
	DIR *all = opendir(dir);

	while (all && (e = readdir(all))) {
		AUTO_CLOSE int at = NO_FD;
		AUTO_FREE char *text = NULL;
		struct zygote_meta other;
		const char *key, *rest;

		if (e->d_name[0] == '.' || str_eq(e->d_name, k->name) ||
		    open_dir(dir, e->d_name, &at) < 0 || meta_read(at, &other, &text, &key) != 0)
			continue;
		rest = behind_root(key);
		if (rest && str_eq(other.source, meta->source) &&
		    strcmp(rest, behind_root(k->text.at)) == 0)
			zygote_remove(dir, e->d_name);
	}
	if (all)
		(void)closedir(all);
}

int zygote_publish(const char *dir, const char *path, const struct zygote_key *k, int memory_fd,
		   struct zygote_meta *meta)
{
	AUTO_CLOSE int at = NO_FD, device = NO_FD, root = NO_FD;
	char to[PATH_MAX];
	int r = str_format(to, sizeof(to), "%s/%s", dir, k->name);

	meta->made_s = (uint64_t)time(NULL);
	r = r < 0 ? r : open_dir(path, ".", &at);
	r = r < 0 ? r : open_in(at, "device", &device);
	r = r < 0 ? r : open_in(at, "root.qcow2", &root);
	r = r < 0 ? r : sum_of(device, &meta->device);
	r = r < 0 ? r : sum_of(root, &meta->root);
	r = r < 0 ? r : memory_write(at, memory_fd, &meta->memory);
	r = r < 0 ? r : meta_write(at, meta, k);
	r = r < 0 ? r : io_remove_tree(AT_FDCWD, to);
	if (r == 0 && rename(path, to) < 0)
		r = fail_errno();
	if (r < 0) {
		(void)!io_remove_tree(AT_FDCWD, path);
		return r;
	}
	remove_older(dir, k, meta);
	return 0;
}

/* ---- all of them ---- */

static uint64_t disk_bytes(int at)
{
	static const char *const files[] = {"memory", "device", "root.qcow2", "meta"};
	uint64_t sum = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (fstatat(at, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			sum += (uint64_t)st.st_blocks * 512;
	return sum;
}

void zygote_list(const char *dir,
		 void (*fn)(void *data, const char *name, const struct zygote_meta *meta,
			    uint64_t disk_bytes),
		 void *data)
{
	struct dirent *e;
	DIR *all = opendir(dir);

	while (all && (e = readdir(all))) {
		AUTO_CLOSE int at = NO_FD;
		AUTO_FREE char *text = NULL;
		struct zygote_meta meta;
		const char *key;

		if (e->d_name[0] != '.' && open_dir(dir, e->d_name, &at) == 0 &&
		    meta_read(at, &meta, &text, &key) == 0)
			fn(data, e->d_name, &meta, disk_bytes(at));
	}
	if (all)
		(void)closedir(all);
}

struct tidy {
	const char *dir;
	unsigned n;
	uint64_t bytes;
	char oldest[NAME_MAX + 1];
	struct timespec used;
};

static void tidy_one(void *data, const char *name, const struct zygote_meta *meta, uint64_t bytes)
{
	struct tidy *t = data;
	char path[PATH_MAX];
	struct stat st;

	if (access(meta->source, F_OK) < 0) {
		zygote_remove(t->dir, name);
		return;
	}
	if (str_format(path, sizeof(path), "%s/%s", t->dir, name) < 0 || stat(path, &st) < 0)
		return;
	t->n++;
	t->bytes += bytes;
	if (t->oldest[0] != '\0' &&
	    (st.st_mtim.tv_sec > t->used.tv_sec ||
	     (st.st_mtim.tv_sec == t->used.tv_sec && st.st_mtim.tv_nsec >= t->used.tv_nsec)))
		return;
	t->used = st.st_mtim;
	(void)snprintf(t->oldest, sizeof(t->oldest), "%s", name);
}

static void remove_unfinished(const char *dir)
{
	char own[32];
	struct dirent *e;
	DIR *all = opendir(dir);

	(void)snprintf(own, sizeof(own), ".new-%d", getpid());
	while (all && (e = readdir(all)))
		if (str_starts(e->d_name, ".new-") && !str_eq(e->d_name, own))
			zygote_remove(dir, e->d_name);
	if (all)
		(void)closedir(all);
}

void zygotes_tidy(const char *dir)
{
	struct statvfs fs;

	remove_unfinished(dir);
	for (;;) {
		struct tidy t = {.dir = dir};
		uint64_t space = 0;

		zygote_list(dir, tidy_one, &t);
		/* at most a tenth of the file system */
		if (statvfs(dir, &fs) == 0)
			space = (uint64_t)fs.f_blocks * fs.f_frsize / 10;
		if (t.n == 0 || (t.n <= ZYGOTES_MAX && t.bytes <= space))
			return;
		zygote_remove(dir, t.oldest);
	}
}
