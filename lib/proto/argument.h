/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Words that calls of the Admin API carry: arguments and payloads that are more than one name.
 * doc/protocol/argument.md has the rows.
 *
 * What stands for something that may or may not exist (a label, a pool, a property) is checked for its
 * form only. Texts are copies, NUL-terminated.
 */
#include "base/attr.h"

#include "base/str.h"

#define ARGUMENT_NAME_MAX      255 /* bytes of the name of a feature or tag */
#define ARGUMENT_LABEL_MAX     63
#define ARGUMENT_POOL_MAX      63
#define ARGUMENT_VOLUME_MAX    15
#define ARGUMENT_POOLS_MAX     8    /* wishes for pools in one call */
#define ARGUMENT_DIR_MAX       3072 /* of a pool's folder: leaves room for what stands below */
#define ARGUMENT_FIELDS_MAX    64
#define ARGUMENT_FIELD_MAX     (ARGUMENT_NAME_MAX + 8)
#define ARGUMENT_REVISIONS_MAX 64
#define ARGUMENT_BAD_MAX       47

/** enum argument_outcome */
enum argument_outcome {
	ARGUMENT_E_BYTES = 1, /* other bytes than printable ASCII */
	ARGUMENT_E_FORMAT,    /* not the words that are expected */
	ARGUMENT_E_KEY,       /* a key that there is not, or a second time */
	ARGUMENT_E_NAME,      /* no name that a qube or pool can have */
	ARGUMENT_E_LABEL,     /* no name that a label can have */
	ARGUMENT_E_POOL,      /* no name that a pool or volume can have */
	ARGUMENT_E_DIR,       /* no whole path, or too long */
	ARGUMENT_E_NUMBER,    /* no number, or out of bounds */
	ARGUMENT_E_TRUTH,     /* neither of the words for True and False */
	ARGUMENT_E_MANY,      /* more of them than there is room for */
};

/** argument_outcome_str() - what is wrong, as a part of a sentence */
const char *argument_outcome_str(int outcome);

/** argument_is_name() - of a feature or a tag */
bool argument_is_name(const char *s, size_t len);
/** argument_is_label() - a name of a label: not digits alone, which would be an index */
bool argument_is_label(const char *s, size_t len);
bool argument_is_pool(const char *s, size_t len);
/** argument_is_printable() - ASCII from space to ~; nothing at all is, too */
bool argument_is_printable(const void *bytes, size_t len);

/**
 * struct argument_create - what a qube is to be: admin.vm.Create.*, .CreateInPool.*
 * @label:	its name or index
 * @pools:	in the order they were said; @volume empty: of all volumes
 * @bad:	after an outcome, the beginning of the word that it is about
 */
struct argument_create {
	char name[QUBE_NAME_MAX + 1];
	char label[ARGUMENT_LABEL_MAX + 1];
	struct {
		char volume[ARGUMENT_VOLUME_MAX + 1];
		char pool[ARGUMENT_POOL_MAX + 1];
	} pools[ARGUMENT_POOLS_MAX];
	unsigned n_pools;
	char bad[ARGUMENT_BAD_MAX + 1];
};

/** argument_create_decode() - @may_pool: pools may be named. Return: 0; an outcome */
MUST_CHECK int argument_create_decode(const void *bytes, size_t len, bool may_pool,
				      struct argument_create *ret);

/** struct argument_pool - what a pool is to be: admin.pool.Add; @bad as above */
struct argument_pool {
	char name[ARGUMENT_POOL_MAX + 1];
	char dir[ARGUMENT_DIR_MAX + 1];
	int revisions_to_keep; /* -1: all */
	bool ephemeral;
	char bad[ARGUMENT_BAD_MAX + 1];
};

/** argument_pool_decode() - Return: 0; an outcome */
MUST_CHECK int argument_pool_decode(const void *bytes, size_t len, struct argument_pool *ret);

enum argument_kind { ARGUMENT_FIELD, ARGUMENT_FEATURE, ARGUMENT_SIZE, ARGUMENT_USAGE };

/** struct argument_field - a column of bulkhead.List: @text as it was asked, its name from @name_at on */
struct argument_field {
	enum argument_kind kind;
	unsigned name_at;
	char text[ARGUMENT_FIELD_MAX + 1];
};

/** argument_field_name() - NUL-terminated, a part of it */
static inline const char *argument_field_name(const struct argument_field *f)
{
	return f->text + f->name_at;
}

/**
 * argument_fields_decode() - lines, at most @max of them
 * @ret:	room for @max
 *
 * Return: 0 with their number, 0 or more, in @ret_n; an outcome.
 */
MUST_CHECK int argument_fields_decode(const void *bytes, size_t len, unsigned max,
				      struct argument_field *ret, unsigned *ret_n);

/** struct argument_shutdown - how a qube is shut down: admin.vm.Shutdown, bulkhead.vm.Shutdown */
struct argument_shutdown {
	bool force, wait, after, later;
};

/** argument_shutdown_decode() - @own: bulkhead.vm.Shutdown, which has two words more. Return: 0; ARGUMENT_E_FORMAT */
MUST_CHECK int argument_shutdown_decode(const void *bytes, size_t len, bool own,
					struct argument_shutdown *ret);
/** argument_color_decode() - 0xRRGGBB. Return: 0; ARGUMENT_E_NUMBER */
MUST_CHECK int argument_color_decode(const void *bytes, size_t len, uint32_t *ret);
/** argument_size_decode() - bytes of a volume. Return: 0; ARGUMENT_E_NUMBER */
MUST_CHECK int argument_size_decode(const void *bytes, size_t len, uint64_t *ret);
/**
 * argument_image_decode() - a size, a newline and as many bytes, which begin at *@ret_at
 *
 * Return: 0; ARGUMENT_E_FORMAT; ARGUMENT_E_NUMBER: the size is another one than that of what follows.
 */
MUST_CHECK int argument_image_decode(const void *bytes, size_t len, size_t *ret_at);
/** argument_revisions_decode() - how many to keep, -1 all. Return: 0; ARGUMENT_E_NUMBER */
MUST_CHECK int argument_revisions_decode(const void *bytes, size_t len, int *ret);
/** argument_truth_decode() - Return: 0; ARGUMENT_E_TRUTH */
MUST_CHECK int argument_truth_decode(const void *bytes, size_t len, bool *ret);
