"""`pressroom regenerate DRAFT...`: asks anew for single drafts."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import JsonFlag, emit, out
from pressroom.errors import BadInput

if TYPE_CHECKING:
    import datetime as dt
    from uuid import UUID

    from dagster import DagsterInstance

    from cli.executing import Outcome
    from pressroom.store.content import DraftPlace
    from pressroom.store.engine import Store


def regenerate(
    drafts: Annotated[list[str], typer.Argument(metavar="DRAFT...", help="Ids of drafts, or at least their first 8 characters.")],
    json: JsonFlag = False,
) -> None:
    """Asks the model anew for these drafts and pays for them; all others stay. A draft that failed for good is asked again only by this.

    The new text is the draft's next version, and its current one unless a person has worked on the draft, or the new text breaks a rule
    and the old one none. Exits with 1 when a new text does not pass.
    """
    from cli.executing import RunFailed, dagster_instance, progress
    from cli.opening import open_desk
    from pressroom.llm.models import model_routes
    from pressroom.settings import load_settings
    from pressroom.store.content import draft_place
    from pressroom.store.sites import site_by_slug

    settings = load_settings()
    model_routes(settings)  # a missing key, a wrong table or URL is said before anything starts
    with open_desk(settings) as store, dagster_instance() as instance:
        with store.transaction() as session:
            places = {place.draft_id: place for place in (draft_place(session, wanted) for wanted in drafts)}
            for place in places.values():
                site_by_slug(session, place.site.slug, account=settings.account)  # another account's is said
        by_day: dict[tuple[str, dt.date], list[DraftPlace]] = {}
        for place in places.values():
            by_day.setdefault((place.site.slug, place.day), []).append(place)
        documents, failed = [], None
        for together in by_day.values():
            with progress(store, together[0].site.slug):
                outcome = _run(store, instance, together)
            documents += _made(store, [place.draft_id for place in together], outcome.run_id)
            failed = failed or (None if outcome.ok else outcome)
    if json:
        emit(documents)
    else:
        _show(documents)
    if failed:
        raise RunFailed(failed)
    if any(_errors(draft["versions"][-1]) for draft in documents):
        raise typer.Exit(1)


def _run(store: "Store", instance: "DagsterInstance", places: "list[DraftPlace]") -> "Outcome":
    from dagster import AssetKey

    from cli.executing import execute_day
    from pressroom.errors import SiteBusy
    from pressroom.platforms.registry import platforms
    from pressroom.store.locks import site_holder

    site, day = places[0].site, places[0].day
    if holder := site_holder(store, site.id):
        raise SiteBusy(f"site '{site.slug}' is held by run {holder}: wait for it, or terminate it in the UI")
    known = platforms()
    if unknown := next((place.platform for place in places if place.platform not in known), None):
        raise BadInput(f"there is no platform {unknown!r} any more: its drafts cannot be asked for anew")
    assets = sorted({known[place.platform].asset for place in places})
    items = [f"{place.idea_id}/{place.platform}" for place in places]
    outcome = execute_day(
        "daily_content", instance, site, day, assets=[AssetKey(["writer", asset]) for asset in assets], llm={"regenerate": items}
    )
    execute_day("daily_report", instance, site, day)
    return outcome


def _made(store: "Store", ids: "list[UUID]", run_id: str) -> list[dict[str, Any]]:
    from pressroom.store.content import draft_versions

    with store.transaction() as session:
        return [{**draft_versions(session, id), "run_id": run_id} for id in ids]


def _show(documents: list[dict[str, Any]]) -> None:
    from rich.markup import escape

    for draft in documents:
        newest, current = draft["versions"][-1], draft["current"]
        if newest["number"] == current:
            how = f"version {current} (current), {draft['state']}"
        elif _errors(newest):
            how = f"version {newest['number']} does not pass: version {current} stays the current one, {draft['state']}"
        else:
            how = f"version {newest['number']}, beside version {current}, which a person has worked on, {draft['state']}"
        out.print(f"[bold]{draft['platform']}[/] {draft['id']}: {how}", soft_wrap=True)
        out.print(escape(newest["text"] or "(no text)"), highlight=False)
        for violation in newest["violations"]:
            out.print(f"[red]{escape(violation['message'])}[/]", soft_wrap=True)


def _errors(version: dict[str, Any]) -> bool:
    """Whether the version breaks a rule, or there is no text at all."""
    return any(violation["severity"] == "error" for violation in version["violations"])
