/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A start, from a job: check what can be known beforehand, start a qube-monitor, tell it all on the
 * start channel, and listen until the qube is ready or gone. Whatever goes wrong, the monitor
 * removes what it made; if even the monitor is gone, we do.
 */
#include "qemu/qemu.h"

#include "base/io.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/program.h"
#include "base/sweep.h"
#include "loop/spawn.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define BOOT_TIMEOUT_MS    60000
#define MONITOR_TIMEOUT_MS 15000
#define START_FD           3

int qemu_recv(int fd, int timeout_ms, uint8_t *buf, size_t size, struct monitor_msg *ret)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t len;
	int n, r;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? fail_errno() : -ETIMEDOUT;
	r = io_recv_msg(fd, buf, size, &len, NULL, 0, NULL);
	if (r < 0)
		return r;
	if (len == 0)
		return -ECONNRESET;
	return monitor_decode(buf, len, 0, ret) == 0 ? 0 : -EPROTO;
}

static void say(char *error, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
static void say(char *error, size_t size, const char *format, ...)
{
	va_list args;

	if (!error || size == 0)
		return;
	va_start(args, format);
	(void)vsnprintf(error, size, format, args);
	va_end(args);
}

static int check_memory(const struct vmm_spec *spec, char *error, size_t size)
{
	struct machine_memory host;
	uint64_t free_mib;

	if (machine_memory(&host) < 0)
		return 0; /* QEMU will say so itself */
	free_mib = (host.available_kib + host.swap_free_kib) / 1024;
	if (free_mib >= (uint64_t)spec->memory_mib + VMM_OVERHEAD_MIB)
		return 0;
	say(error, size,
	    "Not enough memory to start %s: it needs %u MiB, and this machine has %llu MiB left. Shut "
	    "down another qube, or give it less (qvm-prefs %s memory NUMBER)",
	    spec->name, spec->memory_mib, (unsigned long long)free_mib, spec->name);
	return -ENOMEM;
}

/* As root QEMU runs under an id of its own and opens kernel and initrd once more under it. */
static int check_readable(const struct vmm_spec *spec, char *error, size_t size)
{
	const int fds[] = {spec->kernel_fd, spec->initrd_fd};

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		struct stat st;

		if (fstat(fds[i], &st) < 0) {
			say(error, size, "The kernel of %s cannot be read: %s", spec->name,
			    log_errno_str(errno));
			return fail_errno();
		}
		if (spec->uid != 0 && geteuid() == 0 && !(st.st_mode & S_IROTH)) {
			say(error, size,
			    "The kernel of %s must be readable by all (chmod a+r), since QEMU does "
			    "not "
			    "run as root",
			    spec->name);
			return -EACCES;
		}
	}
	return 0;
}

struct start {
	const struct vmm_spec *spec;
	int channel, monitor, qemu; /* socket, pidfds */
	pid_t monitor_pid;
	char *error;
	size_t error_size;
	void (*progress)(void *, enum vmm_stage);
	void *data;
};

static int send_msg(int fd, const struct monitor_msg *msg, const int *fds, size_t n_fds)
{
	AUTO_FREE uint8_t *buf = malloc(MONITOR_MSG_MAX);
	size_t len;

	if (!buf)
		return -ENOMEM;
	len = monitor_encode(msg, buf, MONITOR_MSG_MAX);
	return len == 0 ? -E2BIG : io_send_msg(fd, buf, len, fds, n_fds);
}

static int send_fds(int fd, const struct qemu_argv *a)
{
	for (unsigned at = 0; at < a->n_fds;) {
		struct monitor_msg msg = {.type = MONITOR_FDS};
		int r;

		while (msg.fds.n < MONITOR_MAX_FDS && at + msg.fds.n < a->n_fds) {
			msg.fds.to[msg.fds.n] = a->fd_to[at + msg.fds.n];
			msg.fds.n++;
		}
		r = send_msg(fd, &msg, a->fd_from + at, msg.fds.n);
		if (r < 0)
			return r;
		at += msg.fds.n;
	}
	return 0;
}

static enum monitor_mode mode_of(enum vmm_mode mode)
{
	switch (mode) {
	case VMM_BOOT:
		break;
	case VMM_ZYGOTE:
		return MONITOR_ZYGOTE;
	case VMM_FORK:
		return MONITOR_FORK;
	}
	return MONITOR_BOOT;
}

static uint64_t disk_size(const struct vmm_spec *spec, const char *name)
{
	for (unsigned i = 0; spec->mode == VMM_FORK && i < spec->n_disks; i++)
		if (str_eq(spec->disks[i].name, name))
			return spec->disks[i].size;
	return 0;
}

static int send_start(int fd, const struct vmm_spec *spec, const struct qemu_argv *a)
{
	AUTO_CLOSE int log = open(spec->log_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	AUTO_FREE struct monitor_msg *msg = calloc(1, sizeof(*msg));
	int fds[2] = {NO_FD, spec->state_fd};
	struct monitor_start *s;

	if (log < 0)
		return fail_errno();
	if (!msg)
		return -ENOMEM;
	if (spec->n_qdb > MONITOR_MAX_QDB)
		return -E2BIG;
	msg->type = MONITOR_START;
	s = &msg->start;
	*s = (struct monitor_start){.domid = spec->domid,
				    .uid = spec->uid,
				    .mode = mode_of(spec->mode),
				    .private_size = disk_size(spec, "private"),
				    .volatile_size = disk_size(spec, "volatile"),
				    .qrexec = spec->qrexec,
				    .debug = spec->debug,
				    .memory_mib = spec->memory_mib,
				    .more_mib = spec->more_mib,
				    .name = spec->name,
				    .uuid = spec->uuid,
				    .default_user = spec->default_user,
				    .run_dir = spec->run_dir,
				    .program = a->argv[0],
				    .n_args = a->n_args,
				    .n_qdb = spec->n_qdb};
	memcpy(s->args, a->argv, a->n_args * sizeof(a->argv[0]));
	for (unsigned i = 0; i < spec->n_qdb; i++) {
		s->qdb_path[i] = spec->qdb[i].path;
		s->qdb_value[i] = spec->qdb[i].value;
	}
	fds[0] = log;
	return send_msg(fd, msg, fds, spec->mode == VMM_BOOT ? 1 : 2);
}

/* A QEMU that was taken over could fill the pool through the one file it may write. The limit is
 * inherited: the monitor and the daemons write nothing that comes near it. */
static int limit_files(void *data)
{
	const struct vmm_spec *spec = data;
	struct rlimit limit = {0};

	for (unsigned i = 0; i < spec->n_disks; i++) {
		const uint64_t size = spec->disks[i].size;

		if (!spec->disks[i].writable)
			continue;
		if (size == 0)
			return 0;
		if (limit.rlim_max < size + VMM_FILE_SPARE(size))
			limit.rlim_max = size + VMM_FILE_SPARE(size);
	}
	if (limit.rlim_max == 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_FSIZE, &limit) < 0 ? fail_errno() : 0;
}

static int spawn_monitor(struct start *s)
{
	/* whose it is, for who lists processes; exec's old habit, nobody writes there */
	char path[PATH_MAX], *argv[] = {(char *)"qube-monitor", (char *)s->spec->run_dir,
					(char *)s->spec->name, NULL};
	AUTO_CLOSE int theirs = NO_FD;
	struct spawn_fd map;
	int pair[2], r;

	r = program_find("qube-monitor", path, sizeof(path));
	if (r < 0) {
		say(s->error, s->error_size,
		    "Bulkhead's program qube-monitor is missing; is it installed?");
		return r;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno();
	s->channel = pair[0];
	theirs = pair[1];
	map = (struct spawn_fd){.from = theirs, .to = START_FD};
	return spawn(&(struct spawn){.path = path,
				     .argv = argv,
				     .fds = &map,
				     .n_fds = 1,
				     .new_group = true,
				     .no_new_privs = true,
				     .prepare = limit_files,
				     .data = (void *)s->spec},
		     &s->monitor_pid, &s->monitor);
}

/* QEMU is no child of ours. One whose monitor died is killed by the kernel, which takes its time; the qube's files are its until then */
static void await_qemu(struct start *s)
{
	struct pollfd p = {.fd = s->qemu, .events = POLLIN};
	const uint64_t end = io_now_ms() + MONITOR_TIMEOUT_MS;
	uint64_t now = io_now_ms();

	if (s->qemu < 0)
		return;
	spawn_signal(s->qemu, SIGKILL);
	while (now < end && poll(&p, 1, (int)(end - now)) < 0 && errno == EINTR)
		now = io_now_ms();
	close_fd(&s->qemu);
}

/* the monitor cleans up by itself; one that cannot is killed, and its children with it */
static void stop_monitor(struct start *s)
{
	struct child_end end;

	close_fd(&s->channel);
	if (s->monitor < 0)
		return;
	spawn_signal(s->monitor, SIGTERM);
	if (spawn_wait(s->monitor, MONITOR_TIMEOUT_MS, &end) == -ETIMEDOUT) {
		spawn_signal(s->monitor, SIGKILL);
		(void)!spawn_wait(s->monitor, MONITOR_TIMEOUT_MS, &end);
	}
	close_fd(&s->monitor);
	await_qemu(s);
	(void)!sweep_qube(s->spec->run_dir, s->spec->domid, s->spec->name);
}

static int gone(struct start *s, const struct monitor_status *st)
{
	say(s->error, s->error_size, "%s did not start: %s", s->spec->name, st->why);
	return st->error == 0 || st->error > 4095 ? -EIO : -(int)st->error;
}

static int timed_out(struct start *s, enum monitor_stage stage, unsigned after_ms)
{
	say(s->error, s->error_size,
	    stage == MONITOR_SPAWNED ? "QEMU did not come up for %s within %u s"
				     : "%s did not answer within %u s (qrexec_timeout)",
	    s->spec->name, after_ms / 1000);
	return -ETIMEDOUT;
}

static int silent(struct start *s)
{
	say(s->error, s->error_size, "%s showed no sign of life within %u s", s->spec->name,
	    s->spec->silent_ms / 1000);
	return -ETIME;
}

/* the order of stages, which their numbers are not */
static unsigned how_far(enum monitor_stage stage)
{
	switch (stage) {
	case MONITOR_SPAWNED:
		break;
	case MONITOR_BOOTING:
		return 1;
	case MONITOR_AWAKE:
		return 2;
	case MONITOR_READY:
		return 3;
	}
	return 0;
}

static int listen_until_ready(struct start *s)
{
	const unsigned limit_ms = s->spec->qrexec && s->spec->qrexec_timeout_ms > 0
					  ? s->spec->qrexec_timeout_ms
					  : BOOT_TIMEOUT_MS;
	const uint64_t end = io_now_ms() + limit_ms;
	uint64_t sign_end = end;
	enum monitor_stage stage = MONITOR_SPAWNED;
	bool spawned = false;
	uint8_t buf[2048];
	struct monitor_msg msg = {0};

	for (;;) {
		const uint64_t until = stage == MONITOR_BOOTING ? sign_end : end;
		uint64_t now = io_now_ms();
		int r = qemu_recv(s->channel, now < until ? (int)(until - now) : 0, buf,
				  sizeof(buf), &msg);

		if (r == -ETIMEDOUT)
			return until < end ? silent(s) : timed_out(s, stage, limit_ms);
		if (r == 0 && msg.type != MONITOR_STATUS)
			r = -EPROTO;
		if (r < 0) {
			say(s->error, s->error_size,
			    "%s did not start: its monitor failed (%s); its log says more",
			    s->spec->name, log_errno_str(r));
			return r;
		}
		if (msg.status.state == MONITOR_GONE)
			return gone(s, &msg.status);
		if (s->qemu < 0 && msg.status.qemu_pid > 0 &&
		    qemu_open((pid_t)msg.status.qemu_pid, s->monitor_pid, &s->qemu) < 0)
			log_debug(s->spec->name, "its QEMU is not to be seen");
		if (!spawned && s->progress)
			s->progress(s->data, VMM_STAGE_SPAWNED);
		spawned = true;
		if (how_far(msg.status.stage) > how_far(stage)) {
			if (stage == MONITOR_SPAWNED && s->progress)
				s->progress(s->data, VMM_STAGE_BOOTING);
			stage = msg.status.stage;
			now = io_now_ms();
			/* how long QEMU took to come up is no fault of the guest's */
			if (stage == MONITOR_BOOTING && s->spec->silent_ms > 0 &&
			    now + s->spec->silent_ms < end)
				sign_end = now + s->spec->silent_ms;
		}
		if (stage != MONITOR_READY)
			continue;
		if (s->progress)
			s->progress(s->data, VMM_STAGE_READY);
		return 0;
	}
}

/* which build of QEMU: its file, which an upgrade replaces */
static int put_program(const char *path, char *to, size_t size)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return fail_errno();
	return str_format(to, size, "%s %llu %llu %lld.%09ld\n", path,
			  (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
			  (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

/*
 * Asks what @q is, whose path is known. That takes 10 to 20 ms, a good part of what a fork costs dom0: so the answer is kept in the run
 * directory, behind the file that gave it.
 */
static void ask_version(const struct vmm_spec *spec, struct machine_qemu *q)
{
	char path[PATH_MAX], text[512];
	AUTO_FREE char *kept = NULL;
	size_t len;
	int r = put_program(q->path, text, sizeof(text));

	r = r < 0 ? r : str_format(path, sizeof(path), "%s/qemu-version", spec->run_dir);
	if (r < 0)
		return;
	len = strlen(text);
	/* a line end says that it is whole */
	if (io_read_file(AT_FDCWD, path, sizeof(text), &kept, NULL) == 0 &&
	    strncmp(kept, text, len) == 0 && strchr(kept + len, '\n')) {
		(void)snprintf(q->version, sizeof(q->version), "%.*s",
			       (int)strcspn(kept + len, "\n"), kept + len);
		return;
	}
	if (machine_qemu(true, q) < 0 || q->version[0] == '\0')
		return;
	r = str_format(text + len, sizeof(text) - len, "%s\n", q->version);
	r = r < 0 ? r : io_write_file(AT_FDCWD, path, text, strlen(text), 0600);
	if (r < 0)
		log_warn(spec->name, "QEMU's version is asked for again next time: %s",
			 log_errno_str(r));
}

/* asked for once: a fork needs it for its zygote's key and for itself */
static bool one_cpu(const struct vmm_spec *spec, const struct machine_qemu *found, bool kvm)
{
	static struct machine_qemu asked;

	if (kvm || spec->vcpus == 1)
		return false;
	if (!str_eq(asked.path, found->path)) {
		asked = *found;
		ask_version(spec, &asked);
	}
	return !machine_qemu_emulates_many(asked.version);
}

static int prepare(struct start *s, struct qemu_argv *a)
{
	const struct vmm_spec *spec = s->spec;
	struct machine_accel accel;
	struct machine_tsc began;
	struct machine_qemu qemu;
	int r;

	machine_tsc_now(&began);
	r = machine_qemu(false, &qemu);
	if (r < 0) {
		say(s->error, s->error_size,
		    "QEMU is not installed: sudo apt-get install qemu-system-x86");
		return -ENOENT;
	}
	r = check_memory(spec, s->error, s->error_size);
	r = r < 0 ? r : check_readable(spec, s->error, s->error_size);
	if (r < 0)
		return r;
	machine_accel(&accel);
	return qemu_argv_build(spec,
			       &(struct qemu_host){.program = qemu.path,
						   .kvm = accel.kvm,
						   .one_cpu = one_cpu(spec, &qemu, accel.kvm),
						   .tsc_khz = machine_tsc_khz(&began)},
			       a);
}

/* what a guest sees of the host's processor */
static int put_processor(char *to, size_t size)
{
	AUTO_FREE char *text = NULL;
	const char *model, *flags;
	int r = io_read_file(AT_FDCWD, "/proc/cpuinfo", 4 << 20, &text, NULL);

	if (r < 0)
		return r;
	model = strstr(text, "model name");
	flags = strstr(text, "\nflags");
	return str_format(to, size, "%.*s%.*s\n", model ? (int)strcspn(model, "\n") : 0,
			  model ? model : "", flags ? (int)strcspn(flags + 1, "\n") + 1 : 0,
			  flags ? flags : "");
}

int vmm_shape(const struct vmm_spec *spec, char *to, size_t size)
{
	AUTO_FREE struct qemu_argv *a = malloc(sizeof(*a));
	struct vmm_spec shape = *spec;
	struct machine_accel accel;
	struct machine_qemu qemu;
	size_t at;
	int r;

	if (!a)
		return -ENOMEM;
	if (machine_qemu(false, &qemu) < 0)
		return -ENOENT;
	machine_accel(&accel);
	shape.mode = VMM_ZYGOTE;
	shape.name = "zygote";
	shape.uuid = "";
	/* numbers of descriptors stand in the text: any will do, as long as there are as many */
	shape.memory_fd = shape.kernel_fd = shape.initrd_fd = STDIN_FILENO;
	for (unsigned i = 0; i < shape.n_disks; i++) {
		shape.disks[i].n_chain = 1;
		shape.disks[i].fds[0] = STDIN_FILENO;
		shape.disks[i].formats[0] = VMM_RAW;
		shape.disks[i].encrypted = false;
	}
	shape.n_nics = 0;
	shape.more_mib = 0;
	shape.gives_back = false;
	r = qemu_argv_build(&shape,
			    &(struct qemu_host){.program = qemu.path,
						.kvm = accel.kvm,
						.one_cpu = one_cpu(spec, &qemu, accel.kvm)},
			    a);
	r = r < 0 ? r : put_program(qemu.path, to, size);
	at = r < 0 ? 0 : strlen(to);
	r = r < 0 ? r : put_processor(to + at, size - at);
	for (unsigned i = 0; r >= 0 && i < a->n_args; i++) {
		at += strlen(to + at);
		r = str_format(to + at, size - at, "%s\n", a->argv[i]);
	}
	return r < 0 ? r : 0;
}

int vmm_start(const struct vmm_spec *spec, void (*progress)(void *, enum vmm_stage), void *data,
	      char *error, size_t error_size)
{
	struct start s = {.spec = spec,
			  .channel = NO_FD,
			  .monitor = NO_FD,
			  .qemu = NO_FD,
			  .error = error,
			  .error_size = error_size,
			  .progress = progress,
			  .data = data};
	AUTO_FREE struct qemu_argv *a = malloc(sizeof(*a));
	int r;

	if (error && error_size > 0)
		error[0] = '\0';
	r = a ? prepare(&s, a) : -ENOMEM;
	r = r < 0 ? r : spawn_monitor(&s);
	r = r < 0 ? r : send_fds(s.channel, a);
	r = r < 0 ? r : send_start(s.channel, spec, a);
	r = r < 0 ? r : listen_until_ready(&s);
	if (r < 0 || spec->mode == VMM_ZYGOTE)
		stop_monitor(&s);
	if (r < 0) {
		if (error && error_size > 0 && error[0] == '\0')
			say(error, error_size, "%s did not start: %s", spec->name,
			    log_errno_str(r));
		return r;
	}
	close_fd(&s.channel);
	close_fd(&s.monitor);
	close_fd(&s.qemu);
	return 0;
}
