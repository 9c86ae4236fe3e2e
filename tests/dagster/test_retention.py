"""The nightly run: what is over its time goes, and so does the partition, when no run is in flight. And the mails that wait."""

import datetime as dt
import uuid
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from content_assets.partitions import PARTITION_TAG, VIDEOS
from pressroom.objects.store import FolderStore
from pressroom.records import Video
from pressroom.reports.mail import PipelineFailed, announce
from pressroom.settings import load_settings
from pressroom.store.engine import Store
from pressroom.store.tables import VideoRow
from pressroom.store.videos import video_by_key
from resources.objects import ObjectsResource
from resources.store import StoreResource
from schedules.retention import keep_retention, retention
from sensors.mails import mails
from tests.compliance.test_retention import KEPT, ended, files

RESOURCES = {"store": StoreResource(), "objects": ObjectsResource()}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def objects(instance: dg.DagsterInstance) -> FolderStore:
    return FolderStore(load_settings().objects_folder)


def night(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return keep_retention.execute_in_process(instance=instance, resources=RESOURCES, run_config=QUIET, raise_on_error=False)


def partitions(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_dynamic_partitions(VIDEOS))


def test_a_night_deletes_what_is_over_and_removes_only_the_partition_that_is_done_and_idle(
    instance: dg.DagsterInstance, store: Store, objects: FolderStore
) -> None:
    done, busy, fresh = (ended(store, objects, name, days=days) for name, days in (("done", 91), ("busy", 91), ("fresh", 8)))
    instance.add_dynamic_partitions(VIDEOS, [done, busy, fresh, "brew--unknown"])
    run = dg.DagsterRun(job_name="screen_video", status=dg.DagsterRunStatus.STARTED, tags={PARTITION_TAG: busy})
    instance.add_run(run)
    assert night(instance).success
    assert [files(objects, key) for key in (done, busy, fresh)] == [set(KEPT)] * 3
    assert partitions(instance) == {busy, fresh, "brew--unknown"}
    instance.report_run_canceled(run)
    assert night(instance).success
    assert partitions(instance) == {fresh, "brew--unknown"}


def test_a_video_that_cannot_be_deleted_fails_the_run_after_the_others_and_is_not_retired(
    instance: dg.DagsterInstance, store: Store, objects: FolderStore
) -> None:
    stuck, fine = (ended(store, objects, name, days=91) for name in ("stuck", "fine"))
    instance.add_dynamic_partitions(VIDEOS, [stuck, fine])
    with store.transaction() as session:
        session.execute(sa.update(VideoRow).where(VideoRow.key == stuck).values(object_key="../no key"))
    result = night(instance)
    assert not result.success
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    assert failure.step_failure_data.user_failure_data
    assert stuck in (failure.step_failure_data.user_failure_data.description or "")
    assert files(objects, fine) == set(KEPT)
    assert partitions(instance) == {stuck}


def test_the_schedule_asks_for_one_run_a_night(instance: dg.DagsterInstance) -> None:
    context = dg.build_schedule_context(instance, scheduled_execution_time=dt.datetime(2026, 11, 21, 2, 15, tzinfo=dt.UTC))
    data = retention.evaluate_tick(context)
    assert data.run_requests
    assert len(data.run_requests) == 1
    assert retention.job_name == keep_retention.name


def tick(instance: dg.DagsterInstance) -> str:
    with dg.build_sensor_context(instance, resources=RESOURCES) as context:
        told = mails(context)
    assert isinstance(told, dg.SkipReason)
    return told.skip_message or ""


def a_video(store: Store, objects: FolderStore) -> Video:
    key = ended(store, objects)
    with store.transaction() as session:
        return video_by_key(session, key)[0]


def test_a_mail_that_was_announced_goes_out_with_the_next_tick(
    instance: dg.DagsterInstance, store: Store, objects: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = a_video(store, objects)
    failed = PipelineFailed(stage="compliance/source_video", error="no bucket", run=str(uuid.uuid4()), look="http://localhost:3000")
    with store.transaction() as session:
        announce(session, video, failed)
    monkeypatch.setenv("PRESSROOM_SMTP_URL", "smtp://127.0.0.1:9")
    assert tick(instance).startswith("mails wait: PRESSROOM_MAIL_TO")
    monkeypatch.delenv("PRESSROOM_SMTP_URL")
    assert tick(instance) == "1 mail sent"
    (file,) = (Path(load_settings().home) / "outbox").iterdir()
    assert b"no bucket" in file.read_bytes()
    assert tick(instance) == "0 mails sent"
