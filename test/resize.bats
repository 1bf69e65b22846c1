#!/usr/bin/env bats
# Volumes that become larger: of a qube that runs at once, disk and file system; of one that does not at its next start.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	appliance_begin work
	timeout 60 qvm-create --class StandaloneVM --template appliance --label green own
	timeout 300 qvm-start work >&2
}

teardown_file() {
	instance_end
}

# in_q QUBE COMMAND
in_q() {
	timeout 120 qvm-run -p -u root "$1" "$2"
}

# size QUBE:VOLUME: in KiB, as the store has it
size() {
	echo $(($(qvm-volume info "$1" | awk '$1 == "size" { print $2 }') >> 10))
}

restart() {
	timeout 300 qvm-shutdown --wait "$1"
	timeout 300 qvm-start "$1"
}

@test "private, while its qube runs: larger at once, twice, with what is in it, and so after a restart" {
	in_q work 'dd if=/dev/urandom of=/rw/kept bs=1M count=8 2>/dev/null; md5sum /rw/kept >/rw/sum; sync'
	grows work private /rw
	grows work private /rw
	in_q work 'echo 3 >/proc/sys/vm/drop_caches; md5sum -c /rw/sum'
	# what is behind the old end is written to as well as read
	in_q work 'dd if=/dev/zero of=/rw/large bs=1M count=64 2>/dev/null; sync; rm /rw/large'
	before=$(room_in work /rw)
	restart work
	[ "$(room_in work /rw)" = "$before" ]
	in_q work 'md5sum -c /rw/sum'
	run -0 bulkhead check
}

@test "what a running qube's disk does not become" {
	size=$(in_q work 'cat /sys/block/vdb/size')
	run -1 timeout 60 qvm-volume resize --force work:private 1GiB
	[[ $output == *"no smaller"* ]]
	run -1 timeout 60 qvm-volume resize work:root 100GiB
	[[ $output == *"size of its source"* ]]
	run -1 timeout 60 qvm-volume resize work:private 99999999999999
	[ "$(in_q work 'cat /sys/block/vdb/size')" = "$size" ]
	timeout 60 qvm-pause work
	run -1 larger work private 512
	[[ $output == *"not halted"* ]]
	timeout 60 qvm-unpause work
	[ "$(in_q work 'cat /sys/block/vdb/size')" = "$size" ]
}

@test "a file system that records errors stays as it is, which is said; it is checked at the next start, and grows then" {
	before=$(room_in work /rw)
	in_q work 'echo a-test >/sys/fs/ext4/vdb/trigger_fs_error; sync'
	run -1 larger work private 512
	[[ $output == *"its file system is not"*"ResizeDisk"* ]]
	[ "$(room_in work /rw)" = "$before" ]
	# the disk is larger already
	restart work
	[ $(($(room_in work /rw) - before)) -ge $((400 << 10)) ]
	in_q work 'md5sum -c /rw/sum'
}

@test "root of a standalone and of a template: larger at once while it runs, at the next start if it does not" {
	local q
	for q in own appliance; do
		# QEMU writes as large a file as the largest of its disks needs
		larger "$q" volatile 40000
		timeout 300 qvm-start "$q"
		grows "$q" root /
		grows "$q" private /rw
		timeout 300 qvm-shutdown --wait "$q"
		larger "$q" root 512
		before=$(size "$q:root")
		timeout 300 qvm-start "$q"
		[ "$(room_in "$q" /)" -ge $((before - before / 10)) ]
		timeout 300 qvm-shutdown --wait "$q"
	done
	# an app qube has it from its template
	restart work
	[ "$(room_in work /)" -ge $((before - before / 10)) ]
	run -0 bulkhead check
}

@test "a fork: its private volume grows while it runs" {
	made() { grep -q 'zygote .* is made' "$BULKHEAD_HOME/state/log/qubesd.log"; }
	qvm-prefs work fork True
	timeout 300 qvm-shutdown --wait work
	timeout 300 qvm-start work
	within 300 made
	restart work
	[ "$(begun work)" = fork ]
	grows work private /rw
	in_q work 'md5sum -c /rw/sum'
}

@test "killed as it grows: the qube has the size of the store at its next start, and loses nothing" {
	local n before after
	for n in 0.05 0.3 1; do
		before=$(size work:private)
		larger work private 512 >/dev/null 2>&1 3>&- &
		sleep $n
		timeout 60 qvm-kill work
		waited $!
		within 60 eval '[ "$(state work)" = Halted ]'
		after=$(size work:private)
		echo "after $n s: $status, $before KiB, then $after KiB"
		# what was answered is so
		[ "$status" != 0 ] || [ "$after" -gt "$before" ]
		timeout 300 qvm-start work
		in_q work 'md5sum -c /rw/sum'
		[ "$(room_in work /rw)" -ge $((after - after / 10)) ]
		run -0 bulkhead check
	done
}

@test "private, to more than its QEMU may write: at the next start, which is said" {
	before=$(room_in work /rw)
	run -1 larger work private 20000
	[[ $output == *"from the next start on"* ]]
	[ "$(room_in work /rw)" = "$before" ]
	restart work
	[ "$(room_in work /rw)" -gt $((18000 << 10)) ]
	in_q work 'md5sum -c /rw/sum'
}
