/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image.h"

#include "base/bytes.h"
#include "base/io.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* enough of a file for its header and the longest backing name */
#define HEAD_LEN 2048
#define NO_L2    UINT32_MAX

/* read @len bytes at @at; what the file ends before reads as zeros */
static int read_at(int fd, uint64_t at, void *to, size_t len)
{
	uint8_t *p = to;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		if (n == 0) {
			memset(p, 0, len);
			return 0;
		}
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_at(int fd, uint64_t at, const void *from, size_t len)
{
	const uint8_t *p = from;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static uint64_t entry_get(const uint8_t *table, uint64_t i)
{
	struct rd r = rd_of(table + i * 8, 8);

	return rd_be64(&r);
}

static void entry_set(uint8_t *table, uint64_t i, uint64_t value)
{
	struct wr w = wr_of(table + i * 8, 8);

	wr_be64(&w, value);
}

static uint64_t clusters_of(uint64_t bytes)
{
	return (bytes + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER;
}

bool cluster_is_zero(const void *cluster)
{
	const uint8_t *p = cluster;

	/* the first bytes are zero, and each byte equals the one 16 before it */
	for (unsigned i = 0; i < 16; i++)
		if (p[i] != 0)
			return false;
	return memcmp(p, p + 16, QCOW2_CLUSTER - 16) == 0;
}

static int head_read(int fd, void *buf, uint64_t *ret_file_size, struct qcow2_header *ret)
{
	struct stat st;
	size_t len;
	int r;

	if (fstat(fd, &st) < 0)
		return fail_errno();
	if (!S_ISREG(st.st_mode))
		return QCOW2_E_FORMAT;
	len = st.st_size < HEAD_LEN ? (size_t)st.st_size : HEAD_LEN;
	r = read_at(fd, 0, buf, len);
	if (r < 0)
		return r;
	*ret_file_size = (uint64_t)st.st_size;
	return qcow2_header_decode(buf, len, *ret_file_size, ret);
}

int image_head(int fd, uint64_t *ret_size, char *backing)
{
	uint8_t head[HEAD_LEN];
	struct qcow2_header h;
	uint64_t file_size;
	int r = head_read(fd, head, &file_size, &h);

	if (r != 0)
		return r;
	if (h.backing)
		memcpy(backing, h.backing, h.backing_len);
	backing[h.backing_len] = '\0';
	*ret_size = h.size;
	return 0;
}

int image_open(struct image *img, int fd)
{
	AUTO(image_done) struct image i = {.fd = fd, .l2_of = NO_L2};
	uint8_t head[HEAD_LEN];
	struct qcow2_header h;
	int r;

	r = head_read(fd, head, &i.file_size, &h);
	if (r != 0)
		return r;
	i.size = h.size;
	i.l1_at = h.l1_at;
	i.refs_at = h.refs_at;
	i.n_l1 = h.n_l1;
	i.n_refs_clusters = h.n_refs_clusters;
	if (h.backing)
		memcpy(i.backing, h.backing, h.backing_len);
	i.backing_is_raw = h.backing_is_raw;
	i.l2 = malloc(QCOW2_CLUSTER);
	i.l1 = malloc((size_t)h.n_l1 * 8 + 8);
	if (!i.l2 || !i.l1)
		return -ENOMEM;
	r = read_at(fd, h.l1_at, i.l1, (size_t)h.n_l1 * 8);
	for (uint32_t n = 0; r == 0 && n < h.n_l1; n++)
		r = qcow2_l1_decode(entry_get((uint8_t *)i.l1, n), i.file_size, &i.l1[n]);
	if (r != 0)
		return r;
	*img = i;
	i.l1 = NULL;
	i.l2 = NULL;
	return 0;
}

void image_done(struct image *img)
{
	free(img->l1);
	free(img->l2);
	*img = (struct image){.fd = NO_FD};
}

/* make img->l2 the table of L1 entry @n, which has one */
static int l2_load(struct image *img, uint32_t n)
{
	int r;

	if (img->l2_of == n)
		return 0;
	img->l2_of = NO_L2;
	r = read_at(img->fd, img->l1[n], img->l2, QCOW2_CLUSTER);
	if (r == 0)
		img->l2_of = n;
	return r;
}

int image_lookup(struct image *img, uint64_t index, struct qcow2_cluster *ret)
{
	uint32_t n = (uint32_t)(index / QCOW2_TABLE);
	int r;

	if (index >= clusters_of(img->size) || img->l1[n] == 0) {
		*ret = (struct qcow2_cluster){QCOW2_ABSENT, 0};
		return 0;
	}
	r = l2_load(img, n);
	if (r != 0)
		return r;
	return qcow2_l2_decode(entry_get(img->l2, index % QCOW2_TABLE), img->file_size, ret);
}

int image_read(const struct image *img, uint64_t at, void *cluster)
{
	return read_at(img->fd, at, cluster, QCOW2_CLUSTER);
}

bool image_is_empty(const struct image *img)
{
	for (uint32_t n = 0; n < img->n_l1; n++)
		if (img->l1[n] != 0)
			return false;
	return true;
}

/* --- which clusters of a file are used --- */

struct used {
	uint8_t *bits;
	uint64_t n_clusters;
};

static void used_done(struct used *u)
{
	free(u->bits);
}

static bool used_has(const struct used *u, uint64_t cluster)
{
	return (u->bits[cluster / 8] >> cluster % 8 & 1) != 0;
}

/* mark @n clusters from @at; false if one is used already */
static bool used_add(struct used *u, uint64_t at, uint64_t n)
{
	for (uint64_t c = at / QCOW2_CLUSTER; n > 0; c++, n--) {
		if (used_has(u, c))
			return false;
		u->bits[c / 8] |= (uint8_t)(1u << c % 8);
	}
	return true;
}

/* the file's clusters that header, tables and data use; @spare more have room */
static int used_find(struct image *img, uint64_t spare, struct used *ret)
{
	AUTO(used_done) struct used u = {.n_clusters = clusters_of(img->file_size)};
	AUTO_FREE uint8_t *refs = malloc(QCOW2_CLUSTER);
	bool once;
	int r;

	u.bits = calloc(1, (u.n_clusters + spare) / 8 + 1);
	if (!u.bits || !refs)
		return -ENOMEM;
	once = used_add(&u, 0, 1) &&
	       used_add(&u, img->l1_at, clusters_of((uint64_t)img->n_l1 * 8)) &&
	       used_add(&u, img->refs_at, img->n_refs_clusters);
	for (uint32_t t = 0; once && t < img->n_refs_clusters; t++) {
		r = image_read(img, img->refs_at + t * QCOW2_CLUSTER, refs);
		for (uint64_t i = 0; r == 0 && once && i < QCOW2_TABLE; i++) {
			uint64_t at;

			r = qcow2_refs_decode(entry_get(refs, i), img->file_size, &at);
			if (r == 0 && at != 0)
				once = used_add(&u, at, 1);
		}
		if (r != 0)
			return r;
	}
	for (uint32_t n = 0; once && n < img->n_l1; n++) {
		if (img->l1[n] == 0)
			continue;
		once = used_add(&u, img->l1[n], 1);
		r = once ? l2_load(img, n) : 0;
		for (uint64_t i = 0; r == 0 && once && i < QCOW2_TABLE; i++) {
			struct qcow2_cluster c;

			r = qcow2_l2_decode(entry_get(img->l2, i), img->file_size, &c);
			if (r == 0 && c.at != 0)
				once = used_add(&u, c.at, 1);
		}
		if (r != 0)
			return r;
	}
	if (!once)
		return QCOW2_E_FORMAT;
	*ret = u;
	u.bits = NULL;
	return 0;
}

int image_check(struct image *img)
{
	AUTO(used_done) struct used u = {0};

	return used_find(img, 0, &u);
}

/* --- writing --- */

static int head_write(int fd, const struct qcow2_header *h)
{
	uint8_t head[HEAD_LEN];
	size_t n = qcow2_header_encode(h, head, sizeof(head));

	return n > 0 ? write_at(fd, 0, head, n) : -EINVAL;
}

/* blocks of references for @n used clusters from the file's start, themselves and the table
 * included */
static void refs_layout(uint64_t n, uint64_t *ret_n_blocks, uint64_t *ret_n_table)
{
	uint64_t blocks = 0, table = 1, need = 0;

	do {
		blocks = need;
		table = (blocks * 8 + QCOW2_CLUSTER - 1) / QCOW2_CLUSTER;
		need = (n + blocks + table + QCOW2_REFS - 1) / QCOW2_REFS;
	} while (need > blocks);
	assert(table > 0);
	*ret_n_blocks = blocks;
	*ret_n_table = table;
}

int image_create(int fd, uint64_t size, const char *backing, bool is_raw)
{
	uint64_t n_l1_clusters = clusters_of((uint64_t)qcow2_n_l1(size) * 8);
	uint8_t entry[8], refs[2 * (QCOW2_MAX_SIZE / QCOW2_L2_SPAN / QCOW2_TABLE + 3)];
	struct qcow2_header h = {
		.size = size,
		.n_l1 = qcow2_n_l1(size),
		.refs_at = QCOW2_CLUSTER,
		.n_refs_clusters = 1,
		.l1_at = 3 * QCOW2_CLUSTER,
		.backing = backing,
		.backing_len = backing ? (uint32_t)strlen(backing) : 0,
		.backing_is_raw = is_raw,
	};
	struct wr w = wr_of(refs, sizeof(refs));
	int r;

	if (size > QCOW2_MAX_SIZE)
		return -EFBIG;
	if (n_l1_clusters == 0)
		n_l1_clusters = 1;
	/* header, reference table, one block of it, L1: the rest of each is a hole */
	if (ftruncate(fd, (off_t)((3 + n_l1_clusters) * QCOW2_CLUSTER)) < 0)
		return fail_errno();
	entry_set(entry, 0, 2 * QCOW2_CLUSTER);
	r = write_at(fd, QCOW2_CLUSTER, entry, sizeof(entry));
	if (r < 0)
		return r;
	for (uint64_t i = 0; i < 3 + n_l1_clusters; i++)
		wr_bytes(&w, "\0\1", 2);
	r = write_at(fd, 2 * QCOW2_CLUSTER, refs, wr_done(&w));
	if (r < 0)
		return r;
	return head_write(fd, &h);
}

static int header_change(const struct image *img, uint64_t size, uint32_t n_l1, uint64_t l1_at)
{
	const struct qcow2_header h = {
		.size = size,
		.n_l1 = n_l1,
		.l1_at = l1_at,
		.refs_at = img->refs_at,
		.n_refs_clusters = img->n_refs_clusters,
		.backing = img->backing[0] ? img->backing : NULL,
		.backing_len = (uint32_t)strlen(img->backing),
		.backing_is_raw = img->backing_is_raw,
	};

	return head_write(img->fd, &h);
}

int image_grow(struct image *img, uint64_t size)
{
	uint32_t n_l1 = qcow2_n_l1(size);
	int r;

	if (size <= img->size)
		return 0;
	if (n_l1 < img->n_l1)
		n_l1 = img->n_l1;
	if (n_l1 > img->n_l1) {
		uint64_t *l1;

		/* behind the table's end its last cluster is ours, but nobody promised zeros there
		 */
		if (clusters_of((uint64_t)n_l1 * 8) > clusters_of((uint64_t)img->n_l1 * 8))
			return -EFBIG;
		l1 = realloc(img->l1, (size_t)n_l1 * 8 + 8);
		if (!l1)
			return -ENOMEM;
		img->l1 = l1;
		memset(l1 + img->n_l1, 0, (size_t)(n_l1 - img->n_l1) * 8);
		r = write_at(img->fd, img->l1_at + (uint64_t)img->n_l1 * 8, l1 + img->n_l1,
			     (size_t)(n_l1 - img->n_l1) * 8);
		if (r < 0)
			return r;
	}
	r = header_change(img, size, n_l1, img->l1_at);
	if (r < 0)
		return r;
	img->size = size;
	img->n_l1 = n_l1;
	return 0;
}

int writer_init(struct writer *w, int fd, uint64_t size)
{
	uint32_t n_l1 = qcow2_n_l1(size);
	uint64_t n_l1_clusters = clusters_of((uint64_t)n_l1 * 8);

	if (size > QCOW2_MAX_SIZE)
		return -EFBIG;
	*w = (struct writer){.fd = fd, .size = size, .n_l1 = n_l1, .l2_of = NO_L2};
	w->at = (1 + (n_l1_clusters > 0 ? n_l1_clusters : 1)) * QCOW2_CLUSTER;
	w->l1 = calloc((size_t)n_l1 + 1, 8);
	w->l2 = malloc(QCOW2_CLUSTER);
	if (!w->l1 || !w->l2) {
		writer_done(w);
		return -ENOMEM;
	}
	return 0;
}

void writer_done(struct writer *w)
{
	free(w->l1);
	free(w->l2);
	*w = (struct writer){.fd = NO_FD};
}

static int writer_end_l2(struct writer *w)
{
	int r;

	if (w->l2_of == NO_L2)
		return 0;
	r = write_at(w->fd, w->l2_at, w->l2, QCOW2_CLUSTER);
	if (r < 0)
		return r;
	entry_set((uint8_t *)w->l1, w->l2_of, qcow2_l1_encode(w->l2_at));
	w->l2_of = NO_L2;
	return 0;
}

int writer_put(struct writer *w, uint64_t index, const void *cluster)
{
	const uint32_t n = (uint32_t)(index / QCOW2_TABLE);
	struct qcow2_cluster c = {.kind = QCOW2_DATA};
	int r;

	if (n >= w->n_l1)
		return -EFBIG;
	if (n != w->l2_of) {
		r = writer_end_l2(w);
		if (r < 0)
			return r;
		memset(w->l2, 0, QCOW2_CLUSTER);
		w->l2_of = n;
		w->l2_at = w->at;
		w->at += QCOW2_CLUSTER;
	}
	c.at = w->at;
	r = write_at(w->fd, c.at, cluster, QCOW2_CLUSTER);
	if (r < 0)
		return r;
	w->at += QCOW2_CLUSTER;
	entry_set(w->l2, index % QCOW2_TABLE, qcow2_l2_encode(&c));
	return 0;
}

/* @n entries of a reference block from its start: 1 where @used says so (NULL: everywhere) */
static void refs_fill(uint8_t *block, uint64_t first, uint64_t n_clusters, const struct used *used)
{
	memset(block, 0, QCOW2_CLUSTER);
	for (uint64_t i = 0; i < QCOW2_REFS && first + i < n_clusters; i++)
		if (!used || used_has(used, first + i))
			block[2 * i + 1] = 1;
}

int writer_finish(struct writer *w)
{
	struct qcow2_header h = {.size = w->size, .n_l1 = w->n_l1, .l1_at = QCOW2_CLUSTER};
	AUTO_FREE uint8_t *block = malloc(QCOW2_CLUSTER);
	AUTO_FREE uint8_t *table = NULL;
	uint64_t n_blocks, n_table, n_clusters;
	int r;

	if (!block)
		return -ENOMEM;
	r = writer_end_l2(w);
	if (r < 0)
		return r;
	refs_layout(w->at / QCOW2_CLUSTER, &n_blocks, &n_table);
	n_clusters = w->at / QCOW2_CLUSTER + n_blocks + n_table;
	h.refs_at = w->at;
	h.n_refs_clusters = (uint32_t)n_table;
	table = calloc(n_table, QCOW2_CLUSTER);
	if (!table)
		return -ENOMEM;
	for (uint64_t i = 0; r == 0 && i < n_blocks; i++) {
		uint64_t at = h.refs_at + (n_table + i) * QCOW2_CLUSTER;

		entry_set(table, i, at);
		refs_fill(block, i * QCOW2_REFS, n_clusters, NULL);
		r = write_at(w->fd, at, block, QCOW2_CLUSTER);
	}
	if (r == 0)
		r = write_at(w->fd, h.refs_at, table, n_table * QCOW2_CLUSTER);
	if (r == 0)
		r = write_at(w->fd, h.l1_at, w->l1, (size_t)w->n_l1 * 8);
	if (r == 0)
		r = head_write(w->fd, &h);
	if (r == 0 && fsync(w->fd) < 0)
		r = fail_errno();
	return r;
}

/* where the guest cluster @index is found through @chain; *@ret NULL if it reads as zeros */
static int images_find(struct image *chain, unsigned n, uint64_t index, const struct image **ret,
		       uint64_t *ret_at)
{
	*ret = NULL;
	/* an image ends what rests below it: behind its end there are zeros */
	for (unsigned i = 0; i < n && index < clusters_of(chain[i].size); i++) {
		struct qcow2_cluster c;
		int r = image_lookup(&chain[i], index, &c);

		if (r != 0)
			return r;
		if (c.kind == QCOW2_ABSENT)
			continue;
		if (c.kind == QCOW2_DATA) {
			*ret = &chain[i];
			*ret_at = c.at;
		}
		return 0;
	}
	return 0;
}

int images_read(struct image *chain, unsigned n, uint64_t at, void *to, size_t len)
{
	const struct image *img;
	uint64_t found;
	int r = images_find(chain, n, at / QCOW2_CLUSTER, &img, &found);

	if (r != 0)
		return r;
	if (img)
		return read_at(img->fd, found, to, len);
	memset(to, 0, len);
	return 0;
}

int images_flatten(struct image *chain, unsigned n, struct writer *w)
{
	AUTO_FREE uint8_t *buf = malloc(QCOW2_CLUSTER);

	if (!buf)
		return -ENOMEM;
	for (uint64_t index = 0; index < clusters_of(w->size); index++) {
		const struct image *img;
		uint64_t at;
		int r = images_find(chain, n, index, &img, &at);

		if (r == 0 && img)
			r = image_read(img, at, buf);
		if (r == 0 && img && !cluster_is_zero(buf))
			r = writer_put(w, index, buf);
		if (r != 0)
			return r;
	}
	return 0;
}

/* --- merging --- */

/*
 * Two halves with a sync between. First what nobody can see: data where @top masks what stood
 * there, data and L2 tables in new clusters behind the file's end, references for them. Then what
 * makes it visible: changed L2 tables, the L1 table, the header. A crash in between leaves at most
 * clusters with a reference and no user; the next merge writes all references afresh.
 */
struct merge {
	struct image *base, *top;
	struct used used;
	uint64_t end, max_end; /* next free cluster; how many `used` has room for */
	uint8_t *buf;
	uint8_t **l2;   /* new contents of base's L2 tables, by L1 index; NULL = as it is */
	uint64_t *l1;   /* base's L1 table as it will be */
	uint32_t n_l1;  /* of it */
	uint64_t l1_at; /* where it will be */
	bool l1_moves;
};

static void merge_done(struct merge *m)
{
	for (uint32_t n = 0; m->l2 && n < m->n_l1; n++)
		free(m->l2[n]);
	free(m->l2);
	free(m->l1);
	free(m->buf);
	used_done(&m->used);
}

static int merge_alloc(struct merge *m, uint64_t n, uint64_t *ret_at)
{
	if (n > m->max_end - m->end)
		return -EFBIG;
	*ret_at = m->end * QCOW2_CLUSTER;
	(void)used_add(&m->used, *ret_at, n);
	m->end += n;
	return 0;
}

static int merge_cluster(struct merge *m, struct qcow2_cluster from, struct qcow2_cluster *to)
{
	int r;

	if (from.kind == QCOW2_ABSENT)
		return 0;
	if (from.kind == QCOW2_ZERO) {
		/* the cluster stays ours, without taking space */
		if (to->at != 0 && to->kind == QCOW2_DATA)
			(void)fallocate(m->base->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)to->at, (off_t)QCOW2_CLUSTER);
		to->kind = QCOW2_ZERO;
		return 0;
	}
	r = image_read(m->top, from.at, m->buf);
	if (r == 0 && to->at == 0)
		r = merge_alloc(m, 1, &to->at);
	if (r < 0)
		return r;
	to->kind = QCOW2_DATA;
	return write_at(m->base->fd, to->at, m->buf, QCOW2_CLUSTER);
}

/* all clusters behind L1 entry @n of top */
static int merge_table(struct merge *m, uint32_t n)
{
	int r;

	r = l2_load(m->top, n);
	if (r != 0)
		return r;
	m->l2[n] = calloc(1, QCOW2_CLUSTER);
	if (!m->l2[n])
		return -ENOMEM;
	if (m->l1[n] != 0) {
		r = read_at(m->base->fd, m->l1[n], m->l2[n], QCOW2_CLUSTER);
		if (r < 0)
			return r;
	}
	for (uint64_t i = 0; i < QCOW2_TABLE; i++) {
		struct qcow2_cluster from, to;

		r = qcow2_l2_decode(entry_get(m->top->l2, i), m->top->file_size, &from);
		if (r == 0)
			r = qcow2_l2_decode(entry_get(m->l2[n], i), m->end * QCOW2_CLUSTER, &to);
		if (r == 0)
			r = merge_cluster(m, from, &to);
		if (r != 0)
			return r;
		entry_set(m->l2[n], i, qcow2_l2_encode(&to));
	}
	if (m->l1[n] != 0)
		return 0;
	r = merge_alloc(m, 1, &m->l1[n]);
	if (r < 0)
		return r;
	r = write_at(m->base->fd, m->l1[n], m->l2[n], QCOW2_CLUSTER);
	free(take_ptr(&m->l2[n])); /* written; the L1 entry makes it visible */
	return r;
}

/* all references afresh; blocks that are missing are added behind the end */
static int merge_refs(struct merge *m)
{
	const uint64_t n_entries = m->base->n_refs_clusters * QCOW2_TABLE;
	AUTO_FREE uint8_t *table = malloc(m->base->n_refs_clusters * QCOW2_CLUSTER);
	bool grown = false;
	int r;

	if (!table)
		return -ENOMEM;
	r = read_at(m->base->fd, m->base->refs_at, table, m->base->n_refs_clusters * QCOW2_CLUSTER);
	if (r < 0)
		return r;
	for (uint64_t i = 0; i * QCOW2_REFS < m->end; i++) {
		uint64_t at;

		if (i >= n_entries)
			return -EFBIG;
		if (entry_get(table, i) != 0)
			continue;
		r = merge_alloc(m, 1, &at);
		if (r < 0)
			return r;
		entry_set(table, i, at);
		grown = true;
	}
	for (uint64_t i = 0; i < n_entries; i++) {
		uint64_t at = entry_get(table, i);

		if (at == 0)
			continue;
		refs_fill(m->buf, i * QCOW2_REFS, m->end, &m->used);
		r = write_at(m->base->fd, at, m->buf, QCOW2_CLUSTER);
		if (r < 0)
			return r;
	}
	if (!grown)
		return 0;
	/* the table may name a block only once that is there */
	if (fsync(m->base->fd) < 0)
		return fail_errno();
	return write_at(m->base->fd, m->base->refs_at, table,
			m->base->n_refs_clusters * QCOW2_CLUSTER);
}

static int merge_prepare(struct merge *m)
{
	const struct image *base = m->base, *top = m->top;
	uint64_t spare;
	int r;

	if (top->size < base->size)
		return -EINVAL;
	m->n_l1 = qcow2_n_l1(top->size);
	if (m->n_l1 < base->n_l1)
		m->n_l1 = base->n_l1;
	/* at worst all of top is new, and so are its tables, the L1 table and their references */
	spare = clusters_of(top->file_size) + clusters_of((uint64_t)m->n_l1 * 8) + m->n_l1;
	spare += (spare + clusters_of(base->file_size)) / QCOW2_REFS + 2;
	r = used_find(m->base, spare, &m->used);
	if (r != 0)
		return r;
	m->max_end = m->used.n_clusters + spare;
	/* whatever an earlier attempt left behind the last used cluster goes */
	for (m->end = m->used.n_clusters; !used_has(&m->used, m->end - 1);)
		m->end--;
	if (ftruncate(base->fd, (off_t)(m->end * QCOW2_CLUSTER)) < 0)
		return fail_errno();
	m->buf = malloc(QCOW2_CLUSTER);
	m->l1 = calloc((size_t)m->n_l1 + 1, 8);
	m->l2 = calloc((size_t)m->n_l1 + 1, sizeof(*m->l2));
	if (!m->buf || !m->l1 || !m->l2)
		return -ENOMEM;
	memcpy(m->l1, base->l1, (size_t)base->n_l1 * 8);
	m->l1_at = base->l1_at;
	m->l1_moves = clusters_of((uint64_t)m->n_l1 * 8) > clusters_of((uint64_t)base->n_l1 * 8);
	return 0;
}

static int merge_write_l1(struct merge *m)
{
	AUTO_FREE uint8_t *raw = calloc((size_t)m->n_l1 + 1, 8);

	if (!raw)
		return -ENOMEM;
	for (uint32_t n = 0; n < m->n_l1; n++)
		entry_set(raw, n, qcow2_l1_encode(m->l1[n]));
	return write_at(m->base->fd, m->l1_at, raw, (size_t)m->n_l1 * 8);
}

int image_merge(struct image *base, struct image *top)
{
	AUTO(merge_done) struct merge m = {.base = base, .top = top};
	int r;

	r = image_check(top);
	if (r == 0)
		r = merge_prepare(&m);
	for (uint32_t n = 0; r == 0 && n < top->n_l1 && n < m.n_l1; n++)
		if (top->l1[n] != 0)
			r = merge_table(&m, n);
	if (r == 0 && m.l1_moves) {
		r = merge_alloc(&m, clusters_of((uint64_t)m.n_l1 * 8), &m.l1_at);
		if (r == 0)
			r = merge_write_l1(&m);
	}
	if (r == 0)
		r = merge_refs(&m);
	if (r != 0)
		return r;
	/* a cluster's end must be in the file, or the next reader takes it for cut */
	if (ftruncate(base->fd, (off_t)(m.end * QCOW2_CLUSTER)) < 0 || fsync(base->fd) < 0)
		return fail_errno();

	for (uint32_t n = 0; r == 0 && n < m.n_l1; n++)
		if (m.l2[n])
			r = write_at(base->fd, m.l1[n], m.l2[n], QCOW2_CLUSTER);
	if (r == 0 && !m.l1_moves)
		r = merge_write_l1(&m);
	if (r == 0 && (top->size != base->size || m.l1_moves))
		r = header_change(base, top->size, m.n_l1, m.l1_at);
	if (r < 0)
		return r;
	return fsync(base->fd) < 0 ? fail_errno() : 0;
}
