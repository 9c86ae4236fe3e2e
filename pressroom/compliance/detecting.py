"""Lets the detectors look at a video: each for itself, so that one that fails does not fail the others."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from pressroom.errors import Blocked, PressroomError
from pressroom.inference.local import local_coverage
from pressroom.inference.types import Detection, Media, Progress, Runner
from pressroom.records import Coverage, Detector, Signal
from pressroom.safety.flagged import SOURCES, flagged_terms

DETECTORS: tuple[Detector, ...] = ("transcript", "screen_text", "objects", "nudity", "violence", "flagged_terms")


@dataclass(frozen=True)
class Words:
    """The words that come with a video, and those that detectors have found in it before."""

    title: str | None = None
    description: str | None = None
    signals: tuple[Signal, ...] = ()
    coverages: tuple[Coverage, ...] = ()


@dataclass(frozen=True)
class Looked:
    """What one detector said, and the seconds that it took."""

    detection: Detection
    seconds: float

    @property
    def detector(self) -> Detector:
        return self.detection.coverage.detector


async def look_at(
    media: Media,
    runners: Mapping[Detector, Runner],
    wanted: Collection[Detector],
    words: Words,
    done: Callable[[Looked], None],
    progress: Callable[[Detector, int, int], None] = lambda detector, looked, total: None,
) -> list[Looked]:
    """Lets the `wanted` detectors look, all at once; flagged terms after what they read. `done` is told of each as it ends.

    A detector without a runner is `unsupported`, one that fails is `failed`, each with the reason. Raises Blocked when there is no money
    for the work of one, after the others have ended, and whatever `done` raises.
    """
    blocked: list[Blocked] = []

    async def look(detector: Detector) -> Looked | None:
        begin = time.perf_counter()
        try:
            detection = await _detect(detector, runners.get(detector), media, lambda looked, total: progress(detector, looked, total))
        except Blocked as error:
            blocked.append(error)
            return None
        looked = Looked(detection, time.perf_counter() - begin)
        await asyncio.to_thread(done, looked)
        return looked

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(look(detector)) for detector in DETECTORS if detector in wanted and detector != "flagged_terms"]
    except BaseExceptionGroup as group_of_errors:
        raise _foremost(group_of_errors) from None
    if blocked:
        raise blocked[0]
    looked = [each for task in tasks if (each := task.result())]
    if "flagged_terms" in wanted:
        begin = time.perf_counter()
        flagged = await asyncio.to_thread(_flagged, media, words, looked)
        looked.append(Looked(flagged, time.perf_counter() - begin))
        await asyncio.to_thread(done, looked[-1])
    return looked


def _foremost(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one to tell of: an interrupt, else a bug of ours, else the first. A group of them says nothing to who catches by kind."""
    leaves: list[BaseException] = []
    for error in errors.exceptions:
        leaves.append(_foremost(error) if isinstance(error, BaseExceptionGroup) else error)
    return min(leaves, key=lambda error: (isinstance(error, Exception), isinstance(error, PressroomError)))


async def _detect(detector: Detector, runner: Runner | None, media: Media, progress: Progress) -> Detection:
    of_s = media.duration_ms / 1000
    if runner is None:
        return Detection(local_coverage(detector, of_s=of_s))
    failed = Coverage(detector=detector, state="failed", version=runner.version, of_s=of_s, largest_gap_s=of_s)
    if detector == "transcript" and media.audio_error:
        return Detection(failed.model_copy(update={"reason": media.audio_error}))
    try:
        detection = await runner.detect(media, progress)
        return replace(detection, coverage=_of_what_was_decoded(detection.coverage, media))
    except Blocked:
        raise
    except PressroomError as error:
        return Detection(failed.model_copy(update={"reason": f"{error}."}))


def _of_what_was_decoded(coverage: Coverage, media: Media) -> Coverage:
    """A detector that has looked at all frames has not looked at the half of the video that gave none."""
    decoded = media.sound if coverage.detector == "transcript" else media.picture
    if coverage.state != "analysed" or decoded is None or decoded.state != "analysed" or not decoded.reason:
        return coverage
    gap_s = coverage.largest_gap_s
    bounds = {
        "seconds": min(coverage.seconds, decoded.seconds),
        "of_s": max(coverage.of_s, decoded.of_s),
        "largest_gap_s": gap_s if gap_s is None else max(gap_s, decoded.of_s - coverage.of_s),
        "reason": coverage.reason or decoded.reason,
    }
    return coverage.model_copy(update=bounds)


def _flagged(media: Media, words: Words, looked: list[Looked]) -> Detection:
    fresh = {each.detector: each.detection for each in looked if each.detector in SOURCES}
    signals = [signal for each in fresh.values() for signal in each.signals]
    signals += [signal for signal in words.signals if signal.detector not in fresh]
    coverages = [each.coverage for each in fresh.values()] + [each for each in words.coverages if each.detector not in fresh]
    return flagged_terms(
        signals,
        coverages,
        duration_ms=media.duration_ms,
        language=media.language,
        title=words.title,
        description=words.description,
    )
