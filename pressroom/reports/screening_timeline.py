"""The triggers of a video on a time line: one lane for each modality, to scale, with marks that stay apart however many there are."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pressroom.records import Coverage, Detector, Modality, Trigger
from pressroom.reports.screening import has_looked, unseen

LANES: dict[Modality, tuple[Detector, ...]] = {
    "visual": ("objects", "nudity", "violence"),
    "speech": ("transcript",),
    "text": ("screen_text",),
    "sound": ("sound",),
}
_SOURCES: dict[str, Modality] = {"transcript": "speech", "screen_text": "text", "title": "text", "description": "text"}
# Marks nearer than this part of the video become one, and none is drawn narrower: 4 px on a lane 800 px wide.
_NEAR = 0.005
# A trigger over this part of the video is about all of it (its title, for example): a band of its own, or it would swallow the others.
_ALL = 0.98
# Seconds between ticks, as people count them.
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)


class Mark(NamedTuple):
    """Triggers of one severity that stand close together, or (`is_band`) are about the whole video.

    `left` and `width` are per cent of the video.
    """

    severity: int
    triggers: tuple[Trigger, ...]
    left: float
    width: float
    is_band: bool = False

    @property
    def start_ms(self) -> int:
        return self.triggers[0].start_ms

    @property
    def end_ms(self) -> int:
        return max(trigger.end_ms for trigger in self.triggers)


class Lane(NamedTuple):
    """One modality: its marks, the mildest first so that the severest is drawn on top, and what looked at it."""

    modality: Modality
    marks: tuple[Mark, ...]
    looked: tuple[Detector, ...]
    partly: tuple[Detector, ...]  # of those that looked
    missing: tuple[Detector, ...]


class Tick(NamedTuple):
    at_ms: int
    left: float


def length_ms(duration_ms: int, triggers: Sequence[Trigger]) -> int:
    """How long the time line is: the video, or up to the last trigger where the file's own duration is short of it."""
    return max([duration_ms, 1, *(trigger.end_ms for trigger in triggers)])


def lanes(triggers: Sequence[Trigger], coverage: Sequence[Coverage], length: int) -> Iterator[Lane]:
    """Every modality's lane, also the empty ones: that nobody looked is said there."""
    analysed = {one.detector: bool(unseen(one)) for one in coverage if has_looked(one)}
    for modality, detectors in LANES.items():
        of_lane = [trigger for trigger in triggers if modality in modalities(trigger)]
        marks = [mark for severity in range(4) for mark in _marks(severity, of_lane, length)]
        looked = tuple(detector for detector in detectors if detector in analysed)
        partly = tuple(detector for detector in looked if analysed[detector])
        yield Lane(modality, tuple(marks), looked, partly, tuple(detector for detector in detectors if detector not in analysed))


def modalities(trigger: Trigger) -> set[Modality]:
    """Where the trigger was found: words that were said and shown are in both lanes."""
    found: set[Modality] = {_SOURCES[one.source] for one in trigger.evidence if one.source}
    return found | {trigger.modality}


def _marks(severity: int, triggers: Sequence[Trigger], length: int) -> Iterator[Mark]:
    of_severity = sorted((one for one in triggers if one.severity == severity), key=lambda one: (one.start_ms, one.number))
    bands = [one for one in of_severity if one.end_ms - one.start_ms >= length * _ALL]
    if bands:
        yield _mark(severity, bands, length)._replace(is_band=True)
    close: list[Trigger] = []
    end = 0
    for trigger in of_severity:
        if trigger in bands:
            continue
        if close and trigger.start_ms - end > length * _NEAR:
            yield _mark(severity, close, length)
            close = []
        end = max(end, trigger.end_ms) if close else trigger.end_ms
        close.append(trigger)
    if close:
        yield _mark(severity, close, length)


def _mark(severity: int, close: Sequence[Trigger], length: int) -> Mark:
    start, end = min(max(close[0].start_ms, 0), length), max(trigger.end_ms for trigger in close)
    width = min(max((end - start) / length, _NEAR), 1.0)
    left = min(start / length, 1.0 - width)
    return Mark(severity, tuple(close), round(left * 100, 3), round(width * 100, 3))


def ticks(length: int, most: int = 5) -> list[Tick]:
    """The start, the end and up to `most` round times between them, none so near to the end that the two would touch."""
    seconds = length / 1000
    step = next((step for step in _STEPS if seconds / step <= most), 3600 * math.ceil(seconds / 3600 / most))
    between = [step * number * 1000 for number in range(math.floor(seconds / step) + 1)]
    return [Tick(at, round(at / length * 100, 3)) for at in between if at < length * 0.88] + [Tick(length, 100.0)]
