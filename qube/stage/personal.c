/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stage-personal: the second stage of a qube's start, from nobody's system to this qube.
 *
 * Waits until QubesDB has what dom0 says of this qube, then does what follows from it, in the order
 * in which one needs the other: randomness before anything is generated, /rw before what lies in
 * it, the user's own rc.local before any program of a call, which the agent starts once we are done.
 *
 * Runs as: root, in the qube. Trusts: dom0's values (their form is checked) and the qube's own
 * disks; there is no wall inside a qube for it to guard.
 *
 * A start goes on without what fails, saying so, wherever a qube without it is still of use; a
 * qube whose /rw is damaged runs with an empty /home, so that its owner can look at it.
 */
#include "base/io.h"
#include "base/log.h"
#include "base/oom.h"
#include "base/str.h"
#include "grow.h"
#include "identity.h"
#include "qdb.h"
#include "run.h"
#include "rw.h"
#include "volatile.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ROOT_DEVICE "/dev/vda"
#define DONE        "/run/qubes/personal.done"
/* this system is the qube that dom0 says; rc.local is still to come */
#define NAMED          "/run/qubes/personal.named"
#define MACHINE_ID     RW "/config/machine-id"
#define RC_LOCAL       RW "/config/rc.local"
#define RC_LOCAL_LIMIT 20000 /* ms; then the start goes on beside it */

/* a value, or NULL with a line in the log if it cannot be had; in a buffer of its own till the next
 */
static const char *ask(int qdb_fd, const char *key)
{
	static char value[QDB_VALUE_MAX + 1];
	size_t len;
	int r = qdb_read(qdb_fd, key, value, &len);

	if (r == 0)
		return value;
	if (r != -ENOENT)
		log_warn(NULL, "QubesDB does not tell %s (%s), going on without it", key,
			 log_errno_str(r));
	return NULL;
}

static void report(const char *what, int r)
{
	if (r < 0)
		log_warn(NULL, "%s: %s, going on without it", what, log_errno_str(r));
}

static void seed_take(int qdb_fd)
{
	static const char key[] = "/qubes-random-seed";
	const char *seed = ask(qdb_fd, key);

	if (!seed)
		return;
	report("random seed", identity_seed(seed, strlen(seed)));
	/* nobody else in here is to know where the pool began */
	report("removing the random seed", qdb_remove(qdb_fd, key));
}

/* a template or standalone keeps its whole root, so /home stays there */
static bool root_is_kept(int qdb_fd)
{
	return str_eq(ask(qdb_fd, "/qubes-vm-persistence"), "full");
}

static void private_use(int qdb_fd)
{
	int r = rw_mount();

	if (r < 0) {
		log_err(NULL,
			"the private volume (" RW_DEVICE
			") is not mounted: %s. Nothing under /home will be kept",
			r == -EUCLEAN ? "it is damaged; go back to an earlier revision of it"
				      : log_errno_str(r));
		return;
	}
	r = rw_layout();
	if (r < 0) {
		log_err(NULL, "/rw is not set up (%s). Nothing under /home will be kept",
			log_errno_str(r));
		return;
	}
	report("machine-id", identity_machine_id(MACHINE_ID));
	if (!root_is_kept(qdb_fd))
		report("/home in /rw", rw_bind());
}

/* swap, in a process beside ours: the kernel's own tables for it take their time */
static pid_t swap_begin(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		report("swap", volatile_use(VOLATILE_DEVICE));
		_exit(0);
	}
	if (pid < 0)
		report("swap", fail_errno());
	return pid;
}

static void swap_end(pid_t pid)
{
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void rc_local_run(void)
{
	static char program[] = RC_LOCAL;
	int status, r;

	if (access(RC_LOCAL, X_OK) < 0)
		return;
	r = program_run((char *[]){program, NULL}, RC_LOCAL_LIMIT, &status);
	if (r < 0)
		log_warn(NULL, RC_LOCAL " %s",
			 r == -ETIMEDOUT ? "takes long, going on beside it" : log_errno_str(r));
	else if (status != 0)
		log_warn(NULL, RC_LOCAL " ended with %d", status);
}

static int personal(void)
{
	AUTO_CLOSE int qdb_fd = NO_FD;
	const char *value;
	int r = qdb_wait(QDB_SOCKET, &qdb_fd);

	if (r < 0)
		return r;
	seed_take(qdb_fd);
	pid_t swap = swap_begin();
	value = ask(qdb_fd, "/name");
	if (value)
		report("hostname", identity_hostname(value));
	private_use(qdb_fd);
	if (root_is_kept(qdb_fd))
		report("the root's file system stays smaller than its disk",
		       grow_mounted(ROOT_DEVICE, "/"));
	value = root_is_kept(qdb_fd) ? NULL : ask(qdb_fd, "/qubes-timezone");
	r = value ? identity_timezone(value) : 0;
	/* a small root has no zones, and then nothing that asks for one */
	if (r != -ENOENT)
		report("time zone", r);
	swap_end(swap);
	return 0;
}

/* until it comes about: without it nothing in here is of use, and dom0 gives the start its time */
static void become(void)
{
	int said = 0;

	for (;;) {
		const int r = personal();

		if (r >= 0)
			return;
		if (r != said)
			log_err(NULL, "no identity from QubesDB (%s), trying on", log_errno_str(r));
		said = r;
		(void)sleep(1);
	}
}

static int mark(const char *path)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	const int r = fd < 0 ? fail_errno() : 0;

	if (r < 0)
		log_err(NULL, "%s: %s", path, log_errno_str(r));
	return r;
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		bool help = str_eq(argv[1], "--help");

		(void)fputs("usage: stage-personal\n"
			    "Make this system the qube that dom0 says it is.\n",
			    help ? stdout : stderr);
		return help ? 0 : 2;
	}
	log_open("stage-personal");
	(void)umask(0022);
	if (access(DONE, F_OK) == 0)
		return 0;
	become();
	(void)mark(NAMED);
	/* what the user has in it is nothing special */
	oom_be_plain();
	rc_local_run();
	return mark(DONE) < 0 ? 1 : 0;
}
