/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stage-generic: the first stage of the start of a qube without systemd: file systems in memory,
 * the loop-back interface, the modules it needs. Nothing here knows whose qube it will be.
 *
 * Runs as: root, in the qube, once, before any other program. What fails is said and passed over:
 * a qube in which a person can look is worth more than one that stopped.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/fork.h"
#include "run.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define STAGE_ZYGOTE "/usr/lib/qubes/stage-zygote"

static void file_systems_mount(void)
{
	/* clang-format off */
	static const struct {
		const char *type, *at, *options;
		unsigned long flags;
	} table[] = {
		{"tmpfs",   "/run",           "mode=0755,size=20%", MS_NOSUID | MS_NODEV},
		{"tmpfs",   "/tmp",           "mode=1777,size=50%", MS_NOSUID | MS_NODEV},
		{"devpts",  "/dev/pts",       "mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC},
		{"tmpfs",   "/dev/shm",       "mode=1777",          MS_NOSUID | MS_NODEV},
		{"cgroup2", "/sys/fs/cgroup", NULL,                 MS_NOSUID | MS_NODEV | MS_NOEXEC},
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		(void)mkdir(table[i].at, 0755);
		if (mount(table[i].type, table[i].at, table[i].type, table[i].flags,
			  table[i].options) < 0)
			log_warn(NULL, "%s: %s", table[i].at, log_errno_str(errno));
	}
}

/* what udev or systemd links elsewhere */
static void links_make(void)
{
	static const struct {
		const char *to, *at;
	} table[] = {
		{"/proc/self/fd", "/dev/fd"},
		{"fd/0", "/dev/stdin"},
		{"fd/1", "/dev/stdout"},
		{"fd/2", "/dev/stderr"},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (symlink(table[i].to, table[i].at) < 0 && errno != EEXIST)
			log_warn(NULL, "%s: %s", table[i].at, log_errno_str(errno));
}

static void loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		log_warn(NULL, "lo: %s", log_errno_str(errno));
}

/* what udev loads elsewhere: the power button, and the events it makes; our initramfs has them, one
 * of another make may not */
static void modules_load(void)
{
	if (access("/sys/module/button", F_OK) == 0 && access("/sys/module/evdev", F_OK) == 0)
		return;

	static char program[] = "modprobe", all[] = "-a", button[] = "button", evdev[] = "evdev";
	int status = 0;
	int r = program_run((char *[]){program, all, button, evdev, NULL}, 0, &status);

	if (r < 0 || status != 0)
		log_warn(NULL, "the power button does not work (%s)",
			 r < 0 ? log_errno_str(r) : "modprobe failed");
}

/* a guest that is to become a zygote says so on its command line; who makes it one waits beside the rest of the start */
static void zygote_begin(void)
{
	AUTO_FREE char *cmdline = NULL;
	pid_t pid;

	if (io_read_file(AT_FDCWD, "/proc/cmdline", 4096, &cmdline, NULL) < 0 ||
	    !strstr(cmdline, FORK_WORD))
		return;
	pid = fork();
	if (pid < 0)
		log_err(NULL, "stage-zygote: %s", log_errno_str(errno));
	if (pid != 0)
		return;
	(void)setsid();
	(void)execl(STAGE_ZYGOTE, STAGE_ZYGOTE, (char *)NULL);
	log_err(NULL, STAGE_ZYGOTE ": %s", log_errno_str(errno));
	_exit(1);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		bool help = str_eq(argv[1], "--help");

		(void)fputs("usage: stage-generic\n"
			    "Bring up what every qube without systemd needs, whoever it will be.\n",
			    help ? stdout : stderr);
		return help ? 0 : 2;
	}
	log_open("stage-generic");
	(void)umask(0022);
	file_systems_mount();
	links_make();
	(void)mkdir("/run/qubes", 0755);
	(void)mkdir("/run/vchan", 0755);
	loopback_up();
	modules_load();
	zygote_begin();
	return 0;
}
