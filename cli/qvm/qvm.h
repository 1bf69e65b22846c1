/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The commands of qvm, one file each. */
#include "args.h"

extern const struct command qubes_event, qubes_prefs, qvm_appmenus, qvm_check, qvm_clone,
	qvm_create, qvm_features, qvm_firewall, qvm_kill, qvm_ls, qvm_notes, qvm_pause, qvm_pool,
	qvm_prefs, qvm_remove, qvm_rename, qvm_restart, qvm_run, qvm_service, qvm_shutdown,
	qvm_start, qvm_sync_appmenus, qvm_sync_clock, qvm_tags, qvm_template, qvm_top, qvm_unpause,
	qvm_volume;

/* the eight labels, as a list for messages */
#define LABELS "red, orange, yellow, green, gray, blue, purple, black"

/** qvm_no_name() - say that @name cannot be a qube's; returns 1, the exit code */
int qvm_no_name(const struct args *a, const char *name);

/**
 * qvm_pools() - what --pool-all and --pool say, behind the words of @payload
 * @all_key, @one_key: keys of the two options
 *
 * Return: 0; the exit code, and said why.
 */
MUST_CHECK int qvm_pools(const struct args *a, int all_key, int one_key, char *payload,
			 size_t size);

/** qvm_property_value() - @value as qubesd takes it: "none" for a qube is the empty text */
const char *qvm_property_value(const char *property, const char *value);
/** qvm_property_unescape() - \\ and \n of GetAll back to what they stand for, in place */
void qvm_property_unescape(char *text);

/** qvm_columns() - print the names of qvm-ls's columns or formats, for completion */
void qvm_columns(void);
void qvm_formats(void);
/** qvm_properties() - print the names of properties, for completion */
void qvm_properties(void);

/* more qubes at once only take each other's processor time while they boot */
#define QVM_STARTS_AT_ONCE 4

/** qvm_timeout() - the seconds given for option @key, if it was; ARGS_E_USAGE, and said so */
MUST_CHECK int qvm_timeout(const struct args *a, int key, uint64_t *ret_s);

/** qvm_sync_menu() - ask the running @qube for its applications. Return: 0; 1, and said why */
MUST_CHECK int qvm_sync_menu(const struct args *a, const char *qube);

/** zygotes_list() - what qubes are forked from; @raw: for programs. Return: an exit code */
int zygotes_list(const struct args *a, bool raw);

/** qvm_label_colour() - what makes a terminal write in the colour of a label; NULL for none */
const char *qvm_label_colour(const char *label);
