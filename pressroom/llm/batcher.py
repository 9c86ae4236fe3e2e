"""Sending batches: calls that can wait go out together, for less, and nobody waits for the answers (`batches.collect` books them).

The process may die at any moment of this. The calls are the batch's before anything is sent, and the batch's own id is written into what
is sent: whoever finds the batch without its end asks the endpoint for that id before any call is asked anew.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pressroom.errors import PressroomError, Throttled, Transient
from pressroom.llm.types import BatchEndpoint, Limits, Provider, Request, Scope
from pressroom.store.batches import BatchBook, NewBatch

log = logging.getLogger(__name__)

QUIET_S = 0.3  # a batch goes out when no call has come for so long: the calls of a run's drafts come within milliseconds
MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000  # of one file, as OpenAI takes it


@dataclass
class _Waiting:
    """One call that waits for its batch to go out, and the future of its asker."""

    key: str
    line: bytes
    sent: "asyncio.Future[uuid.UUID]"


@dataclass
class _Gathering:
    """Calls for one site and day to one provider."""

    provider: Provider
    endpoint: BatchEndpoint
    scope: Scope
    calls: list[_Waiting] = field(default_factory=list)
    timer: asyncio.TimerHandle | None = None


class Batcher:
    """Sends the calls of one exchange in batches. Everything but the constructor runs on the exchange's loop.

    `keep` makes a task that lives on when the askers go.
    """

    def __init__(self, book: BatchBook, limits: Limits, keep: "Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]") -> None:
        self._book = book
        self._limits = limits
        self._keep = keep
        self._gathering: dict[tuple[object, ...], _Gathering] = {}

    async def send(self, provider: Provider, endpoint: BatchEndpoint, request: Request[Any], key: str, scope: Scope) -> uuid.UUID:
        """Id of the batch that the call went out with; `key` is its request hash, claimed by this process.

        Raises Transient or Permanent when the endpoint did not take the batch: then the call is given back.
        """
        group = self._group(provider, endpoint, scope)
        waiting = _Waiting(key, endpoint.line(key, request), asyncio.get_running_loop().create_future())
        group.calls.append(waiting)
        return await waiting.sent

    def _group(self, provider: Provider, endpoint: BatchEndpoint, scope: Scope) -> _Gathering:
        """Where the call belongs; it stays open for another `QUIET_S`."""
        name = (provider.name, provider.model, scope.account_id, scope.site_id, scope.day, scope.run_id)
        group = self._gathering.setdefault(name, _Gathering(provider, endpoint, scope))
        if group.timer:
            group.timer.cancel()
        group.timer = asyncio.get_running_loop().call_later(QUIET_S, self._go, name)
        return group

    def _go(self, name: tuple[object, ...]) -> None:
        group = self._gathering.pop(name)
        for calls in in_files(group.calls):
            self._keep(self._submit(group, calls))

    async def _submit(self, group: _Gathering, calls: Sequence[_Waiting]) -> None:
        """Sends one batch, and tells the askers what became of it."""
        wanted = [waiting for waiting in calls if not waiting.sent.done()]  # of the others the askers have gone
        try:
            batch_id, taken = await self._sent(group, wanted)
        except Exception as error:  # noqa: BLE001 - whatever it is, each asker is told, as if it had asked alone
            taken, failure = frozenset[str](), error
        else:
            failure = Transient("another process took the call over before it went out in a batch")
        for waiting in wanted:
            if waiting.sent.done():
                continue
            if waiting.key in taken:
                waiting.sent.set_result(batch_id)
            else:
                waiting.sent.set_exception(failure)
                waiting.sent.exception()  # told: an asker that goes in this moment leaves no error that nobody looked at

    async def _sent(self, group: _Gathering, calls: Sequence[_Waiting]) -> tuple[uuid.UUID, frozenset[str]]:
        """Id of the batch, and the calls that went out with it."""
        provider, scope = group.provider, group.scope
        batch = NewBatch(uuid.uuid4(), scope.account_id, scope.site_id, scope.day, scope.run_id, provider.name, provider.model)
        taken = await asyncio.to_thread(self._book.enter, batch, [waiting.key for waiting in calls])
        if not taken:
            return batch.id, taken
        lines = [waiting.line for waiting in calls if waiting.key in taken]
        remote_id = await self._at_endpoint(group.endpoint, batch.id, lines)
        # The batch is paid for: when the database is away now, its calls are its own all the same, and the endpoint is asked for it later.
        with suppress(PressroomError):
            if remote_id:
                await asyncio.to_thread(self._book.submitted, batch.id, remote_id)
            else:
                await asyncio.to_thread(self._book.leave, batch.id)
        return batch.id, taken

    async def _at_endpoint(self, endpoint: BatchEndpoint, batch_id: uuid.UUID, lines: Sequence[bytes]) -> str | None:
        """The endpoint's id of the batch; None when it may have made one or not, because no reply came.

        Raises Transient or Permanent when it made none: then the calls are given back.
        """
        file = ""
        try:
            file = await self._tried(partial(endpoint.upload, str(batch_id), lines), Transient)
            return await self._tried(partial(endpoint.create, str(batch_id), file), Throttled)
        except PressroomError as error:
            if file and isinstance(error, Transient) and not isinstance(error, Throttled):
                log.warning("batch %s may be at its endpoint or not, and is looked for when batches are collected: %s", batch_id, error)
                return None
            with suppress(PressroomError):  # else the batch stays open, is not found at the endpoint, and is given back then
                await asyncio.to_thread(self._book.refuse, batch_id, str(error))
            raise

    async def _tried(self, send: Callable[[], Awaitable[str]], passing: type[Transient]) -> str:
        """What `send` returns, tried as often as a call while it raises `passing`."""
        from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        limits = self._limits
        tries = AsyncRetrying(
            stop=stop_after_attempt(limits.tries),
            wait=wait_random_exponential(limits.first_wait_s, max=limits.longest_wait_s),
            retry=retry_if_exception_type(passing),
            reraise=True,
        )
        return await tries(send)


def in_files(calls: Iterable[_Waiting]) -> list[list[_Waiting]]:
    """The calls in parts that one file can hold."""
    parts: list[list[_Waiting]] = []
    room = 0
    for waiting in calls:
        if not parts or len(parts[-1]) == MOST_REQUESTS or len(waiting.line) > room:
            parts.append([])
            room = MOST_BYTES
        parts[-1].append(waiting)
        room -= len(waiting.line)
    return parts
