# ninja, a build tool in C++.
fetch_tree() { debian_source ninja-build; }

compile() {
	local file
	for file in $(objects); do
		g++ -O2 -g -fPIE -std=c++14 "$@" -c "src/${file%.o}.cc" -o "$file" || return
	done
}

objects() { (cd src && ls *.cc | grep -v -e test -e perftest -e win32 -e browse -e minidump -e includes_normalize -e msvc -e "[.]in[.]" -e _bench) | sed 's/cc$/o/'; }

link() {
	local out=$1
	shift
	g++ -pie "$@" -o "$out" "${order[@]}" -Wl,--build-id
}
