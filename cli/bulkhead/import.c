/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bulkhead import-qubes-xml: the definitions of a Qubes installation, shown first, then made together.
 *
 * The file is read here (definitions.h); qubesd judges what comes of it, once to show it and once to do it.
 */
#include "bulkhead.h"

#include "base/io.h"
#include "base/str.h"
#include "definitions.h"
#include "grid.h"
#include "qubesd.h"
#include "ui.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { DRY_RUN = OPTION_OWN, YES, RENAME, TEMPLATE, POOL, EXCLUDE, FIREWALL_DIR };

/** struct import - what one run of the command holds */
struct import {
	const struct args *args;
	struct definitions definitions;
	char *records, *notes, *table;
	size_t records_len, notes_len, table_len;
	const char **words; /* of all translations */
	int fd;
};

static void import_done(struct import *im)
{
	free(im->records);
	free(im->notes);
	free(im->table);
	free(im->words);
	close_fd(&im->fd);
}

/* what comes from the file, on a terminal: nothing but printable ASCII */
static void put_words(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		(void)putchar(text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
}

/* the values given for @key, behind those of others in @im->words */
static int collect(struct import *im, int key, bool pairs, const char ***ret, unsigned *ret_n)
{
	const struct args *a = im->args;
	unsigned at = 0;

	while (im->words[at])
		at++;
	*ret = im->words + at;
	*ret_n = 0;
	for (unsigned i = 0; i < a->n_given; i++) {
		const char *value = a->given[i].value, *equals = value ? strchr(value, '=') : NULL;

		if (a->given[i].key != key)
			continue;
		if (pairs && (!equals || equals == value || equals[1] == '\0')) {
			(void)ui_usage(a, "'%s' is not OLD=NEW", value);
			return 2;
		}
		(*ret)[(*ret_n)++] = value;
	}
	return 0;
}

static int collect_all(struct import *im)
{
	struct definitions *d = &im->definitions;
	int r;

	/* of each kind a list, all in one array, filled from its beginning */
	im->words = calloc(im->args->n_given + 1, sizeof(*im->words));
	if (!im->words)
		return ui_fail(im->args, "out of memory");
	r = collect(im, RENAME, true, &d->renamed.words, &d->renamed.n);
	if (r == 0)
		r = collect(im, TEMPLATE, true, &d->templates.words, &d->templates.n);
	if (r == 0)
		r = collect(im, POOL, true, &d->pools.words, &d->pools.n);
	if (r == 0)
		r = collect(im, EXCLUDE, false, &d->excluded, &d->n_excluded);
	d->firewall_dir = args_value(im->args, FIREWALL_DIR);
	return r;
}

/* the file's content as records, notes and a table */
static int translate(struct import *im, const char *path)
{
	struct definitions *d = &im->definitions;
	struct xml *root = NULL;
	char error[PATH_MAX + 200] = "out of memory";
	int r = xml_read(path, &root, error, sizeof(error));

	if (r != 0)
		return ui_fail(im->args, "%s", error);
	d->records = open_memstream(&im->records, &im->records_len);
	d->notes = open_memstream(&im->notes, &im->notes_len);
	d->table = open_memstream(&im->table, &im->table_len);
	r = d->records && d->notes && d->table ? definitions_write(d, root) : -ENOMEM;
	xml_free(root);
	if (d->records && fclose(d->records) != 0)
		r = -ENOMEM;
	if (d->notes && fclose(d->notes) != 0)
		r = -ENOMEM;
	if (d->table && fclose(d->table) != 0)
		r = -ENOMEM;
	if (r > 0)
		return ui_fail(im->args, "%s: %s", path, d->error);
	return r < 0 ? ui_fail_errno(im->args, path, r) : 0;
}

static int put_records(struct import *im)
{
	int r;

	im->fd = memfd_create("definitions", MFD_CLOEXEC);
	r = im->fd < 0 ? fail_errno() : io_write_full(im->fd, im->records, im->records_len);
	return r < 0 ? ui_fail_errno(im->args, "the definitions", r) : 0;
}

static int explain(struct import *im, const struct client_answer *answer)
{
	if (str_eq(answer->type, "QubesVMAlreadyExistsError"))
		ui_note(im->args, "give that one another name by --rename OLD=NEW, leave it out by "
				  "--exclude, or use the template that is here by --template "
				  "OLD=HERE");
	if (strstr(answer->data, "would have no template"))
		ui_note(im->args, "a template that is here takes another's place by --template "
				  "OLD=HERE");
	if (strstr(answer->data, "there is no pool"))
		ui_note(im->args, "see qvm-pool for those that are here");
	return 1;
}

/* does qubesd take it? With what it leaves out */
static int ask_qubesd(struct import *im, struct client_answer *answer)
{
	int r = client_call(NULL, "bulkhead.Import", "dom0", "try", NULL, 0, im->fd, answer);

	if (r == 0)
		return 0;
	(void)qubesd_failed(im->args, NULL, r, answer);
	return r == CLIENT_E_EXCEPTION ? explain(im, answer) : 1;
}

/* a line of fields parted by tabs; the next one, or NULL */
static const char *put_fields(const char *line, const char *const *between, unsigned n)
{
	const char *end = strchr(line, '\n');

	for (unsigned i = 0; i < n; i++) {
		size_t len = strcspn(line, "\t\n");

		(void)fputs(between[i], stdout);
		put_words(line, len);
		line += len + (line[len] == '\t');
	}
	(void)putchar('\n');
	return end && end[1] != '\0' ? end + 1 : NULL;
}

static void show_table(const struct import *im)
{
	static const char *const titles[] = {"NAME", "CLASS", "LABEL", "TEMPLATE", "NETVM"};
	size_t widths[ARRAY_LEN(titles)] = {0};
	const char *at;
	unsigned column = 0;

	for (unsigned i = 0; i < ARRAY_LEN(titles); i++)
		widths[i] = strlen(titles[i]);
	for (at = im->table; *at != '\0';) {
		size_t len = strcspn(at, "\t\n");

		if (column < ARRAY_LEN(titles) && len > widths[column])
			widths[column] = len;
		column = at[len] == '\t' ? column + 1 : 0;
		at += len + 1;
	}
	for (unsigned i = 0; i < ARRAY_LEN(titles); i++)
		(void)printf("%-*s%s", i + 1 < ARRAY_LEN(titles) ? (int)widths[i] : 0, titles[i],
			     i + 1 < ARRAY_LEN(titles) ? "  " : "\n");
	column = 0;
	for (at = im->table; *at != '\0';) {
		size_t len = strcspn(at, "\t\n");

		put_words(at, len);
		if (at[len] == '\t')
			(void)printf("%*s  ", (int)(widths[column] - len), "");
		else
			(void)putchar('\n');
		column = at[len] == '\t' ? column + 1 : 0;
		at += len + 1;
	}
}

/* who, what, why: of the file's own, and of qubesd's, which begin with a word more */
static void show_left_out(const struct import *im, const char *of_qubesd)
{
	static const char *const fields[] = {"  ", ": ", ": "};
	const char *line = im->notes && im->notes[0] != '\0' ? im->notes : NULL;

	if (!line && of_qubesd[0] == '\0')
		return;
	(void)puts("Not taken over:");
	while (line)
		line = put_fields(line, fields, ARRAY_LEN(fields));
	line = of_qubesd[0] != '\0' ? of_qubesd : NULL;
	while (line) {
		const char *who = strchr(line, '\t');

		if (!who)
			break;
		line = put_fields(who + 1,
				  who[1] == '\t' ? (const char *const[]){"  system", ": ", ": "}
						 : fields,
				  ARRAY_LEN(fields));
	}
}

static int make(struct import *im)
{
	struct call one = {.qube = "dom0"};
	struct calls calls = {.args = im->args,
			      .method = "bulkhead.Import",
			      .verb = "importing",
			      .list = &one,
			      .n = 1,
			      .fd = &im->fd};
	int r = calls_run(&calls);

	return calls_finish(&calls, r, NULL, 0);
}

static int import(struct import *im, const char *path)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	const struct args *a = im->args;
	int r = translate(im, path);

	if (r == 0)
		r = put_records(im);
	if (r == 0)
		r = ask_qubesd(im, &answer);
	if (r != 0)
		return r;
	if (a->verbose >= 0) {
		show_table(im);
		show_left_out(im, answer.data);
	}
	if (args_has(a, DRY_RUN))
		return 0;
	if (!args_has(a, YES) && !isatty(STDIN_FILENO))
		return ui_fail(a, "nothing was changed; --yes makes these %u qubes",
			       im->definitions.n_qubes);
	if (!args_has(a, YES) && !ui_confirm("Make these %u qubes?", im->definitions.n_qubes))
		return 1;
	r = make(im);
	if (r == 0 && a->verbose >= 0)
		(void)printf("%u qubes were made; their volumes are empty\n",
			     im->definitions.n_qubes);
	return r;
}

static int run(const struct args *a)
{
	struct import AUTO(import_done) im = {.args = a, .fd = NO_FD};
	int r;

	if (a->n_words != 1) {
		(void)ui_usage(a, "name one file");
		return 2;
	}
	r = collect_all(&im);
	return r == 0 ? import(&im, a->words[0]) : r;
}

static const struct option options[] = {
	{DRY_RUN, 'n', "dry-run", NULL, "show what would be done, and do nothing"},
	{YES, 'y', "yes", NULL, "do it without asking"},
	{RENAME, 0, "rename", "OLD=NEW", "give a qube of the file another name here",
	 .words = WORDS_TEXT},
	{TEMPLATE, 0, "template", "OLD=HERE",
	 "use a template that is here for one of the file, which is not made", .words = WORDS_TEXT},
	{POOL, 0, "pool", "OLD=HERE", "make the volumes of a pool of the file in one that is here",
	 .words = WORDS_TEXT},
	{EXCLUDE, 'x', "exclude", "QUBE", "leave a qube of the file out", .words = WORDS_TEXT},
	{FIREWALL_DIR, 0, "firewall-dir", "DIR",
	 "take firewall rules too, from NAME/firewall.xml below DIR", .words = WORDS_FILE},
	{0},
};

const struct command bulkhead_import_qubes_xml = {
	.name = "import-qubes-xml",
	.summary = "take over the definitions of a Qubes installation",
	.synopses = {"[OPTION]... FILE"},
	.text = "Makes the qubes that are defined in FILE, the qubes.xml of a Qubes R4.x (there in /var/lib/qubes): of every\n"
		"class, with label, properties, features and tags, and sets the system's properties and what dom0 has.\n"
		"References between them are kept, whatever their order. All qubes are made, or none: if one cannot be, or\n"
		"qubesd is interrupted, what was begun is removed again.\n"
		"\n"
		"First it shows the qubes and what is not taken over: settings that this system refuses (a kernel that is not\n"
		"installed, more memory than the machine has), properties it does not know, devices, disposables for one use.\n"
		"On a terminal it asks then; elsewhere it needs --yes. A name that is taken here is refused: --rename, --exclude and\n"
		"--template are the ways on. Numbers, identifiers and so addresses are new; installed_by_rpm is dropped, for\n"
		"there is no package here.\n"
		"\n"
		"Volumes are made empty, as large as they were, in the pool that --pool names for theirs, else where new volumes\n"
		"are made by default. What they hold is not part of FILE. A template is best one that is here:\n"
		"\n"
		"\tqvm-template install debian-12\n"
		"\tbulkhead import-qubes-xml --template fedora-40-xfce=debian-12 qubes.xml\n"
		"\n"
		"and contents come by qvm-volume, from an image of each volume, as on the old system (LVM)\n"
		"\n"
		"\tdd if=/dev/qubes_dom0/vm-work-private of=/media/disk/work-private.img bs=4M conv=sparse\n"
		"\n"
		"and here, while the qube is halted\n"
		"\n"
		"\tqvm-volume import work:private /media/disk/work-private.img\n"
		"\n"
		"Firewall rules are in files of their own, next to each qube's volumes: --firewall-dir is /var/lib/qubes of the old\n"
		"system, or a folder with NAME/firewall.xml. A file with a rule that cannot be taken over becomes a firewall that\n"
		"drops everything, and that is shown. Without the option the new qubes' firewalls accept everything.",
	.sections =
		{{"EXAMPLES",
		  "\tbulkhead import-qubes-xml --dry-run qubes.xml\n"
		  "\tbulkhead import-qubes-xml --rename work=work-old --pool vm-pool=default qubes.xml"}},
	.options = options,
	.words = {WORDS_FILE},
	.run = run,
};
