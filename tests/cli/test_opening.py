"""A command that only looks, in a folder where Pressroom never was: one line, and nothing is begun there."""

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Pressroom
from tests.telling import told

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
    command: str, pressroom: Pressroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("risks: [{code: GAMB, severity: 2}]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    advice = "work in the project's folder, or set PRESSROOM_HOME; pressroom site apply begins a new one"
    home = tmp_path / ".pressroom"
    assert told(pressroom(*shlex.split(command)), 2, f"pressroom: there is no Pressroom home in {home}: {advice}\n") is None
    assert list(tmp_path.iterdir()) == [own], "it left something behind"
