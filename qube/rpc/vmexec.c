/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qubes.VMExec+ARGUMENT: run one program without a shell. The argument holds the program and its
 * arguments, separated by '+'; of their bytes letters, digits, '_' and '.' stand for themselves,
 * "--" for '-', and "-HH" (two upper-case hexadecimal digits) for any byte but NUL. There is one
 * way to write each command, and another way is refused.
 *
 * runs as the user the call is for.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_PROBLEM = 125, EXIT_CANNOT = 126, EXIT_ABSENT = 127 };

static int hex_get(char c)
{
	const char *const digits = "0123456789ABCDEF";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at ? (int)(at - digits) : -1;
}

static bool plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.';
}

/* one byte of a word from @from; how many bytes it took, 0 if it is none */
static unsigned byte_take(const char *from, char *ret)
{
	int high, low;

	if (plain(*from)) {
		*ret = *from;
		return 1;
	}
	if (*from != '-')
		return 0;
	if (from[1] == '-') {
		*ret = '-';
		return 2;
	}
	high = hex_get(from[1]);
	low = high < 0 ? -1 : hex_get(from[2]);
	if (low < 0 || high * 16 + low == 0)
		return 0;
	*ret = (char)(high * 16 + low);
	return 3;
}

/* in place: words end in NUL; how many, 0 if malformed. @words has room for all */
static size_t words_take(char *text, char **words)
{
	const char *from = text;
	char *to = text;
	size_t n = 0;

	words[n++] = to;
	while (*from != '\0') {
		unsigned took;

		if (*from == '+') {
			*to++ = '\0';
			words[n++] = to;
			from++;
			continue;
		}
		took = byte_take(from, to);
		if (took == 0)
			return 0;
		from += took;
		to++;
	}
	*to = '\0';
	return n;
}

int main(void)
{
	const char *argument = getenv("QREXEC_SERVICE_ARGUMENT");
	char *text = argument ? strdup(argument) : NULL;
	char **words = argument ? calloc(strlen(argument) + 2, sizeof(*words)) : NULL;
	int e;

	if (!text || !words || words_take(text, words) == 0 || words[0][0] == '\0') {
		(void)fputs("qubes.VMExec: the argument is not an encoded command\n", stderr);
		free(words);
		free(text);
		return EXIT_PROBLEM;
	}
	(void)execvp(words[0], words);
	e = errno;
	(void)fprintf(stderr, "qubes.VMExec: %s: %s\n", words[0], strerrordesc_np(e));
	free(words);
	free(text);
	return e == ENOENT ? EXIT_ABSENT : EXIT_CANNOT;
}
