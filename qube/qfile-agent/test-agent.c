/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sender, against receivers that lie and against the real one.
 *
 *	test-agent QFILE-AGENT QFILE-UNPACKER
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32.h"
#include "base/io.h"
#include "base/str.h"
#include "proto/filecopy.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *agent, *unpacker;
static char top[64];
static int top_fd = NO_FD;

/* ---- a sender, and what it says ---------------------------------------------------------------- */

struct sender {
	pid_t pid;
	int from, to, err; /* its bytes; its answer; what it tells the user */
};

static struct sender start(const char *const *args)
{
	int out[2], in[2], err[2];
	const char *argv[16] = {"qfile-agent"};
	struct sender s;

	for (unsigned i = 0; args[i]; i++)
		argv[i + 1] = args[i];
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (s.pid == 0) {
		(void)dup2(in[0], STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		(void)dup2(err[1], STDERR_FILENO);
		if (fchdir(top_fd) == 0)
			(void)execv(agent, (char *const *)argv);
		_exit(99);
	}
	(void)close(out[1]);
	(void)close(in[0]);
	(void)close(err[1]);
	s.from = out[0];
	s.to = in[1];
	s.err = err[0];
	return s;
}

/* its exit code; @ret_text is to be freed */
static int end(struct sender *s, char **ret_text)
{
	int status;

	close_fd(&s->to);
	assert_int_equal(io_read_all(s->err, 1 << 20, ret_text, NULL), 0);
	close_fd(&s->from);
	close_fd(&s->err);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void make_file(const char *name, const void *bytes, size_t len, mode_t mode)
{
	int fd = openat(top_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, bytes, len), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static int begin(void **state)
{
	(void)state;
	close_fd(&top_fd);
	(void)!io_remove_tree(AT_FDCWD, top);
	if (mkdir(top, 0700) < 0)
		return -1;
	top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top_fd < 0 ? -1 : 0;
}

/* ---- a receiver that lies ---------------------------------------------------------------------- */

#define TAKE_ALL SIZE_MAX

// clang-format off
/* what is read of a file of 1 MiB, then what is answered: raw bytes, or an answer with the right sum */
static const struct {
	size_t takes;
	bool right_sum, keeps_open;
	uint8_t answer[32];
	size_t answer_len;
	const char *says;
} receivers[] = {
	{TAKE_ALL, true, false, {0}, 0, NULL},
	{TAKE_ALL, false, false, {0}, 0, "ended without an answer"},
	{TAKE_ALL, false, false, {0}, 15, "ended without an answer"},
	{TAKE_ALL, false, false, {0}, 16, "not what was sent"},
	{TAKE_ALL, false, false, {0, 0, 0, 0, 1}, 16, "answer is none"},
	{TAKE_ALL, false, false, {[12] = 1}, 16, "answer is none"},
	{0, false, false, {0}, 0, "ended without an answer"},
	{1000, false, false, {0}, 0, "ended without an answer"},
	{1000, false, false, {28}, 16, "qfile-agent: No space left on device"},
	{1000, false, false, {28, [16] = 4, [20] = 'n', 'a', 'm', 'e'}, 24, "name: No space left on device"},
	{1000, false, false, {17, [16] = 1, [20] = 'f'}, 21, "f: is there already"},
	{1000, false, false, {84, [16] = 3, [20] = 0x1b, '[', 'A'}, 23, "\\x1b[A: the receiver does not take such names"},
	{1000, false, false, {67, [16] = 200}, 30, "does not take links"},	/* the name is cut */
	{1000, false, false, {22, [16] = 255, 255, 255, 255}, 20, "arrived damaged"},
	{1000, false, false, {0x76, 0x60, 0xdf, 0x01}, 16, "the transfer was cut"},
	/* all is well, before all was sent */
	{1000, true, false, {0}, 0, "not what was sent"},
	/* an answer at once, and nothing more is read; the sender must not wait for ever */
	{0, false, true, {28, [16] = 1, [20] = 'f'}, 21, "f: No space left on device"},
	{1000, false, true, {28, [16] = 1, [20] = 'f'}, 21, "f: No space left on device"},
};
// clang-format on

/* its mode of seccomp, or -1 */
static int walls_of(pid_t pid)
{
	AUTO_FREE char *text = NULL;
	const char *line;
	char path[64];

	assert_int_equal(str_format(path, sizeof(path), "/proc/%d/status", (int)pid), 0);
	assert_int_equal(io_read_file(AT_FDCWD, path, 1 << 16, &text, NULL), 0);
	line = strstr(text, "\nSeccomp:\t");
	return line ? line[strlen("\nSeccomp:\t")] - '0' : -1;
}

static void what_a_receiver_says_is_read_behind_a_wall(void **state)
{
	const char *const args[] = {"f", NULL};
	const uint8_t part[FILECOPY_ANSWER_LEN - 1] = {0};
	AUTO_FREE char *text = NULL;
	struct sender s;
	int room;

	(void)state;
	if (getenv("NO_SECCOMP"))
		skip();
	make_file("f", "x", 1, 0644);
	s = start(args);
	/* it is waiting for the rest when it has taken what there is */
	assert_int_equal(io_write_full(s.to, part, sizeof(part)), 0);
	do {
		(void)usleep(1000);
		assert_int_equal(ioctl(s.to, FIONREAD, &room), 0);
	} while (room > 0);
	assert_int_equal(walls_of(s.pid), 2);
	assert_int_equal(end(&s, &text), 1);
}

static void receivers_that_lie(void **state)
{
	static uint8_t content[1 << 20];

	memset(content, 'z', sizeof(content));
	for (size_t i = 0; i < ARRAY_LEN(receivers); i++) {
		static uint8_t taken[(1 << 20) + 200];
		AUTO_FREE char *text = NULL;
		uint8_t bytes[32];
		size_t len = receivers[i].answer_len, n;
		struct sender s;
		int code;

		assert_int_equal(begin(state), 0);
		make_file("f", content, sizeof(content), 0644);
		s = start((const char *const[]){"f", NULL});
		memcpy(bytes, receivers[i].answer, sizeof(bytes));
		n = receivers[i].takes;
		if (n == TAKE_ALL)
			n = FILECOPY_HEADER_LEN + 2 + sizeof(content) + FILECOPY_HEADER_LEN;
		assert_int_equal(io_read_full(s.from, taken, n), 0);
		if (receivers[i].right_sum) {
			const struct filecopy_answer a = {.crc = crc32_add(0, taken, n)};

			filecopy_answer_encode(&a, bytes);
			len = FILECOPY_ANSWER_LEN;
		}
		assert_int_equal(io_write_full(s.to, bytes, len), 0);
		if (!receivers[i].keeps_open)
			close_fd(&s.from);
		code = end(&s, &text);
		if (code != (receivers[i].says ? 1 : 0) ||
		    (receivers[i].says && !strstr(text, receivers[i].says)) ||
		    (!receivers[i].says && text[0] != '\0'))
			fail_msg("row %zu: %d, %s", i, code, text);
	}
}

/* ---- the real one ------------------------------------------------------------------------------ */

static int joined(const char *const *args, char **ret_text)
{
	struct sender s = start(args);
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(s.from, STDIN_FILENO);
		(void)dup2(s.to, STDOUT_FILENO);
		(void)execl(unpacker, "qfile-unpacker", (char *)NULL);
		_exit(99);
	}
	close_fd(&s.from);
	close_fd(&s.to);
	status = end(&s, ret_text);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return status;
}

/* contents, links, modes and times of all that is in a folder */
static bool same(const char *name)
{
	static const char format[] =
		"cd %s && list() { find \"$1\" -printf '%%P %%y %%m %%T@ %%l\\n' | sort; } && "
		"diff -r --no-dereference %s QubesIncoming/work/%s && "
		"test \"$(list %s)\" = \"$(list QubesIncoming/work/%s)\"";
	char command[512];

	(void)snprintf(command, sizeof(command), format, top, name, name, name, name);
	return system(command) == 0;
}

static void a_tree_arrives_as_it_is(void **state)
{
	static const size_t sizes[] = {0, 1, 31, 65536, 262080, 262143, 262144, 262145, 3 << 20};
	static uint8_t content[3 << 20];
	AUTO_FREE char *text = NULL;
	char name[64];

	(void)state;
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_int_equal(mkdirat(top_fd, "tree", 0700), 0);
	assert_int_equal(mkdirat(top_fd, "tree/sub", 0700), 0);
	assert_int_equal(mkdirat(top_fd, "tree/empty", 0711), 0);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		(void)snprintf(name, sizeof(name), "tree/%s%zu", i % 2 ? "sub/" : "", sizes[i]);
		make_file(name, content, sizes[i], 0600 + (mode_t)i);
	}
	assert_int_equal(symlinkat("sub/1", top_fd, "tree/link"), 0);
	assert_int_equal(mkdirat(top_fd, "tree/sub/deeper", 0700), 0);
	assert_int_equal(symlinkat("../1", top_fd, "tree/sub/deeper/up"), 0);
	assert_int_equal(fchmodat(top_fd, "tree/sub", 0550, 0), 0);
	if (joined((const char *const[]){"tree", NULL}, &text) != 0)
		fail_msg("%s", text);
	assert_string_equal(text, "");
	assert_true(same("tree"));
	/* or else only root can remove it */
	assert_int_equal(fchmodat(top_fd, "tree/sub", 0700, 0), 0);
	assert_int_equal(fchmodat(top_fd, "QubesIncoming/work/tree/sub", 0700, 0), 0);
}

static void names_come_from_the_paths_end(void **state)
{
	static const struct {
		const char *path, *arrives; /* NULL: refused */
	} rows[] = {
		{"dir/sub", "sub"},   {"dir/sub/", "sub"},   {"./dir//sub///", "sub"},
		{"dir/sub/.", "sub"}, {"dir/sub/..", "dir"}, {"dir/sub/../sub", "sub"},
		{"dir/file", "file"}, {"-v", "-v"},          {"/", NULL},
		{"", NULL},           {"none", NULL},        {"dir/file/", "file"},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = NULL;
		char path[128];
		struct stat st;
		int code;

		assert_int_equal(begin(state), 0);
		assert_int_equal(mkdirat(top_fd, "dir", 0700), 0);
		assert_int_equal(mkdirat(top_fd, "dir/sub", 0700), 0);
		make_file("dir/file", "x", 1, 0600);
		make_file("-v", "x", 1, 0600);
		code = joined((const char *const[]){"--", rows[i].path, NULL}, &text);
		if ((code == 0) != !!rows[i].arrives)
			fail_msg("row %zu (%s): %d, %s", i, rows[i].path, code, text);
		if (!rows[i].arrives)
			continue;
		(void)snprintf(path, sizeof(path), "QubesIncoming/work/%s", rows[i].arrives);
		assert_int_equal(fstatat(top_fd, path, &st, 0), 0);
	}
}

static void what_goes_wrong_is_told_with_its_name(void **state)
{
	AUTO_FREE char *again = NULL, *link = NULL, *odd = NULL, *fifo = NULL;
	char *first = NULL;

	(void)state;
	make_file("file", "x", 1, 0600);
	assert_int_equal(joined((const char *const[]){"file", NULL}, &first), 0);
	assert_string_equal(first, "");
	free(first);
	assert_int_equal(joined((const char *const[]){"file", NULL}, &again), 1);
	assert_string_equal(again, "qfile-agent: file: is there already\n");
	assert_int_equal(symlinkat("file", top_fd, "link"), 0);
	assert_int_equal(joined((const char *const[]){"link", NULL}, &link), 1);
	assert_non_null(strstr(link, "link: the receiver does not take links"));
	make_file("a\nb", "x", 1, 0600);
	assert_int_equal(joined((const char *const[]){"a\nb", NULL}, &odd), 1);
	assert_non_null(strstr(odd, "a\\x0ab: the receiver does not take such names"));
	assert_int_equal(mkdirat(top_fd, "dir", 0700), 0);
	assert_int_equal(mkfifoat(top_fd, "dir/fifo", 0600), 0);
	assert_int_equal(
		joined((const char *const[]){"dir", "--ignore-symlinks", "link", NULL}, &fifo), 0);
	assert_string_equal(fifo, "qfile-agent: left out 1 that are no files\n");
}

static void a_measure_tells_size_and_names(void **state)
{
	static const struct {
		const char *path, *option;
		int code;
		const char *prints;
	} rows[] = {
		{"dir", NULL, 0, "1007 1\n"},  {"odd\n", NULL, 2, "3 0\n"},
		{"dir/link", NULL, 1, ""},     {"dir/link", "--ignore-symlinks", 0, "0 0\n"},
		{"up", NULL, 1, ""},           {"none", NULL, 1, ""},
		{"oddlink", NULL, 2, "0 0\n"},
	};

	(void)state;
	static char content[1000];
	assert_int_equal(mkdirat(top_fd, "dir", 0700), 0);
	assert_int_equal(mkdirat(top_fd, "up", 0700), 0);
	assert_int_equal(mkdirat(top_fd, "oddlink", 0700), 0);
	make_file("dir/a", content, 1000, 0600);
	make_file("dir/b", content, 7, 0600);
	make_file("odd\n", content, 3, 0600);
	assert_int_equal(mkfifoat(top_fd, "dir/fifo", 0600), 0);
	assert_int_equal(symlinkat("a", top_fd, "dir/link"), 0);
	assert_int_equal(symlinkat("../dir", top_fd, "up/link"), 0);
	assert_int_equal(symlinkat("odd\n", top_fd, "oddlink/link"), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_FREE char *text = NULL, *out = NULL;
		struct sender s = start(
			(const char *const[]){"--measure", rows[i].path, rows[i].option, NULL});

		assert_int_equal(io_read_all(s.from, 1000, &out, NULL), 0);
		int code = end(&s, &text);
		if (code != rows[i].code || !str_eq(out, rows[i].prints))
			fail_msg("row %zu: %d, %s, %s", i, code, out, text);
	}
}

static void progress_is_told_when_asked_for(void **state)
{
	static char content[3 << 20];
	AUTO_FREE char *text = NULL;

	(void)state;
	make_file("f", content, sizeof(content), 0600);
	assert_int_equal(setenv("PROGRESS_TYPE", "console", 1), 0);
	assert_int_equal(setenv("FILECOPY_TOTAL_SIZE", "3145728", 1), 0);
	assert_int_equal(joined((const char *const[]){"f", NULL}, &text), 0);
	assert_int_equal(unsetenv("PROGRESS_TYPE"), 0);
	assert_int_equal(unsetenv("FILECOPY_TOTAL_SIZE"), 0);
	assert_non_null(strstr(text, "sent 1024/3072 KB\r"));
	assert_string_equal(text + strlen(text) - 2, "\r\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_a_receiver_says_is_read_behind_a_wall, begin),
		cmocka_unit_test_setup(receivers_that_lie, begin),
		cmocka_unit_test_setup(a_tree_arrives_as_it_is, begin),
		cmocka_unit_test_setup(names_come_from_the_paths_end, begin),
		cmocka_unit_test_setup(what_goes_wrong_is_told_with_its_name, begin),
		cmocka_unit_test_setup(a_measure_tells_size_and_names, begin),
		cmocka_unit_test_setup(progress_is_told_when_asked_for, begin),
	};
	int r;

	/* the sender runs in a folder of its own */
	agent = argc == 3 ? realpath(argv[1], NULL) : NULL;
	unpacker = argc == 3 ? realpath(argv[2], NULL) : NULL;
	if (!agent || !unpacker)
		return 1;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(top, sizeof(top), "/tmp/test-agent.%d", (int)getpid());
	if (setenv("HOME", top, 1) < 0 || setenv("QREXEC_REMOTE_DOMAIN", "work", 1) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)!io_remove_tree(AT_FDCWD, top);
	return r;
}
