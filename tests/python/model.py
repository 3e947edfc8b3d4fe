"""The five rules of docs/spec/rules.md once more, slow, naive and exact: a peer to check the product against.

Whole milliwatts and whole microseconds in Python integers; no code is shared with the product. `goldens.py`
checks it against the golden cases.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict, deque
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from zoneinfo import ZoneInfo

FLAGS = [
    "unit_converted", "energy_to_power", "utc_normalized", "dst_resolved", "duplicate",
    "missing_value", "forward_filled", "released", "edited", "potentially_faulty",
]  # in the order of the contract; a flag's bit is its place
BIT = {name: 1 << place for place, name in enumerate(FLAGS)}
MISSING, FILLED = BIT["missing_value"], BIT["forward_filled"]

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
EXACT = Context(prec=200, rounding=ROUND_HALF_UP)  # half up in decimal means half away from zero


@dataclass(slots=True)
class Row:
    """One row that decoded; `mw` is None when the value is missing. `reason` and `flags` grow as it is judged."""

    meter: str
    ts: int
    mw: int | None
    flags: int
    upload: int
    number: int
    reason: str = ""
    own: bool = True  # the value is the row's own, not a donor's

    @property
    def measured(self) -> bool:
        return self.own and self.mw is not None and self.reason in ("", "outlier")

    @property
    def trusted(self) -> bool:
        return self.own and self.mw is not None and self.reason == ""


@dataclass(slots=True)
class Reject:
    """One row that did not decode."""

    upload: int
    number: int
    meter: str
    ts: int | None
    reason: str


@dataclass
class Judged:
    """Sorted as the datasets are."""

    readings: list[Row]
    errors: list[Row | Reject]
    superseded: list[Row]
    measured: list[Row]


def milliwatts(text: str, factor: int) -> int:
    """`text` times `factor` (milliwatts per unit), rounded once, half away from zero."""
    return int(EXACT.quantize(EXACT.multiply(Decimal(text), factor), Decimal(1)))


def instants(walls: list[dt.datetime], zone: str) -> list[tuple[int | None, bool]]:
    """One meter's naive times in file order -> (UTC microseconds or None where skipped, whether resolved)."""
    tz = ZoneInfo(zone)
    steps = [(b > a) - (b < a) for a, b in zip(walls, walls[1:])]
    order = range(len(walls)) if sum(steps) >= 0 else range(len(walls) - 1, -1, -1)
    out: list[tuple[int | None, bool]] = [(None, False)] * len(walls)
    seen: set[dt.datetime] = set()
    for i in order:
        wall = walls[i]
        first, second = wall.replace(tzinfo=tz), wall.replace(tzinfo=tz, fold=1)
        if first.utcoffset() == second.utcoffset():
            out[i] = (micros(first), False)
        elif first.utcoffset() > second.utcoffset():  # the clock goes back: this wall time comes twice
            out[i] = (micros(second if wall in seen else first), True)
            seen.add(wall)
    return out


def micros(at: dt.datetime) -> int:
    return (at - EPOCH) // dt.timedelta(microseconds=1)


def judge(rows: list[Row], rejects: list[Reject] = []) -> Judged:
    by_meter: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_meter[row.meter][row.ts].append(row)
    judged = Judged([], list(rejects), [], [])
    for meter in sorted(by_meter, key=str.encode):
        series = []
        for ts in sorted(by_meter[meter]):
            *others, winner = sorted(by_meter[meter][ts], key=lambda r: (r.mw is not None, r.upload, r.number))
            if others:
                winner.flags |= BIT["duplicate"]
                judged.superseded += others
            series.append(winner)
        limits(series)
        outliers(series)
        fill(series)
        faulty(series)
        judged.readings += [r for r in series if not r.reason]
        judged.errors += [r for r in series if r.reason]
        judged.measured += [r for r in series if r.measured]
    judged.errors.sort(key=lambda r: (r.upload, r.number))
    judged.superseded.sort(key=lambda r: (r.upload, r.number))
    return judged


def limits(series: list[Row]) -> None:
    for row in series:
        if row.mw is not None and not 0 <= row.mw <= 10_000_000:
            row.reason = "value_negative" if row.mw < 0 else "value_above_limit"


def outliers(series: list[Row]) -> None:
    """|z| > 3 over the measured readings in (t - 24 h, t], without a division or a root."""
    window: deque[tuple[int, int]] = deque()
    s1 = s2 = 0
    for row in (r for r in series if r.measured):
        x = row.mw
        window.append((row.ts, x))
        s1, s2 = s1 + x, s2 + x * x
        while window[0][0] <= row.ts - DAY:
            old = window.popleft()[1]
            s1, s2 = s1 - old, s2 - old * old
        n = len(window)
        if (n * x - s1) ** 2 * (n - 1) > 9 * n * (n * s2 - s1 * s1):
            row.reason = "outlier"


def fill(series: list[Row]) -> None:
    """Each gap between neighbouring trusted readings is filled whole or not at all."""
    donor: Row | None = None
    gap: list[Row] = []
    for row in series:
        if not row.trusted:
            gap.append(row)
            continue
        missing = [r for r in gap if r.mw is None]
        if donor and missing and row.ts - gap[0].ts < HOUR and missing[-1].ts - donor.ts < HOUR:
            for r in missing:
                r.mw, r.own, r.flags = donor.mw, False, r.flags | FILLED
        donor, gap = row, []


def faulty(series: list[Row]) -> None:
    start: int | None = None
    flagged = False
    for row in series:
        if row.measured:
            near_zero = abs(row.mw) < 10_000
            start = (row.ts if start is None else start) if near_zero else None
            flagged = start is not None and row.ts - start > DAY
        if flagged:
            row.flags |= BIT["potentially_faulty"]


def show_flags(bits: int) -> str:
    return "|".join(name for name in FLAGS if bits & BIT[name])


def show_kw(mw: int | None) -> str:
    if mw is None:
        return ""
    whole, part = divmod(abs(mw), 1_000_000)
    return ("-" if mw < 0 else "") + f"{whole}.{part:06}".rstrip("0").rstrip(".")


def show_ts(ts: int | None) -> str:
    if ts is None:
        return ""
    text = (EPOCH + dt.timedelta(microseconds=ts)).isoformat().removesuffix("+00:00")
    return text + "Z"


def tables(judged: Judged) -> dict[str, list[tuple[str, ...]]]:
    """The datasets as `export` writes them, without `raw` and `status`."""

    def error(r: Row | Reject) -> tuple[str, ...]:
        kw, flags = (show_kw(r.mw), show_flags(r.flags)) if isinstance(r, Row) else ("", "")
        return str(r.upload), str(r.number), r.meter, show_ts(r.ts), kw, r.reason, flags

    def origin(r: Row) -> tuple[str, str]:
        return str(r.upload), str(r.number)

    return {
        "readings": [(r.meter, show_ts(r.ts), show_kw(r.mw), show_flags(r.flags), *origin(r)) for r in judged.readings],
        "error-queue": [error(r) for r in judged.errors],
        "superseded": [(*origin(r), r.meter, show_ts(r.ts), show_kw(r.mw)) for r in judged.superseded],
        "measured": [
            (r.meter, show_ts(r.ts), show_kw(r.mw), show_flags(r.flags), str(r.reason == "outlier").lower(), *origin(r))
            for r in judged.measured
        ],
    }
