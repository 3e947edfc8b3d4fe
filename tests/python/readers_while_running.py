"""Readers in a loop while the service works: nothing half visible, every snapshot whole (guarantee G7).

    python readers_while_running.py BINARY [ARGUMENT-OF-RUN...]

Starts `greenstream run` on a home of its own and drops uploads into its inbox for 20 seconds, each with new instants
of the same meters, while SQLite, deltalake, Polars and DuckDB read as fast as they can. Then:

- no read failed, and each upload is in SQLite with all its rows, stored and quarantined, or with none;
- every Delta snapshot holds the first uploads, whole, up to the journal position that its last commit names, and
  these rows as the database has them in the end (nothing that lands later touches them).
"""

from __future__ import annotations

import datetime as dt
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import deltalake
import pandas as pd
import polars as pl

from readers import KEYS, TABLES, Failure, compare, export, from_columns, from_text, read_duckdb_delta_scan, run

UPLOADS, PAUSE_SECONDS = 80, 0.25
CATCH_UP_SECONDS = 150  # the archive's bounded lag, and more
METERS = 50
ROWS = {"readings": METERS, "error_queue": 1}  # of each upload


@dataclass
class Snapshot:
    """One read of one table: what it held, and the journal position its last commit names, where it is known."""

    reader: str
    table: str
    frame: pd.DataFrame
    position: int | None


@dataclass
class Seen:
    """What the readers saw. Lists grow by `append` only, which threads may do."""

    snapshots: list[Snapshot] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    reads: Counter[str] = field(default_factory=Counter)
    complete: set[str] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)


def upload(number: int) -> str:
    """All meters at one instant, alike, so that no rule tells one apart; one more meter below zero."""
    at = dt.datetime(2026, 3, 2) + dt.timedelta(minutes=15 * number)
    rows = [f"M{meter:03},{at:%Y-%m-%dT%H:%M:%SZ},1,kW" for meter in range(METERS)]
    rows.append(f"N,{at:%Y-%m-%dT%H:%M:%SZ},-1,kW")
    return "\n".join(["meter_id,timestamp,energy_value,energy_unit", *rows, ""])


def feed(home: Path, staging: Path) -> None:
    """Uploads appear in the inbox whole, by a rename."""
    for number in range(UPLOADS):
        path = staging / f"upload-{number:04}.csv"
        path.write_text(upload(number))
        path.rename(home / "inbox" / path.name)
        time.sleep(PAUSE_SECONDS)


def read_sqlite(home: Path, seen: Seen) -> None:
    """Both tables in one transaction: an upload is there with all rows or with none."""
    counts = Counter()
    with sqlite3.connect(f"file:{home / 'greenstream.db'}?mode=ro", uri=True, timeout=10) as connection:
        connection.execute("begin")
        done = {u for (u,) in connection.execute("select upload from uploads where status = 'done'")}
        for table in ROWS:
            counts.update(dict(connection.execute(f"select upload, count(*) from {table} group by upload")))
        connection.execute("rollback")
    torn = {u: n for u, n in counts.items() if n != sum(ROWS.values())}
    if torn or done != set(counts):
        raise Failure(f"SQLite shows parts: rows by upload {torn}, done but empty {sorted(done - set(counts))}")
    if len(counts) == UPLOADS:
        seen.complete.add("SQLite")


def read_deltalake(folder: Path) -> tuple[pd.DataFrame, int | None]:
    table = deltalake.DeltaTable(folder)
    return table.to_pandas(), table.transaction_version("greenstream")


def read_polars(folder: Path) -> tuple[pd.DataFrame, int | None]:
    return pl.scan_delta(str(folder)).collect().to_pandas(), None


def read_duckdb(folder: Path) -> tuple[pd.DataFrame, int | None]:
    return read_duckdb_delta_scan(folder), None


READERS = {"deltalake": read_deltalake, "polars": read_polars, "duckdb": read_duckdb}


def read_archive(name: str, table: str, home: Path, seen: Seen) -> None:
    folder = home / "archive" / table
    if not (folder / "_delta_log").is_dir():
        return  # no first commit yet
    frame, position = READERS[name](folder)
    seen.snapshots.append(Snapshot(name, table, from_columns(frame), position))
    if len(frame) == UPLOADS * ROWS[table]:
        seen.complete.add(f"{name} {table}")


def loop(name: str, read: Callable[[], None], seen: Seen) -> None:
    while not seen.stop.is_set():
        try:
            read()
            seen.reads[name] += 1
            seen.stop.wait(0.02)  # leave the service something of the machine
        except Exception as error:  # noqa: BLE001 - any error of any reader is a finding
            seen.errors.append(f"{name}: {type(error).__name__}: {error}")
            return


def observe(home: Path, staging: Path, service: subprocess.Popen[bytes]) -> Seen:
    """Feeds and reads until every reader has seen everything."""
    seen = Seen()
    jobs: dict[str, Callable[[], None]] = {"SQLite": lambda: read_sqlite(home, seen)}
    for reader in READERS:
        for table in TABLES:
            jobs[f"{reader} {table}"] = lambda r=reader, t=table: read_archive(r, t, home, seen)
    threads = [threading.Thread(target=loop, args=(name, job, seen)) for name, job in jobs.items()]
    for thread in threads:
        thread.start()
    try:
        feed(home, staging)
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while seen.complete != set(jobs) and not seen.errors:
            if service.poll() is not None:
                raise Failure(f"the service ended with {service.returncode}")
            if time.monotonic() > deadline:
                raise Failure(f"not seen whole after {CATCH_UP_SECONDS} s: {sorted(set(jobs) - seen.complete)}")
            time.sleep(0.1)
    finally:
        seen.stop.set()
        for thread in threads:
            thread.join()
    return seen


def wait_for(what: str, ready: Callable[[], bool], service: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        if service.poll() is not None or time.monotonic() > deadline:
            raise Failure(f"the service gives no {what} within 30 s (exit code {service.poll()})")
        time.sleep(0.05)


def check_snapshots(binary: str, home: Path, seen: Seen) -> int:
    """Each snapshot is a prefix of the uploads, as they are in the end; how many different ones there were."""
    final = {table: from_text(export(binary, home, dataset)) for table, dataset in TABLES.items()}
    distances: dict[int, str] = {}
    prefixes = set()
    for snapshot in seen.snapshots:
        uploads = snapshot.frame["upload"]
        last = int(uploads.max()) if len(uploads) else 0
        what = f"{snapshot.table} by {snapshot.reader}, uploads 1 to {last}"
        want = final[snapshot.table]
        compare(what, snapshot.frame, want[want["upload"] <= last], KEYS[snapshot.table])
        prefixes.add((snapshot.table, last))
        if snapshot.position is not None and last:
            distances[snapshot.position - last] = f"{what}, position {snapshot.position}"
        elif snapshot.reader == "deltalake" and last:
            raise Failure(f"{what}: the last commit names no journal position (application transaction greenstream)")
    if len(distances) > 1:  # entries before the first upload are the same for all snapshots
        raise Failure("positions and contents do not fit: " + "; ".join(distances.values()))
    return len(prefixes)


def check(binary: str, arguments: list[str]) -> str:
    with tempfile.TemporaryDirectory(prefix="greenstream-running-") as scratch:
        home, staging = Path(scratch) / "home", Path(scratch) / "staging"
        staging.mkdir()
        home.mkdir()
        # often, so that readers meet many snapshots
        (home / "greenstream.toml").write_text("[archive]\nlag_seconds = 1\n[serve]\nlisten = '127.0.0.1:0'\n")
        with (Path(scratch) / "log").open("wb") as log:
            service = subprocess.Popen([binary, "--home", str(home), "run", *arguments], stdout=log, stderr=log)
        try:
            log_file = Path(scratch) / "log"
            wait_for("service", lambda: b"pages:" in log_file.read_bytes(), service)
            seen = observe(home, staging, service)
            service.send_signal(signal.SIGTERM)
            if service.wait(60) != 0:
                raise Failure(f"the service ends with {service.returncode} on SIGTERM")
            if seen.errors:
                raise Failure("\n".join(seen.errors))
            prefixes = check_snapshots(binary, home, seen)
            run(binary, home, "verify")
        except Failure as failure:
            raise Failure(f"{failure}\nlog:\n{(Path(scratch) / 'log').read_text()[-2000:]}") from None
        finally:
            if service.poll() is None:
                service.kill()
                service.wait()
    return f"{sum(seen.reads.values())} reads, {len(seen.snapshots)} snapshots, {prefixes} different ones, all whole"


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(f"readers while running: {check(sys.argv[1], sys.argv[2:])}")
    except Failure as failure:
        print(f"readers while running: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
