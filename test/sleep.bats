#!/usr/bin/env bats
# qvm-sync-clock, and what qubesd does when the machine is about to sleep and has slept: who is called, as whom, with what, and
# who is not waited for. Qubes are those of vmm/none; a stand-in for qrexec-client writes down what it was told.
# bats file_tags=alone
# shellcheck shell=bash disable=SC2154

bats_require_minimum_version 1.5.0
load lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib
eval "$(declare -f setup | sed '1s/.*/instance_setup ()/')"
eval "$(declare -f teardown | sed '1s/.*/instance_teardown ()/')"
bus='' fake=''

teardown() {
	# shellcheck disable=SC2086
	kill $bus $fake 2>/dev/null || true
	instance_teardown
}

setup() {
	# all programs as they are, but for the one that calls
	mkdir "$BATS_TEST_TMPDIR/libexec"
	ln -s "$libexec"/* "$BATS_TEST_TMPDIR/libexec/"
	rm "$BATS_TEST_TMPDIR/libexec/qrexec-client"
	calls=$BATS_TEST_TMPDIR/calls
	export calls BATS_TEST_TMPDIR BULKHEAD_LIBEXEC=$BATS_TEST_TMPDIR/libexec
	# qrexec-client -d QUBE [OPTION]... COMMAND; exits as $BATS_TEST_TMPDIR/code.QUBE says, "hang" waits for its end
	cat >"$BATS_TEST_TMPDIR/libexec/qrexec-client" <<-'END'
		#!/bin/bash
		echo "$2 ${!#} $(timeout 5 cat)" >>"$calls"
		code=$(cat "$BATS_TEST_TMPDIR/code.$2" 2>/dev/null)
		[ "$code" != hang ] || exec sleep 100
		exit ${code:-0}
	END
	chmod +x "$BATS_TEST_TMPDIR/libexec/qrexec-client"
	instance_setup
	mkdir -p "$BULKHEAD_HOME/state/kernels/1"
	touch "$BULKHEAD_HOME/state/kernels/1/"{vmlinuz,initramfs,modules.img}
	make_template tmpl
	for q in vault web work; do
		make_app $q tmpl
	done
	for q in vault web; do
		[ "$(ask "admin.vm.Start dom0 name $q\0")" = '0|' ]
	done
}

# told: what qubes were told, sorted, a time as TIME if it is about now
told() {
	local qube command service source time
	while read -r qube command service source time; do
		if [ -n "$time" ] && [ $(($(date -u -d "$time" +%s) - $(date +%s))) -gt -300 ]; then
			time=TIME
		fi
		echo "$qube $command $service $source${time:+ $time}"
	done < <(sort "$calls")
}

# machine METHOD: what says that the machine sleeps, or did
machine() {
	printf 'internal.%s dom0 name dom0\0' "$1" | timeout 90 socat -t90 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.internal.sock" | tr '\0' '|'
}

@test "qvm-sync-clock: running qubes are told the time, anonymous ones if they are named" {
	run -0 timeout 60 qvm-sync-clock
	[ -z "$output" ]
	[ "$(told)" = 'vault DEFAULT:QUBESRPC qubes.SetDateTime+ dom0 TIME
web DEFAULT:QUBESRPC qubes.SetDateTime+ dom0 TIME' ]
	rm "$calls"
	qvm-tags web add anon-vm
	run -0 timeout 60 qvm-sync-clock -v
	[[ $output == *"web is anonymous and is not told"* ]]
	[ "$(told)" = 'vault DEFAULT:QUBESRPC qubes.SetDateTime+ dom0 TIME' ]
	rm "$calls"
	run -0 timeout 60 qvm-sync-clock web
	[ "$(told)" = 'web DEFAULT:QUBESRPC qubes.SetDateTime+ dom0 TIME' ]
}

@test "qvm-sync-clock: who was not told is named, with the reason, and the others are told" {
	echo 127 >"$BATS_TEST_TMPDIR/code.vault"
	run -1 timeout 60 qvm-sync-clock
	[ "$output" = "qvm-sync-clock: vault has no service qubes.SetDateTime" ]
	[ "$(told | wc -l)" = 2 ]
	echo 1 >"$BATS_TEST_TMPDIR/code.vault"
	run -1 timeout 60 qvm-sync-clock
	[[ $output == *"vault could not set its clock; its log says why" ]]
	echo hang >"$BATS_TEST_TMPDIR/code.vault"
	run -1 timeout 60 qvm-sync-clock --timeout 1
	[[ $output == *"vault does not answer, and its clock is as it was"* ]]
	refused 1 "work does not run" qvm-sync-clock work
	refused 1 "there is no qube 'nosuch'" qvm-sync-clock nosuch
	refused 1 "where the time comes from" qvm-sync-clock dom0
	refused 2 "Try: " qvm-sync-clock --timeout soon
}

@test "before the machine sleeps the hooks of running qubes are run; afterwards they get the time first" {
	[ "$(machine SuspendPre)" = '0|' ]
	[ "$(told)" = 'vault root:QUBESRPC qubes.SuspendPreAll+ dom0
web root:QUBESRPC qubes.SuspendPreAll+ dom0' ]
	rm "$calls"
	[ "$(machine SuspendPost)" = '0|' ]
	[ "$(told)" = 'vault DEFAULT:QUBESRPC qubes.SetDateTime+ dom0 TIME
vault root:QUBESRPC qubes.SuspendPostAll+ dom0
web DEFAULT:QUBESRPC qubes.SetDateTime+ dom0 TIME
web root:QUBESRPC qubes.SuspendPostAll+ dom0' ]
	[[ $(head -n 2 "$calls") != *SuspendPostAll* ]]
	# qubes are as they were, and nobody else may say it
	[ "$(state vault)" = Running ]
	[[ $(ask 'internal.SuspendPre dom0 name dom0\0') == '2|ProtocolError|'* ]]
	[[ $(ask 'internal.SuspendPre dom0 name vault\0' qubesd.internal.sock) == '2|ProtocolError|'* ]]
}

@test "a qube that hangs or fails keeps no machine from its sleep, and one call is enough" {
	echo hang >"$BATS_TEST_TMPDIR/code.vault"
	echo 3 >"$BATS_TEST_TMPDIR/code.web"
	machine SuspendPre >"$BATS_TEST_TMPDIR/answer" 3>&- &
	called() { [ "$(grep -c SuspendPreAll "$calls" 2>/dev/null)" = 2 ]; }
	within 20 called
	[[ $(machine SuspendPost) == '2|QubesException|'*"already"* ]]
	# qubesd answers others meanwhile
	[ "$(state web)" = Running ]
	wait $!
	[ "$(cat "$BATS_TEST_TMPDIR/answer")" = '0|' ]
	grep -q 'not all qubes have done it' "$BULKHEAD_HOME/log"
	run ! pgrep -f "$BATS_TEST_TMPDIR/libexec/qrexec-client"
	rm "$BATS_TEST_TMPDIR"/code.*
	[ "$(machine SuspendPost)" = '0|' ]
}

@test "a qubesd that ends while it waits leaves nobody behind" {
	echo hang >"$BATS_TEST_TMPDIR/code.vault"
	machine SuspendPre >"$BATS_TEST_TMPDIR/answer" 3>&- &
	called() { [ "$(grep -c SuspendPreAll "$calls" 2>/dev/null)" = 2 ]; }
	within 20 called
	kill "$daemon"
	wait "$daemon"
	wait $!
	[ -z "$(cat "$BATS_TEST_TMPDIR/answer")" ]
	nobody() { ! pgrep -f "$BATS_TEST_TMPDIR/libexec/qrexec-client"; }
	within 20 nobody
	daemon_start
}

# With logind's stand-in on a bus of our own: the one thing here that is not as on a person's machine.
@test "logind says that the machine sleeps: qubes are told before, and after; without a bus nothing happens" {
	command -v dbus-daemon >/dev/null || skip "no dbus-daemon here"
	local dir=$BATS_TEST_TMPDIR
	cat >"$dir/bus.conf" <<-END
		<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
		<busconfig><type>session</type><listen>unix:path=$dir/bus</listen>
		<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>
	END
	dbus-daemon --config-file="$dir/bus.conf" --nofork --nopidfile 2>/dev/null 3>&- &
	bus=$!
	within 10 test -S "$dir/bus"
	export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$dir/bus
	mkfifo "$dir/say"
	"$top/build/test/logind/fake-logind" <"$dir/say" >"$dir/heard" 3>&- &
	fake=$!
	exec 9>"$dir/say"
	within 10 grep -q there "$dir/heard"
	# until now there was no bus: sleep-watch has ended, and nobody minds
	run ! pgrep -P "$daemon" -x sleep-watch
	run ! grep -q 'sleep-watch' "$BULKHEAD_HOME/log"
	daemon_stop
	daemon_start
	within 10 grep -q delay "$dir/heard"

	echo sleep >&9
	within 60 grep -q 'given back' "$dir/heard"
	[ "$(told)" = 'vault root:QUBESRPC qubes.SuspendPreAll+ dom0
web root:QUBESRPC qubes.SuspendPreAll+ dom0' ]
	rm "$calls"
	echo awake >&9
	all_told() { [ "$(grep -c . "$calls" 2>/dev/null)" = 4 ]; }
	within 60 all_told
	[ "$(told)" = 'vault DEFAULT:QUBESRPC qubes.SetDateTime+ dom0 TIME
vault root:QUBESRPC qubes.SuspendPostAll+ dom0
web DEFAULT:QUBESRPC qubes.SetDateTime+ dom0 TIME
web root:QUBESRPC qubes.SuspendPostAll+ dom0' ]
	again() { [ "$(grep -c delay "$dir/heard")" = 2 ]; }
	within 10 again

	# a sleep that comes while a qube is still told of the last one's end waits for none of that
	given_back() { [ "$(grep -c 'given back' "$dir/heard")" = "$1" ]; }
	echo sleep >&9
	within 60 given_back 2
	rm "$calls"
	echo hang >"$dir/code.vault"
	echo awake >&9
	hangs() { [ "$(grep -c SetDateTime "$calls" 2>/dev/null)" = 2 ]; }
	within 60 hangs
	rm "$dir/code.vault"
	echo sleep >&9
	within 60 given_back 3
	[ "$(grep -o 'Suspend[A-Za-z]*' "$calls" | sort -u)" = SuspendPreAll ]
	echo awake >&9
	post() { [ "$(grep -c SuspendPostAll "$calls")" = 2 ]; }
	within 60 post

	# a bus that goes is told of; qubesd goes on
	exec 9>&-
	kill "$fake" "$bus"
	wait "$fake" "$bus" || true
	within 10 grep -q 'not told of the machine.s sleep' "$BULKHEAD_HOME/log"
	[ "$(state vault)" = Running ]
}
