/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The commands of bulkhead, one file each. */
#include "args.h"
#include "base/paths.h"

#include <limits.h>
#include <sys/types.h>

extern const struct command bulkhead_start, bulkhead_stop, bulkhead_status, bulkhead_doctor,
	bulkhead_exec, bulkhead_check, bulkhead_import_qubes_xml;

/** daemon_answers() - qubesd of this instance answers a call */
bool daemon_answers(void);

/** struct daemon - one that was started; @log: where it writes, @log_len bytes were there before */
struct daemon {
	int pidfd;
	char log[PATH_MAX];
	off_t log_len;
};
/**
 * daemon_spawn() - start the program @name in the background, in a session of its own
 * @log:	name of its log below the state folder; one of over 4 MiB is put aside first
 * @option:	its one argument, or NULL
 *
 * Return: 0; -errno. @ret needs daemon_done() in any case.
 */
MUST_CHECK int daemon_spawn(const struct paths *paths, const char *name, const char *log,
			    const char *option, struct daemon *ret);
void daemon_done(struct daemon *d);

/** prompt_start() - the session's prompt, where there is a display and none listens yet */
void prompt_start(const struct args *a, const struct paths *paths);
/** prompt_stop() - end it, if one listens */
void prompt_stop(const struct paths *paths);
bool prompt_listens(const struct paths *paths);

/** namespaces_mend() - the command that lets users make namespaces, where a switch of the kernel forbids it; NULL: none does */
const char *namespaces_mend(void);

/** print_json_text() - as what stands between the quotes of a JSON string */
void print_json_text(const char *text, int len);
