#!/usr/bin/env bats
# The question to the person, on an X server without a screen: keys and clicks as a person's, answers as policyd gets them. No qube runs here.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	local number="$BATS_FILE_TMPDIR/display"
	# bats waits for whoever holds its descriptor 3
	Xvfb -displayfd 4 -screen 0 800x700x24 -nolisten tcp 4>"$number" >/dev/null 2>&1 3>&- &
	export X_PID=$!
	within 60 test -s "$number"
	PROMPT_DISPLAY=:$(cat "$number")
	DISPLAY=$PROMPT_DISPLAY evilwm >/dev/null 2>&1 3>&- &
	export PROMPT_DISPLAY WM_PID=$!
}

teardown_file() {
	kill "$WM_PID" "$X_PID"
}

setup() {
	# lib takes the tester's away
	export DISPLAY=$PROMPT_DISPLAY
	BULKHEAD_HOME=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead prompt.XXXXXX")
	export BULKHEAD_HOME
	# away from where windows come up: they get no focus by themselves
	xdotool mousemove 790 690
}

teardown() {
	instance_end
}

# prompt_begin: bulkhead-prompt alone, without a qubesd
prompt_begin() {
	mkdir -m 700 "$BULKHEAD_HOME/run.d"
	local run
	run=$(mktemp -d /tmp/bulkhead-prompt.XXXXXX)
	ln -s "$run" "$BULKHEAD_HOME/run"
	"$libexec/bulkhead-prompt" 2>"$BULKHEAD_HOME/log" 3>&- &
	prompt=$!
	within 20 test -S "$run/prompt.sock"
}

# ask_as CALLER TIMEOUT_MS PRESELECTED TARGET...: a question in the background; its answer will be in $BULKHEAD_HOME/answer.N
n_asked=0
ask_as() {
	local caller=$1 timeout=$2 preselected=$3
	shift 3
	n_asked=$((n_asked + 1))
	"$top/build/test/prompt/prompt-ask" "$BULKHEAD_HOME/run/prompt.sock" "$timeout" "$caller" "${service:-qubes.Filecopy}" "${asked:-@default}" \
		"$preselected" "$@" >"$BULKHEAD_HOME/answer.$n_asked" 3>&- &
	asker=$!
}

qubes=(vault:1:black:000000 bank:3:green:73d216 dvm:5:orange:f57900 untrusted:1:red:cc0000)

# window CALLER: its id, once it is there
window() {
	timeout 60 xdotool search --sync --onlyvisible --name "^$1 asks\$" | head -n1
}

# no_window CALLER
no_window() {
	! xdotool search --onlyvisible --name "^$1 asks\$" >/dev/null 2>&1
}

# focus WINDOW: it has the focus, and the guard has opened
focus() {
	xdotool windowfocus "$1"
	sleep 1.5
}

# answered N TEXT: the answer of the question number N
answered() {
	within 30 test -s "$BULKHEAD_HOME/answer.$1"
	[ "$(cat "$BULKHEAD_HOME/answer.$1")" = "$2" ]
}

# focus_nobody: the screen itself has the focus, in whose empty corner the pointer is
focus_nobody() {
	xdotool mousemove 790 690
	xdotool windowfocus "$(xdotool getmouselocation --shell | sed -n 's/^WINDOW=//p')"
	sleep 1
}

# burst WINDOW COMMAND...: it gets the focus and what xdotool does then all at once, however slow this machine is
burst() {
	local pid w=$1
	shift
	focus_nobody
	pid=$(pgrep -P "$prompt")
	kill -STOP "$pid"
	xdotool windowfocus "$w"
	"$@"
	kill -CONT "$pid"
	sleep 1.5
}

# click WINDOW X Y: Y from its top, or, if negative, from its bottom. A window manager may give it the focus when the pointer comes
click() {
	local HEIGHT y=$3
	eval "$(xdotool getwindowgeometry --shell "$1" | grep ^HEIGHT=)"
	[ "$y" -ge 0 ] || y=$((HEIGHT + y))
	xdotool mousemove --window "$1" "$2" "$y"
	sleep 1
	xdotool click 1
	sleep 0.5
}

@test "a name that is typed chooses its target, and Enter allows it" {
	local w
	prompt_begin
	ask_as work 60000 - "${qubes[@]}"
	w=$(window work)
	focus "$w"
	# nothing is chosen yet, and "n" is in two names
	xdotool key Return type --delay 40 n
	xdotool key Return
	[ ! -s "$BULKHEAD_HOME/answer.1" ]
	xdotool key BackSpace type --delay 40 VAU
	xdotool key Return
	answered 1 'allowed vault'
	within 20 no_window work
	grep -q 'work: allowed' "$BULKHEAD_HOME/log"
}

@test "a click chooses, and a click on Allow allows; arrows choose too" {
	local w
	prompt_begin
	ask_as work 60000 - "${qubes[@]}"
	w=$(window work)
	focus "$w"
	click "$w" 405 -34
	[ ! -s "$BULKHEAD_HOME/answer.1" ]
	# a busy machine may not have opened the guard yet
	chosen() {
		[ -s "$BULKHEAD_HOME/answer.1" ] || { click "$w" 200 244 && click "$w" 405 -34; }
		[ -s "$BULKHEAD_HOME/answer.1" ]
	}
	within 40 chosen
	answered 1 'allowed bank'
	within 20 no_window work
	ask_as work 60000 - "${qubes[@]}"
	focus "$(window work)"
	xdotool key Down Down Down Return
	answered 2 'allowed @dispvm:dvm'
}

@test "what the policy preselects stands selected, and nothing else does" {
	prompt_begin
	ask_as work 60000 1 "${qubes[@]}"
	focus "$(window work)"
	xdotool key Return
	answered 1 'allowed bank'
}

@test "keys and clicks that come with the focus do nothing" {
	local w
	prompt_begin
	ask_as work 60000 0 "${qubes[@]}"
	w=$(window work)
	burst "$w" xdotool type --delay 0 $'bank\n'
	burst "$w" click "$w" 405 -34
	[ ! -s "$BULKHEAD_HOME/answer.1" ]
	xdotool key Return
	answered 1 'allowed vault'
}

@test "the same when it had the focus before" {
	local w
	prompt_begin
	ask_as work 60000 0 "${qubes[@]}"
	w=$(window work)
	focus "$w"
	burst "$w" xdotool type --delay 0 $'bank\n'
	[ ! -s "$BULKHEAD_HOME/answer.1" ]
	xdotool key Return
	answered 1 'allowed vault'
}

@test "Escape and the button deny" {
	local w
	prompt_begin
	ask_as work 60000 0 "${qubes[@]}"
	focus "$(window work)"
	xdotool key Escape
	answered 1 denied
	ask_as work 60000 0 "${qubes[@]}"
	w=$(window work)
	focus "$w"
	click "$w" 325 -34
	answered 2 denied
}

@test "nobody answers: denied when the time is over" {
	prompt_begin
	ask_as work 3000 0 "${qubes[@]}"
	window work
	answered 1 'timed out'
	within 20 no_window work
}

@test "time that a question waits for its turn is not the person's" {
	prompt_begin
	ask_as first 9000 0 "${qubes[@]}"
	window first
	ask_as second 60000 0 "${qubes[@]}"
	answered 1 'timed out'
	[ ! -s "$BULKHEAD_HOME/answer.2" ]
	focus "$(window second)"
	xdotool key Return
	answered 2 'allowed vault'
}

@test "a window is as high as what is in it" {
	local HEIGHT few
	prompt_begin
	ask_as work 60000 0 "${qubes[@]}"
	eval "$(xdotool getwindowgeometry --shell "$(window work)" | grep ^HEIGHT=)"
	few=$HEIGHT
	kill "$asker"
	within 20 no_window work
	# a hundred targets are a few rows more, and scroll
	mapfile -t many < <(printf 'q%d:1:red:cc0000\n' {1..100})
	ask_as work 60000 0 "${many[@]}"
	eval "$(xdotool getwindowgeometry --shell "$(window work)" | grep ^HEIGHT=)"
	[ "$few" -lt "$HEIGHT" ]
	[ "$HEIGHT" -lt 600 ]
}

@test "a caller's words are shown and never obeyed" {
	prompt_begin
	service='x.Y+<b>&amp;</b>\x0a\xe2\x80\xae\x1b[31m%s%n' asked='<span size="99999">' ask_as work 60000 0 "${qubes[@]}"
	focus "$(window work)"
	xdotool key Return
	answered 1 'allowed vault'
	run ! grep -qi markup "$BULKHEAD_HOME/log"
	service="x.Y+$(head -c 60000 /dev/zero | tr '\0' A)" ask_as work 60000 0 "${qubes[@]}"
	focus "$(window work)"
	xdotool key Return
	answered 2 'allowed vault'
}

@test "one at a time, callers in turn, and a flood is denied" {
	local i
	prompt_begin
	for ((i = 1; i <= 8; i++)); do
		ask_as loud 60000 0 "${qubes[@]}"
		[ "$i" != 1 ] || window loud
	done
	ask_as calm 60000 0 "${qubes[@]}"
	within 20 eval '[ "$(sort "$BULKHEAD_HOME"/answer.* | uniq -c | tr -s " ")" = " 4 busy" ]'
	[ "$(xdotool search --onlyvisible --name ' asks$' | wc -l)" = 1 ]
	focus "$(window loud)"
	xdotool key Escape
	# calm is next, though it came last
	focus "$(window calm)"
	xdotool key Return
	answered 9 'allowed vault'
	# the window that is found may be the one before, which goes
	denied() {
		[ "$(grep -l denied "$BULKHEAD_HOME"/answer.* | wc -l)" -ge "$1" ]
	}
	deny() {
		denied "$1" || { focus "$(window loud)" && xdotool key Escape && sleep 1; }
		denied "$1"
	}
	within 40 deny 2
	within 40 deny 3
	# refused three times: for a while it may not ask
	grep -q 'loud: refused 3 times' "$BULKHEAD_HOME/log"
	# whichever of them came fourth
	within 30 eval '[ "$(sort "$BULKHEAD_HOME"/answer.* | uniq -c | tr -s " " | tr "\n" ";")" = " 1 allowed vault; 5 busy; 3 denied;" ]'
	ask_as loud 60000 0 "${qubes[@]}"
	answered 10 busy
	ask_as other 60000 0 "${qubes[@]}"
	focus "$(window other)"
	xdotool key Escape
	answered 11 denied
}

@test "a question that is taken back, and a window that is killed, end that question alone" {
	prompt_begin
	ask_as work 60000 0 "${qubes[@]}"
	window work
	kill "$asker"
	within 20 no_window work
	ask_as work 60000 0 "${qubes[@]}"
	window work
	kill -9 "$(pgrep -P "$prompt")"
	answered 2 'not shown'
	ask_as work 60000 0 "${qubes[@]}"
	focus "$(window work)"
	xdotool key Return
	answered 3 'allowed vault'
}

@test "a caller that takes back what is shown again and again is not shown for a while, others are" {
	local i
	prompt_begin
	for i in 1 2 3; do
		ask_as loud 60000 - "${qubes[@]}"
		window loud >/dev/null
		kill "$asker"
		within 20 no_window loud
	done
	grep -q 'loud: refused 3 times' "$BULKHEAD_HOME/log"
	ask_as loud 60000 - "${qubes[@]}"
	answered 4 busy
	ask_as quiet 60000 - "${qubes[@]}"
	window quiet >/dev/null
}

@test "without a display questions are denied and the prompt ends" {
	DISPLAY=:4711 prompt_begin
	ask_as work 60000 0 "${qubes[@]}"
	answered 1 'not shown'
	within 20 test ! -e "/proc/$prompt"
	grep -q 'the display is gone' "$BULKHEAD_HOME/log"
}

@test "an instance asks: bulkhead start starts the prompt, policyd takes its answer and writes it down, stop ends it" {
	mkdir -p "$BULKHEAD_HOME/config/policy.d"
	echo 'test.A * work * ask default_target=dom0' >"$BULKHEAD_HOME/config/policy.d/10-ask.policy"
	timeout 30 bulkhead start 3>&-
	bulkhead status | grep -q '^prompt     asks on the display'
	qvm-create --class TemplateVM --label black tmpl
	qvm-create --template tmpl --label purple work
	question() {
		printf '%s\n' source=work intended_target=@default service_and_arg=test.A+x '' |
			timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/policy.sock" >"$BULKHEAD_HOME/answer.1" 3>&- &
	}
	question
	focus "$(window work)"
	xdotool key Return
	within 30 grep -q '^target=dom0' "$BULKHEAD_HOME/answer.1"
	grep -qh $'verdict=allow\tcaller=work\tservice=test.A+x\ttarget=@default\tto=dom0\trule=10-ask.policy:1\treason=the person chose it\t' \
		"$BULKHEAD_HOME"/state/log/policy-?.log
	question
	focus "$(window work)"
	xdotool key Escape
	within 30 grep -qx 'result=deny' "$BULKHEAD_HOME/answer.1"
	grep -qh 'reason=the person refused it' "$BULKHEAD_HOME"/state/log/policy-?.log
	timeout 60 bulkhead stop
	[ -z "$(instance_processes)" ]
}
