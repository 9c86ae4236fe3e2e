"""The books of batches: whose calls they are, what came of each, and that doing anything twice changes nothing."""

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal

import pytest
import sqlalchemy as sa

from pressroom.records import Usage
from pressroom.store.batches import (
    Batch,
    BatchBook,
    NewBatch,
    Outcome,
    adopt,
    batch_of,
    book_outcomes,
    close_batch,
    closed_of_days,
    is_abandoned,
    known_batches,
    open_batches,
    waiting_calls,
)
from pressroom.store.calls import Batched, Booked, Entry, Ledger, Ours
from pressroom.store.engine import Store
from pressroom.store.locks import OwnerLock
from pressroom.store.runs import LastWords, last_words
from pressroom.store.tables import AutomationRunRow, ModelBatchRow, ModelCallRow
from tests.ledgers import claim
from tests.samples import DAY, SITE, site_applied

COST = Decimal("0.000045")
USAGE = Usage(input=100, cached=20, output=30)
KEYS = [f"{number:064x}" for number in range(3)]


@pytest.fixture
def owner(store: Store) -> Iterator[OwnerLock]:
    with OwnerLock(store) as alive:
        yield alive


@pytest.fixture
def ledger(store: Store, owner: OwnerLock) -> Ledger:
    """A ledger in which this process has claimed three calls."""
    with store.transaction() as session:
        site_applied(session)
    claimed = Ledger(store, owner)
    assert claimed.claim([entry(key) for key in KEYS]) == [Ours()] * 3
    return claimed


@pytest.fixture
def book(store: Store, owner: OwnerLock, ledger: Ledger) -> BatchBook:
    return BatchBook(store, owner)


def entry(key: str) -> Entry:
    return Entry(
        request_hash=key,
        account_id=SITE.account_id,
        site_id=SITE.id,
        purpose="draft",
        item=f"idea/{key[-1]}",
        generation="",
        prompt_id="x_post",
        prompt_version="1",
        provider="openai",
        model="gpt",
        request={"input": "Write about tides."},
        run_id="run-1",
    )


def new() -> NewBatch:
    return NewBatch(uuid.uuid4(), SITE.account_id, SITE.id, DAY, "run-1", "openai", "gpt")


def answer(text: str = "tides") -> Booked:
    return Booked({"text": text}, USAGE, COST)


def stored(store: Store, batch: NewBatch) -> Batch:
    with store.transaction() as session:
        return batch_of(session, batch.id)


def rows(store: Store) -> list[tuple[str, uuid.UUID | None, int | None, str | None]]:
    columns = (ModelCallRow.status, ModelCallRow.batch_id, ModelCallRow.owner, ModelCallRow.error)
    with store.transaction() as session:
        found = session.execute(sa.select(*columns).order_by(ModelCallRow.request_hash))
        return [(status, batch, owner, error) for status, batch, owner, error in found]


def booked(store: Store, batch: NewBatch, *outcomes: Outcome) -> None:
    with store.transaction() as session:
        book_outcomes(session, batch.id, outcomes)


def test_a_batch_takes_the_calls_that_are_still_its_own_processes(store: Store, ledger: Ledger, book: BatchBook) -> None:
    ledger.fail(KEYS[2], "cancelled before it was asked", attempts=0)
    batch = new()
    for _ in range(2):  # a commit whose confirmation was lost is done again
        assert book.enter(batch, [*KEYS, "f" * 64]) == {KEYS[0], KEYS[1]}
    assert stored(store, batch).requests == 2
    assert [(status, of) for status, of, _, _ in rows(store)] == [("batched", batch.id), ("batched", batch.id), ("failed", None)]
    assert book.enter(new(), KEYS) == frozenset(), "a call is in one batch at most"
    with store.transaction() as session:
        assert [found.id for found in open_batches(session)] == [batch.id], "a batch without a call was left behind"


def test_who_asks_for_a_batched_call_is_told_its_batch(store: Store, ledger: Ledger, book: BatchBook) -> None:
    batch = new()
    book.enter(batch, KEYS)
    assert claim(ledger, entry(KEYS[0])) == "busy", "in this process it is still on its way out"
    ledger.let_go(KEYS[0])
    assert claim(ledger, entry(KEYS[0])) == Batched(batch.id)
    assert ledger.find(KEYS) == dict.fromkeys(KEYS, Batched(batch.id))
    with OwnerLock(store) as other:
        assert claim(Ledger(store, other), entry(KEYS[1])) == Batched(batch.id)


def test_outcomes_are_booked_once_and_the_rest_is_given_back_at_the_end(store: Store, ledger: Ledger, book: BatchBook) -> None:
    batch = new()
    book.enter(batch, KEYS)
    book.submitted(batch.id, "batch_7")
    for _ in range(2):
        booked(store, batch, Outcome(KEYS[0], answer()), Outcome(KEYS[1], None, "it answers 400"), Outcome("f" * 64, answer()))
    with store.transaction() as session:
        assert waiting_calls(session, SITE.id, DAY) == {batch.id: 1}
        assert close_batch(session, batch.id, "it expired")
        assert not close_batch(session, batch.id, "a second collector")
    found = stored(store, batch)
    assert (found.state, found.requests, found.answered, found.failed) == ("collected", 3, 1, 2)
    assert found.error == "it answers 400", "what went wrong first"
    assert [(status, of, error) for status, of, _, error in rows(store)] == [
        ("answered", batch.id, None),
        ("failed", None, "it answers 400"),
        ("failed", None, "it expired"),
    ]
    for key in KEYS:
        ledger.let_go(key)
    assert claim(ledger, entry(KEYS[0])) == answer()
    assert claim(ledger, entry(KEYS[1])) == claim(ledger, entry(KEYS[2])) == Ours()
    with store.transaction() as session:
        assert waiting_calls(session, SITE.id, DAY) == {}


def test_a_closed_batch_books_nothing_more(store: Store, ledger: Ledger, book: BatchBook) -> None:
    """A slow collector comes after the calls were given back, and another process asks for them again."""
    batch = new()
    book.enter(batch, KEYS)
    book.refuse(batch.id, "the endpoint refused it")
    booked(store, batch, Outcome(KEYS[0], answer()))
    book.submitted(batch.id, "batch_7")
    book.leave(batch.id)
    found = stored(store, batch)
    assert (found.state, found.remote_id, found.answered, found.failed, found.error) == ("failed", None, 0, 3, "the endpoint refused it")
    assert {status for status, *_ in rows(store)} == {"failed"}


def test_a_batch_is_abandoned_when_its_process_is_gone_and_it_is_not_submitted(store: Store, ledger: Ledger, book: BatchBook) -> None:
    batch = new()
    book.enter(batch, KEYS)

    def abandoned() -> bool:
        with store.transaction() as session:
            return is_abandoned(session, batch_of(session, batch.id))

    assert not abandoned()
    with store.transaction() as session:
        session.execute(sa.update(ModelBatchRow).values(owner=12345))
    assert abandoned()
    book.leave(batch.id)
    assert (stored(store, batch).owner, abandoned()) == (None, True)
    with store.transaction() as session:
        adopt(session, batch.id, "batch_7")
        adopt(session, batch.id, "batch_8")
    assert stored(store, batch).remote_id == "batch_7", "the first who finds it has found it"
    assert not abandoned()


def test_batches_are_listed_by_account_and_by_their_ends(store: Store, ledger: Ledger, book: BatchBook) -> None:
    first, second = new(), new()
    book.enter(first, KEYS[:1])
    book.enter(second, KEYS[1:])
    hour = dt.timedelta(hours=1)
    with store.transaction() as session:
        assert [batch.id for batch in open_batches(session)] == [first.id, second.id]
        close_batch(session, second.id, "x")
        close_batch(session, first.id, "x")
    now = dt.datetime.now(dt.UTC)
    with store.transaction() as session:
        assert open_batches(session) == []
        assert [batch.id for batch in closed_of_days(session, since=now - hour)] == [second.id, first.id]
        assert closed_of_days(session, since=now + hour) == []
        assert [batch.id for batch in known_batches(session, SITE.account_id, closed_since=now - hour)] == [first.id, second.id]
        assert known_batches(session, uuid.uuid4(), closed_since=now - hour) == []
        assert known_batches(session, SITE.account_id, closed_since=now + hour) == []


def step(asset: str, state: str, minute: int) -> dict[str, str]:
    began = dt.datetime(2026, 11, 20, 8, minute, tzinfo=dt.UTC)
    return {"asset": asset, "state": state, "started_at": began.isoformat(), "ended_at": (began + dt.timedelta(seconds=30)).isoformat()}


def test_what_a_days_steps_said_last_is_that_of_each_assets_newest(store: Store, ledger: Ledger) -> None:
    steps = [
        [step("planner/ideas", "waiting", 1)],
        [step("planner/ideas", "done", 10), step("writer/x_posts", "waiting", 12), step("writer/linkedin_posts", "waiting", 11)],
        [step("planner/keywords", "waiting", 20), step("writer/linkedin_posts", "failed", 15)],
    ]
    with store.transaction() as session:
        for number, entries in enumerate(steps):
            run: dict[str, object] = {"root_run_id": f"run-{number}", "run_id": f"run-{number}", "trigger": "manual", "state": "completed"}
            run |= {"id": uuid.uuid4(), "account_id": SITE.account_id, "site_id": SITE.id, "day": DAY, "steps": entries}
            session.add(AutomationRunRow(**run, started_at=dt.datetime(2026, 11, 20, 8, number, tzinfo=dt.UTC)))
    asking = {"planner/ideas", "writer/x_posts", "writer/linkedin_posts"}
    with store.transaction() as session:
        days = {("brew", DAY), ("brew", DAY + dt.timedelta(days=1))}
        said = last_words(session, days, asking)
        assert last_words(session, set(), asking) == last_words(session, days, set()) == {}
    ended, since = dt.datetime(2026, 11, 20, 8, 15, 30, tzinfo=dt.UTC), dt.datetime(2026, 11, 20, 8, 12, tzinfo=dt.UTC)
    assert said == {("brew", DAY): LastWords(ended, since)}
