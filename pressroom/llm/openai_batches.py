"""OpenAI's Batch API: a file of requests goes up, and within 24 hours files of answers and of errors come down."""

import asyncio
import datetime as dt
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from pressroom.errors import Transient
from pressroom.llm.openai_provider import MOST_BYTES, Missing
from pressroom.llm.types import BatchResult, RawAnswer, RemoteBatch, Request, T

if TYPE_CHECKING:
    from openai import AsyncOpenAI

URLS = {"responses": "/v1/responses", "chat": "/v1/chat/completions"}
NAME = "pressroom"  # the key of the metadata that a batch is found by
ENDED = ("completed", "failed", "expired", "cancelled")
PAGE = 100  # batches: the most that the endpoint lists at once
REPLY_WITHIN_S = 60.0
FILE_WITHIN_S = 600.0  # 200 MB, the most that a file may have, at 3 Mbit/s
CLOCKS_DIFFER = dt.timedelta(minutes=5)  # at most, between the database and the endpoint


class OpenAIBatches:
    """The batches of one provider. Raises Transient or Permanent, in one line without key and prompt.

    `client`, `explaining`, `parameters` and `answer_in` are the provider's: a batch speaks to the endpoint, writes a request and takes an
    answer as a single call does.
    """

    def __init__(
        self,
        *,
        api: str,
        where: str,
        client: "Callable[[], Awaitable[AsyncOpenAI]]",
        explaining: Callable[[], AbstractContextManager[None]],
        parameters: Callable[[Request[Any]], dict[str, Any]],
        answer_in: Callable[[dict[str, Any]], RawAnswer],
    ) -> None:
        self._url = URLS[api]
        self._where = where
        self._client = client
        self._explaining = explaining
        self._parameters = parameters
        self._answer_in = answer_in

    def line(self, key: str, request: Request[T]) -> bytes:
        """As `BatchEndpoint.line`."""
        asked = {"custom_id": key, "method": "POST", "url": self._url, "body": self._parameters(request)}
        return json.dumps(asked, separators=(",", ":")).encode() + b"\n"

    async def upload(self, name: str, lines: Sequence[bytes]) -> str:
        """As `BatchEndpoint.upload`."""
        files = (await self._client()).files.with_streaming_response
        file = (f"{name}.jsonl", b"".join(lines), "application/jsonl")
        return self._id(await self._document(files.create(file=file, purpose="batch"), within_s=FILE_WITHIN_S))

    async def create(self, name: str, file: str) -> str:
        """As `BatchEndpoint.create`."""
        batches = (await self._client()).batches.with_streaming_response
        asked: dict[str, Any] = {"input_file_id": file, "endpoint": self._url, "completion_window": "24h", "metadata": {NAME: name}}
        return self._id(await self._document(batches.create(**asked)))

    async def find(self, name: str, since: dt.datetime) -> str | None:
        """As `BatchEndpoint.find`. The endpoint lists the newest first."""
        batches: Any = (await self._client()).batches.with_streaming_response
        oldest, after = (since - CLOCKS_DIFFER).timestamp(), dict[str, str]()
        while True:
            page = await self._document(batches.list(limit=PAGE, **after))
            listed = [batch for batch in page.get("data") or () if isinstance(batch, dict)]
            for batch in listed:
                if (batch.get("metadata") or {}).get(NAME) == name:
                    return self._id(batch)
            if not page.get("has_more") or not listed or (listed[-1].get("created_at") or 0) < oldest:
                return None
            after = {"after": self._id(listed[-1])}

    async def look(self, remote_id: str) -> RemoteBatch | None:
        """As `BatchEndpoint.look`."""
        batches = (await self._client()).batches.with_streaming_response
        try:
            batch = await self._document(batches.retrieve(remote_id))
        except Missing:
            return None
        status = str(batch.get("status"))
        files = tuple(file for name in ("output_file_id", "error_file_id") if isinstance(file := batch.get(name), str))
        first = next(iter((batch.get("errors") or {}).get("data") or ()), None)
        return RemoteBatch(status, status in ENDED, files, self._said(f"ended the batch as {status}", first) if status in ENDED else "")

    async def results(self, file: str) -> AsyncIterator[BatchResult]:
        """As `BatchEndpoint.results`. A line that is none is passed over: its request is one of those without a result."""
        files = (await self._client()).files.with_streaming_response
        async with self._answering(FILE_WITHIN_S), files.content(file) as response:
            async for line in _lines(response.iter_bytes()):
                if result := self._result(line):
                    yield result

    def _result(self, line: bytes) -> BatchResult | None:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict) or not isinstance(key := document.get("custom_id"), str):
            return None
        response = document["response"] if isinstance(document.get("response"), dict) else {}
        status, body = response.get("status_code"), response.get("body")
        body = body if isinstance(body, dict) else {}
        if status != 200:
            said = f"answers {status}" if isinstance(status, int) else "has no answer"
            return BatchResult(key, None, self._said(said, document.get("error") or body.get("error")))
        try:
            return BatchResult(key, self._answer_in(body))
        except Transient as error:
            return BatchResult(key, None, str(error))

    def _said(self, what: str, error: Any) -> str:
        """What became of it, with the endpoint's code: its words may quote the prompt."""
        code = error.get("code") or error.get("type") if isinstance(error, Mapping) else None
        known = f" ({code})" if isinstance(code, str) and re.fullmatch(r"[\w.\[\]-]{1,64}", code) else ""
        return f"{self._where} {what}{known}"

    def _id(self, document: Mapping[str, Any]) -> str:
        if not isinstance(found := document.get("id"), str) or not found:
            raise Transient(f"{self._where} told of a batch or a file without its id: OPENAI_BASE_URL may lead somewhere else")
        return found

    async def _document(self, sending: Any, *, within_s: float = REPLY_WITHIN_S) -> dict[str, Any]:
        """The JSON object that comes back; an empty one in place of anything else."""
        async with self._answering(within_s), sending as response:
            content = b"".join([chunk async for chunk in response.iter_bytes()])
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return {}
        return document if isinstance(document, dict) else {}

    @asynccontextmanager
    async def _answering(self, within_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(within_s):
                with self._explaining():
                    yield
        except TimeoutError:
            raise Transient(f"{self._where} did not end its reply about a batch within {within_s:g} s") from None


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a file that comes in chunks. A line that is longer than any answer is passed over."""
    rest, is_too_long = bytearray(), False
    async for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for part in whole:
            if not is_too_long:
                yield bytes(rest + part)
            rest, is_too_long = bytearray(), False
        is_too_long = is_too_long or len(rest) + len(last) > MOST_BYTES
        rest += b"" if is_too_long else last
    if rest:
        yield bytes(rest)
