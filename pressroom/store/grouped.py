"""Group commit: what is asked for while a statement is under way goes into the next one, all of it together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar, cast

from pressroom.errors import Transient

A = TypeVar("A")
B = TypeVar("B")

MOST = 50  # at once: they take 5 to 10 ms, and nobody should wait longer behind others


class Grouped(Generic[A, B]):
    """Calls `work` in a thread, once at a time, with all that was asked for meanwhile. For one event loop.

    `work` returns a result for each, in their order, or nothing, and must be safe to repeat: a group that fails is done one by one, so
    that what is wrong with one is no error of another's. Whoever stops waiting does not stop the work.
    """

    def __init__(self, work: Callable[[Sequence[A]], Sequence[B] | None]) -> None:
        self._work = work
        self._waiting: deque[tuple[A, asyncio.Future[B]]] = deque()
        self._is_at_work = False

    async def __call__(self, asked: A) -> B:
        loop = asyncio.get_running_loop()
        result: asyncio.Future[B] = loop.create_future()
        self._waiting.append((asked, result))
        if not self._is_at_work:
            self._is_at_work = True
            loop.call_soon(self._begin, loop)  # soon: with all that come in the same turn of the loop
        return await result

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        group = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        self._is_at_work = bool(group)
        if group:
            working = loop.run_in_executor(None, self._results, [asked for asked, _ in group])
            working.add_done_callback(partial(self._end, loop, [result for _, result in group]))

    def _end(
        self, loop: asyncio.AbstractEventLoop, group: "list[asyncio.Future[B]]", working: "asyncio.Future[list[B | Exception]]"
    ) -> None:
        error = working.exception()
        results = [error] * len(group) if error else working.result()
        for future, result in zip(group, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._begin(loop)

    def _results(self, group: Sequence[A]) -> list[B | Exception]:
        try:
            results = self._work(group)
            if results is None:
                results = cast("list[B]", [None] * len(group))
            return [result for _, result in zip(group, results, strict=True)]
        except Exception as error:  # noqa: BLE001 - those who wait get it
            if len(group) == 1 or isinstance(error, Transient):
                return [error] * len(group)
        return [result for one in group for result in self._results([one])]
