/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store and power cuts. A layer below SQLite keeps a second picture of each file: what would be on the disk if the
 * power went now. Writes reach that picture when the file is synced; of those since then a cut keeps any, whole or up to
 * some 512-byte sector, in any order. A file that was made is certainly there once it was synced; one that was removed
 * without syncing its folder may still be there.
 *
 * Each round opens the store, changes it until the cut, writes the picture into an empty folder and opens that: all that
 * had been answered is there, and the change that was under way is there as a whole or not at all.
 *
 * The same layer can refuse what is asked of it for a while, as a disk that gives errors or is read-only.
 */
#include "store/store.h"

#include "base/io.h"
#include "store/check.h"
#include "store/property.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#define MAX_FILES 8
#define SECTOR    512u

/* a write, or (bytes NULL) a truncation to @at, that no sync has followed */
struct pending {
	struct pending *next;
	uint8_t *bytes;
	size_t len;
	sqlite3_int64 at;
};

struct disk_file {
	char path[256];
	bool there, removed; /* on the disk; removed from the folder, which was not synced since */
	uint8_t *bytes;
	size_t len, room;
	struct pending *first, **last;
};

static struct {
	struct disk_file files[MAX_FILES];
	unsigned n_files;
	uint64_t n_ops, cut_at;      /* the cut comes before this one; 0: never */
	uint64_t fail_from, fail_to; /* those between are refused, and nothing else happens */
	bool cut;
} disk;
static unsigned seed;

static unsigned draw(unsigned below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

static struct disk_file *disk_file(const char *path)
{
	for (unsigned i = 0; i < disk.n_files; i++)
		if (strcmp(disk.files[i].path, path) == 0)
			return &disk.files[i];
	assert_true(disk.n_files < MAX_FILES);
	(void)snprintf(disk.files[disk.n_files].path, sizeof(disk.files[0].path), "%s", path);
	return &disk.files[disk.n_files++];
}

/* once per change of the disk: true from the cut on */
static bool is_cut(void)
{
	disk.n_ops++;
	if (disk.cut_at > 0 && disk.n_ops >= disk.cut_at)
		disk.cut = true;
	return disk.cut || (disk.n_ops >= disk.fail_from && disk.n_ops < disk.fail_to);
}

static void put(struct disk_file *f, const struct pending *p, size_t len)
{
	size_t end = (size_t)p->at + len;

	if (!p->bytes) {
		if (f->len > (size_t)p->at)
			f->len = (size_t)p->at;
		return;
	}
	if (len == 0)
		return;
	if (end > f->room) {
		f->bytes = realloc(f->bytes, end * 2);
		assert_non_null(f->bytes);
		f->room = end * 2;
	}
	if (end > f->len)
		memset(f->bytes + f->len, 0, end - f->len);
	memcpy(f->bytes + p->at, p->bytes, len);
	if (end > f->len)
		f->len = end;
}

static void pend(struct disk_file *f, const void *bytes, size_t len, sqlite3_int64 at)
{
	struct pending *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->at = at;
	p->len = len;
	if (bytes) {
		p->bytes = malloc(len + 1);
		assert_non_null(p->bytes);
		memcpy(p->bytes, bytes, len);
	}
	if (!f->last)
		f->last = &f->first;
	*f->last = p;
	f->last = &p->next;
}

/* @all: a sync; else what a cut happens to keep */
static void settle(struct disk_file *f, bool all)
{
	while (f->first) {
		struct pending *p = f->first;

		f->first = p->next;
		if (all || draw(2) == 0)
			put(f, p, p->len);
		else if (p->bytes && draw(3) == 0)
			put(f, p,
			    p->len / SECTOR > 0 ? draw((unsigned)(p->len / SECTOR)) * SECTOR : 0);
		free(p->bytes);
		free(p);
	}
	f->last = NULL;
}

static void disk_forget(void)
{
	for (unsigned k = 0; k < disk.n_files; k++) {
		settle(&disk.files[k], true);
		free(disk.files[k].bytes);
	}
	memset(&disk, 0, sizeof(disk));
}

/* ---- the layer ---- */

struct layer_file {
	sqlite3_file base;
	struct disk_file *on_disk; /* NULL: nothing that must last */
	sqlite3_file *real;
};

static sqlite3_vfs *below;
static sqlite3_io_methods methods;

#define REAL(f) (((struct layer_file *)(f))->real)
#define DISK(f) (((struct layer_file *)(f))->on_disk)

static int layer_close(sqlite3_file *f)
{
	return REAL(f)->pMethods ? REAL(f)->pMethods->xClose(REAL(f)) : SQLITE_OK;
}

static int layer_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return REAL(f)->pMethods->xRead(REAL(f), to, n, at);
}

static int layer_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	if (is_cut())
		return SQLITE_IOERR_WRITE;
	if (DISK(f))
		pend(DISK(f), from, (size_t)n, at);
	return REAL(f)->pMethods->xWrite(REAL(f), from, n, at);
}

static int layer_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	if (is_cut())
		return SQLITE_IOERR_TRUNCATE;
	if (DISK(f))
		pend(DISK(f), NULL, 0, size);
	return REAL(f)->pMethods->xTruncate(REAL(f), size);
}

static int layer_sync(sqlite3_file *f, int flags)
{
	(void)flags;
	if (is_cut())
		return SQLITE_IOERR_FSYNC;
	if (DISK(f)) {
		settle(DISK(f), true);
		DISK(f)->there = true;
	}
	return SQLITE_OK; /* the machine's own disk has nothing to do with it */
}

static int layer_size(sqlite3_file *f, sqlite3_int64 *ret)
{
	return REAL(f)->pMethods->xFileSize(REAL(f), ret);
}

static int layer_lock(sqlite3_file *f, int how)
{
	return REAL(f)->pMethods->xLock(REAL(f), how);
}

static int layer_unlock(sqlite3_file *f, int how)
{
	return REAL(f)->pMethods->xUnlock(REAL(f), how);
}

static int layer_reserved(sqlite3_file *f, int *ret)
{
	return REAL(f)->pMethods->xCheckReservedLock(REAL(f), ret);
}

static int layer_control(sqlite3_file *f, int op, void *arg)
{
	return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int layer_sector(sqlite3_file *f)
{
	(void)f;
	return SECTOR;
}

/* nothing is promised: no write is whole by itself, none spares its neighbours */
static int layer_promises(sqlite3_file *f)
{
	(void)f;
	return 0;
}

static int layer_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *ret)
{
	struct layer_file *l = (struct layer_file *)f;
	int rc;

	(void)vfs;
	l->real = (sqlite3_file *)(l + 1);
	l->on_disk = NULL;
	memset(l->real, 0, (size_t)below->szOsFile);
	rc = below->xOpen(below, path, l->real, flags, ret);
	l->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
	if (rc == SQLITE_OK && path &&
	    (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)))
		l->on_disk = disk_file(path);
	return rc;
}

static int layer_delete(sqlite3_vfs *vfs, const char *path, int sync_folder)
{
	struct disk_file *f = disk_file(path);

	(void)vfs;
	if (is_cut())
		return SQLITE_IOERR_DELETE;
	settle(f, true);
	f->removed = true;
	if (sync_folder) {
		f->there = f->removed = false;
		f->len = 0;
	}
	return below->xDelete(below, path, 0);
}

static void layer_begin(void)
{
	static sqlite3_vfs layer;

	below = sqlite3_vfs_find(NULL);
	layer = *below;
	layer.zName = "cut";
	layer.szOsFile = (int)sizeof(struct layer_file) + below->szOsFile;
	layer.pNext = NULL;
	layer.xOpen = layer_open;
	layer.xDelete = layer_delete;
	methods = (sqlite3_io_methods){
		.iVersion = 1, /* no shared memory: as with the store's exclusive lock */
		.xClose = layer_close,
		.xRead = layer_read,
		.xWrite = layer_write,
		.xTruncate = layer_truncate,
		.xSync = layer_sync,
		.xFileSize = layer_size,
		.xLock = layer_lock,
		.xUnlock = layer_unlock,
		.xCheckReservedLock = layer_reserved,
		.xFileControl = layer_control,
		.xSectorSize = layer_sector,
		.xDeviceCharacteristics = layer_promises,
	};
	assert_int_equal(sqlite3_vfs_register(&layer, 1), SQLITE_OK);
}

/* ---- the rounds ---- */

static char dir[] = "/tmp/test-power-cut.XXXXXX";

static const char *folder(const char *name)
{
	static char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	(void)!io_mkdirs(path, 0700);
	return path;
}

/* what the disk holds becomes the files of an instance; the layer begins anew with them */
static void power_cut(const char *name)
{
	char path[300];

	(void)!io_remove_tree(AT_FDCWD, folder(name));
	(void)folder(name);
	for (unsigned i = 0; i < disk.n_files; i++) {
		struct disk_file *f = &disk.files[i];

		settle(f, false);
		if (f->removed && draw(2) == 0)
			f->there = false;
		if (f->there || (f->len > 0 && !f->removed)) {
			(void)snprintf(path, sizeof(path), "%s%s", folder(name),
				       strrchr(f->path, '/'));
			assert_int_equal(io_write_file(AT_FDCWD, path,
						       f->bytes ? f->bytes : (uint8_t *)"", f->len,
						       0600),
					 0);
		}
		free(f->bytes);
	}
	memset(&disk, 0, sizeof(disk));
}

static struct store *must_open(const char *name)
{
	struct store *s = NULL;
	char error[256] = "";

	if (store_open(folder(name), true, &s, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return s;
}

static unsigned value(const struct qube *q, enum property_id id)
{
	return q && q->values[id] ? (unsigned)strtoul(q->values[id], NULL, 10) : 0;
}

static void no_finding(void *data, const char *subject, const char *text, const char *advice,
		       enum store_mend how)
{
	(void)data, (void)advice, (void)how;
	fail_msg("%s: %s", subject, text);
}

/* one of several parts, all of which say @n */
static int change_once(struct store *s, unsigned n)
{
	struct changes c = {0};
	char text[16], filler[700];

	memset(filler, 'x', sizeof(filler) - 1);
	filler[sizeof(filler) - 1] = '\0';
	(void)snprintf(text, sizeof(text), "%u", n);
	if (!model_get(store_model(s), 1)) {
		changes_add_qube(&c, 1, KLASS_APP, "work", "00000000-0000-4000-8000-000000000001");
		changes_set_property(&c, 1, PROP_label, "1");
		changes_set_property(&c, 1, PROP_template, "0");
	}
	changes_set_property(&c, 1, PROP_memory, text);
	/* what makes the log long enough to be moved into the file now and then */
	changes_set_feature(&c, 1, "filler", filler + draw(600));
	changes_set_property(&c, 1, PROP_vcpus, text);
	return store_apply(s, &c);
}

/* changes until the cut, @n more than before if none comes; the last that was answered */
static unsigned change(struct store *s, unsigned from, unsigned n)
{
	unsigned i = from;

	while (i < from + n && change_once(s, i + 1) == 0)
		i++;
	return i;
}

static void what_was_answered_survives_a_power_cut(void **state)
{
	const char *given = getenv("BULKHEAD_TEST_SEED");
	unsigned rounds = getenv("BULKHEAD_TEST_FULL") ? 10000 : 200, answered = 0;
	char name[2][8] = {"a", "b"};

	(void)state;
	seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	print_message("BULKHEAD_TEST_SEED=%u, %u rounds\n", seed, rounds);
	for (unsigned i = 0; i < rounds; i++) {
		const struct qube *q;
		struct store *s = NULL;
		char error[256] = "";
		unsigned last;

		/* in some rounds within the first opening, in some long after a thousand pages */
		disk.cut_at = 1 + draw(i % 4 == 0 ? 40 : 4000);
		/* what is there already is on the disk */
		for (unsigned k = 0; i > 0 && k < 2; k++) {
			char path[128];
			char *bytes = NULL;
			size_t len;

			(void)snprintf(path, sizeof(path), "%s/store.db%s", folder(name[i % 2]),
				       k ? "-wal" : "");
			if (io_read_file(AT_FDCWD, path, 64u << 20, &bytes, &len) < 0)
				continue;
			*disk_file(path) = (struct disk_file){
				.there = true, .bytes = (uint8_t *)bytes, .len = len, .room = len};
			(void)snprintf(disk.files[disk.n_files - 1].path,
				       sizeof(disk.files[0].path), "%s", path);
		}
		last = answered;
		if (store_open(folder(name[i % 2]), true, &s, error, sizeof(error)) == 0)
			last = change(s, answered, 300);
		else
			assert_true(disk.cut);
		disk.cut = true; /* what closing would write comes too late as well */
		disk.cut_at = 1;
		store_free(s);
		power_cut(name[(i + 1) % 2]);
		/* looked at without a cut; closing leaves all of it on the disk for the next round */
		s = must_open(name[(i + 1) % 2]);
		q = model_get(store_model(s), 1);
		if (value(q, PROP_memory) != value(q, PROP_vcpus) || value(q, PROP_memory) < last ||
		    value(q, PROP_memory) > last + 1)
			fail_msg("round %u: answered %u, there %u and %u", i, last,
				 value(q, PROP_memory), value(q, PROP_vcpus));
		assert_int_equal(store_check(s, false, no_finding, NULL), 0);
		answered = value(q, PROP_memory);
		store_free(s);
		disk_forget();
	}
	print_message("%u changes were answered\n", answered);
	assert_true(answered > rounds);
}

/* @q says @n, and all of it does */
static void assert_says(const struct qube *q, unsigned n)
{
	assert_int_equal(value(q, PROP_memory), n);
	assert_int_equal(value(q, PROP_vcpus), n);
}

static void a_disk_that_fails_for_a_while_refuses_changes_whole_and_then_takes_them(void **state)
{
	const char *given = getenv("BULKHEAD_TEST_SEED");
	unsigned rounds = getenv("BULKHEAD_TEST_FULL") ? 5000 : 100, n_refused = 0;

	(void)state;
	seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	print_message("BULKHEAD_TEST_SEED=%u, %u rounds\n", seed, rounds);
	for (unsigned i = 0; i < rounds; i++) {
		unsigned answered = 1, n = 1;
		struct store *s;

		(void)!io_remove_tree(AT_FDCWD, folder("c"));
		s = must_open("c");
		assert_int_equal(change_once(s, 1), 0);
		disk.fail_from = disk.n_ops + 1 + draw(i % 3 == 0 ? 3000 : 40);
		disk.fail_to = disk.fail_from + 1 + draw(60);
		while (disk.n_ops < disk.fail_to) {
			if (change_once(s, ++n) == 0)
				answered = n;
			else
				n_refused++;
			assert_says(model_get(store_model(s), 1), answered);
		}
		/* what is asked for then is done, by the same qubesd */
		assert_int_equal(change_once(s, ++n), 0);
		assert_says(model_get(store_model(s), 1), n);
		if (i % 2 == 0) {
			store_free(s);
			s = must_open("c");
		} else {
			disk.cut = true;
			store_free(s);
			power_cut("d");
			s = must_open("d");
		}
		assert_says(model_get(store_model(s), 1), n);
		assert_int_equal(store_check(s, false, no_finding, NULL), 0);
		store_free(s);
		disk_forget();
	}
	print_message("%u changes were refused\n", n_refused);
	assert_true(n_refused > rounds);
}

static int group_begin(void **state)
{
	(void)state;
	layer_begin();
	return mkdtemp(dir) ? 0 : -1;
}

static int group_end(void **state)
{
	(void)state;
	return io_remove_tree(AT_FDCWD, dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_answered_survives_a_power_cut),
		cmocka_unit_test(
			a_disk_that_fails_for_a_while_refuses_changes_whole_and_then_takes_them),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
