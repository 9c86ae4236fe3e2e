"""OpenAI's Batch API: a file of requests in, a file of answers out, some time later and in no particular order."""

import json
import random
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from simulators.loopback import HttpReply, HttpRequest
from simulators.openai_batch_input import ENDPOINTS, Line, Problem, hold_batch, read_batch
from simulators.openai_files import Files
from simulators.openai_limits import Clock
from simulators.openai_wire import Api, Refused, document

WINDOW = 24 * 3600  # seconds
# Of a batch's time: the file is validated, then the lines are worked on, then the files are written.
VALIDATED, WORKED = 0.25, 0.75
EXPIRED_AT = 0.5  # the share of its lines that a batch has done at least when it is made to expire
UNSET = (  # in the document of a batch that was made just now
    *("errors", "output_file_id", "error_file_id", "in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at"),
    *("cancelling_at", "cancelled_at", "model", "usage"),
)
ENDED = ("completed", "failed", "expired", "cancelled")
UNDONE = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "The batch was cancelled before this request was executed."),
}

Order = Literal["", "finish", "expire", "cancel"]


class Worked(NamedTuple):
    """What became of one line: the status and document of the endpoint."""

    status: int
    body: dict[str, Any]


Work = Callable[[Api, dict[str, Any]], Worked]


@dataclass
class Batch:
    """One batch: its document as it is now, and what the document does not say."""

    document: dict[str, Any]
    created: float
    latency: float  # seconds from its creation to its end
    order: Order = ""
    lines: list[Line] = field(default_factory=list)
    worked: list[Worked] = field(default_factory=list)  # the first lines' answers, in the file's order

    @property
    def status(self) -> str:
        return str(self.document["status"])

    def turn(self, status: str) -> None:
        self.document |= {"status": status, f"{status}_at": int(time.time())}


class Batches:
    """Batches by id. A batch moves on when it is looked at; `held`, it stays in progress until an order ends it.

    The orders (`finish`, `expire`) may come from any thread: they are carried out in the server's.
    """

    def __init__(self, files: Files, work: Work, *, clock: Clock = time.monotonic) -> None:
        self.files, self.work, self.clock = files, work, clock
        self._batches: dict[str, Batch] = {}

    def answer(self, request: HttpRequest, parts: list[str], *, models: Iterable[str], latency: float, held: bool) -> HttpReply:
        """Answers a request to `/v1/batches/<parts>`. Raises Refused."""
        self.advance(models, held)
        match request.method, parts:
            case "POST", []:
                return HttpReply.json(self._create(document(request.body), latency))
            case "GET", []:
                return HttpReply.json(self._list(request.query))
            case "GET", [identifier]:
                return HttpReply.json(self._find(identifier).document)
            case "POST", [identifier, "cancel"]:
                return HttpReply.json(self._cancel(identifier))
        raise Refused(404, None, f"Invalid URL ({request.method} {request.path})")

    def order(self, order: Order) -> int:
        """Gives an order to all batches that have not ended; how many those were."""
        waiting = [batch for batch in list(self._batches.values()) if batch.status not in ENDED]
        for batch in waiting:
            batch.order = order
        return len(waiting)

    def counts(self) -> dict[str, int]:
        """How many batches there are of each status, as they were when they were last looked at."""
        statuses = [batch.status for batch in list(self._batches.values())]
        return {status: statuses.count(status) for status in sorted(set(statuses))}

    def advance(self, models: Iterable[str], held: bool) -> None:
        """Brings every batch to where it is by now."""
        for batch in self._batches.values():
            if batch.status not in ENDED:
                self._advance(batch, models, held)

    def _create(self, body: dict[str, Any], latency: float) -> dict[str, Any]:
        hold_batch(body)
        created = int(time.time())
        found: dict[str, Any] = dict.fromkeys(UNSET) | {
            "id": f"batch_{uuid.uuid4().hex}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "status": "validating",
            "created_at": created,
            "expires_at": created + WINDOW,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": body.get("metadata"),
        }
        self._batches[found["id"]] = Batch(found, self.clock(), latency)
        return found

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        given = query.get("limit", "20")
        limit = int(given) if given.isdecimal() else 0
        if not 1 <= limit <= 100:
            raise Refused(400, "invalid_value", f"Invalid 'limit': expected a whole number from 1 to 100, but got {given}.", param="limit")
        newest = [batch.document for batch in reversed(self._batches.values())]
        if after := query.get("after"):
            self._find(after)
            newest = newest[[each["id"] for each in newest].index(after) + 1 :]
        page = newest[:limit]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return {"object": "list", "data": page, **ends, "has_more": len(newest) > limit}

    def _find(self, identifier: str) -> Batch:
        if identifier not in self._batches:
            raise Refused(404, None, f"No batch found with id '{identifier}'.")
        return self._batches[identifier]

    def _cancel(self, identifier: str) -> dict[str, Any]:
        batch = self._find(identifier)
        if batch.status in ENDED and batch.status != "cancelled":
            raise Refused(409, None, f"Cannot cancel a batch with status '{batch.status}'.")
        if batch.status not in ("cancelling", "cancelled"):
            batch.order = "cancel"
            batch.turn("cancelling")
        return batch.document

    def _advance(self, batch: Batch, models: Iterable[str], held: bool) -> None:
        passed = self.clock() - batch.created
        share = passed / batch.latency if batch.latency else 1.0
        if batch.order == "finish":
            share, held = 1.0, False
        if not batch.lines and (share >= VALIDATED or batch.order):
            self._validate(batch, models)
        if not batch.lines or batch.status in ENDED:
            return
        done = 0.0 if held else (share - VALIDATED) / (WORKED - VALIDATED)
        match batch.order:
            case "expire":
                self._work(batch, max(done, EXPIRED_AT))
                self._end(batch, "expired")
            case "cancel":
                self._end(batch, "cancelled")
            case _:
                self._work(batch, done)
                if len(batch.worked) == len(batch.lines) and not held:
                    if batch.status == "in_progress":
                        batch.turn("finalizing")
                    if share >= 1:
                        self._end(batch, "completed")

    def _validate(self, batch: Batch, models: Iterable[str]) -> None:
        lines, problems = self._read(batch, models)
        if problems:
            batch.document["errors"] = {"object": "list", "data": [problem._asdict() for problem in problems]}
            batch.turn("failed")
            return
        batch.lines = lines
        batch.document["model"] = lines[0].body["model"]
        batch.document["request_counts"] = {"total": len(lines), "completed": 0, "failed": 0}
        if batch.status == "validating":
            batch.turn("in_progress")

    def _read(self, batch: Batch, models: Iterable[str]) -> tuple[list[Line], list[Problem]]:
        try:
            content = self.files.find(batch.document["input_file_id"]).content
        except Refused:
            message = f"Cannot find file {batch.document['input_file_id']}, or organization org-simulated does not have access to it."
            return [], [Problem("invalid_request", message, "file_id")]
        return read_batch(content, batch.document["endpoint"], models)

    def _work(self, batch: Batch, share: float) -> None:
        """Answers the first lines, up to this share of them. From then on they are paid, whatever becomes of the batch."""
        api = ENDPOINTS[batch.document["endpoint"]]
        until = int(min(1.0, max(0.0, share)) * len(batch.lines))
        batch.worked += [self.work(api, line.body) for line in batch.lines[len(batch.worked) : until]]
        good = sum(worked.status == 200 for worked in batch.worked)
        batch.document["request_counts"] |= {"completed": good, "failed": len(batch.worked) - good}

    def _end(self, batch: Batch, status: str) -> None:
        """Writes the files: what was answered in the one, what failed or was not begun in the other. One without a line is not made."""
        done: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for line, worked in zip(batch.lines, batch.worked, strict=False):
            answer = {"status_code": worked.status, "request_id": uuid.uuid4().hex, "body": worked.body}
            (done if worked.status == 200 else failed).append(_result(line, response=answer))
        for line in batch.lines[len(batch.worked) :]:
            code, message = UNDONE[status]
            failed.append(_result(line, error={"code": code, "message": message}))
        batch.document["output_file_id"] = self._write(f"{batch.document['id']}_output.jsonl", done)
        batch.document["error_file_id"] = self._write(f"{batch.document['id']}_error.jsonl", failed)
        batch.document["usage"] = _usage([worked.body for worked in batch.worked if worked.status == 200])
        batch.turn(status)

    def _write(self, name: str, results: list[dict[str, Any]]) -> str | None:
        if not results:
            return None
        rows = [json.dumps(result, ensure_ascii=False) for result in _shuffled(results)]
        return self.files.add(name, "batch_output", ("\n".join(rows) + "\n").encode()).id


def _result(line: Line, *, response: dict[str, Any] | None = None, error: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"id": f"batch_req_{uuid.uuid4().hex}", "custom_id": line.custom_id, "response": response, "error": error}


def _shuffled(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same in an order that is always the same for the same lines, and never that of the file."""
    mixed = sorted(results, key=lambda result: random.Random(result["custom_id"]).random())
    return mixed if mixed != results else mixed[::-1]


def _part(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    """The details under one of these names; none where an answer was told to say nonsense."""
    return next((usage[name] for name in names if isinstance(usage.get(name), dict)), {})


def _usage(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """What the answers used together, as the batch's document says it; an answer that does not say counts nothing."""
    spent = [body.get("usage") or {} for body in bodies]
    used_in = sum(usage.get("input_tokens", usage.get("prompt_tokens", 0)) for usage in spent)
    used_out = sum(usage.get("output_tokens", usage.get("completion_tokens", 0)) for usage in spent)
    details = {
        name: sum(_part(usage, long, short).get(name, 0) for usage in spent)
        for name, long, short in (
            ("cached_tokens", "input_tokens_details", "prompt_tokens_details"),
            ("reasoning_tokens", "output_tokens_details", "completion_tokens_details"),
        )
    }
    return {
        "input_tokens": used_in,
        "input_tokens_details": {"cached_tokens": details["cached_tokens"]},
        "output_tokens": used_out,
        "output_tokens_details": {"reasoning_tokens": details["reasoning_tokens"]},
        "total_tokens": used_in + used_out,
    }
