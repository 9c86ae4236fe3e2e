"""Files at Replicate: those that were uploaded, and what is behind the URLs of an input."""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any

from simulators.openai_wire import Refused
from simulators.replicate_predictions import Clock

LONGEST_DATA_URI = 1_000_000
LARGEST_FILE = 100_000_000
KEPT_S = 24 * 3600


@dataclass
class Fetched:
    """An input with the SHA-256 of its content in the place of each file, the contents, and the URLs that could not be fetched."""

    named: Any = None
    contents: list[bytes] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class Files(dict[str, tuple[str, bytes]]):
    """Uploaded files, name and content by id."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def keep(self, name: str, content: bytes) -> str:
        """The id of a new file. Raises Refused for one that is too large."""
        if len(content) > LARGEST_FILE:
            raise Refused(413, "Content too large", "Files are limited to 100MB")
        identifier = uuid.uuid4().hex[:26]
        self[identifier] = (name, content)
        return identifier

    def document(self, identifier: str, base_url: str) -> dict[str, Any]:
        """The file as the API tells it."""
        name, content = self[identifier]
        sha256 = hashlib.sha256(content).hexdigest()
        return {
            "id": identifier,
            "name": name,
            "content_type": "application/octet-stream",
            "size": len(content),
            "etag": sha256[:32],
            "checksums": {"sha256": sha256},
            "metadata": {},
            "created_at": self._clock.stamp(self._clock()),
            "expires_at": self._clock.stamp(self._clock() + KEPT_S),
            "urls": {"get": f"{base_url}/v1/files/{identifier}"},
        }

    async def fetch(self, given: Any, base_url: str) -> Fetched:
        """The files that an input names. Raises Refused for a data URI that is too long."""
        fetched = Fetched()
        fetched.named = await self._named(given, base_url, fetched)
        return fetched

    async def _named(self, value: Any, base_url: str, fetched: Fetched) -> Any:
        match value:
            case dict():
                return {key: await self._named(part, base_url, fetched) for key, part in value.items()}
            case list():
                return [await self._named(part, base_url, fetched) for part in value]
            case str() if value.startswith(("data:", "http://", "https://")):
                content = await self._content(value, base_url)
                if content is None:
                    fetched.lost.append(value)
                    return value
                fetched.contents.append(content)
                return hashlib.sha256(content).hexdigest()
        return value

    async def _content(self, url: str, base_url: str) -> bytes | None:
        """What is behind a URL; None where it cannot be fetched. Nothing is fetched from beyond this machine."""
        if url.startswith("data:"):
            if len(url) > LONGEST_DATA_URI:
                raise Refused(422, "Input validation failed", "- input: data URIs are limited to 1MB")
            with contextlib.suppress(binascii.Error, ValueError):
                return base64.b64decode(url.partition(",")[2], validate=True)
            return None
        if url.startswith(f"{base_url}/v1/files/"):
            _, content = self.get(url.rpartition("/")[2], ("", None))
            return content
        if not url.startswith("http://127.0.0.1:"):
            return url.encode()

        def fetch() -> bytes:
            with urllib.request.urlopen(url, timeout=10) as response:
                return bytes(response.read())

        with contextlib.suppress(OSError):
            return await asyncio.to_thread(fetch)
        return None
