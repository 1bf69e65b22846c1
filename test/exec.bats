#!/usr/bin/env bats
# bulkhead exec: programs with Qubes' paths built in, on an instance that has its own; qubes run at once and do nothing.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
load terminal-lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib

# client ARGUMENT...: test/qubes-client.py, which knows Qubes' paths alone
client() {
	bulkhead exec -- python3 "$top/test/qubes-client.py" "$@"
}

# machine: what there is at those paths outside
machine() {
	ls -d /run/qubesd* /run/qubes /etc/qubes* /usr/lib/qubes 2>&1 || true
	grep -c . /proc/self/mountinfo
}

@test "a client of Qubes finds qubesd where it looks, and the machine has nothing of it" {
	local before
	before=$(machine)
	run -4 python3 "$top/test/qubes-client.py" admin.vm.List dom0
	make_template tmpl
	make_app work tmpl
	run -0 client admin.vm.List dom0
	[[ $output == *dom0* && $output == *'work class=AppVM state=Halted'* ]]
	run -1 client admin.vm.property.Get work nonesuch
	[[ $output == *QubesNoSuchPropertyError* ]]
	[ "$(machine)" = "$before" ]
}

@test "each path is the instance's, also when its qubesd is started anew meanwhile" {
	mkdir -p "$BULKHEAD_HOME/config/policy.d"
	echo '# mine' >"$BULKHEAD_HOME/config/policy.d/31-mine.policy"
	mkdir -p "$BULKHEAD_HOME/config/qubes-rpc"
	printf '#!/bin/sh\necho own\n' >"$BULKHEAD_HOME/config/qubes-rpc/qubes.GetDate"
	printf '#!/bin/sh\necho another\n' >"$BULKHEAD_HOME/config/qubes-rpc/test.Mine"
	chmod +x "$BULKHEAD_HOME/config/qubes-rpc/"*
	run -0 bulkhead exec -- sh -c '
		for s in /run/qubesd.sock /run/qubesd.internal.sock /run/qubesd.misc.sock /run/qubes/policy.sock; do test -S $s || exit 1; done
		cat /etc/qubes/policy.d/31-mine.policy
		/etc/qubes-rpc/qubes.GetDate; /etc/qubes-rpc/test.Mine; test -x /etc/qubes-rpc/qubes.NotifyTools || exit 1
		/usr/lib/qubes/qrexec-client --help | head -n 1'
	[[ $output == $'# mine\nown\nanother\n'*qrexec-client* ]]
	mkfifo "$BULKHEAD_HOME/go"
	bulkhead exec -- sh -c 'echo >"$1.there"; read -r _ <"$1"; python3 "$2" admin.vm.List dom0' sh "$BULKHEAD_HOME/go" "$top/test/qubes-client.py" \
		>"$BULKHEAD_HOME/said" 3>&- &
	local pid=$!
	within 10 test -s "$BULKHEAD_HOME/go.there"
	daemon_stop
	daemon_start
	echo >"$BULKHEAD_HOME/go"
	wait $pid
	grep -q 'dom0 class=AdminVM' "$BULKHEAD_HOME/said"
}

@test "all else is as it is: files, folders and mounts below them, who one is, the working folder" {
	local what
	# shellcheck disable=SC2016
	what='cd "$1" && pwd && id && umask && stat -c "%n %F %a $2 %s" /etc/passwd /etc/group /etc/ssl /usr/lib/os-release /tmp /proc/self/ns/net
		cat /etc/passwd; readlink /etc/mtab /etc/os-release; find /usr/lib/systemd | sort | cksum; for f in /run/*; do echo "$f"; done | grep -v qubes
		for f in /etc/*; do echo "$f"; done | grep -v qubes'
	# in an ordinary user's namespace those of others are nobody's
	local owners=
	[ "$(id -u)" != 0 ] || owners='%u %g'
	diff <(sh -c "$what" sh "$BULKHEAD_HOME" "$owners") <(bulkhead exec -- sh -c "$what" sh "$BULKHEAD_HOME" "$owners")
	diff <(cd /etc && sh -c "ls -i passwd; cd ..; pwd") <(cd /etc && bulkhead exec -- sh -c "ls -i passwd; cd ..; pwd")
	# what is made below is made outside
	bulkhead exec -- touch "$BULKHEAD_HOME/made"
	[ -f "$BULKHEAD_HOME/made" ]
	# and in the folders themselves nothing, rather than something that would be nobody's
	run ! bulkhead exec -- touch /etc/bulkhead-exec-test
	run ! bulkhead exec -- touch /run/bulkhead-exec-test
	[ ! -e /etc/bulkhead-exec-test ]
}

@test "exit code, signals, streams and terminal are the program's" {
	run -7 bulkhead exec -- sh -c 'exit 7'
	run -143 bulkhead exec -- sh -c 'kill -TERM $$'
	run -0 bulkhead exec -- tr a-z A-Z <<<"text"
	[ "$output" = TEXT ]
	run -127 bulkhead exec -- /nowhere/program
	[[ $output == *"/nowhere/program: No such file or directory"* ]]
	run -126 bulkhead exec -- /etc/passwd
	run -2 bulkhead exec
	dir=$BULKHEAD_HOME terminal_begin bulkhead exec -- sh -c 'test -t 0 && test -t 1 && tty && read -r x && echo "got $x"; sleep 300'
	dir=$BULKHEAD_HOME
	echo word >&9
	within 10 grep -q 'got word' "$dir/screen"
	printf '\003' >&9
	within 10 test -s "$dir/code"
	exec 9>&-
	grep -qE -- '^(-2|130)$' "$dir/code"
}

@test "an ordinary user is who he was; root stays root; sudo runs services of dom0 and nothing else" {
	# shellcheck disable=SC2016
	[ "$(bulkhead exec -- sh -c 'id -u; id -g')" = "$(id -u; id -g)" ]
	if [ "$(id -u)" = 0 ]; then
		# all of it: a program of root's can become others
		bulkhead exec -- setpriv --reuid 65534 --clear-groups true
		[[ $(bulkhead exec -- sh -c 'echo $PATH') != *exec-bin* ]]
		return
	fi
	mkdir -p "$BULKHEAD_HOME/config/qubes-rpc"
	printf '#!/bin/sh\necho "$QREXEC_REMOTE_DOMAIN $QREXEC_REQUESTED_TARGET $1"\n' >"$BULKHEAD_HOME/config/qubes-rpc/test.Mine"
	chmod +x "$BULKHEAD_HOME/config/qubes-rpc/test.Mine"
	run -0 bulkhead exec -- sudo env QREXEC_REMOTE_DOMAIN=dom0 QREXEC_REQUESTED_TARGET=work /etc/qubes-rpc/test.Mine arg
	[ "$output" = 'dom0 work arg' ]
	run -1 bulkhead exec -- sudo id
	[[ $output == *'outside of it'* ]]
	run -1 bulkhead exec -- sudo env A=b /etc/qubes-rpc/test.Mine
}

@test "where it cannot be, it says what to do" {
	# nobody but who has the privilege already may make namespaces
	# shellcheck disable=SC2016
	run -1 unshare --user --map-root-user sh -c 'echo 0 >/proc/sys/user/max_user_namespaces &&
		exec setpriv --bounding-set=-all --inh-caps=-all "$@"' sh "$(command -v bulkhead)" exec -- true
	[[ $output == *'sudo sysctl -w user.max_user_namespaces='* ]]
	daemon_stop
	run -1 bulkhead exec -- true
	[[ $output == *'bulkhead start'* ]]
	BULKHEAD_HOME=$BULKHEAD_HOME/none run -1 bulkhead exec -- true
}

@test "help, manual page and completion know it" {
	run -0 bulkhead exec --help
	[[ $output == *'-- PROGRAM'* ]]
	bulkhead --man bulkhead | grep -q 'qubes.-release'
	bulkhead --completion bash | grep -q exec
}
