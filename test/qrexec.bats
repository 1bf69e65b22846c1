#!/usr/bin/env bats
# Commands from dom0 in a qube: output, input, exit codes, signals, many at once, and every end of every part.
# Agent, daemon and clients are plain processes here; what is between them in a real qube is tested elsewhere.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load qrexec-lib

setup() {
	pair_begin
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || cat "$dir/daemon.log" "$dir/agent.log"
	pair_end
}

# ---- output, input, codes

@test "output and errors come separately, the exit code as it was" {
	run -7 --separate-stderr call 'echo out; echo err >&2; exit 7'
	[ "$output" = out ]
	[ "$stderr" = err ]
}

@test "success writes nothing to stderr" {
	run -0 --separate-stderr call true
	[ -z "$output$stderr" ]
}

@test "each exit code from 0 to 255" {
	local code step=1
	[ -n "${BULKHEAD_TEST_FULL-}" ] || step=17
	for ((code = 0; code < 256; code += step)); do
		run "-$code" call "exit $code"
	done
}

@test "a command killed by a signal: 128 and its number" {
	run -137 call 'kill -9 $$'
	run -143 call 'kill -TERM $$'
}

@test "input arrives and ends" {
	run -0 call 'cat; echo end' <<<"hello"
	[ "$output" = $'hello\nend' ]
}

@test "a large stream, there and back, is the same" {
	local mib=64 sum
	[ -n "${BULKHEAD_TEST_FULL-}" ] && mib=1024
	sum=$(head -c ${mib}M /dev/urandom | tee >(sha256sum >"$dir/sum") | CALL_TIMEOUT=300 call 'tee /dev/stderr | sha256sum >&1' 2>"$dir/back")
	until_true test -s "$dir/sum"
	[ "$sum" = "$(cat "$dir/sum")" ]
	[ "$(sha256sum <"$dir/back")" = "$sum" ]
}

@test "a command that moves its bytes with splice does not hold up its input" {
	# busybox's cat holds its output pipe's lock while it waits for input
	command -v busybox >/dev/null || skip "needs busybox"
	head -c 3000000 /dev/urandom >"$dir/in"
	local i
	for ((i = 0; i < 10; i++)); do
		CALL_TIMEOUT=20 call 'exec busybox cat' <"$dir/in" | cmp - "$dir/in"
	done
}

@test "a stream from the qube alone, and one to it alone" {
	local mib=64
	[ -n "${BULKHEAD_TEST_FULL-}" ] && mib=1024
	[ "$(CALL_TIMEOUT=300 call "head -c ${mib}M /dev/zero" </dev/null | sha256sum)" = "$(head -c ${mib}M /dev/zero | sha256sum)" ]
	[ "$(head -c ${mib}M /dev/zero | CALL_TIMEOUT=300 call sha256sum)" = "$(head -c ${mib}M /dev/zero | sha256sum)" ]
}

@test "streams end one by one" {
	run -5 call 'read a; exec >&-; read b; exec 2>&-; read c; exit "$c"' < <(echo 1; echo 2; echo 5)
	run -0 call 'exec </dev/null; echo still here'
	[ "$output" = "still here" ]
	# the end of output arrives while the command goes on
	call 'echo out; exec >&-; sleep 3' >"$dir/fifo-out" &
	until_true grep -q out "$dir/fifo-out"
	wait $!
}

@test "a command that never reads its input ends, whatever is sent" {
	run -3 call 'exit 3' </dev/zero
	run -0 bash -c 'head -c 10M /dev/zero | timeout 60 "$0" --socket-dir="$1" -d work "$2:sleep 0.3; echo done"' "$dom0/qrexec-client" "$dir" "$me"
	[ "$output" = "done" ]
}

@test "output that nobody reads stops the command, and goes on later" {
	call 'head -c 3M /dev/zero' </dev/null > >(sleep 1; wc -c >"$dir/count") &
	wait $!
	until_true grep -q 3145728 "$dir/count"
}

@test "output whose reader has left ends the command" {
	run -0 bash -c 'timeout 20 "$0" --socket-dir="$1" -d work "$2:yes" </dev/null | head -n 2' "$dom0/qrexec-client" "$dir" "$me"
	[ "$output" = $'y\ny' ]
	until_true no_children "$agent"
}

@test "/dev/stdin, /dev/stdout and /dev/stderr of a command" {
	run -0 --separate-stderr call 'echo o >/dev/stdout; echo e >/dev/stderr; kill -USR1 $QREXEC_AGENT_PID' </dev/null
	[ "$stderr" = e ]
}

@test "stdin becomes bidirectional on SIGUSR1" {
	run -0 call 'kill -USR1 $QREXEC_AGENT_PID; sleep 0.2; echo hello >&0; read x; echo "got $x" >&0' <<<"text"
	[ "$output" = $'hello\ngot text' ]
}

# ---- background processes

@test "a daemon left behind with the output does not hold up the exit code for ever" {
	local start=$SECONDS
	run -4 call 'sleep 300 & echo started; exit 4'
	[ "$output" = started ]
	((SECONDS - start < 20))
	pkill -f -P 1 'sleep 300' || true
}

@test "what a background process still writes is not lost" {
	run -0 call '(sleep 1; echo late) & echo early'
	[ "$output" = $'early\nlate' ]
}

# ---- client options

@test "-e starts and does not wait" {
	local start=$SECONDS
	run -0 call -e "sleep 2; echo done >'$dir/mark'"
	((SECONDS - start < 2))
	until_true test -e "$dir/mark"
}

@test "-E forgets the code, -p sends a prefix, -l has a local command" {
	run -0 call -E 'exit 9'
	run -0 call -p $'first\n' cat <<<"second"
	[ "$output" = $'first\nsecond' ]
	# longer than a message, and what is read comes behind all of it
	local long
	long=$(printf '%0120000d' 0)
	run -0 call -p "$long" 'sleep 1; cat' <<<second
	[ "$output" = "${long}second" ]
	run -0 call -l "sed s/^/x/ >'$dir/local'; echo unread" 'echo a; exec >&-; cat >/dev/null'
	until_true grep -q xa "$dir/local"
	run -6 call -l 'cat /etc/hostname' "cat >'$dir/name'; exit 6"
	cmp /etc/hostname "$dir/name"
}

@test "-t and -T take the teeth out of terminal sequences" {
	run -0 call -t "printf 'a\033[31mb\tc\302\233d'"
	[ "$output" = $'a_[31mb\tc__d' ]
	run -0 call -T "printf 'a\033b' >&2"
	[ "$output" = "a_b" ]
	run -0 call "printf 'a\033b'"
	[ "$output" = $'a\033b' ]
}

@test "by uuid, and DEFAULT as the user" {
	run -125 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d uuid:00000000-0000-0000-0000-000000000000 "$me:true"
	run -0 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d work "DEFAULT:id -un"
	[ "$output" = "$me" ]
	run -0 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d 42 "$me:echo by id"
}

@test "what cannot be: 125, or 2 for a wrong call, and a sentence" {
	run -125 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d absent "$me:true"
	[[ $output == *"not running"* ]]
	run -2 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d ../work "$me:true"
	run -2 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d work "no user"
	run -2 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d work
	run -2 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" "$me:true"
	run -127 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d dom0 "QUBESRPC a b name c"
	run -2 timeout 10 "$dom0/qrexec-client" -d dom0 -k "true"
	run -2 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d work --colour=red "$me:true"
	run -2 --separate-stderr timeout 10 "$dom0/qrexec-client" --no-such-option
	[ -z "$output" ]
	[[ $stderr == *usage:* ]]
	run -125 timeout 10 "$dom0/qrexec-client" --socket-dir="$dir" -d work "nosuchuser:true"
	[[ $output == *nosuchuser* ]]
	run -127 call "no-such-command-here"
}

@test "a daemon that was taken over and is silent holds no caller for ever" {
	[ -n "${BULKHEAD_TEST_FULL-}" ] || skip "takes as long as a daemon may; in make soak"
	mkdir "$dir/silent"
	# it lets callers in, says HELLO with one byte a second, and then nothing
	python3 - "$dir/silent/qrexec.7" 3>&- <<-'EOF' &
		import socket, sys, time
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen(9)
		c, _ = s.accept()
		for b in b"\0\3\0\0\4\0\0\0\3\0\0\0":
		    c.send(bytes([b]))
		    time.sleep(1)
		time.sleep(300)
	EOF
	local silent=$!
	until_true test -S "$dir/silent/qrexec.7"
	run -125 timeout 150 "$dom0/qrexec-client" --socket-dir="$dir/silent" -d 7 "$me:true"
	[[ $output == *"qrexec daemon of 7"*"timed out"* ]]
	kill "$silent"
}

@test "standard input that is a socket is the output too" {
	run -0 python3 - "$dom0/qrexec-client" --socket-dir="$dir" -d work --use-stdin-socket "$me:read x; echo got \$x; exec >&-; cat >'$dir/rest'" <<-'EOF'
		import socket, subprocess, sys
		a, b = socket.socketpair()
		p = subprocess.Popen(sys.argv[1:], stdin=b)
		b.close()
		a.sendall(b"text\n")
		got = b""
		while part := a.recv(100):
		    got += part
		# its output has ended, its input goes on
		a.sendall(b"rest\n")
		a.shutdown(socket.SHUT_WR)
		print(got.decode(), end="")
		sys.exit(p.wait(60))
	EOF
	[ "$output" = "got text" ]
	[ "$(cat "$dir/rest")" = rest ]
}

# ---- services

@test "a service knows who calls, its argument, and is found by it first" {
	printf '#!/bin/sh\necho "general $1 $QREXEC_REMOTE_DOMAIN $QREXEC_SERVICE_FULL_NAME $QREXEC_SERVICE_ARGUMENT"\n' >"$dir/rpc/test.Service"
	printf '#!/bin/sh\necho "special ${QREXEC_SERVICE_ARGUMENT-none}"\n' >"$dir/rpc/test.Service+x"
	chmod +x "$dir"/rpc/*
	run -0 call 'QUBESRPC test.Service+a dom0'
	[ "$output" = "general a dom0 test.Service+a a" ]
	run -0 call 'QUBESRPC test.Service+x dom0'
	[ "$output" = "special x" ]
}

@test "no such service is 127 without a word, a broken one 125" {
	run -127 --separate-stderr call 'QUBESRPC test.Absent dom0'
	[ -z "$output$stderr" ]
	run -127 call -e 'QUBESRPC test.Absent dom0'
	ln -s /nonexistent "$dir/rpc/test.Dangling"
	run -125 call 'QUBESRPC test.Dangling dom0'
	printf '\0' >"$dir/rpc/test.Junk"
	chmod +x "$dir/rpc/test.Junk"
	run -125 call 'QUBESRPC test.Junk dom0'
	printf '#!/bin/sh\n' >"$dir/rpc/test.Ok"
	chmod +x "$dir/rpc/test.Ok"
	echo 'wait-for-session = maybe' >"$dir/rpc-config/test.Ok"
	run -125 call 'QUBESRPC test.Ok dom0'
	run -125 call 'QUBESRPC ../rpc/test.Ok dom0'
}

@test "qubes.VMShell takes its script from its input, qubes.VMExec its command from the argument" {
	run -3 call 'QUBESRPC qubes.VMShell dom0' < <(printf 'cat; exit 3\nrest\n')
	[ "$output" = rest ]
	# a shell that reads ahead gets the first line alone, bash all of them
	printf '#!/bin/sh\nSHELL=/bin/sh exec "%s"\n' "$qube/etc/qubes-rpc/qubes.VMShell" >"$dir/rpc/test.Sh"
	chmod +x "$dir/rpc/test.Sh"
	run -3 call 'QUBESRPC test.Sh dom0' < <(printf 'cat; exit 3\nrest\n')
	[ "$output" = rest ]
	printf '#!/bin/sh\nSHELL=/bin/bash exec "%s"\n' "$qube/etc/qubes-rpc/qubes.VMShell" >"$dir/rpc/test.Bash"
	chmod +x "$dir/rpc/test.Bash"
	run -4 call 'QUBESRPC test.Bash dom0' < <(printf 'a=1\nread b\ntext\nif :; then\necho $a $b\nfi\nexit 4\n')
	[ "$output" = "1 text" ]
	run -0 call 'QUBESRPC qubes.VMExec+printf+-25s-0A+a-20b--c dom0'
	[ "$output" = "a b-c" ]
	run -125 call 'QUBESRPC qubes.VMExec+a-zz dom0'
}

# ---- many

@test "a hundred at once" {
	local i n=100
	mkdir "$dir/many"
	for ((i = 0; i < n; i++)); do
		(call "sleep 0.$((i % 7)); cat; exit $((i % 200))" <<<"call $i" >"$dir/many/$i" || echo "code $?" >>"$dir/many/$i") 3>&- &
	done
	wait $(jobs -p | grep -vx -e "$agent" -e "$daemon")
	for ((i = 0; i < n; i++)); do
		[ "$(head -n1 "$dir/many/$i")" = "call $i" ]
		[ $((i % 200)) = 0 ] || [ "$(tail -n1 "$dir/many/$i")" = "code $((i % 200))" ]
	done
	until_true no_children "$agent"
	[ "$(find "$dir" -name 'vchan.0.*' | wc -l)" = 0 ]
}

@test "more calls than there are ports wait their turn" {
	local i n=300
	for ((i = 0; i < n; i++)); do
		call 'sleep 1; echo ok' </dev/null >"$dir/port.$i" 3>&- &
	done
	wait $(jobs -p | grep -vx -e "$agent" -e "$daemon")
	[ "$(cat "$dir"/port.* | grep -c ok)" = $n ]
}

# ---- ends

@test "a client that is killed takes its command along" {
	local signal
	for signal in TERM HUP KILL; do
		"$dom0/qrexec-client" --socket-dir="$dir" -d work "$me:echo \$\$ >'$dir/pid'; sleep 1000" </dev/null 3>&- &
		until_true test -s "$dir/pid"
		kill -$signal $!
		until_true ended "$(cat "$dir/pid")"
		until_true no_children "$agent"
		rm "$dir/pid"
	done
}

@test "an agent that is killed: callers get 255, and a new one serves" {
	call "echo \$\$ >'$dir/pid'; echo begun; exec sleep 1000" </dev/null >"$dir/out" 2>&1 3>&- &
	local caller=$!
	until_true test -s "$dir/out"
	kill -9 "$(pgrep -P "$agent")"
	# not by run, in whose subshell it is no child
	local code=0
	wait "$caller" || code=$?
	[ $code = 255 ]
	kill -9 "$agent"
	until_true test ! -e "$dir/qrexec.42"
	run -125 call true
	agent_begin
	until_true test -S "$dir/qrexec.42"
	run -0 call 'echo again'
	[ "$output" = again ]
	# a command outlives the agent that started it
	kill "$(cat "$dir/pid")"
}

@test "a daemon that is killed: calls in progress go on, and a new one serves" {
	call 'echo begun; sleep 2; echo survived' </dev/null >"$dir/out" 3>&- &
	local caller=$!
	until_true test -s "$dir/out"
	kill -9 "$daemon"
	until_true test ! -e "$dir/qrexec.42"
	daemon_begin
	run -0 call 'echo new'
	wait "$caller"
	grep -q survived "$dir/out"
}

@test "the daemon leaves nothing behind" {
	kill "$daemon"
	wait "$daemon" || true
	until_true test ! -e "$dir/qrexec.42" -a ! -L "$dir/qrexec.work"
	daemon_begin
	run -0 call true
}

@test "a caller that never listens costs a process for a while, no more" {
	"$hostile/qrexec-rude" client "$dir/qrexec.42" vanish
	run -0 call 'echo fine'
	kill -TERM $(pgrep -P "$agent") 2>/dev/null || true
	until_true no_children "$agent"
}

# ---- by hand, with a start in the background

@test "started without --direct it comes back when the agent is there, or says that it is not" {
	kill "$daemon"
	wait "$daemon" || true
	run -0 timeout 20 "$dom0/qrexec-daemon" -q --socket-dir="$dir" 42 work "$me" 3>&-
	run -0 call true
	pkill -f "qrexec-daemon -q --socket-dir=$dir"
	until_true test ! -e "$dir/qrexec.42"
	QREXEC_STARTUP_TIMEOUT=1 run -3 timeout 20 "$dom0/qrexec-daemon" --socket-dir="$dir" 43 other 3>&-
	[[ $output == *"no agent after 1 seconds"* ]]
	QREXEC_STARTUP_NOWAIT=1 run -0 timeout 20 "$dom0/qrexec-daemon" --socket-dir="$dir" 43 other 3>&-
	pkill -f "qrexec-daemon --socket-dir=$dir 43"
}

# ---- those who lie

@test "an agent that lies on the control channel loses it, and only it" {
	kill "$agent"
	wait "$agent" || true
	until_true test ! -e "$dir/qrexec.42"
	local lie
	for lie in $("$hostile/qrexec-rude" list agent); do
		echo "lie: $lie"
		timeout 60 "$hostile/qrexec-rude" agent "$dir" "$lie"
		kill -0 "$daemon"
	done
	until_true test ! -e "$dir/qrexec.42" # the last liar's
	agent_begin
	until_true test -S "$dir/qrexec.42"
	run -0 call 'echo fine'
	run -1 grep -qi sanitizer "$dir/daemon.log"
}

@test "a qube that lies on a data channel gets its call ended with 255" {
	kill "$agent"
	wait "$agent" || true
	until_true test ! -e "$dir/qrexec.42"
	local lie
	for lie in $("$hostile/qrexec-rude" list data); do
		echo "lie: $lie"
		timeout 60 "$hostile/qrexec-rude" data "$dir" "$lie" 3>&- &
		local liar=$!
		until_true test -S "$dir/qrexec.42"
		run -255 call 'echo hello' </dev/null
		wait "$liar" || true
		until_true test ! -e "$dir/qrexec.42"
	done
}

# kinds ROLE N [CLIENT...]: every kind of message lied about in every way, or in a test of N of them, spread over all
kinds() {
	local all step=1
	all=$("$hostile/qrexec-kinds" list "$1")
	[ "$all" -gt 40 ]
	[ -n "${BULKHEAD_TEST_FULL-}" ] || step=$((all / $2))
	timeout 580 "$hostile/qrexec-kinds" "$1" "$dir" $((step / 2)) $step "${@:3}" 3>&-
}

@test "each kind of message, lied about in each way: by an agent to its daemon" {
	kill "$agent"
	wait "$agent" || true
	until_true test ! -e "$dir/qrexec.42"
	kinds agent 6
	agent_begin
	until_true test -S "$dir/qrexec.42"
	run -0 call 'echo fine'
}

@test "each kind of message, lied about in each way: by a daemon to its agent" {
	kill "$daemon"
	wait "$daemon" || true
	until_true test ! -e "$dir/qrexec.42"
	kinds daemon 120
	daemon_begin
	run -0 call 'echo fine'
	pkill -P "$agent" || true
}

@test "each kind of message, lied about in each way: by a caller to who runs its command" {
	kill "$daemon"
	wait "$daemon" || true
	until_true test ! -e "$dir/qrexec.42"
	kinds caller 60
	until_true no_children "$agent"
	daemon_begin
	run -0 call 'echo fine'
}

@test "each kind of message, lied about in each way: by who runs a command to its caller" {
	kill "$agent"
	wait "$agent" || true
	until_true test ! -e "$dir/qrexec.42"
	# its client waits for the daemon to hear the liar
	printf '#!/bin/sh\nwhile [ ! -S "%s" ]; do sleep 0.1; done\nexec "%s" --socket-dir="%s" -d work "%s:true" </dev/null 2>/dev/null\n' \
		"$dir/qrexec.42" "$dom0/qrexec-client" "$dir" "$me" >"$dir/client"
	chmod +x "$dir/client"
	kinds service 60 "$dir/client"
}

@test "each kind of message, lied about in each way: by a daemon to dom0's qrexec-client" {
	kill "$daemon"
	wait "$daemon" || true
	until_true test ! -e "$dir/qrexec.42"
	printf '#!/bin/sh\nexec timeout 15 "%s" --socket-dir="%s" -d 42 "%s:true" </dev/null 2>/dev/null\n' \
		"$dom0/qrexec-client" "$dir" "$me" >"$dir/client"
	chmod +x "$dir/client"
	kinds local 60 "$dir/client"
	daemon_begin
	run -0 call 'echo fine'
}

@test "a client that is rude is dropped, and the others do not notice" {
	local rude
	for rude in $("$hostile/qrexec-rude" list client); do
		echo "rude: $rude"
		timeout 60 "$hostile/qrexec-rude" client "$dir/qrexec.42" "$rude"
		run -0 call 'echo fine'
	done
	kill -TERM $(pgrep -P "$agent") 2>/dev/null || true
}
