"""Which pictures of a video are looked at, and what the measurements of those looks say. Pure: no codec, no file."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from pressroom.records import Coverage, Frame, Probe, Record, Signal

VERSION = "picture-1"

# A picture is black as ffmpeg's blackdetect says: 98 % of its pixels under 10 % of the range.
BLACK_SHARE = 0.98
# The noise of one and the same picture, coded twice, moves its mean by about 0.1 %; a talking head moves it by 0.5 % and more.
FROZEN_CHANGE = 0.002
# Of the whole range of brightness, against the looks before and after: a lamp, a muzzle flash, a white card.
FLASH_STEP = 0.3
# A header that promises more than the packets hold, by more than this, means that the file was cut off.
CUT_OFF_MS = 1000
CUT_OFF_SHARE = 0.02


class Sampling(Record):
    """How a video is taken apart, and what it may cost."""

    max_gap_s: float = Field(default=2.0, gt=0, description="No stretch longer than this goes without a look.")
    min_gap_s: float = Field(
        default=0.5, ge=0, description="Keyframes closer than this to the last are passed over: some codecs have only keyframes."
    )
    floor_s: float = Field(
        default=10.0, gt=0, description="At least one frame in so many seconds stands for itself, however alike they are."
    )
    same_distance: int = Field(default=4, ge=0, le=64, description="Bits of the difference hash in which near-identical frames may differ.")
    large_px: int = Field(default=1280, gt=0, description="Long side, for reading text. Nothing is enlarged.")
    small_px: int = Field(default=640, gt=0)
    thumb_px: int = Field(default=240, gt=0)
    containers: tuple[str, ...] = ("mp4", "mov", "mkv", "webm", "avi")
    most_bytes: int = 2 * 1024**3
    most_s: float = 7200.0
    # Two hours of 720p in one single group of pictures decode in about 5 minutes; 1080p60 in 15.
    deadline_s: float = Field(default=900.0, gt=0)
    # Address space. Python and the libraries map 250 MiB, 720p peaks at 420 and 8K at 500; 16 reference pictures of 8K are 800 more.
    memory_mib: int = Field(default=2048, ge=320)


class Look(Record):
    """One picture that was looked at: measurements only. Shares and levels are 0 to 1."""

    at_ms: int
    hold_ms: int = Field(description="For how long this very picture is shown: up to the next packet's time.")
    key: str
    hash: str
    sharpness: float
    brightness: float = Field(description="Mean luma.")
    dark: float = Field(description="Share of the pixels under 10 % of the range.")
    change: float | None = Field(description="Mean difference in luma to the look before; None for the first.")


def plan_looks(times: Sequence[int], keys: Sequence[bool], end_ms: int, rules: Sampling) -> tuple[int, ...]:
    """Positions, in decoding order, of the packets to look at: keyframes, and in every gap over `max_gap_s` the fewest that close it.

    `times` (ms) and `keys` are those of all packets in decoding order; a negative time is never shown. The looks in a gap are counted
    back from its end, because the decoder starts at its beginning: that way it has least far to go.
    """
    shown = sorted(_decodable(times, keys), key=times.__getitem__)
    at = [times[position] for position in shown]
    if not shown:
        return ()
    least, most = round(rules.min_gap_s * 1000), round(rules.max_gap_s * 1000)
    chosen = [0]
    for place in range(1, len(shown)):
        if keys[shown[place]] and at[place] - at[chosen[-1]] >= least:
            chosen.append(place)
    filled: list[int] = []
    for place, end in zip(chosen, [*(at[place] for place in chosen[1:]), end_ms], strict=True):
        filled.append(place)
        filled.extend(_fill(at, place, end, most))
    return tuple(shown[place] for place in filled)


def _decodable(times: Sequence[int], keys: Sequence[bool]) -> Iterator[int]:
    """Positions of the packets whose picture is shown and needs nothing before its own keyframe."""
    key_ms: int | None = None
    for position, (time, key) in enumerate(zip(times, keys, strict=True)):
        key_ms = time if key else key_ms
        if key_ms is not None and time >= 0 and time >= key_ms:
            yield position


def _fill(at: Sequence[int], start: int, end_ms: int, most_ms: int) -> list[int]:
    """Places between `start` and `end_ms`, ascending, so that no step is over `most_ms`, but where one picture is shown for longer."""
    found: list[int] = []
    until = end_ms
    while until - at[start] > most_ms:
        place = bisect_left(at, until - most_ms)
        if place >= len(at) or at[place] >= until:
            place = bisect_left(at, until) - 1
        if at[place] <= at[start]:
            break
        found.append(place)
        until = at[place]
    return found[::-1]


def frames_of(looks: Sequence[Look], rules: Sampling) -> tuple[Frame, ...]:
    """The looks as frames: numbered, flagged, and near-identical ones with the earlier frame that stands for them.

    Whatever the hashes say, a frame stands for others only for `floor_s`: low-texture video would otherwise lose nearly all its frames.
    """
    frames: list[Frame] = []
    standing: list[Frame] = []
    for number, look in enumerate(looks):
        standing = [frame for frame in standing if look.at_ms - frame.at_ms < rules.floor_s * 1000]
        bits = int(look.hash, 16)
        same = next((frame for frame in reversed(standing) if (int(frame.hash, 16) ^ bits).bit_count() <= rules.same_distance), None)
        frame = Frame(
            number=number,
            at_ms=look.at_ms,
            key=look.key,
            hash=look.hash,
            sharpness=look.sharpness,
            black=look.dark >= BLACK_SHARE,
            frozen=look.change is not None and look.change < FROZEN_CHANGE,
            flash=_is_flash(looks, number),
            same_as=same.number if same else None,
        )
        frames.append(frame)
        if same is None:
            standing.append(frame)
    return tuple(frames)


def _is_flash(looks: Sequence[Look], number: int) -> bool:
    if not 0 < number < len(looks) - 1:
        return False
    before, here, after = (look.brightness for look in looks[number - 1 : number + 2])
    return here - max(before, after) >= FLASH_STEP


def picture_signals(looks: Sequence[Look], frames: Sequence[Frame], duration_ms: int) -> tuple[Signal, ...]:
    """Black, frozen and flashing stretches, merged where they touch.

    A score is what was measured: the share of dark pixels, the likeness to the look before, the step in brightness.
    """
    ends = [*(look.at_ms for look in looks[1:]), duration_ms]
    found: list[tuple[int, int, str, float, int]] = []
    for look, frame, end in zip(looks, frames, ends, strict=True):
        if frame.black:
            found.append((look.at_ms, end, "black", look.dark, frame.number))
        if frame.frozen and not frame.black:  # still since the look before
            found.append((looks[frame.number - 1].at_ms, look.at_ms + look.hold_ms, "frozen", 1 - (look.change or 0.0), frame.number))
        if frame.flash:
            step = look.brightness - max(looks[frame.number - 1].brightness, looks[frame.number + 1].brightness)
            found.append((look.at_ms, end, "flash", step, frame.number))
    merged = sorted(joined for label in ("black", "frozen", "flash") for joined in _join([one for one in found if one[2] == label]))
    return tuple(
        Signal(
            detector="picture", number=number, start_ms=start, end_ms=end, label=label, version=VERSION, score=_score(score), frame=frame
        )
        for number, (start, end, label, score, frame) in enumerate(merged)
    )


def _join(stretches: Iterable[tuple[int, int, str, float, int]]) -> list[tuple[int, int, str, float, int]]:
    """Stretches that touch become one, with the highest score and the first frame."""
    joined: list[tuple[int, int, str, float, int]] = []
    for start, end, label, score, frame in stretches:
        if joined and start <= joined[-1][1]:
            first = joined[-1]
            joined[-1] = (first[0], max(end, first[1]), label, max(score, first[3]), first[4])
        else:
            joined.append((start, end, label, score, frame))
    return joined


def _score(measured: float) -> float:
    return round(min(1.0, max(0.0, measured)), 4)


def unseen(looks: Sequence[Look], duration_ms: int) -> list[tuple[int, int]]:
    """The stretches between looks, as (length in ms, the part of it in ms in which the look's own picture was shown); from 0 to the end."""
    if not looks:
        return [(duration_ms, 0)]
    ends = [*(look.at_ms for look in looks[1:]), duration_ms]
    between = [(max(0, end - look.at_ms), look.hold_ms) for look, end in zip(looks, ends, strict=True)]
    return [(looks[0].at_ms, 0), *between] if looks[0].at_ms > 0 else between


def largest_gap_ms(looks: Sequence[Look], duration_ms: int) -> int:
    """The longest stretch without a look. While one and the same picture is shown there is nothing else to look at."""
    return max((length for length, held in unseen(looks, duration_ms) if held < length), default=0)


def picture_coverage(looks: Sequence[Look], probe: Probe, missing_ms: int, rules: Sampling, trouble: str = "") -> Coverage:
    """How much of the video was looked at. A look counts for `max_gap_s`, or for as long as its picture is shown.

    `missing_ms` is what the file's header promises beyond its last packet; `trouble` is why the work ended early, one sentence.
    """
    most = round(rules.max_gap_s * 1000)
    pieces = unseen(looks, probe.duration_ms)
    if looks and looks[0].at_ms > 0:
        pieces = pieces[1:]
    seen = sum(min(length, max(most, held)) for length, held in pieces) if looks else 0
    of_ms = probe.duration_ms + missing_ms
    reasons = [trouble] if trouble else []
    if missing_ms:
        reasons.append(f"The file is cut off: it says {of_ms / 1000:.1f} s and ends after {probe.duration_ms / 1000:.1f} s.")
    if not reasons and seen < probe.duration_ms:
        reasons.append(f"{(probe.duration_ms - seen) / 1000:.1f} s could not be decoded.")
    return Coverage(
        detector="picture",
        state="analysed" if looks else "failed",
        version=VERSION,
        seconds=seen / 1000,
        of_s=of_ms / 1000,
        largest_gap_s=largest_gap_ms(looks, probe.duration_ms) / 1000,
        looks=len(looks),
        reason=" ".join(reasons),
    )


def missing_ms(claimed_ms: int, found_ms: int) -> int:
    """What a header promises beyond the last packet, 0 within its tolerance. A header of 0, as streamed webm has, promises nothing."""
    missing = claimed_ms - found_ms
    return missing if missing > max(CUT_OFF_MS, claimed_ms * CUT_OFF_SHARE) else 0
