"""Makers of real video files, small and quick: every codec and container that the product accepts, and every way in which a file is bad."""

import io
import struct
import wave
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

# What an encoder needs to be quick, and to place keyframes nowhere but where it is told.
QUICK: dict[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "sc_threshold": "0"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:scenecut=0:pools=1:frame-threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
}
CLOCK = 90_000  # ticks a second: every frame rate that occurs falls on them

Picture = NDArray[np.uint8]
# The picture at a time in seconds: RGB, height × width × 3.
Painter = Callable[[float, int, int], Picture]


@dataclass(frozen=True)
class Sound:
    """What is heard: samples from -1 to 1 at `rate`, the same in every one of `channels`, in an encoder that writes them."""

    samples: NDArray[np.float32]
    rate: int = 48_000
    channels: int = 1
    codec: str = "aac"


@dataclass(frozen=True)
class Clip:
    """How a video file is made. `times` are those of the frames, in seconds, for a variable rate; else `fps` says them."""

    paint: Painter
    seconds: float = 4.0
    fps: int = 10
    size: tuple[int, int] = (160, 90)
    codec: str = "libx264"
    pixels: str = "yuv420p"
    gop: int = 10
    start_s: float = 0.0
    times: Sequence[float] | None = None
    sound: Sound | None = None
    container: str | None = None
    container_options: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()


def make(path: Path, clip: Clip) -> Path:
    """Writes the clip to `path`; the container follows the name unless the clip says it."""
    with av.open(str(path), "w", format=clip.container, container_options=dict(clip.container_options)) as out:
        video = out.add_stream(clip.codec, rate=clip.fps, options=QUICK.get(clip.codec, {}) | dict(clip.options))
        assert isinstance(video, VideoStream)
        video.width, video.height = clip.size
        video.pix_fmt = clip.pixels
        video.gop_size = clip.gop
        if clip.codec != "mpeg4":  # whose clock has 16 bits
            video.codec_context.time_base = Fraction(1, CLOCK)
        sounding = _add_sound(out, clip.sound)
        for frame in _frames(clip, video):
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        if sounding is not None and clip.sound:
            for heard in _sounds(clip.sound, clip.start_s):
                out.mux(sounding.encode(heard))
            out.mux(sounding.encode(None))
    return path


def _frames(clip: Clip, video: VideoStream) -> Iterator[VideoFrame]:
    base = video.codec_context.time_base or Fraction(1, clip.fps)
    times = clip.times if clip.times is not None else [number / clip.fps for number in range(round(clip.seconds * clip.fps))]
    for time in times:
        width, height = clip.size
        frame = VideoFrame.from_ndarray(clip.paint(time, width, height), format="rgb24")
        frame = frame.reformat(format=clip.pixels)
        frame.time_base = base
        frame.pts = round((time + clip.start_s) / base)
        yield frame


def _add_sound(out: Any, sound: Sound | None) -> AudioStream | None:
    if sound is None:
        return None
    stream = out.add_stream(sound.codec, rate=sound.rate)
    assert isinstance(stream, AudioStream)
    stream.layout = {1: "mono", 2: "stereo", 6: "5.1"}[sound.channels]
    return stream


def _sounds(sound: Sound, start_s: float) -> Iterator[AudioFrame]:
    step = 1024
    for begin in range(0, len(sound.samples), step):
        part = sound.samples[begin : begin + step]
        block = np.ascontiguousarray(np.tile(part, (sound.channels, 1)), dtype=np.float32)
        frame = AudioFrame.from_ndarray(block, format="fltp", layout={1: "mono", 2: "stereo", 6: "5.1"}[sound.channels])
        frame.sample_rate = sound.rate
        frame.time_base = Fraction(1, sound.rate)
        frame.pts = begin + round(start_s * sound.rate)
        yield frame


# Pictures


def moving(time: float, width: int, height: int) -> Picture:
    """Bars that wander: no two seconds are alike, and every picture is sharp."""
    across = (np.arange(width) / width * 6 + time * 0.7) % 1
    down = (np.arange(height) / height * 4 + time * 0.4) % 1
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = (across > 0.5)[None, :] * 150 + 50
    picture[..., 1] = (down > 0.5)[:, None] * 150 + 50
    picture[..., 2] = round(60 + 40 * (time % 3))
    return picture


def plain(level: int) -> Painter:
    """One grey, 0 to 255."""
    return lambda _, width, height: np.full((height, width, 3), level, np.uint8)


def still(at: float = 0.0) -> Painter:
    """One sharp picture that never moves."""
    return lambda _, width, height: moving(at, width, height)


def scenes(*parts: tuple[float, Painter]) -> Painter:
    """One painter after the other, each for its seconds; the last stays."""

    def paint(time: float, width: int, height: int) -> Picture:
        begin = 0.0
        for seconds, painter in parts[:-1]:
            if time < begin + seconds - 1e-6:
                return painter(time, width, height)
            begin += seconds
        return parts[-1][1](time, width, height)

    return paint


def with_text(text: str, painter: Painter, *, start_s: float = 0.0, end_s: float = 1e9, px: int = 40) -> Painter:
    """`painter` with `text` burnt in, white on black, in the middle, `px` high, from `start_s` to `end_s`."""

    def paint(time: float, width: int, height: int) -> Picture:
        if not start_s <= time < end_s:
            return painter(time, width, height)
        image = Image.fromarray(painter(time, width, height))
        pen, font = ImageDraw.Draw(image), ImageFont.load_default(px)
        left, top, right, bottom = pen.textbbox((width / 2, height / 2), text, font=font, anchor="mm")
        pen.rectangle((left - px / 3, top - px / 3, right + px / 3, bottom + px / 3), fill="black")
        pen.text((width / 2, height / 2), text, font=font, fill="white", anchor="mm")
        return np.asarray(image)

    return paint


# Sounds


def tone(seconds: float, *, rate: int = 48_000, hertz: float = 440.0, level: float = 0.5) -> NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds: float, *, rate: int = 48_000) -> NDArray[np.float32]:
    return np.zeros(round(seconds * rate), np.float32)


def noise(seconds: float, *, rate: int = 48_000, level: float = 0.1) -> NDArray[np.float32]:
    return (level * np.random.default_rng(0).uniform(-1, 1, round(seconds * rate))).astype(np.float32)


def voice(seconds: float, *, rate: int = 48_000) -> NDArray[np.float32]:
    """Not speech, but like it: a buzz of 120 Hz through the resonances of vowels, in syllables of a quarter of a second."""
    time = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * number * time) * _resonance(120 * number) for number in range(1, 30))
    syllables = 0.5 * (1 - np.cos(2 * np.pi * 4 * time))
    sounded = np.asarray(buzz) * syllables
    return np.asarray(0.5 * sounded / np.abs(sounded).max(), np.float32)


def _resonance(hertz: float) -> float:
    return sum(float(np.exp(-(((hertz - middle) / 120) ** 2))) for middle in (500, 1500, 2500)) + 0.02


def read_wav(path: Path) -> Sound:
    """A 16-bit WAV, speech for example, as the sound of a clip."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return Sound((samples.mean(axis=1) / 32768).astype(np.float32), rate=file.getframerate())


# Odd and bad files


def turned(path: Path, whole: Path, degrees: int) -> Path:
    """An MP4 or MOV file that is to be shown turned clockwise by 90, 180 or 270 degrees, as telephones write it: a matrix in its header."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = struct.pack(">9i", cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    content = bytearray(whole.read_bytes())
    begin = content.index(b"tkhd") + 4 + 40  # version 0: flags, five numbers, two reserved, layer, group, volume
    content[begin : begin + len(matrix)] = matrix
    path.write_bytes(content)
    return path


def truncated(path: Path, whole: Path, share: float = 0.5) -> Path:
    """The first part of a file, as a broken upload leaves it."""
    content = whole.read_bytes()
    path.write_bytes(content[: round(len(content) * share)])
    return path


def corrupt(path: Path, whole: Path, share: float = 0.5) -> Path:
    """Noise from `share` of the bytes on; an index at the front is left as it was."""
    content = bytearray(whole.read_bytes())
    begin = round(len(content) * share)
    content[begin:] = np.random.default_rng(0).integers(0, 256, len(content) - begin, np.uint8).tobytes()
    path.write_bytes(content)
    return path


def sound_only(path: Path, sound: Sound) -> Path:
    """A container of videos with nothing to see in it."""
    with av.open(str(path), "w") as out:
        stream = _add_sound(out, sound)
        assert stream is not None
        for heard in _sounds(sound, 0.0):
            out.mux(stream.encode(heard))
        out.mux(stream.encode(None))
    return path


def two_sizes(path: Path, first: Clip, second: Clip) -> Path:
    """An AVI or Matroska file whose pictures change their size in the middle, as some recorders leave it: one stream, two encoders."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=first.fps)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = first.size
        stream.pix_fmt = "yuvj420p"
        number = 0
        for clip in (first, second):
            for time in np.arange(0, clip.seconds, 1 / clip.fps):
                buffer = io.BytesIO()
                Image.fromarray(clip.paint(float(time), *clip.size)).save(buffer, "JPEG")
                packet: Packet[Any] = Packet(buffer.getvalue())
                packet.stream, packet.time_base = stream, Fraction(1, first.fps)
                packet.pts = packet.dts = number
                packet.is_keyframe = True
                number += 1
                out.mux(packet)
    return path


def picture(path: Path, kind: str = "JPEG") -> Path:
    """A still picture, whatever the name says."""
    Image.fromarray(moving(0, 160, 90)).save(path, kind)
    return path


def archive(path: Path) -> Path:
    """A zip file, whatever the name says."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "not a video")
    return path
