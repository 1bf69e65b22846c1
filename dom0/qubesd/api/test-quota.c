/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a qube may change by its reports at once, later, and not at all. The period is short, and passes only while the loop runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "api/call.h"
#include "api/method.h"
#include "api/quota.h"
#include "qubesd.h"

#include <stdio.h>

static struct qubesd daemon_;
static struct qube work = {.qid = 1, .name = "work", .uuid = "work's"};
static struct qube other = {.qid = 2, .name = "other", .uuid = "other's"};
static bool work_is_there;
static char has[2][32];  /* what was said by either method, as it counts */
static unsigned n_calls; /* that are not freed */

/* in place of the daemon's */
struct qube *model_find(const struct model *m, const char *name)
{
	(void)m;
	assert_string_equal(name, "uuid:work's");
	return work_is_there ? &work : NULL;
}

int call_new(struct qubesd *d, struct client *client, const struct admin_request *q, int *fd,
	     struct call **ret)
{
	struct call *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	assert_null(client);
	assert_int_equal(*fd, NO_FD);
	c->d = d;
	c->q = *q;
	c->payload = strdup((const char *)q->payload);
	n_calls++;
	*ret = c;
	return 0;
}

void call_drop(struct call *c)
{
	free(c->payload);
	free(c);
	n_calls--;
}

void call_end(struct call *c, int r)
{
	assert_int_equal(r, 0);
	call_drop(c);
}

static int says(struct call *c)
{
	char *had = has[c->method->dest == DEST_DOM0];
	const bool changes = strcmp(had, c->payload) != 0;
	int r = quota_take(c, changes);

	if (r == 0)
		(void)snprintf(had, sizeof(has[0]), "%s", c->payload);
	return r;
}

/* one that has been ended when its handler returns */
static int ends_itself(struct call *c)
{
	const int r = says(c);

	if (r != 0)
		return r;
	call_end(c, 0);
	return CALL_LATER;
}

static const struct method menu = {.name = "menu", .dest = DEST_DOM0, .handler = says};
static const struct method feature = {.name = "feature", .dest = DEST_ANY, .handler = says};
static const struct method hint = {.name = "hint", .dest = DEST_ANY, .handler = ends_itself};

static int said(struct qube *q, const struct method *m, const char *text)
{
	struct call c = {.d = &daemon_,
			 .method = m,
			 .q = {.payload = (const uint8_t *)text, .payload_len = strlen(text)},
			 .payload = (char *)(uintptr_t)text,
			 .source = q};

	return says(&c);
}

static int begin(void **state)
{
	(void)state;
	work_is_there = true;
	memset(has, 0, sizeof(has));
	return sd_event_new(&daemon_.event) < 0;
}

static int end(void **state)
{
	(void)state;
	quota_end(&daemon_);
	assert_int_equal(n_calls, 0);
	daemon_.event = sd_event_unref(daemon_.event);
	return 0;
}

static void all_at_once(void)
{
	for (unsigned i = 0; i < QUOTA_BURST; i++)
		assert_int_equal(said(&work, &menu, i % 2 ? "a" : "b"), 0);
}

/* until nothing is remembered of anybody */
static void time_passes(void)
{
	for (unsigned i = 0; daemon_.quotas && i < 1000; i++)
		assert_true(sd_event_run(daemon_.event, UINT64_C(10000000)) >= 0);
	assert_null(daemon_.quotas);
}

static void each_qube_has_its_own(void **state)
{
	(void)state;
	all_at_once();
	assert_int_equal(said(&work, &menu, "b"), REFUSED);
	assert_int_equal(said(&work, &feature, "b"), REFUSED);
	assert_int_equal(said(&other, &menu, "c"), 0);
	assert_string_equal(has[1], "c");
}

static void what_changes_nothing_is_free(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * QUOTA_BURST; i++)
		assert_int_equal(said(&work, &menu, "a"), 0);
	assert_int_equal(said(&work, &menu, "b"), 0);
}

static void the_last_word_of_each_service_counts_in_the_end(void **state)
{
	(void)state;
	all_at_once();
	assert_int_equal(said(&work, &menu, "first"), REFUSED);
	assert_int_equal(said(&work, &feature, "x"), REFUSED);
	assert_int_equal(said(&work, &menu, "last"), REFUSED);
	assert_string_equal(has[1], "a");
	assert_int_equal(n_calls, 2);
	time_passes();
	assert_string_equal(has[1], "last");
	assert_string_equal(has[0], "x");
	/* and all begins anew */
	all_at_once();
	assert_int_equal(said(&work, &menu, "b"), REFUSED);
}

static void a_word_taken_back_does_not_count(void **state)
{
	(void)state;
	all_at_once();
	assert_int_equal(said(&work, &menu, "b"), REFUSED);
	assert_int_equal(said(&work, &menu, "a"), 0);
	assert_int_equal(n_calls, 0);
	time_passes();
	assert_string_equal(has[1], "a");
}

static void what_was_kept_does_not_count_once_another_has_said_it(void **state)
{
	(void)state;
	all_at_once();
	assert_int_equal(said(&work, &menu, "b"), REFUSED);
	assert_int_equal(said(&work, &hint, "x"), REFUSED);
	quota_forget(&daemon_, &other, says);
	assert_int_equal(n_calls, 2);
	quota_forget(&daemon_, &work, says);
	assert_int_equal(n_calls, 1);
	quota_forget(&daemon_, &work, says);
	time_passes();
	assert_string_equal(has[1], "a");
	assert_string_equal(has[0], "x");
}

static void one_that_ends_its_call_itself_is_ended_once(void **state)
{
	(void)state;
	all_at_once();
	assert_int_equal(said(&work, &hint, "x"), REFUSED);
	assert_int_equal(n_calls, 1);
	time_passes();
	assert_string_equal(has[0], "x");
	assert_int_equal(n_calls, 0);
}

static void what_a_qube_that_is_gone_has_said_is_nothing(void **state)
{
	(void)state;
	all_at_once();
	assert_int_equal(said(&work, &menu, "b"), REFUSED);
	work_is_there = false;
	time_passes();
	assert_string_equal(has[1], "a");
	assert_int_equal(n_calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_qube_has_its_own, begin, end),
		cmocka_unit_test_setup_teardown(what_changes_nothing_is_free, begin, end),
		cmocka_unit_test_setup_teardown(the_last_word_of_each_service_counts_in_the_end,
						begin, end),
		cmocka_unit_test_setup_teardown(a_word_taken_back_does_not_count, begin, end),
		cmocka_unit_test_setup_teardown(
			what_was_kept_does_not_count_once_another_has_said_it, begin, end),
		cmocka_unit_test_setup_teardown(one_that_ends_its_call_itself_is_ended_once, begin,
						end),
		cmocka_unit_test_setup_teardown(what_a_qube_that_is_gone_has_said_is_nothing, begin,
						end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
