"""Ideas and drafts of a site and day: written once, never taken from the people who worked on them."""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.errors import BadInput
from pressroom.records import Draft, DraftVersion, Idea, Site
from pressroom.store.tables import DraftRow, DraftVersionRow, IdeaRow, SiteRow

_IDEA = [IdeaRow.__table__.c[field] for field in Idea.model_fields]
# Past the ORM, which takes as long over an insert as the database.
_drafts, _versions = DraftRow.__table__, DraftVersionRow.__table__
assert isinstance(_drafts, sa.Table)
assert isinstance(_versions, sa.Table)
_NEW_DRAFT = insert(_drafts).on_conflict_do_nothing().returning(_drafts.c.id)
_NEW_VERSION = insert(_versions)


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


def save_drafts(session: Session, site: Site, drafts: Sequence[Draft], *, run_id: str) -> None:
    """Books drafts, each with its version.

    The answer of a call that is booked already changes nothing. A new answer becomes the next version and the current one. Beside a draft
    that a person has touched, or that is better (it has a text and the new one none; it keeps the rules and the new one does not), it is a
    candidate: state and pointer stay.
    """
    owned = {"account_id": site.account_id, "site_id": site.id}
    drafts = sorted(drafts, key=lambda draft: draft.id)  # two processes with the same drafts wait one for the other, not each for the other
    heads = [draft.model_dump(include={"id", "idea_id", "platform", "state"}) | {"current": 1} | owned for draft in drafts]
    versions = {draft.id: draft.version.model_dump(mode="json") | {"draft_id": draft.id, "run_id": run_id} | owned for draft in drafts}
    new = set(session.scalars(_NEW_DRAFT, heads))  # as nearly all are: two statements for all of them
    if new:
        session.execute(_NEW_VERSION, [versions[draft_id] | {"number": 1} for draft_id in new])
    if again := [draft for draft in drafts if draft.id not in new]:
        _save_again(session, again, versions)


def _save_again(session: Session, drafts: Sequence[Draft], versions: Mapping[uuid.UUID, Mapping[str, Any]]) -> None:
    """Books the versions of drafts that are there already, but those whose answer is."""
    ids = [draft.id for draft in drafts]
    rows = {row.id: row for row in session.scalars(sa.select(DraftRow).where(DraftRow.id.in_(ids)).order_by(DraftRow.id).with_for_update())}
    known: defaultdict[uuid.UUID, dict[int, sa.Row[*tuple[Any, ...]]]] = defaultdict(dict)
    columns = (DraftVersionRow.draft_id, DraftVersionRow.number, DraftVersionRow.call, DraftVersionRow.text)
    for version in session.execute(sa.select(*columns).where(DraftVersionRow.draft_id.in_(ids))):
        known[version.draft_id][version.number] = version
    asked = [draft for draft in drafts if draft.version.call not in {version.call for version in known[draft.id].values()}]
    numbers = {draft.id: max(known[draft.id], default=0) + 1 for draft in asked}
    if asked:
        session.execute(_NEW_VERSION, [{**versions[draft.id], "number": numbers[draft.id]} for draft in asked])
    for draft in asked:
        row = rows[draft.id]
        stands = known[draft.id][row.current].text
        if not row.touched and _worth(draft.state, draft.version.text) >= _worth(row.state, stands):
            row.state, row.current = draft.state, numbers[draft.id]
            row.updated_at = dt.datetime.now(dt.UTC)


def _worth(state: str, text: str) -> tuple[bool, bool]:
    """What a version is worth beside another one: first that it keeps the rules, then that there is something to work on."""
    return state != "failed", bool(text)


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


@dataclass(frozen=True)
class DraftPlace:
    """Where a draft belongs."""

    draft_id: uuid.UUID
    idea_id: uuid.UUID
    platform: str
    site: Site
    day: dt.date


def draft_place(session: Session, wanted: str) -> DraftPlace:
    """The draft with this id, or whose id starts so. Raises BadInput when there is none, several, or its idea no longer stands."""
    draft_id, idea_id = find_content(session, wanted)
    idea = session.get_one(IdeaRow, idea_id)
    if draft_id is None:
        raise BadInput(f"'{wanted}' is an idea: only drafts are asked for anew one by one; 'pressroom run SITE --fresh' asks for new ideas")
    if idea.superseded_at:
        raise BadInput(f"'{wanted}' is a draft of an idea that other ideas of the day have taken the place of: it is kept, not asked anew")
    draft = session.get_one(DraftRow, draft_id)
    site = Site.model_validate(session.get_one(SiteRow, idea.site_id).definition)
    return DraftPlace(draft_id, idea_id, draft.platform, site, idea.day)


def draft_versions(session: Session, draft_id: uuid.UUID) -> dict[str, Any]:
    """A draft with the number of its current version and all versions, oldest first."""
    draft = session.get_one(DraftRow, draft_id)
    rows = session.scalars(sa.select(DraftVersionRow).where(DraftVersionRow.draft_id == draft_id).order_by(DraftVersionRow.number))
    shown = ("number", "origin", "text", "violations", "model", "prompt_version", "call")
    versions = [{field: getattr(row, field) for field in shown} for row in rows]
    head = {"id": draft.id, "idea_id": draft.idea_id, "platform": draft.platform, "state": draft.state, "current": draft.current}
    return head | {"versions": versions}


def find_content(session: Session, wanted: str) -> tuple[uuid.UUID | None, uuid.UUID]:
    """The draft, if it is one, and the idea that an id or at least its first eight characters name. Raises BadInput for none or several."""
    text = wanted.strip().lower()
    if len(text) < 8 or not set(text) <= set("0123456789abcdef-"):
        raise BadInput(f"'{wanted}' is no id: give the id of a draft or an idea, or at least its first 8 characters")
    pattern = text + "%"
    drafts = session.execute(sa.select(DraftRow.id, DraftRow.idea_id).where(sa.cast(DraftRow.id, sa.Text).like(pattern)).limit(3)).all()
    ideas = session.execute(sa.select(IdeaRow.id).where(sa.cast(IdeaRow.id, sa.Text).like(pattern)).limit(3)).scalars().all()
    if len(drafts) + len(ideas) > 1:
        raise BadInput(f"'{wanted}' is the start of several ids: give more of it")
    if drafts:
        return drafts[0][0], drafts[0][1]
    if ideas:
        return None, ideas[0]
    raise BadInput(f"'{wanted}' is no draft or idea of this database: 'pressroom run SITE --json' lists ids")
