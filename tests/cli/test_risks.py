"""`pressroom risks`, as people call it: a table or a document, one line for each mistake, and the exit code."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.cli.conftest import Pressroom
from tests.telling import document, told


@pytest.fixture
def risks(pressroom: Pressroom) -> Pressroom:
    return partial(pressroom, "risks")


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A gun that is seen at 0:04, in a video that was looked at for objects only."""
    seen = {
        "detector": "objects",
        "number": 1,
        "start_ms": 4000,
        "end_ms": 6000,
        "label": "weapon",
        "version": "1",
        "score": 0.62,
        "frame": 2,
    }
    coverage = {"detector": "objects", "state": "analysed", "seconds": 10, "of_s": 10}
    return written(tmp_path / "clip.json", json.dumps({"video": "clip", "duration_ms": 10_000, "signals": [seen], "coverage": [coverage]}))


def test_what_comes_with_pressroom_is_listed(risks: Pressroom) -> None:
    listed = document(risks("check", "--json"))
    assert list(listed) == ["kind", "version", "risks", "policy", "dictionaries"]
    assert {"code": "CHILD.SAFETY", "severity": 3, "action": "escalate"}.items() <= listed["risks"][-1].items()
    assert listed["policy"]["version"].startswith("default-")
    # In a process of its own: the width of a pipe is settled when the command starts, and the tests' workers are told another.
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-c", "from cli.main import main; main()", "risks", "check"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    codes = [line.split()[0] for line in shown.stdout.splitlines()]
    assert codes == ["code", *(risk["code"] for risk in listed["risks"])], "a row of the table is wrapped in a pipe"
    assert "dictionaries: " in shown.stderr


def test_a_file_is_checked_for_what_it_is(risks: Pressroom, tmp_path: Path) -> None:
    known = document(risks("check", written(tmp_path / "a.yaml", "risks: [{code: GAMB, severity: 3}]"), "--json"))
    assert known["kind"] == "risks"
    policy = document(risks("check", written(tmp_path / "b.yaml", "extends: strict\nactions: {GAMB: block}"), "--json"))
    assert (policy["kind"], policy["policy"]["actions"]["GAMB"]) == ("policy", "block")
    dictionary = written(tmp_path / "c.yaml", "language: en\ncode: GAMB\nlabel: gambling\nterms: [{term: bingo, also: bingos}]")
    words = document(risks("check", dictionary, "--json"))
    assert words == {"kind": "dictionary", "dictionaries": [{"language": "en", "code": "GAMB", "label": "gambling", "terms": 2}]}


def test_each_mistake_is_a_line_and_the_exit_code_is_2(risks: Pressroom, tmp_path: Path) -> None:
    path = written(tmp_path / "a.yaml", "risks:\n  - {code: GAMB, severity: 9}\n  - {code: TERROR, modality: smell}\n")
    done = risks("check", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"pressroom: {path}: GAMB: severity: expected 3 or less, not '9'",
        f"pressroom: {path}: TERROR: modality: expected visual, speech, text or sound, not 'smell'",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1", "expected risks ('risks:'), a policy"),
        ("language: en\ncode: GAMB\nlabel: bingo\nterms: [bingo]", "no entry for flagged_terms 'bingo'"),
        ("risks: [{code: GAMB, detectors: []}]", "GAMB: detectors: no entry for flagged_terms 'gambling'"),
    ],
)
def test_a_file_that_would_count_for_nothing_is_refused(risks: Pressroom, tmp_path: Path, text: str, line: str) -> None:
    told(risks("check", written(tmp_path / "a.yaml", text)), 2, line)


def test_a_file_that_is_not_there_is_named(risks: Pressroom, tmp_path: Path) -> None:
    told(risks("check", tmp_path / "none.yaml"), 2, "none.yaml: cannot be read (No such file or directory)")


def test_a_stricter_file_is_compared_over_stored_signals(risks: Pressroom, tmp_path: Path, clip: Path) -> None:
    block = written(tmp_path / "block.yaml", "extends: default\nactions: {VIO.WEAPON: block}")
    found = document(risks("diff", block, "--signals", clip, "--json"))
    (video,) = found["videos"]
    assert video["outcome"] == {"before": "review", "after": "block"}
    assert [(one["code"], one["kinds"]) for one in video["changes"]] == [("VIO.WEAPON", ["action"])]
    loose = written(tmp_path / "loose.yaml", "risks: [{code: VIO.WEAPON, detectors: [{id: flagged_terms, label: weapon, threshold: 0.7}]}]")
    done = risks("diff", block, loose, "--signals", clip)
    assert done.returncode == 0
    assert "vanished" in done.stdout
    assert "1 video: block becomes incomplete" in done.stderr
    assert ": 1 change, 0 triggers stay as they are" in done.stderr


def test_what_cannot_be_compared_is_one_line(risks: Pressroom, tmp_path: Path, clip: Path) -> None:
    own = written(tmp_path / "own.yaml", "risks: [{code: GAMB, severity: 3}]")
    bad = written(tmp_path / "bad.json", json.dumps({"duration_ms": 1, "signals": [{"detector": "objects"}]}))
    for words, line in (
        ((own, "--signals", bad), "signals[0].number: is missing"),
        ((own, "--signals", own), "no valid JSON"),
        ((written(tmp_path / "words.yaml", "terms: []"), "--signals", clip), "a dictionary changes what is found"),
    ):
        assert told(risks("diff", *words), 2, line) is None
