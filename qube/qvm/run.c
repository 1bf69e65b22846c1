/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-run: a command in another qube, by qubes.VMExec, whose argument is the command itself
 * (qube/rpc/vmexec.c reads it), so that our streams are the command's from the first byte on.
 */
#include "qvm.h"

#include "base/str.h"

#include <string.h>

/** SERVICE_MAX - bytes of a service's name with its argument, as qrexec carries it */
#define SERVICE_MAX 65000

struct text {
	char bytes[SERVICE_MAX + 1];
	size_t len;
	bool failed;
};

static void add(struct text *t, char c)
{
	t->failed |= t->len == SERVICE_MAX;
	if (!t->failed)
		t->bytes[t->len++] = c;
}

static void add_word(struct text *t, const char *word)
{
	static const char hex[] = "0123456789ABCDEF";

	add(t, '+');
	for (; *word != '\0'; word++) {
		const uint8_t c = (uint8_t)*word;

		if (bytes_are_alnum_or(word, 1, "_.")) {
			add(t, *word);
			continue;
		}
		add(t, '-');
		if (c == '-') {
			add(t, '-');
			continue;
		}
		add(t, hex[c >> 4]);
		add(t, hex[c & 15]);
	}
}

/* a line for a shell: words with spaces between them, as one word */
static char *words_join(char **words)
{
	size_t len = 1;
	char *line, *to;

	for (char **word = words; *word; word++)
		len += strlen(*word) + 1;
	line = calloc(1, len);
	if (!line)
		return NULL;
	to = line;
	for (char **word = words; *word; word++) {
		if (word != words)
			*to++ = ' ';
		to = stpcpy(to, *word);
	}
	return line;
}

static bool is_disposable(const char *target)
{
	return strcmp(target, "@dispvm") == 0 || str_starts(target, "@dispvm:") ||
	       strcmp(target, "$dispvm") == 0 || str_starts(target, "$dispvm:");
}

int run_run(const struct command *c, const char *options, char **words)
{
	const bool waits =
		strchr(options, 'g') || (is_disposable(words[0]) && !strchr(options, 'n'));
	static struct text service;
	AUTO_FREE char *line = NULL;

	if (!words[1])
		return usage_error(c, "there is no command");
	for (const char *at = waits ? "qubes.VMExecGUI" : "qubes.VMExec"; *at != '\0'; at++)
		add(&service, *at);
	if (strchr(options, 's')) {
		for (char **word = words + 1; *word; word++)
			add_word(&service, *word);
	} else {
		line = words_join(words + 1);
		if (!line)
			return EXIT_FAILED;
		add_word(&service, "sh");
		add_word(&service, "-c");
		add_word(&service, line);
	}
	if (service.failed)
		return complain(c, words[1],
				"the command is too long; give it to a shell on standard input");
	return client_exec(c, words[0], service.bytes, NULL);
}
