"""Processes that are killed in the middle of their calls, and processes that want the same answer at once."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pressroom.llm.types import Scope
from pressroom.store.engine import Store
from pressroom.store.tables import ModelCallRow
from simulators.openai import OpenAISimulator

DRAFTS = 15
PROGRAM = """
import asyncio, sys
from uuid import UUID
from pydantic import BaseModel
from pressroom.llm.gateway import Exchange
from pressroom.llm.openai_provider import OpenAIProvider
from pressroom.llm.types import Limits, Request, Scope
from pressroom.settings import load_settings
from pressroom.store.calls import Ledger
from pressroom.store.engine import open_store
from pressroom.store.locks import OwnerLock

class Post(BaseModel):
    title: str
    text: str

def draft(number):
    words = ("You write posts.", f"Write post {number}.")
    return Request("draft", f"idea/{number}", "x_post", "1", *words, Post, lambda: Post(title="", text=""))

async def work(gateway):
    answers = await asyncio.gather(*(gateway.ask(draft(number)) for number in range(int(sys.argv[4]))))
    print(sum(not answer.replayed for answer in answers), sum(answer.outcome == "valid" for answer in answers))

settings = load_settings()
provider = OpenAIProvider(key=settings.openai_api_key, base_url=settings.openai_base_url, model=settings.llm_model)
with open_store(settings) as store, OwnerLock(store) as owner:
    with Exchange(provider, Ledger(store, owner), limits=Limits(in_flight=4)) as exchange:
        asyncio.run(work(exchange.gateway(Scope(UUID(sys.argv[1]), UUID(sys.argv[2]), run_id=sys.argv[3]))))
"""


@pytest.fixture
def endpoint(environment: dict[str, str]) -> Iterator[OpenAISimulator]:
    with OpenAISimulator(latency=0.25) as simulator:
        environment |= {"PRESSROOM_LLM": "openai", "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": simulator.base_url}
        yield simulator


def start(environment: dict[str, str], scope: Scope, run: str, folder: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", PROGRAM, str(scope.account_id), str(scope.site_id), run, str(DRAFTS)]
    return subprocess.Popen(arguments, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)


def inputs(store: Store, status: str) -> list[str]:
    with store.transaction() as session:
        return list(session.scalars(sa.select(ModelCallRow.request["input"].as_string()).where(ModelCallRow.status == status)))


@pytest.mark.long
def test_a_process_killed_at_any_moment_never_costs_an_answer_that_was_booked(
    store: Store, scope: Scope, environment: dict[str, str], endpoint: OpenAISimulator, tmp_path: Path
) -> None:
    """Fifteen drafts; kill -9 at a random moment, four times over; then the work is left to finish."""
    rng = random.Random(7)
    asked_when_booked: dict[str, int] = {}
    lost = 0
    for kill in range(4):
        before = endpoint.count
        process = start(environment, scope, f"run-{kill}", tmp_path)
        while endpoint.count == before and process.poll() is None and len(asked_when_booked) < DRAFTS:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.9))
        process.kill()
        process.communicate()
        time.sleep(endpoint.latency + 0.1)  # what is on its way arrives nowhere
        lost += min(4, len(inputs(store, "pending")))
        times = Counter(asked.input for asked in endpoint.requests)
        asked_when_booked |= {text: times[text] for text in inputs(store, "answered") if text not in asked_when_booked}
    said, _ = start(environment, scope, "run-last", tmp_path).communicate(timeout=30)
    assert said.split()[1] == str(DRAFTS), "after the kills the work did not complete"
    assert len(inputs(store, "answered")) == DRAFTS
    assert asked_when_booked, "nothing was booked before the last kill: this run tested nothing"
    finally_asked = Counter(asked.input for asked in endpoint.requests)
    again = {text: finally_asked[text] - times for text, times in asked_when_booked.items() if finally_asked[text] > times}
    assert not again, f"answers that were booked were asked for again: {again}"
    assert endpoint.paid_twice <= lost, "more was paid twice than was in flight at the kills"


@pytest.mark.long
def test_two_processes_that_want_the_same_answers_at_once_pay_once_together(
    store: Store, scope: Scope, environment: dict[str, str], endpoint: OpenAISimulator, tmp_path: Path
) -> None:
    both = [start(environment, scope, run, tmp_path) for run in ("run-a", "run-b")]
    said = [process.communicate(timeout=30)[0].split() for process in both]
    assert [int(valid) for _, valid in said] == [DRAFTS, DRAFTS]
    assert sum(int(paid) for paid, _ in said) == DRAFTS == endpoint.count
