"""The default feed of docs/spec/rules.md decoded once more, for the model; no code is shared with the product."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import re
import unicodedata
from collections import defaultdict
from decimal import Decimal
from functools import cache
from pathlib import Path

from model import BIT, EPOCH, Reject, Row, instants, judge, micros, milliwatts, tables

COLUMNS = ["meter_id", "timestamp", "energy_value", "energy_unit"]
UNITS = {"w": 1_000, "kw": 1_000_000}  # milliwatts
MISSING = {"", "null", "nan", "na", "n/a", "-", "?"}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
LARGEST_MILLIWATTS = Decimal("1e18")
ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:(Z)|([+-]\d\d)(?::?(\d\d))?)?", re.ASCII
)
QUOTED = re.compile(r'[ \t]*"((?:[^"]|"")*)"[ \t]*(,|$)')
PLAIN = re.compile(r"([^,]*)(,|$)")
FUTURE = dt.timedelta(minutes=15)


def split(line: bytes) -> list[str] | None:
    """The fields of a line, trimmed and without their quotes; None when it is no record."""
    line = line.removesuffix(b"\r")
    if b"\r" in line or b"\0" in line:
        return None
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if '"' not in text:
        return [field.strip(" \t") for field in text.split(",")]
    fields, rest = [], text
    while True:
        quoted = rest.lstrip(" \t").startswith('"')
        field = (QUOTED if quoted else PLAIN).match(rest)
        if not field:
            return None
        fields.append((field[1].replace('""', '"') if quoted else field[1]).strip(" \t"))
        if not field[2]:
            return fields
        rest = rest[field.end():]


@cache
def instant(text: str) -> tuple[str, dt.datetime | None, bool]:
    """'ok' with an instant and whether it is moved to UTC, 'wall' with a naive time, or 'bad'."""
    if re.fullmatch(r"\d{10}|\d{13}", text, re.ASCII):
        return "ok", EPOCH + dt.timedelta(microseconds=int(text) * (1_000_000 if len(text) == 10 else 1_000)), False
    parts = ISO.fullmatch(text)
    if not parts:
        return "bad", None, False
    date, clock, second, fraction, utc, hours, minutes = parts.groups()
    try:
        at = dt.datetime.fromisoformat(f"{date}T{clock}:{second or '00'}")
        at = at.replace(microsecond=int((fraction or "")[:6].ljust(6, "0")))
        if utc:
            return "ok", at.replace(tzinfo=dt.timezone.utc), False
        if not hours:
            return "wall", at, False
        if int(hours[1:]) > 23 or int(minutes or 0) > 59:
            return "bad", None, False
        offset = dt.timedelta(hours=int(hours[1:]), minutes=int(minutes or 0)) * (-1 if hours[0] == "-" else 1)
        return "ok", (at - offset).replace(tzinfo=dt.timezone.utc), bool(offset)
    except (ValueError, OverflowError):
        return "bad", None, False


def meter_is_valid(meter: str) -> bool:
    plain = meter.isascii() and meter.isprintable()
    return 0 < len(meter.encode()) <= 64 and (
        plain or all(unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp") for c in meter)
    )


def value(text: str, unit: str) -> tuple[int | None, int, str]:
    """(milliwatts or None, flags, reason or '')."""
    if text.lower() in MISSING:
        return None, BIT["missing_value"], ""
    if not NUMBER.fullmatch(text):
        return None, 0, "value_invalid"
    factor = UNITS.get(unit.lower())
    if factor is None:
        return None, 0, "unit_unknown"
    if abs(Decimal(text) * factor) > LARGEST_MILLIWATTS:
        return None, 0, "value_invalid"
    return milliwatts(text, factor), BIT["unit_converted"] if unit.lower() == "w" else 0, ""


def decode(path: Path, upload: int, landed_at: dt.datetime, zone: str | None = None) -> tuple[list[Row], list[Reject]]:
    """The rows of one upload, each once: decoded or rejected with the first reason."""
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    header = [name.lower() for name in split(lines[0]) or []]
    place = [header.index(name) for name in COLUMNS]
    records = [split(line) for line in lines[1:] if line.removesuffix(b"\r")]
    walls = wall_times(records, place, len(header), zone)
    rows, rejects = [], []
    for number, fields in enumerate(records, 1):
        if fields is None or len(fields) != len(header):
            rejects.append(Reject(upload, number, "", None, "row_malformed"))
            continue
        meter, stamp, amount, unit = (fields[i] for i in place)
        kind, at, moved = instant(stamp)
        ts, reason, flags = None, "", BIT["utc_normalized"] if moved else 0
        if kind == "ok":
            ts = micros(at)
        elif kind == "wall" and number in walls:
            ts, resolved = walls[number]
            flags = (0 if zone == "UTC" else BIT["utc_normalized"]) | (BIT["dst_resolved"] if resolved else 0)
            reason = "" if ts is not None else "timestamp_nonexistent"
        else:
            reason = "timestamp_no_zone" if kind == "wall" else "timestamp_invalid"
        if ts is not None and ts > micros(landed_at + FUTURE):
            reason = "timestamp_in_future"
        if not meter_is_valid(meter):
            reason = "meter_id_invalid"
        if not reason:
            mw, more, reason = value(amount, unit)
        if reason:
            rejects.append(Reject(upload, number, meter, ts, reason))
        else:
            rows.append(Row(meter, ts, mw, flags | more, upload, number))
    return rows, rejects


def wall_times(
    records: list[list[str] | None], place: list[int], width: int, zone: str | None
) -> dict[int, tuple[int | None, bool]]:
    """The instants of the rows without an offset, by row number; none without a zone."""
    by_meter: dict[str, list[tuple[int, dt.datetime]]] = defaultdict(list)
    for number, fields in enumerate(records, 1):
        if zone and fields and len(fields) == width and meter_is_valid(fields[place[0]]):
            kind, at, _ = instant(fields[place[1]])
            if kind == "wall":
                by_meter[fields[place[0]]].append((number, at))
    return {
        number: found
        for rows in by_meter.values()
        for (number, _), found in zip(rows, instants([at for _, at in rows], zone))
    }


def expect(paths: list[Path], zone: str | None = None) -> dict[str, list[tuple[str, ...]]]:
    """The datasets of these uploads, landed now in this order; identical bytes count once."""
    landed_at = dt.datetime.now(dt.timezone.utc)
    rows, rejects, seen = [], [], {}
    for path in paths:
        if seen.setdefault(hashlib.sha256(path.read_bytes()).digest(), path) == path:
            decoded, rejected = decode(path, len(seen), landed_at, zone)
            rows += decoded
            rejects += rejected
    return tables(judge(rows, rejects))


def check_golden(folder: Path) -> list[str]:
    """What the model says differently about a golden."""
    arguments = (folder / "ARGS").read_text().split() if (folder / "ARGS").exists() else []
    zone = arguments[arguments.index("--time-zone") + 1] if arguments else None
    got, problems = expect(sorted(folder.glob("upload-*.csv")), zone), []
    for dataset, columns in (("readings", 4), ("error-queue", 7), ("superseded", 4)):
        name = folder / f"{dataset.replace('-', '_')}.csv"
        with name.open(newline="", encoding="utf-8") as file:
            want = [tuple(row) for row in csv.reader(file)][1:]
        have = [row[:columns] for row in got[dataset]]
        problems += [f"{name}: model {h}, golden {w}" for h, w in zip(have, want) if h != w]
        if len(have) != len(want):
            problems.append(f"{name}: model has {len(have)} rows, golden {len(want)}")
    return problems
