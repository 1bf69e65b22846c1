/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What qrexec-agent writes to a session's fork server, in the machine's own byte order: the order, then @len bytes, the
 * command without its user, and its NUL. The connection lasts as long as the call.
 */
#include "base/attr.h"

/** FORK_SERVER_SOCKET - where it listens; %s is the user */
#define FORK_SERVER_SOCKET "/var/run/qubes/qrexec-server.%s.sock"

struct fork_order {
	int32_t type, domid, port; /* enum qrexec_type: EXEC_CMDLINE or JUST_EXEC */
	uint32_t len;
};
