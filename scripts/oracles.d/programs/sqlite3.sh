# The sqlite3 shell with the whole library in one unit.
fetch_tree() { debian_source sqlite3; }

compile() {
	# These two are source, the same for every machine, and made by programs that run here.
	CC=${BUILD_CC:-gcc} ./configure --disable-shared && make sqlite3.c shell.c
	local file
	for file in $(objects); do
		gcc -O2 -g -fPIE -I. -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_MATH_FUNCTIONS "$@" -c "${file%.o}.c" -o "$file" || return
	done
}

objects() { printf '%s\n' sqlite3.o shell.o; }

link() {
	local out=$1
	shift
	gcc -pie "$@" -o "$out" "${order[@]}" -lm -Wl,--build-id
}
