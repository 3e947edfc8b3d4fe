"""Formats that are not lines of columns, against readers that share no code with the product.

    python formats.py BINARY DATA_DIR

NEM12 and NEM13 against the package nem-reader: every archive and plain file of `nemreader_examples`, and the meter of
`nem12`. Green Button against ElementTree: every document of `greenbutton`. Each file is ingested without a feed, so
that the product finds the format by itself; every value is compared as whole milliwatts.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import sys
import tempfile
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path

import pandas as pd
from nemreader import NEMFile

from checks import Failure, run
from readers import check_stores, export

MARKET = dt.timezone(dt.timedelta(hours=10))
MILLIWATTS = {"wh": 1_000, "kwh": 1_000_000, "mwh": 1_000_000_000}
Reading = tuple[str, dt.datetime, int | None]  # meter, instant, milliwatts

# What must become of the files that nem-reader calls invalid: refused whole, some days rejected, or read, since all
# that they lack is the 100 and 900 record.
INVALID = {
    "Example_NEM12_15min_200_30min_300.csv": "rejected",
    "Example_NEM12_15min_200_30min_400.csv": "rejected",
    "Example_NEM12_30min_200_15min_300.csv": "rejected",
    "Example_NEM12_30min_200_15min_400.csv": "rejected",
    "Example_NEM12_empty.csv": "refused",
    "Example_NEM12_incomplete_interval.csv": "rejected",
    "Example_NEM12_missing_header.csv": "read",
    "Example_NEM12_powercor.csv": "read",
    "Example_NEM12_powercor.csv.zip": "refused",
    "Example_NEM12_powercor_missing_fields.csv": "rejected",
    "Example_empty_file.csv": "refused",
}
# Its 300 records of 2005-01-13 are broken over two lines; nem-reader passes over them, too.
BROKEN = "NEM12#Scenario10#ETSAMDP#NEMMCO"


def mean_power(energy: Fraction, seconds: int) -> int:
    """Milliwatts of milliwatt-hours, rounded once, half away from zero."""
    power = energy * 3_600 / seconds
    size = int(abs(power) + Fraction(1, 2))
    return size if power >= 0 else -size


def nem(path: Path) -> Counter[Reading]:
    """What nem-reader gives of active energy; null data has no value."""
    readings: Counter[Reading] = Counter()
    for nmi, suffixes in NEMFile(str(path)).nem_data().readings.items():
        for suffix, values in suffixes.items():
            for value in values:
                factor = MILLIWATTS.get(value.uom.lower())
                if factor is None:
                    continue
                mw = None
                if value.read_value is not None and value.quality_method != "N":
                    # the shortest decimal of the float is the text that it was read from
                    energy = Fraction(repr(value.read_value)) * factor
                    mw = mean_power(energy, int((value.t_end - value.t_start).total_seconds()))
                readings[f"{nmi}-{suffix}", value.t_start.replace(tzinfo=MARKET), mw] += 1
    return readings


def local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def text(element: ET.Element, *path: str) -> str | None:
    for name in path:
        element = next((child for child in element if local(child) == name), None)
        if element is None:
            return None
    return (element.text or "").strip()


def green_button(path: Path) -> tuple[Counter[Reading], int]:
    """What a document says of electric energy, and how many readings of all kinds it has."""
    blocks, types, meter_readings = defaultdict(list), {}, {}
    for entry in (e for e in ET.parse(path).getroot() if local(e) == "entry"):
        links = [(c.get("rel"), c.get("href").strip("/")) for c in entry if local(c) == "link"]
        own = dict(links).get("self")
        for element in entry.iter():
            if local(element) == "ReadingType":
                types[own] = element
            elif local(element) == "MeterReading":
                meter_readings[own] = next((h for _, h in links if "ReadingType/" in h), None)
            elif local(element) == "IntervalReading":
                blocks[own.partition("/IntervalBlock")[0]].append(element)
    readings: Counter[Reading] = Counter()
    for link, elements in blocks.items():
        kind = types.get(meter_readings.get(link))
        if kind is None or text(kind, "uom") != "72":
            continue
        parts = link.split("/")
        at = parts.index("UsagePoint")
        meter = f"{parts[at - 1]}-{parts[at + 1]}"
        tens = Fraction(10) ** int(text(kind, "powerOfTenMultiplier") or 0)
        for element in elements:
            seconds = int(text(element, "timePeriod", "duration"))
            start = dt.datetime.fromtimestamp(int(text(element, "timePeriod", "start")), dt.timezone.utc)
            energy = Fraction(text(element, "value")) * tens * MILLIWATTS["wh"]
            readings[meter, start, mean_power(energy, seconds)] += 1
    return readings, sum(map(len, blocks.values()))


def unpack(data: Path, scratch: Path) -> list[Path]:
    """All NEM files that are valid, as plain files; the product wants archives unpacked."""
    examples = data / "nemreader_examples" / "examples"
    archives = sorted(p for p in examples.glob("nem1[23]/*") if p.suffix.lower() == ".zip")
    if len(archives) != 155:
        raise Failure(f"{examples} has {len(archives)} archives, not 155")
    for archive in archives:
        with zipfile.ZipFile(archive) as packed:
            (member,) = packed.namelist()
            (scratch / f"{archive.stem}.{archive.parent.name}.csv").write_bytes(packed.read(member))
    for path in [*examples.glob("unzipped/*.csv"), *(data / "nem12").glob("*.csv")]:
        (scratch / path.name).write_bytes(path.read_bytes())
    return sorted(scratch.iterdir())


class Home:
    """What the product has made of its uploads."""

    def __init__(self, binary: str, folder: Path) -> None:
        uploads = export(binary, folder, "uploads")
        self.uploads = {row.sha256: row for row in uploads.itertuples()}
        parts = [export(binary, folder, name) for name in ("readings", "error-queue", "superseded")]
        rows = pd.concat(parts, ignore_index=True).fillna("")
        self.rows = dict(list(rows.groupby("upload")))

    def upload(self, path: Path):
        return self.uploads[hashlib.sha256(path.read_bytes()).hexdigest()]

    def readings(self, path: Path) -> tuple[Counter[Reading], Counter[str], pd.DataFrame]:
        """The rows of a file: those that decoded, the reasons of those that did not, and all."""
        rows = self.rows.get(self.upload(path).upload)
        readings: Counter[Reading] = Counter()
        reasons: Counter[str] = Counter()
        if rows is None:
            return readings, reasons, pd.DataFrame()
        for row in rows.itertuples():
            if row.reason and row.reason not in ("value_negative", "value_above_limit", "outlier"):
                reasons[row.reason] += 1
                continue
            missing = row.kw == "" or "forward_filled" in row.flags
            mw = None if missing else int(Fraction(row.kw) * 1_000_000)
            readings[row.meter_id, dt.datetime.fromisoformat(row.ts), mw] += 1
        return readings, reasons, rows


def differ(path: Path, have: Counter[Reading], want: Counter[Reading]) -> None:
    if have != want:
        more, less = list((have - want).items())[:3], list((want - have).items())[:3]
        raise Failure(f"{path.name}: {have.total()} readings, not {want.total()}; has {more}, lacks {less}")


def check_raw(path: Path, rows: pd.DataFrame) -> int:
    """Rows in the error queue show their record with all that is said of it."""
    content = path.read_bytes().decode("utf-8")
    shown = [raw for raw in rows["raw"].unique() if raw] if len(rows) else []
    for raw in shown:
        after = content.partition(raw)[2].lstrip("\r\n")
        if raw not in content or after.startswith(("400,", "500,", "550,")):
            raise Failure(f"{path.name}: the text {raw[:80]!r} is no whole record with its details")
    return len(shown)


def check_nem(binary: str, data: Path, scratch: Path) -> list[str]:
    files, home = scratch / "files", scratch / "home"
    files.mkdir()
    paths = unpack(data, files)
    run(binary, home, "ingest", files)
    state = Home(binary, home)
    total = texts = 0
    for path in paths:
        have, reasons, rows = state.readings(path)
        differ(path, have, nem(path))
        malformed = reasons.pop("row_malformed", 0)
        if reasons or bool(malformed) != path.name.startswith(BROKEN):
            raise Failure(f"{path.name}: {malformed} malformed rows and {dict(reasons)} in a valid file")
        texts += check_raw(path, rows)
        total += have.total()
    gravitas = state.readings(files / "gravitas_meter01.csv")[0].total()
    if gravitas != 49_632:
        raise Failure(f"gravitas_meter01.csv has 49,632 readings, not {gravitas}")
    done = [f"{len(paths)} NEM files, {total} readings as nem-reader has them, {texts} texts whole"]
    return done + check_stores(binary, home)


def check_invalid(binary: str, data: Path, scratch: Path) -> list[str]:
    folder, home = data / "nemreader_examples" / "examples" / "invalid", scratch / "home"
    if {path.name for path in folder.iterdir()} != set(INVALID):
        raise Failure(f"{folder} holds other files than are known")
    run(binary, home, "ingest", folder, status=65)
    state = Home(binary, home)
    for name, fate in INVALID.items():
        path = folder / name
        have, reasons, _ = state.readings(path)
        found = "refused" if state.upload(path).status == "dead" else "rejected" if reasons else "read"
        if found != fate or set(reasons) - {"row_malformed"}:
            raise Failure(f"{name} is {found} ({dict(reasons)}), not {fate}")
        if fate == "read":
            differ(path, have, nem(path))
    return [f"{len(INVALID)} invalid NEM files refused or rejected, {list(INVALID.values()).count('read')} read"]


def check_green_button(binary: str, data: Path, scratch: Path) -> list[str]:
    home = scratch / "home"
    paths = sorted((data / "greenbutton").glob("**/*.xml"))
    if not paths:
        raise Failure(f"{data / 'greenbutton'}: no documents")
    run(binary, home, "ingest", *paths)
    state = Home(binary, home)
    total = 0
    for path in paths:
        have, reasons, _ = state.readings(path)
        want, count = green_button(path)
        differ(path, have, want)
        # gas: in therms and so passed over, or with an empty reading type
        rejected = {"gas_containerized.xml": {"unit_unknown": count}}.get(path.name, {})
        if reasons != rejected or have.total() != {"gas_direct.xml": 0}.get(path.name, count - reasons.total()):
            raise Failure(f"{path.name}: {count} readings, {have.total()} read and {dict(reasons)}")
        total += have.total()
    done = [f"{len(paths)} Green Button documents, {total} readings as ElementTree has them"]
    return done + check_stores(binary, home)


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    logging.getLogger("nemreader").setLevel(logging.CRITICAL)
    done = []
    try:
        for check in (check_nem, check_invalid, check_green_button):
            with tempfile.TemporaryDirectory(prefix="greenstream-formats-") as scratch:
                done += check(sys.argv[1], Path(sys.argv[2]), Path(scratch))
    except Failure as failure:
        print(f"formats: {failure}")
        return 1
    print("\n".join(line for line in done if " " in line and line[0].isdigit()))
    print(f"formats: {len(done)} checks, no reading differs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
