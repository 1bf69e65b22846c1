/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What tests of volumes share: a guest that writes and reads a started volume, and shell commands. */
#include "storage.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/** shell() - its status as of system() */
int shell(const char *format, ...) PRINTF_LIKE(1, 2);

/** guest_json() - the chain for qemu-io as QEMU gets it: the open files, whatever their names mean by now */
void guest_json(const struct storage_chain *c, char *to, size_t size);

/** guest_writes() - the guest writes @mib MiB of @pattern at @at_mib and flushes; then it is gone */
void guest_writes(const struct storage_chain *c, unsigned at_mib, unsigned mib, unsigned pattern);
/** guest_reads() - does it read @mib MiB of @pattern at @at_mib? */
bool guest_reads(const struct storage_chain *c, unsigned at_mib, unsigned mib, unsigned pattern);
/** guest_discards() - it frees them */
void guest_discards(const struct storage_chain *c, unsigned at_mib, unsigned mib);

/** test_namespace() - what root mounts from here on goes with this process */
void test_namespace(void);
/**
 * test_mount() - mount a new file system of @type ("btrfs", "xfs") in a file over the folder @path
 *
 * false, having said why, where that cannot be. test_unmount(): -1 if it is in use.
 */
bool test_mount(const char *path, const char *type);
MUST_CHECK int test_unmount(const char *path);
