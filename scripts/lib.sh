# Shared by the scripts of this directory. To be sourced, from any directory.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Programs that tests read and never start are kept here, see scripts/setup.
programs=${XDG_CACHE_HOME:-$HOME/.cache}/hotpatch/programs

# Go, where it is commonly installed and a non-login shell does not look, and the one that scripts/setup fetched.
toolchain=${XDG_CACHE_HOME:-$HOME/.cache}/hotpatch/toolchain
for dir in /usr/local/go/bin "$programs/usr/bin"; do
	case ":$PATH:" in *":$dir:"*) ;; *) PATH=$PATH:$dir ;; esac
done
[ -x "$toolchain/go/bin/go" ] && PATH=$toolchain/go/bin:$PATH
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
	apt_lists
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" </dev/null >&2 ||
		die "cannot install: ${missing[*]}"
}

# apt_lists: brings apt's lists up to date, once.
apt_lists() {
	[ -n "${apt_lists_done:-}" ] && return
	as_root apt-get update -q </dev/null >&2 || die "apt-get update failed"
	apt_lists_done=1
}
