"""The way to a model: each request goes through the ledger, so that it is paid once, booked before it is read, and replayed ever after.

`Exchange` is one for a run: its provider, its limits and an event loop in a thread of its own. The assets of a run have a loop each;
on the exchange's they share one client, one count of calls in flight, and an answer on its way is booked although its asker has gone.
`Gateway` is what an asset asks.
"""

import asyncio
import json
import logging
import random
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from pydantic import JsonValue, ValidationError

from pressroom.errors import PressroomError, Transient
from pressroom.llm.hashing import request_document, request_hash
from pressroom.llm.types import Answer, Budget, Limits, Provider, Request, Scope, T
from pressroom.records import Tally
from pressroom.store.calls import Booked, Claim, Entry, Ledger

if TYPE_CHECKING:
    from tenacity import RetryCallState

log = logging.getLogger(__name__)

R = TypeVar("R")

# Ledger statements take milliseconds: eight threads carry hundreds of calls, within the twenty connections of a store.
LEDGER_THREADS = 8
FIRST_LOOK_S, LONGEST_LOOK_S = 0.05, 0.5  # how often to look whether another process has the answer
# Another process is done with a call after its tries and waits; ten minutes leave room for a queue of five hundred before it.
PATIENCE_S = 600.0


class NotBooked(Transient):
    """An answer came and was paid, and the database was not there to take it: asking at once again would pay again."""


@dataclass
class _Call(Generic[T]):
    """One claimed request on its way."""

    request: Request[T]
    entry: Entry
    tallies: tuple[Tally, ...]
    most: Decimal | None = None
    attempts: int = 0
    reserved: bool = False


class Exchange:
    """All model calls of a run, in one place. Close it: what is on its way is booked first."""

    def __init__(self, provider: Provider, ledger: Ledger, *, limits: Limits | None = None, budget: Budget | None = None) -> None:
        self.provider = provider
        self.ledger = ledger
        self.limits = limits or Limits()
        self.budget = budget
        self.tally = Tally()
        self._threads = ThreadPoolExecutor(LEDGER_THREADS, thread_name_prefix="pressroom ledger")
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(self._threads)
        self._thread = threading.Thread(target=self._loop.run_forever, name="pressroom exchange", daemon=True)
        self._thread.start()
        self._slots = asyncio.Semaphore(self.limits.in_flight)
        self._leftovers: set[asyncio.Task[Any]] = set()

    def gateway(self, scope: Scope) -> "Gateway":
        """The gateway of one asset. All gateways of an exchange share its limits and its budget."""
        return Gateway(self, scope)

    def warm_up(self) -> None:
        """Begins to load what the first call will need, and returns at once."""
        self._threads.submit(self._load)

    def _load(self) -> None:
        import tenacity.asyncio  # noqa: F401

        self.provider.warm_up()

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
        await self.provider.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def run(self, work: Coroutine[Any, Any, R]) -> R:
        """The result of `work`, done on the exchange's loop while the caller's own waits."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def answer(self, request: Request[T], scope: Scope, tally: Tally) -> Answer[T]:
        document = request_document(request, self.provider, scope)
        entry = _entry(request, document, scope, self.provider)
        tallies = (tally, self.tally)
        claim = await self._decided(entry)
        if isinstance(claim, Booked):
            for each in tallies:
                each.replayed += 1
            return self._read(request, entry, claim, replayed=True)
        return self._read(request, entry, await self._pay(_Call(request, entry, tallies)), replayed=False)

    async def _decided(self, entry: Entry) -> Claim:
        """The booked answer, or "ours". While another process asks, this waits for its answer."""
        deadline, look = self._loop.time() + PATIENCE_S, FIRST_LOOK_S
        while (claim := await self._claim(entry)) == "busy":
            if self._loop.time() > deadline:
                raise Transient(f"another process has been asking {entry.purpose} for {entry.item} for more than {PATIENCE_S:.0f} s")
            await asyncio.sleep(look)
            look = min(2 * look, LONGEST_LOOK_S)
        return claim

    async def _claim(self, entry: Entry) -> Claim:
        claiming = self._keep(asyncio.to_thread(self.ledger.claim, entry))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            self._keep(self._give_back(claiming, entry))
            raise

    async def _give_back(self, claiming: "asyncio.Task[Claim]", entry: Entry) -> None:
        with suppress(PressroomError):
            if await claiming == "ours":
                await self._fail(entry, "cancelled before it was asked", 0)

    async def _pay(self, call: "_Call[T]") -> Booked:
        """Asks until there is an answer, books it. On every other way out the row says that there is none."""
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        policy = AsyncRetrying(
            stop=stop_after_attempt(self.limits.tries), wait=self._wait, retry=retry_if_exception(self._may_pass), reraise=True
        )
        asking: asyncio.Task[Booked] | None = None
        try:
            self._reserve(call)
            async for attempt in policy:
                with attempt:
                    async with self._slots:
                        asking = self._keep(self._ask(call))
                        return await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._keep(self._wind_up(call, asking))
            raise
        except Exception as error:
            await asyncio.shield(self._keep(self._release(call, _line(error))))
            raise
        raise AssertionError("the policy returns or raises")

    async def _ask(self, call: "_Call[T]") -> Booked:
        """One try: what came is booked before anybody looks at it. Nothing cancels this."""
        call.attempts += 1
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                raw = await self.provider.send(call.request)
        except TimeoutError:
            raise Transient(f"no answer from {self.provider.model} within {self.limits.timeout_s:g} s") from None
        cost = self.provider.price(raw.usage) if raw.usage else None
        self._settle(call, cost)
        for tally in call.tallies:
            tally.paid += 1
            tally.unpriced += cost is None
            tally.cost_usd += cost or 0
            tally.input_tokens += raw.usage.input if raw.usage else 0
            tally.output_tokens += raw.usage.output if raw.usage else 0
        try:
            key = call.entry.request_hash
            return await asyncio.to_thread(self.ledger.book, key, raw.body, raw.usage, cost, attempts=call.attempts)
        except Transient as error:
            raise NotBooked(f"an answer that was paid could not be booked: {error}") from error

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

    def _reserve(self, call: "_Call[T]") -> None:
        if self.budget:
            call.most = self.provider.price(self.provider.largest(call.request))
            self.budget.reserve(call.most, self.provider.model)
            call.reserved = True

    def _settle(self, call: "_Call[T]", cost: Decimal | None) -> None:
        if self.budget and call.reserved:
            call.reserved = False
            self.budget.settle(call.most, cost)

    def _wait(self, state: "RetryCallState") -> float:
        """Seconds before the next try: what the other side asked for, else the table's, with jitter: fifteen must not come at once."""
        waits = self.limits.waits
        base = waits[min(state.attempt_number, len(waits)) - 1] if waits else 0.0
        error = state.outcome.exception() if state.outcome else None
        asked_for = error.retry_after if isinstance(error, Transient) else None
        return (base if asked_for is None else asked_for) + random.uniform(0, base / 2)

    def _may_pass(self, error: BaseException) -> bool:
        """Whether another try may help; a wait longer than the longest is left to the op's retry."""
        if not isinstance(error, Transient) or isinstance(error, NotBooked):
            return False
        return (error.retry_after or 0) <= self.limits.longest_wait_s

    def _keep(self, work: Coroutine[Any, Any, R]) -> "asyncio.Task[R]":
        """A task that lives on when its asker goes, and that `close` waits for."""
        task = self._loop.create_task(work)
        self._leftovers.add(task)
        task.add_done_callback(self._leftovers.discard)
        return task

    def _read(self, request: Request[T], entry: Entry, booked: Booked, *, replayed: bool) -> Answer[T]:
        outcome, text, problem = self.provider.read(booked.body)
        value = None
        if outcome == "valid":
            try:
                value = request.answer.model_validate_json(_mended(text))
            except ValidationError as error:
                outcome, problem = "invalid", _first(error)
        return Answer(
            outcome=outcome,
            value=value,
            text=text,
            call=entry.request_hash,
            model=self.provider.model,
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
        all tries, Permanent when none can come, OverBudget when the money for it is not there.
        """
        return await self.exchange.run(self.exchange.answer(request, self.scope, self.tally))


def _entry(request: Request[T], document: dict[str, JsonValue], scope: Scope, provider: Provider) -> Entry:
    return Entry(
        request_hash=request_hash(document),
        account_id=scope.account_id,
        site_id=scope.site_id,
        purpose=request.purpose,
        item=request.item,
        generation=scope.generation,
        prompt_id=request.prompt_id,
        prompt_version=request.prompt_version,
        provider=provider.name,
        model=provider.model,
        request=document,
        asset=scope.asset,
        run_id=scope.run_id,
    )


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
