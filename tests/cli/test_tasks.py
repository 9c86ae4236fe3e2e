"""`pressroom tasks` as operators and scripts meet it."""

import datetime as dt
import io
import json
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from rich.cells import cell_len

from cli.tasks_text import clock, milliseconds
from pressroom.errors import BadInput
from pressroom.review.tasks import claim_one
from pressroom.store import review as stored
from pressroom.store.engine import Store
from pressroom.store.tables import VideoRow
from tests.cli.conftest import Pressroom
from tests.review.desk import BEN, a_trigger, lease_ended, screened, task_opened
from tests.telling import document, told

TWO = (a_trigger(), a_trigger(2, code="LANG.PROFANITY", severity=1, start_ms=5000, end_ms=5400))


@pytest.fixture
def tasks(here: None, pressroom: Pressroom) -> Pressroom:
    return partial(pressroom, "tasks", width=100)


def test_a_script_takes_labels_and_decides_a_task(store: Store, tasks: Pressroom) -> None:
    task = task_opened(store, triggers=TWO)
    (listed,) = document(tasks("list", "--json"))
    assert (listed["id"], listed["severity"], listed["video"]) == (str(task.id), 2, task.video)
    id = listed["id"][:8]
    assert document(tasks("claim", "--as", "ana", "--json"))["holder"] == "ana"
    shown = document(tasks("show", id, "--as", "ana", "--json"))
    assert [trigger["evidence"][0]["label"] for trigger in shown["triggers"]] == ["knife", "knife"]
    document(tasks("label", id, "confirm", "1", "2", "--as", "ana", "--json"))
    document(tasks("label", id, "wrong-time", "2", "--from", "0:05.1", "--to", "5.3", "--as", "ana", "--json"))
    document(tasks("label", id, "missed", "--code", "gamb", "--from", "10", "--to", "12", "--as", "ana", "--json"))
    labels = document(tasks("show", id, "--as", "ana", "--json"))["labels"]
    assert [(label["trigger"], label["kind"], label["start_ms"]) for label in labels] == [
        (1, "confirm", 1000),
        (2, "wrong_time", 5100),
        (None, "missed", 10_000),
    ]
    version = document(tasks("withdraw", id, labels[2]["id"][:8], "--as", "ana", "--json"))["version"]
    told(
        tasks("decide", id, "approved", "--reason", "fine", "--as", "ana", "--version", "2"),
        4,
        "approved (fine), on version 2",
        "held by ana",
    )
    ruling = document(tasks("decide", id, "rejected", "--reason", "a knife", "--as", "ana", "--version", str(version), "--json"))
    assert (ruling["verdict"], ruling["author"]) == ("rejected", "ana")
    lines = [json.loads(line) for line in tasks("log", id).stdout.splitlines()]
    assert [line["what"] for line in lines] == ["opened", "claimed", *["labelled"] * 4, "label withdrawn", "decided"]
    assert {line["who"] for line in lines} == {"pressroom", "ana"}
    assert document(tasks("log", "--json"))[-1]["after"]["verdict"] == "rejected"
    measured = document(tasks("precision", "--json"))["precision"]
    assert [(code["code"], code["confirmed"], code["wrong_time"]) for code in measured] == [("LANG.PROFANITY", 0, 1), ("VIO.WEAPON", 1, 0)]
    assert "VIO.WEAPON          100%" in tasks("precision").stdout


def test_what_cannot_be_done_is_one_line_with_its_code(store: Store, tasks: Pressroom) -> None:
    told(tasks("show", "abc"), 2, "'abc' is no id")
    told(tasks("show", "00000000"), 2, "'00000000' is no task of this account")
    id = str(task_opened(store, triggers=TWO).id)
    told(tasks("label", id, "confirm", "1", "--as", "ana"), 4, f"nothing was written; claim it first: pressroom tasks claim {id[:8]}")
    told(tasks("decide", id, "approved", "--as", "ana"), 4, "claim it first")
    tasks("claim", id, "--as", "ana")
    told(tasks("claim", id, "--as", "ben"), 4, "ana holds it until")
    told(tasks("label", id, "perhaps", "1", "--as", "ana"), 2, "'perhaps' is no label: confirm, reject, wrong_time, wrong_code or missed")
    told(tasks("label", id, "missed", "--code", "GAMB", "--from", "soon", "--to", "9", "--as", "ana"), 2, "'soon' is no place in a video")
    told(tasks("label", id, "confirm", "--as", "ana"), 2, "confirm needs the number of a trigger; there are 1 to 2")
    told(tasks("label", id, "wrong_code", "1", "--as", "ana"), 2, "wrong_code needs a risk code; known are ")
    told(tasks("label", id, "wrong_time", "1", "--to", "9", "--as", "ana"), 2, "the start before the end; give both")
    told(tasks("label", id, "reject", "1", "--as", "ana"), 2, "reject of trigger 1 needs a reason")
    told(tasks("decide", id, "maybe", "--as", "ana"), 2, "'maybe' is no verdict: approved, rejected or changes_needed")
    told(tasks("decide", id, "approved", "--as", "ana"), 2, "a verdict needs a reason")
    told(tasks("decide", id, "approved", "--reason", "x", "--as", "ana"), 2, "without one: 1")
    told(tasks("release", id, "--as", ""), 2, "no name of a person")


def test_skip_escalate_and_release_give_the_task_away(store: Store, tasks: Pressroom, monkeypatch: pytest.MonkeyPatch) -> None:
    id = str(task_opened(store).id)
    tasks("claim", id, "--as", "ana")
    assert document(tasks("skip", id, "--reason", "not mine", "--as", "ana", "--json"))["state"] == "open"
    assert document(tasks("claim", "--as", "ana", "--json")) is None
    tasks("claim", "--as", "ben")
    assert document(tasks("release", id, "--as", "ben", "--json"))["holder"] is None
    tasks("claim", "--as", "ben")
    assert document(tasks("escalate", id, "--reason", "serious", "--to", "owner", "--as", "ben", "--json"))["priority"]
    told(tasks("show", id, "--as", "cleo"), 4, "only for the role owner: cleo has not got it")
    monkeypatch.setenv("PRESSROOM_ROLES", "owner, editor")
    assert document(tasks("claim", "--as", "cleo", "--json"))["holder"] == "cleo"
    tasks("decide", id, "approved", "--reason", "nothing in it", "--as", "cleo")
    assert document(tasks("appeal", id, "--reason", "look again", "--as", "ana", "--json"))["round"] == 3


def test_without_as_it_is_the_user_of_the_system_who_acts(store: Store, tasks: Pressroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "the-user")
    task_opened(store)
    assert document(tasks("claim", "--json"))["holder"] == "the-user"


def test_the_list_says_how_long_and_by_whom_a_task_is_held_and_fits_the_terminal(store: Store, tasks: Pressroom) -> None:
    assert tasks("list").stderr == "no task waits\n"
    held = task_opened(store, "one", triggers=[a_trigger(severity=3)], priority=True)
    tasks("claim", str(held.id), "--as", "ana")
    expired = task_opened(store, "two")
    tasks("claim", str(expired.id), "--as", "ben")
    lease_ended(store, expired.id)
    for width in (80, 120):
        headings, *rows = tasks("list", width=width).stdout.splitlines()
        assert max(cell_len(row) for row in rows) <= width
    assert headings.split() == ["task", "sev", "age", "video", "site", "state", "holder", "lease"]
    assert rows[0].split()[:2] == [str(held.id)[:8], "3!"]
    assert rows[0].split()[-3:-1] == ["claimed", "ana"]
    assert rows[1].split()[-2:] == ["expired", "ben"]


def test_a_task_is_shown_with_its_evidence_and_the_report(store: Store, tasks: Pressroom) -> None:
    task = task_opened(store, triggers=TWO)
    shown = tasks("show", str(task.id)).stdout
    for part in (
        "not analysed: violence: no model",
        "report.html",
        "VIO.WEAPON (severity 2)  0:01.000 to 0:03.000  0.90  knife >= 0.6",
        "0:01.000 objects: knife",
    ):
        assert part in shown


def test_at_the_desk_a_person_labels_decides_and_gets_the_next(store: Store, tasks: Pressroom) -> None:
    first = task_opened(store, "first", triggers=[a_trigger(severity=3)])
    second = task_opened(store, "second", triggers=TWO)
    lines = [
        "?",
        "what",
        "r 1",
        "r 1 it's a toy",
        "m GAMB 1:00 1:02",
        "m GAMB 0:10 12.5 a wheel",
        "d approved",
        "d approved only a toy",
        "c 1 2",
        "q",
    ]
    done = tasks("work", "--as", "ana", stdin="\n".join([*lines, ""]).encode())
    assert done.returncode == 0, done.stderr
    for said in (
        "'what' is no command here",
        "reject of trigger 1 needs a reason",
        "inside the video",
        "a verdict needs a reason",
        "2 confirm (ana)",
    ):
        assert said in done.stderr
    assert "[2:00 left]" in done.stdout or "[1:59 left]" in done.stdout
    with store.transaction() as session:
        ruling = stored.ruling_on(session, first.id)
        kept = stored.labels_of(session, second.id)
        left = stored.read_task(session, second.id)
    assert ruling
    assert (ruling.verdict, ruling.reason) == ("approved", "only a toy")
    assert [label.kind for label in kept] == ["confirm", "confirm"], "leaving the desk lost labels"
    assert (left.state, left.holder) == ("open", None), "leaving the desk keeps others waiting"


def test_a_desk_whose_input_ends_gives_the_task_back(store: Store, tasks: Pressroom) -> None:
    task = task_opened(store)
    done = tasks("work", str(task.id), "--as", "ana", stdin=b"")
    assert done.returncode == 0
    assert done.stdout.endswith("> \n"), "the shell's own prompt would follow on the same line"
    with store.transaction() as session:
        assert stored.read_task(session, task.id).state == "open"


def test_who_has_lost_the_task_at_the_desk_is_told_and_goes_on(store: Store, tasks: Pressroom) -> None:
    task = task_opened(store, triggers=TWO)

    class Typing(io.StringIO):
        """Somebody takes the task over while the person types."""

        def readline(self, *size: Any) -> str:
            lease_ended(store, task.id)
            with store.transaction() as session:
                claim_one(session, task.id, BEN)
            return "c 1\n"

    done = tasks("work", "--as", "ana", stdin=Typing())
    assert done.returncode == 0
    assert "nothing was written. Yours: confirm trigger 1, on version 2. Now: version 3, held by ben" in done.stderr
    assert done.stderr.splitlines()[-1] == "no task waits for ana"


@pytest.mark.parametrize(("text", "ms"), [("83.5", 83_500), ("1:23.5", 83_500), ("0:01:23.500", 83_500), ("1:00:00", 3_600_000), ("0", 0)])
def test_a_place_in_a_video_is_read_as_it_is_shown(text: str, ms: int) -> None:
    assert milliseconds(text) == ms
    assert milliseconds(clock(ms)) == ms


@pytest.mark.parametrize("text", ["", "1:2:3:4", "-1", "1.2345", "abc", "1:", ":1", "1e3", "9:99", "1:60:00"])
def test_what_is_no_place_in_a_video_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="no place in a video"):
        milliseconds(text)


def test_a_video_without_a_report_is_named_below_the_list_with_what_a_person_does(store: Store, tasks: Pressroom) -> None:
    """A run that was blocked for money is begun again by nobody: who looks at the tasks must hear of it."""
    for name, values in {
        "poor": {"state": "blocked", "reason": "no credit"},
        "away": {"state": "failed", "reason": "the store stayed away", "ended_at": dt.datetime.now(dt.UTC)},
        "old": {"state": "failed", "ended_at": dt.datetime.now(dt.UTC) - dt.timedelta(days=15)},
    }.items():
        with store.transaction() as session:
            video = screened(session, name)
            session.execute(sa.update(VideoRow).where(VideoRow.id == video).values(values))
    done = tasks("list")
    assert done.returncode == 0
    first, *named, last = done.stderr.splitlines()
    assert first == "no task waits"
    assert {line.partition("--")[2].partition("--")[2] for line in named} == {
        "poor: blocked: no credit",
        "away: failed: the store stayed away",
    }
    assert "Re-execute all" in last
    assert tasks("list", "--json").stderr == ""
