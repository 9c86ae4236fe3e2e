"""Ideas without a model: read as English, never the same twice, the same on every machine."""

from collections import Counter

import pytest

from pressroom.llm.embeddings import ON_DEVICE, OnDevice
from pressroom.planner.angles import ANGLES
from pressroom.planner.english import gerund, headline, read_phrase, with_article
from pressroom.planner.topics import about, count_sentences, title_key
from pressroom.records import Idea
from tests.planner.idea_calendar import calendar, coffee_brief, coffee_clusters, coffee_site, propose


def test_sixty_days_of_a_site_with_fifteen_clusters_bring_new_ideas_only() -> None:
    """Two months of a site's calendar: nothing missing, no title twice, and nothing too close to the 30 days before it."""
    days = calendar(60)
    assert sum(proposed.missing for _, proposed in days) == 0
    ideas = [idea for _, proposed in days for idea in proposed.ideas]
    assert len({title_key(idea.title) for idea in ideas}) == len(ideas) == 240
    assert nearest_within(ideas, 120) < ON_DEVICE.repeat + 0.0001
    assert all(count_sentences(idea.description) in (2, 3) for idea in ideas)
    assert len({idea.angle for idea in ideas}) >= 15
    assert min(Counter(idea.cluster for idea in ideas).values()) >= 12, "every cluster has its turn, 16 times if all have enough to say"
    for _, proposed in days:
        assert len({idea.cluster_id for idea in proposed.ideas}) >= 3
        assert len({idea.angle for idea in proposed.ideas}) >= 3, "a day looks at its clusters from different sides"


def test_a_site_too_small_for_its_calendar_is_short_and_does_not_repeat_itself() -> None:
    """Nine keywords cannot carry four ideas a day: the days that are short say so."""
    days = calendar(15, clusters=2)
    assert all(len(proposed.ideas) + proposed.missing == 4 for _, proposed in days)
    assert any(proposed.missing for _, proposed in days)
    ideas = [idea for _, proposed in days for idea in proposed.ideas]
    assert len(ideas) > 24
    assert nearest_within(ideas, 120) < ON_DEVICE.repeat + 0.0001


def nearest_within(ideas: list[Idea], window: int) -> float:
    """The highest similarity of any idea to one of the `window` before it."""
    vectors = OnDevice().embed([about(idea.title, idea.description) for idea in ideas])
    return float(max((vectors[max(0, number - window) : number] @ vectors[number]).max() for number in range(1, len(ideas))))


def test_the_same_day_has_the_same_ideas_and_another_site_has_others() -> None:
    brief = coffee_brief()
    other = brief.model_copy(update={"site": coffee_site().model_copy(update={"slug": "other"})})
    titles = [[idea.title for idea in propose(each).ideas] for each in (brief, brief, other)]
    assert titles[0] == titles[1]
    assert titles[0] != titles[2]


def test_an_idea_speaks_of_its_own_cluster_and_keywords() -> None:
    _, keywords = coffee_clusters()
    phrases = {keyword.normalised for keyword in keywords}
    for idea in propose(coffee_brief(5)).ideas:
        assert set(idea.keywords) <= phrases
        subject = {word.strip(":,?") for word in title_key(f"{idea.title} {idea.description}").split()}
        assert subject & set(idea.keywords[0].split())


def test_the_topic_category_is_a_section_of_the_site() -> None:
    brief = coffee_brief()
    site = brief.site.model_copy(update={"sectors": ("Brewing methods", "Machines and grinders", "Office")})
    assert {idea.topic_category for idea in propose(brief.model_copy(update={"site": site})).ideas} <= set(site.sectors)


def test_a_cluster_of_one_phrase_without_figures_still_has_ideas() -> None:
    brief = coffee_brief(3, clusters=1)
    only = brief.clusters[0].keywords[2].model_copy(update={"volume": None, "intent": None})
    single = brief.clusters[0].model_copy(update={"keywords": (only,)})
    proposed = propose(brief.model_copy(update={"clusters": (single,)}))
    assert len(proposed.ideas) == 3
    assert all("“”" not in idea.description and " 0 " not in idea.description for idea in proposed.ideas)


def test_five_offline_ideas_fit_into_the_tokens_of_the_prompt() -> None:
    """A thousand tokens, about four characters each, must hold five ideas with their field names."""
    ideas = propose(coffee_brief(5)).ideas
    fields = ("title", "description", "topic_category", "angle", "audience", "format", "keywords")
    size = sum(len(str(getattr(idea, field))) + len(field) + 6 for idea in ideas for field in fields)
    assert size < 4 * 1000


@pytest.mark.parametrize("angle", ANGLES, ids=lambda angle: angle.name)
def test_every_angle_has_three_titles_so_that_none_returns_within_sixty_days(angle: object) -> None:
    assert len(set(angle.titles)) == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("phrase", "kind", "noun"),
    [
        ("best coffee grinder", "goods", "a coffee grinder"),
        ("cheap espresso machines near me", "goods", "espresso machines"),
        ("espresso machine under 500", "goods", "an espresso machine under 500"),
        ("water filter for coffee machine", "goods", "a water filter for a coffee machine"),
        ("vanity with sink", "goods", "a vanity with sink"),
        ("cold brew ratio", "topic", "the cold brew ratio"),
        ("kitchen remodel cost", "goods", "a kitchen remodel"),
        ("kitchen remodel cost per square foot", "topic", "the kitchen remodel cost per square foot"),
        ("walk in shower ideas 2026", "topic", "walk in shower ideas"),
        ("pour over coffee", "topic", "pour over coffee"),
        ("no crema on espresso", "topic", "no crema on espresso"),
        ("espresso shot too fast", "topic", "“espresso shot too fast”"),
        ("aeropress filters reusable", "goods", "aeropress filters reusable"),
        ("aphid spray homemade", "goods", "a homemade aphid spray"),
        ("3 ton heat pump", "goods", "a 3 ton heat pump"),
        ("10 best coffee grinders", "goods", "coffee grinders"),
        ("how to air seal an attic", "task", "air sealing an attic"),
        ("seo audit", "goods", "an SEO audit"),
        ("usb microphone", "goods", "a USB microphone"),
        ("how to clean a coffee grinder", "task", "cleaning a coffee grinder"),
        ("descale espresso machine with vinegar", "task", "descaling an espresso machine with vinegar"),
        ("can you freeze coffee beans?", "question", ""),
        ("light roast vs dark roast", "comparison", ""),
        ("coffee", "topic", "coffee"),
        ("best", "goods", "a best"),
        ("2026", "goods", "a 2026"),
    ],
)
def test_a_search_phrase_is_read_as_english(phrase: str, kind: str, noun: str) -> None:
    read = read_phrase(phrase)
    assert (read.kind, read.noun) == (kind, noun)


def test_headlines_keep_small_words_small_and_acronyms_large() -> None:
    assert headline("ready for a manual coffee grinder? the checklist") == "Ready for a Manual Coffee Grinder? The Checklist"
    assert headline("men's SEO with “cold brew” on top: an outline of") == "Men's SEO with “Cold Brew” on Top: An Outline Of"
    assert headline("iPhone repair and more") == "iPhone Repair and More"


def test_articles_and_gerunds() -> None:
    assert [with_article(noun) for noun in ("umbrella", "university", "hour", "Kubernetes", "insurance", "women")] == [
        *("an umbrella", "a university", "an hour", "Kubernetes", "insurance", "women"),
    ]
    assert [gerund(verb) for verb in ("make", "get", "clean", "tie", "see", "fix")] == [
        "making",
        "getting",
        "cleaning",
        "tying",
        "seeing",
        "fixing",
    ]
