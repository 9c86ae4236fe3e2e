"""One store, real PostgreSQL: transactions, retries and what a person reads when the database is not there."""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.orm import Session

from pressroom.errors import BadInput, Transient
from pressroom.records import stable_id
from pressroom.settings import Settings
from pressroom.store.embedded import server_status, stop_server
from pressroom.store.engine import Store, open_store
from pressroom.store.tables import AccountRow


def add_account(session: Session, slug: str) -> None:
    session.merge(AccountRow(id=stable_id("account", slug), slug=slug))


def slugs(store: Store) -> list[str]:
    with store.transaction() as session:
        return list(session.scalars(sa.select(AccountRow.slug).order_by(AccountRow.slug)))


def test_a_transaction_keeps_what_it_wrote_and_an_error_takes_all_of_it_back(store: Store) -> None:
    with store.transaction() as session:
        add_account(session, "kept")

    def fail_half_way(session: Session) -> None:
        add_account(session, "gone")
        session.flush()
        raise BadInput("the second row is wrong")

    with pytest.raises(BadInput):
        store.retrying(fail_half_way)
    assert slugs(store) == ["kept"]


def test_threads_may_share_a_store(store: Store) -> None:
    threads = [
        threading.Thread(target=lambda slug=f"a{number}": store.retrying(lambda session: add_account(session, slug)))
        for number in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slugs(store)) == 30


def test_a_lost_connection_is_transient_and_retrying_writes_the_row_once(store: Store) -> None:
    attempts = 0

    def write(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        add_account(session, "a")
        session.flush()
        if attempts == 1:
            lose_connection(store, session)

    with pytest.raises(Transient, match="does not answer"), store.transaction() as session:
        lose_connection(store, session)
    store.retrying(write)
    assert attempts == 2
    assert slugs(store) == ["a"]


def lose_connection(store: Store, session: Session) -> None:
    """The session's connection is ended from another one, as by an administrator or a failover, and the session finds out."""
    pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
    with store.engine.connect() as other:
        other.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    session.execute(sa.text("SELECT 1"))


def test_a_mistake_of_ours_is_not_taken_for_an_outage(store: Store) -> None:
    with pytest.raises(sa.exc.ProgrammingError), store.transaction() as session:
        session.execute(sa.text("SELECT nonsense"))


def opened(url: str) -> Store:
    return open_store(Settings(database_url=SecretStr(url)))


def test_a_url_that_does_not_answer_is_one_line_without_the_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = taken.getsockname()[1]
        with pytest.raises(Transient, match=rf"127\.0\.0\.1:{port}/press") as caught:
            opened(f"postgresql://desk:hunter2@127.0.0.1:{port}/press")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_database_is_named(database_url: str) -> None:
    with pytest.raises(BadInput, match=r"PRESSROOM_DATABASE_URL: .* has no database 'nowhere'"):
        opened(sa.make_url(database_url).set(database="nowhere").render_as_string(hide_password=False))


def test_a_refused_user_is_named_without_the_password(database_url: str) -> None:
    with pytest.raises(BadInput, match="refuses user nobody-here") as caught:
        opened(sa.make_url(database_url).set(username="nobody-here", password="hunter2").render_as_string(hide_password=False))
    assert "hunter2" not in str(caught.value)


def test_a_malformed_url_is_one_line() -> None:
    with pytest.raises(BadInput, match="PRESSROOM_DATABASE_URL: expected postgresql://") as caught:
        opened("postgresql://desk:hunter2@host:port/press")
    assert "hunter2" not in str(caught.value)


@pytest.fixture
def embedded() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="pressroom-home-") as folder:
        yield Settings(home=Path(folder))
        stop_server(Path(folder))


@pytest.mark.long
def test_an_embedded_server_killed_with_9_while_a_run_writes_loses_nothing(embedded: Settings) -> None:
    """Committed rows stay, the transaction in flight is done again, and the server is started again on the way."""
    with open_store(embedded) as store:
        for number in range(40):
            if number in (10, 25):
                os.kill(server_status(embedded.home).pid or 0, signal.SIGKILL)
            store.retrying(lambda session, slug=f"a{number:02}": add_account(session, slug))
        assert len(slugs(store)) == 40


@pytest.mark.long
def test_a_store_outlives_a_stop_of_its_embedded_server(embedded: Settings) -> None:
    with open_store(embedded) as store:
        store.retrying(lambda session: add_account(session, "a"))
        assert stop_server(embedded.home)
        assert slugs(store) == ["a"], "a plain transaction finds the pool's connections dead and has the server started"
