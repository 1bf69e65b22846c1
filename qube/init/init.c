/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * init: process 1 of the initramfs; brings a qube from the kernel to its own /sbin/init.
 *
 * dom0 gives every qube the same four disks: vda root, vdb private, vdc volatile, vdd the kernel's
 * modules. The initramfs holds this program, the modules without which no disk is seen and, in
 * /modules/list, their order; nothing is probed or guessed.
 *
 * Assumes: a kernel with devtmpfs; root and modules image are ext4, which is then built in or
 * listed. Root is mounted for writing: for most qubes it is a copy-on-write that is thrown away,
 * and ext4 replays its journal by itself, so a check is run only where the file system says that
 * it holds errors (a template's root, which is kept, can come to that).
 *
 * Every failure is one line on the console that begins with "bulkhead-init: cannot boot: ", then
 * the machine is powered off: a qube that cannot boot ends, rather than hangs.
 */
#include "base/ext4.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define ROOT_DEVICE    "/dev/vda"
#define MODULES_DEVICE "/dev/vdd"
#define MODULE_LIST    "/modules/list"
#define LIST_MAX       65536
#define CMDLINE_MAX    4096
#define NEW_ROOT       "/root"
/* how long a disk may take to appear after its driver was loaded */
#define DEVICE_TIMEOUT_MS 5000
/* as e2fsck(8): errors are left uncorrected from here on */
#define E2FSCK_UNCORRECTED 4

static void console_open(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY);

	if (fd < 0)
		return;
	for (int to = 0; to < 3; to++)
		(void)dup2(fd, to);
	if (fd > 2)
		(void)close(fd);
}

static void say(const char *format, ...) PRINTF_LIKE(1, 2);
static void say(const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	(void)dprintf(STDERR_FILENO, "bulkhead-init: %s\n", line);
}

/* the end of a qube that cannot boot: @why is a sentence without its full stop */
NORETURN static void cannot_boot(const char *format, ...) PRINTF_LIKE(1, 2);
NORETURN static void cannot_boot(const char *format, ...)
{
	char why[448];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	say("cannot boot: %s; powering off", why);
	sync();
	(void)reboot(RB_POWER_OFF);
	/* a machine without a way to power off is at least halted */
	(void)reboot(RB_HALT_SYSTEM);
	for (;;)
		(void)pause();
}

static void mount_kernel_file_systems(void)
{
	static const struct {
		const char *type, *at, *options;
		unsigned long flags;
	} table[] = {
		{"devtmpfs", "/dev", "mode=0755", MS_NOSUID | MS_NOEXEC},
		{"proc", "/proc", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV},
		{"sysfs", "/sys", NULL, MS_NOSUID | MS_NOEXEC | MS_NODEV},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		(void)mkdir(table[i].at, 0755);
		if (mount(table[i].type, table[i].at, table[i].type, table[i].flags,
			  table[i].options) < 0 &&
		    errno != EBUSY)
			cannot_boot("%s does not mount on %s (%s)", table[i].type, table[i].at,
				    log_errno_str(errno));
		if (i == 0)
			console_open();
	}
}

static void module_load(const char *name)
{
	char path[256];
	int r = str_format(path, sizeof(path), "/modules/%s", name);

	if (r < 0)
		cannot_boot("a module's name in " MODULE_LIST " is too long");

	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		cannot_boot("the initramfs lists module %s but lacks it (%s)", name,
			    log_errno_str(errno));
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		cannot_boot("kernel module %s does not load (%s)", name, log_errno_str(errno));
}

/* the modules of the list, one file name a line, in order; each is removed once loaded */
static void modules_load(void)
{
	AUTO_FREE char *list = NULL;
	int r = io_read_file(AT_FDCWD, MODULE_LIST, LIST_MAX, &list, NULL);

	if (r < 0)
		cannot_boot("the initramfs has no " MODULE_LIST " (%s)", log_errno_str(r));
	for (char *at = list, *line; (line = strsep(&at, "\n"));)
		if (line[0] != '\0')
			module_load(line);
}

/* news of devices, so that nothing here polls; NO_FD if the kernel gives none */
static int uevents_open(void)
{
	struct sockaddr_nl to_all = {.nl_family = AF_NETLINK, .nl_groups = 1};
	AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&to_all, sizeof(to_all)) < 0)
		return NO_FD;
	return take_fd(&fd);
}

static bool device_wait(int uevents_fd, const char *device, unsigned timeout_ms)
{
	uint64_t end_ms = io_now_ms() + timeout_ms;

	while (access(device, F_OK) < 0) {
		struct pollfd p = {.fd = uevents_fd, .events = POLLIN};
		uint64_t now_ms = io_now_ms();
		char event[4096];

		if (now_ms >= end_ms)
			return false;
		/* whatever the event says, looking again is cheap; without a socket, look 20
		 * times a second */
		(void)poll(&p, 1, uevents_fd < 0 ? 50 : (int)(end_ms - now_ms));
		if (uevents_fd >= 0)
			(void)recv(uevents_fd, event, sizeof(event), MSG_DONTWAIT);
	}
	return true;
}

/* run the root's own e2fsck -p on it; the root is mounted read-only meanwhile, and not in use */
static void root_repair(void)
{
	int status = 0;

	say("root: the file system holds errors; checking it");
	if (mount(ROOT_DEVICE, NEW_ROOT, "ext4", MS_RDONLY, NULL) < 0)
		return; /* the mount that follows says why */
	/* it wants to see in /proc that what is mounted is its own root, and read-only */
	(void)mount("/dev", NEW_ROOT "/dev", NULL, MS_BIND, NULL);
	(void)mount("/proc", NEW_ROOT "/proc", NULL, MS_BIND, NULL);

	pid_t pid = fork();
	if (pid == 0) {
		static char program[] = "/sbin/e2fsck", preen[] = "-p", device[] = ROOT_DEVICE;

		if (chroot(NEW_ROOT) == 0 && chdir("/") == 0)
			(void)execv(program, (char *[]){program, preen, device, NULL});
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)umount(NEW_ROOT "/proc");
	(void)umount(NEW_ROOT "/dev");
	(void)umount(NEW_ROOT);
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
		say("root: it has no /sbin/e2fsck; going on with the errors");
	else if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) >= E2FSCK_UNCORRECTED)
		cannot_boot("root has errors that e2fsck -p does not mend; go back to an earlier "
			    "revision of the root volume, or install the template again");
}

static void root_mount(int uevents_fd)
{
	struct ext4 sb = {.state = EXT4_NONE};
	int r;

	if (!device_wait(uevents_fd, ROOT_DEVICE, DEVICE_TIMEOUT_MS))
		cannot_boot("there is no disk " ROOT_DEVICE " (root)");
	r = ext4_read(ROOT_DEVICE, &sb);
	if (r < 0)
		cannot_boot(ROOT_DEVICE " (root) does not read (%s)", log_errno_str(r));
	if (sb.state == EXT4_NONE)
		cannot_boot(ROOT_DEVICE " (root) holds no ext4 file system: the root volume is "
					"empty or damaged");
	if (sb.state == EXT4_ERRORS)
		root_repair();
	/* tables that mke2fs left for later stay for later: writing them would fill the
	 * copy-on-write */
	if (mount(ROOT_DEVICE, NEW_ROOT, "ext4", MS_NOATIME, "noinit_itable") < 0)
		cannot_boot(ROOT_DEVICE " (root) does not mount as ext4 (%s): the root volume is "
					"damaged; go back to an earlier revision of it, or install "
					"the template again",
			    log_errno_str(errno));
}

/* the modules of this very kernel, from dom0, over whatever the root has in their place */
static void modules_mount(int uevents_fd)
{
	char at[256];
	struct utsname u;
	int r;

	/* the four disks are found together, so one that is not here by now does not come */
	if (!device_wait(uevents_fd, MODULES_DEVICE, 0)) {
		say("no disk " MODULES_DEVICE " (kernel modules): going on with those loaded");
		return;
	}
	if (uname(&u) < 0)
		return;
	(void)mkdir(NEW_ROOT "/lib/modules", 0755);
	r = str_format(at, sizeof(at), NEW_ROOT "/lib/modules/%s", u.release);
	if (r < 0)
		return;
	if (mkdir(at, 0755) < 0 && errno != EEXIST)
		cannot_boot("%s cannot be made in the root (%s)", at + strlen(NEW_ROOT),
			    log_errno_str(errno));
	if (mount(MODULES_DEVICE, at, "ext4", MS_RDONLY | MS_NODEV | MS_NOSUID, NULL) < 0)
		cannot_boot(MODULES_DEVICE " (kernel modules) does not mount as ext4 (%s): make "
					   "the kernel set again",
			    log_errno_str(errno));
}

/* "init=PATH" of the kernel command line, else /sbin/init */
static void init_program(char *to, size_t size)
{
	AUTO_FREE char *cmdline = NULL;

	(void)snprintf(to, size, "/sbin/init");
	if (io_read_file(AT_FDCWD, "/proc/cmdline", CMDLINE_MAX - 1, &cmdline, NULL) < 0)
		return;
	for (char *at = cmdline, *word; (word = strsep(&at, " \n"));)
		if (str_starts(word, "init=/"))
			(void)snprintf(to, size, "%s", word + strlen("init="));
}

/* gives back the memory of what the initramfs held; mounts are not followed */
static void initramfs_clear(void)
{
	if (io_remove_tree(AT_FDCWD, "/modules") < 0)
		say("the modules in the initramfs stay in memory");
	(void)unlink("/init");
}

NORETURN static void root_enter(char **argv)
{
	static const char *const moved[] = {"/dev", "/proc", "/sys"};
	char init[CMDLINE_MAX];

	init_program(init, sizeof(init));
	for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
		char at[64];

		if (str_format(at, sizeof(at), NEW_ROOT "%s", moved[i]) < 0)
			continue;
		if (mount(moved[i], at, NULL, MS_MOVE, NULL) < 0)
			cannot_boot("the root has no folder %s (%s): it is no root of a system",
				    moved[i], log_errno_str(errno));
	}
	initramfs_clear();
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		cannot_boot("the root cannot be entered (%s)", log_errno_str(errno));
	argv[0] = init;
	(void)execv(init, argv);
	cannot_boot("%s of the root does not start (%s)", init, log_errno_str(errno));
}

int main(int argc, char **argv)
{
	(void)argc;
	if (getpid() != 1) {
		(void)fprintf(stderr, "This is the init of a qube's initramfs; it runs as process "
				      "1 of a qube only.\n");
		return 2;
	}
	(void)umask(0022);
	mount_kernel_file_systems();
	AUTO_CLOSE int uevents_fd = uevents_open();
	modules_load();
	(void)mkdir(NEW_ROOT, 0755);
	root_mount(uevents_fd);
	modules_mount(uevents_fd);
	root_enter(argv);
}
