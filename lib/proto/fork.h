/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What a fork is told before any program of it runs: the one message on its stage port
 * (doc/protocol/fork.md). From qube-monitor to stage-zygote.
 */
#include "base/attr.h"

/** FORK_LEN - bytes of the message */
#define FORK_LEN      128
#define FORK_SEED_LEN 64
/** FORK_PORT - name of the virtio port */
#define FORK_PORT "org.bulkhead.stage"
/** FORK_WORD - of the kernel's command line, by which a guest knows that it is to become a zygote */
#define FORK_WORD "bulkhead.zygote"
/** FORK_PLACEHOLDER - bytes of a zygote's private and volatile disks, in whose place a fork finds its own;
 * no volume is as small */
#define FORK_PLACEHOLDER (UINT64_C(1) << 20)

/**
 * struct fork_identity
 * @time_ns:	since 1970
 * @seed:	fresh from dom0's pool, for nobody else
 */
struct fork_identity {
	uint64_t time_ns;
	uint8_t seed[FORK_SEED_LEN];
};

/** enum fork_outcome */
enum fork_outcome {
	FORK_E_FORMAT = 1,
};

/** fork_decode() - Return: 0; FORK_E_FORMAT */
MUST_CHECK int fork_decode(const void *bytes, size_t len, struct fork_identity *ret);
/** fork_encode() - write FORK_LEN bytes at @to */
void fork_encode(const struct fork_identity *id, uint8_t *to);
