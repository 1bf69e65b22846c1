/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Landlock by its system calls: the C library has no functions for it, and the build machine's
 * headers may be older than the kernel it runs on. Numbers below are from the kernel's uapi, each
 * with the version (ABI) that brought it.
 */
#include "sandbox/walls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

/* clang-format off */
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE  (UINT64_C(1) << 2)
#define FS_READ_DIR   (UINT64_C(1) << 3)
#define FS_MAKE_DIR   (UINT64_C(1) << 7)
#define FS_MAKE_REG   (UINT64_C(1) << 8)
#define FS_MAKE_SYM   (UINT64_C(1) << 12)
#define VERSION_FLAG 1u
#define RULE_PATH_BENEATH 1

/* what each version can refuse: we ask for all of it */
static const struct {
	uint64_t fs, net, scoped;
} abi[] = {
	{(UINT64_C(1) << 13) - 1, 0, 0}, /* 1: files and folders */
	{(UINT64_C(1) << 14) - 1, 0, 0}, /* 2: moving between folders */
	{(UINT64_C(1) << 15) - 1, 0, 0}, /* 3: truncating */
	{(UINT64_C(1) << 15) - 1, 3, 0}, /* 4: TCP bind and connect */
	{(UINT64_C(1) << 16) - 1, 3, 0}, /* 5: ioctl on devices */
	{(UINT64_C(1) << 16) - 1, 3, 3}, /* 6: abstract sockets and signals to the outside */
};
/* clang-format on */

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_beneath_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

static int allow_below(int ruleset, int fd, uint64_t allowed)
{
	const struct path_beneath_attr rule = {.allowed = allowed, .parent_fd = fd};

	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0)
		return fail_errno();
	return 0;
}

static int allow_reading(int ruleset, const char *path)
{
	AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno();
	return allow_below(ruleset, fd, FS_READ_FILE | (S_ISDIR(st.st_mode) ? FS_READ_DIR : 0));
}

int walls_landlock(const char *const *read_paths, int tree_fd)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);
	struct ruleset_attr attr;
	AUTO_CLOSE int ruleset = NO_FD;

	if (version < 1) /* not built in, not switched on, or filtered by a container */
		return -ENOSYS;
	if ((size_t)version > ARRAY_LEN(abi))
		version = ARRAY_LEN(abi);
	attr = (struct ruleset_attr){abi[version - 1].fs, abi[version - 1].net,
				     abi[version - 1].scoped};
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return fail_errno();
	for (const char *const *path = read_paths; path && *path; path++) {
		int r = allow_reading(ruleset, *path);

		if (r < 0)
			return r;
	}
	if (tree_fd != NO_FD) {
		int r = allow_below(ruleset, tree_fd,
				    FS_WRITE_FILE | FS_READ_DIR | FS_MAKE_DIR | FS_MAKE_REG |
					    FS_MAKE_SYM);

		if (r < 0)
			return r;
	}
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? fail_errno() : 0;
}
