"""Landing zone and archive in buckets: the same state as in folders, whatever happens to requests.

    python objects.py BINARY [--long]

BINARY is built with `--features s3,azure`. Against moto (S3, with versions and Object Lock) and Azurite (Azure Blob
Storage), through a proxy that loses, refuses, cuts and resets (proxy.py):

- one request in five fails while the service takes uploads, then the store is away for a while (with `--long` for two
  minutes): nothing is lost, doubled or dead-lettered, and each outage is told once;
- answers of puts are lost and bodies are cut, also of an upload in parts;
- the same on Azure;
- two processes land in one bucket at the same time;
- replaced files of the archive go while the service runs, and one with nothing to do asks nothing of it;
- `verify` names every deletion, swap and addition in the bucket; `rebuild --check` finds no difference;
- deltalake and Polars read the archive over S3.

After each, every dataset is what a home with folders has of the same uploads.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import deltalake
import pandas as pd
import polars as pl

from checks import Failure, eventually, run, running, serve, tests
from proxy import Flaky, Proxy, sound
from readers import KEYS, TABLES, compare, export, from_columns, from_text
from servers import AWS_KEYS, AZURE_ACCOUNT, AZURE_KEYS, Aws, azure

SMALL = (40, 5)  # meters of an upload, digits of their names
LARGE = (100_000, 63)  # more than a part of 8 MiB, in few rows for what is compared afterwards
FAULTS = ["slow_down", "unavailable", "reset", "unanswered", "cut"]
QUIET = {"landed_at", "at", "processed_at"}  # when something happened is not the same twice
SETTLE_SECONDS = 120


def upload(number: int, size: tuple[int, int]) -> str:
    """Some meters at one instant; one more meter below zero, for the error queue."""
    at = dt.datetime(2026, 3, 2) + dt.timedelta(minutes=15 * number)
    (meters, digits), when = size, f"{at:%Y-%m-%dT%H:%M:%SZ}"
    lines = [f"M{meter:0{digits}},{when},{1 + meter % 3},kW" for meter in range(meters)]
    return "\n".join(["meter_id,timestamp,energy_value,energy_unit", *lines, f"N,{when},-1,kW", ""])


def files(folder: Path, numbers: range, size: tuple[int, int] = SMALL) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"upload-{number:04}.csv" for number in numbers]
    for number, path in zip(numbers, paths):
        path.write_text(upload(number, size))
    return paths


def home_in(folder: Path, url: str, endpoint: str, seconds: int = 30, lock_days: int | None = None) -> Path:
    """A home whose landing zone and archive are below a URL, and which gives a request up after some seconds."""
    folder.mkdir(parents=True)
    lock = f"object_lock_days = {lock_days}\n" if lock_days else ""
    (folder / "greenstream.toml").write_text(
        f'[landing]\nurl = "{url}/landing"\n{lock}\n[archive]\nurl = "{url}/archive"\nlag_seconds = 2\n\n'
        f'[objects]\nendpoint = "{endpoint}"\nrequest_seconds = {seconds}\nretries_max = 20\n'
    )
    return folder


def state(binary: str, home: Path) -> dict[str, pd.DataFrame]:
    """Every dataset that is a function of the landing zone, without what differs from one time to the next."""
    names = ["readings", "error-queue", "superseded", "uploads"]
    return {name: (frame := export(binary, home, name)).drop(columns=QUIET & set(frame)) for name in names}


def same(what: str, have: dict[str, pd.DataFrame], want: dict[str, pd.DataFrame], numbered: bool = True) -> None:
    """Compares two states; uploads that may have landed in another order have other numbers."""
    for name, wanted in want.items():
        found = have[name]
        if not numbered:
            numbers = {"upload", "entry", "sequence"} & set(wanted)
            found, wanted = found.drop(columns=numbers), wanted.drop(columns=numbers)
        columns = list(wanted)
        found = found[columns].sort_values(columns, ignore_index=True)
        wanted = wanted.sort_values(columns, ignore_index=True)
        if not found.equals(wanted):
            raise Failure(f"{what}: {name} is not the same\nhas\n{found.head()}\nnot\n{wanted.head()}")


def reference(binary: str, folder: Path, numbers: range) -> dict[str, pd.DataFrame]:
    """The state of the same uploads in a home with folders."""
    home = folder / "reference"
    run(binary, home, "ingest", *files(folder / "reference-files", numbers))
    return state(binary, home)


def sound_home(binary: str, home: Path) -> None:
    """Every part agrees with every other, and a rebuild comes to the same."""
    run(binary, home, "verify")
    run(binary, home, "rebuild", "--check")


def drop(home: Path, paths: list[Path], pause: float = 0.05) -> None:
    for path in paths:
        path.rename(home / "inbox" / path.name)
        time.sleep(pause)


def is_empty(home: Path) -> bool:
    return not any((home / "inbox").iterdir())


def alerts(binary: str, home: Path) -> list[str]:
    found = export(binary, home, "alerts")
    return sorted(found["kind"])


def faults_and_an_outage(binary: str, aws: Aws, away_seconds: float, folder: Path, proxy: Proxy) -> str:
    home = home_in(folder / "home", "s3://meters/a", proxy.url, seconds=4, lock_days=1)
    staging = files(folder / "files", range(60))
    run(binary, home, "ingest", *staging[:5])
    with serve(binary, home):
        proxy.plan = Flaky(0.2, FAULTS, seed=1)
        drop(home, staging[5:35])
        eventually(lambda: is_empty(home), "landing while one request in five fails", SETTLE_SECONDS)
        proxy.plan = lambda *_: "away"
        drop(home, staging[35:], pause=away_seconds / 25)
        proxy.plan = sound
        back = time.monotonic()
        eventually(lambda: is_empty(home), "landing after the outage", 40)
        seconds = time.monotonic() - back
        eventually(lambda: is_over(binary, home), "every outage is over", 40)
    told = alerts(binary, home)
    outages = [kind for kind in told if kind.startswith("outage")]
    # the archive has one of its own where it was due meanwhile
    if outages not in (["outage", "outage_over"], ["outage", "outage", "outage_over", "outage_over"]):
        raise Failure(f"the outage was told by {told}")
    same("after faults and an outage", state(binary, home), reference(binary, folder, range(60)), numbered=False)
    sound_home(binary, home)
    locked(aws)
    damaged(binary, home, aws)
    read_by_others(binary, home, aws)
    return f"{sum(proxy.counts.values())} requests, {dict(proxy.counts)}; landed {seconds:.0f} s after {away_seconds:.0f} s away"


def is_over(binary: str, home: Path) -> bool:
    told = alerts(binary, home)
    return told.count("outage") == told.count("outage_over")


def locked(aws: Aws) -> None:
    """Everything that has landed is locked for a day, and nothing of the archive is."""
    for key in aws.keys("meters", "a/"):
        mode = aws.s3.head_object(Bucket="meters", Key=key).get("ObjectLockMode")
        if (mode == "COMPLIANCE") != key.startswith("a/landing/"):
            raise Failure(f"{key}: Object Lock is {mode}")


def damaged(binary: str, home: Path, aws: Aws) -> None:
    """What somebody with every right does to the bucket is found, and gone with the version that did it."""
    client = aws.s3
    keys, segments = aws.keys("meters", "a/landing/objects/"), aws.keys("meters", "a/landing/journal/")
    put = lambda key, body: aws.put("meters", key, body)["VersionId"]  # noqa: E731
    damages = {
        "is missing": (keys[0], lambda key: client.delete_object(Bucket="meters", Key=key)["VersionId"]),
        "does not hold the bytes": (
            keys[1],
            lambda key: put(key, b"x" * client.head_object(Bucket="meters", Key=key)["ContentLength"]),
        ),
        "is named by no journal entry": ("a/landing/objects/ab/stray", lambda key: put(key, b"x")),
        "are missing before": (
            segments[1],
            lambda key: client.delete_object(Bucket="meters", Key=key)["VersionId"],
        ),
    }
    for words, (key, damage) in damages.items():
        version = damage(key)
        found = run(binary, home, "verify", status=1)
        if words not in found.stdout + found.stderr:
            raise Failure(f"verify does not say {words!r} of {key}:\n{found.stdout[-2000:]}")
        client.delete_object(Bucket="meters", Key=key, VersionId=version)
    run(binary, home, "verify")


def read_by_others(binary: str, home: Path, aws: Aws) -> None:
    options = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_ALLOW_HTTP": "true", **AWS_KEYS}
    for table, dataset in TABLES.items():
        want = from_text(export(binary, home, dataset))
        url = f"s3://meters/a/archive/{table}"
        frame = deltalake.DeltaTable(url, storage_options=options).to_pandas()
        compare(f"{table} by deltalake over S3", from_columns(frame), want, KEYS[table])
        frame = pl.scan_delta(url, storage_options=options).collect().to_pandas()
        compare(f"{table} by Polars over S3", from_columns(frame), want, KEYS[table])


def lost_answers_and_cut_bodies(binary: str, folder: Path, proxy: Proxy) -> str:
    """A third of all puts lose their answer and a third of all bodies are cut; one upload goes in parts."""
    home = home_in(folder / "home", "s3://meters/b", proxy.url)
    proxy.plan = Flaky(0.3, ["unanswered", "cut"], seed=2)
    run(binary, home, "ingest", *files(folder / "files", range(3), LARGE), *files(folder / "files", range(3, 12)))
    sound_home(binary, home)
    proxy.plan = sound
    parts = sum(method == "PUT" and "partNumber" in path for method, path in proxy.requests)
    if parts < 6:
        raise Failure(f"{parts} parts were put: the large uploads were not large enough")
    want = folder / "reference"
    run(binary, want, "ingest", *files(folder / "r", range(3), LARGE), *files(folder / "r", range(3, 12)))
    same("after lost answers and cut bodies", state(binary, home), state(binary, want))
    return f"{dict(proxy.counts)}, {parts} parts"


def two_processes(binary: str, folder: Path, proxy: Proxy) -> str:
    """Two homes, each with a database of its own, land in one bucket at the same time."""
    proxy.plan = Flaky(0.05, FAULTS, seed=3)
    homes = []
    for name in ("one", "two"):
        home = home_in(folder / name, "s3://meters/c", proxy.url)
        config = home / "greenstream.toml"
        # an archive belongs to one database
        config.write_text(config.read_text().replace('c/archive"', f'c/archive-{name}"'))
        homes.append(home)
    run(binary, homes[0], "ingest", *files(folder / "first", range(1)))
    halves = [files(folder / "one-files", range(1, 21)), files(folder / "two-files", range(15, 35))]
    commands = [[binary, "--home", str(h), "ingest", *map(str, half)] for h, half in zip(homes, halves)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with contextlib.ExitStack() as block:
        for process in [block.enter_context(running(command, **pipes)) for command in commands]:
            out, _ = process.communicate(timeout=SETTLE_SECONDS)
            if process.returncode:
                raise Failure(f"ingest beside another exits with {process.returncode}:\n{out[-2000:]}")
    proxy.plan = sound
    for home in homes:  # known bytes land nothing, and what the other has landed is processed
        run(binary, home, "ingest", *files(folder / "again", range(1)))
        run(binary, home, "verify")
    states = [state(binary, home) for home in homes]
    same("two processes", states[0], states[1])
    same("two processes", states[0], reference(binary, folder, range(35)), numbered=False)
    return f"{len(states[0]['uploads'])} uploads of two processes"


def on_azure(binary: str, away_seconds: float, folder: Path, proxy: Proxy) -> str:
    home = home_in(folder / "home", "az://meters/a", f"{proxy.url}/{AZURE_ACCOUNT}", seconds=4)
    proxy.plan = Flaky(0.2, FAULTS, seed=4)
    run(binary, home, "ingest", *files(folder / "files", range(8)), *files(folder / "files", range(8, 10), LARGE))
    with serve(binary, home):
        proxy.plan = lambda *_: "away"
        drop(home, files(folder / "late", range(10, 14)), pause=away_seconds / 4)
        proxy.plan = Flaky(0.2, FAULTS, seed=5)
        eventually(lambda: is_empty(home), "landing after the outage", 60)
        eventually(lambda: is_over(binary, home), "every outage is over", 60)
        proxy.plan = sound
    sound_home(binary, home)
    other, late = folder / "reference", files(folder / "r", range(10, 14))
    run(binary, other, "ingest", *files(folder / "r", range(8)), *files(folder / "r", range(8, 10), LARGE), *late)
    want = state(binary, other)
    same("on Azure", state(binary, home), want, numbered=False)
    run(binary, home, "rebuild")
    same("rebuilt on Azure", state(binary, home), want, numbered=False)
    run(binary, home, "verify")
    return f"{dict(proxy.counts)}"


def tidied_and_quiet(binary: str, aws: Aws, folder: Path, proxy: Proxy) -> str:
    home = home_in(folder / "home", "s3://meters/d", proxy.url)
    config = home / "greenstream.toml"
    config.write_text(config.read_text().replace("lag_seconds = 2", "lag_seconds = 1\nretention_seconds = 2"))

    # whose only file is written anew by each of the uploads; those of the readings stay beside each other
    def data_files() -> int:
        return sum("/date=" in key for key in aws.keys("meters", "d/archive/error_queue/"))

    def written() -> int:
        return sum(key.endswith(".json") for key in aws.keys("meters", "d/archive/readings/_delta_log/"))

    with serve(binary, home):
        for number in range(3):
            before = written()
            drop(home, files(folder / "files", range(number, number + 1)))
            eventually(lambda: written() > before, "the archive is written", 20)
        eventually(lambda: data_files() == 1, "replaced files are removed", 20)
        time.sleep(5)  # the last look
        asked = len(proxy.requests)
        time.sleep(5)
        quiet = proxy.requests[asked:]
        if quiet:
            raise Failure(f"a service with nothing to do asks {quiet}")
    run(binary, home, "verify")
    return f"{asked} requests, and none in five seconds with nothing to do"


def through_proxy(test: Callable[[Path, Proxy], str], server: str) -> Callable[[Path], str]:
    def through(folder: Path) -> str:
        proxy = Proxy(server)
        with contextlib.closing(proxy):
            return test(folder, proxy)

    return through


def main() -> int:
    binary, is_long = str(Path(sys.argv[1]).resolve()), "--long" in sys.argv[2:]
    os.environ |= AWS_KEYS | AZURE_KEYS
    with Aws.start() as aws, azure("meters") as blobs:
        aws.bucket("meters", locks=True)
        cases = {
            "faults and an outage": (partial(faults_and_an_outage, binary, aws, 120.0 if is_long else 15.0), aws.endpoint),
            # while that waits for the outage to end
            "Azure": (partial(on_azure, binary, 120.0 if is_long else 6.0), blobs),
            "tidied and quiet": (partial(tidied_and_quiet, binary, aws), aws.endpoint),
            "lost answers": (partial(lost_answers_and_cut_bodies, binary), aws.endpoint),
            "two processes": (partial(two_processes, binary), aws.endpoint),
        }
        return tests({name: through_proxy(*case) for name, case in cases.items()}, at_once=2)


if __name__ == "__main__":
    sys.exit(main())
