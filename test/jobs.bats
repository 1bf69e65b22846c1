#!/usr/bin/env bats
# Jobs of qubesd: so many at once, each in its turn, and none that keeps others waiting. Qubes that run here do nothing (vmm/none).
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib
hung=

# what hangs goes on when the one who lets it hang is gone
eval "$(declare -f teardown | sed '1s/teardown/teardown_all/')"
teardown() {
	if [ -n "$hung" ]; then
		kill "$hung" 2>/dev/null || true
		umount -l "$BULKHEAD_HOME/disk" 2>/dev/null || true
	fi
	teardown_all
}

# later NAME METHOD[+ARG] DEST [PAYLOAD]: the same without waiting; answer NAME: what has come, once it is whole
later() {
	local to="$BULKHEAD_HOME/answer $1"
	{
		# shellcheck disable=SC2059
		printf "$2 dom0 name $3\000${4-}" | timeout 300 socat -t300 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$to.part" 2>/dev/null
		mv "$to.part" "$to"
	} 3>&- &
}
answer() {
	tr '\0' '|' <"$BULKHEAD_HOME/answer $1"
}
has_answer() {
	[ -s "$BULKHEAD_HOME/answer $1" ]
}

# is QUBE STATE
is() {
	[[ $(call admin.vm.List "$1") == *"state=$2"* ]]
}

# jobs KIND: how many of that kind run
jobs_of() {
	pgrep -c -P "$daemon" -f -- "--job $1\$" || true
}

# of KEY: what bulkhead.Status says of it
of() {
	call bulkhead.Status dom0 | sed -n "s/^$1=//p"
}
waits() {
	[ "$(of n_jobs_waiting)" -ge 1 ]
}

@test "a file system that does not answer keeps nobody waiting who does not ask for it" {
	local far="$BULKHEAD_HOME/disk" q n=33 leave=()
	mkdir "$far"
	make_template tmpl
	make_app near tmpl
	kernel_set
	[ "$(call admin.pool.Add+qcow2 dom0 "name=far\ndir_path=$far/pool\n")" = '0|' ]
	for q in $(seq $n); do
		[ "$(call admin.vm.CreateInPool.AppVM+tmpl dom0 "name=far$q label=red pool:private=far")" = '0|' ]
		[ "$(call admin.vm.property.Set+memory "far$q" 32)" = '0|' ]
	done
	# another pool that is elsewhere, where nothing hangs
	[ "$(call admin.pool.Add+qcow2 dom0 "name=beside\ndir_path=$BULKHEAD_HOME/beside\n")" = '0|' ]
	[ "$(call admin.vm.CreateInPool.AppVM+tmpl dom0 "name=beside1 label=red pool:root=beside pool:private=beside")" = '0|' ]
	"$top/build/test/hung" "$far" >"$BULKHEAD_HOME/hung" 2>&1 3>&- &
	hung=$!
	within 5 grep -q hung "$BULKHEAD_HOME/hung" || skip "no mounting here"

	# the first of them: one that waited for its turn would be answered without any size
	asked() { [ $(($(of n_jobs) + $(of n_jobs_waiting))) -ge "$1" ]; }
	later list bulkhead.List dom0 'name\ndisk'
	within 10 asked 1
	later info admin.pool.Info+far dom0
	later volume admin.vm.volume.Info+private far1
	later revisions admin.vm.volume.ListSnapshots+private far1
	for q in 1 2 3; do
		later "more$q" admin.pool.UsageDetails+far dom0
	done
	# who leaves takes the question along
	within 10 asked 7
	# its look at that pool waits for a turn that does not come
	later behind bulkhead.List dom0 'name\ndisk'
	within 10 asked 8
	for q in 1 2 3 4 5 6; do
		printf 'admin.pool.UsageDetails+far dom0 name dom0\0' | socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" 3>&- &
		leave+=($!)
	done
	within 10 asked 14
	kill "${leave[@]}"
	for q in 1 2 3 4 5; do
		later "add$q" admin.pool.Add+qcow2 dom0 "name=new$q\ndir_path=$far/new$q"
	done
	# as many starts as one pool may have, and one more, which waits for its turn
	for q in $(seq $n); do
		later "$q" admin.vm.Start "far$q"
		within 20 is "far$q" Transient
	done
	within 20 waits
	[ "$(jobs_of start)" -lt $n ]

	# all others go on
	[[ $(call admin.vm.volume.Info+private near) == *$'\nusage='[1-9]* ]]
	[ "$(call admin.vm.Start near)" = '0|' ]
	[ "$(call admin.vm.Kill near)" = '0|' ]
	[ "$(call admin.pool.Add+qcow2 dom0 "name=other\ndir_path=$BULKHEAD_HOME/other\n")" = '0|' ]
	[[ $(call admin.pool.Info+other dom0) == *$'\nusage='[1-9]* ]]
	make_app another tmpl

	# what waits for its turn is called off at once
	[ "$(call admin.vm.Kill "far$n")" = '0|' ]
	is "far$n" Halted
	within 5 has_answer $n
	[[ $(answer $n) == '2|QubesVMError||'*killed* ]]

	# who asked hears in the end what there is to hear
	for q in info volume list behind revisions more1 more2 more3 add1 add2 add3 add4 add5; do
		within 60 has_answer $q
	done
	[[ $(answer info) == *"dir_path=$far/pool" ]]
	[[ $(answer volume) == *$'\nusage=0\n'* ]]
	[[ $(answer list) == *$'\nnear\t'[1-9]* ]]
	[[ $(answer behind) == *$'\nnear\t'[1-9]* ]]
	[[ $(answer behind) == *$'\nbeside1\t'[1-9]* ]]
	# without its private volume; the work file of its root is there once its start has begun
	[[ $(answer list) == *$'\nfar1\t'[0-9]* ]]
	[[ $(answer revisions) == '2|StoragePoolException||'*'did not answer'* ]]
	for q in 1 2 3 4 5; do
		[[ $(answer "add$q") == '2|StoragePoolException||'*'did not answer'* ]]
	done
	[[ $(call admin.pool.List dom0) != *new* ]]
	[ "$(grep -c 'job usage in pool far:.*did not answer' "$BULKHEAD_HOME/log")" = 4 ]

	# qubesd begins anew beside it
	daemon_kill
	daemon_start
	is near Halted
}

@test "imports whose senders are slow keep nothing else waiting" {
	local q n=24
	make_template tmpl
	make_app work tmpl
	kernel_set
	for q in $(seq $n); do
		make_app "slow$q" tmpl
	done
	mkfifo "$BULKHEAD_HOME/go"
	python3 - "$BULKHEAD_HOME/run/qubesd.sock" $n "$BULKHEAD_HOME/go" >"$BULKHEAD_HOME/answers" 3>&- <<-'END' &
		import array, os, socket, sys
		path, n, go = sys.argv[1], int(sys.argv[2]), sys.argv[3]
		held = []
		for i in range(1, n + 1):
		    r, w = os.pipe()
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(path)
		    s.sendmsg([b"bulkhead.vm.volume.ImportFile+private dom0 name slow%d\0" b"4096" % i],
		              [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [r]))])
		    s.shutdown(socket.SHUT_WR)
		    os.close(r)
		    held.append((s, w))
		open(go).read()
		for s, w in held:
		    os.write(w, b"x" * 4096)
		    os.close(w)
		for s, w in held:
		    got = b""
		    while b := s.recv(4096):
		        got += b
		    print("well" if got.endswith(b"0\0") else got, flush=True)
	END
	all_asked() { [ $(($(of n_jobs) + $(of n_jobs_waiting))) -ge $n ]; }
	within 30 all_asked
	waits
	[ "$(jobs_of import)" -lt $n ]
	# others of its volumes would be refused: it is being worked on, though its turn has not come
	[[ $(call admin.vm.Start "slow$n") == '2|QubesVMInUseError||'* ]]
	[ "$(call admin.vm.Start work)" = '0|' ]
	[ "$(call admin.vm.Kill work)" = '0|' ]
	make_app another tmpl
	[ "$(call admin.vm.volume.Resize+private another 3000000000)" = '0|' ]
	[ "$(call admin.vm.Remove another)" = '0|' ]
	echo >"$BULKHEAD_HOME/go"
	all_well() { [ "$(grep -c '^well$' "$BULKHEAD_HOME/answers")" = $n ]; }
	within 60 all_well
	[ "$(of n_jobs_waiting)" = 0 ]
}

@test "what waits when qubesd is killed is over when it begins anew" {
	local q n=20
	make_template tmpl
	kernel_set
	for q in $(seq $n); do
		make_app "slow$q" tmpl
	done
	python3 - "$BULKHEAD_HOME/run/qubesd.sock" $n 3>&- <<-'END' &
		import array, os, socket, sys
		path, n = sys.argv[1], int(sys.argv[2])
		r, w = os.pipe()
		held = []
		for i in range(1, n + 1):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(path)
		    s.sendmsg([b"bulkhead.vm.volume.ImportFile+private dom0 name slow%d\0" b"4096" % i],
		              [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [r]))])
		    s.shutdown(socket.SHUT_WR)
		    held.append(s)
		for s in held:
		    while s.recv(4096):
		        pass
	END
	all_asked() { [ $(($(of n_jobs) + $(of n_jobs_waiting))) -ge $n ]; }
	within 30 all_asked
	waits
	daemon_kill
	daemon_start
	[ "$(of n_jobs_waiting)" = 0 ]
	for q in $(seq $n); do
		[ "$(call admin.vm.Start "slow$q")" = '0|' ]
	done
}

@test "a qube whose netvms are very many behind each other is refused, and one with some starts them all" {
	local q n=66
	make_template tmpl
	kernel_set
	make_app net0 tmpl
	for q in $(seq $n); do
		make_app "net$q" tmpl
		[ "$(call admin.vm.property.Set+provides_network "net$((q - 1))" True)" = '0|' ]
		[ "$(call admin.vm.property.Set+memory "net$q" 32)" = '0|' ]
		[ "$(call admin.vm.property.Set+netvm "net$q" "net$((q - 1))")" = '0|' ]
	done
	[[ $(call admin.vm.Start net$n) == '2|QubesVMError||'*'through more than 64 others'* ]]
	is net0 Halted
	[ "$(call admin.vm.Start net9)" = '0|' ]
	is net0 Running
}

@test "an instance takes away its own sockets, not those of another one that has the same folder" {
	local dir="$BULKHEAD_HOME/doors" first second
	mkdir "$dir"
	there() { [[ $(printf 'admin.vm.List dom0 name dom0\0' | timeout 20 socat -t20 - "UNIX-CONNECT:$dir/qubesd.sock" 2>/dev/null | tr '\0' '|') == 0\|dom0* ]]; }
	serves() { grep -q serving "$BULKHEAD_HOME/$1.log"; }
	for q in first second; do
		mkdir "$BULKHEAD_HOME/$q"
		BULKHEAD_HOME="$BULKHEAD_HOME/$q" "$qubesd" --socket-dir "$dir" 2>"$BULKHEAD_HOME/$q.log" 3>&- &
		printf -v "$q" %s $!
		within 10 serves "$q"
	done
	there
	kill "$first"
	wait "$first" || true
	there
	kill "$second"
	wait "$second" || true
	[ -z "$(ls "$dir")" ]
	rm -rf "$(readlink "$BULKHEAD_HOME/first/run")" "$(readlink "$BULKHEAD_HOME/second/run")"
}

@test "where qubes have run a lost store is not begun anew by itself, wherever their volumes are" {
	daemon_stop
	rm "$BULKHEAD_HOME"/state/store.db*
	touch "$BULKHEAD_HOME/state/log/guest-work.log"
	run -1 timeout 20 "$qubesd"
	[[ $output == *'has logs of 1 qube that ran'*'--begin-anew'* ]]
	[ ! -e "$BULKHEAD_HOME/state/store.db" ]
	rm "$BULKHEAD_HOME/state/log/guest-work.log"
	daemon_start
}

@test "where no inotify instance is left it serves all the same" {
	local bare='echo 0 >/proc/sys/user/max_inotify_instances; exec "$@"'
	unshare --user --map-root-user sh -c "$bare" sh true || skip "no namespaces for users here"
	daemon_kill
	# shellcheck disable=SC2154
	unshare --user --map-root-user sh -c "$bare" sh "$qubesd" 2>>"$BULKHEAD_HOME/log" 3>&- &
	daemon=$!
	within 20 answers
	grep -q 'no inotify instance is left' "$BULKHEAD_HOME/log"
}
