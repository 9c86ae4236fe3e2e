"""What a call costs: dated, and never free because nobody knows."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.errors import BadInput
from pressroom.llm.openai_provider import MOST_TOKENS
from pressroom.llm.prices import DEAREST, SMALLEST, Price, PriceTable, price_of, price_table
from pressroom.records import Usage

MILLION = 1_000_000
NEWEST = dt.date(9999, 12, 31)


def price(model: str, day: dt.date = NEWEST) -> Price:
    found = price_of(model, day)
    assert found, f"{model} has no price"
    return found


def test_cached_tokens_cost_less_and_thoughts_are_output() -> None:
    mini = price("gpt-4.1-mini")
    assert mini.of(Usage(input=MILLION)) == Decimal("0.40")
    assert mini.of(Usage(input=MILLION, cached=500_000)) == Decimal("0.25")
    assert mini.of(Usage(output=MILLION, reasoning=900_000)) == Decimal("1.60")


def test_writing_into_the_cache_costs_more_only_where_the_model_says_so() -> None:
    """Up to GPT-5.5 OpenAI bills such tokens as any other input, since GPT-5.6 a quarter more."""
    usage = Usage(input=MILLION, cached=200_000, cache_write=400_000)
    assert price("gpt-4.1-mini").of(usage) == Decimal("0.4") * Decimal("0.8") + Decimal("0.1") * Decimal("0.2")
    assert price("gpt-6.1-terra").of(usage) == Decimal("0.4") * Decimal("1.00") + Decimal("0.2") * Decimal("0.05") + Decimal(
        "0.4"
    ) * Decimal("1.25")


def test_an_endpoint_that_counts_more_cached_tokens_than_input_pays_nothing_back() -> None:
    assert price("gpt-4.1-mini").of(Usage(input=10, cached=MILLION)) == Decimal("0.10")


def test_a_batch_costs_half_and_is_unpriced_where_nobody_knows() -> None:
    usage = Usage(input=MILLION, output=MILLION)
    assert price("gpt-4.1-mini").of(usage, batch=True) == Decimal("1.00")
    assert price("gpt-image-2").of(usage, batch=True) is None, "a batch without a known factor would be booked at a wrong price"


def test_an_image_is_billed_in_tokens_or_by_the_piece_and_otherwise_unpriced() -> None:
    """1024 x 1024 in high quality was 4,160 output tokens on gpt-image-1: the 0.167 USD that its page gives for one image."""
    in_tokens = price("gpt-image-1", dt.date(2026, 1, 1))
    assert in_tokens.of(Usage(input=100, output=4160, images=1)) == Decimal("0.1669")
    assert in_tokens.of(Usage(input=100, images=1)) is None, "an image whose tokens nobody counted would be free"
    by_the_piece = Price(model="painter", since=NEWEST, input=Decimal(0), output=Decimal(0), image=Decimal("0.04"))
    assert by_the_piece.of(Usage(images=3)) == Decimal("0.12")


def test_embeddings_are_billed_for_what_goes_in() -> None:
    assert price("text-embedding-3-small").of(Usage(input=MILLION)) == Decimal("0.02")
    assert price("text-embedding-3-large").of(Usage(input=MILLION)) == Decimal("0.13")


@pytest.mark.parametrize(
    ("model", "output"),
    [("gpt-4.1-mini-2025-04-14", "1.60"), ("gpt-4o-2024-05-13", "15.00"), ("gpt-4o", "10.00"), ("gpt-5-nano", "0.40")],
)
def test_a_snapshot_has_its_own_price_or_its_familys(model: str, output: str) -> None:
    assert price(model).output == Decimal(output)


@pytest.mark.parametrize("model", ["llama3.3:70b", "gpt-4.1-mini-turbo", ""])
def test_an_unknown_model_has_no_price_rather_than_none_to_pay(model: str) -> None:
    assert price_of(model) is None


def test_a_price_holds_from_its_day_on() -> None:
    assert price_of("gpt-5", dt.date(2025, 8, 7))
    assert price_of("gpt-5", dt.date(2025, 8, 6)) is None


def test_a_call_keeps_the_price_of_its_day_when_a_later_one_is_lower() -> None:
    assert price("gpt-5.6-luna", dt.date(2026, 7, 29)).output == Decimal("6.00")
    assert price("gpt-5.6-luna", dt.date(2026, 7, 30)).output == Decimal("1.20")


def test_every_price_says_where_and_when_it_was_read() -> None:
    table = price_table()
    assert table.source.startswith("https://")
    for entry in table.prices:
        known = entry.known or table.known
        assert known, f"{entry.model}: read on no day"
        assert entry.since <= known, f"{entry.model}: a price that nobody can have read yet"
        assert 0 < (entry.cached or entry.input) <= entry.input <= (entry.cache_write or entry.input)
        assert entry.output == 0 or entry.input < entry.output


# Laws of the bill. Token counts are those of a call that is not malformed: the cached and the written parts lie inside the input.
TOKENS = st.integers(0, 2_000_000)
PRICES = st.sampled_from(price_table().prices)
PARTS = st.fixed_dictionaries({"fresh": TOKENS, "cached": TOKENS, "cache_write": TOKENS, "output": TOKENS, "images": st.integers(0, 20)})


def usage_of(parts: dict[str, int]) -> Usage:
    parts = dict(parts)
    fresh = parts.pop("fresh")
    return Usage(input=fresh + parts["cached"] + parts["cache_write"], **parts)


@given(PRICES, PARTS, st.sampled_from(["fresh", "cached", "cache_write", "output", "images"]), st.integers(1, MILLION), st.booleans())
def test_more_of_anything_never_costs_less(price: Price, parts: dict[str, int], figure: str, more: int, batch: bool) -> None:
    price = price.model_copy(update={"image": Decimal("0.04")})
    before, after = (price.of(usage_of(used), batch=batch) for used in (parts, parts | {figure: parts[figure] + more}))
    assert before is after is None or (before is not None and after is not None and Decimal(0) <= before <= after)


@given(PRICES, PARTS)
def test_a_batch_is_never_dearer(price: Price, parts: dict[str, int]) -> None:
    single, batched = price.of(usage_of(parts)), price.of(usage_of(parts), batch=True)
    assert single is None or batched is None or batched <= single


@given(PRICES, st.lists(PARTS, min_size=1, max_size=5))
def test_many_calls_cost_what_their_sum_costs(price: Price, calls: list[dict[str, int]]) -> None:
    """To half of the smallest amount for each of them and one for the sum, by which a figure is rounded."""
    price = price.model_copy(update={"image": Decimal("0.04")})
    costs = [price.of(usage_of(parts)) for parts in calls]
    together = price.of(usage_of({figure: sum(parts[figure] for parts in calls) for figure in calls[0]}))
    assert together is not None
    assert abs(sum(cost for cost in costs if cost is not None) - together) <= (len(calls) + 1) * SMALLEST / 2


@given(PRICES, PARTS)
def test_reserving_all_input_as_written_into_the_cache_is_enough(price: Price, parts: dict[str, int]) -> None:
    """Nobody knows before a call what the endpoint will cache; a budget that reserves this much is not passed."""
    usage = usage_of(parts)
    most, cost = price.of(usage.model_copy(update={"cached": 0, "cache_write": usage.input})), price.of(usage)
    assert (most is None and cost is None) or (most is not None and cost is not None and cost <= most)


def test_the_dearest_bill_fits_the_column_of_the_ledger() -> None:
    """A price with too many digits would fail the booking, and the bill would be lost."""
    dearest = Price(model="m", since=NEWEST, input=Decimal(DEAREST), output=Decimal(DEAREST))
    most = dearest.of(Usage(input=MOST_TOKENS, output=MOST_TOKENS))
    assert most
    assert most < 10**8


# A price file of one's own.
ENTRY = "{model: llama3.3:70b, since: 2026-01-01, input: 0.1, output: 0.2, batch: 1}"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "prices.yaml"
    file.write_text(f"prices:\n- {ENTRY}\n- {{model: gpt-4.1-mini, since: 2026-03-01, input: '0.30', output: '1.20'}}\n", encoding="utf-8")
    return file


def test_a_price_file_of_ones_own_adds_models_and_stands_in_for_the_shipped_ones(own: Path) -> None:
    day = dt.date(2026, 11, 20)
    added, agreed, shipped = (price_of(model, day, path=own) for model in ("llama3.3:70b", "gpt-4.1-mini-2025-04-14", "gpt-4.1"))
    assert added
    assert added.of(Usage(input=MILLION, cached=MILLION, output=MILLION)) == Decimal("0.30"), "without a price of its own, cached is input"
    assert agreed
    assert agreed.input == Decimal("0.30")
    assert shipped == price_of("gpt-4.1", day)
    assert price_of("gpt-4.1-mini", dt.date(2026, 2, 1), path=own) is None, "a shipped price between one's own would be a surprise"
    assert price_of("llama3.3:70b", day) is None, "a file of one's own changed the shipped table"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a list under the key 'prices'"),
        ("- a", "expected a list under the key 'prices'"),
        ("prices: []", "expected one entry or more"),
        ("prices: [a, b]", "entry 1: expected a mapping with model, since, input and output"),
        ("prices: [{", "line 1: no valid YAML"),
        pytest.param("[" * 5000, "no valid YAML", id="brackets without end"),
        (f"prices: [{ENTRY}]\ncolour: red", "unknown key 'colour'; known are source, known, prices"),
        (f"prices: [{ENTRY}, {ENTRY}]", "llama3.3:70b has two prices since 2026-01-01"),
        (f"prices: [{ENTRY.replace('output', 'ouput')}]", "entry 1 (llama3.3:70b): unknown key 'ouput'; known are model, since"),
        (f"prices: [{ENTRY.replace(', output: 0.2', '')}]", "entry 1 (llama3.3:70b): output is missing: expected USD per million tokens"),
        (f"prices: [{ENTRY.replace('0.2', '-0.2')}]", "output is wrong: expected USD per million tokens, 0 to 10,000"),
        (
            f"prices: [{ENTRY.replace('0.1', '1e400')}]",
            "entry 1 (llama3.3:70b): input is wrong: expected USD per million tokens, 0 to 10,000",
        ),
        (f"prices: [{ENTRY.replace('0.2', '1e25')}]", "output is wrong: expected USD per million tokens, 0 to 10,000"),
        (f"prices: [{ENTRY.replace('batch', 'image: 1.0e+25, batch')}]", "image is wrong: expected USD for one image, 0 to 10,000"),
        (f"prices: [{ENTRY.replace('0.1', 'cheap')}]", "input is wrong: expected USD per million tokens, 0 to 10,000"),
        (f"prices: [{ENTRY.replace('batch: 1', 'batch: 2')}]", "batch is wrong: expected the part of the price"),
        (f"prices: [{ENTRY.replace('2026-01-01', 'soon')}]", "since is wrong: expected a day, YYYY-MM-DD"),
        (f"prices: [{ENTRY.replace('2026-01-01', '2026-02-30')}]", "no valid YAML (day is out of range"),
        (f"prices: [{ENTRY.replace('model: llama3.3:70b, ', '')}]", "entry 1: model is missing: expected the model's name"),
    ],
)
def test_a_bad_price_file_is_named_with_its_entry_and_what_was_expected(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        price_table(file)
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)


def test_a_price_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(BadInput, match=r"cannot be read .*; expected a price table"):
            price_table(path)


def test_the_table_finds_the_newest_price_whatever_the_order_of_its_entries() -> None:
    entries = [Price(model="m", since=dt.date(2026, month, 1), input=Decimal(month), output=Decimal(0)) for month in (5, 1, 3)]
    table = PriceTable(prices=tuple(entries))
    found = [table.price_of("m", dt.date(2026, month, 15)) for month in (2, 4, 6)]
    assert [price and price.input for price in found] == [1, 3, 5]
