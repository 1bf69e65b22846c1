/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What storage.h promises, of every driver: the same operations, each against a pool of its own. Nothing in here
 * knows what a pool looks like inside.
 *
 * qcow2 is tried in /tmp, reflink on a Btrfs and an XFS that this test makes in files (root only: in a mount
 * namespace of its own, so they go with it). With arguments it tries one place: DRIVER POOL.
 */
#include "test-guest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/str.h"

#define SIZE (64 * MIB)

static const char *driver, *pool;
static char error[512];

#define ERR error, sizeof(error)

/* what must be done; the sentence is shown if not */
#define DO(call)                                                                                   \
	do {                                                                                       \
		int do_r = (call);                                                                 \
		if (do_r != 0)                                                                     \
			fail_msg("%s: %d: %s", #call, do_r, error);                                \
	} while (0)

static struct storage_volume saved(const char *vid)
{
	return (struct storage_volume){.driver = driver,
				       .pool_dir = pool,
				       .vid = vid,
				       .size = SIZE,
				       .rw = true,
				       .save_on_stop = true,
				       .revisions_to_keep = 1};
}

static struct storage_volume snap(const char *vid, const char *source)
{
	return (struct storage_volume){.driver = driver,
				       .pool_dir = pool,
				       .vid = vid,
				       .source_vid = source,
				       .rw = true,
				       .snap_on_start = true};
}

static struct storage_volume scratch(const char *vid)
{
	return (struct storage_volume){
		.driver = driver, .pool_dir = pool, .vid = vid, .size = SIZE, .rw = true};
}

/* start, write a MiB, end */
static void cycle(const struct storage_volume *v, unsigned at_mib, unsigned pattern, bool clean)
{
	AUTO(storage_chain_done) struct storage_chain c = {0};

	DO(storage_start(v, &c, ERR));
	guest_writes(&c, at_mib, 1, pattern);
	storage_chain_done(&c);
	DO(storage_stop(v, clean, ERR));
}

/* what stands in MiB @at_mib at the next start, which leaves nothing behind */
static void expect(const struct storage_volume *v, unsigned at_mib, unsigned pattern)
{
	AUTO(storage_chain_done) struct storage_chain c = {0};

	DO(storage_start(v, &c, ERR));
	if (!guest_reads(&c, at_mib, 1, pattern))
		fail_msg("%s: MiB %u does not read as %u", v->vid, at_mib, pattern);
	storage_chain_done(&c);
	DO(storage_stop(v, false, ERR));
}

static unsigned n_revisions(const struct storage_volume *v, struct storage_revision *last)
{
	struct storage_revision list[STORAGE_MAX_REVISIONS];
	unsigned n;

	DO(storage_revisions(v, list, &n));
	if (n > 0 && last)
		*last = list[n - 1];
	for (unsigned i = 1; i < n; i++)
		assert_true(list[i - 1].time_s <= list[i].time_s);
	return n;
}

static void remove_all(const struct storage_volume *v)
{
	DO(storage_remove(v, ERR));
	assert_int_equal(storage_remove(v, ERR), STORAGE_E_ABSENT);
}

/* --- the table of operations --- */

static void created_it_is_empty_and_of_its_size(void **state)
{
	const struct storage_volume v = saved("vm/a/private");
	AUTO(storage_chain_done) struct storage_chain c = {0};

	(void)state;
	assert_int_equal(storage_start(&v, &c, ERR), STORAGE_E_ABSENT);
	/* not for want of a revision */
	assert_int_equal(storage_revert(&v, "1-x", ERR), STORAGE_E_ABSENT);
	DO(storage_create(&v, ERR));
	assert_int_equal(storage_create(&v, ERR), STORAGE_E_EXISTS);
	assert_int_equal(n_revisions(&v, NULL), 0);
	DO(storage_start(&v, &c, ERR));
	assert_true(c.size == SIZE && c.n >= 1 && !c.unfinished);
	assert_true(guest_reads(&c, 0, SIZE / MIB, 0));
	storage_chain_done(&c);
	DO(storage_stop(&v, true, ERR));
	remove_all(&v);
}

static void a_clean_stop_commits_and_the_state_before_can_be_had_back(void **state)
{
	const struct storage_volume v = saved("vm/a/private");
	AUTO(storage_chain_done) struct storage_chain c = {0};
	struct storage_revision r;

	(void)state;
	DO(storage_create(&v, ERR));
	cycle(&v, 5, 0x11, true);
	assert_int_equal(n_revisions(&v, NULL), 1); /* the empty one */
	cycle(&v, 5, 0x22, true);
	assert_int_equal(n_revisions(&v, &r), 1);
	expect(&v, 5, 0x22);
	DO(storage_start(&v, &c, ERR));
	assert_int_equal(storage_revert(&v, r.id, ERR), STORAGE_E_IN_USE);
	storage_chain_done(&c);
	DO(storage_stop(&v, false, ERR));
	DO(storage_revert(&v, r.id, ERR));
	expect(&v, 5, 0x11);
	/* what was current until then is a revision now */
	DO(storage_revert(&v, NULL, ERR));
	expect(&v, 5, 0x22);
	assert_int_equal(storage_revert(&v, "99-x", ERR), STORAGE_E_NO_REVISION);
	remove_all(&v);
}

static void after_a_crash_it_goes_on_from_what_was_flushed(void **state)
{
	const struct storage_volume v = saved("vm/a/private");
	AUTO(storage_chain_done) struct storage_chain c = {0};

	(void)state;
	DO(storage_create(&v, ERR));
	cycle(&v, 0, 1, true);
	assert_int_equal(n_revisions(&v, NULL), 1);
	cycle(&v, 0, 2, false);
	/* the last committed one is a state to go back to, now */
	assert_int_equal(n_revisions(&v, NULL), 2);
	DO(storage_start(&v, &c, ERR));
	assert_true(c.unfinished);
	assert_true(guest_reads(&c, 0, 1, 2));
	storage_chain_done(&c);
	DO(storage_stop(&v, false, ERR));
	DO(storage_revert(&v, NULL, ERR));
	DO(storage_start(&v, &c, ERR));
	assert_false(c.unfinished);
	assert_true(guest_reads(&c, 0, 1, 1));
	storage_chain_done(&c);
	/* nothing was written: nothing is unfinished */
	DO(storage_stop(&v, false, ERR));
	DO(storage_start(&v, &c, ERR));
	assert_false(c.unfinished);
	storage_chain_done(&c);
	/* cut off before any stop, and then ended well */
	DO(storage_start(&v, &c, ERR));
	guest_writes(&c, 1, 1, 3);
	storage_chain_done(&c);
	DO(storage_start(&v, &c, ERR));
	assert_true(c.unfinished && guest_reads(&c, 1, 1, 3));
	storage_chain_done(&c);
	DO(storage_stop(&v, true, ERR));
	expect(&v, 1, 3);
	remove_all(&v);
}

static void as_many_revisions_are_kept_as_were_asked_for(void **state)
{
	static const struct {
		int keep;
		unsigned listed;
	} rows[] = {{-1, 0}, {0, 0}, {1, 1}, {3, 3}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct storage_volume v = saved("vm/a/private");

		v.revisions_to_keep = rows[i].keep;
		DO(storage_create(&v, ERR));
		for (unsigned round = 1; round < 7; round++) {
			cycle(&v, 0, round, true);
			cycle(&v, round, round, true);
		}
		assert_int_equal(n_revisions(&v, NULL), rows[i].listed);
		expect(&v, 0, 6);
		for (unsigned round = 1; round < 7; round++)
			expect(&v, round, round);
		/* one after the other, back to the oldest */
		for (unsigned n = 0; n < rows[i].listed; n++) {
			struct storage_revision list[STORAGE_MAX_REVISIONS];
			unsigned n_list;

			DO(storage_revisions(&v, list, &n_list));
			assert_int_equal(n_list, rows[i].listed);
			DO(storage_revert(&v, list[0].id, ERR));
		}
		remove_all(&v);
	}
}

static void a_snapshot_is_of_the_newest_revision_of_its_source(void **state)
{
	const struct storage_volume root = saved("vm/t/root"), app = snap("vm/a/root", "vm/t/root");
	AUTO(storage_chain_done) struct storage_chain running = {0};
	AUTO(storage_chain_done) struct storage_chain again = {0};
	bool outdated;

	(void)state;
	DO(storage_create(&root, ERR));
	cycle(&root, 0, 1, true);
	DO(storage_create(&app, ERR));
	DO(storage_start(&app, &running, ERR));
	assert_true(running.size == SIZE);
	assert_int_equal(storage_start(&app, &again, ERR), STORAGE_E_IN_USE);
	guest_writes(&running, 1, 1, 7);
	/* QEMU's own tools come by the names in the files to the same */
	assert_int_equal(
		shell("qemu-io -r -U -f qcow2 -c 'read -P 1 0 1M' -c 'read -P 7 1M 1M' "
		      "%s/vm/a/root/live.qcow2 >%s/said && ! grep -q failed %s/said && rm %s/said",
		      pool, pool, pool, pool),
		0);
	DO(storage_is_outdated(&app, &outdated));
	assert_false(outdated);

	/* the template changes, many times, while the qube runs */
	for (unsigned i = 2; i < 6; i++)
		cycle(&root, 0, i, true);
	assert_true(guest_reads(&running, 0, 1, 1));
	assert_true(guest_reads(&running, 1, 1, 7));
	DO(storage_is_outdated(&app, &outdated));
	assert_true(outdated);
	DO(storage_open_source(&app, &again, ERR));
	assert_true(guest_reads(&again, 0, 1, 5));
	storage_chain_done(&again);

	storage_chain_done(&running);
	DO(storage_stop(&app, true, ERR));
	DO(storage_is_outdated(&app, &outdated));
	assert_false(outdated);
	DO(storage_start(&app, &again, ERR));
	assert_true(guest_reads(&again, 0, 1, 5));
	assert_true(guest_reads(&again, 1, 1, 0));
	storage_chain_done(&again);
	DO(storage_stop(&app, false, ERR));
	expect(&root, 1, 0);
	DO(storage_remove(&app, ERR));
	remove_all(&root);
}

static void a_volatile_volume_is_empty_at_each_start(void **state)
{
	struct storage_volume v = scratch("vm/a/volatile");
	AUTO(storage_chain_done) struct storage_chain c = {0};

	(void)state;
	DO(storage_create(&v, ERR));
	for (unsigned i = 0; i < 4; i++) {
		v.size = SIZE + i * MIB;
		DO(storage_start(&v, &c, ERR));
		assert_true(c.size == v.size);
		assert_true(guest_reads(&c, 0, 4, 0));
		guest_writes(&c, 0, 1, 5);
		storage_chain_done(&c);
		/* in every second round the machine crashes instead */
		if (i % 2 == 0)
			DO(storage_stop(&v, true, ERR));
	}
	DO(storage_stop(&v, true, ERR));
	DO(storage_remove(&v, ERR));
}

/* how often the file holds what a guest wrote: 4 KiB of @pattern at a place of a page */
static bool holds(const struct storage_chain *c, unsigned pattern)
{
	uint8_t page[4096];

	for (off_t at = 0; pread(c->fds[0], page, sizeof(page), at) == (ssize_t)sizeof(page);
	     at += (off_t)sizeof(page))
		if (page[0] == pattern && memcmp(page, page + 1, sizeof(page) - 1) == 0)
			return true;
	return false;
}

static void what_is_written_to_an_ephemeral_volume_is_in_no_file(void **state)
{
	struct storage_volume v = scratch("vm/a/volatile");
	AUTO(storage_chain_done) struct storage_chain c = {0};
	char secrets[2][64];

	(void)state;
	DO(storage_create(&v, ERR));
	for (unsigned i = 0; i < 4; i++) {
		v.ephemeral = i % 2 == 1;
		v.size = SIZE + i * MIB;
		DO(storage_start(&v, &c, ERR));
		assert_true(c.size == v.size);
		assert_true(c.encrypted == v.ephemeral);
		/* to its very end */
		guest_writes(&c, (unsigned)(v.size / MIB) - 1, 1, 5);
		assert_true(guest_reads(&c, (unsigned)(v.size / MIB) - 1, 1, 5));
		assert_true(holds(&c, 5) == !v.ephemeral);
		if (v.ephemeral) {
			/* nobody makes it another one */
			assert_int_equal(pread(c.key_fd, secrets[i / 2], 64, 0), 64);
			assert_true(pwrite(c.key_fd, "x", 1, 0) < 0);
			assert_true(ftruncate(c.key_fd, 0) < 0);
		}
		storage_chain_done(&c);
		/* in the first rounds the machine crashes instead */
		if (i >= 2)
			DO(storage_stop(&v, true, ERR));
	}
	assert_memory_not_equal(secrets[0], secrets[1], 64);
	DO(storage_remove(&v, ERR));
}

static void told(void *data, uint64_t done)
{
	uint64_t *last = data;

	assert_true(done >= *last);
	*last = done;
}

/* a file with @mib MiB of @pattern at @at_mib, of @size bytes; open for reading and writing */
static int image(unsigned at_mib, unsigned mib, unsigned pattern, uint64_t size)
{
	FILE *f = tmpfile();
	uint8_t block[4096];
	int fd;

	assert_non_null(f);
	memset(block, (int)pattern, sizeof(block));
	for (uint64_t at = at_mib * MIB; at < (at_mib + mib) * MIB; at += sizeof(block))
		assert_int_equal(pwrite(fileno(f), block, sizeof(block), (off_t)at), sizeof(block));
	assert_int_equal(ftruncate(fileno(f), (off_t)size), 0);
	fd = fcntl(fileno(f), F_DUPFD_CLOEXEC, 0);
	(void)fclose(f);
	assert_true(fd >= 0);
	return fd;
}

static void what_is_imported_is_what_is_exported(void **state)
{
	struct storage_volume v = saved("vm/a/private");
	AUTO_CLOSE int in = image(3, 2, 9, 40 * MIB + 1000), out = NO_FD;
	FILE *pipe;
	uint64_t seen = 0, used;
	uint8_t byte;
	struct stat st;

	(void)state;
	DO(storage_create(&v, ERR));
	cycle(&v, 0, 1, false); /* unfinished: replaced, too */
	DO(storage_import(&v, in, 0, true, told, &seen, ERR));
	assert_true(seen == 40 * MIB + 1000);
	expect(&v, 0, 0);
	expect(&v, 3, 9);
	expect(&v, 4, 9);
	expect(&v, 63, 0);
	DO(storage_usage(&v, &used));
	assert_true(used >= 2 * MIB && used < 20 * MIB);
	/* expect() wrote nothing: no run is unfinished */
	assert_int_equal(n_revisions(&v, NULL), 1);

	out = image(0, 1, 5, 2 * SIZE);
	seen = 0;
	DO(storage_export(&v, out, told, &seen, ERR));
	assert_true(seen == SIZE);
	assert_true(fstat(out, &st) == 0 && (uint64_t)st.st_size == SIZE);
	assert_true(pread(out, &byte, 1, 0) == 1 && byte == 0);
	assert_true(pread(out, &byte, 1, (off_t)(5 * MIB) - 1) == 1 && byte == 9);
	assert_true(pread(out, &byte, 1, (off_t)(5 * MIB)) == 1 && byte == 0);
	/* read to its end: the reader must not go while we write */
	pipe = popen("n=$(head -c 5242880 | tail -c 2097152 | tr -d '\\011' | wc -c); "
		     "cat >/dev/null; test $n = 0",
		     "w");
	assert_non_null(pipe);
	DO(storage_export(&v, fileno(pipe), NULL, NULL, ERR));
	assert_int_equal(pclose(pipe), 0);

	/* one that is started is not replaced; what does not fit, or is cut short, changes nothing */
	{
		AUTO(storage_chain_done) struct storage_chain c = {0};

		DO(storage_start(&v, &c, ERR));
		assert_int_equal(lseek(in, 0, SEEK_SET), 0);
		assert_int_equal(storage_import(&v, in, 0, false, NULL, NULL, ERR),
				 STORAGE_E_IN_USE);
	}
	DO(storage_stop(&v, false, ERR));
	pipe = popen("head -c 1M /dev/zero | tr '\\0' x", "r");
	assert_int_equal(storage_import(&v, fileno(pipe), 2 * MIB, false, NULL, NULL, ERR),
			 -ENODATA);
	(void)pclose(pipe);
	pipe = popen("head -c 2097153 /dev/zero | tr '\\0' x", "r");
	assert_int_equal(storage_import(&v, fileno(pipe), 2 * MIB, true, NULL, NULL, ERR),
			 STORAGE_E_SIZE);
	(void)pclose(pipe);
	assert_int_equal(storage_import(&v, out, 0, false, NULL, NULL, ERR), 0);
	v.size = MIB;
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	assert_int_equal(storage_import(&v, in, 0, false, NULL, NULL, ERR), STORAGE_E_SIZE);
	v.size = SIZE;
	expect(&v, 3, 9);

	/* cleared: what is imported is nothing, of its size */
	{
		AUTO_CLOSE int nothing = image(0, 0, 0, SIZE);

		DO(storage_import(&v, nothing, 0, false, NULL, NULL, ERR));
	}
	expect(&v, 3, 0);
	remove_all(&v);
}

static void a_clone_has_the_content_and_goes_its_own_way(void **state)
{
	const struct storage_volume a = saved("vm/a/private"), b = saved("vm/b/private");

	(void)state;
	DO(storage_create(&a, ERR));
	cycle(&a, 0, 1, true);
	cycle(&a, 1, 2, true);
	cycle(&a, 2, 3, false); /* unfinished: no part of it */
	DO(storage_clone(&b, &a, ERR));
	assert_int_equal(storage_clone(&b, &a, ERR), STORAGE_E_EXISTS);
	assert_int_equal(n_revisions(&b, NULL), 0);
	expect(&b, 1, 2);
	expect(&b, 2, 0);
	cycle(&b, 0, 9, true);
	expect(&b, 0, 9);
	expect(&a, 0, 1);
	expect(&a, 2, 3);
	remove_all(&a);
	expect(&b, 1, 2);
	remove_all(&b);
}

/* whatever a clone shares with its source, each has what was committed to it */
static void a_clone_and_its_source_go_on_for_long(void **state)
{
	struct storage_volume a = saved("vm/a/root"), b = saved("vm/b/root"),
			      c = saved("vm/c/root");
	AUTO(storage_chain_done) struct storage_chain running = {0};

	(void)state;
	DO(storage_create(&a, ERR));
	for (unsigned i = 1; i < 5; i++)
		cycle(&a, i, i, true);
	DO(storage_clone(&b, &a, ERR));
	DO(storage_start(&b, &running, ERR));
	for (unsigned i = 1; i < 9; i++) {
		cycle(&a, 0, 10 + i, true);
		if (i == 4)
			storage_chain_done(&running);
		if (i >= 4)
			cycle(&b, 0, 20 + i, true);
		expect(&a, 0, 10 + i);
	}
	expect(&b, 0, 28);
	DO(storage_revert(&b, NULL, ERR));
	expect(&b, 0, 27);
	DO(storage_clone(&c, &b, ERR));
	/* what is written in place is nobody else's */
	b.revisions_to_keep = c.revisions_to_keep = -1;
	cycle(&b, 0, 31, true);
	cycle(&c, 0, 32, true);
	cycle(&b, 1, 33, true);
	expect(&a, 0, 18);
	expect(&b, 0, 31);
	expect(&c, 0, 32);
	/* a source may go while its clone runs */
	DO(storage_start(&c, &running, ERR));
	remove_all(&a);
	remove_all(&b);
	assert_true(guest_reads(&running, 1, 1, 1));
	guest_writes(&running, 5, 1, 34);
	storage_chain_done(&running);
	DO(storage_stop(&c, true, ERR));
	c.revisions_to_keep = 1;
	for (unsigned i = 1; i < 4; i++)
		cycle(&c, 6, 40 + i, true);
	for (unsigned i = 1; i < 5; i++)
		expect(&c, i, i);
	expect(&c, 0, 32);
	expect(&c, 5, 34);
	expect(&c, 6, 43);
	remove_all(&c);
}

static void sizes_grow_and_shrink_only_while_empty(void **state)
{
	struct storage_volume v = saved("vm/a/private");
	AUTO(storage_chain_done) struct storage_chain c = {0};

	(void)state;
	DO(storage_create(&v, ERR));
	assert_int_equal(storage_resize(&v, 1000, ERR), STORAGE_E_SIZE);
	DO(storage_resize(&v, 32 * MIB, ERR));
	v.size = 32 * MIB;
	cycle(&v, 31, 1, true);
	assert_int_equal(storage_resize(&v, 16 * MIB, ERR), STORAGE_E_SIZE);
	DO(storage_resize(&v, 3 * GIB, ERR));
	v.size = 3 * GIB;
	DO(storage_start(&v, &c, ERR));
	assert_true(c.size == 3 * GIB);
	guest_writes(&c, 2047, 1, 2);
	storage_chain_done(&c);
	DO(storage_stop(&v, false, ERR));
	DO(storage_resize(&v, 5 * GIB, ERR)); /* an unfinished one grows in place */
	v.size = 5 * GIB;
	DO(storage_start(&v, &c, ERR));
	assert_true(c.unfinished && c.size == 5 * GIB);
	assert_true(guest_reads(&c, 31, 1, 1) && guest_reads(&c, 2047, 1, 2));
	assert_true(guest_reads(&c, 5119, 1, 0));
	guest_writes(&c, 5119, 1, 3);
	storage_chain_done(&c);
	DO(storage_stop(&v, true, ERR));
	expect(&v, 31, 1);
	expect(&v, 5119, 3);
	remove_all(&v);
}

static void what_a_guest_discards_the_pool_has_again(void **state)
{
	const struct storage_volume v = saved("vm/a/private");
	AUTO(storage_chain_done) struct storage_chain c = {0};
	uint64_t full, less;

	(void)state;
	DO(storage_create(&v, ERR));
	DO(storage_start(&v, &c, ERR));
	guest_writes(&c, 0, 32, 1);
	DO(storage_usage(&v, &full));
	assert_true(full >= 32 * MIB);
	guest_discards(&c, 0, 16);
	DO(storage_usage(&v, &less));
	assert_true(less + 12 * MIB <= full);
	storage_chain_done(&c);
	DO(storage_stop(&v, true, ERR));
	expect(&v, 8, 0);
	expect(&v, 31, 1);
	remove_all(&v);
}

static void one_in_use_is_not_removed(void **state)
{
	const struct storage_volume v = saved("vm/a/private");
	AUTO(storage_chain_done) struct storage_chain c = {0};

	(void)state;
	DO(storage_create(&v, ERR));
	DO(storage_start(&v, &c, ERR));
	assert_int_equal(storage_remove(&v, ERR), STORAGE_E_IN_USE);
	assert_int_equal(storage_stop(&v, true, ERR), STORAGE_E_IN_USE);
	storage_chain_done(&c);
	remove_all(&v);
	assert_int_equal(storage_start(&v, &c, ERR), STORAGE_E_ABSENT);
	assert_non_null(strstr(error, "vm/a/private"));
}

static void names_that_leave_the_pool_are_refused(void **state)
{
	static const char *const rows[] = {"", "/etc", "../x", "vm/../../x", "vm/.x", "."};
	AUTO(storage_chain_done) struct storage_chain c = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct storage_volume v = saved(rows[i]);

		assert_int_equal(storage_create(&v, ERR), -EINVAL);
		assert_int_equal(storage_start(&v, &c, ERR), -EINVAL);
	}
}

static void finding(void *data, enum storage_finding what, const char *text)
{
	unsigned *n = data;

	(void)what;
	(void)fprintf(stderr, "%s\n", text);
	++*n;
}

static void a_check_finds_nothing_wrong(void **state)
{
	const struct storage_volume v = saved("vm/a/private");
	uint64_t size;
	unsigned n = 0;

	(void)state;
	assert_int_equal(storage_check(&v, false, finding, &n, &size, ERR), STORAGE_E_ABSENT);
	DO(storage_create(&v, ERR));
	cycle(&v, 0, 1, true);
	cycle(&v, 1, 2, false);
	DO(storage_check(&v, false, finding, &n, &size, ERR));
	DO(storage_check(&v, true, finding, &n, &size, ERR));
	assert_int_equal(n, 0);
	assert_true(size == SIZE);
	remove_all(&v);
}

static void the_pool_tells_how_full_it_is(void **state)
{
	struct storage_room room = {0};

	(void)state;
	DO(storage_probe(driver, pool, ERR));
	assert_int_equal(storage_pool_usage(driver, pool, &room), 0);
	assert_true(room.size > 0 && room.used <= room.size && room.meta_used <= room.meta_size);
}

/* what a test that failed left */
static int setup(void **state)
{
	static const char *const vids[] = {"vm/a/private", "vm/a/root", "vm/a/volatile",
					   "vm/b/private", "vm/t/root"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vids); i++) {
		const struct storage_volume v = saved(vids[i]);

		(void)!storage_remove(&v, ERR);
	}
	return 0;
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

static int run(const char *its_driver, const char *its_pool, const char *where)
{
	const struct CMUnitTest tests[] = {
		TEST(created_it_is_empty_and_of_its_size),
		TEST(a_clean_stop_commits_and_the_state_before_can_be_had_back),
		TEST(after_a_crash_it_goes_on_from_what_was_flushed),
		TEST(as_many_revisions_are_kept_as_were_asked_for),
		TEST(a_snapshot_is_of_the_newest_revision_of_its_source),
		TEST(a_volatile_volume_is_empty_at_each_start),
		TEST(what_is_written_to_an_ephemeral_volume_is_in_no_file),
		TEST(what_is_imported_is_what_is_exported),
		TEST(a_clone_has_the_content_and_goes_its_own_way),
		TEST(a_clone_and_its_source_go_on_for_long),
		TEST(sizes_grow_and_shrink_only_while_empty),
		TEST(what_a_guest_discards_the_pool_has_again),
		TEST(one_in_use_is_not_removed),
		TEST(names_that_leave_the_pool_are_refused),
		TEST(a_check_finds_nothing_wrong),
		TEST(the_pool_tells_how_full_it_is),
	};

	driver = its_driver;
	pool = its_pool;
	(void)fprintf(stderr, "--- %s on %s\n", driver, where);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* reflink on a file system of @type, in a file; 77: there is none here */
static int run_on(const char *base, const char *type)
{
	int r;

	if (!test_mount(base, type))
		return 77;
	r = run("reflink", base, type);
	return test_unmount(base) < 0 ? 1 : r;
}

/* nothing: qcow2; "btrfs" or "xfs": reflink on such a file system; or DRIVER FOLDER */
int main(int argc, char **argv)
{
	char base[] = "/tmp/test-conformance-XXXXXX";
	int r;

	if (argc == 3)
		return run(argv[1], argv[2], argv[2]);
	if (system("command -v qemu-io >/dev/null") != 0) {
		(void)printf("skipped: qemu-io is missing (package qemu-utils)\n");
		return 77;
	}
	test_namespace();
	if (!mkdtemp(base))
		return 1;
	r = argc == 2 ? run_on(base, argv[1]) : run("qcow2", base, "/tmp");
	return io_remove_tree(AT_FDCWD, base) < 0 ? 1 : r;
}
