"""Videos taken apart, made at test time: pictures with text in them, spoken words, and what a child process may do wrong."""

import os
import time
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pressroom.inference.types import Media
from pressroom.records import Frame


def written(lines: Sequence[str], size: tuple[int, int] = (960, 540), colour: str = "navy") -> Image.Image:
    """A picture with `lines` from the top in white."""
    picture = Image.new("RGB", size, colour)
    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        draw.text((60, 60 + row * 120), line, font=ImageFont.load_default(44), fill="white")
    return picture


def filmed(folder: Path, pictures: Sequence[Image.Image | int], *, every_ms: int = 2000, language: str = "en") -> Media:
    """A silent video of one frame every `every_ms`; a number stands for a frame that is like the one of that number."""
    frames = []
    for number, picture in enumerate(pictures):
        key = f"{number:03}.jpg"
        if isinstance(picture, Image.Image):
            for name in ("large", "small"):
                (folder / name).mkdir(exist_ok=True)
                picture.save(folder / name / key, quality=90)
        frames.append(
            Frame(
                number=number,
                at_ms=number * every_ms,
                key=key,
                hash="0" * 16,
                sharpness=1.0,
                same_as=None if isinstance(picture, Image.Image) else picture,
            )
        )
    return Media("video-1", len(pictures) * every_ms, tuple(frames), folder, language=language)


def sounding(audio: Path, duration_ms: int, *speech: tuple[int, int], language: str = "en") -> Media:
    return Media("video-1", duration_ms, (), audio.parent, audio=audio, speech=speech, language=language)


def silence(path: Path, ms: int, loudness: float = 0.0) -> Path:
    """16-bit mono WAV at 16 kHz of noise with this standard deviation, 1.0 being full scale."""
    samples = np.random.default_rng(1).standard_normal(ms * 16) * loudness * 32767
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def frail(setup: Any) -> Callable[[Any], Any]:
    """Work for a child that does what it is asked: die, hang, raise, print, or give the request back."""
    if setup == "cannot load":
        raise FileNotFoundError("there is no model\nof that name")

    def work(request: Any) -> Any:
        if request == "die":
            os._exit(9)
        if request == "hang":
            time.sleep(3600)
        if request == "raise":
            raise ValueError("bad picture")
        if request == "print":
            print("a library's banner")
        return {"echo": request, "pid": os.getpid()}

    return work
