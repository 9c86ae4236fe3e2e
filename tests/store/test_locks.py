"""One run to a site, and a sign of life for each process: held against real processes, kill -9 and dropped sessions."""

import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from pressroom.errors import BadInput, LostSite, SiteBusy, VideoBusy
from pressroom.records import Site, stable_id
from pressroom.settings import Settings
from pressroom.store.embedded import server_status, stop_server
from pressroom.store.engine import Store, open_store
from pressroom.store.locks import OwnerLock, hold_site, hold_video, is_video_held, site_holder
from pressroom.store.sites import apply_site
from pressroom.store.tables import AccountRow

SITE = Site(slug="bike-shop", name="Bike Shop", domain="bikes.example", field="bicycles", audience="commuters")


@pytest.fixture
def site(store: Store) -> uuid.UUID:
    with store.transaction() as session:
        apply_site(session, SITE)
    return SITE.id


class Process:
    """A process of its own that takes orders."""

    def __init__(self, store: Store, run: str) -> None:
        script = Path(__file__).with_name("holding_process.py")
        url = store.url.render_as_string(hide_password=False)
        command = [sys.executable, str(script), url, str(SITE.id), run]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def order(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def processes(store: Store, *runs: str) -> Iterator[list[Process]]:
    started = [Process(store, run) for run in runs]
    try:
        assert [process.answer() for process in started] == ["ready"] * len(started)
        yield started
    finally:
        for process in started:
            process.kill()


def drop_lock_sessions(store: Store) -> None:
    """What a restart of the server does to the sessions that hold advisory locks of this database, without the restart."""
    with store.transaction() as session:
        session.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )


def silent(line: str) -> None:
    """For those who wait unseen."""


def test_a_site_is_held_by_one_run_and_free_afterwards(store: Store, site: uuid.UUID) -> None:
    assert site_holder(store, site) is None
    with hold_site(store, site, "run-1", wait_s=0, on_wait=silent) as held:
        assert site_holder(store, site) == "run-1"
        assert held.fence == 1
        with pytest.raises(SiteBusy, match="bike-shop is held by run run-1"), hold_site(store, site, "run-2", wait_s=0, on_wait=silent):
            pytest.fail("two runs hold one site")
    assert site_holder(store, site) is None
    with hold_site(store, site, "run-2", wait_s=0, on_wait=silent) as held:
        assert held.fence == 2, "every run that takes the site gets a higher fence"


def test_the_same_run_may_enter_its_site_again(store: Store, site: uuid.UUID) -> None:
    with hold_site(store, site, "run-1", wait_s=0, on_wait=silent) as outer:
        with hold_site(store, site, "run-1", wait_s=0, on_wait=silent) as inner:
            assert inner is outer
        assert site_holder(store, site) == "run-1", "the inner block must not give the site away"
        with outer.transaction() as session:
            session.add(AccountRow(id=stable_id("account", "x"), slug="x"))


def test_a_waiting_run_is_told_who_holds_the_site_and_gets_it_when_it_is_free(store: Store, site: uuid.UUID) -> None:
    told: list[str] = []

    def enter_and_leave() -> None:
        with hold_site(store, site, "run-2", wait_s=10, on_wait=told.append):
            told.append("entered")

    waiter = threading.Thread(target=enter_and_leave)
    with hold_site(store, site, "run-1", wait_s=0, on_wait=silent):
        waiter.start()
        time.sleep(0.3)
        assert len(told) == 1
        assert "bike-shop is held by run run-1" in told[0]
    waiter.join(5)
    assert told[1:] == ["entered"]


def test_an_unknown_site_cannot_be_held(store: Store) -> None:
    with pytest.raises(BadInput, match="no site"), hold_site(store, uuid.uuid4(), "run-1", wait_s=0, on_wait=silent):
        pytest.fail("a run holds what is not there")


def test_a_run_whose_lock_was_dropped_goes_on_when_nobody_took_its_site(store: Store, site: uuid.UUID) -> None:
    with hold_site(store, site, "run-1", wait_s=0, on_wait=silent) as held:
        drop_lock_sessions(store)
        assert site_holder(store, site) is None
        with held.transaction() as session:
            session.add(AccountRow(id=stable_id("account", "x"), slug="x"))
        assert site_holder(store, site) == "run-1", "the first write takes the lock again"
        assert held.fence == 1


def test_a_run_whose_site_was_taken_writes_nothing_more(store: Store, site: uuid.UUID) -> None:
    """The database restarts, another run takes the site, and the first one, still busy with a model's answer, comes back to write."""
    with hold_site(store, site, "run-1", wait_s=0, on_wait=silent) as first:
        drop_lock_sessions(store)
        with hold_site(store, site, "run-2", wait_s=0, on_wait=silent) as second:
            for _ in range(2):
                with pytest.raises(LostSite, match="run-1 no longer holds site bike-shop"), first.transaction() as session:
                    session.add(AccountRow(id=stable_id("account", "x"), slug="x"))
            with second.transaction() as session:
                assert session.scalars(sa.select(AccountRow.slug).where(AccountRow.slug == "x")).all() == []
        with pytest.raises(LostSite), first.transaction():
            pytest.fail("a run that lost its site could write once the other had ended")
    assert site_holder(store, site) is None


def test_a_run_that_takes_over_waits_for_the_write_in_flight(store: Store, site: uuid.UUID) -> None:
    """Between the check of the fence and the commit nobody can slip in."""
    order: list[str] = []
    taken = threading.Event()

    def take_over() -> None:
        with hold_site(store, site, "run-2", wait_s=5, on_wait=silent):
            order.append("taken")
            taken.wait(5)

    with hold_site(store, site, "run-1", wait_s=0, on_wait=silent) as held:
        thread = threading.Thread(target=take_over)
        with held.transaction() as session:
            session.add(AccountRow(id=stable_id("account", "x"), slug="x"))
            session.flush()
            drop_lock_sessions(store)
            thread.start()
            time.sleep(0.3)
            order.append("written")
        while len(order) < 2:
            time.sleep(0.01)
        assert order == ["written", "taken"]
        with pytest.raises(LostSite), held.transaction():
            pytest.fail("a run that lost its site could write")
        taken.set()
        thread.join(5)


def test_an_owner_is_alive_until_it_is_closed(store: Store) -> None:
    with OwnerLock(store) as owner, store.transaction() as session:
        assert 0 <= owner.key < 2**63
        assert OwnerLock.is_alive(session, owner.key)
        assert not OwnerLock.is_alive(session, owner.key ^ 1)
    with store.transaction() as session:
        assert not OwnerLock.is_alive(session, owner.key)


def test_an_owner_whose_session_was_dropped_is_soon_alive_again(store: Store) -> None:
    with OwnerLock(store) as owner:
        drop_lock_sessions(store)
        begin = time.monotonic()
        while not alive(store, owner.key):
            assert time.monotonic() - begin < 3, "a living owner looks dead, and its calls would be paid twice"
            time.sleep(0.02)


def alive(store: Store, key: int) -> bool:
    with store.transaction() as session:
        return OwnerLock.is_alive(session, key)


@pytest.mark.long
def test_of_two_processes_that_race_for_a_site_exactly_one_wins_each_time(store: Store, site: uuid.UUID) -> None:
    with processes(store, "run-1", "run-2") as both:
        winners = set()
        for round_number in range(1, 51):
            for process in both if round_number % 2 else both[::-1]:
                process.order("take 0")
            answers = [process.answer() for process in both]
            assert sorted(answers) == ["SiteBusy", f"held {round_number}"]
            winner = answers.index(f"held {round_number}")
            winners.add(winner)
            both[winner].order("release")
            assert both[winner].answer() == "released"
        assert winners == {0, 1}, "a race that always has the same winner was none"


@pytest.mark.long
def test_kill_9_of_the_holder_frees_its_site_and_its_owner_lock(store: Store, site: uuid.UUID) -> None:
    with processes(store, "run-1") as (holder,):
        holder.order("take 0")
        assert holder.answer() == "held 1"
        holder.order("own")
        key = int(holder.answer().split()[1])
        assert alive(store, key)
        assert site_holder(store, site) == "run-1"
        holder.kill()
        with hold_site(store, site, "run-2", wait_s=2, on_wait=silent) as held:
            assert held.fence == 2
        assert not alive(store, key)


@pytest.mark.long
def test_a_run_keeps_its_site_through_kill_9_of_the_server() -> None:
    """The server is killed while the run holds its site: the next write has it started again and the lock taken again."""
    with tempfile.TemporaryDirectory(prefix="pressroom-home-") as folder:
        home = Path(folder)
        try:
            with open_store(Settings(home=home)) as store, OwnerLock(store) as owner:
                with store.transaction() as session:
                    apply_site(session, SITE)
                with hold_site(store, SITE.id, "run-1", wait_s=0, on_wait=silent) as held:
                    server = psutil.Process(server_status(home).pid)
                    for process in (server, *server.children()):  # its sessions too: alone they live on for some milliseconds
                        process.kill()
                    held.retrying(lambda session: session.merge(AccountRow(id=stable_id("account", "x"), slug="x")))
                    assert (site_holder(store, SITE.id), held.fence) == ("run-1", 1)
                deadline = time.monotonic() + 10
                while not alive(store, owner.key):
                    assert time.monotonic() < deadline, "the owner takes its lock again by itself"
                    time.sleep(0.05)
        finally:
            stop_server(home)


def test_a_run_whose_video_lock_was_dropped_soon_holds_its_video_again(store: Store) -> None:
    """Else another run begins with a video that is being looked at, after every restart of the database."""
    video = uuid.uuid4()
    with hold_video(store, video, "2026-11-20.brew.film", wait_s=0, on_wait=silent):
        drop_lock_sessions(store)
        assert not is_video_held(store, video)
        begin = time.monotonic()
        while not is_video_held(store, video):
            assert time.monotonic() - begin < 10
            time.sleep(0.02)
        with pytest.raises(VideoBusy), hold_video(store, video, "2026-11-20.brew.film", wait_s=0, on_wait=silent):
            pytest.fail("two runs hold one video")
    assert not is_video_held(store, video)


def test_a_run_whose_video_was_taken_holds_it_again_when_the_other_has_ended(store: Store) -> None:
    video = uuid.uuid4()
    with hold_video(store, video, "film", wait_s=0, on_wait=silent):
        drop_lock_sessions(store)
        with hold_video(store, video, "film", wait_s=5, on_wait=silent):
            time.sleep(0.6)  # the first one's keeper has looked, and has been refused
        begin = time.monotonic()
        while not is_video_held(store, video):
            assert time.monotonic() - begin < 10
            time.sleep(0.02)
