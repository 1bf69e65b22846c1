/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A job as a process: read the request, do it, tell the verdict. */
#include "job/run.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/** REQUEST_MAX - a look at all volumes of as many qubes as there may be takes half of that */
#define REQUEST_MAX (16u << 20)

static bool verdict_told;

/* a line of fields: what separates them is taken out of the text */
static void tell(char *line, size_t len)
{
	if (io_write_full(JOB_PROGRESS_FD, line, len) < 0)
		exit(EXIT_FAILURE); /* nobody listens: qubesd is gone, and so are we */
}

static void flatten(char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '\t' || *text == '\n' || *text == '\r')
			*text = ' ';
}

void run_progress(const char *stage, const char *text, uint64_t done, uint64_t total)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "progress\t%s\t%.700s\t%" PRIu64 "\t%" PRIu64 "\n",
			 stage, text, done, total);

	if (n > 0 && (size_t)n < sizeof(line))
		tell(line, (size_t)n);
}

static void tell_end(const char *type, const char *text)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "end\t%s\t%.700s\n", type, text);

	if (n > 0 && (size_t)n < sizeof(line))
		tell(line, (size_t)n);
	verdict_told = true;
}

int run_fail(const char *type, const char *format, ...)
{
	char text[768];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	flatten(text);
	if (!verdict_told)
		tell_end(type, text);
	return -ECANCELED;
}

static int read_request(struct request *r)
{
	AUTO_FREE char *bytes = NULL;
	size_t len;
	int e = io_read_all(JOB_REQUEST_FD, REQUEST_MAX, &bytes, &len);

	if (e < 0)
		return e;
	text_bytes(&r->body, bytes, len);
	return r->body.failed ? -EFBIG : 0;
}

int run_job(const char *kind)
{
	static const struct {
		const char *kind;
		int (*run)(const struct request *r);
	} kinds[] = {
		{"create", run_create}, {"remove", run_remove}, {"start", run_start},
		{"stop", run_stop},     {"import", run_import}, {"clone", run_clone},
		{"resize", run_resize}, {"revert", run_revert}, {"tell", run_tell},
		{"usage", run_usage},   {"zygote", run_zygote}, {"look", run_look},
		{"folder", run_folder},
	};
	struct request AUTO(request_done) request = {0};
	int r;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].kind, kind) != 0)
			continue;
		r = read_request(&request);
		if (r == 0)
			r = kinds[i].run(&request);
		if (r == 0)
			tell_end("", "");
		else if (!verdict_told)
			(void)run_fail("QubesException", "job %s: %s", kind, log_errno_str(r));
		return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	log_err(NULL, "there is no job '%s'", kind);
	return 2;
}
