/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store: changes go to the file and then to the model, rows of the file go to the model at
 * start. Both ways use struct change, so that what a start reads is what a change had done.
 */
#include "store/store.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "store/change.h"
#include "store/property.h"
#include "store/refusal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

struct store {
	sqlite3 *db;
	int lock_fd;
	struct model model;
};

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
	("CREATE TABLE document (qid INTEGER NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL,"
	 " PRIMARY KEY (qid, name)) WITHOUT ROWID;"),
	/* 3 */
	"ALTER TABLE pool ADD COLUMN ephemeral_volatile INTEGER NOT NULL DEFAULT 0;",
};
_Static_assert(ARRAY_LEN(schema) == STORE_VERSION, "a version is a step");

/* What an input or output error of the last call to @db was. SQLite notes the system's word for it but for the write-ahead
 * log's; that errno still has then: it chooses the words a person reads, nothing else. */
static int io_error(sqlite3 *db, int rc)
{
	int error = db && sqlite3_system_errno(db) != 0 ? sqlite3_system_errno(db) : errno;

	/* the write-ahead log's shared memory cannot grow on a full disk either */
	if (rc == SQLITE_IOERR_SHMSIZE || error == ENOSPC || error == EDQUOT)
		return STORE_E_FULL;
	return error == EROFS ? -EROFS : -EIO;
}

/* a SQLite result as ours */
static int db_result(sqlite3 *db, int rc)
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
		return io_error(db, rc);
	default:
		return -EIO;
	}
}

static int db_exec(sqlite3 *db, const char *sql)
{
	errno = 0;
	return db_result(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

/* one statement; each letter of @types binds an argument: s a string, i an int64_t */
static int db_run(sqlite3 *db, const char *sql, const char *types, ...)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	va_list args;
	int i = 1, r;

	va_start(args, types);
	for (; rc == SQLITE_OK && *types != '\0'; types++, i++)
		rc = *types == 's' ? sqlite3_bind_text(st, i, va_arg(args, const char *), -1,
						       SQLITE_STATIC)
				   : sqlite3_bind_int64(st, i, va_arg(args, int64_t));
	va_end(args);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	/* the first failure counts; finalizing repeats it */
	r = db_result(db, rc);
	(void)sqlite3_finalize(st);
	return r;
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
		return db_run(db, "INSERT OR REPLACE INTO pool VALUES (?,?,?,?,?)", "sssii", c->key,
			      c->pool->driver, c->pool->dir, (int64_t)c->pool->revisions_to_keep,
			      (int64_t)c->pool->ephemeral_volatile);
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

static int write_changes(sqlite3 *db, const struct changes *c)
{
	int r = db_exec(db, "BEGIN IMMEDIATE");

	for (struct change *one = c->first; r == 0 && one; one = one->next)
		r = write_change(db, one);
	if (r == 0)
		r = db_exec(db, "COMMIT");
	if (r != 0 && !sqlite3_get_autocommit(db))
		(void)db_exec(db, "ROLLBACK");
	return r;
}

int store_apply(struct store *s, struct changes *c)
{
	int r = c->failed ? -ENOMEM : model_reserve(&s->model, c->n_qubes);

	if (r == 0 && s->db)
		r = write_changes(s->db, c);
	if (r != 0) {
		changes_done(c);
		return r;
	}
	for (struct change *one = c->first; one; one = one->next)
		change_happen(&s->model, one);
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
	if (r == -EIO)
		return refuse(why, "QubesException",
			      "the store cannot be written: its disk gives errors (see dmesg). "
			      "Nothing was changed");
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
	const int said = sqlite3_column_int(st, 8);

	for (unsigned i = 0; i < N_DISKS; i++) {
		const struct volume v = {.pool = (char *)column(st, 2),
					 .vid = (char *)column(st, 3),
					 .size = (uint64_t)sqlite3_column_int64(st, 4),
					 .rw = sqlite3_column_int(st, 5),
					 .save_on_stop = sqlite3_column_int(st, 6),
					 .snap_on_start = sqlite3_column_int(st, 7),
					 .ephemeral = said == EPHEMERAL_YES  ? EPHEMERAL_YES
						      : said == EPHEMERAL_NO ? EPHEMERAL_NO
									     : EPHEMERAL_AS_POOL,
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
					   .revisions_to_keep = sqlite3_column_int(st, 3),
					   .ephemeral_volatile = sqlite3_column_int(st, 4)});
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
		{"SELECT name,driver,dir,revisions_to_keep,ephemeral_volatile FROM pool",
		 read_pool},
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
		r = db_result(s->db, rc);
		(void)sqlite3_finalize(st);
	}
	if (r != 0)
		return r;
	if (c.failed)
		return -ENOMEM;
	r = model_reserve(&s->model, c.n_qubes);
	for (struct change *one = c.first; r == 0 && one; one = one->next)
		change_happen(&s->model, one);
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
	int r = db_result(s->db, sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL));

	if (r == 0) {
		int rc = sqlite3_step(st);

		r = db_result(s->db, rc);
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
	case STORE_E_NONE:
		return "it is missing or empty";
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

static int open_file(struct store *s, const char *path, bool begin)
{
	struct stat st;
	int rc, r;

	/* not even touched: what SQLite made of an empty file would throw away the log beside it */
	if (!begin && (stat(path, &st) < 0 ? errno == ENOENT : st.st_size == 0))
		return STORE_E_NONE;
	rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | (begin ? SQLITE_OPEN_CREATE : 0),
			     NULL);
	r = db_result(s->db, rc);
	if (rc == SQLITE_CANTOPEN)
		return -EACCES;
	if (r == 0)
		/* EXTRA as long as a new file has a rollback journal: one whose removal a power cut
		 * undid would take the file back to nothing, and with it all that the log holds */
		r = db_exec(s->db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=EXTRA;"
				   "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
				   "PRAGMA foreign_keys=OFF;");
	return r == 0 ? migrate(s) : r;
}

/** LOG_ROOM - somewhat more than SQLite lets its log grow to before it begins at its start again */
#define LOG_ROOM (5 << 20)

/* Room is set aside for the log, so that a change can be committed where qubes have filled the disk: the one that makes room, for
 * example. A disk without that room, or a file system that cannot do this, will do without. */
static void set_room_aside(const char *path)
{
	AUTO_CLOSE int fd = NO_FD;
	char log[4096];

	if (str_format(log, sizeof(log), "%s-wal", path) < 0)
		return;
	fd = open(log, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		(void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOG_ROOM);
}

/* 0 with whether there is a row at all: none are there only if the first start was cut off */
static int ask_blank(struct store *s, bool *ret)
{
	static const char sql[] =
		"SELECT NOT (EXISTS (SELECT 1 FROM qube) OR EXISTS (SELECT 1 FROM property)"
		" OR EXISTS (SELECT 1 FROM global) OR EXISTS (SELECT 1 FROM feature)"
		" OR EXISTS (SELECT 1 FROM tag) OR EXISTS (SELECT 1 FROM volume)"
		" OR EXISTS (SELECT 1 FROM label) OR EXISTS (SELECT 1 FROM pool)"
		" OR EXISTS (SELECT 1 FROM counter) OR EXISTS (SELECT 1 FROM operation)"
		" OR EXISTS (SELECT 1 FROM document))";
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	*ret = rc == SQLITE_ROW && sqlite3_column_int(st, 0) != 0;
	(void)sqlite3_finalize(st);
	return db_result(s->db, rc);
}

int store_open(const char *dir, bool begin, struct store **ret, char *error, size_t error_size)
{
	struct store *s = calloc(1, sizeof(*s));
	char path[4096];
	bool blank = false;
	int r;

	if (!s)
		return -ENOMEM;
	s->lock_fd = NO_FD;
	model_init(&s->model);
	r = str_format(path, sizeof(path), "%s/store.db", dir);
	if (r == 0)
		r = store_lock(dir, &s->lock_fd);
	if (r == 0)
		r = open_file(s, path, begin);
	if (r == 0)
		r = load(s);
	if (r == 0)
		r = ask_blank(s, &blank);
	if (r == 0 && blank)
		r = begin ? first_start(s) : STORE_E_NONE;
	if (r != 0) {
		(void)snprintf(error, error_size, "%s: %s", path, outcome_text(r));
		store_free(s);
		return r;
	}
	set_room_aside(path);
	*ret = s;
	return 0;
}

int store_trial(struct store *s, struct store **ret)
{
	struct store *trial = calloc(1, sizeof(*trial));
	int r;

	if (!trial)
		return -ENOMEM;
	trial->lock_fd = NO_FD;
	model_init(&trial->model);
	trial->model.machine = s->model.machine;
	trial->db = s->db; /* to read from */
	r = load(trial);
	trial->db = NULL;
	if (r != 0) {
		store_free(trial);
		return r;
	}
	*ret = trial;
	return 0;
}

int store_put_aside(const char *dir, char *ret_name, size_t size)
{
	/* SQLite finds a log by the name of its file */
	static const char *const parts[] = {"-wal", "-shm", ""};
	AUTO_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char from[64], to[64];
	struct stat st;
	int r = 0;

	if (fd < 0)
		return fail_errno();
	for (unsigned i = 1; i < 1000; i++) {
		(void)snprintf(from, sizeof(from), "store.db.%u", i);
		(void)snprintf(to, sizeof(to), "store.db.%u-wal", i);
		if (fstatat(fd, from, &st, 0) < 0 && fstatat(fd, to, &st, 0) < 0)
			break;
	}
	r = str_copy(ret_name, size, from, strlen(from));
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(parts); i++) {
		(void)snprintf(from, sizeof(from), "store.db%s", parts[i]);
		(void)snprintf(to, sizeof(to), "%s%s", ret_name, parts[i]);
		if (renameat2(fd, from, fd, to, RENAME_NOREPLACE) < 0 && errno != ENOENT)
			r = fail_errno();
	}
	return r == 0 && fsync(fd) < 0 ? fail_errno() : r;
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
