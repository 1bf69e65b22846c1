/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qrexec/local.h"

#include "base/str.h"
#include "qrexec/peer.h"
#include "vchan/vchan.h"

#include <ctype.h>
#include <string.h>

int local_path(const char *dir, const char *qube, char *to, size_t size)
{
	return str_format(to, size, "%s/qrexec.%s", dir, qube);
}

bool local_is_of(const char *path, uint32_t domid)
{
	char to[64];
	ssize_t n = readlink(path, to, sizeof(to) - 1);
	const char *last = strrchr(path, '.');
	uint64_t id;

	if (n > 0) {
		to[n] = '\0';
		last = strrchr(to, '.');
	} else if (!last || !isdigit((unsigned char)last[1])) {
		return true;
	}
	return last && str_u64(last + 1, VCHAN_DOMID_MAX, &id) == 0 && id == domid;
}

int local_peer_new(int *fd, struct qrexec_peer **ret)
{
	struct vchan *v = NULL;
	int r = vchan_new_from_fd(fd, &v);

	if (r == 0)
		r = qrexec_peer_new(&v, QREXEC_DAEMON_TO_CLIENT, QREXEC_VERSION_LOCAL, ret);
	vchan_free(v);
	return r;
}
