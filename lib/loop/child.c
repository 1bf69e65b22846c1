/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loop/child.h"

#include <sys/epoll.h>

struct child {
	sd_event_source *source;
	int pidfd;
	child_fn fn;
	void *data;
};

static int on_end(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct child *c = data;
	struct child_end end;
	int r = spawn_reap(fd, &end);

	(void)revents;
	if (r == -EAGAIN)
		return 0;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (r < 0)
		end = (struct child_end){.code = 255}; /* somebody else collected it */
	c->fn(c->data, &end);
	return 0;
}

int child_new(sd_event *event, int pidfd, child_fn fn, void *data, struct child **ret)
{
	AUTO_FREE struct child *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	*c = (struct child){.pidfd = pidfd, .fn = fn, .data = data};
	r = sd_event_add_io(event, &c->source, pidfd, EPOLLIN, on_end, c);
	if (r < 0)
		return r;
	*ret = take_ptr(&c);
	return 0;
}

void child_free(struct child *c)
{
	if (!c)
		return;
	sd_event_source_disable_unref(c->source);
	close_fd(&c->pidfd);
	free(c);
}

int child_get_pidfd(const struct child *c)
{
	return c ? c->pidfd : NO_FD;
}
