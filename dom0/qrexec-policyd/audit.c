/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of decisions: to the journal where there is one, and in a hosted instance into two files
 * written in turn, which bounds them.
 *
 * The journal is spoken to directly (its native protocol, datagrams of KEY=VALUE lines) on a socket
 * that was connected before confinement: libsystemd would open one at the first line. The socket is
 * systemd's, so it outlives a restart of the journal.
 */
#include "policyd.h"

#include "base/io.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>

#define FILE_MAX ((uint64_t)8 << 20)
#define JOURNAL  "/run/systemd/journal/socket"

/* the newer of the two goes on, unless it is full */
static int init_files(struct audit *a)
{
	off_t len[2];

	for (unsigned i = 0; i < 2; i++) {
		len[i] = lseek(a->fds[i], 0, SEEK_END);
		if (len[i] < 0)
			return fail_errno();
	}
	/* the one that is not full is being written; none: the first is begun anew */
	a->current = (uint64_t)len[0] >= FILE_MAX && (uint64_t)len[1] < FILE_MAX;
	a->len = (uint64_t)len[a->current];
	return 0;
}

int audit_init(struct audit *a)
{
	a->strangers = (struct log_limit){.interval_s = 10, .burst = 100};
	a->noise = (struct log_limit){.interval_s = 10, .burst = 10};
	a->journal_fd = NO_FD;
	if (io_unix_connect(JOURNAL, SOCK_DGRAM, &a->journal_fd) < 0 && a->fds[0] < 0)
		log_warn(NULL, "there is no journal: decisions are not logged");
	return a->fds[0] >= 0 ? init_files(a) : 0;
}

static void put_file(struct audit *a, const char *line, size_t len)
{
	ssize_t n;

	if (a->len + len > FILE_MAX) {
		a->current = !a->current;
		a->len = 0;
		if (ftruncate(a->fds[a->current], 0) < 0)
			return;
	}
	/* a full disk loses the line, all of it: the next one would go on behind its half. A decision does not wait for its
	 * log */
	n = write(a->fds[a->current], line, len);
	if (n == (ssize_t)len || (n > 0 && ftruncate(a->fds[a->current], (off_t)a->len) < 0))
		a->len += (size_t)n;
}

/* what `journalctl` shows of it; a qube's words quoted, so that no line of theirs becomes a field */
static size_t put_message(const struct audit_entry *e, char *to, size_t size)
{
	char caller[QUBE_NAME_MAX + 1], service[128], target[128];
	const char *verdict = audit_verdict_name(e->verdict);
	unsigned priority = e->verdict == AUDIT_FAULT ? LOG_ERR : LOG_INFO;
	size_t n = (size_t)snprintf(
		to, size, "PRIORITY=%u\nSYSLOG_IDENTIFIER=qrexec-policyd\nMESSAGE=", priority);

	if (e->verdict == AUDIT_POLICY || e->verdict == AUDIT_FAULT)
		return n + (size_t)snprintf(to + n, size - n, "%s: %.256s", verdict, e->reason);
	return n +
	       (size_t)snprintf(to + n, size - n, "%s: %s to %s: %s",
				log_quote(caller, sizeof(caller), e->caller, strlen(e->caller)),
				log_quote(service, sizeof(service), e->service, strlen(e->service)),
				log_quote(target, sizeof(target), e->target, strlen(e->target)),
				verdict);
}

/* the same fields, one a datagram's line */
static void put_journal(const struct audit *a, const struct audit_entry *e, char *line, size_t len)
{
	char text[3 * AUDIT_MAX], instance[AUDIT_INSTANCE_MAX];
	size_t n = put_message(e, text, sizeof(text));

	if (a->instance)
		n += (size_t)snprintf(
			text + n, sizeof(text) - n, "\n" AUDIT_INSTANCE "=%s",
			log_quote(instance, sizeof(instance), a->instance, strlen(a->instance)));
	/* what is not printable is escaped in the line, so it serves here too */
	line[len - 1] = '\0';
	for (char *field; (field = strsep(&line, "\t"));) {
		char *value = strchr(field, '=');

		for (char *c = field; c < value; c++)
			if (*c >= 'a' && *c <= 'z')
				*c = (char)(*c - 'a' + 'A');
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\nBULKHEAD_%s", field);
	}
	text[n++] = '\n';
	(void)send(a->journal_fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void put(struct audit *a, struct audit_entry *e)
{
	char line[AUDIT_MAX];
	struct timespec now;
	size_t len;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	e->time_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	len = audit_encode(e, line, sizeof(line));
	if (len == 0)
		return;
	if (a->fds[0] >= 0)
		put_file(a, line, len);
	if (a->journal_fd >= 0)
		put_journal(a, e, line, len);
}

/* as log_allowed(), but what was left out is told in the line that is written */
static bool allowed(struct log_limit *l, uint64_t *ret_dropped)
{
	int64_t now_s = (int64_t)(io_now_ms() / 1000);

	if (now_s - l->window_s >= (int64_t)l->interval_s) {
		l->window_s = now_s;
		l->n_sent = 0;
	}
	if (l->n_sent >= l->burst) {
		l->n_dropped++;
		return false;
	}
	l->n_sent++;
	*ret_dropped = l->n_dropped;
	l->n_dropped = 0;
	return true;
}

void audit_call(struct policyd *d, struct qube *caller, struct audit_entry *e)
{
	if (allowed(caller ? &caller->lines : &d->audit.strangers, &e->n_dropped))
		put(&d->audit, e);
}

void audit_policy(struct policyd *d, unsigned n_rules, const char *grants, const char *fault)
{
	struct audit_entry e = {
		.verdict = fault ? AUDIT_FAULT : AUDIT_POLICY,
		.caller = "",
		.remote = "",
		.service = "",
		.target = "",
		.to = "",
		.rule = "",
		.reason = fault,
	};
	char text[AUDIT_VALUE_MAX];

	if (!fault) {
		(void)snprintf(text, sizeof(text), "%u rules%s%s", n_rules,
			       grants[0] ? "; for a time " : "", grants);
		e.reason = text;
	}
	put(&d->audit, &e);
}
