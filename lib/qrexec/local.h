/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* The local wire, from its clients' side: how a qube's daemon is found and spoken to. */
#include "base/attr.h"

struct qrexec_peer;

/** local_path() - @qube: a name, "uuid:UUID" or an id; 0; -ENAMETOOLONG */
MUST_CHECK int local_path(const char *dir, const char *qube, char *to, size_t size);

/**
 * local_is_of() - the socket at @path is that of the qube @domid
 *
 * A link qrexec.NAME leads to qrexec.DOMID: a daemon that was taken over by its qube must not be able to send us to
 * another qube's channels. A socket that has no id in its name, nor a link's, says nothing, and is believed.
 */
bool local_is_of(const char *path, uint32_t domid);

/** local_peer_new() - start speaking with the daemon; @fd is taken on success; 0; -ENOMEM; -errno */
MUST_CHECK int local_peer_new(int *fd, struct qrexec_peer **ret);
