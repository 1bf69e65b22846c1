/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policy and qubes of this instance, or of files; what is wrong is told to the person. */
#include "qubes-policy.h"

#include "base/paths.h"
#include "base/str.h"
#include "client/client.h"
#include "ui.h"

#include <stdio.h>

int system_load(const struct args *a, const char *path, struct system *ret)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	json_error_t error;
	json_t *json;
	int r;

	if (path) {
		json = json_load_file(path, 0, &error);
		if (!json)
			return ui_fail(a, "%s: %s", path, error.text);
	} else {
		char socket[PATHS_RUN_MAX + sizeof("/qubesd.internal.sock")];
		struct paths paths;

		r = paths_init(&paths, false);
		if (r < 0)
			return ui_fail(a, "no instance runs here; --system-info=FILE says which "
					  "qubes there are");
		(void)!str_format(socket, sizeof(socket), "%s/qubesd.internal.sock", paths.run);
		paths_done(&paths);
		r = client_call(socket, "internal.GetSystemInfo", "dom0", NULL, NULL, 0, NO_FD,
				&answer);
		if (r != 0)
			return ui_fail(a, "qubesd does not answer; --system-info=FILE says which "
					  "qubes there are");
		json = json_loadb(answer.data, answer.len, 0, &error);
		if (!json)
			return ui_fail(a, "qubesd: %s", error.text);
	}
	r = system_from_json(json, ret);
	return r < 0 ? ui_fail_errno(a, path ? path : "qubesd", r) : 0;
}

int policy_fault(const struct args *a, const struct policy_error *e)
{
	if (e->line > 0)
		return ui_fail(a, "%s:%u: %s; with this fault every call is refused", e->file,
			       e->line, e->reason);
	return ui_fail(a, "%s%s%s; with this fault every call is refused", e->file,
		       e->file[0] ? ": " : "", e->reason);
}

int instance_folders(struct instance_folders *ret)
{
	struct paths paths;
	int r = paths_init(&paths, false);

	if (r < 0)
		return r;
	r = str_format(ret->runtime, sizeof(ret->runtime), "%s/policy.d", paths.run);
	if (r == 0)
		r = str_format(ret->config, sizeof(ret->config), "%s/policy.d", paths.config);
	paths_done(&paths);
	return r;
}

int policy_load_with(const struct args *a, const char *folder, const char *legacy,
		     const struct lint_file *files, unsigned n_files, struct policy **ret)
{
	struct ruleset AUTO(ruleset_done) rules = {0};
	struct instance_folders own;
	const char *folders[3] = {folder};
	AUTO_FREE char *path = NULL;
	struct policy_error error = {0};
	int r;

	if (!folder) {
		if (instance_folders(&own) < 0)
			return ui_fail(a, "no instance runs here; --policy-dir=DIR says where the "
					  "policy is");
		folders[0] = own.runtime;
		folders[1] = own.config;
	}
	r = ruleset_read(folders, legacy ? legacy : RULESET_LEGACY_DIR, &rules, &path);
	if (r < 0)
		return ui_fail_errno(a, path ? path : "the policy", r);
	for (unsigned i = 0; r == 0 && i < n_files; i++)
		r = ruleset_put(&rules, files[i].name, files[i].text, files[i].len);
	if (r == 0)
		r = ruleset_compile(&rules, ret, &error);
	if (r < 0)
		return ui_fail_errno(a, "the policy", r);
	return r > 0 ? policy_fault(a, &error) : 0;
}

int policy_load(const struct args *a, const char *folder, const char *legacy, struct policy **ret)
{
	return policy_load_with(a, folder, legacy, NULL, 0, ret);
}
