/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a clone of a template's volume takes, and making a snapshot of it at a start, next to a plain cp of
 * the same bytes onto the same file system in the same run. The volume holds 4 GiB of data (GIB in the environment: less).
 *
 * Bounds: a clone under 100 ms, a snapshot under 30 ms. Btrfs and XFS are
 * made in files, which root can mount; 77 if it is not root.
 */
#include "../dom0/qubesd/storage/storage.h"

#include "figures.h"

#include "base/io.h"
#include "base/str.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define N_TIMES      7
#define CLONE_MAX    100.0
#define SNAPSHOT_MAX 30.0
#define MIB          (UINT64_C(1) << 20)

static char base[] = "/var/tmp/bench-storage-XXXXXX";
static char error[512];

#define ERR error, sizeof(error)

static void die(const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", what, error[0] ? error : strerror(errno));
	(void)!io_remove_tree(AT_FDCWD, base);
	exit(1);
}

static int shell(const char *format, ...) PRINTF_LIKE(1, 2);
static int shell(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

static void make_source(const char *path, unsigned gib)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint8_t *block = malloc(MIB);

	if (fd < 0 || !block || getrandom(block, 256, 0) != 256)
		die(path);
	for (size_t at = 256; at < MIB; at++)
		block[at] = (uint8_t)(block[at - 256] + at % 251);
	for (uint64_t i = 0; i < gib * UINT64_C(1024); i++) {
		memcpy(block, &i, sizeof(i));
		if (io_write_full(fd, block, MIB) < 0)
			die(path);
	}
	free(block);
}

struct place {
	const char *driver, *type; /* NULL: where /var/tmp is */
};

/* each true if its bounds hold */
static bool measure(const struct place *p, const char *dir, const char *source, unsigned gib)
{
	const char *where = p->type ? p->type : "/var/tmp";
	double cp, clones[N_TIMES], starts[N_TIMES], snapshots[N_TIMES], began;
	const struct storage_volume root = {.driver = p->driver,
					    .pool_dir = dir,
					    .vid = "vm/t/root",
					    .size = (gib + 6) * UINT64_C(1024) * MIB,
					    .rw = true,
					    .save_on_stop = true,
					    .revisions_to_keep = 1};
	const struct storage_volume app = {.driver = p->driver,
					   .pool_dir = dir,
					   .vid = "vm/a/root",
					   .source_vid = root.vid,
					   .rw = true,
					   .snap_on_start = true};
	struct storage_volume copy = root;
	struct storage_chain c = {0};
	AUTO_CLOSE int fd = open(source, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || storage_create(&root, ERR) != 0 ||
	    storage_import(&root, fd, 0, true, NULL, NULL, ERR) != 0 ||
	    storage_create(&app, ERR) != 0)
		die("import");
	began = now_ms();
	if (shell("cp --reflink=never '%s' '%s/plain'", source, dir) != 0)
		die("cp");
	cp = now_ms() - began;
	if (shell("rm '%s/plain' && sync -f '%s'", dir, dir) != 0)
		die("sync");
	copy.vid = "vm/c/root";
	for (unsigned i = 0; i < N_TIMES; i++) {
		began = now_ms();
		if (storage_clone(&copy, &root, ERR) != 0)
			die("clone");
		clones[i] = now_ms() - began;
		if (storage_remove(&copy, ERR) != 0)
			die("remove");
	}
	for (unsigned i = 0; i < N_TIMES; i++) {
		began = now_ms();
		if (storage_start(&app, &c, ERR) != 0)
			die("snapshot");
		snapshots[i] = now_ms() - began;
		storage_chain_done(&c);
		if (storage_stop(&app, true, ERR) != 0)
			die("stop");
		began = now_ms();
		if (storage_start(&root, &c, ERR) != 0)
			die("start");
		starts[i] = now_ms() - began;
		if (c.unfinished)
			die("a start without a write was taken for an unfinished run");
		storage_chain_done(&c);
		if (storage_stop(&root, false, ERR) != 0)
			die("stop");
	}
	(void)printf(
		"%-8s %-9s cp %8.0f ms  clone %8.1f ms (1/%.0f of cp)  snapshot %6.2f ms  start of the template %6.2f ms\n",
		p->driver, where, cp, median(clones, N_TIMES), cp / median(clones, N_TIMES),
		median(snapshots, N_TIMES), median(starts, N_TIMES));
	if (storage_remove(&app, ERR) != 0 || storage_remove(&root, ERR) != 0)
		die("remove");
	return median(snapshots, N_TIMES) <= SNAPSHOT_MAX && median(clones, N_TIMES) <= CLONE_MAX;
}

int main(void)
{
	static const struct place places[] = {
		{"qcow2", NULL}, {"qcow2", "btrfs"}, {"reflink", "btrfs"}, {"reflink", "xfs"}};
	const char *asked = getenv("GIB");
	const unsigned gib = asked ? (unsigned)strtoul(asked, NULL, 10) : 4;
	char source[128], dir[128];
	bool well = true;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		(void)fprintf(stderr,
			      "cannot be measured here: only root can mount Btrfs and XFS\n");
		return 77;
	}
	if (!mkdtemp(base) || str_format(source, sizeof(source), "%s/source", base) < 0 ||
	    str_format(dir, sizeof(dir), "%s/pool", base) < 0 || mkdir(dir, 0700) < 0)
		die(base);
	make_source(source, gib);
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const struct place *p = &places[i];

		if (p->type && shell("truncate -s %uG %s.img && mkfs.%s -q %s.img >/dev/null && "
				     "mount -o loop %s.img %s",
				     3 * gib + 2, dir, p->type, dir, dir, dir) != 0) {
			(void)printf("%-8s %-9s is not here\n", p->driver, p->type);
			(void)shell("rm -f %s.img", dir);
			continue;
		}
		well &= measure(p, dir, source, gib);
		if (p->type && shell("umount %s && rm %s.img", dir, dir) != 0)
			die("umount");
	}
	(void)!io_remove_tree(AT_FDCWD, base);
	(void)printf("%u GiB: clone (bound: at most %.0f ms), snapshot (at most %.0f ms): %s\n",
		     gib, CLONE_MAX, SNAPSHOT_MAX, well ? "both hold" : "not so");
	return well ? 0 : 1;
}
