# The tools that look at qubes and change them without starting any: as a user types them.
# shellcheck shell=bash disable=SC2030,SC2031,SC2016,SC2046,SC2086,SC2154

bats_require_minimum_version 1.5.0
load lib

# no editor opens by itself
export EDITOR=false
unset VISUAL

setup_file() {
	instance_begin
	qvm-create -C TemplateVM -l black tmpl
	qvm-create -t tmpl -l red work
}

teardown_file() {
	instance_end
}

@test "wrong calls are usage errors: exit 2, and where help is" {
	while IFS= read -r line; do
		refused 2 "Try: " $line
	done <<-'END'
		qvm-tags
		qvm-tags work nonsense
		qvm-tags work list one two
		qvm-tags work add
		qvm-tags --json work list one
		qvm-features --json work internal
		qvm-service
		qvm-service -e work
		qvm-service -e -d work cups
		qvm-service -l work cups
		qvm-service work cups maybe
		qvm-service work cups on off
		qvm-check
		qvm-check --all work
		qvm-check --exclude work
		qvm-rename work
		qvm-rename work a b
		qvm-restart
		qvm-restart --all work
		qvm-restart --timeout soon work
		qvm-clone work
		qvm-clone work a b
		qvm-clone -P default -p root=default work other
		qvm-clone --pool root work other
		qvm-volume nonsense
		qvm-volume list --all work
		qvm-volume list --exclude work
		qvm-volume info
		qvm-volume info work
		qvm-volume info work:
		qvm-volume info work:root size more
		qvm-volume config work:root rw
		qvm-volume resize work:private
		qvm-volume resize work:private 10x
		qvm-volume resize work:private -5
		qvm-volume resize work:private 99999999999999999999
		qvm-volume resize work:private 10000000000GiB
		qvm-volume revert
		qvm-volume import work:private
		qvm-volume import work:private -
		qvm-volume clear
		qvm-pool nonsense
		qvm-pool list default
		qvm-pool info
		qvm-pool add one
		qvm-pool add -o dir_path one qcow2
		qvm-pool set default
		qvm-pool set default -o revisions_to_keep
		qvm-pool info default -o a=b
		qvm-pool remove
		qvm-notes
		qvm-notes work tmpl
		qvm-notes -p -d work
		qvm-firewall
		qvm-firewall work nonsense
		qvm-firewall work policy drop
		qvm-firewall work add
		qvm-firewall work del
		qvm-firewall work del --rule-no 0 accept
		qvm-firewall work reset accept
		qvm-firewall work list accept
		qvm-firewall work add --rule-no 0 accept
		qvm-firewall work del --before 0 accept
		qvm-firewall work add maybe
		qvm-firewall work add dsthost=10.0.0.1
		qvm-firewall work add accept 10.0.0.1 tcp 22 80
		qvm-firewall work add accept 300.0.0.1/8
		qvm-firewall work add accept proto=gre
		qvm-firewall work add accept dstports=22
		qvm-firewall work add accept nonsense=1
		qvm-firewall work add accept expire=+soon
		qubes-event --count 0
		qubes-event --timeout soon
		qvm-top --columns nonsense
		qvm-top --columns ,
		qvm-top -C name -F min
		qvm-top -F nonsense
		qvm-top -k nonsense
		qvm-top -d 0
		qvm-top -n 0
		qvm-top --all work
		qvm-top --exclude tmpl work
		qubes-prefs a b c
		qubes-prefs --default
		qubes-prefs --hide-default clockvm
		qubes-prefs --json clockvm
	END
}

@test "refusals name the cause: exit 1, and nothing has changed" {
	while IFS='|' read -r words line; do
		refused 1 "$words" $line
	done <<-'END'
		no qube 'nosuch'|qvm-tags nosuch
		no qube 'nosuch'|qvm-tags nosuch add a
		letters, digits|qvm-tags work add a/b
		no qube 'nosuch'|qvm-service nosuch
		decides itself|qvm-service work cups
		qubes-prefs --help-properties|qubes-prefs nosuch
		qubes-prefs --help-properties|qubes-prefs memory 400
		|qubes-prefs default_template nosuch
		no qube 'nosuch'|qvm-restart nosuch
		trusted side|qvm-restart dom0
		no qube 'nosuch'|qvm-rename nosuch other
		already|qvm-rename work tmpl
		no name for a qube|qvm-rename work none
		dom0|qvm-rename dom0 other
		no qube 'nosuch'|qvm-clone nosuch other
		trusted side|qvm-clone dom0 other
		no name for a qube|qvm-clone work 1other
		already|qvm-clone work tmpl
		qvm-clone tmpl other|qvm-create -C TemplateVM -t tmpl -l red other
		drives for a start are not available|qvm-start --cdrom dom0:/x.iso work
		drives for a start are not available|qvm-start --install-windows-tools work
		no qube 'nosuch'|qvm-volume list nosuch
		no volume 'nosuch'|qvm-volume info work:nosuch
		shows what it has|qvm-volume info work:root nosuch
		cannot be set|qvm-volume config work:root nosuch 1
		revisions to keep|qvm-volume config work:private revisions_to_keep many
		--force|qvm-volume resize work:private 1k
		size of its source|qvm-volume resize work:root 100GiB
		no revision|qvm-volume revert work:private
		volume 'private' of 'work' has no revision nosuch|qvm-volume revert work:private nosuch
		No such file|qvm-volume import work:private /nonexistent
		would not keep|qvm-volume import --size 4k work:root -
		do not fit|qvm-volume import --size 100GiB --no-resize work:private -
		no pool 'nosuch'|qvm-pool info nosuch
		no qube 'nosuch'|qvm-notes -p nosuch
		as they were|qvm-notes --edit work
		No such file|qvm-notes -i /nonexistent work
		no qube 'nosuch'|qvm-firewall nosuch
		no rule 7|qvm-firewall work del --rule-no 7
		no rule 9|qvm-firewall work add --before 9 drop
		no rule 'action=drop dst4=10.0.0.1/32'|qvm-firewall work del drop 10.0.0.1
		no qube 'nosuch'|qubes-event --qube nosuch
		not happened|qubes-event --timeout 0 nosuch
		no qube 'nosuch'|qvm-top nosuch
		can be set|qvm-pool set default -o size=3
		revisions to keep|qvm-pool set default -o revisions_to_keep=x
	END
}

@test "tags are added, listed, asked about and removed" {
	[ "$(qvm-tags work)" = created-by-dom0 ]
	qvm-tags work add mail office
	qvm-tags work set mail
	[ "$(qvm-tags work list | tr '\n' ' ')" = "created-by-dom0 mail office " ]
	[ "$(qvm-tags work ls)" = "$(qvm-tags work)" ]
	[ "$(qvm-tags work list mail)" = mail ]
	run -1 qvm-tags work list nosuch
	[ -z "$output" ]
	[ "$(qvm-ls --raw-list --tags office)" = work ]
	qvm-tags work del mail office nosuch
	[ "$(qvm-tags work l)" = created-by-dom0 ]
}

@test "services are switched on and off, and left to the qube" {
	[ -z "$(qvm-service work)" ]
	qvm-service work cups on
	qvm-service -d work crond
	[ "$(qvm-service work)" = $'crond  off\ncups   on' ]
	[ "$(qvm-service -l work)" = "$(qvm-service work)" ]
	[ "$(qvm-service --json work | jq -r '.[] | .SERVICE + "=" + .STATE' | tr '\n' ' ')" = "crond=off cups=on " ]
	[ "$(qvm-service work cups)" = on ]
	[ "$(qvm-features work service.cups)" = 1 ]
	qvm-service work cups off
	[ "$(qvm-service work cups)" = off ]
	qvm-service --enable work cups
	[ "$(qvm-service work cups)" = on ]
	qvm-service -D work cups
	qvm-service --unset work cups
	qvm-service --default work crond
	[ -z "$(qvm-service work)" ]
	[ "$(qvm-service --json work | jq length)" = 0 ]
}

@test "qvm-check answers by its exit code" {
	[ "$(qvm-check work)" = "work: exists" ]
	qvm-check dom0 --running
	[ -z "$(qvm-check -q work tmpl)" ]
	run -1 qvm-check work nosuch
	[[ $output == *"nosuch: there is no such qube"* ]]
	run -1 qvm-check --running work
	[ "$output" = "work: not running" ]
	run -3 qvm-check --template work tmpl
	[ "$output" = $'work: not template\ntmpl: template' ]
	qvm-check --template tmpl
	run -3 qvm-check --all --template
	qvm-check --all --template --exclude work
	run -1 qvm-check --networked work
	qvm-prefs tmpl provides_network True
	qvm-check --networked tmpl
	qvm-prefs --default tmpl provides_network
	run -1 qvm-check --paused --all
}

@test "qubes-prefs lists, shows and sets the properties of the system" {
	qubes-prefs | grep -Eq '^default_template +-  tmpl$'
	qubes-prefs | grep -Eq '^default_netvm +[D-]  None$'
	qubes-prefs --help-properties | grep -A1 -x clockvm | grep -q '^    .'
	[ "$(qubes-prefs default_template)" = tmpl ]
	qubes-prefs default_shutdown_timeout 77
	[ "$(qubes-prefs --get default_shutdown_timeout)" = 77 ]
	[ "$(qvm-prefs work shutdown_timeout)" = 77 ]
	qubes-prefs --json | jq -e '.default_shutdown_timeout == {default: false, type: "int", value: 77}'
	qubes-prefs --hide-default | grep -q '^default_shutdown_timeout '
	qubes-prefs -D default_shutdown_timeout
	run ! grep -q '^default_shutdown_timeout ' <(qubes-prefs --hide-default)
	qubes-prefs default_template none
	[ -z "$(qubes-prefs default_template)" ]
	qubes-prefs -s default_template tmpl
	qvm-prefs --json work | jq -e '.memory.type == "int" and .netvm.value == null and .klass.value == "AppVM"'
	[ "$(qvm-prefs --json --hide-default work | jq 'length')" -ge 3 ]
}

# image BYTES: a file of random bytes
image() {
	head -c "$1" /dev/urandom >"$BATS_TEST_TMPDIR/image"
	echo "$BATS_TEST_TMPDIR/image"
}

# disk QUBE:VOLUME: the file that holds its newest revision
disk() {
	local folder
	folder=$(qvm-pool info default | sed -n 's/^dir_path *//p')/$(qvm-volume info "$1" vid)
	echo "$folder/$(ls -v "$folder" | tail -n 1)"
}

@test "volumes: listed, described, configured, resized" {
	run -0 qvm-volume list work
	[[ ${lines[0]} =~ ^POOL:VOLUME\ +VMNAME\ +VOLUME_NAME\ +REVERT_POSSIBLE$ ]]
	[ "${#lines[@]}" = 5 ]
	[ "$(qvm-volume ls --json work | jq -r '.[].VOLUME_NAME' | sort | tr '\n' ' ')" = "kernel private root volatile " ]
	[ "$(qvm-volume l --json --all --exclude tmpl | jq -r '.[].VMNAME' | sort -u)" = work ]
	[ "$(qvm-volume)" = "$(qvm-volume list)" ]
	[ "$(qvm-volume list --json -p linux-kernel | jq -r '.[].VOLUME_NAME' | sort -u)" = kernel ]
	[ "$(qvm-volume info work:private pool)" = default ]
	run -0 qvm-volume i work:root
	[[ $output == *"pool               default"*"snap_on_start      True"*"Available revisions (for revert): none" ]]
	qvm-volume config work:private revisions_to_keep 3
	[ "$(qvm-volume info work:private revisions_to_keep)" = 3 ]
	qvm-volume set work:private revisions_to_keep -1
	[ "$(qvm-volume info work:private revisions_to_keep)" = -1 ]
	qvm-volume resize work:private 3GiB
	[ "$(qvm-volume info work:private size)" = 3221225472 ]
	qvm-volume extend work:private 4g
	[ "$(qvm-volume info work:private size)" = 4000000000 ]
	qvm-volume resize --force work:private 2147483648
	qvm-volume info --json work:private | jq -e '.size == 2147483648 and .rw and .snap_on_start == false and .revisions == []'
}

# begins FILE QUBE:VOLUME: the volume holds the file, from its beginning
begins() {
	rm -f "$BATS_TEST_TMPDIR/raw"
	qemu-img convert -O raw "$(disk "$2")" "$BATS_TEST_TMPDIR/raw"
	cmp -n "$(stat -c %s "$1")" "$1" "$BATS_TEST_TMPDIR/raw"
}

@test "volumes: imported, reverted" {
	qvm-create -C TemplateVM -l black other
	qvm-volume config other:root revisions_to_keep 3
	head -c 300000 /dev/urandom >"$BATS_TEST_TMPDIR/one"
	head -c 20000 /dev/urandom >"$BATS_TEST_TMPDIR/two"
	head -c 400000 /dev/zero >"$BATS_TEST_TMPDIR/zero"
	qvm-volume import other:root "$BATS_TEST_TMPDIR/one"
	begins "$BATS_TEST_TMPDIR/one" other:root
	empty=$(qvm-volume info other:root revisions)
	[ "$(wc -w <<<"$empty")" = 1 ]
	qvm-volume list other | grep -q 'root .*Yes'
	cat "$BATS_TEST_TMPDIR/two" | qvm-volume import --size 20000 other:root -
	begins "$BATS_TEST_TMPDIR/two" other:root
	[ "$(qvm-volume info other:root revisions | head -n 1)" = "$empty" ]
	[ "$(qvm-volume info other:root revisions | wc -l)" = 2 ]
	qvm-volume revert other:root
	begins "$BATS_TEST_TMPDIR/one" other:root
	qvm-volume rv other:root "$empty"
	begins "$BATS_TEST_TMPDIR/zero" other:root
	# a pipe that has less than it was to have is an error, and the volume as it was
	run -1 qvm-volume import --size 5000 other:root - < <(echo short)
	begins "$BATS_TEST_TMPDIR/zero" other:root
	qvm-volume import other:root "$BATS_TEST_TMPDIR/one"
	qvm-volume clear other:root
	begins "$BATS_TEST_TMPDIR/zero" other:root
	qvm-remove -f other
}

@test "pools" {
	# how full it is may change meanwhile
	[ "$(qvm-pool | sed 's/ *[0-9]*%$//')" = "$(qvm-pool list | sed 's/ *[0-9]*%$//')" ]
	qvm-pool -l | grep -Eq '^default +qcow2 +[0-9]+%$'
	qvm-pool -l | grep -Eq '^linux-kernel +linux-kernel +-$'
	[ "$(qvm-pool ls --json | jq -r '.[] | select(.NAME == "linux-kernel").DRIVER')" = linux-kernel ]
	qvm-pool drivers | grep -q '^qcow2 '
	[ "$(qvm-pool --help-drivers)" = "$(qvm-pool d)" ]
	qvm-pool info default | grep -Eq '^driver +qcow2$'
	[ "$(qvm-pool -i default | head -n 3)" = "$(qvm-pool info default | head -n 3)" ]
	qvm-pool set default -o revisions_to_keep=2
	qvm-pool info --json default | jq -e '.name == "default" and .revisions_to_keep == 2'
	qvm-pool -s default -o revisions_to_keep=1
	mkdir "$BATS_TEST_TMPDIR/disks"
	qvm-pool add second qcow2 -o "dir_path=$BATS_TEST_TMPDIR/disks" -o revisions_to_keep=4
	[ "$(qvm-pool info --json second | jq -r '"\(.driver) \(.revisions_to_keep) \(.dir_path)"')" = "qcow2 4 $BATS_TEST_TMPDIR/disks" ]
	qvm-create -t tmpl -l red -p private=second other
	qvm-clone other third
	[ "$(qvm-volume info third:private pool) $(qvm-volume info third:volatile pool)" = "second default" ]
	qvm-clone -p default:private other fourth
	[ "$(qvm-volume info fourth:private pool)" = default ]
	refused 1 second qvm-pool remove second
	qvm-remove -f other third fourth
	qvm-pool rm second
	run ! grep -q second <(qvm-pool)
	refused 1 "qvm-pool drivers shows" qvm-pool add nosuch lvm_thin
}

@test "a renamed qube is the same qube, and the policy's old words are shown" {
	qvm-create -t tmpl -l blue old.name
	qvm-prefs work netvm none
	qvm-prefs old.name memory 333
	mkdir -p "$BULKHEAD_HOME/config/policy.d/include"
	printf '# old.name\na.B * old.name work allow\na.B * old.name-2 work allow\n' >"$BULKHEAD_HOME/config/policy.d/31-test.policy"
	before=$(qvm-prefs old.name uuid)
	run -0 --separate-stderr qvm-rename old.name new
	[[ $stderr == *"31-test.policy:2 still says old.name"* ]]
	[ "$(grep -c 'still says' <<<"$stderr")" = 1 ]
	[ "$(qvm-prefs new uuid) $(qvm-prefs new memory)" = "$before 333" ]
	rm "$BULKHEAD_HOME/config/policy.d/31-test.policy"
	run -0 --separate-stderr qvm-rename tmpl tmpl-new
	[ -z "$stderr" ]
	[ "$(qvm-prefs new template)" = tmpl-new ]
	qvm-rename tmpl-new tmpl
	qvm-remove -f new
}

@test "rules of the person's own policy follow a renamed qube if that is wanted, and nothing else in them does" {
	local dir=$BULKHEAD_HOME/config/policy.d was
	qvm-create -t tmpl -l red mail
	cp -a "$dir" "$BULKHEAD_HOME/policy.was"
	cat >"$dir/30-user.policy" <<-'END'
		# mail may do this
		mail.Send   +mail  mail         vault         allow target=mail user=mail
		qubes.Gpg   *      work	mail	  ask  default_target=mail
		qubes.Gpg   *      @tag:mail    mail-old      deny
		qubes.Gpg   *      my.mail      @dispvm:mail  ask default_target=@dispvm:mail
		!include include/mail
		  a.Service *      @anyvm       @anyvm        deny notify=no
	END
	printf 'x.Y * mail @anyvm deny' >"$dir/31-other.policy"
	was=$(cat "$dir/30-user.policy")
	# nobody is there to be asked: shown, and left
	run -0 --separate-stderr qvm-rename mail post </dev/null
	echo "$stderr"
	[[ $stderr == *"30-user.policy:2: mail.Send   +mail  mail "* ]]
	[[ $stderr == *"30-user.policy:2 still says mail"* ]]
	[[ $stderr == *"31-other.policy:1 still says mail"* ]]
	[ "$(cat "$dir/30-user.policy")" = "$was" ]
	qvm-rename post mail
	# asked on a terminal
	timeout 30 script -qec "qvm-rename mail post" /dev/null <<<n | grep -F 'Say post instead of mail in 30-user.policy (3 rules)?'
	[ "$(cat "$dir/30-user.policy")" = "$was" ]
	qvm-rename --keep-policy post mail
	# edited while the question stood: neither the edit nor the rules it was about are lost
	{
		timeout 30 sh -c 'until grep -qs "Say post" "$1"; do sleep 0.1; done' sh "$BATS_TEST_TMPDIR/screen"
		echo '# edited' >>"$dir/30-user.policy"
		echo y
	} | run ! timeout 60 script -qefc "qvm-rename mail post" "$BATS_TEST_TMPDIR/screen"
	grep -F '30-user.policy has changed meanwhile and stays as it is now' "$BATS_TEST_TMPDIR/screen"
	[ "$(cat "$dir/30-user.policy")" = "$was"$'\n# edited' ]
	echo "$was" >"$dir/30-user.policy"
	qvm-rename --keep-policy post mail
	timeout 30 script -qec "qvm-rename mail post" /dev/null <<<y | grep -F '3 rules are changed'
	[ "$(cat "$dir/30-user.policy")" = '# mail may do this
mail.Send   +mail  post         vault         allow target=post user=mail
qubes.Gpg   *      work	post	  ask  default_target=post
qubes.Gpg   *      @tag:mail    mail-old      deny
qubes.Gpg   *      my.mail      @dispvm:post  ask default_target=@dispvm:post
!include include/mail
  a.Service *      @anyvm       @anyvm        deny notify=no' ]
	# and back; others are never changed, and a refused name changes nothing
	run -1 qvm-rename --update-policy post work
	grep -q 'target=post' "$dir/30-user.policy"
	run -0 --separate-stderr qvm-rename --update-policy post mail
	[ "$(cat "$dir/30-user.policy")" = "$was" ]
	[ "$(cat "$dir/31-other.policy")" = 'x.Y * mail @anyvm deny' ]
	rm -r "$dir"
	mv "$BULKHEAD_HOME/policy.was" "$dir"
	qvm-remove -f mail
}

@test "a clone is like its source, and whole or not there" {
	qvm-create -t tmpl -l orange source
	qvm-prefs source memory 321
	# less than the maxmem and the memory that the copy begins with
	qvm-prefs source maxmem 350
	qvm-prefs source autostart True
	qvm-prefs source kernelopts 'a=\b c=\\n'
	qvm-features source x "a b"
	qvm-features source empty ''
	qvm-tags source add mail
	qvm-volume import source:private "$(image 70000)"
	qvm-volume resize source:private 3GiB
	qvm-clone source copy
	[ "$(qvm-ls --raw-data -O class,label,template,memory copy)" = "AppVM|orange|tmpl|-" ]
	[ "$(qvm-prefs copy memory)" = 321 ]
	for what in prefs features; do
		diff <(qvm-$what source | grep -Ev '^(name|qid|uuid|ip|visible_ip|mac) ') <(qvm-$what copy | grep -Ev '^(name|qid|uuid|ip|visible_ip|mac) ')
	done
	[ "$(qvm-tags copy)" = "$(qvm-tags source)" ]
	[ "$(qvm-volume info copy:private size)" = 3221225472 ]
	qemu-img compare "$(disk source:private)" "$(disk copy:private)"
	# another class has its root from the template, and loses what it cannot have
	qvm-volume import tmpl:root "$(image 90000)"
	qvm-clone -C StandaloneVM source solo
	[ "$(qvm-ls --raw-data -O class,label,template solo)" = "StandaloneVM|orange|-" ]
	qemu-img compare "$(disk tmpl:root)" "$(disk solo:root)"
	qvm-clone tmpl tmpl-2
	qemu-img compare "$(disk tmpl:root)" "$(disk tmpl-2:root)"
	run ! qemu-img compare "$(disk tmpl:root)" "$(disk copy:private)"
	qvm-clone -C AppVM tmpl-2 third
	[ "$(qvm-prefs third template)" = tmpl-2 ]
	refused 1 "'nosuch'" qvm-clone -P nosuch source fourth
	refused 1 "'nosuch'" qvm-clone -p root=nosuch source fourth
	qvm-clone -p private=default source fourth
	qvm-remove -f copy solo tmpl-2 third fourth source
}

@test "notes are set, added to, edited, printed and deleted" {
	[ -z "$(qvm-notes -p work)" ]
	qvm-notes work --set 'first'
	qvm-notes work --append "second  line"
	[ "$(qvm-notes --print work)" = $'first\nsecond  line' ]
	# others in their place only when the person says so
	run -1 qvm-notes --set other work <<<n
	[ "$(qvm-notes -p work | head -n 1)" = first ]
	qvm-notes --set other work <<<y
	printf 'from a file\n\tä\n' >"$BATS_TEST_TMPDIR/a file"
	qvm-notes -f -i "$BATS_TEST_TMPDIR/a file" work
	cmp "$BATS_TEST_TMPDIR/a file" <(qvm-notes -p work)
	qvm-notes -f -i - work <<<"from input"
	EDITOR="sed -i s/input/editor/" qvm-notes work
	[ "$(qvm-notes -p work)" = "from editor" ]
	VISUAL="sed -i s/editor/visual/" qvm-notes -e work
	[ "$(qvm-notes -p work)" = "from visual" ]
	[ -z "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'work-notes.*')" ]
	printf 'a\0b' >"$BATS_TEST_TMPDIR/zero"
	refused 1 "no text" qvm-notes -f -i "$BATS_TEST_TMPDIR/zero" work
	head -c 70000 /dev/zero | tr '\0' a >"$BATS_TEST_TMPDIR/long"
	refused 1 "too long" qvm-notes -f -i "$BATS_TEST_TMPDIR/long" work
	qvm-create -t tmpl -l blue other
	qvm-clone work third
	[ "$(qvm-notes -p third)" = "from visual" ]
	qvm-remove -f other third
	run -1 qvm-notes -d work <<<n
	qvm-notes -d -f work
	qvm-notes -d work
	[ -z "$(qvm-notes -p work)" ]
}

@test "firewall rules are listed, added where they shall be, removed, reset" {
	[ "$(qvm-firewall work --raw)" = "action=accept" ]
	qvm-firewall work del --rule-no 0
	[ -z "$(qvm-firewall work list --raw)" ]
	qvm-firewall work add accept specialtarget=dns
	qvm-firewall work add accept mail.example.org tcp 993
	qvm-firewall work add action=accept dst4=10.0.0.0/8 proto=udp dstports=1000-2000 comment='my net'
	qvm-firewall work add --before 1 drop 1.2.3.4
	qvm-firewall work add accept 2001:db8::1 icmp 8
	[ "$(qvm-firewall --raw work list)" = "action=accept specialtarget=dns
action=drop dst4=1.2.3.4/32
action=accept dsthost=mail.example.org dstports=993-993 proto=tcp
action=accept dst4=10.0.0.0/8 dstports=1000-2000 proto=udp comment=my net
action=accept dst6=2001:db8::1/128 icmptype=8 proto=icmp" ]
	run -0 qvm-firewall work
	[[ ${lines[0]} =~ ^NO\ +ACTION\ +HOST\ +PROTOCOL\ +PORT ]]
	[[ ${lines[3]} =~ ^2\ +accept\ +mail.example.org\ +tcp\ +993\ +-\ +-\ +-\ +-$ ]]
	[[ ${lines[4]} =~ ^3\ +accept\ +10.0.0.0/8\ +udp\ +1000-2000\ .*my\ net$ ]]
	[ "$(qvm-firewall work --json | jq -r '.[4]["ICMP TYPE"] + .[4].HOST')" = 82001:db8::1/128 ]
	# a rule is found however it is written; --raw's lines can be used again
	qvm-firewall work del drop dsthost=1.2.3.4/32
	qvm-firewall work del $(qvm-firewall work --raw | grep icmp)
	[ "$(qvm-firewall work --raw | wc -l)" = 3 ]
	qvm-firewall work add accept 10.1.1.1 expire=+600
	left=$(($(qvm-firewall work --raw | sed -n 's/.*expire=//p') - $(date +%s)))
	[ $left -gt 500 ] && [ $left -le 600 ]
	qvm-clone work other
	[ "$(qvm-firewall other --raw)" = "$(qvm-firewall work --raw)" ]
	qvm-remove -f other
	qvm-firewall --reload work reset
	[ "$(qvm-firewall work --raw)" = "action=accept" ]
}

@test "qubes-event prints what happens as it happens" {
	qubes-event connection-established 'property-set:*' domain-add -n 4 >"$BATS_TEST_TMPDIR/all" &
	qubes-event --qube work -n 2 --json >"$BATS_TEST_TMPDIR/work" &
	within 10 test -s "$BATS_TEST_TMPDIR/all"
	# the second has no sign of its own that it listens: until it has heard something
	within 10 eval 'qvm-tags work add heard; qvm-tags work del heard; test -s "$BATS_TEST_TMPDIR/work"'
	qvm-prefs work memory 401
	qvm-prefs tmpl default_user $'a+b'
	qvm-create -t tmpl -l blue other
	wait
	[ "$(head -n 3 "$BATS_TEST_TMPDIR/all")" = "$(printf '%s\t%s\t%s\t%s\t%s\n' - connection-established '' '' '' work property-set:memory name=memory newvalue=401 oldvalue=400 tmpl property-set:default_user name=default_user newvalue=a+b oldvalue=user | sed 's/\t*$//')" ] || {
		cat -A "$BATS_TEST_TMPDIR/all"
		false
	}
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/all")" = "$(printf -- '-\tdomain-add\tvm=other')" ]
	[ "$(jq -r '.subject' "$BATS_TEST_TMPDIR/work" | sort -u)" = work ]
	# it may have begun to listen between the two
	[[ $(jq -r '.event + .values.tag' "$BATS_TEST_TMPDIR/work" | head -n 1) == domain-tag-@(add|delete):heardheard ]]
	qvm-prefs -D work memory
	qvm-prefs -D tmpl default_user
	qvm-remove -f other
}

@test "qvm-ls --watch shows changes as they come" {
	qvm-ls --watch --raw-data -O name,label work >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	within 10 grep -qx 'work|red' "$BATS_TEST_TMPDIR/out"
	qvm-prefs work label blue
	within 10 grep -qx 'work|blue' "$BATS_TEST_TMPDIR/out"
	# what is not shown is no change
	qvm-prefs work autostart True
	qvm-prefs work label red
	within 10 eval '[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 5 ]'
	kill $pid
	[ "$(tr '\n' ' ' <"$BATS_TEST_TMPDIR/out")" = "work|red  work|blue  work|red " ]
	qvm-prefs -D work autostart
	# a qube that is gone ends it
	qvm-create -t tmpl -l blue other
	qvm-ls -w other 3>&- >"$BATS_TEST_TMPDIR/out" 2>&1 &
	pid=$!
	within 10 grep -q '^other ' "$BATS_TEST_TMPDIR/out"
	qvm-remove -f other
	status=0
	wait $pid || status=$?
	[ "$status" = 1 ]
	grep -q "no qube 'other'" "$BATS_TEST_TMPDIR/out"
}

@test "qvm-ls knows the disks' columns" {
	[ "$(qvm-ls --raw-data -o disk work | cut -d'|' -f5,8)" = 2048\|10240 ]
	qvm-ls -o disk | head -n 1 | grep -q 'PRIV-CURR.*PRIV-USED.*ROOT-USED'
	[ "$(qvm-ls --raw-data -O name,size:volatile dom0)" = "dom0|-" ]
	[ "$(qvm-ls --raw-data -O cpu-time,vcpus work)" = "-|2" ]
	refused 2 "no field" qvm-ls -O size:kernel
}

@test "qvm-top: tables, JSON, and a screen" {
	run -0 qvm-top
	[[ ${lines[0]} =~ ^NAME\ +STATE\ +CPU%\ +CPUsec\ +MU\ +MM\ +MU/MM$ ]]
	[[ ${lines[1]} == "dom0 "* && ${#lines[@]} = 2 ]]
	[ "$(qvm-top -d 1 -n 2 -S -C name | grep -c work)" = 2 ]
	[ "$(qvm-top -S -k name --json | jq -r '.[].name' | tr '\n' ' ')" = "dom0 tmpl work " ]
	[ "$(qvm-top -S -r -k name -C name | tr '\n' ' ')" = "NAME work tmpl dom0 " ]
	[ "$(qvm-top -S -f wo,nosuch -C name | tail -n 1)" = work ]
	[ "$(qvm-top -S -C name,state work | tail -n 1 | tr -s ' ')" = "work Halted" ]
	qvm-top --help-columns | grep -q '^cpu_usage '
	qvm-top --help-formats | grep -q '^min '
	# keys: halted qubes too, only names with "wo", the end
	run -0 timeout 20 script -qec qvm-top /dev/null < <(
		sleep 1.5
		printf S
		sleep 1
		printf '/wo\r'
		sleep 0.5
		printf q
	)
	[[ $output == *$'\033[?1049h'*"work "*"filter: wo"*$'\033[?1049l'* ]]
}
