/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is rude on local sockets: programs to their agent, clients to a daemon. */
#include "qrexec-rude.h"

#include "proto/qrexec.h"
#include "vchan/vchan.h"

#include <poll.h>
#include <string.h>

/* ---- the lies of a program to its agent ------------------------------------------------------ */

static void program_other(struct vchan *v)
{
	message(v, QREXEC_CONNECTION_TERMINATED, "\0\0\0\0\1\2\0\0", 8);
}

static void program_old(struct vchan *v)
{
	static const uint8_t p[128] = "a.B";

	message(v, QREXEC_TRIGGER_SERVICE, p, sizeof(p));
}

static void program_endless(struct vchan *v)
{
	header(v, QREXEC_TRIGGER_SERVICE4, 0xffffffff);
}

static void program_empty(struct vchan *v)
{
	message(v, QREXEC_TRIGGER_SERVICE4, "", 0);
}

static void program_twice(struct vchan *v)
{
	trigger4(v, "dom0", 4, "S1", "a.B", 4);
	trigger4(v, "dom0", 4, "S1", "a.B", 4);
}

static void program_stalls(struct vchan *v)
{
	raw(v, "\x13\2\0\0\xa5\0\0\0abc", 11);
}

const struct lie program_lies[] = {
	{"hello", hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"other", program_other, CUT_OFF},
	{"old", program_old, CUT_OFF},
	{"endless", program_endless, CUT_OFF},
	{"empty", program_empty, CUT_OFF},
	{"twice", program_twice, CUT_OFF},
	{"stall", program_stalls, CUT_OFF},
	{0},
};

/* ---- rude clients -------------------------------------------------------------------------- */

static void client_hello(struct vchan *v)
{
	number(v, QREXEC_HELLO, 3);
}

static void exec_send(struct vchan *v)
{
	message(v, QREXEC_EXEC_CMDLINE, "\0\0\0\0\0\0\0\0nosuch:id", 18);
}

static void client_no_hello(struct vchan *v)
{
	exec_send(v);
}

static void client_twice(struct vchan *v)
{
	client_hello(v);
	exec_send(v);
	exec_send(v);
}

static void client_huge(struct vchan *v)
{
	client_hello(v);
	header(v, QREXEC_EXEC_CMDLINE, 8 + 65536);
}

static void client_own_domain(struct vchan *v)
{
	client_hello(v);
	message(v, QREXEC_EXEC_CMDLINE, "\x2a\0\0\0\0\0\0\0nosuch:id", 18);
}

static void client_no_domain(struct vchan *v)
{
	client_hello(v);
	message(v, QREXEC_EXEC_CMDLINE, "\0\0\1\0\0\0\0\0nosuch:id", 18);
}

static void client_connect_nowhere(struct vchan *v)
{
	static uint8_t p[8 + 32] = {7};

	memcpy(p + 8, "S1", 2);
	client_hello(v);
	message(v, QREXEC_SERVICE_CONNECT, p, sizeof(p));
}

static void client_stalls(struct vchan *v)
{
	client_hello(v);
	raw(v, "\0\2\0\0\x20\0\0\0\0\0", 10);
}

static void client_vanishes(struct vchan *v)
{
	client_hello(v);
	exec_send(v);
	(void)poll(NULL, 0, 200);
}

const struct lie client_lies[] = {
	{"no-hello", client_no_hello, CUT_OFF},
	{"garbage", garbage, CUT_OFF},
	{"twice", client_twice, CUT_OFF},
	{"huge", client_huge, CUT_OFF},
	{"own-domain", client_own_domain, CUT_OFF},
	{"no-domain", client_no_domain, CUT_OFF},
	{"connect-nowhere", client_connect_nowhere, CUT_OFF},
	{"stall", client_stalls, CUT_OFF},
	{"vanish", client_vanishes, KEPT},
	{0},
};
