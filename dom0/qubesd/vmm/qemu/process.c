/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that QEMU is, which is a child of its monitor's and not ours. */
#include "qemu/qemu.h"

#include "base/io.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

/* field @n of proc(5)'s stat, counted from 1; @at is behind the second, which may hold blanks */
static uint64_t stat_field(const char *at, unsigned n)
{
	for (unsigned i = 2; i < n && at; i++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	return at ? strtoull(at, NULL, 10) : 0;
}

/* @ret_at points into @ret, behind the second field */
static int read_stat(pid_t pid, char **ret, const char **ret_at)
{
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = io_read_file(AT_FDCWD, path, 4096, ret, NULL);
	if (r < 0)
		return r;
	*ret_at = strrchr(*ret, ')');
	return *ret_at ? 0 : -EIO;
}

/* what is its own: not the memory of a zygote that forks share, which each of them would count */
static int memory_kib(pid_t pid, uint64_t *ret)
{
	AUTO_FREE char *text = NULL;
	uint64_t resident, shared;
	char path[64], *at;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	r = io_read_file(AT_FDCWD, path, 256, &text, NULL);
	if (r < 0)
		return r;
	/* size resident shared ... */
	(void)strtoull(text, &at, 10);
	resident = strtoull(at, &at, 10);
	shared = strtoull(at, &at, 10);
	if (shared > resident)
		return -EIO;
	*ret = (resident - shared) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
	return 0;
}

int qemu_get_usage(pid_t pid, struct vmm_usage *ret)
{
	AUTO_FREE char *stat = NULL;
	uint64_t kib = 0;
	const char *at;
	int r = read_stat(pid, &stat, &at);

	r = r < 0 ? r : memory_kib(pid, &kib);
	if (r < 0)
		return r;
	ret->cputime_ms =
		(stat_field(at, 14) + stat_field(at, 15)) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	ret->memory_kib = kib;
	return 0;
}

int qemu_open(pid_t pid, pid_t parent, int *ret_pidfd)
{
	AUTO_CLOSE int pidfd = pidfd_open(pid, 0);
	AUTO_FREE char *stat = NULL;
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	const char *at;
	int r = pidfd < 0 ? fail_errno() : read_stat(pid, &stat, &at);

	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* as long as it has not ended nobody else has its id: what was read is its own */
	if (poll(&p, 1, 0) != 0 || stat_field(at, 4) != (uint64_t)parent)
		return -ESRCH;
	*ret_pidfd = take_fd(&pidfd);
	return 0;
}
