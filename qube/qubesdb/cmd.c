/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubesdb-cmd and its other names qubesdb-read, -write, -list, -multiread, -rm, -watch: QubesDB by
 * hand. In a qube it speaks to the qube's own daemon; in dom0 to the one of the qube that -d names.
 *
 * $QUBESDB_SOCKET_DIR names the folder of the daemon's sockets where it is not the usual one.
 */
#include "base/io.h"
#include "base/paths.h"
#include "base/str.h"
#include "qdb/call.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

struct options {
	const char *program, *qube, *default_value;
	bool full, raw, quiet, wait, remove;
	bool count_given;
	int64_t count;
};

/** struct cmd - @min_args also says of what there is more: 2 takes pairs */
struct cmd {
	const char *name, *args;
	int min_args, max_args;
	int (*run)(const struct options *o, struct qdb_call *q, char **args);
};

static int complain(const struct options *o, const char *path, int r)
{
	const char *why;

	if (r == QDB_A_ENOENT)
		why = "no such entry";
	else if (r == QDB_A_ERROR)
		why = "refused (it is dom0's, or reading only, or the quota is used up)";
	else if (r == -EINVAL)
		why = "not a path, or a value of more than 3071 bytes";
	else if (r == -ECONNRESET)
		why = "the daemon went away";
	else
		why = strerror(-r);
	if (!o->quiet)
		(void)fprintf(stderr, "%s: %s: %s\n", o->program, path, why);
	return 1;
}

static void print_value(const struct options *o, const char *value)
{
	if (o->raw) {
		(void)printf("%s\n", value);
		return;
	}
	for (const char *p = value; *p != '\0'; p++) {
		if (*p >= 0x20 && *p < 0x7f)
			(void)putchar(*p);
		else
			(void)printf("\\x%02x", (unsigned char)*p);
	}
	(void)putchar('\n');
}

static int read_waiting(struct qdb_call *q, const char *path, char **ret)
{
	int r = qdb_call_watch(q, path);
	char fired[QDB_PATH_MAX + 1];

	while (r == 0 && (r = qdb_call_read(q, path, ret)) == QDB_A_ENOENT)
		r = qdb_call_wait(q, fired);
	return r;
}

static int run_read(const struct options *o, struct qdb_call *q, char **args)
{
	int status = 0;

	for (; *args; args++) {
		AUTO_FREE char *value = NULL;
		int r = o->wait ? read_waiting(q, *args, &value) : qdb_call_read(q, *args, &value);

		if (r == 0 && o->remove)
			r = qdb_call_remove(q, *args);
		if (r != 0 && !(r == QDB_A_ENOENT && o->default_value)) {
			status = complain(o, *args, r);
			continue;
		}
		if (o->full)
			(void)printf("%s = ", *args);
		print_value(o, value ? value : o->default_value);
	}
	return status;
}

static int run_write(const struct options *o, struct qdb_call *q, char **args)
{
	int status = 0;

	for (; *args; args += 2) {
		int r = qdb_call_write(q, args[0], args[1]);

		if (r != 0)
			status = complain(o, args[0], r);
	}
	return status;
}

static int run_rm(const struct options *o, struct qdb_call *q, char **args)
{
	int status = 0;

	for (; *args; args++) {
		int r = qdb_call_remove(q, *args);

		if (r != 0)
			status = complain(o, *args, r);
	}
	return status;
}

struct listing {
	const struct options *o;
	size_t skip;
};

static void print_entry(void *data, const char *path, const char *value)
{
	const struct listing *l = data;

	(void)fputs(path + l->skip, stdout);
	if (value) {
		(void)fputs(" = ", stdout);
		print_value(l->o, value);
	} else {
		(void)putchar('\n');
	}
}

static int run_each(const struct options *o, struct qdb_call *q, char **args, bool values)
{
	int status = 0;

	for (; *args; args++) {
		struct listing l = {.o = o, .skip = o->full ? 0 : strlen(*args)};
		int r = qdb_call_each(q, *args, values, print_entry, &l);

		if (r != 0)
			status = complain(o, *args, r);
	}
	return status;
}

static int run_multiread(const struct options *o, struct qdb_call *q, char **args)
{
	return run_each(o, q, args, true);
}

static int run_list(const struct options *o, struct qdb_call *q, char **args)
{
	return run_each(o, q, args, false);
}

static int run_watch(const struct options *o, struct qdb_call *q, char **args)
{
	for (char **path = args; *path; path++) {
		int r = qdb_call_watch(q, *path);

		if (r != 0)
			return complain(o, *path, r);
	}
	for (int64_t n = 0; o->count < 0 || n < o->count; n++) {
		char fired[QDB_PATH_MAX + 1];
		int r = qdb_call_wait(q, fired);

		if (r != 0)
			return complain(o, args[0], r);
		(void)printf("%s\n", fired);
		(void)fflush(stdout); /* whoever waits for it, waits for it now */
	}
	return 0;
}

static const struct cmd cmds[] = {
	{"read", "PATH...", 1, INT32_MAX, run_read},
	{"write", "PATH VALUE [PATH VALUE]...", 2, INT32_MAX, run_write},
	{"list", "PREFIX", 1, 1, run_list},
	{"multiread", "PREFIX...", 1, INT32_MAX, run_multiread},
	{"rm", "PATH...", 1, INT32_MAX, run_rm},
	{"watch", "[-n COUNT] PATH...", 1, INT32_MAX, run_watch},
};

static const struct cmd *find_cmd(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		if (strcmp(cmds[i].name, name) == 0)
			return &cmds[i];
	return NULL;
}

static void print_help(void)
{
	(void)puts("usage: qubesdb-cmd [OPTION]... -c COMMAND ARGUMENT...\n"
		   "       qubesdb-COMMAND [OPTION]... ARGUMENT...\n"
		   "\n"
		   "Reads and changes QubesDB: the qube's own, or in dom0 that of the qube named "
		   "by -d.\n"
		   "\n"
		   "Commands:");
	for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
		(void)printf("  %-10s %s\n", cmds[i].name, cmds[i].args);
	(void)puts("A path that ends in '/' stands for all entries below it (rm, watch).\n"
		   "\n"
		   "Options:\n"
		   "  -d QUBE     the qube (only in dom0)\n"
		   "  -f          print full paths\n"
		   "  -r          print values as they are; else unprintable bytes become \\xNN\n"
		   "  -q          no error messages\n"
		   "  -w          read: wait until the entry is there\n"
		   "  -e DEFAULT  read: print DEFAULT if the entry is not there\n"
		   "  -x          read: remove the entry once it is read\n"
		   "  -n COUNT    watch: end after COUNT changes (1; negative: never)\n"
		   "  -h, --help, --version\n"
		   "\n"
		   "Exit codes: 0; 1 something failed; 2 usage.");
}

static int open_daemon(const struct options *o, struct qdb_call **ret)
{
	const char *dir = getenv("QUBESDB_SOCKET_DIR");
	char path[UNIX_PATH_MAX + 1], ro_path[UNIX_PATH_MAX + 1];
	struct paths p = {0};
	int r;

	if (o->qube && !dir) {
		r = paths_init(&p, false);
		if (r == 0)
			r = str_format(path, sizeof(path), "%s/qubes/qubesdb.%s.sock", p.run,
				       o->qube);
		paths_done(&p);
	} else if (o->qube) {
		r = str_format(path, sizeof(path), "%s/qubesdb.%s.sock", dir, o->qube);
	} else if (dir) {
		r = str_format(path, sizeof(path), "%s/qubesdb.sock", dir);
	} else {
		r = str_copy(path, sizeof(path), QDB_GUEST_SOCKET, strlen(QDB_GUEST_SOCKET));
	}
	if (r == 0)
		r = qdb_call_open(path, ret);
	/* everyone may read */
	if (r == -EACCES && !o->qube && str_format(ro_path, sizeof(ro_path), "%s.ro", path) == 0)
		r = qdb_call_open(ro_path, ret);
	if (r == 0 || o->quiet)
		return r;
	if (o->qube)
		(void)fprintf(stderr, "%s: %s: no QubesDB (%s); is the qube running?\n", o->program,
			      o->qube, strerror(-r));
	else
		(void)fprintf(stderr, "%s: no QubesDB here (%s); in dom0 name a qube with -d\n",
			      o->program, strerror(-r));
	return r;
}

static int usage(const struct options *o, const char *what)
{
	(void)fprintf(stderr, "%s: %s; see qubesdb-cmd --help\n", o->program, what);
	return 2;
}

static int parse_count(struct options *o, const char *text)
{
	uint64_t n;
	int r = str_u64(*text == '-' ? text + 1 : text, INT32_MAX, &n);

	o->count = *text == '-' ? -(int64_t)n : (int64_t)n;
	o->count_given = true;
	return r;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	struct options o = {.program = slash      ? slash + 1
				       : argc > 0 ? argv[0]
						  : "qubesdb-cmd",
			    .count = 1};
	const char *dash = strchr(o.program, '-');
	const struct cmd *cmd = dash ? find_cmd(dash + 1) : NULL;
	struct qdb_call *q = NULL;
	int c, status;

	while ((c = getopt_long(argc, argv, "hc:d:e:n:frqwx", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			cmd = find_cmd(optarg);
			if (!cmd)
				return usage(&o, "no such command");
			break;
		case 'd':
			o.qube = optarg;
			break;
		case 'e':
			o.default_value = optarg;
			break;
		case 'n':
			if (parse_count(&o, optarg) < 0)
				return usage(&o, "-n wants a number");
			break;
		case 'f':
			o.full = true;
			break;
		case 'r':
			o.raw = true;
			break;
		case 'q':
			o.quiet = true;
			break;
		case 'w':
			o.wait = true;
			break;
		case 'x':
			o.remove = true;
			break;
		case 'h':
			print_help();
			return 0;
		case 'V':
			(void)puts("qubesdb-cmd (Bulkhead) " BULKHEAD_VERSION);
			return 0;
		default:
			return usage(&o, "unknown option");
		}
	}
	if (!cmd)
		return usage(&o, "which command?");
	if (o.qube && !str_is_qube_name(o.qube, strlen(o.qube)))
		return usage(&o, "not a qube's name");
	if (o.count_given && cmd->run != run_watch)
		return usage(&o, "-n is for watch");
	if ((o.wait || o.remove || o.default_value) && cmd->run != run_read)
		return usage(&o, "-w, -x and -e are for read");
	argc -= optind;
	if (argc < cmd->min_args || argc > cmd->max_args || argc % cmd->min_args != 0)
		return usage(&o, "wrong number of arguments");
	if (open_daemon(&o, &q) < 0)
		return 1;
	status = cmd->run(&o, q, argv + optind);
	qdb_call_free(q);
	if (fflush(stdout) != 0 || ferror(stdout))
		return 1;
	return status;
}
