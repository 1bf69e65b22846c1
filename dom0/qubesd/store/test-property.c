/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Properties: where values come from, and what they may be set to. A small world of qubes in
 * memory. */
#include "store/property.h"

#include "store/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct model m;

static struct qube *add(unsigned qid, enum klass klass, const char *name)
{
	struct qube *q = calloc(1, sizeof(*q));

	assert_non_null(q);
	assert_int_equal(model_reserve(&m, 1), 0);
	q->qid = qid;
	q->klass = klass;
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	(void)snprintf(q->uuid, sizeof(q->uuid), "00000000-0000-4000-8000-%012u", qid);
	q->values[PROP_label] = strdup("1");
	model_add(&m, q);
	return q;
}

static void set(struct qube *q, enum property_id id, const char *raw)
{
	free(q->values[id]);
	q->values[id] = raw ? strdup(raw) : NULL;
}

/* dom0 0, template 1, other template 2, net (provides network) 3, firewall (behind net) 4, work 5,
 * dvm 6 (a template for disposables) */
static int world_begin(void **state)
{
	static const char *const labels[] = {NULL, "red", "orange"};

	(void)state;
	model_init(&m);
	m.machine.memory_mib = 8192;
	m.machine.n_cpus = 4;
	for (unsigned i = 1; i < ARRAY_LEN(labels); i++)
		m.labels[i].name = strdup(labels[i]);
	add(0, KLASS_ADMIN, "dom0");
	add(1, KLASS_TEMPLATE, "tmpl");
	add(2, KLASS_TEMPLATE, "other");
	set(add(3, KLASS_STANDALONE, "net"), PROP_provides_network, "True");
	set(add(4, KLASS_APP, "firewall"), PROP_provides_network, "True");
	add(5, KLASS_APP, "work");
	add(6, KLASS_APP, "dvm");
	set(model_get(&m, 3), PROP_netvm, "");
	set(model_get(&m, 4), PROP_netvm, "3");
	set(model_get(&m, 6), PROP_template_for_dispvms, "True");
	for (unsigned i = 4; i <= 6; i++)
		set(model_get(&m, i), PROP_template, "1");
	return 0;
}

static int world_end(void **state)
{
	(void)state;
	model_done(&m);
	return 0;
}

static void values_come_from_where_the_table_says(void **state)
{
	struct qube *work = model_find(&m, "work"), *tmpl = model_find(&m, "tmpl");
	char buf[PROPERTY_BUF];

	(void)state;
	assert_int_equal(property_int(&m, work, PROP_memory), 400);
	set(tmpl, PROP_memory, "700");
	assert_int_equal(property_int(&m, work, PROP_memory), 700);
	set(work, PROP_memory, "300");
	assert_int_equal(property_int(&m, work, PROP_memory), 300);

	assert_null(property_qube(&m, work, PROP_netvm));
	m.globals[GLOBAL_default_netvm] = strdup("4");
	assert_string_equal(property_qube(&m, work, PROP_netvm)->name, "firewall");
	assert_null(property_qube(&m, tmpl, PROP_netvm));
	assert_string_equal(property_text(&m, work, PROP_ip, buf), "10.137.0.5");
	assert_string_equal(property_text(&m, work, PROP_visible_gateway, buf), "10.137.0.4");
	assert_string_equal(property_text(&m, tmpl, PROP_ip, buf), "");
	set(work, PROP_netvm, "");
	assert_null(property_qube(&m, work, PROP_netvm));
	assert_string_equal(property_text(&m, work, PROP_dns, buf), "");

	assert_string_equal(property_text(&m, work, PROP_icon, buf), "appvm-red");
	assert_string_equal(property_text(&m, work, PROP_xid, buf), "-1");
	assert_string_equal(property_text(&m, work, PROP_guivm, buf), "dom0");
	assert_string_equal(property_text(&m, work, PROP_klass, buf), "AppVM");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 4000);
	/* classes that do not have one */
	assert_string_equal(property_text(&m, model_get(&m, 0), PROP_memory, buf), "");
	assert_null(property_find(model_get(&m, 0), "netvm"));
	assert_null(property_find(tmpl, "template"));
	assert_null(property_find(work, "no-such"));
}

static void feature(struct qube *q, const char *name, const char *value)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->key = strdup(name);
	p->value = strdup(value);
	pair_put(&q->features, p);
}

static void maxmem_follows_what_the_guest_can(void **state)
{
	struct qube *work = model_find(&m, "work"), *tmpl = model_find(&m, "tmpl");

	(void)state;
	m.machine.memory_mib = 16384;
	assert_int_equal(property_int(&m, model_get(&m, 0), PROP_maxmem), 4096);
	assert_int_equal(property_int(&m, work, PROP_maxmem), 4000);
	set(work, PROP_memory, "300");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 4000);
	feature(tmpl, "os", "Linux");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 3000);
	set(work, PROP_memory, "1000");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 8192);
	set(work, PROP_memory, "9000");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 9000);
	set(tmpl, PROP_virt_mode, "hvm");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 0);
	feature(tmpl, "qrexec", "1");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 9000);
	feature(work, "supported-service.cups", "1");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 0);
	feature(tmpl, "supported-service.meminfo-writer", "1");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 9000);
	set(tmpl, PROP_maxmem, "10000");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 10000);
}

static void a_keyboard_is_that_of_who_shows_the_windows(void **state)
{
	struct qube *work = model_find(&m, "work"), *net = model_find(&m, "net");
	const struct property *keyboard = property_find(work, "keyboard_layout");
	char buf[PROPERTY_BUF];

	(void)state;
	assert_string_equal(property_text(&m, work, PROP_keyboard_layout, buf), "us++");
	set(model_get(&m, 0), PROP_keyboard_layout, "de++");
	assert_string_equal(property_text(&m, work, PROP_keyboard_layout, buf), "de++");
	assert_true(property_depends(&m, work, keyboard, model_get(&m, 0), keyboard));
	set(work, PROP_guivm, "3");
	assert_string_equal(property_text(&m, work, PROP_keyboard_layout, buf), "de++");
	set(net, PROP_keyboard_layout, "cz++");
	assert_string_equal(property_text(&m, work, PROP_keyboard_layout, buf), "cz++");
	assert_false(property_depends(&m, work, keyboard, model_get(&m, 0), keyboard));
	set(net, PROP_guivm, "3");
	assert_string_equal(property_text(&m, net, PROP_keyboard_layout, buf), "cz++");
}

static void a_disposable_starts_disposables_like_itself(void **state)
{
	struct qube *named = add(7, KLASS_DISP, "named"), *work = model_find(&m, "work");
	const struct property *p = property_find(named, "default_dispvm"),
			      *global = property_find(NULL, "default_dispvm");
	char buf[PROPERTY_BUF];
	bool is_default;

	(void)state;
	set(named, PROP_template, "6");
	m.globals[GLOBAL_default_dispvm] = strdup("5");
	assert_string_equal(property_raw(&m, named, p, buf, &is_default), "6");
	assert_true(is_default);
	assert_string_equal(property_raw(&m, work, p, buf, NULL), "5");
	assert_true(property_depends(&m, work, p, NULL, global));
	assert_false(property_depends(&m, named, p, NULL, global));
	set(named, PROP_default_dispvm, "");
	assert_null(property_qube(&m, named, PROP_default_dispvm));
	/* one that is removed at its end is in no backup, unless somebody wants it there */
	assert_true(property_bool(&m, named, PROP_include_in_backups));
	set(named, PROP_auto_cleanup, "True");
	assert_false(property_bool(&m, named, PROP_include_in_backups));
	set(named, PROP_include_in_backups, "True");
	assert_true(property_bool(&m, named, PROP_include_in_backups));
	/* an address of its own range */
	set(named, PROP_dispid, "7161");
	set(named, PROP_netvm, "3");
	assert_string_equal(property_text(&m, named, PROP_ip, buf), "10.138.27.249");
}

static void the_default_of_each_row_can_be_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < m.n_qubes; i++)
		for (unsigned n = 0; n < N_PROPERTIES; n++) {
			const struct property *p = property_at(false, n);
			char buf[PROPERTY_BUF];

			assert_int_equal(p->id, n);
			if (property_has(m.by_name[i], p))
				assert_non_null(property_show(
					&m, p, property_raw(&m, m.by_name[i], p, buf, NULL)));
		}
	for (unsigned n = 1; n < N_PROPERTIES; n++) /* lists are sorted because the rows are */
		assert_true(strcmp(property_at(false, n - 1)->name, property_at(false, n)->name) <
			    0);
	for (unsigned n = 1; n < N_GLOBALS; n++)
		assert_true(strcmp(property_at(true, n - 1)->name, property_at(true, n)->name) < 0);
}

static void values_are_checked_as_they_are_set(void **state)
{
	/* clang-format off */
	static const struct {
		const char *qube, *property, *value;
		const char *raw; /* NULL: refused */
		const char *type;
	} rows[] = {
		{"work", "memory", "500", "500"},
		{"work", "memory", "0"}, {"work", "memory", "-5"}, {"work", "memory", "abc"}, {"work", "memory", ""},
		{"work", "memory", "0500"}, {"work", "memory", "5 "}, {"work", "memory", "+5"}, {"work", "memory", "8193"},
		{"work", "memory", "99999999999999999999999"}, {"work", "memory", "1e3"}, {"work", "memory", "5\n"},
		{"work", "memory", "1"}, {"work", "memory", "31"}, {"work", "memory", "32", "32"}, {"work", "memory", "8192", "8192"},
		{"work", "maxmem", "0", "0"}, {"work", "maxmem", "-1"}, {"work", "maxmem", "1"}, {"work", "maxmem", "399"},
		{"work", "maxmem", "400", "400"}, {"work", "maxmem", "8193"}, {"dom0", "maxmem", "200", "200"},
		{"work", "vcpus", "4", "4"}, {"work", "vcpus", "0"}, {"work", "vcpus", "256"},
		{"work", "autostart", "yes", "True"}, {"work", "autostart", "OFF", "False"}, {"work", "autostart", "2"},
		{"work", "autostart", ""},
		{"work", "label", "orange", "2"}, {"work", "label", "2", "2"}, {"work", "label", "pink"}, {"work", "label", "3"},
		{"work", "label", ""}, {"work", "label", "0"},
		{"work", "netvm", "net", "3"}, {"work", "netvm", "", ""}, {"work", "netvm", "dvm"}, {"work", "netvm", "nobody"},
		{"work", "netvm", "dom0"}, {"work", "netvm", "None"}, {"work", "netvm", "work"},
		{"net", "netvm", "firewall"}, /* a loop */
		{"work", "template", "other", "2"}, {"work", "template", ""}, {"work", "template", "net"},
		{"work", "default_dispvm", "dvm", "6"}, {"work", "default_dispvm", "net"}, {"work", "default_dispvm", "", ""},
		{"work", "default_user", "a.b", "a.b"}, {"work", "default_user", "a b"}, {"work", "default_user", ""},
		{"work", "default_user", "a/b"}, {"work", "default_user", "\xc3\xa4"},
		{"work", "kernel", "", ""}, {"work", "kernel", "6.1"}, {"work", "kernel", "../x"},
		{"work", "keyboard_layout", "de+nodeadkeys+", "de+nodeadkeys+"}, {"work", "keyboard_layout", "de"},
		{"work", "keyboard_layout", "de+++"},
		{"work", "virt_mode", "hvm", "hvm"}, {"work", "virt_mode", "kvm"},
		{"work", "ip", "10.1.2.3", "10.1.2.3"}, {"work", "ip", "10.1.2"}, {"work", "ip", "10.1.2.256"},
		{"work", "mac", "00:16:3e:5e:6c:01", "00:16:3e:5e:6c:01"}, {"work", "mac", "01:16:3e:5e:6c:01"},
		{"work", "mac", "00-16-3e-5e-6c-01"}, {"work", "mac", "00:16:3e:5e:6c"},
		{"work", "qrexec_timeout", "1", "1"}, {"work", "qrexec_timeout", "0"},
		{"work", "kernelopts", "a=%s b", "a=%s b"}, {"work", "kernelopts", "a\tb"},
		{"work", "name", "else"}, {"work", "qid", "9"}, {"work", "uuid", "x"}, {"work", "xid", "1"}, {"work", "klass", "AppVM"},
		{"work", "provides_network", "True", "True"},
		{"net", "provides_network", "False", NULL, "QubesVMInUseError"},
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct qube *q = model_find(&m, rows[i].qube);
		const struct property *p = property_find(q, rows[i].property);
		char raw[PROPERTY_VALUE_MAX + 1];
		struct refusal why = {0};
		int r;

		assert_non_null(p);
		r = property_parse(&m, q, p, rows[i].value, strlen(rows[i].value), raw, &why);
		print_message("%s %s='%s': %d %s\n", rows[i].qube, rows[i].property, rows[i].value,
			      r, why.text);
		assert_int_equal(r, rows[i].raw ? 0 : REFUSED);
		if (rows[i].raw)
			assert_string_equal(raw, rows[i].raw);
		else
			assert_string_equal(why.type, rows[i].type ? rows[i].type
								   : "QubesPropertyValueError");
	}
}

/* what @value becomes of a property of "work": 0 or REFUSED */
static int parse(const char *property, const char *value, struct refusal *why)
{
	const struct qube *work = model_find(&m, "work");
	char raw[PROPERTY_VALUE_MAX + 1];

	return property_parse(&m, work, property_find(work, property), value, strlen(value), raw,
			      why);
}

static void memory_stays_below_maxmem(void **state)
{
	struct qube *work = model_find(&m, "work"), *tmpl = model_find(&m, "tmpl");
	struct refusal why;

	(void)state;
	/* by default there is room for what is set */
	set(work, PROP_memory, "6000");
	assert_int_equal(property_int(&m, work, PROP_maxmem), 6000);
	set(work, PROP_maxmem, "6500");
	assert_int_equal(parse("memory", "6500", &why), 0);
	assert_int_equal(parse("memory", "6501", &why), REFUSED);
	assert_non_null(strstr(why.text, "the maxmem of 'work', 6500 MiB"));
	assert_int_equal(parse("maxmem", "5999", &why), REFUSED);
	assert_non_null(strstr(why.text, "the memory of 'work', 6000 MiB"));
	assert_int_equal(parse("maxmem", "6000", &why), 0);
	set(work, PROP_maxmem, "0"); /* no balancing: no bound */
	assert_int_equal(parse("memory", "8000", &why), 0);
	/* its template's word counts as well */
	free(work->values[PROP_maxmem]);
	work->values[PROP_maxmem] = NULL;
	set(tmpl, PROP_maxmem, "7000");
	assert_int_equal(parse("memory", "7001", &why), REFUSED);
	set(work, PROP_memory, "300");
	set(work, PROP_maxmem, "350");
	assert_int_equal(property_may_reset(&m, work, property_find(work, "memory"), &why),
			 REFUSED); /* 400 */
}

static void a_running_qube_keeps_its_template(void **state)
{
	struct qube *work = model_find(&m, "work");
	const struct property *p = property_find(work, "template");
	char raw[PROPERTY_VALUE_MAX + 1];
	struct refusal why;

	(void)state;
	work->power = (struct power *)&m; /* anything: it is there */
	assert_int_equal(property_parse(&m, work, p, "other", 5, raw, &why), REFUSED);
	assert_string_equal(why.type, "QubesVMNotHaltedError");
	work->power = NULL;
	assert_int_equal(property_parse(&m, work, p, "other", 5, raw, &why), 0);
}

static void an_over_long_value_is_refused(void **state)
{
	static char value[PROPERTY_VALUE_MAX + 1], raw[PROPERTY_VALUE_MAX + 1];
	struct qube *work = model_find(&m, "work");
	const struct property *p = property_find(work, "kernelopts");
	struct refusal why;

	(void)state;
	memset(value, 'a', sizeof(value));
	assert_int_equal(property_parse(&m, work, p, value, PROPERTY_VALUE_MAX, raw, &why), 0);
	assert_int_equal(property_parse(&m, work, p, value, PROPERTY_VALUE_MAX + 1, raw, &why),
			 REFUSED);
}

static void use_is_reported_with_who_uses_it(void **state)
{
	char where[256];

	(void)state;
	assert_true(property_references(&m, model_find(&m, "net"), where, sizeof(where)));
	assert_string_equal(where, "it is the netvm of 'firewall'");
	set(model_find(&m, "work"), PROP_netvm, "3");
	set(model_find(&m, "net"), PROP_audiovm, "3"); /* its own use is none */
	assert_true(property_references(&m, model_find(&m, "net"), where, sizeof(where)));
	assert_string_equal(where, "it is the netvm of 'firewall', the netvm of 'work'");
	for (size_t size = 6; size < strlen(where) + 1; size++) {
		char cut[256];

		assert_true(property_references(&m, model_find(&m, "net"), cut, size));
		assert_true(strlen(cut) < size);
		if (cut[0] != '\0')
			assert_string_equal(cut + strlen(cut) - 3, "...");
	}
	assert_true(property_references(&m, model_find(&m, "tmpl"), where, sizeof(where)));
	assert_false(property_references(&m, model_find(&m, "work"), where, sizeof(where)));
	m.globals[GLOBAL_default_template] = strdup("2");
	assert_true(property_references(&m, model_find(&m, "other"), where, sizeof(where)));
	assert_string_equal(where, "it is the system's default_template");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(values_come_from_where_the_table_says, world_begin,
						world_end),
		cmocka_unit_test_setup_teardown(maxmem_follows_what_the_guest_can, world_begin,
						world_end),
		cmocka_unit_test_setup_teardown(a_keyboard_is_that_of_who_shows_the_windows,
						world_begin, world_end),
		cmocka_unit_test_setup_teardown(a_disposable_starts_disposables_like_itself,
						world_begin, world_end),
		cmocka_unit_test_setup_teardown(the_default_of_each_row_can_be_read, world_begin,
						world_end),
		cmocka_unit_test_setup_teardown(values_are_checked_as_they_are_set, world_begin,
						world_end),
		cmocka_unit_test_setup_teardown(memory_stays_below_maxmem, world_begin, world_end),
		cmocka_unit_test_setup_teardown(a_running_qube_keeps_its_template, world_begin,
						world_end),
		cmocka_unit_test_setup_teardown(an_over_long_value_is_refused, world_begin,
						world_end),
		cmocka_unit_test_setup_teardown(use_is_reported_with_who_uses_it, world_begin,
						world_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
