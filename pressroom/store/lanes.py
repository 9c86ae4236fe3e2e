"""What all processes on the database know together of each model that they call: the lane's state, and who wants how much.

What the state means, and who may go, is the caller's: `turn` only makes all decide one after the other, by one clock.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.store.engine import Store
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import ModelDemandRow, ModelLaneRow

R = TypeVar("R")

LOOK_AGAIN_S = 1.0  # a process that lived just now is not looked at again for every turn
DEAD_FOR_S = 1.5  # as in the ledger: a living owner looks dead for up to a second while its database restarts
SILENT_S = 5.0  # who waits says so every second

_lanes, _demands = ModelLaneRow.__table__, ModelDemandRow.__table__
assert isinstance(_lanes, sa.Table)
assert isinstance(_demands, sa.Table)

_OPEN = insert(_lanes).on_conflict_do_nothing()
_LOOK = (
    sa.select(_lanes.c.state, sa.extract("epoch", sa.func.clock_timestamp()).cast(sa.Double).label("now"))
    .where(_lanes.c.name == sa.bindparam("lane"))
    .with_for_update()
)
_KEEP = sa.update(_lanes).where(_lanes.c.name == sa.bindparam("lane")).values(state=sa.bindparam("new_state", type_=_lanes.c.state.type))
# `xmin` is another one whenever the row was written.
_OTHERS: sa.Select[Any] = sa.select(_demands, sa.literal_column("xmin::text").label("version")).where(
    _demands.c.lane == sa.bindparam("lane"), _demands.c.owner != sa.bindparam("me")
)
_SAY = insert(_demands)
_SAY = _SAY.on_conflict_do_update(
    index_elements=["lane", "owner", "site"], set_={name: _SAY.excluded[name] for name in ("in_flight", "waiting", "tokens")}
)
_FORGET = sa.delete(_demands).where(_demands.c.owner == sa.bindparam("gone"))
_FORGET_SITE = _FORGET.where(_demands.c.lane == sa.bindparam("of_lane"), _demands.c.site == sa.bindparam("of_site"))


@dataclass(frozen=True)
class Demand:
    """What one process has on a lane for one site: calls in flight, calls that wait, and their tokens, in the order in which they wait."""

    site: str
    in_flight: int
    waiting: int = 0
    tokens: Sequence[int] = ()

    def cost(self, number: int) -> int:
        """Tokens of the waiting call with this number; beyond those that are known, as many as the last."""
        return self.tokens[min(number, len(self.tokens) - 1)] if self.tokens else 0


# The lane's state, what the others want, and the time in seconds; to the new state, what this process has from now on, and the decision.
Decide = Callable[[dict[str, Any], Sequence[Demand], float], tuple[dict[str, Any], Sequence[Demand], R]]


class LaneBook:
    """What one process tells and asks of the lanes. Threads may share it."""

    def __init__(self, store: Store, owner: OwnerLock) -> None:
        self._store = store
        self._owner = owner
        self._lived: dict[int, float] = {}  # owners that lived, and when
        self._looked_dead: dict[int, float] = {}  # owners that did not, and since when
        self._said: dict[tuple[str, int, str], tuple[str, float]] = {}  # by lane, owner and site: its last word, and since when

    def turn(self, lane: str, decide: Decide[R]) -> R:
        """What `decide` makes of the lane, booked in one transaction that all processes go through one after the other.

        `decide` must be safe to repeat. The processes that it is told of are those that live, and what waits there counts while they ask
        for it. Raises Transient when the database does not answer for 15 s.
        """
        return self._store.retrying(lambda session: self._turn(session, lane, decide))

    def leave(self) -> None:
        """This process has nothing and wants nothing any more, on any lane."""
        self._store.retrying(lambda session: session.connection().execute(_FORGET, {"gone": self._owner.key}))

    def _turn(self, session: Session, lane: str, decide: Decide[R]) -> R:
        database, key = session.connection(), {"lane": lane}
        row = database.execute(_LOOK, key).one_or_none()
        if row is None:
            database.execute(_OPEN, {"name": lane, "state": {}})
            row = database.execute(_LOOK, key).one()
        state, demands, decision = decide(row.state, self._others(session, lane), row.now)
        if state != row.state:
            database.execute(_KEEP, key | {"new_state": state})
        for demand in demands:
            if demand.in_flight or demand.waiting:
                said = {"site": demand.site, "in_flight": demand.in_flight, "waiting": demand.waiting, "tokens": demand.cost(0)}
                database.execute(_SAY, key | {"owner": self._owner.key} | said)
            else:
                database.execute(_FORGET_SITE, {"gone": self._owner.key, "of_lane": lane, "of_site": demand.site})
        return decision

    def _others(self, session: Session, lane: str) -> list[Demand]:
        """What the other living processes have. Rows of the dead are taken away."""
        rows = session.connection().execute(_OTHERS, {"lane": lane, "me": self._owner.key}).all()
        living = {owner: self._lives(session, owner) for owner in {row.owner for row in rows}}
        for owner in (owner for owner, lives in living.items() if not lives):
            session.connection().execute(_FORGET, {"gone": owner})
        rows = [row for row in rows if living[row.owner]]
        return [Demand(row.site, row.in_flight, row.waiting if self._is_heard(row) else 0, (row.tokens,)) for row in rows]

    def _is_heard(self, row: sa.Row[*tuple[Any, ...]]) -> bool:
        """Whether the row was written lately: a stopped process keeps what it has in flight, and nobody waits for what it wants."""
        now, who = time.monotonic(), (row.lane, row.owner, row.site)
        version, since = self._said.get(who, ("", now))
        if row.version != version:
            self._said[who] = (row.version, since := now)
        return now - since < SILENT_S

    def _lives(self, session: Session, owner: int) -> bool:
        now = time.monotonic()
        if now - self._lived.get(owner, -LOOK_AGAIN_S) < LOOK_AGAIN_S:
            return True
        if OwnerLock.is_alive(session, owner):
            self._looked_dead.pop(owner, None)
            self._lived[owner] = now
            return True
        return now - self._looked_dead.setdefault(owner, now) < DEAD_FOR_S


def lane_states(session: Session) -> tuple[dict[str, dict[str, Any]], float]:
    """What is known of every lane, and the time in seconds by the clock that it is known by."""
    states = {row.name: row.state for row in session.connection().execute(sa.select(_lanes))}
    return states, session.scalar(sa.select(sa.extract("epoch", sa.func.clock_timestamp()).cast(sa.Double))) or 0.0
