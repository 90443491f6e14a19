#!/usr/bin/env bash
# Instructions, system calls and CPU time of the tokio client for getData of 128 B, against the std
# adapter's server of canned replies in another process. Instructions and calls are counted by
# callgrind and strace as the difference of two runs, so that start-up falls out.
set -euo pipefail
cd "$(dirname "$0")/../../.."
for tool in valgrind strace; do
    command -v $tool >/dev/null || { echo "install $tool: apt-get install $tool" >&2; exit 1; }
done
built() { # package, bench
    cargo bench -q -p "$1" --bench "$2" --no-run --message-format=json |
        sed -n "s/.*\"executable\":\"\([^\"]*$2[^\"]*\)\".*/\1/p" | tail -n 1
}
server=$(built zk-session-std pipelining)
bench=$(built zk-session-tokio window)

exec 3< <(ZK_SESSION_BENCH_CANNED=1 exec "$server")
trap 'kill $! 2>/dev/null || true' EXIT
read -r SERVER <&3
export SERVER

instructions() {
    WINDOWS=$1 valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
calls() { # windows: lines of "name calls"
    WINDOWS=$1 strace -f -c -o /dev/stdout "$bench" | awk '$1 ~ /^[0-9.]+$/ && NF >= 5 {print $NF, $4}'
}

for THREADS in 0 2; do
    export THREADS
    for what in "send 256" "send 1000" "tasks 64" "tasks 256" "tasks 1024" "one 1"; do
        read -r MODE WINDOW <<<"$what"
        export MODE WINDOW
        few=20 many=220
        ((WINDOW > 1)) || { few=500; many=5500; }
        counted=
        if ((THREADS == 0)); then
            one=$(instructions $few) && two=$(instructions $many)
            counted="$(((two - one) / ((many - few) * WINDOW))) instructions/op  "
        fi
        made=$(join <(calls $few | sort) <(calls $many | sort) | awk -v n=$((many - few)) \
            '$3 - $2 > n / 50 {printf "%s %.2f ", $1, ($3 - $2) / n}')
        time=$(WINDOWS=$((300000 / WINDOW)) "$bench")
        printf 'threads %d %-5s in flight %-5d %s%s  calls/window: %s\n' \
            "$THREADS" "$MODE" "$WINDOW" "$counted" "$time" "$made"
    done
done
