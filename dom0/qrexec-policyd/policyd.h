/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The state of policyd, and what its parts offer each other.
 *
 *	table	the compiled policy, from the loader	} together the view, by which
 *	qubes	the picture of them, from qubesd	} questions are answered
 *	clients	one question each
 *	prompt	questions to the person, for clients
 *	audit	the log of decisions
 *
 * One loop over poll(): at most CLIENTS_MAX clients, PROMPTS_MAX questions to the person and a
 * handful of descriptors besides. Nothing in it waits for a peer.
 */
#include "base/attr.h"
#include "base/log.h"
#include "base/str.h"
#include "policy/policy.h"
#include "proto/audit.h"
#include "proto/picture.h"
#include "proto/prompt.h"

#include <poll.h>

struct policyd;

/* ---- loader.c: the child that reads the policy's files, and connects to the prompt */

enum loader_kind {
	LOADER_TABLE,     /* with the table as a sealed memfd; @text: the grants that hold */
	LOADER_FAULT,     /* there is no table: @text says why */
	LOADER_PROMPT,    /* with a connection to the prompt, for @wish */
	LOADER_NO_PROMPT, /* there is none: @text says why */
};

/** struct loader_note - what it says */
struct loader_note {
	enum loader_kind kind;
	uint32_t wish;
	char text[600];
};

/** struct loader_wish - what it is told: connect to where the person is asked about @caller, and say so for @id */
struct loader_wish {
	uint32_t id;
	char caller[QUBE_NAME_MAX + 1];
};

/**
 * struct loader_places - @folders as ruleset_read() wants them, @legacy too
 * @prompt:	path of the prompt's socket; NULL = there is none
 */
struct loader_places {
	const char *const *folders;
	const char *legacy, *prompt;
};

/**
 * loader_start() - before confinement
 * @ret_fd:	where its notes come from; it ends when this is closed, and this ends with it
 */
MUST_CHECK int loader_start(const struct loader_places *places, int *ret_fd);

/* ---- table.c */

/** struct table - @policy NULL: there is none, and @fault says why once the loader has said so */
struct table {
	const struct policy *policy;
	size_t len;
	bool heard; /* the loader has said something */
	char fault[600];
};

/** table_turn() - notes have come from the loader; 0; -errno: it cannot go on */
MUST_CHECK int table_turn(struct policyd *d);
/** table_set() - a table as a descriptor, taken; one that is not sealed or not sound is a fault */
void table_set(struct table *t, int *fd, const char *fault);

/* ---- qubes.c */

/** struct qube - one of the picture; it owns the frame that it borrows from */
struct qube {
	struct qube *next; /* among those put aside */
	struct policy_qube is;
	unsigned qid;
	const char *label;
	uint32_t colour;
	struct log_limit lines; /* of the audit that it causes */
	const char **tags;
	uint8_t *frame;
};

/** struct qubes - the picture; @sorted and @is are of the last SETTLED */
struct qubes {
	struct qube *by_qid[PICTURE_QID_MAX + 1]; /* as told last */
	struct qube *aside;                       /* gone, or told anew, since then */
	struct qube **sorted;
	struct policy_qube *is;
	unsigned n;
	bool settled;
	bool half;         /* more was told since the last SETTLED */
	uint8_t *in, *out; /* bytes of frames */
	size_t in_len, in_room, out_len, out_room;
};

/** qubes_turn() - qubesd has said something; 0; -errno: the connection is over */
MUST_CHECK int qubes_turn(struct policyd *d);
/** qubes_are_whole() - nothing of what belongs together is still to come; so they are, too, while nothing is known at all */
bool qubes_are_whole(const struct qubes *q);
/** qubes_wish() - start a qube; 0; -errno */
MUST_CHECK int qubes_wish(struct policyd *d, const struct picture_wish *wish);
/** qubes_flush() - send what waits; 0; -errno: the connection is over */
MUST_CHECK int qubes_flush(struct policyd *d);
/** qubes_find() - by name; NULL if there is none */
struct qube *qubes_find(const struct qubes *q, const char *name);

/** view_make() - of table and qubes as they are now */
void view_make(struct policyd *d);

/* ---- clients.c */

/** CLIENTS_MAX - at a time; more wait in the socket's queue */
#define CLIENTS_MAX 1024
/** QUESTION_MS - how long a question may take to come whole */
#define QUESTION_MS 10000
/** READY_MS - how long questions wait for the first table and picture; then they are refused */
#define READY_MS 2000

struct client;

MUST_CHECK int clients_accept(struct policyd *d);
/** clients_poll() - fill in @p, which has room for CLIENTS_MAX + PROMPTS_MAX; how many it used */
unsigned clients_poll(struct policyd *d, struct pollfd *p);
void clients_turn(struct policyd *d, const struct pollfd *p, unsigned n);
/** clients_done() - qubesd says what became of a wish */
void clients_done(struct policyd *d, const struct picture_done *done);
/** clients_prompt() - the loader has connected @wish to the prompt; @fd is taken, NO_FD: see @why */
void clients_prompt(struct policyd *d, uint32_t wish, int *fd, const char *why);
/** clients_timeout_ms() - until a client has had its time; -1 = never */
int clients_timeout_ms(const struct policyd *d);

/* ---- prompt.c: a question to the person */

/** PROMPTS_MAX - at a time; what is asked beyond is refused */
#define PROMPTS_MAX 64
/** PROMPT_ASK_MS - how long the person has once it is shown; before that it may wait PROMPT_WAIT_MS */
#define PROMPT_ASK_MS 120000
/** PROMPT_LATE_MS - how much longer the prompt may take to say that nobody answered */
#define PROMPT_LATE_MS 5000

/**
 * struct prompting - one that is under way
 * @wish:	what the loader was told; it connects @fd
 * @bytes:	the question, @len long and sent up to @at. Its targets are what an answer means
 */
struct prompting {
	uint32_t wish;
	int fd;
	uint8_t *bytes;
	size_t len, at;
	uint8_t in[PROMPT_ANSWER_LEN];
	size_t in_len;
};

enum prompting_outcome {
	PROMPTING_E_SOURCE = 1, /* nothing is known of the caller */
	PROMPTING_E_TARGETS,    /* none that can be shown */
	PROMPTING_E_QUESTION,   /* it cannot be said */
};

/**
 * prompting_begin() - make the question and have the loader connect
 * @call, @a:	the request and its answer, POLICY_ASK; the targets are of @d's view
 * @p:		zeroed; prompting_end() is due whatever this returns
 *
 * Return: 0; an outcome; -ENOMEM, -EAGAIN and what io_send_msg() says.
 */
MUST_CHECK int prompting_begin(struct policyd *d, const struct policy_request *call,
			       const struct policy_answer *a, struct prompting *p);
/** prompting_events() - what to poll its descriptor for */
short prompting_events(const struct prompting *p);
/**
 * prompting_turn() - its descriptor is ready
 * @ret_target:	what was chosen, of PROMPT_ALLOWED; borrowed from @p
 *
 * Return: 0 and what became of it; -EAGAIN: not yet; -errno: no answer.
 */
MUST_CHECK int prompting_turn(struct prompting *p, enum prompt_result *ret,
			      struct prompt_qube *ret_target);
void prompting_end(struct prompting *p);

/* ---- audit.c */

/** struct audit - @fds: two files, written in turn, or NO_FD; @journal_fd: the journal's socket, or NO_FD */
struct audit {
	int fds[2], journal_fd;
	const char *instance; /* whose, for the journal; NULL = that is not said */
	unsigned current;
	uint64_t len; /* of the current file */
	struct log_limit strangers;
	struct log_limit noise; /* lines about questions that are none */
};

/** audit_init() - @a->fds as given; the journal is looked for. Before confinement */
MUST_CHECK int audit_init(struct audit *a);
/**
 * audit_call() - write what was decided
 * @caller:	whose lines are counted; NULL = a qube that is not known
 */
void audit_call(struct policyd *d, struct qube *caller, struct audit_entry *e);
/** audit_policy() - @fault NULL: a policy of @n_rules holds, with these @grants */
void audit_policy(struct policyd *d, unsigned n_rules, const char *grants, const char *fault);

/* ---- the whole */

struct policyd {
	int feed_fd, listen_fd, loader_fd;
	struct table table;
	struct qubes qubes;
	struct policy_view *view; /* NULL: every question is refused */
	uint64_t started_ms;
	struct client *clients, **clients_last; /* oldest first */
	unsigned n_clients, n_prompting;
	uint64_t accept_ms; /* no more are accepted before */
	uint32_t next_wish;
	struct audit audit;
};

/* ---- confine.c */

/** confine() - keep what serving needs, for good: see sandbox_enter() */
MUST_CHECK int confine(uid_t uid);
/** confine_loader() - reading files, for good */
MUST_CHECK int confine_loader(void);
