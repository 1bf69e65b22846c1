/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two ways to one result: eight tables of 256 entries, eight bytes a step, about 2 GB/s; and, where
 * the processor multiplies polynomials, four lanes of 16 bytes that are folded into one another,
 * which keeps up with memory.
 *
 * Folding: what is 16 * n bytes before the end of a message counts x^(128 * n) times as much, so a
 * block can be multiplied by that power (modulo the polynomial, it has 32 bits) and added to the
 * block n places on. The last 16 bytes that remain have the message's remainder, and the tables
 * take it from there.
 */
#include "base/crc32.h"

#include <immintrin.h>
#include <string.h>

#define POLYNOMIAL 0xEDB88320u
/** LANES_LEN - bytes that the four lanes take at a time */
#define LANES_LEN 64

/* table[k][b]: what byte b, followed by k zeros, leaves */
static uint32_t table[8][256];

__attribute__((constructor)) static void table_fill(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t rest = b;

		for (unsigned bit = 0; bit < 8; bit++)
			rest = rest >> 1 ^ (rest & 1 ? POLYNOMIAL : 0);
		table[0][b] = rest;
	}
	for (unsigned b = 0; b < 256; b++)
		for (unsigned k = 1; k < 8; k++)
			table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xff];
}

/* @rest: the remainder itself, without the inversions at both ends */
static uint32_t plain_add(uint32_t rest, const uint8_t *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		v ^= rest;
		rest = 0;
		for (unsigned k = 0; k < 8; k++)
			rest ^= table[7 - k][v >> 8 * k & 0xff];
	}
	for (; len > 0; p++, len--)
		rest = rest >> 8 ^ table[0][(rest ^ *p) & 0xff];
	return rest;
}

__attribute__((target("pclmul"))) static __m128i fold(__m128i block, __m128i powers, __m128i next)
{
	const __m128i low = _mm_clmulepi64_si128(block, powers, 0x00);
	const __m128i high = _mm_clmulepi64_si128(block, powers, 0x11);

	return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* @len: at least LANES_LEN */
__attribute__((target("pclmul"))) static uint32_t folded_add(uint32_t rest, const uint8_t *p,
							     size_t len)
{
	/* x^(n + 32) and x^(n - 32) modulo the polynomial, bits reversed; n = 512 and 128 */
	const __m128i by_512 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
	const __m128i by_128 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
	__m128i lane[4];
	uint8_t last[16];

	for (unsigned i = 0; i < 4; i++)
		lane[i] = _mm_loadu_si128((const __m128i_u *)(p + (size_t)16 * i));
	lane[0] = _mm_xor_si128(lane[0], _mm_cvtsi32_si128((int)rest));
	for (p += LANES_LEN, len -= LANES_LEN; len >= LANES_LEN; p += LANES_LEN, len -= LANES_LEN)
		for (unsigned i = 0; i < 4; i++)
			lane[i] = fold(lane[i], by_512,
				       _mm_loadu_si128((const __m128i_u *)(p + (size_t)16 * i)));
	for (unsigned i = 1; i < 4; i++)
		lane[i] = fold(lane[i - 1], by_128, lane[i]);
	for (; len >= 16; p += 16, len -= 16)
		lane[3] = fold(lane[3], by_128, _mm_loadu_si128((const __m128i_u *)p));
	_mm_storeu_si128((__m128i_u *)last, lane[3]);
	return plain_add(plain_add(0, last, sizeof(last)), p, len);
}

uint32_t crc32_add_plain(uint32_t crc, const void *bytes, size_t len)
{
	return ~plain_add(~crc, bytes, len);
}

uint32_t crc32_add(uint32_t crc, const void *bytes, size_t len)
{
	if (len < LANES_LEN || !__builtin_cpu_supports("pclmul"))
		return crc32_add_plain(crc, bytes, len);
	return ~folded_add(~crc, bytes, len);
}
