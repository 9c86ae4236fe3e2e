"""What a searcher wants, guessed from the words of an English phrase. A file that states an intent wins over the guess."""

import re
from collections.abc import Sequence

from pressroom.planner.phrases import normalise
from pressroom.records import Intent

# The first rule that fits decides. Open questions come after the phrases that look like one and are not ("where to buy",
# "is it worth it"), and before the single words ("how much does a heat pump cost" is asked by somebody who still reads).
_RULES: tuple[tuple[Intent, re.Pattern[str]], ...] = (
    ("transactional", re.compile(r"\b(where (?:to|can i) (?:buy|get|find|order)|near (?:me|by)|for sale|free (?:shipping|trial))\b")),
    ("commercial", re.compile(r"\b(worth (?:it|buying|the money)|vs|versus|compared? to|which .*(?:best|better)|difference between)\b")),
    (
        "informational",
        re.compile(r"^(how|what|why|when|where|who|whose|can|could|does|do|did|is|are|was|should|will|would|what's|whats)\b"),
    ),
    (
        "transactional",
        re.compile(
            r"\b(buy|buying|order|purchase|shop|store|prices?|pricing|costs?|cheap|cheapest|discounts?|coupons?|deals?|quotes?|hire|rent|rental"
            r"|book|booking|subscribe|download|wholesale|online|financing|loans?|installers?|contractors?|repair)\b"
        ),
    ),
    (
        "commercial",
        re.compile(r"\b(best|top|reviews?|rated|ratings?|compare|comparison|alternatives?|brands?|companies|under \d+|which)\b"),
    ),
    (
        "informational",
        re.compile(
            r"\b(how to|guide|tutorials?|tips?|ideas?|examples?|meaning|definition|explained|learn|recipes?|diy|checklist|ratio|fix"
            r"|not working|explanation|history|chart|calculator|symptoms|causes?|instructions|method)\b"
        ),
    ),
)


def guess_intent(phrase: str, brand_words: Sequence[str] = ()) -> Intent | None:
    """The intent that the words of `phrase` show, or None where no rule fits.

    Buying words are transactional, comparing words commercial, question and learning words informational. A phrase
    with one of `brand_words` and none of these is navigational: somebody looks for the brand itself.
    """
    text = normalise(phrase)
    for intent, pattern in _RULES:
        if pattern.search(text):
            return intent
    padded = f" {text} "
    return "navigational" if any(f" {brand} " in padded for word in brand_words if (brand := normalise(word))) else None
