/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a job is told: keys and values, and descriptors by name. Written by qubesd, read by itself
 * executed again, so both sides are one program and trust each other.
 *
 * On the wire (a sealed memory file, the job's descriptor JOB_REQUEST_FD): KEY NUL VALUE NUL...;
 * the value of a descriptor is its number in the job.
 */
#include "api/text.h"
#include "base/attr.h"
#include "job/turn.h"
#include "storage/storage.h"

#define JOB_REQUEST_FD  3
#define JOB_PROGRESS_FD 4
#define JOB_FIRST_FD    5
#define JOB_MAX_FDS     16

struct model;
struct qube;
struct qubesd;

/**
 * struct request - zero-initialise; request_done()
 * @source:	qid of whose wish it is; 0: dom0's. For its turn alone, as
 * @pools:	the first of those with a folder of their own that were put into it, as struct turn has them
 */
struct request {
	struct text body;
	unsigned source;
	char pools[TURN_POOLS][64];
	int fds[JOB_MAX_FDS]; /* owned */
	unsigned n_fds;
};
void request_done(struct request *r);
void request_put(struct request *r, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);
/** request_put_fd() - *@fd is taken */
void request_put_fd(struct request *r, const char *key, int *fd);

/** request_get() - value of a key; NULL if it is not there */
const char *request_get(const struct request *r, const char *key);
/** request_next() - the key behind @key (NULL = the first), with its value; NULL at the end */
const char *request_next(const struct request *r, const char *key, const char **ret_value);
uint64_t request_number(const struct request *r, const char *key);
/** request_fd() - the job's descriptor of that name; NO_FD if there is none */
int request_fd(const struct request *r, const char *key);

/** request_pool() - it has to do with a pool, whose file system may not answer (job/turn.h) */
void request_pool(struct request *r, const struct qubesd *d, const char *pool);
/** request_put_volume() - the volume @disk (enum disk) of @q under @name */
void request_put_volume(struct request *r, const char *name, const struct qubesd *d,
			const struct qube *q, unsigned disk);
/** request_get_volume() - false if there is none of that name; what it points to is @r's */
bool request_get_volume(const struct request *r, const char *name, struct storage_volume *ret);
