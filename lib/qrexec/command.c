/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/command.h"

#include "base/str.h"
#include "proto/qrexec.h"

#include <string.h>

#define RPC_PREFIX   "QUBESRPC "
#define NOGUI_PREFIX "nogui:"
/** USER_MAX - bytes of a user's name */
#define USER_MAX 255

void qrexec_command_done(struct qrexec_command *c)
{
	free(c->user);
	free(c->shell);
	free(c->service);
	free(c->full_name);
	free(c->source);
	free(c->target_type);
	free(c->target);
	*c = (struct qrexec_command){0};
}

/* the text before the next blank, or all of it; @text moves behind it */
static char *word_take(const char **text)
{
	size_t len = strcspn(*text, " ");
	char *word = strndup(*text, len);

	*text += len;
	if (**text == ' ')
		(*text)++;
	return word;
}

/* service, source and perhaps type and target: single blanks, nothing empty */
static int words_take(const char *text, struct qrexec_command *c)
{
	size_t len;

	c->full_name = word_take(&text);
	c->source = word_take(&text);
	c->target_type = word_take(&text);
	c->target = word_take(&text);
	if (!c->full_name || !c->source || !c->target_type || !c->target)
		return -ENOMEM;
	if (*text != '\0' || c->source[0] == '\0')
		return COMMAND_E_SERVICE;
	if (!qrexec_service_valid(c->full_name, strlen(c->full_name)))
		return COMMAND_E_SERVICE;
	if (c->target_type[0] != '\0' && !str_eq(c->target_type, "name") &&
	    !str_eq(c->target_type, "keyword"))
		return COMMAND_E_SERVICE;
	if ((c->target_type[0] == '\0') != (c->target[0] == '\0'))
		return COMMAND_E_SERVICE;
	len = strcspn(c->full_name, "+");
	c->service = strndup(c->full_name, len);
	if (!c->service)
		return -ENOMEM;
	if (strchr(c->service, '/') || c->service[0] == '.')
		return COMMAND_E_SERVICE; /* it becomes a file's name */
	c->argument = c->full_name[len] == '+' ? c->full_name + len + 1 : NULL;
	return 0;
}

static int rest_take(const char *text, struct qrexec_command *c)
{
	if (str_starts(text, NOGUI_PREFIX)) {
		c->nogui = true;
		text += strlen(NOGUI_PREFIX);
	}
	if (str_starts(text, RPC_PREFIX))
		return words_take(text + strlen(RPC_PREFIX), c);
	c->shell = strdup(text);
	return c->shell ? 0 : -ENOMEM;
}

int qrexec_command_words(const char *text, struct qrexec_command *ret)
{
	struct qrexec_command c = {0};
	int r = COMMAND_E_SERVICE;

	if (str_starts(text, RPC_PREFIX))
		r = words_take(text + strlen(RPC_PREFIX), &c);
	if (r != 0)
		qrexec_command_done(&c);
	else
		*ret = c;
	return r;
}

int qrexec_command_parse(const char *text, struct qrexec_command *ret)
{
	struct qrexec_command c = {0};
	const size_t user_len = strcspn(text, ":");
	int r = 0;

	if (text[user_len] != ':' || user_len == 0 || user_len > USER_MAX ||
	    strcspn(text, " /") < user_len)
		return COMMAND_E_USER;
	c.user = strndup(text, user_len);
	if (!c.user)
		r = -ENOMEM;
	if (r == 0)
		r = rest_take(text + user_len + 1, &c);
	if (r != 0)
		qrexec_command_done(&c);
	else
		*ret = c;
	return r;
}
