"""A desk for the tests of verification: screened videos, and people."""

import datetime as dt
import uuid
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.records import Evidence, Trigger, stable_id
from pressroom.review.labels import codes_of
from pressroom.review.tasks import Person, open_task
from pressroom.safety.policy import policy
from pressroom.store.engine import Store
from pressroom.store.review import Task
from pressroom.store.tables import ScreeningRow, TaskRow, TriggerRow, VideoRow
from tests.samples import SITE, site_applied

ANA, BEN, CLEO = Person("ana"), Person("ben"), Person("cleo")
CODES = codes_of(policy())
DURATION_MS = 60_000
ACCOUNT = SITE.account_id


def a_trigger(number: int = 1, *, code: str = "VIO.WEAPON", severity: int = 2, start_ms: int = 1000, end_ms: int = 3000) -> Trigger:
    seen = Evidence(detector="objects", signal=1, at_ms=start_ms, label="knife", score=0.9, frame=4)
    return Trigger(
        number=number,
        code=code,
        title="Weapon",
        severity=severity,
        modality="visual",
        action="review",
        start_ms=start_ms,
        end_ms=end_ms,
        peak=0.9,
        detectors=("objects",),
        evidence=(seen,),
        rule="knife >= 0.6",
    )


def screened(session: Session, name: str = "one", policy: str = "p1", triggers: Sequence[Trigger] = (), **verdict: object) -> uuid.UUID:
    """A video that was judged: its rows as the media line writes them. Written again, the newer triggers stand."""
    site_applied(session)
    video_id = stable_id("video", name)
    owned = {"account_id": SITE.account_id, "site_id": SITE.id}
    video = {"id": video_id, "key": f"brew--20261121T120000Z--{name}", "object_key": name, "object_version": "1", "size": 1}
    video |= {"uploaded_at": dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC), "probe": {"duration_ms": DURATION_MS}, "title": "A video"}
    session.execute(insert(VideoRow).values(video | owned).on_conflict_do_nothing())
    said = {"outcome": "review", "why": "one trigger", "policy": policy, "not_analysed": ["violence: no model"]} | verdict
    screening = {"video_id": video_id, "policy": policy, "outcome": "review", "verdict": said, "data_version": "1"}
    screening |= {"html_key": f"sites/brew/videos/{name}/report/report.html"}
    made = insert(ScreeningRow).values(screening | owned)
    session.execute(made.on_conflict_do_update(index_elements=["video_id", "policy"], set_={"verdict": said}))
    session.execute(sa.delete(TriggerRow).where(TriggerRow.video_id == video_id, TriggerRow.policy == policy))
    for found in triggers:
        row = {name: getattr(found, name) for name in ("number", "code", "severity", "start_ms", "end_ms")}
        row |= {"video_id": video_id, "policy": policy, "trigger": found.model_dump(mode="json")}
        session.execute(insert(TriggerRow).values(row | owned))
    return video_id


def task_opened(store: Store, name: str = "one", policy: str = "p1", triggers: Sequence[Trigger] = (), **verdict: object) -> Task:
    with store.transaction() as session:
        return open_task(session, screened(session, name, policy, triggers, **verdict), policy)


def lease_ended(store: Store, task_id: uuid.UUID) -> None:
    """What the passing of time does."""
    with store.transaction() as session:
        past = sa.func.clock_timestamp() - dt.timedelta(seconds=1)
        session.execute(sa.update(TaskRow).where(TaskRow.id == task_id).values(lease_until=past))
