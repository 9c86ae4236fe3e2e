"""The figures of a version, and how two versions compare."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.evaluation.cases import CaseResult, GivenAnswer
from pressroom.evaluation.scores import BOILERPLATE, Scores, changed_cases, difference, measures_of, scores_of, shared_wording
from pressroom.llm.types import Outcome
from pressroom.prompts.load import prompt
from pressroom.records import Severity, Usage, Violation


def broken(code: str, severity: Severity = "error") -> Violation:
    return Violation(code=code, severity=severity, measured=1, limit=0, message=f"{code} is broken.")


def answer(*codes: str, outcome: Outcome = "valid", **changes: Any) -> GivenAnswer:
    fields = {
        "call": "call",
        "model": "gpt-4.1-mini",
        "outcome": outcome,
        "problem": "",
        "violations": tuple(map(broken, codes)),
        "replayed": False,
        "seconds": 2.0,
        "usage": Usage(input=1000, cached=200, output=100),
        "cost_usd": Decimal("0.001"),
    }
    return GivenAnswer(**(fields | changes))


def case(name: str, *answers: GivenAnswer, passes: bool = True, text: str = "", **changes: Any) -> CaseResult:
    fields = {"parts": {"posts": [text]} if text else {}, "measures": {}, "proposed": None, "invented": (), "obeyed": ()}
    return CaseResult(case=name, why="", passes=passes, answers=answers or (answer(),), **(fields | changes))


def scored(*results: CaseResult) -> Scores:
    return scores_of(prompt("draft_x"), results)


def test_rates_and_refinements_are_counted_by_case() -> None:
    scores = scored(
        case("a"),
        case("b", answer("posts"), answer()),
        case("c", *[answer("posts")] * 4, passes=False),
        case("d", answer("empty"), answer()),
    )
    assert (scores.cases, scores.first_pass_rate, scores.pass_rate) == (4, 0.25, 0.75)
    assert (scores.refinements, scores.refinements_mean) == ({0: 1, 1: 2, 3: 1}, 1.25)


def test_a_rule_counts_once_an_answer_and_warnings_stay_apart() -> None:
    twice = answer(violations=(broken("weighted_length"), broken("weighted_length"), broken("hook_seconds", "warning")))
    scores = scored(case("a", twice, answer("weighted_length"), answer()))
    assert [(rule.code, rule.severity, rule.answers) for rule in scores.rules] == [
        ("weighted_length", "error", 2),
        ("hook_seconds", "warning", 1),
    ]
    names = [measure.name for measure in measures_of([scores])]
    assert [name for name in names if "." in name] == ["rules.weighted_length", "warnings.hook_seconds"]


def test_only_the_rules_that_most_answers_broke_are_compared() -> None:
    scores = scored(case("a", *(answer(*(f"rule_{number}" for number in range(first, 7))) for first in range(7))))
    compared = [measure.name for measure in measures_of([scores]) if measure.name.startswith("rules.")]
    assert compared == [f"rules.rule_{number}" for number in (6, 5, 4, 3, 2)]
    assert len(scores.rules) == 7, "the document has all"


def test_what_answers_cost_counts_whenever_they_were_paid() -> None:
    """A version that was asked yesterday compares with one of today; what was spent now is another figure."""
    scores = scored(case("a", answer(replayed=True, seconds=None)), case("b", answer(seconds=4.0), answer(seconds=2.0)))
    assert (scores.cost_usd, scores.spent_usd) == (Decimal("0.003"), Decimal("0.002"))
    assert (scores.paid, scores.replayed, scores.seconds) == (2, 1, 3.0)
    assert (scores.usage.input, scores.usage.cached, scores.usage.output) == (3000, 600, 300)


def test_what_is_not_known_is_no_figure() -> None:
    """An answer without a price is not free, and one that was replayed took no time."""
    scores = scored(case("a", answer(cost_usd=None, replayed=True, seconds=None)))
    values = {measure.name: measure.of(scores) for measure in measures_of([scores])}
    assert (scores.unpriced, values["cost_usd"], values["seconds"]) == (1, None, None)
    against = difference(next(each for each in measures_of([scores]) if each.name == "seconds"), scores, scored(case("a")))
    assert (against.before, against.after, against.change, against.verdict) == (None, 2.0, None, "")


def test_the_repeats_of_ideas_are_the_proposals_turned_down_for_likeness() -> None:
    scores = scored(
        case("a", answer("idea_repeated", "idea_similar", "idea_description"), answer(), proposed=7),
        case("b", answer("idea_similar"), proposed=3),
    )
    assert (scores.repeats.what, scores.repeats.repeated, scores.repeats.of, scores.repeats.rate) == ("proposals", 3, 10, 0.3)


FRAME = "{}? Most people start with the price. Start with what you do every morning instead, write it down, then look again."


def test_drafts_in_one_frame_or_with_one_opening_are_alike() -> None:
    """The frame with another subject: the on-device vectors see .41 in it."""
    scores = scored(
        case("a", text=FRAME.format("Espresso grinder")),
        case("b", text=FRAME.format("Descaling solution")),
        case("c", text="Here is what nobody tells you! Decaf keeps some of its caffeine, and that is no fraud."),
        case("d", text="here is what nobody tells you. A kettle pours as fast as you let it."),
        case("e", text="ミニトマトの水やりは毎日でいいのか。土の乾き方から考える。"),
        case("f", text="バジルの葉が黒くなる前に見るところ。土と水と虫を確かめる。"),
        case("g", answer(outcome="refusal"), passes=False),
    )
    assert [pair.cases for pair in scores.repeats.pairs] == [("a", "b"), ("c", "d")]
    assert (scores.repeats.what, scores.repeats.repeated, scores.repeats.of) == ("pairs", 2, 15), "what has no text is no draft"
    frame, opening = scores.repeats.pairs
    assert (frame.same_first_sentence, opening.same_first_sentence) == (False, True)
    assert frame.shared > BOILERPLATE > opening.shared


def test_no_text_and_one_text_repeat_nothing() -> None:
    assert scored(case("a", passes=False)).repeats.rate == 0
    assert scored(case("a", text="Alone.")).repeats.rate == 0


texts = st.text(max_size=80) | st.lists(st.sampled_from(["espresso", "grinder", "never", "the same", "kettle"]), max_size=12).map(" ".join)


@given(texts, texts)
def test_shared_wording_is_a_share_and_the_same_both_ways(left: str, right: str) -> None:
    shared = shared_wording(left, right)
    assert 0 <= shared <= 1
    assert shared == shared_wording(right, left)
    assert shared_wording(left, left) in (0, 1), "a text has all of itself, or is too short to say"


def test_a_better_and_a_worse_figure_are_told_by_which_way_is_good() -> None:
    before = scored(case("a", answer("posts"), answer(), measures={"posts": 2.0}), case("b", measures={"posts": 4.0}))
    after = scored(case("a", measures={"posts": 1.0}), case("b", answer(outcome="refusal"), answer(), measures={"posts": 1.0}))
    found = {measure.name: difference(measure, before, after) for measure in measures_of([before, after])}
    verdicts = {name: each.verdict for name, each in found.items()}
    assert (
        verdicts
        | {
            "first_pass_rate": "same",
            "unusable.refusal": "worse",
            "rules.posts": "better",
            "measures.posts": "",
            "cost_usd": "same",
        }
        == verdicts
    )
    assert (found["measures.posts"].before, found["measures.posts"].after, found["measures.posts"].change) == (3, 1, -2)
    assert changed_cases(before, after) == (["a"], ["b"])


def test_a_case_that_fails_is_worse_than_any_that_passes() -> None:
    slow, failed, quick = case("a", *[answer()] * 4), case("a", answer(outcome="filtered"), passes=False), case("a")
    assert changed_cases(scored(slow), scored(failed)) == ([], ["a"])
    assert changed_cases(scored(slow), scored(quick)) == (["a"], [])
    assert changed_cases(scored(slow), scored(slow)) == ([], [])


@pytest.mark.parametrize(("before", "after", "verdict"), [(0.5, 0.75, "better"), (0.75, 0.5, "worse"), (0.5, 0.5, "same")])
def test_more_cases_within_the_rules_are_better(before: float, after: float, verdict: str) -> None:
    def version(rate: float) -> Scores:
        return scored(*(case(str(number), passes=number < 4 * rate) for number in range(4)))

    rate = next(measure for measure in measures_of([version(before)]) if measure.name == "pass_rate")
    assert difference(rate, version(before), version(after)).verdict == verdict
