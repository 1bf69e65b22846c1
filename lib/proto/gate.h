/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Calls of the Admin API that come over qrexec, as admin-gate takes them apart and qubesd looks at them again; the page is
 * doc/protocol/gate.md. What comes out is a request of doc/protocol/admin.md whose words and payload have the form that the method wants.
 */
#include "proto/admin.h"

/** GATE_SIZED_MAX - bytes of the line that says how long a stream is, its newline included */
#define GATE_SIZED_MAX 20

enum gate_outcome {
	GATE_E_FORMAT = 1, /* no such call: nothing is answered */
	GATE_E_LONG,       /* a field is too long */
	GATE_E_METHOD,     /* a qube has no such method */
	GATE_E_ARG,        /* an argument of other bytes than the method's may have */
	GATE_E_PAYLOAD,    /* the same of a payload */
};

/** enum gate_arg - of which bytes an argument is; that it is there is the method's affair */
enum gate_arg {
	GATE_ARG_NAME, /* A-Za-z0-9_.- */
	GATE_ARG_LIST, /* the same, parted by + */
};

/** enum gate_payload - of which bytes a payload is */
enum gate_payload {
	GATE_NOTHING,
	GATE_WORDS,  /* printable ASCII */
	GATE_LINES,  /* the same, and newlines */
	GATE_TEXT,   /* no NUL */
	GATE_STREAM, /* any, of any length, and not for qubesd: its request has none */
	GATE_SIZED, /* the same behind a line with their number; that number is the request's payload */
};

/** enum gate_filter - what a qube hears of others, of which each must be allowed by the policy */
enum gate_filter { GATE_ALL, GATE_LIST, GATE_EVENTS };

struct gate_method {
	const char *name;
	enum gate_arg arg;
	enum gate_payload payload;
	enum gate_filter filter;
};

/** gate_method_find() - NULL: a qube has no such method */
const struct gate_method *gate_method_find(const char *name);

/**
 * gate_request_make() - the call as the broker tells of it
 * @service:	"METHOD+ARG" or "METHOD"
 * @source:	who calls: dom0 itself, or the qube
 * @type, @target: what was asked for: "name" and a name, or "keyword" and "adminvm"; "" is "name"
 *
 * Return: 0, a request without payload in @ret; an outcome.
 */
MUST_CHECK int gate_request_make(const char *service, const char *source, const char *type,
				 const char *target, struct admin_request *ret);

/** gate_payload_check() - what came is what the method takes. Return: 0; GATE_E_PAYLOAD */
MUST_CHECK int gate_payload_check(const struct gate_method *m, const void *bytes, size_t len);

/** gate_sized_decode() - "SIZE\n": what a stream begins with, one that has no number in front. Return: 0; GATE_E_PAYLOAD */
MUST_CHECK int gate_sized_decode(const void *bytes, size_t len, uint64_t *ret);

/** gate_check() - a request that came from the gate: what gate_request_make() makes, with its payload. Return: 0; an outcome */
MUST_CHECK int gate_check(const struct admin_request *q);

/**
 * gate_event_service() - what the policy is asked about an event: "admin.Events+NAME", other bytes than A-Za-z0-9_.- as _
 * @method:	whose stream it is: admin.vm.Stats has no argument
 */
void gate_event_service(const char *method, const char *event, char *to, size_t size);

/** gate_list_line() - the next line of admin.vm.List's result, and the qube's name in it. False: there is none, or it is no such line */
bool gate_list_line(const char **at, const char *end, const char **ret_line, size_t *ret_len,
		    char name[ADMIN_MAX_NAME + 1]);

const char *gate_outcome_str(int outcome);
