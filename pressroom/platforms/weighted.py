"""How long a text is on X.

Every figure is counted on the NFC form with line ends as "\\n": a code point weighs 1 or 2 by the ranges of twitter-text configuration
v3, a link 23, an emoji sequence 2. Links, ranges and the emoji of Emoji 12.0 come from the package twitter-text-parser; newer emoji
sequences from the current Unicode properties of `regex`.

Source: X developer docs, "Counting characters", and twitter-text 3 (checked 2026-11).
"""

import importlib
import re
import sys
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from threading import Lock
from types import ModuleType
from typing import Any

import regex

# An address is at most 4,096 characters. The package's pattern takes time in the square of a run without spaces (2 s for 6,000 characters),
# so a longer run is not searched for links: it is far over any limit as it stands.
LONGEST_LINK = 4096

# Flags since Emoji 12.0; any other pair of regional indicators that the package does not know is no flag.
NEW_FLAGS = "\U0001f1e8\U0001f1f6"  # Sark, Emoji 16.0

# An emoji as Unicode defines it (UTS #51): a base with its skin tone or presentation selector, alone or joined to others.
_EMOJI = regex.compile(
    rf"""(?V1)
    {NEW_FLAGS}
    | (?P<element>
        \p{{Emoji_Modifier_Base}}\p{{Emoji_Modifier}}
      | \U0001f3f4[\U000e0020-\U000e007e]+\U000e007f
      | [\p{{Emoji}}&&\p{{Extended_Pictographic}}--\p{{Emoji_Presentation}}]\ufe0f
      | [\p{{Emoji}}&&\p{{Extended_Pictographic}}]
      )
      (?:\u200d(?&element))*
    """,
    regex.VERBOSE,
)
_RUN = re.compile(r"[^ \t\n\u00a0\u3000]+")
_LOADING = Lock()


@dataclass(frozen=True)
class Length:
    """`current` counts every emoji sequence as 2, `strict` only those of Emoji 12.0. `links` are the addresses that X would shorten."""

    current: int
    strict: int
    links: tuple[str, ...]


def measure(text: str) -> Length:
    """The length of `text` as X counts it, and its links."""
    normal = re.sub(r"\r\n?", "\n", unicodedata.normalize("NFC", text))
    links = _links(normal)
    known = dict(_known_emoji(normal))
    current = known.copy()
    for match in _EMOJI.finditer(normal):
        if match.end() > current.get(match.start(), 0):
            current[match.start()] = match.end()
    return Length(_count(normal, links, current), _count(normal, links, known), tuple(normal[start:end] for start, end in links.items()))


def weighted_length(text: str) -> int:
    """Length of `text` as X counts it: 280 is the most a post may have."""
    return measure(text).current


def _count(text: str, links: dict[int, int], emoji: dict[int, int]) -> int:
    weights, position = _weights(), 0
    total = 0
    while position < len(text):
        if position in links:
            total, position = total + weights.link, links[position]
        elif position in emoji:
            total, position = total + weights.emoji, emoji[position]
        else:
            total, position = total + _weight(text[position]), position + 1
    return total // weights.scale


def _links(text: str) -> dict[int, int]:
    """Start and end of each link. A link has no space in it, so that each run of other characters is searched by itself."""
    found = {}
    for run in _RUN.finditer(text):
        if "." in run.group() and len(run.group()) <= LONGEST_LINK:
            begin = max(run.start() - 1, 0)  # with the space before it: where a link begins depends on that
            for link in _twitter_text().extract_urls_with_indices(text[begin : run.end()]):
                start, end = link["indices"]
                found[begin + start] = begin + end
    return found


def _known_emoji(text: str) -> list[tuple[int, int]]:
    return [tuple(emoji["indices"]) for emoji in _twitter_text().extract_emojis_with_indices(text)]


@dataclass(frozen=True)
class _Weights:
    scale: int
    link: int
    emoji: int
    ranges: tuple[tuple[int, int, int], ...]


@lru_cache(maxsize=4096)
def _weight(character: str) -> int:
    weights = _weights()
    return next((weight for start, end, weight in weights.ranges if start <= ord(character) <= end), weights.emoji)


@cache
def _weights() -> _Weights:
    """The package's configuration v3, in hundredths. An emoji weighs what a character outside every range does."""
    table = sys.modules[_twitter_text().__name__ + ".config"].config["defaults"]
    ranges = tuple((row["start"], row["end"], row["weight"]) for row in table["ranges"])
    return _Weights(table["scale"], table["transformed_url_length"] * table["scale"], table["default_weight"], ranges)


@cache
def _twitter_text() -> Any:
    """The package twitter-text-parser.

    It reads its emoji table through pkg_resources, which setuptools 82 removed: the one function that it calls stands in while it loads.
    """
    with _LOADING:
        before = sys.modules.get("pkg_resources")
        stand_in = ModuleType("pkg_resources")
        stand_in.__dict__["resource_string"] = lambda module, name: (files(module.rpartition(".")[0]) / name).read_bytes()
        sys.modules["pkg_resources"] = stand_in
        try:
            return importlib.import_module("twitter_text")
        finally:
            if before is None:
                del sys.modules["pkg_resources"]
            else:
                sys.modules["pkg_resources"] = before
