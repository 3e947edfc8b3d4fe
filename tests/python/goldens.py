"""The golden cases with the real binary, and what it stored for them with the real readers.

    python goldens.py BINARY

For each folder of testdata/golden: judges its uploads with the model (model.py); ingests them in order, compares the
exported datasets with the golden's columns, and the database's views and both archive tables (deltalake, Polars, DuckDB,
pandas) with the exports. The database is a file of the home, or on the server that GREENSTREAM_TEST_STORE_URL names.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import default_feed
from checks import Failure, need, run
from readers import check_stores, configure, export

GOLDEN = Path(__file__).resolve().parents[2] / "testdata" / "golden"
DATASETS = {"readings": "readings", "error_queue": "error-queue", "superseded": "superseded"}


def check_dataset(binary: str, home: Path, folder: Path, name: str) -> None:
    """The golden's columns of one dataset, cell by cell and in order."""
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        columns, *want = csv.reader(file)
    exported = export(binary, home, DATASETS[name])
    lacking = [c for c in columns if c not in exported]
    if lacking:
        raise Failure(f"{name}: no columns {lacking}; there are {list(exported)}")
    have = exported[columns].values.tolist()
    for line, (h, w) in enumerate(zip(have, want), 2):
        if h != w:
            raise Failure(f"{name}.csv line {line}: has {','.join(h)}, not {','.join(w)}")
    if len(have) != len(want):
        more = (have + want)[min(len(have), len(want)):][0]
        raise Failure(f"{name}: {len(have)} rows, not {len(want)}; the first one over: {','.join(more)}")


def check_accounting(binary: str, home: Path) -> None:
    """rows = stored + quarantined + superseded, for each upload, against the rows of the datasets."""
    uploads = export(binary, home, "uploads")
    counted = {
        column: export(binary, home, dataset)["upload"].value_counts()
        for column, dataset in (("stored", "readings"), ("quarantined", "error-queue"), ("superseded", "superseded"))
    }
    for upload in uploads.itertuples():
        parts = {c: int(counts.get(upload.upload, 0)) for c, counts in counted.items()}
        told = {c: int(getattr(upload, c)) for c in parts}
        if told != parts or int(upload.rows) != sum(parts.values()):
            raise Failure(f"upload {upload.upload}: tells {upload.rows} rows, {told}; the datasets hold {parts}")


def check_golden(binary: str, folder: Path) -> int:
    """All checks of one folder; how many there were."""
    differs = default_feed.check_golden(folder)
    need(not differs, "\n".join(differs))
    uploads = sorted(folder.glob("upload-*.csv"), key=lambda path: int(path.stem.removeprefix("upload-")))
    arguments = (folder / "ARGS").read_text().split() if (folder / "ARGS").exists() else []
    with tempfile.TemporaryDirectory(prefix="greenstream-golden-") as scratch:
        home = Path(scratch)
        configure(home)
        run(binary, home, "ingest", *arguments, *uploads)
        for name in DATASETS:
            check_dataset(binary, home, folder, name)
        check_accounting(binary, home)
        return 2 * len(DATASETS) + 1 + len(check_stores(binary, home))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folders = sorted(path for path in GOLDEN.iterdir() if path.is_dir())
    checks, failed = 0, 0
    for folder in folders:
        try:
            checks += check_golden(sys.argv[1], folder)
        except Failure as failure:
            failed += 1
            print(f"{folder.name}: {failure}")
    print(f"goldens: {len(folders) - failed} of {len(folders)} agree, {checks} checks")
    return 1 if failed or not folders else 0


if __name__ == "__main__":
    sys.exit(main())
