"""`pressroom cluster FILE`, as a person and as a script call it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from cli.output import out
from tests.dagster.conftest import Done

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "keywords"

Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`pressroom cluster` with these words, on a terminal of 120 columns."""

    def run(*words: str) -> Done:
        monkeypatch.setattr(out, "width", 120)
        monkeypatch.setattr(sys, "argv", ["pressroom", "cluster", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(ended.value.code, *capsys.readouterr())  # type: ignore[arg-type]

    return run


def test_json_is_one_document_with_every_keyword_of_the_file(call: Call) -> None:
    done = call(str(EXAMPLES / "hearthwise.csv"), "--json", "--brand", "hearthwise")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert len(document) == 192
    assert all(entry.keys() == {"keyword", "cluster_id", "cluster_name"} for entry in document)
    names = {(entry["cluster_id"], entry["cluster_name"]) for entry in document}
    assert 10 <= len(names) == len({identity for identity, _ in names}) <= 40


def test_people_see_a_table_and_what_was_left_out(call: Call, tmp_path: Path) -> None:
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
def test_bad_input_is_one_line_and_exit_code_2(call: Call, tmp_path: Path, content: str | None, arguments: list[str], said: str) -> None:
    file = tmp_path / "k.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    done = call(str(file), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.startswith("pressroom: ")
    assert done.stderr.count("\n") == 1


def test_a_folder_is_no_keyword_file(call: Call, tmp_path: Path) -> None:
    done = call(str(tmp_path), "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a keyword file" in done.stderr
