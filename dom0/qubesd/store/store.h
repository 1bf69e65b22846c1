/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The store: a SQLite file (WAL, synchronous=FULL) and the model in memory that it fills at start.
 *
 * There is one way to change anything: collect changes, then store_apply() them. They are committed
 * to the file together; only then, and without a step that could fail, they happen in the model. So
 * a change is durable before anybody sees it, or it did not happen at all.
 *
 * qubesd alone opens the file: an exclusive lock on "store.lock" beside it keeps a second one away.
 */
#include "base/attr.h"
#include "store/model.h"

/** STORE_VERSION - of the schema; an older file is migrated, a newer one refused */
#define STORE_VERSION 3

/** enum store_outcome */
enum store_outcome {
	STORE_E_LOCKED = 1, /* another qubesd has it */
	STORE_E_NEWER,      /* the file was written by a newer version */
	STORE_E_DAMAGED,    /* the file is not what it should be */
	STORE_E_FULL,       /* no space left: the change did not happen */
	STORE_E_NONE,       /* there is no file, or nothing in it */
};

struct store;

/**
 * store_open() - open the store in folder @dir
 * @begin:	where there is none, make it: dom0, the labels, the first pools. Otherwise that is STORE_E_NONE, and the
 *		folder is left as it was
 * @error:	on failure a sentence that names the file and the cause
 *
 * Return: 0; an outcome; -errno.
 */
MUST_CHECK int store_open(const char *dir, bool begin, struct store **ret, char *error,
			  size_t error_size);
void store_free(struct store *s);
struct model *store_model(struct store *s);

/** store_lock() - keep every qubesd away from the store in @dir as long as *@ret_fd is open. Return: 0; STORE_E_LOCKED;
 * -errno */
MUST_CHECK int store_lock(const char *dir, int *ret_fd);
/** store_put_aside() - what is there of a store in @dir gets another name, *@ret_name, so that one can be begun; nobody may
 * have it open. Return: 0; -errno */
MUST_CHECK int store_put_aside(const char *dir, char *ret_name, size_t size);
/**
 * store_trial() - a model of its own, as that of @s is now, to try changes on
 *
 * store_apply() to it touches no file. What is not in the store (who runs, who is hidden) is not in it; what this machine is, is.
 * Return: 0; an outcome; -errno.
 */
MUST_CHECK int store_trial(struct store *s, struct store **ret);
/** store_snapshot() - write the whole file, as of the last change, into the empty file @fd */
MUST_CHECK int store_snapshot(struct store *s, int fd);
/** store_db() - for store/check.c alone */
struct sqlite3;
struct sqlite3 *store_db(struct store *s);

/** struct changes - what is to happen together; zero-initialise. changes_done() drops what was not
 * applied */
struct change;
struct changes {
	struct change *first, **last;
	size_t n_qubes;
	bool failed; /* sticky: out of memory */
};
void changes_done(struct changes *c);

void changes_add_qube(struct changes *c, unsigned qid, enum klass klass, const char *name,
		      const char *uuid);
/** changes_remove_qube() - with all that is its own, its operations too */
void changes_remove_qube(struct changes *c, unsigned qid);
/** changes_rename() - @name is valid and free */
void changes_rename(struct changes *c, unsigned qid, const char *name);
/** changes_set_property() - @raw NULL = reset; likewise below */
void changes_set_property(struct changes *c, unsigned qid, enum property_id id, const char *raw);
void changes_set_global(struct changes *c, enum global_id id, const char *raw);
void changes_set_feature(struct changes *c, unsigned qid, const char *name, const char *value);
void changes_set_tag(struct changes *c, unsigned qid, const char *name, bool there);
void changes_set_volume(struct changes *c, unsigned qid, enum disk d, const struct volume *v);
void changes_set_document(struct changes *c, unsigned qid, enum document d, const char *text);
void changes_set_label(struct changes *c, unsigned i, const char *name, uint32_t color);
/** changes_set_pool() - add or replace; its texts are copied. changes_remove_pool(): by name */
void changes_set_pool(struct changes *c, const struct pool *pool);
void changes_remove_pool(struct changes *c, const char *name);
void changes_set_xid(struct changes *c, unsigned last_xid);
/** changes_begin() - an operation starts; @id from model->next_operation. changes_end(): it ended
 */
void changes_begin(struct changes *c, uint64_t id, unsigned qid, const char *kind,
		   const char *detail);
void changes_end(struct changes *c, uint64_t id);

/**
 * store_apply() - make the changes durable, then real
 *
 * Either way @c is empty afterwards. Return: 0; STORE_E_FULL; -errno (and nothing changed).
 */
MUST_CHECK int store_apply(struct store *s, struct changes *c);
/** store_change() - the same, where what can go wrong with a disk is REFUSED */
MUST_CHECK int store_change(struct store *s, struct changes *c, struct refusal *why);
