/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store: what was answered is there after a kill -9 at any moment, what failed did not happen.
 * The kill loop takes a seeded sample, or with BULKHEAD_TEST_FULL=1 ten thousand rounds.
 */
#include "store/store.h"

#include "base/io.h"
#include "store/property.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

static char dir[] = "/tmp/test-store.XXXXXX";

static void start_anew(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/s", dir);
	assert_int_equal(io_remove_tree(AT_FDCWD, path), 0);
	assert_int_equal(io_mkdirs(path, 0700), 0);
}

static const char *store_dir(void)
{
	static char path[64];

	(void)snprintf(path, sizeof(path), "%s/s", dir);
	return path;
}

static struct store *must_open(void)
{
	struct store *s = NULL;
	char error[256] = "";
	int r = store_open(store_dir(), true, &s, error, sizeof(error));

	if (r != 0)
		print_message("%s\n", error);
	assert_int_equal(r, 0);
	return s;
}

static void add_qube(struct changes *c, unsigned qid, const char *name)
{
	char uuid[UUID_LEN + 1];

	(void)snprintf(uuid, sizeof(uuid), "00000000-0000-4000-8000-%012u", qid);
	changes_add_qube(c, qid, KLASS_APP, name, uuid);
	changes_set_property(c, qid, PROP_label, "1");
}

static void a_new_store_has_dom0_labels_and_pools(void **state)
{
	struct store *s;
	struct model *m;

	(void)state;
	start_anew();
	s = must_open();
	m = store_model(s);
	assert_int_equal(m->n_qubes, 1);
	assert_string_equal(m->by_name[0]->name, "dom0");
	assert_int_equal(model_label(m, "red"), 1);
	assert_int_equal(model_label(m, "black"), 8);
	assert_int_equal(model_label(m, "pink"), 0);
	assert_non_null(model_pool(m, "default"));
	assert_null(model_pool(m, "other"));
	assert_int_equal(model_free_qid(m), 1);
	store_free(s);
}

static void everything_changed_is_there_after_a_restart(void **state)
{
	const struct volume v = {.pool = (char *)"default",
				 .vid = (char *)"vm/x/private",
				 .size = 5000,
				 .rw = true,
				 .save_on_stop = true,
				 .revisions_to_keep = -1};
	struct changes c = {0};
	const struct qube *q;
	struct store *s;
	struct model *m;

	(void)state;
	start_anew();
	s = must_open();
	add_qube(&c, 1, "work");
	add_qube(&c, 2, "bank");
	changes_set_property(&c, 1, PROP_memory, "512");
	changes_set_property(&c, 1, PROP_kernelopts, "quiet 'x\"");
	changes_set_feature(&c, 1, "b", "2");
	changes_set_feature(&c, 1, "a", "");
	changes_set_tag(&c, 1, "t", true);
	changes_set_volume(&c, 1, DISK_PRIVATE, &v);
	changes_set_global(&c, GLOBAL_default_netvm, "2");
	changes_set_document(&c, 1, DOCUMENT_NOTES, "two\nlines, \xc3\xa4");
	changes_set_pool(&c, &(struct pool){.name = (char *)"other",
					    .driver = (char *)"qcow2",
					    .dir = (char *)"/x",
					    .revisions_to_keep = 2});
	changes_set_label(&c, 9, "pink", 0xff00ff);
	changes_set_xid(&c, 77);
	changes_begin(&c, 5, 1, "run", "77");
	changes_begin(&c, 6, 1, "import", "");
	changes_end(&c, 6);
	assert_int_equal(store_apply(s, &c), 0);
	for (unsigned round = 0; round < 2; round++) {
		m = store_model(s);
		assert_int_equal(m->n_qubes, 3);
		assert_string_equal(m->by_name[1]->name, "bank");
		q = model_find(m, "work");
		assert_ptr_equal(q, model_find(m, "uuid:00000000-0000-4000-8000-000000000001"));
		assert_string_equal(q->values[PROP_memory], "512");
		assert_string_equal(q->values[PROP_kernelopts], "quiet 'x\"");
		assert_null(q->values[PROP_netvm]);
		assert_string_equal(q->features->key, "a");
		assert_string_equal(q->features->next->value, "2");
		assert_string_equal(q->tags->key, "t");
		assert_int_equal(q->volumes[DISK_PRIVATE].size, 5000);
		assert_int_equal(q->volumes[DISK_PRIVATE].revisions_to_keep, -1);
		assert_null(q->volumes[DISK_ROOT].pool);
		assert_ptr_equal(global_qube(m, GLOBAL_default_netvm), model_find(m, "bank"));
		assert_string_equal(q->documents[DOCUMENT_NOTES], "two\nlines, \xc3\xa4");
		assert_null(q->documents[DOCUMENT_FIREWALL]);
		assert_string_equal(model_pool(m, "other")->dir, "/x");
		assert_int_equal(m->labels[9].color, 0xff00ff);
		assert_int_equal(m->last_xid, 77);
		assert_int_equal(m->operations->id, 5);
		assert_null(m->operations->next);
		store_free(s);
		s = must_open();
	}
	changes_remove_qube(&c, 1);
	changes_remove_pool(&c, "other");
	changes_set_property(&c, 2, PROP_label, NULL);
	assert_int_equal(store_apply(s, &c), 0);
	store_free(s);
	s = must_open();
	assert_null(model_find(store_model(s), "work"));
	assert_null(model_find(store_model(s), "bank")->values[PROP_label]);
	assert_null(model_pool(store_model(s), "other"));
	store_free(s);
}

static void a_renamed_qube_is_found_by_its_new_name_alone(void **state)
{
	struct changes c = {0};
	struct store *s;
	struct model *m;

	(void)state;
	start_anew();
	s = must_open();
	add_qube(&c, 1, "b");
	add_qube(&c, 2, "d");
	add_qube(&c, 3, "f");
	changes_set_property(&c, 3, PROP_netvm, "1");
	assert_int_equal(store_apply(s, &c), 0);
	changes_rename(&c, 1, "d"); /* taken */
	assert_true(store_apply(s, &c) < 0);
	changes_rename(&c, 1, "e");
	assert_int_equal(store_apply(s, &c), 0);
	for (unsigned round = 0; round < 2; round++) {
		static const char *const order[] = {"dom0", "d", "e", "f"};

		m = store_model(s);
		assert_int_equal(m->n_qubes, ARRAY_LEN(order));
		for (unsigned i = 0; i < ARRAY_LEN(order); i++)
			assert_string_equal(m->by_name[i]->name, order[i]);
		assert_null(model_find(m, "b"));
		assert_int_equal(model_find(m, "e")->qid, 1);
		assert_ptr_equal(model_find(m, "uuid:00000000-0000-4000-8000-000000000001"),
				 model_find(m, "e"));
		assert_ptr_equal(property_qube(m, model_find(m, "f"), PROP_netvm),
				 model_find(m, "e"));
		store_free(s);
		s = must_open();
	}
	store_free(s);
}

/* store/version-N.sql is what that version wrote */
static void a_store_of_each_older_version_is_taken_over(void **state)
{
	char path[4096], db_path[128];

	(void)state;
	for (unsigned version = 1; version < STORE_VERSION; version++) {
		AUTO_FREE char *sql = NULL;
		const struct model *m;
		const struct qube *work;
		struct store *s;
		sqlite3 *db;

		start_anew();
		(void)snprintf(path, sizeof(path), "%s/version-%u.sql", STORE_VERSIONS, version);
		(void)snprintf(db_path, sizeof(db_path), "%s/store.db", store_dir());
		assert_int_equal(io_read_file(AT_FDCWD, path, 1 << 20, &sql, NULL), 0);
		assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
		(void)sqlite3_close(db);
		s = must_open();
		store_free(s);
		s = must_open(); /* and again, as it is now */
		m = store_model(s);
		assert_int_equal(m->n_qubes, 4);
		work = model_find(m, "work");
		assert_non_null(work);
		assert_string_equal(work->values[PROP_memory], "512");
		assert_string_equal(work->values[PROP_netvm], "");
		assert_ptr_equal(model_template(m, work), model_find(m, "tmpl"));
		assert_string_equal(pair_find(work->features, "note")->value, "it's");
		assert_non_null(pair_find(work->tags, "mine"));
		assert_int_equal(work->volumes[DISK_PRIVATE].revisions_to_keep, 3);
		assert_null(work->documents[DOCUMENT_NOTES]);
		if (version >= 2)
			assert_string_equal(model_find(m, "own")->documents[DOCUMENT_NOTES],
					    "what it is for");
		assert_false(model_is_ephemeral(m, work, DISK_VOLATILE));
		assert_int_equal(model_label(m, "pink"), 9);
		assert_int_equal(model_pool(m, "default")->revisions_to_keep, 5);
		assert_string_equal(m->globals[GLOBAL_default_template], "1");
		store_free(s);
	}
}

static void a_change_that_fails_changes_nothing(void **state)
{
	struct changes c = {0};
	struct store *s;

	(void)state;
	start_anew();
	s = must_open();
	add_qube(&c, 1, "work");
	assert_int_equal(store_apply(s, &c), 0);
	changes_set_property(&c, 1, PROP_memory, "512");
	add_qube(&c, 2, "work"); /* the name is taken */
	assert_true(store_apply(s, &c) < 0);
	assert_null(c.first);
	assert_int_equal(store_model(s)->n_qubes, 2);
	assert_null(model_find(store_model(s), "work")->values[PROP_memory]);
	changes_set_property(&c, 1, PROP_memory, "300");
	assert_int_equal(store_apply(s, &c), 0);
	store_free(s);
	s = must_open();
	assert_string_equal(model_find(store_model(s), "work")->values[PROP_memory], "300");
	store_free(s);
}

static void a_thousand_qubes_keep_their_order(void **state)
{
	struct changes c = {0};
	struct store *s;
	struct model *m;
	char name[32];

	(void)state;
	start_anew();
	s = must_open();
	for (unsigned i = 1; i <= 1000; i++) {
		(void)snprintf(name, sizeof(name), "q%u", i * 7919 % 1000003);
		add_qube(&c, i, name);
	}
	assert_int_equal(store_apply(s, &c), 0);
	m = store_model(s);
	for (unsigned i = 1; i <= 1000; i += 2)
		changes_remove_qube(&c, i);
	assert_int_equal(store_apply(s, &c), 0);
	assert_int_equal(m->n_qubes, 501);
	for (size_t i = 2; i < m->n_qubes; i++)
		assert_true(strcmp(m->by_name[i - 1]->name, m->by_name[i]->name) < 0);
	assert_int_equal(model_free_qid(m), 1);
	store_free(s);
}

static void two_qubesds_do_not_share_a_store(void **state)
{
	struct store *s, *second = NULL;
	char error[256] = "";

	(void)state;
	start_anew();
	s = must_open();
	assert_int_equal(store_open(store_dir(), true, &second, error, sizeof(error)),
			 STORE_E_LOCKED);
	assert_non_null(strstr(error, "another qubesd"));
	store_free(s);
}

static void write_file(const char *name, const void *bytes, size_t len)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", store_dir(), name);
	assert_int_equal(io_write_file(AT_FDCWD, path, bytes, len, 0600), 0);
}

static void a_damaged_or_newer_file_is_refused_and_named(void **state)
{
	char error[256] = "", path[128], junk[8192];
	struct store *s = NULL;
	sqlite3 *db;

	(void)state;
	start_anew();
	memset(junk, 'x', sizeof(junk));
	write_file("store.db", junk, sizeof(junk));
	assert_int_equal(store_open(store_dir(), true, &s, error, sizeof(error)), STORE_E_DAMAGED);
	assert_non_null(strstr(error, "store.db"));

	start_anew();
	store_free(must_open());
	(void)snprintf(path, sizeof(path), "%s/store.db", store_dir());
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(store_open(store_dir(), true, &s, error, sizeof(error)), STORE_E_NEWER);
	assert_non_null(strstr(error, "newer"));
}

/* Sets memory to 1, 2, 3...; tells each number on the pipe once it is answered. Never returns. */
static void write_for_ever(int pipe_fd)
{
	struct store *s = must_open();
	const struct qube *q = model_find(store_model(s), "work");
	unsigned n = (unsigned)strtoul(q->values[PROP_memory], NULL, 10);
	char text[16];

	for (;;) {
		struct changes c = {0};

		n++;
		(void)snprintf(text, sizeof(text), "%u", n);
		changes_set_property(&c, 1, PROP_memory, text);
		changes_set_property(&c, 1, PROP_vcpus, text);
		if (store_apply(s, &c) != 0 || write(pipe_fd, &n, sizeof(n)) != sizeof(n))
			_exit(1);
	}
}

static void kill_once(unsigned seed)
{
	const struct timespec wait = {.tv_nsec = (long)(seed % 9000) * 1000};
	unsigned answered = 0, n, memory, vcpus;
	const struct qube *q;
	struct store *s;
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(ends[0]);
		write_for_ever(ends[1]);
	}
	(void)close(ends[1]);
	(void)nanosleep(&wait, NULL);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	while (read(ends[0], &n, sizeof(n)) == sizeof(n))
		answered = n;
	(void)close(ends[0]);
	s = must_open();
	q = model_find(store_model(s), "work");
	memory = (unsigned)strtoul(q->values[PROP_memory], NULL, 10);
	vcpus = (unsigned)strtoul(q->values[PROP_vcpus], NULL, 10);
	assert_int_equal(memory, vcpus); /* all of a change or nothing of it */
	assert_true(answered == 0 || memory >= answered);
	store_free(s);
}

static void what_was_answered_survives_kill_9(void **state)
{
	unsigned rounds = getenv("BULKHEAD_TEST_FULL") ? 10000 : 60;
	const char *given = getenv("BULKHEAD_TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	struct changes c = {0};
	struct store *s;

	(void)state;
	print_message("seed %u, %u rounds\n", seed, rounds);
	start_anew();
	s = must_open();
	add_qube(&c, 1, "work");
	changes_set_property(&c, 1, PROP_memory, "0");
	changes_set_property(&c, 1, PROP_vcpus, "0");
	assert_int_equal(store_apply(s, &c), 0);
	store_free(s);
	for (unsigned i = 0; i < rounds; i++) {
		seed = seed * 1664525 + 1013904223;
		kill_once(seed >> 8);
	}
}

/* a small file system of our own over the store's folder; false where that is not allowed */
static bool map_id(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		(void)close(fd);
	return ok;
}

static bool mount_small(const char *options)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	char uids[32], gids[32];

	if (unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) < 0)
		return false;
	(void)snprintf(uids, sizeof(uids), "0 %u 1", uid);
	(void)snprintf(gids, sizeof(gids), "0 %u 1", gid);
	/* a file of an id that is not mapped cannot be made */
	if (uid != 0 &&
	    (!map_id("/proc/self/uid_map", uids) || !map_id("/proc/self/setgroups", "deny") ||
	     !map_id("/proc/self/gid_map", gids)))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("small", store_dir(), "tmpfs", 0, options) == 0;
}

static int fill_disk(void)
{
	char big[2000], name[32];
	struct changes c = {0};
	unsigned n = 0, kept = 0;
	struct store *s;
	int r = 0;

	if (!mount_small("size=256k"))
		return 77;
	s = must_open();
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	add_qube(&c, 1, "work");
	if (store_apply(s, &c) != 0)
		return 1;
	for (; n < 1000 && r == 0; n++) {
		(void)snprintf(name, sizeof(name), "f%u", n);
		changes_set_feature(&c, 1, name, big);
		r = store_apply(s, &c);
	}
	if (r != STORE_E_FULL)
		return 2;
	/* the failed one did not happen; reads go on; and after a restart it is the same */
	if (pair_find(model_find(store_model(s), "work")->features, name))
		return 3;
	store_free(s);
	s = must_open();
	for (const struct pair *p = model_find(store_model(s), "work")->features; p; p = p->next)
		kept++;
	store_free(s);
	return kept == n - 1 ? 0 : 4;
}

/* others fill it */
static int change_on_full_disk(void)
{
	struct changes c = {0};
	char block[4096] = {0}, path[128];
	struct store *s;
	int fd;

	if (!mount_small("size=8m"))
		return 77;
	s = must_open();
	(void)snprintf(path, sizeof(path), "%s/filler", store_dir());
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return 1;
	while (write(fd, block, sizeof(block)) > 0)
		;
	for (unsigned n = 1; n <= 200; n++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "q%u", n);
		add_qube(&c, n, name);
		if (store_apply(s, &c) != 0)
			return 2;
	}
	store_free(s);
	s = must_open();
	if (store_model(s)->n_qubes != 201)
		return 4;
	store_free(s);
	return 0;
}

static void passes_elsewhere(int (*fn)(void))
{
	int status = 0;
	pid_t pid;

	start_anew();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_full_disk_refuses_the_change_and_keeps_the_rest(void **state)
{
	(void)state;
	passes_elsewhere(fill_disk);
}

static void a_disk_that_others_filled_takes_changes(void **state)
{
	(void)state;
	passes_elsewhere(change_on_full_disk);
}

static int group_begin(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int group_end(void **state)
{
	(void)state;
	return io_remove_tree(AT_FDCWD, dir);
}

static void a_qube_goes_with_its_operations(void **state)
{
	(void)state;
	start_anew();
	for (unsigned i = 0; i < 2; i++) {
		struct changes c = {0};
		struct store *s = must_open();
		struct model *m = store_model(s);

		if (i == 0) {
			add_qube(&c, 1, "work");
			add_qube(&c, 2, "other");
			changes_begin(&c, 1, 1, "hold", "");
			changes_begin(&c, 2, 2, "run", "5");
			changes_begin(&c, 3, 1, "remove", "");
			assert_int_equal(store_apply(s, &c), 0);
			changes_remove_qube(&c, 1);
			assert_int_equal(store_apply(s, &c), 0);
		}
		/* before and after a restart */
		assert_null(model_get(m, 1));
		assert_int_equal(m->operations->id, 2);
		assert_null(m->operations->next);
		store_free(s);
	}
}

static void what_calls_are_decided_by_is_told(void **state)
{
	static const struct {
		const char *what;
		enum property_id property;
		const char *feature, *tag;
		bool default_dispvm, work, other; /* that qubes are to be told of */
	} rows[] = {
		{"memory", PROP_memory, .work = false},
		{"default_dispvm", PROP_default_dispvm, .work = true},
		{"template", PROP_template, .work = true},
		{"template_for_dispvms", PROP_template_for_dispvms, .work = true},
		{"a feature", .feature = "menu-items", .work = false},
		{"internal", .feature = "internal", .work = true},
		{"a tag", .tag = "trusted", .work = true},
		{"the global", .default_dispvm = true, .work = true, .other = true},
	};
	struct store *s;
	struct model *m;

	(void)state;
	start_anew();
	s = must_open();
	m = store_model(s);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct changes c = {0};
		struct qube *work, *other;

		if (i == 0) {
			add_qube(&c, 1, "work");
			add_qube(&c, 2, "other");
			assert_int_equal(store_apply(s, &c), 0);
			assert_true(m->untold);
		}
		work = model_get(m, 1);
		other = model_get(m, 2);
		work->untold = other->untold = m->untold = false;
		if (rows[i].feature)
			changes_set_feature(&c, 1, rows[i].feature, "1");
		else if (rows[i].tag)
			changes_set_tag(&c, 1, rows[i].tag, true);
		else if (rows[i].default_dispvm)
			changes_set_global(&c, GLOBAL_default_dispvm, "2");
		else
			changes_set_property(&c, 1, rows[i].property, "1");
		assert_int_equal(store_apply(s, &c), 0);
		if (work->untold != rows[i].work || other->untold != rows[i].other ||
		    m->untold != rows[i].work)
			fail_msg("%s", rows[i].what);
		/* so is what is taken back */
		if (!rows[i].feature)
			continue;
		work->untold = m->untold = false;
		changes_set_feature(&c, 1, rows[i].feature, NULL);
		assert_int_equal(store_apply(s, &c), 0);
		assert_int_equal(work->untold, rows[i].work);
	}
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_store_has_dom0_labels_and_pools),
		cmocka_unit_test(everything_changed_is_there_after_a_restart),
		cmocka_unit_test(a_renamed_qube_is_found_by_its_new_name_alone),
		cmocka_unit_test(a_store_of_each_older_version_is_taken_over),
		cmocka_unit_test(a_change_that_fails_changes_nothing),
		cmocka_unit_test(a_thousand_qubes_keep_their_order),
		cmocka_unit_test(two_qubesds_do_not_share_a_store),
		cmocka_unit_test(a_damaged_or_newer_file_is_refused_and_named),
		cmocka_unit_test(a_qube_goes_with_its_operations),
		cmocka_unit_test(what_calls_are_decided_by_is_told),
		cmocka_unit_test(what_was_answered_survives_kill_9),
		cmocka_unit_test(a_full_disk_refuses_the_change_and_keeps_the_rest),
		cmocka_unit_test(a_disk_that_others_filled_takes_changes),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
