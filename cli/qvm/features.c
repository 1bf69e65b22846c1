/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-features: show and set a qube's features */
#include "qvm.h"

#include "base/str.h"
#include "grid.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

enum { UNSET = OPTION_OWN, JSON };

/* lines "NAME  VALUE" in order of names, which is qubesd's, or a JSON object */
static int list(const struct args *a, const char *qube)
{
	AUTO(client_answer_done) struct client_answer names = {0};
	bool json = args_has(a, JSON);
	const char *between = "{";
	size_t width = 0;

	if (qubesd_call(a, "admin.vm.feature.List", qube, NULL, NULL, &names) != 0)
		return 1;
	for (const char *at = names.data; *at != '\0'; at += strcspn(at, "\n") + 1) {
		if (strcspn(at, "\n") > width)
			width = strcspn(at, "\n");
	}
	for (char *at = names.data, *next; *at != '\0'; at = next) {
		AUTO(client_answer_done) struct client_answer value = {0};
		int r;

		next = strchr(at, '\n');
		if (!next)
			return ui_fail(a, "%s: qubesd's answer cannot be understood", qube);
		*next++ = '\0';
		r = client_call(NULL, "admin.vm.feature.Get", qube, at, NULL, 0, NO_FD, &value);
		if (r == CLIENT_E_EXCEPTION && str_eq(value.type, "QubesFeatureNotFoundError"))
			continue; /* it has gone meanwhile */
		if (r != 0)
			return qubesd_failed(a, qube, r, &value);
		if (json) {
			(void)printf("%s\n ", between);
			json_put_text(at);
			(void)fputs(": ", stdout);
			json_put_text(value.data);
			between = ",";
			continue;
		}
		(void)printf("%-*s%s%s\n", value.len > 0 ? (int)width : 0, at,
			     value.len > 0 ? "  " : "", value.data);
	}
	if (json)
		(void)printf("%s\n}\n", between[0] == '{' ? "{" : "");
	return 0;
}

static int get(const struct args *a, const char *qube, const char *feature)
{
	AUTO(client_answer_done) struct client_answer value = {0};

	if (qubesd_call(a, "admin.vm.feature.Get", qube, feature, NULL, &value) != 0)
		return 1;
	(void)puts(value.data);
	return 0;
}

static int run(const struct args *a)
{
	if (a->n_words == 0 || a->n_words > 3) {
		(void)ui_usage(a, a->n_words == 0 ? "name a qube"
						  : "a qube, a feature and a value; quote a value "
						    "that has spaces");
		return 2;
	}
	if (args_has(a, UNSET) && a->n_words != 2) {
		(void)ui_usage(a, "--unset goes with a qube and a feature, without a value");
		return 2;
	}
	if (args_has(a, JSON) && a->n_words != 1) {
		(void)ui_usage(a, "--json is for the list of all features");
		return 2;
	}
	if (a->n_words == 1)
		return list(a, a->words[0]);
	if (args_has(a, UNSET))
		return qubesd_call(a, "admin.vm.feature.Remove", a->words[0], a->words[1], NULL,
				   NULL);
	if (a->n_words == 2)
		return get(a, a->words[0], a->words[1]);
	return qubesd_call(a, "admin.vm.feature.Set", a->words[0], a->words[1], a->words[2], NULL);
}

static const struct option options[] = {
	{UNSET, 'D', "unset,default,delete", NULL, "remove the feature"},
	{JSON, 0, "json", NULL, "for programs: the list as one object"},
	{0},
};

const struct command qvm_features = {
	.name = "features",
	.summary = "show and set features of a qube",
	.synopses = {"[--json] QUBE", "QUBE FEATURE", "QUBE FEATURE VALUE", "--unset QUBE FEATURE"},
	.text = "A feature is a name and a text that go with a qube. Most are kept for programs: "
		"what a template has\n"
		"said that it can do, what a program remembers. Where a feature is a yes or no, "
		"the empty value is no\n"
		"and any other yes, usually 1; one that is not there leaves the matter to whoever "
		"asks.\n\n"
		"With a qube alone all its features are listed, with a feature its value is shown; "
		"exit status 1 if it\n"
		"has none of that name. A name has letters, digits and _.- in it, a value printable "
		"ASCII.",
	.sections = {{"FEATURES",
		      "\tservice.NAME       /qubes-service/NAME of the qube's QubesDB: 1 or 0\n"
		      "\tvm-config.NAME     /vm-config/NAME there, as it is\n"
		      "\ttimezone           told the qube instead of this machine's\n"
		      "\tanon-timezone      this machine's time zone is not told the qube\n"
		      "\tqrexec             empty: a start does not wait for the qube's agent\n"
		      "\tprohibit-start     the qube is not started, and this is said\n"
		      "\tinternal           programs that show qubes leave this one out\n"
		      "\tupdates-available  reported by the qube\n"
		      "\tsupported-*, os*   reported by the template\n\n"
		      "The first two a running qube sees at once, the others count at its next "
		      "start."},
		     {"EXAMPLES", "\tqvm-features work\n"
				  "\tqvm-features work service.cups 1\n"
				  "\tqvm-features work service.cups ''\n"
				  "\tqvm-features --unset work service.cups"}},
	.options = options,
	.words = {WORDS_ANY_QUBE, WORDS_FEATURE, WORDS_TEXT},
	.run = run,
};
