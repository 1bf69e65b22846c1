#!/usr/bin/env bats
# What goes wrong around a qube: too little of something, something damaged or missing, a guest that never answers, and
# kill -9 of each of dom0's processes at any moment. Each time: the cause is said, nothing is left behind, and what the guest had
# synced is there at the next start.
# shellcheck shell=bash disable=SC2016
# bats file_tags=alone,machines

bats_require_minimum_version 1.5.0
load lib
# shellcheck source=test/lib.bash
: "${top:?}"

# bounds, not expectations: the guests are emulated and share the processors with others
start_s=600
answer_s=120

setup_file() {
	instance_begin
	appliance_begin q
	qvm-prefs q qrexec_timeout $((start_s - 20))
}

teardown_file() {
	instance_end
}

setup() {
	bulkhead start >&2
}

teardown() {
	timeout 60 bulkhead start >&2 || true
	timeout $answer_s qvm-kill q 2>/dev/null || true
	within $answer_s is q Halted
	qvm-prefs --default q kernelopts
	qvm-prefs q qrexec_timeout $((start_s - 20))
	qvm-prefs --default q memory
}

# is QUBE STATE
is() {
	[ "$(state "$1")" = "$2" ]
}

# settled QUBE: nothing works on it any more
settled() {
	local s
	s=$(state "$1")
	[ "$s" = Halted ] || [ "$s" = Running ]
}

# the instance's processes called NAME; jobs of qubesd are not qubesd
processes() {
	local p comm args
	for p in $(instance_processes); do
		{ read -r comm <"/proc/$p/comm" && mapfile -d '' args <"/proc/$p/cmdline"; } 2>/dev/null || continue
		[ "$comm" = "$1" ] && [ "${args[1]-}" != --job ] || continue
		echo "$p"
	done
}

# wants_none NAME...: no such process of this instance
wants_none() {
	local name
	for name in "$@"; do
		[ -z "$(processes "$name")" ] || return 1
	done
}

# halt_is_whole: q is Halted, and nothing of a run is left: processes, sockets, files, images
halt_is_whole() {
	local left
	is q Halted
	wants_none qube-monitor qemu-system-x86 vchand qubesdb-daemon qrexec-daemon
	left=$(find "$BULKHEAD_HOME"/run/q/ "$BULKHEAD_HOME"/run/qubes/ -mindepth 1 ! -name policy.sock 2>/dev/null || true)
	echo "left in run: $left"
	[ -z "$left" ]
	left=$(find "$(volumes)" -path '*/private' -prune -o -type f -print)
	echo "left in the pool: $left"
	[ -z "$left" ]
}

# the folder of q's volumes
volumes() {
	echo "$BULKHEAD_HOME/state/pools/default/vm/$(qvm-prefs q uuid)"
}

# refused PATTERN: q does not start, the cause is said, and nothing is left
refused() {
	run timeout $start_s qvm-start q
	refusal_is "$1"
}

# refusal_is PATTERN: the qvm-start that was run
refusal_is() {
	echo "$output"
	[ "$status" = 1 ]
	[[ $output =~ $1 ]]
	halt_is_whole
}

start_q() {
	timeout $start_s qvm-start --skip-if-running q >&2
}

# in_q COMMAND, as root
in_q() {
	timeout $answer_s qvm-run -p -u root q "$1" </dev/null
}

answers_in_q() {
	[ "$(in_q 'echo fine' 2>/dev/null)" = fine ]
}

kill_9() {
	local p
	[ $# -gt 0 ]
	for p in "$@"; do
		kill -9 "$p"
	done
}

kill_qubesd() {
	local pid
	pid=$(processes qubesd)
	kill_9 $pid
	within 20 wants_none qubesd
}

# moments N MAX: so many delays up to MAX seconds, other ones at each run; BATS_SEED repeats them
moments() {
	local n=$1
	RANDOM=${BATS_SEED:-$$}
	echo "BATS_SEED=${BATS_SEED:-$$}" >&2
	while [ $((n--)) -gt 0 ]; do
		# short ones more often
		echo $((RANDOM % 3)) $((RANDOM % 1000)) | awk -v m="$2" '{ x = $2 / 1000; print $1 ? x * x * m : x * x * x * m }'
	done
}

@test "more memory than there is: said before anything is made" {
	qvm-prefs q memory $(($(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo) - 40))
	refused 'memory'
}

@test "a full disk: said, and the qube starts once there is room" {
	if [ "$(id -u)" != 0 ]; then
		again_as_root
		return
	fi
	local small=$BULKHEAD_HOME/small vm
	vm=$(volumes)
	mkdir "$small"
	mount -t tmpfs -o size=256k small "$small" || skip "no mounting here"
	cp -a "$vm/." "$small/"
	mount --bind "$small" "$vm"
	head -c 1M /dev/zero >"$small/filler" 2>/dev/null || true
	run timeout $start_s qvm-start q
	rm "$small/filler"
	umount "$vm"
	umount "$small"
	rmdir "$small"
	refusal_is 'full|space'
}

@test "QEMU is missing, or is no QEMU" {
	bulkhead stop
	BULKHEAD_QEMU=/nonexistent/qemu bulkhead start
	refused 'QEMU'
	bulkhead stop
	BULKHEAD_QEMU=$(command -v false) bulkhead start
	refused 'QEMU'
	bulkhead stop
}

# newest DIR: the last revision of a volume, which others rest on
newest() {
	find "$1" -name '*.qcow2' | sort -V | tail -n 1
}

# over FILE SOURCE: the first eight bytes of the source (- = our input) go over those of a file that is not for writing
over() {
	local mode
	mode=$(stat -c %a "$1")
	chmod u+w "$1"
	head -c 8 "$2" | dd of="$1" conv=notrunc status=none
	chmod "$mode" "$1"
}

@test "damaged images: the volume is named, the others untouched, and mended it starts" {
	local file
	for file in "$(volumes)"/private/*.qcow2 "$(newest "$BULKHEAD_HOME/state/pools/default/vm/$(qvm-prefs appliance uuid)/root")"; do
		head -c 8 "$file" >"$BATS_TEST_TMPDIR/was"
		over "$file" - <<<'garbage!'
		run timeout $start_s qvm-start q
		over "$file" "$BATS_TEST_TMPDIR/was"
		echo "$file"
		refusal_is "volume '$(basename "$(dirname "$file")")' cannot be used: .*$(basename "$file") is not a sound qcow2"
	done
	start_q
	answers_in_q
}

@test "a damaged kernel: the qube ends with a reason" {
	local kernel
	for kernel in "$BULKHEAD_HOME"/state/kernels/*/vmlinuz; do
		mv "$kernel" "$kernel.was"
		head -c 3000 "$kernel.was" >"$kernel"
	done
	run timeout $start_s qvm-start q
	for kernel in "$BULKHEAD_HOME"/state/kernels/*/vmlinuz; do
		mv "$kernel.was" "$kernel"
	done
	refusal_is 'kernel|QEMU'
}

@test "a guest that never answers is killed after qrexec_timeout, and that is said" {
	qvm-prefs q kernelopts 'init=/bin/cat'
	qvm-prefs q qrexec_timeout 20
	refused 'did not answer|never answered|qrexec_timeout'
	[[ $output == *qrexec_timeout* ]]
}

@test "a guest that ends as it starts: said at once" {
	qvm-prefs q kernelopts 'init=/bin/true'
	refused 'ended|powered|reboot|shut'
}

# said WORDS: how often qubesd has logged so
said() {
	grep -c "$1" "$BULKHEAD_HOME/state/log/qubesd.log" || true
}

# dies_at_start COMMAND: q's next start runs that as root before its agent is there, if /rw/deaths says so; the line is used up
dies_at_start() {
	in_q "printf '%s\n' '#!/bin/sh' 'read -r n </rw/deaths && [ \$n -gt 0 ] || exit 0' 'echo \$((n - 1)) >/rw/deaths; sync' '$1' 'sleep 1000' >/rw/config/rc.local
		chmod +x /rw/config/rc.local; sync"
}

@test "a guest that dies before its agent was there is booted once more, and not a third time" {
	local how before was
	for how in 'poweroff -f' 'echo c >/proc/sysrq-trigger'; do
		start_q
		dies_at_start "$how"
		in_q 'echo 1 >/rw/deaths; sync'
		timeout $start_s qvm-shutdown --wait q
		before=$(said 'q: .*booting once more')
		run timeout $start_s qvm-start q
		echo "$how: $output"
		[ "$status" = 0 ]
		[ "$(said 'q: .*booting once more')" = $((before + 1)) ]
		[ "$(in_q 'cat /rw/deaths')" = 0 ]
		# what runs is a qube like any other
		is q Running
		in_q 'echo 3 >/rw/deaths; sync'
		timeout $start_s qvm-shutdown --wait q
		before=$(said 'q: .*booting once more')
		refused 'powered itself off|rebooted, or its kernel crashed'
		[ "$(said 'q: .*booting once more')" = $((before + 1)) ]
		# two of three are used up: the first boot of this start is the third
		was=$(said 'q: running')
		start_q
		[ "$(in_q 'cat /rw/deaths')" = 0 ]
		[ "$(said 'q: running')" = $((was + 1)) ]
		timeout $start_s qvm-shutdown --wait q
	done
	start_q
	in_q 'rm /rw/config/rc.local; sync'
	timeout $start_s qvm-shutdown --wait q
	halt_is_whole
}

@test "a guest without a sign of life is booted once more, and a kill ends that" {
	local before
	qvm-prefs q kernelopts 'init=/bin/cat'
	qvm-prefs q qrexec_timeout 60
	before=$(said 'q showed no sign of life within 30 s; booting once more')
	timeout $start_s qvm-start q >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	once_more() { [ "$(said 'q showed no sign of life within 30 s; booting once more')" = $((before + 1)) ]; }
	within 120 once_more
	timeout $answer_s qvm-kill q
	waited $!
	cat "$BATS_TEST_TMPDIR/out"
	[ "$status" = 1 ]
	grep -q 'killed while it started' "$BATS_TEST_TMPDIR/out"
	within $answer_s is q Halted
	halt_is_whole
}

@test "qubesd killed while a qube runs: taken back, with all that can be done to it" {
	start_q
	in_q 'echo kept >/rw/kept; sync'
	local qemu
	qemu=$(processes qemu-system-x86)
	kill_qubesd
	# the qube does not need qubesd to go on
	[ "$(processes qemu-system-x86)" = "$qemu" ]
	bulkhead start
	within $answer_s is q Running
	[ "$(in_q 'cat /rw/kept')" = kept ]
	qvm-pause q
	kill_qubesd
	bulkhead start
	within $answer_s is q Paused
	qvm-unpause q
	answers_in_q
	timeout $start_s qvm-shutdown --wait q
	halt_is_whole
}

@test "qubesd killed while a qube shuts down: it is shutting down afterwards, and powers off though nobody saw it" {
	start_q
	# nothing in it listens to the power button any more
	in_q 'mv /etc/acpi/PWRF /etc/acpi/PWRF.away; echo kept >/rw/kept; sync'
	qvm-prefs q shutdown_timeout 600
	qvm-shutdown q
	is q Halting
	kill_qubesd
	bulkhead start
	within $answer_s is q Halting
	qvm-prefs --default q shutdown_timeout
	timeout $answer_s qvm-kill q
	start_q
	[ "$(in_q 'cat /rw/kept')" = kept ]
	# it goes down by itself while qubesd is away
	in_q 'setsid sh -c "sleep 5; poweroff" >/dev/null 2>&1 &'
	kill_qubesd
	within $answer_s wants_none qube-monitor
	bulkhead start
	is q Halted || within $answer_s is q Halted
	grep -q 'q: halted: it had powered itself off while qubesd was away' "$BULKHEAD_HOME/state/log/qubesd.log"
	halt_is_whole
}

# startable: q comes to rest, and runs
startable() {
	within $start_s settled q
	! is q Halted || halt_is_whole
	start_q
	answers_in_q
}

@test "qubesd killed in the middle of a start" {
	local delay
	for delay in $(moments "$(rounds start 4 40)" 4); do
		timeout $start_s qvm-start q >/dev/null 2>&1 3>&- &
		sleep "$delay"
		echo "after $delay s: $(state q)"
		kill_qubesd
		wait $! || true
		bulkhead start
		startable
		qvm-kill q
		within $answer_s is q Halted
		halt_is_whole
		round_done start
	done
}

@test "qubesd killed in the middle of a stop: what was synced is there" {
	local delay n=0
	for delay in $(moments "$(rounds stop 3 40)" 3); do
		start_q
		in_q "echo $n >/rw/round; sync"
		if [ $((n % 2)) = 0 ]; then
			timeout $start_s qvm-shutdown --wait q >/dev/null 2>&1 &
		else
			timeout $start_s qvm-kill q >/dev/null 2>&1 &
			delay=$(awk -v d="$delay" 'BEGIN { print d / 20 }')
		fi
		sleep "$delay"
		echo "after $delay s: $(state q)"
		kill_qubesd
		wait $! || true
		bulkhead start
		# a guest whose button was pressed goes down, whoever asked for it; if it was not, it stays
		within 20 is q Halted || true
		startable
		[ "$(in_q 'cat /rw/round')" = $n ]
		n=$((n + 1))
		round_done stop
	done
}

made_s() {
	qvm-ls --raw-list | grep -qx s || qvm-create --class StandaloneVM --template appliance --label green s 2>/dev/null
}

@test "qubesd killed while a qube is made or removed: it is whole, or it is not there" {
	local delay
	for delay in $(moments "$(rounds make 8 200)" 0.6); do
		timeout $answer_s qvm-create --class StandaloneVM --template appliance --label green s >/dev/null 2>&1 &
		sleep "$delay"
		kill_qubesd
		wait $! || true
		bulkhead start
		# a half one is on its way out, and its name is free when it is gone
		within $answer_s made_s
		timeout $answer_s qvm-remove -f s >/dev/null 2>&1 &
		sleep "$delay"
		kill_qubesd
		wait $! || true
		bulkhead start
		! qvm-ls --raw-list | grep -qx s || timeout $answer_s qvm-remove -f s
		# as many folders as qubes, but dom0
		within 20 eval '[ "$(ls "$BULKHEAD_HOME/state/pools/default/vm" | wc -l)" = "$(($(qvm-ls --raw-list | wc -l) - 1))" ]'
		round_done make
	done
}

@test "kill -9 of a daemon: it is started again, and qvm-run works as before" {
	start_q
	local name before
	for name in vchand qubesdb-daemon qrexec-daemon; do
		before=$(processes $name)
		kill_9 $before
		within $answer_s eval '[ -n "$(processes $name)" ] && [ "$(processes $name)" != "$before" ]'
		echo "$name"
		within $answer_s answers_in_q
		is q Running
	done
	[ "$(in_q 'qubesdb-read /name')" = q ]
	timeout $start_s qvm-shutdown --wait q
	halt_is_whole
}

@test "a daemon that ends again and again: the qube is killed, and that is said" {
	start_q
	local n p
	for ((n = 0; n < 40; n++)); do
		p=$(processes qrexec-daemon)
		[ -z "$p" ] || kill -9 "$p" 2>/dev/null || true
		! is q Halted || break
		sleep 0.3
	done
	within $answer_s is q Halted
	halt_is_whole
	grep -q 'q: halted: qrexec-daemon ended again and again' "$BULKHEAD_HOME/state/log/qubesd.log"
}

# committed: what no crash may change
committed() {
	(cd "$(volumes)/private" && sha256sum -- *.qcow2)
}

@test "kill -9 of QEMU or of its monitor: halted, private goes on, its last revision is as it was" {
	local name before
	start_q
	in_q 'echo first >/rw/first; sync'
	timeout $start_s qvm-shutdown --wait q
	before=$(committed)
	for name in qemu-system-x86 qube-monitor; do
		start_q
		in_q "echo $name >/rw/flushed; sync"
		# shellcheck disable=SC2046
		kill_9 $(processes $name)
		within $answer_s is q Halted
		halt_is_whole
		[ "$(committed)" = "$before" ]
		start_q
		[ "$(in_q 'cat /rw/first /rw/flushed')" = "first"$'\n'"$name" ]
	done
}

@test "everything killed at once: private has what was synced, and everything starts" {
	local n
	for ((n = $(rounds everything 2 30); n > 0; n--)); do
		start_q
		in_q "echo $n >/rw/cut; sync; (while :; do dd if=/dev/urandom of=/rw/busy bs=64k count=20; sync; done) >/dev/null 2>&1 &"
		# shellcheck disable=SC2046
		kill -9 $(instance_processes) 2>/dev/null || true
		within 60 wants_none qubesd qube-monitor qemu-system-x86 vchand qubesdb-daemon qrexec-daemon
		bulkhead start
		within $answer_s is q Halted
		halt_is_whole
		start_q
		[ "$(in_q 'cat /rw/cut')" = $n ]
		round_done everything
	done
}

@test "kill -9 of anything while a qube is started, stopped, cloned, reverted, imported to: nothing that was flushed or answered is lost" {
	local name=kills n seed=${BATS_SEED:-$$}
	command -v qemu-img >/dev/null || skip "qemu-img is missing (package qemu-utils)"
	n=$(rounds $name 5 500)
	[ "$n" -gt 0 ] || return 0
	! full_counts || seed=$((500 - n))
	timeout 30 qvm-create --template appliance --label red a
	timeout 30 qvm-create --template appliance --label red b
	qvm-prefs a fork True
	qvm-prefs b fork True
	python3 "$top/test/kills.py" "$n" "$seed" ${BULKHEAD_TEST_STATE:+"$BULKHEAD_TEST_STATE/rounds-$name"} 3>&-
	timeout 60 qvm-kill a b
	timeout 60 qvm-remove -f a b
}
