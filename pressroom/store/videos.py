"""Videos, what detectors said of them, and how policies judged that."""

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.errors import BadInput
from pressroom.records import Coverage, Frame, Near, Probe, Signal, Site, Trigger, Upload, Verdict, Video, VideoState, stable_id
from pressroom.store.tables import DetectionRow, ModelCallRow, ScreeningRow, SignalRow, SiteRow, TriggerRow, VideoHashRow, VideoRow

ROWS_AT_ONCE = 2_000  # signals have 14 columns, and a statement takes 65,535 parameters
# Frames of a re-encoded video differ in up to this many of a hash's 64 bits; unrelated frames differ in about 32.
NEAR_BITS = 3
# A video with a common intro is not the same video; one that was trimmed by half still has half of its frames in the first.
NEAR_SHARE = 0.3
NEAREST = 5
# Whatever these states say, no run works on the video any more.
ENDED: tuple[VideoState, ...] = ("completed", "refused", "duplicate", "failed")

_SIGNAL = ("number", "start_ms", "end_ms", "label", "version", "score", "box", "text", "frame", "call")


def video_id(key: str) -> uuid.UUID:
    return stable_id("video", key)


def add_uploads(session: Session, site: Site, uploads: Sequence[Upload]) -> list[str]:
    """Books uploads of a site that were not known yet, and returns their keys."""
    if not uploads:
        return []
    rows = [
        {
            "id": video_id(upload.key),
            "key": upload.key,
            "account_id": site.account_id,
            "site_id": site.id,
            "object_key": upload.object_key,
            "object_version": upload.version,
            "size": upload.size,
            "uploaded_at": upload.uploaded_at,
        }
        for upload in uploads
    ]
    return sorted(session.scalars(insert(VideoRow).on_conflict_do_nothing().returning(VideoRow.key), rows))


def known_uploads(session: Session, object_keys: Collection[str]) -> set[tuple[str, str]]:
    """The (object key, version) pairs among these objects that are booked."""
    query = sa.select(VideoRow.object_key, VideoRow.object_version).where(VideoRow.object_key == sa.any_(sa.literal(list(object_keys))))
    return {(key, version) for key, version in session.execute(query)}


def waiting_videos(session: Session, *, limit: int) -> list[str]:
    """Keys of the videos that no run has begun with, and marks them as requested: those that never were come first, then the oldest.

    So a long queue does not hide what has just arrived, and what a tick that was killed did not request, a later one does.
    """
    waits = sa.select(VideoRow.key).where(VideoRow.state == "uploaded")
    keys = list(session.scalars(waits.order_by(VideoRow.requested_at.nulls_first(), VideoRow.seen_at, VideoRow.key).limit(limit)))
    session.execute(sa.update(VideoRow).where(VideoRow.key.in_(keys)).values(requested_at=sa.func.now()))
    return keys


def unended_videos(session: Session) -> list[str]:
    """Keys of the videos that a run should be at work on, or has been asked for."""
    is_asked_for = (VideoRow.state == "uploaded") & VideoRow.requested_at.is_not(None)
    return list(session.scalars(sa.select(VideoRow.key).where((VideoRow.state == "processing") | is_asked_for)))


def fail_unended(session: Session, key: str, reason: str) -> bool:
    """Books that a video's run ended without a word of ours. False when something else became of it meanwhile."""
    ended = {"state": "failed", "reason": reason, "ended_at": sa.func.now()}
    unended = sa.update(VideoRow).where(VideoRow.key == key, VideoRow.state.in_(["uploaded", "processing"]))
    return session.execute(unended.values(ended).returning(VideoRow.id)).scalar() is not None


def video_by_key(session: Session, key: str) -> tuple[Video, Site]:
    """The video and its site. Raises BadInput when there is none."""
    found = session.execute(
        sa.select(VideoRow, SiteRow.definition).join(SiteRow, SiteRow.id == VideoRow.site_id).where(VideoRow.key == key)
    ).one_or_none()
    if found is None:
        raise BadInput(f"there is no video '{key}': the sensor new_uploads books what arrives under uploads/")
    row, definition = found
    site = Site.model_validate(definition)
    return _video(row, site.slug, _key_of(session, row.duplicate_of)), site


def _key_of(session: Session, row_id: uuid.UUID | None) -> str | None:
    return session.scalar(sa.select(VideoRow.key).where(VideoRow.id == row_id)) if row_id else None


def _video(row: VideoRow, site: str, duplicate_of: str | None) -> Video:
    upload = Upload(
        site=site, object_key=row.object_key, version=row.object_version, size=row.size, uploaded_at=row.uploaded_at.astimezone(dt.UTC)
    )
    return Video(
        id=row.id,
        account_id=row.account_id,
        site_id=row.site_id,
        upload=upload,
        state=row.state,
        reason=row.reason,
        title=row.title,
        description=row.description,
        sha256=row.sha256,
        probe=row.probe and Probe.model_validate(row.probe),
        duplicate_of=duplicate_of,
        near=tuple(Near.model_validate(near) for near in row.near),
    )


def begin_video(session: Session, video: Video, run_id: str) -> None:
    """Books that a run works on the video. What an earlier run came to, a verdict aside, no longer stands."""
    _update(session, video, state="processing", reason=None, run_id=run_id, ended_at=None)


def end_video(session: Session, video: Video, state: VideoState, reason: str | None = None) -> None:
    """Books what became of the video."""
    ended_at = sa.func.now() if state in ENDED else None
    _update(session, video, state=state, reason=reason, ended_at=ended_at)


def _update(session: Session, video: Video, **values: Any) -> None:
    session.execute(sa.update(VideoRow).where(VideoRow.id == video.id).values(values))


def book_bytes(session: Session, video: Video, sha256: str) -> str | None:
    """Books the hash of the video's bytes. The key of the account's video that already stands for the same ones, if that is another.

    Two runs with the same bytes at once: who books second sees the first, whichever was uploaded first, because they take turns on the
    account's hash. One that was refused or has failed stands for nothing.
    """
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"{video.account_id}/{sha256}", 0))))
    first = session.execute(
        sa.select(VideoRow.id, VideoRow.key)
        .where(VideoRow.account_id == video.account_id, VideoRow.sha256 == sha256, VideoRow.id != video.id)
        .where(VideoRow.duplicate_of.is_(None), VideoRow.state.not_in(["refused", "failed"]))
        .order_by(VideoRow.uploaded_at, VideoRow.key)
        .limit(1)
    ).one_or_none()
    _update(session, video, sha256=sha256, duplicate_of=first.id if first else None)
    return first.key if first else None


def save_words(session: Session, video: Video, title: str | None, description: str | None) -> None:
    """Books the title and description that came with the video."""
    _update(session, video, title=title, description=description)


def save_media(session: Session, video: Video, probe: Probe, media: dict[str, Any], frames: Sequence[Frame]) -> None:
    """Books what the file is and what was taken from it; `media` is the document that a later step goes on with."""
    _update(session, video, probe=probe.model_dump(mode="json"), media=media)
    session.execute(sa.delete(VideoHashRow).where(VideoHashRow.video_id == video.id))
    seen = {frame.at_ms: frame for frame in frames if not frame.black and frame.same_as is None}
    rows = [
        {"video_id": video.id, "account_id": video.account_id, "at_ms": at_ms, "hash": _signed(frame.hash), "bands": bands(frame.hash)}
        for at_ms, frame in seen.items()
    ]
    for some in _chunks(rows):
        session.execute(insert(VideoHashRow), some)


def media_of(session: Session, video: Video) -> dict[str, Any] | None:
    """What `save_media` was given last."""
    return session.scalar(sa.select(VideoRow.media).where(VideoRow.id == video.id))


def book_near(session: Session, video: Video) -> tuple[Near, ...]:
    """Finds and books the account's earlier videos that share frames with this one, the most alike first."""
    own, other = sa.orm.aliased(VideoHashRow), sa.orm.aliased(VideoHashRow)
    differing = sa.func.bit_count(sa.cast(own.hash.op("#")(other.hash), sa.dialects.postgresql.BIT(64)))
    shared = (
        sa.select(other.video_id, sa.func.count(sa.distinct(own.at_ms)).label("frames"))
        .join(own, own.bands.overlap(other.bands) & (differing <= NEAR_BITS))
        .where(own.video_id == video.id, other.video_id != video.id, other.account_id == video.account_id)
        .group_by(other.video_id)
        .subquery()
    )
    total = session.scalar(sa.select(sa.func.count()).where(VideoHashRow.video_id == video.id)) or 0
    query = sa.select(VideoRow.key, shared.c.frames).join(shared, shared.c.video_id == VideoRow.id)
    earlier = query.where(VideoRow.uploaded_at <= video.upload.uploaded_at).order_by(shared.c.frames.desc(), VideoRow.key)
    found = [Near(key=key, share=round(frames / total, 3)) for key, frames in session.execute(earlier.limit(NEAREST))] if total else []
    near = tuple(each for each in found if each.share >= NEAR_SHARE)
    _update(session, video, near=[each.model_dump(mode="json") for each in near])
    return near


def bands(hash64: str) -> list[int]:
    """The four 16-bit quarters of a hash (16 hex digits), each with its place in the upper bits: hashes within 3 bits share one."""
    return [place << 16 | int(hash64[4 * place : 4 * place + 4], 16) for place in range(4)]


def _signed(hash64: str) -> int:
    return int.from_bytes(bytes.fromhex(hash64), "big", signed=True)


def save_detection(
    session: Session,
    video: Video,
    coverage: Coverage,
    signals: Sequence[Signal],
    *,
    raw_key: str | None,
    vtt_key: str | None,
    calls: int,
    replayed: int,
    cost_usd: Decimal,
    seconds: float,
    run_id: str,
) -> None:
    """Replaces what a detector said of the video, in the caller's transaction: never half of it."""
    row = {
        "version": coverage.version,
        "coverage": coverage.model_dump(mode="json"),
        "raw_key": raw_key,
        "vtt_key": vtt_key,
        "calls": calls,
        "replayed": replayed,
        "cost_usd": cost_usd,
        "seconds": seconds,
        "run_id": run_id,
        "finished_at": sa.func.now(),
    }
    owner = {"account_id": video.account_id, "site_id": video.site_id}
    key = {"video_id": video.id, "detector": coverage.detector}
    made = insert(DetectionRow).values(key | owner | row)
    session.execute(made.on_conflict_do_update(index_elements=["video_id", "detector"], set_=row))
    session.execute(sa.delete(SignalRow).where(SignalRow.video_id == video.id, SignalRow.detector == coverage.detector))
    rows = [key | owner | signal.model_dump(mode="json", include=set(_SIGNAL)) for signal in signals]
    for some in _chunks(rows):
        session.execute(insert(SignalRow), some)


def answered_calls(session: Session, site_id: uuid.UUID | None, *, item: str, model: str) -> int:
    """How many answers of a model are booked for a site, or the house, about items that begin so: asking for them again costs nothing."""
    call = ModelCallRow
    query = sa.select(sa.func.count()).where(call.site_id.is_not_distinct_from(site_id), call.model == model, call.status == "answered")
    return session.scalar(query.where(call.item.startswith(item, autoescape=True))) or 0


def coverages_of(session: Session, video: Video) -> list[Coverage]:
    """What each detector last looked at, by detector."""
    query = sa.select(DetectionRow.coverage).where(DetectionRow.video_id == video.id).order_by(DetectionRow.detector)
    return [Coverage.model_validate(found) for found in session.scalars(query)]


def detections_of(session: Session, video: Video) -> list[DetectionRow]:
    """The detectors' rows, by detector: calls, cost and where the raw output is."""
    return list(session.scalars(sa.select(DetectionRow).where(DetectionRow.video_id == video.id).order_by(DetectionRow.detector)))


def signals_of(session: Session, video: Video, *detectors: str) -> list[Signal]:
    """The stored signals of a video, of all detectors or of some."""
    row = SignalRow
    query = sa.select(row.detector, *(getattr(row, name) for name in _SIGNAL)).where(row.video_id == video.id)
    if detectors:
        query = query.where(row.detector.in_(detectors))
    found = session.execute(query.order_by(row.detector, row.number))
    return [Signal.model_validate(dict(each._mapping)) for each in found]


def screened_videos(session: Session, *, site: str | None = None, limit: int | None = None) -> list[Video]:
    """Videos that a policy has judged, the newest first."""
    query = sa.select(VideoRow, SiteRow.slug).join(SiteRow, SiteRow.id == VideoRow.site_id)
    query = query.where(sa.exists().where(ScreeningRow.video_id == VideoRow.id)).order_by(VideoRow.uploaded_at.desc(), VideoRow.key)
    if site:
        query = query.where(SiteRow.slug == site)
    return [_video(row, slug, None) for row, slug in session.execute(query.limit(limit))]


def save_screening(session: Session, video: Video, verdict: Verdict, triggers: Sequence[Trigger], *, version: str, run_id: str) -> None:
    """Books how a policy judged the video, in place of what the same version of it said before."""
    row = {
        "outcome": verdict.outcome,
        "verdict": verdict.model_dump(mode="json"),
        "data_version": version,
        "run_id": run_id,
        "created_at": sa.func.now(),
    }
    owner = {"account_id": video.account_id, "site_id": video.site_id}
    key = {"video_id": video.id, "policy": verdict.policy}
    made = insert(ScreeningRow).values(key | owner | row)
    session.execute(made.on_conflict_do_update(index_elements=["video_id", "policy"], set_=row))
    session.execute(sa.delete(TriggerRow).where(TriggerRow.video_id == video.id, TriggerRow.policy == verdict.policy))
    told = ("number", "code", "severity", "start_ms", "end_ms")
    rows = [
        key | owner | {name: getattr(trigger, name) for name in told} | {"trigger": trigger.model_dump(mode="json")} for trigger in triggers
    ]
    for some in _chunks(rows):
        session.execute(insert(TriggerRow), some)


def screening_of(session: Session, video: Video) -> tuple[Verdict, list[Trigger]] | None:
    """The newest judgement of the video and its triggers in order; None where there is none."""
    newest = sa.select(ScreeningRow.policy, ScreeningRow.verdict).where(ScreeningRow.video_id == video.id, ScreeningRow.verdict != {})
    found = session.execute(newest.order_by(ScreeningRow.created_at.desc()).limit(1)).one_or_none()
    if found is None:
        return None
    rows = sa.select(TriggerRow.trigger).where(TriggerRow.video_id == video.id, TriggerRow.policy == found.policy)
    triggers = [Trigger.model_validate(row) for row in session.scalars(rows.order_by(TriggerRow.number))]
    return Verdict.model_validate(found.verdict), triggers


def save_report(
    session: Session,
    video: Video,
    policy: str,
    outcome: str,
    document: dict[str, Any],
    *,
    html_key: str,
    json_key: str,
    vtt_key: str,
    run_id: str,
) -> None:
    """Books the rendered report of a judgement; of a video that is not screened, of no policy, there is no judgement beside it."""
    row: dict[str, Any] = {"report": document, "html_key": html_key, "json_key": json_key, "vtt_key": vtt_key}
    key = {"video_id": video.id, "policy": policy, "account_id": video.account_id, "site_id": video.site_id}
    unjudged = {"outcome": outcome, "verdict": {}, "data_version": document["version"], "run_id": run_id}
    made = insert(ScreeningRow).values(key | unjudged | row)
    newer = row if document["policy"] else row | unjudged | {"created_at": sa.func.now()}
    session.execute(made.on_conflict_do_update(index_elements=["video_id", "policy"], set_=newer))


def reports_of(session: Session, video: Video) -> tuple[str | None, str | None]:
    """Outcome and HTML key of the newest report of the video, as far as it has one."""
    query = sa.select(ScreeningRow.outcome, ScreeningRow.html_key).where(ScreeningRow.video_id == video.id)
    found = session.execute(query.order_by(ScreeningRow.created_at.desc()).limit(1)).one_or_none()
    return (found.outcome, found.html_key) if found else (None, None)


def _chunks(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    return (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))


def states(session: Session, keys: Iterable[str]) -> dict[str, str]:
    """The state of each of these videos that there is."""
    query = sa.select(VideoRow.key, VideoRow.state).where(VideoRow.key.in_(list(keys)))
    return {key: state for key, state in session.execute(query)}  # noqa: C416 - a row is not known to be a pair
