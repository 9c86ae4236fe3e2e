"""Finds the terms of the dictionaries in a text: in any case and width, in leetspeak, with stretched letters, and only as whole words."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pressroom.safety.dictionaries import Dictionaries, Term, dictionaries, language_of
from pressroom.safety.folding import Folded, fold, pulled_apart, skeleton
from pressroom.safety.spelling import Spelling, spelling, words_of


@dataclass(frozen=True)
class Match:
    """A finding in a text: `text[start:end]` as written, and what it counts as."""

    start: int
    end: int
    text: str
    term: str
    code: str
    label: str
    score: float
    language: str


@dataclass(frozen=True)
class _Entry:
    """One form of a term. `label` is None for a phrase in which the terms in it are harmless."""

    form: str
    term: str
    spelling: Spelling
    score: float = 0.0
    label: str | None = None
    code: str = ""


class Matcher:
    """The terms of one language, ready to be looked for."""

    def __init__(self, known: Dictionaries, language: str) -> None:
        import ahocorasick

        self.language = language_of(language)
        entries: dict[str, list[_Entry]] = {}
        for entry in self._entries(known):
            entries.setdefault(skeleton(words_of(entry.form, self.language)).text, []).append(entry)
        self._automaton: Any = ahocorasick.Automaton()
        for shape, forms in entries.items():
            self._automaton.add_word(shape, (len(shape), forms))
        self._automaton.make_automaton()
        self._is_empty = not entries

    def _entries(self, known: Dictionaries) -> Iterator[_Entry]:
        for dictionary in known.of(self.language):
            for term in dictionary.terms:
                weight = term.weight or dictionary.weight
                for form in term.forms:
                    yield self._entry(form, term, weight, term.label or dictionary.label, term.code or dictionary.code)
                for phrase in term.unless:
                    yield self._entry(phrase, term)

    def _entry(self, form: str, term: Term, score: float = 0.0, label: str | None = None, code: str = "") -> _Entry:
        return _Entry(form, term.term, spelling(form, self.language), score, label, code)

    def find(self, text: str) -> tuple[Match, ...]:
        """Every finding in `text`, by place. Of two findings of one label, one inside the other, the longer counts."""
        if self._is_empty or not text:
            return ()
        folded = fold(text, self.language)
        found = list(self._found(folded.text))
        for start, end, word in pulled_apart(folded.text):
            found += [(start, end, entry) for first, last, entry in self._found(word) if (first, last) == (0, len(word))]
        return tuple(self._match(text, folded, start, end, entry) for start, end, entry in _kept(found))

    def _found(self, folded: str) -> Iterator[tuple[int, int, _Entry]]:
        shape = skeleton(folded)
        for last, (length, forms) in self._automaton.iter(shape.text):
            first = last - length + 1
            starts = range(shape.firsts[first], shape.lasts[first])
            ends = range(shape.firsts[last] + 1, shape.lasts[last] + 1)
            for entry in forms:
                place = entry.spelling.end_in(folded, starts, ends)
                if place is not None:
                    yield *place, entry

    def _match(self, text: str, folded: Folded, start: int, end: int, entry: _Entry) -> Match:
        assert entry.label is not None
        first, last = folded.written(start, end)
        return Match(first, last, text[first:last], entry.term, entry.code, entry.label, entry.score, self.language)


def _kept(found: list[tuple[int, int, _Entry]]) -> list[tuple[int, int, _Entry]]:
    """Without those in a harmless phrase, and without those inside a longer one, or at its very place, of the same label."""
    harmless = [(start, end) for start, end, entry in found if entry.label is None]
    kept: list[tuple[int, int, _Entry]] = []
    reach: dict[str, int] = {}  # by label: how far the findings so far go; sorted by start, a smaller end is inside one of them
    for start, end, entry in sorted(found, key=lambda one: (one[0], -one[1], -one[2].score, one[2].form)):
        if entry.label is None or any(first <= start and end <= last for first, last in harmless):
            continue
        if end > reach.get(entry.label, 0):
            kept.append((start, end, entry))
            reach[entry.label] = end
    return kept


@lru_cache(maxsize=32)
def matcher(language: str, known: Dictionaries) -> Matcher:
    """The matcher of a language, built once in a process."""
    return Matcher(known, language)


def find_terms(text: str, language: str = "en", known: Dictionaries | None = None) -> list[Match]:
    """The findings in `text` by the dictionaries of `language` ("en-GB" is "en"), by place; none where there is no dictionary for it."""
    return list(matcher(language_of(language), known or dictionaries()).find(text))
