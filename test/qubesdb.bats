#!/usr/bin/env bats
# QubesDB with both daemons as processes over plain vchan sockets, typed at as a user would; no virtual machine.
# bats file_tags=alone

load lib

bats_require_minimum_version 1.5.0

setup_file() {
	BULKHEAD_HOME=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead qdb.XXXXXX")
	export BULKHEAD_HOME
}

teardown_file() {
	local run
	run=$(readlink "$BULKHEAD_HOME/run" || true)
	rm -rf "$BULKHEAD_HOME" ${run:+"$run"}
}

setup() {
	dir=$(mktemp -d /tmp/bulkhead-qdb.XXXXXX)
	mkdir "$dir/vchan"
	export VCHAN_SOCKET_DIR=$dir/vchan
	printf '/name\0work\0/type\0AppVM\0/qubes-service/cups\0001\0/qubes-block-devices\0\0' >"$dir/initial"
	dom0_pid='' qube_pid=''
	start_dom0
}

teardown() {
	local p
	for p in $dom0_pid $qube_pid; do
		kill -9 "$p" 2>/dev/null || true
	done
	rm -rf "$dir"
}

start_dom0() {
	"$libexec/qubesdb-daemon" --initial-fd 9 7 work 9<>"$dir/initial" 2>>"$dir/dom0.log" 3>&- &
	dom0_pid=$!
	within 10 dom0_up
}

dom0_up() {
	qubesdb-read -q -d work /name >"$dir/name"
}

start_qube() {
	NOTIFY_SOCKET='' VCHAN_DOMAIN=7 "$BULKHEAD_QUBE_ROOT/usr/lib/qubes/qubesdb-daemon" --socket-dir "$dir/qube" 2>>"$dir/qube.log" 3>&- &
	qube_pid=$!
	within 10 test -S "$dir/qube/qubesdb.sock"
}

# q COMMAND...: typed inside the qube
q() {
	QUBESDB_SOCKET_DIR=$dir/qube PATH=$BULKHEAD_QUBE_ROOT/usr/bin:$PATH timeout 20 "$@"
}

liar() {
	VCHAN_DOMAIN=7 timeout 60 "$top/build/test/hostile/qubesdb-liar" "$1"
}

@test "dom0 reads, writes, lists and removes" {
	run -0 qubesdb-read -d work /name
	[ "$output" = work ]
	run -0 qubesdb-write -d work /a/one 1 /a/two 2
	run -0 qubesdb-list -d work /a/
	[ "$output" = $'one\ntwo' ]
	run -0 qubesdb-list -d work -f /a/
	[ "$output" = $'/a/one\n/a/two' ]
	run -0 qubesdb-multiread -d work /a/
	[ "$output" = $'one = 1\ntwo = 2' ]
	run -0 qubesdb-multiread -d work -f /a/o
	[ "$output" = '/a/one = 1' ]
	run -0 qubesdb-rm -d work /a/
	run -0 qubesdb-list -d work /a/
	[ -z "$output" ]
	run -0 qubesdb-cmd -d work -c read -f /name /type
	[ "$output" = $'/name = work\n/type = AppVM' ]
}

@test "mistakes are told and change nothing" {
	run -1 qubesdb-read -d work /none
	[ "$output" = "qubesdb-read: /none: no such entry" ]
	run -1 qubesdb-read -q -d work /none
	[ -z "$output" ]
	run -0 qubesdb-read -d work -e none /none
	[ "$output" = none ]
	run -1 qubesdb-rm -d work /none
	run -1 qubesdb-read -d work '/a b'
	run -1 qubesdb-write -d work /dir/ x
	run -1 qubesdb-write -d work /big "$(printf '%03072d' 0)"
	run -0 qubesdb-write -d work /big "$(printf '%03071d' 0)"
	run -1 qubesdb-read -d nobody /name
	[[ $output == *"is the qube running?"* ]]
	run -2 qubesdb-write -d work /odd
	run -2 qubesdb-read -d work
	run -2 qubesdb-read -d ../work /name
	run -2 qubesdb-cmd -d work -c frobnicate
	run -2 qubesdb-cmd -d work /name
	run -2 qubesdb-write -d work -n 3 /a b
	run -0 qubesdb-read --help
}

@test "unprintable bytes are shown as escapes, raw where asked" {
	qubesdb-write -d work /bytes $'a\nb\x1b[0m'
	run -0 qubesdb-read -d work /bytes
	[ "$output" = 'a\x0ab\x1b[0m' ]
	run -0 qubesdb-read -r -d work /bytes
	[ "$output" = $'a\nb\x1b[0m' ]
}

@test "-x removes what it read, -w waits for what is not there" {
	qubesdb-write -d work /once 1
	run -0 qubesdb-read -x -d work /once
	[ "$output" = 1 ]
	run -1 qubesdb-read -x -d work /once
	timeout 20 qubesdb-read -w -d work /later >"$dir/later" 3>&- &
	local p=$!
	sleep 0.3
	qubesdb-write -d work /later now
	wait $p
	[ "$(cat "$dir/later")" = now ]
}

@test "a qube sees what dom0 wrote and the other way round" {
	start_qube
	run -0 q qubesdb-read /name # waits for the first dump
	[ "$output" = work ]
	[ -e "$dir/qube/qubesdb-ready" ]
	qubesdb-write -d work /from/dom0 1
	run -0 q qubesdb-read -w /from/dom0
	run -0 q qubesdb-write /from/qube 2 /qubes-block-devices/sda/desc disk /qubes-block-devices ''
	run -0 qubesdb-multiread -d work -f /from/
	[ "$output" = $'/from/dom0 = 1\n/from/qube = 2' ]
	qubesdb-rm -d work /from/
	within 10 eval '! q qubesdb-read -q /from/qube'
	run -0 q qubesdb-rm /qubes-block-devices/
	run -1 qubesdb-read -d work /qubes-block-devices/sda/desc
}

@test "what dom0 wrote is dom0's" {
	start_qube
	run -1 q qubesdb-write /name dom0
	[[ $output == *refused* ]]
	run -1 q qubesdb-rm /
	run -0 q qubesdb-read /name
	[ "$output" = work ]
	q qubesdb-write /mine 1
	qubesdb-write -d work /mine 2
	run -1 q qubesdb-write /mine 3
	run -0 qubesdb-read -d work /mine
	[ "$output" = 2 ]
}

@test "the read-only socket reads" {
	start_qube
	q qubesdb-read /name
	mkdir "$dir/ro"
	ln -s ../qube/qubesdb.sock.ro "$dir/ro/qubesdb.sock"
	export QUBESDB_SOCKET_DIR=$dir/ro
	run -0 "$BULKHEAD_QUBE_ROOT/usr/bin/qubesdb-read" /name
	[ "$output" = work ]
	run -1 "$BULKHEAD_QUBE_ROOT/usr/bin/qubesdb-write" /mine 1
	run -1 "$BULKHEAD_QUBE_ROOT/usr/bin/qubesdb-rm" /mine
}

@test "watches fire on both sides, for keys and subtrees" {
	start_qube
	q qubesdb-read /name
	q qubesdb-watch -n 3 /w/ /exact >"$dir/fired" 3>&- &
	local p=$!
	qubesdb-watch -n 1 -d work /w/ >"$dir/fired0" 3>&- &
	local p0=$!
	sleep 0.3
	qubesdb-write -d work /w/a 1 /other x /exact y /exactly z
	qubesdb-rm -d work /w/a
	wait $p
	wait $p0
	[ "$(cat "$dir/fired")" = $'/w/a\n/exact\n/w/a' ]
	[ "$(cat "$dir/fired0")" = /w/a ]
}

@test "the qube's daemon killed and started again has everything" {
	start_qube
	q qubesdb-write /mine 1
	kill -9 "$qube_pid"
	wait "$qube_pid" || true
	qubesdb-write -d work /meanwhile 2
	start_qube
	run -0 q qubesdb-multiread -f /m
	[ "$output" = $'/meanwhile = 2\n/mine = 1' ]
}

@test "dom0's daemon killed and started again has lost nothing, and what changed meanwhile fires" {
	start_qube
	q qubesdb-write /mine 1
	qubesdb-write -d work /live 1
	q qubesdb-read -w /live
	q qubesdb-watch -n 2 /name /gone >"$dir/fired" 3>&- &
	local watcher=$!
	sleep 0.5
	qubesdb-write -d work /gone 1
	within 10 q qubesdb-read -q /gone
	kill -9 "$dom0_pid"
	wait "$dom0_pid" || true
	# a change of the qube waits for dom0 to come back
	q qubesdb-write /late 3 3>&- &
	local p=$!
	sleep 0.3
	printf -- '-/gone\0\0' >>"$dir/initial"
	start_dom0
	wait $p
	run -0 qubesdb-multiread -d work -f /l
	[ "$output" = $'/late = 3\n/live = 1' ]
	run -0 qubesdb-read -d work /mine
	[ "$output" = 1 ]
	wait $watcher
	[ "$(cat "$dir/fired")" = $'/gone\n/gone' ]
	run -1 q qubesdb-read /gone
}

@test "a thousand keys go over whole" {
	local i args=()
	for ((i = 0; i < 1000; i++)); do
		args+=("/k/$(printf %04d "$i")" "value $i")
	done
	qubesdb-write -d work "${args[@]}"
	start_qube
	run -0 q qubesdb-multiread -f /k/
	[ "${#lines[@]}" -eq 1000 ]
	[ "${lines[999]}" = "/k/0999 = value 999" ]
	[ "$(qubesdb-list -d work /k/ | sha256sum)" = "$(q qubesdb-list /k/ | sha256sum)" ]
}

@test "both sides writing the same keys end with the same values" {
	start_qube
	q qubesdb-read /name
	local i
	for ((i = 0; i < 30; i++)); do
		q qubesdb-write -q "/both/$((i % 5))" "qube $i" || true
	done 3>&- &
	local p=$!
	for ((i = 0; i < 30; i++)); do
		qubesdb-write -d work "/both/$((i % 7))" "dom0 $i"
	done
	wait $p
	same() { [ "$(qubesdb-multiread -d work /both/)" = "$(q qubesdb-multiread /both/)" ]; }
	within 10 same
}

@test "both daemons are confined while they serve" {
	start_qube
	q qubesdb-read /name
	local p
	for p in "$dom0_pid" "$(pgrep -P "$qube_pid")"; do
		grep -E '^(NoNewPrivs|Seccomp|CapEff)' "/proc/$p/status"
		grep -qP '^Seccomp:\t2$' "/proc/$p/status"
		grep -qP '^NoNewPrivs:\t1$' "/proc/$p/status"
		grep -qP '^CapEff:\t0000000000000000$' "/proc/$p/status"
	done
}

@test "initial entries that are none stop the start" {
	printf '/ok\0001\0/bad path\0002\0' >"$dir/bad"
	run -1 "$libexec/qubesdb-daemon" --initial-fd 9 --socket-dir "$dir" 8 other 9<"$dir/bad"
	[[ $output == *"initial entries"* ]]
	run -2 "$libexec/qubesdb-daemon" 0 work
	run -2 "$libexec/qubesdb-daemon" 7 ../work
	run -2 "$libexec/qubesdb-daemon" --domid 7 --vchan-fd 3 work
}

@test "hostile: garbage, lengths, paths, values and types end the connection, nothing else" {
	local mode
	for mode in lengths values steal garbage; do
		liar $mode
		run -0 qubesdb-read -d work /name
		[ "$output" = work ]
	done
	run -0 qubesdb-list -d work -f ''
	[ "$output" = $'/name\n/qubes-block-devices\n/qubes-service/cups\n/type' ]
	kill -0 "$dom0_pid"
}

@test "hostile: bad paths" {
	liar paths
	run -0 qubesdb-read -d work /name
}

@test "hostile: messages that a qube does not send" {
	liar types
	run -0 qubesdb-read -d work /name
}

@test "hostile: no more than the quota" {
	liar fill
	run -0 qubesdb-list -d work /fill/
	[ -z "$output" ]
}

@test "hostile: a flood of writes leaves dom0 served" {
	liar flood 3>&- &
	local p=$! n
	for n in {1..20}; do # not `i`: `run` has one of its own
		run -0 timeout 5 qubesdb-read -d work /name
		sleep 0.1
	done
	wait $p
}

@test "hostile: a qube that reads nothing costs no memory" {
	liar deaf >"$dir/deaf" 3>&- &
	local p=$!
	within 20 grep -q requests "$dir/deaf"
	run -0 timeout 5 qubesdb-read -d work /name
	local kib
	kib=$(awk '/^VmRSS/ { print $2 }' "/proc/$dom0_pid/status")
	echo "$kib KiB"
	[ "$kib" -lt 8192 ]
	wait $p
}

@test "hostile: a qube that never answers is let go, dom0's writes go on" {
	liar mute >"$dir/mute" 3>&- &
	local p=$! i args=()
	within 10 grep -q connected "$dir/mute"
	for ((i = 0; i < 1100; i++)); do
		args+=("/n/$i" x)
	done
	run -0 qubesdb-write -d work "${args[@]}"
	wait $p
	run -0 qubesdb-read -d work /n/1099
}

@test "hostile: refused without end, and it is cut off with exit code 3" {
	liar refused
	waited "$dom0_pid"
	[ "$status" = 3 ]
	grep -q 'closed to this qube' "$dir/dom0.log"
}

@test "hostile: reconnecting without end, and it is cut off with exit code 3" {
	liar reconnect
	waited "$dom0_pid"
	[ "$status" = 3 ]
}
