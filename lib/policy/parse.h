/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* From files to rules, one after the other in the order in which they apply; private to lib/policy. */
#include "policy/table.h"

struct parsed_token {
	enum token_kind kind;
	struct text value; /* at NULL: there is no such token */
};

/* struct parsed - a rule; its texts are the sink's for the call */
struct parsed {
	struct text service, argument, user; /* at NULL: any, or none */
	struct parsed_token source, target, redirect, default_target;
	const char *file;
	unsigned line;
	enum policy_action action;
	bool notify, autostart;
};

/** policy_parse() - 0; POLICY_E_SYNTAX; -EINVAL; what @sink returned, if that was not 0 */
MUST_CHECK int policy_parse(const struct policy_files *files,
			    int (*sink)(void *context, const struct parsed *rule), void *context,
			    struct policy_error *error);
