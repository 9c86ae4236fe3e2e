"""Findings on single frames become signals with a start and an end."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pressroom.inference.frames import Box, Sighting, frame_coverage, merge_sightings, same_letters, shared_area
from pressroom.inference.types import Media
from pressroom.records import Frame, Signal

PLACE: Box = (0.1, 0.8, 0.5, 0.9)


def media(*same_as: int | None) -> Media:
    frames = tuple(
        Frame(number=number, at_ms=number * 1000, key=f"{number}.jpg", hash="0" * 16, sharpness=1.0, same_as=same)
        for number, same in enumerate(same_as)
    )
    return Media("video-1", len(frames) * 1000, frames, Path())


def line(text: str, score: float = 0.9, box: Box = PLACE) -> Sighting:
    return Sighting("text", score, box, text)


def merged(film: Media, readings: dict[int, list[Sighting]]) -> list[tuple[str | None, int, int]]:
    return [(signal.text, signal.start_ms, signal.end_ms) for signal in _signals(film, readings)]


def _signals(film: Media, readings: dict[int, list[Sighting]]) -> tuple[Signal, ...]:
    return merge_sightings("screen_text", "v1", film, readings)


def test_a_reading_that_differs_by_a_letter_is_the_same_line_and_the_surest_one_is_kept() -> None:
    film = media(None, None, None)
    found = _signals(film, {0: [line("Cheap pi1ls", 0.7)], 1: [line("CHEAP pills", 0.98)], 2: [line("Cheap pills", 0.9)]})
    assert [(one.text, one.score, one.frame, one.start_ms, one.end_ms) for one in found] == [("CHEAP pills", 0.98, 1, 0, 3000)]


def test_the_same_words_in_another_place_are_another_line() -> None:
    film = media(None, None)
    assert len(merged(film, {0: [line("Sale")], 1: [line("Sale", box=(0.1, 0.1, 0.5, 0.2))]})) == 2


def test_other_words_in_the_same_place_are_another_line() -> None:
    assert merged(media(None, None), {0: [line("Welcome back")], 1: [line("Buy now")]}) == [
        ("Welcome back", 0, 1000),
        ("Buy now", 1000, 2000),
    ]


def test_a_line_that_goes_and_comes_back_is_two_signals() -> None:
    assert merged(media(None, None, None), {0: [line("Sale")], 1: [], 2: [line("Sale")]}) == [("Sale", 0, 1000), ("Sale", 2000, 3000)]


def test_a_frame_that_was_not_read_ends_a_line_because_nobody_knows() -> None:
    assert merged(media(None, None, None), {0: [line("Sale")], 2: [line("Sale")]}) == [("Sale", 0, 1000), ("Sale", 2000, 3000)]


def test_a_frame_shows_what_the_one_that_stands_for_it_shows() -> None:
    assert merged(media(None, 0, 0, None), {0: [line("Sale")], 3: []}) == [("Sale", 0, 3000)]


def test_frames_that_stand_for_others_are_counted_with_them() -> None:
    film = media(None, 0, None, 2)
    coverage = frame_coverage("screen_text", "v1", film, {0: ()}, "one was lost")
    assert (coverage.state, coverage.seconds, coverage.of_s, coverage.looks, coverage.stood_for) == ("analysed", 2.0, 4.0, 2, 1)
    assert coverage.largest_gap_s == 3.0


def test_two_lines_are_told_apart_by_their_best_match() -> None:
    film = media(None, None)
    near = (0.1, 0.82, 0.5, 0.92)
    found = _signals(film, {0: [line("Sale 10"), line("Sale 20", box=near)], 1: [line("Sale 20", box=near), line("Sale 10")]})
    assert sorted((one.text, one.end_ms - one.start_ms) for one in found) == [("Sale 10", 2000), ("Sale 20", 2000)]


numbers = st.floats(0, 1)
boxes = st.tuples(numbers, numbers, numbers, numbers).map(lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])))


@given(boxes, boxes)
def test_shared_area_is_even_handed_and_within_bounds(one: Box, other: Box) -> None:
    assert 0 <= shared_area(one, other) <= 1 + 1e-9
    assert abs(shared_area(one, other) - shared_area(other, one)) < 1e-9


@given(st.lists(st.none() | st.lists(st.sampled_from(["Sale", "Buy now", "Call us"]), unique=True), min_size=1, max_size=8))
def test_every_sighting_is_within_one_signal_of_its_words(shown: list[list[str] | None]) -> None:
    film = media(*[None] * len(shown))
    readings = {number: [line(text) for text in texts] for number, texts in enumerate(shown) if texts is not None}
    found = _signals(film, readings)
    for text in ("Sale", "Buy now", "Call us"):
        seconds = sum(one.end_ms - one.start_ms for one in found if one.text == text) / 1000
        assert seconds == sum(text in texts for texts in shown if texts is not None)
    assert same_letters("Buy now", "buynow") == 1.0
