"""The service's pages in a real headless Chromium: what a person sees is what the service holds.

    python pages.py BINARY [FOLDER-FOR-SCREENSHOTS]

Makes the demo's home, lands files with hostile names and ids in it and serves it. On each page, wide and narrow, light
and dark: the numbers equal `status --json` and the API, the charts are drawn with as many points as the API gives, text
from uploads is inert, the console is empty (no error, no violation of the content security policy), nothing overflows
or shifts. Then: an upload appears without a reload, the search finds a meter, and `demo` serves until Ctrl-C.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service as Driver

from checks import Failure, Service, eventually, run

HEADER = "meter_id,timestamp,energy_value,energy_unit\n"
HOSTILE = "<script>window.hacked=1</script>"
HOSTILE_NAME = "<img src=x onerror=window.hacked=1>.csv"
LINE = ("stored", "forward_filled")  # what is drawn as the line
# a tile's label, and where `status --json` has its number
TILES = {
    "rows": "/rows/all",
    "stored": "/rows/stored",
    "quarantined": "/rows/quarantined",
    "superseded": "/rows/superseded",
    "meters": "/meters",
    "uploads done": "/uploads/done",
    "uploads waiting": "/uploads/landed",
    "dead letters": "/uploads/dead",
    "errors open": "/errors_open",
    "alerts to send": "/alerts_waiting",
    "entries behind": "/waiting",
}
VIEWS = [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")]
WAIT_SECONDS = 30

# the share of a canvas that is drawn on, or none where there is no canvas
INK = """
const canvas = arguments[0].querySelector("canvas");
if (!canvas) return null;
const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
let drawn = 0;
for (let i = 3; i < data.length; i += 4) drawn += data[i] > 0;
return drawn / (data.length / 4);
"""
# how many pixels of a canvas have the colour that the legend shows for a mark
PIXELS = """
const style = getComputedStyle(document.querySelector(`[data-mark="${arguments[1]}"] path`));
const [r, g, b] = style.stroke.match(/\\d+/g).map(Number);
const canvas = arguments[0].querySelector("canvas");
const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
let found = 0;
for (let i = 0; i < data.length; i += 4)
  found += data[i + 3] > 200 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 24;
return found;
"""
# what reaches beyond the window to the right, by name
OVERFLOW = """
const width = document.documentElement.clientWidth;
const beyond = [...document.querySelectorAll("main *, header *, footer *")].filter((element) => {
  const box = element.getBoundingClientRect();
  return box.width > 1 && box.right > width + 1 && !element.closest("pre, .unseen, thead");
});
return [document.documentElement.scrollWidth > width, beyond.slice(0, 3).map((e) => e.outerHTML.slice(0, 120))];
"""
# recorded from the first moment on
SHIFT = "new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.shift = (window.shift || 0) + e.value; }).observe({ type: 'layout-shift', buffered: true });"
UNNAMED = """
const named = (e) => e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim() || e.alt !== undefined;
return [...document.querySelectorAll("input, button, a, img, [role=img]")].filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 120));
"""


def expect(what: str, have: object, want: object) -> None:
    if have != want:
        raise Failure(f"{what}: {have!r}, not {want!r}")


def until(what: str, look: Callable[[], object]) -> object:
    return eventually(look, what, WAIT_SECONDS)


@contextmanager
def serving(command: list[object], scratch: Path):
    """A service in the background; its address. It must end by itself, and well, on Ctrl-C."""
    with Service(command, scratch / "service.log", ends_on=signal.SIGINT) as service:
        yield service.address


@contextmanager
def browser():
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if None in found.values():
        raise Failure("no Chromium: `apt-get install chromium chromium-driver`")
    options = Options()
    options.binary_location = found["chromium"]
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Driver(found["chromedriver"]))
    try:
        driver.set_page_load_timeout(WAIT_SECONDS)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SHIFT})
        yield driver
    finally:
        driver.quit()


class Pages:
    """A browser on a service, and the home behind it."""

    def __init__(self, driver: webdriver.Chrome, address: str, shots: Path | None) -> None:
        self.driver, self.address, self.shots = driver, address, shots
        self.views = 0

    def api(self, path: str) -> dict:
        with urllib.request.urlopen(self.address + path) as answer:
            return json.load(answer)

    def open(self, path: str, width: int, theme: str) -> None:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        self.driver.get(self.address + path)

    def find(self, css: str):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def each(self, css: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def numbers(self) -> dict[str, int]:
        """The tiles by their labels; in one step, for the page may be changing."""
        tiles = "return [...document.querySelectorAll('dl > div')].map((e) => ['dt', 'dd'].map((part) => e.querySelector(part).textContent))"
        return {label: int(number.replace(",", "")) for label, number in self.driver.execute_script(tiles)}

    def is_sound(self, name: str, view: tuple[int, str]) -> None:
        """No message in the console, nothing hostile ran, nothing overflows or shifts, everything has a name."""
        what = f"{name} at {view[0]} px, {view[1]}"
        console = [line["message"] for line in self.driver.get_log("browser")]
        # this one is about how this script reads the canvases
        expect(f"{what}: console", [said for said in console if "willReadFrequently" not in said], [])
        expect(f"{what}: what an upload said ran", self.driver.execute_script("return window.hacked ?? null"), None)
        expect(f"{what}: overflow", self.driver.execute_script(OVERFLOW), [False, []])
        shift = self.driver.execute_script("return window.shift || 0")
        if shift > 0.01:
            raise Failure(f"{what}: the layout shifts by {shift:.3f}")
        expect(f"{what}: without a name", self.driver.execute_script(UNNAMED), [])
        expect(f"{what}: first headings", len(self.each("h1")), 1)
        self.views += 1
        if self.shots:
            self.driver.save_screenshot(str(self.shots / f"{name}-{view[0]}-{view[1]}.png"))


def at(status: dict, pointer: str) -> object:
    for key in pointer.strip("/").split("/"):
        status = status[key]
    return status


def check_overview(pages: Pages, status: dict, view: tuple[int, str]) -> None:
    pages.open("/", *view)
    chart = pages.find(".hours")
    until("the hours are counted", lambda: chart.get_attribute("data-complete") == "true")
    numbers = pages.numbers()
    expect("tiles", {label: numbers.get(label) for label in TILES}, {label: at(status, key) for label, key in TILES.items()})
    expect("badge", len(pages.each(".badge.good")), 1 if status["rows"]["balanced"] else 0)
    answer = pages.api(chart.get_attribute("data-api"))
    expect("hours drawn", int(chart.get_attribute("data-points")), len(answer["hours"]))
    totals = {name: sum(counts) for name, counts in answer["rows"].items()}
    totals["missing"] = totals["missing_value"] - totals["forward_filled"]
    judged = {"outlier", "value_above_limit", "value_negative"}
    codes = set(totals) - judged - {"stored", "missing", "missing_value", "forward_filled", "potentially_faulty"}
    totals["unreadable"] = sum(totals[code] for code in codes)
    rows = pages.each(".hour-row")
    expect("rows of the chart", len(rows), 8)
    for row in rows:
        name = row.get_attribute("data-row")
        expect(f"total of {name}", row.find_element(By.CSS_SELECTOR, ".total").text, f"{totals[name]:,}")
        ink = pages.driver.execute_script(INK, row)
        if totals[name] > 0 and not (ink and ink > 0.002):
            raise Failure(f"the chart of {name} is blank: {ink}")
    shown = {cell.get_attribute("data-reason"): int(cell.text.replace(",", "")) for cell in pages.each("[data-reason]")}
    expect("open errors", sum(shown.values()), status["errors_open"])
    expect("an upload's name as it is", sum(HOSTILE_NAME in cell.text for cell in pages.each("[data-label=Name]")), 3)
    pages.is_sound("overview", view)


def check_meter(pages: Pages, meter: str, name: str, view: tuple[int, str]) -> None:
    pages.open(f"/meters/{quote(meter, safe='')}", *view)
    chart = pages.find("#chart")
    until("the meter is drawn", lambda: chart.get_attribute("data-marks") is not None and chart.get_attribute("data-rows"))
    expect("heading", pages.find("h1").text, meter)
    answer = pages.api(chart.get_attribute("data-api"))
    rows, ends = answer["rows"], [answer[end][:16].replace("T", " ") for end in ("from", "to")]
    expect("the time axis", chart.get_attribute("data-scale"), " to ".join(ends))
    expect("rows", int(chart.get_attribute("data-rows")), len(rows))
    line = [row for row in rows if row["mark"] in LINE and row["kw"] is not None]
    expect("points of the line", int(chart.get_attribute("data-points")), len(line))
    marked = [row for row in rows if row["mark"] != "stored"]
    expect("marks drawn", int(chart.get_attribute("data-marks")), len(marked))
    for entry in pages.each("[data-mark]"):
        mark = entry.get_attribute("data-mark")
        count = sum(row["mark"] == mark or (mark in row["flags"] and mark == "potentially_faulty") for row in rows)
        expect(f"legend: {mark}", int(entry.find_element(By.CSS_SELECTOR, ".count").get_attribute("textContent")), count)
        pixels = 0 if mark == "potentially_faulty" else pages.driver.execute_script(PIXELS, chart, mark)
        # a lone reading is a dot; marks may hide each other
        if mark in ("stored", "outlier", "value_above_limit") and count > 0 and pixels < 4:
            raise Failure(f"{meter}: {count} {mark} and {pixels} pixels of its colour")
    pages.is_sound(name, view)


def check_live(pages: Pages, home: Path) -> None:
    """An upload that lands while somebody looks: the numbers change, the page is not loaded again, nor before."""
    pages.open("/", 1280, "light")
    pages.driver.execute_script("window.same = true; document.querySelector('[data-status]').same = true")
    before = pages.numbers()["uploads done"]
    time.sleep(6)  # the page has looked once by then, and found nothing
    kept = "return document.querySelector('[data-status]').same ?? false"
    expect("nothing is taken over while nothing changes", pages.driver.execute_script(kept), True)
    (home / "inbox" / "live.csv").write_text(f"{HEADER}LIVE,2026-03-08T00:00:00Z,1,kW\n")
    until("the upload is on the page", lambda: pages.numbers()["uploads done"] == before + 1)
    expect("the page was not loaded again", pages.driver.execute_script("return window.same"), True)


def check_search(pages: Pages) -> None:
    pages.open("/", 1280, "light")
    box = pages.find("#q")
    box.send_keys("live")
    until("the meter is proposed", lambda: [o.get_attribute("value") for o in pages.each("#ids option")] == ["LIVE"])
    box.clear()
    box.send_keys("LIVE", Keys.ENTER)
    until("the meter's page", lambda: pages.driver.current_url.endswith("/meters/LIVE"))
    pages.open("/meters?q=LIV", 400, "dark")
    expect("a part of an id lists", [cell.text for cell in pages.each("td a")], ["LIVE"])
    pages.is_sound("meters", (400, "dark"))
    pages.find("body").send_keys(Keys.TAB)
    expect("the first stop of the Tab key", pages.driver.switch_to.active_element.text, "Skip to the content")


def check_credentials(pages: Pages, meter: str) -> None:
    """Pages whose address holds user and token draw what others do."""
    address = pages.address.replace("//", "//anyone:token@", 1)
    pages.driver.get(address)
    until("the hours are counted", lambda: pages.find(".hours").get_attribute("data-complete") == "true")
    pages.driver.get(f"{address}/meters/{quote(meter, safe='')}")
    until("the meter is drawn", lambda: pages.find("#chart").get_attribute("data-rows"))


def busiest(binary: str, home: Path) -> str:
    """The meter of a confirmed episode: it has every kind of mark that the demo makes, and a band."""
    episodes = json.loads(run(binary, home, "episodes", "--json").stdout)
    return episodes[0]["meter_id"]


def check(binary: str, scratch: Path, shots: Path | None) -> str:
    run(binary, scratch, "demo", "--exit")
    home = scratch / "demo" / "home"
    for name, text in (("good", f"{HEADER}{HOSTILE},2026-03-08T00:00:00Z,1,kW\n"), ("bad", "nonsense\n")):
        folder = scratch / name
        folder.mkdir()
        (folder / HOSTILE_NAME).write_text(text)
        run(binary, home, "ingest", folder, status=0 if name == "good" else 65)
    status = json.loads(run(binary, home, "status", "--json").stdout)
    with browser() as driver, serving([binary, "--home", home, "run", "--listen", "127.0.0.1:0"], scratch) as address:
        pages = Pages(driver, address, shots)
        for view in VIEWS:
            check_overview(pages, status, view)
            check_meter(pages, busiest(binary, home), "meter", view)
            check_meter(pages, HOSTILE, "hostile", view)
        check_live(pages, home)
        check_search(pages)
        check_credentials(pages, HOSTILE)
        return f"{pages.views} views"


def check_fresh(binary: str, scratch: Path, shots: Path | None) -> None:
    home = scratch / "fresh"
    with browser() as driver, serving([binary, "--home", home, "run", "--listen", "127.0.0.1:0"], scratch) as address:
        pages = Pages(driver, address, shots)
        for view in VIEWS:
            pages.open("/", *view)
            expect("the inbox is named", str(home / "inbox") in pages.find(".empty").text, True)
            pages.is_sound("fresh", view)


def check_demo(binary: str, scratch: Path) -> None:
    command = [binary, "--home", scratch / "small", "demo", "--meters", "20", "--days", "1", "--listen", "127.0.0.1:0"]
    with serving(command, scratch) as address, urllib.request.urlopen(address) as answer:
        expect("the demo's page", (answer.status, b"GreenStream" in answer.read()), (200, True))


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    shots = Path(sys.argv[2]) if len(sys.argv) == 3 else None
    try:
        with tempfile.TemporaryDirectory(prefix="greenstream-pages-") as scratch:
            views = check(sys.argv[1], Path(scratch), shots)
            check_fresh(sys.argv[1], Path(scratch), shots)
            check_demo(sys.argv[1], Path(scratch))
        print(f"pages: {views}, a fresh home and the demo, all sound")
    except (Failure, WebDriverException) as failure:
        print(f"pages: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
