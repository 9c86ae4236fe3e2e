"""Ideas and drafts: written once, and never taken from the people who worked on them."""

import datetime as dt
import re

import pytest
import sqlalchemy as sa

from pressroom.errors import BadInput
from pressroom.records import Draft
from pressroom.store.content import drafts_on, ideas_on, save_drafts, save_ideas, topic_memory
from pressroom.store.engine import Store
from pressroom.store.lineage import trace
from pressroom.store.tables import DraftRow, DraftVersionRow, IdeaRow
from tests.samples import DAY, SITE, a_draft, an_idea, call_booked, site_applied


def count(store: Store, table: type) -> int:
    with store.transaction() as session:
        return session.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def saved(store: Store, draft: Draft) -> Draft:
    with store.transaction() as session:
        save_drafts(session, SITE, [draft], run_id="run")
        return drafts_on(session, SITE.id, DAY)[0]


def one_idea(store: Store, *calls: str) -> None:
    with store.transaction() as session:
        site_applied(session)
        for call in ("call", *calls):
            call_booked(session, call)
        save_ideas(session, SITE, DAY, [an_idea()], run_id="run")


def test_writing_ideas_and_drafts_twice_is_writing_them_once(store: Store) -> None:
    one_idea(store, "first")
    for _ in range(2):
        saved(store, a_draft(an_idea(), call="first"))
        with store.transaction() as session:
            save_ideas(session, SITE, DAY, [an_idea()], run_id="again")
    assert (count(store, IdeaRow), count(store, DraftRow), count(store, DraftVersionRow)) == (1, 1, 1)


def test_a_later_idea_supersedes_and_nothing_is_lost(store: Store) -> None:
    one_idea(store, "other")
    with store.transaction() as session:
        save_ideas(session, SITE, DAY, [an_idea(call="other")], run_id="run")
        assert [idea.call for idea in ideas_on(session, SITE.id, DAY)] == ["other"]
    assert count(store, IdeaRow) == 2
    with store.transaction() as session:
        save_ideas(session, SITE, DAY, [an_idea()], run_id="run")
        assert [idea.call for idea in ideas_on(session, SITE.id, DAY)] == ["call"], "the earlier answer, replayed, stands again"


def test_a_new_answer_is_the_next_version_and_the_current_one(store: Store) -> None:
    one_idea(store, "first", "second")
    saved(store, a_draft(an_idea(), call="first"))
    draft = saved(store, a_draft(an_idea(), call="second", text="Another post."))
    assert (draft.version.number, draft.version.text) == (2, "Another post.")


def test_beside_a_draft_that_a_person_touched_a_new_answer_is_only_a_candidate(store: Store) -> None:
    one_idea(store, "first", "second")
    saved(store, a_draft(an_idea(), call="first"))
    with store.transaction() as session:
        session.execute(sa.update(DraftRow).values(touched=True, state="ready"))
    draft = saved(store, a_draft(an_idea(), call="second", text="Another post."))
    assert (draft.state, draft.version.number, draft.version.text) == ("ready", 1, "A post.")
    assert count(store, DraftVersionRow) == 2


GOOD, BROKEN, EMPTY = ("generated", "A post."), ("failed", "A post that is far too long."), ("failed", "")


@pytest.mark.parametrize(
    ("before", "after", "becomes_current"),
    [
        (GOOD, GOOD, True),
        (GOOD, BROKEN, False),
        (GOOD, EMPTY, False),
        (BROKEN, GOOD, True),
        (BROKEN, BROKEN, True),
        (BROKEN, EMPTY, False),
        (EMPTY, BROKEN, True),
        (EMPTY, EMPTY, True),
    ],
)
def test_a_version_that_is_worse_than_the_current_one_is_kept_beside_it(
    store: Store, before: tuple[str, str], after: tuple[str, str], becomes_current: bool
) -> None:
    one_idea(store, "first", "second")
    for call, (state, text) in (("first", before), ("second", after), ("second", after)):
        draft = saved(store, a_draft(an_idea(), call=call, text=text).model_copy(update={"state": state}))
    assert (draft.state, draft.version.text) == (after if becomes_current else before)
    assert draft.version.number == (2 if becomes_current else 1)
    assert count(store, DraftVersionRow) == 2, "what was paid is kept, once"


def test_the_topic_memory_is_thirty_days_and_all_that_was_published(store: Store) -> None:
    one_idea(store, "old", "older", "today")
    with store.transaction() as session:
        for call, days in (("old", 30), ("older", 60)):
            day = DAY - dt.timedelta(days=days)
            save_ideas(session, SITE, day, [an_idea(call=call, day=day)], run_id="run")
        assert [idea.call for _, idea in topic_memory(session, SITE.id, DAY)] == ["old"], "neither today's nor one of 60 days ago"
        save_drafts(session, SITE, [a_draft(an_idea(call="older", day=DAY - dt.timedelta(days=60)), call="older")], run_id="run")
        session.execute(sa.update(DraftRow).values(state="published"))
        assert [idea.call for _, idea in topic_memory(session, SITE.id, DAY)] == ["old", "older"]


def test_a_draft_leads_back_to_its_call_and_run(store: Store) -> None:
    one_idea(store, "first")
    draft = saved(store, a_draft(an_idea(), call="first"))
    with store.transaction() as session:
        for wanted in (str(draft.id), str(draft.id)[:8], str(draft.id).upper()):
            document = trace(session, wanted)
            assert document["draft"]["versions"][0]["call"]["request_hash"] == "first"
            assert document["idea"]["call"]["request_hash"] == "call"
            assert document["draft"]["versions"][0]["run"]["id"] == "run"
        assert trace(session, str(draft.idea_id))["kind"] == "idea"
        for wanted in ("", "abc", "not-an-id", "%%%%%%%%", "00000000-0000-0000-0000-000000000000"):
            with pytest.raises(BadInput, match=re.escape(f"'{wanted}'")):
                trace(session, wanted)
