"""Bytes on their way: whole files or none, their SHA-256 taken in the same pass, a few MiB of memory whatever their size."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pressroom.errors import BadInput, Permanent

# Bytes so far, and bytes in all.
Progress = Callable[[int, int], None]
# Every byte once and in order, as it arrives.
OnBytes = Callable[[bytes], None]

CHUNK = 1 << 20


@contextmanager
def whole_file(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A file that gets its name when everything is in it; after any error it never was. `durable` waits for the disk and lets others read.

    Raises Permanent where the disk refuses, as when it is full.
    """
    half = ""
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".tmp", delete=False) as file:
                half = file.name
                yield file  # type: ignore[misc]  # typeshed's wrapper is no BinaryIO in name
                file.flush()
                if durable:
                    os.fsync(file.fileno())
                    os.chmod(half, 0o644)  # a temporary file is 0600; a report is for others to open
            os.replace(half, path)
        except BaseException:
            if half:
                Path(half).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Permanent(
            f"{path}: cannot be written ({error.strerror}); make room, or change PRESSROOM_HOME or PRESSROOM_STORE_URL"
        ) from None


def pour(
    chunks: Iterable[bytes],
    path: Path,
    *,
    total: int,
    durable: bool = False,
    progress: Progress | None = None,
    on_bytes: OnBytes | None = None,
) -> tuple[int, str]:
    """Writes `chunks` to `path`, the whole or nothing: size in bytes and SHA-256 in hex.

    One chunk is hashed while the next is fetched: SHA-256 takes a second for a GB, about what a fast download takes.
    """
    digest, size, hashed = hashlib.sha256(), 0, None
    with ThreadPoolExecutor(1, thread_name_prefix="sha256") as hashing, whole_file(path, durable=durable) as file:
        for chunk in chunks:
            _wait(hashed)
            hashed = hashing.submit(digest.update, chunk)
            file.write(chunk)
            size += len(chunk)
            if on_bytes:
                on_bytes(chunk)
            if progress:
                progress(size, total)
        _wait(hashed)
    return size, digest.hexdigest()


def _wait(hashed: "Future[None] | None") -> None:
    if hashed:
        hashed.result()


class Source:
    """A file of this machine, open for reading, as it was then."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file = path, file
        self.facts = os.fstat(file.fileno())
        self.size = self.facts.st_size

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The bytes in order. Raises BadInput when somebody writes to the file meanwhile: one that grows might not end."""
        given = 0
        while (chunk := self._read(size)) and (given := given + len(chunk)) <= self.size:
            yield chunk
        now = os.fstat(self.file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.size, self.facts.st_mtime_ns):
            raise BadInput(f"{self.path}: changed while it was read")

    def _read(self, size: int) -> bytes:
        try:
            return self.file.read(size)
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be read ({error.strerror})") from None


@contextmanager
def source(path: Path) -> Iterator[Source]:
    """`path` to read from. Raises BadInput where it cannot be."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    with file:
        yield Source(path, file)
