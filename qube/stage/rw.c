/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rw.h"

#include "base/ext4.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "binds.h"
#include "grow.h"
#include "run.h"
#include "tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* as e2fsck(8) */
#define E2FSCK_UNCORRECTED 4
/* how much of a volume is looked at to call it blank */
#define BLANK_LEN  65536
#define CONF_MAX   65536
#define BINDS_KEPT RW "/bind-dirs"

static int device_is_blank(const char *device, bool *ret)
{
	static uint8_t bytes[BLANK_LEN];
	AUTO_CLOSE int fd = open(device, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	int r = io_read_full(fd, bytes, sizeof(bytes));
	if (r < 0)
		return r;
	*ret = bytes[0] == 0 && memcmp(bytes, bytes + 1, sizeof(bytes) - 1) == 0;
	return 0;
}

static int device_format(void)
{
	/* tables are written when they are used, not now; a fresh volume has nothing to discard */
	static char program[] = "mke2fs", quiet[] = "-qF", t[] = "-t", ext4[] = "ext4", m[] = "-m",
		    none[] = "0", e[] = "-E",
		    lazy[] = "nodiscard,lazy_itable_init=1,lazy_journal_init=1", l[] = "-L",
		    label[] = "private", device[] = RW_DEVICE;
	int status, r;

	log_info(NULL, "first use of the private volume: making a file system");
	r = program_run(
		(char *[]){program, quiet, t, ext4, m, none, e, lazy, l, label, device, NULL}, 0,
		&status);
	if (r < 0)
		return r;
	return status == 0 ? 0 : -EIO;
}

static int device_check(void)
{
	static char program[] = "e2fsck", preen[] = "-p", device[] = RW_DEVICE;
	int status, r;

	log_warn(NULL, "the private volume records errors; checking it");
	r = program_run((char *[]){program, preen, device, NULL}, 0, &status);
	if (r < 0)
		return r;
	return status < E2FSCK_UNCORRECTED ? 0 : -EUCLEAN;
}

/* by an attempt before ours, in the same start */
static bool is_mounted(void)
{
	struct stat rw, device;

	return stat(RW, &rw) == 0 && stat(RW_DEVICE, &device) == 0 && S_ISBLK(device.st_mode) &&
	       rw.st_dev == device.st_rdev;
}

int rw_mount(void)
{
	struct ext4 fs;
	bool blank;
	int r;

	if (is_mounted())
		return 0;
	r = ext4_read(RW_DEVICE, &fs);
	if (r < 0)
		return r == -ENOENT ? -ENXIO : r;
	if (fs.state == EXT4_NONE) {
		r = device_is_blank(RW_DEVICE, &blank);
		if (r < 0)
			return r;
		r = blank ? device_format() : -EUCLEAN;
		if (r < 0)
			return r;
	} else if (fs.state == EXT4_ERRORS) {
		r = device_check();
		if (r < 0)
			return r;
	}
	if (mkdir(RW, 0755) < 0 && errno != EEXIST)
		return fail_errno();
	/* no thread that writes, behind every start, the tables that mke2fs left for later */
	if (mount(RW_DEVICE, RW, "ext4", MS_NOATIME | MS_NODEV, "noinit_itable") < 0)
		return fail_errno();
	r = grow_mounted(RW_DEVICE, RW);
	if (r < 0)
		log_warn(NULL, "the private volume's file system stays smaller than its disk (%s)",
			 log_errno_str(r));
	return 0;
}

/* @to, unless it is there, as a copy of @from; whole or not at all */
static int copy_once(const char *from, const char *to)
{
	char part[PATH_MAX];
	int r;

	if (access(to, F_OK) == 0)
		return 0;
	r = str_format(part, sizeof(part), "%s.part", to);
	if (r < 0)
		return r;
	r = io_remove_tree(AT_FDCWD, part);
	if (r < 0)
		return r;
	r = tree_copy(from, part);
	if (r < 0)
		return r;
	return rename(part, to) < 0 ? fail_errno() : 0;
}

int rw_layout(void)
{
	int r;

	if (mkdir(RW "/config", 0755) < 0 && errno != EEXIST)
		return fail_errno();
	if (mkdir(BINDS_KEPT, 0755) < 0 && errno != EEXIST)
		return fail_errno();
	r = copy_once("/home", RW "/home");
	if (r < 0)
		return r;
	return copy_once("/usr/local", RW "/usrlocal");
}

static int bind_one(const char *from, const char *to)
{
	return mount(from, to, NULL, MS_BIND, NULL) < 0 ? fail_errno() : 0;
}

/* make what @to needs to be mounted on: a folder or an empty file, as @kept is */
static int place_make(const char *kept, const char *to)
{
	struct stat st;
	char parent[PATH_MAX];
	int r;

	if (access(to, F_OK) == 0)
		return 0;
	if (stat(kept, &st) < 0)
		return fail_errno();
	r = str_copy(parent, sizeof(parent), to, (size_t)(strrchr(to, '/') - to));
	if (r < 0)
		return r;
	if (parent[0] != '\0') {
		r = io_mkdirs(parent, 0755);
		if (r < 0)
			return r;
	}
	if (S_ISDIR(st.st_mode))
		return mkdir(to, 0755) < 0 ? fail_errno() : 0;
	AUTO_CLOSE int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	return fd < 0 ? fail_errno() : 0;
}

/* one of the user's own paths; what neither root nor /rw has is none of ours */
static int user_bind(const char *path)
{
	char kept[PATH_MAX], parent[PATH_MAX], real[PATH_MAX];
	int r = str_format(kept, sizeof(kept), BINDS_KEPT "%s", path);

	if (r < 0)
		return r;
	/* a link on the way is followed once, here: what is mounted is what was copied */
	if (!realpath(path, real)) {
		r = str_format(real, sizeof(real), "%s", path);
		if (r < 0)
			return r;
	}
	if (access(kept, F_OK) < 0) {
		if (access(real, F_OK) < 0)
			return 0;
		r = str_copy(parent, sizeof(parent), kept, (size_t)(strrchr(kept, '/') - kept));
		if (r < 0)
			return r;
		r = io_mkdirs(parent, 0755);
		if (r < 0)
			return r;
		r = copy_once(real, kept);
		if (r < 0)
			return r;
	}
	r = place_make(kept, real);
	return r < 0 ? r : bind_one(kept, real);
}

static int is_conf(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return e->d_name[0] != '.' && len > 5 && strcmp(e->d_name + len - 5, ".conf") == 0;
}

static void names_free(struct dirent ***names)
{
	free(*names);
}

static void conf_folder_read(const char *folder, struct binds *binds)
{
	AUTO(names_free) struct dirent **names = NULL;
	int n = scandir(folder, &names, is_conf, alphasort);

	for (int i = 0; i < n; i++) {
		AUTO_FREE struct dirent *e = names[i];
		AUTO_FREE char *text = NULL;
		char path[PATH_MAX];
		unsigned before = binds->n_passed_over;
		size_t len;

		if (str_format(path, sizeof(path), "%s/%s", folder, e->d_name) < 0 ||
		    io_read_file(AT_FDCWD, path, CONF_MAX, &text, &len) < 0) {
			log_warn(NULL, "%s/%s does not read, going on without it", folder,
				 e->d_name);
			continue;
		}
		binds_parse(binds, text, len);
		if (binds->n_passed_over > before)
			log_warn(NULL,
				 "%s: %u lines or paths passed over; wanted is binds+=( '/path' )",
				 path, binds->n_passed_over - before);
	}
}

int rw_bind(void)
{
	static const char *const folders[] = {"/usr/lib/qubes-bind-dirs.d",
					      "/etc/qubes-bind-dirs.d",
					      RW "/config/qubes-bind-dirs.d"};
	static struct binds binds;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		conf_folder_read(folders[i], &binds);
	for (unsigned i = 0; i < binds.n; i++) {
		r = user_bind(binds.paths[i]);
		if (r < 0)
			log_warn(NULL, "%s is not kept in /rw (%s)", binds.paths[i],
				 log_errno_str(r));
	}
	r = bind_one(RW "/usrlocal", "/usr/local");
	if (r < 0)
		log_warn(NULL, "/usr/local is not kept in /rw (%s)", log_errno_str(r));
	return bind_one(RW "/home", "/home");
}
