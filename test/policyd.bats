#!/usr/bin/env bats
# Decisions as daemons ask for them: the real policyd below a real qubesd, questions on its socket. No qube runs here.
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib

setup() {
	BULKHEAD_HOME=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead policyd.XXXXXX")
	export BULKHEAD_HOME
	mkdir -p "$BULKHEAD_HOME/config/policy.d"
	timeout 30 bulkhead start
	qvm-create --class TemplateVM --label black tmpl
	qvm-create --template tmpl --label red work
	qvm-create --template tmpl --label blue vault
}

teardown() {
	instance_end
}

# policy FILE: standard input is that file of the policy from now on
policy() {
	cat >"$BULKHEAD_HOME/config/policy.d/new"
	mv "$BULKHEAD_HOME/config/policy.d/new" "$BULKHEAD_HOME/config/policy.d/$1"
}

# question SOURCE TARGET SERVICE [LINE]...: the answer, its lines joined by blanks
question() {
	local source=$1 target=$2 service=$3
	shift 3
	printf '%s\n' "source=$source" "intended_target=$target" "service_and_arg=$service" "$@" '' | send
}

send() {
	timeout 10 socat -t10 - "UNIX-CONNECT:$BULKHEAD_HOME/run/policy.sock" | tr '\n' ' '
}

# would SOURCE TARGET SERVICE: allow or deny, without anything being started
would() {
	[[ $(question "$@" just_evaluate=yes) =~ result=(allow|deny) ]] && echo "${BASH_REMATCH[1]}"
}

would_be() {
	[ "$(would "${@:2}")" = "$1" ]
}

decisions() {
	cat "$BULKHEAD_HOME"/state/log/policy-?.log
}

# pid_of NAME: of this instance's qrexec-policyd or policy-loader
pid_of() {
	local p
	for p in $(instance_processes); do
		if [ "$(cat "/proc/$p/comm")" = "$1" ]; then echo "$p"; fi
	done
}

@test "a call is decided by the first rule that matches, and the answer has the lines a daemon wants" {
	policy 30-user.policy <<-'END'
		test.A  +x  work  vault     allow user=root autostart=no
		test.A  *   work  @default  allow target=vault
		test.A  *   work  vault     deny
	END
	within 10 would_be allow work @default test.A+y
	run question work '' test.A+y just_evaluate=yes
	[[ $output == "user=DEFAULT result=allow target=vault target_uuid=uuid:"*" autostart=True requested_target=@default " ]]
	would_be deny work vault test.A
	would_be deny vault work test.A
	# it does not run, and may not be started
	would_be deny work vault test.A+x
	[[ $(decisions) != *caller=* ]]
	[ "$(question work vault test.A+x)" = 'result=deny ' ]
	decisions | grep -q $'verdict=deny\tcaller=work\tservice=test.A+x\ttarget=vault\trule=30-user.policy:1\treason=.*\tus='
}

@test "what is no question is refused, and the next one is heard" {
	local q
	policy 30-user.policy <<<'* * * * allow'
	within 10 would_be allow work vault test.A
	for q in 'source=work\nintended_target=vault\nservice_and_arg=a\nsource=dom0\n\n' \
		'source=work\nintended_target=vault\n\n' 'source=work\nintended_target=vault\nservice_and_arg=+a\n\n' \
		'source=work\nintended_target=vault\nservice_and_arg=a\n\nmore' 'x\n\n' 'source=w\0\n\n'; do
		# shellcheck disable=SC2059
		[ "$(printf "$q" | send)" = 'result=deny ' ]
	done
	# who still writes when the answer is clear hears it
	[ "$(head -c 100000 /dev/zero | tr '\0' x | send)" = 'result=deny ' ]
	[ "$({ printf 'source=work\n\n'; head -c 500000 /dev/zero; } | send)" = 'result=deny ' ]
	would_be allow work vault test.A
}

@test "a policy with a fault refuses everything, and the log says which line" {
	policy 30-user.policy <<<'* * * * allow'
	within 10 would_be allow work vault test.A
	policy 40-more.policy <<<$'# fine\ntest.A * work'
	within 10 would_be deny work vault test.A
	grep -q 'every call is refused: the policy has a fault: 40-more.policy:2: ' "$BULKHEAD_HOME/state/log/qubesd.log"
	decisions | grep -q $'verdict=fault\treason=40-more.policy:2: '
	bulkhead status | grep -qx 'policy     every call is refused: 40-more.policy:2: wrong number of fields'
	[ "$(bulkhead status --json | jq -r .policy_fault)" = '40-more.policy:2: wrong number of fields' ]
	rm "$BULKHEAD_HOME/config/policy.d/40-more.policy"
	within 10 would_be allow work vault test.A
	bulkhead status | grep -qx 'policy     1 rule'
	[ "$(bulkhead status --json | jq .policy_fault)" = null ]
	# a folder that nobody can read is a fault too
	ln -s /nowhere "$BULKHEAD_HOME/config/policy.d/50-x.policy"
	within 10 would_be deny work vault test.A
	rm "$BULKHEAD_HOME/config/policy.d/50-x.policy"
	within 10 would_be allow work vault test.A
}

@test "changes of files take effect by themselves: written, moved, removed, in folders, in the runtime folder" {
	local d="$BULKHEAD_HOME/config/policy.d" run
	run=$(readlink "$BULKHEAD_HOME/run")
	echo 'test.A * work vault allow' >"$d/30-user.policy"
	within 10 would_be allow work vault test.A
	echo 'test.A * work vault deny' >"$d/30-user.policy"
	within 10 would_be deny work vault test.A
	mkdir "$d/include"
	echo 'work vault allow' >"$d/include/who"
	echo '!include-service test.A * include/who' >"$d/30-user.policy"
	within 10 would_be allow work vault test.A
	echo 'work vault deny' >"$d/include/who"
	within 10 would_be deny work vault test.A
	echo 'test.A * work vault allow' >"$run/policy.d/10-now.policy"
	within 10 would_be allow work vault test.A
	# of one name in both the runtime folder's counts
	mv "$run/policy.d/10-now.policy" "$run/policy.d/30-user.policy"
	rm "$d/include/who"
	within 10 would_be allow work vault test.A
	rm -r "$run/policy.d"
	within 10 would_be deny work vault test.A
	mkdir "$run/policy.d"
	echo 'test.A * work vault allow' >"$run/policy.d/30-user.policy"
	within 10 would_be allow work vault test.A
}

@test "changes take effect however they are made: links, folders replaced whole, what editors leave behind" {
	local d="$BULKHEAD_HOME/config/policy.d" e="$BULKHEAD_HOME/else where"
	mkdir "$e"
	# a link, what it leads to changed in place, replaced, and the link itself led elsewhere
	echo 'test.A * work vault allow' >"$e/x"
	ln -s "$e/x" "$d/30-user.policy"
	within 10 would_be allow work vault test.A
	echo 'test.A * work vault deny' >"$e/x"
	within 10 would_be deny work vault test.A
	echo 'test.A * work vault allow' >"$e/new"
	mv "$e/new" "$e/x"
	within 10 would_be allow work vault test.A
	echo 'test.A * work vault deny' >"$e/x"
	within 10 would_be deny work vault test.A
	echo 'test.A * work vault allow' >"$e/y"
	ln -sfn "$e/y" "$d/30-user.policy"
	within 10 would_be allow work vault test.A
	# what editors leave beside it: a lock that is a link to nowhere, copies of any size and mode
	ln -s user@host.4711:12 "$d/.#30-user.policy"
	ln -s /nowhere "$d/lock"
	head -c 2000000 /dev/zero >"$d/.30-user.policy.swp"
	echo 'half a ru' >"$d/30-user.policy~"
	echo 'half a ru' >"$d/#30-user.policy#"
	mkfifo "$d/40-fifo.policy"
	sleep 0.5
	would_be allow work vault test.A
	rm "$d/40-fifo.policy"
	# a folder of includes that comes later, is a link, and goes
	mkdir "$e/inc"
	echo 'work vault deny' >"$e/inc/who"
	ln -s "$e/inc" "$d/include"
	policy 20-more.policy <<<'!include-service test.A * include/who'
	within 10 would_be deny work vault test.A
	echo 'work vault allow' >"$e/inc/who"
	within 10 would_be allow work vault test.A
	mv "$e/inc" "$e/gone"
	within 10 would_be deny work vault test.A
	qubes-policy log -n 1 | grep -q 'fault .*20-more.policy:1: '
	mv "$e/gone" "$e/inc"
	within 10 would_be allow work vault test.A
	# one that leads nowhere is a fault until all of its way is there, by another link that is not there yet either
	ln -s "$e/way/later" "$d/25-later.policy"
	within 10 would_be deny work vault test.A
	qubes-policy log -n 1 | grep -q 'fault .*25-later.policy'
	ln -s "elsewhere/deep" "$e/way"
	mkdir "$e/elsewhere"
	mkdir "$e/elsewhere/deep"
	would_be deny work vault test.A
	echo 'test.L * work vault allow' >"$e/elsewhere/deep/new"
	mv "$e/elsewhere/deep/new" "$e/elsewhere/deep/later"
	within 10 would_be allow work vault test.L
	would_be allow work vault test.A
	rm "$e/elsewhere/deep/later"
	within 10 would_be deny work vault test.A
	echo 'test.L * work vault deny' >"$e/elsewhere/deep/later"
	within 10 would_be allow work vault test.A
	would_be deny work vault test.L
	rm "$d/25-later.policy"
	# the whole folder replaced, by another one and by a link
	mkdir "$e/policy.d"
	echo 'test.A * work vault deny' >"$e/policy.d/30-user.policy"
	mv "$d" "$e/old"
	mv "$e/policy.d" "$d"
	within 10 would_be deny work vault test.A
	mv "$d" "$e/policy.d"
	echo 'test.A * work vault allow' >"$e/policy.d/30-user.policy"
	ln -s "$e/policy.d" "$d"
	within 10 would_be allow work vault test.A
	echo 'test.A * work vault deny' >"$e/policy.d/30-user.policy"
	within 10 would_be deny work vault test.A
	# and what that is in, gone for a time
	echo 'test.A * work vault allow' >"$(readlink "$BULKHEAD_HOME/run")/policy.d/10-now.policy"
	within 10 would_be allow work vault test.A
	mv "$BULKHEAD_HOME/config" "$e/config"
	rm "$(readlink "$BULKHEAD_HOME/run")/policy.d/10-now.policy"
	within 10 would_be deny work vault test.A
	mkdir -p "$BULKHEAD_HOME/config/policy.d"
	echo 'test.A * work vault allow' >"$d/30-user.policy"
	within 10 would_be allow work vault test.A
}

@test "a grant holds over a restart of policyd and no longer than said, by the clock that sleep does not stop" {
	policy 30-user.policy <<<'* * @anyvm @anyvm deny'
	within 10 would_be deny work vault test.A
	qubes-policy grant --for 20s work vault test.A+x
	would_be allow work vault test.A+x
	kill -9 "$(pid_of qrexec-policyd)"
	within 15 would_be allow work vault test.A+x
	# its words mean what they say and no more
	would_be deny work vault test.A
	would_be deny work vault test.A+xx
	would_be deny work vault test.AB+x
	would_be deny vault work test.A+x
	would_be deny work tmpl test.A+x
	would_be deny work @default test.A+x
	[ "$(id -u)" != 0 ] || grep -qx 'clockid: 7' /proc/"$(pid_of policy-loader)"/fdinfo/*
	within 40 would_be deny work vault test.A+x
	[ -z "$(qubes-policy grant --list)" ]
	# one of another boot does not hold, whatever its second; nor does a line that is none
	printf '#!grant %s 99999999999\ntest.B * work vault allow\n' 00000000-0000-0000-0000-000000000000 | policy 20-b.policy
	printf '#!grant %s x\ntest.B * work vault allow\n' "$(cat /proc/sys/kernel/random/boot_id)" | policy 21-b.policy
	printf '#!grant %s 99999999999\ntest.C * work vault allow\n' "$(cat /proc/sys/kernel/random/boot_id)" | policy 22-b.policy
	within 10 would_be allow work vault test.C
	would_be deny work vault test.B
}

@test "once a change of a qube is answered, calls are decided by it" {
	local i
	policy 30-user.policy <<-'END'
		test.A * @tag:trusted  vault  allow
		test.A * work  @dispvm:dvm  allow
		test.B * work  @default  allow target=@dispvm
	END
	within 10 eval '[ -n "$(pid_of qrexec-policyd)" ]'
	for ((i = 0; i < 100; i++)); do
		[ "$(ask 'admin.vm.tag.Set+trusted dom0 name work\0')" = '0|' ]
		would_be allow work vault test.A
		[ "$(ask 'admin.vm.tag.Remove+trusted dom0 name work\0')" = '0|' ]
		would_be deny work vault test.A
	done
	qvm-create --template tmpl --label red dvm
	would_be deny work @dispvm:dvm test.A
	qvm-prefs dvm template_for_dispvms True
	would_be allow work @dispvm:dvm test.A
	would_be deny work @default test.B
	qvm-prefs work default_dispvm dvm
	would_be allow work @default test.B
	qvm-prefs --default work default_dispvm
	would_be deny work @default test.B
	[ "$(ask 'admin.property.Set+default_dispvm dom0 name dom0\0dvm')" = '0|' ]
	would_be allow work @default test.B
	qvm-create --template tmpl --label red new
	[ "$(ask 'admin.vm.tag.Set+trusted dom0 name new\0')" = '0|' ]
	would_be allow new vault test.A
	qvm-remove --force new
	would_be deny new vault test.A
	qvm-create --template tmpl --label red new
	would_be deny new vault test.A
}

@test "whichever is killed, it comes back, and questions that are asked meanwhile are answered by the policy" {
	local i victim pid
	policy 30-user.policy <<<'test.A * work vault allow'
	within 10 would_be allow work vault test.A
	for victim in qrexec-policyd policy-loader qrexec-policyd; do
		pid=$(pid_of $victim)
		kill -9 "$pid"
		within 10 would_be allow work vault test.A
		within 10 test ! -e "/proc/$pid"
	done
	pid=$(pid_of qrexec-policyd)
	kill -9 "$(grep -slzxF "BULKHEAD_HOME=$BULKHEAD_HOME" /proc/[0-9]*/environ | while IFS=/ read -r _ _ p _; do
		[ "$(cat "/proc/$p/comm")" != qubesd ] || echo "$p"
	done)"
	within 10 test ! -e "/proc/$pid"
	[ -z "$(pid_of policy-loader)" ]
	timeout 30 bulkhead start
	within 10 would_be allow work vault test.A
	# what was changed while nobody decided is known
	[ "$(ask 'admin.vm.tag.Set+trusted dom0 name work\0')" = '0|' ]
	policy 30-user.policy <<<'test.A * @tag:trusted vault allow'
	kill -9 "$(pid_of qrexec-policyd)"
	within 10 would_be allow work vault test.A
}

@test "a new instance has the default policy, and what its user makes of it stays" {
	local d="$BULKHEAD_HOME/config/policy.d"
	timeout 60 bulkhead stop
	rmdir "$d"
	timeout 30 bulkhead start
	(cd "$d" && find . -type f | sort) | diff - <(cd "$top/policy.d" && find . -name '*.policy' -o -path './include/*' | sort)
	within 10 would_be allow work dom0 qubes.NotifyUpdates
	would_be deny work vault qubes.VMRootShell
	would_be deny work dom0 admin.vm.List
	[[ $(question work vault qubes.Filecopy just_evaluate=yes assume_yes_for_ask=yes) == *' target=vault '* ]]
	rm "$d/90-default.policy"
	timeout 60 bulkhead stop
	timeout 30 bulkhead start
	[ ! -e "$d/90-default.policy" ]
	within 10 would_be deny work dom0 qubes.NotifyUpdates
}

@test "many questions at once are all answered" {
	local i
	policy 30-user.policy <<<'test.A * work vault allow'
	within 10 would_be allow work vault test.A
	for ((i = 0; i < 200; i++)); do
		question work vault test.A just_evaluate=yes >"$BULKHEAD_HOME/answer$i" &
	done
	wait
	[ "$(cat "$BULKHEAD_HOME"/answer* | grep -o result=allow | wc -l)" = 200 ]
	# and one that never says what it wants keeps nobody waiting
	sleep 60 | socat - "UNIX-CONNECT:$BULKHEAD_HOME/run/policy.sock" 3>&- &
	would_be allow work vault test.A
	kill %% 2>/dev/null || true
}

@test "a target that cannot be started is a refusal, and the log says why" {
	policy 30-user.policy <<-'END'
		test.A * work  vault      allow
		test.B * work  @anyvm     ask default_target=vault
	END
	within 10 would_be allow work vault test.A
	[ "$(question work vault test.A)" = 'result=deny ' ]
	decisions | grep $'service=test.A\t' | grep -q $'rule=30-user.policy:1\treason=it was not started: '
	[ "$(question work @default test.B)" = 'result=deny ' ]
	decisions | grep $'service=test.B\t' | grep -q 'there is no prompt'
	[[ $(question work @default test.B just_evaluate=yes assume_yes_for_ask=yes) == *' target=vault '* ]]
}

@test "a flood of calls is counted in the log, not written" {
	local i
	policy 30-user.policy <<<'test.B * work vault deny'
	within 10 would_be deny work vault test.B
	for ((i = 0; i < 300; i++)); do
		question work vault test.A >/dev/null
	done
	question vault work test.A >/dev/null
	[ "$(decisions | grep -c caller=work)" -lt 250 ]
	[ "$(decisions | grep -c caller=vault)" = 1 ]
}

@test "qubes-policy log shows what was decided, filters it, and follows" {
	local follower
	policy 30-user.policy <<-'END'
		test.B * vault work deny
		test.C * work dom0 allow
	END
	within 10 would_be deny vault work test.B
	qubes-policy log --follow --caller vault >"$BULKHEAD_HOME/followed" 3>&- &
	follower=$!
	question work vault 'test.A+x y' >/dev/null
	question vault work test.B >/dev/null
	question work dom0 test.C+z >/dev/null
	run qubes-policy log
	[[ ${lines[0]} =~ ^20[0-9-]+\ [0-9:]+\ \ policy\ \ 0\ rules$ ]]
	[[ $output == *"  deny    work -> vault  test.A+x y  no rule matches  "*" us"* ]]
	[[ $output == *"  deny    vault -> work  test.B  30-user.policy:1  a rule says so  "* ]]
	[[ $output == *"  allow   work -> dom0  test.C+z  30-user.policy:2  "* ]]
	[ "$(qubes-policy log --caller work | wc -l)" = 2 ]
	[ "$(qubes-policy log --caller work --verdict allow | wc -l)" = 1 ]
	[ "$(qubes-policy log --service test.C --since 1h | wc -l)" = 1 ]
	[ "$(qubes-policy log --service test. | wc -l)" = 0 ]
	[ "$(qubes-policy log --target vault | wc -l)" = 1 ]
	[[ $(qubes-policy log -n 1) == *test.C* ]]
	[ "$(qubes-policy log --raw)" = "$(cat "$BULKHEAD_HOME/state/log/policy-0.log")" ]
	within 10 grep -q 'vault -> work' "$BULKHEAD_HOME/followed"
	kill "$follower"
	[ "$(qubes-policy log --since '2020-01-01' --until "$(date -d tomorrow '+%F %H:%M')" | wc -l)" = "$(qubes-policy log | wc -l)" ]
	[ -z "$(qubes-policy log --until 1h)$(qubes-policy log --since "$(date -d tomorrow '+%F %T')")" ]
	[ "$(qubes-policy log --json --caller work | jq -r '[.verdict, .target, .service] | join(" ")')" = \
		$'deny vault test.A+x y\nallow dom0 test.C+z' ]
	qubes-policy log --json | jq -e "(.time > $(date -d yesterday +%s)) and (.us >= 0)" >/dev/null
	# the file that was written last comes last, whichever it is
	sed 's/^time=/time=1/' "$BULKHEAD_HOME/state/log/policy-0.log" | head -n 1 >"$BULKHEAD_HOME/state/log/policy-1.log"
	[[ $(qubes-policy log | tail -n 1) == *policy* ]]
	# shellcheck disable=SC2086 # a row may be two words
	for o in --since=1 --since=soon --until=2026-13-01 --lines=x --verdict=maybe '--raw --json' word; do
		run qubes-policy log $o
		[ "$status" = 2 ]
	done
}

@test "each decision is an entry of the journal, which qubes-policy log reads where there are no files" {
	[ "$(id -u)" = 0 ] || skip "a journal of one's own needs root"
	timeout 60 bulkhead stop
	mkdir "$BULKHEAD_HOME/journal"
	rm "$BULKHEAD_HOME"/state/log/policy-?.log
	export -f question send would would_be within policy
	export BATS_TEST_NUMBER
	# shellcheck disable=SC2016
	timeout 120 unshare -m bash -euc '
		mount --make-rprivate /
		mkdir -p /run/systemd /run/log /var/log/journal
		for d in /run/systemd /run/log /var/log/journal; do mount -t tmpfs tmpfs $d; done
		mkdir /run/systemd/journal /run/log/journal
		/lib/systemd/systemd-journald 2>/dev/null &
		journald=$!
		trap "kill $journald" EXIT
		within 20 test -S /run/systemd/journal/socket
		timeout 30 bulkhead start
		printf "%s\n" "test.B * vault work deny" "test.C * work dom0 allow" | policy 30-user.policy
		within 10 would_be allow work dom0 test.C
		question work dom0 test.C+x >/dev/null
		question vault work test.B >/dev/null
		printf "test.B * work" | policy 40-broken.policy
		within 10 would_be deny work dom0 test.C
		journalctl -q --sync
		journalctl -q -o cat -t qrexec-policyd BULKHEAD_CALLER=work | grep -qx "work: test.C+x to dom0: allow"
		[ "$(journalctl -q -o cat -p err -t qrexec-policyd)" = "fault: 40-broken.policy:1: wrong number of fields" ]
		# the same from both, though another instance writes there too
		printf "%s\n" SYSLOG_IDENTIFIER=qrexec-policyd MESSAGE=elsewhere BULKHEAD_INSTANCE=/elsewhere BULKHEAD_TIME=1.000000 \
			BULKHEAD_VERDICT=deny BULKHEAD_CALLER=vault BULKHEAD_SERVICE=test.B BULKHEAD_TARGET=work | logger --journald
		within 10 eval "journalctl -q -o cat -t qrexec-policyd | grep -qx elsewhere"
		qubes-policy log --raw >"$BULKHEAD_HOME/journal/files"
		qubes-policy log --raw --journal >"$BULKHEAD_HOME/journal/read"
		diff "$BULKHEAD_HOME/journal/files" "$BULKHEAD_HOME/journal/read"
		rm "$BULKHEAD_HOME"/state/log/policy-?.log
		qubes-policy log --caller vault --json >"$BULKHEAD_HOME/journal/json"
		qubes-policy log -f --caller vault >"$BULKHEAD_HOME/journal/followed" &
		rm "$BULKHEAD_HOME/config/policy.d/40-broken.policy"
		within 10 would_be allow work dom0 test.C
		question vault work test.B+more >/dev/null
		within 20 grep -q "test.B+more" "$BULKHEAD_HOME/journal/followed"
		kill %2
		timeout 60 bulkhead stop
	' 3>&-
	jq -e '.verdict == "deny" and .service == "test.B" and .rule == "30-user.policy:1"' "$BULKHEAD_HOME/journal/json"
	[ "$(wc -l <"$BULKHEAD_HOME/journal/json")" = 1 ]
}

@test "qrexec-policy-exec asks policyd; without one it decides what needs nobody to be started" {
	policy 30-user.policy <<-'END'
		test.B * vault dom0 allow
		test.C * work vault allow
		test.D * work @anyvm ask
	END
	within 10 would_be allow vault dom0 test.B
	run --separate-stderr "$libexec/qrexec-policy-exec" -- vault dom0 test.B+x
	[ "$status" = 0 ]
	[ "$output" = "$(printf '%s\n' user=DEFAULT result=allow target=dom0 autostart=True requested_target=dom0)" ]
	[ -z "$stderr" ]
	[ "$(qubes-policy log --caller vault | wc -l)" = 1 ]
	run "$libexec/qrexec-policy-exec" -- work vault test.B
	[ "$status $output" = '1 result=deny' ]
	run "$libexec/qrexec-policy-exec" --just-evaluate --assume-yes-for-ask -- work vault test.D
	[[ "$status $output" == "0 "*"target=vault"* ]]
	run "$libexec/qrexec-policy-exec" work
	[ "$status" = 2 ]
	# its socket gone: as if there were no policyd
	rm "$(readlink "$BULKHEAD_HOME/run")/policy.sock"
	run "$libexec/qrexec-policy-exec" -- vault dom0 test.B
	[[ "$status $output" == "0 "*"target=dom0"* ]]
	run "$libexec/qrexec-policy-exec" -- work vault test.C
	[ "$status $output" = '1 result=deny' ]
	run "$libexec/qrexec-policy-exec" --just-evaluate -- work vault test.C
	[[ "$status $output" == "0 "*"target=vault"* ]]
	echo broken >"$BULKHEAD_HOME/config/policy.d/40-x.policy"
	run "$libexec/qrexec-policy-exec" -- vault dom0 test.B
	[[ "$status $output" == "1 "*"40-x.policy:1: "*"result=deny" ]]
}

@test "qubes-policy-lint finds faults before they are there" {
	local draft="$BULKHEAD_HOME/draft"
	mkdir -p "$draft/include"
	policy 30-user.policy <<<'!include include/x'
	run qubes-policy-lint
	[[ "$status $output" == "1 qubes-policy lint: 30-user.policy:1: "* ]]
	echo 'test.B * work vault allow' >"$draft/include/x"
	run qubes-policy-lint "$draft/include/x"
	[ "$status $output" = '0 no fault; 1 rules' ]
	printf '\n\ntest.B * work vault maybe\n' >"$draft/30-user.policy"
	run qubes-policy-lint "$draft/include/x" "$draft/30-user.policy"
	[[ "$status $output" == "1 qubes-policy lint: 30-user.policy:3: "* ]]
	rm "$BULKHEAD_HOME/config/policy.d/30-user.policy"
	run qubes-policy-lint
	[ "$status $output" = '0 no fault; 0 rules' ]
}

@test "qubes-policy-editor installs what has no fault, and nothing else" {
	local file="$BULKHEAD_HOME/config/policy.d/30-user.policy" editor="$BULKHEAD_HOME/editor with blank"
	cat >"$editor" <<-'END'
		#!/bin/sh
		[ "$1" = -x ] && shift
		cp "$TEXT" "$1"
	END
	chmod +x "$editor"
	export TEXT="$BULKHEAD_HOME/text" VISUAL="'$editor' -x"
	echo 'test.B * vault dom0 allow' >"$TEXT"
	run qubes-policy-editor
	[ "$status" = 0 ]
	within 10 would_be allow vault dom0 test.B
	diff "$TEXT" "$file"
	run qubes-policy-editor 30-user.policy
	[[ "$status $output" == "0 "*"nothing is changed"* ]]
	# a fault is told and nothing is installed; policyd never sees it
	echo 'test.B * vault' >"$TEXT"
	run qubes-policy-editor </dev/null
	[[ "$status $output" == "1 "*"30-user.policy:1: "*"is as it was"* ]]
	[ "$(cat "$file")" = 'test.B * vault dom0 allow' ]
	would_be allow vault dom0 test.B
	[[ $(qubes-policy log --verdict fault | wc -l) = 0 ]]
	# an editor that fails changes nothing, and a name that is none is refused
	VISUAL=false run qubes-policy-editor
	[ "$status" = 1 ]
	for o in ../x.policy .x.policy x include/../x include/ 'a b.policy'; do
		run qubes-policy-editor "$o"
		[ "$status" = 2 ]
	done
	echo 'work @adminvm allow' >"$TEXT"
	run qubes-policy-editor include/admin-global-ro
	[ "$status" = 1 ] # the folder is not there
	mkdir "$BULKHEAD_HOME/config/policy.d/include"
	qubes-policy-editor include/admin-global-ro
	diff "$TEXT" "$BULKHEAD_HOME/config/policy.d/include/admin-global-ro"
	[ -z "$(find /tmp -maxdepth 1 -name 'qubes-policy.*' -newer "$editor")" ]
}

@test "a grant ends by itself, is listed, logged, and can be taken back" {
	policy 30-user.policy <<<'* * @anyvm @anyvm deny'
	within 10 would_be deny work vault test.A
	run qubes-policy grant --for 2s work vault test.A
	[[ "$status $output" == '0 granted for 2 s; to take it back: qubes-policy grant --revoke 1' ]]
	# it may be over by now on a slow machine, but then it has been
	within 30 would_be deny work vault test.A
	qubes-policy log --verdict policy | grep -q 'for a time 20-grant-1.policy: test.A \* work vault allow'
	[ -z "$(qubes-policy grant --list)" ]
	[[ $(qubes-policy log --verdict policy | tail -n 1) != *'for a time'* ]]
	qubes-policy grant --for 30m --user root work vault test.A+x
	would_be allow work vault test.A+x
	would_be deny work vault test.A+y
	[[ $(question work vault test.A+x just_evaluate=yes) == user=root\ * ]]
	qubes-policy grant --for 1d vault work test.B
	run qubes-policy grant --list
	[[ ${#lines[@]} = 2 && $output == *$'2\t'*$' min\ttest.A +x work vault allow user=root'* && $output == *$'3\t'2[34]' h '* ]]
	qubes-policy grant --revoke 2
	within 10 would_be deny work vault test.A+x
	would_be allow vault work test.B
	run qubes-policy grant --revoke 2
	[ "$status" = 1 ]
	qubes-policy grant --revoke all
	within 10 would_be deny vault work test.B
	# one that an earlier rule decides is told
	policy 10-first.policy <<<'test.A * * * deny'
	within 10 would_be deny work vault test.A
	run qubes-policy grant --for 1m work vault test.A
	[[ "$status $output" == "0 "*"an earlier rule decides"* ]]
	# nothing but one rule
	while IFS= read -r o; do
		eval "run qubes-policy grant $o"
		echo "$o -> $status $output"
		[ "$status" = 2 ]
	done <<-'END'
		--for 1m work vault
		--for 0s work vault test.A
		--for 31d work vault test.A
		--for 30 work vault test.A
		--for 1m $'work\nx' vault test.A
		--for 1m work 'vault allow' test.A
		--for 1m --user 'a b' work vault test.A
		--list work
		--revoke x
		--revoke 0
	END
	run qubes-policy grant --for 1m work @nonsense test.A
	[ "$status" = 1 ]
	[ "$(qubes-policy grant --list | wc -l)" = 1 ]
}

@test "qubes-policy explain --diff: what a changed policy would decide otherwise" {
	local other="$BULKHEAD_HOME/other"
	policy 30-user.policy <<-'END'
		test.A * work vault allow
		test.B * @anyvm @anyvm ask
	END
	within 10 would_be allow work vault test.A
	question work vault test.Seen+x >/dev/null
	mkdir "$other"
	cat "$BULKHEAD_HOME/config/policy.d/30-user.policy" >"$other/30-user.policy"
	[ "$(qubes-policy explain --diff "$other" | sed 's/of .* calls/of N calls/')" = '0 of N calls would be decided otherwise' ]
	cat >"$other/30-user.policy" <<-'END'
		test.A * work vault allow user=root
		test.B * @anyvm @anyvm ask
		test.Seen +x work vault allow
	END
	run qubes-policy explain --diff "$other"
	[ "$status" = 0 ]
	[ "${lines[0]}" = 'work -> vault  test.A: allow vault (30-user.policy:1) => allow vault as root (30-user.policy:1)' ]
	[ "${lines[1]}" = 'work -> vault  test.Seen+x: deny (no rule) => allow vault (30-user.policy:3)' ]
	[[ ${lines[2]} == '2 of '* ]]
	# a service that only the log has seen, and every rule gone
	: >"$other/30-user.policy"
	echo 'test.Seen * work vault allow' >>"$BULKHEAD_HOME/config/policy.d/30-user.policy"
	run qubes-policy explain --diff "$other"
	[[ $output == *'work -> vault  test.Seen+x: allow vault (30-user.policy:3) => deny (no rule)'* ]]
	echo 'no rule' >"$other/30-user.policy"
	run qubes-policy explain --diff "$other"
	[[ "$status $output" == '1 '*'30-user.policy:1: '* ]]
	run qubes-policy explain --diff "$other" work vault test.A
	[ "$status" = 2 ]
}

@test "policyd is behind its walls" {
	local p
	p=$(pid_of qrexec-policyd)
	grep -qx 'Seccomp:[[:space:]]*2' "/proc/$p/status"
	grep -qx 'NoNewPrivs:[[:space:]]*1' "/proc/$p/status"
	grep -qx 'CapEff:[[:space:]]*0000000000000000' "/proc/$p/status"
	[ "$(id -u)" != 0 ] || [ "$(awk '$1 == "Uid:" { print $2 }' "/proc/$p/status")" != 0 ]
	grep -qx 'Seccomp:[[:space:]]*2' "/proc/$(pid_of policy-loader)/status"
}
