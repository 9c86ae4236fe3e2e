"""Ideas and drafts of a site and day: written once, never taken from the people who worked on them."""

import datetime as dt
import uuid
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.records import Draft, DraftVersion, Idea, Site
from pressroom.store.tables import DraftRow, DraftVersionRow, IdeaRow

_IDEA = [IdeaRow.__table__.c[field] for field in Idea.model_fields]


def save_ideas(session: Session, site: Site, day: dt.date, ideas: Sequence[Idea], *, run_id: str) -> None:
    """Makes `ideas` the ones of the day. Those that stood before and are not among them are superseded; their rows and drafts stay."""
    ids = [idea.id for idea in ideas]
    owned = {"account_id": site.account_id, "site_id": site.id, "day": day, "run_id": run_id}
    if ideas:
        rows = [idea.model_dump() | {"keywords": list(idea.keywords)} | owned for idea in ideas]
        session.execute(insert(IdeaRow).values(rows).on_conflict_do_update(index_elements=["id"], set_={"superseded_at": None}))
    stale = sa.update(IdeaRow).where(
        IdeaRow.site_id == site.id, IdeaRow.day == day, IdeaRow.superseded_at.is_(None), IdeaRow.id.not_in(ids)
    )
    session.execute(stale.values(superseded_at=sa.func.now()))


def ideas_on(session: Session, site_id: uuid.UUID, day: dt.date) -> tuple[Idea, ...]:
    """The ideas that stand for the day, in their order."""
    query = sa.select(*_IDEA).where(IdeaRow.site_id == site_id, IdeaRow.day == day, IdeaRow.superseded_at.is_(None))
    rows = session.execute(query.order_by(IdeaRow.ordinal, IdeaRow.id)).mappings()
    return tuple(Idea.model_validate(dict(row)) for row in rows)


def topic_memory(session: Session, site_id: uuid.UUID, day: dt.date, *, days: int = 30) -> list[tuple[dt.date, Idea]]:
    """What must not be repeated on `day`: the ideas of the `days` before it, and every earlier one that was published. Newest first."""
    published = sa.exists().where(DraftRow.idea_id == IdeaRow.id, DraftRow.state == "published")
    query = sa.select(IdeaRow.day, *_IDEA).where(
        IdeaRow.site_id == site_id,
        IdeaRow.day < day,
        sa.or_(sa.and_(IdeaRow.day >= day - dt.timedelta(days=days), IdeaRow.superseded_at.is_(None)), published),
    )
    rows = session.execute(query.order_by(IdeaRow.day.desc(), IdeaRow.ordinal, IdeaRow.id)).mappings()
    return [(row["day"], Idea.model_validate({key: value for key, value in row.items() if key != "day"})) for row in rows]


def save_draft(session: Session, site: Site, draft: Draft, *, run_id: str) -> None:
    """Books one draft with its version.

    The answer of a call that is booked already changes nothing. A new answer becomes the next version and the current one; beside a draft
    that a person has touched it is a candidate: state and pointer stay.
    """
    owned = {"account_id": site.account_id, "site_id": site.id}
    head = {"id": draft.id, "idea_id": draft.idea_id, "platform": draft.platform, "state": draft.state, "current": 1}
    session.execute(insert(DraftRow).values(head | owned).on_conflict_do_nothing())
    row = session.execute(sa.select(DraftRow).where(DraftRow.id == draft.id).with_for_update()).scalar_one()
    versions = session.execute(sa.select(DraftVersionRow.number, DraftVersionRow.call).where(DraftVersionRow.draft_id == draft.id)).all()
    if any(call == draft.version.call for _, call in versions):
        return
    number = max((number for number, _ in versions), default=0) + 1
    content = draft.version.model_dump(mode="json") | {"number": number, "draft_id": draft.id, "run_id": run_id}
    session.execute(insert(DraftVersionRow).values(content | owned))
    if not row.touched:
        row.state, row.current = draft.state, number
        row.updated_at = dt.datetime.now(dt.UTC)


def drafts_on(session: Session, site_id: uuid.UUID, day: dt.date) -> tuple[Draft, ...]:
    """The drafts of the ideas that stand for the day, each with its current version, by idea and platform."""
    query = (
        sa.select(DraftRow, DraftVersionRow)
        .join(IdeaRow, IdeaRow.id == DraftRow.idea_id)
        .join(DraftVersionRow, sa.and_(DraftVersionRow.draft_id == DraftRow.id, DraftVersionRow.number == DraftRow.current))
        .where(IdeaRow.site_id == site_id, IdeaRow.day == day, IdeaRow.superseded_at.is_(None))
        .order_by(IdeaRow.ordinal, IdeaRow.id, DraftRow.platform)
    )
    fields = DraftVersion.model_fields
    return tuple(
        Draft(
            id=draft.id,
            idea_id=draft.idea_id,
            platform=draft.platform,
            state=draft.state,
            version=DraftVersion.model_validate({field: getattr(version, field) for field in fields}),
        )
        for draft, version in session.execute(query)
    )
