"""Records that many tests start from."""

import datetime as dt
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pressroom.records import Draft, DraftVersion, Idea, Keyword, KeywordFile, Site, stable_id
from pressroom.store.sites import apply_site
from pressroom.store.tables import ModelCallRow

DAY = dt.date(2026, 11, 20)
SITE = Site(slug="brew", name="Brew", domain="brew.example", field="specialty coffee", audience="home baristas", time_zone="Europe/Lisbon")


def keyword_file(*phrases: str, **figures: Any) -> KeywordFile:
    rows = (Keyword(phrase=phrase, normalised=phrase.casefold(), source_row=row, **figures) for row, phrase in enumerate(phrases, start=2))
    return KeywordFile(format="table", encoding="utf-8", keywords=tuple(rows))


def site_applied(session: Session, site: Site = SITE) -> Site:
    apply_site(session, site)
    return site


def call_booked(session: Session, name: str, site: Site = SITE) -> str:
    """A booked model call, for rows that point to one."""
    row = {"request_hash": name, "purpose": "test", "item": name, "generation": "", "prompt_id": "test", "prompt_version": "1"}
    row |= {
        "provider": "offline",
        "model": "offline",
        "status": "answered",
        "request": {},
        "site_id": site.id,
        "account_id": site.account_id,
    }
    session.execute(sa.insert(ModelCallRow).values(row))
    return name


def an_idea(
    ordinal: int = 1, *, call: str = "call", day: dt.date = DAY, title: str | None = None, cluster_id: uuid.UUID | None = None
) -> Idea:
    return Idea(
        id=stable_id("idea", SITE.id, day, call, ordinal),
        ordinal=ordinal,
        title=title or f"Idea {ordinal} of {day}",
        description="What it says. Why it matters.",
        topic_category="brewing",
        angle="how-to",
        audience="home baristas",
        format="guide",
        cluster_id=cluster_id or stable_id("cluster", "grinders"),
        cluster="Grinders",
        keywords=("coffee grinder",),
        call=call,
        model="offline",
    )


def a_draft(idea: Idea, *, call: str, platform: str = "x", text: str = "A post.") -> Draft:
    version = DraftVersion(number=1, origin="ai", text=text, parts={"posts": [text]}, call=call, model="offline", prompt_version="1")
    return Draft(id=Draft.id_for(idea.id, platform), idea_id=idea.id, platform=platform, state="generated", version=version)
