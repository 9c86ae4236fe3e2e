"""A model that stands in for another one: when it is asked, what it is booked as, and that nothing is paid twice for it."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from pressroom.errors import BadInput, OverBudget, Permanent, PressroomError, Transient
from pressroom.llm.budget import RunBudget
from pressroom.llm.gateway import Exchange
from pressroom.llm.models import OneRoute
from pressroom.llm.offline_provider import OfflineProvider
from pressroom.llm.openai_provider import OpenAIProvider
from pressroom.llm.pace import FAILING_FOR_S, FAILURES
from pressroom.llm.types import Answer, Provider, Request, Scope
from pressroom.store.calls import Bill, Booked, Claim, Entry, Ledger
from pressroom.store.engine import Store
from pressroom.store.tables import ModelCallRow
from simulators.openai import OpenAISimulator
from tests.llm.conftest import KEY

MakeExchange = Callable[..., Exchange]
MakeRequest = Callable[..., Request]
FIRST, SECOND = "gpt-4.1-mini", "gpt-4o-mini"


@pytest.fixture
def other() -> Iterator[OpenAISimulator]:
    """The endpoint of the model that stands in."""
    with OpenAISimulator() as running:
        yield running


def hosted(simulator: OpenAISimulator, model: str) -> OpenAIProvider:
    return OpenAIProvider(key=SecretStr(KEY), base_url=simulator.base_url, model=model)


@pytest.fixture
def both(simulator: OpenAISimulator, other: OpenAISimulator, exchange: MakeExchange) -> MakeExchange:
    """An exchange of which the first model is at one endpoint, the other at another."""
    return lambda **options: exchange(routes=OneRoute(hosted(simulator, FIRST), hosted(other, SECOND)), tries=2, **options)


def rows(store: Store) -> dict[str, tuple[str, int]]:
    """Status and attempts by model."""
    with store.transaction() as session:
        return {row.model: (row.status, row.attempts) for row in session.scalars(sa.select(ModelCallRow))}


@pytest.mark.parametrize(
    ("kind", "sent"),
    [("503", 2), ("reset", 2), ("html", 2), ("429", 2), ("404", 1), ("401", 1), ("402", 1), ("insufficient_quota", 1), ("400", 1)],
)
def test_another_model_stands_in_and_a_warning_names_both(
    store: Store,
    scope: Scope,
    simulator: OpenAISimulator,
    other: OpenAISimulator,
    both: MakeExchange,
    ask_for: MakeRequest,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    sent: int,
) -> None:
    simulator.fail(kind, times=None)
    gateway = both().gateway(scope)
    with caplog.at_level(logging.WARNING):
        answer = asyncio.run(gateway.ask(ask_for()))
    assert (answer.outcome, answer.model, answer.replayed) == ("valid", SECOND, False)
    assert (simulator.count, other.count) == (sent, 1)
    assert rows(store) == {FIRST: ("failed", sent), SECOND: ("answered", 1)}
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "pressroom.llm.gateway"]
    assert warning.startswith(f"{FIRST} does not answer, {SECOND} stands in: ")
    assert KEY not in warning


def test_that_a_model_stands_in_is_said_once_for_all_calls(
    scope: Scope, simulator: OpenAISimulator, both: MakeExchange, ask_for: MakeRequest, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.fail("404", times=None)
    gateway = both().gateway(scope)

    async def ask_all() -> list[Answer[Any]]:
        return await asyncio.gather(*(gateway.ask(ask_for(f"tide {number}")) for number in range(5)))

    assert {answer.model for answer in asyncio.run(ask_all())} == {SECOND}
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


def test_its_answer_is_replayed_although_the_first_is_back(
    scope: Scope, simulator: OpenAISimulator, other: OpenAISimulator, both: MakeExchange, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.fail("503", times=2)
    first = asyncio.run(both().gateway(scope).ask(ask_for()))
    gateway = both().gateway(scope)
    again = asyncio.run(gateway.ask(ask_for()))
    assert (again.replayed, again.model, again.call, again.value) == (True, SECOND, first.call, first.value)
    assert (gateway.tally.paid, gateway.tally.replayed) == (0, 1)
    assert (simulator.count, other.count) == (2, 1), "paid twice"
    # It is booked as what it is: who asks that model itself has it, and the first model's own answer is another one.
    alone = exchange(routes=OneRoute(hosted(other, SECOND))).gateway(scope)
    assert asyncio.run(alone.ask(ask_for())).call == first.call
    other_way = exchange(routes=OneRoute(hosted(simulator, FIRST))).gateway(scope)
    assert asyncio.run(other_way.ask(ask_for())).call != first.call


def test_an_answer_that_the_first_gave_before_it_went_down_is_replayed(
    scope: Scope, simulator: OpenAISimulator, other: OpenAISimulator, both: MakeExchange, ask_for: MakeRequest
) -> None:
    asyncio.run(both().gateway(scope).ask(ask_for()))
    simulator.fail("503", times=None)
    answer = asyncio.run(both().gateway(scope).ask(ask_for()))
    assert (answer.replayed, answer.model) == (True, FIRST)
    assert (simulator.count, other.count) == (1, 0)


@pytest.mark.parametrize("kind", ["refusal", "filtered", "incomplete", "empty", "not-json"])
def test_an_answer_of_no_use_is_an_answer_and_no_reason_to_ask_another_model(
    scope: Scope, simulator: OpenAISimulator, other: OpenAISimulator, both: MakeExchange, ask_for: MakeRequest, kind: str
) -> None:
    simulator.fail(kind)
    answer = asyncio.run(both().gateway(scope).ask(ask_for()))
    assert answer.value is None
    assert answer.model == FIRST
    assert other.count == 0


def test_when_no_model_answers_the_error_is_the_last_ones(
    store: Store, scope: Scope, simulator: OpenAISimulator, other: OpenAISimulator, both: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.fail("503", times=None)
    other.fail("404", times=None)
    with pytest.raises(Permanent, match=rf"127\.0\.0\.1:{other.port} answers 404"):
        asyncio.run(both().gateway(scope).ask(ask_for()))
    assert rows(store) == {FIRST: ("failed", 2), SECOND: ("failed", 1)}


def test_while_the_circuit_of_the_first_is_open_it_is_not_asked_at_all(
    scope: Scope,
    simulator: OpenAISimulator,
    other: OpenAISimulator,
    both: MakeExchange,
    ask_for: MakeRequest,
    pass_time: Callable[[float], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    simulator.fail("503", times=None)
    running = both().gateway(scope)
    for number in range(FAILURES):
        asyncio.run(running.ask(ask_for(f"topic {number}")))
        if number == 0:
            pass_time(FAILING_FOR_S)
    running.exchange.close()
    sent = simulator.count
    answer = asyncio.run(both().gateway(scope).ask(ask_for("tides")))
    assert answer.model == SECOND
    assert simulator.count == sent
    assert "is left alone" in caplog.text


def test_a_pause_that_is_too_long_to_wait_for_is_a_reason(
    scope: Scope, simulator: OpenAISimulator, other: OpenAISimulator, both: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.fail("429", retry_after=3000)
    running = both().gateway(scope)
    models = [asyncio.run(running.ask(ask_for(topic))).model for topic in ("tides", "knots")]
    assert models == [SECOND, SECOND]
    assert simulator.count == 1, "the endpoint asked to be left alone for fifty minutes"


def test_this_machine_may_stand_in(scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest) -> None:
    simulator.fail("401", times=None)
    providers: list[Provider] = [hosted(simulator, FIRST), OfflineProvider()]
    answer = asyncio.run(exchange(routes=OneRoute(*providers)).gateway(scope).ask(ask_for("knots")))
    assert (answer.model, answer.cost_usd) == ("offline", 0)
    assert answer.value.text == "What the harbour knows of knots."


# --- what is no reason ---


class BookedNowhere(Ledger):
    def book(self, bills: Sequence[Bill]) -> list[Booked]:
        raise Transient("the PostgreSQL at localhost:5432/pressroom does not answer")


class Misnamed(Ledger):
    def claim(self, entries: Sequence[Entry]) -> list[Claim]:
        raise BadInput("PRESSROOM_DATABASE_URL: the PostgreSQL at localhost:5432/pressroom refuses user a or the password")


class BackSoon(Ledger):
    """Away for the first call, and back for the next."""

    times = 1

    def claim(self, entries: Sequence[Entry]) -> list[Claim]:
        if self.times:
            self.times -= 1
            raise Transient("the PostgreSQL at localhost:5432/pressroom does not answer")
        return super().claim(entries)


@pytest.mark.parametrize(("ledger_type", "sent"), [(BookedNowhere, 1), (Misnamed, 0), (BackSoon, 0)])
def test_a_database_that_fails_is_no_reason_to_pay_another_model(
    scope: Scope,
    simulator: OpenAISimulator,
    other: OpenAISimulator,
    both: MakeExchange,
    ask_for: MakeRequest,
    ledger_type: type[Ledger],
    sent: int,
) -> None:
    with pytest.raises(PressroomError, match="PostgreSQL"):
        asyncio.run(both(ledger_type=ledger_type).gateway(scope).ask(ask_for()))
    assert (simulator.count, other.count) == (sent, 0)


def test_money_that_is_not_there_is_no_reason(
    scope: Scope, simulator: OpenAISimulator, other: OpenAISimulator, both: MakeExchange, ask_for: MakeRequest
) -> None:
    with pytest.raises(OverBudget):
        asyncio.run(both(budget=RunBudget(Decimal("0.0000001"))).gateway(scope).ask(ask_for()))
    assert (simulator.count, other.count) == (0, 0)


def test_the_reservation_of_the_model_that_failed_is_given_back(
    scope: Scope, simulator: OpenAISimulator, both: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.fail("503", times=None)
    budget = RunBudget(Decimal(1))
    gateway = both(budget=budget).gateway(scope)
    answer = asyncio.run(gateway.ask(ask_for()))
    assert budget.reserved == 0
    assert budget.spent == answer.cost_usd == gateway.tally.cost_usd
