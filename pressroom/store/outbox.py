"""Mails and other messages that must go out because of a row of the same transaction: booked once, taken by one sender at a time.

A sender takes a message by moving its time ahead: if it dies, the message is due again after that, and is sent at least once.
"""

import datetime as dt
import uuid
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.store.tables import OutboxRow

CLOCK = sa.func.clock_timestamp()
# What a person reads of an error; a server's reply may be a page.
LONGEST_ERROR = 500


class Message(NamedTuple):
    """What waits to go out. `attempts` counts those before this one; `created_at` is in UTC."""

    id: uuid.UUID
    account_id: uuid.UUID
    payload: dict[str, Any]
    attempts: int
    created_at: dt.datetime


class Waiting(NamedTuple):
    """How many messages wait, how many of them failed before, and what the newest failure said."""

    number: int
    failed: int
    error: str | None


def add_message(session: Session, message_id: uuid.UUID, account_id: uuid.UUID, kind: str, payload: dict[str, Any]) -> bool:
    """Books a message in the caller's transaction. False when this id is booked already: twice is once."""
    row = {"id": message_id, "account_id": account_id, "kind": kind, "payload": payload, "not_before": CLOCK, "created_at": CLOCK}
    return session.execute(insert(OutboxRow).values(row).on_conflict_do_nothing().returning(OutboxRow.id)).scalar() is not None


def take_message(session: Session, kind: str, *, lease: dt.timedelta) -> Message | None:
    """The message of this kind that has been due longest, for the caller alone until `lease` has passed; None when none is due."""
    due = sa.select(OutboxRow.id).where(OutboxRow.kind == kind, OutboxRow.done_at.is_(None), OutboxRow.not_before <= CLOCK)
    first = due.order_by(OutboxRow.not_before, OutboxRow.id).limit(1).with_for_update(skip_locked=True).scalar_subquery()
    taken = sa.update(OutboxRow).where(OutboxRow.id == first).values(not_before=CLOCK + lease, attempts=OutboxRow.attempts + 1)
    row = session.execute(
        taken.returning(OutboxRow.id, OutboxRow.account_id, OutboxRow.payload, OutboxRow.attempts, OutboxRow.created_at)
    ).one_or_none()
    return Message(row.id, row.account_id, row.payload, row.attempts - 1, row.created_at.astimezone(dt.UTC)) if row else None


def message_done(session: Session, message_id: uuid.UUID, error: str | None = None) -> None:
    """Marks a message as done: it went out, or with `error` it was refused for good."""
    values = {"done_at": CLOCK, "error": error and error[:LONGEST_ERROR]}
    session.execute(sa.update(OutboxRow).where(OutboxRow.id == message_id, OutboxRow.done_at.is_(None)).values(values))


def message_failed(
    session: Session, message_id: uuid.UUID, error: str, *, again_in: dt.timedelta, payload: dict[str, Any] | None = None
) -> None:
    """Notes why a message did not go out and when it is due again; `payload` replaces what it carries."""
    values: dict[str, Any] = {"error": error[:LONGEST_ERROR], "not_before": CLOCK + again_in}
    values |= {"payload": payload} if payload else {}
    session.execute(sa.update(OutboxRow).where(OutboxRow.id == message_id, OutboxRow.done_at.is_(None)).values(values))


def waiting(session: Session, kind: str) -> Waiting:
    """What of this kind has not gone out."""
    open_ones = (OutboxRow.kind == kind, OutboxRow.done_at.is_(None))
    counted = sa.select(sa.func.count(), sa.func.count(OutboxRow.error)).where(*open_ones)
    number, failed = session.execute(counted).one()
    newest = sa.select(OutboxRow.error).where(*open_ones, OutboxRow.error.is_not(None)).order_by(OutboxRow.not_before.desc()).limit(1)
    return Waiting(number, failed, session.scalar(newest))
