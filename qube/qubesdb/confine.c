/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "confine.h"

#include "base/log.h"
#include "qdb/serve.h"
#include "sandbox/sandbox.h"

int confine(void)
{
	static const struct sandbox_call calls[] = {
		{"accept4"}, /* local clients */
	};
	const struct sandbox s = {
		.calls = calls,
		.n_calls = ARRAY_LEN(calls),
		.max_fds = QDB_MAX_CLIENTS + 32,
	};
	unsigned missing;
	int r = sandbox_enter(&s, &missing);

	if (r < 0)
		log_err(NULL, "cannot confine itself: %s", log_errno_str(r));
	else if (missing)
		log_info(NULL, "confined without %s", sandbox_missing_str(missing));
	return r;
}
