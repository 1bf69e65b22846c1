/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *log_program = "bulkhead";
static bool log_journal, log_debugging;

void log_open(const char *program)
{
	log_program = program;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
	log_debugging = getenv("BULKHEAD_DEBUG") != NULL;
}

static void log_line(unsigned priority, const char *who, const char *format, va_list args)
{
	int saved = errno;
	char line[1024];
	size_t len = 0;
	int n;

	if (log_journal)
		n = snprintf(line, sizeof(line), "<%u>%s: %s%s", priority, log_program,
			     who ? who : "", who ? ": " : "");
	else
		n = snprintf(line, sizeof(line), "%s: %s%s", log_program, who ? who : "",
			     who ? ": " : "");
	if (n > 0)
		len = (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
	n = vsnprintf(line + len, sizeof(line) - len, format, args);
	if (n > 0)
		len += (size_t)n < sizeof(line) - len ? (size_t)n : sizeof(line) - len - 1;
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	/* one write, so that lines of several processes do not mix; a full pipe loses it: never
	 * wait to log */
	if (write(STDERR_FILENO, line, len) < 0)
		errno = 0;
	errno = saved;
}

void log_err(const char *who, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(3, who, format, args);
	va_end(args);
}

void log_warn(const char *who, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(4, who, format, args);
	va_end(args);
}

void log_info(const char *who, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line(6, who, format, args);
	va_end(args);
}

void log_debug(const char *who, const char *format, ...)
{
	va_list args;

	if (!log_debugging)
		return;
	va_start(args, format);
	log_line(7, who, format, args);
	va_end(args);
}

const char *log_errno_str(int err)
{
	const char *text = strerrordesc_np(err < 0 ? -err : err);

	return text ? text : "unknown error";
}

const char *log_quote(char *to, size_t size, const void *untrusted_bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	const uint8_t *p = untrusted_bytes;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (n + 4 + 3 >= size) { /* this byte's \xNN, or the mark of a cut, and the NUL */
			memcpy(to + n, "...", 3);
			n += 3;
			break;
		}
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\') {
			to[n++] = (char)p[i];
			continue;
		}
		to[n++] = '\\';
		to[n++] = 'x';
		to[n++] = hex[p[i] >> 4];
		to[n++] = hex[p[i] & 15];
	}
	to[n] = '\0';
	return to;
}

bool log_allowed(struct log_limit *limit, const char *who)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		return false;
	if (limit->n_sent == 0 || now.tv_sec - limit->window_s >= (int64_t)limit->interval_s) {
		if (limit->n_dropped > 0)
			log_warn(who, "%u more lines of this kind were left out", limit->n_dropped);
		limit->window_s = now.tv_sec;
		limit->n_sent = 0;
		limit->n_dropped = 0;
	}
	if (limit->n_sent >= limit->burst) {
		limit->n_dropped++;
		return false;
	}
	limit->n_sent++;
	return true;
}
