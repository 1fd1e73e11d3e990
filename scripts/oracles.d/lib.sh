# What scripts/mutate and scripts/references share: real programs that are compiled once and linked in many ways. To be
# sourced from the repository's root.
#
# A recipe under programs/ says where a program comes from and defines
#
#   fetch_tree      unpacks its source and sets $source, the directory with it in tree/
#   compile FLAG... in a copy of the tree: compiles, with further flags for the compiler. Where gcc is a cross compiler, HOST_TRIPLE
#                   is its prefix and BUILD_CC is the machine's own compiler (see scripts/arm64.sh)
#   objects         prints the object files that are linked, one a line
#   link OUT FLAG...  links the objects named in the array $order, with further flags for the linker's driver
#
# Everything is kept below ${HOTPATCH_CACHE:-$XDG_CACHE_HOME/hotpatch}/oracles. Every -q twin is linked from the same objects.

HOTPATCH_CACHE=${HOTPATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hotpatch}/oracles
source scripts/arm64.sh
source scripts/realworld.d/common.sh
source scripts/realworld.d/fetch.sh
foreign=
say() { echo "${0##*/}: $*" >&2; }
fail() {
	say "$@"
	exit 1
}

readonly recipes=$PWD/scripts/oracles.d/programs

# recipe PROGRAM: reads the recipe of a program.
recipe() {
	[[ -f $recipes/$1.sh ]] || fail "no program $1 in scripts/oracles.d/programs"
	source "$recipes/$1.sh"
}

# debian_source PACKAGE: sets $source to the newest source package that the mirror has, with Debian's patches applied.
debian_source() {
	local package=$1 options version
	source=$(find "$cache/src" -maxdepth 1 -name "$package-*" ! -name '*.new' 2>/dev/null | sort -V | tail -n 1)
	[[ -n $source ]] && return
	mkdir -p "$cache/apt/$(own_release)/lists/partial" "$cache/apt/$(own_release)/cache/archives/partial" "$cache/src"
	write_sources "$(own_release)"
	mapfile -t options < <(apt_options "$(own_release)")
	apt-get -qq "${options[@]}" update || fail "apt-get update failed with $cache/apt/$(own_release)/sources.d"
	for version in $(apt-cache "${options[@]}" showsrc --only-source "$package" | sed -n 's/^Version: //p' | sort -ruV); do
		source=$cache/src/$package-$version
		rm -rf "$source.new" && mkdir -p "$source.new"
		(cd "$source.new" && apt-get -qq "${options[@]}" source --download-only "$package=$version" &&
			dpkg-source --no-check -x ./*.dsc tree >/dev/null) || continue
		mv "$source.new" "$source"
		return
	done
	fail "$package: no version can be fetched"
}

# compiled PROGRAM NAME FLAG...: compiles a program with further flags in a directory of its own, once, and sets $tree to it. The recipe
# and the compiler are in its name. It is for the architecture that build_for was last called with.
compiled() {
	local program=$1 name=$2 key from=$SECONDS
	shift 2
	recipe "$program"
	key=$({ cat "$recipes/$program.sh"; echo "$@"; gcc --version; [[ -z $foreign ]] || command -v gcc; } | sha256sum | cut -c1-12)
	tree=$cache/${foreign:+$foreign-}$program-$key-$name
	[[ -e $tree.done ]] && return
	fetch_tree
	rm -rf "$tree" && mkdir -p "$(dirname "$tree")" && cp -r "$source/tree" "$tree"
	(cd "$tree" && SOURCE_DATE_EPOCH=1700000000 compile "${@//TREE/$tree}") >"$tree.log" 2>&1 </dev/null ||
		{ tail -n 20 "$tree.log" >&2; fail "$program: compiling failed, see $tree.log"; }
	touch "$tree.done"
	say "$program: compiled in $((SECONDS - from)) s in $tree"
}

# linked OUT FLAG...: links the program in $tree, its objects in their usual order unless $order has another.
linked() {
	local out=$1
	shift
	[[ ${#order[@]} -gt 0 ]] || mapfile -t order < <(cd "$tree" && objects)
	(cd "$tree" && link "$out" "$@") >"$out.log" 2>&1 || { tail -n 20 "$out.log" >&2; fail "linking $out failed"; }
	rm -f "$out.log"
}
