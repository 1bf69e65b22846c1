/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a qube is started with: memory, kernel, volumes, and the QubesDB entries that make it
 * itself. */
#include "job/request.h"
#include "kernel.h"
#include "power/memory.h"
#include "power/power.h"
#include "power/tell.h"
#include "qubesd.h"
#include "store/model.h"
#include "store/property.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* when we are root, each running qube's QEMU and daemons have an id of their own */
#define UID_BASE 0x70000000u

static void entry(struct request *r, const char *path, const char *value)
{
	char key[128];

	if (str_format(key, sizeof(key), "qdb:%s", path) == 0)
		request_put(r, key, "%s", value);
}

static const char *feature(const struct model *m, const struct qube *q, const char *name)
{
	for (unsigned n = 0; q && n < 3; n++, q = model_template(m, q)) {
		const struct pair *p = pair_find(q->features, name);

		if (p)
			return p->value;
	}
	return NULL;
}

static const char *vm_type(const struct model *m, const struct qube *q)
{
	if (q->klass == KLASS_TEMPLATE)
		return "TemplateVM";
	if (q->klass == KLASS_DISP)
		return "DispVM";
	if (property_bool(m, q, PROP_provides_network))
		return property_qube(m, q, PROP_netvm) ? "ProxyVM" : "NetVM";
	return "AppVM";
}

/* a qube's own, or that of this machine, where /etc/localtime points to; one that says where it is tells who it is */
static void put_timezone(const struct model *m, const struct qube *q, struct request *r)
{
	static const char below[] = "/zoneinfo/";
	const char *own = feature(m, q, "timezone"), *anonymous = feature(m, q, "anon-timezone");
	const char *zone;
	char target[512];
	ssize_t n;

	if (own && own[0] != '\0') {
		entry(r, "/qubes-timezone", own);
		return;
	}
	if (anonymous && anonymous[0] != '\0')
		return;
	n = readlink("/etc/localtime", target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	zone = strstr(target, below);
	if (zone)
		entry(r, "/qubes-timezone", zone + strlen(below));
}

/* those that have an entry */
static void put_features(const struct qube *q, struct request *r)
{
	char path[QDB_PATH_MAX + 1];

	for (const struct pair *p = q->features; p; p = p->next)
		if (tell_path(p->key, path))
			entry(r, path, tell_value(p->key, p->value));
}

static void put_network(const struct model *m, const struct qube *q, struct request *r)
{
	char buf[PROPERTY_BUF];

	if (!property_qube(m, q, PROP_netvm))
		return;
	entry(r, "/qubes-mac", property_text(m, q, PROP_mac, buf));
	entry(r, "/qubes-ip", property_text(m, q, PROP_visible_ip, buf));
	entry(r, "/qubes-netmask", property_text(m, q, PROP_visible_netmask, buf));
	entry(r, "/qubes-gateway", property_text(m, q, PROP_visible_gateway, buf));
	entry(r, "/qubes-primary-dns", "10.139.1.1");
	entry(r, "/qubes-secondary-dns", "10.139.1.2");
}

static void put_entries(const struct model *m, const struct qube *q, struct request *r)
{
	const struct qube *template = model_template(m, q);
	bool updateable = q->klass == KLASS_TEMPLATE || q->klass == KLASS_STANDALONE;
	char buf[PROPERTY_BUF];

	entry(r, "/name", q->name);
	entry(r, "/type", klass_name(q->klass));
	entry(r, "/default-user", property_text(m, q, PROP_default_user, buf));
	entry(r, "/qubes-vm-type", vm_type(m, q));
	entry(r, "/qubes-vm-updateable", updateable ? "True" : "False");
	entry(r, "/qubes-vm-persistence", updateable ? "full" : "rw-only");
	entry(r, "/qubes-debug-mode", property_bool(m, q, PROP_debug) ? "1" : "0");
	if (template)
		entry(r, "/qubes-base-template", template->name);
	entry(r, "/qubes-block-devices", "");
	entry(r, "/qubes-usb-devices", "");
	for (unsigned i = 0; i < N_PROPERTIES; i++) {
		const struct property *p = property_at(false, i);

		if (p->entry && property_has(q, p))
			entry(r, p->entry, property_text(m, q, (enum property_id)i, buf));
	}
	entry(r, "/qubes-gui-enabled", "False");
	entry(r, "/qubes-service/meminfo-writer", property_int(m, q, PROP_maxmem) > 0 ? "1" : "0");
	put_timezone(m, q, r);
	put_features(q, r);
	put_network(m, q, r);
}

static int put_kernel(const struct qubesd *d, const struct qube *q, struct request *r,
		      struct refusal *why)
{
	static const char *const files[] = {"vmlinuz", "initramfs", "modules.img"};
	char buf[PROPERTY_BUF], dir[4096], path[4096 + 300];
	const char *kernel = property_text(d->model, q, PROP_kernel, buf);
	struct stat st;

	if (kernel[0] == '\0')
		return refuse(why, "QubesVMError",
			      "'%s' has no kernel: no kernel set is installed. Build one with "
			      "`make run`, or name one with qvm-prefs %s kernel",
			      q->name, q->name);
	if (kernel_dir(d, dir, sizeof(dir)) < 0)
		return refuse(why, "QubesVMError", "the path of the kernel sets is too long");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s/%s", dir, kernel, files[i]);
		if (stat(path, &st) == 0)
			request_put(r, files[i], "%s", path);
		else if (i < 2)
			return refuse(why, "QubesVMError",
				      "the kernel set '%s' is incomplete: %s is missing", kernel,
				      path);
	}
	return 0;
}

void power_describe_log(const struct qubesd *d, const struct qube *q, struct request *r)
{
	request_put(r, "log_path", "%s/log/guest-%s.log", d->paths.state, q->name);
}

int power_describe_machine(const struct qubesd *d, const struct qube *q, unsigned xid,
			   struct request *r, struct refusal *why)
{
	const struct model *m = d->model;
	char buf[PROPERTY_BUF];
	int result = put_kernel(d, q, r, why);

	if (result != 0)
		return result;
	request_put(r, "domid", "%u", xid);
	memory_describe(d, q, r);
	request_put(r, "vcpus", "%" PRId64, property_int(m, q, PROP_vcpus));
	request_put(r, "cmdline", "%s", property_text(m, q, PROP_kernelopts, buf));
	request_put(r, "debug", "%d", property_bool(m, q, PROP_debug));
	request_put(r, "run_dir", "%s", d->paths.run);
	request_put(r, "uid", "%u", geteuid() == 0 ? UID_BASE + xid : 0);
	for (unsigned i = 0; i < N_DISKS; i++)
		request_put_volume(r, disk_name((enum disk)i), d, q, i);
	return 0;
}

int power_describe_start(const struct qubesd *d, const struct qube *q, unsigned xid,
			 struct request *r, struct refusal *why)
{
	const struct model *m = d->model;
	const char *qrexec = feature(m, q, "qrexec");
	char buf[PROPERTY_BUF];
	int result = power_describe_machine(d, q, xid, r, why);

	if (result != 0)
		return result;
	request_put(r, "name", "%s", q->name);
	request_put(r, "uuid", "%s", q->uuid);
	request_put(r, "default_user", "%s", property_text(m, q, PROP_default_user, buf));
	power_describe_log(d, q, r);
	/* a guest that has said nothing is taken to have an agent */
	request_put(r, "qrexec", "%d", !qrexec || qrexec[0] != '\0');
	request_put(r, "qrexec_timeout", "%" PRId64, property_int(m, q, PROP_qrexec_timeout));
	put_entries(m, q, r);
	return 0;
}
