"""The verdict on a video: given once for a task, looked at again blindly in a sample, or on appeal."""

import hashlib
import uuid
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.errors import BadInput, Blocked
from pressroom.records import stable_id
from pressroom.review.tasks import Person, held, may_see, open_round, reasoned, snapshot
from pressroom.store import review as stored
from pressroom.store.review import FIRST, SECOND, Decision, Ruling, Task, pending_verdicts, verdict_done
from pressroom.store.tables import OutboxRow, TaskRow, VerdictRow

__all__ = ["SECOND_REVIEWS", "appeal", "decide", "is_sampled", "pending_verdicts", "verdict_done"]

MUST_BE_LABELLED = 2  # severity from which a verdict needs a label of every trigger
SECOND_REVIEWS = 0.05  # of all videos are reviewed a second time


def decide(
    session: Session,
    task_id: uuid.UUID,
    person: Person,
    verdict: Decision,
    reason: str,
    *,
    version: int | None = None,
    second_reviews: float = SECOND_REVIEWS,
) -> Ruling:
    """Gives the verdict on a task that `person` holds: the row, what must follow from it, and the log in one transaction.

    `second_reviews` of all videos (0 to 1) get a second task, for another person. That one's verdict decides nothing: agreement is
    measured by it. Raises BadInput without a reason, or while a trigger of severity 2 or 3 has no label; Conflict when the task is
    not held, or `version` is not the one that stands.
    """
    row = held(session, task_id, person, f"{verdict} ({reason})", version)
    why = reasoned(reason, "a verdict")
    labelled = {label.trigger for label in stored.labels_of(session, task_id)}
    triggers = stored.triggers_of(session, row.video_id, row.policy)
    open_ones = [str(found.number) for found in triggers if found.severity >= MUST_BE_LABELLED and found.number not in labelled]
    if open_ones:
        raise BadInput(
            f"task {str(task_id)[:8]}: every trigger of severity {MUST_BE_LABELLED} or more needs a label first; without one: "
            + ", ".join(open_ones[:20] + ["..."] * (len(open_ones) > 20))
        )
    before = snapshot(row)
    earlier = stored.standing_verdict(session, row.video_id, row.policy) if row.round > SECOND else None
    ruling = _book(session, row, person, verdict, why)
    row.state, row.holder, row.lease_until, row.decided_at = "decided", None, None, stored.CLOCK
    row.version += 1
    appealed = {"appeal_of": str(earlier.id)} if earlier else {}
    stored.log(session, row, person.name, "decided", before=before, after=snapshot(row) | {"verdict": verdict, "reason": why} | appealed)
    if row.round != SECOND:
        _announce(session, row, ruling, appealed)
    if row.round == FIRST and is_sampled(row.video_id, second_reviews):
        open_round(session, row, SECOND)
    return ruling


def _book(session: Session, row: TaskRow, person: Person, verdict: Decision, reason: str) -> Ruling:
    ruling = Ruling(
        id=stable_id("verdict", row.id),
        task_id=row.id,
        video_id=row.video_id,
        verdict=verdict,
        reason=reason,
        author=person.name,
        created_at=stored.clock(session),
    )
    session.add(VerdictRow(account_id=row.account_id, site_id=row.site_id, **ruling.model_dump()))
    return ruling


def _announce(session: Session, row: TaskRow, ruling: Ruling, more: dict[str, Any]) -> None:
    message = {"verdict_id": str(ruling.id), "task_id": str(row.id), "video_id": str(row.video_id)} | more
    waiting = {"id": stable_id("outbox", "verdict", ruling.id), "account_id": row.account_id, "kind": "verdict", "payload": message}
    session.execute(insert(OutboxRow).values(waiting | {"not_before": stored.CLOCK, "created_at": stored.CLOCK}))


def is_sampled(video_id: uuid.UUID, fraction: float) -> bool:
    """Whether this video is one of the `fraction` (0 to 1) that are reviewed twice: always the same answer for a video, so that neither
    luck nor the reviewer decides it."""
    share = int.from_bytes(hashlib.sha256(b"second review/" + video_id.bytes).digest()[:8], "big") / 2**64
    return share < fraction


def appeal(session: Session, task_id: uuid.UUID, person: Person, reason: str) -> Task:
    """Opens a task for a new look at a decided one, by a person who had no part in it, before all others. Its verdict names the old one.

    Returns the open appeal when there is one already. Raises BadInput without a reason or for a blind second review, Blocked for a
    task that is not decided.
    """
    row = stored.lock_task(session, task_id)
    may_see(row, person)
    if row.round == SECOND:
        raise BadInput(f"task {str(task_id)[:8]} is a blind second review, which decides nothing: appeal against the first one")
    if row.state != "decided":
        raise Blocked(f"task {str(task_id)[:8]} is {row.state}: only a verdict can be appealed against")
    why = reasoned(reason, "an appeal")
    opened = open_round(session, row, max(row.round, SECOND) + 1, priority=True)
    decided = stored.ruling_on(session, task_id)
    stored.log(session, opened, person.name, "appealed", after={"reason": why, "verdict": str(decided.id) if decided else None})
    return stored.read_task(session, opened.id)
