# libexpat, as scripts/realworld builds it, from objects.
fetch_tree() { debian_source expat; }

compile() {
	printf '#define %s\n' "BYTEORDER 1234" "XML_CONTEXT_BYTES 1024" "XML_DTD 1" "XML_NS 1" "HAVE_GETRANDOM 1" \
		"HAVE_UNISTD_H 1" "HAVE_FCNTL_H 1" "HAVE_STDINT_H 1" >expat_config.h
	local file
	for file in $(objects); do
		gcc -O2 -g -fPIC -fvisibility=hidden -DXML_ENABLE_VISIBILITY=1 -I. "$@" -c "$PWD/expat/lib/${file%.o}.c" -o "$file" || return
	done
}

objects() { printf '%s\n' xmlparse.o xmlrole.o xmltok.o; }

link() {
	local out=$1
	shift
	gcc -shared "$@" -o "$out" "${order[@]}" -Wl,-soname,libexpat.so.1 -Wl,-Bsymbolic-functions -Wl,--build-id
}
