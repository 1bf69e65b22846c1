/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A small XML file as a tree, read by expat (doc/decisions/0060). What our files never have is refused rather than looked
 * at: a document type, and so entities of one's own. Files, depth and what an element holds are bounded.
 */
#include "base/attr.h"

#define XML_LEN_MAX   (16u << 20)
#define XML_DEPTH_MAX 16

/** struct xml - an element; @text is all of its own text, without blanks around it, never NULL */
struct xml {
	struct xml *next, *first, *last, *parent;
	char *name, *text;
	char **attributes; /* name, value, ..., NULL */
	size_t text_len, text_room;
};

/**
 * xml_read() - the root element of the file @path
 * @error:	on failure a sentence, with the line
 *
 * Return: 0; XML_E_FORMAT; -errno.
 */
enum xml_outcome { XML_E_FORMAT = 1 };
MUST_CHECK int xml_read(const char *path, struct xml **ret, char *error, size_t size);
void xml_free(struct xml *x);

/** xml_child() - the first child named @name behind @after (NULL: of all), or NULL; @x may be NULL */
const struct xml *xml_child(const struct xml *x, const char *name, const struct xml *after);
/** xml_attribute() - its value, or NULL */
const char *xml_attribute(const struct xml *x, const char *name);
