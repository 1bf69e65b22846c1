/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Words that calls carry: what decodes is within its bounds, and written again it decodes alike. */
#include "fuzz.h"

#include "proto/argument.h"

#include <string.h>

static void create(const uint8_t *data, size_t size, bool may_pool)
{
	static char text[2048];
	struct argument_create a, back;
	size_t len;
	int r = argument_create_decode(data, size, may_pool, &a);

	FUZZ_CHECK(r >= 0 && r <= ARGUMENT_E_MANY && strlen(a.bad) <= ARGUMENT_BAD_MAX);
	if (r > 0)
		return;
	FUZZ_CHECK(str_is_qube_name(a.name, strlen(a.name)));
	FUZZ_CHECK(a.n_pools <= (may_pool ? ARGUMENT_POOLS_MAX : 0));
	len = (size_t)snprintf(text, sizeof(text), "name=%s label=%s", a.name, a.label);
	for (unsigned i = 0; i < a.n_pools; i++) {
		FUZZ_CHECK(argument_is_pool(a.pools[i].pool, strlen(a.pools[i].pool)));
		len += (size_t)snprintf(text + len, sizeof(text) - len, " pool%s%s=%s",
					a.pools[i].volume[0] ? ":" : "", a.pools[i].volume,
					a.pools[i].pool);
	}
	FUZZ_CHECK(argument_create_decode(text, len, may_pool, &back) == 0);
	FUZZ_CHECK(memcmp(&a, &back, sizeof(a)) == 0);
}

static void pool(const uint8_t *data, size_t size)
{
	static char text[ARGUMENT_DIR_MAX + 256];
	static struct argument_pool a, back;
	int len, r = argument_pool_decode(data, size, &a);

	FUZZ_CHECK(r >= 0 && r <= ARGUMENT_E_MANY && strlen(a.bad) <= ARGUMENT_BAD_MAX);
	if (r > 0)
		return;
	FUZZ_CHECK(a.dir[0] == '/' && argument_is_printable(a.dir, strlen(a.dir)));
	FUZZ_CHECK(a.revisions_to_keep >= -1 && a.revisions_to_keep <= ARGUMENT_REVISIONS_MAX);
	len = snprintf(text, sizeof(text),
		       "name=%s\ndir_path=%s\nrevisions_to_keep=%d\nephemeral_volatile=%d\n",
		       a.name, a.dir, a.revisions_to_keep, a.ephemeral);
	FUZZ_CHECK(argument_pool_decode(text, (size_t)len, &back) == 0);
	FUZZ_CHECK(strcmp(a.name, back.name) == 0 && strcmp(a.dir, back.dir) == 0);
	FUZZ_CHECK(a.revisions_to_keep == back.revisions_to_keep && a.ephemeral == back.ephemeral);
}

static void fields(const uint8_t *data, size_t size)
{
	static struct argument_field f[ARGUMENT_FIELDS_MAX];
	size_t at = 0;
	unsigned n = 0;
	int r = argument_fields_decode(data, size, ARGUMENT_FIELDS_MAX, f, &n);

	FUZZ_CHECK(r >= 0 && r <= ARGUMENT_E_MANY);
	if (r > 0)
		return;
	FUZZ_CHECK(n <= ARGUMENT_FIELDS_MAX);
	for (unsigned i = 0; i < n; i++) {
		size_t len = strlen(f[i].text);

		FUZZ_CHECK(strlen(argument_field_name(&f[i])) <= ARGUMENT_NAME_MAX);
		FUZZ_CHECK(len <= size - at && memcmp(data + at, f[i].text, len) == 0);
		at += len;
		FUZZ_CHECK(at == size || data[at] == '\n');
		at += at < size;
	}
	FUZZ_CHECK(at == size);
}

static void small(const uint8_t *data, size_t size)
{
	struct argument_shutdown how;
	char text[32];
	uint64_t number;
	uint32_t color;
	size_t at;
	bool truth;
	int n;

	if (argument_shutdown_decode(data, size, true, &how) == 0) {
		FUZZ_CHECK(!(how.wait && how.later) && size <= strlen("force+after+later"));
		FUZZ_CHECK(argument_shutdown_decode(data, size, false, &how) > 0 ||
			   (!how.after && !how.later));
	}
	if (argument_size_decode(data, size, &number) == 0) {
		n = snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
		FUZZ_CHECK((size_t)n == size && memcmp(text, data, size) == 0);
	}
	if (argument_color_decode(data, size, &color) == 0)
		FUZZ_CHECK(size == 8 && color <= 0xffffff);
	if (argument_image_decode(data, size, &at) == 0)
		FUZZ_CHECK(at < size && data[at - 1] == '\n' &&
			   argument_size_decode(data, at - 1, &number) == 0 && number == size - at);
	if (argument_revisions_decode(data, size, &n) == 0)
		FUZZ_CHECK(n >= -1 && n <= ARGUMENT_REVISIONS_MAX);
	if (argument_truth_decode(data, size, &truth) == 0)
		FUZZ_CHECK(size > 0 && size <= strlen("false"));
	if (argument_is_label((const char *)data, size) ||
	    argument_is_pool((const char *)data, size))
		FUZZ_CHECK(argument_is_name((const char *)data, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	create(data, size, false);
	create(data, size, true);
	pool(data, size);
	fields(data, size);
	small(data, size);
	return 0;
}
