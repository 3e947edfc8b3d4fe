"""Real meter data against a recomputation of every cell.

    python real_data.py BINARY DATA_DIR      ingests and compares
    python real_data.py --model DATA_DIR     only the expectation, with a summary

DATA_DIR holds `lcl_4houses`, `sgsc_gravitas` and `ausgrid_c12` (CSV, 30-minute kWh), and what `suppliers.py` names;
without them the check fails.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from checks import Failure, run
from model import BIT, Judged, Reject, Row, instants, judge, micros, milliwatts, tables
from readers import check_stores, check_table, export
from suppliers import SUPPLIERS, Supplier

INTERVALS_PER_HOUR = 2  # kWh in half an hour -> mean kW


@dataclass(frozen=True)
class Feed:
    """What the data say about themselves, found by looking at them and not taken from the product."""

    name: str
    folder: str
    zone: str
    header: str
    time_column: int
    value_columns: dict[int, str]  # column -> suffix of the meter id
    meter_column: int | None  # None: the file's name is the meter


FEEDS = [
    # GMT all year, as its publisher says: the days on which London's clocks change have 48 slots, none twice.
    Feed("london", "lcl_4houses", "UTC", ",mac,datetime,kwhh", 2, {3: ""}, 1),
    # Standard time all year: 48 slots on both change days, and the morning rise moves an hour when clocks change.
    Feed("sgsc", "sgsc_gravitas", "Etc/GMT-10", "customer_id,reading_datetime,general_supply_kwh", 1, {2: ""}, 0),
    # Sydney's wall time: the middle of solar generation moves from 12:20 to 13:15 on 2 October 2011 and back on
    # 1 April 2012. Both change days have 48 slots: the skipped hour is written with zeros, the repeated one once,
    # with the sum of both. So four rows (two slots, two columns) name a time that never was.
    Feed("ausgrid", "ausgrid_c12", "Australia/Sydney", ",GC,GG", 0, {1: "-GC", 2: "-GG"}, None),
]


@dataclass
class Expected:
    """The datasets and the uploads, recomputed."""

    judged: Judged
    uploads: list[tuple[str, ...]] = field(default_factory=list)  # upload, name, sha256, bytes, rows
    raw: dict[tuple[str, str], str] = field(default_factory=dict)  # (upload, row) -> line


@cache
def wall(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@cache
def power(text: str) -> int:
    return milliwatts(text, INTERVALS_PER_HOUR * 1_000_000)


def decode(feed: Feed, path: Path, upload: int) -> tuple[list[Row], list[Reject], dict[tuple[str, str], str]]:
    """One file to rows in file order: a wide line is one row per value column."""
    header, *lines = path.read_text(encoding="ascii").splitlines()
    if header != feed.header:
        raise Failure(f"{path}: the header is {header}, not {feed.header}")
    of_meter: dict[str, list[tuple[int, dt.datetime, str]]] = defaultdict(list)
    raw: dict[tuple[str, str], str] = {}
    number = 0
    for line in lines:
        cells = line.split(",")
        name = path.stem if feed.meter_column is None else cells[feed.meter_column]
        for column, suffix in feed.value_columns.items():
            number += 1
            of_meter[name + suffix].append((number, wall(cells[feed.time_column]), cells[column]))
            raw[str(upload), str(number)] = line
    base = BIT["energy_to_power"] | (0 if feed.zone == "UTC" else BIT["utc_normalized"])
    rows, rejects = [], []
    for meter, cells in of_meter.items():
        for (number, _, text), (ts, resolved) in zip(cells, instants([at for _, at, _ in cells], feed.zone)):
            if ts is None:
                rejects.append(Reject(upload, number, meter, None, "timestamp_nonexistent"))
            else:
                flags = base | (BIT["dst_resolved"] if resolved else 0)
                rows.append(Row(meter, ts, power(text), flags, upload, number))
    return rows, rejects, raw


def expect(data: Path) -> Expected:
    rows: list[Row] = []
    rejects: list[Reject] = []
    uploads, raw = [], {}
    for feed in FEEDS:
        for path in files(feed, data):
            upload = len(uploads) + 1
            decoded, bad, lines = decode(feed, path, upload)
            content = path.read_bytes()
            count = (content.count(b"\n") - 1) * len(feed.value_columns)
            if count != len(decoded) + len(bad):
                raise Failure(f"{path}: {count} rows by line count, {len(decoded)} + {len(bad)} decoded here")
            uploads.append(landed(upload, path, count))
            rows, rejects, raw = rows + decoded, rejects + bad, raw | lines
    for supplier in SUPPLIERS:
        for path in found(supplier.name, data, supplier.files):
            upload = len(uploads) + 1
            decoded, bad, lines = decode_supplier(supplier, path, upload)
            uploads.append(landed(upload, path, len(decoded) + len(bad)))
            rows, rejects, raw = rows + decoded, rejects + bad, raw | lines
    return Expected(judge(rows, rejects), uploads, raw)


def decode_supplier(
    supplier: Supplier, path: Path, upload: int
) -> tuple[list[Row], list[Reject], dict[tuple[str, str], str]]:
    """The same for a file that `suppliers.py` reads."""
    raw: dict[tuple[str, str], str] = {}
    walls: dict[str, list[tuple[int, dt.datetime, int | None]]] = defaultdict(list)
    rows, rejects = [], []

    def keep(number: int, meter: str, ts: int, mw: int | None, flags: int) -> None:
        flags |= BIT["missing_value"] if mw is None else BIT["energy_to_power"] if supplier.is_energy else 0
        rows.append(Row(meter, ts, mw, flags, upload, number))

    number = 0
    for line, cells in supplier.read(path):
        for meter, when, mw in cells:
            number += 1
            raw[str(upload), str(number)] = line
            if isinstance(when, str):
                rejects.append(Reject(upload, number, meter, None, when))
            elif when.tzinfo is None:
                walls[meter].append((number, when, mw))
            else:
                keep(number, meter, micros(when), mw, BIT["utc_normalized"] if when.utcoffset() else 0)
    local = 0 if supplier.zone == "UTC" else BIT["utc_normalized"]
    for meter, cells in walls.items():
        for (number, _, mw), (ts, resolved) in zip(cells, instants([when for _, when, _ in cells], supplier.zone)):
            if ts is None:
                rejects.append(Reject(upload, number, meter, None, "timestamp_nonexistent"))
            else:
                keep(number, meter, ts, mw, local | (BIT["dst_resolved"] if resolved else 0))
    return rows, rejects, raw


def landed(upload: int, path: Path, count: int) -> tuple[str, ...]:
    content = path.read_bytes()
    return str(upload), path.name, hashlib.sha256(content).hexdigest(), str(len(content)), str(count)


def files(feed: Feed, data: Path) -> list[Path]:
    return found(feed.name, data, f"{feed.folder}/*.csv")


def found(feed: str, data: Path, pattern: str) -> list[Path]:
    paths = sorted(data.glob(pattern))
    if not paths:
        raise Failure(f"{data / pattern}: no files of the feed {feed}")
    return paths


def check_against_rolling(judged: Judged) -> str:
    """The exact outliers are those of pandas' `rolling('24h')`, but for its rounding next to three."""
    frame = pd.DataFrame([(r.meter, r.ts, r.mw, r.reason == "outlier") for r in judged.measured])
    frame.columns = ["meter", "ts", "mw", "outlier"]
    frame.index = pd.to_datetime(frame["ts"], unit="us", utc=True)
    rolling = frame.groupby("meter", sort=False)["mw"].rolling("24h")
    with np.errstate(invalid="ignore"):  # 0 / 0 in a flat window is no outlier
        z = (frame["mw"].values - rolling.mean().values) / rolling.std().values
    doubtful = pd.Series(z).abs().sub(3).abs() < 1e-6
    wrong = ((pd.Series(z).abs() > 3) != frame["outlier"].values) & ~doubtful
    if wrong.any():
        raise Failure(f"the model and pandas disagree on {wrong.sum()} outliers:\n{frame[wrong.values].head()}")
    return f"{len(z)} z-scores, {doubtful.sum()} too near to three for floats"


def check_binary(binary: str, data: Path, expected: Expected) -> list[str]:
    want = tables(expected.judged)
    done = []
    with tempfile.TemporaryDirectory(prefix="greenstream-real-") as scratch:
        home = Path(scratch)
        started = time.monotonic()
        for feed in FEEDS:
            run(binary, home, "ingest", "--feed", feed.name, data / feed.folder)
        for supplier in SUPPLIERS:
            zone = ["--time-zone", supplier.zone] if supplier.given_zone else []
            paths = found(supplier.name, data, supplier.files)
            run(binary, home, "ingest", "--feed", supplier.name, *zone, *paths)
        print(f"ingest took {time.monotonic() - started:.1f} s")
        have = {name: export(binary, home, name) for name in (*want, "uploads")}
        for name, rows in want.items():
            columns = [c for c in have[name] if c not in ("raw", "status")]
            check_table(have[name], rows, name, columns)
            done.append(f"{name}: {len(rows)} rows")
        check_table(have["uploads"], expected.uploads, "uploads", ["upload", "name", "sha256", "bytes", "rows"])
        for table, column in (("readings", "stored"), ("error-queue", "quarantined"), ("superseded", "superseded")):
            counted = Counter(have[table]["upload"])
            told = dict(zip(have["uploads"]["upload"], have["uploads"][column].astype(int)))
            if told != {upload: counted[upload] for upload in told}:
                raise Failure(f"uploads tell {told} {column}, the dataset holds {dict(counted)}")
        errors = have["error-queue"]
        raw = [(u, n, expected.raw[u, n], "open") for u, n in zip(errors["upload"], errors["row_number"])]
        errors["raw"] = errors["raw"].str.rstrip("\r\n")
        check_table(errors, raw, "raw lines and status", ["upload", "row_number", "raw", "status"])
        done += ["uploads", "accounting", "raw lines"]
        return done + check_stores(binary, home)


def summary(expected: Expected) -> str:
    """Counts, of which some are known from elsewhere."""
    judged = expected.judged
    rows = sum(int(upload[4]) for upload in expected.uploads)
    parts = len(judged.readings), len(judged.errors), len(judged.superseded)
    if sum(parts) != rows:
        raise Failure(f"the model accounts for {parts} of {rows} rows")
    above = Counter(r.meter for r in judged.errors if r.reason == "value_above_limit" and r.meter.startswith("MAC"))
    if (sum(above.values()), len(above)) != (457, 2):
        raise Failure(f"457 readings of 2 London homes are above 10 kW, the model has {dict(above)}")
    reasons = Counter(r.reason for r in judged.errors)
    flags = {f: sum(r.flags & bit > 0 for r in judged.readings) for f, bit in BIT.items()}
    return (
        f"{rows} rows = {parts[0]} stored + {parts[1]} quarantined + {parts[2]} superseded\n"
        f"reasons: {dict(reasons)}\nflags: { {f: n for f, n in flags.items() if n} }"
    )


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    binary, data = sys.argv[1], Path(sys.argv[2])
    try:
        expected = expect(data)
        print(summary(expected))
        print(f"outliers as pandas has them: {check_against_rolling(expected.judged)}")
        if binary == "--model":
            return 0
        done = check_binary(binary, data, expected)
    except Failure as failure:
        print(f"real data: {failure}")
        return 1
    print(f"real data: {len(done)} checks against the binary, no row differs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
