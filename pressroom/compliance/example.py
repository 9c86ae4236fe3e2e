"""An example video, made when it is asked for: words burnt in and spoken, scenes, a black and a frozen stretch.

What it claims is what the shipped risks look for in a sales video; nothing of it is true.
"""

import math
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from pressroom.inference.synthesis import speak

if TYPE_CHECKING:
    from av import AudioFrame
    from PIL.Image import Image

WIDTH, HEIGHT, FPS, RATE = 960, 540, 12, 16_000
GOP = 3 * FPS
SPOKEN = "this tea is a miracle cure and you can double your money"


@dataclass(frozen=True)
class Scene:
    """Some seconds of one background: RGB, words, and whether a mark moves over it. Without a mark, the picture is frozen."""

    seconds: float
    background: tuple[int, int, int]
    words: str = ""
    moves: bool = True


SCENES = (
    Scene(4, (24, 60, 92), "Morning brew: the film"),
    Scene(4, (120, 74, 20), "Guaranteed returns for every cup"),
    Scene(3, (0, 0, 0), moves=False),
    Scene(5, (40, 96, 60), "Write to anna.example@brew.example", moves=False),
    Scene(4, (92, 30, 60), "Thank you for watching"),
)


def make_example(path: Path) -> None:
    """Writes the video to `path` (MP4, H.264 and AAC, 960×540, 20 s); the same words in every one."""
    import av
    import numpy as np

    voice = path.with_suffix(".voice.wav")
    speak(SPOKEN, voice)
    with av.open(str(path), "w", format="mp4") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt, video.gop_size = WIDTH, HEIGHT, "yuv420p", GOP
        sound = out.add_stream("aac", rate=RATE, layout="mono")
        for number, picture in enumerate(_pictures()):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for chunk in _sound(voice):
            out.mux(sound.encode(chunk))
        out.mux(sound.encode(None))
    voice.unlink()


def _pictures() -> Iterator["Image"]:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=40)
    for scene in SCENES:
        card = Image.new("RGB", (WIDTH, HEIGHT), scene.background)
        if scene.words:
            ImageDraw.Draw(card).text((WIDTH / 2, HEIGHT / 2), scene.words, font=font, fill=(245, 245, 240), anchor="mm")
        for number in range(round(scene.seconds * FPS)):
            picture = card.copy()
            if scene.moves:
                across = (0.5 + 0.45 * math.sin(number / FPS)) * WIDTH
                ImageDraw.Draw(picture).ellipse((across - 18, HEIGHT - 80, across + 18, HEIGHT - 44), fill=(250, 210, 90))
            yield picture


def _sound(voice: Path) -> Iterator["AudioFrame"]:
    """The voice from the second second on, silence around it, in frames of 1,024 samples."""
    import av
    import numpy as np

    with wave.open(str(voice)) as spoken:
        words = np.frombuffer(spoken.readframes(spoken.getnframes()), dtype="<i2")
    samples = np.zeros(round(sum(scene.seconds for scene in SCENES) * RATE), dtype="<i2")
    samples[RATE : RATE + len(words)] = words[: len(samples) - RATE]
    for start in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[start : start + 1024].reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        yield frame
