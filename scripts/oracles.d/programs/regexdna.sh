# The regular expressions of Rust (the crate regex and what it is built upon) in one of that crate's own examples. There is no
# cargo in this: Debian's packages are the sources of the crates, and four calls of rustc build them.
fetch_tree() {
	local crate dir to=$cache/src/regexdna-1
	if [[ ! -d $to ]]; then
		rm -rf "$to.new" && mkdir -p "$to.new/tree"
		for crate in regex regex-syntax aho-corasick memchr; do
			(cd "$to.new" && apt-get download -q "librust-$crate-dev" && dpkg-deb -x "librust-$crate-dev"*.deb .) >/dev/null 2>&1 ||
				fail "librust-$crate-dev cannot be fetched"
			for dir in "$to.new/usr/share/cargo/registry/$crate"-[0-9]*; do mv "$dir" "$to.new/tree/$crate"; done
		done
		mv "$to.new" "$to"
	fi
	source=$to
}

crate() {
	local name=$1 file=$2
	shift 2
	rustc --edition 2018 -O -g --cap-lints allow -C codegen-units=4 --crate-name "$name" --crate-type rlib -L . "$@" "$file"
}

compile() {
	crate memchr memchr/src/lib.rs --cfg 'feature="std"' --cfg memchr_runtime_simd --cfg memchr_runtime_sse2 --cfg memchr_runtime_avx
	crate aho_corasick aho-corasick/src/lib.rs --cfg 'feature="std"' --extern memchr=libmemchr.rlib
	crate regex_syntax regex-syntax/src/lib.rs --cfg 'feature="unicode"' $(unicode)
	crate regex regex/src/lib.rs --cfg 'feature="std"' --cfg 'feature="unicode"' --cfg 'feature="perf-literal"' \
		--cfg 'feature="aho-corasick"' --cfg 'feature="memchr"' --cfg 'feature="perf"' --cfg 'feature="perf-dfa"' \
		--cfg 'feature="perf-cache"' --cfg 'feature="perf-inline"' $(unicode) \
		--extern memchr=libmemchr.rlib --extern aho_corasick=libaho_corasick.rlib --extern regex_syntax=libregex_syntax.rlib
}

unicode() {
	local f
	for f in age bool case gencat perl script segment; do printf ' --cfg feature="unicode-%s"' $f; done
}

objects() { echo regex/examples/shootout-regex-dna.rs; }

# lld, the default, lays a file out otherwise with -q. Only rustc knows the linker's command line, so that it compiles the example anew for every link.
link() {
	local out=$1 flag flags=()
	shift
	for flag; do flags+=(-C "link-arg=$flag"); done
	rustc --edition 2018 -O -g --cap-lints allow --crate-name regexdna -L . --extern regex=libregex.rlib -C link-arg=-fuse-ld=bfd "${flags[@]}" -o "$out" "${order[@]}"
}
