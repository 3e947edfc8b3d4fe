#!/usr/bin/env python3
"""Tries all mutants of a crate with one build: scripts/mutants makes the crate and calls this.

    mutants.py CRATE [ARGUMENTS OF cargo mutants --list...]

`cargo mutants` says what the mutants are, and its configuration which of them are left out. Instead of compiling each
by itself, every function gets all of its changed bodies beside its own, and a variable chooses one when the tests run:

    match crate::mutant::active(PLACE) { 17 => { changed body } 18 => { another } _ => { the body as it is } }

A first run of each test notes which functions it reaches, and how long it takes. A mutant gets the tests that reach its
function, the quick ones first, and ends with the first that fails. Mutants come in random order, always the same, so
that what was tried so far is an honest sample. What does not compile in this form (and what is `const`) is tried alone,
in the crate as it is. Tests that take more than three times as long as they should have hung, or that wait twenty times
as long: that is noticed too.

MUTANTS_JOBS says how many run at a time (default: one). MUTANTS_SECONDS ends after a while; MUTANTS_GO_ON=1 goes on
where the last run ended. Results: CRATE/mutants.out/, a table at the end.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

CRATE = Path(sys.argv[1]).resolve()
JOINT = CRATE.parent / f"{CRATE.name}-joint"
OUT = CRATE / "mutants.out"
TARGET = CRATE.parent / "target" / CRATE.name  # of its own: binaries of two crates have one name
ALONE = CRATE.parent / f"{CRATE.name}.alone"  # what did not compile beside the others
JOBS = int(os.environ.get("MUTANTS_JOBS", "1"))
GOES_ON = os.environ.get("MUTANTS_GO_ON") == "1"
END = time.monotonic() + float(os.environ.get("MUTANTS_SECONDS", "1e9"))
ENVIRONMENT = {
    **os.environ,
    "CARGO_TARGET_DIR": str(TARGET),
    "RUSTFLAGS": "--cap-lints=allow",
    # each arm has its own place on the stack
    "RUST_MIN_STACK": str(256 << 20),
    # a failure is enough; what the smallest one is does not matter
    "PROPTEST_MAX_SHRINK_ITERS": "0",
    "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "1",
    "PROPTEST_RNG_SEED": "1",
}
MEMORY_MAX = 8 << 30

# what chooses the body: the first failure ends the process, and a trace says which test was where
CHOICE = r"""
//! Which changed body is in force; written by scripts/mutants.py.
use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Write;
use std::sync::{LazyLock, Mutex};

static MUTANT: LazyLock<u32> = LazyLock::new(|| {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        told(info);
        std::process::exit(101);
    }));
    std::env::var("MUTANT").map_or(0, |text| text.parse().unwrap())
});

static TRACE: LazyLock<Option<Mutex<std::fs::File>>> = LazyLock::new(|| {
    let path = std::env::var("MUTANT_TRACE").ok()?;
    Some(Mutex::new(std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap()))
});

thread_local! {
    static SEEN: RefCell<HashSet<u32>> = RefCell::default();
}

#[inline]
pub fn active(place: u32) -> u32 {
    if let Some(trace) = &*TRACE
        && SEEN.with_borrow_mut(|seen| seen.insert(place))
    {
        writeln!(trace.lock().unwrap(), "{place}").unwrap();
    }
    *MUTANT
}
"""


@dataclass
class Mutant:
    """One change: where it is in the file, and where its function is."""

    number: int
    name: str
    file: str
    start: int
    end: int
    text: str
    function: tuple[int, int] | None
    outcome: str = ""
    seconds: float = 0.0


def offset(lines: list[int], place: dict) -> int:
    return lines[place["line"] - 1] + place["column"] - 1


def listed(arguments: list[str]) -> list[Mutant]:
    """The mutants, as the tool lists them."""
    told = subprocess.run(["cargo", "mutants", "--list", "--json", *arguments], cwd=CRATE, env=ENVIRONMENT,
                          stdout=subprocess.PIPE, check=True).stdout
    starts, found = {}, []
    for number, one in enumerate(json.loads(told), 1):
        file = one["file"]
        if file not in starts:
            starts[file] = [0]
            for line in (CRATE / file).read_text().splitlines(keepends=True):
                starts[file].append(starts[file][-1] + len(line))
        lines, span = starts[file], one["span"]
        function = one.get("function")
        function = function and (offset(lines, function["span"]["start"]), offset(lines, function["span"]["end"]))
        found.append(Mutant(number, one["name"], file, offset(lines, span["start"]), offset(lines, span["end"]),
                            one["replacement"], function))
    return found


def body(text: str, function: tuple[int, int]) -> tuple[int, int] | None:
    """The inside of a function's braces; none for a `const fn`, which can ask nothing when it runs."""
    head, opens, comment = "", function[0], False
    # past attributes and comments before the signature, to its first brace
    while opens < function[1]:
        line_end = text.find("\n", opens)
        line_end = function[1] if line_end < 0 else min(line_end + 1, function[1])
        line = text[opens:line_end]
        comment = line.lstrip().startswith(("//", "#["))
        brace = -1 if comment else line.find("{")
        if brace >= 0:
            head += line[:brace]
            opens += brace
            break
        head += "" if comment else line
        opens = line_end
    else:
        return None
    if "const fn" in head:
        return None
    return opens + 1, function[1] - 1


def joint(mutants: list[Mutant]) -> tuple[dict[str, list[tuple[int, int, int, int]]], dict[int, int]]:
    """Writes the crate with all bodies. Returns, for each file, the lines of (first, last, place, mutant or 0),
    and each mutant's place."""
    written = {path.relative_to(CRATE): path.read_text() for path in CRATE.rglob("*")
               if path.is_file() and OUT not in path.parents}
    written[Path("src/mutant.rs")] = CHOICE
    written[Path("src/lib.rs")] += "\n#[doc(hidden)]\npub mod mutant;\n"
    by_file: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        by_file[mutant.file].append(mutant)
    ranges: dict[str, list[tuple[int, int, int, int]]] = {}
    places: dict[int, int] = {}
    place = 0
    for file, some in by_file.items():
        text = (CRATE / file).read_text()
        functions = sorted({mutant.function for mutant in some})
        # functions within functions belong to the outer one
        outer = [one for one in functions if not any(o != one and o[0] <= one[0] and one[1] <= o[1] for o in functions)]
        out, at, ranges[file] = "", 0, []
        for function in outer:
            place += 1
            start, end = body(text, function)
            own = [m for m in some if function[0] <= m.function[0] and m.function[1] <= function[1]]
            out += text[at:start] + f"match crate::mutant::active({place}) {{\n"
            for mutant in own:
                places[mutant.number] = place
                first = out.count("\n") + 1
                out += f"{mutant.number} => {{{text[start:mutant.start]} {mutant.text} {text[mutant.end:end]}}}\n"
                ranges[file].append((first, out.count("\n"), place, mutant.number))
            first = out.count("\n") + 1
            out += f"_ => {{{text[start:end]}}}\n}}"
            ranges[file].append((first, out.count("\n") + 1, place, 0))
            at = end
        written[Path(file)] = out + text[at:]
    for path in [path for path in JOINT.rglob("*") if path.is_file() and path.relative_to(JOINT) not in written]:
        path.unlink()
    for name, text in written.items():
        path = JOINT / name
        # what did not change is not compiled again
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return ranges, places


def cargo(folder: Path, *arguments: str) -> tuple[list[dict], list[str]]:
    """Runs cargo: its errors, and the test binaries it made."""
    done = subprocess.run(["cargo", *arguments, "--message-format=json"], cwd=folder, env=ENVIRONMENT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    messages = [one["message"] for one in told if one["reason"] == "compiler-message"]
    errors = [message for message in messages if message["level"] == "error"]
    binaries = [one["executable"] for one in told if one["reason"] == "compiler-artifact" and one.get("executable")]
    if done.returncode and not errors:
        sys.exit(done.stderr)
    return errors, sorted(set(binaries))


def blamed(error: dict, ranges: dict[str, list[tuple[int, int, int, int]]]) -> set[tuple[int, int]]:
    """The (place, mutant) an error is in; mutant 0 where it is in what all share."""
    spans = [span for span in error["spans"] if span["is_primary"]]
    found = set()
    while spans:
        span = spans.pop()
        for first, last, place, mutant in ranges.get(span["file_name"], []):
            if first <= span["line_start"] <= last:
                found.add((place, mutant))
        if span.get("expansion"):
            spans.append(span["expansion"]["span"])
    return found


def build(mutants: list[Mutant]) -> tuple[list[Mutant], dict[int, int], list[str]]:
    """The largest set of mutants that compile together, their places, and the test binaries."""
    alone = set(ALONE.read_text().splitlines()) if ALONE.exists() else set()
    together = [m for m in mutants
                if m.name not in alone and m.function and body((CRATE / m.file).read_text(), m.function)]
    for arguments in (["check", "--lib"], ["test", "--no-run"]):
        while True:
            ranges, places = joint(together)
            errors, binaries = cargo(JOINT, *arguments)
            if not errors:
                break
            out: set[int] = set()
            for error in errors:
                for place, mutant in blamed(error, ranges):
                    out |= {mutant} if mutant else {m for m in places if places[m] == place}
            print(f"{len(errors)} errors, such as {errors[0]['message']!r}: {len(out)} are tried alone", flush=True)
            if not out:
                sys.exit("\n".join(error["rendered"] for error in errors))
            alone |= {mutant.name for mutant in together if mutant.number in out}
            together = [mutant for mutant in together if mutant.number not in out]
            ALONE.write_text("\n".join(sorted(alone)))
    return together, places, binaries


def limited(seconds: int):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return limit


def passes(binary: str, mutant: int, seconds: int, tests: list[str] | None = None, wait: float = 600) -> bool | None:
    """Whether the tests of a binary pass; none where they hang: take so many seconds of CPU time, or of waiting."""
    some = ["--exact", *tests] if tests is not None else []
    try:
        done = subprocess.run([binary, "--quiet", "--test-threads=1", *some], cwd=CRATE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, env={**ENVIRONMENT, "MUTANT": str(mutant)},
                              preexec_fn=limited(seconds), timeout=wait)
    except subprocess.TimeoutExpired:
        return None
    return None if done.returncode in (-24, -9) else done.returncode == 0


def all_pass(binaries: list[str], mutant: int, seconds: int) -> bool | None:
    for binary in binaries:
        verdict = passes(binary, mutant, seconds)
        if not verdict:
            return verdict
    return True


def tests_of(binary: str) -> list[str]:
    told = subprocess.run([binary, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [line.removesuffix(": test") for line in told.splitlines() if line.endswith(": test")]


def baseline(binaries: list[str]) -> tuple[int, dict[int, list[tuple[float, str, str]]]]:
    """CPU seconds that no mutant needs, and the tests that reach each place: how long they take, binary and name."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    for binary in binaries:
        if not passes(binary, 0, 600):
            sys.exit(f"the tests do not pass as they are: MUTANT=0 {binary}")
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    print(f"all tests take {seconds:.1f} s of CPU time", flush=True)
    reached: dict[int, list[tuple[float, str, str]]] = defaultdict(list)
    trace = OUT / "trace"
    for binary in binaries:
        for test in tests_of(binary):
            trace.unlink(missing_ok=True)
            began = time.monotonic()
            # each alone, so that what its threads reach is known as its own
            subprocess.run([binary, "--quiet", "--exact", test], cwd=CRATE, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env={**ENVIRONMENT, "MUTANT_TRACE": str(trace)}, check=True)
            took = time.monotonic() - began
            for place in set(trace.read_text().split()) if trace.exists() else set():
                reached[int(place)].append((took, binary, test))
    return int(3 * seconds) + 3, reached


VERDICTS = {True: "missed", False: "caught", None: "timeout"}


def try_alone(mutant: Mutant, seconds: int) -> str:
    path = CRATE / mutant.file
    text = path.read_text()
    try:
        path.write_text(text[:mutant.start] + f" {mutant.text} " + text[mutant.end:])
        errors, binaries = cargo(CRATE, "test", "--no-run")
        return "unviable" if errors else VERDICTS[all_pass(binaries, 0, seconds)]
    finally:
        path.write_text(text)


def begun(mutants: list[Mutant]) -> dict:
    """All that the tries need, made or as the last run left it."""
    path = OUT / "state.json"
    if GOES_ON:
        return json.loads(path.read_text())
    began = time.monotonic()
    together, places, binaries = build(mutants)
    print(f"{len(mutants)} mutants, {len(together)} in one build of {time.monotonic() - began:.0f} s", flush=True)
    seconds, reached = baseline(binaries)
    state = {"names": [mutant.name for mutant in mutants], "together": [mutant.number for mutant in together],
             "places": places, "binaries": binaries, "seconds": seconds, "reached": reached}
    path.write_text(json.dumps(state))
    (OUT / "outcomes.jsonl").write_text("")
    # keys are text, as they are when read again
    return json.loads(path.read_text())


def main() -> None:
    OUT.mkdir(exist_ok=True)
    began = time.monotonic()
    mutants = listed(sys.argv[2:])
    state = begun(mutants)
    if state["names"] != [mutant.name for mutant in mutants]:
        sys.exit("the mutants are others than those of the last run: begin anew without MUTANTS_GO_ON")
    binaries, seconds, lock = state["binaries"], state["seconds"], threading.Lock()
    outcomes = {one["name"]: one for one in map(json.loads, (OUT / "outcomes.jsonl").read_text().splitlines())}
    for mutant in mutants:
        mutant.outcome = outcomes.get(mutant.name, {}).get("outcome", "")

    def note(mutant: Mutant, outcome: str, began: float) -> None:
        mutant.outcome, mutant.seconds = outcome, round(time.monotonic() - began, 2)
        with lock, open(OUT / "outcomes.jsonl", "a") as file:
            told = {"name": mutant.name, "file": mutant.file, "outcome": outcome, "seconds": mutant.seconds}
            file.write(json.dumps(told) + "\n")
            if outcome == "missed":
                print(f"missed  {mutant.name}", flush=True)

    def one(mutant: Mutant) -> None:
        if mutant.outcome or time.monotonic() > END:
            return
        began = time.monotonic()
        reach = state["reached"].get(str(state["places"][str(mutant.number)]), [])
        verdict = True
        for least, most in pairwise((0, 0.1, 1, float("inf"))):
            for binary in binaries:
                some = [(took, test) for took, of, test in reach if of == binary and least <= took < most]
                if verdict and some:
                    took = sum(took for took, _ in some)
                    limit = min(seconds, int(3 * took) + 3)
                    verdict = passes(binary, mutant.number, limit, [test for _, test in some], 20 + 20 * took)
        note(mutant, VERDICTS[verdict], began)

    chosen = set(state["together"])
    random.Random(1).shuffle(mutants)
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, [mutant for mutant in mutants if mutant.number in chosen]))
    for mutant in mutants:
        if mutant.number not in chosen and not mutant.outcome and time.monotonic() < END:
            began_one = time.monotonic()
            note(mutant, try_alone(mutant, seconds), began_one)
    report(sorted(mutants, key=lambda mutant: mutant.number))
    print(f"{time.monotonic() - began:.0f} s")


def report(mutants: list[Mutant]) -> None:
    table: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for mutant in mutants:
        for row in (mutant.file, "all"):
            table[row][mutant.outcome] += 1
    print(f"\n{'file':40} {'caught':>7} {'timeout':>7} {'missed':>7} {'unviable':>8} {'not tried':>9} {'killed':>7}")
    for file, counts in table.items():
        killed = counts["caught"] + counts["timeout"]
        print(f"{file:40} {counts['caught']:7} {counts['timeout']:7} {counts['missed']:7} {counts['unviable']:8} "
              f"{counts['']:9} {100 * killed / max(killed + counts['missed'], 1):6.1f}%")


main()
