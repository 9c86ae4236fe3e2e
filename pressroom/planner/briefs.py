"""What ideas are asked from and what comes back: the day's clusters with their figures, the topic memory, the answer's structure."""

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import cycle, islice

from pydantic import BaseModel, Field

from pressroom.records import Cluster, Idea, Keyword, Record, Site

# Keywords of a cluster that a model is shown. The largest carry the demand; twelve of five clusters are some 500 tokens.
TOP_KEYWORDS = 12


class ClusterBrief(Record):
    """A cluster that the day serves, with its top keywords and their figures."""

    cluster: Cluster
    keywords: tuple[Keyword, ...] = Field(min_length=1)


class IdeaBrief(Record):
    """What a day's ideas are proposed from. `memory` is what must not be repeated; of `clusters` the first come first."""

    site: Site
    day: dt.date
    wanted: int = Field(ge=3, le=5)
    clusters: tuple[ClusterBrief, ...] = Field(min_length=1)
    memory: tuple[Idea, ...] = ()


class ProposedIdea(BaseModel):
    """One idea as a model answers it. `cluster` is the number that the cluster has in the question."""

    title: str
    description: str
    topic_category: str
    cluster: int
    keywords: list[str]
    angle: str
    audience: str
    format: str


class IdeaAnswer(BaseModel):
    ideas: list[ProposedIdea]


def choose_clusters(
    clusters: Iterable[Cluster], earlier: Iterable[tuple[dt.date, Idea]], *, wanted: int, day: dt.date
) -> tuple[Cluster, ...]:
    """The `wanted` clusters that `day` serves: the least recently served first, of those the largest volume first.

    `earlier` are ideas with their days; what is not before `day` does not count, so that a re-run chooses the same. A site with
    fewer clusters than wanted serves them in turn more than once; a site with none serves none.
    """
    served: dict[object, dt.date] = {}
    for when, idea in earlier:
        if when < day:
            served[idea.cluster_id] = max(when, served.get(idea.cluster_id, when))
    ranked = sorted(clusters, key=lambda cluster: (served.get(cluster.id, dt.date.min), -cluster.volume, cluster.name, str(cluster.id)))
    return tuple(islice(cycle(ranked), wanted))


def brief_for(
    site: Site, day: dt.date, clusters: Iterable[Cluster], keywords: Iterable[Keyword], earlier: Sequence[tuple[dt.date, Idea]]
) -> IdeaBrief | None:
    """The day's brief; None for a site without clusters. `earlier` are the ideas of the last 30 days and the published ones."""
    known = {keyword.normalised: keyword for keyword in keywords}
    wanted = site.automation.ideas_per_day
    chosen = choose_clusters(clusters, earlier, wanted=wanted, day=day)
    if not chosen:
        return None
    briefs = []
    for cluster in dict.fromkeys(chosen):
        # A phrase whose row is gone is still served: the cluster knows its words.
        phrases = cluster.keywords[:TOP_KEYWORDS]
        top = tuple(known.get(phrase) or Keyword(phrase=phrase, normalised=phrase) for phrase in phrases)
        briefs.append(ClusterBrief(cluster=cluster, keywords=top))
    memory = tuple(idea for when, idea in earlier if when < day)
    return IdeaBrief(site=site, day=day, wanted=wanted, clusters=tuple(briefs), memory=memory)
