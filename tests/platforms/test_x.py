"""X: what is refused, and how a post and a thread are read."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pressroom.errors import BadInput
from pressroom.platforms.x import PLATFORM


def broken(*posts: str) -> list[tuple[str, str | None]]:
    return [(violation.code, violation.part) for violation in PLATFORM.check({"posts": list(posts)}).violations]


@pytest.mark.parametrize("post", ["a" * 280, "日" * 140, "main.py " * 11 + "x" * 16, "Up 3% for $ABC, costs $5 or US$7"])
def test_a_post_within_the_rules_has_no_violation(post: str) -> None:
    assert broken(post) == []


@pytest.mark.parametrize(
    ("post", "code"),
    [
        ("a" * 281, "weighted_length"),
        ("日" * 141, "weighted_length"),
        ("main.py " * 12, "weighted_length"),
        ("", "empty"),
        (" \n ", "empty"),
        ("a\ufeff", "invalid_characters"),
        ("a\ufffe", "invalid_characters"),
        ("$ABC and $DEF", "cashtags"),
        ("$BRK.B\n$abc", "cashtags"),
    ],
)
def test_a_post_that_x_would_refuse_is_an_error(post: str, code: str) -> None:
    assert broken(post) == [(code, "posts[0]")]
    assert not PLATFORM.check({"posts": [post]}).ok


def test_a_violation_says_what_was_measured_and_what_to_change() -> None:
    violation = PLATFORM.check({"posts": ["fine", "a" * 283]}).violations[0]
    assert (violation.measured, violation.limit, violation.part) == (283, 280, "posts[1]")
    assert violation.message == "Post 2 counts 283 characters on X, 280 are allowed: shorten it by 3."


def test_new_emoji_that_old_counters_find_too_long_are_only_a_warning() -> None:
    checked = PLATFORM.check({"posts": ["❤️‍🔥" * 100]})
    assert checked.ok
    assert [(violation.code, violation.severity) for violation in checked.violations] == [("weighted_length_strict", "warning")]


@pytest.mark.parametrize(("count", "codes"), [(1, []), (2, []), (5, []), (6, [("posts", None)]), (0, [("posts", None)])])
def test_a_thread_has_at_most_five_posts(count: int, codes: list[tuple[str, None]]) -> None:
    assert broken(*["A post."] * count) == codes


def test_the_measures_of_a_post_and_of_a_thread() -> None:
    single = {"weighted_length": 26, "weighted_length_strict": 26, "remaining": 254, "urls": 1, "posts": 1}
    assert PLATFORM.check({"posts": ["at a.ai"]}).measures == single
    thread = PLATFORM.check({"posts": ["a" * 10, "❤️‍🔥" * 10]}).measures
    assert thread["weighted_lengths"] == [10, 20]
    assert thread["weighted_lengths_strict"] == [10, 50]
    assert (thread["weighted_length"], thread["remaining"]) == (20, 260), "the figures without a list are those of the longest post"


@given(st.text(max_size=60).filter(lambda text: not text.lstrip().startswith(("[", "{"))))
def test_a_text_is_one_post_as_it_is(text: str) -> None:
    """No trimming, no translation of line ends: what was piped in is what is measured."""
    assert PLATFORM.parts_of(text) == {"posts": [text]}


@given(st.lists(st.text(max_size=40), min_size=2, max_size=6))
@settings(max_examples=200)
def test_a_rendered_thread_reads_back_as_the_thread(posts: list[str]) -> None:
    assert PLATFORM.parts_of(PLATFORM.render({"posts": posts})) == {"posts": posts}


@pytest.mark.parametrize("text", ["One\n\n[2/3]\n\nTwo", "One\n\n[2/2] Two", "One\n\n[3/2]\n\nTwo", "One\n[2/2]\nTwo"])
def test_a_post_with_something_like_a_mark_stays_one_post(text: str) -> None:
    assert PLATFORM.parts_of(text) == {"posts": [text]}


@pytest.mark.parametrize("document", [["One", "Two"], {"posts": ["One", "Two"]}])
def test_a_document_is_a_thread(document: Any) -> None:
    assert PLATFORM.parts_of(json.dumps(document, indent=1)) == {"posts": ["One", "Two"]}


@pytest.mark.parametrize("text", ["[1, 2]", "[]", '{"posts": "no"}', "[draft] hello", "[" * 100_000])
def test_a_post_that_begins_with_a_bracket_stays_a_post(text: str) -> None:
    assert PLATFORM.parts_of(text) == {"posts": [text]}


def test_half_a_character_in_a_document_is_named_as_bad_input() -> None:
    with pytest.raises(BadInput, match="half of a character"):
        PLATFORM.parts_of(r'["a \ud83d b"]')


def test_parts_of_another_platform_are_bad_input() -> None:
    with pytest.raises(BadInput, match="x: text: unknown key; the parts are posts"):
        PLATFORM.check({"text": "hello"})
