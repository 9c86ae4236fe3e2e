"""Tasks, the outbox and the log as they are read."""

import re
import uuid

import pytest
from sqlalchemy.orm import Session

from pressroom.errors import BadInput
from pressroom.records import stable_id
from pressroom.review.tasks import claim_one, release
from pressroom.review.verdicts import decide
from pressroom.store.engine import Store
from pressroom.store.review import (
    Ruling,
    find_task,
    list_tasks,
    lock_task,
    pending_verdicts,
    read_case,
    read_log,
    verdict_done,
)
from tests.review.desk import ACCOUNT, ANA, BEN, DURATION_MS, a_trigger, task_opened


def test_a_task_is_found_by_its_id_or_the_start_of_it_in_its_own_account(store: Store) -> None:
    task = task_opened(store)
    with store.transaction() as session:
        for wanted in (str(task.id), str(task.id)[:8], f" {str(task.id).upper()} "):
            assert find_task(session, ACCOUNT, wanted) == task.id
        for wanted in ("", "abc", "not-an-id", "%%%%%%%%", "00000000-0000-0000-0000-000000000000"):
            with pytest.raises(BadInput, match=re.escape(f"'{wanted}'")):
                find_task(session, ACCOUNT, wanted)
        with pytest.raises(BadInput, match="no task of this account"):
            find_task(session, stable_id("account", "another"), str(task.id))
        with pytest.raises(BadInput, match="no task of this database"):
            lock_task(session, stable_id("no task"))


def test_tasks_are_listed_in_the_order_in_which_they_are_taken(store: Store) -> None:
    mild = task_opened(store, "mild", triggers=[a_trigger(severity=1)])
    severe = task_opened(store, "severe", triggers=[a_trigger(severity=3)])
    urgent = task_opened(store, "urgent", priority=True)
    with store.transaction() as session:
        claim_one(session, severe.id, ANA)
        decide_mild(session, mild.id)
        assert [task.id for task in list_tasks(session, ACCOUNT)] == [urgent.id, severe.id]
        assert [task.id for task in list_tasks(session, ACCOUNT, states=["decided"])] == [mild.id]
        assert [task.id for task in list_tasks(session, ACCOUNT, limit=1)] == [urgent.id]
        assert list_tasks(session, stable_id("account", "another")) == []


def decide_mild(session: Session, task_id: uuid.UUID) -> Ruling:
    claim_one(session, task_id, BEN)
    return decide(session, task_id, BEN, "approved", "mild", second_reviews=0)


def test_a_case_has_all_that_a_person_decides_by(store: Store) -> None:
    task = task_opened(store, triggers=[a_trigger(), a_trigger(2, start_ms=5000, end_ms=6000)])
    with store.transaction() as session:
        case = read_case(session, task.id)
    assert [trigger.number for trigger in case.triggers] == [1, 2]
    assert (case.title, case.duration_ms, case.outcome, case.why) == ("A video", DURATION_MS, "review", "one trigger")
    assert case.not_analysed == ("violence: no model",)
    assert case.html_key == "sites/brew/videos/one/report/report.html"


def test_verdicts_wait_oldest_first_until_they_are_done(store: Store) -> None:
    rulings = []
    for name in ("one", "two"):
        task = task_opened(store, name)
        with store.transaction() as session:
            rulings.append(decide_mild(session, task.id))
    with store.transaction() as session:
        first, second = pending_verdicts(session)
        assert [first.verdict_id, second.verdict_id] == [ruling.id for ruling in rulings]
        assert pending_verdicts(session, limit=1) == [first]
        assert verdict_done(session, first.outbox_id)
        assert pending_verdicts(session) == [second]


def test_the_log_tells_a_tasks_story_in_order(store: Store) -> None:
    task = task_opened(store, "one")
    task_opened(store, "two")
    with store.transaction() as session:
        claim_one(session, task.id, ANA)
        release(session, task.id, ANA)
        entries = list(read_log(session, ACCOUNT, task_id=task.id))
        assert [(entry.who, entry.what) for entry in entries] == [("pressroom", "opened"), ("ana", "claimed"), ("ana", "released")]
        assert [(entry.before or {}).get("holder") for entry in entries] == [None, None, "ana"]
        assert len(list(read_log(session, ACCOUNT))) == 4
        since = entries[1].at
        assert [entry.what for entry in read_log(session, ACCOUNT, since=since)] == ["claimed", "released"]
        assert list(read_log(session, stable_id("account", "another"))) == []
