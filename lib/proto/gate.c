/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proto/gate.h"

#include "base/str.h"

#include <string.h>

#define N GATE_ARG_NAME
#define L GATE_ARG_LIST

/* clang-format off */
static const struct gate_method methods[] = {
	{"admin.vm.List",                      N, GATE_NOTHING, GATE_LIST},
	{"admin.vmclass.List",                 N, GATE_NOTHING},
	{"admin.deviceclass.List",             N, GATE_NOTHING},
	{"admin.Events",                       N, GATE_NOTHING, GATE_EVENTS},
	{"admin.vm.Stats",                     N, GATE_NOTHING, GATE_EVENTS},
	{"admin.property.List",                N, GATE_NOTHING},
	{"admin.property.Get",                 N, GATE_NOTHING},
	{"admin.property.GetAll",              N, GATE_NOTHING},
	{"admin.property.GetDefault",          N, GATE_NOTHING},
	{"admin.property.Help",                N, GATE_NOTHING},
	{"admin.property.Set",                 N, GATE_TEXT},
	{"admin.property.Reset",               N, GATE_NOTHING},
	{"admin.vm.property.List",             N, GATE_NOTHING},
	{"admin.vm.property.Get",              N, GATE_NOTHING},
	{"admin.vm.property.GetAll",           N, GATE_NOTHING},
	{"admin.vm.property.GetDefault",       N, GATE_NOTHING},
	{"admin.vm.property.Help",             N, GATE_NOTHING},
	{"admin.vm.property.Set",              N, GATE_TEXT},
	{"admin.vm.property.Reset",            N, GATE_NOTHING},
	{"admin.vm.feature.List",              N, GATE_NOTHING},
	{"admin.vm.feature.Get",               N, GATE_NOTHING},
	{"admin.vm.feature.CheckWithTemplate", N, GATE_NOTHING},
	{"admin.vm.feature.CheckWithNetvm",    N, GATE_NOTHING},
	{"admin.vm.feature.CheckWithAdminVM",  N, GATE_NOTHING},
	{"admin.vm.feature.CheckWithTemplateAndAdminVM", N, GATE_NOTHING},
	{"admin.vm.feature.Set",               N, GATE_TEXT},
	{"admin.vm.feature.Remove",            N, GATE_NOTHING},
	{"admin.vm.tag.List",                  N, GATE_NOTHING},
	{"admin.vm.tag.Get",                   N, GATE_NOTHING},
	{"admin.vm.tag.Set",                   N, GATE_NOTHING},
	{"admin.vm.tag.Remove",                N, GATE_NOTHING},
	{"admin.vm.Create.AppVM",              N, GATE_WORDS},
	{"admin.vm.Create.TemplateVM",         N, GATE_WORDS},
	{"admin.vm.Create.StandaloneVM",       N, GATE_WORDS},
	{"admin.vm.Create.DispVM",             N, GATE_WORDS},
	{"admin.vm.Create.RemoteVM",           N, GATE_WORDS},
	{"admin.vm.CreateInPool.AppVM",        N, GATE_WORDS},
	{"admin.vm.CreateInPool.TemplateVM",   N, GATE_WORDS},
	{"admin.vm.CreateInPool.StandaloneVM", N, GATE_WORDS},
	{"admin.vm.CreateInPool.DispVM",       N, GATE_WORDS},
	{"admin.vm.CreateDisposable",          N, GATE_WORDS},
	{"admin.vm.Remove",                    N, GATE_NOTHING},
	{"admin.vm.Start",                     N, GATE_NOTHING},
	{"admin.vm.Shutdown",                  L, GATE_NOTHING},
	{"admin.vm.Kill",                      N, GATE_NOTHING},
	{"admin.vm.Pause",                     N, GATE_NOTHING},
	{"admin.vm.Unpause",                   N, GATE_NOTHING},
	{"admin.vm.Suspend",                   N, GATE_NOTHING},
	{"admin.vm.Resume",                    N, GATE_NOTHING},
	{"admin.vm.CurrentState",              N, GATE_NOTHING},
	{"admin.vm.Console",                   N, GATE_NOTHING},
	{"admin.vm.firewall.Get",              N, GATE_NOTHING},
	{"admin.vm.firewall.Set",              N, GATE_LINES},
	{"admin.vm.firewall.Reload",           N, GATE_NOTHING},
	{"admin.vm.notes.Get",                 N, GATE_NOTHING},
	{"admin.vm.notes.Set",                 N, GATE_TEXT},
	{"admin.vm.volume.List",               N, GATE_NOTHING},
	{"admin.vm.volume.Info",               N, GATE_NOTHING},
	{"admin.vm.volume.ListSnapshots",      N, GATE_NOTHING},
	{"admin.vm.volume.Revert",             N, GATE_WORDS},
	{"admin.vm.volume.Resize",             N, GATE_WORDS},
	{"admin.vm.volume.CloneFrom",          N, GATE_NOTHING},
	{"admin.vm.volume.CloneTo",            N, GATE_WORDS},
	{"admin.vm.volume.Clear",              N, GATE_NOTHING},
	{"admin.vm.volume.Import",             N, GATE_STREAM},
	{"admin.vm.volume.ImportWithSize",     N, GATE_SIZED},
	{"admin.vm.volume.Set.revisions_to_keep", N, GATE_WORDS},
	{"admin.vm.volume.Set.rw",             N, GATE_WORDS},
	{"admin.vm.volume.Set.ephemeral",      N, GATE_WORDS},
	{"admin.pool.List",                    N, GATE_NOTHING},
	{"admin.pool.ListDrivers",             N, GATE_NOTHING},
	{"admin.pool.Info",                    N, GATE_NOTHING},
	{"admin.pool.UsageDetails",            N, GATE_NOTHING},
	{"admin.pool.Add",                     N, GATE_LINES},
	{"admin.pool.Remove",                  N, GATE_NOTHING},
	{"admin.pool.Set.revisions_to_keep",   N, GATE_WORDS},
	{"admin.pool.Set.ephemeral_volatile",  N, GATE_WORDS},
	{"admin.pool.volume.List",             N, GATE_NOTHING},
	{"admin.label.List",                   N, GATE_NOTHING},
	{"admin.label.Get",                    N, GATE_NOTHING},
	{"admin.label.Index",                  N, GATE_NOTHING},
	{"admin.label.Create",                 N, GATE_WORDS},
	{"admin.label.Remove",                 N, GATE_NOTHING},
	{"admin.backup.Info",                  N, GATE_NOTHING},
	{"admin.backup.Execute",               N, GATE_NOTHING},
	{"admin.backup.Cancel",                N, GATE_NOTHING},
};
/* clang-format on */

const struct gate_method *gate_method_find(const char *name)
{
	/* a family of names: admin.vm.device.CLASS.ACTION */
	static const struct gate_method device = {"admin.vm.device", L, GATE_LINES, GATE_ALL};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (str_eq(methods[i].name, name))
			return &methods[i];
	return str_starts(name, "admin.vm.device.") ? &device : NULL;
}

static bool is_target(const char *s)
{
	static const char uuid[] = "uuid:";

	if (!str_starts(s, uuid))
		return str_is_qube_name(s, strlen(s));
	s += strlen(uuid);
	return strlen(s) == 36 && bytes_are_alnum_or(s, strlen(s), "-");
}

static bool is_arg(const struct gate_method *m, const char *arg)
{
	return bytes_are_alnum_or(arg, strlen(arg), m->arg == GATE_ARG_LIST ? "_.-+" : "_.-");
}

/* the words of a request, whoever wrote them */
static int words_check(const struct admin_request *q)
{
	const struct gate_method *m = gate_method_find(q->method);

	if (!str_is_qube_name(q->source, strlen(q->source)) || !is_target(q->dest))
		return GATE_E_FORMAT;
	if (!m || !bytes_are_alnum_or(q->method, strlen(q->method), "_.-"))
		return GATE_E_METHOD;
	return is_arg(m, q->arg) ? 0 : GATE_E_ARG;
}

int gate_request_make(const char *service, const char *source, const char *type, const char *target,
		      struct admin_request *ret)
{
	const char *plus = strchrnul(service, '+'), *arg = *plus ? plus + 1 : plus;
	const bool keyword = str_eq(type, "keyword");
	struct admin_request q = {0};
	int r;

	if (keyword ? !str_eq(target, "adminvm") : type[0] != '\0' && !str_eq(type, "name"))
		return GATE_E_FORMAT;
	if (keyword)
		target = "dom0";
	if (str_copy(q.method, sizeof(q.method), service, (size_t)(plus - service)) < 0 ||
	    str_copy(q.arg, sizeof(q.arg), arg, strlen(arg)) < 0 ||
	    str_copy(q.source, sizeof(q.source), source, strlen(source)) < 0 ||
	    str_copy(q.dest, sizeof(q.dest), target, strlen(target)) < 0)
		return GATE_E_LONG;
	r = words_check(&q);
	if (r == 0)
		*ret = q;
	return r;
}

static bool is_printable(uint8_t c)
{
	return c >= 0x20 && c < 0x7f;
}

int gate_payload_check(const struct gate_method *m, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	switch (m->payload) {
	case GATE_NOTHING:
	case GATE_STREAM:
		return len == 0 ? 0 : GATE_E_PAYLOAD;
	case GATE_WORDS:
	case GATE_LINES:
		for (size_t i = 0; i < len; i++)
			if (!is_printable(at[i]) && !(m->payload == GATE_LINES && at[i] == '\n'))
				return GATE_E_PAYLOAD;
		return 0;
	case GATE_TEXT:
		return len > 0 && memchr(bytes, 0, len) ? GATE_E_PAYLOAD : 0;
	case GATE_SIZED: {
		uint64_t size;

		return gate_sized_decode(bytes, len, &size);
	}
	}
	return GATE_E_PAYLOAD;
}

int gate_sized_decode(const void *bytes, size_t len, uint64_t *ret)
{
	char digits[GATE_SIZED_MAX];

	if (len < 2 || len > GATE_SIZED_MAX || ((const char *)bytes)[len - 1] != '\n')
		return GATE_E_PAYLOAD;
	memcpy(digits, bytes, len - 1);
	digits[len - 1] = '\0';
	if (strlen(digits) != len - 1)
		return GATE_E_PAYLOAD;
	return str_u64(digits, INT64_MAX, ret) < 0 || *ret == 0 ? GATE_E_PAYLOAD : 0;
}

int gate_check(const struct admin_request *q)
{
	int r = words_check(q);

	return r != 0 ? r
		      : gate_payload_check(gate_method_find(q->method), q->payload, q->payload_len);
}

void gate_event_service(const char *method, const char *event, char *to, size_t size)
{
	size_t n = 0;

	for (; *method != '\0' && n + 2 < size; method++)
		to[n++] = *method;
	to[n++] = '+';
	/* the only stream whose policy may tell one event from another */
	if (strncmp(to, "admin.Events+", n) == 0)
		for (; *event != '\0' && n + 1 < size; event++) {
			to[n] = *event;
			if (!bytes_are_alnum_or(event, 1, "_.-"))
				to[n] = '_';
			n++;
		}
	to[n] = '\0';
}

bool gate_list_line(const char **at, const char *end, const char **ret_line, size_t *ret_len,
		    char name[ADMIN_MAX_NAME + 1])
{
	const char *line = *at, *nl, *space;

	if (line == end)
		return false;
	nl = memchr(line, '\n', (size_t)(end - line));
	space = nl ? memchr(line, ' ', (size_t)(nl - line)) : NULL;
	if (!space || str_copy(name, ADMIN_MAX_NAME + 1, line, (size_t)(space - line)) < 0 ||
	    !str_is_qube_name(name, strlen(name)))
		return false;
	*ret_line = line;
	*ret_len = (size_t)(nl + 1 - line);
	*at = nl + 1;
	return true;
}

const char *gate_outcome_str(int outcome)
{
	switch (outcome) {
	case GATE_E_FORMAT:
		return "it is no call to dom0 or about a qube";
	case GATE_E_LONG:
		return "a field of it is too long";
	case GATE_E_METHOD:
		return "there is no such method";
	case GATE_E_ARG:
		return "its argument holds other bytes than it may";
	case GATE_E_PAYLOAD:
		return "its payload holds other bytes than it may";
	}
	return "?";
}
