/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qubesd's side of a job: wait for its turn, start it, hear its progress, collect it. */
#include "job/job.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "job/turn.h"
#include "loop/child.h"
#include "loop/spawn.h"
#include "qubesd.h"
#include "room.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>

/** LOOK_LIMIT_S - a file system that has not answered by then is not waited for */
#define LOOK_LIMIT_S 15

/* @limit_s: 0: it takes as long as it takes */
static const struct kind {
	const char *name;
	enum lane lane;
	unsigned limit_s;
} kinds[] = {
	{"start", LANE_START, 0},
	{"stop", LANE_STOP, 0},
	{"create", LANE_DISK, 0},
	{"remove", LANE_DISK, 0},
	{"clone", LANE_DISK, 0},
	{"resize", LANE_DISK, 0},
	{"revert", LANE_DISK, 0},
	{"import", LANE_STREAM, 0},
	{"tell", LANE_TELL, 0},
	{"zygote", LANE_ZYGOTE, 0},
	{"usage", LANE_LOOK, LOOK_LIMIT_S},
	{"look", LANE_LOOK, LOOK_LIMIT_S},
	{"folder", LANE_LOOK, LOOK_LIMIT_S},
};

struct job {
	struct turn turn; /* first: in the list of those that run, or wait */
	struct qubesd *d;
	const struct kind *kind;
	struct request request; /* while it waits */
	struct child *child;
	sd_event_source *source, *timer;
	int pipe_fd;
	struct text in;
	bool ended, told; /* the process; its verdict */
	bool answered;    /* @events.done was called: it only has to end */
	struct job_end end;
	struct job_events events;
	void *data;
};

/* a list of jobs is one of turns */
static struct job *job_of(struct turn *t)
{
	return (struct job *)t;
}

static bool list_take(struct turn **list, const struct turn *t)
{
	struct turn **p = list;

	while (*p && *p != t)
		p = &(*p)->next;
	if (!*p)
		return false;
	*p = t->next;
	return true;
}

static void list_add(struct turn **list, struct turn *t)
{
	while (*list)
		list = &(*list)->next;
	t->next = NULL;
	*list = t;
}

static void job_free(struct job *j)
{
	if (list_take(&j->d->jobs, &j->turn))
		j->d->n_jobs--;
	else if (list_take(&j->d->jobs_waiting, &j->turn))
		j->d->n_jobs_waiting--;
	request_done(&j->request);
	sd_event_source_disable_unref(j->source);
	sd_event_source_disable_unref(j->timer);
	child_free(j->child);
	close_fd(&j->pipe_fd);
	text_done(&j->in);
	free(j);
}

/* one line of its progress: fields separated by TAB */
static void take_line(struct job *j, char *line)
{
	char *fields[5] = {0};
	uint64_t done = 0, total = 0;

	for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
		fields[i] = strsep(&line, "\t");
	if (str_eq(fields[0], "end") && fields[1] && fields[2]) {
		j->told = true;
		(void)snprintf(j->end.type, sizeof(j->end.type), "%s", fields[1]);
		(void)snprintf(j->end.text, sizeof(j->end.text), "%s", fields[2]);
		return;
	}
	if (!str_eq(fields[0], "progress") || !fields[4] || !j->events.progress || j->answered)
		return;
	if (str_u64(fields[3], UINT64_MAX, &done) < 0 || str_u64(fields[4], UINT64_MAX, &total) < 0)
		return;
	j->events.progress(j->data, fields[1], fields[2], done, total);
}

/* true at the end of the pipe */
static bool take_bytes(struct job *j)
{
	char buf[4096], *nl;
	ssize_t n = read(j->pipe_fd, buf, sizeof(buf));

	if (n < 0)
		return errno != EAGAIN && errno != EINTR;
	if (n == 0)
		return true;
	text_bytes(&j->in, buf, (size_t)n);
	while (j->in.len > 0 && (nl = memchr(j->in.at, '\n', j->in.len))) {
		*nl = '\0';
		take_line(j, j->in.at);
		text_drop(&j->in, (size_t)(nl - j->in.at) + 1);
	}
	return j->in.failed;
}

static void begin_next(struct qubesd *d, enum lane lane);

/* its pipe and its process have both ended: the verdict holds */
static void finish(struct job *j)
{
	struct qubesd *d = j->d;
	const enum lane lane = j->turn.lane;
	const struct job_events events = j->events;
	struct job_end end = j->end;
	const bool answered = j->answered;
	void *data = j->data;

	if (!j->ended || j->source)
		return;
	if (!j->told) {
		end.cut_off = true;
		(void)snprintf(end.type, sizeof(end.type), "QubesException");
		(void)snprintf(end.text, sizeof(end.text),
			       "the operation '%s' was ended before it was done", j->kind->name);
	}
	job_free(j);
	/* who waits already comes before what @events.done starts */
	begin_next(d, lane);
	if (!answered)
		events.done(data, &end);
	if (lane == LANE_DISK || lane == LANE_STREAM)
		room_watch(d);
}

/* one of @waiting leaves it without having begun */
static void drop(struct job *j, const struct job_end *end)
{
	const struct job_events events = j->events;
	void *data = j->data;

	job_free(j);
	events.done(data, end);
}

/* It is ended, and nobody waits for that: a process that waits for a file system may go on doing so. Until it has ended it
 * keeps its slot.
 */
static void give_up(struct job *j, const struct job_end *end)
{
	if (!j->child) {
		drop(j, end);
		return;
	}
	j->timer = sd_event_source_disable_unref(j->timer);
	spawn_signal(child_get_pidfd(j->child), SIGKILL);
	j->answered = true;
	j->events.done(j->data, end);
}

/* of one that waits for a slot behind others, too */
static int on_limit(sd_event_source *s, uint64_t usec, void *data)
{
	struct job *j = data;
	struct job_end end = {.type = "StoragePoolException"};

	(void)s, (void)usec;
	(void)snprintf(
		end.text, sizeof(end.text),
		"the file system did not answer within %u s; this is not waited for any longer",
		j->kind->limit_s);
	log_warn(NULL, "job %s%s%s: %s", j->kind->name,
		 j->turn.pools[0][0] != '\0' ? " in pool " : "", j->turn.pools[0], end.text);
	give_up(j, &end);
	return 0;
}

static int on_pipe(sd_event_source *s, int fd, uint32_t events, void *data)
{
	struct job *j = data;

	(void)s, (void)fd, (void)events;
	if (take_bytes(j)) {
		j->source = sd_event_source_disable_unref(j->source);
		finish(j);
	}
	return 0;
}

static void on_child(void *data, const struct child_end *end)
{
	struct job *j = data;

	if (end->signal > 0 && !j->answered)
		log_warn(NULL, "job %s was killed by signal %d", j->kind->name, end->signal);
	else if (end->code == 127 && !j->told)
		log_err(NULL, "job %s: %s cannot be executed", j->kind->name, j->d->self);
	j->ended = true;
	finish(j);
}

static int make_request(const struct text *body, int *ret_fd)
{
	AUTO_CLOSE int fd = memfd_create("job-request", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return fail_errno();
	r = io_write_full(fd, body->at, body->len);
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return fail_errno();
	*ret_fd = take_fd(&fd);
	return 0;
}

/* many descriptors are for us: programs that use select() break with a high limit */
static int lower_limit(void *data)
{
	const struct qubesd *d = data;

	return setrlimit(RLIMIT_NOFILE, &d->files) < 0 ? fail_errno() : 0;
}

static int start_process(struct qubesd *d, const char *kind, struct request *request, int *ret_pipe,
			 int *ret_pidfd)
{
	char *const argv[] = {d->self, "--job", (char *)kind, NULL};
	struct spawn_fd fds[2 + JOB_MAX_FDS];
	struct spawn s = {
		.path = d->self,
		.argv = argv,
		.fds = fds,
		.death_signal = SIGKILL,
		.at_once = true, /* on a busy machine it is tens of ms until it is executed */
		.prepare = lower_limit,
		.data = d,
	};
	AUTO_CLOSE int request_fd = NO_FD, in = NO_FD, out = NO_FD;
	int ends[2], r;

	r = make_request(&request->body, &request_fd);
	if (r < 0)
		return r;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fail_errno();
	in = ends[0];
	out = ends[1];
	fds[s.n_fds++] = (struct spawn_fd){request_fd, JOB_REQUEST_FD};
	fds[s.n_fds++] = (struct spawn_fd){out, JOB_PROGRESS_FD};
	for (unsigned i = 0; i < request->n_fds; i++)
		fds[s.n_fds++] = (struct spawn_fd){request->fds[i], JOB_FIRST_FD + (int)i};
	r = io_set_nonblock(in, true);
	if (r == 0)
		r = spawn(&s, NULL, ret_pidfd);
	if (r < 0)
		return r;
	*ret_pipe = take_fd(&in);
	return 0;
}

static const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

/* its turn has come; it is in no list */
static int begin(struct job *j, struct request *request)
{
	AUTO_CLOSE int pidfd = NO_FD;
	struct qubesd *d = j->d;
	int r = start_process(d, j->kind->name, request, &j->pipe_fd, &pidfd);

	if (r == 0)
		r = sd_event_add_io(d->event, &j->source, j->pipe_fd, EPOLLIN, on_pipe, j);
	if (r >= 0)
		r = child_new(d->event, pidfd, on_child, j, &j->child);
	if (r < 0) {
		if (pidfd >= 0) {
			spawn_signal(pidfd, SIGKILL);
			(void)waitid(P_PIDFD, (id_t)pidfd, &(siginfo_t){0}, WEXITED);
		}
		return r;
	}
	(void)take_fd(&pidfd);
	list_add(&d->jobs, &j->turn);
	d->n_jobs++;
	return 0;
}

/* a place is free */
static void begin_next(struct qubesd *d, enum lane lane)
{
	const struct job_end failed = {.type = "QubesException", .text = "no job could be started"};
	struct turn *t;

	while ((t = turn_next(d->jobs, d->jobs_waiting, lane))) {
		struct request AUTO(request_done) request = job_of(t)->request;
		struct job *j = job_of(t);
		int r;

		(void)list_take(&d->jobs_waiting, t);
		d->n_jobs_waiting--;
		j->request = (struct request){0};
		r = begin(j, &request);
		if (r == 0)
			continue;
		log_err(NULL, "job %s cannot be started: %s", j->kind->name, log_errno_str(r));
		drop(j, &failed);
	}
}

int job_start(struct qubesd *d, const char *kind, struct request *request,
	      const struct job_events *events, void *data)
{
	const struct kind *k = kind_find(kind);
	struct job *j;
	bool begins;
	int r;

	if (!k)
		return -EINVAL;
	if (request->body.failed)
		return -ENOMEM;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->d = d;
	j->turn = (struct turn){.lane = k->lane, .source = request->source};
	memcpy(j->turn.pools, request->pools, sizeof(j->turn.pools));
	j->kind = k;
	j->pipe_fd = NO_FD;
	j->events = *events;
	j->data = data;
	/* the limit is that of who asks: it counts from here, with a turn or without */
	r = k->limit_s == 0
		    ? 0
		    : sd_event_add_time_relative(d->event, &j->timer, CLOCK_MONOTONIC,
						 k->limit_s * UINT64_C(1000000), 0, on_limit, j);
	begins = turn_next(d->jobs, &j->turn, k->lane);
	if (r == 0 && begins)
		r = begin(j, request);
	else if (r == 0 && !turn_may_wait(d->jobs_waiting, k->lane))
		r = JOB_E_MANY;
	if (r != 0)
		job_free(j);
	if (r != 0 || begins)
		return r;
	j->request = *request;
	*request = (struct request){0};
	list_add(&d->jobs_waiting, &j->turn);
	d->n_jobs_waiting++;
	return 0;
}

/* @data of one that was answered may be another's by now */
static struct job *find(struct turn *list, const void *data)
{
	for (struct turn *t = list; t; t = t->next)
		if (job_of(t)->data == data && !job_of(t)->answered)
			return job_of(t);
	return NULL;
}

bool job_waits(const struct qubesd *d, const void *data)
{
	return find(d->jobs_waiting, data) != NULL;
}

bool job_withdraw(struct qubesd *d, const void *data)
{
	const struct job_end withdrawn = {.type = "QubesException",
					  .text = "it was called off before its turn came"};
	struct job *j = find(d->jobs_waiting, data);

	if (j)
		drop(j, &withdrawn);
	return j != NULL;
}

void job_abandon(struct qubesd *d, const void *data)
{
	static const struct job_end end = {.type = "QubesException",
					   .text = "nobody wants to know it any more"};
	struct job *j = find(d->jobs_waiting, data);

	j = j ? j : find(d->jobs, data);
	if (j)
		give_up(j, &end);
}

void jobs_done(struct qubesd *d)
{
	/* they die with us (PR_SET_PDEATHSIG); the operations in the store say what is to be done, for those that waited, too
	 */
	while (d->jobs)
		job_free(job_of(d->jobs));
	while (d->jobs_waiting)
		job_free(job_of(d->jobs_waiting));
}
