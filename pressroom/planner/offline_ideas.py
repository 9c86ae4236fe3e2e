"""Ideas composed on this machine, without a model: from the clusters, their keywords and the angles. For demos and tests."""

import hashlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from pressroom.llm.embeddings import OnDevice
from pressroom.planner.angles import ANGLES, Angle
from pressroom.planner.briefs import ClusterBrief, IdeaAnswer, IdeaBrief, ProposedIdea
from pressroom.planner.english import Phrase, headline, read_phrase
from pressroom.planner.topics import TopicMemory
from pressroom.records import Intent, Keyword

TRIES = 120  # texts of one cluster that are held against the memory before the cluster is passed over
WORDINGS = 3  # texts of one candidate
BATCH = 6  # texts that are embedded at once: two candidates, of which one is nearly always new

_SUPPORT: dict[Intent | None, tuple[str, ...]] = {
    "informational": (
        "People who search for {q} want to understand first, and {k} is what they ask next.",
        "It also explains {k}, because few readers come with one question only.",
        "The thread leads from {q} to {k}, as readers' own searches do.",
    ),
    "commercial": (
        "Whoever types {q} is weighing options, and {k} is part of the same decision.",
        "It covers {k} too, since both searches come from people with a choice to make.",
        "Next to {q}, readers look up {k}, so the two are judged together.",
    ),
    "transactional": (
        "Readers who search for {q} are close to acting, and {k} shows what still holds them back.",
        "It takes in {k} as well, the last thing people look up before they act.",
        "Somebody who types {q} has decided to act, so {k} is answered on the same page.",
    ),
    "navigational": (
        "Those who search for {q} know where they want to go; {k} shows what they hope to find there.",
        "It answers {k} as well, so that visitors who came for a name find a reason to stay.",
        "Between {q} and {k} lies the part that readers cannot look up elsewhere.",
    ),
    None: (
        "It takes in {k}, because both searches come from the same need.",
        "The piece treats {q} and {k} together, as readers do.",
        "Along the way it answers {k}, which is rarely explained well.",
    ),
}
# strftime would follow the machine's locale.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DEMAND = (
    "With {v} searches a month, {q} is worth a piece of its own.",
    "Some {v} people a month search for {q}.",
    "About {v} monthly searches for {q} show the demand.",
)


class _Candidate(NamedTuple):
    """One idea that could be written: an angle on one keyword, under one of the angle's titles."""

    angle: Angle
    keyword: Keyword
    phrase: Phrase
    title: str


def compose_ideas(brief: IdeaBrief, offered: Mapping[int, ClusterBrief], topics: TopicMemory, *, wanted: int) -> IdeaAnswer:
    """`wanted` ideas for the clusters in `offered`, each under its number and in their order, again from the first when they run out.

    The same brief gives the same ideas. What is in `topics`, or too near to it, is not proposed; a cluster with nothing else left is
    passed over, so the answer can be short.
    """
    ideas: list[ProposedIdea] = []
    seen = topics.copy()
    today: Counter[str] = Counter()
    numbers = deque(offered)
    while numbers and len(ideas) < wanted:
        number = numbers.popleft()
        idea = _new_idea(brief, number, offered[number], seen, today)
        if idea:
            ideas.append(idea)
            today[idea.angle] += 1
            numbers.append(number)
    return IdeaAnswer(ideas=ideas)


def _new_idea(brief: IdeaBrief, number: int, cluster: ClusterBrief, seen: TopicMemory, today: Counter[str]) -> ProposedIdea | None:
    """The freshest idea for the cluster that repeats nothing seen, which then is seen, or None."""
    fresh = (candidate for candidate in _candidates(brief, cluster, today) if not seen.has_title(candidate.title))
    texts = (_write(brief, number, cluster, candidate, wording) for candidate in fresh for wording in range(WORDINGS))
    tries = islice(texts, TRIES)
    while batch := list(islice(tries, BATCH)):
        vectors = seen.vectors_of([(idea.title, idea.description) for idea in batch])
        for idea, vector, nearest in zip(batch, vectors, seen.nearest(vectors), strict=True):
            if nearest.similarity < seen.repeat:
                seen.add(idea.title, vector)
                return idea
    return None


def _candidates(brief: IdeaBrief, cluster: ClusterBrief, today: Counter[str]) -> list[_Candidate]:
    """Every idea that the cluster allows, the freshest first: angles and keywords that its earlier ideas did not use."""
    earlier = [idea for idea in brief.memory if idea.cluster_id == cluster.cluster.id]
    angles = Counter(idea.angle for idea in earlier)
    focuses = Counter(idea.keywords[0] for idea in earlier if idea.keywords)
    found = []
    for keyword in cluster.keywords:
        phrase = read_phrase(keyword.phrase)
        words = frozenset((phrase.noun or phrase.text).lower().split())
        for angle in ANGLES:
            if phrase.kind in angle.kinds and not angle.unless & words and (not angle.only or angle.only & phrase.words):
                found.append(_Candidate(angle, keyword, phrase, _title(brief, angle, phrase)))

    def freshness(one: _Candidate) -> tuple[int, int, int, int]:
        used = (today[one.angle.name], angles[one.angle.name], focuses[one.keyword.normalised])
        return (*used, _dice(brief, cluster, one.keyword.normalised, one.title))

    return sorted(found, key=freshness)


def _title(brief: IdeaBrief, angle: Angle, phrase: Phrase) -> str:
    """The angle's title on the phrase. Which of its three it is turns every 30 days, so that none comes back within 60."""
    turn = brief.day.toordinal() // 30 + int.from_bytes(hashlib.sha256(f"{angle.name}/{phrase.noun or phrase.text}".encode()).digest()[:4])
    return headline(_filled(angle.titles[turn % len(angle.titles)], phrase, brief))


def _write(brief: IdeaBrief, number: int, cluster: ClusterBrief, candidate: _Candidate, wording: int) -> ProposedIdea:
    angle, keyword, phrase, title = candidate
    others = [other for other in cluster.keywords if other.normalised != keyword.normalised]
    others.sort(key=lambda other: _dice(brief, cluster, title, str(wording), other.normalised))
    supports = list(_SUPPORT[keyword.intent]) if others else []
    if keyword.volume and keyword.volume >= 10:
        supports += _DEMAND

    def pick(templates: Sequence[str], what: str) -> str:
        second = read_phrase(others[0].phrase).quoted if others else ""
        template = templates[_dice(brief, cluster, title, str(wording), what) % len(templates)]
        return _filled(template, phrase, brief, k=second, v=keyword.searches or "")

    sentences = [pick(angle.openings, "opening"), pick(supports, "support") if supports else "", pick(angle.endings, "ending")]
    return ProposedIdea(
        title=title,
        description=" ".join(_sentence(one) for one in sentences if one),
        topic_category=_category(brief, cluster),
        cluster=number,
        keywords=[keyword.phrase, *(other.phrase for other in others[:2])],
        angle=angle.name,
        audience=angle.audience,
        format=angle.format,
    )


def _filled(template: str, phrase: Phrase, brief: IdeaBrief, **more: str) -> str:
    forms = {
        "g": phrase.noun,
        "t": phrase.bare,
        "q": phrase.quoted,
        "asked": phrase.text,
        "month": _MONTHS[brief.day.month - 1],
    }
    return template.format(**forms, **more)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _category(brief: IdeaBrief, cluster: ClusterBrief) -> str:
    """The site's sector that comes nearest to the cluster; its own name where the site has none."""
    sectors = brief.site.sectors
    if not sectors:
        return headline(cluster.cluster.name)
    vectors = OnDevice().embed([" ".join(keyword.phrase for keyword in cluster.keywords), *sectors])
    return max(zip(vectors[1:] @ vectors[0], sectors, strict=True))[1]


def _dice(brief: IdeaBrief, cluster: ClusterBrief, *what: str) -> int:
    """A number that the site, the day and the cluster decide: the same on every machine."""
    seed = "/".join((brief.site.slug, str(brief.day), str(cluster.cluster.id), *what))
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8])
