"""Runs of a video in processes of their own that are killed at some moment, and what the ledger knew of their predictions then."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from pressroom.store.engine import Store
from tests.dagster.films import screen
from tests.processes import PROCESSES

COMES_SO_FAR_S = 240  # a whole run takes 3 s on a machine that does nothing else


def _screen(folder: Path, environment: dict[str, str], key: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with dg.DagsterInstance.local_temp(str(folder), {"telemetry": {"enabled": False}}) as instance:
        screen(instance, key)


def killed(instance: Path, key: str, when: Callable[[], bool]) -> bool:
    """Whether a run of the video, in a process of its own on the instance in that folder, was killed: as soon as `when` holds."""
    process = PROCESSES.Process(target=_screen, args=(instance, dict(os.environ), key))
    process.start()
    deadline = time.monotonic() + COMES_SO_FAR_S
    try:
        while process.exitcode is None and not when():
            assert time.monotonic() < deadline, "it never came so far"
            time.sleep(0.005)
    finally:
        process.kill()
        process.join()
    return process.exitcode == -signal.SIGKILL


def lost_creates(store: Store) -> int:
    """Predictions that may have been created, of which no id was stored."""
    with store.transaction() as session:
        lost = sa.text("SELECT count(*) FROM model_calls WHERE status = 'pending' AND remote_id IS NULL")
        return int(session.execute(lost).scalar_one())


def stored_ids(store: Store) -> dict[str, str]:
    """The ids of predictions that are stored, by call. Each stays as it is: another one would have been paid for again."""
    with store.transaction() as session:
        query = sa.text("SELECT request_hash, remote_id FROM model_calls WHERE remote_id IS NOT NULL")
        return {row.request_hash: row.remote_id for row in session.execute(query)}
