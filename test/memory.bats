#!/usr/bin/env bats
# Memory of running qubes, with real ones: given, taken, asked back, and what becomes of it in the host. Waits are long, since a
# guest may get little of a busy processor; nothing here is about how long it takes. A qube that is calm for a minute gives by itself
# what it does not use: nothing here needs it to have that still.
# bats file_tags=machines

bats_require_minimum_version 1.5.0
load lib

start_s=300

setup_file() {
	instance_begin
	appliance_begin a b
	local q
	for q in a b; do
		qvm-prefs $q memory 256
		qvm-prefs $q maxmem 768
		qvm-prefs $q qrexec_timeout 280
	done
	qubes-prefs qubes_maxmem 1152
}

teardown_file() {
	instance_end
}

# has QUBE: MiB it has been given; taken QUBE: MiB that the host counts for its QEMU
has() {
	qvm-ls --raw-data -O assigned "$1"
}
taken() {
	qvm-ls --raw-data -O memory "$1"
}
has_at_least() {
	[ "$(has "$1")" -ge "$2" ]
}
has_at_most() {
	[ "$(has "$1")" -le "$2" ]
}
taken_at_most() {
	[ "$(taken "$1")" -le "$2" ]
}
# in_qube QUBE COMMAND: as root
in_qube() {
	timeout 180 qvm-run -p -u root "$1" "$2"
}
# fill QUBE MIB: a file in memory, besides those that are there; empty QUBE
fill() {
	in_qube "$1" "mkdir -p /fill && { grep -q ' /fill ' /proc/mounts || mount -t tmpfs -o size=2G fill /fill; } && dd if=/dev/zero of=/fill/\$\$ bs=1M count=$2"
}
empty() {
	in_qube "$1" 'umount /fill'
}
# fill_until QUBE LEAST MIB...: one after the other, each as soon as there is enough memory. What it moved to its swap and leaves
# there is not counted for long: some of that is to be taken off what it fills.
fill_until() {
	local q=$1 least=$2 mib
	shift 2
	for mib; do
		fill "$q" "$mib"
		within 120 enough "$q"
	done
	within 120 has_at_least "$q" "$least"
}
# meminfo QUBE WORD: MiB
meminfo() {
	in_qube "$1" "awk '\$1 == \"$2:\" { print int(\$2 / 1024) }' /proc/meminfo"
}
# agreed QUBE: its kernel counts what dom0 says that it has, but for what that keeps to itself
agreed() {
	local total given
	total=$(meminfo "$1" MemTotal)
	given=$(has "$1")
	[ "$total" -le "$given" ] && [ "$total" -ge $((given - 72)) ]
}
# enough QUBE: it has what it uses and an eighth of it all, or its most
enough() {
	local total free
	total=$(meminfo "$1" MemTotal)
	free=$(meminfo "$1" MemAvailable)
	[ $((free * 100)) -ge $((total * 11)) ] || [ "$(has "$1")" -ge "$(qvm-prefs "$1" maxmem)" ]
}
# unharmed QUBE: it answers, has at least what it started with, and its kernel has ended nobody for want of memory
unharmed() {
	has_at_least "$1" 256
	in_qube "$1" 'said=$(dmesg) && test -n "$said" && ! echo "$said" | grep -i -e "out of memory" -e "oom-kill"'
}
# said QUBE: how often the log has it given or asked for another size
said() {
	grep -c "$1: memory [0-9]* -> " "$BULKHEAD_HOME/state/log/qubesd.log" || true
}
said_more_than() {
	[ "$(said "$1")" -gt "$2" ]
}

@test "a qube that fills its memory is given more, and what it frees leaves the host's" {
	timeout $start_s qvm-start a
	[ "$(has a)" = 256 ]
	fill_until a 400 210 150
	# a guest sees it as memory
	[ "$(meminfo a MemTotal)" -ge 350 ]
	local full
	full=$(taken a)
	[ "$full" -ge 350 ]
	empty a
	within 120 taken_at_most a $((full - 150))
	grep -E 'a: memory [0-9]+ -> [0-9]+ MiB: it uses [0-9]+ of [0-9]+' "$BULKHEAD_HOME/state/log/qubesd.log"
	unharmed a
}

@test "qvm-ls, qvm-top and the statistics tell what a qube has" {
	[ "$(qvm-ls --raw-data -O assigned a)" -ge 256 ]
	qvm-top --json a | jq -e '.[0] | (.memory_max | tonumber) > 256 and (.memory_used | tonumber) > 0'
	timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" < <(printf 'admin.vm.Stats dom0 name a\0') >"$BULKHEAD_HOME/stats" &
	within 60 grep -q memory_with_swap_used "$BULKHEAD_HOME/stats"
	kill $! 2>/dev/null || true
	local used
	used=$(tr '\0' '\n' <"$BULKHEAD_HOME/stats" | grep -A1 -m1 '^memory_with_swap_used$' | tail -n 1)
	[ "$used" -gt 10000 ]
	[ "$used" -lt $((768 * 1024)) ]
}

@test "with pressure the idle one gives first" {
	timeout $start_s qvm-start b
	# a has what it does not need any more, and works no more
	fill a 360
	within 120 has_at_least a 400
	empty a
	fill_until b 640 210 150 230
	has_at_most a $((1152 - 640))
	[ $(($(has a) + $(has b))) -le 1152 ]
	# neither starves
	unharmed a
	unharmed b
}

@test "qubesd is killed while a size changes: the next one knows what each has, and goes on" {
	local n filling
	# b gives back what it had, so that it has to grow again
	empty b
	qvm-prefs b maxmem 384
	within 120 has_at_most b 384
	qvm-prefs b maxmem 768
	n=$(said b)
	fill b 500 3>&- &
	filling=$!
	within 120 said_more_than b "$n"
	kill -9 "$(instance_processes | while read -r p; do [ "$(cat "/proc/$p/comm")" != qubesd ] || echo "$p"; done)"
	timeout 60 bulkhead start
	wait $filling
	# what it was promised comes, and then what it lacks still
	within 120 has_at_least b 520
	within 120 enough b
	[ $(($(has a) + $(has b))) -le 1152 ]
	unharmed a
	unharmed b
	# what is freed goes back, as before, but for what is in its swap and what lies between pages in use; and dom0 and the guest mean the
	# same size, but for what a kernel keeps to itself
	local full held
	full=$(taken b)
	held=$(meminfo b Shmem)
	echo "taken: $full MiB, files: $held MiB"
	[ "$held" -ge 150 ]
	empty b
	within 120 taken_at_most b $((full - held * 6 / 10))
	qvm-prefs b maxmem 512
	within 120 has_at_most b 512
	within 120 agreed b
}

@test "a start asks others for what they do not use, or is refused with figures" {
	qvm-create --template appliance --label red --property memory=256 --property maxmem=0 --property qrexec_timeout=280 c
	qvm-create --template appliance --label red --property memory=400 d
	fill b 350
	within 120 has_at_least b 400
	empty b
	qubes-prefs qubes_maxmem 800
	timeout $start_s qvm-start c
	[ $(($(has a) + $(has b) + $(has c))) -le 800 ]
	# one that is not to be balanced has nothing that could come and go
	[ "$(has c)" = 256 ]
	run ! timeout 60 qvm-run -p c 'ls -d /sys/bus/virtio/drivers/virtio_mem/virtio*'
	run timeout 60 qvm-start d
	[ "$status" != 0 ]
	[[ $output == *"Not enough memory to start 'd': it needs 400 MiB, and 768 of the 800 MiB"* ]]
	[ "$(state d)" = Halted ]
	qvm-kill c
}

@test "a guest that lets nobody take memory from it, and says nothing any more, harms nobody" {
	qubes-prefs qubes_maxmem 1152
	qvm-prefs b maxmem 768
	fill_until b 560 210 150 190
	in_qube b 'cd /sys/bus/virtio/drivers && for d in virtio_mem virtio_balloon; do for v in $d/virtio*; do echo ${v##*/} >$d/unbind & done; done; sleep 1' || true
	fill a 400
	# of what is left for it
	within 120 has_at_least a 336
	[ $(($(has a) + $(has b))) -le 1152 ]
	unharmed a
	qvm-kill b
	# and now the rest
	fill a 150
	within 120 has_at_least a 500
	unharmed a
}
