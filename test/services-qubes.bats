#!/usr/bin/env bats
# The services of a qube, called in a real one as another qube or dom0 calls them: who they run as, what they do, how they end.
# bats file_tags=machines
# shellcheck shell=bash disable=SC2016,SC2154

bats_require_minimum_version 1.5.0
load lib

setup_file() {
	instance_begin
	appliance_begin work vault
	cat >"$BULKHEAD_HOME/config/policy.d/20-test.policy" <<-EOF
		qubes.VMRootShell  *  work  vault  allow user=root
	EOF
	for s in GetAppmenus GetDate OpenInVM OpenURL StartApp VMExec VMExecGUI VMShell WaitForSession; do
		echo "qubes.$s * work vault allow" >>"$BULKHEAD_HOME/config/policy.d/20-test.policy"
	done
	timeout 300 qvm-start work
	timeout 300 qvm-start vault
	opener vault
}

teardown_file() {
	instance_end
}

# opener QUBE: what opens files and pages there; /usr/local stays, and is a folder of a program's path
opener() {
	timeout 120 qvm-run -p -u root "$1" 'cat >/usr/local/bin/xdg-open && chmod 755 /usr/local/bin/xdg-open' <<-'EOF'
		#!/bin/sh
		echo "$(id -un) $1" >>/tmp/opened
		case $1 in
		*.bad) exit 3 ;;
		# what is to be viewed only cannot be written
		*.txt) [ ! -w "$1" ] || echo "seen by $(hostname)" >>"$1" ;;
		esac
	EOF
}

in_work() {
	timeout 300 qvm-run -p work "$@"
}
in_vault() {
	timeout 300 qvm-run -p vault "$@"
}
# serve QUBE SERVICE: dom0 calls a service of a qube
serve() {
	timeout 300 qvm-run -p --service "$@"
}

@test "a shell: as the default user, as root, after the session, with its exit code" {
	run -3 in_work 'echo "id -un; cd; pwd; exit 3" | qrexec-client-vm vault qubes.VMShell'
	[ "$output" = $'user\n/home/user' ]
	run -4 in_work 'echo "id -un; exit 4" | qrexec-client-vm vault qubes.VMRootShell'
	[ "$output" = root ]
	run -5 in_work 'echo "id -un; exit 5" | qrexec-client-vm vault qubes.VMShell+WaitForSession'
	[ "$output" = user ]
}

@test "a command: its words, its user, its exit code; a session is waited for by those that want one" {
	run -0 in_work "qvm-run-vm --no-shell vault printf '<%s>' 'a b' '\$x' ''"
	[ "$output" = '<a b><$x><>' ]
	run -6 in_work 'qvm-run-vm vault "id -un; exit 6"'
	[ "$output" = user ]
	run -127 in_work 'qvm-run-vm --no-shell vault nosuch.program 2>/dev/null'
	run -125 in_work 'qrexec-client-vm vault qubes.VMExec 2>/dev/null'
	# there is a session to come in vault, and it comes
	in_vault -u root 'mkdir -p /run/qubes; touch /run/qubes/session.expected'
	in_work 'qvm-run-vm --gui vault "test -e /run/qubes/session.user && echo after"' >"$BATS_TEST_TMPDIR/out" 3>&- &
	run -0 in_work 'qvm-run-vm vault "test ! -e /run/qubes/session.user && echo before"'
	[ "$output" = before ]
	waits() { in_vault -u root 'ps | grep -q "[q]ubes.WaitForSession"'; }
	within 120 waits
	in_vault -u root 'touch /run/qubes/session.user'
	wait $!
	[ "$(cat "$BATS_TEST_TMPDIR/out")" = after ]
	in_vault -u root 'rm /run/qubes/session.*'
}

@test "WaitForSession: at once where none is to come, and no name but a user's" {
	run -0 in_work 'echo user | qrexec-client-vm vault qubes.WaitForSession'
	[ -z "$output" ]
	run -125 in_work 'echo ../x | qrexec-client-vm vault qubes.WaitForSession'
}

@test "the clock: told to those who may ask, set by dom0, to a time that can be" {
	run -0 in_work 'qrexec-client-vm vault qubes.GetDate </dev/null'
	before=$(date -d "$output" +%s)
	now=$(date -u -d "@$((before + 7200))" +%Y-%m-%dT%H:%M:%S+00:00)
	run -0 serve vault qubes.SetDateTime <<<"$now"
	run -0 in_work 'qrexec-client-vm vault qubes.GetDate </dev/null'
	after=$(date -d "$output" +%s)
	[ $((after - before)) -ge 7200 ]
	for time in 1999-01-01T00:00:00+00:00 2100-01-01T00:00:00+00:00 2031-02-30T00:00:00+00:00 tomorrow ''; do
		run -125 serve vault qubes.SetDateTime <<<"$time"
	done
	run -0 in_work 'qrexec-client-vm vault qubes.GetDate </dev/null'
	[ $(($(date -d "$output" +%s) - after)) -ge 0 ]
	[ $(($(date -d "$output" +%s) - after)) -lt 3600 ]
	# not what a qube may
	run -126 in_work "echo '$now' | qrexec-client-vm vault qubes.SetDateTime"
	run -0 serve vault qubes.SetDateTime <<<"$(date -u +%Y-%m-%dT%H:%M:%S+00:00)"
}

@test "a file is opened in another qube and comes back changed; one that cannot be is an error here" {
	run -0 in_work 'echo first >a.txt && qvm-open-in-vm vault a.txt && cat a.txt'
	[ "$output" = $'first\nseen by vault' ]
	run -0 in_work 'echo first >b.txt && qvm-open-in-vm --view-only vault b.txt && cat b.txt'
	[ "$output" = first ]
	run -1 in_work 'echo first >c.bad; qvm-open-in-vm vault c.bad 2>/dev/null'
	run -0 in_vault 'sed "s|/tmp/work\.[^/]*/|/tmp/|" /tmp/opened; ls -d /tmp/work.* 2>/dev/null; true'
	[ "$output" = $'user /tmp/a.txt\nuser /tmp/b.txt\nuser /tmp/c.bad' ]
	in_vault 'rm /tmp/opened'
}

@test "a file that was not changed stays as it is, byte for byte and inode for inode" {
	run -0 in_work 'echo first >d.same && before=$(stat -c "%i %Y" d.same) && qvm-open-in-vm vault d.same && [ "$(stat -c "%i %Y" d.same)" = "$before" ] && cat d.same'
	[ "$output" = first ]
	# what cannot be written here comes back into its folder all the same, as a program here would replace it
	run -0 in_work 'echo first >e.txt && chmod 400 e.txt && qvm-open-in-vm vault e.txt && stat -c %a e.txt && cat e.txt'
	[ "$output" = $'400\nfirst\nseen by vault' ]
	in_vault 'rm /tmp/opened'
}

@test "a file is opened in a disposable and comes back changed, or not at all" {
	timeout 30 qvm-create -t appliance -l red --property template_for_dispvms=True dvm
	timeout 300 qvm-start dvm
	opener dvm
	timeout 300 qvm-shutdown --wait dvm
	qvm-prefs work default_dispvm dvm
	run -0 in_work 'echo first >g.txt && qvm-open-in-dvm g.txt && cat g.txt'
	[[ $output == $'first\nseen by disp'* ]]
	run -0 in_work 'echo first >h.txt && qvm-open-in-dvm --view-only h.txt && cat h.txt'
	[ "$output" = first ]
	run -1 in_work 'echo first >i.bad; qvm-open-in-dvm i.bad 2>/dev/null'
	[ "$(in_work 'cat i.bad')" = first ]
	gone() { ! qvm-ls --raw-data -O class | grep -q DispVM; }
	within 60 gone
}

@test "a page is opened in another qube, and nothing that is none" {
	in_vault 'rm -f /tmp/opened'
	run -0 in_work 'qvm-open-in-vm vault "https://example.org/?a=b&c"'
	run -0 in_vault 'cat /tmp/opened; rm /tmp/opened'
	[ "$output" = 'user https://example.org/?a=b&c' ]
	run -125 in_work 'echo "file:///etc/passwd" | qrexec-client-vm vault qubes.OpenURL'
	run -0 in_vault 'ls /tmp/opened 2>/dev/null | wc -l'
	[ "$output" = 0 ]
}

@test "applications: the menu's list, and one is started by its name" {
	in_vault 'mkdir -p ~/.local/share/applications; printf "[Desktop Entry]\nName=Told\nExec=sh -c \"id -un >/tmp/started\"\n" >~/.local/share/applications/told.desktop'
	in_vault -u root 'mkdir -p /usr/local/share/applications; printf "[Desktop Entry]\nName=All\nExec=true\n" >/usr/local/share/applications/all.desktop'
	run -0 in_work 'qrexec-client-vm vault qubes.GetAppmenus </dev/null'
	grep -qx '/usr/local/share/applications/all.desktop:Name=All' <<<"$output"
	run -0 in_work 'qrexec-client-vm vault qubes.StartApp+told </dev/null'
	run -0 in_vault 'cat /tmp/started'
	[ "$output" = user ]
	run -127 in_work 'qrexec-client-vm vault qubes.StartApp+nosuch </dev/null'
	run -125 in_work 'qrexec-client-vm vault qubes.StartApp </dev/null'
}

@test "before sleep listed modules go and hooks run, as root; afterwards they come back" {
	in_vault -u root 'modprobe dummy && mkdir -p /rw/config/suspend-pre.d /rw/config/suspend-post.d && echo dummy >/rw/config/suspend-module-blacklist
		for p in pre post; do printf "#!/bin/sh\nid -un >/tmp/hook-$p\n" >/rw/config/suspend-$p.d/x.sh; chmod 755 /rw/config/suspend-$p.d/x.sh; done'
	loaded() { in_vault 'grep -c "^dummy " /proc/modules || true'; }
	[ "$(loaded)" = 1 ]
	run -0 serve vault qubes.SuspendPre </dev/null
	[ "$(loaded)" = 0 ]
	run -0 serve vault qubes.SuspendPreAll </dev/null
	run -0 serve vault qubes.SuspendPost </dev/null
	[ "$(loaded)" = 1 ]
	run -0 serve vault qubes.SuspendPostAll </dev/null
	run -0 in_vault 'cat /tmp/hook-pre /tmp/hook-post'
	[ "$output" = $'root\nroot' ]
}

@test "when the machine sleeps the hooks of all running qubes run before and after, and clocks are set; who hangs is not waited for" {
	in_vault -u root 'rm -f /tmp/hook-*; mkdir -p /rw/config/suspend-pre.d /rw/config/suspend-post.d
		for p in pre post; do printf "#!/bin/sh\nid -un >/tmp/hook-$p\n" >/rw/config/suspend-$p.d/x.sh; chmod 755 /rw/config/suspend-$p.d/x.sh; done'
	[ "$(timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.internal.sock" < <(printf 'internal.SuspendPre dom0 name dom0\0') | tr '\0' '|')" = '0|' ]
	run -0 in_vault 'cat /tmp/hook-pre; ls /tmp/hook-post 2>/dev/null | wc -l'
	[ "$output" = $'root\n0' ]
	run -0 serve vault qubes.SetDateTime <<<"$(date -u -d 'now - 1 day' +%Y-%m-%dT%H:%M:%S+00:00)"
	[ "$(timeout 60 socat -t60 - "UNIX-CONNECT:$BULKHEAD_HOME/run/qubesd.internal.sock" < <(printf 'internal.SuspendPost dom0 name dom0\0') | tr '\0' '|')" = '0|' ]
	run -0 in_vault 'cat /tmp/hook-post; date -u +%s'
	[ "${lines[0]}" = root ]
	[ $((lines[1] - $(date +%s))) -gt -600 ]
	# not for tools, nor for qubes
	[[ $(ask 'internal.SuspendPre dom0 name dom0\0') == '2|ProtocolError|'* ]]
	in_vault -u root 'rm -r /rw/config/suspend-pre.d /rw/config/suspend-post.d'
}

@test "qvm-sync-clock: clocks of running qubes become dom0's, of anonymous ones if they are named" {
	for q in work vault; do
		run -0 serve $q qubes.SetDateTime <<<"$(date -u -d 'now - 2 days' +%Y-%m-%dT%H:%M:%S+00:00)"
	done
	qvm-tags vault add anon-vm
	run -0 timeout 120 qvm-sync-clock -v
	[[ $output == *"vault is anonymous and is not told"* ]]
	[ $(($(date +%s) - $(in_work 'date +%s'))) -lt 600 ]
	[ $(($(date +%s) - $(in_vault 'date +%s'))) -gt 80000 ]
	run -0 timeout 120 qvm-sync-clock vault
	[ $(($(date +%s) - $(in_vault 'date +%s'))) -lt 600 ]
	qvm-tags vault del anon-vm
	refused 1 "appliance does not run" qvm-sync-clock appliance
	refused 1 "where the time comes from" qvm-sync-clock dom0
	refused 2 "Try: " qvm-sync-clock --timeout soon
	# one that has no such service is named, the others are told
	in_vault -u root 'mount -t tmpfs none /etc/qubes-rpc'
	run -1 timeout 120 qvm-sync-clock
	[[ $output == *"vault has no service qubes.SetDateTime"* ]]
	in_vault -u root 'umount /etc/qubes-rpc' || qvm-kill vault
}

@test "qubes.ResizeDisk: what is as large as its disk stays so, and there are two disks" {
	run -0 serve work qubes.ResizeDisk <<<private
	run -0 serve work qubes.ResizeDisk <<<root
	run -125 serve work qubes.ResizeDisk <<<other
}
