"""Databases that cost a test little: PostgreSQL's are emptied for the next test instead of made anew, Dagster's never wait for the disk."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

# What a database is made of. A test that changes it leaves nothing that could be emptied.
SHAPE = """
SELECT (SELECT count(*) FROM pg_class), (SELECT max(oid::bigint) FROM pg_class),
       (SELECT count(*) FROM pg_attribute WHERE NOT attisdropped), (SELECT string_agg(version_num, ' ') FROM alembic_version)
"""
# Without the triggers: rows of the log are only added. TRUNCATE would write a new file for every table and index.
EMPTY = """
DO $$
DECLARE written regclass;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR written IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                 AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0 LOOP
    EXECUTE format('DELETE FROM %s', written);
  END LOOP;
  PERFORM setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S';
END $$
"""
# What is deleted stays in the files: without vacuum a database of hundreds of tests would be searched through what they wrote.
MOST_TESTS = 50


@sa.event.listens_for(sa.Engine, "connect")
def _without_waiting_for_the_disk(connection: Any, _: object) -> None:
    """A run commits 250 times to Dagster's books. A process that is killed loses nothing of them; only a machine that loses power would."""
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous = OFF")


class Databases:
    """Hands out one database at a time, under a new name for each test: whoever comes late from the last one is refused.

    A copy of the template writes 9 MB and waits for two checkpoints, to make and to drop it: 60 to 300 ms of processor time. Emptying
    takes 10.
    """

    def __init__(self, url_of: Callable[[str], str]) -> None:
        """`url_of(name)` is psycopg's URL of a database of the server."""
        self._url_of = url_of
        self._server = psycopg.connect(url_of("postgres"), autocommit=True)
        self._kept: str | None = None
        self._shape: tuple[object, ...] | None = None
        self._tests = 0

    def take(self) -> str:
        """The name of a database that nobody uses."""
        name = f"test_{uuid.uuid4().hex}"
        if self._kept:
            self._do("ALTER DATABASE {} RENAME TO {}", self._kept, name)
        else:
            self._do("CREATE DATABASE {} TEMPLATE template STRATEGY file_copy", name)
            self._tests = 0
            with psycopg.connect(self._url_of(name)) as fresh:
                self._shape = fresh.execute(SHAPE).fetchone()
        self._kept = None
        self._tests += 1
        return name

    def give_back(self, name: str) -> None:
        """Ends whatever still uses the database, and empties it for the next test, or drops it when that cannot be."""
        kept = f"free_{uuid.uuid4().hex}"
        while not self._renamed(name, kept):
            time.sleep(0.005)  # PostgreSQL's own wait looks every 100 ms
        if self._tests < MOST_TESTS and self._emptied(kept):
            self._kept = kept
        else:
            self._do("DROP DATABASE {} WITH (FORCE)", kept)

    def close(self) -> None:
        self._server.close()

    def _renamed(self, name: str, kept: str) -> bool:
        """Whether it has its new name; not while somebody is connected, who is sent away."""
        if self._server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)).fetchall():
            return False
        try:
            self._do("ALTER DATABASE {} RENAME TO {}", name, kept)
        except psycopg.errors.ObjectInUse:  # somebody came in between
            return False
        return True

    def _emptied(self, name: str) -> bool:
        with psycopg.connect(self._url_of(name)) as database:
            try:
                if database.execute(SHAPE).fetchone() != self._shape:
                    return False
            except psycopg.errors.UndefinedTable:
                return False
            database.execute(EMPTY)
        return True

    def _do(self, statement: str, *names: str) -> None:
        self._server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
