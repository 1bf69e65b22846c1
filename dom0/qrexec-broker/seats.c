/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Seats for services of dom0. A service outlives its broker, and a qube whose agent comes and goes gets a new broker
 * each time; so what is counted is not ours: each seat is a byte of a file that our parent keeps and gives to all of
 * them, locked by whoever serves. The lock belongs to an open file of its own, and goes with the last process that has it.
 */
#include "broker.h"

#include <fcntl.h>
#include <stdio.h>

int seat_take(int seats_fd, int *ret_fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	AUTO_CLOSE int fd = NO_FD;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", seats_fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail_errno();
	while (lock.l_start < SERVICES_MAX) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
			*ret_fd = take_fd(&fd);
			return 0;
		}
		if (errno != EAGAIN && errno != EACCES)
			return fail_errno();
		lock.l_start++;
	}
	return -EAGAIN;
}
