#!/usr/bin/env bats
# A qube whose root turned against dom0, and a second one beside it. For each attack: the second qube and dom0 go on as if
# nothing were, the hostile one is cut off with the reason said or is held within bounds; dom0's memory, its sockets and its
# log stay bounded. Nothing here counts seconds of speed: the guests are emulated and share the processors with others.
# bats file_tags=alone,machines

bats_require_minimum_version 1.5.0
load lib
# shellcheck source=test/lib.bash
: "${top:?}"

# how long each attack goes on at least; how long any answer, any start may take
attack_s=5
answer_s=60
start_s=600

# what the attacks may cost dom0 in all: memory over what it was, all logs, lines of qubesd.log in one attack
more_kib=32768
logs_kib=16384
log_lines=100

setup_file() {
	full_counts && attack_s=120
	export attack_s
	instance_begin
	appliance_begin good evil
	# an emulated guest beside others may take its time
	qvm-prefs good qrexec_timeout $((start_s - 20))
	qvm-prefs evil qrexec_timeout $((start_s - 20))
	timeout $start_s qvm-start good >&2
	timeout $start_s qvm-start evil >&2
	before_kib=$(dom0_kib)
	export before_kib
}

teardown_file() {
	instance_end
}

setup() {
	[ "$(state evil)" = Running ] || timeout $start_s qvm-start evil
	[ "$(state good)" = Running ]
	lines_before=$(wc -l <"$(qubesd_log)")
}

teardown() {
	timeout 60 qvm-kill evil 2>/dev/null || true
	within 60 evil_is_halted
}

qubesd_log() {
	echo "$BULKHEAD_HOME/state/log/qubesd.log"
}

# attack NAME: evil begins it, and goes on by itself
attack() {
	timeout $answer_s qvm-run -p -u root evil 'cat > /tmp/hostile && chmod 755 /tmp/hostile' <"$top/build/test/hostile/hostile"
	timeout $answer_s qvm-run -p -u root evil "setsid /tmp/hostile $1 </dev/null >/dev/null 2>&1 &"
}

# KiB of dom0's memory for this instance, QEMU apart: what is no file's, shared memory counted by each that touched it
dom0_kib() {
	local p n sum=0
	for p in $(instance_processes); do
		case $(cat "/proc/$p/comm" 2>/dev/null) in
		qemu*) ;;
		*)
			# one that ended just now uses nothing
			n=$(awk '/^Rss(Anon|Shmem):/ { n += $2 } END { print n + 0 }' "/proc/$p/status" 2>/dev/null) || n=0
			sum=$((sum + ${n:-0}))
			;;
		esac
	done
	echo $sum
}

logs_now_kib() {
	du -sk "$BULKHEAD_HOME/state/log" | cut -f 1
}

evil_is_halted() {
	[ "$(state evil)" = Halted ]
}

# others_do_not_notice: for as long as the attack lasts, which is over when evil is cut off
others_do_not_notice() {
	local end=$((SECONDS + attack_s)) n=0 kib lines
	while { [ $SECONDS -lt $end ] && ! evil_is_halted; } || [ $n -lt 3 ]; do
		[ "$(timeout $answer_s qvm-run -p good 'echo fine')" = fine ]
		timeout $answer_s qvm-ls --raw-list >/dev/null
		n=$((n + 1))
		kib=$(dom0_kib)
		lines=$(($(wc -l <"$(qubesd_log)") - lines_before))
		echo "round $n: dom0 $kib KiB (before $before_kib), logs $(logs_now_kib) KiB, $lines lines in qubesd.log"
		[ "$kib" -lt $((before_kib + more_kib)) ]
		[ "$(logs_now_kib)" -lt $logs_kib ]
		[ "$lines" -lt $log_lines ]
	done
}

# said PATTERN: qubesd's log has such a line about evil, since this test began
said() {
	tail -n "+$((lines_before + 1))" "$(qubesd_log)" | grep -E "evil: .*($1)"
}

# cut_off PATTERN: evil is no more, without anybody's doing, and the reason is told
cut_off() {
	within 120 evil_is_halted
	said "halted: .*$1"
}

@test "a qube that floods its consoles: the log keeps its last part" {
	attack console
	others_do_not_notice
	within 60 eval '[ "$(du -k "$BULKHEAD_HOME/state/log/guest-evil.log" | cut -f 1)" -gt 64 ]'
	[ "$(state evil)" = Running ]
}

@test "a qube that sends garbage on its port is cut off" {
	attack port-garbage
	others_do_not_notice
	cut_off 'broke the rules of the wire to vchand'
}

@test "a qube that sends zeros on its port is cut off" {
	attack port-zeros
	others_do_not_notice
	cut_off 'broke the rules of the wire to vchand'
}

@test "a qube that begins sessions without end is cut off" {
	attack port-hellos
	others_do_not_notice
	cut_off 'broke the rules of the wire to vchand'
}

@test "a qube that opens and announces what is another's is cut off" {
	attack port-frames
	others_do_not_notice
	cut_off 'broke the rules of the wire to vchand'
}

@test "a qube that takes the port and is silent: dom0 waits for nothing" {
	attack port-mute
	within 60 said 'agent disconnected'
	others_do_not_notice
	# who asks for it waits or is told; nobody else does
	run timeout 10 qvm-run -p --no-autostart evil true </dev/null
	[ "$status" != 0 ]
	others_do_not_notice
}

@test "a qube that listens everywhere: no more sockets in dom0 than it may have" {
	attack listens
	others_do_not_notice
	local n
	n=$(find "$BULKHEAD_HOME"/run/q/*/vchan -type s | wc -l)
	echo "$n sockets"
	[ "$n" -gt 100 ]
	[ "$n" -lt 1100 ]
}

@test "a qube that opens streams without end is cut off" {
	attack streams
	others_do_not_notice
	cut_off 'broke the rules of the wire to qubesdb-daemon'
}

@test "a qube that fills QubesDB and reads no answer is held to its share" {
	attack qubesdb-writes
	others_do_not_notice
	[ "$(timeout $answer_s qvm-run -p good 'qubesdb-read /name')" = good ]
}

@test "a qube that sends garbage to QubesDB is cut off" {
	attack qubesdb-garbage
	others_do_not_notice
	cut_off 'broke the rules of the wire to qubesdb-daemon'
}

@test "a qube that answers qrexec with garbage loses the channel" {
	attack qrexec-garbage
	within 60 said 'agent sent a message that is refused'
	others_do_not_notice
}

@test "a qube whose agent comes and goes without end" {
	attack qrexec-flap
	within 60 said 'lines dropped|more lines|agent disconnected'
	others_do_not_notice
}

@test "a qube that calls services without end: each is refused, few lines" {
	attack qrexec-calls
	within 60 said 'is refused: denied by the policy'
	others_do_not_notice
}

@test "a qube that answers a command with garbage: the call ends with 255" {
	attack qrexec-data
	within 60 said 'agent disconnected'
	within 60 said 'agent connected'
	local code=0
	timeout $answer_s qvm-run -p --no-autostart evil 'echo never' </dev/null || code=$?
	[ $code = 255 ]
	others_do_not_notice
}

@test "afterwards everything is as it was: the hostile qube starts, nothing is left" {
	[ "$(timeout $answer_s qvm-run -p evil 'echo again')" = again ]
	[ "$(timeout $answer_s qvm-run -p good 'echo still')" = still ]
	timeout $start_s qvm-shutdown --wait evil
	[ "$(find "$BULKHEAD_HOME/run/q/" -mindepth 1 -maxdepth 1 | wc -l)" -eq 1 ]
	echo "dom0 $(dom0_kib) KiB, before with both running $before_kib"
	[ "$(dom0_kib)" -lt $((before_kib + 2048)) ]
}
