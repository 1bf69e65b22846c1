/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kill -9 at any time, thousands of times: a child starts a volume, lets a guest (qemu-io) write
 * and flush, commits or not, starts a second volume from the first, and again; everything it
 * consists of is killed after a random time. What the guest had flushed must be there at the next
 * start, on the same volume all along.
 *
 * The argument "btrfs" or "xfs": of the driver reflink on such a file system; without one, of qcow2.
 * A sample, unless BULKHEAD_TEST_FULL is set: then 2,000 kills (and 300 of each file system for reflink), and the count done so far is kept
 * in the folder BULKHEAD_TEST_STATE, if there is one.
 */
#include "test-guest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/str.h"

#define N_PLACES 6
/* two L2 tables, their borders, neighbours */
static const unsigned places_kib[N_PLACES] = {0, 64, 1024, 511u << 10, 512u << 10, 700u << 10};

static char pool[64];
static char error[512];
#define ERR error, sizeof(error)

static unsigned seed;

static unsigned chance(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 16) % n;
}

static struct storage_volume root = {.pool_dir = pool,
				     .vid = "t/root",
				     .size = UINT64_C(1) << 30,
				     .rw = true,
				     .save_on_stop = true,
				     .revisions_to_keep = 1};
static struct storage_volume app = {.pool_dir = pool,
				    .vid = "a/root",
				    .source_vid = "t/root",
				    .rw = true,
				    .snap_on_start = true};

/* one round of the child; notes go to @notes as (place, value, flushed) */
static void live(int notes)
{
	AUTO(storage_chain_done) struct storage_chain c = {0}, a = {0};
	char json[2048], command[3072];

	if (storage_start(&root, &c, ERR) != 0)
		_exit(1);
	guest_json(&c, json, sizeof(json));
	for (unsigned i = 1 + chance(3); i > 0; i--) {
		uint8_t note[3] = {(uint8_t)chance(N_PLACES), (uint8_t)(1 + chance(250)), 0};

		(void)!write(notes, note, 3);
		(void)snprintf(command, sizeof(command),
			       "exec qemu-io -c 'write -P %u %uk 64k' -c flush '%s' >/dev/null",
			       note[1], places_kib[note[0]], json);
		if (system(command) != 0)
			_exit(2);
		note[2] = 1;
		(void)!write(notes, note, 3);
	}
	storage_chain_done(&c);
	if (storage_stop(&root, chance(4) != 0, ERR) != 0 || error[0])
		_exit(3);
	if (chance(2) == 0 && storage_start(&app, &a, ERR) != 0)
		_exit(4);
	/* its descriptors stay open over the next commit */
	if (storage_start(&root, &c, ERR) != 0)
		_exit(5);
	storage_chain_done(&c);
	if (storage_stop(&root, true, ERR) != 0 || error[0])
		_exit(6);
	storage_chain_done(&a);
	if (storage_stop(&app, true, ERR) != 0)
		_exit(7);
}

/* what stands at each place; 256 = not one value */
static void read_all(int *to)
{
	AUTO(storage_chain_done) struct storage_chain c = {0};
	char json[2048], command[4096];
	size_t n;
	int r = storage_start(&root, &c, ERR);

	if (r != 0)
		fail_msg("start: %d: %s", r, error);
	guest_json(&c, json, sizeof(json));
	n = (size_t)snprintf(command, sizeof(command), "qemu-io -r -U");
	for (unsigned i = 0; i < N_PLACES; i++)
		n += (size_t)snprintf(command + n, sizeof(command) - n, " -c 'read -v %uk 64k'",
				      places_kib[i]);
	/* lines "offset:  xx xx ..." become "place count value" */
	(void)snprintf(
		command + n, sizeof(command) - n,
		" '%s' | awk '/^read/ { p++ } /^[0-9a-f]+:/ { for (i = 2; i < 18; i++) "
		"c[p + 0, $i]++ } END { for (k in c) { split(k, x, SUBSEP); print x[1], c[k], "
		"x[2] } }'",
		json);
	for (unsigned i = 0; i < N_PLACES; i++)
		to[i] = 256;
	FILE *f = popen(command, "r");
	char line[64];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *at = line;
		unsigned long place = strtoul(at, &at, 10), count = strtoul(at, &at, 10);

		if (place < N_PLACES && count == 65536)
			to[place] = (int)strtoul(at, NULL, 16);
	}
	assert_int_equal(pclose(f), 0);
}

static void kill_once(int *flushed, bool judge)
{
	int tried[N_PLACES], notes[2], now[N_PLACES], status;
	struct timespec wait = {0, (long)chance(200) * 1000000L + (long)chance(1000) * 1000L};
	uint8_t note[3];
	pid_t pid;

	assert_int_equal(pipe2(notes, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setpgid(0, 0);
		for (;;)
			live(notes[1]);
	}
	(void)setpgid(pid, pid);
	(void)close(notes[1]);
	(void)nanosleep(&wait, NULL);
	(void)kill(-pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("the child gave up at step %d", WEXITSTATUS(status));
	/* the guest too has to be gone, as a dead QEMU is before its volume is touched again: its
	 * last write may still be under way, and it opened the files anew, without our locks */
	while (waitpid(-pid, NULL, 0) > 0)
		continue;
	for (unsigned i = 0; i < N_PLACES; i++)
		tried[i] = -1;
	while (read(notes[0], note, 3) == 3) {
		tried[note[0]] = note[2] ? -1 : note[1];
		if (note[2])
			flushed[note[0]] = note[1];
	}
	(void)close(notes[0]);

	read_all(now);
	for (unsigned i = 0; i < N_PLACES; i++) {
		/* what was being written may be there, or not, or half */
		if (now[i] != flushed[i] && tried[i] < 0)
			fail_msg("place %u: %d instead of %d", i, now[i], flushed[i]);
		flushed[i] = now[i];
	}
	if (judge) {
		char command[256];

		(void)snprintf(command, sizeof(command),
			       "find %s/t -name '*.qcow2' -o -name '*.work' | while read f; do "
			       "qemu-img check -q -f qcow2 \"$f\" 2>/dev/null; [ $? = 0 -o $? = 3 "
			       "] || exit 1; done",
			       pool);
		if (system(command) != 0)
			fail_msg("qemu-img check");
	}
}

/* of which driver, on which file system */
struct place {
	const char *driver, *type; /* NULL: /tmp as it is */
	unsigned n_full, n_sample;
};

static void what_a_guest_flushed_survives_kill_9_of_everything(void **state)
{
	const struct place *place = *state;
	const char *kept = getenv("BULKHEAD_TEST_STATE");
	const bool full = getenv("BULKHEAD_TEST_FULL") != NULL;
	const unsigned goal = full ? place->n_full : place->n_sample;
	AUTO_FREE char *text = NULL;
	char path[512] = "", line[32];
	unsigned done = 0;
	int flushed[N_PLACES] = {0};

	root.driver = app.driver = place->driver;
	if (full && kept)
		(void)snprintf(path, sizeof(path), "%s/kills%s%s", kept, place->type ? "-" : "",
			       place->type ? place->type : "");
	if (path[0] && io_read_file(AT_FDCWD, path, 32, &text, NULL) == 0)
		done = (unsigned)strtoul(text, NULL, 10);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(storage_create(&root, ERR), 0);
	assert_int_equal(storage_create(&app, ERR), 0);
	while (done < goal) {
		seed = 77 + done;
		kill_once(flushed, !place->type && (full || done % 8 == 0));
		done++;
		(void)snprintf(line, sizeof(line), "%u\n", done);
		if (path[0])
			assert_int_equal(io_write_file(AT_FDCWD, path, line, strlen(line), 0644),
					 0);
	}
}

static int teardown(void **state)
{
	const struct place *place = *state;

	return (place->type && test_unmount(pool) < 0) || io_remove_tree(AT_FDCWD, pool) < 0 ? -1
											     : 0;
}

int main(int argc, char **argv)
{
	static struct place places[] = {{"qcow2", NULL, 2000, 40},
					{"reflink", "btrfs", 300, 10},
					{"reflink", "xfs", 300, 10}};
	struct place *place = &places[0];

	for (size_t i = 1; argc == 2 && i < ARRAY_LEN(places); i++)
		if (str_eq(places[i].type, argv[1]))
			place = &places[i];
	const struct CMUnitTest tests[] = {cmocka_unit_test_prestate_setup_teardown(
		what_a_guest_flushed_survives_kill_9_of_everything, NULL, teardown, place)};

	test_namespace();
	if (system("command -v qemu-io >/dev/null && command -v qemu-img >/dev/null") != 0) {
		(void)printf("skipped: qemu-io and qemu-img are missing (package qemu-utils)\n");
		return 77;
	}
	(void)snprintf(pool, sizeof(pool), "/tmp/test-kills-XXXXXX");
	if (!mkdtemp(pool))
		return 1;
	if (place->type && !test_mount(pool, place->type)) {
		(void)rmdir(pool);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
