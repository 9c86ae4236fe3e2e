"""The way to a model: each request goes through the ledger, so that it is paid once, booked before it is read, and replayed ever after.

`Exchange` is one for a run: its models, its limits and an event loop in a thread of its own. The assets of a run have a loop each;
on the exchange's they share clients and turns, and an answer on its way is booked although its asker has gone.
`Gateway` is what an asset asks.
"""

import asyncio
import dataclasses
import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar
from uuid import UUID

from pydantic import JsonValue, ValidationError

from pressroom.errors import BadInput, Deferred, OverBudget, Permanent, PressroomError, Throttled, Transient, Unreachable
from pressroom.llm.batcher import Batcher
from pressroom.llm.hashing import request_document, request_hash
from pressroom.llm.pacer import Pacer
from pressroom.llm.types import Answer, Budget, Charge, Limits, Provider, RawAnswer, Request, Route, Routes, Scope, T, Ticket
from pressroom.records import Tally, Usage
from pressroom.store.batches import BatchBook
from pressroom.store.calls import Batched, Bill, Booked, Claim, Entry, Ledger, Ours
from pressroom.store.grouped import Grouped
from pressroom.store.lanes import LaneBook

if TYPE_CHECKING:
    from tenacity import RetryCallState

log = logging.getLogger(__name__)

R = TypeVar("R")

LEDGER_THREADS = 4  # one for each kind of statement of which many come together, and one for the rest
FIRST_LOOK_S, LONGEST_LOOK_S = 0.05, 0.5  # how often to look whether another process has the answer
# Another process is done with a call after its tries and waits; ten minutes leave room for a queue of five hundred before it.
PATIENCE_S = 600.0
NEVER_IN_BATCHES = ("embedding",)  # vectors are what the same step goes on with


class NotBooked(Transient):
    """An answer came and was paid, and the database was not there to take it: asking at once again would pay again."""


@dataclass
class _Call(Generic[T]):
    """One request to one provider, on its way once it is claimed."""

    request: Request[T]
    provider: Provider
    entry: Entry
    timeout_s: float
    scope: Scope
    tallies: tuple[Tally, ...]
    in_batch: bool = False
    remote_id: str | None = None
    attempts: int = 0
    reserved: bool = False

    @property
    def key(self) -> str:
        return self.entry.request_hash

    @property
    def site(self) -> str:
        """How the pace calls the site: no site is the house."""
        return str(self.entry.site_id or "")

    @cached_property
    def largest(self) -> Usage:
        return self.provider.largest(self.request)

    @cached_property
    def charge(self) -> Charge:
        return Charge(self.provider.price(self.largest, batch=self.in_batch), self.provider.model, self.request.item, self.scope)


class Exchange:
    """All model calls of a run, in one place. Close it: what is on its way is booked first.

    With a `batches` book, what is not booked goes out in batches wherever the model's endpoint takes them, and is Deferred.
    """

    def __init__(
        self,
        routes: Routes,
        ledger: Ledger,
        lanes: LaneBook,
        *,
        limits: Limits | None = None,
        budget: Budget | None = None,
        batches: BatchBook | None = None,
    ) -> None:
        self.routes = routes
        self.ledger = ledger
        self.limits = limits or Limits()
        self.budget = budget
        self.tally = Tally()
        self._threads = ThreadPoolExecutor(LEDGER_THREADS, thread_name_prefix="pressroom ledger")
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(self._threads)
        self._thread = threading.Thread(target=self._loop.run_forever, name="pressroom exchange", daemon=True)
        self._thread.start()
        self._claims = Grouped(ledger.claim)
        self._remembered: Grouped[tuple[str, str | None], None] = Grouped(ledger.remember)
        self._bills = Grouped(ledger.book)
        self._pacer = Pacer(lanes, self.limits.pace)
        self._batcher = Batcher(batches, self.limits, self._keep) if batches else None
        self._spent_on: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)  # USD by site and item
        self._reserved = 0  # calls in flight with money set aside
        self._settled = asyncio.Event()
        self._leftovers: set[asyncio.Task[Any]] = set()
        self._stand_ins: set[tuple[str, str]] = set()

    def gateway(self, scope: Scope, tally: Tally | None = None) -> "Gateway":
        """The gateway of one asset. All gateways of an exchange share its limits and its budget."""
        return Gateway(self, scope, Tally() if tally is None else tally)

    def warm_up(self) -> None:
        """Begins to load what the first call will need, and returns at once."""
        self._threads.submit(self._load)

    def _load(self) -> None:
        import tenacity.asyncio  # noqa: F401

        for provider in self.routes.providers():
            provider.warm_up()

    def close(self) -> None:
        """Waits for the answers that are on their way, at most one timeout each, books them, and ends the thread."""
        if self._loop.is_closed():
            return
        try:
            asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._threads.shutdown()
            self._loop.close()

    async def _drain(self) -> None:
        here = asyncio.current_task()
        while others := [task for task in asyncio.all_tasks() if task is not here]:
            for task in others:
                if task not in self._leftovers:
                    task.cancel()
            await asyncio.wait(others)
        with suppress(PressroomError):
            await self._pacer.close()
        for provider in self.routes.providers():
            await provider.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def run(self, work: Coroutine[Any, Any, R]) -> R:
        """The result of `work`, done on the exchange's loop while the caller's own waits."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def run_now(self, work: Coroutine[Any, Any, R]) -> R:
        """The result of `work`, for which this thread, not the exchange's own, waits."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def answer(self, request: Request[T], scope: Scope, tally: Tally) -> Answer[T]:
        """The answer of the first model of the purpose's route that has or gives one; a booked one, of whichever, is never paid again."""
        route = self.routes.of(request.purpose)
        calls = [self._call(request, provider, route, scope, tally) for provider in route.providers]
        if len(calls) > 1 and (found := await self._found(calls)):
            return self._known(*found)
        for number, call in enumerate(calls, start=1):
            claim = await self._decided(call.entry)  # outside: a ledger that is away is no reason to pay another model
            try:
                return await self._answer(call, claim)
            except (Transient, Permanent) as error:
                if number == len(calls) or isinstance(error, NotBooked | BadInput):
                    raise
                self._say_who_stands_in(call.provider.model, calls[number].provider.model, error)
        raise AssertionError("a route has a provider")

    def _say_who_stands_in(self, model: str, other: str, error: Exception) -> None:
        """Once for all calls: an endpoint that is away is away for hundreds."""
        level = logging.DEBUG if (model, other) in self._stand_ins else logging.WARNING
        self._stand_ins.add((model, other))
        log.log(level, "%s does not answer, %s stands in: %s", model, other, error)

    def _call(self, request: Request[T], provider: Provider, route: Route, scope: Scope, tally: Tally) -> "_Call[T]":
        filled = dataclasses.replace(
            request,
            temperature=route.temperature if request.temperature is None else request.temperature,
            max_output_tokens=route.max_output_tokens if request.max_output_tokens is None else request.max_output_tokens,
        )
        return _Call(
            request=filled,
            provider=provider,
            entry=_entry(filled, request_document(filled, provider, scope), scope, provider),
            timeout_s=route.timeout_s or self.limits.timeout_s,
            scope=scope,
            tallies=(tally, self.tally),
            in_batch=bool(self._batcher and request.purpose not in NEVER_IN_BATCHES and provider.batches),
        )

    async def _found(self, calls: "list[_Call[T]]") -> "tuple[_Call[T], Booked | Batched] | None":
        """The first of these calls that is answered already, else the first that is in a batch."""
        found = await asyncio.to_thread(self.ledger.find, [call.key for call in calls])
        known = [(call, found[call.key]) for call in calls if call.key in found]
        return min(known, key=lambda each: isinstance(each[1], Batched), default=None)

    async def _answer(self, call: "_Call[T]", claim: Ours | Booked | Batched) -> Answer[T]:
        if not isinstance(claim, Ours):
            return self._known(call, claim)
        call.remote_id = claim.remote_id
        if call.in_batch and call.remote_id is None:
            await self._send_in_batch(call)
        call.in_batch = False
        return self._read(call, await self._pay(call), replayed=False)

    def _known(self, call: "_Call[T]", known: Booked | Batched) -> Answer[T]:
        """The booked answer. Raises Deferred for one that is on its way."""
        return self._replayed(call, known) if isinstance(known, Booked) else _defer(call, known.batch_id)

    def _replayed(self, call: "_Call[T]", booked: Booked) -> Answer[T]:
        for tally in call.tallies:
            tally.replayed += 1
        self._spent(call, booked.cost_usd)
        return self._read(call, booked, replayed=True)

    async def _decided(self, entry: Entry) -> Ours | Booked | Batched:
        """The booked answer, or the right to ask. While another process asks, this waits for its answer."""
        deadline, look = self._loop.time() + PATIENCE_S, FIRST_LOOK_S
        while (claim := await self._claim(entry)) == "busy":
            if self._loop.time() > deadline:
                raise Transient(f"another process has been asking {entry.purpose} for {entry.item} for more than {PATIENCE_S:.0f} s")
            await asyncio.sleep(look)
            look = min(2 * look, LONGEST_LOOK_S)
        return claim

    async def _claim(self, entry: Entry) -> Claim:
        claiming = self._keep(self._claims(entry))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            self._keep(self._give_back(claiming, entry))
            raise

    async def _give_back(self, claiming: "asyncio.Task[Claim]", entry: Entry) -> None:
        with suppress(PressroomError):
            if isinstance(await claiming, Ours):
                await self._fail(entry, "cancelled before it was asked", 0)

    async def _send_in_batch(self, call: "_Call[T]") -> NoReturn:
        """Lets a batch have the call. The most that it can cost stays reserved: that is what the run spends, whoever collects the batch."""
        assert self._batcher
        assert call.provider.batches
        try:
            await self._reserve(call)
            batch_id = await self._batcher.send(call.provider, call.provider.batches, call.request, call.key, call.scope)
        except asyncio.CancelledError:
            self._keep(self._release(call, "cancelled before it was asked"))
            raise
        except Exception as error:
            await asyncio.shield(self._keep(self._release(call, _line(error))))
            raise
        self.ledger.let_go(call.key)
        self._give_way()  # what a batch has reserved stays so: nobody waits for it
        _defer(call, batch_id)

    async def _pay(self, call: "_Call[T]") -> Booked:
        """Asks until there is an answer, books it. On every other way out the row says that there is none."""
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        policy = AsyncRetrying(
            stop=stop_after_attempt(self.limits.tries), wait=self._wait, retry=retry_if_exception(self._may_pass), reraise=True
        )
        asking: asyncio.Task[Booked] | None = None
        try:
            await self._reserve(call)
            async for attempt in policy:
                with attempt:
                    if lane := call.provider.lane:
                        # Endpoints count the input and the most that the output can be.
                        await self._pacer.turn(lane, call.site, call.largest.input + call.largest.output)
                    asking = self._keep(self._ask(call, lane))
                    return await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._keep(self._wind_up(call, asking))
            raise
        except Exception as error:
            await asyncio.shield(self._keep(self._release(call, _line(error))))
            raise
        raise AssertionError("the policy returns or raises")

    async def _ask(self, call: "_Call[T]", lane: str | None) -> Booked:
        """One try: what came is booked before anybody looks at it. Nothing cancels this."""
        call.attempts += 1
        raw = await self._send(call, lane)
        cost = call.provider.price(raw.usage) if raw.usage else None
        self._settle(call, cost)
        self._spent(call, cost)
        for tally in call.tallies:
            tally.paid += 1
            tally.unpriced += cost is None
            tally.cost_usd += cost or 0
            tally.input_tokens += raw.usage.input if raw.usage else 0
            tally.output_tokens += raw.usage.output if raw.usage else 0
        try:
            return await self._bills(Bill(call.key, Booked(raw.body, raw.usage or Usage(), cost), call.attempts))
        except Transient as error:
            raise NotBooked(f"an answer that was paid could not be booked: {error}") from error

    async def _send(self, call: "_Call[T]", lane: str | None) -> RawAnswer:
        """One try at the endpoint; the lane is told what became of it."""
        began = time.monotonic()

        async def keep(remote_id: str | None) -> None:
            call.remote_id = remote_id  # first: where the ledger is away, the next try here asks for this answer all the same
            await self._remembered((call.key, remote_id))

        try:
            async with asyncio.timeout(call.timeout_s):
                raw = await call.provider.send(call.request, Ticket(call.remote_id, keep))
        except BaseException as error:
            if lane:
                retry_after = error.retry_after if isinstance(error, Transient) else None
                self._pacer.failed(lane, call.site, since=_failing_since(error, call, began), retry_after=retry_after)
            if isinstance(error, TimeoutError):
                raise Transient(f"no answer from {call.provider.model} within {call.timeout_s:g} s") from None
            raise
        if lane:
            self._pacer.answered(lane, call.site, raw.quotas)
        return raw

    async def _wind_up(self, call: "_Call[T]", asking: "asyncio.Task[Booked] | None") -> None:
        """After the asker has gone: an answer on its way is still booked; without one the row is given back."""
        if asking:
            await asyncio.wait([asking])
        if asking is None or asking.exception():
            await self._release(call, "cancelled")

    async def _release(self, call: "_Call[T]", error: str) -> None:
        self._settle(call, Decimal(0))
        await self._fail(call.entry, error, call.attempts)

    async def _fail(self, entry: Entry, error: str, attempts: int) -> None:
        try:
            await asyncio.to_thread(self.ledger.fail, entry.request_hash, error, attempts=attempts)
        except PressroomError as lost:
            # The row stays pending; this process, or the next one once this is gone, takes it over.
            log.warning("call %s: could not say that it failed: %s", entry.request_hash[:12], lost)

    async def _reserve(self, call: "_Call[T]") -> None:
        """Refuses before anything is spent. What all answers for one item cost is counted from the ledger: a re-run comes to the same.

        Where only what is in flight stands in the way, this waits: it costs less than the most that was set aside for it.
        """
        spent, limit = self._spent_on[call.site, call.request.item], self.limits.item_usd
        if limit is not None and spent + (call.charge.most or 0) > limit:
            figures = f"{spent:.4f} spent, up to {call.charge.most or 0:.4f} for this call"
            raise OverBudget(f"the limit of {limit} USD for one item would be passed for {call.request.item}: {figures}")
        while self.budget:
            try:
                self.budget.reserve(call.charge)
            except OverBudget:
                if not self._reserved:
                    raise
                await self._settled.wait()
            else:
                call.reserved = True
                self._reserved += 1
                return

    def _give_way(self) -> None:
        """One reservation less that ends by itself: whoever waits looks again."""
        self._reserved -= 1
        self._settled.set()
        self._settled = asyncio.Event()

    def _settle(self, call: "_Call[T]", cost: Decimal | None) -> None:
        if self.budget and call.reserved:
            call.reserved = False
            self.budget.settle(call.charge, cost)
            self._give_way()

    def _spent(self, call: "_Call[T]", cost: Decimal | None) -> None:
        self._spent_on[call.site, call.request.item] += (call.charge.most or 0) if cost is None else cost

    def _wait(self, state: "RetryCallState") -> float:
        """Seconds before the next try: a random part of a wait that doubles, after what the other side asked for."""
        from tenacity import wait_random_exponential

        error = state.outcome.exception() if state.outcome else None
        asked_for = error.retry_after if isinstance(error, Transient) else None
        return (asked_for or 0.0) + wait_random_exponential(self.limits.first_wait_s, max=self.limits.longest_wait_s)(state)

    def _may_pass(self, error: BaseException) -> bool:
        """Whether another try may help; a wait longer than the longest is left to the op's retry."""
        if not isinstance(error, Transient) or isinstance(error, NotBooked | Unreachable):
            return False
        return (error.retry_after or 0) <= self.limits.longest_wait_s

    def _keep(self, work: Coroutine[Any, Any, R]) -> "asyncio.Task[R]":
        """A task that lives on when its asker goes, and that `close` waits for."""
        task = self._loop.create_task(work)
        self._leftovers.add(task)
        task.add_done_callback(self._leftovers.discard)
        return task

    def _read(self, call: "_Call[T]", booked: Booked, *, replayed: bool) -> Answer[T]:
        outcome, text, problem = call.provider.read(booked.body)
        value = None
        if outcome == "valid":
            try:
                value = call.request.answer.model_validate_json(_mended(text))
            except ValidationError as error:
                outcome, problem = "invalid", _first(error)
        return Answer(
            outcome=outcome,
            value=value,
            text=text,
            call=call.key,
            model=call.provider.model,
            replayed=replayed,
            usage=booked.usage,
            cost_usd=booked.cost_usd,
            problem=problem,
        )


@dataclass
class Gateway:
    """What one asset asks of models, and the tally of it."""

    exchange: Exchange
    scope: Scope
    tally: Tally = field(default_factory=Tally)

    async def ask(self, request: Request[T]) -> Answer[T]:
        """The answer, booked: from the ledger if it is there, else from the model.

        An answer that cannot be used is an answer too: `outcome` and `problem` say why. Raises Transient when no answer came after
        all tries, Permanent when none can come, OverBudget when the money for it is not there, Deferred when it went out in a batch.
        """
        return await self.exchange.run(self.exchange.answer(request, self.scope, self.tally))

    def ask_now(self, request: Request[T]) -> Answer[T]:
        """As `ask`, for a thread without an event loop: it blocks until the answer is there."""
        return self.exchange.run_now(self.exchange.answer(request, self.scope, self.tally))


def _entry(request: Request[T], document: dict[str, JsonValue], scope: Scope, provider: Provider) -> Entry:
    return Entry(
        request_hash=request_hash(document),
        account_id=scope.account_id,
        site_id=scope.site_id,
        purpose=request.purpose,
        item=request.item,
        generation=scope.generation_of(request.item),
        prompt_id=request.prompt_id,
        prompt_version=request.prompt_version,
        provider=provider.name,
        model=provider.model,
        request=document,
        asset=scope.asset,
        run_id=scope.run_id,
    )


def _defer(call: _Call[Any], batch_id: UUID) -> NoReturn:
    raise Deferred(f"the answer for {call.request.item} is on its way in batch {batch_id}, which is not collected yet")


def _failing_since(error: BaseException, call: "_Call[Any]", began: float) -> float | None:
    """Since when this speaks against the endpoint's health; None: it does not. A reset says nothing of the seconds before it, and an
    answer that is made in the background may take its time."""
    if isinstance(error, TimeoutError):
        return None if call.remote_id else began
    return time.monotonic() if isinstance(error, Transient) and not isinstance(error, Throttled) else None


def _mended(text: str) -> str:
    """JSON without what no column of text takes: zero characters and halves of surrogate pairs, which only escapes can write."""
    if "\\u" not in text:
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace").decode().replace("\\u0000", "\\ufffd")
    except (ValueError, RecursionError):
        return text


def _first(error: ValidationError) -> str:
    """The first thing that is wrong with an answer, without the answer's own words."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))[:80]
    return f"{where}: {first['msg']}"[:300] if where else f"{first['msg']}"[:300]


def _line(error: Exception) -> str:
    """An error for the ledger: ours are one clear line, of others only the kind, because their words may hold a prompt."""
    return str(error) if isinstance(error, PressroomError) else type(error).__name__
