"""What the media line's sensors see and ask for: new uploads, verdicts that wait for their decision, and runs that died."""

import datetime as dt
import json
import os
import time
from pathlib import Path

import dagster as dg
import pytest

from content_assets.compliance import REPORT
from content_assets.partitions import VIDEOS
from pressroom.compliance import intake
from pressroom.objects.days import UPLOADS
from pressroom.review.labels import Remark, add_labels, codes_of
from pressroom.review.tasks import Person, claim
from pressroom.review.verdicts import decide
from pressroom.safety.policy import policy
from pressroom.settings import Settings
from pressroom.store.engine import Store
from pressroom.store.locks import hold_video
from pressroom.store.sites import apply_site
from pressroom.store.videos import screening_of, video_by_key, video_id
from sensors.lost_runs import lost_runs
from sensors.verdicts import verdicts
from simulators.replicate import ReplicateSimulator
from tests.dagster.conftest import instance_in_memory as instance
from tests.dagster.conftest import status_of, the_failure
from tests.dagster.films import (
    RESOURCES,
    Intake,
    add_video_run,
    arrived,
    film,
    hosted,
    reconciled,
    screen,
    succeeded,
    upload,
    video,
)
from tests.samples import SITE

__all__ = ["hosted", "instance"]
ANA = Person("ana")


@pytest.fixture
def site(instance: dg.DagsterInstance, store: Store) -> None:
    with store.transaction() as session:
        apply_site(session, SITE)


# --- new uploads


def test_five_ticks_see_an_upload_once(instance: dg.DagsterInstance, site: None, tmp_path: Path) -> None:
    sensor = Intake(instance)
    assert sensor.tick() == []
    assert sensor.said == "no new uploads"
    upload(film(tmp_path, seconds=1.0))
    (key,) = sensor.tick()
    assert key.startswith("brew--")
    assert [sensor.tick() for _ in range(4)] == [[]] * 4
    assert instance.get_dynamic_partitions(VIDEOS) == [key]
    assert len(sensor.cursor or "") < 4096


def test_a_replaced_file_is_another_video_and_a_lost_cursor_costs_nothing(instance: dg.DagsterInstance, site: None, tmp_path: Path) -> None:
    path = film(tmp_path, seconds=1.0)
    upload(path, age_s=90)
    sensor = Intake(instance)
    first = sensor.tick()
    upload(path, age_s=60)
    sensor.cursor = "nonsense"
    second = sensor.tick()
    assert (len(first), len(second)) == (1, 1)
    assert first != second
    assert sensor.tick() == []


def test_late_keys_are_found_by_the_look_back_and_very_late_ones_by_the_daily_walk(
    instance: dg.DagsterInstance, site: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window of seven days is walked every ten minutes, everything once a day; the sensor requests the runs of both."""
    path, today = film(tmp_path, seconds=1.0), dt.datetime.now(dt.UTC).date()
    sensor = Intake(instance)
    sensor.tick()
    upload(path, "five-days.mp4", day=today - dt.timedelta(days=5))
    upload(path, "a-year.mp4", day=today - dt.timedelta(days=365))
    upload(path, "yesterday.mp4", day=today - dt.timedelta(days=1))
    assert len(sensor.tick()) == 1, "yesterday's is seen at once"
    monkeypatch.setattr(intake, "LOOK_BACK_EVERY", dt.timedelta(0))
    assert len(sensor.tick()) == 1, "that of five days ago by the look back"
    assert "1 uploads booked" in reconciled(instance)
    assert "0 uploads booked" in reconciled(instance)
    assert len(sensor.tick()) == 1
    assert len(instance.get_dynamic_partitions(VIDEOS)) == 3


def test_what_is_no_whole_video_of_a_site_is_left_alone_and_the_tick_says_why(
    instance: dg.DagsterInstance, site: None, tmp_path: Path, settings: Settings
) -> None:
    path, empty = film(tmp_path, seconds=1.0), tmp_path / "empty.mp4"
    empty.touch()
    upload(path, "growing.mp4", age_s=0)
    upload(path, "notes.txt")
    upload(path, "film.mp4", site="nobody")
    upload(empty, "empty.mp4")
    loose = settings.objects_folder / UPLOADS / "2099" / "loose.mp4"
    loose.parent.mkdir(parents=True)
    loose.write_bytes(b"bytes")
    (settings.objects_folder / UPLOADS / "2099" / "01" / "01" / "brew" / "folder.mp4").mkdir(parents=True)
    sensor = Intake(instance)
    assert sensor.tick() == []
    for said in ("growing.mp4: may still be growing", "notes.txt: not the name of a video", "empty.mp4: empty"):
        assert said in sensor.said
    assert "nobody/film.mp4: site 'nobody' is unknown" in sensor.said
    assert "loose.mp4: not under uploads/YYYY/MM/DD/<site>/" in sensor.said
    assert "folder.mp4" not in sensor.said, "a folder is no object"
    day = dt.datetime.now(dt.UTC).date()
    os.utime(settings.objects_folder / f"uploads/{day:%Y/%m/%d}/brew/growing.mp4", (time.time() - 30,) * 2)
    assert len(sensor.tick()) == 1, "it has stopped growing"


def test_a_long_queue_does_not_hide_what_has_just_arrived(
    instance: dg.DagsterInstance, site: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has begun with the first two; a tick asks for two at most."""
    monkeypatch.setattr("sensors.new_uploads.MOST_AT_ONCE", 2)
    path = film(tmp_path, seconds=1.0)
    for number in range(2):
        upload(path, f"{number}.mp4")
    sensor = Intake(instance)
    assert len(sensor.tick()) == 2
    for number in range(2, 5):
        upload(path, f"{number}.mp4")
    assert [len(sensor.tick()) for _ in range(3)] == [2, 1, 0]


# --- verdicts


def ask(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None = None
) -> tuple[list[dg.RunRequest], str, str | None]:
    """What one tick requests, says, and remembers."""
    with dg.build_sensor_context(instance, cursor, resources=RESOURCES) as context:
        told = sensor(context)
        kept = context.cursor
    return (told, "", kept) if isinstance(told, list) else ([], told.skip_message or "", kept)


def verdict_given(store: Store, key: str) -> None:
    """Ana labels every trigger and approves."""
    with store.transaction() as session:
        task = claim(session, SITE.account_id, ANA)
        assert task
        judged = screening_of(session, video_by_key(session, key)[0])
        assert judged
        remarks = [Remark(kind="confirm", trigger=trigger.number) for trigger in judged[1]]
        add_labels(session, task.id, ANA, remarks, codes=codes_of(policy()))
        decide(session, task.id, ANA, "approved", "a staged scene", second_reviews=0)


def test_a_verdict_becomes_the_final_decision_once(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, settings: Settings, tmp_path: Path
) -> None:
    (key,) = arrived(instance, store, film(tmp_path))
    succeeded(screen(instance, key))
    told, _ = the_failure(screen(instance, key, job="decide_video"))
    assert "has no verdict yet" in told
    assert video(store, key).state == "verification", "who asks too early changes nothing"

    verdict_given(store, key)
    (first,), (second,) = (ask(verdicts, instance)[0] for _ in range(2))
    assert (first.partition_key, first.run_key) == (key, second.run_key), "one run key: Dagster runs it once"
    queued = add_video_run(instance, key, dg.DagsterRunStatus.QUEUED, "decide_video")
    assert ask(verdicts, instance)[0] == [], "a run is on its way"
    instance.delete_run(queued)
    succeeded(screen(instance, key, job="decide_video"))
    assert ask(verdicts, instance)[:2] == ([], "no verdict waits")
    assert video(store, key).state == "completed"
    decision = settings.objects_folder / video(store, key).folder / "report" / "decision.json"
    written = decision.read_bytes()
    document = json.loads(written)
    assert (document["verdict"], document["author"], document["reason"]) == ("approved", "ana", "a staged scene")
    assert {label["kind"] for label in document["labels"]} == {"confirm"}

    succeeded(screen(instance, key, job="decide_video"))
    assert decision.read_bytes() == written, "made again it is the same"
    succeeded(screen(instance, key, REPORT))
    assert video(store, key).state == "completed", "a new report of the same findings takes no verdict back"


def test_a_decision_that_failed_is_asked_for_again_but_not_every_tick(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, tmp_path: Path
) -> None:
    (key,) = arrived(instance, store, film(tmp_path))
    succeeded(screen(instance, key))
    verdict_given(store, key)
    (first,), _, _ = ask(verdicts, instance)
    failed_run(instance, key, ago_s=0, job="decide_video")
    assert ask(verdicts, instance)[0] == [], "it has failed a moment ago"
    instance.wipe()
    instance.add_dynamic_partitions(VIDEOS, [key])
    failed_run(instance, key, ago_s=90, job="decide_video")
    (second,), _, _ = ask(verdicts, instance)
    assert second.run_key != first.run_key, "Dagster ignores a run key that it has seen"


# --- runs that die


def failed_run(instance: dg.DagsterInstance, key: str, *, ago_s: float, job: str = "screen_video") -> str:
    run_id = add_video_run(instance, key, dg.DagsterRunStatus.STARTED, job)
    at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ago_s)
    instance.handle_run_event(run_id, dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, job), at)
    return run_id


def started_run(instance: dg.DagsterInstance, key: str, *, ago_s: float = 600) -> str:
    run_id = add_video_run(instance, key, dg.DagsterRunStatus.STARTING)
    at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ago_s)
    instance.handle_run_event(run_id, dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "screen_video"), at)
    return run_id


def test_a_run_that_no_longer_holds_its_video_is_failed_by_the_second_tick_and_then_the_video(
    instance: dg.DagsterInstance, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = arrived(instance, store, film(tmp_path, seconds=1.0))
    run_id = started_run(instance, key)
    with hold_video(store, video_id(key), key, wait_s=1, on_wait=print):
        _, _, cursor = ask(lost_runs, instance)
        _, _, cursor = ask(lost_runs, instance, cursor)
        assert status_of(instance, run_id) == dg.DagsterRunStatus.STARTED, "who holds its video lives"
    _, _, cursor = ask(lost_runs, instance, cursor)
    assert status_of(instance, run_id) == dg.DagsterRunStatus.STARTED
    _, said, cursor = ask(lost_runs, instance, cursor)
    assert status_of(instance, run_id) == dg.DagsterRunStatus.FAILURE
    assert run_id in said
    assert video(store, key).state == "uploaded", "Dagster may start it again"
    monkeypatch.setattr("sensors.lost_runs.GRACE", dt.timedelta(0))
    _, said, _ = ask(lost_runs, instance, cursor)
    found = video(store, key)
    assert found.state == "failed"
    assert run_id in (found.reason or "")
    assert key in said


def test_a_video_whose_run_never_reached_our_code_is_told_as_failed_unless_another_run_is_coming(
    instance: dg.DagsterInstance, store: Store, tmp_path: Path
) -> None:
    path = film(tmp_path, "a.mp4", seconds=1.0)
    waiting, never = arrived(instance, store, path, film(tmp_path, "b.mp4", seconds=1.2))
    for key in (waiting, never):
        failed_run(instance, key, ago_s=600)
    retry = add_video_run(instance, waiting, dg.DagsterRunStatus.QUEUED)
    ask(lost_runs, instance)
    assert (video(store, waiting).state, video(store, never).state) == ("uploaded", "failed")
    instance.delete_run(retry)
    ask(lost_runs, instance)
    assert video(store, waiting).state == "failed"
