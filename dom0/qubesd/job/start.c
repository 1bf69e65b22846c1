/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The job that starts a qube: volumes, then the machine, then wait until its agent answers. */
#include "base/log.h"
#include "base/str.h"
#include "job/run.h"
#include "vmm/vmm.h"

#include <fcntl.h>
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
};

static void start_done(struct start *s)
{
	for (unsigned i = 0; i < N_VOLUMES; i++)
		storage_chain_done(&s->chains[i]);
	close_fd(&s->spec.kernel_fd);
	close_fd(&s->spec.initrd_fd);
	for (unsigned i = N_VOLUMES; i < s->spec.n_disks; i++)
		close_fd(&s->spec.disks[i].fds[0]);
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

static int open_kernel(const struct request *request, struct start *s)
{
	struct vmm_disk *modules = &s->spec.disks[s->spec.n_disks];
	int r = open_file(request, "vmlinuz", &s->spec.kernel_fd);

	if (r == 0)
		r = open_file(request, "initramfs", &s->spec.initrd_fd);
	if (r < 0 || !request_get(request, "modules.img"))
		return r;
	r = open_file(request, "modules.img", &modules->fds[0]);
	if (r < 0)
		return r;
	modules->name = "kernel";
	modules->formats[0] = VMM_RAW;
	modules->n_chain = 1;
	s->spec.n_disks++;
	return 0;
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

static int start_machine(struct start *s)
{
	char error[512] = "";
	int r = vmm_start(&s->spec, tell, NULL, error, sizeof(error));
	const char *text = error[0] != '\0' ? error : log_errno_str(r);

	if (r == 0)
		return 0;
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

int run_start(const struct request *request)
{
	static const char *const names[N_VOLUMES] = {"root", "private", "volatile"};
	struct start AUTO(start_done) s = {0};
	int r = 0;

	s.spec = (struct vmm_spec){
		.name = request_get(request, "name"),
		.uuid = request_get(request, "uuid"),
		.default_user = request_get(request, "default_user"),
		.domid = (unsigned)request_number(request, "domid"),
		.memory_mib = (unsigned)request_number(request, "memory"),
		.vcpus = (unsigned)request_number(request, "vcpus"),
		.kernel_fd = NO_FD,
		.initrd_fd = NO_FD,
		.cmdline = request_get(request, "cmdline"),
		.run_dir = request_get(request, "run_dir"),
		.log_path = request_get(request, "log_path"),
		.uid = (uid_t)request_number(request, "uid"),
		.qrexec = request_number(request, "qrexec") != 0,
		.qrexec_timeout_ms = timeout_ms(request_number(request, "qrexec_timeout")),
		.debug = request_number(request, "debug") != 0,
	};
	run_progress("volumes", "the volumes are made ready", 0, 0);
	for (unsigned i = 0; r == 0 && i < N_VOLUMES; i++)
		r = start_volume(request, names[i], &s);
	if (r == 0)
		r = open_kernel(request, &s);
	if (r == 0)
		r = collect_entries(request, &s);
	return r == 0 ? start_machine(&s) : r;
}
