#!/usr/bin/env bats
# The README's first command, as a person on a fresh machine would type it, twice; then what it left running.
# bats file_tags=machines

load lib

setup_file() {
	BULKHEAD_HOME=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead tour.XXXXXX")
	export BULKHEAD_HOME
}

teardown_file() {
	instance_end
}

@test "make run on nothing: template, two qubes, the whole tour" {
	run timeout 1500 make -C "$top" run
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"The system is up"* ]]
}

@test "the tour showed isolation with real output" {
	run -1 qvm-run -p untrusted 'cat /home/user/secret.txt'
	run -0 qvm-run -p work 'cat /home/user/secret.txt'
	[ "$output" = "the merger is on" ]
}

@test "a file in /home survives a crash of the qube once it was flushed" {
	qvm-run -p untrusted 'echo kept > /home/user/flushed; sync'
	qvm-kill untrusted
	[ "$(state untrusted)" = Halted ]
	timeout 300 qvm-start untrusted
	run -0 qvm-run -p untrusted 'cat /home/user/flushed'
	[ "$output" = kept ]
}

@test "debian-12: none of its services has failed" {
	run -0 services_settle work
	[ "$output" = running ]
}

@test "make run again reuses what is there" {
	run timeout 300 make -C "$top" run
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output != *"once; a few minutes"* ]]
}

@test "a template changed while its qubes run: they see it at their next start" {
	timeout 300 qvm-start debian-12
	qvm-run -p -u root debian-12 'echo new > /usr/share/template-mark; sync'
	run ! qvm-run -p work 'cat /usr/share/template-mark'
	grows debian-12 private /rw
	timeout 300 qvm-shutdown --wait debian-12
	run ! qvm-run -p work 'cat /usr/share/template-mark'
	timeout 300 qvm-shutdown --wait work
	timeout 300 qvm-start work
	run -0 qvm-run -p work 'cat /usr/share/template-mark'
	[ "$output" = new ]
}

@test "make stop stops everything, make clean-run deletes the instance" {
	run -0 timeout 300 make -C "$top" stop
	[ -z "$(instance_processes)" ]
	[ -d "$BULKHEAD_HOME/state" ]
	run -0 timeout 300 make -C "$top" clean-run
	[ ! -e "$BULKHEAD_HOME/state" ]
}
