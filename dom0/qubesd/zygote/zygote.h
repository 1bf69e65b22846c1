/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A zygote: a machine that was booted to the end of its generic stage and saved, from which qubes are forked
 * (doc/decisions/0061-zygotes.md). It belongs to nobody: no label, no private volume, no identity.
 *
 * It is a folder ZYGOTES/NAME of four files:
 *	memory		the guest's memory, sparse
 *	device		state of QEMU's devices
 *	root.qcow2	what the boot wrote to its root; rests on the template's
 *	meta		what it is, checksums of the others, and its whole key; a checksum of itself
 *
 * NAME is a checksum of the key, for people and for finding it; what decides is the key itself, which a start makes
 * from what it holds in its hands and compares whole. Files are written once, in a folder with another
 * name, and never change. What is not as its checksum says is no zygote: it is removed, and the qube boots.
 *
 * Everything here blocks and is for jobs, except zygote_list().
 */
#include "api/text.h"
#include "base/attr.h"
#include "storage/storage.h"
#include "vmm/vmm.h"

#define ZYGOTE_NAME_LEN 16
/** ZYGOTE_TRAILER - bytes behind the memory in a copy: whose it is */
#define ZYGOTE_TRAILER (UINT64_C(128) << 10)
/** ZYGOTES_MAX - of an instance; those used least recently go */
#define ZYGOTES_MAX 8

/** enum zygote_outcome */
enum zygote_outcome {
	ZYGOTE_E_ABSENT = 1,
	ZYGOTE_E_DAMAGED, /* and removed */
	ZYGOTE_E_OTHER,   /* the copy is of another one */
};

/** struct zygote_key - zero-initialise; zygote_key_done() */
struct zygote_key {
	struct text text;
	char name[ZYGOTE_NAME_LEN + 1];
};
void zygote_key_done(struct zygote_key *k);
/**
 * zygote_key() - the key of a machine
 * @spec:	with its kernel, initrd and (the last of the disks) modules open
 * @base, @n_base: what its root rests on: committed files, which never change
 * @root_size:	of its root, as the guest sees it
 */
MUST_CHECK int zygote_key(const struct vmm_spec *spec, const int *base, unsigned n_base,
			  uint64_t root_size, struct zygote_key *ret);

/** struct zygote_file - length and checksum */
struct zygote_file {
	uint64_t len;
	uint32_t crc;
};

/** struct zygote_meta - @from: the template's name, for people; @source: folder of its root */
struct zygote_meta {
	char from[32], source[1024];
	unsigned memory_mib, vcpus;
	uint64_t made_s;
	struct zygote_file memory, device, root;
};

/** struct zygote - an open one; zygote_done() */
struct zygote {
	struct zygote_meta meta;
	int memory_fd, device_fd, root_fd;
};
/** ZYGOTE_NONE - nothing is open */
#define ZYGOTE_NONE ((struct zygote){.memory_fd = NO_FD, .device_fd = NO_FD, .root_fd = NO_FD})
void zygote_done(struct zygote *z);

/**
 * zygote_open() - the one with key @k
 *
 * Meta and state of the devices are checked whole; of the others that they have their length. Return: 0; ZYGOTE_E_ABSENT;
 * ZYGOTE_E_DAMAGED; -errno.
 */
MUST_CHECK int zygote_open(const char *dir, const struct zygote_key *k, struct zygote *ret);
/** zygote_remove() - it is of no use */
void zygote_remove(const char *dir, const char *name);

/**
 * zygote_copy() - its memory in @memfd, sealed against every change
 * @memfd:	of any process that was given it; empty, or such a copy: then nothing is done
 *
 * One process at a time fills it; the others wait. Memory and root are checked whole before it is sealed. Return: 0;
 * ZYGOTE_E_DAMAGED; ZYGOTE_E_OTHER: it is a copy of another zygote; -errno.
 */
MUST_CHECK int zygote_copy(const struct zygote *z, const struct zygote_key *k, int memfd);
/** zygote_is_copied() - @memfd is a whole copy: zygote_copy() will neither fill nor wait */
bool zygote_is_copied(int memfd);

/** zygote_new() - a folder ".new-PID" for one that is being made; @path has room for PATH_MAX */
MUST_CHECK int zygote_new(const char *dir, char *path);
/**
 * zygote_publish() - the folder @path, in which device and root.qcow2 stand, becomes a zygote
 * @memory_fd:	what is written as its memory
 * @meta:	without lengths and checksums
 *
 * An older one of the same template that differs from it by the template's root alone is removed. Return: 0; -errno, and @path is gone.
 */
MUST_CHECK int zygote_publish(const char *dir, const char *path, const struct zygote_key *k,
			      int memory_fd, struct zygote_meta *meta);
/** zygotes_tidy() - remove leftovers, those whose template is gone, and what is beyond the bound of number and space */
void zygotes_tidy(const char *dir);

/** zygote_list() - the meta of all there are, without looking at the rest; quick */
void zygote_list(const char *dir,
		 void (*fn)(void *data, const char *name, const struct zygote_meta *meta,
			    uint64_t disk_bytes),
		 void *data);
