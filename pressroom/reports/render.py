"""The daily report as HTML (mail, print, screen), JSON and Markdown. Words and figures for people are made here, facts are not."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from pressroom.reports.document import DailyReport, DraftReport
from pressroom.store.reports import CallsFact, RunFact, StepFact

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = Path(__file__).with_name("templates")
# How the parts of a draft are read, one after the other. The database keeps no order of keys; a part that is not here comes after these.
_READING = ("hook", "value", "text", "posts", "key_points", "call_to_action", "scenes", "caption", "hashtags")
_TONES = {
    "good": ("complete", "completed", "done", "reviewed", "ready", "published", "answered"),
    "blue": ("generated", "edited"),
    "warn": ("partial", "missing", "running", "carried", "pending", "waiting", "batched", "archived"),
    "bad": ("failed", "blocked", "cancelled"),
}


class Item(NamedTuple):
    """One paragraph, list item or post. `broken` says that a rule is broken in it."""

    text: str
    note: str = ""
    broken: bool = False


class Block(NamedTuple):
    """One part of a draft, as it is read."""

    kind: Literal["text", "posts", "list"]
    label: str
    items: tuple[Item, ...]
    note: str = ""


class Bar(NamedTuple):
    """One step on the time line: `left` and `width` in per cent of the run."""

    step: StepFact
    left: float
    width: float
    seconds: float
    calls: str


def render_html(report: DailyReport) -> str:
    """The report as one HTML document that needs no network, no script and no font."""
    return _environment().get_template("report.html.j2").render(report=report)


def render_json(report: DailyReport) -> str:
    """The whole document, as indented JSON."""
    return json.dumps(report.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"


def render_markdown(report: DailyReport) -> str:
    """The report in short: verdict, what waits for a person, ideas and drafts, cost. User text is escaped; there is no HTML in it."""
    return _environment().get_template("report.md.j2").render(report=report).strip() + "\n"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        keep_trailing_newline=False,
    )
    environment.filters |= {
        "bars": bars,
        "blocks": blocks,
        "broken": _broken,
        "clock": _clock,
        "cost": _cost,
        "length_of_run": _length,
        "long_date": lambda day: f"{day:%A}, {day.day} {day:%B %Y}",
        "md": markdown_text,
        "measures": _measures,
        "number": _number,
        "part_name": part_name,
        "place": _place,
        "span": _span,
        "tone": lambda state: next((tone for tone, states in _TONES.items() if state in states), ""),
        "usable": lambda report: sum(draft.state != "failed" for draft in report.drafts),
        "wanted": lambda report: max(len(report.ideas), report.site.ideas_wanted) * len(report.site.platforms),
    }
    return environment


def blocks(draft: DraftReport) -> list[Block]:
    """A draft's parts in reading order, whatever its platform: texts, lists, and the posts of a thread. Without parts, its text."""
    parts = {name: value for name, value in draft.parts.items() if value not in (None, "", [], {})}
    if not parts:
        return [Block("text", "", (Item(draft.text),))]
    names = sorted(parts, key=lambda name: (_READING.index(name) if name in _READING else len(_READING), name))
    return [_block(name, parts[name], draft) for name in names]


def _block(name: str, value: JsonValue, draft: DraftReport) -> Block:
    label = "" if name == "text" else _label(name)
    if isinstance(value, list):
        if name == "posts":
            return Block("posts", "", tuple(_post(number, post, draft) for number, post in enumerate(value)))
        if name == "hashtags":
            return Block("text", label, (Item(" ".join(_text(tag) for tag in value)),))
        return Block("list", label, tuple(_item(item) for item in value))
    seconds = draft.measures.get(f"{name}_seconds")
    note = f"{_number(seconds)} s spoken" if isinstance(seconds, int | float) else ""
    return Block("text", label, (Item(_text(value)),), note)


def _post(number: int, post: JsonValue, draft: DraftReport) -> Item:
    """A post with its length as the platform counts it: a thread has a figure for each post, a single post is its own longest."""
    lengths = draft.measures.get("weighted_lengths") or [draft.measures.get("weighted_length")]
    length = lengths[number] if isinstance(lengths, list) and number < len(lengths) else None
    limit = draft.limits.get("weighted_length")
    note = f"{_number(length)} of {_number(limit)}" if length is not None and limit else ""
    broken = any(violation.part == f"posts[{number}]" and violation.is_error for violation in draft.violations)
    return Item(_item(post).text, note, broken)


def _item(item: JsonValue) -> Item:
    """A list item; of a structure, the description or its longest text is the item and the rest its note."""
    if not isinstance(item, Mapping):
        return Item(_text(item))
    texts = {name: _text(value) for name, value in item.items() if value not in (None, "", [], {})}
    main = "description" if "description" in texts else max(texts, key=lambda name: len(texts[name]), default="")
    return Item(texts.get(main, ""), ", ".join(text.replace("_", " ") for name, text in sorted(texts.items()) if name != main))


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def part_name(part: str) -> str:
    """A part in plain words: "posts[1]" is "post 2"."""
    words = re.sub(r"(\w+?)s?\[(\d+)\]", lambda found: f"{found[1]} {int(found[2]) + 1}", part)
    return words.replace("_", " ").replace(".", ", ")


def bars(run: RunFact) -> Iterator[Bar]:
    """The steps of a run to scale, in their order. A run that was retried spans all of its attempts."""
    whole = _length(run) or 1.0
    for step in sorted(run.steps, key=lambda step: (step.started_at, step.asset)):
        seconds = max((step.ended_at - step.started_at).total_seconds(), 0.0)
        left = min(max((step.started_at - run.started_at).total_seconds() / whole * 100, 0.0), 100.0)
        calls = ", ".join(f"{_number(count)} {name}" for name, count in sorted(step.calls.items()) if count)
        yield Bar(step, round(left, 2), round(min(seconds / whole * 100, 100 - left), 2), seconds, calls)


def _length(run: RunFact) -> float:
    """Seconds from a run's start to its end, or to the end of its last step so far."""
    ends = [step.ended_at for step in run.steps] + ([run.ended_at] if run.ended_at else [])
    return max((max(ends) - run.started_at).total_seconds(), 0.0) if ends else 0.0


def markdown_text(text: str, most: int = 300) -> str:
    """`text` as one line of at most `most` characters that Markdown shows as it is, and that turns no text after it around."""
    line = " ".join(re.sub(r"[\u202a-\u202e\u2066-\u2069]", "", str(text)).split())
    return re.sub(r"([\\`*_{}\[\]()<>#|~!&])", r"\\\1", line if len(line) <= most else line[: most - 1] + "…")


def _clock(moment: dt.datetime, time_zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(time_zone)):%H:%M:%S}"


def _span(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return str(value)
    return f"{value:,}" if isinstance(value, int) or value % 1 else f"{int(value):,}"


def _cost(spent: DailyReport | CallsFact) -> str:
    """Money in US dollars, or "unpriced" where no price is known: never 0 for what was not free."""
    if isinstance(spent, CallsFact) and spent.status != "answered":
        return "-"
    if spent.cost_usd is None or (spent.unpriced and not spent.cost_usd):
        return "unpriced"
    if 0 < spent.cost_usd < Decimal("0.0001"):
        return "under $0.0001"
    return f"${spent.cost_usd:,.2f}" if spent.cost_usd >= 1 or not spent.cost_usd else f"${spent.cost_usd:.4f}"


def _measures(draft: DraftReport) -> str:
    """The figures of a draft that an editor asks for: "194 words", "3 posts", "31.5 s spoken"."""
    units = {"words": "words", "posts": "posts", "seconds": "s spoken"}
    figures = {name: draft.measures.get(name) for name in units}
    return ", ".join(
        f"{_number(figure)} {units[name]}"
        for name, figure in figures.items()
        if isinstance(figure, int | float) and (name, figure) != ("posts", 1)
    )


def _broken(draft: DraftReport) -> str:
    """What the rules say of a draft, counted: "2 rules broken, 1 hint"."""
    errors = sum(violation.is_error for violation in draft.violations)
    hints = len(draft.violations) - errors
    counted = [f"{errors} rule{'s' * (errors != 1)} broken" if errors else "", f"{hints} hint{'s' * (hints != 1)}" if hints else ""]
    return ", ".join(filter(None, counted))


def _place(target: uuid.UUID, report: DailyReport) -> str:
    """Where a draft stands: "idea 2, X"."""
    for number, idea in enumerate(report.ideas, start=1):
        for draft in idea.drafts:
            if draft.id == target:
                return f"idea {number}, {report.site.platforms[draft.platform]}"
    return "see below"
