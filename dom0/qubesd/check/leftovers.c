/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What no qube owns: folders of volumes, files and sockets of the run directory, processes.
 *
 * First all suspects are noted, then the store is asked: a qube writes itself, and its start, into the store before
 * anything of it exists. A suspect that has meanwhile gone by itself is none.
 */
#include "check.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "base/sweep.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MAX_PARENTS 8    /* from a program of a qube up to its monitor */
#define N_LOST      1000 /* names tried for one that is put aside */
#define DYING_MS    3000 /* all together may take so long to end */

enum what { POOL_FOLDER, RUN_FOLDER, RUN_NOTE, RUN_SOCKET, RUN_LINK, MONITOR, PROCESS };

/**
 * struct suspect
 * @dir, @name:	where it is
 * @domid:	RUN_FOLDER, RUN_NOTE, MONITOR
 * @pid:	MONITOR, PROCESS; @name is what it is called
 */
struct suspect {
	struct suspect *next;
	enum what what;
	unsigned domid;
	pid_t pid;
	char dir[PATH_MAX], name[NAME_MAX + 1];
};

struct suspects {
	struct suspect *first;
	int fault;
};

static void suspects_done(struct suspects *s)
{
	while (s->first) {
		struct suspect *next = s->first->next;

		free(s->first);
		s->first = next;
	}
}

static struct suspect *note(struct suspects *s, enum what what, const char *dir, const char *name)
{
	struct suspect *one = calloc(1, sizeof(*one));

	if (!one || str_format(one->dir, sizeof(one->dir), "%s", dir) < 0 ||
	    str_format(one->name, sizeof(one->name), "%s", name) < 0) {
		free(one);
		s->fault = -ENOMEM;
		return NULL;
	}
	one->what = what;
	one->next = s->first;
	s->first = one;
	return one;
}

/* each entry of a folder; one that is not there has none */
static void each(struct suspects *s, const char *dir,
		 void (*look)(struct suspects *s, const char *dir, const char *name))
{
	DIR *d = opendir(dir);

	if (!d && errno != ENOENT)
		s->fault = fail_errno();
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			look(s, dir, e->d_name);
	(void)closedir(d);
}

static void look_at_folder(struct suspects *s, const char *dir, const char *name)
{
	(void)note(s, POOL_FOLDER, dir, name);
}

/* Return: 0 somebody listens at @path; -ECONNREFUSED nobody does; -errno */
static int knock(const char *path, pid_t *ret_pid)
{
	AUTO_CLOSE int fd = NO_FD;
	struct ucred who = {0};
	socklen_t len = sizeof(who);
	int r = io_unix_connect_now(path, SOCK_STREAM, &fd);

	if (r == -EPROTOTYPE)
		r = io_unix_connect_now(path, SOCK_SEQPACKET, &fd);
	if (r == -EAGAIN)
		return 0;
	if (r == 0 && ret_pid && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
		*ret_pid = who.pid;
	return r;
}

static void look_at_socket(struct suspects *s, const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	if (str_format(path, sizeof(path), "%s/%s", dir, name) < 0 || lstat(path, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode) && knock(path, NULL) == -ECONNREFUSED)
		(void)note(s, RUN_SOCKET, dir, name);
	else if (S_ISLNK(st.st_mode) && stat(path, &st) < 0 && errno == ENOENT)
		(void)note(s, RUN_LINK, dir, name);
}

/* run/q: DOMID, DOMID.clean */
static void look_at_q(struct suspects *s, const char *dir, const char *name)
{
	size_t len = strlen(name), digits = strspn(name, "0123456789");
	bool is_note = str_eq(name + digits, ".clean");
	char path[PATH_MAX], number[16];
	struct suspect *one;
	pid_t pid = 0;
	uint64_t domid;

	if ((digits < len && !is_note) || str_copy(number, sizeof(number), name, digits) < 0 ||
	    str_u64(number, PATHS_DOMID_MAX, &domid) < 0)
		return;
	one = note(s, is_note ? RUN_NOTE : RUN_FOLDER, dir, name);
	if (!one)
		return;
	one->domid = (unsigned)domid;
	if (!is_note && str_format(path, sizeof(path), "%s/%s/monitor.sock", dir, name) == 0 &&
	    knock(path, &pid) == 0) {
		one->what = MONITOR;
		one->pid = pid;
	}
}

/* ---- processes ---- */

/* "comm" and parent of a process; one that has ended and is not collected yet is none */
static bool process_read(const char *pid, char *comm, size_t size, pid_t *ret_parent)
{
	AUTO_FREE char *text = NULL;
	char path[64];
	const char *open, *close;

	if (str_format(path, sizeof(path), "/proc/%s/stat", pid) < 0 ||
	    io_read_file(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return false;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	/* PID (COMM) STATE PARENT */
	if (!open || !close || strlen(close) < 4 || close[2] == 'Z' || close[2] == 'X')
		return false;
	*ret_parent = (pid_t)strtol(close + 3, NULL, 10);
	return str_copy(comm, size, open + 1, (size_t)(close - open - 1)) == 0;
}

static bool runs(pid_t pid)
{
	char number[16], comm[64];
	pid_t parent;

	(void)snprintf(number, sizeof(number), "%d", pid);
	return process_read(number, comm, sizeof(comm), &parent);
}

/* is a monitor that lives among those whose child or grandchild it is? */
static bool has_monitor(pid_t parent)
{
	char number[16], comm[64];

	for (unsigned i = 0; i < MAX_PARENTS && parent > 1; i++) {
		(void)snprintf(number, sizeof(number), "%d", parent);
		if (!process_read(number, comm, sizeof(comm), &parent))
			return false;
		if (str_eq(comm, "qube-monitor"))
			return true;
	}
	return false;
}

/* @word is @path or below it, or an option that has such a value */
static bool is_below(const char *word, const char *path)
{
	const char *value = word[0] == '-' ? strchr(word, '=') : NULL;
	const size_t len = strlen(path);

	if (value)
		word = value + 1;
	return strncmp(word, path, len) == 0 && (word[len] == '\0' || word[len] == '/');
}

static bool is_same(const char *word, const char *words)
{
	return str_eq(word, words);
}

/* does @file of /proc/PID hold a NUL-terminated string that is @words? What may not be read does not. */
static bool process_has(const char *pid, const char *file,
			bool (*is)(const char *word, const char *words), const char *words)
{
	AUTO_FREE char *text = NULL;
	char path[64];
	size_t len, at = 0;

	if (str_format(path, sizeof(path), "/proc/%s/%s", pid, file) < 0 ||
	    io_read_file(AT_FDCWD, path, 4u << 20, &text, &len) < 0)
		return false;
	for (; at < len; at += strlen(text + at) + 1)
		if (is(text + at, words))
			return true;
	return false;
}

/* has it something open below the folder @path? Those whose descriptors are all that tells whose they are were given some
 * there; a confined one shows them to root alone. */
static bool process_holds(const char *pid, const char *path)
{
	char dir[64], target[PATH_MAX];
	bool found = false;
	DIR *d;

	if (str_format(dir, sizeof(dir), "/proc/%s/fd", pid) < 0)
		return false;
	d = opendir(dir);
	for (struct dirent *e; d && !found && (e = readdir(d));) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);

		if (n > 0) {
			target[n] = '\0';
			found = target[0] == '/' && is_below(target, path);
		}
	}
	if (d)
		(void)closedir(d);
	return found;
}

static bool is_of_a_qube(const char *comm)
{
	static const char *const names[] = {"vchand", "qubesdb-daemon", "qrexec-daemon",
					    "qrexec-broker", "qemu-system-x86"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(comm, names[i]))
			return true;
	return false;
}

/* A qube's processes are its monitor's children and theirs, and the kernel ends them with it. One that has no monitor any more is
 * nobody's. @run: the run directory */
static void look_at_process(struct suspects *s, const char *run, const char *pid)
{
	const char *home = getenv("BULKHEAD_HOME");
	char comm[64], words[PATH_MAX + 16];
	struct suspect *one;
	pid_t parent;

	if (!isdigit((unsigned char)pid[0]) || !process_read(pid, comm, sizeof(comm), &parent) ||
	    !is_of_a_qube(comm) || has_monitor(parent))
		return;
	if (str_format(words, sizeof(words), "BULKHEAD_HOME=%s", home ? home : "") < 0 ||
	    !((home && process_has(pid, "environ", is_same, words)) ||
	      process_has(pid, "cmdline", is_below, run) || process_holds(pid, run)))
		return;
	one = note(s, PROCESS, run, comm);
	if (one)
		one->pid = (pid_t)strtol(pid, NULL, 10);
}

static void look_at_processes(struct suspects *s, const char *run)
{
	DIR *d = opendir("/proc");

	if (!d) {
		s->fault = fail_errno();
		return;
	}
	for (struct dirent *e; (e = readdir(d));)
		look_at_process(s, run, e->d_name);
	(void)closedir(d);
}

static void find_suspects(const struct check *c, const struct model *m, struct suspects *s)
{
	static const char *const with_sockets[] = {"", "/qubes", "/terminals"};
	char dir[PATH_MAX], path[PATH_MAX];

	for (const struct pool *p = m->pools; p; p = p->next)
		if (pool_dir(c, p, dir, sizeof(dir)) &&
		    str_format(path, sizeof(path), "%s/vm", dir) == 0)
			each(s, path, look_at_folder);
	for (size_t i = 0; i < ARRAY_LEN(with_sockets); i++)
		if (str_format(path, sizeof(path), "%s%s", c->paths.run, with_sockets[i]) == 0)
			each(s, path, look_at_socket);
	if (str_format(path, sizeof(path), "%s/q", c->paths.run) == 0)
		each(s, path, look_at_q);
	look_at_processes(s, c->paths.run);
}

/* ---- judged ---- */

static const struct operation *run_of(const struct model *m, unsigned domid)
{
	for (const struct operation *op = m->operations; op; op = op->next)
		if (str_eq(op->kind, "run") && strtoul(op->detail, NULL, 10) == domid)
			return op;
	return NULL;
}

/* is it a name of one that runs: of its daemons' sockets, or a terminal's? */
static bool names_running(const struct model *m, const char *name)
{
	for (const struct operation *op = m->operations; op; op = op->next) {
		const struct qube *q = model_get(m, op->qid);
		char sockets[4][UNIX_PATH_MAX];

		if (!q || !str_eq(op->kind, "run"))
			continue;
		(void)snprintf(sockets[0], sizeof(sockets[0]), "qrexec.%s", q->name);
		(void)snprintf(sockets[1], sizeof(sockets[1]), "qrexec.uuid:%s", q->uuid);
		(void)snprintf(sockets[2], sizeof(sockets[2]), "qrexec.%.8s", op->detail);
		(void)snprintf(sockets[3], sizeof(sockets[3]), "qubesdb.%s.sock", q->name);
		for (size_t i = 0; i < ARRAY_LEN(sockets); i++)
			if (str_eq(name, sockets[i]))
				return true;
	}
	return false;
}

static bool is_owned(const struct model *m, const struct suspect *s)
{
	char uuid[UUID_LEN + 8];

	switch (s->what) {
	case POOL_FOLDER:
		return str_format(uuid, sizeof(uuid), "uuid:%s", s->name) == 0 &&
		       model_find(m, uuid);
	case RUN_FOLDER:
	case MONITOR:
	case RUN_NOTE:
		return run_of(m, s->domid);
	case RUN_SOCKET:
	case RUN_LINK:
		/* those of qubesd itself stay when it ends, and are replaced as it begins */
		return str_starts(s->name, "qubesd.") || str_eq(s->name, "policy.sock") ||
		       names_running(m, s->name);
	case PROCESS:
		break;
	}
	return false;
}

/* does it still run at @until_ms? The kernel ends it with its monitor, though on a busy machine not at once. */
static bool stays(pid_t pid, uint64_t until_ms)
{
	AUTO_CLOSE int fd = pidfd_open(pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	const uint64_t now_ms = io_now_ms();

	if (fd >= 0)
		(void)poll(&p, 1, now_ms < until_ms ? (int)(until_ms - now_ms) : 0);
	return runs(pid);
}

static bool is_there(const struct suspect *s, uint64_t until_ms)
{
	char path[PATH_MAX];
	struct stat st;

	if (s->what == PROCESS)
		return stays(s->pid, until_ms);
	if (s->what == MONITOR)
		return runs(s->pid);
	return str_format(path, sizeof(path), "%s/%s", s->dir, s->name) == 0 &&
	       lstat(path, &st) == 0;
}

/* ---- mended ---- */

/* POOL/vm/NAME becomes POOL/lost/NAME, or NAME.2...: one rename */
static int put_aside(const struct suspect *s)
{
	AUTO_CLOSE int from = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE int lost = NO_FD;
	char name[NAME_MAX + 16];
	int r = -EEXIST;

	if (from < 0 || (mkdirat(from, "../lost", 0700) < 0 && errno != EEXIST))
		return fail_errno();
	lost = openat(from, "../lost", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (lost < 0)
		return fail_errno();
	for (unsigned i = 1; r == -EEXIST && i < N_LOST; i++) {
		r = i == 1 ? str_format(name, sizeof(name), "%s", s->name)
			   : str_format(name, sizeof(name), "%s.%u", s->name, i);
		if (r == 0 && renameat2(from, s->name, lost, name, RENAME_NOREPLACE) < 0)
			r = fail_errno();
	}
	if (r == 0 && (fsync(lost) < 0 || fsync(from) < 0))
		r = fail_errno();
	return r;
}

/* a process that may have ended, its number another's: looked at again once it cannot change any more */
static int end_process(const struct suspect *s)
{
	AUTO_CLOSE int fd = pidfd_open(s->pid, 0);
	char number[16], comm[64];
	pid_t parent;

	if (fd < 0)
		return errno == ESRCH ? 0 : fail_errno();
	(void)snprintf(number, sizeof(number), "%d", s->pid);
	if (!process_read(number, comm, sizeof(comm), &parent))
		return 0;
	if (!str_eq(comm, s->what == MONITOR ? "qube-monitor" : s->name))
		return s->what == MONITOR ? -EPERM : 0;
	/* a monitor ends its qube and removes what it made */
	return pidfd_send_signal(fd, s->what == MONITOR ? SIGTERM : SIGKILL, NULL, 0) < 0 &&
			       errno != ESRCH
		       ? fail_errno()
		       : 0;
}

static int mend(const struct check *c, const struct suspect *s)
{
	char path[PATH_MAX];
	int r;

	switch (s->what) {
	case POOL_FOLDER:
		return put_aside(s);
	case RUN_FOLDER:
		return sweep_qube(c->paths.run, s->domid, NULL);
	case MONITOR:
	case PROCESS:
		return end_process(s);
	case RUN_NOTE:
	case RUN_SOCKET:
	case RUN_LINK:
		break;
	}
	r = str_format(path, sizeof(path), "%s/%s", s->dir, s->name);
	if (r == 0 && s->what == RUN_SOCKET) {
		/* somebody may listen there by now */
		r = knock(path, NULL);
		r = r == 0 ? -EADDRINUSE : r == -ECONNREFUSED ? 0 : r;
		if (r == -ENOENT)
			return 0;
	}
	return r == 0 && unlink(path) < 0 && errno != ENOENT ? fail_errno() : r;
}

static void report(struct check *c, const struct suspect *s)
{
	static const struct {
		const char *text, *advice;
	} words[] = {
		[POOL_FOLDER] =
			{"volumes of a qube that is not there",
			 "mending puts them aside into the pool's folder lost/: look there before you delete them"},
		[RUN_FOLDER] = {"runtime files of a qube that does not run",
				"mending removes them"},
		[RUN_NOTE] = {"a note about a qube that does not run", "mending removes it"},
		[RUN_SOCKET] = {"a socket that nobody listens at", "mending removes it"},
		[RUN_LINK] = {"a link that leads nowhere", "mending removes it"},
		[MONITOR] = {"a qube runs that the store does not know of (qube-monitor)",
			     "mending ends it"},
		[PROCESS] = {"a process whose qube has ended", "mending kills it"},
	};
	const char *advice = words[s->what].advice;
	char subject[PATH_MAX + NAME_MAX + 2], text[200];
	enum store_mend how = MEND_CAN;
	int r = 0;

	if (s->pid > 0)
		(void)snprintf(subject, sizeof(subject), "%s, process %d",
			       s->what == MONITOR ? "qube-monitor" : s->name, s->pid);
	else
		(void)snprintf(subject, sizeof(subject), "%s/%s", s->dir, s->name);
	if (c->doubt) {
		how = MEND_HAND;
		advice = "mend the store first: what owns this may be what the store has lost";
	} else if (c->mend) {
		r = mend(c, s);
		how = r == 0 ? MEND_DONE : MEND_FAILED;
	}
	(void)snprintf(text, sizeof(text), "%s%s%s", words[s->what].text, r < 0 ? ": " : "",
		       r < 0 ? log_errno_str(r) : "");
	tell(c, "leftover", subject, text, advice, how);
}

int check_leftovers(struct check *c, const struct picture *p)
{
	struct suspects AUTO(suspects_done) s = {0};
	struct picture AUTO(picture_done) later = {0};
	const struct model *m = store_model(p->store);
	char error[512];
	uint64_t until_ms;
	int r;

	tell_progress(90, "looking for leftovers");
	find_suspects(c, m, &s);
	if (s.fault < 0 || !s.first)
		return s.fault;
	if (c->up) {
		r = picture_take(c, false, &later, error, sizeof(error));
		if (r != 0)
			return r < 0 ? r : -EIO;
		m = store_model(later.store);
	}
	until_ms = io_now_ms() + DYING_MS;
	for (const struct suspect *one = s.first; one; one = one->next)
		if (!is_owned(m, one) && is_there(one, until_ms))
			report(c, one);
	return 0;
}
