"""A folder of default-feed uploads through the real binary, against the model: every cell of every dataset.

    python simulated.py BINARY FOLDER      for example what `greenstream simulate --out FOLDER` wrote
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import default_feed
from checks import Failure, run
from readers import check_stores, check_table, export


def check(binary: str, folder: Path) -> list[str]:
    uploads = sorted(folder.glob("*.csv"))
    if not uploads:
        raise Failure(f"{folder}: no uploads")
    want = default_feed.expect(uploads)
    with tempfile.TemporaryDirectory(prefix="greenstream-simulated-") as scratch:
        home = Path(scratch)
        run(binary, home, "ingest", folder)
        done = []
        for dataset, rows in want.items():
            have = export(binary, home, dataset)
            check_table(have, rows, dataset, [c for c in have if c not in ("raw", "status")])
            done.append(f"{dataset}: {len(rows)} rows")
        return done + check_stores(binary, home)


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        done = check(sys.argv[1], Path(sys.argv[2]))
    except Failure as failure:
        print(f"simulated: {failure}")
        return 1
    print(f"simulated: no row differs from the model; {', '.join(done)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
