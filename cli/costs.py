"""`pressroom costs`: what the models cost, and for what."""

import datetime as dt
import re
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.days import day_of, month_of
from cli.output import JsonFlag, emit, out, printable
from pressroom.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.text import Text

    from pressroom.store.costs import Cost, Costs

By = Literal["site", "asset", "model", "day", "month", "run", "item", "purpose", "prompt"]

MOST_ROWS = 50  # people read a screen or two; a month has thousands of items
BAR, SHORTEST_BAR = 20, 6  # cells
HEADINGS = {
    "answered": "calls",
    "failed": "failed",
    "batched": "batched",
    "input_tokens": "input",
    "cached_tokens": "cached",
    "cache_write_tokens": "written",
    "output_tokens": "output",
    "images": "images",
    "cost_usd": "USD",
}
SELDOM = {"failed", "batched", "cached_tokens", "cache_write_tokens", "images"}
SMALLEST_SHOWN = Decimal("0.0001")  # USD, as the table rounds


def costs(
    by: Annotated[By, typer.Option("--by", help="What to add up by.")] = "site",
    site: Annotated[str | None, typer.Option("--site", metavar="SLUG", help="Only this site.")] = None,
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="A month; default: this one.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="YYYY-MM-DD", help="First day; default: the first of the month.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="YYYY-MM-DD", help="Last day; default: today.")] = None,
    json: JsonFlag = False,
) -> None:
    """Shows what the models cost. A call counts on the day of its answer in UTC; replayed answers are free and not counted."""
    from cli.opening import open_desk
    from pressroom.records import stable_id
    from pressroom.settings import load_settings
    from pressroom.store.costs import costs as add_up
    from pressroom.store.sites import site_by_slug

    first, last = period(month, since, until, today=dt.datetime.now(dt.UTC).date())
    settings = load_settings()
    with open_desk(settings) as store, store.transaction() as session:
        site_id = site_by_slug(session, site, account=settings.account).id if site else None
        of_period = partial(add_up, session, account_id=stable_id("account", settings.account), since=first, until=last, site_id=site_id)
        found = of_period(by=by)
        by_model = of_period(by="model") if found.total.unpriced and not json else None
    if json:
        emit(_document(found))
    elif found.rows:
        _show(found, [*_without_answer(found), *(_without_cost(by_model, settings.prices) if by_model else ())])
    else:
        whose = f" for {site}" if site else ""
        out.print(f"No model was asked{whose} from {first} to {last} (UTC): nothing was spent.", highlight=False, soft_wrap=True)


def period(month: str | None, since: str | None, until: str | None, *, today: dt.date) -> tuple[dt.date, dt.date]:
    """The first and the last day that are meant; without any, those of the month of `today`. Raises BadInput that names the option."""
    if month and (since or until):
        raise BadInput("--month: not together with --since or --until; give a month, or a first and a last day")
    if not since and not until:
        start = month_of("--month", month) if month else today.replace(day=1)
        return start, _end_of_month(start)
    last = day_of("--until", until) if until else today
    first = day_of("--since", since) if since else last.replace(day=1)
    if first > last:
        raise BadInput(f"--since {first}: is after {f'--until {last}' if until else f'today, which is {last} in UTC'}")
    return first, last


def _end_of_month(day: dt.date) -> dt.date:
    import calendar

    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def _document(found: "Costs") -> dict[str, Any]:
    """The costs for a script, with money as a number."""

    def plain(cost: "Cost") -> dict[str, Any]:
        return cost.model_dump(mode="json") | {"cost_usd": float(cost.cost_usd)}

    total = {name: value for name, value in plain(found.total).items() if name != "key"}
    return {"by": found.by, "since": found.since, "until": found.until, "rows": [plain(row) for row in found.rows], "total": total}


def _show(found: "Costs", remarks: "Sequence[str]") -> None:
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    rows = found.rows if found.by in ("day", "month") else found.rows[:MOST_ROWS]
    columns = {name: heading for name, heading in HEADINGS.items() if name not in SELDOM or getattr(found.total, name)}
    lines = [[_shown(row.key), *(_figure(row, name) for name in columns)] for row in (*rows, found.total)]
    width = sum(max(map(cell_len, cells)) + 1 for cells in zip([found.by, *columns.values()], *lines, strict=True))
    bar = min(BAR, out.width - width)

    table = Table(title=f"{found.since} to {found.until} (UTC)", title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(found.by, overflow="fold")
    for heading in columns.values():
        table.add_column(heading, justify="right", no_wrap=True)
    if bar >= SHORTEST_BAR:
        table.add_column("share")
    for row, (key, *figures) in zip(rows, lines, strict=False):  # the last line is the total
        table.add_row(Text(key), *figures, *([_bar(row, found.total, bar)] if bar >= SHORTEST_BAR else []))
    table.add_row(*lines[-1], style="bold")
    out.print(table)
    if left_out := found.rows[len(rows) :]:
        remarks = [f"and {len(left_out):,} more, together {sum(row.cost_usd for row in left_out):,.4f} USD; --json has all", *remarks]
    for remark in remarks:
        out.print(remark, markup=False, highlight=False, soft_wrap=True)


def _figure(row: "Cost", name: str) -> str:
    if name == "cost_usd":
        return _money(row)
    count: int = getattr(row, name)
    return f"{count:,}" if count < 1_000_000 else f"{count / 1_000_000:,.1f}M"


def _money(row: "Cost") -> str:
    """USD: never 0 for what was not free, and with a + where an answer without a price comes on top."""
    if row.unpriced and not row.cost_usd:
        return "unpriced"
    shown = f"<{SMALLEST_SHOWN}" if 0 < row.cost_usd < SMALLEST_SHOWN else f"{row.cost_usd:,.4f}"
    return f"{shown}+" if row.unpriced else shown


def _bar(row: "Cost", total: "Cost", cells: int) -> "Text":
    """The row's share of the whole."""
    from rich.text import Text

    share = round(cells * row.cost_usd / total.cost_usd) if total.cost_usd else 0
    return Text.assemble(("█" * share, "green"), ("░" * (cells - share), "bright_black"))


def _without_answer(found: "Costs") -> "Iterator[str]":
    """That calls without an answer are no loss, and where to see which they were."""
    from pressroom.wording import some

    if found.total.failed:
        which = "" if found.by == "item" else "; --by item tells which"
        yield f"{some(found.total.failed, 'call')} got no answer and cost nothing{which}"


def _without_cost(by_model: "Costs", prices: "Path | None") -> "Iterator[str]":
    """Why answers have no cost: those of models without a price, and those of models that have one, so that it was not for the price."""
    from pressroom.llm.prices import price_of

    unknown = [row for row in by_model.rows if row.unpriced]
    missing = [row for row in unknown if not price_of(row.key, by_model.until, path=prices)]
    if missing:
        them = "it" if len(missing) == 1 else "them"
        yield f"{_calls(missing)} without a known price: {_names(missing)}; add {them} to the price table that PRESSROOM_PRICES names"
    if others := [row for row in unknown if row not in missing]:
        yield f"{_calls(others)} of unknown cost: {_names(others)}; the endpoint did not say what was used, or no price was known then"


def _calls(rows: "Sequence[Cost]") -> str:
    from pressroom.wording import some

    return some(sum(row.unpriced for row in rows), "call")


def _names(rows: "Sequence[Cost]") -> str:
    return ", ".join(sorted(_shown(row.key) for row in rows))


def _shown(key: str) -> str:
    """A key for people, the 64 digits of a model's version cut to 12, as elsewhere; --json has all."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"\1", printable(key))
