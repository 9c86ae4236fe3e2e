"""`pressroom costs` as an owner and a script meet it."""

import datetime as dt
import itertools
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, get_args

import pytest
from rich.cells import cell_len

from cli import costs as command
from pressroom.store import costs as stored
from pressroom.store.engine import Store
from pressroom.store.sites import apply_site
from pressroom.store.tables import ModelBatchRow, ModelCallRow
from tests.cli.conftest import Pressroom
from tests.samples import SITE
from tests.telling import document, shown, told

THEIRS = SITE.model_copy(update={"slug": "theirs", "account": "another"})
HARBOUR = SITE.model_copy(update={"slug": "harbour"})
ANSWERED = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
NOVEMBER = ("--month", "2026-11")

Call = Callable[..., None]


@pytest.fixture
def call(store: Store) -> Call:
    """Writes a call of site brew, answered at noon of 20 November 2026; every column can be given."""
    with store.transaction() as session:
        for site in (SITE, HARBOUR, THEIRS):
            apply_site(session, site)
    numbers = itertools.count()
    usual: dict[str, Any] = {
        "account_id": SITE.account_id,
        "site_id": SITE.id,
        "purpose": "draft",
        "item": "idea/x",
        "generation": "",
        "prompt_id": "draft_x",
        "prompt_version": "0a1b",
        "provider": "openai",
        "model": "gpt-4.1-mini",
        "request": {},
        "status": "answered",
        "input_tokens": 2000,
        "output_tokens": 500,
        "asset": "writer/x_posts",
        "run_id": "run-1",
        "created_at": ANSWERED,
        "answered_at": ANSWERED,
    }

    def write(cost: str | None, **columns: Any) -> None:
        known = None if cost is None else Decimal(cost)
        with store.transaction() as session:
            session.add(ModelCallRow(request_hash=f"{next(numbers):064x}", cost_usd=known, **(usual | columns)))

    return write


@pytest.fixture
def costs(here: None, pressroom: Pressroom) -> Pressroom:
    return partial(pressroom, "costs", width=80)


def test_the_costs_of_the_sites_are_one_table_with_a_total(call: Call, costs: Pressroom) -> None:
    call("0.75", site_id=HARBOUR.id)
    call("0.2")
    call("0.05", site_id=None)
    table = shown(costs(*NOVEMBER))
    title, headings, *rows = (line.split() for line in table.splitlines())
    assert title == ["2026-11-01", "to", "2026-11-30", "(UTC)"]
    assert headings == ["site", "calls", "input", "output", "USD", "share"]
    assert [row[:5] for row in rows] == [
        ["harbour", "1", "2,000", "500", "0.7500"],
        ["brew", "1", "2,000", "500", "0.2000"],
        ["(house)", "1", "2,000", "500", "0.0500"],
        ["total", "3", "6,000", "1,500", "1.0000"],
    ]
    assert [row[5].count("█") for row in rows[:3]] == [15, 4, 1], "the bars are no shares of the whole"


def test_figures_that_are_seldom_there_have_a_column_when_they_are(store: Store, call: Call, costs: Pressroom) -> None:
    batch = uuid.uuid4()
    with store.transaction() as session:
        session.add(ModelBatchRow(id=batch, account_id=SITE.account_id, provider="openai", model="m", state="collected", requests=1))
    call("0.2", site_id=None)
    call("0.1", batch_id=batch, cached_tokens=1500, cache_write_tokens=300, images=2, input_tokens=12_345_678)
    call(None, status="failed", attempts=4, answered_at=None, input_tokens=0, output_tokens=0)
    _, headings, *rows = (line.split() for line in shown(costs(*NOVEMBER)).splitlines())
    assert headings[:10] == ["site", "calls", "failed", "batched", "input", "cached", "written", "output", "images", "USD"]
    assert rows[1][:10] == ["brew", "1", "1", "1", "12.3M", "1,500", "300", "500", "2", "0.1000"]


@pytest.mark.parametrize("width", [80, 200])
def test_a_table_is_never_wider_than_the_terminal(call: Call, costs: Pressroom, width: int) -> None:
    """The longest of everything: an item is an id and a platform, a run an id."""
    run, item = "6f1f0c5e-9c0e-5d3a-8a52-5f0b6d1f7a10", "6f1f0c5e-9c0e-5d3a-8a52-5f0b6d1f7a10/instagram"
    long = {"run_id": run, "item": item, "asset": "writer/instagram_reels", "model": "accounts/them/models/an-open-model-70b-instruct"}
    many = dict.fromkeys(("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens"), 987_654_321)
    call("98765.4321", **long, **many)
    call(None, status="failed", attempts=4, answered_at=None, **long)
    for by in get_args(command.By):
        table = shown(costs("--by", by, *NOVEMBER, width=width))
        assert max(cell_len(line) for line in table.splitlines()) <= width
        for figure in ("987.7M", "98,765.4321", "failed", "written"):
            assert figure in table, f"by {by}, a figure was cut off"


def test_the_bar_goes_first_where_room_is_short(call: Call, costs: Pressroom) -> None:
    call("0.5")
    assert "█" in shown(costs(*NOVEMBER, width=60))
    narrow = shown(costs(*NOVEMBER, width=36))
    assert "█" not in narrow
    assert "0.5000" in narrow


def test_a_call_whose_endpoint_did_not_say_what_it_used_is_no_matter_of_the_price_table(call: Call, costs: Pressroom) -> None:
    call(None, input_tokens=0, output_tokens=0)
    said = "of unknown cost: gpt-4.1-mini; the endpoint did not say what was used, or no price was known then"
    assert shown(costs(*NOVEMBER)).splitlines()[-1] == f"1 call {said}"
    call(None, input_tokens=0, output_tokens=0)
    call(None, model="llama3.3:70b")
    assert shown(costs(*NOVEMBER, "--by", "day")).splitlines()[-2:] == [
        "1 call without a known price: llama3.3:70b; add it to the price table that PRESSROOM_PRICES names",
        f"2 calls {said}",
    ]


def test_calls_without_an_answer_are_said_to_be_free_and_where_they_are_told_apart(call: Call, costs: Pressroom) -> None:
    call("0.1", site_id=None)
    for item in ("idea/x", "idea/linkedin"):
        call(None, status="failed", attempts=4, answered_at=None, site_id=None, item=item)
    call(None, status="failed", attempts=0, answered_at=None, item="held-back/x")
    lines = shown(costs(*NOVEMBER)).splitlines()
    assert lines[-1] == "2 calls got no answer and cost nothing; --by item tells which"
    assert [line.split()[0] for line in lines[2:-1]] == ["(house)", "total"]
    by_item = shown(costs("--by", "item", *NOVEMBER)).splitlines()
    assert by_item[-1] == "2 calls got no answer and cost nothing"
    assert [line.split()[:3] for line in by_item[2:5]] == [["idea/x", "1", "1"], ["idea/linkedin", "0", "1"], ["total", "1", "2"]]


def test_calls_without_a_price_are_said_and_never_shown_as_free(call: Call, costs: Pressroom) -> None:
    call(None, model="llama3.3:70b")
    line = shown(costs(*NOVEMBER)).splitlines()
    assert line[2].split()[4] == "unpriced"
    assert line[-1] == "1 call without a known price: llama3.3:70b; add it to the price table that PRESSROOM_PRICES names"
    call(None, model="gemma[bold]")
    call("0.00002", site_id=HARBOUR.id)
    call("0.25")
    table = shown(costs(*NOVEMBER, width=100))
    assert [line.split()[4] for line in table.splitlines()[2:5]] == ["0.2500+", "<0.0001", "0.2500+"]
    assert table.endswith(
        "2 calls without a known price: gemma[bold], llama3.3:70b; add them to the price table that PRESSROOM_PRICES names\n"
    )


def test_of_many_rows_the_dearest_are_shown_and_the_others_summed_up(call: Call, costs: Pressroom) -> None:
    for number in range(command.MOST_ROWS + 3):
        call(f"{0.01 + number / 1000:.3f}", item=f"idea/{number:03}")
    table = shown(costs("--by", "item", *NOVEMBER))
    assert "idea/003" in table
    assert "idea/002" not in table
    assert "and 3 more, together 0.0330 USD; --json has all" in table
    assert len(document(costs("--by", "item", *NOVEMBER, "--json"))["rows"]) == command.MOST_ROWS + 3


def test_days_come_in_their_order(call: Call, costs: Pressroom) -> None:
    for day, cost in ((3, "0.1"), (1, "0.3"), (2, "0.2")):
        call(cost, answered_at=dt.datetime(2026, 11, day, tzinfo=dt.UTC))
    lines = shown(costs("--by", "day", "--since", "2026-11-01", "--until", "2026-11-02")).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["2026-11-01", "2026-11-02", "total"]


def test_a_script_reads_one_document(call: Call, costs: Pressroom) -> None:
    call("0.000125", cached_tokens=1500)
    call(None, model="llama3.3:70b")
    found = document(costs("--by", "model", *NOVEMBER, "--site", "brew", "--json"))
    assert found.keys() == {"by", "since", "until", "rows", "total"}
    assert (found["by"], found["since"], found["until"]) == ("model", "2026-11-01", "2026-11-30")
    assert [row["key"] for row in found["rows"]] == ["gpt-4.1-mini", "llama3.3:70b"]
    assert found["rows"][0] == {
        "key": "gpt-4.1-mini",
        "answered": 1,
        "failed": 0,
        "batched": 0,
        "input_tokens": 2000,
        "cached_tokens": 1500,
        "cache_write_tokens": 0,
        "output_tokens": 500,
        "images": 0,
        "cost_usd": 0.000125,
        "unpriced": 0,
        "unpriced_models": [],
    }
    total = {"answered": 2, "input_tokens": 4000, "output_tokens": 1000, "unpriced": 1, "unpriced_models": ["llama3.3:70b"]}
    assert found["total"] | {"key": "gpt-4.1-mini"} == found["rows"][0] | total


def test_this_month_is_meant_when_nothing_is_said(call: Call, costs: Pressroom) -> None:
    now = dt.datetime.now(dt.UTC)
    call("0.5", answered_at=now)
    call("0.25", answered_at=now - dt.timedelta(days=40))
    assert document(costs("--json"))["total"]["cost_usd"] == 0.5


def test_a_time_without_calls_is_one_friendly_line(call: Call, costs: Pressroom) -> None:
    call("0.5")
    december = shown(costs("--month", "2026-12", "--site", "brew"))
    assert december == "No model was asked for brew from 2026-12-01 to 2026-12-31 (UTC): nothing was spent.\n"
    assert document(costs("--month", "2026-12", "--json")) == {
        "by": "site",
        "since": "2026-12-01",
        "until": "2026-12-31",
        "rows": [],
        "total": json.loads(stored.Cost(key="").model_dump_json(exclude={"key"})) | {"cost_usd": 0.0},
    }


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--by", "colour"), ("'--by'", "'colour'", "'site', 'asset', 'model', 'day'")),
        (("--month", "2026"), ("--month 2026", "YYYY-MM")),
        (("--month", "2026-13"), ("--month 2026-13", "YYYY-MM")),
        (("--since", "yesterday"), ("--since yesterday", "YYYY-MM-DD")),
        (("--until", "2026-02-30"), ("--until 2026-02-30", "YYYY-MM-DD")),
        (("--since", "2026-11-02", "--until", "2026-11-01"), ("--since 2026-11-02", "after --until 2026-11-01")),
        (("--since", "9999-01-01"), ("--since 9999-01-01", "after today")),
        (("--month", "2026-11", "--since", "2026-11-02"), ("--month", "not together with --since or --until")),
        (("--site", "brwe"), ("site 'brwe' is unknown", "brew")),
        (("--site", "theirs"), ("site 'theirs' belongs to the account 'another'", "PRESSROOM_ACCOUNT")),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(call: Call, costs: Pressroom, words: tuple[str, ...], named: tuple[str, ...]) -> None:
    for more in ((), ("--json",)):
        assert told(costs(*words, *more), 2, *named) is None


@pytest.mark.parametrize(
    ("month", "since", "until", "expected"),
    [
        (None, None, None, ("2026-11-01", "2026-11-30")),
        ("2024-02", None, None, ("2024-02-01", "2024-02-29")),
        ("9999-12", None, None, ("9999-12-01", "9999-12-31")),
        (None, "2026-03-04", None, ("2026-03-04", "2026-11-21")),
        (None, None, "2026-03-04", ("2026-03-01", "2026-03-04")),
        (None, "2026-03-04", "2026-03-04", ("2026-03-04", "2026-03-04")),
    ],
)
def test_what_is_left_out_of_a_time_is_filled_in(
    month: str | None, since: str | None, until: str | None, expected: tuple[str, str]
) -> None:
    first, last = command.period(month, since, until, today=dt.date(2026, 11, 21))
    assert (str(first), str(last)) == expected


def test_the_command_knows_every_way_to_add_up() -> None:
    assert get_args(command.By) == get_args(stored.By)


def test_the_digits_of_a_version_are_cut_for_people_and_whole_for_scripts(call: Call, costs: Pressroom) -> None:
    """64 of them broke the table into lines of one letter."""
    model = f"lucataco/nsfw_image_detection:{'0123456789abcdef' * 4}"
    call(None, model=model)
    lines = shown(costs(*NOVEMBER, "--by", "model")).splitlines()
    assert lines[2].startswith("lucataco/nsfw_image_detection:0123456789ab ")
    assert "lucataco/nsfw_image_detection:0123456789ab" in lines[-1]
    (row,) = document(costs(*NOVEMBER, "--by", "model", "--json"))["rows"]
    assert row["key"] == model
