/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "confine.h"

#include "base/log.h"
#include "qdb/serve.h"
#include "sandbox/sandbox.h"

int confine(const char *name, uid_t uid)
{
	static const struct sandbox_call calls[] = {
		{"accept4"},   /* local clients, and the qube's daemon when it comes again */
		{"pwritev"},   /* the journal */
		{"ftruncate"}, /* the journal, made short again */
	};
	const struct sandbox s = {
		.calls = calls,
		.n_calls = ARRAY_LEN(calls),
		.uid = uid,
		.gid = uid,
		.max_fds = QDB_MAX_CLIENTS + 32,
		.max_memory = 256u << 20,
	};
	unsigned missing;
	int r = sandbox_enter(&s, &missing);

	if (r < 0)
		log_err(name, "cannot confine itself: %s", log_errno_str(r));
	else if (missing)
		log_info(name, "confined without %s", sandbox_missing_str(missing));
	return r;
}
