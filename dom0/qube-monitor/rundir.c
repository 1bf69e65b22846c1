/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * run/q/DOMID (0700) with monitor.sock, vchand.sock, carrier.sock and vchan/; beside it the qube's
 * socket in run/qubes/. The sockets in vchan/ and those of qrexec come and go at the daemons'
 * questions; here they are only swept away at the end. What may stay is run/q/DOMID.clean, for a
 * qubesd that was away when the qube powered itself off.
 */
#include "qube-monitor.h"

#include "base/log.h"
#include "base/paths.h"
#include "base/sweep.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int listen_at(const char *dir, const char *name, int type, int *ret_fd)
{
	char path[UNIX_PATH_MAX + 1];
	int r = str_format(path, sizeof(path), "%s/%s", dir, name);

	return r < 0 ? r : io_unix_listen(path, type, 0600, ret_fd);
}

/* a monitor that answers owns the folder; what a dead one left goes */
static int take_over(const struct rundir *d)
{
	char path[UNIX_PATH_MAX + 1];
	AUTO_CLOSE int fd = NO_FD;
	int r = str_format(path, sizeof(path), "%s/monitor.sock", d->dir);

	if (r < 0)
		return r;
	r = io_unix_connect_now(path, SOCK_SEQPACKET, &fd);
	if (r == 0 || r == -EAGAIN)
		return -EEXIST;
	return io_remove_tree(AT_FDCWD, d->dir);
}

static int make_folders(struct rundir *d)
{
	int r = io_mkdirs(d->dir, 0700);

	r = r < 0 ? r : take_over(d);
	d->made = r == 0;
	r = r < 0 ? r : io_mkdirs(d->vchan, 0700);
	r = r < 0 ? r : io_mkdirs(d->qrexec, 0700);
	if (r < 0)
		return r;
	d->vchan_dir_fd = open(d->vchan, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->vchan_dir_fd < 0 ? fail_errno() : 0;
}

int rundir_make(struct rundir *d, const char *run, unsigned domid, const char *name)
{
	char path[UNIX_PATH_MAX + 1];
	int r;

	*d = RUNDIR_NONE;
	d->domid = domid;
	r = str_format(d->run, sizeof(d->run), "%s", run);
	if (r == 0)
		r = str_format(d->dir, sizeof(d->dir), "%s/q/%u", run, domid);
	if (r == 0)
		r = str_format(d->vchan, sizeof(d->vchan), "%s/vchan", d->dir);
	if (r == 0)
		r = str_format(d->carrier, sizeof(d->carrier), "%s/carrier.sock", d->dir);
	if (r == 0)
		r = str_format(d->qrexec, sizeof(d->qrexec), "%s/qubes", run);
	if (r == 0)
		r = str_format(d->qubesdb, sizeof(d->qubesdb), "%s/qubes/qubesdb.%s.sock", run,
			       name);
	if (r == 0)
		r = make_folders(d);
	if (r == 0)
		r = io_unix_listen(d->carrier, SOCK_STREAM, 0600, &d->carrier_fd);
	if (r == 0)
		r = listen_at(d->dir, "vchand.sock", SOCK_SEQPACKET, &d->vchand_fd);
	if (r == 0)
		r = io_unix_listen(d->qubesdb, SOCK_STREAM, 0600, &d->qubesdb_local_fd);
	if (r == 0)
		r = paths_vchan_socket(d->vchan, 0, domid, 111, path, sizeof(path));
	if (r == 0)
		r = io_unix_listen(path, SOCK_STREAM, 0600, &d->qubesdb_vchan_fd);
	/* last: who finds it finds a qube */
	if (r == 0)
		r = listen_at(d->dir, "monitor.sock", SOCK_SEQPACKET, &d->monitor_fd);
	return r;
}

int rundir_note_clean(const struct rundir *d, const char *uuid)
{
	char path[UNIX_PATH_MAX + 1];
	int r = str_format(path, sizeof(path), "%s/q/%u.clean", d->run, d->domid);

	return r < 0 ? r : io_write_file(AT_FDCWD, path, uuid, strlen(uuid), 0600);
}

void rundir_remove(struct rundir *d, const char *name)
{
	int r = d->made ? sweep_qube(d->run, d->domid, name) : 0;

	if (r < 0)
		log_warn(name, "something of it stays below %s: %s", d->run, log_errno_str(r));
	d->made = false;
	close_fd(&d->monitor_fd);
	close_fd(&d->carrier_fd);
	close_fd(&d->vchand_fd);
	close_fd(&d->qubesdb_vchan_fd);
	close_fd(&d->qubesdb_local_fd);
	close_fd(&d->vchan_dir_fd);
}
