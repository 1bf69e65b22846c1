/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/machine.h"

#include "base/io.h"
#include "base/str.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <x86intrin.h>

#define QEMU        "qemu-system-x86_64"
#define CPUINFO_MAX (16u << 20) /* a few KiB per processor */
#define ASK_MS      5000        /* for its version: what says none by then has none */

/* a moment is looked at so often, since whoever is interrupted between two clocks is misled */
#define TSC_LOOKS   8
#define TSC_MIN_NS  UINT64_C(1000000)
#define TSC_MIN_KHZ UINT64_C(100000)
#define TSC_MAX_KHZ UINT64_C(20000000)

/* @word stands in the line @at, between white space */
static bool line_has(const char *at, size_t len, const char *word)
{
	size_t word_len = strlen(word);

	for (size_t i = 0; i + word_len <= len; i++) {
		if (memcmp(at + i, word, word_len) != 0)
			continue;
		if ((i == 0 || at[i - 1] == ' ' || at[i - 1] == '\t') &&
		    (i + word_len == len || at[i + word_len] == ' '))
			return true;
	}
	return false;
}

bool machine_cpuinfo_has_virt(const char *cpuinfo)
{
	for (const char *at = cpuinfo; *at != '\0';) {
		size_t len = strcspn(at, "\n");

		if (str_starts(at, "flags") &&
		    (line_has(at, len, "vmx") || line_has(at, len, "svm")))
			return true;
		at += len;
		if (*at == '\n')
			at++;
	}
	return false;
}

void machine_accel(struct machine_accel *ret)
{
	AUTO_FREE char *cpuinfo = NULL;
	const char *why;
	int r;

	*ret = (struct machine_accel){0};
	r = io_read_file(AT_FDCWD, "/proc/cpuinfo", CPUINFO_MAX, &cpuinfo, NULL);
	if (r < 0)
		why = "/proc/cpuinfo cannot be read";
	else if (!machine_cpuinfo_has_virt(cpuinfo))
		why = "the processor shows neither VT-x (vmx) nor AMD-V (svm)";
	else if (access("/dev/kvm", F_OK) < 0)
		why = "there is no /dev/kvm (module kvm-intel or kvm-amd not loaded, or switched "
		      "off in "
		      "the firmware)";
	else if (access("/dev/kvm", R_OK | W_OK) < 0)
		why = "this user may not open /dev/kvm (group kvm)";
	else {
		ret->kvm = true;
		why = "the processor has VT-x or AMD-V and /dev/kvm is ours to open";
	}
	(void)snprintf(ret->why, sizeof(ret->why), "%s", why);
}

static int find_qemu(char *to, size_t size)
{
	const char *env = getenv("BULKHEAD_QEMU"), *path = getenv("PATH");

	if (env && env[0] != '\0')
		return access(env, X_OK) == 0 ? str_format(to, size, "%s", env) : -ENOENT;
	for (const char *at = path ? path : ""; *at != '\0';) {
		size_t len = strcspn(at, ":");

		if (len > 0 && at[0] == '/' &&
		    str_format(to, size, "%.*s/" QEMU, (int)len, at) == 0 && access(to, X_OK) == 0)
			return 0;
		at += len;
		if (*at == ':')
			at++;
	}
	if (str_format(to, size, "/usr/bin/" QEMU) == 0 && access(to, X_OK) == 0)
		return 0;
	return -ENOENT;
}

/* "QEMU emulator version 7.2.22 (Debian ...)" -> "7.2.22" */
static void take_version(const char *line, char *to, size_t size)
{
	static const char before[] = "version ";
	const char *at = strstr(line, before);

	if (!at)
		return;
	at += sizeof(before) - 1;
	if (str_copy(to, size, at, strcspn(at, " \n(")) < 0)
		to[0] = '\0';
}

/* Return: there is something to read of @fd, or the process it stands for has ended, before @end_ms */
static bool comes_by(int fd, uint64_t end_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do {
		const uint64_t now_ms = io_now_ms();

		n = poll(&p, 1, now_ms < end_ms ? (int)(end_ms - now_ms) : 0);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

static int ask_qemu(const char *path, char *to, size_t size)
{
	const uint64_t end_ms = io_now_ms() + ASK_MS;
	char *argv[] = {(char *)path, (char *)"--version", NULL};
	posix_spawn_file_actions_t actions;
	char text[256] = "";
	size_t n = 0;
	int pipe_fds[2], status, r;
	bool ended;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return fail_errno();
	AUTO_CLOSE int out = pipe_fds[0];
	AUTO_CLOSE int in = pipe_fds[1];
	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawn_file_actions_adddup2(&actions, in, 1);
	if (r == 0)
		r = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return -r;
	close_fd(&in);
	while (n < sizeof(text) - 1 && comes_by(out, end_ms)) {
		ssize_t got = read(out, text + n, sizeof(text) - 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close_fd(&out);
	AUTO_CLOSE int pidfd = pidfd_open(pid, 0);
	ended = pidfd >= 0 && comes_by(pidfd, end_ms);
	if (!ended)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!ended)
		return -ETIMEDOUT;
	take_version(text, to, size);
	return 0;
}

int machine_qemu(bool ask_version, struct machine_qemu *ret)
{
	struct machine_qemu q = {0};
	int r = find_qemu(q.path, sizeof(q.path));

	*ret = (struct machine_qemu){0};
	if (r < 0)
		return -ENOENT;
	if (ask_version && ask_qemu(q.path, q.version, sizeof(q.version)) < 0)
		q.version[0] = '\0';
	*ret = q;
	return 0;
}

bool machine_qemu_emulates_many(const char *version)
{
	char *end;
	unsigned long major = strtoul(version, &end, 10);

	return major > 8 || (major == 8 && *end == '.' && strtoul(end + 1, NULL, 10) >= 1);
}

void machine_tsc_now(struct machine_tsc *ret)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < TSC_LOOKS; i++) {
		struct timespec t = {0};
		uint64_t before = __rdtsc(), took;

		(void)clock_gettime(CLOCK_MONOTONIC, &t);
		took = __rdtsc() - before;
		if (took >= least)
			continue;
		least = took;
		ret->ticks = before + took / 2;
		ret->ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	}
}

unsigned machine_tsc_khz(const struct machine_tsc *since)
{
	struct machine_tsc now;
	uint64_t ns, khz;

	do {
		machine_tsc_now(&now);
		ns = now.ns - since->ns;
	} while (ns < TSC_MIN_NS);
	/* the difference fits for hours; a start takes milliseconds */
	if (now.ticks <= since->ticks || now.ticks - since->ticks > UINT64_MAX / 1000000)
		return 0;
	khz = (now.ticks - since->ticks) * 1000000 / ns;
	return khz >= TSC_MIN_KHZ && khz <= TSC_MAX_KHZ ? (unsigned)khz : 0;
}

static uint64_t meminfo_kib(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

int machine_memory(struct machine_memory *ret)
{
	AUTO_FREE char *text = NULL;
	int r = io_read_file(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL);

	if (r < 0)
		return r;
	*ret = (struct machine_memory){.total_kib = meminfo_kib(text, "MemTotal:"),
				       .available_kib = meminfo_kib(text, "MemAvailable:"),
				       .swap_free_kib = meminfo_kib(text, "SwapFree:")};
	return 0;
}
