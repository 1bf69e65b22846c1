/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/* Files and sockets: whole reads and writes, durable files, Unix sockets, descriptors in messages.
 */
#include "base/attr.h"

#include <sys/types.h>

/** IO_MAX_FDS - descriptors that one message may carry */
#define IO_MAX_FDS 16
/** UNIX_PATH_MAX - bytes of a Unix socket's path without its NUL */
#define UNIX_PATH_MAX 107

/** io_read_full() - read exactly @len bytes; -ENODATA at an early end of file, else -errno */
MUST_CHECK int io_read_full(int fd, void *buf, size_t len);
/** io_write_full() - write all @len bytes, waiting where the descriptor does not block */
MUST_CHECK int io_write_full(int fd, const void *buf, size_t len);
MUST_CHECK int io_set_nonblock(int fd, bool on);

/**
 * io_read_all() - what is left in a descriptor, to its end
 * @max:	more bytes than this are -EFBIG
 * @ret:	its bytes and a NUL behind them; owned by the caller (free)
 * @ret_len:	length without that NUL; may be NULL
 */
MUST_CHECK int io_read_all(int fd, size_t max, char **ret, size_t *ret_len);
/**
 * io_read_file() - a whole small file, as io_read_all()
 * @at:		directory descriptor or AT_FDCWD
 */
MUST_CHECK int io_read_file(int at, const char *path, size_t max, char **ret, size_t *ret_len);

/**
 * io_write_file() - replace a file durably: written beside it, synced, renamed over it, directory
 * synced
 *
 * After a crash the file holds the old bytes or the new ones. @mode as for open().
 */
MUST_CHECK int io_write_file(int at, const char *path, const void *bytes, size_t len, mode_t mode);

/** io_mkdirs() - make a directory and its parents; one that exists is fine */
MUST_CHECK int io_mkdirs(const char *path, mode_t mode);

/** io_remove_tree() - remove a file or folder and all below it, following no link; absent is fine
 */
MUST_CHECK int io_remove_tree(int at, const char *path);

/**
 * io_unix_listen() - a listening Unix socket, close-on-exec and non-blocking
 * @type:	SOCK_STREAM or SOCK_SEQPACKET
 * @mode:	permissions of its file
 *
 * The path appears when the socket listens; an old file there is replaced in one step. Return: 0;
 * -ENAMETOOLONG if the path does not fit; -errno.
 */
MUST_CHECK int io_unix_listen(const char *path, int type, mode_t mode, int *ret_fd);
/** io_unix_connect() - connect; the descriptor is close-on-exec and blocking */
MUST_CHECK int io_unix_connect(const char *path, int type, int *ret_fd);
/** io_unix_connect_now() - the same without ever waiting, and non-blocking; -EAGAIN: its queue is
 * full */
MUST_CHECK int io_unix_connect_now(const char *path, int type, int *ret_fd);

/**
 * io_send_msg() - one message with descriptors
 * @fds:	@n_fds of them (at most IO_MAX_FDS); borrowed
 *
 * Return: 0; -EAGAIN if the socket does not block and is full; -EMSGSIZE; -EPIPE; -errno.
 */
MUST_CHECK int io_send_msg(int sock, const void *bytes, size_t len, const int *fds, size_t n_fds);

/**
 * io_recv_msg() - one message with descriptors
 * @buf:	room for @size bytes; a longer SEQPACKET message is -EMSGSIZE
 * @fds:	room for @max_fds; what arrives is close-on-exec and owned by the caller; more are
 * closed and -EMSGSIZE
 *
 * Return: 0 with the length in @ret_len (0 = end of file) and the number of descriptors in
 * @ret_n_fds; -EAGAIN; -errno, and then no descriptor is held.
 */
MUST_CHECK int io_recv_msg(int sock, void *buf, size_t size, size_t *ret_len, int *fds,
			   size_t max_fds, size_t *ret_n_fds);

/** io_now_ms() - the monotonic clock in milliseconds */
uint64_t io_now_ms(void);
