"""LinkedIn: length, paragraphs, hashtags, and no advertising."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.errors import BadInput
from pressroom.platforms.linkedin import PLATFORM


def broken(text: str, *key_points: str) -> list[tuple[str, str | None]]:
    return [(violation.code, violation.part) for violation in PLATFORM.check({"text": text, "key_points": list(key_points)}).violations]


def a_post(words: int, ending: str = "") -> str:
    return "An opening.\n\n" + " ".join(["word"] * (words - 2)) + ending


@pytest.mark.parametrize(("words", "codes"), [(149, ["words"]), (150, []), (300, []), (301, ["words"])])
def test_a_post_has_150_to_300_words(words: int, codes: list[str]) -> None:
    assert [code for code, _ in broken(a_post(words))] == codes


def test_key_points_count_as_words_because_they_are_posted() -> None:
    assert broken(a_post(145), "five more words of text") == []


def test_a_japanese_post_is_counted_by_its_characters() -> None:
    assert broken("日本語の投稿。\n\n" + "語" * 200) == []


def test_dashes_and_bullets_are_no_words() -> None:
    assert broken(a_post(149, " – • — 🙂")) == [("words", None)]


def test_a_wall_of_text_needs_a_paragraph_break() -> None:
    assert broken(" ".join(["word"] * 200)) == [("paragraph_breaks", None), ("opening", "text")]


def test_five_hashtags_are_allowed_and_six_are_not() -> None:
    assert broken(a_post(200, "\n\n#a #b #c #d #e")) == []
    assert broken(a_post(200, "\n\n#a #b #c #d #e #f")) == [("hashtags", None)]


def test_numbers_and_addresses_are_no_hashtags() -> None:
    assert broken(a_post(200, " C# is #1 at page#part and a&#39;b " + "#2 " * 9)) == []


def test_three_thousand_characters_are_the_most() -> None:
    assert [code for code, _ in broken("Short.\n\n" + ("w" * 15 + " ") * 187)] == []
    assert [code for code, _ in broken("Short.\n\n" + ("w" * 15 + " ") * 188)] == ["characters"]


@pytest.mark.parametrize(
    "phrase", ["Buy now", "buy\nnow", "game changer", "game-changer", "Don’t miss", "don't miss", "HURRY!", "world‑class".replace("‑", "-")]
)
def test_promotional_language_is_an_error(phrase: str) -> None:
    assert broken(a_post(200, f" {phrase}.")) == [("promotional", "text")]


@pytest.mark.parametrize("phrase", ["the best buy nowadays", "world classes", "unhurrying", "a limited timetable", "free"])
def test_a_word_that_only_contains_a_promotional_one_is_fine(phrase: str) -> None:
    assert broken(a_post(200, f" {phrase}.")) == []


def test_a_promotional_key_point_is_named() -> None:
    checked = PLATFORM.check({"text": a_post(200), "key_points": ["Fine.", "Order now, hurry."]})
    assert [(violation.part, violation.measured, violation.limit) for violation in checked.violations] == [("key_points[1]", 2, 0)]
    assert "“order now”, “hurry”" in checked.violations[0].message


def test_a_long_first_paragraph_is_only_a_warning() -> None:
    checked = PLATFORM.check({"text": "w" * 211 + "\n\n" + " ".join(["word"] * 200), "key_points": []})
    assert checked.ok
    assert [violation.code for violation in checked.violations] == ["opening"]


def test_key_points_stand_between_the_text_and_its_hashtags() -> None:
    assert PLATFORM.render({"text": "Hello.\n\n#a #b", "key_points": ["One.", "Two."]}) == "Hello.\n\n• One.\n• Two.\n\n#a #b"


LINE = (
    st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=30)
    .map(str.strip)
    .filter(lambda line: line and not line.startswith(("•", "{", "[")))
)


@given(st.lists(LINE, min_size=1, max_size=4), st.lists(LINE, max_size=4), st.booleans())
def test_a_rendered_post_reads_back(paragraphs: list[str], key_points: list[str], tagged: bool) -> None:
    parts = {"text": "\n\n".join([*paragraphs, *["#one #two"] * tagged]), "key_points": key_points}
    assert PLATFORM.parts_of(PLATFORM.render(parts)) == parts


def test_a_document_is_read_and_its_faults_are_named() -> None:
    parts = {"text": "Hello.", "key_points": ["One."]}
    assert PLATFORM.parts_of(json.dumps(parts)) == parts
    with pytest.raises(BadInput, match="linkedin: key_points is missing"):
        PLATFORM.parts_of('{"text": "Hello."}')
    assert PLATFORM.parts_of("{text} is a placeholder") == {"text": "{text} is a placeholder", "key_points": []}
