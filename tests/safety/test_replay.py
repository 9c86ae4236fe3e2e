"""What another policy would have made of the same signals."""

from hypothesis import given
from hypothesis import strategies as st

from pressroom.records import Trigger, Verdict
from pressroom.safety.judging import judge
from pressroom.safety.policy import policy
from pressroom.safety.replay import Screened, compare, moves, replay
from tests.safety.samples import DURATION, all_looked, policy_of, risk, signal

CLEAR = Verdict(outcome="clear", why="", policy="test")


@st.composite
def triggers(draw: st.DrawFn) -> tuple[Trigger, ...]:
    found = []
    for number in range(1, draw(st.integers(0, 6)) + 1):
        start = draw(st.integers(0, 20))
        fields = {
            "code": draw(st.sampled_from("AB")),
            "severity": draw(st.integers(1, 2)),
            "action": draw(st.sampled_from(("review", "block"))),
        }
        times = {"start_ms": start, "end_ms": start + draw(st.integers(1, 8))}
        rest = {"number": number, "title": "", "modality": "visual", "detectors": (), "evidence": (), "rule": ""}
        found.append(Trigger.model_validate(fields | times | rest))
    return tuple(found)


@given(triggers())
def test_a_judgement_is_the_same_as_itself(found: tuple[Trigger, ...]) -> None:
    comparison = compare((found, CLEAR), (found, CLEAR))
    assert comparison.is_same
    assert comparison.same == len(found)


@given(triggers(), triggers())
def test_every_trigger_of_both_is_said_once(before: tuple[Trigger, ...], after: tuple[Trigger, ...]) -> None:
    comparison = compare((before, CLEAR), (after, CLEAR))
    old = [one.before.number for one in comparison.changes if one.before]
    new = [one.after.number for one in comparison.changes if one.after]
    assert len(set(old)) == len(old) == len(before) - comparison.same
    assert len(set(new)) == len(new) == len(after) - comparison.same
    for change in comparison.changes:
        assert (change.before is None) == (change.kinds == ("appeared",))
        assert (change.after is None) == (change.kinds == ("vanished",))


@given(triggers(), triggers())
def test_the_other_way_round_what_appeared_has_vanished(before: tuple[Trigger, ...], after: tuple[Trigger, ...]) -> None:
    there, back = compare((before, CLEAR), (after, CLEAR)), compare((after, CLEAR), (before, CLEAR))
    assert there.same + len(there.changes) == back.same + len(back.changes)
    assert sum("appeared" in one.kinds for one in there.changes) == sum("vanished" in one.kinds for one in back.changes)


def test_a_policy_that_is_changed_says_what_appeared_vanished_moved_and_became_another_action() -> None:
    found = [
        signal("objects", "gun", 0, 1_000, 0.9),
        signal("objects", "gun", 1_500, 2_500, 0.55, number=2),
        signal("objects", "knife", 10_000, 11_000, 0.65, number=3),
        signal("objects", "beer", 20_000, 21_000, 0.9, number=4),
        signal("objects", "blood", 30_000, 31_000, 0.9, number=5),
    ]

    def one(code: str, label: str, threshold: float, **more: object) -> dict[str, object]:
        return risk(code, detectors=[{"id": "objects", "label": label, "threshold": threshold}], **more)

    before = policy_of(one("GUN", "gun", 0.5), one("KNIFE", "knife", 0.6), one("BEER", "beer", 0.95), one("BLOOD", "blood", 0.5))
    after = policy_of(
        one("GUN", "gun", 0.7),
        one("KNIFE", "knife", 0.7),
        one("BEER", "beer", 0.5),
        one("BLOOD", "blood", 0.5, severity=3, default_action="block"),
    )
    ((video, comparison),) = replay([Screened("clip", DURATION, tuple(found), all_looked())], before, after)
    assert video == "clip"
    assert [(change.code, change.kinds) for change in comparison.changes] == [
        ("GUN", ("moved",)),
        ("KNIFE", ("vanished",)),
        ("BEER", ("appeared",)),
        ("BLOOD", ("severity", "action")),
    ]
    assert moves([comparison]) == {("review", "block"): 1}


def test_two_hours_with_twenty_thousand_signals_are_judged_and_compared() -> None:
    """The time is printed by `pytest -s`, and not tested."""
    import random
    import time

    rng, hour = random.Random(1), 3_600_000
    labels = [(one.id, one.label) for each in policy().risks.risks for one in each.detectors] + [("objects", "cat")] * 40
    found = []
    for number in range(20_000):
        detector, label = rng.choice(labels)
        start = rng.randrange(2 * hour)
        found.append(signal(detector, label, start, start + rng.randrange(1, 2_000), rng.random(), number=number))
    begun = time.perf_counter()
    before = judge(found, all_looked(), policy(), 2 * hour)
    judged = time.perf_counter()
    comparison = compare(before, judge(found, all_looked(), policy("strict"), 2 * hour))
    print(f"\n20,000 signals: judged in {judged - begun:.2f} s, replayed and compared in {time.perf_counter() - judged:.2f} s")
    assert len(before[0]) > 1_000
    assert comparison.changes
