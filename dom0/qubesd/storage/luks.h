/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The first bytes of a disk that QEMU encrypts: a LUKS header, version 1, made anew for each start.
 *
 * The key that encrypts the disk stands in the header, encrypted by a secret that is nowhere but in memory: of the job that
 * starts the qube, and of its QEMU. The secret has 256 random bits, so nothing is gained by making it slow to try: the header is
 * written, and read by QEMU, in milliseconds. Specification: LUKS On-Disk Format 1.2.3; aes-xts-plain64 with 512 bits, sha256.
 */
#include "base/attr.h"

/** LUKS_HEADER_SIZE - bytes of it; the disk's own begin at LUKS_PAYLOAD */
#define LUKS_HEADER_SIZE ((size_t)256 << 10)
#define LUKS_PAYLOAD     ((uint64_t)2 << 20)
/** LUKS_SECRET_LEN - characters of a secret, hexadecimal digits */
#define LUKS_SECRET_LEN 64

/**
 * luks_make() - a new key and a new secret
 * @to:		holds LUKS_HEADER_SIZE bytes
 * @secret:	its characters, without a NUL. Who gets them wipes them
 *
 * Return: 0; -errno: no random bytes, or no memory.
 */
MUST_CHECK int luks_make(uint8_t *to, char secret[LUKS_SECRET_LEN]);
