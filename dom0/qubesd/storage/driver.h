/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a driver of volumes is: storage.h as one of its folders does it. storage.c finds the driver by a
 * volume's name of it, and does what needs no driver: reading what comes from elsewhere, copying from one
 * driver to another, checking sizes. Each function's contract is storage.h's; what is said of it here is
 * what the driver may rely on.
 */
#include "storage.h"

#include "base/attr.h"

#include <stdarg.h>

struct content;
struct file_kind;

/** struct say - where the sentence about a failure goes; both may be empty */
struct say {
	char *text;
	size_t size;
};

/** say() - set the sentence; returns @r */
int say(const struct say *to, int r, const char *format, ...) PRINTF_LIKE(3, 4);
/** said() - there is a sentence already */
bool said(const struct say *to);

/**
 * say_result() - a sentence for any result of a call of the system or of proto/qcow2.h, and the outcome for it
 * @what:	what was being done, e.g. "cannot write"
 * @name:	of the file; below @dir unless NULL
 *
 * Return: STORAGE_E_FULL, STORAGE_E_DAMAGED or the -errno.
 */
int say_result(const struct say *to, int r, const char *what, const char *dir, const char *name);

/**
 * struct storage_driver
 * @options:	of qvm-pool add, separated by blanks, as they are shown
 * @kind:	what its files are; NULL if files/ is not behind it
 */
struct storage_driver {
	const char *name, *options;
	const struct file_kind *kind;
	/* may a pool be here? @pool_dir is there */
	int (*probe)(const char *pool_dir, const struct say *to);
	/* @from: what it holds, at most its size; NULL: zeros. It is there with all of that or not at all */
	int (*create)(const struct storage_volume *v, struct content *from, const struct say *to);
	int (*remove)(const struct storage_volume *v, const struct say *to);
	int (*start)(const struct storage_volume *v, struct storage_chain *ret,
		     const struct say *to);
	int (*open_source)(const struct storage_volume *v, struct storage_chain *ret,
			   const struct say *to);
	/* the newest committed revision for reading; *@ret is zeros */
	int (*open_committed)(const struct storage_volume *v, struct storage_chain *ret,
			      const struct say *to);
	/* what such a chain reads as; content_done() releases it, the chain stays the caller's */
	int (*read)(const struct storage_chain *c, struct content *ret);
	int (*stop)(const struct storage_volume *v, bool clean, const struct say *to);
	/* @disk: the size it gets, whole sectors and at least @from's */
	int (*import)(const struct storage_volume *v, struct content *from, uint64_t disk,
		      const struct say *to);
	/* @from is of this driver, too, perhaps of another pool */
	int (*clone)(const struct storage_volume *v, const struct storage_volume *from,
		     const struct say *to);
	int (*resize)(const struct storage_volume *v, uint64_t size, const struct say *to);
	int (*revert)(const struct storage_volume *v, const char *revision, const struct say *to);
	int (*revisions)(const struct storage_volume *v, struct storage_revision *ret,
			 unsigned *ret_n);
	int (*usage)(const struct storage_volume *v, uint64_t *ret);
	int (*is_outdated)(const struct storage_volume *v, bool *ret);
	int (*check)(const struct storage_volume *v, bool mend, storage_check_fn fn, void *data,
		     uint64_t *ret_size, const struct say *to);
	int (*pool_usage)(const char *pool_dir, struct storage_room *ret);
};

extern const struct storage_driver storage_qcow2, storage_reflink;

/** storage_driver() - by name; NULL or an unknown name is a fault of the caller's, and ends the program */
const struct storage_driver *storage_driver(const char *name);
