/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Features of a qube, for those that change some without having been asked to by admin.vm.feature.*. */

struct qube;
struct qubesd;

enum feature_event { FEATURE_PRE_SET, FEATURE_SET, FEATURE_PRE_DELETE, FEATURE_DELETE };

/** feature_emit() - tell subscribers; @value and @old are NULL where there is none */
void feature_emit(struct qubesd *d, const struct qube *q, enum feature_event kind, const char *name,
		  const char *value, const char *old);
