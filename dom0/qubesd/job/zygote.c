/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The job that makes a zygote: boots a machine as a qube's, but nobody's, to the end of its generic stage, and saves it.
 *
 * Its root is the template's newest committed one, with what the boot writes in a file of the zygote's own. Its private and volatile
 * disks are placeholders: nothing of anybody is ever behind them.
 */
#include "zygote/zygote.h"
#include "base/io.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/str.h"
#include "job/run.h"
#include "proto/fork.h"
#include "storage/qcow2/image.h"
#include "vmm/vmm.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>

/* it may take long: nobody waits for it */
#define BOOT_LIMIT_MS 900000
/* what a boot may write to its root, MiB */
#define ROOT_SPARE_MIB 128

struct make {
	struct vmm_spec spec;
	struct storage_chain base;
	struct zygote_key key;
	struct zygote_meta meta;
	char path[PATH_MAX];
	int root_fd, private_fd, volatile_fd, memory_fd, state_fd, modules_fd;
};

static void make_done(struct make *m)
{
	storage_chain_done(&m->base);
	zygote_key_done(&m->key);
	close_fd(&m->spec.kernel_fd);
	close_fd(&m->spec.initrd_fd);
	close_fd(&m->root_fd);
	close_fd(&m->private_fd);
	close_fd(&m->volatile_fd);
	close_fd(&m->memory_fd);
	close_fd(&m->state_fd);
	close_fd(&m->modules_fd);
}

static struct vmm_disk *disk_new(struct make *m, const char *name, int fd, enum vmm_format format,
				 uint64_t size)
{
	struct vmm_disk *d = &m->spec.disks[m->spec.n_disks++];

	*d = (struct vmm_disk){
		.name = name, .fds = {fd}, .formats = {format}, .n_chain = 1, .size = size};
	return d;
}

static int placeholder(int *ret)
{
	*ret = memfd_create("placeholder", MFD_CLOEXEC);
	return *ret < 0 || ftruncate(*ret, (off_t)FORK_PLACEHOLDER) < 0 ? fail_errno() : 0;
}

/* the machine as a start would have it, as far as the key goes */
static int plan(const struct request *request, struct make *m)
{
	struct storage_volume root, private, volatile_;
	struct vmm_disk *d;
	char error[512] = "";
	int r;

	if (!request_get_volume(request, "root", &root) || !root.snap_on_start ||
	    !request_get_volume(request, "private", &private) ||
	    !request_get_volume(request, "volatile", &volatile_))
		return run_fail("QubesVMError", "only a root that comes from a template is forked");
	r = storage_open_source(&root, &m->base, error, sizeof(error));
	if (r == 0 && m->base.n + 2 > VMM_MAX_CHAIN)
		r = -E2BIG;
	if (r != 0)
		return run_fail("StoragePoolException", "the template's root: %s",
				error[0] != '\0' ? error : log_errno_str(r < 0 ? r : -EIO));
	(void)snprintf(m->meta.from, sizeof(m->meta.from), "%s", request_get(request, "from"));
	(void)snprintf(m->meta.source, sizeof(m->meta.source), "%s/%s", root.pool_dir,
		       root.source_vid);
	disk_new(m, "root", NO_FD, VMM_QCOW2, m->base.size)->writable = root.rw;
	d = disk_new(m, "private", NO_FD, VMM_RAW, FORK_PLACEHOLDER);
	d->writable = private.rw;
	d = disk_new(m, "volatile", NO_FD, VMM_RAW, FORK_PLACEHOLDER);
	d->writable = volatile_.rw;
	r = run_open_kernel(request, &m->spec);
	if (r < 0)
		return r;
	if (m->spec.n_disks == 4)
		m->modules_fd = m->spec.disks[3].fds[0];
	return zygote_key(&m->spec, m->base.fds, m->base.n, m->base.size, &m->key);
}

static int file_new(const struct make *m, const char *name, int *ret)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", m->path, name);

	if (r < 0)
		return r;
	*ret = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return *ret < 0 ? fail_errno() : 0;
}

static int open_files(struct make *m)
{
	struct vmm_disk *root = &m->spec.disks[0];
	int r = file_new(m, "device", &m->state_fd);

	r = r < 0 ? r : file_new(m, "root.qcow2", &m->root_fd);
	r = r < 0 ? r : image_create(m->root_fd, m->base.size, NULL, false);
	r = r < 0 ? r : placeholder(&m->private_fd);
	r = r < 0 ? r : placeholder(&m->volatile_fd);
	if (r < 0)
		return r;
	m->memory_fd = memfd_create("zygote", MFD_CLOEXEC);
	if (m->memory_fd < 0 || ftruncate(m->memory_fd, (off_t)m->spec.memory_mib << 20) < 0)
		return fail_errno();
	root->fds[0] = m->root_fd;
	for (unsigned i = 0; i < m->base.n; i++) {
		root->fds[i + 1] = m->base.fds[i];
		root->formats[i + 1] = m->base.formats[i] == STORAGE_QCOW2 ? VMM_QCOW2 : VMM_RAW;
	}
	root->n_chain = m->base.n + 1;
	m->spec.disks[1].fds[0] = m->private_fd;
	m->spec.disks[2].fds[0] = m->volatile_fd;
	m->spec.memory_fd = m->memory_fd;
	m->spec.state_fd = m->state_fd;
	return 0;
}

static int boot(struct make *m)
{
	char error[512] = "";
	int r = vmm_start(&m->spec, NULL, NULL, error, sizeof(error));

	if (r == 0)
		return 0;
	return run_fail("QubesVMError", "%s (its console is in %s)",
			error[0] != '\0' ? error : log_errno_str(r), m->spec.log_path);
}

/* At worst the guest has touched all of its memory. A disk that is full would stop it half way, and others with it. */
static int check_space(const char *dir, const struct vmm_spec *spec)
{
	uint64_t need_mib = spec->memory_mib + ROOT_SPARE_MIB;
	struct statvfs fs;

	if (statvfs(dir, &fs) < 0)
		return run_fail("QubesException", "%s: %s", dir, log_errno_str(errno));
	need_mib += storage_keeps_free((uint64_t)fs.f_blocks * fs.f_frsize) >> 20;
	if ((uint64_t)fs.f_bavail * fs.f_frsize >> 20 >= need_mib)
		return 0;
	/* no number that changes: the same is said once */
	return run_fail("StoragePoolException",
			"it may take up to %" PRIu64
			" MiB of disk space, which %s has not got left",
			need_mib, dir);
}

/* One of which no start could take a copy would be booted for nobody, and at the cost of those that run. */
static int check_memory(const struct vmm_spec *spec)
{
	const uint64_t need_mib = run_copy_needs_mib(spec);
	struct machine_memory host;

	if (machine_memory(&host) < 0 || host.available_kib / 1024 >= need_mib)
		return 0;
	/* no number that changes, here too */
	return run_fail("QubesMemoryError",
			"with less than %" PRIu64 " MiB of memory available none is made",
			need_mib);
}

/* It may be more than all of them may have together; then the next start must not want it again. */
static int tidy(const char *dir, const struct zygote_key *key)
{
	char path[PATH_MAX];
	int r = str_format(path, sizeof(path), "%s/%s", dir, key->name);

	zygotes_tidy(dir);
	if (r == 0 && access(path, F_OK) < 0)
		return run_fail("StoragePoolException",
				"it is larger than what zygotes may have of this disk");
	return r;
}

int run_zygote(const struct request *request)
{
	const char *dir = request_get(request, "zygotes");
	AUTO(zygote_done) struct zygote have = ZYGOTE_NONE;
	struct make AUTO(make_done) m = {.spec = {.kernel_fd = NO_FD, .initrd_fd = NO_FD},
					 .root_fd = NO_FD,
					 .private_fd = NO_FD,
					 .volatile_fd = NO_FD,
					 .memory_fd = NO_FD,
					 .state_fd = NO_FD,
					 .modules_fd = NO_FD};
	int r;

	run_machine(request, &m.spec);
	m.spec.name = "bulkhead-zygote";
	m.spec.uuid = "";
	m.spec.default_user = "user";
	m.spec.qrexec = true; /* for its limit in time */
	m.spec.qrexec_timeout_ms = BOOT_LIMIT_MS;
	m.spec.mode = VMM_ZYGOTE;
	m.meta.memory_mib = m.spec.memory_mib;
	m.meta.vcpus = m.spec.vcpus;
	r = plan(request, &m);
	if (r < 0)
		return r;
	r = zygote_open(dir, &m.key, &have);
	if (r == 0)
		return 0;
	r = zygote_new(dir, m.path);
	if (r < 0)
		return run_fail("QubesException", "%s: %s", dir, log_errno_str(r));
	zygotes_tidy(dir);
	r = check_space(dir, &m.spec);
	r = r < 0 ? r : check_memory(&m.spec);
	r = r < 0 ? r : open_files(&m);
	r = r < 0 ? r : boot(&m);
	if (r == 0) {
		r = zygote_publish(dir, m.path, &m.key, m.memory_fd, &m.meta);
		if (r < 0)
			return run_fail("QubesException", "%s: %s", dir, log_errno_str(r));
		r = tidy(dir, &m.key);
		if (r == 0)
			run_progress("zygote-made", m.key.name, 0, 0);
		return r;
	}
	(void)!io_remove_tree(AT_FDCWD, m.path);
	return r;
}
