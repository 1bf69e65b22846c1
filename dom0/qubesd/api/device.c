/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device interfaces that a qube may never have (admin.vm.device.denied.*): the property devices_denied, seven
 * characters each, with nothing between them.
 */
#include "api/call.h"
#include "api/method.h"
#include "api/property.h"
#include "qubesd.h"
#include "store/property.h"

#include <stdio.h>
#include <string.h>

/* room for what a property holds, and what is added to it */
#define LIST_SIZE (2 * PROPERTY_VALUE_MAX + 1)

static const char *denied(const struct call *c, char *buf)
{
	return property_text(c->d->model, c->dest, PROP_devices_denied, buf);
}

int denied_list(struct call *c)
{
	char buf[PROPERTY_BUF];
	const char *at = denied(c, buf);

	for (const char *sep = ""; strlen(at) >= INTERFACE_LEN; at += INTERFACE_LEN, sep = "\n")
		text_add(&c->out, "%s%.*s", sep, INTERFACE_LEN, at);
	return 0;
}

static bool holds(const char *list, size_t n, const char *interface)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(list + i * INTERFACE_LEN, interface, INTERFACE_LEN) == 0)
			return true;
	return false;
}

/* those of @from that are not in @but, to @to */
static void copy_but(char *to, const char *from, const char *but)
{
	for (; from[0] != '\0'; from += INTERFACE_LEN)
		if (!holds(but, strlen(but) / INTERFACE_LEN, from)) {
			memcpy(to, from, INTERFACE_LEN);
			to += INTERFACE_LEN;
		}
	*to = '\0';
}

static int payload_check(struct call *c)
{
	const char *at = c->payload;

	if (!property_interfaces_are(at))
		return refuse(&c->why, "QubesValueError",
			      "interfaces of devices are %u characters each, as u03****: a class "
			      "and six hex digits or *",
			      INTERFACE_LEN);
	if (c->q.payload_len > PROPERTY_VALUE_MAX)
		return refuse(&c->why, "QubesValueError", "that is too long");
	for (size_t n = 0; at[n * INTERFACE_LEN] != '\0'; n++)
		if (holds(at, n, at + n * INTERFACE_LEN))
			return refuse(&c->why, "QubesValueError", "%.*s is there twice",
				      INTERFACE_LEN, at + n * INTERFACE_LEN);
	return 0;
}

/* @new instead of what is denied now; nothing happens if that is the same */
static int set(struct call *c, const char *old, const char *new)
{
	if (str_eq(old, new))
		return 0;
	return property_set(c, c->dest, property_at(false, PROP_devices_denied), new);
}

int denied_add(struct call *c)
{
	char buf[PROPERTY_BUF], new[LIST_SIZE];
	const char *old = denied(c, buf);
	int r = payload_check(c);

	if (r != 0)
		return r;
	(void)snprintf(new, sizeof(new), "%s", old);
	copy_but(new + strlen(new), c->payload, old);
	if (strlen(new) > PROPERTY_VALUE_MAX)
		return refuse(&c->why, "QubesValueError", "that would be too many");
	return set(c, old, new);
}

int denied_remove(struct call *c)
{
	char buf[PROPERTY_BUF], new[LIST_SIZE] = "";
	const char *old = denied(c, buf);
	int r = 0;

	if (!str_eq(c->payload, "all")) {
		r = payload_check(c);
		copy_but(new, old, r == 0 ? c->payload : "");
	}
	return r == 0 ? set(c, old, new) : r;
}
