/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver for no machine at all: a qube "runs" as soon as it is started, does nothing, and is off
 * as soon as it is told so. It makes each call of the Admin API testable in milliseconds.
 *
 * It is linked into qubesd-none alone, which is built for tests and not installed, and refuses an
 * instance that is not below BULKHEAD_HOME. A running qube is a file, run/none/DOMID (name, uuid,
 * memory in MiB and the words of its kernelopts, a line each), so that it outlives qubesd as a real one
 * does; run/none/DOMID.qdb has a line for each entry of QubesDB as it was written. Words of kernelopts
 * that make it misbehave: none.fail = it does not start, none.deaf = its power button does nothing.
 */
#include "vmm.h"

#include "base/io.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define MAX_STEPS 32

/* What happens at the loop's next turn: a state that is told, the end of a command. */
struct step {
	bool is_state, clean;
	enum vmm_state state;
	vmm_done_fn done;
	void *data;
};

struct vmm {
	char path[UNIX_PATH_MAX + 1];
	sd_event_source *turn;
	const struct vmm_events *events;
	void *data;
	uint64_t memory_kib;
	bool deaf, *freed;
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

int vmm_start(const struct vmm_spec *spec, void (*progress)(void *, enum vmm_stage), void *data,
	      char *error, size_t error_size)
{
	char path[UNIX_PATH_MAX + 1], dir[UNIX_PATH_MAX + 1], text[4096];
	AUTO_CLOSE int fd = NO_FD;
	int r = refuse_outside();

	if (r == 0 && strstr(spec->cmdline, "none.fail")) {
		(void)snprintf(error, error_size, "%s did not start: it was told not to",
			       spec->name);
		return -EIO;
	}
	if (r == 0)
		r = str_format(dir, sizeof(dir), "%s/none", spec->run_dir);
	if (r == 0)
		r = io_mkdirs(dir, 0700);
	if (r == 0)
		r = qube_path(path, sizeof(path), spec->run_dir, spec->domid);
	if (r == 0)
		r = str_format(text, sizeof(text), "%s\n%s\n%u\n%s\n", spec->name, spec->uuid,
			       spec->memory_mib, spec->cmdline);
	for (unsigned i = 0; r == 0 && i < spec->n_qdb; i++)
		r = write_qdb(path, spec->qdb[i].path, spec->qdb[i].value);
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	r = fd < 0 ? fail_errno() : io_write_full(fd, text, strlen(text));
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

static int read_qube(const char *path, char *name, size_t name_size, char *uuid, size_t uuid_size,
		     uint64_t *memory_mib, bool *deaf)
{
	AUTO_FREE char *text = NULL;
	char *rest, *line;
	int r = io_read_file(AT_FDCWD, path, 8192, &text, NULL);

	if (r < 0)
		return r;
	rest = text;
	line = strsep(&rest, "\n");
	r = str_copy(name, name_size, line, strlen(line));
	line = rest ? strsep(&rest, "\n") : NULL;
	if (r == 0)
		r = line ? str_copy(uuid, uuid_size, line, strlen(line)) : -EIO;
	line = rest ? strsep(&rest, "\n") : NULL;
	if (r == 0)
		r = line ? str_u64(line, UINT32_MAX, memory_mib) : -EIO;
	*deaf = rest && strstr(rest, "none.deaf");
	return r;
}

int vmm_attach(sd_event *event, const char *run_dir, unsigned domid,
	       const struct vmm_events *events, void *data, struct vmm **ret)
{
	AUTO_FREE struct vmm *v = calloc(1, sizeof(*v));
	char name[QUBE_NAME_MAX + 1], uuid[37];
	uint64_t memory_mib = 0;
	int r;

	if (!v)
		return -ENOMEM;
	v->events = events;
	v->data = data;
	r = qube_path(v->path, sizeof(v->path), run_dir, domid);
	if (r == 0)
		r = read_qube(v->path, name, sizeof(name), uuid, sizeof(uuid), &memory_mib,
			      &v->deaf);
	if (r == 0)
		r = sd_event_add_defer(event, &v->turn, on_turn, v);
	if (r < 0)
		return r;
	v->memory_kib = memory_mib * 1024;
	r = add_step(v, (struct step){.is_state = true, .state = VMM_RUNNING});
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
	char qdb[UNIX_PATH_MAX + 8];

	(void)snprintf(qdb, sizeof(qdb), "%s.qdb", v->path);
	(void)unlink(qdb);
	if (unlink(v->path) < 0 && errno == ENOENT)
		return 0; /* it is on its way out */
	return add_step(v, (struct step){.is_state = true, .state = VMM_GONE, .clean = clean});
}

int vmm_shutdown(struct vmm *v)
{
	return v->deaf ? 0 : end(v, true);
}

int vmm_kill(struct vmm *v)
{
	return end(v, false);
}

int vmm_pause(struct vmm *v, vmm_done_fn done, void *data)
{
	return add_step(
		v,
		(struct step){.is_state = true, .state = VMM_PAUSED, .done = done, .data = data});
}

int vmm_unpause(struct vmm *v, vmm_done_fn done, void *data)
{
	return add_step(
		v,
		(struct step){.is_state = true, .state = VMM_RUNNING, .done = done, .data = data});
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
	(void)v, (void)ret_s;
	return false;
}

int vmm_get_usage(const struct vmm *v, struct vmm_usage *ret)
{
	*ret = (struct vmm_usage){.memory_kib = v->memory_kib};
	return 0;
}

bool vmm_ended_clean(const char *run_dir, unsigned domid, const char *uuid)
{
	(void)run_dir, (void)domid, (void)uuid;
	return false;
}

int vmm_scan(const char *run_dir, struct vmm_found **ret, size_t *ret_n)
{
	AUTO_FREE struct vmm_found *found = NULL;
	char path[UNIX_PATH_MAX + 1];
	size_t n = 0;
	DIR *dir;
	int r = refuse_outside();

	if (r == 0)
		r = str_format(path, sizeof(path), "%s/none", run_dir);
	if (r < 0)
		return r;
	*ret = NULL;
	*ret_n = 0;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : fail_errno();
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		struct vmm_found one = {0}, *more;
		uint64_t domid, memory;
		bool deaf;

		if (str_u64(e->d_name, UINT32_MAX, &domid) < 0)
			continue;
		one.domid = (unsigned)domid;
		r = qube_path(path, sizeof(path), run_dir, one.domid);
		if (r == 0)
			r = read_qube(path, one.name, sizeof(one.name), one.uuid, sizeof(one.uuid),
				      &memory, &deaf);
		if (r < 0)
			break;
		more = reallocarray(found, n + 1, sizeof(*found));
		if (!more) {
			r = -ENOMEM;
			break;
		}
		found = more;
		found[n++] = one;
	}
	(void)closedir(dir);
	if (r < 0)
		return r;
	*ret = take_ptr(&found);
	*ret_n = n;
	return 0;
}
