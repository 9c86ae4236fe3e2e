"""Processes for untrusted work: whatever one does, it costs one answer."""

import asyncio

import psutil
import pytest
from pydantic import JsonValue

from pressroom.inference.child import MOST_LOST, Child, Lost, answer_all

FRAIL = "tests.inference.looking:frail"


def ask(
    *requests: JsonValue, workers: int = 1, setup: JsonValue = None, deadline_s: float = 20
) -> tuple[list[JsonValue | Lost], list[int]]:
    seen: list[int] = []
    answers = asyncio.run(
        answer_all(
            FRAIL, setup, requests, workers=workers, deadline_s=lambda index: deadline_s, progress=lambda done, total: seen.append(done)
        )
    )
    return answers, seen


def echoes(answers: list[JsonValue | Lost]) -> list[object]:
    return [answer if isinstance(answer, Lost) else answer["echo"] for answer in answers]  # type: ignore[call-overload, index]


def children() -> list[psutil.Process]:
    """The processes that this room has started; other tests of this process have theirs."""
    return [child for child in psutil.Process().children() if any("inference.child" in word for word in child.cmdline())]


def test_answers_come_in_the_order_of_their_requests_and_each_is_counted() -> None:
    answers, seen = ask(*range(6), workers=2)
    assert echoes(answers) == [0, 1, 2, 3, 4, 5]
    assert seen == [1, 2, 3, 4, 5, 6]


def test_a_process_that_dies_costs_its_answer_and_the_next_gets_a_new_one() -> None:
    answers, seen = ask("a", "die", "b")
    assert echoes(answers) == ["a", Lost("the process died", fatal=True), "b"]
    assert answers[0]["pid"] != answers[2]["pid"]  # type: ignore[call-overload, index]
    assert seen == [1, 2, 3], "a lost answer is done as well: the bar reaches its end"


def test_a_process_that_hangs_is_killed_at_its_deadline() -> None:
    answers, _ = ask("hang", "b", deadline_s=2)
    assert echoes(answers) == [Lost("no answer within 2 s", fatal=True), "b"]
    assert not children(), "nothing is left running"


def test_an_exception_costs_its_answer_and_the_process_goes_on() -> None:
    answers, _ = ask("a", "raise", "b")
    assert answers[1] == Lost("ValueError: bad picture")
    assert answers[0]["pid"] == answers[2]["pid"]  # type: ignore[call-overload, index]


def test_what_a_library_prints_does_not_garble_the_answers() -> None:
    assert echoes(ask("print", "b")[0]) == ["print", "b"]


def test_a_model_that_cannot_be_loaded_fails_every_answer_with_its_reason() -> None:
    answers, _ = ask("a", "b", setup="cannot load")
    assert answers == [Lost("FileNotFoundError: there is no model", fatal=True)] * 2


def test_after_five_lost_processes_the_rest_is_given_up() -> None:
    answers, _ = ask(*["die"] * MOST_LOST, "a")
    assert answers[-1] == Lost("given up after other failures")


def test_a_cancelled_run_takes_its_processes_with_it() -> None:
    async def cancelled() -> None:
        child = Child(FRAIL, None)
        assert not isinstance(await child.ask("a", deadline_s=20), Lost)
        waiting = asyncio.create_task(child.ask("hang", deadline_s=600))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cancelled())
    assert not children()
