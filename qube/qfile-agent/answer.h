/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* What the receiver says of all that was sent. */
#include "base/attr.h"

/**
 * answer_read() - wait for it and tell the user on standard error what is wrong
 * @crc:	of all that was sent
 * @early:	not all was sent: whatever the receiver says, it is not that all is well
 *
 * Return: true: all has arrived.
 */
bool answer_read(int fd, uint32_t crc, bool early);
