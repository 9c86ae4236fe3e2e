"""Data versions of the planner's assets: equal versions mean that nothing downstream has to change."""

import hashlib
from collections.abc import Sequence

from pressroom.records import Keyword, Site, version_of

# Raised when the method changes in a way that should cluster the same keywords anew.
CLUSTERING_METHOD = "1"


def keywords_version(keywords: Sequence[Keyword]) -> str:
    """Changes when a phrase or one of its figures does, not with the file they came from."""
    return version_of(keywords, without=("source", "source_row"))


def clustering_input(keywords: Sequence[Keyword], site: Site) -> str:
    """Names what a clustering is made from: the keywords, the site's knobs and the method."""
    knobs = "|".join([keywords_version(keywords), site.granularity, *sorted(site.brand_words), CLUSTERING_METHOD])
    return hashlib.sha256(knobs.encode()).hexdigest()[:16]
