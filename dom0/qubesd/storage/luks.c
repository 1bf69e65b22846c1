/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "luks.h"

#include "base/bytes.h"

#include <nettle/pbkdf2.h>
#include <nettle/sha2.h>
#include <nettle/xts.h>
#include <string.h>
#include <sys/random.h>

#define SECTOR        512
#define KEY_LEN       64 /* two AES keys of 256 bits */
#define DIGEST_LEN    20
#define SALT_LEN      32
#define NAME_LEN      32
#define N_SLOTS       8
#define STRIPES       4000 /* the specification's; QEMU accepts no other number */
#define ITERATIONS    1000 /* the least that the specification recommends */
#define MATERIAL_AT   4096
#define MATERIAL_LEN  ((size_t)KEY_LEN * STRIPES)
#define SLOT_SPACE    258048 /* the material, to a whole number of pages */
#define SLOT_ENABLED  0x00ac71f3
#define SLOT_DISABLED 0x0000dead
#define DIGEST_BLOCK  SHA256_DIGEST_SIZE

_Static_assert(MATERIAL_AT + MATERIAL_LEN <= LUKS_HEADER_SIZE, "the first slot is in the header");
_Static_assert(MATERIAL_AT + (uint64_t)N_SLOTS * SLOT_SPACE <= LUKS_PAYLOAD,
	       "all slots are before the disk");
_Static_assert(KEY_LEN % DIGEST_BLOCK == 0, "a key is whole digests");

static const uint8_t magic[6] = {'L', 'U', 'K', 'S', 0xba, 0xbe};

static int fill_random(void *to, size_t len)
{
	uint8_t *at = to;

	while (len > 0) {
		const ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* --- the key, spread over stripes: without any one of them nothing of it is known --- */

static void diffuse(uint8_t block[KEY_LEN])
{
	for (uint32_t i = 0; i < KEY_LEN / DIGEST_BLOCK; i++) {
		uint8_t number[4];
		struct wr w = wr_of(number, sizeof(number));
		struct sha256_ctx ctx;

		wr_be32(&w, i);
		sha256_init(&ctx);
		sha256_update(&ctx, sizeof(number), number);
		sha256_update(&ctx, DIGEST_BLOCK, block + i * DIGEST_BLOCK);
		sha256_digest(&ctx, DIGEST_BLOCK, block + i * DIGEST_BLOCK);
	}
}

static void mix(uint8_t *to, const uint8_t *with)
{
	for (unsigned i = 0; i < KEY_LEN; i++)
		to[i] ^= with[i];
}

/* @to holds MATERIAL_LEN bytes */
static int split(const uint8_t key[KEY_LEN], uint8_t *to)
{
	uint8_t *const last = to + MATERIAL_LEN - KEY_LEN;
	uint8_t sum[KEY_LEN] = {0};
	int r = fill_random(to, MATERIAL_LEN - KEY_LEN);

	if (r < 0)
		return r;
	for (const uint8_t *at = to; at < last; at += KEY_LEN) {
		mix(sum, at);
		diffuse(sum);
	}
	memcpy(last, sum, KEY_LEN);
	mix(last, key);
	explicit_bzero(sum, sizeof(sum));
	return 0;
}

/* --- the header --- */

/* what is encrypted with what, and how what is in there is found */
struct keys {
	uint8_t key[KEY_LEN], slot_key[KEY_LEN];
	uint8_t digest[DIGEST_LEN], digest_salt[SALT_LEN], slot_salt[SALT_LEN];
	struct xts_aes256_key xts;
};

static void put_name(struct wr *w, const char *name)
{
	const size_t len = strlen(name);

	wr_bytes(w, name, len);
	wr_zeros(w, NAME_LEN - len);
}

static void put_slot(struct wr *w, unsigned n, const struct keys *k)
{
	wr_be32(w, n == 0 ? SLOT_ENABLED : SLOT_DISABLED);
	wr_be32(w, n == 0 ? ITERATIONS : 0);
	if (n == 0)
		wr_bytes(w, k->slot_salt, SALT_LEN);
	else
		wr_zeros(w, SALT_LEN);
	wr_be32(w, (MATERIAL_AT + n * SLOT_SPACE) / SECTOR);
	wr_be32(w, STRIPES);
}

static void put_header(uint8_t *to, const struct keys *k)
{
	struct wr w = wr_of(to, MATERIAL_AT);
	static const char no_uuid[] = "00000000-0000-0000-0000-000000000000";

	wr_bytes(&w, magic, sizeof(magic));
	wr_u8(&w, 0); /* be16 version */
	wr_u8(&w, 1);
	put_name(&w, "aes");
	put_name(&w, "xts-plain64");
	put_name(&w, "sha256");
	wr_be32(&w, (uint32_t)(LUKS_PAYLOAD / SECTOR));
	wr_be32(&w, KEY_LEN);
	wr_bytes(&w, k->digest, DIGEST_LEN);
	wr_bytes(&w, k->digest_salt, SALT_LEN);
	wr_be32(&w, ITERATIONS);
	wr_bytes(&w, no_uuid, sizeof(no_uuid)); /* nobody looks for this disk by its name */
	wr_zeros(&w, 40 - sizeof(no_uuid));
	for (unsigned i = 0; i < N_SLOTS; i++)
		put_slot(&w, i, k);
}

static void encrypt(uint8_t *material, struct keys *k)
{
	xts_aes256_set_encrypt_key(&k->xts, k->slot_key);
	for (uint64_t i = 0; i < MATERIAL_LEN / SECTOR; i++) {
		uint8_t tweak[XTS_BLOCK_SIZE] = {0};
		struct wr w = wr_of(tweak, sizeof(tweak));

		wr_le64(&w, i);
		xts_aes256_encrypt_message(&k->xts, tweak, SECTOR, material + i * SECTOR,
					   material + i * SECTOR);
	}
}

static void put_hex(char *to, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*to++ = digits[bytes[i] >> 4];
		*to++ = digits[bytes[i] & 15];
	}
}

static int make(uint8_t *to, char *secret, struct keys *k)
{
	uint8_t bits[LUKS_SECRET_LEN / 2];
	int r = fill_random(bits, sizeof(bits));

	r = r < 0 ? r : fill_random(k->key, sizeof(k->key));
	r = r < 0 ? r : fill_random(k->digest_salt, sizeof(k->digest_salt));
	r = r < 0 ? r : fill_random(k->slot_salt, sizeof(k->slot_salt));
	r = r < 0 ? r : split(k->key, to + MATERIAL_AT);
	if (r < 0)
		return r;
	put_hex(secret, bits, sizeof(bits));
	explicit_bzero(bits, sizeof(bits));
	pbkdf2_hmac_sha256(KEY_LEN, k->key, ITERATIONS, SALT_LEN, k->digest_salt, DIGEST_LEN,
			   k->digest);
	pbkdf2_hmac_sha256(LUKS_SECRET_LEN, (const uint8_t *)secret, ITERATIONS, SALT_LEN,
			   k->slot_salt, KEY_LEN, k->slot_key);
	encrypt(to + MATERIAL_AT, k);
	put_header(to, k);
	return 0;
}

int luks_make(uint8_t *to, char secret[LUKS_SECRET_LEN])
{
	struct keys k;
	int r;

	memset(to, 0, LUKS_HEADER_SIZE);
	r = make(to, secret, &k);
	if (r < 0) /* it may hold the key as it is */
		explicit_bzero(to, LUKS_HEADER_SIZE);
	explicit_bzero(&k, sizeof(k));
	return r;
}
