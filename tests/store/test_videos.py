"""Videos in the database: booked once, the same bytes once, and what a run leaves when it dies."""

import datetime as dt
import threading

import pytest
import sqlalchemy as sa

from pressroom.errors import BadInput
from pressroom.records import Coverage, Frame, Probe, Signal, Upload, Video
from pressroom.store.engine import Store
from pressroom.store.videos import (
    NEAR_BITS,
    add_uploads,
    bands,
    begin_video,
    book_bytes,
    book_near,
    end_video,
    fail_unended,
    known_uploads,
    save_detection,
    save_media,
    signals_of,
    unended_videos,
    video_by_key,
    waiting_videos,
)
from tests.samples import SITE, site_applied

VIDEOS_UNASKED = sa.text("UPDATE videos SET requested_at = NULL WHERE key = :key")
AT = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
SHA = "ab" * 32
PROBE = Probe(
    container="mp4",
    size=10,
    duration_ms=4000,
    video_codec="h264",
    pixel_format="yuv420p",
    width=160,
    height=90,
    fps=10,
    video_packets=40,
    keyframes=4,
    largest_keyframe_gap_ms=1000,
)


def upload(name: str, minutes: int = 0) -> Upload:
    return Upload(
        site="brew", object_key=f"uploads/2026/11/21/brew/{name}", version="v1", size=10, uploaded_at=AT + dt.timedelta(minutes=minutes)
    )


def booked(store: Store, *names: str) -> list[Video]:
    """Videos in the order of their upload."""
    with store.transaction() as session:
        site_applied(session)
        uploads = [upload(name, minutes) for minutes, name in enumerate(names)]
        add_uploads(session, SITE, uploads)
        return [video_by_key(session, each.key)[0] for each in uploads]


def state(store: Store, video: Video) -> Video:
    with store.transaction() as session:
        return video_by_key(session, video.key)[0]


def test_five_ticks_at_once_book_an_upload_once(store: Store) -> None:
    with store.transaction() as session:
        site_applied(session)
    found: list[str] = []

    def tick() -> None:
        found.extend(store.retrying(lambda session: add_uploads(session, SITE, [upload("a"), upload("b")])))

    ticks = [threading.Thread(target=tick) for _ in range(5)]
    for each in ticks:
        each.start()
    for each in ticks:
        each.join()
    assert sorted(found) == sorted([upload("a").key, upload("b").key])
    with store.transaction() as session:
        assert known_uploads(session, [upload("a").object_key, "uploads/other"]) == {(upload("a").object_key, "v1")}


def test_a_video_that_nobody_knows_is_said_to_be_so(store: Store) -> None:
    with store.transaction() as session, pytest.raises(BadInput, match="there is no video 'x'"):
        video_by_key(session, "x")


def test_videos_that_were_never_requested_go_first_and_those_that_were_come_round_again(store: Store) -> None:
    """A tick that was killed after it marked them has requested nothing: a later one does."""
    old, new = (video.key for video in booked(store, "old", "new"))
    with store.transaction() as session:
        assert waiting_videos(session, limit=1) == [min(old, new)]
    with store.transaction() as session:
        assert waiting_videos(session, limit=1) == [max(old, new)]
    with store.transaction() as session:
        assert waiting_videos(session, limit=1) == [min(old, new)]
        assert waiting_videos(session, limit=0) == []


@pytest.mark.parametrize("first_to_book", ["older", "newer"])
def test_of_two_runs_with_the_same_bytes_exactly_one_goes_on(store: Store, first_to_book: str) -> None:
    """Whichever was uploaded first: what a run has begun with, it goes on with."""
    older, newer = booked(store, "older", "newer")
    first, second = (older, newer) if first_to_book == "older" else (newer, older)
    results: dict[str, str | None] = {}

    def book(video: Video, wait: threading.Event, done: threading.Event) -> None:
        wait.wait(10)
        results[video.key] = store.retrying(lambda session: book_bytes(session, video, SHA))
        done.set()

    go, gone, never = threading.Event(), threading.Event(), threading.Event()
    go.set()
    both = [threading.Thread(target=book, args=(first, go, gone)), threading.Thread(target=book, args=(second, gone, never))]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert results == {first.key: None, second.key: first.key}
    assert state(store, second).duplicate_of == first.key
    with store.transaction() as session:
        assert book_bytes(session, first, SHA) is None, "run again, it is no duplicate of its own duplicate"


def test_many_copies_at_once_have_one_first(store: Store) -> None:
    videos = booked(store, *"abcdefgh")
    results: list[str | None] = []

    def book(video: Video) -> None:
        results.append(store.retrying(lambda session: book_bytes(session, video, SHA)))

    runs = [threading.Thread(target=book, args=(video,)) for video in videos]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert results.count(None) == 1
    assert len(set(results)) == 2


@pytest.mark.parametrize("ended", ["refused", "failed"])
def test_what_was_refused_or_failed_stands_for_no_other_copy(store: Store, ended: str) -> None:
    first, second = booked(store, "first", "second")
    with store.transaction() as session:
        book_bytes(session, first, SHA)
        end_video(session, first, ended, "so it is")  # type: ignore[arg-type]
        assert book_bytes(session, second, SHA) is None
        assert book_bytes(session, first, SHA) == second.key


def test_a_run_that_begins_again_forgets_what_the_last_one_came_to(store: Store) -> None:
    (video,) = booked(store, "a")
    with store.transaction() as session:
        end_video(session, video, "failed", "the bucket was away")
        begin_video(session, video, "run-2")
    assert (state(store, video).state, state(store, video).reason) == ("processing", None)


def test_only_what_is_still_at_work_is_failed_for_its_run(store: Store) -> None:
    asked, at_work, done, unasked = booked(store, *"abcd")
    with store.transaction() as session:
        waiting_videos(session, limit=10)
        begin_video(session, at_work, "run-1")
        end_video(session, done, "verification")
        session.execute(VIDEOS_UNASKED, {"key": unasked.key})
    with store.transaction() as session:
        assert sorted(unended_videos(session)) == sorted([asked.key, at_work.key])
        assert fail_unended(session, at_work.key, "run 1 ended")
        assert not fail_unended(session, done.key, "run 1 ended"), "something became of it meanwhile"
    assert (state(store, at_work).state, state(store, at_work).reason) == ("failed", "run 1 ended")
    assert state(store, done).state == "verification"


def frames(hashes: list[int]) -> list[Frame]:
    return [
        Frame(number=number, at_ms=1000 * number, key=f"{number}.jpg", hash=f"{value:016x}", sharpness=1)
        for number, value in enumerate(hashes)
    ]


def test_a_copy_with_slightly_other_frames_is_near_and_an_unrelated_video_is_not(store: Store) -> None:
    first, reencoded, other = booked(store, "first", "reencoded", "other")
    hashes = [0x0123456789ABCDEF, 0xF0F0F0F0F0F0F0F0, 0x00FF00FF00FF00FF]
    flipped = [value ^ (1 << 3 | 1 << 20 | 1 << 63) for value in hashes]
    unlike = [value ^ 0xF0F0 for value in hashes]
    with store.transaction() as session:
        for video, shown in ((first, hashes), (reencoded, flipped), (other, unlike)):
            save_media(session, video, PROBE, {}, frames(shown))
        assert book_near(session, first) == (), "a later upload is not looked for"
        (near,) = book_near(session, reencoded)
        assert (near.key, near.share) == (first.key, 1.0)
        assert book_near(session, other) == ()
    assert state(store, reencoded).near == (near,)


def test_hashes_within_three_bits_share_a_band() -> None:
    value = 0x0123456789ABCDEF
    for spread in ((0, 16, 32), (5, 6, 7), (1, 33, 63)):
        other = value
        for bit in spread[:NEAR_BITS]:
            other ^= 1 << bit
        assert set(bands(f"{value:016x}")) & set(bands(f"{other:016x}"))


def test_a_detection_replaces_what_the_detector_said_before_and_nothing_else(store: Store) -> None:
    (video,) = booked(store, "a")

    def say(detector: str, *labels: str) -> None:
        coverage = Coverage(detector=detector, state="analysed", version="m-1", seconds=4, of_s=4)  # type: ignore[arg-type]
        signals = [
            Signal(detector=coverage.detector, number=number, start_ms=0, end_ms=100, label=label, version="m-1")
            for number, label in enumerate(labels)
        ]
        with store.transaction() as session:
            kept = {"raw_key": None, "vtt_key": None, "calls": 0, "replayed": 0, "cost_usd": 0, "seconds": 1}
            save_detection(session, video, coverage, signals, run_id="run-1", **kept)  # type: ignore[arg-type]

    say("objects", "knife", "gun", "rifle")
    say("nudity", "explicit")
    say("objects", "cat")
    with store.transaction() as session:
        assert [(signal.detector, signal.label) for signal in signals_of(session, video)] == [("nudity", "explicit"), ("objects", "cat")]
        assert [signal.label for signal in signals_of(session, video, "objects")] == ["cat"]
