/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qvm-volume: the disks of qubes, their sizes and revisions */
#include "qvm.h"

#include "base/str.h"
#include "grid.h"
#include "pairs.h"
#include "qubesd.h"
#include "ui.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { POOL = OPTION_OWN, FULL, ALL, EXCLUDE, FORCE, SIZE, NO_RESIZE, JSON };

/* QUBE:VOLUME as it was named */
struct name {
	char qube[64], volume[64];
};

static int parse_name(const struct args *a, const char *word, struct name *ret)
{
	size_t len = strcspn(word, ":");

	if (word[len] != ':' || str_copy(ret->qube, sizeof(ret->qube), word, len) < 0 ||
	    str_format(ret->volume, sizeof(ret->volume), "%s", word + len + 1) < 0 || len == 0 ||
	    ret->volume[0] == '\0')
		return ui_usage(a, "a volume is named QUBE:VOLUME (work:private), not %s", word);
	return 0;
}

/* one line of the list, before it is in order */
struct entry {
	char place[160], qube[64], volume[64];
	bool revert;
};

struct entries {
	struct entry *list;
	size_t n, room;
};

static int entry_add(const struct args *a, struct entries *e, const char *qube, const char *volume)
{
	AUTO(client_answer_done) struct client_answer info = {0}, revisions = {0};
	char pool[80], vid[128];
	struct entry *at;

	if (qubesd_call(a, "admin.vm.volume.Info", qube, volume, NULL, &info) != 0)
		return 1;
	(void)pairs_get(info.data, "pool", pool, sizeof(pool));
	(void)pairs_get(info.data, "vid", vid, sizeof(vid));
	if (args_has(a, POOL) && !args_given_is(a, POOL, pool))
		return 0;
	if (qubesd_call(a, "admin.vm.volume.ListSnapshots", qube, volume, NULL, &revisions) != 0)
		return 1;
	if (e->n == e->room) {
		size_t room = e->room == 0 ? 64 : 2 * e->room;
		struct entry *list = reallocarray(e->list, room, sizeof(*list));

		if (!list)
			return ui_fail(a, "out of memory");
		e->list = list;
		e->room = room;
	}
	at = &e->list[e->n++];
	at->revert = revisions.len > 0;
	(void)snprintf(at->place, sizeof(at->place), "%s:%.*s", pool, 79, vid);
	(void)snprintf(at->qube, sizeof(at->qube), "%s", qube);
	(void)snprintf(at->volume, sizeof(at->volume), "%s", volume);
	return 0;
}

static int compare(const void *left, const void *right)
{
	const struct entry *l = left, *r = right;
	int c = strcmp(l->place, r->place);

	c = c != 0 ? c : strcmp(l->qube, r->qube);
	return c != 0 ? c : strcmp(l->volume, r->volume);
}

static int put_entries(const struct args *a, struct entries *e)
{
	static const char *const titles[] = {"POOL:VOLUME", "VMNAME", "VOLUME_NAME",
					     "REVERT_POSSIBLE", NULL};
	AUTO(grid_done) struct grid g = {.titles = titles};
	bool terse = isatty(STDOUT_FILENO) && !args_has(a, FULL) && !args_has(a, JSON);

	if (e->n > 0)
		qsort(e->list, e->n, sizeof(*e->list), compare);
	for (size_t i = 0; i < e->n; i++) {
		bool again = i > 0 && str_eq(e->list[i].place, e->list[i - 1].place);

		grid_add(&g, "%s", again && terse ? " " : e->list[i].place);
		grid_add(&g, "%s", e->list[i].qube);
		grid_add(&g, "%s", e->list[i].volume);
		grid_add(&g, "%s", e->list[i].revert ? "Yes" : "No");
	}
	return grid_put(a, &g, args_has(a, JSON) ? GRID_JSON : GRID_TABLE);
}

/* was the qube asked for, @names behind the verb? */
static bool wanted(const struct args *a, const char *const *names, unsigned n, const char *qube)
{
	if (n == 0)
		return !args_given_is(a, EXCLUDE, qube);
	for (unsigned i = 0; i < n; i++) {
		if (str_eq(names[i], qube))
			return true;
	}
	return false;
}

static int list_into(const struct args *a, const char *const *names, unsigned n, struct entries *e)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	AUTO(table_done) struct table t = {0};
	int r = table_load("dom0", "name", &t, &answer);

	if (r != 0)
		return qubesd_failed(a, NULL, r, &answer);
	for (unsigned i = 0; i < n; i++) {
		if (table_find(&t, names[i]) < 0)
			return qubesd_no_qube(a, names[i]);
	}
	for (unsigned row = 0; row < t.n_rows; row++) {
		AUTO(client_answer_done) struct client_answer volumes = {0};
		const char *qube = table_cell(&t, row, 0);

		if (!wanted(a, names, n, qube))
			continue;
		if (qubesd_call(a, "admin.vm.volume.List", qube, NULL, NULL, &volumes) != 0)
			return 1;
		for (char *at = volumes.data, *next; *at != '\0'; at = next) {
			size_t len = strcspn(at, "\n");

			next = at + len + (at[len] == '\n');
			at[len] = '\0';
			if (entry_add(a, e, qube, at) != 0)
				return 1;
		}
	}
	return 0;
}

static int list(const struct args *a, const char *const *words, unsigned n)
{
	struct entries e = {0};
	int r;

	if (n > 0 && args_has(a, ALL)) {
		(void)ui_usage(a, "name qubes or say --all, not both");
		return 2;
	}
	if (args_has(a, EXCLUDE) && !args_has(a, ALL)) {
		(void)ui_usage(a, "--exclude goes with --all");
		return 2;
	}
	r = list_into(a, words, n, &e);
	r = r == 0 ? put_entries(a, &e) : r;
	free(e.list);
	return r;
}

/* what info shows, in this order */
static const char *const shown[] = {"pool",      "vid",          "rw",
				    "source",    "save_on_stop", "snap_on_start",
				    "size",      "usage",        "revisions_to_keep",
				    "ephemeral", "is_outdated"};

static void put_revisions(const char *ids, bool json)
{
	const char *between = "[";

	if (!json)
		(void)printf("Available revisions (for revert):%s\n",
			     ids[0] == '\0' ? " none" : "");
	for (const char *at = ids; *at != '\0';) {
		int len = (int)strcspn(at, "\n");

		if (json)
			(void)printf("%s\"%.*s\"", between, len, at);
		else
			(void)printf("  %.*s\n", len, at);
		between = ", ";
		at += len + (at[len] == '\n');
	}
	if (json)
		(void)printf("%s]}\n", between[0] == '[' ? "[" : "");
}

static int info_one(const struct args *a, const struct name *name, const char *property,
		    const char *lines)
{
	AUTO(client_answer_done) struct client_answer revisions = {0};
	char value[256];

	if (str_eq(property, "revisions")) {
		if (qubesd_call(a, "admin.vm.volume.ListSnapshots", name->qube, name->volume, NULL,
				&revisions) != 0)
			return 1;
		(void)fputs(revisions.data, stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		if (str_eq(shown[i], property)) {
			(void)puts(pairs_get(lines, property, value, sizeof(value)));
			return 0;
		}
	}
	return ui_fail(a, "a volume has no '%s'; qvm-volume info %s:%s shows what it has", property,
		       name->qube, name->volume);
}

static int info(const struct args *a, const char *const *words, unsigned n)
{
	AUTO(client_answer_done) struct client_answer answer = {0}, revisions = {0};
	bool json = args_has(a, JSON);
	struct name name;

	if (parse_name(a, words[0], &name) != 0)
		return 2;
	if (qubesd_call(a, "admin.vm.volume.Info", name.qube, name.volume, NULL, &answer) != 0)
		return 1;
	if (n > 1)
		return info_one(a, &name, words[1], answer.data);
	if (qubesd_call(a, "admin.vm.volume.ListSnapshots", name.qube, name.volume, NULL,
			&revisions) != 0)
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		char value[256];

		(void)pairs_get(answer.data, shown[i], value, sizeof(value));
		if (json) {
			(void)printf("%s\"%s\": ", i == 0 ? "{" : ", ", shown[i]);
			json_put(value);
		} else {
			(void)printf("%-*s%s\n", value[0] == '\0' ? 0 : 19, shown[i], value);
		}
	}
	if (json)
		(void)fputs(", \"revisions\": ", stdout);
	put_revisions(revisions.data, json);
	return 0;
}

static int config(const struct args *a, const char *const *words, unsigned n)
{
	static const char *const properties[] = {"revisions_to_keep", "rw", "ephemeral"};
	struct name name;
	char method[64];

	(void)n;
	if (parse_name(a, words[0], &name) != 0)
		return 2;
	for (size_t i = 0; i < ARRAY_LEN(properties); i++) {
		if (!str_eq(properties[i], words[1]))
			continue;
		(void)snprintf(method, sizeof(method), "admin.vm.volume.Set.%s", properties[i]);
		return qubesd_call(a, method, name.qube, name.volume, words[2], NULL);
	}
	return ui_fail(a, "'%s' cannot be set; revisions_to_keep, rw and ephemeral can", words[1]);
}

/* a number of bytes, with a unit at will: 10g is 10^10, 10GiB 10 * 2^30 */
static int parse_size(const char *word, uint64_t *ret)
{
	static const char units[] = "kmgt";
	size_t digits = strspn(word, "0123456789");
	const char *unit = word + digits, *at;
	uint64_t base = 1000, factor = 1;
	char number[24];

	if (str_copy(number, sizeof(number), word, digits) < 0 ||
	    str_u64(number, INT64_MAX, ret) < 0)
		return -EINVAL;
	if (unit[0] == '\0')
		return 0;
	at = strchr(units, unit[0] | 0x20);
	if (!at || *at == '\0')
		return -EINVAL;
	if (strcasecmp(unit + 1, "i") == 0 || strcasecmp(unit + 1, "ib") == 0)
		base = 1024;
	else if (unit[1] != '\0' && strcasecmp(unit + 1, "b") != 0)
		return -EINVAL;
	for (const char *u = units; u <= at; u++)
		factor *= base;
	return __builtin_mul_overflow(*ret, factor, ret) || *ret > INT64_MAX ? -ERANGE : 0;
}

/* the size that a word of the command line says; 0, or ARGS_E_USAGE and said so */
static int size_of(const struct args *a, const char *word, uint64_t *ret)
{
	if (parse_size(word, ret) == 0)
		return 0;
	return ui_usage(a, "a size is a number of bytes, or like 500MiB or 20GiB, not %s", word);
}

/* how large the volume is now; the exit code */
static int size_now(const struct args *a, const struct name *name, uint64_t *ret)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	char value[32];

	if (qubesd_call(a, "admin.vm.volume.Info", name->qube, name->volume, NULL, &answer) != 0)
		return 1;
	if (str_u64(pairs_get(answer.data, "size", value, sizeof(value)), INT64_MAX, ret) < 0)
		return ui_fail(a, "%s: qubesd's answer cannot be understood", name->qube);
	return 0;
}

static int resize(const struct args *a, const char *const *words, unsigned n)
{
	uint64_t size = 0, now;
	struct name name;
	char text[24];

	(void)n;
	if (parse_name(a, words[0], &name) != 0 || size_of(a, words[1], &size) != 0)
		return 2;
	if (size_now(a, &name, &now) != 0)
		return 1;
	if (size < now && !args_has(a, FORCE))
		return ui_fail(a,
			       "%s is %llu bytes now: what is behind the new end would be lost; "
			       "--force does it all the same",
			       words[0], (unsigned long long)now);
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	return qubesd_call(a, "admin.vm.volume.Resize", name.qube, name.volume, text, NULL);
}

static int revert(const struct args *a, const char *const *words, unsigned n)
{
	AUTO(client_answer_done) struct client_answer revisions = {0};
	const char *revision = n > 1 ? words[1] : NULL;
	struct name name;

	if (parse_name(a, words[0], &name) != 0)
		return 2;
	if (!revision) {
		char *last;

		if (qubesd_call(a, "admin.vm.volume.ListSnapshots", name.qube, name.volume, NULL,
				&revisions) != 0)
			return 1;
		if (revisions.len == 0)
			return ui_fail(a, "%s has no revision to go back to", words[0]);
		revisions.data[revisions.len - 1] = '\0';
		last = strrchr(revisions.data, '\n');
		revision = last ? last + 1 : revisions.data;
	}
	return qubesd_call(a, "admin.vm.volume.Revert", name.qube, name.volume, revision, NULL);
}

static int clear(const struct args *a, const char *const *words, unsigned n)
{
	struct name name;

	(void)n;
	if (parse_name(a, words[0], &name) != 0)
		return 2;
	return qubesd_call(a, "admin.vm.volume.Clear", name.qube, name.volume, NULL, NULL);
}

/* the number of bytes that will be imported: said, or the file's; 0 if nobody knows */
static int import_size(const struct args *a, const char *path, int fd, uint64_t *ret)
{
	struct stat st;

	*ret = 0;
	if (args_has(a, SIZE))
		return size_of(a, args_value(a, SIZE), ret) != 0 ? 2 : 0;
	if (fstat(fd, &st) < 0)
		return ui_fail_errno(a, path, -errno);
	if (S_ISREG(st.st_mode)) {
		*ret = (uint64_t)st.st_size;
		return 0;
	}
	(void)ui_usage(a, "how much %s will be cannot be seen beforehand: say --size",
		       str_eq(path, "-") ? "standard input" : path);
	return 2;
}

static int import(const struct args *a, const char *const *words, unsigned n)
{
	AUTO_CLOSE int file = NO_FD;
	struct calls calls = {
		.args = a, .method = "bulkhead.vm.volume.ImportFile", .verb = "importing to"};
	struct call call = {0};
	uint64_t size = 0, now;
	struct name name;
	char text[24];
	int fd = STDIN_FILENO, r;

	(void)n;
	if (parse_name(a, words[0], &name) != 0)
		return 2;
	if (!str_eq(words[1], "-")) {
		file = open(words[1], O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return ui_fail_errno(a, words[1], -errno);
		fd = file;
	}
	r = import_size(a, words[1], fd, &size);
	if (r != 0)
		return r;
	if (args_has(a, NO_RESIZE)) {
		if (size_now(a, &name, &now) != 0)
			return 1;
		if (size > now)
			return ui_fail(a,
				       "%llu bytes do not fit into %s, which has %llu; without "
				       "--no-resize it is made larger",
				       (unsigned long long)size, words[0], (unsigned long long)now);
	}
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)size);
	call.qube = name.qube;
	calls.arg = name.volume;
	calls.payload = text;
	calls.fd = &fd;
	calls.list = &call;
	calls.n = 1;
	return calls_finish(&calls, calls_run(&calls), NULL, 0);
}

/* a verb, the words it goes by, and how many follow it */
static const struct verb {
	const char *words;
	int (*run)(const struct args *a, const char *const *words, unsigned n);
	unsigned least, most;
	const char *usage;
} verbs[] = {
	{" list ls l ", list, 0, UINT32_MAX, ""},
	{" info i ", info, 1, 2, "info wants QUBE:VOLUME, and at will what to show of it"},
	{" config c set s ", config, 3, 3, "config wants QUBE:VOLUME, a property and a value"},
	{" resize extend ", resize, 2, 2, "resize wants QUBE:VOLUME and a size"},
	{" revert rv r ", revert, 1, 2, "revert wants QUBE:VOLUME, and at will a revision"},
	{" import ", import, 2, 2, "import wants QUBE:VOLUME and a file, or - for standard input"},
	{" clear ", clear, 1, 1, "clear wants QUBE:VOLUME"},
};

static int run(const struct args *a)
{
	const char *verb = a->n_words > 0 ? a->words[0] : "list";
	unsigned n = a->n_words > 0 ? a->n_words - 1 : 0;
	char padded[32];

	if (str_format(padded, sizeof(padded), " %s ", verb) < 0)
		padded[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (padded[0] == '\0' || strchr(verb, ' ') || !strstr(verbs[i].words, padded))
			continue;
		if (n < verbs[i].least || n > verbs[i].most) {
			(void)ui_usage(a, "%s", verbs[i].usage);
			return 2;
		}
		return verbs[i].run(a, a->words + 1, n);
	}
	(void)ui_usage(a, "it is list, info, config, resize, revert, import or clear, not %s",
		       verb);
	return 2;
}

static const struct option options[] = {
	{POOL, 'p', "pool", "POOL", "list: only volumes in this pool (may be repeated)",
	 .words = WORDS_POOL},
	{FULL, 0, "full", NULL, "list: every line whole, on a terminal too"},
	{ALL, 0, "all", NULL, "list: of all qubes, as without names"},
	{EXCLUDE, 0, "exclude", "QUBE", "with --all, leave this one out (may be repeated)",
	 .words = WORDS_QUBE},
	{FORCE, 'f', "force", NULL, "resize: also to less than it is now, losing what is behind"},
	{SIZE, 0, "size", "SIZE", "import: so many bytes; needed when they come from a pipe"},
	{NO_RESIZE, 0, "no-resize", NULL, "import: refuse what is larger than the volume"},
	{JSON, 0, "json", NULL, "for programs: list and info as JSON"},
	{0},
};

const struct command qvm_volume = {
	.name = "volume",
	.summary = "show and change the disks of qubes",
	.synopses = {"[list] [-p POOL]... [QUBE]...", "info QUBE:VOLUME [PROPERTY]",
		     "config QUBE:VOLUME PROPERTY VALUE", "resize [--force] QUBE:VOLUME SIZE",
		     "revert QUBE:VOLUME [REVISION]", "import [OPTION]... QUBE:VOLUME FILE|-",
		     "clear QUBE:VOLUME"},
	.text = "A qube has the volumes root, private, volatile and kernel. list (or ls, l) shows "
		"them and whether there\n"
		"are revisions to go back to; info (i) all that is known about one, or only its "
		"PROPERTY; \"revisions\"\n"
		"are their names, oldest first.\n\n"
		"config (c, set, s) sets revisions_to_keep, rw or ephemeral. resize (extend) makes "
		"a volume larger: at\n"
		"once, with the file system on it, if the qube runs, else at its next start. A size "
		"is a number of bytes,\n"
		"or with a unit: 20GiB.\n\n"
		"revert (rv, r) goes back to a revision, or to the newest one; what was written "
		"since then is lost.\n"
		"import replaces what a volume holds by a raw image; one that is larger makes the "
		"volume larger. clear\n"
		"empties it. For these three the qube must be halted.",
	.sections = {{"EXAMPLES",
		      "\tqvm-volume info work:private\n"
		      "\tqvm-volume resize work:private 20GiB\n"
		      "\tqvm-volume revert work:private\n"
		      "\txzcat disk.img.xz | qvm-volume import --size 2GiB work:root -"}},
	.options = options,
	.words = {WORDS_VOLUME},
	.verbs = "list:any-qube info:volume config:volume resize:volume revert:volume "
		 "import:volume clear:volume",
	.run = run,
};
