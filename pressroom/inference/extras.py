"""Detectors that the user adds: nudity by nudenet, and ONNX files of their own, described by a few lines of YAML."""

import hashlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from pressroom.errors import BadInput
from pressroom.inference.frames import FrameRunner
from pressroom.wording import first_problem

NUDENET_LICENCE = (
    "nudenet is AGPL-3.0: whoever offers a service with it must offer that service's source code. Pressroom never installs it by itself."
)
# What nudenet is unsure of under this is not a finding; the policy's thresholds lie above.
NUDENET_LEAST = 0.2


class OwnDetector(BaseModel):
    """One ONNX file of the user's: what goes in and what comes out.

    The picture is scaled to `size` (width, height), divided by 255, and normalised by `mean` and `std`. `output` says what the first output
    is: `scores` (one for each label, 0 to 1), `softmax` or `sigmoid` (the same, as logits), or `boxes`: rows of left, top, right, bottom in
    input pixels, score, label's index.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    detector: Literal["objects", "nudity", "violence"]
    model: Path = Field(description="The .onnx file; relative to the YAML file.")
    labels: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    output: Literal["scores", "softmax", "sigmoid", "boxes"]
    size: tuple[Annotated[int, Field(ge=8, le=4096)], Annotated[int, Field(ge=8, le=4096)]] = (224, 224)
    layout: Literal["nchw", "nhwc"] = "nchw"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ignore: tuple[str, ...] = Field(default=(), description="Labels that are no finding, such as `neutral`.")
    least: float = Field(default=0.2, ge=0, le=1, description="Scores under this are no finding.")

    @model_validator(mode="after")
    def _ignores_what_it_has(self) -> "OwnDetector":
        if unknown := set(self.ignore) - set(self.labels):
            raise ValueError(f"ignore names {sorted(unknown)[0]!r}, which is not among the labels")
        if 0.0 in self.std:
            raise ValueError("std must not be 0")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    detectors: tuple[OwnDetector, ...] = Field(min_length=1)


def nudenet_runner(workers: int | None = None) -> FrameRunner | None:
    """The nudity detector, if the user has installed nudenet. See NUDENET_LICENCE. Labels are nudenet's own in small letters."""
    if find_spec("nudenet") is None:
        return None
    return FrameRunner(
        detector="nudity",
        version=f"nudenet-{version('nudenet')}",
        work="pressroom.inference.extras:nudenet_looker",
        memory_mib=400,
        workers=workers,
    )


def own_runners(file: Path, workers: int | None = None) -> list[FrameRunner]:
    """A detector for each entry of the YAML file (`detectors: [{detector, model, labels, output, ...}]`, see OwnDetector).

    Raises BadInput for a file that cannot be read, a wrong entry, a model that is not there, or two entries for one detector.
    """
    try:
        described = _File.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{file}: cannot be read as YAML: {str(error).splitlines()[0]}") from None
    except ValidationError as error:
        raise BadInput(f"{file}: {first_problem(error)}") from None
    names = [own.detector for own in described.detectors]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"{file}: two entries for {twice[0]}")
    return [_own_runner(own, file, workers) for own in described.detectors]


def _own_runner(own: OwnDetector, file: Path, workers: int | None) -> FrameRunner:
    model = (file.parent / own.model).absolute()
    try:
        with model.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        raise BadInput(f"{file}: {own.detector}: there is no model {model}") from None
    # What was read out of the model depends on the description too: another one is another version.
    described = hashlib.sha256(own.model_copy(update={"model": Path(model.name)}).model_dump_json().encode()).hexdigest()
    return FrameRunner(
        detector=own.detector,
        version=f"{model.stem}-{digest[:8]}-{described[:4]}",
        work="pressroom.inference.extras:own_looker",
        setup={**own.model_dump(mode="json"), "model": str(model)},
        memory_mib=600,
        workers=workers,
    )


def nudenet_looker(setup: JsonValue) -> Callable[[str], list[JsonValue]]:
    """Runs in a child: nudenet's detector, which brings its weights."""
    from nudenet import NudeDetector
    from PIL import Image

    detector = NudeDetector()

    def look(path: str) -> list[JsonValue]:
        with Image.open(path) as picture:
            picture.load()
            width, height = picture.size
        found: list[JsonValue] = []
        for one in detector.detect(path):
            left, top, across, down = one["box"]
            box = _inside((left / width, top / height, (left + across) / width, (top + down) / height))
            if one["score"] >= NUDENET_LEAST:
                found.append([str(one["class"]).lower(), round(float(one["score"]), 4), box, None])
        return found

    return look


def own_looker(setup: JsonValue) -> Callable[[str], list[JsonValue]]:
    """Runs in a child: the user's model on one thread, and a function that looks at one picture."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    own = OwnDetector.model_validate(setup)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(own.model), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0].name

    def look(path: str) -> list[JsonValue]:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB").resize(own.size), dtype=np.float32) / 255
        pixels = (pixels - np.array(own.mean, np.float32)) / np.array(own.std, np.float32)
        batch = (pixels.transpose(2, 0, 1) if own.layout == "nchw" else pixels)[None]
        output = np.asarray(session.run(None, {entry: np.ascontiguousarray(batch)})[0], dtype=np.float64)
        rows = _boxes(own, output) if own.output == "boxes" else _labels(own, output)
        return [[label, round(score, 4), box, None] for label, score, box in rows if score >= own.least and label not in own.ignore]

    return look


def _labels(own: OwnDetector, output: Any) -> Iterator[tuple[str, float, None]]:
    """Labels with scores 0 to 1. Raises ValueError when the model gives another number of them."""
    import numpy as np

    values = output.reshape(-1)
    if len(values) != len(own.labels):
        raise ValueError(f"the model gives {len(values)} scores for {len(own.labels)} labels")
    if own.output == "softmax":
        values = np.exp(values - values.max())
        values = values / values.sum()
    elif own.output == "sigmoid":
        values = 1 / (1 + np.exp(-values))
    for label, value in zip(own.labels, values, strict=True):
        yield label, _score(float(value)), None


def _boxes(own: OwnDetector, output: Any) -> Iterator[tuple[str, float, list[JsonValue]]]:
    """Labels with scores and boxes 0 to 1. Raises ValueError for rows of another length or a label that does not exist."""
    if output.shape[-1] != 6:
        raise ValueError(f"the model gives rows of {output.shape[-1]} values, not of 6")
    width, height = own.size
    for left, top, right, bottom, score, label in output.reshape(-1, 6):
        if not 0 <= int(label) < len(own.labels):
            raise ValueError(f"the model gives label {int(label)} of {len(own.labels)}")
        yield own.labels[int(label)], _score(float(score)), _inside((left / width, top / height, right / width, bottom / height))


def _score(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"the model gives the score {value:g}, which is not within 0 and 1")
    return value


def _inside(box: tuple[float, float, float, float]) -> list[JsonValue]:
    return [round(min(1.0, max(0.0, float(value))), 4) for value in box]
