/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bulkhead.Import: definitions of qubes come as a file, and are made together (import.h). */
#include "import.h"

#include "api/call.h"
#include "api/method.h"
#include "proto/import.h"
#include "qubesd.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void progressed(void *data, const char *qube, unsigned n, unsigned of)
{
	call_progress(data, "volumes", qube, n, of);
}

static void done(void *data, const struct refusal *why)
{
	struct call *c = data;

	if (why)
		c->why = *why;
	c->changed = true;
	call_end(c, why ? REFUSED : 0);
}

/* a regular file is read at once, whatever its offset */
static int read_definitions(struct call *c, char **ret, size_t *ret_len)
{
	AUTO_FREE char *bytes = NULL;
	struct stat st;
	size_t len = 0;

	if (c->fd < 0 || fstat(c->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return refuse(&c->why, "ProtocolError",
			      "a regular file with definitions comes along as a descriptor");
	if (st.st_size > IMPORT_LEN_MAX)
		return refuse(&c->why, "ProtocolError", "definitions have at most %u bytes",
			      IMPORT_LEN_MAX);
	bytes = calloc(1, (size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	while (len < (size_t)st.st_size) {
		ssize_t n = pread(c->fd, bytes + len, (size_t)st.st_size - len, (off_t)len);

		if (n < 0)
			return fail_errno();
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret = take_ptr(&bytes);
	*ret_len = len;
	return 0;
}

int bulkhead_import(struct call *c)
{
	static const struct import_events events = {progressed, done};
	const bool only_try = str_eq(c->q.arg, "try");
	struct import *im = NULL;
	char *bytes = NULL;
	size_t len = 0;
	int r;

	if (c->q.arg[0] != '\0' && !only_try)
		return refuse(&c->why, "ProtocolError", "the argument is try or empty, not '%s'",
			      c->q.arg);
	r = read_definitions(c, &bytes, &len);
	if (r == 0)
		r = import_plan(c->d, bytes, len, &im, &c->why);
	if (r != 0)
		return r;
	text_bytes(&c->out, import_left_out(im)->at, import_left_out(im)->len);
	if (only_try) {
		import_free(im);
		return 0;
	}
	r = import_begin(im, &events, c, &c->why);
	if (r == 0)
		return CALL_LATER;
	import_free(im);
	return r;
}
