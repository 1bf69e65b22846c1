/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP: a line decodes into bounded texts or is refused; what we write is JSON that reads back. */
#include "fuzz.h"

#include "proto/qmp.h"

#include <string.h>

static void check_text(const char *s, size_t size)
{
	FUZZ_CHECK(memchr(s, '\0', size) != NULL);
}

/* any text without NUL survives our writer; the reader takes only ASCII, as QEMU sends it */
static void round_trip(const uint8_t *data, size_t size)
{
	char text[256], buf[2048], back[256], key[16];
	struct jw w = jw_of(buf, sizeof(buf));
	bool first = true;
	size_t len = 0, n;
	struct jr r;

	for (size_t i = 0; i < size && len < sizeof(text) - 1; i++)
		if (data[i] != 0 && data[i] < 0x80)
			text[len++] = (char)data[i];
	text[len] = '\0';
	jw_begin(&w, '{');
	jw_key(&w, "k");
	jw_str(&w, text);
	jw_end(&w, '}');
	n = jw_done(&w);
	FUZZ_CHECK(n > 0);
	r = jr_of(buf, n);
	FUZZ_CHECK(jr_open(&r) && jr_key(&r, &first, key, sizeof(key)) && strcmp(key, "k") == 0);
	FUZZ_CHECK(jr_str(&r, back, sizeof(back)) && strcmp(back, text) == 0);
	FUZZ_CHECK(!jr_key(&r, &first, key, sizeof(key)) && jr_done(&r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qmp_msg m;
	int r = qmp_decode(data, size, &m);

	FUZZ_CHECK(r == 0 || r == QMP_E_FORMAT || r == QMP_E_LENGTH);
	if (r == 0) {
		check_text(m.reason, sizeof(m.reason));
		check_text(m.device, sizeof(m.device));
		check_text(m.node, sizeof(m.node));
		check_text(m.status, sizeof(m.status));
		check_text(m.error_class, sizeof(m.error_class));
		check_text(m.error_desc, sizeof(m.error_desc));
		FUZZ_CHECK(m.has_id || m.id == 0);
	}
	round_trip(data, size);
	return 0;
}
