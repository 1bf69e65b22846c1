#!/usr/bin/env bats
# Disposables as real virtual machines: for calls of a qube, for commands of dom0, and that nothing of them is left.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	appliance_begin work dvm
	mkdir -p "$BULKHEAD_HOME/config/policy.d"
	cat >"$BULKHEAD_HOME/config/policy.d/10-test.policy" <<-EOF
		qubes.VMShell   *  work  @dispvm          allow
		qubes.VMShell   *  work  @dispvm:dvm      allow
		qubes.VMExec    *  work  @dispvm          allow
		qubes.OpenInVM  *  work  @dispvm          allow
		test.Redirect   *  work  @default         allow target=@dispvm:dvm
		test.Other      *  work  @dispvm:@tag:web allow
	EOF
	timeout 30 qvm-prefs dvm template_for_dispvms True
	timeout 30 qvm-prefs work default_dispvm dvm
	timeout 300 qvm-start work >&2
	timeout 300 qvm-run -p dvm 'echo from the template >mark; sync' >&2
	timeout 300 qvm-shutdown --wait dvm >&2
	left_before
}

teardown_file() {
	instance_end
}

# what there is: processes, qubesd's descriptors, files, qubes. Logs of daemons grow, and are not of a disposable
footprint() {
	local qubesd
	qubesd=$(instance_processes | while read -r p; do [ "$(cat "/proc/$p/comm")" != qubesd ] || echo "$p"; done)
	instance_processes | while read -r p; do cat "/proc/$p/comm"; done | sort
	find "/proc/$qubesd/fd" -type l | wc -l
	(cd "$BULKHEAD_HOME" && find -L run state config | grep -v '^state/store.db' | sort)
	ask 'bulkhead.List dom0 name dom0\0name\nqid\ntags'
	ask 'bulkhead.Status dom0 name dom0\0' | grep -E 'n_qubes|n_running|n_jobs|n_clients'
}
left_before() {
	# the broker of "work" is there from its first call on
	timeout 300 qvm-run -p work 'qrexec-client-vm dom0 test.None </dev/null' >&2 || true
	footprint >"$BATS_FILE_TMPDIR/before"
}
nothing_left() {
	footprint >"$BATS_FILE_TMPDIR/now"
	cmp -s "$BATS_FILE_TMPDIR/before" "$BATS_FILE_TMPDIR/now"
}
all_gone() {
	within 60 nothing_left || { diff "$BATS_FILE_TMPDIR/before" "$BATS_FILE_TMPDIR/now"; false; }
}

# disposable STATE: names of those that are in it
disposable() {
	qvm-ls --class DispVM --raw-data --fields NAME,STATE | grep "|$1\$" | cut -d '|' -f 1
}
runs() {
	[ -n "$(disposable Running)" ]
}
# none_left: no disposable, whatever else there is
none_left() {
	[ -z "$(qvm-ls --class DispVM --raw-list)" ]
}

# in_work COMMAND: in the running qube "work"
in_work() {
	timeout 300 qvm-run -p work "$@"
}

@test "a command of dom0 runs in a new disposable: streams, exit code, its template's files; what it writes is gone" {
	run -7 --separate-stderr timeout 300 qvm-run --dispvm=dvm -p 'hostname; cat mark -; echo more >>mark; exit 7' <<<input
	[[ ${lines[0]} =~ ^disp[0-9]{1,4}$ ]]
	[ "${lines[1]}|${lines[2]}" = 'from the template|input' ]
	# who waited finds it gone
	none_left
	all_gone
	run -1 timeout 60 qvm-run --dispvm=work -p true
	[[ $output == *"no disposable is made from 'work'"* ]]
}

@test "a qube calls its default disposable, one of a template, and one that the policy chooses" {
	run -5 in_work 'for t in @dispvm @dispvm:dvm; do echo "hostname; cat; exit 3" | qrexec-client-vm $t qubes.VMShell; echo "code $?"; done; exit 5'
	[[ ${lines[0]} =~ ^disp[0-9]+$ && ${lines[2]} =~ ^disp[0-9]+$ ]]
	[ "${lines[1]}|${lines[3]}" = 'code 3|code 3' ]
	[ "${lines[0]}" != "${lines[2]}" ]
	# the service is not there; that it is called in a disposable is what counts
	run -127 in_work 'qrexec-client-vm @default test.Redirect </dev/null'
	run -126 in_work 'qrexec-client-vm @dispvm:work qubes.VMShell </dev/null'
	run -126 in_work 'qrexec-client-vm @dispvm:dvm test.Other </dev/null'
	all_gone
}

@test "what the policy refuses by the time that the disposable runs is refused, and it goes" {
	local file="$BULKHEAD_HOME/config/policy.d/05-test.policy"
	in_work 'qrexec-client-vm @dispvm qubes.VMShell </dev/null; echo "code $?"' >"$BATS_TEST_TMPDIR/out" 3>&- &
	within 60 eval '[ -n "$(disposable Transient)" ]'
	echo 'qubes.VMShell * work @anyvm deny' >"$file"
	wait $!
	rm "$file"
	grep -qx 'code 126' "$BATS_TEST_TMPDIR/out"
	cat "$BULKHEAD_HOME"/state/log/policy-?.log | tail -n 5
	cat "$BULKHEAD_HOME"/state/log/policy-?.log | grep -q $'rule=05-test.policy:1\treason=what was decided does not hold any more'
	all_gone
	run -0 in_work 'echo "echo fine" | qrexec-client-vm @dispvm qubes.VMShell'
	[ "$output" = fine ]
	all_gone
}

@test "qvm-run --dispvm and qvm-open-in-dvm as their users type them" {
	run -4 in_work 'qvm-run --dispvm --no-gui -p "hostname; exit 4"'
	[[ ${lines[0]} =~ ^disp[0-9]+$ ]]
	# there is nothing in the small template that could show the file: the disposable says so
	run in_work 'echo text >file; qvm-open-in-dvm --view-only file'
	echo "$output"
	[ "$status" != 0 ] && [ "$status" != 126 ]
	all_gone
}

@test "the disposable dies first, or its caller, or the program that called: it is gone" {
	in_work 'echo "sleep 1000" | qrexec-client-vm @dispvm qubes.VMShell; echo "code $?"' >"$BATS_TEST_TMPDIR/out" 3>&- &
	within 120 runs
	sleep 1
	timeout 60 qvm-kill "$(disposable Running)"
	wait $!
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = 'code 255' ]
	all_gone
	# the program
	in_work 'echo "sleep 1000" | sh -c "echo \$\$ >pid; exec qrexec-client-vm @dispvm qubes.VMShell"' 3>&- &
	within 120 runs
	sleep 1
	in_work 'kill -9 $(cat pid)'
	wait $! || true
	all_gone
	# the caller, while the disposable boots
	in_work 'echo "sleep 1000" | qrexec-client-vm @dispvm qubes.VMShell' 3>&- &
	within 60 eval '[ -n "$(disposable Transient)" ]'
	timeout 60 qvm-kill work
	wait $! || true
	within 60 none_left
	timeout 300 qvm-start work
	left_before
}

@test "qvm-run that is killed leaves none, while it starts and when it runs" {
	qvm-run --dispvm=dvm -p true 3>&- &
	within 60 eval '[ -n "$(disposable Transient)" ]'
	kill -9 $!
	wait $! || true
	all_gone
	qvm-run --dispvm=dvm -p 'sleep 1000' 3>&- &
	within 120 runs
	kill -9 $!
	wait $! || true
	all_gone
}

@test "one that does not start in time is a refusal, and its console's log is kept" {
	timeout 30 qvm-prefs dvm qrexec_timeout 1
	run -126 in_work 'qrexec-client-vm @dispvm qubes.VMShell </dev/null'
	run -1 timeout 120 qvm-run --dispvm=dvm -p true
	[[ $output == *"higher qrexec_timeout"* ]]
	timeout 30 qvm-prefs --default dvm qrexec_timeout
	logs=("$BULKHEAD_HOME"/state/log/guest-disp*.log)
	ls -l "${logs[@]}"
	[ ${#logs[@]} = 2 ]
	rm "${logs[@]}"
	all_gone
}

@test "qubesd killed in the middle: calls go on and end as always; one that nobody holds any more goes" {
	in_work 'echo "sleep 20; echo done" | qrexec-client-vm @dispvm qubes.VMShell' >"$BATS_TEST_TMPDIR/out" 3>&- &
	call=$!
	qvm-run --dispvm=dvm -p 'sleep 1000' 3>&- &
	killed=$!
	within 120 eval '[ "$(disposable Running | wc -l)" = 2 ]'
	# qubesd first: it must not hear of the other's end
	kill -9 "$(instance_processes | while read -r p; do [ "$(cat "/proc/$p/comm")" != qubesd ] || echo "$p"; done)" "$killed"
	timeout 30 bulkhead start
	[ "$(qvm-ls --class DispVM --raw-list | wc -l)" = 2 ]
	wait "$call"
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = 'done' ]
	within 90 none_left
	left_before
}

@test "a row of disposables leaves processes, descriptors, files and store as they were" {
	local n
	for ((n = $(rounds disposables 3 200); n > 0; n--)); do
		run -0 --separate-stderr timeout 300 qvm-run --dispvm=dvm -p 'echo $((6 * 7))'
		[ "$output" = 42 ]
		all_gone
		round_done disposables
	done
}

# waits: the one disposable that there is stands paused, and was started for whoever asks next
waits() {
	[[ $(qvm-ls --class DispVM --raw-data --fields NAME,STATE) =~ ^(disp[0-9]+)\|Paused$ ]] &&
		[ "$(qvm-features "${BASH_REMATCH[1]}" preload-dispvm-completed)" = 1 ]
}

@test "one that was started before anybody asked is used as if it were new; none wanted, nothing is left" {
	local d now
	qvm-features dvm preload-dispvm-max 1
	within 300 waits
	d=$(disposable Paused)
	# long enough for its clock to be behind
	sleep 3
	run -0 --separate-stderr timeout 300 qvm-run --dispvm=dvm -p 'hostname; cat mark; date +%s'
	now=$(date +%s)
	[ "${lines[0]}|${lines[1]}" = "$d|from the template" ]
	((lines[2] >= now - 2 && lines[2] <= now + 1))
	within 300 waits
	[ "$(disposable Paused)" != "$d" ]
	qvm-features dvm preload-dispvm-max 0
	within 90 none_left
	all_gone
}

@test "a named disposable forgets at each start, and stays" {
	timeout 30 qvm-create --disp -t dvm shop
	timeout 300 qvm-run -p shop 'echo x >new; sync'
	timeout 120 qvm-shutdown --wait shop
	run -1 timeout 300 qvm-run -p shop 'test -e new'
	timeout 60 qvm-kill shop
	[ "$(state shop)" = Halted ]
	timeout 30 qvm-remove -f shop
	rm -f "$BULKHEAD_HOME/state/log/guest-shop.log"
	all_gone
}
