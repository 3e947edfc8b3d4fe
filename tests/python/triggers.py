"""Events as hints: S3 notifications through SQS, CloudEvents over HTTP and NATS JetStream, against real servers.

    triggers.py BINARY

BINARY is built with the features `s3`, `azure`, `sqs` and `nats`. Whatever becomes of events (doubled, shuffled, lost, late), the
service ends with what the bucket held, and nothing of it is left in the inbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import boto3
import nats
from azure.storage.blob import BlobServiceClient

from checks import Service, eventually, free_port, need, run, serve, tests
from proxy import Proxy
from servers import (
    AWS_KEYS,
    AZURE_ACCOUNT,
    AZURE_KEY,
    AZURE_KEYS,
    REGION,
    Aws,
    jetstream,
    nats_program,
    served,
)
from servers import azure as azure_server

TOKEN = "a-token-of-the-tests"
ENVIRONMENT = {**os.environ, **AWS_KEYS, "GREENSTREAM_TOKEN": TOKEN}
AWKWARD = ["a b.csv", "a+b.csv", "100%.csv", "%41.csv", "ä💡.csv", "2026/03/02/deep.csv", "q?x=1&y.csv", "c#d.csv"]
SCAN_SECONDS = 75.0  # a minute, and what the machine needs


def toml(aws: Aws, bucket: str, more: str = "") -> str:
    return f"""
[objects]
endpoint = "{aws.endpoint}"
region = "{REGION}"
request_seconds = 3
retries_max = 1

[inbox]
url = "s3://{bucket}/inbox"
{more}
"""


def sqs_toml(aws: Aws, url: str, endpoint: str | None = None) -> str:
    endpoint = endpoint or aws.endpoint
    return f"""
[trigger.sqs]
queue_url = "{url}"
endpoint = "{endpoint}"
region = "{REGION}"
visibility_seconds = 2
"""


def configure(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "greenstream.toml").write_text(text)


def upload(number: int, meters: int = 3) -> bytes:
    """An upload of its own: all meters at one instant."""
    minutes = 15 * number
    at = f"2026-03-{2 + minutes // 1440:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:00Z"
    rows = [f"M{meter:05},{at},{1 + number % 5}.{meter % 10},kW" for meter in range(meters)]
    return "\n".join(["meter_id,timestamp,energy_value,energy_unit", *rows, ""]).encode()


def uploads(binary: str, home: Path) -> list[dict]:
    return json.loads(run(binary, home, "--json", "uploads").stdout)


def readings(binary: str, home: Path) -> list[str]:
    """Every reading as (meter, instant, power), without the numbers that depend on the order of landing."""
    return readings_in(run(binary, home, "export", "readings", "--format", "csv").stdout)


def readings_in(text: str) -> list[str]:
    rows = text.splitlines()
    header = rows[0].split(",")
    kept = [header.index(name) for name in ("meter_id", "ts", "kw")]
    return sorted(",".join(row.split(",")[index] for index in kept) for row in rows[1:])


def reference(binary: str, folder: Path, contents: list[bytes]) -> list[str]:
    """The readings of a home into which the same bytes came as files."""
    files = folder / "files"
    files.mkdir(parents=True)
    for number, content in enumerate(contents):
        (files / f"{number:05}.csv").write_bytes(content)
    run(binary, folder / "reference", "ingest", str(files))
    return readings(binary, folder / "reference")


def is_empty(aws: Aws, bucket: str) -> bool:
    return not aws.keys(bucket, "inbox/")


def sqs_lands_at_once(binary: str, folder: Path) -> str:
    """Put, notified, landed, gone from bucket and queue; keys of every kind; what lay there before the start too."""
    with Aws.start() as aws:
        bucket, queue = aws.bucket("meters"), aws.queue("events", receives=3)
        aws.put(bucket, "inbox/before.csv", upload(0))
        aws.put(bucket, "outbox/other.csv", upload(1))
        aws.notify(bucket, queue)
        home = folder / "home"
        configure(home, toml(aws, bucket, sqs_toml(aws, queue.url)))
        with serve(binary, home, ENVIRONMENT):
            eventually(lambda: is_empty(aws, bucket), "the scan at the start has taken what lay there")
            began = time.monotonic()
            for number, name in enumerate(AWKWARD, start=2):
                aws.put(bucket, f"inbox/{name}", upload(number))
            eventually(lambda: is_empty(aws, bucket), "objects leave the inbox once landed", 20)
            took = time.monotonic() - began
            aws.put(bucket, "elsewhere.csv", upload(90))
            eventually(lambda: queue.count() == 0, "only settled messages leave the queue, and these are all")
            names = {row["name"] for row in uploads(binary, home)}
            need(names == {"before.csv", *AWKWARD}, names)
            need(queue.dead.count() == 0, queue.dead.drain())
            need(aws.keys(bucket) == ["elsewhere.csv", "outbox/other.csv"], aws.keys(bucket))
            run(binary, home, "verify")
            return f"{len(AWKWARD)} objects landed and left within {took:.1f} s of the first put"


def sqs_leaves_what_has_not_landed(binary: str, folder: Path) -> None:
    """A missing object and a message of nonsense go to the dead-letter queue; an event that comes again does not."""
    with Aws.start() as aws:
        bucket, queue = aws.bucket("meters"), aws.queue("events", receives=3)
        aws.notify(bucket, queue)
        home = folder / "home"
        configure(home, toml(aws, bucket, sqs_toml(aws, queue.url)))
        aws.put(bucket, "inbox/a.csv", upload(1))
        (event,) = [body for body in queue.drain() if "Records" in body]
        missing = json.loads(event)
        missing["Records"][0]["s3"]["object"].update(key="inbox/missing.csv", eTag="0", versionId=None)
        with serve(binary, home, ENVIRONMENT):
            eventually(lambda: is_empty(aws, bucket), "the scan takes it, though its event was lost")
            for body in [event, event, json.dumps(missing), "no JSON", json.dumps({"Event": "s3:TestEvent"})]:
                queue.send(body)
            eventually(lambda: queue.count() == 0, "the queue is empty")
        # a process that knows nothing of the landing but what the database does
        with serve(binary, home, ENVIRONMENT):
            queue.send(event)
            eventually(lambda: queue.count() == 0, "an event of another life is settled")
        dead = queue.dead.drain()
        need(sorted(dead) == sorted([json.dumps(missing), "no JSON"]), dead)
        need(len(uploads(binary, home)) == 1, uploads(binary, home))


def a_dead_letter_that_is_tried_again_is_a_delivery(binary: str, folder: Path) -> None:
    """Its event may come again under the new name, also to a process that knows nothing of it but what was recorded."""
    with Aws.start() as aws:
        bucket, told, queue = aws.bucket("meters"), aws.queue("told"), aws.queue("events", receives=3)
        aws.notify(bucket, told)
        home = folder / "home"
        configure(home, toml(aws, bucket, sqs_toml(aws, queue.url)))
        (folder / "dead.csv").write_bytes(upload(1))
        run(binary, home, "ingest", folder / "dead.csv", "--feed", "nem12", status=65)
        with serve(binary, home, ENVIRONMENT) as service:
            aws.put(bucket, "inbox/again.csv", upload(1))
            (event,) = [body for body in told.drain() if "Records" in body]
            queue.send(event)
            eventually(lambda: is_empty(aws, bucket), "it leaves the inbox", 20)
            need("dead letter tried again" in service.text(), service.text()[-2000:])
        with serve(binary, home, ENVIRONMENT):
            queue.send(event)
            eventually(lambda: queue.count() == 0, "its event is settled")
        need(queue.dead.count() == 0, queue.dead.drain())
        need([row["status"] for row in uploads(binary, home)] == ["done"], uploads(binary, home))


class SlowProxy:
    """Passes bytes on, and those of one object's content slowly; counts how often it is asked for."""

    def __init__(self, port: int, part: bytes, bytes_per_second: int) -> None:
        self.to, self.part, self.rate, self.asked = port, part, bytes_per_second, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.to))
            slow = threading.Event()
            threading.Thread(target=self.up, args=(client, server, slow), daemon=True).start()
            threading.Thread(target=self.down, args=(server, client, slow), daemon=True).start()

    def up(self, client: socket.socket, server: socket.socket, slow: threading.Event) -> None:
        while data := self.read(client):
            is_asked = b"GET /" in data and self.part in data.split(b"\r\n", 1)[0]
            self.asked += is_asked
            (slow.set if is_asked else slow.clear)()
            server.sendall(data)
        server.close()

    def down(self, server: socket.socket, client: socket.socket, slow: threading.Event) -> None:
        while data := self.read(server):
            if slow.is_set():
                time.sleep(len(data) / self.rate)
            try:
                client.sendall(data)
            except OSError:
                return
        client.close()

    @staticmethod
    def read(end: socket.socket) -> bytes:
        try:
            return end.recv(16_384)
        except OSError:
            return b""


def sqs_holds_a_message_while_a_long_object_lands(binary: str, folder: Path) -> str:
    """Four times the visibility passes while one object comes, and nobody else is given its message meanwhile."""
    with Aws.start() as aws:
        bucket, queue = aws.bucket("meters"), aws.queue("events", receives=3)
        proxy = SlowProxy(aws.port, b"slow.csv", 200_000)
        home = folder / "home"
        text = toml(aws, bucket, sqs_toml(aws, queue.url)).replace(
            f'[objects]\nendpoint = "{aws.endpoint}"', f'[objects]\nendpoint = "http://127.0.0.1:{proxy.port}"'
        )
        configure(home, text.replace("request_seconds = 3", "request_seconds = 60"))
        with serve(binary, home, ENVIRONMENT):
            time.sleep(1)  # the first scan has nothing to find
            aws.notify(bucket, queue)
            large = upload(1, meters=50_000)
            aws.put(bucket, "inbox/slow.csv", large)
            began = time.monotonic()
            receives = 0
            while not is_empty(aws, bucket):
                need(time.monotonic() - began < 60, "it lands")
                receives += len(queue.sqs.receive_message(QueueUrl=queue.url, VisibilityTimeout=0).get("Messages", []))
                time.sleep(0.1)
            took = time.monotonic() - began
            need(took > 6, f"the proxy was to be slow, and it took {took:.1f} s")
            need(receives == 0, f"the message was given to another {receives} times")
            need(proxy.asked == 1, f"the object was read {proxy.asked} times")
            eventually(lambda: queue.count() == 0, "the message is removed", 10)
            return f"{len(large):,} bytes in {took:.1f} s with a visibility of 2 s"


def events_doubled_shuffled_and_lost(binary: str, folder: Path) -> None:
    """A third of the events is lost, others come up to three times, in any order, while the service dies twice."""
    seed = random.randrange(10_000)
    print(f"  events_doubled_shuffled_and_lost: seed {seed}", flush=True)
    luck = random.Random(seed)
    with Aws.start() as aws:
        bucket = aws.bucket("meters")
        told, queue = aws.queue("told"), aws.queue("events", receives=20)
        aws.notify(bucket, told)
        home = folder / "home"
        configure(home, toml(aws, bucket, sqs_toml(aws, queue.url)))
        contents = [upload(number % 50) for number in range(60)]  # ten come under two keys
        for part in range(3):
            with serve(binary, home, ENVIRONMENT) as service:
                for number in range(part * 20, part * 20 + 20):
                    aws.put(bucket, f"inbox/{number}.csv", contents[number])
                events = [body for body in told.drain() if "Records" in body]
                events = [event for event in events for _ in range(luck.choice([0, 1, 1, 2, 3]))]
                luck.shuffle(events)
                for event in events:
                    queue.send(event)
                if part < 2:
                    time.sleep(luck.uniform(0.1, 1.5))
                    service.kill()
                    continue
                eventually(lambda: is_empty(aws, bucket), "the scan finds what no event told of", SCAN_SECONDS)
                eventually(lambda: queue.count() == 0, "the queue is empty")
        need(queue.dead.count() == 0, queue.dead.drain())
        need(readings(binary, home) == reference(binary, folder, contents), "the readings differ")
        need(len(uploads(binary, home)) == 50, len(uploads(binary, home)))
        run(binary, home, "verify")


def a_version_below_the_mark_of_a_removal_still_lands(binary: str, folder: Path) -> None:
    """In a bucket with versions an object leaves a mark and stays below it; one that was never taken is read there."""
    with Aws.start() as aws:
        bucket, told, queue = aws.bucket("meters", versioned=True), aws.queue("told"), aws.queue("events", receives=5)
        aws.notify(bucket, told)
        home = folder / "home"
        configure(home, toml(aws, bucket, sqs_toml(aws, queue.url)))

        def tell(put: dict) -> None:
            """With the version, as S3 does and the server here does not."""
            (event,) = [json.loads(body) for body in told.drain() if "Records" in body]
            event["Records"][0]["s3"]["object"]["versionId"] = put["VersionId"]
            queue.send(event)

        hidden = aws.put(bucket, "inbox/hidden.csv", upload(1))
        aws.s3.delete_object(Bucket=bucket, Key="inbox/hidden.csv")
        with serve(binary, home, ENVIRONMENT):
            tell(hidden)
            eventually(lambda: len(uploads_of(binary, home)) == 1, "the hidden version lands")
            plain = aws.put(bucket, "inbox/plain.csv", upload(2))
            tell(plain)
            eventually(lambda: is_empty(aws, bucket), "the other leaves", 20)
            eventually(lambda: queue.count() == 0, "the queue is empty")
        versions = aws.s3.list_object_versions(Bucket=bucket)
        need(len(versions["Versions"]) == 2 and len(versions["DeleteMarkers"]) >= 2, versions)
        need(queue.dead.count() == 0, queue.dead.drain())


def uploads_of(binary: str, home: Path) -> list[dict]:
    try:
        return uploads(binary, home)
    except Exception:  # noqa: BLE001: there is no database yet
        return []


def ask(service: Service, method: str, body: bytes, headers: dict[str, str], path: str = "/v1/events") -> tuple[int, dict, str]:
    headers = {"Authorization": f"Bearer {TOKEN}", **headers}
    headers = {name: value for name, value in headers.items() if value}
    request = urllib.request.Request(service.address + path, data=body or None, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}


def google(bucket: str, key: str) -> dict:
    return {
        "specversion": "1.0",
        "id": "1",
        "type": "google.cloud.storage.object.v1.finalized",
        "source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "subject": f"objects/{key}",
        "time": "2026-03-02T00:15:00Z",
        "datacontenttype": "application/json",
        "data": {"bucket": bucket, "name": key, "size": "5"},
    }


def azure(container: str, key: str) -> dict:
    return {
        "specversion": "1.0",
        "id": "1",
        "type": "Microsoft.Storage.BlobCreated",
        "source": "/subscriptions/x/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a",
        "subject": f"/blobServices/default/containers/{container}/blobs/{key}",
        "time": "2026-03-02T00:15:00.1234567Z",
        "data": {"api": "PutBlob", "contentLength": 5, "url": f"https://a.blob.core.windows.net/{container}/x"},
    }


def binary_mode(event: dict) -> tuple[bytes, dict[str, str]]:
    attributes = {name: value for name, value in event.items() if name not in ("data", "datacontenttype")}
    headers = {f"ce-{name}": urllib.parse.quote(value, safe=" !#$&'()*+,/:;=?@[]~") for name, value in attributes.items()}
    return json.dumps(event["data"]).encode(), {"Content-Type": "application/json", **headers}


def cloud_events_are_answered_when_their_objects_have_landed(binary: str, folder: Path) -> None:
    with Aws.start() as aws:
        bucket = aws.bucket("meters")
        home = folder / "home"
        configure(home, toml(aws, bucket))
        # every library tells all it does, and the token is still nowhere
        with serve(binary, home, {**ENVIRONMENT, "GREENSTREAM_LOG": "trace"}) as service:
            time.sleep(1)  # the first scan has nothing to find, so what lands from here lands by its event

            def lands(number: int, key: str, send: tuple[bytes, dict[str, str]]) -> None:
                aws.put(bucket, f"inbox/{key}", upload(number))
                status, _, text = ask(service, "POST", *send)
                need((status, text) == (204, ""), f"{key}: {status} {text}")
                need(f"inbox/{key}" not in aws.keys(bucket), f"{key} was to leave before the answer")

            for number, key in enumerate(AWKWARD):
                event = google(bucket, f"inbox/{key}") if number % 2 else azure(bucket, f"inbox/{key}")
                lands(number, key, (json.dumps(event).encode(), STRUCTURED) if number % 3 else binary_mode(event))
            # a batch, with one event of no concern and one that landed before
            for number in (20, 21):
                aws.put(bucket, f"inbox/batch{number}.csv", upload(number))
            removed = {**azure(bucket, "inbox/x.csv"), "type": "Microsoft.Storage.BlobDeleted"}
            batch = [azure(bucket, "inbox/batch20.csv"), removed, google(bucket, "inbox/batch21.csv"), google("others", "x")]
            for _ in range(2):
                status, _, text = ask(service, "POST", json.dumps(batch).encode(), BATCH)
                need(status == 204, text)
            need(is_empty(aws, bucket), aws.keys(bucket))
            # Knative's source sends the object itself
            aws.put(bucket, "inbox/knative.csv", upload(30))
            camel = {
                "ce-specversion": "1.0",
                "ce-id": "1",
                "ce-type": "dev.knative.connector.event.aws-s3",
                "ce-source": "dev.knative.eventing.aws-s3-source",
                "ce-subject": "inbox/knative.csv",
                "Content-Type": "application/octet-stream",
            }
            status, _, text = ask(service, "POST", b"x" * 3_000_000, camel)
            need(status == 204, text)
            need(len(uploads(binary, home)) == len(AWKWARD) + 3, uploads(binary, home))

            def refused(status: int, code: str, send: tuple[bytes, dict[str, str]]) -> None:
                found, headers, text = ask(service, "POST", *send)
                need(found == status and json.loads(text)["code"] == code, f"{found} {text}, not {status} {code}")
                need(("Retry-After" in headers or "retry-after" in headers) == (status == 503), headers)

            missing = json.dumps({**google(bucket, "inbox/missing.csv"), "data": {}}).encode()
            refused(404, "object_gone", (missing, STRUCTURED))
            refused(400, "event_unfit", (b"{", STRUCTURED))
            refused(400, "event_unfit", (b"{}", {"Content-Type": "application/json"}))
            refused(400, "event_unfit", (b"x", {"Content-Type": "application/cloudevents+avro"}))
            other = json.dumps({**google(bucket, "x"), "type": "com.example.order"}).encode()
            refused(400, "event_unfit", (other, STRUCTURED))
            refused(413, "event_too_large", (b" " * (1 << 20) + b"{}", STRUCTURED))
            refused(401, "unauthorized", (b"{}", {**STRUCTURED, "Authorization": "Bearer wrong"}))
            # good ones of a batch land though one is unfit
            aws.put(bucket, "inbox/good.csv", upload(40))
            mixed = [google(bucket, "inbox/good.csv"), {"specversion": "1.0"}]
            refused(400, "event_unfit", (json.dumps(mixed).encode(), BATCH))
            need(is_empty(aws, bucket), aws.keys(bucket))
            handshake(service)
            need(TOKEN not in service.text(), "the token is in the log")


def handshake(service: Service) -> None:
    """As Event Grid asks before it sends: the token in the address, for it can set no header then."""
    asks = {"WebHook-Request-Origin": "eventgrid.azure.net", "WebHook-Request-Rate": "120", "Authorization": ""}
    status, headers, text = ask(service, "OPTIONS", b"", asks, f"/v1/events?access_token={TOKEN}")
    headers = {name.lower(): value for name, value in headers.items()}
    need(status == 200 and headers["webhook-allowed-origin"] == "eventgrid.azure.net", f"{status} {headers} {text}")
    need(headers["webhook-allowed-rate"] == "120", headers)
    status, _, _ = ask(service, "OPTIONS", b"", asks)
    need(status == 401, "the handshake needs the token too")
    status, _, _ = ask(service, "OPTIONS", b"", {}, "/v1/events")
    need(status == 400, "nothing was asked")


def a_bucket_that_is_away_is_waited_for(binary: str, folder: Path) -> None:
    """The sender is told to come again, the service stays ready, and what was put meanwhile lands afterwards."""
    port = free_port()
    home = folder / "home"
    with contextlib.ExitStack() as block:
        with Aws.start(port) as aws:
            bucket = aws.bucket("meters")
            configure(home, toml(aws, bucket))
            service = block.enter_context(serve(binary, home, ENVIRONMENT))
            aws.put(bucket, "inbox/a.csv", upload(1))
            event = (json.dumps(google(bucket, "inbox/a.csv")).encode(), STRUCTURED)
            need(ask(service, "POST", *event)[0] == 204, "it lands")
        late = (json.dumps(google(bucket, "inbox/late.csv")).encode(), STRUCTURED)
        status, headers, text = ask(service, "POST", *late)
        need(status == 503 and json.loads(text)["code"] == "object_waiting", text)
        need(ask(service, "GET", b"", {}, "/readyz")[0] == 200, "uploads over HTTP still land")
        with Aws.start(port) as aws:
            aws.bucket(bucket)
            aws.put(bucket, "inbox/late.csv", upload(2))
            eventually(lambda: is_empty(aws, bucket), "it lands by itself", SCAN_SECONDS)
            need(ask(service, "POST", *late)[0] == 204, "its event comes again")
    need(len(uploads(binary, home)) == 2, uploads(binary, home))


class Refusing(Proxy):
    """One whose plan may be the status of an answer, too; the server does not hear of it."""

    def ask(self, request: BaseHTTPRequestHandler, body: bytes, fault: str) -> None:
        if fault.isdigit():
            self.refuse(request, int(fault))
        else:
            super().ask(request, body, fault)


@contextlib.contextmanager
def behind_a_proxy(aws: Aws) -> Iterator[Refusing]:
    """Before S3 alone: the queue is asked directly."""
    proxy = Refusing(aws.endpoint)
    try:
        yield proxy
    finally:
        proxy.close()


def through(proxy: Proxy, aws: Aws, text: str) -> str:
    """A configuration whose objects are behind a proxy."""
    return text.replace(f'[objects]\nendpoint = "{aws.endpoint}"', f'[objects]\nendpoint = "{proxy.url}"')


def no_message_is_given_up_while_the_bucket_is_away(binary: str, folder: Path) -> str:
    """The bucket is away for as long as ten visibilities, then refuses us for as long; the queue answers all the time."""
    with Aws.start() as aws, behind_a_proxy(aws) as proxy:
        bucket, queue = aws.bucket("meters"), aws.queue("events", receives=3)
        home = folder / "home"
        configure(home, through(proxy, aws, toml(aws, bucket, sqs_toml(aws, queue.url))))
        aws.notify(bucket, queue)
        with serve(binary, home, ENVIRONMENT) as service:
            aws.put(bucket, "inbox/before.csv", upload(0))
            eventually(lambda: is_empty(aws, bucket), "the first lands")
            names = ["before.csv"]
            for part, fault in enumerate(["away", "403"]):
                proxy.plan = lambda _method, _path, fault=fault: fault
                for number in range(15):
                    names.append(f"{part}-{number}.csv")
                    aws.put(bucket, f"inbox/{names[-1]}", upload(1 + 15 * part + number))
                time.sleep(20)
                need(queue.dead.count() == 0, f"{fault}: {len(queue.dead.drain())} messages were given up")
                proxy.plan = lambda _method, _path: "pass"
                began = time.monotonic()
                eventually(lambda: is_empty(aws, bucket), f"{fault}: all land by themselves", 40)
                eventually(lambda: queue.count() == 0, f"{fault}: their messages are settled", 40)
            took = time.monotonic() - began
            need(ask(service, "GET", b"", {}, "/readyz")[0] == 200, "it is ready")
        need(queue.dead.count() == 0, queue.dead.drain())
        need({row["name"] for row in uploads(binary, home)} == set(names), uploads(binary, home))
        return f"settled {took:.1f} s after the bucket was back"


def objects_that_only_their_own_storage_refuses_hold_up_nothing(binary: str, folder: Path) -> None:
    """Twenty whose content is answered 400, before five good ones in the order of the list."""
    with Aws.start() as aws, behind_a_proxy(aws) as proxy:
        bucket = aws.bucket("meters")
        bad = [f"inbox/a{number:02}.csv" for number in range(20)]
        for number, key in enumerate([*bad, *(f"inbox/b{number}.csv" for number in range(5))]):
            aws.put(bucket, key, upload(number))
        proxy.plan = lambda method, path: "400" if method == "GET" and "/inbox/a" in path.split("?")[0] else "pass"
        home = folder / "home"
        configure(home, through(proxy, aws, toml(aws, bucket)))
        with serve(binary, home, ENVIRONMENT) as service:
            eventually(lambda: aws.keys(bucket, "inbox/") == bad, "the five land", 30)
            eventually(lambda: "the inbox bucket was listed" in service.text(), "the scan comes to its end", 30)
            need("the inbox bucket cannot be read" not in service.text(), service.text()[-2000:])
            proxy.plan = lambda _method, _path: "pass"
            eventually(lambda: is_empty(aws, bucket), "the others land once they can be read", SCAN_SECONDS)


def sns_wraps_what_the_bucket_tells(binary: str, folder: Path) -> None:
    """From the bucket through a topic to the queue, as SNS wraps it and raw."""
    with Aws.start() as aws:
        home = folder / "home"
        wrapped, raw = aws.bucket("wrapped"), aws.queue("raw", receives=3)
        queue = aws.queue("events", receives=3)
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": REGION}
        sns = boto3.session.Session(**keys).client("sns", endpoint_url=aws.endpoint)
        topic = sns.create_topic(Name="told")["TopicArn"]
        for one, attributes in [(queue, {}), (raw, {"RawMessageDelivery": "true"})]:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=one.arn, Attributes=attributes)
        notification = {"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]}
        aws.s3.put_bucket_notification_configuration(Bucket=wrapped, NotificationConfiguration=notification)
        for number, (one, kind) in enumerate([(queue, "wrapped"), (raw, "raw")]):
            configure(home, toml(aws, wrapped, sqs_toml(aws, one.url)))
            with serve(binary, home, ENVIRONMENT):
                eventually(lambda one=one: one.count() == 0, f"{kind}: what was told before is settled", 30)
                for name in AWKWARD[:3]:
                    aws.put(wrapped, f"inbox/{kind} {name}", upload(10 * number + AWKWARD.index(name)))
                eventually(lambda: is_empty(aws, wrapped), f"{kind}: objects land by their messages", 20)
                eventually(lambda one=one: one.count() == 0, f"{kind}: the messages are settled")
            need(one.dead.count() == 0, one.dead.drain())
        need(len(uploads(binary, home)) == 6, uploads(binary, home))


def an_inbox_in_azure_is_emptied(binary: str, folder: Path) -> None:
    """Blobs with keys of every kind: by the scan at the start, and then by their events."""
    with azure_server("meters") as address:
        endpoint = f"{address}/{AZURE_ACCOUNT}"
        container = BlobServiceClient(endpoint, credential=AZURE_KEY).get_container_client("meters")

        def keys() -> list[str]:
            return sorted(container.list_blob_names())

        home = folder / "home"
        configure(home, f'[objects]\nendpoint = "{endpoint}"\n\n[inbox]\nurl = "az://meters/inbox"\n')
        container.upload_blob("inbox/before.csv", upload(0))
        container.upload_blob("outbox/other.csv", upload(1))
        with serve(binary, home, {**ENVIRONMENT, **AZURE_KEYS}) as service:
            eventually(lambda: keys() == ["outbox/other.csv"], "the scan at the start has taken what lay there")
            for number, name in enumerate(AWKWARD, start=2):
                container.upload_blob(f"inbox/{name}", upload(number))
                event = json.dumps(azure("meters", f"inbox/{name}")).encode()
                status, _, text = ask(service, "POST", event, STRUCTURED)
                need(status == 204, f"{name}: {status} {text}")
            need(keys() == ["outbox/other.csv"], keys())
            # an event that comes again, and one of a blob that never was
            need(ask(service, "POST", event, STRUCTURED)[0] == 204, "it landed before")
            missing = {**azure("meters", "inbox/missing.csv"), "data": {}}
            need(ask(service, "POST", json.dumps(missing).encode(), STRUCTURED)[0] == 404, "it never was")
        names = {row["name"] for row in uploads(binary, home)}
        need(names == {"before.csv", *AWKWARD}, names)


def reach(binary: str, home: Path, environment: dict[str, str]) -> tuple[int, str]:
    command = [binary, "--home", str(home), "check-config", "--level", "reachability"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def what_is_not_there_is_named_by_check_config(binary: str, folder: Path) -> None:
    """Buckets, a queue and a stream: all there, and each of them not."""
    port = free_port()
    address = f"nats://127.0.0.1:{port}"
    with Aws.start() as aws, jetstream(folder, port):
        asyncio.run(make_stream(address))
        for name in ("meters", "zone", "tables"):
            aws.bucket(name)
        queue = aws.queue("events").url
        good = {"s3://meters/inbox": "", "s3://zone/landing": "", "s3://tables/archive": "", queue: "", "UPLOADS": ""}
        home = folder / "home"

        def check(without: str) -> tuple[int, str]:
            inbox, landing, archive, url, stream = (one + "-not" if one == without else one for one in good)
            queues = f'{sqs_toml(aws, url)}\n[trigger.nats]\nurl = "{address}"\nstream = "{stream}"\n'
            places = f'[landing]\nurl = "{landing}"\n\n[archive]\nurl = "{archive}"\n'
            text = toml(aws, "meters", f"{queues}\n{places}").replace("s3://meters/inbox", inbox)
            configure(home, text)
            return reach(binary, home, ENVIRONMENT)

        status, told = check("")
        need(status == 0, told)
        need(all(place in told for place in [*list(good)[:4], address]), told)
        need(aws.keys("zone") == aws.keys("tables") == [] and not (home / "landing").exists(), "nothing was made")
        for without, place in [(queue, f"{queue}-not"), ("UPLOADS", address)]:
            status, told = check(without)
            need(status == 78 and "E-UNREACHABLE" in told and place in told, f"{without}: {status}\n{told}")
        for bucket, key in [("meters", "inbox"), ("zone", "landing"), ("tables", "archive")]:
            aws.s3.delete_bucket(Bucket=bucket)
            status, told = check("")
            need(status == 78 and "E-UNREACHABLE" in told and f"s3://{bucket}/{key}" in told, f"{bucket}: {status}\n{told}")
            aws.bucket(bucket)
        need(check("")[0] == 0, "all are there again")


def nats_over_tls(binary: str, folder: Path) -> None:
    """A server with a certificate that the system's authorities do not know: trusted where SSL_CERT_FILE names its own."""
    certificate, key, authority = certificates(folder)
    port = free_port()
    address = f"tls://127.0.0.1:{port}"
    command = [nats_program(), "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(folder / "nats")]
    command += ["--tls", "--tlscert", str(certificate), "--tlskey", str(key)]
    more = f'[trigger.nats]\nurl = "{address}"\nstream = "UPLOADS"\nsubject = "uploads.>"\n'
    trusts = ssl.create_default_context(cafile=authority)
    with Aws.start() as aws, served(command, port):
        asyncio.run(make_stream(address, trusts))
        bucket = aws.bucket("meters")
        home = folder / "home"
        configure(home, toml(aws, bucket, more))
        status, told = reach(binary, home, ENVIRONMENT)
        need(status == 78 and address in told, f"an unknown authority is trusted: {status}\n{told}")
        environment = {**ENVIRONMENT, "SSL_CERT_FILE": str(authority)}
        status, told = reach(binary, home, environment)
        need(status == 0, told)
        with serve(binary, home, environment):
            time.sleep(1)  # the first scan has nothing to find
            aws.put(bucket, "inbox/a.csv", upload(1))
            asyncio.run(publish(address, [message(bucket, 0, "a.csv")], trusts))
            eventually(lambda: is_empty(aws, bucket), "it lands by its message", 20)
            eventually(lambda: asyncio.run(pending(address, trusts)) == (0, 0), "and that is acknowledged")
        need(len(uploads(binary, home)) == 1, uploads(binary, home))


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A certificate for 127.0.0.1, its key, and the authority's own certificate."""
    names = ("cert.pem", "key.pem", "authority.pem", "authority.key", "request.pem", "names")
    certificate, key, authority, authority_key, request, names = (folder / name for name in names)
    names.write_text("subjectAltName = IP:127.0.0.1\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for words in [
        ["req", "-x509", *new_key, "-days", "2", "-subj", "/CN=authority", "-keyout", authority_key, "-out", authority],
        ["req", *new_key, "-subj", "/CN=server", "-keyout", key, "-out", request],
        ["x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority_key, "-CAcreateserial", "-days", "2",
         "-extfile", names, "-out", certificate],
    ]:  # fmt: skip
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    return certificate, key, authority


def nats_acknowledges_what_has_landed(binary: str, folder: Path) -> str:
    """Messages of four kinds, one nobody can read, one of a missing object, and a server that goes away.

    The message of the missing object comes five times, ten seconds apart, and is ended then.
    """
    port = free_port()
    address = f"nats://127.0.0.1:{port}"
    more = f'[trigger.nats]\nurl = "{address}"\nstream = "UPLOADS"\nsubject = "uploads.>"\n'
    with Aws.start() as aws, contextlib.ExitStack() as block:
        bucket = aws.bucket("meters")
        home = folder / "home"
        configure(home, toml(aws, bucket, more))
        with jetstream(folder, port):
            asyncio.run(make_stream(address))
            service = block.enter_context(serve(binary, home, ENVIRONMENT))
            time.sleep(1)  # the first scan has nothing to find
            asyncio.run(publish(address, [message(bucket, 1, "missing.csv")]))
            began = time.monotonic()
            for number, key in enumerate(AWKWARD):
                aws.put(bucket, f"inbox/{key}", upload(number))
            asyncio.run(publish(address, [message(bucket, number, key) for number, key in enumerate(AWKWARD)]))
            eventually(lambda: is_empty(aws, bucket), "objects leave the inbox once landed", 20)
            asyncio.run(publish(address, [(b"nonsense", {}), (b'{"key": "inbox/a b.csv"}', {})]))
            eventually(lambda: asyncio.run(pending(address)) == (0, 1), "only the missing one waits", 30)
            need("a message is given up" in service.text(), service.text()[-1000:])
            eventually(lambda: asyncio.run(pending(address)) == (0, 0), "the missing one is ended", 75)
            took = time.monotonic() - began
            times = service.text().count("none of its name has landed since the event")
            need(times == 5 and took > 39, f"it came {times} times within {took:.1f} s")
        with jetstream(folder, port):
            aws.put(bucket, "inbox/later.csv", upload(50))
            asyncio.run(publish(address, [message(bucket, 1, "later.csv")]))
            eventually(lambda: is_empty(aws, bucket), "it is heard again after the server was away", 45)
            eventually(lambda: asyncio.run(pending(address)) == (0, 0), "nothing waits for an answer")
        block.close()
        need(len(uploads(binary, home)) == len(AWKWARD) + 1, uploads(binary, home))
        return f"the missing one came {times} times within {took:.1f} s"


def message(bucket: str, number: int, key: str) -> tuple[bytes, dict[str, str]]:
    """As MinIO writes it, as somebody's own, and as CloudEvents in both modes."""
    minio = {
        "EventName": "s3:ObjectCreated:Put",
        "Key": f"{bucket}/inbox/{key}",
        "Records": [
            {
                "eventName": "s3:ObjectCreated:Put",
                "s3": {"bucket": {"name": bucket}, "object": {"key": urllib.parse.quote_plus(f"inbox/{key}")}},
            }
        ],
    }
    body, headers = binary_mode(google(bucket, f"inbox/{key}"))
    structured = json.dumps(azure(bucket, f"inbox/{key}")).encode()
    kinds = [(json.dumps(minio).encode(), {}), (json.dumps({"key": f"inbox/{key}"}).encode(), {}), (structured, {}), (body, headers)]
    return kinds[number % 4]


async def make_stream(address: str, tls: ssl.SSLContext | None = None) -> None:
    client = await nats.connect(address, tls=tls)
    await client.jetstream().add_stream(name="UPLOADS", subjects=["uploads.*"])
    await client.close()


async def publish(
    address: str, messages: list[tuple[bytes, dict[str, str]]], tls: ssl.SSLContext | None = None
) -> None:
    client = await nats.connect(address, tls=tls)
    for body, headers in messages:
        await client.jetstream().publish("uploads.new", body, headers=headers or None)
    await client.close()


async def pending(address: str, tls: ssl.SSLContext | None = None) -> tuple[int, int]:
    client = await nats.connect(address, tls=tls)
    info = await client.jetstream().consumer_info("UPLOADS", "greenstream")
    await client.close()
    return info.num_pending, info.num_ack_pending


TESTS = [
    # these wait for the scan of a minute or for outages, and the others run meanwhile
    events_doubled_shuffled_and_lost,
    a_bucket_that_is_away_is_waited_for,
    objects_that_only_their_own_storage_refuses_hold_up_nothing,
    nats_acknowledges_what_has_landed,
    no_message_is_given_up_while_the_bucket_is_away,
    sqs_lands_at_once,
    sqs_leaves_what_has_not_landed,
    a_dead_letter_that_is_tried_again_is_a_delivery,
    sqs_holds_a_message_while_a_long_object_lands,
    a_version_below_the_mark_of_a_removal_still_lands,
    cloud_events_are_answered_when_their_objects_have_landed,
    sns_wraps_what_the_bucket_tells,
    an_inbox_in_azure_is_emptied,
    what_is_not_there_is_named_by_check_config,
    nats_over_tls,
]


if __name__ == "__main__":
    chosen = [test for test in TESTS if len(sys.argv) < 3 or test.__name__ in sys.argv[2:]]
    sys.exit(tests({test.__name__: partial(test, sys.argv[1]) for test in chosen}, at_once=5))
