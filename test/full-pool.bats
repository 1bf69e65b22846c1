#!/usr/bin/env bats
# A pool without room, with real virtual machines: who writes there stands still and loses nothing, dom0 answers, and all goes on
# once there is room. The instance itself is on one small file system, a pool of the driver reflink on another.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

# what a qube writes in a round, and what it finds room for
files=12 file_mib=4 room_mib=20

setup_file() {
	export BULKHEAD_FULL=
	[ "$(id -u)" = 0 ] || return 0
	BULKHEAD_FULL=$(mktemp -d /tmp/bulkhead-full.XXXXXX)
	disk ext4 mkfs.ext4 -q -F -m 0 || {
		rmdir "$BULKHEAD_FULL/ext4" && rm -r "$BULKHEAD_FULL"
		BULKHEAD_FULL=
		return 0
	}
	TMPDIR=$BULKHEAD_FULL/ext4 instance_begin
	appliance_begin near other
}

setup() {
	[ -n "$BULKHEAD_FULL" ] || skip "only root has loop devices, where there are any"
}

teardown_file() {
	[ -n "${BULKHEAD_FULL-}" ] || return 0
	instance_end || true
	umount "$BULKHEAD_FULL"/btrfs "$BULKHEAD_FULL"/ext4 2>/dev/null || true
	rm -rf --one-file-system "$BULKHEAD_FULL"
}

# disk NAME MKFS...: a file system of 3 GiB at that name, of which the host gives what is written
disk() {
	local at=$BULKHEAD_FULL/$1
	shift
	truncate -s 3G "$at.img"
	mkdir "$at"
	"$@" "$at.img" >/dev/null && mount -o loop "$at.img" "$at"
}

# leave MIB DIR: all room but that is taken, a piece at a time since Btrfs promises more than it has. make_room DIR: and given back
leave() {
	local step n=0
	for step in 1024 256 64 16 4 1; do
		while [ $(($(df -B1M --output=avail "$2" | tail -n 1) - step)) -ge "$1" ] && fallocate -l ${step}M "$2/filler.$((n++))" 2>/dev/null; do
			sync -f "$2"
		done
	done
}
make_room() {
	rm -f "$1"/filler.*
	sync -f "$1"
}

# writes QUBE FOLDER: files with their sums; a number is said for each that is on its disk
writes() {
	timeout 900 qvm-run -p -u root "$1" "mkdir -p /rw/$2 && cd /rw/$2 && for i in \$(seq $files); do
		dd if=/dev/urandom of=\$i bs=1M count=$file_mib 2>/dev/null && md5sum \$i >>sums && sync && echo \$i || exit 1; done"
}

# holds QUBE FOLDER N: the first N files are what they were, on its disk and not in its memory
holds() {
	timeout 600 qvm-run -p -u root "$1" "echo 3 >/proc/sys/vm/drop_caches; cd /rw/$2 && head -n $3 sums | md5sum -c" >"$BATS_TEST_TMPDIR/sums"
	[ "$(grep -c ': OK$' "$BATS_TEST_TMPDIR/sums")" = "$3" ]
}

# dom0_answers QUBE: whatever is asked, within a time
dom0_answers() {
	timeout 20 qvm-ls >/dev/null
	timeout 20 qvm-prefs "$1" memory >/dev/null
	timeout 20 qvm-pool info default | grep -q usage
	timeout 20 qvm-volume info "$1:private" >/dev/null
	run timeout 60 qvm-start other
	[ "$status" = 1 ]
	[[ $output == *full* ]]
	[ "$(state other)" = Halted ]
}

# a_round QUBE DIR FOLDER END: its pool in DIR fills up below it; END: it goes on, or is killed
a_round() {
	local q=$1 dir=$2 folder=$3 said=$BATS_TEST_TMPDIR/said writer n
	[ "$(state "$q")" = Running ] || timeout 300 qvm-start "$q"
	leave $room_mib "$dir"
	writes "$q" "$folder" >"$said" 3>&- &
	writer=$!
	within 600 eval '[ "$(state "$q")" = Paused ]'
	n=$(grep -c . "$said" || true)
	echo "$folder: stands still after $n files"
	[ "$n" -lt $files ]
	grep -q "$q: paused: no room" "$BULKHEAD_HOME/state/log/qubesd.log"
	dom0_answers "$q"
	if [ "$4" = killed ]; then
		timeout 60 qvm-kill "$q"
		wait $writer || true
		n=$(grep -c . "$said" || true)
		make_room "$dir"
		timeout 300 qvm-start "$q"
		holds "$q" "$folder" "$n"
	else
		make_room "$dir"
		wait $writer
		[ "$(grep -c . "$said")" = $files ]
		[ "$(state "$q")" = Running ]
		holds "$q" "$folder" $files
	fi
}

all_rounds() {
	local n
	for ((n = $(rounds "$1" 2 20); n > 0; n--)); do
		a_round "$2" "$3" "$1-$n" "$([ $((n % 2)) = 0 ] && echo goes-on || echo killed)"
		round_done "$1"
	done
	timeout 120 qvm-shutdown --wait "$2"
}

@test "qcow2, on the disk of dom0's own state: a qube that fills it stands still, goes on, and loses nothing" {
	all_rounds full-qcow2 near "$BULKHEAD_FULL/ext4"
	run -0 bulkhead check
}

@test "reflink, on a Btrfs of its own: a qube that fills it stands still, goes on, and loses nothing" {
	disk btrfs mkfs.btrfs -q --mixed || skip "no Btrfs here (package btrfs-progs)"
	qvm-pool add small reflink -o dir_path="$BULKHEAD_FULL/btrfs/qubes"
	timeout 60 qvm-create --template appliance --label red -p private=small far
	timeout 30 qvm-remove -f other
	timeout 60 qvm-create --template appliance --label red -p private=small other
	all_rounds full-reflink far "$BULKHEAD_FULL/btrfs"
	run -0 bulkhead check
}
