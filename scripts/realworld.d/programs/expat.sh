# libexpat inside a program that has it loaded (expat-driver.c) and parses all the time.
package=expat
result=libexpat.so.1
built=libexpat.so.1

fixes() { printf '%s\n' stop negative; }

describe() {
    case $1 in
    stop) echo "CVE-2024-50602, a parser that was not started can be stopped, and resumed into a crash" ;;
    negative) echo "CVE-2024-45490, a negative length is accepted" ;;
    esac
}

patch_of() {
    case $1 in
    stop) echo expat-2.5.0-CVE-2024-50602.patch ;;
    negative) echo CVE-2024-45490.patch ;;
    esac
}

# Debian's tarball has no configure, and the autotools would be the longest part of the build.
configure() {
    printf '#define %s\n' "BYTEORDER 1234" "XML_CONTEXT_BYTES 1024" "XML_DTD 1" "XML_NS 1" "HAVE_GETRANDOM 1" \
        "HAVE_UNISTD_H 1" "HAVE_FCNTL_H 1" "HAVE_STDINT_H 1" >expat_config.h
}

build() {
    local unit
    for unit in xmlparse xmlrole xmltok; do
        gcc -O2 -g -Wall -fPIC -fvisibility=hidden -DXML_ENABLE_VISIBILITY=1 -I. -c "expat/lib/$unit.c" -o "$unit.o"
    done
    gcc -shared -Wl,-soname,libexpat.so.1 -Wl,-Bsymbolic-functions xmlparse.o xmlrole.o xmltok.o -o libexpat.so.1
    [[ -z ${old:-} ]] || cp expat/lib/expat.h expat/lib/expat_external.h "$old" # for the driver
}

start_server() {
    gcc -O2 -g -Wall -pthread -I"$old" -o "$work/driver" "$here/programs/expat-driver.c" \
        "$old/$result" -Wl,-rpath,"$old"
    coproc DRIVER { exec "$work/driver"; }
    server=$DRIVER_PID target=$DRIVER_PID
    children+=("$server")
    exec 8<&"${DRIVER[0]}" 9>&"${DRIVER[1]}"
    ask ready "" && say "the driver is $server"
}

# ask WANT LINE: sends the line (if not empty) to the driver and reads its answer into $answer; the
# answer must begin with WANT.
ask() {
    [[ -z $2 ]] || echo "$2" >&9
    read -rt "$patience" -u 8 answer && [[ $answer == "$1"* ]] || fail "the driver answered \"$answer\", want \"$1\""
}

# parsed reads the number of documents that the driver's threads have parsed, none of them wrongly.
parsed() {
    ask "parsed " count
    [[ $answer =~ ^parsed\ ([0-9]+)\ wrong\ 0$ ]] || fail "the driver says \"$answer\""
    echo "${BASH_REMATCH[1]}"
}

load_start() { parsed >/dev/null; }

connections_open() { before=$(parsed); }

connections_check() {
    local now
    ask "parsed " more
    now=$(parsed)
    ((now > before)) || fail "the driver does not parse any more"
    say "the driver has parsed $((now - before)) more documents, none wrongly"
    before=$now
}

load_end() {
    connections_check
    exec 9>&-
    eval "exec ${DRIVER[1]}>&-"
    wait "$server" || fail "the driver: exit status $?"
}

probe() {
    ask "$1 " "$1"
    case $answer in
    "stop status 0 error 44 parser not started") echo "new: $answer" ;;
    "stop status 1 error 0 "*) echo "old: $answer" ;;
    "negative status 0 error 41 "*) echo "new: $answer" ;;
    "negative status 1 error 0 "*) echo "old: $answer" ;;
    *) echo "$answer" ;;
    esac
}
