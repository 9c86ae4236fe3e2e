"""How long a text takes to say.

A number counts as the words one says for it: "1,384,234" is one written word and eleven spoken ones. The number words are counted in
English, which is close enough for an estimate in other languages. Chinese and Japanese characters go two to the word, which gives
300 a minute at 150 words a minute.
"""

import re

import regex

_PIECE = regex.compile(
    r"""
      (?P<number>\d{1,3}(?:[,.'\u00a0\u202f]\d{3}){2,} | \d{1,3}(?:[,'\u00a0\u202f]\d{3})+(?!\d) | \d+)
      (?:[.,](?P<decimals>\d+) | (?:st|nd|rd|th)\b)?
    | (?P<half>[\p{Han}\p{Hiragana}\p{Katakana}])
    | (?P<word>[\p{L}\p{M}]+(?:['’\u2010\u2011-][\p{L}\p{M}]+)*)
    | (?P<dot>(?<=\w)[.@](?=\p{L}))
    | (?P<sign>[%‰&+=°\p{Sc}])
    """,
    regex.VERBOSE,
)


def spoken_words(text: str) -> float:
    """Words that one says when reading `text` aloud; signs such as % and € are words, emoji and punctuation are not."""
    words = 0.0
    for piece in _PIECE.finditer(text):
        if piece["number"]:
            words += number_words(re.sub(r"\D", "", piece["number"])) + (1 + len(piece["decimals"]) if piece["decimals"] else 0)
        else:
            words += 0.5 if piece["half"] else 1
    return words


def number_words(digits: str) -> int:
    """English words of a whole number given in digits. One with a leading zero, or beyond 15 digits, is read digit by digit."""
    if len(digits) > 15 or (len(digits) > 1 and int(digits[0]) == 0):
        return len(digits)
    groups = [int(group) for group in f"{int(digits):,}".split(",")]
    scales = sum(1 for group in groups[:-1] if group)  # thousand, million, billion, trillion
    return sum(_below_thousand(group) for group in groups) + scales or 1  # zero is a word, too


def _below_thousand(number: int) -> int:
    hundreds, rest = divmod(number, 100)
    return 2 * (hundreds > 0) + (1 if 0 < rest < 20 else (rest >= 20) + (rest % 10 > 0))
