# For files that meet qubesd by itself: an instance and a daemon for each test. The file sets $qubesd.
# shellcheck shell=bash

setup() {
	BULKHEAD_HOME=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead qubesd.XXXXXX")
	export BULKHEAD_HOME
	# nobody here hears of the sleep of the machine that it runs on
	export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/dev/null/bus
	daemon_start
}

teardown() {
	daemon_stop
	local run
	# of a test that mounts, and failed
	umount "$BULKHEAD_HOME/disk" 2>/dev/null || true
	run=$(readlink "$BULKHEAD_HOME/run" || true)
	rm -rf "$BULKHEAD_HOME" ${run:+"$run"}
}

daemon_start() {
	"${qubesd:?}" 2>>"$BULKHEAD_HOME/log" &
	daemon=$!
	within 10 answers
}

daemon_stop() {
	[ -n "$daemon" ] || return 0
	kill "$daemon" 2>/dev/null || true
	wait "$daemon" 2>/dev/null || true
	daemon=
}

daemon_kill() {
	kill -9 "$daemon"
	wait "$daemon" 2>/dev/null || true
}

answers() {
	[ -S "$BULKHEAD_HOME/run/qubesd.sock" ] && [[ $(ask 'admin.vm.List dom0 name dom0\0') == 0\|dom0* ]]
}

# make_template NAME; make_app NAME TEMPLATE
make_template() {
	[ "$(ask "admin.vm.Create.TemplateVM dom0 name dom0\0name=$1 label=black")" = '0|' ]
}
make_app() {
	[ "$(ask "admin.vm.Create.AppVM+$2 dom0 name dom0\0name=$1 label=red")" = '0|' ]
}

# kernel_set: one that can be named; nothing boots it
kernel_set() {
	mkdir -p "$BULKHEAD_HOME/state/kernels/.1"
	touch "$BULKHEAD_HOME/state/kernels/.1/"{vmlinuz,initramfs,modules.img}
	mv -T "$BULKHEAD_HOME/state/kernels/.1" "$BULKHEAD_HOME/state/kernels/1"
}

# call METHOD[+ARG] DEST [PAYLOAD]: the answer to a call by dom0
call() {
	ask "$1 dom0 name $2\0${3-}"
}
