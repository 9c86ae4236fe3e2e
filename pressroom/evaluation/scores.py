"""What a version of a prompt came to on the golden set: figures that code can count, and their differences to another version's."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import combinations
from statistics import fmean
from typing import Literal

from pressroom.evaluation.cases import CaseResult, texts_of
from pressroom.planner.topics import title_key
from pressroom.prompts.load import Prompt
from pressroom.records import Record, Severity, Usage

REPEATED = ("idea_repeated", "idea_similar")
# Half of a text in the very words of another is boilerplate. Shared runs of 12 characters (two words of English, a phrase of Japanese):
# paragraphs on one subject share at most 18 % of them, posts that put another subject into the same frame 76 % and more. The cosines
# of the on-device vectors tell neither: .41 for such posts, .90 for two Japanese texts that have nothing in common.
RUN = 12  # characters
BOILERPLATE = 0.5
_FIRST_SENTENCE = re.compile(r".+?(?:[.!?…]+(?=\s|$)|[。！？]|\n|$)", re.DOTALL)

MOST_RULES = 5  # broken rules that versions are compared by

# What people read for a name in the scores, where its words alone do not say it.
SAID = {"weighted_length": "length as X counts it", "weighted_length_strict": "length, older counters"}

Unit = Literal["share", "mean", "count", "usd"]
Verdict = Literal["better", "worse", "same", ""]


class BrokenRule(Record):
    """A rule, and how many answers broke it."""

    code: str
    severity: Severity
    answers: int


class Pair(Record):
    """Two cases whose drafts are alike. `shared` is the part of the shorter one that stands word for word in the other."""

    cases: tuple[str, str]
    shared: float
    same_first_sentence: bool


class Repeats(Record):
    """`repeated` of `of`: for ideas, proposals turned down because their title or point was there; for drafts, pairs that are alike."""

    what: Literal["proposals", "pairs"]
    repeated: int
    of: int
    pairs: tuple[Pair, ...] = ()

    @property
    def rate(self) -> float:
        return self.repeated / self.of if self.of else 0.0


class Scores(Record):
    """One version's figures. Rates are shares of the cases, 0 to 1.

    `cost_usd` is what the answers cost when they were paid, replayed ones included, so that versions compare whenever they were asked;
    `unpriced` counts those of unknown cost, `spent_usd` is what this evaluation paid. `refused` counts the cases that were asked no
    further because of what they had cost. `seconds` is the mean time of a paid answer.
    """

    prompt: str
    version: str
    models: tuple[str, ...]
    cases: int
    first_pass_rate: float
    pass_rate: float
    refinements: dict[int, int]
    refinements_mean: float
    refused: int
    unusable: dict[str, int]
    rules: tuple[BrokenRule, ...]
    repeats: Repeats
    invented: float
    obeyed: int
    measures: dict[str, float]
    usage: Usage
    cost_usd: Decimal
    unpriced: int
    spent_usd: Decimal
    paid: int
    replayed: int
    seconds: float | None
    results: tuple[CaseResult, ...]


def scores_of(version: Prompt, results: Sequence[CaseResult]) -> Scores:
    """The figures of a version's results, of which there must be at least one."""
    answers = [answer for result in results for answer in result.answers]
    paid = [answer for answer in answers if not answer.replayed]
    names = dict.fromkeys(name for result in results for name in result.measures)
    return Scores(
        prompt=version.id,
        version=version.version,
        models=tuple(sorted({answer.model for answer in answers})),
        cases=len(results),
        first_pass_rate=fmean(result.passes_first for result in results),
        pass_rate=fmean(result.passes for result in results),
        refinements=dict(sorted(Counter(result.refinements for result in results).items())),
        refinements_mean=fmean(result.refinements for result in results),
        refused=sum(bool(result.refused) for result in results),
        unusable=dict(Counter(answer.outcome for answer in answers if answer.outcome != "valid").most_common()),
        rules=_rules(results),
        repeats=_repeats(results),
        invented=fmean(len(result.invented) for result in results),
        obeyed=sum(bool(result.obeyed) for result in results),
        measures={name: fmean(result.measures[name] for result in results if name in result.measures) for name in names},
        usage=_sum([answer.usage for answer in answers]),
        cost_usd=sum((answer.cost_usd or Decimal(0) for answer in answers), Decimal(0)),
        unpriced=sum(answer.cost_usd is None for answer in answers),
        spent_usd=sum((answer.cost_usd or Decimal(0) for answer in paid), Decimal(0)),
        paid=len(paid),
        replayed=len(answers) - len(paid),
        seconds=fmean(times) if (times := [answer.seconds for answer in paid if answer.seconds is not None]) else None,
        results=tuple(results),
    )


@dataclass(frozen=True)
class Measure:
    """One figure of the scores. `of` is None where it is not known; `better` says which way is good (None: neither).

    A script knows it by its `name`, people by its `label`, where there is one under a heading, the `section`.
    """

    name: str
    label: str
    unit: Unit
    of: Callable[[Scores], float | None]
    better: Literal["more", "less"] | None = "less"
    section: str = ""


class Difference(Record):
    """A figure of two versions, and the verdict on the second: empty where it is not known, or neither way is better."""

    before: float | None
    after: float | None
    change: float | None
    verdict: Verdict


def measures_of(scores: Sequence[Scores]) -> list[Measure]:
    """The figures that these versions are compared by, in reading order: of the broken rules, those that most answers broke."""
    outcomes = dict.fromkeys(outcome for each in scores for outcome in each.unusable)
    lengths = dict.fromkeys(name for each in scores for name in each.measures)
    repeats = {"proposals": "proposals that repeat", "pairs": "pairs of drafts alike"}[scores[0].repeats.what]
    refused = Measure("refused", "cases that cost too much", "count", lambda each: each.refused)

    def among(section: str, kind: str, name: str, of: Callable[[str, Scores], float | None], unit: Unit = "count") -> Measure:
        """One of several figures of a kind, which differ from prompt to prompt."""
        label = SAID.get(name, name.replace("_", " "))
        return Measure(f"{kind}.{name}", label, unit, partial(of, name), "less" if unit == "count" else None, section)

    return [
        Measure("first_pass_rate", "first answer within rules", "share", lambda each: each.first_pass_rate, "more"),
        Measure("pass_rate", "within rules at the end", "share", lambda each: each.pass_rate, "more"),
        Measure("refinements_mean", "refinements a case", "mean", lambda each: each.refinements_mean),
        *([refused] if any(each.refused for each in scores) else []),
        *(among("answers of no use", "unusable", outcome, _unusable) for outcome in outcomes),
        *(among("answers that break a rule", "rules", code, _broken) for code in _most_broken(scores, "error")),
        *(among("answers with a warning", "warnings", code, _broken) for code in _most_broken(scores, "warning")),
        Measure("repeats", repeats, "share", lambda each: each.repeats.rate),
        Measure("invented", "figures not in the input", "mean", lambda each: each.invented),
        Measure("obeyed", "cases that obey the data", "count", lambda each: each.obeyed),
        *(among("means of what came out", "measures", name, _mean, "mean") for name in lengths),
        Measure("input_tokens", "tokens in", "count", lambda each: each.usage.input),
        Measure("output_tokens", "tokens out", "count", lambda each: each.usage.output),
        Measure("cost_usd", "cost when paid, USD", "usd", lambda each: None if each.unpriced else float(each.cost_usd)),
        Measure("seconds", "seconds an answer", "mean", lambda each: each.seconds),
    ]


def difference(measure: Measure, before: Scores, after: Scores) -> Difference:
    """How `after` stands to `before` by this figure."""
    values = measure.of(before), measure.of(after)
    if values[0] is None or values[1] is None:
        return Difference(before=values[0], after=values[1], change=None, verdict="")
    change = values[1] - values[0]
    verdict: Verdict = "" if measure.better is None else "same"
    if measure.better and change:
        verdict = "better" if (change > 0) == (measure.better == "more") else "worse"
    return Difference(before=values[0], after=values[1], change=change, verdict=verdict)


def changed_cases(before: Scores, after: Scores) -> tuple[list[str], list[str]]:
    """The cases that `after` does better, and those that it does worse: passed or not, then by the refinements needed."""

    def rank(result: CaseResult) -> tuple[bool, int]:
        return not result.passes, result.refinements

    pairs = [(was.case, rank(was), rank(now)) for was, now in zip(before.results, after.results, strict=True)]
    return [case for case, was, now in pairs if now < was], [case for case, was, now in pairs if now > was]


def _unusable(outcome: str, scores: Scores) -> float:
    return scores.unusable.get(outcome, 0)


def _broken(code: str, scores: Scores) -> float:
    return sum(rule.answers for rule in scores.rules if rule.code == code)


def _mean(name: str, scores: Scores) -> float | None:
    return scores.measures.get(name)


def _most_broken(scores: Sequence[Scores], severity: Severity) -> list[str]:
    counted: Counter[str] = Counter()
    for each in scores:
        counted.update({rule.code: rule.answers for rule in each.rules if rule.severity == severity})
    return [code for code, _ in counted.most_common(MOST_RULES)]


def _rules(results: Sequence[CaseResult]) -> tuple[BrokenRule, ...]:
    """The broken rules, those that most answers broke first."""
    broken = Counter(
        rule
        for result in results
        for answer in result.answers
        for rule in {(violation.code, violation.severity) for violation in answer.violations}
    )
    ranked = sorted(broken.items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(BrokenRule(code=code, severity=severity, answers=answers) for (code, severity), answers in ranked)


def _repeats(results: Sequence[CaseResult]) -> Repeats:
    if all(result.proposed is not None for result in results):
        violations = [violation for result in results for answer in result.answers for violation in answer.violations]
        repeated = sum(violation.code in REPEATED for violation in violations)
        return Repeats(what="proposals", repeated=repeated, of=sum(result.proposed or 0 for result in results))
    said = [(result.case, list(texts_of(result.parts))) for result in results if result.parts]
    pairs = [_pair(*pair) for pair in combinations(said, 2)]
    alike = tuple(pair for pair in pairs if pair.same_first_sentence or pair.shared > BOILERPLATE)
    return Repeats(what="pairs", repeated=len(alike), of=len(pairs), pairs=alike)


def _pair(left: tuple[str, list[str]], right: tuple[str, list[str]]) -> Pair:
    openings = [_first_sentence(texts) for _, texts in (left, right)]
    return Pair(
        cases=(left[0], right[0]),
        shared=round(shared_wording("\n".join(left[1]), "\n".join(right[1])), 3),
        same_first_sentence=openings[0] == openings[1] != "",
    )


def shared_wording(left: str, right: str) -> float:
    """The part of the shorter text that stands word for word in the other, 0 to 1; case and punctuation do not count."""
    runs = [_runs(title_key(text)) for text in (left, right)]
    least = min(map(len, runs))
    return len(runs[0] & runs[1]) / least if least else 0.0


def _runs(text: str) -> set[str]:
    return {text[start : start + RUN] for start in range(len(text) - RUN + 1)}


def _first_sentence(texts: Sequence[str]) -> str:
    """The first sentence that a reader meets, as `title_key` compares titles."""
    found = _FIRST_SENTENCE.match("".join(texts[:1]).strip())
    return title_key(found[0]) if found else ""


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(**{name: sum(getattr(usage, name) for usage in usages) for name in Usage.model_fields})
