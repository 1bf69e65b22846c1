/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "begin.h"

#include "base/log.h"
#include "base/str.h"
#include "qubesd.h"
#include "store/model.h"
#include "store/store.h"
#include "store/traces.h"
#include "vmm/vmm.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

static const char what_next[] =
	"Look with `bulkhead check`, and put the store back from a backup; to go on without those "
	"qubes: `bulkhead start --begin-anew`";

/* One that was killed a moment ago may still be on its way out: its lock is waited for a little. */
static int open_patiently(struct qubesd *d, bool begin, char *error, size_t error_size)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int r = STORE_E_LOCKED;

	for (unsigned i = 0; r == STORE_E_LOCKED && i < 100; i++) {
		if (i > 0)
			(void)nanosleep(&pause, NULL);
		r = store_open(d->paths.state, begin, &d->store, error, error_size);
	}
	return r;
}

static bool finds_running(const struct qubesd *d, char *ret, size_t size)
{
	AUTO_FREE struct vmm_found *found = NULL;
	const char *name;
	size_t n = 0;

	if (vmm_scan(d->paths.run, &found, &n) < 0 || n == 0)
		return false;
	name = found[0].name[0] != '\0' ? found[0].name : "one that does not say its name";
	(void)snprintf(ret, size, "'%s' runs (domain %u)", name, found[0].domid);
	if (n > 1)
		(void)snprintf(ret, size, "'%s' and %zu more qubes run", name, n - 1);
	return true;
}

static int put_aside(const struct qubesd *d)
{
	AUTO_CLOSE int lock = NO_FD;
	char name[64];
	int r = store_lock(d->paths.state, &lock);

	if (r == STORE_E_LOCKED) {
		log_err(NULL, "another qubesd uses the store; end that one first");
		return -EBUSY;
	}
	if (r == 0)
		r = store_put_aside(d->paths.state, name, sizeof(name));
	if (r < 0)
		log_err(NULL, "the store cannot be put aside: %s", log_errno_str(r));
	else
		log_warn(NULL,
			 "a new store is begun, as was asked for; what there was is %s/%s. Qubes "
			 "that run are ended, volumes stay",
			 d->paths.state, name);
	return r;
}

int begin_store(struct qubesd *d, bool anew)
{
	char error[512] = "", trace[PATH_MAX + 100];
	int r = anew ? put_aside(d) : 0;

	if (r < 0)
		return r;
	r = open_patiently(d, anew, error, sizeof(error));
	if (r == STORE_E_NONE) {
		if (finds_running(d, trace, sizeof(trace)) ||
		    traces_find(d->paths.state, trace, sizeof(trace))) {
			log_err(NULL, "%s, but %s. %s", error, trace, what_next);
			return -ENODATA;
		}
		r = open_patiently(d, true, error, sizeof(error));
	}
	if (r != 0) {
		log_err(NULL, "%s", error);
		return r < 0 ? r : -EBUSY;
	}
	d->model = store_model(d->store);
	if (model_get(d->model, 0))
		return 0;
	log_err(NULL, "%s/store.db: it has no dom0, so rows of it are lost. %s", d->paths.state,
		what_next);
	return -ENODATA;
}
