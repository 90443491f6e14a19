#!/usr/bin/env bash
# Instructions of one operation through the core with lent storage, and how often it calls libc:
#
#   instructions.sh             prints the table
#   instructions.sh --record    also writes it to instructions.txt
#   instructions.sh --check     also fails if one takes 5 % or a call more than in that file
#
# Callgrind counts the instructions of the bench executable itself, where the library is compiled
# in. Those of libc stay out: memcpy and memcmp are other code on another CPU or glibc. How often
# they are called does not depend on that, and is a figure of its own. So the same rustc and
# Cargo.lock give the same figures on any x86-64; with another rustc 15 % and one call are allowed.
set -euo pipefail
cd "$(dirname "$0")/../.."

record=core/benches/instructions.txt
rounds=1000
# What to count, as the bench names it; within which functions; what it is.
operations=(
    'GetData   counted_request       getData, reply of 128 B'
    'GetData   pair_                 of these submit and poll_event alone'
    'SetData   counted_request       setData of 128 B'
    'Exists    counted_request       exists'
    'Create    counted_request       create of 128 B'
    'Multi4    counted_request       multi of check, create, setData, delete'
    'Watch     counted_notification  watch event, 1 watch armed'
    'WatchOf32 counted_notification  watch event, the last of 32 armed'
    'Ping      counted_ping          ping and its answer'
)

die() { printf '%s\n' "$*" >&2; exit 1; }
case ${1:-} in '' | --record | --check) ;; *) die "usage: $0 [--record | --check]" ;; esac
command -v valgrind >/dev/null || die 'install valgrind: apt-get install valgrind'
# Flags of the environment, such as target-cpu, would count something else.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
bench=$(cargo bench -q -p zk-session --features std --bench hot_path --no-run --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*hot_path[^"]*\)".*/\1/p' | tail -n 1)
[[ -x $bench ]] || die 'the bench hot_path does not build'
profile=$(mktemp)
trap 'rm -f "$profile"' EXIT

# count OPERATION FUNCTION: instructions in the executable, and calls out of it, a round of each.
# The profile has blocks of "ob=object", "fn=function" and lines of "position cost"; a call is
# "cob=object" if that is another one, "calls=count …" and a line of the callee's cost.
count() {
    OPERATION=$1 ROUNDS=$rounds valgrind --tool=callgrind --callgrind-out-file="$profile" \
        --toggle-collect="*$2*" --compress-strings=no --compress-pos=no "$bench" >/dev/null 2>&1 ||
        die "valgrind fails on $1"
    awk -v ob="$bench" -v rounds=$rounds '
        /^ob=/ { own = substr($0, 4) == ob }
        /^cob=/ { out = substr($0, 5) != ob }
        /^calls=/ {
            if (own && out) calls += substr($1, 7)
            out = 0
            getline
            next
        }
        /^[0-9]/ && own { cost += $2 }
        END { printf "%.0f %.0f", cost / rounds, calls / rounds }' "$profile"
}

table() {
    printf '%-46s %12s %5s\n' operation instructions calls
    local operation name function what cost calls
    for operation in "${operations[@]}"; do
        read -r name function what <<<"$operation"
        read -r cost calls <<<"$(count "$name" "$function")"
        ((cost > 0)) || die "$name: callgrind has found no function $function"
        printf '%-46s %12d %5d\n' "$what" "$cost" "$calls"
    done
}

versions=$(printf '# %s\n# %s\n# %s' "$(rustc --version)" "$(valgrind --version)" "$(uname -m)")
now=$(table)
printf '%s\n%s\n' "$versions" "$now"

case ${1:-} in
--record)
    printf '%s\n%s\n%s\n' '# Written by core/benches/instructions.sh --record.' "$versions" "$now" >$record
    ;;
--check)
    margin=5
    if ! grep -qFx "# $(uname -m)" $record; then
        echo 'the recorded figures are of another architecture: nothing to compare with'
        exit 0
    elif ! grep -qFx "# $(rustc --version)" $record; then
        margin=15
        echo "recorded with $(sed -n 's/^# \(rustc .*\)/\1/p' $record): 15 % and a call are allowed"
    fi
    # The last two fields are the figures, what stands before them the operation.
    awk -v margin=$margin '
        /^#/ || $1 == "operation" { next }
        { calls = $NF; cost = $(NF - 1); sub(/ +[0-9]+ +[0-9]+$/, "") }
        NR == FNR { costs[$0] = cost; called[$0] = calls; next }
        !($0 in costs) { print $0 ": not recorded"; bad = 1; next }
        cost > costs[$0] * (1 + margin / 100) || calls > called[$0] + (margin > 5) {
            printf "%s: %d instructions and %d calls, recorded were %d and %d\n",
                $0, cost, calls, costs[$0], called[$0]
            bad = 1
        }
        cost < costs[$0] * (1 - margin / 100) { print $0 ": better than recorded" }
        END { exit bad }' $record - <<<"$now" ||
        die 'If there is a good reason: core/benches/instructions.sh --record, and commit the file.'
    echo "no operation takes $margin % more than recorded"
    ;;
esac
