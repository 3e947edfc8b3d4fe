#!/usr/bin/env python3
"""Makes the files of this folder: made-up suppliers in the manner of real ones, and their readings.

Each NAME.csv (or .txt) is what a supplier might send; NAME.readings are the readings that it holds, from the
series that it was made of, without a look at the file: meter, start in UTC, kW to the milliwatt (empty where
the value is missing). Run it in this folder; it writes the same bytes each time.
"""
import random
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

UTC = timezone.utc


def midnight(zone, year, month, day):
    return datetime(year, month, day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def series(seed, zone, first, days, minutes, step, top):
    """(start in UTC, value as a Decimal that is a multiple of `step`), for whole local days."""
    rng = random.Random(seed)
    end = midnight(zone, *(first + timedelta(days=days)).timetuple()[:3])
    at = midnight(zone, *first.timetuple()[:3])
    while at < end:
        local = at.astimezone(ZoneInfo(zone))
        shape = 0.25 + (0.5 if 6 <= local.hour < 9 else 0) + (0.75 if 17 <= local.hour < 22 else 0)
        yield at, Decimal(int(rng.random() * shape * top)) * step
        at += timedelta(minutes=minutes)


def kw(value, unit, minutes):
    """Milliwatts rounded half away from zero, as kilowatts."""
    if value is None:
        return ""
    factor = {"kWh": Fraction(60, minutes), "Wh": Fraction(60, minutes * 1000), "W": Fraction(1, 1000), "kW": 1}[unit]
    milliwatts = Fraction(value) * factor * 1_000_000
    whole = (Decimal(milliwatts.numerator) / Decimal(milliwatts.denominator)).to_integral_value(ROUND_HALF_UP)
    text = f"{whole / 1_000_000:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def write(name, text, readings, bom=False, newline="\n"):
    with open(name, "w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
        file.write(text.replace("\n", newline))
    lines = sorted(f"{meter},{at:%Y-%m-%dT%H:%M:%SZ},{value}" for meter, at, value in readings)
    with open(name.rsplit(".", 1)[0] + ".readings", "w", encoding="utf-8", newline="") as file:
        file.write("\n".join(lines) + "\n")


def comma(value):
    return str(value).replace(".", ",")


def france():
    """Load curve of a French network operator: power in W, ends of half hours, offsets; the meter before the header."""
    prm, out, readings = "19876543210123", [], []
    for at, value in series(1, "Europe/Paris", date(2026, 3, 27), 4, 30, Decimal(1), 4000):
        end = (at + timedelta(minutes=30)).astimezone(ZoneInfo("Europe/Paris"))
        if at.day == 28 and at.hour == 11:
            continue
        out.append(f"{end.isoformat()};{value}")
        readings.append((prm, at, kw(value, "W", 30)))
    head = (
        "Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique;Grandeur metier;Etape metier;Unite\n"
        f"{prm};Courbe de charge;27/03/2026;31/03/2026;Energie active;Consommation;Comptage Brut;W\nHorodate;Valeur\n"
    )
    write("courbe_charge.csv", head + "\n".join(out) + "\n", readings, newline="\r\n")


def germany():
    """Lastgang: a padded preamble, from and to, decimal commas, a line of units, the hour that comes twice, a total."""
    meter, zone, out, readings, total = "DE00056266802AO6G56M11SN51G21M24S", "Europe/Berlin", [], [], Decimal(0)
    for at, value in series(2, zone, date(2026, 10, 24), 3, 15, Decimal("0.001"), 2500):
        start, end = at.astimezone(ZoneInfo(zone)), (at + timedelta(minutes=15)).astimezone(ZoneInfo(zone))
        lost = start.day == 26 and start.hour == 4
        text = "" if lost else comma(value)
        out.append(f"{start:%d.%m.%Y};{start:%H:%M};{end:%H:%M};{text};{'F' if lost else 'W'}")
        readings.append((meter, at, kw(None if lost else value, "kWh", 15)))
        total += value
    head = f"Lastgang;;;;\nKunde;Muster & Söhne GmbH;;;\nZählpunkt;{meter};;;\n;;;;\nDatum;von;bis;Verbrauch;Status\n;;;[kWh];\n"
    write("lastgang.csv", head + "\n".join(out) + f"\nSumme;;;{comma(total)};\n", readings)


def sweden():
    """Hourly values of several meters side by side in time, tabs, a byte-order mark, the hour that is skipped."""
    zone, rows, readings = "Europe/Stockholm", [], []
    for number, meter in enumerate(["735999100000012345", "735999100000067890", "735999100000099999"]):
        for at, value in series(30 + number, zone, date(2026, 3, 28), 3, 60, Decimal("0.01"), 300):
            local = at.astimezone(ZoneInfo(zone))
            rows.append((local.replace(tzinfo=None), f"{local:%Y-%m-%d %H:%M}\t{meter}\t{comma(value)}\tUppmätt"))
            readings.append((meter, at, kw(value, "kWh", 60)))
    lines = [line for _, line in sorted(rows, key=lambda row: row[0])]
    write("timvarden.txt", "Tidpunkt\tAnläggningsid\tFörbrukning (kWh)\tMätvärdesstatus\n" + "\n".join(lines) + "\n", readings, bom=True)


def italy():
    """A row a day with 96 columns named by their quarter-hours; the skipped hour is empty."""
    zone, out, readings = "Europe/Rome", [], []
    slots = [f"{h:02}:{m:02}-{(h + (m == 45)) % 24:02}:{(m + 15) % 60:02}" for h in range(24) for m in range(0, 60, 15)]
    for number, meter in enumerate(["IT001E12345678", "IT001E87654321"]):
        values = {}
        for at, value in series(40 + number, zone, date(2026, 3, 26), 6, 15, Decimal("0.001"), 700):
            values[at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)] = value
            readings.append((meter, at, kw(value, "kWh", 15)))
        for day in range(6):
            first = datetime(2026, 3, 26) + timedelta(days=day)
            cells = [comma(values.get(first + timedelta(minutes=15 * slot), "")) for slot in range(96)]
            out.append(f"{meter};{first:%d/%m/%Y};{';'.join(cells)}")
    head = "Curva di carico - Energia attiva prelevata (kWh)\n\nPOD;Giorno;" + ";".join(slots) + "\n"
    write("curva_di_carico.csv", head + "\n".join(out) + "\n", readings)


def spain():
    """Hours numbered 1 to 24, 25 in autumn: what a profile cannot say yet."""
    cups, zone, out, readings = "ES0021000000000001AB0F", "Europe/Madrid", [], []
    day, hour = None, 0
    for at, value in series(5, zone, date(2026, 10, 23), 5, 60, Decimal("0.001"), 1500):
        local = at.astimezone(ZoneInfo(zone))
        hour = hour + 1 if local.date() == day else 1
        day = local.date()
        out.append(f"{cups};{local:%d/%m/%Y};{hour};{comma(value)};R")
        readings.append((cups, at, kw(value, "kWh", 60)))
    write("consumos.csv", "CUPS;Fecha;Hora;Consumo_kWh;Metodo_obtencion\n" + "\n".join(out) + "\n", readings)


def poland():
    """Dates and hours that end with 24:00, taken and returned in rows of their own, the hour that is skipped."""
    ppe, zone, out, readings = "590322413000012345", "Europe/Warsaw", [], []
    kinds = ["pobór", "oddanie"]
    both = [list(series(60 + number, zone, date(2026, 3, 28), 3, 60, Decimal("0.001"), 1800)) for number in range(2)]
    for pair in zip(*both):
        for kind, (at, value) in zip(kinds, pair):
            start, end = at.astimezone(ZoneInfo(zone)), (at + timedelta(hours=1)).astimezone(ZoneInfo(zone))
            clock = "24:00" if end.date() != start.date() else f"{end:%H:%M}"
            out.append(f"{ppe};{start:%Y-%m-%d};{clock};{comma(value)};{kind}")
            readings.append((f"{ppe}-{kind}", at, kw(value, "kWh", 60)))
    write("dane_godzinowe.csv", "Numer PPE;Data;Godzina;Wartość [kWh];Kierunek\n" + "\n".join(out) + "\n", readings)


def japan():
    """A row a day with 48 half hours, dates in Japanese, newest first; no value is a word."""
    zone, out, readings = "Asia/Tokyo", [], []
    for number, meter in enumerate(["0300000000000000012345", "0300000000000000067890"]):
        days = {}
        for at, value in series(70 + number, zone, date(2026, 2, 26), 5, 30, Decimal("0.1"), 20):
            local = at.astimezone(ZoneInfo(zone))
            lost = number == 1 and local.day == 27 and local.hour < 2
            days.setdefault(local.date(), []).append("欠測" if lost else str(value))
            readings.append((meter, at, kw(None if lost else value, "kWh", 30)))
        for day in sorted(days, reverse=True):
            out.append(f"{meter},{day.year}年{day.month}月{day.day}日,{','.join(days[day])}")
    names = ",".join(f"{h}:{m:02}" for h in range(24) for m in (0, 30))
    head = f"30分電力使用量(kWh)\n供給地点特定番号,年月日,{names}\n"
    write("shiyouryo.csv", head + "\n".join(out) + "\n", readings, bom=True, newline="\r\n")


def california():
    """A customer's download: addresses first, twelve-hour clocks, costs with a sign; no zone at all."""
    meter, zone, out, readings = "1009876543", "America/Los_Angeles", [], []
    for at, value in series(8, zone, date(2026, 3, 7), 3, 15, Decimal("0.01"), 120):
        start = at.astimezone(ZoneInfo(zone))
        last = (at + timedelta(minutes=14)).astimezone(ZoneInfo(zone))
        clock = lambda local: f"{local:%I:%M %p}".lstrip("0")
        out.append(f"Electric usage,{start.month}/{start.day}/{start.year},{clock(start)},{clock(last)},{value},${value * 3 / 10:.2f},")
        readings.append((meter, at, kw(value, "kWh", 15)))
    head = f'Name,JANE Q DOE\nAddress,"1 MAIN ST, ANYTOWN CA 90000"\nAccount Number,{meter}\nService,Service 1\n\n'
    head += "TYPE,DATE,START TIME,END TIME,USAGE (kWh),COST,NOTES\n"
    write("electric_usage.csv", head + "\n".join(out) + "\n", readings)


def denmark():
    """From and to with seconds, a unit column, thousands, the hour that comes twice; a meter with holes."""
    zone, out, readings = "Europe/Copenhagen", [], []
    for number, meter in enumerate(["571313100000012345", "571313100000067890"]):
        for at, value in series(90 + number, zone, date(2026, 10, 24), 3, 60, Decimal("0.01"), 400_000 if number else 400):
            start, end = at.astimezone(ZoneInfo(zone)), (at + timedelta(hours=1)).astimezone(ZoneInfo(zone))
            if number and start.day == 24 and start.hour in (5, 6, 7):
                continue
            text = f"{value:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")
            out.append(f"{meter};{start:%d-%m-%Y %H:%M:%S};{end:%d-%m-%Y %H:%M:%S};{text};KWH;Målt;Tidsserie")
            readings.append((meter, at, kw(value, "kWh", 60)))
    head = "MålepunktsID;Fra_dato;Til_dato;Mængde;Måleenhed;Kvalitet;Type\n"
    write("meterdata.csv", head + "\n".join(out) + "\n", readings)


def norway():
    """Offsets in every timestamp, each field quoted, columns in another order, and a sentinel."""
    zone, out, readings = "Europe/Oslo", [], []
    for number, meter in enumerate(["707057500000012345", "707057500000067890"]):
        for at, value in series(100 + number, zone, date(2026, 3, 28), 3, 60, Decimal("0.001"), 5000):
            start, end = at.astimezone(ZoneInfo(zone)), (at + timedelta(hours=1)).astimezone(ZoneInfo(zone))
            lost = number == 0 and start.day == 30 and start.hour in (10, 11)
            cells = ["-9999" if lost else value, "kWh", start.isoformat(), end.isoformat(), "Estimert" if lost else "Målt", meter]
            out.append(",".join(f'"{cell}"' for cell in cells))
            readings.append((meter, at, kw(None if lost else value, "kWh", 60)))
    write("plusportal.csv", '"Volum","Enhet","Fra","Til","Kvalitet","MålepunktID"\n' + "\n".join(out) + "\n", readings)


for make in (france, germany, sweden, italy, spain, poland, japan, california, denmark, norway):
    make()
