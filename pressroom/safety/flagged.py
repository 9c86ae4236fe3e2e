"""The detector flagged_terms: dictionaries and patterns over what was heard and read, and over title and description."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from typing import cast, get_args

from pressroom.inference.types import Detection
from pressroom.records import Coverage, Detector, Modality, Signal, Source
from pressroom.safety.dictionaries import Dictionaries, dictionaries, language_of
from pressroom.safety.personal import find_personal_data, masked
from pressroom.safety.terms import Match, matcher

SOURCES: tuple[Detector, ...] = ("transcript", "screen_text")
MATCHING = "1"  # of the code that matches: raise it when the same text and dictionaries give other findings
PAUSE_MS = 2_000  # words with a longer pause between them are not one phrase
AROUND = 40  # characters shown on each side of a finding

Find = Callable[[str], tuple[Match, ...]]


@dataclass(frozen=True)
class Origin:
    """What a flagged term was found in: a detector's text with the version that made it, or the title or description."""

    source: Source
    version: str = ""

    @property
    def is_about(self) -> bool:
        """Whether it is about the video as a whole, and at no time of it."""
        return self.source in ("title", "description")

    @property
    def modality(self) -> Modality:
        return "speech" if self.source == "transcript" else "text"


@lru_cache(maxsize=256)
def origin_of(version: str) -> Origin | None:
    """The origin of a signal of flagged_terms, by its version: "terms-<hash>/transcript/<version of the transcript>". None: not said."""
    parts = version.split("/", 2)
    if not parts[0].startswith("terms-") or len(parts) < 2 or parts[1] not in get_args(Source):
        return None
    return Origin(cast(Source, parts[1]), parts[2] if len(parts) > 2 else "")


@dataclass(frozen=True)
class _Passage:
    """A text that is read as one, with the signal that each stretch of it came from."""

    text: str
    pieces: tuple[tuple[int, int, Signal], ...]

    def signals(self, start: int, end: int) -> list[Signal]:
        """Those that `text[start:end]` is from."""
        first = bisect_right(self.pieces, start, key=lambda piece: piece[1])
        last = bisect_left(self.pieces, end, key=lambda piece: piece[0])
        return [signal for _, _, signal in self.pieces[first:last]]


def flagged_terms(
    signals: Iterable[Signal],
    coverages: Iterable[Coverage],
    *,
    duration_ms: int,
    language: str = "en",
    title: str | None = None,
    description: str | None = None,
    known: Dictionaries | None = None,
) -> Detection:
    """What the dictionaries of `language` and the patterns find in transcript, screen text, title and description.

    A finding has the time of the signals that its words are from; one in title or description, the whole video. Personal data is not
    looked for in title and description, where an address to write to is usual, and is shown masked. The coverage is that of the texts:
    what was not heard or not read was not looked through, and a language without all dictionaries is `unsupported`.
    """
    known = known or dictionaries()
    version = f"terms-{known.version}.{MATCHING}"
    terms = cache(matcher(language_of(language), known).find)  # a text on the screen stays for many frames
    both = cache(lambda text: (*terms(text), *find_personal_data(text)))
    found: list[Signal] = []
    passages = 0
    texts = [signal for signal in signals if signal.detector in SOURCES and signal.text]
    for passage in (*_heard(texts), *_read(texts)):
        passages += 1
        found += _in_passage(passage, both, version)
    for name, text in (("title", title), ("description", description)):
        if text:
            passages += 1
            found += _in_metadata(name, text, terms, version, duration_ms)
    ordered = sorted(found, key=lambda one: (one.start_ms, one.end_ms, one.label, one.version, one.frame or 0, one.text or ""))
    numbered = tuple(signal.model_copy(update={"number": number}) for number, signal in enumerate(ordered, start=1))
    return Detection(_coverage(tuple(coverages), known, language, duration_ms, version, passages), numbered)


def _heard(signals: list[Signal]) -> Iterator[_Passage]:
    """The transcript as passages: a phrase may go over several signals, whether these are words or sentences."""
    spoken = sorted((one for one in signals if one.detector == "transcript"), key=lambda one: (one.start_ms, one.end_ms, one.number))
    passage: list[Signal] = []
    for signal in spoken:
        if passage and (signal.start_ms - passage[-1].end_ms > PAUSE_MS or signal.version != passage[0].version):
            yield _joined(passage, " ")
            passage = []
        passage.append(signal)
    if passage:
        yield _joined(passage, " ")


def _read(signals: list[Signal]) -> Iterator[_Passage]:
    """What stands on the screen at one time, line by line: a phrase may go over two lines, a number may not."""

    def moment(signal: Signal) -> tuple[int, int, int, str]:
        return signal.start_ms, signal.end_ms, -1 if signal.frame is None else signal.frame, signal.version

    shown = sorted((one for one in signals if one.detector == "screen_text"), key=lambda one: (*moment(one), _place(one), one.number))
    for _, lines in groupby(shown, key=moment):
        yield _joined(list(lines), "\n")


def _place(signal: Signal) -> tuple[float, float]:
    # Boxes of one line differ by a pixel or two: 2 % of the height is less than a line.
    return (round(signal.box[1] * 50), signal.box[0]) if signal.box else (0, 0)


def _joined(signals: list[Signal], between: str) -> _Passage:
    pieces, at = [], 0
    for signal in signals:
        text = signal.text or ""
        pieces.append((at, at + len(text), signal))
        at += len(text) + len(between)
    return _Passage(between.join(signal.text or "" for signal in signals), tuple(pieces))


def _in_passage(passage: _Passage, find: Find, version: str) -> Iterator[Signal]:
    matches = find(passage.text)
    shown = _with_masks(passage.text, matches)
    seen: set[tuple[str, str, int, int]] = set()
    for match in matches:
        sources = passage.signals(match.start, match.end)
        key = (match.label, match.term, sources[0].number, sources[-1].number)
        if key in seen:  # said three times in one sentence is one finding
            continue
        seen.add(key)
        first = sources[0]
        yield Signal(
            detector="flagged_terms",
            number=0,
            start_ms=min(one.start_ms for one in sources),
            end_ms=max(one.end_ms for one in sources),
            label=match.label,
            version=f"{version}/{first.detector}/{first.version}",
            score=match.score,
            box=first.box if len(sources) == 1 else None,
            text=_excerpt(shown, match),
            frame=first.frame,
            call=first.call,
        )


def _in_metadata(name: str, text: str, find: Find, version: str, duration_ms: int) -> Iterator[Signal]:
    whole = {"detector": "flagged_terms", "number": 0, "start_ms": 0, "end_ms": max(1, duration_ms), "version": f"{version}/{name}"}
    for match in {(match.label, match.term): match for match in reversed(find(text))}.values():
        yield Signal.model_validate(whole | {"label": match.label, "score": match.score, "text": _excerpt(text, match)})


def _with_masks(text: str, matches: tuple[Match, ...]) -> str:
    for match in matches:
        if match.label.startswith("pii."):
            text = text[: match.start] + masked(match.text) + text[match.end :]
    return text


def _excerpt(text: str, match: Match) -> str:
    """The finding with some words around it, on one line."""
    start, end = max(0, match.start - AROUND), min(len(text), match.end + AROUND)
    while start > 0 and start < match.start and not text[start - 1].isspace():
        start += 1
    while end < len(text) and end > match.end and not text[end].isspace():
        end -= 1
    return ("…" if start else "") + " ".join(text[start:end].split()) + ("…" if end < len(text) else "")


def _coverage(
    coverages: tuple[Coverage, ...], known: Dictionaries, language: str, duration_ms: int, version: str, passages: int
) -> Coverage:
    """As far as every text that is looked through is there: the least of the sources."""
    of_s = duration_ms / 1000
    sources = {one.detector: one for one in coverages if one.detector in SOURCES}
    parts = {name: one.fraction if (one := sources.get(name)) and one.state == "analysed" else 0.0 for name in SOURCES}
    gaps = [one.largest_gap_s for one in sources.values() if one.largest_gap_s is not None]
    reasons = [_shortfall(name, sources.get(name), part) for name, part in parts.items() if part < 1]
    missing = sorted(known.labels().keys() - known.labels(language).keys())
    if missing:
        reasons.insert(0, f"no dictionary of '{language_of(language)}' for {', '.join(missing)}")
    return Coverage(
        detector="flagged_terms",
        state="unsupported" if missing else "analysed" if any(parts.values()) else "skipped",
        version=version,
        seconds=min(parts.values()) * of_s,
        of_s=of_s,
        largest_gap_s=max(gaps, default=None),
        looks=passages,
        reason="; ".join(reasons),
    )


def _shortfall(name: str, coverage: Coverage | None, part: float) -> str:
    what = "what was said" if name == "transcript" else "what stands on the screen"
    if coverage is None:
        return f"{what} is not known: {name} did not run"
    if coverage.state != "analysed":
        return f"{what} is not known: {name} {coverage.state}" + (f" ({coverage.reason})" if coverage.reason else "")
    return f"{what} is known for {part:.0%}"
