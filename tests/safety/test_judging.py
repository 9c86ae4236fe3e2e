"""Signals become triggers, and triggers with coverage the outcome."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pressroom.records import Coverage, Signal, Trigger
from pressroom.safety.judging import EVIDENCE, judge
from pressroom.safety.policy import policy
from tests.safety.samples import DURATION, all_looked, looked, policy_of, risk, signal

POLICY = policy_of(
    risk("A", min_duration_s=1, default_action="block"),
    risk("B", detectors=[{"id": "objects", "label": "g*", "threshold": 0.3}, {"id": "transcript", "label": "word", "threshold": 0.3}]),
    risk("C", default_action="escalate", merge_gap_s=0, detectors=[{"id": "violence", "label": "fight", "threshold": 0.6}]),
    risk("D", default_action="pass", detectors=[{"id": "nudity", "label": "beach", "threshold": 0.6}]),
    required=[{"detector": "objects", "min_coverage": 0.9}, {"detector": "transcript", "min_coverage": 0.5, "max_gap_s": 5}],
    trust=[{"detector": "transcript", "level": "low"}],
    accept_unscored=["violence"],
)
LABELS = (("objects", "gun"), ("objects", "glove"), ("transcript", "word"), ("violence", "fight"), ("nudity", "beach"), ("nudity", "S4"))


@st.composite
def signals(draw: st.DrawFn, labels: tuple[tuple[Any, str], ...] = LABELS) -> list[Signal]:
    found = []
    for number in range(draw(st.integers(0, 8))):
        detector, label = draw(st.sampled_from(labels))
        start = draw(st.integers(-5, 65)) * 1000
        length = draw(st.sampled_from((-500, 0, 1, 400, 1000, 3000)))
        score = draw(st.none() | st.integers(0, 10).map(lambda tenths: tenths / 10))
        found.append(signal(detector, label, start, start + length, score, number=number, frame=number))
    return found


@st.composite
def coverages(draw: st.DrawFn) -> list[Coverage]:
    states = st.sampled_from(("analysed", "failed", "skipped", "unsupported"))
    return [
        looked(
            detector, draw(st.sampled_from((0.0, 0.4, 0.6, 0.95, 1.0))), state=draw(states), largest_gap_s=draw(st.none() | st.floats(0, 9))
        )
        for detector in draw(st.lists(st.sampled_from(("objects", "transcript", "violence")), unique=True))
    ]


def stricter(by: float) -> Any:
    document = POLICY.model_dump()
    for each in document["risks"]["risks"]:
        for finding in each["detectors"]:
            finding["threshold"] = min(1, finding["threshold"] + by)
    return type(POLICY).model_validate(document)


def inside(inner: Trigger, outer: Trigger) -> bool:
    return inner.code == outer.code and outer.start_ms <= inner.start_ms and inner.end_ms <= outer.end_ms


@given(signals(), coverages(), st.randoms(use_true_random=False))
def test_the_order_of_signals_and_coverages_does_not_matter(found: list[Signal], seen: list[Coverage], rng: random.Random) -> None:
    judged = judge(found, seen, POLICY, DURATION)
    for one in (found, seen):
        rng.shuffle(one)
    assert judge(found, seen, POLICY, DURATION) == judged


@given(signals(), st.sampled_from((0.05, 0.1, 0.3, 0.6)))
def test_a_stricter_threshold_never_adds_a_trigger(found: list[Signal], by: float) -> None:
    """What is left lies inside what was there. (One trigger may become two: the finding that joined them counts no more.)"""
    before, after = (judge(found, all_looked(), one, DURATION) for one in (POLICY, stricter(by)))
    assert all(any(inside(new, old) for old in before[0]) for new in after[0])
    order = ("clear", "incomplete", "review", "block")
    assert order.index(after[1].outcome) <= order.index(before[1].outcome)


@given(signals(), coverages())
def test_clear_means_that_every_required_detector_has_looked_at_enough(found: list[Signal], seen: list[Coverage]) -> None:
    triggers, verdict = judge([one for one in found if one.score is not None], seen, POLICY, DURATION)
    by_name = {one.detector: one for one in seen}
    enough = [
        (one := by_name.get(each.detector)) is not None
        and one.state == "analysed"
        and one.fraction >= each.min_coverage
        and (each.max_gap_s is None or (one.largest_gap_s or 0) <= each.max_gap_s)
        for each in POLICY.required
    ]
    counting = [one for one in triggers if one.action != "pass"]
    assert (verdict.outcome == "clear") == (all(enough) and not counting)
    assert (verdict.outcome == "incomplete") == (not all(enough) and not counting)
    for one in seen:
        assert any(line.startswith(f"{one.detector}:") for line in verdict.not_analysed) == (one.state != "analysed" or one.fraction < 1)


@given(signals())
def test_triggers_lie_inside_the_video_and_lead_back_to_their_signals(found: list[Signal]) -> None:
    triggers, _ = judge(found, [], POLICY, DURATION)
    assert [one.number for one in triggers] == list(range(1, len(triggers) + 1))
    by_number = {one.number: one for one in found}
    for trigger in triggers:
        assert 0 <= trigger.start_ms < trigger.end_ms <= DURATION
        assert trigger.evidence
        assert all(trigger.start_ms <= one.at_ms < trigger.end_ms for one in trigger.evidence)
        assert all(by_number[one.signal].label == one.label for one in trigger.evidence)
        scores = [one.score for one in trigger.evidence if one.score is not None]
        assert trigger.peak == max(scores, default=None)
        assert set(trigger.detectors) == {one.detector for one in trigger.evidence}


@given(signals())
def test_a_finding_without_score_counts_only_where_the_policy_accepts_it(found: list[Signal]) -> None:
    scored = [one for one in found if one.score is not None or one.detector == "violence"]
    assert judge(found, [], POLICY, DURATION)[0] == judge(scored, [], POLICY, DURATION)[0]


@given(signals(), signals((("transcript", "word"), ("transcript", "gun"))))
def test_findings_of_low_trust_never_make_a_block(found: list[Signal], heard: list[Signal]) -> None:
    """Neither by themselves nor by the time that they add to a finding that is trusted but too short."""
    own = policy_of(
        risk(
            "A",
            min_duration_s=2,
            default_action="block",
            detectors=[{"id": one, "label": "*", "threshold": 0.3} for one in ("objects", "transcript")],
        ),
        trust=[{"detector": "transcript", "level": "low"}],
    )
    sure = [one for one in found if one.detector == "objects"]
    with_heard = judge(sure + heard, [], own, DURATION)[1]
    assert (with_heard.outcome == "block") == (judge(sure, [], own, DURATION)[1].outcome == "block")


def test_findings_closer_than_the_gap_are_one_trigger_and_a_short_one_is_dropped() -> None:
    found = [signal("objects", "gun", at, at + 500, number=at) for at in (0, 1_000, 2_900, 10_000)]
    triggers, _ = judge(found, [], policy_of(risk("A", min_duration_s=1)), DURATION)
    assert [(one.start_ms, one.end_ms) for one in triggers] == [(0, 3_400)]
    assert triggers[0].rule == "objects 'gun' from 0.5; for 1 s or longer; 3 findings less than 2 s apart"
    exactly = [signal("objects", "gun", 0, 500), signal("objects", "gun", 2_500, 3_000)]
    assert len(judge(exactly, [], policy_of(risk("A")), DURATION)[0]) == 2, "two seconds apart is not closer than two seconds"


def test_a_frame_speaks_for_its_span_and_a_short_video_is_long_enough_for_itself() -> None:
    own = policy_of(risk("A", min_duration_s=1))
    assert judge([signal("objects", "gun", 4_000, 6_000, frame=2)], [], own, DURATION)[0][0].evidence[0].frame == 2
    assert judge([signal("objects", "gun", 4_000, 4_000, frame=2)], [], own, DURATION)[0] == ()
    (only,), _ = judge([signal("objects", "gun", 0, 400)], [], own, 400)
    assert (only.start_ms, only.end_ms) == (0, 400)


def test_child_safety_is_escalated_to_its_role_whatever_else_was_found() -> None:
    own = policy_of(risk("A", default_action="block"), people_only={"CHILD.SAFETY": "owner"}, escalate_to="admin")
    found = [signal("objects", "gun", 0, 5_000), signal("nudity", "S4", 0, 2_000, 0.99)]
    triggers, verdict = judge(found, all_looked(), own, DURATION)
    assert {one.code: one.action for one in triggers} == {"A": "block", "CHILD.SAFETY": "escalate"}
    assert (verdict.outcome, verdict.priority, verdict.role) == ("block", True, "owner")
    alone = judge(found[1:], all_looked(), own, DURATION)[1]
    assert (alone.outcome, alone.role) == ("review", "owner")


def test_a_machine_without_hosted_models_never_says_clear() -> None:
    """The shipped policy, with all that runs on the device and nothing found."""
    seen = [looked("transcript"), looked("screen_text"), looked("flagged_terms"), looked("picture"), looked("sound")]
    seen += [looked("objects", 0, state="unsupported", reason="no hosted model is set")]
    triggers, verdict = judge([], seen, policy(), DURATION)
    assert (triggers, verdict.outcome) == ((), "incomplete")
    assert "not enough was looked at by objects, nudity and violence" in verdict.why
    assert any("no hosted model is set" in line for line in verdict.not_analysed)
    assert "nudity: did not run" in verdict.not_analysed
    assert verdict.not_analysed[-1].startswith("no detector looked for SEX.EXPLICIT, ")
    assert "LANG.PROFANITY" not in verdict.not_analysed[-1]


def test_findings_in_the_title_are_a_trigger_of_their_own() -> None:
    own = policy_of(risk("A", modality="speech", detectors=[{"id": "flagged_terms", "label": "scam", "threshold": 0.5}]))
    found = [
        signal("flagged_terms", "scam", 0, DURATION, version="terms-1/title", text="Free bitcoin"),
        signal("flagged_terms", "scam", 5_000, 6_000, number=2, version="terms-1/transcript/whisper", text="free bitcoin"),
    ]
    triggers, _ = judge(found, [], own, DURATION)
    assert [(one.start_ms, one.end_ms, one.modality) for one in triggers] == [(0, DURATION, "text"), (5_000, 6_000, "speech")]


def test_flagged_words_are_trusted_as_far_as_the_text_they_were_found_in() -> None:
    own = policy_of(
        risk("A", default_action="block", detectors=[{"id": "flagged_terms", "label": "hate", "threshold": 0.5}]),
        trust=[{"detector": "transcript", "version": "*whisper*", "level": "high"}, {"detector": "transcript", "level": "low"}],
    )

    def outcome(version: str) -> str:
        return judge([signal("flagged_terms", "hate", 0, 1_000, version=version)], all_looked(), own, DURATION)[1].outcome

    assert outcome("terms-1/transcript/pocketsphinx-5.1/en-us") == "review"
    assert outcome("terms-1/transcript/openai/whisper:8099") == "block"
    assert outcome("terms-1/screen_text/rapidocr") == "block"


def test_a_trigger_of_thousands_of_frames_shows_the_best_of_each_detector() -> None:
    found = [signal("objects", "gun", at, at + 1, 0.9, number=at) for at in range(2_000)] + [signal("violence", "gun", 500, 600, 0.6)]
    own = policy_of(risk("A", detectors=[{"id": one, "label": "gun", "threshold": 0.5} for one in ("objects", "violence")]))
    (only,), _ = judge(found, [], own, DURATION)
    assert len(only.evidence) == EVIDENCE
    assert {one.detector for one in only.evidence} == {"objects", "violence"}
    assert only.rule.endswith("2,001 findings less than 2 s apart, the best 50 shown")
