#!/usr/bin/env bash
# Instructions and system calls of the std client for getData of 128 B, 256 in flight, against a
# server of canned replies in another process: counted by callgrind and strace as the difference of
# two runs, so that start-up falls out.
set -euo pipefail
cd "$(dirname "$0")/../../.."
for tool in valgrind strace; do
    command -v $tool >/dev/null || { echo "install $tool: apt-get install $tool" >&2; exit 1; }
done
bench=$(cargo bench -q -p zk-session-std --bench pipelining --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*pipelining[^"]*\)".*/\1/p' | tail -n 1)

exec 3< <(ZK_SESSION_BENCH_CANNED=1 exec "$bench")
trap 'kill $! 2>/dev/null || true' EXIT
read -r SERVER <&3
export SERVER

instructions() {
    WINDOWS=$1 valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
calls() { # windows, which: lines of "calls name"
    WINDOWS=$1 strace -f -c -o /dev/stdout "$bench" | awk '$1 ~ /^[0-9.]+$/ && NF >= 5 {print $NF, $4}'
}

few=$(instructions 100)
many=$(instructions 1100)
echo "instructions an operation: $(((many - few) / 256000)) ($(valgrind --version))"
echo "system calls a window of 256:"
join <(calls 100 | sort) <(calls 1100 | sort) |
    awk '$3 - $2 > 10 {printf "  %-12s %.2f\n", $1, ($3 - $2) / 1000}'
