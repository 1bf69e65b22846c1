/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The qubes, from the JSON that qubesd gives for internal.GetSystemInfo. */
#include "qubes-policy.h"

#include <string.h>

static int compare(const void *a, const void *b)
{
	const struct policy_qube *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static const char *string(json_t *qube, const char *key)
{
	return json_string_value(json_object_get(qube, key));
}

static bool truth(json_t *qube, const char *key)
{
	return json_is_true(json_object_get(qube, key));
}

static int take_qubes(struct system *s, json_t *domains)
{
	size_t n = json_object_size(domains), n_tags = 0, i;
	const char *name;
	json_t *qube, *tag;

	json_object_foreach(domains, name, qube) n_tags +=
		json_array_size(json_object_get(qube, "tags"));
	s->qubes = calloc(n + 1, sizeof(*s->qubes));
	s->tags = calloc(n_tags + 1, sizeof(*s->tags));
	if (!s->qubes || !s->tags)
		return -ENOMEM;
	n_tags = 0;
	json_object_foreach(domains, name, qube)
	{
		const char *state = string(qube, "power_state");
		const char **tags = s->tags + n_tags;

		if (!json_is_object(qube))
			return -EINVAL;
		json_array_foreach(json_object_get(qube, "tags"), i, tag)
		{
			if (!json_is_string(tag))
				return -EINVAL;
			s->tags[n_tags++] = json_string_value(tag);
		}
		s->qubes[s->n_qubes++] = (struct policy_qube){
			.name = name,
			.uuid = string(qube, "uuid"),
			.type = string(qube, "type"),
			.default_dispvm = string(qube, "default_dispvm"),
			.relayvm = string(qube, "relayvm"),
			.transport_rpc = string(qube, "transport_rpc"),
			.tags = tags,
			.n_tags = (unsigned)(s->tags + n_tags - tags),
			.template_for_dispvms = truth(qube, "template_for_dispvms"),
			.internal = truth(qube, "internal"),
			.running = state && strcmp(state, "Running") == 0,
		};
	}
	qsort(s->qubes, s->n_qubes, sizeof(*s->qubes), compare);
	return 0;
}

int system_from_json(json_t *json, struct system *ret)
{
	struct system AUTO(system_done) s = {.json = json};
	json_t *domains = json_object_get(json, "domains");
	int r = json_is_object(domains) ? take_qubes(&s, domains) : -EINVAL;

	if (r < 0)
		return r;
	*ret = s;
	s = (struct system){0};
	return 0;
}

void system_done(struct system *s)
{
	json_decref(s->json);
	free(s->qubes);
	free(s->tags);
	*s = (struct system){0};
}

int view_new(const struct policy *p, const struct system *s, struct policy_view **ret)
{
	size_t size = policy_view_size(p, s->n_qubes);
	AUTO_FREE void *room = malloc(size);
	struct policy_view *v;
	int r;

	if (!room)
		return -ENOMEM;
	r = policy_view_make(p, s->qubes, s->n_qubes, room, size, &v);
	if (r == 0)
		*ret = take_ptr(&room);
	return r;
}
