/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* For drivers: the running qubes, each of which is an entry of a folder, named by its domain id. */
#include "vmm.h"

/** vmm_look_fn - name and uuid of one. Return: 0; VMM_NOT_RUNNING; -errno, which ends the scan */
enum { VMM_NOT_RUNNING = 1 };
typedef int (*vmm_look_fn)(const char *run_dir, unsigned domid, struct vmm_found *ret);

/** vmm_found_in() - all that @look finds in the folder @dir, which may be absent; @ret by vmm_scan()'s rules */
MUST_CHECK int vmm_found_in(const char *dir, const char *run_dir, vmm_look_fn look,
			    struct vmm_found **ret, size_t *ret_n);
