/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of property_rows.h at work. */
#include "store/property.h"

#include "base/str.h"
#include "proto/argument.h"
#include "store/model.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Values into a buffer of PROPERTY_BUF bytes: what is written here always fits. */
static const char *PRINTF_LIKE(2, 3) put(char *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(buf, PROPERTY_BUF, format, args);
	va_end(args);
	return buf;
}

static struct qube *raw_qube(const struct model *m, const char *raw)
{
	uint64_t qid;

	if (!raw || str_u64(raw, QID_MAX, &qid) < 0)
		return NULL;
	return model_get(m, (unsigned)qid);
}

static bool is_networked(const struct model *m, const struct qube *q)
{
	return property_qube(m, q, PROP_netvm) || property_bool(m, q, PROP_provides_network);
}

/* Computed values. */

static const char *compute_name(const struct model *m, const struct qube *q, char *buf)
{
	(void)m, (void)buf;
	return q->name;
}

static const char *compute_uuid(const struct model *m, const struct qube *q, char *buf)
{
	(void)m, (void)buf;
	return q->uuid;
}

static const char *compute_qid(const struct model *m, const struct qube *q, char *buf)
{
	(void)m;
	return put(buf, "%u", q->qid);
}

static const char *compute_klass(const struct model *m, const struct qube *q, char *buf)
{
	(void)m, (void)buf;
	return klass_name(q->klass);
}

static const char *compute_xid(const struct model *m, const struct qube *q, char *buf)
{
	(void)m;
	return q->xid > 0 ? put(buf, "%u", q->xid) : "-1";
}

static const char *compute_start_time(const struct model *m, const struct qube *q, char *buf)
{
	(void)m;
	return q->xid > 0 ? put(buf, "%" PRId64, q->start_time) : "";
}

static const char *compute_updateable(const struct model *m, const struct qube *q, char *buf)
{
	(void)m, (void)buf;
	return q->klass == KLASS_APP || q->klass == KLASS_DISP ? "False" : "True";
}

static const char *compute_in_backups(const struct model *m, const struct qube *q, char *buf)
{
	(void)buf;
	if (q->klass == KLASS_DISP)
		return property_bool(m, q, PROP_auto_cleanup) ? "False" : "True";
	return q->klass == KLASS_REMOTE ? "False" : "True";
}

static const char *compute_icon(const struct model *m, const struct qube *q, char *buf)
{
	static const char *const kinds[N_KLASSES] = {
		[KLASS_ADMIN] = "adminvm", [KLASS_TEMPLATE] = "templatevm",
		[KLASS_APP] = "appvm",     [KLASS_STANDALONE] = "standalonevm",
		[KLASS_DISP] = "dispvm",   [KLASS_REMOTE] = "remotevm",
	};
	const struct pair *service = pair_find(q->features, "servicevm");
	const struct property *label = property_at(false, PROP_label);
	bool is_service = service && service->value[0] != '\0';

	return put(buf, "%s-%s", is_service ? "servicevm" : kinds[q->klass],
		   property_show(m, label, q->values[PROP_label]));
}

static const char *compute_ip(const struct model *m, const struct qube *q, char *buf)
{
	const char *id = q->values[PROP_dispid];
	uint64_t n = q->qid;

	if (!is_networked(m, q))
		return "";
	if (id && str_u64(id, 9999, &n) == 0)
		return put(buf, "10.138.%u.%u", (unsigned)(n >> 8 & 0x7f), (unsigned)(n & 0xff));
	return put(buf, "10.137.%u.%u", q->qid >> 8 & 0x7f, q->qid & 0xff);
}

static const char *compute_gateway(const struct model *m, const struct qube *q, char *buf)
{
	return property_bool(m, q, PROP_provides_network) ? property_text(m, q, PROP_ip, buf) : "";
}

static const char *feature_or(const struct qube *q, const char *feature, const char *otherwise)
{
	const struct pair *p = pair_find(q->features, feature);

	return p && p->value[0] != '\0' ? p->value : otherwise;
}

static const char *compute_visible_ip(const struct model *m, const struct qube *q, char *buf)
{
	return feature_or(q, "net.fake-ip", property_text(m, q, PROP_ip, buf));
}

static const char *compute_visible_gateway(const struct model *m, const struct qube *q, char *buf)
{
	const struct qube *netvm = property_qube(m, q, PROP_netvm);

	return feature_or(q, "net.fake-gateway",
			  netvm ? property_text(m, netvm, PROP_gateway, buf) : "");
}

static const char *compute_visible_netmask(const struct model *m, const struct qube *q, char *buf)
{
	(void)buf;
	return feature_or(q, "net.fake-netmask", is_networked(m, q) ? "255.255.255.255" : "");
}

static const char *compute_dns(const struct model *m, const struct qube *q, char *buf)
{
	(void)buf;
	return is_networked(m, q) ? "10.139.1.1 10.139.1.2" : "";
}

static const char *compute_netvm(const struct model *m, const struct qube *q, char *buf)
{
	const struct qube *netvm = global_qube(m, GLOBAL_default_netvm);

	/* a template has no network unless somebody insists; nothing is its own netvm */
	if (q->klass == KLASS_TEMPLATE || !netvm || netvm == q)
		return "";
	return put(buf, "%u", netvm->qid);
}

/* what a disposable starts is a disposable like itself: another template might have another network */
static const char *compute_dispvm(const struct model *m, const struct qube *q, char *buf)
{
	const struct qube *t = q->klass == KLASS_DISP ? model_template(m, q)
						      : global_qube(m, GLOBAL_default_dispvm);

	return t ? put(buf, "%u", t->qid) : "";
}

/* as that of who shows its windows */
static const char *compute_keyboard(const struct model *m, const struct qube *q, char *buf)
{
	const struct qube *guivm = q->qid != 0 ? property_qube(m, q, PROP_guivm) : NULL;

	/* one that shows its own has nobody to follow */
	if (!guivm || guivm == q || (guivm->qid != 0 && !guivm->values[PROP_keyboard_layout]))
		guivm = q->qid != 0 ? model_get(m, 0) : NULL;
	return guivm ? property_text(m, guivm, PROP_keyboard_layout, buf) : "us++";
}

static const char *compute_kernelopts(const struct model *m, const struct qube *q, char *buf)
{
	return property_text(m, q, PROP_kernel, buf)[0] == '\0' ? "" : "swiotlb=2048";
}

/* of the qube, else of its template and that one's */
static const char *feature_of(const struct model *m, const struct qube *q, const char *name)
{
	for (unsigned n = 0; q && n < 3; n++, q = model_template(m, q)) {
		const struct pair *p = pair_find(q->features, name);

		if (p)
			return p->value;
	}
	return "";
}

static bool has_feature_like(const struct model *m, const struct qube *q, const char *prefix)
{
	for (unsigned n = 0; q && n < 3; n++, q = model_template(m, q))
		for (const struct pair *p = q->features; p; p = p->next)
			if (str_starts(p->key, prefix))
				return true;
	return false;
}

/* Can its memory grow and shrink? The kernel of an hvm qube is its own, and need not know how: one with our tools
 * does, unless it says which services it has and the one for that is not among them. */
static bool may_balance(const struct model *m, const struct qube *q)
{
	char buf[PROPERTY_BUF];

	if (!str_eq(property_text(m, q, PROP_virt_mode, buf), "hvm"))
		return true;
	if (feature_of(m, q, "qrexec")[0] == '\0')
		return false;
	return !has_feature_like(m, q, "supported-service.") ||
	       feature_of(m, q, "supported-service.meminfo-writer")[0] != '\0';
}

static const char *compute_maxmem(const struct model *m, const struct qube *q, char *buf)
{
	uint64_t half = m->machine.memory_mib / 2, most = 4096, memory = 0;

	if (q->klass != KLASS_ADMIN) {
		if (!may_balance(m, q))
			return "0";
		memory = (uint64_t)property_int(m, q, PROP_memory);
		/* Linux sets up its tables for all it may have: ten times more than at its start is too much */
		most = str_eq(feature_of(m, q, "os"), "Linux") ? memory * 10 : 4000;
	}
	if (half > 0 && half < most)
		most = half;
	return put(buf, "%" PRIu64, memory > most ? memory : most);
}

static const char *compute_newest_kernel(const struct model *m, const struct qube *q, char *buf)
{
	(void)q, (void)buf;
	return m->machine.newest_kernel;
}

static const char *compute_pool(const struct model *m, const struct qube *q, char *buf)
{
	(void)q;
	return global_text(m, GLOBAL_default_pool, buf);
}

static const char *compute_qrexec_timeout(const struct model *m, const struct qube *q, char *buf)
{
	(void)q, (void)buf;
	return m->machine.slow ? "180" : "60";
}

static const char *compute_system_memory(const struct model *m, const struct qube *q, char *buf)
{
	(void)q;
	return put(buf, "%" PRIu64, m->machine.memory_mib);
}

static const char *compute_system_cpus(const struct model *m, const struct qube *q, char *buf)
{
	(void)q;
	return put(buf, "%u", m->machine.n_cpus);
}

/* Checks: of a raw value of the right type. */

#define CHECK_ARGS                                                                                 \
	const struct model *m, const struct qube *q, const struct property *p, const char *raw,    \
		struct refusal *why

/** MEMORY_LEAST_MIB - below it no kernel comes to its first program */
#define MEMORY_LEAST_MIB 32

static const char value_error[] = "QubesPropertyValueError";

static int check_any(CHECK_ARGS)
{
	(void)m, (void)q, (void)p, (void)raw, (void)why;
	return 0;
}

static int64_t raw_int(const char *raw)
{
	return strtoll(raw, NULL, 10);
}

static int check_positive(CHECK_ARGS)
{
	(void)m, (void)q;
	if (raw_int(raw) > 0 && raw_int(raw) <= INT32_MAX)
		return 0;
	return refuse(why, value_error, "%s must be a number above 0, not %s", p->name, raw);
}

static int check_not_negative(CHECK_ARGS)
{
	(void)m, (void)q;
	if (raw_int(raw) >= 0)
		return 0;
	return refuse(why, value_error, "%s must not be below 0, but is %s", p->name, raw);
}

/* of this machine */
static int check_amount(CHECK_ARGS)
{
	int r = check_positive(m, q, p, raw, why);

	if (r > 0)
		return r;
	if (raw_int(raw) < MEMORY_LEAST_MIB)
		return refuse(why, value_error,
			      "%s of %s MiB is too little: no qube starts with less than %d MiB",
			      p->name, raw, MEMORY_LEAST_MIB);
	if (m->machine.memory_mib > 0 && (uint64_t)raw_int(raw) > m->machine.memory_mib)
		return refuse(why, value_error,
			      "memory of %s MiB is more than this machine has (%" PRIu64 " MiB)",
			      raw, m->machine.memory_mib);
	return 0;
}

/* the default follows memory */
static bool maxmem_is_set(const struct model *m, const struct qube *q)
{
	const struct qube *template = model_template(m, q);

	return q->values[PROP_maxmem] || (template && template->values[PROP_maxmem]);
}

static int check_memory(CHECK_ARGS)
{
	int64_t most = maxmem_is_set(m, q) ? property_int(m, q, PROP_maxmem) : 0;
	int r = check_amount(m, q, p, raw, why);

	if (r == 0 && most > 0 && raw_int(raw) > most)
		return refuse(why, value_error,
			      "memory of %s MiB is more than the maxmem of '%s', %" PRId64
			      " MiB; set that first",
			      raw, q->name, most);
	return r;
}

static int check_maxmem(CHECK_ARGS)
{
	int64_t least = q->klass == KLASS_ADMIN ? 0 : property_int(m, q, PROP_memory);
	int r = raw_int(raw) == 0 ? 0 : check_amount(m, q, p, raw, why);

	if (r == 0 && raw_int(raw) != 0 && raw_int(raw) < least)
		return refuse(why, value_error,
			      "maxmem of %s MiB is less than the memory of '%s', %" PRId64
			      " MiB; set that first",
			      raw, q->name, least);
	return r;
}

static int check_vcpus(CHECK_ARGS)
{
	(void)m, (void)q;
	if (raw_int(raw) > 0 && raw_int(raw) <= 255)
		return 0;
	return refuse(why, value_error, "%s must be a number from 1 to 255, not %s", p->name, raw);
}

static int check_label(CHECK_ARGS)
{
	(void)m, (void)q, (void)p;
	if (raw[0] != '\0')
		return 0;
	return refuse(why, value_error, "a qube must have a label");
}

static int check_virt_mode(CHECK_ARGS)
{
	(void)m, (void)q, (void)p;
	if (str_eq(raw, "pvh") || str_eq(raw, "hvm") || str_eq(raw, "pv"))
		return 0;
	return refuse(why, value_error, "virt_mode is one of pvh, hvm and pv, not '%s'", raw);
}

/* qube-monitor takes no longer one, nor one that could be taken for an option */
#define USER_NAME_MAX 63

static int check_user(CHECK_ARGS)
{
	(void)m, (void)q, (void)p;
	if (raw[0] != '\0' && raw[0] != '-' && strlen(raw) <= USER_NAME_MAX &&
	    bytes_are_alnum_or(raw, strlen(raw), "_+,.-"))
		return 0;
	return refuse(why, value_error,
		      "'%.64s' is no user name: 1 to %u letters, digits and _+,.-, not beginning "
		      "with -",
		      raw, USER_NAME_MAX);
}

static int check_keyboard(CHECK_ARGS)
{
	const char *plus = strchr(raw, '+');

	(void)m, (void)q, (void)p;
	if (plus && strchr(plus + 1, '+') && !strchr(strchr(plus + 1, '+') + 1, '+') &&
	    plus != raw && bytes_are_alnum_or(raw, strlen(raw), "+_,:()-"))
		return 0;
	return refuse(why, value_error, "a keyboard is LAYOUT+VARIANT+OPTIONS, not '%s'", raw);
}

static int check_ip(CHECK_ARGS)
{
	struct in_addr address;

	(void)m, (void)q, (void)p;
	if (inet_pton(AF_INET, raw, &address) == 1)
		return 0;
	return refuse(why, value_error, "'%s' is no IPv4 address", raw);
}

static int check_ip6(CHECK_ARGS)
{
	struct in6_addr address;

	(void)m, (void)q, (void)p;
	if (raw[0] == '\0' || inet_pton(AF_INET6, raw, &address) == 1)
		return 0;
	return refuse(why, value_error, "'%s' is no IPv6 address", raw);
}

bool property_interfaces_are(const char *text)
{
	size_t i = 0;

	for (; text[i] != '\0'; i++)
		if (!strchr(i % INTERFACE_LEN == 0 ? "abcdefghijklmnopqrstuvwxyz?*"
						   : "0123456789abcdef*",
			    text[i]))
			return false;
	return i % INTERFACE_LEN == 0;
}

static int check_interfaces(CHECK_ARGS)
{
	(void)m, (void)q;
	if (property_interfaces_are(raw))
		return 0;
	return refuse(why, value_error,
		      "%s is interfaces of devices one behind the other, each like u03****",
		      p->name);
}

static int check_mac(CHECK_ARGS)
{
	static const char hex[] = "0123456789abcdefABCDEF";
	bool good = strlen(raw) == 17;

	(void)m, (void)q, (void)p;
	for (unsigned i = 0; good && i < 17; i++)
		good = i % 3 == 2 ? raw[i] == ':' : strchr(hex, raw[i]) != NULL;
	if (good && (strchr("02468aceACE", raw[1]) != NULL))
		return 0;
	return refuse(why, value_error, "'%s' is no hardware address of one network card", raw);
}

static int check_kernel(CHECK_ARGS)
{
	char path[PATH_MAX];
	struct stat st;

	(void)q, (void)p;
	if (raw[0] == '\0')
		return 0;
	if (raw[0] != '.' && bytes_are_alnum_or(raw, strlen(raw), "_.+-") &&
	    m->machine.kernels_dir &&
	    str_format(path, sizeof(path), "%s/%s/vmlinuz", m->machine.kernels_dir, raw) == 0 &&
	    stat(path, &st) == 0)
		return 0;
	return refuse(why, value_error, "kernel '%s' is not installed", raw);
}

static int check_pool(CHECK_ARGS)
{
	const struct pool *pool = model_pool(m, raw);

	(void)q;
	if (!pool)
		return refuse(why, value_error, "%s: there is no pool '%s'", p->name, raw);
	if (pool_takes_volumes(pool) == (p->id != GLOBAL_default_pool_kernel))
		return 0;
	return refuse(why, value_error,
		      "%s: what pool '%s' holds is of another kind, its driver is %s", p->name, raw,
		      pool->driver);
}

static int check_template_or_none(CHECK_ARGS)
{
	const struct qube *t = raw_qube(m, raw);

	(void)q;
	if (!t || t->klass == KLASS_TEMPLATE)
		return 0;
	return refuse(why, value_error, "%s: '%s' is no template but of class %s", p->name, t->name,
		      klass_name(t->klass));
}

static int check_template(CHECK_ARGS)
{
	const struct qube *t = raw_qube(m, raw);

	if (!t)
		return refuse(why, value_error, "an %s needs a template", klass_name(q->klass));
	if (q->klass == KLASS_DISP) {
		if (property_bool(m, t, PROP_template_for_dispvms))
			return 0;
		return refuse(why, value_error, "'%s' has template_for_dispvms=False", t->name);
	}
	return check_template_or_none(m, q, p, raw, why);
}

static int check_dispvm(CHECK_ARGS)
{
	const struct qube *t = raw_qube(m, raw);

	(void)q;
	if (!t || (t->klass != KLASS_ADMIN && t->klass != KLASS_REMOTE &&
		   property_bool(m, t, PROP_template_for_dispvms)))
		return 0;
	return refuse(why, value_error, "%s: '%s' has template_for_dispvms=False", p->name,
		      t->name);
}

static int check_provides(CHECK_ARGS)
{
	const struct qube *t = raw_qube(m, raw);

	(void)q;
	if (!t || (t->klass != KLASS_ADMIN && t->klass != KLASS_REMOTE &&
		   property_bool(m, t, PROP_provides_network)))
		return 0;
	return refuse(why, value_error, "%s: '%s' does not provide network", p->name, t->name);
}

/* with default_netvm @raw, would a qube that follows it get its network from itself? */
static int check_default_netvm(CHECK_ARGS)
{
	const struct qube *at = raw_qube(m, raw);
	int r = check_provides(m, q, p, raw, why);

	for (unsigned n = 0; r == 0 && at && n <= QID_MAX; n++) {
		if (!at->values[PROP_netvm])
			return 0; /* itself, which compute_netvm() knows, or one that follows it: the end */
		at = raw_qube(m, at->values[PROP_netvm]);
		if (at && at != raw_qube(m, raw) && !at->values[PROP_netvm] &&
		    at->klass != KLASS_TEMPLATE)
			return refuse(
				why, value_error,
				"default_netvm '%s' gets its own network from '%s', whose netvm "
				"is the default: a loop",
				raw_qube(m, raw)->name, at->name);
	}
	return r;
}

static int check_netvm(CHECK_ARGS)
{
	const struct qube *at = raw_qube(m, raw);
	unsigned n = 0;
	int r = check_provides(m, q, p, raw, why);

	if (r > 0)
		return r;
	for (; at && n <= QID_MAX; at = property_qube(m, at, PROP_netvm), n++)
		if (at == q)
			return refuse(why, value_error,
				      "netvm '%s' gets its own network from '%s': a loop",
				      raw_qube(m, raw)->name, q->name);
	return 0;
}

static int check_provider(CHECK_ARGS)
{
	(void)p;
	if (str_eq(raw, "True"))
		return 0;
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *other = m->by_name[i];

		if (other->klass != KLASS_ADMIN && other->klass != KLASS_REMOTE && other != q &&
		    property_qube(m, other, PROP_netvm) == q)
			return refuse(why, "QubesVMInUseError", "'%s' is the netvm of '%s'",
				      q->name, other->name);
	}
	return 0;
}

static int check_dispvms(CHECK_ARGS)
{
	(void)p;
	if (str_eq(raw, "True"))
		return 0;
	if (global_qube(m, GLOBAL_default_dispvm) == q)
		return refuse(why, "QubesVMInUseError", "'%s' is the system's default_dispvm",
			      q->name);
	for (size_t i = 0; i < m->n_qubes; i++) {
		const struct qube *other = m->by_name[i];

		if (raw_qube(m, other->values[PROP_default_dispvm]) == q)
			return refuse(why, "QubesVMInUseError",
				      "'%s' is the default_dispvm of '%s'", q->name, other->name);
		if (other->klass == KLASS_DISP && model_template(m, other) == q)
			return refuse(why, "QubesVMInUseError", "'%s' is the template of '%s'",
				      q->name, other->name);
	}
	return 0;
}

/* The tables. */

#define NONE
#define TOLD(path, ...)  .entry = (path), __VA_ARGS__
#define TEXT(t)          .text = (t)
#define OF_GLOBAL(g)     .global = (GLOBAL_##g + 1)
#define COMPUTED(f)      .compute = compute_##f
#define TEMPLATE_OR(...) .from_template = true, __VA_ARGS__
#define ADM              (1u << KLASS_ADMIN)
#define T                (1u << KLASS_TEMPLATE)
#define A                (1u << KLASS_APP)
#define S                (1u << KLASS_STANDALONE)
#define D                (1u << KLASS_DISP)
#define R                (1u << KLASS_REMOTE)

static const struct property of_qubes[N_PROPERTIES] = {
#define PROPERTY(n, t, c, dflt, chk, f, h)                                                         \
	[PROP_##n] = {.name = #n,                                                                  \
		      .help = (h),                                                                 \
		      .type = TYPE_##t,                                                            \
		      .id = PROP_##n,                                                              \
		      .classes = (c),                                                              \
		      .flags = (f),                                                                \
		      .check = check_##chk,                                                        \
		      dflt},
#include "store/property_rows.h"
#undef PROPERTY
};

static const struct property of_system[N_GLOBALS] = {
#define GLOBAL(n, t, dflt, chk, f, h)                                                              \
	[GLOBAL_##n] = {.name = #n,                                                                \
			.help = (h),                                                               \
			.type = TYPE_##t,                                                          \
			.id = GLOBAL_##n,                                                          \
			.flags = (f),                                                              \
			.check = check_##chk,                                                      \
			dflt},
#include "store/property_rows.h"
#undef GLOBAL
};

#undef T
#undef A
#undef S
#undef D
#undef R

const struct property *property_at(bool system, unsigned i)
{
	return system ? &of_system[i] : &of_qubes[i];
}

bool property_has(const struct qube *q, const struct property *p)
{
	return q ? (p->classes & 1u << q->klass) != 0 : p->classes == 0;
}

const struct property *property_find(const struct qube *q, const char *name)
{
	unsigned n = q ? N_PROPERTIES : N_GLOBALS;

	for (unsigned i = 0; i < n; i++) {
		const struct property *p = property_at(!q, i);

		if (strcmp(p->name, name) == 0)
			return property_has(q, p) ? p : NULL;
	}
	return NULL;
}

const char *property_type_name(enum property_type t)
{
	static const char *const names[] = {"str", "int", "bool", "vm", "label"};

	return names[t];
}

const char *property_default(const struct model *m, const struct qube *q, const struct property *p,
			     char *buf)
{
	const struct qube *template = q && p->from_template ? model_template(m, q) : NULL;

	/* what is computed where nobody has set it follows the qube's own properties, not its template's */
	while (p->compute && template && !template->values[p->id])
		template = model_template(m, template);
	if (template && property_has(template, p))
		return property_raw(m, template, p, buf, NULL);
	if (p->compute)
		return p->compute(m, q, buf);
	if (p->global)
		return property_raw(m, NULL, property_at(true, (unsigned)p->global - 1), buf, NULL);
	return p->text;
}

const char *property_raw(const struct model *m, const struct qube *q, const struct property *p,
			 char *buf, bool *ret_default)
{
	const char *set = q ? q->values[p->id] : m->globals[p->id];

	if (ret_default)
		*ret_default = !set && !((p->flags & ALWAYS) && q && q->qid != 0);
	return set ? set : property_default(m, q, p, buf);
}

const char *property_show(const struct model *m, const struct property *p, const char *raw)
{
	const struct qube *q;
	uint64_t i;

	if (!raw)
		return "";
	if (p->type == TYPE_VM) {
		q = raw_qube(m, raw);
		return q ? q->name : "";
	}
	if (p->type == TYPE_LABEL)
		return str_u64(raw, LABEL_MAX, &i) == 0 && m->labels[i].name ? m->labels[i].name
									     : "";
	return raw;
}

const char *property_text(const struct model *m, const struct qube *q, enum property_id id,
			  char *buf)
{
	const struct property *p = &of_qubes[id];
	const char *raw = property_has(q, p) ? property_raw(m, q, p, buf, NULL) : NULL;

	return property_show(m, p, raw);
}

int64_t property_int(const struct model *m, const struct qube *q, enum property_id id)
{
	char buf[PROPERTY_BUF];

	return raw_int(property_text(m, q, id, buf));
}

bool property_bool(const struct model *m, const struct qube *q, enum property_id id)
{
	char buf[PROPERTY_BUF];

	return str_eq(property_text(m, q, id, buf), "True");
}

struct qube *property_qube(const struct model *m, const struct qube *q, enum property_id id)
{
	char buf[PROPERTY_BUF];

	if (!property_has(q, &of_qubes[id]))
		return NULL;
	return raw_qube(m, property_raw(m, q, &of_qubes[id], buf, NULL));
}

const char *global_text(const struct model *m, enum global_id id, char *buf)
{
	const struct property *p = &of_system[id];

	return property_show(m, p, property_raw(m, NULL, p, buf, NULL));
}

struct qube *global_qube(const struct model *m, enum global_id id)
{
	char buf[PROPERTY_BUF];

	return raw_qube(m, property_raw(m, NULL, &of_system[id], buf, NULL));
}

/* Setting. */

static int parse_bool(const struct property *p, const char *shown, char *raw, struct refusal *why)
{
	bool truth;

	if (argument_truth_decode(shown, strlen(shown), &truth) == 0)
		return str_format(raw, PROPERTY_VALUE_MAX, "%s", truth ? "True" : "False");
	return refuse(why, value_error, "%s is True or False, not '%s'", p->name, shown);
}

static int parse_int(const struct property *p, const char *shown, char *raw, struct refusal *why)
{
	const char *digits = shown[0] == '-' ? shown + 1 : shown;
	uint64_t v;

	if (str_u64(digits, 1000000000000000, &v) < 0)
		return refuse(why, value_error, "%s is a whole number, not '%s' (%s)", p->name,
			      shown, p->help);
	return str_format(raw, PROPERTY_VALUE_MAX, "%s%" PRIu64, shown[0] == '-' && v ? "-" : "",
			  v);
}

static int parse_qube(const struct model *m, const struct property *p, const char *shown, char *raw,
		      struct refusal *why)
{
	const struct qube *v;

	if (shown[0] == '\0') {
		raw[0] = '\0';
		return 0;
	}
	v = model_find(m, shown);
	if (!v || v->hidden)
		return refuse(why, value_error, "%s: there is no qube '%s'", p->name, shown);
	return str_format(raw, PROPERTY_VALUE_MAX, "%u", v->qid);
}

static int parse_label(const struct model *m, const char *shown, char *raw, struct refusal *why)
{
	uint64_t i = model_label(m, shown);

	if (i == 0 && (str_u64(shown, LABEL_MAX, &i) < 0 || !m->labels[i].name))
		return model_refuse_label(m, value_error, shown, why);
	return str_format(raw, PROPERTY_VALUE_MAX, "%" PRIu64, i);
}

static int may_change(const struct qube *q, const struct property *p, struct refusal *why)
{
	if (p->flags & FIXED)
		return refuse(why, value_error, "%s cannot be set", p->name);
	if (q && (p->flags & HALTED) && q->power)
		return refuse(why, "QubesVMNotHaltedError",
			      "%s cannot be changed while '%s' runs: shut it down first", p->name,
			      q->name);
	return 0;
}

int property_parse(const struct model *m, const struct qube *q, const struct property *p,
		   const void *shown_bytes, size_t len, char *raw, struct refusal *why)
{
	char shown[PROPERTY_VALUE_MAX + 1];
	const uint8_t *bytes = shown_bytes;
	int r = may_change(q, p, why);

	if (r != 0)
		return r;
	if (len > PROPERTY_VALUE_MAX)
		return refuse(why, value_error, "%s: a value has at most %u bytes", p->name,
			      PROPERTY_VALUE_MAX);
	for (size_t i = 0; i < len; i++)
		if (bytes[i] < 0x20 || bytes[i] >= 0x7f)
			return refuse(why, value_error, "%s: only printable ASCII is allowed",
				      p->name);
	if (len > 0)
		memcpy(shown, bytes, len);
	shown[len] = '\0';
	switch (p->type) {
	case TYPE_STR:
		r = str_copy(raw, PROPERTY_VALUE_MAX + 1, shown, len);
		break;
	case TYPE_BOOL:
		r = parse_bool(p, shown, raw, why);
		break;
	case TYPE_INT:
		r = parse_int(p, shown, raw, why);
		break;
	case TYPE_VM:
		r = parse_qube(m, p, shown, raw, why);
		break;
	case TYPE_LABEL:
		r = parse_label(m, shown, raw, why);
		break;
	}
	return r != 0 ? r : p->check(m, q, p, raw, why);
}

int property_may_reset(const struct model *m, const struct qube *q, const struct property *p,
		       struct refusal *why)
{
	char buf[PROPERTY_BUF];
	const char *raw;
	int r = may_change(q, p, why);

	if (r != 0)
		return r;
	raw = property_default(m, q, p, buf);
	if (!raw && p->type == TYPE_LABEL)
		return refuse(why, value_error, "a qube must have a label");
	return raw && p->type != TYPE_STR ? p->check(m, q, p, raw, why) : 0;
}

bool property_depends(const struct model *m, const struct qube *q, const struct property *p,
		      const struct qube *from, const struct property *on)
{
	if (q->values[p->id])
		return false;
	if (from && p == on && p->id == PROP_keyboard_layout)
		return property_qube(m, q, PROP_guivm) == from;
	if (from)
		return p == on && p->from_template && model_template(m, q) == from;
	if (p->id == PROP_netvm)
		return on->id == GLOBAL_default_netvm && q->klass != KLASS_TEMPLATE;
	if (p->id == PROP_default_dispvm)
		return on->id == GLOBAL_default_dispvm && q->klass != KLASS_DISP;
	return p->global == (int)on->id + 1 && !(p->from_template && model_template(m, q));
}

/* a list of uses, cut with "..." where it is full */
struct uses {
	char *to;
	size_t size, len;
	unsigned n;
};

static void use_add(struct uses *u, const char *property, const char *of)
{
	char one[128];
	size_t len;

	(void)snprintf(one, sizeof(one), "%s%s%s%s%s", u->n > 0 ? ", " : "it is ",
		       of ? "the " : "the system's ", property, of ? " of '" : "", of ? of : "");
	len = strlen(one) + (of ? 1 : 0);
	u->n++;
	if (u->len + len + strlen(", ...") >= u->size) {
		if (u->len + strlen(", ...") < u->size && !strstr(u->to, "..."))
			(void)snprintf(u->to + u->len, u->size - u->len, ", ...");
		u->len = u->size; /* nothing more */
		return;
	}
	(void)snprintf(u->to + u->len, u->size - u->len, "%s%s", one, of ? "'" : "");
	u->len += len;
}

bool property_references(const struct model *m, const struct qube *target, char *ret, size_t size)
{
	struct uses u = {.to = ret, .size = size};

	ret[0] = '\0';
	for (unsigned i = 0; i < N_GLOBALS; i++)
		if (of_system[i].type == TYPE_VM && raw_qube(m, m->globals[i]) == target)
			use_add(&u, of_system[i].name, NULL);
	for (size_t n = 0; n < m->n_qubes; n++) {
		const struct qube *q = m->by_name[n];

		for (unsigned i = 0; q != target && i < N_PROPERTIES; i++)
			if (of_qubes[i].type == TYPE_VM && raw_qube(m, q->values[i]) == target)
				use_add(&u, of_qubes[i].name, q->name);
	}
	return u.n > 0;
}
