# The tools as a user types them: help, usage, refusals, formats, completion and manual pages.
# shellcheck shell=bash disable=SC2030,SC2031,SC2016,SC2086,SC2154

bats_require_minimum_version 1.5.0
load lib

# every tool is a link to qvm
commands=$(find "$top/build/root/usr/bin" -lname qvm -printf '%f\n' | sort)

setup_file() {
	export commands
	instance_begin
}

teardown_file() {
	instance_end
}

@test "every command answers --help and --version, alone and as a word of qvm" {
	grep -qx qvm-start <<<"$commands"
	for c in $commands; do
		run "$c" --help
		[ "$status" = 0 ]
		[[ ${lines[0]} == "usage: $c "* ]]
		[ "$(qvm "${c#qvm-}" --help)" = "$("$c" --help)" ]
		[[ $("$c" --version) == "$c (Bulkhead) "* ]]
	done
	for c in start stop status doctor exec; do
		run bulkhead $c --help
		[ "$status" = 0 ]
		[[ ${lines[0]} == "usage: bulkhead $c "* ]]
	done
	for c in decide edit eval explain grant lint log; do
		run qubes-policy $c --help
		[ "$status" = 0 ]
		[[ ${lines[0]} == "usage: qubes-policy $c "* ]]
	done
	qvm --help | grep -q '^  template '
	bulkhead --help | grep -q '^  doctor '
}

@test "no command needs more than libc" {
	for p in qvm bulkhead; do
		run readelf -d "$top/build/root/usr/bin/$p"
		[ "$(grep -c NEEDED <<<"$output")" = 1 ]
	done
}

@test "wrong calls are usage errors: exit 2, and where help is" {
	while IFS= read -r line; do
		# shellcheck disable=SC2086
		refused 2 "Try: " $line
	done <<-'END'
		qvm
		qvm nonsense
		qvm-ls --nonsense
		qvm-ls --format nonsense
		qvm-ls --format simple --fields name
		qvm-ls --sort memory
		qvm-ls -O nonsense-column
		qvm-ls --fields ,
		qvm-ls --disk --fields name
		qvm-ls --internal maybe
		qvm-ls --exclude work
		qvm-ls --all dom0
		qvm-create
		qvm-create work
		qvm-create --label red one two
		qvm-create --label
		qvm-create --label red --property memory work
		qvm-create --label red -P default -p root=default work
		qvm-prefs
		qvm-prefs dom0 a b c
		qvm-prefs --default dom0
		qvm-features
		qvm-features dom0 a b c
		qvm-features --unset dom0
		qvm-features -D dom0 a b
		qvm-start
		qvm-start --all dom0
		qvm-start --exclude work
		qvm-shutdown --wait --timeout soon --all
		qvm-kill
		qvm-remove
		qvm-run
		qvm-run dom0
		qvm-run --localcmd cat dom0 ls
		qvm-run dom0 ls -la
		qvm-template
		qvm-template nonsense
		qvm-template install
		bulkhead
		bulkhead nonsense
		bulkhead start now
		bulkhead stop --timeout never
	END
}

@test "refusals name the cause: exit 1, and nothing has changed" {
	while IFS='|' read -r words line; do
		# shellcheck disable=SC2086
		refused 1 "$words" $line
	done <<-'END'
		no template 'nosuch'; qvm-template list|qvm-create --label red --template nosuch work
		there are: red, orange,|qvm-create --label pink -C TemplateVM work
		'dom0' has no default_dispvm|qvm-create --disp work
		no qube 'nosuch'|qvm-create -C DispVM --label red --template nosuch work
		is made from 'dom0'|qvm-create --disp --template dom0 work
		no root of its own|qvm-create --disp --root-copy-from /dev/null work
		no name for a qube|qvm-create --label red 1work
		no name for a qube|qvm-create --label red none
		no name for a qube|qvm-create --label red a/b
		no name for a qube|qvm-create --label red work-dm
		no name for a qube|qvm-create --label red abcdefghijabcdefghijabcdefghij12
		no class|qvm-create --label red --class Nonsense work
		memory|qvm-create --label red -C TemplateVM --property memory=lots work
		memory|qvm-create --label red -C TemplateVM --property memory=0 work
		nosuch|qvm-create --label red -C TemplateVM --property nosuch=1 work
		a template has no template|qvm-create --label red -C TemplateVM -t nosuch work
		No such file|qvm-create --label red -C TemplateVM -r /nonexistent work
		no qube 'nosuch'|qvm-ls nosuch
		no qube 'nosuch'; qvm-ls lists|qvm-prefs nosuch
		--help-properties|qvm-prefs dom0 nosuch
		no qube 'nosuch'|qvm-features nosuch
		no feature 'nosuch'|qvm-features dom0 nosuch
		there are: red, orange,|qvm-prefs dom0 label pink
		no qube 'nosuch'|qvm-ls dom0 nosuch
		there are: red, orange,|qvm-ls --label nosuch
		there are: red, orange,|qvm-ls --label red nosuch
		there are: AdminVM, AppVM,|qvm-ls --class Nonsense
		there are: AdminVM, AppVM,|qvm-ls --class VM
		there are: AdminVM, AppVM,|qvm-ls --class AppVM,
		no qube 'nosuch'|qvm-ls --template-source nosuch
		no qube 'nosuch'|qvm-ls --netvm-is nosuch
		too little|qvm-create --label red -C TemplateVM --property memory=1 work
		memory of 'work', 400|qvm-create --label red -C TemplateVM --property maxmem=300 work
		no qube 'typo'|qvm-remove --force --all --exclude typo
		no qube 'typo'|qvm-shutdown --all --exclude typo
		trusted side|qvm-pause --suspend dom0
		no qube 'nosuch'|qvm-start nosuch
		no qube 'nosuch'|qvm-shutdown nosuch
		no qube 'nosuch'|qvm-kill nosuch
		no qube 'nosuch'|qvm-pause nosuch
		no qube 'nosuch'|qvm-unpause nosuch
		no qube 'nosuch'|qvm-remove -f nosuch
		no qube 'nosuch'|qvm-run nosuch true
		trusted side|qvm-start dom0
		trusted side|qvm-kill dom0
		trusted side|qvm-remove -f dom0
		'dom0' has no default_dispvm|qvm-run --dispvm true
		no qube 'nosuch'|qvm-run --dispvm=nosuch true
		no template nosuch|qvm-template install nosuch
		no template nosuch|qvm-template remove --yes nosuch
	END
}

@test "a qube is created, listed, changed and removed" {
	qvm-create -C TemplateVM -l black tmpl
	qvm-create -t tmpl -l blue --property memory=300 work
	[ "$(qvm-ls --raw-data work)" = "work|Halted|AppVM|blue|tmpl|-" ]
	[ "$(qvm-prefs work memory)" = 300 ]
	qvm-prefs work memory 500
	[ "$(qvm-prefs work memory)" = 500 ]
	qvm-prefs work | grep -Eq '^memory +-  500$'
	qvm-prefs --hide-default work | grep -q '^memory '
	qvm-prefs --default work memory
	qvm-prefs work | grep -Eq '^memory +D  [0-9]+$'
	run ! grep -q '^memory ' <(qvm-prefs --hide-default work)
	qvm-prefs -s work vcpus 1
	[ "$(qvm-prefs -g work vcpus)" = 1 ]
	# a reference to no qube, as it is written elsewhere
	qvm-prefs work netvm none
	qvm-prefs work | grep -Eq '^netvm +-  None$'
	qvm-create -t tmpl -l blue --property default_dispvm=None third
	qvm-prefs third | grep -Eq '^default_dispvm +-  None$'
	qvm-remove -f third
	[ "$(bulkhead status --json | jq -r .n_qubes)" = 2 ]
	refused 1 "already" qvm-create -t tmpl -l red work
	refused 2 "default_template" qvm-create -l red -t '' other
	# the qube is named even where the text has its letter
	qvm-create -t tmpl -l red m
	refused 1 "m: memory is a whole number, not '400M' (Memory in MiB" qvm-prefs m memory 400M
	qvm-remove -f m
	refused 1 "memory" qvm-prefs work memory -5
	refused 1 "nothing was removed" qvm-remove work
	refused 1 "work" qvm-remove -f tmpl
	# whole or not at all, also when a later step fails
	refused 1 "nosuch" qvm-create -t tmpl -l red --property nosuch=1 other
	qvm-remove -f tmpl work
	[ "$(qvm-ls --raw-list)" = dom0 ]
}

@test "qvm-remove asks, and yes is yes" {
	qvm-create -C TemplateVM -l black tmpl
	run qvm-remove tmpl <<<n
	[ "$status" = 1 ]
	run qvm-remove tmpl <<<yes
	[ "$status" = 0 ]
	[ "$(qvm-ls --raw-list)" = dom0 ]
}

@test "a standalone qube is a copy of its template" {
	head -c 1M /dev/urandom >"$BATS_TEST_TMPDIR/root.img"
	qvm-create -C TemplateVM -l black -r "$BATS_TEST_TMPDIR/root.img" tmpl
	qvm-create -C StandaloneVM -t tmpl -l gray solo
	[ "$(qvm-ls --raw-data solo)" = "solo|Halted|StandaloneVM|gray|-|-" ]
	qvm-remove -f solo tmpl
}

@test "qvm-ls: formats, fields, filters, order" {
	qvm-create -C TemplateVM -l black tmpl
	for q in zeta alpha Beta; do
		qvm-create -t tmpl -l red $q
	done
	qvm-prefs zeta label green
	qvm-prefs zeta memory 70
	qvm-prefs alpha memory 600
	run qvm-ls
	[ "$status" = 0 ]
	[[ ${lines[0]} =~ ^NAME\ +STATE\ +CLASS\ +LABEL\ +TEMPLATE\ +NETVM$ ]]
	[ "${#lines[@]}" = 6 ]
	# no colours outside a terminal
	[[ $output != *$'\033'* ]]
	[ "$(qvm-ls --raw-list | tr '\n' ' ')" = "Beta alpha dom0 tmpl zeta " ]
	[ "$(qvm-ls --raw-list --ignore-case | tr '\n' ' ')" = "alpha Beta dom0 tmpl zeta " ]
	[ "$(qvm-ls --raw-list --reverse | head -n 1)" = zeta ]
	[ "$(qvm-ls --raw-list --label green red | wc -l)" = 3 ]
	[ "$(qvm-ls --raw-list --class AdminVM --class TemplateVM | tr '\n' ' ')" = "dom0 tmpl " ]
	[ "$(qvm-ls --raw-list --running)" = dom0 ]
	[ "$(qvm-ls --raw-list --halted | wc -l)" = 4 ]
	[ "$(qvm-ls --raw-list --template-source tmpl | wc -l)" = 3 ]
	[ "$(qvm-ls --raw-list --all --exclude dom0 --exclude tmpl | wc -l)" = 3 ]
	[ "$(qvm-ls --raw-list --prefs memory=70)" = zeta ]
	[ "$(qvm-ls --raw-data -O name,memory,label --prefs memory=70)" = "zeta|-|green" ]
	[ "$(qvm-ls --raw-data --fields NAME,MAXMEM,klass zeta | cut -d'|' -f1,3)" = "zeta|AppVM" ]
	[ "$(qvm-ls -o prefs --raw-data --sort LABEL --class AppVM | tail -n 1 | cut -d'|' -f1)" = alpha ]
	[ "$(qvm-ls --json zeta alpha | jq -r '.[1].LABEL')" = green ]
	qvm-ls --help-columns | grep -q '^NETVM '
	qvm-ls --help-formats | grep -q '^network '
	[ "$(qvm-ls -O '?')" = "$(qvm-ls --help-columns)" ]
	[ "$(qvm-ls -o '?')" = "$(qvm-ls --help-formats)" ]
	[ "$(qvm-ls -o prefs --raw-data zeta | cut -d'|' -f6)" = 70 ]
	[ "$(qvm-ls --raw-data -O FLAGS dom0 tmpl zeta | tr '\n' ' ')" = "0rU----- t-U----- a------- " ]
	qvm-prefs zeta autostart true
	qvm-prefs zeta debug true
	qvm-prefs zeta virt_mode hvm
	qvm-prefs zeta provides_network true
	qvm-features zeta internal 1
	[ "$(qvm-ls --json -O name,flags zeta | jq -r '.[0].FLAGS')" = "A--N-iDA" ]
	[ "$(qvm-features --json zeta | jq -c .)" = '{"internal":"1","servicevm":"1"}' ]
	[ "$(qvm-features --json alpha | jq -c .)" = '{}' ]
	qvm-tags zeta add mail
	[ "$(qvm-tags --json zeta)" = '["created-by-dom0", "mail"]' ]
	[ "$(qvm-ls -d)" = "$(qvm-ls -o disk)" ]
	[ "$(qvm-ls --network)" = "$(qvm-ls -o network)" ]
	[ "$(qvm-ls -o disk -k)" = "$(qvm-ls -o kernel)" ]
	qvm-ls --tree | grep -q '^dom0 '
	qvm-remove -f --all
	[ "$(qvm-ls --raw-list)" = dom0 ]
}

@test "qvm-ls colours names on a terminal, unless NO_COLOR is set" {
	qvm-create -C TemplateVM -l red tmpl
	TERM=xterm run script -qec "qvm-ls" /dev/null
	[[ $output == *$'\033[31mtmpl'* ]]
	NO_COLOR=1 TERM=xterm run script -qec "qvm-ls" /dev/null
	[[ $output != *$'\033'* ]]
	qvm-remove -f tmpl
}

@test "qvm-prefs lists the properties with their help" {
	run qvm-prefs --help-properties
	[ "$status" = 0 ]
	grep -qx memory <<<"$output" || [[ $output == *name* ]]
	[[ $output == *$'\n    '* ]]
}

@test "qvm-template lists what there is" {
	run qvm-template list --machine-readable --available
	[ "$status" = 0 ]
	[ "$(cut -d'|' -f1,2 <<<"$output" | tr '\n' ' ')" = "available|debian-12 available|debian-13 available|appliance " ]
	qvm-template list --machine-readable-json | jq -e '.available | length == 3'
	qvm-template info debian-12 | grep -q '^Summary'
	refused 1 "no template matches" qvm-template list 'nosuch*'
}

@test "without qubesd every command says what to do" {
	BULKHEAD_HOME=$BATS_TEST_TMPDIR/other
	mkdir "$BULKHEAD_HOME"
	for c in "qvm-ls" "qvm-start work" "qvm-run work true" "qvm-create -l red work" "qvm-prefs work"; do
		run $c
		[ "$status" = 1 ]
		[[ $output == *"bulkhead start"* ]]
	done
	run bulkhead status
	[ "$status" = 1 ]
	run bulkhead stop
	[ "$status" = 0 ]
}

@test "bulkhead start and stop: again and again, and two at once start one daemon" {
	BULKHEAD_HOME="$BATS_TEST_TMPDIR/two words"
	mkdir "$BULKHEAD_HOME"
	bulkhead start &
	bulkhead start
	wait $!
	run -0 ps -o comm= -p "$(instance_processes | paste -sd,)"
	grep -qx qubesd <<<"$output"
	[ -z "$(sort <<<"$output" | uniq -d)" ]
	bulkhead start
	bulkhead status
	bulkhead status --json | jq -e '.running == true and .n_qubes == 0 and .n_running == 0 and (.pid | type) == "number" and (.version | type) == "string"'
	qvm-create -C TemplateVM -l black kept
	bulkhead stop
	within 5 eval '[ -z "$(instance_processes)" ]'
	bulkhead stop
	bulkhead start
	[ "$(qvm-ls --raw-list kept)" = kept ]
	bulkhead stop
	rm -rf "$(readlink "$BULKHEAD_HOME/run")"
}

@test "bulkhead doctor: a verdict for each thing, as text and as JSON" {
	run bulkhead doctor
	[ "$status" -le 1 ]
	for check in processor qemu packages memory disk iommu namespaces landlock subuid clock limits; do
		grep -Eq "^(ok|note|problem) +$check " <<<"$output"
	done
	if grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo; then
		true
	else
		grep -q "processor .*TCG" <<<"$output"
	fi
	bulkhead doctor --json | jq -e 'length >= 11 and all(.[]; .result | IN("ok", "note", "problem"))'
	# it fits a terminal, but for commands
	run ! grep -E '^.{81}' <(grep -v ' -> sudo ' <<<"$output")
	# what is missing is a problem and says the one command
	BULKHEAD_QEMU=/nonexistent run bulkhead doctor
	[ "$status" = 1 ]
	[[ $output == *"apt-get install"*"qemu-system-x86"* ]]
}

@test "qubes-policy explain: the decision, the rule, and what kept others from matching" {
	qvm-create -C TemplateVM -l black tmpl
	qvm-create -t tmpl -l red work
	qvm-create -t tmpl -l blue vault
	policy=$BULKHEAD_HOME/policy-test
	mkdir -p "$policy/include" "$policy/empty"
	printf '%s\n' '!include include/x' '!include-dir empty' 'a.B * work vault allow user=root' '* * @anyvm @anyvm ask' \
		>"$policy/30-user.policy"
	echo 'a.B +x work vault deny' >"$policy/include/x"
	explain() {
		run --separate-stderr qubes-policy explain --policy-dir "$policy" --legacy-dir /nonexistent "$@"
		echo "explain $* -> $status: $output$stderr"
	}
	explain work vault a.B
	[ "$status" = 0 ]
	[ "${lines[0]}" = "allowed: vault; as user root" ]
	[[ ${lines[1]} == *"include/x:1"*"(another argument)" ]]
	[[ ${lines[2]} == "=> 30-user.policy:3"*"(decided)" ]]
	[ ${#lines[@]} = 3 ]
	explain work vault a.B+x
	[ "${lines[0]}" = "refused: a rule says so" ]
	# templates are offered, the caller is not
	explain vault @default c.D
	[ "${lines[0]}" = "asked: tmpl work" ]
	explain work '*' c.D
	[[ ${lines[0]} == "refused: the target is not one"* ]]
	# who does not exist is told, and what cannot be asked
	explain ghost vault a.B
	[[ "$status $output$stderr" == "1 "*"there is no qube 'ghost'"* && -z "$output" ]]
	explain work ghost a.B
	[[ "$status $stderr" == "1 "*"there is no qube 'ghost'"*"@default"* && ${lines[0]} == "asked: "* ]]
	explain "uuid:$(qvm-prefs work uuid)" "uuid:$(qvm-prefs vault uuid)" a.B
	[[ "$status ${lines[0]}" == "0 allowed: uuid:"* ]]
	for bad in 'a B' '' +x 'a.B+x y' a/B $'a.B\n'; do
		explain work vault "$bad"
		[ "$status" = 2 ]
	done
	for bad in 'work x' $'work\n' 'wörk'; do
		explain "$bad" vault a.B
		[ "$status" = 2 ]
		explain work "$bad" a.B
		[ "$status" = 2 ]
	done
	# a fault is named, and nothing is decided
	echo 'a.B * work' >>"$policy/include/x"
	explain work vault a.B
	[ "$status" = 1 ]
	[[ $stderr == *"include/x:2: wrong number of fields"*"every call is refused"* ]]
	[ -z "$output" ]
	refused 2 "Try: " qubes-policy explain work vault
	rm -r "$policy"
	qvm-remove -f work vault tmpl
}

@test "a timeout that nobody waits for is said to count for nothing" {
	run -0 --separate-stderr qvm-shutdown --all --timeout 5
	[ "$stderr" = "qvm-shutdown: --timeout counts only with --wait; without it nothing is waited for" ]
	run -0 --separate-stderr qvm-shutdown --all --timeout 5 --wait
	[ -z "$stderr" ]
}

@test "features are set, shown, listed and removed" {
	qvm-create -C TemplateVM -l black tmpl
	qvm-create -t tmpl -l red work
	run -0 qvm-features work
	[ -z "$output" ]
	qvm-features work service.cups 1
	qvm-features work x ''
	qvm-features work long-name 'a value, "with" %s'
	[ "$(qvm-features work long-name)" = 'a value, "with" %s' ]
	run -0 qvm-features work x
	[ -z "$output" ]
	run -0 qvm-features work
	[ "$output" = 'long-name     a value, "with" %s
service.cups  1
x' ]
	qvm-features -D work x
	qvm-features --default work service.cups
	qvm-features work --delete long-name
	run -0 qvm-features work
	[ -z "$output" ]
	refused 1 "no feature 'x'" qvm-features work x
	refused 1 "no feature 'x'" qvm-features --unset work x
	refused 1 "letters, digits" qvm-features work a/b 1
	refused 1 "printable" qvm-features work a ä
	# a name that has no room in the qube's QubesDB
	qvm-features work "service.$(printf %048d 1)" 1
	refused 1 "too long" qvm-features work "service.$(printf %049d 1)" 1
	refused 1 "too long" qvm-features work service. 1
	[ "$(qvm-features work)" = "service.$(printf %048d 1)  1" ]
	qvm-features dom0 timezone UTC
	[ "$(qvm-features dom0)" = "timezone  UTC" ]
	qvm-features -D dom0 timezone
	qvm-remove -f work tmpl
}

@test "bash completion: commands, options, qubes" {
	qvm-create -C TemplateVM -l black tmpl
	qvm-create -t tmpl -l red work
	# words as typed; the last one is completed
	complete() {
		bash -c '
			. "$top/build/root/usr/share/bash-completion/completions/qvm"
			. "$top/build/root/usr/share/bash-completion/completions/bulkhead"
			. "$top/build/root/usr/share/bash-completion/completions/qubes-policy"
			COMP_WORDS=("$@")
			COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
			handler=$(complete -p "${COMP_WORDS[0]}")
			handler=${handler#*-F }
			"${handler%% *}"
			printf "%s\n" "${COMPREPLY[@]}"' - "$@"
	}
	[ "$(complete qvm pa)" = pause ]
	[ "$(complete qubes-prefs default_temp)" = default_template ]
	[ "$(complete qvm-start w)" = work ]
	[ "$(complete qvm start w)" = work ]
	[ "$(complete qvm-run --pass)" = --pass-io ]
	[ "$(complete qvm-create --label gre)" = green ]
	[ "$(complete qvm-create --label = gre)" = green ]
	[ "$(complete qvm-create -t t)" = tmpl ]
	[ "$(complete qvm-prefs work default_us)" = default_user ]
	[ "$(complete qvm-features work vm-)" = vm-config. ]
	[ "$(complete qvm-template ins)" = install ]
	[ "$(complete qvm-template install debian-13)" = debian-13 ]
	[ "$(complete qvm-template remove '')" = tmpl ]
	[ "$(complete qvm template reinstall '')" = tmpl ]
	[ "$(complete qvm-run work '')" = "" ]
	[ "$(complete qvm-prefs work memory '')" = "" ]
	[ "$(complete qvm-unpause '')" = "" ]
	[ "$(complete bulkhead doc)" = doctor ]
	[ "$(complete bulkhead stop --ti)" = --timeout ]
	[ "$(complete qubes-policy ev)" = eval ]
	[ "$(complete qubes-policy explain w)" = work ]
	[ "$(complete qubes-policy eval --ca)" = --cases ]
	qvm-remove -f work tmpl
}

@test "env.sh in zsh and env.fish in fish: programs, manual pages, completion" {
	qvm-create -C TemplateVM -l black tmpl
	# with and without what the user has loaded before
	for before in true 'autoload -Uz compinit && compinit -u -D'; do
		run -0 --separate-stderr env PATH=/usr/bin:/bin zsh -fc "$before; . '$top/env.sh'
			echo \$_comps[qvm] \$_comps[qvm-ls] \$_comps[bulkhead] \$_comps[qubes-policy]; whence qvm-ls; man -w qvm-ls"
		[ -z "$stderr" ]
		[ "${lines[0]}" = "_qvm _qvm _bulkhead _qubes-policy" ]
		[ "${lines[1]}" = "$top/build/root/usr/bin/qvm-ls" ]
		[ "${lines[2]}" = "$top/build/root/usr/share/man/man1/qvm-ls.1" ]
	done
	run -0 --separate-stderr env PATH=/usr/bin:/bin fish --no-config -c "source '$top/env.fish'; set
		type -p qvm-ls; man -w qvm-ls
		for line in 'qvm-ls --raw-d' 'qvm-remove tm' 'qvm pau' 'bulkhead doc' 'qubes-policy expl'; complete -C \$line; end"
	[ -z "$stderr" ]
	grep -qx "$top/build/root/usr/bin/qvm-ls" <<<"$output"
	grep -qx "$top/build/root/usr/share/man/man1/qvm-ls.1" <<<"$output"
	for word in --raw-data tmpl pause doctor explain; do
		cut -f1 <<<"$output" | grep -qx -- "$word"
	done
	# files where files are meant
	run -0 --separate-stderr env PATH=/usr/bin:/bin fish --no-config -c "source '$top/env.fish'; cd '$top'; complete -C 'qvm-create --root-copy-from READ'"
	[ -z "$stderr" ]
	grep -q '^README.md' <<<"$output"
	qvm-remove -f tmpl
}

@test "every manual page is there and without a warning" {
	man=$top/build/root/usr/share/man/man1
	for c in qvm bulkhead qubes-policy $commands; do
		run env LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=100 man --warnings -E UTF-8 -l -Tutf8 -Z "$man/$c.1"
		[ "$status" = 0 ]
		run bash -c "LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=100 man --warnings -E UTF-8 -l -Tutf8 -Z '$man/$c.1' 2>&1 >/dev/null"
		[ -z "$output" ]
	done
	MANPATH=${man%/man1} man -w qvm-start
}

@test "each option in the tables is in its command's help, manual page and completions" {
	cd "$top"
	run python3 - <<-'END'
		import glob, os, re, subprocess
		share = "build/root/usr/share"
		def read(path): return open(path).read()
		def sh(*argv): return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
		def long(text): return set(re.findall(r"--[a-z][a-z-]*", text))
		programs = {"qvm": [], "bulkhead": [], "qubes-policy": []}
		for p in programs:
		    programs[p] = re.findall(r"^  ([a-z-]+) ", sh(p, "--help"), re.M)
		    assert len(programs[p]) > 5, p
		told = set()
		for p, commands in programs.items():
		    bash = read(f"{share}/bash-completion/completions/{p}")
		    zsh = read(f"{share}/zsh/site-functions/_{p}")
		    fish = read(f"{share}/fish/vendor_completions.d/{p}.fish")
		    for c in commands:
		        help = sh(p, c, "--help")
		        options = {o for line in help.splitlines() for o in re.findall(r"^ +(?:-., +)?(--[a-z-]+)", line)}
		        assert {"--help", "--version"} <= options, (p, c, options)
		        told |= options
		        man = read(f"{share}/man/man1/{(c if c.startswith('qubes-') else 'qvm-' + c) if p == 'qvm' else p}.1").replace("\\-", "-")
		        entries = set(re.findall(r"\\fB(--[a-z-]+)\\fR", man))
		        assert options - entries <= {"--help", "--version", "--verbose", "--quiet"}, (p, c, "man", options - entries)
		        part = re.search(rf"^\t{c}\)\n(.*?)^\t\t;;", bash, re.M | re.S)[1]
		        assert options <= long(re.search(r'options="(.*?)"', part)[1]), (p, c, "bash")
		        assert not re.search(r"\|--\)", part), (p, c, "bash: a value behind --")
		        part = re.search(rf"^{c}\)\n(.*?)^\t;;", zsh, re.M | re.S)[1]
		        assert options <= set(re.findall(r"'\*?(--[a-z-]+)", part)), (p, c, "zsh", options)
		        part = "\n".join(l for l in fish.splitlines() if re.search(rf"__fish_seen_subcommand_from {c}'", l))
		        assert options <= {"--" + o for o in re.findall(r"-l ([a-z-]+)", part)}, (p, c, "fish")
		        for word in {"qvm": [f"qvm-{c}"]}.get(p, []):
		            if not c.startswith("qubes-"):
		                part = "\n".join(l for l in fish.splitlines() if l.startswith(f"complete -c {word} "))
		                assert options <= {"--" + o for o in re.findall(r"-l ([a-z-]+)", part)}, (p, c, "fish")
		# and the tables have no other: the first name of each row that has a help text
		rows = set()
		for f in glob.glob("cli/**/*.c", recursive=True):
		    rows |= {"--" + n for n in re.findall(r"\{\s*[A-Z_]+,\s*(?:'.'|0),\s*\"([a-z-]+)[^\"]*\",\s*(?:NULL|\"[^\"]*\"),\s*[^N\s]", read(f))}
		rows.discard("--force-root")
		assert len(rows) > 100 and rows <= told, rows - told
	END
	echo "$output"
	[ "$status" = 0 ]
}
