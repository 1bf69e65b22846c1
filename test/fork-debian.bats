#!/usr/bin/env bats
# Qubes of a Debian template that begin as forks: systemd and all of its services were frozen, and go on in each as in a machine of its own.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

# In the template: host keys, one in its root and one that is made at boot, and a stand-in for OpenSSH's server, which says with which
# keys it began. This machine's ssh-keygen, if it runs there.
template_has_ssh() {
	timeout 300 qvm-start debian-12 >&2
	timeout 120 qvm-run -p -u root debian-12 'cat >/usr/bin/ssh-keygen; chmod 755 /usr/bin/ssh-keygen' </usr/bin/ssh-keygen >&2
	timeout 120 qvm-run -p -u root debian-12 'sh -eu' >"$BATS_FILE_TMPDIR/baked-in" <<-'END'
		# one that was made for another Debian does not run
		ssh-keygen '-?' 2>&1 | grep -q usage || { rm /usr/bin/ssh-keygen; exit 0; }
		mkdir -p /etc/ssh
		ssh-keygen -q -N '' -t ed25519 -f /etc/ssh/ssh_host_ed25519_key
		cat >/usr/sbin/keys-at-boot <<-'KEYS'
			#!/bin/sh
			test -e /etc/ssh/ssh_host_ecdsa_key || ssh-keygen -q -N '' -t ecdsa -f /etc/ssh/ssh_host_ecdsa_key
		KEYS
		cat >/usr/sbin/sshd <<-'SSHD'
			#!/bin/sh
			cut -d' ' -f2 /etc/ssh/ssh_host_*_key.pub >/run/served.new
			mv /run/served.new /run/served
			exec sleep infinity
		SSHD
		chmod 755 /usr/sbin/keys-at-boot /usr/sbin/sshd
		printf '%s\n' '[Service]' Type=oneshot RemainAfterExit=yes ExecStart=/usr/sbin/keys-at-boot '[Install]' WantedBy=multi-user.target >/etc/systemd/system/keys-at-boot.service
		printf '%s\n' '[Unit]' After=keys-at-boot.service '[Service]' ExecStart=/usr/sbin/sshd '[Install]' WantedBy=multi-user.target >/etc/systemd/system/ssh.service
		systemctl enable keys-at-boot.service ssh.service
		sync
		cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub
	END
	timeout 120 qvm-shutdown --wait debian-12 >&2
}

setup_file() {
	instance_begin
	timeout 1200 qvm-template install debian-12 >&2
	template_has_ssh
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
	# rc.local may ask process 1 and its services
	in_work 'printf "#!/bin/sh\nsystemctl is-active dbus.service >/rw/asked\n" >/rw/config/rc.local; chmod +x /rw/config/rc.local; echo kept >/home/user/mark; sync'
	run -0 timeout 300 qvm-shutdown --wait work
	forked work
	[ "$(in_work 'cat /home/user/mark /rw/asked; rm /rw/config/rc.local')" = "kept
active" ]
	timeout 60 qvm-kill work
}

# served QUBE: the public keys with which its server began: an ecdsa and an ed25519
served() {
	within 120 timeout 120 qvm-run -p -u root "$1" 'cat /run/served 2>/dev/null' >"$BATS_TEST_TMPDIR/served"
	cat "$BATS_TEST_TMPDIR/served"
}
@test "an ssh server of a fork begins with host keys of the qube's own, which an app qube keeps" {
	local all=$BATS_TEST_TMPDIR/all
	forked work
	in_work 'test -x /usr/bin/ssh-keygen' || skip "this machine's ssh-keygen does not run in the template"
	served work >"$BATS_TEST_TMPDIR/first"
	timeout 120 qvm-shutdown --wait work
	forked work
	served work | diff "$BATS_TEST_TMPDIR/first" -
	timeout 60 qvm-kill work
	timeout 30 qvm-create --template debian-12 --label red other
	forked other
	served other | cat "$BATS_TEST_TMPDIR/first" - >"$all"
	timeout 60 qvm-kill other
	timeout 60 qvm-remove -f other
	# nor is any of them the template's
	cat "$BATS_FILE_TMPDIR/baked-in" >>"$all"
	all_differ "$all" 5
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
