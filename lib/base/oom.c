/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/oom.h"

#include "base/io.h"

#include <fcntl.h>
#include <unistd.h>

void oom_be_plain(void)
{
	static const char none[] = "0";
	AUTO_CLOSE int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	char first;

	if (fd >= 0 && read(fd, &first, 1) == 1 && first == '-')
		(void)!write(fd, none, sizeof(none) - 1);
}
