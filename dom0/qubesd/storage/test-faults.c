/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each operation, cut off before each of its changes to the disk.
 *
 * kill: the process ends there; what it did before is there. power: what was not synced may be
 * lost. The system calls that change something go through wrappers, which keep for each file what
 * was written since its last sync and for each folder what changed since its last sync. At the
 * cut a random part of the former and a random beginning of the latter is kept, and a new pool is
 * built from that. Then the pool is opened as the next start of the machine would. The last cut is right behind
 * the operation's end, and takes nothing of it back.
 */
#include "files/folder.h"
#include "qcow2/image.h"
#include "storage.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/str.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static char base[64]; /* prepared/ pool/ links/ copies/ after/ */
static char error[512];

#define ERR error, sizeof(error)

/* --- what the wrappers know --- */

enum op_kind { OP_WRITE, OP_TRUNCATE, OP_PUNCH, OP_CHMOD };

struct op {
	enum op_kind kind;
	uint64_t at, len;
	uint8_t *data;
};

/* a change of a folder: the entry @name goes, then @to is @ino */
struct change {
	char name[64], to[64];
	ino_t ino;
};

struct node {
	ino_t ino;
	bool is_dir, changed; /* changed: copies/INO is what was synced last */
	mode_t mode;          /* synced */
	struct op ops[4096];
	unsigned n_ops;
	struct change synced[64], changes[256];
	unsigned n_synced, n_changes;
};

static struct node *nodes[256];
static unsigned n_nodes;
static bool watching, with_power;
static unsigned n_calls, cut_at, seed;

/* clang-format off */
int __real_openat64(int at, const char *path, int flags, mode_t mode);
ssize_t __real_pwrite64(int fd, const void *from, size_t len, off_t at);
int __real_ftruncate64(int fd, off_t len);
int __real_fallocate64(int fd, int mode, off_t at, off_t len);
int __real_fchmod(int fd, mode_t mode);
int __real_fsync(int fd);
int __real_renameat(int a, const char *from, int b, const char *to);
int __real_fstat64(int fd, struct stat *ret);
int __real_fstatat64(int at, const char *path, struct stat *ret, int flags);
int __real_linkat(int a, const char *from, int b, const char *to, int flags);
int __real_rename(const char *from, const char *to);
int __real_unlinkat(int at, const char *path, int flags);
int __real_mkdir(const char *path, mode_t mode);
int __real_rmdir(const char *path);
int __wrap_openat64(int at, const char *path, int flags, ...);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t at);
int __wrap_ftruncate64(int fd, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t len);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fsync(int fd);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __wrap_fstat64(int fd, struct stat *ret);
int __wrap_fstatat64(int at, const char *path, struct stat *ret, int flags);
int __wrap_linkat(int a, const char *from, int b, const char *to, int flags);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlinkat(int at, const char *path, int flags);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_rmdir(const char *path);
/* clang-format on */

#define BUG_ON(x)                                                                                  \
	do {                                                                                       \
		if (x) {                                                                           \
			(void)fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #x, errno);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static unsigned chance(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 16) % n;
}

static const char *shadow(const char *what, ino_t ino)
{
	static char path[2][128];
	static unsigned turn;

	turn = !turn;
	(void)snprintf(path[turn], sizeof(path[turn]), "%s/%s/%lu", base, what, (unsigned long)ino);
	return path[turn];
}

static void copy(const char *from, const char *to)
{
	AUTO_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC), out = NO_FD;
	struct stat st;
	off_t at = 0;

	BUG_ON(in < 0 || fstat(in, &st) < 0);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	BUG_ON(out < 0 || __real_ftruncate64(out, st.st_size) < 0);
	while ((at = lseek(in, at, SEEK_DATA)) >= 0) {
		static uint8_t buf[65536];
		ssize_t n = pread(in, buf, sizeof(buf) - (size_t)at % sizeof(buf), at);

		BUG_ON(n <= 0 || __real_pwrite64(out, buf, (size_t)n, at) != n);
		at += n;
	}
}

static struct node *node_of(ino_t ino)
{
	for (unsigned i = 0; i < n_nodes; i++)
		if (nodes[i]->ino == ino)
			return nodes[i];
	return NULL;
}

static struct node *node_add(const struct stat *st)
{
	struct node *n = calloc(1, sizeof(*n));

	BUG_ON(!n || n_nodes == ARRAY_LEN(nodes));
	n->ino = st->st_ino;
	n->is_dir = S_ISDIR(st->st_mode);
	n->mode = st->st_mode & 0777;
	nodes[n_nodes++] = n;
	return n;
}

static struct node *node_of_fd(int fd)
{
	struct stat st;

	BUG_ON(fstat(fd, &st) < 0);
	return node_of(st.st_ino);
}

/* everything below @path counts as synced */
static struct node *look(const char *path)
{
	struct stat st;
	struct node *n;

	BUG_ON(lstat(path, &st) < 0);
	n = node_add(&st);
	if (!n->is_dir) {
		BUG_ON(link(path, shadow("links", n->ino)) < 0);
		return n;
	}
	DIR *d = opendir(path);
	BUG_ON(!d);
	for (struct dirent *e; (e = readdir(d));) {
		struct change *c = &n->synced[n->n_synced];
		char child[512];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(child, sizeof(child), "%s/%s", path, e->d_name);
		BUG_ON(str_copy(c->to, sizeof(c->to), e->d_name, strlen(e->d_name)) < 0);
		c->ino = look(child)->ino;
		n->n_synced++;
	}
	(void)closedir(d);
	return n;
}

static void apply(struct change *entries, unsigned *n, const struct change *c)
{
	const char *gone[] = {c->name, c->to};

	for (unsigned g = 0; g < 2; g++)
		for (unsigned i = 0; i < *n; i++)
			if (gone[g][0] && str_eq(entries[i].to, gone[g])) {
				entries[i] = entries[--*n];
				break;
			}
	if (c->to[0]) {
		BUG_ON(*n == 64);
		entries[(*n)++] = *c;
	}
}

static void change_dir(struct node *dir, const char *name, const char *to, ino_t ino)
{
	struct change *c;

	if (!dir)
		return;
	BUG_ON(dir->n_changes == ARRAY_LEN(dir->changes));
	c = &dir->changes[dir->n_changes++];
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
	(void)snprintf(c->to, sizeof(c->to), "%s", to);
	c->ino = ino;
}

static void change_file(int fd, enum op_kind kind, uint64_t at, uint64_t len, const void *data)
{
	struct node *n = node_of_fd(fd);
	struct op *op;

	if (!n || !with_power)
		return;
	if (!n->changed) {
		copy(shadow("links", n->ino), shadow("copies", n->ino));
		n->changed = true;
	}
	BUG_ON(n->n_ops == ARRAY_LEN(n->ops));
	op = &n->ops[n->n_ops++];
	*op = (struct op){.kind = kind, .at = at, .len = len};
	if (data) {
		op->data = malloc(len);
		BUG_ON(!op->data);
		memcpy(op->data, data, len);
	}
}

/* --- the cut --- */

static void put_file(struct node *n, const char *path)
{
	AUTO_CLOSE int fd = NO_FD;
	mode_t mode = n->mode;

	copy(shadow(n->changed ? "copies" : "links", n->ino), path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	BUG_ON(fd < 0);
	for (unsigned i = 0; i < n->n_ops; i++) {
		const struct op *op = &n->ops[i];

		switch (op->kind) {
		case OP_WRITE: /* page by page */
			for (uint64_t at = 0; at < op->len; at += 4096) {
				uint64_t len = op->len - at < 4096 ? op->len - at : 4096;

				if (chance(2) == 0)
					BUG_ON(__real_pwrite64(fd, op->data + at, len,
							       (off_t)(op->at + at)) !=
					       (ssize_t)len);
			}
			break;
		case OP_TRUNCATE:
			if (chance(2) == 0)
				BUG_ON(__real_ftruncate64(fd, (off_t)op->len) < 0);
			break;
		case OP_PUNCH:
			if (chance(2) == 0)
				(void)__real_fallocate64(fd,
							 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
							 (off_t)op->at, (off_t)op->len);
			break;
		case OP_CHMOD:
			if (chance(2) == 0)
				mode = (mode_t)op->len;
			break;
		}
	}
	BUG_ON(__real_fchmod(fd, mode) < 0);
}

static void put_dir(struct node *n, const char *path)
{
	struct change entries[64];
	unsigned n_entries = n->n_synced, n_kept = chance(n->n_changes + 1);

	BUG_ON(__real_mkdir(path, 0700) < 0);
	memcpy(entries, n->synced, sizeof(entries));
	for (unsigned i = 0; i < n_kept; i++)
		apply(entries, &n_entries, &n->changes[i]);
	for (unsigned i = 0; i < n_entries; i++) {
		struct node *child = node_of(entries[i].ino);
		char to[512];

		BUG_ON(!child);
		(void)snprintf(to, sizeof(to), "%s/%s", path, entries[i].to);
		if (child->is_dir)
			put_dir(child, to);
		else
			put_file(child, to);
	}
}

/* what is there once the power is back */
static void put_after(void)
{
	char after[80];

	(void)snprintf(after, sizeof(after), "%s/after", base);
	put_dir(nodes[0], after);
}

static void call(void)
{
	if (!watching || ++n_calls != cut_at)
		return;
	watching = false;
	if (with_power)
		put_after();
	_exit(42);
}

int __wrap_openat64(int at, const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;
	int fd;

	if ((flags & O_CREAT) == 0)
		return __real_openat64(at, path, flags, 0);
	va_start(ap, flags);
	mode = va_arg(ap, mode_t);
	va_end(ap);
	call();
	fd = __real_openat64(at, path, flags, mode);
	if (fd >= 0 && watching) {
		char link_path[64];
		struct stat st;
		struct node *n;

		BUG_ON(fstat(fd, &st) < 0);
		n = node_add(&st);
		(void)snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
		BUG_ON(__real_linkat(AT_FDCWD, link_path, AT_FDCWD, shadow("links", n->ino),
				     AT_SYMLINK_FOLLOW) < 0);
		copy(shadow("links", n->ino), shadow("copies", n->ino));
		n->changed = true; /* nothing of it is synced */
		change_dir(node_of_fd(at), "", path, n->ino);
	}
	return fd;
}

ssize_t __wrap_pwrite64(int fd, const void *from, size_t len, off_t at)
{
	call();
	if (watching)
		change_file(fd, OP_WRITE, (uint64_t)at, len, from);
	return __real_pwrite64(fd, from, len, at);
}

int __wrap_ftruncate64(int fd, off_t len)
{
	call();
	if (watching)
		change_file(fd, OP_TRUNCATE, 0, (uint64_t)len, NULL);
	return __real_ftruncate64(fd, len);
}

int __wrap_fallocate64(int fd, int mode, off_t at, off_t len)
{
	call();
	if (watching)
		change_file(fd, OP_PUNCH, (uint64_t)at, (uint64_t)len, NULL);
	return __real_fallocate64(fd, mode, at, len);
}

int __wrap_fchmod(int fd, mode_t mode)
{
	call();
	if (watching)
		change_file(fd, OP_CHMOD, 0, mode, NULL);
	return __real_fchmod(fd, mode);
}

int __wrap_fsync(int fd)
{
	struct node *n;

	call();
	n = watching ? node_of_fd(fd) : NULL;
	if (n) {
		struct stat st;

		BUG_ON(fstat(fd, &st) < 0);
		n->mode = st.st_mode & 0777;
		n->changed = false;
		n->n_ops = 0;
		for (unsigned i = 0; i < n->n_changes; i++)
			apply(n->synced, &n->n_synced, &n->changes[i]);
		n->n_changes = 0;
	}
	return 0;
}

int __wrap_renameat(int a, const char *from, int b, const char *to)
{
	struct stat st;

	call();
	if (watching && fstatat(a, from, &st, AT_SYMLINK_NOFOLLOW) == 0)
		change_dir(node_of_fd(a), from, to, st.st_ino);
	return __real_renameat(a, from, b, to);
}

/* but for the one in links/ */
static void uncount(struct stat *st)
{
	if (watching && !S_ISDIR(st->st_mode) && node_of(st->st_ino))
		st->st_nlink--;
}

int __wrap_fstat64(int fd, struct stat *ret)
{
	int r = __real_fstat64(fd, ret);

	if (r == 0)
		uncount(ret);
	return r;
}

int __wrap_fstatat64(int at, const char *path, struct stat *ret, int flags)
{
	int r = __real_fstatat64(at, path, ret, flags);

	if (r == 0)
		uncount(ret);
	return r;
}

int __wrap_linkat(int a, const char *from, int b, const char *to, int flags)
{
	struct stat st;

	call();
	if (watching && fstatat(a, from, &st, AT_SYMLINK_NOFOLLOW) == 0)
		change_dir(node_of_fd(b), "", to, st.st_ino);
	return __real_linkat(a, from, b, to, flags);
}

/* folder of @path, and its last part */
static struct node *parent_of(const char *path, const char **ret_name)
{
	char parent[512];
	struct stat st;

	*ret_name = strrchr(path, '/') + 1;
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(*ret_name - path), path);
	return stat(parent, &st) == 0 ? node_of(st.st_ino) : NULL;
}

int __wrap_rename(const char *from, const char *to)
{
	const char *name, *to_name;
	struct node *dir;
	struct stat st;

	call();
	dir = parent_of(from, &name);
	BUG_ON(watching && dir != parent_of(to, &to_name));
	to_name = strrchr(to, '/') + 1;
	if (watching && lstat(from, &st) == 0)
		change_dir(dir, name, to_name, st.st_ino);
	return __real_rename(from, to);
}

int __wrap_unlinkat(int at, const char *path, int flags)
{
	const char *name = path;
	struct node *dir;
	int r;

	call();
	dir = !watching ? NULL : path[0] == '/' ? parent_of(path, &name) : node_of_fd(at);
	r = __real_unlinkat(at, path, flags);
	if (r == 0)
		change_dir(dir, name, "", 0);
	return r;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	const char *name;
	struct node *dir;
	struct stat st;
	int r;

	call();
	r = __real_mkdir(path, mode);
	dir = watching && r == 0 ? parent_of(path, &name) : NULL;
	if (dir && stat(path, &st) == 0)
		change_dir(dir, "", name, node_add(&st)->ino);
	return r;
}

int __wrap_rmdir(const char *path)
{
	const char *name;
	struct node *dir;
	int r;

	call();
	dir = watching ? parent_of(path, &name) : NULL;
	r = __real_rmdir(path);
	if (dir && r == 0)
		change_dir(dir, name, "", 0);
	return r;
}

/* --- contents --- */

/* where the guest writes: in the first L2 table, at its end, in another */
static const unsigned places_mib[] = {0, 1, 511, 700};

/* what stands there: a letter a place, '.' for zeros, '?' for a mixture */
static int chain_content(const struct storage_chain *c, char *to)
{
	static uint8_t buf[65536];
	struct image images[STORAGE_MAX_CHAIN];
	unsigned n = 0;
	int r = 0;

	for (; r == 0 && n < c->n; n++)
		r = image_open(&images[n], c->fds[n]);
	for (unsigned p = 0; r == 0 && p < ARRAY_LEN(places_mib); p++) {
		struct qcow2_cluster cluster = {0};

		to[p] = '.';
		for (unsigned i = 0; r == 0 && i < n && cluster.kind == QCOW2_ABSENT; i++) {
			r = image_lookup(&images[i], places_mib[p] * MIB / QCOW2_CLUSTER, &cluster);
			if (r != 0 || cluster.kind != QCOW2_DATA)
				continue;
			r = image_read(&images[i], cluster.at, buf);
			to[p] = '?';
			if (memcmp(buf, buf + 1, sizeof(buf) - 1) == 0)
				to[p] = (char)buf[0];
		}
	}
	to[ARRAY_LEN(places_mib)] = '\0';
	while (n-- > 0)
		image_done(&images[n]);
	return r;
}

static struct storage_volume volume(const char *root, const char *vid, int keep)
{
	return (struct storage_volume){.driver = "qcow2",
				       .pool_dir = root,
				       .vid = vid,
				       .size = GIB,
				       .rw = true,
				       .save_on_stop = true,
				       .revisions_to_keep = keep};
}

static int shell(const char *format, ...) PRINTF_LIKE(1, 2);
static int shell(const char *format, ...)
{
	char command[4096];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	return system(command);
}

/* the guest writes letters, flushed, on the started volume */
static void guest_writes(const struct storage_chain *c, const char *letters)
{
	char path[256], commands[512] = "", link[64];
	size_t len = 0;
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", c->fds[0]);
	n = readlink(link, path, sizeof(path) - 1);
	assert_true(n > 0);
	path[n] = '\0';
	for (unsigned p = 0; letters[p]; p++) {
		char one[64];

		if (letters[p] == '-')
			continue;
		if (letters[p] == '.')
			(void)snprintf(one, sizeof(one), " -c 'write -z %uM 64k'", places_mib[p]);
		else
			(void)snprintf(one, sizeof(one), " -c 'write -P %d %uM 64k'", letters[p],
				       places_mib[p]);
		assert_int_equal(str_format(commands + len, sizeof(commands) - len, "%s", one), 0);
		len += strlen(one);
	}
	assert_int_equal(shell("qemu-io -f qcow2%s -c flush '%s' >/dev/null", commands, path), 0);
}

/* --- the operations --- */

struct scenario {
	const char *name;
	int keep;
	const char *states;     /* what was committed, separated by spaces; the last is current */
	const char *unfinished; /* written by a run that did not end cleanly, or NULL */
	int (*run)(const struct storage_volume *v);
	const char *allowed[3]; /* contents afterwards, the first once it was done; "" = absent */
	unsigned n_locked;      /* this many qubes have the newest revisions open */
};

static int run_create(const struct storage_volume *v)
{
	return storage_create(v, ERR);
}

static int run_start(const struct storage_volume *v)
{
	AUTO(storage_chain_done) struct storage_chain c = {0};

	return storage_start(v, &c, ERR);
}

static int run_stop(const struct storage_volume *v)
{
	return storage_stop(v, true, ERR);
}

static int run_revert(const struct storage_volume *v)
{
	return storage_revert(v, NULL, ERR);
}

static int run_import(const struct storage_volume *v)
{
	AUTO_CLOSE int fd = NO_FD;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/raw", base);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return storage_import(v, fd, 0, false, NULL, NULL, ERR);
}

static int run_clone(const struct storage_volume *v)
{
	struct storage_volume to = *v;

	to.vid = "vm/c/private";
	return storage_clone(&to, v, ERR);
}

/* what it holds is copied, for it is of another driver */
static int run_clone_over(const struct storage_volume *v)
{
	struct storage_volume to = *v;

	to.vid = "vm/c/private";
	to.driver = "reflink";
	return storage_clone(&to, v, ERR);
}

static int run_remove(const struct storage_volume *v)
{
	return storage_remove(v, ERR);
}

static int run_resize(const struct storage_volume *v)
{
	return storage_resize(v, 64 * MIB, ERR);
}

static const struct scenario scenarios[] = {
	{"create", 1, NULL, NULL, run_create, {"....", ""}, 0},
	{"start", 1, "a... ab..", NULL, run_start, {"ab.."}, 0},
	{"start in place", -1, "a... ab..", NULL, run_start, {"ab.."}, 0},
	{"commit, keep none", 0, "ab.d", "xyz.", run_stop, {"xyz."}, 0},
	{"commit, keep one", 1, "a... ab.d", "xyz.", run_stop, {"xyz."}, 0},
	{"commit, keep many", 3, "a... ab.. .b.c", "xyz.", run_stop, {"xyz."}, 0},
	{"commit while in use", 1, "a... ab.. abc.", "xyz.", run_stop, {"xyz."}, 2},
	{"commit and cut a long chain", 9, "a b c d e f", "g", run_stop, {"g..."}, 0},
	{"revert", 1, "a... ab.d", NULL, run_revert, {"a...", "ab.d"}, 0},
	{"drop what is unfinished", 1, "a... ab.d", "xyz.", run_revert, {"ab.d", "xyz."}, 0},
	{"import", 1, "a... ab.d", "xyz.", run_import, {"iiii", "xyz."}, 0},
	{"clone", 1, "a... ab.d", NULL, run_clone, {"ab.d"}, 0},
	{"clone to another driver", 1, "a... ab.d", NULL, run_clone_over, {"ab.d"}, 0},
	{"remove", 1, "a... ab.d", NULL, run_remove, {"", "ab.d"}, 0},
	{"shrink", 0, "", NULL, run_resize, {"...."}, 0},
};

/* contents by revision number, as they were prepared */
static char known[16][8];

static void prepare(const struct scenario *s)
{
	char root[80] = "", word[8];
	struct storage_volume v = volume(root, "vm/a/private", 9);
	struct storage_chain c = {0};
	unsigned n = 0;

	(void)snprintf(root, sizeof(root), "%s/prepared", base);
	assert_int_equal(
		shell("rm -rf %s/*/ && mkdir -p %s %s/links %s/copies", base, root, base, base), 0);
	memset(known, 0, sizeof(known));
	if (!s->states)
		return;
	assert_int_equal(storage_create(&v, ERR), 0);
	(void)snprintf(known[1], sizeof(known[1]), "....");
	for (const char *p = s->states; *p; p += strspn(p, " ")) {
		unsigned len = (unsigned)strcspn(p, " ");

		(void)snprintf(word, sizeof(word), "%.*s%.*s", (int)len, p, (int)(4 - len), "....");
		p += len;
		assert_int_equal(storage_start(&v, &c, ERR), 0);
		guest_writes(&c, word);
		storage_chain_done(&c);
		assert_int_equal(storage_stop(&v, true, ERR), 0);
		n++;
		(void)snprintf(known[n + 1], sizeof(known[0]), "%s", word);
	}
	if (s->unfinished) {
		(void)snprintf(word, sizeof(word), "%s%.*s", s->unfinished,
			       (int)(4 - strlen(s->unfinished)), "....");
		assert_int_equal(storage_start(&v, &c, ERR), 0);
		guest_writes(&c, word);
		storage_chain_done(&c);
		(void)snprintf(known[n + 2], sizeof(known[0]), "%s", word);
	}
}

/* in the child: run the operation, cut at the @cut-th change; its result if it gets to its end */
static int run_cut(const struct scenario *s, unsigned cut, bool power, unsigned with_seed)
{
	struct storage_chain locked[2] = {0};
	char root[80] = "", links[80];
	struct storage_volume v = volume(root, "vm/a/private", s->keep);
	int status;
	pid_t pid;

	(void)snprintf(root, sizeof(root), "%s/pool", base);
	assert_int_equal(shell("cd %s && rm -rf pool after links copies && mkdir links copies && "
			       "cp -a --sparse=always prepared pool",
			       base),
			 0);
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct folder f;
		int r;

		for (unsigned i = 0; i < s->n_locked; i++) {
			const struct say to = {0};

			BUG_ON(folder_open(&f, &v, v.vid, FOLDER_QUICK, &to) != 0);
			BUG_ON(folder_open_chain(&f, folder_revision(&f, 2 + i), &locked[i], &to));
		}
		seed = with_seed;
		cut_at = cut;
		with_power = power;
		(void)look(root);
		watching = true;
		r = s->run(&v);
		watching = false;
		if (r != 0)
			(void)fprintf(stderr, "%s: %d: %s\n", s->name, r, error);
		else if (power)
			put_after();
		_exit(r == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* a file that has another name is shared by a clone */
	(void)snprintf(links, sizeof(links), "%s/links", base);
	assert_int_equal(io_remove_tree(AT_FDCWD, links), 0);
	if (!WIFEXITED(status))
		fail_msg("%s: cut %u: the child died by signal %d", s->name, cut, WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void raw_content(int fd, char *to)
{
	for (unsigned p = 0; p < ARRAY_LEN(places_mib); p++) {
		char byte = '?';

		(void)!pread(fd, &byte, 1, (off_t)(places_mib[p] * MIB));
		to[p] = byte;
		if (byte == '\0')
			to[p] = '.';
	}
	to[ARRAY_LEN(places_mib)] = '\0';
}

static const char *current(const struct storage_volume *v, char *to)
{
	AUTO(storage_chain_done) struct storage_chain c = {0};
	int r = storage_start(v, &c, ERR);

	if (r == STORAGE_E_ABSENT)
		return "";
	if (r != 0)
		return error;
	*to = '\0';
	if (c.formats[0] == STORAGE_RAW)
		raw_content(c.fds[0], to);
	else
		r = chain_content(&c, to);
	return r == 0 ? to : qcow2_why(r);
}

static bool is_allowed(const struct scenario *s, bool ended, const char *content)
{
	for (unsigned i = 0; i < (ended ? 1 : ARRAY_LEN(s->allowed)); i++)
		if (s->allowed[i] && str_eq(s->allowed[i], content))
			return true;
	return false;
}

#define CHECK(ok, ...)                                                                             \
	do {                                                                                       \
		if (!(ok)) {                                                                       \
			(void)fprintf(stderr, "%s, cut %u (%s, seed %u): ", s->name, cut,          \
				      power ? "power" : "kill", with_seed);                        \
			(void)fprintf(stderr, __VA_ARGS__);                                        \
			(void)fprintf(stderr, "\n");                                               \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

/* the pool below @root, as found at the next start of the machine; @ended: the operation was not cut off */
static void check(const struct scenario *s, const char *root, bool ended, unsigned cut, bool power,
		  unsigned with_seed, bool judge)
{
	struct storage_volume v = volume(root, "vm/a/private", s->keep);
	struct storage_volume c = volume(root, "vm/c/private", s->keep);
	struct storage_revision revisions[STORAGE_MAX_REVISIONS];
	AUTO(folder_done) struct folder f = {.dir = NO_FD};
	const struct say to = {0};
	char content[16] = "", again[16] = "";
	const char *is;
	unsigned n = 0;
	int r;

	if (s->run == run_remove && ended)
		CHECK(shell("test -z \"$(find %s -path '*/vm/a*')\"", root) == 0, "it is not gone");
	if (s->run == run_resize)
		v.size = 0;
	if (s->run == run_clone_over) {
		c.driver = "reflink";
		c.rw = false; /* to write it would take a file system that shares blocks */
	}
	/* every revision that is offered has the content it was committed with, also if the user
	 * wants more of them from now on */
	v.revisions_to_keep = 9;
	r = storage_revisions(&v, revisions, &n);
	v.revisions_to_keep = s->keep;
	CHECK(r == 0 || r == STORAGE_E_ABSENT, "list: %d", r);
	for (unsigned i = 0; i < n; i++) {
		AUTO(storage_chain_done) struct storage_chain chain = {0};
		unsigned number = (unsigned)strtoul(revisions[i].id, NULL, 10);

		folder_done(&f);
		CHECK(folder_open(&f, &v, v.vid, FOLDER_QUICK, &to) == 0, "open");
		CHECK(folder_open_chain(&f, folder_revision(&f, number), &chain, &to) == 0,
		      "revision %u", number);
		CHECK(chain_content(&chain, content) == 0 && str_eq(content, known[number]),
		      "revision %u reads %s instead of %s", number, content, known[number]);
	}
	folder_done(&f);

	is = current(&v, content);
	CHECK(is_allowed(s, ended, is), "current: %s", is);
	if (s->run == run_clone || s->run == run_clone_over) {
		is = current(&c, again);
		CHECK(str_eq(is, "") || str_eq(is, "ab.d"), "clone: %s", is);
		if (is[0])
			CHECK(storage_remove(&c, ERR) == 0, "%s", error);
		CHECK(storage_clone(&c, &v, ERR) == 0, "clone again: %s", error);
		is = content;
	}
	if (is[0]) {
		r = storage_stop(&v, true, ERR);
		CHECK(r == 0 && error[0] == '\0', "stop: %d: %s", r, error);
		CHECK(str_eq(current(&v, again), content), "%s after the stop", again);
		r = storage_stop(&v, true, ERR);
		CHECK(r == 0 && error[0] == '\0', "second stop: %d: %s", r, error);
	} else {
		r = storage_create(&v, ERR);
		CHECK(r == 0, "create: %s", error);
	}
	r = storage_clone(&(struct storage_volume){.driver = "qcow2",
						   .pool_dir = root,
						   .vid = "vm/d/private",
						   .size = GIB,
						   .rw = true,
						   .save_on_stop = true},
			  &v, ERR);
	CHECK(r == 0, "clone: %s", error);
	if (judge)
		CHECK(shell("find %s -name '*.old' -prune -o -name '*.qcow2' -print | while read f; do qemu-img check -q -f qcow2 "
			    "\"$f\" || exit 1; done",
			    root) == 0,
		      "qemu-img check");
	CHECK(storage_remove(&v, ERR) == 0, "remove: %s", error);
	CHECK(shell("test -z \"$(find %s -path '*/a/*' -o -name '*.tmp' -o -name '*.new' -o -name "
		    "'*.old')\"",
		    root) == 0,
	      "something is left");
}

/* Where a full run is: of the second test or not, in which scenario, the next cut. Kept in the folder
 * BULKHEAD_TEST_STATE, if there is one, so that a run that was interrupted goes on there. */
struct progress {
	unsigned power, scenario, cut;
};

static bool progress_path(char *to, size_t size)
{
	const char *kept = getenv("BULKHEAD_TEST_STATE");

	return kept && snprintf(to, size, "%s/cuts", kept) < (int)size;
}

static struct progress progress_load(void)
{
	const struct progress none = {0, 0, 1};
	AUTO_FREE char *text = NULL;
	uint64_t n[3];
	char path[512], *at;

	if (!progress_path(path, sizeof(path)) || io_read_file(AT_FDCWD, path, 64, &text, NULL) < 0)
		return none;
	at = text;
	for (size_t i = 0; i < ARRAY_LEN(n); i++) {
		const char *word = strsep(&at, " \n");

		if (!word || str_u64(word, UINT32_MAX, &n[i]) < 0)
			return none;
	}
	return n[0] > 1 ? none : (struct progress){(unsigned)n[0], (unsigned)n[1], (unsigned)n[2]};
}

static void progress_save(struct progress p)
{
	char path[512], line[64];

	(void)snprintf(line, sizeof(line), "%u %u %u\n", p.power, p.scenario, p.cut);
	if (progress_path(path, sizeof(path)))
		assert_int_equal(io_write_file(AT_FDCWD, path, line, strlen(line), 0644), 0);
}

static bool kills_done;

static void faults(bool power)
{
	const bool full = getenv("BULKHEAD_TEST_FULL") != NULL;
	const struct progress from = full ? progress_load() : (struct progress){power, 0, 1};
	const unsigned n_seeds = power && full ? 20 : 1;
	char root[80] = "";
	unsigned n = 0;

	if (from.power > power) { /* done by the run that was interrupted */
		kills_done = true;
		return;
	}
	if (full && power && !kills_done)
		skip(); /* what failed there is where the next run begins */
	assert_int_equal(
		shell("truncate -s 1G %s/raw && qemu-io -f raw -c 'write -P %d 0 2M' "
		      "-c 'write -P %d 511M 1M' -c 'write -P %d 700M 64k' %s/raw >/dev/null",
		      base, 'i', 'i', 'i', base),
		0);
	for (unsigned i = from.power < power ? 0 : from.scenario; i < ARRAY_LEN(scenarios); i++) {
		const struct scenario *s = &scenarios[i];
		bool resumes = from.power == power && from.scenario == i;
		bool ended = false;

		prepare(s);
		for (unsigned cut = resumes ? from.cut : 1; !ended;
		     cut += full ? 1 : 1 + cut / 12) {
			if (full)
				progress_save((struct progress){power, i, cut});
			for (unsigned k = 0; k < n_seeds && !ended; k++) {
				unsigned with_seed = cut * 1000 + k;
				int r = run_cut(s, cut, power, with_seed);

				ended = r == 0;
				if (r != 0 && r != 42)
					fail_msg("%s failed by itself", s->name);
				(void)snprintf(root, sizeof(root), "%s/%s", base,
					       power ? "after" : "pool");
				check(s, root, ended, cut, power, with_seed, full || cut % 5 == 1);
				n++;
			}
		}
		if (full && i + 1 == ARRAY_LEN(scenarios))
			progress_save(power ? (struct progress){0, 0, 1}
					    : (struct progress){1, 0, 1});
	}
	kills_done = true;
	(void)printf("%u cuts\n", n);
}

static void killed_before_any_change_to_the_disk_nothing_is_lost(void **state)
{
	(void)state;
	faults(false);
}

static void when_the_power_fails_what_was_synced_is_enough(void **state)
{
	(void)state;
	faults(true);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(base, sizeof(base), "/tmp/test-faults-XXXXXX");
	return mkdtemp(base) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return shell("rm -rf %s", base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			killed_before_any_change_to_the_disk_nothing_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(when_the_power_fails_what_was_synced_is_enough,
						setup, teardown),
	};

	if (system("command -v qemu-io >/dev/null && command -v qemu-img >/dev/null") != 0) {
		(void)printf("skipped: qemu-io and qemu-img are missing (package qemu-utils)\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
