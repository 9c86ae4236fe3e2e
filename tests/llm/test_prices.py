"""What a call costs: dated, and never free because nobody knows."""

import datetime as dt
from decimal import Decimal

import pytest

from pressroom.llm.prices import price_of, price_table
from pressroom.records import Usage


def test_cached_tokens_cost_less_and_thoughts_are_output() -> None:
    price = price_of("gpt-4.1-mini")
    assert price
    assert price.of(Usage(input=1_000_000)) == Decimal("0.40")
    assert price.of(Usage(input=1_000_000, cached=500_000)) == Decimal("0.25")
    assert price.of(Usage(output=1_000_000, reasoning=900_000)) == Decimal("1.60")


@pytest.mark.parametrize(
    ("model", "output"),
    [("gpt-4.1-mini-2025-04-14", "1.60"), ("gpt-4o-2024-05-13", "15.00"), ("gpt-4o", "10.00"), ("gpt-5-nano", "0.40")],
)
def test_a_snapshot_has_its_own_price_or_its_familys(model: str, output: str) -> None:
    price = price_of(model)
    assert price
    assert price.output == Decimal(output)


@pytest.mark.parametrize("model", ["llama3.3:70b", "gpt-4.1-mini-turbo", ""])
def test_an_unknown_model_has_no_price_rather_than_none_to_pay(model: str) -> None:
    assert price_of(model) is None


def test_a_price_holds_from_its_day_on() -> None:
    assert price_of("gpt-5", dt.date(2025, 8, 7))
    assert price_of("gpt-5", dt.date(2025, 8, 6)) is None


def test_every_price_says_where_and_when_it_was_read() -> None:
    table = price_table()
    assert table.source.startswith("https://")
    assert all(price.since <= table.known for price in table.prices)
    assert all(Decimal(0) < price.cached <= price.input < price.output for price in table.prices)
