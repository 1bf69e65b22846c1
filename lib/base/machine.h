/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once
/*
 * What this machine can do for qubes: the accelerator and QEMU. One place, so that what `bulkhead
 * doctor` says is what a start does.
 *
 * KVM is used only where the processor announces vmx or svm: inside some virtual machines /dev/kvm
 * exists, opens and even creates VMs that then hang for ever.
 */
#include "base/attr.h"

/** struct machine_accel - @kvm: guests run under KVM, else TCG; @why: the reason, in words */
struct machine_accel {
	bool kvm;
	char why[160];
};

/** machine_accel() - look at the processor and /dev/kvm */
void machine_accel(struct machine_accel *ret);

/** machine_cpuinfo_has_virt() - the text of /proc/cpuinfo names the flag vmx or svm */
bool machine_cpuinfo_has_virt(const char *cpuinfo);

/** struct machine_qemu - where QEMU is and what it calls itself; empty strings where unknown */
struct machine_qemu {
	char path[128], version[64]; /* "7.2.22" */
};

/**
 * machine_qemu() - find qemu-system-x86_64 ($BULKHEAD_QEMU, else in PATH and /usr/bin)
 * @ask_version: run it with --version, which takes some 20 ms; one that takes 5 s has none
 *
 * Return: 0; -ENOENT it is not installed.
 */
MUST_CHECK int machine_qemu(bool ask_version, struct machine_qemu *ret);

/**
 * machine_qemu_emulates_many() - may a guest that QEMU of this @version emulates have more than one processor?
 *
 * Before 8.1 (its commit deba78709ae8) one processor could translate code while another one changed it, and kept what it had
 * translated for ever: a kernel that patches itself as it runs, as Linux does, then hangs or panics.
 */
bool machine_qemu_emulates_many(const char *version);

/** struct machine_tsc - one moment, by the processor's counter of cycles and by CLOCK_MONOTONIC */
struct machine_tsc {
	uint64_t ticks, ns;
};

/** machine_tsc_now() - this moment */
void machine_tsc_now(struct machine_tsc *ret);

/**
 * machine_tsc_khz() - how fast the counter runs, to some parts in a million
 * @since:	a moment before; if it is less than a millisecond ago, the rest of that is waited for
 *
 * Return: kHz; 0 if the counter tells nothing (it went back, or runs at no processor's speed).
 */
unsigned machine_tsc_khz(const struct machine_tsc *since);

/** struct machine_memory - of /proc/meminfo */
struct machine_memory {
	uint64_t total_kib, available_kib, swap_free_kib;
};
/** machine_memory() - 0; -errno */
MUST_CHECK int machine_memory(struct machine_memory *ret);
