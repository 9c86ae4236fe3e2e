"""What a detector looks at and what it gives: hosted models and those on this machine behind one interface."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from pressroom.records import Coverage, Detector, Frame, Signal

# Items done and items there are, from any thread.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Media:
    """A video taken apart, on this machine's disk. Times are ms of the video; `speech` holds the stretches in which somebody speaks.

    `folder/large/<key>` is a frame with 1,280 px on the long side, `folder/small/<key>` with 640; neither is enlarged. `audio` is
    16-bit mono WAV at 16 kHz, None for a video without sound, or, with an `audio_error`, for one whose sound could not be decoded. `item`
    names the video in ledgers. `picture` and `sound` say how much of it could be decoded: no detector has looked at more.
    """

    item: str
    duration_ms: int
    frames: tuple[Frame, ...]
    folder: Path
    audio: Path | None = None
    speech: tuple[tuple[int, int], ...] = ()
    language: str = "en"
    audio_error: str = ""
    picture: Coverage | None = None
    sound: Coverage | None = None

    def large(self, frame: Frame) -> Path:
        return self.folder / "large" / frame.key

    def small(self, frame: Frame) -> Path:
        return self.folder / "small" / frame.key

    def spans(self) -> tuple[tuple[int, int], ...]:
        """The stretch that each frame speaks for: up to the next one's time, the last one's up to the end."""
        if not self.frames:
            return ()
        ends = [frame.at_ms for frame in self.frames[1:]] + [self.duration_ms]
        return tuple((frame.at_ms, max(end, frame.at_ms + 1)) for frame, end in zip(self.frames, ends, strict=True))


@dataclass(frozen=True)
class Detection:
    """What one detector found, how much it looked at, and its raw output as it came."""

    coverage: Coverage
    signals: tuple[Signal, ...] = ()
    raw: JsonValue = None
    calls: int = 0
    replayed: int = 0
    cost_usd: Decimal = field(default_factory=Decimal)


class Runner(Protocol):
    """One detector by one model. Raises Transient where trying the whole again may help; whatever else goes wrong is in the coverage."""

    @property
    def detector(self) -> Detector: ...

    @property
    def version(self) -> str:
        """Model and version: signals of two versions are not the same finding."""
        ...

    async def detect(self, media: Media, progress: Progress) -> Detection: ...
