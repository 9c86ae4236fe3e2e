"""Burnt-in text read on this machine by the real reader."""

import asyncio
from pathlib import Path

import psutil
import pytest

from pressroom.inference.screen_text import screen_text
from pressroom.inference.types import Detection, Media, Progress
from tests.inference.looking import filmed, written


def read(media: Media, workers: int = 1, progress: Progress = lambda done, total: None) -> Detection:
    return asyncio.run(screen_text(workers).detect(media, progress))


def test_a_line_that_stands_for_several_frames_is_one_signal_whatever_the_number_of_processes(tmp_path: Path) -> None:
    media = filmed(
        tmp_path,
        [written(["Cheap pills today"]), 0, written(["Cheap pills today", "Call 555-0199"], colour="darkred"), written([])],
    )
    seen: list[tuple[int, int]] = []
    found = read(media, progress=lambda done, total: seen.append((done, total)))

    lines = {signal.text: (signal.start_ms, signal.end_ms) for signal in found.signals}
    assert lines == {"Cheap pills today": (0, 6000), "Call 555-0199": (4000, 6000)}
    first = found.signals[0]
    assert (first.label, first.detector, first.number) == ("text", "screen_text", 0)
    assert first.frame in (0, 2)
    assert first.score is not None
    assert first.score > 0.9
    assert first.box is not None
    assert 0 < first.box[0] < first.box[2] < 1
    assert 0 < first.box[1] < first.box[3] < 0.4
    assert seen == [(1, 3), (2, 3), (3, 3)], "the frame that another one stands for is not read"
    coverage = found.coverage
    assert (coverage.state, coverage.seconds, coverage.of_s, coverage.looks, coverage.stood_for) == ("analysed", 8.0, 8.0, 4, 1)
    assert coverage.largest_gap_s == 2.0

    assert read(media, workers=2) == found


def test_a_broken_picture_costs_its_frame_and_the_coverage_says_so(tmp_path: Path) -> None:
    media = filmed(tmp_path, [written(["Before"]), written(["Broken"]), written(["After"])])
    picture = media.large(media.frames[1])
    picture.write_bytes(picture.read_bytes()[:2000])
    found = read(media)
    assert [signal.text for signal in found.signals] == ["Before", "After"]
    assert (found.coverage.state, found.coverage.seconds, found.coverage.largest_gap_s) == ("analysed", 4.0, 4.0)
    assert found.coverage.reason.startswith("1 of 3 frames could not be looked at; the first, frame 1: OSError: image file is truncated")


@pytest.mark.long
def test_a_killed_process_costs_its_frame(tmp_path: Path) -> None:
    media = filmed(tmp_path, [written(["Before"]), written(["Killed"]), written(["After"])])

    def kill(done: int, total: int) -> None:
        if done == 1:
            for process in psutil.Process().children():
                process.kill()

    found = read(media, progress=kill)
    assert [signal.text for signal in found.signals] == ["Before", "After"]
    assert found.coverage.seconds == 4.0
    assert "frame 1: the process died" in found.coverage.reason


def test_when_no_frame_can_be_read_the_detector_has_failed(tmp_path: Path) -> None:
    media = filmed(tmp_path, [written(["Gone"])])
    media.large(media.frames[0]).unlink()
    found = read(media)
    assert found.signals == ()
    assert (found.coverage.state, found.coverage.seconds, found.coverage.looks) == ("failed", 0.0, 0)


def test_a_video_without_frames_was_not_looked_at(tmp_path: Path) -> None:
    coverage = read(Media("video-1", 5000, (), tmp_path)).coverage
    assert (coverage.state, coverage.seconds, coverage.reason) == ("failed", 0.0, "There is no frame to look at.")


def test_a_language_in_letters_that_the_reader_does_not_know_is_not_called_read(tmp_path: Path) -> None:
    """Phone numbers and Latin letters that were read are kept, but the video does not count as looked at."""
    found = read(filmed(tmp_path, [written(["Call 555-0199"])], language="ru"))
    assert [signal.text for signal in found.signals] == ["Call 555-0199"]
    assert (found.coverage.state, found.coverage.seconds) == ("unsupported", 0.0)
    assert "REPLICATE_API_TOKEN" in found.coverage.reason
