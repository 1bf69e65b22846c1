/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The language of the files and its faults, decisions on a small system, and compiled policies that
 * are damaged. test/policy/ holds the large comparison.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "policy/policy.h"

#define MAX_FILES 8

/* --- a system of qubes --- */

static const char *const sys_tags[] = {"sys", "net"};
static const char *const work_tags[] = {"t1"};
static const char *const dvm_tags[] = {"dt"};

#define UUID(digit) #digit "0000000-0000-4000-8000-00000000000" #digit
#define UUID0       "00000000-0000-0000-0000-000000000000"

static const struct policy_qube qubes[] = {
	{.name = "dom0", .uuid = UUID0, .type = "AdminVM", .running = true},
	{.name = "dvm",
	 .uuid = UUID(1),
	 .type = "AppVM",
	 .tags = dvm_tags,
	 .n_tags = 1,
	 .template_for_dispvms = true,
	 .default_dispvm = "dvm"},
	{.name = "far",
	 .uuid = UUID(2),
	 .type = "RemoteVM",
	 .relayvm = "sys-net",
	 .transport_rpc = "lab.Transport"},
	{.name = "far-lost", .uuid = UUID(3), .type = "RemoteVM", .transport_rpc = "lab.Transport"},
	{.name = "hidden",
	 .uuid = UUID(4),
	 .type = "AppVM",
	 .internal = true,
	 .template_for_dispvms = true},
	{.name = "sys-net",
	 .uuid = UUID(5),
	 .type = "AppVM",
	 .tags = sys_tags,
	 .n_tags = 2,
	 .running = true},
	{.name = "vault", .uuid = UUID(6), .type = "AppVM"},
	{.name = "work",
	 .uuid = UUID(7),
	 .type = "AppVM",
	 .tags = work_tags,
	 .n_tags = 1,
	 .default_dispvm = "dvm",
	 .running = true},
};

/* --- a policy of some files; all of it goes with world_done() --- */

struct world {
	struct policy_file own[MAX_FILES], legacy[MAX_FILES];
	struct policy_files files;
	void *room, *view_room;
	size_t size;
	const struct policy *p;
	struct policy_view *v;
	struct policy_error error;
	int r;
};

/* @list: path, text, ..., NULL, ascending */
static unsigned take(struct policy_file *to, const char *const *list)
{
	unsigned n = 0;

	for (; list && list[0]; list += 2) {
		assert_true(n < MAX_FILES);
		to[n++] = (struct policy_file){list[0], list[1], strlen(list[1])};
	}
	return n;
}

static void world_init(struct world *w, const char *const *own, const char *const *legacy)
{
	memset(w, 0, sizeof(*w));
	w->files.files = w->own;
	w->files.n_files = take(w->own, own);
	w->files.legacy = legacy ? w->legacy : NULL;
	w->files.n_legacy = take(w->legacy, legacy);
	w->r = policy_measure(&w->files, &w->size, &w->error);
	if (w->r != 0)
		return;
	w->room = malloc(w->size);
	assert_non_null(w->room);
	assert_int_equal(policy_compile(&w->files, w->room, w->size, &w->p, &w->error), 0);
	w->view_room = malloc(policy_view_size(w->p, ARRAY_LEN(qubes)));
	assert_non_null(w->view_room);
	assert_int_equal(policy_view_make(w->p, qubes, ARRAY_LEN(qubes), w->view_room,
					  policy_view_size(w->p, ARRAY_LEN(qubes)), &w->v),
			 0);
}

static void world_done(struct world *w)
{
	free(w->room);
	free(w->view_room);
}

static void one_file(struct world *w, const char *text)
{
	const char *const list[] = {"10-a.policy", text, NULL};

	world_init(w, list, NULL);
}

/* "deny", "allow TARGET", "ask TARGET TARGET... [> DEFAULT]" */
static const char *decide(struct world *w, const struct policy_request *q, char *to, size_t size)
{
	struct policy_answer a;
	struct policy_target t;
	uint32_t at = 0;
	size_t n;

	assert_int_equal(w->r, 0);
	policy_decide(w->v, q, &a);
	if (a.verdict == POLICY_DENY)
		return "deny";
	if (a.verdict == POLICY_ALLOW) {
		(void)snprintf(to, size, "allow %s%s", a.target.prefix, a.target.name);
		return to;
	}
	n = (size_t)snprintf(to, size, "ask");
	while (policy_target_next(&a, &at, &t))
		n += (size_t)snprintf(to + n, size - n, " %s%s", t.prefix, t.name);
	if (a.default_target.name)
		(void)snprintf(to + n, size - n, " > %s%s", a.default_target.prefix,
			       a.default_target.name);
	return to;
}

/* --- faults --- */

static const struct {
	const char *text;
	unsigned line; /* 0: there is none */
} texts[] = {
	{"", 0},
	{"# nothing\n\n  \t\n   # more", 0},
	{"a.B * work vault allow", 0},
	{"\xc2\xa0"
	 "a.B\xe2\x80\x83*\x1cwork\x0bvault\x0c"
	 "allow\x1f",
	 0},
	{"a.B * work vault allow\ra.B * work vault deny\r\nx", 3},
	{"\xef\xbb\xbf"
	 "a.B * work vault allow",
	 1},
	{"# fine\n# not \xff\na.B * work vault allow", 2},
	{"# overlong \xc0\xaf", 1},
	{"# surrogate \xed\xa0\x80", 1},
	{"a.B * work vault", 1},
	{"a.B", 1},
	{"a+B * work vault allow", 1},
	{"a.B x work vault allow", 1},
	{"a.B +x/ work vault allow", 1},
	{"a.B + work vault allow", 0},
	{"a.B ++ work vault allow", 0},
	{"* + work vault allow", 1},
	{"* * work vault allow", 0},
	{"a.B * @default vault allow", 1},
	{"a.B * @dispvm vault allow", 1},
	{"a.B * @dispvm:dvm vault allow", 0},
	{"a.B * @dispvm:@tag:x vault allow", 0},
	{"a.B * @dispvm: vault allow", 1},
	{"a.B * @tag: vault allow", 1},
	{"a.B * @type:@x vault allow", 1},
	{"a.B * $anyvm vault allow", 0}, /* a name nobody has */
	{"a.B * @anyvm @nonsense allow", 1},
	{"a.B * @anyvm @default allow", 1},
	{"a.B * @anyvm @default allow target=vault", 0},
	{"a.B * @anyvm @default ask", 0},
	{"a.B * @anyvm @anyvm ALLOW", 1},
	{"a.B * @anyvm @anyvm allow,target=work", 1},
	{"a.B * @anyvm @anyvm allow target", 1},
	{"a.B * @anyvm @anyvm allow target=", 1},
	{"a.B * @anyvm @anyvm allow target=@anyvm", 1},
	{"a.B * @anyvm @anyvm allow target=*", 1},
	{"a.B * @anyvm @anyvm allow target=@default", 1},
	{"a.B * @anyvm @anyvm allow target=@dispvm:@tag:x", 1},
	{"a.B * @anyvm @anyvm allow target=work target=work", 1},
	{"a.B * @anyvm @anyvm allow default_target=work", 1},
	{"a.B * @anyvm @anyvm ask default_target=work", 0},
	{"a.B * @anyvm @anyvm ask colour=red", 1},
	{"a.B * @anyvm @anyvm allow user=a=b", 0},
	{"a.B * @anyvm @anyvm allow user=", 0},
	{"a.B * @anyvm @anyvm allow notify=maybe", 1},
	{"a.B * @anyvm @anyvm allow autostart=No", 1},
	{"a.B * @anyvm @anyvm deny notify=no", 0},
	{"a.B * @anyvm @anyvm deny user=root", 1},
	{"a.B * @anyvm @anyvm deny target=work", 1},
	{"a.B * @anyvm @anyvm allow # of course", 1},
	{"a.B * @anyvm @anyvm ask default_target=@tag:t1", 1},
	{"a.B * @anyvm @anyvm ask default_target=work default_target=vault", 1},
	{"a.B * @anyvm @anyvm allow user=a user=a", 1},
	{"a.B * @anyvm @anyvm allow notify=yes notify=no", 1},
	{"a.B * @anyvm @anyvm allow autostart=no autostart=no", 1},
	{"a.B * @anyvm @anyvm allow =work", 1},
	{"a.B * @adminvm:x vault allow", 1},
	{"a.B * @tag vault allow", 1},
	{"a.B * @dispvm:@dispvm vault allow", 1},
	{"a.B * @ANYVM vault allow", 1},
	{"a.B +* work vault allow", 1},
	{"a.B ** work vault allow", 1},
	{"!include", 1},
	{"!include a b", 1},
	{"!include nothing", 1},
	{"!include ../10-a.policy", 1},
	{"!include /10-a.policy", 1},
	{"!include-dir nothing", 1},
	{"!include-dir 10-a.policy", 1},
	{"!include-service a.B * ", 1},
	{"!compat-4.0 x", 1},
	{"!compat-4.0", 1}, /* there is no such folder */
	{"! include x", 1},
	{"!", 1},
	{"\n!include 10-a.policy", 2}, /* itself */
	{"\n!include-dir .", 2},
};

static void test_faults_are_found_where_they_are(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct world w;
		unsigned line;

		one_file(&w, texts[i].text);
		line = w.r == 0 ? 0 : w.error.line;
		if (line != texts[i].line || w.r != (line > 0 ? POLICY_E_SYNTAX : 0))
			fail_msg("row %zu: %d, line %u, %s", i, w.r, line, w.error.reason);
		if (w.r != 0) {
			assert_string_equal(w.error.file, "10-a.policy");
			assert_true(w.error.reason[0] != '\0');
		}
		world_done(&w);
	}
}

/* NULs are bytes like others to a length, and the longest line is as long as the file */
static void test_bytes_that_are_no_text_and_lines_without_end(void **state)
{
	static const char nul[] = "a.B * work vault allow\n# x\0y\n";
	/* without their ends */
	static const char begin[16] = "a.B * work vault", end[6] = " allow";
	struct policy_file f = {"10-a.policy", nul, sizeof(nul) - 1};
	const struct policy_files files = {.files = &f, .n_files = 1};
	struct policy_error error;
	const size_t len = 1 << 20;
	char *line = malloc(len);
	size_t size;

	(void)state;
	assert_non_null(line);
	assert_int_equal(policy_measure(&files, &size, &error), POLICY_E_SYNTAX);
	assert_int_equal(error.line, 2);
	memset(line, '\t', len);
	memcpy(line, begin, sizeof(begin));
	memcpy(line + len - sizeof(end), end, sizeof(end));
	f.text = line;
	f.len = len;
	assert_int_equal(policy_measure(&files, &size, &error), 0);
	memset(line, 'a', len);
	assert_int_equal(policy_measure(&files, &size, &error), POLICY_E_SYNTAX);
	assert_int_equal(error.line, 1);
	free(line);
}

static void test_only_clear_names_of_files_are_read(void **state)
{
	static const struct {
		const char *name;
		bool fault, read;
	} rows[] = {
		{"10-a_b.policy", false, true},     {"a.rpmnew.policy", false, true},
		{".policy", false, false},          {".x.policy", false, false},
		{"x.policy.rpmsave", false, false}, {"README", false, false},
		{"Upper.policy", true, false},      {"a b.policy", true, false},
		{"\xc3\xa9.policy", true, false},
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *const list[] = {rows[i].name, "* * * * allow", NULL};
		struct world w;

		world_init(&w, list, NULL);
		assert_int_equal(w.r, rows[i].fault ? POLICY_E_SYNTAX : 0);
		if (rows[i].fault)
			assert_string_equal(w.error.file, "");
		else
			assert_string_equal(
				decide(&w,
				       &(struct policy_request){"work", NULL, "vault", "a.B", ""},
				       text, sizeof(text)),
				rows[i].read ? "allow vault" : "deny");
		world_done(&w);
	}
}

static void test_files_out_of_order_are_our_own_mistake(void **state)
{
	const char *const list[] = {"b.policy", "", "a.policy", "", NULL};
	struct world w;

	(void)state;
	world_init(&w, list, NULL);
	assert_int_equal(w.r, -EINVAL);
}

/* --- decisions --- */

static const struct {
	const char *policy, *source, *target, *call, *answer;
} decisions[] = {
	{"a.B * work vault allow", "work", "vault", "a.B", "allow vault"},
	{"a.B * work vault allow", "vault", "work", "a.B", "deny"},
	{"a.B * work vault allow", "work", "vault", "a.C", "deny"},
	{"a.B + work vault allow", "work", "vault", "a.B", "allow vault"},
	{"a.B + work vault allow", "work", "vault", "a.B+x", "deny"},
	{"a.B +x+y work vault allow", "work", "vault", "a.B+x+y", "allow vault"},
	/* the first match wins, whatever it is indexed by */
	{"* * work * deny\na.B * work vault allow", "work", "vault", "a.B", "deny"},
	{"a.B * work vault allow\n* * work * deny", "work", "vault", "a.B", "allow vault"},
	{"a.B +x * * deny\n* * * * allow", "work", "vault", "a.B", "allow vault"},
	{"a.B +x * * deny\n* * * * allow", "work", "vault", "a.B+x", "deny"},
	/* tokens as sources */
	{"* * @tag:t1 vault allow", "work", "vault", "a.B", "allow vault"},
	{"* * @tag:t1 vault allow", "sys-net", "vault", "a.B", "deny"},
	{"* * @type:AppVM vault allow", "work", "vault", "a.B", "allow vault"},
	{"* * @anyvm vault allow", "dom0", "vault", "a.B", "deny"},
	{"* * * vault allow", "dom0", "vault", "a.B", "allow vault"},
	{"* * @adminvm vault allow", "dom0", "vault", "a.B", "allow vault"},
	{"* * uuid:" UUID(7) " vault allow", "work", "vault", "a.B", "allow vault"},
	{"* * @dispvm:dvm vault allow", "dvm", "vault", "a.B", "deny"},
	{"* * ghost vault allow", "ghost", "vault", "a.B", "allow vault"},
	{"* * ghost vault allow", "ghoul", "vault", "a.B", "deny"},
	/* tokens as targets */
	{"* * * @anyvm allow", "work", "dom0", "a.B", "deny"},
	{"* * * @anyvm allow", "work", "uuid:" UUID0, "a.B", "deny"},
	{"* * * dom0 allow", "work", "uuid:" UUID0, "a.B", "allow uuid:" UUID0},
	{"* * * dom0 allow", "work", "@adminvm", "a.B", "allow dom0"},
	{"* * * @type:AdminVM allow", "work", "@adminvm", "a.B", "allow dom0"},
	{"* * * @tag:net allow", "work", "sys-net", "a.B", "allow sys-net"},
	{"* * * @tag:net allow", "work", "uuid:" UUID(5), "a.B", "allow uuid:" UUID(5)},
	{"* * * vault allow", "work", "ghost", "a.B", "deny"},
	{"* * * @default allow target=vault", "work", "ghost", "a.B", "allow vault"},
	{"* * * @default allow target=vault", "work", "", "a.B", "allow vault"},
	{"* * * * allow", "work", "", "a.B", "deny"}, /* nobody names a target */
	{"* * * * allow target=ghost", "work", "vault", "a.B", "deny"},
	/* what a caller may not ask for */
	{"* * * * allow target=vault", "work", "*", "a.B", "deny"},
	{"* * * * allow target=vault", "work", "@anyvm", "a.B", "deny"},
	{"* * * * allow target=vault", "work", "@tag:t1", "a.B", "deny"},
	{"* * * * allow target=vault", "work", "@dispvm:", "a.B", "deny"},
	{"* * * * allow target=vault", "work", "@dispvm:@tag:dt", "a.B", "deny"},
	{"* * * * allow target=vault", "work", "@dispvm:work", "a.B", "deny"},
	{"* * * * allow target=vault", "work", "@dispvm:ghost", "a.B", "deny"},
	/* disposables */
	{"* * * @dispvm allow", "work", "@dispvm", "a.B", "allow @dispvm:dvm"},
	{"* * * @dispvm allow", "vault", "@dispvm", "a.B", "deny"},
	{"* * * @dispvm allow", "work", "@dispvm:dvm", "a.B", "deny"},
	{"* * * @dispvm:dvm allow", "work", "@dispvm", "a.B", "allow @dispvm:dvm"},
	{"* * * @dispvm:dvm allow", "work", "@dispvm:dvm", "a.B", "allow @dispvm:dvm"},
	{"* * * @dispvm:dvm allow", "work", "dvm", "a.B", "deny"},
	{"* * * @dispvm:uuid:" UUID(1) " allow", "work", "@dispvm:dvm", "a.B", "allow @dispvm:dvm"},
	{"* * * @dispvm:uuid:" UUID(1) " allow", "work", "@dispvm", "a.B", "deny"},
	{"* * * @dispvm:@tag:dt allow", "work", "@dispvm", "a.B", "allow @dispvm:dvm"},
	{"* * * @dispvm:@tag:dt allow", "vault", "@dispvm", "a.B", "deny"},
	{"* * * @dispvm:@tag:t1 allow", "work", "@dispvm", "a.B", "deny"},
	{"* * * vault allow target=@dispvm", "work", "vault", "a.B", "allow @dispvm:dvm"},
	{"* * * vault allow target=@dispvm:work", "work", "vault", "a.B", "deny"},
	/* a rule that cannot be decided refuses, whatever comes after it */
	{"* * * @dispvm:dvm deny\n* * * * allow target=work", "vault", "@dispvm", "a.B", "deny"},
	{"* * * @dispvm:@tag:dt deny\n* * * * allow target=work", "vault", "@dispvm", "a.B",
	 "allow work"},
	{"* * * work ask\n* * * @dispvm:ghost ask", "vault", "work", "a.B", "deny"},
	/* autostart, loopback, remote qubes */
	{"* * * * allow autostart=no", "work", "vault", "a.B", "deny"},
	{"* * * * allow autostart=no", "work", "sys-net", "a.B", "allow sys-net"},
	{"* * * * allow autostart=no", "work", "dom0", "a.B", "allow dom0"},
	{"* * * * allow autostart=no", "work", "@dispvm", "a.B", "deny"},
	{"* * * * allow", "work", "work", "a.B", "deny"},
	{"* * * * allow", "dom0", "dom0", "a.B", "deny"},
	{"* * * * allow", "work", "far", "a.B", "allow far"},
	{"* * * * allow", "work", "far-lost", "a.B", "deny"},
	/* asking: never the caller or what is internal; only what is offered is preselected */
	{"* * * * ask", "work", "vault", "a.B",
	 "ask @dispvm:dvm dom0 dvm far far-lost sys-net vault"},
	{"* * * @anyvm ask", "vault", "work", "a.B",
	 "ask @dispvm:dvm dvm far far-lost sys-net work"},
	{"* * * * ask autostart=no", "work", "vault", "a.B", "ask dom0 sys-net"},
	{"* * * vault ask default_target=vault", "work", "vault", "a.B", "ask vault > vault"},
	{"* * * vault ask default_target=sys-net", "work", "vault", "a.B", "ask vault"},
	{"* * * vault ask default_target=uuid:" UUID(6), "work", "vault", "a.B", "ask vault"},
	{"* * * dom0 ask default_target=uuid:" UUID0, "work", "dom0", "a.B", "ask dom0 > dom0"},
	{"* * * @dispvm ask default_target=@dispvm", "work", "@dispvm", "a.B",
	 "ask @dispvm:dvm > @dispvm:dvm"},
	{"* * * vault ask target=sys-net default_target=sys-net", "work", "vault", "a.B",
	 "ask sys-net > sys-net"},
	{"* * * vault ask target=@dispvm default_target=@dispvm", "work", "vault", "a.B",
	 "ask @dispvm"},
	{"* * * vault ask target=ghost", "work", "vault", "a.B", "ask ghost"},
	{"* * * vault ask target=ghost autostart=no", "work", "vault", "a.B", "deny"},
	{"* * * vault ask target=vault autostart=no", "work", "vault", "a.B", "deny"},
	{"* * * hidden ask", "work", "hidden", "a.B", "deny"},
	/* what an earlier rule denies is not offered; what only another service may is not either */
	{"* * * dom0 deny\na.B * * * ask\na.C * * @dispvm deny\n* * * far-lost deny", "work", "far",
	 "a.B", "ask @dispvm:dvm dvm far far-lost sys-net vault"},
	{"a.B * * @tag:net ask\na.B * @tag:t1 vault allow target=far", "work", "sys-net", "a.B",
	 "ask far sys-net"},
};

static void split_call(const char *call, char *service, size_t size, const char **ret_argument)
{
	size_t n = strcspn(call, "+");

	assert_int_equal(str_copy(service, size, call, n), 0);
	*ret_argument = call[n] == '+' ? call + n + 1 : "";
}

static void test_decisions(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(decisions); i++) {
		struct policy_request q = {decisions[i].source, NULL, decisions[i].target, NULL,
					   NULL};
		char service[32], text[256];
		const char *answer;
		struct world w;

		split_call(decisions[i].call, service, sizeof(service), &q.argument);
		q.service = service;
		one_file(&w, decisions[i].policy);
		answer = decide(&w, &q, text, sizeof(text));
		if (strcmp(answer, decisions[i].answer) != 0)
			fail_msg("row %zu, %s: %s", i, decisions[i].policy, answer);
		world_done(&w);
	}
}

static void test_a_relay_speaks_only_for_its_remote_qube(void **state)
{
	static const struct {
		const char *source, *requested;
		enum policy_reason reason;
	} rows[] = {
		{"sys-net", "far", POLICY_BY_RULE},          {"work", "far", POLICY_NOT_RELAY},
		{"sys-net", "far-lost", POLICY_NOT_RELAY},   {"sys-net", "work", POLICY_NOT_REMOTE},
		{"sys-net", "ghost", POLICY_UNKNOWN_SOURCE},
	};
	struct world w;

	(void)state;
	one_file(&w, "* * far vault allow\n* * * * deny");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct policy_request q = {rows[i].source, rows[i].requested, "vault", "a.B",
						 ""};
		struct policy_answer a;

		policy_decide(w.v, &q, &a);
		assert_int_equal(a.reason, rows[i].reason);
		assert_int_equal(a.verdict,
				 rows[i].reason == POLICY_BY_RULE ? POLICY_ALLOW : POLICY_DENY);
	}
	world_done(&w);
}

static void test_what_a_rule_says_comes_with_the_answer(void **state)
{
	const struct policy_request to_vault = {"work", NULL, "vault", "a.B", ""},
				    to_net = {"work", NULL, "sys-net", "a.B", ""},
				    to_dvm = {"work", NULL, "dvm", "a.B", ""};
	struct policy_rule rule;
	struct policy_answer a;
	struct world w;

	(void)state;
	one_file(&w, "# first\na.B * * vault allow user=root notify=yes\n"
		     "a.B * * sys-net deny notify=no\n");
	policy_decide(w.v, &to_vault, &a);
	assert_string_equal(a.user, "root");
	assert_true(a.notify && a.autostart);
	policy_rule_get(w.p, a.rule, &rule);
	assert_string_equal(rule.file, "10-a.policy");
	assert_int_equal(rule.line, 2);
	assert_string_equal(rule.target.value, "vault");
	policy_decide(w.v, &to_net, &a);
	assert_false(a.notify);
	assert_int_equal(a.reason, POLICY_BY_RULE);
	policy_decide(w.v, &to_dvm, &a);
	assert_true(a.notify);
	assert_int_equal(a.reason, POLICY_NO_RULE);
	assert_int_equal(a.rule, POLICY_NONE);
	world_done(&w);
}

static void test_replies_name_what_is_called(void **state)
{
	static const struct {
		const char *source, *requested, *target, *reply;
	} rows[] = {
		{"work", NULL, "vault",
		 "user=root\nresult=allow\ntarget=vault\ntarget_uuid=uuid:" UUID(
			 6) "\n"
			    "autostart=True\nrequested_target=vault\n"},
		{"work", NULL, "@dispvm",
		 "user=root\nresult=allow\ntarget=@dispvm:dvm\ntarget_uuid=@dispvm:uuid:" UUID(
			 1) "\n"
			    "autostart=True\nrequested_target=@dispvm\n"},
		{"work", NULL, "uuid:" UUID0,
		 "user=root\nresult=allow\ntarget=dom0\nautostart=True\n"
		 "requested_target=uuid:" UUID0 "\n"},
		{"work", NULL, "far",
		 "user=root\nresult=allow\ntarget=sys-net\ntarget_uuid=uuid:" UUID(
			 5) "\n"
			    "autostart=True\nrequested_target=far\nservice=lab.Transport+far+a.B+x\n"},
		{"sys-net", "far", "vault",
		 "user=root\nresult=allow\ntarget=vault\ntarget_uuid=uuid:" UUID(
			 6) "\n"
			    "autostart=True\nrequested_target=vault\npolicy_source=far\n"},
	};
	char text[POLICY_REPLY_SIZE];
	struct world w;

	(void)state;
	one_file(&w, "* * * * allow user=root");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct policy_request q = {rows[i].source, rows[i].requested, rows[i].target, "a.B",
					   "x"};
		struct policy_answer a;

		policy_decide(w.v, &q, &a);
		assert_int_equal(a.verdict, POLICY_ALLOW);
		assert_int_equal(
			policy_reply(w.v, &q, &a.target, a.user, a.autostart, text, sizeof(text)),
			0);
		assert_string_equal(text, rows[i].reply);
		assert_int_equal(
			policy_reply(w.v, &q, &a.target, a.user, a.autostart, text, strlen(text)),
			-ENAMETOOLONG);
		q.argument = "x\ntarget=dom0";
		assert_int_equal(
			policy_reply(w.v, &q, &a.target, a.user, a.autostart, text, sizeof(text)),
			-EINVAL);
	}
	world_done(&w);
}

static void test_steps_say_what_each_rule_lacks(void **state)
{
	static const enum policy_step steps[] = {POLICY_OTHER_SERVICE, POLICY_OTHER_ARGUMENT,
						 POLICY_OTHER_SOURCE,  POLICY_OTHER_TARGET,
						 POLICY_MATCHES,       POLICY_MATCHES};
	const struct policy_request q = {"work", NULL, "vault", "a.B", "x"};
	const struct policy_request bad = {"work", NULL, "*", "a.B", "x"};
	struct policy_answer a;
	struct world w;

	(void)state;
	one_file(&w, "a.C * * * deny\na.B + * * deny\na.B * vault * deny\na.B +x work work deny\n"
		     "* * @anyvm @anyvm allow\n* * * * deny");
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		assert_int_equal(policy_rule_step(w.v, &q, i), steps[i]);
		assert_int_equal(policy_rule_step(w.v, &bad, i), POLICY_NEVER);
	}
	policy_decide(w.v, &q, &a);
	assert_int_equal(a.rule, 4);
	world_done(&w);
}

/* --- includes and R4.0 files --- */

static const char *ask_for(struct world *w, const char *source, const char *target,
			   const char *call, char *to, size_t size)
{
	struct policy_request q = {source, NULL, target, NULL, NULL};
	char service[32];

	split_call(call, service, sizeof(service), &q.argument);
	q.service = service;
	return decide(w, &q, to, size);
}

static void test_includes_stand_where_they_are_named(void **state)
{
	const char *const files[] = {
		"10-a.policy",
		"!include include/one\n!include-dir ./sub/../sub/\n!include-service a.S + include/two\n",
		"20-b.policy",
		"a.S * work work allow target=far\n",
		"include/one",
		"a.B * work vault allow\n",
		"include/two",
		"$anyvm  $adminvm  allow,user=root\n$include:include/one2\n",
		"include/one2",
		"work sys-net ask, default_target=sys-net\n",
		"sub/1.policy",
		"a.B * work vault deny\na.B * work far allow",
		"sub/x.conf",
		"not read",
		NULL};
	const char *const sorted[] = {files[0],  files[1],  files[2],  files[3],  files[4],
				      files[5],  files[8],  files[9],  files[6],  files[7],
				      files[10], files[11], files[12], files[13], NULL};
	char text[128];
	struct world w;

	(void)state;
	world_init(&w, sorted, NULL);
	assert_string_equal(ask_for(&w, "work", "vault", "a.B", text, sizeof(text)), "allow vault");
	assert_string_equal(ask_for(&w, "work", "far", "a.B", text, sizeof(text)), "allow far");
	assert_string_equal(ask_for(&w, "work", "dom0", "a.S", text, sizeof(text)), "allow dom0");
	assert_string_equal(ask_for(&w, "work", "dom0", "a.S+x", text, sizeof(text)), "deny");
	assert_string_equal(ask_for(&w, "work", "sys-net", "a.S", text, sizeof(text)),
			    "ask dom0 far sys-net > sys-net");
	world_done(&w);
}

static void test_a_fault_in_an_included_file_is_named_there(void **state)
{
	const char *const files[] = {"10-a.policy", "\n!include include/x", "include/x",
				     "# one\n\na.B * * * perhaps", NULL};
	struct world w;

	(void)state;
	world_init(&w, files, NULL);
	assert_int_equal(w.r, POLICY_E_SYNTAX);
	assert_string_equal(w.error.file, "include/x");
	assert_int_equal(w.error.line, 3);
}

/* each file includes the next one twice: 2^31 rules if nobody counted */
static void test_includes_that_double_end(void **state)
{
	static char names[31][16], texts31[31][64];
	struct policy_file files[31];
	struct policy_error error;
	size_t size;

	(void)state;
	for (unsigned i = 0; i < 31; i++) {
		(void)snprintf(names[i], sizeof(names[i]), i == 0 ? "%02u.policy" : "%02u", i);
		(void)snprintf(texts31[i], sizeof(texts31[i]), "!include %02u\n!include %02u\n",
			       i + 1, i + 1);
		if (i == 30)
			texts31[i][0] = '\0';
		files[i] = (struct policy_file){names[i], texts31[i], strlen(texts31[i])};
	}
	assert_int_equal(policy_measure(&(struct policy_files){files, NULL, 31, 0}, &size, &error),
			 POLICY_E_SYNTAX);
}

static void test_compat_files_come_before_their_service(void **state)
{
	const char *const files[] = {"35-compat.policy", "!compat-4.0\na.B * work vault allow\n",
				     NULL};
	const char *const legacy[] = {"a b",   "not a name, not read",
				      "a.B",   "$anyvm $tag:net allow",
				      "a.B x", "nor this",
				      "a.B+x", "work $adminvm allow,target=dom0",
				      NULL};
	char text[128];
	struct world w;

	(void)state;
	world_init(&w, files, legacy);
	assert_string_equal(ask_for(&w, "work", "dom0", "a.B+x", text, sizeof(text)), "allow dom0");
	/* what the file of an argument does not mention was denied */
	assert_string_equal(ask_for(&w, "work", "sys-net", "a.B+x", text, sizeof(text)), "deny");
	assert_string_equal(ask_for(&w, "work", "sys-net", "a.B+y", text, sizeof(text)),
			    "allow sys-net");
	/* and after the file of a service the policy goes on */
	assert_string_equal(ask_for(&w, "work", "vault", "a.B+y", text, sizeof(text)),
			    "allow vault");
	world_done(&w);
}

static void test_views_want_qubes_in_order_and_dom0(void **state)
{
	static const struct policy_qube wrong[][2] = {
		{{.name = "work"}, {.name = "dom0"}},
		{{.name = "dom0"}, {.name = "dom0"}},
		{{.name = "a"}, {.name = "b"}},
	};
	struct policy_view *v;
	struct world w;
	size_t size;

	(void)state;
	one_file(&w, "* * * * allow");
	size = policy_view_size(w.p, 2);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(policy_view_make(w.p, wrong[i], 2, w.view_room, size, &v),
				 POLICY_E_QUBES);
	assert_int_equal(policy_view_make(w.p, qubes, ARRAY_LEN(qubes), w.view_room, 8, &v),
			 -ENOSPC);
	world_done(&w);
}

/* --- a compiled policy that came from elsewhere --- */

static void test_a_damaged_policy_is_refused_or_harmless(void **state)
{
	const struct policy_request q = {"work", NULL, "vault", "a.B", "x"};
	struct world w;
	uint8_t *copy;
	size_t view_size, n_refused = 0;
	void *view_room;

	(void)state;
	one_file(&w, "a.B +x @tag:t1 @type:AppVM ask default_target=vault\n"
		     "* * @anyvm @dispvm:@tag:dt allow user=root target=@dispvm\n"
		     "a.C * uuid:" UUID(7) " @default ask target=vault\n* * * * ask\n");
	assert_int_equal(policy_len(w.p), w.size);
	copy = malloc(w.size);
	view_size = 4 * policy_view_size(w.p, ARRAY_LEN(qubes));
	view_room = malloc(view_size);
	assert_non_null(copy);
	assert_non_null(view_room);
	for (size_t bit = 0; bit <= 8 * w.size; bit++) {
		const struct policy *p;
		struct policy_view *v;
		struct policy_answer a;
		struct policy_rule rule;
		int r;

		memcpy(copy, w.room, w.size);
		if (bit < 8 * w.size)
			copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		r = policy_check(copy, w.size, &p);
		if (r != 0) {
			assert_int_equal(r, POLICY_E_FORMAT);
			assert_true(bit < 8 * w.size);
			n_refused++;
			continue;
		}
		if (policy_view_size(p, ARRAY_LEN(qubes)) > view_size)
			continue;
		assert_int_equal(
			policy_view_make(p, qubes, ARRAY_LEN(qubes), view_room, view_size, &v), 0);
		policy_decide(v, &q, &a);
		for (uint32_t i = 0; i < policy_n_rules(p); i++) {
			policy_rule_get(p, i, &rule);
			(void)policy_rule_step(v, &q, i);
		}
	}
	assert_true(n_refused > 0);
	for (size_t len = 0; len < w.size; len += 8) {
		const struct policy *p;

		memcpy(copy, w.room, w.size);
		assert_int_equal(policy_check(copy, len, &p), POLICY_E_FORMAT);
	}
	free(copy);
	free(view_room);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults_are_found_where_they_are),
		cmocka_unit_test(test_bytes_that_are_no_text_and_lines_without_end),
		cmocka_unit_test(test_only_clear_names_of_files_are_read),
		cmocka_unit_test(test_files_out_of_order_are_our_own_mistake),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_a_relay_speaks_only_for_its_remote_qube),
		cmocka_unit_test(test_what_a_rule_says_comes_with_the_answer),
		cmocka_unit_test(test_replies_name_what_is_called),
		cmocka_unit_test(test_steps_say_what_each_rule_lacks),
		cmocka_unit_test(test_includes_stand_where_they_are_named),
		cmocka_unit_test(test_a_fault_in_an_included_file_is_named_there),
		cmocka_unit_test(test_includes_that_double_end),
		cmocka_unit_test(test_compat_files_come_before_their_service),
		cmocka_unit_test(test_views_want_qubes_in_order_and_dom0),
		cmocka_unit_test(test_a_damaged_policy_is_refused_or_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
