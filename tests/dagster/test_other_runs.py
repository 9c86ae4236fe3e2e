"""Runs that do not come from `pressroom run`: what the UI's Materialize button starts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from content_assets.partitions import SITES
from content_assets.planner import CLUSTERS, IDEAS, KEYWORDS
from content_assets.reports import DAILY_REPORT
from content_assets.writer import DRAFTS
from definitions import defs
from pressroom.records import Site
from pressroom.store.engine import Store
from pressroom.store.sites import apply_site
from pressroom.store.tables import Base
from simulators.openai import OpenAISimulator
from tests.dagster.conftest import ROOT, in_process, inbox_file, the_failure
from tests.dagster.conftest import instance as instance_on_disk
from tests.dagster.conftest import instance_in_memory as instance
from tests.samples import SITE

__all__ = ["instance", "instance_on_disk"]

X, LINKEDIN, INSTAGRAM = (dg.AssetKey(["writer", name]) for name in ("x_posts", "linkedin_posts", "instagram_reels"))
# What a run books about itself: a second run adds to these and to nothing else.
OF_RUNS = {"automation_runs", "reports", "site_days", "due", "sites"}


@pytest.fixture
def model(endpoint: OpenAISimulator, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance) -> OpenAISimulator:
    """The endpoint that runs in this process write with."""
    monkeypatch.setenv("PRESSROOM_LLM", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    return endpoint


def applied(store: Store, instance: dg.DagsterInstance, site: Site = SITE) -> None:
    """The site of three ideas a day, with its keyword file in the inbox."""
    three = site.automation.model_copy(update={"ideas_per_day": 3})
    with store.transaction() as session:
        apply_site(session, site.model_copy(update={"automation": three}))
    instance.add_dynamic_partitions(SITES, [site.slug])
    inbox_file("keywords.csv", site=site.slug)


def materialise(instance: dg.DagsterInstance, *assets: dg.AssetKey, day: str = "2026-11-20") -> dg.ExecuteInProcessResult:
    """As the UI does it: the implicit job of all assets, with a selection."""
    return in_process(instance, defs.resolve_implicit_global_asset_job_def(), *assets, day=day)


def rows(store: Store) -> dict[str, list[Any]]:
    """Every row of content. A column that says who wrote last is none of it."""
    with store.transaction() as session:
        tables = [table for table in Base.metadata.sorted_tables if table.name not in OF_RUNS]
        return {table.name: sorted(map(str, session.execute(sa.select(table)).all())) for table in tables}


def drafted(store: Store) -> dict[str, int]:
    with store.transaction() as session:
        return dict(session.execute(sa.text("SELECT platform, count(*) FROM drafts GROUP BY 1")).all())  # type: ignore[arg-type]


def materialisation(result: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> dg.AssetMaterialization:
    (found,) = [event.materialization for event in result.get_asset_materialization_events() if event.asset_key == asset]
    return found


def version(result: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> str:
    return (materialisation(result, asset).tags or {})["dagster/data_version"]


def made(result: dg.ExecuteInProcessResult) -> set[dg.AssetKey]:
    return {event.asset_key for event in result.get_asset_materialization_events() if event.asset_key}


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {f"{found.asset_key.path[-1]}.{found.check_name}": found for found in result.get_asset_check_evaluations()}


def test_one_asset_materialised_again_replays_its_answers_and_changes_nothing(
    instance: dg.DagsterInstance, store: Store, model: OpenAISimulator
) -> None:
    applied(store, instance)
    whole = in_process(instance, defs.resolve_job_def("daily_content"))
    assert whole.success
    assert made(whole) == {KEYWORDS, CLUSTERS, IDEAS, *DRAFTS}
    asked, before = model.count, rows(store)
    assert asked == 10

    for asset in (CLUSTERS, IDEAS, X):
        again = materialise(instance, asset)
        assert again.success
        assert made(again) == {asset}
        assert version(again, asset) == version(whole, asset)
    assert model.count == asked, "a single asset asked the model again"
    assert rows(store) == before
    assert materialisation(again, asset).metadata["calls replayed"].value == 3
    assert materialisation(again, asset).metadata["calls paid"].value == 0

    report = materialise(instance, DAILY_REPORT)
    assert evaluations(report)["daily_report.report_complete"].passed


def test_a_chain_of_assets_makes_its_platform_and_the_report_names_what_is_missing(
    instance: dg.DagsterInstance, store: Store, model: OpenAISimulator
) -> None:
    applied(store, instance)
    chain = materialise(instance, KEYWORDS, CLUSTERS, IDEAS, X)
    assert chain.success
    assert made(chain) == {KEYWORDS, CLUSTERS, IDEAS, X}
    assert (model.count, drafted(store)) == (4, {"x": 3})
    report = materialise(instance, DAILY_REPORT)
    is_whole = evaluations(report)["daily_report.report_complete"]
    assert not is_whole.passed
    assert "LinkedIn" in str(is_whole.metadata["missing"].value)

    whole = in_process(instance, defs.resolve_job_def("daily_content"))
    assert version(whole, X) == version(chain, X)
    assert (model.count, drafted(store)) == (10, {"linkedin": 3, "x": 3, "instagram": 3})


def test_drafts_before_their_ideas_fail_for_good_and_say_what_to_do(
    instance: dg.DagsterInstance, store: Store, model: OpenAISimulator
) -> None:
    applied(store, instance)
    result = materialise(instance, X)
    assert not result.success
    assert the_failure(result) == ("site 'brew' has no ideas on 2026-11-20: materialise planner/ideas first", 3)
    ideas = materialise(instance, IDEAS)
    assert "materialise planner/clusters first" in the_failure(ideas)[0]
    assert model.count == 0


def test_a_platform_that_the_site_does_not_have_stays_unmaterialised_and_the_run_green(
    instance: dg.DagsterInstance, store: Store, model: OpenAISimulator
) -> None:
    applied(store, instance, SITE.model_copy(update={"platforms": ("linkedin", "x")}))
    result = in_process(instance, defs.resolve_job_def("daily_content"))
    assert result.success
    assert made(result) == {KEYWORDS, CLUSTERS, IDEAS, LINKEDIN, X}
    assert drafted(store) == {"linkedin": 3, "x": 3}
    assert "instagram_reels.within_rules" not in evaluations(result)
    assert evaluations(materialise(instance, DAILY_REPORT))["daily_report.report_complete"].passed
    before = rows(store)
    assert made(materialise(instance, INSTAGRAM)) == set()
    assert rows(store) == before


def test_a_failed_draft_turns_the_check_of_its_platform_red_and_leaves_the_run_green(
    instance: dg.DagsterInstance, store: Store, model: OpenAISimulator
) -> None:
    applied(store, instance)
    capable = model.answers
    assert capable
    model.answers = lambda asked: {"posts": ["far too long " * 40]} if "posts" in asked.schema["properties"] else capable(asked)
    result = in_process(instance, defs.resolve_job_def("daily_content"))
    assert result.success
    outcome = evaluations(result)
    assert {name for name, found in outcome.items() if not found.passed} == {"x_posts.within_rules"}
    assert {"keywords.every_file_read", "clusters.every_keyword_placed", "ideas.three_to_five_and_no_repeat"} <= outcome.keys()
    problems = outcome["x_posts.within_rules"].metadata["problems"].value
    assert isinstance(problems, list)
    assert len(problems) >= 3


def test_a_materialisation_tells_counts_calls_cost_and_a_preview(
    instance: dg.DagsterInstance, store: Store, model: OpenAISimulator
) -> None:
    applied(store, instance)
    result = in_process(instance, defs.resolve_job_def("daily_content"))
    told = {asset: materialisation(result, asset).metadata for asset in made(result)}
    assert told[KEYWORDS]["keywords"].value == 36
    assert told[CLUSTERS]["clusters"].value == 6
    assert told[IDEAS]["ideas"].value == 3
    assert told[IDEAS]["calls paid"].value == 1
    for asset, metadata in told.items():
        assert isinstance(metadata["preview"], dg.MarkdownMetadataValue)
        assert len(metadata["preview"].value or "") > 100
        assert len(version(result, asset)) == 16
        if asset in (IDEAS, *DRAFTS):
            assert 0 < float(str(metadata["cost (USD)"].value)) < 0.1
    assert [told[asset]["drafts"].value for asset in DRAFTS] == [3, 3, 3], "each asset counts its own"
    assert sum(int(str(told[asset]["calls paid"].value)) for asset in (IDEAS, *DRAFTS)) == 10, "summed over the assets, a call counts once"


@pytest.mark.long
def test_dg_launch_materialises_one_asset_of_a_partition(
    instance_on_disk: dg.DagsterInstance, store: Store, environment: dict[str, str], tmp_path: Path
) -> None:
    """The same as a process of its own, with the multi-partition's key as the UI writes it."""
    applied(store, instance_on_disk)
    whole = in_process(instance_on_disk, defs.resolve_job_def("daily_content"))
    before = rows(store)
    launched = launch("writer/x_posts", environment | {"DAGSTER_HOME": str(tmp_path / "instance")})
    assert launched.returncode == 0, launched.stderr[-2000:]
    assert rows(store) == before
    newest = instance_on_disk.get_run_records(limit=1)[0].dagster_run
    assert newest.run_id != whole.run_id
    assert newest.asset_selection == {X}


def launch(asset: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    dg_command = Path(sys.executable).with_name("dg")
    command = [str(dg_command), "launch", "--assets", asset, "--partition", "2026-11-20|brew"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
