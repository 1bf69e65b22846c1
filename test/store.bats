#!/usr/bin/env bats
# What the store keeps, through the API, when qubesd or the disk fails it. Its power cuts: dom0/qubesd/store/test-power-cut.c.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib

@test "kill -9 at random moments under load: each change answered is there, and none in part" {
	local rounds=30 q
	! full_counts || rounds=10000
	make_template tmpl
	for q in a b c d; do
		make_app $q tmpl
	done
	daemon_stop
	python3 - "$qubesd" "$BULKHEAD_HOME" "$rounds" "${BATS_SEED:-$$}" <<-'END'
		import random, socket, subprocess, sys, threading, time
		program, home, rounds, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
		print("BATS_SEED=%d" % seed)
		random.seed(seed)
		path = home + "/run/qubesd.sock"
		log = open(home + "/log", "ab")

		def call(request):
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(30)
		    try:
		        s.connect(path)
		        s.sendall(request)
		        s.shutdown(socket.SHUT_WR)
		        answer = b""
		        while True:
		            more = s.recv(65536)
		            if not more:
		                return answer
		            answer += more
		    except OSError:
		        return b""
		    finally:
		        s.close()

		# what a worker sets, and how it is read back
		kinds = [("admin.vm.feature.Set+f", "admin.vm.feature.Get+f", b"0\0"),
		         ("admin.vm.property.Set+qrexec_timeout", "admin.vm.property.Get+qrexec_timeout", b"0\0default=False type=int "),
		         ("admin.vm.notes.Set", "admin.vm.notes.Get", b"0\0")]
		workers = [(q, kind) for q in "abcd" for kind in kinds]
		sent, answered = [100] * len(workers), [0] * len(workers)

		def work(i, begun):
		    q, (put, _, _) = workers[i]
		    begun.wait()
		    while True:
		        sent[i] += 1
		        answer = call(b"%s dom0 name %s\0%d" % (put.encode(), q.encode(), sent[i]))
		        if not answer:
		            return
		        assert answer == b"0\0", answer
		        answered[i] = sent[i]

		def begin():
		    daemon = subprocess.Popen([program], stderr=log)
		    end = time.monotonic() + 30
		    while not call(b"admin.vm.List dom0 name dom0\0").startswith(b"0\0"):
		        assert daemon.poll() is None and time.monotonic() < end, "qubesd does not come up"
		        time.sleep(0.002)
		    return daemon

		daemon = begin()
		for n in range(rounds):
		    begun = threading.Event()
		    threads = [threading.Thread(target=work, args=(i, begun)) for i in range(len(workers))]
		    for t in threads:
		        t.start()
		    begun.set()
		    time.sleep(random.random() ** 2 * 0.2)
		    daemon.kill()
		    daemon.wait()
		    for t in threads:
		        t.join()
		    daemon = begin()
		    for i, (q, (_, get, prefix)) in enumerate(workers):
		        if answered[i] == 0:
		            continue
		        answer = call(b"%s dom0 name %s\0" % (get.encode(), q.encode()))
		        assert answer.startswith(prefix), answer
		        there = int(answer[len(prefix):])
		        # the one that was under way may be there too
		        assert answered[i] <= there <= sent[i], (n, q, get, answered[i], there, sent[i])
		daemon.kill()
		daemon.wait()
		print("%d changes were answered" % (sum(answered) - 100 * sum(a > 0 for a in answered)))
		assert min(answered) > 0, answered
	END
	# and it is whole: no row of nobody
	run -0 bulkhead check
}

@test "a disk that cannot be written any more: told, nothing changes, and it goes on when it can" {
	if [ "$(id -u)" != 0 ]; then
		again_as_root
		return
	fi
	make_template tmpl
	make_app work tmpl
	daemon_stop
	mkdir "$BULKHEAD_HOME/disk"
	mount -t tmpfs -o size=8m disk "$BULKHEAD_HOME/disk" || skip "no mounting here"
	cp -a "$BULKHEAD_HOME/state/." "$BULKHEAD_HOME/disk/"
	mv "$BULKHEAD_HOME/state" "$BULKHEAD_HOME/state.was"
	ln -s disk "$BULKHEAD_HOME/state"
	# read-only from the start: qubesd does not come up, and says why
	mount -o remount,ro "$BULKHEAD_HOME/disk"
	run -1 timeout 20 "$qubesd"
	[[ $output == *[Rr]ead-only* ]]
	mount -o remount,rw "$BULKHEAD_HOME/disk"
	daemon_start
	[ "$(ask 'admin.vm.feature.Set+f dom0 name work\01')" = '0|' ]
	daemon_stop
	umount "$BULKHEAD_HOME/disk"
}

# lost_store WHAT: the store of the instance, which does not run, is lost in this way
lost_store() {
	local db=$BULKHEAD_HOME/state/store.db
	case $1 in
	missing) rm "$db"* ;;
	empty) rm "$db"* && touch "$db" ;;
	blank) # a file of the right kind in which nothing is
		rm "$db"*
		python3 - "$db" "$BULKHEAD_HOME/was/store.db" <<-'END'
			import sqlite3, sys
			new, was = sqlite3.connect(sys.argv[1]), sqlite3.connect(sys.argv[2])
			for sql, in was.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"):
			    new.execute(sql)
			new.execute("PRAGMA user_version=%d" % was.execute("PRAGMA user_version").fetchone())
			new.commit()
		END
		;;
	qubes) sqlite "DELETE FROM qube" ;;
	dom0) sqlite "DELETE FROM qube WHERE qid=0" ;;
	log) # its file is gone, what was not yet moved into it is there
		rm "$db"*
		head -c 5000 /dev/zero >"$db-wal"
		;;
	esac
}

sqlite() {
	python3 -c 'import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit()' \
		"$BULKHEAD_HOME/state/store.db" "$1"
}

# files [BUT]: of the state folder and of running qubes, with their contents
files() {
	(cd "$BULKHEAD_HOME" && find state run/none -type f ! -name '*.lock' ! -path 'state/log/*' ! -name '*.db-shm' ${1+! -name "$1"} -exec sha256sum {} + 2>/dev/null | sort -k2)
}

@test "a store that is lost while qubes run or have volumes is not begun anew unasked; nothing of theirs is touched" {
	local what how before but
	make_template tmpl
	make_app work tmpl
	mkdir -p "$BULKHEAD_HOME/state/kernels/1"
	touch "$BULKHEAD_HOME/state/kernels/1/"{vmlinuz,initramfs,modules.img}
	[ "$(ask 'admin.vm.Start dom0 name work\0')" = '0|' ]
	daemon_stop
	cp -a "$BULKHEAD_HOME/state" "$BULKHEAD_HOME/was"
	for how in both running volumes; do
		for what in missing empty blank qubes dom0 log; do
			rm -rf "$BULKHEAD_HOME/state"
			cp -a "$BULKHEAD_HOME/was" "$BULKHEAD_HOME/state"
			lost_store $what
			[ $how != running ] || rm -r "$BULKHEAD_HOME/state/pools"
			[ $how != volumes ] || mv "$BULKHEAD_HOME/run/none" "$BULKHEAD_HOME/run/none.away"
			mkdir -p "$BULKHEAD_HOME/state/pools/default"
			# an empty store of the right kind may come to have its log
			but=()
			[ $what != blank ] || but=("store.db*")
			before=$(files "${but[@]}")
			run -1 timeout 20 "$qubesd"
			echo "$how $what: $output"
			[[ $output == *store.db*"bulkhead check"*"--begin-anew"* ]]
			case $what:$how in
			qubes:* | dom0:*) [[ $output == *"no dom0"* ]] ;;
			log:volumes) [[ $output == *"holds changes of a store"* ]] ;;
			*:volumes) [[ $output == *"volumes of 2 qubes"* ]] ;;
			*) [[ $output == *"'work' runs"* ]] ;;
			esac
			[ "$(files "${but[@]}")" = "$before" ]
			# nor does a repair make them nobody's; it knows those that run by the files of real ones
			[ $how != running ] || mkdir -p "$BULKHEAD_HOME/run/q/1"
			run -1 timeout 60 bulkhead check --repair
			[[ $output == *"from a backup"* ]]
			[ "$(files "${but[@]}")" = "$before" ]
			[ $how != volumes ] || mv "$BULKHEAD_HOME/run/none.away" "$BULKHEAD_HOME/run/none"
		done
	done
	# put back, all is as it was
	rm -rf "$BULKHEAD_HOME/state"
	cp -a "$BULKHEAD_HOME/was" "$BULKHEAD_HOME/state"
	daemon_start
	[[ $(ask 'admin.vm.List dom0 name work\0') == *state=Running* ]]
}

@test "asked to begin anew it puts aside what there is of the store, ends what runs, and leaves the volumes" {
	local db=$BULKHEAD_HOME/state/store.db volumes sum
	make_template tmpl
	make_app work tmpl
	mkdir -p "$BULKHEAD_HOME/state/kernels/1"
	touch "$BULKHEAD_HOME/state/kernels/1/"{vmlinuz,initramfs,modules.img}
	[ "$(ask 'admin.vm.Start dom0 name work\0')" = '0|' ]
	daemon_kill
	volumes=$(find "$BULKHEAD_HOME/state/pools" -type f | sort)
	sum=$(cat "$db" "$db-wal" | sha256sum)
	qubesd_was=$qubesd
	printf '#!/bin/sh\nexec "%s" --begin-anew\n' "$qubesd" >"$BULKHEAD_HOME/anew"
	chmod +x "$BULKHEAD_HOME/anew"
	qubesd=$BULKHEAD_HOME/anew
	daemon_start
	[ "$(ask 'admin.vm.List dom0 name dom0\0' | wc -l)" = 1 ]
	[ "$(cat "$db.1" "$db.1-wal" | sha256sum)" = "$sum" ]
	within 10 eval '[ -z "$(ls "$BULKHEAD_HOME/run/none")" ]'
	[ "$(find "$BULKHEAD_HOME/state/pools" -type f | sort)" = "$volumes" ]
	daemon_stop
	# what was put aside is a store: here is the way back
	rm -f "$db" "$db-wal" "$db-shm"
	mv "$db.1" "$db"
	mv "$db.1-wal" "$db-wal"
	qubesd=$qubesd_was
	daemon_start
	[[ $(ask 'admin.vm.List dom0 name work\0') == *"class=AppVM"* ]]
	daemon_stop
	# a second one does not go over the first
	rm -rf "$BULKHEAD_HOME/state/pools"/*/vm
	qubesd=$BULKHEAD_HOME/anew
	daemon_start
	daemon_stop
	daemon_start
	[ -e "$db.1" ]
	[ -e "$db.2" ]
}

@test "a disk that turns read-only under a running qubesd: each change is refused whole, reads go on, and so does all once it is mounted again" {
	[ "$(id -u)" = 0 ] || skip "only root has loop devices"
	local disk=$BULKHEAD_HOME/disk dev before
	make_template tmpl
	make_app work tmpl
	make_app gone tmpl
	daemon_stop
	truncate -s 96M "$BULKHEAD_HOME/image"
	mke2fs -q -t ext4 -O ^has_journal "$BULKHEAD_HOME/image"
	mkdir "$disk"
	# each time another device, which goes when it is unmounted: a namespace made meanwhile by somebody may keep the last one
	attach() {
		dev=$(losetup -f --show "$BULKHEAD_HOME/image") || return
		mount -o errors=remount-ro "$dev" "$disk" || {
			losetup -d "$dev"
			return 1
		}
		losetup -d "$dev"
	}
	attach || skip "no loop devices here"
	[ -e "/sys/fs/ext4/${dev#/dev/}/trigger_fs_error" ] || {
		umount "$disk"
		skip "this kernel has no way to make a file system fail"
	}
	cp -a "$BULKHEAD_HOME/state/." "$disk/"
	sync -f "$disk"
	mv "$BULKHEAD_HOME/state" "$BULKHEAD_HOME/state.was"
	ln -s disk "$BULKHEAD_HOME/state"
	daemon_start
	[ "$(ask 'admin.vm.feature.Set+f dom0 name work\0kept')" = '0|' ]
	# told: all that one can see
	told() {
		ask 'bulkhead.List dom0 name dom0\0name\nklass\nlabel\nmemory\ntags\nfeature:f'
		ask 'admin.vm.notes.Get dom0 name work\0'
		ask 'admin.pool.List dom0 name dom0\0'
		ask 'admin.label.List dom0 name dom0\0'
	}
	# refused WORDS: each kind of change is answered with them, and nothing is seen of it
	refused_all() {
		local request
		for request in 'admin.vm.feature.Set+f dom0 name work\0lost' 'admin.vm.feature.Remove+f dom0 name work\0' \
			'admin.vm.property.Set+memory dom0 name work\0500' 'admin.property.Set+default_netvm dom0 name dom0\0' \
			'admin.vm.tag.Set+t dom0 name work\0' 'admin.vm.notes.Set dom0 name work\0note' \
			'admin.label.Create+moss dom0 name dom0\00x123456' 'bulkhead.vm.Rename+other dom0 name work\0' \
			'admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=new label=red' 'admin.vm.Remove dom0 name gone\0' \
			'admin.vm.volume.Set.revisions_to_keep+private dom0 name work\05' 'admin.pool.Set.revisions_to_keep+default dom0 name dom0\03' \
			'admin.vm.firewall.Set dom0 name work\0action=drop'; do
			run ask "$request"
			echo "$request: $output"
			[[ $output == '2|QubesException|'*"$1"*'Nothing was changed'* ]]
		done
		[ "$(told)" = "$before" ]
	}
	before=$(told)
	# what a file system does that finds itself damaged, and nothing else does while files are open for writing
	echo 1 >"/sys/fs/ext4/${dev#/dev/}/trigger_fs_error"
	refused_all "read-only"
	# only unmounting ends that: what was answered is there, nothing else is
	daemon_kill
	umount "$disk"
	e2fsck -fy "$BULKHEAD_HOME/image" >/dev/null 2>&1 || true
	attach
	daemon_start || {
		tail -5 "$BULKHEAD_HOME/log"
		false
	}
	[ "$(told)" = "$before" ]
	run -0 bulkhead check
	[ "$(ask 'admin.vm.feature.Set+f dom0 name work\0more')" = '0|' ]
	daemon_stop
	umount "$disk"
}
