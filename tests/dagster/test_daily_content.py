"""A site's day, from keywords to report: spent once, whatever happens."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from cli.executing import execute_day
from pressroom.store.content import drafts_on, save_ideas
from pressroom.store.engine import Store
from pressroom.store.sites import site_by_slug
from pressroom.store.tables import Base, SiteDayRow
from simulators.openai import OpenAISimulator
from tests.dagster.conftest import Desk, add_sites, inbox_file
from tests.dagster.conftest import instance_in_memory as instance
from tests.samples import DAY, SITE, an_idea, call_booked
from tests.telling import told

__all__ = ["instance"]

MakeDesk = Callable[..., Desk]

# What a run books about itself: a second run adds to these and to nothing else.
OF_RUNS = {"automation_runs", "reports", "site_days", "due"}


def rows(store: Store) -> dict[str, int]:
    """Rows of every table that holds content."""
    with store.transaction() as session:
        tables = (table for table in Base.metadata.sorted_tables if table.name not in OF_RUNS)
        return {table.name: session.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in tables}


def texts(document: dict[str, Any]) -> dict[str, str]:
    return {draft["id"]: draft["text"] for draft in document["drafts"]}


def test_a_second_run_of_the_same_day_makes_no_call_and_no_row(desk: MakeDesk, endpoint: OpenAISimulator, store: Store) -> None:
    brew = desk(endpoint)
    first = brew.run("--keywords", "keywords.csv")
    assert (len(first["ideas"]), len(first["drafts"])) == (3, 9)
    assert first["calls"] == {"paid": 10, "replayed": 0}
    assert endpoint.count == 10
    before = rows(store)

    second = brew.run("--keywords", "keywords.csv")
    assert endpoint.count == 10, "a second run asked the model again"
    assert second["calls"] == {"paid": 0, "replayed": 10}
    assert rows(store) == before
    assert texts(second) == texts(first)
    assert Path(second["report"]["html"]).stat().st_size > 5_000
    report = json.loads(Path(second["report"]["json"]).read_text(encoding="utf-8"))
    assert report["state"] == "complete"


def test_without_a_key_the_offline_writer_makes_a_whole_day_and_the_next_one_carries_its_state_forward(
    desk: MakeDesk, store: Store
) -> None:
    """It says that it is offline; and a day without new keywords needs no new clusters."""
    brew = desk()
    document = brew.run("--keywords", "keywords.csv")
    assert Counter(draft["platform"] for draft in document["drafts"]) == {"linkedin": 3, "x": 3, "instagram": 3}
    assert {draft["model"] for draft in document["drafts"]} == {"offline"}
    assert {draft["state"] for draft in document["drafts"]} == {"generated"}
    assert len(set(texts(document).values())) == 9, "every draft is a text of its own"
    assert "offline" in Path(document["report"]["html"]).read_text(encoding="utf-8")
    assert document["cost_usd"] == 0

    tomorrow = brew.run(day="2026-11-21")
    assert tomorrow["counts"]["new"] == 0
    assert tomorrow["counts"]["keywords"] == 36
    with store.transaction() as session:
        assert session.execute(sa.text("SELECT count(*) FROM clusterings")).scalar() == 1, "the same keywords were clustered twice"
        steps = session.execute(sa.text("SELECT steps FROM automation_runs WHERE day = '2026-11-21'")).scalar_one()
    assert {step["asset"]: step["state"] for step in steps if step["asset"].startswith("planner/")} == {
        "planner/keywords": "carried",
        "planner/clusters": "carried",
        "planner/ideas": "done",
    }


@pytest.mark.long
def test_a_draft_that_gets_no_answer_leaves_the_others_saved_and_is_asked_for_by_the_next_run(
    desk: MakeDesk, endpoint: OpenAISimulator
) -> None:
    brew = desk(endpoint)
    endpoint.fail("500", times=4, containing="on Instagram")
    first = brew.run("--keywords", "keywords.csv")
    missing = 9 - len(first["drafts"])
    assert missing in (0, 1), "four failures are one call's four tries, or are spread over the three calls"
    endpoint.fail("500", times=None, containing="on Instagram")
    asked = endpoint.count
    again = brew.run()
    assert endpoint.count - asked == 4 * missing
    endpoint.failures.clear()
    assert len(brew.run()["drafts"]) == 9
    assert len(again["drafts"]) == 9 - missing


@pytest.mark.long
def test_a_draft_that_breaks_the_rules_to_the_end_is_kept_as_failed_with_its_violations(desk: MakeDesk, endpoint: OpenAISimulator) -> None:
    """Nothing is silently cut, the run ends green, and the next run does not pay for it again."""
    brew = desk(endpoint)
    capable = endpoint.answers
    assert capable
    endpoint.answers = lambda asked: {"posts": ["far too long " * 40]} if "posts" in asked.schema["properties"] else capable(asked)
    document = brew.run("--keywords", "keywords.csv")
    failed = [draft for draft in document["drafts"] if draft["state"] == "failed"]
    assert {draft["platform"] for draft in failed} == {"x"}
    assert all(draft["violations"] for draft in failed)
    assert endpoint.count == 1 + 6 + 3 * 4, "each long thread was asked for once and refined three times"
    asked = endpoint.count
    brew.run()
    assert endpoint.count == asked


@pytest.mark.parametrize("after", [4, *(pytest.param(number, marks=pytest.mark.long) for number in (0, 1, 2, 3, 5, 6, 7, 8, 9))])
def test_a_run_killed_half_way_asks_for_no_booked_answer_again(desk: MakeDesk, endpoint: OpenAISimulator, store: Store, after: int) -> None:
    """kill -9 in the middle of the drafts; the next run ends with the rows of a run that was never killed."""
    brew = desk(endpoint)
    endpoint.latency = 0.4
    brew.environment["PRESSROOM_LLM_MAX_IN_FLIGHT"] = "2"
    running = brew.start("run", "brew", "--date", "2026-11-20", "--keywords", "keywords.csv")
    while booked(store) < after:
        assert not running.has_ended, running.wait().stderr
        time.sleep(0.02)
    running.kill()
    time.sleep(0.5)  # what was in flight is answered to nobody
    had = booked(store)

    document = brew.run("--keywords", "keywords.csv")
    assert (len(document["ideas"]), len(document["drafts"])) == (3, 9)
    assert document["calls"] == {"paid": 10 - had, "replayed": had}
    assert endpoint.paid_twice <= 2, "only what was in flight at the kill may be asked again"
    assert rows(store)["draft_versions"] == 9


def booked(store: Store) -> int:
    with store.transaction() as session:
        return session.execute(sa.text("SELECT count(*) FROM model_calls WHERE status = 'answered'")).scalar_one()


@pytest.mark.long
def test_a_site_that_a_run_holds_is_refused_with_the_id_of_that_run(desk: MakeDesk, endpoint: OpenAISimulator, store: Store) -> None:
    brew = desk(endpoint)
    endpoint.latency = 3
    running = brew.start("run", "brew", "--date", "2026-11-20", "--keywords", "keywords.csv", "--json")
    while endpoint.count == 0:
        assert not running.has_ended, running.wait().stderr
        time.sleep(0.05)
    refused = brew.pressroom("run", "brew", "--date", "2026-11-20")
    endpoint.latency = 0
    done = running.wait()
    assert done.returncode == 0, done.stderr
    assert refused.returncode == 4
    assert json.loads(done.stdout)["run_id"] in refused.stderr


def test_a_draft_leads_back_to_its_keywords_prompt_call_and_run(desk: MakeDesk, endpoint: OpenAISimulator) -> None:
    brew = desk(endpoint)
    document = brew.run("--keywords", "keywords.csv")
    draft = document["drafts"][0]
    done = brew.pressroom("trace", draft["id"], "--json")
    assert done.returncode == 0, done.stderr
    lineage = json.loads(done.stdout)
    (version,) = lineage["draft"]["versions"]
    assert version["text"] == draft["text"]
    assert version["call"]["model"] == "gpt-4.1-mini"
    assert version["call"]["cost_usd"] > 0
    assert version["run"]["id"] == document["run_id"]
    assert lineage["keywords"][0]["file"] == "keywords.csv"
    assert lineage["keywords"][0]["row"] >= 2
    assert brew.pressroom("trace", draft["id"]).returncode == 0


@pytest.mark.long
def test_answers_that_cannot_be_used_leave_the_day_as_it_was_and_a_fresh_run_asks_anew(desk: MakeDesk, endpoint: OpenAISimulator) -> None:
    """What was refused for good is not paid for by every run; `--fresh` is how a person asks again."""
    brew = desk(endpoint)
    brew.run("--keywords", "keywords.csv")
    capable, endpoint.answers = endpoint.answers, lambda asked: "I would rather talk about something else."
    brew.environment["PRESSROOM_LLM_MODEL"] = "gpt-4.1"
    bad = brew.pressroom("run", "brew", "--date", "2026-11-20", "--json")
    assert bad.returncode == 3
    assert "no proposed idea could be used" in bad.stderr
    document = json.loads(bad.stdout)
    assert len(document["ideas"]) == document["counts"]["ideas"] == 3, "a bad answer took the day's ideas away"
    assert (document["ok"], document["problem"] in bad.stderr) == (False, True)

    endpoint.answers, asked = capable, endpoint.count
    assert brew.pressroom("run", "brew", "--date", "2026-11-20").returncode == 3
    assert endpoint.count == asked
    fresh = brew.run("--fresh")
    assert (len(fresh["ideas"]), len(fresh["drafts"])) == (3, 9)
    assert endpoint.count == asked + 10


@pytest.mark.long
def test_a_draft_that_failed_for_good_is_asked_again_only_by_regenerate(desk: MakeDesk, endpoint: OpenAISimulator) -> None:
    """The new text is what the day goes on with: an ordinary run after it replays that one, and pays nothing."""
    brew = desk(endpoint)
    capable = endpoint.answers
    assert capable
    endpoint.answers = lambda asked: {"posts": ["far too long " * 40]} if "posts" in asked.schema["properties"] else capable(asked)
    (first, *others) = [draft for draft in brew.run("--keywords", "keywords.csv")["drafts"] if draft["state"] == "failed"]
    endpoint.answers, asked = capable, endpoint.count
    assert brew.run()["calls"]["paid"] == 0

    done = brew.pressroom("regenerate", first["id"][:8], "--json")
    assert done.returncode == 0, done.stderr
    (draft,) = json.loads(done.stdout)
    assert endpoint.count == asked + 1, "one draft, one call"
    assert (draft["state"], draft["current"], len(draft["versions"])) == ("generated", 2, 2)

    after = brew.run()
    assert after["calls"]["paid"] == 0
    states = {draft["id"]: draft["state"] for draft in after["drafts"]}
    assert states[first["id"]] == "generated"
    assert {states[draft["id"]] for draft in others} == {"failed"}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["refusal", "too long"])
def test_a_regenerated_draft_that_does_not_pass_leaves_the_good_one_in_use(
    desk: MakeDesk, endpoint: OpenAISimulator, store: Store, kind: str
) -> None:
    """It was paid, so it is kept beside the good one; the day reads as before, and a run after it neither asks nor fails its check."""
    brew = desk(endpoint)
    before = brew.run("--keywords", "keywords.csv")
    good = next(draft for draft in before["drafts"] if draft["platform"] == "x")
    capable, asked = endpoint.answers, endpoint.count
    if kind == "refusal":
        endpoint.fail("refusal", times=None)
    else:
        endpoint.answers = lambda asked: {"posts": ["far too long " * 40]}
    done = brew.pressroom("regenerate", good["id"][:8])
    assert done.returncode == 1, done.stderr
    assert f"{good['id']}: version 2 does not pass: version 1 stays the current one, generated" in done.stdout
    assert endpoint.count > asked

    endpoint.failures, endpoint.answers, asked = [], capable, endpoint.count
    after = brew.run()
    assert (endpoint.count, texts(after), after["counts"]["failed"]) == (asked, texts(before), 0)
    with store.transaction() as session:
        made = session.execute(sa.select(SiteDayRow).where(SiteDayRow.asset == "writer/x_posts")).scalar_one()
    assert made.counts == {"drafts": 3, "failed": 0, "missing": 0}

    again = brew.pressroom("regenerate", good["id"][:8], "--json")
    assert again.returncode == 0, again.stderr
    (draft,) = json.loads(again.stdout)
    assert (draft["state"], draft["current"], [each["number"] for each in draft["versions"]]) == ("generated", 3, [1, 2, 3])


@pytest.mark.long
def test_drafts_asked_afresh_that_do_not_pass_replace_none_that_do(
    instance: dg.DagsterInstance, endpoint: OpenAISimulator, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asset materialised again in the UI with `fresh: true`, while the model refuses: its check and preview tell what stands."""
    for name, value in {"LLM": "openai", "OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_BASE_URL": endpoint.base_url}.items():
        monkeypatch.setenv(name if name.startswith("OPENAI") else f"PRESSROOM_{name}", value)
    add_sites(store, instance, SITE)
    inbox_file("keywords.csv")
    assert execute_day("daily_content", instance, SITE, DAY).ok
    with store.transaction() as session:
        before = drafts_on(session, SITE.id, DAY)
    endpoint.fail("refusal", times=None)
    asked = endpoint.count
    asset = dg.AssetKey(["writer", "x_posts"])
    assert execute_day("daily_content", instance, SITE, DAY, assets=[asset], llm={"fresh": True}).ok
    assert endpoint.count > asked
    with store.transaction() as session:
        assert drafts_on(session, SITE.id, DAY) == before
    event = instance.get_latest_materialization_event(asset)
    assert event
    assert event.asset_materialization
    assert event.asset_materialization.metadata["failed"].value == 0
    assert "no_draft" not in str(event.asset_materialization.metadata["preview"].value)
    (check,) = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(asset, "within_rules"), limit=1)
    assert check.status.value == "SUCCEEDED"


@pytest.mark.parametrize("variable", ["PRESSROOM_MODELS", "PRESSROOM_PRICES"])
def test_what_no_step_can_begin_without_is_told_in_its_own_words(
    instance: dg.DagsterInstance, store: Store, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A resource fails before the first step: the command ends as for any bad input, and the run's failure in the UI says the same."""
    add_sites(store, instance, SITE)
    monkeypatch.setenv(variable, "/nowhere.yaml")
    ended = execute_day("daily_content", instance, SITE, DAY)
    assert (ended.ok, ended.exit_code) == (False, 2)
    assert "/nowhere.yaml" in ended.problem
    assert "cannot be read" in ended.problem
    assert "pressroom.errors" not in ended.problem
    (failure,) = instance.get_records_for_run(ended.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    assert failure.event_log_entry.dagster_event
    error = failure.event_log_entry.dagster_event.job_failure_data.error
    assert error
    assert ended.problem in error.to_string()


@pytest.mark.long
def test_what_a_fresh_run_began_is_what_the_day_goes_on_with(desk: MakeDesk, endpoint: OpenAISimulator) -> None:
    brew = desk(endpoint)
    capable, side = endpoint.answers, {"word": "old"}
    assert capable

    def answers(asked: Any) -> Any:
        document = capable(asked)
        if "ideas" in document:
            document = {"ideas": [idea | {"title": f"{idea['title']}, {side['word']}"} for idea in document["ideas"]]}
        return document

    endpoint.answers = answers
    old = brew.run("--keywords", "keywords.csv")
    side["word"] = "new"
    fresh = brew.run("--fresh")
    assert not {idea["id"] for idea in old["ideas"]} & {idea["id"] for idea in fresh["ideas"]}
    after = brew.run()
    assert after["calls"]["paid"] == 0
    assert [idea["id"] for idea in after["ideas"]] == [idea["id"] for idea in fresh["ideas"]]


def test_what_cannot_be_regenerated_is_said_in_one_line(desk: MakeDesk, store: Store) -> None:
    brew, idea = desk(), an_idea()
    with store.transaction() as session:
        site = site_by_slug(session, "brew")
        call_booked(session, "call", site)
        save_ideas(session, site, DAY, [idea], run_id="run")
    for wanted, says in (("nonsense", "is no id"), ("00000000", "is no draft or idea"), (str(idea.id), "only drafts are asked for anew")):
        told(brew.pressroom("regenerate", wanted), 2, says)
