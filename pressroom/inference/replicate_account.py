"""One account at Replicate: its HTTP calls, its errors in our words, and the files that its models are to look at.

Plain HTTP with aiohttp, and not the `replicate` client (1.0.7): that one repeats GETs by itself on 429 and 503 (the gateway's pace must
see them), raises on a status that it does not know (the answer would be lost with its bill), has no timeout on a create, no deadline on a
wait, drops the Retry-After header from its errors, and sends the token to whatever host an output names. Here the token goes to one host
only, no redirect is followed, and no output is ever downloaded. The tests ask the simulated endpoint with both.
"""

import asyncio
import base64
import hashlib
import io
import json
import re
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import JsonValue, SecretStr

from pressroom.errors import BadInput, Permanent, PressroomError, Throttled, Transient
from pressroom.llm.urls import is_url, why_lost

if TYPE_CHECKING:
    import ssl

    from aiohttp import ClientSession, FormData

Headers = Mapping[str, str]  # whatever the case of a name

BASE_URL = "https://api.replicate.com"
MOST_BYTES = 32_000_000  # of one answer: beyond it the other side is broken
PASSING = (408, 409, 425)
RESETS = re.compile(r"resets? in ~?\s*(\d{1,6}(?:\.\d+)?)\s*(ms|m(?:in)?|h)?", re.IGNORECASE)
UNITS = {"ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0}
LONGEST_DATA_URI = 1_000_000  # bytes; Replicate takes data URIs below 1 MB
LARGEST_UPLOAD = 100_000_000
KINDS = {".jpg": "image/jpeg", ".wav": "audio/x-wav"}  # all that is made here; the system's own table takes 20 ms to read
UPLOAD_LASTS_S = 12 * 3600  # Replicate keeps an upload for 24 hours
CONNECT_S, READ_S = 10.0, 60.0  # a create may take its time; the whole of a call has the gateway's deadline


class Missing(Permanent):
    """404: the endpoint knows no such prediction, model or version."""


class ReplicateAccount:
    """The account of one token. Its connections belong to the event loop of the first call; several models share them."""

    def __init__(self, *, token: SecretStr, base_url: str = BASE_URL) -> None:
        """Raises BadInput when the token or the URL cannot be one."""
        if not is_url(base_url):
            raise BadInput("REPLICATE_BASE_URL: expected a URL such as https://api.replicate.com")
        if not re.fullmatch(r"[!-~]+", token.get_secret_value()):
            raise BadInput("REPLICATE_API_TOKEN: expected letters, digits and signs without a space or a line break")
        self._token = token
        self._base_url = base_url.rstrip("/").removesuffix("/v1")
        url = urlsplit(base_url)
        self._host = f"{url.hostname}{f':{url.port}' if url.port else ''}"
        self._session: ClientSession | None = None
        self.waiting = 0  # predictions that are waited for, of all models

    @property
    def lane(self) -> str:
        """The account at its endpoint: the limit of 600 creates a minute holds for all its models together."""
        return f"{self._host}/{hashlib.sha256(self._token.get_secret_value().encode()).hexdigest()[:12]}"

    @property
    def where(self) -> str:
        """The endpoint as messages call it."""
        return f"Replicate at {self._host}"

    def warm_up(self) -> None:
        """Imports the HTTP client (0.3 s) and reads the certificates."""
        import aiohttp  # noqa: F401

        _ = self._certificates

    @cached_property
    def _certificates(self) -> "ssl.SSLContext":
        """Those that httpx trusts, as everywhere in the product: the system's own are missing in many a container."""
        import httpx

        return httpx.create_ssl_context()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(
        self, method: str, path: str, *, document: JsonValue = None, headers: dict[str, str] | None = None, about: str = ""
    ) -> tuple[dict[str, Any], Headers]:
        """The document that `/v1/<path>` answers with, and its headers. `about` names what is asked for in messages.

        Raises Throttled, Transient, Missing or Permanent, in one line without the token, an input or an output.
        """
        if document is None:
            return await self._exchange(method, path, headers or {}, about)
        headers = {"content-type": "application/json"} | (headers or {})
        return await self._exchange(method, path, headers, about, json.dumps(document).encode())

    async def upload(self, content: bytes, name: str, kind: str) -> str:
        """URL of the file, for inputs only. Replicate keeps it for a day."""
        if len(content) > LARGEST_UPLOAD:
            raise Permanent(f"{name} has {len(content):,} bytes: {self.where} takes files of at most {LARGEST_UPLOAD:,}")
        from aiohttp import FormData

        form = FormData()
        form.add_field("content", io.BytesIO(content), filename=name, content_type=kind)
        body, _ = await self._exchange("POST", "files", {}, "an upload", form)
        match body.get("urls"):
            case {"get": str(url)}:
                return url
        raise Transient(f"{self.where} answered with JSON of another shape: REPLICATE_BASE_URL may lead somewhere else")

    async def _exchange(
        self, method: str, path: str, headers: dict[str, str], about: str, data: "bytes | FormData | None" = None
    ) -> tuple[dict[str, Any], Headers]:
        import aiohttp

        headers = headers | {"authorization": f"Bearer {self._token.get_secret_value()}"}
        content = bytearray()
        try:
            async with self._opened().request(
                method, f"{self._base_url}/v1/{path}", headers=headers, data=data, allow_redirects=False
            ) as response:
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > MOST_BYTES:
                        raise Transient(f"{self.where} sent more than {MOST_BYTES:,} bytes for one answer")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Transient(f"{self.where} cannot be reached or broke off ({why_lost(error)}); REPLICATE_BASE_URL says where") from None
        if response.status >= 300:
            raise self._explained(response.status, response.headers, bytes(content), about)
        return self._document(bytes(content)), response.headers

    def _opened(self) -> "ClientSession":
        if self._session is None:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

            # How many are in flight is the gateway's to say.
            self._session = ClientSession(
                connector=TCPConnector(limit=0, ssl=self._certificates),
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S),
                proxy=_proxy_for(self._base_url),
            )
        return self._session

    def _document(self, content: bytes) -> dict[str, Any]:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            kind = "a web page" if content.lstrip()[:1] == b"<" else "broken JSON"
            raise Transient(f"{self.where} answered with {kind}: REPLICATE_BASE_URL may lead somewhere else") from None
        return body if isinstance(body, dict) else {}

    def _explained(self, status: int, headers: Headers, content: bytes, about: str) -> PressroomError:
        """The error in one line that names the setting to look at. What the endpoint says is not repeated: it may quote the input."""
        named = f"{self.where} answers {status}{f' for {about}' if about else ''}"
        if status == 429:
            return Throttled(f"{named}: too many calls", retry_after=retry_after(headers, content))
        if status in PASSING or status >= 500:
            return Transient(named, retry_after=retry_after(headers, b""))
        match status:
            case 401:
                return Permanent(f"{named}: the token is wrong; check REPLICATE_API_TOKEN")
            case 402:
                return Permanent(f"{named}: no credit is left; see the billing of the account that REPLICATE_API_TOKEN belongs to")
            case 403:
                return Permanent(f"{named}: the token may not do this; check REPLICATE_API_TOKEN")
            case 404:
                return Missing(f"{named}: it knows no such thing; check the model's version, and the account of REPLICATE_API_TOKEN")
            case 422:
                return Permanent(f"{named}: the version or the input does not fit, or the account of REPLICATE_API_TOKEN may not run it")
        return Permanent(named if status >= 400 else f"{named}: REPLICATE_BASE_URL leads somewhere else")


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for the URL (HTTPS_PROXY, NO_PROXY), looked up once.

    aiohttp's own `trust_env` looks in two threads at every request, and fails where ~/.netrc knows the host.
    """
    parts, named = urlsplit(url), urllib.request.getproxies()
    return None if urllib.request.proxy_bypass(parts.netloc) else named.get(parts.scheme, named.get("all"))


def retry_after(headers: Headers, content: bytes) -> float | None:
    """Seconds to wait: by the header, or by the sentence in the body of a 429 ("resets in ~30s")."""
    given = headers.get("retry-after", "")
    if re.fullmatch(r"\d{1,6}(\.\d+)?", given):
        return float(given)
    said = RESETS.search(content[:10_000].decode(errors="replace"))
    return float(said[1]) * UNITS.get((said[2] or "").lower(), 1.0) if said else None


# The URL under which a model can fetch a file of this machine, or None where the file has none. It must outlive the queue and a cold start.
Signing = Callable[[Path], str | None]


@dataclass(frozen=True)
class _Known:
    read: Callable[[], bytes]
    size: int
    name: str
    kind: str
    path: Path | None

    def content(self, sha256: str) -> bytes:
        """Raises Permanent when it is not what had this SHA-256 any more."""
        try:
            content = self.read()
        except OSError as error:
            raise Permanent(f"{self.name} cannot be read ({error.strerror})") from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Permanent(f"{self.name} has changed since it was to be looked at")
        return content


@dataclass
class InputFiles:
    """Files that requests name by their SHA-256, made into something that Replicate takes when a call goes out.

    In order: a data URI where it is below 1 MB, a signed URL of the object store where there is one, an upload. `add` may be called from
    any thread; the rest from the loop of the calls.
    """

    account: ReplicateAccount
    signed: Signing | None = None
    _known: dict[str, _Known] = field(default_factory=dict)
    _uploads: dict[str, tuple[float, "asyncio.Task[str]"]] = field(default_factory=dict)

    def add(self, path: Path) -> str:
        """SHA-256 of the file, by which it is asked for from now on."""
        return self.add_content(path.read_bytes(), path.read_bytes, path.name, path)

    def add_content(self, content: bytes, read: Callable[[], bytes], name: str, path: Path | None = None) -> str:
        """As `add`, for what is no file by itself; `read` gives the content again when it is sent."""
        sha256 = hashlib.sha256(content).hexdigest()
        self._known[sha256] = _Known(read, len(content), name, KINDS.get(Path(name).suffix, "application/octet-stream"), path)
        return sha256

    async def __call__(self, sha256: str) -> str:
        """A data URI or a URL of the file. Raises Permanent for one that nobody added, that has changed, or that is too large."""
        known = self._known.get(sha256)
        if known is None:
            raise Permanent(f"the file {sha256[:12]} is not at hand any more")
        prefix = f"data:{known.kind};base64,"
        if len(prefix) + 4 * (known.size + 2) // 3 < LONGEST_DATA_URI:
            # 0.1 ms for a frame: less than a thread takes to be asked, which would stand behind statements of the ledger besides.
            return prefix + base64.b64encode(known.content(sha256)).decode()
        content = await asyncio.to_thread(known.content, sha256)
        if known.path and self.signed and (url := await asyncio.to_thread(self.signed, known.path)):
            return url
        return await self._uploaded(sha256, content, known)

    async def _uploaded(self, sha256: str, content: bytes, known: _Known) -> str:
        """The URL of an upload, which all calls for the same file share."""
        now = asyncio.get_running_loop().time()
        at, uploading = self._uploads.get(sha256, (0.0, None))
        if uploading is None or now - at > UPLOAD_LASTS_S or (uploading.done() and (uploading.cancelled() or uploading.exception())):
            uploading = asyncio.ensure_future(self.account.upload(content, known.name, known.kind))
            self._uploads[sha256] = (now, uploading)
        return await asyncio.shield(uploading)


# What gives a model the file of some SHA-256: a URL or a data URI.
Resolver = Callable[[str], Awaitable[str] | str]
