"""Predictions at Replicate: from `starting` to their end, cancelled, out of time, and deleted an hour after they are done."""

import datetime as dt
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from simulators.replicate_answers import Asked
from simulators.replicate_failures import FAILED

QUEUED = 0.25  # of its time a prediction waits before the model begins
KEPT_S = 3600.0  # how long inputs and outputs stay after the end
ENDED = ("succeeded", "failed", "canceled", "aborted")


class Clock:
    """The time as the endpoint has it: the machine's, and what was made to pass."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.ahead

    def stamp(self, at: float | None) -> str | None:
        return None if at is None else f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


@dataclass
class Prediction:
    """One prediction: what it says in the end, and when. `end` is how it ends by itself; None: never."""

    id: str
    asked: Asked
    output: Any
    created_at: float
    latency: float
    end: str | None = "succeeded"
    error: str | None = None
    deadline_s: float | None = None
    cancelled_at: float | None = None

    def status(self, now: float) -> str:
        status, _ = self._state(now)
        return status

    def completed_at(self, now: float) -> float | None:
        _, completed = self._state(now)
        return completed

    def _state(self, now: float) -> tuple[str, float | None]:
        """Status now, and when it ended if it has."""
        done = None if self.end is None else self.created_at + self.latency
        stopped = self.cancelled_at
        if self.deadline_s is not None and (stopped is None or self.created_at + self.deadline_s < stopped):
            stopped = self.created_at + self.deadline_s
        if stopped is not None and stopped <= now and (done is None or stopped < done):
            begun = self.end is not None and stopped >= self._begins_at
            return ("canceled" if begun or stopped == self.cancelled_at else "aborted"), stopped
        if done is not None and done <= now:
            return str(self.end), done
        return ("processing" if self.end is not None and now >= self._begins_at else "starting"), None

    @property
    def _begins_at(self) -> float:
        return self.created_at + QUEUED * self.latency


class Predictions:
    """Predictions by id."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.kept_s = KEPT_S
        self.all: dict[str, Prediction] = {}

    def create(self, asked: Asked, output: Any, *, latency: float, kind: str = "", deadline: str = "") -> Prediction:
        """A prediction that begins now. `kind` is a failure of `ENDS`, `deadline` what the Cancel-After header said."""
        made = Prediction(
            id=uuid.uuid4().hex[:26],
            asked=asked,
            output=output,
            created_at=self.clock(),
            latency=latency,
            end={"failed": "failed", "interrupted": "failed", "canceled": "canceled", "stuck": None}.get(kind, "succeeded"),
            error=FAILED[kind].format(input=str(asked.input)[:200]) if kind in FAILED else None,
            deadline_s=seconds(deadline),
        )
        if kind == "gone":
            made.created_at -= self.kept_s + latency + 1
        self.all[made.id] = made
        return made

    def cancel(self, identifier: str) -> Prediction:
        """Stops a prediction that is not done. Raises KeyError."""
        found = self.all[identifier]
        if found.status(self.clock()) not in ENDED:
            found.cancelled_at = self.clock()
        return found

    def document(self, found: Prediction, base_url: str) -> dict[str, Any]:
        """The prediction as the API tells it now."""
        now, asked = self.clock(), found.asked
        status, completed = found.status(now), found.completed_at(now)
        removed = completed is not None and now - completed > self.kept_s
        succeeded = status == "succeeded" and completed is not None
        began = None if status in ("starting", "aborted") else found.created_at + QUEUED * found.latency
        run_s = completed - began if completed is not None and began is not None else None
        url = f"{base_url}/v1/predictions/{found.id}"
        return {
            "id": found.id,
            "model": asked.model,
            "version": asked.version or "hidden",
            "input": {} if removed else shown(asked.input),
            "logs": "",
            "output": found.output if succeeded and not removed else None,
            "data_removed": removed,
            "error": found.error if status == "failed" else None,
            "source": "api",
            "status": status,
            "created_at": self.clock.stamp(found.created_at),
            "started_at": self.clock.stamp(began),
            "completed_at": self.clock.stamp(completed),
            "metrics": {} if run_s is None else {"predict_time": round(max(0.0, run_s), 6), "total_time": round(found.latency, 6)},
            "urls": {"get": url, "cancel": f"{url}/cancel", "stream": f"{url}/stream"},
        }


def shown(value: Any) -> Any:
    """An input as the API tells it: since August 2022 without its data URIs (https://github.com/replicate/inpainter/issues/1)."""
    match value:
        case dict():
            return {key: shown(part) for key, part in value.items() if not _is_data(part)}
        case list():
            return [shown(part) for part in value if not _is_data(part)]
    return value


def _is_data(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("data:")


def seconds(deadline: str) -> float | None:
    """What a Cancel-After header such as `90s`, `15m` or `30` says, in seconds."""
    said = re.fullmatch(r"(\d+)([smh]?)", deadline)
    return int(said[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[said[2]] if said else None
