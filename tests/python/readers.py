"""Reads what the product stores with the tools its users have, into one shape to compare.

The shape: a frame with `meter_id`, `ts` (microseconds, -1 where unknown), `kw` (null where missing), `flags`
(one bit each), `upload`, `row_number` and, for the error queue, `reason` and `status`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import deltalake
import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from checks import Failure, run
from model import BIT, FLAGS

TABLES = {"readings": "readings", "error_queue": "error-queue"}  # folder of the archive -> dataset
KEYS = {"readings": ["meter_id", "ts"], "error_queue": ["upload", "row_number"]}
DELTA_SCAN = Path(sys.prefix) / "delta-scan"
DELTA_SCAN_PROGRAM = """
import pathlib, sys, duckdb, duckdb_extension_delta as package
folder = pathlib.Path(package.__file__).parent / "extensions" / f"v{duckdb.__version__}"
connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
connection.load_extension(str(folder / "delta.duckdb_extension"))
connection.sql(f"select * from delta_scan('{sys.argv[1]}')").write_parquet(sys.argv[2])
"""


def export(binary: str, home: Path, dataset: str) -> pd.DataFrame:
    """A dataset as text, cell by cell as it was written."""
    path = home / f"export-{dataset}.csv"
    run(binary, home, "export", dataset, "--format", "csv", "-o", path)
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")


def from_text(frame: pd.DataFrame) -> pd.DataFrame:
    """An export in the common shape."""
    bits = {text: sum(BIT[f] for f in text.split("|") if f) for text in frame["flags"].unique()}
    return shape(
        frame,
        ts=pd.to_datetime(frame["ts"].replace("", None), format="ISO8601", utc=True),
        kw=pd.to_numeric(frame["kw"].replace("", None)),
        flags=frame["flags"].map(bits),
    )


def from_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with one boolean per flag (archive, SQL) in the common shape."""
    unknown = [c for c in FLAGS if c not in frame]
    if unknown:
        raise Failure(f"no column for the flags {', '.join(unknown)}; there are {', '.join(frame)}")
    flags = sum(frame[name].astype(bool).astype("int64") * BIT[name] for name in FLAGS)
    ts = pd.to_datetime(frame["ts"], utc=True, format="ISO8601")
    return shape(frame, ts=ts, kw=frame["kw"], flags=flags)


def shape(frame: pd.DataFrame, ts: pd.Series, kw: pd.Series, flags: pd.Series) -> pd.DataFrame:
    instant = pd.to_datetime(ts, utc=True).astype("datetime64[us, UTC]")
    columns = {
        "meter_id": frame["meter_id"].fillna("").astype(object),
        "ts": instant.astype("int64").where(instant.notna(), -1),
        "kw": kw.astype("float64"),
        "flags": flags.astype("int64"),
        "upload": frame["upload"].astype("int64"),
        "row_number": frame["row_number"].astype("int64"),
    }
    columns |= {c: frame[c].astype(object) for c in ("reason", "status") if c in frame}
    return pd.DataFrame(columns)


SERVER = os.environ.get("GREENSTREAM_TEST_STORE_URL")  # homes have their database there


def schema(home: Path) -> str:
    return "h_" + hashlib.sha256(str(home).encode()).hexdigest()[:16]


def configure(home: Path) -> None:
    """Lets a home that is still empty have its database where the tests are told."""
    if SERVER:
        (home / "greenstream.toml").write_text(f'[store]\nurl = "{SERVER}?schema={schema(home)}"\n')


def on_server(home: Path, view: str) -> pd.DataFrame:
    """A view as psql writes it, its flags as the JSON that a file has."""
    query = f"select array_to_json(flags)::text as json_flags, * from {schema(home)}.{view}"
    done = subprocess.run(["psql", "--csv", "--command", query, SERVER], capture_output=True, text=True, check=True)
    frame = pd.read_csv(io.StringIO(done.stdout), keep_default_na=False, na_values={"kw": "", "ts": ""}, dtype={"meter_id": str})
    booleans = {name: frame[name] == "t" for name in FLAGS}
    return frame.drop(columns="flags").rename(columns={"json_flags": "flags"}).assign(**booleans)


def in_file(home: Path, view: str) -> pd.DataFrame:
    with sqlite3.connect(f"file:{home / 'greenstream.db'}?mode=ro", uri=True) as connection:
        return pd.read_sql_query(f"select * from {view}", connection)


def database(home: Path, view: str) -> pd.DataFrame:
    """A view of the database, after a check that its `flags` and its booleans say the same."""
    frame = on_server(home, view) if SERVER else in_file(home, view)
    shaped = from_columns(frame)
    bits = {text: sum(BIT[f] for f in json.loads(text)) for text in frame["flags"].unique()}
    if (frame["flags"].map(bits).astype("int64") != shaped["flags"]).any():
        raise Failure(f"{view}: the flags and the boolean columns differ")
    return shaped


def read_deltalake(table: Path) -> pd.DataFrame:
    return deltalake.DeltaTable(table).to_pandas()


def read_polars(table: Path) -> pd.DataFrame:
    return pl.scan_delta(str(table)).collect().to_pandas()


def read_duckdb(table: Path) -> pd.DataFrame:
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.sql("set timezone = 'UTC'")
        return connection.sql(f"from read_parquet('{table}/date=*/**/*.parquet', hive_partitioning = true)").df()


def read_duckdb_delta_scan(table: Path) -> pd.DataFrame:
    """In a process of its own: it needs another version of DuckDB (requirements-delta-scan.txt)."""
    with tempfile.TemporaryDirectory(prefix="delta-scan-") as scratch:
        out = Path(scratch) / "table.parquet"
        command = [sys.executable, "-c", DELTA_SCAN_PROGRAM, str(table), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(DELTA_SCAN)})
        if done.returncode:
            raise Failure(f"delta_scan of {table}: {done.stderr[-2000:]}")
        return pq.read_table(out).to_pandas()


def read_pandas(table: Path) -> pd.DataFrame:
    """Without the `date` of the folder names: pandas cannot unify it where a row has no known time."""
    return pd.read_parquet(table, partitioning=None)


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "deltalake": read_deltalake,
    "polars scan_delta": read_polars,
    "duckdb delta_scan": read_duckdb_delta_scan,
    "duckdb read_parquet": read_duckdb,
    "pandas read_parquet": read_pandas,
}
GLOBS = {"duckdb read_parquet", "pandas read_parquet"}  # cannot read a folder without a file


def compare(what: str, have: pd.DataFrame, want: pd.DataFrame, keys: list[str]) -> None:
    """Fails with the first rows that differ; the order of rows is not compared, every cell is."""
    have = have[list(want)].sort_values(keys, ignore_index=True)
    want = want.sort_values(keys, ignore_index=True)
    if len(have) != len(want):
        lost = want.merge(have[keys], on=keys, how="left", indicator=True).query("_merge == 'left_only'")
        raise Failure(f"{what}: {len(have)} rows, not {len(want)}; lacks\n{lost.head()}")
    same = (have == want) | (have.isna() & want.isna())
    bad = ~same.all(axis=1)
    if bad.any():
        raise Failure(f"{what}: {bad.sum()} rows differ\nhas\n{have[bad].head()}\nnot\n{want[bad].head()}")


def check_table(have: pd.DataFrame, want: list[tuple[str, ...]], what: str, columns: list[str]) -> None:
    """Every cell of these columns, in order."""
    got = list(have[columns].itertuples(index=False, name=None))
    if got == want:
        return
    differ = [f"has {h}, not {w}" for h, w in zip(got, want) if h != w]
    head = "\n".join(differ[:5])
    raise Failure(f"{what}: {len(got)} rows, expected {len(want)}; {len(differ)} of the pairs differ\n{head}")


def check_stores(binary: str, home: Path) -> list[str]:
    """Compares database and archive with the exports, row by row; gives a line for each check."""
    done = []
    for table, dataset in TABLES.items():
        want = from_text(export(binary, home, dataset))
        compare(f"{table} in the database", database(home, table), want, KEYS[table])
        done.append(f"{table} in the database")
        folder = home / "archive" / table
        for name, read in READERS.items():
            if name in GLOBS and want.empty and not list(folder.glob("date=*/**/*.parquet")):
                continue
            compare(f"{table} by {name}", from_columns(read(folder)), want, KEYS[table])
            done.append(f"{table} by {name}")
        check_layout(folder)
        done.append(f"layout of {table}")
    return done


def check_layout(folder: Path) -> None:
    """Partitions that fit their rows, zstd, rows sorted, statistics a reader can skip by."""
    for path in folder.glob("date=*/**/*.parquet"):
        file = pq.ParquetFile(path)
        rows = file.read(["meter_id", "ts"]).to_pandas().dropna()
        keys = list(zip(rows["meter_id"].str.encode("utf-8"), rows["ts"]))
        if keys != sorted(keys):
            raise Failure(f"{path}: rows are not sorted by meter and time")
        dates = set(rows["ts"].dt.strftime("date=%Y-%m-%d"))
        partition = path.relative_to(folder).parts[0]
        if dates - {partition}:
            raise Failure(f"{path}: holds rows of {sorted(dates)}")
        for group in range(file.metadata.num_row_groups):
            for place in range(file.metadata.num_columns):
                column = file.metadata.row_group(group).column(place)
                if column.compression != "ZSTD":
                    raise Failure(f"{path}: {column.path_in_schema} is {column.compression}")
                if column.path_in_schema in ("meter_id", "ts") and not column.is_stats_set:
                    raise Failure(f"{path}: no statistics of {column.path_in_schema}")
