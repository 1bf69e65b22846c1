/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* When the kernel lets us run. */

/** slice_be_short() - we ask for @us microseconds (100 at least) of processor time at once, and are therefore let run as soon as there is something
 * for us to do, though others are busy that ask for more. Of our children none inherits it. Kernels before Linux 6.12 do not know of it, and
 * nothing happens */
void slice_be_short(unsigned us);
