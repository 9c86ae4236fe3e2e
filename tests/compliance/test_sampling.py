"""Which pictures are looked at, and what the looks say: laws, on plain numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pressroom.compliance.sampling import (
    Look,
    Sampling,
    frames_of,
    largest_gap_ms,
    missing_ms,
    picture_coverage,
    picture_signals,
    plan_looks,
)
from pressroom.records import Probe

RULES = Sampling()


def a_look(at_ms: int, *, hash: str = "0" * 16, brightness: float = 0.5, dark: float = 0.0, change: float | None = 0.1) -> Look:
    return Look(at_ms=at_ms, hold_ms=40, key=f"{at_ms:08}.jpg", hash=hash, sharpness=100, brightness=brightness, dark=dark, change=change)


def a_probe(duration_ms: int) -> Probe:
    return Probe(
        container="mp4",
        size=1,
        duration_ms=duration_ms,
        video_codec="h264",
        pixel_format="yuv420p",
        width=160,
        height=90,
        fps=25,
        video_packets=1,
        keyframes=1,
        largest_keyframe_gap_ms=duration_ms,
    )


def planned(times: list[int], every: int, end_ms: int, rules: Sampling = RULES) -> list[int]:
    """The planned times of a stream whose every `every`th packet is a keyframe."""
    return [times[position] for position in plan_looks(times, [number % every == 0 for number in range(len(times))], end_ms, rules)]


def test_keyframes_two_seconds_apart_are_all_that_is_looked_at() -> None:
    times = [40 * number for number in range(25 * 10)]
    assert planned(times, 50, 10_000) == [0, 2000, 4000, 6000, 8000]


def test_a_long_group_is_filled_with_the_fewest_looks_counted_back_from_its_end() -> None:
    times = [40 * number for number in range(25 * 9)]
    assert planned(times, 1000, 9_000) == [0, 1000, 3000, 5000, 7000]


def test_a_stream_of_keyframes_only_is_thinned() -> None:
    times = [20 * number for number in range(50 * 10)]
    assert planned(times, 1, 10_000) == list(range(0, 10_000, 500))


def test_a_picture_that_is_shown_for_long_is_looked_at_once_and_is_no_gap() -> None:
    times = [0, 40, 9000, 9040]
    assert planned(times, 100, 9080) == [0, 40, 9000]
    looks = [a_look(0), a_look(40).model_copy(update={"hold_ms": 8960}), a_look(9000)]
    assert largest_gap_ms(looks, 9080) == 80
    assert picture_coverage(looks, a_probe(9080), 0, RULES).fraction == 1


def test_pictures_that_need_a_keyframe_before_the_first_are_not_planned() -> None:
    assert plan_looks([0, 40, 80], [False, False, True], 120, RULES) == (2,)
    assert plan_looks([0, 40], [False, False], 80, RULES) == ()


def test_pictures_shown_before_their_own_keyframe_are_not_planned() -> None:
    """An open group: the packets after its keyframe in the file come before it on the screen and lean on the group before."""
    times, keys = [0, 4000, 1500, 2500, 4040], [True, True, False, False, False]
    assert [times[position] for position in plan_looks(times, keys, 4080, RULES)] == [0, 4000]


@given(st.lists(st.integers(1, 900), min_size=1, max_size=200), st.integers(1, 60), st.integers(100, 5000))
def test_no_gap_is_longer_than_promised_where_there_is_a_picture_to_look_at(steps: list[int], every: int, most_ms: int) -> None:
    times = [0]
    for step in steps:
        times.append(times[-1] + step)
    end = times[-1] + 40
    looked = planned(times, every, end, Sampling(max_gap_s=most_ms / 1000, min_gap_s=min(0.5, most_ms / 2000)))
    assert looked[0] == 0
    assert looked == sorted(set(looked))
    for before, after in pairwise([*looked, end]):
        between = [time for time in times if before < time < after]
        assert after - before <= most_ms or not between


def test_near_identical_frames_name_the_one_that_stands_for_them_but_one_in_ten_seconds_stands_for_itself() -> None:
    frames = frames_of([a_look(2000 * number) for number in range(11)], RULES)
    assert [frame.number for frame in frames if frame.same_as is None] == [0, 5, 10]
    assert [frame.same_as for frame in frames[1:5]] == [0, 0, 0, 0]


def test_a_picture_that_comes_back_is_the_same_as_before_the_cut() -> None:
    one, other = "0" * 16, "f" * 16
    frames = frames_of([a_look(1000 * number, hash=hash) for number, hash in enumerate([one, other, one, other])], RULES)
    assert [frame.same_as for frame in frames] == [None, None, 0, 1]


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 2**64 - 1)), min_size=1, max_size=60))
def test_every_frame_is_stood_for_by_an_earlier_one_that_stands_for_itself_and_is_near(looks: list[tuple[int, int]]) -> None:
    at, made = 0, []
    for step, bits in looks:
        at += step
        made.append(a_look(at, hash=f"{bits & 0xFFF:016x}"))
    frames = frames_of(made, RULES)
    for frame in frames:
        if frame.same_as is not None:
            standing = frames[frame.same_as]
            assert standing.same_as is None
            assert standing.number < frame.number
            assert (int(standing.hash, 16) ^ int(frame.hash, 16)).bit_count() <= RULES.same_distance
            assert frame.at_ms - standing.at_ms < 10_000


def test_black_frozen_and_flashing_stretches_become_signals_with_what_was_measured() -> None:
    looks = [
        a_look(0, change=None),
        a_look(2000, dark=1.0, brightness=0.02),
        a_look(4000, dark=0.99, brightness=0.02, change=0.0),
        a_look(6000),
        a_look(8000, change=0.0005),
        a_look(10_000, change=0.001),
        a_look(12_000, brightness=0.95),
        a_look(14_000),
    ]
    frames = frames_of(looks, RULES)
    signals = picture_signals(looks, frames, 16_000)
    assert [(signal.label, signal.start_ms, signal.end_ms, signal.frame) for signal in signals] == [
        ("black", 2000, 6000, 1),
        ("frozen", 6000, 10_040, 4),
        ("flash", 12_000, 14_000, 6),
    ]
    assert [signal.score for signal in signals] == [1.0, 0.9995, 0.45]
    assert [signal.number for signal in signals] == [0, 1, 2]


def test_coverage_counts_what_a_look_stands_for_and_says_what_is_missing() -> None:
    looks = [a_look(at) for at in (0, 2000, 8000)]
    coverage = picture_coverage(looks, a_probe(10_000), 0, RULES)
    assert (coverage.seconds, coverage.of_s, coverage.largest_gap_s, coverage.looks) == (6.0, 10.0, 6.0, 3)
    assert coverage.reason == "4.0 s could not be decoded."


def test_what_a_header_promises_and_the_file_does_not_hold_is_not_analysed() -> None:
    missing = missing_ms(20_000, 10_000)
    coverage = picture_coverage([a_look(at) for at in range(0, 10_000, 2000)], a_probe(10_000), missing, RULES)
    assert coverage.fraction == 0.5
    assert coverage.reason == "The file is cut off: it says 20.0 s and ends after 10.0 s."
    assert missing_ms(0, 10_000) == 0
    assert missing_ms(10_400, 10_000) == 0


def test_a_video_without_a_single_look_is_not_covered() -> None:
    coverage = picture_coverage([], a_probe(10_000), 0, RULES, "Decoding was ended.")
    assert (coverage.state, coverage.fraction, coverage.largest_gap_s, coverage.reason) == ("failed", 0.0, 10.0, "Decoding was ended.")
