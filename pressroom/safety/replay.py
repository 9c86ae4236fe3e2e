"""Stored signals under another policy: what would be different. No detector is asked."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from pressroom.records import Coverage, Outcome, Record, Signal, Trigger
from pressroom.safety.judging import Judgement, judge
from pressroom.safety.policy import Policy

Kind = Literal["appeared", "vanished", "moved", "severity", "action"]


class Change(Record):
    """One trigger that is different. `before` is None where it appeared, `after` where it vanished."""

    kinds: tuple[Kind, ...]
    code: str
    before: Trigger | None = None
    after: Trigger | None = None


class Comparison(Record):
    """What two policies make of one video."""

    changes: tuple[Change, ...]
    before: Outcome
    after: Outcome
    same: int = 0  # triggers that are the same under both

    @property
    def is_same(self) -> bool:
        return not self.changes and self.before == self.after


@dataclass(frozen=True)
class Screened:
    """What was found in one video, as it is stored."""

    video: str
    duration_ms: int
    signals: tuple[Signal, ...]
    coverages: tuple[Coverage, ...]


def compare(before: Judgement, after: Judgement) -> Comparison:
    """The changes of triggers and outcome, by time. Two triggers are one when they have the same code and share time: the pair that
    shares most first, so that of a trigger that falls into two, one moved and one appeared."""
    pairs = _paired(before[0], after[0])
    changes = [Change(kinds=kinds, code=old.code, before=old, after=new) for old, new in pairs if (kinds := _kinds(old, new))]
    old_paired, new_paired = {old.number for old, _ in pairs}, {new.number for _, new in pairs}
    changes += [Change(kinds=("vanished",), code=one.code, before=one) for one in before[0] if one.number not in old_paired]
    changes += [Change(kinds=("appeared",), code=one.code, after=one) for one in after[0] if one.number not in new_paired]
    ordered = sorted(changes, key=_order)
    same = sum(not _kinds(old, new) for old, new in pairs)
    return Comparison(changes=tuple(ordered), before=before[1].outcome, after=after[1].outcome, same=same)


def replay(stored: Iterable[Screened], before: Policy, after: Policy) -> Iterator[tuple[str, Comparison]]:
    """Each video with what is different under `after`."""
    for video in stored:
        old, new = (judge(video.signals, video.coverages, one, video.duration_ms) for one in (before, after))
        yield video.video, compare(old, new)


def moves(comparisons: Iterable[Comparison]) -> Counter[tuple[Outcome, Outcome]]:
    """How many videos went from which outcome to which."""
    return Counter((one.before, one.after) for one in comparisons)


def _paired(before: Sequence[Trigger], after: Sequence[Trigger]) -> list[tuple[Trigger, Trigger]]:
    by_code: dict[str, list[Trigger]] = defaultdict(list)
    for trigger in sorted(after, key=lambda one: one.start_ms):
        by_code[trigger.code].append(trigger)
    reach = {code: list(accumulate((one.end_ms for one in found), max)) for code, found in by_code.items()}  # how far all up to here go
    shared = []
    for old in before:
        found = by_code[old.code]
        first = bisect_right(reach.get(old.code, ()), old.start_ms)
        last = bisect_left(found, old.end_ms, key=lambda one: one.start_ms)
        shared += [(ms, old, new) for new in found[first:last] if (ms := _shared_ms(old, new)) > 0]
    # What both begin and end at decides between equals, so that a comparison the other way round pairs the same.
    shared.sort(key=lambda one: (-one[0], _apart_ms(one[1], one[2]), one[1].start_ms + one[2].start_ms, one[1].number + one[2].number))
    pairs, old_taken, new_taken = [], set(), set()
    for _, old, new in shared:
        if old.number not in old_taken and new.number not in new_taken:
            pairs.append((old, new))
            old_taken.add(old.number)
            new_taken.add(new.number)
    return pairs


def _shared_ms(one: Trigger, other: Trigger) -> int:
    return min(one.end_ms, other.end_ms) - max(one.start_ms, other.start_ms)


def _apart_ms(one: Trigger, other: Trigger) -> int:
    return abs(one.start_ms - other.start_ms) + abs(one.end_ms - other.end_ms)


def _kinds(old: Trigger, new: Trigger) -> tuple[Kind, ...]:
    kinds: list[Kind] = []
    if (old.start_ms, old.end_ms) != (new.start_ms, new.end_ms):
        kinds.append("moved")
    if old.severity != new.severity:
        kinds.append("severity")
    if old.action != new.action:
        kinds.append("action")
    return tuple(kinds)


def _order(change: Change) -> tuple[int, str, tuple[Kind, ...], int]:
    trigger = change.after or change.before
    assert trigger is not None
    return trigger.start_ms, change.code, change.kinds, trigger.number
