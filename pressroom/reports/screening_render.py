"""The compliance report as HTML, JSON, WebVTT of its triggers, and Markdown. Words and figures for people are made here, facts are not."""

import base64
import hashlib
import itertools
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from pressroom.compliance.tracks import clock as vtt_time
from pressroom.errors import BadInput
from pressroom.records import Coverage, Evidence, Frame, Trigger
from pressroom.reports.render import markdown_text
from pressroom.reports.screening import DETECTOR_NAMES, Cost, ScreeningReport, clock, has_looked, not_analysed, sentence, unseen
from pressroom.reports.screening_timeline import Lane, lanes, length_ms, ticks

if TYPE_CHECKING:
    from jinja2 import Environment

Thumbnail = Callable[[Frame], bytes | None]

_TEMPLATES = Path(__file__).with_name("templates")
# All pictures together, so that a report of 300 triggers can still be mailed: 3 MB of JPEG are 4 MB of HTML.
_PICTURE_BYTES = 3_000_000
_PICTURES_EACH = 3
_QUOTES_EACH = 3
_QUOTE = 240
# Of one risk code; a talk full of profanity has thousands. The JSON report has all.
_CARDS_EACH = 200
# A severe picture is veiled until somebody asks for it.
_SEVERE = 2
# A cue shorter than this is over before it can be read.
_CUE_MS = 1000
_SCHEMES = {"garm": "GARM", "rekognition": "Rekognition", "youtube": "YouTube ads"}
_HEARD = ("transcript", "sound")
_ACTIONS = ("block", "escalate", "review", "pass")
# Characters that turn the text after them around or do not print. They are shown as U+FFFD: that they are there is a fact worth seeing.
_UNPRINTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TONES = {
    "good": ("clear", "analysed", "pass"),
    "warn": ("review", "incomplete", "in part"),
    "bad": ("block", "escalate", "refused", "failed", "not analysed"),
}


class Picture(NamedTuple):
    """One frame of a trigger. `data` is its data URI; without it, `note` says why. `veiled`: not shown until asked for."""

    at_ms: int
    data: str
    veiled: bool
    note: str = ""


class Quote(NamedTuple):
    """What was said, seen in the picture, or (`how` is "in writing") stands in title or description, at no time of the video."""

    text: str
    at_ms: int
    how: str


class Group(NamedTuple):
    """The triggers of one risk code, by time. `rule` and `crosswalk` are those that all of them share, else empty.

    `cards` are those that are shown one by one: all of them, or the weightiest 200.
    """

    code: str
    title: str
    severity: int
    action: str
    triggers: tuple[Trigger, ...]
    cards: tuple[Trigger, ...]
    rule: str
    crosswalk: dict[str, str]

    @property
    def peak(self) -> float | None:
        return max((trigger.peak for trigger in self.triggers if trigger.peak is not None), default=None)


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
    worst = sorted(report.triggers, key=_weight)[:most]
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


def groups(triggers: Sequence[Trigger]) -> list[Group]:
    """The triggers by risk code: what blocks first, then by severity."""
    by_code = sorted(triggers, key=lambda trigger: (trigger.code, trigger.start_ms, trigger.number))
    found = [_group(code, tuple(members)) for code, members in itertools.groupby(by_code, key=lambda trigger: trigger.code)]
    return sorted(found, key=lambda group: (_ACTIONS.index(group.action), -group.severity, group.code))


def _group(code: str, members: tuple[Trigger, ...]) -> Group:
    by_weight = sorted(members, key=_weight)
    first, shown = by_weight[0], {trigger.number for trigger in by_weight[:_CARDS_EACH]}
    return Group(
        code=code,
        title=first.title,
        severity=max(trigger.severity for trigger in members),
        action=first.action,
        triggers=members,
        cards=tuple(trigger for trigger in members if trigger.number in shown),
        rule=first.rule if all(trigger.rule == first.rule for trigger in members) else "",
        crosswalk=first.crosswalk if all(trigger.crosswalk == first.crosswalk for trigger in members) else {},
    )


def _places(found: Sequence[Group]) -> dict[int, str]:
    """Where a trigger stands on the page, by its number: at its own card, else at its risk code."""
    places = {trigger.number: f"risk-{place}" for place, group in enumerate(found, start=1) for trigger in group.triggers}
    return places | {trigger.number: f"trigger-{trigger.number}" for group in found for trigger in group.cards}


def pictures(report: ScreeningReport, thumbnail: Thumbnail) -> dict[int, tuple[Picture, ...]]:
    """The frames of every trigger that has a card, by its number, the best first: one for each trigger in the order of their weight, then
    a second and a third, as long as all together stay within 3 MB."""
    frames = {frame.number: frame for frame in report.frames}
    shown = sorted((trigger for group in groups(report.triggers) for trigger in group.cards), key=_weight)
    chosen = {trigger.number: _frames_of(trigger, frames) for trigger in shown}
    veiled = _in_view(report, lambda trigger: trigger.severity >= _SEVERE and trigger.modality == "visual")
    withheld = _in_view(report, lambda trigger: report.role is not None and trigger.action == "escalate")
    left, found = _PICTURE_BYTES, dict[int, list[Picture]]()
    for place in range(_PICTURES_EACH):
        for number, of_trigger in chosen.items():
            if place >= len(of_trigger):
                continue
            frame = of_trigger[place]
            kept_back = (b"", f"Picture withheld: only the role {report.role} may see it.")
            content, note = kept_back if frame.number in withheld else _content(frame, thumbnail, left)
            left -= len(content)
            if content or place == 0:
                data = f"data:image/jpeg;base64,{base64.b64encode(content).decode()}" if content else ""
                found.setdefault(number, []).append(Picture(frame.at_ms, data, frame.number in veiled, note))
    return {number: tuple(pictures) for number, pictures in found.items()}


def _content(frame: Frame, thumbnail: Thumbnail, left: int) -> tuple[bytes, str]:
    """The frame's JPEG when it is there and at most `left` bytes, else why it is not shown."""
    content = thumbnail(frame) if left > 0 else b""
    if left > 0 and not (content and content.startswith(b"\xff\xd8\xff")):
        return b"", "The picture is no longer stored."
    return (content, "") if content and len(content) <= left else (b"", "Picture left out: the report would grow too large.")


def _in_view(report: ScreeningReport, is_meant: Callable[[Trigger], bool]) -> set[int]:
    """Numbers of the frames that show what such triggers are about: also a frame that stands for another, milder trigger."""
    frames = sorted(report.frames, key=lambda frame: frame.at_ms)
    found = set[int]()
    for trigger in filter(is_meant, report.triggers):
        first = bisect_left(frames, trigger.start_ms, key=lambda frame: frame.at_ms)
        last = bisect_left(frames, trigger.end_ms, key=lambda frame: frame.at_ms)
        found |= {frame.number for frame in frames[first:last]} | {one.frame for one in trigger.evidence if one.frame is not None}
    return found


def _frames_of(trigger: Trigger, frames: Mapping[int, Frame]) -> list[Frame]:
    """Its evidence frames, the highest score first, none twice."""
    shown = [one for one in trigger.evidence if one.frame in frames]
    ordered = sorted(shown, key=lambda one: (-(one.score or 0), one.at_ms))
    return [frames[number] for number in dict.fromkeys(one.frame for one in ordered) if number is not None][:_PICTURES_EACH]


def quotes(trigger: Trigger) -> list[Quote]:
    """The words that a trigger stands on, by time, none twice."""
    found: dict[str, Evidence] = {}
    for one in sorted(trigger.evidence, key=lambda one: one.at_ms):
        if one.text and one.text.strip():
            found.setdefault(" ".join(one.text.split()).casefold(), one)
    return [Quote(_shown(one.text or "", _QUOTE), one.at_ms, _how(trigger, one)) for one in found.values()]


def _how(trigger: Trigger, evidence: Evidence) -> str:
    if evidence.source:
        return {"transcript": "said", "screen_text": "read"}.get(evidence.source, "in writing")
    if trigger.modality == "speech":
        return "said"
    return "in writing" if evidence.frame is None else "read"


def _first_quotes(trigger: Trigger) -> tuple[list[Quote], int]:
    """Those that are shown, and how many more there are."""
    found = quotes(trigger)
    return found[:_QUOTES_EACH], len(found[_QUOTES_EACH:])


def _weight(trigger: Trigger) -> tuple[int, int, float, int, int]:
    """Sorts the trigger first that a person should see first."""
    return (_ACTIONS.index(trigger.action), -trigger.severity, -(trigger.peak or 0), trigger.start_ms, trigger.number)


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
        "looked_at": _looked_at,
        "mark_title": lambda mark: _mark_title(mark.triggers, mark.start_ms, mark.end_ms),
        "md": markdown_text,
        "number": lambda number: f"{number:,}",
        "percent": _percent,
        "plural": _plural,
        "policy_name": _policy,
        "quotes": _first_quotes,
        "scheme": lambda scheme: _SCHEMES.get(scheme, scheme),
        "score": _score,
        "seconds": lambda ms: f"{ms / 1000:.3f}",
        "shown": _shown,
        "tone": lambda state: next((tone for tone, states in _TONES.items() if state in states), ""),
        "unseen": _unseen,
    }
    return environment


def _shown(text: str, most: int = 1000) -> str:
    """A text of others on one line, with what cannot be seen made visible."""
    line = " ".join(_UNPRINTED.sub("\ufffd", text[: most * 4]).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _vtt_text(text: str) -> str:
    return escape(_shown(text, _QUOTE), quote=False)


def _score(score: float | None) -> str:
    return "no score" if score is None else f"score {score:.2f}"


def _percent(part: float) -> str:
    """Rounded down, so that only what is whole says 100 %."""
    return f"{int(part * 100 + 1e-9)} %"


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
    return f"{_cost(cost.usd)} in all; this run paid{paid} for {_plural(cost.paid, 'call')}, {cost.replayed:,} answered before"


def _policy(report: ScreeningReport) -> str:
    """The policy's version, which usually has its name in front."""
    if report.policy is None:
        return "none"
    name, version = report.policy.name, report.policy.version
    return version if version.startswith(name) else f"{name} {version}"


def _actions(triggers: Iterable[Trigger]) -> str:
    """Counted by what the policy does with them: "2 block, 3 review"."""
    counted = [(action, sum(trigger.action == action for trigger in triggers)) for action in _ACTIONS]
    return ", ".join(f"{number:,} {action}" for action, number in counted if number)


def _looked_at(coverage: Coverage) -> tuple[str, str]:
    """How far a detector came: a word, and the figures behind it."""
    reason = sentence(coverage.reason)
    if coverage.state == "failed":
        return "not analysed", reason or "The detector failed."
    if not has_looked(coverage):
        return "not analysed", reason
    figures = [f"{clock(round(coverage.seconds * 1000))} of {clock(round(coverage.of_s * 1000))}"]
    if coverage.detector in _HEARD:  # sound is one stretch: looks and the gaps between them say nothing of it
        figures = [f"all {clock(round(coverage.of_s * 1000))} heard" if not unseen(coverage) and not reason else f"{figures[0]} heard"]
        if coverage.largest_gap_s:
            figures.append(f"longest stretch not heard {coverage.largest_gap_s:.1f} s")
    elif coverage.largest_gap_s is not None:
        figures.append(f"largest gap {coverage.largest_gap_s:.1f} s")
    if coverage.looks and coverage.detector not in _HEARD:
        stood = f", in {coverage.stood_for:,} of them a near-identical frame stood in" if coverage.stood_for else ""
        figures.append(f"{_plural(coverage.looks, 'look')}{stood}")
    said = "; ".join(figures) + (f". {reason}" if reason else "")
    return ("in part" if unseen(coverage) else "analysed"), said


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
    return f"{clock(start_ms)} to {clock(end_ms)}: {_plural(len(triggers), 'trigger')}, {codes}, severity {triggers[0].severity}"
