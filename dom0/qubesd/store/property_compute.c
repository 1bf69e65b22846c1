/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Properties that nobody has set: values that are computed. */
#include "store/property_hooks.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Values into a buffer of PROPERTY_BUF bytes: what is written here always fits. */
static const char *PRINTF_LIKE(2, 3) put(char *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(buf, PROPERTY_BUF, format, args);
	va_end(args);
	return buf;
}

static bool is_networked(const struct model *m, const struct qube *q)
{
	return property_qube(m, q, PROP_netvm) || property_bool(m, q, PROP_provides_network);
}

const char *compute_name(const struct model *m, const struct qube *q, char *buf)
{
	(void)m, (void)buf;
	return q->name;
}

const char *compute_uuid(const struct model *m, const struct qube *q, char *buf)
{
	(void)m, (void)buf;
	return q->uuid;
}

const char *compute_qid(const struct model *m, const struct qube *q, char *buf)
{
	(void)m;
	return put(buf, "%u", q->qid);
}

const char *compute_klass(const struct model *m, const struct qube *q, char *buf)
{
	(void)m, (void)buf;
	return klass_name(q->klass);
}

const char *compute_xid(const struct model *m, const struct qube *q, char *buf)
{
	(void)m;
	return q->xid > 0 ? put(buf, "%u", q->xid) : "-1";
}

const char *compute_start_time(const struct model *m, const struct qube *q, char *buf)
{
	(void)m;
	return q->xid > 0 ? put(buf, "%" PRId64, q->start_time) : "";
}

const char *compute_updateable(const struct model *m, const struct qube *q, char *buf)
{
	(void)m, (void)buf;
	return q->klass == KLASS_APP || q->klass == KLASS_DISP ? "False" : "True";
}

const char *compute_in_backups(const struct model *m, const struct qube *q, char *buf)
{
	(void)buf;
	if (q->klass == KLASS_DISP)
		return property_bool(m, q, PROP_auto_cleanup) ? "False" : "True";
	return q->klass == KLASS_REMOTE ? "False" : "True";
}

const char *compute_is_preload(const struct model *m, const struct qube *q, char *buf)
{
	(void)m, (void)buf;
	return q->preload ? "True" : "False";
}

const char *compute_icon(const struct model *m, const struct qube *q, char *buf)
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

const char *compute_ip(const struct model *m, const struct qube *q, char *buf)
{
	const char *id = q->values[PROP_dispid];
	uint64_t n = q->qid;

	if (!is_networked(m, q))
		return "";
	if (id && str_u64(id, 9999, &n) == 0)
		return put(buf, "10.138.%u.%u", (unsigned)(n >> 8 & 0x7f), (unsigned)(n & 0xff));
	return put(buf, "10.137.%u.%u", q->qid >> 8 & 0x7f, q->qid & 0xff);
}

const char *compute_gateway(const struct model *m, const struct qube *q, char *buf)
{
	return property_bool(m, q, PROP_provides_network) ? property_text(m, q, PROP_ip, buf) : "";
}

static const char *feature_or(const struct qube *q, const char *feature, const char *otherwise)
{
	const struct pair *p = pair_find(q->features, feature);

	return p && p->value[0] != '\0' ? p->value : otherwise;
}

const char *compute_visible_ip(const struct model *m, const struct qube *q, char *buf)
{
	return feature_or(q, "net.fake-ip", property_text(m, q, PROP_ip, buf));
}

const char *compute_visible_gateway(const struct model *m, const struct qube *q, char *buf)
{
	const struct qube *netvm = property_qube(m, q, PROP_netvm);

	return feature_or(q, "net.fake-gateway",
			  netvm ? property_text(m, netvm, PROP_gateway, buf) : "");
}

const char *compute_visible_netmask(const struct model *m, const struct qube *q, char *buf)
{
	(void)buf;
	return feature_or(q, "net.fake-netmask", is_networked(m, q) ? "255.255.255.255" : "");
}

const char *compute_dns(const struct model *m, const struct qube *q, char *buf)
{
	(void)buf;
	return is_networked(m, q) ? "10.139.1.1 10.139.1.2" : "";
}

const char *compute_netvm(const struct model *m, const struct qube *q, char *buf)
{
	const struct qube *netvm = global_qube(m, GLOBAL_default_netvm);

	/* a template has no network unless somebody insists; nothing is its own netvm */
	if (q->klass == KLASS_TEMPLATE || !netvm || netvm == q)
		return "";
	return put(buf, "%u", netvm->qid);
}

/* what a disposable starts is a disposable like itself: another template might have another network */
const char *compute_dispvm(const struct model *m, const struct qube *q, char *buf)
{
	const struct qube *t = q->klass == KLASS_DISP ? model_template(m, q)
						      : global_qube(m, GLOBAL_default_dispvm);

	return t ? put(buf, "%u", t->qid) : "";
}

/* as that of who shows its windows */
const char *compute_keyboard(const struct model *m, const struct qube *q, char *buf)
{
	const struct qube *guivm = q->qid != 0 ? property_qube(m, q, PROP_guivm) : NULL;

	/* one that shows its own has nobody to follow */
	if (!guivm || guivm == q || (guivm->qid != 0 && !guivm->values[PROP_keyboard_layout]))
		guivm = q->qid != 0 ? model_get(m, 0) : NULL;
	return guivm ? property_text(m, guivm, PROP_keyboard_layout, buf) : "us++";
}

const char *compute_kernelopts(const struct model *m, const struct qube *q, char *buf)
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

const char *compute_maxmem(const struct model *m, const struct qube *q, char *buf)
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

const char *compute_newest_kernel(const struct model *m, const struct qube *q, char *buf)
{
	(void)q, (void)buf;
	return m->machine.newest_kernel;
}

const char *compute_pool(const struct model *m, const struct qube *q, char *buf)
{
	(void)q;
	return global_text(m, GLOBAL_default_pool, buf);
}

const char *compute_qrexec_timeout(const struct model *m, const struct qube *q, char *buf)
{
	(void)q, (void)buf;
	return m->machine.slow ? "180" : "60";
}

const char *compute_system_memory(const struct model *m, const struct qube *q, char *buf)
{
	(void)q;
	return put(buf, "%" PRIu64, m->machine.memory_mib);
}

const char *compute_system_cpus(const struct model *m, const struct qube *q, char *buf)
{
	(void)q;
	return put(buf, "%u", m->machine.n_cpus);
}
