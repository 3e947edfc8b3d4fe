"""Results of bench/run.sh: `record METERS TIME UPLOADS` prints one of GreenStream's, `table RESULTS` the medians."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

TOLERANCE = 0.001  # of the readings; see compare/README.md


def record(meters: str, time_file: str, uploads: str) -> None:
    """The wall time, CPU time and peak memory of one `ingest`, with the counts its uploads tell."""
    wall, user, system, peak_kb = Path(time_file).read_text().split()[-4:]
    with open(uploads, newline="", encoding="utf-8") as file:
        told = list(csv.DictReader(file))
    counts = {name: sum(int(upload[name]) for upload in told) for name in ("rows", "stored", "quarantined", "superseded")}
    run = {
        "tool": "greenstream", "seconds": float(wall), "cpu_seconds": round(float(user) + float(system), 2),
        "peak_mb": int(peak_kb) // 1024, "rows": counts["rows"], "readings": counts["stored"],
        "superseded": counts["superseded"],
    }
    print(json.dumps({"meters": int(meters), "run": run}))


def table(results: str) -> int:
    """A line for each tool and size; exit 1 when a tool's readings are not GreenStream's."""
    runs: dict[tuple[int, str], list[dict]] = defaultdict(list)
    for line in Path(results).read_text().splitlines():
        entry = json.loads(line)
        runs[entry["meters"], entry["run"]["tool"]].append(entry["run"])
    print(f"{os.cpu_count()} cores, load now {os.getloadavg()[0]:.1f}; medians")
    print("| meters | tool | seconds | rows/s | × | CPU s | peak MB | readings |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    differ = []
    for (meters, tool), taken in runs.items():
        own = runs[meters, "greenstream"]
        seconds, first = median(run["seconds"] for run in taken), taken[0]
        ratio = seconds / median(run["seconds"] for run in own)
        cpu, peak = median(run["cpu_seconds"] for run in taken), median(run["peak_mb"] for run in taken)
        print(
            f"| {meters:,} | {tool} | {seconds:.2f} | {first['rows'] / seconds:,.0f} | {ratio:.1f} "
            f"| {cpu:.1f} | {peak:.0f} | {first['readings']:,} |"
        )
        if abs(first["readings"] - own[0]["readings"]) > TOLERANCE * own[0]["readings"]:
            differ.append(f"{tool} at {meters} meters: {first['readings']} readings, not {own[0]['readings']}")
    print("\n".join(differ), end="\n" if differ else "")
    return 1 if differ else 0


def main(arguments: list[str]) -> int:
    match arguments:
        case ["record", meters, time_file, uploads]:
            record(meters, time_file, uploads)
            return 0
        case ["table", results]:
            return table(results)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
