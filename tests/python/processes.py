"""Four processes on one PostgreSQL database and one bucket: one works, the others stand by, and none loses or doubles a row.

    processes.py BINARY

Each process has a home and an inbox of its own; landing zone, database and archive are the same. Uploads come into all
inboxes, some of them into two. Whoever works is killed again and again, and comes back to stand by.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from checks import eventually, need, run, tests
from servers import AWS_KEYS, Aws, postgresql
from triggers import configure, readings, reference, toml, upload

PROCESSES = 4
UPLOADS = 120
KILLS = 8
SECONDS = 240.0


def start(binary: str, home: Path) -> subprocess.Popen:
    with open(home.with_name(f"{home.name}.log"), "ab") as log:
        command = [binary, "--home", str(home), "run", "--listen", "127.0.0.1:0"]
        return subprocess.Popen(command, stdout=log, stderr=log)


def four_on_one_database(binary: str, folder: Path) -> str:
    os.environ.update(AWS_KEYS)
    order = random.Random(1)
    with Aws.start() as aws, postgresql() as url:
        bucket = aws.bucket("meters", locks=True)
        places = f"""
[landing]
url = "s3://{bucket}/landing"

[archive]
url = "s3://{bucket}/archive"
lag_seconds = 1

[store]
url = "{url}?schema=four"
"""
        homes = [folder / f"home-{number}" for number in range(PROCESSES)]
        for home in homes:
            text = toml(aws, bucket) + places
            configure(home, text[: text.index("[inbox]")] + text[text.index("[landing]") :])
        services = {home: start(binary, home) for home in homes}
        contents = [upload(number) for number in range(UPLOADS)]
        killed = 0
        try:
            eventually(lambda: any((home / "inbox").is_dir() for home in homes), "one of them works")
            for number, content in enumerate(contents):
                for home in order.sample(homes, 2 if number % 10 == 0 else 1):
                    (home / "inbox").mkdir(exist_ok=True)
                    part = home / f"{number}.part"
                    part.write_bytes(content)
                    part.rename(home / "inbox" / f"{number:04}.csv")
                time.sleep(0.02)

            def left() -> list[Path]:
                return [file for home in homes for file in (home / "inbox").iterdir() if file.suffix == ".csv"]

            until = time.monotonic() + SECONDS
            while left() or killed < KILLS:
                need(time.monotonic() < until, f"{len(left())} files wait after {SECONDS:.0f} s and {killed} kills")
                # whose files go, works; the others only wait
                before = {home: len(list((home / "inbox").iterdir())) for home in homes}
                time.sleep(order.uniform(0.2, 1.5))
                working = [home for home in homes if len(list((home / "inbox").iterdir())) < before[home]]
                for home in working or order.sample(homes, 1):
                    services[home].kill()
                    services[home].wait()
                    killed += 1
                    services[home] = start(binary, home)
                for home, service in services.items():
                    need(service.poll() is None, f"{home.name} has ended: {home.with_name(home.name + '.log').read_text()[-2000:]}")
        finally:
            for service in services.values():
                service.terminate()
            for service in services.values():
                service.wait(60)
        home = homes[0]
        run(binary, home, "ingest", homes[0] / "inbox")
        rows = list(csv.DictReader(run(binary, home, "export", "uploads", "--format", "csv").stdout.splitlines()))
        need(len(rows) == UPLOADS, f"{len(rows)} uploads of {UPLOADS}")
        need({row["status"] for row in rows} == {"done"}, rows)
        need(readings(binary, home) == reference(binary, folder, contents), "the readings differ")
        run(binary, home, "verify")
        run(binary, home, "rebuild", "--check")
        return f"{UPLOADS} uploads, {killed} kills"


if __name__ == "__main__":
    sys.exit(tests({test.__name__: partial(test, *sys.argv[1:2]) for test in [four_on_one_database]}))
