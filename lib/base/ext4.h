/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What an ext4 superblock says of itself: whether it is there, whether errors were recorded, how
 * large the file system is. Read directly since a guest's start cannot wait for tools.
 */
#include "base/attr.h"

enum ext4_state {
	EXT4_NONE,   /* no ext2, 3 or 4 here */
	EXT4_CLEAN,  /* it may want its journal replayed, which mounting does */
	EXT4_ERRORS, /* the kernel met errors when it was last mounted */
};

/** EXT4_OFFSET, EXT4_SIZE - where it stands on a device, in bytes */
#define EXT4_OFFSET 1024
#define EXT4_SIZE   1024

/** struct ext4 - @size: bytes of the file system; @block_size: its unit */
struct ext4 {
	enum ext4_state state;
	uint64_t size;
	uint32_t block_size;
};

/** ext4_decode() - from EXT4_SIZE bytes; absurd geometry counts as EXT4_NONE */
void ext4_decode(const uint8_t *bytes, struct ext4 *ret);

/** ext4_read() - of the device or file @path; -ENODATA if it is too short to hold one */
MUST_CHECK int ext4_read(const char *path, struct ext4 *ret);
