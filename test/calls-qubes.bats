#!/usr/bin/env bats
# Calls between real virtual machines, and to dom0, as the policy of an instance decides them.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib
load terminal-lib

setup_file() {
	instance_begin
	appliance_begin work vault
	mkdir -p "$BULKHEAD_HOME/config/policy.d" "$BULKHEAD_HOME/config/qubes-rpc"
	cat >"$BULKHEAD_HOME/config/policy.d/10-test.policy" <<-EOF
		qubes.VMShell  *     work  vault      allow
		test.Dom0      *     work  @adminvm   allow
		test.Dom0      *     work  @default   allow target=dom0
		test.Ask       *     work  @adminvm   ask
		test.Halted    *     work  vault      allow autostart=no
	EOF
	printf '#!/bin/sh\necho "$QREXEC_REMOTE_DOMAIN $1"; cat; exit 7\n' >"$BULKHEAD_HOME/config/qubes-rpc/test.Dom0"
	chmod +x "$BULKHEAD_HOME/config/qubes-rpc/test.Dom0"
	cp "$BULKHEAD_HOME/config/qubes-rpc/test.Dom0" "$BULKHEAD_HOME/config/qubes-rpc/test.Ask"
	timeout 300 qvm-start work >&2
}

teardown_file() {
	instance_end
}

# in_work COMMAND: in the running qube "work"
in_work() {
	timeout 300 qvm-run -p work "$@"
}

@test "a service of dom0: streams and exit code" {
	run -7 in_work 'echo text | qrexec-client-vm dom0 test.Dom0+arg'
	[ "$output" = $'work arg\ntext' ]
	run -7 in_work 'qrexec-client-vm @default test.Dom0 </dev/null'
	run -127 in_work 'qrexec-client-vm dom0 test.Dom0 </dev/null; qrexec-client-vm dom0 test.Absent </dev/null; exit 127'
}

@test "a qube that the policy lets manage others: the Admin API over qrexec, an image, and events until it goes" {
	cat >"$BULKHEAD_HOME/config/policy.d/11-admin.policy" <<-EOF
		admin.vm.List                   * work @adminvm allow target=@adminvm
		admin.vm.List                   * work vault    allow target=@adminvm
		admin.vm.property.Get           * work vault    allow target=@adminvm
		admin.vm.volume.ImportWithSize  * work vault    allow target=@adminvm
		admin.Events                    * work vault    allow target=@adminvm
	EOF
	within 20 eval '[[ $(timeout 60 qubes-policy explain work vault admin.vm.List) == *allow* ]]'
	run -0 in_work 'qrexec-client-vm dom0 admin.vm.List </dev/null | tr "\000" "|"'
	[[ ${lines[0]} == '0|dom0 class=AdminVM state=Running uuid='* ]]
	[[ ${lines[1]} == 'vault class=AppVM state=Halted uuid='* ]]
	[ ${#lines[@]} = 2 ]
	run -0 in_work 'qrexec-client-vm vault admin.vm.property.Get+label </dev/null | tr "\000" "|"'
	[ "$output" = '0|default=False type=label red' ]
	run -126 in_work 'qrexec-client-vm vault admin.vm.property.Set+label </dev/null'
	run -126 in_work 'qrexec-client-vm appliance admin.vm.property.Get+label </dev/null'
	timeout 60 qvm-create --template appliance --label red third
	# three MiB, of which 64 KiB would be a request
	run -0 in_work '(echo 3145728; yes "an image" | head -c 3145728) | qrexec-client-vm vault admin.vm.volume.ImportWithSize+private | tr "\000" "|"'
	[ "$output" = '0|' ]
	run -0 in_work 'qrexec-client-vm vault admin.Events </dev/null >/tmp/events & sleep 15; kill -9 $!; tr "\000" "|" </tmp/events'
	[[ $output == '1||connection-established||'* ]]
	within 60 eval '[[ $(ask "bulkhead.Status dom0 name dom0\0") == *n_streams=0* ]]'
	timeout 60 qvm-remove -f third vault
	timeout 60 qvm-create --template appliance --label red vault
	rm "$BULKHEAD_HOME/config/policy.d/11-admin.policy"
}

# feature QUBE NAME: its value in dom0
feature() {
	ask "admin.vm.feature.Get+$2 dom0 name $1\0"
}

@test "dom0 tells the time, unless the administrator has a service of that name" {
	run -0 in_work 'qrexec-client-vm @default qubes.GetDate; yes | qrexec-client-vm dom0 qubes.GetDate'
	[ "${#lines[@]}" = 2 ]
	for line in "${lines[@]}"; do
		[[ $line == 20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]+00:00 ]]
		off=$(($(date +%s) - $(date -d "$line" +%s)))
		[ $off -ge 0 ] && [ $off -le 300 ]
	done
	printf '#!/bin/sh\necho mine\n' >"$BULKHEAD_HOME/config/qubes-rpc/qubes.GetDate"
	chmod +x "$BULKHEAD_HOME/config/qubes-rpc/qubes.GetDate"
	run -0 in_work 'qrexec-client-vm dom0 qubes.GetDate'
	[ "$output" = mine ]
	rm "$BULKHEAD_HOME/config/qubes-rpc/qubes.GetDate"
}

@test "that there are updates for its template a qube may say, and nothing but a number" {
	run -0 in_work 'echo 0 | qrexec-client-vm dom0 qubes.NotifyUpdates'
	[[ $(feature appliance updates-available) == '2|QubesFeatureNotFoundError|'* ]]
	run -1 in_work 'echo many | qrexec-client-vm dom0 qubes.NotifyUpdates'
	run -1 in_work 'yes 1 | qrexec-client-vm dom0 qubes.NotifyUpdates'
	[[ $(feature appliance updates-available) == '2|QubesFeatureNotFoundError|'* ]]
	run -0 in_work 'echo 3 | qrexec-client-vm dom0 qubes.NotifyUpdates'
	[ "$(feature appliance updates-available)" = '0|1' ]
	[[ $(feature work updates-available) == '2|QubesFeatureNotFoundError|'* ]]
}

@test "what a template can do it tells dom0; a qube made from it tells nothing" {
	run -0 in_work 'qvm-features-request os=Work --commit'
	[[ $(feature work os) == '2|QubesFeatureNotFoundError|'* ]]
	timeout 300 qvm-start appliance
	in_template() { timeout 300 qvm-run -p -u root appliance "$@"; }
	run -0 in_template '/etc/qubes-rpc/qubes.PostInstall'
	[ "$(feature appliance os)" = '0|Linux' ]
	[ "$(feature appliance vmexec)" = '0|1' ]
	[ "$(feature appliance supported-rpc.qubes.Filecopy)" = '0|1' ]
	# one word that is none, and nothing of it counts
	run -1 in_template 'qubesdb-write /features-request/os "<b>"; qubesdb-write /features-request/vmexec 0; qvm-features-request --commit'
	[ "$(feature appliance os)" = '0|Linux' ]
	[ "$(feature appliance vmexec)" = '0|1' ]
	run -0 in_template 'qubesdb-rm /features-request/; /usr/lib/qubes/qubes-notify-tools'
	[ "$(feature appliance qrexec)" = '0|1' ]
	[ "$(feature appliance os)" = '0|Linux' ]
	timeout 300 qvm-shutdown --wait appliance
}

@test "a running qube is told of features that are for it, as they change" {
	qvm-features work service.b 1
	run -0 in_work 'qubesdb-read /qubes-service/b'
	[ "$output" = 1 ]
	qvm-features work service.b ''
	qvm-features work vm-config.key 'some value'
	qvm-features work other 1
	run -0 in_work 'qubesdb-read /qubes-service/b; qubesdb-read /vm-config/key; qubesdb-list /vm-config/'
	[ "$output" = $'0\nsome value\nkey' ]
	# many at once: the last word of each is the last change
	for i in 1 2 3 4 5 6 7 8; do
		qvm-features work "vm-config.n$i" "$i" &
		qvm-features work vm-config.key "$i" && qvm-features work vm-config.key end && wait
	done
	run -0 in_work 'qubesdb-read /vm-config/key; qubesdb-multiread /vm-config/n | wc -l'
	[ "$output" = $'end\n8' ]
	qvm-features -D work service.b
	qvm-features -D work vm-config.key
	run -1 in_work 'qubesdb-read -q /qubes-service/b || qubesdb-read -q /vm-config/key'
	[ -z "$output" ]
	# a keyboard: its own, and that of who shows its windows
	run -0 in_work 'qubesdb-read /keyboard-layout'
	[ "$output" = us++ ]
	qvm-prefs dom0 keyboard_layout de++
	within 20 eval '[ "$(in_work "qubesdb-read /keyboard-layout")" = de++ ]'
	qvm-prefs work keyboard_layout cz+qwerty+
	run -0 in_work 'qubesdb-read /keyboard-layout'
	[ "$output" = cz+qwerty+ ]
	qvm-prefs -D work keyboard_layout
	qvm-prefs -D dom0 keyboard_layout
	# at its start it gets what stands then; what changes while it starts it gets as soon as it runs
	qvm-features vault service.early 1
	qvm-features vault anon-timezone 1
	timeout 300 qvm-start vault 3>&- &
	within 60 eval '[ "$(state vault)" = Transient ]'
	qvm-features vault service.early ''
	qvm-features vault service.late 1
	wait $!
	told() { [ "$(timeout 300 qvm-run -p vault 'qubesdb-read /qubes-service/early; qubesdb-read /qubes-service/late')" = $'0\n1' ]; }
	within 60 told
	# where this machine is, it tells those that may know
	run timeout 300 qvm-run -p work 'qubesdb-read /qubes-timezone'
	case $(readlink /etc/localtime) in
	*/zoneinfo/*) [ "$output" = "$(readlink /etc/localtime | sed 's|.*/zoneinfo/||')" ] ;;
	esac
	run -1 timeout 300 qvm-run -p vault 'qubesdb-read -q /qubes-timezone'
	qvm-features -D vault anon-timezone
	timeout 300 qvm-shutdown --wait vault
}

@test "a database of a qube that does not answer holds up nobody but who changes a feature, and him not for long" {
	database=$(instance_processes | xargs ps -o pid=,args= -p | awk '/qubesdb-daemon .*work$/ { print $1 }')
	[ -n "$database" ]
	kill -STOP "$database"
	timeout 60 qvm-features work vm-config.stopped 1 3>&- &
	setter=$!
	[ "$(timeout 5 qvm-prefs work name)" = work ]
	qvm-features work other 2
	[ "$(qvm-features work other)" = 2 ]
	kill -0 $setter
	wait $setter
	[ "$(qvm-features work vm-config.stopped)" = 1 ]
	grep -q 'work: what changed cannot be told it before its next start' "$BULKHEAD_HOME/state/log/qubesd.log"
	kill -CONT "$database"
	qvm-features work vm-config.stopped 2
	run -0 in_work 'qubesdb-read /vm-config/stopped'
	[ "$output" = 2 ]
}

@test "what the policy does not allow is refused, and what it allows only while it runs" {
	run -126 --separate-stderr in_work 'qrexec-client-vm dom0 test.Other'
	[ "$stderr" = "Request refused" ]
	run -126 in_work 'qrexec-client-vm vault test.Halted'
	[ "$(state vault)" = Halted ]
	run -126 in_work 'qrexec-client-vm work qubes.VMShell'
}

@test "a call starts the qube that is called" {
	run -5 in_work 'echo "hostname; exit 5" | qrexec-client-vm vault qubes.VMShell'
	[ "$output" = vault ]
	[ "$(state vault)" = Running ]
}

@test "large streams, both ways at once, are the same" {
	in_work 'head -c 5000000 /dev/urandom >/tmp/x; (echo cat; cat /tmp/x) | qrexec-client-vm vault qubes.VMShell | cmp - /tmp/x'
}

@test "many at once, and each has its own answer" {
	run -0 in_work 'for i in 1 2 3 4 5 6 7 8; do
		(echo "echo $i; exit $i" | qrexec-client-vm vault qubes.VMShell; echo "= $?") & done; wait'
	[ "$(grep -cE '^= [1-8]$' <<<"$output")" = 8 ]
	[ "$(grep -E '^= ' <<<"$output" | sort -u | wc -l)" = 8 ]
}

# who moves nothing any more is seen by its process in the other qube
gone_in_vault() {
	! timeout 60 qvm-run -p vault 'kill -0 $(cat /tmp/pid)' 2>/dev/null
}

@test "a caller that is killed ends the service in the other qube" {
	run -0 in_work 'mkfifo /tmp/in; qrexec-client-vm vault qubes.VMShell </tmp/in & exec 3>/tmp/in
		echo "echo \$\$ >/tmp/pid; echo there >&2; exec sleep 1000" >&3; sleep 5; kill -9 $!; exec 3>&-'
	[[ $output == *there* ]]
	within 60 gone_in_vault
	run -0 in_work 'echo "echo ok" | qrexec-client-vm vault qubes.VMShell'
	[ "$output" = ok ]
}

@test "callers that are killed at any moment hold nothing of the other qube" {
	run -0 in_work 'for i in 0 0.1 0.2 0.3 0.5 0.8; do
		qrexec-client-vm vault qubes.VMShell </dev/null & sleep $i; kill -9 $!; done 2>/dev/null; wait
		echo "echo ok" | qrexec-client-vm vault qubes.VMShell'
	[ "$output" = ok ]
	within 60 bash -c '[ "$(timeout 60 qvm-run -p -u root vault "ps | grep -c [q]rexec-agent")" -le 2 ]'
}

@test "a qube that is killed ends the calls to it" {
	in_work '(echo "exec sleep 1000"; cat /dev/zero) | qrexec-client-vm vault qubes.VMShell; echo "ended $?"' \
		>"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	sleep 5
	timeout 60 qvm-kill vault
	wait $!
	grep -q 'ended 255' "$BATS_TEST_TMPDIR/out"
}

@test "without a display the person is asked on the terminal of qvm-run" {
	local dir=$BATS_TEST_TMPDIR
	terminal_begin qvm-run -p work 'echo text | qrexec-client-vm dom0 test.Ask+x; echo "ended $?"'
	asked
	grep -q 'The qube work (red) wants to' "$dir/screen"
	printf 'dom0 %s\n' "$number" >&9
	within 60 grep -q 'ended 7' "$dir/screen"
	grep -q 'work x' "$dir/screen"
	exec 9>&-
	wait "$terminal"
	run -126 in_work 'qrexec-client-vm dom0 test.Ask </dev/null'
}

@test "qrexec-client -k: the qube is killed when the call is over" {
	timeout 300 qvm-start vault 2>/dev/null || [ "$(state vault)" = Running ]
	run -3 timeout 60 "$libexec/qrexec-client" -d vault -k 'DEFAULT:exit 3'
	[ "$(state vault)" = Halted ]
}
