"""The detectors side by side: each for itself, and no error of one hides what the others found."""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pressroom.compliance.detecting import DETECTORS, Looked, Words, look_at
from pressroom.errors import OverBudget, Permanent, Transient
from pressroom.inference.types import Detection, Media, Progress
from pressroom.records import Coverage, Detector, Signal
from pressroom.safety.judging import judge
from pressroom.safety.policy import policy

MEDIA = Media("video/abc", 4000, (), Path("nowhere"))


@dataclass
class Says:
    """A detector that says what it is told to, after some moments."""

    detector: Detector
    text: str = ""
    raises: Exception | None = None
    after_s: float = 0.0
    version: str = "stand-in-1"
    asked: list[Media] = field(default_factory=list)

    async def detect(self, media: Media, progress: Progress) -> Detection:
        self.asked.append(media)
        await asyncio.sleep(self.after_s)
        progress(1, 1)
        if self.raises:
            raise self.raises
        coverage = Coverage(detector=self.detector, state="analysed", version=self.version, seconds=4, of_s=4, looks=1)
        signal = Signal(
            detector=self.detector, number=0, start_ms=0, end_ms=4000, label="text", version=self.version, score=0.9, text=self.text
        )
        return Detection(coverage, (signal,) if self.text else ())


def looked_at(
    *runners: Says, wanted: tuple[Detector, ...] = DETECTORS, words: Words | None = None, media: Media = MEDIA
) -> dict[str, Looked]:
    kept: list[Looked] = []
    found = asyncio.run(look_at(media, {runner.detector: runner for runner in runners}, wanted, words or Words(), kept.append))
    assert {each.detector for each in kept} == {each.detector for each in found}, "each is told of as it ends"
    return {each.detector: each for each in found}


def test_flagged_terms_follow_what_was_just_said_and_shown() -> None:
    found = looked_at(Says("transcript", "this is a miracle cure", after_s=0.02), Says("screen_text", "guaranteed returns"))
    told = " ".join(signal.text or "" for signal in found["flagged_terms"].detection.signals)
    assert "miracle cure" in told
    assert "guaranteed returns" in told
    assert found["flagged_terms"].detection.coverage.state == "analysed"


def test_no_detector_has_looked_at_what_could_not_be_decoded() -> None:
    """A file that says 20 s and ends after 4, its sound after 3: those who looked at every frame saw a fifth of it."""
    picture = Coverage(detector="picture", state="analysed", seconds=4, of_s=20, largest_gap_s=2, reason="The file is cut off.")
    sound = Coverage(detector="sound", state="analysed", seconds=3, of_s=20, reason="The sound ends after 3.0 of 20.0 s.")
    found = looked_at(Says("transcript", "hello"), Says("screen_text"), media=replace(MEDIA, picture=picture, sound=sound))
    told = {detector: found[detector].detection.coverage for detector in ("transcript", "screen_text", "flagged_terms")}
    assert {detector: one.fraction for detector, one in told.items()} == {"transcript": 0.15, "screen_text": 0.2, "flagged_terms": 0.15}
    assert told["screen_text"].reason == "The file is cut off."
    assert judge((), told.values(), policy("default"), MEDIA.duration_ms)[1].outcome == "incomplete"


def test_flagged_terms_alone_go_by_what_earlier_runs_have_read() -> None:
    said = looked_at(Says("transcript", "this is a miracle cure"), wanted=("transcript",))["transcript"].detection
    words = Words(title="Double your money", signals=said.signals, coverages=(said.coverage,))
    found = looked_at(wanted=("flagged_terms",), words=words)["flagged_terms"].detection
    assert any("miracle" in (signal.text or "") for signal in found.signals)


def test_a_detector_that_nobody_serves_is_unsupported_and_the_reason_says_what_to_configure() -> None:
    coverage = looked_at(wanted=("violence",))["violence"].detection.coverage
    assert (coverage.state, coverage.seconds, coverage.of_s) == ("unsupported", 0, 4)
    assert "REPLICATE_API_TOKEN" in coverage.reason


@pytest.mark.parametrize("error", [Transient("the endpoint is away"), Permanent("401: the token is wrong")])
def test_one_that_fails_is_failed_with_its_reason_and_the_others_are_not(error: Exception) -> None:
    found = looked_at(Says("objects", raises=error), Says("transcript", "hello", after_s=0.02), wanted=("objects", "transcript"))
    coverage = found["objects"].detection.coverage
    assert (coverage.state, coverage.reason, coverage.version, coverage.largest_gap_s) == ("failed", f"{error}.", "stand-in-1", 4)
    assert found["transcript"].detection.coverage.state == "analysed"


def test_without_money_for_one_the_others_are_kept_before_the_work_is_blocked() -> None:
    kept: list[Looked] = []
    runners = {"objects": Says("objects", raises=OverBudget("the limit")), "transcript": Says("transcript", "hello", after_s=0.05)}
    with pytest.raises(OverBudget, match="the limit"):
        asyncio.run(look_at(MEDIA, runners, DETECTORS, Words(), kept.append))  # type: ignore[arg-type]
    assert [each.detector for each in kept if each.detection.coverage.state == "analysed"] == ["transcript"]


def test_what_goes_wrong_on_the_way_comes_out_as_itself() -> None:
    """Not in a group of exceptions, which nobody who catches by kind would see. A bug goes before an outage."""

    def away(_: Looked) -> None:
        raise Transient("the database is away")

    with pytest.raises(Transient, match="database"):
        asyncio.run(look_at(MEDIA, {"objects": Says("objects")}, ("objects", "nudity"), Words(), away))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(look_at(MEDIA, {"objects": Says("objects", raises=ZeroDivisionError())}, ("objects", "nudity"), Words(), away))


def test_sound_that_could_not_be_decoded_is_not_silence() -> None:
    broken = Media("video/abc", 4000, (), Path("nowhere"), audio_error="The sound could not be decoded.")
    listener = Says("transcript")
    coverage = looked_at(listener, wanted=("transcript",), media=broken)["transcript"].detection.coverage
    assert (coverage.state, coverage.reason, listener.asked) == ("failed", "The sound could not be decoded.", [])
