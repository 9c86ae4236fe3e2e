"""How X counts: the figures of its documentation, and laws that hold for every text."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pressroom.platforms.weighted import _twitter_text, measure, weighted_length

SKIN = "\U0001f3fb"
JOIN = "\u200d"
PIECES = [
    "a",
    " ",
    "日",
    "\n",
    "\r\n",
    "e\u0301",
    "main.py",
    "https://example.com/a?b=c",
    "Node.js",
    "🫱🏻‍🫲🏿",
    "👨‍👩‍👧‍👦",
    "🇩🇪",
    "🇨🇶",
    "🇦",
    "1️⃣",
    "©",
    "™️",
    SKIN,
    JOIN,
]
PIECES += [
    "\ufe0f",
    "😀",
    "❤️‍🔥",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "\U000e007f",
    "@a.com",
    "#",
    "$",
    ".",
    "/",
    "com",
    "🐦‍⬛",
    "⚧️",
]
texts = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=14).map("".join))


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("a" * 280, 280),
        ("日" * 140, 280),
        ("한국어", 6),
        ("— – “ ” ‘ ’ …", 14),
        ("one\r\ntwo", 7),
        ("cafe\u0301", 4),
        ("https://example.com/a/very/long/path?with=a&query=string#and-a-fragment", 23),
        ("see main.py", 27),
        ("README.md", 23),
        ("script.sh", 23),
        ("a.ai", 23),
        ("Node.js", 7),
        ("v2.0.1", 6),
        ("😀", 2),
        ("👨‍👩‍👧‍👦", 2),
        ("👍🏽", 2),
        ("🇩🇪", 2),
        ("1️⃣", 2),
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", 2),
    ],
)
def test_a_text_counts_as_x_documents_it(text: str, length: int) -> None:
    assert (measure(text).current, measure(text).strict) == (length, length)


@pytest.mark.parametrize(
    ("emoji", "strict"),
    [("🫱🏻‍🫲🏿", 9), ("❤️‍🔥", 5), ("🐦‍⬛", 5), ("🧑‍🧑‍🧒", 8), ("🇨🇶", 4), ("⚧️", 4), ("🫃🏽", 4), ("👩🏿‍❤️‍💋‍👨🏻", 11)],
)
def test_an_emoji_newer_than_the_package_counts_two(emoji: str, strict: int) -> None:
    """The strict count says what a client with the old table shows; the post is held against the current one."""
    assert (measure(emoji).current, measure(emoji).strict) == (2, strict)


def test_two_letters_that_are_no_country_are_no_flag() -> None:
    assert weighted_length("🇦🇦") == 4


def test_a_long_text_without_a_space_is_counted_at_once() -> None:
    assert weighted_length("日" * 100_000 + ".com") == 200_004


@given(texts)
@settings(max_examples=150, deadline=None)
def test_the_strict_count_is_the_packages(text: str) -> None:
    assert measure(text).strict == _twitter_text().parse_tweet(text).weightedLength


@given(texts)
@settings(max_examples=150, deadline=None)
def test_the_current_count_is_never_more_than_the_strict_one(text: str) -> None:
    length = measure(text)
    assert 0 <= length.current <= length.strict


@given(texts)
@settings(max_examples=150, deadline=None)
def test_the_form_of_an_accent_does_not_change_the_length(text: str) -> None:
    assert weighted_length(unicodedata.normalize("NFD", text)) == weighted_length(unicodedata.normalize("NFC", text))


@given(st.text("abc日 é", max_size=60), st.text("abc日 é", max_size=60))
def test_plain_texts_add_up(one: str, other: str) -> None:
    assert weighted_length(one + other) == weighted_length(one) + weighted_length(other)
