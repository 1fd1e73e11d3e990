# Building for arm64 on a host of another architecture, and Debian's packages for it. To be sourced after lib.sh.
#
# Everything is kept in the cache, below $arm64; nothing of the host changes.

arm64=${XDG_CACHE_HOME:-$HOME/.cache}/hotpatch/arm64

# arm64_apt COMMAND ARGUMENT...: apt for arm64, with lists and caches of its own.
arm64_apt() {
	APT_CONFIG=$arm64/apt/apt.conf "$@"
}

# arm64_lists: makes the lists that arm64_apt goes by.
arm64_lists() {
	local apt=$arm64/apt
	[ -e "$apt/done" ] && return
	rm -rf "$apt" && mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/state" && : >"$apt/state/status" || return
	cat >"$apt/apt.conf" <<-END
		APT::Architecture "arm64";
		APT::Architectures { "arm64"; };
		Dir::State "$apt/state";
		Dir::State::Lists "$apt/lists";
		Dir::State::status "$apt/state/status";
		Dir::Cache "$apt/cache";
	END
	arm64_apt apt-get update -q >&2 </dev/null && : >"$apt/done"
}

# arm64_unpack DIRECTORY PACKAGE...: unpacks the newest packages of these names for arm64.
arm64_unpack() {
	local to=$1 dir status
	shift
	arm64_lists || return
	dir=$(mktemp -d) || return
	mkdir -p "$to" && (cd "$dir" && arm64_apt apt-get download -q "$@" >&2 </dev/null &&
		for p in ./*.deb; do dpkg-deb -x "$p" "$to" || exit; done)
	status=$?
	rm -rf "$dir"
	return $status
}

# arm64_done: throws away what only fetching needed.
arm64_done() { rm -rf "$arm64/apt"; }

# Like what dpkg-buildflags(1) gives for arm64, beside -g -O2, which every recipe has.
arm64_flags="-fstack-protector-strong -D_FORTIFY_SOURCE=2"

# arm64_tool FILE COMMAND...: makes a program that runs the command with its own arguments.
arm64_tool() {
	local file=$1
	shift
	printf '#!/bin/sh\nexec %s\n' "$*" >"$file" && chmod +x "$file"
}

# arm64_tools: sets $arm64_bin to a directory with gcc, g++, ar, strip and others that build for arm64, under these names and under
# those with the prefix aarch64-linux-gnu-. The compilers find what arm64_libraries has unpacked. It is named by its content. as and ld
# have only the prefix: the machine's own compiler looks for its own on PATH.
arm64_tools() {
	local include=$arm64/root/usr/include lib=$arm64/root/usr/lib/aarch64-linux-gnu dir name real
	dir=$(mktemp -d "$arm64/bin.XXXXXX") || return
	for name in gcc g++ cpp; do
		real=$(command -v "aarch64-linux-gnu-$name") || { echo "aarch64-linux-gnu-$name is missing: scripts/setup installs it" >&2; return 1; }
		# shellcheck disable=SC2016 # of the program that is made
		arm64_tool "$dir/$name" "$real $arm64_flags -isystem $include -isystem $include/aarch64-linux-gnu" '"$@"' "-L$lib -Wl,-rpath-link,$lib"
	done
	ln -s gcc "$dir/cc" && ln -s g++ "$dir/c++"
	for name in ar nm ranlib objcopy objdump readelf strip addr2line; do
		real=$(command -v "aarch64-linux-gnu-$name") && ln -s "$real" "$dir/$name" || return
	done
	for name in "$dir"/*; do ln -s "$(basename "$name")" "$dir/aarch64-linux-gnu-$(basename "$name")"; done
	arm64_bin=$arm64/bin-$({ ls "$dir"; cat "$dir"/gcc "$dir"/g++ "$dir/cpp"; } | sha256sum | cut -c1-12)
	[ -d "$arm64_bin" ] && rm -rf "$dir" || mv "$dir" "$arm64_bin"
}

# arm64_libraries PACKAGE...: unpacks what programs are compiled with and linked to, for the compilers of arm64_tools.
arm64_libraries() {
	local missing=() p
	for p; do [ -e "$arm64/root/$p.done" ] || missing+=("$p"); done
	[ ${#missing[@]} = 0 ] && return
	arm64_unpack "$arm64/root" "${missing[@]}" && for p in "${missing[@]}"; do : >"$arm64/root/$p.done"; done
}

# build_for ARCH: from here on gcc and the others build for an architecture, as dpkg names it. Exported: HOST_TRIPLE, the name that
# a configure script wants as --host, unset for this machine; BUILD_CC, a compiler for programs that run while building. $foreign is the
# architecture's name for directories of the cache, "" for this machine's.
build_for() {
	BUILD_CC=$(command -v gcc) && export BUILD_CC
	case $1 in
	"$(dpkg --print-architecture)") foreign= && unset HOST_TRIPLE ;;
	arm64)
		mkdir -p "$arm64" && arm64_tools || return
		foreign=arm64
		export HOST_TRIPLE=aarch64-linux-gnu PATH=$arm64_bin:$PATH
		export CGO_ENABLED=0 # a Go program that a script builds is for this machine, and needs no C
		export PKG_CONFIG_SYSROOT_DIR=$arm64/root PKG_CONFIG_LIBDIR=$arm64/root/usr/lib/aarch64-linux-gnu/pkgconfig
		;;
	*) echo "nothing is built for $1 here" >&2 && return 1 ;;
	esac
}
