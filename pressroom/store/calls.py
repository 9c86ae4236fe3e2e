"""The call ledger: every request to a model and its answer, so that what was paid once is never paid again.

A row is `pending` before its request leaves, `answered` once the raw answer is booked, `failed` when none came. A pending row belongs
to a living process: when that process is gone, another one takes the row over, with the id of an answer that the endpoint makes in the
background. A `batched` row belongs to its batch until that is collected.
"""

import math
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
_LOCK = _ROW.where(_here).with_for_update()
_LOOK = _ROW.where(_c.request_hash == sa.any_(sa.bindparam("keys", type_=sa.ARRAY(sa.String))))
# Retention empties old answers: what it emptied is asked anew.
_FIND = _LOOK.where((_c.status == "batched") | ((_c.status == "answered") & _c.answer.is_not(None)))


def _given(name: str, columns: Sequence[str]) -> sa.TableValuedAlias:
    """A table of rows that are one parameter, a list: a statement for fifty calls takes little longer than one for a single call."""
    typed = [sa.column(column, _c[column].type) for column in columns]
    return sa.func.json_to_recordset(sa.bindparam("rows", type_=sa.JSON)).table_valued(*typed, name=name).render_derived(with_types=True)


_ENTERED = (
    *("request_hash", "account_id", "site_id", "purpose", "item", "generation", "prompt_id", "prompt_version", "provider", "model"),
    *("request", "asset", "run_id", "status", "owner"),
)
# In order: two processes with the same calls wait one for the other, and not each for the other.
_ENTER = (
    insert(_calls)
    .from_select(_ENTERED, sa.select(entered := _given("entered", _ENTERED)).order_by(entered.c.request_hash))
    .on_conflict_do_nothing()
    .returning(_c.request_hash)
)
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
_known = _given("known", ("request_hash", "remote_id"))
_REMEMBER = (
    sa.update(_calls)
    .where(_c.request_hash == _known.c.request_hash, _c.status == "pending", _c.owner == sa.bindparam("me"))
    .values(remote_id=_known.c.remote_id)
)
_SPENT = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "images", "compute_ms", "cost_usd")
_bill = _given("bill", ("request_hash", "answer", "attempts", *_SPENT))
# To what stands: an answer that retention emptied was paid too. Of two bills one without a price leaves the other as it is.
_MORE = {name: sa.func.coalesce(_c[name] + _bill.c[name], _c[name], _bill.c[name]) for name in _SPENT}
_BOOK = (
    sa.update(_calls)
    .where(_c.request_hash == _bill.c.request_hash, _c.status != "answered")
    .values(
        {"answer": _bill.c.answer, "attempts": _bill.c.attempts}
        | _MORE
        | {"status": "answered", "owner": None, "error": None, "answered_at": sa.func.now()}
    )
    .returning(_c.request_hash)
)
_ADD = sa.update(_calls).where(_c.request_hash == _bill.c.request_hash).values(_MORE)


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
class Bill:
    """An answer that came for a request, to be booked, and the tries that it took."""

    request_hash: str
    answer: Booked
    attempts: int


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

    def claim(self, entries: Sequence[Entry]) -> list[Claim]:
        """For each: the booked answer; or Ours: ask, then `book` or `fail`; or "busy": someone living is asking, look again soon; or
        Batched. Two statements for all that are new, one for all that are known."""
        claims: dict[str, Claim] = {}
        with self._mutex:
            free = {entry.request_hash: entry for entry in entries if entry.request_hash not in self._in_work}
            self._in_work.update(free)
        try:
            if free:
                claims = self._store.each_alone(lambda database: self._claim(database, free))
        finally:
            self.let_go(*(key for key in free if not isinstance(claims.get(key), Ours)))
        # Of two of the same, the first one's it is.
        return [claims.pop(entry.request_hash, "busy") for entry in entries]

    def find(self, request_hashes: Sequence[str]) -> dict[str, Booked | Batched]:
        """Those of these requests that are answered, or in a batch."""
        rows = self._store.each_alone(lambda database: database.execute(_FIND, {"keys": list(request_hashes)}).all())
        return {row.request_hash: Batched(row.batch_id) if row.status == "batched" else _booked(row) for row in rows}

    def remember(self, remote_ids: Sequence[tuple[str, str | None]]) -> None:
        """Books for requests the ids under which the endpoint makes their answers: whoever takes a call over asks for that one."""
        rows = [{"request_hash": key, "remote_id": remote_id} for key, remote_id in remote_ids]
        self._store.each_alone(lambda database: database.execute(_REMEMBER, {"rows": rows, "me": self._owner.key}))

    def book(self, bills: Sequence[Bill]) -> list[Booked]:
        """Books answers, in one statement, and returns what stands. Safe to repeat.

        Where another process took a row over and was answered first, its answer stands and this bill is added to it.
        """
        try:
            bills = list(map(_storable_bill, bills))
            rows = [_row(bill) for bill in bills]
            booked = self._store.each_alone(lambda database: set(database.scalars(_BOOK, {"rows": rows})))
            return [
                bill.answer if bill.request_hash in booked else self._store.retrying(lambda session: book_in(session, bill))  # noqa: B023
                for bill in bills
            ]
        finally:
            self.let_go(*(bill.request_hash for bill in bills))

    def fail(self, request_hash: str, error: str, *, attempts: int) -> None:
        """Says that no answer came, and why; whoever asks next asks anew."""
        values = {"key": request_hash, "me": self._owner.key, "why": _storable(error), "tries": attempts}
        try:
            self._store.each_alone(lambda database: database.execute(_FAIL, values))
        finally:
            self.let_go(request_hash)

    def let_go(self, *request_hashes: str) -> None:
        """Says that calls are in work no more: what becomes of those that went out with a batch is no longer this ledger's to say."""
        with self._mutex:
            self._in_work.difference_update(request_hashes)

    def _claim(self, database: sa.Connection, entries: Mapping[str, Entry]) -> dict[str, Claim]:
        """Each statement is safe alone: a row is entered only where there is none, and taken over only as it was seen."""
        found = {row.request_hash: row for row in database.execute(_LOOK, {"keys": list(entries)})}
        claims = {key: self._claim_known(database, entries[key], row) for key, row in found.items()}
        if missing := [self._entered(entry) for key, entry in entries.items() if key not in found]:
            claims |= dict.fromkeys(database.scalars(_ENTER, {"rows": missing}), Ours())
        return claims

    def _entered(self, entry: Entry) -> dict[str, Any]:
        fields = vars(entry) | {"request": _storable(entry.request), "status": "pending", "owner": self._owner.key}
        return fields | {"account_id": str(entry.account_id), "site_id": str(entry.site_id) if entry.site_id else None}

    def _claim_known(self, database: sa.Connection, entry: Entry, row: sa.Row[*tuple[Any, ...]]) -> Claim:
        me = self._owner.key
        if row.status == "answered" and row.answer is not None:
            return _booked(row)
        if row.status == "batched":
            return Batched(row.batch_id)
        if row.status == "pending" and row.owner != me and not self._is_dead(database, row):
            return "busy"
        seen = {"key": entry.request_hash, "seen_status": row.status, "seen_owner": row.owner}
        taken = database.execute(_TAKE, seen | {"me": me, "for_asset": entry.asset, "for_run": entry.run_id}).one_or_none()
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


def book_in(session: Session, bill: Bill) -> Booked:
    """As `Ledger.book`, for one answer in a transaction of the caller's own."""
    bill = _storable_bill(bill)
    database, values = session.connection(), {"rows": [_row(bill)]}
    if database.execute(_BOOK, values).one_or_none():
        return bill.answer
    stands = database.execute(_LOCK, {"key": bill.request_hash}).one()
    if stands.answer != bill.answer.body:
        database.execute(_ADD, values)
    return _booked(stands)


def _storable_bill(bill: Bill) -> Bill:
    return replace(bill, answer=replace(bill.answer, body=_storable(bill.answer.body)))


def _row(bill: Bill) -> dict[str, Any]:
    """A row of `_bill`."""
    usage, cost = bill.answer.usage, bill.answer.cost_usd
    figures = (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning, usage.images, usage.compute_ms)
    spent = dict(zip(_SPENT, (*figures, None if cost is None else str(cost)), strict=True))
    return {"request_hash": bill.request_hash, "answer": bill.answer.body, "attempts": bill.attempts} | spent


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
