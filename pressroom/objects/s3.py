"""Objects in a bucket of any S3: Backblaze B2, AWS, MinIO.

Import this when a bucket is used: boto3 takes about a second.
"""

import hashlib
import logging
import mimetypes
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr
from urllib3.exceptions import HTTPError

from pressroom.errors import BadInput, PressroomError, Transient
from pressroom.objects.s3_errors import Denied, NotThere, explained, no_bucket
from pressroom.objects.signed import SignedUrls
from pressroom.objects.store import ETAG, Deletion, Stored, Transfer, Version, check_key, is_listed, versions_of
from pressroom.objects.streams import CHUNK, OnBytes, Progress, Source, pour, source

# boto3 says every signature when a process logs at DEBUG.
logging.getLogger("botocore.auth").setLevel(logging.INFO)

MIB = 1 << 20
# One part is in memory at a time. S3 takes 10,000 parts of 5 MiB to 5 GiB, and 5 GiB in one copy.
SMALLEST_PART = 8 * MIB
MOST_PARTS = 10_000
COPIED_AT_ONCE = 5 << 30
# Of the wait before a broken download is taken up; it doubles from half a second, and is drawn at random below.
LONGEST_WAIT_S = 20.0

_REGION = re.compile(r"s3[.-]([a-z]{2}-[a-z0-9-]+)\.")


@dataclass(frozen=True)
class Place:
    """A bucket, the prefix of the store's keys in it ("" or "a/b/"), and how to get there. Without a key, what the machine has is used."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    key_id: SecretStr | None = None
    secret: SecretStr | None = None
    token: SecretStr | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc if self.endpoint else "s3.amazonaws.com"

    @property
    def signing_region(self) -> str | None:
        """The region of requests: as set, else the one in the endpoint's name, as in s3.us-west-004.backblazeb2.com."""
        found = _REGION.match(self.host)
        return self.region or (found[1] if found else None)


class S3Store:
    """Objects of one bucket under one prefix.

    Each call is tried `attempts` times, with waits that double; a download goes on where it broke, as long as it moves.
    """

    def __init__(self, place: Place, *, attempts: int = 5, timeout_s: float = 60, clock: Callable[[], float] = time.time) -> None:
        self._place = place
        self._attempts = attempts
        self._client = _client(replace(place, bucket="", prefix=""), attempts, timeout_s)
        self._urls = SignedUrls(self._sign, clock)
        self._bucket_is_known = False

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[Stored]:
        for page in self._pages("list_objects_v2", prefix, {"StartAfter": self._name(after)} if after else {}):
            for entry in page.get("Contents", ()):
                if is_listed(key := self._key(entry)):
                    yield Stored(key, entry["Size"], entry["LastModified"])

    def versions(self, prefix: str, *, after: str | None = None) -> Iterator[Version]:
        for page in self._pages("list_object_versions", prefix, {"KeyMarker": self._name(after)} if after else {}):
            found = [Version(self._key(it), _id(it), it["Size"], it["LastModified"], it["IsLatest"]) for it in page.get("Versions", ())]
            found += [
                Version(self._key(it), it["VersionId"], 0, it["LastModified"], it["IsLatest"], is_marker=True)
                for it in page.get("DeleteMarkers", ())
            ]
            for version in sorted(found, key=lambda version: (version.key, not version.is_newest, -version.modified.timestamp())):
                if is_listed(version.key) and version.key > (after or ""):  # some servers begin with the key itself, S3 after it
                    yield version

    def head(self, key: str, version: str | None = None) -> Version | None:
        try:
            with self._told(key):
                found = self._client.head_object(**self._object(key), **_named(version))
        except NotThere:
            self._check_bucket()
            return None
        return Version(key, _id(found), found["ContentLength"], found["LastModified"], is_newest=version is None)

    def exists(self, key: str) -> bool:
        return self.head(key) is not None

    def read(self, key: str) -> bytes:
        with closing(_Download(self, key, None)) as download:
            return b"".join(download)

    def write(self, key: str, data: bytes) -> None:
        self._put_whole(key, data)

    def fetch(
        self, key: str, version: str | None, path: Path, *, progress: Progress | None = None, on_bytes: OnBytes | None = None
    ) -> Transfer:
        with closing(_Download(self, key, version)) as download:
            size, sha256 = pour(download, path, total=download.size, progress=progress, on_bytes=on_bytes)
        return Transfer(key, download.version, size, sha256)

    def put(self, path: Path, key: str, *, progress: Progress | None = None) -> Transfer:
        with source(path) as given:
            size = part_size(given.size)
            if given.size > size:
                return self._put_parts(given, key, size, progress)
            data = b"".join(given.chunks())
        version = self._put_whole(key, data)
        if progress:
            progress(len(data), len(data))
        return Transfer(key, version, len(data), hashlib.sha256(data).hexdigest())

    def move(self, key: str, to: str) -> None:
        """Copies, then hides: versions that the bucket keeps stay under the old name, and none of them comes to light there again."""
        origin = self._object(key)
        config = TransferConfig(multipart_threshold=COPIED_AT_ONCE, multipart_chunksize=COPIED_AT_ONCE // 10, use_threads=False)
        try:
            with self._told(key):
                self._client.copy(origin, **self._object(to), Config=config)
                self._client.delete_object(**origin)
        except NotThere:
            self._check_bucket()
        self._urls.drop(key)

    def delete(self, key: str, version: str) -> Deletion:
        """Where the bucket keeps no versions, an object that was replaced since `version` stays."""
        self._urls.drop(key)
        if version.startswith(ETAG) and all(found.id != version for found in versions_of(self, key)):
            return "deleted"
        try:
            with self._told(key):
                self._client.delete_object(**self._object(key), VersionId="null" if version.startswith(ETAG) else version)
        except NotThere:
            self._check_bucket()
        except Denied as error:
            if error.says_lock or self._is_held(key, version):
                return "held"
            raise
        return "deleted"

    def url(self, key: str, expires_s: int = 3600, *, version: str | None = None) -> str:
        return self._urls.get(check_key(key), None if version and version.startswith(ETAG) else version, expires_s)

    def location(self, key: str) -> str:
        return f"s3://{self._place.bucket}/{self._place.prefix}{key}"

    def _put_whole(self, key: str, data: bytes) -> str:
        with self._told(key):
            return _id(self._client.put_object(**self._object(key), Body=data, ContentType=_kind(key)))

    def _put_parts(self, given: Source, key: str, size: int, progress: Progress | None) -> Transfer:
        """A large file in parts, of which one is in memory. Parts of an upload that fails are taken back: they would cost until then."""
        digest, sent, parts = hashlib.sha256(), 0, []
        with self._told(key):
            upload = self._client.create_multipart_upload(**self._object(key), ContentType=_kind(key))["UploadId"]
        try:
            for number, data in enumerate(given.chunks(size), start=1):
                digest.update(data)
                with self._told(key):
                    part = self._client.upload_part(**self._object(key), UploadId=upload, PartNumber=number, Body=data)
                parts.append({"ETag": part["ETag"], "PartNumber": number})
                sent += len(data)
                if progress:
                    progress(sent, given.size)
            with self._told(key):
                done = self._client.complete_multipart_upload(**self._object(key), UploadId=upload, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(PressroomError), self._told(key):
                self._client.abort_multipart_upload(**self._object(key), UploadId=upload)
            raise
        return Transfer(key, _id(done), sent, digest.hexdigest())

    def _sign(self, key: str, version: str | None, expires_s: int) -> str:
        with self._told(key):
            return str(
                self._client.generate_presigned_url("get_object", Params={**self._object(key), **_named(version)}, ExpiresIn=expires_s)
            )

    def _is_held(self, key: str, version: str) -> bool:
        """Whether a lock of the version is why it may not be deleted. A key that may not even look cannot say."""
        try:
            with self._told(key):
                found = self._client.head_object(**self._object(key), **_named(version))
        except PressroomError:
            return False
        until = found.get("ObjectLockRetainUntilDate")
        return found.get("ObjectLockLegalHoldStatus") == "ON" or bool(until and until.timestamp() > time.time())

    def _check_bucket(self) -> None:
        """The object is not there: is the bucket? Asked once. Raises Permanent when it is not."""
        if self._bucket_is_known:
            return
        try:
            with suppress(Denied), self._told(""):  # a key that sees objects only is told nothing about the bucket
                self._client.head_bucket(Bucket=self._place.bucket)
        except NotThere:
            raise no_bucket(self._place.bucket, self._place.host) from None
        self._bucket_is_known = True

    def _pages(self, operation: str, prefix: str, start: dict[str, str]) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator(operation)
        with self._told(""):
            yield from pages.paginate(Bucket=self._place.bucket, Prefix=self._name(prefix) if prefix else self._place.prefix, **start)

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self._place.bucket, "Key": self._name(key)}

    def _name(self, key: str) -> str:
        """The key's name in the bucket. Raises BadInput for one that S3 does not take."""
        name = self._place.prefix + check_key(key)
        try:
            length = len(name.encode())
        except UnicodeEncodeError:
            raise BadInput(f"{key!r} is no object key: it is not Unicode") from None
        if length > 1024:
            raise BadInput(f"{key[:60]!r}… is no object key: {length:,} bytes, and 1,024 at most")
        return name

    def _key(self, entry: dict[str, Any]) -> str:
        return str(entry["Key"]).removeprefix(self._place.prefix)

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Errors of the wire as the project's own."""
        try:
            yield
        except (ClientError, BotoCoreError, HTTPError) as error:
            raise explained(error, what=self.location(key), bucket=self._place.bucket, host=self._place.host) from None


class _Download:
    """The bytes of one version in order, across broken connections. It is open from the start: size and version are known."""

    def __init__(self, store: S3Store, key: str, version: str | None) -> None:
        self._store, self._key = store, key
        found = self._answer(version, {})
        self._body = found["Body"]
        self.version, self.size = _id(found), int(found["ContentLength"])

    def close(self) -> None:
        self._body.close()

    def __iter__(self) -> Iterator[bytes]:
        offset = failures = 0
        while True:
            try:
                if failures:
                    self._take_up(offset)
                with self._store._told(self._key):
                    for chunk in self._body.iter_chunks(CHUNK):
                        offset, failures = offset + len(chunk), 0
                        yield chunk
                return
            except Transient:
                failures += 1
                if offset == self.size:  # it broke behind the last byte
                    return
                if failures >= self._store._attempts:
                    raise
                time.sleep(random.random() * min(LONGEST_WAIT_S, 0.5 * 2**failures))

    def _take_up(self, offset: int) -> None:
        self.close()
        found = self._answer(self.version, {"Range": f"bytes={offset}-"})
        self._body = found["Body"]
        if not str(found.get("ContentRange", "")).startswith(f"bytes {offset}-"):
            raise Transient(f"{self._store.location(self._key)}: another part came than was asked for")

    def _answer(self, version: str | None, ranged: dict[str, str]) -> dict[str, Any]:
        with self._store._told(self._key):
            found: dict[str, Any] = self._store._client.get_object(**self._store._object(self._key), **_named(version), **ranged)
        return found


def part_size(size: int) -> int:
    """Bytes of a part, whole MiB, so that a file of `size` bytes takes 10,000 parts at most."""
    return max(SMALLEST_PART, -(-size // MOST_PARTS // MIB) * MIB)


@lru_cache(maxsize=8)
def _client(place: Place, attempts: int, timeout_s: float) -> Any:
    """Takes 0.2 s to make, and serves every bucket of an endpoint from any thread."""
    session = boto3.Session(
        aws_access_key_id=_plain(place.key_id), aws_secret_access_key=_plain(place.secret), aws_session_token=_plain(place.token)
    )
    config = Config(
        signature_version="s3v4",
        # B2 does not take the checksums that boto3 adds since 1.36.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=10,
        read_timeout=timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=20,
        # A name in front of the host resolves at AWS and B2, and nowhere in a network of one's own.
        s3={"addressing_style": "path" if place.endpoint else "auto"},
    )
    return session.client(
        "s3", endpoint_url=place.endpoint, region_name=place.signing_region or session.region_name or "us-east-1", config=config
    )


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _id(found: dict[str, Any]) -> str:
    """What names the version in an answer: a bucket without versions says none or "null"."""
    version = str(found.get("VersionId") or "null")
    return version if version != "null" else ETAG + str(found.get("ETag", "")).strip('"')


def _named(version: str | None) -> dict[str, str]:
    if version is None:
        return {}
    if version.startswith(ETAG):
        return {"IfMatch": f'"{version.removeprefix(ETAG)}"'}
    return {"VersionId": version}


def _kind(key: str) -> str:
    """So that a browser shows a report instead of saving it."""
    return mimetypes.guess_type(key)[0] or "application/octet-stream"
