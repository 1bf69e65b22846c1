/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "figures.h"

#include <stdlib.h>
#include <time.h>

double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double percentile(double *v, size_t n, unsigned percent)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n * percent / 100];
}

double median(double *v, size_t n)
{
	return percentile(v, n, 50);
}
