# What every system test shares: an instance of its own, and qubes on the small template.
# Source it from a .bats file (`load lib`); call instance_begin in setup_file and instance_end in teardown_file.
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export top
export PATH="$top/build/root/usr/bin:$PATH"
export BULKHEAD_QUBE_ROOT="$top/build/qube-root"
# what is downloaded or built once serves all test files
export BULKHEAD_CACHE="${BULKHEAD_CACHE:-$top/build/test-cache}"
libexec="$top/build/root/usr/libexec/bulkhead"
export libexec

# instance_begin: an empty instance with qubesd running. Its folder has a space in its name, on purpose.
instance_begin() {
	BULKHEAD_HOME=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead test.XXXXXX")
	export BULKHEAD_HOME
	mkdir -p "$BULKHEAD_CACHE"
	timeout 30 bulkhead start
}

# instance_end: everything of this instance is gone afterwards; a process that stayed is an error.
instance_end() {
	[ -n "${BULKHEAD_HOME-}" ] || return 0
	timeout 120 bulkhead stop || true
	local left run
	run=$(readlink "$BULKHEAD_HOME/run" || true)
	left=$(instance_processes)
	if [ -n "$left" ]; then
		echo "processes left behind:" >&2
		ps -o pid,ppid,args -p "$(tr '\n' ',' <<<"$left" | sed 's/,$//')" >&2 || true
		# shellcheck disable=SC2086
		kill -9 $left 2>/dev/null || true
	fi
	rm -rf "$BULKHEAD_HOME" ${run:+"$run"}
	[ -z "$left" ]
}

# instance_processes: pids of all that belongs to this instance (they carry its BULKHEAD_HOME), but this shell's own
instance_processes() {
	local p comm
	for p in $(grep -slzxF "BULKHEAD_HOME=$BULKHEAD_HOME" /proc/[0-9]*/environ); do
		p=${p%/environ}
		{ read -r comm <"$p/comm"; } 2>/dev/null || continue
		case $comm in
		qubesd | qube-monitor | vchand | qubesdb-daemon | qrexec-daemon | qemu-system-x86*) echo "${p#/proc/}" ;;
		esac
	done
}

# appliance_begin: the small template is there, and with arguments: app qubes of those names (not started)
appliance_begin() {
	timeout 300 qvm-template install appliance >&2
	local q
	for q in "$@"; do
		timeout 30 qvm-create --template appliance --label red "$q"
	done
}

# within SECONDS COMMAND...: until the command succeeds, at most so long
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

# state QUBE: its power state
state() {
	qvm-ls --raw-data --fields STATE "$1"
}

# services_settle QUBE: its systemd has started all it wanted to; says how it is ("running" if nothing failed) and what failed
services_settle() {
	# until there is a bus there is no answer
	within 180 timeout 120 qvm-run -p -u root "$1" 'test -S /run/dbus/system_bus_socket' || return 1
	timeout 300 qvm-run -p -u root "$1" 'systemctl is-system-running --wait; systemctl --failed --plain --no-legend'
}

# ask FRAME [SOCKET]: the answer to a request given as printf wants it, NUL shown as |
ask() {
	# \0 always three digits: what follows may be one
	# shellcheck disable=SC2059
	printf "${1//\\0/\\000}" | timeout 20 socat -t20 - "UNIX-CONNECT:$BULKHEAD_HOME/run/${2:-qubesd.sock}" 2>/dev/null | tr '\0' '|'
}

# full_counts: are we asked for the full counts (make soak) rather than samples?
full_counts() {
	[ -n "${BULKHEAD_TEST_FULL-}" ]
}

# rounds NAME N FULL: how many are to be done: N, or of the full count what an interrupted soak has left
rounds() {
	if full_counts; then
		echo $(($3 - $(cat "${BULKHEAD_TEST_STATE-}/rounds-$1" 2>/dev/null || echo 0)))
	else
		echo "$2"
	fi
}

# round_done NAME: one of them has passed
round_done() {
	full_counts && [ -n "${BULKHEAD_TEST_STATE-}" ] || return 0
	local file=$BULKHEAD_TEST_STATE/rounds-$1
	echo $(($(cat "$file" 2>/dev/null || echo 0) + 1)) >"$file.new"
	mv "$file.new" "$file"
}
