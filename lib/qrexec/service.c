/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/service.h"

#include "base/io.h"
#include "base/program.h"
#include "base/str.h"
#include "qrexec/command.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_SERVICE_PATH "/usr/local/etc/qubes-rpc:/etc/qubes-rpc"
#define DEFAULT_CONFIG_PATH  "/etc/qubes/rpc-config"
#define TCP_LINK             "/dev/tcp"

static const char *env_or(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && value[0] != '\0' ? value : otherwise;
}

/* "FIRST:INSTALLED/NAME" into the environment, where nothing is yet */
static int place_set(const char *variable, const char *first, const char *name)
{
	AUTO_FREE char *both = NULL;
	char installed[PATH_MAX];

	if (program_find_folder(name, installed, sizeof(installed)) != 0)
		return setenv(variable, first, 0) < 0 ? -ENOMEM : 0;
	if (asprintf(&both, "%s:%s", first, installed) < 0)
		return -ENOMEM;
	return setenv(variable, both, 0) < 0 ? -ENOMEM : 0;
}

int service_places_dom0(const char *config)
{
	AUTO_FREE char *services = NULL, *configured = NULL;
	int r;

	if (config && (asprintf(&services, "%s/qubes-rpc", config) < 0 ||
		       asprintf(&configured, "%s/rpc-config", config) < 0))
		return -ENOMEM;
	r = place_set("QREXEC_SERVICE_PATH", services ? services : DEFAULT_SERVICE_PATH,
		      "qubes-rpc");
	return r < 0 ? r
		     : place_set("QUBES_RPC_CONFIG_PATH",
				 configured ? configured : DEFAULT_CONFIG_PATH, "rpc-config");
}

/* the next directory of a list parted by colons, and its length; NULL at the end */
static const char *dirs_next(const char **at, size_t *ret_len)
{
	const char *dir;

	do {
		dir = *at;
		*ret_len = strcspn(dir, ":");
		*at = dir + *ret_len + (dir[*ret_len] == ':' ? 1 : 0);
	} while (*ret_len == 0 && **at != '\0');
	return *ret_len > 0 && *ret_len < PATH_MAX ? dir : NULL;
}

/* SERVICE+ARGUMENT, with a '+' also where no argument was given; false if it cannot be a file */
static bool specific_name(const struct qrexec_command *c, char *to, size_t size)
{
	if (strchr(c->full_name, '/'))
		return false;
	if (str_format(to, size, "%s+%s", c->service, c->argument ? c->argument : "") < 0)
		return false;
	return strlen(to) <= NAME_MAX;
}

static bool is_tcp_link(const char *path)
{
	char to[PATH_MAX];
	ssize_t n = readlink(path, to, sizeof(to) - 1);

	if (n < 0)
		return false;
	to[n] = '\0';
	return str_eq(to, TCP_LINK) || str_starts(to, TCP_LINK "/");
}

/* what stands at a path */
static int path_judge(const char *path, struct service *s)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? SERVICE_E_ABSENT : SERVICE_E_BROKEN;
	if (is_tcp_link(path)) {
		s->kind = SERVICE_TCP;
		return 0;
	}
	if (stat(path, &st) < 0)
		return SERVICE_E_BROKEN;
	if (S_ISSOCK(st.st_mode)) {
		s->kind = SERVICE_SOCKET;
		return 0;
	}
	if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		return SERVICE_E_BROKEN;
	s->kind = SERVICE_EXECUTABLE;
	return 0;
}

static int name_find(const char *name, struct service *s)
{
	const char *dirs = env_or("QREXEC_SERVICE_PATH", DEFAULT_SERVICE_PATH), *dir;
	size_t len;

	while ((dir = dirs_next(&dirs, &len))) {
		int r;

		if (str_format(s->path, sizeof(s->path), "%.*s/%s", (int)len, dir, name) < 0)
			return SERVICE_E_BROKEN;
		r = path_judge(s->path, s);
		if (r != SERVICE_E_ABSENT)
			return r;
	}
	return SERVICE_E_ABSENT;
}

int service_find(const struct qrexec_command *c, struct service *ret)
{
	char specific[NAME_MAX + 2];
	int r = SERVICE_E_ABSENT;

	if (specific_name(c, specific, sizeof(specific)))
		r = name_find(specific, ret);
	if (r == SERVICE_E_ABSENT && strlen(c->service) <= NAME_MAX)
		r = name_find(c->service, ret);
	return r;
}

/* ---- configuration ------------------------------------------------------------------------- */

enum key { KEY_WAIT, KEY_USER, KEY_CLIENT_EOF, KEY_SERVICE_EOF, KEY_SKIP, N_KEYS };

static const char *const keys[N_KEYS] = {
	[KEY_WAIT] = "wait-for-session",         [KEY_USER] = "force-user",
	[KEY_CLIENT_EOF] = "exit-on-client-eof", [KEY_SERVICE_EOF] = "exit-on-service-eof",
	[KEY_SKIP] = "skip-service-descriptor",
};

static void blanks_skip(const char **at, const char *end)
{
	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
}

static bool line_ends(const char *at, const char *end)
{
	blanks_skip(&at, end);
	return at == end || *at == '#';
}

static bool key_take(const char **at, const char *end, enum key *ret)
{
	for (unsigned k = 0; k < N_KEYS; k++) {
		const size_t len = strlen(keys[k]);
		const char *behind = *at + len;

		if ((size_t)(end - *at) <= len || memcmp(*at, keys[k], len) != 0)
			continue;
		blanks_skip(&behind, end);
		if (behind == end || *behind != '=')
			continue;
		*at = behind + 1;
		blanks_skip(at, end);
		*ret = (enum key)k;
		return true;
	}
	return false;
}

static bool flag_take(const char **at, const char *end, bool *ret)
{
	static const struct {
		const char *text;
		bool value;
	} values[] = {{"true", true}, {"false", false}, {"1", true}, {"0", false}};

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		const size_t len = strlen(values[i].text);

		if ((size_t)(end - *at) < len || memcmp(*at, values[i].text, len) != 0)
			continue;
		if (!line_ends(*at + len, end))
			continue;
		if ((size_t)(end - *at) > len && !strchr(" \t#", (*at)[len]))
			continue;
		*at += len;
		*ret = values[i].value;
		return true;
	}
	return false;
}

/* 'user' or "user" */
static bool user_take(const char **at, const char *end, char *to, size_t size)
{
	const char *from = *at + 1, *close;
	char quote;

	if (*at == end)
		return false;
	quote = **at;
	if (quote != '\'' && quote != '"')
		return false;
	close = memchr(from, quote, (size_t)(end - from));
	if (!close || close == from || !bytes_are_alnum_or(from, (size_t)(close - from), "_.-$") ||
	    str_copy(to, size, from, (size_t)(close - from)) < 0)
		return false;
	*at = close + 1;
	return true;
}

static bool line_parse(const char *at, const char *end, unsigned *seen, struct service_config *c)
{
	enum key k;

	blanks_skip(&at, end);
	if (line_ends(at, end))
		return true;
	if (!key_take(&at, end, &k) || (*seen & (1u << k)))
		return false;
	*seen |= 1u << k;
	switch (k) {
	case KEY_USER:
		return user_take(&at, end, c->force_user, sizeof(c->force_user)) &&
		       line_ends(at, end);
	case KEY_WAIT:
		return flag_take(&at, end, &c->wait_for_session);
	case KEY_CLIENT_EOF:
		return flag_take(&at, end, &c->exit_on_client_eof);
	case KEY_SERVICE_EOF:
		return flag_take(&at, end, &c->exit_on_service_eof);
	case KEY_SKIP:
		return flag_take(&at, end, &c->skip_service_descriptor);
	case N_KEYS:
		break;
	}
	return false;
}

int service_config_parse(const char *text, size_t len, struct service_config *ret)
{
	const char *at = text, *end = text + len;
	struct service_config c = {0};
	unsigned seen = 0;

	if (len > SERVICE_CONFIG_MAX || memchr(text, '\0', len))
		return SERVICE_E_BROKEN;
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));

		if (!line_end)
			line_end = end;
		if (!line_parse(at, line_end, &seen, &c))
			return SERVICE_E_BROKEN;
		at = line_end < end ? line_end + 1 : end;
	}
	*ret = c;
	return 0;
}

/* no directory at all is a service without configuration; one that leads nowhere is not */
static bool is_broken_link(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && stat(path, &st) < 0;
}

/* 0; SERVICE_E_ABSENT: no such file in @dir; SERVICE_E_BROKEN; -ENOMEM */
static int config_file(const char *dir, size_t dir_len, const char *name,
		       struct service_config *ret)
{
	AUTO_FREE char *text = NULL;
	char path[PATH_MAX];
	struct stat st;
	size_t len;
	int r;

	if (str_format(path, sizeof(path), "%.*s/%s", (int)dir_len, dir, name) < 0)
		return SERVICE_E_BROKEN;
	if (lstat(path, &st) < 0) {
		const bool absent = errno == ENOENT;

		path[dir_len] = '\0';
		return absent && !is_broken_link(path) ? SERVICE_E_ABSENT : SERVICE_E_BROKEN;
	}
	r = io_read_file(AT_FDCWD, path, SERVICE_CONFIG_MAX, &text, &len);
	if (r == -ENOMEM)
		return r;
	return r < 0 ? SERVICE_E_BROKEN : service_config_parse(text, len, ret);
}

static int config_find(const char *name, struct service_config *ret)
{
	const char *dirs = env_or("QUBES_RPC_CONFIG_PATH", DEFAULT_CONFIG_PATH), *dir;
	size_t len;
	int r = SERVICE_E_ABSENT;

	while (r == SERVICE_E_ABSENT && (dir = dirs_next(&dirs, &len)))
		r = config_file(dir, len, name, ret);
	return r;
}

int service_config_load(const struct qrexec_command *c, struct service_config *ret)
{
	char specific[NAME_MAX + 2];
	int r = SERVICE_E_ABSENT;

	if (specific_name(c, specific, sizeof(specific)))
		r = config_find(specific, ret);
	if (r == SERVICE_E_ABSENT && strlen(c->service) <= NAME_MAX)
		r = config_find(c->service, ret);
	if (r != SERVICE_E_ABSENT)
		return r;
	*ret = (struct service_config){0};
	return 0;
}

/* ---- environment --------------------------------------------------------------------------- */

void service_clearenv(void)
{
	static const char *const names[] = {
		"QREXEC_REMOTE_DOMAIN",    "QREXEC_SERVICE_FULL_NAME",
		"QREXEC_SERVICE_ARGUMENT", "QREXEC_REQUESTED_TARGET_TYPE",
		"QREXEC_REQUESTED_TARGET", "QREXEC_REQUESTED_TARGET_KEYWORD",
		"QREXEC_AGENT_PID",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unsetenv(names[i]);
}

int service_setenv(const struct qrexec_command *c)
{
	const bool keyword = str_eq(c->target_type, "keyword");

	service_clearenv();
	if (setenv("QREXEC_REMOTE_DOMAIN", c->source, 1) < 0 ||
	    setenv("QREXEC_SERVICE_FULL_NAME", c->full_name, 1) < 0 ||
	    setenv("QREXEC_REQUESTED_TARGET_TYPE", c->target_type, 1) < 0)
		return -ENOMEM;
	if (c->argument && setenv("QREXEC_SERVICE_ARGUMENT", c->argument, 1) < 0)
		return -ENOMEM;
	if (c->target[0] == '\0')
		return 0;
	return setenv(keyword ? "QREXEC_REQUESTED_TARGET_KEYWORD" : "QREXEC_REQUESTED_TARGET",
		      c->target, 1) < 0
		       ? -ENOMEM
		       : 0;
}
