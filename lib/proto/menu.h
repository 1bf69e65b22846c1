/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The applications of a qube, for menus in dom0 (qubes.GetAppmenus, qubes.SyncAppMenus). doc/protocol/menu.md has the
 * rows. Two forms: the lines that a qube says, of which most are not for us, and the one form of what is left of them.
 */
#include "base/attr.h"

/** MENU_NAME_MAX - bytes of an application's name, which is its file's without .desktop */
#define MENU_NAME_MAX 128
/** MENU_VALUE_MAX - bytes of one thing said about it */
#define MENU_VALUE_MAX 255
/** MENU_ENTRIES_MAX - applications of one qube */
#define MENU_ENTRIES_MAX 256
/** MENU_LEN_MAX - bytes of a whole menu in its one form */
#define MENU_LEN_MAX 61440
/** MENU_LINE_MAX - bytes of a line that a qube says; a longer one is nothing */
#define MENU_LINE_MAX 4096

/** enum menu_outcome */
enum menu_outcome {
	MENU_E_MANY = 1, /* more applications than there is room for */
	MENU_E_LONG,     /* more bytes than MENU_LEN_MAX */
	MENU_E_FORMAT,   /* not the one form of a menu */
	MENU_E_CUT,      /* lines of a qube: the last one has no end, so more should have come */
};

/** enum menu_key - what is said about an application, in the order of the form */
enum menu_key { MENU_TITLE, MENU_GENERIC, MENU_COMMENT, MENU_CATEGORIES, MENU_CLASS };
#define MENU_KEYS 5
/** menu_key_name() - "Name", "GenericName"... as in a desktop entry */
const char *menu_key_name(enum menu_key key);

struct menu_entry {
	char name[MENU_NAME_MAX + 1];
	bool shown; /* while lines are heard: no line says that it is no application */
	char values[MENU_KEYS][MENU_VALUE_MAX + 1]; /* "": not said */
};

/** struct menu - zero-initialise */
struct menu {
	unsigned n;
	struct menu_entry entries[MENU_ENTRIES_MAX];
};

/** menu_is_name() - can an application be called so? */
bool menu_is_name(const char *name, size_t len);

/**
 * menu_hear() - one line of a qube's, without its end
 *
 * What is not for us, or not as we want it, is nothing. Of two files with one name the first counts. Return: 0;
 * MENU_E_MANY.
 */
MUST_CHECK int menu_hear(struct menu *m, const char *line, size_t len);
/** menu_settle() - all lines were heard: what is no application goes, the rest is sorted by name */
void menu_settle(struct menu *m);

/** menu_encode() - the one form of a settled menu; @buf holds MENU_LEN_MAX. Return: 0; MENU_E_LONG */
MUST_CHECK int menu_encode(const struct menu *m, void *buf, size_t *ret_len);
/** menu_decode() - Return: 0; MENU_E_MANY, MENU_E_FORMAT, and @ret is not to be used */
MUST_CHECK int menu_decode(const void *bytes, size_t len, struct menu *ret);
/** menu_find() - in a settled menu; NULL: there is none of that name */
const struct menu_entry *menu_find(const struct menu *m, const char *name);

const char *menu_outcome_str(int outcome);
