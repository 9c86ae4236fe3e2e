"""Keeps a held task held while somebody is at it."""

import threading
import time
import uuid
from typing import Self

from pressroom.errors import PressroomError, Transient
from pressroom.review.tasks import Person, renew
from pressroom.store.engine import Store

BEAT_S = 30.0  # a lease lasts 120 s: three beats may fail before it ends
BEAT_AGAIN_S = 5.0  # after a beat that the database did not answer
IDLE_S = 1800.0  # a desk that nobody touched for so long, as long as a bare claim, lets its task go


class Heartbeat:
    """Renews a lease from a thread of its own, from entering the block to leaving it.

    Stops when the lease is lost (`lost` says why: the holder's next save is refused), and when nobody `touched` it for `idle_s`.
    """

    def __init__(self, store: Store, task_id: uuid.UUID, person: Person, *, every_s: float = BEAT_S, idle_s: float = IDLE_S) -> None:
        self._store, self._task_id, self._person = store, task_id, person
        self._every_s, self._idle_s = every_s, idle_s
        self._stop = threading.Event()
        self._ends_at = self._touched_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"heartbeat of task {task_id}", daemon=True)
        self.lost: PressroomError | None = None

    def __enter__(self) -> Self:
        """Beats once before anything else. Raises Conflict when the task is not held, Transient when the database is away."""
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def left_s(self) -> float:
        """Seconds that the lease still has, by the database's clock at the last beat; 0 when it is over or lost."""
        return 0.0 if self.lost else max(0.0, self._ends_at - time.monotonic())

    def touched(self) -> None:
        """Somebody is there."""
        self._touched_at = time.monotonic()

    def _beat(self) -> None:
        sent_at = time.monotonic()  # not when the answer came: the countdown must not promise more than there is
        with self._store.transaction() as session:
            task = renew(session, self._task_id, self._person)
        self._ends_at = sent_at + (task.lease_left_s or 0.0)

    def _run(self) -> None:
        wait_s = self._every_s
        while not self._stop.wait(wait_s):
            if time.monotonic() - self._touched_at > self._idle_s:
                wait_s = self._every_s
                continue
            try:
                self._beat()
                wait_s = self._every_s
            except Transient:
                wait_s = min(BEAT_AGAIN_S, self._every_s)
            except PressroomError as error:
                self.lost = error
                return
