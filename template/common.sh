# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the build scripts of this folder share: progress, an apt of our own, images. Sourced.
#
# Nothing here needs root. Packages come from Debian's archive through apt, which checks the archive's
# signatures against Debian's own keyring; where from is what the machine's own apt is set to, for a
# mirror that is near for it is near for us.

set -euo pipefail
umask 022
export LC_ALL=C.UTF-8
# sbin is not on an ordinary user's path: mke2fs and depmod live there
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
CACHE=${BULKHEAD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead}
# a list of packages is fetched again after so many minutes
APT_FRESH_MIN=720

# progress PERCENT TEXT: one line that people can read and programs can parse
progress() {
	printf 'progress %d %s\n' "$1" "$2"
}

fail() {
	printf '%s: %s\n' "${0##*/}" "$1" >&2
	exit 1
}

# need COMMAND PACKAGE: stop with the one command that mends it
need() {
	command -v "$1" >/dev/null || fail "$1 is missing: sudo apt-get install $2"
}

# as_root_of_own COMMAND...: files made or read by COMMAND appear as root's; root itself needs no trick
as_root_of_own() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		unshare --user --map-root-user "$@"
	fi
}

# apt_uri LABEL SUITES: the address of one of Debian's archives, as the machine's own apt has it: by the label that its
# signed list bears, or, before the first apt-get update, by the name of the suite (a pattern)
apt_uri() {
	local uri
	# asked once: apt reads all its lists for it
	[ -n "${apt_targets-}" ] ||
		apt_targets=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(RELEASE)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null || true)
	uri=$(awk -F'|' -v label="$1" '$1 == "Debian" && $2 == label && $4 ~ /^(mirror\+)?https?:/ { print $4; exit }' <<<"$apt_targets")
	[ -n "$uri" ] ||
		uri=$(awk -F'|' -v suites="$2" '$1 == "" && $3 ~ suites && $4 ~ /^(mirror\+)?https?:/ { print $4; exit }' <<<"$apt_targets")
	[ -n "$uri" ] ||
		fail "apt on this machine has no source for the archive \"$1\": add it to /etc/apt/sources.list and run apt-get update"
	printf '%s\n' "${uri%/}"
}

# apt_sources SUITE: the lines of a sources.list for it
apt_sources() {
	[ -r "$KEYRING" ] || fail "Debian's keys are missing: sudo apt-get install debian-archive-keyring"
	if [ -z "${apt_main-}" ]; then
		apt_main=$(apt_uri Debian '^(bookworm|trixie|stable|oldstable)$')
		apt_security=$(apt_uri Debian-Security '-security$')
	fi
	printf "deb [signed-by=$KEYRING] %s main\n" "$apt_main $1" "$apt_main $1-updates" "$apt_security $1-security"
}

# cache_lock NAME: until cache_unlock, or the end of this program, nobody else fetches or makes that part of CACHE
cache_lock() {
	mkdir -p "$CACHE"
	exec 8>"$CACHE/$1.lock"
	flock -n 8 && return
	progress 1 "waiting for another build that fetches the same"
	flock 8
}

cache_unlock() {
	exec 8>&-
}

# apt_open SUITE: an apt state of our own for it under CACHE, with fresh lists; sets APT. It is locked until cache_unlock,
# to be called when what is wanted was fetched: what is there already, nobody changes.
apt_open() {
	local dir=$CACHE/apt/$1 sources
	need apt-get apt
	cache_lock "apt-$1"
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	: >"$dir/status"
	sources=$(apt_sources "$1")
	cat >"$dir/apt.conf" <<-END
		Dir::State "$dir";
		Dir::State::Lists "$dir/lists";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir";
		Dir::Cache::archives "$dir/archives";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "srcpkgcache.bin";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Get::AllowUnauthenticated "false";
		APT::Sandbox::User "";
		Acquire::AllowInsecureRepositories "false";
		Acquire::AllowWeakRepositories "false";
		Acquire::Languages "none";
		Acquire::Retries "2";
		Debug::NoLocking "true";
	END
	APT=(env "APT_CONFIG=$dir/apt.conf" apt-get -q)
	APT_CACHE=(env "APT_CONFIG=$dir/apt.conf" apt-cache)
	if [ "$(cat "$dir/sources.list" 2>/dev/null)" = "$sources" ] &&
		[ -n "$(find "$dir/fresh" -mmin "-$APT_FRESH_MIN" 2>/dev/null)" ]; then
		return
	fi
	printf '%s\n' "$sources" >"$dir/sources.list"
	progress 2 "fetching the archive's list of packages ($1)"
	if "${APT[@]}" update >"$dir/log" 2>&1 && ! grep -q '^[EW]:' "$dir/log"; then
		touch "$dir/fresh"
	elif [ -e "$dir/fresh" ]; then
		printf '%s: the archive does not answer; going on with the list of %s\n' "${0##*/}" "$(date -r "$dir/fresh")" >&2
	else
		cat "$dir/log" >&2
		fail "Debian's list of packages cannot be fetched: look at the network and at the apt sources of this machine"
	fi
}

# apt_fetch SUITE PACKAGE...: the packages' files under CACHE, verified; prints their paths
apt_fetch() {
	local dir=$CACHE/apt/$1/archives list=$CACHE/apt/$1/wanted
	shift
	# each line: 'URI' FILE SIZE HASH, of the newest version the archive has; apt leaves out what is
	# in the current folder already
	(cd "$dir/partial" && "${APT[@]}" download --print-uris "$@" >"$list" 2>"$list.log") || {
		cat "$list.log" >&2
		fail "the archive has not got all of: $*"
	}
	# what is there bears its version in its name; a power cut may have left it empty, so its bytes count
	if apt_has "$dir" "$list"; then
		:
	elif ! (cd "$dir" && "${APT[@]}" download "$@" >"$list.log" 2>&1); then
		cat "$list.log" >&2
		fail "packages cannot be fetched: look at the network and at the apt sources of this machine"
	fi
	awk -v dir="$dir" '{ print dir "/" $2 }' "$list"
}

# apt_has DIR LIST: each file of the list is in DIR with the hash that the archive signed; wrong ones go
apt_has() {
	local file hash all=0
	while read -r _ file _ hash; do
		[ -e "$1/$file" ] || { all=1 && continue; }
		case $hash in
		SHA256:*) [ "$(sha256sum <"$1/$file" | cut -d' ' -f1)" != "${hash#SHA256:}" ] || continue ;;
		SHA512:*) [ "$(sha512sum <"$1/$file" | cut -d' ' -f1)" != "${hash#SHA512:}" ] || continue ;;
		esac
		rm -f "$1/$file"
		all=1
	done <"$2"
	return $all
}

# kernel_package FLAVOUR: the name of the newest kernel of this flavour, after apt_open
kernel_package() {
	"${APT_CACHE[@]}" depends "linux-image-$1" | awk '/Depends: linux-image-[0-9]/ { print $2; exit }'
}


# qube_root_find HERE: the guest programs as installed with tag "qube"; in a build folder they are
# put there now, so that they are the current ones
qube_root_find() {
	local candidate
	if [ -z "${BULKHEAD_QUBE_ROOT:-}" ] && [ -e "$1/../build.ninja" ]; then
		meson install -C "$1/.." --no-rebuild --tags qube --destdir qube-root >/dev/null || fail "the guest programs are not built: make build"
	fi
	for candidate in "${BULKHEAD_QUBE_ROOT:-}" "$1/../qube-root" "$1/qube-root"; do
		if [ -n "$candidate" ] && [ -d "$candidate/usr/lib/qubes" ]; then
			(cd "$candidate" && pwd)
			return
		fi
	done
	fail "the guest programs are not there: make build, or set BULKHEAD_QUBE_ROOT"
}

# template_conf_write FILE KEY=VALUE...
template_conf_write() {
	local file=$1
	shift
	printf '%s\n' "$@" >"$file"
}

# mmdebstrap_progress LOG: what mmdebstrap says, kept in LOG and told as progress between 2 and 70
mmdebstrap_progress() {
	tee "$1" | awk '
		/^I: (automatically|chroot|running|installing|downloading|extracting|cleaning|creating)/ {
			percent += percent < 60 ? 6 : 0
			sub(/^I: /, "")
			sub(/ in shell:.*/, "")
			printf "progress %d %s\n", 2 + percent, substr($0, 1, 100)
			fflush()
		}'
}
