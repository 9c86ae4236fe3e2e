"""The risks that a video is screened for: risks.yaml, changed by a file of one's own."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from pressroom.records import Detector, Modality, Record, RiskAction, version_of
from pressroom.safety.dictionaries import Code, Dictionaries
from pressroom.safety.personal import LABELS
from pressroom.safety.reading import Mistakes, field_path, in_file, read_mapping, validated

SHIPPED = Path(__file__).with_name("risks.yaml")
PEOPLE_ONLY = "CHILD.SAFETY"  # never decided by a machine: what raises it only escalates
Scale = Literal["rekognition", "garm", "youtube"]
Seconds = Annotated[float, Field(ge=0, le=3600)]


class Finding(Record):
    """One kind of signal that speaks for a risk, from `threshold` on. `label` may have * for any letters, and is compared without case."""

    id: Detector
    label: str = Field(min_length=1)
    threshold: float = Field(gt=0, le=1)

    @field_validator("label")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.casefold()


class Risk(Record):
    """One risk code, and when signals become a trigger of it."""

    code: Code
    title: str = Field(min_length=1)
    severity: int = Field(ge=0, le=3)
    modality: Modality
    detectors: tuple[Finding, ...] = Field(default=(), description="Empty: only people raise it.")
    min_duration_s: Seconds = 0
    merge_gap_s: Seconds = 2
    default_action: RiskAction
    crosswalk: dict[Scale, str] = Field(default_factory=dict)

    # By field, not over the whole: what is wrong in one field does not hide what is wrong in another.
    @field_validator("detectors")
    @classmethod
    def _each_once(cls, value: tuple[Finding, ...]) -> tuple[Finding, ...]:
        seen: set[tuple[str, str]] = set()
        for finding in value:
            if (finding.id, finding.label) in seen:
                raise ValueError(f"{finding.id} '{finding.label}' stands twice")
            seen.add((finding.id, finding.label))
        return value

    @field_validator("default_action")
    @classmethod
    def _keeps_children_safe(cls, value: RiskAction, given: ValidationInfo) -> RiskAction:
        if given.data.get("code") == PEOPLE_ONLY and value != "escalate":
            raise ValueError(f"{PEOPLE_ONLY} is never decided by a machine; expected escalate, not '{value}'")
        return value


class Risks(Record):
    """All risks, in the order of the file. Their version changes with every field."""

    risks: Annotated[tuple[Risk, ...], Field(min_length=1)]

    @property
    def version(self) -> str:
        return version_of((self,))[:12]

    def by_code(self) -> dict[str, Risk]:
        return {risk.code: risk for risk in self.risks}

    def labels(self, detector: Detector) -> tuple[str, ...]:
        """The labels that one detector is asked for: what an open-vocabulary model is given as its query. Those with * are left out."""
        labels = (finding.label for risk in self.risks for finding in risk.detectors if finding.id == detector)
        return tuple(dict.fromkeys(label for label in labels if "*" not in label))


@cache
def risks(path: Path | None = None) -> Risks:
    """The shipped risks, changed by the file `path`: each field that it gives for a code replaces that field, a new code is added.

    A file is read once in a process. Raises Mistakes with one line for each, naming file, code and field.
    """
    shipped = _entries(SHIPPED)
    if path is None:
        return _checked(SHIPPED, list(shipped.values()))
    own = _entries(path)
    codes = (*shipped, *(code for code in own if code not in shipped))
    return _checked(path, [{**shipped.get(code, {}), **own.get(code, {})} for code in codes])


def unknown_labels(known: Risks, words: Dictionaries) -> tuple[str, ...]:
    """One line for each label of the dictionaries and patterns that no risk asks for under its code: its findings count for nothing."""
    from fnmatch import fnmatchcase

    asked = {risk.code: [one.label for one in risk.detectors if one.id == "flagged_terms"] for risk in known.risks}
    labels = words.labels() | dict.fromkeys(LABELS, "PII.ONSCREEN")
    return tuple(
        f"{code}: detectors: no entry for flagged_terms '{label}', so that the findings of the dictionaries under it count for nothing"
        for label, code in sorted(labels.items())
        if not any(fnmatchcase(label, pattern) for pattern in asked.get(code, ()))
    )


def _entries(path: Path) -> dict[str, dict[str, Any]]:
    """The entries of a file by their code, not yet checked."""
    document = read_mapping(path)
    if unknown := sorted(document.keys() - {"risks"}):
        raise Mistakes([f"{path}: unknown field '{unknown[0]}'; known is risks"])
    entries = document.get("risks")
    if not isinstance(entries, list) or not entries:
        raise Mistakes([f"{path}: risks: expected a list, each entry with a code"])
    found: dict[str, dict[str, Any]] = {}
    mistakes = []
    for number, entry in enumerate(entries, start=1):
        code = entry.get("code") if isinstance(entry, Mapping) else None
        if not isinstance(code, str):
            mistakes.append(f"{path}: entry {number}: code: is missing")
        elif code in found:
            mistakes.append(f"{path}: {code}: code: stands twice")
        else:
            found[code] = dict(entry)
    if mistakes:
        raise Mistakes(mistakes)
    return found


def _checked(path: Path, entries: list[dict[str, Any]]) -> Risks:
    def named(steps: tuple[int | str, ...]) -> str:
        match steps:
            case ("risks", int(number), *rest):
                return ": ".join(part for part in (entries[number]["code"], field_path(rest)) if part)
        return field_path(steps)

    try:
        return validated(Risks, {"risks": entries}, named)
    except Mistakes as error:
        raise in_file(path, error) from None
