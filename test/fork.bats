#!/usr/bin/env bats
# Qubes that begin as forks of a machine that was booted once: that each is a machine of its own, that none can change what it was
# forked from or see another label's, and that nothing of it is ever needed.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

zygotes() {
	timeout 20 qvm-template zygotes --machine-readable
}
there_is_one() {
	[ "$(zygotes | wc -l)" -ge 1 ]
}
zygote_dir() {
	find "$BULKHEAD_HOME/state/zygotes" -mindepth 1 -maxdepth 1 -type d ! -name '.new*' | head -n 1
}
qubesd_log() {
	cat "$BULKHEAD_HOME/state/log/qubesd.log"
}
# since: what it has said after $BATS_TEST_TMPDIR/before
since() {
	qubesd_log | tail -n +$(($(wc -l <"$BATS_TEST_TMPDIR/before") + 1))
}
# said WORDS: how often since then
said() {
	since | grep -c "$1" || true
}
# started QUBE HOW
started() {
	timeout 300 qvm-start "$1" >&2
	[ "$(begun "$1")" = "$2" ]
}
killed() {
	timeout 60 qvm-kill "$@" >&2 || true
}
qemu_pid() {
	local p
	for p in $(instance_processes); do
		[[ $(cat "/proc/$p/comm") == qemu-system* ]] && tr '\0' '\n' <"/proc/$p/cmdline" 2>/dev/null | grep -qxF "guest=$1" && echo "$p" && return
	done
	# a confined process shows its arguments to root alone
	return 1
}

# keep_zygote: as it is now, to compare and to damage
keep_zygote() {
	rm -rf "$BATS_FILE_TMPDIR/zygote"
	cp -r "$(zygote_dir)" "$BATS_FILE_TMPDIR/zygote"
	basename "$(zygote_dir)" >"$BATS_FILE_TMPDIR/zygote.name"
}

setup_file() {
	instance_begin
	appliance_begin work mine
	timeout 20 qubes-prefs default_fork True
	timeout 300 qvm-start work >&2
	within 300 there_is_one
	timeout 60 qvm-kill work >&2
	keep_zygote
}

teardown_file() {
	instance_end
}

@test "the first start boots and is not kept waiting; a zygote is made behind it, and listed" {
	[ "$(qubesd_log | grep -c 'work: is forked')" = 0 ]
	run -0 zygotes
	[[ $output == *'|appliance|'* ]]
	run -0 qvm-template zygotes
	[[ ${lines[0]} == NAME*TEMPLATE*MEMORY*VCPUS*DISK*AGE*USERS ]]
	[ "${#lines[@]}" = 2 ]
	run -2 qvm-template zygotes appliance
}

# weighs_what_others_do QUBE: the whole of its QEMU, as soon as the fork has let the rest of the saved machine go on
weighs_what_others_do() {
	[ "$(ps -L -o ni= -p "$(qemu_pid "$1")" | tr -d ' ' | sort -u)" = 10 ]
}

@test "a fork is a qube like any other: its name, its disks, calls, rings, what is kept" {
	started work fork
	zygotes | grep -q '|1$'
	# as light as one that boots, in all of its threads
	within 30 weighs_what_others_do work
	run -0 timeout 60 qvm-run -p work 'hostname; cat /proc/sys/kernel/hostname; id -un'
	[ "$output" = "work
work
user" ]
	[ "$(timeout 60 qvm-run -p -u root work 'stat -c %T -f /rw; df -m /rw | tail -n 1 | while read -r _ size _; do [ "$size" -gt 1500 ] && echo large; done; grep -c vdc /proc/swaps')" = "ext2/ext3
large
1" ]
	# more than the carrier takes by itself: shared memory was found
	[ "$(timeout 120 qvm-run -p work 'head -c 5000000 /dev/zero; ls /run/bulkhead/rings >/dev/null || echo none' | wc -c)" = 5000000 ]
	now=$(date +%s)
	guest=$(timeout 60 qvm-run -p work 'date +%s')
	[ $((guest - now)) -ge -5 ] && [ $((guest - now)) -le 60 ]
	timeout 60 qvm-run -p work 'echo kept >mark; sync'
	timeout 120 qvm-shutdown --wait work
	started work fork
	[ "$(timeout 60 qvm-run -p work 'cat mark')" = kept ]
	killed work
}

# what a program of a fork draws, a line each; what is the fork's own from its first program on
draws='head -c 32 /dev/urandom | od -An -tx1 -v | tr -d " \n"; echo
cat /proc/sys/kernel/random/uuid'
ids='cat /proc/sys/kernel/random/boot_id /etc/machine-id; hostname'
@test "forks of one zygote have nothing in common that was drawn, from the first program on" {
	local n all
	n=$(rounds traits 6 50)
	all=$((n * 7))
	timeout 60 qvm-create --template appliance --label red first
	started first fork
	first_program first "$draws; $ids"
	timeout 60 qvm-shutdown --wait first
	for (( ; n > 0; n--)); do
		timeout 60 qvm-clone first "f$n"
		started "f$n" fork
		timeout 60 qvm-run -p -u root "f$n" "cat /rw/first; $draws" >>"$BATS_FILE_TMPDIR/traits"
		killed "f$n"
		timeout 60 qvm-remove -f "f$n"
		round_done traits
	done
	timeout 60 qvm-remove -f first
	touch "$BATS_FILE_TMPDIR/traits"
	all_differ "$BATS_FILE_TMPDIR/traits" "$all"
}

@test "a guest that writes everywhere changes nothing of its zygote, nor of its siblings" {
	started work fork
	started mine fork
	timeout 120 qvm-run -p -u root work 'echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/urandom of=/dev/shm/x bs=1M count=60 2>/dev/null; rm /dev/shm/x
		dd if=/dev/zero of=/mark bs=1M count=8 2>/dev/null; rm -rf /bin/acpid /etc/profile; fstrim / 2>/dev/null; sync'
	[ "$(timeout 60 qvm-run -p mine 'test -e /etc/profile && ! test -e /mark && echo unharmed')" = unharmed ]
	killed work mine
	diff -r "$BATS_FILE_TMPDIR/zygote" "$(zygote_dir)"
	started work fork
	timeout 60 qvm-run -p work 'test -e /etc/profile'
	killed work
}

@test "its memory is sealed, and each label has a copy of its own" {
	[ $EUID = 0 ] || skip "whose memory it is can be seen by root alone"
	timeout 20 qvm-create --template appliance --label green other
	started work fork
	started mine fork
	started other fork
	inode() {
		awk '/memfd:zygote/ { print $5; exit }' "/proc/$(qemu_pid "$1")/maps"
	}
	[ -n "$(inode work)" ]
	[ "$(inode work)" = "$(inode mine)" ]
	[ "$(inode work)" != "$(inode other)" ]
	# mapped privately, and nobody can write to the file
	[ "$(awk '/memfd:zygote/ { print substr($2, 4) }' "/proc/$(qemu_pid work)/maps" | sort -u)" = p ]
	run ! bash -c "echo x | dd of=/proc/$(qemu_pid work)/map_files/$(awk '/memfd:zygote/ { print $1; exit }' "/proc/$(qemu_pid work)/maps") conv=notrunc"
	killed work mine other
	timeout 60 qvm-remove -f other
}

# guest_pages QUBE: the numbers of the machine's pages that its QEMU maps for the memory of its guest, sorted
guest_pages() {
	python3 - "$(qemu_pid "$1")" <<-'END' | sort
		import struct, sys
		pid = sys.argv[1]
		with open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap:
		    for line in open(f"/proc/{pid}/maps"):
		        if "memfd:zygote" not in line:
		            continue
		        begin, end = (int(x, 16) // 4096 for x in line.split()[0].split("-"))
		        pagemap.seek(begin * 8)
		        left = (end - begin) * 8
		        while left > 0:
		            some = pagemap.read(min(left, 1 << 20))
		            left -= len(some)
		            for (entry,) in struct.iter_unpack("<Q", some):
		                if entry >> 63 and entry & ((1 << 55) - 1):
		                    print("%x" % (entry & ((1 << 55) - 1)))
	END
}

@test "two labels share no page of a guest's memory; one label does" {
	[ $EUID = 0 ] || skip "which pages these are can be seen by root alone"
	timeout 20 qvm-create --template appliance --label green other
	started work fork
	started mine fork
	started other fork
	for q in work mine other; do
		guest_pages $q >"$BATS_TEST_TMPDIR/$q"
		[ "$(wc -l <"$BATS_TEST_TMPDIR/$q")" -gt 1000 ]
	done
	[ "$(comm -12 "$BATS_TEST_TMPDIR/work" "$BATS_TEST_TMPDIR/mine" | wc -l)" -gt 1000 ]
	[ "$(comm -12 "$BATS_TEST_TMPDIR/work" "$BATS_TEST_TMPDIR/other" | wc -l)" = 0 ]
	[ "$(comm -12 "$BATS_TEST_TMPDIR/mine" "$BATS_TEST_TMPDIR/other" | wc -l)" = 0 ]
	killed work mine other
	timeout 60 qvm-remove -f other
}

@test "a fork that does not answer is killed and the qube boots, which is said; it is not tried again soon, with others it is" {
	timeout 20 qvm-create --template appliance --label red slow
	started slow fork
	timeout 60 qvm-run -p -u root slow 'printf "#!/bin/sh\ngrep -q bulkhead.zygote /proc/cmdline && sleep 1000\n" >/rw/config/rc.local; chmod +x /rw/config/rc.local; sync'
	timeout 60 qvm-shutdown --wait slow
	timeout 20 qvm-prefs slow qrexec_timeout 45
	qubesd_log >"$BATS_TEST_TMPDIR/before"
	timeout 300 qvm-start slow
	[ "$(since | grep -c 'slow: the fork failed, booting instead: slow did not answer within 15 s')" = 1 ]
	[ "$(since | grep -c 'slow: running')" = 1 ]
	[ "$(begun slow)" = boot ]
	[ "$(timeout 60 qvm-run -p slow 'grep -c bulkhead.zygote /proc/cmdline || true')" = 0 ]
	killed slow
	timeout 20 qvm-prefs --default slow qrexec_timeout
	started slow boot
	started mine fork
	killed slow mine
	# what is remembered of a qube goes with it: the next one has its number, and forks
	timeout 60 qvm-remove -f slow
	timeout 20 qvm-create --template appliance --label red slow
	started slow fork
	killed slow
	timeout 60 qvm-remove -f slow
}

@test "a template that changes while its qubes run gets another zygote; they run on" {
	local old
	old=$(zygote_dir)
	started mine fork
	timeout 120 qvm-start appliance
	timeout 60 qvm-run -p -u root appliance 'echo new >/etc/changed; sync'
	timeout 120 qvm-shutdown --wait appliance
	[ "$(timeout 60 qvm-run -p mine 'test -e /etc/changed || echo old')" = old ]
	another() { there_is_one && [ "$(zygote_dir)" != "$old" ]; }
	within 300 another
	# what nobody can start from any more is gone
	[ "$(zygotes | wc -l)" = 1 ]
	[ "$(timeout 60 qvm-run -p mine 'test -e /etc/changed || echo old')" = old ]
	started work fork
	[ "$(timeout 60 qvm-run -p work 'cat /etc/changed')" = new ]
	killed work mine
	started mine fork
	[ "$(timeout 60 qvm-run -p mine 'cat /etc/changed')" = new ]
	killed mine
	mv "$BATS_FILE_TMPDIR/zygote" "$BATS_FILE_TMPDIR/older"
	keep_zygote
}

@test "the zygote of an older version of the template under the name of the newer one's: thrown away, said once, and the qube boots" {
	local dir
	dir=$(zygote_dir)
	timeout 60 bulkhead stop
	rm -rf "$dir"
	cp -r "$BATS_FILE_TMPDIR/older" "$dir"
	timeout 30 bulkhead start
	qubesd_log >"$BATS_TEST_TMPDIR/before"
	started work boot
	[ "$(timeout 60 qvm-run -p work 'cat /etc/changed')" = new ]
	[ "$(since | grep -c 'zygote .* is damaged: removed')" = 1 ]
	killed work
	# one is made in its place, from which the new version is forked
	within 300 there_is_one
	run ! diff -q "$dir/meta" "$BATS_FILE_TMPDIR/older/meta"
	started work fork
	[ "$(timeout 60 qvm-run -p work 'cat /etc/changed')" = new ]
	killed work
	keep_zygote
}

@test "a qube that is not to be forked boots" {
	timeout 20 qvm-prefs work fork False
	started work boot
	killed work
	timeout 20 qvm-prefs --default work fork
	started work fork
	killed work
}

@test "another amount of memory is another machine" {
	timeout 20 qvm-prefs mine memory 176
	started mine boot
	killed mine
	timeout 20 qvm-prefs --default mine memory
	started mine fork
	killed mine
}

@test "a start for which memory is short is refused, whatever copies are held" {
	local daemon
	started work fork
	killed work
	daemon=$(for p in $(instance_processes); do [ "$(cat "/proc/$p/comm")" != qubesd ] || echo "$p"; done)
	timeout 20 qubes-prefs qubes_maxmem 100
	run ! timeout 60 qvm-start mine
	[[ $output == *"Not enough memory to start 'mine'"* ]]
	timeout 20 qubes-prefs --default qubes_maxmem
	kill -0 "$daemon"
	started mine fork
	killed mine
}

@test "a zygote that is damaged is thrown away, and the qube boots" {
	local file dir size
	for file in device meta memory root.qcow2; do
		# the copy in memory was checked when it was made: a new qubesd has none
		timeout 60 bulkhead stop
		rm -rf "$BULKHEAD_HOME/state/zygotes"
		mkdir "$BULKHEAD_HOME/state/zygotes"
		cp -r "$BATS_FILE_TMPDIR/zygote" "$BULKHEAD_HOME/state/zygotes/$(cat "$BATS_FILE_TMPDIR/zygote.name")"
		dir=$(zygote_dir)
		size=$(stat -c %s "$dir/$file")
		if [ $file = memory ]; then
			truncate -s -4096 "$dir/$file"
		else
			printf 'damage' | dd of="$dir/$file" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
		fi
		timeout 30 bulkhead start
		timeout 20 qubes-prefs default_fork True
		qubesd_log >"$BATS_TEST_TMPDIR/before"
		started work boot
		if [ -e "$dir/$file" ]; then
			run ! cmp -s "$dir/$file" "$BATS_FILE_TMPDIR/zygote/$file"
		fi
		[ "$(said 'damaged')" = 1 ]
		killed work
	done
}

@test "qubesd is killed while a zygote is made: nothing is left of it, and the next one makes it" {
	rm -rf "$BULKHEAD_HOME"/state/zygotes/*
	started work boot
	making() {
		compgen -G "$BULKHEAD_HOME/state/zygotes/.new-*" >/dev/null
	}
	within 120 making
	for p in $(instance_processes); do
		[ "$(cat "/proc/$p/comm")" != qubesd ] || kill -9 "$p"
	done
	[ -z "$(zygote_dir)" ]
	timeout 30 bulkhead start
	killed work
	started work boot
	within 300 there_is_one
	run ! making
	killed work
	started work fork
	killed work
}

# pretend MIB: so much memory is available, for an instance that pretends_begin began; the others see what there is. In one write of
# the same length, since it may be read at any time.
pretend() {
	sed -E "s/^MemAvailable:.*/$(printf 'MemAvailable:   %8d kB' $(($1 << 10)))/; s/^SwapFree:.*/$(printf 'SwapFree:       %8d kB' 0)/" "$BATS_TEST_TMPDIR/was" |
		dd of="$BATS_TEST_TMPDIR/meminfo" bs=64k iflag=fullblock conv=notrunc 2>/dev/null
}
# pretends_begin MIB: qubesd anew, without zygotes
pretends_begin() {
	timeout 60 bulkhead stop
	rm -rf "$BULKHEAD_HOME"/state/zygotes/*
	cat /proc/meminfo >"$BATS_TEST_TMPDIR/was"
	pretend "$1"
	unshare --mount --propagation private bash -c 'mount --bind "$1" /proc/meminfo && timeout 30 bulkhead start' - "$BATS_TEST_TMPDIR/meminfo"
	qubesd_log >"$BATS_TEST_TMPDIR/before"
}
# told WORDS: how often the log says so since then
told() {
	qubesd_log | tail -n +$(($(wc -l <"$BATS_TEST_TMPDIR/before") + 1)) | grep -c "$1" || true
}
told_once() {
	[ "$(told "$1")" = 1 ]
}
# tried WHEN: another one was begun since the folder of all was changed then, and it is gone
tried() {
	[ "$(stat -c %y "$BULKHEAD_HOME/state/zygotes")" != "$1" ] && ! compgen -G "$BULKHEAD_HOME/state/zygotes/.new-*" >/dev/null
}

# none_is_made WORDS: for neither of two qubes, and that is said in these words, once for both
none_is_made() {
	local q was
	for q in work mine; do
		was=$(stat -c %y "$BULKHEAD_HOME/state/zygotes")
		started $q boot
		within 120 tried "$was"
		within 60 told_once "a zygote could not be made: .*$1"
	done
	killed work mine
	[ -z "$(zygote_dir)" ]
}

# made_for QUBE: with enough of everything a new qube of that name has one made
made_for() {
	timeout 20 qvm-create --template appliance --label red "$1"
	started "$1" boot
	within 300 there_is_one
	killed "$1"
	started "$1" fork
	killed "$1"
	timeout 60 qvm-remove -f "$1"
}

@test "memory is short: no zygote is made and no copy of one, which is said once; qubes boot" {
	[ $EUID = 0 ] || skip "only root can lay another file over /proc/meminfo"
	# enough for one such qube, not for a copy beside it
	pretends_begin 300
	none_is_made 'memory'
	pretend 8000
	made_for other
	told_once 'a zygote could not be made'
	# a new qubesd has no copy
	timeout 60 bulkhead stop
	unshare --mount --propagation private bash -c 'mount --bind "$1" /proc/meminfo && timeout 30 bulkhead start' - "$BATS_TEST_TMPDIR/meminfo"
	pretend 300
	started work boot
	started mine boot
	told_once "a zygote's memory is not copied"
	killed work mine
	pretend 8000
	started work fork
	killed work
	timeout 60 bulkhead stop
	timeout 30 bulkhead start
}

@test "the disk is short: no zygote is made, which is said once; qubes boot" {
	[ $EUID = 0 ] || skip "only root has mounts that qubesd sees"
	timeout 60 bulkhead stop
	rm -rf "$BULKHEAD_HOME"/state/zygotes/*
	mount -t tmpfs -o size=64m small "$BULKHEAD_HOME/state/zygotes" || skip "no mounting here"
	timeout 30 bulkhead start
	qubesd_log >"$BATS_TEST_TMPDIR/before"
	none_is_made 'disk space'
	umount "$BULKHEAD_HOME/state/zygotes"
}

@test "a qube of more than a quarter of the machine's memory boots, and nothing is made for it" {
	timeout 20 qvm-create --template appliance --label red huge
	timeout 20 qvm-prefs huge memory $(($(awk '$1 == "MemTotal:" { print int($2 / 4096) }' /proc/meminfo) + 64))
	timeout 60 bulkhead stop
	rm -rf "$BULKHEAD_HOME"/state/zygotes/*
	timeout 30 bulkhead start
	qubesd_log >"$BATS_TEST_TMPDIR/before"
	started huge boot
	killed huge
	told_once "more than a quarter of this machine's"
	# one that is wanted later is made later: there would be another before it
	started work boot
	within 300 there_is_one
	killed work huge
	# and it is the one for the other's memory
	run -0 zygotes
	[[ $output == *"|appliance|$(qvm-prefs work memory)|"* ]]
	[ "${#lines[@]}" = 1 ]
	timeout 60 qvm-remove -f huge
}
