/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * The parts of qube-monitor and what they share.
 *
 *	main.c		the story, and what happens at the end
 *	confine.c	walls of QEMU and of this monitor
 *	rundir.c	sockets and folders of this qube: made, found again, removed
 *	reader.c	a confined process of its own that reads all bytes QEMU says
 *	qemu.c		QEMU: started, commanded, followed
 *	memory.c	how much of it the qube has, and says that it could still use
 *	fork.c		its state saved (a zygote) or taken up (a fork)
 *	daemon.c	vchand, qubesdb-daemon and qrexec-daemon: started again when they die
 *	client.c	those who follow and command this qube: qubesd, and the job that starts it
 */
#include "base/io.h"
#include "base/str.h"
#include "loop/child.h"
#include "proto/monitor.h"
#include "proto/qmp.h"

struct monitor;

#define WHY_MAX 320

/* rundir.c */

/** struct rundir - @dir is run/q/DOMID; descriptors are ours until they are taken */
struct rundir {
	char run[64];
	char dir[UNIX_PATH_MAX + 1], vchan[UNIX_PATH_MAX + 1], carrier[UNIX_PATH_MAX + 1];
	char qrexec[UNIX_PATH_MAX + 1], qubesdb[UNIX_PATH_MAX + 1];
	int monitor_fd, carrier_fd; /* listening */
	int vchand_fd, qubesdb_vchan_fd, qubesdb_local_fd, vchan_dir_fd;
	unsigned domid;
	bool made; /* it is ours to remove */
};

/** RUNDIR_NONE - nothing was made yet */
#define RUNDIR_NONE                                                                                \
	((struct rundir){.monitor_fd = NO_FD,                                                      \
			 .carrier_fd = NO_FD,                                                      \
			 .vchand_fd = NO_FD,                                                       \
			 .qubesdb_vchan_fd = NO_FD,                                                \
			 .qubesdb_local_fd = NO_FD,                                                \
			 .vchan_dir_fd = NO_FD})

/** rundir_make() - make all of it; -EEXIST if another monitor lives there */
MUST_CHECK int rundir_make(struct rundir *d, const char *run, unsigned domid, const char *name);
/** rundir_note_clean() - leave a note that the qube powered itself off; who hears GONE removes it */
MUST_CHECK int rundir_note_clean(const struct rundir *d, const char *uuid);
/** rundir_remove() - close all, remove all that was made */
void rundir_remove(struct rundir *d, const char *name);

/* reader.c */

enum reader_kind { READER_QMP, READER_WORDS, READER_CUT, READER_END };

/**
 * struct reader_note - what the reader tells: one fixed-size packet
 * @words:	READER_WORDS what QEMU wrote to standard error, READER_CUT what it did wrong:
 * printable
 */
struct reader_note {
	enum reader_kind kind;
	struct qmp_msg qmp;
	char words[200];
};

/**
 * reader_start() - fork the reader
 * @qmp_fd, @console_fd, @stderr_fd: QEMU's bytes; borrowed
 * @log_fd:	the console's log, for reading and writing; borrowed
 *
 * Should: be called before an event loop exists. Return: 0; -errno.
 */
MUST_CHECK int reader_start(const char *name, uid_t uid, int qmp_fd, int console_fd, int stderr_fd,
			    int log_fd, int *ret_pidfd, int *ret_notes_fd);
/** reader_take() - next note. Return: 0; -EAGAIN; -ENODATA: the reader ended; -EPROTO; -errno */
MUST_CHECK int reader_take(int notes_fd, struct reader_note *ret);

/* qemu.c */

#define QEMU_MAX_OPS   32
#define QEMU_MAX_DISKS 24 /* hot-plugged, at a time */

enum op_state { OP_FREE, OP_QUEUED, OP_WAITING };

/**
 * struct op - a command of a client until it is answered
 * @seq:	order of arrival
 * @step:	of its list of QMP commands
 * @undoing:	it failed and takes back what it did
 * @again:	the same command once more, after a while
 * @resumed:	it has made the guest go on
 * @n_sets:	descriptor sets QEMU holds for it
 */
struct op {
	enum op_state state;
	uint64_t seq, client_id;
	uint32_t id;
	enum monitor_type type;
	unsigned step, n_sets;
	bool undoing, has_node, again, resumed;
	struct qmp_disk disk;
	char name[QMP_DISK_NAME_MAX + 1], mac[18];
	uint64_t size, began_ms;
	int fds[MONITOR_MAX_CHAIN];
	uint32_t error;
	char text[WHY_MAX];
	sd_event_source *timer;
	struct monitor *m;
};

struct qemu {
	struct child *child, *reader;
	pid_t pid;
	int qmp_fd, notes_fd;
	sd_event_source *notes, *answer_timer, *settle;
	bool greeted, ready, shut_down, guest_asked, rebooted;
	uint64_t next_id, waiting_id; /* 0: no command is out */
	uint64_t next_seq;
	unsigned n_unasked; /* times it went on though nobody had told it to */
	bool told_to_stop;  /* since it last went on */
	bool no_space;      /* likewise: the host had no room for what the guest wrote */
	struct op *running;
	struct op ops[QEMU_MAX_OPS];
	unsigned next_set;
	struct {
		char name[QMP_DISK_NAME_MAX + 1];
		unsigned first_set, n;
	} disks[QEMU_MAX_DISKS];
	char words[4096]; /* room for the longest option that QEMU repeats before its complaint */
};

/** qemu_serve() - follow what was started before the loop */
MUST_CHECK int qemu_serve(struct monitor *m, int pidfd, pid_t pid, int reader_pidfd);
/** qemu_command() - queue a client's command; @fds are taken. Answered by client_reply() */
void qemu_command(struct monitor *m, uint64_t client_id, const struct monitor_msg *msg, int *fds,
		  size_t n_fds);
void qemu_done(struct qemu *q);
/** qemu_is_full() - it stands still, since there was no room for what it wrote, and nobody told it to */
bool qemu_is_full(const struct monitor *m);
/** qemu_own_op() - queue a command of our own; NULL if there is no room */
struct op *qemu_own_op(struct monitor *m, enum monitor_type type);
/** qemu_work() - put the next line out, if there is one and none is out */
void qemu_work(struct monitor *m);

/* fork.c */

/** OP_SAVE, OP_RESTORE - commands of our own beside those of clients; no message of the wire has these numbers */
#define OP_SAVE    ((enum monitor_type)0x10000)
#define OP_RESTORE ((enum monitor_type)0x10001)

/** enum fork_step - what comes next of a list of commands */
enum fork_step { FORK_SEND, FORK_PAUSE, FORK_DONE };

/** fork_step() - the next command of OP_SAVE or OP_RESTORE into @w, with the descriptor @ret_fd */
enum fork_step fork_step(struct qemu *q, struct op *op, struct jw *w, int *ret_fd);
/** fork_answer() - its answer, which is no error */
void fork_answer(struct op *op, const struct qmp_msg *msg);
/** fork_done() - the list has come to its end, or @op->error says why not */
void fork_done(struct monitor *m, struct op *op);
/** fork_begin() - QEMU answers: make it a fork, or wait for the end of the generic stage */
void fork_begin(struct monitor *m);
/** fork_on_port() - the guest has opened or closed the port with the id @device */
void fork_on_port(struct monitor *m, const char *device, bool open);

/** qemu_ask_memory() - ask for what the guest says of its memory, unless that is under way */
void qemu_ask_memory(struct monitor *m);

/* memory.c */

/**
 * struct memory
 * @now:	@now.most 0: nothing can be added, and nobody is told anything
 * @used:	what the guest used when it last spoke; MONITOR_UNKNOWN: it has not
 * @hidden:	what its kernel took for itself before it counted its memory; it counts as used. Known with the first @used
 */
struct memory {
	struct monitor_memory now;
	uint64_t used, hidden;
	uint64_t told_available, told_swapped_out;
	bool untold;
	sd_event_source *poll, *gap;
};

/** memory_serve() - ask for it now and then */
MUST_CHECK int memory_serve(struct monitor *m);
/** memory_has(), memory_said() - QEMU or the guest said so; @msg has the guest's figures */
void memory_has(struct monitor *m, uint64_t bytes);
void memory_said(struct monitor *m, const struct qmp_msg *msg);
/** memory_changed() - let those who follow know, soon */
void memory_changed(struct monitor *m);
void memory_done(struct monitor *m);

/* weight.c */

#define QEMU_NICENESS 10

/** weight_lower() - let a QEMU that has taken up a saved machine give way to dom0's programs, wholly with weight_settle(). Return: 0; -errno */
MUST_CHECK int weight_lower(struct monitor *m);
/** weight_settle() - a fork has answered, or has had its time: it weighs what others do */
void weight_settle(struct monitor *m);

/* daemon.c */

enum daemon_kind { DAEMON_VCHAND, DAEMON_QUBESDB, DAEMON_QREXEC, N_DAEMONS };

struct daemon {
	struct monitor *m;
	enum daemon_kind kind;
	struct child *child;
	int ask_fd;
	int knock_fd; /* vchand started again: the connection before its own */
	sd_event_source *ask, *again;
	uint64_t window_ms;
	unsigned n_ends; /* in this window */
};

/** daemons_start() - once QEMU runs */
MUST_CHECK int daemons_start(struct monitor *m);
/** daemons_kill() - end all; daemons_alive() tells when they have gone */
void daemons_kill(struct monitor *m);
bool daemons_alive(const struct monitor *m);
void daemons_done(struct monitor *m);
/** daemons_qdb() - change an entry of the qube's QubesDB, now and for a restart of its daemon */
MUST_CHECK int daemons_qdb(struct monitor *m, const char *path, const char *value);

/* client.c */

#define MAX_CLIENTS 8

struct client {
	struct monitor *m;
	uint64_t id; /* 0: free slot */
	int fd;
	bool starts; /* the start channel: its end before READY is the end of all */
	bool behind; /* the last status is still to be sent */
	sd_event_source *source;
};

/** clients_serve() - listen; @start_fd is taken */
MUST_CHECK int clients_serve(struct monitor *m, int start_fd);
/** clients_tell() - the status changed */
void clients_tell(struct monitor *m);
/** clients_tell_memory() - to those who have room for it: more will be said */
void clients_tell_memory(struct monitor *m);
/** client_reply() - answer a command; a client that left meanwhile is passed over */
void client_reply(struct monitor *m, uint64_t client_id, uint32_t id, uint32_t error,
		  const char *text);
void clients_done(struct monitor *m);

/* main.c */

struct monitor {
	sd_event *event;
	char name[QUBE_NAME_MAX + 1], uuid[37], default_user[64];
	unsigned domid;
	uid_t uid;
	bool qrexec, debug;
	enum monitor_mode mode;
	enum monitor_state state;
	enum monitor_stage stage;
	bool clean, agent, ending;
	uint64_t
		pressed_ms; /* when the power button was last pressed, later by what it was paused since; 0: never */
	uint64_t paused_ms; /* MONITOR_PAUSED: since when */
	uint32_t error;
	char why[WHY_MAX];
	struct rundir dir;
	struct qemu qemu;
	struct memory memory;
	struct daemon daemons[N_DAEMONS];
	struct child *brokers[4]; /* the one of our qrexec-daemon, and some that are about to end */
	struct client clients[MAX_CLIENTS];
	uint64_t next_client;
	sd_event_source *listener, *terminate, *end_timer;
	int seats_fd; /* of the qube's services in dom0: for its brokers */
	int rings_fd; /* memory shared by the qube and vchand */
	int stage_fd; /* our end of the stage port, which is written to only; but for MONITOR_BOOT */
	int state_fd;           /* file of the devices' state; taken when it is used */
	uint64_t disk_sizes[2]; /* of a fork's private and volatile disks */
	int qdb_fd;             /* what qubesdb-daemon begins with, and keeps up to date */
	int qdb_conn; /* to its local socket, for writes of our own; NO_FD until the first */
};

/**
 * monitor_end() - the qube ends now: QEMU and all daemons are killed, then GONE is told
 * @clean:	it powered itself off
 * @error:	a positive errno where a start failed, or 0
 *
 * The first call's reason stands.
 */
void monitor_end(struct monitor *m, bool clean, int error, const char *format, ...)
	PRINTF_LIKE(4, 5);
/** monitor_check_end() - a child ended: was it the last one? */
void monitor_check_end(struct monitor *m);
void monitor_set_state(struct monitor *m, enum monitor_state state);
/** monitor_awake() - the guest's system runs: something in it has opened its port */
void monitor_awake(struct monitor *m);
/** monitor_saved() - the zygote is complete */
void monitor_saved(struct monitor *m);
/** monitor_booted() - QEMU runs; monitor_set_agent() - its agent came or went */
void monitor_booted(struct monitor *m);
void monitor_set_agent(struct monitor *m, bool up);
