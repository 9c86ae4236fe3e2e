"""Calls that wait for their turn, on real lanes: what one process does, and what the others know of it."""

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pressroom.errors import Throttled, Transient, Unreachable
from pressroom.llm import pacer as pacing
from pressroom.llm.pace import FAILING_FOR_S, FAILURES, OPEN_S, WINDOW_S, Lane, Quota, Rules
from pressroom.llm.pacer import Pacer
from pressroom.llm.types import Quotas, Scope
from pressroom.store.engine import Store
from pressroom.store.lanes import Decide, LaneBook, R, lane_states
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import ModelDemandRow
from simulators.openai import OpenAISimulator

LANE = "127.0.0.1:8081/gpt-4.1-mini"
PATIENCE_S = 30.0  # a test that waits for longer has found a call that waits for ever
MakePacer = Callable[..., Pacer]


class Faulty(LaneBook):
    """A database that is away as long as `error` says so; `decided` is called once, before the next decision comes back."""

    error: Exception | None = None
    decided: Callable[[], object] | None = None

    def turn(self, lane: str, decide: Decide[R]) -> R:
        if self.error:
            raise self.error
        result = super().turn(lane, decide)
        then, self.decided = self.decided, None
        if then:
            then()
        return result


@pytest.fixture
def books(store: Store) -> Iterator[Callable[[], Faulty]]:
    with ExitStack() as stack:
        yield lambda: Faulty(store, stack.enter_context(OwnerLock(store)))


@pytest.fixture
def make(books: Callable[[], Faulty]) -> MakePacer:
    """The pacer of one process."""
    return lambda book=None, **rules: Pacer(book or books(), Rules(**rules))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, PATIENCE_S))


def lane_of(store: Store) -> Lane:
    with store.transaction() as session:
        return Lane.of(lane_states(session)[0][LANE])


def told(store: Store) -> list[tuple[str, int, int]]:
    """What the processes have told: site, in flight, waiting."""
    with store.transaction() as session:
        rows = session.scalars(sa.select(ModelDemandRow).order_by(ModelDemandRow.site))
        return [(row.site, row.in_flight, row.waiting) for row in rows]


async def until(store: Store, expected: list[tuple[str, int, int]]) -> None:
    while await asyncio.to_thread(told, store) != expected:
        await asyncio.sleep(0.02)


async def break_down(store: Store, pacer: Pacer, pass_time: Callable[[float], None]) -> None:
    """Fails as often and for as long as it takes to open the circuit."""
    for number in range(FAILURES):
        await pacer.turn(LANE, "harbour", 100)
        if number == FAILURES - 1:
            await asyncio.to_thread(pass_time, FAILING_FOR_S)
        pacer.failed(LANE, "harbour", since=time.monotonic())
    while not await asyncio.to_thread(lambda: lane_of(store).open_until):
        await asyncio.sleep(0.02)


def test_all_processes_together_have_no_more_in_flight_than_they_may(store: Store, make: MakePacer) -> None:
    pacers = [make(in_flight=3) for _ in range(3)]
    now, most, done = Counter[str](), 0, Counter[str]()

    async def call(pacer: Pacer, site: str) -> None:
        nonlocal most
        await pacer.turn(LANE, site, 100)
        now["all"] += 1
        most = max(most, now["all"])
        await asyncio.sleep(0.01)
        now["all"] -= 1
        pacer.answered(LANE, site, Quotas())
        done[site] += 1

    async def work() -> None:
        sites = ("harbour", "pier", "bike-shop")
        await asyncio.gather(*(call(pacer, site) for pacer, site in zip(pacers, sites, strict=True) for _ in range(12)))
        await asyncio.gather(*(pacer.close() for pacer in pacers))

    run(work())
    assert done == {"harbour": 12, "pier": 12, "bike-shop": 12}
    assert most == 3
    assert told(store) == []


def test_a_limit_per_minute_holds_for_all_processes_together(store: Store, make: MakePacer, pass_time: Callable[[float], None]) -> None:
    pacers = [make(rpm=4), make(rpm=4)]
    sent: list[int] = []

    async def call(number: int) -> None:
        await pacers[number % 2].turn(LANE, "harbour", 100)
        pacers[number % 2].answered(LANE, "harbour", Quotas())
        sent.append(number)

    async def work() -> None:
        calls = [asyncio.ensure_future(call(number)) for number in range(10)]
        for expected in (4, 8, 10):
            while len(sent) < expected:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.5)
            assert len(sent) == expected, "more than the limit went within a minute"
            await asyncio.to_thread(pass_time, WINDOW_S)
        await asyncio.gather(*calls, *(pacer.close() for pacer in pacers))

    run(work())
    assert sum(each.requests for each in lane_of(store).sent) <= 4


def test_a_call_that_comes_later_does_not_wait_for_what_is_to_be_told(make: MakePacer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "TELL_S", 10 * PATIENCE_S)
    pacer = make()

    async def work() -> None:
        for _ in range(3):
            await pacer.turn(LANE, "harbour", 100)
            pacer.answered(LANE, "harbour", Quotas())
            await asyncio.sleep(0.05)
        await pacer.close()

    run(work())


def test_who_goes_while_waiting_leaves_nothing_behind(store: Store, make: MakePacer) -> None:
    pacer = make(in_flight=1)

    async def work() -> None:
        await pacer.turn(LANE, "harbour", 100)
        waiting = [asyncio.ensure_future(pacer.turn(LANE, site, 100)) for site in ("harbour", "pier", "pier")]
        await until(store, [("harbour", 1, 1), ("pier", 0, 2)])
        for task in waiting:
            task.cancel()
        await until(store, [("harbour", 1, 0)])
        pacer.answered(LANE, "harbour", Quotas())
        await until(store, [])
        await pacer.turn(LANE, "pier", 100)
        pacer.answered(LANE, "pier", Quotas())
        await pacer.close()

    run(work())


def test_who_goes_in_the_moment_of_its_turn_gives_it_back(store: Store, make: MakePacer) -> None:
    pacer = make(in_flight=1)

    async def work() -> None:
        for _ in range(20):
            asking = asyncio.ensure_future(pacer.turn(LANE, "harbour", 100))
            while not pacer._lane(LANE)._in_flight["harbour"] and not asking.done():
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await until(store, [])
        await pacer.turn(LANE, "pier", 100)

    run(work())


def test_who_goes_while_its_turn_is_decided_gives_it_back(store: Store, make: MakePacer, books: Callable[[], Faulty]) -> None:
    book = books()
    pacer = make(book, in_flight=1)

    async def work() -> None:
        loop, gone = asyncio.get_running_loop(), threading.Event()
        asking = asyncio.ensure_future(pacer.turn(LANE, "harbour", 100))
        asking.add_done_callback(lambda task: gone.set())

        def cancel() -> None:
            loop.call_soon_threadsafe(asking.cancel)
            assert gone.wait(PATIENCE_S)

        book.decided = cancel
        await asyncio.gather(asking, return_exceptions=True)
        await until(store, [])
        await pacer.turn(LANE, "pier", 100)

    run(work())


# --- a circuit, a pause ---


def test_an_open_circuit_refuses_all_processes_at_once_and_what_was_refused_waits_no_more(
    store: Store, make: MakePacer, pass_time: Callable[[float], None]
) -> None:
    here, there = make(), make()

    async def work() -> None:
        await break_down(store, here, pass_time)
        calls = [pacer.turn(LANE, "harbour", 100) for pacer in (here, there) for _ in range(5)]
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in errors] == [Unreachable] * 10
        assert {round(error.retry_after or 0) for error in errors if isinstance(error, Unreachable)} <= {OPEN_S, OPEN_S - 1}
        assert "gpt-4.1-mini has failed 5 times in a row: it is left alone for 15 s" in str(errors[0])
        await until(store, [])

    run(work())


def test_after_the_pause_one_probe_goes_and_its_answer_lets_the_others_go(
    store: Store, make: MakePacer, pass_time: Callable[[float], None]
) -> None:
    here, there = make(), make()

    async def work() -> None:
        await break_down(store, here, pass_time)
        with pytest.raises(Unreachable):
            await there.turn(LANE, "pier", 100)
        await asyncio.to_thread(pass_time, OPEN_S)
        calls = {asyncio.ensure_future(pacer.turn(LANE, "pier", 100)): pacer for pacer in (here, there) for _ in range(3)}
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0.5)
        (probe,) = [call for call in calls if call.done()]
        calls[probe].answered(LANE, "pier", Quotas())
        await asyncio.gather(*calls)

    run(work())


def test_a_failed_probe_refuses_those_who_waited_for_it(store: Store, make: MakePacer, pass_time: Callable[[float], None]) -> None:
    pacer = make()

    async def work() -> None:
        await break_down(store, pacer, pass_time)
        with pytest.raises(Unreachable):
            await pacer.turn(LANE, "pier", 100)
        await asyncio.to_thread(pass_time, OPEN_S)
        await pacer.turn(LANE, "pier", 100)
        waiting = asyncio.ensure_future(pacer.turn(LANE, "pier", 100))
        await asyncio.sleep(0.2)
        pacer.failed(LANE, "pier", since=time.monotonic())
        with pytest.raises(Unreachable) as caught:
            await waiting
        assert round(caught.value.retry_after or 0) == 2 * OPEN_S

    run(work())


def test_a_long_pause_is_told_to_all_and_a_short_one_is_waited_for(
    store: Store, make: MakePacer, pass_time: Callable[[float], None]
) -> None:
    here, there = make(), make()

    async def work() -> None:
        await here.turn(LANE, "harbour", 100)
        here.failed(LANE, "harbour", retry_after=600)
        while not await asyncio.to_thread(lambda: lane_of(store).resume_at):
            await asyncio.sleep(0.02)
        for pacer in (here, there):
            with pytest.raises(Throttled, match=r"another [56]\d\d s") as caught:
                await pacer.turn(LANE, "pier", 100)
            assert 500 < (caught.value.retry_after or 0) <= 600
        await asyncio.to_thread(pass_time, 570)
        waiting = [asyncio.ensure_future(pacer.turn(LANE, "pier", 100)) for pacer in (here, there)]
        assert not (await asyncio.wait(waiting, timeout=0.5))[0]
        await asyncio.to_thread(pass_time, 30)
        await asyncio.gather(*waiting)

    run(work())


# --- a database that is away, and other ends ---


def test_a_database_that_is_away_refuses_who_waits_and_is_told_later_what_was_seen(
    store: Store, make: MakePacer, books: Callable[[], Faulty], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "AGAIN_S", 0.05)
    book = books()
    pacer = make(book, in_flight=1)

    async def work() -> None:
        await pacer.turn(LANE, "harbour", 100)
        book.error = Transient("the PostgreSQL at localhost:5432/pressroom does not answer")
        with pytest.raises(Transient, match="PostgreSQL"):
            await pacer.turn(LANE, "harbour", 100)
        pacer.failed(LANE, "harbour", retry_after=300)
        await asyncio.sleep(0.5)
        assert told(store) == [("harbour", 1, 0)]
        book.error = None
        await until(store, [])
        assert lane_of(store).resume_at > 0, "what the endpoint asked for was lost"

    run(work())


def test_a_bug_is_raised_to_who_waits_instead_of_a_call_that_waits_for_ever(make: MakePacer, books: Callable[[], Faulty]) -> None:
    book = books()
    pacer = make(book)

    async def work() -> None:
        book.error = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError):
            await pacer.turn(LANE, "harbour", 100)
        book.error = None
        await pacer.turn(LANE, "harbour", 100)

    run(work())


def test_the_end_of_a_run_tells_what_its_last_call_saw(store: Store, make: MakePacer) -> None:
    pacer = make()

    async def work() -> None:
        await pacer.turn(LANE, "harbour", 100)
        pacer.answered(LANE, "harbour", Quotas(requests=Quota(limit=10, remaining=9, full_in=6)))
        await pacer.close()

    run(work())
    assert lane_of(store).requests is not None
    assert told(store) == []


def test_a_lane_that_another_version_booked_in_other_words_is_begun_anew(store: Store, make: MakePacer) -> None:
    pacer = make()

    async def work() -> None:
        await pacer.turn(LANE, "harbour", 100)
        pacer.answered(LANE, "harbour", Quotas())
        await until(store, [])
        with store.transaction() as session:
            session.execute(sa.text("UPDATE model_lanes SET state = jsonb_build_object('weather', 'fair')"))
        await pacer.turn(LANE, "harbour", 100)

    run(work())
    assert lane_of(store).served


# --- real processes ---

PROGRAM = """
import asyncio, sys
from uuid import UUID
from pydantic import BaseModel
from pressroom.llm.models import model_routes
from pressroom.llm.opening import open_exchange
from pressroom.llm.types import Request, Scope
from pressroom.settings import load_settings
from pressroom.store.engine import open_store

class Post(BaseModel):
    title: str
    text: str

account, site, run, number = sys.argv[1:]

def draft(each):
    words = ("You write posts.", f"Write post {each} of {run}.")
    return Request("draft", f"idea/{run}/{each}", "x_post", "1", *words, Post, lambda: Post(title="", text=""))

async def work(gateway):
    answers = await asyncio.gather(*(gateway.ask(draft(each)) for each in range(int(number))))
    print(sum(answer.outcome == "valid" for answer in answers), flush=True)

settings = load_settings()
routes = model_routes(settings)
for provider in routes.providers():
    provider.warm_up()
with open_store(settings) as store, open_exchange(settings, store, routes) as exchange:
    print("ready", flush=True)
    input()
    asyncio.run(work(exchange.gateway(Scope(UUID(account), UUID(site), run_id=run))))
"""


class Desk:
    """Processes that ask the simulated endpoint for posts, each for a site, all at once when they are told to."""

    def __init__(self, scope: Scope, environment: dict[str, str], folder: Path) -> None:
        self.scope, self.environment, self.folder = scope, environment, folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, number: int, *, site: str | None = None) -> subprocess.Popen[str]:
        arguments = [str(self.scope.account_id), site or str(self.scope.site_id), f"run-{len(self.started)}", str(number)]
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", PROGRAM, *arguments]
        process = subprocess.Popen(command, env=self.environment, cwd=self.folder, stdin=pipe, stdout=pipe, text=True)
        self.started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process

    @staticmethod
    def go(*processes: subprocess.Popen[str]) -> None:
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()

    @staticmethod
    def valid(process: subprocess.Popen[str]) -> int:
        """Waits for its end: how many of its answers are good."""
        return int(process.communicate(timeout=120)[0])


@pytest.fixture
def desk(scope: Scope, environment: dict[str, str], simulator: OpenAISimulator, tmp_path: Path) -> Iterator[Desk]:
    hosted = {"PRESSROOM_LLM": "openai", "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": simulator.base_url}
    desk = Desk(scope, environment | hosted, tmp_path)
    yield desk
    for process in desk.started:
        process.kill()
        process.communicate()


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.long
def test_three_processes_share_the_places_in_flight(desk: Desk, simulator: OpenAISimulator) -> None:
    simulator.latency = 0.2
    desk.environment["PRESSROOM_LLM_MAX_IN_FLIGHT"] = "4"
    processes = [desk.start(10) for _ in range(3)]
    desk.go(*processes)
    assert [desk.valid(process) for process in processes] == [10, 10, 10]
    assert simulator.most_in_flight == 4


@pytest.mark.long
def test_two_processes_share_the_requests_of_a_minute(desk: Desk, simulator: OpenAISimulator, pass_time: Callable[[float], None]) -> None:
    desk.environment["PRESSROOM_LLM_RPM"] = "6"
    processes = [desk.start(8) for _ in range(2)]
    desk.go(*processes)
    for expected in (6, 12, 16):
        wait_for(lambda expected=expected: simulator.count >= expected)
        time.sleep(1.5)
        assert simulator.count == expected, "more than the limit went within a minute"
        pass_time(WINDOW_S)
    assert [desk.valid(process) for process in processes] == [8, 8]


@pytest.mark.long
def test_a_process_that_is_killed_with_calls_in_flight_gives_their_places_back(
    store: Store, desk: Desk, simulator: OpenAISimulator
) -> None:
    desk.environment["PRESSROOM_LLM_MAX_IN_FLIGHT"] = "2"
    simulator.fail("hang", times=2)
    dying, living = desk.start(5), desk.start(5)
    desk.go(dying)
    wait_for(lambda: simulator.count == 2)
    desk.go(living)
    site = str(desk.scope.site_id)
    wait_for(lambda: (site, 0, 5) in told(store))
    time.sleep(0.5)
    assert simulator.count == 2
    dying.kill()
    assert desk.valid(living) == 5
    assert told(store) == []


@pytest.mark.long
def test_a_site_with_three_calls_is_done_well_before_one_with_sixty(store: Store, desk: Desk, simulator: OpenAISimulator) -> None:
    simulator.latency = 0.3
    desk.environment["PRESSROOM_LLM_MAX_IN_FLIGHT"] = "4"
    with store.transaction() as session:
        session.execute(sa.text("INSERT INTO sites SELECT gen_random_uuid(), account_id, 'pier', definition, 0 FROM sites"))
        other = str(session.scalar(sa.text("SELECT id FROM sites WHERE slug = 'pier'")))
    large, small = desk.start(60), desk.start(3, site=other)
    desk.go(large)
    wait_for(lambda: simulator.count >= 8)
    before = simulator.count
    desk.go(small)
    assert desk.valid(small) == 3
    # Half of the four places are its own from the next answers on: two rounds, while the other site's calls go on beside it.
    assert simulator.count <= before + 30
    assert desk.valid(large) == 60
    assert simulator.most_in_flight == 4
