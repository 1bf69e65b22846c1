/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xml.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <dlfcn.h>
#include <expat.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* expat's functions, for its library is loaded by who reads such a file: the other commands of this program need libc alone */
#define EXPAT_FUNCTIONS(X)                                                                         \
	X(XML_ParserCreate)                                                                        \
	X(XML_ParserFree)                                                                          \
	X(XML_SetUserData)                                                                         \
	X(XML_SetElementHandler)                                                                   \
	X(XML_SetCharacterDataHandler)                                                             \
	X(XML_SetStartDoctypeDeclHandler)                                                          \
	X(XML_Parse)                                                                               \
	X(XML_StopParser)                                                                          \
	X(XML_GetCurrentLineNumber)                                                                \
	X(XML_GetErrorCode)                                                                        \
	X(XML_ErrorString)

static struct {
#define X(name) __typeof__(&(name)) name; /* NOLINT(bugprone-macro-parentheses): a declaration */
	EXPAT_FUNCTIONS(X)
#undef X
} expat;

/* once in a process; the library stays */
static bool load_expat(void)
{
	void *library = dlopen("libexpat.so.1", RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return false;
/* as dlsym(3) has it: a pointer to data is given where one to a function is */
#define X(name)                                                                                    \
	*(void **)&expat.name = dlsym(library, #name);                                             \
	if (!expat.name)                                                                           \
		return false;
	EXPAT_FUNCTIONS(X)
#undef X
	return true;
}

struct reading {
	XML_Parser parser;
	struct xml *root, *at;
	unsigned depth;
	const char *refused; /* why, by ourselves */
};

void xml_free(struct xml *x)
{
	/* no recursion, however deep */
	while (x) {
		struct xml *next = x->first ? x->first : x->next ? x->next : x->parent;

		if (x->first) {
			x->first = NULL; /* we come back when they are gone */
			x = next;
			continue;
		}
		for (size_t i = 0; x->attributes && x->attributes[i]; i++)
			free(x->attributes[i]);
		free(x->attributes);
		free(x->name);
		free(x->text);
		free(x);
		x = next;
	}
}

static void stop(struct reading *r, const char *why)
{
	if (!r->refused)
		r->refused = why;
	(void)expat.XML_StopParser(r->parser, XML_FALSE);
}

static bool put_attributes(struct xml *x, const char **attributes)
{
	size_t n = 0;

	while (attributes[n])
		n++;
	x->attributes = calloc(n + 1, sizeof(*x->attributes));
	for (size_t i = 0; x->attributes && i < n; i++) {
		x->attributes[i] = strdup(attributes[i]);
		if (!x->attributes[i])
			return false;
	}
	return x->attributes != NULL;
}

static void on_start(void *data, const char *name, const char **attributes)
{
	struct reading *r = data;
	struct xml *x;

	if (r->refused)
		return;
	if (++r->depth > XML_DEPTH_MAX) {
		stop(r, "elements within elements without end");
		return;
	}
	x = calloc(1, sizeof(*x));
	if (!x) {
		stop(r, "out of memory");
		return;
	}
	x->parent = r->at;
	if (!r->at)
		r->root = x;
	else if (r->at->last)
		r->at->last->next = x;
	else
		r->at->first = x;
	if (r->at)
		r->at->last = x;
	r->at = x;
	x->name = strdup(name);
	x->text = calloc(1, 1);
	if (!x->name || !x->text || !put_attributes(x, attributes))
		stop(r, "out of memory");
}

static void trim(struct xml *x)
{
	static const char blanks[] = " \t\r\n";
	size_t skip = strspn(x->text, blanks), len = x->text_len - skip;

	memmove(x->text, x->text + skip, len + 1);
	while (len > 0 && strchr(blanks, x->text[len - 1]))
		len--;
	x->text[len] = '\0';
	x->text_len = len;
}

static void on_end(void *data, const char *name)
{
	struct reading *r = data;

	(void)name;
	if (r->refused)
		return;
	trim(r->at);
	r->depth--;
	r->at = r->at->parent;
}

static void on_text(void *data, const char *text, int n)
{
	struct reading *r = data;
	size_t len = (size_t)n;
	struct xml *x = r->at;

	if (r->refused || !x)
		return;
	if (len >= x->text_room - x->text_len) {
		size_t room = 2 * (x->text_len + len) + 64;
		char *more = realloc(x->text, room);

		if (!more) {
			stop(r, "out of memory");
			return;
		}
		x->text = more;
		x->text_room = room;
	}
	memcpy(x->text + x->text_len, text, len);
	x->text_len += len;
	x->text[x->text_len] = '\0';
}

static void on_doctype(void *data, const char *name, const char *system, const char *public,
		       int own)
{
	(void)name, (void)system, (void)public, (void)own;
	stop(data, "it has a document type, which no such file has");
}

int xml_read(const char *path, struct xml **ret, char *error, size_t size)
{
	AUTO_FREE char *bytes = NULL;
	struct reading r = {0};
	size_t len;
	int result = io_read_file(AT_FDCWD, path, XML_LEN_MAX, &bytes, &len);

	if (result < 0) {
		(void)snprintf(error, size, "%s: %s", path, log_errno_str(result));
		return result;
	}
	if (!load_expat()) {
		(void)snprintf(error, size,
			       "%s: reading it needs the library expat: apt-get install libexpat1",
			       path);
		return -ENOENT;
	}
	r.parser = expat.XML_ParserCreate(NULL);
	if (!r.parser)
		return -ENOMEM;
	expat.XML_SetUserData(r.parser, &r);
	expat.XML_SetElementHandler(r.parser, on_start, on_end);
	expat.XML_SetCharacterDataHandler(r.parser, on_text);
	expat.XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	if (expat.XML_Parse(r.parser, bytes, (int)len, XML_TRUE) != XML_STATUS_OK) {
		(void)snprintf(error, size, "%s, line %lu: %s", path,
			       (unsigned long)expat.XML_GetCurrentLineNumber(r.parser),
			       r.refused ? r.refused
					 : expat.XML_ErrorString(expat.XML_GetErrorCode(r.parser)));
		result = XML_E_FORMAT;
	}
	expat.XML_ParserFree(r.parser);
	if (result != 0) {
		xml_free(r.root);
		return result;
	}
	*ret = r.root;
	return 0;
}

const struct xml *xml_child(const struct xml *x, const char *name, const struct xml *after)
{
	const struct xml *at = after ? after->next : x ? x->first : NULL;

	while (at && !str_eq(at->name, name))
		at = at->next;
	return at;
}

const char *xml_attribute(const struct xml *x, const char *name)
{
	for (size_t i = 0; x->attributes[i]; i += 2)
		if (str_eq(x->attributes[i], name))
			return x->attributes[i + 1];
	return NULL;
}
