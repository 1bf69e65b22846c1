/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "found.h"

#include "base/io.h"

#include <dirent.h>

int vmm_found_in(const char *dir, const char *run_dir, vmm_look_fn look, struct vmm_found **ret,
		 size_t *ret_n)
{
	AUTO_FREE struct vmm_found *found = NULL;
	DIR *d = opendir(dir);
	size_t n = 0;
	int r = 0;

	*ret = NULL;
	*ret_n = 0;
	if (!d)
		return errno == ENOENT ? 0 : fail_errno();
	for (struct dirent *e; r >= 0 && (e = readdir(d));) {
		struct vmm_found one = {0}, *more;
		uint64_t domid;

		if (str_u64(e->d_name, UINT32_MAX, &domid) < 0)
			continue;
		one.domid = (unsigned)domid;
		r = look(run_dir, one.domid, &one);
		if (r != 0)
			continue;
		more = reallocarray(found, n + 1, sizeof(*found));
		if (!more) {
			r = -ENOMEM;
			break;
		}
		found = more;
		found[n++] = one;
	}
	(void)closedir(d);
	if (r < 0)
		return r;
	*ret = take_ptr(&found);
	*ret_n = n;
	return 0;
}
