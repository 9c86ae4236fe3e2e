"""Fetching, hashing and indexing a video of 2 GiB against a plain download, and the memory of it: `python -m bench.source`.

The bucket is a static server in a process of its own that sends 1 Gbit/s, and once more as fast as loopback is, where both sides share the
cores and nothing waits for a line. The plain download is boto3's, into a file, in the same chunks. Ours is what the run does: `fetch` with
its hash on the way, the process that decodes starting meanwhile, then what is left of that start and the index of all packets, as
`take_apart` times them; frames are taken as well, and counted for the memory only. The two are measured in turn, and the median of the
turns' ratios counts: the machine changes between turns.
"""

import contextlib
import multiprocessing
import os
import statistics
import struct
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import SecretStr

from bench.parts import line
from bench.sampling import ffmpeg
from pressroom.compliance.sampling import Sampling
from pressroom.compliance.taking import Decoder, Taken

NAME = "source"
MIB = 1 << 20
MOST_BYTES = 2048 * MIB
PIECE_S, PIECES, MEGABITS = 20, 17, 50
TIMES = 3
GIGABIT = 125e6  # bytes a second
SENT_AT_ONCE = 4 * MIB
MOST_RATIO, MOST_MIB = 1.15, 600
BUCKET, KEY = "bench", "film.mp4"


def film(folder: Path) -> Path:
    """Nearly six minutes of 1080p at 50 Mbit/s, 2 GiB to the byte: all but the last MiB are packets'."""
    piece, whole = folder / "piece.mkv", folder / KEY
    picture = f"testsrc2=size=1920x1080:rate=30:duration={PIECE_S},noise=alls=40:allf=t"
    rate = f"-b:v {MEGABITS}M -minrate {MEGABITS}M -maxrate {MEGABITS}M -bufsize {MEGABITS}M".split()
    ffmpeg("-f", "lavfi", "-i", picture, *["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "60"], *rate, str(piece))
    tone = ("-f", "lavfi", "-i", f"sine=frequency=300:sample_rate=48000:duration={PIECE_S * PIECES}", "-c:a", "aac")
    ffmpeg("-stream_loop", str(PIECES - 1), "-i", str(piece), *tone, "-c:v", "copy", "-fs", str(MOST_BYTES - 8 * MIB), str(whole))
    piece.unlink()
    with whole.open("r+b") as file:
        room = MOST_BYTES - file.seek(0, os.SEEK_END)
        file.write(struct.pack(">I4s", room, b"free"))  # a box that no player looks at
        file.truncate(MOST_BYTES)
    return whole


class _Static(BaseHTTPRequestHandler):
    """One object, whatever is asked for."""

    protocol_version = "HTTP/1.1"
    path_of_file: ClassVar[Path]
    rate: ClassVar[float | None]  # bytes a second

    def do_GET(self) -> None:
        with self.path_of_file.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.send_response(200)
            for name, value in (("Content-Length", str(size)), ("ETag", '"etag"'), ("Content-Type", "video/mp4")):
                self.send_header(name, value)
            self.send_header("Last-Modified", self.date_time_string(0))
            self.end_headers()
            self.wfile.flush()
            begin, sent = time.perf_counter(), 0
            while sent < size:
                sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, min(size - sent, SENT_AT_ONCE))
                if self.rate:
                    time.sleep(max(0.0, begin + sent / self.rate - time.perf_counter()))

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


def serve(told: Connection, path: Path, rate: float | None) -> None:
    """The work of the server's process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Static,), {"path_of_file": path, "rate": rate}))
    told.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def bucket(path: Path, rate: float | None) -> Iterator[int]:
    """The port of a server that has the file."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(theirs, path, rate), name="bucket", daemon=True)
    process.start()
    theirs.close()  # so that its end is told where it cannot start
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


class Memory:
    """The most that this process and those that it starts while the block runs have in memory at one moment, in MiB."""

    def __init__(self) -> None:
        import psutil

        self.most = 0.0
        self._own = psutil.Process()
        self._others = set(self._own.children(recursive=True))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        import psutil

        while not self._ended.wait(0.05):
            total = self._own.memory_info().rss
            for child in set(self._own.children(recursive=True)) - self._others:
                with contextlib.suppress(psutil.NoSuchProcess):
                    total += child.memory_info().rss
            self.most = max(self.most, total / MIB)


def plain(port: int, path: Path) -> float:
    """Seconds of a download that does nothing else."""
    import boto3
    from botocore.config import Config

    from pressroom.objects.streams import CHUNK

    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    config = Config(response_checksum_validation="when_required", s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", config=config, **keys)
    begin = time.perf_counter()
    body = client.get_object(Bucket=BUCKET, Key=KEY)["Body"]
    with path.open("wb") as file:
        for chunk in body.iter_chunks(CHUNK):
            file.write(chunk)
    return time.perf_counter() - begin


def taken_in(port: int, folder: Path) -> tuple[float, Taken]:
    """Seconds of our fetch, and the video taken apart."""
    from pressroom.objects.s3 import Place, S3Store

    store = S3Store(Place(BUCKET, "", f"http://127.0.0.1:{port}", "us-east-1", SecretStr("key"), SecretStr("secret")))
    begin = time.perf_counter()
    with Decoder(Sampling()) as decoder:
        store.fetch(KEY, None, folder / KEY)
        seconds = time.perf_counter() - begin
        return seconds, decoder.take_apart(folder / KEY, folder / "media")


class Turn(NamedTuple):
    """What one turn took in s: the plain download, our fetch, what was left of the decoder's start, the index; and MiB at most."""

    plain: float
    fetch: float
    start: float
    index: float
    memory: float

    @property
    def ours(self) -> float:
        return self.fetch + self.start + self.index


def turns(path: Path, folder: Path, *, count: int, rate: float | None = None) -> list[Turn]:
    """The two in turn, over a line of `rate` bytes a second (None: all that loopback has)."""
    found = []
    with bucket(path, rate) as port:
        for _ in range(count):
            with tempfile.TemporaryDirectory(dir=folder) as turn:
                download = plain(port, Path(turn) / KEY)
            with tempfile.TemporaryDirectory(dir=folder) as turn:
                with Memory() as memory:
                    fetch, taken = taken_in(port, Path(turn))
                assert taken.complete, taken.picture.reason
            found.append(Turn(download, fetch, taken.seconds["start"], taken.seconds["index"], memory.most))
    return found


def told(name: str, over: str, found: Sequence[Turn], size: int, *, target: float | None = None) -> None:
    """A line: the median of the turns' ratios."""
    ratios = [turn.ours / turn.plain for turn in found]
    ratio, each = statistics.median(ratios), ", ".join(f"{ratio:.2f}" for ratio in ratios)
    ours, fetch, start, index, download = (
        statistics.median(getattr(turn, part) for turn in found) for part in ("ours", "fetch", "start", "index", "plain")
    )
    line(
        f"{NAME}.{name}",
        f"{size / MIB:.0f} MiB over {over}: {ours:.2f} s (fetch and hash {fetch:.2f}, wait for the decoder {start:.2f}, index {index:.2f})",
        f"{ratio:.2f} × ({each}) a plain download's {download:.2f} s ({size / MIB / download:.0f} MiB/s)",
        target=f"≤ {target} ×" if target else "",
        met=target is None or ratio <= target,
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pressroom-bench-") as name:
        folder = Path(name)
        path = film(folder)
        size = path.stat().st_size
        line_turns, loopback = turns(path, folder, count=TIMES, rate=GIGABIT), turns(path, folder, count=TIMES)
    told("line", "1 Gbit/s", line_turns, size, target=MOST_RATIO)
    told("loopback", "loopback", loopback, size)
    most = max(turn.memory for turn in (*line_turns, *loopback))
    line(
        f"{NAME}.memory",
        f"{most:.0f} MiB at most, this process and the decoder's together",
        target=f"≤ {MOST_MIB} MiB",
        met=most <= MOST_MIB,
    )


if __name__ == "__main__":
    main()
