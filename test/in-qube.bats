#!/usr/bin/env bats
# bats file_tags=alone
# The commands and services of a qube as programs, without any machine. A stand-in for qrexec-client-vm joins what would be in two
# qubes by pipes; everything else is what goes into templates (build/qube-root).

bats_require_minimum_version 1.5.0

setup() {
	top=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	qube=$top/build/qube-root
	services=$qube/etc/qubes-rpc
	here=$BATS_TEST_TMPDIR/here there=$BATS_TEST_TMPDIR/there calls=$BATS_TEST_TMPDIR/calls
	mkdir "$here" "$there" "$BATS_TEST_TMPDIR/bin"
	: >"$calls"
	export qube services there calls BATS_TEST_TMPDIR BULKHEAD_LIBEXEC=$qube/usr/lib/qubes PATH=$BATS_TEST_TMPDIR/bin:$qube/usr/bin:$PATH
	# what it is told, then the service at the other end of two pipes; the exit code is the service's, or the program's
	program qrexec-client-vm <<-'END'
		printf '%s\n' "$*" >>"$calls"
		while [[ $1 == --* ]]; do
			[ "$1" != -- ] || { shift && break; }
			shift
		done
		service=$2 name=${2%%+*} argument=
		[[ $service != *+* ]] || argument=${service#*+}
		shift 2
		serve() {
			cd "$there" && HOME=$there QREXEC_REMOTE_DOMAIN=work QREXEC_SERVICE_ARGUMENT=$argument exec "$services/$name"
		}
		[ $# -gt 0 ] || serve
		back=$(mktemp -u "$BATS_TEST_TMPDIR/back.XXXXXX")
		mkfifo "$back"
		"$@" <"$back" | (serve) >"$back"
		codes=("${PIPESTATUS[@]}")
		[ "${codes[1]}" = 0 ] || exit "${codes[1]}"
		exit "${codes[0]}"
	END
	cd "$here"
}

# program NAME: standard input is a script of that name, before all others
program() {
	{ echo '#!/bin/bash' && cat; } >"$BATS_TEST_TMPDIR/bin/$1"
	chmod +x "$BATS_TEST_TMPDIR/bin/$1"
}

incoming() {
	echo "$there/QubesIncoming/work"
}

@test "every command says what it does, and refuses what it does not know" {
	for c in qvm-copy qvm-move qvm-copy-to-vm qvm-move-to-vm qvm-open-in-vm qvm-open-in-dvm qvm-run qvm-run-vm; do
		run -0 "$c" --help
		[[ $output == "usage: $c "* ]]
		run -0 "$c" --version
		[[ $output == "$c "[0-9]* ]]
		run -2 "$c" --nonsense x y
		[[ $output == *"$c: there is no such option"* ]]
		run -2 "$c"
		[[ $output == *"something is missing"* ]]
	done
	[ ! -s "$calls" ]
}

@test "qvm-copy copies files and folders to a qube that dom0 asks for" {
	mkdir -p dir/sub && echo one >dir/sub/one && echo two >'two words'
	run -0 qvm-copy --without-progress dir 'two words'
	[ -z "$output" ]
	grep -qx -- '-- @default qubes.Filecopy .*/qfile-agent -- dir two words' "$calls"
	diff -r dir "$(incoming)/dir"
	[ "$(cat "$(incoming)/two words")" = two ]
}

@test "qvm-copy tells its progress, out of all there is" {
	head -c 3000000 /dev/zero >large
	run -0 --separate-stderr qvm-copy large
	[ -z "$output" ]
	# shellcheck disable=SC2154 # bats sets it
	[[ $stderr == *"/2929 KB"* ]]
}

@test "qvm-copy-to-vm names the qube; what is there already is not replaced and is told by its name" {
	echo x >file
	qvm-copy-to-vm --without-progress vault file
	grep -q -- '^-- vault qubes.Filecopy ' "$calls"
	echo other >file
	run -1 qvm-copy-to-vm --without-progress vault file
	[[ $output == *"file: is there already"* ]]
	[ "$(cat "$(incoming)/file")" = x ]
}

@test "names that not everybody can tell are asked for by the service's argument" {
	echo x >$'a\nb'
	run -0 qvm-copy --without-progress $'a\nb'
	grep -q -- '-- @default qubes.Filecopy+allow-all-names ' "$calls"
	[ -e "$(incoming)/"$'a\nb' ]
}

@test "a link that leads elsewhere is refused before anything is sent, unless links are left out" {
	mkdir dir && ln -s /etc/passwd dir/link && echo x >dir/file
	run -1 qvm-copy --without-progress dir
	[[ $output == *"dir/link: a link that leads elsewhere"* ]]
	[ ! -s "$calls" ]
	run -0 qvm-copy --without-progress --ignore-symlinks dir
	[ -e "$(incoming)/dir/file" ]
	[ ! -L "$(incoming)/dir/link" ]
}

@test "qvm-move removes what has arrived, and only then" {
	mkdir dir && echo x >dir/file && echo y >other
	qvm-move --without-progress dir
	[ ! -e dir ]
	[ -e "$(incoming)/dir/file" ]
	qvm-move-to-vm --without-progress vault other
	[ ! -e other ]
	echo again >other
	run -1 qvm-move --without-progress other
	[ "$(cat other)" = again ]
}

@test "a transfer that fails in the middle moves nothing" {
	mkdir dir && echo x >dir/a && echo y >b
	mkdir -p "$(incoming)" && echo there >"$(incoming)/b"
	run -1 qvm-move --without-progress dir b
	[ -e dir/a ] && [ -e b ]
	[ "$(cat "$(incoming)/b")" = there ]
}

@test "nothing is moved that would be lost, or that has no name" {
	mkdir dir && mkfifo dir/fifo && echo x >dir/file
	run -1 qvm-move --without-progress dir
	[[ $output == *"nothing was moved"* ]]
	[ -p dir/fifo ]
	for name in . dir/.. / dir/.; do
		run -1 qvm-move --without-progress "$name"
		[[ $output == *"move it by its name"* ]]
	done
	[ ! -s "$calls" ]
	[ -e dir/file ]
}

@test "qvm-run: a line for a shell in another qube" {
	services=$qube/etc/qubes-rpc
	run -0 qvm-run -p vault 'echo "a  b" | tr a-z A-Z; echo $((1+1)) $0'
	[ "${lines[0]}" = "A  B" ]
	[ "${lines[1]}" = "2 sh" ]
	grep -q -- '^-- vault qubes.VMExec+sh+--c+' "$calls"
	run -7 qvm-run vault exit 7
	run -7 qvm-run-vm vault exit 7
	run -0 qvm-run vault cat <<<"through"
	[ "$output" = through ]
}

@test "qvm-run --no-shell: words stay words" {
	run -0 qvm-run --no-shell vault printf '<%s>' 'a b' '$x' "'" '' 'ä+-'
	[ "$output" = "<a b><\$x><'><><ä+->" ]
}

@test "qvm-run in a disposable qube waits for its session unless told otherwise" {
	program qrexec-client-vm <<<'printf "%s\n" "$*"'
	run -0 qvm-run --dispvm true
	[ "$output" = "-- @dispvm qubes.VMExecGUI+sh+--c+true" ]
	run -0 qvm-run --dispvm=web --no-gui --no-shell true
	[ "$output" = "-- @dispvm:web qubes.VMExec+true" ]
	run -0 qvm-run @dispvm true
	[ "$output" = "-- @dispvm qubes.VMExecGUI+sh+--c+true" ]
	run -0 qvm-run --gui vault true
	[ "$output" = "-- vault qubes.VMExecGUI+sh+--c+true" ]
	run -1 qvm-run vault "$(head -c 66000 /dev/zero | tr '\0' x)"
	[[ $output == *"too long"* ]]
}

@test "qvm-open-in-vm: a file that is changed there comes back, another does not" {
	program qubes-open <<<'cat "$1" >"$BATS_TEST_TMPDIR/seen"; echo changed >>"$1"; echo noise'
	echo first >'my file.txt'
	chmod 640 'my file.txt'
	run -0 qvm-open-in-vm vault 'my file.txt'
	[ -z "$(ls "$there")" ]
	[ "$(cat "$BATS_TEST_TMPDIR/seen")" = first ]
	[ "$(cat 'my file.txt')" = $'first\nchanged' ]
	[ "$(stat -c %a 'my file.txt')" = 640 ]
	[ "$(ls)" = 'my file.txt' ]
	program qubes-open <<<'[ "$(basename "$1")" = "my file.txt" ]'
	inode=$(stat -c %i 'my file.txt')
	qvm-open-in-vm vault 'my file.txt'
	[ "$inode" = "$(stat -c %i 'my file.txt')" ]
	compgen -G '/tmp/work.??????' >"$BATS_TEST_TMPDIR/left" || true
	[ ! -s "$BATS_TEST_TMPDIR/left" ]
}

@test "qvm-open-in-dvm --view-only: nothing comes back; an editor that replaces the file is noticed else" {
	program qubes-open <<<'echo changed >"$1.new"; mv -f "$1.new" "$1"'
	echo first >file
	qvm-open-in-dvm --view-only file
	grep -q -- '^-- @dispvm qubes.OpenInVM .*/qopen-in-vm --view-only -- file' "$calls"
	[ "$(cat file)" = first ]
	qvm-open-in-dvm file
	[ "$(cat file)" = changed ]
}

@test "a file that cannot be opened there is an error here" {
	program qubes-open <<<'exit 3'
	echo first >file
	run -1 qvm-open-in-vm vault file
	[ "$(cat file)" = first ]
	run -1 qvm-open-in-vm vault none
	[[ $output == *"none: No such file"* ]]
}

@test "qubes.OpenInVM: names that lead elsewhere are refused" {
	program qubes-open <<<'touch "$BATS_TEST_TMPDIR/opened"'
	for name in .. ../x /etc/x '' $'a\nb'; do
		run -125 bash -c '{ printf %s "$1"; head -c $((256 - ${#1})) /dev/zero; echo content; } | QREXEC_REMOTE_DOMAIN=work "$services/qubes.OpenInVM"' bash "$name"
	done
	run -125 bash -c 'printf short | QREXEC_REMOTE_DOMAIN=work "$services/qubes.OpenInVM"'
	[ ! -e "$BATS_TEST_TMPDIR/opened" ]
}

@test "a page is opened by its address, and nothing else is" {
	program qubes-open <<<'printf "%s\n" "$@" >"$BATS_TEST_TMPDIR/opened"'
	qvm-open-in-dvm 'https://example.org/?a=b&c=%20;d#e'
	grep -qx -- '-- @dispvm qubes.OpenURL' "$calls"
	[ "$(cat "$BATS_TEST_TMPDIR/opened")" = 'https://example.org/?a=b&c=%20;d#e' ]
	rm "$BATS_TEST_TMPDIR/opened"
	for url in 'file:///etc/passwd' 'javascript:x' 'https://' 'http://a b' $'http://a\tb' 'http://"x' "http://'x" 'http://a\b' 'http://ä' '' '-h' \
		"http://$(head -c 5000 /dev/zero | tr '\0' x)"; do
		run -125 "$services/qubes.OpenURL" <<<"$url"
	done
	[ ! -e "$BATS_TEST_TMPDIR/opened" ]
}

@test "qubes.StartApp starts what is installed, the user's own first" {
	mkdir -p own/applications/sub sys/applications
	printf '[Desktop Entry]\nName=A\nExec=printf "%%%%s-%%%%s" "own one" %%U two\n' >own/applications/sub/app.desktop
	printf '[Desktop Entry]\nExec=echo sys\n' >sys/applications/app.desktop
	printf '[Other]\nExec=echo wrong\n[Desktop Entry]\nExec=echo right %%f\nPath=/tmp\n[Desktop Action x]\nExec=echo wrong\n' >sys/applications/b.desktop
	export XDG_DATA_HOME=$here/own XDG_DATA_DIRS=$here/none:$here/sys
	QREXEC_SERVICE_ARGUMENT=app run -0 "$services/qubes.StartApp"
	[ "$output" = "own one-two" ]
	QREXEC_SERVICE_ARGUMENT=b.desktop run -0 "$services/qubes.StartApp"
	[ "$output" = right ]
	QREXEC_SERVICE_ARGUMENT=c run -127 "$services/qubes.StartApp"
	for name in '' ../sys/applications/b /etc/b 'a*' 'a b'; do
		QREXEC_SERVICE_ARGUMENT=$name run -125 "$services/qubes.StartApp"
	done
}

@test "qubes.GetAppmenus tells what a menu shows" {
	mkdir -p sys/applications
	printf '# c\n[Desktop Entry]\nName=A\nName[de]=B\nExec=a %%U\nIcon=i\n[Desktop Action x]\nName=no\n' >sys/applications/a.desktop
	printf '[Desktop Entry]\nName=H\nExec=h\nNoDisplay=true\n' >sys/applications/h.desktop
	export XDG_DATA_DIRS=$here/sys
	run -0 "$services/qubes.GetAppmenus"
	f=$here/sys/applications/a.desktop
	[ "$output" = "$f:Name=A
$f:Name[de]=B
$f:Exec=qubes-desktop-run $f
$f:Icon=i" ]
}

@test "the time is told as it is set, and set if it is off" {
	run -0 "$services/qubes.GetDate"
	[[ $output == 20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]+00:00 ]]
	real=$(command -v date)
	# one that is set by -s, and tells that time from then on
	program date <<-END
		set=$here/set
		case " \$* " in
		*' -s '*) printf '%s\n' "\$@" >>"\$calls" && [ ! -e $here/refuses ] && printf '%s' "\${*: -1}" >"\$set" ;;
		' -u +%s ') [ -e "\$set" ] && exec $real -u -d "\$(cat "\$set")" +%s || exec $real "\$@" ;;
		*) exec $real "\$@" ;;
		esac
	END
	"$services/qubes.SetDateTime" <<<"$output"
	[ ! -s "$calls" ]
	"$services/qubes.SetDateTime" <<<2031-05-06T07:08:09+0000
	[ "$(cat "$calls")" = $'-u\n-s\n2031-05-06 07:08:09' ]
	for time in '' now 2031-05-06 '2031-05-06T07:08:09+01:00' '2031-05-06T07:08:09+00:00; id' 2031-99-99T07:08:09+00:00 \
		2031-02-30T07:08:09+00:00 1970-01-01T00:00:00+00:00 2019-12-31T23:59:59+00:00 2100-01-01T00:00:00+00:00 \
		"$(printf '2031-05-06T07:08:09+00:00%0100d' 1)"; do
		run -125 "$services/qubes.SetDateTime" <<<"$time"
	done
	[ "$(wc -l <"$calls")" = 3 ]
	"$services/qubes.SetDateTime" <<<2031-05-06T07:08:10+00:00
	[ "$(wc -l <"$calls")" = 3 ]
	# one that never ends is heard as far as it can matter
	yes 2031 | run -125 timeout 20 "$services/qubes.SetDateTime"
	touch refuses
	run ! "$services/qubes.SetDateTime" <<<2032-05-06T07:08:09+00:00
}

@test "qubes.WaitForSession waits where a session is to come" {
	export QUBES_RUN_DIR=$here
	program qubesdb-read <<<'cat "$BATS_TEST_TMPDIR/gui"'
	echo False >"$BATS_TEST_TMPDIR/gui"
	"$services/qubes.WaitForSession" <<<user
	touch session.expected
	"$services/qubes.WaitForSession" <<<user 3>&- &
	waiting=$!
	sleep 0.5
	kill -0 $waiting
	touch session.user
	wait $waiting
	# root has none of its own
	"$services/qubes.WaitForSession" <<<root
	# dom0 has said that one comes, and nothing here has said anything yet
	rm session.*
	echo True >"$BATS_TEST_TMPDIR/gui"
	"$services/qubes.WaitForSession" <<<user 3>&- &
	waiting=$!
	sleep 0.5
	kill -0 $waiting
	touch session.user
	wait $waiting
	for user in '' ../x 'a b'; do
		run -125 "$services/qubes.WaitForSession" <<<"$user"
	done
}

@test "before sleep the modules go that are listed and loaded, and they come back" {
	export QUBES_ROOT=$here
	mkdir -p run etc/qubes/suspend-pre.d rw/config proc
	printf 'iwlwifi 1 0 - Live 0\nsnd_hda 1 0 - Live 0\nother 1 0 - Live 0\n' >proc/modules
	printf '# wireless\niwlwifi # here\nabsent\n' >etc/qubes-suspend-module-blacklist
	printf 'snd-hda' >rw/config/suspend-module-blacklist
	program modprobe <<<'printf "%s\n" "$*" >>"$calls"'
	"$services/qubes.SuspendPre" </dev/null
	"$services/qubes.SuspendPost" </dev/null
	[ "$(cat "$calls")" = $'-r iwlwifi\n-r snd_hda\niwlwifi\nsnd_hda' ]
	"$services/qubes.SuspendPost" </dev/null
	[ "$(wc -l <"$calls")" = 4 ]
	printf '#!/bin/sh\ntouch %s\n' "$here/hooked" >etc/qubes/suspend-pre.d/a.sh
	"$services/qubes.SuspendPreAll"
	[ ! -e hooked ]
	chmod +x etc/qubes/suspend-pre.d/a.sh
	"$services/qubes.SuspendPostAll"
	[ ! -e hooked ]
	"$services/qubes.SuspendPreAll"
	[ -e hooked ]
}

@test "what a qube tells dom0 of itself" {
	program qubesdb-write <<<'printf "write %s %s\n" "$@" >>"$calls"'
	program qubesdb-read <<<'echo alice'
	program qrexec-client-vm <<<'printf "call %s\n" "$*" >>"$calls"; cat >>"$calls"'
	qvm-features-request qrexec=1 os-version=12 </dev/null
	[ "$(cat "$calls")" = $'write /features-request/qrexec 1\nwrite /features-request/os-version 12' ]
	: >"$calls"
	qvm-features-request --commit a.b=
	[ "$(cat "$calls")" = $'write /features-request/a.b \ncall -- dom0 qubes.FeaturesRequest' ]
	: >"$calls"
	for word in nonsense =1 '../x=1' 'a b=1' --none 'a:b=1' 'a=<b>' 'a=b=c' "$(printf %046d 1)=1" "a=$(printf %0129d 1)"; do
		run -2 qvm-features-request "$word"
	done
	[ ! -s "$calls" ]
	program apt-get <<<'printf "Reading\nInst a\nInst b\nConf a\n"'
	"$qube/usr/lib/qubes/upgrades-status-notify"
	[ "$(cat "$calls")" = $'call -- dom0 qubes.NotifyUpdates\n2' ]
	: >"$calls"
	program apt-get <<<'echo nothing'
	"$qube/usr/lib/qubes/upgrades-status-notify"
	[ "$(cat "$calls")" = $'call -- dom0 qubes.NotifyUpdates\n0' ]
	: >"$calls"
	"$qube/usr/lib/qubes/qubes-notify-tools"
	grep -qx 'write /qubes-tools/default-user alice' "$calls"
	[ "$(tail -n 1 "$calls")" = 'call -- dom0 qubes.NotifyTools' ]
	: >"$calls"
	mkdir -p etc/qubes-rpc && touch etc/qubes-rpc/qubes.VMExec
	printf 'ID=debian\nVERSION_ID="12"\n' >etc/os-release
	QUBES_ROOT=$here "$services/qubes.PostInstall"
	grep -qx 'write /features-request/os-version 12' "$calls"
	grep -qx 'write /features-request/vmexec 1' "$calls"
	[ "$(tail -n 1 "$calls")" = 'call -- dom0 qubes.FeaturesRequest' ]
}

@test "a template tells dom0 its applications when it is installed and after packages have changed, another qube does not" {
	program qubesdb-write <<<'true'
	program qubesdb-read <<<'[ "$2" = /qubes-vm-updateable ] && cat "$BATS_TEST_TMPDIR/updateable"'
	program qrexec-client-vm <<<'printf "call %s\n" "$*" >>"$calls"; cat >>"$calls"'
	program apt-get <<<'echo nothing'
	mkdir -p etc/qubes-rpc etc/qubes/post-install.d share/applications
	cp "$services/qubes.PostInstall" "$services/qubes.GetAppmenus" etc/qubes-rpc/
	printf 'ID=debian\nVERSION_ID="12"\n' >etc/os-release
	printf '[Desktop Entry]\nName=A\n' >share/applications/a.desktop
	printf '#!/bin/sh\necho hook >>"$calls"\n' >etc/qubes/post-install.d/x.sh
	printf '#!/bin/sh\nexit 1\n' >etc/qubes/post-install.d/y.sh
	chmod +x etc/qubes/post-install.d/x.sh
	export QUBES_ROOT=$here XDG_DATA_DIRS=$here/share
	echo True >"$BATS_TEST_TMPDIR/updateable"
	run -0 "$services/qubes.PostInstall"
	[ "$(cat "$calls")" = "call -- dom0 qubes.FeaturesRequest
call -- dom0 qubes.SyncAppMenus
$here/share/applications/a.desktop:Name=A
hook" ]
	: >"$calls"
	run -0 "$qube/usr/lib/qubes/packages-changed"
	[ "$(head -n 4 "$calls")" = "call -- dom0 qubes.NotifyUpdates
0
call -- dom0 qubes.FeaturesRequest
call -- dom0 qubes.SyncAppMenus" ]
	# a hook that fails is an error of the service, and none for apt
	chmod +x etc/qubes/post-install.d/y.sh
	run -1 "$services/qubes.PostInstall"
	[[ $output == *"y.sh failed"* ]]
	run -0 "$qube/usr/lib/qubes/packages-changed"
	: >"$calls"
	echo False >"$BATS_TEST_TMPDIR/updateable"
	run -0 "$qube/usr/lib/qubes/packages-changed"
	[ ! -s "$calls" ]
	run -0 "$qube/usr/lib/qubes/qubes-trigger-sync-appmenus.sh"
	[ ! -s "$calls" ]
	grep -q 'DPkg::Post-Invoke.*packages-changed' "$qube/etc/apt/apt.conf.d/00notify-hook"
}

# ssh_qube NAME PERSISTENCE TYPE: starts anew with its template's root and its own /rw
ssh_qube() {
	export QUBES_ROOT=$BATS_TEST_TMPDIR/$1
	rm -rf "$QUBES_ROOT/etc" "$QUBES_ROOT/run"
	mkdir -p "$QUBES_ROOT/rw/config" "$QUBES_ROOT/run/qubes"
	cp -r "$BATS_TEST_TMPDIR/template" "$QUBES_ROOT/etc"
	printf '%s\n' "$2" >"$BATS_TEST_TMPDIR/qubes-vm-persistence"
	printf '%s\n' "$3" >"$BATS_TEST_TMPDIR/qubes-vm-type"
	"$qube/usr/lib/qubes/ssh-host-keys"
}
# ssh_prints NAME: of the keys that its server would have, which belong together
ssh_prints() {
	local k
	for k in "$BATS_TEST_TMPDIR/$1"/etc/ssh/ssh_host_*_key; do
		[ "$(stat -c %a "$k")" = 600 ]
		[ "$(ssh-keygen -y -f "$k" | cut -d' ' -f1,2)" = "$(cut -d' ' -f1,2 "$k.pub")" ]
		ssh-keygen -lf "$k.pub" | cut -d' ' -f2
	done
}

@test "host keys of ssh: an app qube has its own and keeps them, a disposable makes them at each start, who keeps its root keeps its keys" {
	local made k template
	command -v ssh-keygen >/dev/null || skip "no ssh-keygen here"
	program qubesdb-read <<<'cat "$BATS_TEST_TMPDIR/${1#/}"'
	template=$BATS_TEST_TMPDIR/template
	mkdir -p "$template/ssh"
	for k in ed25519 ecdsa; do
		ssh-keygen -q -N '' -t $k -f "$template/ssh/ssh_host_${k}_key"
	done
	echo certificate >"$template/ssh/ssh_host_ed25519_key-cert.pub"
	ssh_qube one rw-only AppVM
	made=$(ssh_prints one)
	[ "$(wc -l <<<"$made")" = 2 ]
	[ ! -e "$QUBES_ROOT/etc/ssh/ssh_host_ed25519_key-cert.pub" ]
	# the same at its next start, and where one of them was half made
	ssh_qube one rw-only AppVM
	[ "$(ssh_prints one)" = "$made" ]
	rm "$QUBES_ROOT/rw/config/ssh-host-keys/ssh_host_ecdsa_key"
	ssh_qube one rw-only AppVM
	[ "$(ssh_prints one | sed -n 2p)" = "$(sed -n 2p <<<"$made")" ]
	[ "$(ssh_prints one | sed -n 1p)" != "$(sed -n 1p <<<"$made")" ]
	ssh_qube two rw-only AppVM
	# a disposable whose /rw began as that of the qube above
	cp -r "$BATS_TEST_TMPDIR/two" "$BATS_TEST_TMPDIR/disp"
	ssh_qube disp rw-only DispVM
	ssh_prints disp >"$BATS_TEST_TMPDIR/prints"
	ssh_qube disp rw-only DispVM
	for k in one two disp; do
		ssh_prints $k >>"$BATS_TEST_TMPDIR/prints"
	done
	for k in "$template"/ssh/*_key.pub; do
		ssh-keygen -lf "$k" | cut -d' ' -f2 >>"$BATS_TEST_TMPDIR/prints"
	done
	[ "$(sort -u "$BATS_TEST_TMPDIR/prints" | wc -l)" = 10 ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/prints")" = 10 ]
	ssh_qube kept full StandaloneVM
	diff -r "$template" "$BATS_TEST_TMPDIR/kept/etc"
	# a root without any gets none
	rm -r "$template/ssh"
	ssh_qube one rw-only AppVM
	[ ! -e "$QUBES_ROOT/etc/ssh" ]
	# and where they cannot be made, a server does not begin with those of others
	mkdir "$template/ssh"
	echo key >"$template/ssh/ssh_host_nonsense_key"
	run ! ssh_qube one rw-only AppVM
}

@test "qubes.ResizeDisk knows two disks" {
	for disk in '' swap ../x; do
		run -125 "$services/qubes.ResizeDisk" <<<"$disk"
	done
}

@test "every service with a configuration exists, and the other way round for those of root" {
	for f in "$qube"/etc/qubes/rpc-config/*; do
		name=${f##*/}
		[ -x "$services/${name%%+*}" ]
	done
	for s in SetDateTime ResizeDisk SuspendPre SuspendPost VMRootExec VMRootShell; do
		grep -qx "force-user = 'root'" "$qube/etc/qubes/rpc-config/qubes.$s"
	done
	for s in OpenInVM OpenURL StartApp VMExecGUI; do
		grep -qx 'wait-for-session = 1' "$qube/etc/qubes/rpc-config/qubes.$s"
	done
}
