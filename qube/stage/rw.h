/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * /rw: the private volume, what a qube keeps from one start to the next, and the places of root
 * that it lies over.
 *
 *	/rw/config		rc.local, qubes-bind-dirs.d, ...
 *	/rw/home		on /home
 *	/rw/usrlocal		on /usr/local
 *	/rw/bind-dirs/PATH	on PATH, for each path that binds.h reads
 *
 * A folder of the first three is made at first use from what the template has in its place; it
 * appears under its name only when it is whole, so a start that was cut short is no harm.
 */
#include "base/attr.h"

#define RW_DEVICE "/dev/vdb"
#define RW        "/rw"

/**
 * rw_mount() - mount the private volume, making a file system on one that is blank
 *
 * One that records errors is checked (e2fsck -p) first; one smaller than its volume grows.
 * One that is mounted already, by an attempt that was cut short, stays as it is.
 * Return: 0; -ENXIO there is no such disk; -EUCLEAN it holds something else, or damage that e2fsck
 * -p does not mend; -errno.
 */
MUST_CHECK int rw_mount(void);

/** rw_layout() - make at first use what belongs into /rw */
MUST_CHECK int rw_layout(void);

/**
 * rw_bind() - lay /rw over root: /home, /usr/local and the user's own paths
 *
 * What cannot be laid over is said in the log and passed over. Return: 0; -errno for /home.
 */
MUST_CHECK int rw_bind(void);
