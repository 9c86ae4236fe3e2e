"""A run on a video that failed: its owner is told once, with the stage and where to look."""

import dagster as dg
import pytest
import sqlalchemy as sa

from content_assets.partitions import PARTITION_TAG
from pressroom.objects.store import FolderStore
from pressroom.settings import load_settings
from pressroom.store.engine import Store
from pressroom.store.tables import OutboxRow, VideoRow
from resources.store import StoreResource
from sensors.failed_videos import failed_videos
from tests.compliance.test_retention import ended

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dg.op
def source() -> None:
    raise dg.Failure("the bucket refuses the key", allow_retries=False)


@dg.op
def detectors() -> None:
    raise ZeroDivisionError("words of a prompt")


def told(instance: dg.DagsterInstance, op: dg.OpDefinition, key: str) -> None:
    """What the sensor makes of a run of `op` on this video that failed; it looks twice."""
    job = dg.GraphDefinition(name="screen_video", node_defs=[op]).to_job()
    result = job.execute_in_process(instance=instance, raise_on_error=False, run_config=QUIET, tags={PARTITION_TAG: key})
    (event,) = [event for event in result.all_events if event.event_type == dg.DagsterEventType.RUN_FAILURE]
    for _ in range(2):
        with dg.build_run_status_sensor_context(
            "failed_videos", event, instance, result.dagster_run, resources={"store": StoreResource()}
        ).for_run_failure() as context:
            failed_videos(context)


@pytest.fixture
def key(instance: dg.DagsterInstance, store: Store) -> str:
    return ended(store, FolderStore(load_settings().objects_folder), state="processing")


def test_a_failed_run_is_one_mail_with_stage_and_error_and_ends_the_video(instance: dg.DagsterInstance, store: Store, key: str) -> None:
    told(instance, source, key)
    with store.transaction() as session:
        mail = session.execute(sa.select(OutboxRow.payload).where(OutboxRow.kind == "mail")).scalar_one()
        video = session.execute(sa.select(VideoRow)).scalar_one()
    assert mail["site"] == "brew"
    assert (mail["notice"]["stage"], mail["notice"]["error"]) == ("source", "the bucket refuses the key")
    assert mail["notice"]["run"] in mail["notice"]["look"]
    assert (video.state, video.reason) == ("failed", "the bucket refuses the key")
    assert video.ended_at


def test_a_bug_is_told_by_its_kind_and_never_with_its_words(instance: dg.DagsterInstance, store: Store, key: str) -> None:
    told(instance, detectors, key)
    with store.transaction() as session:
        mail = session.execute(sa.select(OutboxRow.payload).where(OutboxRow.kind == "mail")).scalar_one()
    assert "ZeroDivisionError" in mail["notice"]["error"]
    assert "words of a prompt" not in str(mail)


def test_a_run_of_no_video_is_told_to_nobody(instance: dg.DagsterInstance, store: Store, key: str) -> None:
    told(instance, source, "brew--unknown")
    with store.transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(OutboxRow).where(OutboxRow.kind == "mail")) == 0
