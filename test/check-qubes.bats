#!/usr/bin/env bats
# bulkhead check, and a lost store, where a real virtual machine runs.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2154

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	appliance_begin work
	timeout 300 qvm-start work >&2
	export monitor qemu
	monitor=$(the_monitor)
	qemu=$(process qemu-system-x86)
}

teardown_file() {
	instance_end
}

# process NAME: the pid of the instance's one of that name
process() {
	local p
	for p in $(instance_processes); do
		[ "$(ps -o comm= -p "$p")" != "$1" ] || echo "$p"
	done
}

# the_monitor: the qube's qube-monitor, not the reader that it has for a child
the_monitor() {
	local p
	for p in $(process qube-monitor); do
		[ "$(ps -o pgid= -p "$p" | tr -d ' ')" != "$p" ] || echo "$p"
	done
}

# findings: of bulkhead check "$@", a word each
findings() {
	timeout 60 bulkhead check --json "$@" | jq -r '.[] | .kind + ":" + .state'
}

# qubesd_end: as a crash does, the qube runs on
qubesd_end() {
	kill -9 "$(process qubesd)"
	within 10 eval '[ -z "$(process qubesd)" ]'
}

runs_on() {
	[ "$(the_monitor) $(process qemu-system-x86)" = "$monitor $qemu" ]
	[ "$(timeout 300 qvm-run -p work 'echo here')" = here ]
}

@test "nothing is found where a qube runs, with qubesd or without it, and a repair leaves it alone" {
	[ -z "$(findings)" ]
	[ -z "$(findings --repair)" ]
	qubesd_end
	[ -z "$(findings)" ]
	[ -z "$(findings --repair)" ]
	[ "$(the_monitor) $(process qemu-system-x86)" = "$monitor $qemu" ]
	timeout 60 bulkhead start
	runs_on
}

@test "the store is lost while it runs: no qubesd begins, no repair ends it; put back, all goes on" {
	local db=$BULKHEAD_HOME/state/store.db
	qubesd_end
	mkdir "$BULKHEAD_HOME/away"
	mv "$db"* "$BULKHEAD_HOME/away"
	run -1 timeout 60 bulkhead start
	echo "$output"
	[[ $output == *"store.db: it is missing or empty, but 'work' runs"*"--begin-anew"* ]]
	[ "$(findings --repair)" = store:hand ]
	[ "$(the_monitor) $(process qemu-system-x86)" = "$monitor $qemu" ]
	[ ! -e "$db" ]
	mv "$BULKHEAD_HOME/away/"* "$BULKHEAD_HOME/state"
	timeout 60 bulkhead start
	runs_on
}

@test "a qube that the store does not say runs is found as one, and ended by a repair, whole" {
	qubesd_end
	python3 -c 'import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute("DELETE FROM operation"); db.commit()' "$BULKHEAD_HOME/state/store.db"
	run --separate-stderr timeout 60 bulkhead check --json
	echo "$output"
	jq -e --arg pid "$monitor" 'any(.[]; .kind == "leftover" and .state == "can" and (.subject | contains("qube-monitor, process " + $pid)))' <<<"$output"
	# the daemons of one that has a monitor are not looked at by themselves
	[ "$(jq '[.[] | select(.subject | test("process"))] | length' <<<"$output")" = 1 ]
	timeout 60 bulkhead check --repair --json || true
	within 30 eval '[ -z "$(process qube-monitor)$(process qemu-system-x86)$(process vchand)" ]'
	within 20 eval '[ -z "$(findings --repair)" ]'
	timeout 60 bulkhead start
	[ "$(state work)" = Halted ]
	timeout 300 qvm-start work
	[ "$(timeout 300 qvm-run -p work 'echo again')" = again ]
}
