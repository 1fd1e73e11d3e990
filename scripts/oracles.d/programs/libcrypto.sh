# OpenSSL's libcrypto with its hand-written assembly.
fetch_tree() { debian_source openssl; }

compile() {
	./Configure "linux-$(gcc -dumpmachine | sed 's/-.*//')" shared -g "$@" && make build_generated && make -j2 libcrypto.so
}

objects() { find . -name 'libcrypto-shlib-*.o' -o -name 'libcrypto-lib-*.o' -newer configdata.pm | sort | awk -F/ '!seen[$NF]++'; }

link() {
	local out=$1
	shift
	gcc -shared -g "$@" -o "$out" -Wl,-Bsymbolic -Wl,-z,nodelete -Wl,-soname,libcrypto.so.3 "${order[@]}" \
		-Wl,--version-script=libcrypto.ld -ldl -pthread -Wl,--build-id
}
