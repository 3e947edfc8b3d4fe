"""What the checks share: findings, waiting, processes, the service, and tests that are run. Needs Python alone."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

DEADLINE_SECONDS = 60.0
STOP_SECONDS = 30.0
T = TypeVar("T")


class Failure(Exception):
    """A finding, in words for the person who reads the log."""


def need(holds: object, what: object) -> None:
    if not holds:
        raise Failure(str(what))


def eventually(look: Callable[[], T], what: str, seconds: float = DEADLINE_SECONDS) -> T:
    """The first answer that is not empty; fails with the last one."""
    until = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > until:
            raise Failure(f"not within {seconds:.0f} s: {what} ({answer!r})")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def running(command: list[str], **more: Any) -> Iterator[subprocess.Popen]:
    """A process that is ended with the block."""
    process = subprocess.Popen(command, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(binary: str, home: Path, *args: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    """`greenstream --home HOME ARGS`, which must exit with `status`."""
    command = [binary, "--home", str(home), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True)
    tail = (done.stdout + done.stderr)[-2000:]
    need(done.returncode == status, f"{' '.join(command)}\nexits with {done.returncode}, not {status}:\n{tail}")
    return done


class Service:
    """A command that serves pages, for a block: it begins when the pages have an address, and ends by a signal and well.

    Where the block fails, the process is killed.
    """

    def __init__(
        self,
        command: list[object],
        log: Path,
        environment: dict[str, str] | None = None,
        ends_on: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.command, self.log, self.environment = [str(word) for word in command], log, environment
        self.ends_on, self.killed, self.address = ends_on, False, ""

    def __enter__(self) -> Service:
        before = len(self.text())
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment)
        try:
            self.address = eventually(lambda: self.listens(before), "the service prints its address")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if failure:
            self.kill()
        if self.killed:
            return
        self.process.send_signal(self.ends_on)
        try:
            code: object = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            code = f"not within {STOP_SECONDS:.0f} s"
        need(code == 0, f"the service was to end with 0 on {self.ends_on.name}: {code}\n{self.text()[-2000:]}")

    def listens(self, before: int) -> str:
        said = self.text()[before:]
        need(self.process.poll() is None, f"{self.command} has ended with {self.process.returncode}:\n{said}")
        found = re.search(r"^pages: (http://\S+)\s", said, re.MULTILINE)
        return found[1] if found else ""

    def kill(self) -> None:
        self.killed = True
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def serve(binary: str, home: Path, environment: dict[str, str] | None = None) -> Service:
    """`greenstream run` on a home and a free port, its log beside the home."""
    home.mkdir(parents=True, exist_ok=True)
    return Service([binary, "--home", home, "run", "--listen", "127.0.0.1:0"], home.with_name(f"{home.name}.log"), environment)


def tests(named: dict[str, Callable[[Path], str | None]], at_once: int = 1) -> int:
    """Runs each in a folder of its own, also after one that failed; the exit code. What a test returns is printed."""

    def good(name: str) -> bool:
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory(prefix="greenstream-test-", ignore_cleanup_errors=True) as folder:
                told = named[name](Path(folder))
        except Exception as error:  # noqa: BLE001: the others are to run
            why = str(error) if isinstance(error, Failure) else traceback.format_exc()
            print(f"  {name}: FAILED: {why}", flush=True)
            return False
        print(f"  {name}: good, {time.monotonic() - began:.1f} s{told and '; ' + told or ''}", flush=True)
        return True

    with ThreadPoolExecutor(at_once) as pool:
        return 0 if all(list(pool.map(good, named))) else 1
