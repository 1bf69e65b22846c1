/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What EXEC_CMDLINE says: `user:[nogui:]shell command` or
 * `user:[nogui:]QUBESRPC service[+argument] source [name|keyword target]`.
 */
#include "base/attr.h"

#include <sys/types.h>

/** enum - outcomes */
enum {
	COMMAND_E_USER = 1, /* no user, or one that cannot be a user's name */
	COMMAND_E_SERVICE,  /* not a service call as described */
};

/**
 * struct qrexec_command - a command, taken apart; owns its strings
 * @user:	whose command it is; "DEFAULT" is replaced by the daemon before it comes here
 * @shell:	for the user's shell; NULL if it is a service call
 * @service:	"service" alone
 * @full_name:	"service+argument", or "service" if no '+' was there
 * @argument:	what is behind the '+', inside @full_name; NULL without '+'
 * @source:	who calls
 * @target_type: "name", "keyword" or ""
 * @target:	what was called; "" if not said
 */
struct qrexec_command {
	char *user, *shell, *service, *full_name, *source, *target_type, *target;
	const char *argument;
	bool nogui;
};

/** qrexec_command_parse() - 0; COMMAND_E_*; -ENOMEM. On success to be given to _done() */
MUST_CHECK int qrexec_command_parse(const char *text, struct qrexec_command *ret);
void qrexec_command_done(struct qrexec_command *c);

/** qrexec_command_words() - "QUBESRPC service[+argument] source [type target]" without a user */
MUST_CHECK int qrexec_command_words(const char *text, struct qrexec_command *ret);
