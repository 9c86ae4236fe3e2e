"""The call ledger by itself: who may ask, what is booked, and what a death or a lost database leaves."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
import sqlalchemy as sa

from pressroom.records import Usage, stable_id
from pressroom.store.calls import Booked, Claim, Entry, Ledger, Ours, calls_of_run
from pressroom.store.engine import Store
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import AccountRow, ModelCallRow, SiteRow

USAGE = Usage(input=100, cached=20, output=30, reasoning=5)
COST = Decimal("0.000090")


@pytest.fixture
def entry(store: Store) -> Entry:
    account, site = stable_id("account", "a"), stable_id("site", "harbour")
    with store.transaction() as session:
        session.add(AccountRow(id=account, slug="a"))
        session.flush()
        session.add(SiteRow(id=site, account_id=account, slug="harbour", definition={}))
    return Entry(
        request_hash="5e" * 32,
        account_id=account,
        site_id=site,
        purpose="draft",
        item="idea/1",
        generation="",
        prompt_id="x_post",
        prompt_version="0a1b2c3d4e5f",
        provider="openai",
        model="gpt-4.1-mini",
        request={"input": "Write about tides."},
        asset="writer/x_posts",
        run_id="run-1",
    )


@pytest.fixture
def owner(store: Store) -> Iterator[OwnerLock]:
    with OwnerLock(store) as alive:
        yield alive


def claimed_within(seconds: float, ledger: Ledger, entry: Entry) -> Claim:
    deadline = time.monotonic() + seconds
    while (claim := ledger.claim(entry)) == "busy" and time.monotonic() < deadline:
        time.sleep(0.05)
    return claim


def test_a_claimed_request_is_busy_for_everybody_else_until_its_answer_is_booked(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    assert ledger.claim(entry) == Ours()
    assert ledger.claim(entry) == "busy", "two tasks of one process would pay for the same answer"
    with OwnerLock(store) as other_owner:
        other = Ledger(store, other_owner)
        assert other.claim(entry) == "busy"
        booked = ledger.book(entry.request_hash, {"output": []}, USAGE, COST, attempts=2)
        assert other.claim(entry) == ledger.claim(entry) == booked == Booked({"output": []}, USAGE, COST)


def test_a_failed_request_can_be_asked_again_by_anybody(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    ledger.claim(entry)
    ledger.fail(entry.request_hash, "the model endpoint answers 503", attempts=3)
    with store.transaction() as session:
        assert session.scalars(sa.select(ModelCallRow.error)).all() == ["the model endpoint answers 503"]
        assert calls_of_run(session, "run-1").failed == 1
    with OwnerLock(store) as other:
        assert Ledger(store, other).claim(dataclasses.replace(entry, run_id="run-2")) == Ours()
    with store.transaction() as session:
        assert session.scalars(sa.select(ModelCallRow.run_id)).all() == ["run-2"], "the run that pays is the run that is charged"


def test_a_pending_request_of_a_dead_process_is_taken_over(store: Store, owner: OwnerLock, entry: Entry) -> None:
    dead = OwnerLock(store)
    Ledger(store, dead).claim(entry)
    dead.close()
    ledger = Ledger(store, owner)
    assert ledger.claim(entry) == "busy", "an owner that is gone for a moment is no proof: its database may be restarting"
    assert claimed_within(5, ledger, entry) == Ours()


def test_a_process_that_lost_track_of_its_own_claim_may_claim_again(store: Store, owner: OwnerLock, entry: Entry) -> None:
    """The commit of a claim got through and its confirmation did not: the repeated statement finds a row of its own owner."""
    Ledger(store, owner).claim(entry)
    assert Ledger(store, owner).claim(entry) == Ours()


def test_of_two_answers_the_first_stands_and_both_bills_count(store: Store, owner: OwnerLock, entry: Entry) -> None:
    """A process that looked dead while its database restarted comes back with its answer after another one was faster."""
    presumed_dead = OwnerLock(store)
    slow, fast = Ledger(store, presumed_dead), Ledger(store, owner)
    slow.claim(entry)
    presumed_dead.close()
    assert claimed_within(5, fast, entry) == Ours()
    first = fast.book(entry.request_hash, {"id": "fast"}, USAGE, COST, attempts=1)
    assert slow.book(entry.request_hash, {"id": "slow"}, USAGE, COST, attempts=1).body == first.body
    assert fast.book(entry.request_hash, {"id": "fast"}, USAGE, COST, attempts=1).body == first.body, "booking is not safe to repeat"
    with store.transaction() as session:
        totals = calls_of_run(session, "run-1")
    assert (totals.paid, totals.input_tokens, totals.cost_usd) == (1, 2 * USAGE.input, 2 * COST)


def test_an_answer_is_booked_when_the_database_comes_back_after_a_moment(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    ledger.claim(entry)
    control = sa.create_engine(store.url.set(database="postgres"), isolation_level="AUTOCOMMIT")

    def accept_connections(answer: bool) -> None:
        with control.connect() as connection:
            connection.execute(sa.text(f'ALTER DATABASE "{store.url.database}" ALLOW_CONNECTIONS {answer}'))
            connection.execute(
                sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": store.url.database}
            )

    accept_connections(False)
    back = threading.Timer(0.7, accept_connections, args=[True])
    back.start()
    booked = ledger.book(entry.request_hash, {"id": "paid"}, USAGE, COST, attempts=1)
    back.join()
    assert ledger.claim(entry) == booked
    control.dispose()


def test_what_jsonb_cannot_hold_is_replaced(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    ledger.claim(entry)
    odd = {"zero\0": ["a\0b", "half \ud83d", "whole 🌊"], "number": float("nan"), "big": 10**40}
    booked = ledger.book(entry.request_hash, odd, USAGE, COST, attempts=1)
    assert booked.body == {"zero\ufffd": ["a\ufffdb", "half ?", "whole 🌊"], "number": None, "big": 10**40}
    assert ledger.claim(entry) == booked


def test_an_answer_that_retention_emptied_is_asked_anew_and_both_bills_stand(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    ledger.claim(entry)
    ledger.book(entry.request_hash, {"id": "first"}, USAGE, COST, attempts=1)
    with store.transaction() as session:
        session.execute(sa.text("UPDATE model_calls SET answer = NULL"))
    assert ledger.find([entry.request_hash]) == {}
    assert ledger.claim(entry) == Ours()
    assert ledger.book(entry.request_hash, {"id": "second"}, USAGE, None, attempts=1).body == {"id": "second"}
    with store.transaction() as session:
        totals = calls_of_run(session, "run-1")
    assert (totals.paid, totals.input_tokens, totals.cost_usd) == (1, 2 * USAGE.input, COST), "one of two bills had no price"
