"""Calls that go out in batches: half the price, the same rows, and nothing paid twice, whoever dies when."""

import asyncio
import datetime as dt
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from pressroom.errors import Deferred, OverBudget, Permanent, PressroomError, Transient
from pressroom.llm import batcher, batches
from pressroom.llm.batches import Collection, Place, collect, days_to_go_on, look
from pressroom.llm.budget import RunBudget
from pressroom.llm.gateway import Exchange
from pressroom.llm.models import OneRoute
from pressroom.llm.offline_provider import OfflineProvider
from pressroom.llm.openai_embeddings import OpenAIEmbeddings, ask_for_vectors
from pressroom.llm.openai_provider import OpenAIProvider
from pressroom.llm.types import Answer, Budget, Limits, Provider, Request, Scope
from pressroom.store.batches import Batch, BatchBook, open_batches, waiting_calls
from pressroom.store.calls import Ledger
from pressroom.store.engine import Store
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock
from pressroom.store.runs import LastWords
from pressroom.store.tables import ModelBatchRow, ModelCallRow
from simulators.openai import OpenAISimulator
from tests.llm.conftest import KEY, Post

DAY = dt.date(2026, 11, 20)
MODEL = "gpt-4.1-mini"
AskFor = Callable[..., Request[Post]]
Make = Callable[[], Provider]
Said = list[Answer[Post] | BaseException]


class Desk:
    """A run's gateway, with batches or without, and the collector beside it."""

    def __init__(self, store: Store, simulator: OpenAISimulator, scope: Scope, stack: ExitStack) -> None:
        self.store = store
        self.simulator = simulator
        self.scope = scope
        self.stack = stack

    def provider(self, model: str = MODEL, *, api: str = "responses", **options: Any) -> OpenAIProvider:
        return OpenAIProvider(key=SecretStr(KEY), base_url=self.simulator.base_url, model=model, api=api, **options)  # type: ignore[arg-type]

    def model(self, model: str = MODEL, **options: Any) -> Make:
        """A model as each process makes it anew: its connections belong to one event loop."""
        return partial(self.provider, model, **options)

    def exchange(self, *models: Make, batch: bool = True, budget: Budget | None = None, tries: int = 2) -> Exchange:
        """The exchange of one run, with an owner of its own."""
        owner = self.stack.enter_context(OwnerLock(self.store))
        ledger, lanes = Ledger(self.store, owner), LaneBook(self.store, owner)
        limits = Limits(tries=tries, first_wait_s=0.01, timeout_s=5)
        book = BatchBook(self.store, owner) if batch else None
        routes = OneRoute(*(make() for make in models or (self.provider,)))
        return self.stack.enter_context(Exchange(routes, ledger, lanes, limits=limits, budget=budget, batches=book))

    def ask(self, exchange: Exchange, *requests: Request[Post]) -> Said:
        gateway = exchange.gateway(self.scope)

        async def ask() -> Said:
            return await asyncio.gather(*(gateway.ask(request) for request in requests), return_exceptions=True)

        return asyncio.run(ask())

    def defer(self, *requests: Request[Post], exchange: Exchange | None = None) -> None:
        """Asks, and holds that all of it waits in batches."""
        said = self.ask(exchange or self.exchange(), *requests)
        assert all(isinstance(each, Deferred) for each in said), said

    def collect(self, *models: Make) -> Collection:
        return collect(self.store, OneRoute(*(make() for make in models or (self.provider,))))

    def rows(self) -> Sequence[ModelCallRow]:
        with self.store.transaction() as session:
            return session.scalars(sa.select(ModelCallRow).order_by(ModelCallRow.item)).all()

    def batches(self) -> Sequence[ModelBatchRow]:
        with self.store.transaction() as session:
            return session.scalars(sa.select(ModelBatchRow).order_by(ModelBatchRow.created_at)).all()

    def age(self, hours: float) -> None:
        """Makes all batches older."""
        older = sa.update(ModelBatchRow).values(created_at=ModelBatchRow.created_at - dt.timedelta(hours=hours))
        with self.store.transaction() as session:
            session.execute(older)


@pytest.fixture
def desk(store: Store, simulator: OpenAISimulator, scope: Scope) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield Desk(store, simulator, Scope(scope.account_id, scope.site_id, "run-1", "writer/x_posts", day=DAY), stack)


@pytest.fixture
def three(ask_for: AskFor) -> list[Request[Post]]:
    return [ask_for(topic, item=f"idea/{number}") for number, topic in enumerate(("tide tables", "lighthouses", "ropes"))]


def answers(said: Said) -> list[Answer[Post]]:
    for each in said:
        if isinstance(each, BaseException):
            raise each
    return [each for each in said if isinstance(each, Answer)]


def error(said: Said) -> str:
    """What the one asker was told."""
    (only,) = said
    assert isinstance(only, PressroomError)
    return str(only)


# --- the way of a batch


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_calls_that_come_together_are_one_batch_at_half_the_price_and_replay_ever_after(
    desk: Desk, three: list[Request[Post]], api: str
) -> None:
    desk.simulator.hold_batches = True
    model = desk.model(api=api)
    desk.defer(*three, exchange=desk.exchange(model))
    assert desk.simulator.count == 0, "a call that can wait was made at once"
    assert {row.status for row in desk.rows()} == {"batched"}
    (sent,) = desk.batches()
    assert (sent.state, sent.requests, sent.day, sent.run_id) == ("submitted", 3, DAY, "run-1")
    (waiting,) = desk.collect(model).waiting
    assert (waiting.remote, waiting.problem) == ("in_progress", "")

    desk.simulator.finish_batches()
    (collected,) = desk.collect(model).closed
    assert (collected.state, collected.answered, collected.failed, collected.error) == ("collected", 3, 0, None)

    plain, provider = desk.exchange(model, batch=False), model()
    replayed = answers(desk.ask(plain, *three))
    assert all(answer.replayed and answer.value for answer in replayed)
    assert (plain.tally.paid, plain.tally.replayed, desk.simulator.count) == (0, 3, 0)
    for row, answer in zip(desk.rows(), replayed, strict=True):
        assert row.cost_usd == provider.price(answer.usage, batch=True)
        assert (row.status, row.batch_id, row.run_id, row.attempts) == ("answered", sent.id, "run-1", 1)
        full = provider.price(answer.usage)
        assert full
        assert row.cost_usd
        assert abs(row.cost_usd * 2 - full) <= Decimal("0.000002"), "a batch costs half"


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("model", [MODEL, "gpt-5-mini"])
def test_a_batch_asks_in_the_very_words_of_a_single_call(desk: Desk, ask_for: AskFor, api: str, model: str) -> None:
    batching = desk.model(model, api=api, background=True)
    desk.defer(ask_for("tide tables", item="batched"), exchange=desk.exchange(batching))
    desk.collect(batching)
    single = desk.model(model, api=api)
    answers(desk.ask(desk.exchange(single, batch=False), ask_for("tide tables", item="alone")))
    (alone,), (batched,) = desk.simulator.requests, desk.simulator.batch_lines
    assert batched.body == alone.body
    assert desk.simulator.paid_twice == 1, "the two are the same words, so that the endpoint answers them the same"


def test_what_is_asked_later_goes_out_with_the_next_batch(desk: Desk, three: list[Request[Post]]) -> None:
    """As the rounds of a refinement do."""
    exchange = desk.exchange()
    desk.defer(*three[:2], exchange=exchange)
    desk.defer(*three, exchange=exchange)
    assert [row.requests for row in desk.batches()] == [2, 1]
    assert sum(batch.answered for batch in desk.collect().closed) == 3
    assert desk.simulator.paid_twice == 0


def test_a_run_without_batches_waits_for_what_is_in_one_and_pays_nothing(desk: Desk, three: list[Request[Post]], ask_for: AskFor) -> None:
    desk.simulator.hold_batches = True
    desk.defer(*three)
    (batch,) = desk.batches()
    plain = desk.exchange(batch=False)
    *waiting, answer = desk.ask(plain, *three, ask_for("nets"))
    for each in waiting:
        assert isinstance(each, Deferred)
        assert str(batch.id) in str(each)
        assert "lighthouses" not in str(each)
    assert isinstance(answer, Answer)
    assert desk.simulator.count == plain.tally.paid == 1


def test_a_model_that_stands_in_is_not_asked_for_what_is_in_a_batch(desk: Desk, three: list[Request[Post]]) -> None:
    first, second = desk.model(), desk.model("gpt-4.1")
    desk.simulator.fail("404", times=1, on="batches")
    desk.simulator.hold_batches = True
    exchange = desk.exchange(first, second)
    desk.defer(*three, exchange=exchange)
    assert [(row.model, row.state) for row in desk.batches()] == [(MODEL, "failed"), ("gpt-4.1", "submitted")]
    desk.defer(*three, exchange=exchange)
    desk.defer(*three, exchange=desk.exchange(first, second, batch=False))
    assert len(desk.batches()) == 2
    desk.simulator.finish_batches()
    desk.collect(first, second)
    assert {answer.model for answer in answers(desk.ask(exchange, *three))} == {"gpt-4.1"}
    assert (desk.simulator.count, len(desk.simulator.batch_lines)) == (0, 3)


def test_this_machine_answers_at_once(desk: Desk, three: list[Request[Post]]) -> None:
    assert all(answer.value for answer in answers(desk.ask(desk.exchange(OfflineProvider), *three)))
    assert desk.batches() == []


def test_vectors_are_asked_for_at_once(desk: Desk) -> None:
    """The step that wants them goes on with them."""
    make = partial(OpenAIEmbeddings, key=SecretStr(KEY), base_url=desk.simulator.base_url, model="text-embedding-3-small", dimension=8)
    vectors = ask_for_vectors(desk.exchange(make).gateway(desk.scope), 8, ["tides", "ropes"])
    assert vectors.shape == (2, 8)
    assert (desk.batches(), desk.simulator.count) == ([], 1)


@pytest.mark.parametrize(("limit", "most", "sizes"), [("MOST_REQUESTS", 2, [1, 2]), ("MOST_BYTES", 100, [1, 1, 1])])
def test_more_than_one_file_holds_goes_out_in_several(
    desk: Desk, three: list[Request[Post]], monkeypatch: pytest.MonkeyPatch, limit: str, most: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(batcher, limit, most)
    desk.defer(*three)
    assert sorted(row.requests for row in desk.batches()) == sizes
    assert sum(batch.answered for batch in desk.collect().closed) == 3


# --- money


def test_a_run_sets_the_price_of_its_batches_aside_until_its_end(desk: Desk, three: list[Request[Post]]) -> None:
    provider = desk.provider()
    single = provider.price(provider.largest(three[0]))
    half = provider.price(provider.largest(three[0]), batch=True)
    assert single
    assert half
    budget = RunBudget(2 * half + half / 2)
    said = desk.ask(desk.exchange(budget=budget), *three)
    assert sorted(type(each).__name__ for each in said) == ["Deferred", "Deferred", "OverBudget"]
    assert next(isinstance(each, OverBudget) for each in said if not isinstance(each, Deferred))
    assert budget.reserved + single > budget.limit, "what went out in a batch could be spent once more"


def test_a_refused_batch_gives_its_reservation_back(desk: Desk, three: list[Request[Post]]) -> None:
    budget = RunBudget(Decimal(1))
    desk.simulator.fail("insufficient_quota", times=1, on="files")
    said = desk.ask(desk.exchange(budget=budget), *three)
    assert [type(each) for each in said] == [Permanent] * 3
    assert "no credit is left" in str(said[0])
    assert budget.reserved == budget.spent == 0


def test_a_batch_without_a_known_price_is_unpriced_and_never_free(desk: Desk, ask_for: AskFor, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(f"prices:\n  - {{model: {MODEL}, since: 2025-01-01, input: 1, output: 2}}\n")
    model = desk.model(prices=prices)
    desk.defer(ask_for(), exchange=desk.exchange(model))
    desk.collect(model)
    (row,) = desk.rows()
    assert (row.status, row.cost_usd) == ("answered", None)
    assert row.input_tokens > 0


# --- answers


@pytest.mark.parametrize("kind", ["refusal", "incomplete", "filtered", "empty", "not-json", "no-usage", "nul", "fenced"])
def test_an_answer_out_of_a_batch_is_read_as_any_other(desk: Desk, ask_for: AskFor, kind: str) -> None:
    request, again = ask_for("tide tables", item="batched"), ask_for("tide tables", item="alone")
    desk.simulator.fail(kind, times=2)
    desk.defer(request)
    desk.collect()
    (batched,) = answers(desk.ask(desk.exchange(batch=False), request))
    (alone,) = answers(desk.ask(desk.exchange(batch=False), again))
    assert batched.replayed
    for name in ("outcome", "value", "problem", "text", "usage"):
        assert getattr(batched, name) == getattr(alone, name), name
    assert (batched.cost_usd is None) == (alone.cost_usd is None)


def test_a_line_that_fails_is_given_back_with_its_reason_and_the_others_stand(desk: Desk, three: list[Request[Post]]) -> None:
    desk.simulator.fail("echo", containing="lighthouses")
    desk.defer(*three)
    (collected,) = desk.collect().closed
    assert (collected.state, collected.answered, collected.failed) == ("collected", 2, 1)
    failed = desk.rows()[1]
    assert (failed.status, failed.batch_id, failed.owner) == ("failed", None, None)
    assert failed.error == collected.error
    assert "answers 400 (invalid_value)" in (failed.error or "")
    assert "lighthouses" not in (failed.error or ""), "the endpoint's words quote the prompt"

    plain = desk.exchange(batch=False)
    assert all(answer.value for answer in answers(desk.ask(plain, *three)))
    assert (plain.tally.paid, plain.tally.replayed, desk.simulator.paid_twice) == (1, 2, 0)
    assert desk.rows()[1].batch_id is None, "the answer came alone, and costs what a call alone costs"


def test_the_finished_half_of_an_expired_batch_is_kept_and_the_rest_asked_anew(desk: Desk, ask_for: AskFor) -> None:
    desk.simulator.hold_batches = True
    four = [ask_for(f"topic {number}") for number in range(4)]
    desk.defer(*four)
    desk.collect()  # a batch is worked on once somebody has looked
    desk.simulator.expire_batches()
    (expired,) = desk.collect().closed
    assert (expired.state, expired.answered, expired.failed) == ("collected", 2, 2)
    assert "batch_expired" in (expired.error or "")

    desk.simulator.hold_batches = False
    exchange = desk.exchange()
    said = desk.ask(exchange, *four)
    assert sum(isinstance(each, Deferred) for each in said) == 2
    (rest,) = desk.collect().closed
    assert (rest.requests, rest.answered) == (2, 2)
    assert desk.simulator.paid_twice == 0, "what the expired batch had finished was paid again"
    assert [answer.replayed for answer in answers(desk.ask(exchange, *four))] == [True] * 4


def test_a_batch_that_is_turned_down_as_a_whole_says_why(desk: Desk, ask_for: AskFor) -> None:
    model = desk.model("gpt-unknown")
    desk.defer(ask_for(), exchange=desk.exchange(model))
    (failed,) = desk.collect(model).closed
    assert (failed.state, failed.answered, failed.failed) == ("failed", 0, 1)
    assert "as failed (model_not_found)" in (failed.error or "")
    assert desk.rows()[0].status == "failed"


def test_results_that_are_missing_or_none_are_given_back(desk: Desk, three: list[Request[Post]]) -> None:
    """Also a line for somebody else's call books nothing."""
    desk.simulator.hold_batches = True
    desk.defer(*three)
    desk.collect()
    desk.simulator.finish_batches()
    remote = desk.batches()[0].remote_id
    output = next(batch for batch in desk.simulator.batches._batches.values() if batch.document["id"] == remote)
    desk.simulator.batches.advance(desk.simulator.models, held=False)
    file = output.document["output_file_id"]
    stored = desk.simulator.files.find(file)
    first, second, third = stored.content.splitlines()
    broken = b"\n".join([first, second[:40], third.replace(b'"custom_id": "', b'"custom_id": "f00'), b"[]", b'{"custom_id": 7}'])
    desk.simulator.files._files[file] = type(stored)(stored.id, stored.name, stored.purpose, broken, stored.created_at)
    (collected,) = desk.collect().closed
    assert (collected.answered, collected.failed) == (1, 2)
    assert "without an answer to this call" in (collected.error or "")
    assert sorted(row.status for row in desk.rows()) == ["answered", "failed", "failed"]


# --- what goes wrong on the way


@pytest.mark.parametrize("place", ["files", "batches"])
@pytest.mark.parametrize(
    ("kind", "told"),
    [("401", "the key is wrong"), ("404", "has no Batch API"), ("insufficient_quota", "no credit is left"), ("400", "answers 400")],
)
def test_a_batch_that_the_endpoint_refuses_fails_its_calls_and_costs_nothing(
    desk: Desk, ask_for: AskFor, place: Any, kind: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk.simulator.fail(kind, on=place)
    said = desk.ask(desk.exchange(), ask_for("lighthouses"))
    assert isinstance(said[0], Permanent)
    assert told in error(said)
    (row,), (batch,) = desk.rows(), desk.batches()
    assert (row.status, row.batch_id, row.owner, row.error) == ("failed", None, None, error(said))
    assert (batch.state, batch.failed, batch.error) == ("failed", 1, error(said))
    everything = " ".join([error(said), caplog.text])
    assert KEY not in everything
    assert "lighthouses" not in everything
    desk.defer(ask_for("lighthouses"))
    assert desk.collect().closed[0].answered == 1


@pytest.mark.parametrize(("place", "kind"), [("files", "500"), ("files", "reset"), ("files", "html"), ("batches", "429")])
def test_what_cannot_have_made_a_batch_is_tried_again(desk: Desk, ask_for: AskFor, place: Any, kind: str) -> None:
    desk.simulator.fail(kind, times=1, on=place)
    desk.defer(ask_for())
    assert desk.batches()[0].state == "submitted"
    assert desk.simulator.batches.counts() == {"validating": 1}


def test_an_upload_that_never_succeeds_gives_its_calls_back(desk: Desk, ask_for: AskFor) -> None:
    desk.simulator.fail("503", times=None, on="files")
    said = desk.ask(desk.exchange(tries=3), ask_for())
    assert isinstance(said[0], Transient)
    assert (desk.rows()[0].status, desk.batches()[0].state) == ("failed", "failed")


@pytest.mark.parametrize("kind", ["reset", "html", "invalid-json"])
def test_a_batch_whose_reply_was_lost_is_found_by_its_name_and_paid_once(desk: Desk, three: list[Request[Post]], kind: str) -> None:
    desk.simulator.fail(kind, times=1, on="batches")
    desk.defer(*three)
    (lost,) = desk.batches()
    assert (lost.state, lost.remote_id, lost.owner) == ("submitting", None, None)
    (collected,) = desk.collect().closed
    assert (collected.id, collected.answered) == (lost.id, 3)
    assert all(answer.replayed for answer in answers(desk.ask(desk.exchange(), *three)))
    assert desk.simulator.paid_twice == 0
    assert len(desk.simulator.batch_lines) == 3


def test_a_batch_that_may_have_been_made_is_looked_for_for_ten_minutes(desk: Desk, three: list[Request[Post]]) -> None:
    desk.simulator.fail("500", times=1, on="batches")
    desk.defer(*three)
    (waiting,) = desk.collect().waiting
    assert "does not list it yet" in waiting.problem
    assert {row.status for row in desk.rows()} == {"batched"}
    desk.age(hours=0.2)
    (given_up,) = desk.collect().closed
    assert (given_up.state, given_up.failed) == ("failed", 3)
    desk.defer(*three)
    assert [batch.answered for batch in desk.collect().closed] == [3]
    assert desk.simulator.paid_twice == 0


def test_a_batch_is_found_among_hundreds_of_others(desk: Desk, ask_for: AskFor) -> None:
    desk.simulator.fail("reset", times=1, on="batches")
    desk.defer(ask_for())
    (batch,) = desk.simulator.batches._batches.values()
    for number in range(230):
        other = dict(batch.document, id=f"batch_{number}", metadata=None if number % 2 else {"pressroom": str(number)})
        desk.simulator.batches._batches[other["id"]] = type(batch)(other, batch.created, 0.0)
    assert desk.collect().closed[0].answered == 1


def test_a_batch_that_its_endpoint_does_not_know_waits_for_another_one_until_its_window_is_over(desk: Desk, ask_for: AskFor) -> None:
    """Another key sees other batches: to ask anew at once would pay twice when the right one is set again."""
    desk.simulator.hold_batches = True
    desk.defer(ask_for())
    hidden, desk.simulator.batches._batches = desk.simulator.batches._batches, {}
    (unknown,) = desk.collect().waiting
    assert unknown.remote == "unknown"
    assert "another key" in unknown.problem
    desk.simulator.batches._batches = hidden
    assert desk.collect().waiting[0].remote == "in_progress"

    desk.simulator.batches._batches = {}
    desk.age(hours=27)
    (given_up,) = desk.collect().closed
    assert (given_up.state, given_up.failed) == ("failed", 1)
    desk.defer(ask_for())


def test_a_look_changes_nothing(desk: Desk, ask_for: AskFor) -> None:
    desk.defer(ask_for())
    looked = look(desk.store, OneRoute(desk.provider()))
    assert [each.remote for each in looked.waiting] == ["completed"]
    assert desk.batches()[0].state == "submitted"


def test_one_batch_that_cannot_be_looked_at_keeps_no_other_waiting(desk: Desk, three: list[Request[Post]]) -> None:
    for request, model in zip(three, (MODEL, "gpt-4.1", "gpt-4.1-nano"), strict=True):
        desk.defer(request, exchange=desk.exchange(desk.model(model)))
    desk.simulator.fail("500", times=1, on="batches", containing=desk.batches()[0].remote_id or "")
    found = desk.collect(desk.model(), desk.model("gpt-4.1"))
    assert [batch.model for batch in found.closed] == ["gpt-4.1"]
    broken, elsewhere = found.waiting
    assert "500" in broken.problem
    assert elsewhere.problem == "no model gpt-4.1-nano of openai is set up"


def test_a_download_that_breaks_off_is_taken_up_by_the_next_look(desk: Desk, three: list[Request[Post]]) -> None:
    desk.defer(*three)
    desk.simulator.fail("reset", times=1, on="files")
    (waiting,) = desk.collect().waiting
    assert "broke off" in waiting.problem
    assert desk.collect().closed[0].answered == 3
    assert all(row.cost_usd for row in desk.rows())


def test_two_processes_that_collect_at_once_book_each_bill_once(desk: Desk, ask_for: AskFor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BOOKED_AT_ONCE", 3)
    many = [ask_for(f"topic {number}") for number in range(20)]
    desk.defer(*many)
    with_threads: list[Collection] = []

    async def both() -> None:
        with_threads.extend(await asyncio.gather(*(asyncio.to_thread(desk.collect) for _ in range(3))))

    asyncio.run(both())
    assert {batch.answered for found in with_threads for batch in found.closed} == {20}
    provider = desk.provider()
    replayed = answers(desk.ask(desk.exchange(batch=False), *many))
    assert all(answer.cost_usd == provider.price(answer.usage, batch=True) for answer in replayed), "a bill was booked twice"


# --- death

PROGRAM = """
import asyncio, datetime, sys
from uuid import UUID
from pydantic import BaseModel
from pressroom.errors import Deferred
from pressroom.llm.gateway import Exchange
from pressroom.llm.models import model_routes
from pressroom.llm.types import Limits, Request, Scope
from pressroom.settings import load_settings
from pressroom.store.batches import BatchBook
from pressroom.store.calls import Ledger
from pressroom.store.engine import open_store
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock
from pressroom.store.runs import LastWords

class Post(BaseModel):
    title: str
    text: str

def draft(number):
    words = ("You write posts.", f"Write post {number}.")
    return Request("draft", f"idea/{number}", "x_post", "1", *words, Post, lambda: Post(title="", text=""))

async def work(gateway):
    said = await asyncio.gather(*(gateway.ask(draft(number)) for number in range(5)), return_exceptions=True)
    print(sum(isinstance(each, Deferred) for each in said), sum(not isinstance(each, BaseException) for each in said), flush=True)

settings = load_settings()
with open_store(settings) as store, OwnerLock(store) as owner:
    ledger, lanes, book = Ledger(store, owner), LaneBook(store, owner), BatchBook(store, owner)
    with Exchange(model_routes(settings), ledger, lanes, limits=Limits(), batches=book) as exchange:
        scope = Scope(UUID(sys.argv[1]), UUID(sys.argv[2]), sys.argv[3], "writer/x_posts", day=datetime.date(2026, 11, 20))
        asyncio.run(work(exchange.gateway(scope)))
"""


@pytest.fixture
def program(desk: Desk, environment: dict[str, str], tmp_path: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Starts a run of five drafts in batches, in a process of its own."""
    hosted = {"PRESSROOM_LLM": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": desk.simulator.base_url}

    def start(run: str) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", PROGRAM, str(desk.scope.account_id), str(desk.scope.site_id), run]
        return subprocess.Popen(arguments, env=environment | hosted, cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    return start


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not reached():
        assert process.poll() is None, "the process ended before it was killed"
        time.sleep(0.01)


@pytest.mark.long
@pytest.mark.parametrize("stage", ["gathering", "uploading", "uploaded", "creating", "created", "submitted"])
def test_a_process_killed_anywhere_on_the_way_neither_pays_twice_nor_loses_a_call(
    desk: Desk, program: Callable[[str], subprocess.Popen[str]], stage: str
) -> None:
    """kill -9; then the batches are collected, and the same run is made again until its five drafts are there."""
    simulator = desk.simulator
    if stage in ("uploading", "uploaded"):
        simulator.fail("hang", times=1, on="files")
    if stage in ("creating", "created"):
        simulator.fail("hang", times=1, on="batches")
    process = program("run-1")
    reached: dict[str, Callable[[], bool]] = {
        "gathering": lambda: len(desk.rows()) == 5,
        "uploading": lambda: len(desk.batches()) == 1,
        "uploaded": lambda: len(simulator.files._files) == 1,
        "creating": lambda: len(simulator.files._files) == 1,
        "created": lambda: bool(simulator.batches.counts()),
        "submitted": lambda: [row.state for row in desk.batches()] == ["submitted"],
    }
    wait_until(reached[stage], process)
    process.kill()
    process.communicate()
    time.sleep(0.3)  # what was on its way has arrived
    simulator.failures.clear()
    made = len(simulator.batches.counts())

    first = desk.collect()
    if made:
        assert [batch.answered for batch in first.closed] == [5], "a batch that the endpoint has was not adopted"
    elif desk.batches():
        assert first.closed == (), "the endpoint may still list it"
        assert {row.status for row in desk.rows()} == {"batched"}
        desk.age(hours=0.2)
        assert [batch.failed for batch in desk.collect().closed] == [5]
    for _ in range(3):
        said, _ = program("run-2").communicate(timeout=60)
        if said.split() == ["0", "5"]:
            break
        desk.collect()
    assert said.split() == ["0", "5"], "after the kill the work did not complete"
    assert simulator.paid_twice == 0
    assert len(simulator.batch_lines) == 5
    assert {row.status for row in desk.rows()} == {"answered"}


@pytest.mark.long
def test_a_batch_that_a_living_process_is_submitting_is_left_alone(desk: Desk, program: Callable[[str], subprocess.Popen[str]]) -> None:
    desk.simulator.fail("hang", times=1, on="files")
    process = program("run-1")
    wait_until(lambda: len(desk.batches()) == 1, process)
    desk.age(hours=1)
    (waiting,) = desk.collect().waiting
    assert waiting.problem == ""
    process.kill()
    process.communicate()
    assert [batch.failed for batch in desk.collect().closed] == [5]


def test_an_asker_that_goes_before_its_batch_does_takes_its_call_with_it(desk: Desk, three: list[Request[Post]]) -> None:
    exchange = desk.exchange()
    gateway = exchange.gateway(desk.scope)

    async def ask() -> None:
        first = asyncio.create_task(gateway.ask(three[0]))
        second = asyncio.create_task(gateway.ask(three[1]))
        while len(await asyncio.to_thread(desk.rows)) < 2:
            await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(Deferred):
            await second

    asyncio.run(ask())
    assert [row.status for row in desk.rows()] == ["failed", "batched"]
    assert [row.requests for row in desk.batches()] == [1]


# --- going on


def closed(run: str, answered: int, *, minute: int = 0, site: str | None = "brew", day: dt.date | None = DAY) -> Batch:
    return Batch(
        id=uuid.UUID(int=minute),
        site=site,
        day=day,
        run_id=run,
        owner=None,
        provider="openai",
        model=MODEL,
        state="collected" if answered else "failed",
        remote_id="batch_1",
        requests=9,
        answered=answered,
        failed=9 - answered,
        error=None,
        created_at=at(minute),
        collected_at=at(minute),
        age=dt.timedelta(hours=1),
    )


def at(minute: int) -> dt.datetime:
    return dt.datetime(2026, 11, 21, 8, minute, tzinfo=dt.UTC)


def waits_since(minute: int | None) -> dict[Place, LastWords]:
    """A day whose steps ended at half past eight, with one that waits since some minute."""
    return {("brew", DAY): LastWords(at(30), None if minute is None else at(minute))}


def run_again(*closed: Batch, said: dict[Place, LastWords] | None = None) -> list[Batch]:
    return list(days_to_go_on(closed, waits_since(0) if said is None else said, {}).run.values())


def test_a_day_goes_on_when_the_batch_that_it_waits_for_is_closed() -> None:
    batch = closed("run-1", 9, minute=5)
    assert run_again(batch, said=waits_since(4)) == [batch]
    assert run_again(batch, said=waits_since(6)) == [], "it waits for another batch"
    assert run_again(batch, said=waits_since(None)) == [], "somebody has gone on with it"
    assert run_again(closed("run-1", 9, site=None, day=None)) == []


def test_a_day_whose_run_died_after_it_sent_the_batch_goes_on_too() -> None:
    batch = closed("run-1", 9, minute=40)
    assert run_again(batch, said={}) == [batch]
    assert run_again(batch, said=waits_since(None)) == [batch], "what was said is older than the batch"


def test_a_day_goes_on_once_for_all_its_batches_and_each_day_by_itself() -> None:
    other = closed("run-7", 9, minute=2, site="teahouse")
    last = closed("run-1", 1, minute=3)
    assert run_again(closed("run-1", 4, minute=1), other, last) == [last, other]


def test_a_day_whose_batches_bring_nothing_goes_on_once_and_then_only_to_its_report() -> None:
    """A batch that can never be answered would be sent again every time it failed."""
    first, second = closed("run-1", 0, minute=1), closed("run-2", 0, minute=3)
    place = ("brew", DAY)
    assert run_again(first) == [first]
    assert days_to_go_on([first, second], waits_since(2), {place: at(2)}) == ({}, {place: second})
    assert days_to_go_on([first, second], waits_since(2), {}) == ({}, {place: second})
    assert days_to_go_on([first, second], waits_since(2), {place: at(4)}) == ({}, {})
    assert run_again(closed("run-1", 3, minute=1), second) == [second]
    assert run_again(closed("run-1", 0, minute=1), closed("run-1", 0, minute=2)) != [], "two batches of one run are one attempt"


def test_open_batches_and_waiting_calls_are_told_by_the_store(desk: Desk, three: list[Request[Post]]) -> None:
    desk.simulator.hold_batches = True
    desk.defer(*three)
    assert desk.scope.site_id
    with desk.store.transaction() as session:
        (batch,) = open_batches(session)
        assert waiting_calls(session, desk.scope.site_id, DAY) == {batch.id: 3}
        assert waiting_calls(session, desk.scope.site_id, DAY + dt.timedelta(days=1)) == {}
    assert (batch.site, batch.provider, batch.model) == ("harbour", "openai", MODEL)
