/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loop/warm.h"

#include <systemd/sd-event.h>
#include <time.h>

static int on_time(sd_event_source *s, uint64_t usec, void *data)
{
	(void)s;
	(void)usec;
	(void)data;
	return 0;
}

int loop_warm(sd_event *e)
{
	sd_event_source *s = NULL;
	uint64_t now;
	int r;

	r = sd_event_now(e, CLOCK_MONOTONIC, &now);
	if (r < 0)
		return r;
	/* far away: arming is what counts; preparing arms, waiting 0 goes back to the start */
	r = sd_event_add_time(e, &s, CLOCK_MONOTONIC, now + UINT64_C(3600000000), 0, on_time, NULL);
	if (r < 0)
		return r;
	r = sd_event_run(e, 0);
	(void)sd_event_source_unref(s);
	return r < 0 ? r : 0;
}
