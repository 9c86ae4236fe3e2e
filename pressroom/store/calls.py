"""The call ledger: every request to a model and its answer, so that what was paid once is never paid again.

A row is `pending` before its request leaves, `answered` once the raw answer is booked, `failed` when none came. A pending row belongs
to a living process: when that process is gone, another one takes the row over, with the id of an answer that the endpoint makes in the
background. A `batched` row belongs to its batch until that is collected.
"""

import math
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.records import Usage
from pressroom.store.engine import Store
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import ModelCallRow

# A living owner looks dead for up to a second while its database restarts; a dead one stays dead.
DEAD_FOR_S = 1.5

_calls = ModelCallRow.__table__
assert isinstance(_calls, sa.Table)
_c = _calls.c

# Statements are made once, and bypass the ORM: a run of a thousand replays spends its time on them.
_here = _c.request_hash == sa.bindparam("key")
_ROW = sa.select(
    *(_c.request_hash, _c.status, _c.owner, _c.remote_id, _c.batch_id, _c.answer, _c.cost_usd),
    *(_c.input_tokens, _c.cached_tokens, _c.cache_write_tokens, _c.output_tokens, _c.reasoning_tokens, _c.images, _c.compute_ms),
)
# Retention empties old answers: what it emptied is asked anew.
_FIND = _ROW.where(
    _c.request_hash.in_(sa.bindparam("keys", expanding=True)),
    (_c.status == "batched") | ((_c.status == "answered") & _c.answer.is_not(None)),
)
_LOOK = _ROW.where(_here)
_LOCK = _LOOK.with_for_update()
_ENTER = insert(_calls).on_conflict_do_nothing().returning(_c.request_hash)
_TAKE = (
    sa.update(_calls)
    .where(_here, _c.status == sa.bindparam("seen_status"), _c.owner.is_not_distinct_from(sa.bindparam("seen_owner", type_=sa.BigInteger)))
    .values(status="pending", owner=sa.bindparam("me"), asset=sa.bindparam("for_asset"), run_id=sa.bindparam("for_run"), error=None)
    .returning(_c.request_hash)
)
_FAIL = (
    sa.update(_calls)
    .where(_here, _c.status == "pending", _c.owner == sa.bindparam("me"))
    .values(status="failed", owner=None, error=sa.bindparam("why"), attempts=sa.bindparam("tries"))
)
_REMEMBER = (
    sa.update(_calls)
    .where(_here, _c.status == "pending", _c.owner == sa.bindparam("me"))
    .values(remote_id=sa.bindparam("remote", type_=sa.String))
)
_SPENT = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "images", "compute_ms", "cost_usd")
# To what stands: an answer that retention emptied was paid too. Of two bills one without a price leaves the other as it is.
_MORE = {name: sa.func.coalesce(_c[name] + (new := sa.bindparam(f"new_{name}", type_=_c[name].type)), _c[name], new) for name in _SPENT}
_BOOK = (
    sa.update(_calls)
    .where(_here, _c.status != "answered")
    .values(
        {name: sa.bindparam(f"new_{name}", type_=_c[name].type) for name in ("answer", "attempts")}
        | _MORE
        | {"status": "answered", "owner": None, "error": None, "answered_at": sa.func.now()}
    )
    .returning(_c.request_hash)
)
_ADD = sa.update(_calls).where(_here).values(_MORE)


@dataclass(frozen=True)
class Entry:
    """What is asked, by whom and what for. `request` is the document that `request_hash` is the hash of."""

    request_hash: str
    account_id: uuid.UUID
    site_id: uuid.UUID | None
    purpose: str
    item: str
    generation: str
    prompt_id: str
    prompt_version: str
    provider: str
    model: str
    request: dict[str, Any]
    asset: str | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class Booked:
    """An answer as it stands in the ledger. `cost_usd` None: no price was known, or the endpoint did not say what it used."""

    body: dict[str, Any]
    usage: Usage
    cost_usd: Decimal | None


@dataclass(frozen=True)
class Ours:
    """The call is this process's to make; `remote_id` names an answer that is being made in the background already."""

    remote_id: str | None = None


@dataclass(frozen=True)
class Batched:
    """The call went out with a batch and is answered when that is collected."""

    batch_id: uuid.UUID


Claim = Ours | Batched | Booked | Literal["busy"]


@dataclass(frozen=True)
class Totals:
    """What the calls of a run came to: answers paid for, calls without an answer, tokens, USD, and answers without a price."""

    paid: int
    failed: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    unpriced: int


class Ledger:
    """The calls of one process; threads may share it. One ledger to an `OwnerLock`: a row of this owner is in work here or nowhere."""

    def __init__(self, store: Store, owner: OwnerLock) -> None:
        self._store = store
        self._owner = owner
        self._mutex = threading.Lock()
        self._in_work: set[str] = set()
        self._looked_dead: dict[tuple[str, int | None], float] = {}  # requests and their owners, and since when

    def claim(self, entry: Entry) -> Claim:
        """The booked answer; or Ours: ask, then `book` or `fail`; or "busy": someone living is asking, look again soon; or Batched."""
        key = entry.request_hash
        with self._mutex:
            if key in self._in_work:
                return "busy"
            self._in_work.add(key)
        claim: Claim = "busy"
        try:
            claim = self._store.each_alone(lambda database: self._claim(database, entry))
        finally:
            if not isinstance(claim, Ours):
                self._done(key)
        return claim

    def find(self, request_hashes: Sequence[str]) -> dict[str, Booked | Batched]:
        """Those of these requests that are answered, or in a batch."""
        rows = self._store.each_alone(lambda database: database.execute(_FIND, {"keys": list(request_hashes)}).all())
        return {row.request_hash: Batched(row.batch_id) if row.status == "batched" else _booked(row) for row in rows}

    def remember(self, request_hash: str, remote_id: str | None) -> None:
        """Books the id under which the endpoint makes the answer, so that whoever takes the call over asks for that one."""
        values = {"key": request_hash, "me": self._owner.key, "remote": remote_id}
        self._store.each_alone(lambda database: database.execute(_REMEMBER, values))

    def book(self, request_hash: str, body: dict[str, Any], usage: Usage | None, cost_usd: Decimal | None, *, attempts: int) -> Booked:
        """Books an answer, in one statement, and returns what stands. Safe to repeat.

        Where another process took the row over and was answered first, its answer stands and this bill is added to it.
        """
        answer = storable_answer(body, usage, cost_usd)
        try:
            values = _booking(request_hash, answer, attempts)
            if self._store.each_alone(lambda database: database.execute(_BOOK, values).one_or_none()):
                return answer
            return self._store.retrying(lambda session: book_in(session, request_hash, answer, attempts=attempts))
        finally:
            self._done(request_hash)

    def fail(self, request_hash: str, error: str, *, attempts: int) -> None:
        """Says that no answer came, and why; whoever asks next asks anew."""
        values = {"key": request_hash, "me": self._owner.key, "why": _storable(error), "tries": attempts}
        try:
            self._store.each_alone(lambda database: database.execute(_FAIL, values))
        finally:
            self._done(request_hash)

    def let_go(self, request_hash: str) -> None:
        """Says that the call went out with a batch: what becomes of it is no longer this ledger's to say."""
        self._done(request_hash)

    def _done(self, request_hash: str) -> None:
        with self._mutex:
            self._in_work.discard(request_hash)

    def _claim(self, database: sa.Connection, entry: Entry) -> Claim:
        """Each statement is safe alone: a row is entered only where there is none, and taken over only as it was seen."""
        key, me = {"key": entry.request_hash}, self._owner.key
        row = database.execute(_LOOK, key).one_or_none()
        if row is None:
            fields = vars(entry) | {"request": _storable(entry.request), "status": "pending", "owner": me}
            return Ours() if database.execute(_ENTER, fields).one_or_none() else "busy"
        if row.status == "answered" and row.answer is not None:
            return _booked(row)
        if row.status == "batched":
            return Batched(row.batch_id)
        if row.status == "pending" and row.owner != me and not self._is_dead(database, row):
            return "busy"
        seen = {"seen_status": row.status, "seen_owner": row.owner}
        taken = database.execute(_TAKE, key | seen | {"me": me, "for_asset": entry.asset, "for_run": entry.run_id}).one_or_none()
        return Ours(None if row.status == "answered" else row.remote_id) if taken else "busy"

    def _is_dead(self, database: sa.Connection, row: sa.Row[*tuple[Any, ...]]) -> bool:
        """Whether the row's owner is gone, and was when this was asked a while ago."""
        if row.owner is not None and OwnerLock.is_alive(database, row.owner):
            self._looked_dead.pop((row.request_hash, row.owner), None)
            return False
        return time.monotonic() - self._looked_dead.setdefault((row.request_hash, row.owner), time.monotonic()) > DEAD_FOR_S


def calls_of_run(session: Session, run_id: str) -> Totals:
    """What the run paid for. Replays leave no row: they are in the run's own tally."""
    answered = _c.status == "answered"
    figures = sa.select(
        sa.func.count().filter(answered),
        sa.func.count().filter(_c.status == "failed"),
        sa.func.coalesce(sa.func.sum(_c.input_tokens), 0),
        sa.func.coalesce(sa.func.sum(_c.output_tokens), 0),
        sa.func.coalesce(sa.func.sum(_c.cost_usd), Decimal(0)),
        sa.func.count().filter(answered & _c.cost_usd.is_(None)),
    )
    return Totals(*session.execute(figures.where(_c.run_id == run_id)).one())


def storable_answer(body: dict[str, Any], usage: Usage | None, cost_usd: Decimal | None) -> Booked:
    """An answer as the ledger can hold it: without what JSONB cannot."""
    return Booked(_storable(body), usage or Usage(), cost_usd)


def book_in(session: Session, request_hash: str, answer: Booked, *, attempts: int) -> Booked:
    """As `Ledger.book`, in a transaction of the caller's own."""
    database, values = session.connection(), _booking(request_hash, answer, attempts)
    if database.execute(_BOOK, values).one_or_none():
        return answer
    stands = database.execute(_LOCK, {"key": request_hash}).one()
    if stands.answer != answer.body:
        database.execute(_ADD, {name: values[name] for name in ("key", *(f"new_{name}" for name in _SPENT))})
    return _booked(stands)


def _booking(request_hash: str, answer: Booked, attempts: int) -> dict[str, Any]:
    """The parameters of `_BOOK`."""
    usage = answer.usage
    figures = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning, usage.images, usage.compute_ms, answer.cost_usd)
    spent = {f"new_{name}": figure for name, figure in zip(_SPENT, figures, strict=True)}
    return {"key": request_hash, "new_answer": answer.body, "new_attempts": attempts} | spent


def _booked(row: sa.Row[*tuple[Any, ...]]) -> Booked:
    usage = Usage(
        input=row.input_tokens,
        cached=row.cached_tokens,
        cache_write=row.cache_write_tokens,
        output=row.output_tokens,
        reasoning=row.reasoning_tokens,
        images=row.images,
        compute_ms=row.compute_ms,
    )
    return Booked(row.answer or {}, usage, row.cost_usd)


def _storable(value: Any) -> Any:
    """`value` without what JSONB cannot hold: zero characters, halves of surrogate pairs, and numbers that are none."""
    match value:
        case dict():
            return {_storable(key): _storable(part) for key, part in value.items()}
        case list() | tuple():
            return [_storable(part) for part in value]
        case str():
            return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode() if not value.isascii() or "\0" in value else value
        case float() if not math.isfinite(value):
            return None
    return value
