"""Fetching, hashing and indexing a video of 2 GiB against a plain download, and the memory of it: `python -m bench.source`.

The bucket is a static server on loopback in a process of its own, faster than any network: what a real download hides shows here. The plain
download is boto3's, into a file, in the same chunks. Ours is what the run does: `fetch` with its hash on the way, the process that decodes
starting meanwhile, then what is left of that start and the index of all packets, as `take_apart` times them; frames are taken as well, and
counted for the memory only. The two are measured in turn, and the median of the turns' ratios counts: the machine changes between turns.
"""

import contextlib
import multiprocessing
import os
import statistics
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

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

    def do_GET(self) -> None:
        with self.path_of_file.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.send_response(200)
            for name, value in (("Content-Length", str(size)), ("ETag", '"etag"'), ("Content-Type", "video/mp4")):
                self.send_header(name, value)
            self.send_header("Last-Modified", self.date_time_string(0))
            self.end_headers()
            self.wfile.flush()
            sent = 0
            while sent < size:
                sent += os.sendfile(self.connection.fileno(), file.fileno(), sent, size - sent)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


def serve(told: Connection, path: Path) -> None:
    """The work of the server's process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Static,), {"path_of_file": path}))
    told.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def bucket(path: Path) -> Iterator[int]:
    """The port of a server that has the file."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(theirs, path), name="bucket", daemon=True)
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


def main() -> None:
    downloads, fetches, starts, indexes, most = [], [], [], [], 0.0
    with tempfile.TemporaryDirectory(prefix="pressroom-bench-") as folder:
        path = film(Path(folder))
        size = path.stat().st_size
        with bucket(path) as port:
            for _ in range(TIMES):
                with tempfile.TemporaryDirectory(dir=folder) as turn:
                    downloads.append(plain(port, Path(turn) / KEY))
                with tempfile.TemporaryDirectory(dir=folder) as turn:
                    with Memory() as memory:
                        seconds, taken = taken_in(port, Path(turn))
                    assert taken.complete, taken.picture.reason
                most = max(most, memory.most)
                fetches.append(seconds)
                starts.append(taken.seconds["start"])
                indexes.append(taken.seconds["index"])
    download, fetch, start, index = map(statistics.median, (downloads, fetches, starts, indexes))
    wholes = [sum(each) for each in zip(fetches, starts, indexes, strict=True)]
    whole, ratios = statistics.median(wholes), [ours / plainly for ours, plainly in zip(wholes, downloads, strict=True)]
    ratio = statistics.median(ratios)
    line(
        f"{NAME}.pass",
        f"{size / MIB:.0f} MiB: {whole:.2f} s (fetch and hash {fetch:.2f}, wait for the decoder {start:.2f}, index {index:.2f})",
        f"{ratio:.2f} × ({', '.join(f'{each:.2f}' for each in ratios)}) a plain download's {download:.2f} s on loopback "
        f"({size / MIB / download:.0f} MiB/s)",
        target=f"≤ {MOST_RATIO} ×",
        met=ratio <= MOST_RATIO,
    )
    gigabit = size / 125e6  # what the wire alone takes
    if gigabit > download:
        slow = gigabit + (ratio - 1) * download
        line(f"{NAME}.gigabit", f"the same at 1 Gbit/s, reckoned: {slow:.1f} s", f"{slow / gigabit:.2f} × the download's {gigabit:.1f} s")
    line(
        f"{NAME}.memory",
        f"{most:.0f} MiB at most, this process and the decoder's together",
        target=f"≤ {MOST_MIB} MiB",
        met=most <= MOST_MIB,
    )


if __name__ == "__main__":
    main()
