"""Tasks as text at a terminal: what a person writes of one, and how the list and a case look."""

from typing import TYPE_CHECKING, Any, get_args

from cli.output import out, printable
from pressroom.errors import BadInput

if TYPE_CHECKING:
    from pressroom.review.labels import Remark
    from pressroom.settings import Settings
    from pressroom.store.review import Case, Label, Task


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


def show_tasks(tasks: "list[Task]") -> None:
    """The tasks as a table: severity (with ! what comes first), age, lease and who holds it."""
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
        out.print(printable(text), markup=False, highlight=False, soft_wrap=True)

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
