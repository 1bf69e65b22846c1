/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The question a confined daemon asks of its parent, and the answer. The bytes are in
 * doc/protocol/ask.md; who may ask what is decided in loop/ask.h.
 */
#include "base/attr.h"

/** ASK_QUESTION_LEN, ASK_ANSWER_LEN - bytes of each message; there are no others */
#define ASK_QUESTION_LEN 16
#define ASK_ANSWER_LEN   4
/** ASK_DOMID_MAX - the largest domain id in a question: VCHAN_SELF */
#define ASK_DOMID_MAX 32752u
/** ASK_PORT_MAX - the largest port of a vchan that can be asked for */
#define ASK_PORT_MAX 65535u
/** ASK_ERRNO_MAX - the largest errno in an answer */
#define ASK_ERRNO_MAX 4095

/** enum ask_kind - the questions */
enum ask_kind {
	ASK_VCHAN_BIND = 1,   /* a, b, c = server, client, port: listening socket at that path */
	ASK_VCHAN_UNLINK = 2, /* same arguments: remove that path */
	ASK_VCHAN_CONNECT =
		3,           /* same arguments: connected socket; -ENOENT, -ECONNREFUSED at once */
	ASK_QREXEC_BIND = 4, /* listening socket qrexec.DOMID, with its links */
	ASK_QREXEC_UNLINK = 5, /* remove them */
	ASK_AGENT_STATE = 6,   /* a = 1: the qube's qrexec agent has answered; 0: it is gone */
	ASK_BROKER = 7, /* connected socket to who carries out the calls that the qube makes */
};

/** struct ask - a question; arguments that a kind does not use are 0 */
struct ask {
	uint32_t kind, a, b, c;
};

/** enum ask_outcome */
enum ask_outcome {
	ASK_E_FORMAT = 1, /* no such message */
};

/** ask_decode() - Return: 0; ASK_E_FORMAT */
MUST_CHECK int ask_decode(const void *bytes, size_t len, struct ask *ret);
/** ask_encode() - write the ASK_QUESTION_LEN bytes at @to; ASK_E_FORMAT if there is no such
 * question
 */
MUST_CHECK int ask_encode(const struct ask *q, uint8_t *to);

/** ask_answer_decode() - @ret is 0 or a negative errno. Return: 0; ASK_E_FORMAT */
MUST_CHECK int ask_answer_decode(const void *bytes, size_t len, int *ret);
/** ask_answer_encode() - write the ASK_ANSWER_LEN bytes of result @r (<= 0) at @to */
void ask_answer_encode(int r, uint8_t *to);
