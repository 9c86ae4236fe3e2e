"""`pressroom check`: bytes in, a document or a table out, and the exit code."""

import json
import os
import pty
from functools import partial
from pathlib import Path

import pytest

from tests.cli.conftest import Pressroom
from tests.telling import told


@pytest.fixture
def check(pressroom: Pressroom) -> Pressroom:
    return partial(pressroom, "check")


def test_a_post_on_standard_input_is_measured_as_it_is(check: Pressroom) -> None:
    """279 letters and a line end are 280; nothing is trimmed and "\\r\\n" is one character to X."""
    answer = check("x", "--json", stdin=b"a" * 278 + b"\r\n!")
    document = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert list(document) == ["platform", "ok", "measures", "violations"]
    assert (document["platform"], document["ok"], document["violations"]) == ("x", True, [])
    assert document["measures"] == {"weighted_length": 280, "weighted_length_strict": 280, "remaining": 0, "urls": 0, "posts": 1}


def test_a_text_that_does_not_pass_exits_with_1_and_says_why(check: Pressroom) -> None:
    answer = check("x", "-", "--json", stdin=b"a" * 280 + b"\n")
    violation = json.loads(answer.stdout)["violations"][0]
    assert answer.returncode == 1
    assert {"code": "weighted_length", "severity": "error", "measured": 281, "limit": 280, "part": "posts[0]"}.items() <= violation.items()


def test_people_get_a_table_and_the_messages(check: Pressroom, tmp_path: Path) -> None:
    file = tmp_path / "post.txt"
    file.write_text("Too short.", encoding="utf-8")
    answer = check("linkedin", str(file))
    assert answer.returncode == 1
    assert "does not keep the rules" in answer.stdout
    assert "150 to 300 are allowed: 148 more are needed." in answer.stdout
    assert answer.stderr == ""


def test_what_cannot_be_read_is_one_line_and_exit_code_2(check: Pressroom) -> None:
    answer = check("x", stdin=b"caf\xe9")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "pressroom: standard input: not UTF-8: byte 0xe9 at position 3\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tiktok",), "unknown platform 'tiktok': expected one of linkedin, x, instagram"),
        (("x", "no/such/file"), "no/such/file: cannot be read: No such file or directory"),
        (("x", "."), ".: cannot be read: Is a directory"),
        (("instagram",), "instagram: line 1: expected one of the headings HOOK, VALUE, CALL TO ACTION, SCENES, CAPTION above it"),
    ],
)
def test_bad_input_is_named(check: Pressroom, words: tuple[str, ...], message: str) -> None:
    assert told(check(*words, stdin=b"Hello\nHOOK\nHi"), 2, f"pressroom: {message}\n") is None


def test_a_terminal_instead_of_a_text_is_told_what_to_do(check: Pressroom) -> None:
    leader, follower = pty.openpty()
    try:
        answer = check("x", stdin=os.fdopen(follower))
    finally:
        os.close(leader)
    told(answer, 2, "name a FILE, or pipe it in")
