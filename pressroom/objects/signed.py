"""Signed URLs that are used again while they still last."""

import threading
from collections.abc import Callable

from pressroom.errors import BadInput

# What S3 signs for at most.
LONGEST_S = 604_800
# A hosted model may wait that long in a queue before it fetches.
MARGIN_S = 600
# A video has some hundred frames: a bound for a process that lives for months.
MOST = 10_000

Sign = Callable[[str, str | None, int], str]


class SignedUrls:
    """URLs by key, version and life; each is handed out until 10 minutes before it ends, or until its object goes. For any thread.

    `sign(key, version, seconds)` makes one; `clock` gives seconds.
    """

    def __init__(self, sign: Sign, clock: Callable[[], float]) -> None:
        self._sign, self._clock = sign, clock
        self._lock = threading.Lock()
        self._urls: dict[str, dict[tuple[str | None, int], tuple[str, float]]] = {}

    def get(self, key: str, version: str | None, expires_s: int) -> str:
        """A URL with more than 10 minutes left, or with all of `expires_s` where that is less."""
        if not 0 < expires_s <= LONGEST_S:
            raise BadInput(f"a signed URL lasts 1 to {LONGEST_S:,} seconds, not {expires_s:,}")
        with self._lock:
            now = self._clock()
            url, ends = self._urls.get(key, {}).get((version, expires_s), ("", now))
            if ends - now > MARGIN_S:
                return url
            url = self._sign(key, version, expires_s)
            if key not in self._urls and len(self._urls) >= MOST:
                self._make_room(now)
            self._urls.setdefault(key, {})[version, expires_s] = (url, now + expires_s)
            return url

    def drop(self, key: str) -> None:
        """Forgets the URLs of an object that goes."""
        with self._lock:
            self._urls.pop(key, None)

    def _make_room(self, now: float) -> None:
        """Forgets the keys whose URLs are not handed out any more; where there is none, the older half."""
        ended = [key for key, urls in self._urls.items() if all(ends - now <= MARGIN_S for _, ends in urls.values())]
        for key in ended or list(self._urls)[: MOST // 2]:
            del self._urls[key]
