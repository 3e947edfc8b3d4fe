"""The five rules with pandas: `python pandas_rules.py FOLDER OUT`. Arrow reads the CSV, numpy does the windows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from common import DAY_US, FLAGS, HOUR_US, KW_LARGEST, MISSING, Counts, main, parse_stamps
from pyarrow import csv

COLUMNS = ["meter_id", "timestamp", "amount", "unit"]
PLACE = ["meter_id", "ts", "kw", *FLAGS, "upload", "row_number"]
LEFT_OUT = -1  # the instant of a row whose time cannot be read
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")


def read(paths: list[Path]) -> pd.DataFrame:
    """All lines of four fields in landing order as categories.

    Quotes are taken as text, so that an open one spoils one line only.
    """
    text = pa.dictionary(pa.int32(), pa.binary())
    tables = []
    for upload, path in enumerate(paths, 1):
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(column_names=COLUMNS, skip_rows=1),
            parse_options=csv.ParseOptions(quote_char=False, invalid_row_handler=lambda row: "skip"),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, text), strings_can_be_null=False),
        )
        tables.append(table.append_column("upload", pa.array(np.full(len(table), upload, np.int32))))
    return pa.concat_tables(tables).unify_dictionaries().to_pandas()


def texts(column: pd.Series) -> list[str]:
    """The distinct texts of a column, trimmed, without quotes; an open quote stays."""
    plain = [c.decode("utf-8", "replace").strip(" \t") for c in column.cat.categories]
    return [t[1:-1] if len(t) > 1 and t[0] == t[-1] == '"' else t for t in plain]


def decode(lines: pd.DataFrame) -> pd.DataFrame:
    """Instant, power, flags and the reason of a line that cannot be read; each distinct text is read once."""

    def spread(column: str, values: list | np.ndarray) -> np.ndarray:
        return np.asarray(values)[lines[column].cat.codes.to_numpy()]

    meters, amounts = texts(lines["meter_id"]), pd.Series(texts(lines["amount"]))
    units = pd.Series(texts(lines["unit"])).str.lower()
    ts, moved, trouble = parse_stamps(texts(lines["timestamp"]))
    names, codes = np.unique(np.array(meters, dtype=object), return_inverse=True)
    odd = [m.startswith('"') for m in meters]
    bad_meter = [not 0 < len(m.encode()) <= 64 or UNSEEN.search(m) is not None for m in meters]
    kw = pd.to_numeric(amounts, errors="coerce")
    kw[kw.abs().gt(KW_LARGEST) | amounts.str.contains("inf", case=False)] = np.nan
    missing = spread("amount", amounts.isin(MISSING))
    factor = spread("unit", units.map({"kw": 1.0, "w": 0.001}))
    value = spread("amount", kw)
    reason = np.select(
        [spread("meter_id", odd), spread("meter_id", bad_meter), spread("timestamp", [t != "" for t in trouble]),
         missing, np.isnan(value), np.isnan(factor)],
        [1, 2, 3, 0, 4, 5],
    ).astype(np.int8)
    reasons = np.array([None, "row_malformed", "meter_id_invalid", None, "value_invalid", "unit_unknown"], dtype=object)
    named = reasons[reason]
    stamp = reason == 3
    named[stamp] = spread("timestamp", np.array(trouble, dtype=object))[stamp]
    return pd.DataFrame({
        "meter_id": pd.Categorical.from_codes(spread("meter_id", codes), names),
        "ts": spread("timestamp", [t if t is not None else LEFT_OUT for t in ts]),
        "kw": np.where(missing, np.nan, np.round(value * factor, 6)),
        "unit_converted": spread("unit", units == "w") & ~missing,
        "utc_normalized": spread("timestamp", moved),
        "missing_value": missing,
        "upload": lines["upload"].to_numpy(),
        "row_number": np.arange(len(lines), dtype=np.int64),
        "reason": named,
    })


def keep_latest(rows: pd.DataFrame) -> pd.DataFrame:
    """Sorted by meter and time; the last of each instant wins, a value before none. Files are in landing order."""
    meter, ts = rows["meter_id"].cat.codes.to_numpy().astype(np.int64), rows["ts"].to_numpy()
    _, slot = np.unique(ts, return_inverse=True)
    key = ((meter * (slot.max() + 1) + slot) << 1) | ~rows["missing_value"].to_numpy()
    order = np.argsort(key, kind="stable")
    same = np.diff(key[order] >> 1) == 0
    keep = np.append(~same, True)
    winners = rows.take(order[keep])
    winners["duplicate"] = np.append(False, same)[keep]
    return winners.reset_index(drop=True)


def judge(frame: pd.DataFrame) -> pd.DataFrame:
    """Limits, outliers, gaps and near-zero runs. `frame` is sorted, so a meter is a stretch of rows."""
    meter, ts = frame["meter_id"].cat.codes.to_numpy().astype(np.int64), frame["ts"].to_numpy()
    kw, missing = frame["kw"].to_numpy(), frame["missing_value"].to_numpy()
    reason = np.select([kw < 0, kw > 10], [1, 2]).astype(np.int8)
    measured = ~missing & (reason == 0)
    reason[np.flatnonzero(measured)[outliers(meter[measured], ts[measured], kw[measured])]] = 3
    trusted = ~missing & (reason == 0)
    filled, donor = fill(meter, ts, trusted, missing)
    frame["kw"] = np.where(filled, kw[donor], kw)
    frame["forward_filled"] = filled
    frame["potentially_faulty"] = faulty(meter, ts, kw, measured)
    names = ["value_negative", "value_above_limit", "outlier"]
    frame["reason"] = pd.Categorical.from_codes(reason - 1, names)
    return frame


def outliers(meter: np.ndarray, ts: np.ndarray, kw: np.ndarray) -> np.ndarray:
    """|z| > 3 over (t - 24 h, t], from running sums; whole milliwatts, so that nothing is lost in the differences."""
    mw = np.rint(kw * 1e6).astype(np.int64)
    base = ts.min() - DAY_US
    key = meter * (ts.max() - base + 2 * DAY_US) + (ts - base)
    first = np.searchsorted(key, key - DAY_US, side="right")
    first = np.maximum(first, np.searchsorted(meter, meter, side="left"))
    s1, s2 = (np.concatenate(([0], np.cumsum(v))) for v in (mw, mw * mw))  # may wrap round; differences do not
    last = np.arange(1, len(mw) + 1)
    n = (last - first).astype(float)
    sum1, sum2 = (s1[last] - s1[first]).astype(float), (s2[last] - s2[first]).astype(float)
    return (n * mw - sum1) ** 2 * (n - 1) > 9 * n * (n * sum2 - sum1**2)


def fill(meter: np.ndarray, ts: np.ndarray, trusted: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which missing rows are filled, and the row of each row's donor."""
    rows = np.arange(len(ts))
    donor = np.maximum.accumulate(np.where(trusted, rows, 0))
    following = np.minimum.accumulate(np.where(trusted, rows, len(ts) - 1)[::-1])[::-1]
    last_missing = np.maximum.accumulate(np.where(missing, rows, 0))[np.maximum(following - 1, 0)]
    there = (meter[donor] == meter) & trusted[donor] & (meter[following] == meter) & trusted[following]
    first = np.minimum(donor + 1, len(ts) - 1)
    closes = (ts[following] - ts[first] < HOUR_US) & (ts[last_missing] - ts[donor] < HOUR_US)
    return missing & there & closes, donor


def faulty(meter: np.ndarray, ts: np.ndarray, kw: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """More than 24 h after the start of a near-zero run; other rows take the flag of the measured row before."""
    at = np.flatnonzero(measured)
    near = np.abs(kw[at]) < 0.01
    starts = np.append(True, ~near[:-1] | (np.diff(meter[at]) != 0))
    start = ts[at][np.maximum.accumulate(np.where(starts, np.arange(len(at)), 0))]
    flag = near & (ts[at] - start > DAY_US)
    before = np.cumsum(measured) - 1  # place in `at` of the last measured row
    own = (before >= 0) & (meter[at[before]] == meter)
    return own & flag[before]


def apply(paths: list[Path], count: int, out: Path) -> Counts:
    lines = read(paths)
    parsed = len(lines)
    decoded = decode(lines)
    del lines
    bad = decoded["reason"].notna()
    rejected = decoded[bad]
    rows = decoded[~bad]
    judged = judge(keep_latest(rows))
    readings, errors = judged[judged["reason"].isna()], judged[judged["reason"].notna()]
    errors = pd.concat([errors.astype({"reason": object}), rejected.astype({"reason": object})])
    for name, table, columns in (("readings", readings, PLACE), ("error_queue", errors, [*PLACE, "reason"])):
        days, codes = np.unique(table["ts"] // DAY_US, return_inverse=True)
        dates = [str(np.datetime64(int(day), "D")) if day >= 0 else None for day in days]
        ts = table["ts"].where(table["ts"] >= 0)
        dated = table[columns].assign(ts=ts.astype("datetime64[us]").dt.tz_localize("UTC"))
        dated["date"] = np.array(dates, dtype=object)[codes]
        dated.to_parquet(out / name, partition_cols=["date"], compression="zstd", index=False)
    reasons = errors["reason"].value_counts().to_dict()
    reasons["row_malformed"] = reasons.get("row_malformed", 0) + count - parsed
    return Counts(
        rows=count,
        readings=len(readings),
        superseded=len(rows) - len(judged),
        flags={f: int(readings[f].sum()) for f in FLAGS},
        reasons={r: int(reasons[r]) for r in sorted(reasons)},
    )


if __name__ == "__main__":
    main("pandas", apply)
