"""Answers that the endpoint makes under an id: booked before anybody waits for them, asked for again, and paid once whatever happens."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from pressroom.errors import Permanent, Transient
from pressroom.llm.gateway import Exchange
from pressroom.llm.pace import Lane
from pressroom.llm.types import Request, Scope
from pressroom.store.calls import Ledger
from pressroom.store.engine import Store
from pressroom.store.lanes import lane_states
from pressroom.store.tables import ModelCallRow
from simulators.openai import OpenAISimulator

MakeExchange = Callable[..., Exchange]
MakeRequest = Callable[..., Request]


def row_of(store: Store) -> ModelCallRow:
    with store.transaction() as session:
        return session.scalars(sa.select(ModelCallRow)).one()


async def with_an_id(store: Store) -> str:
    """The id under which the answer is made, once it is booked."""
    query = sa.select(ModelCallRow.remote_id).where(ModelCallRow.remote_id.is_not(None))
    while True:
        with store.transaction() as session:
            if found := session.scalar(query):
                return found
        await asyncio.sleep(0.02)


def test_the_id_is_booked_while_the_answer_is_made_and_the_answer_after_it(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.latency = 1.0
    gateway = exchange(background=True).gateway(scope)

    async def ask() -> None:
        asking = asyncio.ensure_future(gateway.ask(ask_for()))
        remote_id = await with_an_id(store)
        row = row_of(store)
        assert (row.status, row.answer) == ("pending", None)
        answer = await asking
        assert (answer.outcome, answer.replayed) == ("valid", False)
        assert (row_of(store).answer or {})["id"] == remote_id

    asyncio.run(ask())
    (asked,) = simulator.requests
    assert (asked.body["background"], asked.body["store"]) == (True, True)
    assert gateway.tally.paid == 1
    assert asyncio.run(exchange().gateway(scope).ask(ask_for())).replayed, "how it was carried makes it another request"


@pytest.mark.parametrize("kind", ["incomplete", "refusal", "filtered", "no-usage", "huge"])
def test_an_answer_of_no_use_is_booked_as_any_other(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, kind: str
) -> None:
    simulator.fail(kind)
    outcome = {"huge": "invalid", "no-usage": "valid"}.get(kind, kind)
    assert asyncio.run(exchange(background=True).gateway(scope).ask(ask_for())).outcome == outcome
    assert row_of(store).status == "answered"
    assert simulator.count == 1


@pytest.mark.parametrize("kind", ["429", "503", "reset", "html", "invalid-json", "other-shape"])
def test_a_look_that_fails_is_followed_by_another_one_for_the_same_answer(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, kind: str
) -> None:
    simulator.fail(kind, times=2, on="poll")
    assert asyncio.run(exchange(background=True).gateway(scope).ask(ask_for())).outcome == "valid"
    assert (simulator.count, simulator.paid_twice) == (1, 0)
    assert row_of(store).attempts == 3


def test_an_answer_that_takes_longer_than_the_deadline_is_waited_for_by_the_next_ask(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.latency = 3.0
    running = exchange(background=True, timeout_s=0.7, tries=2)
    with pytest.raises(Transient, match=r"within 0\.7 s"):
        asyncio.run(running.gateway(scope).ask(ask_for()))
    running.close()
    row = row_of(store)
    assert (row.status, row.attempts) == ("failed", 2)
    assert row.remote_id
    with store.transaction() as session:
        (state,) = lane_states(session)[0].values()
    assert Lane.of(state).failures == 0, "an answer that takes its time is no sign of an outage"
    assert asyncio.run(exchange(background=True).gateway(scope).ask(ask_for())).outcome == "valid"
    assert (simulator.count, simulator.paid_twice) == (1, 0)


@pytest.mark.parametrize("end", ["forgotten", "failed", "cancelled"])
def test_an_id_that_came_to_nothing_is_forgotten_and_the_answer_asked_for_anew(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, end: str
) -> None:
    simulator.latency = 0.8
    if end == "failed":
        simulator.fail("failed")
    gateway = exchange(background=True).gateway(scope)

    async def ask() -> None:
        asking = asyncio.ensure_future(gateway.ask(ask_for()))
        first = await with_an_id(store)
        if end == "forgotten":
            simulator.responses.forget()
        elif end == "cancelled":
            simulator.responses.cancel(first)
        answer = await asking
        assert answer.outcome == "valid"
        assert (row_of(store).answer or {})["id"] != first

    asyncio.run(ask())
    assert simulator.count == 2
    assert gateway.tally.paid == 1


@pytest.mark.parametrize("kind", ["401", "403", "402"])
def test_a_key_that_is_refused_while_waiting_leaves_the_answer_to_the_next_ask(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, kind: str
) -> None:
    """Somebody changes the key, or the card: the answer is being made, and paid, all the same."""
    simulator.fail(kind, on="poll")
    gateway = exchange(background=True).gateway(scope)
    with pytest.raises(Permanent):
        asyncio.run(gateway.ask(ask_for()))
    assert row_of(store).remote_id
    assert asyncio.run(gateway.ask(ask_for())).outcome == "valid"
    assert (simulator.count, simulator.paid_twice) == (1, 0)


def test_a_ledger_that_is_away_when_the_id_comes_is_no_reason_to_pay_again(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    class Away(Ledger):
        times = 1

        def remember(self, remote_ids: Sequence[tuple[str, str | None]]) -> None:
            if self.times:
                self.times -= 1
                raise Transient("the PostgreSQL at localhost:5432/pressroom does not answer")
            super().remember(remote_ids)

    assert asyncio.run(exchange(background=True, ledger_type=Away).gateway(scope).ask(ask_for())).outcome == "valid"
    assert (simulator.count, simulator.paid_twice) == (1, 0)


def test_a_run_that_ends_while_an_answer_is_made_leaves_it_to_the_next_one(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.latency = 2.5
    running = exchange(background=True, timeout_s=0.7, tries=1)

    async def cancelled() -> None:
        asking = asyncio.ensure_future(running.gateway(scope).ask(ask_for()))
        await with_an_id(store)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(cancelled())
    running.close()
    assert (row_of(store).status, bool(row_of(store).remote_id)) == ("failed", True)
    assert asyncio.run(exchange(background=True).gateway(scope).ask(ask_for())).outcome == "valid"
    assert (simulator.count, simulator.paid_twice) == (1, 0)


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

def draft(number):
    words = ("You write posts.", f"Write post {number}.")
    return Request("draft", f"idea/{number}", "x_post", "1", *words, Post, lambda: Post(title="", text=""))

async def work(gateway):
    answers = await asyncio.gather(*(gateway.ask(draft(number)) for number in range(4)))
    print(sum(answer.outcome == "valid" for answer in answers))

settings = load_settings()
with open_store(settings) as store, open_exchange(settings, store, model_routes(settings)) as exchange:
    asyncio.run(work(exchange.gateway(Scope(UUID(sys.argv[1]), UUID(sys.argv[2]), run_id=sys.argv[3]))))
"""


@pytest.mark.long
def test_a_process_that_is_killed_while_it_waits_has_its_answers_fetched_by_the_next_one(
    store: Store, scope: Scope, environment: dict[str, str], simulator: OpenAISimulator, tmp_path: Path
) -> None:
    """Four answers are on their way at each of three kills: without the background each kill would have paid up to four again."""
    simulator.latency = 6.0
    (tmp_path / "models.yaml").write_text("purposes: {draft: {background: true}}")
    environment |= {
        "PRESSROOM_LLM": "openai",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": simulator.base_url,
        "PRESSROOM_MODELS": str(tmp_path / "models.yaml"),
    }

    def start(run: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", PROGRAM, str(scope.account_id), str(scope.site_id), run]
        return subprocess.Popen(arguments, env=os.environ | environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    def booked() -> int:
        with store.transaction() as session:
            return session.scalar(sa.select(sa.func.count(ModelCallRow.remote_id))) or 0

    for kill in range(3):
        process = start(f"run-{kill}")
        deadline = time.monotonic() + 60
        while booked() < 4 or simulator.count < 4:
            assert process.poll() is None
            assert time.monotonic() < deadline, "the ids were not booked"
            time.sleep(0.02)
        time.sleep(0.3 * kill)
        process.kill()
        process.communicate()
    said, _ = start("run-last").communicate(timeout=90)
    assert said.split() == ["4"]
    assert simulator.count == 4, "an answer that was being made was asked for again"
    assert simulator.paid_twice == 0
