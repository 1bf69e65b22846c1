#!/usr/bin/env bats
# Calls that qubes make: to dom0 and to each other, what the policy says of them, and every end of every part.
# Agents and daemons of two qubes are plain processes here; what is between them in real qubes is tested elsewhere.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
load qrexec-lib

setup() {
	pair_begin
	qube_begin 43 vault
	# what the policy says of each call: the file SERVICE+ARGUMENT.TARGET, else nothing
	cat >"$dir/policy" <<-EOF
		#!/bin/sh
		printf '%s\n' "\$*" >>"$dir/asked"
		cat "$dir/answer.\$4.\$3" || exit 1
	EOF
	chmod +x "$dir/policy"
	service test.Echo 'echo "$QREXEC_REMOTE_DOMAIN calls $QREXEC_SERVICE_FULL_NAME"; cat'
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || tail -n 50 "$dir"/*.log
	qubes_end
	pair_end
}

# ---- to dom0

@test "a call that no policy allows is refused" {
	run -126 --separate-stderr call_vm @default test.Echo
	[ -z "$output" ]
	[ "$stderr" = "Request refused" ]
	[ "$(cat "$dir/asked")" = "-- work @default test.Echo" ]
}

@test "a service of dom0: what it is told, its input, output and exit code" {
	service test.Tell 'env | grep ^QREXEC_ | grep -v AGENT_PID | grep -v SERVICE_PATH | sort; cat; exit 7'
	allow test.Tell+a dom0 target=dom0 requested_target=@adminvm
	allow test.Tell vault target=dom0 requested_target=vault
	run -7 --separate-stderr call_vm dom0 test.Tell+a <<<"input"
	[ "$output" = "QREXEC_REMOTE_DOMAIN=work
QREXEC_REQUESTED_TARGET_KEYWORD=adminvm
QREXEC_REQUESTED_TARGET_TYPE=keyword
QREXEC_SERVICE_ARGUMENT=a
QREXEC_SERVICE_FULL_NAME=test.Tell+a
input" ]
	[ -z "$stderr" ]
	run -7 call_vm vault test.Tell </dev/null
	[[ $output = *"QREXEC_REQUESTED_TARGET=vault"* ]]
	[[ $output = *"QREXEC_REQUESTED_TARGET_TYPE=name"* ]]
}

@test "a service that dom0 does not have is 127, and nothing is on stderr" {
	allow test.Absent dom0 target=dom0 requested_target=dom0
	run -127 --separate-stderr call_vm dom0 test.Absent </dev/null
	[ -z "$output$stderr" ]
}

@test "what a service of dom0 complains about stays in dom0" {
	service test.Noisy 'echo secret >&2; echo out'
	allow test.Noisy dom0 target=dom0 requested_target=dom0
	run -0 --separate-stderr call_vm dom0 test.Noisy </dev/null
	[ "$output" = out ]
	[ -z "$stderr" ]
	grep -q secret "$dir/daemon.log"
}

@test "what a service of dom0 complains about comes into the log without control characters, and not in any amount" {
	service test.Noisy 'printf "\033[2Jclear\r\n\n" >&2; head -c 3000 /dev/zero | tr "\0" x >&2; for i in $(seq 2000); do echo "line $i"; done >&2; echo out'
	allow test.Noisy dom0 target=dom0 requested_target=dom0
	run -0 --separate-stderr call_vm dom0 test.Noisy </dev/null
	[ "$output" = out ]
	until_true grep -qF 'work: a service for it says: \x1b[2Jclear\x0d' "$dir/daemon.log"
	run -0 --separate-stderr call_vm dom0 test.Noisy </dev/null
	[ "$output" = out ]
	run -1 grep -P '[\x00-\x08\x0b-\x1f]' "$dir/daemon.log"
	[ "$(grep -c 'a service for it says: ' "$dir/daemon.log")" -le 60 ]
	[ "$(wc -L <"$dir/daemon.log")" -le 400 ]
	run -1 grep -q 'line 1999' "$dir/daemon.log"
	# nor by another broker
	kill -9 "$(broker_of_work)"
	run -0 call_vm dom0 test.Noisy </dev/null
	[ "$output" = out ]
	# all of it has been read when nobody is there who would
	kill -9 "$(broker_of_work)"
	until_true eval '! pgrep -f "^qrexec-broker .*--socket-dir=$dir"'
	[ "$(grep -c 'a service for it says: ' "$dir/daemon.log")" -le 60 ]
}

# allow_as USER SERVICE: to dom0, as that user
allow_as() {
	printf '%s\n' result=allow "user=$1" autostart=True target=dom0 requested_target=dom0 >"$dir/answer.$2.dom0"
}

@test "who brings complaints into the log is replaced when it is killed" {
	allow test.Complain dom0 target=dom0 requested_target=dom0
	service test.Complain "echo \"complaint \$(cat)\" >&2; echo fine"
	run -0 call_vm dom0 test.Complain <<<one
	until_true grep -q 'complaint one' "$dir/daemon.log"
	local broker
	broker=$(broker_of_work)
	only_child() { [ "$(pgrep -c -P "$broker")" = 1 ]; }
	until_true only_child
	pkill -9 -P "$broker"
	until_true no_children "$broker"
	run -0 call_vm dom0 test.Complain <<<two
	[ "$output" = fine ]
	until_true grep -q 'complaint two' "$dir/daemon.log"
}

@test "a service of dom0 runs as the user whom the policy names, if we can become that" {
	service test.Who 'echo "$(id -un) $(id -gn) $USER $HOME ${LEFTOVER-none}"; pwd; cat; exit 7'
	allow_as "$me" test.Who
	run -7 call_vm dom0 test.Who <<<"input"
	[[ $output = "$me "*input ]]
	allow_as no-such-user test.Who
	run -126 call_vm dom0 test.Who </dev/null
	grep -q 'cannot run as the policy.s user=no-such-user: no such user here' "$dir/daemon.log"
	allow_as nobody test.Who
	if [ "$(id -u)" != 0 ]; then
		run -126 call_vm dom0 test.Who </dev/null
		grep -q 'user=nobody: who is not root' "$dir/daemon.log"
		echo "force-user = 'nobody'" >"$dir/rpc-config/test.Who"
		allow_as DEFAULT test.Who
		run -125 call_vm dom0 test.Who </dev/null
		return
	fi
	chmod 711 "$dir"
	LEFTOVER=mine run -7 --separate-stderr call_vm dom0 test.Who <<<"input"
	[ "$output" = "nobody $(id -gn nobody) nobody $(getent passwd nobody | cut -d: -f6) none
/
input" ]
	echo "force-user = '$me'" >"$dir/rpc-config/test.Who"
	run -7 call_vm dom0 test.Who </dev/null
	[[ $output = "$me "* ]]
	echo "force-user = 'nobody'" >"$dir/rpc-config/test.Who"
	allow_as DEFAULT test.Who
	run -7 call_vm dom0 test.Who </dev/null
	[[ $output = "nobody "* ]]
	# what it complains about by another way, and who runs it from dom0
	service test.Noisy 'echo secret >/dev/stderr; echo out'
	allow_as nobody test.Noisy
	run -0 call_vm dom0 test.Noisy </dev/null
	[ "$output" = out ]
	until_true grep -q 'a service for it says: secret' "$dir/daemon.log"
	service test.Stay 'echo "$$"; exec sleep 300'
	echo "force-user = 'nobody'" >"$dir/rpc-config/test.Stay"
	"$dom0/qrexec-client" --socket-dir="$dir" -d dom0 'QUBESRPC test.Stay dom0 name dom0' </dev/null >"$dir/stays" 3>&- &
	until_true test -s "$dir/stays"
	kill -9 $!
	until_true ended "$(cat "$dir/stays")"
}

# ---- between qubes

@test "a call from qube to qube" {
	service test.Tell 'env | grep ^QREXEC_ | grep -v AGENT_PID | grep -v SERVICE_PATH | sort; cat; echo err >&2; exit 7'
	allow test.Tell+a vault target=vault target_uuid="$(uuid_of 43)" requested_target=vault
	run -7 --separate-stderr call_vm vault test.Tell+a <<<"input"
	[ "$output" = "QREXEC_REMOTE_DOMAIN=work
QREXEC_REQUESTED_TARGET_TYPE=
QREXEC_SERVICE_ARGUMENT=a
QREXEC_SERVICE_FULL_NAME=test.Tell+a
input" ]
	[ "$stderr" = err ]
}

@test "each exit code, and death by a signal" {
	local code
	service test.Exit 'exit "$1"'
	service test.Die 'kill -9 $$'
	for code in 0 1 42 125 126 127 128 254 255; do
		allow test.Exit+$code vault target=vault requested_target=vault
		run "-$code" call_vm vault test.Exit+$code </dev/null
	done
	allow test.Die vault target=vault requested_target=vault
	run -137 call_vm vault test.Die </dev/null
}

@test "large streams both ways are the same" {
	allow test.Echo vault target=vault requested_target=vault
	service test.Echo 'exec cat'
	head -c 20M /dev/urandom >"$dir/in"
	CALL_TIMEOUT=100 call_vm vault test.Echo <"$dir/in" | cmp - "$dir/in"
}

@test "a target that does not run is a refusal" {
	allow test.Echo gone target=gone requested_target=gone
	run -126 call_vm gone test.Echo </dev/null
	grep -q 'gone does not run' "$dir/daemon.log"
}

@test "a name that has become another qube's since the policy decided is not called" {
	allow test.Echo vault target=vault target_uuid="$(uuid_of 99)" requested_target=vault
	run -126 call_vm vault test.Echo </dev/null
	grep -q 'vault does not run' "$dir/daemon.log"
	# one that was given to the called qube meanwhile does not matter
	allow test.Echo old target=old target_uuid="$(uuid_of 43)" requested_target=old
	run -0 call_vm old test.Echo </dev/null
	# a policy that knows no UUIDs
	allow test.Echo vault target=vault target_uuid=uuid: requested_target=vault
	run -0 call_vm vault test.Echo </dev/null
}

@test "what is no character of a name is asked for as _" {
	run -126 call_vm 'a b$c' 'test.S;rm+ä'
	grep -qx -- '-- work a_b_c test.S_rm+__' "$dir/asked"
	run -126 call_vm '$default' test.S
	grep -qx -- '-- work @default test.S' "$dir/asked"
	run -125 call_vm vault +a
}

@test "an answer that is not whole, or says no in words, is a refusal" {
	local answer
	for answer in "result=deny" "result=allow" "" "garbage" "result=allow
result=allow" "user=DEFAULT
result=allow
target=vault
autostart=True" "user=a b
result=allow
target=vault
autostart=True
requested_target=vault"; do
		printf '%s\n' "$answer" >"$dir/answer.test.Echo.vault"
		run -126 call_vm vault test.Echo </dev/null
	done
	rm "$dir/policy"
	run -126 call_vm vault test.Echo </dev/null
}

# ---- qrexec-client-vm

@test "options: -p, -t, --no-filter-escape-chars-stdout, --source-qube, wrong calls" {
	service test.Echo 'cat; printf "\033[0m"'
	allow test.Echo vault target=vault requested_target=vault
	[ "$(call_vm -p first, -t --buffer-size=4 vault test.Echo <<<"second" | tr -d '\n')" = 'first,second_[0m' ]
	[ "$(call_vm -t --no-filter-escape-chars-stdout vault test.Echo </dev/null)" = $'\033[0m' ]
	run -126 call_vm --source-qube=far vault test.Echo </dev/null
	[ "$(tail -n 1 "$dir/asked")" = "--requested-source=far -- work vault test.Echo" ]
	run -2 call_vm vault
	run -2 call_vm --no-such vault test.Echo
	run -125 call_vm "$(printf 'x%.0s' {1..64})" test.Echo
	run -125 env VCHAN_DOMAIN=42 "$qube/usr/lib/qubes/qrexec-client-vm" --agent-socket="$dir/none" vault test.Echo
}

@test "a local program has the streams, ours in SAVED_FD, and its failure is not hidden" {
	service test.Upper 'tr a-z A-Z'
	allow test.Upper vault target=vault requested_target=vault
	run -0 call_vm vault test.Upper bash -c 'echo text; exec >&-; read x; echo "got $x" >&"$SAVED_FD_1"'
	[ "$output" = "got TEXT" ]
	run -3 call_vm vault test.Upper bash -c 'exit 3'
	run -125 call_vm vault test.Upper /no/such/program
	service test.Fail 'exit 4'
	allow test.Fail vault target=vault requested_target=vault
	run -4 call_vm vault test.Fail false
}

@test "a local program whose input is its output too" {
	service test.Echo 'read x; echo "back $x"'
	allow test.Echo vault target=vault requested_target=vault
	run -0 call_vm vault test.Echo bash -c 'kill -USR1 $QREXEC_AGENT_PID; echo text >&0; read x; echo "$x" >&"$SAVED_FD_1"'
	[ "$output" = "back text" ]
}

# ---- ends

@test "a caller that is killed ends the service, a service that is killed ends the call" {
	service test.Wait 'echo $$ >"'"$dir"'/pid"; exec sleep 300'
	allow test.Wait vault target=vault requested_target=vault
	VCHAN_DOMAIN=42 "$qube/usr/bin/qrexec-client-vm" --agent-socket="$dir/agent.42" vault test.Wait </dev/null 3>&- &
	until_true test -s "$dir/pid"
	kill -9 $!
	until_true ended "$(cat "$dir/pid")"
	until_true no_children "${others[0]}"
	rm "$dir/pid"
	call_vm vault test.Wait </dev/null 3>&- &
	until_true test -s "$dir/pid"
	pkill -9 -P "${others[0]}"
	ends_with 255 $!
	no_sockets_left
}

@test "a caller that is killed while it is decided leaves nothing, and its port is used again" {
	printf '#!/bin/sh\necho asked >>"%s"; sleep 1; cat "%s"\n' "$dir/asked" "$dir/answer.test.Echo.vault" >"$dir/policy"
	allow test.Echo vault target=vault requested_target=vault
	VCHAN_DOMAIN=42 "$qube/usr/bin/qrexec-client-vm" --agent-socket="$dir/agent.42" vault test.Echo </dev/null 3>&- &
	until_true test -e "$dir/asked"
	kill -9 $!
	run -0 call_vm vault test.Echo <<<"text"
	[[ $output = *text ]]
}

@test "a caller that is killed before it listens holds neither the callee's process nor its port" {
	# the agent, who would tell it where to listen, is stopped when the policy answers
	printf '#!/bin/sh\nkill -STOP %s; cat "%s"\n' "$agent" "$dir/answer.test.Echo.vault" >"$dir/policy"
	allow test.Echo vault target=vault requested_target=vault
	VCHAN_DOMAIN=42 "$qube/usr/bin/qrexec-client-vm" --agent-socket="$dir/agent.42" vault test.Echo </dev/null 3>&- &
	until_true has_children "${others[0]}"
	kill -9 $!
	kill -CONT "$agent"
	until_true no_children "${others[0]}"
	no_sockets_left
	grep -q 'port 514' "$dir/agent.log" && return 1
	printf '#!/bin/sh\ncat "%s/answer.$4.$3"\n' "$dir" >"$dir/policy"
	run -0 call_vm vault test.Echo <<<"text"
}

@test "a caller whose callee has died before they met hears of it" {
	local code who
	allow test.Echo vault target=vault requested_target=vault
	# who tells it where to listen is stopped when the policy answers: the agent, or its daemon, which the broker asks
	for who in "$agent" "$daemon"; do
		printf '#!/bin/sh\nkill -STOP %s; cat "%s"\n' "$who" "$dir/answer.test.Echo.vault" >"$dir/policy"
		# less than it waits for a callee
		CALL_TIMEOUT=45 call_vm vault test.Echo </dev/null 3>&- &
		until_true has_children "${others[0]}"
		pkill -9 -P "${others[0]}"
		until_true no_children "${others[0]}"
		kill -CONT "$who"
		code=0
		wait $! || code=$?
		[ "$code" != 0 ] && [ "$code" != 124 ]
		no_sockets_left
	done
	printf '#!/bin/sh\ncat "%s/answer.$4.$3"\n' "$dir" >"$dir/policy"
	run -0 call_vm vault test.Echo <<<"text"
}

# next_call: as another local client of vault's daemon would have it, from work: its service has a caller, and says HELLO to it.
# Between the daemon's answer and the call it waits for $dir/connect
next_call() {
	python3 - "$dir" "$me" <<-'EOF'
		import os, socket, struct, sys, time
		where, user = sys.argv[1:]
		os.chdir(where)

		def message(kind, payload):
		    return struct.pack("<II", kind, len(payload)) + payload

		def read(s, n):
		    data = b""
		    while len(data) < n:
		        more = s.recv(n - len(data))
		        assert more, "the end, instead of an answer"
		        data += more
		    return data

		hello = message(0x300, struct.pack("<I", 3))
		daemon = socket.socket(socket.AF_UNIX)
		daemon.connect("qrexec.43")
		daemon.sendall(hello + message(0x200, struct.pack("<II", 42, 0) + f"{user}:QUBESRPC test.Echo+ work\0".encode()))
		port = struct.unpack("<IIII", read(daemon, 12 + 16)[12:])[3]
		open("answered", "w").close()
		while not os.path.exists("connect"):
		    time.sleep(0.05)
		caller = socket.socket(socket.AF_UNIX)
		caller.bind("next")
		caller.listen(1)
		os.rename("next", f"vchan.42.43.{port}.sock")
		caller.settimeout(10)
		service = caller.accept()[0]
		assert read(service, 8) == hello[:8], "no HELLO"
	EOF
}

@test "what stands in for a caller that is gone does not end the next call on its port" {
	local callee broker
	service test.Wait 'echo begun; exec cat'
	allow test.Wait vault target=vault requested_target=vault
	VCHAN_DOMAIN=42 "$qube/usr/bin/qrexec-client-vm" --agent-socket="$dir/agent.42" vault test.Wait < <(exec sleep 60) >"$dir/out" 3>&- &
	until_true grep -q begun "$dir/out"
	# who is slow to notice: its port has a stand-in by then
	callee=$(pgrep -P "${others[0]}")
	kill -STOP "$callee"
	kill -9 $!
	until_true test -S "$dir/vchan.42.43.514.sock"
	broker=$(broker_of_work)
	kill -STOP "$broker"
	kill -CONT "$callee"
	until_true no_children "${others[0]}"
	next_call 3>&- &
	until_true test -e "$dir/answered"
	until_true has_children "${others[0]}"
	sleep 0.5 # it would have connected
	kill -CONT "$broker"
	until_true test ! -e "$dir/vchan.42.43.514.sock"
	touch "$dir/connect"
	wait $!
}

@test "a daemon for which no inotify is left finds its agent, and finds it again" {
	unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_inotify_instances' ||
		skip "needs a user namespace whose limits can be set"
	kill "$daemon" "$agent" && wait "$daemon" "$agent" || true
	until_true test ! -e "$dir/qrexec.42"
	# shellcheck disable=SC2016
	unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_inotify_instances; exec "$@"' sh \
		"$dom0/qrexec-daemon" --socket-dir="$dir" --direct 42 work "$me" 2>>"$dir/daemon.log" 3>&- &
	daemon=$!
	for _ in 1 2; do
		run -125 call true
		agent_begin
		until_true test -S "$dir/qrexec.42"
		run -0 call 'echo fine'
		[ "$output" = fine ]
		kill "$agent" && wait "$agent" || true
		until_true test ! -e "$dir/qrexec.42"
	done
	agent_begin
}

@test "a daemon that ends refuses who waits, and the next one serves" {
	printf '#!/bin/sh\necho asked >>"%s"; exec sleep 300\n' "$dir/asked" >"$dir/policy"
	call_vm vault test.Echo </dev/null 2>"$dir/err" 3>&- &
	until_true test -e "$dir/asked"
	kill -9 "$daemon"
	ends_with 126 $!
	grep -qx 'Request refused' "$dir/err"
	until_true test ! -e "$dir/qrexec.42"
	printf '#!/bin/sh\ncat "%s/answer.$4.$3"\n' "$dir" >"$dir/policy"
	daemon_begin
	allow test.Echo vault target=vault requested_target=vault
	run -0 call_vm vault test.Echo <<<"text"
}

@test "a broker that ends refuses who waits, and the next call has a new one" {
	printf '#!/bin/sh\necho asked >>"%s"; exec sleep 300\n' "$dir/asked" >"$dir/policy"
	call_vm vault test.Echo </dev/null 3>&- &
	until_true test -e "$dir/asked"
	kill -9 "$(broker_of_work)"
	ends_with 126 $!
	printf '#!/bin/sh\ncat "%s/answer.$4.$3"\n' "$dir" >"$dir/policy"
	allow test.Echo vault target=vault requested_target=vault
	run -0 call_vm vault test.Echo <<<"text"
}

# take_seats PID N: of the seats for services in dom0, as if N more were there; ends with its input
take_seats() {
	python3 -c '
import fcntl, os, struct, sys
f = os.open("/proc/%s/fd/%s" % (sys.argv[1], sys.argv[2]), os.O_RDWR)
n = int(sys.argv[3])
for i in range(256):
    if n > 0:
        try:
            fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, i, 1, 0))
            n -= 1
        except BlockingIOError:
            pass
print("taken", flush=True)
sys.stdin.read()' "$1" "$(tr '\0' '\n' <"/proc/$1/cmdline" | sed -n 's/^--seats-fd=//p')" "$2"
}

# broker_of_work: whose parent is the daemon's; services' processes are called the same
broker_of_work() {
	pgrep -P "$(pgrep -d , -f "qrexec-daemon --socket-dir=$dir .* 42 work")" qrexec-broker
}

@test "services of dom0 that have outlived their broker are counted by the next one" {
	local i broker pids=()
	service test.Hold "echo begun; until [ -e \"$dir/go.\$1\" ]; do sleep 0.2; done; echo ended"
	service test.Echo cat
	allow test.Echo dom0 target=dom0 requested_target=dom0
	for i in 1 2 3; do
		allow test.Hold+$i dom0 target=dom0 requested_target=dom0
		call_vm dom0 test.Hold+$i </dev/null >"$dir/held.$i" 3>&- &
		pids+=($!)
		until_true grep -q begun "$dir/held.$i"
	done
	broker=$(broker_of_work)
	kill -9 "$broker"
	until_true ended "$broker"
	run -0 call_vm dom0 test.Echo <<<text
	mkfifo "$dir/hold"
	take_seats "$(broker_of_work)" 253 <"$dir/hold" >"$dir/taken" 3>&- &
	exec 4>"$dir/hold"
	until_true grep -q taken "$dir/taken"
	run -126 call_vm dom0 test.Echo <<<text
	grep -q 'too many of its calls are served in dom0' "$dir/daemon.log"
	touch "$dir/go.1"
	wait "${pids[0]}"
	[ "$(tail -n 1 "$dir/held.1")" = ended ]
	until_true eval '[ "$(echo text | call_vm dom0 test.Echo 4>&-)" = text ]'
	exec 4>&-
	touch "$dir/go.2" "$dir/go.3"
	wait "${pids[@]:1}"
}

# ---- many

@test "many at once, and none is lost" {
	local i j n=3 pids=()
	[ -z "${BULKHEAD_TEST_FULL-}" ] || n=50
	service test.Echo 'cat'
	allow test.Echo vault target=vault requested_target=vault
	allow test.Echo dom0 target=dom0 requested_target=dom0
	for ((j = 0; j < n; j++)); do
		pids=()
		for ((i = 0; i < 24; i++)); do
			(
				target=vault
				((i % 3)) || target=dom0
				[ "$(echo "$i.$j" | call_vm $target test.Echo)" = "$i.$j" ]
			) 3>&- &
			pids+=($!)
		done
		for i in "${pids[@]}"; do
			wait "$i"
		done
	done
	no_sockets_left
}

@test "a thousand calls at once: those that find a port run together, the others after them, and each has its own answer" {
	local i held n=150 pids=()
	[ -z "${BULKHEAD_TEST_FULL-}" ] || n=1000
	mkdir "$dir/many"
	service test.Hold "read x; echo \"begun \$x\"; until [ -e '$dir/go' ]; do sleep 0.2; done; echo \"ended \$x\""
	allow test.Hold vault target=vault requested_target=vault
	for ((i = 0; i < n; i++)); do
		CALL_TIMEOUT=120 call_vm vault test.Hold <<<"$i" >"$dir/many/$i" 2>&1 3>&- &
		pids+=($!)
	done
	# a caller has no more than leaves the same to another one
	held='[ "$(cat "$dir"/many/* | grep -c begun)" -ge 112 ]'
	until_true eval "$held" || until_true eval "$held" || until_true eval "$held"
	touch "$dir/go"
	for i in "${!pids[@]}"; do
		wait "${pids[$i]}"
		[ "$(cat "$dir/many/$i")" = "begun $i
ended $i" ]
	done
	no_sockets_left
	until_true no_children "${others[0]}"
}

# call_beside N TARGET: to test.Hold, in the background; its output, errors and exit code will stand in $dir/many/N.*. Shells forget who
# ended among thousands, so none is waited for
call_beside() {
	(
		code=0
		CALL_TIMEOUT=500 call_vm "$2" test.Hold >"$dir/many/$1.out" 2>"$dir/many/$1.err" || code=$?
		echo "$code" >"$dir/many/$1.code"
	) 3>&- 8>&- &
}

# begun: how many services of $dir/many run or ran
begun() {
	cat "$dir"/many/*.out | grep -c begun
}

# ended_are N: so many of them have written their exit code
ended_are() {
	sleep 0.5
	[ "$(find "$dir/many" -name '*.code' -size +0 | wc -l)" = "$1" ]
}

@test "calls that find no port are refused in the end, every one of them, and the next calls are served" {
	local i n=150
	! full_counts || n=1000
	mkdir "$dir/many"
	service test.Hold "echo begun; until [ -e '$dir/go' ]; do sleep 1; done; echo ended"
	service test.Echo cat
	allow test.Hold vault target=vault requested_target=vault
	allow test.Echo vault target=vault requested_target=vault
	for ((i = 0; i < n; i++)); do
		call_beside "$i" vault </dev/null
	done
	# all others end by themselves, while these go on
	within 280 ended_are $((n - 112))
	[ "$(cat "$dir"/many/*.code | sort -u)" = 126 ]
	[ "$(cat "$dir"/many/*.err | sort -u)" = 'Request refused' ]
	[ "$(begun)" = 112 ]
	grep -q 'refused: too many others of its calls wait for the same qube' "$dir/daemon.log"
	touch "$dir/go"
	within 60 ended_are "$n"
	[ "$(cat "$dir"/many/*.code | sort | uniq -c | tr -s ' ')" = " 112 0
 $((n - 112)) 126" ]
	[ "$(cat "$dir"/many/*.out | grep -c ended)" = 112 ]
	run -0 call_vm vault test.Echo <<<"text"
	[ "$output" = text ]
	no_sockets_left
	until_true no_children "${others[0]}"
}

@test "calls of one qube to many others live together, and leave it room for those that it is asked" {
	local i n=2 q
	! full_counts || n=9
	mkdir "$dir/many"
	# none of them is anything but the programs of the call
	service test.Hold 'echo begun; exec cat'
	service test.Echo cat
	mkfifo "$dir/held"
	exec 8<>"$dir/held"
	for ((q = 0; q < n; q++)); do
		qube_begin $((100 + q)) "callee-$q" 8>&-
		allow test.Hold "callee-$q" target="callee-$q" requested_target="callee-$q"
		for ((i = 0; i < 112; i++)); do
			call_beside "$q.$i" "callee-$q" <"$dir/held"
		done
		within 120 eval '[ "$(begun)" = $((112 * (q + 1))) ]'
	done
	run -0 call 'echo fine'
	allow test.Echo work target=work requested_target=work
	[ "$(echo x | VCHAN_DOMAIN=43 timeout 50 "$qube/usr/bin/qrexec-client-vm" --agent-socket="$dir/agent.43" work test.Echo)" = x ]
	exec 8>&-
	within 120 ended_are $((112 * n))
	[ "$(cat "$dir"/many/*.code | sort -u)" = 0 ]
	[ "$(begun)" = $((112 * n)) ]
	no_sockets_left
}

# a_socket_has N: connections that were taken; it is bound by another name than it is found by
a_socket_has() {
	grep -F "$dir/." /proc/net/unix | sed 's/.* //' | sort | uniq -c | grep -q "^ *$(($1 + 1)) "
}

@test "a caller that holds all it can get at a qube does not keep another one waiting" {
	local i n=220 pids=()
	mkdir "$dir/many"
	qube_begin 41 other
	service test.Hold "echo begun; until [ -e '$dir/go' ]; do sleep 0.5; done; echo ended"
	service test.Echo cat
	allow test.Hold vault target=vault requested_target=vault
	allow test.Echo vault target=vault requested_target=vault
	for ((i = 0; i < n; i++)); do
		CALL_TIMEOUT=200 call_vm vault test.Hold </dev/null >"$dir/many/$i" 2>&1 3>&- &
		pids+=($!)
	done
	for ((i = 0; i < 6; i++)); do
		until_true eval '[ "$(cat "$dir"/many/* | grep -c begun)" = 112 ]' && break
	done
	# all of them have been decided; the others wait where they are in nobody's way
	until_true eval '[ "$(wc -l <"$dir/asked")" = 220 ]'
	until_true a_socket_has $((112 + 8))
	for i in 41 41 41; do
		[ "$(echo "$i" | VCHAN_DOMAIN=$i timeout 50 "$qube/usr/bin/qrexec-client-vm" --agent-socket="$dir/agent.$i" vault test.Echo)" = "$i" ]
	done
	run -0 timeout 50 "$dom0/qrexec-client" --socket-dir="$dir" -d vault "$me:echo fine"
	[ "$(cat "$dir"/many/* | grep -c begun)" = 112 ]
	run -1 grep -q ended "$dir"/many/*
	touch "$dir/go"
	for i in "${!pids[@]}"; do
		wait "${pids[$i]}"
		[ "$(tail -n 1 "$dir/many/$i")" = ended ]
	done
}

# ---- sessions

@test "a session's fork server starts its user's commands, and is not needed" {
	kill "$agent" && wait "$agent" || true
	VCHAN_DOMAIN=42 with_plain_shell "$qube/usr/lib/qubes/qrexec-agent" --agent-socket="$dir/agent.42" \
		--fork-server-socket="$dir/session.%s" 2>>"$dir/agent.log" 3>&- &
	agent=$!
	until_true call true
	run -0 call 'echo "in ${SESSION-none}"'
	[ "$output" = "in none" ]
	SESSION=mine VCHAN_DOMAIN=42 "$qube/usr/bin/qrexec-fork-server" "$dir/session.$me" 3>&-
	server=$(pgrep -f "^$qube/usr/bin/qrexec-fork-server $dir")
	run -7 call 'echo "in ${SESSION-none}"; cat; exit 7' <<<"text"
	[ "$output" = $'in mine\ntext' ]
	service test.Tell 'echo "$SESSION $QREXEC_REMOTE_DOMAIN"'
	run -0 call 'QUBESRPC test.Tell+ somewhere'
	[ "$output" = "mine somewhere" ]
	# not as another user than the service is configured for
	echo "force-user = 'no-such-user'" >"$dir/rpc-config/test.Tell"
	run -125 call 'QUBESRPC test.Tell+ somewhere'
	rm "$dir/rpc-config/test.Tell"
	run -0 call -e "echo done >'$dir/mark'"
	until_true test -s "$dir/mark"
	kill -9 "$server"
	run -0 call 'echo "in ${SESSION-none}"'
	[ "$output" = "in none" ]
	# its ports are free again
	local i
	for ((i = 0; i < 300; i++)); do
		call true || return 1
	done
}

@test "a fork server ends by a signal and takes its socket along" {
	"$qube/usr/bin/qrexec-fork-server" "$dir/session" 3>&-
	[ -S "$dir/session" ]
	pkill -TERM -f "^$qube/usr/bin/qrexec-fork-server $dir"
	until_true test ! -e "$dir/session"
}

@test "of many calls, some of them killed at any moment, none of the others is lost" {
	local n=500 part
	[ -x "$top/build/bench/qrexec-call" ] || skip "needs build/bench"
	# in full 100,000, in parts
	! full_counts || n=5000
	for ((part = $(rounds none-lost 1 20); part > 0; part--)); do
		"$top/build/bench/qrexec-call" --lost "$n" $((20261122 + part))
		round_done none-lost
	done
}

# ---- qrexec-client

# dom0_client ARGUMENT...: qrexec-client with our folder
dom0_client() {
	timeout 60 "$dom0/qrexec-client" --socket-dir="$dir" "$@"
}

@test "from dom0 to dom0: streams, exit codes, what a service is told" {
	service test.Tell 'env | grep ^QREXEC_ | grep -v AGENT_PID | grep -v SERVICE_PATH | sort; cat; echo err >&2; exit 7'
	run -7 --separate-stderr dom0_client -d dom0 'QUBESRPC test.Tell+a dom0 keyword adminvm' <<<"input"
	[ "$output" = "QREXEC_REMOTE_DOMAIN=dom0
QREXEC_REQUESTED_TARGET_KEYWORD=adminvm
QREXEC_REQUESTED_TARGET_TYPE=keyword
QREXEC_SERVICE_ARGUMENT=a
QREXEC_SERVICE_FULL_NAME=test.Tell+a
input" ]
	[ "$stderr" = err ]
	run -0 dom0_client -E -d @adminvm 'QUBESRPC test.Tell dom0 name dom0' </dev/null
	run -127 --separate-stderr dom0_client -d dom0 'QUBESRPC test.Absent+ dom0 name dom0' </dev/null
	[ -z "$stderr" ]
	service test.Die 'kill -9 $$'
	run -137 dom0_client -d dom0 'nogui:QUBESRPC test.Die dom0 name dom0' </dev/null
	run -125 dom0_client -d dom0 'QUBESRPC test.Tell dom0' </dev/null
	run -125 dom0_client -d dom0 'QUBESRPC test.Tell dom0 name' </dev/null
	run -125 dom0_client -d dom0 'QUBESRPC test.Tell dom0 name dom0 more' </dev/null
	run -0 dom0_client -d dom0 'echo "a command"' </dev/null
	[ "$output" = "a command" ]
}

@test "from dom0 to dom0: a local command on the other end, and one that is not waited for" {
	service test.Upper 'tr a-z A-Z; exit 5'
	run -5 dom0_client -d dom0 -l "echo text; exec >&-; cat >'$dir/got'" 'QUBESRPC test.Upper dom0 name dom0'
	[ "$(cat "$dir/got")" = TEXT ]
	service test.Later "sleep 1; echo done >'$dir/mark'"
	run -0 dom0_client -e -d dom0 'QUBESRPC test.Later dom0 name dom0'
	[ ! -e "$dir/mark" ]
	until_true test -s "$dir/mark"
}

@test "-c connects a call that was asked for, as a policy program of Qubes does" {
	# the program answers nothing that allows it: who calls waits until then
	cat >"$dir/policy" <<-EOF
		#!/bin/sh
		exec 2>>"$dir/policy.log"
		"$dom0/qrexec-client" --socket-dir="$dir" -d "\$3" -c SOCKET1,work,42 "\$(cat "$dir/command")" >&2
		exec sleep 300
	EOF
	service test.Who 'echo "$QREXEC_REMOTE_DOMAIN; $(cat)"; exit 3'
	echo "$me:QUBESRPC test.Who+ work" >"$dir/command"
	run -3 call_vm vault test.Who <<<"input"
	[ "$output" = "work; input" ]
	sed -i s/SOCKET1/SOCKET2/ "$dir/policy"
	echo "QUBESRPC test.Who+ work name dom0" >"$dir/command"
	run -3 call_vm dom0 test.Who <<<"input"
	[ "$output" = "work; input" ]
	# who moves the qube's bytes, which it does since input came, is confined
	service test.Who 'read x; sed -n "s/^Seccomp:\t//p" /proc/$PPID/status; exit 3'
	sed -i s/SOCKET2/SOCKET3/ "$dir/policy"
	run -3 call_vm dom0 test.Who <<<"input"
	[ "$output" = 2 ] || sanitized
	run -2 dom0_client -d dom0 -c SOCKET1,work 'true'
}

# ---- services that are sockets

# serve [tcp] NAME: a server that writes what it reads to NAME.read, and at its end answers "answer"
serve() {
	python3 - "$@" 3>&- <<-'EOF' &
		import os, socket, sys
		tcp, path = len(sys.argv) > 2, sys.argv[-1]
		s = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
		s.bind(("127.0.0.1", 0) if tcp else path)
		s.listen(9)
		with open(path + ".new", "w") as f:
		    print(s.getsockname()[1] if tcp else "", file=f)
		os.rename(path + ".new", path + ".port")
		while True:
		    c, _ = s.accept()
		    with open(path + ".read", "wb") as f:
		        while b := c.recv(65536):
		            f.write(b)
		            f.flush()
		    try:
		        c.sendall(b"answer")
		    except OSError:
		        pass
		    c.close()
	EOF
	others+=($!)
	until_true test -e "${*: -1}.port"
}

@test "a service that is a socket: descriptor, streams, exit code" {
	serve "$dir/rpc/test.Sock"
	allow test.Sock+a vault target=vault requested_target=vault
	allow test.Sock+a dom0 target=dom0 requested_target=@adminvm
	run -0 --separate-stderr call_vm vault test.Sock+a <<<"text"
	[ "$output$stderr" = answer ]
	tr '\0' '|' <"$dir/rpc/test.Sock.read" | diff - <(echo 'test.Sock+a work|text')
	run -0 call_vm dom0 test.Sock+a <<<"text"
	tr '\0' '|' <"$dir/rpc/test.Sock.read" | diff - <(echo 'test.Sock+a work keyword adminvm|text')
	run -0 --separate-stderr dom0_client -d dom0 'QUBESRPC test.Sock+a dom0 keyword adminvm' <<<"text"
	[ "$output$stderr" = answer ]
	tr '\0' '|' <"$dir/rpc/test.Sock.read" | diff - <(echo 'test.Sock+a dom0 keyword adminvm|text')
	run -0 dom0_client -d dom0 -l "echo more; exec >&-; cat >'$dir/got'" 'QUBESRPC test.Sock dom0 name dom0'
	[ "$(cat "$dir/got")" = answer ]
	run -0 dom0_client -e -d dom0 'QUBESRPC test.Sock+e dom0 name dom0'
	until_true grep -q 'test.Sock+e dom0 name dom0' "$dir/rpc/test.Sock.read"
	run -0 call -e 'QUBESRPC test.Sock+b somewhere'
	until_true grep -q 'test.Sock+b somewhere' "$dir/rpc/test.Sock.read"
	echo 'skip-service-descriptor = true' >"$dir/rpc-config/test.Sock"
	run -0 call_vm vault test.Sock+a <<<"text"
	[ "$(cat "$dir/rpc/test.Sock.read")" = text ]
	echo "force-user = '$me'" >"$dir/rpc-config/test.Sock"
	run -125 --separate-stderr call_vm vault test.Sock+a </dev/null
	[ -z "$output$stderr" ]
	run -125 dom0_client -d dom0 'QUBESRPC test.Sock dom0 name dom0' </dev/null
	kill "${others[-1]}"
	rm "$dir/rpc-config/test.Sock"
	run -125 call_vm vault test.Sock+a </dev/null
	run -125 dom0_client -d dom0 'QUBESRPC test.Sock dom0 name dom0' </dev/null
}

@test "a service of dom0 that is a socket is let go when its caller in dom0 is killed" {
	serve "$dir/rpc/test.Sock"
	"$dom0/qrexec-client" --socket-dir="$dir" -d dom0 'QUBESRPC test.Sock dom0 name dom0' < <(echo text; exec sleep 20) 3>&- &
	until_true grep -q text "$dir/rpc/test.Sock.read"
	kill -9 $!
	# it takes the next one when it has seen the end of this one
	run -0 dom0_client -d dom0 'QUBESRPC test.Sock+next dom0 name dom0' <<<"text"
	[ "$output" = answer ]
}

@test "a socket's call ends when both have ended, or the one that its configuration names" {
	serve "$dir/rpc/test.Sock"
	allow test.Sock vault target=vault requested_target=vault
	echo 'exit-on-client-eof = true' >"$dir/rpc-config/test.Sock"
	run -0 call_vm vault test.Sock <<<"text"
	[ -z "$output" ]
	# the other way round: the caller goes on, the service does not
	rm "$dir/rpc-config/test.Sock" "$dir/rpc/test.Sock" "$dir/rpc/test.Sock.port"
	python3 - "$dir/rpc/test.Sock" 3>&- <<-'EOF' &
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen(9)
		open(sys.argv[1] + ".port", "w")
		while True:
		    c, _ = s.accept()
		    c.sendall(b"answer")
		    c.shutdown(socket.SHUT_WR)
		    while c.recv(100):
		        pass
	EOF
	others+=($!)
	until_true test -e "$dir/rpc/test.Sock.port"
	echo 'exit-on-service-eof = true' >"$dir/rpc-config/test.Sock"
	run -0 call_vm vault test.Sock < <(exec sleep 20)
	[ "$output" = answer ]
	rm "$dir/rpc-config/test.Sock"
	# a local command hears the end of the service's output, and with its own end the call is over
	run -0 dom0_client -d dom0 -l "cat >'$dir/got'" 'QUBESRPC test.Sock dom0 name dom0'
	[ "$(cat "$dir/got")" = answer ]
	CALL_TIMEOUT=1 run -124 call_vm vault test.Sock < <(exec sleep 20)
}

@test "a link to /dev/tcp leads there, and says what is missing in it by the argument" {
	serve tcp "$dir/tcp"
	local port
	port=$(cat "$dir/tcp.port")
	ln -s "/dev/tcp/127.0.0.1/$port" "$dir/rpc/test.Whole"
	ln -s /dev/tcp/127.0.0.1 "$dir/rpc/test.Host"
	ln -s /dev/tcp "$dir/rpc/test.Any"
	local service
	for service in test.Whole test.Host+$port test.Any+127.0.0.1+$port; do
		allow "$service" vault target=vault requested_target=vault
		run -0 --separate-stderr call_vm vault "$service" <<<"text"
		[ "$output$stderr" = answer ]
		grep -qz "^$service+\? work$" "$dir/tcp.read"
	done
	for service in test.Host test.Host+127.0.0.1+$port test.Any test.Any+127.0.0.1 test.Any+127.0.0.1+1; do
		allow "$service" vault target=vault requested_target=vault
		run -125 --separate-stderr call_vm vault "$service" <<<"text"
		[ -z "$output$stderr" ]
	done
}

@test "a service waits for its user's session, unless it is called without" {
	service qubes.WaitForSession "read user; sleep 1; echo \"\$user\" >'$dir/session'"
	service test.Gui "cat '$dir/session'"
	echo 'wait-for-session = 1' >"$dir/rpc-config/test.Gui"
	allow test.Gui vault target=vault requested_target=vault
	run -0 call_vm vault test.Gui </dev/null
	[ "$output" = "$me" ]
	rm "$dir/session"
	run -1 call 'nogui:QUBESRPC test.Gui+ somewhere'
	echo 'wait-for-session = maybe' >"$dir/rpc-config/test.Gui"
	run -125 call_vm vault test.Gui </dev/null
}

# ---- who lies

@test "a qube that lies where it was told to connect is cut off, and dom0's service ends" {
	allow test.Echo dom0 target=dom0 requested_target=dom0
	service test.Echo 'exec cat'
	kill "$agent" && wait "$agent" || true
	until_true test ! -e "$dir/qrexec.42"
	local lie
	for lie in $("$hostile/qrexec-rude" list caller); do
		echo "lie: $lie"
		timeout 60 "$hostile/qrexec-rude" caller "$dir" "$lie"
		until_true test ! -e "$dir/qrexec.42"
	done
	until_true eval '! pgrep -f "^(qrexec-broker|cat).*$dir"'
	agent_begin
	until_true test -S "$dir/qrexec.42"
	run -0 call_vm dom0 test.Echo <<<"text"
	[ "$output" = text ]
}

# waits_by_inotify: does a service of dom0 for work? Looked at for a while
waits_by_inotify() {
	local i pid
	for ((i = 0; i < 20; i++)); do
		for pid in $(pgrep -P "$(broker_of_work)" qrexec-broker); do
			[[ $(readlink "/proc/$pid/fd/"* 2>/dev/null) != *inotify* ]] || return 0
		done
		sleep 0.02
	done
	return 1
}

@test "a caller that does not come takes none of the few inotify instances that dom0's user has, but for a moment" {
	allow test.Echo dom0 target=dom0 requested_target=dom0
	# the agent, who would tell it where to listen, is stopped when the policy answers
	printf '#!/bin/sh\nkill -STOP %s; cat "%s"\n' "$agent" "$dir/answer.test.Echo.dom0" >"$dir/policy"
	call_vm dom0 test.Echo <<<"text" >"$dir/out" 3>&- &
	until_true eval 'pgrep -P "$(broker_of_work)" qrexec-broker'
	until_true eval '! waits_by_inotify'
	run ! waits_by_inotify
	pgrep -P "$(broker_of_work)" qrexec-broker
	kill -CONT "$agent"
	wait $!
	[[ $(cat "$dir/out") = *text ]]
}

@test "a qube that says its calls are over and keeps them has so many processes in dom0, and no more" {
	allow test.Echo dom0 target=dom0 requested_target=dom0
	service test.Echo 'exec cat'
	kill "$agent" && wait "$agent" || true
	until_true test ! -e "$dir/qrexec.42"
	timeout 100 "$hostile/qrexec-rude" hoard "$dir" many
	until_true test ! -e "$dir/qrexec.42"
	grep -q 'too many of its calls are served in dom0' "$dir/daemon.log"
	agent_begin
	until_true test -S "$dir/qrexec.42"
	run -0 call_vm dom0 test.Echo <<<"text"
}

@test "a daemon that was taken over can ask its broker for calls, and nothing else" {
	local lie
	for lie in $("$hostile/qrexec-rude" list broker); do
		echo "lie: $lie"
		timeout 60 "$hostile/qrexec-rude" broker "$dom0/qrexec-broker" "$lie"
	done
}

@test "a program that is rude to the agent is let go, and the others do not notice" {
	allow test.Echo vault target=vault requested_target=vault
	local lie
	for lie in $("$hostile/qrexec-rude" list program); do
		echo "lie: $lie"
		timeout 60 "$hostile/qrexec-rude" program "$dir/agent.42" "$lie" &
		run -0 call_vm vault test.Echo <<<"text"
		wait $!
	done
}
