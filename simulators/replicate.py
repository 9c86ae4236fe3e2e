"""Replicate's HTTP API on loopback: predictions by version and by model, cancel, files, the account, webhooks with their signature.

Answers, latency, limits and failures are set by the caller: in a test through `ReplicateSimulator`, in another process through the command
line and `POST /_control`; `GET /_stats` counts. It refuses what the real endpoint refuses: a missing token, an unknown version or model, an
input that is none, a data URI that is too long, more creates a minute than the account may make.

    python -m simulators.replicate --port 0 --latency 1 --rpm 600 --fail 429:3:30 --fail lost --fail 503@poll
"""

import asyncio
import contextlib
import email.utils
import hashlib
import json
import math
import re
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from simulators.loopback import HttpReply, HttpRequest, LoopbackServer
from simulators.openai_files import read_form
from simulators.openai_limits import Bucket
from simulators.openai_wire import Refused
from simulators.orders import FAILURES, LIMIT, SECONDS, SWITCH, hold_orders
from simulators.replicate_answers import Answers, Asked, answer
from simulators.replicate_failures import (
    ENDS,
    ERRORS,
    OUTPUTS,
    PAGES,
    THROTTLED,
    Failure,
    Place,
    due_failure,
    failing,
    problem,
)
from simulators.replicate_files import Files
from simulators.replicate_options import options
from simulators.replicate_predictions import ENDED, KEPT_S, Clock, Prediction, Predictions
from simulators.replicate_webhooks import SECRET, deliver

VERSIONS = {
    "3ab86df6c8f54c11309d4d1f930ac292bad43ace52d10c80d87eb258b3c9f79c": "vaibhavs10/incredibly-fast-whisper",
    "8099696689d249cf8b122d833c36ac3f75505c666a395ca40ef26f68e7d3d16e": "openai/whisper",
    "a524caeaa23495bc9edc805ab08ab5fe943afd3febed884a4f3747aa32e9cd61": "abiruyt/text-extract-ocr",
    "efd10a8ddc57ea28773327e881ce95e20cc1d734c589f7dd01d2036921ed78aa": "adirik/grounding-dino",
    "d232445620610b78671a7f288f37bf3baec831537503e9064afcf0bfd0f0a151": "zsxkib/yolo-world",
    "97116600cabd3037e5f22ca08ffcc33b92cfacebf7ccd3609e9c1d29e43d3a8d": "falcons-ai/nsfw_image_detection",
    "0" * 64: "zhixindev/nsfw-image-detection-2026",
}
OFFICIAL = ("meta/llama-guard-4-12b", "openai/whisper")
LONGEST_WAIT_S = 60.0  # of `Prefer: wait`
SETTINGS = {"latency": SECONDS, "delete_after": SECONDS}
ORDERS = SETTINGS | {"fail": FAILURES, "rpm": LIMIT, "reset": SWITCH, "pass_time": SECONDS}


class ReplicateSimulator(LoopbackServer):
    """The endpoint. `answers` gives the output of a prediction; by default it is a function of the files' bytes.

    `latency` is how long a prediction takes and `delete_after` how long its output stays, both in seconds. `rpm` is how many creates a
    minute are let in, at once and then one by one (None: all). `token` is the one that is let in (None: any).
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float = 0.0,
        answers: Answers = answer,
        failures: Iterable[Failure] = (),
        token: str | None = None,
        rpm: int | None = None,
        delete_after: float = KEPT_S,
        versions: dict[str, str] | None = None,
    ) -> None:
        super().__init__(port=port)
        self.latency = latency
        self.answers = answers
        self.failures = list(failures)
        self.token = token
        self.rpm = rpm
        self.delete_after = delete_after
        self.versions = VERSIONS | (versions or {})
        self.heeds_deadlines = True  # what Cancel-After says; the client has to see to it itself where this is off
        self.clock = Clock()
        self._deliveries: set[asyncio.Task[None]] = set()
        self.reset()

    def reset(self) -> None:
        """Forgets what was asked, answered and uploaded; the limit is as if nothing had been asked."""
        self.requests: list[Asked] = []
        self.tries: Counter[str] = Counter()  # what was asked, at which place, whatever became of it
        self.paid: Counter[str] = Counter()  # predictions that ran, by identity
        self.admitted: list[float] = []
        self.throttled = self.cancels = 0
        self.delivered: list[str] = []
        self.files = Files(self.clock)
        self.predictions = Predictions(self.clock)
        self._bucket = Bucket("requests", self.rpm, self.clock) if self.rpm else None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def count(self) -> int:
        """Predictions that were created."""
        return len(self.requests)

    @property
    def paid_twice(self) -> int:
        """Predictions that ran beyond the first of the same version and input, files by their content."""
        return sum(self.paid.values()) - len(self.paid)

    def fail(
        self, kind: str, *, times: int | None = 1, retry_after: float | None = None, containing: str = "", on: Place = "create"
    ) -> None:
        """From now on the next `times` requests (that contain some text) fail in this way. See `Failure` for `on`."""
        self.failures.append(Failure(kind, times, retry_after, containing, on))

    def pass_time(self, seconds: float) -> None:
        """Makes so many seconds pass at the endpoint."""
        self.clock.ahead += seconds

    def most_in_window(self, seconds: float) -> int:
        """The most creates that were let in within any span of less than `seconds`."""
        at = self.admitted
        return max((last + 1 - bisect_right(at, moment - seconds) for last, moment in enumerate(at)), default=0)

    def stats(self) -> dict[str, Any]:
        now, every = self.clock(), self.predictions.all.values()
        return {
            "creates": self.count,
            "paid": sum(self.paid.values()),
            "paid_twice": self.paid_twice,
            "by_model": dict(Counter(asked.model for asked in self.requests)),
            "by_status": dict(Counter(each.status(now) for each in every)),
            "cancels": self.cancels,
            "polls": self.tries["poll"],
            "uploads": len(self.files),
            "throttled": self.throttled,
            "most_in_minute": self.most_in_window(60),
            "webhooks": len(self.delivered),
        }

    async def answer(self, request: HttpRequest) -> HttpReply:
        try:
            if request.path.startswith("/v1/"):
                reply = await self._serve(request, request.path.removeprefix("/v1/").split("/"))
                return replace(reply, headers={"date": email.utils.formatdate(self.clock(), usegmt=True), **reply.headers})
            match request.method, request.path:
                case "GET", "/_stats":
                    return HttpReply.json(self.stats())
                case "POST", "/_control":
                    self._control(_document(request))
                    return HttpReply.json(self.stats())
            raise Refused(404, None, "The requested resource could not be found.")
        except Refused as refused:
            return problem(refused.status, refused.code or "Not found", str(refused))

    def fell_over(self, error: Exception) -> HttpReply:
        return problem(500, type(error).__name__, f"The simulator fell over: {error}")

    def _control(self, orders: dict[str, Any]) -> None:
        """The attributes of the same names; `fail` (a list of KIND@PLACE:TIMES:RETRY_AFTER; empty: no more), `pass_time` (seconds),
        `rpm`, and, when true, `reset`."""
        try:
            hold_orders(orders, ORDERS)
            failures = [Failure.parse(text) for text in orders.get("fail", ())]
        except ValueError as error:
            raise Refused(400, "Bad request", str(error)) from None
        if "fail" in orders:
            self.failures = failures
        for name in orders.keys() & SETTINGS.keys():
            setattr(self, name, orders[name])
        if "rpm" in orders:
            self.rpm = orders["rpm"]
            self._bucket = Bucket("requests", self.rpm, self.clock) if self.rpm else None
        if orders.get("reset"):
            self.reset()
        self.pass_time(orders.get("pass_time", 0.0))

    async def _serve(self, request: HttpRequest, parts: list[str]) -> HttpReply:
        token = re.sub(r"^(Bearer|Token) ", "", request.headers.get("authorization", ""))
        if not token or self.token not in (None, token):
            raise Refused(401, "Unauthenticated", "You did not pass a valid authentication token")
        match request.method, parts:
            case "POST", ["predictions"]:
                return await self._create(request, token, None)
            case "POST", ["models", owner, name, "predictions"]:
                return await self._create(request, token, f"{owner}/{name}")
            case "GET", ["predictions"]:
                every = [self._document_of(each) for each in reversed(self.predictions.all.values())]
                return HttpReply.json({"previous": None, "next": None, "results": every[:100]})
            case "GET", ["predictions", identifier]:
                return await self._elsewhere("poll", request, token, lambda: self._document_of(self._found(identifier)))
            case "POST", ["predictions", identifier, "cancel"]:
                return await self._elsewhere("cancel", request, token, lambda: self._cancelled(identifier))
            case "POST", ["files"]:
                return await self._elsewhere("files", request, token, lambda: self._uploaded(request), status=201)
            case "GET", ["files", identifier] if identifier in self.files:
                return HttpReply.json(self.files.document(identifier, self.base_url))
            case "GET", ["models", owner, name, "versions", version] if self.versions.get(version) == f"{owner}/{name}":
                return HttpReply.json(_version_document(version))
            case "GET", ["account"]:
                return HttpReply.json({"type": "user", "username": "simulated", "name": "Simulated", "github_url": None})
            case "GET", ["webhooks", "default", "secret"]:
                return HttpReply.json({"key": SECRET})
        raise Refused(404, "Not found", "The requested resource could not be found.")

    async def _create(self, request: HttpRequest, token: str, model: str | None) -> HttpReply:
        self.tries["create"] += 1
        body = _document(request)
        failure = due_failure(self.failures, "create", request.body.decode(errors="replace")) if self.failures else None
        kind = failure.kind if failure else ""
        if failure and kind in ERRORS:
            self.throttled += ERRORS[kind][0] == 429
            return failing(failure, token=token, words=str(body.get("input")))
        self._admit()
        asked, lost = await self._read(body, model)
        output = OUTPUTS[kind] if kind in OUTPUTS else self.answers(asked)
        made = self.predictions.create(
            asked,
            output,
            latency=self.latency,
            kind=kind if kind in ENDS else "",
            deadline=request.headers.get("cancel-after", "") if self.heeds_deadlines else "",
        )
        self.predictions.kept_s = self.delete_after
        if lost:
            made.end, made.error = "failed", f"403 Client Error: Forbidden for url: {lost}"
        self.requests.append(asked)
        if kind not in ("failed", "interrupted", "canceled", "stuck"):
            self.paid[asked.identity] += 1
        if url := body.get("webhook"):
            self._announce(made, str(url), body.get("webhook_events_filter") or ["start", "completed"])
        if (wait := _wait(request.headers.get("prefer", ""))) is not None:
            await self._until_done(made, wait)
        if kind == "hang":
            await asyncio.Event().wait()
        return PAGES.get(kind) or _broken(HttpReply.json(self._document_of(made), status=201), kind)

    def _admit(self) -> None:
        if self._bucket:
            if wait := self._bucket.wait(1):
                self.throttled += 1
                limit = f"{self.rpm} requests per minute"
                raise Refused(429, "Too many requests", THROTTLED.format(limit=limit, wait=math.ceil(wait)))
            self._bucket.take(1)
        self.admitted.append(self.clock())

    async def _read(self, body: dict[str, Any], model: str | None) -> tuple[Asked, str]:
        """What was asked for, and the URL of the first file that the model cannot fetch. Raises Refused."""
        given = body.get("input")
        if not isinstance(given, dict):
            raise Refused(422, "Input validation failed", "- input is required")
        version = ""
        if model is None:
            version = str(body.get("version", "")).rpartition(":")[2]
            if version not in self.versions:
                raise Refused(422, "Invalid version or not permitted", "The specified version does not exist (or you cannot run it)")
            model = self.versions[version]
        elif model not in OFFICIAL:
            raise Refused(404, "Not found", "The requested resource could not be found.")
        fetched = await self.files.fetch(given, self.base_url)
        words = json.dumps([model, version, fetched.named], sort_keys=True)
        identity = hashlib.sha256(words.encode()).hexdigest()
        return Asked(self.count + 1, model, version, given, tuple(fetched.contents), identity), fetched.lost[0] if fetched.lost else ""

    async def _elsewhere(self, place: Place, request: HttpRequest, token: str, make: Any, *, status: int = 200) -> HttpReply:
        """What is asked beside a create. A reply that is lost on the wire was made."""
        self.tries[place] += 1
        failure = due_failure(self.failures, place, request.path)
        kind = failure.kind if failure else ""
        if failure and kind in ERRORS:
            return failing(failure, token=token, words=request.path)
        reply = HttpReply.json(make(), status=status)
        if kind == "hang":
            await asyncio.Event().wait()
        return PAGES.get(kind) or _broken(reply, kind)

    def _found(self, identifier: str) -> Prediction:
        if identifier not in self.predictions.all:
            raise Refused(404, "Not found", "The requested resource could not be found.")
        return self.predictions.all[identifier]

    def _cancelled(self, identifier: str) -> dict[str, Any]:
        self._found(identifier)
        self.cancels += 1
        return self._document_of(self.predictions.cancel(identifier))

    def _document_of(self, prediction: Prediction) -> dict[str, Any]:
        return self.predictions.document(prediction, self.base_url)

    def _uploaded(self, request: HttpRequest) -> dict[str, Any]:
        fields = read_form(request)
        if "content" not in fields:
            raise Refused(422, "Input validation failed", "- content is required")
        return self.files.document(self.files.keep(*fields["content"]), self.base_url)

    async def _until_done(self, prediction: Prediction, longest: float) -> None:
        end = time.monotonic() + longest
        while prediction.status(self.clock()) not in ENDED and time.monotonic() < end:
            await asyncio.sleep(0.01)

    def _announce(self, prediction: Prediction, url: str, events: Sequence[str]) -> None:
        """Sends the webhooks of a prediction: when it begins, and when it has ended."""

        async def send() -> None:
            self.delivered.append(prediction.id)
            await deliver(self._document_of(prediction), url, int(self.clock()))

        async def tell() -> None:
            if "start" in events:
                await send()
            if "completed" in events:
                await self._until_done(prediction, math.inf)
                await send()

        delivery = asyncio.get_running_loop().create_task(tell())
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)


def _version_document(version: str) -> dict[str, Any]:
    """A version with a schema that says of input and output only that they are there."""
    schemas = {"Input": {"type": "object", "properties": {}}, "Output": {"title": "Output"}}
    made = "2025-01-01T00:00:00.000000Z"
    return {"id": version, "created_at": made, "cog_version": "0.9.0", "openapi_schema": {"components": {"schemas": schemas}}}


def _document(request: HttpRequest) -> dict[str, Any]:
    try:
        body = json.loads(request.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "Bad request", "The request body is not a JSON object.")
    return body


def _wait(prefer: str) -> float | None:
    """How long a create is to wait for the end, in seconds; None: not at all."""
    said = re.fullmatch(r"wait(?:=(\d+(?:\.\d+)?))?", prefer.strip())
    return min(float(said[1] or LONGEST_WAIT_S), LONGEST_WAIT_S) if said else None


def _broken(reply: HttpReply, kind: str) -> HttpReply:
    cut = {"reset": len(reply.body) // 2, "lost": 0}.get(kind)
    return replace(reply, reset_after=cut, endless=kind == "endless")


def main() -> None:
    with ReplicateSimulator(**options()) as simulator, contextlib.suppress(KeyboardInterrupt):
        print(f"REPLICATE_BASE_URL={simulator.base_url}", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
