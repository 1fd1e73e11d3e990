# Fetching a Debian source package and building it with and without one of its patches.

readonly cache=${HOTPATCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hotpatch}/realworld

# write_sources RELEASE makes deb-src entries for a release of this machine's own deb entries, in both of apt's
# formats. They go into a directory of our own, so that the machine's apt configuration stays as it is. Of another
# release than this machine's there is no -updates, which its mirror may have dropped.
write_sources() {
    local codename release=$1 file to=$cache/apt/$1/sources.d
    codename=$(own_release)
    rm -rf "$to" && mkdir -p "$to"
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -f $file ]] || continue
        grep -v '^#' "$file" | awk -v RS= -v code="$codename" -v release="$release" '
            /(^|\n)Enabled: *no/ { next }
            match($0, /(^|\n)Suites:[^\n]*/) && substr($0, RSTART, RLENGTH) ~ "[: ]" code {
                head = substr($0, 1, RSTART - 1); suites = substr($0, RSTART, RLENGTH); tail = substr($0, RSTART + RLENGTH)
                if (code != release) { gsub(" " code "-updates", "", suites); gsub(code, release, suites) }
                $0 = head suites tail
                gsub(/(^|\n)Types:[^\n]*/, "\nTypes: deb-src"); sub(/^\n/, ""); print $0 "\n" }' >>"$to/own.sources"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -f $file ]] || continue
        sed -nE "s/^deb( +(\[[^]]*\] +)?[^ ]+ +$codename(-[a-z-]+)? )/deb-src\1/p" "$file" |
            if [[ $codename == "$release" ]]; then cat; else sed -E "/ $codename-updates /d; s/ $codename/ $release/"; fi >>"$to/own.list"
    done
    grep -qs deb-src "$to"/* || fail "no entry for Debian $codename found in /etc/apt"
}

apt_options() {
    printf '%s\n' -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$cache/apt/$1/sources.d" \
        -o "Dir::State::Lists=$cache/apt/$1/lists" -o "Dir::Cache=$cache/apt/$1/cache" -o APT::Sandbox::User=root \
        -o Acquire::Retries=3
}

# own_release prints the code name of this machine's release.
own_release() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

# fetch PACKAGE PATCH [RELEASE]: unpacks into $source the newest version of the package that the mirror still
# has in the release (this machine's, if none is given), or that it had and that is kept here, and whose series holds the patch. The patches
# are not applied.
fetch() {
    local package=$1 patch=$2 release=${3:-$(own_release)} options version versions
    local lock
    mkdir -p "$cache/apt/$release/lists/partial" "$cache/apt/$release/cache/archives/partial" "$cache/src"
    exec {lock}>"$cache/apt/lock" && flock "$lock" # one at a time
    write_sources "$release"
    mapfile -t options < <(apt_options "$release")
    apt-get -qq "${options[@]}" update || fail "apt-get update failed with $cache/apt/$release/sources.d"
    versions=$(apt-cache "${options[@]}" showsrc --only-source "$package" | sed -n 's/^Version: //p' | sort -ruV)
    for version in $({ echo "$versions"; kept "$package" "${versions%%$'\n'*}"; } | sort -ruV); do
        source=$cache/src/$package-$version
        if [[ ! -d $source ]]; then
            rm -rf "$source.new" && mkdir -p "$source.new"
            (cd "$source.new" && apt-get -qq "${options[@]}" source --download-only "$package=$version" &&
                dpkg-source --no-check --skip-patches -x ./*.dsc tree >/dev/null) || {
                say "$package $version cannot be fetched; trying the version before it"
                continue
            }
            mv "$source.new" "$source"
        fi
        if awk -v patch="$patch" '$1 == patch { found = 1 } END { exit !found }' "$source/tree/debian/patches/series"; then
            say "source: $package $version"
            exec {lock}>&-
            return
        fi
    done
    fail "$package: no version that can be fetched has the patch $patch"
}

# kept PACKAGE VERSION prints the versions that are unpacked already and have the same upstream version.
kept() {
    local dir
    for dir in "$cache/src/$1-${2%-*}"-*; do
        [[ ! -d $dir || $dir == *.new ]] || echo "${dir#"$cache/src/$1-"}"
    done
}

# apply_series PATCH: in an unpacked tree, applies the patches of the series that come before PATCH.
apply_series() {
    local name
    while read -r name _; do
        [[ -z $name || $name == \#* ]] && continue
        [[ $name == "$1" ]] && return
        apply_one "$name"
    done <debian/patches/series
}

apply_one() { patch -p1 -s -f --no-backup-if-mismatch <"debian/patches/$1" || fail "the patch $1 does not apply"; }

# build_pair PACKAGE PATCH: sets $old and $new, the directories with the results of the two builds.
# They depend on the package's version, the recipe and the compiler, and are made once.
build_pair() {
    local package=$1 patch=$2 key dir from=$SECONDS
    key=$({ declare -f configure build; echo "$package $patch $result"; gcc --version; [[ -z ${foreign:-} ]] || command -v gcc; } | sha256sum | cut -c1-16)
    dir=$cache/build/${foreign:+$foreign-}$package-$key
    old=$dir/old new=$dir/new
    if [[ -e $dir/done ]]; then
        say "both builds are in the cache"
        return
    fi
    fetch "$package" "$patch"
    rm -rf "$dir" && mkdir -p "$old" "$new"
    cp -r "$source/tree" "$dir/tree"
    (
        cd "$dir/tree"
        export SOURCE_DATE_EPOCH=1700000000
        apply_series "$patch"
        (configure && build) >"$dir/log" 2>&1 || { tail -n 30 "$dir/log" >&2; fail "the build before the fix failed"; }
        cp "$built" "$old/$result"
        apply_one "$patch"
        build >>"$dir/log" 2>&1 || { tail -n 30 "$dir/log" >&2; fail "the build with the fix failed"; }
        cp "$built" "$new/$result"
    )
    rm -rf "$dir/tree"
    touch "$dir/done"
    say "both builds took $((SECONDS - from)) s"
}
