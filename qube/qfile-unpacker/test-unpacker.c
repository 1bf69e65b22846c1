/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Senders that lie, against the program itself. Beside the folder that it may fill stands a witness,
 * which must look the same after each of them.
 *
 *	test-unpacker QFILE-UNPACKER
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32.h"
#include "base/io.h"
#include "proto/filecopy.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *unpacker;
static char home[64], folder[128], witness[128];

/* ---- a stream in the making -------------------------------------------------------------------- */

#define PIPE_SIZE (1 << 20)

static uint8_t stream[2 << 20];
static size_t stream_len;

static void put(const void *bytes, size_t len)
{
	assert_true(len <= sizeof(stream) - stream_len);
	memcpy(stream + stream_len, bytes, len);
	stream_len += len;
}

static void put_header(uint32_t name_len, uint32_t mode, uint64_t size)
{
	uint8_t bytes[FILECOPY_HEADER_LEN];
	struct wr w = wr_of(bytes, sizeof(bytes));

	wr_le32(&w, name_len);
	wr_le32(&w, mode);
	wr_le64(&w, size);
	wr_le32(&w, 1000000000);
	wr_le32(&w, 5);
	wr_le32(&w, 1100000000);
	wr_le32(&w, 999999999);
	put(bytes, sizeof(bytes));
}

static void put_entry(const char *name, uint32_t mode, const char *content)
{
	put_header((uint32_t)strlen(name) + 1, mode, strlen(content));
	put(name, strlen(name) + 1);
	put(content, strlen(content));
}

static void put_end(void)
{
	static const uint8_t zeros[FILECOPY_HEADER_LEN];

	put(zeros, sizeof(zeros));
}

/* ---- the receiver ------------------------------------------------------------------------------ */

struct result {
	int status; /* of waitpid() */
	bool answered;
	struct filecopy_answer a;
	char last[FILECOPY_NAME_MAX + 1];
};

/* words behind the option */
static const char *words[3];

static pid_t start(const char *option, int in, int out)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	(void)dup2(in, STDIN_FILENO);
	(void)dup2(out, STDOUT_FILENO);
	(void)execl(unpacker, "qfile-unpacker", option ? option : "--no-allow-all-names", words[0],
		    words[1], words[2], (char *)NULL);
	_exit(99);
}

static void answer_take(int fd, struct result *ret)
{
	uint8_t bytes[FILECOPY_ANSWER_LEN], last[FILECOPY_LAST_LEN];
	uint32_t len;

	if (io_read_full(fd, bytes, sizeof(bytes)) < 0)
		return;
	assert_int_equal(filecopy_answer_decode(bytes, sizeof(bytes), &ret->a), 0);
	ret->answered = true;
	if (io_read_full(fd, last, sizeof(last)) < 0)
		return;
	assert_int_equal(filecopy_last_decode(last, &len), 0);
	assert_int_equal(io_read_full(fd, ret->last, len), 0);
}

/* the first @len bytes of the stream, then the end of it */
static struct result receive(const char *option, size_t len)
{
	struct result r = {0};
	int to[2], from[2];
	pid_t pid;

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	(void)fcntl(to[1], F_SETPIPE_SZ, PIPE_SIZE);
	pid = start(option, to[0], from[1]);
	(void)close(to[0]);
	(void)close(from[1]);
	(void)!io_write_full(to[1], stream, len); /* it may have gone already */
	(void)close(to[1]);
	answer_take(from[0], &r);
	(void)close(from[0]);
	assert_int_equal(waitpid(pid, &r.status, 0), pid);
	return r;
}

/* ---- what is on the disk ----------------------------------------------------------------------- */

static bool is_there(const char *name)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return lstat(path, &st) == 0;
}

static unsigned n_below(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *e;
	unsigned n = 0;

	while (dir && (e = readdir(dir)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	if (dir)
		(void)closedir(dir);
	return n;
}

static void witness_check(void)
{
	AUTO_FREE char *text = NULL;
	char path[192];

	(void)snprintf(path, sizeof(path), "%s/secret", witness);
	assert_int_equal(io_read_file(AT_FDCWD, path, 100, &text, NULL), 0);
	assert_string_equal(text, "mine");
	assert_int_equal(n_below(witness), 1);
	assert_true(n_below(home) <= 2); /* the witness, and QubesIncoming if it was made */
}

static int begin(void **state)
{
	char path[192];

	(void)state;
	stream_len = 0;
	(void)!io_remove_tree(AT_FDCWD, home);
	if (mkdir(home, 0700) < 0 || mkdir(witness, 0700) < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/secret", witness);
	return io_write_file(AT_FDCWD, path, "mine", 4, 0600);
}

/* ---- tests ------------------------------------------------------------------------------------- */

static void what_is_whole_lands(void **state)
{
	AUTO_FREE char *text = NULL;
	char path[256];
	struct result r;
	struct stat st;

	(void)state;
	put_entry("d", 040750, "");
	put_entry("d/a", 0106640, "hello");
	put_entry("d/empty", 0100400, "");
	put_entry("d/e", 040700, "");
	put_entry("d/e/l", 0120777, "../a");
	put_entry("d/e", 040555, "");
	put_entry("d", 040750, "");
	put_end();
	r = receive(NULL, stream_len);
	assert_int_equal(r.status, 0);
	assert_true(r.answered);
	assert_int_equal(r.a.error, 0);
	assert_int_equal(r.a.crc, crc32_add(0, stream, stream_len));
	assert_string_equal(r.last, "d");
	(void)snprintf(path, sizeof(path), "%s/d/a", folder);
	assert_int_equal(io_read_file(AT_FDCWD, path, 100, &text, NULL), 0);
	assert_string_equal(text, "hello");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, 0100640); /* no set-id bit comes along */
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mtim.tv_sec, 1100000000);
	assert_int_equal(st.st_mtim.tv_nsec, 999999999);
	(void)snprintf(path, sizeof(path), "%s/d/e", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, 040555);
	assert_int_equal(st.st_mtim.tv_sec, 1100000000);
	assert_int_equal(chmod(path, 0700), 0); /* so that it can be removed */
	(void)snprintf(path, sizeof(path), "%s/d/empty", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, 0100400);
	witness_check();
}

// clang-format off
/* one entry each, behind a folder "d" and a file "d/file" */
static const struct {
	const char *name;
	uint32_t mode;
	const char *content, *option;
	uint32_t error; /* 0: taken */
} entries[] = {
	{"a", 0100644, "x", NULL, 0},
	{"d/b", 0100644, "x", NULL, 0},
	{"", 0100644, "", NULL, EINVAL},
	{"../a", 0100644, "x", NULL, EILSEQ},
	{"d/../../a", 0100644, "x", NULL, EILSEQ},
	{"..", 040755, "", NULL, EILSEQ},
	{"d/..", 040755, "", NULL, EILSEQ},
	{".", 040777, "", NULL, EILSEQ},
	{"/tmp/a", 0100644, "x", NULL, EILSEQ},
	{"/", 040777, "", NULL, EILSEQ},
	{"d//a", 0100644, "x", NULL, EILSEQ},
	{"d/", 040755, "", NULL, EILSEQ},
	{"a\x1b[2J", 0100644, "x", NULL, EILSEQ},
	{"a\x1b[2J", 0100644, "x", "--allow-all-names", 0},
	{"\xff\xfe", 0100644, "x", "--allow-all-names", 0},
	{"../a", 0100644, "x", "--allow-all-names", EILSEQ},
	{"/tmp/a", 0100644, "x", "--allow-unsafe-symlinks", EILSEQ},
	/* what exists stays */
	{"d/file", 0100644, "x", NULL, EEXIST},
	{"d/file", 0120777, "file", NULL, EEXIST},
	{"d/file", 040755, "", NULL, ENOTDIR},
	{"d", 0100644, "x", NULL, EEXIST},
	{"d/file/a", 0100644, "x", NULL, ENOTDIR},
	{"none/a", 0100644, "x", NULL, ENOENT},
	/* links */
	{"d/l", 0120777, "file", NULL, 0},
	{"l", 0120777, "d", NULL, ENOLINK},
	{"d/l", 0120777, "..", NULL, ENOLINK},
	{"d/l", 0120777, "/etc/passwd", NULL, ENOLINK},
	{"d/l", 0120777, "x/../../..", NULL, ENOLINK},
	{"d/l", 0120777, "", NULL, EINVAL},
	{"d/l", 0120777, "a\x1b", NULL, EILSEQ},
	{"l", 0120777, "/etc/passwd", "--allow-unsafe-symlinks", 0},
	/* kinds that nobody copies */
	{"a", 0010644, "", NULL, EINVAL},
	{"a", 0020666, "", NULL, EINVAL},
	{"a", 0060666, "", NULL, EINVAL},
	{"a", 0140755, "", NULL, EINVAL},
	{"a", 0000644, "", NULL, EINVAL},
	{"d/d", 040755, "content", NULL, EINVAL},
};
// clang-format on

static void entries_are_taken_or_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
		struct result r;

		assert_int_equal(begin(state), 0);
		put_entry("d", 040755, "");
		put_entry("d/file", 0100600, "file");
		put_entry(entries[i].name, entries[i].mode, entries[i].content);
		put_end();
		r = receive(entries[i].option, stream_len);
		if (!r.answered || r.a.error != entries[i].error)
			fail_msg("row %zu (%s): %u", i, entries[i].name, r.a.error);
		assert_int_equal(r.status, entries[i].error == 0 ? 0 : 1 << 8);
		if (r.a.error == 0)
			assert_true(is_there(entries[i].name));
		else if (r.a.error != EINVAL) /* else there was no reason to read the name */
			assert_string_equal(r.last, entries[i].name);
		assert_true(is_there("d/file"));
		witness_check();
	}
}

static void a_link_of_the_sender_is_never_walked(void **state)
{
	static const char *const below[] = {"d/l/a", "d/l/secret", "d/l/x/a"};

	for (size_t i = 0; i < ARRAY_LEN(below); i++)
		for (unsigned kind = 0; kind < 3; kind++) {
			static const uint32_t modes[] = {0100644, 040755, 0120777};
			struct result r;

			assert_int_equal(begin(state), 0);
			put_entry("d", 040755, "");
			put_entry("d/l", 0120777, witness);
			put_entry(below[i], modes[kind], kind == 1 ? "" : "x");
			put_end();
			r = receive("--allow-unsafe-symlinks", stream_len);
			assert_true(r.answered);
			assert_true(r.a.error == ELOOP || r.a.error == ENOTDIR);
			witness_check();
		}
	/* nor is a folder's second header put on what the link leads to */
	assert_int_equal(begin(state), 0);
	put_entry("d", 040755, "");
	put_entry("d/l", 0120777, witness);
	put_entry("d/l", 040777, "");
	put_end();
	assert_int_not_equal(receive("--allow-unsafe-symlinks", stream_len).a.error, 0);
	witness_check();
}

static void lengths_and_sizes_that_lie(void **state)
{
	static const struct {
		uint32_t name_len, mode;
		uint64_t size;
		uint32_t error;
	} rows[] = {
		{1, 0100644, 0, EINVAL},
		{4, 0100644, 0, EINVAL}, /* the name's NUL is not where it ends */
		{6, 0100644, 0, EINVAL}, /* it goes on behind it */
		{16383, 0100644, 0, EREMOTEIO},
		{16384, 0100644, 0, ENAMETOOLONG},
		{UINT32_MAX, 0100644, 0, ENAMETOOLONG},
		{5, 0100644, UINT64_MAX, EDQUOT},
		{5, 0100644, (uint64_t)INT64_MAX + 1, EDQUOT},
		{5, 0100644, INT64_MAX, EREMOTEIO},
		{5, 0100644, 1 << 30, EREMOTEIO},
		{5, 040755, UINT64_MAX, EINVAL},
		{5, 0120777, 16384, ENAMETOOLONG},
		{5, 0120777, UINT64_MAX, ENAMETOOLONG},
		{5, 0120777, 16383, EREMOTEIO},
		{5, UINT32_MAX, 0, EINVAL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct result r;

		assert_int_equal(begin(state), 0);
		put_header(rows[i].name_len, rows[i].mode, rows[i].size);
		put("name\0and more", 14);
		r = receive(NULL, stream_len);
		if (!r.answered || r.a.error != rows[i].error)
			fail_msg("row %zu: %u", i, r.a.error);
		assert_int_equal(n_below(folder), 0);
		witness_check();
	}
}

static void a_stream_cut_anywhere_leaves_whole_files_only(void **state)
{
	size_t whole, a_end, b_end;

	put_entry("d", 040755, "");
	put_entry("d/a", 0100644, "first");
	a_end = stream_len;
	put_entry("b", 0100644, "second");
	b_end = stream_len;
	put_entry("d", 040755, "");
	put_end();
	whole = stream_len;
	for (size_t len = 0; len < whole; len++) {
		struct result r;

		(void)!io_remove_tree(AT_FDCWD, folder);
		r = receive(NULL, len);
		assert_true(r.answered);
		assert_int_equal(r.a.error, EREMOTEIO);
		assert_int_equal(is_there("d/a"), len >= a_end);
		assert_int_equal(is_there("b"), len >= b_end);
	}
	(void)state;
	witness_check();
}

static void names_as_deep_as_they_go(void **state)
{
	char name[FILECOPY_NAME_MAX + 1] = "";
	struct result r;
	size_t len = 0;

	(void)state;
	/* three times as long as a path of the kernel's */
	for (unsigned i = 0; i < 120; i++) {
		len += (size_t)snprintf(name + len, sizeof(name) - len, "%s%0100u", i ? "/" : "",
					i);
		put_entry(name, 040700, "");
	}
	(void)snprintf(name + len, sizeof(name) - len, "/file");
	put_entry(name, 0100600, "deep");
	name[len] = '\0';
	put_entry(name, 040700, "");
	put_end();
	r = receive(NULL, stream_len);
	assert_int_equal(r.a.error, 0);
	assert_string_equal(r.last, name);
	/* a part that no file system takes */
	assert_int_equal(begin(state), 0);
	memset(name, 'a', FILECOPY_NAME_MAX - 1);
	name[FILECOPY_NAME_MAX - 1] = '\0';
	put_entry(name, 0100600, "");
	put_end();
	assert_int_equal(receive(NULL, stream_len).a.error, ENAMETOOLONG);
	assert_int_equal(begin(state), 0);
	memcpy(name + 5000, "/a", 3);
	put_entry(name, 0100600, "");
	put_end();
	assert_int_equal(receive(NULL, stream_len).a.error, ENAMETOOLONG);
	witness_check();
}

/* killed while a file comes: at whatever point, the file is whole or is not there */
static void killed_at_any_moment_no_half_file_is_left(void **state)
{
	static uint8_t content[200000];
	uint32_t seed = 3;

	memset(content, 'c', sizeof(content));
	for (unsigned round = 0; round < 60; round++) {
		int to[2], from[2], status;
		struct stat st;
		char path[256];
		pid_t pid;

		assert_int_equal(begin(state), 0);
		put_header(2, 0100644, sizeof(content));
		put("f", 2);
		put(content, sizeof(content));
		assert_int_equal(pipe2(to, O_CLOEXEC), 0);
		assert_int_equal(pipe2(from, O_CLOEXEC), 0);
		(void)fcntl(to[1], F_SETPIPE_SZ, PIPE_SIZE);
		pid = start(NULL, to[0], from[1]);
		seed = seed * 1664525 + 1013904223;
		/* all of it, or a part after which it waits for more */
		(void)!io_write_full(to[1], stream,
				     round % 2 ? stream_len : seed % (uint32_t)stream_len);
		(void)usleep(seed >> 18); /* up to 16 ms, about what all of it takes */
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		for (unsigned i = 0; i < 2; i++) {
			(void)close(to[i]);
			(void)close(from[i]);
		}
		(void)snprintf(path, sizeof(path), "%s/f", folder);
		if (lstat(path, &st) == 0)
			assert_int_equal(st.st_size, sizeof(content));
		assert_true(n_below(folder) <= 1);
	}
}

/* the child that has the disk begin early holds no stream of ours, and is gone with who started it */
static void its_child_ends_with_it(void **state)
{
	char byte;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	for (unsigned killed = 0; killed < 2; killed++) {
		int to[2], from[2], status;
		pid_t pid;

		assert_int_equal(begin(state), 0);
		/* enough for a wish */
		for (unsigned i = 0; i < 5000; i++) {
			char name[8];

			(void)snprintf(name, sizeof(name), "%u", i);
			put_entry(name, 0100644, "x");
		}
		if (!killed)
			put_end();
		assert_int_equal(pipe2(to, O_CLOEXEC), 0);
		assert_int_equal(pipe2(from, O_CLOEXEC), 0);
		pid = start(NULL, to[0], from[1]);
		(void)close(to[0]);
		(void)close(from[1]);
		assert_int_equal(io_write_full(to[1], stream, stream_len), 0);
		for (unsigned i = 0; killed && !is_there("0") && i < 10000; i++)
			(void)usleep(1000);
		if (killed)
			(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, killed ? SIGKILL : 0);
		/* what it said was all, and nobody else says more */
		while (read(from[0], &byte, 1) > 0)
			;
		assert_int_equal(write(to[1], "x", 1), -1);
		assert_int_equal(errno, EPIPE);
		(void)close(to[1]);
		(void)close(from[0]);
		pid = wait(&status);
		assert_true(pid > 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(wait(NULL), -1);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

static bool tell(const char *path, const char *text)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* a file system of one MiB of our own over @home, for root and for others */
static bool small_disk(void)
{
	char uid[32], gid[32];

	(void)snprintf(uid, sizeof(uid), "%u %u 1", geteuid(), geteuid());
	(void)snprintf(gid, sizeof(gid), "%u %u 1", getegid(), getegid());
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 ||
		    !tell("/proc/self/setgroups", "deny") || !tell("/proc/self/uid_map", uid) ||
		    !tell("/proc/self/gid_map", gid))
			return false;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("small", home, "tmpfs", 0, "size=1m") == 0;
}

static void a_full_disk_is_answered_with_the_files_name(void **state)
{
	static char content[400000];
	int status;
	pid_t pid;

	(void)state;
	memset(content, 'x', sizeof(content) - 1);
	put_entry("first", 0100644, content);
	put_entry("second", 0100644, content);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct result r;
		char fill[128];

		if (!small_disk())
			_exit(77);
		(void)snprintf(fill, sizeof(fill), "%s/fill", home);
		if (io_write_file(AT_FDCWD, fill, content, 350000, 0600) < 0)
			_exit(2);
		r = receive(NULL, stream_len);
		_exit(r.answered && r.a.error == ENOSPC && strcmp(r.last, "second") == 0 &&
				      is_there("first") && !is_there("second")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* this machine gives us no file system */
	assert_int_equal(status, 0);
}

static void what_it_is_told_must_make_sense(void **state)
{
	struct result r;

	(void)state;
	put_end();
	assert_int_equal(setenv("QREXEC_REMOTE_DOMAIN", "../work", 1), 0);
	r = receive(NULL, stream_len);
	assert_int_equal(r.status, 125 << 8);
	assert_int_equal(setenv("QREXEC_REMOTE_DOMAIN", "work", 1), 0);
	assert_int_equal(setenv("QREXEC_SERVICE_ARGUMENT", "allow-everything", 1), 0);
	r = receive(NULL, stream_len);
	assert_int_equal(r.status, 125 << 8);
	stream_len = 0;
	put_entry("d", 040755, "");
	put_entry("d/\x1b", 0120777, "/");
	put_end();
	assert_int_equal(
		setenv("QREXEC_SERVICE_ARGUMENT", "allow-all-names+allow-unsafe-symlinks", 1), 0);
	r = receive("--verbose", stream_len);
	assert_int_equal(r.status, 0);
	assert_true(is_there("d/\x1b"));
	assert_int_equal(unsetenv("QREXEC_SERVICE_ARGUMENT"), 0);
	/* no folder to receive into: the sender hears why */
	assert_int_equal(begin(state), 0);
	put_end();
	(void)snprintf(folder, sizeof(folder), "%s/QubesIncoming", home);
	assert_int_equal(io_write_file(AT_FDCWD, folder, "", 0, 0600), 0);
	r = receive(NULL, stream_len);
	(void)snprintf(folder, sizeof(folder), "%s/QubesIncoming/work", home);
	assert_true(r.answered);
	assert_int_equal(r.a.error, ENOTDIR);
}

static void user_and_folder_can_be_given(void **state)
{
	char uid[16], mine[16], path[192];
	struct result r;
	struct stat st;

	(void)state;
	put_entry("a", 0100644, "x");
	put_end();
	/* root receives for others; who is not root, for itself alone */
	(void)snprintf(mine, sizeof(mine), "%u", geteuid());
	(void)snprintf(uid, sizeof(uid), "%u", geteuid() == 0 ? 65534 : geteuid());
	words[0] = uid;
	words[1] = witness;
	assert_int_equal(chmod(home, 0711), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(witness, 65534, 65534), 0);
	r = receive("--wait-for-space=1000", stream_len);
	assert_int_equal(r.status, 0);
	(void)snprintf(path, sizeof(path), "%s/a", witness);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, geteuid() == 0 ? 65534 : geteuid());
	assert_int_equal(unlink(path), 0);
	/* the same by the order of words that Qubes' scripts have: UID FOLDER -v */
	words[0] = witness;
	words[1] = "-v";
	if (geteuid() == 0)
		assert_int_equal(chown(witness, 0, 0), 0);
	assert_int_equal(receive(mine, stream_len).status, 0);
	assert_int_equal(unlink(path), 0);
	words[0] = "4294967295";
	words[1] = NULL;
	assert_int_equal(receive(NULL, stream_len).status, 125 << 8);
	if (geteuid() != 0) {
		words[0] = "0";
		assert_int_equal(receive(NULL, stream_len).status, 125 << 8);
	}
	words[0] = NULL;
	witness_check();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_whole_lands, begin),
		cmocka_unit_test_setup(entries_are_taken_or_refused, begin),
		cmocka_unit_test_setup(a_link_of_the_sender_is_never_walked, begin),
		cmocka_unit_test_setup(lengths_and_sizes_that_lie, begin),
		cmocka_unit_test_setup(a_stream_cut_anywhere_leaves_whole_files_only, begin),
		cmocka_unit_test_setup(names_as_deep_as_they_go, begin),
		cmocka_unit_test_setup(killed_at_any_moment_no_half_file_is_left, begin),
		cmocka_unit_test_setup(its_child_ends_with_it, begin),
		cmocka_unit_test_setup(a_full_disk_is_answered_with_the_files_name, begin),
		cmocka_unit_test_setup(what_it_is_told_must_make_sense, begin),
		cmocka_unit_test_setup(user_and_folder_can_be_given, begin),
	};
	int r;

	unpacker = argc == 2 ? argv[1] : "qfile-unpacker";
	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(home, sizeof(home), "/tmp/test-unpacker.%d", (int)getpid());
	(void)snprintf(folder, sizeof(folder), "%s/QubesIncoming/work", home);
	(void)snprintf(witness, sizeof(witness), "%s/witness", home);
	if (setenv("HOME", home, 1) < 0 || setenv("QREXEC_REMOTE_DOMAIN", "work", 1) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)!io_remove_tree(AT_FDCWD, home);
	return r;
}
