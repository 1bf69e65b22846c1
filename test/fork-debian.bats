#!/usr/bin/env bats
# Qubes of a Debian template that begin as forks: systemd and all of its services were frozen, and go on in each as in a machine of its own.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	timeout 1200 qvm-template install debian-12 >&2
	timeout 30 qvm-create --template debian-12 --label red work
	timeout 20 qubes-prefs default_fork True
	timeout 600 qvm-start work >&2
	within 600 is_made
	timeout 120 qvm-shutdown --wait work >&2
}

teardown_file() {
	instance_end
}

qubesd_log() {
	cat "$BULKHEAD_HOME/state/log/qubesd.log"
}
is_made() {
	qubesd_log | grep -q 'zygote .* is made'
}
# forked QUBE: starts, as a fork
forked() {
	timeout 300 qvm-start "$1" >&2
	[ "$(begun "$1")" = fork ]
}
# in_work COMMAND
in_work() {
	timeout 120 qvm-run -p -u root work "$1"
}

@test "a fork's private volume grows while it runs" {
	forked work
	grows work private /rw
	timeout 120 qvm-shutdown --wait work
}

@test "a fork answers under its own name, all of its services run, and it goes down when asked" {
	local now guest
	forked work
	run -0 timeout 120 qvm-run -p work 'id -un; hostname; for d in /rw /home; do findmnt -no SOURCE $d; done; cat /proc/swaps | wc -l'
	[ "${lines[*]}" = "user work /dev/vdb /dev/vdb[/home] 2" ]
	run -0 services_settle work
	[ "$output" = running ]
	# nobody is frozen any more, however deep
	[ "$(in_work 'find /sys/fs/cgroup -name cgroup.freeze -exec cat {} + | sort -u')" = 0 ]
	now=$(date +%s)
	guest=$(in_work 'date +%s')
	[ $((guest - now)) -ge -5 ] && [ $((guest - now)) -le 60 ]
	# those who were there already have its ids: D-Bus's is the machine's, and the journal is of this boot
	run -0 in_work 'cat /etc/machine-id /var/lib/dbus/machine-id; busctl call org.freedesktop.login1 / org.freedesktop.DBus.Peer GetMachineId | tr -dc "0-9a-f\n"; hostnamectl --json=short | grep -o "\"Hostname\":\"[a-z]*"'
	[ "${lines[0]}" != 00000000000040008000000000000000 ]
	[ "${lines[0]}" = "${lines[1]}" ] && [ "${lines[0]}" = "${lines[2]}" ]
	[ "${lines[3]}" = '"Hostname":"work' ]
	within 60 in_work 'logger told-here; journalctl -b -q --no-pager | grep -q told-here'
	[ "$(in_work 'ls /var/lib/systemd/random-seed 2>/dev/null | wc -l')" = 0 ]
	# no keys of a host that others would have too
	[ "$(in_work 'ls /etc/ssh/*key* 2>/dev/null | wc -l')" = 0 ]
	# rc.local may ask process 1 and its services
	in_work 'printf "#!/bin/sh\nsystemctl is-active dbus.service >/rw/asked\n" >/rw/config/rc.local; chmod +x /rw/config/rc.local; echo kept >/home/user/mark; sync'
	run -0 timeout 300 qvm-shutdown --wait work
	forked work
	[ "$(in_work 'cat /home/user/mark /rw/asked; rm /rw/config/rc.local')" = "kept
active" ]
	timeout 60 qvm-kill work
}

# what a program of a fork draws, a line each: getrandom(2) is number 318; what is the fork's own from its first program on
draws='head -c 32 /dev/urandom | od -An -tx1 -v | tr -d " \n"; echo
perl -e "my \$b = chr(0) x 32; syscall(318, \$b, 32, 0) == 32 or die; print unpack(q(H*), \$b), qq(\n)"
cat /proc/sys/kernel/random/uuid
openssl genpkey -algorithm ed25519 | openssl pkey -pubout | sha256sum
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkey -pubout | sha256sum'
ids='cat /proc/sys/kernel/random/boot_id /etc/machine-id; hostname'
@test "forks of one zygote have nothing in common that was drawn, nor the keys made of it, from the first program on" {
	local n all
	n=$(rounds traits 3 50)
	all=$((n * 13))
	timeout 60 qvm-create --template debian-12 --label red first
	forked first
	first_program first "$draws; $ids"
	timeout 120 qvm-shutdown --wait first
	for (( ; n > 0; n--)); do
		timeout 60 qvm-clone first "f$n"
		forked "f$n"
		timeout 120 qvm-run -p -u root "f$n" "cat /rw/first; $draws" >>"$BATS_FILE_TMPDIR/traits"
		timeout 60 qvm-kill "f$n"
		timeout 60 qvm-remove -f "f$n"
		round_done traits
	done
	timeout 60 qvm-remove -f first
	touch "$BATS_FILE_TMPDIR/traits"
	all_differ "$BATS_FILE_TMPDIR/traits" "$all"
}
