/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "definitions.h"

#include "base/str.h"
#include "proto/firewall.h"
#include "proto/import.h"

#include <limits.h>
#include <string.h>

static const char *const admin = "dom0";

static bool is_one_of(const char *name, const char *const *list)
{
	while (*list && !str_eq(*list, name))
		list++;
	return *list != NULL;
}

const char *translation_of(const struct translation *t, const char *name)
{
	size_t len = name ? strlen(name) : 0;

	for (unsigned i = 0; name && i < t->n; i++)
		if (strncmp(t->words[i], name, len) == 0 && t->words[i][len] == '=')
			return t->words[i] + len + 1;
	return NULL;
}

/* the name that a qube of the file has here */
static const char *name_here(const struct definitions *d, const char *name)
{
	const char *new = translation_of(&d->templates, name);

	if (!new)
		new = translation_of(&d->renamed, name);
	return new ? new : name;
}

/* a field of a line (NULL: empty), and what ends it: the file's own words end neither */
static void put_field(FILE *to, const char *words, char end)
{
	for (; words && *words != '\0'; words++)
		(void)fputc(*words == '\t' || *words == '\n' ? '?' : *words, to);
	(void)fputc(end, to);
}

static void note(struct definitions *d, const char *who, const char *what, const char *why)
{
	put_field(d->notes, who, '\t');
	put_field(d->notes, what, '\t');
	put_field(d->notes, why, '\n');
}

static void put(struct definitions *d, enum import_kind kind, const char *const *fields)
{
	static char buf[IMPORT_FIELDS_MAX * (IMPORT_FIELD_MAX + 1) + 64];
	struct import_record r = {.kind = kind};
	size_t len;

	for (unsigned i = 0; i < import_n_fields(kind); i++)
		r.fields[i] = fields[i] ? fields[i] : "";
	len = import_encode(&r, buf, sizeof(buf));
	if (len > 0)
		(void)fwrite(buf, 1, len, d->records);
	else
		note(d, r.fields[0], r.fields[1], "it is too long");
}

#define PUT(d, kind, ...) put(d, kind, (const char *const[IMPORT_FIELDS_MAX]){__VA_ARGS__})

/* ---- labels ---- */

/* a label by its id, as "label-8", or its name */
static const char *label_name(const struct xml *root, const char *value)
{
	const struct xml *labels = xml_child(root, "labels", NULL), *one = NULL;

	while ((one = xml_child(labels, "label", one)))
		if (str_eq(xml_attribute(one, "id"), value))
			return one->text;
	return value;
}

static void write_labels(struct definitions *d, const struct xml *root)
{
	const struct xml *labels = xml_child(root, "labels", NULL), *one = NULL;

	while ((one = xml_child(labels, "label", one)))
		PUT(d, IMPORT_LABEL, one->text, xml_attribute(one, "color"));
}

/* ---- properties ---- */

static const struct xml *property(const struct xml *of, const char *name)
{
	const struct xml *all = xml_child(of, "properties", NULL), *one = NULL;

	while ((one = xml_child(all, "property", one)))
		if (str_eq(xml_attribute(one, "name"), name))
			return one;
	return NULL;
}

/* what is set; NULL: nothing is, or to the default */
static const char *value_of(const struct xml *one)
{
	const char *by_default = one ? xml_attribute(one, "default") : NULL;
	const char *ref = one ? xml_attribute(one, "ref") : NULL;

	if (!one || str_eq(by_default, "True") || str_eq(by_default, "yes"))
		return NULL;
	return ref ? ref : one->text;
}

static const char *property_value(const struct xml *of, const char *name)
{
	return value_of(property(of, name));
}

/* a property of @who ("" = the system) */
static void write_property(struct definitions *d, const struct xml *root, const char *who,
			   const struct xml *one)
{
	/* what follows from something else here, or is said in another way */
	static const char *const own[] = {"name",
					  "qid",
					  "uuid",
					  "dispid",
					  "klass",
					  "icon",
					  "stubdom_uuid",
					  "stubdom_xid",
					  "xid",
					  "start_time",
					  "installed_by_rpm",
					  NULL};
	static const char *const qubes[] = {
		"template",        "netvm",    "default_dispvm",   "management_dispvm",
		"guivm",           "audiovm",  "relayvm",          "default_netvm",
		"clockvm",         "updatevm", "default_template", "default_guivm",
		"default_audiovm", NULL};
	static const char *const pools[] = {"default_pool",         "default_pool_root",
					    "default_pool_private", "default_pool_volatile",
					    "default_pool_kernel",  NULL};
	const char *name = xml_attribute(one, "name"), *value = value_of(one);

	if (!name || !value || is_one_of(name, own))
		return;
	if (str_eq(name, "label"))
		value = label_name(root, value);
	if (is_one_of(name, qubes))
		value = str_eq(value, "None") ? "" : name_here(d, value);
	if (is_one_of(name, pools)) {
		const char *here = translation_of(&d->pools, value);

		if (!here) {
			note(d, who[0] != '\0' ? who : "system", name,
			     "that pool is not here: --pool says which one is");
			return;
		}
		value = here;
	}
	PUT(d, IMPORT_PROPERTY, who, name, value);
}

static void write_properties(struct definitions *d, const struct xml *root, const char *who,
			     const struct xml *of)
{
	const struct xml *all = xml_child(of, "properties", NULL), *one = NULL;

	while ((one = xml_child(all, "property", one)))
		write_property(d, root, who, one);
}

/* ---- the firewall ---- */

/* a rule of the file's second version is a list of properties */
static void add_rule(const struct xml *rule, FILE *rules, bool *ret_bad)
{
	static const struct {
		const char *name, *word;
	} words[] = {{"action", "action"},     {"proto", "proto"},
		     {"dsthost", "dsthost"},   {"dstports", "dstports"},
		     {"icmptype", "icmptype"}, {"specialtarget", "specialtarget"},
		     {"expire", "expire"},     {"comment", "comment"}};
	char line[FIREWALL_LINE_MAX + 1] = "";
	struct firewall_rule decoded;
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		const char *value = property_value(rule, words[i].name);
		int n;

		if (!value)
			continue;
		n = snprintf(line + len, sizeof(line) - len, "%s%s=%s", len > 0 ? " " : "",
			     words[i].word, value);
		*ret_bad |= n < 0 || (size_t)n >= sizeof(line) - len;
		if (*ret_bad)
			return;
		len += (size_t)n;
	}
	*ret_bad |= firewall_rule_decode(line, len, &decoded) != 0;
	(void)fprintf(rules, "%s\n", line);
}

static void write_rules(struct definitions *d, const char *who, const struct xml *root)
{
	const struct xml *all = xml_child(root, "rules", NULL), *one = NULL;
	AUTO_FREE char *text = NULL;
	size_t len;
	FILE *rules;
	bool bad = false;

	if (!str_eq(root->name, "firewall") || !str_eq(xml_attribute(root, "version"), "2")) {
		note(d, who, "firewall", "its file is of a version before Qubes R4");
		return;
	}
	rules = open_memstream(&text, &len);
	if (!rules)
		return;
	while ((one = xml_child(all, "rule", one)))
		add_rule(one, rules, &bad);
	(void)fclose(rules);
	/* fewer rules would be another firewall */
	if (!bad) {
		PUT(d, IMPORT_FIREWALL, who, text);
		return;
	}
	note(d, who, "firewall", "there is a rule that is none here, so everything is dropped");
	PUT(d, IMPORT_FIREWALL, who, "");
}

static void write_firewall(struct definitions *d, const char *who, const char *file_name)
{
	static const char *const folders[] = {"", "appvms/", "vm-templates/"};
	char path[PATH_MAX], error[PATH_MAX + 200];

	for (size_t i = 0; d->firewall_dir && i < ARRAY_LEN(folders); i++) {
		struct xml *root = NULL;
		int r;

		if (str_format(path, sizeof(path), "%s/%s%s/firewall.xml", d->firewall_dir,
			       folders[i], file_name) < 0)
			continue;
		r = xml_read(path, &root, error, sizeof(error));
		if (r == -ENOENT || r == -ENOTDIR)
			continue;
		if (r == 0) {
			write_rules(d, who, root);
			xml_free(root);
			return;
		}
		note(d, who, "firewall", "its file cannot be read, so everything is dropped");
		PUT(d, IMPORT_FIREWALL, who, "");
		return;
	}
}

/* ---- what else a qube has ---- */

static void write_volumes(struct definitions *d, const char *who, const struct xml *domain)
{
	static const char *const known[] = {"root", "private", "volatile", NULL};
	const struct xml *all = xml_child(domain, "volume-config", NULL), *one = NULL;

	while ((one = xml_child(all, "volume", one))) {
		const char *name = xml_attribute(one, "name"), *pool = xml_attribute(one, "pool");

		if (!name || str_eq(name, "kernel"))
			continue;
		if (!is_one_of(name, known)) {
			note(d, who, name, "there is no such volume here");
			continue;
		}
		PUT(d, IMPORT_VOLUME, who, name, pool ? translation_of(&d->pools, pool) : "",
		    xml_attribute(one, "size"), xml_attribute(one, "revisions_to_keep"));
	}
}

static void write_features(struct definitions *d, const char *who, const struct xml *domain)
{
	const struct xml *all = xml_child(domain, "features", NULL), *one = NULL;

	while ((one = xml_child(all, "feature", one)))
		PUT(d, IMPORT_FEATURE, who, xml_attribute(one, "name"), one->text);
}

static void write_tags(struct definitions *d, const char *who, const struct xml *domain)
{
	static const char *const prefixes[] = {"created-by-", "disp-created-by-", "guivm-",
					       "audiovm-"};
	const struct xml *all = xml_child(domain, "tags", NULL), *one = NULL;

	while ((one = xml_child(all, "tag", one))) {
		const char *name = xml_attribute(one, "name");
		char tag[512];

		for (size_t i = 0; name && i < ARRAY_LEN(prefixes); i++) {
			size_t len = strlen(prefixes[i]);

			if (str_starts(name, prefixes[i]) &&
			    str_format(tag, sizeof(tag), "%s%s", prefixes[i],
				       name_here(d, name + len)) == 0) {
				name = tag;
				break;
			}
		}
		PUT(d, IMPORT_TAG, who, name);
	}
}

static void note_devices(struct definitions *d, const char *who, const struct xml *domain)
{
	const struct xml *of_class = NULL, *one = NULL;

	while ((of_class = xml_child(domain, "devices", of_class)))
		while ((one = xml_child(of_class, "device", one))) {
			const char *class = xml_attribute(of_class, "class");
			const char *from = xml_attribute(one, "backend-domain");
			const char *id = xml_attribute(one, "id");
			char what[256];

			(void)snprintf(what, sizeof(what), "device %s %s:%s", class ? class : "?",
				       from ? from : "?", id ? id : "?");
			note(d, who, what, "devices are not there yet");
		}
}

/* what the file has that nobody here knows of: an unknown word may matter */
static void note_unknown(struct definitions *d, const char *who, const struct xml *of,
			 const char *const *known)
{
	for (const struct xml *x = of->first; x; x = x->next)
		if (!is_one_of(x->name, known))
			note(d, who, x->name, "this part of the file is not known");
}

static void write_rest(struct definitions *d, const struct xml *root, const struct xml *domain)
{
	static const char *const known[] = {"properties", "features",      "devices",
					    "tags",       "volume-config", NULL};
	const char *name = property_value(domain, "name");
	const char *who =
		str_eq(xml_attribute(domain, "class"), "AdminVM") ? admin : name_here(d, name);

	if (who != admin)
		write_volumes(d, who, domain);
	write_properties(d, root, who, domain);
	write_features(d, who, domain);
	write_tags(d, who, domain);
	note_devices(d, who, domain);
	note_unknown(d, who, domain, known);
	if (who != admin)
		write_firewall(d, who, name);
}

/* ---- qubes ---- */

/* is it made, or changed? One that is not is noted where the person has not said so */
static bool is_wanted(struct definitions *d, const struct xml *domain, bool tell)
{
	const char *name = property_value(domain, "name");

	if (str_eq(xml_attribute(domain, "class"), "AdminVM"))
		return true;
	for (unsigned i = 0; i < d->n_excluded; i++)
		if (str_eq(d->excluded[i], name))
			return false;
	if (translation_of(&d->templates, name))
		return false;
	if (!str_eq(property_value(domain, "auto_cleanup"), "True"))
		return true;
	if (tell)
		note(d, name, "the qube", "it is a disposable for one use");
	return false;
}

static void write_qube(struct definitions *d, const struct xml *root, const struct xml *domain)
{
	const char *class = xml_attribute(domain, "class");
	const char *name = name_here(d, property_value(domain, "name"));
	const char *label = property_value(domain, "label");
	const char *template = property_value(domain, "template");
	const char *netvm = property_value(domain, "netvm");

	PUT(d, IMPORT_QUBE, class, name);
	put_field(d->table, name, '\t');
	put_field(d->table, class, '\t');
	put_field(d->table, label ? label_name(root, label) : "", '\t');
	put_field(d->table, template ? name_here(d, template) : "", '\t');
	put_field(d->table, netvm ? name_here(d, netvm) : "", '\n');
	d->n_qubes++;
}

static int check(struct definitions *d, const struct xml *root)
{
	const struct xml *domains = xml_child(root, "domains", NULL), *one = NULL;

	if (!str_eq(root->name, "qubes") || !domains) {
		(void)snprintf(d->error, sizeof(d->error),
			       "it is no qubes.xml: its root is '%.100s'%s", root->name,
			       domains ? "" : ", and it has no domains");
		return DEFINITIONS_E_FORMAT;
	}
	while ((one = xml_child(domains, "domain", one))) {
		const char *id = xml_attribute(one, "id");

		if (xml_attribute(one, "class") &&
		    (property_value(one, "name") || str_eq(xml_attribute(one, "class"), "AdminVM")))
			continue;
		(void)snprintf(d->error, sizeof(d->error),
			       "a domain (%.100s) has no class or no name", id ? id : "without id");
		return DEFINITIONS_E_FORMAT;
	}
	return 0;
}

int definitions_write(struct definitions *d, const struct xml *root)
{
	static const char *const known[] = {"labels", "pools", "properties", "domains", NULL};
	const struct xml *domains = xml_child(root, "domains", NULL), *one = NULL;
	int r = check(d, root);

	if (r != 0)
		return r;
	write_labels(d, root);
	while ((one = xml_child(domains, "domain", one)))
		if (is_wanted(d, one, true) && !str_eq(xml_attribute(one, "class"), "AdminVM"))
			write_qube(d, root, one);
	while ((one = xml_child(domains, "domain", one)))
		if (is_wanted(d, one, false))
			write_rest(d, root, one);
	write_properties(d, root, "", root);
	note_unknown(d, "system", root, known);
	if (!d->firewall_dir && d->n_qubes > 0)
		note(d, "system", "firewall rules",
		     "they are in other files (--firewall-dir); without them everything is accepted");
	return 0;
}
