"""The sound of a video: 16 kHz mono, how loud it is, and where somebody speaks."""

import wave
from collections.abc import Iterator, Sequence
from itertools import groupby
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pressroom.records import Coverage, Probe, Record, Signal

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler

    from pressroom.compliance.probe import Index

VERSION = "sound-1"
RATE = 16_000
BYTES = 2 * RATE  # of one second
STEP_MS = 20  # one of the lengths that the detector of speech takes
STEP_BYTES = BYTES * STEP_MS // 1000
FLOOR_DB = -96.0  # 16 bits say nothing lower
SILENT_DB = -60.0  # ffmpeg's silencedetect
SILENT_MS = 2000
# A clock that is off by less is jitter; more is a stretch without packets, which is kept as silence so that words keep their times.
JITTER_S = 0.1
# Pauses for breath are under half a second, clicks and coughs under a tenth.
PAUSE_MS, LEAST_MS, MARGIN_MS = 500, 100, 100


class Heard(Record):
    """One second of sound, the last one maybe less: its level, and for each 20 ms whether somebody speaks ("1") or not ("0")."""

    length_ms: int
    level_db: float
    speech: str


def listen(path: Path, index: "Index", file: Path) -> Iterator[Heard]:
    """Writes the sound as 16-bit WAV, its time 0 that of the first picture, and tells of each second when it is in the file.

    What is longer than the pictures is left off. The file is whole after every second, so that it can be used if the next kills us.
    """
    from pocketsphinx import Vad

    detector = Vad(Vad.STRICT, RATE, STEP_MS / 1000)
    with wave.open(str(file), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        buffer = bytearray()
        for samples in _samples(path, index):
            buffer += samples
            while len(buffer) >= BYTES:
                yield _second(bytes(buffer[:BYTES]), out, detector)
                del buffer[:BYTES]
        if buffer:
            yield _second(bytes(buffer), out, detector)


def _second(samples: bytes, out: wave.Wave_write, detector: Any) -> Heard:
    import numpy as np

    out.writeframes(samples)
    wide = np.frombuffer(samples, dtype="<i2").astype(np.float32) / 32768
    level = float(np.sqrt(np.mean(wide * wide)))
    whole = len(samples) - len(samples) % STEP_BYTES
    speech = "".join("1" if detector.is_speech(samples[at : at + STEP_BYTES]) else "0" for at in range(0, whole, STEP_BYTES))
    return Heard(length_ms=len(samples) * 1000 // BYTES, level_db=round(max(FLOOR_DB, 20 * log10(max(level, 1e-9))), 1), speech=speech)


def _samples(path: Path, index: "Index") -> Iterator[bytes]:
    """16-bit mono at 16 kHz from the time of the first picture to that of the last, stretches that are missing as silence."""
    from av.audio.resampler import AudioResampler
    from av.audio.stream import AudioStream

    from pressroom.compliance.probe import open_video

    most = index.probe.duration_ms * BYTES // 1000 // 2 * 2
    done = 0
    resampler, shape = AudioResampler("s16", "mono", RATE), None
    with open_video(path) as container:
        stream = container.streams[index.audio_stream or 0]
        assert isinstance(stream, AudioStream)
        for frame in _frames(container.demux(stream)):
            if shape is not None and _shape(frame) != shape:
                resampler = AudioResampler("s16", "mono", RATE)  # the format changed in mid-stream
            shape = _shape(frame)
            behind = _behind(frame, index.probe.start_ms, done)
            frame.pts = None
            samples = _resampled(resampler, frame)
            if behind > 0:
                samples = bytes(min(behind, most - done)) + samples
            elif done == 0:
                samples = samples[-behind:]
            samples = samples[: most - done]
            done += len(samples)
            yield samples
            if done >= most:
                return
        if shape is not None:
            yield _resampled(resampler, None)[: most - done]


def _frames(packets: Iterator[Any]) -> "Iterator[AudioFrame]":
    import av

    while True:
        try:
            packet = next(packets, None)
        except MemoryError:
            raise
        except av.FFmpegError:
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except MemoryError:
            raise
        except av.FFmpegError:  # one damaged packet; what it held becomes silence
            continue


def _shape(frame: "AudioFrame") -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name


def _resampled(resampler: "AudioResampler", frame: "AudioFrame | None") -> bytes:
    """16-bit samples; none for a damaged frame, whose format no resampler takes."""
    import av

    try:
        return b"".join(part.to_ndarray().astype("<i2").tobytes() for part in resampler.resample(frame))
    except MemoryError:
        raise
    except av.FFmpegError:
        return b""


def _behind(frame: "AudioFrame", start_ms: int, done: int) -> int:
    """Bytes by which what was written is behind the frame's own time; negative only for sound from before the first picture."""
    if frame.pts is None or frame.time_base is None:
        return 0
    seconds = float(frame.pts * frame.time_base) - start_ms / 1000 - done / BYTES
    if seconds < 0 and done == 0:
        return -(round(-seconds * RATE) * 2)
    return round(seconds * RATE) * 2 if seconds > JITTER_S else 0


def speech_spans(heard: Sequence[Heard]) -> tuple[tuple[int, int], ...]:
    """The stretches in which somebody speaks, in ms: short pauses are bridged, clicks left out, and a margin put around."""
    end_ms = sum(second.length_ms for second in heard)
    at, spans = 0, list[tuple[int, int]]()
    for second in heard:
        place = at
        for spoken, steps in groupby(second.speech):
            length = STEP_MS * len(list(steps))
            if spoken == "1":
                spans.append((place, place + length))
            place += length
        at += second.length_ms
    kept = [span for span in _bridged(spans, 2 * STEP_MS) if span[1] - span[0] >= LEAST_MS]
    wide = [(max(0, start - MARGIN_MS), min(end_ms, end + MARGIN_MS)) for start, end in kept]
    return tuple(_bridged(wide, PAUSE_MS - 2 * MARGIN_MS))


def _bridged(spans: Sequence[tuple[int, int]], pause_ms: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start - joined[-1][1] <= pause_ms:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def sound_signals(heard: Sequence[Heard]) -> tuple[Signal, ...]:
    """Silent stretches of 2 s and more. The score is 1 minus the loudest second's level as a share of full scale."""
    found: list[tuple[int, int, float]] = []
    at = 0
    for silent, group in groupby(heard, key=lambda second: second.level_db < SILENT_DB):
        seconds = list(group)
        length = sum(second.length_ms for second in seconds)
        if silent and length >= SILENT_MS:
            found.append((at, at + length, max(second.level_db for second in seconds)))
        at += length
    return tuple(
        Signal(
            detector="sound",
            number=number,
            start_ms=start,
            end_ms=end,
            label="silence",
            version=VERSION,
            score=round(1 - 10 ** (db / 20), 4),
        )
        for number, (start, end, db) in enumerate(found)
    )


def sound_coverage(heard: Sequence[Heard], probe: Probe, missing_ms: int, trouble: str = "") -> Coverage:
    """How much of the video was listened to. `trouble` is why the work ended early, one sentence."""
    of_s, seconds = (probe.duration_ms + missing_ms) / 1000, sum(second.length_ms for second in heard) / 1000
    nothing = Coverage(detector="sound", state="failed", version=VERSION, of_s=of_s)
    if probe.audio_codec is None:
        return nothing.model_copy(update={"state": "skipped", "reason": "The video has no sound."})
    if not heard:
        return nothing.model_copy(update={"reason": trouble or "Its sound could not be decoded."})
    ends = f"The sound ends after {seconds:.1f} of {of_s:.1f} s." if of_s - seconds >= 1 else ""
    return nothing.model_copy(update={"state": "analysed", "seconds": seconds, "looks": len(heard), "reason": trouble or ends})
