/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The compiled policy as it comes from the loader: sealed, so that what was checked stays so. */
#include "policyd.h"

#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define SEALS     (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define TABLE_MAX (64 << 20)

static void drop(struct table *t)
{
	if (t->policy)
		(void)munmap((void *)(uintptr_t)t->policy, t->len);
	t->policy = NULL;
	t->len = 0;
	t->fault[0] = '\0';
}

static int take(struct table *t, int fd)
{
	off_t len = lseek(fd, 0, SEEK_END);
	void *map;
	int r;

	if (len <= 0 || len > TABLE_MAX || fcntl(fd, F_GET_SEALS) != SEALS)
		return POLICY_E_FORMAT;
	map = mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return fail_errno();
	r = policy_check(map, (size_t)len, &t->policy);
	if (r != 0) {
		(void)munmap(map, (size_t)len);
		t->policy = NULL;
		return r;
	}
	t->len = (size_t)len;
	return 0;
}

void table_set(struct table *t, int *fd, const char *fault)
{
	int r;

	t->heard = true;
	drop(t);
	if (fault) {
		(void)snprintf(t->fault, sizeof(t->fault), "%s", fault);
		return;
	}
	r = take(t, *fd);
	close_fd(fd);
	if (r != 0)
		(void)snprintf(t->fault, sizeof(t->fault), "the table cannot be used: %s",
			       r < 0 ? log_errno_str(r) : "it is none");
}

int table_turn(struct policyd *d)
{
	struct loader_note note;
	size_t len, n_fds;
	int fd = NO_FD;
	int r = io_recv_msg(d->loader_fd, &note, sizeof(note), &len, &fd, 1, &n_fds);

	if (r == -EAGAIN)
		return 0;
	if (r == 0 && len == 0)
		r = -EPIPE;
	if (r == 0 && (len != sizeof(note) ||
		       (n_fds == 1) != (note.kind == LOADER_TABLE || note.kind == LOADER_PROMPT)))
		r = -EPROTO;
	if (r < 0) {
		close_fd(&fd);
		log_err(NULL, "the policy's loader is gone: %s", log_errno_str(r));
		return r;
	}
	note.text[sizeof(note.text) - 1] = '\0';
	if (note.kind == LOADER_PROMPT || note.kind == LOADER_NO_PROMPT) {
		clients_prompt(d, note.wish, &fd, note.text);
		return 0;
	}
	table_set(&d->table, &fd, note.kind == LOADER_TABLE ? NULL : note.text);
	view_make(d);
	if (d->table.policy) {
		log_info(NULL, "a policy of %u rules holds%s%s", policy_n_rules(d->table.policy),
			 note.text[0] ? ", for a time " : "", note.text);
		audit_policy(d, policy_n_rules(d->table.policy), note.text, NULL);
	} else {
		log_err(NULL, "every call is refused: the policy has a fault: %s", d->table.fault);
		audit_policy(d, 0, "", d->table.fault);
	}
	return 0;
}
