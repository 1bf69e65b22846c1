/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead doctor: can this machine run qubes, how well, and what to do about each gap.
 *
 * A problem keeps the main things from working; a note says what is slower, weaker or not possible.
 * Nothing is changed. Each check is one row of the table at the end.
 */
#include "bulkhead.h"

#include "base/io.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/paths.h"
#include "base/str.h"
#include "grid.h"
#include "ui.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>

#define MIB ((uint64_t)1 << 20)

/* what a couple of Debian qubes need beside a desktop */
#define MEMORY_LEAST_MIB  1500
#define MEMORY_ENOUGH_MIB 4000
/* a template and its building, and something to live in */
#define DISK_LEAST_MIB   4000
#define DISK_ENOUGH_MIB  15000
#define QEMU_LEAST_MAJOR 7
#define QEMU_LEAST_MINOR 2
#define SUBIDS_LEAST     65536
#define FILES_LEAST      4096

enum { JSON = OPTION_OWN };

enum verdict { FINE, NOTE, PROBLEM };

/** struct finding - @todo: what the user can do; empty = nothing */
struct finding {
	enum verdict verdict;
	char text[400], todo[400];
};

static void PRINTF_LIKE(3, 4) find(struct finding *f, enum verdict verdict, const char *format, ...)
{
	va_list list;

	f->verdict = verdict;
	va_start(list, format);
	(void)vsnprintf(f->text, sizeof(f->text), format, list);
	va_end(list);
}

static void PRINTF_LIKE(2, 3) advise(struct finding *f, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	(void)vsnprintf(f->todo, sizeof(f->todo), format, list);
	va_end(list);
}

/* a small file of /proc or /sys as text without its last newline; empty if it cannot be read */
static void read_text(const char *path, char *to, size_t size)
{
	ssize_t n = -1;

	to[0] = '\0';
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, to, size - 1);
	if (n < 0)
		return;
	to[n] = '\0';
	to[strcspn(to, "\n")] = '\0';
}

static const char *user_name(void)
{
	const struct passwd *p = getpwuid(geteuid());

	return p ? p->pw_name : "YOU";
}

static void check_processor(struct finding *f)
{
	struct machine_accel accel;

	machine_accel(&accel);
	if (accel.kvm) {
		find(f, FINE, "KVM: %s", accel.why);
		return;
	}
	find(f, NOTE, "TCG, in software, which is slow: %s", accel.why);
	if (strstr(accel.why, "may not open"))
		advise(f, "sudo usermod -aG kvm %s, then log in again", user_name());
	else if (strstr(accel.why, "no /dev/kvm"))
		advise(f, "sudo modprobe -a kvm-intel kvm-amd; look for virtualization in the "
			  "firmware's "
			  "set-up");
	else
		advise(f, "on a real machine switch on VT-x or AMD-V in the firmware's set-up; "
			  "inside a "
			  "virtual one, nested virtualization on its host");
}

static void check_qemu(struct finding *f)
{
	struct machine_accel accel;
	struct machine_qemu qemu;
	unsigned long major, minor = 0;
	char *end;

	if (machine_qemu(true, &qemu) < 0) {
		find(f, PROBLEM, "qemu-system-x86_64 is not installed");
		advise(f, "sudo apt-get install --no-install-recommends qemu-system-x86");
		return;
	}
	machine_accel(&accel);
	major = strtoul(qemu.version, &end, 10);
	if (*end == '.')
		minor = strtoul(end + 1, NULL, 10);
	if (end == qemu.version || *end != '.')
		find(f, PROBLEM, "%s does not say its version", qemu.path);
	else if (major < QEMU_LEAST_MAJOR ||
		 (major == QEMU_LEAST_MAJOR && minor < QEMU_LEAST_MINOR))
		find(f, PROBLEM, "QEMU %s is too old: %d.%d at least", qemu.version,
		     QEMU_LEAST_MAJOR, QEMU_LEAST_MINOR);
	else
		find(f, FINE, "QEMU %s (%s)%s", qemu.version, qemu.path,
		     accel.kvm || machine_qemu_emulates_many(qemu.version)
			     ? ""
			     : "; before 8.1 it emulates one processor per qube");
}

static bool have_program(const char *name)
{
	static const char *const dirs[] = {"/usr/bin", "/usr/sbin",      "/bin",
					   "/sbin",    "/usr/local/bin", "/usr/local/sbin"};
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (str_format(path, sizeof(path), "%s/%s", dirs[i], name) == 0 &&
		    access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static void check_packages(struct finding *f)
{
	static const char *const needed[][2] = {
		{"qemu-system-x86_64", "qemu-system-x86"},
		{"qemu-img", "qemu-utils"},
		{"mmdebstrap", "mmdebstrap"},
		{"newuidmap", "uidmap"},
		{"mke2fs", "e2fsprogs"},
		{"cpio", "cpio"},
		{"zstd", "zstd"},
		{"xz", "xz-utils"},
		{"depmod", "kmod"},
		{"apt-get", "apt"},
		{"unshare", "util-linux"},
	};
	char missing[300] = "";
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		if (!have_program(needed[i][0]))
			n += (size_t)snprintf(missing + n, sizeof(missing) - n, " %s",
					      needed[i][1]);
	}
	if (access("/usr/share/keyrings/debian-archive-keyring.gpg", R_OK) < 0)
		n += (size_t)snprintf(missing + n, sizeof(missing) - n, " debian-archive-keyring");
	if (n == 0) {
		find(f, FINE, "all that is needed is installed");
		return;
	}
	find(f, PROBLEM, "missing:%s", missing);
	advise(f, "sudo apt-get install --no-install-recommends%s", missing);
}

static void check_memory(struct finding *f)
{
	struct machine_memory host;
	uint64_t total, available;

	if (machine_memory(&host) < 0) {
		find(f, NOTE, "/proc/meminfo cannot be read");
		return;
	}
	total = host.total_kib / 1024;
	available = host.available_kib / 1024;
	find(f, FINE, "%llu MiB, %llu of them free for qubes (a Debian qube takes 400)",
	     (unsigned long long)total, (unsigned long long)available);
	if (available < MEMORY_LEAST_MIB) {
		f->verdict = PROBLEM;
		advise(f, "close programs; two qubes and their building want %u MiB",
		       MEMORY_LEAST_MIB);
	} else if (available < MEMORY_ENOUGH_MIB) {
		f->verdict = NOTE;
		advise(f, "enough for a few small qubes");
	}
}

/* the folder itself or the nearest one above it that exists */
static void existing(char *path)
{
	while (access(path, F_OK) < 0) {
		char *slash = strrchr(path, '/');

		if (!slash || slash == path) {
			path[0] = '/';
			path[1] = '\0';
			return;
		}
		*slash = '\0';
	}
}

/* where the state is or will be */
static int state_dir(char *to, size_t size)
{
	const char *home = getenv("BULKHEAD_HOME");
	struct paths paths;
	int r;

	r = paths_init(&paths, false);
	if (r == 0) {
		r = str_format(to, size, "%s", paths.state);
		paths_done(&paths);
		return r;
	}
	if (home && home[0] == '/')
		return str_format(to, size, "%s/state", home);
	home = getenv("HOME");
	return str_format(to, size, "%s/.local/state/bulkhead",
			  home && home[0] == '/' ? home : "/");
}

static void check_disk(struct finding *f)
{
	char dir[PATH_MAX];
	struct statvfs s;
	uint64_t free_mib;

	if (state_dir(dir, sizeof(dir)) < 0) {
		find(f, PROBLEM, "the path of the instance is too long");
		return;
	}
	existing(dir);
	if (statvfs(dir, &s) < 0) {
		find(f, PROBLEM, "%s: %s", dir, log_errno_str(errno));
		return;
	}
	free_mib = (uint64_t)s.f_bavail * s.f_frsize / MIB;
	find(f, FINE, "%llu GiB free at %.200s", (unsigned long long)(free_mib / 1024), dir);
	if (free_mib < DISK_LEAST_MIB) {
		f->verdict = PROBLEM;
		advise(f,
		       "a template and its building want %u GiB; BULKHEAD_HOME can name a folder "
		       "on "
		       "another disk",
		       (DISK_LEAST_MIB + 1023) / 1024);
	} else if (free_mib < DISK_ENOUGH_MIB) {
		f->verdict = NOTE;
		advise(f, "enough for one template and a few qubes");
	}
	if (access(dir, W_OK | X_OK) < 0) {
		find(f, PROBLEM, "%.200s cannot be written", dir);
		advise(f, "BULKHEAD_HOME can name another folder");
	}
}

static void check_iommu(struct finding *f)
{
	char cmdline[4096];
	unsigned n = 0;
	struct dirent *e;
	DIR *dir = opendir("/sys/kernel/iommu_groups");

	while (dir && (e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	if (n > 0) {
		find(f, FINE, "%u groups of devices", n);
		return;
	}
	read_text("/proc/cmdline", cmdline, sizeof(cmdline));
	find(f, NOTE, "no IOMMU in use, so no PCI device can be given to a qube%s",
	     strstr(cmdline, "iommu=off") ? " (the kernel's command line switches it off)" : "");
	advise(f,
	       "needed only for a qube that drives the real network card or USB: switch on VT-d or "
	       "AMD-Vi in the firmware's set-up and boot with intel_iommu=on or amd_iommu=on");
}

/* a child tries it; 0 or the errno */
static int try_user_namespace(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return EAGAIN;
	return WEXITSTATUS(status);
}

const char *namespaces_mend(void)
{
	static const struct {
		const char *path, *bad, *mend;
	} switches[] = {
		{"/proc/sys/kernel/unprivileged_userns_clone", "0",
		 "sudo sysctl -w kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
		 "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"},
		{"/proc/sys/user/max_user_namespaces", "0",
		 "sudo sysctl -w user.max_user_namespaces=15000"},
	};
	char text[32];

	for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
		read_text(switches[i].path, text, sizeof(text));
		if (str_eq(text, switches[i].bad))
			return switches[i].mend;
	}
	return NULL;
}

static void check_namespaces(struct finding *f)
{
	const char *mend = namespaces_mend();
	int r = try_user_namespace();

	if (r == 0) {
		find(f, FINE, "can be made");
		return;
	}
	find(f, geteuid() == 0 ? NOTE : PROBLEM, "cannot be made (%s)%s", log_errno_str(r),
	     geteuid() == 0 ? "; the daemons of qubes have one wall less"
			    : "; templates cannot be built");
	if (mend)
		advise(f, "%s", mend);
}

static void check_landlock(struct finding *f)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi > 0) {
		find(f, FINE, "version %ld", abi);
		return;
	}
	find(f, NOTE, "not in this kernel (%s); the daemons of qubes have one wall less",
	     log_errno_str(errno));
	advise(f, "boot with lsm=landlock,... or a kernel that has it (5.13 or later)");
}

static bool is_line_of(const char *line, size_t len, const char *name)
{
	size_t n = strlen(name);

	return len > n && memcmp(line, name, n) == 0 && line[n] == ':';
}

/* how many ids a file like /etc/subuid gives this user in its largest range */
static uint64_t subids(const char *path)
{
	AUTO_FREE char *text = NULL;
	char number[24];
	uint64_t most = 0;

	if (io_read_file(AT_FDCWD, path, 1u << 20, &text, NULL) < 0)
		return 0;
	(void)snprintf(number, sizeof(number), "%u", geteuid());
	for (const char *at = text; *at != '\0';) {
		size_t len = strcspn(at, "\n");

		if (is_line_of(at, len, user_name()) || is_line_of(at, len, number)) {
			const char *count = memrchr(at, ':', len);
			uint64_t n = strtoull(count + 1, NULL, 10);

			most = n > most ? n : most;
		}
		at += len + (at[len] == '\n');
	}
	return most;
}

static void check_subids(struct finding *f)
{
	uint64_t uids, gids;

	if (geteuid() == 0) {
		find(f, FINE, "not needed as root");
		return;
	}
	uids = subids("/etc/subuid");
	gids = subids("/etc/subgid");
	if (uids >= SUBIDS_LEAST && gids >= SUBIDS_LEAST && have_program("newuidmap")) {
		find(f, FINE, "%llu users, %llu groups", (unsigned long long)uids,
		     (unsigned long long)gids);
		return;
	}
	if (uids >= SUBIDS_LEAST && gids >= SUBIDS_LEAST) {
		find(f, PROBLEM, "newuidmap is not installed; templates cannot be built");
		advise(f, "sudo apt-get install --no-install-recommends uidmap");
		return;
	}
	find(f, PROBLEM, "%s has no range of %u subordinate ids; templates cannot be built",
	     user_name(), SUBIDS_LEAST);
	advise(f, "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s",
	       user_name());
}

static void check_clock(struct finding *f)
{
	struct timex t = {0};
	time_t now = time(NULL);
	struct tm tm;
	char text[32] = "?";

	if (gmtime_r(&now, &tm))
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm);
	if (now < 1704067200) { /* 2024 */
		find(f, PROBLEM, "it says %s, which cannot be: signatures will not verify", text);
		advise(f, "sudo date -s 'YYYY-MM-DD HH:MM'");
		return;
	}
	find(f, FINE, "%s%s", text,
	     adjtimex(&t) == TIME_ERROR ? ", not synchronised" : ", synchronised");
}

static void check_limits(struct finding *f)
{
	struct rlimit files, processes;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_NPROC, &processes) < 0) {
		find(f, NOTE, "cannot be read");
		return;
	}
	if (files.rlim_max != RLIM_INFINITY && files.rlim_max < FILES_LEAST) {
		find(f, PROBLEM, "a process may open %llu files, which is too few",
		     (unsigned long long)files.rlim_max);
		advise(f, "ulimit -Hn %u, or raise nofile in /etc/security/limits.conf",
		       FILES_LEAST);
		return;
	}
	find(f, FINE, "%llu open files", (unsigned long long)files.rlim_max);
	if (processes.rlim_cur != RLIM_INFINITY && processes.rlim_cur < 512) {
		find(f, NOTE, "this user may have only %llu processes",
		     (unsigned long long)processes.rlim_cur);
		advise(f, "ulimit -u 4096, or raise nproc in /etc/security/limits.conf");
	}
}

static void check_run_dir(struct finding *f)
{
	struct paths paths;
	int r = paths_init(&paths, false);

	if (r == 0) {
		find(f, FINE, "%s", paths.run);
		paths_done(&paths);
	} else if (r == -ENOENT) {
		find(f, FINE, "made at the first start");
	} else if (r == -EPERM) {
		find(f, PROBLEM, "it belongs to another user, or others may write to it");
		advise(f, "remove it, or set XDG_RUNTIME_DIR to a folder of your own");
	} else {
		find(f, PROBLEM, "%s", log_errno_str(r));
	}
}

static const struct check {
	const char *name;
	void (*run)(struct finding *f);
} checks[] = {
	{"processor", check_processor},
	{"qemu", check_qemu},
	{"packages", check_packages},
	{"memory", check_memory},
	{"disk", check_disk},
	{"iommu", check_iommu},
	{"namespaces", check_namespaces},
	{"landlock", check_landlock},
	{"subuid", check_subids},
	{"clock", check_clock},
	{"limits", check_limits},
	{"run dir", check_run_dir},
};

static void print_json(const struct finding *found)
{
	static const char *const words[] = {"ok", "note", "problem"};

	(void)puts("[");
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		(void)printf(" {\"check\": \"%s\", \"result\": \"%s\", \"text\": ", checks[i].name,
			     words[found[i].verdict]);
		json_put_text(found[i].text);
		(void)fputs(", \"todo\": ", stdout);
		json_put_text(found[i].todo);
		(void)puts(i + 1 < ARRAY_LEN(checks) ? "}," : "}");
	}
	(void)puts("]");
}

#define INDENT 21
#define WIDTH  80

/* @text behind what stands in the line already, to column WIDTH; a command stays one line, to be copied */
static void put_wrapped(const char *text, size_t indent)
{
	size_t column = indent;

	if (str_starts(text, "sudo ")) {
		(void)puts(text);
		return;
	}
	while (*text != '\0') {
		const size_t len = strcspn(text, " ");

		if (column > indent && column + 1 + len > WIDTH) {
			(void)printf("\n%*s", (int)indent, "");
			column = indent;
		}
		(void)printf("%s%.*s", column > indent ? " " : "", (int)len, text);
		column += len + (column > indent ? 1 : 0);
		text += len + (text[len] == ' ' ? 1 : 0);
	}
	(void)putchar('\n');
}

static void print_plain(const struct finding *found)
{
	static const char *const words[][2] = {
		{"ok     ", "\033[32m"}, {"note   ", "\033[33m"}, {"problem", "\033[31m"}};
	bool colours = ui_colours();

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		const struct finding *f = &found[i];

		(void)printf("%s%s%s  %-10s  ", colours ? words[f->verdict][1] : "",
			     words[f->verdict][0], colours ? "\033[0m" : "", checks[i].name);
		put_wrapped(f->text, INDENT);
		if (f->todo[0] == '\0')
			continue;
		(void)printf("%*s-> ", INDENT, "");
		put_wrapped(f->todo, INDENT + 3);
	}
}

static int run(const struct args *a)
{
	AUTO_FREE struct finding *found = calloc(ARRAY_LEN(checks), sizeof(*found));
	unsigned n_problems = 0;

	if (a->n_words > 0) {
		(void)ui_usage(a, "it takes no arguments, but got '%s'", a->words[0]);
		return 2;
	}
	if (!found)
		return ui_fail(a, "out of memory");
	(void)fflush(stdout);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		checks[i].run(&found[i]);
		n_problems += found[i].verdict == PROBLEM;
	}
	if (args_has(a, JSON))
		print_json(found);
	else
		print_plain(found);
	return n_problems > 0 ? 1 : 0;
}

static const struct option options[] = {
	{JSON, 0, "json", NULL, "for programs: a list of objects"},
	{0},
};

const struct command bulkhead_doctor = {
	.name = "doctor",
	.summary = "say whether this machine can run qubes, and what to do about each gap",
	.synopses = {"[--json]"},
	.text = "One line for each thing that matters: ok, note (slower, weaker or not possible) "
		"or "
		"problem, and below\n"
		"it what can be done. Nothing is changed. Qubes run under KVM only where the "
		"processor shows VT-x or\n"
		"AMD-V; in some virtual machines /dev/kvm exists and hangs. Exit status 0 unless "
		"there is a problem.",
	.options = options,
	.run = run,
};
