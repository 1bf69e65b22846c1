/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "instance.h"

#include "base/io.h"
#include "base/str.h"
#include "client/client.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define START_TIMEOUT_MS 20000.0

extern char **environ;

static char home[] = "/tmp/bench.XXXXXX";
static char socket_path[UNIX_PATH_MAX + 1];
static pid_t qubesd_pid;
static unsigned n_made;

static void remove_home(void)
{
	char run[PATH_MAX], link[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "%s/run", home);
	n = readlink(link, run, sizeof(run) - 1);
	if (n > 0) {
		run[n] = '\0';
		(void)!io_remove_tree(AT_FDCWD, run);
	}
	(void)!io_remove_tree(AT_FDCWD, home);
}

void give_up(const char *why)
{
	(void)fprintf(stderr, "%s\n", why);
	if (qubesd_pid > 0) {
		instance_stop();
		remove_home();
	}
	exit(EXIT_FAILURE);
}

/* BUILD/bench/PROGRAM is us */
const char *instance_program(const char *name)
{
	static char path[2 * PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (n < 0)
		give_up("/proc/self/exe cannot be read");
	path[n] = '\0';
	for (unsigned i = 0; i < 2; i++)
		*strrchr(path, '/') = '\0';
	(void)snprintf(path + strlen(path), PATH_MAX, "/%s", name);
	return path;
}

/* @fd goes to the file @to */
static pid_t start(const char *path, char *const *argv, int fd, const char *to)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, fd, to, O_WRONLY | O_CREAT | O_APPEND,
					       0600);
	r = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		give_up(path);
	return pid;
}

void run_once(const char *path, char *const *argv)
{
	pid_t pid = start(path, argv, STDOUT_FILENO, "/dev/null");
	int status = 1;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		give_up(path);
}

char *call(const char *method, const char *dest, const char *arg, const char *payload)
{
	struct client_answer AUTO(client_answer_done) a = {0};
	char *text;
	int r = client_call(socket_path, method, dest, arg, payload, payload ? strlen(payload) : 0,
			    NO_FD, &a);

	if (r != 0)
		give_up(r == CLIENT_E_EXCEPTION && a.data ? a.data : method);
	text = a.data;
	a.data = NULL;
	return text;
}

void instance_start(void)
{
	char *const argv[] = {(char *)"qubesd", NULL};
	const double began = now_ms();
	char log[PATH_MAX];

	(void)snprintf(log, sizeof(log), "%s/log", home);
	qubesd_pid = start(instance_program("dom0/qubesd/qubesd"), argv, STDERR_FILENO, log);
	for (;;) {
		struct client_answer AUTO(client_answer_done) a = {0};

		if (client_call(socket_path, "admin.label.Index", "dom0", "red", NULL, 0, NO_FD,
				&a) == 0)
			return;
		if (now_ms() - began > START_TIMEOUT_MS)
			give_up("qubesd does not answer");
		(void)usleep(500);
	}
}

void instance_stop(void)
{
	(void)kill(qubesd_pid, SIGTERM);
	(void)waitpid(qubesd_pid, NULL, 0);
	qubesd_pid = 0;
}

void instance_begin(void)
{
	if (!mkdtemp(home) || setenv("BULKHEAD_HOME", home, 1) < 0)
		give_up("no folder in /tmp");
	(void)snprintf(socket_path, sizeof(socket_path), "%s/run/qubesd.sock", home);
	instance_start();
	free(call("admin.vm.Create.TemplateVM", "dom0", NULL, "name=template label=black"));
	n_made = 1;
}

void instance_grow(unsigned n_qubes)
{
	while (n_made < n_qubes) {
		char payload[64];

		n_made++;
		(void)snprintf(payload, sizeof(payload), "name=qube-%u label=blue", n_made);
		free(call("admin.vm.Create.AppVM", "dom0", "template", payload));
		if (n_made % 100 == 0)
			(void)fprintf(stderr, "\r%u of %u qubes made", n_made, n_qubes);
	}
	(void)fprintf(stderr, "\n");
}

void instance_end(void)
{
	instance_stop();
	remove_home();
}

const char *instance_socket(void)
{
	return socket_path;
}

pid_t instance_qubesd(void)
{
	return qubesd_pid;
}
