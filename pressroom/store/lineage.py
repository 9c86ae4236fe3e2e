"""From a draft or an idea back to what it came from."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pressroom.records import quoted_volume
from pressroom.store.content import find_content
from pressroom.store.tables import (
    AutomationRunRow,
    DraftRow,
    DraftVersionRow,
    IdeaRow,
    KeywordImportRow,
    KeywordRow,
    ModelCallRow,
    SiteRow,
)


def trace(session: Session, wanted: str) -> dict[str, Any]:
    """The lineage of a draft or idea: its versions, calls, prompt versions, costs, runs, cluster and keywords with file and row.

    `wanted` is a draft's or an idea's id, or the first eight or more characters of one. Raises BadInput when it names none, or several.
    """
    draft_id, idea_id = find_content(session, wanted)
    idea = session.get_one(IdeaRow, idea_id)
    document: dict[str, Any] = {"id": draft_id or idea_id, "kind": "draft" if draft_id else "idea"}
    if draft_id:
        draft = session.get_one(DraftRow, draft_id)
        versions = session.execute(
            sa.select(DraftVersionRow).where(DraftVersionRow.draft_id == draft_id).order_by(DraftVersionRow.number)
        ).scalars()
        document["draft"] = {
            "id": draft.id,
            "platform": draft.platform,
            "state": draft.state,
            "current_version": draft.current,
            "versions": [_version(session, row) for row in versions],
        }
    document["idea"] = {
        "id": idea.id,
        "title": idea.title,
        "site": session.get_one(SiteRow, idea.site_id).slug,
        "date": idea.day,
        "superseded_at": idea.superseded_at,
        "nearest": idea.nearest,
        "similarity": idea.similarity,
        "call": _call(session, idea.call),
        "run": _run(session, idea.run_id),
    }
    document["cluster"] = {"id": idea.cluster_id, "name": idea.cluster}
    document["keywords"] = _keywords(session, idea)
    return document


def _version(session: Session, row: DraftVersionRow) -> dict[str, Any]:
    return {
        "number": row.number,
        "origin": row.origin,
        "author": row.author,
        "text": row.text,
        "violations": row.violations,
        "created_at": row.created_at,
        "call": _call(session, row.call),
        "run": _run(session, row.run_id),
    }


def _call(session: Session, request_hash: str | None) -> dict[str, Any] | None:
    call = session.get(ModelCallRow, request_hash) if request_hash else None
    if call is None:
        return None
    return {
        "request_hash": call.request_hash,
        "purpose": call.purpose,
        "prompt": call.prompt_id,
        "prompt_version": call.prompt_version,
        "provider": call.provider,
        "model": call.model,
        "batch": call.batch_id,
        "input_tokens": call.input_tokens,
        "cached_tokens": call.cached_tokens,
        "output_tokens": call.output_tokens,
        "cost_usd": None if call.cost_usd is None else float(call.cost_usd),
        "answered_at": call.answered_at,
        "run_id": call.run_id,
    }


def _run(session: Session, run_id: str | None) -> dict[str, Any]:
    found = session.execute(
        sa.select(AutomationRunRow.trigger, AutomationRunRow.started_at).where(
            sa.or_(AutomationRunRow.run_id == run_id, AutomationRunRow.root_run_id == run_id)
        )
    ).first()
    return {"id": run_id, "trigger": found.trigger if found else None, "started_at": found.started_at if found else None}


def _keywords(session: Session, idea: IdeaRow) -> list[dict[str, Any]]:
    query = (
        sa.select(KeywordRow, KeywordImportRow)
        .join(KeywordImportRow, KeywordImportRow.id == KeywordRow.import_id)
        .where(KeywordRow.site_id == idea.site_id, KeywordRow.normalised.in_(idea.keywords))
        .order_by(KeywordRow.volume.desc().nulls_last(), KeywordRow.normalised)
    )
    return [
        {
            "phrase": keyword.phrase,
            "volume": keyword.volume,
            "searches": quoted_volume(keyword.volume, keyword.volume_low, keyword.volume_high),
            "file": keyword.source,
            "row": keyword.source_row,
            "format": source.format,
            "imported_at": source.imported_at,
            "first_seen": keyword.first_seen,
        }
        for keyword, source in session.execute(query)
    ]
