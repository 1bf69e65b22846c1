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

struct vmm_spec;
/** run_machine() - what every machine has of its request, borrowed from there; the rest zeros and NO_FD */
void run_machine(const struct request *r, struct vmm_spec *spec);
/** run_open_kernel() - kernel, initrd and modules (the last of its disks) of a machine, from their paths */
MUST_CHECK int run_open_kernel(const struct request *r, struct vmm_spec *spec);
/**
 * run_copy_needs_mib() - what this machine must have available for a copy of a zygote's memory and, beside it, a qube like it
 *
 * Swap does not count: it would only be filled by what is there to make starts quick.
 */
uint64_t run_copy_needs_mib(const struct vmm_spec *spec);

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
int run_usage(const struct request *r);
int run_look(const struct request *r);
int run_folder(const struct request *r);
int run_zygote(const struct request *r);
