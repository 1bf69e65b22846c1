/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job that changes entries of a running qube's QubesDB: keys "write:PATH" and "remove:PATH", in order. */
#include "base/log.h"
#include "base/str.h"
#include "job/run.h"
#include "qdb/call.h"
#include "sandbox/sandbox.h"

#include <string.h>
#include <unistd.h>

/** PATIENCE_S - the daemon answers from memory; one that its qube has taken over may not */
#define PATIENCE_S 10

/* 0; an outcome; -errno */
static int change(struct qdb_call *qdb, const char *key, const char *value)
{
	static const char write[] = "write:", remove[] = "remove:";
	int r = 0;

	if (str_starts(key, write))
		r = qdb_call_write(qdb, key + strlen(write), value);
	else if (str_starts(key, remove))
		r = qdb_call_remove(qdb, key + strlen(remove));
	return r == QDB_A_ENOENT ? 0 : r;
}

int run_tell(const struct request *request)
{
	const struct sandbox walls = {.max_memory = UINT64_C(64) << 20};
	const char *socket = request_get(request, "socket"), *key = NULL, *value;
	struct qdb_call *qdb = NULL;
	unsigned missing;
	int r;

	/* before it is connected to: that waits, too, where nobody accepts */
	(void)alarm(PATIENCE_S);
	r = socket ? qdb_call_open(socket, &qdb) : -EINVAL;
	if (r < 0)
		return run_fail("QubesException", "its QubesDB cannot be reached: %s",
				log_errno_str(r));
	r = sandbox_enter(&walls, &missing);
	while (r == 0 && (key = request_next(request, key, &value)))
		r = change(qdb, key, value);
	qdb_call_free(qdb);
	if (r != 0)
		return run_fail("QubesException", "its QubesDB: %s",
				r < 0 ? log_errno_str(r) : "the entry was refused");
	return 0;
}
