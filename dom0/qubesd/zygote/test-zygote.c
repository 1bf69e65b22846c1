/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "zygote/zygote.h"

#include "base/io.h"
#include "base/str.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define MEMORY  ((off_t)3 << 20)
#define MFD_ANY (MFD_CLOEXEC | MFD_ALLOW_SEALING)

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020 /* Linux 6.3 */
#endif

static char dir[64], source[80];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/zygotes.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(source, sizeof(source), "%s/.source", dir);
	return mkdir(source, 0700);
}

static int teardown(void **state)
{
	(void)state;
	return io_remove_tree(AT_FDCWD, dir);
}

static struct zygote_key key_of(const char *root, const char *rest)
{
	struct zygote_key k = {0};

	text_add(&k.text, "root %s\n%s", root, rest);
	text_bytes(&k.text, "", 1);
	assert_false(k.text.failed);
	k.text.len--;
	(void)snprintf(k.name, sizeof(k.name), "%.8s%.8s", root, rest);
	return k;
}

static void put(const char *path, const char *name, const char *bytes)
{
	char at[PATH_MAX];

	(void)snprintf(at, sizeof(at), "%s/%s", path, name);
	assert_int_equal(io_write_file(AT_FDCWD, at, bytes, strlen(bytes), 0600), 0);
}

static int memory_new(void)
{
	int fd = memfd_create("test", MFD_ANY);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MEMORY), 0);
	assert_int_equal(pwrite(fd, "first", 5, 4096), 5);
	assert_int_equal(pwrite(fd, "last", 4, MEMORY - 4), 4);
	return fd;
}

static void publish(const struct zygote_key *k)
{
	struct zygote_meta meta = {.from = "appliance", .memory_mib = 3, .vcpus = 2};
	AUTO_CLOSE int memory = memory_new();
	char path[PATH_MAX];

	(void)snprintf(meta.source, sizeof(meta.source), "%s", source);
	assert_int_equal(zygote_new(dir, path), 0);
	put(path, "device", "state of devices");
	put(path, "root.qcow2", "what was written");
	assert_int_equal(zygote_publish(dir, path, k, memory, &meta), 0);
}

static void count_one(void *data, const char *name, const struct zygote_meta *meta, uint64_t bytes)
{
	(void)name;
	assert_string_equal(meta->from, "appliance");
	assert_true(bytes > 0);
	(*(unsigned *)data)++;
}

static unsigned count(void)
{
	unsigned n = 0;

	zygote_list(dir, count_one, &n);
	return n;
}

static void what_is_published_can_be_forked(void **state)
{
	AUTO(zygote_key_done) struct zygote_key k = key_of("aaaaaaaa", "11111111 rest");
	AUTO(zygote_key_done) struct zygote_key other = key_of("bbbbbbbb", "11111111 rest");
	AUTO(zygote_done) struct zygote z = ZYGOTE_NONE, none = ZYGOTE_NONE;
	AUTO_CLOSE int copy = memfd_create("copy", MFD_ANY);
	char bytes[8] = "";

	(void)state;
	assert_int_equal(zygote_open(dir, &k, &none), ZYGOTE_E_ABSENT);
	publish(&k);
	assert_int_equal(count(), 1);
	assert_int_equal(zygote_open(dir, &k, &z), 0);
	assert_int_equal(z.meta.memory_mib, 3);
	assert_int_equal(z.meta.memory.len, MEMORY);
	assert_string_equal(z.meta.source, source);
	/* one that was begun by somebody who was killed */
	assert_int_equal(write(copy, "rubbish", 7), 7);
	assert_int_equal(zygote_copy(&z, &k, copy), 0);
	assert_int_equal(pread(copy, bytes, 5, 4096), 5);
	assert_string_equal(bytes, "first");
	assert_int_equal(pread(copy, bytes, 5, 0), 5);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(pread(copy, bytes, 4, MEMORY - 4), 4);
	assert_memory_equal(bytes, "last", 4);
	assert_int_equal(pwrite(copy, "x", 1, 0), -1);
	assert_int_equal(ftruncate(copy, 0), -1);
	assert_int_equal(ftruncate(copy, MEMORY * 2), -1);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0), MAP_FAILED);
	/* again: it is there already; and it is of no use to another one */
	assert_int_equal(zygote_copy(&z, &k, copy), 0);
	assert_int_equal(zygote_copy(&z, &other, copy), ZYGOTE_E_OTHER);
}

static void many_fill_one_copy(void **state)
{
	AUTO(zygote_key_done) struct zygote_key k = key_of("aaaaaaaa", "11111111 rest");
	AUTO_CLOSE int copy = memfd_create("copy", MFD_ANY);

	(void)state;
	publish(&k);
	for (int i = 0; i < 8; i++) {
		if (fork() != 0)
			continue;
		struct zygote z = ZYGOTE_NONE;

		_exit(zygote_open(dir, &k, &z) != 0 || zygote_copy(&z, &k, copy) != 0);
	}
	for (int i = 0; i < 8; i++) {
		int status = 1;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
}

/* what a QEMU that was taken over could do with the descriptor it has, with our own rights; each is refused */
static void attack(int fd)
{
	char path[64];
	int again;

	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(pwrite(fd, "x", 1, 4096), -1);
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(ftruncate(fd, MEMORY * 2), -1);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192), -1);
	assert_int_equal(fallocate(fd, 0, MEMORY * 2, 4096), -1);
	assert_ptr_equal(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, 0), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC), -1);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	assert_true(again >= 0);
	assert_int_equal(pwrite(again, "x", 1, 4096), -1);
	close_fd(&again);
	again = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
	assert_true(again < 0);
	assert_int_equal(truncate(path, 0), -1);
}

/* what it may do with its own view of it, and with locks */
static void abuse(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	uint8_t *at = mmap(NULL, (size_t)MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	void *shared = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	memset(at, 0x55, (size_t)MEMORY);
	assert_int_equal(madvise(at, (size_t)MEMORY, MADV_REMOVE), -1);
	assert_int_equal(madvise(at, 8192, MADV_DONTNEED), 0);
	assert_memory_equal(at + 4096, "first", 5);
	/* a kernel may give a view for reading; it does not become more */
	if (shared != MAP_FAILED) {
		assert_int_equal(mprotect(shared, 8192, PROT_READ | PROT_WRITE), -1);
		assert_int_equal(madvise(shared, 8192, MADV_REMOVE), -1);
	}
	assert_int_equal(fcntl(fd, F_SETLK, &lock), 0);
}

static void a_qemu_that_was_taken_over_changes_nothing(void **state)
{
	AUTO(zygote_key_done) struct zygote_key k = key_of("aaaaaaaa", "11111111 rest");
	AUTO(zygote_done) struct zygote z = ZYGOTE_NONE;
	AUTO_CLOSE int copy = memfd_create("copy", MFD_ANY);
	AUTO_FREE uint8_t *before = malloc((size_t)MEMORY), *after = malloc((size_t)MEMORY);
	int ready[2];
	pid_t pid;
	char c;

	(void)state;
	publish(&k);
	assert_int_equal(zygote_open(dir, &k, &z), 0);
	assert_false(zygote_is_copied(copy));
	assert_int_equal(zygote_copy(&z, &k, copy), 0);
	assert_true(zygote_is_copied(copy));
	assert_true(before && after && pread(copy, before, (size_t)MEMORY, 0) == MEMORY);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		attack(copy);
		abuse(copy);
		(void)!write(ready[1], "", 1);
		(void)pause(); /* with its lock */
		_exit(0);
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	/* the next fork does not wait for it either */
	(void)alarm(60);
	assert_int_equal(zygote_copy(&z, &k, copy), 0);
	(void)alarm(0);
	assert_true(pread(copy, after, (size_t)MEMORY, 0) == MEMORY);
	assert_memory_equal(before, after, (size_t)MEMORY);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void what_is_damaged_is_removed(void **state)
{
	static const char *const files[] = {"device", "meta", "root.qcow2", "memory"};
	AUTO(zygote_key_done) struct zygote_key k = key_of("aaaaaaaa", "11111111 rest");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		for (int how = 0; how < 3; how++) {
			AUTO(zygote_done) struct zygote z = ZYGOTE_NONE;
			AUTO_CLOSE int copy = memfd_create("copy", MFD_ANY);
			char path[PATH_MAX];
			struct stat st = {0};
			int r;

			publish(&k);
			(void)snprintf(path, sizeof(path), "%s/%s/%s", dir, k.name, files[i]);
			AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
			assert_true(fd >= 0 && fstat(fd, &st) == 0);
			if (how == 0)
				assert_int_equal(pwrite(fd, "\x55", 1, st.st_size / 2), 1);
			else if (how == 1)
				assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
			else
				assert_int_equal(unlink(path), 0);
			r = zygote_open(dir, &k, &z);
			if (r == 0) /* not looked at before it is copied */
				r = zygote_copy(&z, &k, copy);
			assert_int_equal(r, ZYGOTE_E_DAMAGED);
			assert_false(fcntl(copy, F_GET_SEALS) & F_SEAL_WRITE);
			zygote_remove(dir, k.name);
		}
	}
}

static void one_under_another_name_is_none(void **state)
{
	AUTO(zygote_key_done) struct zygote_key k = key_of("aaaaaaaa", "11111111 rest");
	AUTO(zygote_key_done) struct zygote_key wanted = key_of("aaaaaaaa", "11111111 another");
	AUTO(zygote_done) struct zygote z = ZYGOTE_NONE;

	(void)state;
	publish(&k);
	assert_string_equal(k.name, wanted.name);
	assert_int_equal(zygote_open(dir, &wanted, &z), ZYGOTE_E_DAMAGED);
	assert_int_equal(count(), 0);
}

static void a_newer_root_replaces_the_older_one_alone(void **state)
{
	AUTO(zygote_key_done) struct zygote_key old = key_of("aaaaaaaa", "11111111 rest");
	AUTO(zygote_key_done) struct zygote_key large = key_of("aaaaaaaa", "22222222 larger");
	AUTO(zygote_key_done) struct zygote_key new = key_of("bbbbbbbb", "11111111 rest");
	AUTO(zygote_done) struct zygote z = ZYGOTE_NONE, y = ZYGOTE_NONE;

	(void)state;
	publish(&old);
	publish(&large);
	publish(&new);
	assert_int_equal(count(), 2);
	assert_int_equal(zygote_open(dir, &old, &z), ZYGOTE_E_ABSENT);
	assert_int_equal(zygote_open(dir, &large, &z), 0);
	assert_int_equal(zygote_open(dir, &new, &y), 0);
}

static void there_are_no_more_than_the_bound(void **state)
{
	AUTO(zygote_done) struct zygote z = ZYGOTE_NONE;
	struct zygote_key k[ZYGOTES_MAX + 2];
	char path[PATH_MAX];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(k); i++) {
		const struct timespec made[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
		char rest[32];

		(void)snprintf(rest, sizeof(rest), "%08u", i);
		k[i] = key_of("aaaaaaaa", rest);
		publish(&k[i]);
		(void)snprintf(path, sizeof(path), "%s/%s", dir, k[i].name);
		assert_int_equal(utimensat(AT_FDCWD, path, made, 0), 0);
	}
	/* the oldest was used just now */
	assert_int_equal(zygote_open(dir, &k[0], &z), 0);
	(void)snprintf(path, sizeof(path), "%s/.new-1", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	zygotes_tidy(dir);
	assert_int_equal(count(), ZYGOTES_MAX);
	assert_int_equal(access(path, F_OK), -1);
	zygote_done(&z);
	assert_int_equal(zygote_open(dir, &k[0], &z), 0);
	zygote_done(&z);
	assert_int_equal(zygote_open(dir, &k[1], &z), ZYGOTE_E_ABSENT);
	assert_int_equal(zygote_open(dir, &k[2], &z), ZYGOTE_E_ABSENT);
	for (unsigned i = 0; i < ARRAY_LEN(k); i++)
		zygote_key_done(&k[i]);
	/* without their template they are of no use */
	assert_int_equal(rmdir(source), 0);
	zygotes_tidy(dir);
	assert_int_equal(count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_published_can_be_forked, setup, teardown),
		cmocka_unit_test_setup_teardown(many_fill_one_copy, setup, teardown),
		cmocka_unit_test_setup_teardown(a_qemu_that_was_taken_over_changes_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_damaged_is_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(one_under_another_name_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_newer_root_replaces_the_older_one_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(there_are_no_more_than_the_bound, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
