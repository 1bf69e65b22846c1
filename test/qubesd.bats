#!/usr/bin/env bats
# qubesd as its clients meet it: real daemon, raw frames, and what must not happen. No qube runs here.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib

qubesd="$libexec/qubesd"
load qubesd-lib

# all that must not change when something is refused
picture() {
	ask 'bulkhead.List dom0 name dom0\0name\nlabel\nmemory\nnetvm\ntemplate\ntags\nqid\nautostart'
	ask 'admin.property.GetAll dom0 name dom0\0'
	find "$BULKHEAD_HOME/state/pools" | sort
}

@test "qubesd and its children are without the system calls that nobody needs" {
	grep -qx 'Seccomp:[[:space:]]*2' "/proc/$daemon/status"
	grep -qx 'NoNewPrivs:[[:space:]]*1' "/proc/$daemon/status"
}

@test "a qube is created, found by name and uuid, changed and removed with its files" {
	make_template tmpl
	make_app work tmpl
	run ask 'admin.vm.List dom0 name work\0'
	[[ $output =~ ^0\|work\ class=AppVM\ state=Halted\ uuid=([0-9a-f-]{36})$ ]]
	local uuid=${BASH_REMATCH[1]}
	[ "$(ask "admin.vm.property.Get+name dom0 name uuid:$uuid\0")" = '0|default=False type=str work' ]
	[ "$(ask 'admin.vm.property.Set+memory dom0 name work\0500')" = '0|' ]
	[ "$(ask 'admin.vm.property.Get+memory dom0 name work\0')" = '0|default=False type=int 500' ]
	[ "$(ask 'admin.vm.property.Reset+memory dom0 name work\0')" = '0|' ]
	[ "$(ask 'admin.vm.property.Get+memory dom0 name work\0')" = '0|default=True type=int 400' ]
	[ -d "$BULKHEAD_HOME/state/pools/default/vm/$uuid" ]
	[ "$(ask 'admin.vm.Remove dom0 name work\0')" = '0|' ]
	[ -z "$(find "$BULKHEAD_HOME/state/pools" -name "$uuid*")" ]
	[[ $(ask 'admin.vm.List dom0 name work\0') == '2|QubesVMNotFoundError|'* ]]
}

@test "what is wrong is refused with a reason, and nothing changes" {
	make_template tmpl
	make_app work tmpl
	local before row frame type
	before=$(picture)
	while IFS='~' read -r frame type; do
		[ -n "$frame" ] || continue
		# @N@ stands for N letters
		[[ $frame != *@[0-9]*@ ]] || frame=${frame/@*@/$(head -c "$(grep -o '@[0-9]*@' <<<"$frame" | tr -d @)" /dev/zero | tr '\0' x)}
		row=$(ask "$frame")
		echo "$frame -> $row"
		[[ $row == "2|$type||"?* ]]
	done <<-'END'
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=1x label=red~QubesValueError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=none label=red~QubesValueError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=x-dm label=red~QubesValueError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa label=red~QubesValueError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=b%%b label=red~QubesValueError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=work label=red~QubesVMAlreadyExistsError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=dom0 label=red~QubesVMAlreadyExistsError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=new label=pink~QubesLabelNotFoundError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=new~ProtocolError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0label=red~ProtocolError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=new label=red name=newer~ProtocolError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=new label=red pool=default~ProtocolError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=new label=red\n~ProtocolError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0rubbish~ProtocolError
		admin.vm.Create.AppVM+tmpl dom0 name dom0\0~ProtocolError
		admin.vm.Create.AppVM+nobody dom0 name dom0\0name=new label=red~QubesVMNotFoundError
		admin.vm.Create.AppVM+work dom0 name dom0\0name=new label=red~QubesValueError
		admin.vm.Create.TemplateVM+tmpl dom0 name dom0\0name=new label=red~QubesValueError
		admin.vm.Create.AppVM+tmpl dom0 name work\0name=new label=red~ProtocolError
		admin.vm.Create.DispVM+tmpl dom0 name dom0\0name=new label=red~QubesException
		admin.vm.Create.Other+tmpl dom0 name dom0\0name=new label=red~ProtocolError
		admin.vm.CreateInPool.AppVM+tmpl dom0 name dom0\0name=new label=red pool=none~QubesException
		admin.vm.property.Set+memory dom0 name work\00~QubesPropertyValueError
		admin.vm.property.Set+memory dom0 name work\0-1~QubesPropertyValueError
		admin.vm.property.Set+memory dom0 name work\0lots~QubesPropertyValueError
		admin.vm.property.Set+memory dom0 name work\0999999999~QubesPropertyValueError
		admin.vm.property.Set+name dom0 name work\0other~QubesPropertyValueError
		admin.vm.property.Set+qid dom0 name work\07~QubesPropertyValueError
		admin.vm.property.Set+label dom0 name work\0~QubesPropertyValueError
		admin.vm.property.Set+netvm dom0 name work\0tmpl~QubesPropertyValueError
		admin.vm.property.Set+colour dom0 name work\0red~QubesNoSuchPropertyError
		admin.vm.property.Reset+label dom0 name work\0~QubesPropertyValueError
		admin.vm.property.Reset+label dom0 name work\0x~ProtocolError
		admin.property.Set+default_template dom0 name dom0\0work~QubesPropertyValueError
		admin.property.Set+default_pool dom0 name dom0\0none~QubesPropertyValueError
		admin.vm.feature.Set+a/b dom0 name work\01~QubesValueError
		admin.vm.feature.Set+vm-config.a dom0 name work\0@3072@~QubesValueError
		admin.vm.feature.Set+timezone dom0 name work\0@3072@~QubesValueError
		admin.vm.property.Set+default_user dom0 name work\0@64@~QubesPropertyValueError
		admin.vm.property.Set+default_user dom0 name work\0-oops~QubesPropertyValueError
		admin.vm.feature.Get+a dom0 name work\0~QubesFeatureNotFoundError
		admin.vm.feature.Remove+a dom0 name work\0~QubesFeatureNotFoundError
		admin.vm.tag.Set+a/b dom0 name work\0~QubesInvalidTagError
		admin.vm.tag.Remove+a dom0 name work\0~QubesTagNotFoundError
		admin.vm.tag.Remove+created-by-dom0 work name work\0~PermissionDenied
		admin.label.Create+red dom0 name dom0\00xffffff~QubesLabelInUseError
		admin.label.Create+new dom0 name dom0\0white~QubesInvalidLabelValueError
		admin.label.Create+12 dom0 name dom0\00xffffff~QubesInvalidLabelError
		admin.label.Remove+red dom0 name dom0\0~QubesLabelInUseError
		admin.vm.Remove dom0 name tmpl\0~QubesVMInUseError
		admin.vm.Remove dom0 name dom0\0~QubesVMInUseError
		admin.vm.Start dom0 name work\0~QubesVMError
		admin.vm.Shutdown dom0 name work\0~QubesVMNotStartedError
		admin.vm.Shutdown dom0 name dom0\0~QubesVMError
		admin.vm.Kill dom0 name work\0~QubesVMNotStartedError
		admin.vm.Pause dom0 name work\0~QubesVMNotRunningError
		admin.vm.volume.Info+none dom0 name work\0~PermissionDenied
		admin.vm.volume.Revert+private dom0 name work\0none~StoragePoolException
		admin.vm.volume.Resize+private dom0 name work\0-1~ProtocolError
		admin.vm.volume.Resize+private dom0 name work\0007~ProtocolError
		admin.vm.volume.CloneTo+private dom0 name work\0abc~QubesVolumeCopyTokenNotFoundError
		admin.pool.Info+none dom0 name dom0\0~PermissionDenied
		admin.backup.Info+daily dom0 name dom0\0~QubesNotImplementedError
		admin.vm.List+x dom0 name dom0\0~ProtocolError
		admin.no.such dom0 name dom0\0~ProtocolError
		internal.GetSystemInfo dom0 name dom0\0~ProtocolError
		admin.vm.List nobody name dom0\0~QubesVMNotFoundError
		admin.vm.List dom0 name nobody\0~QubesVMNotFoundError
		admin.vm.List dom0 name uuid:xyz\0~QubesVMInvalidUUIDError
		bulkhead.List dom0 name dom0\0nofield~QubesNoSuchPropertyError
	END
	[ "$(picture)" = "$before" ]
}

@test "a frame that is none is closed without a byte, and the next one is served" {
	local frame
	while IFS= read -r frame; do
		[ -z "$(ask "$frame")" ]
	done <<-'END'
		admin.vm.List dom0 name dom0
		admin.vm.List dom0 name\0
		admin.vm.List dom0 keyword dom0\0
		admin.vm.List dom0 number dom0\0
		admin.vm.List dom0 name dom0 dom0\0
		admin.vm.List  dom0 name dom0\0
		\0\0\0
		+x dom0 name dom0\0
	END
	[ -z "$(head -c 70000 /dev/zero | timeout 10 socat -t5 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" 2>/dev/null)" ]
	answers
}

@test "kill -9 at any moment loses no answered qube and leaves no half one" {
	local rounds=6 i answered=() q before clients
	! full_counts || rounds=500
	make_template tmpl
	for ((i = 0; i < rounds; i++)); do
		clients=()
		for q in 1 2 3 4; do
			(ask "admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=r$i-$q label=red" >"$BULKHEAD_HOME/answer-$i-$q") &
			clients+=($!)
		done
		sleep "0.0$((RANDOM % 10))"
		daemon_kill
		sleep 0.1
		daemon_start
		# one that came late asks the new daemon
		wait "${clients[@]}" || true
		for q in 1 2 3 4; do
			[ "$(cat "$BULKHEAD_HOME/answer-$i-$q")" != '0|' ] || answered+=("r$i-$q")
		done
	done
	# rolling back is a job: until the store has no operation left
	no_jobs() { [[ $(ask 'bulkhead.Status dom0 name dom0\0') == *n_jobs=0* ]]; }
	within 10 no_jobs
	for q in "${answered[@]}"; do
		[[ $(ask "admin.vm.List dom0 name $q\0") == "0|$q "* ]]
	done
	# each qube in the list has its folder, and each folder its qube
	before=$(ask 'bulkhead.List dom0 name dom0\0uuid' | tail -n +3 | sort)
	[ "$before" = "$(ls "$BULKHEAD_HOME/state/pools/default/vm" | sort)" ]
	make_app after tmpl
}

@test "a full disk is told, loses nothing, and is over when there is room" {
	if [ "$(id -u)" != 0 ]; then
		again_as_root
		return
	fi
	make_template tmpl
	daemon_stop
	mkdir "$BULKHEAD_HOME/small"
	mount -t tmpfs -o size=3m small "$BULKHEAD_HOME/small" || skip "no mounting here"
	cp -a "$BULKHEAD_HOME/state/." "$BULKHEAD_HOME/small/"
	mv "$BULKHEAD_HOME/state" "$BULKHEAD_HOME/state.was"
	ln -s small "$BULKHEAD_HOME/state"
	daemon_start
	make_app work tmpl
	head -c 4M /dev/zero >"$BULKHEAD_HOME/small/filler" 2>/dev/null || true
	local i out=
	for ((i = 0; i < 40; i++)); do
		out=$(ask "admin.vm.feature.Set+f$i dom0 name work\0$(printf '%3000s' x)")
		[ "$out" = '0|' ] || break
	done
	echo "$out"
	[[ $out == '2|QubesException||'*full* ]]
	[[ $(ask "admin.vm.feature.Get+f$i dom0 name work\0") == '2|QubesFeatureNotFoundError'* ]]
	[[ $(ask 'admin.vm.Create.AppVM+tmpl dom0 name dom0\0name=more label=red') == '2|'* ]]
	daemon_kill
	rm "$BULKHEAD_HOME/small/filler"
	daemon_start
	[[ $(ask "admin.vm.List dom0 name work\0") == '0|work '* ]]
	[[ $(ask "admin.vm.feature.Get+f$i dom0 name work\0") == '2|QubesFeatureNotFoundError'* ]]
	make_app more tmpl
	daemon_stop
	umount "$BULKHEAD_HOME/small"
}

@test "a second qubesd on the same instance goes away and harms nothing" {
	run -1 timeout 20 "$libexec/qubesd"
	[[ $output == *"another qubesd"* ]]
	answers
}

@test "500 clients at once, and those that connect and say nothing" {
	timeout 60 python3 - "$BULKHEAD_HOME/run/qubesd.sock" <<-'END'
		import socket, sys
		path = sys.argv[1]
		def connect():
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(20)
		    s.connect(path)
		    return s
		silent = [connect() for _ in range(300)]
		half = [connect() for _ in range(100)]
		for s in half:
		    s.sendall(b"admin.vm.Li")
		asking = [connect() for _ in range(500)]
		for s in asking:
		    s.sendall(b"admin.vm.List dom0 name dom0\0")
		    s.shutdown(socket.SHUT_WR)
		for s in asking:
		    data = b""
		    while True:
		        more = s.recv(65536)
		        if not more:
		            break
		        data += more
		    assert data.startswith(b"0\0dom0 class=AdminVM"), data
	END
	answers
}

@test "a subscriber that does not read is dropped, others hear everything in order" {
	make_template tmpl
	timeout 100 python3 - "$BULKHEAD_HOME/run/qubesd.sock" <<-'END'
		import socket, sys
		path = sys.argv[1]
		def connect(request):
		    s = socket.socket(socket.AF_UNIX)
		    s.settimeout(30)
		    s.connect(path)
		    s.sendall(request)
		    s.shutdown(socket.SHUT_WR)
		    return s
		def call(request):
		    s, data = connect(request), b""
		    while True:
		        more = s.recv(65536)
		        if not more:
		            return data
		        data += more
		events = b"admin.Events dom0 name dom0\0"
		slow, reader = connect(events), connect(events)
		heard = b""
		def hear(until):
		    global heard
		    while until not in heard:
		        more = reader.recv(65536)
		        assert more, "the reader's stream ended"
		        heard += more
		hear(b"connection-established\0\0")
		value = b"x" * 4000
		n = 400
		for i in range(n):
		    answer = call(b"admin.vm.property.Set+kernelopts dom0 name tmpl\0" + value + str(i).encode())
		    assert answer == b"0\0", answer
		    hear(b"property-set:kernelopts\0name\0kernelopts\0newvalue\0" + value + str(i).encode() + b"\0")
		got = 0
		while True:
		    more = slow.recv(65536)
		    if not more:
		        break
		    got += len(more)
		assert got < 3 * len(heard) // 4, (got, len(heard))
		# order: set i comes before set i + 1
		places = [heard.find(b"\0property-set:kernelopts\0name\0kernelopts\0newvalue\0" + value + str(i).encode() + b"\0") for i in range(n)]
		assert -1 not in places and places == sorted(places)
	END
	[[ $(ask 'bulkhead.Status dom0 name dom0\0') == *n_streams=0* ]]
}

@test "an image is imported through a descriptor with progress; cut off by kill -9, the volume is as before" {
	make_template tmpl
	head -c 20M /dev/urandom >"$BULKHEAD_HOME/image"
	cat >"$BULKHEAD_HOME/import.py" <<-'END'
		import array, os, socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.connect(os.environ["BULKHEAD_HOME"] + "/run/qubesd.sock")
		fd = os.open(os.environ["BULKHEAD_HOME"] + "/image", os.O_RDONLY)
		s.sendmsg([b"bulkhead.vm.volume.ImportFile+root dom0 name tmpl\0"],
		          [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
		s.shutdown(socket.SHUT_WR)
		while True:
		    b = s.recv(65536)
		    if not b:
		        break
		    sys.stdout.write(b.decode().replace("\0", "|") + "\n")
	END
	run -0 timeout 60 python3 "$BULKHEAD_HOME/import.py"
	[[ $output == *'|progress|stage|import|'* ]]
	[[ $output == *'0|' ]]
	local revisions
	revisions=$(ask 'admin.vm.volume.ListSnapshots+root dom0 name tmpl\0')
	python3 -u "$BULKHEAD_HOME/import.py" >"$BULKHEAD_HOME/import.log" 2>&1 &
	local import=$!
	within 20 test -s "$BULKHEAD_HOME/import.log"
	daemon_kill
	wait "$import" || true
	daemon_start
	[[ $(ask 'admin.vm.volume.Info+root dom0 name tmpl\0') == '0|pool=default'* ]]
	run -0 timeout 60 python3 "$BULKHEAD_HOME/import.py"
	echo "$output"
	[[ $output == *'0|' ]]
}

@test "volumes are resized, cloned with a one-time token, and listed" {
	make_template tmpl
	make_app one tmpl
	make_app two tmpl
	[ "$(ask 'admin.vm.volume.Resize+private dom0 name one\03221225472')" = '0|' ]
	[[ $(ask 'admin.vm.volume.Info+private dom0 name one\0') == *size=3221225472* ]]
	local token
	token=$(ask 'admin.vm.volume.CloneFrom+private dom0 name one\0')
	[ "${#token}" = 34 ]
	[ "$(ask "admin.vm.volume.CloneTo+private dom0 name two\0${token#0|}")" = '0|' ]
	[[ $(ask 'admin.vm.volume.Info+private dom0 name two\0') == *size=3221225472* ]]
	[[ $(ask "admin.vm.volume.CloneTo+private dom0 name two\0${token#0|}") == '2|QubesVolumeCopyTokenNotFoundError'* ]]
	[ "$(ask 'admin.vm.volume.List dom0 name two\0' | tr '\n' ' ')" = '0|root private volatile kernel ' ]
}

# cut_resize QUBE SIZE: qubesd is gone, and had begun to make that qube's private volume so large
cut_resize() {
	daemon_kill
	python3 - "$BULKHEAD_HOME/state/store.db" "$1" "$2" <<-'END'
		import sqlite3, sys
		store = sqlite3.connect(sys.argv[1])
		store.execute("INSERT INTO operation SELECT 1000000, qid, 'resize', '1 ' || ? FROM qube WHERE name = ?", (sys.argv[3], sys.argv[2]))
		store.commit()
	END
	daemon_start
}

@test "a resize that was cut off is finished: disk and store agree" {
	make_template tmpl
	make_app one tmpl
	resized() { [[ $(ask 'admin.vm.volume.Info+private dom0 name one\0') == *"size=$1"* ]]; }
	cut_resize one 3221225472
	within 20 resized 3221225472
	[ "$(ask 'admin.vm.volume.Resize+private dom0 name one\04294967296')" = '0|' ]
	# a smaller one as well, which would else leave a disk that is smaller than it is said to be
	cut_resize one 1073741824
	within 20 resized 1073741824
	# it is over then
	daemon_kill
	daemon_start
	[ "$(ask 'admin.vm.volume.Resize+private dom0 name one\02147483648')" = '0|' ]
	# the moments are not ours to choose
	local i
	for i in {1..6}; do
		ask "admin.vm.volume.Resize+private dom0 name one\0$((1 + i % 2 * 3))000000000" >"$BULKHEAD_HOME/answer" &
		sleep 0.0$((RANDOM % 4))
		daemon_kill
		wait $! || true
		daemon_start
		settled() { [[ $(ask 'admin.vm.volume.Resize+volatile dom0 name one\010737418240') == '0|' ]]; }
		within 20 settled
		run -0 timeout 60 bulkhead check
		[[ $output == *'nothing found'* ]]
	done
}

@test "SIGTERM ends it with success; what it held is there for the next" {
	make_template tmpl
	kill "$daemon"
	wait "$daemon"
	daemon_start
	[[ $(ask 'admin.vm.List dom0 name tmpl\0') == '0|tmpl '* ]]
}

# said QUBE SERVICE PAYLOAD: what a qube says of itself, as its reporter in dom0 hands it on
said() {
	ask "qubes.$2 $1 name dom0\0$3" qubesd.misc.sock
}

# features QUBE: NAME=VALUE of all, in a line
features() {
	local f
	for f in $(ask "admin.vm.feature.List dom0 name $1\0" | sed 's/^0|//'); do
		printf '%s=%s ' "$f" "$(ask "admin.vm.feature.Get+$f dom0 name $1\0" | sed 's/^0|//')"
	done
}

@test "what a template says of itself becomes its features, as far as it is believed" {
	make_template t && make_app a t
	[ "$(said t FeaturesRequest 'qrexec=1\ngui=0\nvmexec=1\nos=Linux\nos-eol=2028-06-30\nsupported-rpc.a=1\nsupported-service.b=1\n')" = '0|' ]
	[ "$(features t)" = 'gui= os=Linux os-eol=2028-06-30 qrexec=1 supported-rpc.a=1 supported-service.b=1 vmexec=1 ' ]
	# how it is started and shown is set once; what it can do is as it says last, and gone when it says it no more
	[ "$(said t FeaturesRequest 'qrexec=0\ngui=1\nvmexec=0\nos-eol=soon\nsupported-rpc.c=1\nsupported-service.b=0\n')" = '0|' ]
	[ "$(features t)" = 'gui= os=Linux os-eol=2028-06-30 qrexec=1 supported-rpc.c=1 supported-service.b=1 vmexec= ' ]
	# what no rule knows is nothing
	[ "$(said t FeaturesRequest 'prohibit-start=1\nservice.x=1\ninternal=1\nupdates-available=1\nsupported-rpc.=1\n')" = '0|' ]
	[ "$(features t)" = 'gui= os=Linux os-eol=2028-06-30 qrexec=1 vmexec= ' ]
	[ "$(said t NotifyTools 'qrexec=1\ngui-emulated=1\nos=Windows\nvmexec=1\nsupported-rpc.d=1\n')" = '0|' ]
	[ "$(features t)" = 'gui= gui-emulated=1 os=Windows os-eol=2028-06-30 qrexec=1 vmexec= ' ]
}

@test "what a qube with a template says is its template's to say; what is no report is refused" {
	make_template t && make_app a t
	[ "$(said a FeaturesRequest 'qrexec=1\nos=Linux\n')" = '0|' ]
	[ -z "$(features a)$(features t)" ]
	[ "$(said dom0 FeaturesRequest 'qrexec=1\n')" = '0|' ]
	[ -z "$(features dom0)" ]
	for bad in 'qrexec=1' 'a\n' 'a b=1\n' 'a=<b>\n' 'os=A\nos=B\n' '=1\n'; do
		[[ $(said t FeaturesRequest "$bad") == '2|ProtocolError|'* ]]
	done
	for bad in '' x -1 1.5 '1\n2' 99999999999999999999; do
		[[ $(said t NotifyUpdates "$bad") == '2|ProtocolError|'* ]]
	done
	[ -z "$(features t)" ]
	# not to another qube, nor through another door
	[[ $(ask 'qubes.NotifyUpdates t name a\0001' qubesd.misc.sock) == '2|ProtocolError|'* ]]
	[[ $(ask 'qubes.NotifyUpdates t name dom0\0001') == '2|ProtocolError|'* ]]
}

@test "updates: a template knows of its own, a qube made from it gives a hint" {
	make_template t && make_app a t
	[ "$(said a NotifyUpdates 0)" = '0|' ]
	[ -z "$(features t)$(features a)" ]
	[ "$(said a NotifyUpdates '3\n')" = '0|' ]
	[[ "$(features t)" == 'last-updates-check=20'*' updates-available=1 ' ]]
	[ -z "$(features a)" ]
	[ "$(said a NotifyUpdates 0)" = '0|' ]
	[[ "$(features t)" == *' updates-available=1 ' ]]
	[ "$(said t NotifyUpdates 0)" = '0|' ]
	[[ "$(features t)" == 'last-update=20'*' last-updates-check=20'*' updates-available= ' ]]
}

@test "who listens hears what became of a report" {
	make_template t
	{ printf 'admin.Events dom0 name t\0'; } | timeout 20 socat -t20 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BATS_TEST_TMPDIR/events" 3>&- &
	within 10 test -s "$BATS_TEST_TMPDIR/events"
	[ "$(said t FeaturesRequest 'os=A\nsupported-rpc.x=1\n')" = '0|' ]
	[ "$(said t FeaturesRequest 'os=B\n')" = '0|' ]
	[ "$(said t FeaturesRequest 'os=B\n')" = '0|' ]
	heard() { tr '\0' '|' <"$BATS_TEST_TMPDIR/events" | grep -aq 'domain-feature-delete:supported-rpc.x|'; }
	within 10 heard
	kill $!
	tr '\0' '|' <"$BATS_TEST_TMPDIR/events" >"$BATS_TEST_TMPDIR/text"
	grep -q 't|domain-feature-pre-set:os|feature|os|value|B|oldvalue|A||' "$BATS_TEST_TMPDIR/text"
	grep -q 't|domain-feature-set:os|feature|os|value|B|oldvalue|A||' "$BATS_TEST_TMPDIR/text"
	[ "$(grep -o 'domain-feature-set:os|' "$BATS_TEST_TMPDIR/text" | wc -l)" = 2 ]
}

@test "who hears a qube's word for dom0 is confined before it does" {
	make_template t
	mkfifo "$BATS_TEST_TMPDIR/in"
	QREXEC_REMOTE_DOMAIN=t "$libexec/qubes-rpc/qubes.NotifyUpdates" <"$BATS_TEST_TMPDIR/in" 3>&- &
	reporter=$!
	exec 9>"$BATS_TEST_TMPDIR/in"
	within 10 grep -qx 'Seccomp:[[:space:]]*2' "/proc/$reporter/status"
	grep -qx 'NoNewPrivs:[[:space:]]*1' "/proc/$reporter/status"
	[ "$EUID" != 0 ] || grep -qx 'Uid:[[:space:]]*65534[[:space:]].*' "/proc/$reporter/status"
	echo 1 >&9
	exec 9>&-
	wait $reporter
	[[ "$(features t)" == *'updates-available=1 ' ]]
	for name in '' ../t none 'a b'; do
		QREXEC_REMOTE_DOMAIN=$name run -2 "$libexec/qubes-rpc/qubes.NotifyUpdates" <<<1
	done
	QREXEC_REMOTE_DOMAIN=absent run -1 "$libexec/qubes-rpc/qubes.NotifyUpdates" <<<1
	[[ $output == *"there is no qube 'absent'"* ]]
	run -0 "$libexec/qubes-rpc/qubes.GetDate" </dev/null
	[[ $output == 20[0-9][0-9]-*T*+00:00 ]]
}

# make_dvm NAME TEMPLATE: an app qube from which disposables are made
make_dvm() {
	make_app "$1" "$2"
	[ "$(ask "admin.vm.property.Set+template_for_dispvms dom0 name $1\0True")" = '0|' ]
}

# disposables: names of those there are
disposables() {
	ask 'bulkhead.List dom0 name dom0\0name\nclass' | awk '$2 == "DispVM" { print $1 }'
}

# no_disposables: there are none, and of none anything is left: the files are those that "clean" has noted
no_disposables() {
	[ -z "$(disposables)" ] && find "$BULKHEAD_HOME/state/pools" "$BULKHEAD_HOME/state/log" | sort | cmp -s - "$BATS_TEST_TMPDIR/clean"
}
clean() {
	find "$BULKHEAD_HOME/state/pools" "$BULKHEAD_HOME/state/log" | sort >"$BATS_TEST_TMPDIR/clean"
}

# value QUBE PROPERTY: as "default=... type=... VALUE"
value() {
	ask "admin.vm.property.Get+$2 dom0 name $1\0"
}

@test "a disposable has its template's settings, features and tags, and a number of its own" {
	local d f u
	make_template tmpl
	make_dvm dvm tmpl
	for f in memory=333 label=orange default_user=guest autostart=True ip=10.137.0.77 include_in_backups=True kernelopts=quiet; do
		[ "$(ask "admin.vm.property.Set+${f%%=*} dom0 name dvm\0${f#*=}")" = '0|' ]
	done
	for f in service.x internal preload-dispvm-max; do
		ask "admin.vm.feature.Set+$f dom0 name dvm\0001" >/dev/null
	done
	[ "$(ask 'admin.vm.tag.Set+anon-vm dom0 name dvm\0')" = '0|' ]
	make_app work tmpl
	[ "$(ask 'admin.vm.property.Set+default_dispvm dom0 name work\0dvm')" = '0|' ]
	d=$(ask 'admin.vm.CreateDisposable work name dom0\0')
	[[ $d =~ ^0\|disp[0-9]{1,4}$ ]]
	d=${d#*|}
	[ "$(disposables)" = "$d" ]
	[ "$(value "$d" memory)" = '0|default=False type=int 333' ]
	[ "$(value "$d" label)" = '0|default=False type=label orange' ]
	[ "$(value "$d" default_user)" = '0|default=False type=str guest' ]
	[ "$(value "$d" kernelopts)" = '0|default=False type=str quiet' ]
	[ "$(value "$d" template)" = '0|default=False type=vm dvm' ]
	[ "$(value "$d" default_dispvm)" = '0|default=True type=vm dvm' ]
	[ "$(value "$d" dispid)" = "0|default=False type=int ${d#disp}" ]
	[ "$(value "$d" auto_cleanup)" = '0|default=False type=bool True' ]
	# what two of them cannot share, or what is about the template itself
	[ "$(value "$d" autostart)" = '0|default=True type=bool False' ]
	[ "$(value "$d" include_in_backups)" = '0|default=True type=bool False' ]
	[ "$(value "$d" ip)" = '0|default=True type=str ' ]
	[ "$(ask "admin.vm.tag.List dom0 name $d\0")" = $'0|anon-vm\ncreated-by-work\ndisp-created-by-work' ]
	[ "$(ask "admin.vm.feature.List dom0 name $d\0")" = $'0|internal\nservice.x' ]
	u=$(ask "admin.vm.property.Get+uuid dom0 name dvm\0" | cut -d ' ' -f 3)
	ask "admin.vm.volume.Info+private dom0 name $d\0" | grep -qx "source=vm/$u/private"
	for f in save_on_stop=False snap_on_start=True rw=True size=2147483648; do
		ask "admin.vm.volume.Info+private dom0 name $d\0" | grep -qx "$f"
	done
	u=$(ask "admin.vm.property.Get+uuid dom0 name tmpl\0" | cut -d ' ' -f 3)
	ask "admin.vm.volume.Info+root dom0 name $d\0" | grep -qx "source=vm/$u/root"
	ask "admin.vm.volume.Info+volatile dom0 name $d\0" | grep -qx "size=$((12 << 30))"
	# by uuid; from a template that is named
	u=$(ask 'admin.vm.CreateDisposable dom0 name dvm\0uuid')
	[[ $u =~ ^0\|uuid:[0-9a-f-]{36}$ ]]
	[[ $(ask "admin.vm.List dom0 name ${u#*|}\0") == '0|disp'*' class=DispVM '* ]]
	[ "$(disposables | wc -l)" = 2 ]
	[[ $(ask 'admin.vm.Remove dom0 name dvm\0') == "2|QubesVMInUseError||'dvm' is in use: "* ]]
	[[ $(ask 'admin.vm.property.Set+template_for_dispvms dom0 name dvm\0False') == '2|QubesVMInUseError|'* ]]
	for d in $(disposables); do
		[ "$(ask "admin.vm.Remove dom0 name $d\0")" = '0|' ]
	done
	[ "$(find "$BULKHEAD_HOME/state/pools/default/vm" -mindepth 1 -maxdepth 1 | wc -l)" = 3 ]
}

@test "a named disposable stays, and its template is one for disposables" {
	make_template tmpl
	make_dvm dvm tmpl
	[ "$(ask 'admin.vm.Create.DispVM+dvm dom0 name dom0\0name=shop label=green')" = '0|' ]
	[ "$(value shop auto_cleanup)" = '0|default=True type=bool False' ]
	[ "$(value shop include_in_backups)" = '0|default=True type=bool True' ]
	[[ $(value shop dispid) == '0|default=False type=int '[0-9]* ]]
	[ "$(value shop label)" = '0|default=False type=label green' ]
	[ "$(ask 'admin.vm.tag.List dom0 name shop\0')" = '0|created-by-dom0' ]
	[ "$(ask 'admin.vm.CreateInPool.DispVM+dvm dom0 name dom0\0name=other label=red pool:volatile=default')" = '0|' ]
	[[ $(ask 'admin.vm.Create.DispVM dom0 name dom0\0name=none1 label=red') == "2|QubesException||'dom0' has no default_dispvm"* ]]
	[ "$(ask 'admin.property.Set+default_dispvm dom0 name dom0\0dvm')" = '0|' ]
	[ "$(ask 'admin.vm.Create.DispVM dom0 name dom0\0name=third label=red')" = '0|' ]
	[[ $(ask 'admin.vm.property.Set+template dom0 name shop\0tmpl') == '2|QubesPropertyValueError|'* ]]
	[[ $(ask 'admin.vm.property.Reset+template dom0 name shop\0') == '2|QubesPropertyValueError|'* ]]
	make_dvm second tmpl
	[ "$(ask 'admin.vm.property.Set+template dom0 name shop\0second')" = '0|' ]
	[ "$(value shop default_dispvm)" = '0|default=True type=vm second' ]
	daemon_kill
	daemon_start
	[ "$(disposables)" = $'other\nshop\nthird' ]
}

@test "what no disposable is made from is refused with a reason, and nothing changes" {
	local frame want before
	make_template tmpl
	make_app app tmpl
	make_dvm dvm tmpl
	before=$(picture)
	while IFS='~' read -r want frame; do
		echo "$frame"
		[[ $(ask "$frame") == "2|$want"* ]]
	done <<-'END'
		QubesException||'dom0' has no default_dispvm~admin.vm.CreateDisposable dom0 name dom0\0
		QubesException||'app' has no default_dispvm~admin.vm.CreateDisposable app name dom0\0
		QubesException||no disposable is made from 'app'~admin.vm.CreateDisposable dom0 name app\0
		QubesException||no disposable is made from 'tmpl'~admin.vm.CreateDisposable dom0 name tmpl\0
		QubesVMNotFoundError|~admin.vm.CreateDisposable dom0 name nosuch\0
		ProtocolError|~admin.vm.CreateDisposable+x dom0 name dvm\0
		ProtocolError|~admin.vm.CreateDisposable dom0 name dvm\0name
		QubesException|~admin.vm.CreateDisposable+preload dom0 name dvm\0
		QubesException||no disposable is made from 'app'~admin.vm.Create.DispVM+app dom0 name dom0\0name=d label=red
		QubesVMNotFoundError|~admin.vm.Create.DispVM+nosuch dom0 name dom0\0name=d label=red
		QubesLabelNotFoundError|~admin.vm.Create.DispVM+dvm dom0 name dom0\0name=d label=pink
		QubesException||no disposable is made from 'app'~bulkhead.vm.Disposable dom0 name app\0
		QubesException||'app' has no default_dispvm~bulkhead.vm.Disposable app name dom0\0
		ProtocolError|~bulkhead.vm.Disposable+x dom0 name dvm\0
	END
	[ "$(picture)" = "$before" ]
}

@test "subscribers hear of a disposable as of any qube" {
	make_template tmpl
	make_dvm dvm tmpl
	{ printf 'admin.Events dom0 name dom0\0'; } | timeout 20 socat -t20 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.sock" >"$BATS_TEST_TMPDIR/events" 3>&- &
	within 10 test -s "$BATS_TEST_TMPDIR/events"
	d=$(ask 'admin.vm.CreateDisposable dom0 name dvm\0')
	d=${d#*|}
	[ "$(ask "admin.vm.Remove dom0 name $d\0")" = '0|' ]
	heard() { tr '\0' '|' <"$BATS_TEST_TMPDIR/events" | grep -aq "||domain-delete|vm|$d|"; }
	within 10 heard
	kill %1
	wanted="1||domain-add|vm|$d||1|$d|domain-tag-add:created-by-dom0|tag|created-by-dom0||1|$d|domain-tag-add:disp-created-by-dom0|tag|disp-created-by-dom0||"
	wanted+="1|$d|domain-create-on-disk||1||domain-pre-delete|vm|$d||1||domain-delete|vm|$d||"
	[[ $(tr '\0' '|' <"$BATS_TEST_TMPDIR/events") == *"$wanted" ]]
}

@test "a number is not used again soon" {
	local i
	make_template tmpl
	make_dvm dvm tmpl
	for ((i = 0; i < 40; i++)); do
		d=$(ask 'admin.vm.CreateDisposable dom0 name dvm\0')
		ask "admin.vm.Remove dom0 name ${d#*|}\0" >/dev/null
		echo "$d"
	done >"$BATS_TEST_TMPDIR/names"
	[ "$(sort -u "$BATS_TEST_TMPDIR/names" | wc -l)" = 40 ]
}

@test "one that cannot be started leaves nothing; neither does one whose holder goes before" {
	make_template tmpl
	make_dvm dvm tmpl
	clean
	d=$(ask 'bulkhead.vm.Disposable dom0 name dvm\0')
	[[ $d =~ ^'1|dvm|progress|stage|created|text|disp'[0-9]+'||2|QubesVMError||' ]]
	within 10 no_disposables
	[ "$(ask 'admin.vm.feature.Set+prohibit-start dom0 name dvm\0not today')" = '0|' ]
	[[ $(ask 'bulkhead.vm.Disposable dom0 name dvm\0') == *'must not be started: not today|' ]]
	within 10 no_disposables
	cat >"$BATS_TEST_TMPDIR/leave.py" <<-'END'
		import os, random, socket, time
		for i in range(60):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(os.environ["BULKHEAD_HOME"] + "/run/qubesd.sock")
		    s.sendall(b"bulkhead.vm.Disposable dom0 name dvm\0")
		    s.shutdown(socket.SHUT_WR)
		    time.sleep(random.random() * 0.03)
		    s.close()
	END
	timeout 60 python3 "$BATS_TEST_TMPDIR/leave.py"
	within 20 no_disposables
	[ "$(value dvm memory)" = '0|default=True type=int 400' ]
}

@test "disposables for one use that are halted go when qubesd starts, whenever it was killed" {
	local rounds=4 i j clients
	! full_counts || rounds=200
	make_template tmpl
	make_dvm dvm tmpl
	clean
	for ((i = 0; i < rounds; i++)); do
		clients=()
		for j in 1 2 3 4; do
			(ask 'admin.vm.CreateDisposable dom0 name dvm\0' >/dev/null) &
			clients+=($!)
			(ask 'bulkhead.vm.Disposable dom0 name dvm\0' >/dev/null) &
			clients+=($!)
		done
		sleep "0.0$((RANDOM % 10))"
		daemon_kill
		wait "${clients[@]}" || true
		daemon_start
		within 20 no_disposables
	done
	[ "$(ask 'bulkhead.Status dom0 name dom0\0' | grep n_jobs=)" = n_jobs=0 ]
}

@test "a feature is looked for where the asker wants: in the qube, its template, its netvm, dom0" {
	make_template t && make_app a t && make_app net t && make_app far t
	for q in net far; do
		[ "$(ask "admin.vm.property.Set+provides_network dom0 name $q\0True")" = '0|' ]
	done
	[ "$(ask 'admin.vm.property.Set+netvm dom0 name a\0net')" = '0|' ]
	[ "$(ask 'admin.vm.property.Set+netvm dom0 name net\0far')" = '0|' ]
	# f$WHERE is there and nowhere else; own is everywhere, with another value
	for q in a t net far dom0; do
		[ "$(ask "admin.vm.feature.Set+f$q dom0 name $q\0of $q")" = '0|' ]
		[ "$(ask "admin.vm.feature.Set+own dom0 name $q\0of $q")" = '0|' ]
	done
	while read -r check finds; do
		for q in a t net far dom0; do
			answer=$(ask "admin.vm.feature.$check+f$q dom0 name a\0")
			echo "$check of $q: $answer"
			if [[ " $finds " == *" $q "* ]]; then
				[ "$answer" = "0|of $q" ]
			else
				[[ $answer == '2|QubesFeatureNotFoundError|'* ]]
			fi
		done
		[ "$(ask "admin.vm.feature.$check+own dom0 name a\0")" = '0|of a' ]
	done <<-END
		Get a
		CheckWithTemplate a t
		CheckWithNetvm a net far
		CheckWithAdminVM a dom0
		CheckWithTemplateAndAdminVM a t dom0
	END
}
