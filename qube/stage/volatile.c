/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "volatile.h"

#include "base/bytes.h"
#include "base/io.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/swap.h>

/* the kernel keeps three bytes in memory for each page of swap, used or not: 3 MiB for this much */
#define SWAP_MAX  ((uint64_t)4 << 30)
#define PAGE_SIZE 4096

/* the header of a swap area, as in the kernel's include/linux/swap.h (union swap_header) */
#define AT_VERSION   1024
#define AT_LAST_PAGE 1028
#define AT_MAGIC     (PAGE_SIZE - 10)
#define VERSION      1
static const uint8_t magic[10] = {'S', 'W', 'A', 'P', 'S', 'P', 'A', 'C', 'E', '2'};

int volatile_use(const char *device)
{
	uint8_t page[PAGE_SIZE] = {0};
	uint64_t size;
	AUTO_CLOSE int fd = open(device, O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0)
		return fail_errno();
	if (size > SWAP_MAX)
		size = SWAP_MAX;
	if (size < (uint64_t)16 * PAGE_SIZE)
		return -ENOSPC;
	struct wr w = wr_of(page + AT_VERSION, 8);
	wr_le32(&w, VERSION);
	wr_le32(&w, (uint32_t)(size / PAGE_SIZE - 1));
	(void)memcpy(page + AT_MAGIC, magic, sizeof(magic));
	int r = io_write_full(fd, page, sizeof(page));
	if (r < 0)
		return r;
	close_fd(&fd);
	return swapon(device, 0) < 0 ? fail_errno() : 0;
}
