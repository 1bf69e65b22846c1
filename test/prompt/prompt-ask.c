/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prompt-ask SOCKET TIMEOUT_MS SOURCE SERVICE ASKED PRESELECTED TARGET...: asks the prompt as policyd
 * does, and prints what became of it: "allowed NAME", or how it was denied.
 *
 * A qube is NAME, or NAME:KIND:LABEL:RRGGBB with the number of doc/protocol/prompt.md; PRESELECTED
 * is which of the targets, from 0, or -. SERVICE and ASKED may have printf's escapes.
 */
#include "base/io.h"
#include "proto/prompt.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static uint8_t bytes[PROMPT_MAX], targets[PROMPT_MAX];

static struct prompt_qube qube(char *text)
{
	struct prompt_qube q = {PROMPT_APP, 0xcc0000, "red", strsep(&text, ":")};

	if (text)
		q.kind = (enum prompt_kind)strtoul(strsep(&text, ":"), NULL, 10);
	if (text)
		q.label = strsep(&text, ":");
	if (text)
		q.colour = (uint32_t)strtoul(text, NULL, 16);
	return q;
}

/* "\xNN" in place: what no shell passes in an argument without care */
static char *unescaped(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; to++) {
		char digits[3] = {0};

		if (from[0] != '\\' || from[1] != 'x') {
			*to = *from++;
			continue;
		}
		memcpy(digits, from + 2, 2);
		*to = (char)strtoul(digits, NULL, 16);
		from += 4;
	}
	*to = '\0';
	return text;
}

static void print(const struct prompt_answer *a, const struct prompt_question *q)
{
	static const char *const results[] = {
		[PROMPT_DENIED] = "denied",
		[PROMPT_TIMED_OUT] = "timed out",
		[PROMPT_BUSY] = "busy",
		[PROMPT_NOT_SHOWN] = "not shown",
	};
	struct prompt_qube t = {.name = "?"};
	size_t at = 0;

	if (a->result != PROMPT_ALLOWED) {
		(void)puts(results[a->result]);
		return;
	}
	for (uint32_t i = 0; i <= a->target; i++)
		(void)prompt_target_next(q, &at, &t);
	(void)printf("allowed %s%s\n", t.kind == PROMPT_NEW_DISPOSABLE ? "@dispvm:" : "", t.name);
}

int main(int argc, char **argv)
{
	struct prompt_question q = {.remote = "", .targets = targets};
	uint8_t reply[PROMPT_ANSWER_LEN];
	struct prompt_answer a;
	size_t len;
	int fd;

	if (argc < 8)
		return 2;
	q.timeout_ms = (unsigned)strtoul(argv[2], NULL, 10);
	q.source = qube(argv[3]);
	q.service = unescaped(argv[4]);
	q.asked = unescaped(argv[5]);
	q.preselected = argv[6][0] == '-' ? PROMPT_NONE : (uint32_t)strtoul(argv[6], NULL, 10);
	for (int i = 7; i < argc; i++) {
		const struct prompt_qube t = qube(argv[i]);

		q.targets_len += prompt_target_put(&t, targets + q.targets_len,
						   sizeof(targets) - q.targets_len);
		q.n_targets++;
	}
	len = prompt_question_encode(&q, bytes, sizeof(bytes));
	if (len == 0 || io_unix_connect(argv[1], SOCK_STREAM, &fd) < 0 ||
	    io_write_full(fd, bytes, len) < 0) {
		(void)fputs("not asked\n", stderr);
		return 1;
	}
	if (io_read_full(fd, reply, sizeof(reply)) < 0 ||
	    prompt_answer_decode(reply, sizeof(reply), &a) != 0)
		(void)puts("unanswered");
	else
		print(&a, &q);
	return 0;
}
