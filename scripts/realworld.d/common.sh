# What every program of scripts/realworld uses: messages, the work directory, processes, ports.

say() { echo "${0##*/}: $*"; }

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

need_tools() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || fail "$tool is missing: scripts/test installs what is needed"
    done
}

# start_work makes the directory of this run and sees to it that everything ends with the script.
start_work() {
    work=$(mktemp -d)
    children=()
    trap finish EXIT
}

# spawn COMMAND...: starts a process of this run in the background; its id is in $child, its output
# in $work/NAME.log, where NAME is the command's last path component and a number.
spawn() {
    log=$work/$(basename "$1").${#children[@]}.log
    "$@" >"$log" 2>&1 </dev/null &
    child=$!
    children+=("$child")
}

finish() {
    local status=$? pid file
    for pid in "${children[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    for pid in "${children[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    if [[ $status != 0 ]]; then
        for file in "$work"/*.log; do
            [[ -s $file ]] && { echo "--- the end of $(basename "$file")"; tail -n 20 "$file"; } >&2
        done
    fi
    rm -rf "$work"
    exit "$status"
}

milliseconds_since() {
    local now=$EPOCHREALTIME
    echo $(((${now/./} - ${1/./}) / 1000))
}

# free_port prints a port of 127.0.0.1 that nobody listens on.
free_port() {
    local try port
    for try in {1..100}; do
        port=$((20000 + RANDOM % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no free port found"
}

# How long an answer may take, in seconds, and how long a load runs that is given its time. An emulated machine needs more.
patience=${REALWORLD_PATIENCE:-20}
load_time=${REALWORLD_LOAD:-15s}

# await WHAT COMMAND...: runs the command until it succeeds, for as long as patience lasts.
await() {
    local what=$1 until=$((SECONDS + patience))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < until)) || fail "$what: not within $patience seconds"
        read -rt 0.05 <> <(:) || true
    done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }

# alive PID: it exists and is no zombie.
alive() { [[ -r /proc/$1/stat ]] && [[ $(sed 's/.*) //' "/proc/$1/stat") != [ZX]* ]]; }

# The defaults of what a program may define. configure prepares a patched tree for build, which makes $built in it; where gcc is a cross
# compiler, HOST_TRIPLE is its prefix, and libraries prints the Debian packages that the program is linked with.
configure() { :; }
libraries() { :; }
tools() { :; }
acknowledged() { :; }
