"""Four processes on one PostgreSQL database and one bucket: all land what comes to them, one works on it.

    processes.py BINARY [TEST…]

Each process has a home of its own; landing zone, database and archive are the same. Whoever works is killed again and
again, and comes back to stand by.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from checks import Failure, Service, eventually, need, run, serve, tests
from servers import AWS_KEYS, Aws, postgresql, postgresql_server
from triggers import ENVIRONMENT, TOKEN, configure, is_empty, readings, reference, sqs_toml, toml, upload

PROCESSES = 4
UPLOADS = 120
KILLS = 12
CUTS = 6
SECONDS = 240.0


def shared(bucket: str, url: str) -> str:
    return f"""
[landing]
url = "s3://{bucket}/landing"

[archive]
url = "s3://{bucket}/archive"
lag_seconds = 1

[store]
url = "{url}?schema=four"
"""


def without_inbox(aws: Aws, bucket: str) -> str:
    text = toml(aws, bucket)
    return text[: text.index("[inbox]")]


@contextmanager
def four(binary: str, folder: Path, text: str) -> Iterator[list[Service]]:
    """Four services, one after the other, so that it is known who works at first."""
    with ExitStack() as stack:
        services = []
        for number in range(PROCESSES):
            home = folder / f"home-{number}"
            configure(home, text)
            services.append(stack.enter_context(serve(binary, home, ENVIRONMENT)))
        yield services


def owns(service: Service) -> bool:
    """Whether a service works, by its own words."""
    said = re.findall(r"this process owns|standing by", service.text())
    return bool(said) and said[-1] == "this process owns"


def landed(service: Service) -> int:
    return len(re.findall(r"\blanded\b.*\bupload=", service.text()))


def put(service: Service, name: str, content: bytes) -> int:
    """Sends an upload, again and again as a sender does, until it is acknowledged."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "text/csv"}
    request = urllib.request.Request(f"{service.address}/v1/uploads/{name}", content, headers, method="PUT")
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                text = answer.read().decode()
                need(hashlib.sha256(content).hexdigest() in text, text)
                return answer.status
        except urllib.error.HTTPError as error:
            said = error.read().decode()
            if error.code != 503 or time.monotonic() > until or "another configuration" in said:
                raise Failure(f"{error.code}: {said}") from error
            time.sleep(0.2)


def get(service: Service, path: str) -> str:
    request = urllib.request.Request(service.address + path, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def done(service: Service) -> int:
    """Uploads that are processed, as a service has it; none while it cannot tell."""
    try:
        return json.loads(get(service, "/api/status"))["uploads"]["done"]
    except OSError:
        return -1


def is_ready(service: Service) -> bool:
    try:
        return get(service, "/readyz") == "ready\n"
    except OSError:
        return False


def rows(binary: str, home: Path, dataset: str) -> list[dict]:
    return list(csv.DictReader(run(binary, home, "export", dataset, "--format", "csv").stdout.splitlines()))


def check(binary: str, folder: Path, contents: list[bytes]) -> list[dict]:
    """Each content is one upload, done, and all of them give what they give elsewhere; the uploads."""
    home = folder / "home-0"
    found = rows(binary, home, "uploads")
    need(len(found) == len(contents), f"{len(found)} uploads of {len(contents)}")
    need({row["status"] for row in found} == {"done"}, found)
    need(readings(binary, home) == reference(binary, folder, contents), "the readings differ")
    run(binary, home, "verify")
    run(binary, home, "rebuild", "--check")
    return found


def killed_again_and_again(binary: str, folder: Path) -> str:
    """Uploads come into all inboxes, some of them into two, while whoever works is killed."""
    os.environ.update(AWS_KEYS)
    order = random.Random(1)
    with Aws.start() as aws, postgresql() as url:
        bucket = aws.bucket("meters", locks=True)
        contents = [upload(number) for number in range(UPLOADS)]
        killed = 0
        with four(binary, folder, without_inbox(aws, bucket) + shared(bucket, url)) as services:
            homes = [folder / f"home-{number}" for number in range(PROCESSES)]
            left = lambda: [file for home in homes for file in (home / "inbox").iterdir() if file.suffix == ".csv"]  # noqa: E731
            coming, until = list(enumerate(contents)), time.monotonic() + SECONDS
            while coming or left() or killed < KILLS:
                need(time.monotonic() < until, f"{len(left())} files wait after {SECONDS:.0f} s and {killed} kills")
                for number, content in coming[:10]:
                    for home in order.sample(homes, 2 if number % 10 == 0 else 1):
                        part = home / f"{number}.part"
                        part.write_bytes(content)
                        part.rename(home / "inbox" / f"{number:04}.csv")
                del coming[:10]
                time.sleep(order.uniform(0.1, 1.0))
                # now and then one that stands by, for it lands too
                working = [service for service in services if owns(service)] if order.random() < 0.7 else []
                victim = (working or order.sample(services, 1))[0]
                victim.kill()
                killed += 1
                victim.killed = False
                victim.__enter__()
                for service in services:
                    need(service.process.poll() is None, f"one has ended: {service.text()[-2000:]}")
            by = [landed(service) for service in services]
        need(all(by), f"one of them has landed nothing: {by}")
        run(binary, homes[0], "ingest", homes[0] / "inbox")
        check(binary, folder, contents)
        return f"{UPLOADS} uploads landed by {by}, {killed} kills"


def whoever_is_asked_lands(binary: str, folder: Path) -> str:
    """Over HTTP, at any of them at the same time, also known bytes; then the one that works is gone."""
    os.environ.update(AWS_KEYS)
    with Aws.start() as aws, postgresql() as url:
        bucket = aws.bucket("meters", locks=True)
        contents = [upload(number) for number in range(80)]
        with four(binary, folder, without_inbox(aws, bucket) + shared(bucket, url)) as services:
            first, *others = services
            need(owns(first) and not any(map(owns, others)), "the first works, the others do not")
            eventually(lambda: all(map(is_ready, services)), "each of them is ready for senders")
            with ThreadPoolExecutor(16) as pool:
                send = lambda number: put(services[number % PROCESSES], f"{number}.csv", contents[number])  # noqa: E731
                codes = Counter(pool.map(send, range(len(contents))))
                need(codes == {201: len(contents)}, codes)
                again = lambda number: put(services[(number + 1) % PROCESSES], f"again-{number}.csv", contents[number])  # noqa: E731
                codes = Counter(pool.map(again, range(0, len(contents), 4)))
                need(codes == {200: len(contents) // 4}, codes)
            need(all(landed(service) == len(contents) // PROCESSES for service in services), list(map(landed, services)))
            began = time.monotonic()
            eventually(lambda: done(first) == len(contents), "the one that works has worked on all")
            took = time.monotonic() - began
            need(all(done(service) == len(contents) and "GreenStream" in get(service, "/") for service in others), "each shows all of it")
            first.kill()
            contents += [upload(number) for number in range(80, 90)]
            for number in range(80, 90):
                need(put(others[number % 3], f"{number}.csv", contents[number]) == 201, "it lands, whoever works by now")
            eventually(lambda: any(map(owns, others)), "another works", 40)
            eventually(lambda: done(others[0]) == len(contents), "it has worked on all")
        deliveries = rows(binary, folder / "home-0", "deliveries")
        names = sorted(row["name"] for row in deliveries if row["name"].startswith("again"))
        need(len(deliveries) == len(contents) + 20, f"{len(deliveries)} deliveries")
        need(names == sorted(f"again-{number}.csv" for number in range(0, 80, 4)), names)
        check(binary, folder, contents)
        return f"90 uploads, 20 known ones; all was worked on within {took:.1f} s of the last answer"


def cut_off(binary: str, folder: Path) -> str:
    """The server ends the connection that has the lock, again and again: another works from then on, and whoever was
    cut off notices and stands by."""
    os.environ.update(AWS_KEYS)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with Aws.start() as aws, postgresql() as url:
        bucket = aws.bucket("meters", locks=True)
        contents = [upload(number) for number in range(10 * CUTS)]
        with four(binary, folder, without_inbox(aws, bucket) + shared(bucket, url)) as services:
            for number, content in enumerate(contents):
                if number % 10 == 5:
                    subprocess.run(["psql", "--quiet", "--command", cut, url], check=True, capture_output=True)
                need(put(services[number % PROCESSES], f"{number}.csv", content) in (200, 201), "it lands")
                time.sleep(0.1)
            for _ in range(2):
                # one that has nothing to write finds out all the same
                eventually(lambda: sum(map(owns, services)) == 1, "one of them works", 60)
                subprocess.run(["psql", "--quiet", "--command", cut, url], check=True, capture_output=True)
                time.sleep(3)
            eventually(lambda: sum(map(owns, services)) == 1, "one of them works", 60)
            took_over = sum(service.text().count("this process owns") for service in services)
            need(took_over > CUTS / 2, f"{took_over} of {CUTS} connections were missed")
            need(all(service.process.poll() is None for service in services), "one has ended")
            eventually(lambda: all(map(is_ready, services)), "all are ready again")
        check(binary, folder, contents)
        return f"{len(contents)} uploads, {CUTS} connections cut, {took_over} times one began to work"


def without_the_database(binary: str, folder: Path) -> str:
    """All of them land while the server is away, also known bytes; one that is to end does; afterwards nothing is missing."""
    os.environ.update(AWS_KEYS)
    with Aws.start() as aws, postgresql_server() as (url, tell):
        bucket = aws.bucket("meters", locks=True)
        contents = [upload(number) for number in range(48)]
        with four(binary, folder, without_inbox(aws, bucket) + shared(bucket, url)) as services:
            for number in range(8):
                need(put(services[number % PROCESSES], f"{number}.csv", contents[number]) == 201, "it lands")
            eventually(lambda: done(services[0]) == 8, "they are worked on")
            tell("halt")
            slowest = 0.0
            for number in range(8, 48):
                began = time.monotonic()
                need(put(services[number % PROCESSES], f"{number}.csv", contents[number]) == 201, "it lands")
                slowest = max(slowest, time.monotonic() - began)
                if number % 4 == 1:
                    need(put(services[number // 4 % PROCESSES], f"again-{number}.csv", contents[number - 8]) == 200, "known")
                time.sleep(0.2)
            need(slowest < 5, f"a sender waited {slowest:.1f} s")
            need(not any(map(is_ready, services)), "each says that the database is away")
            eventually(lambda: all("the database cannot be written" in service.text() for service in services), "each says why")
            last = services[-1]
            last.__exit__(None)
            last.killed = True
            tell("resume")
            eventually(lambda: done(services[0]) == len(contents), "all is worked on")
            eventually(lambda: sum(map(owns, services[:-1])) == 1 and all(map(is_ready, services[:-1])), "one works, all are ready")
            # those that the one has taken that ended without the database were told to it alone
            again = [f"again-{number}.csv" for number in range(9, 48, 4) if number // 4 % PROCESSES != PROCESSES - 1]
            names = lambda: sorted(row["name"] for row in rows(binary, folder / "home-0", "deliveries") if row["name"].startswith("again"))  # noqa: E731
            eventually(lambda: names() == sorted(again), "known bytes are recorded")
        check(binary, folder, contents)
        return f"{len(contents) - 8} uploads while it was away, the slowest acknowledged after {slowest:.1f} s"


def rules_are_rolled_out(binary: str, folder: Path) -> str:
    """While one judges everything anew by new rules, one with the old ones does not take the database in between."""
    os.environ.update(AWS_KEYS)
    with Aws.start() as aws, postgresql() as url, ExitStack() as stack:
        bucket = aws.bucket("meters", locks=True)
        text = without_inbox(aws, bucket) + shared(bucket, url)
        contents = [upload(number) for number in range(60)]
        begin = []
        for number, rules in enumerate(["", "", 'reporting_zone = "Europe/Zurich"\n']):
            configure(folder / f"home-{number}", rules + text)
            begin.append(stack.enter_context(serve(binary, folder / f"home-{number}", ENVIRONMENT)))
        first, old, new = begin
        for number, content in enumerate(contents):
            need(put(first, f"{number}.csv", content) == 201, "it lands")
        eventually(lambda: done(first) == len(contents), "they are worked on")
        # some that nobody has worked on when the rules change
        first.process.send_signal(signal.SIGSTOP)
        contents += [upload(number) for number in range(60, 70)]
        for number in range(60, 70):
            need(put(old, f"{number}.csv", contents[number]) == 201, "it lands")
        old.process.send_signal(signal.SIGSTOP)
        first.kill()
        eventually(lambda: "judging everything again" in new.text(), "the one with new rules takes over", 40)
        old.process.send_signal(signal.SIGCONT)
        eventually(lambda: owns(new), "it works", 60)
        time.sleep(15)
        need(owns(new) and not owns(old), "the one with the old rules has taken it")
        versions = [entry for key in aws.keys(bucket, "landing/journal/") for entry in aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines() if b'"configuration"' in entry]
        need(len(versions) == 2, f"{len(versions)} versions of the rules are in the journal")
        need(is_ready(new) and not is_ready(old), "senders are sent to the new one")
        (folder / "home-0" / "greenstream.toml").write_text((folder / "home-2" / "greenstream.toml").read_text())
        stack.close()
        deliveries = rows(binary, folder / "home-0", "deliveries")
        need(len(deliveries) == len(contents), f"{len(deliveries)} deliveries of {len(contents)}")
        check(binary, folder, contents)
        return "it took over and kept it"


def one_queue_for_all(binary: str, folder: Path) -> str:
    """Each takes its share of the messages of one queue; one of them looks at the bucket itself."""
    os.environ.update(AWS_KEYS)
    with Aws.start() as aws, postgresql() as url:
        bucket, queue = aws.bucket("meters", locks=True), aws.queue("events", receives=5)
        aws.notify(bucket, queue)
        contents = [upload(number) for number in range(60)]
        text = toml(aws, bucket, sqs_toml(aws, queue.url)) + shared(bucket, url)
        with four(binary, folder, text) as services:
            for number, content in enumerate(contents):
                aws.put(bucket, f"inbox/{number:03}.csv", content)
            eventually(lambda: is_empty(aws, bucket), "objects leave the inbox once landed", 90)
            eventually(lambda: queue.count() == 0, "messages leave the queue")
            by = [landed(service) for service in services]
            need(sum(by) == len(contents) and sum(count > 0 for count in by) > 1, by)
        need(queue.dead.count() == 0, queue.dead.drain())
        check(binary, folder, contents)
        return f"{len(contents)} objects landed by {by}"


def events_again_before_the_database_knows(binary: str, folder: Path) -> str:
    """The one that works is held up; events of objects that the others have landed come again, to any of them: none is
    taken for that of an object which is lost."""
    os.environ.update(AWS_KEYS)
    with Aws.start() as aws, postgresql() as url:
        bucket, seen, queue = aws.bucket("meters", locks=True), aws.queue("seen"), aws.queue("events", receives=5)
        aws.notify(bucket, seen)
        contents = [upload(number) for number in range(12)]
        text = toml(aws, bucket, sqs_toml(aws, queue.url)) + shared(bucket, url)
        with four(binary, folder, text) as services:
            services[0].process.send_signal(signal.SIGSTOP)
            for number, content in enumerate(contents):
                aws.put(bucket, f"inbox/{number:03}.csv", content)
            events = [body for body in seen.drain() if "Records" in body]
            for event in events:
                queue.send(event)
            eventually(lambda: is_empty(aws, bucket), "the others land them")
            eventually(lambda: queue.count() == 0, "messages leave the queue")
            for event in 3 * events:
                queue.send(event)
            eventually(lambda: queue.count() == 0, "those that come again leave it too")
            need(queue.dead.count() == 0, queue.dead.drain())
            need(done(services[1]) == 0, "the database knows of none")
            services[0].process.send_signal(signal.SIGCONT)
            eventually(lambda: done(services[1]) == len(contents), "the one that was held up works on them")
        need(queue.dead.count() == 0, queue.dead.drain())
        check(binary, folder, contents)
        return f"{4 * len(events)} events for {len(contents)} objects"


def another_configuration_lands_nothing(binary: str, folder: Path) -> None:
    """How a file is read is the owner's to say: who would read it otherwise does not land it."""
    os.environ.update(AWS_KEYS)
    with Aws.start() as aws, postgresql() as url:
        bucket = aws.bucket("meters", locks=True)
        text = without_inbox(aws, bucket) + shared(bucket, url)
        configure(folder / "home-0", text)
        configure(folder / "home-1", 'reporting_zone = "Europe/Zurich"\n' + text)
        contents = [upload(number) for number in range(3)]
        with serve(binary, folder / "home-0", ENVIRONMENT) as owner, serve(binary, folder / "home-1", ENVIRONMENT) as other:
            need(put(owner, "0.csv", contents[0]) == 201, "the owner lands")
            try:
                put(other, "1.csv", contents[1])
            except Failure as refused:
                need("another configuration" in str(refused), refused)
            else:
                raise Failure("it landed under another configuration")
            need(not is_ready(other), "senders are not sent to it")
            (folder / "home-1" / "2.part").write_bytes(contents[2])
            (folder / "home-1" / "2.part").rename(folder / "home-1" / "inbox" / "2.csv")
            time.sleep(2)
            need((folder / "home-1" / "inbox" / "2.csv").exists(), "the file waits")
            owner.kill()
            # it judges everything anew, and is then the one that says how files are read
            eventually(lambda: owns(other) and not (folder / "home-1" / "inbox" / "2.csv").exists(), "it works", 60)
            need(put(other, "1.csv", contents[1]) == 201, "it lands")
        (folder / "home-0" / "greenstream.toml").write_text((folder / "home-1" / "greenstream.toml").read_text())
        check(binary, folder, contents)


ALL = [
    killed_again_and_again,
    whoever_is_asked_lands,
    cut_off,
    without_the_database,
    one_queue_for_all,
    events_again_before_the_database_knows,
    another_configuration_lands_nothing,
    rules_are_rolled_out,
]

if __name__ == "__main__":
    named = {test.__name__: partial(test, sys.argv[1]) for test in ALL}
    sys.exit(tests({name: test for name, test in named.items() if name in (sys.argv[2:] or named)}, at_once=2))
