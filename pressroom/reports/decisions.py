"""What a person decided on a video, as a document of its own beside the report."""

import datetime as dt
import json

from pydantic import Field
from sqlalchemy.orm import Session

from pressroom.compliance.desk import VideoDesk
from pressroom.errors import Permanent
from pressroom.records import Record
from pressroom.reports.mail import VerificationDone, announce
from pressroom.review.verdicts import MUST_BE_LABELLED
from pressroom.store.review import Case, Ruling, decided, pending_verdicts, read_case, verdict_done
from pressroom.store.videos import end_video


class Labelled(Record):
    """One trigger, or one that the detectors missed, as a person saw it."""

    trigger: int | None
    kind: str
    code: str
    start_ms: int
    end_ms: int
    reason: str | None
    author: str


class Decision(Record):
    """The verdict that stands for a video, why, by whom, and what was said of each trigger."""

    video: str
    verdict: str
    reason: str
    author: str
    decided_at: dt.datetime
    policy: str
    machine_outcome: str
    triggers: int
    labels: tuple[Labelled, ...]
    unlabelled: tuple[int, ...] = Field(default=(), description="Numbers of the severe triggers without a label.")

    @property
    def summary(self) -> str:
        """One line for people."""
        kinds = [label.kind for label in self.labels]
        counted = ", ".join(f"{kinds.count(kind)} {kind.replace('_', ' ')}" for kind in dict.fromkeys(kinds))
        return f"{self.verdict.replace('_', ' ')} by {self.author}: {self.reason}" + (f" ({counted})" if counted else "")


def make_decision(desk: VideoDesk) -> tuple[Decision, str]:
    """Writes the decision on the desk's video and completes the video; returns it and its key in the object store.

    The file comes first, then in one transaction the video's state and the mark that this verdict is done: made again it is the same.
    Raises Permanent for a video without a verdict.
    """
    with desk.store.transaction() as session:
        waiting = pending_verdicts(session, video_id=desk.video.id)
        ruling = decided(session, desk.video.id)
        if ruling is None:
            raise Permanent(f"video {desk.video.key} has no verdict yet: 'pressroom tasks list' shows who has it")
        case = read_case(session, ruling.task_id)
    decision = _decision(desk.video.key, ruling, case)
    key = f"{desk.video.folder}report/decision.json"
    desk.objects.write(key, (json.dumps(decision.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n").encode())

    notice = VerificationDone(
        verdict=decision.verdict,
        reason=decision.reason,
        author=decision.author,
        decided_at=decision.decided_at,
        machine_outcome=decision.machine_outcome,
        decision=desk.objects.location(key),
    )

    def book(session: Session) -> None:
        end_video(session, desk.video, "completed")
        for pending in waiting:
            verdict_done(session, pending.outbox_id)
        announce(session, desk.video, notice)

    desk.write(book)
    return decision, key


def _decision(video: str, ruling: Ruling, case: Case) -> Decision:
    severe = {trigger.number for trigger in case.triggers if trigger.severity >= MUST_BE_LABELLED}
    return Decision(
        video=video,
        verdict=ruling.verdict,
        reason=ruling.reason,
        author=ruling.author,
        decided_at=ruling.created_at,
        policy=case.task.policy,
        machine_outcome=case.outcome,
        triggers=len(case.triggers),
        unlabelled=tuple(sorted(severe - {label.trigger for label in case.labels})),
        labels=tuple(Labelled.model_validate(label.model_dump(include=set(Labelled.model_fields))) for label in case.labels),
    )
