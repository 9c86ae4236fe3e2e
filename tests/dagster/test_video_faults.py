"""What breaks under a video's run: it is told in one line, what is paid is not paid twice, and the same run again completes."""

import datetime as dt
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from pressroom.errors import Transient
from pressroom.objects.days import dated
from pressroom.objects.s3 import S3Store
from pressroom.settings import Settings
from pressroom.store.engine import Store
from pressroom.store.locks import is_video_held
from pressroom.store.sites import apply_site
from pressroom.store.videos import video_id
from simulators.replicate import ReplicateSimulator
from tests.dagster.conftest import the_failure
from tests.dagster.films import Intake, arrived, calm_film, film, hosted, report, screen, succeeded, upload, video
from tests.dagster.killing import killed, lost_creates, stored_ids
from tests.objects.conftest import bucket, s3, s3_port, the_wire, wire
from tests.objects.wire import Wire
from tests.processes import PROCESSES
from tests.samples import SITE

__all__ = ["bucket", "hosted", "s3", "s3_port", "the_wire", "wire"]


# --- the bucket


@pytest.fixture
def bucketed(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, monkeypatch: pytest.MonkeyPatch, bucket: str, wire: Wire
) -> None:
    """The object store is a bucket over a wire on which things go wrong."""
    monkeypatch.setenv("PRESSROOM_STORE_URL", f"s3://{bucket}")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{wire.port}")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    monkeypatch.setattr("pressroom.compliance.intake.SETTLED_AFTER", dt.timedelta(0))
    with store.transaction() as session:
        apply_site(session, SITE)


def put(s3: Any, bucket: str, path: Path) -> None:
    today = dt.datetime.now(dt.UTC).date()
    for days in (1, 7):  # moto lists nothing after a key that is not there: the placeholders of a console are
        s3.put_object(Bucket=bucket, Key=dated(today - dt.timedelta(days=days)), Body=b"")
    s3.put_object(Bucket=bucket, Key=f"{dated(today)}brew/{path.name}", Body=path.read_bytes())


def test_a_bucket_that_is_away_costs_a_tick_and_no_upload(
    instance: dg.DagsterInstance, bucketed: None, s3: Any, bucket: str, wire: Wire, tmp_path: Path
) -> None:
    put(s3, bucket, calm_film(tmp_path))
    sensor = Intake(instance)
    wire.fail("GET", "versions", times=50, status=503, code="SlowDown", headers=(("Retry-After", "0"),))
    with pytest.raises(Transient, match=r"127\.0\.0\.1"):
        sensor.tick()
    wire.mend()
    assert len(sensor.tick()) == 1, sensor.said
    assert sensor.tick() == []


@pytest.mark.parametrize(("status", "code", "says"), [(403, "AccessDenied", "AWS_ACCESS_KEY_ID"), (404, "NoSuchKey", "calm.mp4")])
def test_a_bucket_that_refuses_is_told_in_one_line_and_the_right_key_completes(
    instance: dg.DagsterInstance,
    store: Store,
    bucketed: None,
    s3: Any,
    bucket: str,
    wire: Wire,
    tmp_path: Path,
    status: int,
    code: str,
    says: str,
) -> None:
    put(s3, bucket, calm_film(tmp_path))
    (key,) = Intake(instance).tick()
    wire.fail("GET", "calm.mp4", times=50, status=status, code=code)
    told, _ = the_failure(screen(instance, key, trigger="sensor"))
    found = video(store, key)
    assert (found.state, found.reason) == ("failed", told)
    assert says in told
    assert "sesame" not in told
    assert len(told.splitlines()) == 1
    wire.mend()
    succeeded(screen(instance, key))
    assert video(store, key).state == "verification"


def test_a_bucket_that_is_away_for_a_while_is_waited_for_by_a_run_that_nobody_watches(
    instance: dg.DagsterInstance,
    store: Store,
    bucketed: None,
    s3: Any,
    bucket: str,
    wire: Wire,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store tries five times, then the step once more; and when it stays away, that is the video's state, with the reason."""
    monkeypatch.setattr("content_assets.automation.OUTAGE_WAIT_S", 0.01)
    monkeypatch.setattr("pressroom.objects.opening._bucket", quick())
    put(s3, bucket, calm_film(tmp_path))
    (key,) = Intake(instance).tick()
    wire.fail("GET", "calm.mp4", times=2, status=503, code="ServiceUnavailable")
    result = succeeded(screen(instance, key, trigger="sensor"))
    assert result.filter_events(lambda event: event.is_step_up_for_retry)
    assert video(store, key).state == "verification"

    wire.fail("GET", "calm.mp4", times=50, status=503, code="ServiceUnavailable")
    assert not screen(instance, key, trigger="sensor").success
    found = video(store, key)
    assert found.state == "failed"
    assert "127.0.0.1" in (found.reason or "")


def quick() -> Callable[[Any], Any]:
    """The bucket with two tries instead of five, so that an outage does not take the test's time."""
    return lambda place: S3Store(place, attempts=2, timeout_s=5)


# --- kill -9


FOUND = {("VIO.PHYSICAL", 2000), ("VIO.WEAPON", 2000)}


def assert_resumed(instance: dg.DagsterInstance, store: Store, settings: Settings, simulator: ReplicateSimulator, key: str) -> None:
    """A new run of the video holds what a run without a fault gives, and has paid for no stored id twice."""
    assert not is_video_held(store, video_id(key)), "the dead hold nothing"
    lost, stored = lost_creates(store), stored_ids(store)
    simulator.latency = 0
    succeeded(screen(instance, key))
    assert simulator.paid_twice <= lost, "a prediction whose id was stored was asked for again"
    assert stored.items() <= stored_ids(store).items()
    first = report(settings, store, key)
    assert {(trigger["code"], trigger["start_ms"]) for trigger in first["triggers"] if trigger["modality"] == "visual"} == FOUND
    assert all(one["state"] == "analysed" and one["seconds"] == one["of_s"] for one in first["coverage"])
    asked = simulator.count
    succeeded(screen(instance, key))
    assert simulator.count == asked
    assert report(settings, store, key)["version"] == first["version"]
    assert video(store, key).state == "verification"


@pytest.mark.parametrize("calls", [1, pytest.param(6, marks=pytest.mark.long)])
def test_a_run_that_is_killed_while_models_answer_is_taken_up_where_it_was(
    instance: dg.DagsterInstance, store: Store, settings: Settings, hosted: ReplicateSimulator, tmp_path: Path, calls: int
) -> None:
    (key,) = arrived(instance, store, film(tmp_path))
    hosted.latency = 0.5
    killed(tmp_path / "instance", key, lambda: hosted.count >= calls)
    assert video(store, key).state == "processing"
    assert_resumed(instance, store, settings, hosted, key)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_a_run_that_is_killed_anywhere_ends_in_the_same_report(
    instance: dg.DagsterInstance, store: Store, settings: Settings, hosted: ReplicateSimulator, tmp_path: Path, seed: int
) -> None:
    (key,) = arrived(instance, store, film(tmp_path))
    hosted.latency = 0.3
    dice = random.Random(seed)
    for _ in range(2):
        end = time.monotonic() + dice.uniform(0.2, 5)
        killed(tmp_path / "instance", key, lambda end=end: time.monotonic() > end)  # type: ignore[misc]
    assert_resumed(instance, store, settings, hosted, key)


def _tick(folder: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with dg.DagsterInstance.local_temp(str(folder), {"telemetry": {"enabled": False}}) as instance:
        Intake(instance).tick()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_ticks_that_are_killed_half_way_lose_no_upload_and_book_none_twice(
    instance: dg.DagsterInstance, store: Store, tmp_path: Path, seed: int
) -> None:
    with store.transaction() as session:
        apply_site(session, SITE)
    path = calm_film(tmp_path)
    for number in range(200):
        upload(path, f"{number:03}.mp4")
    for _ in range(3):
        process = PROCESSES.Process(target=_tick, args=(tmp_path / "instance", dict(os.environ)))
        process.start()
        time.sleep(random.Random(seed).uniform(0.05, 1.5))
        process.kill()
        process.join()
    sensor = Intake(instance)
    found = [*sensor.tick(), *sensor.tick()]
    assert (len(found), len(set(found))) == (200, 200)
    with store.transaction() as session:
        assert session.execute(sa.text("SELECT count(*) FROM videos")).scalar_one() == 200
    assert len(instance.get_dynamic_partitions("videos")) == 200
