/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vchan/rings.h"

#include "base/io.h"

#include <fcntl.h>
#include <signal.h>
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

/* Once a process. */
static int region_open(void)
{
	const char *path = getenv("VCHAN_RINGS");
	AUTO_CLOSE int fd = NO_FD;

	if (region.head)
		return 0;
	fd = open(path ? path : RINGS_PATH, O_RDWR | O_CLOEXEC);
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

static bool leads_to_carrier(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0 &&
	       (uint32_t)peer.pid == __atomic_load_n(ring_carrier(region.head), __ATOMIC_ACQUIRE);
}

/* A program that died before its carrier heard of the claim left it behind. */
static bool is_left(uint32_t claim)
{
	return (claim & (RING_CLAIM_PROGRAM | RING_CLAIM_STREAM)) == RING_CLAIM_PROGRAM &&
	       kill((pid_t)(claim >> 2), 0) < 0 && errno == ESRCH;
}

static bool claim(unsigned slot)
{
	uint32_t *word = &ring_claims(region.head)[slot];
	uint32_t was = __atomic_load_n(word, __ATOMIC_ACQUIRE);

	if (was & (RING_CLAIM_PROGRAM | RING_CLAIM_STREAM) && !is_left(was))
		return false;
	return __atomic_compare_exchange_n(word, &was, (uint32_t)getpid() << 2 | RING_CLAIM_PROGRAM,
					   false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

int rings_claim(int sock, struct rings *ret)
{
	int r = region_open();
	unsigned slot = 0;

	if (r < 0)
		return r;
	if (!leads_to_carrier(sock))
		return -ENOTCONN;
	while (slot < RING_SLOTS && !claim(slot))
		slot++;
	if (slot == RING_SLOTS)
		return -EBUSY;
	*ret = (struct rings){
		.slot = slot,
		.pair = map(region.fd, (size_t)2 * ring_size(slot), ring_offset(slot))};
	if (!ret->pair) {
		r = fail_errno();
		rings_unclaim(ret);
		return r;
	}
	ring_open(region.head, ret->pair, slot, RING_UP_PUT, &ret->up);
	ring_open(region.head, ret->pair, slot, RING_DOWN_TAKE, &ret->down);
	ring_empty(&ret->up);
	ring_empty(&ret->down);
	return 0;
}

void rings_close(struct rings *r)
{
	if (r->pair)
		(void)munmap(r->pair, (size_t)2 * ring_size(r->slot));
	r->pair = NULL;
}

void rings_unclaim(struct rings *r)
{
	rings_close(r);
	__atomic_store_n(&ring_claims(region.head)[r->slot], 0, __ATOMIC_RELEASE);
}
