# bash completion of qvm-copy, qvm-run and the others of a qube: options and files; which qubes there are is dom0's to know
# shellcheck shell=bash

_qvm_in_qube() {
	local cur=${COMP_WORDS[COMP_CWORD]} options
	COMPREPLY=()
	case ${COMP_WORDS[0]##*/} in
	qvm-copy* | qvm-move*) options='--without-progress --ignore-symlinks' ;;
	qvm-open-in-*) options='--view-only' ;;
	qvm-run | qvm-run-vm) options='--dispvm --no-shell --gui --no-gui --pass-io' ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options --help --version" -- "$cur")
	elif [[ ${COMP_WORDS[0]##*/} != qvm-run* ]]; then
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -c -- "$cur")
	fi
}
complete -F _qvm_in_qube qvm-copy qvm-move qvm-copy-to-vm qvm-move-to-vm qvm-open-in-vm qvm-open-in-dvm qvm-run qvm-run-vm
