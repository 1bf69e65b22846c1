/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A qubesd of a benchmark's own, with qubes in its store: an instance in /tmp, filled through the Admin API. There is
 * one at a time. Whatever fails ends the program, status 1, and takes the instance with it.
 */
#include "base/attr.h"
#include "figures.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** instance_program() - a program of the build tree this benchmark is of, by its path in there */
const char *instance_program(const char *name);

/** instance_begin() - an empty store, and qubesd answers */
void instance_begin(void);
/** instance_grow() - a template and app qubes until there are @n_qubes in all */
void instance_grow(unsigned n_qubes);
/** instance_stop(), instance_start() - qubesd goes; it comes, and this returns with its first answer */
void instance_stop(void);
void instance_start(void);
/** instance_end() - nothing of it stays */
void instance_end(void);

/** instance_socket() - where its Admin API is; instance_qubesd() - its process */
const char *instance_socket(void);
pid_t instance_qubesd(void);

/** give_up() - says why; the instance goes too */
NORETURN void give_up(const char *why);

/** call() - one that has to succeed; the answer's text is the caller's */
char *call(const char *method, const char *dest, const char *arg, const char *payload);

/** run_once() - a program, its output thrown away, to its end, which has to be status 0 */
void run_once(const char *path, char *const *argv);
