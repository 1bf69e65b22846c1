/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store: changes go to the file and then to the model, rows of the file go to the model at
 * start. Both ways use struct change, so that what a start reads is what a change had done.
 */
#include "store/store.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "store/property.h"
#include "store/refusal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

enum what {
	ADD_QUBE,
	REMOVE_QUBE,
	RENAME,
	SET_PROPERTY,
	SET_DOCUMENT,
	SET_GLOBAL,
	SET_FEATURE,
	SET_TAG,
	SET_VOLUME,
	SET_LABEL,
	SET_POOL,
	SET_XID,
	BEGIN,
	END,
};

/* One change, with all the memory that its happening in the model will need. */
struct change {
	struct change *next;
	enum what what;
	unsigned qid, index;
	uint64_t number;
	struct qube *qube;           /* ADD_QUBE */
	struct pair *pair;           /* SET_FEATURE, SET_TAG: new value */
	char *key, *value;           /* by kind; value NULL = remove */
	struct pool *pool;           /* SET_POOL */
	struct operation *operation; /* BEGIN */
	struct volume volume;        /* SET_VOLUME */
};

struct store {
	sqlite3 *db;
	int lock_fd;
	struct model model;
};

static void change_free(struct change *c)
{
	if (!c)
		return;
	qube_free(c->qube);
	pair_free(c->pair);
	free(c->key);
	free(c->value);
	if (c->pool) {
		free(c->pool->name);
		free(c->pool->driver);
		free(c->pool->dir);
		free(c->pool);
	}
	if (c->operation) {
		free(c->operation->kind);
		free(c->operation->detail);
		free(c->operation);
	}
	free(c->volume.pool);
	free(c->volume.vid);
	free(c);
}

void changes_done(struct changes *c)
{
	while (c->first) {
		struct change *next = c->first->next;

		change_free(c->first);
		c->first = next;
	}
	*c = (struct changes){0};
}

static struct change *append(struct changes *c, enum what what, unsigned qid)
{
	struct change *one = calloc(1, sizeof(*one));

	if (!one) {
		c->failed = true;
		return NULL;
	}
	one->what = what;
	one->qid = qid;
	if (!c->last)
		c->last = &c->first;
	*c->last = one;
	c->last = &one->next;
	return one;
}

/* a copy of @s, NULL for NULL; running out of memory sticks to @c */
static char *copy(struct changes *c, const char *s)
{
	char *new = s ? strdup(s) : NULL;

	if (s && !new)
		c->failed = true;
	return new;
}

void changes_add_qube(struct changes *c, unsigned qid, enum klass klass, const char *name,
		      const char *uuid)
{
	struct change *one = append(c, ADD_QUBE, qid);
	struct qube *q;

	if (!one)
		return;
	q = one->qube = calloc(1, sizeof(*q));
	if (!q || str_copy(q->name, sizeof(q->name), name, strlen(name)) < 0 ||
	    str_copy(q->uuid, sizeof(q->uuid), uuid, strlen(uuid)) < 0) {
		c->failed = true;
		return;
	}
	q->qid = qid;
	q->klass = klass;
	c->n_qubes++;
}

void changes_remove_qube(struct changes *c, unsigned qid)
{
	(void)append(c, REMOVE_QUBE, qid);
}

void changes_rename(struct changes *c, unsigned qid, const char *name)
{
	struct change *one = append(c, RENAME, qid);

	if (one)
		one->value = copy(c, name);
}

static void set_value(struct changes *c, enum what what, unsigned qid, unsigned index,
		      const char *raw)
{
	struct change *one = append(c, what, qid);

	if (!one)
		return;
	one->index = index;
	one->value = copy(c, raw);
}

void changes_set_property(struct changes *c, unsigned qid, enum property_id id, const char *raw)
{
	set_value(c, SET_PROPERTY, qid, id, raw);
}

void changes_set_document(struct changes *c, unsigned qid, enum document d, const char *text)
{
	set_value(c, SET_DOCUMENT, qid, d, text);
}

void changes_set_global(struct changes *c, enum global_id id, const char *raw)
{
	set_value(c, SET_GLOBAL, 0, id, raw);
}

static void set_pair(struct changes *c, enum what what, unsigned qid, const char *key,
		     const char *value)
{
	struct change *one = append(c, what, qid);

	if (!one)
		return;
	one->key = copy(c, key);
	if (!value)
		return;
	one->pair = calloc(1, sizeof(*one->pair));
	if (!one->pair) {
		c->failed = true;
		return;
	}
	one->pair->key = copy(c, key);
	one->pair->value = copy(c, value);
}

void changes_set_feature(struct changes *c, unsigned qid, const char *name, const char *value)
{
	set_pair(c, SET_FEATURE, qid, name, value);
}

void changes_set_tag(struct changes *c, unsigned qid, const char *name, bool there)
{
	set_pair(c, SET_TAG, qid, name, there ? "" : NULL);
}

void changes_set_volume(struct changes *c, unsigned qid, enum disk d, const struct volume *v)
{
	struct change *one = append(c, SET_VOLUME, qid);

	if (!one)
		return;
	one->index = d;
	one->volume = *v;
	one->volume.pool = copy(c, v->pool);
	one->volume.vid = copy(c, v->vid);
}

void changes_set_label(struct changes *c, unsigned i, const char *name, uint32_t color)
{
	struct change *one = append(c, SET_LABEL, 0);

	if (!one)
		return;
	one->index = i;
	one->number = color;
	one->value = copy(c, name);
}

void changes_remove_pool(struct changes *c, const char *name)
{
	struct change *one = append(c, SET_POOL, 0);

	if (one)
		one->key = copy(c, name);
}

void changes_set_pool(struct changes *c, const struct pool *pool)
{
	struct change *one = append(c, SET_POOL, 0);

	if (!one)
		return;
	one->key = copy(c, pool->name);
	one->pool = calloc(1, sizeof(*one->pool));
	if (!one->pool) {
		c->failed = true;
		return;
	}
	one->pool->name = copy(c, pool->name);
	one->pool->driver = copy(c, pool->driver);
	one->pool->dir = copy(c, pool->dir);
	one->pool->revisions_to_keep = pool->revisions_to_keep;
}

void changes_set_xid(struct changes *c, unsigned last_xid)
{
	struct change *one = append(c, SET_XID, 0);

	if (one)
		one->number = last_xid;
}

void changes_begin(struct changes *c, uint64_t id, unsigned qid, const char *kind,
		   const char *detail)
{
	struct change *one = append(c, BEGIN, qid);

	if (!one)
		return;
	one->number = id;
	one->operation = calloc(1, sizeof(*one->operation));
	if (!one->operation) {
		c->failed = true;
		return;
	}
	one->operation->id = id;
	one->operation->qid = qid;
	one->operation->kind = copy(c, kind);
	one->operation->detail = copy(c, detail);
}

void changes_end(struct changes *c, uint64_t id)
{
	struct change *one = append(c, END, 0);

	if (one)
		one->number = id;
}

/* The model: what a change does there. Nothing here fails. */

static void swap_text(char **to, char **from)
{
	free(*to);
	*to = take_ptr(from);
}

static void operation_drop(struct operation **at)
{
	struct operation *gone = *at;

	*at = gone->next;
	free(gone->kind);
	free(gone->detail);
	free(gone);
}

static void apply_operation_end(struct model *m, uint64_t id)
{
	struct operation **p = &m->operations;

	while (*p && (*p)->id != id)
		p = &(*p)->next;
	if (*p)
		operation_drop(p);
}

static void apply_removal(struct model *m, struct qube *q)
{
	struct operation **p = &m->operations;

	while (*p) {
		if ((*p)->qid == q->qid)
			operation_drop(p);
		else
			p = &(*p)->next;
	}
	model_remove(m, q);
}

static void apply_pool(struct model *m, struct change *c)
{
	struct pool **p = &m->pools;

	while (*p && strcmp((*p)->name, c->key) != 0)
		p = &(*p)->next;
	if (*p) {
		struct pool *gone = *p;

		*p = gone->next;
		free(gone->name);
		free(gone->driver);
		free(gone->dir);
		free(gone);
	}
	if (c->pool) {
		c->pool->next = *p;
		*p = take_ptr(&c->pool);
	}
}

static void apply_volume(struct qube *q, struct change *c)
{
	struct volume *v = &q->volumes[c->index];

	free(v->pool);
	free(v->vid);
	*v = c->volume;
	c->volume = (struct volume){0};
}

/* what calls are decided by: policyd is told of it (policyd.h) */
static bool is_told(const struct change *c)
{
	/* the template, for it is a disposable's default_dispvm */
	static const unsigned properties[] = {
		PROP_default_dispvm,       PROP_label,        PROP_relayvm, PROP_template,
		PROP_template_for_dispvms, PROP_transport_rpc};

	if (c->what == SET_FEATURE)
		return str_eq(c->pair ? c->pair->key : c->key, "internal");
	for (size_t i = 0; c->what == SET_PROPERTY && i < ARRAY_LEN(properties); i++)
		if (properties[i] == c->index)
			return true;
	return c->what == SET_TAG || c->what == RENAME;
}

static void untell(struct model *m, const struct change *c)
{
	struct qube *q = model_get(m, c->qid);

	if (c->what == ADD_QUBE || c->what == REMOVE_QUBE)
		m->untold = true; /* one that was never told is told */
	if (q && is_told(c))
		model_untell(m, q);
	/* policyd knows qubes that others refer to by name */
	if (c->what == RENAME || (c->what == SET_GLOBAL && c->index == GLOBAL_default_dispvm))
		for (size_t i = 0; i < m->n_qubes; i++)
			model_untell(m, m->by_name[i]);
}

static void apply(struct model *m, struct change *c)
{
	struct qube *q = model_get(m, c->qid);
	struct pair **pairs = NULL;

	untell(m, c);
	switch (c->what) {
	case ADD_QUBE:
		model_add(m, take_ptr(&c->qube));
		return;
	case SET_GLOBAL:
		swap_text(&m->globals[c->index], &c->value);
		return;
	case SET_LABEL:
		swap_text(&m->labels[c->index].name, &c->value);
		m->labels[c->index].color = (uint32_t)c->number;
		return;
	case SET_POOL:
		apply_pool(m, c);
		return;
	case SET_XID:
		m->last_xid = (unsigned)c->number;
		return;
	case BEGIN:
		if (m->next_operation <= c->number)
			m->next_operation = c->number + 1;
		c->operation->next = m->operations;
		m->operations = take_ptr(&c->operation);
		return;
	case END:
		apply_operation_end(m, c->number);
		return;
	case REMOVE_QUBE:
	case RENAME:
	case SET_PROPERTY:
	case SET_DOCUMENT:
	case SET_FEATURE:
	case SET_TAG:
	case SET_VOLUME:
		break;
	}
	if (!q)
		return;
	if (c->what == REMOVE_QUBE) {
		apply_removal(m, q);
	} else if (c->what == RENAME) {
		model_rename(m, q, c->value);
	} else if (c->what == SET_DOCUMENT) {
		swap_text(&q->documents[c->index], &c->value);
	} else if (c->what == SET_PROPERTY) {
		swap_text(&q->values[c->index], &c->value);
	} else if (c->what == SET_VOLUME) {
		apply_volume(q, c);
	} else {
		pairs = c->what == SET_TAG ? &q->tags : &q->features;
		if (c->pair)
			pair_put(pairs, take_ptr(&c->pair));
		else
			pair_drop(pairs, c->key);
	}
}

/* The file. */

static const char *const schema[] = {
	/* 1 */
	"CREATE TABLE qube (qid INTEGER PRIMARY KEY, class TEXT NOT NULL, name TEXT NOT NULL "
	"UNIQUE,"
	" uuid TEXT NOT NULL UNIQUE);"
	"CREATE TABLE property (qid INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
	" PRIMARY KEY (qid, name)) WITHOUT ROWID;"
	"CREATE TABLE global (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE feature (qid INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
	" PRIMARY KEY (qid, name)) WITHOUT ROWID;"
	"CREATE TABLE tag (qid INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (qid, name))"
	" WITHOUT ROWID;"
	"CREATE TABLE volume (qid INTEGER NOT NULL, name TEXT NOT NULL, pool TEXT NOT NULL,"
	" vid TEXT NOT NULL, size INTEGER NOT NULL, rw INTEGER NOT NULL, save_on_stop INTEGER NOT"
	" NULL, snap_on_start INTEGER NOT NULL, ephemeral INTEGER NOT NULL, revisions_to_keep"
	" INTEGER NOT NULL, PRIMARY KEY (qid, name)) WITHOUT ROWID;"
	"CREATE TABLE label (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, color INTEGER NOT"
	" NULL);"
	"CREATE TABLE pool (name TEXT PRIMARY KEY, driver TEXT NOT NULL, dir TEXT NOT NULL,"
	" revisions_to_keep INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE operation (id INTEGER PRIMARY KEY, qid INTEGER NOT NULL, kind TEXT NOT NULL,"
	" detail TEXT NOT NULL);",
	/* 2 */
	"CREATE TABLE document (qid INTEGER NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL,"
	" PRIMARY KEY (qid, name)) WITHOUT ROWID;",
};
_Static_assert(ARRAY_LEN(schema) == STORE_VERSION, "a version is a step");

/* a SQLite result as ours */
static int db_result(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return STORE_E_FULL;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return STORE_E_DAMAGED;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_IOERR:
		/* the write-ahead log's shared memory cannot grow on a full disk either */
		return rc == SQLITE_IOERR_SHMSIZE ? STORE_E_FULL : -EIO;
	default:
		return -EIO;
	}
}

static int db_exec(sqlite3 *db, const char *sql)
{
	return db_result(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

/* one statement; each letter of @types binds an argument: s a string, i an int64_t */
static int db_run(sqlite3 *db, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	va_list args;
	int i = 1;

	va_start(args, types);
	for (; rc == SQLITE_OK && *types != '\0'; types++, i++)
		rc = *types == 's' ? sqlite3_bind_text(st, i, va_arg(args, const char *), -1,
						       SQLITE_STATIC)
				   : sqlite3_bind_int64(st, i, va_arg(args, int64_t));
	va_end(args);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	/* the first failure counts; finalizing repeats it */
	(void)sqlite3_finalize(st);
	return db_result(rc);
}

static int write_volume(sqlite3 *db, const struct change *c)
{
	const struct volume *v = &c->volume;
	const char *name = disk_name((enum disk)c->index);

	return db_run(db, "INSERT OR REPLACE INTO volume VALUES (?,?,?,?,?,?,?,?,?,?)",
		      "isssiiiiii", (int64_t)c->qid, name, v->pool, v->vid, (int64_t)v->size,
		      (int64_t)v->rw, (int64_t)v->save_on_stop, (int64_t)v->snap_on_start,
		      (int64_t)v->ephemeral, (int64_t)v->revisions_to_keep);
}

static int write_removal(sqlite3 *db, int64_t qid)
{
	static const char *const tables[] = {
		"DELETE FROM qube WHERE qid=?",      "DELETE FROM property WHERE qid=?",
		"DELETE FROM feature WHERE qid=?",   "DELETE FROM tag WHERE qid=?",
		"DELETE FROM volume WHERE qid=?",    "DELETE FROM document WHERE qid=?",
		"DELETE FROM operation WHERE qid=?",
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(tables); i++)
		r = db_run(db, tables[i], "i", qid);
	return r;
}

static int write_change(sqlite3 *db, const struct change *c)
{
	int64_t qid = c->qid;
	const char *name;

	switch (c->what) {
	case ADD_QUBE:
		return db_run(db, "INSERT INTO qube VALUES (?,?,?,?)", "isss", qid,
			      klass_name(c->qube->klass), c->qube->name, c->qube->uuid);
	case REMOVE_QUBE:
		return write_removal(db, qid);
	case RENAME:
		return db_run(db, "UPDATE qube SET name=? WHERE qid=?", "si", c->value, qid);
	case SET_PROPERTY:
		name = property_at(false, c->index)->name;
		if (!c->value)
			return db_run(db, "DELETE FROM property WHERE qid=? AND name=?", "is", qid,
				      name);
		return db_run(db, "INSERT OR REPLACE INTO property VALUES (?,?,?)", "iss", qid,
			      name, c->value);
	case SET_DOCUMENT:
		name = document_name((enum document)c->index);
		if (!c->value)
			return db_run(db, "DELETE FROM document WHERE qid=? AND name=?", "is", qid,
				      name);
		return db_run(db, "INSERT OR REPLACE INTO document VALUES (?,?,?)", "iss", qid,
			      name, c->value);
	case SET_GLOBAL:
		name = property_at(true, c->index)->name;
		if (!c->value)
			return db_run(db, "DELETE FROM global WHERE name=?", "s", name);
		return db_run(db, "INSERT OR REPLACE INTO global VALUES (?,?)", "ss", name,
			      c->value);
	case SET_FEATURE:
		if (!c->pair)
			return db_run(db, "DELETE FROM feature WHERE qid=? AND name=?", "is", qid,
				      c->key);
		return db_run(db, "INSERT OR REPLACE INTO feature VALUES (?,?,?)", "iss", qid,
			      c->key, c->pair->value);
	case SET_TAG:
		if (!c->pair)
			return db_run(db, "DELETE FROM tag WHERE qid=? AND name=?", "is", qid,
				      c->key);
		return db_run(db, "INSERT OR REPLACE INTO tag VALUES (?,?)", "is", qid, c->key);
	case SET_VOLUME:
		return write_volume(db, c);
	case SET_LABEL:
		if (!c->value)
			return db_run(db, "DELETE FROM label WHERE id=?", "i", (int64_t)c->index);
		return db_run(db, "INSERT OR REPLACE INTO label VALUES (?,?,?)", "isi",
			      (int64_t)c->index, c->value, (int64_t)c->number);
	case SET_POOL:
		if (!c->pool)
			return db_run(db, "DELETE FROM pool WHERE name=?", "s", c->key);
		return db_run(db, "INSERT OR REPLACE INTO pool VALUES (?,?,?,?)", "sssi", c->key,
			      c->pool->driver, c->pool->dir, (int64_t)c->pool->revisions_to_keep);
	case SET_XID:
		return db_run(db, "INSERT OR REPLACE INTO counter VALUES ('xid',?)", "i",
			      (int64_t)c->number);
	case BEGIN:
		return db_run(db, "INSERT INTO operation VALUES (?,?,?,?)", "iiss",
			      (int64_t)c->number, qid, c->operation->kind, c->operation->detail);
	case END:
		return db_run(db, "DELETE FROM operation WHERE id=?", "i", (int64_t)c->number);
	}
	return -EINVAL;
}

int store_apply(struct store *s, struct changes *c)
{
	int r = c->failed ? -ENOMEM : model_reserve(&s->model, c->n_qubes);

	if (r == 0)
		r = db_exec(s->db, "BEGIN IMMEDIATE");
	for (struct change *one = c->first; r == 0 && one; one = one->next)
		r = write_change(s->db, one);
	if (r == 0)
		r = db_exec(s->db, "COMMIT");
	if (r != 0) {
		if (!sqlite3_get_autocommit(s->db))
			(void)db_exec(s->db, "ROLLBACK");
		changes_done(c);
		return r;
	}
	for (struct change *one = c->first; one; one = one->next)
		apply(&s->model, one);
	changes_done(c);
	return 0;
}

int store_change(struct store *s, struct changes *c, struct refusal *why)
{
	int r = store_apply(s, c);

	if (r == STORE_E_FULL)
		return refuse(why, "QubesException",
			      "the disk is full: make room and try again. Nothing was changed");
	if (r == -EROFS)
		return refuse(why, "QubesException",
			      "the store cannot be written: its file system is read-only. Nothing "
			      "was changed");
	return fault(r);
}

/* At start: rows become changes, which happen in the model. */

static const char *column(sqlite3_stmt *st, int i)
{
	const unsigned char *text = sqlite3_column_text(st, i);

	return text ? (const char *)text : "";
}

static void read_qube(struct changes *c, sqlite3_stmt *st)
{
	unsigned k = klass_find(column(st, 1));
	int64_t qid = sqlite3_column_int64(st, 0);

	if (k == N_KLASSES || qid < 0 || qid > QID_MAX)
		return; /* of a newer version, which STORE_VERSION would have told */
	changes_add_qube(c, (unsigned)qid, (enum klass)k, column(st, 2), column(st, 3));
}

static void read_property(struct changes *c, sqlite3_stmt *st)
{
	for (unsigned i = 0; i < N_PROPERTIES; i++)
		if (strcmp(property_at(false, i)->name, column(st, 1)) == 0)
			changes_set_property(c, (unsigned)sqlite3_column_int64(st, 0),
					     (enum property_id)i, column(st, 2));
}

static void read_global(struct changes *c, sqlite3_stmt *st)
{
	for (unsigned i = 0; i < N_GLOBALS; i++)
		if (strcmp(property_at(true, i)->name, column(st, 0)) == 0)
			changes_set_global(c, (enum global_id)i, column(st, 1));
}

static void read_feature(struct changes *c, sqlite3_stmt *st)
{
	changes_set_feature(c, (unsigned)sqlite3_column_int64(st, 0), column(st, 1), column(st, 2));
}

static void read_tag(struct changes *c, sqlite3_stmt *st)
{
	changes_set_tag(c, (unsigned)sqlite3_column_int64(st, 0), column(st, 1), true);
}

static void read_volume(struct changes *c, sqlite3_stmt *st)
{
	for (unsigned i = 0; i < N_DISKS; i++) {
		const struct volume v = {.pool = (char *)column(st, 2),
					 .vid = (char *)column(st, 3),
					 .size = (uint64_t)sqlite3_column_int64(st, 4),
					 .rw = sqlite3_column_int(st, 5),
					 .save_on_stop = sqlite3_column_int(st, 6),
					 .snap_on_start = sqlite3_column_int(st, 7),
					 .ephemeral = sqlite3_column_int(st, 8),
					 .revisions_to_keep = sqlite3_column_int(st, 9)};

		if (strcmp(disk_name((enum disk)i), column(st, 1)) == 0)
			changes_set_volume(c, (unsigned)sqlite3_column_int64(st, 0), (enum disk)i,
					   &v);
	}
}

static void read_document(struct changes *c, sqlite3_stmt *st)
{
	for (unsigned i = 0; i < N_DOCUMENTS; i++)
		if (strcmp(document_name((enum document)i), column(st, 1)) == 0)
			changes_set_document(c, (unsigned)sqlite3_column_int64(st, 0),
					     (enum document)i, column(st, 2));
}

static void read_label(struct changes *c, sqlite3_stmt *st)
{
	int64_t i = sqlite3_column_int64(st, 0);

	if (i > 0 && i <= LABEL_MAX)
		changes_set_label(c, (unsigned)i, column(st, 1),
				  (uint32_t)sqlite3_column_int64(st, 2));
}

static void read_pool(struct changes *c, sqlite3_stmt *st)
{
	changes_set_pool(c, &(struct pool){.name = (char *)column(st, 0),
					   .driver = (char *)column(st, 1),
					   .dir = (char *)column(st, 2),
					   .revisions_to_keep = sqlite3_column_int(st, 3)});
}

static void read_counter(struct changes *c, sqlite3_stmt *st)
{
	if (strcmp(column(st, 0), "xid") == 0)
		changes_set_xid(c, (unsigned)sqlite3_column_int64(st, 1));
}

static void read_operation(struct changes *c, sqlite3_stmt *st)
{
	changes_begin(c, (uint64_t)sqlite3_column_int64(st, 0),
		      (unsigned)sqlite3_column_int64(st, 1), column(st, 2), column(st, 3));
}

static int load(struct store *s)
{
	static const struct {
		const char *sql;
		void (*read)(struct changes *c, sqlite3_stmt *st);
	} tables[] = {
		{"SELECT qid,class,name,uuid FROM qube ORDER BY name", read_qube},
		{"SELECT qid,name,value FROM property", read_property},
		{"SELECT name,value FROM global", read_global},
		{"SELECT qid,name,value FROM feature ORDER BY qid,name DESC", read_feature},
		{"SELECT qid,name FROM tag ORDER BY qid,name DESC", read_tag},
		{"SELECT qid,name,pool,vid,size,rw,save_on_stop,snap_on_start,ephemeral,"
		 "revisions_to_keep FROM volume",
		 read_volume},
		{"SELECT qid,name,text FROM document", read_document},
		{"SELECT id,name,color FROM label", read_label},
		{"SELECT name,driver,dir,revisions_to_keep FROM pool", read_pool},
		{"SELECT name,value FROM counter", read_counter},
		{"SELECT id,qid,kind,detail FROM operation", read_operation},
	};
	struct changes AUTO(changes_done) c = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(tables); i++) {
		sqlite3_stmt *st = NULL;
		int rc = sqlite3_prepare_v2(s->db, tables[i].sql, -1, &st, NULL);

		while (rc == SQLITE_OK || rc == SQLITE_ROW) {
			rc = sqlite3_step(st);
			if (rc == SQLITE_ROW)
				tables[i].read(&c, st);
		}
		r = db_result(rc);
		(void)sqlite3_finalize(st);
	}
	if (r != 0)
		return r;
	if (c.failed)
		return -ENOMEM;
	r = model_reserve(&s->model, c.n_qubes);
	for (struct change *one = c.first; r == 0 && one; one = one->next)
		apply(&s->model, one);
	return r;
}

static int first_start(struct store *s)
{
	static const struct {
		const char *name;
		uint32_t color;
	} labels[] = {
		{"red", 0xcc0000},  {"orange", 0xf57900}, {"yellow", 0xedd400}, {"green", 0x73d216},
		{"gray", 0x555555}, {"blue", 0x3465a4},   {"purple", 0x75507b}, {"black", 0x000000},
	};
	static const struct pool pools[] = {
		{.name = (char *)"default",
		 .driver = (char *)"qcow2",
		 .dir = (char *)"",
		 .revisions_to_keep = 1},
		{.name = (char *)"linux-kernel",
		 .driver = (char *)"linux-kernel",
		 .dir = (char *)""},
	};
	struct changes AUTO(changes_done) c = {0};

	for (unsigned i = 0; i < ARRAY_LEN(labels); i++)
		changes_set_label(&c, i + 1, labels[i].name, labels[i].color);
	changes_add_qube(&c, 0, KLASS_ADMIN, "dom0", "00000000-0000-0000-0000-000000000000");
	changes_set_property(&c, 0, PROP_label, "8");
	for (unsigned i = 0; i < ARRAY_LEN(pools); i++)
		changes_set_pool(&c, &pools[i]);
	changes_set_xid(&c, 0);
	return store_apply(s, &c);
}

static int migrate(struct store *s)
{
	sqlite3_stmt *st = NULL;
	char sql[64];
	int64_t version = 0;
	int r = db_result(sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL));

	if (r == 0) {
		int rc = sqlite3_step(st);

		r = db_result(rc);
		if (rc == SQLITE_ROW)
			version = sqlite3_column_int64(st, 0);
	}
	(void)sqlite3_finalize(st);
	if (r != 0)
		return r;
	if (version > STORE_VERSION || version < 0)
		return STORE_E_NEWER;
	for (; r == 0 && version < STORE_VERSION; version++) {
		r = db_exec(s->db, "BEGIN IMMEDIATE");
		if (r == 0)
			r = db_exec(s->db, schema[version]);
		if (r == 0)
			r = str_format(sql, sizeof(sql), "PRAGMA user_version=%d",
				       (int)version + 1);
		if (r == 0)
			r = db_exec(s->db, sql);
		if (r == 0)
			r = db_exec(s->db, "COMMIT");
	}
	return r;
}

static const char *outcome_text(int r)
{
	switch (r) {
	case STORE_E_LOCKED:
		return "another qubesd uses it; end that one first";
	case STORE_E_NEWER:
		return "it was written by a newer version of Bulkhead; use that one";
	case STORE_E_DAMAGED:
		return "it is damaged; restore it from a backup";
	case STORE_E_FULL:
		return "the disk is full; make room and try again";
	default:
		return log_errno_str(r);
	}
}

int store_lock(const char *dir, int *ret_fd)
{
	AUTO_CLOSE int fd = NO_FD;
	char path[4096];
	int r = str_format(path, sizeof(path), "%s/store.lock", dir);

	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail_errno();
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? STORE_E_LOCKED : fail_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

static int open_file(struct store *s, const char *path)
{
	int rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	int r = db_result(rc);

	if (rc == SQLITE_CANTOPEN)
		return -EACCES;
	if (r == 0)
		r = db_exec(s->db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;"
				   "PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF;");
	return r == 0 ? migrate(s) : r;
}

int store_open(const char *dir, struct store **ret, char *error, size_t error_size)
{
	struct store *s = calloc(1, sizeof(*s));
	char path[4096];
	int r;

	if (!s)
		return -ENOMEM;
	s->lock_fd = NO_FD;
	model_init(&s->model);
	r = str_format(path, sizeof(path), "%s/store.db", dir);
	if (r == 0)
		r = store_lock(dir, &s->lock_fd);
	if (r == 0)
		r = open_file(s, path);
	if (r == 0)
		r = load(s);
	if (r == 0 && s->model.n_qubes == 0)
		r = first_start(s);
	if (r != 0) {
		(void)snprintf(error, error_size, "%s: %s", path, outcome_text(r));
		store_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_free(struct store *s)
{
	if (!s)
		return;
	(void)sqlite3_close(s->db);
	model_done(&s->model);
	close_fd(&s->lock_fd);
	free(s);
}

struct model *store_model(struct store *s)
{
	return &s->model;
}

sqlite3 *store_db(struct store *s)
{
	return s->db;
}

int store_snapshot(struct store *s, int fd)
{
	sqlite3_int64 len = 0;
	unsigned char *bytes = sqlite3_serialize(s->db, "main", &len, 0);
	int r = bytes ? io_write_full(fd, bytes, (size_t)len) : -ENOMEM;

	sqlite3_free(bytes);
	return r;
}
