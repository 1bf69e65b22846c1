/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "identity.h"

#include "base/io.h"
#include "base/str.h"

#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>

#define MACHINE_ID     "/etc/machine-id"
#define MACHINE_ID_RUN "/run/machine-id"
#define MACHINE_ID_LEN 32
#define ZONES          "/usr/share/zoneinfo/"
#define LOCALTIME      "/etc/localtime"
/* no more of a seed than this is used, or credited */
#define SEED_MAX 512

int identity_hostname(const char *name)
{
	return sethostname(name, strlen(name)) < 0 ? fail_errno() : 0;
}

int identity_seed(const void *bytes, size_t len)
{
	/* struct rand_pool_info ends in an array without a length: two ints, then the bytes */
	struct {
		int entropy_bits, len;
		uint8_t bytes[SEED_MAX];
	} pool = {0};
	AUTO_CLOSE int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	if (len > SEED_MAX)
		len = SEED_MAX;
	(void)memcpy(pool.bytes, bytes, len);
	pool.len = (int)len;
	/* the text is base64: six bits in eight */
	pool.entropy_bits = (int)len * 6;
	if (ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		return fail_errno();
	return 0;
}

static bool is_machine_id(const char *text, size_t len)
{
	return len >= MACHINE_ID_LEN && strspn(text, "0123456789abcdef") == MACHINE_ID_LEN;
}

static int machine_id_new(char *to)
{
	uint8_t bytes[MACHINE_ID_LEN / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return fail_errno();
	/* a random UUID, as machine-id(5) wants it */
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)sprintf(to + 2 * i, "%02x", bytes[i]);
	return 0;
}

int identity_machine_id(const char *kept)
{
	AUTO_FREE char *old = NULL;
	char id[MACHINE_ID_LEN + 2];
	size_t len;
	int r = io_read_file(AT_FDCWD, kept, 256, &old, &len);

	if (r == 0 && is_machine_id(old, len)) {
		(void)memcpy(id, old, MACHINE_ID_LEN);
	} else {
		r = machine_id_new(id);
		if (r < 0)
			return r;
	}
	id[MACHINE_ID_LEN] = '\n';
	id[MACHINE_ID_LEN + 1] = '\0';
	if (!old) {
		r = io_write_file(AT_FDCWD, kept, id, MACHINE_ID_LEN + 1, 0444);
		if (r < 0)
			return r;
	}
	AUTO_CLOSE int fd =
		open(MACHINE_ID_RUN, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return fail_errno();
	r = io_write_full(fd, id, MACHINE_ID_LEN + 1);
	if (r < 0)
		return r;
	if (access(MACHINE_ID, F_OK) == 0 &&
	    mount(MACHINE_ID_RUN, MACHINE_ID, NULL, MS_BIND, NULL) < 0)
		return fail_errno();
	return 0;
}

int identity_timezone(const char *zone)
{
	char target[256], now[256];
	ssize_t n;
	int r;

	if (zone[0] == '/' || strstr(zone, "..") || !bytes_are_alnum_or(zone, strlen(zone), "/_+-"))
		return -EINVAL;
	r = str_format(target, sizeof(target), ZONES "%s", zone);
	if (r < 0)
		return r;
	if (access(target, R_OK) < 0)
		return fail_errno();
	n = readlink(LOCALTIME, now, sizeof(now));
	if (n == (ssize_t)strlen(target) && memcmp(now, target, (size_t)n) == 0)
		return 0;
	(void)unlink(LOCALTIME ".new");
	if (symlink(target, LOCALTIME ".new") < 0 || rename(LOCALTIME ".new", LOCALTIME) < 0)
		return fail_errno();
	return 0;
}
