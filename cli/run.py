"""`pressroom run SITE`: one site's day, from keywords to report."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.days import day_of
from cli.output import JsonFlag, emit, out, say
from pressroom.errors import BadInput

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from sqlalchemy.orm import Session

    from cli.executing import Outcome
    from pressroom.objects.store import ObjectStore
    from pressroom.records import Site
    from pressroom.settings import Settings
    from pressroom.store.engine import Store

_IDEA = {"id", "title", "description", "topic_category", "cluster", "keywords"}
_VERSION = {"text", "parts", "violations", "model"}
_ROWS_SAID = 10


def run(
    site: Annotated[str, typer.Argument(help="Slug of the site.")],
    date: Annotated[str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="The site's day; default: its own today.")] = None,
    keywords: Annotated[Path | None, typer.Option("--keywords", help="A keyword file to import first.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Ask the models anew, and pay again, instead of replaying booked answers.")
    ] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Ask in batches, for half the price: answers within 24 hours, and the run ends without them.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Makes a site's day: keywords, clusters, ideas, drafts and the report. Run again, it asks no model for an answer that it has."""
    from cli.executing import RunFailed, dagster_instance, progress
    from pressroom.llm.models import model_routes
    from pressroom.settings import load_settings
    from pressroom.store.engine import open_store
    from pressroom.store.sites import site_by_slug

    settings = load_settings()
    model_routes(settings)  # a missing key, a wrong table or URL is said before anything starts
    day = day_of("--date", date) if date else None
    with open_store(settings) as store, dagster_instance() as instance:
        with store.transaction() as session:
            known = site_by_slug(session, site, account=settings.account)
        with progress(store, site):
            document, outcome = run_day(settings, store, instance, known, day, keywords, fresh=fresh, batch=batch)
    if json:
        emit(document)
    else:
        show_days([document])
    if not outcome.ok:
        raise RunFailed(outcome)


def run_day(
    settings: "Settings",
    store: "Store",
    instance: "DagsterInstance",
    site: "Site",
    day: dt.date | None,
    keywords: Path | None,
    *,
    fresh: bool = False,
    batch: bool = False,
) -> tuple[dict[str, Any], "Outcome"]:
    """Imports `keywords`, runs the day's jobs and says what is there now. Raises BadInput or SiteBusy before anything starts."""
    from cli.executing import check_day, execute_day
    from pressroom.errors import SiteBusy
    from pressroom.objects.opening import open_objects
    from pressroom.store.locks import site_holder

    day = check_day(site, day)
    if holder := site_holder(store, site.id):
        raise SiteBusy(f"site '{site.slug}' is held by run {holder}: wait for it, or terminate it in the UI")
    objects, asked = open_objects(settings), {"fresh": fresh, "batch": batch}
    if keywords:
        _put_in_inbox(objects, site, keywords)
    content = execute_day("daily_content", instance, site, day, llm={name: True for name, is_set in asked.items() if is_set})
    report = execute_day("daily_report", instance, site, day)
    with store.transaction() as session:
        document = day_document(session, objects, site, day, content.run_id)
    outcome = content if report.ok or not content.ok else report
    return document | {"ok": outcome.ok, "problem": outcome.problem or None}, outcome


def day_document(session: "Session", objects: "ObjectStore", site: "Site", day: dt.date, run_id: str) -> dict[str, Any]:
    """What stands for the day, and what the run asked and spent."""
    from pressroom.store.batches import waiting_calls
    from pressroom.store.calls import calls_of_run
    from pressroom.store.content import drafts_on, ideas_on
    from pressroom.store.reports import report_on
    from pressroom.store.runs import steps_of

    ideas, drafts, steps = ideas_on(session, site.id, day), drafts_on(session, site.id, day), steps_of(session, run_id)
    report, waiting = report_on(session, site.id, day), waiting_calls(session, site.id, day)
    asked = calls_of_run(session, run_id)  # a step that was interrupted did not count what came after
    counts = {name: number for step in steps for name, number in step["counts"].items() if step["asset"].startswith("planner/")}
    return {
        "site": site.slug,
        "date": day,
        "run_id": run_id,
        "counts": counts | {"ideas": len(ideas), "drafts": len(drafts), "failed": sum(draft.state == "failed" for draft in drafts)},
        "calls": {"paid": asked.paid, "replayed": sum(step["calls"]["replayed"] for step in steps)},
        "cost_usd": float(asked.cost_usd),
        "unpriced": asked.unpriced,
        "waiting": sum(waiting.values()),
        "batches": list(waiting),
        "ideas": [idea.model_dump(include=_IDEA) for idea in ideas],
        "drafts": [
            {"id": draft.id, "idea_id": draft.idea_id, "platform": draft.platform, "state": draft.state}
            | draft.version.model_dump(include=_VERSION)
            for draft in drafts
        ],
        "report": report and {"html": objects.location(report.html_key), "json": objects.location(report.json_key)},
    }


def show_days(documents: list[dict[str, Any]]) -> None:
    """What was made and what it cost, a row for each site and day, and below it where the reports are."""
    from rich.table import Table

    # Fits a terminal of 80 columns.
    table = Table("site", "day", box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in ("keywords", "clusters", "ideas", "drafts", "paid", "replayed", "USD"):
        table.add_column(name, justify="right", no_wrap=True)
    for document in documents:
        counts, calls = document["counts"], document["calls"]
        failed = f" ({counts['failed']} failed)" if counts["failed"] else ""
        # A run that failed may not have come as far: what it did not count is not 0.
        read = [f"{counts[name]:,}" if name in counts else "–" for name in ("keywords", "clusters")]
        made = [*read, str(counts["ideas"]), f"{counts['drafts']}{failed}"]
        asked = [str(calls["paid"]), str(calls["replayed"]), f"{document['cost_usd']:.4f}{'+' if document['unpriced'] else ''}"]
        table.add_row(document["site"], str(document["date"]), *made, *asked)
    out.print(table)
    for document in documents:
        if number := document["waiting"]:
            ids, calls = ", ".join(map(str, document["batches"])), "1 call waits" if number == 1 else f"{number} calls wait"
            how = "the sensor `batches` goes on when its answers are there; without it: pressroom batches collect, then this run again"
            out.print(f"{calls} in batch {ids}: {how}", soft_wrap=True, highlight=False, markup=False)
        out.print(f"report: {_near(document['report']['html']) if document['report'] else 'none'}", soft_wrap=True, highlight=False)


def _near(path: str) -> str:
    """The path from here, where that is shorter."""
    return str(Path(path).relative_to(Path.cwd())) if Path(path).is_relative_to(Path.cwd()) else path


def _put_in_inbox(objects: "ObjectStore", site: "Site", path: Path) -> None:
    """Reads the file before anything else, so that a bad one stops the command; its bad rows are said and left out."""
    from pressroom.planner.formats import read_keywords
    from pressroom.planner.intake import inbox_key

    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    file = read_keywords(data, str(path))
    for row in file.rejected[:_ROWS_SAID]:
        say(f"{path}, row {row.row}: {row.reason}; left out")
    if len(file.rejected) > _ROWS_SAID:
        say(f"{path}: {len(file.rejected) - _ROWS_SAID} more rows left out; all of them are in the report beside the imported file")
    objects.write(inbox_key(site.slug, path.name, data), data)
