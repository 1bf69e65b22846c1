/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hung DIR: a file system that never answers, as one does whose server is away. Says "hung" once it is there; who looks at DIR from then on
 * waits, until this process is ended. Needs the right to mount.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (argc != 2 || fd < 0)
		return 1;
	(void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fd,
		       geteuid(), getegid());
	if (mount("hung", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		return 1;
	(void)puts("hung");
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}
