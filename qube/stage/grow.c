/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grow.h"

#include "base/ext4.h"
#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

/* as the kernel's fs/ext4/ext4.h; no header for programs has it */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
/* a disk that is larger than its file system by less than this is none that has grown */
#define GROWTH_MIN ((uint64_t)4 << 20)

static int device_size(const char *device, uint64_t *ret)
{
	AUTO_CLOSE int fd = open(device, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, BLKGETSIZE64, ret) < 0)
		return fail_errno();
	return 0;
}

int grow_mounted(const char *device, const char *place)
{
	AUTO_CLOSE int fd = NO_FD;
	struct ext4 fs;
	uint64_t size, n_blocks;
	int r = device_size(device, &size);

	if (r == 0)
		r = ext4_read(device, &fs);
	if (r < 0)
		return r;
	if (fs.state == EXT4_NONE)
		return -ENODATA;
	if (size < fs.size || size - fs.size < GROWTH_MIN)
		return 0;
	if (fs.state == EXT4_ERRORS)
		return -EUCLEAN;
	n_blocks = size / fs.block_size;
	fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, EXT4_IOC_RESIZE_FS, &n_blocks) < 0)
		return fail_errno();
	log_info(NULL, "the file system of %s has grown to %llu MiB", place,
		 (unsigned long long)(size >> 20));
	return 0;
}
