#!/usr/bin/env python3
"""What GreenStream promises to be fast at, one part at a time. Nothing but the release binary is needed:

    cargo build --release
    bench/targets.py [--meters 50000] [--days 30] [PART...]

Parts, in this order unless some are named:

    day      one day of hourly uploads into an empty home
    rebuild  the same home again from its landing zone, beside its first ingest
    tiny     a file for each meter and day: 20,000 uploads of 96 rows
    late     a week, and then the week before it, beside the two in order
    month    DAYS days in one ingest, beside a third of them: seconds a day, and memory
    visible  one tiny upload dropped into the inbox of that month's home while `run` serves it
    verify   10,000 uploads of 100 KB, every one hashed and decoded again (the target is a minute)

Data and homes are kept in target/bench (about 600 MB a day of 50,000 meters) until the next start.
Compare figures of one run only: they depend on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("GREENSTREAM", ROOT / "target/release/greenstream"))
WORK = ROOT / "target/bench"
START = date(2026, 3, 2)
PARTS = ["day", "rebuild", "tiny", "late", "month", "visible", "verify"]


def simulated(name: str, meters: int, start: date, days: int, layout: str = "hourly") -> list[Path]:
    """The uploads of a plan, made once, in landing order, and read once so that they are in the page cache."""
    out = WORK / f"{name}-{meters}x{days}"
    if not out.is_dir():
        run(["simulate", "--meters", meters, "--days", days, "--start", start, "--layout", layout, "--out", out])
    files = sorted(out.iterdir())
    for file in files[:800]:
        file.read_bytes()
    return files


def run(arguments: list[object], threads: Counter[str] | None = None) -> tuple[float, float]:
    """Runs the program: (seconds, peak memory in MB). `threads` takes the processor seconds by a thread's name."""
    began = time.perf_counter()
    process = subprocess.Popen([BINARY, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if threads is not None:
        threading.Thread(target=watch, args=(process.pid, threads), daemon=True).start()
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 65):
        sys.exit(f"{arguments}: exit {process.returncode}\n{told.decode()}")
    return seconds, usage.ru_maxrss / 1024


def watch(process: int, threads: Counter[str]) -> None:
    """Adds up what the threads of a process have used when they were last seen, to some hundredths of a second each."""
    seen = {}
    tick = os.sysconf("SC_CLK_TCK")
    while True:
        found = list(Path(f"/proc/{process}/task").glob("*/stat"))
        for stat in found:
            with contextlib.suppress(OSError):
                name, rest = stat.read_text().rsplit(") ", 1)
                name, fields = name.split("(", 1)[1], rest.split()
                seen[stat.parent.name, name] = (int(fields[11]) + int(fields[12])) / tick
        if not found:
            break
        # only now, so that whoever reads it while the process runs sees a whole
        totals = Counter()
        for (_, name), seconds in seen.items():
            totals[name] += seconds
        threads.clear()
        threads.update(totals)
        time.sleep(0.02)


def home(name: str) -> Path:
    folder = WORK / f"home-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def ingest(folder: Path, files: list[Path]) -> tuple[float, float]:
    """Ingests files in one command, by their folder where they are all of it."""
    whole = files == sorted(files[0].parent.iterdir())
    return run(["--home", folder, "ingest", *([files[0].parent] if whole else files)])


def rows(folder: Path) -> int:
    with sqlite3.connect(f"file:{folder}/greenstream.db?mode=ro", uri=True) as db:
        return db.execute("SELECT sum(rows) FROM uploads").fetchone()[0]


def tell(part: str, text: str) -> None:
    print(f"{part:8} {text}", flush=True)


def day(meters: int) -> tuple[Path, float]:
    folder, files = home("day"), simulated("day", meters, START, 1)
    seconds, peak = ingest(folder, files)
    tell("day", f"{rows(folder):,} rows in {seconds:.2f} s, {rows(folder) / seconds:,.0f} rows/s, peak {peak:.0f} MB")
    return folder, seconds


def rebuild(folder: Path, first: float) -> None:
    seconds, peak = run(["--home", folder, "rebuild"])
    tell("rebuild", f"{seconds:.2f} s, {seconds / first:.2f} of its first ingest, peak {peak:.0f} MB")


def tiny(meters: int) -> None:
    folder, files = home("tiny"), simulated("tiny", min(meters, 20_000), START, 1, "tiny")
    seconds, peak = ingest(folder, files)
    tell("tiny", f"{len(files):,} uploads in {seconds:.2f} s, {len(files) / seconds:,.0f} uploads/s, peak {peak:.0f} MB")


def late(meters: int, days: int) -> None:
    both = simulated("weeks", meters, START, 2 * days)
    border = (START + timedelta(days=days)).isoformat()
    earlier = [file for file in both if file.name < border]
    later = [file for file in both if file.name >= border]
    ordered = home("ordered")
    in_order = [ingest(ordered, files)[0] for files in (earlier, later)]
    shutil.rmtree(ordered)
    turned = home("turned")
    out_of_order = [ingest(turned, files) for files in (later, earlier)]
    ratio = sum(seconds for seconds, _ in out_of_order) / sum(in_order)
    alone = out_of_order[1][0] / in_order[0]
    peak = max(peak for _, peak in out_of_order)
    shutil.rmtree(turned)
    tell("late", f"{days} days, then the {days} before them: {ratio:.2f} of the time in order, the late part "
         f"{alone:.2f} ({out_of_order[1][0]:.1f} s for {in_order[0]:.1f} s), peak {peak:.0f} MB")


def month(meters: int, days: int) -> Path:
    files = simulated("month", meters, START, days)
    third = (START + timedelta(days=days // 3)).isoformat()
    part = home("third")
    short, short_peak = ingest(part, [file for file in files if file.name < third])
    shutil.rmtree(part)
    folder = home("month")
    long, long_peak = ingest(folder, files)
    tell("month", f"{rows(folder):,} rows of {days} days in {long:.1f} s, {rows(folder) / long:,.0f} rows/s; a day takes "
         f"{long / days:.2f} s, {long / days / (short / (days // 3)):.2f} of what it takes in {days // 3} days; "
         f"peak {long_peak:.0f} MB ({short_peak:.0f} MB)")
    return folder


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[None]:
    """`run` over a home, for the block."""
    with socket.socket() as free, open(WORK / "run.log", "w") as log:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        service = subprocess.Popen([BINARY, "--home", folder, "run", "--listen", listen], stdout=log, stderr=log)
        try:
            yield
        finally:
            service.terminate()
            service.wait()


def visible(folder: Path, days: int, times: int = 20) -> None:
    with serving(folder):
        db = sqlite3.connect(f"file:{folder}/greenstream.db?mode=ro", uri=True)
        (meter,) = db.execute("SELECT max(meter_id) FROM newest WHERE kw > 0").fetchone()
        taken = [dropped(folder, db, meter, START + timedelta(days=days + number), number) for number in range(times + 2)]
    taken = taken[2:]  # the first find the service starting
    tell("visible", f"one upload of 96 rows is seen after {median(taken):.0f} ms, at most {max(taken):.0f} ms, of {times}")


def verify() -> None:
    # days that have been: rows of the future are refused
    folder, files = home("verify"), simulated("verify", 600, START - timedelta(days=365), 385)
    ingest(folder, files)
    seconds, peak = run(["--home", folder, "verify"])
    size = sum(file.stat().st_size for file in files)
    tell("verify", f"{len(files):,} uploads of {size / len(files) / 1000:.0f} KB, {rows(folder):,} rows in {seconds:.1f} s, "
         f"peak {peak:.0f} MB")
    if seconds > 60:
        sys.exit("more than a minute")


def dropped(folder: Path, db: sqlite3.Connection, meter: str, at: date, number: int) -> float:
    """Renames a day of one meter into the inbox: milliseconds until its last reading is in the view."""
    name = f"tiny-{number}.csv"
    lines = [f"{meter},{at}T{slot // 4:02}:{slot % 4 * 15:02}:00Z,{0.2 + slot % 7 / 10:.1f},kW" for slot in range(96)]
    unfinished = folder / name
    unfinished.write_text("meter_id,timestamp,energy_value,energy_unit\n" + "\n".join(lines) + "\n")
    began = time.perf_counter()
    unfinished.rename(folder / "inbox" / name)
    seen = "SELECT count(*) FROM readings WHERE meter_id = ? AND date = ?"
    while db.execute(seen, (meter, at.isoformat())).fetchone()[0] < 96:
        if time.perf_counter() - began > 60:
            sys.exit(f"{name} is not visible after a minute; see {WORK}/run.log")
        time.sleep(0.002)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--meters", type=int, default=50_000)
    given.add_argument("--days", type=int, default=30)
    given.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    args = given.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown or not BINARY.exists():
        given.error(f"no such part: {', '.join(unknown)}" if unknown else f"no {BINARY}: cargo build --release")
    wanted = set(args.parts or PARTS)
    WORK.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {args.meters:,} meters at 15 minutes")
    if wanted & {"day", "rebuild"}:
        folder, first = day(args.meters)
        if "rebuild" in wanted:
            rebuild(folder, first)
    if "tiny" in wanted:
        tiny(args.meters)
    if "late" in wanted:
        late(args.meters, max(1, args.days // 4))
    if wanted & {"month", "visible"}:
        folder = month(args.meters, args.days) if "month" in wanted else WORK / "home-month"
        if "visible" in wanted:
            visible(folder, args.days)
    if "verify" in wanted:
        verify()


if __name__ == "__main__":
    main()
