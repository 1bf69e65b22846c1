/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Qubes coming and going, beyond what the methods table names. */
#include "base/attr.h"

struct operation;
struct qubesd;

/** vm_finish() - at start: roll a "create" back, carry a "remove" out */
MUST_CHECK int vm_finish(struct qubesd *d, const struct operation *op);
