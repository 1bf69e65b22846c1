# Source this (`. ./env.sh`) in sh, bash or zsh; in fish env.fish: puts the built programs, their man pages and their
# completion on this shell's paths.
# The instance they speak to is $BULKHEAD_HOME, by default var/ beside this file.
# shellcheck shell=sh disable=SC3028,SC3054,SC2296
if [ -n "${BASH_SOURCE-}" ]; then
	bulkhead_top=$(cd "$(dirname "${BASH_SOURCE-}")" && pwd)
elif [ -n "${ZSH_VERSION-}" ]; then
	eval 'bulkhead_top=$(cd "$(dirname "${(%):-%x}")" && pwd)'
else
	bulkhead_top=$PWD
fi
if [ ! -f "$bulkhead_top/env.sh" ]; then
	echo "env.sh: source this from the folder it is in" >&2
else
	BULKHEAD_HOME=${BULKHEAD_HOME:-$bulkhead_top/var}
	BULKHEAD_QUBE_ROOT=${BULKHEAD_QUBE_ROOT:-$bulkhead_top/build/qube-root}
	export BULKHEAD_HOME BULKHEAD_QUBE_ROOT
	case ":$PATH:" in
	*":$bulkhead_top/build/root/usr/bin:"*) ;;
	*) PATH=$bulkhead_top/build/root/usr/bin:$PATH ;;
	esac
	case ":${MANPATH-}:" in
	*":$bulkhead_top/build/root/usr/share/man:"*) ;;
	*) MANPATH=$bulkhead_top/build/root/usr/share/man:${MANPATH-} ;;
	esac
	export PATH MANPATH
	if [ -n "${BASH_VERSION-}" ] && [ -f "$bulkhead_top/build/root/usr/share/bash-completion/completions/qvm" ]; then
		. "$bulkhead_top/build/root/usr/share/bash-completion/completions/qvm"
		. "$bulkhead_top/build/root/usr/share/bash-completion/completions/bulkhead"
		. "$bulkhead_top/build/root/usr/share/bash-completion/completions/qubes-policy"
	fi
	# zsh looks into its folders once: again, whether or not it has. -u: whose they are is no question, -D: nothing is kept
	if [ -n "${ZSH_VERSION-}" ] && [ -d "$bulkhead_top/build/root/usr/share/zsh/site-functions" ]; then
		eval 'fpath=("$bulkhead_top/build/root/usr/share/zsh/site-functions" $fpath)
			typeset -U fpath
			autoload -Uz compinit && compinit -u -D'
	fi
fi
unset bulkhead_top
