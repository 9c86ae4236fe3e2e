"""Idea proposals: asked for, checked one by one, and asked for again where they repeat something or break a rule."""

import asyncio
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pressroom.llm.embeddings import Embedder, OnDevice
from pressroom.llm.types import Answer, Asks, Request
from pressroom.planner.briefs import ClusterBrief, IdeaAnswer, IdeaBrief, ProposedIdea
from pressroom.planner.offline_ideas import compose_ideas
from pressroom.planner.phrases import normalise
from pressroom.planner.topics import TopicMemory, count_sentences, title_key
from pressroom.prompts.load import Prompt, prompt
from pressroom.records import Idea, Record, Violation, stable_id

PROMPT = "ideas"
MORE_ROUNDS = 3  # times that what is still missing is asked for again


class Proposed(Record):
    """The day's ideas. `missing` is how many of the wanted ones no round brought; `problems` is what was turned down, and why.

    `calls` are the request hashes of the rounds, in their order.
    """

    ideas: tuple[Idea, ...]
    missing: int
    problems: tuple[Violation, ...]
    calls: tuple[str, ...]

    @property
    def rounds(self) -> int:
        return len(self.calls)


def first_request(brief: IdeaBrief, variant: Prompt | None = None) -> Request[IdeaAnswer]:
    """What is asked first for the day. A `variant` is asked instead of the house's prompt."""
    return _Desk(brief, variant).request(1)


async def propose_ideas(brief: IdeaBrief, gateway: Asks, variant: Prompt | None = None, embedder: Embedder = OnDevice()) -> Proposed:
    """The day's ideas, none of them a repeat of the memory or of each other.

    A proposal that is turned down is asked for again, with its reason, up to three times; what is accepted stays. What is still missing
    then is reported, not padded. The same brief and the same answers give the same requests, so a re-run replays them.
    A `variant` is asked instead of the house's prompt. Likeness is measured in the space of `embedder`. Raises what the gateway raises.
    """
    desk = _Desk(brief, variant, embedder)
    for attempt in range(1, MORE_ROUNDS + 2):
        if not desk.missing:
            break
        answer = await gateway.ask(desk.request(attempt))
        await asyncio.to_thread(desk.read, attempt, answer)  # a hosted embedder waits there for its vectors
    return Proposed(ideas=tuple(desk.accepted), missing=desk.missing, problems=tuple(desk.problems), calls=tuple(desk.calls))


@dataclass
class _Desk:
    """One day's proposals on the table: what is accepted, what was turned down."""

    brief: IdeaBrief
    variant: Prompt | None = None
    embedder: Embedder = field(default_factory=OnDevice)
    accepted: list[Idea] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    problems: list[Violation] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    unusable: Answer[IdeaAnswer] | None = None  # the last answer, when it had no value

    def __post_init__(self) -> None:
        self.numbers = dict(enumerate(self.brief.clusters, start=1))

    @cached_property
    def topics(self) -> TopicMemory:
        """Made when the first answer is there: a request alone needs no vectors."""
        return TopicMemory(self.brief.memory, self.embedder)

    @property
    def missing(self) -> int:
        return self.brief.wanted - len(self.accepted)

    def request(self, attempt: int) -> Request[IdeaAnswer]:
        # An answer that ran out of tokens was too long: half as many ideas fit where the same number would not again.
        wanted = -(-self.missing // 2) if self.unusable and self.unusable.outcome == "incomplete" else self.missing
        served = {idea.cluster_id for idea in self.accepted}
        offered = dict(sorted(self.numbers.items(), key=lambda entry: entry[1].cluster.id in served))
        variables = {
            "site": self.brief.site,
            "day": self.brief.day,
            "wanted": wanted,
            "attempt": attempt,
            "clusters": [_offer(number, cluster) for number, cluster in offered.items()],
            # Titles alone: descriptions of 150 ideas would be 10,000 tokens a call, and their likeness is measured afterwards.
            "earlier": [idea.title for idea in (*self.brief.memory, *self.accepted)],
            "rejected": self.rejected,
            "problem": self.unusable.problem or self.unusable.outcome if self.unusable else "",
        }
        return (self.variant or prompt(PROMPT)).request(
            item=f"{self.brief.site.slug}/{self.brief.day}",
            variables=variables,
            answer=IdeaAnswer,
            offline=lambda: compose_ideas(self.brief, offered, self.topics, wanted=wanted),
        )

    def read(self, attempt: int, answer: Answer[IdeaAnswer]) -> None:
        """Accepts what holds, in the answer's order, until nothing is missing; books the reason for the rest."""
        self.calls.append(answer.call)
        self.unusable = None if answer.value else answer
        if not answer.value:
            message = f"Answer {attempt} cannot be used: {answer.problem or answer.outcome}."
            self.problems.append(_broken("idea_answer", answer.outcome, "valid", message, f"answers[{attempt}]"))
            return
        vectors = self.topics.vectors_of([(_line(proposal.title), _line(proposal.description)) for proposal in answer.value.ideas])
        for position, (proposal, vector) in enumerate(zip(answer.value.ideas, vectors, strict=True)):
            if not self.missing:
                return
            part = f"answers[{attempt}].ideas[{position}]"
            cluster = self.numbers.get(proposal.cluster)
            nearest = self.topics.nearest(vector[None])[0]
            served, unknown = _served(proposal.keywords, cluster) if cluster else ((), ())
            broken = self._rule_broken(proposal, cluster, served, nearest.similarity, part)
            if broken:
                self.problems.append(broken)
                self.rejected.append({"title": proposal.title, "reason": broken.message})
                continue
            if unknown:
                message = f"Left out of “{proposal.title}”, because the cluster does not have it: {', '.join(unknown)}."
                self.problems.append(_broken("idea_keyword", list(unknown), "keywords of the cluster", message, part, severity="warning"))
            assert cluster is not None  # _rule_broken turns a proposal without one down
            ordinal = len(self.accepted) + 1
            idea = Idea(
                id=stable_id("idea", self.brief.site.id, self.brief.day, answer.call, ordinal),
                ordinal=ordinal,
                title=_line(proposal.title),
                description=_line(proposal.description),
                topic_category=_line(proposal.topic_category),
                angle=_line(proposal.angle),
                audience=_line(proposal.audience),
                format=_line(proposal.format),
                cluster_id=cluster.cluster.id,
                cluster=cluster.cluster.name,
                keywords=served,
                call=answer.call,
                model=answer.model,
                nearest=nearest.id,
                similarity=nearest.similarity if nearest.id else None,
            )
            self.accepted.append(idea)
            self.topics.add(idea.title, vector, idea.id)

    def _rule_broken(
        self, proposal: ProposedIdea, cluster: ClusterBrief | None, served: tuple[str, ...], similarity: float, part: str
    ) -> Violation | None:
        """The first rule that the proposal breaks, or None."""
        title, sentences = _line(proposal.title), count_sentences(proposal.description)
        if not title_key(title):
            return _broken("idea_title", title, "a title", "The proposal has no title.", part)
        if self.topics.has_title(title):
            return _broken("idea_repeated", title, "a new title", f"There is an idea called “{title}” already.", part)
        if not 2 <= sentences <= 3:
            message = f"The description of “{title}” has {sentences} sentences, expected 2 or 3."
            return _broken("idea_description", sentences, [2, 3], message, part)
        if cluster is None:
            numbers = list(self.numbers)
            message = f"“{title}” serves cluster {proposal.cluster}, expected one of {', '.join(map(str, numbers))}."
            return _broken("idea_cluster", proposal.cluster, numbers, message, part)
        if not served:
            message = f"No keyword of “{title}” belongs to the cluster {cluster.cluster.name}."
            return _broken("idea_keywords", proposal.keywords, "keywords of the cluster", message, part)
        if similarity >= self.topics.repeat:
            limit = self.topics.repeat
            message = f"“{title}” is too close to an earlier idea: similarity {similarity:.2f}, expected less than {limit:.2f}."
            return _broken("idea_similar", similarity, limit, message, part)
        return None


def _offer(number: int, brief: ClusterBrief) -> dict[str, Any]:
    """A cluster as the question shows it."""
    keywords = [{"phrase": keyword.phrase, "monthly_searches": keyword.searches, "intent": keyword.intent} for keyword in brief.keywords]
    return {"number": number, "name": brief.cluster.name, "monthly_searches": brief.cluster.volume, "keywords": keywords}


def _served(phrases: list[str], brief: ClusterBrief) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The phrases that are keywords of the cluster, as it spells them and each once, and those that are not."""
    own = {normalise(phrase): phrase for phrase in brief.cluster.keywords}
    served = dict.fromkeys(own[normalise(phrase)] for phrase in phrases if normalise(phrase) in own)
    return tuple(served), tuple(phrase for phrase in phrases if normalise(phrase) not in own)


def _line(text: str) -> str:
    return " ".join(text.split())


def _broken(code: str, measured: Any, limit: Any, message: str, part: str, *, severity: Any = "error") -> Violation:
    return Violation(code=code, severity=severity, measured=measured, limit=limit, message=message, part=part)
