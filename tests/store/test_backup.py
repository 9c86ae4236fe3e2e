"""A backup brings everything back, and a broken one takes nothing away."""

import subprocess
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from pressroom.errors import BadInput, Permanent
from pressroom.records import stable_id
from pressroom.store.backup import backup, holds_rows, restore
from pressroom.store.embedded import program
from pressroom.store.engine import Store
from pressroom.store.tables import AccountRow


def add_account(store: Store, slug: str) -> None:
    with store.transaction() as session:
        session.add(AccountRow(id=stable_id("account", slug), slug=slug))


def slugs(store: Store) -> list[str]:
    with store.transaction() as session:
        return list(session.scalars(sa.select(AccountRow.slug).order_by(AccountRow.slug)))


def databases(store: Store) -> set[str]:
    """What a restore of this store left behind on the server. Other tests restore theirs on the same one at the same time."""
    begun = sa.text("SELECT datname FROM pg_database WHERE starts_with(datname, :own) AND datname <> :own")
    with store.transaction() as session:
        return set(session.scalars(begun, {"own": store.url.database}))


def test_a_backup_brings_back_what_was_deleted_and_takes_away_what_came_later(store: Store, tmp_path: Path) -> None:
    add_account(store, "before")
    written = backup(store, tmp_path / "folder" / "a.dump")
    assert written.size == written.file.stat().st_size > 0
    with store.transaction() as session:
        session.execute(sa.delete(AccountRow))
    add_account(store, "later")
    restore(store, written.file, replace=True)
    assert slugs(store) == ["before"]
    assert databases(store) == set()
    assert [path.name for path in written.file.parent.iterdir()] == ["a.dump"], "a temporary file was left"


def test_a_database_with_rows_is_not_replaced_without_a_word(store: Store, tmp_path: Path) -> None:
    written = backup(store, tmp_path / "a.dump")
    assert not holds_rows(store)
    restore(store, written.file)
    add_account(store, "a")
    with pytest.raises(BadInput, match="is not empty: --yes replaces everything"):
        restore(store, written.file)
    assert slugs(store) == ["a"]


def test_an_existing_file_is_not_overwritten(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "a.dump"
    file.write_text("mine")
    with pytest.raises(BadInput, match=r"a\.dump exists already"):
        backup(store, file)
    assert file.read_text() == "mine"
    backup(store, file, force=True)
    assert file.read_bytes().startswith(b"PGDMP")


@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.98])
def test_a_file_that_breaks_off_leaves_everything_as_it_was(store: Store, tmp_path: Path, keep: float) -> None:
    add_account(store, "mine")
    file = backup(store, tmp_path / "a.dump").file
    whole = file.read_bytes()
    file.write_bytes(whole[: int(keep * len(whole)) if keep < 1 else int(keep)])
    with pytest.raises(BadInput, match=r"a\.dump") as caught:
        restore(store, file, replace=True)
    assert "\n" not in str(caught.value)
    assert slugs(store) == ["mine"]
    assert databases(store) == set()


def test_a_dump_of_another_database_is_refused(store: Store, tmp_path: Path) -> None:
    url = sa.make_url(store.url).set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    file = tmp_path / "other.dump"
    subprocess.run([program("pg_dump"), "--format=custom", f"--file={file}", url], check=True)
    with pytest.raises(BadInput, match="some other database"):
        restore(store, file, replace=True)


def test_a_missing_file_is_one_line(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.dump: no such file"):
        restore(store, tmp_path / "gone.dump", replace=True)


def test_a_backup_of_a_newer_version_changes_nothing(store: Store, tmp_path: Path) -> None:
    with store.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    file = backup(store, tmp_path / "a.dump").file
    with store.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    add_account(store, "mine")
    with pytest.raises(Permanent, match="revision 9999"):
        restore(store, file, replace=True)
    assert slugs(store) == ["mine"]


def test_restoring_ends_the_sessions_of_others(store: Store, tmp_path: Path) -> None:
    file = backup(store, tmp_path / "a.dump").file
    with psycopg.connect(store.url.set(drivername="postgresql").render_as_string(hide_password=False)) as other:
        other.execute("SELECT 1")
        restore(store, file, replace=True)
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")
