/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The qrexec policy: who may call which service where. doc/protocol/policy.md is the language.
 *
 * Three steps, all pure (what is read and where memory comes from is the caller's business):
 *
 *	files -> struct policy		parsed once per change of the files: rules, interned and sorted
 *					by service, in one piece of memory without pointers, so that it
 *					may be made in one process and used in another (policy_check)
 *	  + qubes -> struct policy_view	once per change of the qubes: each token of the rules as a qube
 *					or a set of qubes
 *	  + request -> policy_answer	a walk over the rules of one service, first match wins
 *
 * A fault in any file makes no policy at all, and without a policy everything is to be refused.
 */
#include "base/attr.h"

/** enum policy_outcome */
enum policy_outcome {
	POLICY_E_SYNTAX = 1, /* of a file; struct policy_error says where and why */
	POLICY_E_FORMAT,     /* bytes that are no compiled policy */
	POLICY_E_QUBES,      /* qubes that are not in order, named twice, or without dom0 */
};

#define POLICY_PATH_MAX        255
#define POLICY_RULES_MAX       65536
#define POLICY_DEPTH_MAX       32 /* of includes */
#define POLICY_LEGACY_LINE_MAX 4096
#define POLICY_NONE            UINT32_MAX

/**
 * struct policy_file - one file
 * @path:	below the policy's folder: "30-user.policy", "include/x"; one that ends in '/' is a
 *		folder, and needs to be given only if it is empty
 * @text:	@len bytes
 */
struct policy_file {
	const char *path, *text;
	size_t len;
};

/**
 * struct policy_files - everything that a policy is made from; borrowed
 * @files:	ascending by path (strcmp), no path twice
 * @legacy:	R4.0 policy for `!compat-4.0`, path = SERVICE[+ARGUMENT], ascending too; NULL = there is
 *		no such folder
 */
struct policy_files {
	const struct policy_file *files, *legacy;
	unsigned n_files, n_legacy;
};

/**
 * struct policy_error - the first fault
 * @file:	"" if it is the name of a file
 * @line:	0 if none
 */
struct policy_error {
	char file[POLICY_PATH_MAX + 1];
	unsigned line;
	char reason[192];
};

/** policy_is_file_name() - a file of this name is read without being included: *.policy, no dot first */
bool policy_is_file_name(const char *name);

struct policy;

/**
 * policy_measure() - parse all of @files, and say how much memory policy_compile() needs
 *
 * Return: 0; POLICY_E_SYNTAX; -EINVAL if the files are not in order.
 */
MUST_CHECK int policy_measure(const struct policy_files *files, size_t *ret_size,
			      struct policy_error *ret_error);
/**
 * policy_compile() - the policy of @files, in the @size bytes at @room (aligned for uint64_t)
 *
 * @files are the same that were measured. The policy lies in @room from its first byte on and is
 * policy_len() bytes long; it holds nothing of @files.
 *
 * Return: 0; -ENOSPC if @size is not what was measured; as policy_measure().
 */
MUST_CHECK int policy_compile(const struct policy_files *files, void *room, size_t size,
			      const struct policy **ret, struct policy_error *ret_error);
size_t policy_len(const struct policy *p);
/**
 * policy_check() - the policy that came as @len bytes (aligned for uint64_t) from another process
 *
 * Nothing in it leads outside of it. Return: 0; POLICY_E_FORMAT.
 */
MUST_CHECK int policy_check(const void *bytes, size_t len, const struct policy **ret);

/** enum policy_action */
enum policy_action { POLICY_DENY, POLICY_ALLOW, POLICY_ASK };

/**
 * struct policy_rule - one rule as text, borrowed from the policy
 * @service, @argument: NULL for "*"; the argument without its "+"
 * @source, @target, @redirect, @default_target: as token_prefix and the value: "@tag:" "work"
 * @line:	0 for the rules that `!compat-4.0` adds
 */
struct policy_token_text {
	const char *prefix, *value; /* prefix NULL: there is none */
};
struct policy_rule {
	const char *service, *argument, *user, *file;
	struct policy_token_text source, target, redirect, default_target;
	enum policy_action action;
	bool notify, autostart;
	unsigned line;
};
unsigned policy_n_rules(const struct policy *p);
void policy_rule_get(const struct policy *p, uint32_t rule, struct policy_rule *ret);

/**
 * struct policy_qube - what the policy looks at in a qube; "" or NULL is none
 * @uuid:	in lower case, without "uuid:"
 */
struct policy_qube {
	const char *name, *uuid, *type, *default_dispvm, *relayvm, *transport_rpc;
	const char *const *tags;
	unsigned n_tags;
	bool template_for_dispvms, internal, running;
};

struct policy_view;
/** policy_view_size() - how much memory policy_view_make() needs for @n_qubes */
size_t policy_view_size(const struct policy *p, unsigned n_qubes);
/**
 * policy_view_make() - the policy for these qubes
 * @qubes:	ascending by name (strcmp), dom0 among them; borrowed, as is @p
 *
 * Return: 0; POLICY_E_QUBES; -ENOSPC if @size is less than policy_view_size().
 */
MUST_CHECK int policy_view_make(const struct policy *p, const struct policy_qube *qubes,
				unsigned n_qubes, void *room, size_t size,
				struct policy_view **ret);

/**
 * struct policy_request
 * @source:	name of the calling qube
 * @requested_source: name of the remote qube that @source relays for, or NULL
 * @target:	as the caller wrote it; "" is @default
 * @argument:	without "+"; "" is the empty argument
 */
struct policy_request {
	const char *source, *requested_source, *target, *service, *argument;
};

/** enum policy_reason - why an answer is what it is; policy_reason_text() */
enum policy_reason {
	POLICY_BY_RULE,
	POLICY_NO_RULE,
	POLICY_BAD_TARGET,     /* not a token that a caller may use */
	POLICY_NOT_A_TEMPLATE, /* @dispvm:X, and no disposables are made from X */
	POLICY_NO_TARGET,      /* allowed, but neither caller nor rule name a target that exists */
	POLICY_NO_DISPVM,      /* @dispvm, and the caller has no default_dispvm */
	POLICY_NO_CHOICE,      /* ask, and no target is left to choose */
	POLICY_AUTOSTART,      /* the target does not run, and the rule says autostart=no */
	POLICY_LOOPBACK,       /* a qube that calls itself */
	POLICY_UNDECIDABLE,    /* a rule speaks of a qube that does not exist, or of the default
				 * disposable of a caller that has none */
	POLICY_NO_RELAY,       /* a remote qube without relayvm */
	POLICY_NO_TRANSPORT,   /* a remote qube without transport_rpc */
	POLICY_UNKNOWN_SOURCE, /* requested_source is no qube */
	POLICY_NOT_REMOTE,     /* requested_source is no remote qube */
	POLICY_NOT_RELAY,      /* source is not the relay of requested_source */
};
const char *policy_reason_text(enum policy_reason reason);

/**
 * struct policy_target - a qube, or a disposable
 * @prefix:	"" or "@dispvm:"
 * @name:	as caller or rule wrote it: a name, "uuid:..."; "dom0"; "@dispvm" alone stands in a
 *		redirect of an ask rule
 * @qube:	index of the qube (of the disposable's template), POLICY_NONE if it is none
 */
struct policy_target {
	const char *prefix, *name;
	uint32_t qube;
};

/**
 * struct policy_answer - a decision; borrows from policy, view, qubes and request
 * @rule:	that decided, or POLICY_NONE
 * @user:	NULL = the target's default
 * @target:	of allow
 * @default_target: of ask; name NULL = nothing is preselected
 */
struct policy_answer {
	enum policy_action verdict;
	enum policy_reason reason;
	uint32_t rule;
	const char *user;
	bool notify, autostart;
	struct policy_target target, default_target;
	/* of ask; policy_target_next() */
	const struct policy_view *view;
	bool redirected;
};

/** policy_decide() - the answer; one at a time for each view, the next takes the targets' place */
void policy_decide(struct policy_view *v, const struct policy_request *q,
		   struct policy_answer *ret);
/** policy_target_next() - the targets of an ask, disposables first, by name; *@at begins at 0 */
bool policy_target_next(const struct policy_answer *a, uint32_t *at, struct policy_target *ret);

#define POLICY_REPLY_SIZE 1024 /* but for service and argument of a call to a remote qube */

/**
 * policy_reply() - what a daemon is told about a call that goes to @target
 * @q:		the request that was decided
 * @target:	of an allow, or what was chosen among the targets of an ask
 * @user:	NULL = the target's default
 * @to:		@size bytes: lines "key=value", each ended by a newline, and a NUL
 *
 * A remote qube is reached by a call to its relay, with another service. Return: 0; -ENAMETOOLONG;
 * -EINVAL if the request cannot have been allowed, @target is no qube or disposable of one (as
 * "@dispvm" alone), or a control character stands in service or user.
 */
MUST_CHECK int policy_reply(const struct policy_view *v, const struct policy_request *q,
			    const struct policy_target *target, const char *user, bool autostart,
			    char *to, size_t size);

/** enum policy_step - how far a rule goes along with a request */
enum policy_step {
	POLICY_OTHER_SERVICE,
	POLICY_OTHER_ARGUMENT,
	POLICY_OTHER_SOURCE,
	POLICY_OTHER_TARGET,
	POLICY_MATCHES,
	POLICY_CANNOT_TELL, /* as POLICY_UNDECIDABLE */
	POLICY_NEVER,       /* the request is refused before any rule is looked at */
};
/** policy_rule_step() - what @rule alone says to @q; to explain a decision */
enum policy_step policy_rule_step(struct policy_view *v, const struct policy_request *q,
				  uint32_t rule);
