"""What a detector said, kept: rows, the raw output as it came, and a track that players show."""

import json
from html import escape

from pressroom.compliance.desk import VideoDesk
from pressroom.compliance.detecting import Looked
from pressroom.records import Signal
from pressroom.store.videos import save_detection

SHORTEST_MS = 1000  # a cue of one frame is gone before anybody has read it


def keep_detection(desk: VideoDesk, looked: Looked) -> None:
    """Raw output and track into the object store, then rows, all in one transaction: a row never names what is not there."""
    detection = looked.detection
    raw_key = vtt_key = None
    if detection.raw is not None:
        raw_key = f"{desk.video.folder}signals/{looked.detector}.json"
        desk.objects.write(raw_key, json.dumps(detection.raw, ensure_ascii=False).encode("utf-8", "replace"))
    if detection.signals:
        vtt_key = f"{desk.video.folder}vtt/{looked.detector}.vtt"
        desk.objects.write(vtt_key, track(detection.signals).encode("utf-8", "replace"))
    desk.write(
        lambda session: save_detection(
            session,
            desk.video,
            detection.coverage,
            detection.signals,
            raw_key=raw_key,
            vtt_key=vtt_key,
            calls=detection.calls,
            replayed=detection.replayed,
            cost_usd=detection.cost_usd,
            seconds=round(looked.seconds, 3),
            run_id=desk.run_id,
        )
    )


def track(signals: tuple[Signal, ...]) -> str:
    """WebVTT with one cue for each signal, by time: its words, else its label and score."""
    ordered = sorted(signals, key=lambda signal: (signal.start_ms, signal.number))
    return "\n\n".join(["WEBVTT", *(_cue(signal) for signal in ordered)]) + "\n"


def _cue(signal: Signal) -> str:
    until = max(signal.end_ms, signal.start_ms + SHORTEST_MS)
    return f"{signal.number}\n{clock(signal.start_ms)} --> {clock(until)}\n{cue_text(_words(signal))}"


def _words(signal: Signal) -> str:
    score = "" if signal.score is None else f" {signal.score:.0%}"
    return signal.text or f"{signal.label}{score}"


def clock(ms: int) -> str:
    """A time as WebVTT writes it."""
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{ms:03}"


def cue_text(text: str) -> str:
    """Text as a cue takes it (W3C WebVTT, "Syntax"): escaped, on one line, without the arrow."""
    return escape(" ".join(text.split()) or "-", quote=False)
