/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The question to the person at dom0's screen, and the answer (doc/protocol/prompt.md). One of each
 * to a connection.
 */
#include "base/attr.h"

/** PROMPT_MAX - bytes of a question with its length */
#define PROMPT_MAX 1048576
/** PROMPT_ANSWER_LEN - bytes of an answer */
#define PROMPT_ANSWER_LEN 8
/** PROMPT_TARGETS_MAX - that one question may offer */
#define PROMPT_TARGETS_MAX    20000
#define PROMPT_LABEL_MAX      63
#define PROMPT_TIMEOUT_MIN_MS 1000
#define PROMPT_TIMEOUT_MAX_MS 3600000
/** PROMPT_WAIT_MS - how long a question may wait for its turn to be shown */
#define PROMPT_WAIT_MS 480000
/** PROMPT_NONE - no target stands selected */
#define PROMPT_NONE UINT32_MAX
/** PROMPT_SOCKET - its name in the run directory */
#define PROMPT_SOCKET "prompt.sock"
/** PROMPT_TERMINALS - beside it: a folder of sockets CALLER.PID, of terminals that may be asked if it is not there */
#define PROMPT_TERMINALS "terminals"

enum prompt_kind {
	PROMPT_APP = 1,
	PROMPT_TEMPLATE,
	PROMPT_STANDALONE,
	PROMPT_DISPOSABLE,
	PROMPT_NEW_DISPOSABLE, /* of the template that is named */
	PROMPT_DOM0,
	PROMPT_REMOTE,
};

/** struct prompt_qube - @colour is 0xRRGGBB */
struct prompt_qube {
	enum prompt_kind kind;
	uint32_t colour;
	const char *label, *name;
};

/**
 * struct prompt_question - texts are never NULL
 * @timeout_ms:	how long the person has once it is shown
 * @remote:	"" = none
 * @service:	with its argument; words of the caller, any bytes
 * @asked:	the target as the caller wrote it; likewise
 * @preselected: which of the targets, or PROMPT_NONE
 * @targets:	@n_targets in @targets_len bytes; prompt_target_next() reads them
 */
struct prompt_question {
	unsigned timeout_ms;
	struct prompt_qube source;
	const char *remote, *service, *asked;
	uint32_t preselected;
	unsigned n_targets;
	const void *targets;
	size_t targets_len;
};

enum prompt_result {
	PROMPT_ALLOWED = 1,
	PROMPT_DENIED,
	PROMPT_TIMED_OUT,
	PROMPT_BUSY,
	PROMPT_NOT_SHOWN,
};

/** struct prompt_answer - @target: which one, 0 unless allowed */
struct prompt_answer {
	enum prompt_result result;
	uint32_t target;
};

enum prompt_outcome {
	PROMPT_E_FORMAT = 1, /* not what the page describes */
	PROMPT_E_SHORT,      /* the question's end has not come */
};

/**
 * prompt_question_len() - of the question that begins at @bytes
 *
 * Return: 0; PROMPT_E_SHORT while the length itself has not come; PROMPT_E_FORMAT.
 */
MUST_CHECK int prompt_question_len(const void *bytes, size_t len, size_t *ret_len);
/**
 * prompt_question_decode() - a whole question
 * @ret:	texts point into @bytes
 *
 * Return: 0; PROMPT_E_FORMAT.
 */
MUST_CHECK int prompt_question_decode(const void *bytes, size_t len, struct prompt_question *ret);
/** prompt_question_encode() - its length; 0 if it does not fit @size or cannot be said */
MUST_CHECK size_t prompt_question_encode(const struct prompt_question *q, void *to, size_t size);

/** prompt_target_next() - the next target of a decoded question; *@at begins at 0 */
bool prompt_target_next(const struct prompt_question *q, size_t *at, struct prompt_qube *ret);
/** prompt_target_put() - write a target behind others; its length, 0 as prompt_question_encode() */
MUST_CHECK size_t prompt_target_put(const struct prompt_qube *target, void *to, size_t size);

/** prompt_answer_decode() - Return: 0; PROMPT_E_FORMAT */
MUST_CHECK int prompt_answer_decode(const void *bytes, size_t len, struct prompt_answer *ret);
/** prompt_answer_encode() - PROMPT_ANSWER_LEN bytes at @to */
void prompt_answer_encode(const struct prompt_answer *a, uint8_t *to);
