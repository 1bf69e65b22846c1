#!/usr/bin/env bats
# Volatile volumes that are encrypted with a key of one start: what a real qube writes there, and where its key is not.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	appliance_begin work
}

teardown_file() {
	instance_end
}

# in_work COMMAND: as root
in_work() {
	timeout 120 qvm-run -p -u root work "$1"
}

start() {
	timeout 300 qvm-start work >&2
}
stop() {
	timeout 300 qvm-shutdown --wait work >&2
}

# leaks: work has swap, writes a thousand lines to that disk, and reads them there; how many of them are in dom0's files of it
leaks() {
	in_work 'grep -q "^/dev/vdc" /proc/swaps && swapoff /dev/vdc && yes SAID-IN-CONFIDENCE | head -n 1000 >/tmp/said &&
		dd if=/tmp/said of=/dev/vdc bs=4096 seek=64 conv=fsync 2>/dev/null && echo 3 >/proc/sys/vm/drop_caches &&
		[ "$(dd if=/dev/vdc bs=4096 skip=64 count=5 2>/dev/null | grep -ac SAID-IN-CONFIDENCE)" -ge 1000 ]' >&2 || return 1
	cat "$BULKHEAD_HOME/state/pools/default/vm/$(qvm-prefs work uuid)"/volatile/* | grep -ac SAID-IN-CONFIDENCE || true
}

# the secret of work's disk, which its QEMU has in a file without a name
secret() {
	local fd
	for fd in "/proc/$(pgrep -f -- "-name guest=work -uuid $(qvm-prefs work uuid)" | head -n 1)"/fd/*; do
		[[ $(readlink "$fd") != /memfd:secret* ]] || cat "/proc/self/fd/3" 3<"$fd"
	done
}

@test "what is written to an ephemeral volume is in no file of dom0's, and to another one it is; each start has a key of its own" {
	local first second
	start
	[ "$(leaks)" -ge 1000 ]
	stop
	qvm-volume config work:volatile ephemeral True
	start
	[ "$(leaks)" = 0 ]
	if [ "$EUID" = 0 ]; then
		first=$(secret)
		[[ $first =~ ^[0-9a-f]{64}$ ]]
		# what looks for it has it in a pipe, as an argument it would find itself
		run -1 grep -rqsF -f <(echo "$first") "$BULKHEAD_HOME/"
		cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >"$BATS_TEST_TMPDIR/arguments" 2>/dev/null || true
		run -1 grep -qaF -f <(echo "$first") "$BATS_TEST_TMPDIR/arguments"
	fi
	stop
	start
	if [ "$EUID" = 0 ]; then
		second=$(secret)
		[ "$first" != "$second" ]
	fi
	[ "$(leaks)" = 0 ]
	run -0 bulkhead check
}

@test "a fork has a key of its own as well" {
	timeout 30 qvm-prefs work fork True
	stop
	start
	within 120 grep -q 'zygote .* is made' "$BULKHEAD_HOME/state/log/qubesd.log"
	stop
	start
	grep -q 'work: is forked from zygote' "$BULKHEAD_HOME/state/log/qubesd.log"
	[ "$(leaks)" = 0 ]
	stop
}

@test "it may not be changed while it is in use, nor for what is kept; a pool says it for all that say nothing" {
	start
	run -1 qvm-volume config work:volatile ephemeral False
	stop
	run -1 qvm-volume config work:private ephemeral True
	qvm-volume config work:volatile ephemeral False
	qvm-pool set default -o ephemeral_volatile=True
	[ "$(qvm-volume info work:volatile | awk '$1 == "ephemeral" { print $2 }')" = False ]
	timeout 30 qvm-create --template appliance --label red other
	[ "$(qvm-volume info other:volatile | awk '$1 == "ephemeral" { print $2 }')" = True ]
	[ "$(qvm-volume info other:private | awk '$1 == "ephemeral" { print $2 }')" = False ]
}
