/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "proto/qrexec.h"
#include "qrexec/relay.h"
#include "vchan/vchan.h"

/* Longer than any call here takes. */
#define BOUND_S 60

/* A caller that sends input without end and reads until the end. */
static pid_t start_caller(int fd, int other)
{
	static uint8_t message[QREXEC_HEADER_LEN + 4096];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)close(other);
	qrexec_header_encode(QREXEC_DATA_STDIN, 4096, message);
	while (io_write_full(fd, message, sizeof(message)) == 0)
		continue;
	_exit(0);
}

/* A command that is gone at once, and leaves somebody who holds its output. */
static pid_t start_command(int in, int out)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)dup2(in, STDIN_FILENO);
	(void)dup2(out, STDOUT_FILENO);
	(void)close_range(STDERR_FILENO, ~0u, 0);
	if (fork() == 0) {
		(void)alarm(BOUND_S);
		(void)pause();
	}
	_exit(7);
}

static void a_call_ends_though_its_caller_sends_on(void **state)
{
	struct relay_options o = {.role = RELAY_SERVICE, .version = QREXEC_VERSION};
	int channel[2], in[2], out[2];
	struct relay *relay;
	unsigned code = 0;
	sigset_t set;
	pid_t caller;

	(void)state;
	(void)alarm(BOUND_S); /* else it never ends */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	assert_int_equal(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	o.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	caller = start_caller(channel[1], channel[0]);
	o.pid = start_command(in[1], out[1]);
	assert_true(caller > 0 && o.pid > 0);
	(void)close(in[1]);
	(void)close(out[1]);
	assert_int_equal(vchan_new_from_fd(&channel[0], &o.vchan), 0);
	o.out[0] = in[0];
	o.in[0] = out[0];
	o.out[1] = o.in[1] = NO_FD;
	assert_int_equal(relay_new(&o, &relay), 0);
	assert_int_equal(relay_run(relay, &code), 0);
	assert_int_equal(code, 7);
	relay_free(relay);
	vchan_free(o.vchan);
	(void)close(channel[1]);
	(void)close(o.signal_fd);
	assert_int_equal(waitpid(caller, NULL, 0), caller);
	assert_int_equal(waitpid(o.pid, NULL, 0), o.pid);
	(void)alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_ends_though_its_caller_sends_on),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
