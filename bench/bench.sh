# What the benchmarks share: an instance of their own with the small template, medians, the last line.
# Source it: `. "$(dirname "$0")/bench.sh"`. A benchmark prints figures and, as its last line, the ratio (or the figure)
# its bound is about; it exits 0 if the bound holds, 1 if not, 77 if this machine cannot measure it.
# shellcheck shell=bash

set -uo pipefail
# shellcheck source=test/lib.bash
. "$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/test/lib.bash"

# cannot WHY: this machine cannot measure it
cannot() {
	echo "cannot be measured here: $*" >&2
	exit 77
}

# need PROGRAM PACKAGE
need() {
	command -v "$1" >/dev/null || cannot "$1 is missing (package $2)"
}

# bench_begin: an instance with the template "appliance"; it goes with this shell
bench_begin() {
	need qemu-system-x86_64 qemu-system-x86
	need qvm-start "(build first: tools/build)"
	unset BULKHEAD_HOME
	trap bench_end EXIT
	instance_begin >&2 || cannot "bulkhead start failed"
	count_begin
	appliance_begin "$@" >&2 || cannot "the template appliance cannot be made"
}

bench_end() {
	instance_end >&2
	[ -z "${group-}" ] || rmdir "$group"
}

# count_begin: what the instance's processes do from here on is counted in a control group of their own, if we may make one
count_begin() {
	local p at
	group=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)
	at=$(sed -n 's/^0:://p' /proc/self/cgroup)
	group=${group:-/nonexistent}${at%/}/bulkhead-bench-$$
	mkdir "$group" 2>/dev/null || { group= && return; }
	for p in $(instance_processes); do
		echo "$p" 2>/dev/null >"$group/cgroup.procs"
	done
}

# now_us: microseconds
now_us() {
	echo "${EPOCHREALTIME/[.,]/}"
}

# median NUMBER...
median() {
	printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# least NUMBER...
least() {
	printf '%s\n' "$@" | sort -n | head -n 1
}

# finish NAME VALUE BOUND UNIT: the last line; exits
finish() {
	printf '%s: %s%s (bound: at most %s%s)\n' "$1" "$2" "$4" "$3" "$4"
	awk -v v="$2" -v b="$3" 'BEGIN { exit !(v <= b) }'
	exit
}

# qemu_of QUBE: the pid of its QEMU, which has a disk of this instance open
qemu_of() {
	local p
	for p in /proc/[0-9]*; do
		[[ $(cat "$p/comm" 2>/dev/null) == qemu-system* ]] || continue
		tr '\0' '\n' 2>/dev/null <"$p/cmdline" | grep -qxF "guest=$1" || continue
		[ -n "$(find "$p/fd" -lname "$BULKHEAD_HOME/*" -print -quit 2>/dev/null)" ] || continue
		echo "${p#/proc/}"
		return
	done
	return 1
}

# monitor_of QUBE: the pid of its qube-monitor, QEMU's parent
monitor_of() {
	local qemu
	qemu=$(qemu_of "$1") || return 1
	awk '$1 == "PPid:" { print $2 }' "/proc/$qemu/status"
}

# children_of PID: all processes below it, a line each
children_of() {
	local c
	for c in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		echo "$c"
		children_of "$c"
	done
}

# used: two numbers, microseconds of processor time: QEMU's, and that of the instance's other processes, with all of them that have ended. Without
# a control group they are counted in clock ticks, of 10 ms mostly, and for each process by itself. While a QEMU ends it is nobody to compare.
used() {
	local p t name key value qemus=() ns=0
	[ -n "${group-}" ] || { used_ticks && return; }
	while read -r p; do
		{ read -r name <"/proc/$p/comm"; } 2>/dev/null
		[[ $name != qemu-system* ]] || qemus+=("$p")
	done <"$group/cgroup.procs"
	# one right after the other: QEMU runs meanwhile
	while read -r key value && [ "$key" != usage_usec ]; do :; done <"$group/cpu.stat"
	for p in "${qemus[@]}"; do
		for t in "/proc/$p/task"/*/schedstat; do
			{ read -r t _ <"$t" && ((ns += t)); } 2>/dev/null
		done
	done
	echo "$((ns / 1000)) $((value - ns / 1000))"
}

used_ticks() {
	local p
	for p in $(instance_processes); do
		cat "/proc/$p/stat" 2>/dev/null
	done | sed 's/^[0-9]* (\([^)]*\)) /\1 /' | awk -v us=$((1000000 / $(getconf CLK_TCK))) '$1 ~ /^qemu-system/ { qemu += $13 + $12; next } { other += $12 + $13 + $14 + $15 } END { print qemu * us, other * us }'
}
