"""What of a report's triggers is shown to people, and in which order: by risk code, each with its pictures and the words it stands on."""

import base64
import itertools
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pressroom.records import Evidence, Frame, Trigger
from pressroom.reports.screening import ScreeningReport

Thumbnail = Callable[[Frame], bytes | None]

ACTIONS = ("block", "escalate", "review", "pass")
# All pictures together, so that a report of 300 triggers can still be mailed: 3 MB of JPEG are 4 MB of HTML.
_PICTURE_BYTES = 3_000_000
_PICTURES_EACH = 3
LONGEST_QUOTE = 240
# Of one risk code; a talk full of profanity has thousands. The JSON report has all.
_CARDS_EACH = 200
# A severe picture is veiled until somebody asks for it.
_SEVERE = 2
# Characters that turn the text after them around or do not print. They are shown as U+FFFD: that they are there is a fact worth seeing.
_UNPRINTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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


def groups(triggers: Sequence[Trigger]) -> list[Group]:
    """The triggers by risk code: what blocks first, then by severity."""
    by_code = sorted(triggers, key=lambda trigger: (trigger.code, trigger.start_ms, trigger.number))
    found = [_group(code, tuple(members)) for code, members in itertools.groupby(by_code, key=lambda trigger: trigger.code)]
    return sorted(found, key=lambda group: (ACTIONS.index(group.action), -group.severity, group.code))


def _group(code: str, members: tuple[Trigger, ...]) -> Group:
    by_weight = sorted(members, key=weight)
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


def pictures(report: ScreeningReport, thumbnail: Thumbnail) -> dict[int, tuple[Picture, ...]]:
    """The frames of every trigger that has a card, by its number, the best first: one for each trigger in the order of their weight, then
    a second and a third, as long as all together stay within 3 MB."""
    frames = {frame.number: frame for frame in report.frames}
    shown = sorted((trigger for group in groups(report.triggers) for trigger in group.cards), key=weight)
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
    return [Quote(legible(one.text or "", LONGEST_QUOTE), one.at_ms, _how(trigger, one)) for one in found.values()]


def _how(trigger: Trigger, evidence: Evidence) -> str:
    if evidence.source:
        return {"transcript": "said", "screen_text": "read"}.get(evidence.source, "in writing")
    if trigger.modality == "speech":
        return "said"
    return "in writing" if evidence.frame is None else "read"


def weight(trigger: Trigger) -> tuple[int, int, float, int, int]:
    """Sorts the trigger first that a person should see first."""
    return (ACTIONS.index(trigger.action), -trigger.severity, -(trigger.peak or 0), trigger.start_ms, trigger.number)


def legible(text: str, most: int = 1000) -> str:
    """A text of others on one line, with what cannot be seen made visible."""
    line = " ".join(_UNPRINTED.sub("\ufffd", text[: most * 4]).split())
    return line if len(line) <= most else line[: most - 1] + "…"
