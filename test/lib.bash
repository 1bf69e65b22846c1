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
# a prompt on the tester's own display is not meant; prompt.bats has one of its own
unset DISPLAY WAYLAND_DISPLAY

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

# instance_processes: the pids of all that belongs to this instance, but this shell's own
instance_processes() {
	local run marked
	run=$(readlink "$BULKHEAD_HOME/run" || true)
	# Most carry BULKHEAD_HOME. But who is not root may not read the environment of what is confined: qube-monitor has the run
	# directory for an argument, leads the process group of its daemons and is the parent of QEMU. Those of a group whose leader
	# is gone, and which a process outside of it has taken over, are a dead monitor's. One whose memory is gone, so that ps has no arguments but
	# its name in brackets, has ended.
	marked=$(grep -slzxF -e "BULKHEAD_HOME=$BULKHEAD_HOME" ${run:+-e "$run"} /proc/[0-9]*/{environ,cmdline} | tr -dc '0-9\n' | tr '\n' ' ')
	ps -e -o pid=,ppid=,euid=,pgid=,comm=,args= | awk -v marked="$marked" -v me=$EUID '
		BEGIN { split(marked, words); for (i in words) ours[words[i]] }
		$6 !~ /^\[/ { parent[$1] = $2; uid[$1] = $3; group[$1] = $4; name[$1] = $5 }
		function left(p) { return me != 0 && uid[p] == me && !(group[p] in name) && group[parent[p]] != group[p] }
		END {
			for (p in name)
				if (name[p] ~ /^(qubesd|qrexec-policyd|policy-loader|bulkhead-prompt|prompt-window|qube-monitor|vchand|qubesdb-daemon|qrexec-daemon|qrexec-broker|qemu-system-x86)$/ &&
				    (p in ours || group[p] in ours || parent[p] in ours || left(p)))
					print p
		}' | sort -n
}

# appliance_begin: the small template is there, and with arguments: app qubes of those names (not started)
appliance_begin() {
	timeout 300 qvm-template install appliance >&2
	local q
	for q in "$@"; do
		timeout 30 qvm-create --template appliance --label red "$q"
	done
}

# waited PID: until that child ends; $status is how. `run wait` is in a subshell, which has it as its child only once it has ended
waited() {
	status=0
	wait "$1" || status=$?
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

# begun QUBE: how its last start went, as a fork or as a boot; after a fork that failed, that is a boot
begun() {
	grep -E "qubesd: $1: (is forked from|the fork failed|running, domain)" "$BULKHEAD_HOME/state/log/qubesd.log" | tail -n 2 | head -n 1 | grep -q 'is forked from' && echo fork || echo boot
}

# first_program QUBE COMMANDS: what they print is in /rw/first at each later start, of the qube or its clones: rc.local is the first
# program that is not the stage's own, and runs before the agent answers. A clone has a machine-id of its own.
first_program() {
	timeout 120 qvm-run -p -u root "$1" 'mkdir -p /rw/config; { echo "#!/bin/sh"; echo "{"; cat; echo; echo "} >/rw/first 2>&1"; } >/rw/config/rc.local
		chmod +x /rw/config/rc.local; rm -f /rw/config/machine-id; sync' <<<"$2"
}

# all_differ FILE N: it has so many lines, none of them empty or there twice
all_differ() {
	sort "$1" | uniq -d >&2
	[ "$(wc -l <"$1")" = "$2" ]
	[ "$(grep -c . "$1")" = "$2" ]
	[ "$(sort -u "$1" | wc -l)" = "$2" ]
}

# room_in QUBE PLACE: KiB of the file system there
room_in() {
	timeout 120 qvm-run -p -u root "$1" "df -k $2 | awk 'END { print \$2 }'"
}

# larger QUBE VOLUME MIB: so much larger than it is
larger() {
	local size
	size=$(ask "admin.vm.volume.Info+$2 dom0 name $1\0" | grep -ao '^size=[0-9]*' | cut -d= -f2)
	timeout 200 qvm-volume resize "$1:$2" $((size + ($3 << 20)))
}

# grows QUBE VOLUME PLACE: made larger while it runs, its disk and the file system on it are so at once
grows() {
	local before after
	before=$(room_in "$1" "$3")
	larger "$1" "$2" 512
	after=$(room_in "$1" "$3")
	echo "$1 $3: $before KiB, then $after KiB"
	[ $((after - before)) -ge $((400 << 10)) ]
}

# services_settle QUBE: its systemd has started all it wanted to; says how it is ("running" if nothing failed) and what failed
services_settle() {
	# until there is a bus there is no answer
	within 180 timeout 120 qvm-run -p -u root "$1" 'test -S /run/dbus/system_bus_socket' || return 1
	timeout 300 qvm-run -p -u root "$1" 'systemctl is-system-running --wait; systemctl --failed --plain --no-legend'
}

# refused STATUS WORDS COMMAND...: it fails with that status, says so in these words, and no qube came or went
# shellcheck disable=SC2154
refused() {
	local status_wanted=$1 words=$2 before
	shift 2
	before=$(qvm-ls --raw-data -O name,class,label,template,memory)
	run --separate-stderr timeout 20 "$@" </dev/null
	echo "$* -> $status: $stderr"
	[ "$status" = "$status_wanted" ]
	[[ $stderr == *"$words"* ]]
	[ "$(qvm-ls --raw-data -O name,class,label,template,memory)" = "$before" ]
}

# ask FRAME [SOCKET]: the answer to a request given as printf wants it, NUL shown as |
ask() {
	# \0 always three digits: what follows may be one
	# shellcheck disable=SC2059
	printf "${1//\\0/\\000}" | "$top/build/test/ask" "$BULKHEAD_HOME/run/${2:-qubesd.sock}" || true
}

# again_as_root: this test, which mounts, by itself, as root of a namespace (a test that calls this has nothing else to do)
again_as_root() {
	unshare --user --map-root-user --mount true || skip "no namespaces for users here"
	unshare --user --map-root-user --mount bats --tap --filter "^$BATS_TEST_DESCRIPTION\$" "$BATS_TEST_FILENAME" | tee "$BATS_TEST_TMPDIR/again"
	! grep -q '^ok.* # skip' "$BATS_TEST_TMPDIR/again" || skip "no mounting here"
	grep -q '^ok 1 ' "$BATS_TEST_TMPDIR/again"
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
