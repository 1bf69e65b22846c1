/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "carry/places.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/inotify.h>

#define OWN     7
#define WAIT_MS 20000

/* the loop has one source */
static struct carry_source *source;

int carry_add(struct carry *c, struct carry_source *src, uint32_t events)
{
	(void)c, (void)events;
	source = src;
	return 0;
}

/* which of our servers are there, by their port, as we were told */
static bool is_there[1024];
static unsigned n_told;

static void server(void *data, const struct vmux_where *w, bool there)
{
	(void)data;
	assert_int_equal(w->server, OWN);
	assert_true(w->port < 1024);
	is_there[w->port] = there;
	n_told++;
}

static void stale(void *data, const struct vmux_where *w)
{
	(void)data;
	assert_int_not_equal(w->server, OWN);
}

static char dir[] = "/tmp/places-test-XXXXXX";

static void name_of(unsigned port, char *to, size_t size)
{
	assert_true(snprintf(to, size, "%s/vchan.%u.3.%u.sock", dir, OWN, port) < (int)size);
}

static void come(unsigned port)
{
	char path[96];
	int fd;

	name_of(port, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void go(unsigned port)
{
	char path[96];

	name_of(port, path, sizeof(path));
	assert_int_equal(unlink(path), 0);
}

/* turns, until we have been told of @port */
static void told(unsigned port, bool there)
{
	struct pollfd p = {.fd = source->fd, .events = POLLIN};

	while (is_there[port] != there) {
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		source->fn(source, POLLIN);
	}
}

static void follow(void)
{
	static struct places *all[2]; /* a program has them for its life */
	static unsigned n;
	struct places **p = &all[n++];
	const struct places_hooks hooks = {.server = server, .stale = stale};
	int fd;

	memset(is_there, 0, sizeof(is_there));
	memset(dir + strlen(dir) - 6, 'X', 6);
	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	come(513);
	come(514);
	assert_int_equal(places_new(&fd, OWN, &hooks, p), 0);
	assert_int_equal(places_start(*p, NULL), 0);
	assert_true(is_there[513] && is_there[514]);
	go(513);
	told(513, false);
	for (unsigned port = 600; port < 800; port++)
		come(port);
	for (unsigned port = 600; port < 800; port++)
		told(port, true);
	go(514);
	go(700);
	come(513);
	told(514, false);
	told(700, false);
	told(513, true);
	assert_true(is_there[699] && is_there[701]);
	/* what has not changed is not told of */
	n_told = 0;
	come(900);
	told(900, true);
	assert_int_equal(n_told, 1);
	assert_int_equal(io_remove_tree(AT_FDCWD, dir), 0);
	close_fd(&source->fd);
}

static void servers_that_come_and_go_are_told_of(void **state)
{
	(void)state;
	follow();
}

static void also_where_no_inotify_is_left(void **state)
{
	AUTO_CLOSE int limit = NO_FD;

	(void)state;
	/* of a user namespace of our own */
	if (unshare(CLONE_NEWUSER) < 0)
		skip();
	limit = open("/proc/sys/user/max_inotify_instances", O_WRONLY | O_CLOEXEC);
	if (limit < 0 || write(limit, "0", 1) != 1)
		skip();
	assert_int_equal(inotify_init1(IN_CLOEXEC), -1);
	assert_int_equal(errno, EMFILE);
	follow();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_that_come_and_go_are_told_of),
		cmocka_unit_test(also_where_no_inotify_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
