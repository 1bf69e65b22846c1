/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Volumes: where a qube's disks are. One folder per driver; everything here blocks and is called from
 * jobs, except what says that it is quick. Callers hold one operation per volume at a time (qubesd sees
 * to it). Which driver a volume is of, nobody outside of this folder asks.
 *
 * A volume is a name (vid) in a pool. Committed revisions of it are immutable; what a running (or
 * crashed) qube writes is beside them until storage_stop() commits or drops it.
 *
 * The contract, which test-conformance.c holds every driver to:
 *
 *	operation	durable when it returns		cut off anywhere (kill -9, no power)
 *	create, clone	the volume and its content	the volume is absent, or whole
 *	remove		that it is gone			whole, or absent; removing again completes it
 *	start		that it was started		committed: as before. What the guest has flushed
 *			(save_on_stop)			since is there at the next start
 *	stop, clean	the new revision		committed, or still unfinished: as after start
 *	stop, not clean	nothing changes			unfinished
 *	import		all of the new content		the old content, or the new
 *	revert		what is current now		what was current, or the revision
 *	resize		nothing but the empty volume's	the old size, or the new
 *
 * Every call is safe to repeat after it was cut off. What is left of a cut one takes room until the next
 * call for that volume, and is never part of a result. "Tidying" (revisions that are kept no longer) comes behind
 * the change, and what it cannot do is left for the next call. A qube's name is nothing that storage knows: vids are
 * made of uuids, so renaming a qube touches no volume.
 *
 * In a pool with too little room an operation is STORAGE_E_FULL and has changed nothing. Some room is kept free for what runs
 * (storage_keeps_free()): create, clone, import and start are refused where there is less.
 *
 * revisions_to_keep: how many states before the current one can be had back; 0 = none, -1 = none
 * and what the guest writes goes into the only state there is (nothing to go back to after a crash,
 * and no other volume can start from it meanwhile).
 */
#include "base/attr.h"

#define STORAGE_MAX_CHAIN     8
#define STORAGE_MAX_REVISIONS 64
#define STORAGE_MAX_SIZE      (UINT64_C(64) << 40)

/** storage_driver_name() - of the @n-th driver, with the options of its pools separated by blanks; NULL behind the last */
const char *storage_driver_name(unsigned n, const char **ret_options);
bool storage_has_driver(const char *name);

/**
 * struct storage_volume - what the store knows of a volume; all borrowed
 * @driver:	one of storage_driver_name()
 * @pool_dir:	folder of the pool
 * @vid:	path below the pool, e.g. "vm/UUID/private"; no part of it begins with "."
 * @source_vid:	the volume this one is a copy-on-write of, or NULL
 * @size:	bytes; for a snap_on_start volume 0 = the source's
 *
 * save_on_stop: what was written is kept at stop (private; root of templates and standalones).
 * snap_on_start: starts from @source_vid's newest committed revision each time (root of app qubes).
 * Neither: empty at each start (volatile). Only of such a one: ephemeral, what the guest writes is encrypted with a key that is
 * made by each start and is in no file.
 */
struct storage_volume {
	const char *driver;
	const char *pool_dir;
	const char *vid;
	const char *source_vid;
	uint64_t size;
	bool rw, save_on_stop, snap_on_start, ephemeral;
	int revisions_to_keep;
};

/** enum storage_format - of one file */
enum storage_format { STORAGE_RAW, STORAGE_QCOW2 };

/**
 * struct storage_chain - open files of a started volume, top first; storage_chain_done() closes
 * them
 *
 * The open files carry the locks that say "in use": hand these very descriptors on (dup, fork and
 * SCM_RIGHTS are fine), and keep each open as long as the qube runs. Only the first is open for
 * writing, and only if the volume is rw. A chain handed on or not wanted is closed before
 * storage_stop().
 */
struct storage_chain {
	int fds[STORAGE_MAX_CHAIN];
	enum storage_format formats[STORAGE_MAX_CHAIN];
	unsigned n;
	uint64_t size;   /* as the guest sees it */
	bool unfinished; /* went on from what a crashed run had written */
	bool encrypted;  /* what stands in the first file is a LUKS disk, and @key_fd is valid */
	int key_fd;      /* its secret: text in a sealed file without a name */
};
void storage_chain_done(struct storage_chain *c);

/** struct storage_revision - a state of a save_on_stop volume before the current one */
struct storage_revision {
	char id[32];    /* "N-TIMESTAMP", as shown to users; oldest first in lists */
	int64_t time_s; /* when it was committed */
};

/** enum storage_outcome */
enum storage_outcome {
	STORAGE_E_ABSENT = 1,  /* no such volume, or nothing of it is committed */
	STORAGE_E_EXISTS,      /* create: it is there already */
	STORAGE_E_IN_USE,      /* started, or its files are part of a running qube's chain */
	STORAGE_E_DAMAGED,     /* a file is not what it should be; @error names it */
	STORAGE_E_FULL,        /* no space left on the file system */
	STORAGE_E_SIZE,        /* smaller than the content, or no whole sectors */
	STORAGE_E_UNFIT,       /* no place for a pool of this driver */
	STORAGE_E_NO_REVISION, /* revert: the volume has none of that id, or none at all */
};

/** storage_probe() - can a pool of @driver be at @pool_dir, which is there? STORAGE_E_UNFIT says in @error why not.
 * Leaves nothing */
MUST_CHECK int storage_probe(const char *driver, const char *pool_dir, char *error,
			     size_t error_size);

/* Each returns 0, an outcome, or -errno; @error (may be NULL) gets a sentence that names file and
 * cause. After 0 it is empty, or says what could not be tidied up this time (worth a warning). */
MUST_CHECK int storage_create(const struct storage_volume *v, char *error, size_t error_size);
/* storage_remove(): once it has returned 0 or STORAGE_E_ABSENT nothing of it comes back, not even after a power cut */
MUST_CHECK int storage_remove(const struct storage_volume *v, char *error, size_t error_size);
/**
 * storage_start() - make it ready for a guest and open its chain
 *
 * Cheap: no process is started, at most two syncs. The file the guest writes gets @v->size if that
 * is more than it had.
 */
MUST_CHECK int storage_start(const struct storage_volume *v, struct storage_chain *ret, char *error,
			     size_t error_size);
/**
 * storage_open_source() - what a snap_on_start volume would start from now: its source's newest committed revision
 *
 * For reading; storage_start() of the volume has the very same files behind the first of its chain.
 */
MUST_CHECK int storage_open_source(const struct storage_volume *v, struct storage_chain *ret,
				   char *error, size_t error_size);
/**
 * storage_stop() - the guest is gone: commit a new revision (save_on_stop) or drop what was written
 * @clean:	false: the guest crashed or was killed. A save_on_stop volume then stays unfinished:
 * the next start goes on from it, with the last committed revision beside it.
 */
MUST_CHECK int storage_stop(const struct storage_volume *v, bool clean, char *error,
			    size_t error_size);
/**
 * storage_import() - replace the content by that of a raw image
 * @fd:		regular file (holes stay holes) or pipe
 * @size:	bytes to read; 0 = the file's size
 * @whole:	it ends there: more is STORAGE_E_SIZE, and waited for at a pipe
 * @progress:	called now and then with the bytes done; may be NULL
 */
MUST_CHECK int storage_import(const struct storage_volume *v, int fd, uint64_t size, bool whole,
			      void (*progress)(void *, uint64_t), void *data, char *error,
			      size_t error_size);
/* storage_import(): the volume exists (storage_create()) and is halted; @v->size must be large
 * enough (0: it becomes as large as the image). Nothing changes unless it succeeds. */
/**
 * storage_export() - write what the newest committed revision holds, as a raw image
 * @fd:		a regular file, which becomes this image (holes where there are zeros); else all bytes in order
 */
MUST_CHECK int storage_export(const struct storage_volume *v, int fd,
			      void (*progress)(void *, uint64_t), void *data, char *error,
			      size_t error_size);
/** storage_clone() - make @v (absent so far) a copy of @from's newest committed revision. @from may be in another pool, of any driver */
MUST_CHECK int storage_clone(const struct storage_volume *v, const struct storage_volume *from,
			     char *error, size_t error_size);
/**
 * storage_resize() - may it get this size?
 *
 * Growing changes no file: the store keeps the size, and the next start applies it (a running
 * qube's disk is grown through the monitor). Becoming smaller works only while nothing was ever
 * written.
 */
MUST_CHECK int storage_resize(const struct storage_volume *v, uint64_t size, char *error,
			      size_t error_size);
/**
 * storage_revert() - go back to a revision
 * @revision:	an id of storage_revisions(); NULL = the last of them
 *
 * What is unfinished is dropped; a committed state that was current becomes a revision itself.
 */
MUST_CHECK int storage_revert(const struct storage_volume *v, const char *revision, char *error,
			      size_t error_size);
/**
 * storage_revisions() - what one can go back to, oldest first
 * @ret:	room for STORAGE_MAX_REVISIONS
 *
 * Not the current state: a new volume has none, after the first stop there is one. After a crash
 * the last committed state is one of them. Quick, where the file system answers.
 */
MUST_CHECK int storage_revisions(const struct storage_volume *v, struct storage_revision *ret,
				 unsigned *ret_n);
/** storage_usage() - bytes on disk of all its files, also of those that a clone shares. Quick */
MUST_CHECK int storage_usage(const struct storage_volume *v, uint64_t *ret);
/** storage_is_outdated() - a started snap_on_start volume whose source has a newer revision. Quick
 */
MUST_CHECK int storage_is_outdated(const struct storage_volume *v, bool *ret);

/**
 * struct storage_room - of a pool: bytes; meta_size 0 = what describes the volumes shares that room
 *
 * @size - @used is what qubes can still have of it: what the file system keeps for root is in neither.
 */
struct storage_room {
	uint64_t size, used, meta_size, meta_used;
};
/** storage_pool_usage() - how full it is */
MUST_CHECK int storage_pool_usage(const char *driver, const char *pool_dir,
				  struct storage_room *ret);
/** storage_keeps_free() - of a pool of @size bytes, or another place, so many are left to what runs already */
uint64_t storage_keeps_free(uint64_t size);

/** enum storage_finding - of storage_check() */
enum storage_finding {
	STORAGE_BROKEN, /* only a person can help */
	STORAGE_UNFINISHED, /* what a crashed run wrote is damaged; mending goes back to the last revision */
	STORAGE_ASIDE,     /* that was done: the file is N.damaged now, or N.2.damaged... */
	STORAGE_NOT_ASIDE, /* that did not work */
};
typedef void (*storage_check_fn)(void *data, enum storage_finding what, const char *text);

/**
 * storage_check() - look at all files of a volume; each finding is told to @fn
 * @mend:	mend what can be. Should: be given only while no qube or job can use the volume
 * @ret_size:	the disk's size as its newest file has it; 0 = unknown
 *
 * Reads all tables: 64 KiB for each 512 MiB that was ever written. Return: 0, also with findings; STORAGE_E_ABSENT;
 * -errno.
 */
MUST_CHECK int storage_check(const struct storage_volume *v, bool mend, storage_check_fn fn,
			     void *data, uint64_t *ret_size, char *error, size_t error_size);
