"""The media line as a whole: from an upload in the bucket to a report, a person's task and the decision."""

import datetime as dt
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from content_assets.compliance import REPORT, TRIGGERS
from content_assets.partitions import VIDEOS
from pressroom.compliance import detecting, intake
from pressroom.objects.days import UPLOADS
from pressroom.review.labels import Remark, add_labels, codes_of
from pressroom.review.tasks import Person, claim
from pressroom.review.verdicts import decide
from pressroom.safety.policy import policy
from pressroom.settings import Settings
from pressroom.store.engine import Store
from pressroom.store.locks import hold_video
from pressroom.store.review import labels_of
from pressroom.store.sites import apply_site
from pressroom.store.videos import screening_of, signals_of, video_by_key, video_id
from sensors.lost_runs import lost_runs
from sensors.verdicts import verdicts
from simulators.replicate import ReplicateSimulator
from tests.dagster.conftest import instance_in_memory as instance
from tests.dagster.conftest import the_failure
from tests.dagster.films import (
    RESOURCES,
    Intake,
    add_video_run,
    alarming,
    arrived,
    film,
    hosted,
    reconciled,
    report,
    screen,
    succeeded,
    upload,
    video,
)
from tests.samples import SITE
from tests.videos import archive, plain, truncated

__all__ = ["hosted", "instance"]
ANA = Person("ana")
DETECTOR_KEYS = [dg.AssetKey(["compliance", detector]) for detector in detecting.DETECTORS]


@pytest.fixture
def site(instance: dg.DagsterInstance, store: Store) -> None:
    with store.transaction() as session:
        apply_site(session, SITE)


def materialised(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of what the run materialised, by the asset's last name."""
    events = [event.materialization for event in result.get_asset_materialization_events()]
    return {event.asset_key.path[-1]: {name: value.value for name, value in event.metadata.items()} for event in events}


# --- seen once


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


# --- from the upload to the report


def test_an_upload_becomes_frames_sound_signals_triggers_a_report_and_a_task(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, settings: Settings, tmp_path: Path
) -> None:
    (key,) = arrived(instance, store, film(tmp_path))
    result = succeeded(screen(instance, key))
    made = materialised(result)
    assert {*made} == {"source_video", "video_frames", "audio_track", *detecting.DETECTORS, "risk_triggers", "compliance_report"}
    assert made["source_video"]["duration (s)"] == pytest.approx(4, abs=0.2)
    assert made["video_frames"]["frames"] >= 3
    assert made["audio_track"]["has sound"] is True
    assert all(made[detector]["coverage"] == "analysed" for detector in detecting.DETECTORS)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert hosted.count > 0
    assert hosted.paid_twice == 0

    document = report(settings, store, key)
    assert document["outcome"] in ("review", "block")
    assert {"VIO.PHYSICAL", "VIO.WEAPON"} & {trigger["code"] for trigger in document["triggers"]}
    seen = [trigger for trigger in document["triggers"] if trigger["modality"] == "visual"]
    assert all(2000 <= trigger["start_ms"] < trigger["end_ms"] <= 4100 for trigger in seen)
    folder = settings.objects_folder / video(store, key).folder
    assert (folder / "report" / "report.html").stat().st_size > 5000
    assert (folder / "report" / "report.vtt").read_text().startswith("WEBVTT")
    assert (folder / "raw" / "frames.zip").is_file()
    assert json.loads((folder / "signals" / "violence.json").read_text()), "the raw output is kept as it came"
    assert (folder / "vtt" / "violence.vtt").read_text().startswith("WEBVTT")
    shown = {evidence["frame"] for trigger in document["triggers"] for evidence in trigger["evidence"] if evidence["frame"] is not None}
    assert len(list((folder / "report" / "frames").glob("*.jpg"))) == len(shown)
    assert list((settings.home / "work").iterdir()) == [], "the run's own folder is gone"
    assert video(store, key).state == "verification"
    with store.transaction() as session:
        task = claim(session, SITE.account_id, ANA)
    assert task
    assert task.video == key


def test_a_whole_run_on_this_machine_alone_is_honest_about_what_it_cannot_see(
    instance: dg.DagsterInstance, store: Store, settings: Settings, tmp_path: Path
) -> None:
    """Real speech recognition and a real reader; no hosted model."""
    (key,) = arrived(instance, store, film(tmp_path, seconds=2.0))
    result = succeeded(screen(instance, key))
    document = report(settings, store, key)
    states = {one["detector"]: one["state"] for one in document["coverage"]}
    assert (states["transcript"], states["screen_text"], states["flagged_terms"]) == ("analysed",) * 3
    assert (states["objects"], states["nudity"], states["violence"]) == ("unsupported",) * 3
    assert document["outcome"] in ("incomplete", "review"), "never clear"
    assert any("violence" in line.lower() for line in document["not_analysed"])
    failed = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert "required_coverage" in failed


def test_a_second_run_pays_nothing_replaces_signals_and_keeps_peoples_labels(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, settings: Settings, tmp_path: Path
) -> None:
    (key,) = arrived(instance, store, film(tmp_path))
    succeeded(screen(instance, key))
    first, asked = report(settings, store, key), hosted.count
    with store.transaction() as session:
        task = claim(session, SITE.account_id, ANA)
        assert task
        number = first["triggers"][0]["number"]
        add_labels(session, task.id, ANA, [Remark(kind="confirm", trigger=number)], codes=codes_of(policy()))
        before = signals_of(session, video(store, key))
    again = succeeded(screen(instance, key))
    assert hosted.count == asked, "a second run asked the models again"
    assert materialised(again)["violence"]["calls replayed"] > 0
    assert report(settings, store, key)["version"] == first["version"], "nothing was found anew, so the report is the same"
    with store.transaction() as session:
        assert signals_of(session, video(store, key)) == before
        assert [label.kind for label in labels_of(session, task.id)] == ["confirm"]


def test_single_assets_are_made_again_when_the_runs_folder_is_long_gone(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, settings: Settings, tmp_path: Path
) -> None:
    (key,) = arrived(instance, store, film(tmp_path))
    succeeded(screen(instance, key))
    first = report(settings, store, key)
    hosted_before = hosted.count
    assert {*materialised(screen(instance, key, TRIGGERS))} == {"risk_triggers"}
    assert {*materialised(screen(instance, key, *DETECTOR_KEYS))} == {*detecting.DETECTORS}
    assert {*materialised(screen(instance, key, dg.AssetKey(["compliance", "flagged_terms"])))} == {"flagged_terms"}
    succeeded(screen(instance, key, REPORT))
    assert report(settings, store, key)["version"] == first["version"]
    assert hosted.count == hosted_before

    frames = settings.objects_folder / video(store, key).folder / "raw" / "frames.zip"
    frames.write_bytes(frames.read_bytes()[:100])
    told, _ = the_failure(screen(instance, key, *DETECTOR_KEYS))
    assert "frames.zip is damaged" in told
    frames.unlink()  # as retention does it
    succeeded(screen(instance, key, REPORT)), "the report's own pictures are still there"
    assert report(settings, store, key)["version"] == first["version"]


@pytest.mark.parametrize("kind", ["zip", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("truncated", "too large"))])
def test_a_refused_video_flows_through_and_its_report_says_why(
    instance: dg.DagsterInstance,
    store: Store,
    hosted: ReplicateSimulator,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    path = tmp_path / "film.mp4"
    if kind == "zip":
        archive(path)
    elif kind == "truncated":
        truncated(path, film(tmp_path / "whole"), 0.3)
    else:
        film(tmp_path)
        monkeypatch.setenv("PRESSROOM_VIDEO_MAX_GIB", "0.000001")
    (key,) = arrived(instance, store, path)
    result = succeeded(screen(instance, key))
    made = materialised(result)
    assert len(made) == 3 + len(detecting.DETECTORS) + 2
    assert made["source_video"]["state"] == "refused"
    assert made["nudity"] == {"coverage": "skipped", "reason": "the video is refused"}
    assert (made["risk_triggers"]["triggers"], made["compliance_report"]["outcome"]) == (0, "refused")
    found = video(store, key)
    assert found.state == "refused"
    assert found.reason
    document = report(settings, store, key)
    assert (document["state"], document["outcome"]) == ("refused", None)
    assert found.reason.rstrip(".") in document["why"]
    assert all(one["state"] != "analysed" for one in document["coverage"])
    assert hosted.count == 0
    with store.transaction() as session:
        assert claim(session, SITE.account_id, ANA) is None, "there is nothing to verify"


def test_the_same_bytes_again_are_a_duplicate_that_no_detector_looks_at(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, settings: Settings, tmp_path: Path
) -> None:
    path = film(tmp_path)
    first, second = arrived(instance, store, path, Path(shutil.copy(path, tmp_path / "copy.mp4")))
    succeeded(screen(instance, first))
    asked = hosted.count
    succeeded(screen(instance, second))
    assert hosted.count == asked
    found = video(store, second)
    assert (found.state, found.duplicate_of) == ("duplicate", first)
    document = report(settings, store, second)
    assert (document["state"], document["duplicates"]["of"]["key"]) == ("duplicate", first)
    assert document["duplicates"]["of"]["report"].endswith("report.html")
    assert document["duplicates"]["of"]["outcome"] == report(settings, store, first)["outcome"]
    assert video(store, first).state == "verification"


@pytest.mark.long
def test_a_reencoded_and_a_trimmed_copy_are_linked_and_looked_at_all_the_same(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, settings: Settings, tmp_path: Path
) -> None:
    first = film(tmp_path, "first.mp4")
    again = film(tmp_path, "again.mkv", options=(("crf", "32"),))
    trimmed = film(tmp_path, "trimmed.mp4", paint=lambda time, width, height: alarming(time + 1, width, height), seconds=3.0)
    other = film(tmp_path, "other.mp4", paint=plain(90))
    keys = arrived(instance, store, first, again, trimmed, other)
    for key in keys:
        succeeded(screen(instance, key))
    assert [sorted(near.key for near in video(store, key).near) for key in keys] == [[], keys[:1], sorted(keys[:2]), []]
    document = report(settings, store, keys[1])
    assert [(near["key"], near["alike"] > 0.5) for near in document["duplicates"]["near"]] == [(keys[0], True)]
    assert document["state"] == "screened", "what looks like another video is looked at all the same"


def test_a_detector_that_fails_does_not_fail_the_others_and_its_coverage_says_why(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, settings: Settings, tmp_path: Path
) -> None:
    (key,) = arrived(instance, store, film(tmp_path))
    hosted.fail("failed", times=None, containing="box_threshold")
    made = materialised(succeeded(screen(instance, key)))
    assert made["objects"]["coverage"] == "failed"
    assert made["violence"]["coverage"] == made["nudity"]["coverage"] == made["transcript"]["coverage"] == "analysed"
    (told,) = [one for one in report(settings, store, key)["coverage"] if one["detector"] == "objects"]
    assert "grounding-dino" in told["reason"]
    hosted.failures.clear()
    assert materialised(succeeded(screen(instance, key, dg.AssetKey(["compliance", "objects"]))))["objects"]["coverage"] == "analysed"
    succeeded(screen(instance, key, TRIGGERS, REPORT))
    assert "VIO.WEAPON" in {trigger["code"] for trigger in report(settings, store, key)["triggers"]}


def test_a_video_over_the_limit_in_money_is_blocked_before_anything_is_asked(
    instance: dg.DagsterInstance, store: Store, hosted: ReplicateSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = arrived(instance, store, film(tmp_path))
    monkeypatch.setenv("PRESSROOM_RUN_LIMIT_USD", "0.001")
    told, code = the_failure(screen(instance, key))
    assert "over the run's limit of 0.001 USD" in told
    assert (code, hosted.count) == (4, 0)
    found = video(store, key)
    assert (found.state, found.reason) == ("blocked", told)
    monkeypatch.delenv("PRESSROOM_RUN_LIMIT_USD")
    succeeded(screen(instance, key))
    assert (video(store, key).state, video(store, key).reason) == ("verification", None)


def test_a_bug_of_ours_is_the_videos_state_and_reason(
    instance: dg.DagsterInstance, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = arrived(instance, store, film(tmp_path, seconds=1.0))

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("content_assets.compliance.take_in", broken)
    result = screen(instance, key)
    assert not result.success
    found = video(store, key)
    assert (found.state, found.reason) == ("failed", f"an error in Pressroom itself (ZeroDivisionError); see run {result.run_id}")


# --- the verdict


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


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run
    return run.status


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


def test_a_run_waits_for_a_video_that_another_holds_and_then_leaves_it_alone(
    instance: dg.DagsterInstance, store: Store, tmp_path: Path
) -> None:
    (key,) = arrived(instance, store, film(tmp_path, seconds=1.0))
    with hold_video(store, video_id(key), key, wait_s=1, on_wait=print):
        config = {"resources": {"store": {"config": {"wait_for_video": 0.2}}}}
        told, code = the_failure(screen(instance, key, config=config))
    assert "another run works on video" in told
    assert code == 4
    assert video(store, key).state == "uploaded"
