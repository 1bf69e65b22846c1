/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The other side of a job: the process itself. */
#include "base/attr.h"

#include "job/request.h"

/** run_job() - main() of `qubesd --job KIND`; returns the exit status */
int run_job(const char *kind);

/** run_progress() - say how far it is; @total 0: unknown */
void run_progress(const char *stage, const char *text, uint64_t done, uint64_t total);
/** run_fail() - the job's verdict; returns -ECANCELED */
int run_fail(const char *type, const char *format, ...) PRINTF_LIKE(2, 3);

/* The kinds: each 0, or < 0 after run_fail() (or a bare fault). */
int run_create(const struct request *r);
int run_remove(const struct request *r);
int run_start(const struct request *r);
int run_stop(const struct request *r);
int run_import(const struct request *r);
int run_clone(const struct request *r);
int run_resize(const struct request *r);
int run_revert(const struct request *r);
int run_tell(const struct request *r);
