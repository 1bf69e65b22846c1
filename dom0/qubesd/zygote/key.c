/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/crc32.h"
#include "base/io.h"
#include "zygote/zygote.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SHAPE_MAX ((size_t)80 << 10)

/* A file that never changes is told by its place on the disk and the moments it was made and written: a number that is
 * used again comes with another birth. */
static int put_file(struct text *t, const char *what, int fd)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0)
		return fail_errno();
	text_add(t, "%s %u:%u %" PRIu64 " %" PRIu64 " %" PRId64 ".%09u %" PRId64 ".%09u\n", what,
		 st.stx_dev_major, st.stx_dev_minor, (uint64_t)st.stx_ino, (uint64_t)st.stx_size,
		 (int64_t)st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec,
		 st.stx_mask & STATX_BTIME ? (int64_t)st.stx_btime.tv_sec : 0,
		 st.stx_mask & STATX_BTIME ? st.stx_btime.tv_nsec : 0);
	return 0;
}

static struct zygote_key take(struct zygote_key *k)
{
	struct zygote_key was = *k;

	*k = (struct zygote_key){0};
	return was;
}

int zygote_key(const struct vmm_spec *spec, const int *base, unsigned n_base, uint64_t root_size,
	       struct zygote_key *ret)
{
	AUTO(zygote_key_done) struct zygote_key k = {0};
	AUTO_FREE char *shape = malloc(SHAPE_MAX);
	size_t n_root;
	int r = shape ? vmm_shape(spec, shape, SHAPE_MAX) : -ENOMEM;

	if (r < 0)
		return r;
	/* the root comes first, and its lines alone begin so: one that differs by them alone follows this one */
	for (unsigned i = 0; r == 0 && i < n_base; i++)
		r = put_file(&k.text, "root", base[i]);
	n_root = k.text.len;
	text_add(&k.text, "kind system\nsize %" PRIu64 "\n", root_size);
	r = r < 0 ? r : put_file(&k.text, "kernel", spec->kernel_fd);
	r = r < 0 ? r : put_file(&k.text, "initrd", spec->initrd_fd);
	for (unsigned i = 0; r == 0 && i < spec->n_disks; i++)
		if (strcmp(spec->disks[i].name, "kernel") == 0)
			r = put_file(&k.text, "modules", spec->disks[i].fds[0]);
	text_bytes(&k.text, shape, strlen(shape) + 1);
	if (r < 0 || k.text.failed)
		return r < 0 ? r : -ENOMEM;
	k.text.len--; /* the NUL is not counted */
	(void)snprintf(k.name, sizeof(k.name), "%08x%08x", crc32_add(0, k.text.at, n_root),
		       crc32_add(0, k.text.at + n_root, k.text.len - n_root));
	*ret = take(&k);
	return 0;
}
