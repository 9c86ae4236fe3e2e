"""What one item may cost: refinement stops with what there is, and a re-run comes to the same."""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
from pydantic import BaseModel

from pressroom.errors import OverBudget
from pressroom.llm.gateway import Exchange
from pressroom.llm.refine import Refined, refine
from pressroom.llm.types import Request, Scope
from pressroom.records import Violation
from simulators.openai import OpenAISimulator

MakeExchange = Callable[..., Exchange]
MakeRequest = Callable[..., Request[BaseModel]]


def never(post: BaseModel) -> Sequence[Violation]:
    """A rule that no answer keeps."""
    return [Violation(code="words", severity="error", measured=9, limit=5, message="9 words, at most 5", part="text")]


def refined(exchange: Exchange, scope: Scope, request: Request[BaseModel]) -> Refined[BaseModel]:
    return asyncio.run(refine(exchange.gateway(scope), request, never))


@pytest.fixture
def two_rounds(scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest) -> Decimal:
    """A limit that is enough for an answer and a refinement, and not for three."""
    answers = refined(exchange(), scope, ask_for("a measure")).answers
    assert len(answers) == 4
    simulator.requests.clear()
    provider = exchange().routes.of("draft").providers[0]
    most = provider.price(provider.largest(ask_for("a measure")))
    assert most
    return most + sum((answer.cost_usd or Decimal(0) for answer in answers[:2]), Decimal(0))


def test_refinement_stops_with_what_there_is_when_the_item_has_cost_enough(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, two_rounds: Decimal
) -> None:
    running = exchange(item_usd=two_rounds)
    found = refined(running, scope, ask_for())
    assert 1 < len(found.answers) == simulator.count < 4
    assert found.answer.value is not None
    assert not found.passes
    assert found.stopped.startswith(f"the limit of {two_rounds} USD for one item would be passed for idea/")
    assert sum(answer.cost_usd or 0 for answer in found.answers) <= two_rounds
    other = refined(running, scope, ask_for("another item"))
    assert len(other.answers) == len(found.answers), "one item's answers were counted for another"


def test_a_re_run_replays_to_the_same_result_and_pays_nothing(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest, two_rounds: Decimal
) -> None:
    first = refined(exchange(item_usd=two_rounds), scope, ask_for())
    sent = simulator.count
    again = refined(exchange(item_usd=two_rounds), scope, ask_for())
    assert (again.calls, again.stopped, again.violations) == (first.calls, first.stopped, first.violations)
    assert all(answer.replayed for answer in again.answers)
    assert simulator.count == sent
    # With more money it goes on where it stopped.
    further = refined(exchange(item_usd=2 * two_rounds), scope, ask_for())
    assert further.calls[: len(first.calls)] == first.calls
    assert len(further.calls) == 4
    assert simulator.count == 4


def test_a_limit_that_is_too_small_for_the_first_answer_is_said(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    with pytest.raises(OverBudget, match=r"limit of 0\.000001 USD for one item would be passed for idea/7: 0\.0000 spent, up to 0\.0"):
        refined(exchange(item_usd=Decimal("0.000001")), scope, ask_for(item="idea/7"))
    assert simulator.count == 0


def test_a_model_without_a_price_has_no_limit_for_an_item(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    simulator.models = ("llama3.3",)
    assert len(refined(exchange(model="llama3.3", item_usd=Decimal("0.01")), scope, ask_for()).answers) == 4


def test_an_answer_whose_bill_makes_no_sense_counts_as_the_most_that_it_can_have_cost(
    scope: Scope, simulator: OpenAISimulator, exchange: MakeExchange, ask_for: MakeRequest
) -> None:
    provider = exchange().routes.of("draft").providers[0]
    most = provider.price(provider.largest(ask_for()))
    assert most
    simulator.fail("no-usage", times=None)
    limit = most * Decimal("1.5")
    assert len(refined(exchange(item_usd=limit), scope, ask_for()).answers) == 1
    assert len(refined(exchange(item_usd=limit), scope, ask_for()).answers) == 1, "a re-run counts it for less"
    assert simulator.count == 1
