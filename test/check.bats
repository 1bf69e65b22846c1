#!/usr/bin/env bats
# bulkhead check: damage of each kind, made by hand, is found, named and mended. Qubes that run here do nothing (vmm/none).
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib

# store SQL: done to the store of an instance that does not run
store() {
	python3 - "$BULKHEAD_HOME/state/store.db" "$1" <<-'END'
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1])
		for statement in sys.argv[2].split(";"):
		    for row in db.execute(statement):
		        print(*row)
		db.commit()
	END
}

# found KIND SUBJECT WORDS STATE: the last `run` of bulkhead check --json said so
found() {
	jq -e --arg kind "$1" --arg subject "$2" --arg words "$3" --arg state "$4" \
		'any(.[]; .kind == $kind and (.subject | contains($subject)) and (.text | contains($words)) and .state == $state and (.advice | length) > 5)' \
		<<<"$output" >/dev/null || {
		echo "not found: $*"
		echo "$output"
		return 1
	}
}

# folder QUBE: of its volumes, without asking qubesd
folder() {
	echo "$BULKHEAD_HOME/state/pools/default/vm/$(store "SELECT uuid FROM qube WHERE name='$1'")"
}

# over FILE OFFSET TEXT: bytes of a file that is not for writing
over() {
	local mode
	mode=$(stat -c %a "$1")
	chmod u+w "$1"
	printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
	chmod "$mode" "$1"
}

# dead_socket PATH: a socket whose listener has gone
dead_socket() {
	mkdir -p "$(dirname "$1")"
	python3 -c 'import os, socket, sys; os.chdir(sys.argv[1]); s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[2]); s.listen()' \
		"$(dirname "$1")" "$(basename "$1")"
}

kernel_set() {
	mkdir -p "$BULKHEAD_HOME/state/kernels/1"
	touch "$BULKHEAD_HOME/state/kernels/1/"{vmlinuz,initramfs,modules.img}
}

clean() {
	run --separate-stderr timeout 60 bulkhead check --json
	echo "$output"
	[ "$status" = 0 ]
	[ "$(jq length <<<"$output")" = 0 ]
}

@test "nothing is found where nothing is: qubesd up, down, killed, with a qube that runs" {
	make_template tmpl
	make_app work tmpl
	kernel_set
	clean
	[ "$(ask 'admin.vm.Start dom0 name work\0')" = '0|' ]
	clean
	run -0 bulkhead check
	[[ $output == *"nothing found"* ]]
	[ "$(ask 'admin.vm.Kill dom0 name work\0')" = '0|' ]
	daemon_stop
	clean
}

@test "called wrongly: 2, and what is asked for is told" {
	run -2 bulkhead check --mend
	run -2 bulkhead check store
	run -0 bulkhead check --help
	[[ $output == *--repair* ]]
}

@test "rows that belong to nobody and references to nothing are found, and mended to nothing more than before" {
	make_template tmpl
	make_app work tmpl
	make_app lost tmpl
	daemon_stop
	local was
	was=$(store "SELECT name, class, uuid FROM qube ORDER BY name")
	store "INSERT INTO property VALUES (77,'memory','300'); INSERT INTO feature VALUES (78,'a','b'); INSERT INTO tag VALUES (79,'t');
		INSERT INTO document VALUES (80,'notes','x'); INSERT INTO operation VALUES (900,81,'run','5');
		INSERT INTO volume SELECT 82,name,pool,vid||'x',size,rw,save_on_stop,snap_on_start,ephemeral,revisions_to_keep FROM volume WHERE name='private' LIMIT 1;
		INSERT OR REPLACE INTO property SELECT qid,'netvm','999' FROM qube WHERE name='work';
		INSERT OR REPLACE INTO property SELECT qid,'label','99' FROM qube WHERE name='work';
		INSERT OR REPLACE INTO property SELECT qid,'colour','x' FROM qube WHERE name='work';
		INSERT OR REPLACE INTO property SELECT qid,'template','999' FROM qube WHERE name='lost';
		INSERT OR REPLACE INTO global VALUES ('default_netvm','999')"
	run --separate-stderr -1 bulkhead check --json
	local before=$output table
	for table in properties features tags 'notes, firewall rules or a menu' 'unfinished operation' volumes; do
		found store store "$table of qube number" can
	done
	found store work 'netvm names a qube that is not there' can
	found store work 'no label' can
	found store work 'property colour' can
	found store lost 'template (number 999) is not there' hand
	found store store "default_netvm" can
	# looking has changed nothing
	run --separate-stderr -1 bulkhead check --json
	[ "$output" = "$before" ]
	# qubesd runs: looked at, and left
	daemon_start
	run --separate-stderr -1 bulkhead check --repair --json
	found store work 'netvm names a qube that is not there' stopped
	daemon_stop
	run --separate-stderr -1 bulkhead check --repair --json
	found store work 'netvm names a qube that is not there' mended
	found store lost 'template (number 999) is not there' hand
	run --separate-stderr -1 bulkhead check --json
	[ "$(jq length <<<"$output")" = 1 ]
	[ "$(store "SELECT name, class, uuid FROM qube ORDER BY name")" = "$was" ]
	daemon_start
	# none, not the default: it does not get a network that it had not
	[ "$(ask 'admin.vm.property.Get+netvm dom0 name work\0')" = '0|default=False type=vm ' ]
	[ "$(ask 'admin.vm.property.Get+label dom0 name work\0')" = '0|default=False type=label red' ]
	[ "$(ask 'admin.vm.property.Set+template dom0 name lost\0tmpl')" = '0|' ]
	clean
}

@test "a damaged file of the store: an index is made again, what is worse is named and left as it is" {
	local db=$BULKHEAD_HOME/state/store.db sum
	make_template tmpl
	make_app work tmpl
	daemon_stop
	python3 - "$db" <<-'END'
		import sqlite3, sys
		db = sqlite3.connect(sys.argv[1])
		size, = db.execute("PRAGMA page_size").fetchone()
		page, = db.execute("SELECT rootpage FROM sqlite_master WHERE name='sqlite_autoindex_qube_1'").fetchone()
		db.close()
		with open(sys.argv[1], "r+b") as f:
		    f.seek((page - 1) * size)
		    bytes = f.read(size)
		    assert b"work" in bytes
		    f.seek((page - 1) * size)
		    f.write(bytes.replace(b"work", b"wurk"))
	END
	run --separate-stderr -1 bulkhead check --json
	found store store damaged can
	run --separate-stderr -0 bulkhead check --repair --json
	found store store damaged mended
	clean
	daemon_start
	[[ $(ask 'admin.vm.List dom0 name work\0') == '0|work '* ]]
	daemon_stop
	over "$db" 100 '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'
	sum=$(sha256sum "$db")
	run --separate-stderr -1 bulkhead check --repair --json
	found store store damaged hand
	[ "$(sha256sum "$db")" = "$sum" ]
}

@test "volumes: missing, damaged, half written, larger than the store says" {
	local q sum root
	make_template tmpl
	for q in gone broken crashed large based tables; do
		make_app $q tmpl
	done
	daemon_stop
	rm -r "$(folder gone)/private"
	over "$(folder broken)/private/1.qcow2" 0 garbage!
	printf 'garbage!' >"$(folder crashed)/private/2.work"
	store "UPDATE volume SET size=512 WHERE name='private' AND qid=(SELECT qid FROM qube WHERE name='large')"
	# an overlay whose base has gone
	qemu-img create -q -f qcow2 -F qcow2 -b 1.qcow2 "$(folder based)/private/2.qcow2" >/dev/null
	mv "$(folder based)/private/1.qcow2" "$BULKHEAD_HOME/1.qcow2"
	# a sound header, and an L1 table that leads out of the file
	over "$(folder tables)/private/1.qcow2" 40 '\x00\x00\x00\xff\x00\x00\x00\x00'
	root=$(folder tmpl)/root
	mv "$root" "$root.was"
	sum=$(sha256sum "$(folder broken)/private/1.qcow2")
	run --separate-stderr -1 bulkhead check --json
	found volume gone:private 'are not there' can
	found volume broken:private 'not a sound qcow2' hand
	found volume crashed:private 'not a sound qcow2' can
	found volume large:private 'the store says 512' can
	found volume based:private '1.qcow2, which is missing' hand
	found volume tables:private 'not a sound qcow2' hand
	found volume tmpl:root 'are not there' hand
	[ "$(jq length <<<"$output")" = 7 ]
	run --separate-stderr -1 bulkhead check --repair --json
	found volume gone:private 'are not there' mended
	found volume crashed:private 'not a sound qcow2' mended
	found volume large:private 'the store says' mended
	[ "$(cat "$(folder crashed)/private/2.damaged")" = 'garbage!' ]
	# once more, of the same number
	printf 'again' >"$(folder crashed)/private/2.work"
	run --separate-stderr -1 bulkhead check --repair --json
	found volume crashed:private 'not a sound qcow2' mended
	[ "$(cat "$(folder crashed)/private/"2{,.2}.damaged)" = 'garbage!again' ]
	[ "$(sha256sum "$(folder broken)/private/1.qcow2")" = "$sum" ]
	mv "$root.was" "$root"
	run --separate-stderr -1 bulkhead check --json
	[ "$(jq -r 'map(.subject) | sort | join(" ")' <<<"$output")" = 'based:private broken:private tables:private' ]
	kernel_set
	daemon_start
	for q in gone crashed large; do
		[ "$(ask "admin.vm.Start dom0 name $q\0")" = '0|' ]
	done
}

@test "a pool that is not there, as a disk that is not mounted, is not filled with empty volumes" {
	make_template tmpl
	make_app work tmpl
	daemon_stop
	mv "$BULKHEAD_HOME/state/pools/default/vm" "$BULKHEAD_HOME/vm"
	run --separate-stderr -1 bulkhead check --repair --json
	found volume work:private 'are not there' hand
	[ ! -e "$BULKHEAD_HOME/state/pools/default/vm" ]
	mv "$BULKHEAD_HOME/vm" "$BULKHEAD_HOME/state/pools/default/vm"
	clean
}

# left_alone FOLDER PROCESS: nothing was put aside or ended
left_alone() {
	[ -d "$1/private" ]
	[ ! -e "$BULKHEAD_HOME/state/pools/default/lost" ]
	kill -0 "$2"
}

@test "a store that is missing, or does not tell of all qubes, makes nobody an orphan" {
	local db=$BULKHEAD_HOME/state/store.db work pid what
	make_template tmpl
	make_app work tmpl
	kernel_set
	[ "$(ask 'admin.vm.Start dom0 name work\0')" = '0|' ]
	daemon_kill
	work=$(folder work)
	# what runs as a qube's process would be ended
	cp "$(command -v sleep)" "$BULKHEAD_HOME/vchand"
	setsid --fork sh -c "'$BULKHEAD_HOME/vchand' 300 >/dev/null 2>&1 3>&- & echo \$! >'$BULKHEAD_HOME/pid'"
	within 10 test -s "$BULKHEAD_HOME/pid"
	pid=$(cat "$BULKHEAD_HOME/pid")
	store "UPDATE qube SET class='CloudVM' WHERE name='work'"
	for what in 1 2; do
		run --separate-stderr -1 bulkhead check --repair --json
		found store work 'class is CloudVM' hand
		found leftover "$work" '' hand
		found leftover "vchand, process $pid" '' hand
		left_alone "$work" "$pid"
	done
	store "UPDATE qube SET class='AppVM' WHERE name='work'; UPDATE qube SET qid=7777 WHERE qid=0"
	run --separate-stderr -1 bulkhead check --repair --json
	found store store 'no dom0' hand
	left_alone "$work" "$pid"
	store "UPDATE qube SET qid=0 WHERE qid=7777"
	mkdir "$BULKHEAD_HOME/away"
	mv "$db"* "$BULKHEAD_HOME/away"
	for what in missing empty; do
		[ $what = missing ] || touch "$db"
		run --separate-stderr -1 bulkhead check --json
		found store store 'missing or empty' hand
		run --separate-stderr -1 bulkhead check --repair --json
		found store store 'missing or empty' hand
		[ "$(jq length <<<"$output")" = 1 ]
		left_alone "$work" "$pid"
		[ ! -s "$db" ]
	done
	mv "$BULKHEAD_HOME/away/"* "$(dirname "$db")"
	# and with all of it there what is nobody's goes
	run --separate-stderr -0 bulkhead check --repair --json
	found leftover "vchand, process $pid" '' mended
	clean
}

# leave_behind: of each kind of leftover one
leave_behind() {
	local run
	run=$(readlink "$BULKHEAD_HOME/run")
	mkdir -p "$BULKHEAD_HOME/state/pools/default/vm/$1/private" "$run/q/77/vchan" "$run/qubes" "$run/terminals"
	echo precious >"$BULKHEAD_HOME/state/pools/default/vm/$1/private/1.qcow2"
	dead_socket "$run/q/77/monitor.sock"
	echo x >"$run/q/99.clean"
	dead_socket "$run/qubes/qubesdb.gone.sock"
	dead_socket "$run/terminals/gone.1234"
	ln -sf qrexec.77 "$run/qubes/qrexec.gone"
}

@test "what no qube owns is found and mended, whether qubesd runs or not; volumes are put aside, not deleted" {
	local uuid=12345678-1234-4234-8234-123456789abc way run words pid
	run=$(readlink "$BULKHEAD_HOME/run")
	make_template tmpl
	make_app work tmpl
	kernel_set
	for way in up down; do
		[ $way = up ] || daemon_stop
		leave_behind $uuid
		cp "$(command -v sleep)" "$BULKHEAD_HOME/vchand"
		# it has no monitor for a parent
		setsid --fork sh -c "'$BULKHEAD_HOME/vchand' 300 >/dev/null 2>&1 3>&- & echo \$! >'$BULKHEAD_HOME/pid'"
		within 10 test -s "$BULKHEAD_HOME/pid"
		pid=$(cat "$BULKHEAD_HOME/pid")
		rm "$BULKHEAD_HOME/pid"
		run --separate-stderr -1 bulkhead check --json
		for words in "vm/$uuid" q/77 99.clean qubesdb.gone.sock terminals/gone.1234 qrexec.gone "vchand, process $pid"; do
			found leftover "$words" '' can
		done
		[ "$(jq length <<<"$output")" = 7 ]
		# without a terminal nobody is asked, and nothing is done
		run --separate-stderr -1 bulkhead check </dev/null
		[[ $stderr == *"7 of 7 findings can be mended: bulkhead check --repair"* ]]
		[ -e "$run/q/77/monitor.sock" ]
		run --separate-stderr -0 bulkhead check --repair --json
		# the sockets and links of a qube go with its folder
		jq -e 'length > 3 and all(.state == "mended")' <<<"$output"
		[ ! -e "$run/q/77" ]
		within 10 eval "[[ \$(ps -o stat= -p $pid) != [!Z]* ]]"
		clean
	done
	# the second one did not go over the first
	[ "$(cat "$BULKHEAD_HOME/state/pools/default/lost/"$uuid{,.2}/private/1.qcow2)" = $'precious\nprecious' ]
	daemon_start
	[ "$(ask 'admin.vm.Start dom0 name work\0')" = '0|' ]
}

@test "processes whose qube has gone are found without BULKHEAD_HOME: by their arguments, or by what they have open" {
	local run how pid
	run=$(readlink "$BULKHEAD_HOME/run")
	mkdir -p "$run/vchan"
	cp "$(command -v sleep)" "$BULKHEAD_HOME/vchand"
	cp "$(command -v tail)" "$BULKHEAD_HOME/qrexec-broker"
	cp "$(command -v tail)" "$BULKHEAD_HOME/qrexec-daemon"
	touch "$run/vchan/here" "$BULKHEAD_HOME/elsewhere" "$BULKHEAD_HOME/run.other"
	for how in descriptor option path other; do
		case $how in
		descriptor) set -- "'$BULKHEAD_HOME/vchand' 300 7<'$run/vchan'" ;;
		option) set -- "'$BULKHEAD_HOME/qrexec-broker' -f '$BULKHEAD_HOME/elsewhere' -- --run-dir='$run'" ;;
		path) set -- "'$BULKHEAD_HOME/qrexec-daemon' -f '$run/vchan/here'" ;;
		# of another instance, whose folder begins with the same words
		other) set -- "'$BULKHEAD_HOME/qrexec-daemon' -f '$BULKHEAD_HOME/elsewhere' '${run}er'" ;;
		esac
		env -u BULKHEAD_HOME setsid --fork bash -c "$1 >/dev/null 2>&1 3>&- & echo \$! >'$BULKHEAD_HOME/pid'"
		within 10 test -s "$BULKHEAD_HOME/pid"
		pid=$(cat "$BULKHEAD_HOME/pid")
		rm "$BULKHEAD_HOME/pid"
		within 10 eval '[[ $(ps -o comm= -p $pid) == vchand || $(ps -o comm= -p $pid) == qrexec-* ]]'
		run --separate-stderr bulkhead check --json
		if [ $how = other ]; then
			[ "$(jq length <<<"$output")" = 0 ]
			kill "$pid"
			continue
		fi
		found leftover ", process $pid" 'whose qube has ended' can
		run --separate-stderr -0 bulkhead check --repair --json
		within 10 eval "[[ \$(ps -o stat= -p $pid) != [!Z]* ]]"
	done
}

@test "a disposable that stays once it is halted is held by nobody after that, whatever qubesd missed" {
	make_template tmpl
	make_app work tmpl
	[ "$(ask 'admin.vm.property.Set+template_for_dispvms dom0 name work\0True')" = '0|' ]
	[ "$(ask 'admin.vm.Create.DispVM+work dom0 name dom0\0name=disp label=red')" = '0|' ]
	daemon_stop
	store "INSERT INTO operation SELECT 900,qid,'hold','' FROM qube WHERE name='disp'"
	daemon_start
	daemon_stop
	[ -z "$(store "SELECT * FROM operation")" ]
	[ "$(store "SELECT name FROM qube WHERE name='disp'")" = disp ]
}

@test "on a terminal it asks first: no leaves everything, yes mends" {
	local uuid=12345678-1234-4234-8234-123456789abc
	mkdir -p "$BULKHEAD_HOME/state/pools/default/vm/$uuid"
	run -1 timeout 30 script -qec "bulkhead check" /dev/null <<<n
	[[ $output == *"Mend 1 of these 1?"* ]]
	[ -d "$BULKHEAD_HOME/state/pools/default/vm/$uuid" ]
	run -0 timeout 30 script -qec "bulkhead check" /dev/null <<<y
	[[ $output == *"mended: "* ]]
	[ -d "$BULKHEAD_HOME/state/pools/default/lost/$uuid" ]
}

@test "killed anywhere in a repair, it is done to the same end by the next; what is sound is never touched" {
	local i round n=25 q sums whole uuid
	! full_counts || n=1000
	make_template tmpl
	for q in one two three four; do
		make_app $q tmpl
	done
	daemon_stop
	store "UPDATE volume SET size=512 WHERE name='private' AND qid=(SELECT qid FROM qube WHERE name='one');
		INSERT OR REPLACE INTO property SELECT qid,'netvm','999' FROM qube WHERE name='two';
		INSERT INTO feature VALUES (78,'a','b'); INSERT INTO tag VALUES (79,'t')"
	printf 'garbage!' >"$(folder three)/private/2.work"
	rm -r "$(folder four)/private"
	for i in 1 2 3 4 5; do
		uuid=12345678-1234-4234-8234-12345678900$i
		mkdir -p "$BULKHEAD_HOME/state/pools/default/vm/$uuid/private"
		echo $i >"$BULKHEAD_HOME/state/pools/default/vm/$uuid/private/1.qcow2"
	done
	cp -a "$BULKHEAD_HOME/state" "$BULKHEAD_HOME/state.was"
	sums=$(cd "$BULKHEAD_HOME/state/pools/default/vm" && sha256sum "$(store "SELECT uuid FROM qube WHERE name='tmpl'")"/*/*.qcow2 "$(store "SELECT uuid FROM qube WHERE name='one'")"/*/*.qcow2)
	# picture: all that counts
	picture() {
		(cd "$BULKHEAD_HOME/state" && find pools | sort && cat pools/default/lost/*/private/1.qcow2 && sha256sum --quiet -c <<<"${sums//  /  pools/default/vm/}")
		store "$(printf 'SELECT * FROM %s;' qube property feature tag volume global operation)"
	}
	bulkhead check --repair >&2
	whole=$(picture)
	RANDOM=${BATS_SEED:-$$}
	echo "BATS_SEED=${BATS_SEED:-$$}"
	for ((round = 0; round < n; round++)); do
		rm -rf "$BULKHEAD_HOME/state"
		cp -a "$BULKHEAD_HOME/state.was" "$BULKHEAD_HOME/state"
		timeout -s KILL "0.$(printf %03d $((RANDOM % 40)))" "$libexec/bulkhead-check" --repair >"$BULKHEAD_HOME/said" 2>&1 || true
		echo "round $round: $(grep -c mended "$BULKHEAD_HOME/said") mended"
		run bulkhead check --repair
		echo "$output"
		[ "$status" = 0 ]
		[ "$(picture)" = "$whole" ]
	done
}
