/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What qrexec-policyd is asked about a call, and what it answers: lines "key=value", as
 * doc/protocol/decision.md has them. One question and one answer to a connection.
 */
#include "base/attr.h"

/** DECISION_MAX - bytes of a question, or of an answer: room for the longest service */
#define DECISION_MAX 69632
/** DECISION_SOCKET - its name in the run directory */
#define DECISION_SOCKET "policy.sock"

enum decision_outcome {
	DECISION_E_FORMAT = 1, /* not what the page describes; the call is refused */
};

/**
 * struct decision_request - the question
 * @source:	name of the calling qube
 * @requested_source: name of the remote qube that @source speaks for; NULL = none
 * @target:	as the caller wrote it; "" is @default
 * @service:	"SERVICE+ARGUMENT" or "SERVICE"
 * @just_evaluate: say what would be decided: nobody is asked, nothing is started
 * @assume_yes:	an ask is answered as if the person had agreed
 * @decided_target: what the same question was answered with before: would it be allowed still? NULL = none
 * @keep:	others will follow on this connection; only together with @just_evaluate
 */
struct decision_request {
	const char *source, *requested_source, *target, *service;
	bool just_evaluate, assume_yes;
	const char *decided_target;
	bool keep;
};

/**
 * struct decision_answer - what becomes of the call; of a refusal only @allow
 * @user:	"DEFAULT" = the target's default_user
 * @target:	a name, "uuid:UUID", "dom0" or "@dispvm:NAME"
 * @target_uuid: "uuid:UUID" or "@dispvm:uuid:UUID"; NULL for dom0
 * @requested_target: what the service is told that its caller asked for
 * @service:	NULL = what was asked for; else this one is called instead (in a relay)
 * @policy_source: NULL = who asked; else the remote qube that it spoke for
 */
struct decision_answer {
	bool allow, autostart;
	const char *user, *target, *target_uuid, *requested_target, *service, *policy_source;
};

/**
 * decision_request_len() - bytes of the question at @bytes, with the empty line that ends it
 *
 * Return: 0 while its end has not come.
 */
size_t decision_request_len(const char *bytes, size_t len);
/**
 * decision_request_decode() - a whole question, with the empty line
 * @bytes:	written to: each line's end becomes a NUL. @ret borrows from it
 *
 * Return: 0; DECISION_E_FORMAT.
 */
MUST_CHECK int decision_request_decode(char *bytes, size_t len, struct decision_request *ret);
/** decision_request_encode() - its length; 0 if it does not fit @size or cannot be said */
MUST_CHECK size_t decision_request_encode(const struct decision_request *q, char *to, size_t size);

/** decision_answer_len() - bytes of the answer to a question that keeps the connection, with the empty line that ends it; 0 while
 * that has not come. What is decoded is without that line, its last byte */
size_t decision_answer_len(const char *bytes, size_t len);
/**
 * decision_answer_decode() - everything that came until the connection ended
 * @bytes:	as above
 *
 * Return: 0; DECISION_E_FORMAT.
 */
MUST_CHECK int decision_answer_decode(char *bytes, size_t len, struct decision_answer *ret);
/** decision_answer_encode() - as above */
MUST_CHECK size_t decision_answer_encode(const struct decision_answer *a, char *to, size_t size);
