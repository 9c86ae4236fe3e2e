"""An HTTP/1.1 server on loopback, in a thread of its own, whose replies may break the protocol on purpose."""

import asyncio
import json
import logging
import socket
import struct
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HttpRequest:
    """One request as it came. Header names are in lower case; of a parameter that is given twice, `query` has the last."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HttpReply:
    """One reply. `reset_after`: cut the connection after so many bytes of the body. `endless`: the body never ends."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reset_after: int | None = None
    endless: bool = False

    @classmethod
    def json(cls, document: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Self:
        return cls(status, json.dumps(document).encode(), {"content-type": "application/json", **(headers or {})})


class LoopbackServer(ABC):
    """Serves `answer` on 127.0.0.1. As a context manager it runs in a thread; port 0 takes a free one."""

    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def answer(self, request: HttpRequest) -> HttpReply: ...

    def fell_over(self, error: Exception) -> HttpReply:
        """The reply where `answer` raised, as a function of the caller's may: a 500 that names the error."""
        return HttpReply(500, f"{type(error).__name__}: {error}".encode(), {"content-type": "text/plain"})

    async def serve(self, started: threading.Event | None = None) -> None:
        """Serves until `stop`; raises OSError when the port is taken."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        # 1,024: five hundred clients that connect in the same millisecond find room in the queue.
        server = await asyncio.start_server(self._converse, "127.0.0.1", self.port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        if started:
            started.set()
        await self._stop.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def stop(self) -> None:
        if self._loop and self._stop:
            self._loop.call_soon_threadsafe(self._stop.set)

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve(started)), name=type(self).__name__, daemon=True)
        self._thread.start()
        if not started.wait(timeout=10):
            raise OSError(f"no server on port {self.port} within 10 s")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        if self._thread:
            self._thread.join(timeout=10)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while request := await _read(reader):
                if not await _write(writer, await self._reply(request)):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the server is stopping
        finally:
            self._connections.discard(task)
            writer.close()

    async def _reply(self, request: HttpRequest) -> HttpReply:
        try:
            return await self.answer(request)
        except Exception as error:
            log.exception("%s %s", request.method, request.path)
            return self.fell_over(error)


async def _read(reader: asyncio.StreamReader) -> HttpRequest | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {}
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    path, _, query = target.partition("?")
    return HttpRequest(method, path, headers, body, dict(parse_qsl(query)))


async def _write(writer: asyncio.StreamWriter, reply: HttpReply) -> bool:
    """Sends the reply; False when the connection is of no further use."""
    length = "transfer-encoding: chunked" if reply.endless else f"content-length: {len(reply.body)}"
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}", length, *(f"{k}: {v}" for k, v in reply.headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    while reply.endless:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.02)  # a trickle: each read is well within any read timeout
    writer.write(reply.body[: reply.reset_after])
    await writer.drain()
    if reply.reset_after is None:
        return True
    # Linger 0 makes the close a reset, where a plain close would be a polite end of the stream.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False
