/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead exec: a program with Qubes' paths built in, on an instance that has its own.
 *
 * Sockets are links into the instance's run directory, so a program meets a qubesd that was started anew, and qubes that
 * start and stop. The program takes this process's place: terminal, signals and exit code are its own.
 */
#include "bulkhead.h"
#include "view.h"

#include "base/io.h"
#include "base/log.h"
#include "base/program.h"
#include "base/str.h"
#include "ui.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define NOT_EXECUTABLE 126
#define NOT_FOUND      127

/* where each name stands, and what it leads to below a folder of the instance or of our programs */
enum base { OF_RUN, OF_CONFIG, OF_PROGRAMS };

static const struct name {
	const char *folder, *name;
	enum base base;
	const char *below;
} names[] = {
	{"/run", "qubesd.sock", OF_RUN, "qubesd.sock"},
	{"/run", "qubesd.internal.sock", OF_RUN, "qubesd.internal.sock"},
	{"/run", "qubesd.misc.sock", OF_RUN, "qubesd.misc.sock"},
	{"/run", "qubes", OF_RUN, "qubes"},
	{"/etc", "qubes-release", OF_PROGRAMS, "exec-bin/qubes-release"},
	{"/etc/qubes", "policy.d", OF_CONFIG, "policy.d"},
	{"/etc/qubes", "rpc-config", OF_CONFIG, "rpc-config"},
	{"/usr/lib/qubes", "qrexec-client", OF_PROGRAMS, "qrexec-client"},
};

/* services of dom0: ours, then the administrator's, which take the place of ours of the same name. 0 also without @from */
static int put_services(struct view *v, const char *from)
{
	DIR *dir = opendir(from);
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : fail_errno();
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		char path[PATH_MAX];

		if (e->d_name[0] == '.')
			continue;
		r = str_format(path, sizeof(path), "%s/%s", from, e->d_name);
		r = r < 0 ? r : view_put(v, "/etc/qubes-rpc", e->d_name, path);
	}
	(void)closedir(dir);
	return r;
}

/* the folder our programs are in, as an absolute path: exec-bin is installed with them */
static int programs_folder(char *to)
{
	char path[PATH_MAX], *slash;
	int r = program_find_folder("exec-bin", path, sizeof(path));

	if (r < 0)
		return r;
	if (!realpath(path, to))
		return fail_errno();
	slash = strrchr(to, '/');
	*slash = '\0';
	return 0;
}

static int put_all(struct view *v, const struct paths *paths, const char *programs)
{
	const char *const bases[] = {
		[OF_RUN] = paths->run, [OF_CONFIG] = paths->config, [OF_PROGRAMS] = programs};
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
		r = str_format(path, sizeof(path), "%s/%s", bases[names[i].base], names[i].below);
		r = r < 0 ? r : view_put(v, names[i].folder, names[i].name, path);
	}
	r = r < 0 ? r : str_format(path, sizeof(path), "%s/qubes-rpc", programs);
	r = r < 0 ? r : put_services(v, path);
	r = r < 0 ? r : str_format(path, sizeof(path), "%s/qubes-rpc", paths->config);
	r = r < 0 ? r : put_services(v, path);
	return r < 0 ? r : view_end(v);
}

/* what the library runs by sudo is run by our own, which runs services of dom0 and nothing else */
static int put_sudo(const char *programs)
{
	const char *path = getenv("PATH");
	AUTO_FREE char *with = NULL;

	if (asprintf(&with, "%s/exec-bin:%s", programs, path ? path : "/usr/bin:/bin") < 0) {
		with = NULL;
		return -ENOMEM;
	}
	return setenv("PATH", with, 1) < 0 ? -ENOMEM : 0;
}

static int refused_by_kernel(const struct args *a, int r)
{
	const char *mend = namespaces_mend();

	return ui_fail(
		a,
		"this machine lets you make no mount namespace (%s), in which the program would find Qubes' paths; %s%s",
		log_errno_str(r), mend ? "to change that: " : "",
		mend ? mend
		     : "`bulkhead doctor` looks for the reason, and root may always make one");
}

static int view_make(const struct args *a, const struct paths *paths, const char *programs)
{
	struct view v;
	int r = view_begin(&v);

	if (r < 0)
		return refused_by_kernel(a, r);
	r = put_all(&v, paths, programs);
	/* where a kernel lets everybody make a user namespace that may do nothing, the first mount says so */
	if (r == -EPERM || (r == -EACCES && namespaces_mend()))
		return refused_by_kernel(a, r);
	return r < 0 ? ui_fail_errno(a, v.wrong, r) : 0;
}

static int start(const struct args *a, const struct paths *paths)
{
	AUTO_FREE char *here = getcwd(NULL, 0);
	char programs[PATH_MAX];
	int r = programs_folder(programs);

	if (r < 0)
		return ui_fail_errno(a, "the folder of our programs", r);
	if (!daemon_answers())
		return ui_fail(a, "this instance does not run; start it with: bulkhead start");
	r = view_make(a, paths, programs);
	if (r != 0)
		return r;
	/* the same folder, by its name: as it is seen now */
	if (here && chdir(here) < 0)
		ui_note(a, "%s: %s", here, log_errno_str(-errno));
	r = geteuid() != 0 ? put_sudo(programs) : 0;
	if (r < 0)
		return ui_fail_errno(a, NULL, r);
	(void)execvp(a->words[0], (char *const *)a->words);
	r = errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
	(void)ui_fail_errno(a, a->words[0], -errno);
	return r;
}

static int run(const struct args *a)
{
	struct paths paths;
	int r;

	if (a->n_words == 0) {
		(void)ui_usage(a, "which program?");
		return 2;
	}
	r = paths_init(&paths, false);
	if (r == -ENOENT)
		return ui_fail(a, "this instance does not run; start it with: bulkhead start");
	if (r < 0)
		return ui_fail_errno(a, "the instance's folders", r);
	r = start(a, &paths);
	paths_done(&paths);
	return r;
}

const struct command bulkhead_exec = {
	.name = "exec",
	.summary = "run a program that has Qubes' paths built in",
	.synopses = {"-- PROGRAM [ARGUMENT]..."},
	.text = "Programs written for Qubes OS (the qubesadmin library and what uses it, libqubesdb) look for dom0's daemons at\n"
		"fixed paths. PROGRAM is run in a mount namespace where those are this instance's: /run/qubesd.sock,\n"
		"/run/qubesd.internal.sock and .misc.sock, /run/qubes with policy.sock and the sockets of running qubes,\n"
		"/etc/qubes-release, by which the library sees that it is in dom0, /etc/qubes-rpc with dom0's services,\n"
		"/etc/qubes/policy.d and rpc-config, /usr/lib/qubes/qrexec-client. All else is as it is, and PROGRAM runs as you.\n"
		"\n"
		"\tbulkhead exec -- python3 -c 'import qubesadmin; print(*qubesadmin.Qubes().domains)'\n"
		"\n"
		"/run, /etc, /etc/qubes, /usr/lib and /usr/lib/qubes themselves are read-only for PROGRAM, and entries that are\n"
		"added or replaced right there later on outside are not seen by it; below their entries nothing changes. An ordinary\n"
		"user's PROGRAM cannot become another user and sees the files of others as nobody's; a sudo in front of its PATH runs\n"
		"dom0's services as the user, as the library wants, and nothing else.\n"
		"\n"
		"PROGRAM's exit code is bulkhead's: 127 if there is no such program, 126 if it cannot be executed.",
	.words = {WORDS_FILE},
	.run = run,
};
