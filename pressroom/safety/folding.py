"""How a text is read for matching: folded, with every place in it leading back to the text as written, and its skeleton.

Folding takes away what changes no word: case, width, ligatures, invisible characters, letters of other scripts that look the same. The
skeleton goes further, and may: it only proposes places, and `spelling.py` decides.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

# What stands for a letter in leetspeak. 2, 6 and 9 are left out: they make words of ordinary numbers, and are rare.
LEET = {
    "a": "4@",
    "b": "8",
    "c": "¢",
    "e": "3€",
    "g": "9",
    "i": "1!|",
    "l": "1|",
    "o": "0",
    "s": "5$",
    "t": "7+",
}
# One class for all that can be mistaken for each other: "1" is i or l, so that i and l are one.
_CLASS = {mark: ("i" if letter == "l" else letter) for letter, marks in LEET.items() for mark in marks} | {"l": "i"}
_SIGNS = frozenset("@$€¢!|+")  # of them, those that are no letters anywhere else
_AT_AN_END = frozenset("@$€¢")  # "a$$" ends in two letters, "guns!" in none

# Cyrillic and Greek letters that are drawn as Latin ones, lower case, as found in spam.
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһӏαορνι", "aeopcyxijsdhlaopvi")
# In English an accent carries no meaning ("fück" is no other word), in German it does ("schwül", humid).
MARKS_DO_NOT_MATTER = frozenset({"en"})
# Letters that a word of the language hardly ever has twice: doubled, they are stretched. Every other letter is from three on.
STRETCHED_FROM_TWO = {"en": frozenset("ahijkquvwxy"), "de": frozenset("chijquvwxy"), "es": frozenset("abdfghijkmpqstuvwxyz")}

# One letter, a sign, one letter, the same sign ...: "f.u.c.k" is a word that was pulled apart.
_PULLED_APART = re.compile(r"(?<![^\W_])[^\W_](?P<by>[ .\-_*·])(?:[^\W_](?P=by))+[^\W_](?![^\W_])")


@dataclass(frozen=True)
class Folded:
    """A folded text. The character at `i` stands for `starts[i]` up to `ends[i]` of the text as written."""

    text: str
    starts: range | tuple[int, ...]
    ends: range | tuple[int, ...]

    def written(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]` is in the text as written."""
        return self.starts[start], self.ends[end - 1]


def fold(text: str, language: str) -> Folded:
    """`text` after NFKC and case folding, without invisible characters, and without accents where the language has none."""
    if text.isascii():
        return Folded(text.lower(), range(len(text)), range(1, len(text) + 1))
    letters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in _clusters(text):
        for letter in _folded_cluster(text[start:end], language):
            letters.append(letter)
            starts.append(start)
            ends.append(end)
    return Folded("".join(letters), tuple(starts), tuple(ends))


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """A character with the combining marks that follow it: NFKC may make one of them."""
    start = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or not unicodedata.combining(text[place]):
            yield start, place
            start = place


@lru_cache(maxsize=4096)
def _folded_cluster(cluster: str, language: str) -> str:
    # Folding can undo NFKC, and NFKC can bring back a capital (Unicode 16, 3.13, D146).
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", cluster).casefold()).casefold()
    folded = "".join(one for one in folded if unicodedata.category(one) != "Cf" and not "\ufe00" <= one <= "\ufe0f")
    if language in MARKS_DO_NOT_MATTER:
        folded = "".join(one for one in unicodedata.normalize("NFD", folded) if not unicodedata.combining(one))
    return folded.translate(_LOOKALIKES) if language not in ("ru", "uk", "bg", "sr", "el") else folded


def is_letter(character: str) -> bool:
    """A letter, a digit or a mark of one: what words are made of. The underscore parts words."""
    return character.isalnum() or unicodedata.category(character).startswith("M")


def is_inside_word(text: str, place: int) -> bool:
    """Whether the gap before `text[place]` is inside a word. Scripts that write no spaces have no such gap."""
    return 0 < place < len(text) and _leans(text, place - 1, -1) and _leans(text, place, 1)


def _leans(text: str, place: int, step: int) -> bool:
    """Whether the character is part of a word: @ and $ are in the midst of one ("user@ass.example"), not at its beginning."""
    beyond = place
    while 0 <= beyond < len(text) and text[beyond] in _AT_AN_END:
        beyond += step
    if beyond != place:
        return 0 <= beyond < len(text) and is_letter(text[beyond])
    character = text[place]
    return is_letter(character) and not _is_unspaced(character)


def _is_unspaced(character: str) -> bool:
    return "\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff" or "\u0e00" <= character <= "\u0eff"


@dataclass(frozen=True)
class Skeleton:
    """A folded text with one character for each run of the same class. Run `i` is `firsts[i]` up to `lasts[i]` of the folded text."""

    text: str
    firsts: tuple[int, ...]
    lasts: tuple[int, ...]


def skeleton(folded: str) -> Skeleton:
    """The skeleton of a folded text: leetspeak read, stretched and double letters once, all that is between words one space."""
    runs: list[str] = []
    firsts: list[int] = []
    lasts: list[int] = []
    before = ""
    for place, character in enumerate(folded):
        kind = _kind(folded, place, character)
        if kind == before:
            lasts[-1] = place + 1
        else:
            runs.append(kind)
            firsts.append(place)
            lasts.append(place + 1)
            before = kind
    return Skeleton("".join(runs), tuple(firsts), tuple(lasts))


def _kind(folded: str, place: int, character: str) -> str:
    if "a" <= character <= "z" and character != "l":
        return character
    if character in _SIGNS and not _stands_for_letter(folded, place):
        return " "
    return _CLASS.get(character) or (character if is_letter(character) else " ")


def _stands_for_letter(folded: str, place: int) -> bool:
    """Whether a sign can be a letter: a word goes on after it, or, for those that end words, came before it."""
    after, before = folded[place + 1 : place + 2], folded[place - 1 : place]
    if after.isdigit() and not is_letter(before or " ") and folded[place] in "$€¢":
        return False  # "$500" is money
    if after and (is_letter(after) or after in _SIGNS):
        return True
    return folded[place] in _AT_AN_END and bool(before) and (is_letter(before) or before in _AT_AN_END)


def pulled_apart(folded: str) -> Iterator[tuple[int, int, str]]:
    """Words that are written letter by letter, such as "g-u-n": start and end in the folded text, and the word."""
    for found in _PULLED_APART.finditer(folded):
        yield found.start(), found.end(), found.group()[::2]
