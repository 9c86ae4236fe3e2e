"""A command that only looks, in a folder where Pressroom never was: one line, and nothing is begun there."""

import shlex
from pathlib import Path

import pytest

from cli.main import app
from cli.output import guarded

LOOKS = [
    "costs",
    "trace 12345678",
    "site list",
    "batches",
    "batches collect",
    "tasks list",
    "tasks log",
    "tasks precision",
    "retention --dry-run",
    "prompts render ideas --site brew",
    "regenerate 12345678",
    "db backup",
    "risks diff own.yaml",
]


@pytest.mark.parametrize("command", LOOKS)
def test_a_command_that_only_looks_begins_no_database(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("risks: [{code: GAMB, severity: 2}]\n", encoding="utf-8")
    for variable in ("PRESSROOM_HOME", "PRESSROOM_DATABASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["pressroom", *shlex.split(command)])
    assert guarded(app) == 2
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"pressroom: there is no Pressroom home in {tmp_path / '.pressroom'}: work in the project's folder, or set PRESSROOM_HOME; "
        "pressroom site apply begins a new one"
    ]
    assert not said.out
    assert list(tmp_path.iterdir()) == [own], "it left something behind"
