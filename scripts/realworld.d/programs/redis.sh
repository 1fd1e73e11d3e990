# redis-server under redis-benchmark.
package=redis
result=redis-server    # the name of the result
built=src/redis-server # where the build leaves it

fixes() { printf '%s\n' crlf hll glob stream; }

describe() {
    case $1 in
    crlf) echo "CVE-2025-67733, line ends in error replies break the protocol" ;;
    hll) echo "CVE-2025-32023, a corrupt HyperLogLog overflows its register index" ;;
    glob) echo "CVE-2024-31228, unbounded recursion in pattern matching (and two more)" ;;
    stream) echo "CVE-2026-66373, a corrupt stream shares one entry between consumers" ;;
    esac
}

patch_of() {
    case $1 in
    crlf) echo CVE-2025-67733.patch ;;
    hll) echo 0006-CVE-2025-32023.patch ;;
    glob) echo 0001-Apply-security-fixes-for-CVEs-1113.patch ;;
    stream) echo CVE-2026-66373.patch ;;
    esac
}

tools() { echo redis-cli redis-benchmark; }

build() {
    local flags=(-j2 MALLOC=libc OPTIMIZATION=-O2 CFLAGS="-g -fPIE" LDFLAGS=-pie)
    # Redis's makefile does not look whether its Lua has changed.
    rm -f src/redis-server
    make -C deps "${flags[@]}" lua
    make -C src "${flags[@]}" redis-server
}

cli() { redis-cli -p "$port" "$@"; }

start_server() {
    port=$(free_port)
    spawn "$old/$result" --port "$port" --bind 127.0.0.1 --save "" --enable-debug-command yes --dir "$work"
    server=$child target=$child
    await "redis-server" listens "$port"
    cli debug set-skip-checksum-validation 1 >/dev/null
}

load_start() {
    # eval runs the interpreter, and keys the pattern matching, beside the plain commands.
    spawn redis-benchmark -p "$port" -c 20 -n 1000000000 -r 1000 -q \
        eval "redis.call('set', KEYS[1], ARGV[1]); return redis.call('get', KEYS[1])" 1 key:__rand_int__ value
    load=$child log_of_load=$log
    await "redis-benchmark" connections_of_load
}

# connections_of_load prints the server's numbers for the load's 20 connections.
connections_of_load() {
    local ids
    ids=$(cli client list | sed -nE 's/^id=([0-9]+) .*cmd=eval.*/\1/p' | sort -n)
    [[ $(wc -w <<<"$ids") == 20 ]] && echo "$ids"
}

connections_open() {
    exec 9<>"/dev/tcp/127.0.0.1/$port"
    echo "SET realworld:kept before" >&9
    read -rt "$patience" -u 9 && [[ $REPLY == +OK* ]] || fail "the held connection: \"$REPLY\""
    before=$(connections_of_load)
}

connections_check() {
    echo "GETRANGE realworld:kept 0 -1" >&9
    read -rt "$patience" -u 9 && read -rt "$patience" -u 9 && [[ $REPLY == before* ]] || fail "the held connection: \"$REPLY\""
    alive "$load" || fail "redis-benchmark has ended"
    [[ $(connections_of_load) == "$before" ]] || fail "redis-benchmark's connections are not the same ones"
    say "the held connection and redis-benchmark's 20 are the same"
}

load_end() {
    connections_check
    kill "$load"
    ! grep -iE 'error|closed' "$log_of_load" || fail "redis-benchmark saw errors"
}

probe() {
    local key=realworld:$RANDOM$RANDOM reply
    case $1 in
    crlf)
        reply=$(cli function list $'X\r\n+INJECTED')
        case $reply in
        "ERR Unknown argument X  +INJECTED"*) echo "new: $reply" ;;
        "ERR Unknown argument X"*) echo "old: the reply ends at the line end that the client sent" ;;
        *) echo "$reply" ;;
        esac
        ;;
    hll)
        # 262,145 runs of 16,384 zero registers: their sum overflows 32 bits and ends at 16,384.
        {
            printf 'HYLL\1\0\0\0\0\0\0\0\0\0\0\200'
            yes ab | head -n 262145 | tr -d '\n' | LC_ALL=C tr ab '\177\377'
        } | cli -x set "$key" >/dev/null
        reply=$(cli pfcount "$key")
        case $reply in
        *INVALIDOBJ*) echo "new: $reply" ;;
        [0-9]*) echo "old: a corrupt object counts $reply" ;;
        *) echo "$reply" ;;
        esac
        cli del "$key" >/dev/null
        ;;
    glob)
        key=$(printf 'a%.0s' {1..3000})
        cli set "$key" 1 >/dev/null
        reply=$(cli keys "$(printf '*?%.0s' {1..1500})" | wc -w)
        case $reply in
        0) echo "new: 1,500 nested stars are given up" ;;
        1) echo "old: 1,500 nested stars are followed" ;;
        *) echo "$reply keys" ;;
        esac
        cli del "$key" >/dev/null
        ;;
    stream)
        # From the fix's own regression test: one pending entry that two consumers claim.
        reply=$(printf "$(tr -d ' \n' <"$here/programs/redis-stream.hex" | sed 's/../\\x&/g')" | cli -x restore "$key" 0)
        case $reply in
        *"Bad data format"*) echo "new: $reply" ;;
        OK) echo "old: the corrupt stream is accepted" ;;
        *) echo "$reply" ;;
        esac
        ;;
    esac
}
