"""Keywords into clusters: every one placed, whatever the order, and with ids that last."""

import random
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pressroom.planner.clustering import cluster_keywords
from pressroom.planner.formats import read_keywords
from pressroom.planner.phrases import normalise
from pressroom.records import Cluster, Keyword

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "keywords"


def keyword(phrase: str, volume: int | None = None, intent: str | None = None) -> Keyword:
    return Keyword(phrase=phrase, normalised=normalise(phrase), volume=volume, intent=intent)  # type: ignore[arg-type]


def example(name: str) -> list[Keyword]:
    return list(read_keywords((EXAMPLES / f"{name}.csv").read_bytes(), name).keywords)


def placed(clusters: list[Cluster]) -> list[str]:
    return sorted(phrase for cluster in clusters for phrase in cluster.keywords)


def kept(before: list[Cluster], after: list[Cluster]) -> float:
    """The share of the keywords of `before` that are in a cluster with the same id in `after`."""
    ids = {phrase: cluster.id for cluster in after for phrase in cluster.keywords}
    same = [ids[phrase] == cluster.id for cluster in before for phrase in cluster.keywords]
    return sum(same) / len(same)


WORDS = ["coffee", "grinder", "heat", "pump", "solar", "best", "how to", "price", "кофе", "コーヒー", "قهوة", "☕", "1", "-"]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), unique_by=normalise, max_size=25), st.randoms())
def test_every_keyword_is_in_exactly_one_cluster_whatever_the_order(phrases: list[str], chance: random.Random) -> None:
    keywords = [keyword(phrase, volume=len(phrase)) for phrase in phrases]
    clusters = cluster_keywords(keywords, scope="s")

    assert placed(clusters) == sorted(found.normalised for found in keywords)
    assert len({cluster.id for cluster in clusters}) == len(clusters), "an id was given twice"
    assert sum(cluster.volume for cluster in clusters) == sum(found.volume or 0 for found in keywords)
    assert cluster_keywords(chance.sample(keywords, len(keywords)), scope="s") == clusters


def test_two_topics_become_two_clusters_named_after_what_people_search_most() -> None:
    clusters = cluster_keywords(
        [
            keyword("moka pot", 900, "commercial"),
            keyword("how to use a moka pot", 6600, "informational"),
            keyword("moka pot vs espresso", 300, "commercial"),
            keyword("solar panel cost", 5000, "transactional"),
            keyword("solar panel price", 5100, "transactional"),
            keyword("are solar panels worth it", 100, "informational"),
        ],
        scope="s",
    )
    assert [(found.name, found.head, found.volume, found.intent) for found in clusters] == [
        ("Solar Panel Price", "solar panel price", 10200, "transactional"),
        ("How to Use a Moka Pot", "how to use a moka pot", 7800, "commercial"),
    ]
    assert clusters[0].keywords == ("solar panel price", "solar panel cost", "are solar panels worth it"), "largest volume first"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5])
def test_a_handful_of_keywords_is_clustered_too(size: int) -> None:
    phrases = ["espresso machine", "espresso machines", "attic insulation", "buy espresso machine", "attic insulation cost"][:size]
    clusters = cluster_keywords([keyword(phrase) for phrase in phrases], scope="s")
    assert placed(clusters) == sorted(phrases)
    assert len(clusters) == {0: 0, 1: 1, 2: 1, 3: 2, 5: 2}[size]


def test_phrases_of_one_meaning_are_one_cluster() -> None:
    phrases = ["cold brew ratio", "ratio cold brew", "cold brew ratios", "the cold brew ratio", "cold-brew ratio", "ratio for cold brew"]
    assert len(cluster_keywords([keyword(phrase) for phrase in phrases], scope="s")) == 1


def test_scripts_other_than_latin_are_clustered_by_topic() -> None:
    coffee = ["コーヒー豆 通販", "コーヒー豆 おすすめ", "コーヒー豆 保存"]
    solar = ["太陽光発電 費用", "太陽光発電 補助金", "太陽光発電 比較"]
    clusters = cluster_keywords([keyword(phrase) for phrase in coffee + solar], scope="s")
    assert sorted(sorted(cluster.keywords) for cluster in clusters) == sorted(sorted(map(normalise, group)) for group in (coffee, solar))


def test_the_brand_word_does_not_draw_every_keyword_into_one_cluster() -> None:
    """The mega-cluster of the brand is what people complain about most in clustering tools."""
    topics = {"grinder": "burr grinder", "kettle": "gooseneck kettle", "login": "account login"}
    keywords = [
        keyword(f"hearthwise electrics {topic}{ending}") for topic in topics.values() for ending in ("", " price", " review", " manual")
    ]
    keywords.append(keyword("hearthwise electrics"))
    clusters = cluster_keywords(keywords, scope="s", brand_words=["hearthwise electrics"])
    of = {phrase: number for number, cluster in enumerate(clusters) for phrase in cluster.keywords}
    for topic in topics.values():
        assert len({of[found.normalised] for found in keywords if topic in found.normalised}) == 1
    assert len({of[f"hearthwise electrics {topic}"] for topic in topics.values()}) == 3
    assert "hearthwise electrics" in of, "a phrase of nothing but the brand is kept"


def test_granularity_is_a_knob() -> None:
    keywords = example("hearthwise")
    broad, balanced, fine = (len(cluster_keywords(keywords, scope="s", granularity=step)) for step in ("broad", "balanced", "fine"))
    assert 5 <= broad < balanced < fine < len(keywords) / 2
    with pytest.raises(ValueError, match="expected one of broad, balanced, fine"):
        cluster_keywords(keywords, scope="s", granularity="tiny")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["brewbench", "hearthwise"])
def test_five_percent_new_keywords_leave_the_old_ones_where_they_were(name: str) -> None:
    for seed in range(3):
        keywords = random.Random(seed).sample(found := example(name), len(found))
        before = cluster_keywords(keywords[: round(len(keywords) / 1.05)], scope=name)
        after = cluster_keywords(keywords, scope=name, previous=before)
        assert kept(before, after) >= 0.95
        assert placed(after) == sorted(found.normalised for found in keywords)
        assert len({cluster.id for cluster in after}) == len(after)


def test_a_cluster_keeps_its_id_when_another_keyword_becomes_its_head() -> None:
    phrases = ["moka pot", "moka pot recipe", "moka pot size"]
    (before,) = cluster_keywords([keyword(phrase, 10 - place) for place, phrase in enumerate(phrases)], scope="s")
    (after,) = cluster_keywords([keyword(phrase, 10 + place) for place, phrase in enumerate(phrases)], scope="s", previous=[before])
    assert (before.head, after.head) == ("moka pot", "moka pot size")
    assert after.id == before.id


def test_an_id_that_was_given_once_is_not_given_again() -> None:
    """The cluster born around "moka pot" has moved on; a new one around the same head is another cluster."""
    (born,) = cluster_keywords([keyword("moka pot", 10)], scope="s")
    moved = born.model_copy(update={"keywords": ("solar panel cost", "solar panel price"), "head": "solar panel cost"})
    solar = [keyword("solar panel cost", 5), keyword("solar panel price", 4)]
    clusters = cluster_keywords([keyword("moka pot", 10), *solar], scope="s", previous=[moved])
    ids = {cluster.head: cluster.id for cluster in clusters}
    assert ids["solar panel cost"] == born.id
    assert ids["moka pot"] != born.id

    (again,) = cluster_keywords([keyword("moka pot", 10)], scope="s", taken=[born.id])
    assert again.id not in {born.id, uuid.UUID(int=0)}


def test_two_sites_never_share_an_id() -> None:
    keywords = example("brewbench")[:40]
    ours, theirs = ({cluster.id for cluster in cluster_keywords(keywords, scope=scope)} for scope in ("ours", "theirs"))
    assert not ours & theirs


def test_another_process_finds_the_same_clusters() -> None:
    """Nothing depends on hash seeds or on what ran before."""
    code = (
        "import sys; from pathlib import Path; from pressroom.planner.clustering import cluster_keywords;"
        "from pressroom.planner.formats import read_keywords;"
        "found = cluster_keywords(read_keywords(Path(sys.argv[1]).read_bytes(), 'k').keywords, scope='s');"
        "assert not {'sklearn', 'scipy', 'wordllama', 'requests'} & set(sys.modules), 'a heavy package was loaded';"
        "print([(str(cluster.id), cluster.keywords) for cluster in found])"
    )
    command = [sys.executable, "-c", code, str(EXAMPLES / "brewbench.csv")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    here = [(str(cluster.id), cluster.keywords) for cluster in cluster_keywords(example("brewbench"), scope="s")]
    assert said.stdout.strip() == str(here)


def test_the_number_of_clusters_does_not_run_away_with_the_number_of_keywords() -> None:
    """Eight times as many phrases about the same ten things are still about ten things."""
    things = ["espresso machine", "burr grinder", "heat pump", "solar panel", "attic insulation", "gooseneck kettle", "ev charger"]
    things += ["moka pot", "smart thermostat", "coffee subscription"]
    asked = [
        "best {}",
        "{} cost",
        "{} near me",
        "how to clean a {}",
        "{} repair",
        "used {}",
        "{} review",
        "cheap {}",
        "{} for home",
        "buy {}",
    ]
    asked += [
        f"{{}} {kind}" for kind in ("warranty", "size", "noise", "problems", "brands", "quotes", "deals", "lifespan", "filter", "parts")
    ]
    counts = []
    for forms in (asked[:5], asked, [f"{form} {year}" for form in asked[:20] for year in ("2026", "in portugal")]):
        keywords = [keyword(form.format(thing)) for thing in things for form in forms]
        counts.append(len(cluster_keywords(keywords, scope="s")))
    assert all(8 <= count <= 25 for count in counts), counts
