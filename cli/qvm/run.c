/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-run: run commands in qubes.
 *
 * The command goes to the qube's agent as "user:command" (or a service as "user:QUBESRPC ..."), by
 * qrexec-client, so its standard streams are the command's own from the first byte to the last.
 * With one qube, -p and nothing to do afterwards we become qrexec-client: no process stands between.
 */
#include "qvm.h"

#include "base/log.h"
#include "base/program.h"
#include "base/str.h"
#include "client/hold.h"
#include "qubesd.h"
#include "ui.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define COMMAND_MAX  65535 /* bytes of a command with its user and NUL, as qrexec carries it */
#define EXIT_TROUBLE 125   /* could not be run at all, as qrexec-client has it */

enum {
	USER = OPTION_OWN,
	ALL,
	EXCLUDE,
	DISPVM,
	NO_AUTOSTART,
	PASS_IO,
	LOCALCMD,
	GUI,
	NO_GUI,
	SERVICE,
	NO_SHELL,
	COLOUR_OUTPUT,
	COLOUR_STDERR,
	NO_COLOUR_OUTPUT,
	NO_COLOUR_STDERR,
	FILTER,
	NO_FILTER,
};

struct run {
	const struct args *a;
	const char **qubes;
	unsigned n_qubes;
	char *command; /* as qrexec-client takes it */
	const char *shown;
	struct hold *hold; /* --dispvm: the qube goes when this does */
	bool pass_io, filter;
	const char *colour_output, *colour_stderr; /* "31"; NULL = none */
};

/* append @word to @to so that a shell reads it back as one word */
static char *quote(char *to, const char *word)
{
	*to++ = '\'';
	for (; *word != '\0'; word++) {
		if (*word == '\'') {
			to = stpcpy(to, "'\\''");
			continue;
		}
		*to++ = *word;
	}
	*to++ = '\'';
	*to = '\0';
	return to;
}

/* USER:COMMAND from the words that are left; 0, or the exit code */
static int make_command(struct run *r, const char **words, unsigned n)
{
	const char *user = args_value(r->a, USER);
	bool plain = n == 1 && !args_has(r->a, NO_SHELL);
	size_t room = 128 + strlen(user ? user : "DEFAULT");
	char *at;

	for (unsigned i = 0; i < n; i++)
		room += 4 * strlen(words[i]) + 4;
	r->command = malloc(room);
	if (!r->command)
		return ui_fail(r->a, "out of memory");
	at = stpcpy(stpcpy(r->command, user ? user : "DEFAULT"), ":");
	if (args_has(r->a, SERVICE)) {
		if (n != 1) {
			(void)ui_usage(r->a,
				       "--service wants one name: SERVICE or SERVICE+ARGUMENT");
			return 2;
		}
		if (words[0][0] == '\0' || strpbrk(words[0], " \t\n"))
			return ui_fail(r->a, "\"%s\" is no name of a service", words[0]);
		at = stpcpy(stpcpy(at, "QUBESRPC "), words[0]);
		(void)stpcpy(at, strchr(words[0], '+') ? " dom0" : "+ dom0");
	} else {
		if (args_switch(r->a, NO_GUI, GUI, false))
			at = stpcpy(at, "nogui:");
		if (plain) {
			(void)stpcpy(at, words[0]);
		} else {
			at = stpcpy(at, "exec");
			for (unsigned i = 0; i < n; i++) {
				*at++ = ' ';
				at = quote(at, words[i]);
			}
		}
	}
	if (strlen(r->command) + 1 > COMMAND_MAX)
		return ui_fail(
			r->a,
			"the command is too long (%u bytes at most); pass it on standard input "
			"instead: qvm-run -p QUBE sh < FILE",
			COMMAND_MAX - 1);
	r->shown = words[0];
	return 0;
}

/* see to it that each qube runs; leaves in @qubes those that do */
static int bring_up(struct run *r, const struct choice *choice)
{
	AUTO_FREE struct call *list = calloc(r->n_qubes + 1, sizeof(*list));
	struct calls calls = {.args = r->a,
			      .method = "bulkhead.vm.Start",
			      .verb = "starting",
			      .list = list,
			      .n_at_once = QVM_STARTS_AT_ONCE};
	int result = 0, e;
	unsigned n = 0;

	if (!list)
		return ui_fail(r->a, "out of memory");
	for (unsigned i = 0; i < r->n_qubes; i++) {
		const char *name = r->qubes[i], *state = choice_state(choice, name);

		if (str_eq(state, "Paused") || str_eq(state, "Suspended")) {
			result = ui_fail(r->a, "%s is paused; let it go on with: qvm-unpause %s",
					 name, name);
			continue;
		}
		if (!str_eq(state, "Running") && args_has(r->a, NO_AUTOSTART)) {
			if (!args_has(r->a, ALL))
				result = ui_fail(r->a, "%s is not running", name);
			continue;
		}
		/* a start that someone else has begun is waited for too */
		if (!str_eq(state, "Running"))
			list[calls.n++].qube = name;
		r->qubes[n++] = name;
	}
	r->n_qubes = n;
	e = calls_run(&calls);
	if (e < 0)
		result = ui_fail_errno(r->a, NULL, e);
	for (unsigned i = 0; i < calls.n; i++) {
		if (list[i].r == 0)
			continue;
		result = qubesd_failed(r->a, list[i].qube, list[i].r, &list[i].answer);
		for (unsigned k = 0; k < r->n_qubes; k++) {
			if (r->qubes[k] == list[i].qube)
				r->qubes[k--] = r->qubes[--r->n_qubes];
		}
	}
	calls_done(&calls);
	return result;
}

/* become qrexec-client for one qube; returns only on failure */
static int become_client(const struct run *r, const char *client, const char *qube)
{
	const char *localcmd = args_value(r->a, LOCALCMD);
	AUTO_FREE char *colour = NULL;
	const char *argv[12];
	unsigned n = 0;

	if (r->colour_output && asprintf(&colour, "--colour=%s", r->colour_output) < 0)
		return ui_fail(r->a, "out of memory");
	if (!r->pass_io) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
			return ui_fail_errno(r->a, "/dev/null", -errno);
	}
	argv[n++] = client;
	argv[n++] = "-d";
	argv[n++] = qube;
	if (localcmd) {
		argv[n++] = "-l";
		argv[n++] = localcmd;
	}
	/* errors are filtered on a terminal anyway */
	argv[n++] = r->filter ? "-t" : "--no-filter-escape-chars-stdout";
	if (r->filter)
		argv[n++] = "-T";
	if (colour && colour[strlen("--colour=")] != '\0')
		argv[n++] = colour;
	argv[n++] = r->command;
	argv[n] = NULL;
	(void)execv(client, (char *const *)argv);
	return ui_fail_errno(r->a, client, -errno);
}

static void put_colour(FILE *to, const char *colour)
{
	if (!colour)
		return;
	(void)fprintf(to, "\033[0%s%sm", colour[0] != '\0' ? ";" : "", colour);
	(void)fflush(to);
}

static void nothing(int sig)
{
	(void)sig;
}

/* what our own caller shall see of how the child ended */
static int exit_code(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : EXIT_TROUBLE;
}

/* until the child has ended: a qubesd that is new must hear that we hold the disposable */
static void keep_holding(struct hold *h, pid_t pid)
{
	AUTO_CLOSE int pidfd = pidfd_open(pid, 0);
	struct pollfd p[] = {{.fd = pidfd, .events = POLLIN}, {.events = POLLIN}};

	while (pidfd >= 0 && p[0].revents == 0) {
		p[1].fd = hold_fd(h);
		if (poll(p, ARRAY_LEN(p), hold_timeout_ms(h)) < 0 && errno != EINTR)
			return;
		(void)hold_turn(h);
	}
}

/* run all at once and wait for them: how each ended in @codes. Return: the largest exit code */
static int run_all(const struct run *r, const char *client, int *codes)
{
	AUTO_FREE pid_t *pids = calloc(r->n_qubes + 1, sizeof(*pids));
	/* signals of the terminal reach the children too; we only wait for what they make of them
	 */
	struct sigaction wait = {.sa_handler = nothing, .sa_flags = SA_RESTART};
	int worst = 0, status, code;

	if (!pids)
		return ui_fail(r->a, "out of memory");
	(void)fflush(NULL);
	for (unsigned i = 0; i < r->n_qubes; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			/* who ends us ends what we run */
			(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
			(void)become_client(r, client, r->qubes[i]);
			_exit(EXIT_TROUBLE);
		}
		if (pids[i] < 0)
			worst = ui_fail_errno(r->a, r->qubes[i], -errno);
	}
	(void)sigaction(SIGINT, &wait, NULL);
	(void)sigaction(SIGQUIT, &wait, NULL);
	for (unsigned i = 0; i < r->n_qubes; i++) {
		if (pids[i] <= 0)
			continue;
		if (r->hold)
			keep_holding(r->hold, pids[i]);
		while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
			;
		code = codes[i] = exit_code(status);
		worst = code > worst ? code : worst;
	}
	return worst;
}

/* a service's end that says nothing by itself: qrexec-client is silent about these, as scripts expect of it */
static void explain(const struct run *r, const char *qube, int code)
{
	static const char *const why[] = {
		[125] = "the call could not be carried out; the qube's log says why",
		[126] = "the call was refused",
		[127] = "there is no such service in this qube",
	};

	if (args_has(r->a, SERVICE) && code >= 125 && code <= 127)
		ui_note(r->a, "%s: %s ended with %d: %s, unless it ends so by itself", qube,
			r->shown, code, why[code]);
	else if (code == EXIT_TROUBLE && !r->pass_io)
		ui_note(r->a,
			"%s: exit code %d: the command could not be run, unless it ends so by itself; "
			"qvm-run -p says why",
			qube, code);
	else if (code != 0 && r->n_qubes > 1)
		ui_note(r->a, "%s: exit code %d", qube, code);
}

/* what the colour options come to: red on a terminal unless they say otherwise */
static int choose_colours(struct run *r)
{
	const char *no = getenv("NO_COLOR");
	bool may = r->pass_io && (!no || no[0] == '\0');

	/* what a local command takes is data: it must come as it is */
	r->filter =
		args_switch(r->a, FILTER, NO_FILTER,
			    r->pass_io && !args_has(r->a, LOCALCMD) && isatty(STDOUT_FILENO) != 0);
	r->colour_output = args_value(r->a, COLOUR_OUTPUT);
	r->colour_stderr = args_value(r->a, COLOUR_STDERR);
	if (r->colour_output && !r->filter) {
		(void)ui_usage(r->a, "--colour-output needs --filter-escape-chars: otherwise the "
				     "qube could change the colour back");
		return 2;
	}
	if (!r->colour_output && may && r->filter && isatty(STDOUT_FILENO))
		r->colour_output = "31";
	if (!r->colour_stderr && may && isatty(STDERR_FILENO))
		r->colour_stderr = "31";
	if (!args_switch(r->a, COLOUR_OUTPUT, NO_COLOUR_OUTPUT, true))
		r->colour_output = NULL;
	if (!args_switch(r->a, COLOUR_STDERR, NO_COLOUR_STDERR, true))
		r->colour_stderr = NULL;
	for (const char *at = r->colour_output ? r->colour_output : ""; *at != '\0'; at++) {
		if (!strchr("0123456789;", *at)) {
			(void)ui_usage(r->a, "a colour is a number like 31 for red");
			return 2;
		}
	}
	return 0;
}

static int check(const struct run *r, unsigned n_needed)
{
	const struct args *a = r->a;

	if (args_has(a, DISPVM) && args_has(a, ALL)) {
		(void)ui_usage(a, "--dispvm and --all exclude each other");
		return 2;
	}
	if (a->n_words < n_needed) {
		(void)ui_usage(a, "%s",
			       n_needed == 2 && a->n_words == 0 ? "name a qube and a command"
								: "name a command");
		return 2;
	}
	if (args_has(a, LOCALCMD) && !r->pass_io) {
		(void)ui_usage(a, "--localcmd goes with --pass-io");
		return 2;
	}
	if (args_has(a, EXCLUDE) && !args_has(a, ALL)) {
		(void)ui_usage(a, "--exclude goes with --all");
		return 2;
	}
	return 0;
}

static int run_in(struct run *r, const struct choice *choice)
{
	AUTO_FREE int *codes = NULL;
	char client[PATH_MAX];
	int failed, code;

	if (r->n_qubes > 1 && r->pass_io && !args_has(r->a, LOCALCMD)) {
		(void)ui_usage(r->a,
			       "--pass-io is for one qube, unless --localcmd takes the output");
		return 2;
	}
	code = choose_colours(r);
	if (code != 0)
		return code;
	failed = choice ? bring_up(r, choice) : 0;
	if (r->n_qubes == 0)
		return failed;
	code = program_find("qrexec-client", client, sizeof(client));
	if (code < 0)
		return ui_fail(r->a, "the program qrexec-client is not installed (%s)",
			       log_errno_str(code));
	if (r->a->verbose >= 0 && !r->pass_io) {
		for (unsigned i = 0; i < r->n_qubes; i++)
			(void)fprintf(stderr, "Running '%s' on %s\n", r->shown, r->qubes[i]);
	}
	/* without -p nobody else would say that it failed */
	if (r->n_qubes == 1 && r->pass_io && !r->colour_output && !r->colour_stderr &&
	    !args_has(r->a, SERVICE) && !r->hold) {
		(void)fflush(NULL);
		(void)become_client(r, client, r->qubes[0]);
		return EXIT_TROUBLE;
	}
	codes = calloc(r->n_qubes, sizeof(*codes));
	if (!codes)
		return ui_fail(r->a, "out of memory");
	put_colour(stdout, r->colour_output);
	put_colour(stderr, r->colour_stderr);
	code = run_all(r, client, codes);
	if (r->colour_output)
		put_colour(stdout, "");
	if (r->colour_stderr)
		put_colour(stderr, "");
	for (unsigned i = 0; i < r->n_qubes; i++)
		explain(r, r->qubes[i], codes[i]);
	return code > failed ? code : failed;
}

/* 0: it runs; else the exit code */
static int wait_for_disposable(struct run *r, const char *template)
{
	struct ui_progress progress = {.args = r->a};
	enum hold_state state = HOLD_STARTING;

	while (state == HOLD_STARTING) {
		struct pollfd p = {.fd = hold_fd(r->hold), .events = POLLIN};

		if (poll(&p, 1, 300) < 0 && errno != EINTR)
			return ui_fail_errno(r->a, NULL, -errno);
		state = hold_turn(r->hold);
		ui_progress(&progress, -1, "starting a disposable%s%s", template ? " of " : "",
			    template ? template : "");
	}
	ui_progress_end(&progress);
	return state == HOLD_RUNNING ? 0 : ui_fail(r->a, "%s", hold_why(r->hold));
}

static int run_disposable(struct run *r)
{
	AUTO(client_answer_done) struct client_answer answer = {0};
	const char *template = args_value(r->a, DISPVM), *name;
	int code = make_command(r, r->a->words, r->a->n_words), e;

	if (code != 0)
		return code;
	e = hold_new(NULL, "dom0", template ? template : "dom0", &r->hold);
	if (e == -EINVAL)
		return qubesd_no_qube(r->a, template);
	if (e < 0)
		return qubesd_failed(r->a, NULL, e, &answer);
	code = wait_for_disposable(r, template);
	if (code == 0) {
		name = hold_name(r->hold);
		r->qubes = &name;
		r->n_qubes = 1;
		code = run_in(r, NULL);
		/* letting it go would do; but who waits for us shall find it gone */
		(void)!client_call(NULL, "admin.vm.Kill", name, NULL, NULL, 0, NO_FD, &answer);
		r->qubes = NULL;
	}
	hold_free(r->hold);
	return code;
}

static int run(const struct args *a)
{
	bool all = args_has(a, ALL);
	/* the qube's name is what choice_make() looks at; the rest is the command */
	struct args names = *a;
	struct run r = {.a = a, .pass_io = args_has(a, PASS_IO)};
	struct choice choice = {.all = ALL, .exclude = EXCLUDE, .here = true};
	int code;

	code = check(&r, all || args_has(a, DISPVM) ? 1 : 2);
	if (code == 0 && args_has(a, DISPVM)) {
		code = run_disposable(&r);
		free(r.command);
		return code;
	}
	if (code == 0)
		code = make_command(&r, a->words + !all, a->n_words - !all);
	if (code == 0) {
		names.n_words = !all;
		choice.state = args_has(a, NO_AUTOSTART) ? "Running" : NULL;
		code = choice_make(&names, &choice);
	}
	if (code == 0) {
		r.qubes = choice.names;
		r.n_qubes = choice.n;
		code = run_in(&r, &choice);
	}
	choice_done(&choice);
	free(r.command);
	return code;
}

static const struct option options[] = {
	{PASS_IO, 'p', "pass-io", NULL, "connect the command's input and output to ours"},
	{USER, 'u', "user", "USER", "as this user of the qube (otherwise its default_user)"},
	{OPTION_IGNORED, 'a', "autostart,auto", NULL,
	 "start the qube if it is halted; that is done anyway"},
	{NO_AUTOSTART, 'n', "no-autostart,no-auto", NULL, "fail if the qube does not run"},
	{SERVICE, 0, "service", NULL,
	 "call a service of the qube; COMMAND is its name, or NAME+ARGUMENT"},
	{NO_SHELL, 0, "no-shell", NULL,
	 "COMMAND is a program, not a line for a shell (so it is anyway if arguments follow)"},
	{LOCALCMD, 0, "localcmd", "COMMAND",
	 "with --pass-io: connect it to this command of dom0 instead of our input and output"},
	{ALL, 0, "all", NULL, "in all qubes; with --no-autostart, in those that run"},
	{EXCLUDE, 0, "exclude", "QUBE", "with --all, leave this one out (may be repeated)",
	 .words = WORDS_QUBE},
	{DISPVM, 0, "dispvm", "TEMPLATE",
	 "in a new disposable, which goes when COMMAND ends; made from this qube (otherwise from "
	 "default_dispvm)",
	 .optional = true, .words = WORDS_QUBE},
	{GUI, 0, "gui", NULL, "with the qube's windows, the default"},
	{NO_GUI, 0, "no-gui,nogui", NULL, "without waiting for the qube's session"},
	{FILTER, 0, "filter-escape-chars", NULL,
	 "replace control characters in the output (the default on a terminal, without --localcmd)"},
	{NO_FILTER, 0, "no-filter-escape-chars", NULL,
	 "pass control characters on; dangerous on a terminal, which obeys them"},
	{COLOUR_OUTPUT, 0, "colour-output,color-output", "COLOUR",
	 "the output in this colour (an ANSI number; red, 31, on a terminal)"},
	{COLOUR_STDERR, 0, "colour-stderr,color-stderr", "COLOUR", "the same for standard error"},
	{NO_COLOUR_OUTPUT, 0, "no-colour-output,no-color-output", NULL, "do not colour the output"},
	{NO_COLOUR_STDERR, 0, "no-colour-stderr,no-color-stderr", NULL,
	 "do not colour standard error"},
	{0},
};

const struct command qvm_run = {
	.name = "run",
	.summary = "run a command in a qube",
	.synopses = {"[OPTION]... QUBE COMMAND [ARGUMENT]...",
		     "[OPTION]... --all [--exclude=QUBE]... COMMAND [ARGUMENT]...",
		     "[OPTION]... --dispvm[=TEMPLATE] COMMAND [ARGUMENT]...",
		     "[OPTION]... --service QUBE SERVICE[+ARGUMENT]"},
	.text = "Runs COMMAND in the qube and waits for its end. A single word is a line for the "
		"user's "
		"shell there;\n"
		"with arguments it is a program that gets them as they are. A qube that is halted "
		"is "
		"started.\n\n"
		"Without --pass-io the command has no input and its output is dropped. With it, "
		"input, "
		"output and\n"
		"errors are those of qvm-run, bytes unchanged, also in the middle of a pipe. On a "
		"terminal the output\n"
		"is red and control characters are replaced, for a terminal obeys them and the "
		"qube "
		"is not trusted.\n\n"
		"Without a display, calls of the qube that the policy asks about meanwhile are asked about on this terminal\n"
		"(qrexec-client(1)).\n\n"
		"With --dispvm a disposable is made and started, and killed when COMMAND ends, "
		"when qvm-run does, or\n"
		"when either is killed: nothing of it is left.\n\n"
		"Options may stand after QUBE and COMMAND too; put \"--\" before QUBE if an option "
		"belongs to COMMAND.",
	.sections =
		{
			{"EXIT STATUS",
			 "The command's own; 128 and the signal's number if a signal ended it; 125 "
			 "if it "
			 "could not be run,\n"
			 "126 if it was refused, 127 if there is no such service, 255 if the qube "
			 "went "
			 "away. With several\n"
			 "qubes the largest. 1 if the qube cannot be started, 2 for a wrong call."},
			{"EXAMPLES", "\tqvm-run -p work 'uname -a; df -h /'\n"
				     "\tqvm-run -p work -- ls -l /home/user\n"
				     "\ttar c notes | qvm-run -p vault 'tar x'\n"
				     "\tqvm-run --dispvm=web -p -- sh -s < untrusted-script\n"
				     "\tqvm-run --all --no-autostart -u root poweroff"},
		},
	.options = options,
	.words = {WORDS_QUBE, WORDS_TEXT},
	.run = run,
};
