/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Features and tags of a qube, for those that change some without having been asked to by admin.vm.feature.* and .tag.*. */
#include "base/attr.h"

struct qube;
struct qubesd;
struct refusal;

enum feature_event { FEATURE_PRE_SET, FEATURE_SET, FEATURE_PRE_DELETE, FEATURE_DELETE };

/** feature_emit() - tell subscribers; @value and @old are NULL where there is none */
void feature_emit(struct qubesd *d, const struct qube *q, enum feature_event kind, const char *name,
		  const char *value, const char *old);

/** feature_may_set() - may @q have the feature @name with the @len bytes @value? 0 or REFUSED */
MUST_CHECK int feature_may_set(const struct qube *q, const char *name, const char *value,
			       size_t len, struct refusal *why);
/** tag_may_add() - likewise, the tag @name */
MUST_CHECK int tag_may_add(const struct qube *q, const char *name, struct refusal *why);
