/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the default policy decides: a row for each thing that it promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ruleset/ruleset.h"

static const char *const anonymous[] = {"anon-vm"};
static const char *const by_tor[] = {"whonix-updatevm"};

static const struct policy_qube qubes[] = {
	{.name = "dom0", .type = "AdminVM", .running = true},
	{.name = "dvm", .type = "AppVM", .template_for_dispvms = true},
	{.name = "dvm-anon",
	 .type = "AppVM",
	 .tags = anonymous,
	 .n_tags = 1,
	 .template_for_dispvms = true},
	{.name = "hidden",
	 .type = "AppVM",
	 .tags = anonymous,
	 .n_tags = 1,
	 .default_dispvm = "dvm"},
	{.name = "lone", .type = "AppVM"},
	{.name = "mask",
	 .type = "AppVM",
	 .tags = anonymous,
	 .n_tags = 1,
	 .default_dispvm = "dvm-anon"},
	{.name = "sys-net", .type = "AppVM", .running = true},
	{.name = "sys-whonix", .type = "AppVM"},
	{.name = "tmpl", .type = "TemplateVM"},
	{.name = "tmpl-anon", .type = "TemplateVM", .tags = by_tor, .n_tags = 1},
	{.name = "vault", .type = "AppVM", .default_dispvm = "dvm"},
	{.name = "work", .type = "AppVM", .default_dispvm = "dvm", .running = true},
};

// clang-format off
static const struct {
	const char *source, *target, *service, *argument;
	enum policy_action verdict;
	const char *to; /* of an allow */
} rows[] = {
	/* data moves when the person says so */
	{"work", "vault", "qubes.Filecopy", "", POLICY_ASK},
	{"work", "@default", "qubes.Filecopy", "", POLICY_ASK},
	{"work", "dom0", "qubes.Filecopy", "", POLICY_DENY},
	{"work", "vault", "qubes.OpenURL", "", POLICY_ASK},
	{"work", "vault", "qubes.OpenInVM", "", POLICY_ASK},
	{"work", "vault", "qubes.ClipboardPaste", "", POLICY_ASK},
	{"work", "vault", "qubes.Gpg", "", POLICY_ASK},
	{"work", "vault", "qubes.SshAgent", "", POLICY_ASK},
	/* to a disposable of one's own without a question, if there is one */
	{"work", "@dispvm", "qubes.OpenInVM", "", POLICY_ALLOW, "dvm"},
	{"work", "@dispvm", "qubes.OpenURL", "", POLICY_ALLOW, "dvm"},
	{"work", "@dispvm", "qubes.VMShell", "", POLICY_ALLOW, "dvm"},
	{"work", "@dispvm", "qubes.VMExec", "ls", POLICY_ALLOW, "dvm"},
	{"lone", "@dispvm", "qubes.VMShell", "", POLICY_DENY},
	/* and of one that is not its own, when the person says so */
	{"lone", "@dispvm:dvm", "qubes.VMShell", "", POLICY_ASK},
	/* an anonymous qube has anonymous disposables only, but for those that the person agrees to */
	{"mask", "@dispvm", "qubes.OpenURL", "", POLICY_ALLOW, "dvm-anon"},
	{"mask", "@dispvm:dvm-anon", "qubes.VMShell", "", POLICY_ALLOW, "dvm-anon"},
	{"hidden", "@dispvm", "qubes.OpenURL", "", POLICY_DENY},
	{"hidden", "@dispvm", "qubes.VMExec", "ls", POLICY_DENY},
	{"hidden", "@dispvm", "qubes.StartApp", "firefox", POLICY_DENY},
	{"hidden", "@dispvm:dvm", "qubes.OpenURL", "", POLICY_ASK},
	/* programs elsewhere */
	{"work", "vault", "qubes.VMShell", "", POLICY_ASK},
	{"work", "vault", "qubes.VMRootShell", "", POLICY_DENY},
	{"work", "@dispvm", "qubes.VMRootShell", "", POLICY_DENY},
	{"work", "vault", "qubes.VMRootExec", "ls", POLICY_DENY},
	{"work", "dom0", "qubes.VMShell", "", POLICY_DENY},
	{"work", "vault", "qubes.StartApp", "firefox", POLICY_ASK},
	{"work", "@dispvm", "qubes.StartApp", "firefox", POLICY_ALLOW, "dvm"},
	{"work", "dom0", "qubes.StartApp", "firefox", POLICY_DENY},
	{"work", "vault", "qubes.SelectFile", "", POLICY_DENY},
	{"work", "vault", "qubes.SelectDirectory", "", POLICY_DENY},
	/* network and devices */
	{"tmpl", "@default", "qubes.UpdatesProxy", "", POLICY_ALLOW, "sys-net"},
	{"tmpl", "work", "qubes.UpdatesProxy", "", POLICY_DENY},
	{"tmpl-anon", "@default", "qubes.UpdatesProxy", "", POLICY_ALLOW, "sys-whonix"},
	{"tmpl-anon", "sys-net", "qubes.UpdatesProxy", "", POLICY_DENY},
	{"work", "@default", "qubes.UpdatesProxy", "", POLICY_DENY},
	{"work", "vault", "qubes.ConnectTCP", "22", POLICY_DENY},
	{"work", "dom0", "qubes.InputKeyboard", "", POLICY_DENY},
	{"work", "vault", "qubes.USB", "1-1", POLICY_DENY},
	/* reports */
	{"work", "dom0", "qubes.FeaturesRequest", "", POLICY_ALLOW, "dom0"},
	{"work", "dom0", "qubes.NotifyUpdates", "", POLICY_ALLOW, "dom0"},
	{"work", "vault", "qubes.NotifyUpdates", "", POLICY_DENY},
	/* the time */
	{"work", "@default", "qubes.GetDate", "nanoseconds", POLICY_ALLOW, "dom0"},
	{"work", "dom0", "qubes.GetDate", "", POLICY_ALLOW, "dom0"},
	{"work", "vault", "qubes.GetDate", "", POLICY_DENY},
	{"hidden", "@default", "qubes.GetDate", "", POLICY_DENY},
	{"hidden", "dom0", "qubes.GetDate", "", POLICY_DENY},
	{"hidden", "dom0", "qubes.GetRandomizedTime", "", POLICY_ALLOW, "dom0"},
	{"work", "dom0", "qubes.GetRandomizedTime", "", POLICY_ALLOW, "dom0"},
	{"work", "vault", "qubes.GetRandomizedTime", "", POLICY_DENY},
	{"work", "dom0", "qubes.SyncNtpClock", "", POLICY_DENY},
	{"work", "sys-net", "qubes.SyncNtpClock", "", POLICY_DENY},
	{"work", "vault", "qubes.SetDateTime", "", POLICY_DENY},
	{"work", "vault", "qubes.SuspendPreAll", "", POLICY_DENY},
	/* what it shows of itself */
	{"tmpl", "dom0", "qubes.SyncAppMenus", "", POLICY_ALLOW, "dom0"},
	{"work", "vault", "qubes.SyncAppMenus", "", POLICY_DENY},
	{"work", "@default", "qubes.Notifications", "", POLICY_DENY},
	{"work", "dom0", "policy.RegisterArgument", "qubes.Gpg", POLICY_DENY},
	/* nobody administers anything */
	{"work", "dom0", "admin.vm.List", "", POLICY_DENY},
	{"work", "dom0", "admin.property.Get", "default_netvm", POLICY_DENY},
	{"work", "vault", "admin.vm.volume.Import", "private", POLICY_DENY},
	{"work", "work", "admin.vm.Start", "", POLICY_DENY},
	{"work", "dom0", "admin.vm.Create.AppVM", "tmpl", POLICY_DENY},
	{"work", "dom0", "internal.GetSystemInfo", "", POLICY_DENY},
	{"work", "dom0", "anything.Else", "", POLICY_DENY},
	{"work", "vault", "anything.Else", "", POLICY_DENY},
	{"nobody", "vault", "anything.Else", "", POLICY_DENY},
};

/* the same with a line in one of the four files */
static const struct {
	const char *file, *line, *target, *service;
	enum policy_action verdict;
} grants[] = {
	{"include/admin-local-rwx", "work vault allow target=@adminvm", "vault", "admin.vm.Start", POLICY_ALLOW},
	{"include/admin-local-rwx", "work vault allow target=@adminvm", "vault", "admin.vm.property.Get", POLICY_ALLOW},
	{"include/admin-local-rwx", "work vault allow target=@adminvm", "lone", "admin.vm.Start", POLICY_DENY},
	{"include/admin-local-rwx", "work vault allow target=@adminvm", "dom0", "admin.property.Get", POLICY_DENY},
	{"include/admin-local-ro", "work vault allow target=@adminvm", "vault", "admin.vm.property.Get", POLICY_ALLOW},
	{"include/admin-local-ro", "work vault allow target=@adminvm", "vault", "admin.vm.Start", POLICY_DENY},
	{"include/admin-global-ro", "work @adminvm allow", "dom0", "admin.property.Get", POLICY_ALLOW},
	{"include/admin-global-ro", "work @adminvm allow", "dom0", "admin.property.Set", POLICY_DENY},
	{"include/admin-global-rwx", "work @adminvm allow", "dom0", "admin.property.Set", POLICY_ALLOW},
	{"include/admin-global-rwx", "work @adminvm allow", "dom0", "admin.label.List", POLICY_ALLOW},
};
// clang-format on

static struct ruleset rules;

static int decide(const struct policy_request *q, enum policy_action verdict, const char *to)
{
	struct policy_error error = {0};
	AUTO_FREE struct policy *p = NULL;
	AUTO_FREE void *room = NULL;
	struct policy_view *v;
	struct policy_answer a;
	size_t size;
	int r = ruleset_compile(&rules, &p, &error);

	if (r != 0)
		fail_msg("%s:%u: %s", error.file, error.line, error.reason);
	size = policy_view_size(p, ARRAY_LEN(qubes));
	room = malloc(size);
	assert_non_null(room);
	assert_int_equal(policy_view_make(p, qubes, ARRAY_LEN(qubes), room, size, &v), 0);
	policy_decide(v, q, &a);
	return a.verdict == verdict && (!to || strcmp(a.target.name, to) == 0);
}

static void it_keeps_its_promises(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct policy_request q = {.source = rows[i].source,
						 .target = rows[i].target,
						 .service = rows[i].service,
						 .argument = rows[i].argument};

		if (!decide(&q, rows[i].verdict, rows[i].to))
			fail_msg("%s -> %s: %s+%s", q.source, q.target, q.service, q.argument);
	}
}

static void a_line_in_a_file_grants_what_the_file_is_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(grants); i++) {
		const struct policy_request q = {.source = "work",
						 .target = grants[i].target,
						 .service = grants[i].service,
						 .argument = ""};
		struct policy_file *f = rules.own, was;

		while (strcmp(f->path, grants[i].file) != 0)
			f++;
		was = *f;
		f->text = grants[i].line;
		f->len = strlen(grants[i].line);
		if (!decide(&q, grants[i].verdict, NULL))
			fail_msg("%s: %s on %s", grants[i].file, q.service, q.target);
		*f = was;
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_keeps_its_promises),
		cmocka_unit_test(a_line_in_a_file_grants_what_the_file_is_for),
	};
	AUTO_FREE char *path = NULL;
	int failed;

	if (argc != 2 ||
	    ruleset_read((const char *const[]){argv[1], NULL}, NULL, &rules, &path) < 0)
		return 2;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	ruleset_done(&rules);
	return failed;
}
