# The plain machine that a qube is measured against: QEMU with the running qube's own options, and disks of the same kind; its root
# differs in /etc/inittab alone: after the generic stage, a shell command. Under systemd that is a service, and another one, behind
# multi-user.target, says "whole-system". Source it after bench_begin, with a qube "bench".
# shellcheck shell=bash

work=$BULKHEAD_HOME/plain
mkdir -p "$work"
kernels=$(find "$BULKHEAD_HOME/state/kernels" -mindepth 1 -maxdepth 1 -type d | sort -V | tail -n 1)
options=()

# pool_file QUBE VOLUME: its newest revision's file
pool_file() {
	find "$BULKHEAD_HOME/state/pools/default" -path "*/$(qvm-prefs "$1" uuid)/$2/[0-9]*.qcow2" | sort -V | tail -n 1
}

# The options of the running qube's QEMU, without what ties it to dom0's daemons, and without the devices by which memory comes and
# goes, which a plain machine has not: what they cost is ours. Our own disks instead of its.
plain_options() {
	local qemu words=() i=0
	qemu=$(qemu_of bench) || return 1
	mapfile -d '' words <"/proc/$qemu/cmdline"
	options=()
	for ((i = 0; i < ${#words[@]}; i++)); do
		local next=${words[i + 1]-}
		case ${words[i]} in
		-add-fd | -mon) ((++i)) ;;
		-kernel) options+=(-kernel "$kernels/vmlinuz") && ((++i)) ;;
		-initrd) options+=(-initrd "$kernels/initramfs") && ((++i)) ;;
		-blockdev)
			local name=${next#*'"node-name":"disk-'}
			name=${name%%'"'*}
			options+=(-blockdev "$(plain_disk "$name")") && ((++i))
			;;
		-m) options+=(-m "${next%%,*}") && ((++i)) ;;
		-device | -object)
			((++i))
			case $next in
			virtio-mem-pci,* | virtio-balloon-pci,* | *,id=ram-more,*) ;;
			*mem-path=/proc/self/fd/*) options+=("${words[i - 1]}" "$(shared_instead "$next")") ;;
			*) options+=("${words[i - 1]}" "$next") ;;
			esac
			;;
		-chardev)
			((++i))
			case $next in
			*id=qmp*) ;;
			*id=console*) options+=(-chardev "file,id=console,path=$work/console") ;;
			*) options+=(-chardev "null,id=vchan") ;;
			esac
			;;
		*) options+=("${words[i]}") ;;
		esac
	done
}

# memory that dom0's daemons share with the qube: a file of its own
shared_instead() {
	# shellcheck disable=SC2001
	sed "s|/proc/self/fd/[0-9]*|$work/shared|" <<<"$1"
}

file_json() {
	printf '"file":{"driver":"file","filename":"%s","read-only":%s,"aio":"threads","discard":"unmap"}' "$1" "$2"
}

# the same chain as a qube's disk: overlay (made anew each time) on a base
plain_disk() {
	case $1 in
	kernel) printf '{"node-name":"disk-kernel","driver":"file","filename":"%s","read-only":true,"aio":"threads","discard":"unmap"}' "$kernels/modules.img" ;;
	*) printf '{"node-name":"disk-%s","driver":"qcow2","read-only":false,"discard":"unmap",%s,"backing":{"node-name":"base-%s","driver":"qcow2","read-only":true,"discard":"unmap",%s,"backing":null}}' \
		"$1" "$(file_json "$work/$1.qcow2" false)" "$1" "$(file_json "$work/$1-base.qcow2" true)" ;;
	esac
}

# plain_service NAME AFTER WORD: a service that says a word; Debian's root is the one with systemd
plain_service() {
	printf '[Unit]\nDefaultDependencies=no\nAfter=%s\n[Service]\nType=oneshot\nExecStart=/bin/sh -c "echo %s >/dev/console"\n' "$2" "$3" >"$work/$1.service"
	printf '%s\n' "write $1.service /etc/systemd/system/$1.service" \
		"symlink /etc/systemd/system/bulkhead-start.target.wants/$1.service ../$1.service"
}

plain_prepare() {
	local root private
	root=$(pool_file "$(qvm-prefs bench template)" root)
	private=$(pool_file bench private)
	qemu-img convert -U -O raw "$root" "$work/root.raw" || return 1
	printf '%s\n' '::sysinit:/usr/lib/qubes/stage-generic' \
		"::sysinit:/bin/sh -c 'echo first-command >/dev/console'" '::shutdown:/bin/umount -a -r' >"$work/inittab"
	{
		printf '%s\n' 'rm /etc/inittab' 'write inittab /etc/inittab' 'mkdir /etc/systemd/system/bulkhead-start.target.wants'
		plain_service plain-first bulkhead-generic.target first-command
		plain_service plain-whole multi-user.target whole-system
	} >"$work/changes"
	# debugfs takes no name with a space in it; a root without systemd has no place for services
	(cd "$work" && debugfs -w -f changes root.raw >/dev/null 2>&1) || return 1
	qemu-img convert -O qcow2 "$work/root.raw" "$work/root-base.qcow2" || return 1
	qemu-img convert -U -O qcow2 "$private" "$work/private-base.qcow2" || return 1
	qemu-img create -q -f qcow2 "$work/volatile-base.qcow2" 10G
	rm "$work/root.raw"
}

# As heavy as a qube's QEMU: nice 10, in a session (so, maybe, a scheduling group) that is not the caller's
as_a_qube() {
	exec setsid nice -n 10 "$@"
}

# plain_once [WORD]: microseconds until it says so
plain_once() {
	local t d pid word=${1:-first-command}
	for d in root private volatile; do
		qemu-img create -q -f qcow2 -F qcow2 -b "$d-base.qcow2" "$work/$d.qcow2" || return 1
	done
	: >"$work/console"
	t=$(now_us)
	as_a_qube "${options[@]}" >"$work/log" 2>&1 &
	pid=$!
	until grep -q "$word" "$work/console"; do
		[ $(($(now_us) - t)) -lt 120000000 ] || break
		kill -0 $pid 2>/dev/null || break
		sleep 0.01
	done
	t=$(($(now_us) - t))
	{ kill -9 $pid && wait $pid; } 2>/dev/null
	grep -q "$word" "$work/console" || {
		tail -n 5 "$work/log" "$work/console" >&2
		return 1
	}
	echo $t
}
