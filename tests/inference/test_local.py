"""Which detectors this machine has, and the ones that the user adds."""

import asyncio
import struct
from pathlib import Path

import pytest
from PIL import Image

from pressroom.errors import BadInput
from pressroom.inference.local import licence_notes, local_coverage, local_runners
from pressroom.inference.types import Detection, Media
from pressroom.settings import Settings
from tests.inference.looking import filmed

SIDE = 8


def look(runner: object, media: Media) -> Detection:
    return asyncio.run(runner.detect(media, lambda done, total: None))  # type: ignore[attr-defined, no-any-return]


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protocol buffer; numbers stay under 128, lengths under 16,384."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    content = value.encode() if isinstance(value, str) else value
    length = bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
    return bytes([number << 3 | 2]) + length + content


def value_info(name: str, *shape: int) -> bytes:
    dimensions = b"".join(field(1, field(1, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dimensions)))


def averaging_model(path: Path) -> None:
    """An ONNX file that gives the mean of each colour: input (1, 3, 8, 8), output (1, 3, 1, 1)."""
    node = field(1, "pixels") + field(2, "means") + field(4, "GlobalAveragePool")
    graph = (
        field(1, node)
        + field(2, "colours")
        + field(11, value_info("pixels", 1, 3, SIDE, SIDE))
        + field(12, value_info("means", 1, 3, 1, 1))
    )
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))


def box_model(path: Path, *rows: tuple[float, ...]) -> None:
    """An ONNX file that answers every picture with the same rows (n, 6)."""
    data = b"".join(struct.pack("<f", value) for row in rows for value in row)
    tensor = field(1, len(rows)) + field(1, 6) + field(2, 1) + field(9, data)
    constant = field(2, "rows") + field(4, "Constant") + field(5, field(1, "value") + field(5, tensor) + bytes([0xA0, 0x01, 4]))
    graph = (
        field(1, constant)
        + field(2, "boxes")
        + field(11, value_info("pixels", 1, 3, SIDE, SIDE))
        + field(12, value_info("rows", len(rows), 6))
    )
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))


def described(folder: Path, text: str) -> Settings:
    (folder / "own.yaml").write_text(text)
    return Settings(own_detectors=folder / "own.yaml")


OWN = f"{{detector: violence, model: colours.onnx, labels: [red, green, blue], output: scores, size: [{SIDE}, {SIDE}], ignore: [blue]"


def test_a_machine_without_extras_reads_and_listens_and_says_what_it_cannot_do() -> None:
    runners = local_runners(Settings())
    assert {detector: runner.detector for detector, runner in runners.items()} == {"transcript": "transcript", "screen_text": "screen_text"}
    assert licence_notes(Settings()) == ()
    for detector in ("objects", "violence", "nudity"):
        coverage = local_coverage(detector, of_s=60.0)
        assert (coverage.state, coverage.fraction, coverage.of_s) == ("unsupported", 0.0, 60.0)
        assert f"finds {detector}: set REPLICATE_API_TOKEN" in coverage.reason
    assert "nudenet (AGPL-3.0)" in local_coverage("nudity").reason
    assert local_coverage("objects").reason.endswith("PRESSROOM_OWN_DETECTORS.")


def test_a_users_own_model_looks_at_the_frames(tmp_path: Path) -> None:
    averaging_model(tmp_path / "colours.onnx")
    runner = local_runners(described(tmp_path, f"detectors: [{OWN}}}]"))["violence"]
    red, blue = (Image.new("RGB", (64, 36), colour) for colour in ("red", "blue"))
    found = look(runner, filmed(tmp_path, [red, red, blue]))
    assert [(one.label, one.start_ms, one.end_ms, one.box) for one in found.signals] == [("red", 0, 4000, None)]
    assert found.signals[0].score == pytest.approx(1.0, abs=0.02)
    assert (found.coverage.state, found.coverage.fraction, found.coverage.version) == ("analysed", 1.0, runner.version)
    assert runner.version.startswith("colours-")


def test_a_users_own_model_gives_boxes(tmp_path: Path) -> None:
    box_model(tmp_path / "boxes.onnx", (0, 2, 4, 10, 0.75, 1), (0, 0, 8, 8, 0.1, 0))
    chosen = described(
        tmp_path, f"detectors: [{{detector: objects, model: boxes.onnx, labels: [knife, gun], output: boxes, size: [{SIDE}, {SIDE}]}}]"
    )
    found = look(local_runners(chosen)["objects"], filmed(tmp_path, [Image.new("RGB", (64, 36))]))
    assert [(one.label, one.score, one.box) for one in found.signals] == [("gun", 0.75, (0.0, 0.25, 0.5, 1.0))]


def test_a_model_that_is_not_what_was_described_fails_with_the_difference(tmp_path: Path) -> None:
    averaging_model(tmp_path / "colours.onnx")
    chosen = described(
        tmp_path, f"detectors: [{{detector: objects, model: colours.onnx, labels: [a, b], output: softmax, size: [{SIDE}, {SIDE}]}}]"
    )
    coverage = look(local_runners(chosen)["objects"], filmed(tmp_path, [Image.new("RGB", (64, 36))])).coverage
    assert coverage.state == "failed"
    assert "the model gives 3 scores for 2 labels" in coverage.reason


def test_a_file_that_is_no_model_fails_every_frame(tmp_path: Path) -> None:
    (tmp_path / "colours.onnx").write_bytes(b"no model")
    coverage = look(
        local_runners(described(tmp_path, f"detectors: [{OWN}}}]"))["violence"], filmed(tmp_path, [Image.new("RGB", (64, 36))])
    ).coverage
    assert (coverage.state, coverage.seconds) == ("failed", 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("detectors: [", "cannot be read as YAML"),
        ("detectors: []", "detectors is wrong: expected 1 or more of them"),
        (f"detectors: [{OWN}, colour: 1}}]", "detectors.0.colour: "),
        (f"detectors: [{OWN.replace('ignore: [blue]', 'ignore: [pink]')}}}]", "ignore names 'pink', which is not among the labels"),
        (f"detectors: [{OWN}}}, {OWN}}}]", "two entries for violence"),
        (f"detectors: [{OWN.replace('colours', 'gone')}}}]", "violence: there is no model"),
    ],
)
def test_a_wrong_description_is_one_line_that_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    averaging_model(tmp_path / "colours.onnx")
    with pytest.raises(BadInput) as error:
        local_runners(described(tmp_path, text))
    assert message in str(error.value)
    assert str(tmp_path / "own.yaml") in str(error.value)
    assert "\n" not in str(error.value)


def test_another_description_of_a_model_is_another_version(tmp_path: Path) -> None:
    averaging_model(tmp_path / "colours.onnx")
    one, other = (local_runners(described(tmp_path, f"detectors: [{OWN}, least: {least}}}]"))["violence"] for least in (0.2, 0.5))
    assert one.version != other.version


def test_nudenet_is_used_where_it_is_installed_and_its_licence_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is AGPL-3.0 and not among ours: one with the same face stands in its place, in the child too."""
    package = tmp_path / "packages" / "nudenet"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "class NudeDetector:\n"
        "    def detect(self, path):\n"
        "        feet = {'class': 'FEET_EXPOSED', 'score': 0.8, 'box': [16, 9, 32, 18]}\n"
        "        return [feet, {'class': 'FACE_MALE', 'score': 0.1, 'box': [0, 0, 1, 1]}]\n"
    )
    facts = tmp_path / "packages" / "nudenet-3.4.2.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: nudenet\nVersion: 3.4.2\n")
    monkeypatch.syspath_prepend(str(package.parent))
    runner = local_runners(Settings())["nudity"]
    found = look(runner, filmed(tmp_path, [Image.new("RGB", (64, 36))]))
    assert [(one.label, one.score, one.box, one.version) for one in found.signals] == [
        ("feet_exposed", 0.8, (0.25, 0.25, 0.75, 0.75), "nudenet-3.4.2")
    ]
    assert "AGPL-3.0" in licence_notes(Settings())[0]
