/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include "base/io.h"
#include "carry/pump.h"

/* A pump, the qube's ends of its rings, and the local socket's other end. */
static struct pump p;
static struct ring up, down;
static uint8_t *region;
static int sock, program;

static int set_up(void **state)
{
	const unsigned slot = RING_BIG_SLOTS; /* the first small one */
	int pair[2];

	(void)state;
	region = mmap(NULL, RING_REGION_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (region == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	sock = pair[0];
	program = pair[1];
	ring_open(region, region + ring_offset(slot), slot, RING_UP_PUT, &up);
	ring_open(region, region + ring_offset(slot), slot, RING_DOWN_TAKE, &down);
	pump_begin(&p, region, slot, 1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_fd(&sock);
	close_fd(&program);
	return munmap(region, RING_REGION_SIZE);
}

/* As carry does: a look, then a rest. Returns whether another look is due. */
static bool look(uint64_t now_ms, bool *readable)
{
	size_t moved = 0;

	assert_int_equal(pump_up(&p, sock, &moved), 0);
	if (*readable && pump_down(&p, sock, &moved) == -EAGAIN)
		*readable = false;
	return pump_rest(&p, moved, *readable, now_ms);
}

static void take_all(void)
{
	uint8_t *at;
	uint32_t len;

	assert_int_equal(ring_span(&down, &at, &len), 0);
	ring_moved(&down, len);
}

static void a_pump_falls_asleep_and_is_woken(void **state)
{
	bool readable = true;
	uint8_t *at;
	uint32_t len;

	(void)state;
	assert_true(look(50, &readable));
	assert_false(readable);
	assert_true(look(150, &readable)); /* asks for a bell, and looks once more */
	assert_false(look(160, &readable));
	assert_int_equal(ring_span(&up, &at, &len), 0);
	*at = 'u';
	ring_moved(&up, 1);
	assert_true(ring_owes_bell(&up));
	assert_false(ring_owes_bell(&up));
	assert_true(look(300, &readable));
}

/* The ring is full when more arrives, and the qube takes all between our look and our asking for room. */
static void who_asks_for_room_late_looks_once_more(void **state)
{
	static const char bytes[RING_SMALL];
	bool readable = true;

	(void)state;
	assert_int_equal(send(program, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_true(look(50, &readable));
	assert_true(readable);
	readable = false; /* the socket is empty */
	assert_true(look(200, &readable));
	assert_false(look(210, &readable));
	assert_int_equal(send(program, bytes, 100, 0), 100);
	readable = true;
	take_all();
	assert_false(ring_owes_bell(&down)); /* nobody asks for room yet */
	/* what carry does, its look at the ring just before */
	assert_true(pump_rest(&p, 0, true, 300));
	assert_true(look(301, &readable));
	assert_false(readable);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_pump_falls_asleep_and_is_woken),
		T(who_asks_for_room_late_looks_once_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
