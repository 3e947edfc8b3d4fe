"""A proxy between a client and an HTTP server that does what networks and clouds do on a bad day.

`Proxy(server)` listens on a free port of loopback and passes every request on, unless its `plan` says otherwise:

- `slow_down`, `unavailable`: 503 and 500, and the server does not hear of it;
- `reset`: the connection is reset, and the server does not hear of it;
- `unanswered`: the server carries the request out, and the connection is reset instead of its answer;
- `cut`: half of the answer's body comes, then the connection ends;
- `away`: every connection is closed at once.

With `adds_content_md5` a put with another checksum gets this one, too, for a server that insists on it.

Conditional puts go one after the other: the servers of the tests look first and put then, and real stores do both
in one step.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# headers that concern one connection only
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>'

Plan = Callable[[str, str], str]


def sound(_method: str, _path: str) -> str:
    return "pass"


class Flaky:
    """A plan by chance: a share of all requests meets one of these faults, the same ones for the same seed."""

    def __init__(self, share: float, faults: list[str], seed: int) -> None:
        self.share, self.faults, self.random = share, faults, random.Random(seed)

    def __call__(self, method: str, _path: str) -> str:
        if self.random.random() >= self.share:
            return "pass"
        fault = self.random.choice(self.faults)
        return "reset" if fault == "cut" and method != "GET" else fault


class Proxy:
    """Listens until `close`; `counts` says what happened to requests."""

    def __init__(self, server: str) -> None:
        upstream = urlsplit(server)
        self.upstream = (upstream.hostname or "127.0.0.1", upstream.port or 80)
        self.plan: Plan = sound
        self.adds_content_md5 = False
        self.counts: Counter[str] = Counter()
        self.conditional = threading.Lock()
        self.requests: list[tuple[str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # else a body waits 40 ms until its head is acknowledged
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def carry_out(self) -> None:
                proxy.pass_on(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = carry_out

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:  # a client that has gone is no news
                pass

        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.listener.server_address[1]}"
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.listener.shutdown()
        self.listener.server_close()

    def pass_on(self, request: BaseHTTPRequestHandler) -> None:
        fault = self.plan(request.command, request.path)
        self.counts[fault] += 1
        self.requests.append((request.command, request.path))
        if fault == "away":
            self.reset(request)
            return
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        if fault == "reset":
            self.reset(request)
        elif fault in ("slow_down", "unavailable"):
            self.refuse(request, 503 if fault == "slow_down" else 500)
        else:
            self.ask(request, body, fault)

    def ask(self, request: BaseHTTPRequestHandler, body: bytes, fault: str) -> None:
        upstream = http.client.HTTPConnection(*self.upstream, timeout=60)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
            if self.adds_content_md5 and "x-amz-checksum-sha256" in request.headers:
                headers["Content-MD5"] = base64.b64encode(hashlib.md5(body).digest()).decode()  # noqa: S324
            with self.conditional if "if-none-match" in request.headers else contextlib.nullcontext():
                upstream.request(request.command, request.path, body or None, headers)
                answer = upstream.getresponse()
                content = answer.read()
            if fault == "unanswered":
                self.reset(request)
                return
            request.send_response_only(answer.status, answer.reason)
            length = answer.getheader("content-length") if request.command == "HEAD" else str(len(content))
            for name, value in answer.getheaders():
                if name.lower() not in HOP and name.lower() != "content-length":
                    request.send_header(name, value)
            if length is not None:
                request.send_header("content-length", length)
            request.end_headers()
            if fault == "cut" and len(content) > 1:
                request.wfile.write(content[: len(content) // 2])
                self.reset(request)
            else:
                request.wfile.write(content)
        except OSError:
            self.reset(request)
        finally:
            upstream.close()

    @staticmethod
    def refuse(request: BaseHTTPRequestHandler, status: int) -> None:
        request.send_response_only(status)
        request.send_header("content-type", "application/xml")
        request.send_header("content-length", str(len(SLOW_DOWN)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(SLOW_DOWN)

    @staticmethod
    def reset(request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        connection = request.connection
        try:
            request.wfile.flush()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        except OSError:
            pass
