/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead-check: store, volumes and leftovers of an instance looked at, and mended.
 *
 * Runs as	the user whose instance it is; started by `bulkhead check`, which shows what this tells (check.h).
 * Trusts	the instance's files as far as qubesd does: images are read by storage's strict codec.
 * Needs	to read all of the instance, and with --repair to write it.
 *
 * While qubesd runs it owns the store and the volumes of the store's qubes: then those are looked at and left, and only what
 * belongs to no qube is mended. Otherwise its lock is held, so that none starts meanwhile. Looking changes nothing: it works
 * on a copy of the store.
 *
 * Each mending is one rename, one unlink or one transaction, and nothing a qube had written is deleted: volumes
 * without a qube and damaged files go aside. So it may be killed anywhere, and run again.
 */
#include "check.h"

#include "base/log.h"
#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static void put_field(const char *text)
{
	(void)putchar('\t');
	for (const char *p = text; *p; p++)
		(void)putchar((unsigned char)*p < 0x20 || *p == 0x7f ? '_' : *p);
}

void tell(struct check *c, const char *kind, const char *subject, const char *text,
	  const char *advice, enum store_mend how)
{
	static const char *const names[] = {[MEND_HAND] = "hand",
					    [MEND_CAN] = "can",
					    [MEND_DONE] = "mended",
					    [MEND_FAILED] = "failed"};
	bool later = how == MEND_CAN && c->up && !str_eq(kind, "leftover");

	c->n_left += how != MEND_DONE;
	(void)putchar('F');
	put_field(kind);
	put_field(subject);
	put_field(text);
	put_field(advice);
	put_field(later ? "stopped" : names[how]);
	(void)putchar('\n');
	(void)fflush(stdout);
}

void tell_progress(unsigned percent, const char *text)
{
	(void)printf("P\t%u", percent);
	put_field(text);
	(void)putchar('\n');
	(void)fflush(stdout);
}

static void on_store(void *data, const char *subject, const char *text, const char *advice,
		     enum store_mend how)
{
	struct check *c = data;

	c->doubt |= how == MEND_HAND;
	tell(c, "store", subject, text, advice, how);
}

/* 0; 1 = it cannot be read: told, and without it nothing else can be judged; -errno */
static int check_store(struct check *c, struct picture *p)
{
	static const char advice[] =
		"restore state/store.db from a backup; without it nothing else can be judged";
	bool own = c->mend && !c->up;
	char error[512];
	int r;

	tell_progress(0, "looking at the store");
	if (own)
		close_fd(&c->lock_fd); /* the store has its own */
	r = picture_take(c, own, p, error, sizeof(error));
	if (r == STORE_E_NONE && picture_is_lost(c)) {
		tell(c, "store", "store", "state/store.db is missing or empty, and there are qubes",
		     advice, MEND_HAND);
		return 1;
	}
	if (r == STORE_E_NONE)
		return picture_of_nothing(p, error, sizeof(error));
	if (r == 0)
		r = store_check(p->store, own, on_store, c);
	if (r == 0 && own) {
		picture_done(p);
		r = picture_take(c, own, p, error, sizeof(error));
	}
	if (r == STORE_E_LOCKED)
		return -EBUSY; /* between our lock and the store's somebody came */
	if (r == 0 || r == -EBUSY || r == -ENOMEM)
		return r;
	/* the copy's name means nothing to anybody */
	tell(c, "store", "store",
	     error[0] && strchr(error, ' ') ? strchr(error, ' ') + 1 : log_errno_str(r), advice,
	     MEND_HAND);
	return 1;
}

/* One that was killed a moment ago may still be on its way out, and a qubesd come to answer: they are waited for a little. */
static int begin(struct check *c, struct picture *p)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int r = -EBUSY;

	for (unsigned i = 0; r == -EBUSY && i < 100; i++) {
		if (i > 0)
			(void)nanosleep(&pause, NULL);
		close_fd(&c->lock_fd);
		r = store_lock(c->paths.state, &c->lock_fd);
		if (r < 0)
			return r;
		c->up = r == STORE_E_LOCKED;
		r = check_store(c, p);
	}
	return r;
}

static int run(struct check *c)
{
	struct picture AUTO(picture_done) p = {0};
	int r = paths_init(&c->paths, true);

	if (r < 0)
		return r;
	r = begin(c, &p);
	if (r == 0)
		r = check_volumes(c, &p);
	if (r == 0)
		r = check_leftovers(c, &p);
	return r;
}

int main(int argc, char **argv)
{
	struct check c = {.lock_fd = NO_FD};
	int r;

	log_open("bulkhead-check");
	if (argc > 2 || (argc == 2 && !str_eq(argv[1], "--repair"))) {
		(void)fputs("Usage: bulkhead-check [--repair]; started by bulkhead check\n",
			    stderr);
		return 2;
	}
	c.mend = argc == 2;
	(void)umask(077);
	r = run(&c);
	paths_done(&c.paths);
	close_fd(&c.lock_fd);
	if (r < 0) {
		log_err(NULL, "cannot look at the instance: %s",
			r == -EBUSY ? "qubesd is starting, or another check runs; try again"
				    : log_errno_str(r));
		return 3;
	}
	return c.n_left > 0;
}
