#!/usr/bin/env bash
# Instructions for one getData through the core, its reply of 128 bytes decoded and handed over:
# the whole round (submitted, transmitted, received, events pulled until there are none) and of it
# the pair alone (`submit` and the `poll_event` that yields the reply). Counted by callgrind as the
# difference of two runs, so that start-up falls out.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v valgrind >/dev/null || { echo "install valgrind: apt-get install valgrind" >&2; exit 1; }
bench=$(cargo bench -q -p zk-session --features std --bench hot_path --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*hot_path[^"]*\)".*/\1/p' | tail -n 1)
# count ROUNDS [OPTION]: instructions of so many rounds.
count() {
    ROUNDS=$1 valgrind --tool=callgrind --callgrind-out-file=/dev/null "${@:2}" "$bench" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
# per_round [OPTION]: instructions of one round.
per_round() {
    local few many
    few=$(count 1000 "$@")
    many=$(count 11000 "$@")
    echo $(((many - few) / 10000))
}
echo "getData + reply of 128 B, whole round: $(per_round) instructions"
echo "of these submit + poll_event: $(per_round '--toggle-collect=hot_path::pair_*') instructions"
valgrind --version
