/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes-policy eval: answer a file of policies and questions, for comparing one policy engine with
 * another. A line of the file of cases is a JSON object; a question is answered by a line.
 */
#include "qubes-policy.h"

#include "base/str.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>

#define MAX_SYSTEMS 64
#define MAX_SHOWN   20 /* answers that differ */

enum { CASES = OPTION_OWN, SYSTEM_INFO_DIR, ANSWERS };

struct eval {
	const struct args *args;
	const char *system_dir;
	struct {
		char path[4096];
		struct system system;
	} systems[MAX_SYSTEMS];
	unsigned n_systems;
	FILE *answers; /* to compare with, or NULL */
	unsigned n_answers, n_agree;
};

static int by_path(const void *a, const void *b)
{
	const struct policy_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static int take_object(json_t *object, struct policy_file **ret, unsigned *ret_n)
{
	size_t n = json_object_size(object);
	AUTO_FREE struct policy_file *files = calloc(n + 1, sizeof(*files));
	const char *path;
	json_t *text;

	if (!files)
		return -ENOMEM;
	n = 0;
	json_object_foreach(object, path, text)
	{
		if (!json_is_string(text))
			return -EINVAL;
		files[n++] = (struct policy_file){path, json_string_value(text),
						  json_string_length(text)};
	}
	qsort(files, n, sizeof(*files), by_path);
	*ret_n = (unsigned)n;
	*ret = take_ptr(&files);
	return 0;
}

int ruleset_from_json(json_t *files, json_t *legacy, struct ruleset *ret)
{
	int r;

	*ret = (struct ruleset){0};
	if (!json_is_object(files) || (legacy && !json_is_object(legacy)))
		return -EINVAL;
	r = take_object(files, &ret->own, &ret->files.n_files);
	if (r == 0 && legacy)
		r = take_object(legacy, &ret->legacy, &ret->files.n_legacy);
	ret->files.files = ret->own;
	ret->files.legacy = ret->legacy;
	return r;
}

/* the qubes of sysinfo-NAME.json, read once */
static int find_system(struct eval *e, const char *name, const struct system **ret)
{
	char path[sizeof(e->systems[0].path)];
	json_error_t error;
	json_t *json;
	unsigned i = e->n_systems;
	int r;

	if (!bytes_are_alnum_or(name, strlen(name), "-_") ||
	    str_format(path, sizeof(path), "%s/sysinfo-%s.json", e->system_dir, name) < 0)
		return ui_fail(e->args, "%s is no name of a system", name);
	for (unsigned k = 0; k < e->n_systems; k++) {
		if (str_eq(e->systems[k].path, path)) {
			*ret = &e->systems[k].system;
			return 0;
		}
	}
	if (i == MAX_SYSTEMS)
		return ui_fail(e->args, "more than %d systems", MAX_SYSTEMS);
	json = json_load_file(path, 0, &error);
	if (!json)
		return ui_fail(e->args, "%s: %s", path, error.text);
	r = system_from_json(json, &e->systems[i].system);
	if (r < 0)
		return ui_fail_errno(e->args, path, r);
	memcpy(e->systems[i].path, path, sizeof(path));
	*ret = &e->systems[i].system;
	e->n_systems++;
	return 0;
}

/* "@dispvm:NAME" or "NAME" */
static json_t *target_json(const struct policy_target *t)
{
	return t->name ? json_sprintf("%s%s", t->prefix, t->name) : json_null();
}

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static void add_rule(json_t *to, const struct policy *p, const struct policy_answer *a)
{
	struct policy_rule rule;

	if (a->rule == POLICY_NONE)
		return;
	policy_rule_get(p, a->rule, &rule);
	(void)json_object_set_new(to, "rule", json_sprintf("%s:%u", rule.file, rule.line));
}

/* the lines that a daemon would be sent */
static json_t *response_json(const struct policy_answer *a, const struct policy_request *q)
{
	AUTO_FREE char *text = malloc(POLICY_REPLY_SIZE);
	json_t *to = json_array();

	if (!text || policy_reply(a->view, q, &a->target, a->user, a->autostart, text,
				  POLICY_REPLY_SIZE) < 0)
		return to;
	for (const char *at = text; *at != '\0';) {
		size_t len = strcspn(at, "\n");

		(void)json_array_append_new(to, json_stringn(at, len));
		at += len + (at[len] == '\n');
	}
	return to;
}

static json_t *answer_json(const struct policy *p, const struct policy_answer *a,
			   const struct policy_request *q)
{
	static const char *const verdicts[] = {
		[POLICY_DENY] = "deny", [POLICY_ALLOW] = "allow", [POLICY_ASK] = "ask"};
	json_t *to = json_object(), *targets;
	struct policy_target t;
	uint32_t at = 0;

	(void)json_object_set_new(to, "verdict", json_string(verdicts[a->verdict]));
	(void)json_object_set_new(to, "notify", json_boolean(a->notify));
	add_rule(to, p, a);
	if (a->verdict == POLICY_DENY) {
		(void)json_object_set_new(to, "reason", json_string(policy_reason_text(a->reason)));
		return to;
	}
	(void)json_object_set_new(to, "user", text_or_null(a->user));
	(void)json_object_set_new(to, "autostart", json_boolean(a->autostart));
	if (a->verdict == POLICY_ALLOW) {
		(void)json_object_set_new(to, "target", target_json(&a->target));
		(void)json_object_set_new(to, "response", response_json(a, q));
		return to;
	}
	targets = json_array();
	while (policy_target_next(a, &at, &t))
		(void)json_array_append_new(targets, target_json(&t));
	(void)json_object_set_new(to, "targets", targets);
	(void)json_object_set_new(to, "default_target", target_json(&a->default_target));
	return to;
}

static json_t *error_json(const struct policy_error *error)
{
	json_t *to = json_object();

	(void)json_object_set_new(to, "verdict", json_string("syntax-error"));
	(void)json_object_set_new(to, "file", text_or_null(error->file[0] ? error->file : NULL));
	(void)json_object_set_new(to, "line",
				  error->line > 0 ? json_integer(error->line) : json_null());
	(void)json_object_set_new(to, "reason", json_string(error->reason));
	return to;
}

/* what was wanted is what was answered; where the other engine failed itself any refusal will do */
static bool agree(json_t *wanted, json_t *answer)
{
	static const char *const fields[] = {"id",      "q",        "verdict",   "target",
					     "targets", "user",     "autostart", "default_target",
					     "notify",  "response", "file",      "line"};
	const char *verdict = json_string_value(json_object_get(wanted, "verdict"));
	const char *ours = json_string_value(json_object_get(answer, "verdict"));
	bool crash = str_eq(verdict, "crash");

	for (size_t i = 0; i < (crash ? 2 : ARRAY_LEN(fields)); i++) {
		json_t *a = json_object_get(wanted, fields[i]);
		json_t *b = json_object_get(answer, fields[i]);

		/* the lines of the response may be left out */
		if (a != b && !json_equal(a, b) && (a || !str_eq(fields[i], "response")))
			return false;
	}
	return !crash || str_eq(ours, "deny") || str_eq(ours, "syntax-error");
}

/* the next line of the file of answers against ours */
static int compare(struct eval *e, json_t *answer)
{
	AUTO_FREE char *line = NULL, *ours = NULL;
	size_t size = 0;
	ssize_t len = getline(&line, &size, e->answers);
	json_t *wanted = len < 0 ? NULL : json_loadb(line, (size_t)len, JSON_ALLOW_NUL, NULL);
	bool same = wanted && agree(wanted, answer);

	e->n_answers++;
	e->n_agree += same;
	json_decref(wanted);
	if (!wanted)
		return ui_fail(e->args, "answer %u is missing or not JSON", e->n_answers);
	if (!same && e->n_answers - e->n_agree <= MAX_SHOWN) {
		ours = json_dumps(answer, JSON_SORT_KEYS);
		(void)printf("wanted %sgot    %s\n", line, ours ? ours : "?");
	}
	return 0;
}

static int put(struct eval *e, json_t *id, size_t q, json_t *answer)
{
	int r = 0;

	if (json_object_set(answer, "id", id) < 0 ||
	    json_object_set_new(answer, "q", json_integer((json_int_t)q)) < 0)
		r = ui_fail_errno(e->args, NULL, -ENOMEM);
	else if (e->answers)
		r = compare(e, answer);
	else if (json_dumpf(answer, stdout, JSON_SORT_KEYS) < 0 || putchar('\n') == EOF)
		r = ui_fail(e->args, "an answer cannot be written");
	json_decref(answer);
	return r;
}

static const char *text(json_t *of, const char *key)
{
	return json_string_value(json_object_get(of, key));
}

/* @error: the policy has one, and @v is NULL */
static int answer_all(struct eval *e, json_t *one, const struct policy *p, struct policy_view *v,
		      const struct policy_error *error)
{
	json_t *queries = json_object_get(one, "queries"), *q;
	int result = 0;
	size_t i;

	json_array_foreach(queries, i, q)
	{
		const struct policy_request request = {.source = text(q, "source"),
						       .requested_source =
							       text(q, "requested_source"),
						       .target = text(q, "dest"),
						       .service = text(q, "service"),
						       .argument = text(q, "arg")};
		struct policy_answer a;

		if (!request.source || !request.target || !request.service || !request.argument)
			return ui_fail(e->args, "a question without source, dest, service or arg");
		if (v)
			policy_decide(v, &request, &a);
		result |= put(e, json_object_get(one, "id"), i,
			      v ? answer_json(p, &a, &request) : error_json(error));
	}
	return result;
}

static int eval_case(struct eval *e, json_t *one)
{
	const char *name = text(one, "system_info");
	struct ruleset AUTO(ruleset_done) rules = {0};
	AUTO_FREE struct policy *p = NULL;
	AUTO_FREE struct policy_view *v = NULL;
	struct policy_error error = {0};
	const struct system *system = NULL;
	int r;

	r = ruleset_from_json(json_object_get(one, "files"), json_object_get(one, "legacy"),
			      &rules);
	if (r < 0 || !name)
		return ui_fail(e->args, "a case without files or system_info");
	if (find_system(e, name, &system) != 0)
		return 1;
	r = ruleset_compile(&rules, &p, &error);
	if (r == 0)
		r = view_new(p, system, &v);
	if (r == POLICY_E_QUBES)
		return ui_fail(e->args, "sysinfo-%s.json holds no dom0", name);
	return r < 0 ? ui_fail_errno(e->args, "a policy", r) : answer_all(e, one, p, v, &error);
}

static int eval_file(struct eval *e, const char *path)
{
	FILE *f = str_eq(path, "-") ? stdin : fopen(path, "re");
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	ssize_t len;
	unsigned n = 0;
	int result = 0;

	if (!f)
		return ui_fail_errno(e->args, path, -errno);
	while (result == 0 && (len = getline(&line, &size, f)) > 0) {
		json_error_t error;
		json_t *one = json_loadb(line, (size_t)len, JSON_ALLOW_NUL, &error);

		n++;
		result = one ? eval_case(e, one)
			     : ui_fail(e->args, "%s:%u: %s", path, n, error.text);
		if (one && result != 0)
			(void)ui_fail(e->args, "%s:%u is where it was", path, n);
		json_decref(one);
	}
	if (ferror(f) && result == 0)
		result = ui_fail(e->args, "%s cannot be read", path);
	if (f != stdin)
		(void)fclose(f);
	return result;
}

static int run(const struct args *a)
{
	struct eval *e;
	const char *cases = args_value(a, CASES), *answers = args_value(a, ANSWERS);
	int result = 0;

	if (!cases || !args_has(a, SYSTEM_INFO_DIR) || a->n_words > 0) {
		(void)ui_usage(a, "--cases and --system-info-dir are needed, and no words");
		return 2;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return ui_fail_errno(a, NULL, -ENOMEM);
	e->args = a;
	e->system_dir = args_value(a, SYSTEM_INFO_DIR);
	if (answers) {
		e->answers = fopen(answers, "re");
		if (!e->answers)
			result = ui_fail_errno(a, answers, -errno);
	}
	if (result == 0)
		result = eval_file(e, cases);
	if (e->answers && result == 0) {
		(void)printf("%u of %u answers agree\n", e->n_agree, e->n_answers);
		if (getc(e->answers) != EOF)
			result = ui_fail(a, "%s holds more answers than there are questions",
					 answers);
		if (e->n_agree < e->n_answers)
			result = 1;
	}
	if (e->answers)
		(void)fclose(e->answers);
	for (unsigned i = 0; i < e->n_systems; i++)
		system_done(&e->systems[i].system);
	free(e);
	return result;
}

static const struct option options[] = {
	{CASES, 0, "cases", "FILE", "policies with questions, one case a line; - is standard input",
	 .words = WORDS_FILE},
	{SYSTEM_INFO_DIR, 0, "system-info-dir", "DIR", "where sysinfo-NAME.json are",
	 .words = WORDS_FILE},
	{ANSWERS, 0, "answers", "FILE", "compare with these answers instead of showing ours",
	 .words = WORDS_FILE},
	{0},
};

const struct command policy_eval = {
	.name = "eval",
	.summary = "answer a file of policies and questions",
	.synopses = {"--cases FILE --system-info-dir DIR [--answers FILE]"},
	.text = "For comparing policy engines. Each line of --cases is a JSON object:\n"
		"\n"
		"\t{\"id\": 1, \"files\": {\"30-user.policy\": \"...\"}, \"system_info\": \"a\",\n"
		"\t \"queries\": [{\"source\": \"work\", \"dest\": \"@default\", \"service\": \"x.Y\", \"arg\": "
		"\"\"}]}\n"
		"\n"
		"\"legacy\" may hold the files of an R4.0 policy folder, a question "
		"\"requested_source\".\n"
		"system_info names a file sysinfo-a.json in --system-info-dir that is in the form of\n"
		"internal.GetSystemInfo.\n"
		"\n"
		"Each question is answered by a line {\"id\", \"q\", \"verdict\", ...} on standard "
		"output. With --answers\n"
		"the lines of that file are compared instead, but for reasons; those that differ are shown.\n"
		"A verdict \"crash\" there agrees with any refusal.",
	.options = options,
	.run = run,
};
