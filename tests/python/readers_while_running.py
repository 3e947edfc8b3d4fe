"""Readers in a loop while the service works: nothing half visible, every snapshot whole (guarantee G7).

    python readers_while_running.py BINARY [--killed [SEED]]

Starts `greenstream run` on a home of its own and drops uploads into its inbox for 20 seconds, each with new instants
of the same meters, while SQLite, deltalake, Polars and DuckDB read as fast as they can. Then:

- no read failed, and each upload is in SQLite with all its rows, stored and quarantined, or with none;
- every Delta snapshot holds the first uploads, whole, up to the journal position that its last commit names, and
  these rows as the database has them in the end (nothing that lands later touches them).

With `--killed` the service is killed with SIGKILL at random moments all the while and started again, and its archive
has no space for some seconds: a small tmpfs there where this user may mount, else a shim before the program.
"""

from __future__ import annotations

import datetime as dt
import os
import random
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

from checks import Failure, eventually, need, run
from readers import KEYS, TABLES, compare, export, from_columns, from_text, read_duckdb_delta_scan

UPLOADS, PAUSE_SECONDS = 80, 0.25
KILLED_AFTER_SECONDS = (0.3, 4.0)  # from a start to the next kill
FULL_SECONDS = (6.0, 14.0)  # from the first start: while the archive has no space
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


def observe(service: Service, staging: Path) -> Seen:
    """Feeds and reads until every reader has seen everything."""
    home, seen = service.home, Seen()
    jobs: dict[str, Callable[[], None]] = {"SQLite": lambda: read_sqlite(home, seen)}
    for reader in READERS:
        for table in TABLES:
            jobs[f"{reader} {table}"] = lambda r=reader, t=table: read_archive(r, t, home, seen)
    threads = [threading.Thread(target=loop, args=(name, job, seen)) for name, job in jobs.items()]
    for thread in threads:
        thread.start()
    try:
        feeding = threading.Thread(target=feed, args=(home, staging))
        feeding.start()
        while feeding.is_alive():
            service.disturb()
            time.sleep(0.02)
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while seen.complete != set(jobs) and not seen.errors:
            if service.disturbed():
                service.disturb()
            elif service.process.poll() is not None:
                raise Failure(f"the service ended with {service.process.returncode}")
            if time.monotonic() > deadline:
                raise Failure(f"not seen whole after {CATCH_UP_SECONDS} s: {sorted(set(jobs) - seen.complete)}")
            time.sleep(0.05)
    finally:
        seen.stop.set()
        for thread in threads:
            thread.join()
    return seen


class Service:
    """`run` over a home; where a seed is given, killed and started again, with an archive that is full for a while."""

    def __init__(self, binary: str, scratch: Path, seed: int | None) -> None:
        self.binary, self.home, self.log = binary, scratch / "home", scratch / "log"
        self.random = random.Random(seed)
        self.kills, self.filler, self.mounted = 0, None, False
        self.killed = seed is not None
        archive, self.switch = self.home / "archive", scratch / "full"
        if self.killed:
            archive.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "greenstream-test", str(archive)]
            self.mounted = subprocess.run(mount, capture_output=True).returncode == 0
            self.shim = None if self.mounted else shim(scratch)
        self.start()
        # readers want a database that is there
        eventually(self.listens, "the service listens", 30)
        self.began = time.monotonic()

    def start(self) -> None:
        environment = dict(os.environ)
        if self.killed and self.shim:
            environment |= {
                "LD_PRELOAD": str(self.shim), "IO_FAULT_UNDER": str((self.home / "archive").resolve()),
                "IO_FAULT_KIND": "full", "IO_FAULT_FOREVER": "1", "IO_FAULT_WHILE": str(self.switch),
            }  # fmt: skip
        with self.log.open("ab") as log:
            command = [self.binary, "--home", str(self.home), "run"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.next_kill = time.monotonic() + self.random.uniform(*KILLED_AFTER_SECONDS)

    def listens(self) -> bool:
        need(self.process.poll() is None, f"the service ended with {self.process.returncode}")
        return b"pages:" in self.log.read_bytes()

    def disturbed(self) -> bool:
        """Whether there is more to come: an archive that is full must have space again."""
        return self.killed and self.filler != "freed"

    def disturb(self) -> None:
        if not self.killed:
            return
        now = time.monotonic()
        if self.filler is None and now > self.began + FULL_SECONDS[0]:
            self.fill()
        elif self.filler not in (None, "freed") and now > self.began + FULL_SECONDS[1]:
            self.filler.unlink()
            self.filler = "freed"
        if now > self.next_kill:
            self.process.kill()
            self.process.wait()
            self.kills += 1
            self.start()

    def fill(self) -> None:
        if not self.mounted:
            self.filler = self.switch
            self.filler.touch()
            return
        self.filler = self.home / "archive" / ".filler"
        with self.filler.open("wb", buffering=0) as filler:
            for size in (1 << 16, 1 << 10, 1):
                try:
                    while filler.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.home / "archive")], check=False)


def shim(scratch: Path) -> Path:
    source = Path(__file__).parents[2] / "crates/greenstream/tests/faults/shim.c"
    target = scratch / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(target), str(source), "-ldl"], check=True)
    return target


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


def check(binary: str, seed: int | None) -> str:
    with tempfile.TemporaryDirectory(prefix="greenstream-running-") as folder:
        scratch = Path(folder)
        home, staging = scratch / "home", scratch / "staging"
        staging.mkdir()
        (home / "inbox").mkdir(parents=True)
        # often, so that readers meet many snapshots
        (home / "greenstream.toml").write_text("[archive]\nlag_seconds = 1\n[serve]\nlisten = '127.0.0.1:0'\n")
        service = Service(binary, scratch, seed)
        try:
            seen = observe(service, staging)
            service.process.send_signal(signal.SIGTERM)
            if service.process.wait(60) != 0:
                raise Failure(f"the service ends with {service.process.returncode} on SIGTERM")
            if seen.errors:
                raise Failure("\n".join(seen.errors))
            prefixes = check_snapshots(binary, home, seen)
            run(binary, home, "verify")
            run(binary, home, "rebuild", "--check")
            if service.killed and "the archive cannot be written" not in service.log.read_text():
                raise Failure("the archive was never found to be full")
        except Failure as failure:
            raise Failure(f"{failure}\nlog:\n{service.log.read_text()[-2000:]}") from None
        finally:
            service.close()
    kills = f"; killed {service.kills} times, seed {seed}" if service.killed else ""
    return f"{sum(seen.reads.values())} reads, {len(seen.snapshots)} snapshots, {prefixes} different ones, all whole{kills}"


def main() -> int:
    match sys.argv[1:]:
        case [binary]:
            seed = None
        case [binary, "--killed"]:
            seed = random.SystemRandom().randrange(1 << 16)
        case [binary, "--killed", text]:
            seed = int(text)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    try:
        print(f"readers while running: {check(binary, seed)}")
    except Failure as failure:
        print(f"readers while running (seed {seed}): {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
