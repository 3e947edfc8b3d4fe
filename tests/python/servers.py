"""Servers that speak the clouds' protocols, on free ports of loopback, for as long as a `with` block.

moto (PyPI) is S3 and SQS; Azurite (npm, into target/node) is Azure Blob Storage; nats-server (Debian's package, into
target/nats) is NATS with JetStream; scripts/postgres starts PostgreSQL. moto and Azurite keep everything in memory, and take any credentials.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from azure.storage.blob import BlobServiceClient
from botocore.config import Config

from checks import Failure, eventually, free_port, is_open, need, running

TARGET = Path(__file__).resolve().parents[2] / "target"
REGION = "eu-central-1"
AWS_KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
AZURE_ACCOUNT = "devstoreaccount1"
# the account key that Azurite's documentation gives to everyone
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURE_KEYS = {"AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY}
AZURITE = "3.35.0"


@contextlib.contextmanager
def served(command: list[str], port: int, **more: Any) -> Iterator[str]:
    """Runs a server until the block ends; gives its address once it takes connections."""
    with tempfile.TemporaryFile() as log, running(command, stdout=log, stderr=log, **more) as server:

        def listens() -> bool:
            if server.poll() is not None:
                log.seek(0)
                raise Failure(f"{command} has ended with {server.returncode}:\n{log.read().decode(errors='replace')[-2000:]}")
            return is_open(port)

        eventually(listens, f"{command[0]} listens")
        yield f"http://127.0.0.1:{port}"


class Aws:
    """An S3 and SQS server (moto) in memory."""

    def __init__(self, port: int) -> None:
        self.port, self.endpoint = port, f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": REGION}
        config = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}, max_pool_connections=32)
        session = boto3.session.Session(**keys)  # the one of boto3 itself is for one thread
        self.s3, self.sqs = (session.client(name, endpoint_url=self.endpoint, config=config) for name in ("s3", "sqs"))

    @staticmethod
    @contextlib.contextmanager
    def start(port: int | None = None) -> Iterator[Aws]:
        port = port or free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with served(command, port, env={**os.environ, **AWS_KEYS}):
            yield Aws(port)

    def bucket(self, name: str, versioned: bool = False, locks: bool = False) -> str:
        """A bucket; with Object Lock it has versions, too."""
        place = {"LocationConstraint": REGION}
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration=place, ObjectLockEnabledForBucket=locks)
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


def azurite_program() -> Path:
    """Azurite, installed if it is not."""
    folder = TARGET / "node"
    program = folder / "node_modules" / ".bin" / "azurite-blob"
    stamp = folder / "azurite.installed"
    if not program.exists() or not stamp.exists() or stamp.read_text() != AZURITE:
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm") or "npm"
        command = [npm, "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder), f"azurite@{AZURITE}"]
        done = subprocess.run(command, capture_output=True, text=True)
        need(done.returncode == 0, f"{' '.join(command)}\n{(done.stdout + done.stderr)[-2000:]}")
        stamp.write_text(AZURITE)
    return program


@contextlib.contextmanager
def azure(container: str) -> Iterator[str]:
    """An Azure Blob Storage server with a container. The paths of its address begin with the account."""
    port = free_port()
    command = [str(azurite_program()), "--inMemoryPersistence", "--silent", "--skipApiVersionCheck"]
    with served([*command, "--blobHost", "127.0.0.1", "--blobPort", str(port)], port) as address:
        BlobServiceClient(f"{address}/{AZURE_ACCOUNT}", credential=AZURE_KEY).create_container(container)
        yield address


def nats_program() -> str:
    """The program `nats-server`; without one, Debian's package is unpacked into target/."""
    if found := shutil.which("nats-server"):
        return found
    folder = TARGET / "nats"
    programs = [folder / "usr" / "sbin" / "nats-server", folder / "usr" / "bin" / "nats-server"]
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
def postgresql() -> Iterator[str]:
    """A PostgreSQL server that does without fsync; gives its URL. The server's own program starts and stops it."""
    with postgresql_server() as (url, _):
        yield url


@contextlib.contextmanager
def postgresql_with_password() -> Iterator[tuple[str, str]]:
    """A PostgreSQL server that asks for a password; gives its URL, which has none, and the password."""
    with postgresql_started("--password") as (folder, url):
        yield url, (folder / "password").read_text().strip()


@contextlib.contextmanager
def postgresql_server() -> Iterator[tuple[str, Callable[[str], None]]]:
    """One with what tells it to `halt`, which cuts everybody off, and to `resume` on the same port."""
    with postgresql_started("--fast") as (folder, url):
        yield url, lambda what: postgresql_told(what, str(folder))


@contextlib.contextmanager
def postgresql_started(how: str) -> Iterator[tuple[Path, str]]:
    folder, url = postgresql_told("start", how).split()
    try:
        yield Path(folder), url
    finally:
        postgresql_told("stop", folder)


def postgresql_told(*words: str) -> str:
    script = Path(__file__).resolve().parents[2] / "scripts" / "postgres"
    return subprocess.run([script, *words], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def jetstream(folder: Path, port: int) -> Iterator[None]:
    """A NATS server with JetStream, which keeps its streams in `folder` from one start to the next."""
    command = [nats_program(), "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(folder / "nats")]
    with served(command, port):
        yield
