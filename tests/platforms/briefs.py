"""Briefs that the tests of the platforms start from: written ones, and arbitrary ones."""

from hypothesis import strategies as st

from pressroom.platforms.base import DraftBrief
from pressroom.records import Idea, Keyword, Site, stable_id

SITE = Site(slug="brew", name="Brew & Co", domain="brew.example", field="Home espresso", audience="Home baristas who own a machine")


def a_brief(
    *phrases: str, number: int = 1, volume: int | None = 1200, low: int | None = None, high: int | None = None, **idea: str
) -> DraftBrief:
    """A brief about espresso machines for these keywords; another `number` is another idea."""
    fields = {
        "title": "Espresso Machines, Step by Step",
        "description": "A guide to espresso machines in order: what to prepare and what to do first. Readers finish with a plan.",
        "topic_category": "Brewing",
        "angle": "cost breakdown",
        "audience": "people doing this for the first time",
        "format": "guide",
        "cluster": "Espresso Machines",
    } | idea
    return DraftBrief(
        site=SITE,
        idea=Idea(
            id=stable_id("idea", number),
            ordinal=number,
            cluster_id=stable_id("c"),
            keywords=phrases,
            call="call",
            model="offline",
            **fields,
        ),
        keywords=tuple(
            Keyword(phrase=phrase, normalised=phrase.casefold(), volume=volume, volume_low=low, volume_high=high) for phrase in phrases
        ),
    )


ODD = (
    "buy now limited time offer",
    "main.py vs README.md",
    "https://example.com/a?b=c pricing",
    "$TSLA $AAPL stock",
    "#seo #tips @someone",
    "best cafés in 東京 2026",
    "日本語のキーワード",
    "👨‍👩‍👧‍👦 holidays",
    "1,384,234 reasons",
    "hurry",
    "• a list [2/3]",
    "HOOK\nVALUE",
    "{a} {{ b }} %s",
    "\ufeff\u202e\x00",
    "word " * 63,
    "x" * 400,
)
texts = st.one_of(
    st.sampled_from(ODD), st.text(min_size=1, max_size=80), st.lists(st.sampled_from(ODD), min_size=2, max_size=3).map(" ".join)
)


@st.composite
def briefs(draw: st.DrawFn) -> DraftBrief:
    """A brief with arbitrary words in every field."""
    names = ("title", "description", "topic_category", "angle", "audience", "format", "cluster")
    fields = {name: draw(texts) for name in names}
    phrases = draw(st.lists(texts, max_size=5, unique=True))
    volume = draw(st.none() | st.integers(0, 10**9))
    low, high = draw(st.just((None, None)) | st.just(((volume or 0) // 3, (volume or 0) * 3)))
    return a_brief(*phrases, number=draw(st.integers(1, 10_000)), volume=volume, low=low, high=high, **fields)
