/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ui.h"

#include "args.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>

#define QUIET_MS 2000 /* shorter work shows no progress */
/* plain lines: a new text not sooner than, the same one not sooner than */
#define PLAIN_NEW_MS  2000
#define PLAIN_SAME_MS 15000

int ui_usage(const struct args *a, const char *format, ...)
{
	va_list list;

	(void)fprintf(stderr, "%s: ", a->title);
	va_start(list, format);
	(void)vfprintf(stderr, format, list);
	va_end(list);
	(void)fprintf(stderr, "\nTry: %s --help\n", a->title);
	return ARGS_E_USAGE;
}

int ui_fail(const struct args *a, const char *format, ...)
{
	va_list list;

	(void)fflush(stdout);
	(void)fprintf(stderr, "%s: ", a->title);
	va_start(list, format);
	(void)vfprintf(stderr, format, list);
	va_end(list);
	(void)fputc('\n', stderr);
	return 1;
}

int ui_fail_errno(const struct args *a, const char *what, int r)
{
	return ui_fail(a, "%s%s%s", what ? what : "", what ? ": " : "", log_errno_str(r));
}

void ui_note(const struct args *a, const char *format, ...)
{
	va_list list;

	if (a->verbose < 0)
		return;
	(void)fflush(stdout);
	(void)fprintf(stderr, "%s: ", a->title);
	va_start(list, format);
	(void)vfprintf(stderr, format, list);
	va_end(list);
	(void)fputc('\n', stderr);
}

static unsigned terminal_width(void)
{
	struct winsize size = {0};

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
		return 80;
	return size.ws_col;
}

void ui_progress(struct ui_progress *p, int percent, const char *format, ...)
{
	uint64_t now = io_now_ms();
	char text[256], line[400];
	va_list list;

	if (p->since_ms == 0)
		p->since_ms = p->said_ms = now;
	if (p->args->verbose < 0 || now - p->since_ms < QUIET_MS)
		return;
	va_start(list, format);
	(void)vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	if (percent >= 0)
		(void)snprintf(line, sizeof(line), "%s  %d%%  %us", text, percent,
			       (unsigned)((now - p->since_ms) / 1000));
	else
		(void)snprintf(line, sizeof(line), "%s  %us", text,
			       (unsigned)((now - p->since_ms) / 1000));
	if (isatty(STDERR_FILENO)) {
		(void)fprintf(stderr, "\r\033[K%.*s", (int)terminal_width() - 1, line);
		(void)fflush(stderr);
		p->shown = true;
	} else if (now - p->said_ms >= (strncmp(p->said, text, sizeof(p->said) - 1) == 0
						? PLAIN_SAME_MS
						: PLAIN_NEW_MS)) {
		(void)fprintf(stderr, "%s\n", line);
		p->said_ms = now;
		(void)snprintf(p->said, sizeof(p->said), "%.127s", text);
	}
}

void ui_progress_end(struct ui_progress *p)
{
	if (p->shown)
		(void)fputs("\r\033[K", stderr);
	p->shown = false;
}

bool ui_confirm(const char *format, ...)
{
	char line[64];
	va_list list;

	(void)fflush(stdout);
	va_start(list, format);
	(void)vfprintf(stderr, format, list);
	va_end(list);
	(void)fputs(" [y/N] ", stderr);
	if (!fgets(line, sizeof(line), stdin)) {
		(void)fputc('\n', stderr);
		return false;
	}
	line[strcspn(line, "\n")] = '\0';
	return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0;
}

bool ui_colours(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && (!no || no[0] == '\0') && !str_eq(term, "dumb");
}
