/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The lies of qrexec-rude. */
#include "rude.h"

enum expect { CUT_OFF, KEPT, REFUSED };

/** struct lie - a row; a table of them ends with one without a name */
struct lie {
	const char *name;
	void (*tell)(struct vchan *v);
	enum expect expect;
};

/* ---- rude-qube.c: of an agent, of a daemon to its broker; of a qube that is called and of one that calls, on their data channels */
extern const struct lie agent_lies[], broker_lies[], data_lies[], caller_lies[];
/* ---- rude-local.c: of programs to their agent, of clients to a daemon */
extern const struct lie program_lies[], client_lies[];
