"""The five rules with DuckDB, in SQL: `python duckdb_rules.py FOLDER OUT`."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
from common import DAY_US, FLAGS, HOUR_US, KW_LARGEST, MISSING, Counts, main, parse_stamps

# Quotes are taken as text, so that an open one spoils one line only. A line with too few fields is padded with
# nulls, one with too many shows in `more`; one that is no UTF-8 is left out. `rowid` is the landing order.
READ = r"""
create table lines as
select filename as name, meter_id, trim("timestamp", E' \t"') as stamp, trim(amount, E' \t"') as amount, unit, more
from read_csv($paths, auto_detect = false, header = true, delim = ',', quote = '', escape = '', new_line = '\n',
     strict_mode = false, null_padding = true, ignore_errors = true, nullstr = E'\x01', filename = true,
     columns = {'meter_id': 'varchar', 'timestamp': 'varchar', 'amount': 'varchar', 'unit': 'varchar',
                'more': 'varchar'})
"""
DECODE = r"""
create table decoded as
with plain as (
    select lines.rowid as row_number, upload, trim(meter_id, E' \t') as meter, times.*, amount,
           try_cast(amount as double) as value, amount in $missing as missing_value, lower(trim(unit, E' \t"')) as unit
    from lines join times using (stamp) join uploads using (name)
    where unit is not null and more is null
)
select row_number, upload, trim(meter, '"') as meter_id, ts, utc_normalized, missing_value,
       unit = 'w' and not missing_value as unit_converted,
       case when not missing_value then round(value * case unit when 'kw' then 1 when 'w' then 0.001::double end, 6)
       end as kw,
       case when starts_with(meter, '"') <> ends_with(meter, '"') then 'row_malformed'
            when strlen(meter) not between 1 and 64 or regexp_matches(meter, '[\p{Cc}\p{Cf}]') then 'meter_id_invalid'
            when trouble <> '' then trouble
            when missing_value then null
            when value is null or not isfinite(value) or abs(value) > $largest then 'value_invalid'
            when unit not in ('kw', 'w') then 'unit_unknown' end as reason
from plain
"""
# Of the rows of one instant the last wins, one with a value before one without.
LATEST = """
create table latest as
with winners as (
    select max((not missing_value)::bigint << 40 | row_number) & ((1::bigint << 40) - 1) as row_number,
           count(*) > 1 as duplicate
    from decoded where reason is null group by meter_id, ts
)
select decoded.* exclude (reason), duplicate,
       case when kw < 0 then 'value_negative' when kw > 10 then 'value_above_limit' end as limits,
       kw is not null and limits is null as measured
from winners join decoded using (row_number)
"""
# z-score over (t - 24 h, t]; `broken` is the last measured reading of 0.01 kW or more, after which a run may start.
SCORED = """
create table scored as
with windows as (
    select *, count(m) over day as n, sum(m) over day as s1, sum(m * m) over day as s2,
           last_value(case when m is not null then ts end ignore nulls) over past as last_measured,
           last_value(case when abs(m) >= 0.01 then ts end ignore nulls) over past as broken
    from (select *, case when measured then kw end as m from latest)
    window day as (partition by meter_id order by ts range between $day - 1 preceding and current row),
           past as (partition by meter_id order by ts rows between unbounded preceding and current row)
)
select * exclude (n, s1, s2, limits), -- a flat window leaves a rounding instead of zero
       coalesce(limits, case when (n * m - s1) ** 2 * (n - 1) > 9 * n * (n * s2 - s1 * s1) + 1e-9
                             then 'outlier' end) as reason
from windows
"""
JUDGED = """
create table judged as
with gaps as (
    select *, last_value(case when trusted then ts end ignore nulls) over past as p,
           last_value(case when trusted then kw end ignore nulls) over past as donor_kw,
           first_value(case when trusted then ts end ignore nulls) over future as next_ts,
           min(case when abs(m) < 0.01 then ts end) over (partition by meter_id, broken) as run_start
    from (select *, m is not null and reason is null as trusted from scored)
    window past as (partition by meter_id order by ts rows between unbounded preceding and current row),
           future as (partition by meter_id order by ts rows between current row and unbounded following)
), fills as (
    select meter_id, p from gaps where not trusted group by meter_id, p
    having min(next_ts) - min(ts) < $hour and max(ts) filter (missing_value) - p < $hour
)
select meter_id, make_timestamptz(ts) as ts, missing_value and fills.p is not null as forward_filled,
       case when forward_filled then donor_kw else kw end as kw,
       unit_converted, utc_normalized, duplicate, missing_value,
       coalesce(last_measured - run_start > $day, false) as potentially_faulty, upload, row_number, reason
from gaps left join fills using (meter_id, p)
"""
ERRORS = """
create table errors as
select * from judged where reason is not null
union all by name
select meter_id, make_timestamptz(ts) as ts, upload, row_number, reason from decoded where reason is not null
"""
COPY = """
copy (select *, ts::date as date from {table} order by meter_id, ts) to '{folder}'
(format parquet, partition_by (date), compression zstd)
"""


def apply(paths: list[Path], count: int, out: Path) -> Counts:
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as db:
        db.execute("set timezone = 'UTC'")
        names = pa.table({"name": [str(p) for p in paths], "upload": pa.array(range(1, len(paths) + 1), pa.int32())})
        db.register("uploads", names)
        db.execute(READ, {"paths": [str(p) for p in paths]})
        stamps = [stamp for (stamp,) in db.execute("select distinct stamp from lines").fetchall()]
        ts, moved, trouble = parse_stamps(stamps)
        times = {"stamp": stamps, "ts": pa.array(ts, pa.int64()), "utc_normalized": moved, "trouble": trouble}
        db.register("times", pa.table(times))
        db.execute(DECODE, {"missing": MISSING, "largest": KW_LARGEST})
        db.execute(LATEST)
        db.execute(SCORED, {"day": DAY_US})
        db.execute(JUDGED, {"day": DAY_US, "hour": HOUR_US})
        db.execute(ERRORS)
        readings = "(select * exclude (reason) from judged where reason is null)"
        db.execute(COPY.format(table=readings, folder=out / "readings"))
        db.execute(COPY.format(table="errors", folder=out / "error_queue"))
        sums = ", ".join(f"count(*) filter ({flag})" for flag in FLAGS)
        stored, *flags = db.execute(f"select count(*), {sums} from {readings}").fetchone()
        reasons = dict(db.execute("select reason, count(*) from errors group by reason order by reason").fetchall())
        read, good, kept = db.execute(
            "select (select count(*) from decoded), (select count(*) from decoded where reason is null),"
            " (select count(*) from latest)"
        ).fetchone()
        reasons["row_malformed"] = reasons.get("row_malformed", 0) + count - read
        return Counts(count, stored, good - kept, dict(zip(FLAGS, flags)), reasons)


if __name__ == "__main__":
    main("duckdb", apply)
