"""A wire to an S3 server on which a test says what goes wrong, and a bucket of a million objects that only lists."""

import datetime as dt
import http.client
import socket
import struct
import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST


@dataclass
class Fault:
    """What happens to the next `times` requests of `method` with `text` in method's path: an answer, a stall, or a cut in the body.

    A `reset` throws away what the other side has not read yet; an orderly end does not.
    """

    method: str
    text: str = ""
    times: int = 1
    status: int = 0
    code: str = ""
    message: str = "as the test says"
    headers: tuple[tuple[str, str], ...] = ()
    cut_after: int | None = None
    reset: bool = False
    stall_s: float = 0
    body: bytes | None = None


class _Loopback:
    """A threaded HTTP server for the length of a `with`."""

    handler: ClassVar[type[BaseHTTPRequestHandler]]

    def __init__(self) -> None:
        handler = type("Handler", (self.handler,), {"wire": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a cut connection is what the test wants
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wire: "Wire"

    def _relay(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.wire.requests.append((self.command, self.path, self.headers.get("Range", "")))
        fault = self.wire.next_fault(self.command, self.path)
        if fault and fault.stall_s and fault.cut_after is None:
            time.sleep(fault.stall_s)
        if fault and (fault.status or fault.body is not None):
            error = f"<Error><Code>{fault.code}</Code><Message>{escape(fault.message)}</Message></Error>".encode()
            self._say(fault.status or 200, list(fault.headers), error if fault.body is None else fault.body)
            return
        there = http.client.HTTPConnection("127.0.0.1", self.wire.target)
        there.request(self.command, self.path, sent, dict(self.headers.items()))
        answer = there.getresponse()
        body = answer.read()
        there.close()
        self.wire.answers.append(body)
        headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding", "date", "server")]
        self._say(answer.status, headers, body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _relay

    def _say(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        length = {name.lower(): value for name, value in headers}.get("content-length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault and fault.cut_after is not None:
            self.wfile.write(body[: fault.cut_after])
            self.wfile.flush()
            time.sleep(fault.stall_s)
            if fault.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.connection.shutdown(socket.SHUT_RD if fault.reset else socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the tests look at `requests`."""


class Wire(_Loopback):
    """Forwards to the server on `target` and keeps what was asked: method, path with query, Range."""

    handler = _Forward

    def __init__(self, target: int) -> None:
        super().__init__()
        self.target = target
        self.requests: list[tuple[str, str, str]] = []
        self.answers: list[bytes] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def fail(self, method: str, text: str = "", **what: Any) -> None:
        self._faults.append(Fault(method, text, **what))

    def mend(self) -> None:
        """A wire like new."""
        self._faults.clear()
        self.requests.clear()
        self.answers.clear()

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.method == method and fault.text in path and fault.times:
                    fault.times -= 1
                    return fault
        return None

    def asked(self, method: str) -> list[tuple[str, str]]:
        """Path and Range of the requests of one method."""
        return [(path, ranged) for made, path, ranged in self.requests if made == method]


class _Lists(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wire: "Crowded"

    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}
        self.wire.calls += 1
        body = self.wire.page(asked).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the tests look at `calls`."""


class Crowded(_Loopback):
    """A bucket with `size` objects, listed as S3 lists: 1,000 at a time. `key` gives the n-th in key order."""

    handler = _Lists

    def __init__(self, size: int, key: Callable[[int], str]) -> None:
        super().__init__()
        self.size, self.key, self.calls = size, key, 0

    def page(self, asked: dict[str, str]) -> str:
        versions = "versions" in asked
        prefix = asked.get("prefix", "")
        after = asked.get("key-marker" if versions else "continuation-token") or asked.get("start-after", "")
        all_of_them = range(self.size)
        first = bisect_right(all_of_them, max(after, prefix[:-1] if prefix else ""), key=self.key)
        while first < self.size and self.key(first) < prefix:
            first += 1
        end = first
        while end < self.size and end - first < 1000 and self.key(end).startswith(prefix):
            end += 1
        more = end < self.size and self.key(end).startswith(prefix)
        last = escape(self.key(end - 1)) if end > first else ""
        entry = "Version" if versions else "Contents"
        extra = "<VersionId>v1</VersionId><IsLatest>true</IsLatest>" if versions else ""
        stamp = dt.datetime(2026, 11, 1, tzinfo=dt.UTC).isoformat()
        entries = "".join(
            f'<{entry}><Key>{escape(self.key(n))}</Key><LastModified>{stamp}</LastModified><ETag>"e"</ETag><Size>1</Size>{extra}</{entry}>'
            for n in range(first, end)
        )
        token = f"<NextKeyMarker>{last}</NextKeyMarker>" if versions else f"<NextContinuationToken>{last}</NextContinuationToken>"
        root = "ListVersionsResult" if versions else "ListBucketResult"
        return f"<{root}><IsTruncated>{'true' if more else 'false'}</IsTruncated>{token if more else ''}{entries}</{root}>"
