/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policy files of any content. The input is the texts of some files, parted by NUL; the last part
 * damages the compiled policy. Checked: what compiles is a good table; the rule that decides is the
 * first that matches by itself; nobody is offered itself or what is internal; and a damaged table is
 * refused or leads nowhere outside of itself.
 */
#include "fuzz.h"

#include "base/attr.h"
#include "policy/policy.h"
#include "proto/decision.h"

#include <string.h>

static const char *const names[] = {"10-a.policy", "20-b.policy", "include/x", "sub/1.policy"};
static const char *const legacy_names[] = {"a.B", "a.B+x"};

#define N_FILES  ARRAY_LEN(names)
#define N_LEGACY ARRAY_LEN(legacy_names)

static const char *const tags[] = {"t", "u"};

static const struct policy_qube qubes[] = {
	{.name = "dom0", .uuid = "0", .type = "AdminVM"},
	{.name = "dvm", .uuid = "1", .tags = tags, .n_tags = 2, .template_for_dispvms = true},
	{.name = "far", .uuid = "2", .type = "RemoteVM", .relayvm = "net"},
	{.name = "hid", .uuid = "3", .template_for_dispvms = true, .internal = true},
	{.name = "net", .uuid = "4", .type = "AppVM", .tags = tags, .n_tags = 1, .running = true},
	{.name = "work", .uuid = "5", .type = "AppVM", .default_dispvm = "dvm"},
};

static const struct policy_request requests[] = {
	{"work", NULL, "net", "a.B", ""},          {"work", NULL, "@dispvm", "a.B", "x"},
	{"net", NULL, "@dispvm", "a.B", ""},       {"net", NULL, "@dispvm:dvm", "c.D", "x"},
	{"work", NULL, "dom0", "a.B", "x"},        {"work", NULL, "", "c.D", ""},
	{"nobody", NULL, "uuid:4", "a.B", ""},     {"net", "far", "work", "a.B", ""},
	{"work", NULL, "@dispvm:work", "a.B", ""}, {"dom0", NULL, "dvm", "c.D", "x"},
};

static struct policy_view *view_of(const struct policy *p, void **ret_room)
{
	size_t size = policy_view_size(p, ARRAY_LEN(qubes));
	struct policy_view *v = NULL;

	*ret_room = malloc(size);
	FUZZ_CHECK(*ret_room);
	FUZZ_CHECK(policy_view_make(p, qubes, ARRAY_LEN(qubes), *ret_room, size, &v) == 0);
	return v;
}

/* who reads the answer reads an allow in it */
static bool is_understood(char *reply)
{
	struct decision_answer a;

	return strstr(reply, "\nresult=allow\ntarget=") &&
	       decision_answer_decode(reply, strlen(reply), &a) == 0 && a.allow;
}

/* every question, and all that can be asked about the answers */
static void ask_all(const struct policy *p, bool good)
{
	void *room;
	struct policy_view *v = view_of(p, &room);

	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		enum policy_step step = POLICY_OTHER_SERVICE;
		struct policy_rule rule;
		struct policy_answer a;
		struct policy_target t;
		uint32_t first = 0, n = 0, at = 0;
		const char *caller;

		for (uint32_t k = 0; k < policy_n_rules(p); k++) {
			policy_rule_get(p, k, &rule);
			FUZZ_CHECK(rule.file && rule.source.prefix && rule.target.value);
		}
		for (; first < policy_n_rules(p) && step < POLICY_MATCHES; first++)
			step = policy_rule_step(v, &requests[i], first);
		policy_decide(v, &requests[i], &a);
		if (good && step == POLICY_MATCHES)
			FUZZ_CHECK(a.rule == first - 1 && a.reason != POLICY_NO_RULE);
		if (good && step < POLICY_MATCHES)
			FUZZ_CHECK(a.rule == POLICY_NONE && a.verdict == POLICY_DENY);
		if (good && step > POLICY_MATCHES)
			FUZZ_CHECK(a.verdict == POLICY_DENY);
		if (a.verdict == POLICY_ALLOW) {
			char reply[POLICY_REPLY_SIZE];
			int r = policy_reply(v, &requests[i], &a.target, a.user, a.autostart, reply,
					     sizeof(reply));

			FUZZ_CHECK(a.target.name && a.target.qube < ARRAY_LEN(qubes));
			/* the name of a user can be of any length, and of any characters */
			FUZZ_CHECK(r == 0 || r == -ENAMETOOLONG || (r == -EINVAL && a.user));
			FUZZ_CHECK(r != 0 || is_understood(reply));
		}
		FUZZ_CHECK(policy_reason_text(a.reason)[0] != '\0');
		caller = requests[i].requested_source ? requests[i].requested_source
						      : requests[i].source;
		while (policy_target_next(&a, &at, &t)) {
			n++;
			if (a.redirected)
				continue;
			FUZZ_CHECK(strcmp(t.name, caller) != 0 || t.prefix[0] != '\0');
			FUZZ_CHECK(!qubes[t.qube].internal);
		}
		FUZZ_CHECK((a.verdict == POLICY_ASK) == (n > 0));
	}
	free(room);
}

/* the last part of the input: pairs of a place and what is written there */
static void damage(const struct policy *p, const uint8_t *data, size_t len)
{
	size_t size = policy_len(p);
	uint8_t *copy = malloc(size);
	const struct policy *damaged;

	FUZZ_CHECK(copy);
	memcpy(copy, p, size);
	for (size_t i = 0; i + 3 <= len; i += 3)
		copy[((size_t)data[i] << 8 | data[i + 1]) % size] = data[i + 2];
	if (policy_check(copy, size, &damaged) == 0)
		ask_all(damaged, false);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_file files[N_FILES], legacy[N_LEGACY], *f;
	const struct policy_files all = {files, legacy, N_FILES, N_LEGACY};
	const struct policy *p, *same;
	struct policy_error error = {0};
	size_t room_len;
	void *room;
	int r;

	for (unsigned i = 0; i < N_FILES + N_LEGACY; i++) {
		const uint8_t *end = size > 0 ? memchr(data, '\0', size) : NULL;
		size_t len = end ? (size_t)(end - data) : size;

		f = i < N_FILES ? &files[i] : &legacy[i - N_FILES];
		f->path = i < N_FILES ? names[i] : legacy_names[i - N_FILES];
		f->text = (const char *)data;
		f->len = len;
		data += end ? len + 1 : len;
		size -= end ? len + 1 : len;
	}
	r = policy_measure(&all, &room_len, &error);
	FUZZ_CHECK(r == 0 || r == POLICY_E_SYNTAX);
	if (r != 0) {
		FUZZ_CHECK(error.reason[0] != '\0' && (error.line == 0 || error.file[0] != '\0'));
		return 0;
	}
	room = malloc(room_len);
	FUZZ_CHECK(room);
	FUZZ_CHECK(policy_compile(&all, room, room_len, &p, &error) == 0);
	FUZZ_CHECK(policy_check(p, policy_len(p), &same) == 0 && same == p);
	ask_all(p, true);
	damage(p, data, size);
	free(room);
	return 0;
}
