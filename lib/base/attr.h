/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Attributes, ownership helpers and the few macros everything uses.
 *
 * Results: 0 done; < 0 fault, a negative errno; > 0 outcome, an enumerator the function documents.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST_CHECK           __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, at) __attribute__((format(printf, fmt, at)))
#define NORETURN             __attribute__((noreturn))
#define ARRAY_LEN(a)         (sizeof(a) / sizeof((a)[0]))

/** NO_FD - a descriptor variable that holds none */
#define NO_FD (-1)

/** AUTO_CLOSE - `AUTO_CLOSE int fd = ...` is closed when the scope ends; errno is preserved */
#define AUTO_CLOSE __attribute__((cleanup(cleanup_close)))
/** AUTO_FREE - `AUTO_FREE char *p = ...` is freed when the scope ends */
#define AUTO_FREE __attribute__((cleanup(cleanup_free)))
/** AUTO(f) - the scope ends with f(&variable) */
#define AUTO(f) __attribute__((cleanup(f)))

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		(void)close(*fd);
		errno = saved;
	}
}

static inline void cleanup_free(void *p)
{
	void **pp = p;

	free(*pp);
}

/** take_fd() - move a descriptor out of *@fd; *@fd becomes NO_FD */
static inline int take_fd(int *fd)
{
	int r = *fd;

	*fd = NO_FD;
	return r;
}

/** take_ptr() - move a pointer out of *@p (a pointer to a pointer); *@p becomes NULL */
static inline void *take_ptr_(void *p)
{
	void **pp = p, *r = *pp;

	*pp = NULL;
	return r;
}
#define take_ptr(p) ((__typeof__(*(p)))take_ptr_(p))

/** close_fd() - close *@fd if it is open and forget it; errno is preserved */
static inline void close_fd(int *fd)
{
	cleanup_close(fd);
	*fd = NO_FD;
}

/**
 * fault() - turn an outcome that cannot happen at this call into a fault
 * @r:	a result; > 0 becomes -EIO
 */
static inline int fault(int r)
{
	return r > 0 ? -EIO : r;
}

/**
 * fail_errno() - a negative errno that is never 0
 *
 * For `return fail_errno();` after a system call failed: analysers then see that the result is < 0.
 */
static inline int fail_errno(void)
{
	int r = 0 - errno; /* they follow a difference, though not a change of sign */

	return r < 0 ? r : -EIO;
}
