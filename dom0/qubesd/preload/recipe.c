/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "preload/recipe.h"

#include "preload/preload.h"
#include "store/model.h"
#include "store/property.h"
#include "store/refusal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/** DELAY_S - as in Qubes */
#define DELAY_S        3
#define DELAY_MOST_S   86400
#define THRESHOLD_MOST UINT64_C(1000000000)

static const struct {
	const char *name;
	uint64_t most;
} numbers[] = {{"preload-dispvm-max", PRELOAD_MOST},
	       {"preload-dispvm-delay", DELAY_MOST_S},
	       {"preload-dispvm-threshold", THRESHOLD_MOST}};

int preload_may_set(const char *name, const char *value, struct refusal *why)
{
	uint64_t n;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (str_eq(name, numbers[i].name) && value[0] != '\0' &&
		    str_u64(value, numbers[i].most, &n) < 0)
			return refuse(why, "QubesValueError",
				      "%s is a number from 0 to %" PRIu64 ", not '%s'", name,
				      numbers[i].most, value);
	return 0;
}

/* false: it says nothing */
static bool number(const struct qube *q, size_t i, uint64_t *ret)
{
	const struct pair *p = q ? pair_find(q->features, numbers[i].name) : NULL;

	return p && p->value[0] != '\0' && str_u64(p->value, numbers[i].most, ret) == 0;
}

unsigned recipe_wanted(const struct model *m, const struct qube *t)
{
	uint64_t n = 0;
	const bool says =
		(global_qube(m, GLOBAL_default_dispvm) == t && number(model_get(m, 0), 0, &n)) ||
		number(t, 0, &n);

	if (!says || t->hidden || t->qid == 0 || !property_bool(m, t, PROP_template_for_dispvms) ||
	    property_bool(m, t, PROP_fork))
		return 0;
	return (unsigned)n;
}

uint64_t recipe_delay_s(const struct model *m, const struct qube *t)
{
	uint64_t s;

	return number(t, 1, &s) || number(model_get(m, 0), 1, &s) ? s : DELAY_S;
}

uint64_t recipe_threshold_mib(const struct model *m)
{
	uint64_t mib;

	return number(model_get(m, 0), 2, &mib) ? mib : 0;
}

/* FNV-1a; the NUL too, so that no two lists of texts are one */
static void add(uint64_t *sum, const char *text)
{
	const unsigned char *at = (const unsigned char *)(text ? text : "\1");

	for (;; at++) {
		*sum = (*sum ^ *at) * UINT64_C(0x100000001b3);
		if (*at == '\0')
			return;
	}
}

static void add_pairs(uint64_t *sum, const struct pair *list)
{
	for (const struct pair *p = list; p; p = p->next) {
		if (str_starts(p->key, "preload-dispvm"))
			continue;
		add(sum, p->key);
		add(sum, p->value);
	}
	add(sum, NULL);
}

/* what changes with its power, or by itself, and is no setting */
static bool is_state(unsigned id)
{
	static const unsigned states[] = {PROP_xid, PROP_start_time, PROP_backup_timestamp,
					  PROP_is_preload};

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (states[i] == id)
			return true;
	return false;
}

void recipe_of(const struct model *m, const struct qube *t, char *to)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	char buf[PROPERTY_BUF];

	for (unsigned i = 0; i < N_PROPERTIES; i++) {
		const struct property *p = property_at(false, i);

		if (property_has(t, p) && !is_state(i))
			add(&sum, property_raw(m, t, p, buf, NULL));
	}
	add_pairs(&sum, t->features);
	add_pairs(&sum, t->tags);
	add(&sum, t->documents[DOCUMENT_FIREWALL]);
	for (unsigned i = 0; i < N_DISKS; i++)
		add(&sum, t->volumes[i].pool);
	(void)snprintf(to, RECIPE_LEN + 1, "%016" PRIx64, sum);
}
