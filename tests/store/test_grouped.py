"""Group commit by itself: what goes together, in which order, and whose an error is."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from pressroom.errors import Permanent, Transient
from pressroom.store.grouped import MOST, Grouped


def asked_for(work: Callable[[Sequence[int]], Sequence[int] | None], numbers: Sequence[int]) -> list[int | BaseException]:
    async def ask() -> list[int | BaseException]:
        grouped = Grouped(work)
        return await asyncio.gather(*map(grouped, numbers), return_exceptions=True)

    return asyncio.run(ask())


def test_what_comes_together_is_done_together_and_each_gets_its_own_result() -> None:
    groups: list[list[int]] = []

    def squares(numbers: Sequence[int]) -> list[int]:
        assert threading.current_thread() is not threading.main_thread(), "the event loop would stand still"
        groups.append(list(numbers))
        return [number**2 for number in numbers]

    numbers = range(2 * MOST + 10)
    assert asked_for(squares, numbers) == [number**2 for number in numbers]
    assert list(map(len, groups)) == [MOST, MOST, 10]


def test_what_comes_while_work_is_under_way_waits_for_the_next_group() -> None:
    groups: list[list[str]] = []
    is_at_work, go_on = threading.Event(), threading.Event()

    def work(names: Sequence[str]) -> None:
        groups.append(list(names))
        is_at_work.set()
        assert go_on.wait(10)

    async def ask() -> None:
        grouped: Grouped[str, None] = Grouped(work)
        first = asyncio.create_task(grouped("first"))
        await asyncio.to_thread(is_at_work.wait, 10)
        others = [asyncio.create_task(grouped(name)) for name in ("second", "third")]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *others)
        assert await grouped("fourth") is None

    asyncio.run(ask())
    assert groups == [["first"], ["second", "third"], ["fourth"]]


def test_what_is_wrong_with_one_is_no_error_of_anothers() -> None:
    def work(numbers: Sequence[int]) -> Sequence[int]:
        if 3 in numbers:
            raise Permanent("three is too large")
        return numbers

    *others, third = asked_for(work, [1, 2, 4, 3])
    assert others == [1, 2, 4]
    assert isinstance(third, Permanent)


def test_what_may_pass_is_said_to_all_at_once() -> None:
    tries: list[int] = []

    def work(numbers: Sequence[int]) -> None:
        tries.append(len(numbers))
        raise Transient("the database does not answer")

    assert {str(error) for error in asked_for(work, [1, 2, 3])} == {"the database does not answer"}
    assert tries == [3], "each store has tried for 15 s before it says so"


def test_who_stops_waiting_stops_nobody_elses_work() -> None:
    done: list[int] = []
    go_on = threading.Event()

    def work(numbers: Sequence[int]) -> None:
        assert go_on.wait(10)
        done.extend(numbers)

    async def ask() -> None:
        grouped: Grouped[int, None] = Grouped(work)
        gone, other = asyncio.create_task(grouped(1)), asyncio.create_task(grouped(2))
        await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        go_on.set()
        await other

    asyncio.run(ask())
    assert done == [1, 2]


def test_whatever_goes_wrong_with_the_work_nobody_waits_for_ever() -> None:
    def too_few(numbers: Sequence[int]) -> list[int]:
        return []

    class Leaving(BaseException):
        """As Dagster's own for a run that is terminated."""

    def leaving(numbers: Sequence[int]) -> None:
        raise Leaving

    assert {type(error) for error in asked_for(too_few, [1, 2])} == {ValueError}, "no result is not None for all"
    assert {type(error) for error in asked_for(leaving, [1, 2])} == {Leaving}
