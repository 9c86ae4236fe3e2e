"""Whether a stretch of folded text spells a term: as it is, in leetspeak, or with stretched letters."""

import itertools
from dataclasses import dataclass

from pressroom.safety.folding import LEET, STRETCHED_FROM_TWO, fold, is_inside_word, is_letter

LONGEST = 200  # characters of one finding: nobody reads a longer one as a word, and checking it would take long


@dataclass(frozen=True)
class Spelling:
    """A term as runs of one letter each: "hello" is h 1, e 1, l 2, o 1. A space is what is between two words."""

    runs: tuple[tuple[str, int], ...]
    loose: frozenset[str] = frozenset()

    def end_in(self, text: str, starts: range, ends: range) -> tuple[int, int] | None:
        """The longest stretch of `text` that begins in `starts`, ends in `ends` and spells the term as whole words, or None."""
        for start in starts:
            if is_inside_word(text, start):
                continue
            for end in self._ends(text, start, min(ends.stop - 1, start + LONGEST)):
                if end >= ends.start and not is_inside_word(text, end) and not _is_number(text[start:end], self.runs):
                    return start, end
        return None

    def _ends(self, text: str, start: int, most: int) -> list[int]:
        """Every place at which the term can end that begins at `start`, the farthest first."""
        reached = {start}
        for letter, times in self.runs:
            reached = {end for place in reached for end in self._run(text, place, most, letter, times)}
            if not reached:
                return []
        return sorted(reached, reverse=True)

    def _run(self, text: str, place: int, most: int, letter: str, times: int) -> list[int]:
        """Where one run may end: as often as in the term, or so often that it is stretched."""
        allowed = letter + LEET.get(letter, "")
        length = 0
        while place + length < most and (not is_letter(text[place + length]) if letter == " " else text[place + length] in allowed):
            length += 1
        if letter == " ":
            return [place + length] if length else []
        stretched = times + 1 if letter.isdigit() else max(times + 1, 2 if letter in self.loose else 3)
        ends = [place + times] if length >= times else []
        if not letter.isdigit():
            ends += range(place + stretched, place + length + 1)
        return ends


def words_of(term: str, language: str) -> str:
    """The folded words of a term, one space between two: signs in it only part words ("ak-47")."""
    return " ".join("".join(one if is_letter(one) else " " for one in fold(term, language).text).split())


def spelling(term: str, language: str) -> Spelling:
    """How `term` is spelt."""
    runs = tuple((letter, len(list(run))) for letter, run in itertools.groupby(words_of(term, language)))
    return Spelling(runs, STRETCHED_FROM_TWO.get(language, frozenset()))


def _is_number(found: str, runs: tuple[tuple[str, int], ...]) -> bool:
    """Whether more than half of what was found is digits that the term does not have: "455" and "A55" spell no word."""
    digits = sum(character.isdigit() for character in found)
    own = sum(times for letter, times in runs if letter.isdigit())
    return 2 * max(0, digits - own) > sum(is_letter(character) or character in "@$€¢!|+" for character in found)
