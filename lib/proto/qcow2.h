/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * qcow2 image files, as far as we use the format: doc/protocol/qcow2.md. A file on disk may be
 * damaged, and QEMU, which writes it, may have been taken over by its guest: so a header is bytes
 * until qcow2_header_decode() accepted it, a table entry until its decoder did.
 *
 * Version 3, clusters of 64 KiB, references of 16 bits; no snapshots, bitmaps, encryption,
 * compression, external data or extended entries. All offsets and sizes are bytes.
 */
#include "base/attr.h"

#define QCOW2_CLUSTER_BITS 16
#define QCOW2_CLUSTER      (UINT64_C(1) << QCOW2_CLUSTER_BITS)
/** QCOW2_TABLE - entries of one L2 table (and of one cluster of an L1 or reference table) */
#define QCOW2_TABLE UINT64_C(8192)
/** QCOW2_L2_SPAN - guest bytes behind one L1 entry: 512 MiB */
#define QCOW2_L2_SPAN (QCOW2_TABLE * QCOW2_CLUSTER)
/** QCOW2_REFS - reference counts in one block */
#define QCOW2_REFS UINT64_C(32768)
/** QCOW2_MAX_SIZE - largest guest disk: 64 TiB */
#define QCOW2_MAX_SIZE (UINT64_C(1) << 46)
/** QCOW2_MAX_FILE - largest file: 128 TiB */
#define QCOW2_MAX_FILE (UINT64_C(1) << 47)
/** QCOW2_MAX_BACKING - longest name of a backing file */
#define QCOW2_MAX_BACKING 1023

/** enum qcow2_outcome - why a file or entry is refused */
enum qcow2_outcome {
	QCOW2_E_FORMAT = 1, /* not a qcow2 header, or fields that contradict each other */
	QCOW2_E_FEATURE,    /* a part of the format that we never use */
	QCOW2_E_CORRUPT,    /* marked dirty or corrupt by who wrote it last */
	QCOW2_E_BOUNDS,     /* something lies outside the file or is not aligned */
};

/** qcow2_why() - an outcome in words, to follow the file's name */
const char *qcow2_why(int outcome);

/**
 * struct qcow2_header - the head of an image
 * @size:	of the guest's disk
 * @l1_at:	where the L1 table is; @n_l1 entries, enough for @size
 * @refs_at:	where the reference table is; @n_refs_clusters long
 * @backing:	name of the backing file (not NUL-terminated, without NUL inside), or NULL
 * @backing_is_raw: it is no qcow2 image
 */
struct qcow2_header {
	uint64_t size;
	uint64_t l1_at, refs_at;
	uint32_t n_l1, n_refs_clusters;
	const char *backing;
	uint32_t backing_len;
	bool backing_is_raw;
};

/** qcow2_n_l1() - L1 entries that a disk of @size bytes needs */
uint32_t qcow2_n_l1(uint64_t size);

/**
 * qcow2_header_decode() - read a header
 * @bytes:	the file's first cluster, or all of a shorter file; @ret->backing borrows from it
 * @file_size:	of the whole file: the tables must lie inside
 */
MUST_CHECK int qcow2_header_decode(const void *bytes, size_t len, uint64_t file_size,
				   struct qcow2_header *ret);

/** qcow2_header_encode() - write a header into @buf; its length, or 0 if it does not fit or is
 * not one that the decoder accepts */
MUST_CHECK size_t qcow2_header_encode(const struct qcow2_header *h, void *buf, size_t size);

/** enum qcow2_kind - what a guest cluster is */
enum qcow2_kind {
	QCOW2_ABSENT, /* see the backing file; zeros without one */
	QCOW2_ZERO,   /* zeros; may own a cluster of the file nevertheless */
	QCOW2_DATA,
};

/** struct qcow2_cluster - @at: the cluster of the file, 0 = none */
struct qcow2_cluster {
	enum qcow2_kind kind;
	uint64_t at;
};

/** qcow2_l1_decode() - @raw: entry as a number; @ret_at: where the L2 table is, 0 = none */
MUST_CHECK int qcow2_l1_decode(uint64_t raw, uint64_t file_size, uint64_t *ret_at);
/** qcow2_l2_decode() - @raw: entry as a number */
MUST_CHECK int qcow2_l2_decode(uint64_t raw, uint64_t file_size, struct qcow2_cluster *ret);
/** qcow2_refs_decode() - @raw: entry of the reference table; @ret_at: the block, 0 = none */
MUST_CHECK int qcow2_refs_decode(uint64_t raw, uint64_t file_size, uint64_t *ret_at);

/* Entries for clusters that are referenced once, which is all we have. */
uint64_t qcow2_l1_encode(uint64_t at);
uint64_t qcow2_l2_encode(const struct qcow2_cluster *c);
