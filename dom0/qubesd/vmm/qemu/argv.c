/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's command line: the machine that doc/decisions/0010-machine.md chose by measuring.
 *
 * No path of ours appears in it: disks are descriptor sets, kernel and initrd are /proc/self/fd/N,
 * the control lines are sockets QEMU is born with. Names are checked before they come near an
 * option, where a comma would begin the next one; values that may hold any character go in as JSON
 * or as an argument of their own.
 *
 * The guest's memory is private and has an id of its own, so that a fork can put a sealed image in
 * its place under the same machine. More of it comes and goes through a device (virtio-mem), with memory of its own:
 * doc/decisions/0056-memory.md; zygotes and forks have no such devices. Beside it stands memory shared with dom0's vchand, for
 * bulk bytes of channels. QEMU cannot take up such memory with the rest of a saved machine, since the place at which the guest has it
 * is told too late: so a zygote has none, and a fork finds a new device, at a place where no other is.
 */
#include "qemu/qemu.h"

#include "proto/fork.h"
#include "proto/qmp.h"
#include "proto/ring.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MACHINE                                                                                    \
	"q35,hpet=off,usb=off,vmport=off,smbus=off,i8042=off,sata=off,memory-backend=ram,"         \
	"dump-guest-core=off"
/* what TCG emulates a byte at a time, guests do in loops of words when they are not told of it */
#define TCG_CPU "max,-erms,-fsrm"
#define CMDLINE                                                                                    \
	"console=ttyS0 no_timer_check tsc=reliable panic=-1 net.ifnames=0 "                        \
	"cryptomgr.notests"
/* memory that is added is used for anything, in the proportion the kernel thinks safe; it has no address that a device
 * could not reach, so no bounce buffers for that are wanted */
#define CMDLINE_MORE                                                                               \
	" swiotlb=2048 memhp_default_state=online memory_hotplug.online_policy=auto-movable"
/* QEMU asks the guest so often what it could still use, seconds */
#define STATS_EVERY "2"
#define RINGS_ADDR  "1d" /* on the root bus; others take the lowest that is free */
#define SANDBOX     "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

static int add(struct qemu_argv *a, const char *format, ...) PRINTF_LIKE(2, 3);
static int add(struct qemu_argv *a, const char *format, ...)
{
	size_t room = sizeof(a->text) - a->text_len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(a->text + a->text_len, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room || a->n_args == ARRAY_LEN(a->argv))
		return -E2BIG;
	a->argv[a->n_args++] = a->text + a->text_len;
	a->text_len += (size_t)n + 1;
	return 0;
}

static int add_all(struct qemu_argv *a, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = add(a, "%s", words[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Return: the number that our @fd will have in QEMU; -E2BIG, -EBADF */
static int give(struct qemu_argv *a, int fd)
{
	if (fd < 0)
		return -EBADF;
	if (a->n_fds == ARRAY_LEN(a->fd_from))
		return -E2BIG;
	a->fd_from[a->n_fds] = fd;
	a->fd_to[a->n_fds] = MONITOR_FD_FIRST + a->n_fds;
	return (int)a->fd_to[a->n_fds++];
}

static int add_json(struct qemu_argv *a, const char *option, const struct qmp_disk *disk,
		    void (*put)(struct jw *, const struct qmp_disk *))
{
	char json[QMP_COMMAND_MAX];
	struct jw w = jw_of(json, sizeof(json));
	int r = add(a, "%s", option);

	jw_begin(&w, '{');
	put(&w, disk);
	jw_end(&w, '}');
	if (jw_done(&w) == 0)
		return -E2BIG;
	return r < 0 ? r : add(a, "%s", json);
}

/* the disk's secret, which QEMU reads as it starts: arguments can be seen by others */
static int add_secret(struct qemu_argv *a, const struct vmm_disk *d)
{
	int number = give(a, d->key_fd), r;

	if (number < 0)
		return number;
	r = add(a, "-object");
	return r < 0 ? r : add(a, "secret,id=key-%s,file=/proc/self/fd/%d", d->name, number);
}

static int add_disk(struct qemu_argv *a, const struct vmm_disk *d, unsigned first_set)
{
	struct qmp_disk disk = {.name = d->name,
				.n_chain = d->n_chain,
				.writable = d->writable,
				.encrypted = d->encrypted,
				.first_set = first_set};
	int r;

	if (!qmp_name_ok(d->name) || d->n_chain == 0 || d->n_chain > VMM_MAX_CHAIN)
		return -EINVAL;
	for (unsigned i = 0; i < d->n_chain; i++) {
		int number = give(a, d->fds[i]);

		if (number < 0)
			return number;
		disk.qcow2[i] = d->formats[i] == VMM_QCOW2;
		r = add(a, "-add-fd");
		r = r < 0 ? r : add(a, "fd=%d,set=%u", number, first_set + i);
		if (r < 0)
			return r;
	}
	r = d->encrypted ? add_secret(a, d) : 0;
	r = r < 0 ? r : add_json(a, "-blockdev", &disk, qmp_put_blockdev);
	return r < 0 ? r : add_json(a, "-device", &disk, qmp_put_disk_device);
}

static int add_nic(struct qemu_argv *a, const struct vmm_nic *nic)
{
	char json[512];
	struct jw w = jw_of(json, sizeof(json));
	int number = give(a, nic->fd), r;

	if (number < 0)
		return number;
	if (!qmp_name_ok(nic->id))
		return -EINVAL;
	r = add(a, "-netdev");
	r = r < 0 ? r
		  : add(a, "stream,id=net-%s,server=off,addr.type=fd,addr.str=%d", nic->id, number);
	r = r < 0 ? r : add(a, "-device");
	jw_begin(&w, '{');
	qmp_put_nic_device(&w, nic->id, nic->mac);
	jw_end(&w, '}');
	if (jw_done(&w) == 0)
		return -EINVAL;
	return r < 0 ? r : add(a, "%s", json);
}

static int add_kernel(struct qemu_argv *a, const struct vmm_spec *spec,
		      const struct qemu_host *host)
{
	char tsc[40] = "";
	int kernel = give(a, spec->kernel_fd), initrd = give(a, spec->initrd_fd), r;

	if (kernel < 0 || initrd < 0)
		return kernel < 0 ? kernel : initrd;
	/* a guest that measures it on a busy machine can be wrong by a factor of ten, and keeps that */
	if (!host->kvm && host->tsc_khz > 0)
		(void)snprintf(tsc, sizeof(tsc), " tsc_early_khz=%u", host->tsc_khz);
	r = add(a, "-kernel");
	r = r < 0 ? r : add(a, "/proc/self/fd/%d", kernel);
	r = r < 0 ? r : add(a, "-initrd");
	r = r < 0 ? r : add(a, "/proc/self/fd/%d", initrd);
	r = r < 0 ? r : add(a, "-append");
	return r < 0 ? r
		     : add(a, CMDLINE "%s%s%s%s %s", tsc, spec->debug ? "" : " quiet",
			   spec->mode == VMM_BOOT ? "" : " " FORK_WORD,
			   spec->more_mib > 0 ? CMDLINE_MORE : "",
			   spec->cmdline ? spec->cmdline : "");
}

/* The region whose size and number dom0's side has, too. */
static int add_rings(struct qemu_argv *a)
{
	int r = add(a, "-object");

	r = r < 0 ? r
		  : add(a,
			"memory-backend-file,id=rings,size=%uM,mem-path=/proc/self/fd/%d,share=on,dump=off",
			RING_REGION_SIZE >> 20, MONITOR_FD_RINGS);
	r = r < 0 ? r : add(a, "-device");
	return r < 0 ? r : add(a, "ivshmem-plain,memdev=rings,master=on,addr=" RINGS_ADDR);
}

/* Its own, or a file that a zygote fills, or has filled. */
static int add_base(struct qemu_argv *a, const struct vmm_spec *spec)
{
	int r = add(a, "-object"), number;

	if (r < 0)
		return r;
	if (spec->mode == VMM_BOOT)
		return add(a, "memory-backend-ram,id=ram,size=%uM,share=off,merge=off,dump=off",
			   spec->memory_mib);
	number = give(a, spec->memory_fd);
	if (number < 0)
		return number;
	return add(a,
		   "memory-backend-file,id=ram,size=%uM,mem-path=/proc/self/fd/"
		   "%d,share=%s,merge=off,dump=off",
		   spec->memory_mib, number, spec->mode == VMM_ZYGOTE ? "on" : "off");
}

/* The ports to the qube. The one on which a fork is told who it is others have not. */
static int add_ports(struct qemu_argv *a, enum vmm_mode mode)
{
	static const char *const stage[] = {
		"-chardev",
		"socket,id=stage,fd=7",
		"-device",
		("virtserialport,bus=serial.0,nr=2,chardev=stage,id=stage,name=" FORK_PORT),
	};
	int r = add(a, "-device");

	r = r < 0 ? r
		  : add(a, "virtio-serial-pci,id=serial,max_ports=%d,disable-legacy=on",
			mode == VMM_BOOT ? 2 : 3);
	r = r < 0 ? r : add(a, "-device");
	r = r < 0 ? r
		  : add(a,
			"virtserialport,bus=serial.0,nr=1,chardev=vchan,id=vchan,name=org.bulkhead.vchan");
	return r < 0 || mode == VMM_BOOT ? r : add_all(a, stage, ARRAY_LEN(stage));
}

/* Memory that the guest has from the start, and what can be added; free pages go back to the host by themselves. */
static int add_memory(struct qemu_argv *a, const struct vmm_spec *spec)
{
	const bool more = spec->more_mib > 0;
	int r = add(a, "-m");

	r = r < 0  ? r
	    : more ? add(a, "%uM,maxmem=%uM", spec->memory_mib, spec->memory_mib + spec->more_mib)
		   : add(a, "%uM", spec->memory_mib);
	r = r < 0 ? r : add_base(a, spec);
	if (spec->gives_back) {
		r = r < 0 ? r : add(a, "-device");
		r = r < 0 ? r
			  : add(a,
				"virtio-balloon-pci,id=" QMP_BALLOON
				",free-page-reporting=on,disable-legacy=on%s",
				more ? ",guest-stats-polling-interval=" STATS_EVERY : "");
	}
	if (!more)
		return r;
	r = r < 0 ? r : add(a, "-object");
	r = r < 0 ? r
		  : add(a,
			"memory-backend-ram,id=ram-more,size=%uM,share=off,merge=off,dump=off,"
			"reserve=off",
			spec->more_mib);
	r = r < 0 ? r : add(a, "-device");
	return r < 0 ? r
		     : add(a, "virtio-mem-pci,id=" QMP_MORE_MEMORY
			      ",memdev=ram-more,requested-size=0,disable-legacy=on");
}

static int add_machine(struct qemu_argv *a, const struct vmm_spec *spec,
		       const struct qemu_host *host)
{
	/* clang-format off */
	static const char *const fixed[] = {
		"-nodefaults", "-no-user-config", "-no-reboot",
		"-display", "none", "-vga", "none",
		"-global", "ICH9-LPC.disable_s3=1",
		"-global", "ICH9-LPC.disable_s4=1",
		"-sandbox", SANDBOX,
		"-chardev", "socket,id=qmp,fd=3",
		"-mon", "chardev=qmp,mode=control",
		"-chardev", "socket,id=console,fd=5",
		"-serial", "chardev:console",
		"-chardev", "socket,id=vchan,fd=4,server=on,wait=off",
	};
	static const char *const after_disks[] = {
		"-object", "rng-builtin,id=rng",
		"-device", "virtio-rng-pci,rng=rng,disable-legacy=on",
		"-device", "vmgenid,guid=auto",
	};
	/* clang-format on */
	unsigned set = 1;
	int r = add_all(a, fixed, ARRAY_LEN(fixed));

	r = r < 0 ? r : add(a, "-machine");
	r = r < 0 ? r : add(a, "%s", MACHINE);
	r = r < 0 ? r : add(a, "-accel");
	r = r < 0 ? r : add(a, "%s", host->kvm ? "kvm" : "tcg,thread=multi");
	r = r < 0 ? r : add(a, "-cpu");
	r = r < 0 ? r : add(a, "%s", host->kvm ? "host" : TCG_CPU);
	r = r < 0 ? r : add(a, "-smp");
	r = r < 0 ? r : add(a, "%u", host->one_cpu ? 1 : spec->vcpus);
	r = r < 0 ? r : add_memory(a, spec);
	for (unsigned i = 0; r == 0 && i < spec->n_disks; i++) {
		r = add_disk(a, &spec->disks[i], set);
		set += spec->disks[i].n_chain;
	}
	r = r < 0 ? r : add(a, "-device");
	r = r < 0 ? r : add(a, "pcie-pci-bridge,id=" QMP_HOT_BUS);
	r = r < 0 ? r : add_ports(a, spec->mode);
	r = r < 0 ? r : add_all(a, after_disks, ARRAY_LEN(after_disks));
	if (spec->mode != VMM_ZYGOTE)
		r = r < 0 ? r : add_rings(a);
	if (spec->mode == VMM_FORK)
		r = r < 0 ? r : add(a, "-incoming");
	if (spec->mode == VMM_FORK)
		r = r < 0 ? r : add(a, "defer");
	for (unsigned i = 0; r == 0 && i < spec->n_nics; i++)
		r = add_nic(a, &spec->nics[i]);
	return r;
}

int qemu_argv_build(const struct vmm_spec *spec, const struct qemu_host *host,
		    struct qemu_argv *ret)
{
	int r;

	ret->n_args = ret->n_fds = 0;
	ret->text_len = 0;
	if (!str_is_qube_name(spec->name, strlen(spec->name)) || spec->n_disks > VMM_MAX_DISKS ||
	    spec->n_nics > VMM_MAX_NICS || spec->vcpus == 0 ||
	    spec->more_mib % VMM_MORE_UNIT_MIB != 0 ||
	    spec->more_mib > UINT32_MAX - spec->memory_mib ||
	    /* what a fork gives back goes out of its own view; that this holds for every guest is still to be shown */
	    (spec->mode != VMM_BOOT && (spec->more_mib > 0 || spec->gives_back)) ||
	    !bytes_are_alnum_or(spec->uuid, strlen(spec->uuid), "-"))
		return -EINVAL;
	r = add(ret, "%s", host->program);
	r = r < 0 ? r : add(ret, "-name");
	r = r < 0 ? r : add(ret, "guest=%s", spec->name);
	if (r == 0 && spec->uuid[0] != '\0') {
		r = add(ret, "-uuid");
		r = r < 0 ? r : add(ret, "%s", spec->uuid);
	}
	r = r < 0 ? r : add_kernel(ret, spec, host);
	return r < 0 ? r : add_machine(ret, spec, host);
}
