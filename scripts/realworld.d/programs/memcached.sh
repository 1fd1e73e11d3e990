# memcached as a proxy under memcaslap, and with SASL under memcslap.
package=memcached
result=memcached
built=memcached

fixes() { printf '%s\n' spaces sasl; }

describe() {
    case $1 in
    spaces) echo "CVE-2023-46852, many spaces before the key of a get overflow a buffer of the proxy" ;;
    sasl) echo "CVE-2026-47783 and CVE-2026-47784, the search for a password tells by its time what it found" ;;
    esac
}

patch_of() {
    case $1 in
    spaces) echo 0009-CVE-2023-46852.patch ;;
    sasl) echo 0008-CVE-2026-47783-CVE-2026-47784.patch ;;
    esac
}

libraries() { echo libevent-dev libevent-2.1-7 libevent-core-2.1-7 libevent-extra-2.1-7 libsasl2-dev libsasl2-2; }

tools() { echo memcaslap memcslap ss; }

configure() {
    # Restores the times of the release, so that make does not want to run the autotools.
    touch aclocal.m4 && touch configure config.h.in Makefile.in
    CFLAGS="-O2 -g -fPIE" LDFLAGS=-pie ./configure ${HOST_TRIPLE:+--host=$HOST_TRIPLE} --enable-proxy --enable-sasl --enable-sasl-pwdb \
        --disable-docs --disable-coverage
}

build() {
    make -C vendor/lua -j2 all CFLAGS="-O2 -g -fPIE -std=c99 -DLUA_COMPAT_5_3"
    make -C vendor/mcmc all
    make -j2 memcached
}

start_server() {
    local fix=$1
    port=$(free_port)
    if [[ $fix == sasl ]]; then
        # SASL knows a user as user@host. The second line for alice is found only by a search that goes on.
        printf "alice@$(uname -n):%s\n" one two >"$work/passwords"
        mkdir "$work/sasl"
        echo "mech_list: plain" >"$work/sasl/memcached.conf"
        spawn env MEMCACHED_SASL_PWDB="$work/passwords" SASL_CONF_PATH="$work/sasl" \
            "$old/$result" -u root -l 127.0.0.1 -p "$port" -t 4 -S
    else
        local behind
        behind=$(free_port)
        spawn "$old/$result" -u root -l 127.0.0.1 -p "$behind" -t 2
        await "memcached" listens "$behind"
        cat >"$work/proxy.lua" <<END
function mcp_config_pools(old)
    return mcp.pool({ mcp.backend("behind", "127.0.0.1", $behind) })
end
function mcp_config_routes(pool)
    mcp.attach(mcp.CMD_ANY_STORAGE, function(r) return pool(r) end)
end
END
        spawn "$old/$result" -u root -l 127.0.0.1 -p "$port" -t 4 -o "proxy_config=$work/proxy.lua"
    fi
    server=$child target=$child
    await "memcached" listens "$port"
}

load_start() {
    case $1 in
    spaces)
        # memaslap checks a fifth of the values that it reads. It reports when its time is over.
        spawn memcaslap -s "127.0.0.1:$port" -T 2 -c 16 -t "$load_time" -v 0.2 -X 100
        load=$child log_of_load=$log
        await "memcaslap's connections" connections_of_load
        ;;
    sasl)
        # Each run opens 8 connections and authenticates them, so that the fix is run through all the time.
        cat >"$work/slap" <<END
until [[ -e $work/stop ]]; do
    memcslap --binary --username=alice --password=one --servers=127.0.0.1:$port \
        --test=get --concurrency=8 --execute-number=500 || exit
    echo run
done
END
        spawn bash "$work/slap"
        load=$child log_of_load=$log
        await "memcslap" grep -q '^run' "$log_of_load"
        ;;
    esac
}

# connections_of_load prints the client ports of memcaslap's 16 connections.
connections_of_load() {
    local ports
    ports=$(ss -tnpH state established "( dport = :$port )" | grep "pid=$load," | awk '{print $3}' | sort)
    [[ $(wc -w <<<"$ports") == 16 ]] && echo "$ports"
}

# authenticate FD USER PASSWORD sends a SASL PLAIN request of the binary protocol, and prints the status
# of the reply: 0000 for success.
authenticate() {
    local length=$((5 + 2 + ${#2} + ${#3}))
    printf '\x80\x21\0\5\0\0\0\0\0\0\0'"\\x$(printf %02x $length)"'\0\0\0\0\0\0\0\0\0\0\0\0PLAIN\0%s\0%s' "$2" "$3" >&"$1"
    status_of_reply "$1"
}

# status_of_reply FD reads a reply of the binary protocol and prints its status.
status_of_reply() {
    local head
    head=$(timeout "$patience" head -c 24 <&"$1" | od -An -v -tx1 | tr -d ' \n')
    [[ ${#head} == 48 ]] || return 1
    timeout "$patience" head -c "$((16#${head:16:8}))" <&"$1" >/dev/null
    echo "${head:12:4}"
}

connections_open() {
    exec 9<>"/dev/tcp/127.0.0.1/$port"
    case $fix in
    spaces)
        printf 'set kept 0 0 6\r\nbefore\r\n' >&9
        read -rt "$patience" -u 9 && [[ $REPLY == STORED* ]] || fail "the held connection: \"$REPLY\""
        before=$(connections_of_load)
        ;;
    sasl) [[ $(authenticate 9 alice one) == 0000 ]] || fail "the held connection is not authenticated" ;;
    esac
}

connections_check() {
    alive "$load" || fail "the load has ended"
    case $fix in
    spaces)
        printf 'get kept\r\n' >&9
        read -rt "$patience" -u 9 && read -rt "$patience" -u 9 && [[ $REPLY == before* ]] || fail "the held connection: \"$REPLY\""
        read -rt "$patience" -u 9 && [[ $REPLY == END* ]] || fail "the held connection: \"$REPLY\""
        [[ $(connections_of_load) == "$before" ]] || fail "memcaslap's connections are not the same ones"
        say "the held connection and memcaslap's 16 are the same"
        ;;
    sasl)
        # A no-op is answered only where the connection is still authenticated.
        printf '\x80\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >&9
        [[ $(status_of_reply 9) == 0000 ]] || fail "the held connection is gone"
        say "the held connection is the same and authenticated"
        ;;
    esac
}

load_end() {
    connections_check
    case $fix in
    spaces)
        say "memcaslap runs to the end of its time"
        wait "$load" || fail "memcaslap: exit status $?"
        grep -E '^(verify_failed|get_misses|verify_misses|unexpected_unget): *[1-9]|error|failed to' "$log_of_load" &&
            fail "memcaslap saw wrong replies"
        say "memcaslap: $(grep -E '^cmd_get' "$log_of_load"), $(grep -E '^verify_failed' "$log_of_load")"
        ;;
    sasl)
        touch "$work/stop"
        wait "$load" || fail "memcslap: exit status $?"
        ! grep -iE 'error|fail' "$log_of_load" || fail "memcslap saw errors"
        say "memcslap: $(grep -c '^run' "$log_of_load") runs of 8 connections, no error"
        ;;
    esac
}

probe() {
    local reply
    case $1 in
    spaces)
        printf 'set realworld 0 0 5\r\nvalue\r\n' >&9
        read -rt "$patience" -u 9
        exec 8<>"/dev/tcp/127.0.0.1/$port"
        # 31 spaces: more than the fix allows, fewer than the old build's buffer has room for.
        printf 'get%40s realworld\r\n' realworld >&8
        read -rt "$patience" -u 8 reply
        exec 8>&-
        case $reply in
        *"malformed request"*) echo "new: ${reply%$'\r'}" ;;
        VALUE*) echo "old: a get with many spaces is answered with ${reply%$'\r'}" ;;
        *) echo "$reply" ;;
        esac
        ;;
    sasl)
        exec 8<>"/dev/tcp/127.0.0.1/$port"
        reply=$(authenticate 8 alice two)
        exec 8>&-
        case $reply in
        0000) echo "new: the search goes on behind the first line of the user (status $reply)" ;;
        0020) echo "old: the search ends at the first line of the user (status $reply)" ;;
        *) echo "status $reply" ;;
        esac
        ;;
    esac
}
