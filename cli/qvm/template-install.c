/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-template: one installation.
 *
 * Templates are built here from their distribution's signed archive, by the scripts in
 * libexec/bulkhead/template, and then imported into a new TemplateVM. Until the import is whole
 * nothing is kept: an error or Ctrl-C leaves no qube and no files but the cache.
 */
#include "template.h"

#include "base/io.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/program.h"
#include "base/str.h"
#include "loop/spawn.h"
#include "ui.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define CONF_MAX 16384
#define LOG_TAIL 2000 /* bytes of a failed build's log that are shown */

static volatile sig_atomic_t stopped;

static void on_stop(int sig)
{
	stopped = sig;
}

/**
 * struct work - one installation
 * @dir:	where it is built; removed at the end
 * @created:	the qube is ours to remove if something fails
 */
struct work {
	const struct args *a;
	const struct installable *what;
	const char *name;
	struct paths paths;
	char dir[PATH_MAX], log[PATH_MAX];
	struct ui_progress progress;
	bool created, again;
	bool tells; /* it has something to tell once it runs (qubes.PostInstall) */
};

/* the end of a build's log, which says why it failed */
static void show_log(const struct work *w)
{
	AUTO_FREE char *text = NULL;
	size_t len;

	if (io_read_file(AT_FDCWD, w->log, 64u << 20, &text, &len) < 0 || len == 0)
		return;
	if (len > LOG_TAIL) {
		const char *line = strchr(text + len - LOG_TAIL, '\n');

		(void)fputs(line ? line + 1 : text + len - LOG_TAIL, stderr);
	} else {
		(void)fputs(text, stderr);
	}
}

/* one line of a build's output; its percent becomes ours between @from and @to */
static void take_line(struct work *w, const char *line, int from, int to, int *percent, char *text,
		      size_t text_size)
{
	char *end;
	long n;

	if (!str_starts(line, "progress "))
		return;
	n = strtol(line + strlen("progress "), &end, 10);
	if (n < 0 || n > 100 || *end != ' ')
		return;
	*percent = from + (int)n * (to - from) / 100;
	(void)snprintf(text, text_size, "%s: %s", w->name, end + 1);
}

/* follow the build until it ends; its standard output is @out */
static int follow(struct work *w, int out, pid_t pid, int pidfd, int from, int to)
{
	char buf[4096], text[200];
	size_t n = 0;
	struct child_end end;
	int percent = from;
	bool killed = false;

	(void)snprintf(text, sizeof(text), "%s: building", w->name);
	for (;;) {
		struct pollfd p = {.fd = out, .events = POLLIN};
		ssize_t got;
		char *newline;

		if (stopped && !killed) {
			/* it leads a session of its own: all of it */
			(void)kill(-pid, SIGTERM);
			killed = true;
		}
		ui_progress(&w->progress, percent, "%s", text);
		if (poll(&p, 1, 250) < 0 && errno != EINTR)
			return fail_errno();
		if (p.revents == 0)
			continue;
		got = read(out, buf + n, sizeof(buf) - 1 - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
		buf[n] = '\0';
		while ((newline = memchr(buf, '\n', n)) != NULL) {
			*newline = '\0';
			take_line(w, buf, from, to, &percent, text, sizeof(text));
			n -= (size_t)(newline + 1 - buf);
			memmove(buf, newline + 1, n);
		}
		if (n == sizeof(buf) - 1)
			n = 0; /* no line of ours is that long */
	}
	if (spawn_wait(pidfd, -1, &end) < 0)
		return -EIO;
	if (stopped)
		return -EINTR;
	return end.signal == 0 && end.code == 0 ? 0 : -EIO;
}

/* run one of the build scripts with its arguments; @what it makes, for messages */
static int build(struct work *w, const char *script, const char *one, const char *two, int from,
		 int to)
{
	char program[PATH_MAX];
	const char *argv[] = {program, one, two, NULL};
	int pipe_fds[2], pidfd_raw = NO_FD, r;
	pid_t pid;

	r = program_find(script, program, sizeof(program));
	if (r < 0)
		return ui_fail(w->a, "the program %s is not installed", script);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return ui_fail_errno(w->a, w->name, -errno);
	AUTO_CLOSE int out = pipe_fds[0];
	AUTO_CLOSE int in = pipe_fds[1];
	AUTO_CLOSE int log = open(w->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (log < 0)
		return ui_fail_errno(w->a, w->log, -errno);
	r = spawn(
		&(struct spawn){
			.path = program,
			.argv = (char *const *)argv,
			.fds = (const struct spawn_fd[]){{in, STDOUT_FILENO}, {log, STDERR_FILENO}},
			.n_fds = 2,
			.death_signal = SIGTERM,
			.new_session = true,
		},
		&pid, &pidfd_raw);
	AUTO_CLOSE int pidfd = pidfd_raw;
	if (r < 0)
		return ui_fail(w->a, "%s: %s", program, log_errno_str(r));
	close_fd(&in);
	r = follow(w, out, pid, pidfd, from, to);
	ui_progress_end(&w->progress);
	if (r == -EINTR)
		return ui_fail(w->a, "interrupted; nothing was installed");
	if (r < 0) {
		show_log(w);
		return ui_fail(w->a, "%s could not be built (the whole log: %s)", w->name, w->log);
	}
	return 0;
}

static bool have_kernel(const struct work *w)
{
	char path[PATH_MAX];
	bool found = false;
	struct dirent *e;
	DIR *dir;

	if (str_format(path, sizeof(path), "%s/kernels", w->paths.state) < 0)
		return false;
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir)) != NULL) {
		if (e->d_name[0] != '.' && str_format(path, sizeof(path), "%s/kernels/%s/vmlinuz",
						      w->paths.state, e->d_name) == 0)
			found = access(path, R_OK) == 0;
	}
	if (dir)
		(void)closedir(dir);
	return found;
}

static int build_kernel(struct work *w)
{
	char dir[PATH_MAX];
	int r;

	if (have_kernel(w))
		return 0;
	r = str_format(dir, sizeof(dir), "%s/kernels", w->paths.state);
	r = r < 0 ? r : io_mkdirs(dir, 0700);
	if (r < 0)
		return ui_fail_errno(w->a, w->paths.state, r);
	return build(w, "template/build-kernel", dir, NULL, 0, 25);
}

static int import(struct work *w)
{
	struct call call = {.qube = w->name};
	struct calls calls = {.args = w->a,
			      .method = "bulkhead.vm.volume.ImportFile",
			      .arg = "root",
			      .verb = "importing",
			      .list = &call,
			      .n = 1,
			      .stop = &stopped,
			      .percent_from = 85,
			      .percent_to = 100};
	char path[PATH_MAX];
	int r;

	if (str_format(path, sizeof(path), "%s/root.img", w->dir) < 0)
		return ui_fail(w->a, "too long");
	AUTO_CLOSE int image = open(path, O_RDONLY | O_CLOEXEC);
	if (image < 0)
		return ui_fail_errno(w->a, path, -errno);
	calls.fd = &image;
	r = calls_run(&calls);
	if (r < 0)
		r = ui_fail_errno(w->a, NULL, r);
	else if (call.r == -EINTR)
		r = ui_fail(w->a, "interrupted; nothing was installed");
	else if (call.r != 0)
		r = qubesd_failed(w->a, w->name, call.r, &call.answer);
	calls_done(&calls);
	return r;
}

static int set_feature(const struct work *w, const char *feature, const char *value)
{
	return qubesd_call(w->a, "admin.vm.feature.Set", w->name, feature, value, NULL);
}

/* what template.conf says of the system inside becomes features and properties */
static int describe(struct work *w)
{
	static const char *const features[][2] = {
		{"os", "os"},   {"distribution", "os-distribution"}, {"qrexec", "qrexec"},
		{"gui", "gui"}, {"version", "os-version"},
	};
	AUTO_FREE char *conf = NULL;
	time_t now = time(NULL);
	struct tm tm;
	char path[PATH_MAX], text[64];
	int r;

	r = str_format(path, sizeof(path), "%s/template.conf", w->dir);
	r = r < 0 ? r : io_read_file(AT_FDCWD, path, CONF_MAX, &conf, NULL);
	if (r < 0)
		return ui_fail_errno(w->a, path, r);
	for (char *at = conf; *at != '\0';) {
		size_t len = strcspn(at, "\n"), key = strcspn(at, "=");
		char *next = at + len + (at[len] != '\0');
		const char *value = at + key + 1;

		at[len] = '\0';
		if (key < len) {
			at[key] = '\0';
			for (size_t i = 0; i < ARRAY_LEN(features); i++) {
				if (!str_eq(at, features[i][0]))
					continue;
				/* no is the empty text, as Qubes' tools have it */
				r = set_feature(w, features[i][1], str_eq(value, "0") ? "" : value);
				if (r != 0)
					return r;
			}
			if (str_eq(at, "post-install"))
				w->tells = str_eq(value, "1");
			if (str_eq(at, "memory")) {
				r = qubesd_call(w->a, "admin.vm.property.Set", w->name, "memory",
						value, NULL);
				if (r != 0)
					return r;
			}
		}
		at = next;
	}
	if (!gmtime_r(&now, &tm) || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
		return ui_fail(w->a, "the clock cannot be read");
	r = set_feature(w, "template-name", w->what->name);
	r = r != 0 ? r : set_feature(w, "template-summary", w->what->summary);
	r = r != 0 ? r : set_feature(w, "template-epoch", "0");
	r = r != 0 ? r : set_feature(w, "template-version", w->what->version);
	r = r != 0 ? r : set_feature(w, "template-reponame", "bulkhead");
	r = r != 0 ? r : set_feature(w, "template-buildtime", text);
	r = r != 0 ? r : set_feature(w, "template-installtime", text);
	(void)strftime(text, sizeof(text), "%Y%m%d%H%M", &tm);
	return r != 0 ? r : set_feature(w, "template-release", text);
}

/* one call that takes a while; 0; as client_call(), and said why */
static int call_slow(struct work *w, const char *method, const char *verb)
{
	struct call call = {.qube = w->name};
	struct calls calls = {.args = w->a,
			      .method = method,
			      .verb = verb,
			      .list = &call,
			      .n = 1,
			      .stop = &stopped};
	int r = calls_run(&calls);

	if (r == 0)
		r = call.r;
	if (r != 0 && r != -EINTR)
		(void)qubesd_failed(w->a, w->name, r, &call.answer);
	calls_done(&calls);
	return r;
}

/* let the running template tell what it has: 0; -EINTR; 1, and said why */
static int post_install(struct work *w)
{
	char client[PATH_MAX];
	char *argv[] = {client, "-d", (char *)w->name, "root:QUBESRPC qubes.PostInstall dom0",
			NULL};
	AUTO_CLOSE int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	AUTO_CLOSE int pidfd = NO_FD;
	struct child_end end = {0};
	int r = program_find("qrexec-client", client, sizeof(client));

	if (r == 0 && null < 0)
		r = fail_errno();
	if (r == 0)
		r = spawn(&(struct spawn){.path = client,
					  .argv = argv,
					  .fds = (const struct spawn_fd[]){{null, STDERR_FILENO}},
					  .n_fds = 1,
					  .death_signal = SIGTERM},
			  NULL, &pidfd);
	if (r < 0)
		return ui_fail_errno(w->a, "qrexec-client", r);
	do {
		ui_progress(&w->progress, 97, "%s: it tells what it has", w->name);
		r = spawn_wait(pidfd, 250, &end);
	} while (r == -ETIMEDOUT && !stopped);
	ui_progress_end(&w->progress);
	if (r < 0)
		return stopped ? -EINTR : ui_fail_errno(w->a, w->name, r);
	return end.signal == 0 && end.code == 0
		       ? 0
		       : ui_fail(w->a, "%s: its service qubes.PostInstall failed", w->name);
}

/*
 * It is started for the first time, and tells what only it knows: what it can do, what applications it has. One that cannot
 * is installed all the same. Return: 0; 1: it was interrupted, and that was said.
 */
static int first_start(struct work *w)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	int r;

	if (!w->tells)
		return 0;
	r = call_slow(w, "bulkhead.vm.Start", "starting");
	r = r != 0 ? r : post_install(w);
	if (r == 0)
		r = call_slow(w, "bulkhead.vm.Shutdown", "shutting down");
	if (r == 0)
		return 0;
	(void)!client_call(NULL, "admin.vm.Kill", w->name, NULL, NULL, 0, NO_FD, &answer);
	if (stopped)
		return ui_fail(w->a, "interrupted; %s",
			       w->created ? "nothing was installed" : "it is installed anew");
	ui_note(w->a,
		"%s could not tell what it has, so its qubes have no applications in the menus; try again: qvm-run "
		"--service -u root %s qubes.PostInstall",
		w->name, w->name);
	return 0;
}

static int create(struct work *w)
{
	const char *pool = args_value(w->a, POOL);
	char payload[256];

	if (str_format(payload, sizeof(payload), "name=%s label=black%s%s", w->name,
		       pool ? " pool=" : "", pool ? pool : "") < 0)
		return ui_fail(w->a, "too long");
	if (qubesd_call(w->a,
			pool ? "admin.vm.CreateInPool.TemplateVM" : "admin.vm.Create.TemplateVM",
			"dom0", NULL, payload, NULL) != 0)
		return 1;
	w->created = true;
	return 0;
}

/* the instance's cache serves the builds too, unless the caller has named another */
static int make_dir(struct work *w)
{
	int r;

	r = paths_init(&w->paths, true);
	if (r < 0)
		return ui_fail(w->a, "the instance's folders: %s", log_errno_str(r));
	if (!getenv("BULKHEAD_CACHE") && setenv("BULKHEAD_CACHE", w->paths.cache, 1) < 0)
		return ui_fail_errno(w->a, w->name, -errno);
	if (str_format(w->dir, sizeof(w->dir), "%s/build", w->paths.cache) < 0 ||
	    str_format(w->log, sizeof(w->log), "%s/log", w->paths.state) < 0)
		return ui_fail(w->a, "too long");
	r = io_mkdirs(w->dir, 0700);
	r = r < 0 ? r : io_mkdirs(w->log, 0700);
	if (r < 0 ||
	    str_format(w->dir, sizeof(w->dir), "%s/build/%s.XXXXXX", w->paths.cache, w->name) < 0 ||
	    str_format(w->log, sizeof(w->log), "%s/log/template-%s.log", w->paths.state, w->name) <
		    0 ||
	    !mkdtemp(w->dir)) {
		w->dir[0] = '\0';
		return ui_fail_errno(w->a, w->paths.cache, -errno);
	}
	return 0;
}

static int install_steps(struct work *w)
{
	int r = make_dir(w);

	r = r != 0 ? r : build_kernel(w);
	r = r != 0 ? r : build(w, "template/build", w->what->name, w->dir, 25, 85);
	if (r == 0 && !w->again)
		r = create(w);
	r = r != 0 ? r : import(w);
	r = r != 0 ? r : describe(w);
	return r != 0 ? r : first_start(w);
}

int template_install(const struct args *a, const struct installable *what, const char *name,
		     bool again)
{
	struct work w = {
		.a = a, .what = what, .name = name, .again = again, .progress = {.args = a}};
	struct sigaction stop = {.sa_handler = on_stop}, old[3];
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	int r;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &stop, &old[i]);
	r = install_steps(&w);
	if (r != 0 && w.created) {
		AUTO(client_answer_done) struct client_answer answer = {0};

		if (qubesd_remove(name, &answer) != 0)
			(void)ui_fail(a,
				      "%s stays behind unfinished; remove it with: qvm-remove %s",
				      name, name);
	}
	if (w.dir[0] != '\0' && io_remove_tree(AT_FDCWD, w.dir) < 0)
		ui_note(a, "%s could not be removed", w.dir);
	paths_done(&w.paths);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &old[i], NULL);
	if (r == 0)
		ui_note(a,
			"%s is installed; make a qube from it: qvm-create --template %s --label "
			"blue "
			"NAME",
			name, name);
	return stopped ? 128 + stopped : r;
}
