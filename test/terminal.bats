#!/usr/bin/env bats
# The person asked on the terminal where something runs in the calling qube: a real policyd below a real qubesd, a terminal of its own
# for each test, keys as a person types them. The calling qube's agent and daemon are plain processes.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
load qrexec-lib
load terminal-lib

setup() {
	BULKHEAD_HOME=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead terminal.XXXXXX")
	export BULKHEAD_HOME
	mkdir -p "$BULKHEAD_HOME/config/policy.d"
	cat >"$BULKHEAD_HOME/config/policy.d/30-user.policy" <<-EOF
		test.Ask  *  work  @adminvm  ask
		test.Ask  *  work  @default  ask default_target=@adminvm
	EOF
	timeout 30 bulkhead start
	qvm-create --class TemplateVM --label black tmpl
	qvm-create --template tmpl --label red work
	pair_begin
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || tail -n 50 "$dir"/*.log "$dir/screen" "$BULKHEAD_HOME"/state/log/policy-?.log
	exec 9>&- || true
	[ -z "${terminal-}" ] || wait "$terminal" || true
	pair_end
	instance_end
}

# in_work [OPTION]... COMMAND: on a terminal, and it is one to ask on
in_work() {
	terminal_begin "$dom0/qrexec-client" --socket-dir="$dir" -d work "${@:1:$#-1}" "$me:${*: -1}"
	listened
}

listened() {
	until_true eval 'compgen -G "$BULKHEAD_HOME/run/terminals/work.*" >/dev/null'
}

# the person would be asked: the answer will stand in $dir/answer.N
n_asked=0
ask_person() {
	n_asked=$((n_asked + 1))
	"$libexec/qrexec-policy-exec" -- work "${2-dom0}" "${1-test.Ask}" >"$dir/answer.$n_asked" 2>&1 3>&- 9>&- &
	asker=$!
}

answered() {
	until_true ended "$asker"
	grep -qx "result=$1" "$dir/answer.$n_asked"
}

# heard_but_not_asked: what is typed arrives as data in $dir/heard, and nobody is asked here
heard_but_not_asked() {
	printf 'there\n' >&9
	until_true grep -q there "$dir/heard"
	ask_person
	answered deny
}

decisions() {
	cat "$BULKHEAD_HOME"/state/log/policy-?.log
}

@test "a question shows who asks, for what and what may be chosen; the name and its number allow it, and the qube hears none of it" {
	in_work -t -T "cat >'$dir/heard'"
	printf 'before\n' >&9
	until_true grep -q before "$dir/heard"
	ask_person 'test.Ask+x.y'
	asked
	grep -q 'The qube work (red) wants to call a service of another qube' "$dir/screen"
	grep -q 'service: test.Ask+x.y' "$dir/screen"
	grep -q '    dom0 (black)' "$dir/screen"
	printf 'dom0 %s\n' "$number" >&9
	answered allow
	grep -qx 'target=dom0' "$dir/answer.1"
	decisions | grep -q 'the person chose it'
	printf 'after\n\004' >&9
	until_true test -s "$dir/code"
	[ "$(cat "$dir/code" "$dir/heard")" = $'0\nbefore\nafter' ]
	run compgen -G "$BULKHEAD_HOME/run/terminals/work.*"
	[ "$status" = 1 ]
}

@test "nothing else allows it: not the name, not the number, not an empty line, nor what was typed before" {
	in_work -t -T 'cat >/dev/null'
	printf 'dom0 0000\ndom0' >&9
	ask_person
	asked
	printf '\n' >&9
	answered deny
	ask_person
	asked 2
	printf 'dom0\n' >&9
	answered deny
	ask_person
	asked 3
	printf '%s\n' "$number" >&9
	answered deny
	decisions | grep -q 'the person refused it'
	# three are enough: this terminal is left alone
	ask_person
	answered deny
	asked 3
	decisions | grep -q 'too many questions'
	printf '\004' >&9
	until_true test -s "$dir/code"
}

@test "while it is asked the qube writes nothing, and goes on afterwards" {
	in_work -t -T 'while echo tick; do sleep 0.05; done'
	until_true grep -q tick "$dir/screen"
	ask_person test.Ask @default
	asked
	grep -q 'dom0 (black), which the policy suggests' "$dir/screen"
	sleep 1
	printf 'dom0 %s\n' "$number" >&9
	answered allow
	until_true eval 'sed 1,/^allowed/d "$dir/screen" | grep -q tick'
	run sed -n '/=== dom0 asks you/,/^allowed/p' "$dir/screen"
	[[ $output == *allowed* ]]
	[[ $output != *tick* ]]
	printf '\003' >&9
	until_true test -s "$dir/code"
	[ "$(cat "$dir/code")" = -2 ]
}

@test "what a qube writes in its call is shown as plain text" {
	in_work -t -T 'cat >/dev/null'
	ask_person $'test.Ask+\302\233\\x'
	asked
	grep -qF 'service: test.Ask+\xc2\x9b\\x' "$dir/screen"
	printf '\n' >&9
	answered deny
	printf '\004' >&9
	until_true test -s "$dir/code"
}

@test "who asked and leaves takes the question back" {
	in_work -t -T "cat >'$dir/heard'"
	ask_person
	asked
	kill "$asker"
	until_true grep -q 'taken back' "$dir/screen"
	printf 'more\n\004' >&9
	until_true test -s "$dir/code"
	[ "$(cat "$dir/heard")" = more ]
}

@test "questions that are taken back count: after three of them this terminal is left alone" {
	in_work -t -T 'cat >/dev/null'
	for i in 1 2 3; do
		ask_person
		asked $i
		kill "$asker"
		until_true eval '[ "$(grep -c "taken back" "$dir/screen")" = '"$i"' ]'
	done
	ask_person
	answered deny
	decisions | grep -q 'too many questions'
	asked 3
	printf '\004' >&9
	until_true test -s "$dir/code"
}

@test "the key that ends the call ends the question too" {
	in_work -t -T 'exec sleep 300'
	ask_person
	asked
	printf '\003' >&9
	answered deny
	until_true test -s "$dir/code"
	[ "$(cat "$dir/code")" = -2 ]
}

@test "what could command the terminal does not come to it, of output and of errors, unless that is asked for" {
	local command="printf 'out\033[31mA\n'; printf 'err\033[31mB\n' >&2"
	terminal_begin "$dom0/qrexec-client" --socket-dir="$dir" -d work "$me:$command"
	until_true test -s "$dir/code"
	grep -qF 'out_[31mA' "$dir/screen"
	grep -qF 'err_[31mB' "$dir/screen"
	rm "$dir/code"
	terminal_begin "$dom0/qrexec-client" --socket-dir="$dir" -d work \
		--no-filter-escape-chars-stdout --no-filter-escape-chars-stderr "$me:$command"
	until_true test -s "$dir/code"
	grep -qF $'out\033[31mA' "$dir/screen"
	grep -qF $'err\033[31mB' "$dir/screen"
	# a local command's input is data
	run -0 "$dom0/qrexec-client" --socket-dir="$dir" -d work -l "cat >'$dir/got'" "$me:$command"
	grep -qF $'out\033[31mA' "$dir/got"
}

@test "where the qube's bytes could command the terminal, or come to it by another way, nobody is asked" {
	terminal_begin "$dom0/qrexec-client" --socket-dir="$dir" -d work --no-filter-escape-chars-stdout "$me:cat >'$dir/heard'"
	heard_but_not_asked
	printf '\004' >&9
	until_true test -s "$dir/code"
	rm "$dir/code" "$dir/heard"
	terminal_begin bash -c '"$@" | cat' bash "$dom0/qrexec-client" --socket-dir="$dir" -d work -t -T "$me:cat >'$dir/heard'"
	heard_but_not_asked
	decisions | grep -q 'no terminal'
	printf '\004' >&9
	until_true test -s "$dir/code"
	rm "$dir/code" "$dir/heard"
	# the terminal is its input, and with this option its output
	terminal_begin sh -c 'exec "$@" >/dev/null' sh "$dom0/qrexec-client" --socket-dir="$dir" -d work -T --use-stdin-socket "$me:echo there; sleep 300"
	until_true grep -q there "$dir/screen"
	ask_person
	answered deny
	printf '\003' >&9
	until_true test -s "$dir/code"
}

@test "where another program reads what is typed, nobody is asked" {
	terminal_begin sh -c 'cat | "$@" >/dev/null' sh "$dom0/qrexec-client" --socket-dir="$dir" -d work -t -T "$me:cat >'$dir/heard'"
	heard_but_not_asked
	decisions | grep -q 'no terminal'
	printf '\004' >&9
	until_true test -s "$dir/code"
}

@test "a terminal whose process was killed is passed over for one that is there; another qube's is not asked" {
	in_work -t -T 'cat >/dev/null'
	kill -9 "$(pgrep -f "^$dom0/qrexec-client --socket-dir=$dir -d work -t -T" | head -n 1)"
	until_true test -s "$dir/code"
	rm "$dir/code"
	[ "$(find "$BULKHEAD_HOME/run/terminals/" -name 'work.*' | wc -l)" = 1 ]
	ask_person
	answered deny
	in_work -t -T 'cat >/dev/null'
	until_true eval '[ "$(find "$BULKHEAD_HOME/run/terminals/" -name "work.*" | wc -l)" = 2 ]'
	# older by its date than the dead one's: each is tried
	touch -d 2001-01-01 "$(find "$BULKHEAD_HOME/run/terminals/" -name 'work.*' -printf '%C@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)"
	ask_person
	asked
	printf 'dom0 %s\n' "$number" >&9
	answered allow
	ask_person test.Ask dom0
	asked 2
	kill "$(pgrep -f "^$dom0/qrexec-client --socket-dir=$dir -d work -t -T" | head -n 1)"
	answered deny
	until_true test -s "$dir/code"
}

@test "a call in the background of its terminal asks nobody" {
	terminal_begin bash -c 'set -m; "$@" </dev/null & sleep 300' bash "$dom0/qrexec-client" --socket-dir="$dir" -d work -t -T "$me:exec sleep 300"
	listened
	ask_person
	answered deny
	decisions | grep -q 'it could not be shown'
	pkill -f "^$dom0/qrexec-client --socket-dir=$dir -d work -t -T"
	exec 9>&-
}

@test "-k kills the qube at the end of the call, and says what went wrong" {
	run -7 "$dom0/qrexec-client" --socket-dir="$dir" -d work -k "$me:exit 7"
	[[ $output == *"work cannot be killed: "*"not running"* ]]
}
