/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What makes a nameless system this qube: hostname, machine-id, randomness of its own, time zone.
 * Values come from dom0, so they are trusted but for their form.
 */
#include "base/attr.h"

/** identity_hostname() - the kernel's name of this machine */
MUST_CHECK int identity_hostname(const char *name);

/** identity_seed() - @bytes into the kernel's pool, counted as entropy, and the pool mixed anew */
MUST_CHECK int identity_seed(const void *bytes, size_t len);

/**
 * identity_machine_id() - an id of its own on /etc/machine-id
 * @kept:	file that holds it from one start to the next; made at the first
 *
 * The template's file stays as it is: a file of this start is mounted over it.
 */
MUST_CHECK int identity_machine_id(const char *kept);

/** identity_timezone() - /etc/localtime to "Area/City"; -ENOENT if the system has no such zone */
MUST_CHECK int identity_timezone(const char *zone);
