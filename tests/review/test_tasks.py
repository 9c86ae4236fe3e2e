"""Tasks are opened once, taken by one person at a time, and nothing that a person did is lost when they change hands."""

import datetime as dt
import threading
import time

import pytest
import sqlalchemy as sa

from pressroom.errors import BadInput, Blocked
from pressroom.review.heartbeat import Heartbeat
from pressroom.review.labels import Remark, add_labels
from pressroom.review.tasks import Conflict, Person, claim, claim_one, escalate, open_task, release, renew, skip
from pressroom.review.verdicts import decide
from pressroom.store import review as stored
from pressroom.store.engine import Store
from pressroom.store.review import Task
from pressroom.store.tables import AuditRow, LabelRow
from tests.review.desk import ACCOUNT, ANA, BEN, CODES, a_trigger, lease_ended, screened, task_opened
from tests.samples import SITE


def taken(store: Store, person: Person, task: Task | None = None, **more: dt.timedelta) -> Task | None:
    with store.transaction() as session:
        return claim_one(session, task.id, person, **more) if task else claim(session, ACCOUNT, person, **more)


def labelled(store: Store, task: Task, person: Person, *remarks: Remark, version: int | None = None) -> Task:
    with store.transaction() as session:
        return add_labels(session, task.id, person, remarks, codes=CODES, version=version)


def log_of(store: Store, task: Task) -> list[str]:
    with store.transaction() as session:
        return [entry.what for entry in stored.read_log(session, ACCOUNT, task_id=task.id)]


def test_a_screening_opens_one_task_however_often_it_is_said(store: Store) -> None:
    first = task_opened(store, triggers=[a_trigger(), a_trigger(2, severity=3, start_ms=5000, end_ms=6000)])
    again = task_opened(store, triggers=[a_trigger(), a_trigger(2, severity=3, start_ms=5000, end_ms=6000)])
    assert (first.severity, first.state, first.version) == (3, "open", 1)
    assert again.model_copy(update={"age_s": first.age_s}) == first, "the second opening changed the task"
    assert log_of(store, first) == ["opened"]


def test_the_most_urgent_task_goes_first_and_the_oldest_of_those(store: Store) -> None:
    task_opened(store, "mild", triggers=[a_trigger(severity=1)])
    older = task_opened(store, "older", triggers=[a_trigger(severity=3)])
    newer = task_opened(store, "newer", triggers=[a_trigger(severity=3)])
    urgent = task_opened(store, "urgent", triggers=[a_trigger(severity=1)], priority=True)
    people = [Person(f"person {number}") for number in range(4)]
    got = [taken(store, person) for person in people]
    assert [task.id for task in got[:3] if task] == [urgent.id, older.id, newer.id]
    assert taken(store, Person("late")) is None, "there is no fifth task"


def test_who_asks_again_has_the_task_that_they_hold(store: Store) -> None:
    for name in ("one", "two"):
        task_opened(store, name)
    first = taken(store, ANA)
    second = taken(store, ANA)
    assert first
    assert second
    assert (second.id, second.version) == (first.id, first.version), "one person holds two tasks without having asked for it"


def test_a_bare_claim_lasts_thirty_minutes_and_a_heartbeat_never_shortens_it(store: Store) -> None:
    task = task_opened(store)
    held = taken(store, ANA)
    assert held
    assert held.lease_left_s == pytest.approx(1800, abs=60)
    with store.transaction() as session:
        beaten = renew(session, task.id, ANA)
    assert beaten.lease_until == held.lease_until
    assert beaten.version == held.version, "a heartbeat made the holder's own save stale"


def test_a_task_that_somebody_holds_is_refused_and_the_message_says_who_has_it(store: Store) -> None:
    task = task_opened(store)
    taken(store, ANA)
    with pytest.raises(Conflict, match=r"^task \w{8}: nothing was written; ana holds it until \d\d:\d\d:\d\d UTC$"):
        taken(store, BEN, task)
    assert taken(store, BEN) is None


def test_what_nobody_holds_is_to_be_claimed_first(store: Store) -> None:
    task = task_opened(store, triggers=[a_trigger()])
    with pytest.raises(Conflict, match=rf"^task {str(task.id)[:8]}: nothing was written; claim it first: pressroom tasks claim \w{{8}}$"):
        labelled(store, task, ANA, Remark(kind="confirm", trigger=1))
    with store.transaction() as session, pytest.raises(Conflict, match="claim it first"):
        skip(session, task.id, ANA, "")
    taken(store, ANA)
    with store.transaction() as session, pytest.raises(BadInput, match="a skip needs a reason"):
        skip(session, task.id, ANA, "")


def test_an_expired_lease_can_be_taken_over_and_the_labels_stay(store: Store) -> None:
    task = task_opened(store, triggers=[a_trigger()])
    taken(store, ANA)
    labelled(store, task, ANA, Remark(kind="confirm", trigger=1))
    lease_ended(store, task.id)
    got = taken(store, BEN)
    assert got
    assert got.holder == "ben"
    with pytest.raises(
        Conflict, match=r"reject trigger 1 \(a toy\), on version 3\. Now: version 4, held by ben .*labels: 1 confirm \(ana\)"
    ):
        labelled(store, task, ANA, Remark(kind="reject", trigger=1, reason="a toy"), version=3)
    with store.transaction() as session:
        assert [label.kind for label in stored.labels_of(session, task.id)] == ["confirm"]
    assert log_of(store, task) == ["opened", "claimed", "labelled", "took over"]


def test_a_lease_that_ran_out_and_that_nobody_took_is_still_its_holders(store: Store) -> None:
    task = task_opened(store, triggers=[a_trigger()])
    taken(store, ANA)
    lease_ended(store, task.id)
    saved = labelled(store, task, ANA, Remark(kind="confirm", trigger=1))
    assert saved.is_held, "a save shows that its author is there: it renews the lease"


@pytest.mark.parametrize("save_is_first", [True, False])
def test_of_a_save_and_a_takeover_at_the_end_of_a_lease_one_wins_and_the_other_sees_it(store: Store, *, save_is_first: bool) -> None:
    """The lease ends while a save is under way: whoever has the row first is first, and the label is there or refused aloud."""
    task = task_opened(store, triggers=[a_trigger()])
    taken(store, ANA)
    lease_ended(store, task.id)
    outcome: list[Task | Conflict | None] = []

    def other() -> None:
        try:
            outcome.append(taken(store, BEN, task) if save_is_first else labelled(store, task, ANA, Remark(kind="confirm", trigger=1)))
        except Conflict as conflict:
            outcome.append(conflict)

    waiting = threading.Thread(target=other)
    with store.transaction() as session:
        if save_is_first:
            add_labels(session, task.id, ANA, [Remark(kind="confirm", trigger=1)], codes=CODES)
        else:
            claim_one(session, task.id, BEN)
        waiting.start()
        while not blocked(store):
            time.sleep(0.005)
    waiting.join()
    assert isinstance(outcome[0], Conflict)
    assert outcome[0].now.holder == ("ana" if save_is_first else "ben")
    with store.transaction() as session:
        assert len(stored.labels_of(session, task.id)) == int(save_is_first)


def blocked(store: Store) -> bool:
    """Somebody waits for a lock in this database."""
    with store.transaction() as session:
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return session.execute(sa.text(waits)).first() is not None


def test_a_save_on_an_older_version_is_refused(store: Store) -> None:
    """The same person at two terminals: the second does not write over what it has not seen."""
    task = task_opened(store, triggers=[a_trigger()])
    held = taken(store, ANA)
    assert held
    newer = labelled(store, task, ANA, Remark(kind="confirm", trigger=1), version=held.version)
    with pytest.raises(Conflict, match="on version 2"):
        labelled(store, task, ANA, Remark(kind="reject", trigger=1, reason="no"), version=held.version)
    assert labelled(store, task, ANA, Remark(kind="reject", trigger=1, reason="no"), version=newer.version).version == 4


def test_what_one_skips_goes_to_somebody_else(store: Store) -> None:
    task = task_opened(store)
    taken(store, ANA)
    with store.transaction() as session:
        with pytest.raises(BadInput, match="a skip needs a reason"):
            skip(session, task.id, ANA, " \n ")
        skip(session, task.id, ANA, "I know the people in it")
    assert taken(store, ANA) is None
    assert taken(store, ANA, task), "by its id they may change their mind"
    with store.transaction() as session:
        release(session, task.id, ANA)
    assert taken(store, BEN)


def test_an_escalated_task_is_first_for_the_role_that_may(store: Store) -> None:
    lead = Person("lea", frozenset({"lead"}))
    task = task_opened(store, "mild", triggers=[a_trigger(severity=1)])
    task_opened(store, "severe", triggers=[a_trigger(severity=3)])
    taken(store, ANA, task)
    with store.transaction() as session:
        given = escalate(session, task.id, ANA, "could be a crime", role="lead")
    assert (given.priority, given.role, given.state) == (True, "lead", "open")
    with pytest.raises(Blocked, match="only for the role lead: ben has not got it"):
        taken(store, BEN, task)
    got = taken(store, lead)
    assert got
    assert got.id == task.id
    with store.transaction() as session, pytest.raises(BadInput, match="only for the role lead"):
        escalate(session, task.id, lead, "yours", role="legal")


def test_child_safety_is_only_for_the_role_that_may(store: Store) -> None:
    task = task_opened(store, triggers=[a_trigger(code="CHILD.SAFETY", severity=3)])
    assert (task.role, task.priority) == ("owner", True)
    assert taken(store, ANA) is None
    assert taken(store, Person("cid", frozenset({"owner"})))


def test_who_notices_what_only_another_role_may_see_says_so_and_hands_over(store: Store) -> None:
    task = task_opened(store, triggers=[a_trigger()])
    taken(store, ANA)
    given = labelled(store, task, ANA, Remark(kind="missed", code="CHILD.SAFETY", start_ms=0, end_ms=10))
    assert (given.state, given.role, given.priority, given.holder) == ("open", "owner", True, None)
    with store.transaction() as session:
        assert [label.code for label in stored.labels_of(session, task.id)] == ["CHILD.SAFETY"]
    with pytest.raises(Blocked):
        labelled(store, task, ANA, Remark(kind="confirm", trigger=1))


def test_a_new_policy_supersedes_the_open_task_and_takes_over_what_is_still_true(store: Store) -> None:
    knife, blood = a_trigger(), a_trigger(2, code="VIO.GORE", start_ms=9000, end_ms=9500)
    old = task_opened(store, triggers=[knife, blood])
    taken(store, ANA)
    missed = Remark(kind="missed", code="GAMB", start_ms=0, end_ms=500)
    labelled(store, old, ANA, Remark(kind="reject", trigger=1, reason="a toy"), Remark(kind="confirm", trigger=2), missed)
    new = task_opened(store, policy="p2", triggers=[a_trigger(1, start_ms=20_000, end_ms=21_000), a_trigger(2)])
    with store.transaction() as session:
        kept = [(label.trigger, label.kind, label.author, label.reason) for label in stored.labels_of(session, new.id)]
        assert kept == [(2, "reject", "ana", "a toy"), (None, "missed", "ana", None)]
        assert len(stored.labels_of(session, old.id)) == 3, "the labels of the superseded task are gone"
        assert stored.read_task(session, old.id).state == "superseded"
    with pytest.raises(Conflict, match="Now: version 4, superseded"):
        labelled(store, old, ANA, Remark(kind="confirm", trigger=1))
    back = task_opened(store, policy="p1", triggers=[knife, blood])
    assert (back.id, back.state) == (old.id, "open"), "the policy that stands again has its task again"
    with store.transaction() as session:
        assert len(stored.labels_of(session, old.id)) == 3


def test_a_decided_task_is_not_opened_again_by_another_policy(store: Store) -> None:
    old = task_opened(store)
    taken(store, ANA)
    with store.transaction() as session:
        decide(session, old.id, ANA, "approved", "nothing in it", second_reviews=0)
    task_opened(store, policy="p2")
    with store.transaction() as session:
        assert stored.read_task(session, old.id).state == "decided"


def test_a_label_does_not_come_to_mean_another_trigger(store: Store) -> None:
    """A detector that failed at first gives more on the second run: trigger 1 is another one now."""
    task = task_opened(store, triggers=[a_trigger()])
    taken(store, ANA)
    labelled(store, task, ANA, Remark(kind="confirm", trigger=1))
    again = task_opened(store, triggers=[a_trigger(1, code="VIO.GORE", severity=3), a_trigger(2)])
    assert (again.holder, again.severity, again.version) == ("ana", 3, 4)
    with store.transaction() as session:
        assert stored.labels_of(session, task.id) == ()
        assert len(session.scalars(sa.select(LabelRow)).all()) == 1, "the label itself is kept"


def test_a_heartbeat_keeps_a_task_and_stops_when_it_is_lost(store: Store) -> None:
    task = task_opened(store)
    taken(store, ANA)
    lease_ended(store, task.id)
    with Heartbeat(store, task.id, ANA, every_s=0.02) as heart:
        assert 100 < heart.left_s <= 1800
        lease_ended(store, task.id)
        while not (now := read(store, task)).is_held:
            time.sleep(0.01)
        assert now.holder == "ana"
        lease_ended(store, task.id)
        try:
            taken(store, BEN, task)
        except Conflict:  # the heart beat between the two
            with store.transaction() as session:
                release(session, task.id, ANA)
        while not heart.lost:
            time.sleep(0.01)
        assert isinstance(heart.lost, Conflict)
        assert heart.left_s == 0


def test_a_desk_that_nobody_touches_lets_its_task_go(store: Store) -> None:
    task = task_opened(store)
    taken(store, ANA, task, lease=dt.timedelta(seconds=1))
    with Heartbeat(store, task.id, ANA, every_s=0.01, idle_s=0) as heart:
        until = read(store, task).lease_until
        time.sleep(0.1)
        assert read(store, task).lease_until == until
        assert heart.lost is None


def read(store: Store, task: Task) -> Task:
    with store.transaction() as session:
        return stored.read_task(session, task.id)


def test_the_log_takes_no_change(store: Store) -> None:
    task_opened(store)
    for statement in (sa.delete(AuditRow), sa.update(AuditRow).values(who="nobody")):
        with pytest.raises(sa.exc.DBAPIError, match="only added"), store.transaction() as session:
            session.execute(statement)


@pytest.mark.parametrize("name", ["", " ", "pressroom", "a\nb", "x" * 101])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no name of a person"):
        Person(name)


def test_two_screenings_of_one_video_at_once_leave_one_task_open(store: Store) -> None:
    with store.transaction() as session:
        for policy in ("p1", "p2"):
            video_id = screened(session, policy=policy)

    def opening(policy: str) -> None:
        with store.transaction() as session:
            open_task(session, video_id, policy)

    together = [threading.Thread(target=opening, args=(policy,)) for policy in ("p1", "p2")]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    with store.transaction() as session:
        assert len(stored.list_tasks(session, SITE.account_id)) == 1
