"""What can go wrong at OpenAI's endpoint, by name: error documents, a broken wire, and answers that are of no use."""

from dataclasses import dataclass
from typing import Any, Literal

from simulators.loopback import HttpReply
from simulators.openai_wire import UNKNOWN_MODEL, Api

Place = Literal["ask", "poll", "files", "batches"]
PLACES: tuple[Place, ...] = ("ask", "poll", "files", "batches")
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
# `failed` is not paid: the model gave up (a response of that status; 500 in the APIs that have none).
USELESS = (
    *("incomplete", "refusal", "filtered", "empty", "not-json", "other-answer", "huge", "no-usage", "wrong-usage", "nul", "fenced"),
    *("injection", "failed"),
)
KINDS = (*ERRORS, *BROKEN, *USELESS)
# Of the useless answers, those that vectors can be: see `simulators.openai_embeddings`.
USELESS_VECTORS = ("empty", "incomplete", "other-answer", "huge", "no-usage", "wrong-usage", "failed")
# Within a batch nothing goes over the wire but files.
USELESS_LINES = (*ERRORS, *USELESS)


@dataclass
class Failure:
    """What goes wrong, for how many requests (None: all), only for those that contain some text, and the Retry-After of a status.

    `on` is where: `ask` (requests to a model, the lines of a batch among them), `poll` (looking at a response, or cancelling it),
    `files` or `batches` (all that is asked of these endpoints).
    """

    kind: str
    times: int | None = 1
    retry_after: str | float | None = None
    containing: str = ""
    on: Place = "ask"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown failure {self.kind!r}; there are {', '.join(KINDS)}")
        if self.on not in PLACES:
            raise ValueError(f"unknown place of a failure {self.on!r}; there are {', '.join(PLACES)}")
        if self.on != "ask" and self.kind in USELESS:
            raise ValueError(f"{self.kind!r} is a failure of a model: it cannot happen on {self.on!r}")

    @classmethod
    def parse(cls, text: str) -> "Failure":
        """`KIND[@PLACE][:TIMES[:RETRY_AFTER]]`, where TIMES may be `all`."""
        kind, times, retry_after = (*text.split(":", 2), "", "")[:3]
        kind, _, on = kind.partition("@")
        return cls(kind, None if times == "all" else int(times or 1), retry_after or None, on=on or "ask")  # type: ignore[arg-type]

    def take(self, on: Place, words: str, api: Api | None, *, in_batch: bool) -> bool:
        """Whether it is due for this request; then it has happened once more."""
        if self.times == 0 or self.on != on or self.containing not in words:
            return False
        if self.kind in USELESS and api == "embeddings" and self.kind not in USELESS_VECTORS:
            return False
        if in_batch and self.kind not in USELESS_LINES:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


def due_failure(failures: list[Failure], on: Place, words: str, *, api: Api | None = None, in_batch: bool = False) -> Failure | None:
    """The first failure that is due for a request of these words. One that makes no sense for it stays due for a later one."""
    return next((failure for failure in failures if failure.take(on, words, api, in_batch=in_batch)), None)


def error_document(status: int, code: str | None, message: str, *, kind: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The document of an error; `kind` is its `type`, by default the one that goes with the status."""
    usual = {429: "requests", 500: "server_error"}.get(status, "invalid_request_error")
    kind = kind or ("insufficient_quota" if code == "insufficient_quota" else usual)
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def failing(failure: Failure, *, key: str = "", model: str = "", words: str = "") -> tuple[int, dict[str, Any]]:
    """Status and document of a failure that is one of ERRORS."""
    status, code, message = ERRORS[failure.kind]
    return status, error_document(status, code, message.format(model=model, key=key, input=words))
