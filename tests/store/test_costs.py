"""The ledger added up: what was paid, for what, and when."""

import datetime as dt
import itertools
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, get_args

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pressroom.llm.prices import price_of
from pressroom.records import Usage, stable_id
from pressroom.store.calls import Entry, Ledger
from pressroom.store.costs import By, Cost, Costs, costs, paid_by
from pressroom.store.engine import Store
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import AccountRow, ModelBatchRow, ModelCallRow, SiteRow
from tests.ledgers import book, claim

ACCOUNT = stable_id("account", "a")
STRANGER = stable_id("account", "b")
BREW, HARBOUR = (stable_id("site", slug) for slug in ("brew", "harbour"))
NOVEMBER = (dt.date(2026, 11, 1), dt.date(2026, 11, 30))
NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)

Call = Callable[..., None]


@pytest.fixture
def call(store: Store) -> Call:
    """Writes a call of site brew, answered at noon of 20 November; every column can be given."""
    with store.transaction() as session:
        session.add_all(AccountRow(id=stable_id("account", slug), slug=slug) for slug in ("a", "b"))
        session.flush()
        session.add_all(SiteRow(id=stable_id("site", slug), account_id=ACCOUNT, slug=slug, definition={}) for slug in ("brew", "harbour"))
    numbers = itertools.count()

    def write(cost: str | None = "0.01", **columns: Any) -> None:
        usual: dict[str, Any] = {
            "account_id": ACCOUNT,
            "site_id": BREW,
            "purpose": "draft",
            "item": "idea/x",
            "prompt_id": "draft_x",
            "prompt_version": "0a1b",
            "model": "gpt-4.1-mini",
            "status": "answered",
            "asset": "writer/x_posts",
            "run_id": "run-1",
            "created_at": NOON,
            "answered_at": NOON,
        }
        fixed = {"request_hash": f"{next(numbers):064x}", "generation": "", "provider": "openai", "request": {}}
        with store.transaction() as session:
            session.add(ModelCallRow(**fixed, cost_usd=None if cost is None else Decimal(cost), **(usual | columns)))

    return write


@pytest.fixture
def added_up(store: Store) -> Callable[..., Costs]:
    def of(by: By = "site", since: dt.date = NOVEMBER[0], until: dt.date = NOVEMBER[1], **more: Any) -> Costs:
        with store.transaction() as session:
            session.execute(sa.text("SET LOCAL TIME ZONE 'Asia/Tokyo'"))  # a server's own zone must not matter
            return costs(session, **({"account_id": ACCOUNT, "by": by, "since": since, "until": until} | more))

    return of


def keys(found: Costs) -> list[str]:
    return [row.key for row in found.rows]


@pytest.mark.parametrize(
    ("by", "column", "values", "expected"),
    [
        ("site", "site_id", (HARBOUR, BREW, None), ["harbour", "brew", "(house)"]),
        ("asset", "asset", ("planner/ideas", "writer/x_posts", None), ["planner/ideas", "writer/x_posts", "(none)"]),
        ("model", "model", ("gpt-4.1", "gpt-4.1-mini", "offline"), ["gpt-4.1", "gpt-4.1-mini", "offline"]),
        ("run", "run_id", ("run-2", "run-1", None), ["run-2", "run-1", "(none)"]),
        ("item", "item", ("idea/x", "idea/linkedin", "brew/2026-11-20"), ["idea/x", "idea/linkedin", "brew/2026-11-20"]),
        ("purpose", "purpose", ("draft", "idea", "review"), ["draft", "idea", "review"]),
        ("prompt", "prompt_version", ("2c", "1b", "3d"), ["draft_x@2c", "draft_x@1b", "draft_x@3d"]),
    ],
)
def test_costs_add_up_by_what_is_asked_the_dearest_first(
    call: Call, added_up: Callable[..., Costs], by: By, column: str, values: tuple[Any, ...], expected: list[str]
) -> None:
    for value, prices in zip(values, (["0.5", "0.25"], ["0.1", "0.2"], ["0.05"]), strict=True):
        for price in prices:
            call(price, **{column: value})
    found = added_up(by)
    assert keys(found) == expected
    assert [(row.answered, row.cost_usd) for row in found.rows] == [(2, Decimal("0.75")), (2, Decimal("0.3")), (1, Decimal("0.05"))]
    assert (found.total.answered, found.total.cost_usd) == (5, Decimal("1.1"))


def test_costs_that_are_alike_come_by_key(call: Call, added_up: Callable[..., Costs]) -> None:
    for model in ("gpt-4.1", "GPT-4", "a", "_b"):
        call(model=model)
    assert keys(added_up("model")) == sorted(["gpt-4.1", "GPT-4", "a", "_b"]), "the order is the database's, which differs by its locale"


def test_a_call_counts_on_the_day_of_its_answer_in_utc(call: Call, added_up: Callable[..., Costs]) -> None:
    """Asked in the last minute of October and answered in November, by a clock that is behind UTC."""
    behind = dt.timezone(-dt.timedelta(hours=5))
    call("0.01", created_at=dt.datetime(2026, 10, 31, 18, 59, tzinfo=behind), answered_at=dt.datetime(2026, 10, 31, 19, 0, tzinfo=behind))
    call("0.02", answered_at=dt.datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=dt.UTC))
    call("0.04", answered_at=dt.datetime(2026, 12, 1, tzinfo=dt.UTC))
    call("0.08", answered_at=dt.datetime(2026, 10, 31, 23, 59, 59, tzinfo=dt.UTC))
    by_day = added_up("day")
    assert [(row.key, row.cost_usd) for row in by_day.rows] == [("2026-11-01", Decimal("0.01")), ("2026-11-30", Decimal("0.02"))]
    by_month = added_up("month", dt.date(2026, 1, 1), dt.date(9999, 12, 31))
    assert [(row.key, row.cost_usd) for row in by_month.rows] == [
        ("2026-10", Decimal("0.08")),
        ("2026-11", Decimal("0.03")),
        ("2026-12", Decimal("0.04")),
    ], "months come in their order"
    assert added_up("day", dt.date(2026, 12, 1), dt.date(2026, 12, 1)).total.cost_usd == Decimal("0.04"), "both days are included"


def test_a_call_that_failed_counts_when_it_was_entered_and_costs_nothing(call: Call, added_up: Callable[..., Costs]) -> None:
    call(None, status="failed", attempts=4, answered_at=None)
    call(None, status="failed", attempts=4, answered_at=None, created_at=dt.datetime(2026, 10, 1, tzinfo=dt.UTC))
    (row,) = added_up("day").rows
    assert row == Cost(key="2026-11-20", failed=1), "a call without an answer is no call without a price"


def test_what_is_still_out_or_never_left_is_not_counted(call: Call, added_up: Callable[..., Costs]) -> None:
    """A call that an open circuit or a limit in money held back stands in the ledger as failed, after no try."""
    for status in ("pending", "batched", "failed"):
        call(None, status=status, answered_at=None)
    found = added_up()
    assert (found.rows, found.total) == ((), Cost(key="total"))


def test_all_figures_of_a_call_are_there(store: Store, call: Call, added_up: Callable[..., Costs]) -> None:
    batch = uuid.uuid4()
    with store.transaction() as session:
        session.add(ModelBatchRow(id=batch, account_id=ACCOUNT, provider="openai", model="gpt-4.1", state="collected", requests=1))
    tokens = {"input_tokens": 100, "cached_tokens": 20, "cache_write_tokens": 30, "output_tokens": 40, "images": 2}
    call("0.5", batch_id=batch, **tokens)
    call("0.25", **tokens)
    call(None, model="llama", **tokens)
    call(None, model="llama", **tokens)
    call(None, model="gemma", **tokens)
    doubled = {name: 5 * count for name, count in tokens.items()}
    expected = {"answered": 5, "batched": 1, "cost_usd": Decimal("0.75"), "unpriced": 3, "unpriced_models": ("gemma", "llama")}
    found = added_up()
    assert found.rows == (Cost(key="brew", **doubled, **expected),)
    assert found.total == Cost(key="total", **doubled, **expected)
    assert {row.key: row.unpriced for row in added_up("model").rows} == {"gpt-4.1-mini": 0, "llama": 2, "gemma": 1}


def test_a_site_is_seen_alone_and_another_account_not_at_all(call: Call, added_up: Callable[..., Costs]) -> None:
    call("0.01")
    call("0.02", site_id=HARBOUR)
    call("0.04", site_id=None)
    call("0.08", account_id=STRANGER, site_id=None)
    assert added_up("model").total.cost_usd == Decimal("0.07")
    assert keys(added_up(site_id=HARBOUR)) == ["harbour"]
    assert added_up(account_id=STRANGER).total.cost_usd == Decimal("0.08")


def test_the_costs_are_those_that_the_ledger_booked(store: Store, call: Call, added_up: Callable[..., Costs]) -> None:
    """Through the ledger itself: two answers at their price, one by a model that has none, one that failed."""
    answers = [("gpt-4.1-mini", 100), ("gpt-4.1-mini", 200), ("llama3.3:70b", 300)]
    with OwnerLock(store) as owner:
        ledger = Ledger(store, owner)
        for number, (model, tokens) in enumerate([*answers, ("gpt-4.1-mini", 0)]):
            what = {
                "purpose": "draft",
                "item": f"idea/{number}",
                "prompt_id": "x",
                "prompt_version": "1",
                "provider": "openai",
                "model": model,
            }
            claim(
                ledger,
                Entry(request_hash=f"{number:064}", account_id=ACCOUNT, site_id=BREW, generation="", request={}, run_id="run-9", **what),
            )
            if not tokens:
                ledger.fail(f"{number:064}", "the model endpoint answers 503", attempts=3)
                continue
            usage, price = Usage(input=tokens, output=tokens), price_of(model)
            book(ledger, f"{number:064}", {"id": number}, usage, price.of(usage) if price else None)
    today = dt.datetime.now(dt.UTC).date()
    (row,) = added_up("run", today - dt.timedelta(days=1), today).rows
    assert (row.key, row.answered, row.failed, row.input_tokens, row.output_tokens) == ("run-9", 3, 1, 600, 600)
    assert (row.cost_usd, row.unpriced, row.unpriced_models) == (Decimal("0.0006"), 1, ("llama3.3:70b",))


MOMENTS = st.integers(0, 32 * 24 * 60).map(lambda minutes: dt.datetime(2026, 10, 30, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes))
CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "cost": st.sampled_from([None, "0.000001", "0.123456", "12.5", "0"]),
            "site_id": st.sampled_from([BREW, HARBOUR, None]),
            "asset": st.sampled_from(["writer/x_posts", "planner/ideas", None]),
            "model": st.sampled_from(["gpt-4.1-mini", "llama"]),
            "answered_at": MOMENTS,
            "input_tokens": st.integers(0, 10_000),
        }
    ),
    max_size=8,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CALLS)
def test_however_they_are_added_up_the_total_is_the_same(
    store: Store, call: Call, added_up: Callable[..., Costs], calls: list[Any]
) -> None:
    with store.transaction() as session:
        session.execute(sa.delete(ModelCallRow))
    for columns in calls:
        call(**columns)
    found = {by: added_up(by) for by in get_args(By)}
    assert len({one.total for one in found.values()}) == 1
    counted = [one for one in calls if NOVEMBER[0] <= one["answered_at"].date() <= NOVEMBER[1]]
    total = found["site"].total
    assert (total.answered, total.cost_usd) == (len(counted), sum(Decimal(one["cost"] or 0) for one in counted))


def test_what_a_run_paid_is_told_by_asset_and_no_other_runs_money(store: Store, call: Call) -> None:
    call("0.02", asset="compliance/objects")
    call("0.03", asset="compliance/objects")
    call(None, asset="compliance/nudity")
    call("0.5", asset="compliance/objects", run_id="run-2")
    call("0.7", asset="compliance/objects", status="failed")
    with store.transaction() as session:
        assert paid_by(session, "run-1") == {"compliance/objects": Decimal("0.05"), "compliance/nudity": 0}
        assert paid_by(session, "run-3") == {}
