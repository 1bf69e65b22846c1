/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel.h"

#include "api/text.h"
#include "base/log.h"
#include "base/str.h"
#include "qubesd.h"
#include "store/model.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

/** AGAIN_US - how often kernels are looked for where no watch tells of them */
#define AGAIN_US UINT64_C(5000000)

int kernel_dir(const struct qubesd *d, char *to, size_t size)
{
	return str_format(to, size, "%s/kernels", d->paths.state);
}

/* a set that is whole enough to boot; its files are made elsewhere and renamed into place */
static bool is_set(int dir_fd, const char *name)
{
	char path[512];
	struct stat st;

	return name[0] != '.' && strlen(name) < 64 &&
	       bytes_are_alnum_or(name, strlen(name), "_.+-") &&
	       str_format(path, sizeof(path), "%s/vmlinuz", name) == 0 &&
	       fstatat(dir_fd, path, &st, 0) == 0;
}

typedef void (*set_fn)(void *data, const char *name);

static void each_set(const struct qubesd *d, set_fn fn, void *data)
{
	char path[4096];
	DIR *dir;

	if (kernel_dir(d, path, sizeof(path)) < 0)
		return;
	dir = opendir(path);
	if (!dir)
		return;
	for (const struct dirent *e; (e = readdir(dir));)
		if (is_set(dirfd(dir), e->d_name))
			fn(data, e->d_name);
	(void)closedir(dir);
}

static void newer(void *data, const char *name)
{
	char *newest = data;

	if (newest[0] == '\0' || strverscmp(name, newest) > 0)
		(void)snprintf(newest, 64, "%s", name);
}

void kernel_refresh(struct qubesd *d)
{
	char newest[64] = "";

	each_set(d, newer, newest);
	memcpy(d->model->machine.newest_kernel, newest, sizeof(newest));
}

uint64_t kernel_modules_size(const struct qubesd *d, const char *kernel)
{
	char path[4096 + 128];
	struct stat st;

	if (kernel[0] == '\0' ||
	    str_format(path, sizeof(path), "%s/kernels/%s/modules.img", d->paths.state, kernel) <
		    0 ||
	    stat(path, &st) < 0)
		return 0;
	return (uint64_t)st.st_size;
}

static void line(void *data, const char *name)
{
	text_add(data, "%s\n", name);
}

void kernel_list(const struct qubesd *d, struct text *to)
{
	each_set(d, line, to);
}

static int on_change(sd_event_source *s, const struct inotify_event *e, void *data)
{
	(void)s, (void)e;
	kernel_refresh(data);
	return 0;
}

static int watch(struct qubesd *d)
{
	char path[4096];
	int r = kernel_dir(d, path, sizeof(path));

	if (r == 0)
		r = sd_event_add_inotify(d->event, NULL, path,
					 IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO,
					 on_change, d);
	return r < 0 ? r : 0;
}

static int on_time(sd_event_source *s, uint64_t usec, void *data)
{
	int r = watch(data);

	(void)usec;
	kernel_refresh(data);
	if (r != -EMFILE)
		return r;
	r = sd_event_source_set_time_relative(s, AGAIN_US);
	r = r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return r < 0 ? r : 0;
}

int kernel_watch(struct qubesd *d)
{
	int r = watch(d);

	kernel_refresh(d);
	if (r != -EMFILE)
		return r;
	log_warn(
		NULL,
		"no inotify instance is left to this user (fs.inotify.max_user_instances): kernels are looked for now and then");
	r = sd_event_add_time_relative(d->event, NULL, CLOCK_MONOTONIC, AGAIN_US, 0, on_time, d);
	return r < 0 ? r : 0;
}
