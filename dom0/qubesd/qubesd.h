/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The daemon as a whole: what its parts share. */
#include "base/attr.h"
#include "base/paths.h"

#include <sys/resource.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct child;
struct client;
struct growth;
struct memory;
struct menus;
struct policyd;
struct quota;
struct room;
struct stats;
struct store;
struct suspend;
struct turn;
struct model;
struct preloads;
struct zygotes;

/** struct dispids - numbers of disposables that were used last: they are not used again soon */
struct dispids {
	uint16_t last[2048];
	unsigned n; /* in all */
};

/** N_DOORS - sockets of its own: enum door */
#define N_DOORS 4

struct qubesd {
	sd_event *event;
	struct paths paths;
	struct store *store;
	struct model *model; /* of the store */
	char self[4096];     /* our own program, for jobs */
	struct rlimit files; /* as we were started: what jobs get */
	uint64_t started_ms;

	struct listener *listeners;
	struct {
		dev_t device;
		ino_t inode;
	} doors[N_DOORS]; /* the sockets that were made */
	struct client *clients, *clients_last;
	unsigned n_clients, max_clients;
	unsigned n_streams[2]; /* by enum topic */
	unsigned n_sent_fds;   /* descriptors that came with what is not a whole request yet */
	size_t n_asked;        /* memory of requests that are not whole yet */
	size_t n_queued;       /* memory of what clients have not read */
	size_t most_held;      /* of both together, since memory was given back to the system */
	struct stats *stats;   /* NULL: nobody asks */
	struct memory *memory; /* NULL: nothing runs yet */
	struct room *room;     /* NULL: no qube has stood still for want of it */
	struct turn *jobs, *jobs_waiting; /* job/job.c */
	unsigned n_jobs, n_jobs_waiting;
	bool pools_apart; /* state/pools is on another file system than the store */
	struct suspend
		*suspend;       /* NULL: the machine is not about to sleep, nor has it just slept */
	struct growth *growths; /* api/volume.c; NULL: none is under way */
	struct child *sleep_watch; /* NULL: none runs */
	struct menus *menus;       /* NULL: as policyd */
	struct quota *quotas;      /* of qubes that said something of themselves lately */
	struct policyd *policyd;   /* NULL: qubesd is beginning or ending */
	struct dispids dispids;
	struct zygotes *zygotes;   /* NULL: no qube was to be forked yet */
	struct preloads *preloads; /* NULL: qubesd is beginning or ending */
};
