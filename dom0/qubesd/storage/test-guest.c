/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest without a machine: one raw file is written as QEMU would, a chain by qemu-io. */
#include "test-guest.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

int shell(const char *format, ...)
{
	char command[8192];
	va_list ap;

	va_start(ap, format);
	assert_true(vsnprintf(command, sizeof(command), format, ap) < (int)sizeof(command));
	va_end(ap);
	return system(command);
}

void guest_json(const struct storage_chain *c, char *to, size_t size)
{
	size_t n = (size_t)snprintf(
		to, size, "json:%s",
		c->encrypted ? "{\"driver\":\"luks\",\"key-secret\":\"key\",\"file\":" : "");

	for (unsigned i = 0; i < c->n; i++)
		n += (size_t)snprintf(to + n, size - n,
				      "%s{\"driver\":\"%s\",\"file\":{\"driver\":\"file\","
				      "\"filename\":\"/proc/%d/fd/%d\"}",
				      i > 0 ? ",\"backing\":" : "",
				      c->formats[i] == STORAGE_RAW ? "raw" : "qcow2", getpid(),
				      c->fds[i]);
	if (c->formats[c->n - 1] == STORAGE_QCOW2)
		n += (size_t)snprintf(to + n, size - n, ",\"backing\":null");
	for (unsigned i = 0; i < c->n; i++)
		n += (size_t)snprintf(to + n, size - n, "}");
	n += (size_t)snprintf(to + n, size - n, "%s", c->encrypted ? "}" : "");
	assert_true(n < size);
}

/* what qemu-io is told beside the chain */
static const char *guest_options(const struct storage_chain *c, char *to, size_t size)
{
	to[0] = '\0';
	if (c->encrypted)
		(void)snprintf(to, size, "--object secret,id=key,file=/proc/%d/fd/%d", getpid(),
			       c->key_fd);
	return to;
}

static bool is_raw(const struct storage_chain *c)
{
	return c->n == 1 && !c->encrypted && c->formats[0] == STORAGE_RAW;
}

void guest_writes(const struct storage_chain *c, unsigned at_mib, unsigned mib, unsigned pattern)
{
	char json[2048], options[128];

	if (is_raw(c)) {
		AUTO_FREE uint8_t *block = malloc(MIB);

		assert_non_null(block);
		memset(block, (int)pattern, MIB);
		for (unsigned i = 0; i < mib; i++)
			assert_int_equal(pwrite(c->fds[0], block, MIB, (off_t)((at_mib + i) * MIB)),
					 MIB);
		assert_int_equal(fdatasync(c->fds[0]), 0);
		return;
	}
	guest_json(c, json, sizeof(json));
	assert_int_equal(shell("qemu-io %s -c 'write -P %u %uM %uM' -c flush '%s' >/dev/null",
			       guest_options(c, options, sizeof(options)), pattern, at_mib, mib,
			       json),
			 0);
}

bool guest_reads(const struct storage_chain *c, unsigned at_mib, unsigned mib, unsigned pattern)
{
	char json[2048], options[128];

	if (is_raw(c)) {
		AUTO_FREE uint8_t *block = malloc(MIB);
		bool same = true;

		assert_non_null(block);
		for (unsigned i = 0; same && i < mib; i++)
			same = pread(c->fds[0], block, MIB, (off_t)((at_mib + i) * MIB)) ==
				       (ssize_t)MIB &&
			       block[0] == pattern && memcmp(block, block + 1, MIB - 1) == 0;
		return same;
	}
	guest_json(c, json, sizeof(json));
	return shell("out=$(qemu-io %s -r -U -c 'read -P %u %uM %uM' '%s' 2>&1); "
		     "case $out in *failed*) false;; \"read %llu/\"*) true;; *) false;; esac",
		     guest_options(c, options, sizeof(options)), pattern, at_mib, mib, json,
		     mib * (unsigned long long)MIB) == 0;
}

void guest_discards(const struct storage_chain *c, unsigned at_mib, unsigned mib)
{
	char json[2048];
	struct stat st;

	assert_int_equal(fstat(c->fds[0], &st), 0);
	if (is_raw(c) && S_ISBLK(st.st_mode)) {
		uint64_t range[2] = {at_mib * MIB, mib * MIB};

		assert_int_equal(ioctl(c->fds[0], BLKDISCARD, range), 0);
		return;
	}
	if (is_raw(c)) {
		assert_int_equal(fallocate(c->fds[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					   (off_t)(at_mib * MIB), (off_t)(mib * MIB)),
				 0);
		return;
	}
	guest_json(c, json, sizeof(json));
	assert_int_equal(shell("qemu-io -d unmap -c 'discard %uM %uM' -c flush '%s' >/dev/null",
			       at_mib, mib, json),
			 0);
}

void test_namespace(void)
{
	if (geteuid() != 0)
		return;
	if (unshare(CLONE_NEWNS) < 0) {
		/* root of a container: it cannot mount either, and test_mount() says so */
		if (errno != EPERM)
			abort();
		return;
	}
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		abort();
}

bool test_mount(const char *path, const char *type)
{
	if (geteuid() != 0) {
		(void)printf("skipped: only root can mount a %s\n", type);
		return false;
	}
	if (shell("{ grep -qw %s /proc/filesystems || modprobe -q %s; } 2>/dev/null && "
		  "command -v mkfs.%s >/dev/null",
		  type, type, type) != 0) {
		(void)printf("skipped: no %s here (package %s)\n", type,
			     strcmp(type, "xfs") == 0 ? "xfsprogs" : "btrfs-progs");
		return false;
	}
	if (shell("truncate -s 1G %s.img && mkfs.%s -q %s.img >/dev/null && mount -o loop %s.img %s",
		  path, type, path, path, path) != 0) {
		(void)printf("skipped: a %s in a file cannot be mounted here\n", type);
		(void)shell("rm -f %s.img", path);
		return false;
	}
	return true;
}

int test_unmount(const char *path)
{
	char image[256];

	/* one that could not be mounted has no file */
	(void)snprintf(image, sizeof(image), "%s.img", path);
	if (access(image, F_OK) < 0)
		return 0;
	if (umount(path) < 0)
		return -1;
	(void)unlink(image);
	return 0;
}
