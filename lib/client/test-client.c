/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "client/client.h"

#include "base/io.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

static char path[64];

/* what one connection hears, in two writes, and how it behaves */
struct script {
	const char *first;
	size_t first_len;
	const char *second;
	size_t second_len;
	bool deaf;          /* closes without reading */
	bool echo;          /* answers with the request itself */
	bool says_its_file; /* answers with what the passed descriptor holds */
	unsigned big;       /* answers with so many bytes */
};

static void serve(int listener, const struct script *s)
{
	static char request[70000];
	size_t n = 0, n_fds = 0;
	int fds[1] = {NO_FD};
	int sock = accept(listener, NULL, NULL);

	if (sock < 0)
		_exit(1);
	while (!s->deaf) {
		size_t got = 0, now = 0;

		if (io_recv_msg(sock, request + n, sizeof(request) - n, &got, n_fds ? NULL : fds,
				n_fds ? 0 : 1, &now) < 0)
			_exit(2);
		if (got == 0)
			break;
		n_fds += now;
		n += got;
	}
	if (s->echo || s->says_its_file) {
		if (write(sock, "0", 2) != 2)
			_exit(3);
	}
	if (s->says_its_file) {
		char c;

		while (read(fds[0], &c, 1) == 1)
			if (write(sock, &c, 1) != 1)
				_exit(3);
	}
	if (s->echo && io_write_full(sock, request, n) < 0)
		_exit(3);
	if (s->first && io_write_full(sock, s->first, s->first_len) < 0)
		_exit(3);
	if (s->second) {
		(void)usleep(20000);
		if (io_write_full(sock, s->second, s->second_len) < 0)
			_exit(3);
	}
	for (unsigned i = 0; i < s->big; i += 1000) {
		char block[1000];

		memset(block, 'x', sizeof(block));
		if (io_write_full(sock, block, sizeof(block)) < 0)
			_exit(3);
	}
	(void)close(sock);
	_exit(0);
}

static pid_t start(const struct script *s)
{
	int listener;
	pid_t pid;

	assert_int_equal(io_unix_listen(path, SOCK_STREAM, 0700, &listener), 0);
	assert_int_equal(io_set_nonblock(listener, false), 0);
	pid = fork();
	if (pid == 0)
		serve(listener, s);
	assert_true(pid > 0);
	(void)close(listener);
	return pid;
}

static void stop(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	(void)unlink(path);
}

#define BYTES(s) s, sizeof(s) - 1

static void a_call_ends_in_each_known_way(void **state)
{
	static const struct {
		struct script script;
		int r;
		const char *data, *type;
	} rows[] = {
		{{BYTES("0\0Running")}, 0, "Running", ""},
		{{BYTES("0\0")}, 0, "", ""},
		{{BYTES("0"), BYTES("\0later")}, 0, "later", ""},
		{{BYTES("2\0QubesVMNotFoundError\0\0no qube 'x'\0")},
		 CLIENT_E_EXCEPTION,
		 "no qube 'x'",
		 "QubesVMNotFoundError"},
		{{BYTES("2\0QubesVMError\0\0at %s: 50%%\0half\0")},
		 CLIENT_E_EXCEPTION,
		 "at half: 50%",
		 "QubesVMError"},
		{{0}, CLIENT_E_EMPTY, NULL, ""},
		{{.deaf = true}, CLIENT_E_EMPTY, NULL, ""},
		{{BYTES("3\0what")}, CLIENT_E_FORMAT, NULL, ""},
		{{BYTES("0")}, CLIENT_E_FORMAT, NULL, ""},
		{{BYTES("2\0QubesVMError")}, CLIENT_E_FORMAT, NULL, ""},
		/* events before the answer are skipped */
		{{BYTES("1\0work\0progress\0stage\0booting\0\0"
			"0\0done")},
		 0,
		 "done",
		 ""},
		{{BYTES("1\0work\0progress\0\0"
			"2\0QubesVMError\0\0failed\0")},
		 CLIENT_E_EXCEPTION,
		 "failed",
		 "QubesVMError"},
		{{BYTES("1\0work\0progress\0\0")}, CLIENT_E_EMPTY, NULL, ""},
		{{BYTES("1\0work\0prog")}, CLIENT_E_FORMAT, NULL, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(client_answer_done) struct client_answer a;
		pid_t pid = start(&rows[i].script);
		int r = client_call(path, "admin.vm.Start", "work", NULL, NULL, 0, NO_FD, &a);

		assert_int_equal(r, rows[i].r);
		if (rows[i].data)
			assert_string_equal(a.data, rows[i].data);
		assert_string_equal(a.type, rows[i].type);
		stop(pid);
	}
}

static void the_request_is_what_the_page_says(void **state)
{
	static const char want[] = "admin.vm.property.Set+memory dom0 name work\000500";
	AUTO(client_answer_done) struct client_answer a;
	pid_t pid = start(&(struct script){.echo = true});

	(void)state;
	assert_int_equal(
		client_call(path, "admin.vm.property.Set", "work", "memory", "500", 3, NO_FD, &a),
		0);
	assert_int_equal(a.len, sizeof(want) - 1);
	assert_memory_equal(a.data, want, sizeof(want) - 1);
	stop(pid);
}

static void a_descriptor_travels_along(void **state)
{
	AUTO(client_answer_done) struct client_answer a;
	pid_t pid = start(&(struct script){.says_its_file = true});
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(io_write_full(fds[1], "disk", 4), 0);
	(void)close(fds[1]);
	assert_int_equal(client_call(path, "bulkhead.vm.volume.ImportFile", "t", "root", NULL, 0,
				     fds[0], &a),
			 0);
	(void)close(fds[0]);
	assert_string_equal(a.data, "disk");
	stop(pid);
}

static void a_long_answer_arrives_whole(void **state)
{
	AUTO(client_answer_done) struct client_answer a;
	pid_t pid = start(&(struct script){.first = "0", .first_len = 2, .big = 3000000});

	(void)state;
	assert_int_equal(client_call(path, "bulkhead.List", "dom0", NULL, NULL, 0, NO_FD, &a), 0);
	assert_int_equal(a.len, 3000000);
	stop(pid);
}

static void requests_that_cannot_be_are_not_sent(void **state)
{
	static char long_payload[70000];
	AUTO(client_answer_done) struct client_answer a = {0};

	(void)state;
	(void)unlink(path);
	assert_int_equal(client_call(path, "x", "a b", NULL, NULL, 0, NO_FD, &a), -EINVAL);
	assert_int_equal(client_call(path, "x", "dom0", "a b", NULL, 0, NO_FD, &a), -EINVAL);
	assert_int_equal(
		client_call(path, "x", "dom0", NULL, long_payload, sizeof(long_payload), NO_FD, &a),
		-E2BIG);
	assert_int_equal(client_call(path, "x", "dom0", NULL, NULL, 0, NO_FD, &a), -ENOENT);
}

static void events_come_one_by_one(void **state)
{
	static const char first[] = "1\0\0connection-established\0\0"
				    "1\0work\0progress\0stage\0boo";
	static const char second[] = "ting\0done\0005\0\0"
				     "0\0ok";
	AUTO(client_answer_done) struct client_answer a = {0};
	struct client_events *e = NULL;
	struct client_event event;
	pid_t pid = start(&(struct script){BYTES(first), BYTES(second)});
	int sock;

	(void)state;
	assert_int_equal(
		client_open(path, "bulkhead.vm.Start", "work", NULL, NULL, 0, NO_FD, &sock), 0);
	assert_int_equal(client_events_new(&sock, &e), 0);
	assert_int_equal(sock, NO_FD);
	assert_int_equal(client_events_next(e, 2000, &event), 0);
	assert_string_equal(event.name, "connection-established");
	assert_int_equal(client_events_next(e, 0, &event), -ETIMEDOUT);
	assert_int_equal(client_events_next(e, 2000, &event), 0);
	assert_string_equal(event.subject, "work");
	assert_string_equal(client_event_value(&event, "stage"), "booting");
	assert_string_equal(client_event_value(&event, "done"), "5");
	assert_null(client_event_value(&event, "total"));
	assert_int_equal(client_events_next(e, 2000, &event), CLIENT_E_ANSWER);
	assert_int_equal(client_events_answer(e, &a), 0);
	assert_string_equal(a.data, "ok");
	client_events_free(e);
	stop(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_ends_in_each_known_way),
		cmocka_unit_test(the_request_is_what_the_page_says),
		cmocka_unit_test(a_descriptor_travels_along),
		cmocka_unit_test(a_long_answer_arrives_whole),
		cmocka_unit_test(requests_that_cannot_be_are_not_sent),
		cmocka_unit_test(events_come_one_by_one),
	};

	(void)snprintf(path, sizeof(path), "/tmp/test-client.%d.sock", getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
