"""A phrase: its key inside a site, its words, and how it reads as a title."""

import re
import unicodedata
from collections.abc import Callable, Iterable

WORD = re.compile(r"\w+(?:['’]\w+)*")

# Soft hyphen, zero-width space, word joiner, byte order mark and direction marks: web pages leave them in copied
# phrases, nobody sees them, and they would make two keywords of one. Joiners stay: Persian and Hindi spell with them.
_INVISIBLE = dict.fromkeys([0x00AD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF])
_SMALL_WORDS = frozenset(
    ("a", "an", "and", "as", "at", "but", "by", "for", "from", "in", "of", "on", "or", "per", "the", "to", "vs", "via", "with", "without")
)


def tidy(phrase: str) -> str:
    """`phrase` as written, without invisible characters and with single spaces."""
    return " ".join((phrase if phrase.isascii() else phrase.translate(_INVISIBLE)).split())


def normalise(phrase: str) -> str:
    """The key of `phrase` inside a site: NFKC, case fold, collapsed space. Doing it twice changes nothing."""
    if phrase.isascii():
        return " ".join(phrase.lower().split())
    folded = unicodedata.normalize("NFKC", phrase.translate(_INVISIBLE)).casefold()
    # Folding can undo NFKC, and NFKC can bring back a capital or a space (Unicode 16, 3.13, definition D146 repeats both).
    return tidy(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folded).casefold()))


def word_dropper(words: Iterable[str]) -> Callable[[str], str]:
    """A function that takes `words` (whole words, any case) out of a phrase, and gives it back as it was when nothing would be left."""
    drop = sorted({normalise(word) for word in words} - {""}, key=len, reverse=True)
    if not drop:
        return str
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, drop))})(?!\w)", re.IGNORECASE)

    def dropped(phrase: str) -> str:
        left = tidy(pattern.sub(" ", phrase))
        return left if WORD.search(left) else phrase

    return dropped


def titled(phrase: str) -> str:
    """`phrase` as a title: "v60 vs chemex" reads "V60 vs Chemex". Words that were written with capitals stay as they are."""
    words = phrase.split()
    ends = (0, len(words) - 1)
    return " ".join(
        word if word != word.lower() or (word in _SMALL_WORDS and place not in ends) else word[:1].upper() + word[1:]
        for place, word in enumerate(words)
    )
