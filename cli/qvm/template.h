/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* qvm-template: what its parts have in common. template.c has the verbs, template-install.c one installation, template-list.c prints. */
#include "qubesd.h"
#include "qvm.h"

/* its options */
enum {
	NAME = OPTION_OWN,
	POOL,
	YES,
	FORCE_BUILD,
	ALL,
	INSTALLED,
	AVAILABLE,
	MACHINE,
	MACHINE_JSON,
};

/** struct installable - what there is to install; template_installables() has @name NULL at its end */
struct installable {
	const char *name, *summary, *version;
};

/* columns of template_load() */
enum {
	T_NAME,
	T_STATE,
	T_CLASS,
	T_WHAT,
	T_EPOCH,
	T_VERSION,
	T_RELEASE,
	T_REPO,
	T_SUMMARY,
	T_TIME,
	T_DISK
};

/** template_installables() - all; template_installable() - the one of that name, or NULL */
const struct installable *template_installables(void);
const struct installable *template_installable(const char *name);
/** template_load() - all qubes; 0, or 1, the exit code, and said why */
int template_load(const struct args *a, struct table *t);
/** template_install() - one, as the qube @name; @again: that is there. 0 or the exit code */
int template_install(const struct args *a, const struct installable *what, const char *name,
		     bool again);
/** template_list() - list and info; 0 or the exit code */
int template_list(const struct args *a);
