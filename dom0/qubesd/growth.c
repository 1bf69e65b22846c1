/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "growth.h"

#include "api/call.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "loop/child.h"
#include "power/power.h"
#include "qubesd.h"
#include "tool.h"
#include "vmm/vmm.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/** PATIENCE_S - for the guest's file system */
#define PATIENCE_S 60

struct growth {
	struct qubesd *d;
	struct call *call;
	unsigned qid;
	enum disk disk;
	struct child *child; /* NULL: QEMU has not answered yet */
	sd_event_source *timer;
	struct growth *next;
};

static void growth_free(struct growth *g)
{
	tool_kill(g->child);
	(void)sd_event_source_disable_unref(g->timer);
	free(g);
}

/* its call is answered with @r */
static void growth_end(struct growth *g, int r)
{
	struct call *c = g->call;
	struct growth **p = &g->d->growths;

	while (*p != g)
		p = &(*p)->next;
	*p = g->next;
	growth_free(g);
	call_end(c, r);
}

static void growth_fail(struct growth *g, const char *why)
{
	growth_end(
		g,
		refuse(&g->call->why, "StoragePoolException",
		       "the disk '%s' of '%s' is larger, but its file system is not: %s. It becomes so at the next start",
		       disk_name(g->disk), model_get(g->d->model, g->qid)->name, why));
}

static void on_child(void *data, const struct child_end *end)
{
	struct growth *g = data;
	char text[64], why[128];

	child_free(g->child);
	g->child = NULL;
	if (end->signal == 0 && end->code == 0) {
		growth_end(g, 0);
		return;
	}
	(void)snprintf(why, sizeof(why), "its qubes.ResizeDisk ended with %s",
		       child_end_str(end, text, sizeof(text)));
	growth_fail(g, why);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source, (void)usec;
	growth_fail(data, "its qubes.ResizeDisk does not come to an end");
	return 0;
}

/* a file to read what the service is to know from */
static int word_file(const char *word, int *ret)
{
	AUTO_CLOSE int fd = memfd_create("disk", MFD_CLOEXEC);
	int r = fd < 0 ? fail_errno() : io_write_full(fd, word, strlen(word));

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = fail_errno();
	if (r == 0)
		*ret = take_fd(&fd);
	return r;
}

static int tell_guest(struct growth *g)
{
	const char *const argv[] = {
		"qvm-run",          "--pass-io", "--quiet",   "--no-autostart",
		"--user",           "root",      "--service", model_get(g->d->model, g->qid)->name,
		"qubes.ResizeDisk", NULL};
	AUTO_CLOSE int fd = NO_FD;
	int r = word_file(disk_name(g->disk), &fd);

	if (r == 0)
		r = tool_start(g->d, argv, fd, on_child, g, &g->child);
	if (r < 0)
		return r;
	r = sd_event_add_time_relative(g->d->event, &g->timer, CLOCK_MONOTONIC,
				       PATIENCE_S * UINT64_C(1000000), 0, on_timer, g);
	return r < 0 ? r : 0;
}

static int refuse_disk(struct growth *g, const char *why)
{
	return refuse(
		&g->call->why, "StoragePoolException",
		"'%s' of '%s' has its new size from the next start on; until then its disk stays as it is: %s",
		disk_name(g->disk), model_get(g->d->model, g->qid)->name, why);
}

static void on_resized(void *data, int r, const char *error)
{
	struct growth *g = data;

	if (r == -ECANCELED) {
		growth_end(g, 0); /* it has ended: its next start does it */
		return;
	}
	if (r < 0) {
		growth_end(g, refuse_disk(g, error ? error : log_errno_str(r)));
		return;
	}
	/* what is volatile holds no file system that is to be kept */
	r = g->disk == DISK_VOLATILE ? 0 : tell_guest(g);
	if (r == -ENOENT) {
		log_debug(NULL, "qvm-run is not installed: no guest is told of its disk");
		growth_end(g, 0);
	} else if (r < 0) {
		growth_fail(g, log_errno_str(r));
	} else if (g->disk == DISK_VOLATILE) {
		growth_end(g, 0);
	}
}

int growth_begin(struct call *c, const struct qube *q, enum disk disk, uint64_t size)
{
	struct growth *g;
	int r;

	if (!power_vmm(q))
		return 0;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	*g = (struct growth){.d = c->d, .call = c, .qid = q->qid, .disk = disk};
	r = vmm_disk_resize(power_vmm(q), disk_name(disk), size, on_resized, g);
	if (r < 0) {
		/* the former: it is about to end */
		if (r == -ESHUTDOWN)
			r = 0;
		else
			r = refuse_disk(g, r == -EFBIG ? "its QEMU may not make so large a file"
						       : log_errno_str(r));
		free(g);
		return r;
	}
	g->next = c->d->growths;
	c->d->growths = g;
	return CALL_LATER;
}

void growth_halted(struct qubesd *d, unsigned qid)
{
	struct growth *g = d->growths;

	while (g) {
		struct growth *next = g->next;

		if (g->qid == qid)
			growth_end(g, 0);
		g = next;
	}
}

void growths_end(struct qubesd *d)
{
	while (d->growths) {
		struct growth *g = d->growths;

		d->growths = g->next;
		call_drop(g->call);
		growth_free(g);
	}
}
