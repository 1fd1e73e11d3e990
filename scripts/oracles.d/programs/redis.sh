# redis-server, as scripts/realworld builds it.
fetch_tree() { debian_source redis; }

compile() {
	local flags=(-j2 MALLOC=libc OPTIMIZATION=-O2 "CFLAGS=-g -fPIE $*" LDFLAGS=-pie)
	make -C deps "${flags[@]}" lua
	make -C src "${flags[@]}" V=1 redis-server | tee link.log
	grep -- ' -o redis-server ' link.log | tail -n 1 >link.line && [[ -s link.line ]]
}

objects() { tr ' ' '\n' <link.line | grep '^[^/]*\.o$'; }

link() {
	local out=$1 libraries
	shift
	mapfile -t libraries < <(tr ' ' '\n' <link.line | grep -e '\.a$' -e '^-l' -e '^-r' -e '^-W')
	cd src && gcc -g -O2 -pie "$@" -o "$out" "${order[@]}" "${libraries[@]}" -Wl,--build-id
}
