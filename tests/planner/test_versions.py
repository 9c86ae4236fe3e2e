"""Data versions of the planner: what makes a clustering out of date."""

from pressroom.llm.embeddings import ON_DEVICE
from pressroom.planner.versions import clustering_input
from pressroom.records import Keyword
from tests.samples import SITE

KEYWORDS = [Keyword(phrase="moka pot", normalised="moka pot", volume=10)]


def test_a_clustering_is_made_anew_for_other_keywords_other_knobs_and_other_vectors() -> None:
    versions = [
        clustering_input(KEYWORDS, SITE),
        clustering_input([KEYWORDS[0].model_copy(update={"volume": 11})], SITE),
        clustering_input(KEYWORDS, SITE.model_copy(update={"granularity": "fine"})),
        clustering_input(KEYWORDS, SITE.model_copy(update={"brand_words": ("brew",)})),
        clustering_input(KEYWORDS, SITE, ON_DEVICE.model_copy(update={"name": "openai/text-embedding-3-small@512"})),
        clustering_input(KEYWORDS, SITE, ON_DEVICE.model_copy(update={"name": "openai/text-embedding-3-small@1536"})),
    ]
    assert len(set(versions)) == len(versions)


def test_clusterings_from_before_there_was_another_space_still_stand() -> None:
    assert clustering_input(KEYWORDS, SITE) == clustering_input(KEYWORDS, SITE, ON_DEVICE) == "7a689d6915ee9fdd"
