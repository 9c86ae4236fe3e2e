"""What processes tell each other of a lane: one after the other, by one clock, and only while they live."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
import sqlalchemy as sa

from pressroom.store import lanes
from pressroom.store.engine import Store
from pressroom.store.lanes import Demand, LaneBook, lane_states
from pressroom.store.locks import OwnerLock

LANE = "127.0.0.1:8081/gpt-4.1-mini"
State = dict[str, Any]


@pytest.fixture
def book(store: Store) -> Iterator[Callable[[], LaneBook]]:
    """Makes the book of one process: each with an owner of its own."""
    with ExitStack() as stack:
        yield lambda: LaneBook(store, stack.enter_context(OwnerLock(store)))


def say(book: LaneBook, *demands: Demand, lane: str = LANE) -> list[Demand]:
    """Tells what the process has, and returns what it is told of the others."""

    def decide(state: State, others: Sequence[Demand], now: float) -> tuple[State, Sequence[Demand], list[Demand]]:
        return state, demands, list(others)

    return book.turn(lane, decide)


def rows(store: Store) -> int:
    with store.transaction() as session:
        return session.scalar(sa.text("SELECT count(*) FROM model_demands")) or 0


def test_all_decide_one_after_the_other_on_what_the_one_before_left_and_by_one_clock(store: Store, book: Callable[[], LaneBook]) -> None:
    backwards = []

    def count(state: State, others: Sequence[Demand], now: float) -> tuple[State, Sequence[Demand], None]:
        if now < state.get("at", 0.0):
            backwards.append(state["at"] - now)
        return {"count": state.get("count", 0) + 1, "at": now}, [Demand("harbour", 1)], None

    def work(own: LaneBook) -> None:
        for _ in range(20):
            own.turn(LANE, count)

    threads = [threading.Thread(target=work, args=(book(),)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.transaction() as session:
        states, now = lane_states(session)
    assert states[LANE]["count"] == 100
    assert not backwards, "a turn was given an earlier time than the one before it"
    assert 0 <= now - states[LANE]["at"] < 60


def test_each_is_told_of_the_others_and_never_of_itself(book: Callable[[], LaneBook]) -> None:
    here, there = book(), book()
    assert say(here, Demand("harbour", 2, 3, [700, 20, 9]), Demand("", 1)) == []
    assert sorted(say(there, Demand("harbour", 4)), key=lambda each: each.site) == [
        Demand("", 1, 0, (0,)),
        Demand("harbour", 2, 3, (700,)),
    ], "the tokens are those of the call that goes next"
    assert say(here, Demand("harbour", 5)) == [Demand("harbour", 4, 0, (0,))]


def test_what_is_over_is_not_seen_and_leaves_no_row(store: Store, book: Callable[[], LaneBook]) -> None:
    here, there = book(), book()
    say(here, Demand("harbour", 2), Demand("pier", 1))
    say(here, Demand("harbour", 0), Demand("pier", 1, 1, [5]))
    assert say(there) == [Demand("pier", 1, 1, (5,))]
    say(here, Demand("pier", 3), lane="another lane")
    here.leave()
    assert rows(store) == 0


def test_lanes_do_not_mix(book: Callable[[], LaneBook]) -> None:
    here, there = book(), book()
    say(here, Demand("harbour", 2), lane="one model")
    assert say(there, lane="another model") == []
    assert say(there, lane="one model") == [Demand("harbour", 2, 0, (0,))]


def test_a_turn_that_fails_leaves_the_lane_as_it_was_and_free(book: Callable[[], LaneBook]) -> None:
    here, there = book(), book()
    here.turn(LANE, lambda state, others, now: ({"count": 1}, [], None))

    def stumble(state: State, others: Sequence[Demand], now: float) -> tuple[State, Sequence[Demand], None]:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        there.turn(LANE, stumble)
    assert there.turn(LANE, lambda state, others, now: (state, [], state)) == {"count": 1}


def test_a_process_that_is_gone_gives_its_places_back_but_not_at_the_first_sight(store: Store, book: Callable[[], LaneBook]) -> None:
    """While its database restarts, a living process looks dead for up to a second: its calls are in flight all the same."""
    here = book()
    gone = OwnerLock(store)
    say(LaneBook(store, gone), Demand("harbour", 4, 9, [100]))
    gone.close()
    assert say(here) == [Demand("harbour", 4, 9, (100,))]
    deadline = time.monotonic() + 30
    while say(here):
        assert time.monotonic() < deadline, "the places of a dead process are lost"
        time.sleep(0.1)
    assert rows(store) == 0


def test_a_living_process_keeps_its_places_over_a_restart_of_the_database(store: Store, book: Callable[[], LaneBook]) -> None:
    here, there = book(), book()
    say(here, Demand("harbour", 4))
    with store.transaction() as session:  # what a restart does to the sessions that hold locks
        session.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    began = time.monotonic()
    while time.monotonic() - began < lanes.DEAD_FOR_S + 1:
        assert say(there) == [Demand("harbour", 4, 0, (0,))]
        time.sleep(0.05)


def test_a_process_that_was_stopped_holds_nobody_up_with_what_it_waits_for(
    book: Callable[[], LaneBook], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop that sleeps, a debugger: it lives, and never comes for what is left to it."""
    monkeypatch.setattr(lanes, "SILENT_S", 0.3)
    here, stopped = book(), book()
    want = Demand("pier", 2, 5, (900,))
    say(stopped, want)
    assert say(here) == [want]
    time.sleep(0.4)
    assert say(here) == [Demand("pier", 2, 0, (900,))], "what it has in flight still counts"
    say(stopped, want)
    assert say(here) == [want], "it is back"
