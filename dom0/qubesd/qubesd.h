/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The daemon as a whole: what its parts share. */
#include "base/attr.h"
#include "base/paths.h"

#include <sys/resource.h>
#include <systemd/sd-event.h>

struct client;
struct job;
struct policyd;
struct stats;
struct store;
struct model;

/** struct dispids - numbers of disposables that were used last: they are not used again soon */
struct dispids {
	uint16_t last[2048];
	unsigned n; /* in all */
};

struct qubesd {
	sd_event *event;
	struct paths paths;
	struct store *store;
	struct model *model; /* of the store */
	char self[4096];     /* our own program, for jobs */
	struct rlimit files; /* as we were started: what jobs get */
	uint64_t started_ms;

	struct listener *listeners;
	struct client *clients, *clients_last;
	unsigned n_clients, max_clients;
	unsigned n_streams[2]; /* by enum topic */
	size_t n_queued;       /* bytes that clients have not read */
	struct stats *stats;   /* NULL: nobody asks */
	struct job *jobs;
	unsigned n_jobs;
	struct policyd *policyd; /* NULL: qubesd is beginning or ending */
	struct dispids dispids;
};
