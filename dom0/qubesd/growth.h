/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * A volume of a qube that runs becomes larger: QEMU makes its disk larger, and the guest, told by its service qubes.ResizeDisk, the file
 * system on it. The store has the size before that, so a crash of anything between leaves what the next start makes right: it
 * gives the disk its size, and the guest's own start its file system. So does it where QEMU may not make so large a file
 * (RLIMIT_FSIZE): what its largest disk needed when it started.
 */
#include "base/attr.h"

#include "store/model.h"

struct call;
struct qubesd;

/**
 * growth_begin() - the store has a volume's new size: its disk and file system follow, if the qube runs
 * @c:		kept until they have, or 0 is not what it is answered with
 * @size:	no less than the disk has
 *
 * A qube that has ended meanwhile is no failure. Return: 0: nothing is to be done now; CALL_LATER; REFUSED; -errno.
 */
MUST_CHECK int growth_begin(struct call *c, const struct qube *q, enum disk disk, uint64_t size);
/** growth_halted() - @qid runs no more: who waits for its disk is answered */
void growth_halted(struct qubesd *d, unsigned qid);
/** growths_end() - qubesd ends: whoever waits is left alone */
void growths_end(struct qubesd *d);
