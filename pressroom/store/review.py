"""Verification as the database knows it: tasks with their leases, labels, verdicts, the outbox and the append-only log.

Every lease is set and read by the database's own clock, at the moment of the statement: a transaction that waited for a row does not
see the time at which it began.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Iterator
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.errors import BadInput
from pressroom.records import Record, Trigger
from pressroom.store.tables import AuditRow, LabelRow, OutboxRow, ScreeningRow, SiteRow, TaskRow, TriggerRow, VerdictRow, VideoRow

TaskState = Literal["open", "claimed", "decided", "superseded"]
LabelKind = Literal["confirm", "reject", "wrong_time", "wrong_code", "missed"]
Decision = Literal["approved", "rejected", "changes_needed"]

FIRST, SECOND = 1, 2  # rounds: the first review, the blind second one; later ones are appeals
CLOCK = sa.func.clock_timestamp()
_IS_FREE = sa.or_(TaskRow.state == "open", sa.and_(TaskRow.state == "claimed", TaskRow.lease_until <= CLOCK))
_MOST_URGENT = (TaskRow.priority.desc(), TaskRow.severity.desc(), TaskRow.opened_at, TaskRow.id)


class Task(Record):
    """A verification task as it stood when it was read. `lease_left_s` below 0: it is expired, and anybody may take it over."""

    id: uuid.UUID
    account_id: uuid.UUID
    site_id: uuid.UUID
    site: str
    video_id: uuid.UUID
    video: str
    file: str
    policy: str
    round: int
    severity: int
    priority: bool
    role: str | None
    state: TaskState
    version: int
    holder: str | None
    lease_until: dt.datetime | None
    lease_left_s: float | None
    age_s: float
    opened_at: dt.datetime
    claimed_at: dt.datetime | None
    decided_at: dt.datetime | None

    @property
    def is_held(self) -> bool:
        """Somebody holds it, and the lease has not run out."""
        return self.state == "claimed" and (self.lease_left_s or 0) > 0


class Label(Record):
    """What one person says of one trigger; `trigger` is None for one that the detectors missed. Times in ms of the video."""

    id: uuid.UUID
    trigger: int | None
    kind: LabelKind
    code: str
    start_ms: int
    end_ms: int
    reason: str | None
    author: str
    created_at: dt.datetime


class Ruling(Record):
    """A person's verdict on a task."""

    id: uuid.UUID
    task_id: uuid.UUID
    video_id: uuid.UUID
    verdict: Decision
    reason: str
    author: str
    created_at: dt.datetime


class Case(Record):
    """All that a person sees of a task: what the policy says of the video, its triggers, the labels that stand, where the report is."""

    task: Task
    title: str | None
    duration_ms: int | None
    outcome: str
    why: str
    not_analysed: tuple[str, ...]
    html_key: str | None
    json_key: str | None
    triggers: tuple[Trigger, ...]
    labels: tuple[Label, ...]
    ruling: Ruling | None


class PendingVerdict(Record):
    """A verdict that waits for its `final_decision`. `appeal_of` is the verdict that an appeal looked at again."""

    outbox_id: uuid.UUID
    verdict_id: uuid.UUID
    appeal_of: uuid.UUID | None
    task_id: uuid.UUID
    video_id: uuid.UUID
    video: str
    policy: str
    verdict: Decision
    reason: str
    author: str
    decided_at: dt.datetime


class Entry(Record):
    """One line of the log."""

    id: int
    at: dt.datetime
    who: str
    what: str
    entity: str
    entity_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def find_task(session: Session, account_id: uuid.UUID, wanted: str) -> uuid.UUID:
    """The task that an id, or at least its first eight characters, names. Raises BadInput for none or several."""
    text = wanted.strip().lower()
    if len(text) < 8 or not set(text) <= set("0123456789abcdef-"):
        raise BadInput(f"'{wanted}' is no id: give the id of a task, or at least its first 8 characters")
    like = sa.cast(TaskRow.id, sa.Text).like(text + "%")
    found = session.scalars(sa.select(TaskRow.id).where(TaskRow.account_id == account_id, like).limit(2)).all()
    if len(found) > 1:
        raise BadInput(f"'{wanted}' is the start of several ids: give more of it")
    if not found:
        raise BadInput(f"'{wanted}' is no task of this account: 'pressroom tasks list' shows them")
    return found[0]


def lock_task(session: Session, task_id: uuid.UUID) -> TaskRow:
    """The task's row as it is now, held until the transaction ends. Raises BadInput when there is none."""
    query = sa.select(TaskRow).where(TaskRow.id == task_id).with_for_update().execution_options(populate_existing=True)
    row = session.execute(query).scalar_one_or_none()
    if row is None:
        raise BadInput(f"'{task_id}' is no task of this database")
    return row


def lock_video(session: Session, video_id: uuid.UUID) -> None:
    """Lets one screening of a video at a time open its task."""
    session.execute(sa.select(VideoRow.id).where(VideoRow.id == video_id).with_for_update(key_share=True))


def clock(session: Session) -> dt.datetime:
    """The database's time at this moment."""
    now: dt.datetime = session.execute(sa.select(CLOCK)).scalar_one()
    return now


def lock_tasks_of(session: Session, video_id: uuid.UUID) -> list[TaskRow]:
    """The rows of all tasks of a video, held: always in the order of their ids, so that two who want them do not wait for each other."""
    query = sa.select(TaskRow).where(TaskRow.video_id == video_id).order_by(TaskRow.id)
    return list(session.scalars(query.with_for_update().execution_options(populate_existing=True)))


def lock_next_task(session: Session, account_id: uuid.UUID, who: str, roles: Collection[str]) -> TaskRow | None:
    """The task that `who` should do now, held: one of theirs that they hold already, else the most urgent free one, oldest first.

    Free is an open one, or one whose lease ran out. Rows that another transaction holds are passed over, so that two people who ask at
    once get two tasks. Left out: those for roles that `who` has not, those that they skipped, second looks at their own work.
    """
    theirs = sa.and_(TaskRow.state == "claimed", TaskRow.holder == who)
    query = sa.select(TaskRow).where(
        TaskRow.account_id == account_id,
        sa.or_(_IS_FREE, theirs),
        sa.or_(TaskRow.role.is_(None), TaskRow.role.in_(roles)),
        sa.or_(theirs, sa.not_(TaskRow.skipped_by.contains([who]))),
        sa.or_(TaskRow.round == FIRST, sa.not_(_worked_before(who))),
    )
    query = query.order_by(sa.case((theirs, 0), else_=1), *_MOST_URGENT).limit(1)
    held = query.with_for_update(skip_locked=True, of=TaskRow).execution_options(populate_existing=True)
    return session.execute(held).scalar_one_or_none()


def _worked_before(who: str) -> sa.ColumnElement[bool]:
    """`who` labelled or decided an earlier round of the same video under the same policy."""
    earlier = sa.orm.aliased(TaskRow)
    same = sa.and_(earlier.video_id == TaskRow.video_id, earlier.policy == TaskRow.policy, earlier.round < TaskRow.round)
    decided = sa.exists().where(VerdictRow.task_id == earlier.id, same, VerdictRow.author == who)
    labelled = sa.exists().where(LabelRow.task_id == earlier.id, same, LabelRow.author == who)
    return sa.or_(decided, labelled)


def has_worked_before(session: Session, task_id: uuid.UUID, who: str) -> bool:
    """Whether `who` had a part in an earlier round of what this task is about."""
    return bool(session.scalar(sa.select(_worked_before(who)).where(TaskRow.id == task_id)))


def holds_second_review(session: Session, task: Task, who: str) -> bool:
    """Whether `who` is at the blind second review of what this task is about."""
    same = sa.and_(TaskRow.video_id == task.video_id, TaskRow.policy == task.policy, TaskRow.round == SECOND)
    return bool(session.scalar(sa.select(sa.exists().where(same, TaskRow.state == "claimed", TaskRow.holder == who))))


def lease_for(span: dt.timedelta) -> sa.ColumnElement[dt.datetime]:
    """What a held row's lease becomes: at least `span` from this moment, and never shorter than it was."""
    return sa.func.greatest(TaskRow.lease_until, CLOCK + span)


_TASK = (
    sa.select(
        *(TaskRow.__table__.c[name] for name in Task.model_fields if name in TaskRow.__table__.c),
        SiteRow.slug.label("site"),
        VideoRow.key.label("video"),
        sa.func.regexp_replace(VideoRow.object_key, "^.*/", "").label("file"),
        sa.cast(sa.extract("epoch", TaskRow.lease_until - CLOCK), sa.Double).label("lease_left_s"),
        sa.cast(sa.extract("epoch", CLOCK - TaskRow.opened_at), sa.Double).label("age_s"),
    )
    .join(SiteRow, SiteRow.id == TaskRow.site_id)
    .join(VideoRow, VideoRow.id == TaskRow.video_id)
)


def read_task(session: Session, task_id: uuid.UUID) -> Task:
    """The task as it is at this moment."""
    session.flush()
    return Task.model_validate(dict(session.execute(_TASK.where(TaskRow.id == task_id)).mappings().one()))


def list_tasks(
    session: Session, account_id: uuid.UUID, *, states: Collection[TaskState] = ("open", "claimed"), limit: int = 100
) -> list[Task]:
    """The tasks in these states, in the order in which they are taken."""
    query = _TASK.where(TaskRow.account_id == account_id, TaskRow.state.in_(states)).order_by(*_MOST_URGENT).limit(limit)
    return [Task.model_validate(dict(row)) for row in session.execute(query).mappings()]


def read_case(session: Session, task_id: uuid.UUID) -> Case:
    """The task with what a person needs to decide it. Only labels of this very task: a second reviewer sees none of the first."""
    task = read_task(session, task_id)
    screening = session.get_one(ScreeningRow, (task.video_id, task.policy))
    video = session.get_one(VideoRow, task.video_id)
    return Case(
        task=task,
        title=video.title,
        duration_ms=duration_ms(video),
        outcome=screening.outcome,
        why=str(screening.verdict.get("why", "")),
        not_analysed=tuple(screening.verdict.get("not_analysed", ())),
        html_key=screening.html_key,
        json_key=screening.json_key,
        triggers=triggers_of(session, task.video_id, task.policy),
        labels=labels_of(session, task_id),
        ruling=ruling_on(session, task_id),
    )


def duration_ms(video: VideoRow) -> int | None:
    """The video's length as it was probed; None for one that was not."""
    length = (video.probe or {}).get("duration_ms")
    return int(length) if length else None


def triggers_of(session: Session, video_id: uuid.UUID, policy: str) -> tuple[Trigger, ...]:
    """The triggers of a video under one policy, by number."""
    query = sa.select(TriggerRow.trigger).where(TriggerRow.video_id == video_id, TriggerRow.policy == policy)
    return tuple(Trigger.model_validate(found) for found in session.scalars(query.order_by(TriggerRow.number)))


def labels_of(session: Session, task_id: uuid.UUID) -> tuple[Label, ...]:
    """The labels of a task that stand: those of triggers by number, then the missed ones."""
    session.flush()
    columns = [LabelRow.__table__.c[name] for name in Label.model_fields]
    query = sa.select(*columns).where(LabelRow.task_id == task_id, LabelRow.superseded_at.is_(None))
    rows = session.execute(query.order_by(LabelRow.trigger, LabelRow.start_ms, LabelRow.created_at, LabelRow.id)).mappings()
    return tuple(Label.model_validate(dict(row)) for row in rows)


def add_label(session: Session, task: TaskRow, label: Label) -> None:
    """Books a label. One that stood for the same trigger is superseded, and stays; a label that is there already changes nothing."""
    if label.trigger is not None:
        before = sa.update(LabelRow).where(
            LabelRow.task_id == task.id,
            LabelRow.trigger == label.trigger,
            LabelRow.superseded_at.is_(None),
            LabelRow.id != label.id,
        )
        session.execute(before.values(superseded_at=CLOCK))
    owned = {"account_id": task.account_id, "site_id": task.site_id, "task_id": task.id}
    session.execute(insert(LabelRow).values(label.model_dump() | owned).on_conflict_do_nothing())


def supersede_label(session: Session, label_id: uuid.UUID) -> None:
    """Takes a label out of those that stand; its row stays."""
    session.execute(sa.update(LabelRow).where(LabelRow.id == label_id, LabelRow.superseded_at.is_(None)).values(superseded_at=CLOCK))


def ruling_on(session: Session, task_id: uuid.UUID) -> Ruling | None:
    """The verdict on a task, if there is one."""
    return _ruling(session, sa.select(VerdictRow).where(VerdictRow.task_id == task_id))


def standing_verdict(session: Session, video_id: uuid.UUID, policy: str) -> Ruling | None:
    """The verdict that counts for a video under a policy: of the first round, or of the newest appeal; a second look decides nothing."""
    query = sa.select(VerdictRow).join(TaskRow, TaskRow.id == VerdictRow.task_id)
    query = query.where(TaskRow.video_id == video_id, TaskRow.policy == policy, TaskRow.round != SECOND)
    return _ruling(session, query.order_by(TaskRow.round.desc()).limit(1))


def _ruling(session: Session, query: sa.Select[VerdictRow]) -> Ruling | None:
    row = session.execute(query).scalar_one_or_none()
    return Ruling.model_validate({name: getattr(row, name) for name in Ruling.model_fields}) if row else None


def log(
    session: Session,
    task: TaskRow,
    who: str,
    what: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Adds one line to the append-only log, in the transaction of what it tells of."""
    entry = {"account_id": task.account_id, "who": who, "what": what, "entity": "task", "entity_id": str(task.id)}
    session.execute(insert(AuditRow).values(entry | {"at": CLOCK, "before": before, "after": after}))


def read_log(
    session: Session, account_id: uuid.UUID, *, task_id: uuid.UUID | None = None, since: dt.datetime | None = None
) -> Iterator[Entry]:
    """The account's log in the order of its writing, streamed: a thousand rows at a time are in memory."""
    query = sa.select(*(AuditRow.__table__.c[name] for name in Entry.model_fields)).where(AuditRow.account_id == account_id)
    if task_id:
        query = query.where(AuditRow.entity == "task", AuditRow.entity_id == str(task_id))
    if since:
        query = query.where(AuditRow.at >= since)
    for row in session.execute(query.order_by(AuditRow.id).execution_options(yield_per=1000)).mappings():
        yield Entry.model_validate(dict(row))


def decided(session: Session, video_id: uuid.UUID) -> Ruling | None:
    """The verdict that counts for a video under whichever policy was decided on last; None: there is none."""
    newest = sa.select(TaskRow.policy).join(VerdictRow, VerdictRow.task_id == TaskRow.id)
    newest = newest.where(TaskRow.video_id == video_id, TaskRow.round != SECOND).order_by(VerdictRow.created_at.desc()).limit(1)
    policy = session.scalar(newest)
    return None if policy is None else standing_verdict(session, video_id, policy)


def pending_verdicts(session: Session, *, video_id: uuid.UUID | None = None, limit: int = 100) -> list[PendingVerdict]:
    """The verdicts of all accounts, or on one video, whose final decision is still to be made, oldest first. When a run that failed is
    followed by the next one is for the sensor to say."""
    query = (
        sa.select(OutboxRow, VerdictRow, TaskRow.policy, VideoRow.key)
        .join(VerdictRow, sa.cast(VerdictRow.id, sa.Text) == OutboxRow.payload["verdict_id"].as_string())
        .join(TaskRow, TaskRow.id == VerdictRow.task_id)
        .join(VideoRow, VideoRow.id == VerdictRow.video_id)
        .where(OutboxRow.kind == "verdict", OutboxRow.done_at.is_(None))
        .order_by(OutboxRow.created_at, OutboxRow.id)
        .limit(limit)
    )
    if video_id:
        query = query.where(VerdictRow.video_id == video_id)
    return [
        PendingVerdict(
            outbox_id=waiting.id,
            verdict_id=verdict.id,
            appeal_of=waiting.payload.get("appeal_of"),
            task_id=verdict.task_id,
            video_id=verdict.video_id,
            video=key,
            policy=policy,
            verdict=verdict.verdict,
            reason=verdict.reason,
            author=verdict.author,
            decided_at=verdict.created_at,
        )
        for waiting, verdict, policy, key in session.execute(query)
    ]


def verdict_done(session: Session, outbox_id: uuid.UUID) -> bool:
    """Marks a verdict's final decision as made. False when it was already: twice is once."""
    waiting = sa.update(OutboxRow).where(OutboxRow.id == outbox_id, OutboxRow.done_at.is_(None))
    return session.execute(waiting.values(done_at=CLOCK).returning(OutboxRow.id)).scalar() is not None


def stranded_videos(session: Session, account_id: uuid.UUID, *, within: dt.timedelta) -> list[tuple[str, str, str]]:
    """(key, state, reason) of the videos that a run blocked or failed, newest first: they have no task, and no run begins with them by
    itself. A failure that is older than `within` is left out; what is blocked waits however long."""
    is_recent = (VideoRow.state == "failed") & (VideoRow.ended_at >= CLOCK - within)
    query = sa.select(VideoRow.key, VideoRow.state, VideoRow.reason).where(
        VideoRow.account_id == account_id, (VideoRow.state == "blocked") | is_recent
    )
    found = session.execute(query.order_by(VideoRow.seen_at.desc()))
    return [(key, state, reason or "no reason was given") for key, state, reason in found]


def label_counts(session: Session, account_id: uuid.UUID) -> list[tuple[str, str, int]]:
    """How many labels of each kind each risk code has, as (code, kind, labels): of the first review of decided tasks.

    The code is the one that the detectors gave, for a missed trigger the one that the person gave.
    """
    # Only a wrong code is not the trigger's own; the range tells whether the number still means the trigger that was labelled.
    code = sa.case((LabelRow.kind == "wrong_code", TriggerRow.code), else_=LabelRow.code).label("code")
    found = sa.and_(
        TriggerRow.video_id == TaskRow.video_id,
        TriggerRow.policy == TaskRow.policy,
        TriggerRow.number == LabelRow.trigger,
        TriggerRow.start_ms == LabelRow.start_ms,
        TriggerRow.end_ms == LabelRow.end_ms,
    )
    query = (
        sa.select(code, LabelRow.kind, sa.func.count())
        .select_from(LabelRow)
        .join(TaskRow, TaskRow.id == LabelRow.task_id)
        .outerjoin(TriggerRow, found)
        .where(LabelRow.account_id == account_id, LabelRow.superseded_at.is_(None), code.is_not(None))
        .where(TaskRow.state == "decided", TaskRow.round == FIRST)
        .group_by(code, LabelRow.kind)
        .order_by(code, LabelRow.kind)
    )
    return [(str(row[0]), row[1], int(row[2])) for row in session.execute(query)]


def verdict_pairs(session: Session, account_id: uuid.UUID) -> list[tuple[str, str]]:
    """The verdicts of the first and of the second review, for every video that has both."""
    first, second = sa.orm.aliased(TaskRow), sa.orm.aliased(TaskRow)
    one, two = sa.orm.aliased(VerdictRow), sa.orm.aliased(VerdictRow)
    query = (
        sa.select(one.verdict, two.verdict)
        .select_from(first)
        .join(second, _both_rounds(first, second))
        .join(one, one.task_id == first.id)
        .join(two, two.task_id == second.id)
        .where(first.account_id == account_id)
        .order_by(first.id)
    )
    return [(str(row[0]), str(row[1])) for row in session.execute(query)]


def label_pairs(session: Session, account_id: uuid.UUID) -> list[tuple[str, str]]:
    """The kinds of label that the first and the second review gave the same trigger, of videos whose second review is decided."""
    first, second = sa.orm.aliased(TaskRow), sa.orm.aliased(TaskRow)
    one, two = sa.orm.aliased(LabelRow), sa.orm.aliased(LabelRow)
    query = (
        sa.select(one.kind, two.kind)
        .select_from(first)
        .join(second, _both_rounds(first, second))
        .join(one, sa.and_(one.task_id == first.id, one.superseded_at.is_(None)))
        .join(two, sa.and_(two.task_id == second.id, two.superseded_at.is_(None), two.trigger == one.trigger))
        .where(first.account_id == account_id, second.state == "decided")
        .order_by(first.id, one.trigger)
    )
    return [(str(row[0]), str(row[1])) for row in session.execute(query)]


def _both_rounds(first: type[TaskRow], second: type[TaskRow]) -> sa.ColumnElement[bool]:
    same = sa.and_(first.video_id == second.video_id, first.policy == second.policy)
    return sa.and_(same, first.round == FIRST, second.round == SECOND)
