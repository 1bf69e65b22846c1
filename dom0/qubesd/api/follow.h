/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Features and tags that follow from properties, changed in the same commit:
 *
 *	provides_network	feature servicevm, which icons and menus show
 *	clockvm			feature service.clocksync of the qube it names
 *	guivm, audiovm		tags guivm-QUBE and audiovm-QUBE, for policies, unless the qube is dom0; also through
 *				default_guivm and default_audiovm
 */
#include "base/attr.h"
#include "store/store.h"

struct call;
struct property;

/** struct follow - one of them; @value NULL: it is taken away */
struct follow {
	unsigned qid;
	bool is_tag;
	char name[64], value[4];
};

struct follows {
	struct follow *at;
	size_t n;
};
void follows_done(struct follows *f);

/**
 * follow_change() - what follows when @p of @q (NULL = the system) becomes @raw (NULL = its default)
 * @changes:	gets it
 *
 * Tells subscribers that features are about to change. Return: 0; -ENOMEM.
 */
MUST_CHECK int follow_change(struct call *c, struct qube *q, const struct property *p,
			     const char *raw, struct changes *changes, struct follows *ret);
/** follow_tell() - it has been applied: subscribers and running qubes are told */
void follow_tell(struct call *c, const struct follows *f);
