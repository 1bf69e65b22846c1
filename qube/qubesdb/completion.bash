# bash completion of qubesdb-cmd and its other names: options, commands, qubes in dom0, and the paths there are
# shellcheck shell=bash

_qubesdb_sockets() {
	local run=${BULKHEAD_HOME:+$BULKHEAD_HOME/run}
	run=${run:-${XDG_RUNTIME_DIR:-/tmp}/bulkhead}
	local s
	for s in "$run"/qubes/qubesdb.*.sock; do
		s=${s##*/qubesdb.}
		[ "$s" = '*.sock' ] || echo "${s%.sock}"
	done
}

_qubesdb() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} i
	local qube=()
	COMPREPLY=()
	case $prev in
	-c)
		mapfile -t COMPREPLY < <(compgen -W "read write list multiread rm watch" -- "$cur")
		return
		;;
	-d)
		mapfile -t COMPREPLY < <(compgen -W "$(_qubesdb_sockets)" -- "$cur")
		return
		;;
	-e | -n)
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "-c -d -e -f -n -q -r -w -x --help --version" -- "$cur")
		return
	fi
	for ((i = 1; i < COMP_CWORD - 1; i++)); do
		[ "${COMP_WORDS[i]}" != -d ] || qube=(-d "${COMP_WORDS[i + 1]}")
	done
	mapfile -t COMPREPLY < <(timeout 2 qubesdb-cmd -q -f "${qube[@]}" -c list -- "$cur" 2>/dev/null)
}
complete -F _qubesdb qubesdb-cmd qubesdb-read qubesdb-write qubesdb-list qubesdb-multiread qubesdb-rm qubesdb-watch
