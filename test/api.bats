#!/usr/bin/env bats
# The Admin API, call by call: qubesd with qubes that run at once and do nothing (vmm/none).
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib

# kernel_set: one that can be named; nothing boots it
kernel_set() {
	mkdir -p "$BULKHEAD_HOME/state/kernels/1"
	touch "$BULKHEAD_HOME/state/kernels/1/"{vmlinuz,initramfs,modules.img}
}

# call METHOD[+ARG] DEST [PAYLOAD]: the answer to a call by dom0
call() {
	ask "$1 dom0 name $2\0${3-}"
}

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
	[[ $(call admin.vm.CurrentState work) == '0|mem=409600 mem_static_max=409600 cputime=0 power_state=Running' ]]
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
	[[ $(call admin.vm.firewall.Set work) == '2|ProtocolError||'* ]]
	[[ $(call admin.vm.firewall.Set dom0 'action=drop') == '2|ProtocolError||'* ]]
	daemon_kill
	daemon_start
	[ "$(call admin.vm.firewall.Get work)" = "$rules" ]
	[ "$(heard events | grep -c '^1|work|firewall-changed|')" = 1 ]
	hear again work
	[ "$(call admin.vm.firewall.Reload work)" = '0|' ]
	within 5 grep -q firewall-changed "$BULKHEAD_HOME/again"
}
