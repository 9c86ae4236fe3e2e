"""What of a video goes when its time is over, and what stays.

After some days frames, sound, raw signals and tracks go; after some more the upload itself, what was said in it and what models answered.
Reports with their evidence, signals' rows, people's work and the log stay. Every version that is to go is written into the log before
it goes, and what became of it afterwards: a sweep that dies half-way leaves no deletion that the log does not name.
"""

import datetime as dt
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from stat import S_ISDIR
from typing import Any, Protocol

from pydantic import Field, SecretStr
from sqlalchemy.orm import Session

from pressroom.errors import BadInput, PressroomError, Transient, VideoBusy
from pressroom.objects.cdn import Cdn
from pressroom.objects.store import ObjectStore, Version
from pressroom.records import Record, stable_id
from pressroom.store.engine import Store
from pressroom.store.locks import hold_video
from pressroom.store.outbox import add_message, message_done, message_failed, take_message
from pressroom.store.retention import HELD, Due, Stage, due_videos, forget_words, is_still_due, log_retention, stage_done

AT_ONCE = 100  # videos of one query
ARTEFACTS = ("raw/", "signals/", "vtt/")
PURGE = "purge"  # the kind in the outbox
# The next sweep is a day away at most: the wait only keeps a sweep from asking for the same purge again and again.
_PURGE_AGAIN = dt.timedelta(hours=1)
_PURGE_LEASE = dt.timedelta(minutes=10)
# What half-written files are called, by us and by Python's tempfile: eight characters of its choice.
_HALF = re.compile(r"\.tmp[a-z0-9_]{8}\Z")


class RetentionSettings(Protocol):
    """The settings that retention needs."""

    @property
    def keep_artefacts_days(self) -> float: ...
    @property
    def keep_failed_days(self) -> float: ...
    @property
    def keep_sources_days(self) -> float: ...
    @property
    def keep_temporary_hours(self) -> float: ...
    @property
    def cdn_url(self) -> str | None: ...
    @property
    def cloudflare_zone(self) -> str | None: ...
    @property
    def cloudflare_api_token(self) -> SecretStr | None: ...


@dataclass(frozen=True)
class Rules:
    """How long things are kept: after a video ended, and temporary files after they were last written."""

    artefacts: dt.timedelta = dt.timedelta(days=7)
    failed: dt.timedelta = dt.timedelta(days=14)
    sources: dt.timedelta = dt.timedelta(days=90)
    temporary: dt.timedelta = dt.timedelta(hours=24)

    def keep(self, stage: Stage) -> dict[str, dt.timedelta]:
        """The time of a stage by the state that a video ended in."""
        if stage == "source":
            return dict.fromkeys(("completed", "refused", "duplicate", "failed"), self.sources)
        return dict.fromkeys(("completed", "refused", "duplicate"), self.artefacts) | {"failed": self.failed}


@dataclass(frozen=True)
class Swept:
    """One video's stage. `why_not` says why nothing went; `words` counts the rows that were emptied."""

    video: str
    stage: Stage
    gone: tuple[Version, ...] = ()
    held: tuple[Version, ...] = ()
    words: dict[str, int] = field(default_factory=dict)
    why_not: str | None = None


class Sweep(Record):
    """What a sweep deleted, or of a dry run what it would. `kept` and `failed`: why nothing of a video went, by its key."""

    dry_run: bool
    videos: int = 0
    objects: int = 0
    bytes: int = 0
    held: tuple[str, ...] = ()
    answers: int = 0
    words: int = 0
    temporary_files: int = 0
    temporary_bytes: int = 0
    purges: int = 0
    kept: dict[str, str] = Field(default_factory=dict)
    failed: dict[str, str] = Field(default_factory=dict)

    def told(self) -> str:
        """One line for people."""
        verb = "would go" if self.dry_run else "went"
        parts = [f"{self.objects} object versions ({size(self.bytes)}) of {self.videos} videos {verb}"]
        parts += [f"{self.temporary_files} temporary files ({size(self.temporary_bytes)})"] * bool(self.temporary_files)
        counts = (("held by the bucket", self.held), ("in review or at work, kept", self.kept), ("failed", self.failed))
        return ", ".join(parts + [f"{len(found)} {name}" for name, found in counts if found])


def size(amount: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def retention_rules(settings: RetentionSettings) -> Rules:
    """The times of the settings."""
    return Rules(
        artefacts=dt.timedelta(days=settings.keep_artefacts_days),
        failed=dt.timedelta(days=settings.keep_failed_days),
        sources=dt.timedelta(days=settings.keep_sources_days),
        temporary=dt.timedelta(hours=settings.keep_temporary_hours),
    )


def cdn_of(settings: RetentionSettings) -> Cdn | None:
    """The CDN that the settings name. Raises BadInput when they name a part of it only."""
    site, zone, token = settings.cdn_url, settings.cloudflare_zone, settings.cloudflare_api_token
    if site and zone and token:
        return Cdn(site, zone, token)
    if site or zone or token:
        raise BadInput("PRESSROOM_CDN_URL, PRESSROOM_CLOUDFLARE_ZONE and PRESSROOM_CLOUDFLARE_API_TOKEN: set all three, or none")
    return None


def sweep(
    store: Store,
    objects: ObjectStore,
    rules: Rules,
    *,
    home: Path,
    folder: Path | None,
    cdn: Cdn | None = None,
    who: str = "retention",
    dry_run: bool = False,
    held: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Sweep:
    """Deletes what is over its time, video by video; `held` asks again for what a lock kept at an earlier sweep.

    `folder` is the object store's where it is a folder. A video that fails does not stop the others. Raises Transient when
    the object store or the database stays away; what is done is booked, and the next sweep goes on.
    """
    swept: list[Swept] = []
    failed: dict[str, str] = {}
    for stage, video in _all_due(store, rules, held, dry_run):
        try:
            done = _look(objects, video, stage) if dry_run else _sweep_one(store, objects, video, stage, who, has_cdn=cdn is not None)
        except Transient:
            raise
        except PressroomError as error:
            failed[video.key] = str(error)
            continue
        swept.append(done)
        if done.why_not is None and not dry_run:
            tell(f"{video.key}: {stage}, {len(done.gone)} object versions deleted, {len(done.held)} held")
    halves = list(temporary_files(home, folder, older_than=rules.temporary, now=dt.datetime.now(dt.UTC)))
    if not dry_run:
        for path, _ in halves:
            _remove(path)
    purges = 0
    if cdn and not dry_run:
        try:
            purges = purge(store, cdn)
        except PressroomError as error:  # the next sweep asks again
            failed["CDN"] = str(error)
    return _summed(swept, failed, halves, purges, dry_run)


def _summed(swept: Sequence[Swept], failed: dict[str, str], halves: Sequence[tuple[Path, int]], purges: int, dry_run: bool) -> Sweep:
    done = [each for each in swept if each.why_not is None]
    return Sweep(
        dry_run=dry_run,
        videos=len({each.video for each in done}),
        objects=sum(len(each.gone) for each in done),
        bytes=sum(version.size for each in done for version in each.gone),
        held=tuple(f"{version.key} ({version.id})" for each in done for version in each.held),
        answers=sum(each.words.get("answers", 0) for each in done),
        words=sum(each.words.get("words", 0) for each in done),
        temporary_files=len(halves),
        temporary_bytes=sum(size for _, size in halves),
        purges=purges,
        kept={each.video: each.why_not for each in swept if each.why_not is not None},
        failed=failed,
    )


def _all_due(store: Store, rules: Rules, held: bool, dry: bool) -> Iterator[tuple[Stage, Due]]:
    """Batch by batch: whatever becomes of a video, none is met twice."""
    stages: tuple[Stage, ...] = ("artefacts", "source")
    for stage in stages:
        after = ""
        while batch := _batch(store, stage, rules.keep(stage), after, held, dry):
            for video in batch:
                yield stage, video
            after = batch[-1].key


def _batch(store: Store, stage: Stage, keep: dict[str, dt.timedelta], after: str, held: bool, dry: bool) -> list[Due]:
    return store.retrying(lambda session: due_videos(session, stage, keep, after=after, limit=AT_ONCE, held=held, dry=dry))


def _versions(objects: ObjectStore, video: Due, stage: Stage) -> list[Version]:
    """What is to go, the oldest version of a key first: until the last has gone, no older one comes to light."""
    if stage == "source":
        found = objects.head(video.object_key, video.object_version)
        return [found] if found else []
    return [version for name in ARTEFACTS for version in reversed(list(objects.versions(video.folder + name)))]


def _look(objects: ObjectStore, video: Due, stage: Stage) -> Swept:
    if video.is_in_review:
        return Swept(video.key, stage, why_not="in review")
    return Swept(video.key, stage, gone=tuple(_versions(objects, video, stage)))


def _sweep_one(store: Store, objects: ObjectStore, video: Due, stage: Stage, who: str, *, has_cdn: bool) -> Swept:
    """One video's stage: planned in the log, deleted, booked; done again it finds what is left."""
    if video.is_in_review:
        return Swept(video.key, stage, why_not="in review")
    try:
        with hold_video(store, video.id, video.key, wait_s=0, on_wait=lambda line: None):
            return _delete(store, objects, video, stage, who, has_cdn)
    except VideoBusy:
        return Swept(video.key, stage, why_not="a run works on it")


def _delete(store: Store, objects: ObjectStore, video: Due, stage: Stage, who: str, has_cdn: bool) -> Swept:
    planned = _versions(objects, video, stage)

    def plan(session: Session) -> bool:
        if not is_still_due(session, video):
            return False
        if planned:
            log_retention(session, video, who, f"{stage} to be deleted", _facts(planned))
            if has_cdn:
                keys = sorted({version.key for version in planned})
                add_message(session, _purge_id(video, planned), video.account_id, PURGE, {"video": video.key, "keys": keys})
        return True

    if not store.retrying(plan):
        return Swept(video.key, stage, why_not="a run works on it")
    said = [(version, objects.delete(version.key, version.id)) for version in planned]
    gone = tuple(version for version, how in said if how == "deleted")
    held = tuple(version for version, how in said if how == "held")

    def book(session: Session) -> dict[str, int]:
        words = forget_words(session, video) if stage == "source" else {}
        if gone or any(words.values()):
            log_retention(session, video, who, f"{stage} deleted", _facts(gone) | ({"emptied": words} if words else {}))
        if held:
            log_retention(session, video, who, f"{stage} {HELD}", _facts(held))
        stage_done(session, video, stage)
        return words

    return Swept(video.key, stage, gone, held, store.retrying(book))


def _facts(versions: Iterable[Version]) -> dict[str, Any]:
    named = list(versions)
    listed = [{"key": version.key, "version": version.id, "bytes": version.size} for version in named]
    return {"objects": len(named), "bytes": sum(version.size for version in named), "versions": listed}


def _purge_id(video: Due, planned: Sequence[Version]) -> uuid.UUID:
    return stable_id("outbox", PURGE, video.id, *(f"{version.key}@{version.id}" for version in planned))


def purge(store: Store, cdn: Cdn) -> int:
    """Makes the CDN forget what was deleted, as far as that waits; returns the number of purges. Raises what the CDN does.

    A purge that failed stays in the outbox and is due again in an hour.
    """
    done = 0
    while waiting := store.retrying(lambda session: take_message(session, PURGE, lease=_PURGE_LEASE)):
        try:
            cdn.purge(waiting.payload["keys"])
        except PressroomError as error:
            store.retrying(partial(message_failed, message_id=waiting.id, error=str(error), again_in=_PURGE_AGAIN))
            raise
        store.retrying(partial(message_done, message_id=waiting.id))
        done += 1
    return done


def temporary_files(home: Path, folder: Path | None, *, older_than: dt.timedelta, now: dt.datetime) -> Iterator[tuple[Path, int]]:
    """What runs that died left under home/work, and half-written files beside mails and objects: path and bytes of each.

    A folder counts as written when the newest file in it was.
    """
    latest = (now - older_than).timestamp()
    with suppress(OSError):
        for path in sorted((home.absolute() / "work").iterdir()):
            newest, amount = _age_and_size(path)
            if newest < latest:
                yield path, amount
    for place in (home.absolute() / "outbox", folder):
        for name, _, files in os.walk(place) if place else ():
            for path in (Path(name, file) for file in files if _HALF.match(file)):
                newest, amount = _age_and_size(path)
                if newest < latest:
                    yield path, amount


def _age_and_size(path: Path) -> tuple[float, int]:
    """Time of the newest change under `path`, and the bytes of its files; what goes meanwhile counts as new."""
    try:
        own = path.lstat()
        inside = [Path(name, each).lstat() for name, folders, files in os.walk(path) for each in (*folders, *files)]
    except OSError:
        return float("inf"), 0
    facts = [own, *inside]
    return max(each.st_mtime for each in facts), sum(each.st_size for each in facts if not S_ISDIR(each.st_mode))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def partitions_to_retire(partitions: Iterable[str], retired: Collection[str], in_flight: Collection[str]) -> list[str]:
    """The partitions that may go: of videos with which retention is done, and that no run is queued for or at work on."""
    return [key for key in partitions if key in retired and key not in in_flight]
