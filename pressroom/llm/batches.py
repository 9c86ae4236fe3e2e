"""Collecting batches: what came back is booked into the calls' own rows, whoever looks, and however often.

`collect` asks the endpoints, `days_to_go_on` says which days have something to go on with. What sends batches is `batcher`.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy.orm import Session

from pressroom.errors import PressroomError
from pressroom.llm.types import BatchEndpoint, BatchResult, Provider, RemoteBatch, Routes
from pressroom.records import Usage
from pressroom.store.batches import Batch, Outcome, adopt, batch_of, book_outcomes, close_batch, is_abandoned, open_batches
from pressroom.store.calls import DEAD_FOR_S, Booked
from pressroom.store.engine import Store
from pressroom.store.runs import LastWords

log = logging.getLogger(__name__)

R = TypeVar("R")
Place = tuple[str, dt.date]  # the slug of a site, and a day

# An endpoint lists a batch as soon as it has it: after ten minutes without one, none was made.
LISTED_WITHIN = dt.timedelta(minutes=10)
# A batch that the endpoint does not know may be another key's or another endpoint's. Once its 24 hours are over there is no more waiting.
WINDOW = dt.timedelta(hours=26)
BOOKED_AT_ONCE = 200  # outcomes in one transaction: about half a second
LOOKS_AT_ONCE = 8
# A day goes on after a run whose batches brought nothing, in case that was an outage; after a second one in a row it does not.
FRUITLESS_RUNS = 2


@dataclass(frozen=True)
class Looked:
    """One open batch as it is after a look: in our books, and at its endpoint (`remote`: empty when that was not to be learnt)."""

    batch: Batch
    remote: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Collection:
    """What became of the open batches: those that were closed now, and those that still wait."""

    closed: tuple[Batch, ...] = ()
    waiting: tuple[Looked, ...] = ()


def collect(store: Store, routes: Routes, *, within_s: float | None = None) -> Collection:
    """Books what has come of the open batches. Safe to repeat, and from two processes at once.

    A batch whose endpoint has a problem waits on, and says so; what is not done `within_s` seconds is left to the next look. `routes` are
    closed at the end.
    """
    return asyncio.run(_for_each(store, routes, _collected, within_s))


def look(store: Store, routes: Routes, *, within_s: float | None = None) -> Collection:
    """How the open batches stand at their endpoints. Changes nothing; `routes` are closed at the end."""
    return asyncio.run(_for_each(store, routes, _looked, within_s))


Visit = Callable[[Store, Batch, Provider], Coroutine[Any, Any, Looked]]


async def _for_each(store: Store, routes: Routes, visit: Visit, within_s: float | None) -> Collection:
    waiting = await _stored(store, open_batches)
    at_work = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def one(batch: Batch) -> Looked:
        provider = next((known for known in routes.providers() if (known.name, known.model) == (batch.provider, batch.model)), None)
        if provider is None:
            return Looked(batch, problem=f"no model {batch.model} of {batch.provider} is set up")
        try:
            async with at_work:
                return await visit(store, batch, provider)
        except PressroomError as error:
            return Looked(batch, problem=str(error))

    tasks = {asyncio.create_task(one(batch)): batch for batch in waiting}
    try:
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for provider in routes.providers():
            await provider.close()
    looked = [Looked(batch, problem="there was no time to look") if task.cancelled() else task.result() for task, batch in tasks.items()]
    closed = tuple(each.batch for each in looked if not each.batch.is_open)
    return Collection(closed, tuple(each for each in looked if each.batch.is_open))


async def _looked(store: Store, batch: Batch, provider: Provider) -> Looked:
    if provider.batches is None or batch.remote_id is None:
        return Looked(batch)
    remote = await provider.batches.look(batch.remote_id)
    return Looked(batch, remote.status if remote else "unknown")


async def _collected(store: Store, batch: Batch, provider: Provider) -> Looked:
    """Books what has come of one batch, and closes it once the endpoint has."""
    endpoint = provider.batches
    if endpoint is None:
        return Looked(batch, problem=f"{provider.name} has no batches")
    if batch.remote_id is None:
        if not await _is_abandoned(store, batch):
            return Looked(batch)
        remote_id = await endpoint.find(str(batch.id), batch.created_at)
        if remote_id is None:
            if batch.age < LISTED_WITHIN:
                return Looked(batch, problem="its process is gone, and the endpoint does not list it yet")
            return await _closed(store, batch, "the process that sent the batch is gone, and the endpoint never got it")
        await _stored(store, partial(adopt, batch_id=batch.id, remote_id=remote_id))
        batch = batch.model_copy(update={"state": "submitted", "remote_id": remote_id})
    remote = await endpoint.look(batch.remote_id or "")
    if remote is None:
        unknown = "the endpoint does not know the batch, which may be another endpoint's or another key's"
        return await _closed(store, batch, unknown) if batch.age > WINDOW else Looked(batch, "unknown", unknown)
    if not remote.has_ended:
        return Looked(batch, remote.status)
    return await _brought_in(store, batch, provider, endpoint, remote)


async def _brought_in(store: Store, batch: Batch, provider: Provider, endpoint: BatchEndpoint, remote: RemoteBatch) -> Looked:
    """Books the results of a batch that has ended, and closes it. An answer is booked as it came, before anybody reads it."""

    def outcome(result: BatchResult) -> Outcome:
        if result.answer is None:
            return Outcome(result.key, None, result.error)
        usage = result.answer.usage
        cost = provider.price(usage, batch=True) if usage else None
        return Outcome(result.key, Booked(result.answer.body, usage or Usage(), cost))

    for file in remote.files:
        async for results in _by(BOOKED_AT_ONCE, endpoint.results(file)):
            outcomes = [outcome(result) for result in results]
            await _stored(store, partial(book_outcomes, batch_id=batch.id, outcomes=outcomes))
    return await _closed(store, batch, f"{remote.problem}, without an answer to this call")


async def _closed(store: Store, batch: Batch, reason: str) -> Looked:
    """The batch, closed by us or by another process; calls that have no answer by now are given back."""
    if await _stored(store, partial(close_batch, batch_id=batch.id, error=reason)):
        log.info("batch %s is collected", batch.id)
    return Looked(await _stored(store, partial(batch_of, batch_id=batch.id)))


async def _is_abandoned(store: Store, batch: Batch) -> bool:
    """Whether the process that was sending the batch is gone, and was a while ago: while its database restarts, a living one looks dead."""
    is_gone = partial(is_abandoned, batch=batch)
    if not await _stored(store, is_gone):
        return False
    if batch.owner is not None:
        await asyncio.sleep(DEAD_FOR_S)
    return await _stored(store, is_gone)


async def _stored(store: Store, work: Callable[[Session], R]) -> R:
    return await asyncio.to_thread(store.retrying, work)


async def _by(number: int, results: AsyncIterator[BatchResult]) -> AsyncIterator[list[BatchResult]]:
    part: list[BatchResult] = []
    async for result in results:
        part.append(result)
        if len(part) == number:
            yield part
            part = []
    if part:
        yield part


class Onward(NamedTuple):
    """What the closed batches ask for, each day with the newest of its batches: another run, or only the report that it came to nothing."""

    run: dict[Place, Batch]
    report: dict[Place, Batch]


def days_to_go_on(closed: Iterable[Batch], said: Mapping[Place, LastWords], reported: Mapping[Place, dt.datetime]) -> Onward:
    """What to do about the batches that were `closed`, in the order of their ends.

    `said` is what the steps that ask models last said of each day, `reported` when its newest report was made. A day goes on as long as a
    step waits since before its newest batch was closed, or the run that sent it died without a word. It does so while batches bring
    answers, and once more after a run whose batches brought none, for that may have been an outage; after the second such run it stops.
    """
    by_day: dict[Place, list[Batch]] = {}
    for batch in closed:
        if batch.site and batch.day:
            by_day.setdefault((batch.site, batch.day), []).append(batch)
    onward = Onward({}, {})
    for place, batches in by_day.items():
        newest = batches[-1]
        if not _waits(said.get(place), newest):
            continue
        answered: dict[str | None, int] = {}
        for batch in batches:
            answered[batch.run_id] = answered.get(batch.run_id, 0) + batch.answered
        last = list(answered.values())[-FRUITLESS_RUNS:]
        if any(last) or len(last) < FRUITLESS_RUNS:
            onward.run[place] = newest
        elif place not in reported or reported[place] < _end(newest):
            onward.report[place] = newest
    return onward


def _waits(said: LastWords | None, batch: Batch) -> bool:
    """Whether a run that begins now would find more than the steps that have said something."""
    if said is None or said.ended_at < batch.created_at:
        return True
    return said.waits_since is not None and said.waits_since < _end(batch)


def _end(batch: Batch) -> dt.datetime:
    return batch.collected_at or batch.created_at
