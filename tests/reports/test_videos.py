"""A video's report from what the database knows: which state gives which document, and what is kept beside it."""

import datetime as dt
import json
from pathlib import Path

import pytest

from pressroom.compliance.desk import VideoDesk
from pressroom.errors import Permanent
from pressroom.objects.store import FolderStore
from pressroom.records import Upload
from pressroom.reports.decisions import make_decision
from pressroom.reports.videos import NO_POLICY, make_video_report
from pressroom.store.engine import Store
from pressroom.store.videos import add_uploads, book_bytes, end_video, reports_of, video_by_key
from tests.samples import SITE, site_applied

AT = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


def desk(store: Store, folder: Path, name: str = "film.mp4") -> VideoDesk:
    upload = Upload(site="brew", object_key=f"uploads/2026/11/21/brew/{name}", version="v1", size=10, uploaded_at=AT)
    with store.transaction() as session:
        site_applied(session)
        add_uploads(session, SITE, [upload])
        video, site = video_by_key(session, upload.key)
    return VideoDesk(video, site, store, FolderStore(folder / "objects"), "run-1", folder)


def test_a_video_that_no_policy_has_judged_has_no_report_and_the_error_says_what_to_do(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="materialise compliance/risk_triggers first"):
        make_video_report(desk(store, tmp_path))


def test_a_refused_video_has_a_report_that_says_why_and_a_second_one_replaces_it(store: Store, tmp_path: Path) -> None:
    first = desk(store, tmp_path)
    first.end("refused", "it has no picture")
    made = make_video_report(desk(store, tmp_path))
    again = make_video_report(desk(store, tmp_path))
    assert made.report == again.report
    assert (made.report.state, made.report.policy) == ("refused", None)
    assert "it has no picture" in made.report.why
    assert json.loads(first.objects.read(made.json_key)) == made.report.model_dump(mode="json")
    assert b"it has no picture" in first.objects.read(made.html_key)
    with store.transaction() as session:
        assert reports_of(session, first.video) == ("refused", made.html_key)
    assert NO_POLICY not in made.html_key


def test_a_duplicate_is_linked_to_the_report_of_the_first(store: Store, tmp_path: Path) -> None:
    first, second = desk(store, tmp_path), desk(store, tmp_path, "copy.mp4")
    with store.transaction() as session:
        book_bytes(session, first.video, "ab" * 32)
        assert book_bytes(session, second.video, "ab" * 32) == first.video.key
        end_video(session, second.video, "duplicate")
    made = make_video_report(desk(store, tmp_path, "copy.mp4"))
    assert (of := made.report.duplicates.of)
    assert (of.key, of.outcome) == (first.video.key, None), "the first has no report yet"
    with store.transaction() as session:
        end_video(session, first.video, "refused", "it has no picture")
    assert of.report == make_video_report(desk(store, tmp_path)).html_key


def test_without_a_verdict_there_is_no_decision(store: Store, tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="has no verdict yet"):
        make_decision(desk(store, tmp_path))
