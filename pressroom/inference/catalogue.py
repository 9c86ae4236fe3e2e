"""The hosted detectors: models.yaml, changed by a file of one's own."""

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from pressroom.errors import BadInput
from pressroom.inference.adapters import ADAPTERS
from pressroom.records import Detector, Record
from pressroom.wording import first_problem

SHIPPED = Path(__file__).with_name("models.yaml")
HOSTED: tuple[Detector, ...] = ("transcript", "screen_text", "objects", "nudity", "violence")
HEADROOM = 4  # a cold machine takes up to some four times as long as a warm one; a budget sets that much aside
PLACES = {"transcript": ("$audio",)} | dict.fromkeys(HOSTED[1:], ("$image", "$images"))


class Price(Record):
    """What a run costs in USD: by the second of its hardware, of which it takes `typical_s`, or by the run."""

    usd_per_second: Decimal | None = Field(default=None, ge=0)
    typical_s: float | None = Field(default=None, gt=0)
    usd_per_run: Decimal | None = Field(default=None, ge=0)
    known: dt.date = Field(description="Day on which it was read at the source.")
    source: str

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "Price":
        if (self.usd_per_run is None) == (self.usd_per_second is None) or (self.usd_per_second is None) != (self.typical_s is None):
            raise ValueError("expected either usd_per_run, or usd_per_second and typical_s")
        return self

    @property
    def most_s(self) -> float:
        """The most seconds that a run is expected to take; 0 where they do not matter."""
        return HEADROOM * (self.typical_s or 0.0)

    def of(self, seconds: float = 0.0) -> Decimal:
        """The cost of a run that took so many seconds of its hardware; 0: as many as usual."""
        if self.usd_per_run is not None:
            return self.usd_per_run
        assert self.usd_per_second is not None
        return self.usd_per_second * Decimal(str(seconds or self.typical_s))


class HostedModel(Record):
    """The model behind one detector: which, what it is sent, and how its answer is read."""

    model: str = Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")
    version: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", description="None: one that Replicate itself keeps up.")
    adapter: str
    input: dict[str, JsonValue]
    frames: Literal["small", "large"] = "small"
    batch: int = Field(default=1, ge=1, le=100, description="Pictures in one run.")
    piece_s: int = Field(default=600, ge=10, le=3000, description="Seconds of sound in one run.")
    labels: dict[str, str | None] = Field(default_factory=dict)
    price: Price | None = None
    deadline_s: float = Field(default=600.0, ge=5, le=3000, description="From its creation; a cold start takes minutes.")

    @field_validator("adapter")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in ADAPTERS:
            raise ValueError(f"no adapter {value}; there are {', '.join(ADAPTERS)}")
        return value

    @model_validator(mode="after")
    def _fits_its_batch(self) -> "HostedModel":
        if self.batch > 1 and (self.adapter != "batch_labels" or not _holds(self.input, "$images")):
            raise ValueError("a batch needs the adapter batch_labels and an input with $images")
        return self

    @property
    def pinned(self) -> str:
        return f"{self.model}:{self.version}" if self.version else self.model

    @property
    def short(self) -> str:
        """The model and its version as people read them."""
        return f"{self.model}:{self.version[:12]}" if self.version else self.model

    def filled(self, values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The input with `values` in the places of `$image`, `$images`, `$audio` and `$language`."""
        return {name: _filled(part, values) for name, part in self.input.items()}


class Catalogue(Record):
    """The hosted detectors; one that is missing is not hosted."""

    detectors: dict[Detector, HostedModel] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_places(self) -> "Catalogue":
        for detector, entry in self.detectors.items():
            if detector not in HOSTED:
                raise ValueError(f"{detector} has no hosted model; those that can are {', '.join(HOSTED)}")
            if not any(_holds(entry.input, place) for place in PLACES[detector]):
                raise ValueError(f"{detector}: its input has no {' or '.join(PLACES[detector])}")
        return self


def catalogue(path: Path | None = None) -> Catalogue:
    """The shipped table, changed by the one at `path`: a detector's keys are changed one by one, `null` takes a detector out.

    A detector that names another `model` keeps nothing of the shipped entry. Raises BadInput, naming file and key.
    """
    detectors: dict[str, Any] = dict(_read(SHIPPED))
    for name, entry in (_read(path) if path else {}).items():
        shipped = detectors.get(name)
        if entry is None:
            detectors.pop(name, None)
        elif isinstance(entry, Mapping) and isinstance(shipped, Mapping) and entry.get("model", shipped["model"]) == shipped["model"]:
            detectors[name] = {**shipped, **entry}
        else:
            detectors[name] = entry
    try:
        return Catalogue.model_validate({"detectors": detectors})
    except ValidationError as error:
        raise BadInput(f"{path or SHIPPED}: {first_problem(error)}") from None


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"PRESSROOM_DETECTORS: {path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, or a date that is none
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        raise BadInput(f"{path}{f', line {line + 1}' if line is not None else ''}: not YAML") from None
    detectors = found.get("detectors") if isinstance(found, dict) else None
    if not isinstance(found, dict) or found.keys() != {"detectors"} or not isinstance(detectors, dict):
        raise BadInput(f"{path}: expected a mapping with `detectors` and nothing else")
    return detectors


def _filled(value: JsonValue, values: Mapping[str, JsonValue]) -> JsonValue:
    match value:
        case str():
            return values.get(value, value) if re.fullmatch(r"\$\w+", value) else value
        case dict():
            return {name: _filled(part, values) for name, part in value.items()}
        case list():
            return [_filled(part, values) for part in value]
    return value


def _holds(value: JsonValue, place: str) -> bool:
    match value:
        case dict():
            return any(_holds(part, place) for part in value.values())
        case list():
            return any(_holds(part, place) for part in value)
    return value == place
