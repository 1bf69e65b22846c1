/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon.h"

#include "sandbox/sandbox.h"

int confine(const char *name, uid_t uid)
{
	static const struct sandbox_call calls[] = {
		{"accept4"}, /* local clients */
	};
	const struct sandbox s = {.calls = calls,
				  .n_calls = ARRAY_LEN(calls),
				  .uid = uid,
				  .gid = uid,
				  .max_fds = CLIENTS_MAX + 64};
	unsigned missing;
	int r = sandbox_enter(&s, &missing);

	if (r == 0 && missing)
		log_info(name, "confined without %s", sandbox_missing_str(missing));
	return r;
}
