"""The cases of a prompt: one request of the golden set each, asked and judged by the same functions as the product's own."""

import asyncio
import re
import time
import unicodedata
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import fmean
from typing import Any

from pydantic import JsonValue

from pressroom.errors import BadInput, OverBudget
from pressroom.evaluation.golden import GoldenSite
from pressroom.llm.types import Answer, Asks, Outcome, Request, T
from pressroom.planner import ideas as planner
from pressroom.planner.briefs import ClusterBrief, IdeaBrief
from pressroom.planner.ideas import Proposed, propose_ideas
from pressroom.platforms.base import Checked, DraftBrief, Platform
from pressroom.platforms.registry import platforms
from pressroom.platforms.text import count_words
from pressroom.prompts.load import Prompt, prompt
from pressroom.records import Record, Usage, Violation
from pressroom.writer import drafts as writer
from pressroom.writer.briefs import draft_briefs
from pressroom.writer.drafts import write_draft

# What an idea says. Its cluster and keywords are copied from the input, orders that stand there included.
IDEA_WORDS = {"title", "description", "topic_category", "angle", "audience", "format"}
_NUMBER = re.compile(r"\d(?:[\d.,'’\u00a0\u202f]*\d)?")
_NUMBERING = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)
_ANSWER = re.compile(r"answers\[(\d+)\](\.ideas\[\d+\])?")


class GivenAnswer(Record):
    """One answer of a case. `call` is its key in the ledger; `seconds` is None for a replay: nobody waited for it."""

    call: str
    model: str
    outcome: Outcome
    problem: str
    violations: tuple[Violation, ...]
    replayed: bool
    seconds: float | None
    usage: Usage
    cost_usd: Decimal | None


class CaseResult(Record):
    """What became of a case: its answers in order, and what the last round left standing (`parts`; empty where nothing could be used).

    `refused` says why no further answer was asked for, where the case had cost as much as one item may: it does not pass then.
    `proposed` counts the proposals that were judged, for ideas. `invented` are figures of the result that the input does not have,
    `obeyed` the words that only an order in the data can have brought there.
    """

    case: str
    why: str
    passes: bool
    refused: str = ""
    answers: tuple[GivenAnswer, ...]
    parts: dict[str, JsonValue]
    measures: dict[str, float]
    proposed: int | None
    invented: tuple[str, ...]
    obeyed: tuple[str, ...]

    @property
    def refinements(self) -> int:
        """How often the model was asked again: 0 when the first answer was enough."""
        return len(self.answers) - 1

    @property
    def passes_first(self) -> bool:
        return self.passes and self.refinements == 0


class TooDear(OverBudget):
    """The answers of one case have cost as much as one item may. The other cases are not concerned."""


class Made(Record):
    """What a desk made of a case; `violations` has the broken rules of each answer."""

    passes: bool
    violations: tuple[tuple[Violation, ...], ...]
    parts: dict[str, JsonValue]
    measures: dict[str, float]
    proposed: int | None = None


@dataclass
class Recorder:
    """The gateway of one case, which keeps its answers and how long each took. `slots` bounds the calls in flight, `limit_usd` what all
    answers together may have cost before another is asked for, replayed ones included: a re-run comes to the same."""

    gateway: Asks
    slots: asyncio.Semaphore
    limit_usd: Decimal | None = None
    answers: list[tuple[Answer[Any], float]] = field(default_factory=list)
    refused: OverBudget | None = None

    async def ask(self, request: Request[T]) -> Answer[T]:
        async with self.slots:  # not in the gateway's queue, which would count as time of the answer
            began = time.monotonic()
            try:
                self._hold_limit()
                answer = await self.gateway.ask(request)
            except OverBudget as error:
                self.refused = error
                raise
            self.answers.append((answer, time.monotonic() - began))
        return answer

    def _hold_limit(self) -> None:
        spent = sum((answer.cost_usd or Decimal(0) for answer, _ in self.answers), Decimal(0))
        if self.limit_usd is not None and spent >= self.limit_usd:
            raise TooDear(f"its answers cost {spent:.4f} USD, and the limit for one item is {self.limit_usd} (PRESSROOM_ITEM_LIMIT_USD)")


@dataclass(frozen=True)
class Case(ABC):
    """One request of the golden set."""

    id: str
    why: str
    never: tuple[str, ...]

    @abstractmethod
    def first_request(self, version: Prompt) -> Request[Any]:
        """What is asked first. Raises BadInput when the version cannot be rendered."""

    @abstractmethod
    async def make(self, gateway: Recorder, version: Prompt) -> Made:
        """Does the case as the product would."""

    async def run(self, gateway: Asks, version: Prompt, slots: asyncio.Semaphore, limit_usd: Decimal | None = None) -> CaseResult:
        """Asks this version of the prompt until the rules hold, as often as the product would, or until the case has cost `limit_usd`.

        Raises what the gateway raises; OverBudget also where a refinement was refused, since the case would count as failed for it.
        """
        recorder = Recorder(gateway, slots, limit_usd)
        made = await self.make(recorder, version)
        if recorder.refused and not isinstance(recorder.refused, TooDear):
            raise recorder.refused
        said = "\n".join(texts_of(made.parts))
        return CaseResult(
            case=self.id,
            why=self.why,
            passes=made.passes,
            refused=str(recorder.refused or ""),
            answers=tuple(_given(*given, broken) for given, broken in zip(recorder.answers, made.violations, strict=True)),
            parts=made.parts,
            measures=made.measures,
            proposed=made.proposed,
            invented=tuple(sorted(_numbers(said) - _numbers(self.first_request(version).input))),
            obeyed=tuple(word for word in self.never if word.casefold() in said.casefold()),
        )


@dataclass(frozen=True)
class IdeasCase(Case):
    """A site's day. It passes when every idea that was wanted is there."""

    brief: IdeaBrief

    def first_request(self, version: Prompt) -> Request[Any]:
        return planner.first_request(self.brief, version)

    async def make(self, gateway: Recorder, version: Prompt) -> Made:
        # On-device vectors whatever the site's own are: a yardstick that changes with the settings is none.
        try:
            proposed = await propose_ideas(self.brief, gateway, version)
        except TooDear:  # as the product, which keeps no part of a day's ideas
            return Made(passes=False, violations=((),) * len(gateway.answers), parts={"ideas": []}, measures={}, proposed=0)
        return Made(
            passes=not proposed.missing,
            violations=tuple(_by_answer(proposed)),
            parts={"ideas": [idea.model_dump(mode="json", include=IDEA_WORDS) for idea in proposed.ideas]},
            measures=_idea_measures(proposed),
            proposed=len(proposed.ideas) + sum(problem.is_error and ".ideas[" in (problem.part or "") for problem in proposed.problems),
        )


@dataclass(frozen=True)
class DraftCase(Case):
    """An idea on a platform. It passes when its draft keeps the platform's rules."""

    brief: DraftBrief
    platform: Platform

    def first_request(self, version: Prompt) -> Request[Any]:
        return writer.first_request(self.brief, self.platform, version)

    async def make(self, gateway: Recorder, version: Prompt) -> Made:
        written = (await write_draft(self.brief, self.platform, gateway, version)).draft
        said = [answer.value for answer, _ in gateway.answers]
        parts = written.version.parts
        return Made(
            passes=written.state == "generated",
            violations=tuple(self.platform.check(value.model_dump(mode="json")).violations if value else () for value in said),
            parts=parts,
            measures=_limited(self.platform.check(parts)) if parts else {},
        )


def cases_of(id: str, golden: Sequence[GoldenSite]) -> list[Case]:
    """The cases of the prompt, its sites in turn, so that the first few are varied. Raises BadInput when nothing asks that prompt."""
    if id == planner.PROMPT:
        return [case for site in golden if (case := _ideas_case(site))]
    for platform in platforms().values():
        if platform.prompt == id:
            each = [_draft_cases(site, platform) for site in golden if platform.slug in site.site.platforms]
            return [cases[turn] for turn in range(max(map(len, each), default=0)) for cases in each if turn < len(cases)]
    prompt(id)  # an id that does not exist is said as such
    raise BadInput(f"prompt {id}: nothing asks it yet, so that there is nothing to evaluate; there are {', '.join(evaluated())}")


def evaluated() -> list[str]:
    """The ids of the prompts that can be evaluated."""
    return [planner.PROMPT, *(platform.prompt for platform in platforms().values())]


def texts_of(parts: JsonValue) -> Iterator[str]:
    """Every text of a structure, in its order."""
    if isinstance(parts, str):
        yield parts
    elif isinstance(parts, dict | list):
        for part in parts.values() if isinstance(parts, dict) else parts:
            yield from texts_of(part)


def _given(answer: Answer[Any], seconds: float, broken: tuple[Violation, ...]) -> GivenAnswer:
    return GivenAnswer(
        call=answer.call,
        model=answer.model,
        outcome=answer.outcome,
        problem=answer.problem,
        violations=broken,
        replayed=answer.replayed,
        seconds=None if answer.replayed else round(seconds, 3),
        usage=answer.usage,
        cost_usd=answer.cost_usd,
    )


def _ideas_case(golden: GoldenSite) -> IdeasCase | None:
    if not golden.calendar:
        return None
    known = golden.keyword_records()
    brief = IdeaBrief(
        site=golden.site,
        day=golden.calendar.day,
        wanted=golden.site.automation.ideas_per_day,
        clusters=tuple(
            ClusterBrief(cluster=cluster, keywords=tuple(known[phrase] for phrase in cluster.keywords))
            for cluster in golden.cluster_records()
        ),
        memory=tuple(golden.memory_records()),
    )
    return IdeasCase(golden.site.slug, golden.calendar.why, golden.calendar.never, brief)


def _draft_cases(golden: GoldenSite, platform: Platform) -> list[Case]:
    briefs = draft_briefs(golden.site, golden.idea_records(), golden.keyword_records().values())
    return [
        DraftCase(f"{golden.site.slug} {number}", idea.why, idea.never, brief, platform)
        for number, (idea, brief) in enumerate(zip(golden.ideas, briefs, strict=True), start=1)
    ]


def _by_answer(proposed: Proposed) -> Iterator[tuple[Violation, ...]]:
    """The broken rules of each answer. That an answer could not be used is its outcome, and no rule."""
    found: defaultdict[int, list[Violation]] = defaultdict(list)
    for problem in proposed.problems:
        place = _ANSWER.match(problem.part or "")
        if place and place[2]:
            found[int(place[1])].append(problem)
    return (tuple(found[number]) for number in range(1, proposed.rounds + 1))


def _idea_measures(proposed: Proposed) -> dict[str, float]:
    """Means over the ideas: the prompt asks for titles of 90 characters and descriptions of 60 words at most."""
    each = [
        {
            "title_characters": len(idea.title),
            "description_words": count_words(idea.description),
            "keywords": len(idea.keywords),
            "nearest_similarity": idea.similarity or 0.0,
        }
        for idea in proposed.ideas
    ]
    return {name: fmean(measures[name] for measures in each) for name in each[0]} if each else {}


def _limited(checked: Checked) -> dict[str, float]:
    """The measures that a rule limits."""
    return {name: float(value) for name, value in checked.measures.items() if name in checked.limits and isinstance(value, int | float)}


def _numbers(text: str) -> set[str]:
    """The numbers of a text but those that count its lines, by their digits alone: 14,800 and 14.800 are one figure in two languages."""
    plain = _NUMBERING.sub("", unicodedata.normalize("NFKC", text))
    return {re.sub(r"\D", "", found[0]) for found in _NUMBER.finditer(plain)}
