"""How good detectors and reviewers are, by what people said: precision per risk code, agreement of two reviews."""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from pressroom.records import Record
from pressroom.store import review as stored


class Precision(Record):
    """How often the detectors were right about a risk code, by the labels of decided first reviews.

    `precision` is confirmed / (confirmed + rejected), None before there is either. A wrong time or code and what was missed are counted
    beside it: neither a full hit nor a false alarm.
    """

    code: str
    confirmed: int = 0
    rejected: int = 0
    wrong_time: int = 0
    wrong_code: int = 0
    missed: int = 0
    precision: float | None = None


class Agreement(Record):
    """How often two reviews, the second blind, said the same. `kappa` is None where chance alone would make them agree, or nothing is."""

    of: str
    pairs: int
    same: int
    fraction: float | None
    kappa: float | None


_FIELDS = {"confirm": "confirmed", "reject": "rejected"}  # the other kinds of label are called as they are


def precision_by_code(counts: Iterable[tuple[str, str, int]]) -> list[Precision]:
    """Precision of every code in `counts`, as (code, kind of label, labels), by code."""
    by_code: dict[str, Counter[str]] = {}
    for code, kind, number in counts:
        by_code.setdefault(code, Counter())[_FIELDS.get(kind, kind)] += number
    found = []
    for code, fields in sorted(by_code.items()):
        judged = fields["confirmed"] + fields["rejected"]
        found.append(Precision(code=code, precision=fields["confirmed"] / judged if judged else None, **fields))
    return found


def agreement(of: str, pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Percentage agreement and Cohen's kappa of two ratings of the same things, each given as (first, second).

    Kappa = (p_o - p_e) / (1 - p_e): agreement beyond what the two reviews' own frequencies would give by chance; the first review
    counts as one rater and the second as the other, whoever the people were. Source: Cohen, "A Coefficient of Agreement for Nominal
    Scales", 1960. With few pairs, or nearly all of one kind, read the percentage.
    """
    same = sum(first == second for first, second in pairs)
    if not pairs:
        return Agreement(of=of, pairs=0, same=0, fraction=None, kappa=None)
    firsts, seconds = (Counter(side) for side in zip(*pairs, strict=True))
    chance = sum(firsts[kind] * seconds[kind] for kind in firsts)  # times len(pairs) squared
    total = len(pairs) ** 2
    kappa = None if chance == total else (same * len(pairs) - chance) / (total - chance)
    return Agreement(of=of, pairs=len(pairs), same=same, fraction=same / len(pairs), kappa=kappa)


def precision(session: Session, account_id: uuid.UUID) -> list[Precision]:
    """Precision of every risk code that people of the account labelled."""
    return precision_by_code(stored.label_counts(session, account_id))


def agreements(session: Session, account_id: uuid.UUID) -> list[Agreement]:
    """Agreement of first and second reviews, on verdicts and on the kind of label that each trigger got."""
    found = {"verdicts": stored.verdict_pairs(session, account_id), "labels": stored.label_pairs(session, account_id)}
    return [agreement(of, pairs) for of, pairs in found.items()]
