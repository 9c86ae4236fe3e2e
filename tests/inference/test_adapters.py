"""Every shape in which hosted models were seen to answer, and every shape that they might."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from pressroom.inference.adapters import ADAPTERS, Adapter, Finding, Sent, batch_labels, boxes, guard, labels, mapped, speech, text

FRAME = Sent(((640, 360),))
SOUND = Sent((), 12_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
NAMES = ("segments", "chunks", "text", "timestamp", "start", "end", "detections", "json_str", "results", "lines", "output")
WORDS = st.sampled_from((*NAMES, "label", "score", "cls", "confidence", "bbox", "box", "x0", "y0", "x1", "y1"))
# Nonsense under the very names that adapters look for: that is where they would stumble.
NEARLY = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.sampled_from(["0.9", "safe", "unsafe\nS1", "{", "nan"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


def test_a_transcript_of_whisper_has_its_segments_in_ms() -> None:
    output: JsonValue = {
        "transcription": " One. Two.",
        "detected_language": "english",
        "segments": [{"id": 0, "start": 0.0, "end": 2.48, "text": " One."}, {"id": 1, "start": 2.48, "end": 5, "text": " Two."}],
    }
    assert speech(output, SOUND).findings == (
        Finding("speech", text="One.", start_ms=0, end_ms=2480),
        Finding("speech", text="Two.", start_ms=2480, end_ms=5000),
    )


def test_the_last_chunk_of_the_fast_whisper_has_no_end_and_gets_that_of_the_sound() -> None:
    output: JsonValue = {
        "text": " One. Two.",
        "chunks": [{"text": " One.", "timestamp": [0, 4.2]}, {"text": " Two.", "timestamp": [4.2, None]}],
    }
    assert [finding.end_ms for finding in speech(output, SOUND).findings] == [4200, 12_000]


@pytest.mark.parametrize("output", ["Only words.", {"text": "Only words."}, ["Only ", "words."], '{"transcription": "Only words."}'])
def test_words_without_times_are_of_the_whole_sound(output: JsonValue) -> None:
    assert speech(output, SOUND).findings == (Finding("speech", text="Only words.", start_ms=0, end_ms=12_000),)


@pytest.mark.parametrize(
    ("output", "score"),
    [
        ({"detections": [{"bbox": [160, 90, 320, 180], "label": "gun", "confidence": 0.41}]}, 0.41),
        ({"json_str": json.dumps({"Det-0": {"x0": 160, "y0": 90, "x1": 320, "y1": 180, "score": 0.41, "cls": "gun"}})}, 0.41),
        ([{"label": "gun", "score": "0.41", "box": {"xmin": 160, "ymin": 90, "xmax": 320, "ymax": 180}}], 0.41),
        ([{"label": "gun", "box": [0.25, 0.25, 0.5, 0.5]}], None),
        (json.dumps({"detections": [{"bbox": [160, 90, 320, 180], "label": "gun"}]}), None),
    ],
    ids=["grounding-dino", "yolo-world", "transformers", "parts, no score", "JSON in a string, no score"],
)
def test_a_box_is_told_in_parts_of_the_picture_and_a_missing_score_is_none(output: JsonValue, score: float | None) -> None:
    assert boxes(output, FRAME).findings == (Finding("gun", score=score, box=(0.25, 0.25, 0.5, 0.5)),)


def test_what_cannot_be_read_is_counted_and_the_rest_is_kept() -> None:
    output: JsonValue = {"detections": [{"label": "gun", "confidence": 2.5, "bbox": [9, 9, 1, 1]}, "what?", {"bbox": [0, 0, 1, 1]}]}
    reading = boxes(output, FRAME)
    assert reading.findings == (Finding("gun"),), "a score outside of 0 to 1 and a box without an area say nothing"
    assert reading.problem == "2 of 3 things in the model's answer could not be read"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("nsfw", (Finding("nsfw"),)),
        ('"nsfw"', (Finding("nsfw"),)),
        ({"label": "nsfw", "score": 0.9}, (Finding("nsfw", 0.9),)),
        ([{"label": "nsfw", "score": 0.9}, {"label": "normal", "score": 0.1}], (Finding("nsfw", 0.9), Finding("normal", 0.1))),
        ({"nsfw": 0.9, "normal": 0.1}, (Finding("nsfw", 0.9), Finding("normal", 0.1))),
    ],
)
def test_a_picture_is_labelled_in_five_ways(output: JsonValue, expected: tuple[Finding, ...]) -> None:
    assert labels(output, FRAME).findings == expected


def test_a_batch_tells_its_pictures_apart_and_must_be_of_their_number() -> None:
    two = Sent(((1, 1), (1, 1)))
    output: JsonValue = [{"label": "normal", "score": 0.9, "flagged": False}, {"label": "nsfw", "score": 0.8, "flagged": True}]
    assert batch_labels(output, two).findings == (Finding("normal", 0.9, part=0), Finding("nsfw", 0.8, part=1))
    assert batch_labels(output[:1], two).problem == "the model answered with 1 entries for 2 pictures"
    assert batch_labels([{"label": "nsfw"}, 7], two).problem == "the model answered with a number that this adapter does not read"


def test_llama_guard_says_safe_or_the_codes() -> None:
    assert guard("\n\nsafe", FRAME) == guard(["sa", "fe"], FRAME)
    assert not guard("safe", FRAME).findings
    assert [finding.label for finding in guard("unsafe\nS1,S10,S1", FRAME).findings] == ["S1", "S10"]
    assert [finding.label for finding in guard("unsafe", FRAME).findings] == ["unsafe"]
    assert guard("I cannot help with that.", FRAME).problem


def test_text_comes_bare_or_in_lines_with_places() -> None:
    assert text("SALE\n50 %", FRAME).findings == (Finding("text", text="SALE\n50 %"),)
    assert text("", FRAME) == text(" \n", FRAME)
    assert not text("", FRAME).problem, "no text is an answer"
    lines: JsonValue = [{"text": "SALE", "confidence": 0.98, "box": [64, 36, 128, 72]}]
    assert text(lines, FRAME).findings == (Finding("text", score=0.98, box=(0.1, 0.1, 0.2, 0.2), text="SALE"),)


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
def test_nothing_is_a_problem_and_never_a_clean_picture(adapter: Adapter) -> None:
    reading = adapter(None, FRAME)
    assert not reading.findings
    assert "nothing" in reading.problem


def test_labels_are_told_in_our_words_and_those_that_are_no_finding_are_left_out() -> None:
    reading = labels({"NSFW": 0.9, "normal": 0.1, "Hentai": 0.2}, FRAME)
    assert mapped(reading, {"nsfw": "explicit", "normal": None}).findings == (Finding("explicit", 0.9), Finding("hentai", 0.2))


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
@given(output=JSON | NEARLY, wrapped=st.booleans(), pictures=st.integers(1, 3))
def test_no_output_makes_an_adapter_raise_or_say_what_a_signal_cannot_hold(
    adapter: Adapter, output: JsonValue, wrapped: bool, pictures: int
) -> None:
    sent = Sent(((640, 360),) * pictures, 12_000)
    for finding in adapter(json.dumps(output) if wrapped else output, sent).findings:
        assert finding.label
        assert finding.score is None or 0 <= finding.score <= 1
        assert finding.part < pictures
        if finding.box:
            left, top, right, bottom = finding.box
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
            assert all(map(math.isfinite, finding.box))
        if finding.start_ms is not None:
            assert finding.end_ms is not None
            assert 0 <= finding.start_ms <= finding.end_ms <= 12_000
