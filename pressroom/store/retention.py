"""What the database knows of videos whose time is over, and the log of what was deleted of them."""

import datetime as dt
import uuid
from collections.abc import Collection
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.records import Record
from pressroom.store.tables import AuditRow, DetectionRow, ModelCallRow, SignalRow, SiteRow, TaskRow, VideoRow

CLOCK = sa.func.clock_timestamp()
HELD = "held"  # what the log says of versions that a lock of the bucket keeps

# `artefacts`: frames, sound, raw signals and tracks. `source`: the upload itself, its transcript and the models' raw answers.
Stage = Literal["artefacts", "source"]
_DONE_AT = {"artefacts": VideoRow.cleaned_at, "source": VideoRow.retired_at}
_DONE = {"artefacts": "cleaned_at", "source": "retired_at"}
_UNDECIDED = sa.exists().where(TaskRow.video_id == VideoRow.id, TaskRow.state.in_(["open", "claimed"]))


class Due(Record):
    """A video of which something is due to go. `is_in_review`: a person still has to look at it, so that nothing goes."""

    id: uuid.UUID
    account_id: uuid.UUID
    key: str
    site: str
    state: str
    ended_at: dt.datetime
    object_key: str
    object_version: str
    is_in_review: bool

    @property
    def folder(self) -> str:
        return f"sites/{self.site}/videos/{self.key}/"


def due_videos(
    session: Session, stage: Stage, keep: dict[str, dt.timedelta], *, after: str = "", limit: int, held: bool = False, dry: bool = False
) -> list[Due]:
    """Videos that ended longer ago than `keep` says for their state and whose `stage` is not done, by key from `after` on.

    The source goes after the artefacts, which a `dry` run only thinks of as gone. With `held`, the videos whose stage is done except for
    what a lock kept then.
    """
    done = _DONE_AT[stage]
    over = [(VideoRow.state == state) & (VideoRow.ended_at <= CLOCK - span) for state, span in keep.items()]
    is_done = done.is_not(None) & (done >= VideoRow.ended_at)
    said = sa.exists().where(AuditRow.entity == "video", AuditRow.entity_id == VideoRow.key, AuditRow.what == f"{stage} {HELD}")
    query = (
        sa.select(
            *(VideoRow.id, VideoRow.account_id, VideoRow.key, VideoRow.state, VideoRow.ended_at),
            *(VideoRow.object_key, VideoRow.object_version, SiteRow.slug.label("site"), _UNDECIDED.label("is_in_review")),
        )
        .join(SiteRow, SiteRow.id == VideoRow.site_id)
        .where(sa.or_(*over), VideoRow.key > after, is_done & said if held else sa.not_(sa.func.coalesce(is_done, sa.false())))
    )
    if stage == "source" and not dry:
        query = query.where(VideoRow.cleaned_at >= VideoRow.ended_at)
    return [Due.model_validate(dict(row)) for row in session.execute(query.order_by(VideoRow.key).limit(limit)).mappings()]


def is_still_due(session: Session, video: Due) -> bool:
    """Whether the video is as it was found: no run has begun with it and nobody has appealed since."""
    query = sa.select(VideoRow.id).where(VideoRow.id == video.id, VideoRow.ended_at == video.ended_at, sa.not_(_UNDECIDED))
    return session.scalar(query.with_for_update(key_share=True, of=VideoRow)) is not None


def log_retention(session: Session, video: Due, who: str, what: str, facts: dict[str, Any]) -> None:
    """Adds a line on the video to the append-only log."""
    entry = {"account_id": video.account_id, "who": who, "what": what, "entity": "video", "entity_id": video.key, "after": facts}
    session.execute(insert(AuditRow).values(entry | {"at": CLOCK}))


def stage_done(session: Session, video: Due, stage: Stage) -> None:
    """Books that a stage is over; rows name no file that is gone. What people wrote, signals' rows, reports and verdicts stay."""
    if stage == "artefacts":
        gone = sa.update(DetectionRow).where(DetectionRow.video_id == video.id)
        session.execute(gone.values(raw_key=None, vtt_key=None))
    session.execute(sa.update(VideoRow).where(VideoRow.id == video.id).values({_DONE[stage]: CLOCK}))


def forget_words(session: Session, video: Due) -> dict[str, int]:
    """Empties what models answered about the video and what was said in it. Calls keep their cost and usage, signals their times.

    Answers are about bytes: those that another video of the account has too wait for the last of them. Returns how many rows of each
    kind were emptied.
    """
    same = sa.orm.aliased(VideoRow)
    shared = sa.exists().where(
        same.account_id == VideoRow.account_id,
        same.sha256 == VideoRow.sha256,
        same.id != VideoRow.id,
        sa.not_(sa.func.coalesce(same.retired_at >= same.ended_at, sa.false())),
    )
    sha256 = session.scalar(sa.select(VideoRow.sha256).where(VideoRow.id == video.id, sa.not_(shared)))
    answers = 0
    if sha256:
        about = ModelCallRow.item.like(f"video/{sha256}%")
        calls = sa.update(ModelCallRow).where(ModelCallRow.account_id == video.account_id, about, ModelCallRow.answer.is_not(None))
        answers = len(session.scalars(calls.values(answer=None).returning(ModelCallRow.request_hash)).all())
    words = sa.update(SignalRow).where(SignalRow.video_id == video.id, SignalRow.detector == "transcript", SignalRow.text.is_not(None))
    emptied = len(session.scalars(words.values(text=None).returning(SignalRow.number)).all())
    return {"answers": answers, "words": emptied}


def retired_among(session: Session, keys: Collection[str]) -> list[str]:
    """Those of these videos for which retention has nothing left to do and nobody has work, in order."""
    query = sa.select(VideoRow.key).where(VideoRow.key == sa.any_(sa.literal(list(keys))), VideoRow.retired_at >= VideoRow.ended_at)
    return sorted(session.scalars(query.where(sa.not_(_UNDECIDED)))) if keys else []
