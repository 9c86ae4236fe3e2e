"""The turns of one process: its calls wait here until the pace that all processes keep lets them go."""

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from pressroom.errors import Throttled, Transient, Unreachable
from pressroom.llm.pace import Decision, Lane, Report, Rules, grant, record
from pressroom.llm.types import Quotas
from pressroom.store.lanes import Demand, LaneBook

GATHER_S = 0.005  # calls that come at the same time ask together: a turn at the database takes some 2 ms
TELL_S = 0.2  # what has ended is told after this time, when nothing else is to be asked
AGAIN_S = 1.0  # after a database that was away: its store tried for 15 s before it said so


class Pacer:
    """Lets calls go, one lane at a time. Everything but the constructor runs on one event loop."""

    def __init__(self, book: LaneBook, rules: Rules) -> None:
        self._book = book
        self._rules = rules
        self._lanes: dict[str, _OwnLane] = {}
        # Behind the ledger's statements of hundreds of calls that begin together, the first of them would wait for its turn until the last
        # is entered.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pressroom pace")

    async def turn(self, lane: str, site: str, tokens: int) -> None:
        """Returns when the call may go; `answered` or `failed` must follow.

        Raises Unreachable while the endpoint is left alone, Throttled when it asked for a pause of more than a minute, Transient when
        the database does not answer.
        """
        await self._lane(lane).turn(site, tokens)

    def answered(self, lane: str, site: str, quotas: Quotas) -> None:
        """The endpoint gave an answer, whatever it is worth."""
        self._lane(lane).end(site, Report(answered=1, requests=quotas.requests, tokens=quotas.tokens))

    def failed(self, lane: str, site: str, *, since: float | None = None, retry_after: float | None = None) -> None:
        """No answer came. `since`: from when, by `time.monotonic()`, this speaks against the endpoint's health; None: it does not."""
        failure = Report() if since is None else Report(failed=1, oldest_s=time.monotonic() - since)
        self._lane(lane).end(site, failure.then(Report(retry_after=retry_after)))

    async def close(self) -> None:
        """Ends when everything is told."""
        try:
            await asyncio.gather(*(own.close() for own in self._lanes.values()), return_exceptions=True)
            if self._lanes:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._book.leave)
        finally:
            self._thread.shutdown(wait=False)

    def _lane(self, name: str) -> "_OwnLane":
        if name not in self._lanes:
            self._lanes[name] = _OwnLane(name, self._book, self._rules, self._thread)
        return self._lanes[name]


class _OwnLane:
    """What this process has on one lane, and the task that asks for its turns while there is something to ask or tell."""

    def __init__(self, name: str, book: LaneBook, rules: Rules, thread: Executor) -> None:
        self.name = name
        self._report = Report()
        self._book = book
        self._rules = rules
        self._thread = thread
        self._queues: defaultdict[str, deque[tuple[int, asyncio.Future[None]]]] = defaultdict(deque)
        self._in_flight: Counter[str] = Counter()
        self._told: dict[str, tuple[int, int]] = {}  # in flight and waiting by site, as the others know it
        self._asked = asyncio.Event()  # a call has come that waits
        self._changed = asyncio.Event()  # that, or one has ended
        self._task: asyncio.Task[None] | None = None

    async def turn(self, site: str, tokens: int) -> None:
        granted = asyncio.get_running_loop().create_future()
        self._queues[site].append((tokens, granted))
        self._asked.set()
        self._wake()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and not granted.exception():
                self.end(site, Report())  # its turn came in the moment in which its asker went
            raise

    def end(self, site: str, seen: Report) -> None:
        self._in_flight[site] -= 1
        self._report = self._report.then(seen)
        self._wake()

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        if not self._report.is_empty:
            await self._ask([], self._report)

    def _wake(self) -> None:
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._keep_pace())
            self._task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Tells those who wait why nobody asks for their turns any more."""
        if not task.cancelled() and (error := task.exception()):
            self._refuse(error)

    async def _keep_pace(self) -> None:
        """Asks while somebody waits, and tells until all is told."""
        while self._waits() or self._told != self._has():  # a report comes with a call that ended, and that changes what it has
            await self._gather()
            wants, report, self._report = self._wants(), self._report, Report()
            try:
                decision = await self._ask(wants, report)
            except Transient as error:  # the database is away: those who wait do not wait for that, and the others must be told later
                self._report = report.then(self._report)
                self._refuse(error)
                await asyncio.sleep(AGAIN_S)
                continue
            self._let_go(wants, decision)
            if self._waits():
                await _wait_for(self._changed, decision.again_in)

    async def _gather(self) -> None:
        if not self._waits():
            await _wait_for(self._asked, TELL_S)
        self._asked.clear()
        self._changed.clear()
        await asyncio.sleep(GATHER_S)

    def _waits(self) -> bool:
        for queue in self._queues.values():
            while queue and queue[0][1].done():
                queue.popleft()
        return any(self._queues.values())

    def _wants(self) -> list[Demand]:
        waiting = {site: [tokens for tokens, granted in queue if not granted.done()] for site, queue in self._queues.items()}
        sites = {site for site, tokens in waiting.items() if tokens} | (+self._in_flight).keys() | self._told.keys()
        return [Demand(site, self._in_flight[site], len(tokens := waiting.get(site, [])), tokens) for site in sorted(sites)]

    def _has(self) -> dict[str, tuple[int, int]]:
        return _counts(self._wants())

    async def _ask(self, wants: Sequence[Demand], report: Report) -> Decision:
        def decide(state: dict[str, Any], others: Sequence[Demand], now: float) -> tuple[dict[str, Any], list[Demand], Decision]:
            lane, decision = grant(record(Lane.of(state), report, now), wants, others, self._rules, now)
            return lane.model_dump(mode="json", exclude_defaults=True), [_after(want, decision) for want in wants], decision

        return await asyncio.get_running_loop().run_in_executor(self._thread, self._book.turn, self.name, decide)

    def _let_go(self, wants: Sequence[Demand], decision: Decision) -> None:
        self._told = _counts([_after(want, decision) for want in wants])
        for site, count in decision.granted.items():
            self._in_flight[site] += count
            for _ in range(count):
                if not self._grant_next(site):
                    self._in_flight[site] -= 1  # its asker went meanwhile
        if decision.closed_for:
            seconds = decision.closed_for
            reason = f"the endpoint of {self.name} has failed {decision.failures} times in a row: it is left alone for {seconds:.0f} s"
            self._refuse(Unreachable(reason, retry_after=seconds))
        elif decision.paused_for:
            seconds = decision.paused_for
            self._refuse(
                Throttled(f"the endpoint of {self.name} asked for a pause that lasts another {seconds:.0f} s", retry_after=seconds)
            )

    def _grant_next(self, site: str) -> bool:
        queue = self._queues[site]
        while queue:
            _, granted = queue.popleft()
            if not granted.done():
                granted.set_result(None)
                return True
        return False

    def _refuse(self, error: BaseException) -> None:
        for queue in self._queues.values():
            while queue:
                _, granted = queue.popleft()
                if not granted.done():
                    granted.set_exception(error)


def _after(want: Demand, decision: Decision) -> Demand:
    """What this process has once its granted calls are in flight."""
    granted = decision.granted.get(want.site, 0)
    return Demand(want.site, want.in_flight + granted, want.waiting - granted, want.tokens[granted:])


def _counts(demands: Sequence[Demand]) -> dict[str, tuple[int, int]]:
    """Calls in flight and waiting, by site."""
    return {demand.site: (demand.in_flight, demand.waiting) for demand in demands if demand.in_flight or demand.waiting}


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event comes, or after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
