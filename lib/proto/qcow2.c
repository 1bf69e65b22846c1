/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/qcow2.h"

#include "base/bytes.h"

#include <string.h>

enum {
	MAGIC = 0x514649fb,
	HEADER_LEN = 112,    /* what we write: with the compression type, which is 0 */
	HEADER_LEN_V3 = 104, /* what older writers leave */
	EXT_END = 0,
	EXT_BACKING_FORMAT = (int)0xe2792acaU,
	EXT_FEATURE_NAMES = 0x6803f857,
	INCOMPATIBLE_DIRTY = 1,
	INCOMPATIBLE_CORRUPT = 2,
	REFCOUNT_ORDER = 4,
	/* 8 are enough for QCOW2_MAX_FILE; QEMU makes its table larger than it needs. A file with
	 * holes could otherwise make who checks it read zeros for hours */
	MAX_REFS_CLUSTERS = 64,
};

#define COPIED     (UINT64_C(1) << 63)
#define COMPRESSED (UINT64_C(1) << 62)
#define ZERO       UINT64_C(1)
#define OFFSET     UINT64_C(0x00fffffffffffe00)

const char *qcow2_why(int outcome)
{
	switch ((enum qcow2_outcome)outcome) {
	case QCOW2_E_FORMAT:
		return "is not a sound qcow2 image";
	case QCOW2_E_FEATURE:
		return "uses features of qcow2 that are never used here";
	case QCOW2_E_CORRUPT:
		return "is marked as corrupt by QEMU";
	case QCOW2_E_BOUNDS:
		return "is damaged: its tables point outside the file (was it cut short?)";
	}
	return "is damaged";
}

uint32_t qcow2_n_l1(uint64_t size)
{
	if (size > QCOW2_MAX_SIZE)
		size = QCOW2_MAX_SIZE;
	return (uint32_t)((size + QCOW2_L2_SPAN - 1) / QCOW2_L2_SPAN);
}

/* a table of @len bytes at @at: a whole number of clusters into the file and inside it */
static bool lies_inside(uint64_t at, uint64_t len, uint64_t file_size)
{
	return at % QCOW2_CLUSTER == 0 && at >= QCOW2_CLUSTER && at < file_size &&
	       len <= file_size - at;
}

static int check_tables(const struct qcow2_header *h, uint64_t file_size)
{
	uint64_t l1_len = (uint64_t)h->n_l1 * 8;
	uint64_t refs_len = (uint64_t)h->n_refs_clusters * QCOW2_CLUSTER;

	if (h->size % 512 != 0 || h->size > QCOW2_MAX_SIZE || h->n_l1 < qcow2_n_l1(h->size) ||
	    h->n_l1 > qcow2_n_l1(QCOW2_MAX_SIZE) || h->n_refs_clusters == 0 ||
	    h->n_refs_clusters > MAX_REFS_CLUSTERS)
		return QCOW2_E_FORMAT;
	if (!lies_inside(h->l1_at, l1_len, file_size) ||
	    !lies_inside(h->refs_at, refs_len, file_size))
		return QCOW2_E_BOUNDS;
	return 0;
}

/* the header extensions between the header and the backing file's name */
static int check_extensions(struct rd *r, bool *ret_backing_is_raw)
{
	for (;;) {
		uint32_t type = rd_be32(r), len = rd_be32(r);
		const char *data = rd_take(r, len);

		(void)rd_take(r, (8 - len % 8) % 8);
		if (r->failed)
			return QCOW2_E_FORMAT;
		if (type == EXT_END)
			return len == 0 ? 0 : QCOW2_E_FORMAT;
		if (type == (uint32_t)EXT_BACKING_FORMAT) {
			*ret_backing_is_raw = len == 3 && memcmp(data, "raw", 3) == 0;
			if (!*ret_backing_is_raw && (len != 5 || memcmp(data, "qcow2", 5) != 0))
				return QCOW2_E_FEATURE;
		} else if (type != EXT_FEATURE_NAMES) {
			return QCOW2_E_FEATURE;
		}
	}
}

int qcow2_header_decode(const void *bytes, size_t len, uint64_t file_size, struct qcow2_header *ret)
{
	struct qcow2_header h = {0};
	struct rd r = rd_of(bytes, len);
	uint64_t backing_at, incompatible, compatible, autoclear;
	uint32_t magic, version, cluster_bits, crypt, n_snapshots, order, header_len;
	int result;

	magic = rd_be32(&r);
	version = rd_be32(&r);
	backing_at = rd_be64(&r);
	h.backing_len = rd_be32(&r);
	cluster_bits = rd_be32(&r);
	h.size = rd_be64(&r);
	crypt = rd_be32(&r);
	h.n_l1 = rd_be32(&r);
	h.l1_at = rd_be64(&r);
	h.refs_at = rd_be64(&r);
	h.n_refs_clusters = rd_be32(&r);
	n_snapshots = rd_be32(&r);
	(void)rd_be64(&r); /* where the snapshots are: there are none */
	incompatible = rd_be64(&r);
	compatible = rd_be64(&r);
	autoclear = rd_be64(&r);
	order = rd_be32(&r);
	header_len = rd_be32(&r);
	if (r.failed || magic != MAGIC || file_size > QCOW2_MAX_FILE || len > file_size)
		return QCOW2_E_FORMAT;
	if (version != 3 || cluster_bits != QCOW2_CLUSTER_BITS || crypt != 0 || n_snapshots != 0 ||
	    order != REFCOUNT_ORDER || compatible != 0 || autoclear != 0)
		return QCOW2_E_FEATURE;
	if ((incompatible & (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT)) != 0)
		return QCOW2_E_CORRUPT;
	if (incompatible != 0)
		return QCOW2_E_FEATURE;
	if (header_len == HEADER_LEN) {
		if (rd_be64(&r) != 0)
			return QCOW2_E_FEATURE;
	} else if (header_len != HEADER_LEN_V3) {
		return QCOW2_E_FEATURE;
	}
	result = check_extensions(&r, &h.backing_is_raw);
	if (result != 0)
		return result;
	if (backing_at == 0) {
		h.backing_len = 0;
		h.backing_is_raw = false;
	} else {
		size_t at = len - r.len; /* behind the extensions */

		if (h.backing_len == 0 || h.backing_len > QCOW2_MAX_BACKING || backing_at < at ||
		    backing_at > len || h.backing_len > len - backing_at)
			return QCOW2_E_FORMAT;
		h.backing = (const char *)bytes + backing_at;
		if (memchr(h.backing, 0, h.backing_len))
			return QCOW2_E_FORMAT;
	}
	result = check_tables(&h, file_size);
	if (result != 0)
		return result;
	*ret = h;
	return 0;
}

size_t qcow2_header_encode(const struct qcow2_header *h, void *buf, size_t size)
{
	struct wr w = wr_of(buf, size < QCOW2_CLUSTER ? size : QCOW2_CLUSTER);
	uint32_t backing_at = h->backing ? HEADER_LEN + 16 + 8 : 0;

	if (check_tables(h, QCOW2_MAX_FILE) != 0 || h->backing_len > QCOW2_MAX_BACKING ||
	    (h->backing != NULL) != (h->backing_len > 0) ||
	    (h->backing && memchr(h->backing, 0, h->backing_len)))
		return 0;
	wr_be32(&w, MAGIC);
	wr_be32(&w, 3);
	wr_be64(&w, backing_at);
	wr_be32(&w, h->backing_len);
	wr_be32(&w, QCOW2_CLUSTER_BITS);
	wr_be64(&w, h->size);
	wr_be32(&w, 0); /* no encryption */
	wr_be32(&w, h->n_l1);
	wr_be64(&w, h->l1_at);
	wr_be64(&w, h->refs_at);
	wr_be32(&w, h->n_refs_clusters);
	wr_be32(&w, 0); /* no snapshots */
	wr_be64(&w, 0);
	wr_be64(&w, 0); /* features: incompatible, compatible, autoclear */
	wr_be64(&w, 0);
	wr_be64(&w, 0);
	wr_be32(&w, REFCOUNT_ORDER);
	wr_be32(&w, HEADER_LEN);
	wr_be64(&w, 0); /* compression type */
	if (h->backing) {
		wr_be32(&w, (uint32_t)EXT_BACKING_FORMAT);
		wr_be32(&w, h->backing_is_raw ? 3 : 5);
		wr_bytes(&w, h->backing_is_raw ? "raw\0\0\0\0" : "qcow2\0\0", 8);
	}
	wr_be32(&w, EXT_END);
	wr_be32(&w, 0);
	if (h->backing)
		wr_bytes(&w, h->backing, h->backing_len);
	return wr_done(&w);
}

int qcow2_l1_decode(uint64_t raw, uint64_t file_size, uint64_t *ret_at)
{
	uint64_t at = raw & OFFSET;

	if ((raw & ~(OFFSET | COPIED)) != 0 || (at == 0 && raw != 0))
		return QCOW2_E_FORMAT;
	if (at != 0 && !lies_inside(at, QCOW2_CLUSTER, file_size))
		return QCOW2_E_BOUNDS;
	*ret_at = at;
	return 0;
}

int qcow2_l2_decode(uint64_t raw, uint64_t file_size, struct qcow2_cluster *ret)
{
	uint64_t at = raw & OFFSET;

	if ((raw & COMPRESSED) != 0)
		return QCOW2_E_FEATURE;
	if ((raw & ~(OFFSET | COPIED | ZERO)) != 0 || (at == 0 && (raw & COPIED) != 0))
		return QCOW2_E_FORMAT;
	/* the last cluster of a file need not be whole */
	if (at != 0 && !lies_inside(at, 1, file_size))
		return QCOW2_E_BOUNDS;
	ret->at = at;
	ret->kind = (raw & ZERO) != 0 ? QCOW2_ZERO : at != 0 ? QCOW2_DATA : QCOW2_ABSENT;
	return 0;
}

int qcow2_refs_decode(uint64_t raw, uint64_t file_size, uint64_t *ret_at)
{
	if ((raw & 511) != 0)
		return QCOW2_E_FORMAT;
	if (raw != 0 && !lies_inside(raw, QCOW2_CLUSTER, file_size))
		return QCOW2_E_BOUNDS;
	*ret_at = raw;
	return 0;
}

uint64_t qcow2_l1_encode(uint64_t at)
{
	return at != 0 ? at | COPIED : 0;
}

uint64_t qcow2_l2_encode(const struct qcow2_cluster *c)
{
	uint64_t raw = c->at != 0 ? c->at | COPIED : 0;

	return c->kind == QCOW2_ZERO ? raw | ZERO : raw;
}
