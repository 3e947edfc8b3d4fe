"""What the three comparison scripts share: the uploads, the forms of a timestamp, and the report.

Each script applies the five rules of docs/spec/rules.md to a folder of default-feed uploads and writes Parquet
partitioned by date, as a competent user of its tool would: vectorised, on all cores, without a database, a journal or
late readings. Where a tool cannot tell one bad row from another the row is still counted (see README.md).
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import re
import resource
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

MISSING = ["", "NULL", "null", "NaN", "nan", "NAN", "NA", "na", "N/A", "n/a", "-", "?"]
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
KW_LARGEST = 1e12
FLAGS = ["unit_converted", "utc_normalized", "duplicate", "missing_value", "forward_filled", "potentially_faulty"]
ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.\d+)?(?:Z|([+-]\d\d)(?::?(\d\d))?)?", re.ASCII)
EPOCH = dt.datetime(1970, 1, 1)


@dataclass
class Counts:
    """What came out; `rows = readings + superseded + sum(reasons)`."""

    rows: int
    readings: int
    superseded: int
    flags: dict[str, int]
    reasons: dict[str, int]


def uploads(folder: Path) -> tuple[list[Path], int]:
    """The files in name order, each content once (a file that comes again is no new upload), and their rows."""
    seen: dict[bytes, Path] = {}
    rows = 0
    for path in sorted(folder.glob("*.csv")):
        content = path.read_bytes()
        if seen.setdefault(hashlib.sha256(content).digest(), path) == path:
            rows += content.count(b"\n") - 1
    return list(seen.values()), rows


def parse_stamps(stamps: Iterable[str]) -> tuple[list[int | None], list[bool], list[str]]:
    """Distinct timestamps (a day of a fleet has some hundreds) -> microseconds, moved to UTC, reason or ''."""
    latest = int((time.time() + 15 * 60) * 1e6)
    parsed = [parse_stamp(stamp or "") for stamp in stamps]
    ts = [at for at, _, _ in parsed]
    reasons = ["timestamp_in_future" if at is not None and at > latest else reason for at, _, reason in parsed]
    return ts, [moved for _, moved, _ in parsed], reasons


def parse_stamp(stamp: str) -> tuple[int | None, bool, str]:
    if stamp.isdigit() and len(stamp) in (10, 13):
        return int(stamp) * (1_000_000 if len(stamp) == 10 else 1_000), False, ""
    parts = ISO.fullmatch(stamp)
    try:
        date, clock, second, fraction, hours, minutes = parts.groups()
        at = dt.datetime.fromisoformat(f"{date}T{clock}{second or ':00'}")
    except (AttributeError, ValueError):
        return None, False, "timestamp_invalid"
    if not stamp.endswith("Z") and not hours:
        return None, False, "timestamp_no_zone"
    sign = -1 if (hours or "").startswith("-") else 1
    offset = sign * (60 * abs(int(hours or 0)) + int(minutes or 0))
    micros = int((fraction or ".0")[1:7].ljust(6, "0"))
    utc = at - dt.timedelta(minutes=offset)
    return (utc - EPOCH) // dt.timedelta(microseconds=1) + micros, offset != 0, ""


def main(tool: str, apply: Callable[[list[Path], int, Path], Counts]) -> None:
    """Runs `apply(uploads, rows, out)` once and prints its counts, wall time and peak memory as one line of JSON."""
    arguments = argparse.ArgumentParser(description=f"the five rules with {tool}")
    arguments.add_argument("folder", type=Path, help="default-feed uploads, *.csv")
    arguments.add_argument("out", type=Path, help="folder for the Parquet files; emptied first")
    given = arguments.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    started = time.perf_counter()
    counts = apply(*uploads(given.folder), given.out)
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = {"seconds": round(seconds, 2), "cpu_seconds": round(used.ru_utime + used.ru_stime, 2)}
    spent["peak_mb"] = used.ru_maxrss // 1024
    if counts.rows != counts.readings + counts.superseded + sum(counts.reasons.values()):
        raise SystemExit(f"{tool}: the counts do not add up: {counts}")
    print(json.dumps({"tool": tool} | spent | asdict(counts)))
