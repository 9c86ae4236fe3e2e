"""Rate limits as OpenAI has them: two token buckets, headers that tell their state, and a log of what was let in."""

import math
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Clock = Callable[[], float]
Unit = Literal["requests", "tokens"]
SHORT: dict[Unit, str] = {"requests": "RPM", "tokens": "TPM"}
PERIOD = 60.0  # seconds in which an empty bucket is full again
REACHED = (
    "Rate limit reached for {model} in organization org-simulated on {unit} per min ({short}): Limit {limit}, Used {used}, "
    "Requested {wanted}. Please try again in {wait}. Visit https://platform.openai.com/account/rate-limits to learn more."
)
TOO_LARGE = (
    "Request too large for {model} in organization org-simulated on {unit} per min ({short}): Limit {limit}, Requested {wanted}. The input "
    "or output tokens must be reduced in order to run successfully. Visit https://platform.openai.com/account/rate-limits to learn more."
)


def duration(seconds: float) -> str:
    """Seconds as the reset headers write them: `0s`, `6ms`, `1.5s`, `1m2.3s`, `6m0s`, `1h0m0s`. Rounded up to a whole millisecond."""
    milliseconds = math.ceil(round(seconds * 1000, 6))
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


class Bucket:
    """Holds `limit`, begins full, and is refilled continuously by `limit` a minute."""

    def __init__(self, unit: Unit, limit: int, clock: Clock) -> None:
        self.unit, self.limit, self.clock = unit, limit, clock
        self._level, self._at = float(limit), clock()

    @property
    def level(self) -> float:
        now = self.clock()
        self._level = min(float(self.limit), self._level + (now - self._at) * self.limit / PERIOD)
        self._at = now
        return self._level

    def wait(self, amount: float) -> float:
        """Seconds until `amount` can be taken; infinite when it is more than the bucket holds."""
        if amount > self.limit:
            return math.inf
        return max(0.0, round((amount - self.level) * PERIOD / self.limit, 6))  # what is short by a rounding error is there

    def take(self, amount: float) -> None:
        self._level = self.level - amount

    def headers(self) -> dict[str, str]:
        level = self.level
        return {
            f"x-ratelimit-limit-{self.unit}": str(self.limit),
            f"x-ratelimit-remaining-{self.unit}": str(int(level)),
            f"x-ratelimit-reset-{self.unit}": duration((self.limit - level) * PERIOD / self.limit),
        }


class Refusal(NamedTuple):
    """Why a request is beyond a limit. `wait_s` is infinite for one that no waiting helps."""

    unit: Unit
    message: str
    wait_s: float

    def headers(self) -> dict[str, str]:
        if math.isinf(self.wait_s):
            return {}
        milliseconds = math.ceil(self.wait_s * 1000)
        return {"retry-after": str(math.ceil(milliseconds / 1000)), "retry-after-ms": str(milliseconds)}


@dataclass
class RateLimits:
    """The limits of one organisation on all models together. None: no limit, and no header that tells of one.

    A request that is refused for its tokens has been counted as a request, as OpenAI counts it: to send it again and again does not help.
    """

    rpm: int | None = None
    tpm: int | None = None
    clock: Clock = time.monotonic
    throttled: int = 0
    admitted: list[tuple[float, int]] = field(default_factory=list)  # when (the clock's seconds), tokens

    def __post_init__(self) -> None:
        for name, limit in (("rpm", self.rpm), ("tpm", self.tpm)):
            if limit is not None and (not isinstance(limit, int) or limit < 1):
                raise ValueError(f"{name} is a whole number of 1 or more, or none; not {limit!r}")
        self._requests = Bucket("requests", self.rpm, self.clock) if self.rpm else None
        self._tokens = Bucket("tokens", self.tpm, self.clock) if self.tpm else None

    def admit(self, tokens: int, model: str) -> Refusal | None:
        """Takes a request and its `tokens` (input and the most output) from the buckets; what refuses it, if it is beyond one."""
        for bucket, amount in ((self._requests, 1), (self._tokens, tokens)):
            if bucket is None:
                continue
            if wait := bucket.wait(amount):
                self.throttled += 1
                return _refusal(bucket, amount, model, wait)
            bucket.take(amount)
        self.admitted.append((self.clock(), tokens))
        return None

    def headers(self) -> dict[str, str]:
        return {name: value for bucket in (self._requests, self._tokens) if bucket for name, value in bucket.headers().items()}

    def most_in_window(self, seconds: float, unit: Unit = "requests") -> int:
        """The most requests (or tokens) that were let in within any span of less than `seconds`."""
        times = [at for at, _ in self.admitted]
        sums = [0]
        for _, tokens in self.admitted:
            sums.append(sums[-1] + (1 if unit == "requests" else tokens))
        return max((sums[last + 1] - sums[bisect_right(times, at - seconds)] for last, at in enumerate(times)), default=0)


def _refusal(bucket: Bucket, amount: int, model: str, wait: float) -> Refusal:
    said = {"model": model, "unit": bucket.unit, "short": SHORT[bucket.unit], "limit": bucket.limit, "wanted": amount}
    if math.isinf(wait):
        return Refusal(bucket.unit, TOO_LARGE.format(**said), wait)
    used = bucket.limit - int(bucket.level)
    return Refusal(bucket.unit, REACHED.format(**said, used=used, wait=duration(wait)), wait)
