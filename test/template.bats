#!/usr/bin/env bats
# Kernel sets, the initramfs' init and the appliance: first in a bare QEMU, which shows what init says, then as qubes.
# bats file_tags=machines

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	scratch=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead template.XXXXXX")
	export scratch
	mkdir -p "$BULKHEAD_CACHE"
	timeout 600 "$libexec/template/build-kernel" "$scratch/kernels" >"$scratch/kernel.log"
	kernel=$scratch/kernels/$(sed -n 's/^kernel //p' "$scratch/kernel.log")
	export kernel
	timeout 300 "$libexec/template/build" appliance "$scratch/appliance" >"$scratch/appliance.log"
	instance_begin
}

teardown_file() {
	instance_end
	rm -rf "$scratch"
}

# machine [ROOT_IMAGE]: boots the kernel set on it in a bare QEMU till it is over; the console is the output
machine() {
	local disk=()
	[ $# = 0 ] || disk=(-blockdev "driver=raw,node-name=root,file.driver=file,file.filename=$1" -device virtio-blk-pci,drive=root,disable-legacy=on)
	timeout 300 qemu-system-x86_64 -M q35,hpet=off,usb=off,vmport=off,smbus=off,i8042=off,sata=off -accel tcg -cpu max,-erms,-fsrm -m 256 \
		-nodefaults -no-user-config -display none -no-reboot -serial stdio -kernel "$kernel/vmlinuz" -initrd "$kernel/initramfs" \
		-append "console=ttyS0 quiet no_timer_check tsc=reliable panic=-1" "${disk[@]}" </dev/null
}

# root_copy NAME: an appliance's root to spoil
root_copy() {
	cp --sparse=always "$scratch/appliance/root.img" "$scratch/$1.img"
	echo "$scratch/$1.img"
}

@test "a kernel set is whole, and is not made again when it is there" {
	for f in vmlinuz initramfs modules.img; do
		[ -s "$kernel/$f" ]
	done
	before=$(stat -c %Y.%i "$kernel/vmlinuz")
	run -0 timeout 120 "$libexec/template/build-kernel" "$scratch/kernels"
	[[ $output == *"is there already"* ]]
	[ "$before" = "$(stat -c %Y.%i "$kernel/vmlinuz")" ]
}

@test "the image of modules has what modprobe asks" {
	run debugfs -R 'ls -p /' "$kernel/modules.img"
	[[ $output == *modules.dep.bin* && $output == *modules.alias.bin* ]]
	run debugfs -R 'stat /modules.dep.bin' "$kernel/modules.img"
	[[ $output =~ User:\ +0\ +Group:\ +0 ]]
}

@test "no root disk: init says so and the machine ends" {
	run -0 machine
	[[ $output == *"bulkhead-init: cannot boot: there is no disk /dev/vda (root); powering off"* ]]
}

@test "a blank root: init says so and the machine ends" {
	truncate -s 8M "$scratch/blank.img"
	run -0 machine "$scratch/blank.img"
	[[ $output == *"cannot boot: /dev/vda (root) holds no ext4 file system"* ]]
}

@test "a root cut short: init says so and the machine ends" {
	truncate -s 1024 "$scratch/short.img"
	run -0 machine "$scratch/short.img"
	[[ $output == *"cannot boot: /dev/vda (root)"* ]]
}

@test "a damaged root: init says so and the machine ends" {
	img=$(root_copy damaged)
	# the descriptors of all block groups, behind an intact superblock
	yes damage | head -c 65536 | dd of="$img" bs=4096 seek=1 conv=notrunc iflag=fullblock status=none
	run -0 machine "$img"
	[[ $output == *"cannot boot: /dev/vda (root) does not mount as ext4"* ]]
	[[ $output == *"go back to an earlier revision"* ]]
}

@test "a root without init: init says so and the machine ends" {
	img=$(root_copy headless)
	printf 'rm /bin/init\n' | debugfs -w -f - "$img"
	run -0 machine "$img"
	[[ $output == *"cannot boot: /sbin/init of the root does not start"* ]]
}

@test "a root that records errors is checked by its own e2fsck" {
	img=$(root_copy errors)
	printf 'set_super_value state 2\nrm /bin/init\n' | debugfs -w -f - "$img"
	run -0 machine "$img"
	[[ $output == *"root: the file system holds errors; checking it"* ]]
	[[ $output == *"/sbin/init of the root does not start"* ]]
	run dumpe2fs -h "$img"
	[[ $output =~ Filesystem\ state:\ +(clean|not\ clean)$'\n' ]]
}

@test "a template that does not exist is a usage error" {
	run -2 "$libexec/template/build" debian-99 "$scratch/x"
	[ ! -e "$scratch/x" ]
}

@test "the appliance starts to its agent" {
	appliance_begin app
	run -0 timeout 300 qvm-start app
	run -0 timeout 120 qvm-run -p app 'id -un; hostname; cat /proc/swaps | wc -l'
	[ "${lines[0]}" = user ]
	[ "${lines[1]}" = app ]
	[ "${lines[2]}" = 2 ]
}

@test "first use made /rw, and /home and /usr/local are in it" {
	run -0 timeout 120 qvm-run -p app 'grep -c " /rw \| /home \| /usr/local " /proc/mounts; ls -d /rw/config /rw/bind-dirs; stat -c %U /home/user'
	[ "${lines[0]}" = 3 ]
	[ "${lines[3]}" = user ]
}

@test "bind-dirs, rc.local, /home and /usr/local hold at the next start, the root does not" {
	timeout 120 qvm-run -p -u root app 'mkdir -p /rw/config/qubes-bind-dirs.d /etc/kept; echo before > /etc/kept/file
		echo "binds+=( \"/etc/kept\" )" > /rw/config/qubes-bind-dirs.d/50.conf
		mkdir -p /rw/bind-dirs/etc/kept; echo mine > /rw/bind-dirs/etc/kept/file
		printf "#!/bin/sh\ntouch /run/rc-local-ran\n" > /rw/config/rc.local; chmod +x /rw/config/rc.local
		cp /etc/machine-id /rw/id-before; echo lost > /etc/lost; echo lost > /usr/lib/lost
		echo kept > /home/user/kept; echo kept > /usr/local/bin/kept'
	timeout 300 qvm-shutdown --wait app
	timeout 300 qvm-start app
	run -0 timeout 120 qvm-run -p app 'cat /etc/kept/file; ls /run/rc-local-ran; cmp /etc/machine-id /rw/id-before && echo same
		cat /home/user/kept /usr/local/bin/kept; ls /etc/lost /usr/lib/lost 2>/dev/null; echo end'
	[ "${lines[*]}" = "mine /run/rc-local-ran same kept kept end" ]
}

@test "a template keeps its whole root, /home too; its running qubes see that at their next start" {
	timeout 300 qvm-start appliance
	run -0 timeout 120 qvm-run -p -u root appliance 'echo new > /etc/changed; echo new > /home/user/changed
		grep -c " /home \| /usr/local " /proc/mounts || true'
	[ "${lines[0]}" = 0 ]
	timeout 300 qvm-shutdown --wait appliance
	run -1 timeout 120 qvm-run -p app 'test -e /etc/changed'
	timeout 300 qvm-shutdown --wait app
	timeout 300 qvm-start app
	# what is in the template's /home is copied at first use only
	run -0 timeout 120 qvm-run -p app 'cat /etc/changed /home/user/kept; ls /home/user/changed 2>/dev/null; echo end'
	[ "${lines[*]}" = "new kept end" ]
	timeout 300 qvm-start appliance
	run -0 timeout 120 qvm-run -p appliance 'cat /home/user/changed'
	[ "$output" = new ]
	timeout 300 qvm-shutdown --wait appliance
}

@test "no two qubes have one machine-id, and the seed is used up" {
	timeout 30 qvm-create --template appliance --label red other
	timeout 300 qvm-start other
	a=$(timeout 120 qvm-run -p app 'cat /etc/machine-id')
	b=$(timeout 120 qvm-run -p other 'cat /etc/machine-id')
	[ "${#a}" = 32 ]
	[ "$a" != "$b" ]
	# the value goes at the first read, in the guest and in dom0
	run timeout 120 qvm-run -p -u root other 'qubesdb-read /qubes-random-seed'
	[ "$status" -ne 0 ]
	run timeout 60 qubesdb-read -d other /qubes-random-seed
	[ "$status" -ne 0 ]
	[ "$(timeout 60 qubesdb-read -d other /name)" = other ]
}

@test "a private volume that was made larger is larger inside at the next start, and keeps its files" {
	timeout 120 qvm-run -p other 'echo kept > /home/user/kept'
	timeout 300 qvm-shutdown --wait other
	[ "$(ask 'admin.vm.volume.Resize+private dom0 name other\03221225472')" = '0|' ]
	timeout 300 qvm-start other
	run -0 timeout 120 qvm-run -p other "cat /home/user/kept; df -k /rw | awk 'END { print (\$2 > 2600000) }'"
	[ "${lines[*]}" = "kept 1" ]
}

# debian-12 is tour.bats' business
# shellcheck disable=SC2016
# services_answer QUBE: those of every qube, as the users that theirs are
services_answer() {
	local qube=$1 now
	serve() { timeout 120 qvm-run -p --service "$qube" "$@"; }
	run -3 serve qubes.VMShell <<<'id -un; exit 3'
	[ "$output" = user ]
	run -4 serve qubes.VMRootShell <<<'id -un; exit 4'
	[ "$output" = root ]
	run -0 serve qubes.WaitForSession <<<user
	run -0 serve qubes.GetDate </dev/null
	now=$(date -u -d "$output + 1 day" +%Y-%m-%dT%H:%M:%S+00:00)
	run -0 serve qubes.SetDateTime <<<"$now"
	run -125 serve qubes.SetDateTime <<<2031-02-30T00:00:00+00:00
	run -0 serve qubes.GetDate </dev/null
	[ "${output%T*}" = "${now%T*}" ]
	run -0 serve qubes.SetDateTime <<<"$(date -u +%Y-%m-%dT%H:%M:%S+00:00)"
	run -0 serve qubes.ResizeDisk <<<private
	run -0 serve qubes.GetAppmenus </dev/null
	run -127 serve qubes.StartApp+nosuch </dev/null
	for s in SuspendPre SuspendPreAll SuspendPost SuspendPostAll; do
		run -0 serve "qubes.$s" </dev/null
	done
	run -0 timeout 120 qvm-run -p "$qube" '/usr/lib/qubes/upgrades-status-notify'
	run -0 timeout 120 qvm-run -p -u root "$qube" '/etc/qubes-rpc/qubes.PostInstall'
}

@test "debian-13: an app qube answers, none of its services has failed, and it goes down when asked" {
	timeout 1200 qvm-template install debian-13
	timeout 30 qvm-create --template debian-13 --label blue trixie
	timeout 600 qvm-start trixie
	run -0 timeout 120 qvm-run -p trixie '. /etc/os-release; echo $VERSION_CODENAME; id -un; hostname; for d in /rw /home; do findmnt -no SOURCE $d; done'
	[ "${lines[*]}" = "trixie user trixie /dev/vdb /dev/vdb[/home]" ]
	run -0 services_settle trixie
	[ "$output" = running ]
	services_answer trixie
	# a qube that has just started has no logind yet
	timeout 120 qvm-run -p -u root trixie 'systemctl mask --runtime --now systemd-logind'
	run -0 timeout 300 qvm-shutdown --wait trixie
	[ "$(state trixie)" = Halted ]
	timeout 30 qvm-remove -f trixie
}

@test "debian-12: the services of every qube; it has told what it can do, and tells which applications come with packages" {
	timeout 1200 qvm-template install debian-12
	[ "$(qvm-features debian-12 vmexec)" = 1 ]
	[ "$(state debian-12)" = Halted ]
	timeout 30 qvm-create --template debian-12 --label blue bookworm
	# a package as any other, of no archive
	mkdir -p "$BATS_TEST_TMPDIR/told/DEBIAN" "$BATS_TEST_TMPDIR/told/usr/share/applications"
	printf 'Package: told\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: it tells\n' >"$BATS_TEST_TMPDIR/told/DEBIAN/control"
	printf '[Desktop Entry]\nType=Application\nName=Told\nExec=sh -c "id -un >/tmp/started"\n' >"$BATS_TEST_TMPDIR/told/usr/share/applications/told.desktop"
	dpkg-deb --build --root-owner-group "$BATS_TEST_TMPDIR/told" "$BATS_TEST_TMPDIR/told.deb"
	timeout 600 qvm-start debian-12
	timeout 120 qvm-run -p -u root debian-12 'cat >/root/told.deb' <"$BATS_TEST_TMPDIR/told.deb"
	run -0 timeout 300 qvm-run -p -u root debian-12 'DEBIAN_FRONTEND=noninteractive apt-get -q -y install /root/told.deb'
	[[ $output != *"was not told"* ]]
	run -0 qvm-appmenus --get-available bookworm
	[[ $output == *"told.desktop - Told"* ]]
	run -0 timeout 300 qvm-run -p -u root debian-12 'DEBIAN_FRONTEND=noninteractive apt-get -q -y remove told'
	run -0 qvm-appmenus --get-available bookworm
	[[ $output != *told* ]]
	timeout 300 qvm-shutdown --wait debian-12
	timeout 600 qvm-start bookworm
	run -0 services_settle bookworm
	[ "$output" = running ]
	services_answer bookworm
	run -0 timeout 300 qvm-shutdown --wait bookworm
	timeout 30 qvm-remove -f bookworm
}
