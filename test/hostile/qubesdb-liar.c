/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qube that lies to dom0's qubesdb-daemon. Each mode is one way to be bad; it ends with 0 if the
 * daemon did what it must, and otherwise says what happened instead. The channel is found as a
 * qube's daemon finds it, by $VCHAN_SOCKET_DIR and $VCHAN_DOMAIN.
 *
 *	qubesdb-liar MODE
 */
#include "base/io.h"
#include "proto/qubesdb.h"
#include "vchan/vchan.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS 5000

static struct vchan *v;

static NORETURN void lost(const char *what)
{
	(void)fprintf(stderr, "qubesdb-liar: %s\n", what);
	exit(1);
}

static void dial(void)
{
	if (vchan_client_new(NULL, vchan_own_domid(), 0, QDB_PORT, WAIT_MS, &v) < 0)
		lost("nobody serves the channel");
}

static void hang_up(void)
{
	vchan_free(v);
	v = NULL;
}

/* bytes of a message that no encoder of ours would make */
static size_t raw(uint8_t *to, uint8_t type, const char *path, size_t path_len, uint32_t len)
{
	memset(to, 0, QDB_HEADER);
	to[0] = type;
	memcpy(to + 1, path, path_len);
	for (unsigned i = 0; i < 4; i++)
		to[68 + i] = (uint8_t)(len >> (8 * i));
	return QDB_HEADER;
}

/* false if the other side closed meanwhile */
static bool send_bytes(const void *bytes, size_t len)
{
	return vchan_write_full(v, bytes, len) == 0;
}

static bool send_msg(uint8_t type, const char *path, const char *value)
{
	uint8_t msg[QDB_HEADER + QDB_VALUE_MAX];
	const size_t len = value ? strlen(value) : 0;

	(void)raw(msg, type, path, strlen(path), (uint32_t)len);
	if (len > 0)
		memcpy(msg + QDB_HEADER, value, len);
	return send_bytes(msg, QDB_HEADER + len);
}

/* the type of the next message; -1 when the other side closes */
static int answer(void)
{
	uint8_t head[QDB_HEADER], value[QDB_VALUE_MAX];
	struct qdb_head h;

	if (vchan_read_full(v, head, sizeof(head)) < 0)
		return -1;
	if (qdb_head_decode(head, &h) != 0)
		lost("the daemon sent what is no message");
	if (h.value_len > 0 && vchan_read_full(v, value, h.value_len) < 0)
		return -1;
	return (int)h.type;
}

/* the other side closes, and does not wait for more of this */
static void expect_end(const char *what)
{
	struct pollfd p = {.fd = vchan_fd(v), .events = POLLIN};
	char buf[4096];
	size_t n;

	for (;;) {
		int r;

		if (poll(&p, 1, WAIT_MS) != 1)
			lost(what);
		r = vchan_read(v, buf, sizeof(buf), &n);
		if (r < 0 && r != -EAGAIN)
			break;
		if (r == 0 && n == 0)
			break;
	}
	hang_up();
}

static void garbage(void)
{
	uint32_t x = 12345;
	uint8_t bytes[8192];

	for (unsigned round = 0; round < 5; round++) {
		dial();
		for (size_t i = 0; i < sizeof(bytes); i++) {
			x = x * 1664525u + 1013904223u;
			bytes[i] = (uint8_t)(x >> 24);
		}
		(void)send_bytes(bytes, sizeof(bytes));
		expect_end("garbage was read on and on");
	}
}

static void lengths(void)
{
	static const uint32_t rows[] = {3072, 65536, 0x7fffffff, 0x80000000, 0xffffffff};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t head[QDB_HEADER];

		dial();
		(void)send_bytes(head, raw(head, QDB_WRITE, "/big", 4, rows[i]));
		expect_end("a length without end was believed");
	}
}

static void paths(void)
{
	static const char *const rows[] = {"-x",    "/a b", "/a\n", "/\xff", "/a;b", "",
					   "/dir/", "/$x",  "/*",   "/a\\b", "/%s%n"};
	uint8_t head[QDB_HEADER];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		dial();
		(void)send_msg(QDB_WRITE, rows[i], "v");
		expect_end("a bad path was taken");
	}
	dial(); /* 64 bytes, and no NUL among them */
	memset(head, 'x', sizeof(head));
	(void)raw(head, QDB_WRITE,
		  "/123456789012345678901234567890123456789012345678901234567890123", 64, 0);
	(void)send_bytes(head, sizeof(head));
	expect_end("a path without an end was taken");
}

static void values(void)
{
	uint8_t msg[QDB_HEADER + 3];

	dial();
	(void)raw(msg, QDB_WRITE, "/nul", 4, 3);
	memcpy(msg + QDB_HEADER, "a\0b", 3);
	(void)send_bytes(msg, sizeof(msg));
	expect_end("a NUL in a value was taken");
}

static void types(void)
{
	static const uint8_t rows[] = {QDB_READ,    QDB_LIST,    QDB_WATCH, QDB_UNWATCH,
				       QDB_READ_IS, QDB_LIST_IS, QDB_FIRED, QDB_MULTIREAD_IS,
				       QDB_OK, /* to nothing */
				       14,          255};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		dial();
		(void)send_msg(rows[i], "/name", NULL);
		expect_end("a message that a qube does not send was taken");
	}
}

static void steal(void)
{
	dial();
	if (!send_msg(QDB_WRITE, "/name", "dom0") || answer() != QDB_ERROR)
		lost("the qube renamed itself");
	if (!send_msg(QDB_RM, "/name", NULL) || answer() != QDB_ERROR)
		lost("the qube removed its name");
	if (!send_msg(QDB_RM, "/", NULL) || answer() != QDB_ERROR)
		lost("the qube removed everything");
	if (!send_msg(QDB_WRITE, "/qubes-block-devices", "") || answer() != QDB_OK)
		lost("the qube could not report");
	hang_up();
}

static void fill(void)
{
	char path[QDB_PATH_MAX + 1], value[3001];
	unsigned n_kept = 0, n_refused = 0;

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	dial();
	for (unsigned i = 0; i < 2500 && n_refused < 900; i++) {
		int type;

		(void)snprintf(path, sizeof(path), "/fill/%u", i);
		if (!send_msg(QDB_WRITE, path, i % 2 ? value : ""))
			lost("cut off too early");
		type = answer();
		n_kept += type == QDB_OK;
		n_refused += type == QDB_ERROR;
	}
	(void)printf("%u kept, %u refused\n", n_kept, n_refused);
	if (n_kept > 2000 || n_refused == 0)
		lost("there was no end of room");
	if (!send_msg(QDB_RM, "/fill/", NULL) || answer() != QDB_OK)
		lost("its own entries could not be removed");
	hang_up();
}

/* answers are read, one change at a time, as fast as it goes: until we are told to end */
static void flood(void)
{
	const uint64_t end = io_now_ms() + 4000;

	dial();
	while (io_now_ms() < end) {
		for (unsigned i = 0; i < 50; i++)
			if (!send_msg(QDB_WRITE, "/flood", "x"))
				lost("cut off for writing what it may");
		for (unsigned i = 0; i < 50; i++)
			if (answer() != QDB_OK)
				lost("a good write was refused");
	}
	hang_up();
}

/* asks for everything and reads nothing of it: the daemon stops listening rather than growing */
static void deaf(void)
{
	uint8_t head[QDB_HEADER];
	unsigned n = 0;
	struct pollfd p = {.events = POLLOUT};
	size_t len;

	dial();
	p.fd = vchan_fd(v);
	(void)raw(head, QDB_MULTIREAD, "", 0, 0);
	while (n < 1000000 && poll(&p, 1, 1000) == 1) {
		int r = vchan_write(v, head, sizeof(head), &len);

		if (r < 0 && r != -EAGAIN)
			lost("closed without need");
		n += r == 0;
	}
	(void)printf("%u requests until it stopped listening\n", n);
	if (n == 1000000)
		lost("it listened to all of it");
	(void)fflush(stdout);
	(void)poll(NULL, 0, 3000); /* dom0 is looked at meanwhile */
	hang_up();
}

/* takes the dump and then never answers what dom0 changes */
static void mute(void)
{
	char buf[4096];
	size_t n;

	dial();
	if (!send_msg(QDB_MULTIREAD, "", NULL))
		lost("no dump");
	(void)printf("connected\n");
	(void)fflush(stdout);
	for (;;) {
		struct pollfd p = {.fd = vchan_fd(v), .events = POLLIN};
		int r;

		if (poll(&p, 1, 20000) != 1)
			lost("its silence was borne for ever");
		r = vchan_read(v, buf, sizeof(buf), &n);
		if ((r < 0 && r != -EAGAIN) || (r == 0 && n == 0))
			break;
	}
	hang_up();
}

static void refused(void)
{
	dial();
	for (unsigned i = 0; i < 5000; i++)
		if (!send_msg(QDB_WRITE, "/name", "dom0") || answer() < 0)
			return;
	lost("5000 refusals and still heard");
}

static void reconnect(void)
{
	for (unsigned i = 0; i < 1000; i++) {
		if (vchan_client_new(NULL, vchan_own_domid(), 0, QDB_PORT, 0, &v) < 0)
			return;
		hang_up();
		(void)poll(NULL, 0, 1);
	}
	lost("1000 connections and still accepted");
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
	{"garbage", garbage}, {"lengths", lengths}, {"paths", paths},     {"values", values},
	{"types", types},     {"steal", steal},     {"fill", fill},       {"flood", flood},
	{"deaf", deaf},       {"mute", mute},       {"refused", refused}, {"reconnect", reconnect},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < ARRAY_LEN(modes); i++)
		if (strcmp(argv[1], modes[i].name) == 0) {
			modes[i].run();
			return 0;
		}
	(void)fprintf(stderr, "usage: qubesdb-liar MODE\n");
	return 2;
}
