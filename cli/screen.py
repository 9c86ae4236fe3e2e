"""`pressroom screen VIDEO`: a video file looked at, judged and reported, without a bucket."""

import datetime as dt
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import JsonFlag, emit, err, out, say
from cli.screened import write_screened

if TYPE_CHECKING:
    from pressroom.inference.types import Media, Runner
    from pressroom.records import Coverage, Detector, Tally
    from pressroom.reports.files import Tick
    from pressroom.reports.screening import ScreeningReport
    from pressroom.safety.replay import Screened
    from pressroom.settings import Settings


class FailOn(StrEnum):
    """The outcome from which on the command says no."""

    review = "review"
    block = "block"


_FAILS = {FailOn.block: ("block",), FailOn.review: ("block", "review", "incomplete")}
_STYLES = {"block": "bold red", "review": "yellow", "incomplete": "yellow", "clear": "green", "refused": "bold red"}
_TRIGGERS_SHOWN = 12
# The folder under the system's temporary one, and the file in it that is locked while the command lives.
FOLDER, LOCK = "pressroom-screen-", "in-use.lock"
STARTS_WITHIN_S = 60  # from making the folder to holding its lock takes a millisecond; a minute is beyond any stall
SIGNALS = "signals.json"


def screen(
    video: Annotated[Path, typer.Argument(help="The video file.")],
    policy: Annotated[Path | None, typer.Option("--policy", metavar="FILE", help="Policy (YAML).")] = None,
    out_folder: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder for the report.")] = None,
    fail_on: Annotated[FailOn | None, typer.Option("--fail-on", help="End with 1 at this outcome; review: also at incomplete.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="What the video is called where it is shown.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What is written beside it.")] = None,
    language: Annotated[str, typer.Option("--language", metavar="CODE", help="What is spoken, as en or de.")] = "en",
    json: JsonFlag = False,
) -> None:
    """Screens one video: frames and sound, what is said, shown and seen in it, the risks that the policy names, and a report.

    Beside the report, --out writes signals.json: what was found, for `pressroom risks diff FILE --signals`.
    """
    from pressroom.compliance.detecting import Words
    from pressroom.compliance.source import rules_of
    from pressroom.errors import Refused
    from pressroom.records import Tally
    from pressroom.reports.files import screen_file
    from pressroom.safety.policy import policy as load_policy
    from pressroom.settings import load_settings

    _check_language(language)
    settings = load_settings()
    rules = load_policy(policy or settings.policy or "default", settings.risks)
    if out_folder:
        _writable(out_folder)
    tally = Tally()
    with work_folder() as folder, _runners(settings, tally) as (runners, afford), _bars() as tick:
        report, screened = screen_file(
            video,
            folder,
            rules_of(settings),
            runners,
            rules,
            words=Words(title, description),
            language=language,
            tick=tick,
            afford=afford,
            tally=tally,
        )
        if out_folder:
            _write(report, screened, out_folder, folder)
    if json:
        emit(report.model_dump(mode="json"))
    else:
        if report.state != "refused":
            _show(report)
        if out_folder:
            out.print(f"report: {out_folder / 'report.html'}", soft_wrap=True, highlight=False)
    if report.state == "refused":
        raise Refused(f"{video}: {report.why}")
    if fail_on and report.outcome in _FAILS[fail_on]:
        raise typer.Exit(1)


def _check_language(language: str) -> None:
    """Raises BadInput for what is no language."""
    from pydantic import TypeAdapter, ValidationError

    from pressroom.errors import BadInput
    from pressroom.records import Language
    from pressroom.wording import fitting

    try:
        TypeAdapter(Language).validate_python(language)
    except ValidationError as error:
        (problem,) = error.errors()
        raise BadInput(f"--language {language!r}: expected {fitting(problem['type'], problem['ctx'])}") from None


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for what is taken from the video, gone at the end. Those of commands that were killed go first: nobody holds their lock."""
    import tempfile
    from contextlib import suppress
    from shutil import rmtree

    from filelock import FileLock, Timeout

    with tempfile.TemporaryDirectory(prefix=FOLDER) as name, FileLock(Path(name) / LOCK):
        own = Path(name)
        for other in own.parent.glob(f"{FOLDER}*"):
            with suppress(OSError, Timeout):
                facts = other.lstat()
                # Of another user, or a link to somewhere: not ours. A new one may be about to take its lock.
                is_ours = S_ISDIR(facts.st_mode) and facts.st_uid == own.lstat().st_uid
                if is_ours and other != own and time.time() - facts.st_mtime > STARTS_WITHIN_S:
                    with FileLock(other / LOCK, timeout=0):
                        rmtree(other)
        yield own


@contextmanager
def _runners(settings: "Settings", tally: "Tally") -> Iterator[tuple[Mapping["Detector", "Runner"], Callable[["Media"], object]]]:
    """Who looks, and what holds the cost of it against the limit. Only hosted models need the ledger, and so a database; what is paid is
    counted on `tally`, under a run id of this command's own."""
    from pressroom.inference.local import local_runners

    if not settings.hosted_inference:
        yield local_runners(settings), lambda media: None
        return
    from pressroom.compliance.spending import check_estimate
    from pressroom.inference.opening import open_runners
    from pressroom.llm.opening import budget_of
    from pressroom.store.engine import open_store

    limit, run_id = budget_of(settings).limit, f"screen-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    with open_store(settings) as store, open_runners(settings, store, None, run_id, tally) as runners:
        yield runners, lambda media: store.retrying(lambda session: check_estimate(session, None, media, runners, runners, limit))


@contextmanager
def _bars() -> Iterator["Tick"]:
    """A bar for each stage and detector on a terminal, else nothing."""
    if not err.is_terminal:
        yield lambda name, done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bars: dict[str, object] = {}
    with Progress(TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err) as progress:

        def tick(name: str, done: int, total: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name.replace("_", " "), total=total)
            progress.update(bars[name], completed=done, total=total)  # type: ignore[arg-type]

        yield tick


def _writable(folder: Path) -> None:
    from pressroom.errors import BadInput

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {folder}: cannot be made ({error.strerror})") from None


def _write(report: "ScreeningReport", screened: "Screened | None", folder: Path, media: Path) -> None:
    """The report's files, and what it was judged by."""
    from pressroom.errors import BadInput
    from pressroom.reports.screening_render import render_screening_html, render_screening_json, render_screening_vtt

    html = render_screening_html(report, thumbnail=lambda frame: (media / "thumb" / frame.key).read_bytes())
    try:
        for name, text in (("html", html), ("json", render_screening_json(report)), ("vtt", render_screening_vtt(report))):
            (folder / f"report.{name}").write_text(text, encoding="utf-8")
        if screened:
            write_screened(screened, folder / SIGNALS)
        else:
            (folder / SIGNALS).unlink(missing_ok=True)  # of another film, before
    except OSError as error:
        raise BadInput(f"--out {folder}: cannot be written ({error.strerror})") from None


def _show(report: "ScreeningReport") -> None:
    from rich.table import Table
    from rich.text import Text

    from pressroom.reports.screening_render import told_cost

    outcome = report.outcome or report.state
    out.print(Text.assemble((outcome, _STYLES.get(outcome, "bold")), f"  {report.why}"), soft_wrap=True)
    is_silent = report.video.probe is not None and report.video.probe.audio_codec is None
    coverage = Table("detector", "looked at", "signals", box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for one in report.coverage:
        coverage.add_row(one.detector, _looked_at(one, is_silent), str(report.signals.get(one.detector, 0)))
    out.print(coverage)
    for one in report.coverage:
        if one.reason:
            out.print(Text(f"{one.detector}: {one.reason}"), soft_wrap=True)
    if report.triggers:
        found = Table("at", "code", "severity", "action", "what", box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for trigger in sorted(report.triggers, key=lambda each: (-each.severity, each.start_ms))[:_TRIGGERS_SHOWN]:
            said = next((evidence.text for evidence in trigger.evidence if evidence.text), trigger.title)
            found.add_row(f"{trigger.start_ms / 1000:.1f} s", trigger.code, str(trigger.severity), trigger.action, Text(said or ""))
        out.print(found)
        if (more := len(report.triggers) - _TRIGGERS_SHOWN) > 0:
            say(f"and {more} more triggers: see the report")
    if report.cost.paid or report.cost.replayed:
        out.print(told_cost(report.cost), soft_wrap=True, highlight=False)


def _looked_at(coverage: "Coverage", is_silent: bool) -> str:
    from pressroom.reports.screening import HEARD

    if is_silent and coverage.detector in HEARD and coverage.state in ("analysed", "skipped"):
        return "nothing to hear"
    return f"{coverage.fraction:.0%}" if coverage.state == "analysed" else f"not analysed ({coverage.state})"
