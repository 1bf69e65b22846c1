/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-service: what a qube starts at its boot; a service is the feature service.NAME */
#include "qvm.h"

#include "base/str.h"
#include "grid.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PREFIX "service."

enum { LIST = OPTION_OWN, ENABLE, DISABLE, DEFAULT, JSON };

static const char *on_off(const struct client_answer *value)
{
	return value->len > 0 ? "on" : "off";
}

/* 0 or an exit code */
static int add(const struct args *a, const char *qube, const char *feature, struct grid *g)
{
	AUTO(client_answer_done) struct client_answer value = {0};
	int r = client_call(NULL, "admin.vm.feature.Get", qube, feature, NULL, 0, NO_FD, &value);

	if (r == CLIENT_E_EXCEPTION && str_eq(value.type, "QubesFeatureNotFoundError"))
		return 0; /* it has gone meanwhile */
	if (r != 0)
		return qubesd_failed(a, qube, r, &value);
	grid_add(g, "%s", feature + strlen(PREFIX));
	grid_add(g, "%s", on_off(&value));
	return 0;
}

static int list(const struct args *a, const char *qube)
{
	static const char *const titles[] = {"SERVICE", "STATE", NULL};
	AUTO(client_answer_done) struct client_answer names = {0};
	AUTO(grid_done) struct grid g = {.titles = titles};
	size_t width = 0;

	if (qubesd_call(a, "admin.vm.feature.List", qube, NULL, NULL, &names) != 0)
		return 1;
	for (char *at = names.data, *next; *at != '\0'; at = next) {
		size_t len = strcspn(at, "\n");

		next = at + len + (at[len] == '\n');
		at[len] = '\0';
		if (str_starts(at, PREFIX) && add(a, qube, at, &g) != 0)
			return 1;
	}
	if (args_has(a, JSON))
		return grid_put(a, &g, GRID_JSON);
	for (size_t i = 0; i < g.n_cells; i += 2)
		width = strlen(g.cells[i]) > width ? strlen(g.cells[i]) : width;
	for (size_t i = 0; i + 1 < g.n_cells; i += 2)
		(void)printf("%-*s  %s\n", (int)width, g.cells[i], g.cells[i + 1]);
	return 0;
}

static int show(const struct args *a, const char *qube, const char *service, const char *feature)
{
	AUTO(client_answer_done) struct client_answer value = {0};
	int r = client_call(NULL, "admin.vm.feature.Get", qube, feature, NULL, 0, NO_FD, &value);

	if (r == CLIENT_E_EXCEPTION && str_eq(value.type, "QubesFeatureNotFoundError"))
		return ui_fail(a, "nothing is set about %s: %s decides itself", service, qube);
	if (r != 0)
		return qubesd_failed(a, qube, r, &value);
	(void)puts(on_off(&value));
	return 0;
}

/* 1 on, 0 off, -1 neither */
static int parse_state(const char *word)
{
	static const char *const words[][2] = {
		{"off", "on"}, {"0", "1"}, {"no", "yes"}, {"false", "true"}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		for (int on = 0; on < 2; on++) {
			if (strcasecmp(word, words[i][on]) == 0)
				return on;
		}
	}
	return -1;
}

static int wrong(const struct args *a)
{
	unsigned n_options = 0;

	for (unsigned i = 0; i < a->n_given; i++)
		n_options += a->given[i].key >= LIST && a->given[i].key <= DEFAULT;
	if (a->n_words == 0)
		return ui_usage(a, "name a qube");
	if (n_options > 1)
		return ui_usage(a, "-l, -e, -d and -D exclude each other");
	if ((args_has(a, LIST) || args_has(a, JSON)) && a->n_words != 1)
		return ui_usage(a, "a list goes with a qube alone");
	if ((args_has(a, ENABLE) || args_has(a, DISABLE) || args_has(a, DEFAULT)) &&
	    a->n_words != 2)
		return ui_usage(a, "-e, -d and -D go with a qube and a service");
	if (a->n_words > 3)
		return ui_usage(a, "a qube, a service, and on or off");
	if (a->n_words == 3 && parse_state(a->words[2]) < 0)
		return ui_usage(a, "a service is on or off, not %s", a->words[2]);
	return 0;
}

static int run(const struct args *a)
{
	char feature[300];
	bool on;

	if (wrong(a) != 0)
		return 2;
	if (a->n_words == 1)
		return list(a, a->words[0]);
	if (str_format(feature, sizeof(feature), PREFIX "%s", a->words[1]) < 0)
		return ui_fail(a, "too long");
	if (args_has(a, DEFAULT)) {
		AUTO(client_answer_done) struct client_answer answer = {0};
		int r = client_call(NULL, "admin.vm.feature.Remove", a->words[0], feature, NULL, 0,
				    NO_FD, &answer);

		if (r == CLIENT_E_EXCEPTION && str_eq(answer.type, "QubesFeatureNotFoundError"))
			return 0; /* as it shall be */
		return r == 0 ? 0 : qubesd_failed(a, a->words[0], r, &answer);
	}
	if (a->n_words == 2 && !args_has(a, ENABLE) && !args_has(a, DISABLE))
		return show(a, a->words[0], a->words[1], feature);
	on = a->n_words == 3 ? parse_state(a->words[2]) == 1 : args_has(a, ENABLE);
	return qubesd_call(a, "admin.vm.feature.Set", a->words[0], feature, on ? "1" : "", NULL);
}

static const struct option options[] = {
	{LIST, 'l', "list", NULL, "list the services something is set about, as without options"},
	{ENABLE, 'e', "enable", NULL, "switch the service on"},
	{DISABLE, 'd', "disable", NULL, "switch the service off"},
	{DEFAULT, 'D', "default,delete,unset", NULL, "set nothing: the qube decides itself"},
	{JSON, 0, "json", NULL, "for programs: the list as objects"},
	{0},
};

const struct command qvm_service = {
	.name = "service",
	.summary = "say what services a qube starts",
	.synopses = {"[--list] [--json] QUBE", "QUBE SERVICE [on|off]",
		     "{--enable|--disable|--default} QUBE SERVICE"},
	.text = "Says from outside which services a qube starts. Inside, /run/qubes-service/SERVICE "
		"is there if the\n"
		"service is on, and units depend on that. A service nothing is set about is "
		"decided by the qube, after\n"
		"its class and template. A change counts at the qube's next start.\n\n"
		"With a qube and a service alone it says on or off; exit status 1 if nothing is "
		"set. A service is the\n"
		"feature service.SERVICE: see qvm-features(1).",
	.sections =
		{
			{"SERVICES",
			 "\tclocksync             asks the network for the time\n"
			 "\tcrond                 runs cron\n"
			 "\tcups                  runs the print server\n"
			 "\tnetwork-manager       runs NetworkManager\n"
			 "\tqubes-firewall        applies the firewall rules of its clients\n"
			 "\tqubes-network         gives network to other qubes\n"
			 "\tqubes-update-check    looks for updates and tells dom0\n"
			 "\tqubes-updates-proxy   lets other qubes fetch packages through it\n"
			 "\tupdates-proxy-setup   fetches packages through such a proxy\n\n"
			 "A template may know others."},
			{"EXAMPLES", "\tqvm-service work\n"
				     "\tqvm-service work cups off\n"
				     "\tqvm-service --default work cups"},
		},
	.options = options,
	.words = {WORDS_ANY_QUBE, WORDS_SERVICE, WORDS_ON_OFF},
	.run = run,
};
