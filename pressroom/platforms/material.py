"""What a draft can be written from without a model: the brief's own words, made safe to quote, and seeded choices among phrasings.

Nothing is said that the brief does not hold: search phrases are quoted, their volumes named, and all else is about how to answer them.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import regex

from pressroom.platforms.base import Checked, DraftBrief
from pressroom.platforms.text import count_words
from pressroom.platforms.weighted import measure
from pressroom.records import Idea, Keyword

T = TypeVar("T")

# What somebody wants who types a phrase, by the words in it; the first kind that fits decides.
_KINDS: tuple[tuple[str, str], ...] = (
    ("local", r"\b(near (me|by)|nearby|nearest|local|open now|in my area)\b"),
    ("versus", r"\b(vs\.?|versus|or|compared?|comparison|difference between|alternatives?)\b"),
    ("cost", r"\b(how much|costs?|prices?|pricing|fees?|rates?|budget|cheap(er|est)?|affordable|worth it)\b"),
    ("trouble", r"\b(fix|repair|problems?|issues?|errors?|not working|won'?t|broken|leak(s|ing)?|mistakes?|troubleshoot(ing)?)\b"),
    ("howto", r"^(how (to|do|can|should)|ways to|steps to|learn(ing)?)\b|\bhow to\b|\b(diy|tutorial|step by step|at home)\b"),
    ("question", r"^(what|why|when|where|which|who|whose|how|can|could|is|are|do|does|did|should|will|would)\b"),
    ("best", r"\b(best|top|recommended|reviews?|rated|ratings?|good)\b"),
    ("beginner", r"\b(beginners?|basics|for dummies|getting started|first time|introduction|explained|guide|meaning)\b"),
    ("model", r"\b(checklist|template|examples?|ideas?|list|calculator|chart|plan|sample|recipes?|tips|ratio|size|sizes)\b"),
    ("buy", r"\b(buy(ing)?|for sale|order|shop|store|deals?|discount|rent(al)?|hire|book(ing)?|services?|company|companies|installers?)\b"),
)
_MODIFIERS = regex.compile(
    r"\b(near (me|by)|nearby|open now|in my area|how much (is|are|does|do)|costs?|prices?|pricing|cheap(er|est)?|affordable"
    r"|best|top|reviews?|buy|for sale|online|for beginners|guide|tips|explained|\d{4})\b"
)
_NO_TOPIC = regex.compile(
    r"^(how|what|why|when|where|which|who|can|could|is|are|do|does|did|should|will|would|ways|steps)\b|\b(vs\.?|versus|or)\b"
)
_CONTROL = regex.compile(r"[\p{C}--[\u200c\u200d]]+", regex.V1)
_QUOTES = regex.compile(r"[\"“”„«»‟<>{}\[\]\\`|*_~^]+")
_SPEECH = regex.compile(r"[“\"]([^“”\"]+)[”\"]")
_EDGES = regex.compile(r"^[^\p{L}\p{N}]+|[^\p{L}\p{N}\p{M}%+#)'’]+$")
_PLURAL = regex.compile(r"[^aiosu'’]s$")
# A subject with one of these words is a fragment or a task: "coffee beans for espresso", "clean grinder".
_NO_NOUN = regex.compile(
    r"\b(for|with|without|in|of|to|on|at|from|under|near|and|by|into|after|before|during|per|as|about|too|not|no|homemade|\w+n['’]t)\b"
    r"|^(make|fix|install|choose|pick|learn|create|remove|replace|get|clean|build|descale|improve|reduce|calculate|grow|use)\b"
)
# Words of a title that is meant for the desk.
_INTERNAL = regex.compile(
    r"\b(reader|editor|piece|page|brief|outline|angle|case|cases|search|glossary|checklist|demand|data|draft|article|story|interview|diary|professional|trade)(s|es)?\b"
)


def clean(text: str) -> str:
    """`text` on one line, without what a platform would read as more than words: links, tags, mentions, markup, invisible characters."""
    line = " ".join(_CONTROL.sub(" ", unicodedata.normalize("NFC", text)).split())
    line = str(_QUOTES.sub("", line))
    line = regex.sub(r"(?i)\b\w+://\S+|\bwww\.\S+", " ", line)
    line = regex.sub(r"(?<![\p{L}\p{N}])[#＃@＠$]+(?=[\p{L}\p{N}])", "", line)
    for link in measure(line).links:
        line = line.replace(link, " ".join(link.split("/")[0].split(".")))
    return str(_EDGES.sub("", " ".join(line.split())))


def _core(phrase: str) -> str:
    """`phrase` without what only qualifies the search: "coffee beans" for "best coffee beans"."""
    return " ".join(regex.sub(_MODIFIERS.pattern, " ", phrase, flags=regex.I).split())


@dataclass(frozen=True)
class Search:
    """One keyword as it can be quoted: `kind` is what is wanted, `volume` the searches a month where they are worth naming."""

    phrase: str
    kind: str
    volume: str | None

    @property
    def quoted(self) -> str:
        return f"“{self.phrase}”"

    @property
    def counted(self) -> str:
        """The phrase with its volume: “roof repair cost” (2,400 searches a month)."""
        return f"{self.quoted} ({self.volume} searches a month)" if self.volume else self.quoted


class Dice:
    """Choices that a seed decides, the same on every machine and version of Python.

    Ideas of one day share `day`; `place` is the idea's number in it. Of each bank of phrasings they take different ones, in turn.
    """

    def __init__(self, *seed: object, day: object = "", place: int = 0) -> None:
        self._seed = "/".join(map(str, seed))
        self._day, self._place = str(day), place
        self._rolls: Counter[str] = Counter()

    def roll(self, sides: int) -> int:
        return self._number(self._seed, sides)

    def pick(self, options: Sequence[T]) -> T:
        return options[(self._number(self._bank(options), len(options)) + self._turn(options)) % len(options)]

    def mixed(self, options: Sequence[T]) -> list[T]:
        rest, mixed, bank = list(options), [], self._bank(options)
        while rest:
            mixed.append(rest.pop(self._number(bank, len(rest))))
        turn = self._turn(options) % max(1, len(mixed))
        return mixed[turn:] + mixed[:turn]

    def _number(self, seed: str, sides: int) -> int:
        self._rolls[seed] += 1
        return int.from_bytes(hashlib.sha256(f"{seed}/{self._rolls[seed]}".encode(errors="replace")).digest()[:8]) % sides

    def _bank(self, options: Sequence[object]) -> str:
        return "/".join([self._day, str(len(options)), *(option for option in options[:1] if isinstance(option, str))])

    def _turn(self, options: Sequence[object]) -> int:
        """How far this idea's choice lies behind the first idea's: five ideas get five phrasings where a bank has as many."""
        return self._place * max(1, len(options) // 5)


class Material:
    """A brief, taken apart. `allowed` says of a piece of the brief's text whether the platform lets it be quoted."""

    def __init__(self, brief: DraftBrief, *, allowed: Callable[[str], bool] = lambda text: True, plain: bool = False) -> None:
        self._brief, self._allowed, self._plain = brief, allowed, plain
        self.idea: Idea = brief.idea

    def words(self, text: str, most: int) -> str:
        """`text` where it can stand in a sentence: at most `most` words, one sentence, allowed; else empty."""
        return self._fitting(text, most) if not regex.search(r"[.!?;:。！？](\s|$)", clean(text)) else ""

    def _fitting(self, text: str, most: int) -> str:
        said = "" if self._plain else clean(_SPEECH.sub(r"‘\1’", text))
        return said if 0 < count_words(said) <= most and len(said) <= 8 * most and self._allowed(said) else ""

    @cached_property
    def searches(self) -> list[Search]:
        """The keywords that can be quoted, in the idea's order, each once."""
        known = {keyword.normalised: keyword for keyword in self._brief.keywords}
        others = [Keyword(phrase=phrase, normalised=phrase) for phrase in self.idea.keywords if phrase not in known]
        found: dict[str, Search] = {}
        for keyword in (*self._brief.keywords, *others):
            if phrase := self.words(keyword.phrase, 9):
                kind = next((name for name, pattern in _KINDS if regex.search(pattern, phrase.casefold())), "plain")
                found.setdefault(phrase.casefold(), Search(phrase, kind, keyword.searches if (keyword.volume or 0) >= 10 else None))
        return list(found.values())

    def choose(self, most: int, dice: Dice) -> list[Search]:
        """Up to `most` searches: the idea's main one first, then others, those of another kind before those of the same."""
        chosen, rest = self.searches[:1], dice.mixed(self.searches[1:])
        while rest and len(chosen) < most:
            kinds = {search.kind for search in chosen}
            chosen.append(rest.pop(next((place for place, search in enumerate(rest) if search.kind not in kinds), 0)))
        return chosen

    @cached_property
    def topic(self) -> str:
        """A noun phrase for the subject, such as "espresso machine": the cluster, a keyword's core, or the field."""
        typed = {word.casefold().rstrip("s"): word for search in reversed(self.searches) for word in search.phrase.split()}
        cluster = [self._as_typed(word, typed) for word in clean(self.idea.cluster).split()]
        phrases = [" ".join(cluster), *(search.phrase for search in self.searches)]
        cores = [_core(phrase) for phrase in phrases if not _NO_TOPIC.search(phrase.casefold())]
        fields = [self._lowered(self._brief.site.field), self._lowered(self.idea.topic_category)]
        for candidate in (*cores, *fields):
            said = self.words(candidate, 5)
            if said and len(said) <= 40 and not _NO_TOPIC.search(said.casefold()):
                return said
        return ""

    def about(self, noun: str) -> str:
        """Such as "espresso machine questions", "questions about grinders" for a plural, or "questions about “seal an attic”".

        Just "questions" where there is no subject. What may not be a noun phrase stands between quotation marks.
        """
        if not self.topic:
            return noun
        if _NO_NOUN.search(self.topic.casefold()) or len(self.topic.split()) > 3:
            return f"{noun} about “{self.topic}”"
        return f"{noun} about {self.topic}" if _PLURAL.search(self.topic) else f"{self.topic} {noun}"

    @cached_property
    def title(self) -> str:
        """The idea's title where it can stand before readers; empty where it speaks of the work behind it, as in "Outline of a Case"."""
        if _INTERNAL.search(self.idea.title.casefold()):
            return ""
        return self._fitting(self.idea.title, 16) or self._fitting(self.idea.title.split(":")[0], 16)

    def tags(self, most: int) -> list[str]:
        """Hashtags out of the subject and the plain keywords, such as #EspressoMachine."""
        sources = [self.topic, self.words(self._lowered(self.idea.topic_category), 4), *(search.phrase for search in self.searches)]
        tags: dict[str, str] = {}
        for source in sources:
            words = regex.findall(r"[\p{L}\p{N}\p{M}]+", source)
            tag = "".join(word[:1].upper() + word[1:] for word in words)
            if 0 < len(words) <= 3 and 3 <= len(tag) <= 24 and regex.search(r"^\p{L}", tag) and self._allowed(tag):
                tags.setdefault(tag.casefold(), f"#{tag}")
        return list(tags.values())[:most]

    @staticmethod
    def _as_typed(word: str, typed: dict[str, str]) -> str:
        """A word of the cluster's name in the case that the searches have; an abbreviation keeps its own."""
        known = typed.get(word.casefold().rstrip("s"))
        if known is not None and not known.islower():
            return word
        return word.lower() if known or regex.match(r"\p{Lu}?[\p{Ll}\p{P}]*$", word) else word

    @staticmethod
    def _lowered(text: str) -> str:
        """`text` as it goes inside a sentence: a capital that only begins it is dropped, an abbreviation keeps its own."""
        return text[:1].lower() + text[1:] if regex.match(r"\p{Lu}(\p{Ll}|\s)", text) else text


def best_of(
    brief: DraftBrief, *, allowed: Callable[[str], bool], write: Callable[[Material, Dice], T], check: Callable[[T], Checked], slug: str
) -> T:
    """The first of ten drafts without a violation; at last one that quotes nothing of the brief, so that it breaks no rule."""

    def dice(attempt: object) -> Dice:
        return Dice(slug, brief.idea.id, attempt, day=f"{slug}/{brief.idea.call}/{attempt}", place=brief.idea.ordinal)

    fallback = None
    for attempt in range(10):
        draft = write(Material(brief, allowed=allowed), dice(attempt))
        checked = check(draft)
        if not checked.violations:
            return draft
        fallback = fallback or (draft if checked.ok else None)
    return fallback or write(Material(brief, allowed=allowed, plain=True), dice("plain"))
