/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qfile-unpacker, the service qubes.Filecopy: what another qube sends lands in
 * ~/QubesIncoming/SOURCE. doc/protocol/filecopy.md has the bytes.
 *
 * runs as the user the files are for, once per call;
 * holds standard streams, /proc/self/fd, the folder of this source, a socket to its syncer;
 * trusts its environment and arguments, not a byte of its input;
 * needs after confine() no more than confine.c says.
 */
#include "confine.h"
#include "unpack.h"

#include "base/log.h"
#include "base/str.h"

#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { EXIT_PROBLEM = 125 };

#define INCOMING "QubesIncoming"

/** struct orders - what we were told; @folder: NULL is the source's own below @uid's home */
struct orders {
	unsigned allow;
	bool verbose, waits;
	uint64_t spare;
	uid_t uid;
	const char *folder;
};

static const char usage[] =
	"usage: qfile-unpacker [OPTION]... [UID [FOLDER]]\n"
	"Receive files (qubes.Filecopy) from standard input into FOLDER, or into\n"
	"~/" INCOMING "/SOURCE, SOURCE being $QREXEC_REMOTE_DOMAIN.\n\n"
	"  --allow-all-names         any characters in names\n"
	"  --allow-unsafe-symlinks   links that lead anywhere\n"
	"  --no-allow-all-names, --no-allow-unsafe-symlinks\n"
	"                            what holds without them\n"
	"  -w, --wait-for-space=N    wait for space for each file and N bytes\n"
	"  -v, --verbose             name each file on standard error\n"
	"      --help, --version\n";

static NORETURN void refuse(const char *why, const char *what)
{
	(void)fprintf(stderr, "qfile-unpacker: %s%s%s\n", why, what ? ": " : "", what ? what : "");
	exit(EXIT_PROBLEM);
}

/* The service's argument: words of what to allow, with '+' between them. */
static unsigned argument_parse(const char *argument)
{
	unsigned allow = 0;

	while (argument && *argument != '\0') {
		size_t len = strcspn(argument, "+");

		if (len == strlen("allow-all-names") && str_starts(argument, "allow-all-names"))
			allow |= FILECOPY_ALL_NAMES;
		else if (len == strlen("allow-unsafe-symlinks") &&
			 str_starts(argument, "allow-unsafe-symlinks"))
			allow |= FILECOPY_ALL_LINKS;
		else
			refuse("the service has no such argument", NULL);
		argument += len + (argument[len] == '+');
	}
	return allow;
}

static uint64_t number_parse(const char *text, uint64_t max)
{
	uint64_t n;

	if (str_u64(text, max, &n) < 0)
		refuse("not a number here", text);
	return n;
}

static void orders_parse(int argc, char **argv, struct orders *o)
{
	enum { ALL_NAMES = 256, ALL_LINKS, FEW_NAMES, FEW_LINKS, HELP, VERSION };
	static const struct option options[] = {
		{"allow-all-names", no_argument, NULL, ALL_NAMES},
		{"allow-unsafe-symlinks", no_argument, NULL, ALL_LINKS},
		{"no-allow-all-names", no_argument, NULL, FEW_NAMES},
		{"no-allow-unsafe-symlinks", no_argument, NULL, FEW_LINKS},
		{"wait-for-space", required_argument, NULL, 'w'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, HELP},
		{"version", no_argument, NULL, VERSION},
		{0},
	};
	int c;

	*o = (struct orders){.uid = geteuid(),
			     .allow = argument_parse(getenv("QREXEC_SERVICE_ARGUMENT"))};
	while ((c = getopt_long(argc, argv, "vw:", options, NULL)) != -1) {
		switch (c) {
		case ALL_NAMES:
			o->allow |= FILECOPY_ALL_NAMES;
			break;
		case ALL_LINKS:
			o->allow |= FILECOPY_ALL_LINKS;
			break;
		case FEW_NAMES:
			o->allow &= ~(unsigned)FILECOPY_ALL_NAMES;
			break;
		case FEW_LINKS:
			o->allow &= ~(unsigned)FILECOPY_ALL_LINKS;
			break;
		case 'w':
			o->waits = true;
			o->spare = number_parse(optarg, INT32_MAX);
			break;
		case 'v':
			o->verbose = true;
			break;
		case HELP:
			(void)fputs(usage, stdout);
			exit(0);
		case VERSION:
			(void)puts("qfile-unpacker " BULKHEAD_VERSION);
			exit(0);
		default:
			(void)fputs(usage, stderr);
			exit(EXIT_PROBLEM);
		}
	}
	if (optind < argc && argv[optind][0] != '\0')
		o->uid = (uid_t)number_parse(argv[optind], UINT32_MAX - 1);
	if (optind + 1 < argc)
		o->folder = argv[optind + 1];
	if (optind + 2 < argc)
		refuse("too many arguments", NULL);
}

/* the user it is for; as root, gives up being root. Their home */
static const char *become(uid_t uid)
{
	const char *home = getenv("HOME");
	const bool already = uid == geteuid();
	const struct passwd *pw;

	if (already && home && home[0] == '/')
		return home;
	if (!already && geteuid() != 0)
		refuse("only root can receive for another user", NULL);
	pw = getpwuid(uid);
	if (!pw)
		refuse("there is no user of that number", NULL);
	if (!already &&
	    (initgroups(pw->pw_name, pw->pw_gid) < 0 ||
	     setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 || setresuid(uid, uid, uid) < 0))
		refuse("cannot become the user", log_errno_str(errno));
	return pw->pw_dir;
}

/* folder @name in @at, made if it is missing; its descriptor or -errno */
static int folder_in(int at, const char *name)
{
	int fd;

	if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return fail_errno();
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? fail_errno() : fd;
}

static int folder_open(const struct orders *o, const char *home)
{
	const char *source = getenv("QREXEC_REMOTE_DOMAIN");
	AUTO_CLOSE int home_fd = NO_FD, incoming = NO_FD;
	int fd;

	if (o->folder) {
		fd = open(o->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? fail_errno() : fd;
	}
	if (!source || !str_is_qube_name(source, strlen(source)))
		refuse("$QREXEC_REMOTE_DOMAIN does not name a qube", NULL);
	home_fd = open(home, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (home_fd < 0)
		return fail_errno();
	incoming = folder_in(home_fd, INCOMING);
	return incoming < 0 ? incoming : folder_in(incoming, source);
}

/* before there is anything to receive into, the sender hears what is wrong all the same */
static int answer_only(int r)
{
	const struct filecopy_answer a = {.error = (uint32_t)-r};
	uint8_t bytes[FILECOPY_ANSWER_LEN];

	filecopy_answer_encode(&a, bytes);
	(void)!write(STDOUT_FILENO, bytes, sizeof(bytes));
	return 1;
}

int main(int argc, char **argv)
{
	static uint8_t buf[STREAM_SIZE];
	static struct unpack u;
	struct syncer syncer;
	struct orders o;
	int folder_fd, proc_fd, r;

	orders_parse(argc, argv, &o);
	(void)umask(0);
	(void)signal(SIGPIPE, SIG_IGN);
	folder_fd = folder_open(&o, become(o.uid));
	if (folder_fd < 0)
		return answer_only(folder_fd);
	proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		refuse("/proc/self/fd", log_errno_str(errno));
	/* a larger pipe saves changes between sender and receiver; a socket has its own */
	(void)fcntl(STDIN_FILENO, F_SETPIPE_SZ, 1 << 20);
	syncer_start(&syncer, folder_fd);
	r = confine(&folder_fd);
	if (r < 0)
		refuse("cannot confine itself", log_errno_str(r));

	u = (struct unpack){.in = {.fd = STDIN_FILENO, .buf = buf},
			    .syncer = syncer,
			    .allow = o.allow,
			    .verbose = o.verbose,
			    .waits = o.waits,
			    .spare = o.spare};
	r = tree_init(&u.tree, folder_fd, proc_fd);
	if (r < 0)
		return answer_only(r);
	r = unpack_run(&u, STDOUT_FILENO);
	tree_done(&u.tree);
	if (syncer_done(&u.syncer) < 0)
		(void)fputs(
			"qfile-unpacker: the disk is still being written to; that is not waited for\n",
			stderr);
	/* why, the sender knows; if it does not take the answer, it does not want to */
	return r == 0 ? 0 : 1;
}
