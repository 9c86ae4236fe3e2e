"""Decodes the pictures that were planned, measures them and writes their JPEGs. Runs in the child process."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from pressroom.compliance.probe import Index, check_memory, open_video, shown_size
from pressroom.compliance.sampling import Look, Sampling

QUALITY = 85  # text of 12 px is still read; a 720p frame takes about 120 kB
DARK = 0.1 * 255
MEASURED = (64, 36)  # change between looks is measured on so many pixels: noise averages out, a caption does not
# Two threads write JPEGs beside the decoder; four pictures may wait, 11 MB each at 1,280 px, so that memory does not grow with the video.
WRITERS, WAITING = 2, 4
FOLDERS = ("large", "small", "thumb")
TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}  # Pillow turns the other way


@dataclass(frozen=True)
class Written:
    """A picture on disk, measured, before it is compared with the one before."""

    at_ms: int
    hold_ms: int
    key: str
    hash: str
    sharpness: float
    luma: NDArray[np.floating]
    dark: float


def look(path: Path, index: Index, plan: Sequence[int], folder: Path, rules: Sampling) -> Iterator[Look]:
    """The planned looks in order of time, each when its JPEGs are on disk. A picture that does not decode is left out."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    holds = _holds(index)
    before: Written | None = None
    with ThreadPoolExecutor(WRITERS) as pool:
        waiting: deque[Future[Written]] = deque()
        for at_ms, image in _decoded(path, index, plan, rules):
            waiting.append(pool.submit(_write, image, at_ms, holds.get(at_ms, 0), folder, rules))
            if len(waiting) > WAITING:
                before, seen = _compared(waiting.popleft().result(), before)
                yield seen
        while waiting:
            before, seen = _compared(waiting.popleft().result(), before)
            yield seen


def _holds(index: Index) -> dict[int, int]:
    """For how many ms the picture at each time is shown."""
    times = sorted(time for time in index.times if time >= 0)
    return {time: after - time for time, after in pairwise([*times, index.probe.duration_ms]) if after > time}


def _decoded(path: Path, index: Index, plan: Sequence[int], rules: Sampling) -> Iterator[tuple[int, Image.Image]]:
    """The planned pictures as shown, at most `large_px` long, with their time in ms.

    The decoder gets only the packets that they need: a keyframe, and what follows it up to the last look before the next. In between it
    leaves out the pictures that no other depends on.
    """
    chosen = frozenset(plan)
    needed = _needed(index, chosen)
    awaited = deque(sorted(index.pts[position] for position in plan))
    scale, reformatter = float(index.time_base) * 1000, VideoReformatter()
    first = min((pts for pts, time in zip(index.pts, index.times, strict=True) if time >= 0), default=0)
    with open_video(path) as container:
        stream = container.streams[index.stream]
        assert isinstance(stream, VideoStream)
        stream.codec_context.thread_type = "SLICE"  # AUTO hangs for ever when a decode is left early
        for frame in _frames(_packets(container.demux(stream), needed, chosen, stream)):
            time = frame.pts if frame.pts is not None else frame.dts
            if time is None or not awaited or time < awaited[0] or frame.is_corrupt:
                continue
            while awaited and awaited[0] <= time:
                awaited.popleft()
            yield round((time - first) * scale), _image(frame, stream.sample_aspect_ratio, rules.large_px, reformatter)


def _needed(index: Index, chosen: frozenset[int]) -> bytearray:
    """For each packet, whether the decoder must see it so that the chosen ones come out."""
    needed = bytearray(len(index.pts))
    begin: int | None = None
    wanted: int | None = None

    def mark() -> None:
        if begin is not None and wanted is not None:
            for position in range(begin, wanted + 1):  # shown before its keyframe: it leans on a group that was not decoded
                needed[position] = not 0 <= index.times[position] < index.times[begin]

    for position, key in enumerate(index.keys):
        if key:
            mark()
            begin, wanted = position, None
        if position in chosen:
            wanted = position
    mark()
    return needed


def _packets(
    packets: Iterator["Packet[VideoStream]"], needed: bytearray, chosen: frozenset[int], stream: VideoStream
) -> Iterator[tuple[VideoStream, "Packet[VideoStream] | None"]]:
    """The packets that are needed, the decoder told before each whether its picture is wanted; None at the end, which empties it."""
    position = -1
    while True:
        try:
            packet = next(packets, None)
        except MemoryError:
            raise
        except av.FFmpegError:
            break
        if packet is None:
            break
        if packet.size == 0 or (packet.pts is None and packet.dts is None):
            continue
        position += 1
        if position >= len(needed):
            break
        if needed[position]:
            stream.codec_context.skip_frame = "DEFAULT" if position in chosen else "NONREF"
            yield stream, packet
    yield stream, None


def _frames(packets: Iterator[tuple[VideoStream, "Packet[VideoStream] | None"]]) -> Iterator[VideoFrame]:
    for stream, packet in packets:
        try:
            yield from stream.codec_context.decode(packet)
        except MemoryError:
            raise
        except av.FFmpegError:  # one damaged picture; the next keyframe may be sound
            check_memory(stream.codec_context)


def _image(frame: VideoFrame, aspect: Fraction | None, most_px: int, reformatter: VideoReformatter) -> Image.Image:
    """The picture as shown: square pixels, turned, and not longer than `most_px`."""
    width, height, rotation = shown_size(frame, aspect)
    scale = min(1.0, most_px / max(width, height))
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    if rotation in (90, 270):
        across, down = down, across
    pixels = reformatter.reformat(frame, across, down, "rgb24", interpolation="BILINEAR").to_ndarray()
    image = Image.fromarray(pixels)
    return image.transpose(TURNS[rotation]) if rotation else image


def _write(image: Image.Image, at_ms: int, hold_ms: int, folder: Path, rules: Sampling) -> Written:
    small = _within(image, rules.small_px)
    thumb = _within(small, rules.thumb_px)
    key = f"{at_ms:08}.jpg"
    for name, picture in zip(FOLDERS, (image, small, thumb), strict=True):
        picture.save(folder / name / key, "JPEG", quality=QUALITY)
    grey = small.convert("L")
    luma = np.asarray(grey)
    coarse = np.asarray(grey.resize(MEASURED, Image.Resampling.BOX), dtype=np.float32) / 255
    dark = float(np.count_nonzero(luma < DARK)) / luma.size
    return Written(at_ms, hold_ms, key, difference_hash(grey), sharpness(luma), coarse, dark)


def _within(image: Image.Image, most_px: int) -> Image.Image:
    """The picture, not longer than `most_px`: first by a whole number, six times as fast as a filter over all its pixels."""
    longest = max(image.size)
    if longest <= most_px:
        return image
    size = max(1, round(image.width * most_px / longest)), max(1, round(image.height * most_px / longest))
    reduced = image.reduce(longest // most_px)
    return reduced if reduced.size == size else reduced.resize(size, Image.Resampling.BILINEAR)


def _compared(written: Written, before: Written | None) -> tuple[Written, Look]:
    """The picture, and the look at it: how much it changed since the one before."""
    change = float(np.abs(written.luma - before.luma).mean()) if before else None
    return written, Look(
        at_ms=written.at_ms,
        hold_ms=written.hold_ms,
        key=written.key,
        hash=written.hash,
        sharpness=round(written.sharpness, 2),
        brightness=round(float(written.luma.mean()), 4),
        dark=round(written.dark, 4),
        change=None if change is None else round(change, 5),
    )


def difference_hash(grey: Image.Image) -> str:
    """16 hex digits: whether each of 8 × 8 fields is darker than its right neighbour (dHash)."""
    fields = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    return np.packbits(fields[:, 1:] > fields[:, :-1]).tobytes().hex()


def sharpness(luma: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of 8-bit luma: under about 100 a picture looks blurred. 0 for a picture under 3 × 3."""
    if min(luma.shape) < 3:
        return 0.0
    wide = luma.astype(np.int16)
    laplacian = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]
    return float(laplacian.var(dtype=np.float32))
