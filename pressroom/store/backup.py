"""Backups: one file with everything in the database, and the way back from it.

A backup is a `pg_dump` archive in the custom format. Restoring reads it into a new database beside the old one and changes their
names in one transaction at the very end, so that a file that cannot be read leaves everything as it was.
"""

import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pressroom.errors import BadInput, Transient
from pressroom.store import embedded, migrate
from pressroom.store.engine import Store
from pressroom.store.tables import Base

RENAME_WITHIN_S = 10  # other processes reconnect while we end their sessions; each try takes milliseconds
NAME_ROOM = 40  # PostgreSQL cuts names at 63 bytes, in silence: what a restore adds must still fit


@dataclass(frozen=True)
class Backup:
    """A backup file that was written or read."""

    file: Path
    size: int
    revision: str | None


def backup(store: Store, file: Path, *, force: bool = False) -> Backup:
    """Writes everything in the database to `file`, whole or not at all.

    Raises BadInput when the file exists (and `force` is not given), cannot be written, or no pg_dump here fits the server.
    """
    if file.exists() and not force:
        raise BadInput(f"{file} exists already: choose another name, or --force to overwrite it")
    tool = _tool(store, "pg_dump")
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        problem = _run([tool, "--format=custom", "--no-owner", "--no-privileges", f"--file={part}", f"--dbname={_conninfo(store)}"], store)
        if problem:
            raise BadInput(f"no backup was written to {file}: {problem}")
        os.replace(part, file)
    except OSError as error:
        raise BadInput(f"no backup was written to {file}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return Backup(file, file.stat().st_size, migrate.current(store))


def restore(store: Store, file: Path, *, replace: bool = False) -> Backup:
    """Makes the database what `file` holds, migrated to the newest revision. Sessions of other processes are ended.

    Raises BadInput when the file is no backup of Pressroom or breaks off, or when the database holds rows and `replace` is not
    given; Permanent when the backup is of a newer version. The database is as before then.
    """
    tool = _tool(store, "pg_restore")
    _check_archive(tool, file, store)
    if not replace and holds_rows(store):
        raise BadInput(f"{store.name} is not empty: --yes replaces everything in it with {file}")
    with _new_database(store) as name:
        problem = _run([tool, "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={_conninfo(store, name)}", str(file)], store)
        if problem:
            raise BadInput(f"{file} cannot be restored, and the database is as it was: {problem}")
        restored = Store(store.url.set(database=name), home=store.home)
        try:
            revision = migrate.current(restored)
            migrate.ensure_current(restored)
        finally:
            restored.close()
        _exchange(store, name)
    return Backup(file, file.stat().st_size, revision)


def holds_rows(store: Store) -> bool:
    """Whether any table of ours has a row."""
    with store.transaction() as session:
        present = set(sa.inspect(session.connection()).get_table_names())
        tables = [table for table in Base.metadata.sorted_tables if table.name in present]
        return any(session.scalar(sa.select(sa.exists(sa.select(sa.literal(1)).select_from(table)))) for table in tables)


def _tool(store: Store, name: str) -> str:
    """Path of a PostgreSQL program that is at least as new as the server.

    For the embedded server the wheel's own; for another the system's if it fits, because the wheel's is built without TLS.
    """
    with store.transaction() as session:
        server = int(session.scalar(sa.text("SHOW server_version_num")) or 0) // 10000
    own, system = embedded.program(name), shutil.which(name)
    found = {path: _version(path) for path in ([own] if store.home else [system, own]) if path}
    for path, version in found.items():
        if version >= server:
            return path
    newest = max(found.values(), default=0)
    raise BadInput(
        f"{store.name} is version {server}, and the newest {name} here is version {newest}: install the client tools of {server}"
    )


def _version(path: str) -> int:
    said = subprocess.run([path, "--version"], check=False, capture_output=True, text=True, timeout=10).stdout
    found = re.search(r"\b(\d+)(\.\d+|devel|beta|rc)", said)
    return int(found[1]) if found else 0


def _run(command: list[str], store: Store) -> str:
    """Runs a PostgreSQL program; what it complained of in one line, or "" when all went well.

    The password goes by the environment: a command line can be read by every user of the machine.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
    if password := store.parameters().get("password"):
        environment["PGPASSWORD"] = str(password)
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, env=environment)
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"{Path(command[0]).name} ended with {done.returncode}"]
    return next((line for line in lines if "error:" in line), lines[0])


def _conninfo(store: Store, database: str | None = None) -> str:
    parameters = {name: value for name, value in store.parameters().items() if name not in ("password", "context")}
    return make_conninfo("", **(parameters | ({"dbname": database} if database else {})))


def _check_archive(tool: str, file: Path, store: Store) -> None:
    if not file.is_file():
        raise BadInput(f"{file}: no such file")
    if problem := _run([tool, "--list", f"--file={os.devnull}", str(file)], store):
        raise BadInput(f"{file} is no backup that pg_restore can read: {problem}")
    listed = subprocess.run([tool, "--list", str(file)], check=False, capture_output=True, text=True, errors="replace").stdout
    if " alembic_version " not in listed:
        raise BadInput(f"{file} is a backup of some other database: expected one made by 'pressroom db backup'")


@contextmanager
def _new_database(store: Store) -> Iterator[str]:
    """An empty database on the same server, gone after the block unless it was renamed."""
    name = f"{str(store.url.database)[:NAME_ROOM]}_restoring_{uuid.uuid4().hex[:8]}"
    with _elsewhere(store) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name)))
        try:
            yield name
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _exchange(store: Store, name: str) -> None:
    """Gives the database `name` the place of the store's own in one transaction, then drops the old one."""
    own, old = str(store.url.database), f"{name}_old"
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    deadline = time.monotonic() + RENAME_WITHIN_S
    store.engine.dispose()
    with _elsewhere(store) as connection:
        while True:
            try:
                with connection.transaction():
                    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)", ([own, name],))
                    connection.execute(rename.format(sql.Identifier(own), sql.Identifier(old)))
                    connection.execute(rename.format(sql.Identifier(name), sql.Identifier(own)))
                break
            except psycopg.errors.ObjectInUse:
                if time.monotonic() > deadline:
                    raise Transient(f"{store.name} is in use and keeps being so: stop what works with it, then restore again") from None
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(old)))


@contextmanager
def _elsewhere(store: Store) -> Iterator[psycopg.Connection]:
    """A connection to the server's `postgres` database, from which others can be created and renamed."""
    try:
        with store.dedicated_connection(database="postgres") as connection:
            yield connection
    except psycopg.errors.InsufficientPrivilege as error:
        raise BadInput(f"{store.name}: restoring needs a user that may create databases ({error.diag.message_primary})") from None
    except psycopg.Error as error:
        raise store.explained(error) or error from error
