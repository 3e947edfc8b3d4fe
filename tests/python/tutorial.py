"""The tutorial as its reader does it: every block of docs/tutorial.md in order, in a new folder.

    python tutorial.py BINARY [--show]      --show prints what each block gives instead of comparing

A `sh` block runs line by line (`# exits N` states another exit code than 0), a `python` block in one namespace
with those before it, a `toml` block is saved under the name in its first line. A `text` block must be what
the block before it printed, where `…` stands for anything, and alone on a line for any lines.

Then the demo, and the commands, queries and Python line that it ends with.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

from checks import Failure

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shell(line: str, exits: int = 0) -> str:
    """Runs a line and gives what a terminal would show."""
    done = subprocess.run(["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    text = done.stdout.decode()
    if done.returncode != exits:
        raise Failure(f"`{line}` exits {done.returncode}, not {exits}:\n{text}")
    return text


def shell_block(text: str) -> str:
    shown = ""
    for line in text.splitlines():
        stated = re.search(r"# exits (\d+)", line)
        shown += shell(line, int(stated[1]) if stated else 0)
    return shown


def python_block(text: str, names: dict[str, object]) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(text, TUTORIAL.name, "exec"), names)
    return shown.getvalue()


def fits(want: str, have: str) -> bool:
    """Whether `have` is what `want` says."""
    lines = [re.escape(line.rstrip()).replace("…", "[^\n]*") for line in want.splitlines()]
    pattern = "\n".join("(?:[^\n]*\n)*?[^\n]*" if line == "[^\n]*" else line for line in lines)
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in have.splitlines())) is not None


def tutorial(show: bool) -> int:
    names: dict[str, object] = {"__name__": "__main__"}
    blocks = BLOCK.findall(TUTORIAL.read_text(encoding="utf-8"))
    shown = None
    for language, text in blocks:
        if language == "text":
            if shown is None:
                raise Failure(f"no block before this one prints anything:\n{text}")
            if not show and not fits(text, shown):
                raise Failure(f"the tutorial shows\n{text}\nand one gets\n{shown}")
        elif language == "sh":
            shown = shell_block(text)
        elif language == "python":
            shown = python_block(text, names)
        elif language == "toml":
            path = Path(text.splitlines()[0].removeprefix("# "))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            shown = None
        else:
            raise Failure(f"a block of {language}: the test does not know how to run it")
        if show and language != "text":
            print(f"--- {language}\n{shown}")
    return len(blocks)


def demo() -> int:
    """What the demo says to try next works as it stands; `duckdb` and `sqlite3` through their libraries."""
    told = shell("greenstream demo --meters 60 --days 2 --exit")
    lines = [line.strip() for line in told.split("5. Where to look next\n")[1].splitlines()]
    tried = 0
    for line in lines:
        words = shlex.split(line) if line.startswith(("greenstream --home", "sqlite3", "duckdb", "python3")) else []
        match words:
            case ["duckdb", "-c", sql]:
                rows = len(duckdb.sql(sql).fetchall())
            case ["sqlite3", path, sql]:
                rows = len(sqlite3.connect(path).execute(sql).fetchall())
            case ["python3", "-c", program]:
                rows = 5 if "shape: (5, 2)" in python_block(program, {}) else 0
            case ["greenstream", *_]:
                shell(line.split("   ")[0])
                rows = 5
            case _:
                continue
        if rows != 5:
            raise Failure(f"`{line}` gives {rows} rows, not 5")
        tried += 1
    if tried != 6:
        raise Failure(f"the demo names {tried} things to try, not 6:\n{told}")
    return tried


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    binary = Path(sys.argv[1]).resolve()
    os.environ["PATH"] = f"{binary.parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["USER"] = "reader"
    os.environ.pop("GREENSTREAM_HOME", None)
    with tempfile.TemporaryDirectory(prefix="greenstream-tutorial-") as folder:
        os.chdir(folder)
        try:
            blocks = tutorial("--show" in sys.argv)
            tried = demo()
        except Failure as failure:
            print(f"tutorial: {failure}")
            return 1
        finally:
            os.chdir("/")
    print(f"tutorial: {blocks} blocks do what the page says, and {tried} suggestions of the demo work")
    return 0


if __name__ == "__main__":
    sys.exit(main())
