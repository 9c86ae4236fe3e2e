"""Detectors by hosted models over a painted video: what they find, what they cost, and what is said where they looked at nothing."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from pressroom.errors import BadInput, OverBudget, Permanent, Transient
from pressroom.inference.catalogue import Catalogue, HostedModel, Price, catalogue
from pressroom.inference.hosted import HostedRunner
from pressroom.inference.types import Detection, Media
from pressroom.llm.budget import RunBudget
from pressroom.records import Detector
from pressroom.store.engine import Store
from simulators.replicate import ReplicateSimulator
from simulators.replicate_answers import TEXT
from tests.inference.replicate_samples import TOKEN, detectors_of, hum, one_model, paint, quiet

COLOURS = ("red", "green", "magenta", "blue", "yellow")


@pytest.fixture
def simulator() -> Iterator[ReplicateSimulator]:
    with ReplicateSimulator(token=TOKEN) as running:
        yield running


@pytest.fixture
def media(tmp_path: Path) -> Media:
    """Red, green (for two frames, the first of which stands for both), magenta, blue, yellow; twelve seconds with a tone."""
    colours = ("red", "green", "green", "magenta", "blue", "yellow")
    return paint(tmp_path / "video", colours, same={2: 1}, audio=hum(tmp_path / "audio.wav", 12))


def detect(runner: HostedRunner, media: Media) -> Detection:
    return asyncio.run(runner.detect(media, quiet))


async def all_of(runners: dict[Detector, HostedRunner], media: Media) -> dict[Detector, Detection]:
    found = await asyncio.gather(*(runner.detect(media, quiet) for runner in runners.values()))
    return dict(zip(runners, found, strict=True))


def test_five_detectors_find_what_is_painted_and_pay_for_it_once(store: Store, simulator: ReplicateSimulator, media: Media) -> None:
    with detectors_of(store, simulator.base_url) as runners:
        first = asyncio.run(all_of(runners, media))
        seen = {detector: [(one.start_ms, one.end_ms, one.label) for one in found.signals] for detector, found in first.items()}
        assert seen["objects"] == [(0, 2000, "weapon")]
        assert seen["nudity"] == [(6000, 8000, "explicit")]
        assert seen["violence"] == [(0, 2000, "violence"), (0, 2000, "weapon")]
        assert seen["screen_text"] == [(10_000, 12_000, "text")]
        assert [one.text for one in first["screen_text"].signals] == [TEXT]
        assert [end - start for start, end, _ in seen["transcript"]] == [5000, 5000, 2000], "the last sentence ends with the sound"
        (gun,) = first["objects"].signals
        assert (gun.score, gun.box, gun.frame) == (0.82, (0.25, 0.25, 0.75, 0.75), 0)
        assert first["nudity"].signals[0].score is None, "a model that gives no score is not certain"
        assert all(one.call for found in first.values() for one in found.signals)
    assert simulator.count == 4 * 5 + 1, "the frame that another one stands for is not sent"

    for detector, found in first.items():
        coverage = found.coverage
        assert (coverage.state, coverage.seconds, coverage.of_s, coverage.reason) == ("analysed", 12, 12, "")
        assert (coverage.looks, coverage.stood_for) == ((1, 0) if detector == "transcript" else (6, 1))
        assert found.cost_usd > 0
        assert found.replayed == 0
    with detectors_of(store, simulator.base_url) as runners:
        again = asyncio.run(all_of(runners, media))
    assert simulator.count == 21
    for detector, found in again.items():
        assert found.replayed == found.calls == first[detector].calls
        assert (found.signals, found.cost_usd, found.raw) == (first[detector].signals, first[detector].cost_usd, first[detector].raw)


def test_what_is_found_on_a_frame_holds_for_those_that_it_stands_for(store: Store, simulator: ReplicateSimulator, tmp_path: Path) -> None:
    media = paint(tmp_path, ("blue", "red", "red", "red"), same={2: 1, 3: 1})
    with detectors_of(store, simulator.base_url, one_model("objects")) as runners:
        found = detect(runners["objects"], media)
    assert [(one.start_ms, one.end_ms, one.frame) for one in found.signals] == [(2000, 4000, 1), (4000, 6000, 1), (6000, 8000, 1)]
    assert len({one.call for one in found.signals}) == 1
    assert simulator.count == 2


def test_frames_without_an_answer_lower_the_coverage_and_nothing_else(store: Store, simulator: ReplicateSimulator, media: Media) -> None:
    """One of the detectors loses two frames for good; the others do not notice."""
    simulator.fail("failed", times=2, containing="box_threshold")
    with detectors_of(store, simulator.base_url) as runners:
        found = asyncio.run(all_of(runners, media))
        lost = found["objects"].coverage
        assert lost.state == "analysed"
        assert lost.looks < 6
        assert lost.seconds < 12
        assert lost.largest_gap_s
        assert lost.largest_gap_s >= 4
        assert lost.reason.startswith(
            "2 of 5 calls gave nothing that can be relied on; the first: adirik/grounding-dino:efd10a8ddc57 failed"
        )
        assert all(one.coverage.seconds == 12 for detector, one in found.items() if detector != "objects")
        again = detect(runners["objects"], media)
        assert (again.coverage.seconds, again.replayed) == (12, 3), "the next run asks only for what is missing"


@pytest.mark.parametrize("kind", ["null", "number", "garbage", "json-text"])
def test_an_answer_of_another_shape_is_a_frame_that_nobody_looked_at(
    store: Store, simulator: ReplicateSimulator, media: Media, kind: str
) -> None:
    simulator.fail(kind, times=None)
    with detectors_of(store, simulator.base_url) as runners:
        found = asyncio.run(all_of(runners, media))
    for detector, one in found.items():
        if kind == "json-text" and detector == "screen_text":
            continue  # to a model that reads, JSON in a picture is a text
        assert one.coverage.state == "failed", detector
        assert (one.coverage.seconds, one.signals) == (0, ())
        assert "the model answered with" in one.coverage.reason or "could not be read" in one.coverage.reason
        assert one.cost_usd > 0, "it is paid all the same"


def test_a_token_that_is_refused_is_said_in_the_coverage(store: Store, simulator: ReplicateSimulator, media: Media) -> None:
    simulator.token = "another"
    with detectors_of(store, simulator.base_url, one_model("nudity")) as runners:
        found = detect(runners["nudity"], media)
    assert found.coverage.state == "failed"
    assert "REPLICATE_API_TOKEN" in found.coverage.reason
    assert TOKEN not in found.coverage.reason


def test_an_endpoint_that_is_away_is_a_reason_to_come_back(store: Store, simulator: ReplicateSimulator, media: Media) -> None:
    simulator.fail("503", times=None)
    with detectors_of(store, simulator.base_url, one_model("nudity")) as runners, pytest.raises(Transient, match="503"):
        detect(runners["nudity"], media)


def test_no_money_ends_the_run_and_not_a_detector(store: Store, simulator: ReplicateSimulator, media: Media) -> None:
    budget = RunBudget(Decimal("0.001"))  # one call may take 4.8 s of its hardware: 0.00108 USD
    with detectors_of(store, simulator.base_url, one_model("nudity"), budget=budget) as runners, pytest.raises(OverBudget):
        detect(runners["nudity"], media)
    assert simulator.count == 0


def test_the_estimate_is_told_before_and_the_actual_cost_after(store: Store, simulator: ReplicateSimulator, media: Media) -> None:
    simulator.latency = 0.4
    with detectors_of(store, simulator.base_url, one_model("nudity")) as runners:
        runner = runners["nudity"]
        assert runner.estimate(media) == 5 * Decimal("0.000225") * Decimal("1.2")
        cost = detect(runner, media).cost_usd
    a_frame = Decimal("0.000225") * Decimal("0.3")  # three quarters of its 0.4 s a prediction runs, the rest it waits
    assert Decimal("0.95") * 5 * a_frame <= cost <= 6 * a_frame


def test_a_model_that_takes_many_pictures_is_sent_many(store: Store, simulator: ReplicateSimulator, media: Media) -> None:
    batch = HostedModel(
        model="zhixindev/nsfw-image-detection-2026",
        version="0" * 64,
        adapter="batch_labels",
        input={"images": "$images"},
        batch=3,
        labels={"normal": None, "nsfw": "explicit"},
        price=Price(usd_per_run=Decimal("0.001"), known=dt.date(2026, 11, 1), source="test"),
    )
    with detectors_of(store, simulator.base_url, Catalogue(detectors={"nudity": batch})) as runners:
        found = detect(runners["nudity"], media)
    assert simulator.count == 2
    assert [(one.start_ms, one.label, one.score, one.frame) for one in found.signals] == [(6000, "explicit", 0.97, 3)]
    assert (found.cost_usd, found.coverage.seconds) == (Decimal("0.002"), 12)


def test_long_sound_is_sent_in_pieces_and_a_lost_one_is_a_gap(store: Store, simulator: ReplicateSimulator, tmp_path: Path) -> None:
    media = paint(tmp_path, ("blue",) * 13, audio=hum(tmp_path / "audio.wav", 26))
    with detectors_of(store, simulator.base_url, one_model("transcript", piece_s=10)) as runners:
        whole = detect(runners["transcript"], media)
        assert [one.start_ms for one in whole.signals] == [0, 5000, 10_000, 15_000, 20_000, 25_000]
        assert (whole.signals[-1].end_ms, whole.coverage.seconds, whole.coverage.largest_gap_s) == (26_000, 26, 0)
    assert simulator.count == 3

    (tmp_path / "audio.wav").unlink()
    other = paint(tmp_path / "other", ("blue",) * 13, audio=hum(tmp_path / "audio.wav", 26.1))
    simulator.fail("failed")
    with detectors_of(store, simulator.base_url, one_model("transcript", piece_s=10)) as runners:
        coverage = detect(runners["transcript"], Media("video-2", 26_000, other.frames, other.folder, other.audio)).coverage
    assert coverage.state == "analysed"
    assert coverage.seconds in (16, 20)
    assert coverage.largest_gap_s == 26 - coverage.seconds
    assert coverage.reason.startswith("1 of 3 pieces of sound")


def test_sound_is_cut_where_nobody_speaks(store: Store, simulator: ReplicateSimulator, tmp_path: Path) -> None:
    media = paint(tmp_path, ("blue",) * 8, audio=hum(tmp_path / "audio.wav", 16))
    spoken = Media("video-1", 16_000, media.frames, media.folder, media.audio, speech=((0, 7000), (8000, 16_000)))
    with detectors_of(store, simulator.base_url, one_model("transcript", piece_s=10)) as runners:
        assert [sheet.name for sheet in runners["transcript"]._sheets(spoken)] == ["0-7500", "7500-16000"]
        assert [sheet.name for sheet in runners["transcript"]._sheets(media)] == ["0-10000", "10000-16000"]


def test_a_video_without_sound_or_frames_is_said_to_be_so(store: Store, simulator: ReplicateSimulator, tmp_path: Path) -> None:
    nothing = Media("video-1", 5000, (), tmp_path)
    with detectors_of(store, simulator.base_url) as runners:
        found = asyncio.run(all_of(runners, nothing))
    assert (found["transcript"].coverage.state, found["transcript"].coverage.reason) == (
        "analysed",
        "The video has no sound: there is nothing to hear.",
    )
    assert found["nudity"].coverage.state == "failed"
    assert simulator.count == 0


def test_a_frame_that_is_gone_costs_nothing(store: Store, simulator: ReplicateSimulator, media: Media) -> None:
    for frame in media.frames[:2]:
        media.small(frame).unlink()
    with detectors_of(store, simulator.base_url, one_model("nudity")) as runners:
        coverage = detect(runners["nudity"], media).coverage
    assert (coverage.looks, coverage.reason.partition(": ")[2]) == (3, "frame 0 cannot be read (FileNotFoundError).")
    assert simulator.count == 3


def test_the_shipped_table_is_changed_key_by_key(tmp_path: Path) -> None:
    own = tmp_path / "detectors.yaml"
    mine = "violence: {model: me/mine, adapter: labels, input: {a: $image}}"
    own.write_text(f"detectors: {{objects: {{deadline_s: 60, labels: {{cat: null}}}}, nudity: null, {mine}}}")
    table = catalogue(own).detectors
    assert sorted(table) == ["objects", "screen_text", "transcript", "violence"]
    assert (table["objects"].deadline_s, table["objects"].labels, table["objects"].model) == (60, {"cat": None}, "adirik/grounding-dino")
    assert (table["violence"].pinned, table["violence"].price, table["violence"].labels) == ("me/mine", None, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("detectors: {objects: {adapter: eyes}}", "detectors.objects.adapter: no adapter eyes; there are speech"),
        ("detectors: {objects: {version: latest}}", "detectors.objects.version is wrong: expected 64 characters"),
        ("detectors: {objects: {input: {image: frame}}}", "objects: its input has no $image or $images"),
        ("detectors: {picture: {model: a/b, adapter: labels, input: {a: $image}}}", "picture has no hosted model"),
        ("detectors: {objects: {batch: 4}}", "a batch needs the adapter batch_labels"),
        ("detectors: {objects: {price: {known: 2026-01-01, source: x}}}", "expected either usd_per_run, or usd_per_second"),
        ("detectors: {objects: {colour: red}}", "detectors.objects.colour: unknown key"),
        ("models: {}", "expected a mapping with `detectors` and nothing else"),
        ("detectors: [", "line 1: not YAML"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_the_place(tmp_path: Path, text: str, says: str) -> None:
    own = tmp_path / "detectors.yaml"
    own.write_text(text)
    with pytest.raises(BadInput) as wrong:
        catalogue(own)
    assert says in str(wrong.value)
    assert str(own) in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_table_that_is_not_there_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="PRESSROOM_DETECTORS"):
        catalogue(tmp_path / "none.yaml")
