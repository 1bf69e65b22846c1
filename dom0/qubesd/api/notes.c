/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the user notes about a qube: doc/protocol/notes.md. */
#include "proto/notes.h"

#include "api/call.h"
#include "api/method.h"

#include <string.h>

int notes_get(struct call *c)
{
	const char *notes = c->dest->documents[DOCUMENT_NOTES];

	if (notes)
		text_bytes(&c->out, notes, strlen(notes));
	return 0;
}

int notes_set(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	AUTO_FREE char *notes = malloc(c->q.payload_len + 1);
	size_t len = 0;
	int r;

	if (!notes)
		return -ENOMEM;
	r = notes_decode(c->payload, c->q.payload_len, notes, &len);
	if (r > 0)
		return refuse(&c->why, "ProtocolError", "notes are UTF-8, at most %u bytes",
			      NOTES_MAX);
	notes[len] = '\0';
	changes_set_document(&changes, c->dest_qid, DOCUMENT_NOTES, len > 0 ? notes : NULL);
	return call_apply(c, &changes);
}
