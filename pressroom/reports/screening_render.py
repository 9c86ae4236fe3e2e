"""The compliance report as HTML, JSON, WebVTT of its triggers, and Markdown. Words and figures for people are made here, facts are not."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pressroom.compliance.tracks import clock as vtt_time
from pressroom.errors import BadInput
from pressroom.records import Coverage, Trigger
from pressroom.reports.render import markdown_text
from pressroom.reports.screening import DETECTOR_NAMES, HEARD, Cost, ScreeningReport, clock, has_looked, not_analysed, sentence, unseen
from pressroom.reports.screening_evidence import ACTIONS, LONGEST_QUOTE, Group, Quote, Thumbnail, groups, legible, pictures, quotes, weight
from pressroom.reports.screening_timeline import Lane, lanes, length_ms, ticks
from pressroom.wording import some

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).with_name("templates")
_QUOTES_EACH = 3
# A cue shorter than this is over before it can be read.
_CUE_MS = 1000
_SCHEMES = {"garm": "GARM", "rekognition": "Rekognition", "youtube": "YouTube ads"}
_TONES = {
    "good": ("clear", "analysed", "pass"),
    "warn": ("review", "incomplete", "in part"),
    "bad": ("block", "escalate", "refused", "failed", "not analysed"),
}


def render_screening_json(report: ScreeningReport) -> str:
    """The whole document, as indented JSON that docs/compliance-report.schema.json describes."""
    return json.dumps(report.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"


def render_screening_html(report: ScreeningReport, *, thumbnail: Thumbnail | None = None, video_url: str | None = None) -> str:
    """The report as one HTML document that can be read without network and script.

    `thumbnail` gives a frame's JPEG, or None where it is gone. With `video_url` (http, https, file or a relative path, percent-encoded)
    there is a player, which is then the only thing fetched, and times lead into it: as links to `#t=`, and in the page where scripts run.
    Raises BadInput for another kind of address.
    """
    if video_url is not None and not _is_link(video_url):
        raise BadInput("the video's address in a report is http, https, file or a relative path")
    length = length_ms(report.video.probe.duration_ms if report.video.probe else 0, report.triggers)
    script = _environment().get_template("screening.js.j2").render() if video_url else ""
    found = groups(report.triggers)
    return (
        _environment()
        .get_template("screening.html.j2")
        .render(
            report=report,
            groups=found,
            places=_places(found),
            pictures=pictures(report, thumbnail or (lambda frame: None)),
            lanes=list(lanes(report.triggers, report.coverage, length)),
            ticks=ticks(length),
            video_url=video_url.partition("#")[0] if video_url else None,
            script=script,
            policy=_content_policy(script, video_url),
        )
    )


def render_screening_markdown(report: ScreeningReport, most: int = 10) -> str:
    """The report in short, as the Dagster UI shows it: outcome, what was not analysed, and the `most` severest triggers."""
    worst = sorted(report.triggers, key=weight)[:most]
    return _environment().get_template("screening.md.j2").render(report=report, worst=worst).strip() + "\n"


def render_screening_vtt(report: ScreeningReport) -> str:
    """WebVTT with one cue for each trigger, by time, named `trigger-<number>`; a cue stays for a second at least.

    Source: W3C WebVTT, "Syntax": text has & < > escaped, no line of it is empty, and none has the arrow in it.
    """
    head = [_vtt_text(line) for line in (f"Risk triggers of {report.video.name}", f"Policy {_policy(report)}, report {report.version}")]
    blocks = ["WEBVTT", "\n".join(["NOTE", *head])]
    for trigger in report.triggers:
        start = max(trigger.start_ms, 0)
        end = max(trigger.end_ms, start + _CUE_MS)
        said = [quote.text for quote in quotes(trigger)[:1]]
        lines = [f"{trigger.code}: {trigger.title} ({trigger.action}, severity {trigger.severity}, {_score(trigger.peak)})", *said]
        blocks.append("\n".join([f"trigger-{trigger.number}", f"{vtt_time(start)} --> {vtt_time(end)}", *map(_vtt_text, lines)]))
    return "\n\n".join(blocks) + "\n"


def _places(found: Sequence[Group]) -> dict[int, str]:
    """Where a trigger stands on the page, by its number: at its own card, else at its risk code."""
    places = {trigger.number: f"risk-{place}" for place, group in enumerate(found, start=1) for trigger in group.triggers}
    return places | {trigger.number: f"trigger-{trigger.number}" for group in found for trigger in group.cards}


def _first_quotes(trigger: Trigger) -> tuple[list[Quote], int]:
    """Those that are shown, and how many more there are."""
    found = quotes(trigger)
    return found[:_QUOTES_EACH], len(found[_QUOTES_EACH:])


def _content_policy(script: str, video_url: str | None) -> str:
    """Whatever a text in the report might become, the browser fetches nothing but the video and runs nothing but our own script."""
    parts = ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data:"]
    if video_url is not None:
        address = urlsplit(video_url)
        host = address.netloc.rpartition("@")[2]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        source = f"{address.scheme}://{host}" if host else "'self' file:"
        parts += [f"media-src {source}", f"script-src 'sha256-{digest}'"]
    return "; ".join(parts)


def _is_link(address: str) -> bool:
    """An address that leads to a document and runs nothing; no white space, which browsers drop in the middle of `java script:`."""
    try:
        scheme = urlsplit(address).scheme
    except ValueError:
        return False
    return scheme in ("", "http", "https", "file") and not re.search(r"[\s;'\"<>\\\x00-\x1f]", address)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=select_autoescape(["html.j2"]), undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "actions": _actions,
        "bytes": _bytes,
        "clock": clock,
        "cost": _cost,
        "told_cost": told_cost,
        "detector": lambda detector: DETECTOR_NAMES.get(detector, detector),
        "detectors": lambda detectors: ", ".join(DETECTOR_NAMES[detector].lower() for detector in detectors),
        "has_looked": has_looked,
        "is_link": _is_link,
        "lane_note": _lane_note,
        "looked_at": looked_at,
        "mark_title": lambda mark: _mark_title(mark.triggers, mark.start_ms, mark.end_ms),
        "md": markdown_text,
        "number": lambda number: f"{number:,}",
        "percent": _percent,
        "plural": some,
        "policy_name": _policy,
        "quotes": _first_quotes,
        "scheme": lambda scheme: _SCHEMES.get(scheme, scheme),
        "score": _score,
        "seconds": lambda ms: f"{ms / 1000:.3f}",
        "legible": legible,
        "tone": lambda state: next((tone for tone, states in _TONES.items() if state in states), ""),
        "unseen": _unseen,
    }
    return environment


def _vtt_text(text: str) -> str:
    return escape(legible(text, LONGEST_QUOTE), quote=False)


def _score(score: float | None) -> str:
    return "no score" if score is None else f"score {score:.2f}"


def _percent(part: float) -> str:
    """Rounded down, so that only what is whole says 100 %."""
    return f"{int(part * 100 + 1e-9)} %"


def _bytes(size: int) -> str:
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 1 << shift:
            return f"{size / (1 << shift):.1f} {unit}"
    return f"{size} bytes"


def _cost(usd: Decimal | None) -> str:
    """Money in US dollars, or "unpriced" where no price is known: never 0 for what was not free."""
    if usd is None:
        return "unpriced"
    if 0 < usd < Decimal("0.0001"):
        return "under $0.0001"
    return f"${usd:,.2f}" if usd >= 1 or not usd else f"${usd:.4f}"


def told_cost(cost: Cost) -> str:
    """What the video cost in all, and what the run that looked last paid of it, in one sentence."""
    paid = "" if cost.paid_usd is None else f" {_cost(cost.paid_usd)}"
    return f"{_cost(cost.usd)} in all; this run paid{paid} for {some(cost.paid, 'call')}, {cost.replayed:,} answered before"


def _policy(report: ScreeningReport) -> str:
    """The policy's version, which usually has its name in front."""
    if report.policy is None:
        return "none"
    name, version = report.policy.name, report.policy.version
    return version if version.startswith(name) else f"{name} {version}"


def _actions(triggers: Iterable[Trigger]) -> str:
    """Counted by what the policy does with them: "2 block, 3 review"."""
    counted = [(action, sum(trigger.action == action for trigger in triggers)) for action in ACTIONS]
    return ", ".join(f"{number:,} {action}" for action, number in counted if number)


def looked_at(coverage: Coverage) -> tuple[str, str]:
    """How far a detector came: a word, and the figures behind it."""
    reason = sentence(coverage.reason)
    if coverage.state == "failed":
        return "not analysed", reason or "The detector failed."
    if not has_looked(coverage):
        return "not analysed", reason
    said = "; ".join(_figures(coverage)) + (f". {reason}" if reason else "")
    return ("in part" if unseen(coverage) else "analysed"), said


def _figures(coverage: Coverage) -> Iterator[str]:
    part, whole = (clock(round(seconds * 1000)) for seconds in (coverage.seconds, coverage.of_s))
    if coverage.detector in HEARD:  # sound is one stretch: looks and the gaps between them say nothing of it
        yield f"{part} of {whole} heard" if unseen(coverage) or coverage.reason else f"all {whole} heard"
        if coverage.largest_gap_s:
            yield f"longest stretch not heard {coverage.largest_gap_s:.1f} s"
        return
    yield f"{part} of {whole}"
    if coverage.largest_gap_s is not None:
        yield f"largest gap {coverage.largest_gap_s:.1f} s"
    if coverage.looks:
        stood = f", in {coverage.stood_for:,} of them a near-identical frame stood in" if coverage.stood_for else ""
        yield f"{some(coverage.looks, 'look')}{stood}"


def _unseen(report: ScreeningReport) -> list[tuple[str, str]]:
    """What was not analysed and why, the detectors with one cause together; then what else the policy says, under no name."""
    causes: dict[str, list[str]] = {}
    for coverage in report.coverage:
        if cause := unseen(coverage):
            causes.setdefault(cause, []).append(DETECTOR_NAMES[coverage.detector])
    by_cause = [(", ".join(names[:1] + [name.lower() for name in names[1:]]), cause) for cause, names in causes.items()]
    told = {not_analysed(coverage) for coverage in report.coverage}
    return by_cause + [("", line) for line in report.not_analysed if line not in told]


def _lane_note(lane: Lane) -> str:
    if lane.missing and not lane.looked:
        return "not analysed"
    notes = [("not analysed: ", lane.missing), ("in part: ", lane.partly)]
    return "; ".join(what + ", ".join(DETECTOR_NAMES[detector].lower() for detector in found) for what, found in notes if found)


def _mark_title(triggers: Sequence[Trigger], start_ms: int, end_ms: int) -> str:
    codes = ", ".join(dict.fromkeys(trigger.code for trigger in triggers))
    return f"{clock(start_ms)} to {clock(end_ms)}: {some(len(triggers), 'trigger')}, {codes}, severity {triggers[0].severity}"
