"""The schema comes from the revisions alone, and they say what the models say."""

import threading

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from pressroom.errors import Permanent
from pressroom.settings import Settings
from pressroom.store import migrate
from pressroom.store.engine import Store, connect, open_store


@pytest.fixture
def empty(database_url: str) -> Settings:
    """A database in which nobody has migrated anything."""
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return Settings(database_url=SecretStr(database_url))


def test_the_migrated_database_is_what_the_models_say(store: Store) -> None:
    with store.engine.connect() as connection:
        assert migrate.differences(connection) == [], "tables.py changed: python -m pressroom.store.migrate revision MESSAGE"


def test_a_difference_is_found(store: Store) -> None:
    """What the test above rests on."""
    with store.transaction() as session:
        session.execute(sa.text("ALTER TABLE sites DROP COLUMN held_by"))
    with store.engine.connect() as connection:
        assert migrate.differences(connection) != []


def test_stores_opened_at_once_on_an_empty_database_migrate_it_once(empty: Settings) -> None:
    problems: list[BaseException] = []

    def open_and_close() -> None:
        try:
            open_store(empty).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told below
            problems.append(error)

    threads = [threading.Thread(target=open_and_close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with connect(empty) as store:
        assert migrate.current(store) == migrate.newest()


def test_every_revision_can_be_taken_back(empty: Settings) -> None:
    with connect(empty) as store:
        assert migrate.ensure_current(store)
        with store.engine.connect() as connection:
            migrate.downgrade(connection)
        with store.engine.connect() as connection:
            assert sa.inspect(connection).get_table_names() == ["alembic_version"]
        assert migrate.ensure_current(store), "and done again"


def test_a_database_newer_than_the_code_is_one_clear_line(store: Store, settings: Settings) -> None:
    with store.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Permanent, match=rf"revision 9999 and this version knows only {migrate.newest()}: install the newer Pressroom"):
        open_store(settings)
