"""What a screening must have looked at, whom its triggers go to, and how far each detector is trusted."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pressroom.records import Detector, Record, RiskAction, Slug, version_of
from pressroom.safety.reading import Mistakes, field_path, in_file, read_mapping, validated
from pressroom.safety.risks import PEOPLE_ONLY, Risk, Risks, risks

FOLDER = Path(__file__).with_name("policies")
DEFAULT = "default"

Trust = Literal["high", "low"]
Fraction = Annotated[float, Field(gt=0, le=1)]


class Required(Record):
    """A detector without which no video is clear."""

    detector: Detector
    min_coverage: Fraction
    max_gap_s: float | None = Field(default=None, gt=0)


class Trusted(Record):
    """How far the findings of a detector are trusted, where its version fits."""

    detector: Detector
    version: str = Field(default="*", min_length=1)
    level: Trust


class Rules(Record):
    """A policy file, with what it extends put in."""

    title: str = ""
    required: tuple[Required, ...] = ()
    trust: tuple[Trusted, ...] = ()
    accept_unscored: tuple[Detector, ...] = ()
    actions: dict[str, RiskAction] = Field(default_factory=dict)
    thresholds: dict[str, Fraction] = Field(default_factory=dict)
    people_only: dict[str, Slug] = Field(default_factory=lambda: {PEOPLE_ONLY: "owner"})
    escalate_to: Slug | None = None

    @field_validator("required")
    @classmethod
    def _each_once(cls, value: tuple[Required, ...]) -> tuple[Required, ...]:
        seen: set[str] = set()
        for one in value:
            if one.detector in seen:
                raise ValueError(f"{one.detector} stands twice")
            seen.add(one.detector)
        return value

    @field_validator("people_only")
    @classmethod
    def _keeps_children_safe(cls, value: dict[str, str]) -> dict[str, str]:
        if PEOPLE_ONLY not in value:
            raise ValueError(f"{PEOPLE_ONLY} is missing: it is never decided by a machine; give the role that may")
        return value


class Policy(Rules):
    """A policy and the risks it judges by: all that `judge` needs. Its version changes with every rule, risk and threshold."""

    name: str
    risks: Risks

    @model_validator(mode="after")
    def _names_known_codes(self) -> "Policy":
        if wrong := _wrong_codes(vars(self), self.risks):
            raise ValueError("; ".join(wrong))
        return self

    @cached_property
    def version(self) -> str:
        """The name and the first 12 hex digits of the content."""
        return f"{self.name}-{version_of((self,))[:12]}"

    def action_of(self, risk: Risk) -> RiskAction:
        return "escalate" if risk.code in self.people_only else self.actions.get(risk.code, risk.default_action)

    def role_of(self, code: str) -> str | None:
        """The role that may decide an escalated trigger."""
        return self.people_only.get(code, self.escalate_to)

    def trusts(self, detector: str, version: str) -> bool:
        for line in self.trust:
            if line.detector == detector and fnmatchcase(version.casefold(), line.version.casefold()):
                return line.level == "high"
        return True

    def detectors(self) -> tuple[Detector, ...]:
        """Every detector that it requires or that a risk asks for, in that order."""
        asked = (finding.id for risk in self.risks.risks for finding in risk.detectors)
        return tuple(dict.fromkeys((*(one.detector for one in self.required), *asked)))


def shipped_policies() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def policy(name: str | Path = DEFAULT, own_risks: Path | None = None) -> Policy:
    """A shipped policy by its name, or the one in a file; with the shipped risks, changed by the file `own_risks`.

    A file is read once in a process. Raises Mistakes with one line for each, naming file and field.
    """
    path = name if isinstance(name, Path) else _shipped(name)
    document, known = _with_base(path, ()), risks(own_risks)
    try:
        rules = validated(Rules, document, lambda steps: _named(document, steps))
    except Mistakes as error:
        raise in_file(path, Mistakes((*error.lines, *_wrong_codes(document, known)))) from None
    if wrong := _wrong_codes(vars(rules), known):
        raise in_file(path, Mistakes(wrong))
    return Policy.model_validate(rules.model_dump() | {"name": path.stem, "risks": known})


def _wrong_codes(rules: Mapping[str, Any], known: Risks) -> list[str]:
    """One line for each code that is none of `known`, or is for people and is given another action. Fields may still be of any kind."""
    codes = known.by_code()
    given = {field: rules[field] for field in ("actions", "thresholds", "people_only") if isinstance(rules.get(field), dict)}
    wrong = [
        f"{field}: {code} is no code of the risks; known are {', '.join(codes)}"
        for field, found in given.items()
        for code in sorted(found.keys() - codes.keys(), key=str)
    ]
    for code, action in given.get("actions", {}).items():
        if code in {PEOPLE_ONLY, *given.get("people_only", ())} and action != "escalate":
            wrong.append(f"actions: {code} is never decided by a machine (people_only); expected escalate, not '{action}'")
    return wrong


def _shipped(name: str) -> Path:
    if name not in shipped_policies():
        raise Mistakes(
            [f"policy '{name}' is none of those that come with Pressroom ({', '.join(shipped_policies())}); for a file, give its path"]
        )
    return FOLDER / f"{name}.yaml"


def _with_base(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The document with the one it extends below it: a field that it gives replaces, of a mapping each key."""
    document = read_mapping(path)
    base = document.pop("extends", None)
    if base is None:
        return document
    lower = path.parent / str(base) if str(base).endswith((".yaml", ".yml")) else FOLDER / f"{base}.yaml"
    if lower.resolve() in (*seen, path.resolve()):
        raise Mistakes([f"{path}: extends: {base} extends this file again"])
    if not lower.is_file():
        raise Mistakes([f"{path}: extends: expected {', '.join(shipped_policies())} or a file beside it, not {base!r}"])
    merged = _with_base(lower, (*seen, path.resolve()))
    for field, value in document.items():
        both = isinstance(value, dict) and isinstance(merged.get(field), dict)
        merged[field] = merged[field] | value if both else value
    return merged


def _named(document: dict[str, Any], steps: tuple[int | str, ...]) -> str:
    """A field for people: required[2] (objects).min_coverage."""
    match steps:
        case (str(field), int(number), *rest) if isinstance(document[field][number], dict) and "detector" in document[field][number]:
            return f"{field} ({document[field][number]['detector']})" + (f": {field_path(rest)}" if rest else "")
        case (str(field), str(key), *_):
            return f"{field}: {key.removesuffix('[key]')}"
    return field_path(steps)
