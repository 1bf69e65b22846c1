/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storage.h on qcow2 files: which there are and that they are sound, qemu-img judges. What every driver does is in
 * test-conformance.c. */
#include "test-guest.h"

#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/str.h"

static char pool[64];
static char error[512];

#define ERR error, sizeof(error)

/* what must be done; the sentence is shown if not */
#define DO(call)                                                                                   \
	do {                                                                                       \
		int do_r = (call);                                                                 \
		if (do_r != 0)                                                                     \
			fail_msg("%s: %d: %s", #call, do_r, error);                                \
	} while (0)

/* every image below the pool is sound in QEMU's eyes, and nothing unfinished lies about */
static void assert_pool_is_sound(void)
{
	if (shell("find %s -name '*.qcow2' -o -name '*.work' | while read f; do "
		  "qemu-img check -q -U -f qcow2 \"$f\" || { qemu-img check -U -f qcow2 \"$f\"; "
		  "exit 1; }; done",
		  pool) != 0)
		fail_msg("qemu-img check");
	assert_int_equal(shell("test -z \"$(find %s -name '*.tmp' -o -name '*.new')\"", pool), 0);
}

static unsigned n_files(const struct storage_volume *v)
{
	char pattern[256];
	glob_t g;
	unsigned n;

	(void)snprintf(pattern, sizeof(pattern), "%s/%s/*", v->pool_dir, v->vid);
	n = glob(pattern, 0, NULL, &g) == 0 ? (unsigned)g.gl_pathc : 0;
	globfree(&g);
	return n;
}

static struct storage_volume saved(const char *vid)
{
	return (struct storage_volume){.driver = "qcow2",
				       .pool_dir = pool,
				       .vid = vid,
				       .size = GIB,
				       .rw = true,
				       .save_on_stop = true,
				       .revisions_to_keep = 1};
}

static struct storage_volume snap(const char *vid, const char *source)
{
	return (struct storage_volume){.driver = "qcow2",
				       .pool_dir = pool,
				       .vid = vid,
				       .source_vid = source,
				       .rw = true,
				       .snap_on_start = true};
}

/* start, write, power off */
static void cycle(const struct storage_volume *v, unsigned at_mib, unsigned pattern)
{
	AUTO(storage_chain_done) struct storage_chain c = {0};

	DO(storage_start(v, &c, ERR));
	guest_writes(&c, at_mib, 1, pattern);
	storage_chain_done(&c);
	DO(storage_stop(v, true, ERR));
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(pool, sizeof(pool), "/tmp/test-storage-XXXXXX");
	return mkdtemp(pool) ? 0 : -1;
}

static int teardown(void **state)
{
	char small[128];

	(void)state;
	(void)snprintf(small, sizeof(small), "%s/small", pool);
	(void)umount2(small, MNT_DETACH); /* of a test that failed */
	return io_remove_tree(AT_FDCWD, pool);
}

static void a_new_volume_is_empty_and_sound(void **state)
{
	const struct storage_volume v = saved("vm/a/private");
	AUTO(storage_chain_done) struct storage_chain c = {0};
	struct storage_revision revisions[STORAGE_MAX_REVISIONS];
	uint64_t used;
	unsigned n;

	(void)state;
	DO(storage_create(&v, ERR));
	assert_pool_is_sound();
	assert_int_equal(storage_create(&v, ERR), STORAGE_E_EXISTS);
	DO(storage_revisions(&v, revisions, &n));
	assert_int_equal(n, 0);
	DO(storage_usage(&v, &used));
	assert_true(used < MIB);
	DO(storage_start(&v, &c, ERR));
	assert_int_equal(c.n, 2);
	assert_true(c.size == GIB);
	assert_false(c.unfinished);
	assert_true(guest_reads(&c, 0, 8, 0));
	assert_pool_is_sound();
}

static void what_was_written_is_there_at_the_next_start_and_the_state_before_can_be_had_back(
	void **state)
{
	const struct storage_volume v = saved("vm/a/private");
	struct storage_revision revisions[STORAGE_MAX_REVISIONS];
	struct storage_chain c = {0};
	unsigned n;

	(void)state;
	DO(storage_create(&v, ERR));
	cycle(&v, 5, 0x11);
	DO(storage_revisions(&v, revisions, &n));
	assert_int_equal(n, 1); /* the empty one */
	cycle(&v, 5, 0x22);
	DO(storage_revisions(&v, revisions, &n));
	assert_int_equal(n, 1);
	assert_int_equal(n_files(&v), 2);
	assert_pool_is_sound();

	DO(storage_start(&v, &c, ERR));
	assert_true(guest_reads(&c, 5, 1, 0x22));
	assert_int_equal(storage_revert(&v, revisions[0].id, ERR), STORAGE_E_IN_USE);
	storage_chain_done(&c);
	DO(storage_stop(&v, false, ERR));
	assert_int_equal(n_files(&v), 2); /* nothing was written: nothing is unfinished */

	DO(storage_revisions(&v, revisions, &n));
	DO(storage_revert(&v, revisions[0].id, ERR));
	DO(storage_start(&v, &c, ERR));
	assert_true(guest_reads(&c, 5, 1, 0x11));
	storage_chain_done(&c);
	DO(storage_stop(&v, true, ERR));
	assert_pool_is_sound();
	assert_int_equal(storage_revert(&v, "99-x", ERR), STORAGE_E_NO_REVISION);
}

static void revisions_beyond_those_to_keep_are_merged_away(void **state)
{
	static const struct {
		int keep;
		unsigned n_files, n_listed;
	} rows[] = {{-1, 1, 0}, {0, 1, 0}, {1, 2, 1}, {3, 4, 3}, {12, 10, 9}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct storage_volume v = saved("vm/a/private");
		struct storage_revision revisions[STORAGE_MAX_REVISIONS];
		struct storage_chain c = {0};
		unsigned n;

		v.revisions_to_keep = rows[i].keep;
		DO(storage_create(&v, ERR));
		for (unsigned round = 1; round < 10; round++) {
			cycle(&v, 0, round);
			cycle(&v, round, round);
			if (rows[i].keep != 12)
				cycle(&v, 600 + round, round);
			else
				round++;
		}
		DO(storage_revisions(&v, revisions, &n));
		assert_pool_is_sound();
		if (rows[i].keep != 12) {
			assert_int_equal(n_files(&v), rows[i].n_files);
			assert_int_equal(n, rows[i].n_listed);
		}
		DO(storage_start(&v, &c, ERR));
		assert_true(c.n <= STORAGE_MAX_CHAIN);
		assert_true(guest_reads(&c, 0, 1, 9));
		for (unsigned at = 1; at < 10; at += rows[i].keep != 12 ? 1 : 2)
			assert_true(guest_reads(&c, at, 1, at));
		storage_chain_done(&c);
		DO(storage_stop(&v, true, ERR));
		DO(storage_remove(&v, ERR));
	}
}

static void an_app_qubes_root_starts_from_the_templates_newest_revision_each_time(void **state)
{
	const struct storage_volume root = saved("templates/t/root");
	const struct storage_volume app = snap("vm/a/root", "templates/t/root");
	struct storage_chain running = {0}, again = {0};
	bool outdated;

	(void)state;
	DO(storage_create(&root, ERR));
	cycle(&root, 0, 1);
	DO(storage_create(&app, ERR));
	DO(storage_start(&app, &running, ERR));
	assert_true(running.size == GIB);
	assert_int_equal(storage_start(&app, &again, ERR), STORAGE_E_IN_USE);
	guest_writes(&running, 1, 1, 7);
	DO(storage_is_outdated(&app, &outdated));
	assert_false(outdated);

	/* the template changes, many times, while the qube runs */
	for (unsigned i = 2; i < 12; i++)
		cycle(&root, 0, i);
	assert_true(guest_reads(&running, 0, 1, 1));
	assert_true(guest_reads(&running, 1, 1, 7));
	DO(storage_is_outdated(&app, &outdated));
	assert_true(outdated);
	assert_int_equal(storage_remove(&root, ERR), STORAGE_E_IN_USE);
	assert_pool_is_sound();

	storage_chain_done(&running);
	DO(storage_stop(&app, true, ERR));
	DO(storage_is_outdated(&app, &outdated));
	assert_false(outdated);
	DO(storage_start(&app, &again, ERR));
	assert_true(guest_reads(&again, 0, 1, 11));
	assert_true(guest_reads(&again, 1, 1, 0));
	storage_chain_done(&again);
	DO(storage_stop(&app, false, ERR));

	/* nobody reads the old files any more: the next stop merges them */
	cycle(&root, 0, 12);
	assert_int_equal(n_files(&root), 2);
	assert_pool_is_sound();
}

static void a_template_with_qubes_started_between_its_changes_keeps_short_chains(void **state)
{
	const struct storage_volume root = saved("templates/t/root");
	struct storage_chain running[10] = {0};

	(void)state;
	DO(storage_create(&root, ERR));
	for (unsigned i = 0; i < ARRAY_LEN(running); i++) {
		char vid[32];
		struct storage_volume app = snap(vid, "templates/t/root");

		(void)snprintf(vid, sizeof(vid), "vm/%u/root", i);
		cycle(&root, i, 100 + i);
		DO(storage_start(&app, &running[i], ERR));
	}
	for (unsigned i = 0; i < ARRAY_LEN(running); i++) {
		for (unsigned at = 0; at < ARRAY_LEN(running); at++)
			assert_true(guest_reads(&running[i], at, 1, at <= i ? 100 + at : 0));
		assert_true(running[i].n <= STORAGE_MAX_CHAIN);
	}
	for (unsigned i = 0; i < ARRAY_LEN(running); i++) {
		char vid[32];
		struct storage_volume app = snap(vid, "templates/t/root");

		(void)snprintf(vid, sizeof(vid), "vm/%u/root", i);
		storage_chain_done(&running[i]);
		DO(storage_stop(&app, true, ERR));
	}
	cycle(&root, 0, 100);
	assert_int_equal(n_files(&root), 2);
	assert_pool_is_sound();
}

static void chains_that_no_stop_got_to_shorten_are_shortened_at_a_start(void **state)
{
	const struct storage_volume v = saved("vm/a/private"),
				    app = snap("vm/b/private", "vm/a/private");
	struct storage_chain c = {0};

	(void)state;
	DO(storage_create(&v, ERR));
	for (unsigned i = 0; i < 20; i++) {
		DO(storage_start(&v, &c, ERR));
		assert_true(c.n <= STORAGE_MAX_CHAIN);
		guest_writes(&c, i, 1, 1 + i);
		storage_chain_done(&c);
		/* a stop killed right behind its commit */
		assert_int_equal(
			shell("cd %s/vm/a/private && w=$(ls *.work) && mv $w ${w%%.work}.qcow2",
			      pool),
			0);
		if (i % 5 == 3) {
			DO(storage_start(&app, &c, ERR));
			assert_true(guest_reads(&c, 0, 1, 1) && guest_reads(&c, i, 1, 1 + i));
			storage_chain_done(&c);
			DO(storage_stop(&app, true, ERR));
		}
	}
	DO(storage_start(&v, &c, ERR));
	for (unsigned i = 0; i < 20; i++)
		assert_true(guest_reads(&c, i, 1, 1 + i));
	storage_chain_done(&c);
	DO(storage_stop(&v, true, ERR));
	assert_int_equal(n_files(&v), 2);
	assert_pool_is_sound();
}

static void a_volatile_volume_is_empty_at_each_start(void **state)
{
	struct storage_volume v = snap("vm/a/volatile", NULL);
	struct storage_chain c = {0};

	(void)state;
	v.snap_on_start = false;
	v.size = GIB;
	DO(storage_create(&v, ERR));
	for (unsigned i = 0; i < 2; i++) {
		DO(storage_start(&v, &c, ERR));
		assert_int_equal(c.n, 1);
		assert_true(guest_reads(&c, 0, 1, 0));
		guest_writes(&c, 0, 1, 5);
		storage_chain_done(&c);
		if (i == 0)
			DO(storage_stop(&v, true, ERR));
	}
	DO(storage_start(&v, &c, ERR)); /* without a stop: the machine crashed */
	assert_true(guest_reads(&c, 0, 1, 0));
	storage_chain_done(&c);
	DO(storage_stop(&v, true, ERR));
	assert_int_equal(n_files(&v), 0);
}

static void told(void *data, uint64_t done)
{
	uint64_t *last = data;

	assert_true(done >= *last);
	*last = done;
}

static void an_image_is_imported_from_a_file_and_from_a_pipe(void **state)
{
	struct storage_volume v = saved("vm/a/root");
	struct storage_chain c = {0};
	uint64_t seen = 0, used;
	char path[128];
	struct stat st;
	FILE *pipe;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/raw", pool);
	assert_int_equal(shell("truncate -s 700M %s && "
			       "qemu-io -f raw -c 'write -P 1 3M 1M' -c 'write -P 2 650M 33M' %s "
			       ">/dev/null && truncate -s 734003712 %s",
			       path, path, path),
			 0);
	DO(storage_create(&v, ERR));
	{
		AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

		DO(storage_import(&v, fd, 0, false, told, &seen, ERR));
	}
	assert_true(seen == 734003712);
	DO(storage_usage(&v, &used));
	assert_true(used < 36 * MIB);
	DO(storage_start(&v, &c, ERR));
	assert_true(guest_reads(&c, 3, 1, 1));
	assert_true(guest_reads(&c, 650, 33, 2));
	assert_true(guest_reads(&c, 683, 300, 0));
	storage_chain_done(&c);
	DO(storage_stop(&v, false, ERR));

	assert_int_equal(shell("qemu-io -f raw -c 'write -P 9 3M 1M' %s >/dev/null", path), 0);
	(void)snprintf(path, sizeof(path), "cat %s/raw", pool);
	pipe = popen(path, "r");
	assert_non_null(pipe);
	assert_int_equal(storage_import(&v, fileno(pipe), 0, false, NULL, NULL, ERR), -EINVAL);
	seen = 0;
	DO(storage_import(&v, fileno(pipe), 734003712, false, told, &seen, ERR));
	(void)pclose(pipe);
	assert_true(seen == 734003712);
	DO(storage_start(&v, &c, ERR));
	assert_true(guest_reads(&c, 3, 1, 9));
	assert_true(guest_reads(&c, 650, 33, 2));
	storage_chain_done(&c);
	DO(storage_stop(&v, true, ERR));
	assert_pool_is_sound();

	/* too short, too large: nothing changes */
	pipe = popen("head -c 1M /dev/zero | tr '\\0' x", "r");
	assert_int_equal(storage_import(&v, fileno(pipe), 2 * MIB, false, NULL, NULL, ERR),
			 -ENODATA);
	(void)pclose(pipe);
	pipe = popen("head -c 2097153 /dev/zero | tr '\\0' x", "r");
	assert_int_equal(storage_import(&v, fileno(pipe), 2 * MIB, true, NULL, NULL, ERR),
			 STORAGE_E_SIZE);
	(void)pclose(pipe);
	v.size = MIB;
	(void)snprintf(path, sizeof(path), "%s/raw", pool);
	{
		AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

		assert_int_equal(storage_import(&v, fd, 0, false, NULL, NULL, ERR), STORAGE_E_SIZE);
	}
	assert_int_equal(stat(path, &st), 0);
	DO(storage_start(&v, &c, ERR));
	assert_true(guest_reads(&c, 3, 1, 9));
	storage_chain_done(&c);
	assert_pool_is_sound();
}

static void sizes_grow_and_shrink_only_while_empty(void **state)
{
	struct storage_volume v = saved("vm/a/private");
	struct storage_chain c = {0};

	(void)state;
	DO(storage_create(&v, ERR));
	assert_int_equal(storage_resize(&v, 1000, ERR), STORAGE_E_SIZE);
	DO(storage_resize(&v, 64 * MIB, ERR));
	v.size = 64 * MIB;
	cycle(&v, 63, 1);
	assert_int_equal(storage_resize(&v, 32 * MIB, ERR), STORAGE_E_SIZE);
	DO(storage_resize(&v, 3 * GIB, ERR));
	v.size = 3 * GIB;
	DO(storage_start(&v, &c, ERR));
	assert_true(c.size == 3 * GIB);
	guest_writes(&c, 3071, 1, 2);
	storage_chain_done(&c);
	DO(storage_stop(&v, false, ERR));
	DO(storage_resize(&v, 20 * GIB, ERR)); /* an unfinished one grows in place */
	v.size = 20 * GIB;
	DO(storage_start(&v, &c, ERR));
	assert_true(c.unfinished && c.size == 20 * GIB);
	assert_true(guest_reads(&c, 63, 1, 1) && guest_reads(&c, 3071, 1, 2));
	assert_true(guest_reads(&c, 20479, 1, 0));
	storage_chain_done(&c);
	DO(storage_stop(&v, true, ERR));
	cycle(&v, 20479, 3);
	DO(storage_start(&v, &c, ERR));
	assert_true(guest_reads(&c, 63, 1, 1) && guest_reads(&c, 20479, 1, 3));
	storage_chain_done(&c);
	assert_pool_is_sound();
}

static void a_damaged_image_is_an_error_that_names_file_and_cause(void **state)
{
	static const struct {
		const char *damage; /* done to the file "$f" */
		const char *says;
	} rows[] = {
		{"truncate -s 100000 $f", "cut short"},
		{"truncate -s 0 $f", "is not a sound qcow2 image"},
		{"printf x | dd of=$f conv=notrunc status=none", "is not a sound qcow2 image"},
		{"printf '\\2' | dd of=$f bs=1 seek=79 conv=notrunc status=none", "as corrupt"},
		{"truncate -s -1M $f", "cut short"},
		{"rm $f", "is missing"},
		{"printf /etc/passwd | dd of=$f bs=1 seek=136 conv=notrunc status=none",
		 "is not a sound qcow2 image"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct storage_volume v = saved("vm/a/private");
		struct storage_chain c = {0};
		int r;

		DO(storage_create(&v, ERR));
		cycle(&v, 0, 1);
		cycle(&v, 2, 2);
		assert_int_equal(shell("cd %s/vm/a/private && chmod u+w * && f=$(ls | sort -n | "
				       "%s -n 1) && %s && chmod u-w *",
				       pool, i == 6 ? "tail" : "head", rows[i].damage),
				 0);
		r = storage_start(&v, &c, ERR);
		if (r != STORAGE_E_DAMAGED || !strstr(error, rows[i].says) ||
		    !strstr(error, "vm/a/private/"))
			fail_msg("%s: %d: %s", rows[i].damage, r, error);
		DO(storage_remove(&v, ERR));
	}
}

static void a_work_file_that_qemu_gave_another_size_or_backing_is_refused(void **state)
{
	static const char *const lies[] = {
		"qemu-img resize -q -f qcow2 $f +1G",
		"qemu-img resize -q -f qcow2 --shrink $f 64M",
		("at=$(grep -abo 3.qcow2 $f | head -n 1 | cut -d : -f 1) && "
		 "printf 2 | dd of=$f bs=1 seek=$at conv=notrunc status=none"),
		"qemu-img rebase -q -u -f qcow2 -F raw -b 3.qcow2 $f",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct storage_volume v = saved("vm/a/private");
		struct storage_chain c = {0};

		v.revisions_to_keep = 3;
		DO(storage_create(&v, ERR));
		cycle(&v, 0, 1);
		cycle(&v, 2, 2);
		DO(storage_start(&v, &c, ERR));
		guest_writes(&c, 4, 1, 3);
		storage_chain_done(&c);
		assert_int_equal(shell("cd %s/vm/a/private && f=4.work && %s", pool, lies[i]), 0);
		if (storage_stop(&v, true, ERR) != STORAGE_E_DAMAGED ||
		    !strstr(error, "vm/a/private/4.work"))
			fail_msg("stop after %s: %s", lies[i], error);
		if (storage_start(&v, &c, ERR) != STORAGE_E_DAMAGED)
			fail_msg("start after %s", lies[i]);
		/* the committed state is still to be had */
		DO(storage_revert(&v, NULL, ERR));
		DO(storage_start(&v, &c, ERR));
		assert_int_equal(c.size, GIB);
		assert_true(guest_reads(&c, 2, 1, 2));
		storage_chain_done(&c);
		DO(storage_stop(&v, true, ERR));
		DO(storage_remove(&v, ERR));
	}
}

static void a_revision_never_changes(void **state)
{
	struct storage_volume v = saved("vm/a/private");
	struct storage_chain c = {0};

	(void)state;
	v.revisions_to_keep = 2;
	DO(storage_create(&v, ERR));
	cycle(&v, 0, 1);
	assert_int_equal(shell("cd %s/vm/a/private && md5sum *.qcow2 >%s/sums", pool, pool), 0);
	cycle(&v, 1, 2);
	DO(storage_start(&v, &c, ERR));
	guest_writes(&c, 0, 1, 3);
	storage_chain_done(&c);
	DO(storage_stop(&v, false, ERR));
	assert_int_equal(shell("cd %s/vm/a/private && md5sum --status -c %s/sums", pool, pool), 0);
}

static void removing_is_refused_while_in_use_and_leaves_nothing(void **state)
{
	const struct storage_volume v = saved("vm/a/private");
	struct storage_chain c = {0};
	char path[128];

	(void)state;
	DO(storage_create(&v, ERR));
	DO(storage_start(&v, &c, ERR));
	assert_int_equal(storage_remove(&v, ERR), STORAGE_E_IN_USE);
	assert_int_equal(storage_stop(&v, true, ERR), STORAGE_E_IN_USE);
	storage_chain_done(&c);
	DO(storage_remove(&v, ERR));
	assert_int_equal(storage_remove(&v, ERR), STORAGE_E_ABSENT);
	assert_int_equal(storage_start(&v, &c, ERR), STORAGE_E_ABSENT);
	assert_non_null(strstr(error, "vm/a/private"));
	(void)snprintf(path, sizeof(path), "%s/vm/a", pool);
	assert_int_equal(access(path, F_OK), -1);
}

static void a_full_disk_is_said_and_nothing_half_made_stays(void **state)
{
	struct storage_volume v = saved("vm/a/private"), b = saved("vm/b/private");
	struct storage_chain c = {0};
	char small[128], path[128];

	(void)state;
	(void)snprintf(small, sizeof(small), "%s/small", pool);
	assert_int_equal(mkdir(small, 0700), 0);
	if (geteuid() != 0 || mount("none", small, "tmpfs", 0, "size=40m") < 0)
		skip();
	v.pool_dir = b.pool_dir = small;
	DO(storage_create(&v, ERR));
	cycle(&v, 0, 1);
	{
		AUTO_CLOSE int fd = NO_FD;

		assert_int_equal(shell("head -c 60M /dev/urandom >%s/raw", pool), 0);
		(void)snprintf(path, sizeof(path), "%s/raw", pool);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_int_equal(storage_import(&v, fd, 0, false, NULL, NULL, ERR), STORAGE_E_FULL);
		assert_non_null(strstr(error, "disk is full"));
	}
	assert_pool_is_sound();
	/* 5 of 100 are kept for what runs, and a start wants 16 MiB */
	assert_int_equal(shell("head -c 28M /dev/zero >%s/small/filler", pool), 0);
	assert_int_equal(storage_start(&v, &c, ERR), STORAGE_E_FULL);
	assert_non_null(strstr(error, "less than 16 MiB"));
	assert_int_equal(storage_clone(&b, &v, ERR), 0);
	DO(storage_remove(&b, ERR));
	assert_int_equal(shell("head -c 9M /dev/zero >>%s/small/filler", pool), 0);
	assert_int_equal(storage_clone(&b, &v, ERR), STORAGE_E_FULL);
	assert_non_null(strstr(error, "less than 2 MiB"));
	assert_int_equal(storage_create(&b, ERR), STORAGE_E_FULL);
	assert_int_equal(shell("head -c 40M /dev/zero >>%s/small/filler 2>/dev/null; true", pool),
			 0);
	assert_int_equal(storage_clone(&b, &v, ERR), STORAGE_E_FULL);
	assert_int_equal(storage_create(&b, ERR), STORAGE_E_FULL);
	assert_pool_is_sound();
	assert_int_equal(shell("rm %s/small/filler", pool), 0);
	DO(storage_start(&v, &c, ERR));
	assert_true(guest_reads(&c, 0, 1, 1));
	storage_chain_done(&c);
	assert_int_equal(umount(small), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_new_volume_is_empty_and_sound),
		TEST(what_was_written_is_there_at_the_next_start_and_the_state_before_can_be_had_back),
		TEST(revisions_beyond_those_to_keep_are_merged_away),
		TEST(an_app_qubes_root_starts_from_the_templates_newest_revision_each_time),
		TEST(a_template_with_qubes_started_between_its_changes_keeps_short_chains),
		TEST(chains_that_no_stop_got_to_shorten_are_shortened_at_a_start),
		TEST(a_volatile_volume_is_empty_at_each_start),
		TEST(an_image_is_imported_from_a_file_and_from_a_pipe),
		TEST(sizes_grow_and_shrink_only_while_empty),
		TEST(a_damaged_image_is_an_error_that_names_file_and_cause),
		TEST(a_work_file_that_qemu_gave_another_size_or_backing_is_refused),
		TEST(a_revision_never_changes),
		TEST(removing_is_refused_while_in_use_and_leaves_nothing),
		TEST(a_full_disk_is_said_and_nothing_half_made_stays),
	};

	if (system("command -v qemu-io >/dev/null && command -v qemu-img >/dev/null") != 0) {
		(void)printf("skipped: qemu-io and qemu-img are missing (package qemu-utils)\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
