/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes.ResizeDisk: dom0 has made a disk larger, and standard input says which: "private" or "root".
 * The file system on it grows while it is used; the kernel does it.
 *
 * runs as root, by its configuration;
 * holds the caller's streams;
 * trusts dom0 to have asked;
 * needs CAP_SYS_RESOURCE.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

enum { EXIT_FAILED = 1, EXIT_PROBLEM = 125 };

/* as the kernel's fs/ext4/ext4.h; no header for programs has it */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
/* sysfs counts in these */
#define SECTOR 512u

/* bytes of the disk that @fd's file system is on */
static int disk_size(int fd, uint64_t *ret)
{
	AUTO_FREE char *text = NULL;
	char path[64];
	struct stat st;
	uint64_t n;
	int r;

	if (fstat(fd, &st) < 0)
		return fail_errno();
	(void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/size", major(st.st_dev),
		       minor(st.st_dev));
	r = io_read_file(AT_FDCWD, path, 32, &text, NULL);
	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	r = str_u64(text, UINT64_MAX / SECTOR, &n);
	if (r == 0)
		*ret = n * SECTOR;
	return r;
}

static int grow(const char *place)
{
	AUTO_CLOSE int fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;
	uint64_t size = 0, n_blocks;
	int r;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return fail_errno();
	if (fs.f_type != EXT4_SUPER_MAGIC)
		return -EOPNOTSUPP;
	r = disk_size(fd, &size);
	if (r < 0)
		return r;
	n_blocks = size / (uint64_t)fs.f_bsize;
	return ioctl(fd, EXT4_IOC_RESIZE_FS, &n_blocks) < 0 ? fail_errno() : 0;
}

int main(void)
{
	AUTO_FREE char *disk = NULL;
	const char *place;
	int r;

	if (io_read_all(STDIN_FILENO, 64, &disk, NULL) == 0)
		disk[strcspn(disk, "\n")] = '\0';
	place = str_eq(disk, "private") ? "/rw" : str_eq(disk, "root") ? "/" : NULL;
	if (!place) {
		(void)fputs("qubes.ResizeDisk: private or root\n", stderr);
		return EXIT_PROBLEM;
	}
	r = grow(place);
	if (r < 0)
		(void)fprintf(stderr, "qubes.ResizeDisk: %s: %s\n", place, log_errno_str(r));
	return r < 0 ? EXIT_FAILED : 0;
}
