"""What a person says of the triggers of a video: right, wrong, wrong time, wrong code, and what was missed."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from pressroom.errors import BadInput
from pressroom.records import Record, Trigger
from pressroom.review.tasks import WATCHED_LEASE, Person, hand_over, held, reasoned
from pressroom.safety.policy import Policy
from pressroom.store import review as stored
from pressroom.store.review import Label, LabelKind, Task
from pressroom.store.tables import TaskRow, VideoRow


class Remark(Record):
    """What a person wants to say. `trigger` is a number, None only for `missed`; `code`, `start_ms` and `end_ms` where the kind asks for
    them: a wrong time has a new range, a wrong code the right one, a missed trigger both."""

    kind: LabelKind
    trigger: int | None = None
    code: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    reason: str = ""

    def __str__(self) -> str:
        parts = [self.kind, "" if self.trigger is None else f"trigger {self.trigger}", self.code or ""]
        if self.start_ms is not None and self.end_ms is not None:
            parts.append(f"{self.start_ms}-{self.end_ms} ms")
        return " ".join(part for part in [*parts, f"({self.reason})" if self.reason else ""] if part)


def codes_of(policy: Policy) -> dict[str, str | None]:
    """The risk codes of a policy, each with the one role that may look at it, or None for every operator."""
    return {code: policy.people_only.get(code) for code in policy.risks.by_code()}


def add_labels(
    session: Session,
    task_id: uuid.UUID,
    person: Person,
    remarks: Sequence[Remark],
    *,
    codes: Mapping[str, str | None],
    version: int | None = None,
) -> Task:
    """Books what `person` says of a task that they hold, all of it or none, and renews the lease. Returns the task with its new version.

    A later label of the same trigger supersedes the earlier one; saying the same again changes nothing. `codes` are those of the policy
    (`codes_of`). Who sees a code that is for another role says so, and has handed the task over to that role by it.

    Raises BadInput that names the trigger, code or range that is wrong, or the reason that is missing; Conflict when the task is not
    held, or `version` is not the one that stands.
    """
    row = held(session, task_id, person, "; ".join(map(str, remarks)), version)
    video = session.get_one(VideoRow, row.video_id)
    triggers = {trigger.number: trigger for trigger in stored.triggers_of(session, row.video_id, row.policy)}
    said = [_checked(remark, triggers, codes, stored.duration_ms(video)) for remark in remarks]
    changed = [wanted for wanted in said if _book(session, row, person, wanted)]
    if changed:
        row.version += 1
    row.lease_until = stored.lease_for(WATCHED_LEASE)
    needed = next((role for remark in said if (role := codes.get(remark.code or "")) and remark.kind != "reject"), None)
    if needed and needed not in person.roles:
        return hand_over(session, row, person, needed, f"what was labelled is for the role {needed}")
    return stored.read_task(session, task_id)


def withdraw_label(session: Session, task_id: uuid.UUID, person: Person, wanted: str, *, version: int | None = None) -> Task:
    """Takes back the label with this id, or whose id starts so (8 characters): it stays in the database, and no longer stands.

    Raises BadInput when no label that stands has this id, Conflict as `add_labels`.
    """
    row = held(session, task_id, person, f"withdraw label {wanted}", version)
    standing = stored.labels_of(session, task_id)
    found = [label for label in standing if len(wanted) >= 8 and str(label.id).startswith(wanted.lower())]
    if len(found) != 1:
        raise BadInput(f"'{wanted}' is no label that stands on task {str(task_id)[:8]}: 'pressroom tasks show' lists them with their ids")
    stored.supersede_label(session, found[0].id)
    stored.log(session, row, person.name, "label withdrawn", before=found[0].model_dump(mode="json"))
    row.version += 1
    row.lease_until = stored.lease_for(WATCHED_LEASE)
    return stored.read_task(session, task_id)


def _book(session: Session, row: TaskRow, person: Person, remark: Remark) -> bool:
    """Writes the label unless it stands already in these words."""
    content = remark.model_dump() | {"reason": remark.reason or None}
    standing = stored.labels_of(session, row.id)
    if any(content == label.model_dump(include=set(content)) for label in standing):
        return False
    before = next((label for label in standing if remark.trigger is not None and label.trigger == remark.trigger), None)
    label = Label.model_validate(content | {"id": uuid.uuid4(), "author": person.name, "created_at": stored.clock(session)})
    stored.add_label(session, row, label)
    was = before.model_dump(mode="json") if before else None
    stored.log(session, row, person.name, "labelled", before=was, after=label.model_dump(mode="json"))
    return True


def _checked(remark: Remark, triggers: dict[int, Trigger], codes: Collection[str], duration_ms: int | None) -> Remark:
    """The remark with code and range filled in from its trigger."""
    if remark.kind == "missed":
        if remark.trigger is not None:
            raise BadInput(f"a missed trigger has no number yet: give its code and range, not {remark.trigger}")
        return remark.model_copy(update=_reason(remark) | {"code": _code(remark, codes)} | _range(remark, duration_ms))
    known = f"there are {min(triggers)} to {max(triggers)}" if triggers else "this video has none"
    if remark.trigger is None:
        raise BadInput(f"{remark.kind} needs the number of a trigger; {known}")
    trigger = triggers.get(remark.trigger)
    if trigger is None:
        raise BadInput(f"trigger {remark.trigger}: no trigger has this number; {known}")
    whole: dict[str, Any] = {"code": trigger.code, "start_ms": trigger.start_ms, "end_ms": trigger.end_ms}
    if remark.kind == "wrong_code":
        whole["code"] = _code(remark, codes)
        if whole["code"] == trigger.code:
            raise BadInput(f"trigger {trigger.number}: its code is {trigger.code} already; confirm it, or give another")
    if remark.kind == "wrong_time":
        whole |= _range(remark, duration_ms)
        if (whole["start_ms"], whole["end_ms"]) == (trigger.start_ms, trigger.end_ms):
            raise BadInput(f"trigger {trigger.number}: this is the range that it has already; confirm it, or give another")
    return remark.model_copy(update=whole | _reason(remark))


def _reason(remark: Remark) -> dict[str, str]:
    if remark.reason or remark.kind == "reject":
        return {"reason": reasoned(remark.reason, remark.kind if remark.trigger is None else f"{remark.kind} of trigger {remark.trigger}")}
    return {}


def _code(remark: Remark, codes: Collection[str]) -> str:
    if remark.code is None or remark.code not in codes:
        given = "" if remark.code is None else f", not {remark.code!r}"
        raise BadInput(f"{remark.kind} needs a risk code{given}; known are {', '.join(sorted(codes))}")
    return remark.code


def _range(remark: Remark, duration_ms: int | None) -> dict[str, int]:
    start, end = remark.start_ms, remark.end_ms
    if start is None or end is None or not 0 <= start < end <= (duration_ms or 0):
        length = f"0 to {duration_ms} ms" if duration_ms else "but its length is not known"
        given = f"not {start} to {end} ms" if start is not None and end is not None else "give both"
        raise BadInput(f"{remark.kind} needs a range inside the video ({length}), the start before the end; {given}")
    return {"start_ms": start, "end_ms": end}
