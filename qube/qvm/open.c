/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qvm-open-in-vm and -in-dvm: a web page goes by qubes.OpenURL, a line on standard input; a file by
 * qubes.OpenInVM, through qopen-in-vm, which takes it back.
 */
#include "qvm.h"

#include "base/io.h"
#include "base/log.h"
#include "base/str.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

/** URL_MAX_LEN - bytes that fit into an empty pipe without waiting, and no page has more */
#define URL_MAX_LEN 4096

static bool is_url(const char *text)
{
	static const char *const schemes[] = {"http://", "https://", "ftp://"};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (str_starts(text, schemes[i]))
			return true;
	return false;
}

static int url_open(const struct command *c, const char *target, const char *url)
{
	const size_t len = strlen(url);
	int fds[2], r;

	if (len > URL_MAX_LEN || strchr(url, '\n'))
		return complain(c, url, "no page has such an address");
	if (pipe2(fds, O_CLOEXEC) < 0)
		return complain(c, url, log_errno_str(errno));
	r = io_write_full(fds[1], url, len);
	r = r < 0 ? r : io_write_full(fds[1], "\n", 1);
	if (r < 0 || dup2(fds[0], STDIN_FILENO) < 0)
		return complain(c, url, log_errno_str(r < 0 ? r : errno));
	(void)close(fds[1]);
	return client_exec(c, target, "qubes.OpenURL", NULL);
}

int open_run(const struct command *c, const char *options, char **words)
{
	const bool disposable = str_eq(c->name, "qvm-open-in-dvm");
	const char *target = disposable ? "@dispvm" : words[0];
	const char *what = words[disposable ? 0 : 1];
	char helper[PATH_MAX];
	const char *program[] = {helper, NULL, NULL, NULL, NULL}, **to = program + 1;

	if (words[disposable ? 1 : 2])
		return usage_error(c, "one at a time");
	if (is_url(what))
		return url_open(c, target, what);
	if (access(what, R_OK) < 0)
		return complain(c, what, log_errno_str(errno));
	if (helper_path("qopen-in-vm", helper, sizeof(helper)) < 0)
		return complain(c, "qopen-in-vm", log_errno_str(ENAMETOOLONG));
	if (strchr(options, 'o'))
		*to++ = "--view-only";
	*to++ = "--";
	*to = what;
	return client_exec(c, target, "qubes.OpenInVM", program);
}
