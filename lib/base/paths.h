/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * Where an instance of Bulkhead keeps things in dom0.
 *
 * BULKHEAD_HOME=DIR puts everything below DIR (several instances, tests); else the XDG directories
 * of the user. Sockets live in a short directory of their own, since a Unix socket's path holds 107
 * bytes: DIR/run is a link to it.
 *
 *	state	store.db, pools/ (volumes), kernels/, log/	survives
 *	config	policy.d/, dom0's services (qubes-rpc/, rpc-config/) and what an administrator writes	survives
 *	cache	what can be fetched or built again		may be deleted
 *	share	applications/, icons/ of the desktop (paths_data())	made again
 *	run	policy.d/, sockets:				gone at stop
 *		qubesd.sock qubesd.internal.sock qubesd.misc.sock qubesd.gate.sock
 *		policy.sock		questions to qrexec-policyd
 *		qubes/			what is in /run/qubes for Qubes' programs (bulkhead exec):
 *			qrexec.DOMID (+ links qrexec.NAME, qrexec.uuid:UUID) qubesdb.NAME.sock policy.sock (a link)
 *		prompt.sock prompt.lock	questions to the person; who listens there
 *		terminals/QUBE.PID	the same, on the terminal of who runs something in that qube; lock
 *		q/DOMID/monitor.sock	qubesd to qube-monitor
 *		q/DOMID.clean		that qube powered itself off, and qubesd does not know yet
 *		q/DOMID/vchand.sock	tickets for streams between qubes
 *		q/DOMID/vchan/		the vchan sockets of this qube (VCHAN_SOCKET_DIR of its
 * daemons)
 */
#include "base/attr.h"

/** PATHS_RUN_MAX - longest run directory, so that every socket below it fits */
#define PATHS_RUN_MAX 48
/** PATHS_DOMID_MAX - the largest id in a vchan's path: a qube's name for itself */
#define PATHS_DOMID_MAX 32752u

struct paths {
	char *state, *config, *cache;
	char run[PATHS_RUN_MAX + 1]; /* the short directory itself, not the link */
};

/**
 * paths_init() - find the directories of this instance
 * @create:	make what is missing (mode 0700) and the link to run; else an absent run directory
 * is -ENOENT
 *
 * Return: 0; -ENOENT; -EPERM if the run directory belongs to somebody else; -errno.
 */
MUST_CHECK int paths_init(struct paths *p, bool create);
void paths_done(struct paths *p);

/**
 * paths_data() - the folder of what a desktop shows: its applications/ holds entries of menus
 *
 * share/ below BULKHEAD_HOME, else the user's own (XDG_DATA_HOME, ~/.local/share), which is not ours alone. Not made.
 * Return: 0, @ret is the caller's; -ENOENT; -ENOMEM; -errno.
 */
MUST_CHECK int paths_data(char **ret);

/** paths_vchan_dir() - VCHAN_SOCKET_DIR of qube @domid; @to holds UNIX_PATH_MAX + 1 bytes */
MUST_CHECK int paths_vchan_dir(const struct paths *p, unsigned domid, char *to, size_t size);
/** paths_vchan_socket() - the socket of one vchan in @dir; -EINVAL for an id that no domain has */
MUST_CHECK int paths_vchan_socket(const char *dir, unsigned server, unsigned client, unsigned port,
				  char *to, size_t size);
