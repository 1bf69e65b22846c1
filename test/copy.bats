#!/usr/bin/env bats
# Files from one qube to another by the commands and services of the templates, over agents and daemons of two qubes as plain processes.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load qrexec-lib

setup() {
	pair_begin
	qube_begin 43 vault
	cat >"$dir/policy" <<-EOF
		#!/bin/sh
		cat "$dir/answer.\$4.\$3" || exit 1
	EOF
	chmod +x "$dir/policy"
	there=$dir/there
	mkdir "$there" "$dir/bin" "$dir/here"
	# at home in a folder of the test
	service qubes.Filecopy "echo \$\$ >'$dir/receiver'; HOME='$there' exec '$qube/usr/lib/qubes/qfile-unpacker'"
	mkdir "$dir/lib"
	printf '#!/bin/sh\necho $$ >"%s"\nexec "%s" "$@"\n' "$dir/sender" "$qube/usr/lib/qubes/qfile-agent" >"$dir/lib/qfile-agent"
	chmod +x "$dir/lib/qfile-agent"
	for argument in '' +allow-all-names; do
		allow "qubes.Filecopy$argument" vault target=vault target_uuid="$(uuid_of 43)" requested_target=vault
	done
	cat >"$dir/bin/qrexec-client-vm" <<-EOF
		#!/bin/sh
		VCHAN_DOMAIN=42 exec timeout 120 "$qube/usr/bin/qrexec-client-vm" --agent-socket="$dir/agent.42" "\$@"
	EOF
	chmod +x "$dir/bin/qrexec-client-vm"
	export PATH=$dir/bin:$qube/usr/bin:$PATH BULKHEAD_LIBEXEC=$dir/lib
	cd "$dir/here"
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || tail -n 50 "$dir"/*.log
	cd /
	qubes_end
	pair_end
}

copy() {
	timeout 120 qvm-copy-to-vm --without-progress vault "$@"
}

@test "a tree arrives as it is" {
	mkdir -p tree/a/b tree/empty
	head -c 5000000 /dev/urandom >tree/large
	for i in $(seq 300); do echo "$i" >"tree/a/b/$i"; done
	ln -s b/1 tree/a/link
	chmod 500 tree/a/b
	touch -d '2001-02-03 04:05:06.789' tree/large
	run -0 copy tree
	[ -z "$output" ]
	diff -r --no-dereference tree "$there/QubesIncoming/work/tree"
	[ "$(cd tree && find . ! -type l -printf '%p %m %T@\n' | sort)" = "$(cd "$there/QubesIncoming/work/tree" && find . ! -type l -printf '%p %m %T@\n' | sort)" ]
	chmod 700 tree/a/b "$there/QubesIncoming/work/tree/a/b"
}

@test "a name that stands there already ends the call, with that name" {
	echo x >file
	run -0 copy file
	run -1 copy file
	[[ $output == *"qfile-agent: file: is there already"* ]]
}

@test "what the policy does not allow is refused, and nothing is moved" {
	echo x >file
	run -126 timeout 60 qvm-move-to-vm --without-progress elsewhere file
	[[ $output == *"Request refused"* ]]
	[ -e file ]
}

@test "an argument that the service does not know is refused" {
	allow qubes.Filecopy+everything vault target=vault target_uuid="$(uuid_of 43)" requested_target=vault
	echo x >file
	run ! timeout 60 qrexec-client-vm -- vault qubes.Filecopy+everything "$qube/usr/lib/qubes/qfile-agent" file
	[ ! -e "$there/QubesIncoming" ]
}

@test "a full disk is told at the sender, with the file's name" {
	service qubes.Filecopy "exec unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=2m small \"$there\" &&
		HOME=\"$there\" exec \"$qube/usr/lib/qubes/qfile-unpacker\"'"
	head -c 1500000 /dev/urandom >first
	head -c 1500000 /dev/urandom >second
	run -1 copy first second
	[[ $output == *"qfile-agent: second: No space left on device"* ]]
	run -1 timeout 60 qvm-move-to-vm --without-progress vault first second
	[ -e first ] && [ -e second ]
}

@test "a receiver that is killed leaves no half of a file, and the sender hears of it" {
	head -c 100000000 /dev/zero >large
	killed=0
	for after in 0 0.02 0.05 0.1 0.2; do
		rm -rf "$there/QubesIncoming" "$dir/receiver"
		code=0
		copy large >"$dir/said" 2>&1 3>&- &
		sender=$!
		until_true test -s "$dir/receiver"
		sleep "$after"
		kill -9 "$(cat "$dir/receiver")" 2>/dev/null || true
		wait $sender || code=$?
		[ "$code" != 0 ] || { # it was faster
			cmp large "$there/QubesIncoming/work/large"
			continue
		}
		killed=$((killed + 1))
		[ -z "$(find "$there" -type f)" ] || cmp large "$there/QubesIncoming/work/large"
	done
	[ "$killed" -gt 0 ]
	rm -rf "$there/QubesIncoming"
	run -0 copy large
	cmp large "$there/QubesIncoming/work/large"
}

@test "a sender that is killed leaves whole files only" {
	mkdir many
	head -c 27000000 /dev/zero | split -b 9000 -a 4 - many/
	copy many 3>&- &
	until_true test -e "$there/QubesIncoming/work/many"
	kill -9 "$(cat "$dir/sender")" 2>/dev/null || true
	wait $! || true
	until_true ended "$(cat "$dir/receiver")"
	[ -z "$(find "$there/QubesIncoming" -type f ! -size 9000c)" ]
}

@test "a command in another qube, with its input and exit code" {
	allow "qubes.VMExec+sh+--c+cat-3B-20exit-205" vault target=vault target_uuid="$(uuid_of 43)" requested_target=vault
	run -5 timeout 60 qvm-run vault 'cat; exit 5' <<<input
	[ "$output" = input ]
}
