/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Followed by inotify. A user has 128 instances of that, and each running qube takes one here: where none is left the directory
 * is looked at again every LOOK_MS, so that a call from dom0 begins that much later. What went is then what a look does not find.
 */
#include "carry/places.h"

#include "base/io.h"
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>

/** LOOK_MS - between two looks where nothing tells of changes */
#define LOOK_MS 100

/* a server that was said to be there */
struct seen {
	struct vmux_where where;
	bool now; /* the look that goes on has found it */
};

struct places {
	struct carry_source src;
	DIR *dir;
	unsigned own;
	struct places_hooks hooks;
	bool looking;      /* nobody tells us of changes */
	struct seen *seen; /* then: what was there */
	size_t n_seen, seen_room;
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

/* true if it was not known, and could be remembered: else it is said again with the next look */
static bool seen_add(struct places *p, const struct vmux_where *w)
{
	for (size_t i = 0; i < p->n_seen; i++)
		if (memcmp(&p->seen[i].where, w, sizeof(*w)) == 0) {
			p->seen[i].now = true;
			return false;
		}
	if (p->n_seen == p->seen_room) {
		const size_t room = p->seen_room > 0 ? 2 * p->seen_room : 64;
		struct seen *more = realloc(p->seen, room * sizeof(*more));

		if (!more)
			return false;
		p->seen = more;
		p->seen_room = room;
	}
	p->seen[p->n_seen++] = (struct seen){*w, true};
	return true;
}

static void seen_sweep(struct places *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_seen; i++) {
		const struct seen s = p->seen[i];

		if (s.now)
			p->seen[n++] = s;
		else
			p->hooks.server(p->hooks.data, &s.where, false);
	}
	p->n_seen = n;
}

static void look(struct places *p, bool first)
{
	struct dirent *e;

	rewinddir(p->dir);
	while ((e = readdir(p->dir))) {
		struct vmux_where w;

		if (places_parse(e->d_name, &w) != 0)
			continue;
		if (w.server == p->own && p->looking)
			(void)seen_add(p, &w);
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

/* what is new, and what has gone */
static void on_time(struct carry_source *src, uint32_t epoll_events)
{
	struct places *p = (struct places *)src;
	struct dirent *e;
	uint64_t times;

	(void)epoll_events;
	(void)!read(src->fd, &times, sizeof(times));
	for (size_t i = 0; i < p->n_seen; i++)
		p->seen[i].now = false;
	rewinddir(p->dir);
	while ((e = readdir(p->dir))) {
		struct vmux_where w;

		if (places_parse(e->d_name, &w) == 0 && w.server == p->own && seen_add(p, &w))
			p->hooks.server(p->hooks.data, &w, true);
	}
	seen_sweep(p);
}

static int timer_new(int *ret_fd)
{
	const struct timespec every = {.tv_nsec = LOOK_MS * 1000000L};
	const struct itimerspec when = {.it_interval = every, .it_value = every};
	AUTO_CLOSE int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || timerfd_settime(fd, 0, &when, NULL) < 0)
		return fail_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Return: 0; -EMFILE, -ENOSPC: the user has no more of these; -errno */
static int watch_new(int dir_fd, int *ret_fd)
{
	AUTO_CLOSE int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[32];
	int r;

	if (fd < 0)
		return fail_errno();
	r = str_format(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
	if (r < 0)
		return r;
	if (inotify_add_watch(fd, path, IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM) < 0)
		return fail_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

int places_new(int *dir_fd, unsigned own, const struct places_hooks *hooks, struct places **ret)
{
	AUTO_CLOSE int fd = NO_FD;
	struct places *p;
	int r = watch_new(*dir_fd, &fd);
	const bool looking = r == -EMFILE || r == -ENOSPC;

	if (looking)
		r = timer_new(&fd);
	if (r < 0)
		return r;
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
	p->src = (struct carry_source){.fd = take_fd(&fd), .fn = looking ? on_time : on_change};
	p->looking = looking;
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
