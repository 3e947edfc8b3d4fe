"""Events as hints: S3 notifications through SQS, CloudEvents over HTTP and NATS JetStream, against real servers.

    triggers.py BINARY

BINARY is built with the features `s3`, `sqs` and `nats`. Whatever becomes of events (doubled, shuffled, lost, late), the
service ends with what the bucket held, and nothing of it is left in the inbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path

import nats

from checks import Service, eventually, free_port, need, run, serve, tests
from servers import AWS_KEYS, REGION, Aws, jetstream

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
    rows = run(binary, home, "export", "readings", "--format", "csv").stdout.splitlines()
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


def nats_acknowledges_what_has_landed(binary: str, folder: Path) -> None:
    """Messages of four kinds, one nobody can read, one of a missing object, and a server that goes away."""
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
            for number, key in enumerate(AWKWARD):
                aws.put(bucket, f"inbox/{key}", upload(number))
            asyncio.run(publish(address, [message(bucket, number, key) for number, key in enumerate(AWKWARD)]))
            eventually(lambda: is_empty(aws, bucket), "objects leave the inbox once landed", 20)
            asyncio.run(publish(address, [(b"nonsense", {}), (b'{"key": "inbox/a b.csv"}', {})]))
            eventually(lambda: asyncio.run(pending(address)) == (0, 0), "nothing waits for an answer")
            need("a message is given up" in service.text(), service.text()[-1000:])
        with jetstream(folder, port):
            aws.put(bucket, "inbox/later.csv", upload(50))
            asyncio.run(publish(address, [message(bucket, 1, "later.csv")]))
            eventually(lambda: is_empty(aws, bucket), "it is heard again after the server was away", 45)
            eventually(lambda: asyncio.run(pending(address)) == (0, 0), "nothing waits for an answer")
        block.close()
        need(len(uploads(binary, home)) == len(AWKWARD) + 1, uploads(binary, home))


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


async def make_stream(address: str) -> None:
    client = await nats.connect(address)
    await client.jetstream().add_stream(name="UPLOADS", subjects=["uploads.*"])
    await client.close()


async def publish(address: str, messages: list[tuple[bytes, dict[str, str]]]) -> None:
    client = await nats.connect(address)
    for body, headers in messages:
        await client.jetstream().publish("uploads.new", body, headers=headers or None)
    await client.close()


async def pending(address: str) -> tuple[int, int]:
    client = await nats.connect(address)
    info = await client.jetstream().consumer_info("UPLOADS", "greenstream")
    await client.close()
    return info.num_pending, info.num_ack_pending


TESTS = [
    # these two wait for the scan of a minute, and the others run meanwhile
    events_doubled_shuffled_and_lost,
    a_bucket_that_is_away_is_waited_for,
    sqs_lands_at_once,
    sqs_leaves_what_has_not_landed,
    sqs_holds_a_message_while_a_long_object_lands,
    a_version_below_the_mark_of_a_removal_still_lands,
    cloud_events_are_answered_when_their_objects_have_landed,
    nats_acknowledges_what_has_landed,
]


if __name__ == "__main__":
    chosen = [test for test in TESTS if len(sys.argv) < 3 or test.__name__ in sys.argv[2:]]
    sys.exit(tests({test.__name__: partial(test, sys.argv[1]) for test in chosen}, at_once=3))
