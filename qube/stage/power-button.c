/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * power-button: hears dom0 press the power button, from the first moment of the system on.
 *
 * logind would hear it as well, but comes up long after the agent that answers dom0's calls: until
 * then a qube that was told to go down would not. systemd, as process 1, takes a signal for the
 * wish to power off, whatever else it is at.
 *
 * Runs as: root, in a qube with systemd. Holds: the input device of the button, which the kernel
 * makes before there is a process. Trusts: it. Needs: to signal process 1.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/input.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define DEVICES "/dev/input"

/* systemd(1), "Signals": the way to start poweroff.target without a bus */
#define POWER_OFF (SIGRTMIN + 4)

static bool has_power_key(int fd)
{
	uint8_t keys[KEY_MAX / 8 + 1] = {0};

	return ioctl(fd, EVIOCGBIT(EV_KEY, sizeof(keys)), keys) >= 0 &&
	       (keys[KEY_POWER / 8] & 1u << KEY_POWER % 8);
}

static void dir_close(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* Return: 0; -ENOENT there is no such button; -errno */
static int button_open(int *ret_fd)
{
	AUTO(dir_close) DIR *dir = opendir(DEVICES);

	if (!dir)
		return fail_errno();
	for (struct dirent *e; (e = readdir(dir));) {
		AUTO_CLOSE int fd = NO_FD;

		if (!str_starts(e->d_name, "event"))
			continue;
		fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || !has_power_key(fd))
			continue;
		*ret_fd = take_fd(&fd);
		return 0;
	}
	return -ENOENT;
}

/* until it is pressed */
static int press_wait(int fd)
{
	struct input_event e = {0};

	do {
		int r = io_read_full(fd, &e, sizeof(e));

		if (r < 0)
			return r;
	} while (e.type != EV_KEY || e.code != KEY_POWER || e.value != 1);
	return 0;
}

int main(int argc, char **argv)
{
	AUTO_CLOSE int fd = NO_FD;
	int r;

	if (argc > 1) {
		bool help = str_eq(argv[1], "--help");

		(void)fputs("usage: power-button\n"
			    "Tell systemd to power off when dom0 presses the power button.\n",
			    help ? stdout : stderr);
		return help ? 0 : 2;
	}
	log_open("power-button");
	r = button_open(&fd);
	if (r == -ENOENT) {
		log_info(NULL, "there is no power button");
		return 0;
	}
	while (r == 0) {
		r = press_wait(fd);
		if (r < 0)
			break;
		log_info(NULL, "dom0 pressed the power button");
		if (kill(1, POWER_OFF) < 0)
			r = fail_errno();
	}
	log_err(NULL, "cannot go on: %s", log_errno_str(r));
	return 1;
}
