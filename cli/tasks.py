"""`pressroom tasks`: what people say of screened videos, until the verdict."""

import datetime as dt
import json as jsonlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from cli.output import JsonFlag, emit, out, say
from pressroom.errors import BadInput

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from pressroom.review.labels import Remark
    from pressroom.review.tasks import Person
    from pressroom.settings import Settings
    from pressroom.store.engine import Store
    from pressroom.store.review import Case, Label, Task

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
    from cli.opening import open_known_store
    from pressroom.records import stable_id
    from pressroom.review.tasks import Person
    from pressroom.settings import load_settings

    settings = load_settings()
    roles = frozenset(role.strip() for role in settings.roles.split(",") if role.strip())
    person = Person(_system_user() if who is None else who.strip(), roles)
    with open_known_store(settings) as store:
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
        _table(tasks)
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


def decision(word: str) -> Any:
    """The verdict that a person wrote. Raises BadInput that names the three there are."""
    from pressroom.store.review import Decision

    return _one_of(word, get_args(Decision), "verdict")


def remark(kind: str, trigger: int | None, code: str | None, start: str | None, end: str | None, reason: str) -> "Remark":
    """What a person wrote, as a remark. Raises BadInput for a kind or a time that is none."""
    from pressroom.review.labels import Remark
    from pressroom.store.review import LabelKind

    return Remark(
        kind=_one_of(kind, get_args(LabelKind), "label"),
        trigger=trigger,
        code=code and code.upper(),
        start_ms=None if start is None else milliseconds(start),
        end_ms=None if end is None else milliseconds(end),
        reason=reason,
    )


def _one_of(word: str, known: tuple[str, ...], what: str) -> Any:
    plain = word.strip().lower().replace("-", "_")
    if plain not in known:
        raise BadInput(f"'{word}' is no {what}: {', '.join(known[:-1])} or {known[-1]}")
    return plain


def milliseconds(text: str) -> int:
    """A place in a video: `83.5`, `1:23.5` or `0:01:23.5`. Raises BadInput for anything else."""
    import re

    found = re.fullmatch(r"(?:(?:(\d{1,3}):)?(\d{1,4}):)?(\d{1,6}(?:\.\d{1,3})?)", text.strip())
    if not found:
        raise BadInput(f"'{text}' is no place in a video: write seconds (83.5), or hours and minutes before them (1:23.5, 0:01:23.5)")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    units = text.count(":")
    if (units and seconds >= 60) or (units == 2 and minutes >= 60):
        raise BadInput(f"'{text}' is no place in a video: below 60 seconds in a minute, and below 60 minutes in an hour")
    return round(1000 * (3600 * hours + 60 * minutes + seconds))


def clock(ms: int) -> str:
    """Milliseconds as `1:23.500`, with hours where there are some."""
    minutes, rest = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 1000:06.3f}"
    return f"{hours}:{minutes:02}:{seconds}" if hours else f"{minutes}:{seconds}"


def report_path(settings: "Settings", case: "Case") -> str | None:
    """Where the HTML report is: its file, or its key in a bucket."""
    if case.html_key is None or settings.objects_bucket:
        return case.html_key
    return str(settings.objects_folder / case.html_key)


def _table(tasks: "list[Task]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("task", "sev", box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("video", overflow="fold")
    for name in ("site", "state", "holder"):
        table.add_column(name, overflow="ellipsis")
    table.add_column("lease", justify="right", no_wrap=True)
    for task in tasks:
        severity = f"{task.severity}{'!' if task.priority else ''}"
        state: str = "expired" if task.state == "claimed" and not task.is_held else task.state
        state += f" (for {task.role})" if task.role else ""
        lease = countdown(task.lease_left_s or 0) if task.is_held else ""
        cells = [str(task.id)[:8], severity, _age(task.age_s), task.file, task.site, state, task.holder or "", lease]
        table.add_row(*map(Text, cells))
    out.print(table)


def show_case(case: "Case", report: str | None) -> None:
    """The case for a person: what the machine says, what it did not look at, each trigger with its evidence and label."""
    from pressroom.review.tasks import described

    def line(text: str) -> None:
        # Titles, and words read in a video, are strangers': no control character of theirs reaches the terminal.
        plain = "".join(character if character.isprintable() else " " for character in text)
        out.print(plain, markup=False, highlight=False, soft_wrap=True)

    line(f"task {case.task.id}: {described(case.task)}")
    length = "" if case.duration_ms is None else f", {clock(case.duration_ms)} long"
    line(f"video {case.task.file}, {case.task.video} ({case.title or 'no title'}{length}), policy {case.task.policy}")
    line(f"{case.outcome}: {case.why}")
    for missing in case.not_analysed:
        line(f"not analysed: {missing}")
    if report:
        line(f"report: {report}")
    said = {label.trigger: label for label in case.labels if label.trigger is not None}
    for trigger in case.triggers:
        peak = "no score" if trigger.peak is None else f"{trigger.peak:.2f}"
        where = f"{clock(trigger.start_ms)} to {clock(trigger.end_ms)}"
        line(f"{trigger.number:>3}  {trigger.code} (severity {trigger.severity})  {where}  {peak}  {trigger.rule}")
        for seen in trigger.evidence[:3]:
            quote = f" '{seen.text}'" if seen.text else ""
            line(f"       {clock(seen.at_ms)} {seen.detector}: {seen.label}{quote}")
        if trigger.number in said:
            line(f"       -> {_label(said[trigger.number])}")
    for label in case.labels:
        if label.trigger is None:
            line(f"  +  {_label(label)}")
    if case.ruling:
        line(f"{case.ruling.verdict} by {case.ruling.author}: {case.ruling.reason}")


def _label(label: "Label") -> str:
    more = f" {label.code}" if label.kind in ("wrong_code", "missed") else ""
    more += f" {clock(label.start_ms)} to {clock(label.end_ms)}" if label.kind in ("wrong_time", "missed") else ""
    return f"{label.kind}{more} by {label.author} [{str(label.id)[:8]}]" + (f": {label.reason}" if label.reason else "")


def countdown(seconds: float) -> str:
    """Seconds as `1:47`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"
