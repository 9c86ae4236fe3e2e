"""`pressroom cluster FILE`, as a person and as a script call it."""

from functools import partial
from pathlib import Path

import pytest

from tests.cli.conftest import Pressroom
from tests.telling import document, told

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "keywords"


@pytest.fixture
def cluster(pressroom: Pressroom) -> Pressroom:
    return partial(pressroom, "cluster", width=120)


def test_json_is_one_document_with_every_keyword_of_the_file(cluster: Pressroom) -> None:
    found = document(cluster(EXAMPLES / "hearthwise.csv", "--json", "--brand", "hearthwise"))
    assert len(found) == 192
    assert all(entry.keys() == {"keyword", "cluster_id", "cluster_name"} for entry in found)
    names = {(entry["cluster_id"], entry["cluster_name"]) for entry in found}
    assert 10 <= len(names) == len({identity for identity, _ in names}) <= 40


def test_people_see_a_table_and_what_was_left_out(cluster: Pressroom, tmp_path: Path) -> None:
    file = tmp_path / "k.csv"
    file.write_text("keyword,volume\nmoka pot,1000\nmoka pot [sizes],200\n,5\nbad,many\n", encoding="utf-8")
    done = cluster(file)
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
def test_bad_input_is_one_line_and_exit_code_2(
    cluster: Pressroom, tmp_path: Path, content: str | None, arguments: list[str], said: str
) -> None:
    file = tmp_path / "k.csv"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert told(cluster(file, *arguments), 2, said) is None


def test_a_folder_is_no_keyword_file(cluster: Pressroom, tmp_path: Path) -> None:
    assert told(cluster(tmp_path, "--json"), 2, "expected a keyword file") is None
