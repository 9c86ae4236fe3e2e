"""What hosted models answer, in every shape that was seen, as findings. An adapter never raises: what it cannot read is a `problem`.

An output comes as a string, a list, a mapping, JSON in a string or nothing. A score that is missing is None: nobody was certain.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

Box = tuple[float, float, float, float]

DEEPEST = 3  # JSON within a string within JSON: nobody wraps it more often
LONGEST_TEXT = 20_000  # characters of one finding; a screen holds a tenth of that
MOST_FINDINGS = 5_000  # of one output: beyond it the model is broken
LABEL_KEYS = ("label", "cls", "class", "class_name", "name", "category")
SCORE_KEYS = ("score", "confidence", "probability", "prob")
BOX_KEYS = ("bbox", "box", "bounding_box", "xyxy")
TEXT_KEYS = ("text", "transcription", "transcript", "output", "result")
CORNERS = (("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom"), ("x1", "y1", "x2", "y2"))


@dataclass(frozen=True)
class Finding:
    """One thing that a model says. `part` is which of the files that it was sent; times are ms of that file, None for a picture."""

    label: str
    score: float | None = None
    box: Box | None = None
    text: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    part: int = 0


@dataclass(frozen=True)
class Reading:
    """The findings of one output; `problem` says in one line what of it could not be read."""

    findings: tuple[Finding, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Sent:
    """What a model was given: pictures with their width and height in pixels, or sound of `duration_ms`."""

    sizes: tuple[tuple[int, int], ...] = ((1, 1),)
    duration_ms: int = 0


Adapter = Callable[[JsonValue, Sent], Reading]


def speech(output: JsonValue, sent: Sent) -> Reading:
    """Words with their times: `segments` of Whisper, `chunks` of its fast kin, or only a text, which then is of the whole file."""
    match _opened(output):
        case {"segments": list(pieces)} | {"chunks": list(pieces)} if pieces:
            return _reading([_spoken(piece, sent) for piece in pieces], "passages")
        case list(pieces) if any(isinstance(piece, dict) for piece in pieces):
            return _reading([_spoken(piece, sent) for piece in pieces], "passages")
        case said:
            text = _text(said)
            if text is None:
                return _unread(output)
            whole = Finding("speech", text=text, start_ms=0, end_ms=sent.duration_ms)
            return Reading((whole,) if text else ())


def boxes(output: JsonValue, sent: Sent) -> Reading:
    """Things with their places, in pixels or in parts of the picture: a list of them, alone or under `detections`, or one for each key."""
    found = _opened(output)
    if isinstance(found, dict):
        inner = next((found[key] for key in ("detections", "json_str", "objects", "predictions", "output") if key in found), found)
        found = _opened(inner)
    if isinstance(found, dict):
        found = list(found.values())
    if not isinstance(found, list):
        return _unread(output)
    return _reading([_placed(thing, sent.sizes[0] if sent.sizes else (1, 1)) for thing in found], "things")


def labels(output: JsonValue, sent: Sent) -> Reading:
    """What one picture is: a word, a list of labels with scores, or a score for each label."""
    return _labelled(_opened(output), 0) or _unread(output)


def batch_labels(output: JsonValue, sent: Sent) -> Reading:
    """What each of several pictures is: a list with one entry for each, in the order in which they were sent."""
    found = _opened(output)
    if isinstance(found, dict):
        found = _opened(next((found[key] for key in ("results", "predictions", "output") if key in found), found))
    if len(sent.sizes) == 1 and not isinstance(found, list):
        found = [found]
    if not isinstance(found, list) or len(found) != len(sent.sizes):
        many = f"{len(found)} entries" if isinstance(found, list) else _kind(output)
        return Reading(problem=f"the model answered with {many} for {len(sent.sizes)} pictures")
    readings = [_labelled(_opened(entry), part) or _unread(entry) for part, entry in enumerate(found)]
    problem = next((reading.problem for reading in readings if reading.problem), "")
    return Reading(tuple(finding for reading in readings for finding in reading.findings), problem)


def guard(output: JsonValue, sent: Sent) -> Reading:
    """Llama Guard's verdict: `safe`, or `unsafe` and a line of codes such as `S1,S10`. Each code is a label; none of them has a score."""
    said = _text(_opened(output))
    words = (said or "").split()
    if not words or words[0].lower() not in ("safe", "unsafe"):
        return _unread(output)
    if words[0].lower() == "safe":
        return Reading()
    codes = re.findall(r"\bS\d{1,2}\b", " ".join(words[1:]), re.IGNORECASE)
    return Reading(tuple(Finding(code.upper()) for code in dict.fromkeys(codes)) or (Finding("unsafe"),))


def text(output: JsonValue, sent: Sent) -> Reading:
    """What is to be read in a picture: a string, or lines, with or without their places."""
    found = _opened(output)
    if isinstance(found, dict):
        lines = next((found[key] for key in ("lines", "words", "results", "texts") if isinstance(found.get(key), list)), None)
        found = found if lines is None else lines
    if isinstance(found, list) and not all(isinstance(line, str) for line in found):
        return _reading([_line(line, sent.sizes[0] if sent.sizes else (1, 1)) for line in found], "lines")
    said = _text(found)
    if said is None:
        return _unread(output)
    return Reading((Finding("text", text=said),) if said else ())


ADAPTERS: Mapping[str, Adapter] = {
    "speech": speech,
    "boxes": boxes,
    "labels": labels,
    "batch_labels": batch_labels,
    "guard": guard,
    "text": text,
}


def mapped(reading: Reading, names: Mapping[str, str | None]) -> Reading:
    """The findings under our labels. A label that maps to None is no finding; one without an entry stays, in lower case."""
    ours = {theirs.lower(): label for theirs, label in names.items()}
    kept = [(finding, ours.get(finding.label.lower(), finding.label.lower())) for finding in reading.findings]
    return replace(reading, findings=tuple(replace(finding, label=label) for finding, label in kept if label))


def _opened(value: JsonValue) -> JsonValue:
    """`value`, or what it is once the JSON in a string is read."""
    for _ in range(DEEPEST):
        if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "[", '"'):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value


def _reading(found: Sequence[Finding | None], what: str) -> Reading:
    """Those that could be read, and how many could not."""
    good = [finding for finding in found if finding][:MOST_FINDINGS]
    if lost := len(found) - len(good):
        return Reading(tuple(good), f"{lost} of {len(found)} {what} in the model's answer could not be read")
    return Reading(tuple(good))


def _unread(output: JsonValue) -> Reading:
    return Reading(problem=f"the model answered with {_kind(output)} that this adapter does not read")


def _kind(output: JsonValue) -> str:
    """The shape of an output, without its words."""
    match output:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case dict():
            return f"a mapping of {len(output)} keys"
        case list():
            return f"a list of {len(output)}"
        case str():
            return f"a text of {len(output)} characters"
    return "a number"


def _spoken(piece: JsonValue, sent: Sent) -> Finding | None:
    if not isinstance(piece, dict):
        return None
    said, times = _text(piece), piece.get("timestamp", piece.get("timestamps"))
    start, end = (times[0], times[1]) if isinstance(times, list) and len(times) == 2 else (piece.get("start"), piece.get("end"))
    start_ms = _milliseconds(start)
    if not said or start_ms is None or start_ms > sent.duration_ms:
        return None
    end_ms = _milliseconds(end)  # the last passage of a file often has no end
    end_ms = sent.duration_ms if end_ms is None else min(end_ms, sent.duration_ms)
    return Finding("speech", score=_score(piece), text=said, start_ms=start_ms, end_ms=max(end_ms, start_ms))


def _placed(thing: JsonValue, size: tuple[int, int]) -> Finding | None:
    if not isinstance(thing, dict):
        return None
    label = _label(thing)
    return Finding(label, score=_score(thing), box=_box(thing, size)) if label else None


def _labelled(found: JsonValue, part: int) -> Reading | None:
    """The labels of one picture, or None where nothing of it can be read."""
    match found:
        case str() if (word := found.strip()) and len(word) <= 80:
            return Reading((Finding(word, part=part),))
        case dict() if label := _label(found):
            return Reading((Finding(label, score=_score(found), part=part),))
        case dict() if found and all(_number(value) is not None for value in found.values()):
            return Reading(tuple(Finding(str(name), score=_part(value), part=part) for name, value in found.items() if name.strip()))
        case list() if found:
            readings = [_labelled(_opened(entry), part) if isinstance(entry, str | dict) else None for entry in found]
            good = [finding for reading in readings if reading for finding in reading.findings]
            return _reading([*good, *(None for reading in readings if reading is None)], "labels") if good else None
    return None


def _line(line: JsonValue, size: tuple[int, int]) -> Finding | None:
    if isinstance(line, str):
        return Finding("text", text=line.strip()[:LONGEST_TEXT]) if line.strip() else None
    said = _text(line) if isinstance(line, dict) else None
    return Finding("text", score=_score(line), box=_box(line, size), text=said) if said and isinstance(line, dict) else None


def _text(value: JsonValue) -> str | None:
    """The words of a text, of pieces of one, or of a mapping that holds one; None where there are none to be found."""
    match value:
        case str():
            return value.strip()[:LONGEST_TEXT]
        case list() if all(isinstance(piece, str) for piece in value) and value:  # a model that streams answers in pieces
            return "".join(str(piece) for piece in value).strip()[:LONGEST_TEXT]
        case dict():
            return next((_text(value[key]) for key in TEXT_KEYS if isinstance(value.get(key), str)), None)
    return None


def _label(thing: Mapping[str, JsonValue]) -> str:
    return next((str(thing[key]).strip()[:80] for key in LABEL_KEYS if isinstance(thing.get(key), str)), "")


def _score(thing: Mapping[str, JsonValue]) -> float | None:
    return next((_part(thing[key]) for key in SCORE_KEYS if key in thing), None)


def _part(value: JsonValue) -> float | None:
    """A number from 0 to 1; what lies outside says nothing that we know."""
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None


def _number(value: JsonValue) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _milliseconds(seconds: JsonValue) -> int | None:
    number = _number(seconds)
    return round(number * 1000) if number is not None and 0 <= number < 1e9 else None


def _box(thing: Mapping[str, JsonValue], size: tuple[int, int]) -> Box | None:
    """Left, top, right, bottom, 0 to 1, cut at the picture's edge; None where there is no box with an area."""
    numbers = next(_corners(thing), None)
    if numbers is None:
        return None
    across, down = (1, 1) if max(numbers) <= 1 else size  # no box of a pixel is worth a word
    left, top, right, bottom = (
        min(1.0, max(0.0, number / max(1, whole))) for number, whole in zip(numbers, (across, down, across, down), strict=True)
    )
    return (left, top, right, bottom) if left < right and top < bottom else None


def _corners(thing: Mapping[str, JsonValue]) -> Iterator[list[float]]:
    places: list[JsonValue] = [*(thing[key] for key in BOX_KEYS if key in thing), dict(thing)]
    for place in places:
        if isinstance(place, list) and len(place) == 4:
            numbers = [_number(value) for value in place]
            if all(number is not None for number in numbers):
                yield [number for number in numbers if number is not None]
        elif isinstance(place, dict):
            for names in CORNERS:
                found = [number for name in names if (number := _number(place.get(name))) is not None]
                if len(found) == len(names):
                    yield found
