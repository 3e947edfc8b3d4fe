"""GreenStream as a function of AWS Lambda, by the real runtime API, with S3 and SQS servers around it.

    function.py BINARY FUNCTION

A small server here is Lambda: it reads the queue as an event source mapping does (batches, partial batch failures), hands
each event to FUNCTION by the runtime API (`/2018-06-01/runtime/...`), and takes its answer.
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
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import deltalake

from checks import eventually, need, run, running, tests
from servers import AWS_KEYS, REGION, Aws, Queue, postgresql
from triggers import configure, is_empty, readings, reference, toml, upload, uploads

MEMORY_MB_MAX = 512
HOURS = int(os.environ.get("GREENSTREAM_HOURS", "6"))


class Lambda:
    """One execution environment: a process of the function, and the runtime API for it alone."""

    process: subprocess.Popen
    began: float

    def __init__(self) -> None:
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
                    "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 900) * 1000)),
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
    def start(function: str, home: Path) -> Iterator[Lambda]:
        cloud = Lambda()
        environment = {
            **os.environ,
            **AWS_KEYS,
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


def pump(cloud: Lambda, events: Queue) -> int:
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


def pump_until_empty(cloud: Lambda, events: Queue) -> None:
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


def as_the_template_deploys_it(binary: str, function: str, folder: Path) -> None:
    """Buckets with versions and Object Lock, a queue, PostgreSQL; and a home that every process finds empty."""
    with Aws.start() as aws, postgresql() as url:
        inbox, landing, archive = aws.bucket("inbox", versioned=True), aws.bucket("landing", locks=True), aws.bucket("archive")
        events = aws.queue("events", receives=3)
        aws.notify(inbox, events)
        places = f"""
[landing]
url = "s3://{landing}"
object_lock_days = 1

[archive]
url = "s3://{archive}"

[store]
url = "{url}?schema=function"
"""
        contents = [upload(number) for number in range(24)]
        reached = 0
        for turn in range(3):
            # nothing is kept between invocations: the next one finds what landing zone and database have
            home = folder / f"home-{turn}"
            configure(home, toml(aws, inbox) + places)
            with Lambda.start(function, home) as cloud:
                for number in range(8 * turn, 8 * turn + 8):
                    aws.put(inbox, f"inbox/{number}.csv", contents[number])
                if turn == 1:
                    # its events are lost: only the schedule finds these
                    events.drain()
                    good, answer = cloud.invoke(SCHEDULE)
                    need(good and answer == {"landed": 8, "refused": 0, "waiting": 0}, answer)
                pump_until_empty(cloud, events)
            need(is_empty(aws, inbox), aws.keys(inbox))
            now = deltalake.DeltaTable(f"s3://{archive}/readings", storage_options=storage(aws)).to_pyarrow_table().num_rows
            need(now > reached, f"{now} rows in the archive after {reached}")
            reached = now
        need(reached == 3 * len(contents), f"{reached} rows in the archive")
        need(events.dead.count() == 0, events.dead.drain())
        os.environ.update(AWS_KEYS)
        need(readings(binary, home) == reference(binary, folder, contents), "the readings differ")
        run(binary, home, "verify")
        run(binary, home, "rebuild", "--check")


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


def starts_soon_and_fits_into_half_a_gigabyte(binary: str, function: str, folder: Path) -> str:
    """From the process's start to its first poll; and an hour of 50,000 meters, after a day that is there already."""
    files = folder / "day"
    subprocess.run(
        [binary, "simulate", "--meters", "50000", "--days", "1", "--out", str(files)], check=True, stdout=subprocess.DEVNULL
    )
    hours = sorted(files.iterdir())
    with Aws.start() as aws:
        bucket, events = aws.bucket("meters"), aws.queue("events", receives=3)
        aws.notify(bucket, events)
        home = folder / "home"
        sizes = "\n[sizes]\nwindow_readings = 2000000\narchive_buffer_bytes = 33554432\nworkers = 2\n"
        configure(home, toml(aws, bucket).replace("request_seconds = 3", "request_seconds = 60") + sizes)
        polls, seconds = [], []
        for _ in range(5):
            with Lambda.start(function, home) as cloud:
                eventually(lambda: cloud.first_poll, "the first poll")
                polls.append((cloud.first_poll - cloud.began) * 1000)
                cloud.events.put(None)
                cloud.answers.get(timeout=10)
        peak = 0
        for hour in hours[:HOURS]:
            # each hour in an environment of its own: nothing is kept between invocations
            with Lambda.start(function, home) as cloud:
                aws.put(bucket, f"inbox/{hour.name}", hour.read_bytes())
                began = time.monotonic()
                pump_until_empty(cloud, events)
                seconds.append(time.monotonic() - began)
                status = Path(f"/proc/{cloud.process.pid}/status").read_text()
                peak = max(peak, next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
        rows = json.loads(run(binary, home, "--json", "status").stdout)["rows"]
        need(rows["balanced"] and rows["all"] > 190_000 * HOURS, rows)
        poll, peak_mb = sorted(polls)[len(polls) // 2], peak / 1024
        told = (
            f"first poll after {poll:.0f} ms (worst {max(polls):.0f}); {rows['all']:,} rows in {len(seconds)} invocations,"
            f" at most {max(seconds):.1f} s and {peak_mb:.0f} MB"
        )
        need(peak_mb < MEMORY_MB_MAX, told)
        return told


TESTS = [
    put_notify_land,
    as_the_template_deploys_it,
    a_home_in_use_lets_messages_come_again,
    starts_soon_and_fits_into_half_a_gigabyte,
]


if __name__ == "__main__":
    chosen = [test for test in TESTS if len(sys.argv) < 4 or test.__name__ in sys.argv[3:]]
    sys.exit(tests({test.__name__: partial(test, *sys.argv[1:3]) for test in chosen}))
