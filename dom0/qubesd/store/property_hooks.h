/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What the rows of property_rows.h name: how a value that nobody has set is computed, and what a new one must be. Of property.c, property_compute.c
 * and property_check.c alone.
 */
#include "base/str.h"
#include "store/model.h"
#include "store/property.h"

#include <stdlib.h>

/** COMPUTE - the raw value of @q's property, in @buf of PROPERTY_BUF bytes or elsewhere; NULL: it has none */
#define COMPUTE(name)                                                                              \
	const char *compute_##name(const struct model *m, const struct qube *q, char *buf)

COMPUTE(name);
COMPUTE(uuid);
COMPUTE(qid);
COMPUTE(klass);
COMPUTE(xid);
COMPUTE(start_time);
COMPUTE(updateable);
COMPUTE(in_backups);
COMPUTE(is_preload);
COMPUTE(icon);
COMPUTE(ip);
COMPUTE(gateway);
COMPUTE(visible_ip);
COMPUTE(visible_gateway);
COMPUTE(visible_netmask);
COMPUTE(dns);
COMPUTE(netvm);
COMPUTE(dispvm);
COMPUTE(keyboard);
COMPUTE(kernelopts);
COMPUTE(maxmem);
COMPUTE(newest_kernel);
COMPUTE(pool);
COMPUTE(qrexec_timeout);
COMPUTE(system_memory);
COMPUTE(system_cpus);

/** CHECK_ARGS - of a check of @raw, a value of the right type, as @q's @p (NULL: the system's). Return: 0; REFUSED with @why */
#define CHECK_ARGS                                                                                 \
	const struct model *m, const struct qube *q, const struct property *p, const char *raw,    \
		struct refusal *why

MUST_CHECK int check_any(CHECK_ARGS);
MUST_CHECK int check_positive(CHECK_ARGS);
MUST_CHECK int check_not_negative(CHECK_ARGS);
MUST_CHECK int check_amount(CHECK_ARGS);
MUST_CHECK int check_memory(CHECK_ARGS);
MUST_CHECK int check_maxmem(CHECK_ARGS);
MUST_CHECK int check_vcpus(CHECK_ARGS);
MUST_CHECK int check_label(CHECK_ARGS);
MUST_CHECK int check_virt_mode(CHECK_ARGS);
MUST_CHECK int check_user(CHECK_ARGS);
MUST_CHECK int check_keyboard(CHECK_ARGS);
MUST_CHECK int check_ip(CHECK_ARGS);
MUST_CHECK int check_ip6(CHECK_ARGS);
MUST_CHECK int check_interfaces(CHECK_ARGS);
MUST_CHECK int check_mac(CHECK_ARGS);
MUST_CHECK int check_kernel(CHECK_ARGS);
MUST_CHECK int check_pool(CHECK_ARGS);
MUST_CHECK int check_template_or_none(CHECK_ARGS);
MUST_CHECK int check_template(CHECK_ARGS);
MUST_CHECK int check_dispvm(CHECK_ARGS);
MUST_CHECK int check_provides(CHECK_ARGS);
MUST_CHECK int check_default_netvm(CHECK_ARGS);
MUST_CHECK int check_netvm(CHECK_ARGS);
MUST_CHECK int check_provider(CHECK_ARGS);
MUST_CHECK int check_dispvms(CHECK_ARGS);

/** value_error - the type of exception for a value that cannot be */
#define value_error "QubesPropertyValueError"

/** raw_int() - a raw value of type int */
static inline int64_t raw_int(const char *raw)
{
	return strtoll(raw, NULL, 10);
}

/** raw_qube() - the qube that a raw value of type vm names; NULL: none */
static inline struct qube *raw_qube(const struct model *m, const char *raw)
{
	uint64_t qid;

	if (!raw || str_u64(raw, QID_MAX, &qid) < 0)
		return NULL;
	return model_get(m, (unsigned)qid);
}
