/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver for no machine at all: a qube "runs" as soon as it is started, does nothing, and is off
 * as soon as it is told so. It makes each call of the Admin API testable in milliseconds.
 *
 * It is linked into qubesd-none alone, which is built for tests and not installed, and refuses an
 * instance that is not below BULKHEAD_HOME. A running qube is a file, run/none/DOMID (name, uuid,
 * memory in MiB and what can be added to it, the words of its kernelopts, a line each), so that it outlives qubesd as a real one
 * does; run/none/DOMID.qdb has a line for each entry of QubesDB as it was written, run/none/DOMID.more the KiB that were
 * added to its memory, run/none/DOMID.paused and run/none/DOMID.pressed are there if that was done to it. A test says in run/none/NAME.uses how many MiB the qube of that name says that it uses; without that file
 * it says nothing. While there is run/none/unreached no qube can be followed. Words of kernelopts that make it misbehave: none.fail = it does not start, none.slow = its start takes two
 * seconds, none.waits = its start takes until there is run/none/NAME.go (60 s at most), none.deaf = its power button does nothing,
 * none.keeps = it gives no memory back, none.full = it stops for want of room as soon as it runs, and does so again when it is
 * told to go on, the first time.
 */
#include "found.h"

#include "base/io.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_STEPS 32
#define SIDE_PATH (UNIX_PATH_MAX + 16) /* of what is beside a qube's file */

/* What happens at the loop's next turn: a state that is told, the end of a command. */
struct step {
	bool is_state, clean;
	enum vmm_state state;
	vmm_done_fn done;
	void *data;
};

struct vmm {
	char path[UNIX_PATH_MAX + 1], uses[UNIX_PATH_MAX + 1];
	sd_event_source *turn;
	const struct vmm_events *events;
	void *data;
	uint64_t memory_kib, more_kib, asked_kib, has_kib;
	bool deaf, keeps, full, *freed;
	struct step steps[MAX_STEPS];
	unsigned n_steps;
};

static int refuse_outside(void)
{
	const char *home = getenv("BULKHEAD_HOME");

	if (home && home[0] != '\0')
		return 0;
	log_err(NULL, "qubesd-none is for tests: set BULKHEAD_HOME to a folder of its own");
	return -EPERM;
}

static int qube_path(char *to, size_t size, const char *run_dir, unsigned domid)
{
	return str_format(to, size, "%s/none/%u", run_dir, domid);
}

static int write_qdb(const char *qube, const char *path, const char *value)
{
	char file[UNIX_PATH_MAX + 8], line[4096];
	AUTO_CLOSE int fd = NO_FD;
	int r = str_format(file, sizeof(file), "%s.qdb", qube);

	if (r == 0)
		r = value ? str_format(line, sizeof(line), "%s=%s\n", path, value)
			  : str_format(line, sizeof(line), "%s removed\n", path);
	if (r < 0)
		return r;
	fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return fd < 0 ? fail_errno() : io_write_full(fd, line, strlen(line));
}

/* until a test lets it go on */
static void wait_for_test(const struct vmm_spec *spec)
{
	const struct timespec nap = {.tv_nsec = 20000000};
	char path[UNIX_PATH_MAX + 1];
	int r = str_format(path, sizeof(path), "%s/none/%s.go", spec->run_dir, spec->name);

	for (unsigned i = 0; r == 0 && i < 3000 && access(path, F_OK) < 0; i++)
		(void)nanosleep(&nap, NULL);
}

int vmm_shape(const struct vmm_spec *spec, char *to, size_t size)
{
	(void)spec;
	(void)to;
	(void)size;
	return -ENOENT; /* its machines have no state */
}

/* a start that is killed leaves no half of a qube behind: it is there or not. A power cut ends it anyway */
static int put_whole(const struct vmm_spec *spec, const char *path, const char *text)
{
	char beside[UNIX_PATH_MAX + 32];
	AUTO_CLOSE int fd = NO_FD;
	int r;

	(void)snprintf(beside, sizeof(beside), "%s/none-%u.new", spec->run_dir, spec->domid);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	r = fd < 0 ? fail_errno() : io_write_full(fd, text, strlen(text));
	if (r == 0 && rename(beside, path) < 0)
		r = fail_errno();
	return r;
}

int vmm_start(const struct vmm_spec *spec, void (*progress)(void *, enum vmm_stage), void *data,
	      char *error, size_t error_size)
{
	char path[UNIX_PATH_MAX + 1], dir[UNIX_PATH_MAX + 1], text[4096];
	int r = refuse_outside();

	if (r == 0 && strstr(spec->cmdline, "none.fail")) {
		(void)snprintf(error, error_size, "%s did not start: it was told not to",
			       spec->name);
		return -EIO;
	}
	if (r == 0 && strstr(spec->cmdline, "none.slow"))
		(void)sleep(2);
	if (r == 0 && strstr(spec->cmdline, "none.waits"))
		wait_for_test(spec);
	if (r == 0)
		r = str_format(dir, sizeof(dir), "%s/none", spec->run_dir);
	if (r == 0)
		r = io_mkdirs(dir, 0700);
	if (r == 0)
		r = qube_path(path, sizeof(path), spec->run_dir, spec->domid);
	if (r == 0)
		r = str_format(text, sizeof(text), "%s\n%s\n%u %u\n%s\n", spec->name, spec->uuid,
			       spec->memory_mib, spec->more_mib, spec->cmdline);
	for (unsigned i = 0; r == 0 && i < spec->n_qdb; i++)
		r = write_qdb(path, spec->qdb[i].path, spec->qdb[i].value);
	r = r < 0 ? r : put_whole(spec, path, text);
	if (r < 0)
		return r;
	progress(data, VMM_STAGE_SPAWNED);
	progress(data, VMM_STAGE_BOOTING);
	progress(data, VMM_STAGE_READY);
	return 0;
}

/* Return: the vmm is still there */
static bool run_step(struct vmm *v, struct step s)
{
	bool freed = false;

	v->freed = &freed;
	if (s.is_state)
		v->events->state(v->data, v, s.state, s.clean, NULL);
	if (!freed && s.done)
		s.done(s.data, 0, NULL);
	if (!freed)
		v->freed = NULL;
	return !freed;
}

static int on_turn(sd_event_source *source, void *data)
{
	struct vmm *v = data;
	struct step s = v->steps[0];

	v->n_steps--;
	memmove(v->steps, v->steps + 1, v->n_steps * sizeof(v->steps[0]));
	if (v->n_steps > 0)
		(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	(void)run_step(v, s);
	return 0;
}

static int add_step(struct vmm *v, struct step s)
{
	if (v->n_steps == MAX_STEPS)
		return -EBUSY;
	v->steps[v->n_steps++] = s;
	return sd_event_source_set_enabled(v->turn, SD_EVENT_ONESHOT);
}

/* what its file says of it */
struct facts {
	char name[QUBE_NAME_MAX + 1], uuid[37];
	uint64_t memory_mib, more_mib;
	bool deaf, keeps, full;
};

static int read_qube(const char *path, struct facts *ret)
{
	AUTO_FREE char *text = NULL;
	char *rest, *line, *more;
	int r = io_read_file(AT_FDCWD, path, 8192, &text, NULL);

	if (r < 0)
		return r;
	*ret = (struct facts){0};
	rest = text;
	line = strsep(&rest, "\n");
	r = str_copy(ret->name, sizeof(ret->name), line, strlen(line));
	line = rest ? strsep(&rest, "\n") : NULL;
	if (r == 0)
		r = line ? str_copy(ret->uuid, sizeof(ret->uuid), line, strlen(line)) : -EIO;
	more = rest ? strsep(&rest, "\n") : NULL;
	line = more ? strsep(&more, " ") : NULL;
	if (r == 0)
		r = line ? str_u64(line, UINT32_MAX, &ret->memory_mib) : -EIO;
	if (r == 0)
		r = more ? str_u64(more, UINT32_MAX, &ret->more_mib) : -EIO;
	ret->deaf = rest && strstr(rest, "none.deaf");
	ret->keeps = rest && strstr(rest, "none.keeps");
	ret->full = rest && strstr(rest, "none.full");
	return r;
}

/* what it has outlives qubesd, too */
static void more_read(struct vmm *v)
{
	char path[UNIX_PATH_MAX + 8];
	AUTO_FREE char *text = NULL;

	(void)snprintf(path, sizeof(path), "%s.more", v->path);
	if (io_read_file(AT_FDCWD, path, 32, &text, NULL) == 0)
		v->asked_kib = v->has_kib = strtoull(text, NULL, 10);
}

static void side_path(const struct vmm *v, const char *what, char *to, size_t size)
{
	(void)snprintf(to, size, "%s.%s", v->path, what);
}

static int note(const struct vmm *v, const char *what)
{
	char path[SIDE_PATH];

	side_path(v, what, path, sizeof(path));
	return io_write_file(AT_FDCWD, path, "", 0, 0600);
}

static void forget(const struct vmm *v, const char *what)
{
	char path[SIDE_PATH];

	side_path(v, what, path, sizeof(path));
	(void)unlink(path);
}

static bool has_note(const struct vmm *v, const char *what)
{
	char path[SIDE_PATH];

	side_path(v, what, path, sizeof(path));
	return access(path, F_OK) == 0;
}

int vmm_attach(sd_event *event, const char *run_dir, unsigned domid,
	       const struct vmm_events *events, void *data, struct vmm **ret)
{
	AUTO_FREE struct vmm *v = calloc(1, sizeof(*v));
	struct facts facts = {0};
	int r;

	if (!v)
		return -ENOMEM;
	v->events = events;
	v->data = data;
	if (str_format(v->path, sizeof(v->path), "%s/none/unreached", run_dir) == 0 &&
	    access(v->path, F_OK) == 0)
		return -EMFILE;
	r = qube_path(v->path, sizeof(v->path), run_dir, domid);
	if (r == 0)
		r = read_qube(v->path, &facts);
	if (r == 0)
		r = str_format(v->uses, sizeof(v->uses), "%s/none/%s.uses", run_dir, facts.name);
	if (r == 0)
		r = sd_event_add_defer(event, &v->turn, on_turn, v);
	if (r < 0)
		return r;
	v->memory_kib = facts.memory_mib * 1024;
	v->more_kib = facts.more_mib * 1024;
	v->deaf = facts.deaf;
	v->keeps = facts.keeps;
	v->full = facts.full;
	more_read(v);
	r = add_step(v, (struct step){.is_state = true,
				      .state = has_note(v, "paused") ? VMM_PAUSED : VMM_RUNNING});
	if (r == 0 && v->full)
		r = add_step(v, (struct step){.is_state = true, .state = VMM_FULL});
	if (r < 0) {
		sd_event_source_disable_unref(v->turn);
		return r;
	}
	*ret = take_ptr(&v);
	return 0;
}

void vmm_free(struct vmm *v)
{
	if (!v)
		return;
	if (v->freed)
		*v->freed = true;
	sd_event_source_disable_unref(v->turn);
	free(v);
}

static int end(struct vmm *v, bool clean)
{
	static const char *const sides[] = {"qdb", "more", "paused", "pressed"};

	for (size_t i = 0; i < ARRAY_LEN(sides); i++)
		forget(v, sides[i]);
	if (unlink(v->path) < 0 && errno == ENOENT)
		return 0; /* it is on its way out */
	return add_step(v, (struct step){.is_state = true, .state = VMM_GONE, .clean = clean});
}

int vmm_shutdown(struct vmm *v)
{
	return v->deaf ? note(v, "pressed") : end(v, true);
}

int vmm_kill(struct vmm *v)
{
	return end(v, false);
}

int vmm_pause(struct vmm *v, vmm_done_fn done, void *data)
{
	int r = note(v, "paused");

	return r < 0 ? r
		     : add_step(v, (struct step){.is_state = true,
						 .state = VMM_PAUSED,
						 .done = done,
						 .data = data});
}

int vmm_unpause(struct vmm *v, vmm_done_fn done, void *data)
{
	int r = add_step(
		v,
		(struct step){.is_state = true, .state = VMM_RUNNING, .done = done, .data = data});

	if (r == 0 && v->full)
		r = add_step(v, (struct step){.is_state = true, .state = VMM_FULL});
	v->full = false;
	forget(v, "paused");
	return r;
}

int vmm_disk_add(struct vmm *v, const struct vmm_disk *disk, vmm_done_fn done, void *data)
{
	(void)disk;
	return add_step(v, (struct step){.done = done, .data = data});
}

int vmm_disk_remove(struct vmm *v, const char *name, vmm_done_fn done, void *data)
{
	(void)name;
	return add_step(v, (struct step){.done = done, .data = data});
}

int vmm_disk_resize(struct vmm *v, const char *name, uint64_t size, vmm_done_fn done, void *data)
{
	(void)name, (void)size;
	return add_step(v, (struct step){.done = done, .data = data});
}

int vmm_nic_add(struct vmm *v, const struct vmm_nic *nic, vmm_done_fn done, void *data)
{
	(void)nic;
	return add_step(v, (struct step){.done = done, .data = data});
}

int vmm_nic_remove(struct vmm *v, const char *id, vmm_done_fn done, void *data)
{
	(void)id;
	return add_step(v, (struct step){.done = done, .data = data});
}

int vmm_qdb_write(struct vmm *v, const char *path, const char *value)
{
	return write_qdb(v->path, path, value);
}

int vmm_qdb_rm(struct vmm *v, const char *path)
{
	return write_qdb(v->path, path, NULL);
}

bool vmm_get_pressed(const struct vmm *v, unsigned *ret_s)
{
	*ret_s = 0;
	return has_note(v, "pressed");
}

int vmm_get_usage(const struct vmm *v, struct vmm_usage *ret)
{
	*ret = (struct vmm_usage){.memory_kib = v->memory_kib};
	return 0;
}

int vmm_memory(struct vmm *v, uint64_t bytes)
{
	char path[UNIX_PATH_MAX + 8], text[32];
	AUTO_CLOSE int fd = NO_FD;

	v->asked_kib = bytes / 1024;
	if (!v->keeps || v->asked_kib > v->has_kib)
		v->has_kib = v->asked_kib;
	(void)snprintf(path, sizeof(path), "%s.more", v->path);
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)v->has_kib);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd < 0 ? fail_errno() : io_write_full(fd, text, strlen(text));
}

bool vmm_get_memory(const struct vmm *v, struct vmm_memory *ret)
{
	AUTO_FREE char *text = NULL;
	uint64_t uses_kib;

	*ret = (struct vmm_memory){.base = v->memory_kib * 1024,
				   .most = v->more_kib * 1024,
				   .asked = v->asked_kib * 1024,
				   .has = v->has_kib * 1024,
				   .available = UINT64_MAX};
	if (io_read_file(AT_FDCWD, v->uses, 32, &text, NULL) == 0) {
		uses_kib = strtoull(text, NULL, 10) * 1024;
		ret->available = uses_kib < v->memory_kib + v->has_kib
					 ? (v->memory_kib + v->has_kib - uses_kib) * 1024
					 : 0;
	}
	return v->more_kib > 0;
}

bool vmm_ended_clean(const char *run_dir, unsigned domid, const char *uuid)
{
	(void)run_dir, (void)domid, (void)uuid;
	return false;
}

static int look(const char *run_dir, unsigned domid, struct vmm_found *ret)
{
	char path[UNIX_PATH_MAX + 1];
	struct facts facts;
	int r = qube_path(path, sizeof(path), run_dir, domid);

	r = r < 0 ? r : read_qube(path, &facts);
	if (r < 0)
		return r;
	memcpy(ret->name, facts.name, sizeof(ret->name));
	memcpy(ret->uuid, facts.uuid, sizeof(ret->uuid));
	return 0;
}

int vmm_scan(const char *run_dir, struct vmm_found **ret, size_t *ret_n)
{
	char path[UNIX_PATH_MAX + 1];
	int r = refuse_outside();

	if (r == 0)
		r = str_format(path, sizeof(path), "%s/none", run_dir);
	return r < 0 ? r : vmm_found_in(path, run_dir, look, ret, ret_n);
}
