# The life of qubes as a user types it, with real virtual machines on the small template; most of it is qvm-run.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2030,SC2031,SC2016,SC2094,SC2154

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	appliance_begin work red
	timeout 300 qvm-start work >&2
}

teardown_file() {
	instance_end
}

# in_work OPTION... COMMAND: qvm-run -p in the running qube
in_work() {
	timeout 120 qvm-run -p work "$@"
}

@test "a started qube runs, another stays halted" {
	[ "$(state work)" = Running ]
	[ "$(state red)" = Halted ]
	run qvm-start work
	[ "$status" = 1 ]
	[[ $output == *"running already"* ]]
	qvm-start --skip-if-running work
}

@test "a personal stage that was cut short is done again, and finds /rw mounted" {
	run -0 in_work -u root 'rm /run/qubes/personal.done && /usr/lib/qubes/stage-personal 2>&1 && grep -c " /rw " /proc/mounts && ls /run/qubes/personal.done'
	echo "$output"
	[[ $output == *$'1\n/run/qubes/personal.done' && $output != *"not mounted"* ]]
	[ "$(in_work "id -un")" = user ]
}

@test "what runs in a qube is not spared when memory is short, as its agent is" {
	local adj='/proc/$(pidof qrexec-agent | tr " " "\n" | sort -n | head -n 1)/oom_score_adj'
	in_work -u root "echo -900 >$adj"
	[ "$(in_work -u root "cat $adj")" = -900 ]
	[ "$(in_work 'cat /proc/self/oom_score_adj')" = 0 ]
	[ "$(in_work -u root 'cat /proc/self/oom_score_adj')" = 0 ]
	in_work -u root "echo 0 >$adj"
}

@test "QEMU gives way to dom0's programs, whose session it shares" {
	local p nice qemu='' others=-20 sessions
	for p in $(instance_processes); do
		nice=$(ps -o ni= -p "$p")
		if [[ $(cat "/proc/$p/comm") == qemu-system* ]]; then
			qemu=$p
		elif [ "$nice" -gt "$others" ]; then
			others=$nice
		fi
	done
	[ "$(ps -o ni= -p "$qemu")" -ge $((others > 9 ? 19 : others + 10)) ]
	[ "$(ps -L -o ni= -p "$qemu" | sort -u | wc -l)" = 1 ]
	# a nice value holds among those whom the kernel weighs as one: a session, if it weighs sessions
	sessions=$(instance_processes | xargs ps -o sid= -p | sort | uniq -c | sort -rn | awk '{ print $2 }' | head -n 1)
	[ "$(ps -o sid= -p "$qemu" | tr -d ' ')" = "$sessions" ]
	[ "$(ps -o sid= -C qubesd | tr -d ' ' | grep -cx "$sessions")" -ge 1 ]
}

@test "output is the command's, to the byte, and errors stay apart" {
	[ "$(in_work 'echo hello; echo trouble >&2' 2>"$BATS_TEST_TMPDIR/err")" = hello ]
	[ "$(cat "$BATS_TEST_TMPDIR/err")" = trouble ]
	in_work 'head -c 300000 /dev/zero | tr "\0" "\377"' >"$BATS_TEST_TMPDIR/out"
	[ "$(stat -c %s "$BATS_TEST_TMPDIR/out")" = 300000 ]
	[ "$(tr -d '\377' <"$BATS_TEST_TMPDIR/out" | wc -c)" = 0 ]
}

@test "input reaches the command, and its end too" {
	head -c 1000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
	in_work cat <"$BATS_TEST_TMPDIR/in" | cmp - "$BATS_TEST_TMPDIR/in"
	[ "$(in_work 'cat; echo end' </dev/null)" = end ]
	# a command that does not read is no obstacle
	yes | head -c 1000000 | in_work true
}

@test "exit codes and signals pass through" {
	for code in 0 1 2 42 125 126 127 255; do
		run "-$code" in_work "exit $code"
	done
	run -137 in_work 'kill -9 $$'
	run -143 in_work 'kill -15 $$'
	run -127 in_work /nonexistent/program
}

@test "arguments stay whole, a single word is for the shell" {
	[ "$(in_work -- printf '%s|' 'a b' "it's" '$HOME' '"')" = "a b|it's|\$HOME|\"|" ]
	[ "$(in_work 'echo $((6 * 7))')" = 42 ]
	run -127 in_work --no-shell 'echo $((6 * 7))'
}

@test "users: the default one, another, none of that name" {
	[ "$(in_work 'id -un')" = user ]
	[ "$(in_work -u root 'id -u')" = 0 ]
	run in_work -u nosuchuser true
	[ "$status" != 0 ]
}

@test "services: an unknown one is 127" {
	run -127 --separate-stderr in_work --service nosuch.Service+arg
	[[ $stderr == *"work: nosuch.Service+arg ended with 127: there is no such service in this qube"* ]]
}

@test "without --pass-io nothing comes back but the exit code" {
	run --separate-stderr timeout 120 qvm-run work 'echo hello; echo trouble >&2; exit 7'
	[ "$status" = 7 ]
	[ -z "$output" ]
	[ "$stderr" = "Running 'echo hello; echo trouble >&2; exit 7' on work" ]
	run timeout 120 qvm-run -q work true
	[ -z "$output" ]
}

@test "on a terminal the output is red and control characters are replaced" {
	run timeout 60 script -qec "qvm-run -p work 'printf \"a\\033b\"'" /dev/null </dev/null
	[[ $output == *$'\033[0;31m'*a_b*$'\033[0m'* ]]
	run timeout 60 script -qec "qvm-run -p --no-colour-output --no-colour-stderr work 'printf \"a\\033b\"'" /dev/null </dev/null
	[[ $output != *$'\033'* ]]
	run timeout 60 script -qec "qvm-run -p --no-filter-escape-chars --no-colour-stderr work 'printf \"a\\033b\"'" /dev/null </dev/null
	[[ $output == *$'a\033b'* ]]
}

@test "--localcmd: the command speaks with a program of dom0" {
	timeout 120 qvm-run -p --localcmd "cat >'$BATS_TEST_TMPDIR/said'" work 'echo from the qube'
	[ "$(cat "$BATS_TEST_TMPDIR/said")" = "from the qube" ]
	# byte by byte, on a terminal too
	local said=$BATS_TEST_TMPDIR/bytes
	timeout 120 script -qec "qvm-run -p --localcmd 'cat >$said' work 'printf \"a\\033\\377b\"'" /dev/null </dev/null
	[ "$(od -An -tx1 "$said" | tr -d ' ')" = 611bff62 ]
}

@test "ending qvm-run ends the command in the qube" {
	qvm-run -p work 'sleep 4321' </dev/null &
	local pid=$!
	within 60 in_work 'ps | grep -q "[s]leep 4321"' </dev/null
	kill $pid
	wait $pid || true
	within 60 in_work '! ps | grep -q "[s]leep 4321"' </dev/null
}

@test "50 at once, each with its own answer" {
	local i pids=() code
	for i in $(seq 50); do
		timeout 240 qvm-run -p work "cat; exit $i" <<<"answer $i" >"$BATS_TEST_TMPDIR/out.$i" &
		pids[i]=$!
	done
	for i in $(seq 50); do
		code=0
		wait "${pids[i]}" || code=$?
		[ "$code $(cat "$BATS_TEST_TMPDIR/out.$i")" = "$i answer $i" ]
	done
}

@test "--no-autostart fails in a halted qube and leaves it halted" {
	run timeout 120 qvm-run -p -n red true
	[ "$status" = 1 ]
	[[ $output == *"not running"* ]]
	[ "$(state red)" = Halted ]
}

@test "pause and unpause" {
	qvm-pause work
	[ "$(state work)" = Paused ]
	run qvm-run -p work true
	[ "$status" = 1 ]
	[[ $output == *"qvm-unpause work"* ]]
	run qvm-shutdown work
	[ "$status" = 1 ]
	run qvm-start work
	[ "$status" = 1 ]
	qvm-unpause work
	[ "$(state work)" = Running ]
	[ "$(in_work 'echo still here')" = "still here" ]
}

@test "a qube that is paused while it shuts down is still shutting down afterwards" {
	# nothing in it listens to the power button any more
	in_work -u root 'mv /etc/acpi/PWRF /etc/acpi/PWRF.away'
	qvm-prefs work shutdown_timeout 30
	qvm-shutdown work
	[ "$(state work)" = Halting ]
	qvm-pause work
	[ "$(state work)" = Paused ]
	qvm-unpause work
	[ "$(state work)" = Halting ]
	# and the time it has for that goes on
	within 120 eval '[ "$(state work)" = Running ]'
	in_work -u root 'mv /etc/acpi/PWRF.away /etc/acpi/PWRF'
	qvm-prefs --default work shutdown_timeout
}

@test "qvm-run starts a halted qube; several qubes at once" {
	# seconds, whose milliseconds are more than 32 bits hold
	qvm-prefs red qrexec_timeout 4294968
	timeout 300 qvm-run --all 'echo $HOME >/home/user/mark'
	[ "$(state red)" = Running ]
	[ "$(timeout 120 qvm-run -p red 'cat /home/user/mark')" = /home/user ]
	[ "$(in_work 'cat /home/user/mark')" = /home/user ]
	run timeout 120 qvm-run -p --all true
	[ "$status" = 2 ]
	run timeout 120 qvm-run -q --all --no-autostart --exclude red 'exit 9'
	[ "$status" = 9 ]
}

@test "kill takes one qube, not the other; home survives, the root does not" {
	in_work -u root 'touch /etc/changed; sync'
	in_work 'echo kept >/home/user/kept; sync'
	qvm-kill red
	[ "$(state red)" = Halted ]
	[ "$(state work)" = Running ]
	timeout 300 qvm-shutdown --wait work
	[ "$(state work)" = Halted ]
	timeout 300 qvm-start work
	[ "$(in_work 'cat /home/user/kept')" = kept ]
	run in_work 'test -e /etc/changed'
	[ "$status" = 1 ]
}

@test "a restart: another boot of what was up, a boot of what was down" {
	in_work 'cat /proc/sys/kernel/random/boot_id; echo kept >/home/user/again' >"$BATS_TEST_TMPDIR/before"
	timeout 600 qvm-restart work red
	[ "$(state work) $(state red)" = "Running Running" ]
	run ! grep -qx -f "$BATS_TEST_TMPDIR/before" <(in_work 'cat /proc/sys/kernel/random/boot_id')
	[ "$(in_work 'cat /home/user/again')" = kept ]
	timeout 120 qvm-shutdown --wait red
	qvm-check -q --running work
	run -1 qvm-check -q --running red
	qvm-pause --suspend work
	[ "$(state work)" = Suspended ]
	qvm-unpause --all
	[ "$(state work)" = Running ]
	qvm-pause work
	qvm-unpause work
	[ "$(in_work 'echo back')" = back ]
	# what it uses is seen
	qvm-top --json work | jq -e '.[0] | .state == "Running" and ([.cpu_usage, .cpu_time, .memory_used] | map(tonumber) | min >= 0) and (.cpu_time | tonumber) > 0'
	[[ $(qvm-ls --raw-data -O memory,cpu-time work) =~ ^[1-9][0-9]*\|[1-9][0-9]*$ ]]
}

@test "shutdown: --dry-run, --wait with a timeout that kills, and of what is halted already" {
	# qvm-run --all has started the template as well
	timeout 300 qvm-shutdown --wait appliance
	[ "$(qvm-shutdown --dry-run --all)" = work ]
	[ "$(state work)" = Running ]
	run timeout 60 qvm-shutdown --wait --timeout 0 work
	[ "$status" = 0 ]
	[[ $output == *"did not shut down in time"* ]]
	within 10 eval '[ "$(state work)" = Halted ]'
	qvm-shutdown --wait work
	qvm-kill work
}

@test "a running qube is not removed; bulkhead stop takes all down, and start knows them" {
	timeout 300 qvm-start work
	run qvm-remove -f work
	[ "$status" = 1 ]
	[[ $output == *"not halted"* ]]
	timeout 300 bulkhead stop
	[ -z "$(instance_processes)" ]
	bulkhead start
	[ "$(qvm-ls --raw-data -O name,state work red | tr '\n' ' ')" = "red|Halted work|Halted " ]
	qvm-remove -f work red
}
