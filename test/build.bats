#!/usr/bin/env bats
# How the scripts treat their surroundings. What is large or slow is played by small programs here;
# template.bats has the real ones.

bats_require_minimum_version 1.5.0
load lib
# shellcheck source=test/lib.bash
: "${top:?}" "${libexec:?}"

setup() {
	dir=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead build.XXXXXX")
	mkdir "$dir/bin" "$dir/tmp"
	chmod 0755 "$dir"
	chmod 1777 "$dir/tmp"
	export dir
}

teardown() {
	rm -rf "$dir"
}

# fake NAME: a program of that name, its text on standard input, comes first
fake() {
	{
		echo '#!/bin/bash'
		cat
	} >"$dir/bin/$1"
	chmod 0755 "$dir/bin/$1"
}

@test "while a Debian template is built nobody else can write, or put something else, where its files are" {
	mkdir -p "$dir/debian"
	# where another user, who a namespace's root is, may write as well
	mkdir -m 1777 "$dir/seen"
	mmdebstrap=$(command -v mmdebstrap)
	export mmdebstrap
	tar -c -C "$dir/debian" -f "$dir/debian.tar" .
	fake mmdebstrap <<-'END'
		[ "$1" != --unshare-helper ] || exec "$mmdebstrap" "$@"
		cp "$dir/debian.tar" "${@: -2:1}"
	END
	# for each file and folder it works on: may others write there, or rename it?
	fake mke2fs <<-'END'
		while [ $# -gt 1 ]; do
			[ "$1" != -d ] || root=$2
			shift
		done
		for path in "$root" "$1" "${root%/shared/*}/guest.tar"; do
			[ -e "$path" ] || echo "not there: $path" >>"$dir/seen/open"
			while [ "$path" != "$dir/tmp" ] && [ "$path" != / ]; do
				[[ $(stat -c %A "$path") != ????????w* ]] || [[ $(stat -c %A "$path") == *t ]] || echo "$path" >>"$dir/seen/open"
				path=${path%/*}
			done
		done
		: >"$dir/seen/looked"
	END
	PATH="$dir/bin:$PATH" TMPDIR="$dir/tmp" BULKHEAD_CACHE="$dir/cache" timeout 120 "$libexec/template/build-debian" bookworm "$dir/out"
	[ -e "$dir/seen/looked" ]
	[ ! -e "$dir/seen/open" ] || { cat "$dir/seen/open" && false; }
	[ -e "$dir/out/root.img" ]
	[ -z "$(ls -A "$dir/tmp")" ]
}

@test "a cached package counts only with the bytes that the archive signed" {
	cd "$dir"
	echo good >good.deb
	echo bad >bad.deb
	printf "'http://x/a' good.deb 5 SHA256:%s\n" "$(sha256sum <good.deb | cut -d' ' -f1)" >list
	run -0 bash -c '. "$0/template/common.sh" && apt_has . list' "$libexec"
	printf "'http://x/b' bad.deb 5 SHA256:%s\n" "$(sha256sum <good.deb | cut -d' ' -f1)" >>list
	run -1 bash -c '. "$0/template/common.sh" && apt_has . list' "$libexec"
	# what is wrong goes, so that it is fetched again; what is right stays
	[ -e good.deb ] && [ ! -e bad.deb ]
	run -1 bash -c '. "$0/template/common.sh" && apt_has . list' "$libexec"
	: >good.deb
	run -1 bash -c '. "$0/template/common.sh" && apt_has . list' "$libexec"
}

@test "who fetches what another build fetches waits for it, and says so" {
	cd "$dir"
	lock() { BULKHEAD_CACHE=$dir/cache timeout 20 bash -c '. "$0/template/common.sh"; cache_lock x; echo locked; '"$1" "$libexec"; }
	mkfifo go
	lock 'read -r _ <go' >first &
	within 10 grep -q locked first
	lock : >second &
	within 10 grep -q 'waiting for another build' second
	run ! grep -q locked second
	# of another part, nobody
	run -0 bash -c '. "$0/template/common.sh"; CACHE=$1/cache; cache_lock y' "$libexec" "$dir"
	[ "$output" = "" ]
	echo >go
	within 10 grep -q locked second
	wait
	# given back before the end, too
	run -0 lock 'cache_unlock; cache_lock x; echo again'
	[ "$output" = "$(printf 'locked\nagain')" ]
}

@test "make clean-run deletes the instance, and not what the user had linked there" {
	mkdir -p "$dir/home/state" "$dir/home/other" "$dir/mine"
	ln -s "$dir/mine" "$dir/home/run"
	BULKHEAD_HOME="$dir/home" run -0 timeout 60 "$top/tools/stop" --clean
	[ -d "$dir/mine" ] && [ -d "$dir/home/other" ]
	[ ! -e "$dir/home/state" ] && [ ! -L "$dir/home/run" ]
}
