/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The job that starts a qube: volumes, then the machine, then wait until its agent answers.
 *
 * If there is a zygote for it the machine is forked from that, else it boots. A fork that does not come to an answer is killed, and the
 * qube boots after all, from volumes that are made ready once more. What qubesd is to hear of a zygote is told as progress
 * (zygote/zygotes.h).
 *
 * A guest that ends before its agent was ever there, or shows no sign of life, is booted once more in the same way, unless a fork went
 * before it: there is no third machine (doc/decisions/0067-a-second-boot.md). That is told as the progress "again".
 */
#include "base/log.h"
#include "base/machine.h"
#include "base/str.h"
#include "job/run.h"
#include "vmm/vmm.h"
#include "zygote/zygote.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define N_VOLUMES   3
#define MAX_ENTRIES 256

/* what a start holds until the monitor has it; all of it ends with the process */
struct start {
	struct storage_chain chains[N_VOLUMES];
	struct vmm_pair entries[MAX_ENTRIES];
	char seed[89];
	struct vmm_spec spec;
	struct zygote zygote;
};

#define START_NONE                                                                                 \
	((struct start){.spec = {.kernel_fd = NO_FD, .initrd_fd = NO_FD}, .zygote = ZYGOTE_NONE})

static void start_done(struct start *s)
{
	for (unsigned i = 0; i < N_VOLUMES; i++)
		storage_chain_done(&s->chains[i]);
	close_fd(&s->spec.kernel_fd);
	close_fd(&s->spec.initrd_fd);
	for (unsigned i = N_VOLUMES; i < s->spec.n_disks; i++)
		close_fd(&s->spec.disks[i].fds[0]);
	zygote_done(&s->zygote);
}

static enum vmm_format format_of(enum storage_format f)
{
	return f == STORAGE_QCOW2 ? VMM_QCOW2 : VMM_RAW;
}

static int start_volume(const struct request *request, const char *name, struct start *s)
{
	struct storage_chain *chain = &s->chains[s->spec.n_disks];
	struct vmm_disk *disk = &s->spec.disks[s->spec.n_disks];
	struct storage_volume v;
	char error[512] = "";
	int r;

	if (!request_get_volume(request, name, &v))
		return run_fail("QubesVMError", "the qube has no volume '%s'", name);
	r = storage_start(&v, chain, error, sizeof(error));
	if (r != 0)
		return run_fail("StoragePoolException", "volume '%s' cannot be used: %s", name,
				error[0] != '\0'
					? error
					: (r < 0 ? log_errno_str(r) : "the driver refused"));
	disk->name = name;
	disk->writable = v.rw;
	disk->size = chain->size;
	disk->encrypted = chain->encrypted;
	disk->key_fd = chain->key_fd;
	for (unsigned i = 0; i < chain->n; i++) {
		disk->fds[i] = chain->fds[i];
		disk->formats[i] = format_of(chain->formats[i]);
	}
	disk->n_chain = chain->n;
	s->spec.n_disks++;
	return 0;
}

static int open_file(const struct request *request, const char *key, int *ret)
{
	const char *path = request_get(request, key);

	if (!path)
		return -ENOENT;
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret < 0)
		return run_fail("QubesVMError", "%s: %s", path, log_errno_str(errno));
	return 0;
}

void run_machine(const struct request *request, struct vmm_spec *spec)
{
	*spec = (struct vmm_spec){
		.domid = (unsigned)request_number(request, "domid"),
		.memory_mib = (unsigned)request_number(request, "memory"),
		.vcpus = (unsigned)request_number(request, "vcpus"),
		.kernel_fd = NO_FD,
		.initrd_fd = NO_FD,
		.memory_fd = NO_FD,
		.state_fd = NO_FD,
		.cmdline = request_get(request, "cmdline"),
		.run_dir = request_get(request, "run_dir"),
		.log_path = request_get(request, "log_path"),
		.uid = (uid_t)request_number(request, "uid"),
		.debug = request_number(request, "debug") != 0,
	};
}

int run_open_kernel(const struct request *request, struct vmm_spec *spec)
{
	struct vmm_disk *modules = &spec->disks[spec->n_disks];
	int r = open_file(request, "vmlinuz", &spec->kernel_fd);

	if (r == 0)
		r = open_file(request, "initramfs", &spec->initrd_fd);
	if (r < 0 || !request_get(request, "modules.img"))
		return r;
	r = open_file(request, "modules.img", &modules->fds[0]);
	if (r < 0)
		return r;
	modules->name = "kernel";
	modules->formats[0] = VMM_RAW;
	modules->n_chain = 1;
	spec->n_disks++;
	return 0;
}

uint64_t run_copy_needs_mib(const struct vmm_spec *spec)
{
	return 2 * (uint64_t)spec->memory_mib + VMM_OVERHEAD_MIB;
}

/* 64 fresh bytes for the qube's random pool, as base64 */
static int make_seed(char *to)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint8_t bytes[66] = {0};

	if (getrandom(bytes, 64, 0) != 64)
		return fail_errno();
	for (unsigned i = 0; i < 66; i += 3) {
		uint32_t v = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];

		for (unsigned k = 0; k < 4; k++)
			*to++ = digits[v >> (18 - 6 * k) & 63];
	}
	to[-1] = '='; /* 64 bytes are 21 groups and one byte */
	to[-2] = '=';
	*to = '\0';
	explicit_bzero(bytes, sizeof(bytes));
	return 0;
}

static int add_entry(struct start *s, const char *path, const char *value)
{
	if (s->spec.n_qdb == MAX_ENTRIES)
		return run_fail("QubesVMError", "the qube has too many QubesDB entries");
	s->entries[s->spec.n_qdb++] = (struct vmm_pair){path, value};
	return 0;
}

static int collect_entries(const struct request *request, struct start *s)
{
	const char *key = NULL, *value;
	int r = make_seed(s->seed);

	if (r == 0)
		r = add_entry(s, "/qubes-random-seed", s->seed);
	while (r == 0 && (key = request_next(request, key, &value)))
		if (str_starts(key, "qdb:"))
			r = add_entry(s, key + strlen("qdb:"), value);
	s->spec.qdb = s->entries;
	return r;
}

static void tell(void *data, enum vmm_stage stage)
{
	(void)data;
	switch (stage) {
	case VMM_STAGE_SPAWNED:
		run_progress("spawned", "the virtual machine is set up", 0, 0);
		break;
	case VMM_STAGE_BOOTING:
		run_progress("booting", "the guest boots", 0, 0);
		break;
	case VMM_STAGE_READY:
		run_progress("ready", "the guest answers", 0, 0);
		break;
	}
}

/* A boot shows its first sign within seconds, on a busy machine that emulates it within a minute. One that is merely slow loses this
 * time, and the next one has all of qrexec_timeout. A qube with a short one is not looked at so closely. */
#define SILENT_SHARE    2
#define SILENT_LEAST_MS 30000

static unsigned silent_ms(unsigned timeout_ms)
{
	const unsigned share_ms = timeout_ms / SILENT_SHARE;

	return share_ms > SILENT_LEAST_MS ? share_ms : SILENT_LEAST_MS;
}

/* how it ended: 0; BOOT_AGAIN: nothing of it is left but what it wrote; -EIO with the failure told */
enum { BOOT_AGAIN = 1 };

static int start_machine(struct start *s, bool may_again)
{
	char error[512] = "";
	const char *text;
	int r;

	s->spec.silent_ms = may_again ? silent_ms(s->spec.qrexec_timeout_ms) : 0;
	r = vmm_start(&s->spec, tell, NULL, error, sizeof(error));
	text = error[0] != '\0' ? error : log_errno_str(r);
	if (r == 0)
		return 0;
	if (may_again && (r == -ESHUTDOWN || r == -ETIME)) {
		log_warn(s->spec.name, "%s; booting once more", text);
		run_progress("again",
			     r == -ETIME ? "the guest showed no sign of life: booting once more"
					 : "the guest ended as it started: booting once more",
			     0, 0);
		return BOOT_AGAIN;
	}
	if (r == -ETIMEDOUT)
		return run_fail(
			"QubesVMError",
			"%s. It was killed; its console is in %s. A slow machine may need a "
			"higher qrexec_timeout (now %u s)",
			text, s->spec.log_path, s->spec.qrexec_timeout_ms / 1000);
	return run_fail(r == -ENOMEM ? "QubesMemoryError" : "QubesVMError", "%s", text);
}

/* more than 24 days are 24 days */
static unsigned timeout_ms(uint64_t seconds)
{
	return (unsigned)(seconds < INT32_MAX / 1000 ? seconds : INT32_MAX / 1000) * 1000;
}

/* how long a fork may take to its agent's answer: it has no boot to do */
#define FORK_SHARE 3

/* A copy takes memory that a boot does not need: it is not made at the cost of the start itself. */
static bool room_for_copy(const struct start *s)
{
	const uint64_t need_mib = run_copy_needs_mib(&s->spec);
	struct machine_memory host;
	char text[160];

	if (machine_memory(&host) < 0 || host.available_kib / 1024 >= need_mib)
		return true;
	(void)snprintf(text, sizeof(text),
		       "a zygote's memory is not copied: %" PRIu64 " MiB are wanted, %" PRIu64
		       " are left",
		       need_mib, host.available_kib / 1024);
	run_progress("zygote-short", text, 0, 0);
	return false;
}

/*
 * Make the start a fork, if there is a zygote to fork from. What speaks against it only means a boot.
 *
 * The qube's root rests on what the zygote wrote to its own, and that on the template's: the zygote's key names the
 * very files that the volume was made to rest on a moment ago.
 */
static void fork_plan(const struct request *request, struct start *s)
{
	const char *dir = request_get(request, "zygotes");
	const struct storage_chain *root = &s->chains[0];
	struct vmm_disk *disk = &s->spec.disks[0];
	AUTO(zygote_key_done) struct zygote_key key = {0};
	int memory_fd = request_fd(request, "zygote_memory"), r;

	if (!dir || root->n < 2 || root->n == VMM_MAX_CHAIN)
		return;
	r = zygote_key(&s->spec, root->fds + 1, root->n - 1, root->size, &key);
	r = r != 0 ? r : zygote_open(dir, &key, &s->zygote);
	if (r == ZYGOTE_E_ABSENT || r == ZYGOTE_E_DAMAGED) {
		run_progress("zygote-wanted", key.name, 0, 0);
		return;
	}
	if (r == 0 && memory_fd < 0)
		return; /* qubesd has no room for a copy of its memory, and has said so */
	if (r == 0 && !zygote_is_copied(memory_fd) && !room_for_copy(s))
		return;
	r = r != 0 ? r : zygote_copy(&s->zygote, &key, memory_fd);
	if (r == ZYGOTE_E_DAMAGED) {
		log_warn(s->spec.name, "zygote %s is damaged: removed; booting instead", key.name);
		zygote_remove(dir, key.name);
		run_progress("zygote-wanted", key.name, 0, 0);
		return;
	}
	if (r != 0) {
		log_warn(s->spec.name, "zygote %s cannot be used (%s); booting instead", key.name,
			 r == ZYGOTE_E_OTHER ? "another one is in memory" : log_errno_str(r));
		run_progress("zygote-unused", key.name, 0, 0);
		return;
	}
	for (unsigned i = disk->n_chain; i > 1; i--) {
		disk->fds[i] = disk->fds[i - 1];
		disk->formats[i] = disk->formats[i - 1];
	}
	disk->fds[1] = s->zygote.root_fd;
	disk->formats[1] = VMM_QCOW2;
	disk->n_chain++;
	s->spec.mode = VMM_FORK;
	/* its memory stays as it is: a fork has no device by which more comes, or pages go back */
	s->spec.more_mib = 0;
	s->spec.gives_back = false;
	s->spec.memory_fd = memory_fd;
	s->spec.state_fd = s->zygote.device_fd;
	s->spec.qrexec_timeout_ms /= FORK_SHARE;
	run_progress("zygote-used", key.name, 0, 0);
}

static int prepare(const struct request *request, struct start *s)
{
	static const char *const names[N_VOLUMES] = {"root", "private", "volatile"};
	int r = 0;

	run_machine(request, &s->spec);
	s->spec.name = request_get(request, "name");
	s->spec.uuid = request_get(request, "uuid");
	s->spec.default_user = request_get(request, "default_user");
	s->spec.more_mib = (unsigned)request_number(request, "more_memory");
	s->spec.gives_back = true;
	s->spec.qrexec = request_number(request, "qrexec") != 0;
	s->spec.qrexec_timeout_ms = timeout_ms(request_number(request, "qrexec_timeout"));
	run_progress("volumes", "the volumes are made ready", 0, 0);
	for (unsigned i = 0; r == 0 && i < N_VOLUMES; i++)
		r = start_volume(request, names[i], s);
	if (r == 0)
		r = run_open_kernel(request, &s->spec);
	return r == 0 ? collect_entries(request, s) : r;
}

/* 0; 1: it did not come to an answer, and nothing of it is left but what it wrote */
static int start_fork(struct start *s)
{
	char error[512] = "";
	int r = vmm_start(&s->spec, tell, NULL, error, sizeof(error));

	if (r == 0)
		return 0;
	log_warn(s->spec.name, "the fork failed, booting instead: %s",
		 error[0] != '\0' ? error : log_errno_str(r));
	run_progress("zygote-failed", "the fork did not answer: booting", 0, 0);
	return 1;
}

int run_start(const struct request *request)
{
	struct start AUTO(start_done) s = START_NONE;
	bool is_first;
	int r = prepare(request, &s);

	if (r < 0)
		return r;
	fork_plan(request, &s);
	is_first = s.spec.mode != VMM_FORK;
	if (!is_first) {
		if (start_fork(&s) == 0)
			return 0;
		start_done(&s); /* else its volumes were in use */
		s = START_NONE;
		r = prepare(request, &s);
	}
	r = r == 0 ? start_machine(&s, is_first) : r;
	if (r != BOOT_AGAIN)
		return r;
	start_done(&s);
	s = START_NONE;
	r = prepare(request, &s);
	return r == 0 ? start_machine(&s, false) : r;
}
