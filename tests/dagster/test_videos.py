"""A video's run: from the upload to frames, signals, triggers, a report and a person's task."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from content_assets.compliance import REPORT, TRIGGERS
from pressroom.compliance import detecting
from pressroom.review.labels import Remark, add_labels, codes_of
from pressroom.review.tasks import Person, claim
from pressroom.safety.policy import policy
from pressroom.settings import Settings
from pressroom.store.engine import Store
from pressroom.store.locks import hold_video
from pressroom.store.review import labels_of
from pressroom.store.videos import signals_of, video_id
from simulators.replicate import ReplicateSimulator
from tests.dagster.conftest import instance_in_memory as instance
from tests.dagster.conftest import the_failure
from tests.dagster.films import alarming, arrived, film, hosted, report, screen, succeeded, video
from tests.samples import SITE
from tests.videos import archive, plain, truncated

__all__ = ["hosted", "instance"]
ANA = Person("ana")
DETECTOR_KEYS = [dg.AssetKey(["compliance", detector]) for detector in detecting.DETECTORS]


def materialised(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of what the run materialised, by the asset's last name."""
    events = [event.materialization for event in result.get_asset_materialization_events()]
    return {event.asset_key.path[-1]: {name: value.value for name, value in event.metadata.items()} for event in events}


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
    succeeded(screen(instance, key, REPORT))  # the report's own pictures are still there
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
