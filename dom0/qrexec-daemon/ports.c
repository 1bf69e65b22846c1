/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel is between two ids and a port, so each pair of qubes has the whole range: a port that is in use with one
 * qube is free with all others. How many calls there are at a time is bounded for all together. The last PORTS_SPARE are
 * for callers that have none, one each; of what is left besides a caller gets no more than it has already. So one alone
 * gets half, the next one half of the rest, and some dozens of them must work together to leave nothing for another one.
 * Dom0 may have all that is left.
 */
#include "daemon.h"

#define PORTS_SPARE 32

static bool is_of(uint32_t domid, uint32_t own, unsigned port)
{
	const bool odd = port % 2 != 0;

	return domid == 0 || odd == (own < domid);
}

static bool has_its_share(unsigned n_its, unsigned n_left)
{
	return n_its > 0 && (n_left <= PORTS_SPARE || n_its >= n_left - PORTS_SPARE);
}

unsigned ports_take(struct ports *p, uint32_t own, uint32_t domid)
{
	bool used[QREXEC_N_PORTS] = {0};
	unsigned n_its = 0, slot = QREXEC_N_PORTS;

	for (unsigned i = QREXEC_N_PORTS; i-- > 0;) {
		if (p->slots[i].port == 0) {
			slot = i;
		} else if (p->slots[i].domid == domid) {
			used[p->slots[i].port - QREXEC_PORT_DATA] = true;
			n_its++;
		}
	}
	if (slot == QREXEC_N_PORTS ||
	    (domid != 0 && has_its_share(n_its, QREXEC_N_PORTS - p->n_used)))
		return 0;
	for (unsigned i = 0; i < QREXEC_N_PORTS; i++) {
		if (used[i] || !is_of(domid, own, QREXEC_PORT_DATA + i))
			continue;
		p->slots[slot].port = (uint16_t)(QREXEC_PORT_DATA + i);
		p->slots[slot].domid = domid;
		p->n_used++;
		return QREXEC_PORT_DATA + i;
	}
	return 0;
}

bool ports_release(struct ports *p, uint32_t domid, uint32_t port)
{
	for (unsigned i = 0; port != 0 && i < QREXEC_N_PORTS; i++) {
		if (p->slots[i].port != port || p->slots[i].domid != domid)
			continue;
		p->slots[i].port = 0;
		p->n_used--;
		return true;
	}
	return false;
}

void ports_reset(struct ports *p)
{
	*p = (struct ports){0};
}
