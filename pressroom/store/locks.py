"""Who lives and who holds what, told by PostgreSQL's advisory locks: they end with the process, however it ends.

`OwnerLock` marks a living process. `hold_site` gives one run a site to itself, with a fencing number that each of its
transactions checks: a run that lost its lock to a restart of the database and its site to another run writes nothing more.
The connections of the locks must reach the server itself: a transaction pooler would hand their session to others.
"""

import random
import select
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pressroom.errors import BadInput, LostSite, PressroomError, SiteBusy, Transient, VideoBusy
from pressroom.store.engine import Store, repeated
from pressroom.store.tables import SiteRow

T = TypeVar("T")

FIRST_LOOK_S, LONGEST_LOOK_S = 0.05, 1.0  # between two tries for a busy site
# After a cut in the network the server may keep our old session's lock a little; beyond 5 s it is another run's.
RETAKE_FOR_S = 5.0
# A holder whose server went away looks twice a second whether it is back: less than the 1 s that the fastest restart takes.
KEEPER_LOOKS_EVERY_S = 0.5

_HELD = sa.text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid = (CAST(:key AS bigint) >> 32)::oid AND objid = (CAST(:key AS bigint) & 4294967295)::oid)"
)


class OwnerLock:
    """The sign of life of this process: a lock with a random key, which its pending work names as owner.

    When the server goes away, the lock is taken again as soon as it is back: a living owner looks dead for a second at most.
    """

    def __init__(self, store: Store) -> None:
        self._lock = _Lock(store, random.SystemRandom().getrandbits(63))
        self._lock.take()
        self._keeper = _Keeper(self._lock)

    @property
    def key(self) -> int:
        """A positive 63-bit number, the same for the life of this object."""
        return self._lock.key

    @staticmethod
    def is_alive(session: Session | sa.Connection, key: int) -> bool:
        """Whether some process holds the lock `key` now."""
        return bool(session.scalar(_HELD, {"key": key}))

    def close(self) -> None:
        self._keeper.close()
        self._lock.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class HeldSite:
    """A site that one run has to itself. Made by `hold_site`; threads of the run may share it."""

    def __init__(self, store: Store, site_id: uuid.UUID, slug: str, run: str, fence: int, lock: "_Lock") -> None:
        self.site_id = site_id
        self.run = run
        self.fence = fence
        self._store = store
        self._slug = slug
        self._lock = lock
        self._mutex = threading.Lock()
        self._is_lost = False

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A store transaction that commits only while the site is this run's. Raises LostSite when it no longer is."""
        self._keep()
        with self._store.transaction() as session:
            # FOR SHARE: a run that takes over waits until this transaction has ended.
            if session.scalar(sa.select(SiteRow.fence).where(SiteRow.id == self.site_id).with_for_update(read=True)) != self.fence:
                raise self._lost()
            yield session

    def retrying(self, work: Callable[[Session], T]) -> T:
        """As `Store.retrying`, inside `transaction`."""

        def once() -> T:
            with self.transaction() as session:
                return work(session)

        return repeated(once)

    def release(self) -> None:
        if not self._is_lost:
            ours = (SiteRow.id == self.site_id) & (SiteRow.fence == self.fence)
            with suppress(PressroomError), self._store.transaction() as session:
                session.execute(sa.update(SiteRow).where(ours).values(held_by=None))
        self._lock.drop()

    def _keep(self) -> None:
        """Takes the lock again when the database dropped it and no other run has taken the site since."""
        with self._mutex:
            if self._is_lost:
                raise self._lost()
            if self._lock.is_held():
                return
            deadline = time.monotonic() + RETAKE_FOR_S
            while True:
                taken = self._lock.take()
                with self._store.transaction() as session:
                    fence = session.scalar(sa.select(SiteRow.fence).where(SiteRow.id == self.site_id))
                if fence != self.fence or (not taken and time.monotonic() > deadline):
                    raise self._lost()
                if taken:
                    return
                time.sleep(FIRST_LOOK_S)

    def _lost(self) -> LostSite:
        self._is_lost = True
        self._lock.drop()
        return LostSite(f"run {self.run} no longer holds site {self._slug}: another run has taken it, and this one writes nothing more")


@contextmanager
def hold_site(store: Store, site_id: uuid.UUID, run: str, *, wait_s: float, on_wait: Callable[[str], None]) -> Iterator[HeldSite]:
    """The site for `run` alone while the block lasts; the same run may enter again in this process.

    Waits up to `wait_s` seconds for another run, telling `on_wait` in one line who holds it. Raises SiteBusy after that,
    BadInput when there is no such site.
    """
    name = (store.url, site_id, run)
    with _registry:
        entry = _entries.setdefault(name, _Entry())
        entry.users += 1
    try:
        with entry.taking:
            if entry.held is None:
                entry.held = _take(store, site_id, run, wait_s, on_wait)
        yield entry.held
    finally:
        with _registry:
            entry.users -= 1
            is_last = entry.users == 0
            if is_last:
                del _entries[name]
        if is_last and entry.held is not None:
            entry.held.release()


def site_holder(store: Store, site_id: uuid.UUID) -> str | None:
    """The run that holds the site now, or None when it is free. A run that was killed holds nothing."""
    with store.transaction() as session:
        if not session.scalar(_HELD, {"key": _key_of(site_id)}):
            return None
        return session.scalar(sa.select(SiteRow.held_by).where(SiteRow.id == site_id))


@contextmanager
def hold_video(store: Store, video_id: uuid.UUID, key: str, *, wait_s: float, on_wait: Callable[[str], None]) -> Iterator[None]:
    """The video for this run alone while the block lasts. Raises VideoBusy when another run keeps it for longer than `wait_s`.

    When the server goes away, the lock is taken again as soon as it is back, as an owner's is. Without a fence: should another run be
    quicker, what the two write is the same, because their calls are booked once and their rows are replaced whole.
    """
    lock, deadline, look = _Lock(store, _key_of(video_id)), time.monotonic() + wait_s, FIRST_LOOK_S
    try:
        while not lock.take():
            if time.monotonic() > deadline:
                raise VideoBusy(f"another run works on video {key}: wait for it, or terminate it in the UI")
            if look == FIRST_LOOK_S:
                on_wait(f"another run works on video {key}: waiting up to {wait_s:.0f} s")
            time.sleep(look)
            look = min(2 * look, LONGEST_LOOK_S)
        keeper = _Keeper(lock)
        try:
            yield
        finally:
            keeper.close()
    finally:
        lock.drop()


def is_video_held(store: Store, video_id: uuid.UUID) -> bool:
    """Whether some living run holds the video now."""
    with store.transaction() as session:
        return bool(session.scalar(_HELD, {"key": _key_of(video_id)}))


class _Lock:
    """One session-level advisory lock on a connection of its own. `key` is a positive 63-bit number."""

    def __init__(self, store: Store, key: int) -> None:
        self.key = key
        self._store = store
        self._connection: psycopg.Connection | None = None
        self._taken = False

    def take(self, *, start_server: bool = True) -> bool:
        """Tries once, on a new connection if there is none; False when another session has the lock.

        Raises Transient when the database does not answer.
        """
        if self._taken and self.is_held():
            return True
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._store.dedicated_connection(start_server=start_server)
            self._taken = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (self.key,)).fetchone() == (True,)
        except psycopg.Error as error:
            self.drop()
            raise self._store.explained(error) or error from error
        return self._taken

    def is_held(self) -> bool:
        """Whether the session that took the lock still stands, by asking it."""
        if self._connection is None or not self._taken:
            return False
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            self.drop()
            return False
        return True

    def may_be_lost(self) -> bool:
        """Whether the lock is not held, or the server has said something on the session, which it does only at its end; costs it nothing
        to ask."""
        if self._connection is None or not self._taken:
            return True
        try:
            return bool(select.select([self._connection.fileno()], [], [], 0)[0])
        except (OSError, ValueError, psycopg.Error):
            return True

    def drop(self) -> None:
        """Gives the lock back: said aloud, because the server notices a closed connection only some milliseconds later."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                if self._taken:
                    self._connection.execute("SELECT pg_advisory_unlock(%s)", (self.key,))
            self._connection.close()
        self._connection = None
        self._taken = False


class _Keeper:
    """Takes `lock` again whenever the server dropped its session, in a thread of its own until it is closed."""

    def __init__(self, lock: _Lock) -> None:
        self._lock = lock
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="pressroom lock keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._closing.wait(KEEPER_LOOKS_EVERY_S):
            if self._lock.may_be_lost():
                with suppress(Transient):  # the next look tries again; a server that was stopped is not started for this
                    self._lock.take(start_server=False)


class _Entry:
    """A site that this process holds or is taking, and by how many blocks."""

    def __init__(self) -> None:
        self.users = 0
        self.taking = threading.Lock()
        self.held: HeldSite | None = None


_registry = threading.Lock()
_entries: dict[tuple[sa.URL, uuid.UUID, str], _Entry] = {}


def _key_of(site_id: uuid.UUID) -> int:
    return site_id.int >> 65


def _take(store: Store, site_id: uuid.UUID, run: str, wait_s: float, on_wait: Callable[[str], None]) -> HeldSite:
    with store.transaction() as session:
        slug = session.scalar(sa.select(SiteRow.slug).where(SiteRow.id == site_id))
    if slug is None:
        raise BadInput(f"there is no site with the id {site_id}: apply its file first")
    lock = _Lock(store, _key_of(site_id))
    try:
        _wait_for(store, lock, site_id, slug, wait_s, on_wait)
        with store.transaction() as session:
            mine = {SiteRow.fence: SiteRow.fence + 1, SiteRow.held_by: run}
            fence = session.scalar(sa.update(SiteRow).where(SiteRow.id == site_id).values(mine).returning(SiteRow.fence))
        if fence is None:
            raise BadInput(f"site {slug} was removed meanwhile")
    except BaseException:
        lock.drop()
        raise
    return HeldSite(store, site_id, slug, run, fence, lock)


def _wait_for(store: Store, lock: _Lock, site_id: uuid.UUID, slug: str, wait_s: float, on_wait: Callable[[str], None]) -> None:
    deadline = time.monotonic() + wait_s
    pause = FIRST_LOOK_S
    told: str | None = None
    while not lock.take():
        holder = site_holder(store, site_id) or "another run"
        left = deadline - time.monotonic()
        if left <= 0:
            raise SiteBusy(f"site {slug} is held by run {holder}: wait for it to end, or cancel it")
        if holder != told:
            told = holder
            on_wait(f"site {slug} is held by run {holder}; waiting up to {left:.0f} s for it")
        time.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_LOOK_S)
