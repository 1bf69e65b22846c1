#!/usr/bin/env bats
# Applications of qubes in the menus of the desktop: what a qube says of them, what dom0 makes of it, qvm-appmenus. First
# without a machine: the service of dom0 is told by this file what a qube would say; then by real qubes.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2030,SC2031,SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	qvm-create -C TemplateVM -l black tmpl
	qvm-create -t tmpl -l red work
	says tmpl firefox-esr:Name='Firefox ESR' firefox-esr:GenericName='Web Browser' 'firefox-esr:Categories=Network;Shell;X-Evil;WebBrowser' \
		firefox-esr:Exec=evil xterm:Name=XTerm
}

teardown_file() {
	instance_end
}

# says QUBE NAME:KEY=VALUE...: as if the qube had called qubes.SyncAppMenus
says() {
	local qube=$1 line
	shift
	for line; do
		printf '/usr/share/applications/%s.desktop:%s\n' "${line%%:*}" "${line#*:}"
	done | QREXEC_REMOTE_DOMAIN=$qube timeout 60 "$libexec/qubes-rpc/qubes.SyncAppMenus"
}

# entries QUBE: names of its files, of the qube's as it is written there, without what all have
entries() {
	find "$BULKHEAD_HOME/share/applications" -name "org.qubes-os.vm._$1.*.desktop" 2>/dev/null | sed -e 's/.*org\.qubes-os\.vm\._//' -e 's/\.desktop$//' | sort
}
entry() {
	echo "$BULKHEAD_HOME/share/applications/org.qubes-os.vm._$1.desktop"
}
entries_are() {
	[ "$(entries "$1" | tr '\n' ' ')" = "$2" ]
}

# as_a_menu_would FILE: runs the entry's command by the rules of desktop entries
as_a_menu_would() {
	local command
	# \\ is \ in a value; then quotes as a shell has them; %% is %
	command=$(sed -n -e 's/^Exec=//p' "$1" | sed -e 's/\\\\/\\/g' -e 's/%%/%/g')
	timeout 300 sh -c "$command"
}

@test "what a template says is offered to its qubes, and to those of them that say the same themselves" {
	run -0 qvm-appmenus --get-available work
	[ "$output" = 'firefox-esr.desktop - Firefox ESR
qubes-start.desktop - Start
xterm.desktop - XTerm' ]
	says work mine:Name=Mine xterm:Name='My XTerm'
	run -0 qvm-appmenus --get-available --i-understand-format-is-unstable --file-field=Categories --file-field GenericName --file-field Exec work
	[ "$output" = 'firefox-esr.desktop|Firefox ESR|Network;WebBrowser;|Web Browser|
mine.desktop|Mine|||
qubes-start.desktop|Start|||
xterm.desktop|My XTerm|||' ]
	qvm-create -C TemplateVM -l black other
	run -0 qvm-appmenus --get-available --template other work
	[ "$output" = 'mine.desktop - Mine
qubes-start.desktop - Start
xterm.desktop - My XTerm' ]
	qvm-remove -f other
	says work
	run -0 qvm-appmenus --get-available work
	[[ $output != *mine* ]]
}

@test "entries come by themselves, start the qube's application, and hold nothing of what it could choose" {
	within 20 entries_are work 'work.firefox-esr work.qubes-start work.xterm '
	f=$(entry work.firefox-esr)
	grep -qx 'Name=work: Firefox ESR' "$f"
	grep -qx 'GenericName=work: Web Browser' "$f"
	grep -qx 'Categories=Network;WebBrowser;X-Qubes-VM;' "$f"
	grep -qx 'X-Qubes-VmName=work' "$f"
	grep -qx 'X-Qubes-AppName=firefox-esr' "$f"
	run ! grep -q evil "$f"
	[[ $(tail -n 1 "$f") == 'Exec=env "BULKHEAD_HOME='*'/qvm-run" --quiet --service -- work qubes.StartApp+firefox-esr' ]]
	[[ $(tail -n 1 "$(entry work.qubes-start)") == *'/qvm-start" --quiet --skip-if-running -- work' ]]
	grep -q '#cc0000' "$BULKHEAD_HOME/share/icons/bulkhead-red.svg"
	grep -q 'Icon=.*/icons/bulkhead-red.svg' "$f"
	if command -v desktop-file-validate; then desktop-file-validate "$f"; fi
}

@test "a home with quotes, blanks, dollars and percent signs is quoted as a menu reads it" {
	local home=$BULKHEAD_HOME
	export BULKHEAD_HOME="$BATS_TEST_TMPDIR/a \"b\" \$HOME \`c\` d%f \\e"
	timeout 30 bulkhead start
	qvm-create -C TemplateVM -l black tmpl
	qvm-appmenus --update tmpl
	f=$(entry tmpl.qubes-start)
	# qvm-start finds this instance: it says what this template lacks
	run ! as_a_menu_would "$f"
	[[ $output == *tmpl* ]]
	[[ $output != *"not running; start it"* ]]
	timeout 60 bulkhead stop
	rm -r "$(readlink "$BULKHEAD_HOME/run")"
	BULKHEAD_HOME=$home
}

@test "entries follow the qube: its name, its label, its template, and its end" {
	qvm-create -t tmpl -l green a-b.c_d
	within 20 entries_are a_db_pc_ud 'a_db_pc_ud.firefox-esr a_db_pc_ud.qubes-start a_db_pc_ud.xterm '
	qvm-rename a-b.c_d e
	within 20 entries_are e 'e.firefox-esr e.qubes-start e.xterm '
	[ -z "$(entries a_d)" ]
	qvm-prefs e label purple
	purple() { grep -q bulkhead-purple.svg "$(entry e.xterm)"; }
	within 20 purple
	qvm-create -C TemplateVM -l black bare
	qvm-prefs e template bare
	within 20 entries_are e 'e.qubes-start '
	qvm-remove -f e bare
	within 20 entries_are e ''
	[ -z "$(entries bare)" ]
}

@test "a copy has what its source has said, one with a root of its own what the template has" {
	says work mine:Name=Mine
	qvm-clone work again
	qvm-clone -C StandaloneVM work alone
	qvm-clone tmpl tmpl-2
	run -0 qvm-appmenus --get-available again
	[[ $output == *"mine.desktop - Mine"*"xterm.desktop - XTerm" ]]
	run -0 qvm-appmenus --get-available alone
	[[ $output != *mine* && $output == *"xterm.desktop - XTerm" ]]
	run -0 qvm-appmenus --get-available tmpl-2
	[[ $output == *"firefox-esr.desktop - Firefox ESR"* ]]
	qvm-create -t tmpl -l red fresh
	qvm-appmenus --init --source again fresh
	run -0 qvm-appmenus --get-available fresh
	[[ $output == *"mine.desktop - Mine"* ]]
	qvm-remove -f again alone tmpl-2 fresh
	says work
}

@test "lists: of a qube, of its template, an empty one, none" {
	run -0 qvm-appmenus --get-whitelist work
	[ -z "$output" ]
	printf 'xterm.desktop\n\nqubes-start.desktop \n' | qvm-appmenus --set-default-whitelist - tmpl
	run -0 qvm-appmenus --get-default-whitelist tmpl
	[ "$output" = $'xterm.desktop\nqubes-start.desktop' ]
	run -0 qvm-appmenus --get-whitelist work
	[ "$output" = $'xterm.desktop\nqubes-start.desktop' ]
	[ "$(qvm-features tmpl default-menu-items)" = 'xterm.desktop qubes-start.desktop' ]
	within 20 entries_are work 'work.qubes-start work.xterm '
	# the template itself has all
	entries_are tmpl 'tmpl.firefox-esr tmpl.qubes-start tmpl.xterm '
	echo firefox-esr.desktop >"$BATS_TEST_TMPDIR/list"
	qvm-appmenus --set-whitelist "$BATS_TEST_TMPDIR/list" --update work
	entries_are work 'work.firefox-esr '
	qvm-appmenus --set-whitelist /dev/null --create work
	run -0 qvm-appmenus --get-whitelist work
	[ -z "$output" ]
	entries_are work ''
	qvm-features work menu-items --unset
	# what a qube has got at its beginning stays when the template's list changes
	qvm-appmenus --init work
	[ "$(qvm-features work menu-items)" = 'xterm.desktop qubes-start.desktop' ]
	qvm-features work menu-items --unset
	qvm-features tmpl default-menu-items --unset
	within 20 entries_are work 'work.firefox-esr work.qubes-start work.xterm '
}

@test "no entries of what is internal; those of a template for disposables start in a new one if that is wished" {
	qvm-create -t tmpl -l red --property template_for_dispvms=True dvm
	qvm-features dvm appmenus-dispvm 1
	in_disposable() { grep -q -- '--service --dispvm=dvm -- qubes.StartApp+xterm$' "$(entry dvm.xterm)"; }
	within 20 in_disposable
	qvm-features dvm internal 1
	within 20 entries_are dvm ''
	qvm-remove -f dvm
}

@test "--update mends what somebody else did, --remove removes, --force writes what has not changed" {
	echo spoiled >"$(entry work.xterm)"
	rm "$(entry work.firefox-esr)"
	touch "$BULKHEAD_HOME/share/applications/another.desktop"
	# qubesd's own --update --all after the changes of the last test may come in between, but not each time
	leaves_others_alone() {
		touch "$(entry gone.xterm)"
		qvm-appmenus --update work
		[ -e "$(entry gone.xterm)" ]
	}
	within 20 leaves_others_alone
	grep -qx 'Name=work: XTerm' "$(entry work.xterm)"
	entries_are work 'work.firefox-esr work.qubes-start work.xterm '
	qvm-appmenus --remove gone
	[ ! -e "$(entry gone.xterm)" ]
	touch "$(entry gone.xterm)"
	qvm-appmenus --update --all
	[ ! -e "$(entry gone.xterm)" ]
	[ -e "$BULKHEAD_HOME/share/applications/another.desktop" ]
	inode=$(stat -c %i "$(entry work.xterm)")
	qvm-appmenus --update work
	[ "$inode" = "$(stat -c %i "$(entry work.xterm)")" ]
	qvm-appmenus --update --force work
	[ "$inode" != "$(stat -c %i "$(entry work.xterm)")" ]
}

@test "a template's qubes are updated with it" {
	says tmpl xterm:Name=Terminal
	qvm-appmenus --update tmpl
	grep -qx 'Name=work: Terminal' "$(entry work.xterm)"
	entries_are work 'work.qubes-start work.xterm '
	says tmpl firefox-esr:Name='Firefox ESR' xterm:Name=XTerm
}

@test "what a qube says of its applications stays words, however many there are" {
	qvm-create -t tmpl -l red liar
	says liar '../../x:Name=A' 'a b:Name=A' '$(id):Name=A' '-x:Name=A' 'q%f:Name=A' $'good:Name=x\x1b[31m' 'good:Comment=%c <b>' 'good:StartupWMClass=a b'
	[ "$(ask 'bulkhead.vm.menu.Get dom0 name liar\0')" = $'0|[good]\nName=good\n[x]\nName=A' ]
	# lines without an end, longer than any; more of them than a menu has room for; more bytes than anybody listens to
	{ printf 'a.desktop:Name=' && head -c 300000 /dev/zero | tr '\0' x && printf '\nb.desktop:Name=B\n'; } |
		QREXEC_REMOTE_DOMAIN=liar timeout 60 "$libexec/qubes-rpc/qubes.SyncAppMenus"
	[ "$(ask 'bulkhead.vm.menu.Get dom0 name liar\0')" = $'0|[b]\nName=B' ]
	seq 257 | sed 's/.*/n&.desktop:Name=N/' >"$BATS_TEST_TMPDIR/many"
	QREXEC_REMOTE_DOMAIN=liar run -1 timeout 60 "$libexec/qubes-rpc/qubes.SyncAppMenus" <"$BATS_TEST_TMPDIR/many"
	[[ $output == *"more applications than a menu has room for"* ]]
	QREXEC_REMOTE_DOMAIN=liar run -1 bash -c 'yes "nothing to hear" | timeout 60 "$libexec/qubes-rpc/qubes.SyncAppMenus"'
	[[ $output == *"more is said"* ]]
	[ "$(ask 'bulkhead.vm.menu.Get dom0 name liar\0')" = $'0|[b]\nName=B' ]
	[[ $(ask $'qubes.SyncAppMenus liar name dom0\\0[a]\nName=%%\n' qubesd.misc.sock) == '2|ProtocolError|'* ]]
	[[ $(ask $'bulkhead.vm.menu.Set dom0 name liar\\0[a]\nName=A\nExec=x\n') == '2|ProtocolError|'* ]]
	qvm-remove -f liar
}

@test "half a menu replaces none: a line without its end, a call that breaks off" {
	qvm-create -t tmpl -l red half
	says half a:Name=A b:Name=B
	printf 'a.desktop:Name=A\nb.desktop:Na' >"$BATS_TEST_TMPDIR/cut"
	QREXEC_REMOTE_DOMAIN=half run -1 timeout 60 "$libexec/qubes-rpc/qubes.SyncAppMenus" <"$BATS_TEST_TMPDIR/cut"
	[[ $output == *"cut off in the middle of a line"* ]]
	# as the relay ends a service whose caller is gone, before it closes the service's input
	mkfifo "$BATS_TEST_TMPDIR/in"
	QREXEC_REMOTE_DOMAIN=half "$libexec/qubes-rpc/qubes.SyncAppMenus" <"$BATS_TEST_TMPDIR/in" 3>&- &
	reporter=$!
	exec 9>"$BATS_TEST_TMPDIR/in"
	within 10 grep -qx 'Seccomp:[[:space:]]*2' "/proc/$reporter/status"
	printf 'a.desktop:Name=A\n' >&9
	kill -HUP $reporter
	exec 9>&-
	wait $reporter && false
	[ "$(ask 'bulkhead.vm.menu.Get dom0 name half\0')" = $'0|[a]\nName=A\n[b]\nName=B' ]
	qvm-remove -f half
}

@test "a qube that changes its mind for ever is heard sixteen times, then once a minute" {
	qvm-create -t tmpl -l red fickle
	qvm-create -t tmpl -l red steady
	for ((i = 0; i < 8; i++)); do
		says fickle a:Name=A
		says fickle a:Name=A b:Name=B
	done
	# a minute may have passed meanwhile, or two; from here on it is refused within a few
	refused_now() {
		run says fickle "c:Name=C$((i++))"
		[ "$status" = 1 ]
	}
	within 60 refused_now
	[[ $output == *"'fickle' reports too often"* ]]
	said=$(ask 'bulkhead.vm.menu.Get dom0 name fickle\0')
	says fickle d:Name=D || true
	[ "$(grep -c 'fickle: qubes.SyncAppMenus: it changes its mind too often' "$BULKHEAD_HOME/state/log/qubesd.log")" = 1 ]
	[[ $(ask 'bulkhead.vm.menu.Get dom0 name fickle\0') == "$said" || $(ask 'bulkhead.vm.menu.Get dom0 name fickle\0') == *'Name=D' ]]
	says steady a:Name=A
	[ "$(ask 'bulkhead.vm.menu.Get dom0 name steady\0')" = $'0|[a]\nName=A' ]
	qvm-remove -f fickle steady
}

@test "wrong calls are usage errors, refusals name the cause" {
	while IFS= read -r line; do
		# shellcheck disable=SC2086
		refused 2 "Try: " $line
	done <<-'END'
		qvm-appmenus
		qvm-appmenus work
		qvm-appmenus --update
		qvm-appmenus --update --all work
		qvm-appmenus --get-whitelist --all
		qvm-appmenus --remove --update work
		qvm-appmenus --set-whitelist
		qvm-appmenus --set-whitelist - --set-default-whitelist - work
		qvm-appmenus --update --source tmpl work
		qvm-appmenus --update --template tmpl work
		qvm-appmenus --remove ../x
		qvm-sync-appmenus
	END
	refused 1 "there is no qube 'nosuch'" qvm-appmenus --update nosuch
	refused 1 "there is no qube 'nosuch'" qvm-appmenus --init --source nosuch work
	refused 1 "there is no qube 'nosuch'" qvm-appmenus --get-available --template nosuch work
	refused 1 "trusted side" qvm-appmenus --update dom0
	refused 1 "No such file" qvm-appmenus --set-whitelist /nonexistent work
	echo 'xterm' >"$BATS_TEST_TMPDIR/list"
	refused 1 "a line is like firefox-esr.desktop" qvm-appmenus --set-whitelist "$BATS_TEST_TMPDIR/list" work
	refused 1 "first: qvm-start work" qvm-sync-appmenus work
	run -0 qvm-sync-appmenus --regenerate-only work
}

@test "a real template says what it has, dom0 asks a real qube, and an entry starts the application in it" {
	appliance_begin app
	timeout 300 qvm-start appliance
	timeout 120 qvm-run -p -u root appliance 'mkdir -p /usr/share/applications && cat >/usr/share/applications/told.desktop' <<-'END'
		[Desktop Entry]
		Type=Application
		Name=Told
		Exec=sh -c "id -un >/tmp/started"
	END
	run -0 timeout 120 qvm-run -p -u root appliance /usr/lib/qubes/qubes-trigger-sync-appmenus.sh
	run -0 timeout 120 qvm-shutdown --wait appliance
	within 20 entries_are app 'app.qubes-start app.told '
	run -0 as_a_menu_would "$(entry app.told)"
	[ "$(state app)" = Running ]
	run -0 timeout 120 qvm-run -p app 'cat /tmp/started'
	[ "$output" = user ]
	# one whose root comes from a template says nothing by itself, and is asked for its own
	run -0 timeout 120 qvm-run -p -u root app '/usr/lib/qubes/qubes-trigger-sync-appmenus.sh'
	[[ $(ask 'bulkhead.vm.menu.Get dom0 name app\0') == '0|' ]]
	timeout 120 qvm-run -p -u root app 'mkdir -p /usr/local/share/applications; printf "[Desktop Entry]\nName=Own\nExec=true\n" >/usr/local/share/applications/own.desktop'
	run -0 timeout 120 qvm-sync-appmenus app
	entries_are app 'app.own app.qubes-start app.told '
	timeout 120 qvm-kill app
}
