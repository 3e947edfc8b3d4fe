#!/usr/bin/env python3
"""GreenStream on a PostgreSQL server of its own, beside a plain binary COPY of the same rows into the same tables.

    cargo build --release
    bench/postgres.py [--meters 50000] [--days 1] [--rounds 3]

The server is started for the run (`scripts/postgres`) with Debian's settings, fsync included, on this machine. A
round is: a day ingested (landing, rules, database, archive; what each thread took of it is told), and its rows,
wherever each ended (readings, error queue, superseded), copied out and copied in again by psql into empty tables with
the same indexes. With --days DAYS that many days are ingested first, and then hours of the next day: some dropped into
the inbox of a running service, one after the other, and some each by a process of its own, which first reads a day of
every meter. Data is kept in target/bench until the next start.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from statistics import median

from targets import BINARY, ROOT, START, WORK, run, serving, simulated, tell

READING = "ts, kw, hour, meter, upload, row_number, flags"
OTHERS = {
    "t_error": ("upload, row_number, meter, meter_text, ts, hour, kw, reason, flags, status, raw", "upload, row_number"),
    "t_superseded": ("upload, row_number, meter, ts, kw, flags", "upload, row_number"),
}


class Server:
    """A server for the time of the run."""

    def __init__(self) -> None:
        told = subprocess.run([ROOT / "scripts/postgres", "start"], check=True, capture_output=True, text=True).stdout
        self.folder, self.url = told.split()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([ROOT / "scripts/postgres", "stop", self.folder], check=True)

    def sql(self, text: str) -> str:
        command = ["psql", "--quiet", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1", self.url, "--command", text]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def home(name: str, server: Server) -> Path:
    folder = WORK / f"home-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "greenstream.toml").write_text(f'[store]\nurl = "{server.url}?schema={name}"\n')
    return folder


def ingest(folder: Path, files: list[Path], threads: Counter[str] | None = None) -> tuple[float, float]:
    return run(["--home", folder, "ingest", *files], threads)


def copied(server: Server, schema: str) -> dict[str, tuple[float, int]]:
    """The rows of a schema copied into empty tables of another with the same indexes: seconds and rows of each."""
    named = f"SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}' AND c.relkind = 'r' AND c.relname LIKE 't\\_reading\\_%'"
    server.sql("DROP SCHEMA IF EXISTS plain CASCADE; CREATE SCHEMA plain")
    server.sql(f"CREATE TABLE plain.t_reading (LIKE {schema}.t_reading INCLUDING INDEXES) PARTITION BY RANGE (ts)")
    tables = {table: (READING, "hour, meter, ts") for table in server.sql(named).split()} | OTHERS
    took = {}
    for table, (columns, order) in tables.items():
        data = WORK / f"{table}.bin"
        server.sql(f"\\copy (SELECT {columns} FROM {schema}.{table} ORDER BY {order}) TO '{data}' WITH (FORMAT binary)")
        if table in OTHERS:
            server.sql(f"CREATE TABLE plain.{table} (LIKE {schema}.{table} INCLUDING INDEXES)")
        else:
            bound = server.sql(f"SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = '{schema}.{table}'::regclass")
            server.sql(f"CREATE TABLE plain.{table} PARTITION OF plain.t_reading {bound}")
        server.sql("CHECKPOINT")
        began = time.perf_counter()
        server.sql(f"\\copy plain.{table} ({columns}) FROM '{data}' WITH (FORMAT binary)")
        took[table] = (time.perf_counter() - began, int(server.sql(f"SELECT count(*) FROM plain.{table}")))
        data.unlink()
    server.sql("DROP SCHEMA plain CASCADE")
    return took


def day(server: Server, meters: int, rounds: int) -> None:
    files, ratios = simulated("day", meters, START, 1), []
    for turn in range(rounds):
        folder = home("day", server)
        server.sql("DROP SCHEMA IF EXISTS day CASCADE; CHECKPOINT")
        threads: Counter[str] = Counter()
        seconds, peak = ingest(folder, files, threads)
        used = ", ".join(f"{name} {one:.2f}" for name, one in threads.most_common(8))
        print(f"round {turn + 1}: processor seconds of its threads: {used}", flush=True)
        total = int(server.sql("SELECT sum(rows) FROM day.uploads"))
        took = copied(server, "day")
        plain, rows = (sum(column) for column in zip(*took.values()))
        assert rows == total, (rows, total)
        ratios.append(plain / seconds)
        parts = ", ".join(f"{table} {one:.2f} s for {rows:,}" for table, (one, rows) in took.items())
        print(f"round {turn + 1}: {total:,} rows ingested in {seconds:.2f} s with {peak:.0f} MB, copied in {plain:.2f} s ({parts}): "
              f"{ratios[-1]:.0%} of the rate of COPY", flush=True)
        shutil.rmtree(folder)
    tell("day", f"{median(ratios):.0%} of the rate of a plain binary COPY (median of {rounds})")


def hour(server: Server, meters: int, days: int) -> None:
    files = simulated("month", meters, START, days + 1)
    border = (START + timedelta(days=days)).isoformat()
    before = [file for file in files if file.name < border]
    folder = home("month", server)
    server.sql("DROP SCHEMA IF EXISTS month CASCADE")
    seconds, _ = ingest(folder, before)
    print(f"{days} days ingested in {seconds:.0f} s, {seconds / days:.1f} s a day", flush=True)
    # one that is delivered again is no upload of its own
    hours = [file for file in files[len(before):] if "again" not in file.name]
    with serving(folder):
        taken = [dropped(folder, file, server) for file in hours[:8]]
    tell("hour", f"{median(taken[1:]):.2f} s from inbox to commit behind {days} days, by a running service; its first hour "
         f"{taken[0]:.2f} s, the others {', '.join(f'{one:.2f}' for one in taken[1:])}")
    alone = [ingest(folder, [file])[0] for file in hours[8:12]]
    tell("alone", f"{median(alone):.2f} s by a process of its own, start and end included "
         f"({', '.join(f'{one:.2f}' for one in alone)})")


def dropped(folder: Path, file: Path, server: Server) -> float:
    """Renames a copy of an upload into the inbox: seconds until it is committed."""
    shutil.copy(file, folder / file.name)
    began = time.perf_counter()
    (folder / file.name).rename(folder / "inbox" / file.name)
    while server.sql(f"SELECT status FROM month.uploads WHERE name = '{file.name}'") != "done":
        if time.perf_counter() - began > 120:
            sys.exit(f"{file.name} is not committed after two minutes; see {WORK}/run.log")
        time.sleep(0.02)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--meters", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if not BINARY.is_file():
        sys.exit(f"no {BINARY}: build it with cargo build --release")
    WORK.mkdir(parents=True, exist_ok=True)
    with Server() as server:
        day(server, given.meters, given.rounds)
        if given.days:
            hour(server, given.meters, given.days)


if __name__ == "__main__":
    main()
