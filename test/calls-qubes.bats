#!/usr/bin/env bats
# Calls between real virtual machines, and to dom0, as the policy of an instance decides them.
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	appliance_begin work vault
	mkdir -p "$BULKHEAD_HOME/config/policy.d" "$BULKHEAD_HOME/config/qubes-rpc"
	cat >"$BULKHEAD_HOME/config/policy.d/10-test.policy" <<-EOF
		qubes.VMShell  *     work  vault      allow
		test.Dom0      *     work  @adminvm   allow
		test.Dom0      *     work  @default   allow target=dom0
		test.Halted    *     work  vault      allow autostart=no
	EOF
	printf '#!/bin/sh\necho "$QREXEC_REMOTE_DOMAIN $1"; cat; exit 7\n' >"$BULKHEAD_HOME/config/qubes-rpc/test.Dom0"
	chmod +x "$BULKHEAD_HOME/config/qubes-rpc/test.Dom0"
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
