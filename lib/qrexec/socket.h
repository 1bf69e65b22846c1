/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Services that are sockets: a Unix socket among the services is connected to; a link to /dev/tcp[/HOST[/PORT]] leads to
 * that address, what is missing in it being the argument: HOST+PORT, or PORT. In a host of the argument '+' stands
 * for ':', which is no character of a service.
 *
 * The first bytes such a service reads are what was called, "SERVICE[+ARGUMENT] SOURCE[ TYPE TARGET]" and a NUL, unless
 * its configuration skips that.
 */
#include "base/attr.h"

struct qrexec_command;
struct service;

/** struct tcp_address - both are text; a host's is a name or a number */
struct tcp_address {
	char host[256], port[16];
};

/**
 * tcp_address_make() - where a link leads
 * @link:	what it holds, "/dev/tcp..."
 * @argument:	NULL = none
 *
 * Return: 0; SERVICE_E_BROKEN: something is missing, or more is said than is missing.
 */
MUST_CHECK int tcp_address_make(const char *link, const char *argument, struct tcp_address *ret);

/**
 * socket_open() - connect to a service that is a socket, waiting
 * @descriptor:	say what was called
 * @ret_fd:	connected, non-blocking; owned by the caller
 *
 * Return: 0; SERVICE_E_BROKEN; -ETIMEDOUT, -ECONNREFUSED...
 */
MUST_CHECK int socket_open(const struct service *s, const struct qrexec_command *c, bool descriptor,
			   int *ret_fd);
