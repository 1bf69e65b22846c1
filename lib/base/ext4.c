/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/ext4.h"

#include "base/bytes.h"
#include "base/io.h"

#include <fcntl.h>

/* offsets within the ext4 and values, as in the kernel's fs/ext4/ext4.h */
#define AT_BLOCKS_LOW      4
#define AT_LOG_BLOCK_SIZE  24
#define AT_MAGIC           56
#define AT_STATE           58
#define AT_INCOMPAT        96
#define AT_BLOCKS_HIGH     336
#define MAGIC              0xef53
#define STATE_ERRORS       2
#define INCOMPAT_64BIT     0x80
#define LOG_BLOCK_SIZE_MAX 6 /* 64 KiB */

static uint32_t at_le32(const uint8_t *bytes, size_t at)
{
	struct rd r = rd_of(bytes + at, 4);

	return rd_le32(&r);
}

static uint16_t at_le16(const uint8_t *bytes, size_t at)
{
	struct rd r = rd_of(bytes + at, 2);

	return rd_le16(&r);
}

void ext4_decode(const uint8_t *bytes, struct ext4 *ret)
{
	uint32_t log_block_size = at_le32(bytes, AT_LOG_BLOCK_SIZE);
	uint64_t n_blocks = at_le32(bytes, AT_BLOCKS_LOW);

	*ret = (struct ext4){.state = EXT4_NONE};
	if (at_le32(bytes, AT_INCOMPAT) & INCOMPAT_64BIT)
		n_blocks |= (uint64_t)at_le32(bytes, AT_BLOCKS_HIGH) << 32;
	if (at_le16(bytes, AT_MAGIC) != MAGIC || log_block_size > LOG_BLOCK_SIZE_MAX ||
	    n_blocks == 0 || n_blocks > UINT64_MAX >> (10 + log_block_size))
		return;
	ret->block_size = 1024U << log_block_size;
	ret->size = n_blocks * ret->block_size;
	ret->state = at_le16(bytes, AT_STATE) & STATE_ERRORS ? EXT4_ERRORS : EXT4_CLEAN;
}

int ext4_read(const char *path, struct ext4 *ret)
{
	uint8_t bytes[EXT4_OFFSET + EXT4_SIZE];
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	int r = io_read_full(fd, bytes, sizeof(bytes));
	if (r < 0)
		return r;
	ext4_decode(bytes + EXT4_OFFSET, ret);
	return 0;
}
