/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The state of policyd, and what its parts offer each other.
 *
 *	table	the compiled policy, from the loader	} together the view, by which
 *	qubes	the picture of them, from qubesd	} questions are answered
 *	clients	one question each
 *	audit	the log of decisions
 *
 * One loop over poll(): at most CLIENTS_MAX clients and a handful of descriptors besides. Nothing
 * in it waits for a peer.
 */
#include "base/attr.h"
#include "base/log.h"
#include "policy/policy.h"
#include "proto/audit.h"
#include "proto/picture.h"

#include <poll.h>

struct policyd;

/* ---- loader.c: the child that reads the policy's files */

/** struct loader_note - what it says, with the table as a sealed memfd if there is one */
struct loader_note {
	bool has_table;
	char text[600]; /* what is wrong, without a table */
};

/** struct loader_places - @folders as ruleset_read() wants them, @legacy too */
struct loader_places {
	const char *const *folders;
	const char *legacy;
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
	uint8_t *in, *out; /* bytes of frames */
	size_t in_len, in_room, out_len, out_room;
};

/** qubes_turn() - qubesd has said something; 0; -errno: the connection is over */
MUST_CHECK int qubes_turn(struct policyd *d);
/** qubes_wish() - start a qube, or a disposable of this template; 0; -errno */
MUST_CHECK int qubes_wish(struct policyd *d, enum picture_type type,
			  const struct picture_wish *wish);
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
/** clients_poll() - fill in @p, which has room for CLIENTS_MAX; how many it used */
unsigned clients_poll(struct policyd *d, struct pollfd *p);
void clients_turn(struct policyd *d, const struct pollfd *p, unsigned n);
/** clients_done() - qubesd says what became of a wish */
void clients_done(struct policyd *d, const struct picture_done *done);
/** clients_timeout_ms() - until a client has had its time; -1 = never */
int clients_timeout_ms(const struct policyd *d);

/* ---- audit.c */

/** struct audit - @fds: two files, written in turn; or @fds[0] the journal's socket */
struct audit {
	int fds[2];
	unsigned current;
	bool journal;
	uint64_t len; /* of the current file */
	struct log_limit strangers;
	struct log_limit noise; /* lines about questions that are none */
};

/** audit_init() - @a->fds as given, NO_FD: the journal is looked for. Before confinement */
MUST_CHECK int audit_init(struct audit *a);
/**
 * audit_call() - write what was decided
 * @caller:	whose lines are counted; NULL = a qube that is not known
 */
void audit_call(struct policyd *d, struct qube *caller, struct audit_entry *e);
/** audit_policy() - @fault NULL: a policy of @n_rules holds */
void audit_policy(struct policyd *d, unsigned n_rules, const char *fault);

/* ---- the whole */

struct policyd {
	int feed_fd, listen_fd, loader_fd;
	struct table table;
	struct qubes qubes;
	struct policy_view *view; /* NULL: every question is refused */
	uint64_t started_ms;
	struct client *clients, **clients_last; /* oldest first */
	unsigned n_clients;
	uint32_t next_wish;
	struct audit audit;
};

/** policyd_is_ready() - it has heard of policy and qubes, or has waited for that long enough */
bool policyd_is_ready(const struct policyd *d);

/* ---- confine.c */

/** confine() - keep what serving needs, for good: see sandbox_enter() */
MUST_CHECK int confine(uid_t uid);
/** confine_loader() - reading files, for good */
MUST_CHECK int confine_loader(void);
