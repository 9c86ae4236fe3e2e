"""Keywords into clusters: a graph of nearest neighbours, cut into communities. Every keyword is placed, none is noise."""

import math
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from pressroom.llm.embeddings import Embedder, OnDevice, Space, unit
from pressroom.planner.lexical import spell
from pressroom.planner.phrases import normalise, titled, word_dropper
from pressroom.records import Cluster, Intent, Keyword, stable_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Granularity = Literal["broad", "balanced", "fine"]

# How much spelling counts beside meaning. On BANKING77 (test), 0 and 0.8 both cost .01 of AMI.
SPELLING = 0.5
# Resolution of the modularity. At a fixed one small sets shatter: 50 keywords of 5 topics make 12 clusters, and 5 with this scale.
RESOLUTION = 5.0
FULL_RESOLUTION_AT = 400  # keywords
FINENESS: dict[Granularity, float] = {"broad": 0.4, "balanced": 1.0, "fine": 2.5}
# Neighbours of a keyword grow with the root of the number of keywords, else the clusters multiply with it: at 10 neighbours
# the 77 topics of BANKING77 make 73 clusters of 3,080 texts and 126 of 10,003; scaled, 72 and 101.
NEIGHBOURS_PER_ROOT = 0.215
FEWEST_NEIGHBOURS, MOST_NEIGHBOURS = 8, 30
# Edges inside a previous cluster count so much more, or 5 % new keywords move 5.7 % of the old ones (at 1.5: 2.5 %). Growing
# BANKING77 in 24 such steps, no step moves more than 4.4 %, and in the end it costs .014 of AMI.
INERTIA = 1.5
SEED = 7
TRIALS = 5  # independent starts of which the best partition counts
BLOCK_FLOATS = 32_000_000  # 128 MB of similarities at once


def cluster_keywords(
    keywords: Sequence[Keyword],
    *,
    scope: str,
    granularity: Granularity = "balanced",
    brand_words: Sequence[str] = (),
    previous: Sequence[Cluster] = (),
    taken: Collection[uuid.UUID] = (),
    embedder: Embedder = OnDevice(),
) -> list[Cluster]:
    """The clusters of `keywords`, largest volume first; each normalised phrase is in exactly one.

    Meaning and spelling give each keyword a vector, its nearest neighbours edges with the cubed cosine as weight, and Leiden cuts
    the graph by modularity. The order of `keywords` does not matter, and the same keywords give the same clusters.
    `embedder` makes the vectors of meaning; its space says which cosines count.
    `brand_words` are left out of the vectors: what most keywords share would draw them into one cluster. A cluster is named after
    its keyword with the largest volume; where volumes are equal, the one nearest to the cluster's middle.

    With `previous` the cut starts from that partition, and a cluster keeps the id of the previous one with which it shares
    most keywords, one to one. Other ids are made of `scope` (the site) and the head keyword, and are never one of `taken`
    (ids of this scope that an earlier clustering gave) or of `previous`.

    The neighbours are found by comparing all pairs: seconds at 10,000 keywords, minutes at 100,000, where an index has to come.
    """
    if granularity not in get_args(Granularity):
        raise ValueError(f"granularity is {granularity!r}; expected one of {', '.join(get_args(Granularity))}")
    unique = {keyword.normalised: keyword for keyword in sorted(keywords, key=lambda keyword: (keyword.normalised, keyword.phrase))}
    phrases = list(unique)
    if not phrases:
        return []
    without_brand = word_dropper(brand_words)
    vectors = keyword_vectors([without_brand(keyword.phrase) for keyword in unique.values()], embedder)
    edges = _edges(vectors, least_cosine(embedder.space))
    groups = _communities(edges, phrases, previous, FINENESS[granularity])
    drafts = [_described([unique[phrases[row]] for row in rows], vectors[rows]) for rows in groups]
    ids = _identities(drafts, previous, scope, taken)
    named = [draft.model_copy(update={"id": ids[number]}) for number, draft in enumerate(drafts)]
    return sorted(named, key=lambda cluster: (-cluster.volume, cluster.head))


def keyword_vectors(phrases: Sequence[str], embedder: Embedder = OnDevice()) -> "NDArray[np.float32]":
    """Meaning and spelling of each phrase side by side: float32 array (n, dimension + 256), rows of length 1.

    Capitals carry meaning, not spelling.
    """
    import numpy as np

    return unit(np.hstack([embedder.embed(phrases), SPELLING * spell([normalise(phrase) for phrase in phrases])]))


def least_cosine(space: Space) -> float:
    """The cosine of two `keyword_vectors` below which they share no topic: what is left of `related` where no spelling is shared.

    On device .20: of the calibration's phrase pairs across fields 98.6 % are below it, of the pairs across two sites' keywords 98.4 %.
    """
    return space.related / (1 + SPELLING**2)


def _communities(
    edges: Sequence[tuple[int, int, float]], phrases: Sequence[str], previous: Sequence[Cluster], fineness: float
) -> list[list[int]]:
    """The rows of each community. A row without any edge is a community of its own."""
    import graspologic_native

    size = len(phrases)
    before = {phrase: number for number, cluster in enumerate(previous) for phrase in cluster.keywords}
    old = [before.get(phrase) for phrase in phrases]
    edges = [
        (left, right, weight * INERTIA if old[left] is not None and old[left] == old[right] else weight) for left, right, weight in edges
    ]
    linked = sorted({row for edge in edges for row in edge[:2]})
    alone = [[row] for row in sorted(set(range(size)).difference(linked))]
    if not edges:
        return alone
    names = [str(row) for row in range(size)]
    _, community = graspologic_native.leiden(
        [(names[left], names[right], weight) for left, right, weight in edges],
        starting_communities=_start(edges, linked, old) if before else None,
        resolution=RESOLUTION * fineness * min(1.0, math.sqrt(size / FULL_RESOLUTION_AT)),
        seed=SEED,
        trials=TRIALS,
    )
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for row in linked:
        groups[community[names[row]]].append(row)
    return [*groups.values(), *alone]


def _start(edges: Sequence[tuple[int, int, float]], linked: Sequence[int], old: Sequence[int | None]) -> dict[str, int]:
    """The previous partition as Leiden takes it: a new keyword starts in the cluster that its neighbours pull it to most."""
    pull: defaultdict[int, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    for left, right, weight in edges:
        for row, other in ((left, old[right]), (right, old[left])):
            if other is not None:
                pull[row][other] += weight
    start = {}
    for fresh, row in enumerate(linked, 1 + max((number for number in old if number is not None), default=-1)):
        cluster, pulled = old[row], pull[row]
        start[str(row)] = max(pulled, key=pulled.__getitem__, default=fresh) if cluster is None else cluster
    return start


def _edges(vectors: "NDArray[np.float32]", least: float) -> list[tuple[int, int, float]]:
    """Pairs of rows of which one is among the nearest of the other, with their weight: the cubed cosine, twice when both are.

    A cosine below `least` makes no edge.
    """
    size = len(vectors)
    count = min(size - 1, MOST_NEIGHBOURS, max(FEWEST_NEIGHBOURS, round(NEIGHBOURS_PER_ROOT * math.sqrt(size))))
    weights: defaultdict[tuple[int, int], float] = defaultdict(float)
    if count:
        for row, others, cosines in _nearest(vectors, count):
            for other, cosine in zip(others, cosines, strict=True):
                if cosine >= least:
                    weights[min(row, other), max(row, other)] += cosine**3
    return [(left, right, weight) for (left, right), weight in sorted(weights.items())]


def _nearest(vectors: "NDArray[np.float32]", count: int) -> Iterator[tuple[int, list[int], list[float]]]:
    """For each row the `count` other rows with the largest cosine, and the cosines."""
    import numpy as np

    size = len(vectors)
    step = max(1, BLOCK_FLOATS // size)
    for begin in range(0, size, step):
        similarities = vectors[begin : begin + step] @ vectors.T
        inside = np.arange(len(similarities))
        similarities[inside, begin + inside] = -2  # not its own neighbour
        nearest = np.argpartition(similarities, size - count, axis=1)[:, size - count :]
        cosines = np.take_along_axis(similarities, nearest, axis=1)
        yield from zip(range(begin, begin + len(inside)), nearest.tolist(), cosines.tolist(), strict=True)


def _described(members: Sequence[Keyword], vectors: "NDArray[np.float32]") -> Cluster:
    """The cluster of `members`, still without an id of its own."""
    centrality = (vectors @ vectors.sum(axis=0)).tolist()
    # Rounded, because equal phrases may differ in the last bits from one processor to another.
    ranked = sorted(
        zip(members, centrality, strict=True), key=lambda pair: (-(pair[0].volume or 0), -round(pair[1], 3), pair[0].normalised)
    )
    head = ranked[0][0]
    return Cluster(
        id=uuid.UUID(int=0),
        name=titled(head.phrase),
        head=head.normalised,
        keywords=tuple(keyword.normalised for keyword, _ in ranked),
        volume=sum(keyword.volume or 0 for keyword in members),
        intent=_dominant(members),
    )


def _dominant(members: Sequence[Keyword]) -> Intent | None:
    """The intent of most members that have one; of equals the one with the larger volume."""
    votes: defaultdict[Intent, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for keyword in members:
        if keyword.intent:
            count, volume = votes[keyword.intent]
            votes[keyword.intent] = (count + 1, volume + (keyword.volume or 0))
    return max(sorted(votes), key=lambda intent: votes[intent], default=None)


def _identities(drafts: Sequence[Cluster], previous: Sequence[Cluster], scope: str, taken: Collection[uuid.UUID]) -> dict[int, uuid.UUID]:
    """An id for each of `drafts`: that of the previous cluster with which it shares most keywords, one to one, else a fresh one."""
    before = {phrase: number for number, cluster in enumerate(previous) for phrase in cluster.keywords}
    shared = Counter((number, before[phrase]) for number, draft in enumerate(drafts) for phrase in draft.keywords if phrase in before)
    ids: dict[int, uuid.UUID] = {}
    kept: set[int] = set()
    for (number, old), _ in sorted(shared.items(), key=lambda item: (-item[1], drafts[item[0][0]].head, previous[item[0][1]].head)):
        if number not in ids and old not in kept:
            ids[number] = previous[old].id
            kept.add(old)
    used = {*taken, *(cluster.id for cluster in previous)}
    for number, draft in sorted(enumerate(drafts), key=lambda pair: pair[1].head):
        if number not in ids:
            ids[number] = _fresh_id(scope, draft.head, used)
            used.add(ids[number])
    return ids


def _fresh_id(scope: str, head: str, used: Collection[uuid.UUID]) -> uuid.UUID:
    """The id of a cluster born around `head`; numbered when an older cluster, which has moved on since, was born there first."""
    number = 1
    while (fresh := stable_id("cluster", scope, head, *([number] if number > 1 else []))) in used:
        number += 1
    return fresh
