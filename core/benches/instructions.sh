#!/usr/bin/env bash
# Instructions for one getData through the core: encoded, its reply of 128 bytes decoded and handed
# over. Counted by callgrind as the difference of two runs, so that start-up falls out.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v valgrind >/dev/null || { echo "install valgrind: apt-get install valgrind" >&2; exit 1; }
bench=$(cargo bench -q -p zk-session --features std --bench hot_path --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*hot_path[^"]*\)".*/\1/p' | tail -n 1)
count() {
    ROUNDS=$1 valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
few=$(count 1000)
many=$(count 11000)
echo "getData + reply of 128 B: $(((many - few) / 10000)) instructions ($(valgrind --version))"
