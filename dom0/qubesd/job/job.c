/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qubesd's side of a job: start it, hear its progress, collect it. */
#include "job/job.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "loop/child.h"
#include "loop/spawn.h"
#include "qubesd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

struct job {
	struct job *next;
	struct qubesd *d;
	const char *kind;
	struct child *child;
	sd_event_source *source;
	int pipe_fd;
	struct text in;
	bool ended, told; /* the process; its verdict */
	struct job_end end;
	struct job_events events;
	void *data;
};

static void job_free(struct job *j)
{
	struct job **p = &j->d->jobs;

	while (*p && *p != j)
		p = &(*p)->next;
	if (*p) {
		*p = j->next;
		j->d->n_jobs--;
	}
	sd_event_source_disable_unref(j->source);
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
	if (!str_eq(fields[0], "progress") || !fields[4] || !j->events.progress)
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

/* its pipe and its process have both ended: the verdict holds */
static void finish(struct job *j)
{
	struct job_events events = j->events;
	struct job_end end = j->end;
	void *data = j->data;

	if (!j->ended || j->source)
		return;
	if (!j->told) {
		(void)snprintf(end.type, sizeof(end.type), "QubesException");
		(void)snprintf(end.text, sizeof(end.text),
			       "the operation '%s' was ended before it was done", j->kind);
	}
	job_free(j);
	events.done(data, &end);
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

	if (end->signal > 0)
		log_warn(NULL, "job %s was killed by signal %d", j->kind, end->signal);
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

int job_start(struct qubesd *d, const char *kind, struct request *request,
	      const struct job_events *events, void *data)
{
	AUTO_CLOSE int pidfd = NO_FD;
	struct job *j;
	int r;

	if (request->body.failed)
		return -ENOMEM;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->d = d;
	j->kind = kind;
	j->pipe_fd = NO_FD;
	j->events = *events;
	j->data = data;
	r = start_process(d, kind, request, &j->pipe_fd, &pidfd);
	if (r == 0)
		r = sd_event_add_io(d->event, &j->source, j->pipe_fd, EPOLLIN, on_pipe, j);
	if (r >= 0)
		r = child_new(d->event, pidfd, on_child, j, &j->child);
	if (r < 0) {
		job_free(j);
		return r;
	}
	(void)take_fd(&pidfd);
	j->next = d->jobs;
	d->jobs = j;
	d->n_jobs++;
	return 0;
}

void jobs_done(struct qubesd *d)
{
	/* they die with us (PR_SET_PDEATHSIG); the operations in the store say what is to be done
	 */
	while (d->jobs)
		job_free(d->jobs);
}
