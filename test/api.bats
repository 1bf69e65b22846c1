#!/usr/bin/env bats
# The Admin API, call by call: qubesd with qubes that run at once and do nothing (vmm/none).
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib

# property QUBE NAME: as it is
property() {
	local answer
	answer=$(call "admin.vm.property.Get+$2" "$1")
	[[ $answer == '0|default='*' type='* ]] || return 1
	answer=${answer#*type=}
	echo "${answer#* }"
}

# hear NAME [QUBE]: events from now on; heard NAME: those so far, one a line, NUL shown as |
hear() {
	printf 'admin.Events dom0 name %s\0' "${2-dom0}" | timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/$1" 3>&- &
	within 10 grep -q connection-established "$BULKHEAD_HOME/$1"
}
heard() {
	tr '\0' '|' <"$BULKHEAD_HOME/$1" | sed 's/||1|/||\n1|/g'
}

@test "a qube is started, paused, shut down and killed, and its state is told" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	[[ $(call admin.vm.Start work) == '0|' ]]
	[[ $(call admin.vm.CurrentState work) == "0|mem=409600 mem_static_max=$(($(property work maxmem) * 1024)) cputime=0 power_state=Running" ]]
	[ "$(property work xid)" -gt 0 ]
	[[ $(call admin.vm.Start work) == '0|' ]]
	[[ $(call admin.vm.Pause work) == '0|' ]]
	[[ $(call admin.vm.List work) == '0|work class=AppVM state=Paused uuid='* ]]
	[[ $(call admin.vm.Unpause work) == '0|' ]]
	[[ $(call admin.vm.Shutdown+wait work) == '0|' ]]
	[[ $(call admin.vm.List work) == '0|work class=AppVM state=Halted uuid='* ]]
	[ "$(property work xid)" = -1 ]
	[[ $(call admin.vm.Start work) == '0|' ]]
	[[ $(call admin.vm.Kill work) == '0|' ]]
	[[ $(call admin.vm.List work) == *state=Halted* ]]
}

@test "a qube that found no room goes on when there is some, one that was paused as well does not" {
	make_template tmpl
	make_app work tmpl
	make_app other tmpl
	kernel_set
	local q
	for q in work other; do
		[[ $(call admin.vm.property.Set+kernelopts $q none.full) == '0|' ]]
	done
	hear events
	[[ $(call admin.vm.Start work) == '0|' ]]
	within 20 eval '[[ $(call admin.vm.List work) == *state=Paused* ]]'
	grep -q 'work: paused: no room' "$BULKHEAD_HOME/log"
	[[ $(call admin.vm.Pause work) == '0|' ]]
	[[ $(call admin.vm.Pause work) == '2|QubesVMNotRunningError||'*'paused already'* ]]
	# it has to be tried twice; all that stand still have been looked at by then
	[[ $(call admin.vm.Start other) == '0|' ]]
	within 60 eval '[ "$(heard events | grep -c "^1|other|domain-paused|")" = 2 ] && [[ $(call admin.vm.List other) == *state=Running* ]]'
	[[ $(call admin.vm.List work) == *state=Paused* ]]
	[[ $(call admin.vm.Unpause work) == '0|' ]]
	within 60 eval '[[ $(call admin.vm.List work) == *state=Running* ]]'
	[[ $(call admin.vm.Shutdown+wait work) == '0|' ]]
}

@test "a pool that fills up is told at 80, 90 and 95 percent, and nothing new begins in a full one" {
	if [ "$(id -u)" != 0 ]; then
		again_as_root
		return
	fi
	make_template tmpl
	make_app work tmpl
	make_app other tmpl
	kernel_set
	daemon_stop
	mkdir "$BULKHEAD_HOME/disk"
	mount -t tmpfs -o size=100m disk "$BULKHEAD_HOME/disk" || skip "no mounting here"
	cp -a "$BULKHEAD_HOME/state/." "$BULKHEAD_HOME/disk/"
	mv "$BULKHEAD_HOME/state" "$BULKHEAD_HOME/state.was"
	ln -s disk "$BULKHEAD_HOME/state"
	daemon_start
	hear events
	[[ $(call admin.vm.Start work) == '0|' ]]
	local level base
	base=$(df -BM --output=used "$BULKHEAD_HOME/disk" | tail -n 1)
	for level in 80 90 95; do
		fallocate -l $((level + 2 - ${base%M}))M "$BULKHEAD_HOME/disk/filler"
		within 30 eval 'heard events | grep -q "^1||pool-level|pool|default|level|$level|percent|"'
		grep -q "pool default: .* in use, .* MiB are left" "$BULKHEAD_HOME/log"
	done
	[[ $(call bulkhead.Status dom0) == *$'\nfullest_pool=default\nfullest_percent=9'[5-9]$'\nn_full=0\n'* ]]
	[[ $(call admin.vm.Start other) == '2|StoragePoolException||'*'nearly full'*'less than 16 MiB'* ]]
	[[ $(call admin.vm.List other) == *state=Halted* ]]
	[[ $(call admin.vm.Create.AppVM+tmpl dom0 'name=more label=red') == '2|StoragePoolException||'*'nearly full'* ]]
	[[ $(call admin.vm.List work) == *state=Running* ]]
	rm "$BULKHEAD_HOME/disk/filler"
	within 30 eval 'heard events | grep -q "^1||pool-level|pool|default|level|0|percent|"'
	[ "$(heard events | grep -c '|pool-level|')" = 4 ]
	[[ $(call admin.vm.Start other) == '0|' ]]
	[[ $(call admin.vm.Shutdown+wait work) == '0|' ]]
	[[ $(call admin.vm.Shutdown+wait other) == '0|' ]]
	daemon_stop
	umount "$BULKHEAD_HOME/disk"
}

@test "a pool by the name of one that was removed is another: its level is told anew" {
	if [ "$(id -u)" != 0 ]; then
		again_as_root
		return
	fi
	make_template tmpl
	kernel_set
	mkdir "$BULKHEAD_HOME/disk"
	mount -t tmpfs -o size=100m disk "$BULKHEAD_HOME/disk" || skip "no mounting here"
	fallocate -l 81M "$BULKHEAD_HOME/disk/filler"
	hear events
	local n
	for n in 1 2; do
		[ "$(call admin.pool.Add+qcow2 dom0 "name=small\ndir_path=$BULKHEAD_HOME/disk/$n\n")" = '0|' ]
		[ "$(call admin.vm.CreateInPool.AppVM+tmpl dom0 'name=work label=red pool:private=small')" = '0|' ]
		[ "$(call admin.vm.Start work)" = '0|' ]
		within 30 eval '[ "$(heard events | grep -c "^1||pool-level|pool|small|level|80|percent|")" = $n ]'
		[ "$(call admin.vm.Kill work)" = '0|' ]
		removed work
		[ "$(call admin.pool.Remove+small dom0)" = '0|' ]
	done
	umount "$BULKHEAD_HOME/disk"
}

@test "what does not start says why, what does not shut down goes on" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	[[ $(call admin.vm.property.Set+kernelopts work none.fail) == '0|' ]]
	[[ $(call admin.vm.Start work) == '2|QubesVMError||'*'told not to'* ]]
	[[ $(call admin.vm.List work) == *state=Halted* ]]
	[[ $(call admin.vm.property.Set+kernelopts work none.deaf) == '0|' ]]
	[[ $(call admin.vm.property.Set+shutdown_timeout work 1) == '0|' ]]
	[[ $(call admin.vm.Start work) == '0|' ]]
	[[ $(call admin.vm.Shutdown+wait work) == '2|QubesVMShutdownTimeoutError||'* ]]
	[[ $(call admin.vm.List work) == *state=Running* ]]
}

@test "qvm-run that cannot reach a qube says so, without -p too" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	run -125 timeout 20 qvm-run work true
	[[ $output == *'could not be run'* ]]
	run -125 timeout 20 qvm-run -q work true
	[ -z "$output" ]
}

@test "a qube that is paused while it shuts down is still shutting down under another qubesd" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	[[ $(call admin.vm.property.Set+kernelopts work none.deaf) == '0|' ]]
	[[ $(call admin.vm.property.Set+shutdown_timeout work 600) == '0|' ]]
	[[ $(call admin.vm.Start work) == '0|' ]]
	[[ $(call admin.vm.Shutdown work) == '0|' ]]
	[[ $(call admin.vm.Pause work) == '0|' ]]
	daemon_kill
	daemon_start
	within 20 eval '[[ $(call admin.vm.List work) == *state=Paused* ]]'
	[[ $(call admin.vm.Unpause work) == '0|' ]]
	[[ $(call admin.vm.List work) == *state=Halting* ]]
	[[ $(call admin.vm.Kill work) == '0|' ]]
	# one that was only paused is not
	[[ $(call admin.vm.Start work) == '0|' ]]
	[[ $(call admin.vm.Pause work) == '0|' ]]
	daemon_kill
	daemon_start
	within 20 eval '[[ $(call admin.vm.List work) == *state=Paused* ]]'
	[[ $(call admin.vm.Unpause work) == '0|' ]]
	[[ $(call admin.vm.List work) == *state=Running* ]]
}

@test "a qube outlives qubesd" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	[[ $(call admin.vm.Start work) == '0|' ]]
	daemon_kill
	daemon_start
	[[ $(call admin.vm.List work) == *state=Running* ]]
	[[ $(call admin.vm.Shutdown+wait work) == '0|' ]]
}

@test "one that runs and cannot be followed is not halted; one that nobody knows is killed, and says its name or not" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	[[ $(call admin.vm.Start work) == '0|' ]]
	daemon_kill
	touch "$BULKHEAD_HOME/run/none/unreached"
	run -1 timeout 60 "$qubesd"
	[[ $output == *"runs, and cannot be followed"* ]]
	rm "$BULKHEAD_HOME/run/none/unreached"
	printf 'stray\n%s\n400 0\n\n' 5e9a4b1c-0000-4000-8000-000000000001 >"$BULKHEAD_HOME/run/none/901"
	printf '\n\n400 0\n\n' >"$BULKHEAD_HOME/run/none/902"
	daemon_start
	[[ $(call admin.vm.List work) == *state=Running* ]]
	[ ! -e "$BULKHEAD_HOME/run/none/901" ]
	[ ! -e "$BULKHEAD_HOME/run/none/902" ]
	[[ $(call admin.vm.Shutdown+wait work) == '0|' ]]
}

@test "told to end, qubesd takes its sockets with it" {
	[ -S "$BULKHEAD_HOME/run/policy.sock" ]
	kill "$daemon"
	wait "$daemon"
	daemon=
	run -0 find "$BULKHEAD_HOME/run/" -type s
	[ -z "$output" ]
	daemon_start
}

@test "this qubesd refuses an instance that is not a test's" {
	daemon_stop
	local home=$BULKHEAD_HOME/user
	mkdir -p "$home/run"
	run -1 env -u BULKHEAD_HOME HOME="$home" XDG_RUNTIME_DIR="$home/run" XDG_STATE_HOME="$home" XDG_CONFIG_HOME="$home" XDG_DATA_HOME="$home" timeout 20 "$qubesd"
	[[ $output == *'for tests: set BULKHEAD_HOME'* ]]
	daemon_start
}

@test "notes: text as it was written, but for what deceives who reads it" {
	make_template tmpl
	[ "$(call admin.vm.notes.Get tmpl)" = '0|' ]
	[ "$(call admin.vm.notes.Set tmpl 'two\n\tlines, 50%% ä \x1b[1m\342\200\256.')" = '0|' ]
	[ "$(call admin.vm.notes.Get tmpl)" = $'0|two\n\tlines, 50% ä _[1m_.' ]
	daemon_kill
	daemon_start
	[ "$(call admin.vm.notes.Get tmpl)" = $'0|two\n\tlines, 50% ä _[1m_.' ]
	[[ $(call admin.vm.notes.Set tmpl 'bad \377') == '2|ProtocolError||'* ]]
	[[ $(call admin.vm.notes.Get tmpl) == '0|two'* ]]
	[ "$(call admin.vm.notes.Set tmpl)" = '0|' ]
	[ "$(call admin.vm.notes.Get tmpl)" = '0|' ]
	[[ $(call admin.vm.notes.Get dom0) == '2|ProtocolError||'* ]]
	[ "$(head -c 65000 /dev/zero | tr '\0' x | cat <(printf 'admin.vm.notes.Set dom0 name tmpl\0') - | socat -t20 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" | tr '\0' '|')" = '0|' ]
	[ "$(call admin.vm.notes.Get tmpl | wc -c)" = 65002 ]
}

@test "firewall: rules are kept in their one form, an expired one is gone, a bad one leaves all as it was" {
	make_template tmpl
	make_app work tmpl
	[ "$(call admin.vm.firewall.Get work)" = $'0|action=accept' ]
	hear events
	local later=$((EPOCHSECONDS + 1000))
	[ "$(call admin.vm.firewall.Set work "action=accept proto=tcp dsthost=1.2.3.4 dstports=22\naction=accept expire=$later comment=for a while, 100%%\naction=drop expire=1000\naction=drop comment=x")" = '0|' ]
	local rules=$'0|action=accept dst4=1.2.3.4/32 dstports=22-22 proto=tcp\naction=accept expire='$later$' comment=for a while, 100%\naction=drop comment=x'
	[ "$(call admin.vm.firewall.Get work)" = "$rules" ]
	[[ $(call admin.vm.firewall.Set work 'action=accept\naction=reject') == '2|QubesValueError||rule 2: '* ]]
	[[ $(call admin.vm.firewall.Set work 'action=accept\n\naction=drop') == '2|QubesValueError||rule 2: '* ]]
	[[ $(call admin.vm.firewall.Set work 'action=accept dstports=22') == '2|QubesValueError||'* ]]
	[[ $(call admin.vm.firewall.Set work '\n') == '2|QubesValueError||'* ]]
	# no rule is not what nobody has said anything about
	[ "$(call admin.vm.firewall.Set tmpl)" = '0|' ]
	[[ $(call admin.vm.firewall.Set dom0 'action=drop') == '2|ProtocolError||'* ]]
	daemon_kill
	daemon_start
	[ "$(call admin.vm.firewall.Get work)" = "$rules" ]
	[ "$(call admin.vm.firewall.Get tmpl)" = '0|' ]
	[ "$(heard events | grep -c '^1|work|firewall-changed|')" = 1 ]
	hear again work
	[ "$(call admin.vm.firewall.Reload work)" = '0|' ]
	within 5 grep -q firewall-changed "$BULKHEAD_HOME/again"
}

@test "a qube is suspended and resumed" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	[[ $(call admin.vm.Suspend work) == '2|QubesVMNotRunningError||'* ]]
	[[ $(call admin.vm.Resume work) == '2|QubesVMNotSuspendedError||'* ]]
	[ "$(call admin.vm.Start work)" = '0|' ]
	[[ $(call admin.vm.Resume work) == '2|QubesVMNotSuspendedError||'* ]]
	hear events work
	[ "$(call admin.vm.Suspend work)" = '0|' ]
	[[ $(call admin.vm.CurrentState work) == *power_state=Suspended ]]
	[[ $(call admin.vm.Suspend work) == '2|QubesVMNotRunningError||'* ]]
	[ "$(call admin.vm.Resume work)" = '0|' ]
	[[ $(call admin.vm.CurrentState work) == *power_state=Running ]]
	[ "$(heard events | tail -n +2 | cut -d '|' -f 3 | tr '\n' ' ')" = 'domain-pre-paused domain-paused domain-pre-unpaused domain-unpaused domain-resumed ' ]
	[[ $(call admin.vm.Suspend dom0) == '2|QubesVMError||'* ]]
}

@test "statistics: running qubes, every stats_interval, to who asks" {
	make_template tmpl
	make_app work tmpl
	make_app other tmpl
	kernel_set
	[ "$(call admin.property.Set+stats_interval dom0 1)" = '0|' ]
	[ "$(call admin.vm.Start work)" = '0|' ]
	stats() { printf 'admin.vm.Stats dom0 name %s\0' "$1" | timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/stats-$1" 3>&- & }
	stats dom0
	stats other
	told() { [ "$(heard stats-dom0 | grep -c '^1|work|vm-stats|')" -ge 2 ]; }
	within 20 told
	heard stats-dom0
	[ "$(heard stats-dom0 | head -n 1)" = '1||connection-established||' ]
	heard stats-dom0 | grep -q '^1|work|vm-stats|memory_kb|409600|memory_assigned_total|409600|memory_assigned_usable|409600|memory_with_swap_used|409600|cpu_time|0|cpu_usage|0|online_vcpus|2||$'
	heard stats-dom0 | grep -qE '^1\|dom0\|vm-stats\|memory_kb\|[1-9][0-9]*\|.*\|cpu_time\|[1-9]'
	[ "$(heard stats-other)" = '1||connection-established||' ]
	# no events of other kinds there, and none of these on admin.Events
	hear events
	[ "$(call admin.vm.Kill work)" = '0|' ]
	run ! grep -q domain-shutdown "$BULKHEAD_HOME/stats-dom0"
	run ! grep -q vm-stats "$BULKHEAD_HOME/events"
}

@test "a stream about a qube that is gone hears nothing of the next one" {
	make_template tmpl
	make_app work tmpl
	hear gone work
	local qid
	qid=$(property work qid)
	[ "$(call admin.vm.Remove work)" = '0|' ]
	make_app next tmpl
	[ "$(property next qid)" = "$qid" ]
	hear all
	[ "$(call admin.vm.tag.Set+mine next)" = '0|' ]
	within 5 grep -q 'domain-tag-add:mine' "$BULKHEAD_HOME/all"
	run ! grep -q 'domain-tag-add' "$BULKHEAD_HOME/gone"
}

@test "volumes: imported, cleared, not to be written, and what is refused" {
	make_template tmpl
	make_app work tmpl
	head -c 20000 /dev/urandom >"$BULKHEAD_HOME/image"
	import() { { printf 'admin.vm.volume.%s dom0 name work\0' "$1"; cat; } | timeout 20 socat -t20 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" | tr '\0' '|'; }
	hear events
	[ "$({ echo 20000; cat "$BULKHEAD_HOME/image"; } | import ImportWithSize+private)" = '0|' ]
	heard events | grep -q '^1|work|domain-volume-import-begin|volume|private|size|20000||$'
	heard events | grep -q '^1|work|domain-volume-import-end|volume|private|success|True||$'
	[[ $({ echo 20001; cat "$BULKHEAD_HOME/image"; } | import ImportWithSize+private) == '2|ProtocolError||'* ]]
	[[ $({ echo -5; cat "$BULKHEAD_HOME/image"; } | import ImportWithSize+private) == '2|ProtocolError||'* ]]
	[[ $(import ImportWithSize+private <<<'12') == '2|ProtocolError||'* ]]
	[[ $(import Import+private <"$BULKHEAD_HOME/image") == '2|ProtocolError||'*2147483648* ]]
	[[ $({ echo 20000; cat "$BULKHEAD_HOME/image"; } | import ImportWithSize+root) == '2|StoragePoolException||'* ]]
	[[ $({ echo 20000; cat "$BULKHEAD_HOME/image"; } | import ImportWithSize+none) == '2|PermissionDenied||'* ]]
	[ "$(call admin.vm.volume.ListSnapshots+private work | grep -c -- -)" = 1 ]
	[ "$(call admin.vm.volume.Clear+private work)" = '0|' ]
	[[ $(call admin.vm.volume.Clear+volatile work) == '2|StoragePoolException||'* ]]
	[[ $(call admin.vm.volume.Clear+kernel work) == '2|QubesException||'* ]]
	[ "$(call admin.vm.volume.Set.rw+private work False)" = '0|' ]
	[[ $(call admin.vm.volume.Info+private work) == *$'\nrw=False\n'* ]]
	[[ $(call admin.vm.volume.Set.rw+private work maybe) == '2|ProtocolError||'* ]]
	[ "$(call admin.vm.volume.Set.rw+private work yes)" = '0|' ]
	[[ $(call admin.vm.volume.Set.ephemeral+volatile work maybe) == '2|ProtocolError||'* ]]
	[ "$(call admin.vm.volume.Set.ephemeral+volatile work True)" = '0|' ]
	[[ $(call admin.vm.volume.Info+volatile work) == *$'\nephemeral=True\n'* ]]
	[ "$(call admin.vm.volume.Set.ephemeral+volatile work False)" = '0|' ]
	# a volume that says nothing is as its pool has it, one that does is not
	[ "$(call admin.pool.Set.ephemeral_volatile+default dom0 True)" = '0|' ]
	[[ $(call admin.pool.Info+default dom0) == *$'\nephemeral_volatile=True\n'* ]]
	[[ $(call admin.vm.volume.Info+volatile work) == *$'\nephemeral=False\n'* ]]
	[[ $(call admin.vm.volume.Info+volatile tmpl) == *$'\nephemeral=True\n'* ]]
	[[ $(call admin.vm.volume.Info+private tmpl) == *$'\nephemeral=False\n'* ]]
	[ "$(call admin.pool.Set.ephemeral_volatile+default dom0 False)" = '0|' ]
	[[ $(call admin.vm.volume.Info+volatile tmpl) == *$'\nephemeral=False\n'* ]]
	[[ $(call admin.vm.volume.Set.ephemeral+private work True) == '2|StoragePoolException||'* ]]
	kernel_set
	[ "$(call admin.vm.Start work)" = '0|' ]
	[[ $(call admin.vm.volume.Clear+private work) == '2|QubesVMNotHaltedError||'* ]]
	[[ $(call admin.vm.volume.Set.rw+private work False) == '2|QubesVMNotHaltedError||'* ]]
}

@test "an import makes a volume as large as it must be, and holds what came" {
	make_template tmpl
	make_app small tmpl

	[ "$(call admin.vm.volume.Resize+private small 4096)" = '0|' ]
	head -c 20000 /dev/urandom >"$BULKHEAD_HOME/image"
	import() { { printf 'admin.vm.volume.%s dom0 name small\0' "$1"; cat; } | timeout 20 socat -t20 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" | tr '\0' '|'; }
	[[ $(import Import+private <"$BULKHEAD_HOME/image") == '2|ProtocolError||'*4096* ]]
	[ "$(head -c 4096 "$BULKHEAD_HOME/image" | import Import+private)" = '0|' ]
	[ "$({ echo 20000; cat "$BULKHEAD_HOME/image"; } | import ImportWithSize+private)" = '0|' ]
	[[ $(call admin.vm.volume.Info+private small) == *$'\nsize=20480\n'* ]]
	# what its newest file holds
	held() { qemu-img convert -O raw "$(find "$BULKHEAD_HOME/state/pools/default/vm/$(property small uuid)/private" -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)" "$BULKHEAD_HOME/raw"; }
	held
	head -c 20000 "$BULKHEAD_HOME/raw" | cmp - "$BULKHEAD_HOME/image"
	[ "$(call admin.vm.volume.Clear+private small)" = '0|' ]
	[[ $(call admin.vm.volume.Info+private small) == *$'\nsize=20480\n'* ]]
	held
	cmp "$BULKHEAD_HOME/raw" <(head -c 20480 /dev/zero)
}

# removed QUBE: it is, now
removed() {
	[ "$(call admin.vm.Remove "$1")" = '0|' ]
}

@test "pools: added, used, in use, removed" {
	make_template tmpl
	hear events
	[[ $(call admin.pool.ListDrivers dom0) == *'qcow2 dir_path'* ]]
	local dir="$BULKHEAD_HOME/other pool" row
	[ "$(call admin.pool.Add+qcow2 dom0 "name=other\ndir_path=$dir\nrevisions_to_keep=3\n")" = '0|' ]
	heard events | grep -q '^1||pool-add|pool|other||$'
	[[ $(call admin.pool.List dom0) == *$'\nother'* ]]
	[[ $(call admin.pool.Info+other dom0) == *'driver=qcow2'*'revisions_to_keep=3'*"dir_path=$dir"*$'\nsize='[1-9]*$'\nusage='[1-9]* ]]
	[[ $(call admin.pool.UsageDetails+other dom0) == '0|data_size='[1-9]*$'\ndata_usage='[1-9]* ]]
	[ "$(call admin.pool.UsageDetails+linux-kernel dom0)" = '0|' ]
	# a folder that is gone has no usage; the pool is told of all the same
	mv "$dir" "$dir.away"
	[[ $(call admin.pool.Info+other dom0) == *"dir_path=$dir" ]]
	[ "$(call admin.pool.UsageDetails+other dom0)" = '0|' ]
	mv "$dir.away" "$dir"
	[ "$(call admin.vm.CreateInPool.AppVM+tmpl dom0 'name=work label=red pool:private=other')" = '0|' ]
	[ -d "$dir/vm/$(property work uuid)/private" ]
	[[ $(call admin.pool.volume.List+other dom0) == "0|vm/$(property work uuid)/private" ]]
	[[ $(call admin.pool.Remove+other dom0) == '2|QubesPoolInUseError||'*private*work* ]]
	kernel_set
	[ "$(call admin.vm.Start work)" = '0|' ]
	[ "$(call admin.vm.Kill work)" = '0|' ]
	daemon_kill
	daemon_start
	[ "$(call admin.vm.Remove work)" = '0|' ]
	[ "$(call admin.property.Set+default_pool_private dom0 other)" = '0|' ]
	[[ $(call admin.pool.Remove+other dom0) == '2|QubesPoolInUseError||'*default_pool_private* ]]
	[ "$(call admin.property.Reset+default_pool_private dom0)" = '0|' ]
	while IFS='~' read -r row type; do
		[[ $(ask "$row") == "2|$type||"* ]] || {
			echo "$row: $(ask "$row")"
			false
		}
	done <<-END
		admin.pool.Add+lvm dom0 name dom0\0name=x~PermissionDenied
		admin.pool.Add+linux-kernel dom0 name dom0\0name=x\ndir_path=$dir x~PermissionDenied
		admin.pool.Add+reflink dom0 name dom0\0name=x\ndir_path=/dev/shm/no reflink $$/here~StoragePoolException
		admin.pool.Add+qcow2 dom0 name dom0\0name=other\ndir_path=$dir x~QubesPoolInUseError
		admin.pool.Add+qcow2 dom0 name dom0\0name=x~QubesValueError
		admin.pool.Add+qcow2 dom0 name dom0\0name=x\ndir_path=relative~QubesValueError
		admin.pool.Add+qcow2 dom0 name dom0\0name=x\ndir_path=$dir~StoragePoolException
		admin.pool.Add+qcow2 dom0 name dom0\0name=x\ndir_path=$dir/below~StoragePoolException
		admin.pool.Add+qcow2 dom0 name dom0\0name=x\ndir_path=/proc/no~StoragePoolException
		admin.pool.Add+qcow2 dom0 name dom0\0name=x/y\ndir_path=$dir x~QubesValueError
		admin.pool.Add+qcow2 dom0 name dom0\0name=x\nsize=5\ndir_path=$dir x~QubesValueError
		admin.pool.Add+qcow2 dom0 name dom0\0name=x\nephemeral_volatile=maybe\ndir_path=$dir x~ProtocolError
		admin.pool.Add+qcow2 dom0 name dom0\0dir_path=$dir x~QubesValueError
		admin.pool.Add+qcow2 dom0 name dom0\0rubbish~ProtocolError
		admin.pool.Add+qcow2 dom0 name dom0\0name=x\ndir_path=$dir x\nrevisions_to_keep=1\nrevisions_to_keep=2~QubesValueError
		admin.pool.Add+qcow2 dom0 name dom0\0name=x\ndir_path=$dir x/no/../../up~StoragePoolException
		admin.pool.Add+qcow2 dom0 name dom0\0name=x\ndir_path=$(dirname "$dir")~StoragePoolException
		admin.vm.CreateInPool.AppVM+tmpl dom0 name dom0\0name=x label=red pool=linux-kernel~QubesException
		admin.vm.CreateInPool.AppVM+tmpl dom0 name dom0\0name=x label=red pool:kernel=other~ProtocolError
		admin.property.Set+default_pool dom0 name dom0\0linux-kernel~QubesPropertyValueError
		admin.property.Set+default_pool_kernel dom0 name dom0\0default~QubesPropertyValueError
		admin.pool.Set.ephemeral_volatile+other dom0 name dom0\0maybe~ProtocolError
		admin.pool.Remove+default dom0 name dom0\0~QubesPoolInUseError
		admin.pool.Remove+none dom0 name dom0\0~PermissionDenied
	END
	# a snapshot is where its source is, and leaves nothing where that was before
	[ "$(call admin.vm.CreateInPool.TemplateVM dom0 'name=there label=black pool=other')" = '0|' ]
	make_app moves tmpl
	local uuid
	uuid=$(property moves uuid)
	[ "$(call admin.vm.Start moves)" = '0|' ]
	[ -d "$BULKHEAD_HOME/state/pools/default/vm/$uuid/root" ]
	[ "$(call admin.vm.Kill moves)" = '0|' ]
	[ "$(call admin.vm.property.Set+template moves there)" = '0|' ]
	[ "$(call admin.vm.Start moves)" = '0|' ]
	[ -d "$dir/vm/$uuid/root" ]
	[ ! -e "$BULKHEAD_HOME/state/pools/default/vm/$uuid/root" ]
	[ "$(call admin.vm.Kill moves)" = '0|' ]
	removed moves
	removed there
	[ ! -e "$dir/vm/$uuid" ]
	# what was refused has made nothing
	[ ! -e "$dir/below" ] && [ ! -e "$dir x" ]
	[ "$(call admin.pool.Remove+other dom0)" = '0|' ]
	[[ $(call admin.pool.List dom0) != *other* ]]
	[ -d "$dir" ]
	[ "$(call admin.pool.Add+qcow2 dom0 "name=deep\ndir_path=$dir//a/./b/")" = '0|' ]
	[[ $(call admin.pool.Info+deep dom0) == *"dir_path=$dir/a/b"* ]]
	# below a folder that may be written and not be read
	mkdir -m 300 "$dir/dark"
	[ "$(call admin.pool.Add+qcow2 dom0 "name=dark\ndir_path=$dir/dark/pool")" = '0|' ]
	chmod 700 "$dir/dark"
	[ -d "$dir/dark/pool" ]
	# each is looked at again and again, so there are not any number of them
	local n=0
	while [[ $(call "admin.pool.Add+qcow2" dom0 "name=p$n\ndir_path=$dir/p$n") == '0|' ]]; do
		n=$((n + 1))
		[ "$n" -le 64 ]
	done
	[[ $(call "admin.pool.Add+qcow2" dom0 "name=p$n\ndir_path=$dir/p$n") == '2|StoragePoolException||'*'64 pools'* ]]
	[ ! -e "$dir/p$n" ]
	[ "$(call admin.pool.Remove+p0 dom0)" = '0|' ]
	[ "$(call "admin.pool.Add+qcow2" dom0 "name=p$n\ndir_path=$dir/p$n")" = '0|' ]
}

@test "pools: on Btrfs, by the driver reflink; a snapshot is where its source is" {
	local disk="$BULKHEAD_HOME/disk" token q
	[ "$(id -u)" = 0 ] || skip "only root can mount a Btrfs"
	mkdir "$disk"
	truncate -s 1G "$disk.img"
	mkfs.btrfs -q "$disk.img" >/dev/null && mount -o loop "$disk.img" "$disk" || skip "no Btrfs here (package btrfs-progs)"
	make_template tmpl
	kernel_set
	[[ $(call admin.pool.ListDrivers dom0) == *$'\nreflink dir_path'* ]]
	[ "$(call admin.pool.Add+reflink dom0 "name=shared\ndir_path=$disk/qubes\n")" = '0|' ]
	[[ $(call admin.pool.Info+shared dom0) == *'driver=reflink'*"dir_path=$disk/qubes"* ]]
	[ "$(call admin.vm.CreateInPool.TemplateVM dom0 'name=onbtrfs label=black pool=shared')" = '0|' ]
	[ -f "$disk/qubes/vm/$(property onbtrfs uuid)/root/1.img" ]
	[ "$(call admin.vm.Create.AppVM+onbtrfs dom0 'name=ofbtrfs label=red')" = '0|' ]
	[[ $(call admin.vm.volume.Info+root ofbtrfs) == *'pool=shared'* ]]
	[[ $(call admin.vm.volume.Info+private ofbtrfs) == *'pool=default'* ]]
	[ "$(call admin.vm.Start ofbtrfs)" = '0|' ]
	[ -f "$disk/qubes/vm/$(property ofbtrfs uuid)/root/live.qcow2" ]
	[ "$(call admin.vm.Kill ofbtrfs)" = '0|' ]
	# from one driver to the other
	[ "$(call admin.vm.CreateInPool.TemplateVM dom0 'name=fromqcow2 label=black pool=shared')" = '0|' ]
	token=$(call admin.vm.volume.CloneFrom+root tmpl)
	[ "$(call admin.vm.volume.CloneTo+root fromqcow2 "${token#0|}")" = '0|' ]
	[[ $(call admin.pool.Remove+shared dom0) == '2|QubesPoolInUseError||'* ]]
	for q in ofbtrfs onbtrfs fromqcow2; do
		within 20 removed "$q"
	done
	[ "$(call admin.pool.Remove+shared dom0)" = '0|' ]
	umount "$disk"
}

@test "a qube is renamed: what refers to it stays, what names it follows" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	[ "$(call admin.vm.Create.AppVM+tmpl dom0 'name=net label=blue')" = '0|' ]
	[ "$(call admin.vm.property.Set+provides_network net True)" = '0|' ]
	[ "$(call admin.vm.property.Set+netvm work net)" = '0|' ]
	[ "$(call admin.vm.tag.Set+created-by-net work)" = '0|' ]
	[ "$(call admin.vm.notes.Set net 'mine')" = '0|' ]
	local uuid
	uuid=$(property net uuid)
	hear events
	[[ $(call bulkhead.vm.Rename+work net) == '2|QubesVMAlreadyExistsError||'* ]]
	[[ $(call bulkhead.vm.Rename+1x net) == '2|QubesValueError||'* ]]
	[[ $(call bulkhead.vm.Rename+new dom0) == '2|ProtocolError||'* ]]
	[[ $(call bulkhead.vm.Rename net) == '2|ProtocolError||'* ]]
	[ "$(call admin.vm.Start net)" = '0|' ]
	[[ $(call bulkhead.vm.Rename+sys net) == '2|QubesVMNotHaltedError||'* ]]
	[ "$(call admin.vm.Kill net)" = '0|' ]
	[ "$(call bulkhead.vm.Rename+sys net)" = '0|' ]
	for round in 1 2; do
		[[ $(call admin.vm.List net) == '2|QubesVMNotFoundError||'* ]]
		[ "$(property sys uuid)" = "$uuid" ]
		[ "$(property sys name)" = sys ]
		[ "$(property work netvm)" = sys ]
		[ "$(call admin.vm.tag.Get+created-by-net work)" = '0|0' ]
		[ "$(call admin.vm.tag.Get+created-by-sys work)" = '0|1' ]
		[ "$(call admin.vm.notes.Get sys)" = '0|mine' ]
		[ "$(call admin.vm.List dom0 | cut -d ' ' -f 1 | tr '\n' ' ')" = '0|dom0 sys tmpl work ' ]
		daemon_kill
		daemon_start
	done
	[ "$(heard events | grep -n -e 'domain-delete|vm|net|' -e 'domain-add|vm|sys|' -e 'property-set:name|name|name|newvalue|sys|oldvalue|net|' -e 'domain-tag-add:created-by-sys' | cut -d '|' -f 2,3 | tr '\n' ' ')" = '|domain-delete |domain-add sys|property-set:name work|domain-tag-add:created-by-sys ' ]
	make_app net tmpl
	[ "$(call admin.vm.Start sys)" = '0|' ]
	grep -qx '/name=sys' "$BULKHEAD_HOME/run/none/"*.qdb
}

# hold DEST NAME: hold a disposable until `kill $holder`; NAME gets what is heard
hold() {
	hold_for dom0 "$@"
}

# hold_for SOURCE DEST NAME
hold_for() {
	printf 'bulkhead.vm.Disposable %s name %s\0' "$1" "$2" | timeout 100 socat -t100 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/$3" 3>&- &
	holder=$!
}

# held NAME: the disposable that runs and is held there
held() {
	heard "$1" | sed -n 's/^1|disp[0-9]*|disposable|name|\(disp[0-9]*\)|uuid|.*/\1/p'
}

is_held() {
	[ -n "$(held "$1")" ]
}

no_disposable() {
	! call admin.vm.List dom0 | grep -q class=DispVM
}

n_of_disposables() {
	[ "$(call admin.vm.List dom0 | grep -o class=DispVM | wc -l)" = "$1" ]
}

@test "one qube has so many disposables at a time and no more, whoever asks for it" {
	local i
	make_template tmpl
	make_app dvm tmpl
	make_app work tmpl
	make_app other tmpl
	kernel_set
	call admin.vm.property.Set+template_for_dispvms dvm True
	holders=()
	for ((i = 0; i < 32; i++)); do
		hold_for work dvm "of-work.$i"
		holders+=("$holder")
	done
	within 60 n_of_disposables 32
	hold_for work dvm more
	wait "$holder" || true
	[[ $(heard more) == *"QubesException||'work' has 32 disposables already"* ]]
	hold_for other dvm others
	within 20 is_held others
	kill "$holder"
	hold dvm dom0s
	within 20 is_held dom0s
	kill "$holder"
	within 20 n_of_disposables 32
	kill "${holders[0]}"
	within 20 n_of_disposables 31
	hold_for work dvm again
	within 20 is_held again
	kill "$holder" "${holders[@]:1}"
	within 60 no_disposable
}

@test "a disposable that is held lives until it is let go, killed, or shut down by somebody" {
	make_template tmpl
	make_app dvm tmpl
	kernel_set
	call admin.vm.property.Set+template_for_dispvms dvm True
	find "$BULKHEAD_HOME/state/pools" | sort >"$BATS_TEST_TMPDIR/before"
	hear events
	hold dvm one
	within 10 is_held one
	d=$(held one)
	[[ $(call admin.vm.List "$d") == *class=DispVM\ state=Running* ]]
	[[ $(call bulkhead.vm.Disposable "$d") == *"QubesVMInUseError||'$d' is held already|" ]]
	kill "$holder"
	within 10 no_disposable
	hold dvm two
	within 10 is_held two
	[[ $(call admin.vm.Kill "$(held two)") == '0|' ]]
	within 10 no_disposable
	wait "$holder"
	[[ $(heard two) == *"2|QubesVMError||'$(held two)' has ended|" ]]
	hold dvm three
	within 10 is_held three
	[[ $(call admin.vm.Shutdown+wait "$(held three)") == '0|' ]]
	within 10 no_disposable
	# not held by anybody: shut down, it goes as well
	d=$(call admin.vm.CreateDisposable dvm)
	d=${d#*|}
	[[ $(call bulkhead.vm.Disposable "$d") == *"QubesVMNotRunningError||'$d' is no disposable that can be held|" ]]
	[[ $(call admin.vm.Start "$d") == '0|' ]]
	[[ $(call admin.vm.Shutdown+wait "$d") == '0|' ]]
	within 10 no_disposable
	gone() { find "$BULKHEAD_HOME/state/pools" | sort | cmp -s - "$BATS_TEST_TMPDIR/before"; }
	within 10 gone
	# said when the store knows them no more, which is after their volumes are gone
	deleted() { [ "$(heard events | grep -c '^1||domain-delete|vm|disp')" = 4 ]; }
	within 10 deleted
	# kept on purpose: it is killed, and stays
	hold dvm four
	within 10 is_held four
	d=$(held four)
	[[ $(call admin.vm.property.Set+auto_cleanup "$d" False) == '0|' ]]
	kill "$holder"
	halted() { [[ $(call admin.vm.List "$d") == *state=Halted* ]]; }
	within 10 halted
	daemon_kill
	daemon_start
	halted
	[[ $(call bulkhead.vm.Disposable "$d") == *QubesVMNotRunningError* ]]
}

@test "a new qubesd is told who holds a disposable; one that nobody holds goes" {
	make_template tmpl
	make_app dvm tmpl
	kernel_set
	call admin.vm.property.Set+template_for_dispvms dvm True
	hold dvm one
	within 10 is_held one
	hold dvm two
	within 10 is_held two
	daemon_kill
	daemon_start
	[ "$(call admin.vm.List dom0 | grep -c class=DispVM.*Running)" = 2 ]
	hold "$(held one)" again
	within 10 is_held again
	[ "$(held again)" = "$(held one)" ]
	other_gone() { [[ $(call admin.vm.List "$(held two)") == '2|QubesVMNotFoundError|'* ]]; }
	within 60 other_gone
	[[ $(call admin.vm.List "$(held one)") == *state=Running* ]]
	kill "$holder"
	within 10 no_disposable
}

@test "a disposable that ends already is not held again, and not started again" {
	local keep d state
	make_template tmpl
	make_app dvm tmpl
	kernel_set
	call admin.vm.property.Set+template_for_dispvms dvm True
	call admin.vm.property.Set+kernelopts dvm none.deaf
	for keep in True False; do
		hold dvm "one.$keep"
		within 10 is_held "one.$keep"
		d=$(held "one.$keep")
		[[ $(call admin.vm.property.Set+auto_cleanup "$d" $keep) == '0|' ]]
		daemon_kill
		daemon_start
		# it does not hear its power button
		[[ $(call admin.vm.Shutdown "$d") == '0|' ]]
		[[ $(call admin.vm.List "$d") == *state=Halting* ]]
		hold "$d" "again.$keep"
		within 10 grep -q QubesVMNotRunningError "$BULKHEAD_HOME/again.$keep"
		[[ $(call admin.vm.Kill "$d") == '0|' ]]
		wait "$holder" || true
		state=$(call admin.vm.List "$d")
		[ $keep = True ] || [[ $state == *state=Halted* ]]
	done
	call admin.vm.Remove "$d"
	within 10 no_disposable
	# it ended while qubesd was away: held at once, whether its volumes are put away by then or not
	hold dvm two
	within 10 is_held two
	d=$(held two)
	daemon_kill
	rm "$BULKHEAD_HOME/run/none/"*
	daemon_start
	hold "$d" back
	within 10 grep -qE 'QubesVMNot(Running|Found)Error' "$BULKHEAD_HOME/back"
	within 10 no_disposable
}

@test "a disposable that can neither be made nor be removed is told of, and goes with the next qubesd" {
	local vm=$BULKHEAD_HOME/state/pools/default/vm
	make_template tmpl
	make_app dvm tmpl
	kernel_set
	call admin.vm.property.Set+template_for_dispvms dvm True
	# as if the disk gave no more
	mv "$vm" "$vm.away"
	touch "$vm"
	[[ $(call bulkhead.vm.Disposable dvm) == *'2|StoragePoolException||'*'could not be created'* ]]
	grep -q 'could not be removed' "$BULKHEAD_HOME/log"
	rm "$vm"
	mv "$vm.away" "$vm"
	kill "$daemon"
	wait "$daemon"
	daemon_start
	within 10 no_disposable
	hold dvm one
	within 10 is_held one
	kill "$holder"
	within 10 no_disposable
}

@test "a disposable that does not start leaves its console's log and nothing else" {
	make_template tmpl
	make_app dvm tmpl
	kernel_set
	call admin.vm.property.Set+template_for_dispvms dvm True
	call admin.vm.property.Set+kernelopts dvm none.fail
	[[ $(call bulkhead.vm.Disposable dvm) == '1|dvm|progress|stage|created|text|disp'*'||2|QubesVMError||'*'told not to'* ]]
	within 10 no_disposable
	d=$(call admin.vm.CreateDisposable dvm)
	[[ $(call admin.vm.Start "${d#*|}") == '2|QubesVMError|'* ]]
	within 10 no_disposable
}

@test "a RemoteVM is data: no volumes, not started" {
	[ "$(call admin.vm.Create.RemoteVM dom0 'name=far label=red')" = '0|' ]
	[[ $(call admin.vm.Create.RemoteVM+tmpl dom0 'name=far2 label=red') == '2|QubesValueError||'* ]]
	[[ $(call admin.vm.List far) == '0|far class=RemoteVM state=Halted uuid='* ]]
	[ "$(call admin.vm.volume.List far)" = '0|' ]
	[ "$(property far icon)" = remotevm-red ]
	[ "$(property far include_in_backups)" = False ]
	[ -n "$(property far uuid)" ]
	[ "$(call admin.vm.property.Set+remote_name far work)" = '0|' ]
	[ "$(call admin.vm.property.Set+transport_rpc far 'qubes.Relay')" = '0|' ]
	[ "$(call admin.vm.property.Set+relayvm far dom0)" = '0|' ]
	[[ $(call admin.vm.property.Get+netvm far) == '2|QubesNoSuchPropertyError||'* ]]
	[[ $(call admin.vm.Start far) == '2|QubesVMError||'* ]]
	qvm-create -C RemoteVM -l red --property remote_name=work beyond
	[ "$(property beyond remote_name)" = work ]
	qvm-create --help-classes | grep -q '^RemoteVM '
	refused 1 'runs elsewhere' qvm-create -C RemoteVM -l red -t far other
	refused 1 'runs elsewhere' qvm-create -C RemoteVM -l red -P default other
	# all that can be started, and all that commands can run in
	timeout 20 qvm-start --all
	timeout 20 qvm-run --all true
	[[ $(ask 'internal.GetSystemInfo dom0 name dom0\0' qubesd.internal.sock) == *'"far": {'*'"relayvm": "dom0"'* ]]
	daemon_kill
	daemon_start
	[ "$(property far remote_name)" = work ]
	[ "$(call bulkhead.vm.Rename+away far)" = '0|' ]
	[ "$(call admin.vm.Remove away)" = '0|' ]
}

@test "removing says all that uses the qube" {
	make_template tmpl
	make_app work tmpl
	make_app other tmpl
	[[ $(call admin.vm.Remove tmpl) == "2|QubesVMInUseError||'tmpl' is in use: it is the system's default_template, the template of 'other', the template of 'work'|" ]]
}

@test "a snapshot and then changes, with nothing in between" {
	make_template tmpl
	make_app work tmpl
	follow() { printf "bulkhead.Events dom0 name ${2-dom0}\0$3" | timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/$1" 3>&- & }
	follow all dom0 'name\nlabel\nstate\nmemory\n'
	follow one work ''
	within 10 grep -q settled "$BULKHEAD_HOME/all"
	within 10 grep -q settled "$BULKHEAD_HOME/one"
	[ "$(call admin.vm.property.Set+label work blue)" = '0|' ]
	within 10 grep -q property-set:label "$BULKHEAD_HOME/all"
	[ "$(heard all | head -n 6)" = "$(printf '%s\n' '1||connection-established||' '1|dom0|qube|name|dom0|label|black|state|Running|memory|||' '1|tmpl|qube|name|tmpl|label|black|state|Halted|memory|400||' '1|work|qube|name|work|label|red|state|Halted|memory|400||' '1||settled||' '1|work|property-pre-set:label|name|label|newvalue|blue|oldvalue|red||')" ]
	heard one | grep -q '^1|work|qube|name|work|state|Halted|klass|AppVM|label|red|template|tmpl|netvm|||$'
	run ! grep -q 'qube.*tmpl.*TemplateVM' "$BULKHEAD_HOME/one"
	[[ $(call bulkhead.Events dom0 nofield) == '2|QubesNoSuchPropertyError||'* ]]
	[[ $(call bulkhead.Events dom0 "$(printf 'name\\n%.0s' {1..33})") == '2|ProtocolError||'* ]]
}

@test "qubes start with the system, and not with each qubesd" {
	make_template tmpl
	make_app work tmpl
	make_app broken tmpl
	make_app other tmpl
	kernel_set
	[ "$(call admin.vm.property.Set+autostart work True)" = '0|' ]
	[ "$(call admin.vm.property.Set+autostart broken True)" = '0|' ]
	[ "$(call admin.vm.property.Set+kernelopts broken none.fail)" = '0|' ]
	daemon_kill
	daemon_start
	[[ $(call admin.vm.List work) == *state=Halted* ]]
	[ "$(call bulkhead.Quit dom0)" = '0|' ]
	wait "$daemon" || true
	daemon_start
	running() { [[ $(call admin.vm.List work) == *state=Running* ]]; }
	within 10 running
	failed() { grep -q 'broken.*not started with the system: .*told not to' "$BULKHEAD_HOME/log"; }
	within 10 failed
	[[ $(call admin.vm.List other) == *state=Halted* ]]
	[ "$(call admin.vm.Kill work)" = '0|' ]
	daemon_kill
	daemon_start
	sleep 0.5
	[[ $(call admin.vm.List work) == *state=Halted* ]]
}

@test "help says when a change counts" {
	make_template tmpl
	make_app work tmpl
	[[ $(call admin.vm.property.Help+memory work) == *'; counts from the next start on' ]]
	[[ $(call admin.vm.property.Help+template work) == *'; the qube must be halted' ]]
	[[ $(call admin.vm.property.Help+autostart work) != *';'* ]]
}

@test "whatever bytes a method is sent, the answer is one, and qubesd goes on" {
	make_template tmpl
	make_app work tmpl
	local n=1500
	! full_counts || n=100000
	# seeded: a failure comes again
	timeout 900 python3 - "$BULKHEAD_HOME/run/qubesd.sock" $n "$top/dom0/qubesd/api/method.c" <<-'END'
		import random, re, socket, sys
		path, n = sys.argv[1], int(sys.argv[2])
		methods = [m for m in re.findall(r'^\t\{"([a-z][A-Za-z_.]+)"', open(sys.argv[3]).read(), re.M)
		           if m not in ("bulkhead.Quit", "admin.Events", "admin.vm.Stats", "bulkhead.Events", "bulkhead.vm.Disposable")]
		methods += ["admin.vm.device.pci.Available", "admin.vm.device.block.Attach", "admin.none"]
		assert len(methods) > 90, len(methods)
		rng = random.Random(20)
		props = ["memory", "netvm", "label", "template", "kernelopts", "name", "maxmem", "default_dispvm", "keyboard_layout", "ip", "mac", "xid"]
		words = [b"", b"work", b"tmpl", b"dom0", b"uuid:x", b"uuid:00000000-0000-0000-0000-000000000000", b"root", b"private", b"volatile", b"kernel",
		         b"none", b"default", b"qcow2", b"../x", b"a" * 511, b"a" * 600, b"%s%n%d", b"50%", b"+", b"a+b+c", b"force+wait", b"force+", b"0", b"-1", b"08",
		         b"\xff", b"\xc3\xa4", b"service.x", b"created-by-dom0", b"True", b"red", b"9"] + [p.encode() for p in props]
		payloads = [b"", b"\0", b"x\0y", b"x" * 65000, b"-1", b"0", b"00", b"18446744073709551616", b"1e5", b"+5", b" 5", b"5 ", b"5\n", b"\n" * 5000, b"\xff\xfe", b"%s%n",
		            "äöü\u202e".encode(), b"name=x", b"name=x label=", b"name=y label=red label=red", b"name=%n label=red", b"name= label=red", b"name=" + b"n" * 32 + b" label=red",
		            b"=" * 100, b"action=accept\n" * 3000, b"action=drop dst4=1.2.3.4/99", b"True", b"False", b"maybe", b"none", b"None", b"0x112233", b"0xgggggg", b"5\nabcde",
		            b"99999999999999999999\nx", b"name=p\ndir_path=/dev/null/x", b"name=p\ndir_path=x\ndir_path=y", b"name\n" * 100, b"work", b"uuid"]
		def call(request):
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(60)
		    s.connect(path)
		    try:
		        s.sendall(request)
		        s.shutdown(socket.SHUT_WR)
		        data = b""
		        while True:
		            more = s.recv(65536)
		            if not more:
		                return data
		            data += more
		    except (BrokenPipeError, ConnectionResetError):
		        return b""
		sent = refused = 0
		for i in range(n):
		    method = methods[i % len(methods)]
		    arg, payload = rng.choice(words), rng.choice(payloads)
		    if rng.random() < 0.2:
		        payload = bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
		    if rng.random() < 0.1:
		        arg = bytes(rng.randrange(33, 127) for _ in range(rng.randrange(1, 60)))
		    dest = rng.choice([b"dom0", b"work", b"tmpl", b"work", b"tmpl", b"nobody"])
		    header = method.encode() + (b"+" + arg if arg else b"") + b" dom0 name " + dest
		    answer = call(header + b"\0" + payload)
		    what = (header[:200], payload[:80], answer[:300] if answer else answer)
		    if not all(33 <= b < 127 for b in arg) or len(header) + 1 + len(payload) > 65536:
		        assert answer == b"", what  # no request
		        continue
		    sent += 1
		    assert answer[:2] in (b"0\0", b"1\0", b"2\0"), what
		    if answer[:2] != b"2\0":
		        continue
		    refused += 1
		    kind, traceback, text, end = answer[2:].split(b"\0")
		    assert re.fullmatch(rb"[A-Za-z]+", kind) and traceback == b"" and end == b"" and text, what
		    assert b"inside qubesd" not in text, what
		    assert b"%" not in text.replace(b"%%", b""), what
		assert sent > n * 0.9 and refused > n / 4, (sent, refused)
		assert call(b"admin.vm.List dom0 name dom0\0").startswith(b"0\0dom0 ")
	END
	# it is the same one, and what it has it still has after a start
	kill -0 "$daemon"
	local before
	before=$(ask 'bulkhead.List dom0 name dom0\0name\nlabel\nmemory\ntags\nqid')
	daemon_kill
	daemon_start
	[ "$(ask 'bulkhead.List dom0 name dom0\0name\nlabel\nmemory\ntags\nqid')" = "$before" ]
}

@test "as many clients as there is room for are all kept: nobody goes for one who does not come" {
	make_template tmpl
	daemon_kill
	ulimit -n 300
	daemon_start
	timeout 60 python3 - "$BULKHEAD_HOME/run/qubesd.sock" <<-'END'
		import select, socket, sys
		held = []
		for i in range(150):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    held.append(s)
		# the last is taken in a moment; whoever is let go would be told
		assert not select.select(held, [], [], 2)[0], "one was let go for nobody"
		s = socket.socket(socket.AF_UNIX)
		s.connect(sys.argv[1])
		assert select.select(held, [], [], 30)[0] == held[:1], "not the oldest, or nobody, has gone for one more"
	END
}

@test "connections that are opened and left, half asked or not at all, keep nobody from being answered" {
	local n=2000
	! full_counts || n=10000
	timeout 300 python3 - "$BULKHEAD_HOME/run/qubesd.sock" $n <<-'END'
		import resource, socket, sys, time
		path, n = sys.argv[1], int(sys.argv[2])
		hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
		resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, n + 200), hard))
		n = min(n, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)
		def connect():
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(60)
		    s.connect(path)
		    return s
		def ask():
		    s = connect()
		    s.sendall(b"admin.vm.List dom0 name dom0\0")
		    s.shutdown(socket.SHUT_WR)
		    data = b""
		    while True:
		        more = s.recv(65536)
		        if not more:
		            assert data.startswith(b"0\0dom0 "), data
		            return
		        data += more
		left = []
		for i in range(n):
		    s = connect()
		    left.append(s)
		    try:
		        if i % 3 == 1:
		            s.sendall(b"admin.vm.List dom0 na")
		        elif i % 3 == 2:
		            s.sendall(b"admin.vm.notes.Set dom0 name dom0\0" + b"x" * 30000)
		    except OSError:
		        pass  # it has made room for others
		    if i % 200 == 0:
		        ask()
		ask()
	END
	left() { [[ $(call bulkhead.Status dom0) == *$'\nn_clients=1\n'* ]]; }
	within 20 left
}

# make_netvm NAME [NETVM]: an app qube that gives network
make_netvm() {
	make_app "$1" tmpl
	[ "$(call admin.vm.property.Set+provides_network "$1" True)" = '0|' ]
	[ "$(call admin.vm.property.Set+netvm "$1" "${2-}")" = '0|' ]
}

# network: work and other behind firewall, behind net
network() {
	make_template tmpl
	kernel_set
	make_netvm net
	make_netvm firewall net
	[ "$(call admin.property.Set+default_netvm dom0 firewall)" = '0|' ]
	make_app work tmpl
	make_app other tmpl
}

# is QUBE STATE
is() {
	[[ $(call admin.vm.List "$1") == *" state=$2 "* ]]
}

@test "a qube's netvm starts before it, and that one's before that" {
	network
	hear events
	[ "$(call admin.vm.Start work)" = '0|' ]
	[ "$(heard events | grep 'domain-start|' | cut -d '|' -f 2 | tr '\n' ' ')" = 'net firewall work ' ]
	is other Halted
	[ "$(call admin.vm.Start other)" = '0|' ]
	[ "$(heard events | grep -c '|domain-start|')" = 4 ]
}

@test "with the system start netvms first, too" {
	network
	[ "$(call admin.vm.property.Set+autostart other True)" = '0|' ]
	[ "$(call admin.vm.property.Set+autostart firewall True)" = '0|' ]
	[ "$(call bulkhead.Quit dom0)" = '0|' ]
	wait "$daemon" || true
	daemon_start
	within 10 is other Running
	is net Running
	is firewall Running
	is work Halted
}

@test "without its netvm a qube does not start, and it can be killed while it waits" {
	network
	[ "$(call admin.vm.property.Set+kernelopts net none.fail)" = '0|' ]
	[[ $(call admin.vm.Start work) == "2|QubesVMError||the netvm of 'work' did not start: the netvm of 'firewall' did not start: "*'told not to'* ]]
	is work Halted
	is firewall Halted
	[ "$(call admin.vm.feature.Set+prohibit-start net broken)" = '0|' ]
	[[ $(call admin.vm.Start work) == "2|QubesVMError||"*'must not be started: broken'* ]]
	[ "$(call admin.vm.feature.Remove+prohibit-start net)" = '0|' ]
	[ "$(call admin.vm.property.Set+kernelopts net none.slow)" = '0|' ]
	printf 'admin.vm.Start dom0 name work\0' | timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/start" 3>&- &
	local starting=$!
	within 10 is work Transient
	is net Transient
	[[ $(call admin.vm.Shutdown net) == '2|'* ]]
	[ "$(call admin.vm.Kill work)" = '0|' ]
	is work Halted
	wait $starting
	[[ $(tr '\0' '|' <"$BULKHEAD_HOME/start") == "2|QubesVMError||'work' was killed while it waited for its netvm|" ]]
	# the other start goes on
	within 20 is firewall Running
	is work Halted
	[ "$(call admin.vm.Start work)" = '0|' ]
}

@test "netvms that would be a loop are refused, also through the default" {
	network
	[[ $(call admin.vm.property.Set+netvm net firewall) == '2|QubesPropertyValueError||'*loop* ]]
	[ "$(call admin.vm.property.Set+netvm net)" = '0|' ]
	[ "$(call admin.property.Set+default_netvm dom0)" = '0|' ]
	[ "$(call admin.vm.property.Reset+netvm net)" = '0|' ]
	[[ $(call admin.property.Set+default_netvm dom0 firewall) == '2|QubesPropertyValueError||'*loop* ]]
	[ "$(call admin.property.Set+default_netvm dom0 net)" = '0|' ]
	[ "$(call admin.vm.Start work)" = '0|' ]
}

@test "a netvm goes down after its clients, or when it is told to all the same" {
	network
	[ "$(call admin.vm.Start work)" = '0|' ]
	[[ $(call admin.vm.Shutdown firewall) == "2|QubesVMInUseError||'firewall' gives network to 'work', which runs"* ]]
	[[ $(call admin.vm.Shutdown+after firewall) == '2|ProtocolError||'* ]]
	hear events
	[ "$(call bulkhead.vm.Shutdown+after+later net)" = '0|' ]
	[ "$(call bulkhead.vm.Shutdown+after+later firewall)" = '0|' ]
	is net Running
	is firewall Running
	[ "$(call admin.vm.Shutdown work)" = '0|' ]
	within 10 is net Halted
	[ "$(heard events | grep 'domain-shutdown|' | cut -d '|' -f 2 | tr '\n' ' ')" = 'work firewall net ' ]
	# one that is disconnected is no client any more
	[ "$(call admin.vm.Start work)" = '0|' ]
	[ "$(call bulkhead.vm.Shutdown+after+later firewall)" = '0|' ]
	[ "$(call admin.vm.property.Set+netvm work)" = '0|' ]
	within 10 is firewall Halted
	is work Running
	[ "$(call admin.vm.property.Reset+netvm work)" = '0|' ]
	[ "$(call admin.vm.Start firewall)" = '0|' ]
	[ "$(call admin.vm.Shutdown+force+wait net)" = '0|' ]
	is firewall Running
}

@test "a netvm whose clients do not go stays" {
	network
	[ "$(call admin.vm.property.Set+kernelopts work none.deaf)" = '0|' ]
	[ "$(call admin.vm.property.Set+shutdown_timeout work 1)" = '0|' ]
	[ "$(call admin.vm.Start work)" = '0|' ]
	printf 'bulkhead.vm.Shutdown+after dom0 name firewall\0' | timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/down" 3>&- &
	local waiting=$!
	[[ $(call admin.vm.Shutdown+wait work) == '2|QubesVMShutdownTimeoutError||'* ]]
	wait $waiting
	[[ $(tr '\0' '|' <"$BULKHEAD_HOME/down") == *"2|QubesVMInUseError||'firewall' gives network to 'work'"* ]]
	is firewall Running
	[ "$(call admin.vm.Kill work)" = '0|' ]
	is firewall Running
	[ "$(call admin.vm.Shutdown+wait firewall)" = '0|' ]
}

# down NAME: the qubes whose end was heard, in order
down() {
	heard "$1" | grep 'domain-shutdown|' | cut -d '|' -f 2 | tr '\n' ' '
}

@test "the tools take networks down from their leaves" {
	network
	[ "$(call admin.vm.Start work)" = '0|' ]
	[ "$(call admin.vm.Start other)" = '0|' ]
	run -1 qvm-shutdown --wait firewall net
	[[ $output == *"'firewall' gives network to 'other', which runs"*"'net' gives network to 'firewall'"* ]]
	run -1 qvm-shutdown firewall work
	[[ $output == *"'firewall' gives network to 'other'"* ]]
	within 10 is work Halted
	hear events
	qvm-shutdown net firewall other
	within 10 is net Halted
	[ "$(down events)" = 'other firewall net ' ]
	qvm-start work
	hear again
	qvm-shutdown --wait --all
	[ "$(down again)" = 'work firewall net ' ]
	# a leaf that does not hear is killed, and the others have their turn
	[ "$(call admin.vm.property.Set+kernelopts work none.deaf)" = '0|' ]
	qvm-start work
	hear deaf
	run -0 --separate-stderr qvm-shutdown --wait --timeout 1 --all
	[ "$stderr" = 'qvm-shutdown: work did not shut down in time: killing it' ]
	[ "$(down deaf)" = 'work firewall net ' ]
	qvm-start work
	hear stop
	run -0 --separate-stderr bulkhead stop --timeout 1
	[ "$stderr" = 'bulkhead stop: work did not shut down in time: killing it' ]
	[ "$(down stop)" = 'work firewall net ' ]
	wait "$daemon"
	daemon=
}

@test "what clients send half, and what they do not read, is bounded for all together, and given back" {
	make_template tmpl
	# read by the daemon's pid
	timeout 300 python3 - "$BULKHEAD_HOME/run/qubesd.sock" "$daemon" <<-'END'
		import re, resource, socket, sys, time
		path, pid = sys.argv[1], sys.argv[2]
		hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
		resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3000), hard))
		n = min(2000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)
		def begin(request, whole=True):
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(60)
		    s.connect(path)
		    try:
		        s.sendall(request)
		        if whole:
		            s.shutdown(socket.SHUT_WR)
		    except OSError:
		        pass
		    return s
		def end(s):
		    data = b""
		    while True:
		        more = s.recv(1 << 20)
		        if not more:
		            return data
		        data += more
		def call(request):
		    return end(begin(request))
		def memory_mib():
		    return int(re.search(r"VmRSS:\s*(\d+)", open("/proc/%s/status" % pid).read())[1]) >> 10
		def given_back():
		    for _ in range(100):
		        if memory_mib() < 40:
		            return
		        time.sleep(0.1)
		    assert False, memory_mib()
		whole = b"admin.vm.notes.Set dom0 name tmpl\0"
		left = [begin(whole + b"x" * 60000, False) for _ in range(n)]
		assert call(whole + b"mine") == b"0\0"
		assert memory_mib() < 100, memory_mib()
		for s in left:
		    s.close()
		given_back()
		# half of a request that its client does not end is none
		assert call(b"admin.vm.notes.Get dom0 name tmpl\0") == b"0\0mine"
		for i in range(64):
		    assert call(b"admin.vm.feature.Set+f%d dom0 name tmpl\0" % i + b"v" * 65000) == b"0\0"
		fields = b"\n".join(b"feature:f%d" % i for i in range(64))
		left = [begin(b"bulkhead.List dom0 name tmpl\0" + fields) for _ in range(60)]
		assert call(b"bulkhead.List dom0 name tmpl\0name").startswith(b"0\0name\ntmpl")
		assert memory_mib() < 250, memory_mib()
		for s in left:
		    s.close()
		given_back()
		assert len(call(b"bulkhead.List dom0 name tmpl\0" + fields)) > 64 * 65000
		# an answer has its bound as well
		for i in range(20):
		    assert call(b"admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=q%d label=red" % i) == b"0\0"
		    assert call(b"admin.vm.feature.Set+f0 dom0 name q%d\0" % i + b"v" * 65000) == b"0\0"
		answer = call(b"bulkhead.List dom0 name dom0\0" + b"feature:f0\n" * 64)
		assert answer.startswith(b"2\0QubesException\0\0the answer would be longer than 64 MiB"), answer[:200]
		given_back()
	END
}

@test "what is too long for an event is told without its longest values, or cut" {
	make_template tmpl
	hear events
	local long
	long=$(head -c 40000 /dev/zero | tr '\0' v)
	[ "$(call admin.vm.feature.Set+f tmpl "$long")" = '0|' ]
	[ "$(call admin.vm.feature.Set+f tmpl "${long}w")" = '0|' ]
	told() { [ "$(heard events | grep -c '^1|tmpl|domain-feature-set:f|')" = 2 ]; }
	within 10 told
	[ "$(heard events | tail -n 1)" = "1|tmpl|domain-feature-set:f|feature|f|oldvalue|$long||" ]
	# a snapshot of whatever there is comes to its end
	for i in {0..299}; do
		echo "admin.vm.tag.Set+$(head -c 240 /dev/zero | tr '\0' t)$i dom0 name tmpl"
	done | python3 -c 'import socket, sys
for line in sys.stdin:
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(line.rstrip("\n").encode() + b"\0"); s.shutdown(socket.SHUT_WR)
    assert s.recv(100) == b"0\0"' "$BULKHEAD_HOME/run/qubesd.sock"
	make_app work tmpl
	printf 'bulkhead.Events dom0 name dom0\000name\nfeature:f\ntags\nfeature:f\nklass' | timeout 5 socat -t3 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/snapshot" || true
	python3 - "$BULKHEAD_HOME/snapshot" <<-'END'
		import sys
		whole = open(sys.argv[1], "rb").read()
		assert whole.endswith(b"1\0\0settled\0\0"), whole[-100:]
		at = whole.index(b"1\0tmpl\0qube\0")
		tmpl = whole[at:whole.index(b"klass\0TemplateVM\0\0", at)]
		assert len(tmpl) < 65536
		fields = tmpl.split(b"\0")[3:]
		assert fields[0:2] == [b"name", b"tmpl"] and fields[3].endswith(b"...") and fields[3].startswith(b"vvv"), fields[3][-20:]
		assert fields[4] == b"tags" and fields[5].startswith(b"created-by-dom0 ttt"), fields[5][:40]
		assert b"1\0work\0qube\0" in whole
	END
}

@test "a qube is told no more features than fit its start" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	python3 - "$BULKHEAD_HOME/run/qubesd.sock" <<-'END'
		import socket, sys
		def call(method, arg, payload, dest="work"):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    s.sendall(("%s+%s dom0 name %s\0%s" % (method, arg, dest, payload)).encode())
		    s.shutdown(socket.SHUT_WR)
		    answer = b""
		    while True:
		        more = s.recv(65536)
		        if not more:
		            return answer
		        answer += more
		def put(name, value):
		    return call("admin.vm.feature.Set", name, value)
		for i in range(200):
		    assert put(("vm-config.v%d" if i % 2 else "service.s%d") % i, "1") == b"0\0", i
		answer = put("vm-config.more", "1")
		assert answer.startswith(b"2\0QubesException\0\0'work' has 200 features that it is told"), answer
		assert put("service.s0", "") == b"0\0" # one that it has
		assert put("vmconfig", "1") == b"0\0"  # not told
		assert call("admin.vm.feature.Remove", "service.s0", "") == b"0\0"
		assert put("vm-config.more", "1") == b"0\0"
		# and in bytes
		answers = [put("vm-config.v%d" % i, "x" * 3000) for i in range(1, 200, 2)]
		kept = answers.count(b"0\0")
		assert 10 < kept < 22 and all(b"more than 65536 bytes" in a for a in answers if a != b"0\0"), (kept, answers[-1])
	END
	[ "$(call admin.vm.Start work)" = '0|' ]
}

# every method of the Admin API: to whom, is there an argument, is there a payload (- none, ? may be, ! must be), and what
# a call as it should be is answered with: 0, or the exception that says why not
methods() {
	cat <<-'END'
		admin.vm.List any - - 0
		admin.vmclass.List dom0 - - 0
		admin.deviceclass.List dom0 - - 0
		admin.Events any - - 1
		admin.vm.Stats any - - 1
		admin.property.List dom0 - - 0
		admin.property.Get dom0 ! - 0 clockvm
		admin.property.GetAll dom0 - - 0
		admin.property.GetDefault dom0 ! - 0 clockvm
		admin.property.Help dom0 ! - 0 clockvm
		admin.property.Set dom0 ! ? 0 clockvm
		admin.property.Reset dom0 ! - 0 clockvm
		admin.vm.property.List any - - 0
		admin.vm.property.Get any ! - 0 label
		admin.vm.property.GetAll any - - 0
		admin.vm.property.GetDefault any ! - 0 label
		admin.vm.property.Help any ! - 0 label
		admin.vm.property.Set any ! ? 0 label blue
		admin.vm.property.Reset any ! - 0 include_in_backups
		admin.vm.feature.List any - - 0
		admin.vm.feature.Get any ! - QubesFeatureNotFoundError none
		admin.vm.feature.CheckWithTemplate any ! - QubesFeatureNotFoundError none
		admin.vm.feature.CheckWithNetvm any ! - QubesFeatureNotFoundError none
		admin.vm.feature.CheckWithAdminVM any ! - QubesFeatureNotFoundError none
		admin.vm.feature.CheckWithTemplateAndAdminVM any ! - QubesFeatureNotFoundError none
		admin.vm.feature.Set any ! ? 0 mine 1
		admin.vm.feature.Remove any ! - QubesFeatureNotFoundError none
		admin.vm.tag.List any - - 0
		admin.vm.tag.Get any ! - 0 none
		admin.vm.tag.Set any ! - 0 mine
		admin.vm.tag.Remove any ! - QubesTagNotFoundError none
		admin.vm.Create.AppVM dom0 ? ! 0 tmpl name=new1_label=red
		admin.vm.Create.TemplateVM dom0 ? ! 0 - name=new2_label=red
		admin.vm.Create.StandaloneVM dom0 ? ! 0 - name=new3_label=red
		admin.vm.Create.DispVM dom0 ? ! QubesException tmpl name=new4_label=red
		admin.vm.Create.RemoteVM dom0 ? ! 0 - name=new5_label=red
		admin.vm.CreateInPool.AppVM dom0 ? ! 0 tmpl name=new6_label=red_pool=default
		admin.vm.CreateInPool.TemplateVM dom0 ? ! 0 - name=new7_label=red_pool=default
		admin.vm.CreateInPool.StandaloneVM dom0 ? ! 0 - name=new8_label=red_pool=default
		admin.vm.CreateInPool.DispVM dom0 ? ! QubesException tmpl name=new9_label=red_pool=default
		admin.vm.CreateDisposable any ? ? QubesException
		admin.vm.Remove any - - 0
		admin.vm.Start any - - 0
		admin.vm.Shutdown any ? - QubesVMNotStartedError
		admin.vm.Kill any - - QubesVMNotStartedError
		admin.vm.Pause any - - QubesVMNotRunningError
		admin.vm.Unpause any - - QubesVMNotRunningError
		admin.vm.Suspend any - - QubesVMNotRunningError
		admin.vm.Resume any - - QubesVMNotSuspendedError
		admin.vm.CurrentState any - - 0
		admin.vm.Console any - - QubesNotImplementedError
		admin.vm.firewall.Get qube - - 0
		admin.vm.firewall.Set qube - ? 0 - action=drop
		admin.vm.firewall.Reload qube - - 0
		admin.vm.notes.Get qube - - 0
		admin.vm.notes.Set qube - ? 0 - text
		admin.vm.volume.List any - - 0
		admin.vm.volume.Info any ! - 0 private
		admin.vm.volume.ListSnapshots any ! - 0 private
		admin.vm.volume.Revert any ! ! StoragePoolException private none
		admin.vm.volume.Resize any ! ! 0 private 2147483648
		admin.vm.volume.CloneFrom any ! - 0 private
		admin.vm.volume.CloneTo any ! ! QubesVolumeCopyTokenNotFoundError private none
		admin.vm.volume.Clear any ! - 0 private
		admin.vm.volume.Import any ! ! ProtocolError private short
		admin.vm.volume.ImportWithSize any ! ! ProtocolError private short
		admin.vm.volume.Set.revisions_to_keep any ! ! 0 private 2
		admin.vm.volume.Set.rw any ! ! 0 private True
		admin.vm.volume.Set.ephemeral any ! ! 0 volatile False
		admin.pool.List dom0 - - 0
		admin.pool.ListDrivers dom0 - - 0
		admin.pool.Info dom0 ! - 0 default
		admin.pool.UsageDetails dom0 ! - 0 default
		admin.pool.Add dom0 ! ! QubesValueError qcow2 name=x
		admin.pool.Remove dom0 ! - QubesPoolInUseError default
		admin.pool.Set.revisions_to_keep dom0 ! ! 0 default 2
		admin.pool.Set.ephemeral_volatile dom0 ! ! 0 default False
		admin.pool.volume.List dom0 ! - 0 default
		admin.label.List dom0 - - 0
		admin.label.Get dom0 ! - 0 red
		admin.label.Index dom0 ! - 0 red
		admin.label.Create dom0 ! ! 0 pink 0xff00ff
		admin.label.Remove dom0 ! - QubesLabelNotFoundError none
		admin.backup.Info dom0 ! - QubesNotImplementedError all
		admin.backup.Execute dom0 ! - QubesNotImplementedError all
		admin.backup.Cancel dom0 ! - QubesNotImplementedError all
		admin.vm.device.denied.List any - - 0
		admin.vm.device.denied.Add any - ? 0 - u03****
		admin.vm.device.denied.Remove any - ? 0 - all
	END
	local class action
	for class in pci block usb mic; do
		for action in Available Assigned Attached Assign Unassign Attach Detach Set.assignment; do
			echo "admin.vm.device.$class.$action any ? ? QubesNotImplementedError"
		done
	done
}

# answered CALL EXPECTED: 0, 1 or the exception's type
answered() {
	local answer
	answer=$(call "$1" "$2" "${4-}")
	case $3 in
	0 | 1) [[ $answer == "$3|"* ]] ;;
	*) [[ $answer == "2|$3||"?*'|' ]] ;;
	esac || {
		echo "$1 to $2 with '${4-}': $answer, and not $3"
		false
	}
}

@test "each method is answered, or refused with the right exception" {
	local method dest arg payload result a p n=0
	make_template tmpl
	kernel_set
	while read -r method dest arg payload result a p; do
		n=$((n + 1))
		[ "$a" != - ] || a=
		p=${p//_/ }
		{ call admin.vm.Kill work && call admin.vm.Remove work; } >/dev/null
		make_app work tmpl
		local to=work other=dom0
		[ "$dest" != dom0 ] || { to=dom0 other=work; }
		# streams end with the test's own patience
		[ "$result" != 1 ] || {
			hear "stream.$n"
			continue
		}
		[ "$dest" = any ] || answered "$method${a:++$a}" $other ProtocolError "$p"
		[ "$arg" != ! ] || answered "$method" "$to" ProtocolError "$p"
		[ "$arg" != - ] || answered "$method+more" "$to" ProtocolError "$p"
		[ "$payload" != ! ] || answered "$method${a:++$a}" "$to" ProtocolError
		[ "$payload" != - ] || answered "$method${a:++$a}" "$to" ProtocolError more
		answered "$method${a:++$a}" nobody QubesVMNotFoundError "$p"
		answered "$method${a:++$a}" uuid:1 QubesVMInvalidUUIDError "$p"
		answered "$method${a:++$a}" "$to" "$result" "$p"
	done < <(methods)
	[ $n -gt 110 ]
	answered admin.vm.device.floppy.Attach work ProtocolError
	answered admin.vm.device.pci.Rub work ProtocolError
	answered admin.none dom0 ProtocolError
	# the table is whole
	diff <(methods | cut -d ' ' -f 1 | grep -v '^admin.vm.device.[^d]' | sort) \
		<(grep -oE '^\s\{"admin\.[A-Za-z_.]+' "$top/dom0/qubesd/api/method.c" | grep -oE 'admin.*' | sort -u)
}

# qdb QUBE ENTRY: as it was written last
qdb() {
	grep -aE "^$2(=| removed)" "$BULKHEAD_HOME/run/none/$(property "$1" xid).qdb" | tail -n 1
}

@test "what follows from a property changes with it, and subscribers hear of it" {
	network
	make_netvm gui ''
	[ "$(call admin.vm.Start work)" = '0|' ]
	[ "$(qdb work /keyboard-layout)" = /keyboard-layout=us++ ]
	hear events
	[ "$(call admin.vm.property.Set+keyboard_layout dom0 de++)" = '0|' ]
	told() { heard events | grep -q "$1"; }
	within 10 told '^1|work|property-reset:keyboard_layout|name|keyboard_layout||$'
	[[ $(call admin.vm.property.Help+keyboard_layout work) == *'; a running qube is told at once' ]]
	[ "$(call admin.property.Set+clockvm dom0 work)" = '0|' ]
	[ "$(call admin.vm.feature.Get+service.clocksync work)" = '0|1' ]
	[ "$(call admin.property.Set+clockvm dom0 other)" = '0|' ]
	[[ $(call admin.vm.feature.Get+service.clocksync work) == '2|QubesFeatureNotFoundError||'* ]]
	[ "$(call admin.vm.feature.Get+service.clocksync other)" = '0|1' ]
	within 10 told '^1|work|domain-feature-set:service.clocksync|feature|service.clocksync|value|1||$'
	within 10 told '^1|work|domain-feature-delete:service.clocksync|'
	[ "$(call admin.vm.property.Set+guivm work gui)" = '0|' ]
	[ "$(call admin.vm.tag.List work)" = $'0|created-by-dom0\nguivm-gui' ]
	[ "$(call admin.property.Set+default_audiovm dom0 gui)" = '0|' ]
	[ "$(call admin.vm.tag.List work)" = $'0|audiovm-gui\ncreated-by-dom0\nguivm-gui' ]
	[[ $(call admin.vm.Remove gui) == '2|QubesVMInUseError||'* ]]
	# one that is made now has them from the beginning, and so has a disposable, whose template has a guivm of its own
	make_app later tmpl
	[ "$(call admin.vm.tag.List later)" = $'0|audiovm-gui\ncreated-by-dom0' ]
	[ "$(call admin.vm.property.Set+template_for_dispvms work True)" = '0|' ]
	[ "$(call admin.property.Set+default_guivm dom0 other)" = '0|' ]
	[ "$(call admin.vm.Create.DispVM+work dom0 'name=disp label=red')" = '0|' ]
	[ "$(call admin.vm.tag.List disp)" = $'0|audiovm-gui\ncreated-by-dom0\nguivm-gui' ]
	make_app last tmpl
	[ "$(call admin.vm.tag.List last)" = $'0|audiovm-gui\ncreated-by-dom0\nguivm-other' ]
	[ "$(call admin.property.Reset+default_guivm dom0)" = '0|' ]
	[ "$(call admin.vm.tag.List last)" = $'0|audiovm-gui\ncreated-by-dom0' ]
	[ "$(call admin.vm.Remove disp)" = '0|' ]
	[ "$(call admin.vm.property.Reset+guivm work)" = '0|' ]
	[ "$(call admin.property.Reset+default_audiovm dom0)" = '0|' ]
	[ "$(call admin.vm.tag.List work)" = '0|created-by-dom0' ]
	[ "$(heard events | grep -c '^1|work|domain-tag-')" = 4 ]
	[ "$(call admin.vm.property.Set+provides_network other True)" = '0|' ]
	heard events | grep -q '^1|other|domain-feature-set:servicevm|'
	[ "$(call admin.vm.feature.Set+preload-dispvm-max work 2)" = '0|' ]
	[[ $(call admin.vm.feature.Set+preload-dispvm work 2) == '2|QubesValueError||'* ]]
	[[ $(call admin.vm.feature.Set+deferred-netvm-original work x) == '2|QubesValueError||'* ]]
}

@test "interfaces of devices may be denied" {
	make_template tmpl
	make_app work tmpl
	hear events
	[ "$(call admin.vm.device.denied.Add work 'u03****p0c0330')" = '0|' ]
	[ "$(call admin.vm.device.denied.Add work 'u03****b******')" = '0|' ]
	[ "$(call admin.vm.device.denied.List work)" = $'0|u03****\np0c0330\nb******' ]
	[ "$(property work devices_denied)" = 'u03****p0c0330b******' ]
	[ "$(call admin.vm.device.denied.Remove work 'p0c0330m******')" = '0|' ]
	[ "$(call admin.vm.device.denied.Add work)" = '0|' ]
	[ "$(call admin.vm.device.denied.List work)" = $'0|u03****\nb******' ]
	[ "$(heard events | grep -c '|property-set:devices_denied|')" = 3 ]
	local bad
	for bad in u03 u03xxxx 'u03****u03****' 'U03****'; do
		[[ $(call admin.vm.device.denied.Add work "$bad") == '2|QubesValueError||'* ]]
		[[ $(call admin.vm.device.denied.Remove work "$bad") == '2|QubesValueError||'* ]]
	done
	[[ $(call admin.vm.property.Set+devices_denied work u03) == '2|QubesPropertyValueError||'* ]]

	[ "$(call admin.vm.device.denied.Remove work all)" = '0|' ]
	[ "$(call admin.vm.device.denied.List work)" = '0|' ]
}

# the value of each property of a qube that nobody has set anything of, by class: T A S D dom0 R (- = it has none, "" = empty)
defaults() {
	cat <<-'END'
		appvm_default_bootmode str default - - - - -
		audiovm vm dom0 dom0 dom0 dom0 - -
		auto_cleanup bool - - - False - -
		autostart bool False False False False - -
		backup_timestamp int "" "" "" "" - -
		bootmode str default default default default - -
		debug bool False False False False - -
		default_dispvm vm dvm dvm dvm dvm dvm -
		default_user str user user user user - -
		devices_denied str "" "" "" "" "" -
		dns str "" 10.139.1.1_10.139.1.2 10.139.1.1_10.139.1.2 10.139.1.1_10.139.1.2 - -
		fork bool - False - False - -
		gateway str "" "" "" "" - -
		gateway6 str "" "" "" "" - -
		guivm vm dom0 dom0 dom0 dom0 - -
		icon str templatevm-black appvm-red standalonevm-red dispvm-red adminvm-black remotevm-red
		include_in_backups bool True True True True True False
		installed_by_rpm bool False False False False - -
		ip6 str "" "" "" "" - -
		is_preload bool - - - False - -
		kernel str 1 1 1 1 - -
		kernelopts str swiotlb=2048 swiotlb=2048 swiotlb=2048 swiotlb=2048 - -
		keyboard_layout str us++ us++ us++ us++ us++ -
		klass str TemplateVM AppVM StandaloneVM DispVM AdminVM RemoteVM
		mac str 00:16:3e:5e:6c:00 00:16:3e:5e:6c:00 00:16:3e:5e:6c:00 00:16:3e:5e:6c:00 - -
		management_dispvm vm "" "" "" "" - -
		memory int 400 400 400 400 - -
		netvm vm "" net net net - -
		provides_network bool False False False False - -
		relayvm vm - - - - - ""
		remote_name str - - - - - ""
		shutdown_timeout int 60 60 60 60 - -
		start_time str "" "" "" "" - -
		stubdom_mem int "" "" "" "" - -
		stubdom_uuid str "" "" "" "" - -
		stubdom_xid int -1 -1 -1 -1 - -
		template_for_dispvms bool - False False - - -
		transport_rpc str - - - - - ""
		updateable bool True False True False True -
		vcpus int 2 2 2 2 - -
		virt_mode str pvh pvh pvh pvh - -
		visible_gateway6 str "" "" "" "" - -
		visible_ip6 str "" "" "" "" - -
		visible_netmask str "" 255.255.255.255 255.255.255.255 255.255.255.255 - -
		xid int -1 -1 -1 -1 - -
	END
}

@test "each property has the type and the default it should have, in each class of qube" {
	local qubes=(t a s d dom0 r) name type values answer i n=0
	kernel_set
	make_template t
	make_app dvm t
	[ "$(call admin.vm.property.Set+template_for_dispvms dvm True)" = '0|' ]
	[ "$(call admin.property.Set+default_dispvm dom0 dvm)" = '0|' ]
	make_app net t
	[ "$(call admin.vm.property.Set+provides_network net True)" = '0|' ]
	[ "$(call admin.property.Set+default_netvm dom0 net)" = '0|' ]
	make_app a t
	[ "$(call admin.vm.Create.StandaloneVM dom0 'name=s label=red')" = '0|' ]
	[ "$(call admin.vm.Create.DispVM+dvm dom0 'name=d label=red')" = '0|' ]
	[ "$(call admin.vm.Create.RemoteVM dom0 'name=r label=red')" = '0|' ]
	while read -r name type values; do
		n=$((n + 1))
		read -ra values <<<"$values"
		for i in "${!qubes[@]}"; do
			answer=$(call "admin.vm.property.Get+$name" "${qubes[i]}")
			case ${values[i]} in
			-) [[ $answer == '2|QubesNoSuchPropertyError||'* ]] ;;
			'""') [ "$answer" = "0|default=True type=$type " ] ;;
			*) [ "$answer" = "0|default=True type=$type ${values[i]//_/ }" ] ;;
			esac || {
				echo "$name of ${qubes[i]}: $answer, and not ${values[i]}"
				false
			}
		done
		# GetDefault says the same; what has none says nothing
		answer=$(call "admin.vm.property.GetDefault+$name" a)
		[[ ${values[1]} == - || ${values[1]} == '""' || $answer == "0|type=$type ${values[1]//_/ }" ]]
	done < <(defaults)
	[ $n -gt 40 ]
	# the table is whole, but for what differs from qube to qube
	diff <({ printf '%s\n' dispid gateway ip label maxmem name qid qrexec_timeout template uuid visible_gateway visible_ip; defaults | cut -d ' ' -f 1; } | sort -u) \
		<(for q in "${qubes[@]}"; do call admin.vm.property.List "$q" | tr -d '0|'; done | sort -u | grep .)
	[ "$(property a ip)" = "10.137.0.$(property a qid)" ]
	[ "$(property a visible_gateway)" = "$(property net gateway)" ]
	[ "$(property dom0 qid)" = 0 ]
	[[ $(property d dispid) =~ ^[0-9]{1,4}$ ]]
	[ "$(property d template)" = dvm ]
	[[ $(property d ip) == 10.138.* ]]
	# half of this machine's memory, if that is less than 4000 MiB
	local half=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) / 2048))
	[ "$(property a maxmem)" = $((half < 4000 ? half : 4000)) ]
	[ "$(call admin.vm.property.Set+virt_mode a hvm)" = '0|' ]
	[ "$(property a maxmem)" = 0 ]
	while read -r name values; do
		answer=$(call "admin.property.Get+$name" dom0)
		[ "${answer% }" = "0|default=$values" ] || {
			echo "$name: $answer, and not $values"
			false
		}
	done <<-END
		check_updates_vm True type=bool True
		clockvm True type=vm
		default_audiovm True type=vm dom0
		default_dispvm False type=vm dvm
		default_fork True type=bool False
		default_guivm True type=vm dom0
		default_kernel True type=str 1
		default_netvm False type=vm net
		default_pool True type=str default
		default_pool_kernel True type=str linux-kernel
		default_pool_private True type=str default
		default_pool_root True type=str default
		default_pool_volatile True type=str default
		default_shutdown_timeout True type=int 60
		default_template False type=vm t
		management_dispvm True type=vm
		maxmem True type=int $(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) / 1024))
		no_cpus True type=int $(getconf _NPROCESSORS_ONLN)
		qubes_maxmem True type=int 0
		stats_interval True type=int 3
		updatevm True type=vm
	END
}

# balanced NAME...: app qubes that start with 400 MiB and may have 1000
balanced() {
	local q
	for q; do
		make_app "$q" tmpl
		[ "$(call admin.vm.property.Set+memory "$q" 400)" = '0|' ]
		[ "$(call admin.vm.property.Set+maxmem "$q" 1000)" = '0|' ]
	done
}
# uses QUBE MIB: what it says; has QUBE: MiB it has been given; has_between QUBE LEAST MOST
uses() {
	echo "$2" >"$BULKHEAD_HOME/run/none/$1.uses"
}
has() {
	ask "bulkhead.List dom0 name dom0\0name\nmemory_assigned" | awk -v q="$1" -F '\t' '$1 == q { print int($2 / 1024) }'
}
has_between() {
	[ "$(has "$1")" -ge "$2" ] && [ "$(has "$1")" -le "$3" ]
}

@test "memory: given as it is used, taken from who uses less, asked back for a start, refused with figures" {
	make_template tmpl
	balanced x y z w
	kernel_set
	[ "$(call admin.property.Set+qubes_maxmem dom0 1600)" = '0|' ]
	[ "$(call admin.vm.Start x)" = '0|' ]
	[ "$(call admin.vm.Start y)" = '0|' ]
	[ "$(has x) $(has y)" = '400 400' ]
	uses x 390
	within 20 has_between x 600 616
	uses y 900
	within 20 has_between y 992 1000
	# what it uses, and some
	within 20 has_between x 409 608
	[ $(($(has x) + $(has y))) -le 1600 ]
	# 800 are what the two can be without
	[ "$(call admin.vm.Start z)" = '0|' ]
	[ $(($(has x) + $(has y) + $(has z))) -le 1600 ]
	[ "$(has z)" = 400 ]
	# 1.07 of what it uses, and up to a step of 16
	has_between x 416 433
	[ "$(call admin.vm.property.Set+memory w 500)" = '0|' ]
	[[ $(call admin.vm.Start w) == "2|QubesMemoryError||Not enough memory to start 'w': it needs 500 MiB, and 1200 of the 1600 MiB that qubes may have"*'qvm-prefs w memory'* ]]
	[[ $(call admin.vm.List w) == *state=Halted* ]]
	grep -E 'qubesd.*: y: memory [0-9]+ -> [0-9]+ MiB' "$BULKHEAD_HOME/log"
}

@test "memory: a qube that cannot be given more counts after a restart of qubesd, too" {
	make_template tmpl
	make_app x tmpl
	make_app y tmpl
	kernel_set
	local q
	for q in x y; do
		[ "$(call admin.vm.property.Set+memory $q 400)" = '0|' ]
		[ "$(call admin.vm.property.Set+maxmem $q 0)" = '0|' ]
	done
	[ "$(call admin.property.Set+qubes_maxmem dom0 600)" = '0|' ]
	[ "$(call admin.vm.Start x)" = '0|' ]
	# what it started with, not what it will the next time
	[ "$(call admin.vm.property.Set+memory x 100)" = '0|' ]
	daemon_kill
	daemon_start
	[[ $(call admin.vm.Start y) == *"and 400 of the 600 MiB"* ]]
	[[ $(call admin.vm.CurrentState x) == '0|mem=409600 '* ]]
}

@test "memory: a qube that waits for its netvm takes none from those that start meanwhile" {
	network
	local q
	for q in net firewall work other; do
		[ "$(call admin.vm.property.Set+memory $q 400)" = '0|' ]
		[ "$(call admin.vm.property.Set+maxmem $q 0)" = '0|' ]
	done
	[ "$(call admin.vm.property.Set+netvm other)" = '0|' ]
	[ "$(call admin.vm.property.Set+kernelopts net none.waits)" = '0|' ]
	[ "$(call admin.property.Set+qubes_maxmem dom0 1000)" = '0|' ]
	printf 'admin.vm.Start dom0 name work\0' | timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/start" 3>&- &
	local starting=$!
	within 10 is net Transient
	is firewall Transient
	is work Transient
	[ "$(call admin.vm.Start other)" = '0|' ]
	# its own turn is another matter
	touch "$BULKHEAD_HOME/run/none/net.go"
	wait $starting
	[[ $(tr '\0' '|' <"$BULKHEAD_HOME/start") == *"|QubesMemoryError||the netvm of 'work' did not start: Not enough memory to start 'firewall': it needs 400 MiB, and 800 of the 1000 MiB"* ]]
}

@test "memory: a qube that says nonsense, or gives nothing back, harms nobody" {
	make_template tmpl
	balanced liar honest keeper
	kernel_set
	[ "$(call admin.vm.property.Set+kernelopts keeper none.keeps)" = '0|' ]
	[ "$(call admin.property.Set+qubes_maxmem dom0 2000)" = '0|' ]
	local q
	for q in liar honest keeper; do
		[ "$(call admin.vm.Start $q)" = '0|' ]
	done
	uses liar 99999999999999999999
	uses honest 390
	within 20 has_between liar 992 1000
	within 20 has_between honest 585 600
	uses honest 700
	# 800 beyond what they started with: 300 and what it can have are its own
	within 30 has_between honest 700 1000
	[ $(($(has liar) + $(has honest) + $(has keeper))) -le 2000 ]
	[ "$(call admin.vm.Kill liar)" = '0|' ]
	uses keeper 990
	within 30 has_between keeper 970 1000
	uses keeper 100
	# it was asked for what the start needs, and the others give what they can
	[ "$(call admin.property.Set+qubes_maxmem dom0 1500)" = '0|' ]
	within 30 grep -q 'keeper: gives no memory back: it has' "$BULKHEAD_HOME/log"
	within 30 has_between honest 400 540
	[ "$(call admin.vm.Kill keeper)" = '0|' ]
	within 30 has_between honest 700 1000
}

@test "memory: maxmem holds a running qube at once; 0, and no meminfo-writer, leave it alone" {
	make_template tmpl
	balanced x y
	kernel_set
	[ "$(call admin.vm.Start x)" = '0|' ]
	uses x 990
	within 20 has_between x 992 1000
	[ "$(call admin.vm.property.Set+maxmem x 700)" = '0|' ]
	within 20 has_between x 690 700
	# down to what it started with, and up again
	[ "$(call admin.vm.property.Set+maxmem x 400)" = '0|' ]
	within 20 has_between x 400 400
	sleep 3
	[ "$(call admin.vm.property.Set+maxmem x 700)" = '0|' ]
	within 20 has_between x 690 700
	[ "$(call admin.vm.property.Set+maxmem x 0)" = '0|' ]
	uses x 10
	# a new qubesd sees what is so, and leaves it
	daemon_kill
	daemon_start
	sleep 3
	has_between x 690 700
	[ "$(call admin.vm.feature.Set+service.meminfo-writer y)" = '0|' ]
	[ "$(property y maxmem)" = 0 ]
	[[ $(call admin.vm.feature.Get+service.meminfo-writer y) == '2|QubesFeatureNotFoundError||'* ]]
	[ "$(call admin.vm.Start y)" = '0|' ]
	grep -qx '/qubes-service/meminfo-writer=0' "$BULKHEAD_HOME"/run/none/*.qdb
	uses y 400
	[ "$(call admin.vm.feature.Set+service.meminfo-writer y 1)" = '0|' ]
	[ "$(property y maxmem)" -ge 400 ]
	sleep 3
	# it was started without anything that could be added
	[ "$(has y)" = 400 ]
}

@test "a hundred thousand features of one qube keep nobody waiting, not even the next start" {
	make_template tmpl
	make_app work tmpl
	daemon_kill
	python3 - "$BULKHEAD_HOME/state/store.db" <<-'END'
		import sqlite3, sys
		store = sqlite3.connect(sys.argv[1])
		qid = store.execute("SELECT qid FROM qube WHERE name='work'").fetchone()[0]
		store.executemany("INSERT INTO feature VALUES (?,?,'v')", ((qid, "f%06d" % i) for i in range(100000)))
		store.commit()
	END
	daemon_start
	[ "$(call admin.vm.feature.Set+f050000 work new)" = '0|' ]
	[ "$(call admin.vm.feature.Set+f0500000 work between)" = '0|' ]
	[ "$(call admin.vm.feature.Remove+f099999 work)" = '0|' ]
	[[ $(call admin.vm.feature.Get+f099999 work) == '2|QubesFeatureNotFoundError||'* ]]
	[ "$(call admin.vm.feature.Get+f050000 work)" = '0|new' ]
	[ "$(call admin.vm.feature.List work | wc -l)" = 100000 ]
	[ "$(call admin.vm.feature.List work | sed -n '50001,50003p' | tr '\n' ' ')" = 'f050000 f0500000 f050001 ' ]
	[ "$(call admin.vm.Remove work)" = '0|' ]
	[[ $(call admin.vm.List dom0) != *work* ]]
}

@test "qvm-sync-appmenus: a qube that does not say all takes nothing away from its menu" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	mkdir "$BULKHEAD_HOME/libexec"
	ln -s "$libexec"/* "$BULKHEAD_HOME/libexec/"
	rm "$BULKHEAD_HOME/libexec/qrexec-client"
	cat >"$BULKHEAD_HOME/libexec/qrexec-client" <<-'END'
		#!/bin/sh
		cat "$BULKHEAD_HOME/says"
		exit "$(cat "$BULKHEAD_HOME/code")"
	END
	chmod +x "$BULKHEAD_HOME/libexec/qrexec-client"
	export BULKHEAD_LIBEXEC=$BULKHEAD_HOME/libexec
	[ "$(call admin.vm.Start work)" = '0|' ]
	printf '/usr/share/applications/%s.desktop:Name=%s\n' one One two Two >"$BULKHEAD_HOME/says"
	echo 0 >"$BULKHEAD_HOME/code"
	run -0 timeout 60 qvm-sync-appmenus work
	[[ $(call bulkhead.vm.menu.Get work) == *'[one]'*'[two]'* ]]
	# it ends in the middle, has no such service any more, or cannot be reached
	for code in 1 125 126 127; do
		head -n 1 "$BULKHEAD_HOME/says" >"$BULKHEAD_HOME/half"
		mv "$BULKHEAD_HOME/half" "$BULKHEAD_HOME/says"
		echo "$code" >"$BULKHEAD_HOME/code"
		run -1 timeout 60 qvm-sync-appmenus work
		[[ $(call bulkhead.vm.menu.Get work) == *'[one]'*'[two]'* ]]
		: >"$BULKHEAD_HOME/says"
	done
	# what it says in full counts, also if it has less
	echo '/usr/share/applications/two.desktop:Name=Two' >"$BULKHEAD_HOME/says"
	echo 0 >"$BULKHEAD_HOME/code"
	run -0 timeout 60 qvm-sync-appmenus work
	[[ $(call bulkhead.vm.menu.Get work) == *'[two]'* ]]
	[[ $(call bulkhead.vm.menu.Get work) != *'[one]'* ]]
}
