"""The object store: keys to bytes. Files of people arrive here and reports are left here."""

import datetime as dt
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from pressroom.errors import BadInput, Permanent

# Keys are relative, forward-slashed, and never climb: the same rule for a folder and for S3.
_KEY = re.compile(r"^(?!/)(?!.*(^|/)\.\.?(/|$))[^\\\x00-\x1f]{1,1024}$")


class Stored(NamedTuple):
    """An object as a listing shows it: size in bytes, time of the last change in UTC."""

    key: str
    size: int
    modified: dt.datetime


class ObjectStore(Protocol):
    """Objects by key. `list` goes in key order; `write` replaces whole objects, never half of one."""

    def list(self, prefix: str) -> Iterator[Stored]: ...
    def read(self, key: str) -> bytes: ...
    def write(self, key: str, data: bytes) -> None: ...
    def move(self, key: str, to: str) -> None: ...
    def location(self, key: str) -> str:
        """Where a person finds the object: a path or a URL."""
        ...


class FolderStore:
    """Objects as files under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def list(self, prefix: str) -> Iterator[Stored]:
        """Objects under `prefix` (a folder, ending in "/"), by key; hidden and half-written files are left out."""
        for path in sorted(self._path(prefix).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                facts = path.stat()
                yield Stored(path.relative_to(self.folder).as_posix(), facts.st_size, dt.datetime.fromtimestamp(facts.st_mtime, dt.UTC))

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except OSError as error:
            raise BadInput(f"{self.location(key)}: cannot be read ({error.strerror})") from None

    def write(self, key: str, data: bytes) -> None:
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as half:
                try:
                    half.write(data)
                    half.flush()
                    os.fsync(half.fileno())
                except OSError:
                    os.unlink(half.name)
                    raise
            os.chmod(half.name, 0o644)  # a temporary file is 0600; a report is for others to open
            os.replace(half.name, path)
        except OSError as error:
            raise Permanent(
                f"{path}: cannot be written ({error.strerror}); make room, or change PRESSROOM_HOME or PRESSROOM_STORE_URL"
            ) from None

    def move(self, key: str, to: str) -> None:
        """Renames an object. One that is gone already was moved by another run: that is fine."""
        target = self._path(to)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._path(key), target)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Permanent(f"{target}: cannot be written ({error.strerror})") from None

    def location(self, key: str) -> str:
        return str(self._path(key))

    def _path(self, key: str) -> Path:
        if not _KEY.match(key):
            raise BadInput(f"{key!r} is no object key: it must be relative, without '..', backslashes or control characters")
        return self.folder / key
