"""The call ledger by itself: who may ask, what is booked, and what a death or a lost database leaves."""

import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
import sqlalchemy as sa

from pressroom.records import Usage, stable_id
from pressroom.store.calls import Booked, Claim, Entry, Ledger, Ours, calls_of_run
from pressroom.store.engine import Store
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import AccountRow, ModelCallRow, SiteRow
from tests.ledgers import book, claim

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
    while (made := claim(ledger, entry)) == "busy" and time.monotonic() < deadline:
        time.sleep(0.05)
    return made


def test_a_claimed_request_is_busy_for_everybody_else_until_its_answer_is_booked(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    assert claim(ledger, entry) == Ours()
    assert claim(ledger, entry) == "busy", "two tasks of one process would pay for the same answer"
    with OwnerLock(store) as other_owner:
        other = Ledger(store, other_owner)
        assert claim(other, entry) == "busy"
        booked = book(ledger, entry.request_hash, {"output": []}, USAGE, COST, attempts=2)
        assert claim(other, entry) == claim(ledger, entry) == booked == Booked({"output": []}, USAGE, COST)


def test_a_failed_request_can_be_asked_again_by_anybody(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    claim(ledger, entry)
    ledger.fail(entry.request_hash, "the model endpoint answers 503", attempts=3)
    with store.transaction() as session:
        assert session.scalars(sa.select(ModelCallRow.error)).all() == ["the model endpoint answers 503"]
        assert calls_of_run(session, "run-1").failed == 1
    with OwnerLock(store) as other:
        assert claim(Ledger(store, other), dataclasses.replace(entry, run_id="run-2")) == Ours()
    with store.transaction() as session:
        assert session.scalars(sa.select(ModelCallRow.run_id)).all() == ["run-2"], "the run that pays is the run that is charged"


def test_a_pending_request_of_a_dead_process_is_taken_over(store: Store, owner: OwnerLock, entry: Entry) -> None:
    dead = OwnerLock(store)
    claim(Ledger(store, dead), entry)
    dead.close()
    ledger = Ledger(store, owner)
    assert claim(ledger, entry) == "busy", "an owner that is gone for a moment is no proof: its database may be restarting"
    assert claimed_within(5, ledger, entry) == Ours()


def test_a_process_that_lost_track_of_its_own_claim_may_claim_again(store: Store, owner: OwnerLock, entry: Entry) -> None:
    """The commit of a claim got through and its confirmation did not: the repeated statement finds a row of its own owner."""
    claim(Ledger(store, owner), entry)
    assert claim(Ledger(store, owner), entry) == Ours()


def test_of_two_answers_the_first_stands_and_both_bills_count(store: Store, owner: OwnerLock, entry: Entry) -> None:
    """A process that looked dead while its database restarted comes back with its answer after another one was faster."""
    presumed_dead = OwnerLock(store)
    slow, fast = Ledger(store, presumed_dead), Ledger(store, owner)
    claim(slow, entry)
    presumed_dead.close()
    assert claimed_within(5, fast, entry) == Ours()
    first = book(fast, entry.request_hash, {"id": "fast"}, USAGE, COST)
    assert book(slow, entry.request_hash, {"id": "slow"}, USAGE, COST).body == first.body
    assert book(fast, entry.request_hash, {"id": "fast"}, USAGE, COST).body == first.body, "booking is not safe to repeat"
    with store.transaction() as session:
        totals = calls_of_run(session, "run-1")
    assert (totals.paid, totals.input_tokens, totals.cost_usd) == (1, 2 * USAGE.input, 2 * COST)


def test_an_answer_is_booked_when_the_database_comes_back_after_a_moment(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    claim(ledger, entry)
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
    booked = book(ledger, entry.request_hash, {"id": "paid"}, USAGE, COST)
    back.join()
    assert claim(ledger, entry) == booked
    control.dispose()


def test_what_jsonb_cannot_hold_is_replaced(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    claim(ledger, entry)
    odd = {"zero\0": ["a\0b", "half \ud83d", "whole 🌊"], "number": float("nan"), "big": 10**40}
    booked = book(ledger, entry.request_hash, odd, USAGE, COST)
    assert booked.body == {"zero\ufffd": ["a\ufffdb", "half ?", "whole 🌊"], "number": None, "big": 10**40}
    assert claim(ledger, entry) == booked


def test_an_answer_that_retention_emptied_is_asked_anew_and_both_bills_stand(store: Store, owner: OwnerLock, entry: Entry) -> None:
    ledger = Ledger(store, owner)
    claim(ledger, entry)
    book(ledger, entry.request_hash, {"id": "first"}, USAGE, COST)
    with store.transaction() as session:
        session.execute(sa.text("UPDATE model_calls SET answer = NULL"))
    assert ledger.find([entry.request_hash]) == {}
    assert claim(ledger, entry) == Ours()
    assert book(ledger, entry.request_hash, {"id": "second"}, USAGE, None).body == {"id": "second"}
    with store.transaction() as session:
        totals = calls_of_run(session, "run-1")
    assert (totals.paid, totals.input_tokens, totals.cost_usd) == (1, 2 * USAGE.input, COST), "one of two bills had no price"


def test_calls_that_come_together_are_told_apart(store: Store, owner: OwnerLock, entry: Entry) -> None:
    known, asked, new = (dataclasses.replace(entry, request_hash=letter * 64) for letter in "abc")
    ledger = Ledger(store, owner)
    claim(ledger, known)
    booked = book(ledger, known.request_hash, {"id": "known"}, USAGE, COST)
    with OwnerLock(store) as other:
        claim(Ledger(store, other), asked)
        assert ledger.claim([new, asked, known, new]) == [Ours(), "busy", booked, "busy"], "of two of the same, one is to be asked"
    ledger.remember([(asked.request_hash, "resp_1"), (new.request_hash, "resp_2")])
    with store.transaction() as session:
        remote_ids = dict(session.execute(sa.select(ModelCallRow.request_hash, ModelCallRow.remote_id)).all())
    assert remote_ids == {known.request_hash: None, asked.request_hash: None, new.request_hash: "resp_2"}, "another one's row is not ours"


def test_two_processes_with_the_same_calls_do_not_wait_each_for_the_other(store: Store, entry: Entry) -> None:
    """Each call is one process's, whatever the order in which they ask."""
    entries = [dataclasses.replace(entry, request_hash=f"{number:064}") for number in range(200)]
    orders, start = (entries, entries[::-1]), threading.Barrier(2)
    with OwnerLock(store) as one, OwnerLock(store) as other:

        def claims(ledger: Ledger, order: Sequence[Entry]) -> list[Claim]:
            start.wait()
            return ledger.claim(order)

        with ThreadPoolExecutor(2) as threads:
            mine, theirs = threads.map(claims, (Ledger(store, one), Ledger(store, other)), orders)
    assert [pair.count(Ours()) for pair in zip(mine, theirs[::-1], strict=True)] == [1] * len(entries)
