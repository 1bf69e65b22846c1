# A qube's agent, its daemon and clients as plain processes: no virtual machine, vchan over sockets.
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dom0="${QREXEC_DOM0:-$top/build/root/usr/libexec/bulkhead}"
qube="${QREXEC_QUBE:-$top/build/qube-root}"
# shellcheck disable=SC2034 # for those who load this
hostile="${QREXEC_HOSTILE:-$top/build/test/hostile}"
# no service is to see them
export -n QREXEC_DOM0 QREXEC_QUBE QREXEC_HOSTILE
me=$(id -un)
others=()

# pair_begin: a fresh folder with agent and daemon of the qube "work" (domain 42) in it
pair_begin() {
	dir=$(mktemp -d "${TMPDIR:-/tmp}/qrexec XXXXXX")
	export VCHAN_SOCKET_DIR=$dir
	mkdir "$dir/rpc" "$dir/rpc-config"
	export QREXEC_SERVICE_PATH="$dir/rpc:$qube/etc/qubes-rpc" QUBES_RPC_CONFIG_PATH="$dir/rpc-config"
	agent_begin
	daemon_begin
}

# with_plain_shell COMMAND...: as root commands run in a login shell; what root's profile does on this machine is no
# part of the test
with_plain_shell() {
	if [ "$(id -u)" = 0 ]; then
		# shellcheck disable=SC2016
		exec unshare --mount sh -c 'for f in .profile .bash_profile .bash_login .bashrc; do
			[ ! -e ~root/$f ] || mount --bind /dev/null ~root/$f
		done
		exec "$@"' sh "$@"
	fi
	exec "$@"
}

agent_begin() {
	VCHAN_DOMAIN=42 with_plain_shell "$qube/usr/lib/qubes/qrexec-agent" --no-fork-server --agent-socket="$dir/agent.42" \
		2>>"$dir/agent.log" 3>&- &
	agent=$!
}

# daemon_begin [WHAT]: and wait for its socket, unless WHAT is nowait
# shellcheck disable=SC2120 # the .bats file gives the argument
daemon_begin() {
	"$dom0/qrexec-daemon" --socket-dir="$dir" --direct --policy-socket="$dir/policy.sock" --policy-program="$dir/policy" \
		42 work "$me" 2>>"$dir/daemon.log" 3>&- &
	daemon=$!
	[ "${1-}" = nowait ] || until_true test -S "$dir/qrexec.42"
}

# sanitized: the programs are, and then have no seccomp list (lib/sandbox/seccomp-sanitized.c)
sanitized() {
	grep -q __asan_init "$dom0/qrexec-client"
}

# until_true COMMAND...: try it for up to ten seconds
until_true() {
	local i
	for ((i = 0; i < 200; i++)); do
		"$@" 2>/dev/null && return 0
		sleep 0.05
	done
	echo "never true: $*" >&2
	return 1
}

# call [OPTIONS] COMMAND: run it in the qube as ourselves; options before, command last
call() {
	local command=${*: -1}
	timeout "${CALL_TIMEOUT:-60}" "$dom0/qrexec-client" --socket-dir="$dir" -d work "${@:1:$#-1}" "$me:$command"
}

# ends_with CODE PID: a child of this shell
ends_with() {
	local code=0
	wait "$2" || code=$?
	[ "$code" = "$1" ] || {
		echo "ended with $code, not $1" >&2
		return 1
	}
}

ended() {
	! kill -0 "$1" 2>/dev/null
}

# children_of PID: how many processes it started are there
children_of() {
	pgrep -c -P "$1" || true
}

has_children() {
	[ "$(children_of "$1")" != 0 ]
}

no_children() {
	[ "$(children_of "$1")" = 0 ]
}

pair_end() {
	[ -n "${dir-}" ] || return 0
	kill "$agent" "$daemon" 2>/dev/null || true
	kill -CONT "$agent" 2>/dev/null || true # a test that failed may have stopped it
	wait "$agent" "$daemon" 2>/dev/null || true
	until_true test ! -e "$dir/qrexec.42" || true
	rm -rf "$dir"
}

# ---- more qubes, and calls that they make

# uuid_of DOMID: of a qube that qube_begin began
uuid_of() {
	printf 'uuid:00000000-0000-0000-0000-%012u' "$1"
}

# qube_begin DOMID NAME: agent and daemon of another qube beside the pair
qube_begin() {
	VCHAN_DOMAIN=$1 with_plain_shell "$qube/usr/lib/qubes/qrexec-agent" --no-fork-server --agent-socket="$dir/agent.$1" \
		2>>"$dir/agent.log" 3>&- &
	others+=($!)
	"$dom0/qrexec-daemon" --socket-dir="$dir" --direct --policy-socket="$dir/policy.sock" --policy-program="$dir/policy" \
		--uuid="$(uuid_of "$1" | cut -d: -f2)" "$1" "$2" "$me" 2>>"$dir/daemon.log" 3>&- &
	others+=($!)
	until_true test -S "$dir/qrexec.$1"
}

qubes_end() {
	[ ${#others[@]} = 0 ] || kill "${others[@]}" 2>/dev/null || true
	wait "${others[@]}" 2>/dev/null || true
	others=()
}

# service NAME COMMANDS: one that qubes and dom0 have
service() {
	printf '#!/bin/sh\n%s\n' "$2" >"$dir/rpc/$1"
	chmod +x "$dir/rpc/$1"
}

# allow SERVICE TARGET KEY=VALUE...: what the policy answers
allow() {
	printf '%s\n' result=allow user=DEFAULT autostart=True "${@:3}" >"$dir/answer.$1.$2"
}

# call_vm ARGUMENT...: qrexec-client-vm in the qube "work"
call_vm() {
	VCHAN_DOMAIN=42 timeout "${CALL_TIMEOUT:-60}" "$qube/usr/bin/qrexec-client-vm" --agent-socket="$dir/agent.42" "$@"
}

# no_sockets_left: of data channels
no_sockets_left() {
	until_true eval '! ls "$dir" | grep -qE "^vchan\.[0-9]+\.[0-9]+\.(51[3-9]|5[2-9][0-9]|6[0-9]{2}|7[0-9]{2})\.sock"'
}
