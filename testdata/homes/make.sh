#!/usr/bin/env bash
# Makes a tiny home with the release given: make.sh GREENSTREAM VERSION OUT.tar.zst
# VERSION is that of its database schema; later ones know more kinds of feeds.
set -euo pipefail
greenstream=$(realpath "$1") version=$2 out=$(realpath -m "$3")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
header=meter_id,timestamp,energy_value,energy_unit
g() { USER=operator "$greenstream" --home home "$@" > /dev/null; }
upload() { printf '%s\n' "${@:2}" > "$1"; g ingest "$1" || [ $? = 65 ]; }

mkdir -p home/feeds
printf '%s\n' 'name = "berlin"' 'names = ["berlin_*"]' 'delimiter = ";"' 'time_zone = "Europe/Berlin"' \
  'unit = "kW"' '[columns]' 'meter = "m"' 'timestamp = "t"' 'value = "v"' > home/feeds/berlin.toml
printf '%s\n' meter_id,power_kw_min,power_kw_max 'M3,-5,20' > home/meters.csv
upload a.csv $header M1,2026-03-02T00:{00,15,30,45}:00Z,1.5,kW M1,2026-03-02T01:00:00Z,-4,kW \
  M1,2026-03-02T01:15:00Z,50,kW M1,2026-03-02T01:30:00Z,,kW M1,2026-03-02T01:45:00Z,700,W M1,noon,1,kW
upload b.csv $header M2,2026-03-02T{00,01,02,03,04,05,06,07,08,09,10,11}:00:00Z,1,kW \
  M2,2026-03-02T12:00:00Z,9,kW M3,2026-03-02T00:00:00+01:00,15,kW M3,2026-03-02T01:00:00Z,-4,kW
# late, repeated, corrected
upload c.csv $header M1,2026-03-02T00:15:00Z,2.5,kW M1,2026-03-01T23:45:00Z,1,kW M2,2026-03-02T03:00:00Z,1,kW
upload dead.csv nonsense
upload berlin_1.csv 'm;t;v' 'B;2025-10-26 02:30:00;1' 'B;2025-10-26 02:30:00;2' 'B;2026-03-29 02:30:00;3'
printf '%s\n' $header F,2026-02-{01,02,03}T{00,06,12,18}:00:00Z,0,kW | gzip -n > faulty.csv.gz
g ingest faulty.csv.gz
cp a.csv again.csv && g ingest again.csv
g errors release 2:13 --reason seen
g errors edit 1:5 --kw 4 --reason sign
g errors discard 1:9 --reason noise
if [ "$version" -ge 3 ]; then
  printf '%s\n' 'name = "register"' 'names = ["reg_*"]' 'unit = "kWh"' 'interval = "15min"' 'registers = true' \
    '[columns]' 'meter = "m"' 'timestamp = "t"' 'value = "v"' > home/feeds/register.toml
  upload reg_1.csv m,t,v R,2026-03-02T00:00:00Z,10 R,2026-03-02T00:15:00Z,10.5
  upload reg_2.csv m,t,v R,2026-03-02T00:30:00Z,11 R,2026-03-02T00:45:00Z,11.5
fi
if [ "$version" -ge 5 ]; then
  printf '%s\n' 'name = "revised"' 'names = ["rev_*"]' 'unit = "kW"' \
    '[columns]' 'meter = "m"' 'timestamp = "t"' 'value = "v"' 'revision = "r"' > home/feeds/revised.toml
  upload rev_1.csv m,t,v,r V,2026-03-02T00:00:00Z,1,2 V,2026-03-02T00:15:00Z,1,1
  upload rev_2.csv m,t,v,r V,2026-03-02T00:00:00Z,2,1 V,2026-03-02T00:15:00Z,2,2
fi
g rebuild
upload d.csv $header M4,2026-03-02T00:{00,15,30}:00Z,3,kW M2,2026-03-01T20:00:00Z,12,kW
rm -rf home/lock home/inbox
tar --sort=name --owner=0 --group=0 -cf - home | zstd -19 -q -f -o "$out"
