/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the value of a property must be. */
#include "store/property_hooks.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

/** MEMORY_LEAST_MIB - below it no kernel comes to its first program */
#define MEMORY_LEAST_MIB 32

int check_any(CHECK_ARGS)
{
	(void)m, (void)q, (void)p, (void)raw, (void)why;
	return 0;
}

int check_positive(CHECK_ARGS)
{
	(void)m, (void)q;
	if (raw_int(raw) > 0 && raw_int(raw) <= INT32_MAX)
		return 0;
	return refuse(why, value_error, "%s must be a number above 0, not %s", p->name, raw);
}

int check_not_negative(CHECK_ARGS)
{
	(void)m, (void)q;
	if (raw_int(raw) >= 0)
		return 0;
	return refuse(why, value_error, "%s must not be below 0, but is %s", p->name, raw);
}

/* of this machine */
int check_amount(CHECK_ARGS)
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

int check_memory(CHECK_ARGS)
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

int check_maxmem(CHECK_ARGS)
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

int check_vcpus(CHECK_ARGS)
{
	(void)m, (void)q;
	if (raw_int(raw) > 0 && raw_int(raw) <= 255)
		return 0;
	return refuse(why, value_error, "%s must be a number from 1 to 255, not %s", p->name, raw);
}

int check_label(CHECK_ARGS)
{
	(void)m, (void)q, (void)p;
	if (raw[0] != '\0')
		return 0;
	return refuse(why, value_error, "a qube must have a label");
}

int check_virt_mode(CHECK_ARGS)
{
	(void)m, (void)q, (void)p;
	if (str_eq(raw, "pvh") || str_eq(raw, "hvm") || str_eq(raw, "pv"))
		return 0;
	return refuse(why, value_error, "virt_mode is one of pvh, hvm and pv, not '%s'", raw);
}

/* qube-monitor takes no longer one, nor one that could be taken for an option */
#define USER_NAME_MAX 63

int check_user(CHECK_ARGS)
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

int check_keyboard(CHECK_ARGS)
{
	const char *plus = strchr(raw, '+');

	(void)m, (void)q, (void)p;
	if (plus && strchr(plus + 1, '+') && !strchr(strchr(plus + 1, '+') + 1, '+') &&
	    plus != raw && bytes_are_alnum_or(raw, strlen(raw), "+_,:()-"))
		return 0;
	return refuse(why, value_error, "a keyboard is LAYOUT+VARIANT+OPTIONS, not '%s'", raw);
}

int check_ip(CHECK_ARGS)
{
	struct in_addr address;

	(void)m, (void)q, (void)p;
	if (inet_pton(AF_INET, raw, &address) == 1)
		return 0;
	return refuse(why, value_error, "'%s' is no IPv4 address", raw);
}

int check_ip6(CHECK_ARGS)
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

int check_interfaces(CHECK_ARGS)
{
	(void)m, (void)q;
	if (property_interfaces_are(raw))
		return 0;
	return refuse(why, value_error,
		      "%s is interfaces of devices one behind the other, each like u03****",
		      p->name);
}

int check_mac(CHECK_ARGS)
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

int check_kernel(CHECK_ARGS)
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

int check_pool(CHECK_ARGS)
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

int check_template_or_none(CHECK_ARGS)
{
	const struct qube *t = raw_qube(m, raw);

	(void)q;
	if (!t || t->klass == KLASS_TEMPLATE)
		return 0;
	return refuse(why, value_error, "%s: '%s' is no template but of class %s", p->name, t->name,
		      klass_name(t->klass));
}

int check_template(CHECK_ARGS)
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

int check_dispvm(CHECK_ARGS)
{
	const struct qube *t = raw_qube(m, raw);

	(void)q;
	if (!t || (t->klass != KLASS_ADMIN && t->klass != KLASS_REMOTE &&
		   property_bool(m, t, PROP_template_for_dispvms)))
		return 0;
	return refuse(why, value_error, "%s: '%s' has template_for_dispvms=False", p->name,
		      t->name);
}

int check_provides(CHECK_ARGS)
{
	const struct qube *t = raw_qube(m, raw);

	(void)q;
	if (!t || (t->klass != KLASS_ADMIN && t->klass != KLASS_REMOTE &&
		   property_bool(m, t, PROP_provides_network)))
		return 0;
	return refuse(why, value_error, "%s: '%s' does not provide network", p->name, t->name);
}

/* with default_netvm @raw, would a qube that follows it get its network from itself? */
int check_default_netvm(CHECK_ARGS)
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

int check_netvm(CHECK_ARGS)
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

int check_provider(CHECK_ARGS)
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

int check_dispvms(CHECK_ARGS)
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
