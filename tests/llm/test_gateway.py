"""One call through the whole gateway: the real SDK, a simulated endpoint, a ledger on real PostgreSQL."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
import sqlalchemy as sa

from pressroom.errors import OverBudget, Transient
from pressroom.llm.budget import RunBudget
from pressroom.llm.gateway import Exchange
from pressroom.llm.types import Request, Scope
from pressroom.store.calls import Bill, Booked, Ledger, calls_of_run
from pressroom.store.engine import Store
from pressroom.store.tables import ModelCallRow
from simulators.openai import OpenAISimulator

MakeExchange = Callable[..., Exchange]
MakeRequest = Callable[..., Request]


def rows(store: Store) -> list[ModelCallRow]:
    with store.transaction() as session:
        return list(session.scalars(sa.select(ModelCallRow).order_by(ModelCallRow.created_at)))


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_an_answer_comes_typed_priced_and_booked(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, api: str
) -> None:
    simulator.answers = lambda asked: {"title": "Tides", "text": "Twice a day."}
    gateway = exchange(api=api).gateway(scope)
    answer = asyncio.run(gateway.ask(ask_for()))
    assert answer.outcome == "valid"
    assert answer.value.title == "Tides"
    assert not answer.replayed
    (row,) = rows(store)
    assert row.status == "answered"
    assert row.request_hash == answer.call
    assert row.attempts == 1
    assert row.owner is None
    assert row.asset == "writer/x_posts"
    assert row.run_id == "run-1"
    assert row.provider == "openai"
    assert row.input_tokens == answer.usage.input > 0
    assert row.output_tokens == answer.usage.output > 0
    expected = (answer.usage.input * Decimal("0.4") + answer.usage.output * Decimal("1.6")) / 1_000_000
    assert row.cost_usd == answer.cost_usd == gateway.tally.cost_usd == expected.quantize(Decimal("0.000001"))
    (asked,) = simulator.requests
    assert asked.schema_name == "Post"
    assert asked.body["temperature"] == 0.7
    assert asked.limit == 400
    with store.transaction() as session:
        totals = calls_of_run(session, "run-1")
    assert (totals.paid, totals.failed, totals.unpriced, totals.cost_usd) == (1, 0, 0, row.cost_usd)


def test_the_same_request_is_replayed_free_by_another_run_and_under_the_other_api(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    first = asyncio.run(exchange().gateway(scope).ask(ask_for()))
    gateway = exchange(api="chat").gateway(dataclasses.replace(scope, run_id="run-2"))
    again = asyncio.run(gateway.ask(ask_for()))
    assert simulator.count == 1, "an answer that was paid was paid again"
    assert again.replayed
    assert dataclasses.replace(again, replayed=False) == first
    assert (gateway.tally.paid, gateway.tally.replayed, gateway.tally.cost_usd) == (0, 1, 0)


@pytest.mark.parametrize("change", ["item", "generation", "site", "model", "limit", "provider"])
def test_what_makes_another_request_is_asked_for_itself(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, change: str
) -> None:
    asyncio.run(exchange().gateway(scope).ask(ask_for(item="idea/1")))
    other_scope, request, options = scope, ask_for(item="idea/1"), {}
    match change:
        case "item":
            request = ask_for(item="idea/2")
        case "limit":
            request = ask_for(item="idea/1", limit=401)
        case "generation":
            other_scope = dataclasses.replace(scope, generation="root-run")
        case "model":
            options = {"model": "gpt-4.1"}
        case "provider":
            options = {"offline": True}
        case "site":
            with store.transaction() as session:
                session.execute(sa.text("INSERT INTO sites SELECT gen_random_uuid(), account_id, 'pier', definition, 0 FROM sites"))
                other_scope = dataclasses.replace(scope, site_id=session.scalar(sa.text("SELECT id FROM sites WHERE slug = 'pier'")))
    answer = asyncio.run(exchange(**options).gateway(other_scope).ask(request))
    assert not answer.replayed
    assert len(rows(store)) == 2


def test_offline_answers_go_through_the_same_ledger_at_no_cost(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    gateway = exchange(offline=True).gateway(scope)
    answer, again = asyncio.run(gateway.ask(ask_for("knots"))), asyncio.run(gateway.ask(ask_for("knots")))
    assert answer.value.text == "What the harbour knows of knots."
    assert answer.model == "offline"
    assert answer.cost_usd == 0
    assert again.replayed
    assert again.value == answer.value
    assert simulator.count == 0
    assert (gateway.tally.paid, gateway.tally.replayed, gateway.tally.unpriced) == (1, 1, 0)


def test_each_asset_has_its_own_loop_and_all_share_one_client_and_one_limit(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    """Dagster gives each async asset a loop of its own; two assets of one run may even overlap in threads."""
    simulator.latency = 0.05
    shared = exchange(in_flight=4)

    async def asset(name: str) -> int:
        gateway = shared.gateway(dataclasses.replace(scope, asset=name))
        await asyncio.gather(*(gateway.ask(ask_for(f"{name} {n}")) for n in range(6)))
        return gateway.tally.paid

    async def both() -> list[int]:
        return await asyncio.gather(*(asyncio.to_thread(lambda n: asyncio.run(asset(n)), name) for name in ("ideas", "posts")))

    assert asyncio.run(both()) == [6, 6]
    assert shared.tally.paid == 12
    assert simulator.most_in_flight == 4, "the run has more calls in flight than it may"


def test_the_same_question_asked_twice_at_once_is_paid_once(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.latency = 0.2
    here, elsewhere = exchange().gateway(scope), exchange().gateway(scope)

    async def ask() -> list[bool]:
        answers = await asyncio.gather(*(gateway.ask(ask_for()) for gateway in (here, here, elsewhere, elsewhere)))
        return sorted(answer.replayed for answer in answers)

    assert asyncio.run(ask()) == [False, True, True, True]
    assert simulator.count == 1


@pytest.mark.parametrize("kind", ["429", "500", "502", "503", "reset", "html", "invalid-json", "other-shape"])
def test_a_passing_failure_is_tried_again_and_the_answer_is_booked_once(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, kind: str
) -> None:
    simulator.fail(kind, times=2)
    answer = asyncio.run(exchange().gateway(scope).ask(ask_for()))
    assert answer.outcome == "valid"
    assert simulator.count == 3
    assert [(row.status, row.attempts) for row in rows(store)] == [("answered", 3)]


@pytest.mark.parametrize("kind", ["429", "503", "hang", "endless"])
def test_after_three_tries_the_call_fails_and_the_next_ask_starts_anew(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, kind: str
) -> None:
    simulator.fail(kind, times=3)
    gateway = exchange(timeout_s=0.5).gateway(scope)
    with pytest.raises(Transient) as caught:
        asyncio.run(gateway.ask(ask_for()))
    assert simulator.count == 3, "one layer retries, and it tries three times"
    assert "0.5 s" in str(caught.value) if kind in ("hang", "endless") else kind in str(caught.value)
    assert [(row.status, row.attempts, row.error) for row in rows(store)] == [("failed", 3, str(caught.value))]
    assert asyncio.run(gateway.ask(ask_for())).outcome == "valid"
    assert [(row.status, row.error) for row in rows(store)] == [("answered", None)]


def test_retry_after_is_honoured_in_seconds(scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest) -> None:
    simulator.fail("429", retry_after="0.4")
    asyncio.run(exchange().gateway(scope).ask(ask_for()))
    first, second = simulator.requests
    assert 0.4 <= second.at - first.at < 3


def test_a_wait_longer_than_the_longest_is_left_to_the_run(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.fail("429", retry_after="3600")
    with pytest.raises(Transient) as caught:
        asyncio.run(exchange().gateway(scope).ask(ask_for()))
    assert caught.value.retry_after == 3600
    assert simulator.count == 1


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("refusal", "refusal"),
        ("incomplete", "incomplete"),
        ("filtered", "filtered"),
        ("empty", "invalid"),
        ("not-json", "invalid"),
        ("other-answer", "invalid"),
        ("huge", "invalid"),
    ],
)
def test_an_answer_that_cannot_be_used_is_booked_with_its_bill_and_not_asked_again(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, api: str, kind: str, outcome: str
) -> None:
    simulator.fail(kind)
    gateway = exchange(api=api).gateway(scope)
    answer = asyncio.run(gateway.ask(ask_for()))
    assert (answer.outcome, answer.value) == (outcome, None)
    assert answer.problem
    assert "\n" not in answer.problem
    (row,) = rows(store)
    assert row.status == "answered"
    assert row.input_tokens > 0
    assert row.cost_usd == answer.cost_usd > 0
    assert asyncio.run(gateway.ask(ask_for())).outcome == outcome
    assert simulator.count == 1


@pytest.mark.parametrize("kind", ["no-usage", "wrong-usage"])
def test_a_bill_that_makes_no_sense_is_unpriced_and_never_free(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, kind: str
) -> None:
    simulator.fail(kind)
    gateway = exchange().gateway(scope)
    answer = asyncio.run(gateway.ask(ask_for()))
    assert answer.outcome == "valid"
    assert answer.cost_usd is None
    assert rows(store)[0].cost_usd is None
    assert (gateway.tally.paid, gateway.tally.unpriced) == (1, 1)


@pytest.mark.parametrize("text", [r"zero \u0000", r"half \ud83d", "raw half \ud83d", r"snow \u2603 and \ud83c\udf0a"])
def test_what_a_database_cannot_hold_is_replaced_and_the_answer_is_not_lost(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, text: str
) -> None:
    simulator.answers = lambda asked: f'{{"title": "t", "text": "{text}"}}'
    gateway = exchange().gateway(scope)
    answer, again = asyncio.run(gateway.ask(ask_for())), asyncio.run(gateway.ask(ask_for()))
    assert answer.value.text in ("zero \ufffd", "half ?", "raw half ?", "snow ☃ and 🌊")
    assert again.replayed
    assert again.value == answer.value
    with store.transaction() as session:
        session.execute(sa.update(ModelCallRow).values(error=answer.value.text))


def test_an_answer_in_flight_is_booked_although_its_asker_is_cancelled(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    """Somebody presses Terminate while fifteen answers are on their way: they are paid, so they are kept."""
    simulator.latency = 0.4
    running = exchange(in_flight=1)

    async def cancelled() -> None:
        asking = [asyncio.ensure_future(running.gateway(scope).ask(ask_for(topic))) for topic in ("tides", "knots")]
        while not simulator.count:
            await asyncio.sleep(0.01)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    asyncio.run(cancelled())
    running.close()
    assert sorted((row.status, row.error or "") for row in rows(store)) == [("answered", ""), ("failed", "cancelled")]
    simulator.latency = 0
    answers = [asyncio.run(exchange().gateway(scope).ask(ask_for(topic))) for topic in ("tides", "knots")]
    assert sorted(answer.replayed for answer in answers) == [False, True]
    assert simulator.count == 2


def test_an_answer_that_cannot_be_booked_is_not_paid_for_again_at_once(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    class Unreachable(Ledger):
        def book(self, bills: Sequence[Bill]) -> list[Booked]:
            raise Transient("the PostgreSQL at localhost:5432/pressroom does not answer")

    gateway = exchange(ledger_type=Unreachable).gateway(scope)
    with pytest.raises(Transient, match="an answer that was paid could not be booked: the PostgreSQL"):
        asyncio.run(gateway.ask(ask_for()))
    assert simulator.count == 1
    assert gateway.tally.paid == 1, "the money is gone all the same"


def test_the_limit_of_a_run_refuses_before_spending_and_a_replay_is_always_free(
    store: Store, scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    asyncio.run(exchange().gateway(scope).ask(ask_for("tides")))
    budget = RunBudget(Decimal("0.001"))
    gateway = exchange(budget=budget).gateway(scope)
    assert asyncio.run(gateway.ask(ask_for("tides"))).replayed
    asyncio.run(gateway.ask(ask_for("knots")))
    assert budget.spent == gateway.tally.cost_usd > 0
    assert budget.reserved == 0
    with pytest.raises(OverBudget, match=r"limit of 0\.001 USD would be passed"):
        asyncio.run(gateway.ask(ask_for("ropes", limit=600)))
    assert simulator.count == 2
    assert rows(store)[-1].status == "failed"


def test_a_limit_cannot_be_held_for_a_model_without_a_price(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.models = ("llama3.3",)
    with pytest.raises(OverBudget, match=r"no price is known for the model llama3\.3"):
        asyncio.run(exchange(model="llama3.3", budget=RunBudget(Decimal(5))).gateway(scope).ask(ask_for()))
    assert asyncio.run(exchange(model="llama3.3").gateway(scope).ask(ask_for())).cost_usd is None


def test_many_answers_at_once_are_replayed_each_to_its_own_question(scope: Scope, exchange: MakeExchange, ask_for: MakeRequest) -> None:
    topics = [f"topic {number}" for number in range(300)]

    async def ask_all() -> tuple[list[str], int]:
        gateway = exchange(offline=True).gateway(scope)
        answers = await asyncio.gather(*(gateway.ask(ask_for(topic)) for topic in topics))
        return [answer.value.text for answer in answers], gateway.tally.replayed

    expected = [f"What the harbour knows of {topic}." for topic in topics]
    assert asyncio.run(ask_all()) == (expected, 0)
    assert asyncio.run(ask_all()) == (expected, 300)


def test_a_limit_that_real_costs_fit_is_waited_for_while_what_is_set_aside_is_in_the_way(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    """What is set aside for a call is about twice what it costs: five at once set aside more than the limit, and cost less."""
    budget = RunBudget(Decimal("0.002"))
    gateway = exchange(budget=budget).gateway(scope)

    async def ask_five() -> list[str]:
        answers = await asyncio.gather(*(gateway.ask(ask_for(word, limit=600)) for word in ("tides", "knots", "ropes", "sails", "masts")))
        return [answer.outcome for answer in answers]

    assert asyncio.run(ask_five()) == ["valid"] * 5
    assert (budget.reserved, simulator.count) == (0, 5)
