"""Simulated uploads with every known defect through the real binary, against the model: every cell of every dataset.

    python simulated.py BINARY [SEED]

Then the database and both archive tables by all readers against the exports, as after a golden.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import default_feed
from checks import Failure, need, run
from readers import check_stores, check_table, export

METERS, DAYS = 60, 3  # two days after the first, for what takes more than one: outliers, readings near zero
SEED = 4  # has something for every rule and reason


def check(binary: str, seed: int, scratch: Path) -> list[str]:
    home, uploads = scratch / "home", scratch / "uploads"
    run(binary, home, "simulate", "--meters", METERS, "--days", DAYS, "--seed", seed, "--out", uploads)
    want = default_feed.expect(sorted(uploads.glob("*.csv")))
    need(all(want.values()), f"nothing of a dataset: { {dataset: len(rows) for dataset, rows in want.items()} }")
    run(binary, home, "ingest", uploads)
    done = []
    for dataset, rows in want.items():
        have = export(binary, home, dataset)
        check_table(have, rows, dataset, [c for c in have if c not in ("raw", "status")])
        done.append(f"{dataset}: {len(rows)} rows")
    return done + check_stores(binary, home)


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    seed = int(sys.argv[2]) if len(sys.argv) == 3 else SEED
    try:
        with tempfile.TemporaryDirectory(prefix="greenstream-simulated-") as scratch:
            done = check(sys.argv[1], seed, Path(scratch))
    except Failure as failure:
        print(f"simulated, seed {seed}: {failure}")
        return 1
    print(f"simulated: no row differs from the model; {', '.join(done)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
