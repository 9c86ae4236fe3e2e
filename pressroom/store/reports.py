"""What a daily report is made of, read from the tables in one place, and the report as it is kept.

Requests, prompts and answers of model calls are never read here: a report cannot show what it does not have.
"""

import datetime as dt
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
from pydantic import ConfigDict, Field
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from pressroom.records import DraftState, DraftVersion, Idea, Intent, Record, RejectedRow, Site, Slug, quoted_volume
from pressroom.store.tables import (
    AutomationRunRow,
    ClusteringRow,
    ClusterRow,
    DraftRow,
    DraftVersionRow,
    IdeaRow,
    KeywordImportRow,
    KeywordRow,
    ModelCallRow,
    ReportRow,
    SiteDayRow,
    SiteRow,
)


class KeywordFact(Record):
    """A keyword that an idea serves, with the file and row that brought its newest figures."""

    phrase: str
    volume: int | None = None
    volume_low: int | None = None
    volume_high: int | None = None
    source: str = ""
    source_row: int | None = None

    @property
    def searches(self) -> str | None:
        """Searches a month as they may be quoted."""
        return quoted_volume(self.volume, self.volume_low, self.volume_high)


class DraftFact(Record):
    """A draft with the version that stands; `versions` counts all of them."""

    id: uuid.UUID
    platform: Slug
    state: DraftState
    versions: int
    version: DraftVersion


class IdeaFact(Record):
    idea: Idea
    prompt_version: str | None
    keywords: tuple[KeywordFact, ...]
    drafts: tuple[DraftFact, ...]


class ClusterFact(Record):
    """A cluster that an idea of the day came from, as the newest clustering up to that day saw it."""

    id: uuid.UUID
    name: str
    head: str
    volume: int
    intent: Intent | None
    keywords: int


class ImportFact(Record):
    name: str
    format: str
    encoding: str
    accepted: int
    rejected: tuple[RejectedRow, ...]


class CallsFact(Record):
    """The calls of one purpose to one model with one end. `cost_usd` sums those that have a price, `unpriced` counts the others."""

    purpose: str
    provider: str
    model: str
    status: Literal["pending", "batched", "answered", "failed"]
    error: str | None
    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal
    unpriced: int


class StepFact(Record):
    """What one asset did in a run. A field that is not known here is passed over: a bad day has a report too."""

    model_config = ConfigDict(extra="ignore")

    asset: str
    started_at: dt.datetime
    ended_at: dt.datetime
    state: Literal["done", "failed", "carried", "waiting"]
    counts: dict[str, Any] = Field(default_factory=dict)
    calls: dict[str, int] = Field(default_factory=dict)
    error: str | None = None


class RunFact(Record):
    id: uuid.UUID
    root_run_id: str
    run_id: str
    trigger: str
    state: str
    error: str | None
    started_at: dt.datetime
    ended_at: dt.datetime | None
    steps: tuple[StepFact, ...]


class MadeFact(Record):
    """What an asset last made of the day."""

    asset: str
    data_version: str
    complete: bool
    counts: dict[str, Any]
    run_id: str | None
    finished_at: dt.datetime


class DayFacts(Record):
    """Everything a report of one site and day is made of."""

    site: Site
    day: dt.date
    ideas: tuple[IdeaFact, ...] = ()
    clusters: tuple[ClusterFact, ...] = ()
    imports: tuple[ImportFact, ...] = ()
    calls: tuple[CallsFact, ...] = ()
    runs: tuple[RunFact, ...] = ()
    made: tuple[MadeFact, ...] = ()


def keys_of(site: str, day: dt.date) -> dict[str, str]:
    """Object keys of a report's renderings: html, json and markdown."""
    return {
        form: f"sites/{site}/reports/{day}/report.{ending}" for form, ending in (("html", "html"), ("json", "json"), ("markdown", "md"))
    }


def daily_facts(session: Session, site_id: uuid.UUID, day: dt.date) -> DayFacts:
    """Everything the tables know of the site and day, in an order that does not change between two readings."""
    site = Site.model_validate(session.execute(sa.select(SiteRow.definition).where(SiteRow.id == site_id)).scalar_one())
    ideas, runs, made = _ideas(session, site_id, day), _runs(session, site_id, day), _made(session, site_id, day)
    worked = {id_ for run in runs for id_ in (run.root_run_id, run.run_id)} | {fact.run_id for fact in made}
    return DayFacts(
        site=site,
        day=day,
        ideas=ideas,
        clusters=_clusters(session, site_id, day, {fact.idea.cluster_id for fact in ideas}),
        imports=_imports(session, site_id, day),
        calls=_calls(session, site_id, ideas, {id_ for id_ in worked if id_}),
        runs=runs,
        made=made,
    )


def save_report(
    session: Session, site: Site, day: dt.date, *, document: Mapping[str, Any], version: str, keys: Mapping[str, str], run_id: str | None
) -> None:
    """Makes `document` the report of the day; the one before it is replaced."""
    row = {"document": dict(document), "version": version, "run_id": run_id}
    row |= {f"{form}_key": key for form, key in keys.items()}
    owned = {"site_id": site.id, "day": day, "account_id": site.account_id}
    statement = insert(ReportRow).values(owned | row)
    session.execute(statement.on_conflict_do_update(index_elements=["site_id", "day"], set_=row | {"created_at": sa.func.now()}))


def report_keys(session: Session, site_id: uuid.UUID, day: dt.date) -> dict[str, str] | None:
    """Where the day's report is in the object store, by form (html, json, markdown); None when there is none yet."""
    row = report_on(session, site_id, day)
    return None if row is None else {"html": row.html_key, "json": row.json_key, "markdown": row.markdown_key}


def report_on(session: Session, site_id: uuid.UUID, day: dt.date) -> ReportRow | None:
    """The newest report of the day, or None."""
    return session.get(ReportRow, (site_id, day))


def _ideas(session: Session, site_id: uuid.UUID, day: dt.date) -> tuple[IdeaFact, ...]:
    query = (
        sa.select(IdeaRow, ModelCallRow.prompt_version)
        .join(ModelCallRow, ModelCallRow.request_hash == IdeaRow.call)
        .where(IdeaRow.site_id == site_id, IdeaRow.day == day, IdeaRow.superseded_at.is_(None))
        .order_by(IdeaRow.ordinal, IdeaRow.id)
    )
    rows = session.execute(query).all()
    drafts = _drafts(session, [idea.id for idea, _ in rows])
    phrases = {phrase for idea, _ in rows for phrase in idea.keywords}
    known = _keywords(session, site_id, phrases)
    return tuple(
        IdeaFact(
            idea=Idea.model_validate({field: getattr(idea, field) for field in Idea.model_fields}),
            prompt_version=prompt_version,
            keywords=tuple(known.get(phrase, KeywordFact(phrase=phrase)) for phrase in idea.keywords),
            drafts=tuple(drafts.get(idea.id, ())),
        )
        for idea, prompt_version in rows
    )


def _drafts(session: Session, ideas: list[uuid.UUID]) -> dict[uuid.UUID, list[DraftFact]]:
    counted = sa.select(DraftVersionRow.draft_id, sa.func.count().label("versions")).group_by(DraftVersionRow.draft_id).subquery()
    query = (
        sa.select(DraftRow, DraftVersionRow, counted.c.versions)
        .join(DraftVersionRow, sa.and_(DraftVersionRow.draft_id == DraftRow.id, DraftVersionRow.number == DraftRow.current))
        .join(counted, counted.c.draft_id == DraftRow.id)
        .where(DraftRow.idea_id.in_(ideas))
        .order_by(DraftRow.platform)
    )
    found: dict[uuid.UUID, list[DraftFact]] = {}
    for draft, version, versions in session.execute(query):
        standing = DraftVersion.model_validate({field: getattr(version, field) for field in DraftVersion.model_fields})
        fact = DraftFact.model_validate(
            {"id": draft.id, "platform": draft.platform, "state": draft.state, "versions": versions, "version": standing}
        )
        found.setdefault(draft.idea_id, []).append(fact)
    return found


def _keywords(session: Session, site_id: uuid.UUID, phrases: set[str]) -> dict[str, KeywordFact]:
    columns = [KeywordRow.__table__.c[field] for field in KeywordFact.model_fields]
    query = sa.select(KeywordRow.normalised, *columns).where(KeywordRow.site_id == site_id, KeywordRow.normalised.in_(phrases))
    rows = (dict(row) for row in session.execute(query).mappings())
    return {row.pop("normalised"): KeywordFact.model_validate(row) for row in rows}


def _clusters(session: Session, site_id: uuid.UUID, day: dt.date, used: set[uuid.UUID]) -> tuple[ClusterFact, ...]:
    query = (
        sa.select(ClusterRow)
        .join(ClusteringRow, ClusteringRow.id == ClusterRow.clustering_id)
        .where(ClusterRow.site_id == site_id, ClusterRow.cluster_id.in_(used), ClusteringRow.day <= day)
        .ext(distinct_on(ClusterRow.cluster_id))
        .order_by(ClusterRow.cluster_id, ClusteringRow.day.desc(), ClusteringRow.created_at.desc())
    )
    facts = [
        ClusterFact.model_validate(
            {
                "id": row.cluster_id,
                "name": row.name,
                "head": row.head,
                "volume": row.volume,
                "intent": row.intent,
                "keywords": len(row.keywords),
            }
        )
        for row in session.execute(query).scalars()
    ]
    return tuple(sorted(facts, key=lambda fact: (-fact.volume, fact.id)))


def _imports(session: Session, site_id: uuid.UUID, day: dt.date) -> tuple[ImportFact, ...]:
    columns = [KeywordImportRow.__table__.c[field] for field in ImportFact.model_fields]
    query = sa.select(*columns).where(KeywordImportRow.site_id == site_id, KeywordImportRow.day == day)
    rows = session.execute(query.order_by(KeywordImportRow.imported_at, KeywordImportRow.id)).mappings()
    return tuple(ImportFact.model_validate(dict(row)) for row in rows)


def _calls(session: Session, site_id: uuid.UUID, ideas: tuple[IdeaFact, ...], runs: set[str]) -> tuple[CallsFact, ...]:
    """The calls of the day's runs, and those behind its texts: a retry between a run's first and newest one is in no row."""
    texts = {fact.idea.call for fact in ideas} | {draft.version.call for fact in ideas for draft in fact.drafts}
    row = ModelCallRow
    groups = (row.purpose, row.provider, row.model, row.status, row.error)
    tokens = {name: sa.func.sum(row.__table__.c[name]) for name in ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")}
    query = (
        sa.select(
            *groups,
            sa.func.count().label("calls"),
            *(total.label(name) for name, total in tokens.items()),
            sa.func.coalesce(sa.func.sum(row.cost_usd), 0).label("cost_usd"),
            sa.func.count().filter(row.cost_usd.is_(None), row.status == "answered").label("unpriced"),
        )
        .where(row.site_id == site_id, sa.or_(row.run_id.in_(runs), row.request_hash.in_(texts - {None})))
        .group_by(*groups)
        .order_by(*groups)
    )
    return tuple(CallsFact.model_validate(dict(found)) for found in session.execute(query).mappings())


def _runs(session: Session, site_id: uuid.UUID, day: dt.date) -> tuple[RunFact, ...]:
    columns = [AutomationRunRow.__table__.c[field] for field in RunFact.model_fields]
    query = sa.select(*columns).where(AutomationRunRow.site_id == site_id, AutomationRunRow.day == day)
    rows = session.execute(query.order_by(AutomationRunRow.started_at, AutomationRunRow.id)).mappings()
    return tuple(RunFact.model_validate(dict(row)) for row in rows)


def _made(session: Session, site_id: uuid.UUID, day: dt.date) -> tuple[MadeFact, ...]:
    columns = [SiteDayRow.__table__.c[field] for field in MadeFact.model_fields]
    query = sa.select(*columns).where(SiteDayRow.site_id == site_id, SiteDayRow.day == day)
    rows = session.execute(query.order_by(SiteDayRow.asset)).mappings()
    return tuple(MadeFact.model_validate(dict(row)) for row in rows)
