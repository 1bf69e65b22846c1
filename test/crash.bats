#!/usr/bin/env bats
# A crash at any moment: kill -9 of qubesd, of its jobs, of all; a power cut. Qubes that run here do nothing (vmm/none), their
# volumes are real (crash.py). What real machines lose, which is nothing either: faults.bats.
# bats file_tags=alone
# shellcheck shell=bash disable=SC2154

bats_require_minimum_version 1.5.0
load lib

# crash MODE TYPE ROUNDS FULL: so many rounds, or what an interrupted soak has left of the full count; BATS_SEED repeats them
crash() {
	local name=crash-$1-$2 n seed=${BATS_SEED:-$$}
	command -v qemu-io >/dev/null || skip "qemu-io is missing (package qemu-utils)"
	n=$(rounds "$name" "$3" "$4")
	[ "$n" -gt 0 ] || return 0
	! full_counts || seed=$(($4 - n))
	run env QUBESD="$top/build/test/qubesd-none" python3 "$top/test/crash.py" "$1" "$2" "$n" "$seed" \
		${BULKHEAD_TEST_STATE:+"$BULKHEAD_TEST_STATE/rounds-$name"} 3>&-
	echo "$output"
	[ "$status" != 77 ] || skip "no $2 on a loop device here"
	[ "$status" = 0 ]
}

@test "killed at any moment: what was flushed and what was answered is there, on the file system of dom0" {
	crash kill none 15 250
}

@test "killed at any moment: the same with volumes of both drivers on Btrfs" {
	[ "$(id -u)" = 0 ] || skip "only root has loop devices"
	crash kill btrfs 20 250
}

@test "the power cut at any moment: what was flushed and what was answered is there, on ext4" {
	[ "$(id -u)" = 0 ] || skip "only root has loop devices"
	crash cut ext4 12 200
}

@test "the power cut at any moment: the same with volumes of both drivers on Btrfs" {
	[ "$(id -u)" = 0 ] || skip "only root has loop devices"
	crash cut btrfs 12 200
}

@test "the power cut at any moment: the same with volumes of both drivers on XFS" {
	[ "$(id -u)" = 0 ] || skip "only root has loop devices"
	crash cut xfs 8 100
}
