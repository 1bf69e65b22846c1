/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that a qube makes. Nothing allows any: each is refused and said so. Whoever decides will
 * stand here: what is known of the request is in the message, the answer goes out by agent_send().
 */
#include "daemon.h"

#include <string.h>

int policy_request(struct daemon *d, const struct qrexec_msg *m)
{
	struct qrexec_msg refusal = {.type = QREXEC_SERVICE_REFUSED};
	char service[128], target[80];
	int r;

	memcpy(refusal.ident, m->ident, sizeof(refusal.ident));
	r = agent_send(d, &refusal);
	if (r == 0 && log_allowed(&d->noise, d->name))
		log_info(d->name, "service \"%s\" to \"%s\" refused: no policy allows it",
			 log_quote(service, sizeof(service), m->service, m->service_len),
			 log_quote(target, sizeof(target), m->target, strlen(m->target)));
	return r;
}
