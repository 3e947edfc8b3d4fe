"""GreenStream as a function of AWS Lambda, by the real runtime API, with S3 and SQS servers around it.

    function.py BINARY FUNCTION

A small server here is Lambda: it reads the queue as an event source mapping does (batches, partial batch failures), hands
each event to FUNCTION by the runtime API (`/2018-06-01/runtime/...`), and takes its answer. One test has the emulator of
cargo-lambda in its place.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import deltalake
import yaml

from checks import eventually, free_port, is_open, need, run, running, tests
from proxy import Proxy
from servers import AWS_KEYS, REGION, Aws, Queue, postgresql_server, postgresql_with_password
from template import Tags
from triggers import SlowProxy, configure, is_empty, readings, readings_in, reference, toml, upload, uploads

TEMPLATE = Path(__file__).resolve().parents[2] / "deploy/aws/template.yaml"
MEMORY_MB_MAX = 512
FIRST_POLL_MS_MAX = 100
# how many hours of a day come by the function; those before them are there already
HOURS = int(os.environ.get("GREENSTREAM_HOURS", "3"))


class Lambda:
    """One execution environment: a process of the function, and the runtime API for it alone."""

    process: subprocess.Popen
    began: float

    def __init__(self, limit: float = 900) -> None:
        self.limit = limit  # seconds that an invocation may take
        self.events: queue.Queue[object] = queue.Queue()
        self.answers: queue.Queue[tuple[bool, object]] = queue.Queue()
        self.first_poll: float | None = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:  # noqa: N802
                outer.first_poll = outer.first_poll or time.monotonic()
                event = outer.events.get()
                headers = {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + outer.limit) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:{REGION}:123456789012:function:greenstream",
                }
                try:
                    self.reply(200, json.dumps(event).encode(), headers)
                except OSError:
                    pass  # the process has ended

            def do_POST(self) -> None:  # noqa: N802
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.reply(202, b"{}", {"Content-Type": "application/json"})
                outer.answers.put((self.path.endswith("/response"), json.loads(body or b"null")))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a process that has ended leaves its connection torn
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    @staticmethod
    @contextlib.contextmanager
    def start(
        function: str, home: Path, variables: dict[str, str] | None = None, limit: float = 900
    ) -> Iterator[Lambda]:
        cloud = Lambda(limit)
        environment = {
            **os.environ,
            **AWS_KEYS,
            **(variables or {}),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{cloud.server.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "greenstream",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/greenstream",
            "AWS_LAMBDA_LOG_STREAM_NAME": "1",
            "GREENSTREAM_HOME": str(home),
        }
        cloud.began = time.monotonic()
        log = home.with_name("function.log")
        try:
            with open(log, "ab") as out, running([function], env=environment, stdout=out, stderr=out) as cloud.process:
                yield cloud
        finally:
            cloud.server.shutdown()
            cloud.server.server_close()

    def invoke(self, event: object, seconds: float = 300) -> tuple[bool, object]:
        self.events.put(event)
        return self.answers.get(timeout=seconds)


def sqs_event(messages: list[dict]) -> dict:
    records = [
        {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{REGION}:123456789012:events",
            "awsRegion": REGION,
        }
        for message in messages
    ]
    return {"Records": records}


def pump(cloud: Lambda | Emulator, events: Queue) -> int:
    """As an event source mapping: a batch goes to the function, and what it does not name as failed is removed."""
    answer = events.sqs.receive_message(QueueUrl=events.url, MaxNumberOfMessages=10, VisibilityTimeout=1)
    messages = answer.get("Messages", [])
    if not messages:
        return 0
    good, answer = cloud.invoke(sqs_event(messages))
    need(good and isinstance(answer, dict), answer)
    failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
    need(failed <= {message["MessageId"] for message in messages}, answer)
    for message in messages:
        if message["MessageId"] not in failed:
            events.sqs.delete_message(QueueUrl=events.url, ReceiptHandle=message["ReceiptHandle"])
    return len(messages)


def pump_until_empty(cloud: Lambda | Emulator, events: Queue) -> None:
    eventually(lambda: pump(cloud, events) == 0 and events.count() == 0, "the queue is empty", 300)


SCHEDULE = {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "resources": [], "detail": {}}


def put_notify_land(binary: str, function: str, folder: Path) -> None:
    """From the bucket to database and archive; a missing object and nonsense end among the dead letters."""
    with Aws.start() as aws:
        bucket, events = aws.bucket("meters", versioned=True), aws.queue("events", receives=3)
        aws.notify(bucket, events)
        home = folder / "home"
        configure(home, toml(aws, bucket))
        contents = [upload(number) for number in range(25)]
        with Lambda.start(function, home) as cloud:
            for number, content in enumerate(contents[:20]):
                aws.put(bucket, f"inbox/{number} +.csv", content)
            events.send({"key": "inbox/missing.csv", "bucket": bucket})
            events.send("no JSON")
            pump_until_empty(cloud, events)
            need(is_empty(aws, bucket), aws.keys(bucket))
            need(events.dead.count() == 2, events.dead.count())
            # lost events: only the schedule finds these
            for number, content in enumerate(contents[20:], start=20):
                aws.put(bucket, f"inbox/{number}.csv", content)
            lost = events.drain()
            good, answer = cloud.invoke(SCHEDULE)
            need(good and answer == {"landed": 5, "refused": 0, "waiting": 0}, answer)
            # and here they are all the same, in another process
        with Lambda.start(function, home) as cloud:
            for body in lost:
                events.send(body)
            pump_until_empty(cloud, events)
            need(events.dead.count() == 2, "an event of an object that has landed is no dead letter")
            good, _ = cloud.invoke({"warm": True})
            need(not good, "an event that nobody knows is an error")
            need(run(binary, home, "status").stdout.strip(), "another may own the home between invocations")
        need(readings(binary, home) == reference(binary, folder, contents), "the readings differ")
        run(binary, home, "verify")
        in_archive = archived(home)
        need(in_archive == 3 * len(contents), f"{in_archive} rows in the archive")


def archived(home: Path) -> int:
    return deltalake.DeltaTable(str(home / "archive" / "readings")).to_pyarrow_table().num_rows


class Deployed:
    """What the template makes: an inbox, a landing zone with a default retention, an archive, a queue, a database with
    a password; and the function's own variables."""

    def __init__(self, aws: Aws, endpoint: str, url: str, password: str) -> None:
        self.aws, self.inbox, self.landing = aws, aws.bucket("inbox", versioned=True), aws.bucket("landing", locks=True)
        self.archive, self.events = aws.bucket("archive", versioned=True), aws.queue("events", receives=3)
        resources = yaml.load(TEMPLATE.read_text(), Tags)["Resources"]  # noqa: S506: a safe loader
        lock = resources["Landing"]["Properties"]["ObjectLockConfiguration"]
        lock["Rule"]["DefaultRetention"]["Days"] = 1
        aws.s3.put_object_lock_configuration(Bucket=self.landing, ObjectLockConfiguration=lock)
        aws.notify(self.inbox, self.events)
        values = {
            "${Inbox}": self.inbox,
            "${Landing}": self.landing,
            "${Archive}": self.archive,
            "${DatabaseUrl}": f"{url}?schema=function",
            "{{resolve:secretsmanager:${DatabaseSecretArn}:SecretString:password}}": password,
        }
        self.variables = {
            name: self.resolved(value, values)
            for name, value in resources["Function"]["Properties"]["Environment"]["Variables"].items()
            if name != "GREENSTREAM_HOME"
        }
        # instead of the cloud's own
        self.variables |= {"GREENSTREAM__OBJECTS__ENDPOINT": endpoint, "GREENSTREAM__OBJECTS__REGION": REGION, **AWS_KEYS}

    @staticmethod
    def resolved(value: str, values: dict[str, str]) -> str:
        for name, known in values.items():
            value = value.replace(name, known)
        need("${" not in value and "{{" not in value, f"nobody knows {value}")
        return value

    def run(self, binary: str, home: Path, *args: object) -> str:
        """The command line with the function's configuration."""
        command = [binary, "--home", str(home), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **self.variables})
        need(done.returncode == 0, f"{command} exits with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def in_archive(self) -> int:
        """Rows of the readings in the archive."""
        table = deltalake.DeltaTable(f"s3://{self.archive}/readings", storage_options=storage(self.aws))
        return table.to_pyarrow_dataset().count_rows()


@contextlib.contextmanager
def deployed() -> Iterator[Deployed]:
    with Aws.start() as aws, postgresql_with_password() as (url, password):
        proxy = Proxy(aws.endpoint)
        # where a bucket has a default retention moto wants this header, and S3 takes any checksum
        proxy.adds_content_md5 = True
        with contextlib.closing(proxy):
            yield Deployed(aws, proxy.url, url, password)


def as_the_template_deploys_it(binary: str, function: str, folder: Path) -> None:
    """The template's own variables, with a home that every process finds empty."""
    with deployed() as cloud:
        aws, events = cloud.aws, cloud.events
        contents = [upload(number) for number in range(24)]
        reached = 0
        for turn in range(3):
            # nothing is kept between invocations: the next one finds what landing zone and database have
            home = folder / f"home-{turn}"
            home.mkdir()
            with Lambda.start(function, home, cloud.variables) as process:
                for number in range(8 * turn, 8 * turn + 8):
                    aws.put(cloud.inbox, f"inbox/{number}.csv", contents[number])
                if turn == 1:
                    # its events are lost: only the schedule finds these
                    events.drain()
                    good, answer = process.invoke(SCHEDULE)
                    need(good and answer == {"landed": 8, "refused": 0, "waiting": 0}, answer)
                pump_until_empty(process, events)
            need(is_empty(aws, cloud.inbox), aws.keys(cloud.inbox))
            now = cloud.in_archive()
            need(now > reached, f"{now} rows in the archive after {reached}")
            reached = now
        need(reached == 3 * len(contents), f"{reached} rows in the archive")
        need(events.dead.count() == 0, events.dead.drain())
        modes = {aws.s3.head_object(Bucket=cloud.landing, Key=key).get("ObjectLockMode") for key in aws.keys(cloud.landing)}
        need(modes == {"GOVERNANCE"}, f"what has landed is locked by {modes}")
        have = readings_in(cloud.run(binary, home, "export", "readings", "--format", "csv"))
        need(have == reference(binary, folder, contents), "the readings differ")
        cloud.run(binary, home, "verify")
        cloud.run(binary, home, "rebuild", "--check")


def storage(aws: Aws) -> dict[str, str]:
    """How deltalake reads the buckets."""
    keys = {name.lower(): value for name, value in AWS_KEYS.items() if name != "AWS_EC2_METADATA_DISABLED"}
    return {**keys, "aws_endpoint": aws.endpoint, "aws_allow_http": "true"}


def a_home_in_use_lets_messages_come_again(binary: str, function: str, folder: Path) -> None:
    with Aws.start() as aws:
        bucket, events = aws.bucket("meters"), aws.queue("events", receives=50)
        aws.notify(bucket, events)
        home = folder / "home"
        configure(home, toml(aws, bucket) + '\n[serve]\nlisten = "127.0.0.1:0"\n')
        aws.put(bucket, "inbox/a.csv", upload(1))
        # another owner, which has no bucket of its own to look at
        other = folder / "other.toml"
        other.write_text('[serve]\nlisten = "127.0.0.1:0"\n')
        owner = [binary, "--home", str(home), "--config", str(other), "run"]
        with Lambda.start(function, home) as cloud:
            with running(owner, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL):
                eventually(lambda: (home / "greenstream.db").exists(), "the owner has the home")
                messages = events.sqs.receive_message(QueueUrl=events.url, MaxNumberOfMessages=10, VisibilityTimeout=1)
                cloud.events.put(sqs_event(messages.get("Messages", [])))
                time.sleep(2)
                need(cloud.answers.empty(), "it waits for the home")
            good, answer = cloud.answers.get(timeout=60)
            need(good and answer == {"batchItemFailures": []}, answer)
        need(len(uploads(binary, home)) == 1, uploads(binary, home))


class Emulator:
    """The function in the emulator of cargo-lambda, asked as Lambda is asked (`Invoke`)."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/2015-03-31/functions/_/invocations"

    @staticmethod
    @contextlib.contextmanager
    def start(function: str, home: Path, variables: dict[str, str]) -> Iterator[Emulator]:
        port, log = free_port(), home.with_name("emulator.log")
        root = Path(__file__).resolve().parents[2]
        program = [str(Path(sys.executable).parent / "cargo-lambda"), "lambda", "watch", "--only-lambda-apis"]
        program += ["--manifest-path", str(root / "crates/lambda/Cargo.toml")]
        program += ["--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
        environment = {
            **os.environ,
            **variables,
            "AWS_LAMBDA_RUNTIME_API": f"http://127.0.0.1:{port}/.rt",
            "AWS_LAMBDA_FUNCTION_NAME": "_",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/greenstream",
            "AWS_LAMBDA_LOG_STREAM_NAME": "1",
            "GREENSTREAM_HOME": str(home),
        }
        with open(log, "ab") as out, running(program, cwd=root, stdout=out, stderr=out):
            eventually(lambda: is_open(port), "the emulator listens")
            with running([function], env=environment, stdout=out, stderr=out):
                yield Emulator(port)

    def invoke(self, event: object) -> tuple[bool, object]:
        body = json.dumps(event).encode()
        request = urllib.request.Request(self.address, data=body, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return True, json.load(answer)
        except urllib.error.HTTPError as error:
            return False, error.read().decode()


def in_the_emulator(_: str, function: str, folder: Path) -> None:
    """put -> notification -> queue -> function -> PostgreSQL and archive, in an emulator that others have written."""
    with deployed() as cloud:
        home = folder / "home"
        home.mkdir()
        with Emulator.start(function, home, cloud.variables) as emulator:
            for number in range(6):
                cloud.aws.put(cloud.inbox, f"inbox/{number}.csv", upload(number))
            cloud.events.send({"key": "inbox/missing.csv", "bucket": cloud.inbox})
            pump_until_empty(emulator, cloud.events)
            good, answer = emulator.invoke(SCHEDULE)
            need(good and answer == {"landed": 0, "refused": 0, "waiting": 0}, answer)
            good, answer = emulator.invoke({"warm": True})
            need(not good, f"an event that nobody knows is an error, and not {answer}")
        need(is_empty(cloud.aws, cloud.inbox), cloud.aws.keys(cloud.inbox))
        need(cloud.events.dead.count() == 1, "the missing object's message, and no other, is given up")
        need(cloud.in_archive() == 3 * 6, f"{cloud.in_archive()} rows in the archive")


def two_processes_take_turns(binary: str, function: str, folder: Path) -> None:
    """Two execution environments, as the queue and the schedule start them, on one database and one landing zone."""
    with deployed() as cloud:
        contents = [upload(number) for number in range(40)]
        homes = [folder / "one", folder / "two"]
        with contextlib.ExitStack() as block:
            processes = []
            for home in homes:
                home.mkdir()
                processes.append(block.enter_context(Lambda.start(function, home, cloud.variables)))
            for number, content in enumerate(contents):
                cloud.aws.put(cloud.inbox, f"inbox/{number}.csv", content)
            working = threading.Thread(target=pump_until_empty, args=(processes[0], cloud.events))
            working.start()
            landed = 0
            while working.is_alive() or landed == 0:
                good, answer = processes[1].invoke(SCHEDULE)
                need(good, answer)
                landed += 1
            working.join()
        need(is_empty(cloud.aws, cloud.inbox), cloud.aws.keys(cloud.inbox))
        need(cloud.events.count() == 0 and cloud.events.dead.count() == 0, "an event is left")
        have = readings_in(cloud.run(binary, homes[0], "export", "readings", "--format", "csv"))
        need(have == reference(binary, folder, contents), "the readings differ")
        cloud.run(binary, homes[1], "verify")


@contextlib.contextmanager
def webhook(port: int) -> Iterator[list[dict]]:
    """Takes alerts, and gives what it has taken."""
    taken: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:  # noqa: N802
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield taken
        server.shutdown()


def slowly(aws: Aws, bucket: str, proxy: SlowProxy, more: str) -> str:
    """A configuration whose objects come by the proxy, however long one takes."""
    text = toml(aws, bucket, more).replace(aws.endpoint, f"http://127.0.0.1:{proxy.port}")
    return text.replace("request_seconds = 3", "request_seconds = 60")


LIMIT = 20  # seconds: two thirds of it are for work


def answers_in_time_while_the_database_is_away(binary: str, function: str, folder: Path) -> str:
    """The server goes in the middle of an invocation: it waits, answers before its deadline and sends the outage's alert;
    the same process goes on when the server is back."""
    with contextlib.ExitStack() as block:
        aws, (url, tell) = block.enter_context(Aws.start()), block.enter_context(postgresql_server())
        port = free_port()
        alerts = block.enter_context(webhook(port))
        bucket, events = aws.bucket("meters"), aws.queue("events", receives=5)
        aws.notify(bucket, events)
        proxy = SlowProxy(aws.port, b"slow.csv", 200_000)
        home = folder / "home"
        more = f'[store]\nurl = "{url}"\n[alerts]\nwebhook = "http://127.0.0.1:{port}/"\n'
        configure(home, slowly(aws, bucket, proxy, more))
        contents = [upload(0), *(upload(number) for number in range(1, 5)), upload(5, meters=20_000)]
        process = block.enter_context(Lambda.start(function, home, limit=LIMIT))
        aws.put(bucket, "inbox/before.csv", contents[0])
        pump_until_empty(process, events)
        for number, content in enumerate(contents[1:-1]):
            aws.put(bucket, f"inbox/{number}.csv", content)
        aws.put(bucket, "inbox/slow.csv", contents[-1])
        received = events.sqs.receive_message(QueueUrl=events.url, MaxNumberOfMessages=10, VisibilityTimeout=LIMIT)
        messages = {message["MessageId"]: message for message in received["Messages"]}
        need(len(messages) == len(contents) - 1, messages)
        began = time.monotonic()
        process.events.put(sqs_event(list(messages.values())))
        # the home is open, for an object is on its way
        eventually(lambda: proxy.asked, "the slow object is asked for")
        tell("halt")
        good, answer = process.answers.get(timeout=began + LIMIT - time.monotonic())
        took = time.monotonic() - began
        need(good and isinstance(answer, dict), answer)
        failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
        slow = next(name for name, message in messages.items() if "slow.csv" in message["Body"])
        need(slow in failed and failed <= set(messages), f"{failed} of {set(messages)}")
        need(took > LIMIT / 2, f"it waits for the database while there is time, not {took:.1f} s")
        need([alert["kind"] for alert in alerts if "outage" in alert["kind"]] == ["outage"], alerts)
        for name in set(messages) - failed:
            events.sqs.delete_message(QueueUrl=events.url, ReceiptHandle=messages[name]["ReceiptHandle"])
        tell("resume")
        pump_until_empty(process, events)
        need(is_empty(aws, bucket), aws.keys(bucket))
        need(events.dead.count() == 0, events.dead.drain())
        need(len(uploads(binary, home)) == len(contents), uploads(binary, home))
        need(readings(binary, home) == reference(binary, folder, contents), "the readings differ")
        in_archive = archived(home)
        need(in_archive == 3 * (len(contents) - 1) + 20_000, f"{in_archive} rows in the archive")
        run(binary, home, "verify")
        return f"{len(failed)} of {len(messages)} messages given back after {took:.1f} s of {LIMIT}"


def a_schedule_leaves_what_does_not_fit_to_the_next(binary: str, function: str, folder: Path) -> None:
    with Aws.start() as aws:
        bucket = aws.bucket("meters")
        proxy = SlowProxy(aws.port, b"slow", 20_000)
        home = folder / "home"
        configure(home, slowly(aws, bucket, proxy, ""))
        contents = [*(upload(number) for number in range(3)), *(upload(number, meters=20_000) for number in range(3, 5))]
        for number, content in enumerate(contents):
            aws.put(bucket, f"inbox/{number}{'' if number < 3 else '-slow'}.csv", content)
        with Lambda.start(function, home, limit=12) as process:
            good, answer = process.invoke(SCHEDULE, seconds=12)
            need(good and answer == {"landed": 3, "refused": 0, "waiting": 0, "unfinished": True}, answer)
            need(len(aws.keys(bucket, "inbox/")) == 2, aws.keys(bucket))
            proxy.rate = 100_000_000
            good, answer = process.invoke(SCHEDULE)
            need(good and answer == {"landed": 2, "refused": 0, "waiting": 0}, answer)
            # also what the first had no time for
            need(archived(home) == 9 + 2 * 20_000, f"{archived(home)} rows in the archive")
        need(readings(binary, home) == reference(binary, folder, contents), "the readings differ")
        run(binary, home, "verify")


def alerts_go_out_whatever_the_scan_finds(binary: str, function: str, folder: Path) -> None:
    """A key that nobody can read stops the listing; an alert that waits goes out all the same."""
    with Aws.start() as aws:
        bucket, port = aws.bucket("meters"), free_port()
        home = folder / "home"
        configure(home, toml(aws, bucket, f'[alerts]\nwebhook = "http://127.0.0.1:{port}/"\n'))
        with Lambda.start(function, home) as process:
            aws.put(bucket, "inbox/nonsense.csv", b"nonsense\n1\n")
            good, answer = process.invoke(SCHEDULE)
            need(good and answer == {"landed": 1, "refused": 0, "waiting": 0}, answer)
            aws.put(bucket, "inbox/a//b.csv", upload(1))
            need(aws.keys(bucket, "inbox/") == ["inbox/a//b.csv"], aws.keys(bucket))
            with webhook(port) as alerts:
                good, answer = process.invoke(SCHEDULE)
                need(not good and "a//b" in json.dumps(answer), answer)
                need("dead_letter" in [alert["kind"] for alert in alerts], alerts)


def starts_soon_and_fits_into_half_a_gigabyte(binary: str, function: str, folder: Path) -> str:
    """From the process's start to its first poll; and the last hours of a day of 50,000 meters, as the template has it."""
    files = folder / "day"
    subprocess.run(
        [binary, "simulate", "--meters", "50000", "--days", "1", "--out", str(files)], check=True, stdout=subprocess.DEVNULL
    )
    hours = sorted(files.iterdir())
    with deployed() as cloud:
        polls, seconds, peak = [], [], 0
        home = folder / "home"
        home.mkdir()
        for _ in range(5):
            with Lambda.start(function, home, cloud.variables) as process:
                eventually(lambda: process.first_poll, "the first poll")
                polls.append((process.first_poll - process.began) * 1000)
                process.events.put(None)
                process.answers.get(timeout=10)
        if hours[:-HOURS]:
            cloud.run(binary, home, "ingest", *hours[:-HOURS])
        for number, hour in enumerate(hours[-HOURS:]):
            # each hour in an environment of its own, with a home that is empty: nothing is kept between invocations
            home = folder / f"home-{number}"
            home.mkdir()
            with Lambda.start(function, home, cloud.variables) as process:
                cloud.aws.put(cloud.inbox, f"inbox/{hour.name}", hour.read_bytes())
                began = time.monotonic()
                pump_until_empty(process, cloud.events)
                seconds.append(time.monotonic() - began)
                status = Path(f"/proc/{process.process.pid}/status").read_text()
                peak = max(peak, next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
        rows = json.loads(cloud.run(binary, home, "--json", "status"))["rows"]
        need(rows["balanced"] and rows["all"] > 190_000 * len(hours) * 0.9, rows)
        poll, peak_mb = sorted(polls)[len(polls) // 2], peak / 1024
        told = (
            f"first poll after {poll:.0f} ms (worst {max(polls):.0f}); the last {len(seconds)} of {rows['all']:,} rows'"
            f" {len(hours)} uploads, an invocation each, in at most {max(seconds):.1f} s and {peak_mb:.0f} MB"
        )
        need(poll < FIRST_POLL_MS_MAX and peak_mb < MEMORY_MB_MAX, told)
        return told


TESTS = [
    put_notify_land,
    as_the_template_deploys_it,
    in_the_emulator,
    a_home_in_use_lets_messages_come_again,
    two_processes_take_turns,
    answers_in_time_while_the_database_is_away,
    a_schedule_leaves_what_does_not_fit_to_the_next,
    alerts_go_out_whatever_the_scan_finds,
    starts_soon_and_fits_into_half_a_gigabyte,
]


if __name__ == "__main__":
    chosen = [test for test in TESTS if len(sys.argv) < 4 or test.__name__ in sys.argv[3:]]
    sys.exit(tests({test.__name__: partial(test, *sys.argv[1:3]) for test in chosen}))
