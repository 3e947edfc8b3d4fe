"""Suppliers' files read once more, each by a few lines of its own: what a row says before any rule.

Found by looking at the files, not taken from the product's profiles. A reader gives, for each line that holds rows,
the raw line and its rows: (meter, when, milliwatts or None). `when` is a naive local time, an instant, or the reason
why the line is no reading.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from model import milliwatts

Cell = tuple[str, dt.datetime | str, int | None]
Line = tuple[str, list[Cell]]

KWH_15MIN, KWH_30MIN, KWH_HOUR, WH_HOUR, KW = 4_000_000, 2_000_000, 1_000_000, 1_000, 1_000_000
UTC = dt.timezone.utc


@dataclass(frozen=True)
class Supplier:
    """A profile, the files it is for, the zone of their naive times, and how to read one."""

    name: str
    files: str
    zone: str
    read: Callable[[Path], Iterator[Line]]
    given_zone: bool = False  # the profile leaves the zone to whoever ingests
    is_energy: bool = True


def lines(path: Path, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> Iterator[tuple[str, list[str]]]:
    """Each line after the header with its fields; no field of these files holds a line end."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        next(file)
        for line in file:
            line = line.rstrip("\r\n")
            if line:
                yield line, next(csv.reader([line], delimiter=delimiter, quoting=quoting))


def value(text: str, factor: int) -> int | None:
    return None if text in ("", "?") else milliwatts(text, factor)


def total(texts: list[str], factor: int) -> int | None:
    parts = [value(text, factor) for text in texts]
    return None if None in parts else sum(parts)


def fluvius(path: Path) -> Iterator[Line]:
    for line, cell in lines(path, ";", csv.QUOTE_NONE):
        meter = cell[4].removeprefix('="').removesuffix('"') + "-" + cell[7]
        when = dt.datetime.strptime(f"{cell[0]} {cell[1]}", "%d-%m-%Y %H:%M:%S")
        yield line, [(meter, when, value(cell[8].replace(",", "."), KWH_15MIN))]


def enphase(path: Path) -> Iterator[Line]:
    for line, cell in lines(path):
        when = dt.datetime.strptime(cell[0], "%m/%d/%Y %H:%M")
        names = ("produced", "consumed", "exported", "imported")
        yield line, [(f"{path.stem}-{name}", when, value(text, WH_HOUR)) for name, text in zip(names, cell[1:])]


def dsmr(path: Path) -> Iterator[Line]:
    for line, cell in lines(path):
        when = dt.datetime.fromisoformat(cell[0])
        taken, returned = total(cell[1:3], KWH_HOUR), total(cell[3:5], KWH_HOUR)
        yield line, [(f"{path.stem}-taken", when, taken), (f"{path.stem}-returned", when, returned)]


def zappi(path: Path) -> Iterator[Line]:
    for line, cell in lines(path):
        yield line, [(cell[0], dt.datetime.fromisoformat(cell[1]), total(cell[2:5], WH_HOUR))]


def uci(path: Path) -> Iterator[Line]:
    columns = len(path.read_text(encoding="ascii").splitlines()[0].split(";"))
    for line, cell in lines(path, ";"):
        if len(cell) != columns:
            yield line, [("", "row_malformed", None)]
            continue
        when = dt.datetime.strptime(f"{cell[0]} {cell[1]}", "%d/%m/%Y %H:%M:%S")
        yield line, [(path.stem, when, value(cell[2], KW))]


def swiss(path: Path) -> Iterator[Line]:
    for line, (meter, week, slot, energy) in lines(path):
        monday = dt.datetime.fromisocalendar(2018, int(week[1:]), 1)
        yield line, [(meter, monday + dt.timedelta(minutes=15 * (int(slot) - 1)), value(energy, KWH_15MIN))]


def eemeter(path: Path) -> Iterator[Line]:
    meter = path.name.removesuffix(".csv.gz")
    for line, cell in lines(path):
        yield line, [(meter, dt.datetime.fromisoformat(cell[0]).replace(tzinfo=UTC), value(cell[1], KWH_30MIN))]


def engie(path: Path) -> Iterator[Line]:
    for line, cell in lines(path):
        if cell[3] == "Elektriciteit":
            yield line, [(cell[1], dt.datetime.fromisoformat(cell[0]), value(cell[2], KWH_HOUR))]


def differences(path: Path, step: dt.timedelta, factor: int, told: list[tuple[str, list[tuple]]]) -> Iterator[Line]:
    """Rows of registers, (meter, when, kilowatt-hours) each, as mean power until the register a step later."""
    shown = {(meter, when): kwh for _, rows in told for meter, when, kwh in rows if kwh is not None}
    for line, rows in told:
        cells: list[Cell] = []
        for meter, when, kwh in rows:
            now, then = shown.get((meter, when)), shown.get((meter, when.astimezone(UTC) + step))
            known = kwh is not None and then is not None and then >= now
            cells.append((meter, when, milliwatts(str(then - now), factor) if known else None))
        yield line, cells


def homewizard(path: Path) -> Iterator[Line]:
    told = []
    for line, cell in lines(path):
        # no hour of the file comes twice
        when = dt.datetime.strptime(cell[0], "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo("Europe/Amsterdam"))
        half = (len(cell) - 1) // 2
        sums = [cell[1 : 1 + half], cell[1 + half :]]
        kwh = [None if "" in parts else sum(Decimal(part) for part in parts) for parts in sums]
        names = [f"{path.stem}-import", f"{path.stem}-export"]
        told.append((line, [(name, when, shown) for name, shown in zip(names, kwh)]))
    return differences(path, dt.timedelta(minutes=15), KWH_15MIN, told)


def energie_manager(path: Path) -> Iterator[Line]:
    told = []
    for number, (line, cell) in enumerate(lines(path, ";")):
        if number > 0:  # an empty line comes before the header
            when = dt.datetime.fromtimestamp(int(cell[3]), UTC)
            told.append((line, [(f"{cell[1]}-{cell[2]}", when, Decimal(cell[5]) * Decimal(cell[6]))]))
    return differences(path, dt.timedelta(hours=1), KWH_HOUR, told)


def shelly(path: Path) -> Iterator[Line]:
    told = [(line, dt.datetime.strptime(cell[0], "%Y-%m-%d %H:%M"), cell[1:]) for line, cell in lines(path)]
    times, minutes, last = sorted({when for _, when, _ in told}), {}, 1
    for when, after in zip(times, times[1:] + [None]):
        step = (after - when).total_seconds() / 60 if after else 0
        last = int(step) if step in (1, 10) else last
        minutes[when] = last
    for line, when, cells in told:
        factor = WH_HOUR * 60 // minutes[when]
        names = [path.stem, f"{path.stem}-returned"]
        yield line, [(name, when, value(text, factor)) for name, text in zip(names, cells)]


SUPPLIERS = [
    Supplier("fluvius", "suppliers/fluvius_*.csv", "Europe/Brussels", fluvius),
    # Two European autumn hours come twice: 30 October 2022 and 29 October 2023.
    Supplier("enphase", "suppliers/enphase_*.csv", "Europe/Amsterdam", enphase, given_zone=True),
    Supplier("dsmr_reader", "suppliers/dsmr_*.csv", "UTC", dsmr),
    Supplier("myenergi_zappi", "suppliers/myenergi_*.csv", "UTC", zappi),
    # 2,075,259 minutes from the first to the last, each once: no change of the clocks.
    Supplier("uci_household", "uci_household/*.txt", "Etc/GMT-1", uci, is_energy=False),
    Supplier("swiss_slots", "swiss_bamberg/*.csv", "Europe/Zurich", swiss),
    Supplier("engie", "suppliers/engie_*.csv", "UTC", engie),
    Supplier("homewizard", "suppliers/homewizard_registers.csv", "Europe/Amsterdam", homewizard, given_zone=True),
    Supplier("homewizard_1phase", "suppliers/homewizard_1phase.csv", "Europe/Amsterdam", homewizard, given_zone=True),
    Supplier("energie_manager", "suppliers/energie_manager_*.csv", "UTC", energie_manager),
    Supplier("shelly_em", "suppliers/shelly_em*.csv", "UTC", shelly),
    Supplier("eemeter", "eemeter_samples/*.csv.gz", "UTC", eemeter),
]
