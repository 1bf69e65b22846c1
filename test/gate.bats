#!/usr/bin/env bats
# Calls of the Admin API over qrexec: what a qube may ask, what it hears, and streams into volumes. qubesd's qubes run at once and do
# nothing; the agent and daemon of the one that asks, "work", are plain processes.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
load qrexec-lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib

setup() {
	BULKHEAD_HOME=$(mktemp -d "${GATE_SMALL:-${TMPDIR:-/tmp}}/bulkhead gate.XXXXXX")
	export BULKHEAD_HOME
	mkdir -p "$BULKHEAD_HOME/config"
	cp -r "$top/policy.d" "$BULKHEAD_HOME/config/policy.d"
	rm "$BULKHEAD_HOME/config/policy.d/"{meson.build,test-default.c}
	daemon_start
	qubesd_pid=$daemon
	make_template tmpl
	make_app work tmpl
	make_app mine tmpl
	make_app other tmpl
	[ "$(ask 'admin.vm.tag.Set+created-by-work dom0 name mine\0')" = '0|' ]
	pair_begin
	qrexec_pid=$daemon
	ln -s "$BULKHEAD_HOME/run/policy.sock" "$dir/policy.sock"
	export QREXEC_SERVICE_PATH="$dir/rpc:$libexec/qubes-rpc"
	kill "$qrexec_pid" "$agent"
	wait "$qrexec_pid" "$agent" || true
	agent_begin
	daemon_begin
	qrexec_pid=$daemon
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || tail -n 50 "$dir"/*.log "$BULKHEAD_HOME/log"
	daemon=$qrexec_pid
	pair_end
	daemon=$qubesd_pid
	daemon_stop
	local run
	run=$(readlink "$BULKHEAD_HOME/run" || true)
	rm -rf "$BULKHEAD_HOME" ${run:+"$run"}
}

# manages: the rules of the default policy's own example, a qube that owns what it made
manages() {
	cat >"$BULKHEAD_HOME/config/policy.d/include/admin-local-rwx" <<-EOF
		work @adminvm allow target=@adminvm
		work @tag:created-by-work allow target=@adminvm
		work work allow target=@adminvm
	EOF
	within 20 allowed work admin.vm.Start
}

# allowed TARGET SERVICE: the policy lets work call it
allowed() {
	[[ $(printf 'source=work\nintended_target=%s\nservice_and_arg=%s\njust_evaluate=yes\n\n' "$1" "$2" |
		timeout 10 socat -t10 - "UNIX-CONNECT:$BULKHEAD_HOME/run/policy.sock") == *result=allow* ]]
}

# vm TARGET METHOD[+ARG]: called by the qube "work", NUL shown as |
vm() {
	local code=0
	call_vm "$@" >"$dir/answer" || code=$?
	tr '\0' '|' <"$dir/answer"
	return $code
}

@test "what the policy does not allow is refused, whatever is installed" {
	run -126 vm dom0 admin.vm.List </dev/null
	run -126 vm work admin.vm.Start </dev/null
	manages
	run -126 vm other admin.vm.Start </dev/null
	run -126 vm dom0 admin.property.Get+default_netvm </dev/null
	# no method of dom0's own is there
	echo '* * work @anyvm allow target=@adminvm' >"$BULKHEAD_HOME/config/policy.d/10-test.policy"
	echo '* * work @adminvm allow' >>"$BULKHEAD_HOME/config/policy.d/10-test.policy"
	within 20 allowed other admin.vm.Start
	for m in bulkhead.Quit bulkhead.Store bulkhead.List internal.GetSystemInfo bulkhead.vm.volume.ImportFile; do
		run -127 vm dom0 $m </dev/null
	done
}

@test "each method of the default policy has its service, and each service its place in the policy" {
	diff <(sed -n 's/^!include-service *\(admin[^ ]*\) .*/\1/p' "$top/policy.d/90-admin-default.policy" | sort) \
		<(cd "$libexec/qubes-rpc" && printf '%s\n' admin.* | sort)
}

@test "the answer is what the socket says to dom0; a list has the qubes that the policy lets one list" {
	manages
	run -0 vm dom0 admin.vm.List </dev/null
	[[ $output == 0\|dom0* && $output == *'mine class=AppVM state=Halted uuid='* && $output == *'work class='* ]]
	[[ $output != *other* && $output != *tmpl* ]]
	diff "$dir/answer" <(printf 'admin.vm.List dom0 name dom0\0' | socat -t20 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" | grep -avE '^(other|tmpl) ')
	local m
	for m in admin.vm.List admin.vm.property.GetAll admin.vm.property.Get+label admin.vm.property.Get+nonesuch admin.vm.feature.Get+nonesuch \
		admin.vm.volume.Info+private admin.vm.volume.Info+none admin.vm.CurrentState admin.vm.firewall.Get admin.vm.tag.List admin.vm.Kill; do
		run -0 vm mine "$m" </dev/null
		diff "$dir/answer" <(printf '%s dom0 name mine\0' "$m" | socat -t20 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock")
	done
	# one who may list all of them
	echo 'admin.vm.List * work @anyvm allow target=@adminvm' >"$BULKHEAD_HOME/config/policy.d/10-test.policy"
	within 20 allowed other admin.vm.List
	run -0 vm dom0 admin.vm.List </dev/null
	[[ $output == *other* && $output == *tmpl* ]]
	# who would have to be asked about is not shown
	echo 'admin.vm.List * work other ask target=@adminvm' >"$BULKHEAD_HOME/config/policy.d/10-test.policy"
	within 20 eval '! allowed other admin.vm.List'
	run -0 vm dom0 admin.vm.List </dev/null
	[[ $output != *other* ]]
}

@test "a caller whose payload takes long to end, as one that is typed, is answered when it has" {
	manages
	# longer than policyd waits for a question
	run -0 vm dom0 admin.vm.List < <(exec sleep 12)
	[[ $output == 0\|dom0* && $output == *'mine class=AppVM'* ]]
	CALL_TIMEOUT=300 call_vm dom0 admin.Events < <(exec sleep 12) >"$dir/events" 3>&- &
	local pid=$!
	within 40 tells '1||connection-established||'
	kill "$(pgrep -P $pid timeout)"
	wait $pid || true
}

@test "callers whose payload does not end keep no other one from its answer" {
	manages
	mkfifo "$dir/endless"
	exec 8<>"$dir/endless"
	local i pids=()
	# more than connections that policyd keeps for one caller
	for ((i = 0; i < 33; i++)); do
		CALL_TIMEOUT=120 call_vm dom0 admin.vm.List <"$dir/endless" >"$dir/answer.$i" 3>&- 8>&- &
		pids+=($!)
	done
	all_there() { [ "$(pgrep -c '^admin.vm.List')" -ge 33 ]; }
	within 40 all_there
	run -0 vm dom0 admin.vm.List </dev/null
	[[ $output == 0\|dom0* && $output == *'mine class=AppVM'* ]]
	exec 8>&-
	wait "${pids[@]}" || true
}

@test "the caller is the qube, and the target what it asked for" {
	manages
	run -0 vm dom0 admin.vm.Create.AppVM+tmpl <<<''
	[[ $output == '2|ProtocolError'* ]]
	printf 'name=made label=red' >"$dir/in"
	run -0 vm dom0 admin.vm.Create.AppVM+tmpl <"$dir/in"
	[ "$output" = '0|' ]
	[[ $(ask 'admin.vm.tag.List dom0 name made\0') == *created-by-work* ]]
	[[ $(ask 'admin.vm.tag.Get+created-by-dom0 dom0 name made\0') == '0|0' ]]
	# what it made is its own
	printf 500 >"$dir/in"
	run -0 vm made admin.vm.property.Set+memory <"$dir/in"
	[ "$output" = '0|' ]
	[[ $(ask 'admin.vm.property.Get+memory dom0 name made\0') == *500 ]]
	run -0 vm made admin.vm.tag.Remove+created-by-work </dev/null
	[[ $output == '2|PermissionDenied|'* ]]
	run -0 vm made admin.vm.Remove </dev/null
	[ "$output" = '0|' ]
	[[ $(ask 'admin.vm.List dom0 name dom0\0') != *made* ]]
}

@test "a call that is none is answered as the socket answers it, or not at all" {
	manages
	local before
	before=$(ask 'admin.vm.property.GetAll dom0 name mine\0')
	run -0 vm mine admin.vm.Pause <<<x
	[[ $output == '2|ProtocolError||admin.vm.Pause: unexpected payload|'* ]]
	run -0 vm mine admin.vm.property.Get </dev/null
	[[ $output == '2|ProtocolError||'*argument* ]]
	run -0 vm mine admin.vm.property.Get+a+b </dev/null
	[[ $output == '2|ProtocolError||'* ]]
	run -0 vm mine "admin.vm.property.Get+$(printf 'a%.0s' {1..600})" </dev/null
	[[ $output == '2|ProtocolError||'* ]]
	printf 'a\0b' >"$dir/in"
	run -0 vm mine admin.vm.property.Set+kernelopts <"$dir/in"
	[[ $output == '2|ProtocolError||'* ]]
	printf 'name=x\nlabel=red' >"$dir/in"
	run -0 vm dom0 admin.vm.Create.AppVM+tmpl <"$dir/in"
	[[ $output == '2|ProtocolError||'* ]]
	# as much as a request may be, and a byte more
	head -c 65000 /dev/zero | tr '\0' x >"$dir/in"
	run -0 vm mine admin.vm.notes.Set <"$dir/in"
	[ "$output" = '0|' ]
	head -c 65537 /dev/zero | tr '\0' x >"$dir/in"
	run -1 vm mine admin.vm.notes.Set <"$dir/in"
	[ -z "$output" ]
	# a target that is no qube
	echo 'admin.vm.List * work @default allow target=@adminvm' >"$BULKHEAD_HOME/config/policy.d/10-test.policy"
	within 20 allowed @default admin.vm.List
	run -1 vm @default admin.vm.List </dev/null
	[ -z "$output" ]
	[ "$(ask 'admin.vm.property.GetAll dom0 name mine\0')" = "$before" ]
}

# n_streams: of events, that qubesd holds
n_streams() {
	ask 'bulkhead.Status dom0 name dom0\0' | sed -n 's/^n_streams=//p'
}

# tells WORDS: the stream has said so
tells() {
	tr '\0' '|' <"$dir/events" | grep -qF -- "$1"
}

@test "events come as they happen, about qubes that the policy lets one follow; the stream ends with its caller" {
	manages
	CALL_TIMEOUT=300 call_vm dom0 admin.Events </dev/null >"$dir/events" 3>&- &
	local pid=$!
	within 20 tells '1||connection-established||'
	[ "$(ask 'admin.vm.feature.Set+secret dom0 name other\0value')" = '0|' ]
	[ "$(ask 'admin.vm.feature.Set+known dom0 name mine\0value')" = '0|' ]
	within 20 tells 'mine|domain-feature-set:known|feature|known|value|value||'
	# dom0's own are for who may follow dom0, which manages() allows; other's are not
	run ! tells secret
	# a change of the policy holds for what comes then
	echo 'admin.Events +domain-feature-set_open work other allow target=@adminvm' >"$BULKHEAD_HOME/config/policy.d/10-test.policy"
	within 20 allowed other admin.Events+domain-feature-set_open
	[ "$(ask 'admin.vm.feature.Set+open dom0 name other\0value')" = '0|' ]
	[ "$(ask 'admin.vm.feature.Set+shut dom0 name other\0value')" = '0|' ]
	[ "$(ask 'admin.vm.feature.Set+last dom0 name mine\0value')" = '0|' ]
	within 20 tells domain-feature-set:last
	tells 'other|domain-feature-set:open'
	run ! tells domain-feature-set:shut
	# a qube that was shown is told to be gone, when the policy does not know it any more
	[ "$(ask 'admin.vm.Remove dom0 name mine\0')" = '0|' ]
	within 20 tells 'domain-delete|vm|mine||'
	[ "$(ask 'admin.vm.Remove dom0 name other\0')" = '0|' ]
	[ "$(n_streams)" = 1 ]
	kill "$(pgrep -P $pid timeout)"
	wait $pid || true
	within 20 eval '[ "$(n_streams)" = 0 ]'
	# about one qube, of which other is none
	make_app third tmpl
	run -126 vm third admin.Events </dev/null
}

@test "of each qube that is made its maker hears by the time that it is there, though only its tag lets the maker hear" {
	local i n=20
	! full_counts || n=200
	manages
	CALL_TIMEOUT=300 call_vm dom0 admin.Events </dev/null >"$dir/events" 3>&- &
	local pid=$!
	within 20 tells '1||connection-established||'
	for ((i = 0; i < n; i++)); do
		[ "$(printf 'name=made-%s label=red' "$i" | vm dom0 admin.vm.Create.AppVM+tmpl)" = '0|' ]
	done
	for ((i = 0; i < n; i++)); do
		within 20 tells "domain-add|vm|made-$i||"
	done
	kill "$(pgrep -P $pid timeout)"
	wait $pid || true
}

@test "the end of a qube that the policy hides is hidden too, however much is allowed of all others" {
	manages
	cat >"$BULKHEAD_HOME/config/policy.d/10-test.policy" <<-EOF
		admin.Events * work other deny
		admin.Events * work @default allow target=@adminvm
		admin.Events * work @anyvm allow target=@adminvm
	EOF
	within 20 allowed tmpl admin.Events+x
	run ! allowed other admin.Events+x
	# of a name that it does not know it allows what it allows of any
	allowed nonesuch admin.Events+x
	CALL_TIMEOUT=300 call_vm dom0 admin.Events </dev/null >"$dir/events" 3>&- &
	local pid=$!
	within 20 tells '1||connection-established||'
	[ "$(ask 'admin.vm.Remove dom0 name other\0')" = '0|' ]
	[ "$(ask 'admin.vm.feature.Set+last dom0 name mine\0value')" = '0|' ]
	within 20 tells domain-feature-set:last
	run ! tells other
	[ "$(ask 'admin.vm.Remove dom0 name mine\0')" = '0|' ]
	within 20 tells 'domain-delete|vm|mine||'
	kill "$(pgrep -P $pid timeout)"
	wait $pid || true
}

# content QUBE: checksum of what its private volume holds
content() {
	local uuid last
	uuid=$(ask "admin.vm.List dom0 name $1\0" | sed -n 's/.*uuid=//p')
	last=$(cd "$BULKHEAD_HOME/state/pools/default/vm/$uuid/private" && printf '%s\n' [0-9]*.qcow2 | sort -n | tail -n 1)
	qemu-img convert -O raw "$BULKHEAD_HOME/state/pools/default/vm/$uuid/private/$last" "$dir/raw"
	head -c "${2-6000000}" "$dir/raw" | sha256sum
}

# size_of QUBE: of its private volume
size_of() {
	ask "admin.vm.volume.Info+private dom0 name $1\0" | sed -n 's/^size=//p'
}

# image N: random bytes, with a line that says how many in front in $dir/sized
image() {
	head -c "$1" /dev/urandom >"$dir/image"
	(echo "$1" && cat "$dir/image") >"$dir/sized"
}

@test "an image of any size comes as a stream from a qube into a volume: all of it, or nothing" {
	manages
	image 6000000
	local before
	[ "$(ask 'admin.vm.volume.Resize+private dom0 name mine\0''6000128')" = '0|' ]
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/sized"
	[ "$output" = '0|' ]
	[ "$(content mine)" = "$(sha256sum <"$dir/image")" ]
	# larger than the volume: it grows
	image 9000000
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/sized"
	[ "$output" = '0|' ]
	[ "$(content mine 9000000)" = "$(sha256sum <"$dir/image")" ]
	[ "$(size_of mine)" = 9000448 ]
	# without a size: as many bytes as the volume has
	image 9000448
	run -0 vm mine admin.vm.volume.Import+private <"$dir/image"
	[ "$output" = '0|' ]
	before=$(content mine 9000448)
	[ "$before" = "$(sha256sum <"$dir/image")" ]
	# a byte less, a byte more, no number, none that can be, nothing at all
	image 9000447
	run -0 vm mine admin.vm.volume.Import+private <"$dir/image"
	[[ $output == '2|StoragePoolException||'*'ended before'* ]]
	image 9000449
	run -0 vm mine admin.vm.volume.Import+private <"$dir/image"
	[[ $output == '2|StoragePoolException||'*'more than'* ]]
	(echo 9000450 && cat "$dir/image") >"$dir/sized"
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/sized"
	[[ $output == '2|StoragePoolException||'* ]]
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/image"
	[[ $output == '2|ProtocolError||'* ]]
	printf '99999999999999999999\n' >"$dir/sized"
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/sized"
	[[ $output == '2|ProtocolError||'* ]]
	run -0 vm mine admin.vm.volume.ImportWithSize+private </dev/null
	[[ $output == '2|ProtocolError||'* ]]
	[ "$(content mine 9000448)" = "$before" ]
	# another's, another volume, one that runs
	run -126 vm other admin.vm.volume.Import+private <"$dir/image"
	run -0 vm mine admin.vm.volume.Import+volatile <"$dir/image"
	[[ $output == '2|StoragePoolException||'* ]]
	run -0 vm mine admin.vm.volume.Import+nonesuch <"$dir/image"
	[[ $output == '2|PermissionDenied||'* ]]
}

# busy QUBE: an import is under way
busy() {
	[[ $(ask "admin.vm.volume.Revert+private dom0 name $1\0none") == '2|QubesVMInUseError|'* ]]
}

idle() {
	[[ $(ask "admin.vm.volume.Revert+private dom0 name $1\0none") == '2|StoragePoolException|'* ]]
}

@test "a stream whose caller, or qubesd, ends in the middle leaves the volume as it was, and free" {
	manages
	image 3000000
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/sized"
	local before pid
	before=$(content mine 3000000)
	mkfifo "$dir/slow"
	call_vm mine admin.vm.volume.ImportWithSize+private <"$dir/slow" >"$dir/out" 3>&- &
	pid=$!
	exec 8>"$dir/slow"
	(echo 5000000 && head -c 1000000 /dev/zero) >&8
	within 20 busy mine
	kill -9 "$(pgrep -P "$(pgrep -P $pid timeout)")"
	within 20 idle mine
	exec 8>&-
	wait $pid || true
	[ "$(content mine 3000000)" = "$before" ]
	# qubesd
	call_vm mine admin.vm.volume.ImportWithSize+private <"$dir/slow" >"$dir/out" 3>&- &
	pid=$!
	exec 8>"$dir/slow"
	(echo 5000000 && head -c 1000000 /dev/zero) >&8
	within 20 busy mine
	daemon=$qubesd_pid
	daemon_kill
	exec 8>&-
	wait $pid || true
	[ ! -s "$dir/out" ]
	daemon_start
	qubesd_pid=$daemon
	[ "$(content mine 3000000)" = "$before" ]
	within 20 allowed work admin.vm.Start
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/sized"
	[ "$output" = '0|' ]
}

# on_a_small_disk: this test again, with its instance on a file system of 20 MiB, mounted in a namespace for it alone. An ordinary user is
# root of one to mount it, and then who he was again, as the daemons want it.
on_a_small_disk() {
	local small=$BATS_TEST_TMPDIR/small ns=(unshare --mount) back=()
	mkdir "$small"
	if [ "$(id -u)" != 0 ]; then
		ns=(unshare --user --map-root-user --mount)
		back=(unshare --user --map-user="$(id -u)" --map-group="$(id -g)")
	fi
	"${ns[@]}" true || skip "no namespaces here"
	# shellcheck disable=SC2016
	"${ns[@]}" bash -c 'mount -t tmpfs -o size=20m,mode=0700 small "$1" && shift && exec "$@"' bash "$small" "${back[@]}" \
		env GATE_SMALL="$small" bats --tap --filter "^$BATS_TEST_DESCRIPTION\$" "$BATS_TEST_FILENAME" | tee "$BATS_TEST_TMPDIR/again"
	grep -q '^ok 1 ' "$BATS_TEST_TMPDIR/again"
}

@test "a stream that finds the disk full says so and leaves the volume as it was" {
	[ -n "${GATE_SMALL-}" ] || {
		on_a_small_disk
		return
	}
	manages
	image 3000000
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/sized"
	[ "$output" = '0|' ]
	local before
	before=$(content mine 3000000)
	image 30000000
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/sized"
	[[ $output == '2|'*Exception* ]]
	[ "$(content mine 3000000)" = "$before" ]
	image 3000000
	run -0 vm mine admin.vm.volume.ImportWithSize+private <"$dir/sized"
	[ "$output" = '0|' ]
}

@test "dom0's own clients import by the same service (bulkhead exec)" {
	image 5000192
	[ "$(ask 'admin.vm.volume.Resize+private dom0 name mine\0''5000192')" = '0|' ]
	run -0 bulkhead exec -- python3 "$top/test/qubes-client.py" --stream admin.vm.volume.Import mine private "$dir/image"
	[ "$(content mine 5000192)" = "$(sha256sum <"$dir/image")" ]
	image 700000
	run -0 bash -c 'cat "$1" | bulkhead exec -- python3 "$2" --stream admin.vm.volume.ImportWithSize mine private -' bash "$dir/sized" "$top/test/qubes-client.py"
	[ "$(content mine 700000)" = "$(sha256sum <"$dir/image")" ]
	run -1 bulkhead exec -- python3 "$top/test/qubes-client.py" --stream admin.vm.volume.Import mine private "$dir/image"
	[[ $output == *StoragePoolException* ]]
	run -1 bulkhead exec -- python3 "$top/test/qubes-client.py" --stream admin.vm.volume.Import nonesuch private "$dir/image"
	[[ $output == *QubesVMNotFoundError* ]]
}

@test "the gate is confined before it hears the qube" {
	manages
	mkfifo "$dir/slow"
	local before pid
	# its name is the method's
	before=$(pgrep '^admin.vm.notes' | sort || true)
	call_vm mine admin.vm.notes.Set <"$dir/slow" >"$dir/out" 3>&- &
	pid=$!
	exec 8>"$dir/slow"
	gate=
	found() { gate=$(comm -13 <(echo "$before") <(pgrep '^admin.vm.notes' | sort)) && [ -n "$gate" ] && grep -q '^Seccomp:.*2$' "/proc/$gate/status"; }
	within 20 found
	[ "$(id -u)" != 0 ] || grep -q '^Uid:.65534' "/proc/$gate/status"
	grep -q '^CapEff:.*0000000000000000$' "/proc/$gate/status"
	echo note >&8
	exec 8>&-
	wait $pid
	[ "$(ask 'admin.vm.notes.Get dom0 name mine\0')" = $'0|note' ]
}
