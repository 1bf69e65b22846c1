/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon.h"

unsigned ports_take(struct ports *p, uint32_t own, uint32_t domid)
{
	for (unsigned i = 0; i < QREXEC_N_PORTS; i++) {
		const bool odd = (QREXEC_PORT_DATA + i) % 2 != 0;

		if (p->slots[i].used || (domid != 0 && odd != (own > domid)))
			continue;
		p->slots[i].used = true;
		p->slots[i].domid = domid;
		p->n_used++;
		return QREXEC_PORT_DATA + i;
	}
	return 0;
}

bool ports_release(struct ports *p, uint32_t domid, uint32_t port)
{
	const uint32_t i = port - QREXEC_PORT_DATA;

	if (port < QREXEC_PORT_DATA || i >= QREXEC_N_PORTS || !p->slots[i].used ||
	    p->slots[i].domid != domid)
		return false;
	p->slots[i].used = false;
	p->n_used--;
	return true;
}

void ports_reset(struct ports *p)
{
	*p = (struct ports){0};
}
