"""Detectors by hosted models: the frames that stand for others, or the sound in pieces, all on their way through the gateway at once.

What a frame's call finds counts for the span of every frame that it stands for. A call without an answer lowers the coverage and nothing
else: what came is booked, and a later run asks only for the rest.
"""

import asyncio
import io
import itertools
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import cast

from pydantic import JsonValue, SecretStr

from pressroom.errors import Permanent, Transient
from pressroom.inference.adapters import ADAPTERS, Finding, Reading, Sent, mapped
from pressroom.inference.catalogue import Catalogue, HostedModel
from pressroom.inference.frames import frame_coverage
from pressroom.inference.replicate_account import BASE_URL, InputFiles, ReplicateAccount, Signing
from pressroom.inference.replicate_provider import ReplicateProvider, Said, canonical_input
from pressroom.inference.types import Detection, Media, Progress
from pressroom.llm.pace import Rules
from pressroom.llm.types import Answer, Asks, Limits, Provider, Purpose, Request, Route
from pressroom.records import Coverage, Detector, Frame, Signal
from pressroom.store.grouped import Grouped

CREATES_A_MINUTE = 600  # of one account, by Replicate's documents; with little credit 6, which a 429 tells
IN_FLIGHT = 128
# The gateway's own deadline lies behind that of the prediction: it is cancelled and forgotten first, so that nothing runs on unseen.
BEHIND_S = 60.0
PROMPT = "detect"  # in the ledger, where a text has the name of its prompt
# What stands in the places of a model's input, and its measures.
Given = tuple[dict[str, JsonValue], Sent]
PIECE_SEARCH_S = 20  # a piece of sound ends in a pause within its last so many seconds, if there is one


def hosted_limits(*, in_flight: int = IN_FLIGHT, creates_a_minute: int | None = CREATES_A_MINUTE) -> Limits:
    """How the gateway goes about hosted predictions. `creates_a_minute` None: as many as Replicate lets through."""
    return Limits(pace=Rules(in_flight=in_flight, rpm=creates_a_minute), timeout_s=600.0 + BEHIND_S, tries=3)


class HostedModels:
    """The models of one account as an exchange asks them: each detector is a purpose with one provider."""

    def __init__(
        self,
        table: Catalogue,
        *,
        token: SecretStr,
        base_url: str = BASE_URL,
        signed: Signing | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """`signed` gives a file of this machine a URL, where the object store has it. `timeout_s` is what one try of a call may take; None:
        until the prediction's own deadline, and a little. Raises BadInput when the token cannot be one.
        """
        account = ReplicateAccount(token=token, base_url=base_url)
        self.table = table
        self.files = InputFiles(account, signed)
        self._routes = {
            detector: Route(
                (ReplicateProvider(account=account, model=entry, files=self.files),), timeout_s=timeout_s or entry.deadline_s + BEHIND_S
            )
            for detector, entry in table.detectors.items()
        }

    def of(self, purpose: Purpose) -> Route:
        return self._routes[cast(Detector, purpose)]

    def providers(self) -> tuple[Provider, ...]:
        return tuple(provider for route in self._routes.values() for provider in route.providers)


@dataclass(frozen=True)
class Sheet:
    """What one call looks at: some frames, or the sound from `start_ms` to `end_ms`. `name` tells it from the others of its video."""

    name: str
    frames: tuple[Frame, ...] = ()
    start_ms: int = 0
    end_ms: int = 0


@dataclass(frozen=True)
class Looked:
    """What became of one sheet: its answer and what it says, or in one sentence why there is none."""

    sheet: Sheet
    answer: Answer[Said] | None = None
    reading: Reading = field(default_factory=Reading)
    error: Transient | Permanent | None = None

    @property
    def problem(self) -> str:
        return str(self.error) if self.error else self.reading.problem

    @property
    def is_whole(self) -> bool:
        return self.answer is not None and not self.reading.problem


@dataclass(frozen=True)
class HostedRunner:
    """One detector by one hosted model. `asks` is the gateway of an exchange over `HostedModels`."""

    detector: Detector
    entry: HostedModel
    asks: Asks
    files: InputFiles

    @property
    def version(self) -> str:
        return self.entry.short

    def estimate(self, media: Media) -> Decimal | None:
        """What looking at the video will cost in USD, before anything is booked already; None: no price is known."""
        return len(self._sheets(media)) * self.entry.price.of() if self.entry.price else None

    async def detect(self, media: Media, progress: Progress) -> Detection:
        """Findings and coverage. `calls` and the cost count the answers that were booked before (`replayed`) as well: they are what the
        video cost, whatever happened on the way. Raises Transient when no call at all was answered and another time may help."""
        sheets = self._sheets(media)
        if not sheets:
            return Detection(self._unseen(media))
        done = itertools.count(1)
        # Files are read and hashed many at a time: a thread for each would fight over the interpreter with those that send.
        given = Grouped[Sheet, Given](lambda group: [self._given(media, sheet) for sheet in group])

        async def look(sheet: Sheet) -> Looked:
            try:
                return await self._look(media, sheet, given)
            finally:
                progress(next(done), len(sheets))

        results = await asyncio.gather(*map(look, sheets), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):  # no money, or a bug: not this detector's to explain
                raise result
        looked = [result for result in results if isinstance(result, Looked)]
        answers = [one.answer for one in looked if one.answer]
        if not answers and isinstance(looked[0].error, Transient):
            raise looked[0].error
        return Detection(
            coverage=self._covered(media, looked),
            signals=tuple(self._signals(media, looked)),
            raw=[_raw(one) for one in looked],
            calls=len(answers),
            replayed=sum(answer.replayed for answer in answers),
            cost_usd=sum((answer.cost_usd or Decimal(0) for answer in answers), Decimal(0)),
        )

    def _sheets(self, media: Media) -> list[Sheet]:
        if self.detector == "transcript":
            pieces = _pieces(media, 1000 * self.entry.piece_s) if media.audio else []
            return [Sheet(f"{start}-{end}", start_ms=start, end_ms=end) for start, end in pieces]
        chosen = [frame for frame in media.frames if frame.same_as is None]
        batches = [tuple(chosen[at : at + self.entry.batch]) for at in range(0, len(chosen), self.entry.batch)]
        return [Sheet("-".join(str(frame.number) for frame in dict.fromkeys((part[0], part[-1]))), part) for part in batches]

    async def _look(self, media: Media, sheet: Sheet, given: Grouped[Sheet, Given]) -> Looked:
        """One call. An answer that cannot be read is an answer all the same: it is paid, and its problem is told."""
        try:
            values, sent = await given(sheet)
            answer = await self.asks.ask(self._request(media, sheet, values))
        except (Transient, Permanent) as error:
            return Looked(sheet, error=error)
        if answer.value is None:
            return Looked(sheet, answer, Reading(problem=answer.problem))
        reading = ADAPTERS[self.entry.adapter](answer.value.value, sent)
        return Looked(sheet, answer, mapped(reading, self.entry.labels))

    def _request(self, media: Media, sheet: Sheet, values: Mapping[str, JsonValue]) -> Request[Said]:
        return Request(
            purpose=cast(Purpose, self.detector),
            item=f"{media.item}/{self.detector}/{sheet.name}",
            prompt_id=f"{PROMPT}/{self.detector}",
            prompt_version=self.entry.version[:12] if self.entry.version else "official",
            instructions="",
            input=canonical_input(self.entry.pinned, self.entry.filled(values)),
            answer=Said,
            offline=_not_here,
        )

    def _given(self, media: Media, sheet: Sheet) -> Given:
        """What stands in the places of the input, and its measures. Raises Permanent when a file cannot be read."""
        try:
            if not sheet.frames:
                return self._sound(media, sheet)
            paths = [media.large(frame) if self.entry.frames == "large" else media.small(frame) for frame in sheet.frames]
            named: list[JsonValue] = [{"sha256": self.files.add(path)} for path in paths]
            return {"$image": named[0], "$images": named}, Sent(tuple(map(_size, paths)))
        except (OSError, EOFError, wave.Error) as error:
            what = f"frame {sheet.frames[0].number}" if sheet.frames else "the sound"
            raise Permanent(f"{what} cannot be read ({type(error).__name__})") from None

    def _sound(self, media: Media, sheet: Sheet) -> Given:
        assert media.audio
        audio, whole = media.audio, (sheet.start_ms, sheet.end_ms) == (0, media.duration_ms)
        if whole:
            sha256 = self.files.add(audio)
        else:
            cut = _Cut(audio, sheet.start_ms, sheet.end_ms)
            sha256 = self.files.add_content(cut(), cut, f"{audio.stem}-{sheet.name}.wav")
        return {"$audio": {"sha256": sha256}, "$language": media.language}, Sent((), sheet.end_ms - sheet.start_ms)

    def _signals(self, media: Media, looked: Sequence[Looked]) -> Iterator[Signal]:
        """A signal for each finding and each span that it holds for, in the order of their times."""
        found = [
            (span, finding, frame, one.answer.call)
            for one in looked
            if one.answer
            for finding in one.reading.findings
            for span, frame in self._spans(media, one.sheet, finding)
        ]
        found.sort(key=lambda each: (each[0], each[1].label))
        for number, ((start, end), finding, frame, call) in enumerate(found):
            yield Signal(
                detector=self.detector,
                number=number,
                start_ms=start,
                end_ms=end,
                label=finding.label,
                version=self.version,
                score=finding.score,
                box=finding.box,
                text=finding.text,
                frame=frame,
                call=call,
            )

    def _spans(self, media: Media, sheet: Sheet, finding: Finding) -> list[tuple[tuple[int, int], int | None]]:
        if not sheet.frames:
            start = min(sheet.start_ms + (finding.start_ms or 0), sheet.end_ms - 1)
            end = min(sheet.start_ms + (finding.end_ms or 0), sheet.end_ms)
            return [((start, max(end, start + 1)), None)]
        seen = sheet.frames[finding.part].number
        stretches = zip(media.frames, media.spans(), strict=True)
        return [(span, seen) for frame, span in stretches if seen == (frame.number if frame.same_as is None else frame.same_as)]

    def _covered(self, media: Media, looked: Sequence[Looked]) -> Coverage:
        whole, reason = [one for one in looked if one.is_whole], _reason(looked, self.detector)
        if self.detector != "transcript":
            read = {frame.number: None for one in whole for frame in one.sheet.frames}
            return frame_coverage(self.detector, self.version, media, read, reason)
        heard = [(one.sheet.start_ms, one.sheet.end_ms) for one in whole]
        edges = [0, *itertools.chain.from_iterable(heard), media.duration_ms]
        return Coverage(
            detector=self.detector,
            state="analysed" if heard else "failed",
            version=self.version,
            seconds=sum(end - start for start, end in heard) / 1000,
            of_s=media.duration_ms / 1000,
            largest_gap_s=max(after - before for before, after in zip(edges[::2], edges[1::2], strict=True)) / 1000,
            looks=len(heard),
            reason=reason,
        )

    def _unseen(self, media: Media) -> Coverage:
        of_s = media.duration_ms / 1000
        if self.detector == "transcript":  # as on this machine: all that there is to hear was heard
            reason = "The video has no sound: there is nothing to hear."
            return Coverage(detector=self.detector, state="analysed", version=self.version, seconds=of_s, of_s=of_s, reason=reason)
        reason = "There is no frame to look at."
        return Coverage(detector=self.detector, state="failed", version=self.version, of_s=of_s, reason=reason)


def hosted_runners(models: HostedModels, asks: Callable[[Detector], Asks]) -> dict[Detector, HostedRunner]:
    """A runner for each detector of the table. `asks` gives the gateway for a detector's calls, of an exchange over `models`."""
    return {detector: HostedRunner(detector, entry, asks(detector), models.files) for detector, entry in models.table.detectors.items()}


@dataclass(frozen=True)
class _Cut:
    """Gives a stretch of a WAV as a WAV of its own, the same bytes each time."""

    path: Path
    start_ms: int
    end_ms: int

    def __call__(self) -> bytes:
        with wave.open(str(self.path)) as sound, io.BytesIO() as buffer:
            rate = sound.getframerate()
            first, last = (min(at * rate // 1000, sound.getnframes()) for at in (self.start_ms, self.end_ms))
            sound.setpos(first)
            with wave.open(buffer, "wb") as piece:
                piece.setparams(sound.getparams())
                piece.writeframes(sound.readframes(last - first))
            return buffer.getvalue()


def _pieces(media: Media, longest_ms: int) -> list[tuple[int, int]]:
    """The sound in stretches of at most `longest_ms`, cut where nobody speaks if that is near."""
    pieces, start = [], 0
    while media.duration_ms - start > longest_ms:
        end = _pause(media.speech, start + longest_ms - min(1000 * PIECE_SEARCH_S, longest_ms // 2), start + longest_ms)
        pieces.append((start, end))
        start = end
    return [*pieces, (start, media.duration_ms)] if media.duration_ms > start else pieces


def _pause(speech: Sequence[tuple[int, int]], earliest: int, latest: int) -> int:
    """The middle of the longest pause between `earliest` and `latest`; `latest` where there is none."""
    inside = [(max(start, earliest), min(end, latest)) for start, end in speech if start < latest and end > earliest]
    edges = [earliest, *itertools.chain.from_iterable(inside), latest]
    silence, middle = max((after - before, (before + after) // 2) for before, after in zip(edges[::2], edges[1::2], strict=True))
    return middle if silence > 0 and inside else latest


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def _reason(looked: Sequence[Looked], detector: Detector) -> str:
    failed = [one for one in looked if not one.is_whole]
    if not failed:
        return ""
    what = "pieces of sound" if detector == "transcript" else "calls"
    return f"{len(failed)} of {len(looked)} {what} gave nothing that can be relied on; the first: {failed[0].problem}."


def _raw(one: Looked) -> JsonValue:
    """The output as it came, what it was asked about, and the ledger's key of the call."""
    about: dict[str, JsonValue] = {"sheet": one.sheet.name, "frames": [frame.number for frame in one.sheet.frames]}
    if one.answer is None:
        return about | {"error": one.problem}
    output = one.answer.value.value if one.answer.value else one.answer.text
    return about | {"call": one.answer.call, "output": output} | ({"problem": one.problem} if one.problem else {})


def _not_here() -> Said:
    raise Permanent("a hosted detector has no model on this machine")
