"""Two operators in two processes at once, and any order of acts at all: one holder, no label lost."""

import os
import random
import uuid
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pressroom.errors import BadInput, Blocked
from pressroom.review.labels import Remark, add_labels
from pressroom.review.tasks import Conflict, Person, claim, claim_one, escalate, open_task, release, renew, skip
from pressroom.review.verdicts import decide
from pressroom.settings import load_settings
from pressroom.store import review as stored
from pressroom.store.engine import Store, open_store
from pressroom.store.tables import AuditRow, LabelRow, OutboxRow, TaskRow, VerdictRow
from tests.processes import PROCESSES
from tests.review.desk import ACCOUNT, ANA, BEN, CLEO, CODES, a_trigger, lease_ended, screened, task_opened

# No shrinking: on a real database it takes minutes, and twenty steps can be read as they are.
TRIED = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
PEOPLE = {person.name: person for person in (ANA, BEN, CLEO)}


def operate(environment: dict[str, str], name: str, start: Any, saved: Any, ids: list[uuid.UUID]) -> None:
    """An operator who wants every one of these tasks, round after round with the other one, and says which labels were saved."""
    os.environ.clear()
    os.environ.update(environment)
    person, rng = PEOPLE[name], random.Random(name)
    with open_store(load_settings()) as store:
        for id in ids:
            start.wait()
            won, labels = [], 0
            for _ in range(6):
                try:
                    with store.transaction() as session:
                        claim_one(session, id, person)
                    won.append("claim")
                    with store.transaction() as session:
                        add_labels(session, id, person, [Remark(kind="reject", trigger=1, reason=f"{name} {labels}")], codes=CODES)
                    labels += 1
                    if rng.random() < 0.3:
                        with store.transaction() as session:
                            release(session, id, person)
                        continue
                    with store.transaction() as session:
                        decide(session, id, person, "approved", "nothing in it", second_reviews=0)
                    won.append("verdict")
                except Conflict:
                    continue
            saved.put((id, name, labels, won.count("verdict")))


def race(store: Store, environment: dict[str, str], rounds: int) -> None:
    ids = [task_opened(store, f"video {number}", triggers=[a_trigger()]).id for number in range(rounds)]
    start, saved = PROCESSES.Barrier(2), PROCESSES.Queue()
    people = [PROCESSES.Process(target=operate, args=(environment, name, start, saved, ids)) for name in ("ana", "ben")]
    for process in people:
        process.start()
    told = [saved.get(timeout=60) for _ in range(2 * rounds)]
    for process in people:
        process.join(60)
        assert process.exitcode == 0, "an operator's process failed"
    labels, verdicts = Counter[uuid.UUID](), Counter[uuid.UUID]()
    for id, _, saves, decided in told:
        labels[id] += saves
        verdicts[id] += decided
    with store.transaction() as session:
        stood = Counter(session.scalars(sa.select(LabelRow.task_id)))
        given = Counter(session.scalars(sa.select(VerdictRow.task_id)))
        waiting = session.scalar(sa.select(sa.func.count()).select_from(OutboxRow))
    assert stood == +labels, "a label that was said to be saved is not there"
    assert given == +verdicts, "an operator was told of a verdict that is not theirs"
    assert set(given.values()) <= {1}
    assert waiting == sum(given.values())
    assert sum(given.values()) >= rounds // 2, "hardly a round was decided: the race tried nothing"
    assert alternating(store), "two people held one task at once"


def alternating(store: Store) -> bool:
    """In the log of each task, between two claims there is always a release: no lease ends in a race of a few seconds."""
    held: dict[str, str | None] = {}
    with store.transaction() as session:
        entries = session.execute(sa.select(AuditRow.entity_id, AuditRow.who, AuditRow.what).order_by(AuditRow.id)).all()
    for task, who, what in entries:
        if what == "took over" or (what == "claimed" and held.get(task)):
            return False
        if what in ("labelled", "released", "decided") and held.get(task) != who:
            return False
        held[task] = who if what in ("claimed", "labelled") else None
    return True


def test_of_two_operators_at_once_one_wins_and_no_label_is_lost(store: Store, environment: dict[str, str]) -> None:
    race(store, environment, 10)


@pytest.mark.long
def test_of_two_operators_at_once_one_wins_each_of_a_hundred_rounds(store: Store, environment: dict[str, str]) -> None:
    race(store, environment, 100)


def take_next(environment: dict[str, str], name: str, start: Any, saved: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with open_store(load_settings()) as store:
        start.wait()
        while True:
            with store.transaction() as session:
                got = claim(session, ACCOUNT, PEOPLE[name])
                if got is None:
                    break
                decide(session, got.id, PEOPLE[name], "approved", "nothing in it", second_reviews=0)
                saved.put(got.id)
        saved.put(None)


def test_two_who_ask_for_the_next_task_never_get_the_same(store: Store, environment: dict[str, str]) -> None:
    ids = {task_opened(store, f"video {number}").id for number in range(20)}
    start, saved = PROCESSES.Barrier(2), PROCESSES.Queue()
    people = [PROCESSES.Process(target=take_next, args=(environment, name, start, saved)) for name in ("ana", "ben")]
    for process in people:
        process.start()
    got: list[uuid.UUID] = []
    for _ in people:
        got += iter(lambda: saved.get(timeout=60), None)
    for process in people:
        process.join(60)
    assert Counter(got) == Counter(ids)


def verification(store: Store) -> type[RuleBasedStateMachine]:
    """Any sequence of acts of three people, screenings anew and time that passes, on one task."""

    class Verification(RuleBasedStateMachine):
        people = st.sampled_from(["holder", "holder", "ana", "ben", "cleo"])  # most of what people try, they may
        kinds = st.sampled_from(["confirm", "reject"])

        @initialize()
        def opened(self) -> None:
            self.name = f"video {uuid.uuid4()}"
            self.id = task_opened(store, self.name, triggers=[a_trigger()]).id
            self.saved: set[uuid.UUID] = set()
            self.version = 0
            self.ended = False  # the lease: whoever asks next may take it over
            self.decided = False
            self.claims("ana")  # else most sequences only try what nobody may

        def acts(self, act: Any, person: Person) -> bool:
            """Does it if that may be. Whoever does not hold the task must be refused."""
            before = self.task()
            try:
                with store.transaction() as session:
                    act(session)
            except (Conflict, Blocked, BadInput):
                return False
            if before.holder not in (None, person.name) and not self.ended:
                raise AssertionError(f"{person.name} wrote into a task that {before.holder} holds")
            return True

        def task(self) -> stored.Task:
            with store.transaction() as session:
                return stored.read_task(session, self.id)

        def one(self, who: str) -> Person:
            return PEOPLE.get(who) or PEOPLE[self.task().holder or "ana"]

        def claims(self, who: str) -> None:
            person = self.one(who)
            if self.acts(lambda session: claim_one(session, self.id, person), person):
                assert self.task().holder == person.name
                self.ended = False

        @rule(who=people)
        def somebody_claims(self, who: str) -> None:
            self.claims(who)

        @rule(who=people, kinds=st.lists(kinds, min_size=1, max_size=3))
        def labels(self, who: str, kinds: list[Any]) -> None:
            person = self.one(who)
            was_theirs = self.task().holder == person.name
            for kind in kinds:
                remark = Remark(kind=kind, trigger=1, reason=str(uuid.uuid4()))
                if not self.acts(lambda session, said=remark: add_labels(session, self.id, person, [said], codes=CODES), person):
                    return
                assert was_theirs
                self.ended = False
                with store.transaction() as session:
                    (standing,) = stored.labels_of(session, self.id)
                assert (standing.author, standing.reason) == (person.name, remark.reason)
                self.saved.add(standing.id)

        @rule(who=people)
        def beats(self, who: str) -> None:
            person = self.one(who)
            if self.acts(lambda session: renew(session, self.id, person), person):
                self.ended = False

        @rule(who=people)
        def releases(self, who: str) -> None:
            person = self.one(who)
            self.acts(lambda session: release(session, self.id, person), person)

        @rule(who=people)
        def skips(self, who: str) -> None:
            person = self.one(who)
            self.acts(lambda session: skip(session, self.id, person, "not mine"), person)

        @rule(who=people)
        def escalates(self, who: str) -> None:
            person = self.one(who)
            self.acts(lambda session: escalate(session, self.id, person, "serious"), person)

        @rule(who=people)
        def decides(self, who: str) -> None:
            person = self.one(who)
            if self.acts(lambda session: decide(session, self.id, person, "approved", "so", second_reviews=0), person):
                assert not self.decided, "a second verdict on one task"
                assert self.saved, "a verdict without a label of a severe trigger"
                self.decided = True

        @rule()
        def time_passes(self) -> None:
            if self.task().holder:
                lease_ended(store, self.id)
                self.ended = True

        @rule(policy=st.sampled_from(["p1", "p2"]))
        def is_screened_anew(self, policy: str) -> None:
            with store.transaction() as session:
                open_task(session, screened(session, self.name, policy, [a_trigger()]), policy)

        @invariant()
        def no_label_is_lost_and_at_most_one_holds_it(self) -> None:
            with store.transaction() as session:
                rows = session.scalars(sa.select(LabelRow).where(LabelRow.task_id == self.id)).all()
                verdicts = session.scalar(sa.select(sa.func.count()).select_from(VerdictRow).where(VerdictRow.task_id == self.id))
                undecided = sa.select(TaskRow).where(TaskRow.video_id == self.task().video_id, TaskRow.state.in_(("open", "claimed")))
                assert len(session.scalars(undecided).all()) <= 1, "two tasks of one video are open"
            task = self.task()
            assert self.saved <= {row.id for row in rows}, "a label is lost"
            assert sum(row.superseded_at is None for row in rows) <= 1, "two labels of one trigger stand"
            assert (task.state == "claimed") == (task.holder is not None) == (task.lease_until is not None)
            assert (verdicts == 1) == (task.state == "decided") == self.decided
            assert task.version >= self.version
            self.version = task.version

    return Verification


def test_no_sequence_of_acts_loses_a_label_or_leaves_two_holders(store: Store) -> None:
    machine = verification(store)
    quick = settings(TRIED, max_examples=12, stateful_step_count=20)
    run_state_machine_as_test(machine, settings=quick)


@pytest.mark.long
def test_no_long_sequence_of_acts_does_either(store: Store) -> None:
    long = settings(TRIED, max_examples=150, stateful_step_count=40)
    run_state_machine_as_test(verification(store), settings=long)
