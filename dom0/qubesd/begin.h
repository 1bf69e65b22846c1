/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The store of the instance as qubesd starts: opened, or begun where nothing says that there was one.
 *
 * A store that is lost (deleted, emptied, on a disk that is not mounted) while qubes run or their volumes are there is not
 * replaced unasked: to the new one they would be strays, and be ended.
 */
#include "base/attr.h"

struct qubesd;

/**
 * begin_store() - open the store and set @d->store and @d->model; what is wrong is logged
 * @anew:	the person wants a new one: what is there of the old one is put aside
 *
 * Return: 0; -errno.
 */
MUST_CHECK int begin_store(struct qubesd *d, bool anew);
