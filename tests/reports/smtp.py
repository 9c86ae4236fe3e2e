"""A mail server on loopback that speaks SMTP, keeps what it takes, and refuses, stalls or hangs up when it is told to."""

import asyncio
import base64
import threading
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Self


@dataclass
class Behaviour:
    """`replies`: what a command (`MAIL`, `RCPT ana@`, `DATA` for the mail itself) gets instead of yes; `drops`: where it hangs up."""

    replies: dict[str, str] = field(default_factory=dict)
    drops: set[str] = field(default_factory=set)
    stalls: set[str] = field(default_factory=set)
    login: tuple[str, str] | None = None


class SmtpServer:
    """Serves in a thread. `mails`: each with the envelope's recipients; kept as soon as its last line came, before the reply."""

    def __init__(self) -> None:
        self.does = Behaviour()
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.connections = 0
        self.port = 0
        self._talks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="SMTP", daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._talk, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._talks.add(task)
        self.connections += 1
        try:
            writer.write(b"220 loopback ESMTP\r\n")
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._talks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to: list[str] = []
        while line := (await reader.readline()).decode().strip():
            command = line.partition(" ")[0].upper()
            if command == "RCPT":
                box = line[line.index("<") + 1 : line.index(">")]
                reply = self._reply(f"RCPT {box}")
                to += [box] * reply.startswith("250")
            elif command == "EHLO":
                reply = "250-loopback\r\n250-AUTH PLAIN\r\n250 8BITMIME" if self.does.login else "250 loopback"
            elif command == "AUTH":
                given = tuple(base64.b64decode(line.split()[-1]).decode().split("\0")[1:])
                reply = "235 welcome" if given == self.does.login else "535 who are you"
            elif command == "DATA":
                writer.write(b"354 go on\r\n")
                data = (await reader.readuntil(b"\r\n.\r\n"))[:-3].replace(b"\r\n..", b"\r\n.")
                self.mails.append((to, message_from_bytes(data, policy=policy.default)))  # type: ignore[arg-type]
                to, reply = [], self._reply("DATA")
            elif command == "QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                to = [] if command in ("MAIL", "RSET") else to
                reply = self._reply(command)
            if command in self.does.stalls:
                await asyncio.sleep(60)
            if command in self.does.drops:
                return
            writer.write(reply.encode() + b"\r\n")
            await writer.drain()

    def _reply(self, asked: str) -> str:
        return next((reply for start, reply in self.does.replies.items() if asked.startswith(start)), "250 fine")
