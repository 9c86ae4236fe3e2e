"""OpenAI and every server that speaks its protocol: Responses or Chat Completions, with a strict JSON schema.

The SDK sends, and nothing else: its own retries are off (the gateway's are the only ones), and its parsing is not used, because it
raises on an answer that is cut or out of shape, and the bill is lost with it.
"""

import asyncio
import email.utils
import json
import math
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import JsonValue, SecretStr

from pressroom.errors import BadInput, Permanent, Throttled, Transient
from pressroom.llm.pace import Quota
from pressroom.llm.prices import price_of
from pressroom.llm.schema import strict_schema
from pressroom.llm.types import Outcome, Quotas, RawAnswer, Request, T, Ticket
from pressroom.llm.urls import is_url, why_lost, without_login
from pressroom.records import Usage

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

    from pressroom.llm.openai_batches import OpenAIBatches

# Models that think before they answer take no temperature, and their thoughts count against the limit of the output.
REASONING = re.compile(r"^(o\d|gpt-[5-9])(?!.*chat)")
REASONING_ROOM = 8_000  # tokens; a short text took up to some 4,000 at the default effort
UNLIMITED = 16_384  # output tokens that a call without a limit is expected to stay below, for a budget
MOST_BYTES = 32_000_000  # of one answer: beyond it the other side is broken
MOST_TOKENS = 2**31 - 1  # what the ledger's column holds
PASSING = (408, 409, 425)
UNFINISHED = ("queued", "in_progress")
FIRST_POLL_S, LONGEST_POLL_S = 0.25, 2.0  # of an answer that is made in the background
DURATION = re.compile(r"(\d+(\.\d+)?(h|ms|m|s))+")
NO_KEY = SecretStr("none")  # the SDK wants some key, and an endpoint without keys reads none
NO_CREDIT = {"insufficient_quota", "billing_hard_limit_reached"}


class Missing(Permanent):
    """404: the endpoint knows no such model, API or answer."""


class Unfinished(Transient):
    """The endpoint says itself that this answer will not come."""


class OpenAIProvider:
    """One endpoint, one model. `send` is called from one event loop only: the client's connections belong to it."""

    def __init__(
        self,
        *,
        key: SecretStr,
        base_url: str,
        model: str,
        api: Literal["responses", "chat"] = "responses",
        name: str = "openai",
        reasons: bool | None = None,
        background: bool = False,
        prices: Path | None = None,
        chosen_by: str = "PRESSROOM_LLM_MODEL",
    ) -> None:
        """`reasons`: the model thinks before it answers; None: its name tells. `background`: the endpoint makes answers under an id that
        can be asked for again (Responses only). `prices`: a price table beside the shipped one. `chosen_by`: the setting that names the
        model, for messages.

        Raises BadInput when the key or the URL cannot be one.
        """
        self.name = name
        if not is_url(base_url):
            raise BadInput(f"{self._named('OPENAI_BASE_URL')}: expected a URL such as https://api.openai.com/v1")
        if not re.fullmatch(r"[!-~]+", key.get_secret_value()):
            raise BadInput(f"{self._named('OPENAI_API_KEY')}: expected letters, digits and signs without a space or a line break")
        self.model = model
        self.api = api
        self.background = background and api == "responses"
        self.key = key
        self.base_url = base_url
        self._prices = prices
        self._chosen_by = chosen_by
        self._client: AsyncOpenAI | None = None
        self._opening = threading.Lock()
        self._reasons = bool(REASONING.match(model.rsplit("/", 1)[-1])) if reasons is None else reasons

    @property
    def lane(self) -> str:
        """The model at its endpoint: what the endpoint's own limits hold for."""
        return f"{self._host}/{self.model}"

    @cached_property
    def batches(self) -> "OpenAIBatches":
        """The endpoint's Batch API. One that has none says so when a batch is sent."""
        from pressroom.llm.openai_batches import OpenAIBatches

        return OpenAIBatches(
            api=self.api,
            where=self._where,
            client=self._ready,
            explaining=self._explaining,
            parameters=self._parameters,
            answer_in=self._answer_in,
        )

    def warm_up(self) -> None:
        """Imports the SDK (0.9 s) and makes its client."""
        self._calls(self._open())

    def _open(self) -> "AsyncOpenAI":
        with self._opening:
            if not self._client:
                from openai import AsyncOpenAI, DefaultAioHttpClient

                # The gateway's deadline covers the whole call; the SDK's own timeouts (5 s to connect, 600 s) stay as they are.
                # Over aiohttp, which parses in C, a call takes a quarter less CPU than over the SDK's default.
                base_url, login = without_login(self.base_url)
                http_client = DefaultAioHttpClient(auth=login)
                key = self.key.get_secret_value()
                self._client = AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, http_client=http_client)
            return self._client

    def _calls(self, client: "AsyncOpenAI") -> Any:
        """What sends a call; the SDK imports another 0.1 s of itself when this is touched first."""
        return (client.responses if self.api == "responses" else client.chat.completions).with_streaming_response

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _ready(self) -> "AsyncOpenAI":
        return await asyncio.to_thread(self._open) if self._client is None else self._client

    async def send(self, request: Request[T], ticket: Ticket) -> RawAnswer:
        client = await self._ready()
        parameters = self._parameters(request)
        if not self.background:
            return self._raw(*await self._received(self._calls(client).create(**_as_they_are(parameters)), request))
        if ticket.remote_id is None:
            # The endpoint keeps what it makes in the background until it is fetched: that needs `store`.
            parameters |= {"background": True, "store": True}
            begun = await self._received(self._calls(client).create(**_as_they_are(parameters)), request)
            raw = self._raw(*begun)
            if raw.body.get("status") not in UNFINISHED:
                return raw
            await ticket.keep(str(raw.body.get("id")))
        return await self._finished(client, request, ticket)

    async def _finished(self, client: "AsyncOpenAI", request: Request[T], ticket: Ticket) -> RawAnswer:
        """The answer that the endpoint makes under the ticket's id, asked for until it is there."""
        pause = FIRST_POLL_S
        while True:
            try:
                raw = self._raw(*await self._received(self._calls(client).retrieve(ticket.remote_id), request))
            except (Missing, Unfinished):
                await ticket.keep(None)  # it is gone or came to nothing: the next try asks anew
                raise Transient(f"{self._where} has no answer under the id that it gave") from None
            if raw.body.get("status") not in UNFINISHED:
                return raw
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, LONGEST_POLL_S)

    async def _received(self, sending: Any, request: Request[T]) -> tuple[bytes, Quotas]:
        """The whole body of a response, and what its headers say. Raises Transient or Permanent."""
        content = bytearray()
        with self._explaining(request):
            async with sending as response:
                async for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MOST_BYTES:
                        raise Transient(f"{self._where} sent more than {MOST_BYTES:,} bytes for one answer")
                return bytes(content), quotas_of(response.headers)

    @contextmanager
    def _explaining(self, request: Request[T] | None = None) -> Iterator[None]:
        """Turns what the SDK raises into Transient or Permanent, in one line without key and prompt."""
        # At hand now: the thread that opened the client has imported them.
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise self._explained(error, request) from None
        except (openai.APIConnectionError, httpx2.RequestError) as error:
            where = self._named("OPENAI_BASE_URL")
            raise Transient(f"{self._where} cannot be reached or broke off ({why_lost(error)}); {where} says where") from None

    def _document(self, content: bytes) -> dict[str, JsonValue]:
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            kind = "a web page" if content.lstrip()[:1] == b"<" else "broken JSON"
            raise Transient(f"{self._where} answered with {kind}: {self._named('OPENAI_BASE_URL')} may lead somewhere else") from None
        return body if isinstance(body, dict) else {}

    def _raw(self, content: bytes, quotas: Quotas) -> RawAnswer:
        return self._answer_in(self._document(content), quotas)

    def _answer_in(self, body: dict[str, Any], quotas: Quotas = Quotas()) -> RawAnswer:
        if not (isinstance(body.get("output"), list) or isinstance(body.get("choices"), list)):
            settings = self._named("OPENAI_BASE_URL", "PRESSROOM_LLM_API")
            raise Transient(f"{self._where} answered with JSON of another shape: {settings} may not fit it")
        usage = usage_of(body.get("usage"))
        if body.get("status") in ("failed", "cancelled") and usage is None:
            raise Unfinished(f"{self._where} gave up on the request ({_word(_part(body, 'error').get('code'))})")
        return RawAnswer(body, usage, quotas)

    def read(self, body: Mapping[str, JsonValue]) -> tuple[Outcome, str, str]:
        outcome, text = _read_chat(body) if "choices" in body else _read_responses(body)
        match outcome:
            case "refusal":
                return outcome, text, "the model refused"
            case "incomplete":
                return outcome, text, "the answer was cut off at the limit of its length"
            case "filtered":
                return outcome, text, "the endpoint's content filter held the answer back"
        if not text.strip():
            return "invalid", text, "the answer is empty"
        # Servers that take a schema as a hint only like to wrap JSON in a Markdown fence.
        fenced = re.fullmatch(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", text, re.DOTALL)
        return "valid", fenced[1] if fenced else text, ""

    def largest(self, request: Request[T]) -> Usage:
        # Three letters to a token is more tokens than any European language takes.
        words = len(request.instructions) + len(request.input) + len(json.dumps(strict_schema(request.answer)))
        # Written into the cache, input may cost more than any other way.
        return Usage(input=words // 3, cache_write=words // 3, output=self._limit(request) or UNLIMITED)

    def price(self, usage: Usage, *, batch: bool = False) -> Decimal | None:
        price = price_of(self.model, path=self._prices)
        return price.of(usage, batch=batch) if price else None

    @property
    def _host(self) -> str:
        url = urlsplit(self.base_url)
        return f"{url.hostname}{f':{url.port}' if url.port else ''}"

    @property
    def _where(self) -> str:
        """The endpoint as messages call it: never with a user or a password that its URL may hold."""
        return f"the model endpoint at {self._host}"

    def _named(self, *settings: str) -> str:
        """Settings as messages name them: those of a provider of the user's own stand in the table of models."""
        if self.name != "openai":
            return f"the provider {self.name} in PRESSROOM_MODELS"
        *others, last = settings
        return f"{', '.join(others)} or {last}" if others else last

    def _limit(self, request: Request[T]) -> int | None:
        limit = request.max_output_tokens
        return limit + REASONING_ROOM if limit and self._reasons else limit

    def _parameters(self, request: Request[T]) -> dict[str, Any]:
        return self._responses(request) if self.api == "responses" else self._chat(request)

    def _responses(self, request: Request[T]) -> dict[str, Any]:
        """Parameters for Responses. `store` is off: the ledger keeps the answer, the endpoint need not."""
        limit = self._limit(request)
        return {
            "model": self.model,
            "instructions": request.instructions,
            "input": request.input,
            "text": {"format": {"type": "json_schema", **_schema(request)}},
            "store": False,
            **({"max_output_tokens": max(limit, 16)} if limit else {}),  # 16 is the least that the endpoint takes
            **self._temperature(request),
        }

    def _chat(self, request: Request[T]) -> dict[str, Any]:
        """Parameters for Chat Completions. Compatible servers know `max_tokens`; models that reason take only the other name."""
        limit = self._limit(request)
        return {
            "model": self.model,
            "messages": [{"role": "system", "content": request.instructions}, {"role": "user", "content": request.input}],
            "response_format": {"type": "json_schema", "json_schema": _schema(request)},
            **({"max_completion_tokens" if self._reasons else "max_tokens": limit} if limit else {}),
            **self._temperature(request),
        }

    def _temperature(self, request: Request[T]) -> dict[str, float]:
        return {} if self._reasons or request.temperature is None else {"temperature": request.temperature}

    def _explained(self, error: "APIStatusError", request: Request[T] | None) -> Transient | Permanent:
        """The error in one line that names the setting to look at. What the endpoint says is repeated only without key and prompt.

        Without a `request` it is about a batch or a file.
        """
        status, code = error.status_code, _word(error.code or error.type)
        named = f"{self._where} answers {status}{f' ({code})' if code else ''}"
        if status == 402 or {error.code, error.type} & NO_CREDIT:
            return Permanent(f"{named}: no credit is left; see the billing of the account that {self._named('OPENAI_API_KEY')} belongs to")
        if status == 429:
            return Throttled(named, retry_after=_retry_after(error.response.headers))
        if status in PASSING or status >= 500:
            return Transient(named, retry_after=_retry_after(error.response.headers))
        if status == 401 and self.key == NO_KEY:
            return Permanent(f"{named}: it wants a key; set {self._named('OPENAI_API_KEY')}")
        if status in (401, 403):
            key = "the key is wrong" if status == 401 else "the key may not do this"
            return Permanent(f"{named}: {key}; check {self._named('OPENAI_API_KEY', 'OPENAI_BASE_URL')}")
        if request is None:
            return Missing(f"{named}: it knows no such batch or file, or has no Batch API") if status == 404 else Permanent(named)
        if status == 404:
            settings = self._named(self._chosen_by, "PRESSROOM_LLM_API", "OPENAI_BASE_URL")
            return Missing(f"{named}: it has no model {self.model!r}, or no {self.api} API; check {settings}")
        return Permanent(f"{named}{self._harmless(error, request)}; check {self._named(self._chosen_by, 'PRESSROOM_LLM_API')}")

    def _harmless(self, error: "APIStatusError", request: Request[T]) -> str:
        body = error.body if isinstance(error.body, dict) else {}
        said = " ".join(str(body.get("message") or "").split())[:300]
        secret = self.key.get_secret_value() in said
        # Any 16 letters in a row out of the prompt count as quoting it.
        asked = request.instructions + request.input
        quoted = any(said[start : start + 16] in asked for start in range(max(1, len(said) - 15)))
        return "" if not said or secret or quoted else f": {said.rstrip('.')}"


def _as_they_are(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters as arguments of the SDK, which looks for types of its own in all except in `extra_body`: a sixth of a call's CPU."""
    required = {name: parameters[name] for name in ("model", "messages") if name in parameters}
    return required | {"extra_body": {name: value for name, value in parameters.items() if name not in required}}


def _schema(request: Request[T]) -> dict[str, Any]:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", request.answer.__name__)[:64]
    return {"name": name, "schema": strict_schema(request.answer), "strict": True}


def _read_responses(body: Mapping[str, JsonValue]) -> tuple[Outcome, str]:
    parts = [part for item in _dicts(body.get("output")) for part in _dicts(item.get("content"))]
    refusal = "".join(str(part.get("refusal") or "") for part in parts if part.get("type") == "refusal")
    text = "".join(str(part.get("text") or "") for part in parts if part.get("type") == "output_text")
    if body.get("status") == "incomplete":
        return "filtered" if _part(body, "incomplete_details").get("reason") == "content_filter" else "incomplete", text
    return ("refusal", refusal) if refusal else ("valid", text)


def _read_chat(body: Mapping[str, JsonValue]) -> tuple[Outcome, str]:
    choice = next(iter(_dicts(body.get("choices"))), {})
    message = _part(choice, "message")
    content, refusal = message.get("content"), message.get("refusal")
    text = content if isinstance(content, str) else ""
    match choice.get("finish_reason"):
        case "length":
            return "incomplete", text
        case "content_filter":
            return "filtered", text
    return ("refusal", str(refusal)) if refusal else ("valid", text)


def usage_of(said: Any) -> Usage | None:
    """The usage of either API; None when a figure is missing, negative or no number."""
    if not isinstance(said, dict):
        return None
    first, second = ("input", "output") if "input_tokens" in said else ("prompt", "completion")
    details = _part(said, f"{first}_tokens_details")
    cached, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    reasoning = _part(said, f"{second}_tokens_details").get("reasoning_tokens") or 0
    figures: list[Any] = [said.get(f"{first}_tokens"), cached, written, said.get(f"{second}_tokens"), reasoning]
    if not all(type(figure) is int and 0 <= figure <= MOST_TOKENS for figure in figures) or cached + written > figures[0]:
        return None
    return Usage(input=figures[0], cached=cached, cache_write=written, output=figures[3], reasoning=reasoning)


def quotas_of(headers: Mapping[str, str]) -> Quotas:
    """What the `x-ratelimit-*` headers say of requests and of tokens; nothing where they say nothing, or nonsense."""
    return Quotas(_quota(headers, "requests"), _quota(headers, "tokens"))


def _quota(headers: Mapping[str, str], kind: str) -> Quota | None:
    limit, remaining = (_seconds(headers.get(f"x-ratelimit-{name}-{kind}")) for name in ("limit", "remaining"))
    full_in = _duration(headers.get(f"x-ratelimit-reset-{kind}"))
    if limit is None or remaining is None or full_in is None or not 0 <= remaining <= limit <= MOST_TOKENS or limit < 1:
        return None
    return Quota(limit=int(limit), remaining=int(remaining), full_in=full_in)


def _duration(text: str | None) -> float | None:
    """Seconds of a duration such as `6ms`, `1.5s` or `1m2.3s`, or of a plain number."""
    if (plain := _seconds(text)) is not None:
        return plain
    if not text or not DURATION.fullmatch(text):
        return None
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|s)", text))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: what is asked for, else the time in which an empty quota has room for one call again.

    A date counts from the other side's own clock, as far as it says its time.
    """
    if (milliseconds := _seconds(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    if (seconds := _seconds(said)) is not None:
        return seconds
    if (until := _moment(said)) is not None:
        return max(0.0, until - (_moment(headers.get("date")) or time.time()))
    quotas = quotas_of(headers)
    waits = [1 / quota.rate for quota in (quotas.requests, quotas.tokens) if quota and quota.remaining == 0 and quota.rate > 0]
    return max(waits, default=None)


def _seconds(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _moment(text: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError):
        return None


def _part(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}


def _dicts(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _word(code: Any) -> str:
    """An error code, if it looks like one."""
    return code if isinstance(code, str) and re.fullmatch(r"[\w.\[\]-]{1,64}", code) else ""
