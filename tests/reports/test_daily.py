"""The report as a document: its verdict, its version, and what it says of money, failures and gaps."""

from decimal import Decimal
from typing import Any

import pytest

from pressroom.records import DraftState
from pressroom.reports.daily import daily_report
from pressroom.reports.render import render_json
from pressroom.reports.verdict import state_of
from pressroom.store.reports import DayFacts, DraftFact
from tests.reports.sample_days import (
    PLATFORMS,
    SECRETS,
    SITE,
    bad_day,
    calls,
    draft,
    fact,
    good_day,
    hostile_day,
    idea,
    made,
    quiet_day,
    run,
    step,
)


def changed(day: DayFacts, **fields: Any) -> DayFacts:
    return day.model_copy(update=fields)


def with_draft(day: DayFacts, number: int, place: int, **fields: Any) -> DayFacts:
    """`day` with one draft changed, or without it when there are no `fields`."""
    drafts: list[DraftFact] = list(day.ideas[number].drafts)
    old = drafts.pop(place)
    if fields:
        drafts.insert(place, old.model_copy(update=fields))
    ideas = list(day.ideas)
    ideas[number] = ideas[number].model_copy(update={"drafts": tuple(drafts)})
    return changed(day, ideas=tuple(ideas))


def test_a_day_with_every_idea_on_every_platform_is_complete() -> None:
    assert state_of(good_day()) == "complete"


def test_a_day_without_runs_and_ideas_says_that_nothing_ran_and_how_to_start_it() -> None:
    report = daily_report(quiet_day())
    assert (report.state, report.missing, report.failures) == ("nothing ran", (), ())
    assert [need.command for need in report.needs] == ["pressroom run harbour-coffee --date 2026-11-20"]


@pytest.mark.parametrize("state", ["generated", "edited", "reviewed", "ready", "published", "archived"])
def test_a_draft_that_people_work_on_is_there_and_a_failed_one_is_not(state: DraftState) -> None:
    assert state_of(with_draft(good_day(), 2, 1, state="failed")) == "partial"
    assert state_of(with_draft(good_day(), 2, 1, state=state)) == "complete"


def test_a_missing_draft_is_named_with_its_platform() -> None:
    day = with_draft(with_draft(good_day(), 0, 2), 3, 2)
    report = daily_report(day, PLATFORMS)
    assert report.state == "partial"
    assert report.missing == ("2 of 4 ideas have no X draft",)
    assert [idea.missing for idea in report.ideas] == [("x",), (), (), ("x",)]


@pytest.mark.parametrize(("wanted", "state"), [(3, "complete"), (4, "complete"), (5, "partial")])
def test_fewer_ideas_than_the_site_wants_are_a_part_of_the_day(wanted: int, state: str) -> None:
    site = SITE.model_copy(update={"automation": SITE.automation.model_copy(update={"ideas_per_day": wanted})})
    assert state_of(changed(good_day(), site=site)) == state


def test_a_platform_that_the_site_has_given_up_is_shown_and_not_asked_for() -> None:
    report = daily_report(changed(good_day(), site=SITE.model_copy(update={"platforms": ("x",)})), PLATFORMS)
    assert (report.state, len(report.drafts)) == ("complete", 12)
    assert list(report.site.platforms) == ["x", "instagram", "linkedin"]


def test_a_failed_step_counts_until_it_has_run_again() -> None:
    failed = run("first", [step("writer/x_posts", 0, 9, state="failed", error="503")], state="failed")
    again = run("second", [step("writer/x_posts", 100, 109)], after=100)
    other = run("third", [step("planner/clusters", 200, 201)], after=200)
    assert state_of(changed(good_day(), runs=(failed,))) == "failed"
    assert state_of(changed(good_day(), runs=(failed, other))) == "partial"
    assert state_of(changed(good_day(), runs=(failed, again))) == "complete"


def test_a_day_whose_answers_are_in_a_batch_waits_and_is_neither_failed_nor_complete() -> None:
    waiting = run("first", [step("writer/x_posts", 0, 9, state="waiting", counts={"waiting": 2})])
    batched = calls("draft", 2, status="batched", cost_usd=Decimal(0), input_tokens=0)
    day = changed(good_day(), runs=(waiting,), calls=(batched,))
    report = daily_report(with_draft(day, 0, 2), PLATFORMS)
    assert (report.state, report.failures, report.calls.pending, report.calls.paid) == ("waiting", (), 2, 0)
    assert report.headline == "4 of 4 ideas and 11 of 12 drafts are there; 2 answers are on their way in a batch."
    assert report.needs[0].command == "pressroom batches collect"
    assert state_of(changed(day, runs=(run("first", waiting.steps, state="failed"),))) == "failed"
    assert state_of(changed(day, runs=(waiting, run("second", [step("writer/x_posts", 100, 109)], after=100)))) == "complete"
    given_back = calls("draft", 2, status="failed", error="the batch expired", cost_usd=Decimal(0))
    assert state_of(with_draft(changed(day, calls=(given_back,)), 0, 2)) == "partial", "nothing is on its way any more"


def test_a_run_that_died_before_its_first_step_is_a_failed_day() -> None:
    report = daily_report(changed(quiet_day(), runs=(run("lost", [], state="failed", error="the run's process ended without a word"),)))
    assert report.state == "failed"
    assert [failure.why for failure in report.failures] == [("the run's process ended without a word",)]


def test_the_reports_own_step_and_runs_are_no_part_of_the_day() -> None:
    own = [step("reports/daily_report", 300, 301, state="failed", error="disk full")]
    report_runs = (run("report", [], after=300, state="running"), run("broken", own, after=300, state="failed", error="disk full"))
    together = run("all", [*good_day().runs[0].steps, *own], state="failed", error="reports/daily_report: disk full")
    day = good_day()
    assert state_of(changed(day, runs=day.runs + report_runs)) == "complete"
    assert state_of(changed(day, runs=(together,))) == "complete"
    assert state_of(changed(quiet_day(), runs=report_runs)) == "nothing ran"
    assert daily_report(changed(day, made=(*day.made, made("reports/daily_report")))) == daily_report(day)


def test_the_same_facts_give_the_same_document() -> None:
    assert render_json(daily_report(hostile_day(), PLATFORMS)) == render_json(daily_report(hostile_day(), PLATFORMS))


def test_a_second_run_that_makes_nothing_new_leaves_the_version_alone() -> None:
    day = good_day()
    steps = [one.model_copy(update={"state": "carried", "counts": {"new": 0}, "calls": {"replayed": 5}}) for one in day.runs[0].steps]
    second = day.runs[0].model_copy(update={"run_id": "second", "root_run_id": "second", "id": day.ideas[0].idea.id, "steps": tuple(steps)})
    remade = tuple(one.model_copy(update={"run_id": "second", "counts": {}}) for one in day.made)
    first, again = daily_report(day), daily_report(changed(day, runs=(*day.runs, second), made=remade))
    assert (again.calls.replayed, len(again.runs)) == (30, 2), "the second run is not in the report"
    assert again.version == first.version, "a reader of versions sees a new report although nothing in it is new"


def test_an_edit_a_new_call_and_a_new_failure_each_give_a_new_version() -> None:
    day = good_day()
    versions = {
        daily_report(one).version
        for one in (
            day,
            with_draft(day, 0, 0, state="reviewed"),
            changed(day, calls=day.calls[1:]),
            changed(day, runs=(run("x", [step("writer/x_posts", 0, 1, state="failed", error="503")], state="failed"),)),
        )
    }
    assert len(versions) == 4


@pytest.mark.parametrize(
    ("spent", "cost", "unpriced"),
    [
        ([], Decimal("0.000000"), 0),
        ([calls("x", 3)], Decimal("0.003702"), 0),
        ([calls("x", 3, cost_usd=Decimal(0))], Decimal("0.000000"), 0),
        ([calls("x", 3, cost_usd=Decimal(0), unpriced=3)], None, 3),
        ([calls("x", 3), calls("ideas", 2, cost_usd=Decimal(0), unpriced=2)], Decimal("0.003702"), 2),
    ],
)
def test_what_has_no_price_is_never_counted_as_free(spent: list[Any], cost: Decimal | None, unpriced: int) -> None:
    report = daily_report(changed(good_day(), calls=tuple(spent)))
    assert (report.cost_usd, report.unpriced) == (cost, unpriced)


def test_calls_and_tokens_are_those_that_were_answered() -> None:
    report = daily_report(bad_day(), PLATFORMS)
    assert report.calls.model_dump() == {"paid": 16, "replayed": 16, "failed": 2, "pending": 0}
    assert (report.tokens.input, report.tokens.output) == (29_440, 4_960)


def test_a_failure_is_told_once_with_its_reason() -> None:
    report = daily_report(bad_day(), PLATFORMS)
    told = [(failure.kind, failure.what) for failure in report.failures]
    assert told == [("step", "writer/instagram_reels"), ("draft", "X draft of idea 1"), ("draft", "X draft of idea 3")]
    assert report.failures[1].why == ("Post 2 counts 319 characters on X, 280 are allowed: shorten it by 39.",)
    assert report.headline == "The run failed at writer/instagram_reels. 3 of 4 ideas and 4 of 12 drafts are there."


def test_what_waits_for_a_person_comes_with_the_drafts_it_is_about() -> None:
    report = daily_report(good_day(), PLATFORMS)
    said = {need.text: len(need.targets) for need in report.needs}
    assert said == {
        "10 drafts wait to be read.": 10,
        "2 drafts are worked through and can be marked ready.": 2,
        "2 rows of keywords-november.csv were left out: see Keywords.": 0,
    }


def test_text_of_the_offline_writer_is_marked() -> None:
    one = idea(0)
    day = changed(good_day(), ideas=(fact(one, [draft(one, "x", model="offline"), draft(one, "linkedin")]),))
    report = daily_report(day)
    assert report.offline
    assert not report.ideas[0].offline
    assert {draft.platform: draft.offline for draft in report.drafts} == {"x": True, "linkedin": False}
    assert not daily_report(good_day()).offline


def test_lineage_names_model_prompt_version_and_the_start_of_the_call() -> None:
    lineage = daily_report(good_day()).ideas[0].drafts[0].lineage
    assert lineage.model_dump() == {"model": "gpt-4.1-mini", "prompt_version": "3f9a2c71", "call": lineage.call}
    assert lineage.call
    assert len(lineage.call) == 10


def test_drafts_stand_in_the_sites_order_with_the_platforms_own_figures() -> None:
    drafts = daily_report(good_day(), PLATFORMS).ideas[0].drafts
    assert [one.platform for one in drafts] == ["linkedin", "x", "instagram"]
    assert drafts[1].measures["posts"] == 3
    assert drafts[1].limits["weighted_length"] == 280


def test_two_thousand_bad_rows_and_a_megabyte_of_error_stay_short() -> None:
    report = daily_report(hostile_day(), PLATFORMS)
    (file,) = report.imports
    assert (file.rejected, len(file.rows)) == (2_000, 20)
    assert max(len(row.text) for row in file.rows) <= 120
    assert len(report.failures[0].why[0]) <= 500


def test_no_key_or_password_in_an_error_reaches_the_document() -> None:
    document = render_json(daily_report(hostile_day(), PLATFORMS))
    assert [secret for secret in SECRETS if secret in document] == []
    assert "db.example/x refused" in document, "the rest of the error must stay readable"
