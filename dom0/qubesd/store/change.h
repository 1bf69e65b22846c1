/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* For the store alone: what struct changes (store.h) holds. */
#include "store/model.h"

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

void change_free(struct change *c);
/** change_happen() - in the model; it cannot fail, and takes from @c what it keeps */
void change_happen(struct model *m, struct change *c);
