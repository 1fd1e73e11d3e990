# Shared by the scripts of this directory. To be sourced, from any directory.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# cache: where downloads and builds that are not part of the repository are kept.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hotpatch

# Go: where it is commonly installed and a non-login shell does not look, and what scripts/setup fetched.
toolchain=$cache/toolchain/go
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
[ -x "$toolchain/bin/go" ] && PATH=$toolchain/bin:$PATH
export PATH

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# as_root COMMAND...: runs the command as root, by sudo if need be.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -- "$@"
	else
		die "root or sudo is needed for: $*"
	fi
}

# install_packages NAME...: installs those Debian packages that are not installed.
install_packages() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$p")
	done
	[ ${#missing[@]} = 0 ] && return
	echo "installing: ${missing[*]}" >&2
	export DEBIAN_FRONTEND=noninteractive
	as_root apt-get update -q </dev/null >&2 &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null >&2 ||
		die "cannot install: ${missing[*]}"
}

# apt_source PACKAGE...: unpacks the sources of Debian packages into the current directory. It reads
# the archives that the machine already uses and changes nothing of apt's configuration.
apt_source() {
	local conf=$cache/apt
	if [ ! -e "$conf/ready" ]; then
		rm -rf "$conf"
		mkdir -p "$conf/parts" "$conf/lists/partial" || return
		local f
		for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
			[ -f "$f" ] && sed -n 's/^deb\(-src\)\?[[:space:]]/deb-src /p' "$f" | sort -u >"$conf/parts/${f##*/}.list"
		done
		for f in /etc/apt/sources.list.d/*.sources; do
			[ -f "$f" ] && sed 's/^Types:.*/Types: deb-src/' "$f" >"$conf/parts/${f##*/}"
		done
		apt_private update -q </dev/null >&2 && touch "$conf/ready" || return
	fi
	apt_private source -q --only-source "$@" </dev/null >&2
}

apt_private() {
	local conf=$cache/apt
	apt-get -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$conf/parts" \
		-o Dir::State::Lists="$conf/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o APT::Sandbox::User=root "$@"
}
