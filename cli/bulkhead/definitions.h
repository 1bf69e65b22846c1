/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * From a qubes.xml of Qubes R4.x to the records of bulkhead.Import (doc/protocol/import.md).
 *
 * Where the file names a qube or pool, the person's own names for it are put (--rename, --template, --pool). What has no
 * counterpart is noted, for the person to see before anything is done.
 */
#include "xml.h"

#include <stdio.h>

/** struct translation - how names change; @words are OLD=NEW, @n of them */
struct translation {
	const char **words;
	unsigned n;
};
/** translation_of() - NULL: it is not among them */
const char *translation_of(const struct translation *t, const char *name);

/**
 * struct definitions - zero-initialise, but for what is wanted
 * @renamed, @templates, @pools: translations; a template among @templates is here already
 * @excluded:	names of qubes that are left out
 * @firewall_dir: where NAME/firewall.xml is; NULL: rules are not looked for
 * @records:	written to it
 * @notes:	a line for each thing that has no counterpart
 * @table:	the qubes that are to be made: name, class, label, template, netvm, parted by tabs
 */
struct definitions {
	struct translation renamed, templates, pools;
	const char **excluded;
	unsigned n_excluded;
	const char *firewall_dir;
	FILE *records, *notes, *table;
	unsigned n_qubes;
	char error[512];
};

/** definitions_write() - all of the file whose root is @root. Return: 0; DEFINITIONS_E_FORMAT with @d->error */
enum definitions_outcome { DEFINITIONS_E_FORMAT = 1 };
MUST_CHECK int definitions_write(struct definitions *d, const struct xml *root);
