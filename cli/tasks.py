"""`pressroom tasks`: what people say of screened videos, until the verdict."""

import datetime as dt
import json as jsonlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cli.output import JsonFlag, emit, out, say
from cli.tasks_text import decision, remark, report_path, show_case, show_tasks
from pressroom.errors import BadInput

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from pressroom.review.tasks import Person
    from pressroom.settings import Settings
    from pressroom.store.engine import Store
    from pressroom.store.review import Task

app = typer.Typer(
    help="Verify what the screening found in videos: take a task, label its triggers, give the verdict.", no_args_is_help=True
)

AsFlag = Annotated[str | None, typer.Option("--as", metavar="USER", help="Who acts; default: the user of this system.")]
VersionFlag = Annotated[int | None, typer.Option(help="Save only if the task is still at this version.", show_default=False)]
TaskArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the task, or at least its first 8 characters.")]
ReasonFlag = Annotated[str, typer.Option(help="Why; always needed.", show_default=False)]
MOST_LISTED = 100
MOST_STRANDED = 5  # videos without a report, below the list
FAILURE_TOLD = dt.timedelta(days=14)  # beyond, what was taken from a failed video has gone as well (PRESSROOM_KEEP_FAILED_DAYS)


@dataclass(frozen=True)
class Desk:
    """Where a command works, and for whom."""

    settings: "Settings"
    store: "Store"
    person: "Person"
    account_id: "UUID"

    def find(self, session: "Session", wanted: str) -> "UUID":
        from pressroom.store.review import find_task

        return find_task(session, self.account_id, wanted)

    def codes(self) -> "dict[str, str | None]":
        """The risk codes there are. Raises BadInput for a policy or risk file that is wrong."""
        from pressroom.review.labels import codes_of
        from pressroom.safety.policy import DEFAULT, policy

        return codes_of(policy(self.settings.policy or DEFAULT, self.settings.risks))


@contextmanager
def at_desk(who: str | None) -> "Iterator[Desk]":
    """The desk of `who`, with the roles that PRESSROOM_ROLES gives to whoever uses this machine."""
    from cli.opening import open_desk
    from pressroom.records import stable_id
    from pressroom.review.tasks import Person
    from pressroom.settings import load_settings

    settings = load_settings()
    roles = frozenset(role.strip() for role in settings.roles.split(",") if role.strip())
    person = Person(_system_user() if who is None else who.strip(), roles)
    with open_desk(settings) as store:
        yield Desk(settings, store, person, stable_id("account", settings.account))


def _system_user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        raise BadInput("--as: this system does not say who you are; give your name") from None


@app.command(name="list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Also those that are decided or superseded.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most tasks shown.")] = MOST_LISTED,
    json: JsonFlag = False,
) -> None:
    """Lists the tasks that wait or are held, in the order in which they are taken; then the videos that got no report."""
    from pressroom.store.review import TaskState, list_tasks, stranded_videos

    states = get_args(TaskState) if every else ("open", "claimed")
    with at_desk("anybody") as desk, desk.store.transaction() as session:
        tasks = list_tasks(session, desk.account_id, states=states, limit=limit)
        stranded = stranded_videos(session, desk.account_id, within=FAILURE_TOLD)
    if json:
        emit(tasks)
        return
    if tasks:
        show_tasks(tasks)
    else:
        say("no task waits")
    for key, state, reason in stranded[:MOST_STRANDED]:
        say(f"{key}: {state}: {reason}")
    if stranded:
        more = len(stranded) - MOST_STRANDED
        say(
            f"{f'and {more} more; ' if more > 0 else ''}no run begins with these by itself: once the cause is gone, Re-execute all on the "
            "run's page in the Dagster UI; what was answered is not paid again"
        )


@app.command()
def show(task: TaskArgument, who: AsFlag = None, json: JsonFlag = False) -> None:
    """Shows a task: the video, why it is here, its triggers with their evidence, what was said of them, and where the report is."""
    from pressroom.review.tasks import may_read
    from pressroom.store.review import read_case

    with at_desk(who) as desk, desk.store.transaction() as session:
        case = read_case(session, desk.find(session, task))
        may_read(session, case.task, desk.person)
    if json:
        emit(case)
    else:
        show_case(case, report_path(desk.settings, case))


@app.command()
def claim(
    task: Annotated[str | None, typer.Argument(metavar="[ID]", help="Id of the task; default: the most urgent one.")] = None,
    who: AsFlag = None,
    json: JsonFlag = False,
) -> None:
    """Takes a task for 30 minutes; one whose lease ran out can be taken over. Claiming again renews it."""
    from pressroom.review import tasks as review

    with at_desk(who) as desk, desk.store.transaction() as session:
        found = review.claim_one(session, desk.find(session, task), desk.person) if task else None
        taken = found or (None if task else review.claim(session, desk.account_id, desk.person))
    if json:
        emit(taken)
    elif taken:
        _told(taken)
    else:
        say(f"no task waits for {desk.person.name}")


@app.command()
def label(
    task: TaskArgument,
    kind: Annotated[str, typer.Argument(help="confirm, reject, wrong_time, wrong_code, or missed for a trigger that is not there.")],
    triggers: Annotated[list[int] | None, typer.Argument(metavar="[TRIGGER]...", help="Numbers of the triggers.")] = None,
    code: Annotated[str | None, typer.Option(help="The right risk code (wrong_code, missed).")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Where it begins: 1:23.5 or 83.5 (wrong_time, missed).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Where it ends.")] = None,
    reason: Annotated[str, typer.Option(help="Why; needed for reject.", show_default=False)] = "",
    version: VersionFlag = None,
    who: AsFlag = None,
    json: JsonFlag = False,
) -> None:
    """Says of triggers of a task that you hold what is right. A later label takes the place of an earlier one; both are kept."""
    from pressroom.review.labels import add_labels

    numbers: list[int | None] = [*triggers] if triggers else [None]
    remarks = [remark(kind, number, code, start, end, reason) for number in numbers]
    with at_desk(who) as desk:
        codes = desk.codes()
        with desk.store.transaction() as session:
            saved = add_labels(session, desk.find(session, task), desk.person, remarks, codes=codes, version=version)
    _said(saved, json)


@app.command()
def withdraw(
    task: TaskArgument,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Id of the label, or its first 8 characters; 'show' has them.")],
    version: VersionFlag = None,
    who: AsFlag = None,
    json: JsonFlag = False,
) -> None:
    """Takes back a label of a task that you hold."""
    from pressroom.review.labels import withdraw_label

    _act(lambda session, desk, id: withdraw_label(session, id, desk.person, label, version=version), task, who, json)


@app.command()
def decide(
    task: TaskArgument,
    verdict: Annotated[str, typer.Argument(help="approved, rejected or changes_needed.")],
    reason: Annotated[str, typer.Option(help="Why; needed for every verdict.", show_default=False)] = "",
    version: VersionFlag = None,
    who: AsFlag = None,
    json: JsonFlag = False,
) -> None:
    """Gives the verdict on a task that you hold. Every trigger of severity 2 or 3 needs a label first."""
    from pressroom.review.verdicts import decide as give

    with at_desk(who) as desk, desk.store.transaction() as session:
        found = desk.find(session, task)
        ruling = give(session, found, desk.person, decision(verdict), reason, version=version, second_reviews=desk.settings.second_review)
    if json:
        emit(ruling)
    else:
        say(f"task {str(ruling.task_id)[:8]}: {ruling.verdict} by {ruling.author}; the final decision follows from it")


@app.command()
def release(task: TaskArgument, version: VersionFlag = None, who: AsFlag = None, json: JsonFlag = False) -> None:
    """Gives a task back, with the labels that it has."""
    from pressroom.review import tasks as review

    _act(lambda session, desk, id: review.release(session, id, desk.person, version=version), task, who, json)


@app.command()
def skip(task: TaskArgument, reason: ReasonFlag = "", version: VersionFlag = None, who: AsFlag = None, json: JsonFlag = False) -> None:
    """Leaves a task that you hold to somebody else. You get it again only by its id."""
    from pressroom.review import tasks as review

    _act(lambda session, desk, id: review.skip(session, id, desk.person, reason, version=version), task, who, json)


@app.command()
def escalate(
    task: TaskArgument,
    reason: ReasonFlag = "",
    role: Annotated[
        str | None, typer.Option("--to", metavar="ROLE", help="Only for people with this role; default: for anybody else.")
    ] = None,
    version: VersionFlag = None,
    who: AsFlag = None,
    json: JsonFlag = False,
) -> None:
    """Puts a task that you hold before all others, for somebody else."""
    from pressroom.review import tasks as review

    _act(lambda session, desk, id: review.escalate(session, id, desk.person, reason, role=role, version=version), task, who, json)


@app.command()
def appeal(task: TaskArgument, reason: ReasonFlag = "", who: AsFlag = None, json: JsonFlag = False) -> None:
    """Asks for a new look at a decided task, by somebody who had no part in it."""
    from pressroom.review import verdicts

    _act(lambda session, desk, id: verdicts.appeal(session, id, desk.person, reason), task, who, json)


@app.command()
def work(
    task: Annotated[str | None, typer.Argument(metavar="[ID]", help="Id of the task to begin with; default: the most urgent one.")] = None,
    who: AsFlag = None,
) -> None:
    """Takes one task after the other and stays open: the lease lasts two minutes and is renewed while you are there."""
    from cli.tasks_work import work as interactively

    with at_desk(who) as desk:
        interactively(desk, task)


@app.command()
def precision(json: JsonFlag = False) -> None:
    """Shows how often the detectors were right, by risk code, and how far two reviews of the same video agreed."""
    from pressroom.review.measures import agreements
    from pressroom.review.measures import precision as by_code

    with at_desk("anybody") as desk, desk.store.transaction() as session:
        codes, reviews = by_code(session, desk.account_id), agreements(session, desk.account_id)
    if json:
        emit({"precision": codes, "agreement": reviews})
        return
    if not codes:
        say("no decided task has labels yet")
        return
    from rich.table import Table

    table = Table("code", box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    counts = ("confirmed", "rejected", "wrong_time", "wrong_code", "missed")
    for name in ("precision", *counts):
        table.add_column(name.replace("_", " "), justify="right")
    for found in codes:
        share = "" if found.precision is None else f"{found.precision:.0%}"
        table.add_row(found.code, share, *(str(getattr(found, name)) for name in counts))
    out.print(table)
    for measured in reviews:
        if measured.fraction is not None:
            kappa = "" if measured.kappa is None else f", Cohen's kappa {measured.kappa:.2f}"
            out.print(f"second reviews, {measured.of}: {measured.same} of {measured.pairs} agree ({measured.fraction:.0%}{kappa})")


@app.command()
def log(
    task: Annotated[str | None, typer.Argument(metavar="[ID]", help="Only of this task.")] = None,
    since: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only from this time on (UTC).")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Writes who did what, when, what it was before and after: one JSON document a line, oldest first; with --json as one list."""
    import sys

    from pressroom.store.review import read_log

    with at_desk("anybody") as desk, desk.store.transaction() as session:
        found = desk.find(session, task) if task else None
        entries = read_log(session, desk.account_id, task_id=found, since=since.replace(tzinfo=dt.UTC) if since else None)
        if json:
            emit(list(entries))
            return
        for entry in entries:
            sys.stdout.write(jsonlib.dumps(entry.model_dump(mode="json"), ensure_ascii=False) + "\n")


def _act(act: "Callable[[Session, Desk, UUID], Task]", task: str, who: str | None, json: bool) -> None:
    with at_desk(who) as desk, desk.store.transaction() as session:
        done = act(session, desk, desk.find(session, task))
    _said(done, json)


def _said(task: "Task", json: bool) -> None:
    if json:
        emit(task)
    else:
        _told(task)


def _told(task: "Task") -> None:
    from pressroom.review.tasks import described

    say(f"task {str(task.id)[:8]} ({task.file}): {described(task)}")
