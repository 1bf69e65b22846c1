/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Kernel sets: folders below state/kernels with vmlinuz, initramfs and modules.img. */
#include "base/attr.h"

struct qubesd;
struct text;

/** kernel_dir() - of the sets */
MUST_CHECK int kernel_dir(const struct qubesd *d, char *to, size_t size);
/** kernel_refresh() - look which set is the newest one */
void kernel_refresh(struct qubesd *d);
/** kernel_watch() - and look again whenever one comes or goes */
MUST_CHECK int kernel_watch(struct qubesd *d);
/** kernel_modules_size() - bytes of a set's modules image; 0 if there is none */
uint64_t kernel_modules_size(const struct qubesd *d, const char *kernel);
/** kernel_list() - a line per set */
void kernel_list(const struct qubesd *d, struct text *to);
