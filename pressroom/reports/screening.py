"""The compliance report of a video as a document: the records that its JSON form has, and the pure function that fills them."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, get_args

from pydantic import Field, field_validator

from pressroom.records import Coverage, Detector, Frame, Outcome, Probe, Record, Slug, Trigger, Verdict

SCHEMA_VERSION: Literal[1] = 1
DETECTORS: tuple[Detector, ...] = get_args(Detector)
# What a detector looks for, in words for people who do not know its name.
DETECTOR_NAMES: dict[Detector, str] = {
    "transcript": "Speech",
    "screen_text": "Text on screen",
    "objects": "Objects",
    "nudity": "Nudity",
    "violence": "Violence",
    "flagged_terms": "Flagged words",
    "picture": "Black, frozen or flashing picture",
    "sound": "Silence and loudness",
}
HEARD: tuple[Detector, ...] = ("transcript", "sound")  # they look at the sound
# What is left over of a sum of seconds in floating point; every real hole is larger.
_ROUNDING = 1e-9
# What a second run changes although it found nothing new.
_VOLATILE = {"version", "cost", "timings"}

ReportState = Literal["screened", "refused", "duplicate"]


class SiteName(Record):
    slug: Slug
    name: str


class VideoReport(Record):
    """The upload. `probe` is None where the file could not be read."""

    key: str = Field(description="The video's key: its partition in Dagster.")
    name: str = Field(description="File name as it was uploaded.")
    title: str | None = None
    description: str | None = None
    uploaded_at: dt.datetime
    size: int = Field(ge=0, description="Bytes.")
    sha256: str | None = None
    probe: Probe | None = None

    @field_validator("key", "name", "title", "description", mode="before")
    @classmethod
    def _encodable(cls, value: object) -> object:
        # A file name of another encoding comes from the system with lone surrogates, which no UTF-8 document can hold.
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


class Copy(Record):
    """Another upload that is this video, or looks like it."""

    key: str
    name: str = ""
    report: str | None = Field(default=None, description="Where its report is: a key, a path or an address.")
    outcome: Outcome | None = None
    alike: float | None = Field(default=None, ge=0, le=1, description="Part of this video's frames that it shows; None for the same bytes.")


class Duplicates(Record):
    """`of` is the first upload of the same bytes, whose report stands; `near` are earlier videos that look like this one."""

    of: Copy | None = None
    near: tuple[Copy, ...] = ()


class ModelUsed(Record):
    """One model that a detector ran; a detector may have several."""

    detector: Detector
    name: str
    version: str = ""
    hosted: bool = Field(default=False, description="The video's frames or sound left this machine for it.")


class PolicyUsed(Record):
    name: str
    version: str = Field(description="Changes with every rule, risk and threshold.")


class Cost(Record):
    """What the screening cost, whenever that was paid. `usd` is None when no call has a price; `replayed` answers came from the ledger."""

    usd: Decimal | None = Decimal(0)
    paid_usd: Decimal | None = Field(default=None, description="What the runs that looked last paid of it; None where that is not known.")
    paid: int = 0
    replayed: int = 0


class Timing(Record):
    stage: str
    seconds: float = Field(ge=0)


class Sampling(Record):
    frames: int = Field(ge=0, description="Frames that were sampled.")
    largest_gap_s: float | None = Field(default=None, description="The longest stretch between two sampled frames.")


class ScreeningReport(Record):
    """The compliance report of one video. The same facts give the same document.

    Times are whole milliseconds of presentation time from the first frame, spans are [start_ms, end_ms). `coverage` has every detector
    once: what is not `analysed` there was not looked at, and is never clean. `frames` are those that a trigger stands on. `version` is a
    hash over the document without what a second run changes although it found nothing new: cost and timings.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    version: str = ""
    site: SiteName
    video: VideoReport
    state: ReportState
    outcome: Outcome | None = Field(description="The machine's outcome; None for a video that was refused or is a duplicate.")
    why: str
    priority: bool = False
    role: str | None = Field(default=None, description="The role that may judge it, where a trigger escalates.")
    not_analysed: tuple[str, ...]
    coverage: tuple[Coverage, ...]
    triggers: tuple[Trigger, ...] = ()
    frames: tuple[Frame, ...] = ()
    signals: dict[Detector, int] = Field(description="Signals by detector.")
    sampling: Sampling | None = None
    models: tuple[ModelUsed, ...] = ()
    policy: PolicyUsed | None = None
    duplicates: Duplicates = Duplicates()
    cost: Cost = Cost()
    timings: tuple[Timing, ...] = ()

    def hashed(self) -> "ScreeningReport":
        """The same report with its version filled in."""
        stable = json.dumps(self.model_dump(mode="json", exclude=_VOLATILE), sort_keys=True)
        return self.model_copy(update={"version": hashlib.sha256(stable.encode()).hexdigest()[:16]})


@dataclass(frozen=True)
class Findings:
    """What sampling, detectors and policy made of a video. `frames` are all that were sampled; `signals` are counts by detector."""

    verdict: Verdict
    policy: PolicyUsed
    coverages: Sequence[Coverage]
    triggers: Sequence[Trigger] = ()
    signals: Mapping[Detector, int] = field(default_factory=dict)
    frames: Sequence[Frame] = ()
    largest_gap_s: float | None = None
    models: Sequence[ModelUsed] = ()


@dataclass(frozen=True)
class Refusal:
    """The video was refused before any detector ran; `reason` is one sentence that its owner understands."""

    reason: str


@dataclass(frozen=True)
class Duplicate:
    """The same bytes were uploaded before: the report of `first` stands."""

    first: Copy


def screening_report(
    site: SiteName,
    video: VideoReport,
    state: Findings | Refusal | Duplicate,
    *,
    near: Iterable[Copy] = (),
    cost: Cost | None = None,
    timings: Mapping[str, float] | None = None,
) -> ScreeningReport:
    """The report of a video. `timings` are seconds by stage, in the order in which the stages ran."""
    common = {
        "site": site,
        "video": video,
        "cost": _rounded(cost or Cost()),
        "timings": tuple(Timing(stage=stage, seconds=round(seconds, 3)) for stage, seconds in (timings or {}).items()),
        "duplicates": Duplicates(of=state.first if isinstance(state, Duplicate) else None, near=tuple(near)),
    }
    specific = _screened(state) if isinstance(state, Findings) else _unscreened(state)
    return ScreeningReport.model_validate(common | specific).hashed()


def _screened(found: Findings) -> dict[str, object]:
    coverage = _every_detector({one.detector: one for one in found.coverages}, "It did not run.")
    triggers = tuple(sorted(found.triggers, key=lambda trigger: (trigger.start_ms, trigger.number)))
    shown = {evidence.frame for trigger in triggers for evidence in trigger.evidence}
    return {
        "state": "screened",
        "outcome": found.verdict.outcome,
        "why": found.verdict.why,
        "priority": found.verdict.priority,
        "role": found.verdict.role,
        "not_analysed": (*filter(None, map(not_analysed, coverage)), *_also(found.verdict, coverage)),
        "coverage": coverage,
        "triggers": triggers,
        "frames": tuple(frame for frame in found.frames if frame.number in shown),
        "signals": {detector: found.signals.get(detector, 0) for detector in DETECTORS},
        "sampling": Sampling(frames=len(found.frames), largest_gap_s=found.largest_gap_s),
        "models": tuple(found.models),
        "policy": found.policy,
    }


def _unscreened(state: Refusal | Duplicate) -> dict[str, object]:
    if isinstance(state, Refusal):
        name, why, cause = "refused", state.reason, "The video was refused before any detector ran."
    else:
        first = state.first
        why = f"The same file was uploaded before as {first.name or first.key}: its report stands for this one."
        name, cause = "duplicate", "The report of the first upload stands."
    coverage = _every_detector({}, cause)
    return {
        "state": name,
        "outcome": None,
        "why": why,
        "not_analysed": tuple(not_analysed(one) for one in coverage),
        "coverage": coverage,
        "signals": dict.fromkeys(DETECTORS, 0),
    }


def _every_detector(known: Mapping[Detector, Coverage], reason: str) -> tuple[Coverage, ...]:
    """Every detector once: one that nobody reported on was not looked at, which must be said."""
    return tuple(known.get(detector) or Coverage(detector=detector, state="skipped", reason=reason) for detector in DETECTORS)


def _also(verdict: Verdict, coverage: Iterable[Coverage]) -> Iterator[str]:
    """What the policy has to say beside the detectors' coverage: risks that nothing looked for, findings that do not count.

    Its lines about a detector begin with the detector's name; the first of one whose coverage falls short repeats that.
    """
    told = {one.detector for one in coverage if unseen(one)}
    for line in verdict.not_analysed:
        name, _, rest = line.partition(": ")
        known = next((detector for detector in DETECTORS if detector == name), None)
        if known in told:
            told.remove(known)
        else:
            yield sentence(f"{DETECTOR_NAMES[known]}: {rest}" if known else line)


def has_looked(coverage: Coverage) -> bool:
    """Whether a detector looked at any of the video. One that is unsupported in part (a language without some dictionaries) has."""
    return coverage.state in ("analysed", "unsupported") and coverage.seconds > 0


def not_analysed(coverage: Coverage) -> str:
    """What a detector did not look at, as one sentence with its reason; empty when it looked at everything."""
    missing = unseen(coverage)
    return f"{DETECTOR_NAMES[coverage.detector]}: {missing}" if missing else ""


def unseen(coverage: Coverage) -> str:
    """The same without the detector's name, so that detectors with one cause can be named together."""
    reason = f" {sentence(coverage.reason)}".rstrip()
    if coverage.state == "failed":
        return f"not analysed, the detector failed.{reason}"
    if not has_looked(coverage):
        return f"not analysed.{reason}"
    if coverage.state == "unsupported":
        return f"analysed in part.{reason}"
    if coverage.fraction >= 1 - _ROUNDING:
        return ""
    missing = max(round((coverage.of_s - coverage.seconds) * 1000), 100)
    return f"{clock(missing)} of {clock(round(coverage.of_s * 1000))} not analysed.{reason}"


def sentence(text: str) -> str:
    """`text` from a capital to a full stop."""
    text = " ".join(text.split())
    return text and f"{text[0].upper()}{text[1:]}{'' if text[-1] in '.!?…' else '.'}"


def clock(ms: int) -> str:
    """A time of the video with tenths where it has some: "0:12.3", "1:02:03"."""
    tenths = max(ms, 0) // 100
    minutes, seconds = divmod(tenths // 10, 60)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{whole}.{tenths % 10}" if tenths % 10 else whole


def _rounded(cost: Cost) -> Cost:
    """With the ledger's six decimals, so that 0 and 0.000000 are one document."""
    sums = {"usd": cost.usd, "paid_usd": cost.paid_usd}
    return cost.model_copy(update={name: usd.quantize(Decimal("0.000001")) for name, usd in sums.items() if usd is not None})
