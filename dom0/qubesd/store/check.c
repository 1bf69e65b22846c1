/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/check.h"

#include "base/str.h"
#include "store/property.h"
#include "store/store.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

struct checking {
	struct store *s;
	sqlite3 *db;
	bool mend;
	bool lost; /* rows of qubes are: what belongs to nobody may be theirs */
	store_check_fn fn;
	void *data;
};

/*
 * A kind of finding. @find selects the subject, a name for the text (its one %s) and the rowid-like pair that @mend is
 * bound to: (qid or NULL, name or NULL). @mend NULL: by hand.
 */
struct rule {
	const char *find, *text, *advice, *mend;
};

#define ORPHANS(table, words)                                                                      \
	{                                                                                          \
		"SELECT 'store', qid, qid, NULL FROM " table                                       \
		" WHERE qid NOT IN (SELECT qid FROM qube) GROUP BY qid",                           \
			"it has " words " of qube number %s, which is not there",                  \
			"mending removes those rows", "DELETE FROM " table " WHERE qid=?1"         \
	}

/* The first says whether others may be mended. */
/* clang-format off */
static const struct rule rules[] = {
	{"SELECT 'store', 'dom0', NULL, NULL WHERE NOT EXISTS (SELECT 1 FROM qube WHERE qid=0 AND class='AdminVM')",
	 "it has no %s", "restore the store from a backup", NULL},
	{"SELECT name, class, qid, NULL FROM qube WHERE class NOT IN"
	 " ('AdminVM','TemplateVM','AppVM','StandaloneVM','DispVM','RemoteVM') OR qid<0 OR qid>9999",
	 "its class is %s, which this version does not know: the qube is passed over", "use the version that made it", NULL},
	ORPHANS("property", "properties"),
	ORPHANS("feature", "features"),
	ORPHANS("tag", "tags"),
	ORPHANS("document", "notes, firewall rules or a menu"),
	ORPHANS("volume", "volumes"),
	ORPHANS("operation", "an unfinished operation"),
	{"SELECT q.name, p.name, p.qid, p.name FROM property p JOIN qube q USING (qid) WHERE p.name NOT IN (SELECT name FROM known)",
	 "it has a property %s, which this version does not know", "mending removes the row",
	 "DELETE FROM property WHERE qid=?1 AND name=?2"},
	{"SELECT q.name, v.pool, NULL, NULL FROM volume v JOIN qube q USING (qid) WHERE v.pool NOT IN (SELECT name FROM pool)",
	 "a volume of it is in pool %s, which is not there", "remove the qube, or restore the store from a backup", NULL},
	{"SELECT q.name, p.name, p.qid, p.name FROM property p JOIN qube q USING (qid) JOIN known k ON k.name=p.name"
	 " WHERE k.type='qube' AND p.name<>'template' AND p.value<>'' AND p.value NOT IN (SELECT CAST(qid AS TEXT) FROM qube)",
	 "its property %s names a qube that is not there", "mending sets it to none",
	 "UPDATE property SET value='' WHERE qid=?1 AND name=?2"},
	{"SELECT q.name, p.value, NULL, NULL FROM property p JOIN qube q USING (qid)"
	 " WHERE p.name='template' AND p.value NOT IN (SELECT CAST(qid AS TEXT) FROM qube)",
	 "its template (number %s) is not there", "give it another one: qvm-prefs QUBE template TEMPLATE", NULL},
	{"SELECT q.name, q.class, NULL, NULL FROM qube q WHERE q.class IN ('AppVM','DispVM')"
	 " AND NOT EXISTS (SELECT 1 FROM property p WHERE p.qid=q.qid AND p.name='template')",
	 "it is an %s without a template", "give it one: qvm-prefs QUBE template TEMPLATE", NULL},
	{"SELECT 'store', g.name, NULL, g.name FROM global g JOIN known k ON k.name='system '||g.name"
	 " WHERE k.type='qube' AND g.value<>'' AND g.value NOT IN (SELECT CAST(qid AS TEXT) FROM qube)",
	 "the system's %s names a qube that is not there", "mending sets it to none",
	 "UPDATE global SET value='' WHERE name=?2"},
	{"SELECT q.name, q.class, q.qid, NULL FROM qube q WHERE NOT EXISTS (SELECT 1 FROM property p"
	 " WHERE p.qid=q.qid AND p.name='label' AND p.value IN (SELECT CAST(id AS TEXT) FROM label))"
	 " AND EXISTS (SELECT 1 FROM label)",
	 "this %s has no label, or one that is not there", "mending gives it the first label (red)",
	 "INSERT OR REPLACE INTO property SELECT ?1,'label',CAST(MIN(id) AS TEXT) FROM label"},
};
/* clang-format on */

static int run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

/* a table in memory of the properties there are, and whether each names a qube */
static int know_properties(sqlite3 *db)
{
	int r = run(db, "CREATE TEMP TABLE known (name TEXT PRIMARY KEY, type TEXT NOT NULL)");

	for (unsigned i = 0; r == 0 && i < N_PROPERTIES + N_GLOBALS; i++) {
		bool of_system = i >= N_PROPERTIES;
		const struct property *p = property_at(of_system, of_system ? i - N_PROPERTIES : i);
		char sql[256];

		r = str_format(sql, sizeof(sql), "INSERT INTO known VALUES ('%s%s','%s')",
			       of_system ? "system " : "", p->name,
			       p->type == TYPE_VM ? "qube" : "");
		if (r == 0)
			r = run(db, sql);
	}
	return r;
}

/* one statement and so one transaction: whoever is killed here has mended it or has not begun */
static int mend(sqlite3 *db, const char *sql, sqlite3_stmt *found)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK && sqlite3_bind_parameter_count(st) >= 1)
		rc = sqlite3_bind_value(st, 1, sqlite3_column_value(found, 2));
	if (rc == SQLITE_OK && sqlite3_bind_parameter_count(st) >= 2)
		rc = sqlite3_bind_value(st, 2, sqlite3_column_value(found, 3));
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : -EIO;
}

static const char by_hand[] = "restore the store from a backup";

static int check_rule(struct checking *c, const struct rule *rule)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(c->db, rule->find, -1, &st, NULL);

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		enum store_mend how = rule->mend && !c->lost ? MEND_CAN : MEND_HAND;
		const unsigned char *subject, *name;
		char text[512];

		rc = sqlite3_step(st);
		if (rc != SQLITE_ROW)
			break;
		subject = sqlite3_column_text(st, 0);
		name = sqlite3_column_text(st, 1);
		/* the row's own words, cut where they are too long */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(text, sizeof(text), rule->text, name ? (const char *)name : "?");
#pragma GCC diagnostic pop
		if (how == MEND_CAN && c->mend)
			how = mend(c->db, rule->mend, st) == 0 ? MEND_DONE : MEND_FAILED;
		c->fn(c->data, subject ? (const char *)subject : "store", text,
		      c->lost ? by_hand : rule->advice, how);
		c->lost |= rule == rules; /* without dom0 */
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : rc == SQLITE_NOMEM ? -ENOMEM : -EIO;
}

/* 0 with whether SQLite finds the file sound; its first complaint in @words */
static int ask_integrity(sqlite3 *db, bool *ret_sound, char *words, size_t size)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &st, NULL);
	const unsigned char *text;

	*ret_sound = false;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	text = rc == SQLITE_ROW ? sqlite3_column_text(st, 0) : NULL;
	(void)snprintf(words, size, "%s", text ? (const char *)text : sqlite3_errmsg(db));
	for (char *p = words; *p; p++)
		if (*p == '\n')
			*p = ' ';
	*ret_sound = text && str_eq((const char *)text, "ok");
	(void)sqlite3_finalize(st);
	return rc == SQLITE_NOMEM ? -ENOMEM : 0;
}

/* Indexes can be made again from their tables; a damaged table cannot. */
static int check_file(struct checking *c, bool *ret_sound)
{
	char words[300], text[400];
	int r = ask_integrity(c->db, ret_sound, words, sizeof(words));

	if (r < 0 || *ret_sound)
		return r;
	(void)snprintf(text, sizeof(text), "its file is damaged: %s", words);
	if (!strstr(words, "index")) {
		c->fn(c->data, "store", text, by_hand, MEND_HAND);
		return 0;
	}
	if (c->mend) {
		r = run(c->db, "REINDEX") == 0
			    ? ask_integrity(c->db, ret_sound, words, sizeof(words))
			    : 0;
		c->fn(c->data, "store", text, *ret_sound ? "its indexes were made again" : by_hand,
		      *ret_sound ? MEND_DONE : MEND_FAILED);
		return r;
	}
	c->fn(c->data, "store", text, "mending makes its indexes again", MEND_CAN);
	return 0;
}

int store_check(struct store *s, bool mend_it, store_check_fn fn, void *data)
{
	struct checking c = {.s = s, .db = store_db(s), .mend = mend_it, .fn = fn, .data = data};
	bool sound;
	int r = check_file(&c, &sound);

	if (r < 0 || !sound)
		return r;
	r = know_properties(c.db);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(rules); i++)
		r = check_rule(&c, &rules[i]);
	(void)run(c.db, "DROP TABLE IF EXISTS known");
	return r;
}
