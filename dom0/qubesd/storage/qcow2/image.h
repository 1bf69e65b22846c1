/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * One qcow2 file: read, written from scratch, or changed by merging another into it. Nothing here
 * knows names, folders or revisions, and no name in a file is ever followed.
 *
 * Results: 0; an outcome of proto/qcow2.h (the file is damaged); -errno (-ENOSPC: disk full).
 */
#include "base/attr.h"
#include "proto/qcow2.h"

/**
 * struct image - an open file whose header and L1 table are sound
 * @fd:		borrowed
 * @l1:		where each L2 table is, 0 = none
 * @l2:		one L2 table as it stands in the file, that of L1 entry @l2_of
 */
struct image {
	int fd;
	uint64_t size, file_size, l1_at, refs_at;
	uint32_t n_l1, n_refs_clusters;
	char backing[QCOW2_MAX_BACKING + 1];
	bool backing_is_raw;
	uint64_t *l1;
	uint8_t *l2;
	uint32_t l2_of;
};

/** image_open() - read and check header and L1 table */
MUST_CHECK int image_open(struct image *img, int fd);
void image_done(struct image *img);

/** image_head() - only the header, for lists; @backing has room for QCOW2_MAX_BACKING + 1 */
MUST_CHECK int image_head(int fd, uint64_t *ret_size, char *backing);

/** image_lookup() - what guest cluster @index is; absent behind the disk's end */
MUST_CHECK int image_lookup(struct image *img, uint64_t index, struct qcow2_cluster *ret);

/** image_read() - a cluster of the file; what the file ends before reads as zeros */
MUST_CHECK int image_read(const struct image *img, uint64_t at, void *cluster);

/**
 * image_check() - every entry of every L2 table points into the file, and no cluster is used twice
 *
 * Reads all L2 tables: 64 KiB for each 512 MiB of disk that was ever written.
 */
MUST_CHECK int image_check(struct image *img);

/** image_is_empty() - no guest cluster was ever written */
bool image_is_empty(const struct image *img);

/** image_create() - make an empty image of an empty file; not synced. @backing may be NULL; @is_raw: what it names is no
 * qcow2 image */
MUST_CHECK int image_create(int fd, uint64_t size, const char *backing, bool is_raw);

/** image_grow() - make the disk larger in place; one write, not synced.
 * Return: 0; -EFBIG if the L1 table has no room */
MUST_CHECK int image_grow(struct image *img, uint64_t size);

/** cluster_is_zero() - all bytes of it are */
bool cluster_is_zero(const void *cluster);

/**
 * struct writer - a whole image written in ascending order into an empty file, header last
 *
 * Layout: header, L1, then each L2 table followed by its data, then reference table and blocks.
 */
struct writer {
	int fd;
	uint64_t size, at; /* at: next free cluster of the file, in bytes */
	uint64_t *l1;
	uint8_t *l2;
	uint64_t l2_at;
	uint32_t n_l1, l2_of;
};
MUST_CHECK int writer_init(struct writer *w, int fd, uint64_t size);
void writer_done(struct writer *w);
/** writer_put() - guest cluster @index; higher than all before it */
MUST_CHECK int writer_put(struct writer *w, uint64_t index, const void *cluster);
/** writer_finish() - tables and header, synced */
MUST_CHECK int writer_finish(struct writer *w);

/** images_read() - what the guest sees through @chain (top first): @len bytes, at most a cluster, from the cluster at @at */
MUST_CHECK int images_read(struct image *chain, unsigned n, uint64_t at, void *to, size_t len);
/** images_flatten() - write what the guest sees through @chain (top first) into @w */
MUST_CHECK int images_flatten(struct image *chain, unsigned n, struct writer *w);

/**
 * image_merge() - put all that @top holds into the file it rests on
 * @base:	open for writing, and nobody else reads it
 *
 * Afterwards @base reads as @top over @base, has @top's size, and is synced. It may be killed, or
 * the power may fail, at any point: @top over @base reads the same all the time, @base stays a
 * sound image, and doing it again completes it. Return: as above; -EFBIG beyond 16 TiB.
 */
MUST_CHECK int image_merge(struct image *base, struct image *top);
