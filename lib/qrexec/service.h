/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Services: where they are, how they are configured, what they are told.
 *
 * A service is a file in one of the directories of $QREXEC_SERVICE_PATH; SERVICE+ARGUMENT is looked
 * for in all of them before SERVICE. Its configuration is a small file of the same name, looked for likewise.
 */
#include "base/attr.h"

#include <limits.h>

struct qrexec_command;

/**
 * service_places_dom0() - where dom0 looks for services, unless the environment says
 * @config:	the instance's; NULL: there is none, the services are the machine's
 *
 * First the administrator's (qubes-rpc/ and rpc-config/ of @config, or those in /etc), then what is installed with our
 * programs: a file of the same name takes the place of ours. Should: be called before anything is looked for.
 *
 * Return: 0; -ENOMEM.
 */
MUST_CHECK int service_places_dom0(const char *config);

/** enum - outcomes of this header */
enum {
	SERVICE_E_ABSENT = 1, /* there is no such service: exit code 127 */
	SERVICE_E_BROKEN,     /* there is something, but not one that can be used: 125 */
};

enum service_kind {
	SERVICE_EXECUTABLE,
	SERVICE_SOCKET, /* a Unix socket that is connected to */
	SERVICE_TCP,    /* a link to /dev/tcp[/HOST[/PORT]] */
};

struct service {
	enum service_kind kind;
	char path[PATH_MAX];
};

/** service_find() - 0; SERVICE_E_ABSENT, SERVICE_E_BROKEN (also: a link that leads nowhere) */
MUST_CHECK int service_find(const struct qrexec_command *c, struct service *ret);

/** SERVICE_CONFIG_MAX - bytes of a configuration file */
#define SERVICE_CONFIG_MAX 4096

struct service_config {
	bool wait_for_session;
	bool skip_service_descriptor;
	bool exit_on_client_eof, exit_on_service_eof;
	char force_user[64]; /* "" = the caller says */
};

/**
 * service_config_parse() - the text of a configuration
 *
 * Lines `key = value`; `#` begins a comment; values 0, 1, true, false, or text in quotes for
 * force-user. Nothing else, and no key twice. Return: 0; SERVICE_E_BROKEN.
 */
MUST_CHECK int service_config_parse(const char *text, size_t len, struct service_config *ret);

/**
 * service_config_load() - the configuration of a service, from the directories of $QUBES_RPC_CONFIG_PATH
 *
 * SERVICE+ARGUMENT's first file, else SERVICE's, else all defaults. Return: 0; SERVICE_E_BROKEN; -errno.
 */
MUST_CHECK int service_config_load(const struct qrexec_command *c, struct service_config *ret);

/** service_setenv() - put what a service is told into our environment and clear leftovers of
 * callers; 0; -ENOMEM */
MUST_CHECK int service_setenv(const struct qrexec_command *c);
/** service_clearenv() - only clear them: for commands that are no service */
void service_clearenv(void);
