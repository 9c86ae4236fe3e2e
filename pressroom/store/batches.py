"""Batches of model calls: rows of the ledger that went out together, and what became of them.

A batch is `submitting` until the endpoint has it, then `submitted`, and in the end `collected`, or `failed` when it brought no answer.
While it is open its calls are `batched`; once it is closed, each is answered, or failed and free to be asked anew.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.records import Record
from pressroom.store.calls import Bill, Booked, book_in
from pressroom.store.engine import Store
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import ModelBatchRow, ModelCallRow, SiteRow

State = Literal["submitting", "submitted", "collected", "failed"]
OPEN: tuple[State, ...] = ("submitting", "submitted")

_b, _c = ModelBatchRow, ModelCallRow


class Batch(Record):
    """A batch as the tables have it. `site` is the site's slug; None: the house's own. `failed` counts calls without an answer. `age` is by
    the database's clock, at the moment of reading.
    """

    id: uuid.UUID
    site: str | None
    day: dt.date | None
    run_id: str | None
    owner: int | None
    provider: str
    model: str
    state: State
    remote_id: str | None
    requests: int
    answered: int
    failed: int
    error: str | None
    created_at: dt.datetime
    collected_at: dt.datetime | None
    age: dt.timedelta

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


@dataclass(frozen=True)
class NewBatch:
    """What is about to be sent: whose calls these are, and to whom."""

    id: uuid.UUID
    account_id: uuid.UUID
    site_id: uuid.UUID | None
    day: dt.date | None
    run_id: str | None
    provider: str
    model: str


@dataclass(frozen=True)
class Outcome:
    """What one call of a batch came to: an answer, or in one line why there is none."""

    request_hash: str
    answer: Booked | None
    error: str = ""


class BatchBook:
    """The batches that one process sends. Threads may share it."""

    def __init__(self, store: Store, owner: OwnerLock) -> None:
        self._store = store
        self._owner = owner

    def enter(self, batch: NewBatch, request_hashes: Collection[str]) -> frozenset[str]:
        """Makes these calls a batch that is being submitted; returns those that were still this process's to make. Safe to repeat."""
        me = self._owner.key
        ours = ((_c.status == "pending") & (_c.owner == me)) | ((_c.status == "batched") & (_c.batch_id == batch.id))
        take = sa.update(_c).where(_among(request_hashes), ours).values(status="batched", batch_id=batch.id, owner=None)
        row = vars(batch) | {"owner": me, "state": "submitting", "requests": 0}

        def work(session: Session) -> frozenset[str]:
            session.execute(insert(_b).values(row).on_conflict_do_nothing())
            taken = frozenset(session.scalars(take.returning(_c.request_hash)))
            here = _b.id == batch.id
            session.execute(sa.update(_b).where(here).values(requests=len(taken)) if taken else sa.delete(_b).where(here))
            return taken

        return self._store.retrying(work)

    def submitted(self, batch_id: uuid.UUID, remote_id: str) -> None:
        """Books the id that the endpoint gave the batch."""
        self._store.retrying(lambda session: adopt(session, batch_id, remote_id))

    def leave(self, batch_id: uuid.UUID) -> None:
        """Says that nobody is submitting the batch any more, although the endpoint may have it: `collect` looks for it there."""
        left = sa.update(_b).where(_b.id == batch_id, _b.state == "submitting").values(owner=None)
        self._store.retrying(lambda session: session.execute(left))

    def refuse(self, batch_id: uuid.UUID, error: str) -> None:
        """Gives the calls of a batch back that the endpoint did not take."""
        self._store.retrying(lambda session: close_batch(session, batch_id, error))


def open_batches(session: Session) -> list[Batch]:
    """The batches that are not collected yet, oldest first."""
    return _batches(session, _b.state.in_(OPEN))


def known_batches(session: Session, account_id: uuid.UUID, *, closed_since: dt.datetime) -> list[Batch]:
    """An account's open batches, and those closed since then, oldest first."""
    return _batches(session, _b.account_id == account_id, _b.state.in_(OPEN) | (_b.collected_at >= closed_since))


def closed_of_days(session: Session, *, since: dt.datetime) -> list[Batch]:
    """The batches of sites and days that were closed since then, in the order of their ends."""
    found = _batches(session, _b.collected_at >= since, _b.site_id.is_not(None), _b.day.is_not(None))
    return sorted(found, key=lambda batch: (batch.collected_at or since, batch.id))


def batch_of(session: Session, batch_id: uuid.UUID) -> Batch:
    return _batches(session, _b.id == batch_id)[0]


def waiting_calls(session: Session, site_id: uuid.UUID, day: dt.date) -> dict[uuid.UUID, int]:
    """How many calls for the site and day each open batch holds."""
    query = sa.select(_b.id, sa.func.count()).join(_c, _c.batch_id == _b.id)
    query = query.where(_b.site_id == site_id, _b.day == day, _b.state.in_(OPEN), _c.status == "batched")
    rows = session.execute(query.group_by(_b.id, _b.created_at).order_by(_b.created_at, _b.id))
    return {batch_id: int(calls) for batch_id, calls in rows}


def is_abandoned(session: Session, batch: Batch) -> bool:
    """Whether nobody living is submitting the batch, although it is not submitted."""
    return batch.state == "submitting" and (batch.owner is None or not OwnerLock.is_alive(session, batch.owner))


def adopt(session: Session, batch_id: uuid.UUID, remote_id: str) -> None:
    """Books the id under which the endpoint has the batch."""
    here = (_b.id == batch_id) & (_b.state == "submitting")
    session.execute(sa.update(_b).where(here).values(state="submitted", remote_id=remote_id, owner=None))


def book_outcomes(session: Session, batch_id: uuid.UUID, outcomes: Sequence[Outcome]) -> None:
    """Books what came of these calls, if they are the batch's and it is open. Safe to repeat, and from two processes at once."""
    row = _locked(session, batch_id)
    if row is None:
        return
    of_batch = sa.select(_c.request_hash).where(_c.batch_id == batch_id, _among([each.request_hash for each in outcomes]))
    known = set(session.scalars(of_batch))
    for outcome in outcomes:
        if outcome.request_hash not in known:
            continue
        if outcome.answer:
            book_in(session, Bill(outcome.request_hash, outcome.answer, attempts=1))
        else:
            here = (_c.request_hash == outcome.request_hash) & (_c.status == "batched")
            session.execute(sa.update(_c).where(here).values(**_given_back(outcome.error), attempts=1))
            row.error = row.error or outcome.error


def close_batch(session: Session, batch_id: uuid.UUID, error: str) -> bool:
    """Ends an open batch: calls without an answer are given back, for that reason. False when it was closed before."""
    row = _locked(session, batch_id)
    if row is None:
        return False
    answered = session.scalar(sa.select(sa.func.count()).where(_c.batch_id == batch_id, _c.status == "answered")) or 0
    session.execute(sa.update(_c).where(_c.batch_id == batch_id, _c.status == "batched").values(_given_back(error)))
    row.state, row.owner = "collected" if answered else "failed", None
    row.answered, row.failed = answered, row.requests - answered
    row.error = (row.error or error) if row.failed else None
    row.collected_at = session.scalar(sa.func.clock_timestamp())
    return True


def _locked(session: Session, batch_id: uuid.UUID) -> ModelBatchRow | None:
    """The row of an open batch, this transaction's alone; None when it is closed."""
    return session.scalar(sa.select(_b).where(_b.id == batch_id, _b.state.in_(OPEN)).with_for_update())


def _given_back(error: str) -> dict[str, str | None]:
    """A call that may be asked anew. What went out with a batch is counted by `batch_id`, and this call did not come back with one."""
    return {"status": "failed", "owner": None, "batch_id": None, "error": error}


def _among(request_hashes: Collection[str]) -> sa.ColumnElement[bool]:
    """One parameter for all of them: a batch may have 50,000, and a statement takes 65,535."""
    return _c.request_hash == sa.any_(sa.bindparam(None, list(request_hashes), type_=sa.ARRAY(sa.String)))


def _batches(session: Session, *conditions: sa.ColumnElement[bool]) -> list[Batch]:
    columns = [getattr(_b, name) for name in Batch.model_fields if name not in ("site", "age")]
    age = (sa.func.now() - _b.created_at).label("age")
    query = sa.select(SiteRow.slug.label("site"), age, *columns).join(SiteRow, SiteRow.id == _b.site_id, isouter=True)
    rows = session.execute(query.where(*conditions).order_by(_b.created_at, _b.id)).mappings()
    return [Batch.model_validate(dict(row)) for row in rows]
