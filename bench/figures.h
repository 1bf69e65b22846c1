/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Times and their middle, as all benches take them. */
#include <stddef.h>

/** now_ms() - of a clock that only goes on */
double now_ms(void);
/** median(), percentile() - both sort @v */
double median(double *v, size_t n);
double percentile(double *v, size_t n, unsigned percent);
