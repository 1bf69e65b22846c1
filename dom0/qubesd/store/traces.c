/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/traces.h"

#include "base/str.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* entries of a folder; one that is not there has none */
static unsigned count(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

/* POOL/vm/UUID, of all pools */
static unsigned count_volumes(const char *pools)
{
	DIR *d = opendir(pools);
	char path[PATH_MAX];
	unsigned n = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.' &&
		    str_format(path, sizeof(path), "%s/%s/vm", pools, e->d_name) == 0)
			n += count(path);
	(void)closedir(d);
	return n;
}

/* guest-NAME.log of qubes; a disposable's goes with it, unless it did not start */
static unsigned count_consoles(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));)
		n += str_starts(e->d_name, "guest-");
	(void)closedir(d);
	return n;
}

bool traces_find(const char *state, char *ret, size_t size)
{
	char path[PATH_MAX];
	struct stat st;
	unsigned n;

	if (str_format(path, sizeof(path), "%s/store.db-wal", state) == 0 && stat(path, &st) == 0 &&
	    st.st_size > 0) {
		(void)snprintf(ret, size, "%s holds changes of a store", path);
		return true;
	}
	if (str_format(path, sizeof(path), "%s/pools", state) < 0)
		return false;
	n = count_volumes(path);
	if (n > 0) {
		(void)snprintf(ret, size, "there are volumes of %u qube%s below %s", n,
			       n == 1 ? "" : "s", path);
		return true;
	}
	/* where pools elsewhere were stood in the store; but what ran had a console */
	if (str_format(path, sizeof(path), "%s/log", state) < 0)
		return false;
	n = count_consoles(path);
	if (n > 0)
		(void)snprintf(ret, size, "%s has logs of %u qube%s that ran", path, n,
			       n == 1 ? "" : "s");
	return n > 0;
}
