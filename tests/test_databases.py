"""What the other tests rest on: a database that has served a test is empty, its own, and whole."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import plain
from tests.databases import Databases


@pytest.fixture
def databases(server: str) -> Iterator[Databases]:
    made = Databases(lambda name: plain(server, name))
    yield made
    made.close()


def opened(server: str, name: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(plain(server, name), autocommit=True)


ROW = """
WITH ours AS (INSERT INTO accounts (id, slug) VALUES (gen_random_uuid(), 'ours') RETURNING id)
INSERT INTO audit_log (account_id, who, what, entity, entity_id) SELECT id, 'ana', 'claimed', 'task', '1' FROM ours RETURNING id
"""


def oid(connection: psycopg.Connection) -> object:
    return connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()


def test_what_a_test_wrote_is_gone_and_who_comes_late_is_refused(server: str, databases: Databases) -> None:
    """Also rows that are only ever added, and also while a process of the last test is still at work."""
    first = databases.take()
    late = opened(server, first)
    used, number = oid(late), late.execute(ROW).fetchone()
    databases.give_back(first)
    with pytest.raises(psycopg.OperationalError):
        late.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        opened(server, first)
    with opened(server, second := databases.take()) as connection:
        assert (oid(connection), connection.execute(ROW).fetchone()) == (used, number)
        assert connection.execute("SELECT count(*) FROM audit_log").fetchone() == (1,)
    databases.give_back(second)


@pytest.mark.parametrize("change", ["ALTER TABLE sites DROP COLUMN held_by", "CREATE TABLE more ()", "DROP SCHEMA public CASCADE"])
def test_a_database_whose_schema_a_test_changed_serves_no_other(server: str, databases: Databases, change: str) -> None:
    with opened(server, first := databases.take()) as connection:
        used = oid(connection)
        connection.execute(change)
    databases.give_back(first)
    with opened(server, second := databases.take()) as connection:
        assert oid(connection) != used
        connection.execute("SELECT held_by FROM sites")
    databases.give_back(second)
