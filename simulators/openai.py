"""OpenAI's wire protocol on loopback: Responses, Chat Completions and the list of models.

Answers, latency and failures are set by the caller: in a test through `OpenAISimulator`, in another process through the command line
and `POST /_control`; `GET /_stats` counts. It refuses what the real endpoint refuses: an unknown parameter, a schema that is not strict,
a missing key, an unknown model, a temperature for a model that reasons.

    python -m simulators.openai --port 8081 --latency 2 --fail 429:3:1 --fail reset
"""

import argparse
import asyncio
import contextlib
import hashlib
import importlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from simulators.loopback import HttpReply, HttpRequest, LoopbackServer
from simulators.openai_wire import (
    MODELS,
    REASONING,
    UNKNOWN_MODEL,
    Api,
    Asked,
    Refused,
    Tokens,
    completion,
    document,
    read_request,
    response,
    tokens,
)
from simulators.samples import sample

CACHE_AT_LEAST = 1024  # tokens: a shorter prefix is not cached
CACHE_STEP = 128
REASONING_TOKENS = 192
HUGE = 10_000_000  # bytes of the answer that is far too long

# Failures that are a status with an error document: status, code, message.
ERRORS = {
    "400": (400, "invalid_value", "Invalid value for a parameter."),
    "echo": (400, "invalid_value", "Invalid value: '{input}'."),
    "401": (401, "invalid_api_key", "Incorrect API key provided: {key}. You can find your API key in your account settings."),
    "402": (402, "payment_required", "Your balance is empty."),
    "403": (403, "unsupported_country_region_territory", "Country, region, or territory not supported."),
    "404": (404, "model_not_found", UNKNOWN_MODEL),
    "429": (429, "rate_limit_exceeded", "Rate limit reached for {model}. Please try again later."),
    "500": (500, "server_error", "The server had an error while processing your request."),
    "502": (502, "bad_gateway", "Bad gateway."),
    "503": (503, "overloaded", "The engine is currently overloaded, please try again later."),
    "insufficient_quota": (429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
}
# Failures of the wire, and answers that were paid and are of no use.
PAGES = {
    "html": HttpReply(200, b"<!doctype html><title>Sign in</title><p>Please sign in to the network.", {"content-type": "text/html"}),
    "invalid-json": HttpReply(200, b'{"id": "resp_1", "object": ', {"content-type": "application/json"}),
    "other-shape": HttpReply.json({"result": "ok", "data": [1, 2, 3]}),
}
BROKEN = ("reset", "endless", "hang", *PAGES)
USELESS = ("incomplete", "refusal", "filtered", "empty", "not-json", "other-answer", "huge", "no-usage", "wrong-usage", "nul", "fenced")
KINDS = (*ERRORS, *BROKEN, *USELESS)


@dataclass
class Failure:
    """What goes wrong, for how many requests (None: all), only for those that contain some text, and the Retry-After of a status."""

    kind: str
    times: int | None = 1
    retry_after: str | float | None = None
    containing: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown failure {self.kind!r}; there are {', '.join(KINDS)}")

    @classmethod
    def parse(cls, text: str) -> "Failure":
        """`KIND[:TIMES[:RETRY_AFTER]]`, where TIMES may be `all`."""
        kind, times, retry_after = (*text.split(":", 2), "", "")[:3]
        return cls(kind, None if times == "all" else int(times or 1), retry_after or None)


Answers = Callable[[Asked], Any]


class OpenAISimulator(LoopbackServer):
    """The endpoint. `answers` gives a document or a text for a request, or None for a plausible instance of its schema."""

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float = 0.0,
        answers: Answers | None = None,
        failures: Iterable[Failure] = (),
        models: tuple[str, ...] = MODELS,
        key: str | None = None,
    ) -> None:
        super().__init__(port=port)
        self.latency = latency
        self.answers = answers
        self.failures = list(failures)
        self.models = models
        self.key = key
        self.reset()

    def reset(self) -> None:
        """Forgets what was asked."""
        self.requests: list[Asked] = []
        self.answered: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self._prefixes: set[str] = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def count(self) -> int:
        """Requests to a model that were well formed, whatever became of them."""
        return len(self.requests)

    @property
    def paid_twice(self) -> int:
        """Whole answers beyond the first to the same words: what a client that spends once never has."""
        return sum(self.answered.values()) - len(self.answered)

    def fail(self, kind: str, *, times: int | None = 1, retry_after: str | float | None = None, containing: str = "") -> None:
        """From now on the next `times` requests (that contain some text) fail in this way."""
        self.failures.append(Failure(kind, times, retry_after, containing))

    def stats(self) -> dict[str, Any]:
        return {
            "requests": self.count,
            "answered": sum(self.answered.values()),
            "paid_twice": self.paid_twice,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "by_schema": dict(Counter(asked.schema_name for asked in self.requests)),
        }

    async def answer(self, request: HttpRequest) -> HttpReply:
        try:
            match request.method, request.path:
                case "POST", "/v1/responses":
                    return await self._complete("responses", request)
                case "POST", "/v1/chat/completions":
                    return await self._complete("chat", request)
                case "GET", "/v1/models":
                    self._authorise(request)
                    models = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"} for name in self.models]
                    return HttpReply.json({"object": "list", "data": models})
                case "GET", "/_stats":
                    return HttpReply.json(self.stats())
                case "POST", "/_control":
                    self._control(document(request.body))
                    return HttpReply.json(self.stats())
            raise Refused(404, None, f"Invalid URL ({request.method} {request.path})")
        except Refused as refused:
            return _error(refused.status, refused.code, str(refused), refused.param)

    def _control(self, orders: dict[str, Any]) -> None:
        """`latency`, `fail` (a list of KIND:TIMES:RETRY_AFTER; empty: no more), `answers` (document by schema name), `reset`."""
        if unknown := orders.keys() - {"latency", "fail", "answers", "reset"}:
            raise Refused(400, "unknown_parameter", f"no such order: {', '.join(sorted(unknown))}")
        if orders.get("reset"):
            self.reset()
        self.latency = orders.get("latency", self.latency)
        if "fail" in orders:
            try:
                self.failures = [Failure.parse(text) for text in orders["fail"]]
            except ValueError as error:
                raise Refused(400, "invalid_value", str(error)) from None
        if "answers" in orders:
            by_schema = orders["answers"]
            self.answers = lambda asked: by_schema.get(asked.schema_name)

    async def _complete(self, api: Api, request: HttpRequest) -> HttpReply:
        self._authorise(request)
        asked = replace(read_request(api, document(request.body), self.models), headers=request.headers, number=self.count + 1)
        self.requests.append(asked)
        failure = self._due_failure(asked)
        kind = failure.kind if failure else ""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            if kind == "hang":
                await asyncio.Event().wait()
        finally:
            self.in_flight -= 1
        if failure and kind in ERRORS:
            status, code, message = ERRORS[kind]
            wait = {} if failure.retry_after is None else {"retry-after": str(failure.retry_after)}
            return _error(status, code, message.format(model=asked.model, key=_key(request), input=asked.input), None, headers=wait)
        if kind in PAGES:
            return PAGES[kind]
        reply = HttpReply.json(self._body(asked, kind), headers=self._limits(asked))
        if kind in ("reset", "endless"):
            return replace(reply, reset_after=len(reply.body) // 2 if kind == "reset" else None, endless=kind == "endless")
        self.answered[asked.seed] += 1
        return reply

    def _authorise(self, request: HttpRequest) -> None:
        given = _key(request)
        if not given:
            raise Refused(401, None, "You didn't provide an API key.")
        if self.key is not None and given != self.key:
            raise Refused(401, "invalid_api_key", ERRORS["401"][2].format(key=given))

    def _due_failure(self, asked: Asked) -> Failure | None:
        words = f"{asked.instructions}\n{asked.input}"
        for failure in self.failures:
            if failure.times != 0 and failure.containing in words:
                failure.times = None if failure.times is None else failure.times - 1
                return failure
        return None

    def _body(self, asked: Asked, kind: str) -> dict[str, Any]:
        """A whole document of the API; `kind` may be one of USELESS. As with the real endpoint, a text longer than the limit is cut."""
        text = self._text(asked, kind)
        thought = REASONING_TOKENS if REASONING.match(asked.model) else 0
        room = 4 * max(0, asked.limit - thought) if asked.limit else len(text)
        if kind == "incomplete" or (len(text) > room and kind not in ("huge", "refusal")):
            kind, text = "incomplete", text[: min(room, len(text) // 2)]
        body = (response if asked.api == "responses" else completion)(asked, text, kind, self._spent(asked, text, thought))
        if kind == "no-usage":
            body["usage"] = None
        elif kind == "wrong-usage":
            body["usage"] = dict.fromkeys(body["usage"], -7)
        return body

    def _text(self, asked: Asked, kind: str) -> str:
        given = self.answers(asked) if self.answers else None
        if given is None:
            given = sample(asked.schema, asked.seed) if asked.schema else "Certainly."
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        match kind:
            case "refusal":
                return "I'm sorry, but I can't help with that request."
            case "empty":
                return ""
            case "not-json":
                return f"Here is what you asked for: {text[: len(text) // 2]}"
            case "other-answer":
                return json.dumps({"something": "else"})
            case "huge":
                return json.dumps({"text": "x" * HUGE})
            case "nul":  # what no database column of text can hold: a zero character and half of a surrogate pair
                return json.dumps({key: f"{value}\0\ud83d" if isinstance(value, str) else value for key, value in json.loads(text).items()})
            case "fenced":
                return f"```json\n{text}\n```"
        return text

    def _spent(self, asked: Asked, text: str, thought: int) -> Tokens:
        prefix = hashlib.sha256(f"{asked.model}\n{asked.instructions}".encode()).hexdigest()
        stable = tokens(asked.instructions)
        cached = stable // CACHE_STEP * CACHE_STEP if prefix in self._prefixes and stable >= CACHE_AT_LEAST else 0
        self._prefixes.add(prefix)
        return Tokens(stable + tokens(asked.input) + tokens(json.dumps(asked.schema)), cached, tokens(text) + thought, thought)

    def _limits(self, asked: Asked) -> dict[str, str]:
        return {
            "x-request-id": f"req_{asked.seed[:24]}",
            "openai-processing-ms": str(int(self.latency * 1000)),
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": str(max(0, 10_000 - self.count)),
            "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-limit-tokens": "10000000",
            "x-ratelimit-remaining-tokens": "9990000",
            "x-ratelimit-reset-tokens": "60ms",
        }


def _key(request: HttpRequest) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")


def _error(status: int, code: str | None, message: str, param: str | None, *, headers: dict[str, str] | None = None) -> HttpReply:
    kind = {401: "invalid_request_error", 429: "requests", 500: "server_error"}.get(status, "invalid_request_error")
    kind = "insufficient_quota" if code == "insufficient_quota" else kind
    return HttpReply.json({"error": {"message": message, "type": kind, "param": param, "code": code}}, status=status, headers=headers)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m simulators.openai", description="OpenAI's wire protocol on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=8081, help="0 takes a free one (default: 8081)")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="how long each answer takes")
    failures = f"what goes wrong, in order: KIND[:TIMES[:RETRY_AFTER]], TIMES may be 'all'; kinds: {', '.join(KINDS)}"
    parser.add_argument("--fail", action="append", default=[], type=Failure.parse, metavar="KIND", help=failures)
    parser.add_argument("--answers", metavar="MODULE:FUNCTION", help="gives the answer to a request, or None for a plausible one")
    parser.add_argument("--key", help="the one key that is let in (default: any)")
    options = parser.parse_args()
    answers: Answers | None = None
    if options.answers:
        module, _, function = options.answers.partition(":")
        answers = getattr(importlib.import_module(module), function)
    simulator = OpenAISimulator(port=options.port, latency=options.latency, answers=answers, failures=options.fail, key=options.key)
    with simulator, contextlib.suppress(KeyboardInterrupt):
        print(f"OPENAI_BASE_URL={simulator.base_url}", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
