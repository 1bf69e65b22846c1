/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "carry/places.h"

#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>

struct places {
	struct carry_source src;
	DIR *dir;
	unsigned own;
	struct places_hooks hooks;
};

/* A number up to @max and the character @end behind it; the text behind that, or NULL. */
static const char *number(const char *at, uint64_t max, char end, uint16_t *ret)
{
	char digits[8];
	const char *stop = strchr(at, end);
	uint64_t n;

	if (!stop || str_copy(digits, sizeof(digits), at, (size_t)(stop - at)) != 0 ||
	    str_u64(digits, max, &n) != 0)
		return NULL;
	*ret = (uint16_t)n;
	return stop + 1;
}

int places_parse(const char *name, struct vmux_where *ret)
{
	struct vmux_where w = {0};
	const char *at = name;

	if (!str_starts(at, "vchan."))
		return -EINVAL;
	at = number(at + strlen("vchan."), PLACES_SELF, '.', &w.server);
	if (at)
		at = number(at, PLACES_SELF, '.', &w.client);
	if (at)
		at = number(at, UINT16_MAX, '.', &w.port);
	if (!at || strcmp(at, "sock") != 0)
		return -EINVAL;
	*ret = w;
	return 0;
}

static void look(struct places *p, bool first)
{
	struct dirent *e;

	rewinddir(p->dir);
	while ((e = readdir(p->dir))) {
		struct vmux_where w;

		if (places_parse(e->d_name, &w) != 0)
			continue;
		if (w.server == p->own)
			p->hooks.server(p->hooks.data, &w, true);
		else if (first)
			p->hooks.stale(p->hooks.data, &w);
	}
}

static void on_change(struct carry_source *src, uint32_t epoll_events)
{
	struct places *p = (struct places *)src;
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *e;
	ssize_t n = read(src->fd, buf, sizeof(buf));

	(void)epoll_events;
	for (char *at = buf; n > 0 && at < buf + n; at += sizeof(*e) + e->len) {
		struct vmux_where w;

		e = (const struct inotify_event *)(const void *)at;
		if (e->mask & IN_Q_OVERFLOW)
			look(p, false); /* what went meanwhile is refused when somebody connects */
		if (e->len == 0 || places_parse(e->name, &w) != 0 || w.server != p->own)
			continue;
		p->hooks.server(p->hooks.data, &w, (e->mask & (IN_CREATE | IN_MOVED_TO)) != 0);
	}
}

int places_new(int *dir_fd, unsigned own, const struct places_hooks *hooks, struct places **ret)
{
	AUTO_CLOSE int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct places *p;
	char path[32];
	int r;

	if (fd < 0)
		return fail_errno();
	r = str_format(path, sizeof(path), "/proc/self/fd/%d", *dir_fd);
	if (r < 0)
		return r;
	if (inotify_add_watch(fd, path, IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM) < 0)
		return fail_errno();
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->dir = fdopendir(*dir_fd);
	if (!p->dir) {
		r = fail_errno();
		free(p);
		return r;
	}
	*dir_fd = NO_FD;
	p->src = (struct carry_source){.fd = take_fd(&fd), .fn = on_change};
	p->own = own;
	p->hooks = *hooks;
	*ret = p;
	return 0;
}

int places_start(struct places *p, struct carry *c)
{
	int r = carry_add(c, &p->src, EPOLLIN);

	if (r == 0)
		look(p, true);
	return r;
}

void places_look(struct places *p)
{
	look(p, false);
}
