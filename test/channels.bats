# Channels to a real guest: both ways at once, many at once, one that stands still, and either vchand killed under load.
# What needs no virtual machine is in qube/vchand/test-vchand.c and qrexec.bats.
# shellcheck shell=bash disable=SC2030,SC2031,SC2016,SC2094,SC2154
# bats file_tags=alone,machines

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	appliance_begin work
	timeout 300 qvm-start work >&2
	head -c 4000000 /dev/urandom >"$BATS_FILE_TMPDIR/bytes"
}

teardown_file() {
	instance_end
}

# in_work OPTION... COMMAND: qvm-run -p in the running qube
in_work() {
	timeout "${LIMIT:-120}" qvm-run -p work "$@"
}

# dom0_vchand: the pid of dom0's side
dom0_vchand() {
	local p
	for p in $(instance_processes); do
		[ "$(cat "/proc/$p/comm")" = vchand ] && echo "$p"
	done
	return 0
}

echoes() {
	[ "$(LIMIT=20 in_work 'echo here' </dev/null 2>/dev/null)" = here ]
}

# at_once COUNT COMMAND...: so many in parallel; prints how many succeeded
at_once() {
	local i pids=() ok=0 n=$1
	shift
	for ((i = 0; i < n; i++)); do
		"$@" "$i" 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		if wait "$i"; then ok=$((ok + 1)); fi
	done
	echo "$ok"
}

both_ways() {
	local sum
	sum=$(in_work cat <"$BATS_FILE_TMPDIR/bytes" | sha256sum)
	[ "$sum" = "$(sha256sum <"$BATS_FILE_TMPDIR/bytes")" ]
}

@test "data both ways at once comes back as it was, again and again" {
	local i
	for ((i = 0; i < 8; i++)); do
		both_ways
	done
	[ "$(at_once 8 both_ways)" = 8 ]
}

@test "both streams out and one in at once" {
	in_work 'tee /proc/self/fd/2' <"$BATS_FILE_TMPDIR/bytes" 2>"$BATS_TEST_TMPDIR/err" >"$BATS_TEST_TMPDIR/out"
	# the command's user may open its own streams
	cmp "$BATS_FILE_TMPDIR/bytes" "$BATS_TEST_TMPDIR/out"
	cmp "$BATS_FILE_TMPDIR/bytes" "$BATS_TEST_TMPDIR/err"
}

@test "streams that stand still hold up no other" {
	local i stalled=()
	# output that nobody reads, input that nobody reads
	for ((i = 0; i < 5; i++)); do
		mkfifo "$BATS_TEST_TMPDIR/f$i"
		in_work 'cat /dev/zero' </dev/null >"$BATS_TEST_TMPDIR/f$i" 3>&- &
		stalled+=($!)
		# shellcheck disable=SC2034 # held open, never read
		exec {fd}<"$BATS_TEST_TMPDIR/f$i"
		in_work 'sleep 1000' </dev/zero >/dev/null 3>&- &
		stalled+=($!)
	done
	sleep 3
	for ((i = 0; i < 3; i++)); do
		both_ways
	done
	kill "${stalled[@]}"
	wait "${stalled[@]}" || true
	within 60 echoes
}

says_its_number() {
	local n
	n=$(LIMIT=300 in_work "cat; echo $1" <<<"in $1")
	[ "$n" = "in $1"$'\n'"$1" ]
}

@test "two hundred streams at once, each with its own bytes" {
	[ "$(at_once 200 says_its_number)" = 200 ]
}

@test "dom0's vchand killed under load: calls end, and the next ones work" {
	local old
	for _ in 1 2; do
		at_once 4 both_ways >/dev/null &
		sleep 1
		old=$(dom0_vchand)
		[ -n "$old" ]
		kill -9 "$old"
		within 120 echoes
		wait $!
		[ "$(dom0_vchand)" != "$old" ]
		both_ways
	done
}

@test "the guest's vchand killed under load: calls end, and the next ones work" {
	for _ in 1 2; do
		at_once 4 both_ways >/dev/null &
		sleep 1
		in_work -u root 'kill -9 $(pidof vchand)' </dev/null || true
		within 120 echoes
		wait $!
		both_ways
	done
}

opens() {
	local i
	for ((i = 0; i < 125; i++)); do
		in_work true </dev/null || return 1
	done
}

# how many descriptors dom0's vchand has open; who may not look, not being root, is told the size of its table, which only grows
vchand_fds() {
	local dir
	dir=/proc/$(dom0_vchand)
	if [ -r "$dir/fd" ]; then
		find "$dir/fd" -mindepth 1 | wc -l
	else
		awk '$1 == "FDSize:" { print $2 }' "$dir/status"
	fi
}

# nothing_left FDS: vchand has as many open as before the calls, and none of their processes stays in the qube
nothing_left() {
	# a thousand calls that leave one each double the table
	local spare=2
	[ -r "/proc/$(dom0_vchand)/fd" ] || spare=500
	[ "$(vchand_fds)" -le $(($1 + spare)) ] && [ "$(in_work -u root 'pidof qrexec-agent | wc -w' </dev/null)" -le 3 ]
}

@test "thousands of channels one after the other leave nothing behind" {
	local before n
	before=$(vchand_fds)
	for ((n = $(rounds thousands 2 10); n > 0; n--)); do
		[ "$(at_once 8 opens)" = 8 ]
		within 60 nothing_left "$before"
		round_done thousands
	done
}
