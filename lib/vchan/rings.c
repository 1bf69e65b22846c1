/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vchan/rings.h"

#include "base/io.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

/** RINGS_PATH - made by the qube's vchand while dom0 offers rings */
#define RINGS_PATH "/run/bulkhead/rings"

static struct {
	int fd;
	uint8_t *head;
} region = {.fd = NO_FD};

static uint8_t *map(int fd, size_t len, off_t at)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);

	return p == MAP_FAILED ? NULL : p;
}

/* Nobody but root chooses for root. */
static const char *rings_path(void)
{
	const char *path = secure_getenv("VCHAN_RINGS");

	return path ? path : RINGS_PATH;
}

/* Once a process. */
static int region_open(void)
{
	AUTO_CLOSE int fd = NO_FD;

	if (region.head)
		return 0;
	fd = open(rings_path(), O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail_errno();
	region.head = map(fd, RING_HEAD_SIZE, 0);
	if (!region.head)
		return fail_errno();
	if (!ring_is_formatted(region.head)) {
		(void)munmap(region.head, RING_HEAD_SIZE);
		region.head = NULL;
		return -EINVAL;
	}
	region.fd = take_fd(&fd);
	return 0;
}

/* Its id and its user: a number of a carrier that is gone may be anybody's by now. */
static bool leads_to_carrier(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0 &&
	       peer.uid == geteuid() &&
	       (uint32_t)peer.pid == __atomic_load_n(ring_carrier(region.head), __ATOMIC_ACQUIRE);
}

int rings_allow(int sock, int *ret_claim_fd)
{
	char path[PATH_MAX];
	int r = region_open(), fd;

	if (r < 0)
		return r;
	if (!leads_to_carrier(sock))
		return -ENOTCONN;
	if (snprintf(path, sizeof(path), "%s" RINGS_CLAIMS, rings_path()) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail_errno();
	*ret_claim_fd = fd;
	return 0;
}

static struct flock lock_of(unsigned slot)
{
	return (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)slot, .l_len = 1};
}

/* Lock a free slot's byte. The lock ends with the last copy of the descriptor, wherever that is: here, in a message that
 * nobody has read yet, in the carrier. The hint spares those who come after the slots that are known to be in use: each
 * try costs the kernel a walk through all locks. */
static int claim(int fd, unsigned *ret_slot)
{
	uint32_t *hint = ring_hint(region.head);
	uint32_t first = __atomic_load_n(hint, __ATOMIC_RELAXED);

	for (unsigned i = 0; i < RING_SLOTS; i++) {
		unsigned slot = (first + i) % RING_SLOTS;
		struct flock lock = lock_of(slot);

		if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
			continue;
		__atomic_store_n(hint, slot + 1, __ATOMIC_RELAXED);
		*ret_slot = slot;
		return 0;
	}
	return -EBUSY;
}

int rings_claim(int *claim_fd, struct rings *ret)
{
	struct rings rings;
	int r = claim(*claim_fd, &rings.slot);

	if (r < 0)
		return r;
	rings.pair = map(region.fd, (size_t)2 * ring_size(rings.slot), ring_offset(rings.slot));
	if (!rings.pair)
		return fail_errno();
	rings.claim_fd = take_fd(claim_fd);
	ring_open(region.head, rings.pair, rings.slot, RING_UP_PUT, &rings.up);
	ring_open(region.head, rings.pair, rings.slot, RING_DOWN_TAKE, &rings.down);
	ring_empty(&rings.up);
	ring_empty(&rings.down);
	*ret = rings;
	return 0;
}

void rings_unclaim(struct rings *r, int *claim_fd)
{
	struct flock lock = lock_of(r->slot);

	lock.l_type = F_UNLCK;
	__atomic_store_n(ring_hint(region.head), r->slot, __ATOMIC_RELAXED);
	(void)fcntl(r->claim_fd, F_OFD_SETLK, &lock);
	*claim_fd = take_fd(&r->claim_fd);
	rings_close(r);
}

void rings_close(struct rings *r)
{
	if (r->pair)
		(void)munmap(r->pair, (size_t)2 * ring_size(r->slot));
	r->pair = NULL;
	close_fd(&r->claim_fd);
}
