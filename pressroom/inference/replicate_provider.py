"""A model at Replicate as a provider of the gateway: the prediction's id is booked before anybody waits, and the whole prediction after.

A request's `input` is canonical JSON, `{"model": "owner/name:version", "input": {...}}`, in which a file stands as `{"sha256": "..."}`:
what a request is does not depend on a signed URL. What is resumed, paced, retried and paid for is the gateway's business.
"""

import asyncio
import datetime as dt
import email.utils
import inspect
import json
import math
import re
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from pydantic import BaseModel, JsonValue

from pressroom.errors import Permanent, Transient
from pressroom.inference.catalogue import HostedModel
from pressroom.inference.replicate_account import Headers, Missing, ReplicateAccount, Resolver
from pressroom.llm.types import Outcome, RawAnswer, Request, T, Ticket
from pressroom.records import Usage

UNFINISHED = ("starting", "processing")
FIRST_LOOK_S, LONGEST_LOOK_S = 0.2, 2.0
LOOK_PART = 0.1  # of the time waited so far: a look comes at most a tenth too late
REMEMBERED = 20  # runs; the next one is first looked at when the fastest of them was done
# An account may look 3,000 times a minute, which 60 frames that look five times a second use up in ten seconds.
LOOKS_A_SECOND = 45
MICRO = Decimal("0.000001")  # USD: what the ledger holds
LEAST_DEADLINE_S = 5  # what Cancel-After takes
# What a failed prediction says when the machine, and not the input, was to blame: another try may help.
PASSES = re.compile(
    r"interrupt|try again|retry|time[d ]?-?out|out of memory|cuda|director|queue is full|capacity|unavailable|internal|download|fetch|"
    r"connection|for url|\bE\d{4}\b|\(code: \w+\)",
    re.IGNORECASE,
)


class Said(BaseModel):
    """What a hosted model answers with: its output as JSON text."""

    output: str

    @property
    def value(self) -> JsonValue:
        try:
            found: JsonValue = json.loads(self.output)
        except (ValueError, RecursionError):
            return None
        return found


def canonical_input(model: str, values: Mapping[str, JsonValue]) -> str:
    """The `input` of a request: the same text for the same model and values."""
    return json.dumps({"model": model, "input": dict(values)}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class ReplicateProvider:
    """One model of one account. `send` creates a prediction, books its id and looks at it until it ends.

    A prediction that is not done `deadline_s` after its creation is cancelled: by Replicate itself (Cancel-After holds although this
    process dies), or by us where it was not. What never started costs nothing; what ran is billed for its seconds.
    """

    name = "replicate"
    batches = None

    def __init__(self, *, account: ReplicateAccount, model: HostedModel, files: Resolver) -> None:
        self._account = account
        self._entry = model
        self._files = files
        self._took: deque[float] = deque(maxlen=REMEMBERED)
        self._waiting: dict[object, None] = {}  # oldest first
        self._news = asyncio.Event()  # a run has ended since it was made

    @property
    def model(self) -> str:
        return self._entry.pinned

    @property
    def lane(self) -> str:
        return self._account.lane

    def warm_up(self) -> None:
        self._account.warm_up()

    async def close(self) -> None:
        await self._account.close()

    async def send(self, request: Request[T], ticket: Ticket) -> RawAnswer:
        asked = _asked(request)
        return await self._finished(ticket, asked, await self._create(asked) if ticket.remote_id is None else None)

    async def _create(self, asked: Mapping[str, JsonValue]) -> tuple[dict[str, Any], Headers]:
        """A prediction that has begun. When the answer to this is lost, so is its id, and the next try pays for another one."""
        document: dict[str, JsonValue] = {"input": await self._with_files(dict(asked))}
        path = f"models/{self._entry.model}/predictions"
        if self._entry.version:
            path, document = "predictions", document | {"version": self._entry.version}
        deadline = {"cancel-after": f"{max(LEAST_DEADLINE_S, round(self._entry.deadline_s))}s"}
        body, headers = await self._account.call("POST", path, document=document, headers=deadline, about=self._entry.short)
        if not isinstance(body.get("id"), str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", body["id"]):
            raise self._other_shape()
        return body, headers

    async def _finished(self, ticket: Ticket, asked: Mapping[str, JsonValue], begun: tuple[dict[str, Any], Headers] | None) -> RawAnswer:
        """The prediction that has `begun`, its id booked first, or else that of the ticket's id, once it has succeeded.

        One that came to nothing is forgotten: the next try begins anew.
        """
        began, place = asyncio.get_running_loop().time(), object()
        self._waiting[place] = None
        self._account.waiting += 1
        try:
            if begun:
                await ticket.keep(str(begun[0]["id"]))
            while True:
                body, headers = begun or await self._look(ticket)
                begun = None
                if body.get("status") in UNFINISHED and _age(body, headers) > self._entry.deadline_s:
                    body = await self._cancelled(ticket)
                match body.get("status"):
                    case "succeeded" if not body.get("data_removed"):
                        self._tell(_lasted(body))
                        # Its own `input` holds signed URLs, or the file itself.
                        return RawAnswer(body | {"input": dict(asked)}, _usage(body))
                    case "succeeded":
                        await ticket.keep(None)
                        raise Transient(f"{self._account.where} has deleted what {self._entry.short} answered: it keeps it for an hour")
                    case "failed" | "canceled" | "aborted":
                        await ticket.keep(None)
                        raise self._ended(body)
                    case status if status not in UNFINISHED:
                        raise self._other_shape()
                await self._pause(place, began)
        finally:
            del self._waiting[place]
            self._account.waiting -= 1

    def _tell(self, seconds: float | None) -> None:
        """A run took so many seconds: whoever waits for another one may look."""
        if seconds is not None:
            self._took.append(seconds)
        self._news.set()
        self._news = asyncio.Event()

    async def _pause(self, place: object, began: float) -> None:
        """Returns when it is time to look again at the prediction in `place`, waited for since `began`.

        While nobody knows how long a run of the model takes, only the oldest that is waited for is looked at often; it tells the others.
        """
        follows = not self._took and place is not next(iter(self._waiting))
        if follows:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_LOOK_S):
                    await self._news.wait()
        waited = asyncio.get_running_loop().time() - began
        usual = min(self._took, default=0.0)
        if waited < usual:
            await asyncio.sleep(min(usual - waited, self._entry.deadline_s))
        elif not follows:
            crowd = self._account.waiting / LOOKS_A_SECOND if self._took else 0.0
            await asyncio.sleep(min(LONGEST_LOOK_S, max(FIRST_LOOK_S, LOOK_PART * waited, crowd)))

    async def _look(self, ticket: Ticket) -> tuple[dict[str, Any], Headers]:
        try:
            return await self._account.call("GET", f"predictions/{ticket.remote_id}", about="a prediction")
        except Missing:
            await ticket.keep(None)
            raise Transient(f"{self._account.where} has no prediction under the id that it gave") from None

    async def _cancelled(self, ticket: Ticket) -> dict[str, Any]:
        """The prediction after it was cancelled; it may have ended in the meantime."""
        try:
            body, _ = await self._account.call("POST", f"predictions/{ticket.remote_id}/cancel", about="a cancellation")
        except Missing:
            return {"status": "canceled"}
        # Some answer while the machine still stops: it is over for us all the same.
        return body | {"status": "canceled"} if body.get("status") in UNFINISHED else body

    def _ended(self, body: Mapping[str, Any]) -> Transient | Permanent:
        """Why there is no output, without the model's own words: they may quote the input or a signed URL."""
        model = self._entry.short
        if body.get("status") != "failed":
            return Transient(f"{model} was not done within {self._entry.deadline_s:g} s and was cancelled")
        said = str(body.get("error") or "")
        code = re.search(r"\(code: (\w{1,20})\)|\b(E\d{4})\b", said)
        named = f"{model} failed{f' ({code[1] or code[2]})' if code else ''}"
        if PASSES.search(said):
            return Transient(f"{named}: its machine, not the input, was to blame")
        return Permanent(f"{named} on its input")

    def _other_shape(self) -> Transient:
        return Transient(f"{self._account.where} answered with JSON of another shape: REPLICATE_BASE_URL may lead somewhere else")

    async def _with_files(self, value: JsonValue) -> JsonValue:
        """`value` with a URL or a data URI wherever a file stands by its SHA-256."""
        match value:
            case {"sha256": str(sha256), **others} if not others:
                found = self._files(sha256)
                return await found if inspect.isawaitable(found) else str(found)
            case dict():
                return {name: await self._with_files(part) for name, part in value.items()}
            case list():
                return [await self._with_files(part) for part in value]
        return value

    def read(self, body: Mapping[str, JsonValue]) -> tuple[Outcome, str, str]:
        said = json.dumps(body.get("output"), ensure_ascii=False)
        return "valid", json.dumps({"output": said}, ensure_ascii=False), ""

    def largest(self, request: Request[T]) -> Usage:
        price = self._entry.price
        return Usage(images=1, compute_ms=round(1000 * price.most_s) if price else 0)

    def price(self, usage: Usage, *, batch: bool = False) -> Decimal | None:
        return self._entry.price.of(usage.compute_ms / 1000).quantize(MICRO, ROUND_HALF_UP) if self._entry.price else None


def _asked(request: Request[Any]) -> Mapping[str, JsonValue]:
    """The values of a request's canonical `input`."""
    values = json.loads(request.input)["input"]
    assert isinstance(values, dict)
    return values


def _usage(body: Mapping[str, Any]) -> Usage:
    """One run; no `compute_ms` where it does not say how long its hardware worked on it."""
    metrics = body.get("metrics")
    seconds = metrics.get("predict_time") if isinstance(metrics, dict) else None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e6:
        seconds = 0.0
    return Usage(images=1, compute_ms=math.ceil(1000 * seconds))


def _lasted(body: Mapping[str, Any]) -> float | None:
    """Seconds from the creation of a prediction to its end; None where it does not say."""
    try:
        begun, ended = (dt.datetime.fromisoformat(str(body.get(name))) for name in ("created_at", "completed_at"))
        return max(0.0, (ended - begun).total_seconds())
    except (ValueError, TypeError):
        return None


def _age(body: Mapping[str, Any], headers: Headers) -> float:
    """Seconds since the prediction was created, both times by Replicate's clock where it tells the time; 0 where nothing is said."""
    try:
        created = dt.datetime.fromisoformat(str(body.get("created_at")))
        now = email.utils.parsedate_to_datetime(headers["date"]) if "date" in headers else dt.datetime.now(dt.UTC)
        return (now - created).total_seconds()
    except (ValueError, TypeError):
        return 0.0
