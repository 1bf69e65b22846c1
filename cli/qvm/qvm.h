/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The commands of qvm, one file each. */
#include "args.h"

extern const struct command qubes_prefs, qvm_check, qvm_create, qvm_features, qvm_kill, qvm_ls,
	qvm_pause, qvm_prefs, qvm_remove, qvm_run, qvm_service, qvm_shutdown, qvm_start, qvm_tags,
	qvm_template, qvm_unpause;

/* the eight labels, as a list for messages */
#define LABELS "red, orange, yellow, green, gray, blue, purple, black"

/** qvm_property_value() - @value as qubesd takes it: "none" for a qube is the empty text */
const char *qvm_property_value(const char *property, const char *value);

/** qvm_columns() - print the names of qvm-ls's columns or formats, for completion */
void qvm_columns(void);
void qvm_formats(void);
/** qvm_properties() - print the names of properties, for completion */
void qvm_properties(void);
