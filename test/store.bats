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
