#!/usr/bin/env bats
# bulkhead import-qubes-xml: the definitions of a Qubes installation are shown, and made all or not at all. Qubes here do nothing (vmm/none).
# bats file_tags=alone

bats_require_minimum_version 1.5.0
load lib
# read by the library
# shellcheck disable=SC2034
qubesd="$top/build/test/qubesd-none"
load qubesd-lib

xml=$top/test/import/qubes.xml
fw=$top/test/import/fw

# everything: what there is in this instance, but what counts time
everything() {
	local q
	qvm-ls --raw-data -O name,class,label,template,netvm,memory
	qubes-prefs
	for q in $(qvm-ls --raw-list); do
		qvm-features "$q"
		qvm-tags "$q"
	done
	ask 'admin.label.List dom0 name dom0\0'
	find "$BULKHEAD_HOME/state/pools" -type f | sort
}

pref() {
	qvm-prefs "$1" "$2"
}

# names FILE...: all but dom0, on one line
names() {
	qvm-ls --raw-list | grep -v '^dom0$' | sort | tr '\n' ' '
}

all='bank disp-base far linux-40 odd sys-firewall sys-net sys-usb sys-vpn work '

@test "a dry run shows the qubes and what is not taken over, and changes nothing" {
	local before
	before=$(everything)
	run -0 --separate-stderr bulkhead import-qubes-xml --dry-run "$xml"
	echo "$output"
	[[ ${lines[0]} == "NAME "*"CLASS "*"LABEL "*"TEMPLATE "*NETVM ]]
	grep -Eq '^work +AppVM +moss +linux-40 +sys-vpn$' <<<"$output"
	grep -Eq '^sys-usb +DispVM +red +disp-base' <<<"$output"
	grep -Fq 'Not taken over:' <<<"$output"
	grep -Fq "work: kernel: kernel '6.6.63-1.fc37' is not installed" <<<"$output"
	grep -Fq "linux-40: memory: memory of 999999999 MiB is more than this machine has" <<<"$output"
	grep -Fq "work: device usb sys-usb:2-1: devices are not there yet" <<<"$output"
	grep -Fq "disp4711: the qube: it is a disposable for one use" <<<"$output"
	grep -Fq "disp-base: snapshots: this part of the file is not known" <<<"$output"
	grep -Fq "system: default_pool: that pool is not here" <<<"$output"
	grep -Fq "system: firewall rules: they are in other files" <<<"$output"
	# nothing that has its place here is named: neither derived values nor the file's own numbers
	run ! grep -Eq 'qid|uuid|dispid|installed_by_rpm|netvm:|template:|vcpus' <<<"$output"
	[ "$(everything)" = "$before" ]
	# without a terminal and --yes nothing is done either
	run -1 --separate-stderr bulkhead import-qubes-xml "$xml" </dev/null
	[[ $stderr == *"nothing was changed; --yes makes these 10 qubes"* ]]
	[ "$(everything)" = "$before" ]
}

@test "all of it is made: classes, properties, references in any order, features, tags, volumes, firewalls, the system's own" {
	run -0 bulkhead import-qubes-xml --yes --firewall-dir "$fw" "$xml"
	echo "$output"
	[[ $output == *"10 qubes were made"* ]]
	[ "$(names)" = "$all" ]
	[ "$(qvm-ls --raw-data -O name,class,label,template | grep ^sys-usb)" = 'sys-usb|DispVM|red|disp-base' ]
	[ "$(pref far relayvm) $(pref far transport_rpc) $(pref far remote_name)" = 'sys-net qubesair.SSHProxy work' ]
	# netvms in a chain, the first of which the file defines last
	[ "$(pref work netvm) $(pref sys-vpn netvm) $(pref sys-firewall netvm) $(pref sys-net netvm)" = 'sys-vpn sys-firewall sys-net ' ]
	# the default is written down as the default, and a template of none as the system's
	[ "$(ask 'admin.vm.property.Get+netvm dom0 name bank\0')" = '0|default=True type=vm sys-firewall' ]
	[ "$(pref sys-firewall template)" = linux-40 ]
	[ "$(pref work memory) $(pref work maxmem) $(pref work vcpus) $(pref work include_in_backups)" = '600 900 2 False' ]
	[ "$(ask 'admin.vm.property.Get+default_dispvm dom0 name work\0')" = '0|default=False type=vm ' ]
	[ "$(pref sys-vpn autostart) $(pref sys-net virt_mode)" = 'True hvm' ]
	[ "$(ask 'admin.vm.property.Get+kernel dom0 name work\0')" = '0|default=True type=str ' ]
	[ "$(qvm-features work menu-items) $(qvm-features work internal)" = 'a.desktop b.desktop 1' ]
	[ "$(ask 'admin.vm.feature.Get+service.cups dom0 name work\0')" = '0|' ]
	[ "$(qvm-tags work | tr '\n' ' ')" = 'created-by-dom0 guivm-dom0 secret ' ]
	[ "$(qubes-prefs default_template) $(qubes-prefs default_netvm) $(qubes-prefs default_dispvm) $(qubes-prefs default_shutdown_timeout) $(qubes-prefs clockvm)" = 'linux-40 sys-firewall disp-base 77 sys-net' ]
	[ "$(ask 'admin.vm.property.Get+keyboard_layout dom0 name dom0\0')" = '0|default=False type=str de+nodeadkeys+' ]
	[ "$(qvm-features dom0 config-usbvm-name)" = sys-usb ]
	[ "$(ask 'admin.label.Get+moss dom0 name dom0\0')" = '0|0x12ab34' ]
	[[ $(ask 'admin.vm.volume.Info+private dom0 name work\0') == *pool=default*size=5368709120*revisions_to_keep=2* ]]
	[[ $(ask 'admin.vm.volume.Info+volatile dom0 name work\0') == *size=12884901888* ]]
	[[ $(ask 'admin.vm.volume.Info+root dom0 name linux-40\0') == *size=21474836480* ]]
	[[ $(ask 'admin.vm.volume.Info+root dom0 name work\0') == *size=21474836480*snap_on_start=True* ]]
	[ "$(ask 'admin.vm.firewall.Get dom0 name work\0')" = '0|action=accept dst4=192.0.2.7/32 dstports=443-443 proto=tcp comment=the office, https
action=accept specialtarget=dns
action=drop' ]
	# no rule at all drops everything, and so does a list that holds what is none
	[ "$(ask 'admin.vm.firewall.Get dom0 name bank\0')" = '0|' ]
	[ "$(ask 'admin.vm.firewall.Get dom0 name odd\0')" = '0|' ]
	[[ $output == *"odd: firewall: there is a rule that is none here, so everything is dropped"* ]]
	[ "$(ask 'admin.vm.firewall.Get dom0 name sys-vpn\0')" = '0|action=accept' ]
	# it stays, it is whole, and it can be started
	daemon_stop
	daemon_start
	[ "$(names)" = "$all" ]
	run -0 bulkhead check
	mkdir -p "$BULKHEAD_HOME/state/kernels/1"
	touch "$BULKHEAD_HOME/state/kernels/1/"{vmlinuz,initramfs,modules.img}
	[ "$(ask 'admin.vm.Start dom0 name work\0')" = '0|' ]
	[ "$(ask 'admin.vm.Start dom0 name sys-usb\0')" = '0|' ]
	# a second time every name is taken
	run -1 --separate-stderr bulkhead import-qubes-xml --yes "$xml"
	[[ $stderr == *"there is a qube 'work' already"*--rename*--template* ]]
	[ "$(names)" = "$all" ]
}

@test "other names, templates and pools that are here, qubes left out" {
	make_template debian-12
	mkdir "$BULKHEAD_HOME/other"
	qvm-pool add second qcow2 -o "dir_path=$BULKHEAD_HOME/other"
	make_app work debian-12
	run -1 --separate-stderr bulkhead import-qubes-xml --yes "$xml"
	[[ $stderr == *"there is a qube 'work' already"* ]]
	run -1 --separate-stderr bulkhead import-qubes-xml --yes --rename work=office --pool vm-pool=third "$xml"
	[[ $stderr == *"there is no pool 'third'"* ]]
	# what is left out takes along what it is the template of
	run -1 --separate-stderr bulkhead import-qubes-xml --yes --rename work=office --exclude linux-40 "$xml"
	[[ $stderr == *"would have no template"*--template* ]]
	[ "$(names)" = 'debian-12 work ' ]
	run -0 bulkhead import-qubes-xml --yes --rename work=office --rename sys-net=net --template linux-40=debian-12 --pool vm-pool=second --exclude sys-usb "$xml"
	[ "$(names)" = 'bank debian-12 disp-base far net odd office sys-firewall sys-vpn work ' ]
	[ "$(pref office template) $(pref sys-firewall template) $(pref sys-firewall netvm) $(pref far relayvm)" = 'debian-12 debian-12 net net' ]
	[ "$(qubes-prefs default_template) $(qubes-prefs clockvm) $(qubes-prefs default_pool)" = 'debian-12 net second' ]
	[ "$(qvm-tags sys-vpn)" = created-by-net ]
	[[ $(ask 'admin.vm.volume.Info+private dom0 name office\0') == *pool=second* ]]
	[[ $(ask 'admin.vm.volume.Info+private dom0 name net\0') == *pool=default* ]]
	[ -n "$(find "$BULKHEAD_HOME/other" -name '*.qcow2')" ]
	run -0 bulkhead check
}

@test "called wrongly or with a file that is none: told, and nothing is made" {
	local bad=$BULKHEAD_HOME/bad.xml i
	run -2 bulkhead import-qubes-xml
	run -2 bulkhead import-qubes-xml "$xml" "$xml"
	run -2 bulkhead import-qubes-xml --rename work "$xml"
	run -2 bulkhead import-qubes-xml --pool =x "$xml"
	run -0 bulkhead import-qubes-xml --help
	[[ $output == *--firewall-dir* ]]
	run -1 bulkhead import-qubes-xml --yes "$BULKHEAD_HOME/none.xml"
	[[ $output == *"No such file"* ]]
	# refuse WORDS: the file $bad
	refuse() {
		run -1 timeout 20 bulkhead import-qubes-xml --yes "$bad"
		echo "$output"
		[[ $output == *"$1"* ]]
		[ -z "$(names | tr -d ' ')" ]
	}
	: >"$bad"
	refuse "no element found"
	head -c 3000 "$xml" >"$bad"
	refuse "line "
	echo '<domain id="x"/>' >"$bad"
	refuse "it is no qubes.xml"
	echo '<qubes/>' >"$bad"
	refuse "it has no domains"
	echo '<qubes><domains><domain id="domain-3" class="AppVM"><properties/></domain></domains></qubes>' >"$bad"
	refuse "domain-3"
	# entities of its own: neither files nor growth
	cat >"$bad" <<-'END'
		<!DOCTYPE qubes [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>
		<qubes><domains><domain id="1" class="AppVM"><properties><property name="name">&b;&c;</property></properties></domain></domains></qubes>
	END
	refuse "document type"
	{
		for i in {1..100000}; do printf '<a>'; done
	} >"$bad"
	refuse "without end"
	head -c 17000000 /dev/zero >"$bad"
	refuse "too large"
	echo '<qubes><domains><domain id="1" class="CloudVM"><properties><property name="name">a</property></properties></domain></domains></qubes>' >"$bad"
	refuse "no class 'CloudVM'"
	echo '<qubes><domains><domain id="1" class="TemplateVM"><properties><property name="name">a b</property></properties></domain></domains></qubes>' >"$bad"
	refuse "no name for a qube"
	printf '<qubes><domains><domain id="1" class="TemplateVM"><properties><property name="name">t</property></properties><tags><tag name="\xc2\x9b31mred"/></tags></domain></domains></qubes>' >"$bad"
	run -0 bulkhead import-qubes-xml --dry-run "$bad"
	[[ $output == *"t: ??31mred: "* ]]
	[[ $output != *$'\xc2\x9b'* ]]
	# what parts the columns of a table and its lines is no more than a character in a word of the file's
	printf '<qubes><domains><domain id="1" class="TemplateVM"><properties><property name="name">t</property><property name="label">%s</property></properties>%s</domain></domains></qubes>' \
		"$(printf 'a%.0s\tb' {1..40})" '<devices class="x"><device id="y&#10;t&#9;memory&#9;invented"/></devices>' >"$bad"
	run -0 --separate-stderr bulkhead import-qubes-xml --dry-run "$bad"
	[[ ${lines[1]} =~ ^t\ +TemplateVM\ +(a\?b)+\ +$ ]]
	grep -Fq 't: device x ?:y?t?memory?invented: devices' <<<"$output"
	run ! grep -q '^ *t: memory' <<<"$output"
}

@test "bulkhead.Import itself: a file that is none, an argument that is none, a refused record" {
	# import ARG FILE: the answer, NUL shown as |
	import() {
		python3 - "$BULKHEAD_HOME/run/qubesd.sock" "$1" "$2" <<-'END' | tr '\0' '|'
			import array, os, socket, sys
			s = socket.socket(socket.AF_UNIX)
			s.connect(sys.argv[1])
			request = b"bulkhead.Import+%s dom0 name dom0\0" % sys.argv[2].encode()
			if sys.argv[3]:
			    fd = os.open(sys.argv[3], os.O_RDONLY | os.O_NONBLOCK)
			    s.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
			else:
			    s.sendall(request)
			s.shutdown(socket.SHUT_WR)
			while True:
			    more = s.recv(65536)
			    if not more:
			        break
			    sys.stdout.buffer.write(more)
		END
	}
	local f=$BULKHEAD_HOME/records
	[[ $(import try '') == '2|ProtocolError|'*"comes along"* ]]
	[[ $(import try /dev/zero) == '2|ProtocolError|'*"comes along"* ]]
	mkfifo "$BULKHEAD_HOME/pipe"
	[[ $(import try "$BULKHEAD_HOME/pipe") == '2|ProtocolError|'*"comes along"* ]]
	: >"$f"
	[[ $(import other "$f") == '2|ProtocolError|'* ]]
	[ "$(import '' "$f")" = '0|' ]
	printf 'qube\0TemplateVM\0t\0cube\0' >"$f"
	[[ $(import '' "$f") == '2|ProtocolError|'*"at byte 18"* ]]
	printf 'qube\0AdminVM\0t\0' >"$f"
	[[ $(import '' "$f") == '2|QubesValueError|'* ]]
	make_template there
	# what was there before cannot be touched
	printf 'qube\0TemplateVM\0t\0property\0there\0memory\000500\0tag\0there\0x\0feature\0there\0f\0v\0' >"$f"
	[ "$(import try "$f" | sed 's/that.*//' | tr '\t\n' ' _')" = "0|property there memory 'there' is no qube _tag there x 'there' is no qube _feature there f 'there' is no qube _" ]
	printf 'qube\0TemplateVM\0t\0volume\0there\0root\0\0\0\0' >"$f"
	[[ $(import '' "$f") == '2|QubesVMNotFoundError|'* ]]
	[ "$(names)" = 'there ' ]
	# references in a circle: each on its own is taken, what would close it is left out
	printf 'qube\0StandaloneVM\0a\0qube\0StandaloneVM\0b\0property\0a\0netvm\0b\0property\0b\0netvm\0a\0property\0a\0provides_network\0True\0property\0b\0provides_network\0True\0' >"$f"
	[[ $(import '' "$f") == *"a loop"* ]]
	[ "$(names)" = 'a b there ' ]
}

@test "killed anywhere, or a volume that cannot be made: all of it is there or nothing is" {
	local i n=12 there=0 before
	! full_counts || n=300
	before=$(everything)
	# a pool that cannot be written: the first qube's volumes are made elsewhere, and go again
	if [ "$(id -u)" != 0 ]; then
		mkdir "$BULKHEAD_HOME/closed"
		qvm-pool add closed qcow2 -o "dir_path=$BULKHEAD_HOME/closed"
		chmod 500 "$BULKHEAD_HOME/closed"
	else
		mkdir "$BULKHEAD_HOME/closed"
		qvm-pool add closed qcow2 -o "dir_path=$BULKHEAD_HOME/closed"
		rm -r "$BULKHEAD_HOME/closed"
		touch "$BULKHEAD_HOME/closed"
	fi
	run -1 bulkhead import-qubes-xml --yes --pool varlibqubes=closed "$xml"
	echo "$output"
	[[ $output == *"Nothing was taken over"* ]]
	[ "$(everything)" = "$before" ]
	# what could not be removed either is at the next start
	rm -rf "$BULKHEAD_HOME/closed"
	mkdir "$BULKHEAD_HOME/closed"
	daemon_stop
	daemon_start
	within 20 qvm-pool remove closed
	RANDOM=${BATS_SEED:-$$}
	echo "BATS_SEED=${BATS_SEED:-$$}"
	for ((i = 0; i < n && there < 3; i++)); do
		bulkhead import-qubes-xml --yes --quiet "$xml" >/dev/null 2>&1 &
		sleep "0.$(printf %03d $((RANDOM % 600)))"
		daemon_kill
		wait $! || true
		daemon_start
		# what is hidden is being removed
		within 20 eval '[ "$(find "$BULKHEAD_HOME/state/pools" -mindepth 3 | wc -l)" = 0 ] || [ "$(names)" = "$all" ]'
		case $(names) in
		"$all")
			there=$((there + 1))
			[ "$(qubes-prefs clockvm)" = sys-net ]
			daemon_stop
			rm -rf "$BULKHEAD_HOME/state"
			daemon_start
			;;
		'')
			[ "$(everything)" = "$before" ]
			;;
		*)
			names
			false
			;;
		esac
		run -0 bulkhead check
	done
}

@test "bulkhead.Import: definitions without end are refused as a whole" {
	run -0 --separate-stderr python3 - "$BULKHEAD_HOME/run/qubesd.sock" <<-'END'
		import os, socket, sys
		fd = os.memfd_create("definitions")
		with os.fdopen(os.dup(fd), "wb") as f:
		    f.write(b"label\0x\0y\0" * 200001)
		s = socket.socket(socket.AF_UNIX)
		s.connect(sys.argv[1])
		socket.send_fds(s, [b"bulkhead.Import+try dom0 name dom0\0"], [fd])
		s.shutdown(socket.SHUT_WR)
		answer = b""
		while more := s.recv(65536):
		    answer += more
		print(answer.replace(b"\0", b"|").decode(errors="replace")[:400])
	END
	[[ $output == *"more than 200000 definitions in one file"* ]]
}
