"""The object store: keys to bytes. Files of people arrive here and reports are left here.

One interface, two stores: a folder of this machine, here, and a bucket (`s3.py`). A listing of a bucket costs one call for every
1,000 objects that it goes over, and `after` starts it anywhere at no cost: a tick that lists the uploads from today's prefix on
needs one or two calls, whatever number of older objects the bucket holds.
"""

import datetime as dt
import os
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pressroom.errors import BadInput, Permanent
from pressroom.objects.streams import OnBytes, Progress, pour, source, whole_file

# Keys are relative, forward-slashed, and never climb: the same rule for a folder and for S3.
_KEY = re.compile(r"(?!/)(?!.*(^|/)\.\.?(/|$))[^\\\x00-\x1f]{1,1024}\Z")
# A store without versions names a state of an object by what changes with it; such an id begins so.
ETAG = "etag:"

# `deleted`: this version is not there any more. `held`: a lock or a hold keeps it; asking again does not help until that ends.
Deletion = Literal["deleted", "held"]


class Stored(NamedTuple):
    """An object as a listing shows it: size in bytes, time of the last change in UTC."""

    key: str
    size: int
    modified: dt.datetime


class Version(NamedTuple):
    """One state of an object. `id` names it for good: the version id, else `etag:…`. A marker is a deletion that hides what came before."""

    key: str
    id: str
    size: int
    modified: dt.datetime
    is_newest: bool = True
    is_marker: bool = False


class Transfer(NamedTuple):
    """What was carried up or down: the version, its size in bytes, and the SHA-256 in hex of the bytes that passed."""

    key: str
    version: str
    size: int
    sha256: str


class ObjectStore(Protocol):
    """Objects by key, for any thread.

    Names that begin with "." (half-written files, the placeholders of consoles) and folders are no objects: listings leave them out.
    Whatever reads raises BadInput for what is not there (any more), Permanent for a refusal that names the setting to correct, and
    Transient when the store stayed away after all retries.
    """

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[Stored]:
        """The newest version of each object whose key begins with `prefix` and comes after `after`, in key order, page by page."""
        ...

    def versions(self, prefix: str, *, after: str | None = None) -> Iterator[Version]:
        """Every version and deletion marker, in key order, a key's newest first. For exactly one key: `versions_of`."""
        ...

    def head(self, key: str, version: str | None = None) -> Version | None:
        """What there is under the key, the newest version if none is named; None where there is nothing, or a deletion marker."""
        ...

    def exists(self, key: str) -> bool: ...
    def read(self, key: str) -> bytes: ...
    def write(self, key: str, data: bytes) -> None:
        """Replaces the whole object, never half of it."""
        ...

    def fetch(
        self, key: str, version: str | None, path: Path, *, progress: Progress | None = None, on_bytes: OnBytes | None = None
    ) -> Transfer:
        """Streams one version (None: the newest) into the file `path`, which gets its name when all of it is there.

        A broken connection is taken up where it broke, on the same version. `on_bytes` sees each byte once, in order.
        """
        ...

    def put(self, path: Path, key: str, *, progress: Progress | None = None) -> Transfer:
        """Streams the file `path` up. Raises BadInput when it changes meanwhile; the object then stays as it was."""
        ...

    def move(self, key: str, to: str) -> None:
        """Renames an object. One that is gone already was moved by another run: that is fine."""
        ...

    def delete(self, key: str, version: str) -> Deletion:
        """Deletes one version for good. One that is gone already counts as deleted."""
        ...

    def url(self, key: str, expires_s: int = 3600, *, version: str | None = None) -> str:
        """A signed URL by which anybody reads the object, with over 10 minutes left; one that lasts is handed out again."""
        ...

    def location(self, key: str) -> str:
        """Where a person finds the object: a path or a URL."""
        ...


def check_key(key: str) -> str:
    """The key itself. Raises BadInput for one that could mean a place outside the store."""
    if not _KEY.match(key):
        raise BadInput(f"{key!r} is no object key: it must be relative, without '..', backslashes or control characters")
    return key


def is_listed(key: str) -> bool:
    """Whether a listing shows the key: not a folder's, and no name in it begins with a dot."""
    return not key.endswith("/") and not key.startswith(".") and "/." not in key


def versions_of(objects: ObjectStore, key: str) -> Iterator[Version]:
    """Every version of exactly this key, newest first: what a deletion for good has to name."""
    return takewhile(lambda version: version.key == key, objects.versions(check_key(key)))


class FolderStore:
    """Objects as files under one folder. An object has one version, named by its size and time of change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[Stored]:
        return (Stored(found.key, found.size, found.modified) for found in self.versions(prefix, after=after))

    def versions(self, prefix: str, *, after: str | None = None) -> Iterator[Version]:
        """One version of each object, in the key order of a bucket, where "a-b/x" comes before "a/x"."""
        folder, slash, _ = (check_key(prefix) if prefix else "").rpartition("/")
        return (_version(key, facts) for key, facts in self._walk(folder + slash, prefix, after or ""))

    def head(self, key: str, version: str | None = None) -> Version | None:
        path = self._path(key)
        try:
            found = _version(key, path.stat()) if path.is_file() else None
        except OSError:  # it went between the two looks
            return None
        return found if found and version in (None, found.id) else None

    def exists(self, key: str) -> bool:
        return self.head(key) is not None

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except OSError as error:
            raise BadInput(f"{self.location(key)}: cannot be read ({error.strerror})") from None

    def write(self, key: str, data: bytes) -> None:
        with whole_file(self._path(key), durable=True) as file:
            file.write(data)

    def fetch(
        self, key: str, version: str | None, path: Path, *, progress: Progress | None = None, on_bytes: OnBytes | None = None
    ) -> Transfer:
        with source(self._path(key)) as stored:
            found = _version(key, stored.facts).id
            if version not in (None, found):
                raise BadInput(f"{self.location(key)}: was replaced since it was listed")
            size, sha256 = pour(stored.chunks(), path, total=stored.size, progress=progress, on_bytes=on_bytes)
        return Transfer(key, found, size, sha256)

    def put(self, path: Path, key: str, *, progress: Progress | None = None) -> Transfer:
        target = self._path(key)
        with source(path) as given:
            size, sha256 = pour(given.chunks(), target, total=given.size, durable=True, progress=progress)
        return Transfer(key, _version(key, target.stat()).id, size, sha256)

    def move(self, key: str, to: str) -> None:
        target = self._path(to)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._path(key), target)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Permanent(f"{target}: cannot be written ({error.strerror})") from None

    def delete(self, key: str, version: str) -> Deletion:
        path = self._path(key)
        try:
            if self.head(key, version):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise Permanent(f"{path}: cannot be deleted ({error.strerror})") from None
        return "deleted"

    def url(self, key: str, expires_s: int = 3600, *, version: str | None = None) -> str:
        """Raises Permanent: nobody but this machine can open a file of its folder."""
        raise Permanent(
            f"{self.location(key)}: a hosted model cannot open a file of this machine; set PRESSROOM_STORE_URL to a bucket, s3://bucket/prefix"
        )

    def location(self, key: str) -> str:
        return str(self._path(key))

    def _path(self, key: str) -> Path:
        return self.folder / check_key(key)

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[tuple[str, os.stat_result]]:
        """Files under `folder` ("" or "a/b/"), lazily: folders that end before `after` are not opened."""
        try:
            with os.scandir(self.folder / folder) as found:
                entries = sorted((f"{folder}{entry.name}{'/' * entry.is_dir(follow_symlinks=False)}", entry) for entry in found)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise Permanent(f"{self.folder / folder}: cannot be listed ({error.strerror})") from None
        for key, entry in entries:
            if entry.name.startswith(".") or not key.startswith(prefix):
                continue
            if key.endswith("/"):
                if key > after or after.startswith(key):
                    yield from self._walk(key, prefix, after)
            elif key > after:
                try:
                    if entry.is_file():
                        yield key, entry.stat()
                except FileNotFoundError:  # it went since the folder was read
                    continue


def _modified(facts: os.stat_result) -> dt.datetime:
    return dt.datetime.fromtimestamp(facts.st_mtime, dt.UTC)


def _version(key: str, facts: os.stat_result) -> Version:
    return Version(key, f"{ETAG}{facts.st_size}-{facts.st_mtime_ns}", facts.st_size, _modified(facts))
