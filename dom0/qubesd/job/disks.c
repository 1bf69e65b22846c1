/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Jobs that work on volumes only. Each is safe to be cut off anywhere and done again. */
#include "base/log.h"
#include "job/run.h"

#include <stdio.h>
#include <string.h>

/* the three volumes that a qube may have, in the order they are made */
static const char *const names[] = {"root", "private", "volatile"};

static int storage_failed(int r, const char *error)
{
	if (r < 0)
		return run_fail("StoragePoolException", "%s (%s)",
				error[0] != '\0' ? error : "storage", log_errno_str(r));
	return run_fail("StoragePoolException", "%s",
			error[0] != '\0' ? error : "the storage driver refused");
}

/* Nothing of it is kept, and its place is where its source is, which may be another by its next start: that makes what it needs */
static bool is_snapshot(const struct storage_volume *v)
{
	return v->snap_on_start && !v->save_on_stop;
}

int run_create(const struct request *request)
{
	char error[512] = "";

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct storage_volume v;
		int r;

		if (!request_get_volume(request, names[i], &v) || is_snapshot(&v))
			continue;
		run_progress("volumes", names[i], 0, 0);
		r = storage_create(&v, error, sizeof(error));
		if (r != 0)
			return storage_failed(r, error);
	}
	return 0;
}

int run_remove(const struct request *request)
{
	const char *log = request_get(request, "log_path");
	char error[512] = "";

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct storage_volume v;
		int r;

		if (!request_get_volume(request, names[i], &v))
			continue;
		run_progress("volumes", names[i], 0, 0);
		r = storage_remove(&v, error, sizeof(error));
		if (r != 0 && r != STORAGE_E_ABSENT)
			return storage_failed(r, error);
	}
	if (log && unlink(log) < 0 && errno != ENOENT)
		return run_fail("QubesException", "%s: %s", log, log_errno_str(errno));
	return 0;
}

/* of a pool's file system, which may be far away and not answer */
int run_usage(const struct request *request)
{
	const char *driver = request_get(request, "driver"),
		   *dir = request_get(request, "pool_dir");
	struct storage_room room;
	int r = driver && dir ? storage_pool_usage(driver, dir, &room) : -EINVAL;

	if (r == 0)
		run_progress("usage", "", room.used, room.size);
	if (r == 0 && room.meta_size > 0)
		run_progress("meta-usage", "", room.meta_used, room.meta_size);
	return r;
}

int run_stop(const struct request *request)
{
	bool clean = request_number(request, "clean") != 0;
	char error[512] = "";
	int first = 0;

	/* one that fails must not keep the others from being put away */
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct storage_volume v;
		char one[512] = "";
		int r;

		if (!request_get_volume(request, names[i], &v))
			continue;
		r = is_snapshot(&v) ? storage_remove(&v, one, sizeof(one))
				    : storage_stop(&v, clean, one, sizeof(one));
		if (r == 0 || r == STORAGE_E_ABSENT || first != 0)
			continue;
		first = r;
		memcpy(error, one, sizeof(error));
	}
	return first == 0 ? 0 : storage_failed(first, error);
}

static void imported(void *data, uint64_t done)
{
	const uint64_t *total = data;

	run_progress("import", "copying the image", done, *total);
}

int run_import(const struct request *request)
{
	uint64_t size = request_number(request, "size");
	struct storage_volume v;
	char error[512] = "";
	int r;

	if (!request_get_volume(request, "volume", &v))
		return -EINVAL;
	r = storage_import(&v, request_fd(request, "image"), size,
			   request_number(request, "whole") != 0, imported, &size, error,
			   sizeof(error));
	return r == 0 ? 0 : storage_failed(r, error);
}

int run_clone(const struct request *request)
{
	struct storage_volume v, from;
	char error[512] = "", none[512] = "";
	int r;

	if (!request_get_volume(request, "volume", &v) ||
	    !request_get_volume(request, "from", &from))
		return -EINVAL;
	/* the volume was made empty with its qube; what it becomes replaces that, and if that fails it is empty again */
	r = storage_remove(&v, error, sizeof(error));
	if (r != 0 && r != STORAGE_E_ABSENT)
		return storage_failed(r, error);
	r = storage_clone(&v, &from, error, sizeof(error));
	if (r != 0 && storage_create(&v, none, sizeof(none)) != 0)
		log_err(NULL, "after a clone that failed: %s", none);
	return r == 0 ? 0 : storage_failed(r, error);
}

int run_resize(const struct request *request)
{
	struct storage_volume v;
	char error[512] = "";
	int r;

	if (!request_get_volume(request, "volume", &v))
		return -EINVAL;
	r = storage_resize(&v, request_number(request, "size"), error, sizeof(error));
	return r == 0 ? 0 : storage_failed(r, error);
}

int run_revert(const struct request *request)
{
	struct storage_volume v;
	char error[512] = "";
	int r;

	if (!request_get_volume(request, "volume", &v))
		return -EINVAL;
	r = storage_revert(&v, request_get(request, "revision"), error, sizeof(error));
	/* of what was asked for, not of the volume's id in its pool */
	if (r == STORAGE_E_NO_REVISION)
		return run_fail("StoragePoolException",
				"volume %s has no revision %s to go back to; see qvm-volume info",
				request_get(request, "shown"), request_get(request, "revision"));
	return r == 0 ? 0 : storage_failed(r, error);
}
