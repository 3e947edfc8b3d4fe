#!/bin/sh
# GreenStream beside DuckDB, Polars and pandas on the same simulated uploads: one day of METERS meters each.
#
#     bench/run.sh [-r ROUNDS] METERS...          for example: bench/run.sh -r 3 1000 50000
#
# Takes turns, so that a slow minute of the machine strikes all alike; prints medians. Build first:
# cargo build --release. Data and results are kept in target/bench.
set -eu
rounds=1
while getopts r: option; do
    case $option in
        r) rounds=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }

root=$(cd "$(dirname "$0")/.." && pwd)
binary=${GREENSTREAM:-$root/target/release/greenstream}
work=$root/target/bench
results=$work/results.jsonl
[ -x "$binary" ] || { echo "no $binary: build it with cargo build --release" >&2; exit 2; }
[ -x /usr/bin/time ] || { echo "no /usr/bin/time: install the package time" >&2; exit 2; }
python=$("$root/tests/python/setup.sh")
mkdir -p "$work"
: >"$results"

for meters in "$@"; do
    data=$work/day-$meters
    [ -d "$data" ] || "$binary" simulate --meters "$meters" --days 1 --seed 1 --out "$data" >&2
    cat "$data"/*.csv >/dev/null # into the page cache, for the first as for the last
    round=0
    while [ $round -lt "$rounds" ]; do
        round=$((round + 1))
        for tool in greenstream duckdb polars pandas; do
            rm -rf "$work/out"
            if [ $tool = greenstream ]; then
                /usr/bin/time -f '%e %U %S %M' -o "$work/time" "$binary" --home "$work/out" ingest "$data" >/dev/null 2>"$work/log" ||
                    { cat "$work/log" >&2; exit 1; }
                "$binary" --home "$work/out" export uploads --format csv -o "$work/uploads.csv"
                "$python" "$root/bench/table.py" record "$meters" "$work/time" "$work/uploads.csv" >>"$results"
            else
                line=$("$python" "$root/bench/compare/${tool}_rules.py" "$data" "$work/out")
                echo "{\"meters\": $meters, \"run\": $line}" >>"$results"
            fi
            echo "$meters meters, round $round: $tool, load $(cut -d' ' -f1 /proc/loadavg)" >&2
        done
    done
done
rm -rf "$work/out"
exec "$python" "$root/bench/table.py" table "$results"
