"""Servers that speak the clouds' protocols, on free ports of loopback, for as long as a `with` block.

moto (PyPI) is S3; Azurite (npm, into target/node) is Azure Blob Storage. Both keep everything in memory or in a
folder that goes with them, and take any credentials.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import boto3

from readers import Failure

REGION = "eu-central-1"
S3_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": REGION}
AZURE_ACCOUNT = "devstoreaccount1"
# the account key that Azurite's documentation gives to everyone
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURE_CREDENTIALS = {"AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY}
AZURITE = "3.35.0"
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def served(command: list[str], port: int) -> Iterator[str]:
    """Runs a server until the block ends; gives its address once it takes connections."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            until = time.monotonic() + START_SECONDS
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                if server.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise Failure(f"{command[0]} did not start:\n{log.read().decode()[-2000:]}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()


@contextlib.contextmanager
def s3() -> Iterator[str]:
    """An S3 server."""
    port = free_port()
    with served([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port) as address:
        yield address


def s3_client(address: str):
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name=REGION,
        aws_access_key_id=S3_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=S3_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def s3_bucket(address: str, name: str) -> None:
    """A bucket with versions and Object Lock, as docs/objects.md asks for."""
    s3_client(address).create_bucket(
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": REGION},
        ObjectLockEnabledForBucket=True,
    )


def azurite_program() -> Path:
    """Azurite, installed if it is not."""
    folder = Path(__file__).resolve().parents[2] / "target" / "node"
    program = folder / "node_modules" / ".bin" / "azurite-blob"
    stamp = folder / "azurite.installed"
    if not program.exists() or not stamp.exists() or stamp.read_text() != AZURITE:
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm") or "npm"
        command = [npm, "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder), f"azurite@{AZURITE}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-2000:]}")
        stamp.write_text(AZURITE)
    return program


@contextlib.contextmanager
def azure() -> Iterator[str]:
    """An Azure Blob Storage server; its address ends with the account."""
    port = free_port()
    command = [str(azurite_program()), "--inMemoryPersistence", "--silent", "--skipApiVersionCheck"]
    with served([*command, "--blobHost", "127.0.0.1", "--blobPort", str(port)], port) as address:
        yield address


def azure_container(address: str, name: str) -> None:
    from azure.storage.blob import BlobServiceClient

    url = f"{address}/{AZURE_ACCOUNT}"
    BlobServiceClient(url, credential=AZURE_KEY).create_container(name)


def environment(credentials: dict[str, str]) -> dict[str, str]:
    """This process's environment with these credentials only."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AZURE_", "GOOGLE_"))}
    return kept | credentials
