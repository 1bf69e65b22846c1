/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-tags: list, set and remove a qube's tags */
#include "qvm.h"

#include "base/str.h"
#include "grid.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

enum { JSON = OPTION_OWN };
enum verb { LIST, ADD, DEL };

static int parse_verb(const char *word)
{
	static const struct {
		const char *word;
		enum verb verb;
	} verbs[] = {
		{"list", LIST}, {"ls", LIST}, {"l", LIST}, {"add", ADD},   {"a", ADD},
		{"set", ADD},   {"del", DEL}, {"d", DEL},  {"unset", DEL}, {"u", DEL},
	};

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (str_eq(word, verbs[i].word))
			return (int)verbs[i].verb;
	}
	return -1;
}

/* ["mail", "office"] */
static void put_json(char *lines)
{
	const char *tag, *between = "";

	(void)putchar('[');
	while ((tag = strsep(&lines, "\n")) && tag[0] != '\0') {
		(void)fputs(between, stdout);
		json_put_text(tag);
		between = ", ";
	}
	(void)puts("]");
}

static int list(const struct args *a, const char *qube)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	int r = qubesd_call(a, "admin.vm.tag.List", qube, NULL, NULL, &answer);

	if (r == 0 && args_has(a, JSON))
		put_json(answer.data);
	else if (r == 0)
		(void)fputs(answer.data, stdout);
	return r;
}

/* the exit code says it */
static int has(const struct args *a, const char *qube, const char *tag)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	int r = qubesd_call(a, "admin.vm.tag.Get", qube, tag, NULL, &answer);

	if (r != 0)
		return r;
	if (str_eq(answer.data, "1"))
		(void)puts(tag);
	return str_eq(answer.data, "1") ? 0 : 1;
}

static int change(const struct args *a, enum verb verb)
{
	for (unsigned i = 2; i < a->n_words; i++) {
		AUTO(client_answer_done) struct client_answer answer = {0};
		int r = client_call(NULL, verb == ADD ? "admin.vm.tag.Set" : "admin.vm.tag.Remove",
				    a->words[0], a->words[i], NULL, 0, NO_FD, &answer);

		if (r == CLIENT_E_EXCEPTION && str_eq(answer.type, "QubesTagNotFoundError"))
			continue; /* as it shall be */
		if (r != 0)
			return qubesd_failed(a, a->words[0], r, &answer);
	}
	return 0;
}

static int run(const struct args *a)
{
	int verb = a->n_words > 1 ? parse_verb(a->words[1]) : (int)LIST;

	if (a->n_words == 0) {
		(void)ui_usage(a, "name a qube");
		return 2;
	}
	if (verb < 0) {
		(void)ui_usage(a, "behind the qube stands list, add or del, not %s", a->words[1]);
		return 2;
	}
	if (verb == LIST && a->n_words > 3) {
		(void)ui_usage(a, "list looks for one tag at a time");
		return 2;
	}
	if (verb != LIST && a->n_words < 3) {
		(void)ui_usage(a, "name a tag");
		return 2;
	}
	if (args_has(a, JSON) && (verb != LIST || a->n_words > 2)) {
		(void)ui_usage(a, "--json is for the list of all tags");
		return 2;
	}
	if (verb == LIST)
		return a->n_words < 3 ? list(a, a->words[0]) : has(a, a->words[0], a->words[2]);
	return change(a, (enum verb)verb);
}

static const struct option options[] = {
	{JSON, 0, "json", NULL, "list: for programs, as one list"},
	{0},
};

const struct command qvm_tags = {
	.name = "tags",
	.summary = "list, set and remove tags of a qube",
	.synopses = {"[--json] QUBE [list [TAG]]", "QUBE add TAG...", "QUBE del TAG..."},
	.text = "A tag is a word that goes with a qube; rules of the policy may name qubes by "
		"their tags (@tag:WORD).\n"
		"A change holds for the next call that is decided.\n\n"
		"list (or ls, l) prints the tags, one a line; with a TAG the exit status says "
		"whether the qube has it:\n"
		"0 or 1. add (a, set) and del (d, unset, u) do nothing about a tag that is as it "
		"shall be already.\n\n"
		"created-by-QUBE says who made the qube; guivm-QUBE and audiovm-QUBE follow the "
		"properties guivm and\n"
		"audiovm.",
	.sections = {{"EXAMPLES", "\tqvm-tags work add mail office\n"
				  "\tqvm-tags work del office\n"
				  "\tif qvm-tags work list mail; then ... fi\n"
				  "\tqvm-ls --tags mail"}},
	.options = options,
	.words = {WORDS_ANY_QUBE, WORDS_TAG_VERB, WORDS_TAG},
	.run = run,
};
