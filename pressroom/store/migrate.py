"""The schema's revisions, and the one command that writes a new one.

After a change of `tables.py`:

    python -m pressroom.store.migrate revision "what changed"

compares the models with a fresh, migrated database and writes `migrations/versions/NNNN_what_changed.py`. Read it: a rename
looks like a drop and an add. Revisions are numbered, so that the newest is known without loading Alembic.
"""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pressroom.errors import Permanent
from pressroom.store.engine import Store

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 7312  # advisory lock: of processes that meet an old schema together, one migrates and the others wait


def newest() -> str:
    """Number of the newest revision that this code has."""
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9][0-9][0-9][0-9]_*.py"))


def current(store: Store) -> str | None:
    """Number of the revision that the database is at; None when it has no tables of ours."""
    with store.transaction() as session:
        return _revision(session.connection())


def ensure_current(store: Store) -> bool:
    """Brings the database to the newest revision; True when there was something to do.

    Raises Permanent when the database is newer than this code.
    """
    if _is_current(current(store), store):
        return False
    with store.engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(LOCK)))
        connection.commit()
        try:
            if _is_current(_revision(connection), store):
                return False
            connection.commit()
            _upgrade(connection)
            return True
        finally:
            connection.rollback()
            connection.execute(sa.select(sa.func.pg_advisory_unlock(LOCK)))
            connection.commit()


def _revision(connection: sa.Connection) -> str | None:
    if connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def _is_current(revision: str | None, store: Store) -> bool:
    if revision is not None and revision > newest():
        raise Permanent(f"{store.name} is at revision {revision} and this version knows only {newest()}: install the newer Pressroom")
    return revision == newest()


def _config(**attributes: Any) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(attributes)
    return config


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command

    command.upgrade(_config(connection=connection), "head")


def downgrade(connection: sa.Connection) -> None:
    """Takes every revision back, with all that the tables hold."""
    from alembic import command

    command.downgrade(_config(connection=connection), "base")


def differences(connection: sa.Connection) -> list[Any]:
    """What Alembic would still change to make the database as the models say: nothing, when all is well."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from pressroom.store.tables import Base

    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    return list(compare_metadata(context, Base.metadata))


def write_revision(message: str) -> Path:
    """Writes the next revision from the difference between `tables.py` and a fresh, migrated database."""
    import tempfile

    from alembic import command

    from pressroom.store import embedded

    number = f"{int(newest()) + 1:04d}" if any((MIGRATIONS / "versions").glob("[0-9]*.py")) else "0001"
    with tempfile.TemporaryDirectory() as home:
        try:
            store = Store(sa.make_url(embedded.ensure_server(Path(home))), home=Path(home))
            with store.engine.connect() as connection:
                if number != "0001":
                    _upgrade(connection)
                written = command.revision(_config(connection=connection), message, autogenerate=True, rev_id=number)
            store.close()
        finally:
            embedded.stop_server(Path(home))
    return Path(written.path)  # type: ignore[union-attr]


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "revision" or not re.search(r"\w", sys.argv[2]):
        sys.exit('usage: python -m pressroom.store.migrate revision "what changed"')
    print(write_revision(sys.argv[2]))
