"""A report from real rows: what a day's tables say, and that the report of a day is kept once."""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa

from pressroom.objects.store import FolderStore
from pressroom.platforms.registry import platforms
from pressroom.records import Cluster, KeywordFile, RejectedRow, stable_id
from pressroom.reports.daily import make_report
from pressroom.reports.document import DailyReport
from pressroom.store.content import save_drafts, save_ideas
from pressroom.store.engine import Store
from pressroom.store.keywords import import_keywords, save_clusters
from pressroom.store.locks import hold_site
from pressroom.store.reports import DayFacts, daily_facts, keys_of, report_keys, report_on
from pressroom.store.runs import Run, SiteDay, begin_run, end_run
from pressroom.store.tables import ModelCallRow, ReportRow
from tests.samples import DAY, SITE, a_draft, an_idea, call_booked, keyword_file, site_applied

NEXT_DAY = DAY + dt.timedelta(days=1)
PROMPT = "You are the house writer of a secret recipe."


@contextmanager
def desk_of(store: Store, run_id: str, day: dt.date = DAY) -> Iterator[SiteDay]:
    """A run's hold on the site, booked from beginning to end."""
    run = Run(id=run_id, root=run_id)
    with hold_site(store, SITE.id, run_id, wait_s=5, on_wait=lambda _: None) as held:
        desk = SiteDay(site=SITE, day=day, run=run, store=store, held=held)
        with desk.transaction() as session:
            begin_run(session, SITE, day, run)
        yield desk
        with desk.transaction() as session:
            end_run(session, run)


def a_day_is_made(store: Store, *, day: dt.date = DAY, run_id: str = "run-1") -> None:
    """Keywords with a bad row, clusters, three ideas, and an X post for two of them; each with its booked call."""
    with store.transaction() as session:
        site_applied(session)
    with desk_of(store, run_id, day) as desk:
        with desk.step("planner/keywords") as step, desk.transaction() as session:
            good = keyword_file("Coffee grinder", "Burr grinder", volume=900)
            file = KeywordFile(**good.model_dump(exclude={"rejected"}), rejected=(RejectedRow(row=4, reason="the phrase is empty"),))
            import_keywords(session, SITE, file, name="words.csv", data=f"{day}".encode(), day=day, run_id=run_id)
            step.done("k1", keywords=2)
        with desk.step("planner/clusters") as step, desk.transaction() as session:
            cluster = Cluster(
                id=stable_id("cluster", "grinders"),
                name="Grinders",
                head="coffee grinder",
                keywords=("coffee grinder", "burr grinder"),
                volume=1800,
                intent="commercial",
            )
            save_clusters(session, SITE, [cluster], input_version=f"{day}", day=day, run_id=run_id)
            step.done("c1", clusters=1)
        with desk.step("planner/ideas") as step, desk.transaction() as session:
            ideas = [an_idea(number, call=f"{run_id}-ideas", day=day) for number in (1, 2, 3)]
            call_booked(session, f"{run_id}-ideas")
            save_ideas(session, SITE, day, ideas, run_id=run_id)
            step.tally.paid = 1
            step.done("i1", ideas=3)
        with desk.step("writer/social_drafts") as step, desk.transaction() as session:
            for idea in ideas[:2]:
                call_booked(session, f"{run_id}-{idea.ordinal}")
                save_drafts(session, SITE, [a_draft(idea, call=f"{run_id}-{idea.ordinal}")], run_id=run_id)
            step.tally.paid, step.tally.replayed = 2, 1
            step.done("d1", complete=False, drafts=2)
        with desk.transaction() as session:
            calls = sa.update(ModelCallRow).where(ModelCallRow.request_hash.startswith(run_id))
            session.execute(calls.values(run_id=run_id, input_tokens=100, output_tokens=10, request={"instructions": PROMPT}))
            session.execute(calls.where(ModelCallRow.request_hash != f"{run_id}-2").values(cost_usd=Decimal("0.0015")))


def facts_of(store: Store, day: dt.date = DAY) -> DayFacts:
    with store.transaction() as session:
        return daily_facts(session, SITE.id, day)


def test_facts_hold_what_the_day_made_and_where_it_came_from(store: Store) -> None:
    a_day_is_made(store)
    facts = facts_of(store)
    assert [fact.idea.ordinal for fact in facts.ideas] == [1, 2, 3]
    assert [len(fact.drafts) for fact in facts.ideas] == [1, 1, 0]
    (keyword,) = facts.ideas[0].keywords
    assert (keyword.phrase, keyword.volume, keyword.source, keyword.source_row) == ("Coffee grinder", 900, "words.csv", 2)
    assert facts.ideas[0].prompt_version == "1"
    assert [(cluster.name, cluster.head, cluster.volume, cluster.keywords) for cluster in facts.clusters] == [
        ("Grinders", "coffee grinder", 1800, 2)
    ]
    assert [(file.accepted, [row.row for row in file.rejected]) for file in facts.imports] == [(2, [4])]
    (run,) = facts.runs
    assert (run.state, [step.asset for step in run.steps]) == (
        "completed",
        ["planner/keywords", "planner/clusters", "planner/ideas", "writer/social_drafts"],
    )
    assert {made.asset: made.complete for made in facts.made}["writer/social_drafts"] is False


def test_money_is_that_of_the_days_runs_and_says_what_has_no_price(store: Store) -> None:
    a_day_is_made(store)
    a_day_is_made(store, day=NEXT_DAY, run_id="run-2")
    (calls,) = facts_of(store).calls
    assert (calls.calls, calls.unpriced, calls.cost_usd) == (3, 1, Decimal("0.003000"))
    assert (calls.input_tokens, calls.output_tokens) == (300, 30)


def test_a_call_of_a_retry_in_between_is_counted_by_the_text_it_made(store: Store) -> None:
    """Only a run's first and newest retry have their ids in the run's row; the call of one between them is found by its draft."""
    a_day_is_made(store)
    with store.transaction() as session:
        session.execute(sa.update(ModelCallRow).where(ModelCallRow.request_hash == "run-1-1").values(run_id="a retry in between"))
    assert sum(calls.calls for calls in facts_of(store).calls) == 3


def test_superseded_ideas_are_no_part_of_the_day(store: Store) -> None:
    a_day_is_made(store)
    with store.transaction() as session:
        save_ideas(session, SITE, DAY, [an_idea(2, call="run-1-ideas")], run_id="run-3")
    assert [fact.idea.ordinal for fact in facts_of(store).ideas] == [2]


def test_a_later_clustering_does_not_change_an_earlier_day(store: Store) -> None:
    a_day_is_made(store)
    with store.transaction() as session:
        later = Cluster(id=stable_id("cluster", "grinders"), name="Mills", head="mill", keywords=("mill",), volume=1)
        save_clusters(session, SITE, [later], input_version="later", day=NEXT_DAY, run_id=None)
    assert [cluster.name for cluster in facts_of(store).clusters] == ["Grinders"]


def test_a_day_without_rows_has_a_report_too(store: Store, tmp_path: Path) -> None:
    with store.transaction() as session:
        site_applied(session)
    with hold_site(store, SITE.id, "report", wait_s=5, on_wait=lambda _: None) as held:
        desk = SiteDay(site=SITE, day=DAY, run=Run(id="report", root="report"), store=store, held=held)
        report = make_report(desk, FolderStore(tmp_path), platforms())
    assert report.state == "nothing ran"
    assert "Nothing ran" in FolderStore(tmp_path).read("sites/brew/reports/2026-11-20/report.html").decode()


def test_a_report_is_written_in_three_forms_and_kept_once(store: Store, tmp_path: Path) -> None:
    a_day_is_made(store)
    objects = FolderStore(tmp_path)
    reports = []
    for run_id in ("run-2", "run-3"):  # each a content run that makes nothing new, and its report
        with desk_of(store, run_id) as desk:
            with desk.step("planner/ideas") as step:
                step.tally.replayed = 1
                step.done("i1", ideas=0)
            reports.append(make_report(desk, objects, platforms()))
    first, second = reports
    assert second.version == first.version
    assert second.calls.replayed == first.calls.replayed + 1
    with store.transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ReportRow)) == 1
        row, keys = report_on(session, SITE.id, DAY), report_keys(session, SITE.id, DAY)
        assert row
        assert keys
        assert (row.version, row.run_id) == (second.version, "run-3")
        assert DailyReport.model_validate(row.document) == second
    assert json.loads(objects.read(keys["json"]))["version"] == second.version
    assert objects.read(keys["html"]).startswith(b"<!doctype html>")
    assert b"have no X draft" in objects.read(keys["markdown"]) or b"has no X draft" in objects.read(keys["markdown"])


def test_no_prompt_reaches_a_report(store: Store, tmp_path: Path) -> None:
    a_day_is_made(store)
    objects = FolderStore(tmp_path)
    with desk_of(store, "run-2") as desk:
        make_report(desk, objects, platforms())
    shown = "".join(objects.read(key).decode() for key in keys_of(SITE.slug, DAY).values())
    assert "A post." in shown
    assert PROMPT not in shown
    assert "secret recipe" not in shown
