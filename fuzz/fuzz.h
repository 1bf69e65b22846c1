/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What every fuzz target defines, and how it says that a contract was broken. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_check(int held, const char *contract)
{
	if (held)
		return;
	(void)fprintf(stderr, "broken: %s\n", contract);
	abort();
}
#define FUZZ_CHECK(x) fuzz_check((x) ? 1 : 0, #x)
