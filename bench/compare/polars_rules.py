"""The five rules with Polars: `python polars_rules.py FOLDER OUT`."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from common import DAY_US, FLAGS, HOUR_US, KW_LARGEST, MISSING, Counts, main, parse_stamps

COLUMNS = ["meter_id", "timestamp", "amount", "unit", "more"]  # `more` shows a line with too many fields
PLACE = ["meter_id", "ts", "kw", *FLAGS, "upload", "row_number"]


def read(paths: list[Path]) -> pl.DataFrame:
    """All lines in landing order. Quotes are taken as text, so that an open one spoils one line only."""
    return (
        pl.scan_csv(
            paths, schema={c: pl.String for c in COLUMNS}, has_header=False, skip_lines=1, quote_char=None,
            encoding="utf8-lossy", empty_string_is_null=False, extra_columns="ignore", missing_columns="insert",
            row_index_name="row_number", include_file_paths="upload",
        )
        .with_columns(
            pl.col("upload").replace_strict([str(p) for p in paths], range(1, len(paths) + 1), return_dtype=pl.UInt32),
            *(pl.col(c).str.strip_chars(' \t"') for c in ("timestamp", "amount", "unit")),
            pl.col("meter_id").str.strip_chars(" \t"),
        )
        .collect()
    )


def decode(lines: pl.DataFrame) -> pl.DataFrame:
    """Instant, power, flags and the reason of a line that cannot be read."""
    stamps = lines["timestamp"].unique()
    ts, moved, trouble = parse_stamps(stamps)
    times = pl.DataFrame({"timestamp": stamps, "ts": ts, "utc_normalized": moved, "trouble": trouble})
    meter, unit, kw = pl.col("meter_id"), pl.col("unit").str.to_lowercase(), pl.col("kw")
    quoted = meter.str.starts_with('"')
    return (
        lines.lazy()
        .join(times.lazy(), on="timestamp", how="left", maintain_order="left")
        .with_columns(
            pl.col("amount").cast(pl.Float64, strict=False).alias("kw"),
            pl.col("amount").is_in(MISSING).alias("missing_value"),
            unit.replace_strict({"kw": 1.0, "w": 0.001}, default=None, return_dtype=pl.Float64).alias("factor"),
            meter.str.strip_chars('"'),
            (pl.col("more") != "").or_(quoted != meter.str.ends_with('"')).alias("malformed"),
        )
        .with_columns(
            pl.when("malformed").then(pl.lit("row_malformed"))
            .when((meter.str.len_bytes() == 0) | (meter.str.len_bytes() > 64) | meter.str.contains(r"[\p{Cc}\p{Cf}]"))
            .then(pl.lit("meter_id_invalid"))
            .when(pl.col("trouble") != "").then(pl.col("trouble"))
            .when("missing_value").then(None)
            .when(kw.is_null() | ~kw.is_finite() | (kw.abs() > KW_LARGEST)).then(pl.lit("value_invalid"))
            .when(pl.col("factor").is_null()).then(pl.lit("unit_unknown"))
            .alias("reason"),
            pl.when(~pl.col("missing_value")).then((kw * pl.col("factor")).round(6)).alias("kw"),
            ((unit == "w") & ~pl.col("missing_value")).alias("unit_converted"),
        )
        .drop("timestamp", "amount", "unit", "more", "malformed", "trouble", "factor")
        .collect()
    )


def keep_latest(rows: pl.DataFrame) -> pl.DataFrame:
    """Sorted by meter and time; the last of each instant wins, a value before none. Files are in landing order."""
    order = rows.with_columns(pl.col("meter_id").cast(pl.Categorical)).sort(
        pl.col("meter_id").to_physical(), "ts", ~pl.col("missing_value"), maintain_order=True
    )
    same = (pl.col("meter_id") == pl.col("meter_id").shift()) & (pl.col("ts") == pl.col("ts").shift())
    same = same.fill_null(False)
    return order.with_columns(same.alias("duplicate")).filter(~same.shift(-1).fill_null(False))


def judge(readings: pl.DataFrame) -> pl.DataFrame:
    meter, ts, kw = pl.col("meter_id"), pl.col("ts"), pl.col("kw")
    limit = pl.when(kw < 0).then(pl.lit("value_negative")).when(kw > 10).then(pl.lit("value_above_limit"))
    frame = readings.with_columns(limit.alias("reason")).with_columns(
        pl.when(pl.col("reason").is_null()).then(kw).alias("measured")
    )
    frame = outliers(frame).with_columns(
        pl.when(pl.col("reason").is_null() & kw.is_not_null()).then(ts).alias("trusted_ts"),
        (kw.is_not_null() & pl.col("measured").is_not_null()).alias("is_measured"),
    )
    frame = fill(frame)
    near = pl.col("measured").abs() < 0.01
    frame = frame.with_columns(  # a run starts after the last measured reading of 0.01 kW or more
        pl.when(pl.col("is_measured")).then((~near).cast(pl.UInt32)).otherwise(0).cum_sum().over(meter).alias("run")
    ).with_columns(pl.when(pl.col("is_measured") & near).then(ts).min().over(meter, "run").alias("run_start"))
    flagged = pl.when(pl.col("is_measured")).then((near & (ts - pl.col("run_start") > DAY_US)).fill_null(False))
    return frame.with_columns(flagged.forward_fill().over(meter).fill_null(False).alias("potentially_faulty"))


def outliers(frame: pl.DataFrame) -> pl.DataFrame:
    """|z| > 3 over (t - 24 h, t], measured readings only."""
    measured = frame.lazy().filter(pl.col("measured").is_not_null())
    window = {"by": "ts", "window_size": f"{DAY_US}i", "closed": "right"}
    mean = pl.col("measured").rolling_mean_by(**window).over("meter_id")
    std = pl.col("measured").rolling_std_by(**window).over("meter_id")
    far = (pl.col("measured") - mean).abs() > 3 * std + 1e-9  # a flat window has a mean that is off by a rounding
    found = measured.filter(far)
    return (
        frame.lazy()
        .join(found.select("row_number", outlier=True), on="row_number", how="left", maintain_order="left")
        .with_columns(pl.when("outlier").then(pl.lit("outlier")).otherwise("reason").alias("reason"))
        .drop("outlier")
        .collect()
    )


def fill(frame: pl.DataFrame) -> pl.DataFrame:
    """A gap lies between two trusted readings; only the few rows inside gaps are grouped."""
    donor = [pl.col(c).forward_fill().over("meter_id") for c in ("trusted_ts", "donor_kw")]
    frame = frame.with_columns(pl.when(pl.col("trusted_ts").is_not_null()).then("kw").alias("donor_kw"))
    frame = frame.with_columns(
        donor[0].alias("p"), donor[1].alias("donor_kw"), pl.col("trusted_ts").backward_fill().over("meter_id").alias("n")
    )
    gap = ["meter_id", "p"]
    inside = frame.filter(pl.col("trusted_ts").is_null()).with_columns(
        pl.col("ts").min().over(gap).alias("g"),
        pl.col("ts").filter("missing_value").max().over(gap).alias("l"),
    )
    closes = (pl.col("n") - pl.col("g") < HOUR_US) & (pl.col("l") - pl.col("p") < HOUR_US)
    filled = inside.filter(pl.col("missing_value") & closes).select("row_number", filled=pl.col("donor_kw"))
    return (
        frame.join(filled, on="row_number", how="left", maintain_order="left")
        .with_columns(pl.col("filled").is_not_null().alias("forward_filled"), pl.coalesce("kw", "filled").alias("kw"))
        .drop("p", "n", "donor_kw", "filled", "trusted_ts")
    )


def apply(paths: list[Path], count: int, out: Path) -> Counts:
    lines = read(paths)
    decoded = decode(lines)
    rejected = decoded.filter(pl.col("reason").is_not_null())
    rows = decoded.filter(pl.col("reason").is_null())
    judged = judge(keep_latest(rows)).with_columns(
        pl.col("ts").cast(pl.Datetime("us", "UTC")), pl.col("meter_id").cast(pl.String)
    )
    readings = judged.filter(pl.col("reason").is_null()).select(PLACE)
    errors = pl.concat([
        judged.filter(pl.col("reason").is_not_null()).select(*PLACE, "reason"),
        rejected.select("meter_id", pl.col("ts").cast(pl.Datetime("us", "UTC")), "upload", "row_number", "reason"),
    ], how="diagonal")
    for name, table in (("readings", readings), ("error_queue", errors)):
        dated = table.with_columns(pl.col("ts").dt.date().alias("date"))
        dated.write_parquet(out / name, partition_by="date", compression="zstd", mkdir=True)
    return Counts(
        rows=count,
        readings=len(readings),
        superseded=len(rows) - len(judged),
        flags={f: readings[f].sum() for f in FLAGS},
        reasons=dict(errors["reason"].value_counts().sort("reason").iter_rows()),
    )


if __name__ == "__main__":
    main("polars", apply)
