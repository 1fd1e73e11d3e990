# nginx under wrk: as a master with three workers, and as a single process.
package=nginx
result=nginx
built=objs/nginx

fixes() { printf '%s\n' rewrite charset; }

describe() {
    case $1 in
    rewrite) echo "CVE-2026-42945, a capture is escaped into a buffer made for the plain text (a master and three workers)" ;;
    charset) echo "CVE-2026-42934, a character split over three buffers is read past their ends (single process)" ;;
    esac
}

patch_of() {
    case $1 in
    rewrite) echo CVE-2026-42945.patch ;;
    charset) echo CVE-2026-42934.patch ;;
    esac
}

tools() { echo curl wrk; }

configure() {
    ./configure --prefix=/nonexistent --with-cc-opt="-O2 -g -fPIE" --with-ld-opt=-pie \
        --with-http_sub_module --without-http_gzip_module
}

build() { make -j2; }

configuration() {
    local processes="master_process on; worker_processes 3;"
    [[ $1 == charset ]] && processes="master_process off;"
    cat <<END
daemon off; $processes
error_log $work/error.log; pid $work/nginx.pid;
events { worker_connections 512; }
http {
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; default_type text/html;
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
    charset_map koi8-r utf-8 { E1 D090; }
    server {
        listen 127.0.0.1:$port;
        location / { return 200 "hello\n"; }
        location /rewrite/ { rewrite ^/rewrite(.*) /?c=1; set \$captured \$1; return 200 "\$captured\n"; }
        location /charset {
            source_charset utf-8; charset koi8-r; override_charset on;
            # The three bytes of the euro sign come in three buffers.
            sub_filter_once off; sub_filter 1 "$(printf '\342')"; sub_filter 2 "$(printf '\202')"; sub_filter 3 "$(printf '\254')";
            return 200 "<123>\n";
        }
    }
}
END
}

start_server() {
    port=$(free_port)
    configuration "$1" >"$work/nginx.conf"
    chmod 755 "$work"
    spawn "$old/$result" -p "$work" -c "$work/nginx.conf" -e "$work/error.log"
    server=$child target=$child
    await "nginx" listens "$port"
    if [[ $1 == rewrite ]]; then
        await "nginx's workers" workers_of "$server"
        # shellcheck disable=SC2046 # several words
        children+=($(workers_of "$server")) # a master that is killed leaves its workers behind
        whom=(--tree "$server")
        say "the master is $server, its workers $(workers_of "$server")"
    fi
}

# workers_of MASTER prints the process ids of its three workers.
workers_of() {
    local children
    children=$(<"/proc/$1/task/$1/children")
    [[ $(wc -w <<<"$children") == 3 ]] && echo "${children% }"
}

load_start() {
    local path
    case $1 in
    rewrite) path=/rewrite/plain ;;
    charset) path=/charset ;;
    esac
    spawn wrk -t 2 -c 20 -d 600s "http://127.0.0.1:$port$path"
    load=$child log_of_load=$log
    await "wrk's connections" connections_of_load
}

# connections_of_load prints the client ports of the load's 20 connections.
connections_of_load() {
    local ports
    ports=$(ss -tnpH state established "( dport = :$port )" | grep "pid=$load," | awk '{print $3}' | sort)
    [[ $(wc -w <<<"$ports") == 20 ]] && echo "$ports"
}

# ask_held sends a request on the held connection and reads the reply's last line.
ask_held() {
    printf 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' >&9
    until read -rt "$patience" -u 9 && [[ $REPLY == hello ]]; do
        [[ -n $REPLY ]] || fail "the held connection gives no reply"
    done
}

connections_open() {
    exec 9<>"/dev/tcp/127.0.0.1/$port"
    ask_held
    before=$(connections_of_load)
}

connections_check() {
    ask_held
    alive "$load" || fail "wrk has ended"
    [[ $(connections_of_load) == "$before" ]] || fail "wrk's connections are not the same ones"
    say "the held connection and wrk's 20 are the same"
}

load_end() {
    connections_check
    kill -INT "$load"
    wait "$load" || fail "wrk: exit status $?"
    ! grep -E 'Socket errors|Non-2xx' "$log_of_load" || fail "wrk saw failed requests"
    say "wrk: $(grep -E 'requests in' "$log_of_load" | sed 's/^ *//'), none failed"
}

probe() {
    local reply again
    case $1 in
    rewrite)
        reply=$(curl -sS "http://127.0.0.1:$port/rewrite/a+b")
        for _ in {1..40}; do # one worker or another
            again=$(curl -sS "http://127.0.0.1:$port/rewrite/a+b")
            [[ $again == "$reply" ]] || { echo "mixed: the workers answer $reply and $again"; return; }
        done
        case $reply in
        /a+b) echo "new: the capture of /rewrite/a+b is $reply" ;;
        /a%2) echo "old: the capture of /rewrite/a+b is $reply, cut off where the buffer ends" ;;
        *) echo "$reply" ;;
        esac
        ;;
    charset)
        reply=$(curl -sS "http://127.0.0.1:$port/charset" | tr -d '\0')
        case $reply in
        "<&#8364;>") echo "new: the euro sign is recoded as $reply" ;;
        "<"*) echo "old: the euro sign is recoded as $(od -An -c <<<"$reply" | tr -s ' ')" ;;
        *) echo "$reply" ;;
        esac
        ;;
    esac
}
