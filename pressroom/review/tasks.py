"""Tasks and who holds them: opened by a screening, taken by a lease, given back, handed on.

A task has at most one holder. Each act locks its row, looks who holds it, does its work and adds a line to the log, in the caller's
transaction: of two acts at once, one is first, and the other meets what the first left.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.errors import BadInput, Blocked
from pressroom.records import Trigger, stable_id
from pressroom.safety.risks import PEOPLE_ONLY
from pressroom.store import review as stored
from pressroom.store.review import FIRST, SECOND, Label, Task
from pressroom.store.tables import ScreeningRow, TaskRow

WATCHED_LEASE = dt.timedelta(minutes=2)  # of a desk that is open and renews it; a terminal that died frees its task within this time
BARE_LEASE = dt.timedelta(minutes=30)  # of a bare claim, that nobody renews
LAST_RESORT = "owner"  # the role for what only people may decide, should a policy have named none
SYSTEM = "pressroom"  # who opens tasks
LONGEST_NAME, LONGEST_REASON = 100, 2000


@dataclass(frozen=True)
class Person:
    """Who acts, and the roles that they have. Raises BadInput for a name that is none."""

    name: str
    roles: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.isprintable() or len(self.name) > LONGEST_NAME or self.name == SYSTEM:
            raise BadInput(f"{self.name!r} is no name of a person: 1 to {LONGEST_NAME} printable characters, not {SYSTEM!r}")


class Conflict(Blocked):
    """The task is not the person's to write to, or not at the version they saw: nothing was written. The message says who holds it, or
    to claim it first; for a task that was changed or is over it shows both states.

    `wish` is what was to be written, on version `version` of the task (None: on whichever stands); `now` is the task as it is, with the
    `labels` that stand.
    """

    def __init__(self, wish: str, version: int | None, now: Task, labels: Sequence[Label] = ()) -> None:
        task, is_stale = f"task {str(now.id)[:8]}", version not in (None, now.version)
        if is_stale or not is_undecided(now):
            yours = wish if version is None else f"{wish}, on version {version}"
            changed = " has changed" if is_stale else ""
            super().__init__(f"{task}{changed}: nothing was written. Yours: {yours}. Now: {described(now, labels)}")
        elif now.is_held:
            super().__init__(f"{task}: nothing was written; {now.holder} holds it{_until(now)}")
        else:
            super().__init__(f"{task}: nothing was written; claim it first: pressroom tasks claim {str(now.id)[:8]}")
        self.wish, self.version, self.now, self.labels = wish, version, now, tuple(labels)


def described(task: Task, labels: Iterable[Label] = ()) -> str:
    """One line on where a task stands."""
    where = task.state if task.state != "claimed" else f"{'held' if task.is_held else 'last held'} by {task.holder}"
    where += _until(task)
    said = ", ".join(f"{label.trigger or 'missed'} {label.kind} ({label.author})" for label in labels)
    return f"version {task.version}, {where}" + (f", labels: {said}" if said else "")


def _until(task: Task) -> str:
    return f" until {task.lease_until.astimezone(dt.UTC):%H:%M:%S} UTC" if task.is_held and task.lease_until else ""


def reasoned(reason: str, of: str) -> str:
    """The reason, its white space made single. Raises BadInput when there is none, or it is longer than 2,000 characters."""
    plain = " ".join(reason.split())
    if not plain or "\0" in plain or len(plain) > LONGEST_REASON:
        raise BadInput(f"{of} needs a reason of 1 to {LONGEST_REASON:,} characters")
    return plain


def open_task(session: Session, video_id: uuid.UUID, policy: str) -> Task:
    """The first-review task of a screening that is in this transaction or before it, opened unless it is there.

    Called twice it changes nothing. Undecided tasks of the video under other policies are superseded: whoever holds one is told at their
    next save, and the labels given so far are taken over to the triggers that the new policy found the same; none is deleted. After a
    screening anew under the same policy, labels that no longer say anything of its triggers are superseded.
    """
    stored.lock_video(session, video_id)
    screening = session.get_one(ScreeningRow, (video_id, policy), populate_existing=True)
    triggers = stored.triggers_of(session, video_id, policy)
    urgency = _urgency(screening, triggers)
    tasks = stored.lock_tasks_of(session, video_id)
    row, is_new = _ensured(session, screening, FIRST, urgency)
    others = [other for other in tasks if other.policy != policy and is_undecided(other)]
    if row.state == "superseded":
        before = snapshot(row)
        _let_go(row, "open")
        stored.log(session, row, SYSTEM, "reopened", before=before, after=snapshot(row))
    if not is_new and is_undecided(row):
        _refresh(session, row, urgency, triggers)
    for other in others:
        before = snapshot(other)
        if other.round == FIRST and is_undecided(row):
            _carry(session, other, row, triggers)
        _let_go(other, "superseded")
        stored.log(session, other, SYSTEM, "superseded", before=before, after=snapshot(other) | {"by": str(row.id)})
    return stored.read_task(session, row.id)


def open_round(session: Session, of: TaskRow, number: int, **urgency: Any) -> TaskRow:
    """A further round on the same screening: the blind second review, or an appeal. Opened once."""
    screening = session.get_one(ScreeningRow, (of.video_id, of.policy))
    row, _ = _ensured(session, screening, number, {"severity": of.severity, "priority": of.priority, "role": of.role} | urgency)
    return row


def _ensured(session: Session, screening: ScreeningRow, number: int, urgency: dict[str, Any]) -> tuple[TaskRow, bool]:
    key = {"video_id": screening.video_id, "policy": screening.policy, "round": number}
    owned = {"id": stable_id("task", *key.values()), "account_id": screening.account_id, "site_id": screening.site_id}
    made = insert(TaskRow).values(key | owned | urgency | {"state": "open", "opened_at": stored.CLOCK}).on_conflict_do_nothing()
    is_new = session.execute(made.returning(TaskRow.id)).scalar() is not None
    row = stored.lock_task(session, owned["id"])
    if is_new:
        stored.log(session, row, SYSTEM, "opened", after=snapshot(row))
    return row, is_new


def _urgency(screening: ScreeningRow, triggers: Sequence[Trigger]) -> dict[str, Any]:
    is_restricted = _is_restricted(triggers)
    return {
        "severity": max((found.severity for found in triggers), default=0),
        "priority": bool(screening.verdict.get("priority")) or is_restricted,
        "role": screening.verdict.get("role") or (LAST_RESORT if is_restricted else None),
    }


def _is_restricted(triggers: Sequence[Trigger]) -> bool:
    return any(found.code == PEOPLE_ONLY for found in triggers)


def _refresh(session: Session, row: TaskRow, urgency: dict[str, Any], triggers: Sequence[Trigger]) -> None:
    """Brings an undecided task up to its screening. What a person escalated stays escalated."""
    before = snapshot(row)
    gone = [label for label in stored.labels_of(session, row.id) if not _still_fits(label, triggers)]
    for label in gone:
        stored.supersede_label(session, label.id)
    row.severity, row.priority = urgency["severity"], row.priority or urgency["priority"]
    row.role = urgency["role"] if _is_restricted(triggers) else row.role or urgency["role"]
    if row.role != before["role"]:
        _let_go(row, "open")  # whoever holds it may not be one of those
    elif gone or snapshot(row) != before:
        row.version += 1
    if snapshot(row) != before:
        ended = [label.model_dump(mode="json") for label in gone]
        stored.log(session, row, SYSTEM, "screened anew", before=before | {"labels": ended}, after=snapshot(row))


def _still_fits(label: Label, triggers: Sequence[Trigger]) -> bool:
    """A trigger's number may mean another one after a screening anew: a label keeps what it said of the old one's code and range."""
    trigger = next((found for found in triggers if found.number == label.trigger), None)
    if trigger is None:
        return label.kind == "missed"
    same_code = trigger.code == label.code
    same_range = (trigger.start_ms, trigger.end_ms) == (label.start_ms, label.end_ms)
    return {"wrong_time": same_code, "wrong_code": same_range}.get(label.kind, same_code and same_range)


def _carry(session: Session, old: TaskRow, new: TaskRow, triggers: Sequence[Trigger]) -> None:
    """Takes the labels over that are as true under the new policy: those of the same code and range, and the missed ones."""

    def identity(trigger: Trigger) -> tuple[str, int, int]:
        return trigger.code, trigger.start_ms, trigger.end_ms

    found = {identity(trigger): trigger.number for trigger in triggers}
    numbers = {trigger.number: found.get(identity(trigger)) for trigger in stored.triggers_of(session, old.video_id, old.policy)}
    there = stored.labels_of(session, new.id)
    for label in stored.labels_of(session, old.id):
        number = None if label.trigger is None else numbers.get(label.trigger)
        taken_over = label.model_copy(update={"id": stable_id("label", label.id, new.id), "trigger": number})
        is_lost = number is None and label.trigger is not None  # the new policy does not find its trigger
        if is_lost or any(_says_more(one, taken_over) for one in there):
            continue
        stored.add_label(session, new, taken_over)
        stored.log(session, new, label.author, "label taken over", after=taken_over.model_dump(mode="json") | {"from": str(old.id)})


def _says_more(standing: Label, label: Label) -> bool:
    """A label that stands for the same trigger, or the same missed one, and is as new."""
    same_missed = (standing.code, standing.start_ms, standing.end_ms) == (label.code, label.start_ms, label.end_ms)
    is_same = standing.trigger == label.trigger and (label.trigger is not None or same_missed)
    return is_same and standing.created_at >= label.created_at


def claim(session: Session, account_id: uuid.UUID, person: Person, *, lease: dt.timedelta = BARE_LEASE) -> Task | None:
    """Takes the most urgent task that `person` may do, for `lease`; None when no task waits. One that they hold already is theirs still."""
    row = stored.lock_next_task(session, account_id, person.name, person.roles)
    return _take(session, row, person, lease) if row else None


def claim_one(session: Session, task_id: uuid.UUID, person: Person, *, lease: dt.timedelta = BARE_LEASE) -> Task:
    """Takes this task. Raises Conflict when another person holds it or it is not to be taken, Blocked when `person` may not have it."""
    row = stored.lock_task(session, task_id)
    now = stored.read_task(session, task_id)
    may_see(row, person)
    is_others = now.is_held and now.holder != person.name
    if not is_undecided(row) or is_others:
        raise Conflict("claim it", None, now)
    if row.round != FIRST and stored.has_worked_before(session, task_id, person.name):
        raise Blocked(f"task {str(task_id)[:8]} looks anew at what {person.name} worked on: another person takes it")
    return _take(session, row, person, lease)


def _take(session: Session, row: TaskRow, person: Person, lease: dt.timedelta) -> Task:
    if row.state == "claimed" and row.holder == person.name:
        row.lease_until = stored.lease_for(lease)
        return stored.read_task(session, row.id)
    before = snapshot(row)
    row.state, row.holder, row.version = "claimed", person.name, row.version + 1
    row.claimed_at, row.lease_until = stored.CLOCK, stored.CLOCK + lease
    stored.log(session, row, person.name, "took over" if before["holder"] else "claimed", before=before, after=snapshot(row))
    return stored.read_task(session, row.id)


def renew(session: Session, task_id: uuid.UUID, person: Person, *, lease: dt.timedelta = WATCHED_LEASE) -> Task:
    """A heartbeat: the lease lasts `lease` from now. It is no change of the task, and not logged. Raises Conflict when it was lost.

    A lease that ran out and that nobody took is the holder's still.
    """
    held(session, task_id, person, "keep it").lease_until = stored.lease_for(lease)
    return stored.read_task(session, task_id)


def release(session: Session, task_id: uuid.UUID, person: Person, *, version: int | None = None) -> Task:
    """Gives the task back, its labels kept. Raises Conflict when it is not held, or `version` is not the one that stands."""
    return _give_back(session, held(session, task_id, person, "release it", version), person, "released")


def skip(session: Session, task_id: uuid.UUID, person: Person, reason: str, *, version: int | None = None) -> Task:
    """Gives the task to somebody else: `person` gets it again only by its id. Raises BadInput without a reason, Conflict as `release`."""
    row = held(session, task_id, person, f"skip it ({reason})", version)
    why = reasoned(reason, "a skip")
    row.skipped_by = sorted({*row.skipped_by, person.name})
    return _give_back(session, row, person, "skipped", reason=why)


def escalate(
    session: Session, task_id: uuid.UUID, person: Person, reason: str, *, role: str | None = None, version: int | None = None
) -> Task:
    """Puts the task before all others, for somebody else; with `role`, only for those who have it.

    Raises BadInput without a reason or when the task is for another role already, Conflict as `release`.
    """
    row = held(session, task_id, person, f"escalate it ({reason})", version)
    why = reasoned(reason, "an escalation")
    if role and row.role and row.role != role:
        raise BadInput(f"task {str(task_id)[:8]} is only for the role {row.role}: it cannot go to {role}")
    return hand_over(session, row, person, role or row.role, why)


def hand_over(session: Session, row: TaskRow, person: Person, role: str | None, reason: str) -> Task:
    """Gives a held task to those of `role`, first of all."""
    before = snapshot(row)
    row.priority, row.role, row.skipped_by = True, role, sorted({*row.skipped_by, person.name})
    return _give_back(session, row, person, "escalated", before=before, reason=reason)


def _give_back(session: Session, row: TaskRow, person: Person, what: str, *, before: dict[str, Any] | None = None, **more: Any) -> Task:
    was = before or snapshot(row)
    _let_go(row, "open")
    stored.log(session, row, person.name, what, before=was, after=snapshot(row) | more)
    return stored.read_task(session, row.id)


def _let_go(row: TaskRow, state: str) -> None:
    row.state, row.holder, row.lease_until, row.claimed_at = state, None, None, None
    row.version += 1


def held(session: Session, task_id: uuid.UUID, person: Person, wish: str, version: int | None = None) -> TaskRow:
    """The row of a task that `person` holds, locked. `wish` says what they want, for the message.

    Raises Conflict when they do not hold it (any more), or `version` is given and not the one that stands.
    """
    row = stored.lock_task(session, task_id)
    may_see(row, person)
    if row.state != "claimed" or row.holder != person.name or version not in (None, row.version):
        raise Conflict(wish, version, stored.read_task(session, task_id), stored.labels_of(session, task_id))
    return row


def may_see(task: TaskRow | Task, person: Person) -> None:
    """Raises Blocked when the task is for a role that `person` has not."""
    if task.role and task.role not in person.roles:
        raise Blocked(f"task {str(task.id)[:8]} is only for the role {task.role}: {person.name} has not got it")


def may_read(session: Session, task: Task, person: Person) -> None:
    """Raises Blocked as `may_see`, and for a first review whose blind second one `person` holds: its labels would be no secret."""
    may_see(task, person)
    if task.round != SECOND and stored.holds_second_review(session, task, person.name):
        raise Blocked(f"task {str(task.id)[:8]}: {person.name} holds its blind second review, and sees it when that is decided")


def is_undecided(row: TaskRow | Task) -> bool:
    return row.state in ("open", "claimed")


def snapshot(row: TaskRow) -> dict[str, Any]:
    """What the log keeps of a task: all that an act may change, its times aside."""
    return {name: getattr(row, name) for name in ("state", "version", "holder", "severity", "priority", "role")}
