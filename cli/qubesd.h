/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Asking qubesd, the way commands do: failures are told to the person here, many calls run at
 * once, and the table of qubes comes in one request.
 */
#include "args.h"
#include "client/client.h"

#include <signal.h>

/** text_names() - @text has the qube's name @who in it, as a word of its own */
bool text_names(const char *text, const char *who);

/**
 * qubesd_failed() - say why a call failed and what to do next
 * @who:	the qube it was about, or NULL
 * @r:		what client_call() returned, not 0
 *
 * Return: 1, the exit code.
 */
int qubesd_failed(const struct args *a, const char *who, int r, const struct client_answer *answer);

/**
 * qubesd_call() - one call; a failure is told
 * @payload:	text, or NULL
 * @ret:	the answer, or NULL
 *
 * Return: 0; 1 it failed.
 */
MUST_CHECK int qubesd_call(const struct args *a, const char *method, const char *dest,
			   const char *arg, const char *payload, struct client_answer *ret);

/**
 * qubesd_remove() - remove one qube
 *
 * The first template becomes the system's default_template by itself, and would then hold itself in
 * place: when nothing else is made from it, that property is cleared too. Return: as client_call().
 */
MUST_CHECK int qubesd_remove(const char *qube, struct client_answer *ret);

/** qubesd_no_qube() - say that no qube has this name; returns 1, the exit code */
int qubesd_no_qube(const struct args *a, const char *name);

/** struct table - of qubes: @n_rows of @n_fields cells each */
struct table {
	char *data;
	const char **cells;
	unsigned n_rows, n_fields;
};

/**
 * table_load() - properties of all qubes, or of one
 * @dest:	"dom0" for all
 * @fields:	field names of bulkhead.List, one a line
 *
 * Return: as client_call(); @answer says why.
 */
MUST_CHECK int table_load(const char *dest, const char *fields, struct table *ret,
			  struct client_answer *answer);
void table_done(struct table *t);
/** table_cell() - never NULL */
const char *table_cell(const struct table *t, unsigned row, unsigned field);
/** table_find() - the row whose first field is @name; -1 if there is none */
int table_find(const struct table *t, const char *name);

/** struct call - one of many at once */
struct call {
	const char *qube;
	char arg[16]; /* instead of the batch's; "" = that */
	int r;        /* as client_call() */
	struct client_answer answer;
	bool ended;
	struct client_events *stream;
	char text[128]; /* what it is doing */
	uint64_t done, total;
};

/**
 * struct calls - a batch with one method
 * @verb:	"starting", for progress
 * @n_at_once:	0 = all
 * @payload:	text to send along; NULL = none
 * @fd:		a descriptor to send along; NULL = none
 * @stop:	when this becomes true, what has not ended then has r = -EINTR; NULL = never
 * @deadline_ms: by io_now_ms(); what has not ended then has r = -ETIMEDOUT; 0 = none
 */
struct calls {
	const struct args *args;
	const char *method, *arg, *payload, *verb;
	struct call *list;
	unsigned n, n_at_once;
	uint64_t deadline_ms;
	const int *fd;
	const volatile sig_atomic_t *stop;
	int percent_from, percent_to; /* part of a longer work: both 0 = all of it */
};

/** calls_run() - do them all; 0, or -errno of our own */
MUST_CHECK int calls_run(struct calls *c);
/**
 * calls_finish() - say which calls failed, and calls_done()
 * @r:		what calls_run() returned
 * @harmless:	an exception that is no failure; NULL = all are
 * @result:	the exit code so far
 *
 * Return: the exit code.
 */
int calls_finish(struct calls *c, int r, const char *harmless, int result);
/** calls_done() - free what the list holds, not the list */
void calls_done(struct calls *c);

/**
 * struct choice - the qubes a command line names
 * @all, @exclude: keys of its options --all and --exclude
 * @here:	with --all only qubes that can run here: none of class RemoteVM
 * @state:	with --all only qubes in this state; a leading '!' inverts; NULL = any
 * @table:	fields name, state, class of all qubes
 * @names:	borrowed from the table
 */
struct choice {
	int all, exclude;
	bool here;
	const char *state;
	struct table table;
	const char **names;
	unsigned n;
};

/**
 * choice_make() - find them; a name that does not exist fails before anything is done
 *
 * Return: 0; the exit code, and said why. choice_done() in any case.
 */
MUST_CHECK int choice_make(const struct args *a, struct choice *c);
void choice_done(struct choice *c);
/** choice_state() - of the qube @name of the table, or "" */
const char *choice_state(const struct choice *c, const char *name);
