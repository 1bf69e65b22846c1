/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a qube can say that is not so: its agent on the control channel, a daemon that was taken over in the agent's words, and who has a
 * data channel with dom0. */
#include "qrexec-rude.h"

#include "base/io.h"
#include "proto/qrexec.h"
#include "vchan/vchan.h"

#include <poll.h>
#include <string.h>

/* ---- the agent's lies ---------------------------------------------------------------------- */

static void no_hello(struct vchan *v)
{
	trigger4(v, "dom0", 4, "S1", "a.B", 4);
}

static void old_version(struct vchan *v)
{
	number(v, QREXEC_HELLO, 1);
}

static void version_zero(struct vchan *v)
{
	number(v, QREXEC_HELLO, 0);
}

static void hello_twice(struct vchan *v)
{
	hello(v);
	hello(v);
}

static void unknown_type(struct vchan *v)
{
	hello(v);
	message(v, 0x999, "", 0);
}

static void dom0s_message(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_EXEC_CMDLINE, "\0\0\0\0\1\2\0\0root:id", 16);
}

static void endless_length(struct vchan *v)
{
	hello(v);
	header(v, QREXEC_TRIGGER_SERVICE4, 0xffffffff);
}

static void no_service(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "", 0);
}

static void service_unended(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a.B", 3);
}

static void target_unended(struct vchan *v)
{
	char target[64];

	hello(v);
	memset(target, 'a', sizeof(target));
	trigger4(v, target, sizeof(target), "S1", "a.B", 4);
}

static void ident_odd(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1\033[2J", "a.B", 4);
}

static void terminated_short(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_CONNECTION_TERMINATED, "\0\0\0\0", 4);
}

static void terminated_flood(struct vchan *v)
{
	uint8_t p[8] = {0};

	hello(v);
	for (unsigned i = 0; i < 20000; i++) {
		p[4] = (uint8_t)i;
		p[5] = (uint8_t)(i >> 8);
		message(v, QREXEC_CONNECTION_TERMINATED, p, sizeof(p));
	}
}

static void half_a_message(struct vchan *v)
{
	hello(v);
	raw(v, "\x13\x02\0\0\xa5\0\0\0abc", 11);
}

static void service_empty(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "", 1);
}

static void service_plus(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "+x", 3);
}

static void service_nul(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a\0b", 4);
}

static void service_honest(struct vchan *v)
{
	hello(v);
	trigger4(v, "@default", 8, "S1", "qubes.Filecopy", 15);
}

/* as much as it takes; it must stop taking before our memory is in its hands */
static void flood(struct vchan *v, const char *service)
{
	const uint64_t until = io_now_ms() + 2000;
	const size_t len = 160 + strlen(service) + 1;
	static uint8_t p[QREXEC_HEADER_LEN + 256];
	size_t n, total = 0;

	hello(v);
	qrexec_header_encode(QREXEC_TRIGGER_SERVICE4, len, p);
	memcpy(p + QREXEC_HEADER_LEN + 128, "S1", 2);
	memcpy(p + QREXEC_HEADER_LEN + 160, service, strlen(service));
	while (io_now_ms() < until) {
		size_t at = 0;

		while (at < QREXEC_HEADER_LEN + len && io_now_ms() < until) {
			int r = vchan_write(v, p + at, QREXEC_HEADER_LEN + len - at, &n);

			if (r < 0 && r != -EAGAIN)
				return;
			if (r == 0)
				at += n;
			else
				(void)poll(NULL, 0, 10);
		}
		total += QREXEC_HEADER_LEN + len;
	}
	if (total > 64u << 20)
		give_up("it took all of it");
}

static void flood_unread(struct vchan *v)
{
	flood(v, "");
}

static void calls_unread(struct vchan *v)
{
	flood(v, "qubes.Filecopy");
}

static void ident_twice(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a.B", 4);
	trigger4(v, "vault", 5, "S1", "a.B", 4);
}

static void call_then_go(struct vchan *v)
{
	hello(v);
	for (unsigned i = 0; i < 100; i++)
		trigger4(v, "dom0", 4, "S1", "a.B", 4);
	message(v, 0x999, "", 0);
}

const struct lie agent_lies[] = {
	{"no-hello", no_hello, CUT_OFF},
	{"old-version", old_version, CUT_OFF},
	{"version-zero", version_zero, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"hello-twice", hello_twice, CUT_OFF},
	{"unknown-type", unknown_type, CUT_OFF},
	{"dom0s-message", dom0s_message, CUT_OFF},
	{"endless-length", endless_length, CUT_OFF},
	{"no-service", no_service, CUT_OFF},
	{"service-unended", service_unended, CUT_OFF},
	{"target-unended", target_unended, CUT_OFF},
	{"ident-odd", ident_odd, CUT_OFF},
	{"terminated-short", terminated_short, CUT_OFF},
	{"terminated-flood", terminated_flood, KEPT},
	{"half-a-message", half_a_message, KEPT},
	{"service-empty", service_empty, REFUSED},
	{"service-plus", service_plus, REFUSED},
	{"service-nul", service_nul, REFUSED},
	{"service-honest", service_honest, REFUSED},
	{"flood-unread", flood_unread, KEPT},
	{"calls-unread", calls_unread, KEPT},
	{"ident-twice", ident_twice, REFUSED},
	{"call-then-go", call_then_go, CUT_OFF},
	{0},
};

/* ---- the lies of a daemon to its broker ------------------------------------------------------ */

static void broker_honest(struct vchan *v)
{
	hello(v);
	trigger4(v, "@default", 8, "S1", "qubes.Filecopy", 15);
}

static void broker_service(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a.B root", 9);
}

static void broker_service_nul(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "a\0b", 4);
}

static void broker_service_empty(struct vchan *v)
{
	hello(v);
	trigger4(v, "dom0", 4, "S1", "", 1);
}

static void broker_target(struct vchan *v)
{
	hello(v);
	trigger4(v, "a\nsource=dom0", 13, "S1", "a.B", 4);
}

static void broker_terminated(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_CONNECTION_TERMINATED, "\0\0\0\0\1\2\0\0", 8);
}

const struct lie broker_lies[] = {
	{"honest", broker_honest, REFUSED},
	{"no-hello", no_hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"hello-twice", hello_twice, CUT_OFF},
	{"dom0s-message", dom0s_message, CUT_OFF},
	{"endless-length", endless_length, CUT_OFF},
	{"service-odd", broker_service, CUT_OFF},
	{"service-nul", broker_service_nul, CUT_OFF},
	{"service-empty", broker_service_empty, CUT_OFF},
	{"target-odd", broker_target, CUT_OFF},
	{"terminated", broker_terminated, CUT_OFF},
	{0},
};

/* ---- the qube's lies on a data channel ------------------------------------------------------ */

static void data_no_hello(struct vchan *v)
{
	message(v, QREXEC_DATA_STDOUT, "x", 1);
}

static void data_stdin(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDIN, "x", 1);
}

static void data_huge(struct vchan *v)
{
	hello(v);
	header(v, QREXEC_DATA_STDOUT, 65537);
}

static void data_after_end(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDOUT, "", 0);
	message(v, QREXEC_DATA_STDOUT, "x", 1);
}

static void data_end_twice(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDERR, "", 0);
	message(v, QREXEC_DATA_STDERR, "", 0);
}

static void data_no_code(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDOUT, "", 0);
	message(v, QREXEC_DATA_STDERR, "", 0);
}

static void data_cut(struct vchan *v)
{
	hello(v);
	raw(v, "\x91\x01\0\0\0\x10\0\0half", 12);
}

static void data_code_256(struct vchan *v)
{
	hello(v);
	number(v, QREXEC_DATA_EXIT_CODE, 256); /* must not become 0 */
}

static void data_code_big(struct vchan *v)
{
	hello(v);
	number(v, QREXEC_DATA_EXIT_CODE, 0xffffff00);
}

static void data_code_long(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_EXIT_CODE, "\0\0\0\0\0\0\0\0", 8);
}

static void data_silence(struct vchan *v)
{
	(void)v;
}

const struct lie data_lies[] = {
	{"no-hello", data_no_hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"old-version", old_version, CUT_OFF},
	{"stdin", data_stdin, CUT_OFF},
	{"huge", data_huge, CUT_OFF},
	{"after-end", data_after_end, CUT_OFF},
	{"end-twice", data_end_twice, CUT_OFF},
	{"no-code", data_no_code, CUT_OFF},
	{"cut", data_cut, CUT_OFF},
	{"code-256", data_code_256, CUT_OFF},
	{"code-big", data_code_big, CUT_OFF},
	{"code-long", data_code_long, CUT_OFF},
	{"silence", data_silence, CUT_OFF},
	{0},
};

/* ---- the lies of a qube that calls ----------------------------------------------------------- */

static void caller_no_hello(struct vchan *v)
{
	message(v, QREXEC_DATA_STDIN, "xxxx", 4);
}

static void caller_stdout(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDOUT, "x", 1);
}

static void caller_code(struct vchan *v)
{
	hello(v);
	number(v, QREXEC_DATA_EXIT_CODE, 0);
}

static void caller_huge(struct vchan *v)
{
	hello(v);
	header(v, QREXEC_DATA_STDIN, 65537);
}

static void caller_after_end(struct vchan *v)
{
	hello(v);
	message(v, QREXEC_DATA_STDIN, "", 0);
	message(v, QREXEC_DATA_STDIN, "x", 1);
}

static void caller_cut(struct vchan *v)
{
	hello(v);
	raw(v, "\x90\x01\0\0\0\x10\0\0half", 12);
}

const struct lie caller_lies[] = {
	{"no-hello", caller_no_hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"old-version", old_version, CUT_OFF},
	{"hello-twice", hello_twice, CUT_OFF},
	{"stdout", caller_stdout, CUT_OFF},
	{"code", caller_code, CUT_OFF},
	{"huge", caller_huge, CUT_OFF},
	{"after-end", caller_after_end, CUT_OFF},
	{"cut", caller_cut, KEPT},
	{"silence", data_silence, KEPT},
	{"absence", NULL, KEPT}, /* it never listens where it was told to */
	{0},
};
