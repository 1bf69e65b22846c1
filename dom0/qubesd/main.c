/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubesd: owns all state of the system and answers the Admin API.
 *
 * Runs as	the session's user (hosted), or root.
 * Holds	the store, the listening sockets, lines to the qube-monitors of running qubes.
 * Trusts	its clients: whoever may open the socket is dom0. No byte of a qube comes here
 * undecoded.
 * Needs	to start jobs, which start QEMU and write volumes: so it keeps nearly all its
 * privileges. What it can do without it gives up: new privileges by set-id programs, core dumps
 * (they would hold what clients sent), descriptors beyond its limit, and the system calls that none
 * of its children needs either.
 *
 * One loop, nothing in it blocks but the store's commit (one fsync). Jobs are qubesd executed
 * again.
 */
#include "api/client.h"
#include "api/quota.h"
#include "api/stats.h"
#include "base/io.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/slice.h"
#include "base/str.h"
#include "begin.h"
#include "defaults.h"
#include "disposable.h"
#include "growth.h"
#include "job/job.h"
#include "job/run.h"
#include "kernel.h"
#include "making.h"
#include "menus.h"
#include "policyd.h"
#include "power/memory.h"
#include "power/power.h"
#include "preload/preload.h"
#include "proto/decision.h"
#include "qubesd.h"
#include "room.h"
#include "sandbox/sandbox.h"
#include "sleep.h"
#include "store/store.h"
#include "suspend.h"
#include "version.h"
#include "volume.h"
#include "zygote/zygotes.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <systemd/sd-daemon.h>

static const char usage_text[] =
	"Usage: qubesd [--socket-dir DIR] [--begin-anew] [--foreground]\n"
	"\n"
	"Owns the qubes of this instance and answers the Admin API. The instance is BULKHEAD_HOME, "
	"or\n"
	"the XDG directories of the user. Ends at SIGTERM; running qubes go on.\n"
	"\n"
	"  --socket-dir DIR  where qubesd.sock and qubesd.internal.sock, .misc.sock, .gate.sock are "
	"made\n"
	"                    (default: the instance's run directory)\n"
	"  --begin-anew      put what there is of a store aside and begin a new one; qubes that "
	"run are\n"
	"                    ended, their volumes stay where they are\n"
	"  --foreground      stay in the terminal's session (default; qubesd never forks away)\n"
	"  --help, --version\n";

struct options {
	const char *socket_dir;
	const char *job;
	bool anew;
};

/* 0; 1 = done, leave with success; 2 = usage error */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"socket-dir", required_argument, NULL, 's'},
		{"begin-anew", no_argument, NULL, 'a'},
		{"foreground", no_argument, NULL, 'f'},
		{"job", required_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			o->socket_dir = optarg;
			break;
		case 'a':
			o->anew = true;
			break;
		case 'f':
			break;
		case 'j':
			o->job = optarg;
			break;
		case 'h':
			(void)fputs(usage_text, stdout);
			return 1;
		case 'V':
			(void)puts("qubesd " BULKHEAD_VERSION);
			return 1;
		default:
			(void)fputs(usage_text, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "qubesd: unexpected argument '%s'\n%s", argv[optind],
			      usage_text);
		return 2;
	}
	return 0;
}

static int learn_self(struct qubesd *d)
{
	ssize_t n = readlink("/proc/self/exe", d->self, sizeof(d->self) - 1);

	if (n < 0)
		return fail_errno();
	d->self[n] = '\0';
	return 0;
}

static int learn_machine(struct qubesd *d)
{
	static char kernels[4096];
	struct machine_facts *f = &d->model->machine;
	struct machine_accel accel;
	struct sysinfo info;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (sysinfo(&info) < 0)
		return fail_errno();
	machine_accel(&accel);
	f->memory_mib = (uint64_t)info.totalram * info.mem_unit >> 20;
	f->n_cpus = cpus > 0 ? (unsigned)cpus : 1;
	f->slow = !accel.kvm;
	f->kernels_dir = kernels;
	return kernel_dir(d, kernels, sizeof(kernels));
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *data)
{
	(void)info, (void)data;
	return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int make_directories(const struct qubesd *d)
{
	static const char *const below[] = {"", "/pools", "/pools/default", "/kernels", "/log"};
	char path[4096];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(below); i++) {
		r = str_format(path, sizeof(path), "%s%s", d->paths.state, below[i]);
		if (r == 0)
			r = io_mkdirs(path, 0700);
	}
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/policy.d", d->paths.run);
	r = r < 0 ? r : io_mkdirs(path, 0700);
	r = r < 0 ? r : str_format(path, sizeof(path), "%s/qubes", d->paths.run);
	r = r < 0 ? r : io_mkdirs(path, 0700);
	r = r < 0 ? r : str_format(path, sizeof(path), "%s/qubes/" DECISION_SOCKET, d->paths.run);
	if (r < 0)
		return r;
	return symlink("../" DECISION_SOCKET, path) < 0 && errno != EEXIST ? fail_errno() : 0;
}

/* somebody may have mounted something there */
static int learn_pools(struct qubesd *d)
{
	struct stat state, pools, first;
	char path[4096];
	int r = str_format(path, sizeof(path), "%s/pools", d->paths.state);

	if (r == 0 && (stat(d->paths.state, &state) < 0 || stat(path, &pools) < 0))
		r = fail_errno();
	if (r == 0)
		r = str_format(path, sizeof(path), "%s/pools/default", d->paths.state);
	if (r == 0 && stat(path, &first) < 0)
		r = fail_errno();
	d->pools_apart = r == 0 && (pools.st_dev != state.st_dev || first.st_dev != state.st_dev);
	return r;
}

static const struct {
	const char *name;
	enum door door;
	bool own; /* not for a group that may manage qubes: the source of its calls is believed */
} doors[] = {{"qubesd.sock", DOOR_ADMIN, false},
	     {"qubesd.internal.sock", DOOR_INTERNAL, false},
	     {"qubesd.misc.sock", DOOR_MISC, false},
	     {"qubesd.gate.sock", DOOR_GATE, true}};
_Static_assert(ARRAY_LEN(doors) == N_DOORS, "each has a place in struct qubesd");

static int listen_at(struct qubesd *d, const char *dir)
{
	for (size_t i = 0; i < ARRAY_LEN(doors); i++) {
		AUTO_CLOSE int fd = NO_FD;
		char path[UNIX_PATH_MAX + 1];
		struct stat st;
		int r = str_format(path, sizeof(path), "%s/%s", dir, doors[i].name);

		if (r == 0)
			r = io_unix_listen(path, SOCK_STREAM,
					   geteuid() == 0 && !doors[i].own ? 0660 : 0600, &fd);
		if (r == 0 && stat(path, &st) < 0)
			r = fail_errno();
		if (r == 0) {
			d->doors[i].device = st.st_dev;
			d->doors[i].inode = st.st_ino;
			r = clients_listen(d, &fd, doors[i].door);
		}
		if (r < 0) {
			log_err(NULL, "%s/%s: %s", dir, doors[i].name, log_errno_str(r));
			return r;
		}
	}
	return 0;
}

/* those that are still ours: another instance may have been given the same folder since */
static void remove_doors(const struct qubesd *d, const char *dir)
{
	char path[UNIX_PATH_MAX + 1];
	struct stat st;

	for (size_t i = 0; d->listeners && i < ARRAY_LEN(doors); i++)
		if (str_format(path, sizeof(path), "%s/%s", dir, doors[i].name) == 0 &&
		    lstat(path, &st) == 0 && st.st_dev == d->doors[i].device &&
		    st.st_ino == d->doors[i].inode)
			(void)unlink(path);
}

/* the store, the loop, what this machine is: all but the doors */
static int acquire(struct qubesd *d, bool anew)
{
	int r = learn_self(d);

	if (r == 0)
		r = paths_init(&d->paths, true);
	if (r == 0)
		r = make_directories(d);
	if (r == 0)
		r = learn_pools(d);
	if (r < 0) {
		log_err(NULL, "the directories of this instance: %s", log_errno_str(r));
		return r;
	}
	r = begin_store(d, anew);
	if (r < 0)
		return r;
	r = defaults_install(&d->paths);
	if (r < 0)
		log_err(NULL,
			"the default policy cannot be installed, so every call is refused: %s",
			log_errno_str(r));
	r = learn_machine(d);
	if (r == 0)
		r = sd_event_default(&d->event);
	return r < 0 ? r : kernel_watch(d);
}

static int confine(struct qubesd *d)
{
	struct rlimit files, core = {0};

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return fail_errno();
	d->files = files;
	files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &core) < 0)
		return fail_errno();
	/* the rest is for the store, running qubes and jobs */
	d->max_clients = files.rlim_cur > 2048 ? (unsigned)files.rlim_cur - 1024
					       : (unsigned)files.rlim_cur / 2;
	return sandbox_give_up();
}

/* operations that the last qubesd had begun */
static int finish_operations(struct qubesd *d)
{
	const struct operation *next;
	int r = 0;

	for (const struct operation *op = d->model->operations; r == 0 && op; op = next) {
		next = op->next;
		if (str_eq(op->kind, "create") || str_eq(op->kind, "remove"))
			r = making_finish(d, op);
		else if (!str_eq(op->kind, "run") && !str_eq(op->kind, "hold") &&
			 !str_eq(op->kind, "preload"))
			r = volume_finish(d, op);
	}
	if (r == 0)
		r = power_recover(d);
	if (r == 0)
		r = preloads_recover(d);
	return r == 0 ? disposables_recover(d) : r;
}

static int serve(struct qubesd *d, const char *socket_dir)
{
	sigset_t ends;
	int r;

	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGINT);
	if (sigprocmask(SIG_BLOCK, &ends, NULL) < 0)
		return fail_errno();
	r = sd_event_add_signal(d->event, NULL, SIGTERM, on_signal, NULL);
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGINT, on_signal, NULL);
	if (r >= 0)
		r = finish_operations(d);
	if (r >= 0)
		r = policyd_begin(d);
	if (r >= 0)
		r = listen_at(d, socket_dir);
	if (r < 0)
		return r;
	d->started_ms = io_now_ms();
	log_info(NULL, "serving %zu qubes at %s", d->model->n_qubes, socket_dir);
	(void)sd_notify(0, "READY=1");
	menus_begin(d);
	sleep_begin(d, socket_dir);
	power_autostart(d);
	preloads_begin(d);
	r = sd_event_loop(d->event);
	(void)sd_notify(0, "STOPPING=1");
	return r;
}

static int run(const struct options *o)
{
	struct qubesd d = {0};
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	/* who waits for an answer does not wait for QEMUs too (doc/decisions/0055) */
	slice_be_short(400);
	r = acquire(&d, o->anew);
	if (r == 0)
		r = confine(&d);
	if (r == 0)
		r = serve(&d, o->socket_dir ? o->socket_dir : d.paths.run);
	if (r < 0)
		log_err(NULL, "ends: %s", log_errno_str(r));
	preloads_end(&d);
	disposables_detach(&d);
	remove_doors(&d, o->socket_dir ? o->socket_dir : d.paths.run);
	clients_done(&d);
	stats_done(&d);
	memory_done(&d);
	suspend_end(&d);
	growths_end(&d);
	sleep_end(&d);
	menus_end(&d);
	quota_end(&d);
	policyd_end(&d);
	power_detach_all(&d);
	jobs_done(&d);
	room_done(&d);
	zygotes_done(&d);
	store_free(d.store);
	sd_event_unref(d.event);
	paths_done(&d.paths);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	int r;

	log_open("qubesd");
	r = parse_options(argc, argv, &o);
	if (r > 0)
		return r == 1 ? EXIT_SUCCESS : 2;
	(void)umask(077);
	return o.job ? run_job(o.job) : run(&o);
}
