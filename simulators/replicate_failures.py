"""What can go wrong at Replicate, by name: error documents, a broken wire, and predictions that come to nothing or say something else."""

from dataclasses import dataclass
from typing import Any, Literal

from simulators.loopback import HttpReply

Place = Literal["create", "poll", "cancel", "files"]
PLACES: tuple[Place, ...] = ("create", "poll", "cancel", "files")

THROTTLED = "Request was throttled. Your rate limit for creating predictions is {limit}. Your rate limit resets in ~{wait}s."
# Failures that are a status with a problem document (RFC 7807): status, title, detail.
ERRORS = {
    "400": (400, "Bad request", "The request could not be understood: {input}"),
    "401": (401, "Unauthenticated", "You did not pass a valid authentication token: {token}"),
    "402": (402, "Insufficient credit", "You have insufficient credit to run this model. Go to https://replicate.com/account/billing."),
    "403": (403, "Forbidden", "You do not have permission to perform this action."),
    "404": (404, "Not found", "The requested resource could not be found."),
    "422": (422, "Input validation failed", "- input: something is wrong with {input}"),
    "429": (429, "Too many requests", THROTTLED.format(limit="reduced to 6 requests per minute", wait="{wait}")),
    "429-bare": (429, "Too many requests", "Request was throttled."),
    "500": (500, "Internal server error", "Something went wrong."),
    "502": (502, "Bad gateway", "Bad gateway."),
    "503": (503, "Service unavailable", "Service unavailable."),
}
PAGES = {
    "html": HttpReply(200, b"<!doctype html><title>Sign in</title><p>Please sign in to the network.", {"content-type": "text/html"}),
    "invalid-json": HttpReply(200, b'{"id": "abc", "status": ', {"content-type": "application/json"}),
    "other-shape": HttpReply.json({"result": "ok", "data": [1, 2, 3]}),
}
# The reply is lost on its way, after what was asked for has been done: `reset` in the middle of it, `hang` and `lost` before it.
# `lost` closes the connection, `hang` leaves it open.
BROKEN = ("reset", "endless", "hang", "lost", *PAGES)
# What becomes of the prediction itself. `failed` is the input's fault, `interrupted` the machine's; `stuck` never starts.
ENDS = ("failed", "interrupted", "canceled", "stuck", "gone")
# What it says instead of an answer of its model.
OUTPUTS: dict[str, Any] = {
    "null": None,
    "garbage": {"\u0000": [[], {}, "\ud800", 1e308], "detections": 7, "segments": "x", "chunks": [None, 3]},
    "number": 17,
    "empty": [],
    "json-text": '{"unexpected": {"deep": [1, 2, {"x": null}]}}',
}
KINDS = (*ERRORS, *BROKEN, *ENDS, *OUTPUTS)
FAILED = {
    "failed": "cannot identify image file from {input}",
    "interrupted": "Prediction interrupted; please retry (code: PA)",
}


@dataclass
class Failure:
    """What goes wrong, for how many requests (None: all), only for those that contain some text, and when a 429 says to come back.

    `on` is where: `create`, `poll` (looking at a prediction), `cancel` or `files` (uploads).
    """

    kind: str
    times: int | None = 1
    retry_after: float | None = None
    containing: str = ""
    on: Place = "create"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown failure {self.kind!r}; there are {', '.join(KINDS)}")
        if self.on not in PLACES:
            raise ValueError(f"unknown place of a failure {self.on!r}; there are {', '.join(PLACES)}")
        if self.on != "create" and (self.kind in ENDS or self.kind in OUTPUTS):
            raise ValueError(f"{self.kind!r} becomes of a prediction when it is created: it cannot happen on {self.on!r}")

    @classmethod
    def parse(cls, text: str) -> "Failure":
        """`KIND[@PLACE][:TIMES[:RETRY_AFTER]]`, where TIMES may be `all`."""
        kind, times, wait = (*text.split(":", 2), "", "")[:3]
        kind, _, on = kind.partition("@")
        return cls(kind, None if times == "all" else int(times or 1), float(wait) if wait else None, on=on or "create")  # type: ignore[arg-type]

    def take(self, on: Place, words: str) -> bool:
        """Whether it is due for this request; then it has happened once more."""
        if self.times == 0 or self.on != on or self.containing not in words:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


def due_failure(failures: list[Failure], on: Place, words: str) -> Failure | None:
    """The first failure that is due for a request of these words."""
    return next((failure for failure in failures if failure.take(on, words)), None)


def problem(status: int, title: str, detail: str) -> HttpReply:
    return HttpReply.json(
        {"title": title, "detail": detail, "status": status}, status=status, headers={"content-type": "application/problem+json"}
    )


def failing(failure: Failure, *, token: str = "", words: str = "") -> HttpReply:
    """The reply of a failure that is one of ERRORS. Only the sentence of a 429 says when to come back, as at the real endpoint."""
    status, title, detail = ERRORS[failure.kind]
    wait = 30 if failure.retry_after is None else failure.retry_after
    return problem(status, title, detail.format(token=token, input=words[:500], wait=f"{wait:g}"))
