/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Labels: eight are built in, others have an index from 9. */
#include "api/label.h"

#include "api/call.h"
#include "api/event.h"
#include "api/method.h"
#include "proto/argument.h"
#include "qubesd.h"

#include <stdio.h>
#include <string.h>

#define N_BUILT_IN 8

static int find(struct call *c, unsigned *ret)
{
	*ret = model_label(c->d->model, c->q.arg);
	if (*ret == 0)
		return model_refuse_label(c->d->model, "QubesLabelNotFoundError", c->q.arg,
					  &c->why);
	return 0;
}

int label_list(struct call *c)
{
	for (unsigned i = 1; i <= LABEL_MAX; i++)
		if (c->d->model->labels[i].name)
			text_add(&c->out, "%s\n", c->d->model->labels[i].name);
	return 0;
}

int label_get(struct call *c)
{
	unsigned i;
	int r = find(c, &i);

	if (r == 0)
		text_add(&c->out, "0x%06x", c->d->model->labels[i].color);
	return r;
}

int label_index(struct call *c)
{
	unsigned i;
	int r = find(c, &i);

	if (r == 0)
		text_add(&c->out, "%u", i);
	return r;
}

int label_may_create(const struct model *m, const char *name, const char *color, unsigned *ret_i,
		     uint32_t *ret_color, struct refusal *why)
{
	unsigned i = N_BUILT_IN + 1;

	if (!argument_is_label(name, strlen(name)))
		return refuse(why, "QubesInvalidLabelError",
			      "'%s' is no name for a label: letters, digits and _.-, not digits "
			      "alone",
			      name);
	if (model_label(m, name))
		return refuse(why, "QubesLabelInUseError", "there is a label '%s' already", name);
	if (argument_color_decode(color, strlen(color), ret_color) != 0)
		return refuse(why, "QubesInvalidLabelValueError", "a colour is 0xRRGGBB");
	while (i <= LABEL_MAX && m->labels[i].name)
		i++;
	if (i > LABEL_MAX)
		return refuse(why, "QubesException", "there are %u labels, which is the most",
			      LABEL_MAX);
	*ret_i = i;
	return 0;
}

int label_create(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	unsigned i = 0;
	uint32_t color = 0;
	int r = label_may_create(c->d->model, c->q.arg, c->payload, &i, &color, &c->why);

	if (r != 0)
		return r;
	changes_set_label(&changes, i, c->q.arg, color);
	return call_apply(c, &changes);
}

int label_remove(struct call *c)
{
	struct changes AUTO(changes_done) changes = {0};
	const struct model *m = c->d->model;
	char index[16];
	unsigned i;
	int r = find(c, &i);

	if (r != 0)
		return r;
	if (i <= N_BUILT_IN)
		return refuse(&c->why, "QubesLabelInUseError", "'%s' is built in", c->q.arg);
	(void)snprintf(index, sizeof(index), "%u", i);
	for (size_t n = 0; n < m->n_qubes; n++)
		if (str_eq(m->by_name[n]->values[PROP_label], index))
			return refuse(&c->why, "QubesLabelInUseError", "'%s' is the label of '%s'",
				      c->q.arg, m->by_name[n]->name);
	changes_set_label(&changes, i, NULL, 0);
	return call_apply(c, &changes);
}
