"""`pressroom cluster FILE`, as a person and as a script call it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "keywords"
COMMAND = "import sys, typer; from cli import cluster; from cli.output import guarded; app = typer.Typer(rich_markup_mode=None);" + (
    "app.command()(cluster.cluster); sys.exit(guarded(app))"
)


def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own; only its own module is loaded, so that this tests this command alone."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], capture_output=True, encoding="utf-8", env=environment, timeout=60, check=False
    )


def test_json_is_one_document_with_every_keyword_of_the_file() -> None:
    done = call(str(EXAMPLES / "hearthwise.csv"), "--json", "--brand", "hearthwise")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert len(document) == 192
    assert all(entry.keys() == {"keyword", "cluster_id", "cluster_name"} for entry in document)
    names = {(entry["cluster_id"], entry["cluster_name"]) for entry in document}
    assert 10 <= len(names) == len({identity for identity, _ in names}) <= 40


def test_people_see_a_table_and_what_was_left_out(tmp_path: Path) -> None:
    file = tmp_path / "k.csv"
    file.write_text("keyword,volume\nmoka pot,1000\nmoka pot [sizes],200\n,5\nbad,many\n", encoding="utf-8")
    done = call(str(file))
    assert done.returncode == 0
    assert "Moka Pot" in done.stdout
    assert "1,200" in done.stdout
    assert "moka pot [sizes]" in done.stdout, "brackets of a phrase are not markup"
    assert done.stderr == 'k.csv: 2 rows left out: row 4: no phrase; row 5: volume "many" is not a number\n'


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (None, [], "expected a keyword file"),
        ("", [], "the file is empty"),
        ("id,volume\n1,2\n", [], "row 1: no phrase column"),
        ("keyword\nx\n", ["--granularity", "tiny"], "granularity"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, content: str | None, arguments: list[str], said: str) -> None:
    file = tmp_path / "k.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    done = call(str(file), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.startswith("pressroom: ")
    assert done.stderr.count("\n") == 1


def test_a_folder_is_no_keyword_file(tmp_path: Path) -> None:
    done = call(str(tmp_path), "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a keyword file" in done.stderr
