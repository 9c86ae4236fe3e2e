"""Days that are asked for in batches: several runs, one price, and the same rows as a day that is asked at once."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from content_assets.partitions import SITES
from content_assets.planner import CLUSTERS, IDEAS, KEYWORDS
from content_assets.writer import DRAFTS
from definitions import defs
from pressroom.llm.prices import price_of
from pressroom.records import Usage
from pressroom.store.batches import Batch, known_batches
from pressroom.store.engine import Store
from pressroom.store.reports import report_on
from pressroom.store.sites import apply_site
from pressroom.store.tables import ModelBatchRow, ModelCallRow
from resources.store import StoreResource
from sensors.batches import batches
from simulators.openai import OpenAISimulator
from tests.dagster.conftest import Desk, add_run, inbox_file
from tests.dagster.conftest import instance_in_memory as instance
from tests.samples import DAY, SITE

__all__ = ["instance"]

MakeDesk = Callable[..., Desk]
X, LINKEDIN, INSTAGRAM = (dg.AssetKey(["writer", name]) for name in ("x_posts", "linkedin_posts", "instagram_reels"))
BATCH = {"resources": {"llm": {"config": {"batch": True}}}}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def model(endpoint: OpenAISimulator, monkeypatch: pytest.MonkeyPatch, instance: dg.DagsterInstance, store: Store) -> OpenAISimulator:
    """The endpoint that runs in this process write with, and a site of three ideas a day with its keywords."""
    monkeypatch.setenv("PRESSROOM_LLM", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    three = SITE.automation.model_copy(update={"ideas_per_day": 3})
    with store.transaction() as session:
        apply_site(session, SITE.model_copy(update={"automation": three}))
    instance.add_dynamic_partitions(SITES, [SITE.slug])
    inbox_file("keywords.csv")
    return endpoint


def run(instance: dg.DagsterInstance, *assets: dg.AssetKey, config: dict[str, Any] | None = None) -> dg.ExecuteInProcessResult:
    """A run of the day in batches, or with the `config` that is given."""
    config = QUIET | (BATCH if config is None else config)
    key = dg.MultiPartitionKey({"site": "brew", "date": str(DAY)})
    job = defs.resolve_job_def("daily_content")
    return job.execute_in_process(instance=instance, partition_key=key, run_config=config, asset_selection=list(assets) or None)


def report(instance: dg.DagsterInstance, store: Store) -> dict[str, Any]:
    """The daily report, made now."""
    key = dg.MultiPartitionKey({"site": "brew", "date": str(DAY)})
    assert defs.resolve_job_def("daily_report").execute_in_process(instance=instance, partition_key=key, run_config=QUIET).success
    with store.transaction() as session:
        row = report_on(session, SITE.id, DAY)
        assert row
        return row.document


def tick(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    with dg.build_sensor_context(instance, resources={"store": StoreResource()}) as context:
        told = batches(context)
    assert isinstance(told, list | dg.SkipReason)
    return told if isinstance(told, list) else []


def go_on(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Does what one tick of the sensor requests, as the daemon would."""
    (request,) = tick(instance)
    assert request.job_name == "daily_content"
    assert request.partition_key == dg.MultiPartitionKey({"site": "brew", "date": str(DAY)})
    assert request.run_config == BATCH
    return run(instance, *(request.asset_selection or ()), config=dict(request.run_config))


def made(result: dg.ExecuteInProcessResult) -> set[dg.AssetKey]:
    assert result.success
    return {event.asset_key for event in result.get_asset_materialization_events() if event.asset_key}


def calls(store: Store, status: str) -> int:
    with store.transaction() as session:
        return session.scalar(sa.select(sa.func.count()).where(ModelCallRow.status == status)) or 0


def stored_batches(store: Store) -> list[Batch]:
    with store.transaction() as session:
        earliest = sa.select(sa.func.min(ModelBatchRow.created_at))
        return known_batches(session, SITE.account_id, closed_since=session.scalars(earliest).one())


def costs(store: Store) -> tuple[Decimal, Decimal]:
    """What the day's calls cost, and what they would have cost at once."""
    price = price_of("gpt-4.1-mini")
    assert price
    with store.transaction() as session:
        rows = session.scalars(sa.select(ModelCallRow)).all()
    single = [price.of(Usage(input=row.input_tokens, cached=row.cached_tokens, output=row.output_tokens)) for row in rows]
    return sum((row.cost_usd or Decimal(0) for row in rows), Decimal(0)), sum((cost or Decimal(0) for cost in single), Decimal(0))


def test_a_day_goes_on_from_batch_to_batch_until_it_is_whole(instance: dg.DagsterInstance, store: Store, model: OpenAISimulator) -> None:
    """The ideas wait, then the drafts; the sensor collects and requests; a run at once afterwards finds everything there."""
    model.hold_batches = True
    assert made(run(instance)) == {KEYWORDS, CLUSTERS}
    waiting = report(instance, store)
    assert (waiting["state"], waiting["failures"], waiting["calls"]["pending"]) == ("waiting", [], 1)
    assert "1 answer is on its way in a batch" in waiting["headline"]
    assert tick(instance) == []

    model.finish_batches()
    assert made(go_on(instance)) == {KEYWORDS, CLUSTERS, IDEAS}
    assert tick(instance) == []
    waiting = report(instance, store)
    assert (waiting["state"], len(waiting["ideas"]), waiting["calls"]["pending"]) == ("waiting", 3, 9)

    model.finish_batches()
    assert made(go_on(instance)) == {KEYWORDS, CLUSTERS, IDEAS, *DRAFTS}
    assert tick(instance) == []
    whole = report(instance, store)
    assert (whole["state"], whole["calls"]["paid"], whole["calls"]["pending"]) == ("complete", 10, 0)

    assert [(batch.requests, batch.answered, batch.state) for batch in stored_batches(store)] == [(1, 1, "collected"), (9, 9, "collected")]
    paid, at_once = costs(store)
    assert abs(2 * paid - at_once) < Decimal("0.00002")
    assert (model.count, len(model.batch_lines), model.paid_twice) == (0, 10, 0)
    assert made(run(instance, config={})) == {KEYWORDS, CLUSTERS, IDEAS, *DRAFTS}
    assert (model.count, len(model.batch_lines)) == (0, 10), "a run at once asked again for what a batch had brought"


@pytest.mark.long
def test_a_draft_whose_line_failed_goes_out_with_the_next_batch_and_the_others_are_saved(
    instance: dg.DagsterInstance, store: Store, model: OpenAISimulator
) -> None:
    run(instance)
    model.fail("500", times=1, containing="on Instagram")
    go_on(instance)
    assert made(go_on(instance)) == {KEYWORDS, CLUSTERS, IDEAS, X, LINKEDIN}
    with store.transaction() as session:
        drafts = session.execute(sa.text("SELECT platform, count(*) FROM drafts GROUP BY 1 ORDER BY 1")).all()
    assert [tuple(row) for row in drafts] == [("instagram", 2), ("linkedin", 3), ("x", 3)]
    assert report(instance, store)["state"] == "waiting"
    assert made(go_on(instance)) == {KEYWORDS, CLUSTERS, IDEAS, *DRAFTS}
    assert [batch.requests for batch in stored_batches(store)] == [1, 9, 1]
    assert model.paid_twice == 0


@pytest.mark.long
def test_refinements_go_out_with_the_next_batch(instance: dg.DagsterInstance, store: Store, model: OpenAISimulator) -> None:
    capable = model.answers
    assert capable
    model.answers = lambda asked: (
        {"posts": ["far too long " * 40]} if "posts" in asked.schema["properties"] and "attempt 2" not in asked.input else capable(asked)
    )
    run(instance)
    go_on(instance)
    assert made(go_on(instance)) == {KEYWORDS, CLUSTERS, IDEAS, LINKEDIN, INSTAGRAM}
    assert made(go_on(instance)) == {KEYWORDS, CLUSTERS, IDEAS, *DRAFTS}
    assert [batch.requests for batch in stored_batches(store)] == [1, 9, 3]
    assert report(instance, store)["state"] == "complete"


@pytest.mark.long
def test_a_run_at_once_in_between_pays_for_nothing_that_is_in_a_batch(
    instance: dg.DagsterInstance, store: Store, model: OpenAISimulator
) -> None:
    model.hold_batches = True
    run(instance)
    assert made(run(instance, config={})) == {KEYWORDS, CLUSTERS}
    assert (model.count, calls(store, "batched")) == (0, 1)
    model.finish_batches()
    assert len(tick(instance)) == 1, "the batch was collected after the run began"
    assert made(run(instance, config={})) == {KEYWORDS, CLUSTERS, IDEAS, *DRAFTS}
    assert tick(instance) == [], "a person has gone on with the day"
    assert (model.count, len(model.batch_lines), model.paid_twice) == (9, 1, 0)


@pytest.mark.long
def test_a_fresh_day_in_batches_is_asked_afresh_once(instance: dg.DagsterInstance, store: Store, model: OpenAISimulator) -> None:
    run(instance, config={})
    assert model.count == 10
    run(instance, config={"resources": {"llm": {"config": {"batch": True, "fresh": True}}}})
    assert go_on(instance).success
    assert made(go_on(instance)) == {KEYWORDS, CLUSTERS, IDEAS, *DRAFTS}
    assert tick(instance) == []
    assert (model.count, len(model.batch_lines)) == (10, 10)


@pytest.mark.long
def test_a_single_asset_that_waited_goes_on_alone(instance: dg.DagsterInstance, store: Store, model: OpenAISimulator) -> None:
    """Whoever materialises the ideas in the UI has not asked for drafts."""
    run(instance, KEYWORDS, CLUSTERS, config={})
    assert made(run(instance, IDEAS)) == set()
    assert made(go_on(instance)) == {IDEAS}
    assert tick(instance) == []
    assert calls(store, "answered") == 1


def test_a_day_that_is_at_work_is_left_to_the_next_tick(instance: dg.DagsterInstance, store: Store, model: OpenAISimulator) -> None:
    run(instance)
    queued = add_run(instance, "daily_content", dg.DagsterRunStatus.QUEUED)
    assert tick(instance) == []
    assert calls(store, "answered") == 1
    instance.delete_run(queued)
    first, second = tick(instance), tick(instance)
    assert [request.run_key for request in first] == [request.run_key for request in second], "a run key holds for good"


@pytest.mark.long
def test_batches_that_bring_nothing_end_in_a_report_and_not_in_a_circle(
    instance: dg.DagsterInstance, store: Store, model: OpenAISimulator
) -> None:
    model.fail("400", times=None)
    run(instance)
    assert made(go_on(instance)) == {KEYWORDS, CLUSTERS}
    (request,) = tick(instance)
    assert (request.job_name, request.partition_key) == ("daily_report", dg.MultiPartitionKey({"site": "brew", "date": str(DAY)}))
    told = report(instance, store)
    assert told["state"] == "partial"
    assert [failure["what"] for failure in told["failures"]] == ["1 call for idea to gpt-4.1-mini"]
    assert "answers 400 (invalid_value)" in told["failures"][0]["why"][0]
    assert tick(instance) == []
    assert len(model.batch_lines) == 2


def test_the_sensor_asks_for_runs_that_dagster_takes(instance: dg.DagsterInstance, store: Store, model: OpenAISimulator) -> None:
    """As the daemon evaluates a tick: the job, the partition, the assets and the configuration are checked."""
    run(instance, KEYWORDS, CLUSTERS, IDEAS)
    repository = defs.get_repository_def()
    sensor = repository.get_sensor_def("batches")
    with (
        dg.build_sensor_context(instance, repository_def=repository, resources={"store": StoreResource()}) as context,
        dg.partition_loading_context(dynamic_partitions_store=instance),
    ):
        (request,) = sensor.evaluate_tick(context).run_requests or []
    assert request.asset_selection == [CLUSTERS, IDEAS, KEYWORDS]
    assert (request.tags["dagster/partition/site"], request.tags["dagster/partition/date"]) == ("brew", str(DAY))


def test_a_tick_without_a_batch_looks_at_nothing(
    instance: dg.DagsterInstance, model: OpenAISimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESSROOM_MODELS", "/nowhere/models.yaml")
    with dg.build_sensor_context(instance, resources={"store": StoreResource()}) as context:
        told = batches(context)
    assert isinstance(told, dg.SkipReason)
    assert told.skip_message == "0 batches were collected, 0 are open"


@pytest.mark.long
def test_the_command_sends_collects_and_goes_on(desk: MakeDesk, endpoint: OpenAISimulator) -> None:
    brew = desk(endpoint)
    endpoint.hold_batches = True
    first = brew.run("--keywords", "keywords.csv", "--batch")
    assert (first["waiting"], first["ideas"], first["calls"]) == (1, [], {"paid": 0, "replayed": 0})
    told = brew.pressroom("run", "brew", "--date", "2026-11-20")
    assert told.returncode == 0, told.stderr
    assert f"1 call waits in batch {first['batches'][0]}" in told.stdout
    assert "pressroom batches collect" in told.stdout

    (listed,) = json.loads(brew.pressroom("batches", "--json").stdout)
    assert (listed["site"], listed["day"], listed["state"], listed["remote"]) == ("brew", "2026-11-20", "submitted", "in_progress")
    assert json.loads(brew.pressroom("batches", "collect", "--json").stdout)["collected"] == []
    endpoint.finish_batches()
    collected = brew.pressroom("batches", "collect")
    assert "pressroom run brew --date 2026-11-20 --batch" in collected.stderr

    assert brew.run("--batch")["waiting"] == 9
    endpoint.finish_batches()
    (done,) = json.loads(brew.pressroom("batches", "collect", "--json").stdout)["collected"]
    assert (done["requests"], done["answered"], done["failed"], done["problem"]) == (9, 9, 0, None)
    last = brew.run("--batch")
    assert (last["waiting"], len(last["drafts"]), last["calls"]) == (0, 9, {"paid": 0, "replayed": 10})
    assert endpoint.count == endpoint.paid_twice == 0
    shown = brew.pressroom("batches").stdout
    assert shown.count("collected") == 2
    assert "no batch is open" in brew.pressroom("batches", "collect").stderr


@pytest.mark.long
def test_a_key_that_may_not_send_batches_is_told_and_the_same_day_can_be_asked_at_once(desk: MakeDesk, endpoint: OpenAISimulator) -> None:
    brew = desk(endpoint)
    endpoint.fail("403", times=1, on="files")
    done = brew.pressroom("run", "brew", "--date", "2026-11-20", "--keywords", "keywords.csv", "--batch", "--json")
    assert done.returncode == 3
    assert "the key may not do this" in done.stderr
    assert json.loads(done.stdout)["waiting"] == 0
    assert len(brew.run()["drafts"]) == 9


@pytest.mark.long
def test_without_a_hosted_model_a_run_in_batches_is_a_run(desk: MakeDesk) -> None:
    document = desk().run("--keywords", "keywords.csv", "--batch")
    assert (document["waiting"], len(document["drafts"])) == (0, 9)
