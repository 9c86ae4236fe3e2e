"""Stored responses: those made in the background, from `queued` to their end, and finished ones that can be read again."""

import time
from dataclasses import dataclass
from typing import Any

from simulators.openai_limits import Clock
from simulators.openai_wire import Refused

QUEUED = 0.25  # of its time a response waits before the model begins


@dataclass
class Stored:
    """One response: its finished document, when it was asked for and how many seconds it takes."""

    document: dict[str, Any]
    asked_at: float
    latency: float
    cancelled: bool = False


class StoredResponses:
    """Responses by id. The answer and the usage are in the document from the moment it is finished, and not before."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self._stored: dict[str, Stored] = {}

    def keep(self, document: dict[str, Any], *, latency: float = 0.0) -> dict[str, Any]:
        """What the creation of a response answers: in the background `queued`, else the finished document."""
        self._stored[document["id"]] = Stored(document, self.clock(), latency)
        return _unfinished(document, "queued") if document["background"] else document

    def look(self, identifier: str) -> dict[str, Any]:
        """The document of a response as it is now. Raises Refused (404) for one that was never made, or is forgotten."""
        stored = self._find(identifier)
        if stored.cancelled:
            return _unfinished(stored.document, "cancelled")
        waited = self.clock() - stored.asked_at
        if not stored.document["background"] or waited >= stored.latency:
            return stored.document
        return _unfinished(stored.document, "queued" if waited < QUEUED * stored.latency else "in_progress")

    def cancel(self, identifier: str) -> dict[str, Any]:
        """Stops a response that is not finished; one that has ended, in whatever way, is answered as it is."""
        stored = self._find(identifier)
        if not stored.document["background"]:
            raise Refused(400, None, "Cannot cancel a synchronous response.")
        if self.look(identifier)["status"] in ("queued", "in_progress"):
            stored.cancelled = True
        return self.look(identifier)

    def forget(self) -> None:
        """As OpenAI forgets: about ten minutes after a response in the background that was not asked for with `store: true`."""
        self._stored.clear()

    def _find(self, identifier: str) -> Stored:
        if identifier not in self._stored:
            raise Refused(404, None, f"Response with id '{identifier}' not found.")
        return self._stored[identifier]


def _unfinished(document: dict[str, Any], status: str) -> dict[str, Any]:
    return {**document, "status": status, "output": [], "usage": None, "error": None, "incomplete_details": None}
