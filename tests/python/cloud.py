"""What the tests of cloud parts share: an S3 and SQS server, a NATS server, the service on a home of its own.

All on free ports of 127.0.0.1, with data in a temporary folder, and stopped at the end.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config

TARGET = Path(__file__).resolve().parents[2] / "target"

DEADLINE_SECONDS = 60.0
TOKEN = "a-token-of-the-tests"
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
T = TypeVar("T")


class Failure(Exception):
    """A check that did not hold."""


def check(holds: bool, what: object) -> None:
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


class Aws:
    """An S3 and SQS server (moto) in memory."""

    def __init__(self, port: int) -> None:
        self.port, self.endpoint = port, f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
        config = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}, max_pool_connections=32)
        self.s3 = boto3.client("s3", endpoint_url=self.endpoint, config=config, **keys)
        self.sqs = boto3.client("sqs", endpoint_url=self.endpoint, config=config, **keys)

    @staticmethod
    @contextlib.contextmanager
    def start(folder: Path, port: int | None = None) -> Iterator[Aws]:
        port = port or free_port()
        environment = {**os.environ, **KEYS}
        with open(folder / "moto.log", "ab") as log:
            command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
            with running(command, stdout=log, stderr=log, env=environment) as process:
                eventually(lambda: is_open(port) or process.poll() is not None, "moto listens")
                check(process.poll() is None, (folder / "moto.log").read_text())
                yield Aws(port)

    def bucket(self, name: str, versioned: bool = False) -> str:
        self.s3.create_bucket(Bucket=name)
        if versioned:
            self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def put(self, bucket: str, key: str, body: bytes) -> dict:
        return self.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        found = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return sorted(one["Key"] for one in found)

    def queue(self, name: str, receives: int | None = None) -> Queue:
        """A queue; with a number of receives, one with a dead-letter queue behind it."""
        attributes = {"VisibilityTimeout": "2"}
        dead = None
        if receives is not None:
            dead = self.queue(f"{name}-dead")
            policy = {"deadLetterTargetArn": dead.arn, "maxReceiveCount": str(receives)}
            attributes["RedrivePolicy"] = json.dumps(policy)
        url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return Queue(self.sqs, url, dead)

    def notify(self, bucket: str, queue: Queue) -> None:
        """Lets a bucket tell a queue of new objects. S3 sends a test event first."""
        notification = {"QueueConfigurations": [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}]}
        self.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=notification)


@dataclass
class Queue:
    sqs: Any
    url: str
    dead: Queue | None

    @property
    def arn(self) -> str:
        return self.attributes("QueueArn")["QueueArn"]

    def attributes(self, *names: str) -> dict:
        return self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=list(names))["Attributes"]

    def send(self, body: object) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.sqs.send_message(QueueUrl=self.url, MessageBody=text)

    def count(self) -> int:
        """All messages, also those that somebody has in hand."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return sum(int(value) for value in self.attributes(*names).values())

    def drain(self) -> list[str]:
        """Takes all messages out."""
        bodies = []
        while True:
            answer = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
            messages = answer.get("Messages", [])
            if not messages:
                return bodies
            for message in messages:
                bodies.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])


def nats_server() -> str:
    """The program `nats-server`; without one, Debian's package is unpacked into target/."""
    if found := shutil.which("nats-server"):
        return found
    folder = TARGET / "nats"
    program = folder / "usr" / "sbin" / "nats-server"
    programs = [program, folder / "usr" / "bin" / "nats-server"]
    if not any(one.exists() for one in programs):
        folder.mkdir(parents=True, exist_ok=True)
        fetch = ["apt-get", "download", "--quiet=2", "nats-server"]
        if subprocess.run(fetch, cwd=folder, capture_output=True).returncode:
            subprocess.run(["apt-get", "update", "--quiet=2"], check=True, capture_output=True)
            subprocess.run(fetch, cwd=folder, check=True, capture_output=True)
        package = next(folder.glob("nats-server_*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return str(next(one for one in programs if one.exists()))


@contextlib.contextmanager
def nats(folder: Path, port: int) -> Iterator[None]:
    """A NATS server with JetStream, which keeps its streams in `folder` from one start to the next."""
    command = [nats_server(), "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(folder / "nats")]
    with open(folder / "nats.log", "ab") as log, running(command, stdout=log, stderr=log):
        eventually(lambda: is_open(port), "nats-server listens")
        yield


@dataclass
class Service:
    """`greenstream run` on a home."""

    binary: str
    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None
    address: str = ""

    def __enter__(self) -> Service:
        self.home.mkdir(parents=True, exist_ok=True)
        self.log = self.home.parent / f"{self.home.name}.log"
        environment = {**os.environ, **KEYS, "GREENSTREAM_TOKEN": TOKEN, **self.environment}
        before = self.text()
        with open(self.log, "ab") as log:
            command = [self.binary, "--home", str(self.home), "run", "--listen", "127.0.0.1:0"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        atexit.register(self.process.kill)  # also where a check fails first

        def listens() -> str:
            lines = self.text()[len(before) :].splitlines()
            check(self.process.poll() is None, f"the service has ended: {lines}")
            return next((line.split()[1] for line in lines if line.startswith("pages: ")), "")

        self.address = eventually(listens, "the service listens")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        check(self.process.wait(30) == 0, f"the service ended with {self.process.returncode}: {self.text()[-2000:]}")

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def command(self, *arguments: str) -> str:
        return command(self.binary, self.home, *arguments)


def command(binary: str, home: Path, *arguments: str) -> str:
    done = subprocess.run([binary, "--home", str(home), *arguments], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"{arguments}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def readings(binary: str, home: Path) -> list[str]:
    """Every reading as (meter, instant, power, flags), without the numbers that depend on the order of landing."""
    rows = command(binary, home, "export", "readings", "--format", "csv").splitlines()
    header = rows[0].split(",")
    kept = [header.index(name) for name in ("meter_id", "ts", "kw")]
    return sorted(",".join(row.split(",")[index] for index in kept) for row in rows[1:])


def uploads(binary: str, home: Path) -> list[dict]:
    rows = command(binary, home, "--json", "uploads")
    parsed = json.loads(rows)
    return parsed if isinstance(parsed, list) else parsed["uploads"]


def upload(number: int, meters: int = 3) -> bytes:
    """An upload of its own: all meters at one instant."""
    minutes = 15 * number
    at = f"2026-03-{2 + minutes // 1440:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:00Z"
    rows = [f"M{meter:05},{at},{1 + number % 5}.{meter % 10},kW" for meter in range(meters)]
    return "\n".join(["meter_id,timestamp,energy_value,energy_unit", *rows, ""]).encode()


def configure(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "greenstream.toml").write_text(text)


def main(tests: list[Callable[..., None]], *arguments: object) -> int:
    failed = 0
    for test in tests:
        began = time.monotonic()
        try:
            test(*arguments)
            print(f"  {test.__name__}: good, {time.monotonic() - began:.1f} s", flush=True)
        except Exception as error:  # noqa: BLE001: the others are to run
            failed += 1
            print(f"  {test.__name__}: FAILED: {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0
