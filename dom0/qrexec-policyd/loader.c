/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loader: policyd's child, which reads the policy's files for it, and connects to the prompt.
 *
 * Runs as	who started policyd, since the files are that user's; may read files and connect to
 *		Unix sockets, and no more.
 * Holds	the socket to policyd.
 * Trusts	the files: who can write them decides anyway.
 *
 * It reads everything anew when something has changed: a thousand rules take a few milliseconds.
 * Watches are set before the files are read, so no change falls between. A file that is being
 * written is looked at when it is closed, since half of it may be a fault, which refuses every call.
 * What a link leads to is watched too, and each link on the way there, which may be led elsewhere; where a link leads nowhere
 * the folder in which the next part of its way is to appear.
 *
 * A user has few inotify instances, and each caller that a service of dom0 waits for takes one. While there is none for us
 * the files are read every LOOK_MS instead, and what is new is told once it has been read twice: nobody says that a file is closed.
 */
#include "policyd.h"

#include "base/io.h"
#include "base/str.h"
#include "proto/prompt.h"
#include "ruleset/ruleset.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>

/* changes come in groups: this long after the first one all are looked at */
#define SETTLE_MS 5
/* a new file is mostly closed by who writes it before this; one that is a link never is */
#define CREATED_MS 100
/* between looks while nothing can be watched */
#define LOOK_MS   1000
#define DEPTH_MAX 16
#define LINKS_MAX 40 /* that lead on to each other, as the kernel has it */
#define WAYS_MAX  1024

#define CHANGES                                                                                    \
	(IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVE | IN_DELETE_SELF | IN_MOVE_SELF |        \
	 IN_ATTRIB)

/* a watch of a folder above one of the policy's, or on the way of a link, in which @name is to come or go */
struct way {
	int watch;
	uint64_t path; /* its hash */
	char name[NAME_MAX + 1];
};

struct loader {
	const struct loader_places *places;
	int notes_fd, timer_fd; /* @timer_fd: when a grant ends */
	int watch_fd,
		ways_fd; /* of what is in the folders; of @ways, which may be the same folders */
	struct way ways[WAYS_MAX];
	unsigned n_ways;
	bool look;     /* not all could be watched, or read: it is looked at again */
	bool unsure;   /* what was seen then is new, and may be half of it */
	uint64_t told; /* hash of what was told last; 0: nothing */
	uint64_t seen; /* of what was read last */
};

/* ---- watching */

static int watch_below(struct loader *l, const char *path, unsigned depth);

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

/* FNV-1a: what who writes the policy has written is told apart by it */
static uint64_t hash_of(uint64_t hash, const void *bytes, size_t len)
{
	for (const unsigned char *at = bytes; len > 0; len--, at++)
		hash = (hash ^ *at) * UINT64_C(0x100000001b3);
	return hash;
}

/* by this path: another one may lead there by other links */
static bool is_watched(const struct loader *l, const struct way *w)
{
	for (unsigned i = 0; i < l->n_ways; i++)
		if (l->ways[i].watch == w->watch && l->ways[i].path == w->path &&
		    str_eq(l->ways[i].name, w->name))
			return true;
	return false;
}

/* a part of a way: @path's last one, to come or go in the folder above, or, where that is not there either, in the first
 * one above that is; @ret: the path of that part. Return: 0; 1: it is watched already; -errno */
static int watch_above(struct loader *l, const char *path, char ret[PATH_MAX])
{
	struct way *w = &l->ways[l->n_ways];
	size_t len = strlen(path);
	int r;

	while (len > 1 && path[len - 1] == '/')
		len--;
	r = str_copy(ret, PATH_MAX, path, len);
	if (r == 0 && l->n_ways == WAYS_MAX)
		r = -E2BIG;
	for (char *slash; r == 0 && (slash = strrchr(ret, '/'));) {
		const char *above = slash == ret ? "/" : ret;

		r = str_copy(w->name, sizeof(w->name), slash + 1, strlen(slash + 1));
		*slash = '\0';
		w->watch = r < 0 ? -1
				 : inotify_add_watch(l->ways_fd, above,
						     IN_CREATE | IN_MOVE | IN_DELETE |
							     IN_MOVE_SELF | IN_DELETE_SELF);
		if (w->watch >= 0) {
			*slash = '/';
			w->path = hash_of(HASH_BEGIN, ret, strlen(ret));
			if (is_watched(l, w))
				return 1;
			l->n_ways++;
			break;
		}
		if (r == 0 && (errno != ENOENT || slash == ret))
			r = fail_errno();
	}
	return r;
}

static int watch_way(struct loader *l, const char *path, unsigned n_links);

/* the user has no more of what watches are made from: no fault of the policy's */
static bool is_short(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOSPC;
}

/* a link that cannot be watched is no fault, but where it leads is looked at then. Return: 0; -ENOMEM */
static int passed_over(struct loader *l, int r)
{
	l->look |= is_short(r) || r == -E2BIG;
	return r == -ENOMEM ? r : 0;
}

/* the folders of @path that are links. Return: 0; -ENOMEM */
static int watch_links(struct loader *l, char *path, unsigned n_links)
{
	char to[1];
	int r = 0;

	for (char *slash = path; r == 0 && *slash && (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		if (readlink(path, to, sizeof(to)) > 0)
			r = passed_over(l, watch_way(l, path, n_links + 1));
		*slash = '/';
	}
	return r;
}

/* where @path leads, or would: what is watched on the way is each link, and the first part that is not there */
static int watch_way(struct loader *l, const char *path, unsigned n_links)
{
	char part[PATH_MAX], to[PATH_MAX], next[PATH_MAX];
	int r = watch_above(l, path, part);
	ssize_t n;

	if (r == 0 && n_links < LINKS_MAX)
		r = watch_links(l, part, n_links);
	else if (r > 0)
		return 0;
	if (r < 0)
		return r;
	n = readlink(part, to, sizeof(to) - 1);
	if (n <= 0 || n_links == LINKS_MAX)
		return 0; /* it is no link: it comes, or goes */
	to[n] = '\0';
	if (to[0] == '/')
		return watch_way(l, to, n_links + 1);
	r = str_format(next, sizeof(next), "%.*s%s", (int)(strrchr(part, '/') + 1 - part), part,
		       to);
	return r < 0 ? r : watch_way(l, next, n_links + 1);
}

/* what is called @name there; a link is watched itself too, since what it leads to is elsewhere */
static int watch_entry(struct loader *l, const char *path, const char *name, unsigned depth)
{
	char below[PATH_MAX];
	struct stat st, own;
	int r = 0;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    str_format(below, sizeof(below), "%s/%s", path, name) < 0)
		return 0;
	/* a way that cannot be gone or watched is no fault of the policy's; what came meanwhile is there now */
	if (lstat(below, &own) < 0)
		return 0;
	if (S_ISLNK(own.st_mode))
		r = passed_over(l, watch_way(l, below, 0));
	if (r < 0 || stat(below, &st) < 0)
		return r;
	if (S_ISDIR(st.st_mode))
		return watch_below(l, below, depth + 1);
	if (S_ISREG(st.st_mode) && S_ISLNK(own.st_mode) &&
	    inotify_add_watch(l->watch_fd, below, CHANGES) < 0)
		r = passed_over(l, fail_errno());
	return r;
}

static int watch_below(struct loader *l, const char *path, unsigned depth)
{
	struct dirent *e;
	int r = 0;
	DIR *dir;

	if (inotify_add_watch(l->watch_fd, path, CHANGES) < 0)
		return errno == ENOENT ? 0 : fail_errno();
	dir = depth < DEPTH_MAX ? opendir(path) : NULL;
	while (dir && r == 0 && (e = readdir(dir)))
		r = watch_entry(l, path, e->d_name, depth);
	if (dir)
		(void)closedir(dir);
	return r;
}

/* the folders may come and go, and so what they are in. Links in them come after that, for what there is of ways */
static int watch_all(struct loader *l)
{
	const char *const *folders = l->places->folders;
	int r = 0;

	l->n_ways = 0;
	l->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	l->ways_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (l->watch_fd < 0 || l->ways_fd < 0)
		return fail_errno();
	for (const char *const *f = folders; r == 0 && *f; f++)
		r = watch_way(l, *f, 0);
	if (r == 0 && l->places->legacy)
		r = watch_way(l, l->places->legacy, 0);
	for (const char *const *f = folders; r == 0 && *f; f++)
		r = watch_below(l, *f, 0);
	return r == 0 && l->places->legacy ? watch_below(l, l->places->legacy, 0) : r;
}

/* after how long this one is to be looked at; -1: it does not matter */
static int event_delay(const struct loader *l, int fd, const struct inotify_event *e)
{
	if (fd == l->watch_fd || e->mask & IN_Q_OVERFLOW)
		return e->mask & IN_CREATE && !(e->mask & IN_ISDIR) ? CREATED_MS : SETTLE_MS;
	for (unsigned i = 0; i < l->n_ways; i++) {
		if (e->wd != l->ways[i].watch)
			continue;
		/* it has gone itself, or what it is watched for; a file that comes is closed yet, as above */
		if (e->len == 0 || str_eq(e->name, l->ways[i].name))
			return e->mask & IN_CREATE && !(e->mask & IN_ISDIR) ? CREATED_MS
									    : SETTLE_MS;
	}
	return -1;
}

/* the same of all that came from @fd; @due_ms: when something is to be looked at so far, 0 = never */
static uint64_t take_events(const struct loader *l, int fd, uint64_t due_ms)
{
	_Alignas(struct inotify_event) char buf[8192];
	uint64_t now = io_now_ms();
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const void *)(buf + at);
			int delay = event_delay(l, fd, e);

			if (delay >= 0 && (due_ms == 0 || due_ms > now + (uint64_t)delay))
				due_ms = now + (uint64_t)delay;
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	return due_ms;
}

/* ---- reading */

/* into a memfd that nobody can change any more; @hash goes on over it */
static int compile(const struct policy_files *files, int *ret_fd, struct policy_error *error,
		   uint64_t *hash)
{
	AUTO_CLOSE int fd = NO_FD;
	const struct policy *p;
	size_t size;
	void *room;
	int r = policy_measure(files, &size, error);

	if (r != 0)
		return r;
	fd = memfd_create("policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return fail_errno();
	room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (room == MAP_FAILED)
		return fail_errno();
	r = policy_compile(files, room, size, &p, error);
	if (r == 0) {
		size = policy_len(p);
		*hash = hash_of(*hash, room, size);
	}
	(void)munmap(room, size);
	if (r != 0)
		return r;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return fail_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

static void describe(struct loader_note *n, const struct policy_error *e)
{
	if (e->line > 0)
		(void)snprintf(n->text, sizeof(n->text), "%s:%u: %s", e->file, e->line, e->reason);
	else
		(void)snprintf(n->text, sizeof(n->text), "%s%s%s", e->file, e->file[0] ? ": " : "",
			       e->reason);
}

/* the rules that hold for a time */
static void describe_grants(struct loader_note *n, const struct ruleset *rules)
{
	size_t len = 0;

	for (unsigned i = 0; i < rules->files.n_files && len < sizeof(n->text); i++) {
		const struct policy_file *f = &rules->files.files[i];
		const char *rule = f->len > 0 ? memchr(f->text, '\n', f->len) : NULL;

		if (!rule || !str_starts(f->text, "#!grant"))
			continue;
		rule++;
		len += (size_t)snprintf(n->text + len, sizeof(n->text) - len, "%s%s: %.*s",
					len > 0 ? "; " : "", f->path, (int)strcspn(rule, "\n"),
					rule);
	}
}

/*
 * To be woken when a grant ends, by the clock that grants count: one that went on while the machine
 * slept, which that of poll() did not.
 */
static void set_timer(const struct loader *l, int64_t until)
{
	const struct itimerspec when = {.it_value.tv_sec = until};

	(void)timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* what is read where nothing says that a file is closed is told when it has been read twice the same. 0; -errno */
static int tell(struct loader *l, const struct loader_note *note, int fd, uint64_t hash,
		bool only_news)
{
	const bool known = l->told == 0 || hash == l->told || hash == l->seen;
	int r = 0;

	l->unsure = l->look && !known;
	l->seen = hash;
	if (l->unsure || (only_news && hash == l->told))
		return 0;
	r = io_send_msg(l->notes_fd, note, sizeof(*note), &fd, note->kind == LOADER_TABLE ? 1 : 0);
	l->told = hash;
	return r;
}

/* read everything and say what came of it; if this is only one more look, what is new */
static int load(struct loader *l)
{
	int past_fd = take_fd(&l->watch_fd), past_ways_fd = take_fd(&l->ways_fd);
	const bool only_news = l->look;
	uint64_t hash = HASH_BEGIN;
	struct ruleset AUTO(ruleset_done) rules = {0};
	AUTO_FREE char *path = NULL;
	struct loader_note note = {0};
	struct policy_error error = {0};
	AUTO_CLOSE int fd = NO_FD;
	int r;

	l->look = false;
	r = watch_all(l);
	l->look |= r < 0;
	if (r == 0 || is_short(r))
		r = ruleset_read(l->places->folders, l->places->legacy, &rules, &path);
	if (r == 0)
		r = compile(&rules.files, &fd, &error, &hash);
	l->look |= r < 0;
	if (r < 0)
		(void)snprintf(note.text, sizeof(note.text), "%s%s%s", path ? path : "",
			       path ? ": " : "", log_errno_str(r));
	else if (r > 0)
		describe(&note, &error);
	else
		describe_grants(&note, &rules);
	set_timer(l, rules.until);
	note.kind = r == 0 ? LOADER_TABLE : LOADER_FAULT;
	hash = hash_of(hash, note.text, strlen(note.text));
	r = tell(l, &note, fd, hash, only_news);
	/* watches take the kernel many milliseconds to end: after all else */
	close_fd(&past_fd);
	close_fd(&past_ways_fd);
	return r;
}

/* ---- the prompt */

/* who listens there must be who we are: it decides in the person's name */
static int connect_ours(const char *path, int *ret_fd)
{
	AUTO_CLOSE int fd = NO_FD;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int r = io_unix_connect_now(path, SOCK_STREAM, &fd);

	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return fail_errno();
	if (peer.uid != geteuid())
		return -EPERM;
	*ret_fd = take_fd(&fd);
	return 0;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* CALLER.PID */
static bool is_terminal_of(const char *name, const char *caller)
{
	const size_t len = strlen(caller);

	return str_starts(name, caller) && name[len] == '.' && name[len + 1] != '\0' &&
	       strspn(name + len + 1, "0123456789") == strlen(name + len + 1);
}

/* the caller's terminal that came last, but before @before; its name in @to. 0; -ENOENT */
static int terminal_find(const char *dir, const char *caller, const struct timespec *before,
			 char to[UNIX_PATH_MAX + 1], struct timespec *ret_when)
{
	struct timespec last = {0};
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		char path[UNIX_PATH_MAX + 1];
		struct stat st;

		if (!is_terminal_of(e->d_name, caller) ||
		    str_format(path, sizeof(path), "%s/%s", dir, e->d_name) < 0 ||
		    stat(path, &st) < 0 || !is_before(&st.st_mtim, before) ||
		    !is_before(&last, &st.st_mtim))
			continue;
		last = st.st_mtim;
		memcpy(to, path, sizeof(path));
	}
	if (d)
		(void)closedir(d);
	*ret_when = last;
	return last.tv_sec > 0 ? 0 : -ENOENT;
}

/* where somebody runs something in the caller; one that is gone may have left its socket */
static int terminal_connect(const char *prompt, const char *caller, int *ret_fd)
{
	struct timespec when = {.tv_sec = INT64_MAX};
	char dir[UNIX_PATH_MAX + 1], path[UNIX_PATH_MAX + 1];
	int r = str_format(dir, sizeof(dir), "%.*s/" PROMPT_TERMINALS,
			   (int)(strrchr(prompt, '/') - prompt), prompt);

	while (r == 0) {
		r = terminal_find(dir, caller, &when, path, &when);
		if (r == 0 && connect_ours(path, ret_fd) == 0)
			return 0;
	}
	return r;
}

static int prompt_connect(const char *prompt, const char *caller, int *ret_fd)
{
	int r = prompt ? connect_ours(prompt, ret_fd) : -ENOENT;

	if (prompt && (r == -ENOENT || r == -ECONNREFUSED))
		r = terminal_connect(prompt, caller, ret_fd);
	return r;
}

/* a wish of policyd, answered by one note; 1: policyd is gone */
static int grant(struct loader *l)
{
	struct loader_note note = {.kind = LOADER_PROMPT};
	AUTO_CLOSE int fd = NO_FD;
	struct loader_wish w;
	size_t len, n_fds;
	int r = io_recv_msg(l->notes_fd, &w, sizeof(w), &len, NULL, 0, &n_fds);

	if (r < 0)
		return r;
	if (len != sizeof(w))
		return len == 0 ? 1 : -EPROTO;
	note.wish = w.id;
	w.caller[sizeof(w.caller) - 1] = '\0';
	r = prompt_connect(l->places->prompt, w.caller, &fd);
	if (r < 0) {
		note.kind = LOADER_NO_PROMPT;
		(void)snprintf(
			note.text, sizeof(note.text), "%s",
			r == -ENOENT || r == -ECONNREFUSED
				? "there is no prompt, and no terminal where something runs in it"
				: log_errno_str(r));
	}
	return io_send_msg(l->notes_fd, &note, sizeof(note), &fd, r < 0 ? 0 : 1);
}

/* until a change is to be looked at; -1 = none is known of */
static int wait_ms(uint64_t due_ms)
{
	uint64_t now_ms = io_now_ms();

	if (due_ms == 0)
		return -1;
	return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

/* 0: never, unless something changes */
static uint64_t next_look_ms(const struct loader *l)
{
	return l->look ? io_now_ms() + (l->unsure ? CREATED_MS : LOOK_MS) : 0;
}

/* until policyd is gone */
static int loader_run(struct loader *l)
{
	int r = load(l);
	uint64_t due_ms = next_look_ms(l);

	while (r == 0) {
		struct pollfd p[] = {{l->notes_fd, POLLIN, 0},
				     {l->watch_fd, POLLIN, 0},
				     {l->timer_fd, POLLIN, 0},
				     {l->ways_fd, POLLIN, 0}};

		if (poll(p, ARRAY_LEN(p), wait_ms(due_ms)) < 0) {
			if (errno == EINTR)
				continue;
			return fail_errno();
		}
		if (p[0].revents != 0)
			r = grant(l);
		if (r != 0)
			return r < 0 ? r : 0;
		due_ms = take_events(l, l->watch_fd, due_ms);
		due_ms = take_events(l, l->ways_fd, due_ms);
		if ((due_ms == 0 || io_now_ms() < due_ms) && p[2].revents == 0)
			continue;
		r = load(l);
		due_ms = next_look_ms(l);
	}
	return r;
}

int loader_start(const struct loader_places *places, int *ret_fd)
{
	struct loader l = {
		.places = places, .watch_fd = NO_FD, .ways_fd = NO_FD, .timer_fd = NO_FD};
	pid_t parent = getpid(), pid;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return fail_errno();
	pid = fork();
	if (pid < 0)
		return fail_errno();
	if (pid > 0) {
		(void)close(fds[1]);
		*ret_fd = fds[0];
		return io_set_nonblock(fds[0], true);
	}
	/* the parent's own descriptors are not ours: 0 to 2 stay, and the socket */
	l.notes_fd = dup2(fds[1], 3);
	(void)close_range(4, UINT32_MAX, 0);
	(void)prctl(PR_SET_NAME, "policy-loader");
	r = l.notes_fd < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? fail_errno() : 0;
	if (r == 0 && getppid() != parent)
		r = -ESRCH;
	l.timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (r == 0 && l.timer_fd < 0)
		r = fail_errno();
	if (r == 0)
		r = confine_loader();
	if (r == 0)
		r = loader_run(&l);
	if (r < 0 && r != -EPIPE)
		log_err(NULL, "the loader ends: %s", log_errno_str(r));
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
