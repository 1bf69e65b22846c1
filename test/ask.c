/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ask SOCKET: standard input goes to it, what comes back to standard output with each NUL as a bar. Ends with the answer, or
 * after 20 s. Exit status: 0 the other side has closed; 1 not. The tests ask thousands of times.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char in[4096], out[4096];
	size_t n_in = 0;
	bool all = false;

	if (argc != 2 || s < 0 || strlen(argv[1]) >= sizeof(sa.sun_path))
		return 1;
	strcpy(sa.sun_path, argv[1]);
	signal(SIGPIPE, SIG_IGN);
	alarm(20);
	if (connect(s, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return 1;
	for (;;) {
		struct pollfd p = {.fd = s, .events = POLLIN};
		ssize_t n;

		if (n_in == 0 && !all) {
			n = read(STDIN_FILENO, in, sizeof(in));
			n_in = n > 0 ? (size_t)n : 0;
			all = n <= 0;
			if (all)
				shutdown(s, SHUT_WR);
		}
		if (n_in > 0)
			p.events |= POLLOUT;
		if (poll(&p, 1, -1) < 0)
			return 1;
		if (p.revents & POLLOUT) {
			n = send(s, in, n_in, MSG_DONTWAIT | MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN) {
				/* it wants no more; it may have said why */
				n = (ssize_t)n_in;
				all = true;
			}
			if (n > 0) {
				n_in -= (size_t)n;
				memmove(in, in + n, n_in);
			}
		}
		if (!(p.revents & (POLLIN | POLLHUP | POLLERR)))
			continue;
		n = recv(s, out, sizeof(out), 0);
		if (n <= 0)
			return n < 0;
		for (ssize_t i = 0; i < n; i++)
			if (out[i] == '\0')
				out[i] = '|';
		if (fwrite(out, 1, (size_t)n, stdout) != (size_t)n || fflush(stdout) != 0)
			return 1;
	}
}
