/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fake-logind: in place of systemd-logind on a bus of a test's own, for it needs a machine that it may put to sleep. Gives delays
 * (Manager.Inhibit), says on its output "delay" for each and "given back" for each that is closed. A line on its input, "sleep" or "awake",
 * is told as PrepareForSleep.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define NAME "org.freedesktop.login1"
#define PATH "/org/freedesktop/login1"

static int delay_fd = -1;

static int on_inhibit(sd_bus_message *m, void *data, sd_bus_error *error)
{
	const char *what, *who, *why, *mode;
	int ends[2], r = sd_bus_message_read(m, "ssss", &what, &who, &why, &mode);

	(void)data, (void)error;
	if (r < 0)
		return r;
	if (strcmp(what, "sleep") != 0 || strcmp(mode, "delay") != 0 || pipe2(ends, O_CLOEXEC) < 0)
		return -EINVAL;
	delay_fd = ends[0];
	r = sd_bus_reply_method_return(m, "h", ends[1]);
	(void)close(ends[1]);
	(void)puts("delay");
	return r;
}

static const sd_bus_vtable manager[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Inhibit", "ssss", "h", on_inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_SIGNAL("PrepareForSleep", "b", 0),
	SD_BUS_VTABLE_END,
};

/* true at the end of the input */
static int on_line(sd_bus *bus)
{
	char line[64];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line));

	if (n <= 0)
		return 1;
	return sd_bus_emit_signal(bus, PATH, NAME ".Manager", "PrepareForSleep", "b",
				  strncmp(line, "sleep", 5) == 0) < 0;
}

int main(void)
{
	sd_bus *bus = NULL;
	char byte;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (sd_bus_open_system(&bus) < 0 ||
	    sd_bus_add_object_vtable(bus, NULL, PATH, NAME ".Manager", manager, NULL) < 0 ||
	    sd_bus_request_name(bus, NAME, 0) < 0)
		return 1;
	(void)puts("there");
	for (;;) {
		struct pollfd fds[] = {{.fd = sd_bus_get_fd(bus), .events = POLLIN},
				       {.fd = STDIN_FILENO, .events = POLLIN},
				       {.fd = delay_fd, .events = POLLIN}};

		while (sd_bus_process(bus, NULL) > 0)
			;
		fds[2].fd = delay_fd;
		if (sd_bus_flush(bus) < 0 || poll(fds, 3, -1) < 0)
			return 1;
		if (fds[1].revents && on_line(bus))
			return 0;
		if (fds[2].revents && read(delay_fd, &byte, 1) == 0) {
			(void)close(delay_fd);
			delay_fd = -1;
			(void)puts("given back");
		}
	}
}
