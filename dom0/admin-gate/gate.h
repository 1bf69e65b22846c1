/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * admin-gate's parts.
 *
 *	main.c		the story: what is called, the walls, the payload, the answer
 *	confine.c	the walls
 *	hide.c		what the caller may not hear of
 */
#include "base/attr.h"

struct gate_method;

/** confine() - nothing but to read and write on what is open; 0; -errno */
MUST_CHECK int confine(void);

/**
 * struct hide - who asks what the caller may hear of
 * @policy_fd:	a connection to policyd that is kept; NO_FD: the caller is dom0, which hears everything
 * @source:	the caller
 */
struct hide {
	int policy_fd;
	const char *source;
};

/**
 * hide_begin() - ask something at once, whatever it is
 *
 * policyd keeps a connection on which something was asked, and lets go of others after a while: the first event may come much
 * later. It keeps few for one caller, so nothing that the caller could draw out stands between this and the call.
 *
 * Return: 0; -errno.
 */
MUST_CHECK int hide_begin(const struct hide *h, const struct gate_method *m);
/** hide_list() - admin.vm.List's answer with the lines of those qubes alone that the policy lets the caller list; 0; -errno */
MUST_CHECK int hide_list(const struct hide *h, const char *answer, size_t len, int to);
/** hide_events() - copy a stream, event by event; 0 at its end; -errno */
MUST_CHECK int hide_events(const struct hide *h, const struct gate_method *m, int from, int to);
