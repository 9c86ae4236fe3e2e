"""Labels, verdicts and what follows from them: each in one transaction, and measured afterwards."""

import uuid

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from pressroom.errors import BadInput, Blocked
from pressroom.review.labels import Remark, add_labels, withdraw_label
from pressroom.review.measures import agreement, agreements, precision, precision_by_code
from pressroom.review.tasks import Conflict, Person, claim, claim_one, may_read
from pressroom.review.verdicts import appeal, decide, is_sampled, pending_verdicts, verdict_done
from pressroom.store import review as stored
from pressroom.store.engine import Store
from pressroom.store.review import Decision, Task
from pressroom.store.tables import AuditRow, LabelRow, OutboxRow, VerdictRow
from tests.review.desk import ACCOUNT, ANA, BEN, CLEO, CODES, DURATION_MS, a_trigger, task_opened

TWO = (a_trigger(), a_trigger(2, code="LANG.PROFANITY", severity=1, start_ms=5000, end_ms=5400))


def held_by(store: Store, person: Person, task: Task) -> Task:
    with store.transaction() as session:
        return claim_one(session, task.id, person)


def say(store: Store, task: Task, person: Person, *remarks: Remark) -> Task:
    with store.transaction() as session:
        return add_labels(session, task.id, person, remarks, codes=CODES)


def decided(store: Store, task: Task, person: Person, verdict: Decision, *remarks: Remark, second_reviews: float = 0) -> stored.Ruling:
    held_by(store, person, task)
    say(store, task, person, *remarks)
    with store.transaction() as session:
        return decide(session, task.id, person, verdict, "looked at it", second_reviews=second_reviews)


def count(store: Store, table: type) -> int:
    with store.transaction() as session:
        return session.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


REFUSED = [
    (Remark(kind="confirm", trigger=3), "trigger 3: no trigger has this number; there are 1 to 2"),
    (Remark(kind="confirm"), "confirm needs the number of a trigger"),
    (Remark(kind="reject", trigger=1), "reject of trigger 1 needs a reason"),
    (Remark(kind="reject", trigger=1, reason="x" * 2001), "1 to 2,000 characters"),
    (Remark(kind="wrong_code", trigger=1, code="NO.SUCH"), "not 'NO.SUCH'; known are CHILD.SAFETY, CLAIM"),
    (Remark(kind="wrong_code", trigger=1, code="VIO.WEAPON"), "its code is VIO.WEAPON already"),
    (Remark(kind="wrong_code", trigger=1), "wrong_code needs a risk code; known are"),
    (Remark(kind="wrong_time", trigger=1), "needs a range inside the video"),
    (Remark(kind="wrong_time", trigger=1, start_ms=0, end_ms=DURATION_MS + 1), "inside the video"),
    (Remark(kind="wrong_time", trigger=1, start_ms=20, end_ms=20), "the start before the end"),
    (Remark(kind="wrong_time", trigger=1, start_ms=-1, end_ms=20), "not -1 to 20 ms"),
    (Remark(kind="wrong_time", trigger=1, start_ms=1000, end_ms=3000), "the range that it has already"),
    (Remark(kind="missed", trigger=1, code="GAMB", start_ms=0, end_ms=9), "has no number yet"),
    (Remark(kind="missed", code="GAMB"), "needs a range"),
]


def test_a_label_that_says_nothing_true_of_the_video_is_refused_with_all_beside_it(store: Store) -> None:
    task = task_opened(store, triggers=TWO)
    held_by(store, ANA, task)
    for remark, problem in REFUSED:
        with pytest.raises(BadInput, match=problem):
            say(store, task, ANA, Remark(kind="confirm", trigger=2), remark)
    assert count(store, LabelRow) == 0


def test_a_later_label_supersedes_an_earlier_one_and_both_are_kept(store: Store) -> None:
    task = task_opened(store, triggers=TWO)
    held_by(store, ANA, task)
    say(store, task, ANA, Remark(kind="confirm", trigger=1))
    before = say(store, task, ANA, Remark(kind="wrong_time", trigger=1, start_ms=500, end_ms=900))
    again = say(store, task, ANA, Remark(kind="wrong_time", trigger=1, start_ms=500, end_ms=900))
    assert again.version == before.version, "saying the same twice is saying it once"
    assert count(store, LabelRow) == 2
    with store.transaction() as session:
        (label,) = stored.labels_of(session, task.id)
        changes = [entry for entry in stored.read_log(session, ACCOUNT) if entry.what == "labelled"]
    assert (label.kind, label.code, label.start_ms, label.end_ms) == ("wrong_time", "VIO.WEAPON", 500, 900)
    assert changes[1].before
    assert changes[1].after
    assert (changes[1].before["kind"], changes[1].after["kind"]) == ("confirm", "wrong_time")


def test_what_was_said_to_be_missed_can_be_taken_back(store: Store) -> None:
    task = task_opened(store, triggers=TWO)
    held_by(store, ANA, task)
    say(
        store,
        task,
        ANA,
        Remark(kind="missed", code="GAMB", start_ms=0, end_ms=900),
        Remark(kind="missed", code="GAMB", start_ms=5, end_ms=9),
    )
    with store.transaction() as session:
        first, second = stored.labels_of(session, task.id)
        with pytest.raises(BadInput, match="no label that stands"):
            withdraw_label(session, task.id, ANA, "00000000")
        withdraw_label(session, task.id, ANA, str(first.id)[:8])
        assert stored.labels_of(session, task.id) == (second,)
    assert count(store, LabelRow) == 2


def test_a_verdict_needs_a_label_of_every_severe_trigger_and_a_reason(store: Store) -> None:
    task = task_opened(store, triggers=TWO)
    held_by(store, ANA, task)
    with store.transaction() as session, pytest.raises(BadInput, match=r"without one: 1$"):
        decide(session, task.id, ANA, "approved", "looks fine")
    say(store, task, ANA, Remark(kind="reject", trigger=1, reason="a toy"))
    with store.transaction() as session:
        with pytest.raises(BadInput, match="a verdict needs a reason"):
            decide(session, task.id, ANA, "approved", "")
        decide(session, task.id, ANA, "approved", "a toy knife only")
    assert count(store, VerdictRow) == 1


def test_a_verdict_waits_for_its_final_decision_exactly_once(store: Store) -> None:
    task = task_opened(store, triggers=TWO)
    ruling = decided(store, task, ANA, "rejected", Remark(kind="confirm", trigger=1))
    with store.transaction() as session:
        (waiting,) = pending_verdicts(session)
        assert (waiting.verdict_id, waiting.video, waiting.verdict, waiting.author) == (ruling.id, task.video, "rejected", "ana")
        assert verdict_done(session, waiting.outbox_id)
        assert not verdict_done(session, waiting.outbox_id)
        assert pending_verdicts(session) == []
        assert stored.read_task(session, task.id).state == "decided"


def test_a_verdict_is_whole_or_not_at_all(store: Store) -> None:
    """The process dies after the last statement and before the commit."""
    task = task_opened(store)
    held_by(store, ANA, task)
    logged = count(store, AuditRow)
    with store.transaction() as session:
        decide(session, task.id, ANA, "approved", "nothing in it", second_reviews=1)
        session.flush()
        session.rollback()
    assert (count(store, VerdictRow), count(store, OutboxRow), count(store, AuditRow)) == (0, 0, logged)
    with store.transaction() as session:
        assert stored.read_task(session, task.id).state == "claimed"


def test_a_decided_task_takes_nothing_more(store: Store) -> None:
    task = task_opened(store, triggers=TWO)
    decided(store, task, ANA, "rejected", Remark(kind="confirm", trigger=1))
    with store.transaction() as session:
        with pytest.raises(Conflict, match=r"approved \(no\)\. Now: version 4, decided, labels: 1 confirm \(ana\)"):
            decide(session, task.id, ANA, "approved", "no")
        with pytest.raises(Conflict):
            claim_one(session, task.id, BEN)


def test_a_second_review_is_by_another_person_who_sees_nothing_of_the_first(store: Store) -> None:
    task = task_opened(store, triggers=TWO)
    decided(store, task, ANA, "rejected", Remark(kind="confirm", trigger=1), second_reviews=1)
    with store.transaction() as session:
        assert claim(session, ACCOUNT, ANA) is None
        (second,) = stored.list_tasks(session, ACCOUNT)
        with pytest.raises(Blocked, match="looks anew at what ana worked on"):
            claim_one(session, second.id, ANA)
        got = claim(session, ACCOUNT, BEN)
        assert got
        case = stored.read_case(session, got.id)
        with pytest.raises(Blocked, match="holds its blind second review"):
            may_read(session, stored.read_task(session, task.id), BEN)
    assert (got.round, case.labels, case.ruling) == (2, (), None)
    decided(store, got, BEN, "approved", Remark(kind="reject", trigger=1, reason="a toy"), second_reviews=1)
    with store.transaction() as session:
        assert len(pending_verdicts(session)) == 1, "a second look decides nothing"
        assert stored.list_tasks(session, ACCOUNT) == []
        verdicts, labels = agreements(session, ACCOUNT)
    assert (verdicts.pairs, verdicts.same, labels.pairs, labels.same) == (1, 0, 1, 0)


def test_who_only_labelled_in_the_first_round_does_not_review_it_either(store: Store) -> None:
    task = task_opened(store, triggers=TWO)
    held_by(store, BEN, task)
    say(store, task, BEN, Remark(kind="confirm", trigger=1))
    with store.transaction() as session:
        stored.lock_task(session, task.id).lease_until = stored.clock(session)
    decided(store, task, ANA, "rejected", second_reviews=1)
    with store.transaction() as session:
        assert claim(session, ACCOUNT, BEN) is None
        assert claim(session, ACCOUNT, CLEO)


def test_an_appeal_is_a_new_look_by_another_person_and_its_verdict_names_the_old_one(store: Store) -> None:
    task = task_opened(store)
    with store.transaction() as session, pytest.raises(Blocked, match="is open: only a verdict can be appealed against"):
        appeal(session, task.id, CLEO, "unfair")
    first = decided(store, task, ANA, "rejected", second_reviews=1)
    with store.transaction() as session:
        opened = appeal(session, task.id, CLEO, "the knife is made of rubber")
        assert appeal(session, task.id, CLEO, "again").id == opened.id
        assert (opened.round, opened.priority) == (3, True)
        with pytest.raises(Blocked):
            claim_one(session, opened.id, ANA)
    decided(store, opened, BEN, "approved")
    with store.transaction() as session:
        assert [waiting.appeal_of for waiting in pending_verdicts(session)] == [None, first.id]
        standing = stored.standing_verdict(session, task.video_id, task.policy)
    assert standing
    assert standing.verdict == "approved"


def test_precision_counts_what_people_said_of_each_code(store: Store) -> None:
    for number, kind in enumerate(("confirm", "confirm", "reject")):
        task = task_opened(store, f"video {number}", triggers=TWO)
        missed = Remark(kind="missed", code="GAMB", start_ms=0, end_ms=9)
        wrong = Remark(kind="wrong_code", trigger=2, code="GAMB")
        decided(store, task, ANA, "rejected", Remark(kind=kind, trigger=1, reason="seen"), missed, wrong)
    undecided = task_opened(store, "undecided", triggers=TWO)
    held_by(store, ANA, undecided)
    say(store, undecided, ANA, Remark(kind="reject", trigger=1, reason="not final"))
    with store.transaction() as session:
        gambling, language, weapons = precision(session, ACCOUNT)
    assert (gambling.code, gambling.missed, gambling.precision) == ("GAMB", 3, None)
    assert (language.code, language.wrong_code) == ("LANG.PROFANITY", 3), "a wrong code is counted under the code that the detectors gave"
    assert (weapons.confirmed, weapons.rejected, weapons.precision) == (2, 1, pytest.approx(2 / 3))


KINDS = st.sampled_from(["confirm", "reject", "wrong_time", "wrong_code", "missed"])


@given(st.lists(st.tuples(st.sampled_from(["A", "B"]), KINDS, st.integers(0, 50))))
def test_precision_is_a_share_and_no_label_goes_missing_in_it(counts: list[tuple[str, str, int]]) -> None:
    found = precision_by_code(counts)
    assert sum(f.confirmed + f.rejected + f.wrong_time + f.wrong_code + f.missed for f in found) == sum(n for *_, n in counts)
    assert all(f.precision is None or 0 <= f.precision <= 1 for f in found)


VERDICTS = st.sampled_from(["approved", "rejected", "changes_needed"])


@given(st.lists(st.tuples(VERDICTS, VERDICTS)))
def test_kappa_is_one_for_the_same_never_above_and_blind_to_who_is_first(pairs: list[tuple[str, str]]) -> None:
    found = agreement("verdicts", pairs)
    assert found.kappa is None or -1 <= found.kappa <= 1
    if found.kappa is not None:
        assert (found.kappa == 1) == (found.same == found.pairs)
        swapped = agreement("verdicts", [(second, first) for first, second in pairs])
        assert swapped.kappa == pytest.approx(found.kappa)


def test_kappa_agrees_with_the_textbook() -> None:
    """50 grant proposals, the worked example that most texts on kappa have: p_o = 0.7, p_e = 0.5."""
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    found = agreement("verdicts", pairs)
    assert (found.fraction, found.kappa) == (pytest.approx(0.7), pytest.approx(0.4))


@given(st.uuids(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_sample_holds_the_smaller_one(video: uuid.UUID, one: float, other: float) -> None:
    assert is_sampled(video, min(one, other)) <= is_sampled(video, max(one, other))
    assert not is_sampled(video, 0)
    assert is_sampled(video, 1)


def test_the_sample_is_as_large_as_was_asked_for() -> None:
    sampled = sum(is_sampled(uuid.uuid5(uuid.NAMESPACE_DNS, str(number)), 0.05) for number in range(20_000))
    assert 900 < sampled < 1100
