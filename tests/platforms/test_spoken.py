"""How many words a text is when it is said aloud."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.platforms.spoken import number_words, spoken_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,384,234", 11),  # one million three hundred eighty four thousand two hundred thirty four
        ("1.384.234", 11),
        ("0", 1),
        ("13", 1),
        ("40", 1),
        ("42", 2),
        ("100", 2),
        ("1,000,000", 2),
        ("3.5", 3),
        ("50%", 2),
        ("$5", 2),
        ("24/7", 3),
        ("the 1st of May", 4),
        ("0800 5", 5),
        ("brew.example", 3),
        ("a well-known thing, isn't it?", 5),
        ("🙂 – … #Espresso", 1),
        ("日本語です", 2.5),
        ("", 0),
    ],
)
def test_a_text_takes_as_many_words_as_one_says(text: str, words: float) -> None:
    assert spoken_words(text) == words


@given(st.integers(1, 10**15 - 1))
def test_a_thousand_times_a_number_is_at_most_one_word_longer(number: int) -> None:
    if number < 10**12:
        assert number_words(f"{number}000") <= number_words(str(number)) + 1 + len(f"{number:,}".split(",")) - 1
    assert number_words(str(number)) <= 5 * len(f"{number:,}".split(","))


@given(st.lists(st.sampled_from(["word", "42", "€5", "don't"])), st.lists(st.sampled_from(["word", "42", "€5", "don't"])))
def test_texts_add_up(one: list[str], other: list[str]) -> None:
    assert spoken_words(" ".join(one + other)) == spoken_words(" ".join(one)) + spoken_words(" ".join(other))
