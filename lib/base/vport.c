/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/vport.h"

#include "base/io.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define UDEV_DIR  "/dev/virtio-ports"
#define SYSFS_DIR "/sys/class/virtio-ports"

static int open_path(const char *path, int *ret_fd)
{
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	*ret_fd = fd;
	return 0;
}

static bool is_called(const char *port, const char *name)
{
	AUTO_FREE char *text = NULL;
	char path[PATH_MAX];

	if (str_format(path, sizeof(path), SYSFS_DIR "/%s/name", port) < 0 ||
	    io_read_file(AT_FDCWD, path, 256, &text, NULL) < 0)
		return false;
	text[strcspn(text, "\n")] = '\0';
	return str_eq(text, name);
}

int vport_open(const char *name, int *ret_fd)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *dir;
	int r = str_format(path, sizeof(path), UDEV_DIR "/%s", name);

	r = r < 0 ? r : open_path(path, ret_fd);
	if (r != -ENOENT)
		return r;
	dir = opendir(SYSFS_DIR);
	if (!dir)
		return -ENOENT;
	while (r == -ENOENT && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || !is_called(e->d_name, name))
			continue;
		r = str_format(path, sizeof(path), "/dev/%s", e->d_name);
		r = r < 0 ? r : open_path(path, ret_fd);
	}
	(void)closedir(dir);
	return r;
}
