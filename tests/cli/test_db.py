"""`pressroom db` as a person or a script meets it."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cli.db import app
from pressroom.errors import BadInput
from pressroom.records import stable_id
from pressroom.store import migrate
from pressroom.store.engine import Store
from pressroom.store.tables import AccountRow


def document(environment: dict[str, str], *words: str) -> Any:
    result = CliRunner().invoke(app, [*words, "--json"], env=environment, catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_status_says_which_database_and_revision(environment: dict[str, str]) -> None:
    status = document(environment, "status")
    assert (status["embedded"], status["running"], status["revision"]) == (False, True, migrate.newest())
    assert status["version"].startswith("18.")


def test_status_starts_no_server(environment: dict[str, str]) -> None:
    status = document({**environment, "PRESSROOM_DATABASE_URL": ""}, "status")
    assert (status["embedded"], status["running"]) == (True, False)
    assert not Path(environment["PRESSROOM_HOME"]).exists()


def test_stop_leaves_a_server_alone_that_is_not_ours(environment: dict[str, str]) -> None:
    result = CliRunner().invoke(app, ["stop"], env=environment)
    assert isinstance(result.exception, BadInput)
    assert "PRESSROOM_DATABASE_URL" in str(result.exception)


def test_migrate_has_nothing_to_do_on_a_current_database(environment: dict[str, str]) -> None:
    assert document(environment, "migrate") == {"before": migrate.newest(), "revision": migrate.newest(), "changed": False}


def test_a_backup_goes_into_the_home_and_comes_back(environment: dict[str, str], store: Store) -> None:
    written = document(environment, "backup")
    assert Path(written["file"]).parent == Path(environment["PRESSROOM_HOME"]) / "backups"
    assert Path(written["file"]).stat().st_size == written["bytes"]
    with store.transaction() as session:
        session.add(AccountRow(id=stable_id("account", "a"), slug="a"))
    refused = CliRunner().invoke(app, ["restore", written["file"]], env=environment)
    assert isinstance(refused.exception, BadInput)
    assert document(environment, "restore", written["file"], "--yes")["revision"] == migrate.newest()
