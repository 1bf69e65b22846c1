/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of properties, as a client sets them: the first byte says of what (a qube or the system), the second which, the
 * rest is the value. What is taken is kept within its bounds, and shown and set again it is the same.
 */
#include "fuzz.h"

#include "store/model.h"
#include "store/property.h"

#include <string.h>

static struct model m;

static struct qube *add(unsigned qid, enum klass klass, const char *name)
{
	struct qube *q = calloc(1, sizeof(*q));

	FUZZ_CHECK(q && model_reserve(&m, 1) == 0);
	q->qid = qid;
	q->klass = klass;
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	(void)snprintf(q->uuid, sizeof(q->uuid), "00000000-0000-4000-8000-%012u", qid);
	q->values[PROP_label] = strdup("1");
	model_add(&m, q);
	return q;
}

static struct pool *pool(const char *name, const char *driver, struct pool *next)
{
	struct pool *p = calloc(1, sizeof(*p));

	FUZZ_CHECK(p != NULL);
	p->next = next;
	p->name = strdup(name);
	p->driver = strdup(driver);
	p->dir = strdup("");
	return p;
}

static void world(void)
{
	static const char *const names[N_KLASSES] = {"dom0",  "tmpl", "work",
						     "alone", "disp", "far"};
	static const enum klass klasses[N_KLASSES] = {
		KLASS_ADMIN, KLASS_TEMPLATE, KLASS_APP, KLASS_STANDALONE, KLASS_DISP, KLASS_REMOTE};

	model_init(&m);
	m.machine.memory_mib = 8192;
	m.machine.n_cpus = 4;
	m.labels[1].name = strdup("red");
	m.pools = pool("default", "qcow2", pool("linux-kernel", "linux-kernel", NULL));
	for (unsigned i = 0; i < N_KLASSES; i++)
		(void)add(i, klasses[i], names[i]);
	(void)add(6, KLASS_APP, "net");
	model_get(&m, 2)->values[PROP_template] = strdup("1");
	model_get(&m, 2)->values[PROP_template_for_dispvms] = strdup("True");
	model_get(&m, 2)->values[PROP_netvm] = strdup("6");
	model_get(&m, 4)->values[PROP_template] = strdup("2");
	model_get(&m, 6)->values[PROP_template] = strdup("1");
	model_get(&m, 6)->values[PROP_provides_network] = strdup("True");
}

/* one set value in the world, and gone again */
static void try(struct qube *q, const struct property *p, const char *raw)
{
	char **at = q ? &q->values[p->id] : &m.globals[p->id];
	char *was = *at, *value = strdup(raw), buf[PROPERTY_BUF], again[PROPERTY_VALUE_MAX + 1];
	struct refusal why;
	const char *shown;

	FUZZ_CHECK(value != NULL);
	*at = value;
	shown = property_show(&m, p, property_raw(&m, q, p, buf, NULL));
	/* what is computed from it is computed */
	for (unsigned i = 0; q && i < N_PROPERTIES; i++) {
		char other[PROPERTY_BUF];

		FUZZ_CHECK(property_text(&m, q, (enum property_id)i, other) != NULL);
	}
	*at = was;
	FUZZ_CHECK(property_parse(&m, q, p, shown, strlen(shown), again, &why) == 0);
	FUZZ_CHECK(strcmp(raw, again) == 0);
	free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char raw[PROPERTY_VALUE_MAX + 1];
	const struct property *p;
	struct qube *q = NULL;
	struct refusal why = {0};
	int r;

	if (m.n_qubes == 0)
		world();
	if (size < 2)
		return 0;
	q = model_get(&m, data[0] % 8); /* 7: the system */
	p = property_at(!q, data[1] % (q ? N_PROPERTIES : N_GLOBALS));
	if (!property_has(q, p))
		return 0;
	r = property_parse(&m, q, p, data + 2, size - 2, raw, &why);
	FUZZ_CHECK(r == 0 || r == REFUSED);
	if (r == 0) {
		FUZZ_CHECK(strlen(raw) <= PROPERTY_VALUE_MAX);
		try(q, p, raw);
	} else {
		FUZZ_CHECK(why.type[0] != '\0' && why.text[0] != '\0');
	}
	return 0;
}
