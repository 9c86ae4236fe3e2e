"""Detectors that look at frames: each frame that stands for others is looked at once, and what is seen in a row becomes one signal."""

import difflib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from pydantic import JsonValue

from pressroom.inference.child import Lost, answer_all, sensible_workers
from pressroom.inference.types import Detection, Media, Progress
from pressroom.records import Coverage, Detector, Signal

Box = tuple[float, float, float, float]

# A line of text is the same one in the next frame when 4 of 5 letters are and the boxes share 3 tenths of their common area: readings of
# one line differ by a letter or a blank, and boxes by a few pixels; two different lines in one place share far less.
SAME_LETTERS = 0.8
SAME_PLACE = 0.3


@dataclass(frozen=True)
class Sighting:
    """One finding on one frame. `box` is left, top, right, bottom, 0 to 1."""

    label: str
    score: float | None
    box: Box | None = None
    text: str | None = None


# What was seen on each frame that was looked at, by its number.
Readings = Mapping[int, Sequence[Sighting]]


@dataclass(frozen=True)
class FrameRunner:
    """A detector that looks at one frame at a time, in processes of its own. The findings do not depend on how many.

    `work` (see `Child`) makes a function from a JPEG's path to a list of `[label, score, box, text]`. `partial` says of a video's language
    what this detector cannot see, or nothing: what it found is kept then, but the video does not count as looked at.
    """

    detector: Detector
    version: str
    work: str
    setup: JsonValue = None
    large: bool = False
    deadline_s: float = 30.0
    memory_mib: int = 600
    workers: int | None = None
    partial: Callable[[str], str] = lambda language: ""

    async def detect(self, media: Media, progress: Progress) -> Detection:
        """Findings and coverage; a frame that cannot be read is missing from the coverage, nothing else."""
        chosen = [frame for frame in media.frames if frame.same_as is None]
        answers = await answer_all(
            self.work,
            self.setup,
            [str((media.large if self.large else media.small)(frame).absolute()) for frame in chosen],
            workers=self.workers or sensible_workers(self.memory_mib),
            deadline_s=lambda index: self.deadline_s,
            progress=progress,
        )
        read = {frame.number: answer for frame, answer in zip(chosen, answers, strict=True) if not isinstance(answer, Lost)}
        lost = [(frame.number, answer.why) for frame, answer in zip(chosen, answers, strict=True) if isinstance(answer, Lost)]
        readings = {number: sightings(answer) for number, answer in read.items()}
        coverage = frame_coverage(self.detector, self.version, media, readings, _reason(len(chosen), lost))
        if reason := self.partial(media.language):
            coverage = coverage.model_copy(update={"state": "unsupported", "seconds": 0.0, "reason": reason})
        raw: JsonValue = {str(number): answer for number, answer in read.items()}
        return Detection(coverage, merge_sightings(self.detector, self.version, media, readings), raw)


def sightings(answer: JsonValue) -> tuple[Sighting, ...]:
    """A child's answer as findings, in reading order: from the top, then from the left."""
    rows = cast(list[tuple[str, float | None, list[float] | None, str | None]], answer)
    found = [Sighting(label, score, cast(Box, tuple(box)) if box else None, text) for label, score, box, text in rows]
    return tuple(sorted(found, key=lambda one: ((one.box[1], one.box[0]) if one.box else (0.0, 0.0), one.label)))


def frame_coverage(detector: Detector, version: str, media: Media, read: Mapping[int, object], reason: str = "") -> Coverage:
    """How much of the video the frames in `read` (by number) speak for, with those that they stand for."""
    spans = media.spans() if media.frames else ()
    seen = [
        (frame, end - start)
        for frame, (start, end) in zip(media.frames, spans, strict=True)
        if (frame.number if frame.same_as is None else frame.same_as) in read
    ]
    times = [0, *(frame.at_ms for frame, _ in seen), media.duration_ms]
    return Coverage(
        detector=detector,
        state="analysed" if seen else "failed",
        version=version,
        seconds=sum(length for _, length in seen) / 1000,
        of_s=media.duration_ms / 1000,
        largest_gap_s=max(after - before for before, after in itertools.pairwise(times)) / 1000,
        looks=len(seen),
        stood_for=sum(frame.same_as is not None for frame, _ in seen),
        reason=reason,
    )


@dataclass(frozen=True)
class _Track:
    """Sightings of one thing in consecutive frames; `last` is how it looked when last seen, `best` where it was surest."""

    start_ms: int
    end_ms: int
    last: Sighting
    best: Sighting
    frame: int

    def followed_by(self, sighting: Sighting, end_ms: int, frame: int) -> "_Track":
        better = (sighting.score or 0.0) > (self.best.score or 0.0)
        return replace(self, end_ms=end_ms, last=sighting, best=sighting if better else self.best, frame=frame if better else self.frame)


def merge_sightings(detector: Detector, version: str, media: Media, readings: Readings) -> tuple[Signal, ...]:
    """One signal for each thing seen in consecutive frames: from its first frame to the end of its last, as it was seen best.

    A frame that another one stands for shows what that one shows. A frame that was not read ends what was going on.
    """
    tracks: list[_Track] = []
    going_on: list[int] = []
    spans = media.spans() if media.frames else ()
    for frame, (start, end) in zip(media.frames, spans, strict=True):
        source = frame.number if frame.same_as is None else frame.same_as
        still: list[int] = []
        for sighting in readings.get(source, ()):
            if (index := _continued(sighting, tracks, going_on)) is None:
                index = len(tracks)
                tracks.append(_Track(start, end, sighting, sighting, source))
            else:
                going_on.remove(index)
                tracks[index] = tracks[index].followed_by(sighting, end, source)
            still.append(index)
        going_on = still
    return tuple(
        Signal(
            detector=detector,
            number=number,
            start_ms=track.start_ms,
            end_ms=track.end_ms,
            label=track.best.label,
            version=version,
            score=track.best.score,
            box=track.best.box,
            text=track.best.text,
            frame=track.frame,
        )
        for number, track in enumerate(tracks)
    )


def _continued(sighting: Sighting, tracks: Sequence[_Track], going_on: Sequence[int]) -> int | None:
    """The index of the track that this one goes on with, the most alike; None if it is new."""
    alike = [(_likeness(tracks[index].last, sighting), -index) for index in going_on]
    likeness, index = max(alike, default=(0.0, 0))
    return -index if likeness > 0 else None


def _likeness(before: Sighting, now: Sighting) -> float:
    """How sure it is that both are one thing, 0 for not."""
    if before.label != now.label:
        return 0.0
    letters = 1.0 if before.text is None or now.text is None else same_letters(before.text, now.text)
    place = 1.0 if before.box is None or now.box is None else shared_area(before.box, now.box)
    return letters + place if letters >= SAME_LETTERS and place >= SAME_PLACE else 0.0


def same_letters(one: str, other: str) -> float:
    """Part of the letters that two readings share, 0 to 1; case and blanks do not count."""
    one, other = "".join(one.casefold().split()), "".join(other.casefold().split())
    return 1.0 if one == other else difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def shared_area(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    across = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    down = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    both = across * down
    either = _area(one) + _area(other) - both
    return both / either if either > 0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _reason(frames: int, lost: Sequence[tuple[int, str]]) -> str:
    if not frames:
        return "There is no frame to look at."
    if not lost:
        return ""
    number, why = lost[0]
    return f"{len(lost)} of {frames} frames could not be looked at; the first, frame {number}: {why}."
