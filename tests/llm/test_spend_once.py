"""Processes that are killed in the middle of their calls, and processes that want the same answer at once."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import sqlalchemy as sa

from pressroom.llm.gateway import Exchange
from pressroom.llm.models import model_routes
from pressroom.llm.pace import Rules
from pressroom.llm.types import Limits, Scope
from pressroom.platforms.base import DraftBrief
from pressroom.platforms.registry import platforms
from pressroom.records import Keyword
from pressroom.settings import load_settings
from pressroom.store import calls
from pressroom.store.content import save_drafts, save_ideas
from pressroom.store.engine import Store, open_store
from pressroom.store.grouped import Grouped
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import DraftVersionRow, ModelCallRow
from pressroom.writer.drafts import Written, write_drafts
from simulators.openai import OpenAISimulator
from tests.answers import answers
from tests.processes import PROCESSES
from tests.samples import DAY, SITE, an_idea, call_booked, site_applied

IDEAS, DRAFTS, IN_FLIGHT, LATENCY_S = 5, 15, 4, 0.08
BACKGROUND = "purposes: {draft: {background: true}}"


def write_fifteen_drafts(environment: dict[str, str], folder: Path, generation: str) -> None:
    """What is killed: a run's drafts through the gateway, each saved as it comes. `generation` makes them another set of calls."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    calls.DEAD_FOR_S = 0.05  # no database restarts here: a dead process is dead at once, and a test of kills need not wait for it
    keywords = (Keyword(phrase="mill", normalised="mill"),)
    ideas = [an_idea(number, call="ideas") for number in range(1, IDEAS + 1)]
    briefs = [DraftBrief(site=SITE, idea=idea, keywords=keywords) for idea in ideas]
    work = [(brief, platform) for brief in briefs for platform in platforms().values()]
    settings = load_settings()
    limits = Limits(Rules(in_flight=IN_FLIGHT), first_wait_s=0.05)
    with (
        open_store(settings) as store,
        OwnerLock(store) as owner,
        Exchange(model_routes(settings), calls.Ledger(store, owner), LaneBook(store, owner), limits=limits) as exchange,
    ):

        def save_all(group: Sequence[Written]) -> None:
            store.retrying(partial(save_drafts, site=SITE, drafts=[written.draft for written in group], run_id=generation))

        gateway = exchange.gateway(Scope(SITE.account_id, SITE.id, run_id=generation, asset="drafts", generation=generation))
        asyncio.run(write_drafts(work, gateway, Grouped(save_all)))


@dataclass
class Desk:
    """Starts, kills and counts."""

    store: Store
    endpoint: OpenAISimulator
    environment: dict[str, str]
    folder: Path
    span_s: float = 1.0  # of a process that nobody kills
    kills: int = 0
    known: dict[str, int] = field(default_factory=dict)  # by the words of a request: how often they were asked when their answer was safe

    def start(self, generation: str) -> ForkServerProcess:
        process = PROCESSES.Process(target=write_fifteen_drafts, args=(self.environment, self.folder, generation))
        process.start()
        return process

    def safe(self, generation: str) -> list[str]:
        """The words of the calls that must not be asked again: they are booked, or the id is under which they are made."""
        is_safe = (ModelCallRow.status == "answered") | ModelCallRow.remote_id.is_not(None)
        words = sa.func.concat(ModelCallRow.request["instructions"].as_string(), "\n", ModelCallRow.request["input"].as_string())
        with self.store.transaction() as session:
            return list(session.scalars(sa.select(words).where(ModelCallRow.generation == generation, is_safe)))

    def asked(self) -> Counter[str]:
        return Counter(f"{asked.instructions}\n{asked.input}" for asked in self.endpoint.requests)

    def at_rest(self) -> None:
        """Waits until the endpoint has done what a killed process left it with."""
        while self.endpoint.in_flight:
            time.sleep(0.005)

    def whole(self, generation: str) -> float:
        """Lets a process do its work to the end. Returns the seconds that it took."""
        began = time.monotonic()
        process = self.start(generation)
        process.join(60)
        assert process.exitcode == 0, "the process failed by itself, or hangs"
        return time.monotonic() - began

    def finish(self, generation: str, rng: random.Random) -> int:
        """Kills the set's process at random moments, five times at most, and lets the last one get through.

        Returns how many answers may be paid twice for it.
        """
        self.endpoint.reset()
        self.known.clear()
        most_lost = 0
        for _ in range(5):
            process = self.start(generation)
            process.join(rng.uniform(0, 1.1 * self.span_s))
            if process.exitcode is not None:
                assert process.exitcode == 0, "the process failed by itself"
                return most_lost
            process.kill()
            process.join()
            self.kills += 1
            self.at_rest()
            times = self.asked()
            for text in self.safe(generation):
                self.known.setdefault(text, times[text])
            most_lost += IN_FLIGHT
        self.whole(generation)
        return most_lost


@pytest.fixture
def desk(store: Store, environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    with OpenAISimulator(latency=LATENCY_S, answers=answers) as endpoint:
        with store.transaction() as session:
            site_applied(session)
            call = call_booked(session, "ideas")
            save_ideas(session, SITE, DAY, [an_idea(number, call=call) for number in range(1, IDEAS + 1)], run_id="ideas")

        def make(models: str = "") -> Desk:
            (tmp_path / "models.yaml").write_text(models or "purposes: {}")
            hosted = {"PRESSROOM_LLM": "openai", "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": endpoint.base_url}
            return Desk(store, endpoint, environment | hosted | {"PRESSROOM_MODELS": str(tmp_path / "models.yaml")}, tmp_path)

        yield make


def statuses_of(store: Store, generation: str) -> list[str]:
    with store.transaction() as session:
        return list(session.scalars(sa.select(ModelCallRow.status).where(ModelCallRow.generation == generation)))


def texts_of(store: Store, generation: str) -> list[tuple[object, ...]]:
    """The drafts that came from the calls of a set."""
    ours = sa.select(ModelCallRow.request_hash).where(ModelCallRow.generation == generation)
    query = sa.select(DraftVersionRow.draft_id, DraftVersionRow.text, DraftVersionRow.parts, DraftVersionRow.violations)
    with store.transaction() as session:
        return [tuple(row) for row in session.execute(query.where(DraftVersionRow.call.in_(ours)).order_by(DraftVersionRow.draft_id))]


@pytest.mark.parametrize(
    ("models", "kills", "seed"),
    [
        pytest.param("", 3, 0, id="3 kills"),
        pytest.param(BACKGROUND, 3, 1, id="3 kills, in the background"),
        *(pytest.param("", 50, seed, id=f"50 kills, {seed}", marks=pytest.mark.long) for seed in range(2, 6)),
        *(pytest.param(BACKGROUND, 25, seed, id=f"25 kills in the background, {seed}", marks=pytest.mark.long) for seed in range(6, 8)),
    ],
)
def test_a_process_killed_at_any_moment_pays_for_no_answer_again_that_was_booked(
    desk: Callable[..., Desk], models: str, kills: int, seed: int
) -> None:
    """Sets of fifteen drafts, kill -9 at random moments. What was in flight may be paid again, where the endpoint has no id for it."""
    line, rng = desk(models), random.Random(seed)
    line.whole("first")  # its server has to start
    line.span_s = line.whole("whole")
    expected = texts_of(line.store, "whole")
    assert len(expected) == DRAFTS

    paid_twice = sets = 0
    while line.kills < kills:
        generation = f"set-{sets}"
        most_lost = line.finish(generation, rng)
        sets += 1
        asked = line.asked()
        again = {text[:80]: asked[text] - times for text, times in line.known.items() if asked[text] > times}
        assert not again, f"answers that were booked were asked for again: {again}"
        assert line.endpoint.paid_twice <= most_lost, "more was paid twice than was in flight at the kills"
        paid_twice += line.endpoint.paid_twice
        assert statuses_of(line.store, generation) == ["answered"] * DRAFTS
        assert texts_of(line.store, generation) == expected, "the rows are not those of a process that nobody killed"
    print(f"{line.kills} kills in {sets} sets of {DRAFTS} drafts: {paid_twice} answers paid twice")


def test_two_processes_that_want_the_same_answers_at_once_pay_once_together(desk: Callable[..., Desk]) -> None:
    line = desk()
    both = [line.start("both"), line.start("both")]
    for process in both:
        process.join(30)
        assert process.exitcode == 0
    assert line.endpoint.count == DRAFTS
    assert line.endpoint.paid_twice == 0
    assert len(texts_of(line.store, "both")) == DRAFTS
