/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-create: a new qube, whole or not at all */
#include "qvm.h"

#include "base/str.h"
#include "qubesd.h"
#include "ui.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
	CLASS = OPTION_OWN,
	PROPERTY,
	TEMPLATE,
	LABEL,
	POOL,
	POOLS,
	ROOT_COPY,
	ROOT_MOVE,
	HELP_CLASSES,
	DISP,
};

static const struct {
	const char *name, *help;
} classes[] = {
	{"AppVM", "root comes from a template anew at each start; home and /usr/local are its own"},
	{"StandaloneVM", "everything is its own; with a template it begins as a copy of it"},
	{"TemplateVM", "what AppVMs are made from"},
	{"DispVM", "forgets everything at shutdown; its template is an AppVM for disposables"},
	{"RemoteVM", "runs elsewhere: a name for policies, reached through its relayvm"},
};

/* what the options ask for, looked through before anything is done */
struct plan {
	const struct args *a;
	const char *name, *class, *label, *template, *root_file;
	char payload[4096];
};

/* property NAME=VALUE; *@ret_value points behind the = */
static const char *property_value(const char *pair, const char *name)
{
	size_t len = strlen(name);

	return strncmp(pair, name, len) == 0 && pair[len] == '=' ? pair + len + 1 : NULL;
}

int qvm_pools(const struct args *a, int all_key, int one_key, char *payload, size_t size)
{
	const char *pool = args_value(a, all_key);
	size_t n = strlen(payload);

	if (pool && args_has(a, one_key)) {
		(void)ui_usage(a, "-P is for all volumes, --pool for single ones: not both");
		return 2;
	}
	if (pool)
		n += (size_t)snprintf(payload + n, size - n, " pool=%s", pool);
	for (unsigned i = 0; i < a->n_given && n < size; i++) {
		const char *value = a->given[i].value, *at;

		if (a->given[i].key != one_key)
			continue;
		at = strpbrk(value, "=:");
		if (!at || at == value || at[1] == '\0') {
			(void)ui_usage(a, "--pool wants VOLUME=POOL, not %s", value);
			return 2;
		}
		/* POOL:VOLUME is how old scripts have it */
		if (*at == '=')
			n += (size_t)snprintf(payload + n, size - n, " pool:%.*s=%s",
					      (int)(at - value), value, at + 1);
		else
			n += (size_t)snprintf(payload + n, size - n, " pool:%s=%.*s", at + 1,
					      (int)(at - value), value);
	}
	return n < size ? 0 : ui_fail(a, "too long");
}

int qvm_no_name(const struct args *a, const char *name)
{
	return ui_fail(a,
		       "\"%s\" is no name for a qube: a letter, then letters, digits, _ . -, "
		       "at most %u in all; not none, default or Domain-0, and not ending in -dm",
		       name, QUBE_NAME_MAX);
}

static int plan(struct plan *p)
{
	const struct args *a = p->a;
	bool known = false, based;

	if (a->n_words != 1) {
		(void)ui_usage(a, a->n_words == 0 ? "name the new qube" : "one name at a time");
		return 2;
	}
	p->name = a->words[0];
	p->class = args_value(a, CLASS);
	p->label = args_value(a, LABEL);
	p->template = args_value(a, TEMPLATE);
	for (unsigned i = 0; i < a->n_given; i++) {
		const char *pair = a->given[i].value, *value;

		if (a->given[i].key != PROPERTY)
			continue;
		if (!strchr(pair, '=') || pair[0] == '=') {
			(void)ui_usage(a, "--property wants NAME=VALUE, not %s", pair);
			return 2;
		}
		value = property_value(pair, "label");
		p->label = value ? value : p->label;
		value = property_value(pair, "template");
		p->template = value ? value : p->template;
	}
	if (args_has(a, DISP)) {
		p->class = p->class ? p->class : "DispVM";
		p->label = p->label ? p->label : "red";
	}
	p->class = p->class ? p->class : "AppVM";
	if (!p->label) {
		(void)ui_usage(a, "--label is missing; it is one of " LABELS);
		return 2;
	}
	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		known = known || str_eq(classes[i].name, p->class);
	if (!known)
		return ui_fail(a, "there is no class %s; --help-classes shows them", p->class);
	if (!str_is_qube_name(p->name, strlen(p->name)))
		return qvm_no_name(a, p->name);
	if (strpbrk(p->label, " \t\n") || p->label[0] == '\0')
		return ui_fail(a, "there is no label '%s'; there are: " LABELS, p->label);
	if (str_eq(p->class, "TemplateVM") && p->template)
		return ui_fail(
			a,
			"a template has no template; a copy of one is made with: qvm-clone %s %s",
			p->template, p->name);
	if (str_eq(p->class, "RemoteVM") &&
	    (p->template || args_has(a, POOL) || args_has(a, POOLS)))
		return ui_fail(a, "a qube of class RemoteVM runs elsewhere: here it has neither a "
				  "template nor volumes in pools");
	based = str_eq(p->class, "AppVM") || str_eq(p->class, "DispVM");
	if (based && str_eq(p->template, "")) {
		(void)ui_usage(a,
			       "a qube of class %s needs a template; without --template it is %s",
			       p->class,
			       str_eq(p->class, "AppVM") ? "default_template" : "default_dispvm");
		return 2;
	}
	p->root_file =
		args_value(a, ROOT_COPY) ? args_value(a, ROOT_COPY) : args_value(a, ROOT_MOVE);
	if (args_has(a, ROOT_COPY) && args_has(a, ROOT_MOVE)) {
		(void)ui_usage(a, "--root-copy-from and --root-move-from exclude each other");
		return 2;
	}
	if (p->root_file && (based || str_eq(p->class, "RemoteVM")))
		return ui_fail(a, "a qube of class %s has no root of its own to import into",
			       p->class);
	if (str_format(p->payload, sizeof(p->payload), "name=%s label=%s", p->name, p->label) < 0)
		return ui_fail(a, "too long");
	return qvm_pools(a, POOL, POOLS, p->payload, sizeof(p->payload));
}

/* root as a copy of the template's */
static int copy_root(const struct plan *p)
{
	struct client_answer token;
	int r;

	r = qubesd_call(p->a, "admin.vm.volume.CloneFrom", p->template, "root", NULL, &token);
	if (r == 0)
		r = qubesd_call(p->a, "admin.vm.volume.CloneTo", p->name, "root", token.data, NULL);
	client_answer_done(&token);
	return r;
}

static int import_root(const struct plan *p, int file)
{
	AUTO(client_answer_done) struct client_answer answer;
	int r = client_call(NULL, "bulkhead.vm.volume.ImportFile", p->name, "root", NULL, 0, file,
			    &answer);

	if (r != 0)
		return qubesd_failed(p->a, p->name, r, &answer);
	if (args_has(p->a, ROOT_MOVE))
		(void)unlink(p->root_file);
	return 0;
}

static int set_properties(const struct plan *p)
{
	for (unsigned i = 0; i < p->a->n_given; i++) {
		const char *pair = p->a->given[i].value, *equals;
		char name[64];

		if (p->a->given[i].key != PROPERTY || property_value(pair, "label") ||
		    property_value(pair, "template"))
			continue;
		equals = strchr(pair, '=');
		if (str_copy(name, sizeof(name), pair, (size_t)(equals - pair)) < 0)
			return ui_fail(p->a, "there is no property %s", pair);
		if (qubesd_call(p->a, "admin.vm.property.Set", p->name, name,
				qvm_property_value(name, equals + 1), NULL) != 0)
			return 1;
	}
	return 0;
}

static int run(const struct args *a)
{
	struct plan p = {.a = a};
	AUTO_CLOSE int file = NO_FD;
	AUTO(client_answer_done) struct client_answer gone = {0};
	char method[64];
	bool copies;
	int r;

	if (args_has(a, HELP_CLASSES)) {
		for (size_t i = 0; i < ARRAY_LEN(classes); i++)
			(void)printf("%-13s %s\n", classes[i].name, classes[i].help);
		return 0;
	}
	r = plan(&p);
	if (r != 0)
		return r;
	if (p.root_file) {
		file = open(p.root_file, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return ui_fail_errno(a, p.root_file, -errno);
	}
	copies = str_eq(p.class, "StandaloneVM") && p.template && p.template[0] != '\0';
	r = str_format(method, sizeof(method), "admin.vm.Create%s.%s",
		       args_has(a, POOL) || args_has(a, POOLS) ? "InPool" : "", p.class);
	if (r < 0)
		return ui_fail(a, "too long");
	if (qubesd_call(a, method, "dom0", copies ? NULL : p.template, p.payload, NULL) != 0)
		return 1;
	r = copies ? copy_root(&p) : 0;
	r = r != 0 ? r : set_properties(&p);
	r = r != 0 || !p.root_file ? r : import_root(&p, file);
	/* whole or not at all */
	if (r != 0 && qubesd_remove(p.name, &gone) != 0)
		(void)ui_fail(a, "%s stays behind unfinished; remove it with: qvm-remove %s",
			      p.name, p.name);
	return r;
}

static const struct option options[] = {
	{LABEL, 'l', "label", "LABEL", "how far you trust it: " LABELS, .words = WORDS_LABEL},
	{TEMPLATE, 't', "template", "TEMPLATE",
	 "made from this template (otherwise default_template, or default_dispvm for a DispVM)",
	 .words = WORDS_TEMPLATE},
	{CLASS, 'C', "class", "CLASS", "what kind of qube (otherwise AppVM): see --help-classes",
	 .words = WORDS_CLASS},
	{HELP_CLASSES, 0, "help-classes", NULL, "list the classes and exit"},
	{PROPERTY, 0, "property,prop", "NAME=VALUE", "set this property too (may be repeated)"},
	{POOL, 'P', "pool-all", "POOL", "keep its volumes in this pool"},
	{POOLS, 'p', "pool", "VOLUME=POOL", "keep this volume in this pool (may be repeated)"},
	{ROOT_COPY, 'r', "root-copy-from", "FILE", "its root volume is a copy of this raw image",
	 .words = WORDS_FILE},
	{ROOT_MOVE, 'R', "root-move-from", "FILE", "the same, and the file is deleted afterwards",
	 .words = WORDS_FILE},
	{DISP, 0, "disp", NULL, "short for --class DispVM --label red"},
	{0},
};

const struct command qvm_create = {
	.name = "create",
	.summary = "create a qube",
	.synopses = {"--label=LABEL [--template=TEMPLATE] [OPTION]... NAME", "--help-classes"},
	.text = "Creates a qube. It takes almost no space until it is used. If anything fails, a "
		"property that is\n"
		"refused for example, no qube is left.",
	.sections =
		{
			{"CLASSES",
			 "AppVM: its root volume comes from a template anew at each "
			 "start; what persists "
			 "is /home,\n"
			 "/usr/local and what else is kept in /rw. StandaloneVM: "
			 "everything is its own; "
			 "with a template it\n"
			 "begins as a copy. TemplateVM: what AppVMs are made from. DispVM: "
			 "a disposable that\n"
			 "has a name and stays, but forgets all at each shutdown; its "
			 "template is an AppVM\n"
			 "whose template_for_dispvms is True. qvm-run --dispvm makes those "
			 "for one use. RemoteVM: a\n"
			 "qube that runs elsewhere and is known here by its name: properties relayvm, "
			 "transport_rpc and\n"
			 "remote_name; it is not started."},
			{"EXAMPLES",
			 "\tqvm-create --label blue work\n"
			 "\tqvm-create -t debian-12 -l red --property memory=600 untrusted\n"
			 "\tqvm-create --disp -t web-dvm shop\n"
			 "\tqvm-create -C StandaloneVM -t debian-12 -l gray builder"},
		},
	.options = options,
	.words = {WORDS_NONE},
	.run = run,
};
