"""OpenAI's wire protocol on loopback: Responses (also in the background), Chat Completions, Embeddings, Files, Batches, Models.

Answers, latency, limits and failures are set by the caller: in a test through `OpenAISimulator`, in another process through the command
line and `POST /_control`; `GET /_stats` counts. It refuses what the real endpoint refuses: an unknown parameter, a schema that is not
strict, a missing key, an unknown model, a temperature for a model that reasons, a batch whose lines do not go together.

    python -m simulators.openai --port 8081 --latency 2 --rpm 500 --tpm 200000 --fail 429:3:1 --fail reset --fail 503@poll
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from simulators.loopback import HttpReply, HttpRequest, LoopbackServer
from simulators.nearness import near
from simulators.openai_answers import Answers, Author
from simulators.openai_background import StoredResponses
from simulators.openai_batch_input import ENDPOINTS
from simulators.openai_batches import Batches, Worked
from simulators.openai_embeddings import DIMENSIONS, Embedder, embeddings, read_embeddings
from simulators.openai_failures import (
    BROKEN,
    ERRORS,
    PAGES,
    Failure,
    Place,
    due_failure,
    error_document,
    failing,
)
from simulators.openai_files import Files
from simulators.openai_limits import RateLimits, Unit
from simulators.openai_options import options
from simulators.openai_wire import GAVE_UP, MODELS, Api, Asked, Refused, document, read_request
from simulators.orders import DOCUMENTS, FAILURES, LIMIT, SECONDS, SWITCH, hold_orders

SETTINGS = {"latency": SECONDS, "batch_latency": SECONDS, "hold_batches": SWITCH, "retry_after_header": SWITCH}
LIMITS = {"rpm": LIMIT, "tpm": LIMIT}
ENDINGS = {"finish_batches": SWITCH, "expire_batches": SWITCH}
ORDERS = SETTINGS | LIMITS | ENDINGS | {"answers": DOCUMENTS, "fail": FAILURES, "reset": SWITCH}


class OpenAISimulator(LoopbackServer):
    """The endpoint. `answers` gives a document or a text for a request, or None for a plausible instance of its schema.

    `latency` is how long an answer takes, `batch_latency` how long a batch takes, both in seconds; with `hold_batches` a batch stays in
    progress until `finish_batches()` or `expire_batches()`. `rpm` and `tpm` are the limits of requests and tokens a minute (None: none);
    `retry_after_header` says whether a refusal tells when to come back. `embedder` gives what the vectors of embeddings are made of.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float = 0.0,
        answers: Answers | None = None,
        failures: Iterable[Failure] = (),
        models: tuple[str, ...] = MODELS,
        key: str | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
        retry_after_header: bool = True,
        batch_latency: float = 0.0,
        hold_batches: bool = False,
        embedder: Embedder = near,
    ) -> None:
        super().__init__(port=port)
        self.latency = latency
        self.answers = answers
        self.failures = list(failures)
        self.models = models
        self.key = key
        self.retry_after_header = retry_after_header
        self.batch_latency = batch_latency
        self.hold_batches = hold_batches
        self.embedder = embedder
        self.limits = RateLimits(rpm, tpm)
        self.reset()

    def reset(self) -> None:
        """Forgets what was asked, answered, stored and uploaded; the buckets of the limits are full again."""
        self.requests: list[Asked] = []
        self.batch_lines: list[Asked] = []
        self.answered: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.limits = RateLimits(self.limits.rpm, self.limits.tpm)
        self.responses = StoredResponses()
        self.files = Files()
        self.batches = Batches(self.files, self._work)
        self._author = Author()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def count(self) -> int:
        """Requests to a model that were well formed, whatever became of them. The lines of batches are in `batch_lines`."""
        return len(self.requests)

    @property
    def paid_twice(self) -> int:
        """Whole answers beyond the first to the same words: what a client that spends once never has.

        A response in the background is paid when it is created, a line of a batch when it is worked on.
        """
        return sum(self.answered.values()) - len(self.answered)

    def fail(
        self, kind: str, *, times: int | None = 1, retry_after: str | float | None = None, containing: str = "", on: Place = "ask"
    ) -> None:
        """From now on the next `times` requests (that contain some text) fail in this way. See `Failure` for `on`."""
        self.failures.append(Failure(kind, times, retry_after, containing, on))

    def most_in_window(self, seconds: float, unit: Unit = "requests") -> int:
        """The most requests (or tokens) that were let in within any span of so many seconds."""
        return self.limits.most_in_window(seconds, unit)

    def finish_batches(self) -> int:
        """Completes all batches that have not ended, held or not; how many those were."""
        return self.batches.order("finish")

    def expire_batches(self) -> int:
        """Ends all batches that have not ended, with half of their lines done; how many those were."""
        return self.batches.order("expire")

    def stats(self) -> dict[str, Any]:
        return {
            "requests": self.count,
            "batch_lines": len(self.batch_lines),
            "answered": sum(self.answered.values()),
            "paid_twice": self.paid_twice,
            "throttled": self.limits.throttled,
            "admitted": len(self.limits.admitted),
            "most_in_minute": self.most_in_window(60),
            "most_tokens_in_minute": self.most_in_window(60, "tokens"),
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "by_schema": dict(Counter(asked.schema_name for asked in self.requests)),
            "batches": self.batches.counts(),
        }

    async def answer(self, request: HttpRequest) -> HttpReply:
        try:
            if request.path.startswith("/v1/"):
                self._authorise(request)
                return await self._serve(request, request.path.removeprefix("/v1/").split("/"))
            match request.method, request.path:
                case "GET", "/_stats":
                    return HttpReply.json(self.stats())
                case "POST", "/_control":
                    self._control(document(request.body))
                    return HttpReply.json(self.stats())
            raise _nothing_there(request)
        except Refused as refused:
            return HttpReply.json(_refusal(refused), status=refused.status)

    def fell_over(self, error: Exception) -> HttpReply:
        return HttpReply.json(error_document(500, type(error).__name__, f"The simulator fell over: {error}"), status=500)

    async def _serve(self, request: HttpRequest, parts: list[str]) -> HttpReply:
        if request.method == "POST" and request.path in ENDPOINTS:
            return await self._complete(ENDPOINTS[request.path], request)
        match request.method, parts:
            case "GET", ["responses", identifier]:
                return await self._elsewhere("poll", request, lambda: HttpReply.json(self.responses.look(identifier)))
            case "POST", ["responses", identifier, "cancel"]:
                return await self._elsewhere("poll", request, lambda: HttpReply.json(self.responses.cancel(identifier)))
            case _, ["files", *rest]:
                return await self._elsewhere("files", request, lambda: self.files.answer(request, rest))
            case _, ["batches", *rest]:
                return await self._elsewhere("batches", request, lambda: self._batch(request, rest))
            case "GET", ["models"]:
                models = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"} for name in self._served]
                return HttpReply.json({"object": "list", "data": models})
        raise _nothing_there(request)

    @property
    def _served(self) -> list[str]:
        return [*self.models, *DIMENSIONS]

    def _control(self, orders: dict[str, Any]) -> None:
        """The attributes of the same names; `fail` (a list of KIND@PLACE:TIMES:RETRY_AFTER; empty: no more), `answers` (document by schema
        name), and, when true, `reset`, `finish_batches`, `expire_batches`."""
        try:
            hold_orders(orders, ORDERS)
            failures = [Failure.parse(text) for text in orders.get("fail", ())]
        except ValueError as error:
            raise Refused(400, "invalid_value", str(error)) from None
        if orders.get("reset"):
            self.reset()
        if "fail" in orders:
            self.failures = failures
        if orders.keys() & LIMITS.keys():
            self.limits = RateLimits(orders.get("rpm", self.limits.rpm), orders.get("tpm", self.limits.tpm))
        for name in orders.keys() & SETTINGS.keys():
            setattr(self, name, orders[name])
        if "answers" in orders:
            by_schema = orders["answers"]
            self.answers = lambda asked: by_schema.get(asked.schema_name)
        for name in orders.keys() & ENDINGS.keys():
            if orders[name]:
                getattr(self, name)()

    def _authorise(self, request: HttpRequest) -> None:
        given = _key(request)
        if not given:
            raise Refused(401, None, "You didn't provide an API key.")
        if self.key is not None and given != self.key:
            raise Refused(401, "invalid_api_key", ERRORS["401"][2].format(key=given))

    async def _complete(self, api: Api, request: HttpRequest) -> HttpReply:
        asked = replace(self._read(api, document(request.body)), headers=request.headers)
        self.requests.append(asked)
        if refusal := self.limits.admit(asked.most_tokens, asked.model):
            beyond = error_document(429, "rate_limit_exceeded", refusal.message, kind=refusal.unit)
            wait = refusal.headers() if self.retry_after_header else {}
            return HttpReply.json(beyond, status=429, headers=self._headers(asked) | wait)
        failure = self._due(asked, in_batch=False)
        kind = failure.kind if failure else ""
        background = api == "responses" and bool(asked.body.get("background"))
        await self._think(0.0 if background else self.latency, hang=kind == "hang")
        if failure and kind in ERRORS:
            return _failing_reply(failure, request, asked, self._headers(asked))
        if kind in PAGES:
            return PAGES[kind]
        status, body = self._written(asked, kind)
        if api == "responses" and asked.body.get("store") is not False:
            body = self.responses.keep(body, latency=self.latency)
        return _broken(HttpReply.json(body, status=status, headers=self._headers(asked)), kind)

    async def _think(self, seconds: float, *, hang: bool) -> None:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(seconds)
            if hang:
                await asyncio.Event().wait()
        finally:
            self.in_flight -= 1

    async def _elsewhere(self, place: Place, request: HttpRequest, make: Callable[[], HttpReply]) -> HttpReply:
        """What is asked beside the models. A reply that is lost on the wire was made: of an upload or a batch, too."""
        failure = due_failure(self.failures, place, f"{request.path}\n{request.body.decode(errors='replace')}")
        kind = failure.kind if failure else ""
        if failure and kind in ERRORS:
            return _failing_reply(failure, request)
        reply = make()
        if kind == "hang":
            await asyncio.Event().wait()
        return PAGES.get(kind) or _broken(reply, kind)

    def _batch(self, request: HttpRequest, parts: list[str]) -> HttpReply:
        return self.batches.answer(request, parts, models=self._served, latency=self.batch_latency, held=self.hold_batches)

    def _work(self, api: Api, body: dict[str, Any]) -> Worked:
        """One line of a batch: limits do not count it, and nothing can happen to it on the wire."""
        try:
            asked = self._read(api, body)
        except Refused as refused:
            return Worked(refused.status, _refusal(refused))
        self.batch_lines.append(asked)
        failure = self._due(asked, in_batch=True)
        if failure and failure.kind in ERRORS:
            return Worked(*failing(failure, model=asked.model, words=asked.input))
        return self._written(asked, failure.kind if failure else "")

    def _read(self, api: Api, body: dict[str, Any]) -> Asked:
        asked = read_embeddings(body) if api == "embeddings" else read_request(api, body, self.models)
        return replace(asked, number=self.count + len(self.batch_lines) + 1)

    def _due(self, asked: Asked, *, in_batch: bool) -> Failure | None:
        return due_failure(self.failures, "ask", f"{asked.instructions}\n{asked.input}", api=asked.api, in_batch=in_batch)

    def _written(self, asked: Asked, kind: str) -> Worked:
        """What the model makes of the request, counted as paid if it reaches the client whole."""
        if kind == "failed" and asked.api != "responses":
            return Worked(500, error_document(500, "server_error", GAVE_UP))
        is_vectors = asked.api == "embeddings"
        written = embeddings(asked, self.embedder, kind) if is_vectors else self._author.document(asked, self.answers, kind)
        if kind not in ("failed", *BROKEN):
            self.answered[asked.seed] += 1
        return Worked(200, written)

    def _headers(self, asked: Asked) -> dict[str, str]:
        said = {"x-request-id": f"req_{asked.seed[:24]}", "openai-processing-ms": str(int(self.latency * 1000))}
        return said | self.limits.headers()


def _key(request: HttpRequest) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def _refusal(refused: Refused) -> dict[str, Any]:
    return error_document(refused.status, refused.code, str(refused), param=refused.param)


def _failing_reply(failure: Failure, request: HttpRequest, asked: Asked | None = None, headers: dict[str, str] | None = None) -> HttpReply:
    status, body = failing(failure, key=_key(request), model=asked.model if asked else "", words=asked.input if asked else "")
    wait = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
    return HttpReply.json(body, status=status, headers={**(headers or {}), **wait})


def _nothing_there(request: HttpRequest) -> Refused:
    return Refused(404, None, f"Invalid URL ({request.method} {request.path})")


def _broken(reply: HttpReply, kind: str) -> HttpReply:
    return replace(reply, reset_after=len(reply.body) // 2 if kind == "reset" else None, endless=kind == "endless")


def main() -> None:
    with OpenAISimulator(**options()) as simulator, contextlib.suppress(KeyboardInterrupt):
        print(f"OPENAI_BASE_URL={simulator.base_url}", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
