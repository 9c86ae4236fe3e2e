"""From an object in the bucket to frames and sound: fetched, hashed, checked and taken apart, and kept for the detectors."""

import json
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from pressroom.compliance.desk import VideoDesk
from pressroom.compliance.intake import WORDS_ENDING
from pressroom.compliance.sampling import Sampling
from pressroom.compliance.taking import Decoder, Taken
from pressroom.errors import Permanent, Refused
from pressroom.inference.types import Media, Progress
from pressroom.records import Coverage, Frame, Near, Signal, Video
from pressroom.settings import Settings
from pressroom.store.videos import (
    begin_video,
    book_bytes,
    book_near,
    coverages_of,
    media_of,
    save_detection,
    save_media,
    save_words,
    video_by_key,
)

GIB = 1024**3
MOST_WORDS = 20_000  # characters; platforms take 5,000
# One archive for all frames: two hours have 3,600 of them in three sizes, which one by one would be 10,800 uploads.
FRAMES, AUDIO = "raw/frames.zip", "raw/audio.wav"
STAGES = ("fetch", "start", "index", "sound", "pictures", "keep")  # in the order in which they run; JSONB forgets it
_MEDIA = "media"


@dataclass(frozen=True)
class Source:
    """What became of an upload: the video as it stands now, and what was taken from it, None for one that is not screened."""

    video: Video
    taken: Taken | None = None
    near: tuple[Near, ...] = ()


def rules_of(settings: Settings) -> Sampling:
    """How videos are taken apart, with the limits of the settings."""
    return Sampling(most_bytes=round(settings.video_max_gib * GIB), most_s=settings.video_max_hours * 3600)


def take_in(desk: VideoDesk, rules: Sampling, progress: Progress | None = None) -> Source:
    """Fetches the video, once over its bytes, and takes it apart, unless it is refused or the account has it already.

    Frames and sound are kept in the object store, where a later run finds them. Raises Transient where the store or the machine is in
    the way, Permanent where its disk is.
    """
    desk.write(lambda session: begin_video(session, desk.video, desk.run_id))
    try:
        with _disk(desk):
            return _take_in(desk, rules, progress)
    except Refused as refusal:
        return Source(desk.end("refused", str(refusal)))


def _take_in(desk: VideoDesk, rules: Sampling, progress: Progress | None) -> Source:
    video, upload = desk.video, desk.video.upload
    title, description = words_of(desk)
    desk.write(lambda session: save_words(session, video, title, description))
    if upload.size > rules.most_bytes:  # before its bytes cost anything
        raise Refused(f"it has {upload.size / GIB:.2f} GiB, over the limit of {rules.most_bytes / GIB:g} GiB")
    path, begin = desk.folder / "source", time.perf_counter()
    with Decoder(rules) as decoder:  # starts while the bytes come
        fetched = desk.objects.fetch(upload.object_key, upload.version, path)
        seconds = {"fetch": time.perf_counter() - begin}
        if desk.store.retrying(lambda session: book_bytes(session, video, fetched.sha256)):
            return Source(desk.end("duplicate"))
        taken = decoder.take_apart(path, desk.folder / _MEDIA, progress)
    path.unlink()
    begin = time.perf_counter()
    _keep(desk, taken)
    seconds |= taken.seconds | {"keep": time.perf_counter() - begin}
    near = desk.store.retrying(lambda session: _book(session, desk, taken, seconds))
    return Source(desk.store.retrying(lambda session: video_by_key(session, video.key)[0]), taken, near)


@contextmanager
def _disk(desk: VideoDesk) -> Iterator[None]:
    """What this machine's disk refuses, in one line."""
    try:
        yield
    except OSError as error:
        raise Permanent(f"{error.filename or desk.folder}: {error.strerror}; make room, or change PRESSROOM_HOME") from error


def words_of(desk: VideoDesk) -> tuple[str | None, str | None]:
    """Title and description that were put beside the video, as `{"title": ..., "description": ...}` in a file of its name and `.json`.

    A file that says neither in that form says nothing: it is no reason to leave the video unseen.
    """
    key = desk.video.upload.object_key + WORDS_ENDING
    if not desk.objects.exists(key):
        return None, None
    try:
        said = json.loads(desk.objects.read(key))
    except (ValueError, RecursionError):
        return None, None
    found = [said.get(name) if isinstance(said, dict) else None for name in ("title", "description")]
    title, description = (text[:MOST_WORDS].replace("\0", "") if isinstance(text, str) else None for text in found)
    return title or None, description or None


def _keep(desk: VideoDesk, taken: Taken) -> None:
    media = desk.folder / _MEDIA
    archive = desk.folder / "frames.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as frames:  # JPEGs do not get smaller
        for size in ("large", "small", "thumb"):
            for frame in taken.frames:
                frames.write(media / size / frame.key, f"{size}/{frame.key}")
    desk.objects.put(archive, desk.video.folder + FRAMES)
    archive.unlink()
    if taken.audio:
        desk.objects.put(taken.audio, desk.video.folder + AUDIO)


def _book(session: Session, desk: VideoDesk, taken: Taken, seconds: dict[str, float]) -> tuple[Near, ...]:
    document = {
        "frames": [frame.model_dump(mode="json") for frame in taken.frames],
        "speech": taken.speech,
        "loudness": taken.loudness,
        "largest_gap_ms": taken.largest_gap_ms,
        "audio": taken.audio.name if taken.audio else None,
        "audio_error": audio_error(taken),
        "complete": taken.complete,
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
    }
    save_media(session, desk.video, taken.probe, document, taken.frames)
    for coverage in (taken.picture, taken.sound):
        save_own(session, desk, coverage, [signal for signal in taken.signals if signal.detector == coverage.detector])
    return book_near(session, desk.video)


def save_own(session: Session, desk: VideoDesk, coverage: Coverage, signals: Sequence[Signal]) -> None:
    """Books a detector that asked no model and has no raw output."""
    kept: dict[str, Any] = {"raw_key": None, "vtt_key": None, "calls": 0, "replayed": 0, "cost_usd": 0, "seconds": 0}
    save_detection(session, desk.video, coverage, signals, **kept, run_id=desk.run_id)


def open_media(desk: VideoDesk) -> Media:
    """The video's frames and sound on this machine: this run's own, else fetched from the object store.

    Raises Permanent when nothing was taken from it, or retention has deleted that.
    """
    document, coverages = desk.store.retrying(lambda session: (media_of(session, desk.video), coverages_of(session, desk.video)))
    if document is None or desk.video.probe is None:
        raise Permanent(f"video {desk.video.key}: nothing was taken from it yet: materialise compliance/source_video first")
    media = desk.folder / _MEDIA
    audio = media / document["audio"] if document["audio"] else None
    if not media.is_dir():
        with _disk(desk):
            _fetch(desk, media, audio)
    decoded = {each.detector: each for each in coverages}
    return Media(
        item=f"video/{desk.video.sha256}",
        duration_ms=desk.video.probe.duration_ms,
        frames=tuple(Frame.model_validate(frame) for frame in document["frames"]),
        folder=media,
        audio=audio,
        speech=tuple((start, end) for start, end in document["speech"]),
        language=desk.site.language.split("-")[0],
        audio_error=document["audio_error"],
        picture=decoded.get("picture"),
        sound=decoded.get("sound"),
    )


def audio_error(taken: Taken) -> str:
    """Why there is no sound where the file has a track of it; "" where there is, or where there is none to be had."""
    if taken.audio or taken.probe.audio_codec is None:
        return ""
    return taken.sound.reason or "The sound could not be decoded."


def _fetch(desk: VideoDesk, media: Path, audio: Path | None) -> None:
    archive, half = desk.folder / "frames.zip", desk.folder / "media.half"
    desk.objects.fetch(desk.video.folder + FRAMES, None, archive)
    try:
        with zipfile.ZipFile(archive) as frames:
            frames.extractall(half)
    except zipfile.BadZipFile:
        raise Permanent(f"{desk.video.folder}{FRAMES} is damaged: materialise compliance/source_video again") from None
    archive.unlink()
    if audio:
        desk.objects.fetch(desk.video.folder + AUDIO, None, half / audio.name)
    half.rename(media)
