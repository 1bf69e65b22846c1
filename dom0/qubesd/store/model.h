/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * All that the store holds, in memory: every read is answered from here. It changes only by
 * store_apply() (store/store.h), after the change is durable; readers borrow.
 *
 * A qube is found by its qid in an array and by name or uuid in hash tables; `by_name` is sorted,
 * for lists. References between qubes are qids, in stored values too, so that they cost one array
 * look-up.
 */
#include "base/attr.h"
#include "base/str.h"

#include "store/property_ids.h"

struct refusal;

#define QID_MAX   9999
#define UUID_LEN  36
#define LABEL_MAX 255

/** enum klass - of a qube; stored by name */
enum klass { KLASS_ADMIN, KLASS_TEMPLATE, KLASS_APP, KLASS_STANDALONE, KLASS_DISP, KLASS_REMOTE };
#define N_KLASSES 6

/** klass_name() - "AppVM"...; klass_find(): N_KLASSES if it is none */
const char *klass_name(enum klass k);
unsigned klass_find(const char *name);

/** struct pair - a feature or a tag (whose value is ""), sorted by key in its list */
struct pair {
	struct pair *next;
	char *key, *value;
};
/** pair_find() - NULL if it is not there */
const struct pair *pair_find(const struct pair *list, const char *key);

/** enum disk - the volumes a qube may have in the store; "kernel" follows from the property kernel
 */
enum disk { DISK_ROOT, DISK_PRIVATE, DISK_VOLATILE };
#define N_DISKS 3
const char *disk_name(enum disk d);

/** enum ephemeral - is what a volume that keeps nothing holds encrypted with a key of one start? Numbers of the store */
enum ephemeral { EPHEMERAL_AS_POOL, EPHEMERAL_YES, EPHEMERAL_NO };

/**
 * struct volume - what the store knows of one
 * @pool:	NULL: the qube has no such volume
 * @size:	bytes; 0 for a snap_on_start volume = its source's
 */
struct volume {
	char *pool, *vid;
	uint64_t size;
	bool rw, save_on_stop, snap_on_start;
	enum ephemeral ephemeral;
	int revisions_to_keep;
};

/** enum document - a qube's longer texts: what its user notes, its firewall's rules as they are sent;
 * stored by name */
enum document { DOCUMENT_NOTES, DOCUMENT_FIREWALL, DOCUMENT_MENU };
#define N_DOCUMENTS 3
const char *document_name(enum document d);

struct hold;    /* of a disposable that somebody holds: disposable.h */
struct power;   /* of a qube that is not halted: power/power.h */
struct preload; /* of a disposable that was started before anybody asked for it: preload/preload.h */

/**
 * struct qube
 * @values:	of properties that are set; references as decimal qid, "" = None
 * @documents:	NULL: there is none
 * @hidden:	being created or removed: its name is taken, but nobody sees it
 * @n_busy:	jobs that work on its volumes
 */
struct qube {
	unsigned qid;
	enum klass klass;
	char name[QUBE_NAME_MAX + 1];
	char uuid[UUID_LEN + 1];
	char *values[N_PROPERTIES];
	struct pair *features, *tags;
	char *documents[N_DOCUMENTS];
	struct volume volumes[N_DISKS];
	bool hidden;
	bool untold; /* model_untell() */
	unsigned n_busy;
	struct power *power;
	struct hold *hold;
	struct preload *preload;
	unsigned xid; /* domain id while it runs, else 0 */
	int64_t start_time;
	struct qube *name_next, *uuid_next;
};

struct label {
	char *name; /* NULL: no such label */
	uint32_t color;
};

/** struct pool - @dir: "" = the folder of its name below the instance's pools; @ephemeral_volatile: volumes of it that keep nothing and
 * do not say otherwise are ephemeral */
struct pool {
	struct pool *next;
	char *name, *driver, *dir;
	int revisions_to_keep;
	bool ephemeral_volatile;
};

/** struct operation - one that was started and has not ended: finished or rolled back at a start */
struct operation {
	struct operation *next;
	uint64_t id;
	unsigned qid;
	char *kind, *detail;
};

#define N_BUCKETS 4096

struct model {
	struct qube *by_qid[QID_MAX + 1];
	struct qube *name_buckets[N_BUCKETS], *uuid_buckets[N_BUCKETS];
	struct qube **by_name;
	size_t n_qubes, by_name_room;
	char *globals[N_GLOBALS];
	struct label labels[LABEL_MAX + 1]; /* from 1 */
	struct pool *pools;
	struct operation *operations;
	uint64_t next_operation;
	unsigned last_xid;
	bool untold; /* some qube is, or one has gone */
	struct machine_facts {
		uint64_t memory_mib;
		unsigned n_cpus;
		bool slow;              /* guests are emulated: they take long to start */
		char newest_kernel[64]; /* "" = none is installed */
		const char *kernels_dir;
	} machine;
};

void model_init(struct model *m);
void model_done(struct model *m);

/** model_find() - by name or "uuid:..."; hidden ones too; NULL if there is none */
struct qube *model_find(const struct model *m, const char *name);
struct qube *model_get(const struct model *m, unsigned qid);
const struct pool *model_pool(const struct model *m, const char *name);
/** pool_takes_volumes() - false: it holds what dom0 keeps there, kernels */
bool pool_takes_volumes(const struct pool *p);
/** model_label() - index of a label by name; 0 if there is none */
unsigned model_label(const struct model *m, const char *name);
/** model_refuse_label() - refuse since there is no label @name, and name those that there are */
int model_refuse_label(const struct model *m, const char *type, const char *name,
		       struct refusal *why);
/** model_free_qid() - the lowest that is free; 0 if all are taken */
unsigned model_free_qid(const struct model *m);
/** model_untell() - @q is not as policyd has heard of it any more (policyd.h) */
void model_untell(struct model *m, struct qube *q);
/** model_template() - the qube whose root @q starts from, or NULL */
struct qube *model_template(const struct model *m, const struct qube *q);
/** model_source() - the volume that a snap_on_start volume starts from, and its owner; or NULL */
const struct volume *model_source(const struct model *m, const struct qube *q, enum disk d);
/** model_volume_pool() - where a volume is: a snap_on_start volume with its source, whatever it was made for.
 * NULL if there is none */
const char *model_volume_pool(const struct model *m, const struct qube *q, enum disk d);
/** model_is_ephemeral() - by its own word or its pool's; one that keeps anything never is */
bool model_is_ephemeral(const struct model *m, const struct qube *q, enum disk d);
/** model_volume_size() - as the guest sees it */
uint64_t model_volume_size(const struct model *m, const struct qube *q, enum disk d);

/* For store_apply() only: these cannot fail, what they are given becomes the model's. */
MUST_CHECK int model_reserve(struct model *m, size_t n_more);
void model_add(struct model *m, struct qube *q);
void model_remove(struct model *m, struct qube *q);
void model_rename(struct model *m, struct qube *q, const char *name);
void qube_free(struct qube *q);
/** pair_put() - add or replace; @p is taken. pair_drop(): remove the one with @key */
void pair_put(struct pair **list, struct pair *p);
void pair_drop(struct pair **list, const char *key);
void pair_free(struct pair *p);
