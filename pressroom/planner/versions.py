"""Data versions of the planner's assets: equal versions mean that nothing downstream has to change."""

import hashlib
from collections.abc import Sequence

from pressroom.llm.embeddings import ON_DEVICE, Space
from pressroom.records import Keyword, Site, version_of

# Raised when the method changes in a way that should cluster the same keywords anew.
CLUSTERING_METHOD = "1"


def keywords_version(keywords: Sequence[Keyword]) -> str:
    """Changes when a phrase or one of its figures does, not with the file they came from."""
    return version_of(keywords, without=("source", "source_row"))


def clustering_input(keywords: Sequence[Keyword], site: Site, space: Space = ON_DEVICE) -> str:
    """Names what a clustering is made from: the keywords, the site's knobs, the method and the space of its vectors."""
    # The on-device space is part of the method: its clusterings were made before there was another.
    method = CLUSTERING_METHOD if space.name == ON_DEVICE.name else f"{CLUSTERING_METHOD} {space.name}"
    knobs = "|".join([keywords_version(keywords), site.granularity, *sorted(site.brand_words), method])
    return hashlib.sha256(knobs.encode()).hexdigest()[:16]
