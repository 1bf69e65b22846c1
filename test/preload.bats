#!/usr/bin/env bats
# Disposables that are started before anybody asks for one: how many wait, who gets them, and what ends them. Qubes that run here do
# nothing (vmm/none).
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib

eval "$(declare -f setup | sed '1s/setup/setup_daemon/')"
setup() {
	setup_daemon
	make_template tmpl
	make_app work tmpl
	make_app dvm tmpl
	kernel_set
	[ "$(call admin.vm.property.Set+template_for_dispvms dvm True)" = '0|' ]
	[ "$(call admin.vm.property.Set+default_dispvm work dvm)" = '0|' ]
	# none waits until the test says so
	[ "$(call admin.vm.feature.Set+preload-dispvm-delay dom0 0)" = '0|' ]
}

max() { # N [QUBE]
	[ "$(call admin.vm.feature.Set+preload-dispvm-max "${2-dvm}" "$1")" = '0|' ]
}
# of STATE: disposables that are in it
of() {
	call admin.vm.List dom0 | sed -n "s/^\(disp[0-9]*\) class=DispVM state=$1 .*/\1/p"
}
disposables() {
	call admin.vm.List dom0 | sed -n 's/^\(disp[0-9]*\) .*/\1/p'
}
feature() { # QUBE NAME
	call "admin.vm.feature.Get+$2" "$1" | sed 's/^2|QubesFeatureNotFoundError.*/none/;s/^0|//'
}
# wait_N: so many stand paused and are named by the template, and there is no other
waiting() {
	[ "$(of Paused | wc -l)" = "$1" ] && [ "$(disposables | wc -l)" = "$1" ] && [ "$(list)" = "$(of Paused)" ]
}
list() {
	feature dvm preload-dispvm | tr ' ' '\n' | sed '/^$/d;/^none$/d' | sort
}
# within so long
wait_for() {
	within 20 waiting "$1" || {
		call admin.vm.List dom0
		list
		tail -n 40 "$BULKHEAD_HOME/log"
		false
	}
}
is() {
	[[ $(call admin.vm.List "$1") == *"state=$2"* ]]
}
gone() {
	[[ $(call admin.vm.List "$1") == '2|QubesVMNotFoundError|'* ]]
}
# wish NAME SOURCE: a disposable that is held; it goes when its pid is killed
wish() {
	printf 'bulkhead.vm.Disposable %s name dvm\0' "$2" |
		timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/$1" 3>&- &
	wisher=$!
}
# given NAME: what it was told that it has
given() {
	tr '\0' '|' <"$BULKHEAD_HOME/$1" | grep -o '|disposable|name|disp[0-9]*' | grep -o 'disp[0-9]*$'
}
has() {
	given "$1" >/dev/null
}
clean() {
	daemon_stop
	run -0 timeout 60 bulkhead check
}

@test "as many as the template says wait, hidden from menus; the number is checked; fewer are wanted" {
	local d x
	for x in -1 x 51 1.5 ' 1'; do
		[[ $(call admin.vm.feature.Set+preload-dispvm-max dvm "$x") == '2|QubesValueError||'* ]]
	done
	[[ $(call admin.vm.feature.Set+preload-dispvm-threshold dom0 much) == '2|QubesValueError||'* ]]
	max 3
	wait_for 3
	for d in $(disposables); do
		[ "$(feature "$d" internal)" = 1 ]
		[ "$(feature "$d" preload-dispvm-in-progress)" = '' ]
		[ "$(feature "$d" preload-dispvm-completed)" = 1 ]
		[ "$(call admin.vm.property.Get+is_preload "$d")" = '0|default=True type=bool True' ]
		[ "$(call admin.vm.property.Get+auto_cleanup "$d")" = '0|default=False type=bool True' ]
	done
	[[ $(call admin.vm.CreateDisposable+preload dvm) == '2|QubesException||'* ]]
	max 1
	wait_for 1
	# the first of them stays
	[[ $(call admin.vm.feature.Remove+preload-dispvm-max dvm) == '0|' ]]
	wait_for 0
	max 0
	clean
}

@test "dom0's number is that of the system's default_dispvm, whatever that one says itself" {
	max 1
	wait_for 1
	[ "$(call admin.property.Set+default_dispvm dom0 dvm)" = '0|' ]
	max 2 dom0
	wait_for 2
	max 0 dom0
	wait_for 0
	[ "$(call admin.vm.feature.Remove+preload-dispvm-max dom0)" = '0|' ]
	wait_for 1
	# a template that is forked needs none
	[ "$(call admin.vm.property.Set+fork dvm True)" = '0|' ]
	wait_for 0
}

@test "who wants one gets one that waits, as if it were new; another takes its place" {
	local d e
	max 2
	wait_for 2
	printf 'admin.Events dom0 name dom0\0' | timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BULKHEAD_HOME/events" 3>&- &
	within 10 grep -q connection-established "$BULKHEAD_HOME/events"
	call admin.vm.List dom0 | grep -o 'disp[0-9]*' | sort >"$BULKHEAD_HOME/before"
	wish one work
	within 20 has one
	d=$(given one)
	grep -qx "$d" "$BULKHEAD_HOME/before"
	is "$d" Running
	for e in internal preload-dispvm-in-progress preload-dispvm-completed; do
		[ "$(feature "$d" $e)" = none ]
	done
	[ "$(call admin.vm.property.Get+is_preload "$d")" = '0|default=True type=bool False' ]
	[ "$(call admin.vm.tag.List "$d")" = $'0|created-by-work\ndisp-created-by-work' ]
	told() { tr '\0' '|' <"$BULKHEAD_HOME/events" | grep -q "$1"; }
	within 10 told "1|dvm|domain-preload-dispvm-used|dispvm|$d||"
	told "1|$d|domain-feature-delete:internal|feature|internal||"
	told "1|$d|property-reset:is_preload|name|is_preload||"
	within 20 eval '[ "$(list | wc -l)" = 2 ]'
	! list | grep -qx "$d"
	kill "$wisher"
	within 20 gone "$d"
	wait_for 2
	# the Admin API's own, which nobody holds
	d=$(ask 'admin.vm.CreateDisposable work name dvm\0')
	is "${d#0|}" Running
	d=$(ask 'admin.vm.CreateDisposable work name dom0\0uuid')
	[[ $d == '0|uuid:'* ]]
	is "${d#0|}" Running
	max 0
	within 20 eval '[ "$(disposables | wc -l)" = 2 ]'
}

@test "many at once get one each, and those that come too late a new one" {
	local i
	max 3
	wait_for 3
	for i in 1 2 3 4 5; do
		wish "w$i" work
		echo "$wisher" >>"$BULKHEAD_HOME/pids"
	done
	for i in 1 2 3 4 5; do
		within 30 has "w$i"
		given "w$i"
	done >"$BULKHEAD_HOME/given"
	[ "$(sort -u "$BULKHEAD_HOME/given" | wc -l)" = 5 ]
	xargs kill <"$BULKHEAD_HOME/pids"
	wait_for 3
}

@test "one that is still starting is waited for; one that does not start is no failure of who wants it" {
	local d
	[ "$(call admin.vm.property.Set+kernelopts dvm none.waits)" = '0|' ]
	max 1
	within 20 eval '[ "$(of Transient | wc -l)" = 1 ]'
	d=$(of Transient)
	wish one work
	within 20 eval '[ "$(call admin.vm.tag.Get+disp-created-by-work '"$d"')" = "0|1" ]'
	mkdir -p "$BULKHEAD_HOME/run/none"
	touch "$BULKHEAD_HOME/run/none/$d.go"
	within 20 has one
	[ "$(given one)" = "$d" ]
	kill "$wisher"
	within 20 gone "$d"
	# killed while somebody waits for it: he gets another
	max 0
	for d in $(of Transient); do
		touch "$BULKHEAD_HOME/run/none/$d.go"
	done
	wait_for 0
	[ "$(call admin.vm.property.Set+kernelopts dvm none.slow)" = '0|' ]
	max 1
	within 20 eval '[ "$(of Transient | wc -l)" = 1 ]'
	d=$(of Transient)
	wish two work
	within 20 eval '[ "$(call admin.vm.tag.Get+disp-created-by-work '"$d"')" = "0|1" ]'
	[ "$(call admin.vm.Kill "$d")" = '0|' ]
	within 20 has two
	[ "$(given two)" != "$d" ]
	kill "$wisher"
	# none can be started: nobody is kept waiting by that, and it is not tried all the time
	[ "$(call admin.vm.property.Set+kernelopts dvm none.fail)" = '0|' ]
	within 20 grep -q 'was told not to' "$BULKHEAD_HOME/log"
	wait_for 0
	wish three work
	within 20 grep -aq QubesVMError "$BULKHEAD_HOME/three"
}

@test "what a new one would be made like decides: settings, defaults, firewall, volumes of both templates" {
	local frame
	max 1
	while read -r frame; do
		wait_for 1
		d=$(of Paused)
		echo "$frame"
		[[ $(ask "$frame") == '0|'* ]]
		within 20 gone "$d"
	done <<-'END'
		admin.vm.property.Set+memory dom0 name dvm\0333
		admin.vm.property.Set+label dom0 name dvm\0orange
		admin.vm.feature.Set+service.x dom0 name dvm\0001
		admin.vm.tag.Set+web dom0 name dvm\0
		admin.vm.firewall.Set dom0 name dvm\0action=accept\n
		admin.property.Set+default_qrexec_timeout dom0 name dom0\061
		admin.vm.volume.Resize+private dom0 name dvm\03221225472
	END
	# both templates: whatever they did, there is another version of their volumes
	for q in tmpl dvm; do
		wait_for 1
		d=$(of Paused)
		[ "$(call admin.vm.Start $q)" = '0|' ]
		[ "$(call admin.vm.Shutdown+wait $q)" = '0|' ]
		within 20 gone "$d"
	done
	wait_for 1
	d=$(of Paused)
	[ "$(call admin.vm.property.Set+memory work 500)" = '0|' ]
	[ "$(call admin.vm.Start work)" = '0|' ]
	[ "$(call admin.vm.Shutdown+wait work)" = '0|' ]
	[ "$(of Paused)" = "$d" ]
	max 0
	wait_for 0
	clean
}

@test "one that is let go on is used; one that is shut down or killed is gone, and none takes its place until one is of use" {
	local d
	max 1
	wait_for 1
	d=$(of Paused)
	[ "$(call admin.vm.Unpause "$d")" = '0|' ]
	within 20 eval '[ "$(feature '"$d"' internal)" = none ]'
	is "$d" Running
	within 20 eval '[ "$(of Paused | wc -l)" = 1 ]'
	[ "$(call admin.vm.Kill "$d")" = '0|' ]
	wait_for 1
	d=$(of Paused)
	[ "$(call admin.vm.Shutdown+wait "$d")" = '0|' ]
	wait_for 0
	[ "$(call admin.vm.Start work)" = '0|' ]
	wait_for 1
}

@test "memory that is to stay free stays free" {
	[ "$(call admin.property.Set+qubes_maxmem dom0 2000)" = '0|' ]
	[ "$(call admin.vm.feature.Set+preload-dispvm-threshold dom0 1400)" = '0|' ]
	max 5
	within 20 grep -q 'are not free' "$BULKHEAD_HOME/log"
	wait_for 1
	[ "$(call admin.vm.feature.Set+preload-dispvm-threshold dom0 900)" = '0|' ]
	wait_for 2
}

# after qubesd was killed: as many wait as before, nothing else is there, and a wish is granted
comes_back() {
	daemon_kill
	daemon_start
	wait_for "$1"
	wish back work
	within 20 has back
	kill "$wisher"
	wait_for "$1"
}

@test "qubesd killed while they are made, start, wait and are taken: none is left over, none is given twice" {
	local d i
	[ "$(call admin.vm.property.Set+kernelopts dvm none.waits)" = '0|' ]
	max 1
	within 20 eval '[ "$(of Transient | wc -l)" = 1 ]'
	daemon_kill
	daemon_start
	# that start is over: its job has died
	within 20 eval '[ "$(of Transient | wc -l)" = 1 ]'
	# the one that starts now, which nobody wants as soon as another would be made
	mkdir -p "$BULKHEAD_HOME/run/none"
	touch "$BULKHEAD_HOME/run/none/$(of Transient).go"
	[ "$(call admin.vm.property.Reset+kernelopts dvm)" = '0|' ]
	wait_for 1
	# the one that waits still does
	d=$(of Paused)
	daemon_kill
	daemon_start
	wait_for 1
	[ "$(of Paused)" = "$d" ]
	# what was made of other volumes meanwhile is not given to anybody
	[ "$(call admin.vm.Start tmpl)" = '0|' ]
	daemon_kill
	rm -f "$BULKHEAD_HOME"/run/none/*
	daemon_start
	within 20 gone "$d"
	wait_for 1
	# at any moment
	for ((i = $(rounds preload 6 60); i > 0; i--)); do
		max $((i % 3 + 1))
		wish "r$i" work
		sleep "0.0$((RANDOM % 100))"
		daemon_kill
		kill "$wisher" || true
		daemon_start
		round_done preload
	done
	# one that was held is killed when nobody holds it again
	within 60 waiting 2
	comes_back 2
	max 0
	wait_for 0
	clean
}

@test "qubesd told to quit while nothing else runs ends those that wait; beside another qube they go on" {
	local d
	max 2
	wait_for 2
	daemon_stop
	within 10 eval '[ -z "$(ls "$BULKHEAD_HOME/run/none")" ]'
	run -0 timeout 60 bulkhead check
	daemon_start
	wait_for 2
	[ "$(call admin.vm.Start work)" = '0|' ]
	d=$(of Paused)
	daemon_stop
	daemon_start
	wait_for 2
	[ "$(of Paused)" = "$d" ]
}
