# The tools that look at qubes and change them without starting any: as a user types them.
# shellcheck shell=bash disable=SC2030,SC2031,SC2016,SC2086,SC2154

bats_require_minimum_version 1.5.0
load lib

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
		qvm-service
		qvm-service -e work
		qvm-service -e -d work cups
		qvm-service -l work cups
		qvm-service work cups maybe
		qvm-service work cups on off
		qvm-check
		qvm-check --all work
		qvm-check --exclude work
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
